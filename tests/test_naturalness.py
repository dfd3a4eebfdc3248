import numpy as np
import pytest

from jaxbq.evaluation import NaturalnessScale


@pytest.fixture(scope="module")
def scale(tiny):
    return NaturalnessScale(tiny)


def test_distances_equal_a_brute_force(scale, tiny, rng):
    images = rng.random((5, 30)).astype(np.float32)
    found = scale.measure(images)
    apart = np.linalg.norm(images[:, None] - tiny.train_images[None], axis=-1).min(axis=1)
    np.testing.assert_allclose(found.nearest, apart / 30**0.5, rtol=1e-4)
    train = tiny.train_images.astype(np.float64)
    covariance = np.cov(train.T, bias=True)
    shrunk = 0.999 * covariance + 0.001 * np.trace(covariance) / 30 * np.eye(30)
    away = images - train.mean(axis=0)
    far = np.einsum("ni,ij,nj->n", away, np.linalg.inv(shrunk), away) / 30
    np.testing.assert_allclose(found.mahalanobis, far, rtol=1e-6)


def test_percentiles_are_those_among_test_images(scale, tiny):
    real = scale.measure(tiny.test_images)
    # Every test image in its own place: the mean of 1/n … n/n of a hundred.
    assert real.mahalanobis_percentile.mean() == pytest.approx(50, abs=3)
    assert real.nearest_percentile.min() > 0
    np.testing.assert_allclose(
        scale.real["mahalanobis"], np.quantile(real.mahalanobis, [0.05, 0.5, 0.95])
    )
    order = np.argsort(real.nearest)
    assert (np.diff(real.nearest_percentile[order]) <= 0).all()


def test_a_training_image_is_nearer_than_noise(scale, tiny, rng):
    found = scale.measure(np.stack([tiny.train_images[3], rng.random(30).astype(np.float32)]))
    assert found.nearest[0] == pytest.approx(0, abs=1e-3)
    assert found.nearest_percentile.tolist() == [100, 0]
    assert found.mahalanobis[0] < found.mahalanobis[1]
