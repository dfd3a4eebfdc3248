import re

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from jaxbq.errors import JaxbqError
from jaxbq.network.activations import activation, invertible

NUMPY = {
    "sigmoid": special.expit,
    "tanh": np.tanh,
    "leaky_relu": lambda z: np.where(z >= 0, z, 0.01 * z),
    "softplus": lambda z: np.logaddexp(0, z),
    "identity": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "softmax": lambda z: special.softmax(z, axis=-1),
}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", NUMPY)
def test_forward_equals_numpy(name, rng):
    z = rng.normal(0, 3, (4, 7))
    np.testing.assert_allclose(activation(name).apply(jnp.asarray(z)), NUMPY[name](z), atol=1e-14)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", invertible())
def test_inverse_undoes_forward(name, rng):
    phi = activation(name)
    z = rng.normal(0, 3, (4, 7))
    if phi.normalises:
        z -= z.mean(axis=-1, keepdims=True)
    # Sigmoid and tanh lose digits to saturation: about cosh²(z) · 1e-16.
    np.testing.assert_allclose(phi.invert(phi.apply(jnp.asarray(z))), z, atol=1e-10)


@pytest.mark.parametrize("name", NUMPY)
def test_outputs_lie_in_the_stated_image(name, rng):
    phi = activation(name)
    a = np.asarray(phi.apply(jnp.asarray(rng.normal(0, 2, (50, 5)))))
    assert (a >= phi.low).all()
    assert (a <= phi.high).all()
    # And the interval is no wider than it must be.
    far = np.asarray(phi.apply(jnp.asarray([[40.0, -40.0]])))
    ends = [end for end in (phi.low, phi.high) if np.isfinite(end)]
    assert all(np.isclose(far, end, atol=1e-6).any() for end in ends)


def test_softmax_inverse_is_mean_zero_and_right_for_unnormalised_targets():
    target = jnp.asarray([[0.99, 0.01, 0.01]])
    z = activation("softmax").invert(target)
    assert float(z.sum()) == pytest.approx(0, abs=1e-6)
    answered = activation("softmax").apply(z)
    np.testing.assert_allclose(answered, target / target.sum(), rtol=1e-6)


def test_softplus_inverse_survives_large_values():
    np.testing.assert_allclose(activation("softplus").invert(jnp.asarray([200.0])), 200.0)


def test_relu_has_no_inverse_and_says_what_has():
    with pytest.raises(JaxbqError, match=r"relu has no inverse.*sigmoid.*ascent"):
        activation("relu").invert(jnp.ones(2))


def test_unknown_name():
    for name in ("gelus", "leaky_relu()", "leaky_relu(-1)", "elu(0)", "tanh(2)", "elu(1e999)"):
        with pytest.raises(JaxbqError, match=f"no activation {re.escape(repr(name))}"):
            activation(name)


@pytest.mark.parametrize("name", ["leaky_relu(0.2)", "elu(0.5)", "elu", "leaky_relu"])
def test_slopes_run_forward_as_torch_says_and_back(name):
    z = np.linspace(-3, 3, 61)
    phi, number = activation(name), float((re.findall(r"[\d.]+", name) or ["1"])[0])
    if name == "leaky_relu":
        number = 0.01
    below = number * z if name.startswith("leaky") else number * np.expm1(z)
    a = np.asarray(phi.apply(jnp.asarray(z)))
    np.testing.assert_allclose(a, np.where(z > 0, z, below), atol=1e-6)
    np.testing.assert_allclose(phi.invert(jnp.asarray(a)), z, atol=1e-5)
    assert ((a > phi.low) & (a < phi.high)).all()


def test_one_name_for_one_function():
    assert activation("leaky_relu(0.01)") is activation("leaky_relu")
    assert activation("elu(1.0)") is activation("elu")
    assert activation("leaky_relu(0.20)").name == "leaky_relu(0.2)"


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "silu"])
def test_what_turns_round_has_no_inverse_and_stays_above_its_lower_end(name):
    phi = activation(name)
    assert phi.inverse is None
    a = np.asarray(phi.apply(jnp.linspace(-5, 5, 10_001)))
    assert phi.low < a.min() < phi.low + 1e-3
    ends = np.asarray(phi.apply(jnp.asarray([-20.0, 20.0])))
    np.testing.assert_allclose(ends, [0, 20], atol=1e-6)
