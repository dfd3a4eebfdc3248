"""What a result depends on beside its config."""

import hashlib
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..data import Dataset

_PACKAGES = ("jaxbq", "jax", "jaxlib", "optax", "numpy")


def environment(precision: str, data: Dataset) -> dict[str, Any]:
    """Describe versions, device, precision, the data's checksum and the commit, as plain data."""
    device = jax.devices()[0]
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "device": {"platform": device.platform, "kind": device.device_kind},
        "precision": precision,
        "data_sha256": data_checksum(data),
        "commit": _commit(),
    }


def data_checksum(data: Dataset) -> str:
    """Compute the sha256 of all images and labels as the network sees them."""
    digest = hashlib.sha256()
    for array in (data.train_images, data.train_labels, data.test_images, data.test_labels):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Commit of the checkout that this code lies in, None outside one."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
