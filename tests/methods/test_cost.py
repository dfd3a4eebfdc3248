import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxbq
from jaxbq.methods.cost import operations


def traced(function, *shapes):
    return jax.jit(function).trace(*(jax.ShapeDtypeStruct(s, "float32") for s in shapes))


def test_a_product_is_two_operations_a_multiply_add():
    assert operations(traced(lambda a, b: a @ b, (3, 4), (4, 5)), 1) == 2 * 3 * 4 * 5
    batched = traced(lambda a, b: jnp.einsum("nij,njk->nik", a, b), (7, 3, 4), (7, 4, 5))
    assert operations(batched, 1) == 7 * 2 * 3 * 4 * 5
    assert operations(traced(lambda a: jnp.tanh(a) + 1, (3, 4)), 1) == 0


def test_a_convolution_is_counted_by_its_outputs():
    def convolve(image, kernel):
        return lax.conv(image, kernel, (1, 1), "VALID")

    found = operations(traced(convolve, (1, 2, 8, 8), (3, 2, 3, 3)), 1)
    assert found == 2 * (3 * 6 * 6) * (2 * 3 * 3)


def test_loops_multiply_what_is_in_them():
    def scanned(a):
        return lax.scan(lambda x, _: (x @ x, None), a, None, length=9)[0]

    def repeated(a):
        def turn(state):
            n, x = state
            return n + 1, scanned(x)

        return lax.while_loop(lambda state: state[0] < 5, turn, (0, a))[1]

    one = 2 * 4**3
    assert operations(traced(scanned, (4, 4)), 1) == 9 * one
    assert operations(traced(repeated, (4, 4)), 5) == 5 * 9 * one


@pytest.mark.parametrize("watched", [False, True])
def test_an_ascent_costs_two_passes_a_step(watched):
    """784-20-10: forward and back through both layers, a step and image."""
    model = jaxbq.MLP((784, 20, 10))
    params = model.init(jax.random.key(0), "float32")
    targets = jaxbq.Codes(classes=(1, 2, 3)).targets(10)
    steps, pass_ = 40, 2 * (784 * 20 + 20 * 10)
    method = jaxbq.Ascent(steps=steps)
    progress = (lambda done, total: None) if watched else None
    result = jaxbq.invert(method, model, params, targets, progress=progress)
    rows = result.iterations.size
    assert (result.iterations == steps).all()
    # A last forward pass or two beside.
    assert result.operations == pytest.approx(2 * pass_ * rows * steps, rel=0.08)
    assert np.isfinite(result.operations)
