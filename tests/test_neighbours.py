import numpy as np
import pytest

from jaxbq.evaluation.naturalness import nearest


def brute_force(images, among, number):
    """All differences, in float64; a stable sort leaves ties in the order of rows."""
    away = images[:, None].astype(np.float64) - among[None].astype(np.float64)
    apart = np.linalg.norm(away, axis=-1)
    order = np.argsort(apart, axis=1, kind="stable")[:, :number]
    return order, np.take_along_axis(apart, order, axis=1)


@pytest.fixture
def small_blocks(monkeypatch):
    """Several blocks of everything, the last ones incomplete."""
    monkeypatch.setattr(neighbours, "_PRODUCTS", 1000)
    monkeypatch.setattr(neighbours, "_BLOCK", 33)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_they_are_those_of_all_differences(rng, number, dtype):
    among = rng.random((150, 20)).astype(np.float32)
    images = rng.normal(size=(47, 20)).astype(dtype)
    indices, distances = brute_force(images, among, number)
    found = nearest(images, among, number)
    assert (found.indices == indices).all()
    np.testing.assert_allclose(found.distances, distances, rtol=1e-12)


@pytest.mark.usefixtures("small_blocks")
def test_a_row_is_its_own_nearest_and_of_duplicates_the_first(rng):
    among = rng.random((90, 20)).astype(np.float32)
    among[40:80] = among[:40]
    found = nearest(among, among, 2)
    first = np.r_[np.arange(40), np.arange(40), np.arange(80, 90)]
    assert (found.indices[:, 0] == first).all()
    assert (found.indices[:80, 1] == np.r_[np.arange(40, 80), np.arange(40, 80)]).all()
    assert (found.distances[:, 0] == 0).all()
    assert (found.distances[:80, 1] == 0).all()
    assert (found.distances[80:, 1] > 0).all()


def test_rounding_of_products_chooses_nothing(rng):
    """Of two rows at nearly one distance the nearer one, where float32 products cannot tell."""
    images = rng.random((100, 50)).astype(np.float32)
    steps = rng.normal(size=(2, 100, 50))
    steps /= np.linalg.norm(steps, axis=-1, keepdims=True)
    near = [images + steps[0], images + (1 + 1e-6) * steps[1]]
    among = np.concatenate([*near, 100 * rng.normal(size=(10, 50))]).astype(np.float32)
    products = np.square(among).sum(axis=1) - 2 * images @ among.T
    indices, distances = brute_force(images, among, 1)
    assert (products.argmin(axis=1) != indices[:, 0]).sum() > 10
    found = nearest(images, among)
    assert (found.indices == indices).all()
    np.testing.assert_allclose(found.distances, distances, rtol=1e-12)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e6, 1e15, 1e45])
def test_images_of_any_size_have_neighbours(rng, size):
    among = 0.5 + 0.01 * rng.random((60, 20)).astype(np.float32)
    images = size * rng.normal(size=(30, 20))
    indices, distances = brute_force(images, among, 1)
    found = nearest(images, among)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-12)
    if size < 1e9:  # beyond, the nearest are at one distance up to the rounding of float64
        assert (found.indices == indices).all()


def test_rows_that_are_all_the_same():
    found = nearest(np.ones((2, 4)), np.full((5, 4), 0.5, np.float32), 2)
    assert found.indices.tolist() == [[0, 1]] * 2
    assert found.distances.tolist() == [[1, 1]] * 2


def test_there_are_no_more_than_there_are_rows(rng):
    assert nearest(rng.random((3, 4)), rng.random((2, 4)), 5).indices.shape == (3, 2)
    assert nearest(rng.random((0, 4)), rng.random((2, 4)), 2).indices.shape == (0, 2)
