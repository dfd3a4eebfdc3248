import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from small_networks import weights_of

from jaxbq.certification.envelope import Problem, solve
from jaxbq.certification.verifier import Region, root_intervals


@pytest.mark.parametrize("radius", [np.inf, 0.6])
@pytest.mark.parametrize("bent", [False, True])
def test_where_the_envelope_is_the_function_the_image_is_scipys(x64, rng, bent, radius):
    """Sigmoids above 0 with weights above 0 are concave; a quadratic and slopes keep them so."""
    pixels, units = 6, 5
    weights = weights_of((pixels, units, 1), rng, "sigmoid")
    weights = weights._replace(bias=np.abs(weights.inner).sum(axis=0) + 0.1)
    v = rng.uniform(0.5, 2, units)
    centre = rng.uniform(0.3, 0.7, pixels)
    region = Region(np.zeros(pixels), np.ones(pixels), centre, radius)
    problem = Problem.of(weights, region)
    bend, about, lean = np.zeros(units), np.zeros(units), np.zeros(pixels)
    if bent:
        bend, about = rng.uniform(0, 0.2, units), weights.bias + rng.normal(size=units)
        lean = rng.normal(size=pixels)
        problem = problem._replace(bend=bend, about=about, lean=lean)
    low, high = root_intervals(weights, region)
    found = solve("sigmoid", problem, v[None], low[None], high[None], np.asarray(1e-9))

    def off(x):
        z = x @ weights.inner + weights.bias
        return -(v @ expit(z) - bend @ (z - about) ** 2 + lean @ x)

    ball = {"type": "ineq", "fun": lambda x: radius**2 - ((x - centre) ** 2).sum()}
    best = minimize(
        off,
        centre,
        bounds=[(0, 1)] * pixels,
        constraints=[ball] if np.isfinite(radius) else [],
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 500},
    )
    assert best.success
    np.testing.assert_allclose(off(np.asarray(found.image[0])), best.fun, rtol=1e-4)
    np.testing.assert_allclose(found.image[0], best.x, atol=0.02)
