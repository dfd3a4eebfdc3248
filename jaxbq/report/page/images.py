"""Images as the page shows them: a tiny PNG, each once, what is read in it, and words for it."""

import base64
import io
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image

from ...data import ImageSpace
from ...experiment.finished import Run
from ..images import as_bytes, check_drawable, proportion
from .words import UNKNOWN, cell, class_word, network_name, plain, share, shown_columns

# What an <img> holds whose picture is in the style sheet: one transparent pixel.
BLANK = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
# Bytes of the page that an image takes beside its picture: the element, and its scores.
_AROUND, _SCORES = 500, 450

Key = tuple[str, int, int, int]
"""Which image: network, number of the method, target, sample."""


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

    @property
    def ratio(self) -> str:
        """Width of a picture by its height, as a style sheet says it."""
        return f"1 / {proportion(self.space):.4g}"


def data_uri(png: bytes) -> str:
    """Write a PNG file as an address that holds all of it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


class PageImage(NamedTuple):
    """One image.

    Args:
        picture: name of its rule in the style sheet.
        alt: what it is, in words.
        row: number of its scores in the page's data; empty where it has none.
        right: whether the network reads what was asked.
        reads: what it reads.
        output: its output for that.
        caption: a second line.
    """

    picture: str
    alt: str
    row: str = ""
    right: bool = True
    reads: str = ""
    output: str = ""
    caption: str = ""

    @property
    def sign(self) -> str:
        """A tick or a cross."""
        return "✓" if self.right else "✗"


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
        self.scores: dict[Key, dict[str, Any]] = {
            (each["network"], run.methods.index(each["method"]), each["target"], each["sample"]): {
                str(name): value for name, value in each.items()
            }
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
            *self._judged(scores),
        ]
        if key not in self._rows:
            self._rows[key] = str(len(self._data))
            cells = [cell(name, scores[name], run.class_names) for _, name, _ in self._columns]
            self._data.append([*key, cells, [plain(float(value)) for value in outputs]])
        self._shown += 1
        picture = self.pictures.add(result.images[target, sample])
        return PageImage(picture, "; ".join(words), self._rows[key], right, reads, output)

    def row(self, label: str, network: str, method: int, sample: int = 0) -> PageRow:
        """Show what a method returned for every target."""
        targets = range(len(self.run.titles))
        return PageRow(label, [self.image(network, method, k, sample) for k in targets])

    def neighbours(self, network: str, method: int, target: int) -> list[PageImage]:
        """Show the training images nearest to a method's best image, the nearest first."""
        nearest, images = self.run.nearest, []
        if nearest is None:
            return []
        for place, index in enumerate(nearest.found.get((network, method, target), ())):
            if index in nearest.images:
                label = class_word(nearest.labels[index], self.run.class_names)
                far = (
                    f"training image {place + 1} by distance" if place else "nearest training image"
                )
                alt = f"{far}, number {index}, labelled {label}"
                picture = self.pictures.add(nearest.images[index])
                images.append(PageImage(picture, alt, reads=label, caption=f"#{index}"))
        return images

    def bare(self, image: np.ndarray, alt: str) -> PageImage:
        """Show an image without scores."""
        return PageImage(self.pictures.add(image), alt)

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

    def _judged(self, scores: dict[str, Any]) -> list[str]:
        """Say what the judges read."""
        words = []
        for column, value in scores.items():
            name, ending = column.removesuffix("_reads"), column.endswith("_reads")
            if ending or column == "judged":
                read = class_word(value, self.run.class_names)
                who = f"{name} judge" if ending else "judge"
                words += [f"{who} reads {read}"] if read != UNKNOWN else []
        return [", ".join(words)] if words else []
