"""What holds for every method: each new one is picked up from the union."""

import dataclasses
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import problems
import pytest

from jaxbq.errors import JaxbqError
from jaxbq.generators import Autoencoder
from jaxbq.methods import AnyMethod, Ascent, Iterative, Reason, invert
from jaxbq.methods.clock import Stopwatch
from jaxbq.targets import Codes

METHODS = get_args(get_args(AnyMethod)[0])
# Options that make a method quick enough to be run often; by kind.
QUICK = {
    "ascent": {"steps": 25, "restarts": 2},
    "decoder": {"epochs": 4, "hidden": (32,), "batch_size": 40},
    "projected": {
        "autoencoder": Autoencoder(code=8, hidden=(48,), epochs=4, batch_size=40, noise=0.2)
    },
}


@pytest.fixture(params=METHODS, ids=lambda cls: cls.__name__)
def method(request):
    cls = request.param
    return cls(**QUICK.get(cls().kind, {}))


@pytest.fixture
def problem(rng):
    model, params = problems.random_network((30, 12, 3), rng)
    return model, params, Codes().matrix(3)


@pytest.mark.usefixtures("x64")
def test_shapes_range_and_finiteness(method, problem, tiny):
    model, params, targets = problem
    result = invert(method, model, params, targets, reference=tiny)
    samples = result.images.shape[1]
    assert result.images.shape == (3, samples, 30)
    assert result.outputs.shape == result.logits.shape == (3, samples, 3)
    assert result.reasons.shape == result.iterations.shape == (3, samples)
    assert np.isfinite(result.images).all()
    assert result.images.min() >= 0
    assert result.images.max() <= 1
    assert not (result.reasons == Reason.RUNNING).any()
    for values in result.diagnostics.values():
        assert values.shape[:2] == (3, samples)
        assert np.isfinite(values).all()


@pytest.mark.usefixtures("x64")
def test_outputs_are_those_of_the_returned_images(method, problem, tiny):
    model, params, targets = problem
    result = invert(method, model, params, targets, reference=tiny)
    rows = jnp.asarray(result.images.reshape(-1, 30))
    np.testing.assert_allclose(model.apply(params, rows), result.outputs.reshape(-1, 3), atol=1e-12)


def test_same_key_same_bits(method, problem, tiny):
    model, params, targets = problem
    one, two = (
        invert(method, model, params, targets, reference=tiny, key=jax.random.key(3))
        for _ in range(2)
    )
    np.testing.assert_array_equal(one.images, two.images)


# Operation by operation these take ten seconds or more.
LONG_WHEN_EAGER = ("PseudoInverse", "Preimage", "Ascent", "Decoder", "Projected")
EAGER = [
    pytest.param(cls, marks=pytest.mark.slow) if cls.__name__ in LONG_WHEN_EAGER else cls
    for cls in METHODS
]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("method", EAGER, ids=lambda cls: cls.__name__, indirect=True)
def test_compiled_equals_eager(method, problem, tiny):
    if method.kind == "ascent":
        method = dataclasses.replace(method, steps=8)
    model, params, targets = problem
    compiled = invert(method, model, params, targets, reference=tiny)
    with jax.disable_jit():
        eager = invert(method, model, params, targets, reference=tiny)
    # A method that trains a network carries rounding on from update to update.
    atol = 1e-5 if method.kind in ("decoder", "projected") else 1e-9
    np.testing.assert_allclose(compiled.images, eager.images, atol=atol)


@pytest.mark.usefixtures("x64")
def test_a_batch_equals_singles_and_others_do_not_matter(method, problem, tiny):
    model, params, targets = problem
    batch = invert(method, model, params, targets, reference=tiny)
    for number, target in enumerate(targets):
        single = invert(method, model, params, target[None], reference=tiny)
        np.testing.assert_allclose(single.images[0], batch.images[number], atol=1e-6)


def test_a_second_call_compiles_nothing(method, problem, tiny):
    model, params, targets = problem
    invert(method, model, params, targets, reference=tiny)
    with Stopwatch() as watch:
        result = invert(method, model, params, targets[::-1].copy(), reference=tiny)
    assert watch.programs == 0
    assert result.seconds.compile == 0


def test_the_first_call_reports_compilation(problem, tiny):
    model, params, targets = problem
    jax.clear_caches()
    result = invert(Ascent(steps=3), model, params, targets, reference=tiny)
    assert result.seconds.compile > 0
    assert result.seconds.run > 0


def test_it_beats_a_grey_image(method, standard, mnist_10k):
    """The network reads more classes right than it would in one and the same image for all."""
    model, params = standard
    result = invert(method, model, params, Codes().matrix(10), reference=mnist_10k)
    right = (result.outputs[:, 0].argmax(axis=1) == np.arange(10)).sum()
    # These two are what is to be beaten: one image for all classes.
    assert right == 1 if method.kind in ("grey", "noise") else right >= 3


def test_iterative_methods_run_in_chunks_to_the_same_end(method, problem, tiny):
    if not isinstance(method, Iterative):
        pytest.skip("a closed form has no chunks")
    model, params, targets = problem
    whole = invert(method, model, params, targets, reference=tiny)
    parts = invert(method, model, params, targets, reference=tiny, progress=lambda *_: None)
    np.testing.assert_array_equal(whole.images, parts.images)
    np.testing.assert_array_equal(whole.reasons, parts.reasons)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (np.full((1, 4), 0.5), "4 values, but the network has 3 outputs"),
        (np.full((1, 3), 1.5), "outside"),
        (np.full((1, 3), np.nan), "not a finite number"),
        (np.zeros((0, 3)), "must have shape"),
    ],
)
def test_bad_targets_are_refused(method, problem, tiny, targets, message):
    with pytest.raises(JaxbqError, match=message):
        invert(method, *problem[:2], targets, reference=tiny)


def test_images_that_do_not_fit_the_network_are_refused(method, rng, tiny):
    model, params = problems.random_network((31, 3), rng)
    with pytest.raises(JaxbqError, match="takes 31 pixels"):
        invert(method, model, params, Codes().matrix(3), reference=tiny)


def test_weights_that_do_not_fit_are_refused(method, problem, tiny, rng):
    model, _, targets = problem
    _, other = problems.random_network((30, 5, 3), rng)
    with pytest.raises(JaxbqError, match="do not fit"):
        invert(method, model, other, targets, reference=tiny)
