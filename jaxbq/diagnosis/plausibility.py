"""Whether a network was taken over as it was trained: what it reads, and would read otherwise.

Accuracy alone cannot tell: a softmax network taken for sigmoids has the same largest output, and so
has one whose pixels are sixteen times too bright. So each reading is judged by the squared distance
of its outputs from the one-hot codes of the labels too (Brier, 1950), which falls where outputs
mean what they say.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from ..data import Dataset
from ..network.activations import HIDDEN, activation
from ..network.inputs import Inputs
from ..network.mlp import MLP, Params
from ..training import check_ends

_MOST_READ = 1000  # test images; enough to tell chance from learning
_OUTPUTS = ("sigmoid", "softmax", "tanh", "identity")
_RANGES = ((0.0, 1.0), (0.01, 1.0), (-1.0, 1.0), (0.0, 16.0), (0.0, 255.0))
_BETTER = 0.05  # a gain in accuracy that is worth telling
_CLEARER = 0.6  # what a distance must shrink to, to be worth telling


@dataclass(frozen=True)
class Reading:
    """What a network reads of some images, taken in one way.

    Args:
        what: how it is taken, in words.
        changes: what to say for it, by the names of :func:`~jaxbq.import_network`; fields of
            :class:`~jaxbq.network.inputs.Inputs` by their own.
        accuracy: share of images that it reads right.
        distance: squared distance of its outputs from the one-hot codes, mean over images.
    """

    what: str
    changes: Mapping[str, Any]
    accuracy: float
    distance: float


@dataclass(frozen=True)
class Plausibility:
    """What a network reads of some images, as it was taken over and otherwise.

    Args:
        own: as it was taken over.
        chance: share that guessing would read right.
        sums: mean sum of the outputs of an image.
        alternatives: with one thing taken otherwise, the likeliest first.
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
        return tuple(each for each in self.alternatives if _explains(each, self.own, self.chance))

    @property
    def doubtful(self) -> bool:
        """Whether it reads at chance, or there is a cause to think that it is taken wrongly."""
        return bool(self.causes) or _at_chance(self.own, self.chance)

    def advice(self, spell: Callable[[Mapping[str, Any]], str]) -> str:
        """Say in one line what is doubtful, and what to say instead.

        Args:
            spell: writes changes as the user is to give them.
        """
        if not self.doubtful:
            return ""
        level = "at chance, " if _at_chance(self.own, self.chance) else ""
        read = f"it reads {self.accuracy:.3f} of the images right, {level}and"
        if not self.causes:
            return (
                f"{read} no likely mistake explains it (guessing reads {self.chance:.3f}); was it "
                "trained on such images?"
            )
        best = "; or ".join(self._say(cause, spell) for cause in self.causes[:_MOST_SAID])
        return f"{read} its outputs miss the labels by {self.own.distance:.3g}. Give {best}"

    def _say(self, cause: Reading, spell: Callable[[Mapping[str, Any]], str]) -> str:
        why = f", since its outputs sum to {self.sums:.1f}" if "output" in cause.changes else ""
        return (
            f"{spell(cause.changes)} ({cause.what}: {cause.accuracy:.3f}, "
            f"{cause.distance:.3g}{why})"
        )


_MOST_SAID = 3


def _at_chance(reading: Reading, chance: float) -> bool:
    # A tenth of the way from guessing to certainty.
    return reading.accuracy < chance + 0.1 * (1 - chance)


def _explains(other: Reading, own: Reading, chance: float) -> bool:
    if _at_chance(other, chance):
        return False
    if other.accuracy > own.accuracy + _BETTER:
        return True
    as_right = other.accuracy > own.accuracy - 0.01
    return as_right and other.distance < _CLEARER * own.distance


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
    images, labels = data.test_images[:_MOST_READ], data.test_labels[:_MOST_READ]
    layers = [
        (np.asarray(layer.weight), None if layer.bias is None else np.asarray(layer.bias))
        for layer in params
    ]
    logits = _logits(model, layers, images)
    own = _judged("as it is", {}, model.output, logits, labels)
    found = []
    for what, changes, changed, other, seen in _alternatives(model, layers, images, data):
        if not set(settled) & set(changes):
            found.append(
                _judged(what, changes, model.output, _logits(changed, other, seen), labels)
            )
    if "output" not in settled:
        found += [
            _judged(f"output {name}", {"output": name}, name, logits, labels)
            for name in _OUTPUTS
            if name != model.output
        ]
    order = class_order(logits, labels)
    if (order != np.arange(len(order))).any():
        names = [data.class_names[k] for k in order]
        what = "classes in another order"
        found.append(
            _judged(
                what, {"class_names": tuple(names)}, model.output, logits, order.argsort()[labels]
            )
        )
    return Plausibility(
        own,
        float(np.bincount(labels).max() / len(labels)),
        float(_outputs(model.output, logits).sum(axis=1).mean()),
        tuple(sorted(found, key=_likelihood)),
    )


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


def _likelihood(reading: Reading) -> tuple[float, float, int]:
    # Accuracies that differ by a hundredth are alike; then outputs tell; then the usual name.
    rank = _RANK.get(str(reading.changes.get("hidden")), 0)
    return -round(reading.accuracy, 2), round(reading.distance, 2), rank


_RANK = {name: place for place, name in enumerate(("relu", "sigmoid", "tanh", *HIDDEN))}

Layers = list[tuple[np.ndarray, np.ndarray | None]]


def _logits(model: MLP, layers: Layers, images: np.ndarray) -> np.ndarray:
    a = images
    for (weight, bias), phi in zip(layers, model.activations, strict=True):
        z = a @ weight if bias is None else a @ weight + bias
        a = np.asarray(phi.apply(z)) if len(layers) > 1 else z
    return np.asarray(z)


def _outputs(output: str, logits: np.ndarray) -> np.ndarray:
    return np.asarray(activation(output).apply(logits))


def _judged(
    what: str, changes: Mapping[str, Any], output: str, logits: np.ndarray, labels: np.ndarray
) -> Reading:
    values = _outputs(output, logits)
    if output == "tanh":
        values = (values + 1) / 2
    missed = values - np.eye(values.shape[1], dtype=values.dtype)[labels]
    # A wrong reading may be any number: what is far off is far off.
    distance = np.minimum(np.square(missed).sum(axis=1), 10.0).mean()
    right = logits.argmax(axis=1) == labels
    return Reading(what, changes, float(right.mean()), float(distance))


def _alternatives(
    model: MLP, layers: Layers, images: np.ndarray, data: Dataset
) -> Iterator[tuple[str, dict[str, Any], MLP, Layers, np.ndarray]]:
    low, high = data.pixel_range
    share = (images - low) / (high - low)
    mean, deviation = float(data.train_images.mean()), float(data.train_images.std())
    centred = (round((low - mean) / deviation, 4), round((high - mean) / deviation, 4))
    for one, two in (*_RANGES, centred):
        if not np.allclose((one, two), (low, high)):
            seen = (one + (two - one) * share).astype(np.float32)
            yield f"pixel range {one:g} {two:g}", {"pixel_range": (one, two)}, model, layers, seen
    negative = (low + high - images).astype(np.float32)
    yield "ink and paper exchanged", {"ink": "dark"}, model, layers, negative
    shape = data.image_shape
    for what, inputs in (
        ("rows and columns of the pixels exchanged", Inputs(axes="columns")),
        ("channels first", Inputs(channels="first")),
    ):
        if len(shape) == 3 if inputs.channels == "first" else len(shape) >= 2:
            changes = {"channels": "first"} if inputs.channels == "first" else {"axes": "columns"}
            yield what, changes, model, layers, images[:, inputs.order(shape, "")]
    square = [n for n, (weight, _) in enumerate(layers) if weight.shape[0] == weight.shape[1]]
    for chosen in [[n] for n in square] + ([square] if len(square) > 1 else []):
        turned = [(w.T if n in chosen else w, b) for n, (w, b) in enumerate(layers)]
        numbers = tuple(n + 1 for n in chosen)
        what = f"weights of layer {', '.join(map(str, numbers))} the other way round"
        yield what, {"turned": numbers}, model, turned, images
    if len(layers) > 1:
        for name in HIDDEN:
            if name != model.hidden:
                changed = dataclasses.replace(model, hidden=name)
                yield f"hidden activation {name}", {"hidden": name}, changed, layers, images
