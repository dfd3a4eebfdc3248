import dataclasses

import numpy as np
import problems
import pytest
from scipy.special import expit

from jaxbq.data import ImageSpace
from jaxbq.errors import JaxbqError
from jaxbq.methods import AnyMethod, Exemplars, Grey, Projected, Transpose, invert, preset
from jaxbq.network.targets import Codes
from jaxbq.options import describe, validate
from jaxbq.training import Autoencoder

SMALL = Autoencoder(code=6, hidden=(24,), epochs=30, batch_size=20)


def autoencoded(space, images):
    """Encode and decode by hand; that codes are whitened between the two changes nothing."""
    a = images.astype(np.float64)
    layers = (*space.encoder, *space.decoder)
    for number, (weight, bias, _) in enumerate(layers, 1):
        a = a @ np.asarray(weight) + np.asarray(bias)
        # Codes are not bent, and pixels by a sigmoid.
        a = {len(space.encoder): a, len(layers): expit(a)}.get(number, np.maximum(a, 0))
    return a


@pytest.fixture
def problem(rng):
    return *problems.random_network((30, 7, 3), rng), Codes().matrix(3)


@pytest.mark.parametrize("inner", [Transpose(), Exemplars(k=4)], ids=describe)
def test_images_are_the_other_methods_encoded_and_decoded(problem, tiny, inner):
    plain = invert(inner, *problem, reference=tiny)
    method = Projected(method=inner, match=False, autoencoder=SMALL)
    result = invert(method, *problem, reference=tiny)
    space = SMALL.trained(tiny.reference, "float32")
    back = autoencoded(space, plain.images.reshape(-1, 30))
    np.testing.assert_allclose(result.images.reshape(-1, 30), back, atol=1e-5)
    np.testing.assert_array_equal(result.diagnostics["image_before_projection"], plain.images)
    moved = np.sqrt(np.square(result.images - plain.images).mean(axis=-1))
    np.testing.assert_allclose(result.diagnostics["moved"], moved, rtol=1e-4)
    np.testing.assert_array_equal(result.reasons, plain.reasons)
    for name, values in plain.diagnostics.items():
        np.testing.assert_array_equal(result.diagnostics[name], values)


def test_matching_makes_brightness_and_contrast_of_no_account(problem, tiny):
    """The images of a method that leaves both open come out the same, whatever they were."""
    space = ImageSpace((6, 5), 0.0, 1.0)
    method = Projected(autoencoder=SMALL)
    one = invert(method, *problem, reference=tiny)
    seen = one.diagnostics["image_before_projection"][:, 0]
    unit = (seen - seen.mean(axis=1, keepdims=True)) / seen.std(axis=1, keepdims=True)
    images = tiny.train_images
    wanted = np.clip(images.mean() + images.std(axis=1).mean() * unit, space.low, space.high)
    trained = SMALL.trained(tiny.reference, "float32")
    back = autoencoded(trained, wanted)
    np.testing.assert_allclose(one.images[:, 0], back, atol=1e-4)


def test_an_image_without_contrast_is_finite(problem, tiny):
    result = invert(Projected(method=Grey(), autoencoder=SMALL), *problem, reference=tiny)
    assert np.isfinite(result.images).all()


def test_a_config_names_any_other_method_or_preset():
    method = validate(AnyMethod, {"kind": "projected", "method": "whitened"})
    assert method == Projected(method=preset("whitened"))
    assert describe(method) == "projected whitened"
    changed = validate(AnyMethod, {"kind": "projected", "autoencoder": {"code": 8}})
    # Another code leaves the noise as it is.
    assert changed.autoencoder == dataclasses.replace(Projected().autoencoder, code=8)
    with pytest.raises(JaxbqError, match="unknown kind 'projected'"):
        validate(AnyMethod, {"kind": "projected", "method": "projected"})


def test_it_refuses_what_either_part_refuses(problem, tiny):
    with pytest.raises(JaxbqError, match="wider than an image"):
        invert(Projected(autoencoder=Autoencoder(code=40)), *problem, reference=tiny)
    with pytest.raises(JaxbqError, match="k = 100000"):
        invert(Projected(method=Exemplars(k=100_000)), *problem, reference=tiny)
    with pytest.raises(JaxbqError, match="needs training images"):
        invert(Projected(), *problem, reference=ImageSpace((6, 5)))
