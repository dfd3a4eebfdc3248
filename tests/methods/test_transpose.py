import jax.numpy as jnp
import numpy as np
import problems
import pytest
from scipy.special import expit, logit

from jaxbq.data import ImageSpace
from jaxbq.errors import JaxbqError
from jaxbq.methods import Reason, Transpose, invert
from jaxbq.methods.transpose import rescale
from jaxbq.network.mlp import MLP, Layer
from jaxbq.network.targets import Codes


@pytest.fixture(scope="module")
def book_network(mnist_10k):
    """784-100-10 trained on 2,000 images by the book's own loop, in float32."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(0, n**-0.5, (m, n)) for n, m in ((784, 100), (100, 10))]
    images, labels = mnist_10k.train_images[:2000], mnist_10k.train_labels[:2000]
    problems.book_training(weights, 0.99 * images + 0.01, Codes().matrix(10)[labels], 0.1)
    params = tuple(Layer(jnp.asarray(weight.T, jnp.float32)) for weight in weights)
    return MLP((784, 100, 10), bias=False), params


def cast(params, dtype):
    return tuple(Layer(jnp.asarray(layer.weight, dtype)) for layer in params)


def book_images(params, targets):
    weights = [np.asarray(layer.weight, np.float64).T for layer in params]
    return np.stack([problems.book_backquery(weights, target) for target in targets])


def scaled(v, low, high):
    return low + (v - v.min()) / (v.max() - v.min()) * (high - low)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-4)])
def test_it_is_the_books_algorithm(book_network, dtype, tolerance):
    model, params = book_network
    targets = Codes().matrix(10)
    result = invert(Transpose(), model, cast(params, dtype), targets)
    assert result.images.dtype == dtype
    error = np.abs(result.images[:, 0] - book_images(params, targets)).max()
    assert error <= tolerance


@pytest.mark.usefixtures("x64")
def test_target_strength_has_no_effect(book_network):
    model, params = book_network[0], cast(book_network[1], "float64")
    # Odds as logits of ±s: the off value must be the mirror image of the on value.
    weak, strong = (
        invert(Transpose(), model, params, Codes(on=on, off=1 - on).matrix(10)).images
        for on in (0.6, 0.9999)
    )
    np.testing.assert_allclose(weak, strong, atol=1e-10)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_an_exact_zero_or_one_is_refused(book_network, value):
    target = np.full((1, 10), 0.01)
    target[0, 3] = value
    with pytest.raises(JaxbqError, match=r"outside \(0, 1\).*infinite"):
        invert(Transpose(), *book_network, target)


def test_a_constant_vector_is_flagged_never_nan(book_network):
    targets = np.stack([np.full(10, 0.5), Codes().matrix(10)[0]])
    result = invert(Transpose(), *book_network, targets)
    assert result.reasons.ravel().tolist() == [Reason.CONSTANT, Reason.COMPUTED]
    assert np.isfinite(result.images).all()
    alone = invert(Transpose(), *book_network, targets[1:])
    # A product of another shape rounds otherwise, in the last digits of float32.
    np.testing.assert_allclose(result.images[1], alone.images[0], atol=1e-5)


@pytest.mark.usefixtures("x64")
def test_ten_targets_as_a_batch_equal_ten_single_calls(book_network):
    model, params = book_network[0], cast(book_network[1], "float64")
    targets = Codes().matrix(10)
    batch = invert(Transpose(), model, params, targets).images
    for target, image in zip(targets, batch, strict=True):
        single = invert(Transpose(), model, params, target[None]).images[0]
        np.testing.assert_allclose(single, image, atol=1e-12)


@pytest.mark.usefixtures("x64")
def test_biases_ranges_and_depth(rng):
    """Three layers, tanh within, biases subtracted, ranges of one's own; in plain NumPy."""
    model, params = problems.random_network((9, 7, 5, 3), rng, "tanh", "sigmoid")
    target = np.array([0.8, 0.3, 0.4])
    w = [np.asarray(layer.weight) for layer in params]
    b = [np.asarray(layer.bias) for layer in params]

    a = scaled((logit(target) - b[2]) @ w[2].T, -0.5, 0.7)
    a = scaled((np.arctanh(a) - b[1]) @ w[1].T, -0.5, 0.7)
    image = scaled((np.arctanh(a) - b[0]) @ w[0].T, 0.2, 0.6)
    method = Transpose(biases="subtract", hidden_range=(-0.5, 0.7), pixel_range=(0.2, 0.6))
    result = invert(method, model, params, target[None])
    np.testing.assert_allclose(result.images[0, 0], image, atol=1e-12)
    ignored = invert(Transpose(), model, params, target[None]).images
    assert np.abs(ignored - result.images).max() > 0.1


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("hidden", "output"),
    # Each layer inverts its own: every activation of both is here, not every pair.
    [("tanh", "sigmoid"), ("leaky_relu", "softmax"), ("softplus", "tanh"), ("identity", "sigmoid")],
)
def test_every_invertible_activation_is_undone_on_the_way_back(rng, hidden, output):
    model, params = problems.random_network((9, 7, 3), rng, hidden, output)
    w1, w2 = (np.asarray(layer.weight) for layer in params)
    targets = Codes().matrix(3, output)
    result = invert(Transpose(), model, params, targets)
    assert (result.reasons == Reason.COMPUTED).all()
    assert result.images.min() == pytest.approx(0.01)
    assert result.images.max() == pytest.approx(0.99)
    # Values between 0.01 and 0.99, where a leaky ReLU changes nothing.
    undo = {"tanh": np.arctanh, "softplus": lambda a: np.log(np.expm1(a))}.get(hidden, np.array)
    undo_output = {"sigmoid": logit, "tanh": np.arctanh}.get(output, np.log)
    for target, image in zip(targets, result.images[:, 0], strict=True):
        z = undo_output(target)
        z = z - z.mean() if output == "softmax" else z
        a = scaled(z @ w2.T, 0.01, 0.99)
        np.testing.assert_allclose(image, scaled(undo(a) @ w1.T, 0.01, 0.99), atol=1e-10)


def test_the_book_s_pixels_for_its_scalings_and_shares_for_others(rng):
    model, params = problems.random_network((4, 3), rng)
    ends = {}
    for low, high in ((0.0, 1.0), (0.01, 1.0), (-1.0, 1.0), (0.0, 255.0)):
        space = ImageSpace((2, 2), low, high)
        images = invert(Transpose(), model, params, Codes().matrix(3), reference=space).images
        ends[low, high] = (images.min(), images.max())
    assert ends[0.0, 1.0] == pytest.approx((0.01, 0.99))
    assert ends[0.01, 1.0] == pytest.approx((0.01, 0.99))
    assert ends[-1.0, 1.0] == pytest.approx((-0.98, 0.98))
    assert ends[0.0, 255.0] == pytest.approx((2.55, 252.45))


@pytest.mark.parametrize(
    ("method", "hidden", "message"),
    [
        (Transpose(), "relu", "relu has no inverse"),
        (Transpose(hidden_range=(0.0, 0.9)), "sigmoid", "touches the ends of sigmoid's image"),
        (Transpose(hidden_range=(0.5, 1.5)), "sigmoid", "must be an interval inside"),
        (Transpose(hidden_range=(0.9, 0.1)), "sigmoid", "smaller end first"),
        (Transpose(pixel_range=(-0.5, 0.9)), "sigmoid", "pixel_range"),
    ],
)
def test_mistakes(rng, method, hidden, message):
    model, params = problems.random_network((4, 3, 3), rng, hidden)
    with pytest.raises(JaxbqError, match=message):
        invert(method, model, params, Codes().matrix(3))


def test_a_network_that_is_no_mlp_is_refused():
    with pytest.raises(JaxbqError, match="transpose needs an MLP"):
        invert(
            Transpose(),
            lambda params, x: x @ params,
            jnp.ones((4, 2)),
            np.full((1, 2), 0.5),
            reference=ImageSpace((2, 2)),
        )


def test_rescale_is_per_row_and_exactly_inside():
    rows, constant = rescale(
        jnp.asarray([[1.0, 2.0, 5.0], [-3e8, 0.0, 3e8], [2.0, 2.0, 2.0]]), 0.01, 0.99
    )
    np.testing.assert_allclose(rows[0], [0.01, 0.255, 0.99], rtol=1e-6)
    np.testing.assert_allclose(rows[1], [0.01, 0.5, 0.99], rtol=1e-6)
    assert constant.tolist() == [False, False, True]
    assert rows[2].tolist() == pytest.approx([0.5] * 3)
    assert float(rows.max()) <= np.float32(0.99)
    assert float(rows.min()) >= np.float32(0.01)


def test_facts_of_the_figure(asked):
    """What the design measured: the network reads its own images right for 6 or 7 of 10."""
    result = asked(Transpose())
    right = (result.outputs[:, 0].argmax(axis=1) == np.arange(10)).sum()
    assert 4 <= right <= 9
    np.testing.assert_allclose(result.outputs, expit(result.logits.astype(np.float64)), atol=1e-6)
