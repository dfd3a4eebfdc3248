"""What a benchmark measures: its options, read from TOML like those of an experiment."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from annotated_types import Ge, Gt, Le, Len, Lt

from jaxbq import BookTraining, JaxbqError, Mnist, Mnist10k, Optimiser, Training
from jaxbq.data import Source
from jaxbq.experiment.reading import apply_change, read_table
from jaxbq.options import options, validate

PartName = Literal["training", "ascent", "methods", "target", "batch", "width", "depth", "image"]
PARTS: tuple[PartName, ...] = get_args(PartName)

Count = Annotated[int, Gt(0), Le(10**7)]
Counts = Annotated[tuple[Count, ...], Len(1)]
Beta = Annotated[float, Gt(0), Lt(1)]
Rates = Annotated[tuple[Annotated[float, Gt(0)], ...], Len(1)]


@options
class AscentCases:
    """Ascents of the trained network, every image for every step.

    Args:
        images: how many at once, one case each.
        steps: of every image.
        slow: most images that Lucent's defaults, which take minutes, are timed on.
    """

    images: Counts = (10, 640)
    steps: Count = 500
    slow: Annotated[int, Ge(0)] = 10


@options
class TargetCases:
    """Time until all classes × starts are answered with their target vector.

    Args:
        starts: random images from which every class is approached.
        tolerances: largest error of an output that counts as reached, one case each.
        rates: learning rates from which projected Adam takes the best, of two costs.
        betas: its betas, likewise.
        steps: most steps of an ascent and of projected Adam.
        every: steps of projected Adam between two checks of the tolerance.
    """

    starts: Count = 64
    tolerances: Rates = (1e-1, 1e-2, 1e-3)
    rates: Rates = (0.01, 0.03, 0.1, 0.2, 0.4, 0.8, 1.6)
    betas: Annotated[tuple[tuple[Beta, Beta], ...], Len(1)] = (
        *((0.9, second) for second in (0.999, 0.99, 0.95, 0.9, 0.85, 0.8)),
        (0.8, 0.9),
    )
    steps: Count = 3000
    every: Count = 10


@options
class Sweeps:
    """Ascents along one size at a time: images, hidden units, hidden layers, pixels of a side.

    Args:
        images: at once, where their number is not swept.
        steps: of every image.
    """

    batch: Counts = (1, 10, 100, 1000, 10_000)
    width: Counts = (50, 200, 1000, 5000)
    depth: Counts = (1, 2, 4, 8)
    sides: Counts = (7, 14, 28, 56, 112)
    images: Count = 100
    steps: Count = 200


@options
class Benchmark:
    """What is measured, and against what.

    Args:
        parts: which parts, in this order.
        rounds: timed rounds of every contender.
        seconds: most seconds of the rounds of a case; fewer rounds are timed then, at least one.
        seed: of weights and starts.
        precision: in which all contenders compute.
        data: source of the images; by default the full MNIST where JAXBQ_DATA names its folder,
            else its embedded part.
        hidden: units of the hidden layers, which are sigmoid.
        training: of every contender of the part ``training``; by Adam on the cross-entropy.
        inverted: training of the network whose ascents and targets are timed.
        book: the book's rule.
        ascent: ascents of the trained network.
        target: time to a target error.
        sweeps: throughput along one size.
    """

    parts: Annotated[tuple[PartName, ...], Len(1)] = PARTS
    rounds: Count = 5
    seconds: Annotated[float, Gt(0)] = 40.0
    seed: Annotated[int, Ge(0), Le(2**32 - 1)] = 0
    precision: Literal["float32", "float64", "tf32"] = "float32"
    data: Source | None = None
    hidden: Counts = (200,)
    training: Training = Training(epochs=10, optimiser=Optimiser(learning_rate=5e-3))
    inverted: Training = Training(epochs=10, optimiser=Optimiser(learning_rate=1e-3))
    book: BookTraining = BookTraining()
    ascent: AscentCases = AscentCases()
    target: TargetCases = TargetCases()
    sweeps: Sweeps = Sweeps()

    def resolved(self) -> "Benchmark":
        """Name the data where the options do not."""
        if self.data is not None:
            return self
        source = Mnist() if os.environ.get("JAXBQ_DATA") else Mnist10k()
        return dataclasses.replace(self, data=source)

    def table(self) -> dict[str, Any]:
        """Every option with its value, as plain data."""
        return dataclasses.asdict(self.resolved())

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that change with every option but ``parts``."""
        table = self.table() | {"parts": None}
        return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:8]


def load_options(path: Path, changes: Sequence[str] = ()) -> Benchmark:
    """Read what is to be measured from TOML, with changes ``key=value`` as for an experiment.

    Raises:
        JaxbqError: the file cannot be read, or something in it is wrong; one line says what.
    """
    table = read_table(path, ())
    for change in changes:
        apply_change(table, change)
    found: Benchmark = validate(Benchmark, table, str(path))
    rule = found.training
    if rule.loss != "bce" or rule.optimiser.name != "adam":
        raise JaxbqError(
            f"{path}: the peers train by Adam on the cross-entropy; leave training.loss at 'bce' "
            "and training.optimiser.name at 'adam'"
        )
    return found
