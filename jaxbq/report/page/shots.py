"""Images as the page shows them: the picture, what the network reads, what judges read, a text."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ...network.targets import name_target
from .checked import Row
from .columns import cell, class_word, shown_columns
from .numbers import UNKNOWN, plain, share
from .pictures import Pictures
from .reading import Key, Run

CONTROL_NAMES = {
    "permuted_labels": "network trained on permuted labels",
    "random_weights": "network with random weights",
}


# Bytes of the page that an image takes beside its picture: the element, and its scores.
_AROUND, _SCORES = 500, 450


class Shot(NamedTuple):
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
    row: str
    right: bool
    reads: str
    output: str
    caption: str = ""

    @property
    def sign(self) -> str:
        """A tick or a cross."""
        return "✓" if self.right else "✗"


class Shots:
    """Makes images to show, and collects their scores for the page's script.

    Args:
        run: what there is.
    """

    def __init__(self, run: Run):
        self.run = run
        self.pictures = Pictures(run.first[0].space)
        self.class_names = run.network.class_names
        self.titles = [name_target(target, self.class_names) for target in run.first[0].targets]
        self._columns = shown_columns(run.columns)
        self._rows: dict[Key, str] = {}
        self._data: list[list[Any]] = []
        self._shown = 0

    @property
    def size(self) -> int:
        """About how many bytes of the page everything shown so far takes."""
        return self.pictures.size + _AROUND * self._shown + _SCORES * len(self._data)

    def shot(self, network: str, method: int, target: int, sample: int = 0) -> Shot:
        """Show one image that a method returned."""
        result = self.run.results[network][method]
        outputs = result.outputs[target, sample]
        predicted = int(outputs.argmax())
        key = (network, method, target, sample)
        scores = self.run.scores.get(key, {})
        right = scores.get("right") == "True"
        reads, output = self.class_names[predicted], share(float(outputs[predicted]))
        words = [
            f"{self.run.methods[method]}, asked for {self.titles[target]}"
            + (f", sample {sample}" if sample else ""),
            f"{network_name(network)} reads {reads} with {output}, {'right' if right else 'wrong'}",
            *self._judged(scores),
        ]
        row = self._row(key, scores, outputs)
        self._shown += 1
        picture = self.pictures.add(result.images[target, sample])
        return Shot(picture, "; ".join(words), row, right, reads, output)

    def neighbours(self, network: str, method: int, target: int) -> list[Shot]:
        """Show the training images nearest to a method's best image, the nearest first."""
        nearest = self.run.nearest
        if nearest is None:
            return []
        shots = []
        for place, index in enumerate(nearest.found.get((network, method, target, 0), ())):
            if index not in nearest.images:
                continue
            label = class_word(str(nearest.labels[index]), self.class_names)
            what = (
                "nearest training image"
                if place == 0
                else f"training image {place + 1} by distance"
            )
            alt = f"{what}, number {index}, labelled {label}"
            picture = self.pictures.add(nearest.images[index])
            shots.append(Shot(picture, alt, "", True, label, "", f"#{index}"))
        return shots

    def bare(self, image: np.ndarray, alt: str) -> Shot:
        """Show an image without scores."""
        return Shot(self.pictures.add(image), alt, "", True, "", "")

    def data(self) -> dict[str, Any]:
        """Give all scores of what was shown, for the page's script."""
        return {
            "methods": list(self.run.methods),
            "networks": {name: network_name(name) for name in self.run.results},
            "targets": self.titles,
            "classes": list(self.class_names),
            "columns": [list(column) for column in self._columns],
            "rows": self._data,
        }

    def _row(self, key: Key, scores: Row, outputs: np.ndarray) -> str:
        if key not in self._rows:
            self._rows[key] = str(len(self._data))
            cells = [
                cell(name, scores.get(name, ""), self.class_names) for _, name, _ in self._columns
            ]
            answers = [plain(float(value), 3) for value in outputs]
            self._data.append([*key, cells, answers])
        return self._rows[key]

    def _judged(self, scores: Mapping[str, str]) -> list[str]:
        """Say what the judges read."""
        words = []
        for column in self.run.columns:
            name, ending = column.removesuffix("_reads"), column.endswith("_reads")
            if not ending and column != "judged":
                continue
            read = class_word(scores.get(column) or "-1", self.class_names)
            if read != UNKNOWN:
                words.append(f"{name} judge reads {read}" if ending else f"judge reads {read}")
        return [", ".join(words)] if words else []


def network_name(name: str) -> str:
    """Say which network a name means."""
    return (
        f"network {name}" if name.isdecimal() else CONTROL_NAMES.get(name, name.replace("_", " "))
    )
