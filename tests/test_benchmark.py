"""The benchmark: how it times, what it records, and that its contenders do the same work."""

import csv
import dataclasses
import importlib.util
import itertools
import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import problems
import pytest
from scipy.special import expit, logit

from jaxbq.benchmark import PARTS, Benchmark, folder_of, load_benchmark, run_benchmark, runner
from jaxbq.benchmark.memory_point import measure
from jaxbq.benchmark.parts import PARTS as MEASURED
from jaxbq.benchmark.parts.ascent import NEVER, errors_of
from jaxbq.benchmark.parts.methods import peer_of
from jaxbq.benchmark.parts.target import slack, starts_of
from jaxbq.benchmark.parts.training import Ours, task_of
from jaxbq.benchmark.peak import Peak
from jaxbq.benchmark.peers import book, numpy_methods, offer
from jaxbq.benchmark.peers.scipy_ascent import lbfgs
from jaxbq.benchmark.record import case_of, read_record, row_of, write_record
from jaxbq.benchmark.session import Session, layers_of, targets_of
from jaxbq.benchmark.tables import comma_separated, markdown, table_of
from jaxbq.benchmark.timing import Contender, Timing, alternate
from jaxbq.benchmark.work import ascent_flops, training_flops
from jaxbq.cli import main
from jaxbq.data import Idx
from jaxbq.errors import JaxbqError
from jaxbq.methods import Ascent, Preimage, Projected, PseudoInverse, Transpose, invert
from jaxbq.network.mlp import MLP
from jaxbq.training import BookTraining, rules

CONFIG = Path(__file__).parent.parent / "configs" / "benchmark.toml"
SIZES = (30, 8, 3)
SMALL = [
    *("rounds=1", "networks=2", "training.epochs=40", "training.optimiser.learning_rate=0.02"),
    *("inverted.epochs=40", "inverted.optimiser.learning_rate=0.02"),
    *("hidden=[40]", "ascent.images=[3]"),
    *("ascent.steps=10", "target.starts=2", "target.steps=100", "target.rates=[0.1]"),
    *("target.slow=2", "sweeps.batch=[2]", "sweeps.steps=5", "memory.images=[1,2]"),
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


@pytest.fixture
def folder(tmp_path, monkeypatch):
    problems.write_idx_folder(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """One for all tests: its network is trained once."""
    place = problems.write_idx_folder(tmp_path_factory.mktemp("striped"))
    options = load_benchmark(None, [*SMALL, f'data={{kind="idx",path="{place}"}}'])
    return Session(options, Peak(side=16, length=64), lambda text: None)


def test_the_config_of_the_project_is_the_default_and_says_what_to_expect():
    head = CONFIG.read_text().splitlines()
    assert head[0] == "# jaxbq bench configs/benchmark.toml"
    assert head[1].startswith("# Expect: ")
    found = load_benchmark(CONFIG)
    assert found.methods.experiment == "configs/all_methods.toml"
    methods = dataclasses.replace(found.methods, experiment=None)
    assert dataclasses.replace(found, methods=methods) == Benchmark()
    assert tuple(MEASURED) == PARTS


def test_options_are_refused_in_one_line(tmp_path):
    with pytest.raises(JaxbqError, match="did you mean 'sweeps'"):
        load_benchmark(None, ["sweep.batch=[1]"])
    with pytest.raises(JaxbqError, match=r"sweeps\.batch"):
        load_benchmark(CONFIG, ["sweeps.batch=[]"])
    with pytest.raises(JaxbqError, match="no such file"):
        load_benchmark(tmp_path / "none.toml")


def test_the_folder_changes_with_every_option_but_the_parts(monkeypatch):
    monkeypatch.delenv("JAXBQ_DATA", raising=False)
    base = Benchmark()
    other = [Benchmark(rounds=3), Benchmark(data=Idx(path="x"))]
    assert len({each.digest for each in (base, *other)}) == 3
    assert Benchmark(parts=("book",)).digest == base.digest
    embedded = base.digest
    monkeypatch.setenv("JAXBQ_DATA", "somewhere")
    assert Benchmark().digest != embedded


def test_contenders_take_turns_after_a_warm_up_and_every_round_begins_with_another():
    heard, ticks = [], itertools.count()
    contenders = [
        Contender(name, lambda name=name: heard.append(name) or name, scale=scale, warm=warm)
        for name, scale, warm in (("a", 1.0, 2), ("b", 10.0, 1), ("c", 1.0, 1))
    ]
    found = alternate(contenders, 3, clock=lambda: float(next(ticks)), hush=0.0)
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


def test_a_peer_that_fails_is_a_row_and_a_fault_of_ours_is_one():
    def fails():
        raise RuntimeError("no compiler\nmore")

    contenders = [Contender("ours", lambda: 1, peer=False), Contender("theirs", fails)]
    found = alternate(contenders, 1, hush=0.0)
    row = row_of(contenders[1], found["theirs"])
    assert row["note"] == "failed: RuntimeError: no compiler"
    assert row["seconds"] == []
    assert row["median"] is None
    with pytest.raises(RuntimeError):
        alternate([Contender("ours", fails, peer=False)], 1, hush=0.0)


def test_a_missing_peer_says_what_to_install():
    def needs(name):
        def make():
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        return make

    found = offer("Lucent", needs("lucent.optvis"))
    assert found.call is None
    assert found.note == "Lucent is not installed: pip install 'jaxbq[bench]'"
    assert offer("x", needs("tqdm")).note == "cannot be imported: No module named 'tqdm'"


def test_a_peer_whose_packages_do_not_fit_together_is_a_row_that_says_so():
    def broken():
        raise RuntimeError("operator torchvision::nms does not exist\nmore of it")

    found = offer("Lucent", broken)
    assert found.call is None
    assert found.note == "cannot be used: operator torchvision::nms does not exist"


def test_ratios_shares_and_throughput():
    slow = row_of(Contender("peer", abs), Timing(1.0, [4.0, 8.0, 6.0]), flops=6e9, peak=10.0)
    fast = row_of(
        Contender("ours", abs, peer=False, quality=lambda last: {"a": 1, "b": np.inf}),
        Timing(1.0, [2.0]),
        flops=6e9,
        peak=10.0,
    )
    none = row_of(Contender("none", None, note="why"))
    case = case_of("ascent", "case", [slow, fast, none], unit="images", work=12.0)
    assert [row["ratio"] for row in case["rows"]] == [3.0, 1.0, None]
    assert (slow["median"], slow["low"], slow["high"]) == (6.0, 4.0, 8.0)
    assert slow["share_of_peak"] == pytest.approx(0.1)
    assert fast["share_of_peak"] == pytest.approx(0.3)
    assert fast["quality"] == {"a": 1.0, "b": None}
    columns, lines = table_of(case)
    assert lines[0][columns.index("rate")] == "2 images/s"
    assert lines[1][columns.index("× jaxbq")] == "1.00"
    assert lines[2][columns.index("note")] == "why"


def test_operations_are_those_that_xla_counts():
    model = MLP((20, 7, 3))
    params = model.init(jax.random.key(0))

    def gradient(x):
        return jax.value_and_grad(lambda x: model.logits(params, x).sum())(x)

    # XLA counts additions and sigmoids too; products alone are the most of it.
    counted = jax.jit(gradient).lower(jnp.ones((5, 20))).compile().cost_analysis()["flops"]
    ours = ascent_flops(model.sizes, 5, 1)
    assert ours == 4 * (20 * 7 + 7 * 3) * 5
    assert ours <= counted <= 1.3 * ours
    assert training_flops(model.sizes, 5) == 2 * 5 * (2 * (140 + 21) + 21)


def test_the_peak_is_the_fastest_librarys_median():
    peak = Peak(side=10, length=64)
    names = [contender.name for contender in peak.products]
    timings = {name: Timing(1.0, [2.0, 4.0, 6.0]) for name in names}
    timings[names[-1]] = Timing(1.0, [9.0, 1.0, 3.0])
    assert peak.gflops(timings) == pytest.approx(2000 / 3 / 1e9)
    assert peak.summary()["matrix_gflops"] == pytest.approx(2000 / 1 / 1e9)
    assert peak.measure_memory(rounds=1) > 0


SLOW = [
    pytest.param(part, marks=pytest.mark.slow) for part in ("training", "ascent", "target", "batch")
]


@pytest.mark.parametrize("part", ["book", *SLOW])
def test_every_part_makes_cases_that_json_can_hold(session, part):
    cases = list(MEASURED[part](session))
    assert json.loads(json.dumps(cases, allow_nan=False)) == cases
    for case in cases:
        assert case["part"] == part
        assert case["rows"][0]["peer"] is False
        assert case["rows"][0]["seconds"]
        assert all(row["seconds"] or row["note"] for row in case["rows"])
    if part == "batch":
        assert cases[0]["x"] == 2
        assert cases[0]["work"] == 2 * session.options.sweeps.steps
    if part == "target":
        ours = cases[0]["rows"][0]
        # One of the three classes is out of reach of this small network.
        assert ours["quality"]["reached"] == 2 * 2
        assert ours["note"] == "NOT all were reached"
        for curve in cases[0]["curves"]:
            assert len(curve["seconds"]) == len(curve["error"]) > 0


@pytest.fixture
def _short(monkeypatch):
    """The machine's peak by small products; and nothing compiled by PyTorch.

    That it cannot compile functions whose types are checked takes it long to find out.
    """
    monkeypatch.setattr(runner, "Peak", partial(Peak, side=16, length=64))
    if importlib.util.find_spec("torch") is not None:
        from jaxbq.benchmark.peers import pytorch_ascent

        monkeypatch.setattr(pytorch_ascent, "compiled", pytorch_ascent.eager)


@pytest.mark.usefixtures("_short")
def test_a_command_fills_a_record_part_by_part(folder, capsys):
    arguments = ["bench", "--out", "runs", "--set", 'data={kind="idx",path="data"}']
    arguments += [word for change in SMALL for word in ("--set", change)]
    assert main([*arguments, "--only", "book"]) == 0
    (place,) = (folder / "runs").iterdir()
    first = json.loads((place / "record.json").read_text())
    assert [case["part"] for case in first["cases"]] == ["book"]
    assert first["environment"]["packages"]["jax"] == jax.__version__
    assert first["environment"]["command"].startswith("jaxbq bench --out runs")
    assert first["peak"]["matrix_gflops"] > 0
    capsys.readouterr()
    assert main([*arguments, "--only", "book", "batch"]) == 0
    assert "book: measured already" in capsys.readouterr().out
    record = json.loads((place / "record.json").read_text())
    assert record["cases"][0] == first["cases"][0]
    assert {case["part"] for case in record["cases"]} == {"book", "batch"}
    with (place / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(case["rows"]) for case in record["cases"])
    assert rows[0]["contender"] == "jaxbq, the book's rule"
    assert "## an epoch by the book's rule" in (place / "table.md").read_text()


def test_a_record_of_another_machine_is_begun_anew(session, tmp_path):
    options = dataclasses.replace(session.options, parts=("book",))
    said = []

    def again():
        given = {"say": said.append, "show": lambda case: None}
        return run_benchmark(options, tmp_path / "out", peak=Peak(side=16, length=64), **given)

    place, record = again()
    assert place == folder_of(options, tmp_path / "out")
    assert comma_separated(record).count("\n") == 4
    assert "the book's NumPy loop" in markdown(record)
    record["environment"]["cores"] = 1000
    write_record(place / "record.json", record)
    assert again()[1]["environment"]["cores"] != 1000
    assert any("measured anew" in line for line in said)
    (place / "record.json").write_text("{}")
    with pytest.raises(JaxbqError, match="damaged"):
        read_record(place / "record.json")


@pytest.mark.slow
def test_memory_of_a_program_grows_by_as_much_an_image():
    # Multiples of the most lanes, so that all have as many.
    images = (1280, 2560, 3840)
    sizes = [measure("ascent", n, 2, SIZES, "float32")["program"] for n in images]
    assert sizes[2] - sizes[1] == pytest.approx(sizes[1] - sizes[0], rel=0.1)
    assert sizes[0] < sizes[1] < 30 * 30 * 4 * images[1]


# That the contenders do the same work.


def test_the_books_loop_is_jaxbqs_rule(tiny, x64):
    model = MLP(SIZES, bias=False)
    params = model.init(jax.random.key(3), jnp.float64)
    pixels = np.rint(tiny.train_images * 255).astype(float) / 255
    by_loop = book.Book(layers_of(params), 0.1).read(
        book.records_of(tiny.train_images, tiny.train_labels)
    )
    rule = BookTraining()
    codes = rule.codes.matrix(3)[tiny.train_labels]
    by_step = book.Book(layers_of(params), 0.1).step_through(book.scaled(pixels), codes)
    from jaxbq.training.rules import TrainingArrays

    arrays = TrainingArrays(jnp.asarray(book.scaled(pixels)), jnp.asarray(codes))
    ours, _, _ = rule.epoch(model, params, (), arrays, jnp.arange(len(codes)))
    for found in (by_loop, by_step):
        np.testing.assert_allclose(found.wih, ours[0].weight.T, atol=1e-10)
        np.testing.assert_allclose(found.who, ours[1].weight.T, atol=1e-10)
    assert np.abs(by_loop.wih - np.asarray(params[0].weight).T).max() > 0.01


@pytest.fixture
def network(rng):
    model, params = problems.random_network(SIZES, rng)
    return model, params, layers_of(params), targets_of(3, 6)


def test_numpys_inverses_are_jaxbqs(network, x64):
    model, params, _, targets = network
    params = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), params)
    layers = layers_of(params)

    def ours(method):
        return invert(method, model, params, targets).images[:, 0]

    found = book.backquery(tuple((w, None) for w, _ in layers), targets)
    np.testing.assert_allclose(found, ours(Transpose()), atol=1e-10)
    for clip in (True, False):
        method = PseudoInverse(hidden_policy="clip", pixel_policy="clip" if clip else "none")
        found = numpy_methods.pseudo_inverse(layers, targets, clip=clip)
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

    np.testing.assert_allclose(left(numpy_methods.box(layers, targets)), left(ours), atol=0.05)


def test_scipys_preimages_answer_as_jaxbqs_do(network):
    model, params, layers, _ = network
    targets = np.asarray(model.apply(params, np.full((2, 30), 0.4, np.float32)), np.float64)
    found = numpy_methods.preimage(layers, targets, np.full((2, 30), 0.5))
    ours = invert(Preimage(), model, params, targets).images[:, 0]
    for images in (found, ours):
        assert images.min() >= 0
        np.testing.assert_allclose(model.apply(params, jnp.asarray(images)), targets, atol=1e-4)
    descended = lbfgs(layers, targets, np.full((2, 30), 0.5), 300, tolerance=1e-3)()
    np.testing.assert_allclose(model.apply(params, jnp.asarray(descended)), targets, atol=1e-3)


def test_starts_are_those_of_jaxbq_and_the_slack_is_enough(session):
    targets = session.targets(3)
    stay = Ascent(start="random", restarts=2, steps=1, stop=NEVER, path=(0,))
    result = invert(stay, session.model, session.params, targets, reference=session.data)
    first = result.diagnostics["path"][0, :, 0]
    order = result.diagnostics["restart"][0]
    np.testing.assert_allclose(starts_of(session)[order], first, atol=1e-6)
    room = slack(targets, 1e-3)
    for side in (-1, 1):
        assert np.abs(expit(logit(targets) + side * room) - targets).max() <= 1e-3
    assert np.abs(expit(logit(targets) + 1.1 * room) - targets).max() > 1e-3


def test_methods_without_a_like_say_so(network, tiny):
    model, params, layers, targets = network
    from jaxbq.benchmark.parts.methods import Asked

    asked = Asked(tiny, model, params, layers, targets)
    found = peer_of(Projected(method=Transpose()), asked)
    assert found.call is None
    assert found.note == "there is none that does the same"
    assert peer_of(PseudoInverse(), asked).name == "SciPy, lsq_linear"


def test_pytorchs_ascents_are_jaxbqs(network):
    pytest.importorskip("torch")
    from jaxbq.benchmark.peers import pytorch_ascent

    model, params, layers, targets = network
    ours = invert(Ascent(steps=5, stop=NEVER, path=(5,)), model, params, targets)
    wanted = ours.diagnostics["path"][:, 0, 0]
    np.testing.assert_allclose(pytorch_ascent.eager(layers, targets, 5)(), wanted, atol=1e-4)
    assert np.abs(wanted - 0.5).max() > 0.1


# In a process of its own: PyTorch cannot compile functions whose types are checked as here.
COMPILED = """
import dataclasses, jax, numpy as np
from jaxbq.benchmark import load_benchmark
from jaxbq.benchmark.parts.training import Ours, task_of
from jaxbq.benchmark.peak import Peak
from jaxbq.benchmark.peers import pytorch_ascent
from jaxbq.benchmark.peers.pytorch_training import Compiled
from jaxbq.benchmark.session import Session

short = ["training.epochs=1", "inverted.epochs=1"]
options = load_benchmark(None, ['data={kind="idx",path="data"}', "hidden=[8]", *short])
session = Session(options, Peak(), print)
given = session.layers, session.targets(6), 5
apart = pytorch_ascent.compiled(*given)() - pytorch_ascent.eager(*given)()
task = task_of(session)
task = dataclasses.replace(task, batch=len(task.codes))
compiled, ours = Compiled(task), Ours(session, task)
ours._rule = dataclasses.replace(ours._rule, batch_size=task.batch)
for _ in range(3):
    compiled.epoch()
    ours.epoch()
pairs = zip(compiled.weights, jax.tree.leaves(ours._params), strict=True)
print(np.abs(apart).max(), max(np.abs(a - b).max() for a, b in pairs))
"""


@pytest.mark.slow
def test_compiled_pytorch_is_eager_pytorch_and_jaxbq(folder):
    pytest.importorskip("torch")
    if shutil.which("g++") is None:
        pytest.skip("torch.compile needs a C++ compiler")
    answer = subprocess.run(
        [sys.executable, "-c", COMPILED],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(CONFIG.parent.parent)},
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    ascents, weights = map(float, answer.stdout.splitlines()[-1].split())
    assert ascents < 1e-4
    assert weights < 1e-5


def test_every_learner_takes_the_same_step(session):
    """Of one batch that holds all images, so that their order is of no account."""
    pytest.importorskip("torch")
    from jaxbq.benchmark.peers.pytorch_training import Eager

    task = task_of(session)
    task = dataclasses.replace(task, batch=len(task.codes))
    for how in ({}, {"loader": True}, {"fused": False}):
        eager = Eager(task, **how)
        ours = Ours(session, task)
        ours._rule = dataclasses.replace(ours._rule, batch_size=task.batch)
        for _ in range(3):
            eager.epoch()
            ours.epoch()
        (linear, _, last) = eager._network
        for theirs, layer in ((linear, ours._params[0]), (last, ours._params[1])):
            np.testing.assert_allclose(theirs.weight.detach().T, layer.weight, atol=1e-5)
            np.testing.assert_allclose(theirs.bias.detach(), layer.bias, atol=1e-5)
        assert eager.accuracy() == ours.accuracy()


def test_what_rare_pixels_spare_is_not_counted(session, monkeypatch):
    """A product forward and one to the weights for every use, two operations a multiplication."""
    task = task_of(session)
    whole = Ours(session, task)
    assert whole.flops == training_flops(session.model.sizes, len(task.codes))
    monkeypatch.setattr(rules, "_WORTHWHILE", 1)
    images = task.data.train_images.copy()
    images[:, :5] = 0.25
    images[3, 2] = 0.5
    parted = Ours(
        session, dataclasses.replace(task, data=dataclasses.replace(task.data, train_images=images))
    )
    units = session.model.sizes[1]
    assert whole.flops - parted.flops == 4 * units * (5 * len(task.codes) - 1)


def test_scikit_learn_learns(session):
    pytest.importorskip("sklearn")
    from jaxbq.benchmark.peers.sklearn_training import Classifier

    classifier = Classifier(dataclasses.replace(task_of(session), rate=0.05))
    for _ in range(10):
        classifier.epoch()
    assert classifier.accuracy() > 0.8


@pytest.mark.parametrize("drop", [False, True])
def test_projected_adam_reaches_and_says_so(session, drop):
    pytest.importorskip("torch")
    from jaxbq.benchmark.peers.pytorch_target import Problem, ProjectedAdam, best_of

    targets = session.targets(6)
    starts = np.tile(starts_of(session), (3, 1))
    problem = Problem(session.layers, targets, starts, 0.05, 5, (0.9, 0.95))

    def make(cost):
        return ProjectedAdam(problem, cost, compiled=False, drop=drop)

    found = make("logits").run(0.1, 400)
    errors = errors_of(session, found.images[:, None], targets)[:, 0]
    np.testing.assert_array_equal(errors <= 0.05, found.reached)
    assert found.error == sorted(found.error, reverse=True)
    assert found.images.min() >= 0
    assert found.images.max() <= 1
    best = best_of((1e-5, 0.1), 400, make)
    assert best.rate == 0.1
    assert best.reached == found.reached.sum()
