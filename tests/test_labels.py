import numpy as np
import pytest

from jaxbq.data.labels import as_classes
from jaxbq.errors import JaxbqError

NAMES = ("cat", "dog", "eel")


def classes(labels, names=()):
    (found,), names = as_classes([np.asarray(labels)], names)
    return found.tolist(), names


@pytest.mark.parametrize(
    ("labels", "names", "expected"),
    [
        ([2, 0, 1], (), ([2, 0, 1], ("0", "1", "2"))),
        ([26, 3], (), ([1, 0], ("3", "26"))),
        ([-1, 1, 1], (), ([0, 1, 1], ("-1", "1"))),
        ([True, False], (), ([1, 0], ("0", "1"))),
        ([1.0, 0.0], (), ([1, 0], ("0", "1"))),
        ([[3], [7]], (), ([0, 1], ("3", "7"))),
        (["10", "9", "10"], (), ([1, 0, 1], ("9", "10"))),
        ([b"dog", b"cat"], (), ([1, 0], ("cat", "dog"))),
        (np.array(["b", "a"], object), (), ([1, 0], ("a", "b"))),
        ([2, 0], NAMES, ([2, 0], NAMES)),
        (["eel", "cat"], NAMES, ([2, 0], NAMES)),
        # All numbers are names: they are no indices.
        ([2, 1], ("1", "2", "3"), ([1, 0], ("1", "2", "3"))),
        ([0, 1], ("1", "2", "3"), ([0, 1], ("1", "2", "3"))),
        ([[0, 1, 0], [1, 0, 0]], (), ([1, 0], ("0", "1", "2"))),
        ([[0.0, 1.0], [1.0, 0.0]], ("1", "0"), ([1, 0], ("1", "0"))),
    ],
)
def test_labels_of_every_usual_kind(labels, names, expected):
    assert classes(labels, names) == expected


def test_parts_have_their_classes_together():
    (train, test), names = as_classes([np.array([5, 3]), np.array([9, 5, 5])])
    assert (train.tolist(), test.tolist(), names) == ([1, 0], [2, 1, 1], ("3", "5", "9"))


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        ([0.5, 1], (), "whole numbers, strings, or one-hot"),
        ([np.nan, 1], (), "whole numbers, strings, or one-hot"),
        ([[0, 1], [1, 1]], (), "must be one-hot"),
        ([[0, 2], [1, 0]], (), "must be one-hot"),
        ([[[0]]], (), r"not int64 of shape \(1, 1, 1\)"),
        (np.array([{}, "a"], object), (), "not object of shape"),
        ([1j, 2], (), "not complex128"),
        ([b"\xff", b"a"], (), "no UTF-8"),
        (["a", "b\n"], (), "cannot be printed"),
        (["cat", "b\n"], NAMES, r"a label is 'b\\n', but the classes are cat, dog, eel"),
        ([0, 3], NAMES, "a label is 3, but there are 3 class names"),
        ([0, -1], NAMES, "a label is -1"),
        ([7, 7], (), "all images are of one class, '7'"),
        (np.arange(5000), (), "5,000 classes are more"),
        ([[0, 0, 0, 1], [1, 0, 0, 0]], NAMES, "a label is 3, but there are 3"),
    ],
)
def test_labels_that_mean_nothing(labels, names, message):
    with pytest.raises(JaxbqError, match=message) as caught:
        classes(labels, names)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("other", [["a", "b"], [[0, 1], [1, 0]]])
def test_parts_of_two_kinds(other):
    with pytest.raises(JaxbqError, match="must be of one kind"):
        as_classes([np.array([0, 1]), np.array(other)])
