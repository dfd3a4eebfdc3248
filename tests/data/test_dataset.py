import numpy as np
import problems
import pytest

from jaxbq.data import Dataset, Reference, rescaled
from jaxbq.errors import JaxbqError


def test_pixels_become_floats_in_the_range():
    images, labels = problems.striped_bytes(2, 0)
    images[0, 0, 0], images[0, 0, 1] = 0, 255
    data = Dataset.from_bytes((images, labels), (images, labels))
    assert data.train_images.shape == (6, 30)
    assert data.pixel_range == (0.0, 1.0)
    assert data.train_images[0, :2].tolist() == [0.0, 1.0]
    np.testing.assert_allclose(data.train_images[3], images[3].ravel() / 255, atol=1e-7)


def test_book_scaling_is_the_books():
    images, labels = problems.striped_bytes(2, 0)
    data = Dataset.from_bytes((images, labels), (images, labels), book_scaling=True)
    expected = images.reshape(6, -1) / 255.0 * 0.99 + 0.01
    np.testing.assert_allclose(data.train_images, expected, atol=1e-7)
    assert data.pixel_range == (0.01, 1.0)


def test_class_means(tiny):
    for label in range(3):
        rows = tiny.train_images[tiny.train_labels == label]
        np.testing.assert_allclose(tiny.class_means[label], rows.mean(axis=0), rtol=1e-5)


def test_an_absent_class_has_no_mean():
    images, labels = problems.striped_bytes(2, 0)
    data = Dataset.from_bytes((images, labels), (images, labels), class_names=list("abcd"))
    assert np.isnan(data.class_means[3]).all()
    assert np.isfinite(data.class_means[:3]).all()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda i, t: (i[:-1], t), "5 training images but 6 labels"),
        (lambda i, t: (i[:0], t[:0]), "the training set is empty"),
        (lambda i, t: (i.astype(np.float32), t), "must be bytes"),
        (lambda i, t: (i.reshape(6, -1), t), "must be bytes of shape"),
        (lambda i, t: (i, t.astype(float)), "whole numbers"),
        (lambda i, t: (i, t.astype(np.int64) - 1), "labels count from 0"),
        (lambda i, t: (i, t.astype(np.int64) + 10**9), "labels are class numbers"),
        (lambda i, t: (i[:, :4], t), "they must have one size"),
    ],
)
def test_what_does_not_fit_is_refused(spoil, message):
    images, labels = problems.striped_bytes(2, 0)
    with pytest.raises(JaxbqError, match=message):
        Dataset.from_bytes(spoil(images, labels), (images, labels))


def test_too_few_class_names():
    images, labels = problems.striped_bytes(2, 0)
    with pytest.raises(JaxbqError, match="a label is 2, but there are 2 class names"):
        Dataset.from_bytes((images, labels), (images, labels), class_names=["a", "b"])


def test_a_reference_without_images_says_what_to_do(tiny):
    with pytest.raises(JaxbqError, match=r"start = 'mean' needs training images.*--data"):
        Reference(tiny.space).need_images("start = 'mean'")
    assert tiny.reference.need_images("it") is tiny.train_images


def test_arrays_of_python_become_a_data_set():
    images, labels = problems.striped_bytes(10, 0)
    both = Dataset.from_bytes((images, labels), (images, labels))
    same = Dataset.from_arrays(images, labels.tolist(), images, labels)
    np.testing.assert_array_equal(same.train_images, both.train_images)
    assert (same.space, same.class_names) == (both.space, both.class_names)
    floats = Dataset.from_arrays(images / 255.0, np.array(["r", "c", "b"])[labels], test_share=0.3)
    assert floats.class_names == ("b", "c", "r")
    assert np.bincount(floats.test_labels).tolist() == [3, 3, 3]
    # Labels went with their images: a bright column is a "c".
    columns = floats.train_images[floats.train_labels == 1].reshape(-1, 6, 5)
    assert (columns.mean(axis=1).argmax(axis=1) == 3).all()


def test_arrays_that_do_not_go_together():
    images, labels = problems.striped_bytes(2, 0)
    with pytest.raises(JaxbqError, match="go together: give both or none"):
        Dataset.from_arrays(images, labels, images)
    with pytest.raises(JaxbqError, match="6 images but 5 labels"):
        Dataset.from_arrays(images, labels, images, labels[:5])


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
