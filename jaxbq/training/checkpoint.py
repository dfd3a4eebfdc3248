"""Checkpoints: a training that was stopped goes on after its last kept epoch, to the same bits."""

import dataclasses
import functools
import hashlib
import json
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from ..data import Dataset
from ..errors import JaxbqError
from ..runtime.files import load_npz, remove, write_npz
from .losses import EpochMetrics

# Seconds between checkpoints: what a stop may cost at most. Each is written to the disk, which
# takes longer than an epoch of a small network.
EVERY_S = 5.0


class Progress(NamedTuple):
    """Where a training stands between two epochs. All keys come from an epoch's number.

    Args:
        params: parameters.
        state: of the optimiser.
        histories: metrics of the epochs done, of every network that is trained together.
    """

    params: Any
    state: Any
    histories: tuple[tuple[EpochMetrics, ...], ...]


class Checkpoint:
    """A file that keeps where a training stands.

    Args:
        path: of the file, an npz.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last = time.monotonic()
        self._fingerprint: Callable[[], str] = str

    def restore(self, begin: Progress, fingerprint: Callable[[], str]) -> Progress:
        """Read where the training stood; to be called before :meth:`keep`.

        Args:
            begin: where it begins; what is kept has the same structure.
            fingerprint: computes that of the training, see :func:`fingerprint_of`, once it is
                needed; short trainings never need it.

        Returns:
            What was kept, or ``begin`` where there is no file.

        Raises:
            JaxbqError: the file is damaged, or of another training.
        """
        self._fingerprint = functools.cache(fingerprint)
        if not self.path.exists():
            return begin
        try:
            kept = _unpack(load_npz(self.path), begin, self._fingerprint())
        # What zipfile and NumPy raise on damaged files is no closed list.
        except Exception as fault:
            reason = (str(fault).splitlines() or [type(fault).__name__])[0]
            raise JaxbqError(
                f"{self.path}: training cannot go on from it ({reason}); delete it and run again"
            ) from None
        return kept

    def keep(self, progress: Progress, *, at_once: bool = False) -> None:
        """Write where the training stands, if the last time is long enough ago or ``at_once``.

        Raises:
            JaxbqError: the file cannot be written.
        """
        if at_once or time.monotonic() - self._last >= EVERY_S:
            write_npz(self.path, _pack(progress, self._fingerprint()))
            self._last = time.monotonic()

    def remove(self) -> None:
        """Remove the file, if there is one: what it was for is done."""
        remove(self.path)


def fingerprint_of(
    what: Any,
    keys: Sequence[Array],
    params: Any,
    data: Dataset,
    labels: Int[np.ndarray, "*networks train"],
) -> str:
    """Sum up what decides a training, beside this code: no other may go on from its checkpoint.

    Args:
        what: options, whose text says all of them.
        keys: of its networks.
        params: that it begins with.
        data: what it is trained and tested on.
        labels: of the training images.
    """
    arrays = [data.train_images, labels, data.test_images, data.test_labels]
    arrays += map(np.asarray, jax.tree.leaves(params))
    sums = [zlib.crc32(np.ascontiguousarray(array).data) for array in arrays]
    numbers = [np.asarray(jax.random.key_data(key)).tolist() for key in keys]
    return hashlib.sha256(repr((what, numbers, sums)).encode()).hexdigest()


def _pack(progress: Progress, fingerprint: str) -> dict[str, np.ndarray]:
    leaves = [_plain(leaf) for leaf in jax.tree.leaves((progress.params, progress.state))]
    rows = [[dataclasses.astuple(epoch) for epoch in own] for own in progress.histories]
    about = {"fingerprint": fingerprint, "types": [str(leaf.dtype) for leaf in leaves]}
    return {
        "about": np.array(json.dumps(about)),
        "histories": np.array(rows, np.float64),
        **{str(number): leaf for number, leaf in enumerate(leaves)},
    }


def _unpack(arrays: dict[str, np.ndarray], begin: Progress, fingerprint: str) -> Progress:
    """Put arrays where those of ``begin`` are; raise ValueError where they do not fit."""
    about = json.loads(str(arrays["about"]))
    if about["fingerprint"] != fingerprint:
        raise ValueError("it is of a training with other options or data")
    leaves, structure = jax.tree.flatten((begin.params, begin.state))
    if len(about["types"]) != len(leaves):
        raise ValueError(f"it has {len(about['types'])} arrays, the training {len(leaves)}")
    found = [
        _like(leaf, arrays[str(number)], about["types"][number])
        for number, leaf in enumerate(leaves)
    ]
    params, state = jax.tree.unflatten(structure, found)
    histories = tuple(
        tuple(EpochMetrics(int(row[0]), *row[1:]) for row in own)
        for own in arrays["histories"].tolist()
    )
    return Progress(params, state, histories)


def _plain(leaf: Any) -> np.ndarray:
    """Make any leaf an array that NumPy can write: a random key its numbers."""
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _like(leaf: Any, array: np.ndarray, dtype: str) -> Array:
    """Make an array the leaf that it was written from."""
    wanted = _plain(leaf)
    if array.dtype.kind == "V" and array.itemsize == wanted.itemsize:
        array = array.view(wanted.dtype)  # bfloat16, which a file of NumPy's has no name for
    if (array.shape, dtype, str(array.dtype)) != (wanted.shape, *[str(wanted.dtype)] * 2):
        raise ValueError(f"it has {dtype}{array.shape} for {wanted.dtype}{wanted.shape}")
    if _is_key(leaf):
        return jax.random.wrap_key_data(jnp.asarray(array), impl=jax.random.key_impl(leaf))
    return jnp.asarray(array)


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
