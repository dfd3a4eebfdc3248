import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import problems
import pytest

from jaxbq.certification import relaxed_images
from jaxbq.data import ImageSpace
from jaxbq.errors import JaxbqError
from jaxbq.methods import Ascent, NeedsMLPError, Reason, invert
from jaxbq.methods.ascent import (
    L2,
    Answer,
    Diversity,
    Logit,
    LogProb,
    Margin,
    StopRule,
    Target,
    values,
)
from jaxbq.network.targets import Codes
from jaxbq.training.optimisers import Optimiser

OBJECTIVES = [
    Target(loss="logits"),
    Target(loss="cross_entropy"),
    Target(loss="squared_error"),
    Logit(),
    LogProb(),
    Margin(),
]


# An objective knows nothing of starts: every one of both is here, not every pair.
@pytest.mark.parametrize(
    ("objective", "start"),
    list(zip(OBJECTIVES, ["grey", "black", "mean", "random", "grey", "mean"], strict=True)),
)
def test_the_objective_ends_above_its_start_for_every_class(asked, objective, start):
    result = asked(Ascent(objective=objective, start=start, steps=60, restarts=2))
    begun = result.diagnostics["curve"][..., 0]
    assert (result.diagnostics["objective"] > begun).all()
    # The reported objective is that of the returned image.
    again = values(
        objective,
        "sigmoid",
        Answer(jnp.asarray(result.logits.reshape(20, 10))),
        jnp.asarray(np.repeat(Codes().matrix(10), 2, axis=0), jnp.float32),
    )
    np.testing.assert_allclose(
        np.asarray(again).reshape(10, 2), result.diagnostics["objective"], rtol=1e-3, atol=1e-4
    )


def test_by_itself_the_target_is_measured_in_logits(asked):
    """Within a sum, or beside a regulariser, it is a divergence as before."""
    plain, logits = (asked(Ascent(objective=Target(loss=way))) for way in ("auto", "logits"))
    np.testing.assert_array_equal(plain.images, logits.images)
    beside = {"regularisers": (L2(weight=0.1),), "steps": 20}
    ways = ("auto", "cross_entropy")
    one, other = (asked(Ascent(objective=Target(loss=way), **beside)) for way in ways)
    np.testing.assert_array_equal(one.images, other.images)


def test_targets_without_logits_are_measured_by_the_squared_error(rng):
    model, params = problems.random_network((30, 12, 3), rng, output="relu")
    targets = np.abs(rng.normal(size=(2, 3)))
    ways = ("auto", "squared_error")
    one, other = (
        invert(Ascent(objective=Target(loss=way), steps=5), model, params, targets) for way in ways
    )
    np.testing.assert_array_equal(one.images, other.images)
    with pytest.raises(JaxbqError, match="relu has no inverse"):
        invert(Ascent(objective=Target(loss="logits")), model, params, targets)


def test_every_class_is_requeried_within_two_hundredths(asked):
    result = asked(Ascent())
    assert np.abs(result.outputs[:, 0] - Codes().matrix(10)).max() <= 0.02
    assert result.images.min() >= 0
    assert result.images.max() <= 1


@pytest.mark.parametrize("space", [ImageSpace((28, 28), 0.01, 1.0), ImageSpace((28, 28), -1, 0.3)])
def test_pixels_are_in_their_range_exactly(standard, space):
    result = invert(Ascent(steps=60, restarts=2), *standard, Codes().matrix(10), reference=space)
    low, high = np.float32(space.low), np.float32(space.high)
    assert result.images.min() >= low
    assert result.images.max() <= high
    assert (result.images == low).any()


@pytest.mark.usefixtures("x64")
def test_one_step_is_the_plain_projected_gradient_step(rng):
    model, params = problems.random_network((6, 5, 3), rng, scale=8.0)
    method = Ascent(objective=Logit(), optimiser=Optimiser(name="sgd", learning_rate=0.2), steps=1)
    result = invert(method, model, params, Codes().matrix(3), reference=ImageSpace((6,)))
    x = jnp.full((1, 6), 0.5)
    for k in range(3):
        gradient = jax.grad(lambda x, k=k: model.logits(params, x)[0, k])(x)
        expected = np.clip(x + 0.2 * gradient, 0, 1)
        np.testing.assert_allclose(result.images[k, 0], expected[0], atol=1e-12)


def test_the_best_iterate_is_returned_not_the_last(asked):
    """A step far too large jumps about; the curve goes down again, the result does not."""
    result = asked(Ascent(optimiser=Optimiser(name="sgd", learning_rate=50.0), steps=60))
    curve = result.diagnostics["curve"][:, 0]
    np.testing.assert_allclose(result.diagnostics["objective"][:, 0], curve.max(axis=1))
    assert (curve[:, -1] < curve.max(axis=1)).any()


def test_relaxed_starts_are_those_of_the_targets_classes(rng):
    model, params = problems.random_network((30, 12, 3), rng, scale=3.0)
    space, classes = ImageSpace((6, 5), -0.5, 1.0), [2, 0, 1]
    method = Ascent(objective=Logit(), start="relaxed", steps=30, path=(0,), restarts=2)
    result = invert(method, model, params, Codes().matrix(3)[classes], reference=space)
    expected = relaxed_images(model, params, space)[classes]
    first = np.nonzero(result.diagnostics["restart"] == 0)
    begun = result.diagnostics["path"][first][:, 0]
    np.testing.assert_allclose(begun, expected, atol=1e-6)
    # The curve begins with the logits of the starts, and no image is below its own.
    logits = np.asarray(model.logits(params, jnp.asarray(expected, jnp.float32)))
    curves = result.diagnostics["curve"]
    np.testing.assert_allclose(curves[first][:, 0], logits[range(3), classes], atol=1e-4)
    assert (result.diagnostics["objective"] >= curves[..., 0]).all()
    assert (result.diagnostics["objective"][first] > curves[first][:, 0]).any()


def test_relaxed_starts_need_a_class_and_a_network_with_a_bound(rng):
    model, params = problems.random_network((30, 12, 3), rng)
    method, boundary = Ascent(start="relaxed"), np.array([[0.5, 0.5, 0.01]])
    with pytest.raises(JaxbqError, match="several largest entries; use another start"):
        invert(method, model, params, boundary)
    model, params = problems.random_network((30, 12, 8, 3), rng)
    with pytest.raises(JaxbqError, match="needs a network with one hidden layer"):
        invert(method, model, params, Codes().matrix(3))
    model, params = problems.random_network((30, 12, 3), rng, hidden="gelu")
    with pytest.raises(JaxbqError, match="knows no gelu units; use another start"):
        invert(method, model, params, Codes().matrix(3))
    with pytest.raises(NeedsMLPError, match="use another start"):
        invert(method, lambda p, x: x[:, :2], jnp.ones(()), np.eye(2), reference=ImageSpace((2, 2)))


def test_restarts_are_ordered_and_none_beats_the_first(asked):
    result = asked(Ascent(restarts=5, steps=60))
    objective = result.diagnostics["objective"]
    assert (np.diff(objective, axis=1) <= 0).all()
    assert np.array_equal(np.sort(result.diagnostics["restart"], axis=1)[0], np.arange(5))
    # More restarts add images and change none.
    fewer = asked(Ascent(restarts=2, steps=60))
    for target in range(10):
        for image, number in zip(
            fewer.images[target], fewer.diagnostics["restart"][target], strict=True
        ):
            same = result.images[target][result.diagnostics["restart"][target] == number][0]
            # Products of another shape round otherwise, and sixty steps carry it on.
            assert np.corrcoef(image, same)[0, 1] > 0.99


def test_restarts_begin_apart_and_the_first_at_the_centre(standard, mnist_10k):
    method = Ascent(restarts=3, steps=1, optimiser=Optimiser(name="sgd", learning_rate=1e-9))
    images = invert(method, *standard, Codes().matrix(10)[:1]).images[0]
    deviation = np.sort(np.abs(images - 0.5).max(axis=1))
    assert deviation[0] < 1e-6
    assert (np.abs(deviation[1:] - 0.1) < 0.01).all()
    mean = dataclasses.replace(method, start="mean", restarts=1)
    image = invert(mean, *standard, Codes().matrix(10)[:1], reference=mnist_10k).images[0, 0]
    np.testing.assert_allclose(image, mnist_10k.train_images.mean(axis=0), atol=1e-5)


def test_stop_rule_names_its_reasons(asked, standard):
    targets = Codes().matrix(10)
    easy = asked(Ascent(stop=StopRule(tolerance=0.2)))
    assert (easy.reasons == Reason.REACHED).all()
    assert (easy.iterations < 500).all()
    # Of the returned image, not of another iterate.
    assert np.abs(easy.outputs[:, 0] - targets).max() <= 0.2 + 1e-5
    short = asked(Ascent(steps=3))
    assert (short.reasons == Reason.MAX_ITERATIONS).all()
    assert (short.iterations == 3).all()
    # A target that no image reaches: everything at once. The ascent ends where it cannot improve.
    beyond = np.full((1, 10), 0.9999)
    stuck = invert(Ascent(steps=3000, stop=StopRule(patience=100)), *standard, beyond)
    assert stuck.reasons[0, 0] == Reason.STALLED
    assert stuck.iterations[0, 0] < 3000
    never = asked(Ascent(stop=StopRule(tolerance=0.0)))
    assert (never.iterations == 500).all()


def test_finished_images_do_not_change_while_others_go_on(standard):
    """Image 0 reaches a loose target at once; its neighbour never does."""
    loose = np.stack([np.full(10, 0.9999), Codes().matrix(10)[2]])
    method = Ascent(steps=200, stop=StopRule(tolerance=0.05))
    both = invert(method, *standard, loose)
    alone = invert(method, *standard, loose[1:])
    assert both.reasons.ravel().tolist() == [Reason.MAX_ITERATIONS, Reason.REACHED]
    assert both.iterations[1, 0] == alone.iterations[0, 0]
    np.testing.assert_allclose(both.images[1], alone.images[0], atol=1e-3)
    curve = both.diagnostics["curve"][1, 0]
    assert (curve[both.iterations[1, 0] :] == curve[both.iterations[1, 0]]).all()


@pytest.mark.parametrize("wanted", [0, 1])
def test_divergence_is_a_reason_never_nan(wanted):
    """Output 0 climbs towards x₀ = 0.6, beyond which the network has no answer; output 1 passes it
    without noticing, with a finite objective."""

    def network(params, x):
        return jnp.stack([-jnp.sqrt(0.6 - x[:, 0]), x.sum(-1)], -1) * params

    result = invert(
        Ascent(steps=80, optimiser=Optimiser(name="sgd", learning_rate=0.01), objective=Logit()),
        network,
        jnp.ones(()),
        np.eye(2)[[wanted]],
        reference=ImageSpace((3,)),
    )
    assert result.reasons[0, 0] == Reason.DIVERGED
    for found in (result.images, result.outputs, *result.diagnostics.values()):
        assert np.isfinite(found).all()
    assert 0.5 < result.images[0, 0, 0] <= 0.6


def test_a_network_that_is_nan_from_the_start_returns_the_start():
    result = invert(
        Ascent(steps=5),
        lambda params, x: x[:, :2] * jnp.nan * params,
        jnp.ones(()),
        np.full((1, 2), 0.5),
        reference=ImageSpace((4,)),
    )
    assert result.reasons[0, 0] == Reason.DIVERGED
    np.testing.assert_array_equal(result.images, 0.5)


@pytest.mark.slow
def test_any_optax_optimiser_works_row_by_row(standard):
    """Lamb scales by norms: over a whole batch it would couple the images."""
    targets = Codes().matrix(10)
    for name in ("sgd", "lamb", "rmsprop", "lion"):
        method = Ascent(optimiser=Optimiser(name=name, learning_rate=0.01), steps=20)
        batch = invert(method, *standard, targets)
        single = invert(method, *standard, targets[4:5])
        assert (batch.diagnostics["objective"] > batch.diagnostics["curve"][..., 0]).all()
        np.testing.assert_allclose(batch.images[4], single.images[0], atol=1e-3)


def test_progress_goes_from_start_to_end_and_changes_nothing(standard):
    heard = []
    targets = Codes().matrix(10)[:3]
    method = Ascent(steps=90)
    watched = invert(method, *standard, targets, progress=lambda *now: heard.append(now))
    plain = invert(method, *standard, targets)
    np.testing.assert_array_equal(watched.images, plain.images)
    assert heard[0] == (0, 90)
    assert heard[-1] == (90, 90)
    assert len(heard) > 10


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (Ascent(optimiser=Optimiser(name="adamm")), "no optimiser 'adamm'"),
        (Ascent(start="mean"), "start = 'mean' needs training images"),
        (Ascent(steps=0), "steps"),
        (Ascent(noise=2.0), "noise"),
    ],
)
def test_mistakes(standard, method, message):
    with pytest.raises(JaxbqError, match=message):
        invert(method, *standard, Codes().matrix(10))


def test_cross_entropy_needs_probabilities(rng):
    model, params = problems.random_network((4, 3), rng, output="tanh")
    method = Ascent(objective=Target(loss="cross_entropy"))
    with pytest.raises(JaxbqError, match="cross_entropy needs sigmoid or softmax outputs"):
        invert(method, model, params, Codes().matrix(3))


def test_a_function_needs_to_be_told_what_images_are():
    with pytest.raises(JaxbqError, match=r"reference=ImageSpace\(\(height, width\)\)"):
        invert(Ascent(), lambda p, x: x[:, :2], jnp.ones(()), np.ones((1, 2)))


@pytest.mark.parametrize(
    ("rows", "restarts", "together", "lanes"),
    [(10, 1, False, 10), (640, 1, False, 640), (1000, 1, False, 500), (1400, 7, True, 469)],
)
def test_no_lane_is_left_without_a_row_where_all_take_all_steps(rows, restarts, together, lanes):
    method = Ascent(
        restarts=restarts,
        regularisers=(Diversity(),) if together else (),
        stop=StopRule(tolerance=0.0),
    )
    planned = method.plan(rows // restarts, 784)
    assert planned.lanes == lanes
    if together:
        assert planned.lanes % restarts == 0
