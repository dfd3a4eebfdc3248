"""Networks as NumPy arrays in files: ``.npz``, ``.npy``, or a folder of ``.npy`` files."""

from pathlib import Path

import numpy as np

from ...errors import JaxbqError
from ...runtime.archives import read_npy, read_npz
from .chains import Orientation, arrange
from .found import MOST_BYTES, Found


def read_numpy(path: Path, orientation: Orientation | None, inputs: int | None) -> Found:
    """Read weights by name: the book's ``wih`` and ``who``, or ``W0, b0, W1, b1`` and the like.

    Raises:
        JaxbqError: the file is damaged, too large, or holds no chain of layers.
    """
    if path.is_dir():
        files = sorted(path.glob("*.npy"))
        if not files:
            raise JaxbqError(f"{path}: a folder without .npy files; name a network file")
        arrays: dict[str, np.ndarray] = {}
        for file in files:
            left = MOST_BYTES - sum(array.nbytes for array in arrays.values())
            arrays[file.stem] = read_npy(file, left)
    elif path.suffix == ".npy":
        arrays = {path.stem: read_npy(path, MOST_BYTES)}
    else:
        arrays = read_npz(path, MOST_BYTES)
    layers = arrange(
        arrays, str(path), orientation=orientation, inputs=inputs, ordered=not path.is_dir()
    )
    return Found("NumPy arrays", layers)
