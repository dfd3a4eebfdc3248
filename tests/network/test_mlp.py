import jax
import jax.numpy as jnp
import numpy as np
import problems
import pytest
from jaxtyping import TypeCheckError
from scipy.special import expit, softmax

from jaxbq.errors import JaxbqError
from jaxbq.network.mlp import MLP, Function, Layer


@pytest.mark.usefixtures("x64")
def test_forward_equals_numpy(rng):
    model, params = problems.random_network((5, 4, 3), rng, "tanh", "softmax")
    x = rng.random((6, 5))
    hidden = np.tanh(x @ np.asarray(params[0].weight) + np.asarray(params[0].bias))
    logits = hidden @ np.asarray(params[1].weight) + np.asarray(params[1].bias)
    np.testing.assert_allclose(model.logits(params, jnp.asarray(x)), logits, atol=1e-12)
    np.testing.assert_allclose(
        model.apply(params, jnp.asarray(x)), softmax(logits, axis=-1), atol=1e-12
    )


@pytest.mark.usefixtures("x64")
def test_trace_holds_every_number(rng):
    model, params = problems.random_network((5, 4, 3, 2), rng)
    x = jnp.asarray(rng.random((6, 5)))
    trace = model.trace(params, x)
    assert [a.shape for a in trace.activations] == [(6, 5), (6, 4), (6, 3), (6, 2)]
    assert [z.shape for z in trace.pre_activations] == [(6, 4), (6, 3), (6, 2)]
    np.testing.assert_array_equal(trace.activations[0], x)
    np.testing.assert_array_equal(trace.pre_activations[-1], model.logits(params, x))
    for z, a in zip(trace.pre_activations, trace.activations[1:], strict=True):
        np.testing.assert_allclose(a, expit(np.asarray(z)), atol=1e-14)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("bias", [True, False])
def test_frozen_parameters_give_the_same_logits_and_input_gradient(rng, bias):
    model, params = problems.random_network((5, 4, 3), rng, bias=bias)
    x = jnp.asarray(rng.random((6, 5)))

    def total(params, x):
        return jnp.square(model.logits(params, x)).sum()

    frozen = model.freeze(params)
    np.testing.assert_allclose(total(frozen, x), total(params, x), rtol=1e-12)
    np.testing.assert_allclose(
        jax.grad(total, 1)(frozen, x), jax.grad(total, 1)(params, x), rtol=1e-12
    )


def test_initial_weights_have_the_books_spread(key):
    model = MLP((400, 300, 10))
    first, last = model.init(key)
    # Standard error of a standard deviation of n numbers: about 1 / √(2n), so 0.2 % and 1.3 %.
    assert float(first.weight.std()) == pytest.approx(400**-0.5, rel=0.02)
    assert float(last.weight.std()) == pytest.approx(300**-0.5, rel=0.06)
    assert not first.bias.any()
    assert MLP((4, 3), bias=False).init(key)[0].bias is None
    assert float(model.init(key, scale=2.0)[0].weight[0, 0]) == pytest.approx(
        2 * float(first.weight[0, 0])
    )


def test_specification_is_hashable_and_checked():
    assert hash(MLP((4, 3))) == hash(MLP((4, 3)))
    for sizes in ((4,), (4, 0)):
        with pytest.raises(JaxbqError, match="at least two whole numbers"):
            MLP(sizes)
    # The annotation says so too, and tests check annotations first.
    with pytest.raises((JaxbqError, TypeCheckError), match="softmax"):
        MLP((4, 3, 2), hidden="softmax")


def test_parameters_that_do_not_fit_are_refused(key):
    model = MLP((4, 3))
    params = model.init(key)
    assert model.check(params) is model
    with pytest.raises(JaxbqError, match="do not fit"):
        MLP((4, 2)).check(params)
    with pytest.raises(JaxbqError, match="bias of layer 1"):
        model.check((Layer(params[0].weight, None),))
    with pytest.raises(JaxbqError, match="bias of layer 1"):
        model.check((Layer(params[0].weight, jnp.zeros(2)),))


def test_function_reshapes_images_for_a_users_network(rng):
    images = jnp.asarray(rng.random((2, 12)))
    net = Function(lambda params, x: x.sum(axis=(1,)) @ params, "sigmoid", (4, 3))
    weights = jnp.asarray(rng.random((3, 2)))
    expected = images.reshape(2, 4, 3).sum(axis=1) @ weights
    np.testing.assert_allclose(net.logits(weights, images), expected, rtol=1e-6)
    np.testing.assert_allclose(net.apply(weights, images), expit(np.asarray(expected)), rtol=1e-6)
