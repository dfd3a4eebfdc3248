"""What was taken wrongly is named, first; where nothing was, nothing is said."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxbq.data import rescaled
from jaxbq.diagnosis import Plausibility, Reading, plausibility
from jaxbq.errors import JaxbqError
from jaxbq.network.inputs import Inputs
from jaxbq.network.mlp import MLP
from jaxbq.training import Training, train

MODEL = MLP((784, 24, 24, 10), "relu", "softmax")
TRAINING = Training(loss="cross_entropy", epochs=2, batch_size=64)


@pytest.fixture(scope="module")
def trained(mnist_10k):
    return train(MODEL, mnist_10k, TRAINING).params


def changed(params, number, **parts):
    return (*params[:number], params[number]._replace(**parts), *params[number + 1 :])


def affine(params, scale, shift):
    """The network that does on scale x + shift what the given one does on x."""
    weight = params[0].weight / scale
    return changed(params, 0, weight=weight, bias=params[0].bias - shift * weight.sum(axis=0))


def columns(params):
    """The network that does on columns what the given one does on rows."""
    order = Inputs(axes="columns").order((28, 28), "")
    return changed(params, 0, weight=params[0].weight[order])


def spelt(changes):
    return " ".join(f"{name}={value}" for name, value in changes.items())


def test_a_network_as_it_was_trained_is_not_doubted(mnist_10k, trained):
    found = plausibility(MODEL, trained, mnist_10k)
    assert found.accuracy > 0.85
    assert not found.doubtful
    assert found.causes == ()
    assert found.advice(spelt) == ""
    assert found.chance == pytest.approx(0.114, abs=0.02)
    assert found.sums == pytest.approx(1, abs=1e-5)


def mistakes(data, trained):
    """What each change undoes, and the network that it was made to."""
    mean, deviation = float(data.train_images.mean()), float(data.train_images.std())
    centred = (round(-mean / deviation, 4), round((1 - mean) / deviation, 4))
    last = trained[-1]
    order = [2, 0, 1, *range(3, 10)]
    return {
        "pixel_range": [
            ({"pixel_range": (-1.0, 1.0)}, MODEL, affine(trained, 2.0, -1.0)),
            ({"pixel_range": centred}, MODEL, affine(trained, 1 / deviation, -mean / deviation)),
        ],
        "ink": [({"ink": "dark"}, MODEL, affine(trained, -1.0, 1.0))],
        "axes": [({"axes": "columns"}, MODEL, columns(trained))],
        "turned": [({"turned": (2,)}, MODEL, changed(trained, 1, weight=trained[1].weight.T))],
        "hidden": [({"hidden": "relu"}, dataclasses.replace(MODEL, hidden="tanh"), trained)],
        "output": [({"output": "softmax"}, dataclasses.replace(MODEL, output="sigmoid"), trained)],
        "both activations": [
            (
                {"hidden": "relu", "output": "softmax"},
                dataclasses.replace(MODEL, hidden="sigmoid", output="sigmoid"),
                trained,
            )
        ],
        "class_names": [
            (
                {"class_names": tuple(map(str, order))},
                MODEL,
                changed(trained, 2, weight=last.weight[:, order], bias=last.bias[np.array(order)]),
            )
        ],
    }


@pytest.mark.parametrize(
    "kind",
    [
        *("pixel_range", "ink", "axes", "turned", "hidden", "output", "both activations"),
        "class_names",
    ],
)
def test_each_mistake_alone_is_named_first_and_undone(mnist_10k, trained, kind):
    own = plausibility(MODEL, trained, mnist_10k).own
    for changes, model, params in mistakes(mnist_10k, trained)[kind]:
        found = plausibility(model, params, mnist_10k)
        undone = next(each for each in found.alternatives if dict(each.changes) == changes)
        # What is undone is the network that was trained, up to rounding.
        assert undone.accuracy == pytest.approx(own.accuracy, abs=0.02)
        assert undone.distance == pytest.approx(own.distance, abs=0.02)
        assert dict(found.causes[0].changes) == changes
        assert spelt(changes) in found.advice(spelt)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"ink": "dark"}, lambda params: affine(params, -1.0, 1.0)),
        ({"ink": "dark", "axes": "columns"}, lambda params: columns(affine(params, -1.0, 1.0))),
    ],
)
def test_mistakes_in_inputs_and_activations_at_once_are_named_first(
    mnist_10k, trained, changes, wrong
):
    """As every file of weights alone has them where its inputs are not MNIST's."""
    params = wrong(trained)
    taken = dataclasses.replace(MODEL, hidden="sigmoid", output="sigmoid")
    first = plausibility(taken, params, mnist_10k).causes[0]
    assert dict(first.changes) == {**changes, "hidden": "relu", "output": "softmax"}
    own = plausibility(MODEL, trained, mnist_10k).own
    assert first.accuracy == pytest.approx(own.accuracy, abs=0.02)
    # The file says its activations: inputs alone are in doubt.
    first = plausibility(MODEL, params, mnist_10k, ("hidden", "output")).causes[0]
    assert dict(first.changes) == changes


def test_no_combination_of_mistakes_explains_an_untrained_network(mnist_10k):
    params = MODEL.init(jax.random.key(0))
    found = plausibility(dataclasses.replace(MODEL, hidden="sigmoid"), params, mnist_10k)
    assert found.doubtful
    assert not any({"pixel_range", "hidden"} <= set(each.changes) for each in found.causes)


def test_what_the_file_says_itself_is_not_doubted(mnist_10k, trained):
    model = dataclasses.replace(MODEL, output="sigmoid")
    found = plausibility(model, trained, mnist_10k, ("hidden", "output"))
    assert not [each for each in found.alternatives if {"hidden", "output"} & set(each.changes)]


def test_sigmoids_are_told_from_a_softmax(mnist_10k):
    model = MLP((784, 24, 10), "relu")
    params = train(model, mnist_10k, Training(epochs=2, batch_size=64)).params
    assert not plausibility(model, params, mnist_10k).doubtful
    found = plausibility(dataclasses.replace(model, output="softmax"), params, mnist_10k)
    assert dict(found.causes[0].changes) == {"output": "sigmoid"}


@pytest.mark.parametrize("hidden", ["relu", "sigmoid"])
def test_outputs_from_minus_one_to_one_are_not_doubted(mnist_10k, hidden):
    model = MLP((784, 24, 10), hidden, "tanh")
    training = Training(loss="squared_error", epochs=2, batch_size=64)
    params = train(model, mnist_10k, training).params
    assert not plausibility(model, params, mnist_10k).doubtful


def test_of_ranges_that_read_alike_the_calm_one_is_meant(mnist_10k):
    model = MLP((784, 24, 10), "relu", "softmax")
    wide = rescaled(mnist_10k, 0.0, 16.0)
    params = train(model, wide, dataclasses.replace(TRAINING, initial_scale=0.1)).params
    assert not plausibility(model, params, wide).doubtful
    found = plausibility(model, params, rescaled(mnist_10k, 0.0, 255.0))
    assert found.own.size > 50
    assert dict(found.causes[0].changes) == {"pixel_range": (0.0, 16.0)}


def test_one_layer_has_no_hidden_activation(mnist_10k):
    model = MLP((784, 10))
    found = plausibility(model, train(model, mnist_10k, Training(epochs=2)).params, mnist_10k)
    assert not [each for each in found.alternatives if "hidden" in each.changes]


def test_what_is_never_wrong_cannot_be_mended():
    perfect = Reading({}, 1.0, 1e-20)
    sharper = Reading({"pixel_range": (0, 16)}, 1.0, 0.0)
    assert not Plausibility(perfect, 0.5, 1.0, (sharper,)).doubtful


def test_reading_at_chance_is_said_without_a_cause():
    guessing = Reading({}, 0.52, 0.5)
    assert not Plausibility(Reading({}, 0.99, 0.1), 0.5, 1.0, (guessing,)).doubtful
    assert "at chance (guessing gives 0.500)" in Plausibility(guessing, 0.5, 1.0, ()).advice(spelt)


def test_data_that_do_not_fit(mnist_10k):
    with pytest.raises(JaxbqError, match="takes 785 pixels"):
        plausibility(MLP((785, 10)), (), mnist_10k)


RANGES = ((0.0, 1.0), (0.0, 16.0), (0.0, 255.0), (-1.0, 1.0))
# Trained in a second or two each: hidden, output, loss, which range.
KINDS = [
    ("relu", "softmax", "cross_entropy", 0),
    ("relu", "softmax", "cross_entropy", 2),
    ("relu", "sigmoid", "bce", 3),
    ("sigmoid", "sigmoid", "squared_error", 0),
    ("sigmoid", "softmax", "cross_entropy", 0),
    ("tanh", "softmax", "cross_entropy", 3),
    ("relu", "sigmoid", "bce", 1),
    ("relu", "identity", "squared_error", 0),
]


@pytest.fixture(scope="module")
def varied(mnist_10k):
    networks = []
    for number, (hidden, output, loss, span) in enumerate(KINDS):
        low, high = RANGES[span]
        data = rescaled(mnist_10k, low, high)
        model = MLP((784, 48, 48, 10), hidden, output)
        training = Training(
            loss=loss, epochs=5, batch_size=64, initial_scale=1 / max(1.0, (high - low) / 2)
        )
        networks.append((model, train(model, data, training, key=jax.random.key(number)), data))
    assert min(found.history[-1].test_accuracy for _, found, _ in networks) > 0.8
    return [(model, found.params, data) for model, found, data in networks]


def one_fault(rng, model, params, data):
    """Take a network wrongly in one way; return what undoes it, and the network and data then."""
    low, high = data.pixel_range
    kind = rng.choice(["hidden", "output", "range", "ink", "axes", "order", "turned"])
    last = params[-1]
    if kind in ("hidden", "output"):
        names = (
            ("sigmoid", "relu", "tanh") if kind == "hidden" else ("sigmoid", "softmax", "identity")
        )
        own = getattr(model, kind)
        other = str(rng.choice([name for name in names if name != own]))
        return {kind: own}, dataclasses.replace(model, **{kind: other}), params, data
    if kind == "range":
        others = [ends for ends in RANGES if ends != (low, high)]
        wrong = rescaled(data, *others[rng.integers(len(others))])
        return {"pixel_range": (low, high)}, model, params, wrong
    if kind == "ink":
        weight = params[0].weight
        bias = params[0].bias + (low + high) * weight.sum(axis=0)
        return {"ink": "dark"}, model, changed(params, 0, weight=-weight, bias=bias), data
    if kind == "axes":
        return {"axes": "columns"}, model, columns(params), data
    if kind == "order":
        order = rng.permutation(10)
        other = changed(params, 2, weight=last.weight[:, order], bias=last.bias[order])
        return {"class_names": tuple(map(str, order))}, model, other, data
    return {"turned": (2,)}, model, changed(params, 1, weight=params[1].weight.T), data


@pytest.mark.slow
def test_one_fault_in_many_networks_is_named_first_and_no_fault_is_not(varied):
    rng, first, alarms, number = np.random.default_rng(0), 0, 0, 50
    for _ in range(number):
        model, params, data = varied[rng.integers(len(varied))]
        chosen = rng.permutation(len(data.test_labels))[:1000]
        data = dataclasses.replace(
            data, test_images=data.test_images[chosen], test_labels=data.test_labels[chosen]
        )
        alarms += plausibility(model, params, data).doubtful
        wanted, *wrong = one_fault(rng, model, params, data)
        causes = plausibility(*wrong).causes
        first += bool(causes) and dict(causes[0].changes) == wanted
    assert alarms <= 0.02 * number
    assert first >= 0.95 * number
