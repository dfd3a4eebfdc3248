import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxbq.data import ImageSpace, Reference
from jaxbq.errors import JaxbqError
from jaxbq.methods import preset
from jaxbq.runtime import compiled
from jaxbq.runtime.ahead import Stopped
from jaxbq.training import Autoencoder, autoencoder, reconstruction
from jaxbq.training.optimisers import Optimiser

SMALL = Autoencoder(
    code=3, hidden=(24,), epochs=60, batch_size=20, optimiser=Optimiser(learning_rate=0.01)
)


def test_codes_are_whitened_and_decode_into_the_range(tiny):
    wide = dataclasses.replace(
        tiny, train_images=3 * tiny.train_images - 1, space=ImageSpace((6, 5), -1.0, 2.0)
    ).reference
    space = SMALL.trained(wide, "float32")
    codes = np.asarray(SMALL.encode(space, jnp.asarray(wide.images)))
    assert codes.shape == (len(wide.images), 3)
    np.testing.assert_allclose(codes.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(np.cov(codes.T), np.eye(3), atol=1e-2)
    images = SMALL.decode(space, 100 * jax.random.normal(jax.random.key(0), (50, 3)))
    assert images.min() >= -1
    assert images.max() <= 2
    back = SMALL.reconstruct(space, jnp.asarray(wide.images))
    np.testing.assert_array_equal(back, SMALL.decode(space, jnp.asarray(codes)))


def test_it_is_trained_once_and_to_the_same_bits(tiny):
    fresh = dataclasses.replace(tiny).reference
    one = SMALL.trained(fresh, "float32")
    assert SMALL.trained(fresh, "float32") is one
    two = SMALL.trained(dataclasses.replace(tiny).reference, "float32")
    jax.tree.map(np.testing.assert_array_equal, one, two)
    other = dataclasses.replace(SMALL, seed=1).trained(fresh, "float32")
    assert np.abs(np.asarray(one.mean - other.mean)).max() > 1e-3


def test_it_is_trained_in_one_precision_whoever_asks_first(tiny, monkeypatch):
    """An accelerator rounds products by default, and not where a method is prepared."""
    compiled._quick_options()  # kept as they are on this machine
    seen = []

    def fit(*given):
        seen.append(jax.config.jax_default_matmul_precision)
        raise Stopped

    monkeypatch.setattr(autoencoder, "fit", fit)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    with pytest.raises(Stopped):
        dataclasses.replace(SMALL, seed=5).trained(dataclasses.replace(tiny).reference, "float32")
    assert seen == ["highest"]


def test_pca_beside_it_is_that_of_a_singular_value_decomposition(tiny):
    found = reconstruction(SMALL, tiny.reference, tiny.test_images)
    train = tiny.train_images.astype(np.float64)
    axes = np.linalg.svd(train - train.mean(axis=0), full_matrices=False)[2][:3]
    centred = tiny.test_images - train.mean(axis=0)
    assert found.pca == pytest.approx(np.square(centred - centred @ axes.T @ axes).mean(), rel=1e-6)
    assert found.mean_image == pytest.approx(np.square(centred).mean(), rel=1e-6)
    space = SMALL.trained(tiny.reference, "float32")
    back = SMALL.reconstruct(space, jnp.asarray(tiny.test_images))
    missed = np.asarray(back) - tiny.test_images
    assert found.error == pytest.approx(np.square(missed).mean(), rel=1e-4)
    assert found.error < 0.5 * found.mean_image


@pytest.mark.slow
def test_on_digits_it_beats_pca_by_far(mnist_10k):
    found = reconstruction(Autoencoder(), mnist_10k.reference, mnist_10k.test_images)
    assert found.error <= 0.0095
    # What principal components of the training images leave is a fact about the data.
    assert found.pca == pytest.approx(0.0169, abs=2e-4)


@pytest.mark.slow
def test_ascent_in_the_code_space_shows_all_ten_classes(asked, judge):
    result = asked(preset("nguyen2016"))
    assert result.outputs[:, 0].diagonal().min() >= 0.95
    assert judge.read(result.images[:, 0]).argmax(axis=1).tolist() == list(range(10))


def test_mistakes(tiny):
    with pytest.raises(JaxbqError, match="code of 31 numbers is wider than an image of 30 pixels"):
        Autoencoder(code=31).check(tiny.reference)
    Autoencoder(code=30).check(tiny.reference)
    with pytest.raises(JaxbqError, match="an autoencoder needs training images"):
        Autoencoder().check(Reference(ImageSpace((6, 5))))


def test_constant_images_have_one_code(tiny):
    """Directions that no code varies in are left as they are, not divided by zero."""
    same = dataclasses.replace(tiny, train_images=np.full_like(tiny.train_images, 0.5)).reference
    quick = dataclasses.replace(SMALL, epochs=2)
    space = quick.trained(same, "float32")
    images = np.asarray(quick.reconstruct(space, jnp.asarray(same.images)))
    assert np.isfinite(images).all()
