"""Relaxed images, held to linear programs."""

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.special import expit
from small_networks import network_of, weights_of

from jaxbq.certification import relaxed_images
from jaxbq.data import ImageSpace


def envelope(z: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The corners of the least concave function above points in the order of z."""
    kept = [0]
    while kept[-1] < len(z) - 1:
        n = kept[-1]
        slopes = (y[n + 1 :] - y[n]) / (z[n + 1 :] - z[n])
        kept.append(n + 1 + int(slopes.argmax()))
    return z[kept], y[kept]


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_relaxed_images_are_as_good_as_the_optima_of_linear_programs(rng, x64, low):
    weights = weights_of((6, 5, 3), rng, "sigmoid")
    images = relaxed_images(*network_of(weights), ImageSpace((2, 3), low, 1.0))
    assert images.shape == (3, 6)
    assert low <= images.min() <= images.max() <= 1
    w, b = weights.inner, weights.bias
    ends = np.stack([low * w, w])
    grid = np.linspace(b + ends.min(0).sum(0), b + ends.max(0).sum(0), 401)
    for v, image in zip(weights.outer.T, images, strict=True):
        corners = [envelope(*both) for both in zip(grid.T, (v * expit(grid)).T, strict=True)]

        def reached(x: np.ndarray, corners=corners) -> float:
            return sum(np.interp(z, *own) for z, own in zip(x @ w + b, corners, strict=True))

        # Variables: pixels, and what stands for each unit, below the lines between its corners.
        rows, most = [], []
        for unit, (z, y) in enumerate(corners):
            slope = np.diff(y) / np.diff(z)
            own = np.eye(5)[unit]
            rows += [np.concatenate([-s * w[:, unit], own]) for s in slope]
            most += list(y[:-1] + slope * (b[unit] - z[:-1]))
        bounds = [(low, 1.0)] * 6 + [(None, None)] * 5
        best = -linprog(np.repeat([0, -1], [6, 5]), np.array(rows), most, bounds=bounds).fun
        span = sum(np.ptp(y) for _, y in corners)
        assert best - 1e-3 * span < reached(image) < best + 1e-3 * span
        # What is no optimum is far below.
        assert reached(np.full(6, (low + 1) / 2)) < best - 0.02 * span
