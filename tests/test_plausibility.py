"""What was taken wrongly is named, first; where nothing was, nothing is said."""

import dataclasses

import numpy as np
import pytest

from jaxbq.data import rescaled
from jaxbq.diagnosis import Plausibility, Reading, plausibility
from jaxbq.errors import JaxbqError
from jaxbq.network.inputs import Inputs
from jaxbq.network.mlp import MLP
from jaxbq.training import Training, train

MODEL = MLP((30, 16, 16, 3), "relu", "softmax")


@pytest.fixture(scope="module")
def trained(tiny):
    return train(MODEL, tiny, Training(loss="cross_entropy", epochs=25, batch_size=16)).params


def changed(params, number, **parts):
    return (*params[:number], params[number]._replace(**parts), *params[number + 1 :])


def affine(params, scale, shift):
    """The network that does on scale x + shift what the given one does on x."""
    weight = params[0].weight / scale
    return changed(params, 0, weight=weight, bias=params[0].bias - shift * weight.sum(axis=0))


def spelt(changes):
    return " ".join(f"{name}={value}" for name, value in changes.items())


def test_a_network_as_it_was_trained_is_not_doubted(tiny, trained):
    found = plausibility(MODEL, trained, tiny)
    assert found.accuracy > 0.9
    assert not found.doubtful
    assert found.causes == ()
    assert found.advice(spelt) == ""
    assert found.chance == pytest.approx(1 / 3)
    assert found.sums == pytest.approx(1)


def mistakes(data, trained):
    """What each change undoes, and the network that it was made to."""
    mean, deviation = float(data.train_images.mean()), float(data.train_images.std())
    centred = (round(-mean / deviation, 4), round((1 - mean) / deviation, 4))
    turned = Inputs(axes="columns").order((5, 6), "")
    last = trained[-1]
    order = [2, 0, 1]
    return {
        "pixel_range": [
            ({"pixel_range": (-1.0, 1.0)}, MODEL, affine(trained, 2.0, -1.0)),
            ({"pixel_range": centred}, MODEL, affine(trained, 1 / deviation, -mean / deviation)),
        ],
        "ink": [({"ink": "dark"}, MODEL, affine(trained, -1.0, 1.0))],
        "axes": [
            ({"axes": "columns"}, MODEL, changed(trained, 0, weight=trained[0].weight[turned]))
        ],
        "turned": [({"turned": (2,)}, MODEL, changed(trained, 1, weight=trained[1].weight.T))],
        "hidden": [({"hidden": "relu"}, dataclasses.replace(MODEL, hidden="tanh"), trained)],
        "output": [({"output": "softmax"}, dataclasses.replace(MODEL, output="sigmoid"), trained)],
        "class_names": [
            (
                {"class_names": ("2", "0", "1")},
                MODEL,
                changed(trained, 2, weight=last.weight[:, order], bias=last.bias[np.array(order)]),
            )
        ],
    }


@pytest.mark.parametrize(
    "kind", ["pixel_range", "ink", "axes", "turned", "hidden", "output", "class_names"]
)
def test_each_mistake_alone_is_named_first_and_undone(tiny, trained, kind):
    own = plausibility(MODEL, trained, tiny).own
    for changes, model, params in mistakes(tiny, trained)[kind]:
        found = plausibility(model, params, tiny)
        undone = next(each for each in found.alternatives if dict(each.changes) == changes)
        # What is undone is the network that was trained, up to rounding.
        assert undone.accuracy == pytest.approx(own.accuracy, abs=0.02)
        assert undone.distance == pytest.approx(own.distance, abs=0.02)
        if found.doubtful:
            assert dict(found.causes[0].changes) == changes
            assert spelt(changes) in found.advice(spelt)
        # In thirty pixels some mistakes do little harm; these must be seen.
        assert found.doubtful or kind in ("axes", "hidden", "pixel_range")


def test_what_the_file_says_itself_is_not_doubted(tiny, trained):
    model = dataclasses.replace(MODEL, output="sigmoid")
    found = plausibility(model, trained, tiny, ("hidden", "output"))
    assert not [each for each in found.alternatives if {"hidden", "output"} & set(each.changes)]


def test_sigmoids_are_told_from_a_softmax(tiny):
    model = MLP((30, 16, 3), "relu")
    params = train(model, tiny, Training(epochs=25, batch_size=16)).params
    assert not plausibility(model, params, tiny).doubtful
    found = plausibility(dataclasses.replace(model, output="softmax"), params, tiny)
    assert dict(found.causes[0].changes) == {"output": "sigmoid"}


def test_of_ranges_that_read_alike_the_calm_one_is_meant(tiny):
    model = MLP((30, 16, 3), "relu", "softmax")
    wide = rescaled(tiny, 0.0, 16.0)
    training = Training(loss="cross_entropy", epochs=25, batch_size=16, initial_scale=0.1)
    params = train(model, wide, training).params
    assert not plausibility(model, params, wide).doubtful
    found = plausibility(model, params, rescaled(tiny, 0.0, 255.0))
    if found.own.size > 50 and found.causes:
        assert dict(found.causes[0].changes) == {"pixel_range": (0.0, 16.0)}


def test_one_layer_has_no_hidden_activation(tiny):
    model = MLP((30, 3))
    found = plausibility(model, train(model, tiny, Training(epochs=2)).params, tiny)
    assert not [each for each in found.alternatives if "hidden" in each.changes]


def test_what_is_never_wrong_cannot_be_mended():
    perfect = Reading("as it is", {}, 1.0, 1e-20)
    sharper = Reading("pixel range 0 16", {"pixel_range": (0, 16)}, 1.0, 0.0)
    assert not Plausibility(perfect, 0.5, 1.0, (sharper,)).doubtful


def test_reading_at_chance_is_said_without_a_cause():
    guessing = Reading("as it is", {}, 0.52, 0.5)
    assert not Plausibility(Reading("", {}, 0.99, 0.1), 0.5, 1.0, (guessing,)).doubtful
    assert "at chance (guessing gives 0.500)" in Plausibility(guessing, 0.5, 1.0, ()).advice(spelt)


def test_data_that_do_not_fit(tiny):
    with pytest.raises(JaxbqError, match="takes 31 pixels"):
        plausibility(MLP((31, 3)), (), tiny)
