"""What holds for every method: each new one is picked up from the union."""

import dataclasses
from typing import NamedTuple, get_args

import jax
import numpy as np
import problems
import pytest

from jaxbq.data import Dataset
from jaxbq.errors import JaxbqError
from jaxbq.methods import AnyMethod, Ascent, Iterative, Method, Reason, Result, invert, preset
from jaxbq.network.targets import Codes
from jaxbq.runtime.timing import Stopwatch
from jaxbq.training import Autoencoder

METHODS = get_args(get_args(AnyMethod)[0])
# Options that make a method quick enough to be run often; by kind.
QUICK = {
    "ascent": {"steps": 25, "restarts": 2},
    "logistic": {"method": preset("whitened", steps=25), "epochs": 2, "batch_size": 40},
    "decoder": {"epochs": 2, "hidden": (32,), "batch_size": 40},
    "projected": {
        "autoencoder": Autoencoder(code=8, hidden=(48,), epochs=4, batch_size=40, noise=0.2)
    },
}


class Found(NamedTuple):
    """What a method answered twice, with the same key, on a small network in float64."""

    method: Method
    problem: tuple
    data: Dataset
    result: Result
    again: Result
    programs_again: int

    def ask(self, targets, **more):
        with jax.enable_x64(True):
            return invert(self.method, *self.problem[:2], targets, reference=self.data, **more)


def made(cls):
    return cls(**QUICK.get(cls().kind, {}))


@pytest.fixture(scope="module", params=METHODS, ids=lambda cls: cls.__name__)
def found(request, tiny) -> Found:
    """Each method once for all that is asked of its answer."""
    with jax.enable_x64(True):
        model, params = problems.random_network((30, 12, 3), np.random.default_rng(7))
    problem = model, params, Codes().matrix(3)
    asking = Found(made(request.param), problem, tiny, None, None, 0)
    key = jax.random.key(3)
    result = asking.ask(problem[2], key=key)
    with Stopwatch() as watch:
        again = asking.ask(problem[2], key=key)
    return asking._replace(result=result, again=again, programs_again=watch.programs)


@pytest.fixture
def method(request):
    return made(request.param)


@pytest.fixture
def problem(rng):
    model, params = problems.random_network((30, 12, 3), rng)
    return model, params, Codes().matrix(3)


@pytest.mark.device
def test_shapes_range_and_finiteness(found):
    result = found.result
    samples = result.images.shape[1]
    assert result.images.shape == (3, samples, 30)
    assert result.outputs.shape == result.logits.shape == (3, samples, 3)
    assert result.reasons.shape == result.iterations.shape == (3, samples)
    assert result.images.dtype == np.float64
    assert np.isfinite(result.images).all()
    assert result.images.min() >= 0
    assert result.images.max() <= 1
    assert not (result.reasons == Reason.RUNNING).any()
    for values in result.diagnostics.values():
        assert values.shape[:2] == (3, samples)
        assert np.isfinite(values).all()


@pytest.mark.device
def test_outputs_are_those_of_the_returned_images(found):
    model, params, _ = found.problem
    rows = found.result.images.reshape(-1, 30)
    with jax.enable_x64(True):
        answers, logits = model.apply(params, rows), model.logits(params, rows)
    np.testing.assert_allclose(answers, found.result.outputs.reshape(-1, 3), atol=1e-12)
    np.testing.assert_allclose(logits, found.result.logits.reshape(-1, 3), atol=1e-12)


@pytest.mark.device
def test_the_same_key_gives_the_same_bits(found):
    np.testing.assert_array_equal(found.result.images, found.again.images)
    np.testing.assert_array_equal(found.result.reasons, found.again.reasons)


def test_a_second_call_compiles_nothing(found):
    assert found.programs_again == 0
    assert found.again.seconds.compile == 0


def test_other_targets_compile_nothing_and_do_not_matter(found):
    with Stopwatch() as watch:
        turned = found.ask(found.problem[2][::-1].copy(), key=jax.random.key(3))
    assert watch.programs == 0
    np.testing.assert_allclose(turned.images[::-1], found.result.images, atol=1e-6)


@pytest.mark.device
def test_a_single_target_gives_what_a_batch_gives(found):
    single = found.ask(found.problem[2][1:2], key=jax.random.key(3))
    np.testing.assert_allclose(single.images[0], found.result.images[1], atol=1e-6)


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
    if method.kind == "logistic":
        method = dataclasses.replace(method, method=preset("whitened", steps=4), epochs=1)
    model, params, targets = problem
    compiled = invert(method, model, params, targets, reference=tiny)
    with jax.disable_jit():
        eager = invert(method, model, params, targets, reference=tiny)
    # A method that trains a network carries rounding on from update to update.
    atol = 1e-5 if method.kind in ("decoder", "projected", "logistic") else 1e-9
    np.testing.assert_allclose(compiled.images, eager.images, atol=atol)


def test_the_first_call_reports_compilation(problem, tiny):
    model, params, targets = problem
    # No other test takes so many steps: the program is new.
    result = invert(Ascent(steps=3), model, params, targets, reference=tiny)
    assert result.seconds.compile > 0
    assert result.seconds.run > 0


@pytest.mark.parametrize("method", METHODS, ids=lambda cls: cls.__name__, indirect=True)
def test_it_beats_a_grey_image(method, asked):
    """The network reads more classes right than it would in one and the same image for all."""
    right = (asked(method).outputs[:, 0].argmax(axis=1) == np.arange(10)).sum()
    # These are what is to be beaten: one image for all classes, and a linear filter.
    if method.kind != "linear_discriminant":
        assert right == 1 if method.kind in ("grey", "noise") else right >= 3


@pytest.mark.parametrize(
    "cls", [cls for cls in METHODS if issubclass(cls, Iterative)], ids=lambda cls: cls.__name__
)
def test_iterative_methods_run_in_chunks_to_the_same_end(cls, problem, tiny):
    model, params, targets = problem
    whole, parts = (
        invert(made(cls), model, params, targets, reference=tiny, progress=heard)
        for heard in (None, lambda *_: None)
    )
    np.testing.assert_array_equal(whole.images, parts.images)
    np.testing.assert_array_equal(whole.reasons, parts.reasons)


BAD_TARGETS = [
    (np.full((1, 4), 0.5), "4 values, but the network has 3 outputs"),
    (np.full((1, 3), 1.5), "outside"),
    (np.full((1, 3), np.nan), "not a finite number"),
    (np.zeros((0, 3)), "must have shape"),
]


@pytest.mark.parametrize("method", METHODS, ids=lambda cls: cls.__name__, indirect=True)
def test_bad_targets_are_refused(method, problem, tiny):
    for targets, message in BAD_TARGETS:
        with pytest.raises(JaxbqError, match=message):
            invert(method, *problem[:2], targets, reference=tiny)


def test_images_that_do_not_fit_the_network_are_refused(rng, tiny):
    model, params = problems.random_network((31, 3), rng)
    with pytest.raises(JaxbqError, match="takes 31 pixels"):
        invert(Ascent(), model, params, Codes().matrix(3), reference=tiny)


def test_weights_that_do_not_fit_are_refused(problem, tiny, rng):
    model, _, targets = problem
    _, other = problems.random_network((30, 5, 3), rng)
    with pytest.raises(JaxbqError, match="do not fit"):
        invert(Ascent(), model, other, targets, reference=tiny)
