"""Whether a network was taken over as it was trained: what it reads, and would read otherwise.

Accuracy alone cannot tell: a softmax network taken for sigmoids has the same largest output, and so
has one whose pixels are sixteen times too bright. So each reading is judged by the squared distance
of its outputs from the one-hot codes of the labels too (Brier, 1950), which falls where outputs
mean what they say.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from ..data import Dataset
from ..network.activations import HIDDEN, activation
from ..network.inputs import Inputs
from ..network.mlp import MLP, Params
from ..training import check_ends

_MOST_READ = 2000  # test images; enough to tell chance from learning
_MOST_SCREENED = 500  # of these, for each combination of several mistakes
_OUTPUTS = ("sigmoid", "softmax", "tanh", "identity")
_RANGES = ((0.0, 1.0), (0.01, 1.0), (-1.0, 1.0), (0.0, 16.0), (0.0, 255.0))
_BETTER = 0.05  # a gain in accuracy that is worth telling
_CLEARER = 0.8  # what a distance must shrink to, to be worth telling
_FAR = 3.0  # times the distance of what is meant: more than noise or too little training explain
_TOLD = 0.01  # and by how much: of a network that is never wrong nothing can be told
_SURE = 3.0  # standard errors
_ALIKE = 0.015  # accuracies that do not differ
_SATURATED = 50.0  # root mean square of a first pre-activation that no training aims at


@dataclass(frozen=True, eq=False)
class Reading:
    """What a network reads of some images, taken in one way.

    Args:
        changes: what to say for it, by the names of :func:`~jaxbq.import_network`; fields of
            :class:`~jaxbq.network.inputs.Inputs` by their own.
        accuracy: share of images that it reads right.
        distance: squared distance of its outputs from the one-hot codes, mean over images.
        size: root mean square of the first layer's pre-activations.
        distances: of every image, shape (n,).
    """

    changes: Mapping[str, Any]
    accuracy: float
    distance: float
    size: float = 1.0
    distances: Float[np.ndarray, " n"] = field(default_factory=lambda: np.zeros(0), repr=False)


@dataclass(frozen=True)
class Plausibility:
    """What a network reads of some images, as it was taken over and otherwise.

    Args:
        own: as it was taken over.
        chance: share that guessing would read right.
        sums: mean sum of the outputs of an image.
        alternatives: with one thing taken otherwise, or several that go together, the likeliest
            first.
    """

    own: Reading
    chance: float
    sums: float
    alternatives: tuple[Reading, ...]

    @property
    def accuracy(self) -> float:
        """Share of images that it reads right."""
        return self.own.accuracy

    @property
    def causes(self) -> tuple[Reading, ...]:
        """The alternatives that explain the images clearly better, the likeliest first."""
        found = [each for each in self.alternatives if _explains(each, self.own, self.chance)]
        # What outputs mean shows where they are right; till then it is another thing that is wrong.
        most = max((each.accuracy for each in found), default=0.0)
        if most > self.accuracy + _BETTER:
            found = [each for each in found if each.accuracy > self.accuracy + _BETTER]
        return tuple(found)

    @property
    def doubtful(self) -> bool:
        """Whether it reads at chance, or there is a cause to think that it is taken wrongly."""
        return bool(self.causes) or at_chance(self.accuracy, self.chance)

    def advice(self, spell: Callable[[Mapping[str, Any]], str]) -> str:
        """Say in one line what is doubtful, and what to say instead.

        Args:
            spell: writes changes as the user is to give them.
        """
        if not self.doubtful:
            return ""
        said = f"accuracy {self.accuracy:.3f}, squared error {self.own.distance:.3g}"
        if not self.causes:
            return (
                f"{said}: it reads at chance (guessing gives {self.chance:.3f}), and no likely "
                "mistake explains it; was it trained on such images?"
            )
        best = "; ".join(self._say(cause, spell) for cause in self.causes[:_MOST_SAID])
        return f"{said}: it is likely to be taken wrongly. Better, the likeliest first: {best}"

    def _say(self, cause: Reading, spell: Callable[[Mapping[str, Any]], str]) -> str:
        why = ""
        if cause.changes.get("output") == "softmax":
            why = f"; as they are, the outputs of an image sum to {self.sums:.1f}"
        return f"{spell(cause.changes)}: {cause.accuracy:.3f}, {cause.distance:.3g}{why}"


_MOST_SAID = 3


def at_chance(accuracy: float, chance: float) -> bool:
    """Tell whether an accuracy is less than a tenth of the way from guessing to certainty."""
    return accuracy < chance + 0.1 * (1 - chance)


def most_frequent(labels: Int[np.ndarray, " n"]) -> float:
    """Return the accuracy of always guessing the most frequent class."""
    return float(np.bincount(labels).max() / len(labels))


def _explains(other: Reading, own: Reading, chance: float) -> bool:
    if at_chance(other.accuracy, chance) or other.accuracy < own.accuracy - _ALIKE:
        return False
    if other.accuracy > own.accuracy + _BETTER:
        return True
    if len(other.changes) > 1:
        return other.distance < own.distance / _FAR
    # Which output is likely is decided already; see _likely_output.
    if tuple(other.changes) == ("output",):
        return own.distance > _TOLD
    if other.distance < min(_CLEARER * own.distance, own.distance - _TOLD):
        return _surely_nearer(other, own)
    calmer = own.size > _SATURATED > other.size
    return calmer and "pixel_range" in other.changes and other.distance < 1.1 * own.distance


def _surely_nearer(other: Reading, own: Reading) -> bool:
    """Tell whether fewer images than there are would have shown the same, by a paired test."""
    gained = own.distances - other.distances
    if len(gained) < 2:
        return True
    return bool(gained.mean() > _SURE * gained.std(ddof=1) / len(gained) ** 0.5)


def plausibility(
    model: MLP, params: Params, data: Dataset, settled: tuple[str, ...] = ()
) -> Plausibility:
    """Let a network read test images as it is, and with each likely mistake undone.

    Args:
        model: the network, as it was taken over.
        params: its parameters.
        data: images in the pixel range that it is to be used with.
        settled: what its file says itself, ``hidden`` or ``output``, so that it is not in doubt.

    Raises:
        JaxbqError: the network does not take these images or answer these classes.
    """
    check_ends(model, data)
    images, labels = some_images(data)
    layers = [
        (np.asarray(layer.weight), None if layer.bias is None else np.asarray(layer.bias))
        for layer in params
    ]
    size, logits = _logits(model, layers, images)
    own = _judged({}, model.output, logits, labels, size)
    found = []
    if model.sizes[-1] == 2 and model.output == "softmax" and not layers[-1][0][:, 0].any():
        # Made of one, which can only be a number for the second class.
        if "output" not in settled:
            number = logits @ np.array([[0, 0], [-1, 1]], np.float32) + np.array([1, 0], np.float32)
            said = {"output": "identity", "class_names": data.class_names}
            found.append(_judged(said, "identity", number, labels, size))
        settled = (*settled, "output")
    for changes, changed, other, seen in _alternatives(model, layers, images, data):
        if set(settled) & set(changes):
            continue
        size, values = _logits(changed, other, seen)
        found.append(_judged(changes, model.output, values, labels, size))
        # Files of weights alone name neither activation: a common pair is one mistake.
        if changes.get("hidden") in _USUAL[:3] and "output" not in settled:
            likely = _likely_output(values, labels, model.output)
            if likely != model.output:
                found.append(_judged({**changes, "output": likely}, likely, values, labels, size))
    likely = _likely_output(logits, labels, model.output)
    if "output" not in settled and likely != model.output:
        found.append(_judged({"output": likely}, likely, logits, labels, size))
    order = class_order(logits, labels)
    if (order != np.arange(len(order))).any():
        names = tuple(data.class_names[k] for k in order)
        right = order.argsort()[labels]
        found.append(_judged({"class_names": names}, model.output, logits, right))
    chance = most_frequent(labels)
    if at_chance(own.accuracy, chance) or any(_explains(each, own, chance) for each in found):
        both = _together(model, layers, images, labels, data, settled)
        # What is found one by one is better known: each step of --fix finds the next. The best of
        # so many is above chance of an untrained network too.
        most = max(each.accuracy for each in (own, *found))
        if both.accuracy > max(most + _BETTER, (1 + chance) / 2):
            found.append(both)
    return Plausibility(
        own,
        chance,
        float(_outputs(model.output, logits).sum(axis=1).mean()),
        _by_likelihood(found),
    )


def some_images(data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Take test images to read, and training images where these are few; with their labels."""
    more = max(_MOST_READ - len(data.test_labels), 0)
    images = np.concatenate([data.test_images[:_MOST_READ], data.train_images[:more]])
    return images, np.concatenate([data.test_labels[:_MOST_READ], data.train_labels[:more]])


def class_order(
    logits: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"]
) -> Int[np.ndarray, " classes"]:
    """Tell which class each output answers, so that most images are read right."""
    classes = logits.shape[1]
    answers = np.zeros((classes, classes))
    np.add.at(answers, (logits.argmax(axis=1), labels), 1)
    # Where nothing tells, an output keeps its own class.
    order: np.ndarray = linear_sum_assignment(-answers - 1e-3 * np.eye(classes))[1]
    return order


def _likely_output(logits: np.ndarray, labels: np.ndarray, own: str) -> str:
    """Tell what outputs the logits were trained for, from how each reading misses the codes.

    ``own`` is what they are taken for.

    Trained on codes as they are, logits are near them. A softmax leaves open what is added to all
    logits of an image, so that as sigmoids they sum to several. Sigmoids do as softmax about as
    well, since one of them is on; and a tanh, a sigmoid of twice the logit, is a sharper one.
    """
    read = {name: _judged({}, name, logits, labels) for name in _OUTPUTS}
    missed = {name: reading.distance for name, reading in read.items()}
    if missed["identity"] < min(missed["sigmoid"], missed["softmax"]):
        return "identity"
    if missed["sigmoid"] > _FAR * missed["softmax"]:
        return "softmax"
    if own == "tanh" and missed["tanh"] <= missed["sigmoid"]:
        return own
    sharper = missed["tanh"] < 0.8 * missed["sigmoid"]
    return "tanh" if sharper and _surely_nearer(read["tanh"], read["sigmoid"]) else "sigmoid"


def _by_likelihood(found: Sequence[Reading]) -> tuple[Reading, ...]:
    """Sort the likeliest first: the most right, the nearest; of those alike the usual, the calm."""
    left, ordered = list(found), []
    while left:
        most = max(each.accuracy for each in left)
        best = [each for each in left if each.accuracy >= most - _ALIKE]
        nearest = min(map(_doubted, best))
        best = [each for each in best if _doubted(each) <= 1.1 * nearest + _TOLD]
        first = min(best, key=lambda each: (_rank(each), each.size, each.distance))
        ordered.append(first)
        left.remove(first)
    return tuple(ordered)


def _doubted(reading: Reading) -> float:
    """Return the distance; of units driven to their ends, which makes any answer sharp, more.

    Logits are near the codes of the labels by no chance, whatever sharpens other readings.
    """
    if reading.changes.get("output") == "identity":
        return 0.0
    return 3 * reading.distance + _TOLD if reading.size > _SATURATED else reading.distance


_USUAL = ("relu", "sigmoid", "tanh", *HIDDEN)


def _rank(reading: Reading) -> int:
    """Count what is taken otherwise, and less usual activations, against a reading."""
    name = reading.changes.get("hidden")
    return len(reading.changes) + (_USUAL.index(name) if name in _USUAL else 0)


Layers = list[tuple[np.ndarray, np.ndarray | None]]


def _logits(model: MLP, layers: Layers, images: np.ndarray) -> tuple[float, np.ndarray]:
    """Compute the size of the first pre-activations, and the logits."""
    a, size = images, None
    for (weight, bias), phi in zip(layers, model.activations, strict=True):
        z = a @ weight if bias is None else a @ weight + bias
        size = float(np.sqrt(np.square(z).mean())) if size is None else size
        a = np.asarray(phi.apply(jnp.asarray(z))) if len(layers) > 1 else z
    return size or 0.0, z


def _outputs(output: str, logits: np.ndarray) -> np.ndarray:
    return np.asarray(activation(output).apply(jnp.asarray(logits)))


def _judged(
    changes: Mapping[str, Any],
    output: str,
    logits: np.ndarray,
    labels: np.ndarray,
    size: float = 1.0,
) -> Reading:
    values = _outputs(output, logits)
    if output == "tanh":
        values = (values + 1) / 2
    missed = values - np.eye(values.shape[1], dtype=values.dtype)[labels]
    # A wrong reading may be any number: what is far off is far off.
    distances = np.minimum(np.square(missed).sum(axis=1), 10.0)
    right = logits.argmax(axis=1) == labels
    return Reading(changes, float(right.mean()), float(distances.mean()), size, distances)


def _alternatives(
    model: MLP, layers: Layers, images: np.ndarray, data: Dataset
) -> Iterator[tuple[dict[str, Any], MLP, Layers, np.ndarray]]:
    for changes in _drawings(data):
        if len(changes) == 1:
            yield changes, model, layers, _drawn(images, data, changes)
    square = [n for n, (weight, _) in enumerate(layers) if weight.shape[0] == weight.shape[1]]
    for chosen in [[n] for n in square] + ([square] if len(square) > 1 else []):
        turned = [(w.T if n in chosen else w, b) for n, (w, b) in enumerate(layers)]
        yield {"turned": tuple(n + 1 for n in chosen)}, model, turned, images
    if len(layers) > 1:
        for name in HIDDEN:
            if name != model.hidden:
                yield {"hidden": name}, dataclasses.replace(model, hidden=name), layers, images


def _drawings(data: Dataset) -> Iterator[dict[str, Any]]:
    """List the ways to draw images: combinations of pixel range, ink, axes and channels."""
    low, high = data.pixel_range
    mean, deviation = float(data.train_images.mean()), float(data.train_images.std())
    centred = (round((low - mean) / deviation, 4), round((high - mean) / deviation, 4))
    ranges = [ends for ends in (*_RANGES, centred) if not np.allclose(ends, (low, high))]
    orders = ["axes", "channels"][: max(len(data.image_shape) - 1, 0)]
    for order, ink, ends in itertools.product([None, *orders], (None, "dark"), [None, *ranges]):
        said = {"pixel_range": ends, "ink": ink}
        said |= {order: "columns" if order == "axes" else "first"} if order else {}
        yield {name: value for name, value in said.items() if value}


def _drawn(images: np.ndarray, data: Dataset, changes: Mapping[str, Any]) -> np.ndarray:
    """Draw images so."""
    low, high = data.pixel_range
    one, two = changes.get("pixel_range", (low, high))
    if changes.get("ink"):
        one, two = two, one
    order = {name: changes[name] for name in ("axes", "channels") if name in changes}
    seen = one + (two - one) * (images - low) / (high - low)
    if order:
        seen = seen[:, Inputs(**order).order(data.image_shape, "")]
    drawn: np.ndarray = seen.astype(np.float32)
    return drawn


def _together(
    model: MLP,
    layers: Layers,
    images: np.ndarray,
    labels: np.ndarray,
    data: Dataset,
    settled: tuple[str, ...],
) -> Reading:
    """Take all of the inputs and both activations otherwise, and return what reads best so."""
    names = [model.hidden]
    if len(layers) > 1 and "hidden" not in settled:
        names += [name for name in _USUAL[:3] if name != model.hidden]
    best: tuple[dict[str, Any], MLP] = ({}, model)
    most = 0.0
    for changes in sorted(_drawings(data), key=len):
        seen = _drawn(images[:_MOST_SCREENED], data, changes)
        for name in names:
            changed = dataclasses.replace(model, hidden=name)
            answers = _logits(changed, layers, seen)[1].argmax(axis=1)
            right = float((answers == labels[:_MOST_SCREENED]).mean())
            # Of those alike, what is least is meant.
            if right > most + _ALIKE:
                best, most = (changes, changed), right
    changes, changed = best
    size, logits = _logits(changed, layers, _drawn(images, data, changes))
    said = dict(changes)
    if changed.hidden != model.hidden:
        said["hidden"] = changed.hidden
    output = model.output
    if "output" not in settled:
        output = _likely_output(logits, labels, model.output)
        if output != model.output:
            said["output"] = output
    return _judged(said, output, logits, labels, size)
