import dataclasses

import numpy as np
import pytest

from jaxbq.diagnosis import Plausibility, plausibility
from jaxbq.errors import JaxbqError
from jaxbq.network.mlp import MLP
from jaxbq.training import Training, train

MODEL = MLP((30, 16, 16, 3), "relu")


@pytest.fixture(scope="module")
def trained(tiny):
    return train(MODEL, tiny, Training(epochs=40, batch_size=16)).params


def changed(params, number, **parts):
    return (*params[:number], params[number]._replace(**parts), *params[number + 1 :])


def affine(params, scale, shift):
    """The network that does on scale x + shift what the given one does on x."""
    weight = params[0].weight / scale
    return changed(params, 0, weight=weight, bias=params[0].bias - shift * weight.sum(axis=0))


def test_a_network_as_it_was_trained_is_not_doubted(tiny, trained):
    found = plausibility(MODEL, trained, tiny)
    assert found.accuracy > 0.9
    assert not found.doubtful
    assert found.advice == ""
    assert found.chance == pytest.approx(1 / 3)


def test_each_likely_mistake_is_undone(tiny, trained):
    mean, deviation = float(tiny.train_images.mean()), float(tiny.train_images.std())
    mistakes = {
        "pixel range -1 1": affine(trained, 2.0, -1.0),
        "pixel range 0 255": affine(trained, 255.0, 0.0),
        "(mean 0, standard deviation 1)": affine(trained, 1 / deviation, -mean / deviation),
        "ink and paper exchanged": affine(trained, -1.0, 1.0),
        "weights of layer 2 the other way round": changed(trained, 1, weight=trained[1].weight.T),
    }
    own = plausibility(MODEL, trained, tiny).accuracy
    for what, params in mistakes.items():
        tried = plausibility(MODEL, params, tiny).alternatives
        (value,) = (value for name, value in tried if what in name)
        # The network that was trained, up to rounding.
        assert value == pytest.approx(own, abs=0.04), what
    best = plausibility(MODEL, mistakes["ink and paper exchanged"], tiny)
    assert best.doubtful
    assert best.alternatives == tuple(sorted(best.alternatives, key=lambda each: -each[1]))


def test_another_activation_and_turned_images_are_tried(tiny, trained):
    model = dataclasses.replace(MODEL, hidden="sigmoid")
    tried = dict(plausibility(model, trained, tiny).alternatives)
    assert tried["hidden activation relu"] == plausibility(MODEL, trained, tiny).accuracy
    pixels = np.arange(30).reshape(5, 6).T.reshape(-1)
    turned = changed(trained, 0, weight=trained[0].weight[np.argsort(pixels)])
    found = dict(plausibility(MODEL, turned, tiny).alternatives)
    assert "rows and columns of the pixels exchanged" in found


def test_one_layer_has_no_hidden_activation(tiny):
    model = MLP((30, 3))
    found = plausibility(model, train(model, tiny, Training(epochs=2)).params, tiny)
    assert not [name for name, _ in found.alternatives if "activation" in name]


def test_two_classes_read_well_are_not_at_chance():
    assert not Plausibility(0.99, 0.5, (("other", 0.5),)).doubtful
    assert Plausibility(0.52, 0.5, ()).doubtful
    assert "at chance (0.520; guessing 0.500)" in Plausibility(0.52, 0.5, ()).advice
    assert "worse than it could (0.700" in Plausibility(0.7, 0.1, (("other", 0.9),)).advice


def test_data_that_do_not_fit(tiny):
    model = MLP((31, 3))
    with pytest.raises(JaxbqError, match="takes 31 pixels"):
        plausibility(model, (), tiny)
