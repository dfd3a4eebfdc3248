import dataclasses

import numpy as np
import problems
import pytest

from jaxbq.data import ImageSpace
from jaxbq.errors import JaxbqError
from jaxbq.evaluation import correlation
from jaxbq.methods import Decoder, invert
from jaxbq.optimisers import Optimiser
from jaxbq.targets import Codes

FAST = Optimiser(learning_rate=0.05, schedule="cosine")


@pytest.mark.parametrize("source", ["logits", "outputs", "codes"])
def test_the_image_of_a_class_is_most_like_its_mean(standard, mnist_10k, source):
    method = Decoder(source=source, epochs=4)
    result = invert(method, *standard, Codes().matrix(10), reference=mnist_10k)
    table = correlation(result.images[:, 0], mnist_10k.class_means)
    assert table.argmax(axis=1).tolist() == list(range(10))
    curve = result.diagnostics["training_curve"]
    assert curve.shape == (10, 1, 4)
    assert curve[0, 0, -1] < curve[0, 0, 0]


@pytest.mark.slow
def test_it_reconstructs_test_images_better_than_the_mean_does(standard, mnist_10k):
    model, params = standard
    test = mnist_10k.test_images
    asked = np.asarray(model.apply(params, test))
    result = invert(Decoder(epochs=8), model, params, asked[:500], reference=mnist_10k)
    ours = np.square(result.images[:, 0] - test[:500]).mean()
    mean = np.square(mnist_10k.train_images.mean(axis=0) - test[:500]).mean()
    assert ours < 0.85 * mean


def test_it_approaches_the_conditional_mean(rng, tiny):
    """Asked by codes without noise there are three inputs: the best answer is the class mean."""
    model, params = problems.random_network((30, 7, 3), rng)
    method = Decoder(
        source="codes", noise=0.0, hidden=(), epochs=300, batch_size=40, optimiser=FAST
    )
    result = invert(method, model, params, Codes().matrix(3), reference=tiny)
    np.testing.assert_allclose(result.images[:, 0], tiny.class_means, atol=0.03)


def test_images_of_another_range_stay_in_it(rng, tiny):
    wide = dataclasses.replace(
        tiny, train_images=3 * tiny.train_images - 1, space=ImageSpace((6, 5), -1.0, 2.0)
    )
    model, params = problems.random_network((30, 7, 3), rng)
    method = Decoder(source="codes", noise=0.0, epochs=100, batch_size=40)
    images = invert(method, model, params, Codes().matrix(3), reference=wide).images
    assert images.min() >= -1
    assert images.max() <= 2
    np.testing.assert_allclose(images[:, 0], wide.class_means, atol=0.3)


def test_mistakes(rng, tiny):
    model, params = problems.random_network((30, 7, 3), rng)
    targets = Codes().matrix(3)
    with pytest.raises(JaxbqError, match="needs training images"):
        invert(Decoder(), model, params, targets, reference=ImageSpace((6, 5)))
    with pytest.raises(JaxbqError, match=r"outside \(0, 1\)"):
        invert(Decoder(), model, params, np.eye(3), reference=tiny)
    relu = problems.random_network((30, 7, 3), rng, output="relu")
    with pytest.raises(JaxbqError, match="relu has no inverse"):
        invert(Decoder(), *relu, targets, reference=tiny)
    invert(Decoder(source="outputs", epochs=1), *relu, targets, reference=tiny)
