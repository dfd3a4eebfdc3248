import numpy as np
import problems
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from PIL import Image

from jaxbq.data import ImageSpace
from jaxbq.errors import JaxbqError
from jaxbq.methods import Ascent, invert
from jaxbq.network.targets import Codes
from jaxbq.report import image_grid, path_strip, save_animation
from jaxbq.report.images import ImageRow, as_bytes, check_drawable, draw_image, proportion
from jaxbq.report.style import save_figure


def drawn(image, space):
    return draw_image(Figure().subplots(), np.asarray(image, float).ravel(), space)


def test_one_channel_is_grey_and_three_are_colour_within_the_pixel_range(rng):
    values = rng.uniform(-1, 3, (4, 6, 3))
    grey = drawn(values[..., 0], ImageSpace((4, 6, 1), -1, 3))
    np.testing.assert_array_equal(grey.get_array(), values[..., 0])
    assert grey.get_clim() == (-1, 3)
    colour = drawn(values, ImageSpace((4, 6, 3), -1, 3))
    np.testing.assert_allclose(colour.get_array(), (values + 1) / 4, atol=1e-12)
    beyond = drawn(values, ImageSpace((4, 6, 3), 0, 1))
    np.testing.assert_array_equal(beyond.get_array(), values.clip(0, 1))


def test_a_strip_of_pixels_is_drawn_high_enough_to_be_seen():
    for shape in ((64,), (1, 64), (2, 64, 1)):
        space = ImageSpace(shape)
        check_drawable(space)
        assert proportion(space) == 0.12
        assert drawn(np.zeros(space.pixels), space).axes.get_aspect() == "auto"
    assert drawn(np.zeros(30), ImageSpace((6, 5))).axes.get_aspect() == 1


@pytest.mark.parametrize("shape", [(), (6, 5, 2), (6, 5, 4), (1, 6, 5, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(JaxbqError, match="cannot be drawn"):
        check_drawable(ImageSpace(shape))


def test_bytes_are_dark_ink_on_white_or_the_colours():
    values = np.array([[0.0, 0.5, 2.0]])
    np.testing.assert_array_equal(as_bytes(values, ImageSpace((1, 3), 0, 1)), [[[255, 128, 0]]])
    np.testing.assert_array_equal(
        as_bytes(values, ImageSpace((1, 1, 3), 0, 1)), [[[[0, 128, 255]]]]
    )


def test_a_grid_shows_the_colours(tmp_path):
    reds = np.tile([0.8, 0.2, 0.1], (2, 6))
    row = ImageRow("red", reds, np.eye(2), ["a", "b"], [True, True])
    figure = image_grid([row], ImageSpace((2, 3, 3)), "ab")
    assert len(figure.axes) == 1  # no scale beside them
    save_figure(figure, tmp_path / "red.png")
    pixels = imread(tmp_path / "red.png")[..., :3]
    assert (abs(pixels - [0.8, 0.2, 0.1]).max(axis=-1) < 0.01).mean() > 0.1


def test_ways_of_coloured_images(rng, tmp_path):
    model, params = problems.random_network((18, 6, 2), rng, scale=6.0)
    space = ImageSpace((2, 3, 3), -1, 1)
    method = Ascent(steps=2, path=(0, 2))
    result = invert(method, model, params, Codes().matrix(2), reference=space)
    way = result.diagnostics["path"][0, 0, 1].reshape(2, 3, 3)
    strip = path_strip(result, "ab")
    np.testing.assert_allclose(strip.axes[1].images[0].get_array(), (way + 1) / 2, atol=1e-6)
    save_animation(result, tmp_path / "way.webp", "ab")
    with Image.open(tmp_path / "way.webp") as film:
        film.seek(1)
        last = np.asarray(film.convert("RGB"), float)
    # 2 × 3 enlarged 37 times, below the name.
    shown = last[22 : 22 + 2 * 37, 8 : 8 + 3 * 37].reshape(2, 37, 3, 37, 3)[:, 18, :, 18]
    np.testing.assert_allclose(shown, 255 * (way + 1) / 2, atol=1)
