import argparse
import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from scipy import stats
from test_tables import HOSTILE, cost_rows, read, score_rows, write_run

from jaxbq.cli.experiments import add_compare
from jaxbq.errors import JaxbqError
from jaxbq.evaluation.statistics import Interval, holm
from jaxbq.experiment import RunFolder
from jaxbq.experiment.finished import HEADLINES, Run, open_run
from jaxbq.report.comparison import compare_runs, label_runs
from jaxbq.report.comparison_files import (
    Effect,
    comparison_folder,
    effects_figure,
    write_comparison,
)

# The font of figures has no Chinese.
HOSTILE = HOSTILE.replace("中", "")
METHODS = ("transpose", HOSTILE)


def config(seeds, **changes):
    """A resolved config, as far as a comparison reads it; changes by key with __ for a dot."""
    found = {
        "name": "small",
        "seed": 0,
        "data": {"kind": "idx"},
        "network": {"hidden": [200], "activation": "sigmoid"},
        "networks": {"seeds": seeds},
        "training": {"epochs": 30, "adversary": None},
        "targets": {"on": 0.99, "classes": []},
        "methods": [{"kind": "transpose"}],
        "scores": {"judges": True},
    }
    for key, value in changes.items():
        *parents, last = key.split("__")
        place = found
        for step in parents:
            place = place[step]
        place[last] = value
    return found


@pytest.fixture
def make(rng, tmp_path):
    def make(place, /, *, seeds=5, shift=0.0, methods=METHODS, data="abc", change=None, **changes):
        rows = score_rows(
            rng, seeds=seeds, methods=methods, shift=shift, controls=("random_weights",)
        )
        rows = [row | (change(row) if change else {}) for row in rows]
        folder = write_run(tmp_path / "runs" / place, rows, cost_rows(seeds, methods))
        folder.write_json("config.json", config(seeds, **changes))
        folder.write_json("environment.json", {"data_sha256": data})
        return folder

    return make


def compared(*folders, **options):
    runs = [open_run(folder.path) for folder in folders]
    return compare_runs(list(zip("abcdefgh", runs, strict=False)), **options)


def labels(folders):
    return label_runs([open_run(folder.path) for folder in folders])


def best(folder, method, score):
    return Run(folder.path).values()[method][score]


def test_values_and_differences_to_the_first(make):
    folders = [make(f"small-{n}", shift=0.1 * n, training__epochs=30 + n) for n in range(3)]
    found = compared(*folders)
    assert found.methods == METHODS
    assert found.scores == HEADLINES
    assert [line.run for line in found.found] == list("abc") * 2 * 5
    lines = {(line.method, line.score, line.run): line for line in found.found}
    for run, folder in zip("abc", folders, strict=True):
        line = lines[HOSTILE, "naturalness", run]
        own = best(folder, HOSTILE, "naturalness").mean(axis=1)
        assert line.value.mean == pytest.approx(own.mean())
        if run == "a":
            assert line.change is None
            continue
        first = best(folders[0], HOSTILE, "naturalness").mean(axis=1)
        assert line.change.difference.mean == pytest.approx(own.mean() - first.mean())
        assert line.change.p == pytest.approx(stats.ttest_rel(own, first).pvalue)
        assert (line.change.first, line.change.second) == (run, "a")
        assert (line.change.number, line.change.unit, line.change.paired) == (5, "networks", True)
    # One family: two methods, five scores, two runs.
    changes = [line.change for line in found.found if line.change]
    assert len(changes) == 20
    assert [c.p_holm for c in changes] == pytest.approx(holm([c.p for c in changes]))


def test_what_differs_is_found_and_what_does_not_is_not(make):
    def worse(row):
        value = 0.9 - 0.01 * int(row["network"]) if row["network"].isdecimal() else 0.0
        return {"transfer": str(value if row["sample"] == "0" else 1.0)}

    def better(row):
        return {"transfer": str(float(worse(row)["transfer"]) + 0.05 + 1e-4 * len(row["target"]))}

    found = compared(make("a", change=worse), make("b", change=better), scores=["transfer"])
    for change in (line.change for line in found.found if line.change):
        assert change.difference.mean == pytest.approx(0.0501)
        # Five networks, all with the same difference: two of 32 ways to set the signs.
        assert (change.p, change.effect) == (2 / 32, math.inf)
    same = compared(make("c", change=worse), make("d", change=worse), scores=["transfer"])
    assert {line.change.p for line in same.found if line.change} == {1.0}


@pytest.mark.parametrize(
    ("seeds", "changes", "paired", "unit"),
    [
        ((5, 5), {}, True, "networks"),
        ((5, 5), {"seed": 4}, False, "networks"),
        ((7, 5), {}, False, "networks"),
        ((1, 1), {}, True, "classes"),
        ((4, 4), {}, True, "classes"),
        ((4, 4), {"seed": 1}, True, "classes"),
        ((5, 1), {}, True, "classes"),
        ((1, 1), {"network": {"file": "net.npz"}}, True, "classes"),
    ],
)
def test_what_is_paired_with_what(make, seeds, changes, paired, unit):
    first, other = make("a", seeds=seeds[0]), make("b", seeds=seeds[1], **changes)
    line = compared(first, other).found[1]
    assert (line.change.paired, line.change.unit) == (paired, unit)
    a, b = (best(folder, "transpose", "fidelity") for folder in (first, other))
    if unit == "classes":
        # Nothing is tested of few networks.
        assert math.isnan(line.change.p)
        assert line.change.difference.mean == pytest.approx(float(b.mean() - a.mean()))
        return
    if paired:
        expected = stats.ttest_rel(b.mean(axis=1), a.mean(axis=1))
    else:
        expected = stats.ttest_ind(b.mean(axis=1), a.mean(axis=1), equal_var=False)
    assert line.change.p == pytest.approx(expected.pvalue)


def test_methods_are_matched_by_name(make):
    found = compared(
        make("a", methods=("one", "two", "three")),
        make("b", methods=("three", "other")),
        make("c", methods=("two", "three")),
    )
    assert found.methods == ("two", "three")
    fidelity = [(x.method, x.run) for x in found.found if x.score == "fidelity"]
    assert fidelity == [("two", "a"), ("two", "c"), *(("three", run) for run in "abc")]


def test_scores_that_nobody_knows_are_left_out(make):
    def unread(row):
        return {"readability": "", "transfer": ""}

    folders = make("a", change=unread), make("b", change=unread)
    assert compared(*folders).scores == ("fidelity", "naturalness", "specificity")
    with pytest.raises(JaxbqError, match="none of transfer is known"):
        compared(*folders, scores=["transfer"])
    with pytest.raises(JaxbqError, match="no score is called beauty; known: fidelity"):
        compared(*folders, scores=["beauty"])


def test_what_is_not_comparable_is_refused(make, tmp_path):
    first = make("a")
    unfinished = make("unfinished")
    unfinished.scores.unlink()
    damaged = make("damaged")
    (damaged.path / "config.json").write_text("[1]")
    unsaid = make("unsaid")
    unsaid.write_json("environment.json", {})
    old = make("old")
    old.scores.write_text("network,method,target,sample\n0,transpose,0,0\n")
    for other, reason in (
        (RunFolder(tmp_path / "nowhere"), "is no run folder; name one"),
        (RunFolder(tmp_path), "is no run folder"),
        (unfinished, "is not finished, it has no scores.csv; run its config again"),
        (damaged, "damaged"),
        (unsaid, "does not say on what data"),
        (old, "lacks the column fidelity"),
        (make("b", data="def"), "is about other data than"),
        (make("c", data="def", data__kind="digits"), r"other data than .* \(digits, not idx\)"),
        (make("d", targets__on=0.8), r"asks for other targets .*\(targets.on=0.8, not 0.99\)"),
        (make("e", scores__judges=False), r"is scored otherwise .*judges=false, not true"),
        (make("f", methods=("other",)), "has no method in common with"),
        (RunFolder(first.path / ".." / "a"), "is named twice"),
    ):
        with pytest.raises(JaxbqError, match=reason) as refused:
            compared(first, make(f"good-{len(list(tmp_path.rglob('*')))}"), other)
        assert "\n" not in str(refused.value)
    with pytest.raises(JaxbqError, match="only one run"):
        compared(first)
    with pytest.raises(JaxbqError, match="two runs have the label 'x'"):
        compare_runs([("x", Run(first.path)), ("x", Run(make("z").path))])
    with pytest.raises(JaxbqError, match="has scores of 2 targets"):
        compared(first, make("short", change=lambda row: {"target": str(int(row["target"]) % 2)}))


def test_runs_are_called_by_what_their_configs_change(make):
    first = make("small-0")
    epochs = [make(f"small-{n}", training__epochs=n, name=f"n{n}") for n in (3, 10)]
    assert labels([first, *epochs]) == [f"training.epochs={n}" for n in (30, 3, 10)]
    robust = {"norm": "l2", "epsilon": 2.0}
    others = [
        make("b", network__hidden=[20, 20]),
        make("c", network__activation="tanh", seed=3),
        make("d", training__adversary=robust),
        make("e", training__adversary={**robust, "steps": 5, "step": 0.1}),
        make("f"),
    ]
    adversary = "training.adversary.norm=l2, training.adversary.epsilon=2.0"
    assert labels([first, *others]) == [
        "small-0",
        "network.hidden=[20, 20]",
        "seed=3, network.activation=tanh",
        adversary,
        f"{adversary}, training.adversary.steps=5, …",
        "f",
    ]
    assert labels([others[2], first]) == ["d", "training.adversary=none"]
    again = make("again/small-0")
    assert labels([first, again]) == [str(first.path), str(again.path)]


def test_files_of_a_comparison(make, tmp_path):
    folders = [Run(make(f"small-{n}", shift=0.2 * n).path) for n in range(3)]
    found = compare_runs(list(zip(["first", "a|b <i>", "$x_1$ & co"], folders, strict=True)))
    paths = write_comparison(found, tmp_path / "one" / "two")
    assert sorted(path.name for path in paths) == [
        *("comparison.csv", "comparison.md", "comparison.tex"),
        *("effects-01.pdf", "effects-01.png", "effects-02.pdf", "effects-02.png"),
    ]
    assert {p.name for p in (tmp_path / "one" / "two").iterdir()} == {p.name for p in paths}
    rows = read(paths[0])
    assert len(rows) == len(found.found)
    for row, line in zip(rows, found.found, strict=True):
        assert (row["method"], row["run"], float(row["mean"])) == (
            *(line.method, line.run),
            line.value.mean,
        )
        assert row["p_holm"] == ("" if line.change is None else str(line.change.p_holm))
    assert rows[1]["folder"] == "small-1"
    assert str(tmp_path) not in paths[0].read_text()
    assert "a\\|b &lt;i&gt;" in paths[1].read_text()
    assert r"a\textbar{}b \textless{}i\textgreater{}" in paths[2].read_text()
    again = write_comparison(compare_runs(found.runs), tmp_path / "again")
    assert [p.read_bytes() for p in again] == [p.read_bytes() for p in paths]


def test_the_folder_is_named_after_the_runs():
    runs = [Run(Path("runs") / name) for name in ("a-b-0011", "a-b-2233")]
    found = comparison_folder(runs, Path("out"))
    assert found.parent == Path("out")
    assert len(found.name) == len("a-b-") + 8
    assert found.name.startswith("a-b-")
    assert comparison_folder(runs[::-1], Path("out")) != found


def effect(run, mean, width, clear):
    return Effect(run, Interval(mean, mean - width, mean + width, 10, "networks"), clear)


def test_a_figure_says_by_signs_what_differs():
    rows = [
        effect("more", 0.3, 0.1, True),
        effect("less", -0.3, 0.1, True),
        effect("chance", 0.1, 0.2, False),
        Effect("one network", Interval(0.2, math.nan, math.nan, 1, "networks"), False),
        Effect("unknown", Interval(math.nan, math.nan, math.nan, 0, ""), False),
    ]
    figure = effects_figure("$m_1$", "first", {"fidelity": rows, "transfer": rows[:2]})
    fidelity, transfer = figure.axes
    points = [line for line in fidelity.lines if line.get_marker() in "<>o"]
    assert [line.get_marker() for line in points] == [">", "<", "o", "o"]
    assert [line.get_xdata()[0] for line in points] == [0.3, -0.3, 0.1, 0.2]
    assert [line.get_ydata()[0] for line in points] == [4, 3, 2, 1]
    assert [line.get_markerfacecolor() == "white" for line in points] == [False, False, True, True]
    bars = [line for line in fidelity.lines if len(line.get_xdata()) == 2][1:]
    np.testing.assert_allclose(bars[0].get_xdata(), [0.2, 0.4])
    assert len(bars) == 3
    names = [label.get_text() for label in fidelity.get_yticklabels()]
    assert names == ["unknown", "one network", "chance", "less", "more"]
    assert not any(label.get_text() for label in transfer.get_yticklabels())


def test_a_figure_has_room_for_many_runs(tmp_path):
    rows = [effect(f"network.hidden=[{n}, {n}]", 0.01 * n, 0.1, n > 9) for n in range(25)]
    figure = effects_figure(HOSTILE, "$first$", dict.fromkeys(HEADLINES, rows))
    figure.savefig(tmp_path / "a.png")  # draws: positions are known
    height, width = imread(tmp_path / "a.png").shape[:2]
    assert width < 12 * figure.dpi
    assert height < 7 * figure.dpi
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert all(low.y1 <= high.y0 for low, high in itertools.pairwise(boxes))
    assert min(box.x0 for box in boxes) >= 0
    panels = [axis.get_position() for axis in figure.axes]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(panels))
    assert all(text.get_window_extent().x1 <= width for text in figure.texts)


def command(*arguments):
    parser = argparse.ArgumentParser()
    add_compare(parser.add_subparsers())
    chosen = parser.parse_args(["compare", *map(str, arguments)])
    chosen.command(chosen)


def test_the_command_shows_and_writes(make, tmp_path, monkeypatch, capsys):
    folders = [make(f"small-{n}", training__epochs=30 + n) for n in range(2)]
    paths = [folder.path for folder in folders]
    monkeypatch.chdir(tmp_path)
    command(*paths)
    out = capsys.readouterr().out
    assert "difference to training.epochs=30" in out
    assert "training.epochs=31" in out
    assert "paired t-test" in out
    (where,) = (tmp_path / "runs" / "comparisons").iterdir()
    assert (where / "effects-01.png").stat().st_size > 5000
    assert f"comparison: {where.relative_to(tmp_path) / 'comparison.csv'}" in out
    options = ["--out", "here", "--score", "right", "--label", "old", "--label", "<new>"]
    command(*paths, *options)
    out = capsys.readouterr().out
    assert "<new>" in out
    assert {row["score"] for row in read(tmp_path / "here" / "comparison.csv")} == {"right"}
    with pytest.raises(JaxbqError, match="1 --label for 2 runs"):
        command(*paths, "--label", "old")
    with pytest.raises(JaxbqError, match="no score is called"):
        command(*paths, "--score", "beauty")


def test_a_config_as_the_test_writes_it_is_what_a_run_writes():
    # What is compared must be where the code looks for it.
    from jaxbq.experiment import Experiment

    written = json.loads(json.dumps(Experiment(name="a").resolved()))
    assert {"targets", "networks", "seed", "network", "data"} <= written.keys()
    assert "kind" in written["data"]
    assert "seeds" in written["networks"]
