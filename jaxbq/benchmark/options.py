"""What a benchmark measures: its options, read like those of an experiment."""

import dataclasses
import hashlib
import json
import os
from typing import Annotated, Any, Literal, get_args

from annotated_types import Ge, Gt, Le, Len

from ..data import Mnist, Mnist10k, Source
from ..data.sources import FOLDER_VARIABLE
from ..options import options
from ..runtime.devices import Precision, type_of
from ..training import BookTraining, Training
from ..training.optimisers import Optimiser

PartName = Literal[
    "training", "book", "ascent", "methods", "target", "batch", "width", "depth", "image", "memory"
]
PARTS: tuple[PartName, ...] = get_args(PartName)

Count = Annotated[int, Gt(0), Le(10**7)]
Counts = Annotated[tuple[Count, ...], Len(1)]
_QUICK = Optimiser(learning_rate=5e-3)  # the book's accuracy after three epochs
_USUAL = Optimiser(learning_rate=1e-3)


@options
class AscentCases:
    """Ascents of the trained network, every image for every step.

    Args:
        images: how many at once, one case each.
        steps: of every image.
        slow: most images that Lucent's defaults and SciPy, which take an image at a time or
            minutes, are asked for.
    """

    images: Counts = (10, 640)
    steps: Count = 500
    slow: Annotated[int, Ge(0)] = 10


@options
class MethodCases:
    """Every method of an experiment beside what a user would pick.

    Args:
        experiment: a config of ``jaxbq run``, meant from the folder in which the command is given;
            without one, every method with its defaults on the data of the benchmark.
        rounds: most timed rounds: learned inverses are trained anew in each.
    """

    experiment: str | None = None
    rounds: Count = 3


@options
class TargetCase:
    """Time until all classes × starts are answered with their target vector.

    Args:
        starts: random images that every class is approached from.
        tolerance: largest difference of any output from its target that counts as reached.
        rates: learning rates of which projected Adam takes the best.
        steps: the most that an ascent or projected Adam takes.
        every: steps of projected Adam between looks whether all are done.
        slow: images that SciPy is timed on, in place of all.
    """

    starts: Count = 64
    tolerance: Annotated[float, Gt(0)] = 1e-3
    rates: Annotated[tuple[Annotated[float, Gt(0)], ...], Len(1)] = (
        0.01,
        0.03,
        0.1,
        0.2,
        0.4,
        0.8,
        1.6,
    )
    steps: Count = 3000
    every: Count = 10
    slow: Count = 10


@options
class Sweeps:
    """Throughput of the ascent along one size at a time; weights are random.

    Args:
        batch: numbers of images.
        width: units of the hidden layer.
        depth: hidden layers of 200 units.
        sides: of square images, in pixels.
        images: at once, where it is not them that are swept.
        steps: of every image.
    """

    batch: Counts = (1, 10, 100, 1000, 10_000)
    width: Counts = (50, 200, 1000, 5000)
    depth: Counts = (1, 2, 4, 8)
    sides: Counts = (7, 14, 28, 56, 112)
    images: Count = 100
    steps: Count = 200


@options
class MemoryCases:
    """Peak memory against images, each in a process of its own.

    Args:
        images: how many at once, one case each.
        steps: of every ascent, which memory does not depend on.
    """

    images: Counts = (1000, 2000, 4000, 8000, 16_000)
    steps: Count = 20


@options
class Benchmark:
    """What is measured, and against what.

    Args:
        parts: which parts, in this order.
        rounds: timed rounds of every contender.
        seconds: that the rounds of a case may take; fewer rounds are timed then, one at least.
        seed: of weights and starts.
        precision: that all contenders compute in; with ``tf32`` a GPU rounds the products of
            jaxbq's ascents, of PyTorch, and of the peak that they are held to.
        data: where images come from; by default the full MNIST where JAXBQ_DATA names its folder,
            else its embedded part.
        hidden: units of the hidden layers, which are sigmoid.
        training: of every contender of the part ``training``.
        inverted: training of the network whose ascents and targets are timed.
        book: the book's rule.
        networks: trained at once in the part ``training``; 1 for none.
        ascent: ascents of the trained network.
        methods: every method.
        target: time to a target error.
        sweeps: along batch, width, depth and image.
        memory: against images.
    """

    parts: tuple[PartName, ...] = PARTS
    rounds: Count = 5
    seconds: Annotated[float, Gt(0)] = 40.0
    seed: Annotated[int, Ge(0), Le(2**32 - 1)] = 0
    precision: Precision = "float32"
    data: Source | None = None
    hidden: Counts = (200,)
    training: Training = Training(epochs=10, optimiser=_QUICK)
    inverted: Training = Training(epochs=10, optimiser=_USUAL)
    book: BookTraining = BookTraining()
    networks: Count = 10
    ascent: AscentCases = AscentCases()
    methods: MethodCases = MethodCases()
    target: TargetCase = TargetCase()
    sweeps: Sweeps = Sweeps()
    memory: MemoryCases = MemoryCases()

    def settled(self) -> "Benchmark":
        """Name the data that are meant where none are named."""
        if self.data is not None:
            return self
        source = Mnist() if os.environ.get(FOLDER_VARIABLE) else Mnist10k()
        return dataclasses.replace(self, data=source)

    @property
    def dtype(self) -> str:
        """Type of all arrays."""
        return type_of(self.precision)

    def resolved(self) -> dict[str, Any]:
        """Every option with its value, as plain data."""
        return dataclasses.asdict(self.settled())

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that change with every option but ``parts``."""
        table = {key: value for key, value in self.resolved().items() if key != "parts"}
        return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:8]
