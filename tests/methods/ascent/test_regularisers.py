from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import problems
import pytest

from jaxbq.data import ImageSpace, Reference
from jaxbq.errors import JaxbqError
from jaxbq.methods.ascent import (
    L1,
    L2,
    AnyRegulariser,
    Distance,
    Diversity,
    HighFrequency,
    Mahalanobis,
    OutOfRange,
    ParameterNorm,
    Picture,
    PNorm,
    TotalVariation,
)

SHAPE, LOW, HIGH = (6, 7), -1.0, 3.0
SPAN = (jnp.asarray(LOW), jnp.asarray(HIGH))
ALL = [cls() for cls in get_args(get_args(AnyRegulariser)[0])]


@pytest.fixture
def reference(rng):
    images = rng.uniform(LOW, HIGH, (50, 42)).astype(np.float32)
    return Reference(ImageSpace(SHAPE, LOW, HIGH), images)


@pytest.fixture
def image(rng):
    return rng.uniform(LOW + 0.1, HIGH - 0.1, 42)


def picture(image, raw=None, u=None, start=None):
    raw = image if raw is None else raw
    given = (image, raw, image if u is None else u, image if start is None else start)
    return Picture(*map(jnp.asarray, given), SPAN)


_value = jax.jit(lambda regulariser, state, picture: regulariser.value(state, picture))


def value(regulariser, reference, picture):
    state = regulariser.prepare(reference, picture.image.dtype)
    return float(_value(regulariser, state, picture))


@pytest.mark.usefixtures("x64")
def test_they_equal_their_definitions(reference, image, rng):
    share = ((image - LOW) / (HIGH - LOW)).reshape(SHAPE)
    down = np.zeros(SHAPE)
    down[:-1] = share[1:] - share[:-1]
    right = np.zeros(SHAPE)
    right[:, :-1] = share[:, 1:] - share[:, :-1]
    spectrum = np.fft.fft2(share)
    high = np.hypot(*np.meshgrid(np.fft.fftfreq(6), np.fft.fftfreq(7), indexing="ij")) > 0.3
    filtered = np.fft.ifft2(np.where(high, spectrum, 0)).real
    mean = reference.images.mean(axis=0, dtype=np.float64)
    scatter = np.cov(reference.images.T.astype(np.float64), bias=True)
    shrunk = 0.8 * scatter + 0.2 * np.trace(scatter) / 42 * np.eye(42)
    start, u = rng.random(42), rng.normal(size=5)
    cases = [
        (L1(), np.abs(share).mean()),
        (L2(), np.square(share).mean()),
        (PNorm(p=4.0), ((share - 0.5) ** 4).mean()),
        (TotalVariation(), (np.abs(down) + np.abs(right)).mean()),
        (
            TotalVariation(form="smooth", beta=1.0),
            np.sqrt(down**2 + right**2 + 1e-6).mean() - 1e-3,
        ),
        (HighFrequency(cutoff=0.3), np.square(filtered).mean()),
        (
            Mahalanobis(shrinkage=0.2),
            0.5 * (image - mean) @ np.linalg.solve(shrunk, image - mean) / 42,
        ),
        (Distance(), np.square((image - start) / 4).mean()),
        (Distance(to="grey"), np.square((image - 1) / 4).mean()),
        (Distance(to="mean"), np.square((image - mean) / 4).mean()),
        (ParameterNorm(), 0.5 * np.square(u).mean()),
    ]
    for regulariser, expected in cases:
        found = value(regulariser, reference, picture(image, u=u, start=start))
        assert found == pytest.approx(expected, rel=1e-9), regulariser


def test_out_of_range_looks_at_the_image_before_the_range(reference, image):
    raw = image.copy()
    raw[:2] = HIGH + 4.0, LOW - 2.0  # one range and half a range outside
    assert value(OutOfRange(), reference, picture(image, raw)) == pytest.approx(1.25 / 42)
    assert value(OutOfRange(), reference, picture(image)) == 0


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("regulariser", ALL, ids=lambda r: r.kind)
def test_gradients_agree_with_finite_differences(regulariser, reference, image, rng):
    regulariser.check(reference)
    state = regulariser.prepare(reference, jnp.float64)
    start = jnp.asarray(rng.random(42))
    # Raw beyond the range, where out_of_range has a slope.
    problems.check_gradient(
        lambda x: regulariser.value(state, Picture(x, 3 * x, x, start, SPAN)),
        jnp.asarray(image),
        rtol=1e-4,
    )


@pytest.mark.parametrize("regulariser", ALL, ids=lambda r: r.kind)
def test_gradients_are_finite_on_a_flat_image(regulariser, reference):
    state = regulariser.prepare(reference, jnp.float32)
    flat = jnp.full(42, LOW)
    gradient = jax.jit(jax.grad(lambda x: regulariser.value(state, Picture(x, x, x, flat, SPAN))))(
        flat
    )
    assert np.isfinite(gradient).all()


def test_they_do_not_depend_on_the_size_of_the_image(rng, reference):
    """A regulariser is a mean over pixels: four copies of an image cost what one does."""
    for regulariser in (L1(), L2(), PNorm()):
        one = rng.uniform(LOW, HIGH, 42)
        costs = [value(regulariser, reference, picture(x)) for x in (one, np.tile(one, 4))]
        assert costs[0] == pytest.approx(costs[1], rel=1e-5)


def test_diversity_is_the_mean_cosine_with_the_others(rng):
    images = rng.random((4, 12))
    away = images - images.mean(axis=0)
    units = away / np.linalg.norm(away, axis=1, keepdims=True)
    expected = ((units @ units.T).sum(axis=1) - 1) / 3
    among = jax.jit(Diversity().among)
    np.testing.assert_allclose(among(jnp.asarray(images)), expected, atol=1e-6)
    np.testing.assert_array_equal(among(jnp.ones((3, 12))), 0)
    assert float(among(jnp.ones((1, 12)))[0]) == 0


@pytest.mark.parametrize(
    ("regulariser", "space", "message"),
    [
        (TotalVariation(), ImageSpace((30,)), "needs images of shape"),
        (HighFrequency(), ImageSpace((30,)), "needs images of shape"),
        (Mahalanobis(), ImageSpace((6, 5)), "needs training images"),
        (Distance(to="mean"), ImageSpace((6, 5)), "needs training images"),
    ],
)
def test_what_they_cannot_do_is_refused(regulariser, space, message):
    with pytest.raises(JaxbqError, match=message):
        regulariser.check(Reference(space))
