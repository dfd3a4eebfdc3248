"""What a run found, as files: scores, costs, neighbours, traces, and who measured."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..data import Dataset
from ..diagnosis import LayerTrace, trace
from ..diagnosis.trace import to_plain
from ..evaluation import Judge, NaturalnessScale, Panel, Scores, on_noise, score, spread
from ..methods import Result, reason_name
from ..methods.analytic import Analytic
from ..network.files import NetworkFile
from ..options import describe
from ..runtime.files import write_npz
from .cells import Listener
from .config import Experiment
from .folder import JUDGES, NATURALNESS, TRACES, TRANSFER, NetworkName, RunFolder, write_csv

_IMAGE = ("network", "method", "target", "sample")
SCORE_COLUMNS = (*_IMAGE, "reason", "iterations", *Scores._fields)
SPREAD_COLUMNS = ("network", "method", "target", "samples", "distinct", "mean_correlation")
COST_COLUMNS = ("network", "method", "prepare", "compile", "run", "images", "steps", "operations")


def score_rows(
    results: Mapping[NetworkName, list[Result]],
    output: str,
    data: Dataset,
    scale: NaturalnessScale,
    judges: Sequence[Judge],
    panel: Panel | None,
) -> Iterator[list[Any]]:
    """One row an image, methods of each network in the order of the config."""
    for network, result in _named(results):
        scores = score(result, output, data, scale=scale, judges=judges, panel=panel)
        for target, sample in np.ndindex(*result.images.shape[:2]):
            yield [
                network,
                describe(result.method),
                target,
                sample,
                reason_name(result.reasons[target, sample]),
                int(result.iterations[target, sample]),
                *(values[target, sample].item() for values in scores),
            ]


def spread_rows(results: Mapping[NetworkName, list[Result]]) -> Iterator[list[Any]]:
    """One row a target, for the methods that give several images of each."""
    for network, result in _named(results):
        samples = result.images.shape[1]
        if samples > 1:
            found = spread(result.images)
            for target, (distinct, alike) in enumerate(zip(*found, strict=True)):
                name = describe(result.method)
                yield [network, name, target, samples, int(distinct), float(alike)]


def cost_rows(results: Mapping[NetworkName, list[Result]]) -> Iterator[list[Any]]:
    """One row a network and method: seconds to prepare, compile and run; what that took."""
    for network, result in _named(results):
        seconds = result.seconds
        yield [
            network,
            describe(result.method),
            seconds.prepare,
            seconds.compile,
            seconds.run,
            result.iterations.size,
            int(result.iterations.max(initial=0)),
            result.operations,
        ]


def _named(results: Mapping[NetworkName, list[Result]]) -> Iterator[tuple[NetworkName, Result]]:
    for network, own in results.items():
        for result in own:
            yield network, result


_NEIGHBOURS = 3
Found = Mapping[NetworkName, list[Result]]


def read_found(
    folder: RunFolder, experiment: Experiment, networks: Iterable[NetworkName]
) -> dict[NetworkName, list[Result]]:
    """Read what every method returned for every network.

    Raises:
        JaxbqError: a file is damaged.
    """
    return {
        name: [
            folder.read_result(folder.inversion(name, n, m))
            for n, m in enumerate(experiment.methods)
        ]
        for name in networks
    }


def write_outcome(
    folder: RunFolder,
    experiment: Experiment,
    networks: Mapping[NetworkName, NetworkFile],
    found: Found,
    data: Dataset,
    listener: Listener,
) -> None:
    """Measure every image that was found and write what comes of it; the scores last."""
    listener.say("scoring: measuring every image")
    judges = _judges(folder, experiment, data, listener)
    panel = _panel(folder, experiment, data)
    scale = experiment.scores.scale(data)
    folder.write_json(NATURALNESS, scale.real)
    _write_traces(folder, experiment, networks[0], found[0], data)
    _write_nearest(folder, found, data, scale)
    write_csv(folder.cost, COST_COLUMNS, cost_rows(found))
    write_csv(folder.spread, SPREAD_COLUMNS, spread_rows(found))
    rows = score_rows(found, networks[0].model.output, data, scale, judges, panel)
    write_csv(folder.scores, SCORE_COLUMNS, rows)


def is_scored(folder: RunFolder) -> bool:
    """Tell whether the table of scores, which is written last, is there as it would be written."""
    if not folder.scores.exists():
        return False
    with folder.scores.open(encoding="utf-8", errors="replace") as file:
        return file.readline().rstrip("\n") == ",".join(SCORE_COLUMNS)


def _judges(
    folder: RunFolder, experiment: Experiment, data: Dataset, listener: Listener
) -> tuple[Judge, ...]:
    judges = experiment.scores.judges_of(data)
    rows = []
    for judge in judges:
        noise = on_noise(judge, data)
        listener.say(
            f"judge, {judge.name}: reads {judge.test_accuracy:.1%} of the test images right, "
            f"{noise.noise_right:.0%} of noise images as a class asked at random, "
            f"at a confidence of {noise.noise_confidence:.0%}"
        )
        about = {name: getattr(judge, name) for name in ("name", "description", "parameters")}
        rows.append(about | {"test_accuracy": judge.test_accuracy} | to_plain(noise._asdict()))
    folder.write_json(JUDGES, rows)
    return judges


def _panel(folder: RunFolder, experiment: Experiment, data: Dataset) -> Panel | None:
    panel = experiment.scores.panel(data)
    members = panel.members if panel else ()
    folder.write_json(
        TRANSFER, [{"name": each.name, "test_accuracy": each.test_accuracy} for each in members]
    )
    return panel


def _write_traces(
    folder: RunFolder,
    experiment: Experiment,
    network: NetworkFile,
    results: list[Result],
    data: Dataset,
) -> None:
    """Keep the numbers of every layer for the first target, of the methods that go by layers."""
    rows = []
    for number, method in enumerate(experiment.methods):
        if isinstance(method, Analytic):
            target = results[number].targets[0]
            found = trace(method, network.model, network.params, target, reference=data)
            rows.append(
                {
                    "method": describe(method),
                    "method_number": number,
                    "target": 0,
                    "reason": found.reason,
                    "layers": [to_plain(dict(_numbers(layer))) for layer in found.layers],
                }
            )
    folder.write_json(TRACES, rows)


def _numbers(layer: LayerTrace) -> Iterator[tuple[str, Any]]:
    """Every number of a layer but its vectors, which are as long as the layer is wide."""
    for field in dataclasses.fields(layer):
        value = getattr(layer, field.name)
        if not isinstance(value, np.ndarray):
            yield field.name, value


def _write_nearest(folder: RunFolder, found: Found, data: Dataset, scale: NaturalnessScale) -> None:
    """Keep the training images nearest to the best image of every network, method and target."""
    rows = [
        (str(name), number, target, result.images[target, 0])
        for name, results in found.items()
        for number, result in enumerate(results)
        for target in range(len(result.images))
    ]
    names, numbers, targets, images = zip(*rows, strict=True)
    number = min(_NEIGHBOURS, len(data.train_images))
    index = scale.neighbours(np.stack(images), number)
    unique = np.unique(index)
    arrays = {
        "network": np.array(names),
        "method_number": np.array(numbers),
        "target": np.array(targets),
        "index": index,
        "unique": unique,
        "images": data.train_images[unique],
        "labels": data.train_labels[unique],
    }
    write_npz(folder.nearest, arrays)
