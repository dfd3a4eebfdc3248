"""Mush: pictures that show no class, made by kind from the images of a data set."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int
from scipy.special import expit, logit

from ..data import Grid, ImageSpace, grid_of
from ..errors import JaxbqError

_HIDDEN = 64  # units of the networks that have learnt nothing
_STEPS = 0, 0, 50, 100, 200  # of training them on permuted labels; 0: their weights are random
_A_TURN = 32  # pictures that a method makes at once
_SHOWN = 2000  # images that such a network is trained on, at most


@dataclass(frozen=True, eq=False)
class Source:
    """What mush is made of.

    Args:
        images: training images as shares of the pixel range.
        labels: their classes.
        grid: how their pixels lie.
        random: what is drawn comes from it.
    """

    images: Float32[np.ndarray, "n pixels"]
    labels: Int[np.ndarray, " n"]
    grid: Grid
    random: np.random.Generator

    def draw(self, kind: str, number: int) -> Float32[np.ndarray, "number pixels"]:
        """Make pictures of a kind, as shares of the pixel range."""
        made = KINDS[kind](self, number)
        return np.clip(made, 0, 1).astype(np.float32).reshape(number, -1)

    def some(self, number: int) -> np.ndarray:
        """Choose images."""
        chosen = self.random.integers(0, len(self.images), number)
        return self.images[chosen].reshape(-1, *self.grid.shape)

    def two(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Choose pairs of images, of different classes where there are several."""
        first, second = self.random.integers(0, len(self.images), (2, number))
        for _ in range(20):
            alike = self.labels[first] == self.labels[second]
            second = np.where(alike, self.random.permutation(second), second)
        images = self.images.reshape(-1, *self.grid.shape)
        return images[first], images[second]

    def between(self, low: float, high: float, number: int) -> np.ndarray:
        """Draw a number for every picture."""
        return self.random.uniform(low, high, (number, 1, 1, 1)).astype(np.float32)

    def white(self, number: int) -> np.ndarray:
        """Draw white noise of deviation 1."""
        return self.random.standard_normal((number, *self.grid.shape), np.float32)

    def filtered(self, amplitudes: np.ndarray, number: int) -> np.ndarray:
        """Draw noise that has these amplitudes, and random phases."""
        phases = np.fft.rfft2(self.white(number), axes=(1, 2))
        spectrum = amplitudes * phases / np.maximum(np.abs(phases), 1e-9)
        return np.fft.irfft2(spectrum, s=self.grid.sides, axes=(1, 2)).astype(np.float32)

    def dressed(self, pictures: np.ndarray) -> np.ndarray:
        """Give pictures mean and deviation of images, or the very pixel values of images."""
        like = self.some(len(pictures))
        flat = pictures.reshape(len(pictures), -1)
        values = np.empty_like(flat)
        ordered = np.sort(like.reshape(flat.shape), axis=1)
        np.put_along_axis(values, flat.argsort(axis=1), ordered, axis=1)
        moments = _unit(pictures) * _over(like, np.std) + _over(like, np.mean)
        return np.where(self.coin(flat), values.reshape(like.shape), moments)

    def coin(self, rows: np.ndarray) -> np.ndarray:
        """Toss a coin for every picture."""
        return self.random.random((len(rows), 1, 1, 1)) < 0.5


def source(
    images: np.ndarray, labels: np.ndarray, space: ImageSpace, random: np.random.Generator
) -> Source:
    """Make a source; pixels on no grid are taken for a strip."""
    try:
        grid = grid_of(space, "mush")
    except JaxbqError:
        grid = Grid(1, space.pixels, 1)
    return Source(images, labels, grid, random)


def _over(pictures: np.ndarray, what: Callable[..., np.ndarray]) -> np.ndarray:
    return what(pictures, axis=(1, 2, 3), keepdims=True)


def _unit(pictures: np.ndarray) -> np.ndarray:
    centred = pictures - _over(pictures, np.mean)
    return centred / np.maximum(_over(centred, np.std), 1e-6)


def _axes(of: Source) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = (np.linspace(-1, 1, side, dtype=np.float32) for side in of.grid.sides)
    return rows[:, None, None], columns[:, None]


def _flat(of: Source, number: int) -> np.ndarray:
    """One level, or a ramp; nearly."""
    rows, columns = _axes(of)
    ramp = rows * of.between(-1, 1, number) + columns * of.between(-1, 1, number)
    # Often one of the ends of the range, to which the pictures are clipped.
    level = of.random.uniform(-0.3, 1.3, (number, 1, 1, of.grid.channels))
    noise = of.between(0, 0.1, number) * of.white(number) * of.coin(ramp)
    return level + ramp * of.coin(ramp) + noise


def _noise(of: Source, number: int) -> np.ndarray:
    """White noise of any brightness and strength, single dots, or an image's pixels shuffled."""
    noise = of.white(number)
    dots = np.abs(noise) * (of.random.random(noise.shape) < of.between(0.02, 0.5, number))
    wide = of.between(0, 1, number) + of.between(0.05, 0.6, number) * noise
    which = of.random.integers(0, 3, (number, 1, 1, 1))
    return np.choose(which, [wide, dots, of.dressed(noise)])


def _spectrum(of: Source, number: int) -> np.ndarray:
    """Noise of the images' mean spectrum."""
    power = np.abs(np.fft.rfft2(of.some(200), axes=(1, 2))) ** 2
    return of.dressed(of.filtered(np.sqrt(power.mean(axis=0)), number))


def _phases(of: Source, number: int) -> np.ndarray:
    """Scramble the phases of images."""
    return of.dressed(of.filtered(np.abs(np.fft.rfft2(of.some(number), axes=(1, 2))), number))


def _blobs(of: Source, number: int) -> np.ndarray:
    """Smooth noise, soft or nearly black and white."""
    width = of.between(0.03, 0.2, number)
    smooth = of.filtered(np.exp(-0.5 * (of.grid.frequencies()[..., None] / width) ** 2), number)
    soft = expit(of.between(1, 12, number) * (_unit(smooth) - of.between(-0.5, 1.5, number)))
    return np.where(of.coin(soft), soft, of.dressed(smooth))


def _patches(of: Source, number: int) -> np.ndarray:
    """Cut images into three to seven parts a side, and shuffle these."""
    made = of.some(number).copy()
    for rows, share in zip(np.array_split(np.arange(number), 4), (3, 4, 5, 7), strict=True):
        tall, wide = (max(side // share, 1) for side in of.grid.sides)
        down, across = of.grid.height // tall, of.grid.width // wide
        part = made[rows, : down * tall, : across * wide]
        cut = part.reshape(-1, down, tall, across, wide, of.grid.channels)
        cut = cut.swapaxes(2, 3).reshape(len(part), down * across, -1)
        order = of.random.random(cut.shape[:2]).argsort(axis=1)
        cut = np.take_along_axis(cut, order[..., None], axis=1)
        cut = cut.reshape(-1, down, across, tall, wide, of.grid.channels).swapaxes(2, 3)
        made[rows, : down * tall, : across * wide] = cut.reshape(part.shape)
    return made


def _averages(of: Source, number: int) -> np.ndarray:
    """Average two images of different classes, or four."""
    (a, b), (c, d) = of.two(number), of.two(number)
    share = of.between(0.4, 0.6, number)
    four = (a + b + c + d) * of.between(0.25, 0.5, number)
    return np.where(of.coin(a), share * a + (1 - share) * b, four)


def _maxima(of: Source, number: int) -> np.ndarray:
    """Two or three images over each other, of every pixel the largest."""
    (a, b), (c, _) = of.two(number), of.two(number)
    return np.maximum(np.maximum(a, b), np.where(of.coin(c), c, 0))


def _halves(of: Source, number: int) -> np.ndarray:
    """Halves of images of different classes, each mirrored or not."""
    rows, columns = _axes(of)
    angle = of.between(0, 2 * np.pi, number)
    side = rows * np.sin(angle) + columns * np.cos(angle) > of.between(-0.15, 0.15, number)
    one, other = of.two(number)
    for axis in (1, 2):
        one = np.where(of.coin(one), np.flip(one, axis), one)
        other = np.where(of.coin(other), np.flip(other, axis), other)
    return np.where(side, one, other)


def _traces(of: Source, number: int) -> np.ndarray:
    """Hide the trace of an image, light or dark, in noise on any ground."""
    smooth = of.filtered(np.abs(np.fft.rfft2(of.some(number), axes=(1, 2))), number)
    noise = np.where(of.coin(smooth), _unit(smooth), of.white(number))
    ground = of.between(0, 0.9, number) + of.between(0, 0.4, number) * noise
    sign = np.where(of.random.random((number, 1, 1, 1)) < 0.7, 1, -1)
    return ground + sign * of.between(0.05, 0.4, number) * of.some(number)


def _pictures(of: Source, number: int) -> np.ndarray:
    """Pictures as methods return for networks with random weights and with permuted labels.

    Transposed weights, pseudo-inverses and ascents, written for one hidden layer of sigmoids.
    """
    networks = [_ignorant(of, steps) for steps in _STEPS]
    methods = _transposed, _inverted, _ascended
    made = []
    for turn in range(-(-number // _A_TURN)):
        w, v = networks[turn % len(networks)]
        wanted = of.random.uniform(0.1, 0.6, (_A_TURN, v.shape[1])) ** 4
        wanted[np.arange(_A_TURN), of.random.integers(0, v.shape[1], _A_TURN)] = 0.99
        made.append(methods[turn // len(networks) % 3](of, w, v, logit(wanted).astype(np.float32)))
    return np.concatenate(made)[:number].reshape(-1, *of.grid.shape)


def _ignorant(of: Source, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw weights, and train them on permuted labels."""
    random, pixels, classes = of.random, of.images.shape[1], int(of.labels.max()) + 1
    w = (of.random.standard_normal((pixels, _HIDDEN)) * pixels**-0.5).astype(np.float32)
    v = (of.random.standard_normal((_HIDDEN, classes)) * _HIDDEN**-0.5).astype(np.float32)
    shown = random.permutation(len(of.images))[:_SHOWN]
    answers = np.eye(classes, dtype=np.float32)[random.permutation(of.labels[shown])]
    past = [np.zeros_like(v), np.zeros_like(w)]
    for _ in range(steps):
        at = random.integers(0, len(shown), 100)
        x = of.images[shown[at]]
        a = expit(x @ w)
        error = expit(a @ v) - answers[at]
        slopes = a.T @ error, x.T @ (error @ v.T * a * (1 - a))
        # Sizes of steps as of RMSprop.
        for weights, slope, power in zip((v, w), slopes, past, strict=True):
            power[:] += 0.05 * (slope * slope - power)
            weights[:] -= 0.01 * slope / (np.sqrt(power) + 1e-5)
    return w, v


def _transposed(of: Source, w: np.ndarray, v: np.ndarray, z: np.ndarray) -> np.ndarray:
    return _rescaled(logit(0.01 + 0.98 * _rescaled(z @ v.T)) @ w.T)


def _inverted(of: Source, w: np.ndarray, v: np.ndarray, z: np.ndarray) -> np.ndarray:
    hidden = logit(np.clip(z @ np.linalg.pinv(v), 0.01, 0.99))
    return hidden @ np.linalg.pinv(w)


def _ascended(of: Source, w: np.ndarray, v: np.ndarray, z: np.ndarray) -> np.ndarray:
    x = of.some(len(z)).reshape(len(z), -1) * of.between(0, 0.3, len(z))[:, 0, 0]
    length = of.between(0.1, 0.8, len(z))[:, 0, 0]
    for _ in range(20):
        a = expit(x @ w)
        slope = ((z > 0) @ v.T * a * (1 - a)) @ w.T
        norm = np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-12)
        x = np.clip(x + length * slope / norm, 0, 1)
    return x


def _rescaled(rows: np.ndarray) -> np.ndarray:
    low = rows.min(axis=1, keepdims=True)
    return (rows - low) / np.maximum(rows.max(axis=1, keepdims=True) - low, 1e-9)


KINDS: dict[str, Callable[[Source, int], np.ndarray]] = {
    "flat": _flat,
    "noise": _noise,
    "spectrum": _spectrum,
    "phases": _phases,
    "blobs": _blobs,
    "patches": _patches,
    "averages": _averages,
    "maxima": _maxima,
    "halves": _halves,
    "traces": _traces,
    "pictures": _pictures,
}
"""The kinds of mush, by name."""
HARD = "averages", "maxima", "halves"
"""Kinds that are nearest to images; judges are shown more of them."""
