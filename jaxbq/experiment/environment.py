"""What a result depends on beside its config."""

import functools
import hashlib
import platform
import subprocess
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..data import Dataset
from ..network.files import NetworkFile
from ..runtime.cache import version_of
from .config import Experiment, NetworkConfig

_PACKAGES = ("jaxbq", "jax", "jaxlib", "optax", "numpy")


def environment(precision: str) -> dict[str, Any]:
    """Describe versions, device, precision and the commit, as plain data."""
    device = jax.local_devices()[0]
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": {name: version_of(name) for name in _PACKAGES},
        "device": {
            "platform": device.platform,
            "kind": device.device_kind,
            "count": jax.local_device_count(),
        },
        "precision": precision,
        "commit": _commit(),
    }


def data_checksum(data: Dataset) -> str:
    """Compute the sha256 of all images and labels as the network sees them."""
    digest = hashlib.sha256()
    for array in (data.train_images, data.train_labels, data.test_images, data.test_labels):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def checksums(experiment: Experiment, data: Dataset) -> dict[str, str]:
    """Sum up the files that a result depends on beside its config: data, and a network's."""
    found = {"data_sha256": data_checksum(data)}
    if not isinstance(experiment.network, NetworkConfig):
        found["network_sha256"] = network_checksum(experiment.network.open(data))
    return found


@functools.cache
def versions() -> dict[str, str]:
    """Name what has to be the same wherever cells of one run are computed.

    jaxbq's version has a digest of its code, since checkouts of one version differ.
    """
    code = hashlib.sha256()
    root = Path(__file__).resolve().parents[1]
    for path in sorted(root.rglob("*.py")):
        code.update(path.read_bytes())
    found = {name: str(version_of(name)) for name in ("jaxbq", "jax", "jaxlib")}
    found["jaxbq"] += f" (code {code.hexdigest()[:8]})"
    return found | {"Python": ".".join(platform.python_version_tuple()[:2])}


def network_checksum(network: NetworkFile) -> str:
    """Compute the sha256 of a network's specification and parameters."""
    digest = hashlib.sha256(repr(network.model).encode())
    for leaf in jax.tree.leaves(network.params):
        digest.update(np.ascontiguousarray(leaf).data)
    return digest.hexdigest()


def _commit() -> str | None:
    """Commit of the checkout that this code lies in; None where it is installed otherwise."""
    here = Path(__file__).resolve().parents[2]
    try:
        top = _git(here, "rev-parse", "--show-toplevel")
        # An environment inside somebody's own repository is not a checkout of jaxbq.
        if Path(top).resolve() != here:
            return None
        changed = "-changed" if _git(here, "status", "--porcelain", "--untracked-files=no") else ""
        return _git(here, "rev-parse", "HEAD") + changed
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    answer = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=5, check=True
    )
    return answer.stdout.strip()
