import csv
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from test_page import NETWORKS, SMALL, made_methods, make_run

import jaxbq
from jaxbq.errors import JaxbqError
from jaxbq.evaluation.statistics import interval
from jaxbq.experiment.finished import GROUPS, HEADLINES, SCORES
from jaxbq.options import describe

NAMES = [describe(method) for method in made_methods()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run") / "run")


@pytest.fixture
def own(tmp_path):
    """A run of one network, to spoil."""
    return make_run(tmp_path / "run", ["0"])


@pytest.fixture
def opened(folder):
    return jaxbq.open_run(folder.path)


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_finished_run_opens_by_its_path_alone(small):
    (path,) = (small.place / "runs").iterdir()
    run = jaxbq.open_run(str(path))
    assert isinstance(run, jaxbq.Run)
    assert run.name == path.name
    assert run.methods == ["transpose", "ascent(steps=20, restarts=2)"]
    assert run.trained == run.networks == ["0"]
    assert run.controls == []
    saved = np.load(path / "inversions/0/02-ascent.npz")["images"]
    images = run.images("ascent(steps=20, restarts=2)")
    assert images.shape == (1, *saved.shape[:2], *run.space.shape)
    np.testing.assert_array_equal(images.ravel(), saved.ravel())
    assert len(run.histories["0"]) == len(rows_of(path / "networks/0.history.csv"))
    assert 0 <= run.summary.loc["transpose", ("fidelity", "mean")] <= 1


def test_scores_are_those_of_the_file_to_the_last_digit(opened, folder):
    table, rows = opened.scores, rows_of(folder.scores)
    assert list(table.columns) == list(rows[0])
    assert len(table) == len(rows)
    for name in ("network", "method", "reason"):
        assert table[name].tolist() == [row[name] for row in rows]
    for name in ("target", "sample", "iterations", "predicted", "given_reads"):
        assert table[name].dtype == np.int64
        assert table[name].tolist() == [int(row[name]) for row in rows]
    assert table["right"].dtype == bool
    for name in ("fidelity", "naturalness", "nearest"):
        assert table[name].dtype == np.float64
        assert table[name].tolist() == [float(row[name]) for row in rows]


def test_what_is_unknown_is_nan(own):
    rows = rows_of(own.scores)
    lines = [list(rows[0]), *([{**row, "transfer": ""}[k] for k in row] for row in rows)]
    with own.scores.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)
    run = jaxbq.open_run(own.path)
    assert run.scores["transfer"].isna().all()
    assert run.summary["transfer", "number"].tolist() == [0, 0, 0]
    assert "transfer" not in run.pairs


def test_images_are_of_trained_networks_in_their_order(opened, folder):
    images = opened.images(NAMES[1])
    assert images.shape == (2, 3, 2, 6, 5)
    for place, network in enumerate(("0", "1")):
        saved = np.load(folder.inversions / network / "02-ascent.npz")["images"]
        np.testing.assert_array_equal(images[place], saved.reshape(3, 2, 6, 5))
    with pytest.raises(JaxbqError, match="has no method 'nothing'; it has transpose"):
        opened.images("nothing")


def test_the_summary_is_means_and_intervals_of_best_images(opened, folder):
    best = [r for r in rows_of(folder.scores) if r["sample"] == "0" and r["network"] in "01"]
    summary = opened.summary
    assert list(summary.index) == NAMES
    assert set(summary.columns.get_level_values(0)) == {n for g in GROUPS.values() for n in g}
    for name in ("fidelity", "ssim_percentile"):
        own = [float(r[name]) for r in best if r["method"] == "transpose"]
        within = (0, 1) if name == "fidelity" else (0, 100)
        expected = interval(np.array(own).reshape(2, 3), within=within)
        assert tuple(summary.loc["transpose", name]) == tuple(expected)
    assert summary["seconds", "unit"].tolist() == ["networks"] * 3


def test_the_overview_is_plain_means(opened, folder):
    best = [r for r in rows_of(folder.scores) if r["sample"] == "0" and r["network"] in "01"]
    for name in NAMES:
        own = [r for r in best if r["method"] == name]
        found = opened.overview.loc[name]
        assert found["targets"] == len(own) == 6
        assert found["right"] == sum(r["right"] == "True" for r in own)
        assert found["largest_error"] == max(float(r["largest_error"]) for r in own)
        mean = sum(float(r["largest_error"]) for r in own) / 6
        assert found["mean_error"] == pytest.approx(mean)
        assert found["seconds"] == 0.0625
    assert opened.overview["distinct"].isna().tolist() == [True, False, True]


def test_everything_is_read_once(folder, monkeypatch):
    run, opens, usual = jaxbq.open_run(folder.path), [], io.open
    monkeypatch.setattr(
        io, "open", lambda path, *a, **k: opens.append(str(path)) or usual(path, *a, **k)
    )
    for _ in range(2):
        for name in dir(type(run)):
            if not name.startswith("_"):
                getattr(run, name)
        for network in run.networks:
            run.results(network)
        [run.images(name) for name in run.methods]
    # The network's own reader looks at its head first.
    read = [name for name in opens if str(folder.path) in name and "safetensors" not in name]
    assert len(read) == len(set(read))
    wanted = [path for path in folder.path.rglob("*") if path.suffix in (".csv", ".json", ".npz")]
    assert {str(path) for path in wanted} == set(read)


def test_the_rest_of_the_folder(opened):
    assert opened.networks == [*NETWORKS]
    assert opened.controls == ["permuted_labels"]
    assert opened.class_names == SMALL.classes
    assert opened.titles == list(SMALL.classes)
    assert opened.config["name"] == "hand-made"
    assert opened.histories["1"][-1].test_accuracy == 0.875 + 1 / 64
    assert opened.judges[0]["parameters"] == 1234
    assert opened.naturalness == {"mean_percentile": [19.0, 51.0, 78.0]}
    assert opened.nearest.found["0", 1, 2] == [42, 43, 44]
    assert opened.cost["operations"].tolist() == [2.5e6] * 9
    assert set(opened.pairs) == set(HEADLINES)


def test_an_older_run_opens(own):
    for name in ("nearest.npz", "traces.json", "spread.csv", "cost.csv", "autoencoders.json"):
        (own.path / name).unlink()
    few = ("network", "method", "target", "sample", "right")
    lines = [few, *([row[k] for k in few] for row in rows_of(own.scores))]
    with own.scores.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)
    run = jaxbq.open_run(own.path)
    assert len(run.scores) == 12
    assert run.images("grey").shape == (1, 3, 1, 6, 5)
    assert run.nearest is None
    assert run.cost.empty
    assert run.robustness == {}
    with pytest.raises(JaxbqError, match=f"lacks the column {SCORES[0]}, as runs of older"):
        _ = run.summary


def test_what_is_no_finished_run_is_refused(tmp_path, own):
    with pytest.raises(JaxbqError, match="is no run folder"):
        jaxbq.open_run(tmp_path / "nowhere")
    own.scores.unlink()
    with pytest.raises(JaxbqError, match="is not finished"):
        jaxbq.open_run(own.path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows[:-1], "do not match its scores.csv"),
        (lambda rows: [{**row, "method": "other"} for row in rows], "do not match"),
    ],
)
def test_images_belong_to_their_scores(own, change, said):
    rows = change(rows_of(own.scores))
    with own.scores.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([list(rows[0]), *(row.values() for row in rows)])
    with pytest.raises(JaxbqError, match=said):
        jaxbq.open_run(own.path).results("0")


def test_pandas_and_matplotlib_wait_until_they_are_used(folder):
    code = """
import sys, jaxbq, jaxbq.cli
from jaxbq import experiment
assert jaxbq.cli.main(["invert", sys.argv[1], "--method", "transpose"]) == 0
print(sorted({'pandas', 'matplotlib', 'textalloc'} & set(sys.modules)))
jaxbq.open_run
print('pandas' in sys.modules, 'matplotlib' in sys.modules)
"""
    command = [sys.executable, "-c", code, str(folder.network("0"))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == ["[]", "True False"]


def test_json_that_is_no_table_is_told(own):
    (own.path / "judges.json").write_text(json.dumps({"a": 1}))
    with pytest.raises(JaxbqError, match=r"judges\.json: damaged \(it holds no list of tables\)"):
        _ = jaxbq.open_run(own.path).judges
