import jax
import numpy as np
import pytest

from jaxbq.evaluation import Judge
from jaxbq.evaluation.judge import standardise


def test_it_reads_digits(judge, mnist_10k):
    right = judge.read(mnist_10k.test_images).argmax(axis=1) == mnist_10k.test_labels
    assert right.mean() == pytest.approx(judge.test_accuracy)
    assert judge.test_accuracy > 0.95


def test_it_is_blind_to_brightness_and_contrast(judge, mnist_10k):
    images = mnist_10k.test_images[:200]
    seen = judge.read(images)
    np.testing.assert_allclose(judge.read(0.3 + 0.1 * images), seen, atol=1e-3)
    np.testing.assert_allclose(seen.sum(axis=1), 1)


def test_it_reads_through_noise(judge, mnist_10k, rng):
    images = mnist_10k.test_images[:500]
    noisy = images + 0.15 * rng.standard_normal(images.shape, np.float32)
    right = judge.read(noisy).argmax(axis=1) == mnist_10k.test_labels[:500]
    assert right.mean() > 0.9


def test_it_is_deterministic_and_saved_as_it_is(tiny):
    one, two = (Judge.trained_on(tiny, jax.random.key(4)) for _ in range(2))
    np.testing.assert_array_equal(one.read(tiny.test_images), two.read(tiny.test_images))
    assert Judge.of(one.model, one.params, tiny).test_accuracy == one.test_accuracy


def test_standardised_images_have_mean_zero_and_deviation_one(rng):
    images = rng.random((4, 30)).astype(np.float32)
    images[2] = 0.7
    found = standardise(images)
    np.testing.assert_allclose(found.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(found.std(axis=1), [1, 1, 0, 1], atol=1e-5)
