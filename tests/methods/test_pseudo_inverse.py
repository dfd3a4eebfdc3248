import jax.numpy as jnp
import numpy as np
import problems
import pytest

from jaxbq.errors import JaxbqError
from jaxbq.methods import PseudoInverse, Reason, invert
from jaxbq.methods.pseudo_inverse import pseudo_inverse
from jaxbq.network.activations import invertible
from jaxbq.network.mlp import Layer
from jaxbq.network.targets import Codes


def orthogonal(rng, size):
    return np.linalg.qr(rng.normal(size=(size, size)))[0]


def well_conditioned(rng, depth, hidden, output, size=5):
    """A square network whose layers have singular values from 0.7 to 1.4."""
    model, params = problems.random_network((size,) * (depth + 1), rng, hidden, output)
    values = np.linspace(0.7, 1.4, size)
    return model, tuple(
        Layer(jnp.asarray(orthogonal(rng, size) * values @ orthogonal(rng, size)), layer.bias)
        for layer in params
    )


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("activation", [name for name in invertible() if name != "softmax"])
def test_on_square_networks_it_is_the_inverse(rng, depth, activation):
    """Values in range, no policy at the pixels: there and back is the identity, both ways."""
    model, params = well_conditioned(rng, depth, activation, activation)
    x = rng.uniform(0.2, 0.8, (6, 5))
    y = np.asarray(model.apply(params, jnp.asarray(x)))
    total = activation in ("leaky_relu", "identity")
    method = PseudoInverse(
        hidden_policy="none" if total else "clip", pixel_policy="none", margin=1e-9
    )
    result = invert(method, model, params, y)
    np.testing.assert_allclose(result.images[:, 0], x, atol=1e-8)
    np.testing.assert_allclose(result.outputs[:, 0], y, atol=1e-8)


@pytest.mark.usefixtures("x64")
def test_softmax_takes_the_mean_zero_logits(rng):
    """An image with such logits comes back itself; any other with the same answer."""
    model, params = well_conditioned(rng, 2, "tanh", "softmax")
    x = rng.uniform(0.2, 0.8, (6, 5))
    y = np.asarray(model.apply(params, jnp.asarray(x)))
    method = PseudoInverse(hidden_policy="clip", pixel_policy="none", margin=1e-9)
    result = invert(method, model, params, y)
    inside = result.diagnostics["outside_share"][:, 0, 1] == 0
    assert inside.any()
    np.testing.assert_allclose(result.outputs[inside, 0], y[inside], atol=1e-8)
    np.testing.assert_allclose(result.logits[inside, 0].sum(axis=-1), 0, atol=1e-7)


@pytest.mark.device
@pytest.mark.parametrize("shape", [(8, 5), (5, 8), (6, 6)])
@pytest.mark.parametrize("rank", [None, 3])
def test_the_four_moore_penrose_conditions(rng, shape, rank):
    w = rng.normal(size=shape)
    if rank:
        w = rng.normal(size=(shape[0], rank)) @ rng.normal(size=(rank, shape[1]))
    p = pseudo_inverse(w)
    np.testing.assert_allclose(w @ p @ w, w, atol=1e-12)
    np.testing.assert_allclose(p @ w @ p, p, atol=1e-12)
    np.testing.assert_allclose((w @ p).T, w @ p, atol=1e-12)
    np.testing.assert_allclose((p @ w).T, p @ w, atol=1e-12)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("sizes", [(9, 4), (4, 9), (6, 6)])
def test_it_is_the_least_norm_least_squares_solution(rng, sizes):
    model, params = problems.random_network(sizes, rng, output="identity")
    z = rng.normal(size=(3, sizes[1]))
    images = invert(PseudoInverse(pixel_policy="none"), model, params, z).images[:, 0]
    w, b = np.asarray(params[0].weight), np.asarray(params[0].bias)
    for row, image in zip(z, images, strict=True):
        expected = np.linalg.lstsq(w.T, row - b, rcond=None)[0]
        np.testing.assert_allclose(image, expected, atol=1e-10)


def test_truncation_and_ridge(rng):
    u, v = orthogonal(rng, 4), orthogonal(rng, 4)
    s = np.array([2.0, 1.0, 0.1, 0.001])
    w = u * s @ v
    kept = np.where(s > 0.01 * 2, 1 / s, 0)
    np.testing.assert_allclose(pseudo_inverse(w, rcond=0.01), v.T * kept @ u.T, atol=1e-12)
    ridge = np.linalg.solve(w.T @ w + 0.3 * np.eye(4), w.T)
    np.testing.assert_allclose(pseudo_inverse(w, ridge=0.3), ridge, atol=1e-12)
    assert not pseudo_inverse(np.zeros((3, 2))).any()


@pytest.mark.usefixtures("x64")
def test_policies_in_plain_numpy(rng):
    """Two layers; clip and rescale, hidden and pixels, chosen apart."""
    model, params = problems.random_network((9, 4, 3), rng, scale=3.0)
    targets = Codes().matrix(3)
    w, b = (
        [np.asarray(part) for part in parts] for parts in zip(*[p[:2] for p in params], strict=True)
    )
    z = np.log(targets / (1 - targets))
    raw = (z - b[1]) @ np.linalg.pinv(w[1])

    def rescaled(rows, low, high):
        least, most = rows.min(axis=1, keepdims=True), rows.max(axis=1, keepdims=True)
        return low + (rows - least) / (most - least) * (high - low)

    hidden = {"clip": np.clip(raw, 0.05, 0.95), "rescale": rescaled(raw, 0.2, 0.9)}
    for policy, h in hidden.items():
        pixels = (np.log(h / (1 - h)) - b[0]) @ np.linalg.pinv(w[0])
        for last, image in {
            "none": pixels,
            "clip": np.clip(pixels, 0, 1),
            "rescale": rescaled(pixels, 0, 1),
        }.items():
            method = PseudoInverse(
                hidden_policy=policy, pixel_policy=last, margin=0.05, hidden_range=(0.2, 0.9)
            )
            result = invert(method, model, params, targets)
            np.testing.assert_allclose(result.images[:, 0], image, atol=1e-9)
            share = ((pixels < 0) | (pixels > 1)).mean(axis=1)
            np.testing.assert_allclose(result.diagnostics["outside_share"][:, 0, 0], share)


@pytest.mark.usefixtures("x64")
def test_diagnostics_are_measured_not_assumed(rng):
    model, params = problems.random_network((9, 4, 3), rng, scale=3.0)
    targets = Codes().matrix(3)
    result = invert(
        PseudoInverse(hidden_policy="clip", pixel_policy="clip"), model, params, targets
    )
    first = params[0]
    raw = result.diagnostics["image_before_policy"][:, 0]
    np.testing.assert_allclose(np.clip(raw, 0, 1), result.images[:, 0], atol=1e-12)
    before = np.asarray(model.apply(params, jnp.asarray(raw)))
    np.testing.assert_allclose(result.diagnostics["outputs_before_policy"][:, 0], before)
    # Fewer equations than unknowns: before the policy layer 1 is met exactly, after it is not.
    residual = result.diagnostics["residual_after_policy"][:, 0, 0]
    z = np.asarray(raw) @ np.asarray(first.weight) + np.asarray(first.bias)
    clipped = result.images[:, 0] @ np.asarray(first.weight) + np.asarray(first.bias)
    np.testing.assert_allclose(residual, np.linalg.norm(clipped - z, axis=1), rtol=1e-8)
    assert result.diagnostics["residual_before_policy"][..., 0].max() < 1e-10


@pytest.mark.device
def test_on_the_trained_network_the_box_keeps_what_clipping_loses(asked):

    def right(method):
        result = asked(method)
        assert (result.reasons == Reason.COMPUTED).all()
        return (result.outputs[:, 0].argmax(axis=1) == np.arange(10)).sum(), result

    free, result = right(PseudoInverse(hidden_policy="clip", pixel_policy="none"))
    assert free == 10
    assert result.diagnostics["outside_share"][..., 0].mean() > 0.4
    assert right(PseudoInverse(hidden_policy="clip", pixel_policy="clip"))[0] <= 4
    assert not result.diagnostics["policy_optimality"].any()
    boxed, result = right(PseudoInverse())
    assert boxed == 10
    # Solved to float32, and it says so of every image and layer.
    optimality = result.diagnostics["policy_optimality"]
    assert optimality.shape == (10, 1, 2)
    assert 0 < optimality.max() < 1e-3
    assert result.images.min() >= 0
    assert result.images.max() <= 1


def test_a_target_that_rounds_to_the_end_is_refused(rng):
    """0.9999999999 is 1 in float32, whose logit is infinite."""
    model, params = problems.random_network((4, 3), rng)
    params = tuple(Layer(*(jnp.asarray(p, jnp.float32) for p in layer[:2])) for layer in params)
    with pytest.raises(JaxbqError, match="1 is outside"):
        invert(PseudoInverse(), model, params, np.array([[0.9999999999, 0.1, 0.1]]))


def test_a_singular_layer_is_no_exception(rng):
    model, params = problems.random_network((9, 4, 3), rng)
    params = (
        Layer(params[0].weight.at[:, 1].set(params[0].weight[:, 0]), params[0].bias),
        params[1],
    )
    for policy in ("clip", "box"):
        result = invert(PseudoInverse(pixel_policy=policy), model, params, Codes().matrix(3))
        assert np.isfinite(result.images).all()


@pytest.mark.parametrize(
    ("method", "hidden", "message"),
    [
        (PseudoInverse(), "relu", "relu has no inverse"),
        (
            PseudoInverse(hidden_policy="none"),
            "sigmoid",
            "'none' needs an activation whose inverse",
        ),
        (PseudoInverse(hidden_policy="none"), "softplus", "'none' needs an activation whose inver"),
        (PseudoInverse(margin=0.0), "sigmoid", "margin must be above 0"),
        (PseudoInverse(margin=0.7), "sigmoid", "margin"),
        (PseudoInverse(rcond=-0.1), "sigmoid", "rcond"),
        (PseudoInverse(ridge=-1.0), "sigmoid", "ridge"),
        (PseudoInverse(ridge=1.0), "sigmoid", "ridge and rcond have no effect where the box"),
        (
            PseudoInverse(hidden_policy="rescale", hidden_range=(0.0, 1.0)),
            "sigmoid",
            "touches the ends",
        ),
    ],
)
def test_mistakes(rng, method, hidden, message):
    model, params = problems.random_network((4, 3, 3), rng, hidden)
    with pytest.raises(JaxbqError, match=message):
        invert(method, model, params, Codes().matrix(3))
