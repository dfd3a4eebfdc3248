"""All that the page shows, read from the files of a run folder and checked."""

import math
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...errors import JaxbqError
from ...experiment import RunFolder
from ...experiment.folder import AUTOENCODERS, NATURALNESS, read_csv
from ...methods import Result
from ...network.files import NetworkFile, load_network
from ...options import describe
from .checked import Row, damaged, read_mapping, read_records, read_table

Key = tuple[str, int, int, int]
"""Which image: network, number of the method, target, sample."""

_NEEDED = ("network", "method", "target", "sample")


class Nearest(NamedTuple):
    """The nearest training images of images.

    Args:
        found: indices of training images by image, nearest first; of best images alone.
        images: training images by index.
        labels: their classes by index.
    """

    found: Mapping[Key, Sequence[int]]
    images: Mapping[int, np.ndarray]
    labels: Mapping[int, int]


@dataclass(frozen=True, eq=False)
class Run:
    """What a run folder holds.

    Args:
        folder: where it is.
        config: every option, resolved.
        environment: versions, device, checksums; and the command, where it was kept.
        network: the first network.
        trained: names of the trained networks.
        controls: names of those that have learnt nothing.
        methods: names of the methods, in the order of the config.
        results: what every method returned, by network.
        table: the scores, one row an image.
        scores: the same by image.
        costs: one row a network and method.
        spreads: one row a network and target of methods with several images.
        pairs: one row a comparison of two methods.
        accuracies: share of the test images that a network reads right, where it is known.
        robustness: what an attack leaves of that, where it was measured.
        judges: what is known of every judge.
        panel: what is known of every network that transfer is measured with.
        real: quantiles of what real test images score.
        autoencoders: how well each gives test images back.
        traces: tables of layers, of analytic methods.
        nearest: nearest training images.
    """

    folder: RunFolder
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    network: NetworkFile
    trained: Sequence[str]
    controls: Sequence[str]
    methods: Sequence[str]
    results: Mapping[str, Sequence[Result]]
    table: list[Row]
    scores: Mapping[Key, Row]
    costs: list[Row] = field(default_factory=list)
    spreads: list[Row] = field(default_factory=list)
    pairs: list[Row] = field(default_factory=list)
    accuracies: Mapping[str, float] = field(default_factory=dict)
    robustness: Mapping[str, Any] = field(default_factory=dict)
    judges: Sequence[Mapping[str, Any]] = ()
    panel: Sequence[Mapping[str, Any]] = ()
    real: Mapping[str, Sequence[float]] = field(default_factory=dict)
    autoencoders: Sequence[Mapping[str, Any]] = ()
    traces: Sequence[Mapping[str, Any]] = ()
    nearest: Nearest | None = None

    @property
    def first(self) -> Sequence[Result]:
        """What every method returned for the first network."""
        return self.results[self.trained[0]]

    @property
    def columns(self) -> list[str]:
        """Columns of the scores."""
        return list(self.table[0]) if self.table else []


def read_run(folder: RunFolder) -> Run:
    """Read a run folder.

    Raises:
        JaxbqError: it lacks networks, images or scores, or a file is damaged.
    """
    results = _results(folder)
    trained = sorted((name for name in results if name.isdecimal()), key=int)
    if not trained:
        raise JaxbqError(f"{folder.path}: no inversions there; run its config first")
    methods = [describe(result.method) for result in results[trained[0]]]
    table = read_table(folder.scores, _NEEDED)
    if not table:
        raise JaxbqError(f"{folder.path}: no {folder.scores.name} there; run its config first")
    return Run(
        folder=folder,
        config=read_mapping(folder, "config.json"),
        environment=read_mapping(folder, "environment.json"),
        network=load_network(folder.network(int(trained[0]))),
        trained=trained,
        controls=sorted(set(results) - set(trained)),
        methods=methods,
        results=results,
        table=table,
        scores=_by_image(folder.scores, table, methods),
        costs=read_table(folder.path / "cost.csv", ("network", "method")),
        spreads=read_table(folder.spread, ("network", "method", "target")),
        pairs=read_table(folder.path / "tables" / "pairs.csv", ()),
        accuracies=_accuracies(folder, results),
        robustness={
            name: read_mapping(folder, f"networks/{name}.robustness.json")
            for name in results
            if (folder.networks / f"{name}.robustness.json").exists()
        },
        judges=read_records(folder, "judges.json", ("name",)),
        panel=read_records(folder, "transfer.json", ("name",)),
        real=_real(folder),
        autoencoders=read_records(folder, AUTOENCODERS, ("autoencoder", "error")),
        traces=read_records(folder, "traces.json", ("method_number", "target")),
        nearest=_nearest(folder.path / "nearest.npz"),
    )


def _results(folder: RunFolder) -> dict[str, list[Result]]:
    """Read what the methods returned, of every network that has all of the first one's methods."""
    parts = sorted(part for part in folder.inversions.glob("*") if part.is_dir())
    found = {
        part.name: [folder.read_result(p) for p in sorted(part.glob("*.npz"))] for part in parts
    }
    results = {name: own for name, own in found.items() if own}
    for name, own in results.items():
        shapes = {(result.targets.shape, result.space) for result in own}
        for result in own:
            _check(folder.inversions / name, result)
        if len(shapes) > 1 or len(own) != len(next(iter(results.values()))):
            raise damaged(folder.inversions / name, "its files do not belong together")
    return results


def _check(path: Path, result: Result) -> None:
    """Check that the arrays of a result fit each other."""
    targets, images = result.targets.shape, result.images.shape
    fits = (
        len(targets) == 2
        and len(images) == 3
        and images[0] == targets[0]
        and images[2] == result.space.pixels
        and result.outputs.shape == (*images[:2], targets[1])
        and result.reasons.shape == images[:2] == result.iterations.shape
    )
    if not fits or not images[1]:
        raise damaged(path, "arrays of a result do not fit each other")


def _by_image(path: Path, table: Iterable[Row], methods: Sequence[str]) -> dict[Key, Row]:
    numbers = {name: number for number, name in enumerate(methods)}
    try:
        return {
            (row["network"], numbers[row["method"]], int(row["target"]), int(row["sample"])): row
            for row in table
            if row["method"] in numbers
        }
    except ValueError as fault:
        raise damaged(path, fault) from None


def _accuracies(folder: RunFolder, networks: Iterable[str]) -> dict[str, float]:
    """Read how well each network does on test images, after the last epoch."""
    found = {}
    for name in networks:
        path = folder.networks / f"{name}.history.csv"
        rows = read_csv(path) if path.exists() else []
        if rows:
            try:
                found[name] = float(rows[-1]["test_accuracy"])
            except (KeyError, ValueError, TypeError) as fault:
                raise damaged(path, fault) from None
    return found


def _real(folder: RunFolder) -> dict[str, list[float]]:
    """Read what real test images score; what is not known is NaN."""
    try:
        return {
            name: [math.nan if value is None else float(value) for value in quantiles]
            for name, quantiles in read_mapping(folder, NATURALNESS).items()
        }
    except (TypeError, ValueError) as fault:
        raise damaged(folder.path / NATURALNESS, fault) from None


def _nearest(path: Path) -> Nearest | None:
    if not path.exists():
        return None
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            part = {name: file[name] for name in file.files}
        which = (part[name].tolist() for name in ("network", "method_number", "target"))
        keys = [(str(k), int(m), int(t), 0) for k, m, t in zip(*which, strict=True)]
        unique = part["unique"].tolist()
        images = dict(zip(unique, part["images"], strict=True))
        labels = dict(zip(unique, part["labels"].tolist(), strict=True))
        return Nearest(dict(zip(keys, part["index"].tolist(), strict=True)), images, labels)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as fault:
        raise damaged(path, fault) from None
