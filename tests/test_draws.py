import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxbq.runtime.compiled import normal, uniform


@pytest.mark.parametrize("shape", [(), (7,), (5, 3), (2, 3, 4)])
def test_the_numbers_are_those_of_jax_in_every_shape(key, shape):
    found = normal(key, shape, jnp.float32)
    assert found.shape == shape
    np.testing.assert_allclose(found, jax.random.normal(key, shape, jnp.float32), rtol=1e-5)
    found = uniform(key, shape, jnp.float32, -2.0, 3.0)
    expected = jax.random.uniform(key, shape, jnp.float32, -2.0, 3.0)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("x64")
def test_they_are_drawn_in_the_type_asked_for_and_within_a_program(key):
    drawn = jax.jit(lambda key: (normal(key, (4, 2), jnp.float64), uniform(key, (3,), "float32")))
    one, two = drawn(key)
    assert (one.dtype, two.dtype) == (jnp.float64, jnp.float32)
    np.testing.assert_allclose(one, jax.random.normal(key, (4, 2), jnp.float64), rtol=1e-12)
