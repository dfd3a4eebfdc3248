import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import problems
import pytest
from prepare import few_digits

from jaxbq.data import ImageSpace
from jaxbq.errors import JaxbqError
from jaxbq.evaluation import correlation
from jaxbq.methods import Decoder, invert
from jaxbq.network.targets import Codes
from jaxbq.training.optimisers import Optimiser

# Asked by codes without noise there are three inputs: the best answer is the class mean.
OF_CODES = Decoder(
    source="codes",
    noise=0.0,
    hidden=(),
    epochs=300,
    batch_size=40,
    optimiser=Optimiser(learning_rate=0.05, schedule="cosine"),
)


@pytest.mark.parametrize("source", ["logits", "outputs", "hidden", "codes"])
def test_the_image_of_a_class_is_most_like_its_mean(standard, mnist_10k, source):
    some = few_digits(mnist_10k)
    method = Decoder(source=source, hidden=(64,), epochs=8, batch_size=50)
    result = invert(method, *standard, Codes().matrix(10), reference=some)
    table = correlation(result.images[:, 0], mnist_10k.class_means)
    assert table.argmax(axis=1).tolist() == list(range(10))
    curve = result.diagnostics["training_curve"]
    assert curve.shape == (10, 1, 8)
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
    model, params = problems.random_network((30, 7, 3), rng)
    result = invert(OF_CODES, model, params, Codes().matrix(3), reference=tiny)
    np.testing.assert_allclose(result.images[:, 0], tiny.class_means, atol=0.03)


def test_a_hidden_layer_is_asked_for_activations_that_give_the_target(rng, tiny):
    """For the last hidden layer the regression gives the wanted logits back, where none is cut."""
    # Layers of one size, so that one program serves both.
    model, params = problems.random_network((30, 8, 8, 3), rng)
    images = jnp.asarray(tiny.train_images)
    for layer in (1, 2):
        method = Decoder(source="hidden", layer=layer, epochs=1)
        state = method.prepare(model, params, tiny.reference, jax.random.key(0))
        wanted = model.logits(params, images[:5]) * 1.1
        asked = state.regression.at(wanted)
        assert asked.shape == (5, 8)
        seen = np.asarray(model.trace(params, images).activations[layer], np.float64)
        logits = np.asarray(model.logits(params, images), np.float64)
        # An ordinary least-squares fit with an intercept, by another way.
        design = np.column_stack([np.ones(len(logits)), logits])
        fitted = np.linalg.solve(design.T @ design, design.T @ seen)
        expected = np.column_stack([np.ones(5), wanted]) @ fitted
        np.testing.assert_allclose(asked, np.clip(expected, 0, 1), atol=2e-3)
    last = params[-1]
    np.testing.assert_allclose(asked @ last.weight + last.bias[None], wanted, atol=1e-3)


def test_networks_of_other_outputs_have_decoders_of_codes_of_their_own(rng, tiny):
    method = dataclasses.replace(OF_CODES, epochs=1)
    for outputs in (3, 4):
        network = problems.random_network((30, 7, outputs), rng)
        targets = Codes().matrix(outputs)
        assert invert(method, *network, targets, reference=tiny).images.shape == (outputs, 1, 30)


def test_images_of_another_range_stay_in_it(rng, tiny):
    wide = dataclasses.replace(
        tiny, train_images=3 * tiny.train_images - 1, space=ImageSpace((6, 5), -1.0, 2.0)
    )
    model, params = problems.random_network((30, 7, 3), rng)
    images = invert(OF_CODES, model, params, Codes().matrix(3), reference=wide).images
    assert images.min() >= -1
    assert images.max() <= 2
    np.testing.assert_allclose(images[:, 0], wide.class_means, atol=3 * 0.03)


def test_mistakes(rng, tiny):
    model, params = problems.random_network((30, 7, 3), rng)
    targets = Codes().matrix(3)
    with pytest.raises(JaxbqError, match="needs training images"):
        invert(Decoder(), model, params, targets, reference=ImageSpace((6, 5)))
    with pytest.raises(JaxbqError, match=r"outside \(0, 1\)"):
        invert(Decoder(), model, params, np.eye(3), reference=tiny)
    with pytest.raises(JaxbqError, match=r"no hidden layer 2; the network has 1 to 1"):
        invert(Decoder(source="hidden", layer=2), model, params, targets, reference=tiny)
    bare = problems.random_network((30, 3), rng)
    with pytest.raises(JaxbqError, match=r"no hidden layer 1; the network has none"):
        invert(Decoder(source="hidden"), *bare, targets, reference=tiny)
    relu = problems.random_network((30, 7, 3), rng, output="relu")
    with pytest.raises(JaxbqError, match="relu has no inverse"):
        invert(Decoder(), *relu, targets, reference=tiny)
    Decoder(source="outputs").check(relu[0], tiny.reference, targets)
