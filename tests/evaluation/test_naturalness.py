import dataclasses

import jax.numpy as jnp
import numpy as np
import problems
import pytest
from scipy import stats

from jaxbq.data import Dataset, Grid
from jaxbq.errors import JaxbqError
from jaxbq.evaluation import NaturalnessScale, naturalness
from jaxbq.evaluation.naturalness import Naturalness, high_frequency, nearest, total_variation
from jaxbq.evaluation.similarity import structural_similarity
from jaxbq.methods.ascent import TotalVariation
from jaxbq.methods.ascent.regularisers import Picture

MEASURES = [name.removesuffix("_percentile") for name in Naturalness._fields if "_perc" in name][1:]
WITHOUT_AUTOENCODER = [name for name in MEASURES if name != "autoencoder_residual"]


@pytest.fixture(scope="module")
def scale(tiny):
    return NaturalnessScale(tiny)


@pytest.fixture(scope="module")
def digits(mnist_10k):
    """Its autoencoder knows the mean and nothing else."""
    mean = mnist_10k.train_images.mean(axis=0)
    return NaturalnessScale(mnist_10k, autoencoder=lambda images: 0.5 * (images + mean))


def every(found: Naturalness) -> np.ndarray:
    return np.stack([getattr(found, f"{name}_percentile") for name in MEASURES])


def test_the_order_is_that_of_the_table():
    assert Naturalness._fields[:7] == (
        "naturalness",
        "mean_percentile",
        "nearest",
        "nearest_percentile",
        "nearest_index",
        "nearest_label",
        "mahalanobis",
    )
    assert MEASURES == [
        "nearest",
        "mahalanobis",
        "components_residual",
        "autoencoder_residual",
        "ssim",
        "total_variation",
        "high_frequency",
    ]


def test_measures_equal_a_brute_force(scale, tiny, rng):
    images = rng.random((5, 30)).astype(np.float32)
    found = scale.measure(images)
    apart = np.linalg.norm(images[:, None] - tiny.train_images[None], axis=-1)
    np.testing.assert_allclose(found.nearest, apart.min(axis=1) / 30**0.5, rtol=1e-5)
    assert (found.nearest_index == apart.argmin(axis=1)).all()
    assert (found.nearest_label == tiny.train_labels[apart.argmin(axis=1)]).all()
    train = tiny.train_images.astype(np.float64)
    covariance = np.cov(train.T, bias=True)
    shrunk = 0.999 * covariance + 0.001 * np.trace(covariance) / 30 * np.eye(30)
    away = images - train.mean(axis=0)
    far = np.einsum("ni,ij,nj->n", away, np.linalg.inv(shrunk), away) / 30
    np.testing.assert_allclose(found.mahalanobis, far, rtol=1e-6)
    # Half of the thirty directions that the images vary in: fifty are asked for.
    axes = np.linalg.svd(train - train.mean(axis=0), full_matrices=False)[2][:15]
    left = away - away @ axes.T @ axes
    left = np.sqrt(np.square(left).mean(axis=1))
    np.testing.assert_allclose(found.components_residual, left, rtol=1e-6)
    grid, near = Grid(6, 5, 1), tiny.train_images[found.nearest_index]
    np.testing.assert_allclose(found.ssim, structural_similarity(images, near, grid), rtol=1e-9)
    np.testing.assert_allclose(found.total_variation, total_variation(images, grid))
    np.testing.assert_allclose(found.high_frequency, high_frequency(images, grid))


def test_neighbours_are_those_of_a_brute_force(scale, tiny, rng):
    images = rng.random((5, 30)).astype(np.float32)
    apart = np.linalg.norm(images[:, None] - tiny.train_images[None], axis=-1)
    assert (scale.neighbours(images) == np.argsort(apart, axis=1)[:, :3]).all()
    assert (scale.neighbours(images, 1)[:, 0] == scale.measure(images).nearest_index).all()


def test_percentiles_are_those_among_test_images(scale, tiny):
    real = scale.measure(tiny.test_images[scale.compared])
    for name in WITHOUT_AUTOENCODER:
        # Every test image in its own place: the mean of 1/n … n/n, or of 2/n, 2/n, 4/n, 4/n … n/n.
        percentile = getattr(real, f"{name}_percentile")
        both = name in ("total_variation", "high_frequency")
        # Of fifteen, twice 2/n, 4/n … 14/n and one 16/n, which is 100 % at most.
        step = 100 / 15 * (2 * sum(range(2, 15, 2)) / 15 + 1) - 50 if both else 50 / 15
        assert percentile.mean() == pytest.approx(50 + step, abs=1e-9), name
        assert percentile.min() > 0, name
        quantiles = np.quantile(getattr(real, name), [0.05, 0.5, 0.95])
        np.testing.assert_allclose(scale.real[name], quantiles, err_msg=name)
    order = np.argsort(real.nearest)
    assert (np.diff(real.nearest_percentile[order]) <= 0).all()
    assert (np.diff(real.ssim_percentile[np.argsort(real.ssim)]) >= 0).all()
    along = real.total_variation_percentile[np.argsort(real.total_variation)]
    assert along[[0, -1]].tolist() == pytest.approx([200 / 15] * 2)  # twice one of fifteen
    assert along[7] == 100
    quantiles = np.quantile(real.mean_percentile, [0.05, 0.5, 0.95])
    np.testing.assert_allclose(scale.real["mean_percentile"], quantiles)


def test_the_mean_percentile_is_that_of_what_is_known(scale, digits, tiny, mnist_10k):
    without, with_one = scale.measure(tiny.test_images), digits.measure(mnist_10k.test_images[:9])
    assert np.isnan(without.autoencoder_residual).all()
    assert np.isnan(without.autoencoder_residual_percentile).all()
    assert "autoencoder_residual" not in scale.real
    np.testing.assert_allclose(without.mean_percentile, np.nanmean(every(without), axis=0))
    np.testing.assert_allclose(with_one.mean_percentile, every(with_one).mean(axis=0))
    assert list(digits.real) == ["mean_percentile", *MEASURES]


def test_real_images_that_it_did_not_see_are_spread_evenly(digits, mnist_10k):
    """Test images that percentiles are not taken among are as natural as those that they are.

    For two samples of 1,000 of one distribution, the mean percentile of one among the other has a
    standard deviation of 100 √(1/12 · 2/1000) = 1.3, and the largest difference of their
    distributions is below 0.1 in all but one of 10,000 draws (Kolmogorov and Smirnov).
    """
    others = np.delete(mnist_10k.test_images, digits.compared, axis=0)
    assert len(digits.compared) == len(others) == 1000
    found = digits.measure(others)
    for name in MEASURES:
        percentile = getattr(found, f"{name}_percentile")
        assert percentile.mean() == pytest.approx(50, abs=4 * 1.3), name
        assert stats.kstest(percentile / 100, "uniform").statistic < 0.1, name
    low, _, high = digits.real["mean_percentile"]
    within = (found.mean_percentile > low) & (found.mean_percentile < high)
    assert within.mean() == pytest.approx(0.9, abs=0.05)


def test_naturalness_is_the_rank_of_the_cauchy_combination_by_hand(scale, tiny, rng):
    """In NumPy, one image and one measure at a time."""
    images = np.clip(tiny.test_images[:6] + 0.2 * rng.normal(size=(6, 30)), 0, 1).astype(np.float32)
    compared = scale.measure(tiny.test_images[scale.compared])

    def unusual(found, n):
        total = 0.0
        for name in WITHOUT_AUTOENCODER:
            real, own = getattr(compared, name), getattr(found, name)[n]
            low, high = (real <= own).sum(), (real >= own).sum()
            rank = {"nearest": high, "ssim": low}.get(name, 2 * min(low, high))
            p = min((rank + 0.5) / (len(real) + 1), 0.5)
            total += 1 / np.tan(np.pi * p)
        return total / len(WITHOUT_AUTOENCODER)

    held_out = scale.measure(tiny.test_images[scale.held_out])
    known = np.array([unusual(held_out, n) for n in range(len(scale.held_out))])
    found = scale.measure(images)
    for n in range(6):
        rarer = (known >= unusual(found, n) - 1e-9).sum()
        assert found.naturalness[n] == pytest.approx((1 + rarer) / (1 + len(known)))
    assert not set(scale.compared) & set(scale.held_out)


@pytest.mark.slow
def test_naturalness_is_uniform_on_real_images_and_small_on_what_is_none(mnist_10k, rng):
    """On ten splits of the embedded test images."""
    for _ in range(10):
        order = rng.permutation(len(mnist_10k.test_labels))
        shown, fresh = order[:1750], mnist_10k.test_images[order[1750:]]
        data = dataclasses.replace(
            mnist_10k,
            test_images=mnist_10k.test_images[shown],
            test_labels=mnist_10k.test_labels[shown],
        )
        digits = NaturalnessScale(data)
        assert stats.kstest(digits.measure(fresh).naturalness, "uniform").pvalue > 0.01
    flat = np.full((3, 784), [[0.0], [0.5], [1.0]], np.float32)
    dot = np.eye(784, dtype=np.float32)[[400]]
    noise = rng.uniform(size=(20, 784)).astype(np.float32)
    for images in (flat, dot, noise, mnist_10k.class_means):
        assert digits.measure(images).naturalness.max() <= 0.05
    real = digits.measure(fresh).naturalness.mean()
    shifted = np.roll(fresh.reshape(-1, 28, 28), 1, axis=2).reshape(-1, 784)
    for images in (shifted, 0.9 * fresh):
        assert digits.measure(images).naturalness.mean() > 0.5 * real
    # A training image is its own nearest, so two of six measures never speak against it.
    known = digits.measure(mnist_10k.train_images[:500]).naturalness
    assert 0.4 < known.mean() < 0.7


def test_a_training_image_is_its_own_nearest_and_more_natural_than_noise(digits, mnist_10k, rng):
    rows = [0, 5, 7999]
    found = digits.measure(mnist_10k.train_images[rows])
    noise = digits.measure(rng.random((3, 784)).astype(np.float32))
    assert found.nearest_index.tolist() == rows
    assert found.nearest_label.tolist() == mnist_10k.train_labels[rows].tolist()
    assert found.nearest.tolist() == [0, 0, 0]
    assert found.ssim.tolist() == [1, 1, 1]
    assert found.nearest_percentile.tolist() == found.ssim_percentile.tolist() == [100] * 3
    assert (every(found) > every(noise)).all()
    assert (every(noise) == 0).all()
    assert (noise.naturalness == 1 / 1001).all()
    assert (found.naturalness > 0.05).any()


def test_what_is_too_smooth_is_no_more_natural_than_what_is_too_rough(digits, mnist_10k):
    means, grey = mnist_10k.class_means, np.full((1, 784), 0.5, np.float32)
    board = np.indices((28, 28)).sum(axis=0).ravel() % 2
    rough = np.clip(mnist_10k.test_images[:10] + 0.5 * board, 0, 1)
    for images in (means, grey, rough):
        assert (digits.measure(images).high_frequency_percentile <= 1).all()
    # A class mean lies amid the data, nearer than any image, but is none.
    mean = digits.measure(means)
    assert (mean.mahalanobis_percentile == 100).all()
    assert (mean.components_residual_percentile == 100).all()
    assert (mean.ssim_percentile < 25).all()
    assert (every(digits.measure(grey)) == 0).all()


@pytest.mark.parametrize(
    "wild",
    [1e3, -1e8, 3e38, np.inf, -np.inf, np.nan],
)
def test_any_image_has_finite_measures(scale, tiny, wild):
    images = tiny.test_images[:3].copy()
    images[0, 4], images[1, ::2], images[2] = wild, wild, wild
    found = scale.measure(images)
    for name in WITHOUT_AUTOENCODER:
        assert np.isfinite(getattr(found, name)).all(), name
    assert (found.naturalness == 1 / 16).all()
    assert (found.nearest_percentile == 0).all()
    assert np.isfinite(scale.measure(images.astype(np.float64)).naturalness).all()


@pytest.mark.parametrize("shape", [(1, 30), (30,), (5, 6, 1), (2, 5, 3), (1, 1, 30)], ids=str)
def test_images_of_any_shape_are_measured(tiny, shape):
    strips = Dataset.from_arrays(
        tiny.train_images, tiny.train_labels, tiny.test_images, tiny.test_labels, shape=(1, 30)
    )
    object.__setattr__(strips.space, "shape", shape)
    found = NaturalnessScale(strips).measure(tiny.train_images[:2])
    assert found.ssim.tolist() == [1, 1]
    assert (found.total_variation > 0).all()


def test_the_unit_of_pixels_does_not_matter(tiny, rng):
    images = rng.random((4, 30))
    arrays = tiny.train_images, tiny.train_labels, tiny.test_images, tiny.test_labels
    other = Dataset.from_arrays(
        4 * arrays[0] - 2,
        arrays[1],
        4 * arrays[2] - 2,
        arrays[3],
        shape=(6, 5),
        pixel_range=(-2.0, 2.0),
    )
    ours = NaturalnessScale(tiny, autoencoder=lambda rows: rows + 0.25).measure(images)
    theirs = NaturalnessScale(other, autoencoder=lambda rows: rows + 1).measure(4 * images - 2)
    for name, one, two in zip(Naturalness._fields, ours, theirs, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, err_msg=name)
    np.testing.assert_allclose(ours.autoencoder_residual, 0.25, rtol=1e-6)


def test_few_images_allow_few_components(tiny):
    few = Dataset.from_bytes(problems.striped_bytes(1, 1), problems.striped_bytes(1, 2))
    assert NaturalnessScale(few).components == 1  # three images vary in two directions
    assert NaturalnessScale(tiny, components=4).components == 4
    found = NaturalnessScale(few)
    assert np.isfinite(found.measure(few.test_images).naturalness).all()
    assert found.neighbours(few.test_images, 5).shape == (3, 3)


def test_images_that_score_alike_count_as_both_low_and_high():
    images, labels = problems.striped_bytes(10, 1)
    images[:10] = 0
    scale = NaturalnessScale(Dataset.from_bytes((images, labels), (images, labels)))
    found = scale.measure(np.zeros((1, 30), np.float32))
    # A third of the test images are flat, and none flatter; all are where they are.
    assert found.total_variation_percentile == pytest.approx(200 / 3)
    assert found.high_frequency_percentile == pytest.approx(200 / 3)
    assert found.nearest_percentile == found.ssim_percentile == 100
    assert found.nearest_index == 0


def test_images_that_are_all_the_same_are_refused(tiny):
    images = np.full((4, 5, 5), 9, np.uint8)
    labels = np.arange(4, dtype=np.uint8)
    with pytest.raises(JaxbqError, match="all training images are the same"):
        NaturalnessScale(Dataset.from_bytes((images, labels), (images, labels)))


GRIDS = [Grid(1, 12, 1), Grid(6, 8, 1), Grid(7, 5, 1), Grid(6, 5, 3), Grid(1, 1, 1)]


def wave(grid: Grid, down: int, right: int) -> np.ndarray:
    """A cosine that goes so many times into each direction."""
    rows, columns, _ = np.indices(grid.shape)
    phase = down * rows / grid.height + right * columns / grid.width
    return 0.5 + 0.5 * np.cos(2 * np.pi * phase).reshape(1, -1)


def test_the_variation_of_an_edge_by_hand():
    # Rows of 0 0 1 1 1: one step of 1 in each row of five pixels.
    assert total_variation(np.array([[0.0, 0, 1, 1, 1] * 4]), Grid(4, 5, 1)) == pytest.approx(0.2)
    # One bright pixel in the middle: two steps down, two to the right, among nine pixels.
    spot = np.zeros((1, 9))
    spot[0, 4] = 0.5
    assert total_variation(spot, Grid(3, 3, 1)) == pytest.approx(2 / 9)
    assert total_variation(spot, Grid(1, 9, 1)) == pytest.approx(1 / 9)
    # Of three channels one has a step down.
    colour = np.array([[0, 0, 0, 0, 1.0, 0]])
    assert total_variation(colour, Grid(2, 1, 3)) == pytest.approx(1 / 6)


@pytest.mark.usefixtures("x64")
def test_the_variation_is_the_regularisers(rng):
    grid = Grid(6, 5, 3)
    image = rng.random(90)
    row = jnp.asarray(image)
    picture = Picture(row, row, row, row, (0.0, 1.0))
    expected = TotalVariation().value(grid, picture)
    assert total_variation(image[None], grid) == pytest.approx(float(expected), rel=1e-12)


def test_a_board_is_all_rough_and_a_slow_wave_all_smooth():
    grid = Grid(8, 12, 1)
    images = np.concatenate(
        [
            wave(grid, 4, 6),  # a checkerboard
            wave(grid, 1, 0),
            wave(grid, 0, 3),  # a quarter of a cycle a pixel is not above it
            wave(grid, 2, 3),  # so are both directions, but not their diagonal
            wave(grid, 0, 4),
            wave(grid, 1, 0) + wave(grid, 0, 6),  # energies ½ and 1
        ]
    )
    np.testing.assert_allclose(
        high_frequency(images, grid), [1, 0, 0, 1, 1, 2 / 3], rtol=1e-9, atol=1e-9
    )
    strip = Grid(1, 12, 1)
    rows = np.concatenate([wave(strip, 0, 6), wave(strip, 0, 2)])
    np.testing.assert_allclose(high_frequency(rows, strip), [1, 0], atol=1e-9)


@pytest.mark.parametrize("grid", GRIDS[:4], ids=str)
def test_the_share_is_that_of_a_full_transform(rng, grid):
    images = rng.random((3, np.prod(grid.shape)))
    high = np.hypot(*np.meshgrid(*map(np.fft.fftfreq, grid.sides), indexing="ij")) > 0.25
    for image, found in zip(images, high_frequency(images, grid), strict=True):
        laid = image.reshape(grid.shape)
        energy = np.abs(np.fft.fft2(laid - laid.mean(axis=(0, 1)), axes=(0, 1))) ** 2
        assert found == pytest.approx(energy[high].sum() / energy.sum(), rel=1e-9)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("brightness", [0.0, 0.1, -1e6])
def test_a_flat_image_is_smooth(grid, brightness):
    flat = np.full((2, np.prod(grid.shape)), brightness)
    for images in (flat, flat.astype(np.float32)):
        assert total_variation(images, grid).tolist() == [0, 0]
        assert high_frequency(images, grid).tolist() == [0, 0]


def test_neither_brightness_nor_contrast_change_the_share(rng):
    grid, image = Grid(9, 6, 3), rng.random((1, 162))
    np.testing.assert_allclose(
        high_frequency(1e6 + 1e3 * image, grid), high_frequency(image, grid), rtol=1e-6
    )
    np.testing.assert_allclose(
        total_variation(7 - 3 * image, grid), 3 * total_variation(image, grid), rtol=1e-12
    )


def brute_force(images, among, number):
    """All differences, in float64; a stable sort leaves ties in the order of rows."""
    away = images[:, None].astype(np.float64) - among[None].astype(np.float64)
    apart = np.linalg.norm(away, axis=-1)
    order = np.argsort(apart, axis=1, kind="stable")[:, :number]
    return order, np.take_along_axis(apart, order, axis=1)


@pytest.fixture
def small_blocks(monkeypatch):
    """Several blocks of everything, the last ones incomplete."""
    monkeypatch.setattr(naturalness, "_PRODUCTS", 1000)
    monkeypatch.setattr(naturalness, "_ROWS_AT_ONCE", 33)


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
