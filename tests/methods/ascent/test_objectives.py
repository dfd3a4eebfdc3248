import jax
import jax.numpy as jnp
import numpy as np
import problems
import pytest
from scipy.special import expit, log_softmax, logit, rel_entr, softmax

from jaxbq.errors import JaxbqError
from jaxbq.methods.ascent import (
    Answer,
    Direction,
    Logit,
    LogProb,
    Margin,
    Sum,
    Target,
    Term,
    Unit,
    ask,
    values,
)
from jaxbq.network.mlp import Function
from jaxbq.network.targets import Codes

INSIDE = [
    Unit(layer=1, unit=2),
    Unit(layer=1, unit=4, before=False),
    Unit(layer=2, unit=1),
    Direction(layer=1, vector=(1.0, -2.0, 0.0, 0.5, 0.0)),
]
ALL = [
    Target(),
    Target(loss="squared_error"),
    Logit(),
    LogProb(),
    Margin(),
    *INSIDE,
    Sum(terms=(Term(objective=Margin(), weight=2.0), Term(objective=Unit(), weight=-0.5))),
]


@pytest.mark.usefixtures("x64")
def test_objectives_equal_their_definitions(rng):
    z = rng.normal(0, 2, (4, 3))
    t = softmax(rng.normal(0, 1, (4, 3)), axis=1)
    k = t.argmax(axis=1)[:, None]
    a = expit(z)
    coins = rel_entr(t, a) + rel_entr(1 - t, 1 - a)
    own = np.take_along_axis(z, k, 1)[:, 0]
    others = np.array([np.delete(row, j).max() for row, j in zip(z, k[:, 0], strict=True)])
    free = z - np.log(t)  # up to a constant
    both = Sum(terms=(Term(objective=Logit(), weight=3.0), Term(objective=Margin(), weight=-1.0)))
    cases = [
        (Target(), "sigmoid", -coins.sum(axis=1)),
        (Target(), "softmax", -rel_entr(t, softmax(z, axis=1)).sum(axis=1)),
        (Target(), "identity", -np.square(z - t).sum(axis=1)),
        (Target(loss="squared_error"), "sigmoid", -np.square(a - t).sum(axis=1)),
        (Target(loss="logits"), "sigmoid", -0.5 * np.square(z - logit(t)).sum(axis=1)),
        (Target(loss="logits"), "identity", -0.5 * np.square(z - t).sum(axis=1)),
        (Target(loss="logits"), "softmax", -0.5 * free.var(axis=1) * free.shape[1]),
        (Logit(), "sigmoid", own),
        (LogProb(), "sigmoid", np.log(np.take_along_axis(a, k, 1)[:, 0])),
        (LogProb(), "softmax", np.take_along_axis(log_softmax(z, axis=1), k, 1)[:, 0]),
        (Margin(), "sigmoid", own - others),
        (both, "sigmoid", 3 * own - (own - others)),
    ]
    for objective, output, expected in cases:
        value = values(objective, output, Answer(jnp.asarray(z)), jnp.asarray(t))
        np.testing.assert_allclose(value, expected, atol=1e-12)


@pytest.mark.parametrize("output", ["sigmoid", "softmax", "tanh", "softplus"])
def test_logits_of_targets_at_the_end_of_the_range_are_finite(output):
    z, target = jnp.asarray([[3.0, -2.0, 0.5]]), jnp.asarray([[1.0, 0.0, 0.0]])

    def value(z):
        return values(Target(loss="logits"), output, Answer(z), target).sum()

    assert np.isfinite(value(z))
    slope = jax.grad(value)(z)
    assert np.isfinite(slope).all()
    # Up to the target, which is at the end of the range of all but the softplus.
    assert (slope[0, 0] > 0) == (output != "softplus")


@pytest.mark.usefixtures("x64")
def test_objectives_inside_equal_a_forward_pass_by_hand(rng):
    model, params = problems.random_network((6, 5, 3), rng)
    x = rng.random((4, 6))
    z = x @ np.asarray(params[0].weight) + np.asarray(params[0].bias)
    z2 = expit(z) @ np.asarray(params[1].weight) + np.asarray(params[1].bias)
    v = np.array(INSIDE[3].vector)
    expected = [z[:, 2], expit(z[:, 4]), z2[:, 1], z @ v / np.linalg.norm(v)]
    for objective, value in zip(INSIDE, expected, strict=True):
        answer = ask(model, params, jnp.asarray(x), inside=True)
        found = values(objective, "sigmoid", answer, jnp.asarray(np.full((4, 3), 0.5)))
        np.testing.assert_allclose(found, value, atol=1e-12)


@pytest.mark.usefixtures("x64")
def test_target_objective_is_zero_at_the_target_only(rng):
    t = rng.uniform(0.1, 0.9, (3, 4))
    z = np.log(t / (1 - t))
    at, off = (
        values(Target(), "sigmoid", Answer(jnp.asarray(z + s)), jnp.asarray(t)) for s in (0, 0.1)
    )
    np.testing.assert_allclose(at, 0, atol=1e-14)
    assert (np.asarray(off) < -1e-4).all()


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("objective", ALL)
@pytest.mark.parametrize("output", ["sigmoid", "softmax", "tanh"])
def test_gradients_agree_with_finite_differences(rng, objective, output):
    model, params = problems.random_network((6, 5, 3), rng, "tanh", output)
    frozen = model.freeze(params)
    target = jnp.asarray(Codes().matrix(3, output)[:1])

    def value(x):
        answer = ask(model, frozen, x[None], objective.looks_inside)
        return values(objective, output, answer, target)[0]

    problems.check_gradient(value, jnp.asarray(rng.random(6)), eps=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (Unit(layer=3), "there is no layer 3; the network has 1 to 2"),
        (Unit(layer=1, unit=5), "layer 1 has units 0 to 4"),
        (Direction(layer=1, vector=(1.0,)), "1 numbers, layer 1 has 5 units"),
        (Direction(layer=2, vector=(0.0, 0.0, 0.0)), "the direction is zero"),
        (Sum(terms=(Term(objective=Unit(layer=9)),)), "there is no layer 9"),
    ],
)
def test_what_is_not_there_is_refused(rng, objective, message):
    model, _ = problems.random_network((6, 5, 3), rng)
    with pytest.raises(JaxbqError, match=message):
        objective.check(model)


def test_a_function_has_no_layers_to_look_at():
    with pytest.raises(JaxbqError, match="needs an MLP"):
        Unit().check(Function(lambda params, x: x))


def test_a_margin_of_tied_logits_has_a_finite_gradient():
    answer = Answer(jnp.zeros((1, 3)))
    gradient = jax.grad(lambda z: Margin().value("sigmoid", Answer(z), jnp.eye(3)[0]))(
        answer.logits[0]
    )
    assert np.isfinite(gradient).all()
