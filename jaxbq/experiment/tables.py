"""The tables of a run folder, row by row."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..data import Dataset
from ..evaluation import Judge, NaturalnessScale, Scores, score, spread
from ..methods import Result, reason_name
from ..options import describe

_IMAGE = ("network", "method", "target", "sample")
SCORE_COLUMNS = (*_IMAGE, "reason", "iterations", *Scores._fields)
SPREAD_COLUMNS = ("network", "method", "target", "samples", "distinct", "mean_correlation")


def score_rows(
    results: list[list[Result]],
    output: str,
    data: Dataset,
    scale: NaturalnessScale,
    judge: Judge | None,
) -> Iterator[list[Any]]:
    """One row an image, methods of each network in the order of the config."""
    for network, result in _numbered(results):
        scores = score(result, output, data, scale=scale, judge=judge)
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


def spread_rows(results: list[list[Result]]) -> Iterator[list[Any]]:
    """One row a target, for the methods that give several images of each."""
    for network, result in _numbered(results):
        samples = result.images.shape[1]
        if samples > 1:
            found = spread(result.images)
            for target, (distinct, alike) in enumerate(zip(*found, strict=True)):
                name = describe(result.method)
                yield [network, name, target, samples, int(distinct), float(alike)]


def _numbered(results: list[list[Result]]) -> Iterator[tuple[int, Result]]:
    for network, own in enumerate(results):
        for result in own:
            yield network, result
