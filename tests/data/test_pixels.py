import numpy as np
import pytest

from jaxbq.data.pixels import as_pixels
from jaxbq.errors import JaxbqError


@pytest.fixture
def images(rng):
    return rng.random((5, 4, 3)).astype(np.float32)


def test_the_shapes_that_images_come_in(images):
    expected = images.reshape(5, 12)
    for given, asked, shape in (
        (images, (), (4, 3)),
        (images[..., None], (), (4, 3)),
        (images[..., None], (4, 3, 1), (4, 3)),
        (expected, (4, 3), (4, 3)),
        (expected, (2, 2, 3), (2, 2, 3)),
        (expected, (), (1, 12)),
        (expected[:, :9], (), (3, 3)),
        (images.reshape(5, 2, 2, 3), (), (2, 2, 3)),
        (np.asfortranarray(images), (), (4, 3)),
    ):
        found = as_pixels([given], asked)
        assert found.shape == shape
        width = np.prod(shape)
        np.testing.assert_array_equal(found.parts[0], expected[:, :width])


@pytest.mark.parametrize(
    ("scale", "shift", "ends", "factor"),
    [
        (1, 0, (0, 1), 1),
        (2, -1, (-1, 1), 1),
        (255, 0, (0, 1), 1 / 255),
        (200, 0, (0, 1), 1 / 255),
        (16, 0, (0, 16), 1),
        (5, -2, (-2, 3), 1),
        (300, 0, (0, 300), 1),
    ],
)
def test_the_pixel_range_is_found(images, scale, shift, ends, factor):
    images[0, 0, 0], images[0, 0, 1] = 0, 1
    values = images.astype(np.float64) * scale + shift
    found = as_pixels([values[:3], values[3:]])
    assert (found.low, found.high) == ends
    np.testing.assert_allclose(
        np.concatenate(found.parts), values.reshape(5, 12) * factor, rtol=1e-6, atol=1e-6
    )
    assert found.parts[0].dtype == np.float32
    book = as_pixels([values], book_scaling=True)
    assert (book.low, book.high) == (0.01, 1.0)
    assert book.parts[0].min() == pytest.approx(0.01)
    share = (values.reshape(5, 12) * factor - ends[0]) / (ends[1] - ends[0])
    np.testing.assert_allclose(book.parts[0], share * 0.99 + 0.01, rtol=1e-6)


def test_a_pixel_range_of_ones_own_leaves_values_as_they_are(images):
    found = as_pixels([images], pixel_range=(-3.0, 4.0))
    assert (found.low, found.high) == (-3.0, 4.0)
    np.testing.assert_array_equal(found.parts[0], images.reshape(5, 12))
    halves = np.array([[[0, 1], [1, 0]]], np.uint8)
    assert as_pixels([halves], pixel_range=(0.0, 1.0)).parts[0].tolist() == [[0, 1, 1, 0]]
    # Rounding to float32 takes nobody out of the range.
    tenths = np.array([[0.1, 0.7]])
    as_pixels([tenths], pixel_range=(0.1, 0.7))


def test_bytes_are_divided_by_255(rng):
    images = rng.integers(0, 100, (3, 2, 2), dtype=np.uint8)
    found = as_pixels([images])
    assert (found.low, found.high) == (0.0, 1.0)
    np.testing.assert_array_equal(found.parts[0], (images.reshape(3, 4) / 255).astype(np.float32))
    assert as_pixels([images * 0]).parts[0].max() == 0
    found = as_pixels([np.array([[True, False]])])
    assert found.parts[0].tolist() == [[1, 0]]


def test_what_is_given_is_not_changed_with_what_is_made(images):
    found = as_pixels([images])
    found.parts[0][:] = 7
    assert images.max() <= 1


@pytest.mark.parametrize(
    ("spoil", "options", "message"),
    [
        (lambda x: x.astype(object), {}, "images must be numbers, not object"),
        (lambda x: x.astype(complex), {}, "images must be numbers, not complex128"),
        (lambda x: x[:0], {}, "there are no images"),
        (lambda x: x[:, :0], {}, "there are no images"),
        (lambda x: x[0, 0], {}, r"must be of shape .* not \(3,\)"),
        (lambda x: x[:, None], {"shape": (4, 3)}, r"images are of shape \(1, 4, 3\), not \(4, 3\)"),
        (lambda x: x.reshape(5, 2, 3, 2), {}, r"must be of shape .* not \(5, 2, 3, 2\)"),
        (lambda x: x.reshape(5, 12), {"shape": (5, 3)}, r"rows of 12 pixels make no images of"),
        (lambda x: x, {"shape": (3, 4)}, r"images are of shape \(4, 3\), not \(3, 4\)"),
        (lambda x: x, {"shape": (4,)}, r"shape is \[4\]: write \[height, width\]"),
        (lambda x: x, {"shape": (0, 3)}, "write"),
        (lambda x: np.where(x == x[3, 1, 1], np.nan, x), {}, r"image 3 \(from 0\) has a value"),
        (lambda x: np.where(x == x[2, 1, 1], -np.inf, x), {}, r"image 2 \(from 0\) has a value"),
        (lambda x: x.astype(float) * 1e300, {}, "not finite"),
        (lambda x: x * 0 + 3, {}, "every pixel is 3"),
        (lambda x: x, {"pixel_range": (0.0, 0.5)}, r"beyond the pixel_range \[0, 0.5\]"),
        (lambda x: x, {"pixel_range": (1.0, 1.0)}, "the first must be the smaller"),
        (lambda x: x, {"pixel_range": (0.0, np.inf)}, "the first must be the smaller"),
        (lambda x: (x > 0.5).astype(np.uint8), {}, r"no pixel is above 1 of 255"),
    ],
)
def test_images_that_mean_nothing(images, spoil, options, message):
    with pytest.raises(JaxbqError, match=message) as caught:
        as_pixels([spoil(images)], **options)
    assert "\n" not in str(caught.value)


def test_parts_of_two_shapes(images):
    with pytest.raises(JaxbqError, match="must have one shape"):
        as_pixels([images, images[:, :3]])


def test_channels_that_come_first(rng):
    colour = rng.random((5, 3, 6, 4)).astype("f4")
    found = as_pixels([colour])
    assert found.shape == (6, 4, 3)
    np.testing.assert_array_equal(found.parts[0], np.moveaxis(colour, 1, 3).reshape(5, -1))
    grey = as_pixels([colour[:, :1]])
    assert grey.shape == (6, 4)
    np.testing.assert_array_equal(grey.parts[0], colour[:, 0].reshape(5, -1))
    # Where both ends could be channels, the last are.
    assert as_pixels([rng.random((5, 3, 6, 3))]).shape == (3, 6, 3)


def test_bytes_that_are_none_of_255(rng):
    digits = rng.integers(0, 17, (5, 4, 4)).astype("u1")
    digits[0, 0, 0] = 16
    with pytest.raises(JaxbqError, match=r"above 16 of 255.*pixel_range = \[0, 16\]"):
        as_pixels([digits])
    assert as_pixels([digits], pixel_range=(0, 16)).high == 16
