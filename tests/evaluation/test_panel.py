import dataclasses

import jax
import numpy as np
import problems
import pytest
from scipy.special import expit, softmax

from jaxbq.data import ImageSpace
from jaxbq.evaluation import Panel, panel

EVERY = panel._MAKES
QUICK = EVERY[0], EVERY[3]  # a softmax and a sigmoid


@pytest.fixture(scope="module", autouse=True)
def _small(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXBQ_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(panel, "_MAKES", QUICK)
        yield


@pytest.fixture(scope="module")
def small() -> Panel:
    return Panel.trained_on(problems.striped_dataset())


def test_its_networks_are_named_and_can_read(small, tiny):
    assert [each.name for each in small.members] == [
        "30-100-3 tanh, seed 9001",
        "30-200-3 sigmoid, seed 9004",
    ]
    chances = small.read(tiny.test_images)
    assert chances.shape == (2, 30, 3)
    right = (chances.argmax(axis=2) == tiny.test_labels).mean(axis=1)
    assert [each.test_accuracy for each in small.members] == pytest.approx(right)
    assert right.min() > 0.9


def test_a_softmax_sums_to_one_and_a_sigmoid_answers_for_itself(small, tiny):
    images = tiny.test_images[:4]
    for network, params, answers in zip(
        small.networks, small.params, small.read(images), strict=True
    ):
        logits = np.asarray(network.logits(params, images), np.float64)
        if network.output == "softmax":
            np.testing.assert_allclose(answers, softmax(logits, axis=1), rtol=1e-4)
        else:
            np.testing.assert_allclose(answers, expit(logits), rtol=1e-4)
            assert abs(answers.sum(axis=1) - 1).max() > 1e-3


def test_it_is_the_same_from_the_cache_and_in_any_precision(
    small, tiny, tmp_path, monkeypatch, x64
):
    with monkeypatch.context() as patch:
        patch.setattr(panel, "train", lambda *_, **__: pytest.fail("the cache was not read"))
        read = Panel.trained_on(problems.striped_dataset())
    monkeypatch.setenv("JAXBQ_CACHE", str(tmp_path))
    made = Panel.trained_on(problems.striped_dataset())
    for other in (read, made):
        assert other.members == small.members
        np.testing.assert_array_equal(other.read(tiny.test_images), small.read(tiny.test_images))
        assert {leaf.dtype.name for leaf in jax.tree.leaves(other.params)} == {"float32"}


def test_it_sees_shares_of_the_pixel_range(small, tiny):
    bytes_ = dataclasses.replace(small, space=ImageSpace((6, 5), -5.0, 250.0))
    np.testing.assert_allclose(
        bytes_.read(255 * tiny.test_images - 5), small.read(tiny.test_images), atol=1e-5
    )
    # Contrast does change what it says: nothing is standardised.
    assert abs(small.read(0.1 * tiny.test_images) - small.read(tiny.test_images)).max() > 0.1


def test_it_answers_to_anything(small):
    images = np.full((3, 30), 1e300)
    images[1], images[2] = np.nan, -np.inf
    chances = small.read(images)
    assert np.isfinite(chances).all()
    assert ((chances >= 0) & (chances <= 1)).all()


@pytest.mark.slow
def test_a_panel_of_digits_reads_digits(mnist_10k, monkeypatch):
    monkeypatch.setattr(panel, "_MAKES", EVERY)
    members = Panel._trained_on(mnist_10k).members
    assert len({each.name for each in members}) == 5
    assert min(each.test_accuracy for each in members) >= 0.94
