"""What people ask, answered for networks for which the answers differ."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import problems
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit

from jaxbq.data import ImageSpace
from jaxbq.diagnosis import Measurements, answers, explain, transposed_by_class
from jaxbq.methods import Preimage, Transpose
from jaxbq.network.mlp import MLP, Layer
from jaxbq.network.targets import Codes
from jaxbq.training import Training, train

TOPICS = ["transpose", "template", "inverse", "clip", "mush", "preimage", "decoder", "exemplars"]
TOPICS += ["see", "exact"]


def orthogonal(rng, size):
    return np.linalg.qr(rng.normal(size=(size, size)))[0]


@pytest.fixture(scope="module")
def book():
    """The book's network, trained by the book's loop: sigmoids, no biases."""
    data, rng = problems.striped_dataset(book_scaling=True), np.random.default_rng(0)
    weights = [rng.normal(0, 30**-0.5, (12, 30)), rng.normal(0, 12**-0.5, (3, 12))]
    codes = Codes().matrix(3)[data.train_labels]
    for _ in range(100):
        problems.book_training(weights, data.train_images.astype(float), codes, 0.3)
    params = tuple(Layer(jnp.asarray(w.T, jnp.float32)) for w in weights)
    model = MLP((30, 12, 3), "sigmoid", "sigmoid", bias=False)
    return weights, answered(model, params, Codes().matrix(3), data)


@pytest.fixture(scope="module")
def deep():
    """Three layers of tanh."""
    data = problems.striped_dataset()
    model = MLP((30, 14, 8, 3), "tanh", "tanh")
    params = train(
        model, data, Training(loss="squared_error", epochs=200), key=jax.random.key(1)
    ).params
    return answered(model, params, Codes().matrix(3, "tanh"), data)


@pytest.fixture(scope="module")
def turning():
    """Orthogonal weights that nothing was learnt with: as many outputs as pixels."""
    rng = np.random.default_rng(3)
    model = MLP((30, 30, 30), "sigmoid", "sigmoid")
    params = tuple(
        Layer(jnp.asarray(2 * orthogonal(rng, 30), jnp.float32), jnp.zeros(30)) for _ in range(2)
    )
    inside = rng.uniform(0.4, 0.6, (3, 30)).astype(np.float32)
    targets = np.asarray(model.apply(params, inside), np.float64)
    return answered(model, params, targets, None)


def answered(model, params, targets, data):
    measured = Measurements(model, params, targets, data, ImageSpace((6, 5)), jax.random.key(0))
    found = answers(measured)
    assert [answer.topic for answer in found] == TOPICS
    for answer in found:
        # One sentence each, and no number that is none.
        assert answer.picture.endswith(".")
        assert answer.measured.endswith((".", ")."))
        assert "nan" not in answer.measured
    return measured, {answer.topic: answer for answer in found}


def test_the_books_network(book):
    weights, (measured, found) = book
    assert found["transpose"].verdict == "no inverse"
    cosines = []
    for w in weights:
        inverse = np.linalg.pinv(w.T)
        cosines.append((w * inverse).sum() / np.linalg.norm(w) / np.linalg.norm(inverse))
    assert f"is {min(cosines):.2f} in the worst layer" in found["transpose"].measured
    # The book's own code, in NumPy.
    images = np.array([problems.book_backquery(weights, target) for target in measured.targets])
    outputs = expit(expit(images @ weights[0].T) @ weights[1].T)
    error = np.abs(outputs - measured.targets).max(axis=1).mean()
    right = (outputs.argmax(axis=1) == np.arange(3)).sum()
    assert f"{right} of 3 read as intended" in found["transpose"].measured
    assert largest_error(found["transpose"]) == pytest.approx(error, rel=0.02)
    assert found["template"].verdict == "a template"
    pixel = int(found["template"].command[-1])
    votes = logit(0.01 + 0.98 * unit_range(logit(measured.targets[0]) @ weights[1])) @ weights[0]
    assert pixel == votes.argmax()
    assert f"12 votes add up to {votes.max():.3g}" in found["template"].measured
    assert found["inverse"].verdict == "one of many, out of range"
    assert "layer 1 is blind to 18 of 30" in found["inverse"].measured
    # Little is cut of a network that learnt three stripes; see the standard one below.
    assert found["clip"].verdict == "costs nothing here"
    assert least_error(measured, expit) > 0.001
    assert found["preimage"].verdict == "out of reach"
    assert found["exact"].verdict.startswith("none, ")
    assert found["exemplars"].verdict == "do"
    assert found["see"].verdict in ("transpose", "whitened", "preimage")


def least_error(measured, phi):
    """How near SciPy comes to the first target, from five images in the pixel range."""
    weights = [
        [np.asarray(array, float) for array in layer[:2] if array is not None]
        for layer in measured.params
    ]
    space = measured.reference.space

    def outputs(x):
        for weight, *bias in weights:
            x = phi(x @ weight + sum(bias))
        return x

    def off(x):
        return np.square(outputs(x) - measured.targets[0]).sum()

    starts = np.random.default_rng(0).uniform(space.low, space.high, (5, 30))
    ends = [minimize(off, x, bounds=[(space.low, space.high)] * 30).x for x in starts]
    return min(np.abs(outputs(x) - measured.targets[0]).max() for x in ends)


def largest_error(answer):
    return float(re.search(r"largest error ([\d.e-]+\d)", answer.measured)[1])


def unit_range(values):
    return (values - values.min()) / np.ptp(values)


def test_mush_is_told_class_by_class(book):
    measured, found = book[1]
    data = measured.data
    rows = transposed_by_class(measured)
    images = measured.way(Transpose()).result.images[:, 0]
    for n, row in enumerate(rows):
        apart = data.class_means[n] - data.train_images.mean(axis=0)
        assert row.difference == pytest.approx(np.corrcoef(images[n], apart)[0, 1], abs=1e-4)
        assert row.mean == pytest.approx(
            np.corrcoef(images[n], data.class_means[n])[0, 1], abs=1e-4
        )
    best, worst = (pick(range(3), key=lambda n: rows[n].difference) for pick in (max, min))
    assert f"shows in {best} ({rows[best].difference:.2f})" in found["mush"].measured
    assert f"least in {worst} ({rows[worst].difference:.2f})" in found["mush"].measured


def test_three_layers_of_tanh(deep):
    measured, found = deep
    assert found["transpose"].verdict == "no inverse"
    assert "14 votes add up to" in found["template"].measured
    assert "blind to 16 of 30" in found["inverse"].measured
    assert least_error(measured, np.tanh) > 0.01
    assert found["preimage"].verdict == "out of reach"
    outputs = measured.way(Preimage()).result.outputs[:, 0]
    error = np.abs(outputs - measured.targets).max(axis=1).mean()
    assert f"largest error {error:.3g}" in found["preimage"].measured
    assert found["exact"].verdict.startswith("none, ")
    accuracy = measured.accuracy
    assert accuracy > 0.9
    assert f"It reads {accuracy:.1%} of the test images right" in found["see"].measured


def test_orthogonal_weights(turning):
    found = turning[1]
    assert found["transpose"].verdict == "inverse up to scale"
    assert found["transpose"].picture.startswith("Yes")
    assert "is 1.00 in the worst layer" in found["transpose"].measured
    assert found["inverse"].verdict == "the image itself"
    assert "no layer is blind" in found["inverse"].measured
    assert found["clip"].verdict == "nothing to clip"
    assert found["preimage"].verdict == "yes, uniquely"
    assert found["exact"].verdict == "pseudo-inverse"
    assert found["exact"].command[-1] == "pixel_policy=none"
    # Without images, what needs them is said not to be measured, and no command claims it.
    for topic in ("mush", "decoder", "exemplars", "see"):
        assert found[topic].verdict == "not measured"
        assert "--data" in found[topic].measured
        assert not found[topic].command


def test_softmax_and_relu_lose_what_their_weights_do_not(rng):
    turned = orthogonal(rng, 4)
    params = (Layer(jnp.asarray(turned, jnp.float32), jnp.zeros(4)),)
    inside = rng.uniform(0.4, 0.5, (1, 4)).astype(np.float32)
    # The direction that adds one number to all logits: another image, the same answer.
    other = inside + 0.1 * (np.ones(4) @ turned.T).astype(np.float32)
    model = MLP((4, 4), output="softmax")
    wanted, same = (np.asarray(model.apply(params, x), np.float64) for x in (inside, other))
    np.testing.assert_allclose(wanted, same, atol=1e-6)
    found = {answer.topic: answer for answer in explain(model, params, wanted)}
    assert found["inverse"].verdict.startswith("one of many")
    assert "softmax is to the sum" in found["inverse"].measured
    assert found["preimage"].verdict == "yes, many"
    assert "hidden layer" not in found["clip"].measured
    # A unit of a ReLU that is off says the same of many images.
    model = MLP((4, 4, 4), "relu", "identity")
    params = (Layer(jnp.eye(4), jnp.array([0, 0, 0, -9.0])), Layer(jnp.eye(4), jnp.zeros(4)))
    wanted = np.array([[0.3, 0.4, 0.5, 0.0]])
    found = {answer.topic: answer for answer in explain(model, params, wanted)}
    assert found["preimage"].verdict == "yes, many"


def test_one_layer_has_nothing_between_layers(rng):
    model, params = problems.random_network((12, 3), rng)
    vector = np.array([[0.6, 0.5, 0.55]])
    found = {answer.topic: answer for answer in explain(model, params, vector)}
    assert "between the layers" not in found["template"].picture


def test_a_network_that_has_learnt_nothing_shows_no_digit(rng):
    data = problems.striped_dataset()
    model = MLP((30, 30, 3), "sigmoid", "sigmoid")
    turned = orthogonal(rng, 30)
    params = tuple(
        Layer(jnp.asarray(w, jnp.float32), jnp.zeros(w.shape[1])) for w in (turned, turned[:, :3])
    )
    # Whatever it is shown it says the first class.
    params = (params[0], params[1]._replace(bias=jnp.array([9.0, 0, 0])))
    found = answered(model, params, Codes().matrix(3), data)[1]
    assert found["transpose"].verdict == "inverse up to scale"
    assert found["see"].verdict == "nothing"
    assert "It reads 33.3% of the test images right" in found["see"].measured
    assert found["exemplars"].verdict == "they mislead"


def test_a_relu_network_is_told_what_cannot_be_run(rng):
    model, params = problems.random_network((9, 4, 3), rng, "relu")
    found = {answer.topic: answer for answer in explain(model, params, Codes().matrix(3))}
    for topic in ("transpose", "template", "inverse", "clip"):
        assert "relu has no inverse" in found[topic].measured
    assert found["clip"].verdict == "no way back"
    assert found["exact"].verdict.removeprefix("none, ").split()[0] in ("preimage", "ascent")


@pytest.mark.slow
def test_the_standard_network(standard, mnist_10k):
    measured, found = answered(*standard, Codes().matrix(10), mnist_10k)
    expected = {"transpose": "no inverse", "template": "a template", "mush": "mush"}
    expected |= {"inverse": "one of many, out of range", "clip": "costs the answer"}
    expected |= {"preimage": "yes, many", "decoder": "to see", "exemplars": "do"}
    expected |= {"see": "whitened", "exact": "preimage"}
    assert {topic: answer.verdict for topic, answer in found.items()} == expected
    # Nearly half of what one sees lies where hardly any digit has ink.
    assert np.mean([row.quiet for row in transposed_by_class(measured)]) > 0.3
