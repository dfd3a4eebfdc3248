"""What was once computed from a data set alone, kept in the user's cache folder."""

import contextlib
import hashlib
import json
import os
import platform
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import JaxbqError
from .archives import read_npz
from .files import make_folder, write_npz

FOLDER_VARIABLE = "JAXBQ_CACHE"
# Beside the code, rounding decides which network comes out of a training.
_PACKAGES = ("jaxbq", "jax", "jaxlib", "numpy", "optax")
_KEY = "key"
_MOST = 2**30  # bytes of one file, and of all of a kind


def cache_folder() -> Path:
    """Return the folder that the environment variable JAXBQ_CACHE names, else the system's."""
    import pooch

    return Path(os.environ.get(FOLDER_VARIABLE) or pooch.os_cache("jaxbq"))


def kept(kind: str, identity: Any, make: Callable[[], Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Return arrays from the cache; if they are not there, make them and keep them.

    What is read is bit for bit what was made. A file that is damaged or another's is made anew; a
    folder that cannot be written is no fault. Processes may ask at once: each writes a whole file.

    Args:
        kind: names a folder in the cache.
        identity: all that the arrays depend on beside the code, as JSON has it: options, and
            :func:`digest` of the data.
        make: computes the arrays by name.

    Returns:
        The arrays by name.

    Raises:
        TypeError: an array holds Python objects, or its name is taken by the cache.
    """
    versions = {name: version_of(name) for name in _PACKAGES}
    whole = [kind, identity, versions, platform.machine()]
    key = hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()
    path = cache_folder() / kind / f"{key}.npz"
    found = _read(path, key)
    if found is None:
        found = {name: _plain(name, values) for name, values in make().items()}
        with contextlib.suppress(JaxbqError, OSError):
            make_folder(path.parent)
            write_npz(path, {**found, _KEY: np.array(key)})
            trim(path.parent, _MOST)
    return found


def trim(root: Path, most: int) -> None:
    """Remove the files that were not used for longest, if all take more than ``most`` bytes."""
    found = []
    for path in root.rglob("*"):
        # Another process may do the same.
        with contextlib.suppress(OSError):
            about = path.lstat()
            # Where the system notes no reading, by age.
            found.append((max(about.st_atime, about.st_mtime), about.st_size, path))
    total = sum(size for _, size, _ in found)
    if total <= most:
        return
    for _, size, path in sorted(found):
        if total <= 3 * most // 4:
            break
        # Small ones hold what was measured here; anew it could be found otherwise.
        if path.suffix != ".json" and path.is_file():
            with contextlib.suppress(OSError):
                path.unlink()
            total -= size


def digest(*arrays: np.ndarray) -> str:
    """Compute the sha256 of arrays: their types, shapes and values."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.dtype.str}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def _read(path: Path, key: str) -> dict[str, np.ndarray] | None:
    """Read a file of the cache; None if there is none, or none that :func:`kept` wrote for this."""
    try:
        arrays = read_npz(path, _MOST)
    except JaxbqError:
        return None
    own = arrays.pop(_KEY, None)
    return arrays if own is not None and str(own) == key else None


def _plain(name: str, values: Any) -> np.ndarray:
    array = np.array(values, order="C")
    if array.dtype.hasobject or name == _KEY:
        raise TypeError(f"cannot keep {name!r}, of type {array.dtype}, in the cache")
    return array


def version_of(package: str) -> str | None:
    """Look up which version of a package is installed; None where it is not."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
