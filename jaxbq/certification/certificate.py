"""A certificate as a value, a file and a sentence."""

import dataclasses
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..data.moments import Moments
from ..errors import JaxbqError
from ..network.activations import activation
from ..network.mlp import MLP, Params
from ..network.targets import Codes, check_targets
from ..runtime.archives import read_npz
from ..runtime.devices import computing
from ..runtime.files import write_npz
from .maxima import shape_of
from .verifier import Claim, Hidden, Tree, Weights, contains, proven, reached

OBJECTIVES = ("logit", "margin", "difference", "unit", "direction", "error")
WITH_CLASS = OBJECTIVES[:3]
NORMS = ("linf", "l2", "mahalanobis")
LEAST_RADIUS = 1e-100  # the square of a smaller one may be 0
_MOST_BYTES = 2**31
_FORMAT = 2
_OF_CLAIM = ("centre", "vector", "factor")
_ARRAYS = {
    "centre": (np.float64, 1),
    "vector": (np.float64, 1),
    "factor": (np.float64, 2),
    "image": (np.float64, 1),
    "unit": (np.int32, 1),
    "at": (np.float64, 1),
    "multipliers": (np.float64, 2),
    "ball": (np.float64, 1),
    "rivals": (np.float64, 2),
    "ends": (np.float64, 2),
    "curve": (np.int32, 1),
    "bend": (np.float64, 2),
    "spread": (np.float64, 2),
    "point": (np.float64, 2),
}
_SHRINKAGE = 1e-3  # of the covariance, as of the whitened prior
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
        if claim.objective == "error" and self.proven < 0:
            between = min(between, -self.proven)
        digits = 2 if between <= 0 else min(max(2, 1 - math.floor(math.log10(between))), 9)
        unit = 10**digits
        where = "in the pixel range"
        if claim.norm == "mahalanobis":
            digest = hashlib.sha256(claim.factor.astype("<f8").tobytes()).hexdigest()[:12]
            where += f" within {claim.radius:g} (Mahalanobis, covariance {digest}) of the centre"
        elif claim.norm:
            where = f"within {claim.radius:g} ({_SHOWN[claim.norm]}) of the image"
        if claim.objective == "error":
            return self._of_error(where, unit, digits)
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

    def _of_error(self, where: str, unit: int, digits: int) -> str:
        reached, least = math.ceil(-self.found * unit), math.floor(-self.proven * unit)
        text = (
            f"Found a picture whose logits are within {reached / unit:.{digits}f} of the target's."
        )
        if least <= 0:
            return f"{text} That no picture {where} meets it is not proven."
        return (
            f"{text} No picture {where} comes within {least / unit:.{digits}f} of them: "
            "this target cannot be reached."
        )

    def save(self, path: Path | str) -> None:
        """Write it as an npz file, atomically.

        Raises:
            JaxbqError: the file cannot be written.
        """
        claim = self.claim._asdict()
        of_claim = {name: claim.pop(name) for name in _OF_CLAIM}
        about = json.dumps({"format": _FORMAT, "network": self.network, **claim})
        arrays = {**of_claim, "image": self.image, **self.tree._asdict()}
        arrays = {name: np.asarray(array, _ARRAYS[name][0]) for name, array in arrays.items()}
        arrays["about"] = np.frombuffer(about.encode(), np.uint8)
        write_npz(Path(path), {**arrays, "digest": _digest(arrays)})


def _digest(arrays: dict[str, np.ndarray]) -> np.ndarray:
    found = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        found.update(f"{name} {array.dtype.str} {array.shape}".encode() + array.tobytes())
    return np.frombuffer(found.digest(), np.uint8)


def check_network(model: Any) -> None:
    """Refuse a network that is not bounded here.

    Raises:
        JaxbqError: it has no hidden layer, or an activation for which there is no bound.
    """
    if not isinstance(model, MLP) or len(model.sizes) < 3:
        what = "has none" if isinstance(model, MLP) else "is of another library"
        raise JaxbqError(
            f"certify bounds fully connected networks with hidden layers; this one {what}; "
            "train one like 784-200-10"
        )
    if model.sizes[-1] < 2:
        raise JaxbqError("certify compares outputs, and this network has one; give it two")
    for name in model.hidden_names:
        shape_of(name)


def read_weights(model: Any, params: Params) -> Weights:
    """Return a network as the verifier takes it.

    Raises:
        JaxbqError: as :func:`check_network`, or the weights are not finite.
    """
    check_network(model)
    layers = []
    for layer, name in zip(params, (*model.hidden_names, "identity"), strict=True):
        bias = np.zeros(layer.weight.shape[1]) if layer.bias is None else layer.bias
        weight, bias = (np.asarray(part, np.float64) for part in (layer.weight, bias))
        layers.append(Hidden(weight, bias, name))
    if not all(np.isfinite(part).all() for each in layers for part in each[:2]):
        raise JaxbqError("the network holds weights that are not finite; train it again")
    first, *between, last = layers
    return Weights(*first[:2], *last[:2], first.activation, tuple(between))


def wanted_logits(
    model: MLP, target: Float[np.ndarray, " outputs"]
) -> Float[np.ndarray, " outputs"]:
    """Return the logits with which a network answers a target.

    Raises:
        JaxbqError: there are none, or many.
    """
    phi = activation(model.output)
    if phi.normalises:
        raise JaxbqError("softmax leaves its logits' sum open; ask for a margin or a difference")
    check_targets(target[None], model.output, len(target))
    with computing("float64"):
        return np.asarray(phi.invert(jnp.asarray(target)))


def verify(
    path: Path | str,
    model: Any,
    params: Params,
    images: Float[np.ndarray, "n pixels"] | None = None,
) -> Certificate:
    """Read a certificate and recompute what it proves, in plain NumPy with outward rounding.

    Args:
        path: a file that :meth:`Certificate.save` wrote; it may be anybody's.
        model: the network that it is for, an ``MLP`` with hidden layers.
        params: its parameters.
        images: training images; a Mahalanobis ball must be of theirs then.

    Returns:
        The certificate, with ``found`` and ``proven`` as they are recomputed.

    Raises:
        JaxbqError: the file is missing or damaged, is for another network or other images, or its
            picture is not in its set.
    """
    path, weights = Path(path), read_weights(model, params)
    arrays = read_npz(path, _MOST_BYTES)
    stored = arrays.pop("digest", None)
    if stored is None or not np.array_equal(stored, _digest(arrays)):
        raise JaxbqError(f"{path}: is no certificate, or was changed; make it again")
    claim, network, tree, image = _parse(path, arrays)
    if network != weights.digest:
        raise JaxbqError(f"{path}: is for a network with other weights; name the one it was for")
    if image.shape != weights.inner.shape[:1] or not fits(claim, weights):
        raise JaxbqError(f"{path}: does not fit the network; make it again")
    if claim.objective == "error" and claim.target >= 0:
        code = Codes().matrix(len(claim.vector), model.output)[claim.target]
        if not np.allclose(claim.vector, wanted_logits(model, code), rtol=1e-9):
            raise JaxbqError(f"{path}: its target is not that of the class that it names")
    if claim.norm == "mahalanobis" and images is not None:
        root = ellipsoid(images, len(image))[1]
        if not np.allclose(claim.factor @ claim.factor.T, root @ root.T, rtol=1e-6, atol=1e-9):
            raise JaxbqError(f"{path}: its ball is of the covariance of other images")
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
        of_claim: dict[str, Any] = {name: arrays.pop(name) for name in _OF_CLAIM}
        image = arrays.pop("image")
        claim, tree = Claim(**facts, **of_claim), Tree(**arrays)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise damaged from None
    everything = {**of_claim, "image": image, **arrays}
    for name, (dtype, axes) in _ARRAYS.items():
        array = everything.get(name, np.zeros(()))
        fit &= array.dtype == dtype and array.ndim == axes and bool(np.isfinite(array).all())
    if not (fit and _is_claim(claim) and len(tree.unit) == len(tree.at)):
        raise damaged
    return claim, network, tree, image


def _is_claim(claim: Claim) -> bool:
    """Whether a claim says something."""
    if not all(type(part) is int for part in (claim.target, claim.other, claim.layer)):
        return False
    ends = (claim.low, claim.high, claim.radius)
    if not all(type(end) is float and abs(end) < 1e100 for end in ends):
        return False
    fit = claim.objective in OBJECTIVES and claim.norm in ("", *NORMS) and claim.low < claim.high
    fit &= (claim.target >= 0) == (claim.objective != "direction") or (
        claim.objective == "error" and claim.target == -1
    )
    fit &= (claim.layer > 0) == (claim.objective == "unit")
    if claim.objective == "difference":
        fit &= claim.other >= 0 and claim.other != claim.target
    if claim.norm:
        centre = claim.centre
        fit &= claim.radius >= LEAST_RADIUS and bool(
            ((centre >= claim.low) & (centre <= claim.high)).all()
        )
    return fit and all(np.abs(array).max(initial=0) < 1e100 for array in claim[-2:])


def fits(claim: Claim, weights: Weights) -> bool:
    """Whether a claim's classes, unit and arrays are those of a network."""
    pixels, outputs = len(weights.inner), len(weights.constants)
    units = [len(layer.bias) for layer in weights.hidden]
    if claim.objective == "unit":
        fit = claim.layer <= len(units) and claim.target < units[claim.layer - 1]
    else:
        fit = max(claim.target, claim.other) < outputs
    vector = outputs if claim.objective in ("direction", "error") else 0
    square = pixels if claim.norm == "mahalanobis" else 0
    fit &= claim.vector.shape == (vector,) and claim.factor.shape == (square, square)
    return fit and claim.centre.shape == (pixels * bool(claim.norm),)


def ellipsoid(
    images: Float[np.ndarray, "n pixels"] | None, pixels: int
) -> tuple[Float[np.ndarray, " pixels"], Float[np.ndarray, "pixels pixels"]]:
    """Return the mean m of images, and A with AAᵀ their shrunk covariance.

    Raises:
        JaxbqError: there are none, or none with a covariance.
    """
    if images is None:
        raise JaxbqError("a Mahalanobis ball is of training images: give images, or --data")
    if images.ndim != 2 or images.shape[1] != pixels:
        raise JaxbqError(f"the images are of shape {images.shape}, the network takes {pixels}")
    moments = Moments(np.asarray(images))
    return moments.mean, moments.power(_SHRINKAGE, 0.5)
