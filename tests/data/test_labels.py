import numpy as np
import pytest

from jaxbq.data.labels import as_classes, brief, check_names, listed, mixed, natural, shown, split
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
        ([b"\xff", b"a"], (), "not UTF-8"),
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
    with pytest.raises(JaxbqError, match="must have the same type"):
        as_classes([np.array([0, 1]), np.array(other)])


def test_numbers_in_names_are_ordered_as_numbers():
    names = ["10", "9", "b2", "b10", "a", "2a", "02", "2"]
    assert sorted(names, key=natural) == ["02", "2", "2a", "9", "10", "a", "b2", "b10"]
    assert sorted(["é", "²", "٣"], key=natural)  # digits of other kinds are no numbers here


def test_what_is_shown_is_one_line_that_a_terminal_takes_as_text():
    assert shown("plain 猫 é") == "plain 猫 é"
    assert shown("a\nb\x1b[2J\u202e\udcff") == "a\\nb\\x1b[2J\\u202e\\udcff"
    assert len(brief("x" * 10**6)) == 101
    assert listed([str(n) for n in range(50)]).endswith("11, …")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", ""], "a name has 1 to 100 characters"),
        (["x" * 101, "y"], "a name has 1 to 100 characters"),
        (["a\nb"], r"class 'a\\nb': its name holds a character that cannot be printed"),
        (["\x1b[31m"], "cannot be printed"),
        (["a", "b", "a"], "class 'a' is named twice"),
        (["0"] * 5000, "5,000 classes are more than jaxbq takes"),
    ],
)
def test_names_that_cannot_stand_in_a_table(names, message):
    with pytest.raises(JaxbqError, match=message) as caught:
        check_names(names)
    assert "\n" not in str(caught.value)


def test_odd_names_are_names():
    names = ("../../etc", "<b>", "[red]", "$x$", "a,b", '"', "猫", "con")
    assert check_names(names) == names


def test_every_class_is_parted_and_no_image_is_lost(rng):
    refused = 0
    for _ in range(300):
        labels = rng.integers(0, 5, rng.integers(1, 40))
        share, seed = rng.uniform(0.01, 0.99), int(rng.integers(2**32))
        counts = np.bincount(labels)
        if counts.max() < 2:
            refused += 1
            with pytest.raises(JaxbqError, match="no class has two images"):
                split(labels, share, seed)
            continue
        train, test = split(labels, share, seed)
        assert sorted([*train, *test]) == list(range(len(labels)))
        tested = np.bincount(labels[test], minlength=len(counts))
        assert (tested[counts == 1] == 0).all()
        many = counts > 1
        assert ((tested >= 1) & (tested < counts))[many].all()
        assert (abs(tested - counts * share)[many] <= 1).all()
    assert 0 < refused < 50


def test_the_seed_alone_decides():
    labels = np.repeat(np.arange(3), 40)
    one, again, other = (split(labels, 0.25, seed) for seed in (3, 3, 4))
    assert one[1].tolist() == again[1].tolist() != other[1].tolist()
    assert np.bincount(labels[one[1]]).tolist() == [10, 10, 10]
    # Mixed: no class comes whole before another.
    for part in one:
        assert len(set(labels[part[:10]])) == 3


def test_an_order_stays_what_it_is():
    """Run folders know their data by a checksum: another version may not draw another order."""
    assert mixed(8, 0).tolist() == [3, 2, 1, 6, 0, 7, 4, 5]
    assert sorted(mixed(1000, 5)) == list(range(1000))


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan")])
def test_a_share_out_of_range(share):
    with pytest.raises(JaxbqError, match=r"test_share is .*: it must lie between 0 and 1"):
        split(np.zeros(4, int), share, 0)


def test_a_seed_out_of_range():
    with pytest.raises(JaxbqError, match="split_seed is -1"):
        mixed(3, -1)
