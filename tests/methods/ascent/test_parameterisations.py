from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import problems
import pytest

from jaxbq.data import ImageSpace, Reference, grid_of
from jaxbq.errors import JaxbqError
from jaxbq.methods.ascent import (
    AnyParameterisation,
    AutoencoderCode,
    FixedSpectrum,
    Fourier,
    LowResolution,
    PrincipalComponents,
    SigmoidPixels,
    Whitened,
)
from jaxbq.training import Autoencoder

QUICK = {
    PrincipalComponents: {"components": 9},
    AutoencoderCode: {"autoencoder": Autoencoder(code=5, hidden=(8,), epochs=1)},
}
ALL = [cls(**QUICK.get(cls, {})) for cls in get_args(get_args(AnyParameterisation)[0])]
# An autoencoder's image is not its own round trip: nothing makes it a projection.
EXACT = [each for each in ALL if not isinstance(each, AutoencoderCode)]
WHOLE = ("pixels", "sigmoid", "fourier", "whitened")  # these can give every image


@pytest.fixture(params=[(6, 5), (7, 8), (4, 6, 3)], ids=str)
def reference(request, rng):
    shape = request.param
    images = rng.uniform(0.05, 0.95, (60, int(np.prod(shape)))).astype(np.float32)
    return Reference(ImageSpace(shape), images)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("parameterisation", EXACT, ids=lambda p: p.kind)
def test_a_known_image_survives_the_round_trip(parameterisation, reference, rng):
    parameterisation.check(reference)
    state = parameterisation.prepare(reference, jnp.float64)
    image = jnp.asarray(rng.uniform(0.1, 0.9, reference.space.pixels))
    u = parameterisation.init(state, image)
    again = parameterisation.to_image(state, u)
    if parameterisation.kind not in WHOLE:
        # The nearest image that it can give; that one is its own round trip.
        image, again = again, parameterisation.to_image(state, parameterisation.init(state, again))
    np.testing.assert_allclose(again, image, atol=1e-9)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("parameterisation", ALL, ids=lambda p: p.kind)
def test_gradients_agree_with_finite_differences(parameterisation, reference, rng):
    state = parameterisation.prepare(reference, jnp.float64)
    u = parameterisation.init(state, jnp.asarray(rng.uniform(0.1, 0.9, reference.space.pixels)))
    weights = jnp.asarray(rng.normal(size=reference.space.pixels))
    problems.check_gradient(lambda u: weights @ parameterisation.to_image(state, u), u)


@pytest.mark.usefixtures("x64")
def test_whitened_has_the_moments_of_the_training_images(reference, rng):
    state = Whitened(shrinkage=0.1).prepare(reference, jnp.float64)
    draw = jnp.asarray(rng.normal(size=(40_000, reference.space.pixels)))
    images = np.asarray(jax.vmap(lambda u: Whitened().to_image(state, u))(draw))
    expected = np.asarray(reference.moments.power(0.1, 1.0))
    # Sampling error of a covariance of 40,000 draws: about its largest entry / 200, twice over.
    np.testing.assert_allclose(np.cov(images.T), expected, atol=0.03 * expected.max())
    np.testing.assert_allclose(images.mean(axis=0), reference.moments.mean, atol=0.01)


@pytest.mark.usefixtures("x64")
def test_principal_components_are_the_best_approximation(reference):
    basis = PrincipalComponents(components=9)
    state = basis.prepare(reference, jnp.float64)
    images = reference.images.astype(np.float64)
    again = jax.vmap(lambda x: basis.to_image(state, basis.init(state, x)))(jnp.asarray(images))
    # Eckart and Young: what is left are the other singular values.
    left = np.linalg.svd(images - images.mean(axis=0), compute_uv=False)[9:]
    np.testing.assert_allclose(np.square(images - again).sum(), np.square(left).sum())


@pytest.mark.usefixtures("x64")
def test_fixed_spectrum_keeps_the_magnitudes(reference, rng):
    state = FixedSpectrum().prepare(reference, jnp.float64)
    grid = grid_of(reference.space, "")
    spectra = np.abs(np.fft.rfft2(reference.images.reshape(-1, *grid.shape), axes=(1, 2)))
    np.testing.assert_allclose(state[0], spectra.mean(axis=0), rtol=1e-6)
    u = FixedSpectrum().init(state, jnp.asarray(rng.random(reference.space.pixels)))
    image = np.asarray(FixedSpectrum().to_image(state, u)).reshape(grid.shape)
    np.testing.assert_allclose(np.abs(np.fft.rfft2(image, axes=(0, 1))), state[0], rtol=1e-6)


@pytest.mark.usefixtures("x64")
def test_fourier_is_the_inverse_transform_of_scaled_coefficients(reference, rng):
    height, width, channels = grid_of(reference.space, "").shape
    state = Fourier(decay=1.0).prepare(reference, jnp.float64)
    real, imaginary = rng.normal(size=(2, height, width // 2 + 1, channels))
    down, right = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)
    frequency = np.maximum(np.hypot(down, right), 1 / max(height, width))[..., None]
    spectrum = (real + 1j * imaginary) * np.sqrt(height * width) / frequency
    expected = 0.5 + np.fft.irfft2(spectrum, (height, width), axes=(0, 1))
    found = Fourier().to_image(state, jnp.stack([real, imaginary]))
    np.testing.assert_allclose(np.reshape(found, expected.shape), expected, atol=1e-9)


@pytest.mark.usefixtures("x64")
def test_fourier_moves_low_frequencies_faster(reference):
    flat, steep = (Fourier(decay=d).prepare(reference, jnp.float64)[0] for d in (0.0, 1.0))
    frequency = grid_of(reference.space, "").frequencies()
    assert np.ptp(flat) < 1e-9
    order = np.argsort(frequency.ravel())
    assert (np.diff(np.asarray(steep).ravel()[order]) <= 1e-9).all()


def test_low_resolution_draws_nothing_finer(reference):
    basis = LowResolution(factor=2)
    state = basis.prepare(reference, jnp.float32)
    u = basis.init(state, jnp.zeros(reference.space.pixels))
    assert u.shape[:2] == (-(-reference.space.shape[0] // 2), -(-reference.space.shape[1] // 2))
    constant = basis.to_image(state, jnp.ones_like(u))
    np.testing.assert_allclose(constant, 1, atol=1e-6)


def test_sigmoid_pixels_are_inside_whatever_u_is(reference):
    state = SigmoidPixels().prepare(reference, jnp.float32)
    image = SigmoidPixels().to_image(state, jnp.asarray([-1e9, -3.0, 0.0, 3.0, 1e9]))
    assert image.min() >= 0
    assert image.max() <= 1


@pytest.mark.parametrize(
    ("parameterisation", "shape", "message"),
    [
        (Fourier(), (30,), r"needs images of shape \(height, width\)"),
        (Fourier(), (2, 5, 6), r"needs images of shape \(height, width\)"),
        (LowResolution(factor=4), (6, 5), "factor 4 leaves fewer than two"),
        (Whitened(), (6, 5), "needs training images"),
        (FixedSpectrum(), (6, 5), "needs training images"),
    ],
)
def test_what_they_cannot_do_is_refused(parameterisation, shape, message):
    with pytest.raises(JaxbqError, match=message):
        parameterisation.check(Reference(ImageSpace(shape)))


def test_more_components_than_there_are_is_refused(reference):
    with pytest.raises(JaxbqError, match="components, not 500"):
        PrincipalComponents(components=500).check(reference)
