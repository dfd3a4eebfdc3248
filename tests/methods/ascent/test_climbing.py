"""The engine: lanes, sweeps, restarts that part, paths, and that all choices go together."""

import dataclasses
import itertools
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import problems
import pytest

from jaxbq.data import ImageSpace
from jaxbq.errors import JaxbqError
from jaxbq.methods import Ascent, Preimage, Reason, invert, sweep, vary
from jaxbq.methods.ascent import (
    L2,
    AnyParameterisation,
    AnyRegulariser,
    AnyTransform,
    AutoencoderCode,
    Blurring,
    Constraint,
    Decay,
    Distance,
    Diversity,
    Fourier,
    Jitter,
    Logit,
    LogProb,
    Mahalanobis,
    Noise,
    OutOfRange,
    ParameterNorm,
    Penalty,
    Pixels,
    PrincipalComponents,
    Projection,
    SigmoidPixels,
    Squash,
    StopRule,
    TotalVariation,
    Unit,
    Whitened,
)
from jaxbq.network.targets import Codes
from jaxbq.runtime.timing import Stopwatch
from jaxbq.training import Autoencoder
from jaxbq.training.optimisers import LBFGS, GaussNewton, Optimiser

SGD = Optimiser(name="sgd", learning_rate=0.05)


@pytest.fixture
def problem(rng):
    model, params = problems.random_network((30, 12, 3), rng, scale=6.0)
    return model, params, Codes().matrix(3)


def members(union):
    return get_args(get_args(union)[0])


QUICK = {
    PrincipalComponents: {"components": 6},
    AutoencoderCode: {"autoencoder": Autoencoder(code=5, hidden=(8,), epochs=1)},
}


def make(cls):
    return cls(**QUICK.get(cls, {}))


# Every parameterisation with two of the three constraints, and every constraint with most.
PAIRS = [
    (make(one), make(two))
    for (i, one), (j, two) in itertools.product(
        enumerate(members(AnyParameterisation)), enumerate(members(Constraint))
    )
    if (i + j) % 3
]


def reason_to_refuse(method):
    """What the documentation says does not go together, and nothing else."""
    projected = isinstance(method.constraint, Projection)
    (regulariser,) = method.regularisers
    if method.parameterisation.is_squashed and not projected:
        return "keeps pixels in the range"
    inside = method.parameterisation.is_squashed or (
        method.parameterisation.is_pixels and projected
    )
    if isinstance(regulariser, OutOfRange) and inside:
        return "'out_of_range' has nothing to do"
    if isinstance(regulariser, Diversity) and isinstance(method.optimiser, LBFGS | GaussNewton):
        return f"'{method.optimiser.name}' cannot have diversity"
    return None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "pair"), list(enumerate(PAIRS)), ids=[f"{p.kind}-{c.kind}" for p, c in PAIRS]
)
def test_any_combination_works_or_is_refused(problem, tiny, number, pair):
    """With another of all else each time."""
    optimiser = [
        Optimiser(learning_rate=0.05),
        [LBFGS(memory=3), GaussNewton()][number % 2],
        dataclasses.replace(SGD, normalise=True),
    ][number % 3]
    regularisers = members(AnyRegulariser)
    transforms = members(AnyTransform)
    method = Ascent(
        objective=[LogProb(), Logit()][number % 2],
        parameterisation=pair[0],
        constraint=pair[1],
        regularisers=(make(regularisers[number % len(regularisers)]),),
        transforms=(make(transforms[number % len(transforms)]),) if number % 3 == 0 else (),
        optimiser=optimiser,
        restarts=2,
        steps=4,
    )
    if refusal := reason_to_refuse(method):
        with pytest.raises(JaxbqError, match=refusal):
            invert(method, *problem, reference=tiny)
        return
    result = invert(method, *problem, reference=tiny)
    assert np.isfinite(result.images).all()
    assert result.images.min() >= 0
    assert result.images.max() <= 1
    assert (result.diagnostics["objective"] >= result.diagnostics["curve"][..., 0]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"parameterisation": SigmoidPixels(), "constraint": Squash()},
            "keeps pixels in the range",
        ),
        ({"parameterisation": Fourier(), "operators": (Decay(),)}, "operators work on pixels"),
        ({"samples": 3}, "needs transforms"),
        ({"regularisers": (Diversity(),)}, "separates restarts, but there is only one"),
        ({"regularisers": (Diversity(), Diversity()), "restarts": 2}, "one diversity is enough"),
        ({"regularisers": (OutOfRange(),)}, "has nothing to do"),
        ({"optimiser": LBFGS(), "transforms": (Noise(),)}, "'lbfgs' cannot have transforms"),
        ({"optimiser": LBFGS(), "operators": (Decay(),)}, "'lbfgs' cannot have operators"),
        (
            {"optimiser": LBFGS(), "regularisers": (Diversity(),), "restarts": 2},
            "'lbfgs' cannot have diversity",
        ),
        (
            {"optimiser": GaussNewton(), "transforms": (Noise(),)},
            "'gauss_newton' cannot have transforms",
        ),
        ({"optimiser": GaussNewton(), "objective": Unit()}, "not a hidden layer; use 'lbfgs'"),
        ({"path": (0, 5, 3)}, "rising steps"),
        ({"path": (0, 900)}, "rising steps from 0 to 500"),
        ({"start": "images", "regularisers": (Distance(),)}, "needs images to start from"),
    ],
)
def test_what_excludes_each_other_is_refused(problem, options, message):
    with pytest.raises(JaxbqError, match=message):
        invert(Ascent(**options), *problem, reference=ImageSpace((6, 5)))


@pytest.mark.usefixtures("x64")
def test_fewer_lanes_than_rows_give_the_same(problem, tiny):
    method = Ascent(
        restarts=5, steps=40, start="random", stop=StopRule(tolerance=0.4), path=(0, 7, 40)
    )
    whole = invert(dataclasses.replace(method, lanes=15), *problem, reference=tiny)
    assert len(np.unique(whole.iterations)) > 2
    for lanes in (1, 4, 7):
        waited = invert(dataclasses.replace(method, lanes=lanes), *problem, reference=tiny)
        np.testing.assert_array_equal(whole.reasons, waited.reasons)
        np.testing.assert_array_equal(whole.iterations, waited.iterations)
        for one, two in (
            (whole.images, waited.images),
            *((whole.diagnostics[name], waited.diagnostics[name]) for name in whole.diagnostics),
        ):
            np.testing.assert_allclose(one, two, atol=1e-9)


def test_progress_changes_no_bit_where_rows_wait(problem, tiny):
    method = Ascent(restarts=5, steps=40, start="random", stop=StopRule(tolerance=0.4), lanes=4)
    heard = []
    plain = invert(method, *problem, reference=tiny)
    watched = invert(method, *problem, reference=tiny, progress=lambda *now: heard.append(now))
    np.testing.assert_array_equal(plain.images, watched.images)
    shares = [done for done, _ in heard]
    assert shares == sorted(shares)
    assert (heard[0], heard[-1]) == ((0, 40), (40, 40))


@pytest.mark.usefixtures("x64")
def test_restarts_that_part_stay_together_in_the_lanes(problem, tiny):
    method = Ascent(
        restarts=3, steps=20, regularisers=(Diversity(weight=0.5),), objective=LogProb()
    )
    whole = invert(dataclasses.replace(method, lanes=9), *problem, reference=tiny)
    waited = invert(dataclasses.replace(method, lanes=4), *problem, reference=tiny)
    np.testing.assert_allclose(whole.images, waited.images, atol=1e-9)


def test_diversity_parts_restarts(standard, mnist_10k):
    plain = Ascent(
        objective=LogProb(), restarts=3, steps=60, start="mean", parameterisation=Whitened()
    )
    parted = dataclasses.replace(plain, regularisers=(Diversity(weight=50.0),))
    alike = []
    for method in (plain, parted):
        images = invert(method, *standard, Codes().matrix(10)[:3], reference=mnist_10k).images
        alike.append(np.mean([np.corrcoef(rows)[np.triu_indices(3, 1)].mean() for rows in images]))
    assert alike[1] < alike[0] - 0.1


@pytest.mark.usefixtures("x64")
def test_a_sweep_gives_what_single_runs_give(problem, tiny):
    method = Ascent(
        objective=LogProb(),
        parameterisation=Whitened(shrinkage=0.1),
        regularisers=(ParameterNorm(), L2()),
        restarts=2,
        steps=15,
        lanes=7,
    )
    methods = vary(
        method,
        {"regularisers.0.weight": [0.1, 5.0], "optimiser.learning_rate": [0.02, 0.05, 0.1]},
    )
    with Stopwatch() as first:  # of this program, which no other test has
        invert(methods[0], *problem, reference=tiny)
    with Stopwatch() as watch:
        together = sweep(methods, *problem, reference=tiny)
    assert watch.programs <= first.programs + 4  # one ascent, not six
    assert [result.method for result in together] == methods
    for method, result in zip(methods, together, strict=True):
        single = invert(method, *problem, reference=tiny)
        np.testing.assert_allclose(result.images, single.images, atol=1e-9)
        np.testing.assert_array_equal(result.iterations, single.iterations)
    assert not np.allclose(together[0].images, together[-1].images, atol=1e-3)


def test_a_sweep_takes_any_methods_in_any_order(problem, tiny):
    from jaxbq.methods import Transpose

    methods = [
        Transpose(),
        Ascent(steps=3),
        Transpose(biases="subtract"),
        Ascent(steps=3, noise=0.2),
    ]
    results = sweep(methods, *problem, reference=tiny)
    assert [result.method for result in results] == methods
    np.testing.assert_array_equal(
        results[2].images, invert(methods[2], *problem, reference=tiny).images
    )


def test_points_that_need_another_preparation_are_not_mixed(problem, tiny):
    methods = vary(
        Ascent(regularisers=(Mahalanobis(),), steps=10), {"regularisers.0.shrinkage": [0.01, 0.9]}
    )
    for method, result in zip(methods, sweep(methods, *problem, reference=tiny), strict=True):
        single = invert(method, *problem, reference=tiny)
        np.testing.assert_allclose(result.images, single.images, atol=1e-5)


def test_other_numbers_compile_nothing(problem, tiny):
    method = Ascent(
        objective=LogProb(),
        parameterisation=Fourier(),
        regularisers=(TotalVariation(form="smooth"), L2()),
        transforms=(Jitter(), Noise()),
        steps=3,
    )
    invert(method, *problem, reference=tiny)
    other = Ascent(
        objective=LogProb(),
        parameterisation=Fourier(decay=0.5),
        regularisers=(TotalVariation(form="smooth", weight=0.3, beta=1.5), L2(weight=0.1)),
        transforms=(Jitter(most=0.2), Noise(deviation=0.1)),
        optimiser=Optimiser(learning_rate=0.02, options=(("b2", 0.9),)),
        noise=0.3,
        stop=StopRule(improvement=1e-3),
        steps=3,
    )
    with Stopwatch() as watch:
        invert(other, *problem, reference=tiny)
    assert watch.programs == 0


@pytest.mark.usefixtures("x64")
def test_the_path_is_where_the_image_was(problem, tiny):
    method = Ascent(optimiser=SGD, objective=Logit(), steps=6, path=(0, 1, 6))
    result = invert(method, *problem, reference=tiny)
    for position, steps in enumerate(method.path[1:], 1):
        short = invert(dataclasses.replace(method, steps=steps, path=()), *problem, reference=tiny)
        last = result.diagnostics["path"][:, :, position]
        # Plain ascent gains at every step, so that the best image is the last.
        np.testing.assert_allclose(last, short.images, atol=1e-9)
    np.testing.assert_allclose(result.diagnostics["path"][:, :, 0], 0.5)


def test_a_path_goes_on_at_the_image_of_a_row_that_is_done(asked):
    result = asked(Ascent(stop=StopRule(tolerance=0.3), steps=100, path=(0, 100)))
    assert (result.iterations < 100).all()
    np.testing.assert_array_equal(result.diagnostics["path"][:, :, 1], result.images)


@pytest.mark.usefixtures("x64")
def test_the_variable_is_not_touched_by_transforms(problem, tiny):
    """A shift that changes nothing for a network blind to position leaves plain ascent."""

    def network(params, x):
        total = x.sum(axis=1, keepdims=True) * params
        return jnp.concatenate([total, -total], axis=1)

    plain = Ascent(objective=Logit(), optimiser=SGD, steps=5, start="random")
    seen = dataclasses.replace(plain, transforms=(Noise(deviation=5.0),), samples=2)
    one, two = (
        invert(m, network, jnp.ones(()), np.eye(2), reference=ImageSpace((6, 5)))
        for m in (plain, seen)
    )
    np.testing.assert_allclose(one.images, two.images, atol=1e-12)


@pytest.mark.usefixtures("x64")
def test_what_is_scored_is_what_is_returned(problem, tiny):
    """Under a penalty the climbed image lies outside; value and answer are of the clipped one."""
    method = Ascent(
        objective=Logit(),
        constraint=Penalty(weight=0.01),
        optimiser=SGD,
        steps=50,
        regularisers=(L2(weight=2.0),),
    )
    result = invert(method, *problem, reference=tiny)
    own = np.take_along_axis(result.logits[:, 0], np.arange(3)[:, None], 1)[:, 0]
    cost = 2 * np.square(result.images[:, 0]).mean(axis=1)
    np.testing.assert_allclose(result.diagnostics["objective"][:, 0], own - cost, atol=1e-9)
    assert result.images.min() == 0


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("optimiser", [LBFGS(), GaussNewton()])
@pytest.mark.parametrize("parameterisation", [Pixels(), Whitened(shrinkage=0.1)])
def test_it_satisfies_the_first_order_conditions(standard, mnist_10k, parameterisation, optimiser):
    model, params = standard
    params = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), params)
    regulariser = L2(weight=3.0) if parameterisation.kind == "pixels" else ParameterNorm(weight=3.0)
    method = Ascent(
        objective=LogProb(),
        parameterisation=parameterisation,
        constraint=Projection() if parameterisation.kind == "pixels" else Squash(),
        regularisers=(regulariser,),
        optimiser=optimiser,
        stop=StopRule(gradient=1e-5),
        start="mean",
        steps=400,
    )
    result = invert(method, model, params, Codes().matrix(10), reference=mnist_10k)
    assert (result.reasons == Reason.STATIONARY).all()
    if parameterisation.kind != "pixels":
        return

    def total(x):
        log_prob = jax.nn.log_sigmoid(model.logits(params, x))[jnp.arange(10), jnp.arange(10)]
        return (log_prob - 3 * jnp.square(x).mean(axis=1)).sum()

    x = jnp.asarray(result.images[:, 0])
    measure = jnp.abs(jnp.clip(x + jax.grad(total)(x), 0, 1) - x).max()
    assert float(measure) <= 1e-5
    assert ((x == 0) | (x == 1)).any()  # some of them at the bounds


@pytest.mark.parametrize("optimiser", [LBFGS(), GaussNewton()])
def test_it_reaches_targets(asked, optimiser):
    result = asked(Ascent(optimiser=optimiser))
    assert (result.reasons == Reason.REACHED).all()
    if optimiser == GaussNewton():
        # The first steps are of least norm, so images stay as near the start as preimages do.
        assert result.iterations.max() <= 20
        preimages = asked(Preimage()).images
        ours, theirs = (np.linalg.norm(i - 0.5, axis=-1) for i in (result.images, preimages))
        assert (ours < 1.2 * theirs).all()


def test_normalised_steps_have_the_learning_rates_length(problem, tiny):
    method = Ascent(objective=Logit(), optimiser=dataclasses.replace(SGD, normalise=True), steps=1)
    result = invert(method, *problem, reference=tiny)
    moved = np.linalg.norm(result.images[:, 0] - 0.5, axis=1)
    np.testing.assert_allclose(moved, 0.05, rtol=1e-4)


def test_operators_act_on_the_pixels(problem, tiny):
    method = Ascent(objective=Logit(), optimiser=SGD, steps=8, operators=(Blurring(every=8),))
    path = (0, 8)
    blurred = invert(dataclasses.replace(method, path=path), *problem, reference=tiny)
    plain = invert(dataclasses.replace(method, operators=(), path=path), *problem, reference=tiny)

    def rough(result):
        grid = result.diagnostics["path"][:, 0, 1].reshape(-1, 6, 5)
        return np.abs(np.diff(grid, axis=1)).mean() + np.abs(np.diff(grid, axis=2)).mean()

    assert rough(blurred) < 0.7 * rough(plain)


def test_an_unreachable_target_ends_with_its_reason_and_best_image(standard):
    beyond = np.full((1, 10), 0.999)
    for optimiser in (Optimiser(learning_rate=0.05), LBFGS(), GaussNewton()):
        method = Ascent(optimiser=optimiser, steps=400, stop=StopRule(patience=60))
        result = invert(method, *standard, beyond)
        assert result.reasons[0, 0] in (Reason.STALLED, Reason.MAX_ITERATIONS)
        curve = result.diagnostics["curve"][0, 0]
        assert result.diagnostics["objective"][0, 0] == pytest.approx(curve.max(), rel=1e-6)
