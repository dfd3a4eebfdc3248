"""A folded first layer gives for jaxbq's images what the network's own gives for its own."""

import numpy as np
import pytest

from jaxbq.data import ImageSpace
from jaxbq.errors import JaxbqError
from jaxbq.network.inputs import Inputs, RawLayer


def as_the_network_saw(images, inputs, space):
    """What a network with these inputs was given of upright, bright images, step by step."""
    shown = images.reshape(-1, *space.shape)
    if inputs.ink == "dark":
        shown = space.high - (shown - space.low)
    if inputs.axes == "columns":
        shown = np.stack([np.swapaxes(image, 0, 1) for image in shown])
    if inputs.channels == "first":
        shown = np.stack([np.stack([image[..., c] for c in range(3)]) for image in shown])
    rows = shown.reshape(len(images), -1)
    return rows * np.asarray(inputs.scale) + np.asarray(inputs.offset)


@pytest.mark.parametrize("seed", range(10))
def test_fifty_random_networks_give_the_same_logits(seed):
    rng = np.random.default_rng(seed)
    for _ in range(50):
        colour = bool(rng.integers(2))
        shape = (*rng.integers(1, 6, 2).tolist(), *([3] if colour else []))
        space = ImageSpace(shape, *sorted(rng.uniform(-3, 3, 2).tolist()))
        each = bool(rng.integers(2))

        def numbers(low, high, each=each, space=space, rng=rng):
            found = rng.uniform(low, high, space.pixels if each else 1)
            return tuple(found.tolist()) if each else float(found[0])

        inputs = Inputs(
            ink=rng.choice(["bright", "dark"]),
            axes=rng.choice(["rows", "columns"]),
            channels="first" if colour and rng.integers(2) else "last",
            scale=numbers(0.1, 4),
            offset=numbers(-2, 2),
        )
        weight = rng.normal(size=(space.pixels, 4))
        layer = RawLayer(weight, rng.normal(size=4) if rng.integers(2) else None)
        images = rng.uniform(space.low, space.high, (7, space.pixels))
        folded = inputs.fold(layer, space, "it")
        given = as_the_network_saw(images, inputs, space) @ weight
        given = given if layer.bias is None else given + layer.bias
        bias = 0 if folded.bias is None else folded.bias
        np.testing.assert_allclose(images @ folded.weight + bias, given, rtol=0, atol=1e-10)


def test_usual_inputs_change_nothing():
    layer = RawLayer(np.ones((4, 2), np.float32), None)
    assert Inputs().fold(layer, ImageSpace((2, 2)), "it") is layer


def test_the_type_of_the_weights_stays():
    layer = RawLayer(np.ones((4, 2), np.float32), None)
    folded = Inputs(ink="dark").fold(layer, ImageSpace((2, 2)), "it")
    assert folded.weight.dtype == folded.bias.dtype == np.float32
    np.testing.assert_array_equal(folded.bias, [4, 4])


@pytest.mark.parametrize(
    ("inputs", "shape", "why"),
    [
        (Inputs(scale=(1.0, 2.0)), (2, 2), "input scale has 2 values for 4 inputs"),
        (Inputs(scale=0.0), (2, 2), "scale is 0, which hides that pixel"),
        (Inputs(offset=float("nan")), (2, 2), "input offset holds a value that is not finite"),
        (Inputs(axes="columns"), (4,), "have no columns; give --shape"),
        (Inputs(channels="first"), (2, 2), "have no channels; give --shape"),
    ],
)
def test_what_cannot_be_is_refused(inputs, shape, why):
    with pytest.raises(JaxbqError, match=why):
        inputs.fold(RawLayer(np.ones((4, 2)), None), ImageSpace(shape), "it")
