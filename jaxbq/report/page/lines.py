"""The geometry of small line drawings: an objective over steps."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from .numbers import coordinate, plain

WIDTH, HEIGHT = 560.0, 190.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 62.0, 46.0, 10.0, 30.0
_POINTS = 80
_APART = 13.0  # pixels between the labels at the ends of lines


class Line(NamedTuple):
    """One line and its label."""

    name: str
    points: str
    end: str
    label: str


class Drawing(NamedTuple):
    """Lines over steps, with the ends of both axes."""

    title: str
    lines: Sequence[Line]
    last: str
    low: str
    high: str
    words: str


def drawing(
    title: str, curves: Float[np.ndarray, "lines points"], names: Sequence[str]
) -> Drawing | None:
    """Draw lines over steps from 0; None where there is nothing finite to draw.

    Args:
        title: what is drawn.
        curves: values at steps 0, 1, …
        names: of the lines.
    """
    known = curves[np.isfinite(curves)]
    if curves.shape[1] < 2 or not known.size:
        return None
    low, high = float(known.min()), float(known.max())
    last = curves.shape[1] - 1
    steps = np.unique(np.linspace(0, last, min(_POINTS, last + 1)).round().astype(int))
    places = [_path(curve, steps, last, low, high) for curve in curves]
    ends = _spread([_up(_end(curve), low, high) for curve in curves])
    lines = [
        Line(name, path, coordinate(_up(_end(curve), low, high)), coordinate(label))
        for name, path, curve, label in zip(names, places, curves, ends, strict=True)
    ]
    words = f"{title}: from {plain(_first(curves[0]))} at step 0 to {plain(_end(curves[0]))} at "
    words += f"step {last} for {names[0]}; over all between {plain(low)} and {plain(high)}"
    return Drawing(title, lines, str(last), plain(low), plain(high), words)


def _path(curve: np.ndarray, steps: np.ndarray, last: int, low: float, high: float) -> str:
    wide = WIDTH - _LEFT - _RIGHT
    return " ".join(
        f"{coordinate(_LEFT + wide * step / last)},{coordinate(_up(float(curve[step]), low, high))}"
        for step in steps.tolist()
        if math.isfinite(curve[step])
    )


def _up(value: float, low: float, high: float) -> float:
    tall = HEIGHT - _TOP - _BOTTOM
    part = 0.5 if high == low or not math.isfinite(value) else (value - low) / (high - low)
    return _TOP + tall * (1 - part)


def _first(curve: np.ndarray) -> float:
    known = curve[np.isfinite(curve)]
    return float(known[0]) if known.size else math.nan


def _end(curve: np.ndarray) -> float:
    known = curve[np.isfinite(curve)]
    return float(known[-1]) if known.size else math.nan


def _spread(places: Sequence[float]) -> list[float]:
    """Move labels apart, as little as may be, keeping their order."""
    order = sorted(range(len(places)), key=lambda n: (places[n], n))
    apart = min(_APART, (HEIGHT - _BOTTOM - _TOP + 10) / max(len(places) - 1, 1))
    moved, top = [0.0] * len(places), -math.inf
    for n in order:
        top = max(places[n], top + apart)
        moved[n] = top
    # What was pushed out below is pushed back up.
    floor = HEIGHT - _BOTTOM + 4
    for n in reversed(order):
        moved[n] = min(moved[n], floor)
        floor = moved[n] - apart
    return moved
