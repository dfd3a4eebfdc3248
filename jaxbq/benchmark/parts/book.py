"""The book's rule: jaxbq's, and the loop as the book writes it."""

import dataclasses
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...data import Dataset
from ...network.mlp import MLP
from ...training import train
from ...training.rules import TrainingArrays
from .. import work
from ..peers.book import Book, records_of, scaled
from ..session import Session, layers_of
from ..timing import Contender

# Records that the loop is timed on: an epoch of it takes longer than all else together.
_SHARE = 2000


class BookCase:
    """The book's network on a data set.

    Args:
        session: options and data.
    """

    def __init__(self, session: Session) -> None:
        self._rule = session.options.book
        self.model = MLP(session.model.sizes, bias=False)
        self.data = _by_the_book(session.data)
        self._raw = session.data
        self._params = self.model.init(jax.random.key(session.options.seed), session.options.dtype)

    @cached_property
    def accuracy(self) -> float:
        """Test accuracy after all epochs, by jaxbq, which does the same up to rounding."""
        params = jax.tree.map(jnp.array, self._params)
        return train(
            self.model,
            self.data,
            self._rule,
            params=params,
            dtype=self._params[0].weight.dtype.name,
        ).test_accuracy

    @property
    def ours(self) -> Callable[[], Any]:
        """An epoch by jaxbq, from where the last one ended."""
        dtype = self._params[0].weight.dtype
        codes = self._rule.codes.matrix(self.data.classes)[self.data.train_labels]
        arrays = TrainingArrays(
            jnp.asarray(self.data.train_images, dtype), jnp.asarray(codes, dtype)
        )
        rule, model, order = self._rule, self.model, jnp.arange(len(codes))
        state = [jax.tree.map(jnp.array, self._params), rule.start(model, self._params, len(codes))]

        def epoch() -> Any:
            state[0], state[1], sums = rule.epoch(model, state[0], state[1], arrays, order)
            return sums

        return epoch

    def peers(self) -> list[Contender]:
        """Make the book's loop, and its step alone; each on a share of an epoch."""
        number = min(_SHARE, len(self._raw.train_labels))
        share = len(self._raw.train_labels) / number
        images, labels = self._raw.train_images[:number], self._raw.train_labels[:number]
        off = 0.01 if self._rule.off is None else self._rule.off
        layers, rate = layers_of(self._params), self._rule.learning_rate
        records, codes = records_of(images, labels), self._rule.codes.matrix(self.data.classes)
        prepared, wanted = scaled(images.astype(np.float64)), codes[labels]
        said = f"timed on {number} of {len(self._raw.train_labels)} images, times {share:g}"

        def loop() -> Any:
            return Book(layers, rate, self._rule.on, off).read(records)

        def step() -> Any:
            return Book(layers, rate, self._rule.on, off).step_through(prepared, wanted)

        return [
            Contender("the book's NumPy loop", loop, scale=share, note=f"as it is written; {said}"),
            Contender(
                "its training step alone",
                step,
                scale=share,
                note=f"images taken apart and scaled before; {said}",
            ),
        ]


def _by_the_book(data: Dataset) -> Dataset:
    return dataclasses.replace(
        data,
        train_images=scaled(data.train_images).astype(np.float32),
        test_images=scaled(data.test_images).astype(np.float32),
        space=dataclasses.replace(data.space, low=0.01, high=1.0),
    )


def book(session: Session) -> Iterator[dict[str, Any]]:
    """Time an epoch by the book's rule."""
    case = BookCase(session)
    number = len(case.data.train_labels)
    ours = Contender("jaxbq, the book's rule", case.ours, peer=False, warm=2)
    found = session.measure(
        "book",
        "an epoch by the book's rule, one image at a time",
        [ours, *case.peers()],
        unit="epochs",
        work=1.0,
        flops=work.training_flops(case.model.sizes, number),
    )
    for row in found["rows"]:
        row["quality"] = {"test accuracy": case.accuracy}
        if row["peer"]:
            row["note"] += "; accuracy of jaxbq, the same up to rounding"
    yield found
