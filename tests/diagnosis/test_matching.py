"""Classes are matched by name, by number, or not at all: never by chance."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from jaxbq.diagnosis import ClassesDisagreeError, matched
from jaxbq.errors import JaxbqError
from jaxbq.network.files import NetworkFile
from jaxbq.network.mlp import MLP, Layer

UNNAMED = ("class_names",)


@pytest.fixture(scope="module")
def sorting(tiny):
    """A network without hidden layers that tells the classes of `tiny` apart by their means."""
    means = np.stack([tiny.train_images[tiny.train_labels == k].mean(0) for k in range(3)])
    weight, bias = 20 * means.T, -10 * np.square(means).sum(1)

    def network(order, names=None):
        layer = Layer(jnp.asarray(weight[:, list(order)]), jnp.asarray(bias[list(order)]))
        model = MLP((tiny.space.pixels, 3), output="softmax")
        called = tuple(names or "012")
        return NetworkFile(model, (layer,), tiny.space, called, () if names else UNNAMED)

    return network


def named(data, names):
    return dataclasses.replace(data, class_names=tuple(names))


def right(network, data):
    answers = np.asarray(network.model.logits(network.params, data.test_images)).argmax(1)
    return (answers == data.test_labels).mean()


def test_names_of_both_are_matched_whatever_their_order(tiny, sorting):
    network, data = matched(sorting((2, 0, 1), "cab"), named(tiny, "abc"), "it")
    assert network.class_names == data.class_names == ("c", "a", "b")
    assert right(network, data) > 0.9
    # The data themselves are in no other order.
    assert right(sorting((0, 1, 2)), tiny) > 0.9


def test_data_may_lack_a_class(tiny, sorting):
    kept = dataclasses.replace(
        tiny,
        train_images=tiny.train_images[tiny.train_labels > 0],
        train_labels=tiny.train_labels[tiny.train_labels > 0] - 1,
        test_images=tiny.test_images[tiny.test_labels > 0],
        test_labels=tiny.test_labels[tiny.test_labels > 0] - 1,
        class_names=("b", "c"),
    )
    network, data = matched(sorting((2, 0, 1), "cab"), kept, "it")
    assert data.class_names == ("c", "a", "b")
    assert set(data.test_labels) == {0, 2}
    assert right(network, data) > 0.9


def test_numbers_match_numbers(tiny, sorting):
    network, data = matched(sorting((0, 1, 2)), tiny, "it")
    assert network.class_names == data.class_names == ("0", "1", "2")
    network, data = matched(sorting((0, 1, 2)), named(tiny, ("3", "5", "8")), "it")
    assert network.class_names == data.class_names == ("3", "5", "8")


def test_words_are_taken_over_only_where_the_answers_agree(tiny, sorting):
    words = named(tiny, ("one", "three", "two"))
    network, data = matched(sorting((0, 1, 2)), words, "it")
    assert network.class_names == data.class_names == words.class_names
    with pytest.raises(ClassesDisagreeError, match="--class-names two,one,three") as refused:
        matched(sorting((2, 0, 1)), words, "it")
    assert refused.value.likely == ("two", "one", "three")


def test_other_names_than_the_network_s_are_refused_or_confirmed(tiny, sorting):
    network, data = matched(sorting((0, 1, 2), ("zero", "one", "two")), tiny, "it")
    assert network.class_names == data.class_names == ("zero", "one", "two")
    with pytest.raises(ClassesDisagreeError, match=r"called two, zero, one.*--class-names 2,0,1"):
        matched(sorting((2, 0, 1), ("two", "zero", "one")), tiny, "it")


def test_another_number_of_classes_is_refused(tiny, sorting):
    model = MLP((tiny.space.pixels, 2), output="softmax")
    layer = Layer(jnp.zeros((tiny.space.pixels, 2)), jnp.zeros(2))
    network = NetworkFile(model, (layer,), tiny.space, ("0", "1"), UNNAMED)
    with pytest.raises(JaxbqError, match="2 outputs, but the data has 3 classes"):
        matched(network, tiny, "it")
