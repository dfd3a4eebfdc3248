"""Images as the page shows them: a tiny PNG, each once, what is read in it, and its scores."""

import base64
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image

from ...data import ImageSpace
from ...experiment.finished import Run
from ..images import as_bytes, check_drawable
from ..words import UNKNOWN, plain, share

# What an <img> holds whose picture is in the style sheet: one transparent pixel.
BLANK = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
# Bytes of the page that an image takes beside its picture: the element, and its scores.
_AROUND, _SCORES = 500, 450

Key = tuple[str, int, int, int]
"""Which image: network, number of the method, target, sample."""
CONTROL_NAMES = {
    "permuted_labels": "network trained on permuted labels",
    "random_weights": "network with random weights",
}
# Headings, and under each the columns of scores.csv with what they are called; a percentile among
# test images follows what it is of.
COLUMNS: Mapping[str, Mapping[str, str]] = {
    "Fidelity": {
        "fidelity": "fidelity",
        "right": "read as asked",
        "predicted": "the network reads",
        "target_probability": "probability of the class asked for",
        "largest_error": "largest output error",
        "mean_error": "mean output error",
        "divergence": "divergence from the target",
    },
    "Readability": {
        "readability": "readability",
        "accepted": "accepted by the judges",
        "evidence": "evidence, read by judges that must answer",
        "judge_probability": "judges' mean probability",
        "dense_reads": "dense judge reads",
        "convolutional_reads": "convolutional judge reads",
        "neighbour_reads": "neighbour judge reads",
        "given_reads": "given network reads",
        "judged": "the judge reads",
        "judged_right": "read as asked by the judge",
        "judged_probability": "the judge's probability",
        "template_right": "nearest class mean is the class asked for",
        "correlation_own": "correlation with the mean of the class",
        "correlation_other": "largest correlation with another mean",
        "other_class": "which other class",
    },
    "Naturalness": {
        "naturalness": "naturalness",
        "mean_percentile": "mean of the percentiles",
        "nearest": "distance to the nearest training image",
        "nearest_index": "which training image",
        "nearest_label": "its class",
        "mahalanobis": "Mahalanobis distance",
        "components_residual": "outside the principal components",
        "autoencoder_residual": "outside the autoencoder",
        "ssim": "SSIM with the nearest training image",
        "total_variation": "total variation",
        "high_frequency": "high-frequency energy",
    },
    "Transfer": {
        "transfer": "transfer",
        "transfer_probability": "mean probability of the class",
        "specificity": "specificity",
        "own_rank": "rank of its own network",
    },
    "Image and search": {
        "reason": "why the method stopped",
        "iterations": "steps",
        "pixels_outside": "pixels out of range",
        "amount_outside": "how far the worst is out",
        "right_before": "read as asked before clipping",
        "largest_error_before": "largest error before clipping",
        "outside_before": "share out of range before clipping",
    },
}
# Columns that say which image; they are part of its title.
_IMAGE = ("network", "method", "target", "sample", "intended")
_CLASSES = ("predicted", "judged", "other_class", "nearest_label")
_YES_NO = ("right", "right_before", "template_right", "judged_right")


class Pictures:
    """The pictures of a page.

    Args:
        space: shape of every image and the pixel range.

    Raises:
        JaxbqError: such images cannot be drawn.
    """

    def __init__(self, space: ImageSpace):
        check_drawable(space)
        self.space = space
        self._names: dict[bytes, str] = {}
        self.size = 0
        """Characters that the pictures take so far."""

    def add(self, image: Float[np.ndarray, " pixels"]) -> str:
        """Take an image in, unless one that looks alike is in.

        Returns:
            The name of its rule in the style sheet.
        """
        buffer = io.BytesIO()
        shades = np.ascontiguousarray(as_bytes(image, self.space))
        Image.fromarray(shades).save(buffer, "png", optimize=False)
        content = buffer.getvalue()
        if content not in self._names:
            self._names[content] = f"i{len(self._names)}"
            self.size += 4 * -(-len(content) // 3)
        return self._names[content]

    def rules(self) -> Iterator[tuple[str, str]]:
        """Give the name and the data URI of every picture."""
        for content, name in self._names.items():
            yield name, data_uri(content)


def data_uri(png: bytes) -> str:
    """Write a PNG file as an address that holds all of it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


class PageImage(NamedTuple):
    """One image."""

    picture: str  # name of its rule in the style sheet
    alt: str  # what it is, in words
    row: str = ""  # number of its scores in the page's data; empty where it has none
    right: bool = True  # whether the network reads what was asked
    reads: str = ""  # what it reads
    output: str = ""  # its output for that
    caption: str = ""  # a second line


class PageRow(NamedTuple):
    """Images beside each other, one a target or a step."""

    label: str
    images: list[PageImage]


class PageImages:
    """Makes images to show, and collects their scores for the page's script.

    Args:
        run: what there is.
    """

    def __init__(self, run: Run):
        self.run = run
        self.pictures = Pictures(run.space)
        numbers = {name: n for n, name in enumerate(run.methods)}
        self.scores: dict[Key, dict[Any, Any]] = {
            (each["network"], numbers[each["method"]], each["target"], each["sample"]): each
            for each in run.scores.to_dict("records")
        }
        self._columns = shown_columns(list(run.scores.columns))
        self._rows: dict[Key, str] = {}
        self._data: list[list[Any]] = []
        self._shown = 0

    @property
    def size(self) -> int:
        """About how many bytes of the page everything shown so far takes."""
        return self.pictures.size + _AROUND * self._shown + _SCORES * len(self._data)

    def image(self, network: str, method: int, target: int, sample: int = 0) -> PageImage:
        """Show one image that a method returned."""
        run, key = self.run, (network, method, target, sample)
        result, scores = run.results(network)[method], self.scores[key]
        outputs = result.outputs[target, sample]
        predicted = int(outputs.argmax())
        right = bool(scores.get("right", False))
        reads, output = run.class_names[predicted], share(float(outputs[predicted]))
        words = [
            f"{run.methods[method]}, asked for {run.titles[target]}"
            + (f", sample {sample}" if sample else ""),
            f"{network_name(network)} reads {reads} with {output}, {'right' if right else 'wrong'}",
            self._judged(scores),
        ]
        alt = "; ".join(filter(None, words))
        if key not in self._rows:
            self._rows[key] = str(len(self._data))
            cells = [cell(name, scores[name], run.class_names) for _, name, _ in self._columns]
            self._data.append([*key, cells, [plain(float(value)) for value in outputs]])
        self._shown += 1
        picture = self.pictures.add(result.images[target, sample])
        return PageImage(picture, alt, self._rows[key], right, reads, output)

    def row(self, label: str, network: str, method: int, sample: int = 0) -> PageRow:
        """Show what a method returned for every target."""
        targets = range(len(self.run.titles))
        return PageRow(label, [self.image(network, method, k, sample) for k in targets])

    def neighbours(self, network: str, method: int, target: int) -> list[PageImage]:
        """Show the training images nearest to a method's best image, the nearest first."""
        nearest, images = self.run.nearest, []
        if nearest is None:
            return []
        for place, index in enumerate(nearest.found.get((network, method, target), ()), 1):
            if index in nearest.images:
                label = class_word(nearest.labels[index], self.run.class_names)
                far = (
                    f"training image {place} by distance" if place > 1 else "nearest training image"
                )
                alt = f"{far}, number {index}, labelled {label}"
                picture = self.pictures.add(nearest.images[index])
                images.append(PageImage(picture, alt, reads=label, caption=f"#{index}"))
        return images

    def data(self) -> dict[str, Any]:
        """Give all scores of what was shown, for the page's script."""
        return {
            "methods": self.run.methods,
            "networks": {name: network_name(name) for name in self.run.networks},
            "targets": self.run.titles,
            "classes": list(self.run.class_names),
            "columns": [list(column) for column in self._columns],
            "rows": self._data,
        }

    def _judged(self, scores: dict[Any, Any]) -> str:
        """Say what the judges read."""
        read = {
            column.removesuffix("_reads"): class_word(value, self.run.class_names)
            for column, value in scores.items()
            if column.endswith("_reads") or column == "judged"
        }
        return ", ".join(
            f"{'judge' if judge == 'judged' else f'{judge} judge'} reads {what}"
            for judge, what in read.items()
            if what != UNKNOWN
        )


def shown_columns(columns: Sequence[str]) -> list[tuple[str, str, str]]:
    """Put the columns of scores.csv in the order of the page.

    Returns:
        Heading, column and what it is called; unknown columns come last, under their own names.
    """
    known = [
        (heading, each, words)
        for heading, group in COLUMNS.items()
        for name, label in group.items()
        for each, words in ((name, label), (f"{name}_percentile", "… percentile"))
        if each in columns
    ]
    names = {name for _, name, _ in known}
    others = [name for name in columns if name not in names and name not in _IMAGE]
    return known + [("Other", name, name.replace("_", " ")) for name in others]


def cell(column: str, value: Any, class_names: Sequence[str], digits: int = 4) -> str:
    """Write a value of scores.csv for a reader, a number in so many significant digits."""
    if isinstance(value, str):
        return value.replace("_", " ") or UNKNOWN
    if math.isnan(value):
        return UNKNOWN
    if column in _CLASSES or column.endswith("_reads"):
        return class_word(value, class_names)
    if column in _YES_NO:
        return {1.0: "yes", 0.0: "no"}.get(float(value), plain(value, digits))
    return str(int(value)) if column.endswith("_index") else plain(value, digits)


def class_word(value: float, class_names: Sequence[str]) -> str:
    """Name a class that a table has by its index; − 1 is none."""
    index = -1 if math.isnan(value) else int(value)
    if index < 0:
        return UNKNOWN
    return class_names[index] if index < len(class_names) else str(index)


def network_name(name: str) -> str:
    """Say which network a name means."""
    if name.isdecimal():
        return f"network {name}"
    return CONTROL_NAMES.get(name, name.replace("_", " "))
