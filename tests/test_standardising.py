import numpy as np

from jaxbq.evaluation.similarity import shifted, standardise


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
