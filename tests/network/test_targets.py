import dataclasses

import numpy as np
import pytest

from jaxbq.errors import JaxbqError
from jaxbq.network.targets import Codes, Mixture, check_targets, name_target


def test_codes_are_the_books():
    codes = Codes().matrix(10)
    assert codes.shape == (10, 10)
    assert (np.diag(codes) == 0.99).all()
    assert (codes[~np.eye(10, dtype=bool)] == 0.01).all()


def test_softmax_codes_sum_to_one():
    codes = Codes().matrix(7, "softmax")
    np.testing.assert_allclose(codes.sum(axis=1), 1, atol=1e-15)
    assert codes[2, 2] == 0.99
    check_targets(codes, "softmax", 7)


def test_chosen_classes():
    np.testing.assert_array_equal(Codes(classes=(3, 1)).targets(5), Codes().matrix(5)[[3, 1]])
    with pytest.raises(JaxbqError, match="class 5 is out of range; the network has 0 to 4"):
        Codes(classes=(5,)).targets(5)


@pytest.mark.parametrize(
    ("target", "output", "message"),
    [
        ([0.99, 0.01, 0.01], "sigmoid", "3 values, but the network has 2 outputs"),
        ([0.99, 0.0], "sigmoid", r"0 is outside \(0, 1\), the image of sigmoid.*infinite"),
        ([1.0, 0.01], "sigmoid", "1 is outside"),
        ([1.2, 0.01], "sigmoid", "1.2 is outside"),
        ([-1.0, 0.5], "tanh", r"-1 is outside \(-1, 1\)"),
        ([0.0, 0.5], "softplus", r"0 is outside \(0, ∞\)"),
        ([-0.1, 0.5], "relu", "-0.1 is outside"),
        ([0.99, 0.02], "softmax", "sums to 1.01"),
        ([np.nan, 0.5], "identity", "not a finite number"),
        ([np.inf, 0.5], "identity", "not a finite number"),
    ],
)
def test_targets_a_network_cannot_give(target, output, message):
    with pytest.raises(JaxbqError, match=message):
        check_targets(np.array([target]), output, 2)


def test_targets_a_network_can_give():
    check_targets(np.array([[-5.0, 7.0]]), "identity", 2)
    check_targets(np.array([[0.0, 7.0]]), "relu", 2)
    check_targets(np.array([[1.0, 0.0]]), "sigmoid", 2, closed=True)
    with pytest.raises(JaxbqError, match=r"outside \[0, 1\]"):
        check_targets(np.array([[1.1, 0.0]]), "sigmoid", 2, closed=True)


def test_targets_beyond_a_class():
    asked = Codes(
        mixtures=(Mixture(classes=(0, 2), share=0.75),),
        boundaries=((1, 2),),
        none=True,
        vectors=((0.2, 0.3, 0.4),),
    )
    expected = [[0.745, 0.01, 0.255], [0.01, 0.5, 0.5], [0.01] * 3, [0.2, 0.3, 0.4]]
    np.testing.assert_allclose(asked.targets(3), expected)
    softmax = asked.targets(3, "softmax")[:3]
    np.testing.assert_allclose(softmax.sum(axis=1), 1)
    np.testing.assert_allclose(softmax[1], [0.005, 0.4975, 0.4975])
    np.testing.assert_allclose(softmax[2], 1 / 3)
    # Classes that are named come first; without any, the others are all.
    both = dataclasses.replace(asked, classes=(2,)).targets(3)
    np.testing.assert_allclose(both[0], [0.01, 0.01, 0.99])
    assert len(both) == 5


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (Codes(boundaries=((1, 3),)), "class 3 is out of range"),
        (Codes(vectors=((0.5, 0.5),)), "2 values, but the network has 3 outputs"),
    ],
)
def test_targets_that_do_not_fit(codes, message):
    with pytest.raises(JaxbqError, match=message):
        codes.targets(3)


def test_targets_have_names():
    names = ("a", "b", "c")
    for target, name in (
        ([0.01, 0.99, 0.01], "b"),
        ([-0.9, -0.9, 0.9], "c"),
        ([0.7, 0.01, 0.3], "a+c"),
        ([0.5, 0.5, 0.01], "a+b"),
        ([0.01, 0.01, 0.01], "none"),
    ):
        assert name_target(np.array(target), names) == name
