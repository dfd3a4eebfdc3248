import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import problems
import pytest
from scipy.special import expit, log_softmax

from jaxbq.errors import JaxbqError
from jaxbq.network.mlp import MLP
from jaxbq.training import BookTraining, Training, TrainingDivergedError, accuracy, train
from jaxbq.training.losses import example_losses
from jaxbq.training.optimisers import Optimiser
from jaxbq.training.rules import TrainingArrays


@pytest.mark.device
@pytest.mark.usefixtures("x64")
def test_losses_equal_numpy(rng):
    z, codes = rng.normal(0, 3, (4, 5)), rng.uniform(0.01, 0.99, (4, 5))
    a = expit(z)
    bce = -(codes * np.log(a) + (1 - codes) * np.log(1 - a)).mean(axis=1)
    arrays = jnp.asarray(z), jnp.asarray(codes)
    np.testing.assert_allclose(example_losses("bce", "sigmoid", *arrays), bce, atol=1e-12)
    squared = np.square(np.tanh(z) - codes).mean(axis=1)
    ours = example_losses("squared_error", "tanh", *arrays)
    np.testing.assert_allclose(ours, squared, atol=1e-12)
    cross = -log_softmax(z, axis=1)[np.arange(4), codes.argmax(axis=1)]
    ours = example_losses("cross_entropy", "softmax", *arrays)
    np.testing.assert_allclose(ours, cross, atol=1e-12)


@pytest.mark.device
@pytest.mark.usefixtures("x64")
def test_an_epoch_equals_a_plain_loop_with_a_short_last_batch(tiny, key):
    """The compiled scan against one optax update after another, 120 images in batches of 50."""
    model = MLP((30, 4, 3), "tanh", "softmax")
    training = Training(
        loss="cross_entropy", batch_size=50, optimiser=Optimiser(learning_rate=0.01)
    )
    params = model.init(key, jnp.float64)
    images = jnp.asarray(tiny.train_images, jnp.float64)
    codes = jnp.asarray(training.codes.matrix(3, "softmax")[tiny.train_labels])
    order = training.order(key, 120)
    state = training.start(model, params, 120)
    ours, _, sums = training.epoch(model, params, state, TrainingArrays(images, codes), order)

    def loss(params, rows):
        z = model.logits(params, images[rows])
        return -jnp.take_along_axis(
            jax.nn.log_softmax(z), codes[rows].argmax(-1, keepdims=True), axis=-1
        ).mean()

    adam, total = optax.adam(0.01), 0.0

    @jax.jit
    def update(params, state, rows):
        value, gradient = jax.value_and_grad(loss)(params, rows)
        change, state = adam.update(gradient, state)
        return optax.apply_updates(params, change), state, value

    order = np.asarray(order)
    theirs, state = params, jax.jit(adam.init)(params)
    for rows in (order[:50], order[50:100], order[100:]):
        theirs, state, value = update(theirs, state, rows)
        total += float(value) * len(rows)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)
    assert float(sums.loss) == pytest.approx(total)


@pytest.mark.device
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("images", [120, 250])
def test_the_book_rule_is_the_books_loop(rng, images):
    """In blocks, with a remainder or without, to rounding; 120 and 250 are no whole blocks."""
    sizes = (12, 7, 4)
    model, params = problems.random_network(sizes, rng, bias=False)
    x = rng.uniform(0.01, 1, (images, 12))
    codes = np.full((images, 4), 0.01)
    codes[np.arange(images), rng.integers(0, 4, images)] = 0.99
    theirs = [np.array(layer.weight.T) for layer in params]
    problems.book_training(theirs, x, codes, 0.1)
    arrays = TrainingArrays(jnp.asarray(x), jnp.asarray(codes))
    ours, _, _ = BookTraining().epoch(model, params, (), arrays, jnp.arange(images))
    for layer, weight in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(layer.weight, weight.T, atol=1e-11)


@pytest.mark.usefixtures("x64")
def test_the_book_rule_goes_through_any_depth(rng):
    """Three layers, tanh: W e without φ′ at the output, against one image after another."""
    model, params = problems.random_network((6, 5, 4, 3), rng, "tanh", "sigmoid", bias=False)
    x, codes = rng.random((30, 6)), rng.uniform(0.01, 0.99, (30, 3))
    w = [np.array(layer.weight) for layer in params]
    for image, code in zip(x, codes, strict=True):
        h1 = np.tanh(image @ w[0])
        h2 = np.tanh(h1 @ w[1])
        o = expit(h2 @ w[2])
        e3 = code - o
        e2 = w[2] @ e3
        e1 = w[1] @ e2
        w[2] += 0.1 * np.outer(h2, e3 * o * (1 - o))
        w[1] += 0.1 * np.outer(h1, e2 * (1 - h2**2))
        w[0] += 0.1 * np.outer(image, e1 * (1 - h1**2))
    arrays = TrainingArrays(jnp.asarray(x), jnp.asarray(codes))
    ours, _, _ = BookTraining().epoch(model, params, (), arrays, jnp.arange(30))
    for layer, weight in zip(ours, w, strict=True):
        np.testing.assert_allclose(layer.weight, weight, atol=1e-12)


@pytest.mark.parametrize(
    ("training", "model"),
    [
        (Training(epochs=25, batch_size=16), MLP((30, 8, 3))),
        (Training(epochs=25, batch_size=16, loss="squared_error"), MLP((30, 8, 3), "tanh")),
        (
            Training(epochs=25, batch_size=16, loss="cross_entropy"),
            MLP((30, 8, 5, 3), "softplus", "softmax"),
        ),
        (BookTraining(epochs=40), MLP((30, 8, 3), bias=False)),
    ],
)
def test_every_rule_and_loss_learns(tiny, key, training, model):
    heard = []
    trained = train(model, tiny, training, key=key, on_epoch=heard.append)
    assert trained.test_accuracy >= 0.9
    assert trained.history[-1].loss < 0.7 * trained.history[0].loss
    assert tuple(heard) == trained.history
    assert [each.epoch for each in heard] == list(range(1, training.epochs + 1))
    again = accuracy(model, trained.params, tiny.test_images, tiny.test_labels)
    assert again == trained.test_accuracy


@pytest.mark.device
def test_same_key_same_weights_to_the_bit(tiny, key):
    model, training = MLP((30, 8, 3)), Training(epochs=2)
    one, two = (train(model, tiny, training, key=key).params for _ in range(2))
    other = train(model, tiny, training, key=jax.random.key(1)).params
    assert all(np.array_equal(a, b) for a, b in zip(one[0][:2], two[0][:2], strict=True))
    assert not np.array_equal(one[0].weight, other[0].weight)


def test_divergence_names_the_epoch_and_keeps_the_last_good_weights(tiny, key):
    model = MLP((30, 8, 3), "leaky_relu", "identity")
    training = Training(
        loss="squared_error", epochs=50, optimiser=Optimiser(name="sgd", learning_rate=30.0)
    )
    with pytest.raises(TrainingDivergedError, match=r"diverged in epoch \d+ of 50.*now 30") as c:
        train(model, tiny, training, key=key)
    last = c.value.last_good
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(last.params))
    assert f"epoch {len(last.history) + 1} of" in str(c.value)


@pytest.mark.parametrize(
    ("training", "model", "message"),
    [
        (Training(), MLP((30, 3), output="tanh"), "'bce' needs output 'sigmoid', not 'tanh'"),
        (Training(loss="cross_entropy"), MLP((30, 3)), "needs output 'softmax'"),
        (Training(optimiser=Optimiser(name="sdg")), MLP((30, 3)), "no optimiser 'sdg'"),
        (Training(epochs=0), MLP((30, 3)), "epochs"),
        (Training(), MLP((31, 3)), "takes 31 pixels, but the images have 30"),
        (Training(), MLP((30, 4)), "has 4 outputs, but the data has 3 classes"),
        (BookTraining(), MLP((30, 3)), "no biases; set bias = false"),
        (BookTraining(), MLP((30, 3), output="softmax", bias=False), "separate outputs"),
    ],
)
def test_what_does_not_go_together_is_refused(tiny, training, model, message):
    with pytest.raises(JaxbqError, match=message):
        train(model, tiny, training)


def test_float64_needs_jax_to_have_it(tiny):
    with pytest.raises(JaxbqError, match="float64 is off in JAX"):
        train(MLP((30, 3)), tiny, Training(epochs=1), dtype="float64")


def test_epochs_compile_once(tiny, key):
    model, training = MLP((30, 9, 3)), Training(epochs=3)
    traced = []

    class Spy(MLP):
        def logits(self, params, x):
            traced.append(x.shape)
            return super().logits(params, x)

    train(Spy(model.sizes), tiny, training, key=key)
    before = len(traced)
    faster = dataclasses.replace(training, optimiser=Optimiser(learning_rate=0.02))
    train(Spy(model.sizes), tiny, faster, key=key)
    assert len(traced) == before


def test_embedded_data_is_learnt(mnist_10k, standard):
    model, params = standard
    assert accuracy(model, params, mnist_10k.test_images, mnist_10k.test_labels) >= 0.95


def test_full_mnist_is_learnt(full_mnist):
    training = Training(epochs=3, optimiser=Optimiser(learning_rate=5e-3))
    assert train(MLP((784, 200, 10)), full_mnist, training).test_accuracy >= 0.965


def test_the_book_rule_reaches_the_books_accuracy(full_mnist):
    scaled = dataclasses.replace(
        full_mnist,
        train_images=full_mnist.train_images * np.float32(0.99) + np.float32(0.01),
        test_images=full_mnist.test_images * np.float32(0.99) + np.float32(0.01),
    )
    trained = train(MLP((784, 200, 10), bias=False), scaled, BookTraining(epochs=2))
    assert trained.test_accuracy >= 0.96
