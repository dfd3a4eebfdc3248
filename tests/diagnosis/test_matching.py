"""Classes are matched by name, by number, or not at all: never by chance."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from jaxbq.diagnosis import ClassesDisagreeError, matched, open_mended
from jaxbq.errors import JaxbqError
from jaxbq.network.files import NetworkFile
from jaxbq.network.inputs import Inputs
from jaxbq.network.mlp import MLP, Layer
from jaxbq.training import Training, train

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


def test_ink_and_axes_are_mended_at_once(tmp_path, mnist_10k):
    """Each is a part of the inputs, and must not undo the other."""
    model = MLP((784, 24, 10), "relu", "softmax")
    training = Training(loss="cross_entropy", epochs=2, batch_size=64)
    first, last = train(model, mnist_10k, training).params
    order = Inputs(axes="columns").order((28, 28), "")
    path = tmp_path / "net.npz"
    np.savez(
        path,
        W0=-np.asarray(first.weight)[order],
        b0=np.asarray(first.bias) + np.asarray(first.weight).sum(0),
        W1=np.asarray(last.weight),
        b1=np.asarray(last.bias),
    )
    said = dict.fromkeys(("hidden", "output", "inputs"))
    mended = open_mended(str(path), mnist_10k, None, said, 3)
    assert len(mended.fixes) == 1
    assert (mended.network.model.hidden, mended.network.model.output) == ("relu", "softmax")
    assert mended.found.accuracy > 0.85
    assert not mended.found.doubtful


def test_one_output_trained_to_be_0_or_1_is_a_number(tmp_path, mnist_10k):
    """As a logit its sigmoid is above a half for nearly every image."""
    parts = {}
    for part in ("train", "test"):
        images, labels = (getattr(mnist_10k, f"{part}_{what}") for what in ("images", "labels"))
        kept = (labels == 3) | (labels == 8)
        parts |= {f"{part}_images": images[kept], f"{part}_labels": (labels[kept] == 8) * 1}
    two = dataclasses.replace(mnist_10k, **parts, class_names=("a", "b"))
    given = np.c_[two.train_images, np.ones(len(two.train_images))]
    fitted = np.linalg.lstsq(given, two.train_labels, rcond=None)[0].astype("f4")
    path = tmp_path / "net.npz"
    np.savez(path, W0=fitted[:-1, None], b0=fitted[-1:])
    said = {**dict.fromkeys(("hidden", "output", "inputs")), "class_names": "ab"}
    mended = open_mended(str(path), two, None, said, 0)
    assert mended.found.accuracy < 0.8
    first = mended.found.causes[0]
    assert dict(first.changes) == {"output": "identity", "class_names": ("a", "b")}
    mended = open_mended(str(path), two, None, said, 3)
    assert len(mended.fixes) == 1
    assert mended.found.accuracy > 0.9
    numbers = two.test_images @ fitted[:-1] + fitted[-1]
    outputs = mended.network.model.apply(mended.network.params, two.test_images)
    np.testing.assert_allclose(outputs, np.c_[1 - numbers, numbers], atol=1e-5)
