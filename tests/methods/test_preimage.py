import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import problems
import pytest

from jaxbq.data import ImageSpace, Reference
from jaxbq.errors import JaxbqError
from jaxbq.methods import Preimage, Reason, invert
from jaxbq.network.mlp import Function, Layer
from jaxbq.network.targets import Codes


@pytest.mark.device
def test_a_hundred_of_a_hundred_from_real_digits_to_all_codes(asked, mnist_10k):
    result = asked(Preimage(start="images"))
    assert result.images.shape == (10, 10, 784)
    assert (result.reasons == Reason.REACHED).all()
    assert result.diagnostics["residual"].max() <= 1e-4
    assert np.median(result.iterations) <= 8
    assert result.images.min() >= 0
    assert result.images.max() <= 1
    # Every column of the picture, start × target, has the same output vector.
    spread = np.abs(result.outputs - Codes().matrix(10)[:, None]).max()
    assert spread <= 1e-4
    # The image stays near its start: it still looks like the digit that it began as.
    starts = mnist_10k.reference.starts
    alike = [
        np.corrcoef(starts[result.diagnostics["start"][3, n]], result.images[3, n])[0, 1]
        for n in range(10)
    ]
    assert min(alike) > 0.5
    assert np.mean(alike) > 0.7


@pytest.mark.device
def test_a_warm_start_saves_iterations_and_stays_nearer(standard):
    cold = Preimage(start="random", samples=4)
    warm = dataclasses.replace(cold, warm_start=True)
    key, targets = jax.random.key(3), Codes().matrix(10)
    found = [invert(method, *standard, targets, key=key) for method in (cold, warm)]
    # One iteration of nothing but looking finds the starts themselves.
    begun = invert(dataclasses.replace(cold, tolerance=1e9), *standard, targets, key=key)
    distances = []
    for result in found:
        assert (result.reasons == Reason.REACHED).all()
        assert result.images.min() >= 0
        assert result.images.max() <= 1
        rows = np.arange(10)[:, None]
        starts = begun.images[rows, result.diagnostics["start"]]
        distances.append(np.linalg.norm(result.images - starts, axis=-1).mean())
    assert found[1].iterations.mean() < found[0].iterations.mean() / 2
    # Many need no Jacobian of their own to come as near as 1e-3 of the outputs; none without the
    # steps that share one.
    loose = dataclasses.replace(warm, samples=16, tolerance=0.09)
    result = invert(loose, *standard, targets, key=key)
    assert (result.iterations == 0).mean() > 0.3
    assert np.abs(result.outputs - targets[:, None]).max() < 1e-3
    assert distances[1] < distances[0]


def test_a_warm_start_that_leads_nowhere_is_left_where_it_was(rng):
    """No image in range has the code, yet no start is worse off than without."""
    model, params = problems.random_network((30, 12, 3), rng, scale=0.01)
    targets = Codes().matrix(3)
    cold = Preimage(start="random", samples=2)
    found = [
        invert(dataclasses.replace(cold, warm_start=warm), model, params, targets)
        for warm in (False, True)
    ]
    assert (found[1].reasons == Reason.STATIONARY).all()
    np.testing.assert_allclose(*(r.diagnostics["residual"] for r in found), rtol=1e-3)


@pytest.mark.device
@pytest.mark.usefixtures("x64")
def test_in_float64_the_residual_is_that_of_the_returned_image(standard, mnist_10k):
    model, params = standard
    params = tuple(Layer(*(jnp.asarray(p, jnp.float64) for p in layer[:2])) for layer in params)
    method = Preimage(start="images")
    result = invert(method, model, params, Codes().matrix(10), reference=mnist_10k)
    assert (result.reasons == Reason.REACHED).all()
    wanted = np.log(Codes().matrix(10) / (1 - Codes().matrix(10)))
    residual = np.linalg.norm(result.logits - wanted[:, None], axis=-1)
    assert residual.shape == (10, 10)
    np.testing.assert_allclose(residual, result.diagnostics["residual"], atol=1e-11)
    assert np.median(result.iterations) <= 8
    assert result.images.min() >= 0
    assert result.images.max() <= 1
    assert residual.max() <= 1.001e-8


@pytest.mark.parametrize(
    ("method", "samples"),
    [
        (Preimage(), 1),
        (Preimage(start="mean"), 1),
        (Preimage(start="random", samples=3), 3),
        (Preimage(start="random", samples=3, warm_start=True), 3),
        (Preimage(start="nearest", samples=2), 2),
        (Preimage(start="images"), 3),
    ],
)
def test_every_start(rng, tiny, method, samples):
    model, params = problems.random_network((30, 12, 3), rng)
    targets = np.asarray(model.apply(params, tiny.test_images[:3]))
    result = invert(method, model, params, targets, reference=tiny)
    assert result.images.shape == (3, samples, 30)
    assert (result.reasons == Reason.REACHED).all()


def test_the_nearest_training_images_are_the_nearest(rng, tiny):
    model, params = problems.random_network((30, 12, 3), rng)
    outputs = np.asarray(model.apply(params, tiny.train_images))
    # Asked for a training image's own output, the nearest start is that image: nothing to do.
    result = invert(
        Preimage(start="nearest", tolerance=1e-3), model, params, outputs[[5]], reference=tiny
    )
    np.testing.assert_allclose(result.images[0, 0], tiny.train_images[5], atol=1e-6)
    assert result.iterations[0, 0] == 0


@pytest.mark.parametrize(
    ("hidden", "output"),
    [("tanh", "softmax"), ("softplus", "sigmoid"), ("relu", "tanh"), ("relu", "softmax")],
)
def test_three_hidden_layers_and_every_output(rng, hidden, output):
    model, params = problems.random_network((30, 14, 12, 10, 4), rng, hidden, output)
    inside = jnp.asarray(rng.uniform(0.2, 0.8, (4, 30)), jnp.float32)
    targets = np.asarray(model.apply(params, inside), np.float64)
    if output == "softmax":
        targets /= targets.sum(axis=1, keepdims=True)
    # A ReLU network may be flat around one start: dead units; among eight starts one will do.
    method = Preimage(start="random", samples=8) if hidden == "relu" else Preimage()
    result = invert(method, model, params, targets)
    assert (result.reasons[:, 0] == Reason.REACHED).all()
    np.testing.assert_allclose(result.outputs[:, 0], targets, atol=1e-4)


@pytest.mark.device
def test_out_of_reach_is_stationary_never_reached(rng):
    """Weights so small that no image in range can answer the code."""
    model, params = problems.random_network((30, 12, 3), rng, scale=0.01)
    result = invert(Preimage(), model, params, Codes().matrix(3))
    assert (result.reasons == Reason.STATIONARY).all()
    assert (result.diagnostics["residual"] > 1).all()
    assert np.isfinite(result.images).all()


def test_iterations_are_limited(asked):
    result = asked(Preimage(max_iterations=1))
    assert (result.reasons == Reason.MAX_ITERATIONS).all()
    assert (result.iterations == 1).all()


def test_any_differentiable_network(rng):
    weight = jnp.asarray(rng.normal(size=(2, 4, 4)), jnp.float32)

    def network(params, images):
        return jnp.tanh(jnp.einsum("kij,bij->bk", params, images))

    net = Function(network, "identity", (4, 4))
    result = invert(Preimage(), net, weight, np.array([[0.3, -0.2]]), reference=ImageSpace((4, 4)))
    assert result.reasons[0, 0] == Reason.REACHED
    np.testing.assert_allclose(result.outputs[0, 0], [0.3, -0.2], atol=1e-4)


@pytest.mark.parametrize(
    ("method", "change", "message"),
    [
        (Preimage(start="mean"), {}, "start = 'mean' needs training images"),
        (Preimage(start="nearest"), {}, "start = 'nearest' needs training images"),
        (Preimage(start="images"), {}, "needs images to start from"),
        (Preimage(start="images"), {"starts": np.ones((2, 29))}, r"finite, of shape \(n, 30\)"),
        (Preimage(start="images"), {"starts": np.full((2, 30), np.nan)}, "finite"),
        (
            Preimage(start="nearest", samples=9),
            {"images": np.ones((3, 30), np.float32)},
            "samples = 9, but there are 3 images",
        ),
        (Preimage(tolerance=-1.0), {}, "tolerance"),
        (Preimage(warm_start=True), {}, "warm_start is for start = 'random', not for 'grey'"),
    ],
)
def test_mistakes(rng, method, change, message):
    model, params = problems.random_network((30, 3), rng)
    reference = dataclasses.replace(Reference(ImageSpace((6, 5))), **change)
    with pytest.raises(JaxbqError, match=message):
        invert(method, model, params, Codes().matrix(3), reference=reference)


def test_outputs_without_logits_are_refused(rng):
    model, params = problems.random_network((30, 3), rng, output="relu")
    with pytest.raises(JaxbqError, match="relu has no inverse"):
        invert(Preimage(), model, params, Codes().matrix(3))
