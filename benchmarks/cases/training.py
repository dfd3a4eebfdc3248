"""Training: an epoch by every library and by the book's loop, and the accuracy each reaches."""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxbq import MLP, BookTraining, Codes, Dataset, Training
from jaxbq.training import accuracy
from jaxbq.training.loop import arrays_of

from ..peers import offer, plain, pytorch
from ..record import Case
from ..session import Session
from ..timing import Contender

_BOOK_RULE, _BOOK_LOOP = "jaxbq, the book's rule", "the book's NumPy loop"
# Records that the book's loop is timed on: an epoch of it takes longer than all else together.
_SHARE = 2000


class Ours:
    """jaxbq's compiled epoch of a network by a rule, from where the last one ended."""

    def __init__(
        self, session: Session, model: MLP, data: Dataset, rule: Training | BookTraining
    ) -> None:
        self._model, self._data, self._rule = model, data, rule
        labels, dtype = data.train_labels, session.dtype
        self._arrays: Any = arrays_of(model, data, labels, rule, dtype, alone=True)
        self.params = session.first_params(model)
        self._state: Any = rule.start(model, self.params, len(labels))
        self._key, self._epoch = jax.random.key(session.options.seed), 0

    def epoch(self) -> Any:
        """Train for another epoch; return its sums."""
        self._epoch += 1
        key = jax.random.fold_in(self._key, self._epoch)
        order = self._rule.order(key, len(self._arrays.images))
        self.params, self._state, sums = self._rule.epoch(
            self._model, self.params, self._state, self._arrays, order, key
        )
        return sums

    def accuracy(self) -> float:
        """Compute the share of test images that are read right."""
        data = self._data
        return accuracy(self._model, self.params, data.test_images, data.test_labels)


def training(session: Session) -> Iterator[Case]:
    """Time an epoch of every contender; then train each again, to see what it reaches."""
    options, task = session.options, task_of(session)
    book = MLP(session.model.sizes, bias=False)
    makers: dict[str, Callable[[], Any]] = {
        "jaxbq": partial(Ours, session, session.model, session.data, options.training),
        "PyTorch, eager": partial(pytorch.Eager, task),
        "PyTorch, torch.compile": partial(pytorch.Compiled, task),
        "scikit-learn": partial(plain.Classifier, task),
        _BOOK_RULE: partial(Ours, session, book, book_data(session.data), options.book),
    }

    def contender(name: str) -> Contender:
        peer = not name.startswith("jaxbq")
        # jaxbq's second epoch compiles again, for arrays that a program has made.
        return Contender(name, makers[name]().epoch, peer=peer, warm=1 if peer else 2)

    loop = _book_loop(session, plain.layers_of(session.first_params(book)))
    case = session.measure(
        "training",
        f"an epoch of {len(task.codes)} images, Adam, batch {task.batch}",
        [*(offer(name, partial(contender, name)) for name in makers), loop],
        unit="epochs",
    )
    session.say("measuring: the accuracy that each reaches")
    reached: dict[str, list[float]] = {}
    for row in case.rows:
        if row.seconds and row.contender in makers:
            epochs = options.book.epochs if row.contender == _BOOK_RULE else options.training.epochs
            reached[row.contender] = _accuracies(makers[row.contender](), epochs)
    reached[_BOOK_LOOP] = reached[_BOOK_RULE]  # the same up to rounding
    rows = []
    for row in case.rows:
        found = reached.get(row.contender, [])
        quality: dict[str, float | None] = {}
        first = (n for n, share in enumerate(found, 1) if share >= reached[_BOOK_RULE][-1])
        if row.median is not None:
            needed = next(first, None)
            quality["test accuracy"] = found[-1]
            quality["seconds to the book's"] = None if needed is None else needed * row.median
        rows.append(row.model_copy(update={"quality": quality}))
    yield case.model_copy(update={"rows": tuple(rows)})


def _accuracies(learner: Any, epochs: int) -> list[float]:
    found = []
    for _ in range(epochs):
        learner.epoch()
        found.append(learner.accuracy())
    return found


def task_of(session: Session) -> plain.Task:
    """Make the task that every library is given."""
    rule, data = session.options.training, session.data
    codes = Codes().matrix(data.classes)[data.train_labels].astype(session.dtype)
    layers = plain.layers_of(session.first_params(session.model))
    rate = float(rule.optimiser.learning_rate)
    return plain.Task(data, codes, layers, rule.batch_size, rate, session.options.seed)


def book_data(data: Dataset) -> Dataset:
    """Scale pixels in [0, 1] to [0.01, 1], as the book does."""
    images = (data.train_images * 0.99 + 0.01, data.test_images * 0.99 + 0.01)
    scaled, tested = (each.astype(np.float32) for each in images)
    space = dataclasses.replace(data.space, low=0.01, high=1.0)
    return dataclasses.replace(data, train_images=scaled, test_images=tested, space=space)


def _book_loop(session: Session, layers: Any) -> Contender:
    """Make the book's loop, on a share of an epoch."""
    rule, data, whole = session.options.book, session.data, len(session.data.train_labels)
    number = min(_SHARE, whole)
    records = plain.records_of(data.train_images[:number], data.train_labels[:number])
    off = 0.01 if rule.off is None else rule.off

    def call() -> object:
        return plain.Book(layers, rule.learning_rate, rule.on, off).read(records)

    note = f"timed on {number} of {whole} images; accuracy of jaxbq's, the same up to rounding"
    return Contender(_BOOK_LOOP, call, scale=whole / number, note=note)
