"""Small data, tiny networks with known answers, and the book's algorithms in plain NumPy."""

import gzip
import struct
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
from scipy.special import expit, logit

from jaxbq.data import Dataset
from jaxbq.network.mlp import MLP, Layer


def striped_bytes(per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images 6 × 5 of three classes: a bright row, a bright column, a bright corner block."""
    rng = np.random.default_rng(seed)
    labels = np.tile(np.arange(3, dtype=np.uint8), per_class)
    images = rng.integers(0, 60, (len(labels), 6, 5), dtype=np.uint8)
    images[labels == 0, 2, :] += 190
    images[labels == 1, :, 3] += 190
    images[labels == 2, 3:, :2] += 190
    return images, labels


def striped_dataset(book_scaling: bool = False) -> Dataset:
    return Dataset.from_bytes(striped_bytes(40, 1), striped_bytes(10, 2), book_scaling=book_scaling)


def write_idx(path: Path, array: np.ndarray, code: int = 0x08) -> None:
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    content = header + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_idx_folder(folder: Path, suffix: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split, (images, labels) in {
        "train": striped_bytes(40, 1),
        "t10k": striped_bytes(10, 2),
    }.items():
        write_idx(folder / f"{split}-images-idx3-ubyte{suffix}", images)
        write_idx(folder / f"{split}-labels-idx1-ubyte{suffix}", labels)
    return folder


def write_image_folder(folder: Path, per_class: int) -> Path:
    """Images 9 × 6 of four classes, a bright row in each, as PNG files, a folder a class."""
    rng = np.random.default_rng(per_class)
    for label, name in enumerate(("2", "9", "10", "arch")):
        (folder / name).mkdir(parents=True)
        for number in range(per_class):
            image = rng.integers(0, 60, (9, 6), dtype=np.uint8)
            image[2 * label] += 190
            Image.fromarray(image).save(folder / name / f"{number}.png")
    return folder


def random_network(sizes, rng, hidden="sigmoid", output="sigmoid", bias=True, scale=1.0):
    """A network with random float64 weights; jnp turns them into float32 without x64."""
    model = MLP(tuple(sizes), hidden, output, bias)
    params = tuple(
        Layer(
            jnp.asarray(rng.normal(0, scale / n**0.5, (n, m))),
            jnp.asarray(rng.normal(0, 0.3, m)) if bias else None,
        )
        for n, m in model.shapes
    )
    return model, params


def book_backquery(weights: list[np.ndarray], target: np.ndarray) -> np.ndarray:
    """The book's back-query of one target, in float64; weights as the book has them, out × in."""
    signal = np.array(target, float, ndmin=2).T
    for weight in reversed(weights):
        signal = weight.T @ logit(signal)
        signal -= signal.min()
        signal /= signal.max()
        signal *= 0.98
        signal += 0.01
    return signal[:, 0]


def book_training(weights, images, codes, rate):
    """The book's training loop, one image after another; weights out × in, changed in place."""
    wih, who = weights
    for image, code in zip(images, codes, strict=True):
        inputs, targets = image[:, None], code[:, None]
        hidden = expit(wih @ inputs)
        final = expit(who @ hidden)
        output_errors = targets - final
        hidden_errors = who.T @ output_errors
        who += rate * (output_errors * final * (1 - final)) @ hidden.T
        wih += rate * (hidden_errors * hidden * (1 - hidden)) @ inputs.T


def check_gradient(function, at, eps=1e-5, rtol=1e-5):
    """Compare every entry of a gradient with central differences, in one program; float64."""
    at = jnp.asarray(at)
    assert at.dtype == jnp.float64

    @jax.jit
    def both(at):
        steps = eps * jnp.eye(at.size).reshape(-1, *at.shape)
        ahead, behind = (jax.vmap(function)(at[None] + sign * steps) for sign in (1, -1))
        return jax.grad(function)(at), (ahead - behind) / (2 * eps)

    gradient, expected = map(np.ravel, both(at))
    # Rounding of the differences: of the size of the largest.
    np.testing.assert_allclose(gradient, expected, rtol=rtol, atol=rtol * np.abs(expected).max())
