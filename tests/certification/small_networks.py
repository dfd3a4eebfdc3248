"""Tiny networks, and the largest values of their objectives by brute force."""

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from jaxbq.certification.maxima import shape_of
from jaxbq.certification.verifier import Claim, Weights
from jaxbq.network.mlp import MLP, Layer, Params

ACTIVATIONS = (
    *("sigmoid", "tanh", "relu", "leaky_relu", "leaky_relu(0.2)", "elu", "elu(0.5)"),
    *("softplus", "identity"),
)


def weights_of(sizes: tuple[int, int, int], rng: np.random.Generator, activation: str) -> Weights:
    pixels, units, outputs = sizes
    return Weights(
        rng.normal(size=(pixels, units)) * 2,
        rng.normal(size=units),
        rng.normal(size=(units, outputs)) * 2,
        rng.normal(size=outputs),
        activation,
    )


def network_of(weights: Weights) -> tuple[MLP, Params]:
    sizes = (*weights.inner.shape, weights.outer.shape[1])
    layers = (Layer(weights.inner, weights.bias), Layer(weights.outer, weights.constants))
    return MLP(sizes, weights.activation), layers


def values(weights: Weights, claim: Claim, images: np.ndarray) -> np.ndarray:
    hidden = shape_of(weights.activation).apply(images @ weights.inner + weights.bias)
    logits = hidden @ weights.outer + weights.constants
    own = logits[:, claim.target]
    if claim.objective == "difference":
        return own - logits[:, claim.other]
    if claim.objective == "margin":
        return own - np.delete(logits, claim.target, axis=1).max(axis=1)
    return own


def largest_on_grid(weights: Weights, claim: Claim, points: int) -> float:
    """The largest value over a grid of images of two pixels, in the set."""
    axis = np.linspace(claim.low, claim.high, points)
    images = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    if claim.norm:
        away = images - claim.centre
        far = np.abs(away).max(1) if claim.norm == "linf" else np.sqrt((away**2).sum(1))
        images = images[far <= claim.radius]
    return float(values(weights, claim, images).max())


def largest_of_relu(weights: Weights, target: int) -> float:
    """The largest logit of a ReLU network over [0, 1]ⁿ: a mixed-integer program, by HiGHS."""
    w, b = weights.inner, weights.bias
    pixels, units = w.shape
    high = np.maximum(b + np.maximum(w, 0).sum(0), 1e-3)
    low = np.minimum(b + np.minimum(w, 0).sum(0), -1e-3)
    one, none = np.eye(units), np.zeros((units, units))
    # Variables: pixels, activations h = max(z, 0), and whether each unit is on.
    constraints = [
        LinearConstraint(np.hstack([-w.T, one, none]), b, np.inf),
        LinearConstraint(np.hstack([-w.T, one, -np.diag(low)]), -np.inf, b - low),
        LinearConstraint(np.hstack([0 * w.T, one, -np.diag(high)]), -np.inf, 0),
    ]
    v = weights.outer[:, target]
    found = milp(
        np.concatenate([np.zeros(pixels), -v, np.zeros(units)]),
        constraints=constraints,
        integrality=np.concatenate([np.zeros(pixels + units), np.ones(units)]),
        bounds=Bounds(0, np.concatenate([np.ones(pixels), high, np.ones(units)])),
        options={"mip_rel_gap": 1e-9},
    )
    assert found.success
    return float(-found.fun + weights.constants[target])
