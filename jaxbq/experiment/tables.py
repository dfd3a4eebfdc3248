"""The tables of a run folder, row by row."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..data import Dataset
from ..evaluation import Judge, NaturalnessScale, Panel, Scores, score, spread
from ..methods import Result, reason_name
from ..options import describe
from .folder import NetworkName

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
