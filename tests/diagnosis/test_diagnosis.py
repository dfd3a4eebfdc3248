import dataclasses
import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import problems
import pytest
from jaxtyping import TypeCheckError
from scipy.special import expit, logit

from jaxbq.data import ImageSpace, Reference
from jaxbq.diagnosis import (
    alignment,
    backward_terms,
    forward_terms,
    layer_facts,
    matched_filter,
    policy_losses,
    sensitivity,
    share_in_range,
    to_plain,
    trace,
    trace_image,
)
from jaxbq.diagnosis.layers import gram_deviation
from jaxbq.errors import JaxbqError
from jaxbq.methods import Ascent, Preimage, PseudoInverse, Transpose, invert
from jaxbq.methods.analytic import places
from jaxbq.network.mlp import MLP, Layer
from jaxbq.network.targets import Codes
from jaxbq.report import trace_figure


def orthogonal(rng, size):
    return np.linalg.qr(rng.normal(size=(size, size)))[0]


def test_layer_facts_of_known_matrices(rng):
    u, v = orthogonal(rng, 6), orthogonal(rng, 4)
    s = np.array([4.0, 2.0, 1.0, 0.5])
    # In float32, as jnp holds them here: a rank must not be lost or found by rounding.
    weights = [u[:, :4] * s @ v, (u[:, :4] * s @ v).T, u, np.outer(u[0], v[0])]
    under, over, square, one = layer_facts(tuple(Layer(jnp.asarray(w)) for w in weights))
    assert (under.rank, under.null_dimension, under.determined) == (4, 2, "under")
    assert under.condition == pytest.approx(8, rel=1e-4)
    assert (over.rank, over.null_dimension, over.determined) == (4, 0, "over")
    assert (square.rank, square.null_dimension, square.determined) == (6, 0, "exactly")
    assert square.gram_deviation == pytest.approx(0, abs=1e-6)
    assert square.transpose_agreement == pytest.approx(1, abs=1e-6)
    assert (one.null_dimension, one.condition) == (5, np.inf)


def test_gram_deviation_by_hand():
    # WᵀW = diag(1, 9): nearest multiple 5 I, off by (−4, 4).
    w = np.diag([1.0, 3.0])
    assert gram_deviation(w) == pytest.approx(np.sqrt(32) / np.sqrt(82))
    assert gram_deviation(7 * np.eye(3)) == pytest.approx(0)


@pytest.mark.usefixtures("x64")
def test_back_query_with_identity_activations_is_the_vector_jacobian_product(rng):
    model, params = problems.random_network((8, 6, 5, 3), rng, "identity", "identity")
    target = rng.normal(size=(1, 3))

    @partial(jax.jit, static_argnums=0)
    def pulled(model, params, target):
        grey = jnp.full((1, 8), 0.5)
        return jax.vjp(lambda x: model.logits(params, x), grey)[1](jnp.asarray(target))[0]

    product = pulled(model, params, target)
    # One layer, rescaling and all.
    shallow, first = MLP((8, 6), "identity", "identity"), (params[0],)
    z = rng.normal(size=(1, 6))
    image = invert(Transpose(), shallow, first, z).images[:, 0]
    whole = np.asarray(pulled(shallow, first, z))
    share = (whole - whole.min()) / (whole.max() - whole.min())
    np.testing.assert_allclose(image, 0.01 + 0.98 * share, atol=1e-12)
    # Without rescaling, whole networks: the steps of the way back, composed.
    back = jnp.asarray(target)
    state = Transpose().prepare(model, params, Reference(ImageSpace((8,))), jax.random.key(0))
    for at in places(model, params):
        back = Transpose().solve(at, state, back)
    np.testing.assert_allclose(back, product, atol=1e-12)


@pytest.mark.usefixtures("x64")
def test_matched_filter_is_the_gradient_of_a_linear_network(rng):
    model, params = problems.random_network((8, 6, 3), rng, "identity", "identity")
    jacobian = jax.jit(jax.jacobian(lambda x: model.logits(params, x[None])[0]))(np.ones(8))
    np.testing.assert_allclose(matched_filter(params), np.asarray(jacobian).T, atol=1e-12)


def gradient(params, images, of_logits):
    """Of a sum over outputs of what depends on the logits by these numbers, by hand."""
    (w1, b1, *_), (w2, *_) = (tuple(np.asarray(a) for a in layer[:2]) for layer in params)
    hidden = expit(images @ w1 + b1)
    return (of_logits @ w2.T * hidden * (1 - hidden)) @ w1.T


def test_alignment_on_the_trained_network(asked, standard, mnist_10k):
    model, params = standard
    result = asked(Transpose())
    aligned = alignment(result, model, params, mnist_10k)
    assert aligned["matched filter"].shape == (10,)
    # What the design measured: 0.86 to 0.98 and 0.4 to 0.8.
    assert 0.8 < aligned["matched filter"].mean() < 1
    assert 0.3 < aligned["logit gradient at grey"].mean() < 0.9
    assert "class mean" in aligned
    assert "class mean" not in alignment(result, model, params)
    images = result.images[:, 0]
    points = {
        "grey": np.full((10, 784), 0.5),
        "mean": np.tile(mnist_10k.train_images.mean(axis=0), (10, 1)),
        "image": images,
    }
    wanted = Codes().matrix(10)
    directions = {}
    for place, point in points.items():
        directions[f"logit gradient at {place}"] = gradient(params, point, np.eye(10))
        apart = wanted - np.asarray(model.apply(params, point.astype(np.float32)), np.float64)
        directions[f"target gradient at {place}"] = gradient(params, point, apart)
    for name, rows in directions.items():
        expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(images, rows, strict=True)]
        np.testing.assert_allclose(aligned[name], expected, atol=1e-3, err_msg=name)
    # A gradient correlates with itself.
    slope = directions["logit gradient at grey"]
    own = dataclasses.replace(result, images=slope[:, None].astype(np.float32))
    found = alignment(own, model, params)["logit gradient at grey"]
    np.testing.assert_allclose(found, 1, atol=1e-4)


@pytest.mark.usefixtures("x64")
def test_a_trace_of_an_analytic_method_holds_its_steps(rng):
    model, params = problems.random_network((9, 4, 3), rng, scale=3.0)
    target = Codes().matrix(3)[1]
    method = PseudoInverse(hidden_policy="clip", pixel_policy="clip", margin=0.05)
    found = trace(method, model, params, target)
    first, last = found.layers
    z = np.log(target / (1 - target))
    np.testing.assert_allclose(last.asked_z, z, atol=1e-10)
    raw = (z - np.asarray(params[1].bias)) @ np.linalg.pinv(np.asarray(params[1].weight))
    np.testing.assert_allclose(last.found, raw, atol=1e-9)
    np.testing.assert_allclose(last.settled, np.clip(raw, 0.05, 0.95), atol=1e-9)
    assert last.outside_share == pytest.approx(((raw < 0) | (raw > 1)).mean())
    assert last.outside_amount == pytest.approx(max(-raw.min(), raw.max() - 1, 0))
    assert last.found_range == pytest.approx((raw.min(), raw.max()))
    assert last.residual_before < 1e-9
    np.testing.assert_allclose(first.asked, last.settled)
    np.testing.assert_allclose(first.settled, found.image, atol=1e-12)
    forward = model.trace(params, found.image[None])
    np.testing.assert_allclose(first.answered, forward.activations[1][0])
    np.testing.assert_allclose(last.answered, forward.activations[2][0])
    assert last.apart == pytest.approx(np.abs(target - last.answered).max())


@pytest.mark.parametrize(
    "method",
    [
        Transpose(),
        pytest.param(PseudoInverse(), marks=pytest.mark.slow),
        Preimage(),
        Ascent(steps=20),
    ],
)
def test_every_method_has_a_trace_a_picture_and_json(rng, method):
    network = problems.random_network((30, 7, 3), rng)
    found = trace(method, *network, Codes().matrix(3)[1], reference=ImageSpace((6, 5)))
    plain = json.loads(json.dumps(to_plain(found), allow_nan=False))
    assert plain["method"].startswith(method.kind)
    assert len(plain["layers"]) == 2
    assert len(plain["layers"][1]["answered"]) == 3
    backward = plain["layers"][0]["asked"]
    assert (backward is None) == isinstance(method, Preimage | Ascent)
    empty = isinstance(method, Preimage | Ascent)
    assert found.note.startswith(f"{method.kind} finds the image as a whole" if empty else "")
    assert bool(found.note) == empty
    figure = trace_figure(found)
    # Hidden units and pixels in their own order, beside each other.
    np.testing.assert_allclose(figure.axes[2].lines[0].get_ydata(), found.layers[0].answered)
    np.testing.assert_allclose(figure.axes[4].lines[-1].get_ydata(), found.image)
    lines = figure.axes[0].lines
    np.testing.assert_allclose(lines[0].get_ydata(), found.layers[1].answered)
    np.testing.assert_allclose(lines[1].get_ydata(), found.layers[1].asked)


def test_a_trace_of_a_relu_network_by_a_gradient_method(rng):
    model, params = problems.random_network((9, 4, 3), rng, "relu")
    found = trace(Ascent(steps=5), model, params, Codes().matrix(3)[0])
    assert found.layers[0].asked is None
    with pytest.raises(JaxbqError, match="relu has no inverse"):
        trace(Transpose(), model, params, Codes().matrix(3)[0])
    with pytest.raises((JaxbqError, TypeCheckError), match="MLP"):
        trace(Ascent(), lambda p, x: x, params, Codes().matrix(3)[0])


def test_what_is_lost_where(standard):
    space = ImageSpace((28, 28))
    pixels, hidden = policy_losses(*standard, Codes().matrix(10), space)
    assert pixels.right <= 0.7
    assert hidden.right == 1.0
    assert pixels.mean_largest_error > hidden.mean_largest_error


@pytest.mark.usefixtures("x64")
def test_share_in_range(rng):
    model, params = problems.random_network((5, 4, 6, 3), rng, "identity", "identity")
    targets = rng.normal(size=(2, 3))
    share = share_in_range(model, params, targets, ImageSpace((5,)))
    np.testing.assert_allclose(share[:, [0, 2]], 1, atol=1e-9)
    # Four inputs reach four of six directions of the second layer.
    assert (share[:, 1] < 0.999).all()
    _, (reach, shift, _), (last, bias, _) = (map(np.asarray, layer) for layer in params)
    wanted = (targets - bias) @ np.linalg.pinv(last) - shift
    reached = wanted @ np.linalg.pinv(reach) @ reach
    expected = np.square(reached).sum(axis=1) / np.square(wanted).sum(axis=1)
    np.testing.assert_allclose(share[:, 1], expected, atol=1e-9)


def test_sensitivity_curves(standard):
    method = PseudoInverse(hidden_policy="clip", pixel_policy="none")
    curve = sensitivity(
        method, "ridge", [0.0, 1.0, 1e3], *standard, Codes().matrix(10), ImageSpace((28, 28))
    )
    values, fidelities, alike = zip(*curve, strict=True)
    assert values == (0.0, 1.0, 1e3)
    assert alike[0] == pytest.approx(1, abs=1e-6)
    assert alike[0] > alike[2]
    errors = [each.mean_largest_error for each in fidelities]
    # A little ridge may help, against the margin of the clip; much of it answers nothing.
    assert errors[2] > 10 * errors[0]


@pytest.mark.usefixtures("x64")
def test_json_holds_both_ways_so_that_numpy_gives_the_same_again(rng):
    model, params = problems.random_network((30, 9, 7, 3), rng, "tanh")
    found = trace(Transpose(), model, params, Codes().matrix(3)[1], reference=ImageSpace((6, 5)))
    plain = json.loads(json.dumps(to_plain(found), allow_nan=False))
    weights = [[np.asarray(array) for array in layer[:2]] for layer in params]
    a = np.array(plain["image"])
    for layer, (weight, bias), phi in zip(
        plain["layers"], weights, (np.tanh, np.tanh, expit), strict=True
    ):
        z = a @ weight + bias
        a = phi(z)
        np.testing.assert_allclose(layer["answered_z"], z, atol=1e-6)
        np.testing.assert_allclose(layer["answered"], a, atol=1e-6)
    asked = np.array(plain["target"])
    for layer, (weight, _), inverse in zip(
        plain["layers"][::-1], weights[::-1], (logit, np.arctanh, np.arctanh), strict=True
    ):
        z = inverse(asked)
        raw = z @ weight.T
        asked = 0.01 + 0.98 * (raw - raw.min()) / np.ptp(raw)
        np.testing.assert_allclose(layer["asked_z"], z, atol=1e-6)
        np.testing.assert_allclose(layer["found"], raw, atol=1e-6)
        np.testing.assert_allclose(layer["settled"], asked, atol=1e-6)


def test_an_image_runs_forward_alone(rng):
    model, params = problems.random_network((30, 7, 3), rng)
    image = rng.uniform(size=30)
    found = trace_image(model, params, image, ImageSpace((6, 5)))
    (w1, b1), (w2, b2) = (map(np.asarray, layer[:2]) for layer in params)
    hidden = expit(image @ w1 + b1)
    np.testing.assert_allclose(found.units(1).given, hidden, atol=1e-5)
    np.testing.assert_allclose(found.units(2).given, expit(hidden @ w2 + b2), atol=1e-5)
    assert found.units(1)[:3] == found.units(2)[:3] == (None, None, None)
    assert "only forward" in found.note
    assert len(trace_figure(found).axes[0].lines) == 1
    with pytest.raises(JaxbqError, match="29 pixels, the network takes 30"):
        trace_image(model, params, image[1:], ImageSpace((6, 5)))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    "method", [Transpose(biases="subtract"), PseudoInverse(hidden_policy="clip", ridge=0.1)]
)
def test_a_unit_is_the_sum_of_its_terms_both_ways(rng, method):
    network = problems.random_network((12, 6, 5, 3), rng)
    params = network[1]
    found = trace(method, *network, Codes().matrix(3)[0])
    forward = forward_terms(found, params, 2, 4)
    np.testing.assert_array_equal(forward.weights, np.asarray(params[1].weight)[:, 4])
    np.testing.assert_array_equal(forward.values, found.layers[0].answered)
    assert forward.total == pytest.approx(forward.terms.sum() + float(params[1].bias[4]))
    assert forward.result == pytest.approx(expit(forward.total))
    sizes = np.abs(forward.terms)
    assert sizes[forward.largest(3)].tolist() == sorted(sizes)[:-4:-1]
    assert forward_terms(found, params, 0, 3) is None
    backward = backward_terms(found, method, *network, 2, 4)
    weight, bias = (np.asarray(array) for array in params[2][:2])
    z = logit(Codes().matrix(3)[0])
    ridged = np.linalg.solve(weight.T @ weight + 0.1 * np.eye(3), weight.T)
    inverse = weight.T if isinstance(method, Transpose) else ridged
    np.testing.assert_allclose(backward.values, z, atol=1e-9)
    np.testing.assert_allclose(backward.weights, inverse[:, 4], atol=1e-9)
    assert backward.bias == pytest.approx(-(bias @ inverse)[4])
    assert backward.total == pytest.approx(backward.terms.sum() + backward.bias)
    assert backward.result == found.layers[2].settled[4]
    # Outputs are asked by the target; a pixel has no unit below it.
    assert backward_terms(found, method, *network, 3, 0) is None
    assert backward_terms(found, method, *network, 0, 3).result == found.image[3]
    with pytest.raises(JaxbqError, match="layer 2 has units 0 to 4"):
        forward_terms(found, params, 2, 5)
    with pytest.raises(JaxbqError, match="1 to 3, the outputs"):
        backward_terms(found, method, *network, 4, 0)


def test_a_method_without_steps_has_no_terms_backward(rng):
    network = problems.random_network((9, 4, 3), rng)
    found = trace(Ascent(steps=5), *network, Codes().matrix(3)[0])
    assert backward_terms(found, Ascent(steps=5), *network, 1, 0) is None
