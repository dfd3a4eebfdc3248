import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxbq.errors import JaxbqError
from jaxbq.mlp import MLP
from jaxbq.optimisers import Optimiser
from jaxbq.training import Adversary, Training, robustness, train
from jaxbq.training.rules import TrainingArrays, _jacobian_norm

NORMS = [Adversary(norm="l2", epsilon=0.5), Adversary(norm="linf", epsilon=0.1)]


def size(adversary, change):
    return (
        np.abs(change).max(axis=1) if adversary.norm == "linf" else np.linalg.norm(change, axis=1)
    )


@pytest.mark.parametrize("adversary", NORMS, ids=lambda a: a.norm)
@pytest.mark.parametrize("random_start", [True, False])
def test_worst_images_are_in_the_ball_and_in_the_range(rng, key, adversary, random_start):
    images = jnp.asarray(rng.random((20, 12)), jnp.float32)
    attack = dataclasses.replace(adversary, random_start=random_start, step_size=0.3)
    slope = jnp.asarray(rng.normal(size=12), jnp.float32)
    worst = attack.perturb(lambda x: (x @ slope).sum(), images, 0.0, 1.0, key)
    assert (size(adversary, np.asarray(worst - images)) <= adversary.epsilon + 1e-6).all()
    assert worst.min() >= 0
    assert worst.max() <= 1
    assert (worst @ slope > images @ slope).all()


@pytest.mark.parametrize("adversary", NORMS, ids=lambda a: a.norm)
def test_of_a_linear_loss_the_worst_is_known(rng, key, adversary):
    images = jnp.asarray(rng.random((5, 12)), jnp.float32)
    slope = jnp.asarray(rng.normal(size=12), jnp.float32)
    # Steps far longer than the ball forget where they began.
    long = dataclasses.replace(adversary, step_size=50.0)
    worst = long.perturb(lambda x: (x @ slope).sum(), images, -99.0, 99.0, key)
    unit = np.sign(slope) if adversary.norm == "linf" else slope / jnp.linalg.norm(slope)
    expected = np.broadcast_to(adversary.epsilon * np.asarray(unit), images.shape)
    np.testing.assert_allclose(worst - images, expected, atol=1e-5)


@pytest.mark.parametrize("adversary", NORMS, ids=lambda a: a.norm)
def test_a_random_start_fills_the_ball(key, adversary):
    draws = adversary._draw(jnp.zeros((4000, 3)), key)
    share = size(adversary, np.asarray(draws)) / adversary.epsilon
    # Uniform in a ball of three dimensions: half of it lies beyond 0.5^(1/3) of the radius.
    assert share.max() <= 1 + 1e-6
    assert np.median(share) == pytest.approx(0.5 ** (1 / 3), abs=0.02)


def test_training_on_the_worst_images_withstands_them_better(tiny):
    model = MLP((30, 16, 3))
    plain = Training(epochs=40, batch_size=20, optimiser=Optimiser(learning_rate=0.01))
    adversary = Adversary(norm="linf", epsilon=0.35)
    hard = dataclasses.replace(plain, adversary=adversary)
    found = [
        robustness(model, train(model, tiny, rule).params, tiny, adversary)
        for rule in (plain, hard)
    ]
    assert found[0].adversary.steps == 20
    assert all(each.attacked <= each.clean for each in found)
    assert found[1].attacked > found[0].attacked + 0.1


def test_robustness_is_deterministic_and_clean_where_nothing_is_allowed(tiny):
    model = MLP((30, 8, 3))
    params = train(model, tiny, Training(epochs=3)).params
    nothing = robustness(model, params, tiny, Adversary(epsilon=1e-9))
    assert nothing.clean == nothing.attacked
    for epsilon in (0.0, -1.0):
        with pytest.raises(JaxbqError, match="epsilon: input should be greater than 0"):
            robustness(model, params, tiny, Adversary(epsilon=epsilon))
        with pytest.raises(JaxbqError, match=r"adversary.*epsilon.*greater than 0"):
            train(model, tiny, Training(adversary=Adversary(epsilon=epsilon)))
    one, two = (robustness(model, params, tiny, Adversary(epsilon=0.5)) for _ in range(2))
    assert one == two


@pytest.mark.usefixtures("x64")
def test_the_jacobian_is_estimated_without_bias(rng):
    model = MLP((6, 5, 3))
    params = model.init(jax.random.key(1), jnp.float64)
    images = jnp.asarray(rng.random((7, 6)))
    exact = jax.vmap(jax.jacobian(lambda x: model.logits(params, x[None])[0]))(images)
    expected = np.square(exact).sum(axis=(1, 2)).mean() / 3
    keys = jax.random.split(jax.random.key(2), 4000)
    drawn = jax.vmap(lambda key: _jacobian_norm(model, params, images, key))(keys)
    # Four standard errors of the mean.
    assert float(drawn.mean()) == pytest.approx(expected, abs=4 * float(drawn.std()) / 4000**0.5)


def test_a_penalty_on_the_jacobian_makes_it_smaller(tiny):
    model = MLP((30, 16, 3))
    norms = []
    for weight in (None, 1.0):
        params = train(model, tiny, Training(epochs=20, batch_size=20, jacobian=weight)).params
        images = jnp.asarray(tiny.test_images)
        norms.append(float(_jacobian_norm(model, params, images, jax.random.key(0))))
    assert norms[1] < 0.5 * norms[0]


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
