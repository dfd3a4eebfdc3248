import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxbq.errors import JaxbqError
from jaxbq.training.optimisers import Optimiser


def updates(transformation, steps):
    x = jnp.asarray([1.0, -2.0])
    state, taken = transformation.init(x), []
    for _ in range(steps):
        change, state = transformation.update(2 * x, state, x)
        x = x + change
        taken.append(x)
    return np.stack(taken)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop", "lion", "nadam"])
def test_it_is_optaxs(name):
    optimiser = Optimiser(name=name, learning_rate=0.1)
    optimiser.check()
    ours, theirs = updates(optimiser.build(5), 5), updates(getattr(optax, name)(0.1), 5)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_options_reach_optax():
    optimiser = Optimiser(name="sgd", learning_rate=0.1, options=(("momentum", 0.9),))
    optimiser.check()
    theirs = updates(optax.sgd(0.1, momentum=0.9), 4)
    np.testing.assert_allclose(updates(optimiser.build(4), 4), theirs, rtol=1e-6)


@pytest.mark.parametrize(
    ("schedule", "reference"),
    [
        ("linear", optax.linear_schedule(0.1, 0.01, 20)),
        ("cosine", optax.cosine_decay_schedule(0.1, 20, alpha=0.1)),
    ],
)
def test_schedules_are_optaxs(schedule, reference):
    optimiser = Optimiser(name="sgd", learning_rate=0.1, schedule=schedule, end=0.1)
    np.testing.assert_allclose(
        updates(optimiser.build(20), 20), updates(optax.sgd(reference), 20), rtol=1e-5
    )


def test_warmup_rises_to_the_rate_and_falls_to_the_end():
    rate = Optimiser(learning_rate=0.1, schedule="warmup_cosine", end=0.1)._rate(100)
    values = [float(rate(count)) for count in range(101)]
    assert values[0] == pytest.approx(0.01)
    assert max(values) == pytest.approx(0.1)
    assert values.index(max(values)) in (9, 10)
    assert values[-1] == pytest.approx(0.01)
    assert all(np.diff(values[10:]) <= 0)


@pytest.mark.parametrize(
    ("optimiser", "message"),
    [
        (Optimiser(name="adamm"), "optax has no optimiser 'adamm'"),
        (Optimiser(name="clip"), "optax has no optimiser 'clip'"),
        (Optimiser(name="sgd", options=(("momentun", 0.9),)), "has no option 'momentun'"),
        (Optimiser(name="lbfgs"), "it needs more than gradients"),
        (Optimiser(name="adam", options=(("b1", "x"),)), "an option has a wrong value"),
    ],
)
def test_mistakes(optimiser, message):
    with pytest.raises(JaxbqError, match=message):
        optimiser.check()


def test_any_schedule_of_optax_by_name():
    optimiser = Optimiser(
        name="sgd",
        learning_rate=0.1,
        schedule="exponential_decay",
        schedule_options=(("decay_rate", 0.01),),
    )
    optimiser.check()
    # As long as the run, unless its options say otherwise.
    reference = optax.exponential_decay(0.1, 20, 0.01)
    np.testing.assert_allclose(
        updates(optimiser.build(20), 20), updates(optax.sgd(reference), 20), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule": "exponentil"}, "optax has no schedule 'exponentil'"),
        ({"schedule": "adam"}, "optax has no schedule 'adam'"),
        ({"schedule": "linear", "schedule_options": (("power", 2.0),)}, "takes `end`"),
        (
            {"schedule": "polynomial_schedule", "schedule_options": (("powr", 2.0),)},
            "has no option 'powr'",
        ),
        ({"schedule": "exponential_decay"}, "decay_rate"),
    ],
)
def test_schedules_that_are_none(options, message):
    with pytest.raises(JaxbqError, match=message):
        Optimiser(**options).check()


def test_the_gradient_is_normalised_when_asked_for():
    plain = Optimiser(name="sgd", learning_rate=0.1, normalise=True)
    taken = updates(plain.build(3), 3)
    steps = np.diff(np.concatenate([[[1.0, -2.0]], taken]), axis=0)
    np.testing.assert_allclose(np.linalg.norm(steps, axis=1), 0.1, rtol=1e-4)
