import dataclasses

import jax
import numpy as np
import problems
import pytest
from scipy.special import softmax

from jaxbq.data import Dataset, ImageSpace
from jaxbq.errors import JaxbqError
from jaxbq.evaluation import Judge, NoiseAnswers, given_judge, judges, on_noise
from jaxbq.evaluation.convolutional import Convolutional
from jaxbq.evaluation.independent import MOST_IMAGES, some_of
from jaxbq.evaluation.judges import blind_judges
from jaxbq.evaluation.similarity import standardise
from jaxbq.network.files import NetworkFile
from jaxbq.network.mlp import MLP, Layer


def doubled() -> Dataset:
    """Striped images of 12 × 10 pixels, large enough for convolutions; a class without images."""
    data = problems.striped_dataset()

    def larger(images):
        return np.kron(images.reshape(-1, 6, 5), np.ones((2, 2))).reshape(-1, 120)

    train, test = (
        larger(rows).astype(np.float32) for rows in (data.train_images, data.test_images)
    )
    space = dataclasses.replace(data.space, shape=(12, 10))
    names = ("row", "column", "corner", "never")
    return dataclasses.replace(
        data, train_images=train, test_images=test, space=space, class_names=names
    )


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXBQ_CACHE", str(tmp_path_factory.mktemp("cache")))
        # Stripes are learnt sooner than digits.
        for name, epochs in (("_DENSE", 5), ("_CONVOLUTIONAL", 4)):
            patch.setattr(judges, name, getattr(judges, name)._replace(epochs=epochs))
        yield


@pytest.fixture(scope="module")
def data() -> Dataset:
    return doubled()


@pytest.fixture(scope="module")
def both(cached, data) -> tuple[Judge, ...]:
    return blind_judges(data)


def test_they_are_two_and_read_what_they_were_trained_on(both, data):
    assert [each.name for each in both] == ["blind_dense", "blind_convolutional"]
    assert "256 ReLU" in both[0].description
    assert "5×5×8, 3×3×32" in both[1].description
    assert [each.parameters for each in both] == [
        120 * 256 + 256 + 256 * 4 + 4,
        25 * 8 + 8 + 9 * 8 * 32 + 32 + 3 * 3 * 32 * 4 + 4,
    ]
    for each in both:
        chances = each.read(data.test_images)
        assert chances.dtype == np.float64
        np.testing.assert_allclose(chances.sum(axis=1), 1)
        assert (chances.argmax(axis=1) == data.test_labels).mean() == each.test_accuracy > 0.95


def test_they_are_the_same_from_the_cache_and_in_any_precision(
    both, data, tmp_path, monkeypatch, x64
):
    again = doubled()  # known to no `once`
    with monkeypatch.context() as patch:
        patch.setattr(judges, "_train", lambda *_: pytest.fail("the cache was not read"))
        read = blind_judges(again)
    monkeypatch.setenv("JAXBQ_CACHE", str(tmp_path))
    made = judges._trained("blind_dense", "", both[0].network, judges._DENSE, doubled())
    for one, *others in zip(both, read, (made,), strict=False):
        for other in others:
            assert other.test_accuracy == one.test_accuracy
            for a, b in zip(*map(jax.tree.leaves, (one.params, other.params)), strict=True):
                assert a.dtype == np.float32
                np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(other.read(data.test_images), one.read(data.test_images))


def test_other_data_have_other_judges(both, data, monkeypatch):
    trained = []
    monkeypatch.setattr(judges, "_train", lambda network, *_: trained.append(1) or both[0].params)
    labels = data.train_labels[::-1].copy()
    judges._trained(
        "blind_dense",
        "",
        both[0].network,
        judges._DENSE,
        dataclasses.replace(data, train_labels=labels),
    )
    assert trained


def test_they_are_blind_to_brightness_and_contrast(both, data):
    for each in both:
        seen = each.read(data.test_images)
        for other in (0.3 + 0.1 * data.test_images, 1e4 * data.test_images - 3e3):
            np.testing.assert_allclose(each.read(other), seen, atol=2e-3)


def test_they_answer_to_anything(both, data):
    images = np.stack([np.full(120, 0.7)] + [data.test_images[0].astype(np.float64)] * 5)
    images[1] *= 1e300
    images[2] *= 1e-300
    images[3, 4], images[4, 5], images[5, 6] = np.nan, np.inf, -np.inf
    for each in both:
        chances = each.read(images)
        np.testing.assert_allclose(chances.sum(axis=1), 1)
        np.testing.assert_allclose(chances[1:3], each.read(data.test_images[[0, 0]]), atol=1e-6)
        assert len(each.read(images[:0])) == 0
        # In blocks, and one by one.
        many = np.tile(data.test_images, (40, 1))
        np.testing.assert_allclose(
            each.read(many)[-30:], each.read(data.test_images), rtol=1e-4, atol=1e-7
        )


def test_on_noise_they_are_unsure_and_at_chance(both, data):
    for each in both:
        answers = on_noise(each, data)
        assert answers.noise_confidence < 0.75  # 0.99 on test images
        assert answers.noise_right == pytest.approx(1 / 4, abs=0.08)
        assert sum(answers.noise_shares) == pytest.approx(1)
        assert len(answers.noise_shares) == 4
        assert max(answers.noise_shares) < 0.6
        assert on_noise(each, data) == answers != on_noise(each, data, seed=1)


def test_answers_to_noise_are_counted(data):
    wide = dataclasses.replace(data, space=ImageSpace((12, 10), -1.0, 3.0))
    # Reads class 1 wherever the mean pixel is between 0.5 and 1.5, as in noise from -1 to 3.
    weight = np.tile(np.array([0, 2, 4, 0], np.float32), (120, 1))
    bias = np.array([0, -120, -480, -999], np.float32)
    model = MLP((120, 4), output="softmax")
    judge = Judge("given", "", 0, 1.0, model, (Layer(weight, bias),), standardised=False)
    answers = on_noise(judge, wide)
    assert answers == NoiseAnswers(0.25, pytest.approx(1), (0, 1, 0, 0))


def test_strips_and_tiny_images_get_a_second_dense_judge(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXBQ_CACHE", str(tmp_path))
    monkeypatch.setattr(judges, "_train", lambda network, *_: network.init(jax.random.key(0)))
    dense, other = blind_judges(problems.striped_dataset())
    assert other.name == "blind_convolutional"
    assert "two hidden layers, 128 and 64 tanh" in other.description
    assert other.parameters == 30 * 128 + 128 + 128 * 64 + 64 + 64 * 3 + 3
    assert dense.parameters == 30 * 256 + 256 + 256 * 3 + 3


SHAPES = {
    (28, 28): [(28, 28, 1, 5, 8), (14, 14, 8, 3, 32)],
    (28, 28, 1): [(28, 28, 1, 5, 8), (14, 14, 8, 3, 32)],
    (8, 9, 3): [(8, 9, 3, 5, 8), (4, 5, 8, 3, 32)],
    (40, 64): [(40, 64, 1, 5, 8), (20, 32, 8, 3, 32), (10, 16, 32, 3, 64)],
    (7, 28): None,
    (8, 33): None,
    (1, 784): None,
    (784,): None,
    (28, 28, 2): None,
    (9, 9, 3, 3): None,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_convolutions_are_for_images_large_enough(shape):
    network = Convolutional.of(shape, 10)
    assert SHAPES[shape] == (network and [tuple(layer) for layer in network.convolutions])


def test_patches_and_products_are_convolutions(rng, key):
    network = Convolutional.of((8, 9, 3), 4)
    params = network.init(key)
    images = rng.random((5, 216), np.float32)

    @jax.jit
    def convolved(images):
        a = images.reshape(5, 8, 9, 3)
        for layer, window in zip(params[:-1], network.convolutions, strict=True):
            kernel = layer.weight.reshape(window.side, window.side, window.channels, window.made)
            names = ("NHWC", "HWIO", "NHWC")
            a = jax.lax.conv_general_dilated(a, kernel, (2, 2), "SAME", dimension_numbers=names)
            a = jax.nn.relu(a + layer.bias[None, None, None])
        return a.reshape(5, -1) @ params[-1].weight + params[-1].bias[None]

    expected = convolved(images)
    found = jax.jit(network.logits)(params, images)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    outputs = jax.jit(network.apply)(params, images)
    np.testing.assert_allclose(outputs, softmax(expected, axis=1), atol=1e-5)


def test_a_given_network_sees_images_as_they_are(tiny, rng):
    model, params = problems.random_network((30, 7, 3), rng, hidden="tanh", output="sigmoid")
    network = NetworkFile(model, params, tiny.space, tiny.class_names)
    judge = given_judge(network, tiny)
    (w1, b1, _), (w2, b2, _) = params
    hidden = np.tanh(tiny.test_images @ np.asarray(w1) + np.asarray(b1))
    expected = softmax(hidden @ np.asarray(w2) + np.asarray(b2), axis=1)
    np.testing.assert_allclose(judge.read(tiny.test_images), expected, atol=1e-5)
    assert judge.name == "given"
    assert judge.parameters == 30 * 7 + 7 + 7 * 3 + 3
    assert judge.test_accuracy == (expected.argmax(axis=1) == tiny.test_labels).mean()
    assert np.isfinite(judge.read(np.full((2, 30), np.inf))).all()


def test_a_network_that_does_not_fit_is_no_judge(tiny, rng):
    model, params = problems.random_network((30, 4), rng)
    names = tuple("abcd")
    with pytest.raises(JaxbqError, match=r"judge: the network has 4 outputs.*; name a network"):
        given_judge(NetworkFile(model, params, tiny.space, names), tiny)
    model, params = problems.random_network((30, 3), rng)
    with pytest.raises(
        JaxbqError, match="its outputs are the classes 2, 1, 0, the data's are 0, 1, 2"
    ):
        given_judge(NetworkFile(model, params, tiny.space, tiny.class_names[::-1]), tiny)


def test_of_a_large_set_they_see_a_part(tiny, monkeypatch):
    assert np.array_equal(some_of(tiny, 0), np.arange(120))
    large = dataclasses.replace(
        tiny,
        train_images=np.zeros((MOST_IMAGES + 5, 30), np.float32),
        train_labels=np.zeros(MOST_IMAGES + 5, np.int32),
    )
    chosen = some_of(large, 0)
    assert len(np.unique(chosen)) == MOST_IMAGES
    assert (np.diff(chosen) > 0).all()
    assert not np.array_equal(chosen, some_of(large, 1))


@pytest.mark.slow
def test_judges_of_digits_read_digits_through_noise_and_none_in_noise(mnist_10k, rng):
    real = standardise(mnist_10k.test_images)
    for each in blind_judges(mnist_10k):
        assert each.test_accuracy >= 0.97
        for strength, least in ((0.5, 0.95), (1.0, 0.93)):
            noisy = real + strength * rng.standard_normal(real.shape, np.float32)
            right = each.read(noisy).argmax(axis=1) == mnist_10k.test_labels
            assert right.mean() > least
        answers = on_noise(each, mnist_10k)
        assert answers.noise_right == pytest.approx(0.1, abs=0.03)
        assert answers.noise_confidence < 0.5
        assert max(answers.noise_shares) < 0.25
