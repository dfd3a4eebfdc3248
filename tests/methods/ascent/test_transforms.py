from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, rotate, shift, zoom

from jaxbq.data import ImageSpace, Reference
from jaxbq.errors import JaxbqError
from jaxbq.methods.ascent import (
    AnyTransform,
    Blur,
    Blurring,
    Decay,
    Jitter,
    Noise,
    Rotate,
    Scale,
    Sphere,
    chain,
)
from jaxbq.methods.ascent.transforms import blur

apply = jax.jit(lambda transform, key, image: transform.apply(key, image))
ALL = [cls() for cls in get_args(get_args(AnyTransform)[0])]


@pytest.fixture
def image():
    rows, columns = np.mgrid[:12, :10]
    smooth = np.exp(-0.1 * ((rows - 5) ** 2 + 0.5 * (columns - 4) ** 2 + 0.3 * rows * columns / 9))
    return smooth[..., None].astype(np.float32)


@pytest.mark.parametrize("transform", ALL, ids=lambda t: t.kind)
def test_they_are_pure_functions_of_the_key(transform, image, key):
    one, two = (apply(transform, key, image) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    other = apply(transform, jax.random.fold_in(key, 5), image)
    assert one.shape == image.shape
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    "transform",
    [
        Jitter(most=0.0),
        Rotate(most=0.0),
        Scale(lowest=1.0, highest=1.0),
        Noise(deviation=0.0),
        Blur(most=0.0),
    ],
    ids=lambda t: t.kind,
)
def test_a_strength_of_nothing_changes_nothing(transform, image, key):
    np.testing.assert_allclose(apply(transform, key, image), image, atol=1e-6)


def test_jitter_shifts_by_whole_pixels_as_scipy_does(image):
    seen = set()
    for number in range(60):
        found = np.asarray(apply(Jitter(most=0.2), jax.random.key(number), image))
        matches = [
            (down, right)
            for down in range(-2, 3)
            for right in range(-2, 3)
            if np.allclose(found, shift(image, (down, right, 0), order=0, mode="nearest"))
        ]
        assert len(matches) == 1
        seen.add(matches[0])
    # Both ways in both directions, to the ends.
    assert {down for down, _ in seen} == {-2, -1, 0, 1, 2} == {right for _, right in seen}


def test_rotate_turns_as_scipy_does(image):
    angle = 10 * float(jax.random.uniform(jax.random.key(3), (), jnp.float32, -1, 1))
    found = apply(Rotate(most=10.0), jax.random.key(3), image)
    expected = rotate(image, angle, order=1, mode="nearest", reshape=False)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_scale_enlarges_about_the_centre(image):
    found = np.asarray(apply(Scale(lowest=2.0, highest=2.0), jax.random.key(0), image))
    # Sampled at centre + (position − centre) / 2: the middle of SciPy's zoom on the same grid.
    whole = zoom(image[..., 0], 2, order=1, grid_mode=True, mode="nearest")
    np.testing.assert_allclose(found[..., 0], whole[6:18, 5:15], atol=1e-5)


def test_scale_draws_its_factor_between_its_ends():
    spot = np.exp(-0.02 * ((np.mgrid[:41, :41] - 20) ** 2).sum(axis=0))[..., None]
    sums = [
        float(apply(Scale(lowest=1.0, highest=1.4), jax.random.key(number), spot).sum())
        for number in range(40)
    ]
    # Enlarged k times, a spot has k² times the area.
    factors = np.sqrt(np.array(sums) / spot.sum())
    assert factors.min() == pytest.approx(1.0, abs=0.04)
    assert factors.max() == pytest.approx(1.4, abs=0.04)


def test_noise_has_its_deviation(key):
    found = Noise(deviation=0.3).apply(key, jnp.zeros((100, 100, 1)))
    assert float(found.std()) == pytest.approx(0.3, rel=0.03)


def test_blur_is_scipys_gaussian_away_from_the_edges(rng):
    image = np.zeros((41, 43, 1), np.float32)
    image[12:29, 14:30] = rng.random((17, 16, 1))
    expected = gaussian_filter(image, (1.5, 1.5, 0), truncate=8)
    np.testing.assert_allclose(blur(jnp.asarray(image), 1.5), expected, atol=1e-5)
    constant = blur(jnp.ones((5, 6, 1)), 2.0)
    np.testing.assert_allclose(constant, 1, atol=1e-6)


def test_a_chain_goes_in_order_each_with_a_key_of_its_own(image, key):
    chosen = (Jitter(most=0.2), Noise(deviation=0.1))
    expected = chosen[1].apply(
        jax.random.fold_in(key, 1), chosen[0].apply(jax.random.fold_in(key, 0), jnp.asarray(image))
    )
    np.testing.assert_array_equal(chain(chosen, key, jnp.asarray(image)), expected)


SPAN = (jnp.asarray(0.5), jnp.asarray(2.5))
SPACE = ImageSpace((5, 6), 0.5, 2.5)


@pytest.fixture
def x(rng):
    return jnp.asarray(rng.uniform(0.5, 2.5, 30), jnp.float32)


def test_decay_goes_towards_the_lower_end(x):
    found = Decay(rate=0.25).apply((), x, jnp.asarray(0), SPAN)
    np.testing.assert_allclose(found - 0.5, 0.75 * (x - 0.5), atol=1e-6)


def test_blurring_takes_its_turn(x):
    operator = Blurring(deviation=1.0, every=3)
    state = operator.prepare(Reference(SPACE), jnp.float32)
    for step, turn in enumerate([False, False, True, False]):
        found = operator.apply(state, x, jnp.asarray(step), SPAN)
        expected = blur(x.reshape(5, 6, 1), 1.0).reshape(-1) if turn else x
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_sphere_has_its_radius(x, rng):
    images = rng.uniform(0.5, 2.5, (9, 30)).astype(np.float32)
    for operator, reference, radius in (
        (Sphere(radius=3.0), Reference(SPACE), 3),
        (Sphere(), Reference(SPACE, images), np.linalg.norm(images - 0.5, axis=1).mean()),
        (Sphere(), Reference(SPACE), 2 * 7.5**0.5),
    ):
        state = operator.prepare(reference, jnp.float32)
        found = operator.apply(state, x, jnp.asarray(0), SPAN)
        assert float(jnp.linalg.norm(found - 0.5)) == pytest.approx(radius, rel=1e-5)
    black = Sphere(radius=3.0).apply(state, jnp.full(30, 0.5), jnp.asarray(0), SPAN)
    np.testing.assert_array_equal(black, 0.5)


def test_blurring_needs_a_grid():
    with pytest.raises(JaxbqError, match="needs images of shape"):
        Blurring().check(Reference(ImageSpace((30,))))
