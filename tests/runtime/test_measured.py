import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxbq.runtime import measured as module
from jaxbq.runtime.compiled import compiled_folder
from jaxbq.runtime.measured import measured
from jaxbq.runtime.timing import Stopwatch

USUAL = {"small": "plain", "large": "turned"}
WAYS = ("plain", "turned", "split")
# Seconds of each way.
TAKES = {
    "small": {"plain": 3.0, "turned": 2.0, "split": 1.0},
    "large": {"plain": 2.0, "turned": 1.0, "split": 3.0},
}


class Bench:
    """Ways that take as long as they are told, on a clock of its own."""

    def __init__(self, takes):
        self.takes, self.now, self.prepared, self.turns = takes, 0.0, [], 0

    def clock(self):
        return self.now

    def prepare(self, case, way):
        self.prepared.append((case, way))

        def compute():
            self.turns += 1
            took = self.takes[case][way]
            self.now += took(self.turns) if callable(took) else took

        return compute


@pytest.fixture(autouse=True)
def wanted(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXBQ_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("JAXBQ_MEASURE")


@pytest.fixture
def choose(monkeypatch):
    def choose(bench):
        monkeypatch.setattr(module, "perf_counter", bench.clock)
        return measured("ways", USUAL, WAYS, bench.prepare)

    return choose


def bench(**small):
    return Bench(TAKES | {"small": TAKES["small"] | small})


def file():
    return compiled_folder() / "ways.json"


def test_the_fastest_is_chosen_once_and_read_by_all_others(choose):
    first = bench()
    assert choose(first) == {"small": "split", "large": "turned"}
    assert sorted(first.prepared) == sorted((case, way) for case in USUAL for way in WAYS)
    assert [path.name for path in compiled_folder().iterdir()] == ["ways.json"]
    later = bench(turned=0.1)
    assert choose(later) == {"small": "split", "large": "turned"}
    assert not later.prepared


@pytest.mark.parametrize(
    ("split", "turned", "chosen"),
    [
        (2.9, 2.75, "plain"),  # less than 10 % faster
        (2.7, 2.6, "turned"),
        # Once far faster, and slower as a rule.
        (4.0, lambda turn: 0.5 if turn == 2 else 4.0, "plain"),
        # Disturbed once.
        (4.0, lambda turn: 9.0 if turn == 2 else 2.0, "turned"),
        # Faster in one half of the turns alone.
        (4.0, lambda turn: 1.0 if turn <= 12 else 3.0, "plain"),
        (4.0, lambda turn: 3.0 if turn <= 12 else 1.0, "plain"),
    ],
)
def test_another_way_has_to_be_clearly_faster(choose, split, turned, chosen):
    assert choose(bench(split=split, turned=turned))["small"] == chosen


def test_the_first_writer_wins(choose, monkeypatch):
    slow = bench()
    prepare = slow.prepare

    def late(case, way):
        choose(bench(turned=0.1))
        monkeypatch.setattr(module, "perf_counter", slow.clock)
        return prepare(case, way)

    slow.prepare = late
    assert choose(slow) == {"small": "turned", "large": "turned"}
    assert slow.prepared
    assert [path.name for path in compiled_folder().iterdir()] == ["ways.json"]


def test_a_file_system_without_hard_links_will_do(choose, monkeypatch):
    def refuse(*paths):
        raise PermissionError

    monkeypatch.setattr(module.os, "link", refuse)
    assert (
        choose(bench()) == json.loads(file().read_text()) == {"small": "split", "large": "turned"}
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"small": "split", "lar',
        b"\xff\xfe",
        b"[" * 100_000,
        b'["small", "large"]',
        b'{"small": "split"}',
        b'{"small": "split", "large": "another"}',
        b'{"small": "split", "large": ["turned"]}',
    ],
)
def test_a_damaged_file_is_removed_and_made_anew_by_the_next(choose, content):
    choose(bench())
    file().write_bytes(content)
    idle = bench()
    assert choose(idle) == USUAL
    assert not idle.prepared
    assert not file().exists()
    assert choose(bench())["small"] == "split"


def a_file_in_the_way(monkeypatch):
    compiled_folder().parent.parent.mkdir()
    compiled_folder().parent.write_text("a file")


def anybodys(monkeypatch):
    compiled_folder().parent.mkdir(parents=True)
    compiled_folder().parent.chmod(0o777)


def told_not_to(monkeypatch):
    monkeypatch.setenv("JAXBQ_MEASURE", "0")


def nothing_is_kept(monkeypatch):
    class Config:
        jax_enable_compilation_cache = False

    monkeypatch.setattr(module.jax, "config", Config)


@pytest.mark.parametrize("hinder", [a_file_in_the_way, anybodys, told_not_to, nothing_is_kept])
def test_nothing_is_measured_where_it_cannot_be_kept(choose, monkeypatch, hinder):
    hinder(monkeypatch)
    idle = bench()
    assert choose(idle) == USUAL
    assert not idle.prepared
    assert not file().exists()


def test_a_full_disk_is_no_fault(choose, monkeypatch):
    def full(*given, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.Path, "write_text", full)
    assert choose(bench()) == USUAL
    assert not file().exists()


def test_it_measures_while_jax_traces_and_nobody_counts_it():
    computed = []

    def prepare(case, way):
        compute = jax.jit(lambda x: x + len(case + way))
        one = jnp.ones(3)
        return lambda: computed.append(float(compute(one)[0]))

    @jax.jit
    def double(x):
        measured("ways", USUAL, WAYS, prepare)
        return 2 * x

    x = np.ones(3, np.float32)
    with Stopwatch() as watch:
        assert double(x).tolist() == [2, 2, 2]
    assert set(computed) == {len(case + way) + 1 for case in USUAL for way in WAYS}
    assert watch.programs == 1
    assert file().exists()
