"""What a run found, as files: scores, costs, neighbours, traces, and who measured."""

import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..data import Dataset
from ..diagnosis import layer_facts
from ..diagnosis.trace import to_plain
from ..evaluation import Panel, Scores, on_noise, score_together, spread
from ..evaluation.independent import finite, logits_of
from ..evaluation.scores import intended_classes, usual_ratio
from ..evaluation.similarity import Spread
from ..methods import Result, reason_name
from ..methods.analytic import Analytic
from ..network.activations import activation
from ..options import describe
from ..runtime.files import remove, write_npz, write_text
from .cells import Executor, Job
from .environment import versions
from .folder import JUDGES, NATURALNESS, TRACES, TRANSFER, NetworkName, RunFolder, write_csv

_IMAGE = ("network", "method", "target", "sample")
SCORE_COLUMNS = (*_IMAGE, "reason", "iterations", *Scores._fields)
SPREAD_COLUMNS = ("network", "method", "target", "samples", *Spread._fields)
COST_COLUMNS = ("network", "method", "prepare", "compile", "run", "images", "steps", "operations")

# Diagnostics of analytic methods that are of layers, and what the trace calls them.
_OF_LAYERS = {name: name for name in ("outside_share", "outside_amount", "found_range", "apart")}
_OF_LAYERS |= {f"residual_{when}_policy": f"residual_{when}" for when in ("before", "after")}
_NEIGHBOURS = 3
_REAL = 200  # test images of a class, at most, whose distances are the measure of diversity


@dataclasses.dataclass(frozen=True)
class ScoringCell:
    """The scores of all images of one network.

    Args:
        network: which.
    """

    network: NetworkName

    def inputs(self, job: Job) -> list[Path]:
        """Name the files of the network and of what the methods returned for it."""
        found = _inversions(job, self.network)
        return [
            job.folder.network(self.network),
            *(p for f in found for p in (f, f.with_suffix(".json"))),
        ]

    def compute(self, job: Job) -> list[Path]:
        """Measure every image, and write a part of each table."""
        folder, experiment, data = job.folder, job.experiment, job.data
        scale, panel = experiment.scores.scale(data), experiment.scores.panel(data)
        judges = experiment.scores.judges_of(data)
        output = job.network(self.network).model.output
        usual = None if panel is None else self._usual(job, panel)
        rows: dict[str, Any] = {"code": versions()["jaxbq"], "scores": [], "spread": [], "cost": []}
        best = []
        results = [folder.read_result(file) for file in _inversions(job, self.network)]
        found = score_together(
            results, output, data=data, scale=scale, judges=judges, panel=panel, usual=usual
        )
        for result, scores in zip(results, found, strict=True):
            row = (self.network, describe(result.method))
            rows["scores"] += [[*row, *values] for values in _score_rows(result, scores)]
            rows["spread"] += [[*row, *values] for values in _spread_rows(result, data)]
            rows["cost"].append([*row, *_cost(result)])
            best.append(result.images[:, 0])
        known = min(_NEIGHBOURS, len(data.train_images))
        rows["nearest"] = scale.neighbours(np.concatenate(best), known).tolist()
        path = folder.scored(self.network)
        write_text(path, json.dumps(rows))
        return [path]

    def _usual(self, job: Job, panel: Panel) -> Float[np.ndarray, " targets"]:
        """Measure what real images have with the network, as a share of what the panel has."""
        network, data = job.network(self.network), job.data
        logits = logits_of(network.model, network.params, finite(data.test_images))
        outputs = np.asarray(activation(network.model.output).apply(jnp.asarray(logits)))
        targets = job.experiment.targets.targets(data.classes, network.model.output)
        return usual_ratio(outputs, network.model.output, targets, data, panel)


def _inversions(job: Job, network: NetworkName) -> list[Path]:
    """Name the file of every method."""
    methods = enumerate(job.experiment.methods)
    return [job.folder.inversion(network, number, method) for number, method in methods]


def _score_rows(result: Result, scores: Scores) -> Iterator[list[Any]]:
    """One row an image."""
    for target, sample in np.ndindex(*result.images.shape[:2]):
        yield [
            target,
            sample,
            reason_name(result.reasons[target, sample]),
            int(result.iterations[target, sample]),
            *(values[target, sample].item() for values in scores),
        ]


def _spread_rows(result: Result, data: Dataset) -> Iterator[list[Any]]:
    """One row a target, of a method that gives several images of each."""
    samples = result.images.shape[1]
    if samples > 1:
        # Of no class, -1, there are none.
        real = [
            data.test_images[data.test_labels == label][:_REAL]
            for label in intended_classes(result.targets)
        ]
        for target, found in enumerate(zip(*spread(result.images, real), strict=True)):
            yield [target, samples, *(value.item() for value in found)]


def _cost(result: Result) -> list[Any]:
    """Seconds to prepare, compile and run; what that took."""
    return [
        *dataclasses.astuple(result.seconds),
        result.iterations.size,
        int(result.iterations.max(initial=0)),
        result.operations,
    ]


def write_scores(job: Job, networks: Sequence[NetworkName], executor: Executor) -> None:
    """Measure every image that was found and write what comes of it; the scores last.

    Raises:
        JaxbqError: a file is damaged.
    """
    folder = job.folder
    job.listener.say("scoring: measuring every image")
    _write_readers(job)
    for name in networks:
        found = folder.read_json(folder.scored(name).relative_to(folder.path))
        if found is not None and found.get("code") != versions()["jaxbq"]:
            remove(folder.scored(name))  # of other columns, or computed otherwise
    missing = [ScoringCell(name) for name in networks if not folder.scored(name).exists()]
    executor.run("scores", missing, job)
    scored = {
        name: folder.read_json(folder.scored(name).relative_to(folder.path)) for name in networks
    }

    def rows(table: str) -> Iterator[list[Any]]:
        return (row for name in networks for row in scored[name][table])

    _write_traces(job)
    _write_nearest(job, {n: found["nearest"] for n, found in scored.items()})
    write_csv(folder.cost, COST_COLUMNS, rows("cost"))
    write_csv(folder.spread, SPREAD_COLUMNS, rows("spread"))
    write_csv(folder.scores, SCORE_COLUMNS, rows("scores"))
    forget_scores(folder, networks, tables=False)


def forget_scores(folder: RunFolder, networks: Iterable[NetworkName], tables: bool = True) -> None:
    """Remove what is scored of networks, and by default the table of all scores."""
    if tables:
        remove(folder.scores)
    for name in networks:
        remove(folder.scored(name))


def check_found(job: Job, networks: Iterable[NetworkName]) -> None:
    """Read what every method returned for every network.

    Raises:
        JaxbqError: a file is damaged.
    """
    for name in networks:
        for file in _inversions(job, name):
            job.folder.read_result(file)


def is_scored(folder: RunFolder) -> bool:
    """Tell whether the table of scores, which is written last, is there as it would be written."""
    if not folder.scores.exists():
        return False
    with folder.scores.open(encoding="utf-8", errors="replace") as file:
        return file.readline().rstrip("\n") == ",".join(SCORE_COLUMNS)


def _write_readers(job: Job) -> None:
    """Say and write who reads the images, and what real images score."""
    folder, data, scores = job.folder, job.data, job.experiment.scores
    rows = []
    for judge in scores.judges_of(data):
        noise = on_noise(judge, data)
        job.listener.say(
            f"judge, {judge.name} ({judge.description}): reads {judge.test_accuracy:.1%} of the "
            f"test images right, accepts {noise.noise_accepted:.1%} of noise images, reads "
            f"{noise.noise_right:.0%} of them as a class asked at random, "
            f"at a confidence of {noise.noise_confidence:.0%}"
        )
        about = {name: getattr(judge, name) for name in ("name", "description", "parameters")}
        rows.append(about | {"test_accuracy": judge.test_accuracy} | to_plain(noise._asdict()))
    folder.write_json(JUDGES, rows)
    panel = scores.panel(data)
    members = panel.members if panel else ()
    folder.write_json(
        TRANSFER, [{"name": each.name, "test_accuracy": each.test_accuracy} for each in members]
    )
    folder.write_json(NATURALNESS, scores.scale(data).real)


def _write_traces(job: Job) -> None:
    """Keep the numbers of every layer for the first target, of the methods that go by layers."""
    folder, methods = job.folder, enumerate(job.experiment.methods)
    analytic = [(number, method) for number, method in methods if isinstance(method, Analytic)]
    if not analytic:
        folder.write_json(TRACES, [])
        return
    network, rows = job.network(), []
    facts = layer_facts(network.params)
    for number, method in analytic:
        result = folder.read_result(folder.inversion(0, number, method))
        # Another version's lacks some.
        known = {name: key for name, key in _OF_LAYERS.items() if name in result.diagnostics}
        layers = [
            {"number": n + 1, "activation": network.model.activations[n].name, "facts": own}
            | {key: result.diagnostics[name][0, 0, n].tolist() for name, key in known.items()}
            for n, own in enumerate(facts)
        ]
        rows.append(
            {
                "method": describe(method),
                "method_number": number,
                "target": 0,
                "reason": reason_name(result.reasons[0, 0]),
                "layers": to_plain(layers),
            }
        )
    folder.write_json(TRACES, rows)


def _write_nearest(job: Job, nearest: Mapping[NetworkName, list[list[int]]]) -> None:
    """Keep the training images nearest to the best image of every network, method and target."""
    data, methods = job.data, len(job.experiment.methods)
    targets = len(next(iter(nearest.values()))) // methods
    rows = itertools.product(map(str, nearest), range(methods), range(targets))
    names, numbers, asked = zip(*rows, strict=True)
    index = np.concatenate([np.array(found) for found in nearest.values()])
    unique = np.unique(index)
    arrays = {
        "network": np.array(names),
        "method_number": np.array(numbers),
        "target": np.array(asked),
        "index": index,
        "unique": unique,
        "images": data.train_images[unique],
        "labels": data.train_labels[unique],
    }
    write_npz(job.folder.nearest, arrays)
