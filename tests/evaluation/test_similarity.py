import numpy as np
import pytest
from skimage.metrics import structural_similarity as scikit

from jaxbq.data import Grid
from jaxbq.evaluation import spread
from jaxbq.evaluation.similarity import shifted, standardise, structural_similarity


def pairs(rng, number, grid, low=0.0, high=1.0):
    """Images and their likes, from nearly equal to nothing in common."""
    images = rng.uniform(low, high, (number, np.prod(grid.shape)))
    other = rng.uniform(low, high, images.shape)
    share = np.linspace(0, 1, number)[:, None]
    return images, (1 - share) * images + share * other


@pytest.mark.parametrize("grid", [Grid(7, 7, 1), Grid(12, 9, 1), Grid(8, 11, 3)], ids=str)
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.0, 255.0), (-1.0, 1.0), (0.01, 1.0)])
def test_it_is_scikit_images(rng, grid, low, high):
    images, others = pairs(rng, 6, grid, low, high)
    found = structural_similarity(images, others, grid, high - low)
    colour = {"channel_axis": 2} if grid.channels > 1 else {}
    shape = grid.shape if colour else grid.sides
    expected = [
        scikit(x.reshape(shape), y.reshape(shape), data_range=high - low, **colour)
        for x, y in zip(images, others, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    assert found[0] == 1
    assert np.ptp(found) > 0.8


def test_it_is_scikit_images_on_digits(mnist_10k):
    images, others = mnist_10k.test_images[:40], mnist_10k.test_images[40:80]
    found = structural_similarity(images, others, Grid(28, 28, 1))
    expected = [
        scikit(x.reshape(28, 28).astype(np.float64), y.reshape(28, 28), data_range=1.0)
        for x, y in zip(images, others.astype(np.float64), strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("height", "width", "window"),
    [(1, 20, (1, 7)), (6, 5, (5, 5)), (4, 9, (3, 7)), (1, 1, (1, 1)), (2, 2, (1, 1))],
)
def test_a_small_image_has_the_largest_odd_window_that_fits(rng, height, width, window):
    x, y = rng.random((2, height, width))
    rows, columns = window
    number = rows * columns
    values = []
    for top in range(height - rows + 1):
        for left in range(width - columns + 1):
            a, b = (each[top : top + rows, left : left + columns] for each in (x, y))
            var_a, var_b, cov = (
                ((p - p.mean()) * (q - q.mean())).sum() / max(number - 1, 1)
                for p, q in ((a, a), (b, b), (a, b))
            )
            brightness = (2 * a.mean() * b.mean() + 1e-4) / (a.mean() ** 2 + b.mean() ** 2 + 1e-4)
            values.append(brightness * (2 * cov + 9e-4) / (var_a + var_b + 9e-4))
    found = structural_similarity(x.reshape(1, -1), y.reshape(1, -1), Grid(height, width, 1))
    np.testing.assert_allclose(found, np.mean(values), rtol=1e-9)


def test_known_answers(rng):
    grid = Grid(10, 10, 1)
    one, board = rng.random((1, 100)), np.indices((10, 10)).sum(axis=0).reshape(1, 100) % 2.0
    assert structural_similarity(one, one, grid) == 1
    # Of flat images only the brightness counts: (2ab + c) / (a² + b² + c).
    dark, bright = np.full((1, 100), 0.25), np.full((1, 100), 0.75)
    assert structural_similarity(dark, bright, grid) == pytest.approx(0.3751 / 0.6251)
    assert structural_similarity(board, 1 - board, grid) < -0.9


def test_values_far_outside_the_range_give_a_number(rng):
    grid = Grid(12, 12, 1)
    images = rng.random((4, 144))
    wild = images.copy()
    wild[0, 30], wild[1], wild[2, ::2], wild[3, 50:60] = 1e6, -1e6, 1e9, -1e12
    found = structural_similarity(wild, images, grid)
    assert (np.abs(found) <= 1).all()


def test_standardised_images_have_mean_zero_and_deviation_one(rng):
    images = rng.random((6, 30)).astype(np.float32)
    images[2] = 0.7
    images[3] = 0
    images[4] *= 1e37
    images[5] = 0.01 * images[5] + 100
    found = standardise(images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.mean(axis=1), 0, atol=1e-4)
    np.testing.assert_allclose(found.std(axis=1), [1, 1, 0, 0, 1, 1], atol=1e-4)
    np.testing.assert_allclose(
        found[0], (images[0] - images[0].mean()) / images[0].std(), rtol=1e-4, atol=1e-5
    )


def test_shifts_are_small_and_repeat_the_edge(rng):
    image = rng.random((24, 41, 3)).astype(np.float32)
    rows = np.tile(image.reshape(1, -1), (60, 1))
    edges = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
    possible = {
        (i, j): edges[1 + i : 25 + i, 1 + j : 42 + j].ravel()
        for i in (-1, 0, 1)
        for j in (-1, 0, 1)
    }
    for share, least, most in ((1.0, 0, 20), (0.5, 20, 50), (0.0, 60, 60)):
        found = shifted(rows, (24, 41, 3), share, rng)
        which = [next(k for k, p in possible.items() if np.array_equal(p, row)) for row in found]
        assert least <= which.count((0, 0)) <= most
        assert len(set(which)) == (1 if share == 0 else 9)
    small = rows[:, : 19 * 30]
    assert shifted(small, (19, 30), 1.0, rng) is small
    assert shifted(rows, (rows.shape[1],), 1.0, rng) is rows


def test_groups_of_alike_images_are_counted(rng):
    two = rng.random((2, 50))
    # Brightness and contrast make no other optimum.
    images = np.stack([two[0], 0.5 * two[0] + 0.1, two[1], two[1] + 1e-3 * rng.random(50)])[None]
    found = spread(images)
    assert found.distinct.tolist() == [2]
    table = np.corrcoef(images[0])
    assert np.isclose(found.mean_correlation[0], table[np.triu_indices(4, 1)].mean())


def test_diversity_is_a_share_of_the_distance_of_real_images(rng):
    real = [
        rng.normal(size=(40, 500)),
        rng.normal(size=(30, 500)),
        np.ones((5, 500)),
        np.ones((1, 500)),
    ]
    images = np.stack([np.tile(rng.random(500), (6, 1))] + [2 * rng.normal(size=(6, 500))] * 3)
    found = spread(images, real).diversity
    assert found[0] == pytest.approx(0, abs=1e-7)
    # Distances of normal draws of twice the deviation are twice as large.
    assert found[1] == pytest.approx(2, rel=0.05)
    assert np.isnan(found[2:]).all()
    pairs = [np.linalg.norm(a - b) for n, a in enumerate(images[1]) for b in images[1][:n]]
    usual = [np.linalg.norm(a - b) for n, a in enumerate(real[1]) for b in real[1][:n]]
    assert found[1] == pytest.approx(np.mean(pairs) / np.mean(usual))
    assert np.isnan(spread(images).diversity).all()
    assert spread(images[:, :1], real).diversity[:2].tolist() == [0, 0]


def test_groups_are_linked_directly_or_through_others(rng):
    for samples in (2, 5, 12):
        images = rng.random((1, 2, 3))[:, rng.integers(0, 2, samples)]
        images = np.concatenate([images, images + 0.3 * rng.random(images.shape)])
        expected = []
        for rows in images:
            linked = np.corrcoef(rows) >= 0.95
            groups = [{n} for n in range(samples)]
            for one, other in zip(*np.nonzero(linked), strict=True):
                both = [g for g in groups if one in g or other in g]
                groups = [g for g in groups if g not in both] + [set().union(*both)]
            expected.append(len(groups))
        assert spread(images).distinct.tolist() == expected
    # Each of a chain correlates with its neighbours alone.
    angle = 0.3 * np.arange(10)
    chain = np.cos(angle)[:, None] * [1.0, -1, 0, 0] + np.sin(angle)[:, None] * [0, 0, 1.0, -1]
    assert spread(chain[None]).distinct.tolist() == [1]


def test_one_sample_is_one_optimum(rng):
    found = spread(rng.random((3, 1, 50)))
    assert found.distinct.tolist() == [1, 1, 1]
    assert found.mean_correlation.tolist() == [1, 1, 1]


def test_targets_are_apart(rng):
    same = np.tile(rng.random(50), (5, 1))
    found = spread(np.stack([same, rng.random((5, 50))]))
    assert found.distinct.tolist() == [1, 5]
