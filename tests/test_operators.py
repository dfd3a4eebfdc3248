import jax.numpy as jnp
import numpy as np
import pytest

from jaxbq.data import ImageSpace, Reference
from jaxbq.errors import JaxbqError
from jaxbq.methods.ascent import Blurring, Decay, Sphere
from jaxbq.methods.ascent.transforms import blur

SPAN = (jnp.asarray(0.5), jnp.asarray(2.5))
SPACE = ImageSpace((5, 6), 0.5, 2.5)


@pytest.fixture
def x(rng):
    return jnp.asarray(rng.uniform(0.5, 2.5, 30), jnp.float32)


def test_decay_goes_towards_the_lower_end(x):
    found = Decay(rate=0.25).apply((), x, jnp.asarray(0), SPAN)
    np.testing.assert_allclose(found - 0.5, 0.75 * (x - 0.5), atol=1e-6)


def test_blurring_takes_its_turn(x):
    operator = Blurring(deviation=1.0, every=3)
    state = operator.prepare(Reference(SPACE), jnp.float32)
    for step, turn in enumerate([False, False, True, False]):
        found = operator.apply(state, x, jnp.asarray(step), SPAN)
        expected = blur(x.reshape(5, 6, 1), 1.0).reshape(-1) if turn else x
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_sphere_has_its_radius(x, rng):
    images = rng.uniform(0.5, 2.5, (9, 30)).astype(np.float32)
    for operator, reference, radius in (
        (Sphere(radius=3.0), Reference(SPACE), 3),
        (Sphere(), Reference(SPACE, images), np.linalg.norm(images - 0.5, axis=1).mean()),
        (Sphere(), Reference(SPACE), 2 * 7.5**0.5),
    ):
        state = operator.prepare(reference, jnp.float32)
        found = operator.apply(state, x, jnp.asarray(0), SPAN)
        assert float(jnp.linalg.norm(found - 0.5)) == pytest.approx(radius, rel=1e-5)
    black = Sphere(radius=3.0).apply(state, jnp.full(30, 0.5), jnp.asarray(0), SPAN)
    np.testing.assert_array_equal(black, 0.5)


def test_blurring_needs_a_grid():
    with pytest.raises(JaxbqError, match="needs images of shape"):
        Blurring().check(Reference(ImageSpace((30,))))
