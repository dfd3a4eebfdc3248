import numpy as np
import pytest

from jaxbq.data.moments import Moments
from jaxbq.errors import JaxbqError


def test_they_are_numpys(rng):
    images = rng.random((5000, 12)).astype(np.float32)  # more than one block
    moments = Moments(images)
    covariance = np.cov(images.T.astype(np.float64), bias=True)
    np.testing.assert_allclose(moments.mean, images.mean(axis=0, dtype=np.float64))
    rebuilt = (moments.vectors * moments.values) @ moments.vectors.T
    np.testing.assert_allclose(rebuilt, covariance, atol=1e-12)
    assert (np.diff(moments.values) <= 0).all()


def test_powers_are_powers_of_the_shrunk_covariance(rng):
    images = rng.random((50, 6)).astype(np.float32)
    images[:, 0] = 0  # a pixel that never varies
    moments = Moments(images)
    covariance = np.cov(images.T.astype(np.float64), bias=True)
    shrunk = 0.9 * covariance + 0.1 * np.trace(covariance) / 6 * np.eye(6)
    root = moments.power(0.1, 0.5)
    np.testing.assert_allclose(root @ root, shrunk, atol=1e-12)
    np.testing.assert_allclose(moments.power(0.1, -0.5) @ root, np.eye(6), atol=1e-12)
    assert moments.rank == 5


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.ones((1, 3), np.float32), "two training images"),
        (np.ones((4, 3), np.float32), "all training images are the same"),
        (np.ones((2, 9000), np.float32), "too large"),
    ],
)
def test_mistakes(images, message):
    with pytest.raises(JaxbqError, match=message):
        Moments(images)
