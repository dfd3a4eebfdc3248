"""What the cases share: options, data, the trained network, timing and judging."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxbq import MLP, Codes, Dataset, train
from jaxbq.methods import Result
from jaxbq.runtime.devices import type_of

from .options import Benchmark, PartName
from .peers.plain import Layers, layers_of
from .record import Case, row_of
from .timing import Contender, alternate


class Session:
    """One run of a benchmark.

    Args:
        options: what is measured.
        say: is given one line, from time to time.
    """

    def __init__(self, options: Benchmark, say: Callable[[str], None]) -> None:
        self.options = options.resolved()
        self.say = say
        self.dtype = type_of(options.precision)

    @cached_property
    def data(self) -> Dataset:
        """Images and labels."""
        assert self.options.data is not None
        data = self.options.data.load()
        self.say(f"data: {data.describe()}")
        return data

    @cached_property
    def model(self) -> MLP:
        """The network that is trained and inverted."""
        return MLP((self.data.space.pixels, *self.options.hidden, self.data.classes))

    @cached_property
    def params(self) -> Any:
        """Its trained parameters."""
        key = jax.random.key(self.options.seed)
        rule = self.options.inverted
        return train(self.model, self.data, rule, key=key, dtype=self.dtype).params

    @cached_property
    def layers(self) -> Layers:
        """The same for other libraries."""
        return layers_of(self.params)

    def first_params(self, model: MLP) -> Any:
        """Draw the parameters that every contender starts from."""
        return model.init(jax.random.key(self.options.seed), jnp.dtype(self.dtype))

    def targets(self, number: int) -> np.ndarray:
        """Ask for so many images, one class after another; shape (number, classes)."""
        return targets_of(self.data.classes, number)

    def measure(
        self,
        part: PartName,
        title: str,
        contenders: Sequence[Contender],
        *,
        unit: str,
        work: float = 1.0,
        x: float | None = None,
        rounds: int | None = None,
    ) -> Case:
        """Time a case, jaxbq first; one call does ``work`` units, ``x`` is what a sweep changes."""
        self.say(f"measuring: {title}")
        most = min(rounds or self.options.rounds, self.options.rounds)
        timings = alternate(contenders, most, limit=self.options.seconds)
        rows = tuple(row_of(c, timings.get(c.name)) for c in contenders)
        return Case(part=part, title=title, unit=unit, work=work, x=x, rows=rows)

    def judge(self, targets: np.ndarray, tolerance: float) -> Callable[[Any], dict[str, float]]:
        """Make what asks the trained network about images, jaxbq's or a peer's.

        Args:
            targets: wanted outputs, shape (targets, classes); each of one image or more.
            tolerance: largest error of an output that counts as reached.
        """

        def quality(last: Any) -> dict[str, float]:
            images = last.images if isinstance(last, Result) else np.asarray(last)
            rows = np.asarray(images.reshape(-1, images.shape[-1]), self.dtype)
            outputs = np.asarray(self.model.apply(self.params, rows), np.float64)
            wanted = np.repeat(targets, len(rows) // len(targets), axis=0)
            errors = np.abs(outputs - wanted).max(axis=1)
            return {"largest error": errors.max(), "reached": int((errors <= tolerance).sum())}

        return quality


def targets_of(classes: int, number: int) -> np.ndarray:
    """Make the codes of so many targets, one class after another."""
    return Codes().matrix(classes)[np.arange(number) % classes]
