"""A certificate as a value, a file and a sentence."""

import dataclasses
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import JaxbqError
from ..network.mlp import MLP, Params
from ..runtime.archives import read_npz
from ..runtime.files import write_npz
from .maxima import shape_of
from .verifier import Claim, Tree, Weights, contains, proven, reached

OBJECTIVES = ("logit", "margin", "difference")
NORMS = ("linf", "l2")
_MOST_BYTES = 2**31
_FORMAT = 2
_ARRAYS = {
    "centre": (np.float64, 1),
    "image": (np.float64, 1),
    "unit": (np.int32, 1),
    "at": (np.float64, 1),
    "multipliers": (np.float64, 2),
    "ball": (np.float64, 1),
    "rivals": (np.float64, 2),
    "curve": (np.int32, 1),
    "bend": (np.float64, 2),
    "spread": (np.float64, 2),
    "point": (np.float64, 2),
}
_SHOWN = {"linf": "L∞", "l2": "L2"}


@dataclasses.dataclass(frozen=True, eq=False)
class Certificate:
    """A picture, and a proof that no image of a set makes the network answer much more.

    Args:
        claim: what is bounded, over which images.
        network: digest of the network's weights.
        tree: the proof.
        image: the best picture found, shape (pixels,).
        found: the objective there, rounded down: at least this much is reached.
        proven: bound of the objective, rounded up: no image of the set exceeds it.
    """

    claim: Claim
    network: str
    tree: Tree
    image: np.ndarray
    found: float
    proven: float

    @property
    def gap(self) -> float:
        """(proven − found) / |proven|."""
        return (self.proven - self.found) / max(abs(self.proven), 1e-300)

    @property
    def leaves(self) -> int:
        """Number of parts that the set was divided into."""
        return len(self.tree.multipliers)

    @property
    def sentence(self) -> str:
        """What is found and proven, in plain words; numbers are rounded to the safe side."""
        claim, between = self.claim, self.proven - self.found
        digits = 2 if between <= 0 else min(max(2, 1 - math.floor(math.log10(between))), 9)
        unit = 10**digits
        where = "in the pixel range"
        if claim.norm:
            where = f"within {claim.radius:g} ({_SHOWN[claim.norm]}) of the image"
        text = (
            f"Found {math.floor(self.found * unit) / unit:.{digits}f}. "
            f"Nothing {where} exceeds {math.ceil(self.proven * unit) / unit:.{digits}f}"
        )
        if self.found > 0:
            share = math.floor(100 * self.found / self.proven)
            return f"{text}, so this picture reaches at least {share} % of what is possible."
        if self.proven < 0 and claim.objective == "margin":
            return f"{text}, so no image there is read as the target."
        return f"{text}; between the two nothing is proven."

    def save(self, path: Path | str) -> None:
        """Write it as an npz file, atomically.

        Raises:
            JaxbqError: the file cannot be written.
        """
        claim = self.claim._asdict()
        centre = claim.pop("centre")
        about = json.dumps({"format": _FORMAT, "network": self.network, **claim})
        arrays = {"centre": centre, "image": self.image, **self.tree._asdict()}
        arrays = {name: np.asarray(array, _ARRAYS[name][0]) for name, array in arrays.items()}
        arrays["about"] = np.frombuffer(about.encode(), np.uint8)
        write_npz(Path(path), {**arrays, "digest": _digest(arrays)})


def _digest(arrays: dict[str, np.ndarray]) -> np.ndarray:
    found = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        found.update(f"{name} {array.dtype.str} {array.shape}".encode() + array.tobytes())
    return np.frombuffer(found.digest(), np.uint8)


def read_weights(model: Any, params: Params) -> Weights:
    """Return a network with one hidden layer as the verifier takes it.

    Raises:
        JaxbqError: it has none or several, or an activation for which there is no bound.
    """
    if not isinstance(model, MLP) or len(model.sizes) != 3:
        what = f"{len(model.sizes) - 2}" if isinstance(model, MLP) else "no known"
        raise JaxbqError(
            f"certify bounds networks with one hidden layer; this one has {what}; train one like "
            "784-200-10"
        )
    shape_of(model.hidden_names[0])
    if model.sizes[2] < 2:
        raise JaxbqError("certify compares outputs, and this network has one; give it two")
    parts: list[np.ndarray] = []
    for layer in params:
        bias = np.zeros(layer.weight.shape[1]) if layer.bias is None else layer.bias
        parts += [np.asarray(layer.weight, np.float64), np.asarray(bias, np.float64)]
    if not all(np.isfinite(part).all() for part in parts):
        raise JaxbqError("the network holds weights that are not finite; train it again")
    return Weights(parts[0], parts[1], parts[2], parts[3], model.hidden_names[0])


def verify(path: Path | str, model: Any, params: Params) -> Certificate:
    """Read a certificate and recompute what it proves, in plain NumPy with outward rounding.

    Args:
        path: a file that :meth:`Certificate.save` wrote; it may be anybody's.
        model: the network that it is for, an ``MLP`` with one hidden layer.
        params: its parameters.

    Returns:
        The certificate, with ``found`` and ``proven`` as they are recomputed.

    Raises:
        JaxbqError: the file is missing or damaged, is for another network, or its picture is not
            in its set.
    """
    path, weights = Path(path), read_weights(model, params)
    arrays = read_npz(path, _MOST_BYTES)
    stored = arrays.pop("digest", None)
    if stored is None or not np.array_equal(stored, _digest(arrays)):
        raise JaxbqError(f"{path}: is no certificate, or was changed; make it again")
    claim, network, tree, image = _parse(path, arrays)
    if network != weights.digest:
        raise JaxbqError(f"{path}: is for a network with other weights; name the one it was for")
    pixels, outputs = len(weights.inner), len(weights.constants)
    places = [claim.target, claim.other if claim.objective == "difference" else claim.target]
    shape = (pixels,) if claim.norm else (0,)
    if image.shape != (pixels,) or claim.centre.shape != shape or max(places) >= outputs:
        raise JaxbqError(f"{path}: does not fit the network; make it again")
    if not contains(claim, image):
        raise JaxbqError(f"{path}: its picture is not among the images that it speaks of")
    found = reached(weights, claim, image)
    return Certificate(claim, network, tree, image, found, proven(weights, claim, tree))


def _parse(path: Path, arrays: dict[str, np.ndarray]) -> tuple[Claim, str, Tree, np.ndarray]:
    """Check names, types, finiteness and the claim; not yet against a network."""
    damaged = JaxbqError(f"{path}: is no certificate of this version of jaxbq; make it again")
    about = arrays.pop("about", np.zeros(0, np.uint8))
    try:
        facts = json.loads(about.tobytes())
        fit = set(arrays) == set(_ARRAYS) and facts.pop("format") == _FORMAT
        network = facts.pop("network")
        centre, image = arrays.pop("centre"), arrays.pop("image")
        claim, tree = Claim(**facts, centre=centre), Tree(**arrays)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise damaged from None
    everything = {"centre": centre, "image": image, **arrays}
    for name, (dtype, axes) in _ARRAYS.items():
        array = everything.get(name, np.zeros(()))
        fit &= array.dtype == dtype and array.ndim == axes and bool(np.isfinite(array).all())
    if not (fit and _is_claim(claim) and len(tree.unit) == len(tree.at)):
        raise damaged
    return claim, network, tree, image


def _is_claim(claim: Claim) -> bool:
    """Whether a claim says something."""
    whole = all(type(part) is int for part in (claim.target, claim.other)) and claim.target >= 0
    ends = (claim.low, claim.high, claim.radius)
    if not (whole and all(type(end) is float and abs(end) < 1e100 for end in ends)):
        return False
    fit = claim.objective in OBJECTIVES and claim.norm in ("", *NORMS) and claim.low < claim.high
    if claim.objective == "difference":
        fit &= claim.other >= 0 and claim.other != claim.target
    if claim.norm:
        centre = claim.centre
        fit &= claim.radius > 0 and bool(((centre >= claim.low) & (centre <= claim.high)).all())
    return fit
