"""The benchmark: how it times, what it records and draws, and that all peers do the same work."""

import ast
import dataclasses
import graphlib
import importlib.util
import itertools
import json
import re
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import problems
import pytest
from scipy.special import expit, logit

import benchmarks
import jaxbq
from benchmarks.__main__ import main, measure_all
from benchmarks.cases import MEASURED
from benchmarks.cases.ascent import NEVER
from benchmarks.cases.methods import METHODS, peer_of
from benchmarks.cases.target import slack, starts_of
from benchmarks.cases.training import Ours, task_of
from benchmarks.figures import draw, ratios_figure, short, target_figure, throughput_figure
from benchmarks.options import PARTS, Benchmark, load_options
from benchmarks.peers import ascents, offer, plain
from benchmarks.record import Case, Record, Row, markdown, read_record, row_of, table_of
from benchmarks.session import Session, targets_of
from benchmarks.timing import Contender, Timing, alternate
from jaxbq import (
    MLP,
    Ascent,
    BookTraining,
    Idx,
    Preimage,
    Projected,
    PseudoInverse,
    Transpose,
    invert,
)
from jaxbq.methods import Result

FOLDER = Path(benchmarks.__file__).parent
CONFIG = FOLDER / "benchmark.toml"
SIZES = (30, 8, 3)
SMALL = [
    *("rounds=1", "training.epochs=40", "training.optimiser.learning_rate=0.02"),
    *("inverted.epochs=40", "inverted.optimiser.learning_rate=0.02", "hidden=[40]"),
    *("ascent.images=[3]", "ascent.steps=10", "target.starts=2", "target.steps=100"),
    *("target.rates=[0.1]", "target.betas=[[0.9,0.95]]", "target.tolerances=[0.1]"),
    *("sweeps.batch=[2]", "sweeps.steps=5"),
]


@pytest.fixture(scope="module", autouse=True)
def _torch_in_one_thread():
    """Products here are tiny: threads that wait for each other take most of the time."""
    if importlib.util.find_spec("torch") is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    place = problems.write_idx_folder(tmp_path_factory.mktemp("striped"))
    return load_options(CONFIG, [*SMALL, f'data={{kind="idx",path="{place}"}}'])


@pytest.fixture(scope="module")
def session(options):
    """One for all tests: its network is trained once."""
    return Session(options, lambda text: None)


# Options.


def test_the_config_of_the_project_is_the_default_and_says_what_to_expect():
    head = CONFIG.read_text().splitlines()
    assert head[0] == "# python -m benchmarks benchmarks/benchmark.toml"
    assert head[1].startswith("# Expect: ")
    assert load_options(CONFIG) == Benchmark()
    assert tuple(MEASURED) == PARTS


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.toml"], "none.toml: no such file"),
        ([CONFIG, "--only", "nothing"], "'nothing' is none of 'training', 'ascent'"),
        ([CONFIG, "--rounds", "0"], "rounds: input should be greater than 0"),
        ([CONFIG, "--set", "sweep.batch=[1]"], "did you mean 'sweeps'?"),
        ([CONFIG, "--set", "sweeps.batch=[]"], "sweeps.batch"),
        ([CONFIG, "--set", "data=none"], "data"),
        ([CONFIG, "--set", "training.loss=squared_error"], "leave training.loss at 'bce'"),
        (["none.json"], "none.json: cannot be read"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([str(word) for word in arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("benchmarks: error: ")
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_help_names_every_part(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert all(part in shown for part in PARTS)


def test_the_folder_changes_with_every_option_but_the_parts(monkeypatch):
    monkeypatch.delenv("JAXBQ_DATA", raising=False)
    base = Benchmark()
    other = [Benchmark(rounds=3), Benchmark(data=Idx(path="x"))]
    assert len({each.digest for each in (base, *other)}) == 3
    assert Benchmark(parts=("ascent",)).digest == base.digest
    embedded = base.digest
    monkeypatch.setenv("JAXBQ_DATA", "somewhere")
    assert Benchmark().digest != embedded


def imported(path):
    """Modules of the benchmark that one imports, lazily too."""
    place = ("benchmarks", *path.relative_to(FOLDER).parent.parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = place[: len(place) - node.level + 1]
            names = [f"{node.module}."] if node.module else [""]
            names = [name + alias.name for name in names for alias in node.names]
            names += [node.module] if node.module else []
            paths = [FOLDER.parent.joinpath(*base, *name.split(".")) for name in names]
            found |= {file for p in paths if (file := p.with_suffix(".py")).exists()}
            found |= {file for p in paths if (file := p / "__init__.py").exists()}
    return found


def test_files_are_of_a_size_and_in_no_circle():
    files = sorted(FOLDER.rglob("*.py"))
    lines = {file: len(file.read_text().splitlines()) for file in files}
    assert sum(lines.values()) <= 2000
    assert max(lines.values()) <= 400
    assert all(n >= 100 for file, n in lines.items() if not file.stem.startswith("__"))
    edges = {file: imported(file) for file in files}
    assert FOLDER / "timing.py" in edges[FOLDER / "session.py"]
    assert list(graphlib.TopologicalSorter(edges).static_order())  # raises CycleError
    package = Path(jaxbq.__file__).parent
    assert not [
        f for f in package.rglob("*.py") if re.search("(from|import) benchmarks", f.read_text())
    ]


# Timing.


def test_contenders_take_turns_after_a_warm_up_and_every_round_begins_with_another():
    heard, ticks = [], itertools.count()
    contenders = [
        Contender(name, lambda name=name: heard.append(name) or name, scale=scale, warm=warm)
        for name, scale, warm in (("a", 1.0, 2), ("b", 10.0, 1), ("c", 1.0, 1))
    ]
    found = alternate(contenders, 3, clock=lambda: float(next(ticks)), pause=0.0)
    assert "".join(heard) == "aabc" + "abc" + "bca" + "cab"
    assert [found[name].seconds for name in "abc"] == [[1.0] * 3, [10.0] * 3, [1.0] * 3]
    assert [found[name].last for name in "abc"] == list("abc")
    assert found["a"].first == 1.0


def test_rounds_end_when_their_time_is_up_but_never_before_the_first():
    ticks = itertools.count()
    one = [Contender("a", lambda: None)]
    clock = lambda: 10.0 * next(ticks)  # noqa: E731
    assert len(alternate(one, 9, clock, 0.0, limit=1.0)["a"].seconds) == 1
    assert len(alternate(one, 3, clock, 0.0)["a"].seconds) == 3


def test_a_peer_that_fails_is_a_row_and_a_fault_of_ours_is_raised():
    def fails():
        raise RuntimeError("no compiler\nmore")

    contenders = [Contender("ours", lambda: 1, peer=False), Contender("theirs", fails)]
    found = alternate(contenders, 1, pause=0.0)
    row = row_of(contenders[1], found["theirs"])
    assert row.note == "failed: RuntimeError: no compiler"
    assert row.seconds == ()
    assert row.median is None
    with pytest.raises(RuntimeError):
        alternate([Contender("ours", fails, peer=False)], 1, pause=0.0)


def test_a_missing_peer_says_what_to_install():
    def needs(name):
        def make():
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        return make

    found = offer("Lucent", needs("lucent.optvis"))
    assert found.call is None
    assert found.note == "Lucent is not installed: pip install -e '.[bench]'"
    assert offer("x", needs("tqdm")).note == "cannot be imported: No module named 'tqdm'"


def test_a_peer_whose_packages_do_not_fit_together_is_a_row_that_says_so():
    def broken():
        raise RuntimeError("operator torchvision::nms does not exist\nmore of it")

    found = offer("Lucent", broken)
    assert found.call is None
    assert found.note == "cannot be used: operator torchvision::nms does not exist"


# Record, table, figures: of numbers made up for these tests.


def row(contender, median=None, **more):
    seconds = () if median is None else (0.8 * median, median, 1.5 * median)
    note = "" if median else "not installed"
    own = contender.startswith("jaxbq")
    return Row(contender=contender, peer=not own, seconds=seconds, note=note, **more)


def case(part, x=None, scale=1.0):
    rows = (row("jaxbq", 0.01 * scale), row("PyTorch, eager", 0.05 * scale))
    title = f"{part} of $x$, {x}"
    rows += (row("Lucent"), row("jaxbq, again", 0.02 * scale))
    about = {"unit": "image-steps", "work": 40.0 * scale}
    return Case(part=part, title=title, x=x, rows=rows, **about)


@pytest.fixture(scope="module")
def record():
    cases = [case("training"), case("ascent"), case("methods")]
    cases += [case("target", x, scale) for x, scale in ((0.1, 1.0), (0.001, 3.0))]
    for part in ("batch", "width", "depth", "image"):
        cases += [case(part, x, scale) for x, scale in ((100, 9.0), (1, 1.0), (10, 2.0))]
    about = {"device": {"platform": "cpu", "kind": "cpu"}, "cores": 2, "precision": "float32"}
    about |= {"packages": {"jax": "1.0", "torch": None}, "date": "today"}
    return Record(environment=about, options=Benchmark().table(), cases=tuple(cases))


def test_a_record_is_read_as_it_was_written(record, tmp_path):
    path = tmp_path / "record.json"
    path.write_text(record.model_dump_json())
    found = read_record(path)
    assert found.cases == record.cases
    assert found.environment == record.environment
    assert [case.x for case in found.of("batch")] == [1, 10, 100]
    assert found.machine() == "cpu, 2 cores, float32"


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda r: r.clear(), "environment: Field required"),
        (lambda r: r["cases"][1].update(part="batsh"), "cases.1.part: Input should be"),
        (lambda r: r["cases"][1].update(work="many"), "cases.1.work: Input should be"),
        (lambda r: r["cases"][6].update(x=None), "the part batch needs x"),
        (lambda r: r["cases"][0]["rows"][1].update(seconds=[0.0]), "rows.1.seconds.0: Input"),
        (lambda r: r["cases"][0]["rows"][1].update(second=[1.0]), "rows.1.second: Extra inputs"),
        (lambda r: r["cases"][0]["rows"][1].update(contender="jaxbq"), "a contender has two rows"),
        (lambda r: r.update(cases=3), "cases: Input should be"),
    ],
)
def test_a_damaged_record_is_one_line(record, tmp_path, how, said, capsys):
    table = json.loads(record.model_dump_json())
    how(table)
    path = tmp_path / "record.json"
    path.write_text(json.dumps(table))
    assert main([str(path)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == [path]


def test_ratios_rates_and_quality_are_in_the_table():
    slow = row_of(Contender("peer", abs), Timing(1.0, [4.0, 8.0, 6.0]))
    judged = Contender("ours", abs, peer=False, quality=lambda last: {"a": 1, "b": np.inf})
    rows = (slow, row_of(judged, Timing(1.0, [2.0])), row_of(Contender("none", None, note="why|")))
    found = Case(part="ascent", title="case", unit="images", work=12.0, rows=rows)
    assert [found.ratio(each) for each in found.rows] == [3.0, 1.0, None]
    assert rows[1].quality == {"a": 1.0, "b": None}
    columns, lines = table_of(found)
    assert "spread" in columns
    assert lines[0][columns.index("rate")] == "2 images/s"
    assert lines[1][columns.index("× jaxbq")] == "1.00"
    assert lines[1][columns.index("quality")] == "a 1, b none"
    assert lines[2][columns.index("note")] == "why|"


def test_markdown_has_a_table_a_case(record):
    text = markdown(record)
    assert "cpu, 2 cores, float32; jax 1.0; today" in text
    assert text.count("## ") == len(record.cases)
    wide = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(wide) == 1


def drawn(axis):
    """What is plotted as data, by label."""
    lines = {line.get_label(): np.asarray(line.get_xydata()) for line in axis.lines}
    return {name: points for name, points in lines.items() if not name.startswith("_")}


def test_a_record_is_drawn_again(record, tmp_path, capsys):
    (tmp_path / "record.json").write_text(record.model_dump_json())
    assert main([str(tmp_path / "record.json")]) == 0
    figures = {path.name for path in (tmp_path / "figures").iterdir()}
    assert figures == {"throughput.png", "time-to-target.png", "ratios.png"}
    assert all(path.stat().st_size > 5000 for path in (tmp_path / "figures").iterdir())
    assert (tmp_path / "table.md").read_text() == markdown(record)
    assert capsys.readouterr().out.count("figure: ") == 3


@pytest.mark.parametrize(
    ("part", "files"),
    [("batch", ["throughput"]), ("ascent", ["ratios"]), ("target", ["time-to-target", "ratios"])],
)
def test_what_was_not_measured_is_not_drawn(record, tmp_path, part, files):
    only = record.model_copy(update={"cases": record.of(part)})
    assert [path.stem for path in draw(only, tmp_path)] == files
    untimed = [c.model_copy(update={"rows": (row("jaxbq"), row("Lucent"))}) for c in only.cases]
    assert draw(record.model_copy(update={"cases": tuple(untimed)}), tmp_path / "none") == []


def test_throughput_is_work_by_median(record):
    figure = throughput_figure(record)
    assert len(figure.axes) == 4
    lines = drawn(figure.axes[0])
    assert set(lines) == {"jaxbq", "PyTorch, eager", "jaxbq, again"}
    np.testing.assert_allclose(lines["jaxbq"], [(1, 4000), (10, 4000), (100, 4000)])
    np.testing.assert_allclose(lines["PyTorch, eager"], [(1, 800), (10, 800), (100, 800)])
    band = figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    np.testing.assert_allclose((band.min(), band.max()), (4000 / 1.5, 4000 / 0.8))
    labels = [axis.get_xlabel() for axis in figure.axes]
    assert labels[:2] == ["images at once", "units of the hidden layer"]


def test_the_hardest_target_is_at_the_right(record):
    (axis,) = target_figure(record).axes
    np.testing.assert_allclose(drawn(axis)["jaxbq"], [(0.001, 0.03), (0.1, 0.01)])
    left, right = axis.get_xlim()
    assert left > right
    late = row("PyTorch, late", 0.01, quality={"reached": 39.0})
    cases = [c.model_copy(update={"rows": (*c.rows, late)}) for c in record.of("target")]
    part = record.model_copy(update={"cases": tuple(cases)})
    assert set(drawn(target_figure(part).axes[0])) == set(drawn(axis))
    assert len(ratios_figure(part).axes[0].containers) == 2
    # Where jaxbq itself did not reach it, there is nothing to compare with.
    lost = [c.model_copy(update={"rows": (late, row("PyTorch, eager", 0.1))}) for c in cases]
    assert ratios_figure(record.model_copy(update={"cases": tuple(lost)})) is None


def test_ratios_begin_at_jaxbq(record):
    (axis,) = ratios_figure(record).axes
    ends = [(p.get_x(), p.get_x() + p.get_width()) for c in axis.containers for p in c]
    np.testing.assert_allclose(ends, 5 * [(1, 5)])
    said = [text.get_text() for text in axis.texts]
    assert said.count("5") == 5
    assert "training of $x$, None" in said
    # Dollars of a title are no formula.
    assert not [t for t in axis.texts if "$" in t.get_text() and t.get_parse_math()]


def test_numbers_are_short():
    found = [short(n) for n in (0.03, 640, 10_000, 999_999, 2.5e6)]
    assert found == ["0.03", "640", "10k", "1M", "2.5M"]


# The cases.

SLOW = [pytest.param(part, marks=pytest.mark.slow) for part in ("methods", "training")]


@pytest.fixture
def _uncompiled(monkeypatch):
    """Nothing compiled by PyTorch, which takes it many seconds."""
    if importlib.util.find_spec("torch") is not None:
        from benchmarks.peers import pytorch

        for module in (ascents, pytorch):
            monkeypatch.setattr(module, "compile_step", lambda torch, step: step)


@pytest.mark.filterwarnings("ignore")  # of other libraries
@pytest.mark.usefixtures("_uncompiled")
@pytest.mark.parametrize("part", ["ascent", "target", "batch", *SLOW])
def test_every_part_makes_cases(session, part):
    cases = list(MEASURED[part](session))
    for found in cases:
        assert Case.model_validate_json(found.model_dump_json()) == found
        assert found.part == part
        assert found.own is found.rows[0]
        assert all(row.seconds or row.note for row in found.rows)
        # An absent or broken library is a row with its reason; all others have times.
        reasons = ("is not installed", "no peer does the same", "takes square images alone")
        untimed = [row.note for row in found.rows if not row.seconds]
        assert all(any(reason in note for reason in reasons) for note in untimed), untimed
    if part == "batch":
        assert cases[0].x == 2
        assert cases[0].work == 2 * session.options.sweeps.steps
    if part == "target":
        assert cases[0].rows[0].quality["reached"] == 2 * 3
        assert {row.quality["reached"] for row in cases[0].rows if row.seconds} == {6.0}
    if part == "training":
        assert all(row.quality["test accuracy"] > 0.8 for row in cases[0].rows if row.seconds)


@pytest.mark.usefixtures("_uncompiled")
def test_a_command_fills_a_record_part_by_part(options, tmp_path):
    said = []

    def measured(again=False, **changes):
        chosen = dataclasses.replace(options, **changes)
        given = {"say": said.append, "command": "again", "again": again}
        folder = measure_all(chosen, tmp_path, **given)
        return folder, read_record(folder / "record.json")

    some = dataclasses.replace(options.sweeps, width=(4,), depth=(1,))
    place, first = measured(parts=("width",), sweeps=some)
    assert [case.part for case in first.cases] == ["width"]
    assert first.environment["packages"]["jax"] == jax.__version__
    assert first.environment["command"] == "again"
    assert first.options["hidden"] == [40]
    _, second = measured(parts=("depth", "width"), sweeps=some)
    assert "width: measured already; --again measures it anew" in said
    assert second.of("width") == first.of("width")
    assert [case.part for case in second.cases] == ["width", "depth"]
    assert (place / "table.md").read_text() == markdown(second)
    other = second.model_copy(update={"environment": second.environment | {"cores": 1000}})
    (place / "record.json").write_text(other.model_dump_json())
    _, third = measured(parts=("width",), sweeps=some)
    assert [case.part for case in third.cases] == ["width"]
    assert any("of another machine or other versions" in line for line in said)


# That the peers do the same work.


@pytest.fixture
def network(rng):
    model, params = problems.random_network(SIZES, rng)
    return model, params, plain.layers_of(params), targets_of(3, 6)


def test_the_books_loop_is_jaxbqs_rule(session, tiny, x64):
    chosen = dataclasses.replace(session.options, precision="float64")
    wide, model = Session(chosen, lambda text: None), MLP(SIZES, bias=False)
    pixels = np.rint(tiny.train_images * 255).astype(float) / 255
    data = dataclasses.replace(
        tiny,
        train_images=pixels * 0.99 + 0.01,
        space=dataclasses.replace(tiny.space, low=0.01, high=1.0),
    )
    ours = Ours(wide, model, data, BookTraining())
    first = plain.layers_of(ours.params)
    records = plain.records_of(tiny.train_images, tiny.train_labels)
    book = plain.Book(first, BookTraining().learning_rate).read(records)
    ours.epoch()
    np.testing.assert_allclose(book.wih, ours.params[0].weight.T, atol=1e-10)
    np.testing.assert_allclose(book.who, ours.params[1].weight.T, atol=1e-10)
    assert np.abs(book.wih - first[0][0].T).max() > 0.01


def test_numpys_inverses_are_jaxbqs(network, x64):
    model, params, _, targets = network
    params = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), params)
    layers = plain.layers_of(params)

    def ours(method):
        return invert(method, model, params, targets).images[:, 0]

    np.testing.assert_allclose(plain.backquery(layers, targets), ours(Transpose()), atol=1e-10)
    for clip in (True, False):
        method = PseudoInverse(hidden_policy="clip", pixel_policy="clip" if clip else "none")
        found = plain.pseudo_inverse(layers, targets, clip=clip)
        np.testing.assert_allclose(found, ours(method), atol=1e-8)


@pytest.mark.slow
def test_scipys_boxes_leave_as_much_as_jaxbqs(network):
    model, params, layers, targets = network
    ours = invert(PseudoInverse(), model, params, targets).images[:, 0]
    # Of many solutions of a layer each takes its own: what they are least in is the same.
    weight, bias = layers[1]

    def left(images):
        hidden = expit(images @ layers[0][0] + layers[0][1])
        return np.linalg.norm(hidden @ weight + bias - logit(targets), axis=1)

    np.testing.assert_allclose(left(plain.box(layers, targets)), left(ours), atol=0.05)


def test_scipys_preimages_answer_as_jaxbqs_do(network):
    model, params, layers, _ = network
    targets = np.asarray(model.apply(params, np.full((2, 30), 0.4, np.float32)), np.float64)
    found = plain.preimage(layers, targets, np.full((2, 30), 0.5))
    ours = invert(Preimage(), model, params, targets).images[:, 0]
    for images in (found, ours):
        assert images.min() >= 0
        np.testing.assert_allclose(model.apply(params, jnp.asarray(images)), targets, atol=1e-4)


def test_starts_are_those_of_jaxbq_and_the_slack_is_enough(session):
    targets = session.targets(3)
    stay = Ascent(start="random", restarts=2, steps=1, stop=NEVER, path=(0,))
    result = invert(stay, session.model, session.params, targets, reference=session.data)
    starts = starts_of(session)
    for number in range(3):
        order = result.diagnostics["restart"][number]
        first = result.diagnostics["path"][number, :, 0]
        np.testing.assert_array_equal(starts[order], first)
    room = slack(targets, 1e-3)
    for side in (-1, 1):
        assert np.abs(expit(logit(targets) + side * room) - targets).max() <= 1e-3
    assert np.abs(expit(logit(targets) + 1.1 * room) - targets).max() > 1e-3


def test_peers_of_methods_rank_and_average_as_jaxbqs_do(session):
    targets = session.targets(3)
    for method in METHODS:
        if method.kind not in ("exemplars", "exemplar_mean"):
            continue
        theirs = peer_of(method, session, targets).call()
        ours = invert(method, session.model, session.params, targets, reference=session.data).images
        np.testing.assert_allclose(theirs.reshape(ours.shape), ours, atol=1e-5)
    lonely = peer_of(Projected(method=Transpose()), session, targets)
    assert lonely.call is None
    assert lonely.note == "no peer does the same"


def test_pytorchs_ascents_are_jaxbqs(network):
    pytest.importorskip("torch")
    model, params, layers, targets = network
    ours = invert(Ascent(steps=5, stop=NEVER, path=(5,)), model, params, targets)
    wanted = ours.diagnostics["path"][:, 0, 0]
    found = ascents.ascent(layers, targets, 5, compiled=False)()
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert np.abs(wanted - 0.5).max() > 0.1


@pytest.mark.parametrize("drop", [False, True])
def test_projected_adam_reaches_and_says_so(session, drop):
    pytest.importorskip("torch")
    targets = session.targets(6)
    starts = np.tile(starts_of(session), (3, 1))
    given = {"every": 5, "compiled": False, "drop": drop}

    def run(tuning, most):
        adam = ascents.ProjectedAdam(session.layers, targets, starts, tuning=tuning, **given)
        return adam.run(most, 0.05)

    found = run(ascents.Tuning(), 400)
    outputs = session.model.apply(session.params, jnp.asarray(found.images))
    errors = np.abs(np.asarray(outputs) - targets).max(axis=1)
    np.testing.assert_array_equal(errors <= 0.05, found.reached)
    assert found.reached.any()
    assert found.images.min() >= 0
    assert found.images.max() <= 1
    assert found.work <= found.steps * len(targets)
    tunings = ascents.tunings_of((1e-5, 0.1), ((0.9, 0.85),))
    assert len(tunings) == 4
    best = ascents.best_tunings(run, tunings[:2], 400)
    assert [each.rate for each in best] == [0.1, 0.1]


def test_pytorch_takes_the_steps_of_jaxbqs_training(session):
    """Of one batch that holds all images, so that their order is of no account."""
    pytest.importorskip("torch")
    from benchmarks.peers.pytorch import Eager

    task = task_of(session)
    rule = dataclasses.replace(session.options.training, batch_size=len(task.codes))
    eager = Eager(dataclasses.replace(task, batch=len(task.codes)))
    ours = Ours(session, session.model, session.data, rule)
    for _ in range(3):
        eager.epoch()
        ours.epoch()
    for theirs, leaf in zip(eager.weights, jax.tree.leaves(ours.params), strict=True):
        np.testing.assert_allclose(theirs, leaf, atol=1e-5)
    assert eager.accuracy() == ours.accuracy()


# torch.compile imports what its own warnings call outdated.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.slow
def test_compiled_pytorch_is_eager_pytorch(session):
    pytest.importorskip("torch")
    if shutil.which("g++") is None:
        pytest.skip("torch.compile needs a C++ compiler")
    from benchmarks.peers.pytorch import Compiled, Eager

    given = session.layers, session.targets(6), 5
    eager, compiled = (ascents.ascent(*given, compiled=flag)() for flag in (False, True))
    np.testing.assert_allclose(compiled, eager, atol=1e-4)
    task = task_of(session)
    learners = [
        kind(dataclasses.replace(task, batch=len(task.codes))) for kind in (Eager, Compiled)
    ]
    for learner, _ in itertools.product(learners, range(3)):
        learner.epoch()
    for one, other in zip(*(learner.weights for learner in learners), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_scikit_learn_learns(session):
    pytest.importorskip("sklearn")
    classifier = plain.Classifier(dataclasses.replace(task_of(session), rate=0.05))
    for _ in range(10):
        classifier.epoch()
    assert classifier.accuracy() > 0.8


@pytest.mark.filterwarnings("ignore")  # of Lucent's own libraries, at import
@pytest.mark.parametrize("plainly", [True, False])
def test_lucents_images_answer_their_targets(rng, plainly):
    pytest.importorskip("lucent")
    model, params = problems.random_network((36, 8, 3), rng, scale=6.0)
    layers, targets = plain.layers_of(params), targets_of(3, 3)
    ours = invert(Ascent(steps=100, stop=NEVER), model, params, targets)
    assert isinstance(ours, Result)
    found = ascents.lucent(layers, targets, 100, plain=plainly)()
    assert found.shape == (3, 36)
    assert found.min() >= 0
    assert found.max() <= 1
    if plainly:  # its transforms move the images that the network is asked about
        outputs = np.asarray(model.apply(params, jnp.asarray(found, jnp.float32)))
        assert np.abs(outputs - targets).max() == pytest.approx(
            np.abs(ours.outputs[:, 0] - targets).max(), abs=0.05
        )
    with pytest.raises(ValueError, match="square"):
        ascents.lucent(((np.ones((30, 3)), np.ones(3)),), targets, 1, plain=True)
