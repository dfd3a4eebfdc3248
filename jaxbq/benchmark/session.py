"""What the parts of a benchmark share: options, data, the trained network, and the machine."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import jax
import numpy as np

from ..data import Dataset
from ..network.mlp import MLP, Params
from ..network.targets import Codes
from ..training import Trained, train
from .options import Benchmark
from .peak import Peak
from .record import case_of, row_of
from .timing import Contender, alternate

Layers = tuple[tuple[np.ndarray, np.ndarray | None], ...]
"""Weights (fan_in, fan_out) and biases of every layer, as every library can read them."""


class Session:
    """One run of a benchmark.

    Args:
        options: what is measured.
        peak: measures the machine.
        say: is given one line, from time to time.
    """

    def __init__(self, options: Benchmark, peak: Peak, say: Callable[[str], None]) -> None:
        self.options = options.settled()
        self.peak = peak
        self.say = say
        self.once: dict[str, Any] = {}
        """What a part has found out once, by name."""

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
    def trained(self) -> Trained:
        """That network, trained."""
        return train(
            self.model,
            self.data,
            self.options.inverted,
            key=jax.random.key(self.options.seed),
            dtype=self.options.dtype,
        )

    @property
    def params(self) -> Params:
        """Its parameters."""
        return self.trained.params

    @cached_property
    def layers(self) -> Layers:
        """Its parameters for other libraries."""
        return layers_of(self.params)

    def targets(self, number: int) -> np.ndarray:
        """Ask for so many images, one class after another."""
        return targets_of(self.data.classes, number)

    def measure(
        self,
        part: str,
        title: str,
        contenders: Sequence[Contender],
        *,
        rounds: int | None = None,
        flops: float | None = None,
        flops_of: dict[str, float] | None = None,
        **about: Any,
    ) -> dict[str, Any]:
        """Time a case, the machine's peak along with it, and put its rows together.

        Args:
            part: of the benchmark.
            title: of the case.
            contenders: jaxbq first.
            rounds: timed ones, where not as many as of the others.
            flops: of the matrix products of one call.
            flops_of: of contenders that do other work, by name; None for who does less.
            about: ``unit``, ``work``, ``x``, ``bytes_moved`` of the case.
        """
        self.say(f"measuring: {title}")
        chosen = self.options.rounds if rounds is None else min(rounds, self.options.rounds)
        timings = alternate([*contenders, *self.peak.products], chosen, limit=self.options.seconds)
        peak = self.peak.gflops(timings)
        rows = [
            row_of(
                contender,
                timings.get(contender.name),
                flops=(flops_of or {}).get(contender.name, flops),
                peak=peak,
            )
            for contender in contenders
        ]
        return case_of(part, title, rows, flops=flops, peak=peak, **about)


def layers_of(params: Params) -> Layers:
    """Copy parameters to the host."""
    return tuple(
        (np.array(layer.weight), None if layer.bias is None else np.array(layer.bias))
        for layer in params
    )


def targets_of(classes: int, number: int) -> np.ndarray:
    """Make the codes of so many targets, one class after another."""
    return Codes().matrix(classes)[np.arange(number) % classes]
