import numpy as np
import problems

from jaxbq.data import rescaled


def test_pixels_are_mapped_linearly_and_stay_in_the_range(tiny):
    wide = rescaled(tiny, -1.0, 3.0)
    np.testing.assert_allclose(wide.train_images, 4 * tiny.train_images - 1, atol=1e-6)
    assert wide.pixel_range == (-1.0, 3.0)
    assert wide.test_images.min() >= -1
    assert wide.test_images.max() <= 3
    back = rescaled(wide, 0.0, 1.0)
    np.testing.assert_allclose(back.test_images, tiny.test_images, atol=1e-6)
    np.testing.assert_array_equal(back.train_labels, tiny.train_labels)


def test_the_same_range_is_the_same_data(tiny):
    assert rescaled(tiny, 0.0, 1.0) is tiny


def test_the_books_scaling(tiny):
    book = problems.striped_dataset(book_scaling=True)
    again = rescaled(tiny, 0.01, 1.0)
    # One unit in the last place: there it is computed from bytes.
    np.testing.assert_allclose(again.train_images, book.train_images, atol=1e-7)
