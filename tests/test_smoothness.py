import jax.numpy as jnp
import numpy as np
import pytest

from jaxbq.data import Grid
from jaxbq.evaluation.naturalness import high_frequency, total_variation
from jaxbq.methods.ascent import TotalVariation
from jaxbq.methods.ascent.regularisers import Picture

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
