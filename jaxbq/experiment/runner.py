"""Doing an experiment: whatever its run folder lacks."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..data import Dataset
from ..errors import JaxbqError
from ..methods import NeedsMLPError
from ..network.mlp import Network
from ..network.products import choose_forms
from ..options import describe
from ..runtime.ahead import made_ahead
from ..runtime.compiled import kept_programs
from ..runtime.devices import computing
from ..runtime.files import clear_leftovers, remove
from ..runtime.timing import Timing, phase, timed
from ..training import Autoencoder, reconstruction
from .cells import Executor, InProcess, Job, Listener
from .certificates import write_certificates
from .config import Experiment, NetworkConfig
from .environment import checksums, environment
from .folder import AUTOENCODERS, TIMING, NetworkName, RunFolder
from .inversions import cut, missing_inversions, put_together
from .lock import locked
from .python_network import PythonNetwork
from .results import check_found, forget_scores, is_scored, write_scores
from .trainings import take_over, untrained


def run(
    experiment: Experiment,
    out: Path,
    listener: Listener,
    data: Dataset | None = None,
    finish: Callable[[RunFolder, Callable[[], None]], None] | None = None,
    command: str | None = None,
    executor: Executor | None = None,
    code: bool = False,
) -> RunFolder:
    """Do what the run folder of an experiment lacks: train, invert, certify, score.

    Every file is complete or absent, so a run that was stopped goes on where it was; the result is
    the same, to the bit, as that of a run that was not. Compiled programs are kept for later runs.

    Args:
        experiment: the resolved config.
        out: folder that run folders are made in.
        listener: hears how it goes.
        data: the data of ``experiment.data`` where they are loaded already, so that what is made
            of them is not made again for another experiment.
        finish: is given the run folder in the end, while no other run may write to it, and what
            writes down the time that was taken until then.
        command: to repeat the run with; it is kept beside the environment.
        executor: computes trainings, inversions and scores; by default this process.
        code: whether Python code that the config names may be run.

    Returns:
        The run folder.

    Raises:
        JaxbqError: something cannot be done, or another run is doing it; what was finished stays.
    """
    if isinstance(experiment.network, PythonNetwork) and not code:
        file = experiment.network.python
        raise JaxbqError(f"the config runs the code in {file}; if you trust it, give --run-code")
    with timed(Timing()) as timing, kept_programs(), computing(experiment.precision):
        with phase("data"):
            data = experiment.data.load() if data is None else data
        data = experiment.network.seen(data)
        listener.say(f"data: {data.describe()}")
        model = experiment.network.build(data)
        targets = experiment.targets.targets(data.classes, model.output)
        experiment, refused = _applicable(experiment, model, data, targets)
        if refused:
            listener.say(f"not applicable, since the network is no MLP: {', '.join(refused)}")
        folder = RunFolder.of(experiment, out)
        trains = isinstance(experiment.network, NetworkConfig)
        if trains or "permuted_labels" in experiment.controls:
            experiment.training.check(model, len(data.train_labels))
        experiment.scores.check(data)
        if experiment.certificate:
            experiment.certificate.check(data)
        networks = [*range(experiment.networks.seeds), *experiment.controls]
        folder.create(networks)
        with locked(folder.path) as alone:
            if alone:
                clear_leftovers(folder.path)
            job = Job(folder, experiment, data, listener)
            _begin(job, command, refused)
            known = is_scored(folder)
            needed = [] if known else _needed(experiment, data)
            with phase("products"):
                choose_forms()
            # Workers of a cluster make their own.
            with made_ahead(needed if executor is None else ()):
                _fill(job, networks, len(targets), executor or InProcess(), needed)
            _finish(folder, timing, known, finish)
    return folder


def _finish(
    folder: RunFolder,
    timing: Timing,
    known: bool,
    finish: Callable[[RunFolder, Callable[[], None]], None] | None,
) -> None:
    """Keep the time that was taken; a command that only draws a report keeps what is known."""

    def keep_time() -> None:
        if not known:
            folder.write_json(TIMING, timing.so_far())

    if known and not (folder.path / TIMING).exists():
        folder.write_json(TIMING, {})  # nobody knows
    keep_time()
    if finish:
        finish(folder, keep_time)
        keep_time()


def _needed(experiment: Experiment, data: Dataset) -> list[Callable[[], object]]:
    """List what inversions and scores need of the data alone, in the order in which they do."""
    scores = experiment.scores
    found = [found for method in experiment.methods for found in _used(method)]
    makers: list[Callable[[], object]] = [
        partial(a.trained, data.reference, experiment.dtype) for a in dict.fromkeys(found)
    ]
    makers += [partial(make, data) for make in (scores.scale, scores.judges_of, scores.panel)]

    def within(make: Callable[[], object]) -> None:
        with computing(experiment.precision):
            make()

    return [partial(within, make) for make in makers]


def _applicable(
    experiment: Experiment, model: Network, data: Dataset, targets: Any
) -> tuple[Experiment, list[str]]:
    """Leave out the methods that need an MLP where the network is none; name them.

    Raises:
        JaxbqError: a method refuses for another reason, or none is left.
    """
    kept, refused = [], []
    for method in experiment.methods:
        try:
            # Before the first minute of training.
            method.check(model, data.reference, targets)
            kept.append(method)
        except NeedsMLPError as reason:
            refused.append(describe(method))
            last = reason
    if refused and not kept:
        raise JaxbqError(f"no method is applicable: {last}")
    return dataclasses.replace(experiment, methods=tuple(kept)), refused


def _fill(
    job: Job,
    networks: Sequence[NetworkName],
    targets: int,
    executor: Executor,
    needed: Sequence[Callable[[], object]],
) -> None:
    """Do what the folder lacks; scores want what is needed of the data."""
    folder, experiment = job.folder, job.experiment
    _train(job, networks, executor)
    missing = list(missing_inversions(job, networks))
    parts = {}
    if missing:
        # They are of other files than there will be; stopped in between, nobody could tell.
        forget_scores(folder, networks)
        parts = cut(missing, experiment, targets, executor.workers(job.listener))
    pieces = [piece for cell in missing for piece in parts.get(cell, [cell])]
    with phase("invert"):
        executor.run("inversions", [p for p in pieces if not p.is_done(job)], job)
        put_together(job, parts)
    check_found(job, networks)
    _autoencoders(job)
    if not is_scored(folder):
        # From the other end than the thread that makes it ahead, so that both do a part.
        for make in reversed(needed):
            make()
    # What is made ahead is made by now, and takes no time from searches that end by the clock.
    with phase("certify"):
        write_certificates(job, networks, executor)
    if not is_scored(folder):
        with phase("score"):
            write_scores(job, networks, executor)


def _train(job: Job, networks: Sequence[NetworkName], executor: Executor) -> None:
    """Train the networks and controls that the folder lacks, or take over the one in a file."""
    folder, experiment = job.folder, job.experiment
    source = experiment.network
    if not isinstance(source, NetworkConfig):
        take_over(source, job)
    missing = untrained(job)
    if isinstance(source, NetworkConfig) and all(
        isinstance(cell.networks[0], str) for cell in missing
    ):
        several = experiment.networks.seeds > 1
        job.listener.say(f"network{'s' if several else ''}: trained already")
    with phase("training"):
        executor.run("trainings", missing, job)
    # That of all together, and what a run left that was stopped after its last network.
    for name in (None, *networks):
        remove(folder.checkpoint(name))
    for name in networks:
        job.network(name)  # says which is damaged


def _begin(job: Job, command: str | None, refused: Sequence[str]) -> None:
    """Write config and environment, or check that a begun run is about the same data."""
    folder, experiment = job.folder, job.experiment
    if folder.read_json("config.json") is None:
        folder.write_json("config.json", experiment.resolved())
    known = folder.read_json("environment.json")
    sums = checksums(experiment, job.data)
    if known is None:
        about = environment(experiment.precision) | ({"command": command} if command else {})
        if refused:
            about["not_applicable"] = refused
        folder.write_json("environment.json", about | sums)
        return
    for name, checksum in sums.items():
        if not isinstance(known, dict) or known.get(name) != checksum:
            what = "data" if name == "data_sha256" else f"weights in {experiment.network.source}"  # type: ignore[union-attr]
            raise JaxbqError(
                f"{folder.path}: was started with other {what} under the same config; "
                "delete it, or run with --out elsewhere"
            )


def _autoencoders(job: Job) -> None:
    """Train the autoencoders that methods use, and say how well they give test images back."""
    folder, experiment, data = job.folder, job.experiment, job.data
    wanted = list(dict.fromkeys(found for m in experiment.methods for found in _used(m)))
    if not wanted or folder.read_json(AUTOENCODERS) is not None:
        return
    rows = []
    for autoencoder in wanted:
        found = reconstruction(autoencoder, data.reference, data.test_images, experiment.dtype)
        job.listener.say(
            f"{describe(autoencoder)}: mean squared error of test images {found.error:.4f} a pixel "
            f"({autoencoder.code} principal components {found.pca:.4f}, "
            f"the mean image {found.mean_image:.4f})"
        )
        rows.append(dataclasses.asdict(found))
    folder.write_json(AUTOENCODERS, rows)


def _used(options: Any) -> Iterator[Autoencoder]:
    """Find the autoencoders within a method's options."""
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if isinstance(value, Autoencoder):
            yield value
        elif dataclasses.is_dataclass(value):
            yield from _used(value)
