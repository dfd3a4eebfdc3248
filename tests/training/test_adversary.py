import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from jaxbq.errors import JaxbqError
from jaxbq.network.mlp import MLP
from jaxbq.training import Adversary, Training, robustness, train
from jaxbq.training.optimisers import Optimiser
from jaxbq.training.rules import TrainingArrays, _jacobian_norm

NORMS = [Adversary(norm="l2", epsilon=0.5), Adversary(norm="linf", epsilon=0.1)]
MODEL = MLP((30, 16, 3))
PLAIN = Training(epochs=40, batch_size=20, optimiser=Optimiser(learning_rate=0.01))
HARD = Adversary(norm="linf", epsilon=0.35)


@pytest.fixture(scope="module")
def plain(tiny):
    """Parameters of a network that met neither adversary, penalty nor noise."""
    return train(MODEL, tiny, PLAIN).params


@pytest.fixture(scope="module")
def withstood(tiny, plain):
    return robustness(MODEL, plain, tiny, HARD)


def perturbed(adversary, slope, images, low, high, key):
    """The worst images for a linear loss, compiled as one program."""

    def ascend(x, key):
        return adversary.perturb(lambda x: (x @ slope).sum(), x, low, high, key)

    return np.asarray(jax.jit(ascend)(images, key))


def forward(params, images):
    (w1, b1, *_), (w2, b2, *_) = (map(np.asarray, layer[:2]) for layer in params)
    return expit(images @ w1 + b1) @ w2 + b2


def size(adversary, change):
    return (
        np.abs(change).max(axis=1) if adversary.norm == "linf" else np.linalg.norm(change, axis=1)
    )


@pytest.mark.parametrize("adversary", NORMS, ids=lambda a: a.norm)
@pytest.mark.parametrize("random_start", [True, False])
def test_worst_images_are_in_the_ball_and_in_the_range(rng, key, adversary, random_start):
    images, slope = rng.random((20, 12), np.float32), rng.normal(size=12).astype(np.float32)
    attack = dataclasses.replace(adversary, random_start=random_start, step_size=0.3)
    worst = perturbed(attack, slope, images, 0.0, 1.0, key)
    assert (size(adversary, worst - images) <= adversary.epsilon + 1e-6).all()
    assert worst.min() >= 0
    assert worst.max() <= 1
    assert (worst @ slope > images @ slope).all()


@pytest.mark.parametrize("adversary", NORMS, ids=lambda a: a.norm)
def test_of_a_linear_loss_the_worst_is_known(rng, key, adversary):
    images, slope = rng.random((5, 12), np.float32), rng.normal(size=12).astype(np.float32)
    unit = np.sign(slope) if adversary.norm == "linf" else slope / np.linalg.norm(slope)
    # Steps far longer than the ball forget where they began.
    long = dataclasses.replace(adversary, step_size=50.0)
    worst = perturbed(long, slope, images, -99.0, 99.0, key)
    expected = np.broadcast_to(adversary.epsilon * unit, images.shape)
    np.testing.assert_allclose(worst - images, expected, atol=1e-5)


@pytest.mark.parametrize("adversary", NORMS, ids=lambda a: a.norm)
def test_steps_are_as_many_and_as_long_as_was_said(rng, key, adversary):
    images, slope = rng.random((5, 12), np.float32), rng.normal(size=12).astype(np.float32)
    unit = np.sign(slope) if adversary.norm == "linf" else slope / np.linalg.norm(slope)
    few = dataclasses.replace(adversary, random_start=False, step_size=0.01)
    worst = perturbed(few, slope, images, -99.0, 99.0, key)
    expected = np.broadcast_to(5 * 0.01 * unit, images.shape)
    np.testing.assert_allclose(worst - images, expected, atol=1e-5)


def test_steps_go_two_and_a_half_radii_by_default(rng, key):
    """Up to a ridge at 0.7 radii and back: 0, 0.5, 1, 0.5, 1, and 0.5 after five steps."""
    images = jnp.asarray(rng.random((5, 12)), jnp.float32)
    adversary = Adversary(norm="linf", epsilon=0.1, random_start=False)

    def below(x):
        return -jnp.square(x - images - 0.07).sum()

    worst = jax.jit(lambda x: adversary.perturb(below, x, -99.0, 99.0, key))(images)
    np.testing.assert_allclose(np.asarray(worst) - images, 0.05, atol=1e-5)


@pytest.mark.parametrize("adversary", NORMS, ids=lambda a: a.norm)
def test_a_random_start_fills_the_ball(key, adversary):
    draws = jax.jit(adversary._draw)(np.zeros((4000, 3), np.float32), key)
    share = size(adversary, np.asarray(draws)) / adversary.epsilon
    # Uniform in a ball of three dimensions: half of it lies beyond 0.5^(1/3) of the radius.
    assert share.max() <= 1 + 1e-6
    assert np.median(share) == pytest.approx(0.5 ** (1 / 3), abs=0.02)


def test_training_on_the_worst_images_withstands_them_better(tiny, withstood):
    hard = train(MODEL, tiny, dataclasses.replace(PLAIN, adversary=HARD)).params
    found = withstood, robustness(MODEL, hard, tiny, HARD)
    assert found[0].adversary.steps == 20
    assert all(each.attacked <= each.clean for each in found)
    assert found[1].attacked > found[0].attacked + 0.1


def test_robustness_is_deterministic_and_clean_where_nothing_is_allowed(tiny, plain, withstood):
    nothing = robustness(MODEL, plain, tiny, Adversary(epsilon=1e-9))
    reads = forward(plain, tiny.test_images).argmax(axis=1)
    assert nothing.clean == nothing.attacked == (reads == tiny.test_labels).mean()
    for epsilon in (0.0, -1.0):
        with pytest.raises(JaxbqError, match="epsilon: input should be greater than 0"):
            robustness(MODEL, plain, tiny, Adversary(epsilon=epsilon))
        with pytest.raises(JaxbqError, match=r"adversary.*epsilon.*greater than 0"):
            train(MODEL, tiny, Training(adversary=Adversary(epsilon=epsilon)))
    assert robustness(MODEL, plain, tiny, HARD) == withstood
    assert withstood.attacked < withstood.clean


@pytest.mark.usefixtures("x64")
def test_the_jacobian_is_estimated_without_bias(rng):
    model = MLP((6, 5, 3))
    params = model.init(jax.random.key(1), jnp.float64)
    images = rng.random((7, 6))
    (w1, b1, *_), (w2, *_) = (map(np.asarray, layer[:2]) for layer in params)
    hidden = expit(images @ w1 + b1)
    exact = np.einsum("ij,nj,jk->nik", w1, hidden * (1 - hidden), w2)
    expected = np.square(exact).sum(axis=(1, 2)).mean() / 3
    keys = jax.random.split(jax.random.key(2), 4000)
    draw = jax.jit(jax.vmap(lambda key: _jacobian_norm(model, params, jnp.asarray(images), key)))
    drawn = np.asarray(draw(keys))
    # Four standard errors of the mean.
    assert float(drawn.mean()) == pytest.approx(expected, abs=4 * float(drawn.std()) / 4000**0.5)


def test_a_penalty_on_the_jacobian_makes_it_smaller(tiny, plain):
    images, key = jnp.asarray(tiny.test_images), jax.random.key(0)
    norm = jax.jit(lambda params: _jacobian_norm(MODEL, params, images, key))
    smooth = train(MODEL, tiny, dataclasses.replace(PLAIN, jacobian=1.0)).params
    assert norm(smooth) < 0.5 * norm(plain)


def test_noise_is_new_in_every_epoch_and_the_same_for_the_same_key(tiny, key):
    model = MLP((30, 8, 3))
    params = model.init(key)
    noisy = Training(noise=0.5, batch_size=40)
    codes = jnp.asarray(noisy.codes.matrix(3)[tiny.train_labels], jnp.float32)
    data = TrainingArrays(jnp.asarray(tiny.train_images), codes)
    state, order = noisy.start(model, params, 120), noisy.order(key, 120)
    losses = [
        float(noisy.epoch(model, params, state, data, order, jax.random.key(n))[2].loss)
        for n in (1, 1, 2)
    ]
    assert losses[0] == losses[1] != losses[2]
