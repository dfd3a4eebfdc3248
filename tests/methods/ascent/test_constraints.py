import jax
import jax.numpy as jnp
import numpy as np
import problems
import pytest

from jaxbq.methods.ascent import Penalty, Projection, Squash

SPAN = (jnp.asarray(-0.5), jnp.asarray(1.5))
RAW = jnp.asarray([-9.0, -0.5, 0.3, 0.5, 1.2, 1.5, 77.0])


@pytest.mark.parametrize("constraint", [Projection(), Squash(), Penalty()])
def test_what_is_returned_is_inside_exactly(constraint):
    image = constraint.returned(RAW, SPAN)
    assert image.min() >= SPAN[0]
    assert image.max() <= SPAN[1]


@pytest.mark.parametrize("constraint", [Projection(), Squash(), Penalty()])
def test_an_image_of_the_range_is_given_back(constraint):
    image = jnp.linspace(-0.45, 1.45, 9)
    again = constraint.returned(constraint.before(image, SPAN), SPAN)
    np.testing.assert_allclose(again, image, atol=1e-6)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("constraint", [Projection(), Squash(), Penalty(weight=3.0)])
def test_gradients_agree_with_finite_differences_inside_and_out(constraint, rng):
    weights = jnp.asarray(rng.normal(size=4))

    def value(raw):
        return weights @ constraint.during(raw, SPAN) - constraint.cost(raw, SPAN)

    raw = [0.1, 0.9, 1.1, 0.4] if constraint.kind == "projection" else [-2.0, 0.9, 3.1, 0.4]
    problems.check_gradient(value, jnp.asarray(raw))


def test_projection_lets_a_gradient_back_inside_only():
    def uphill(weights):
        return jax.grad(lambda raw: weights @ Projection().during(raw, SPAN))(RAW)

    np.testing.assert_array_equal(uphill(jnp.ones(7)), [1, 1, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(uphill(-jnp.ones(7)), [0, 0, -1, -1, -1, -1, -1])


def test_squash_has_slope_one_in_the_middle():
    slope = jax.grad(lambda v: Squash().during(v[None], SPAN)[0])(jnp.asarray(0.5))
    assert float(slope) == pytest.approx(1)


def test_the_penalty_is_the_mean_squared_distance_in_ranges():
    raw = jnp.asarray([-1.5, 0.0, 1.0, 3.5])  # 1 and 2 outside a range of 2
    assert float(Penalty(weight=10.0).cost(raw, SPAN)) == pytest.approx(10 * (0.25 + 1) / 4)
