"""How many programs a run compiles: each once, and none for a second network."""

import contextlib
import dataclasses
import logging
import re
from collections import Counter
from pathlib import Path

import jax
import problems
import pytest

from jaxbq.experiment import Experiment, load_config, run, runner
from jaxbq.experiment.inversions import InversionCell
from jaxbq.runtime.compiled import kept_programs

ALL = Path(__file__).parents[2] / "configs" / "all_methods.toml"
# What compiles within a second or so; `make slow` runs the others too.
SHORT = ("transpose", "ascent", "exemplars", "exemplar_mean", "class_mean", "grey", "noise")
# Settings of the config for 120 images of 12 × 10, as short as can be.
SMALL = ["networks.seeds=2", "training.epochs=2", "controls=['permuted_labels']"]
COMPILED = "/jax/core/compile/backend_compile_duration"
LOOKED_UP = re.compile(r"persistent compilation cache \w+ for '(.*)' with key '(.*)'", re.I)


class Programs(logging.Handler):
    """Notes every program that is looked up in the cache of programs, by the digest of its code.

    Beyond that cache JAX looks a program up only if it has not compiled it in this process, or has
    traced it twice; that it then finds it, compiled, in a folder is not to help here.

    How many programs a part compiles, or reads from that folder, JAX's events say. Which ones they
    are, so that one of them can be told to come twice, its log alone says.
    """

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.clear()

    def clear(self):
        self.of, self.compiled = {}, Counter()
        self.begin("before")

    def begin(self, part):
        self.part, self.now = part, self.of.setdefault(part, Counter())

    def listen(self, event, duration_secs, **_):
        self.compiled[self.part] += event == COMPILED

    def emit(self, record):
        found = LOOKED_UP.search(record.getMessage())
        if found:
            self.now[found[2]] += 1


@pytest.fixture
def programs():
    noted, logger = Programs(), logging.getLogger("jax._src.compiler")
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(noted)
    before, logger.propagate = logger.propagate, False
    jax.monitoring.register_event_duration_secs_listener(noted.listen)
    jax.clear_caches()
    try:
        with kept_programs():
            yield noted
    finally:
        jax.monitoring.unregister_event_duration_listener(noted.listen)
        logger.setLevel(level)
        logger.removeHandler(noted)
        logger.propagate = before


class Listener:
    def __init__(self, programs):
        self.programs = programs

    def say(self, text):
        if text.startswith("scoring"):
            self.programs.begin("scores")

    def epoch(self, metrics, epochs, name="training"):
        self.programs.begin(f"training {name}")

    def progress(self, what, done, total):
        pass


def small(tmp_path: Path, *changes: str) -> Experiment:
    folder = tmp_path / "data"
    folder.mkdir()
    for name, (per_class, seed) in {"train": (40, 1), "t10k": (10, 2)}.items():
        images, labels = problems.striped_bytes(per_class, seed)
        large = images.repeat(2, axis=1).repeat(2, axis=2)
        problems.write_idx(folder / f"{name}-images-idx3-ubyte", large)
        problems.write_idx(folder / f"{name}-labels-idx1-ubyte", labels)
    data = f'data={{kind="idx",path="{folder}"}}'
    return load_config(ALL, [data, *SMALL, *changes])


def run_and_count(experiment, tmp_path, programs, monkeypatch):
    """Run it twice; which programs were looked up, and how many compiled, in every part of each."""
    plain = InversionCell.compute

    def compute(cell, *more):
        programs.begin(f"inversions of {cell.network}")
        return plain(cell, *more)

    measure = runner._autoencoders

    @contextlib.contextmanager
    def made_at_once(tasks):
        # In a thread, its programs would be counted in whatever goes on here.
        programs.begin("made ahead")
        for task in tasks:
            task()
        yield

    def measured(job):
        programs.begin("autoencoders")
        measure(job)

    monkeypatch.setattr(InversionCell, "compute", compute)
    monkeypatch.setattr(runner, "made_ahead", made_at_once)
    monkeypatch.setattr(runner, "_autoencoders", measured)
    found = []
    for name in ("one", "two"):
        programs.clear()
        run(experiment, tmp_path / name, Listener(programs))
        found.append((programs.of, programs.compiled))
    return found


def check(first, second):
    (looked_up, compiled), (_, compiled_again) = first, second
    assert compiled["inversions of 0"] > 0
    assert compiled["inversions of 1"] == 0
    assert compiled["inversions of permuted_labels"] == 0
    assert compiled_again.total() == 0
    total = sum(looked_up.values(), Counter())
    # The log says what it said when this was written: it names every program that was compiled.
    assert total.total() == compiled.total() > 30
    return {name for name, number in total.items() if number > 1}


@pytest.mark.slow
def test_every_program_is_compiled_once(tmp_path, programs, monkeypatch):
    experiment = small(tmp_path, "scores='quick'")
    kinds = {method.kind: method for method in reversed(experiment.methods)}  # the first of each
    short = tuple(kinds[kind] for kind in SHORT)
    counted = run_and_count(
        dataclasses.replace(experiment, methods=short), tmp_path, programs, monkeypatch
    )
    assert not check(*counted)


@pytest.mark.slow
def test_every_program_of_all_methods_is_compiled_once(tmp_path, programs, monkeypatch):
    monkeypatch.setenv("JAXBQ_CACHE", str(tmp_path / "cache"))  # judges are trained, too
    twice = check(*run_and_count(small(tmp_path), tmp_path, programs, monkeypatch))
    # Decoders of outputs and of codes answer by the same code, as do class means and discriminants.
    assert {name.partition("-")[0] for name in twice} <= {"jit__invert"}
    assert len(twice) <= 2
