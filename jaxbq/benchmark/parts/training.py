"""Training: an epoch by Adam against what a user would pick, and many networks at once."""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ...errors import JaxbqError
from ...training import train_many
from ...training.loop import accuracy, arrays_of
from .. import work
from ..peers import offer
from ..peers.learning import Learner, Task
from ..session import Session, layers_of
from ..timing import Contender
from .book import BookCase

_ACCURACY, _TIME = "test accuracy", "seconds to the book's accuracy"
_OURS, _INDEX = "jaxbq", "PyTorch eager, batches by index"
# The same updates but for rounding: not trained again.
_ALIKE = {
    "PyTorch eager, its default Adam": {"fused": False},
    "PyTorch eager, DataLoader": {"loader": True},
}


class Ours:
    """jaxbq's compiled epoch, from where the last one ended.

    Args:
        session: options and data.
        task: what is trained.
    """

    def __init__(self, session: Session, task: Task) -> None:
        self._rule, self._model = session.options.training, session.model
        labels, dtype = task.data.train_labels, session.options.dtype
        self._arrays = arrays_of(self._model, task.data, labels, self._rule, dtype, alone=True)
        self._params = _first_params(session)
        self._state = self._rule.start(self._model, self._params, len(labels))
        self._key, self._data, self._epoch = jax.random.key(task.seed), task.data, 0

    @property
    def flops(self) -> float:
        """Operations of an epoch: for pixels that few images use, only those of the uses."""
        common, uses = self._read
        sizes = (common, *self._model.sizes[1:])
        dense = work.training_flops(sizes, len(self._arrays.codes))
        return dense + work.sparse_flops(uses, sizes[1])

    @property
    def bytes_moved(self) -> float:
        """The least bytes of an epoch; a use is a value, its image and its pixel."""
        (common, uses), images = self._read, len(self._arrays.codes)
        inputs = images * common + 3 * uses
        sizes, batch = self._model.sizes, self._rule.batch_size
        return work.training_bytes(sizes, images, batch, inputs=inputs)

    @property
    def _read(self) -> tuple[int, int]:
        """Pixels of every image that are multiplied, and uses of the others in all."""
        rare = self._arrays.rare
        return self._arrays.images.shape[1], 0 if rare is None else len(rare.values)

    def epoch(self) -> Any:
        """Train for another epoch; return its sums."""
        self._epoch += 1
        key = jax.random.fold_in(self._key, self._epoch)
        order = self._rule.order(key, len(self._arrays.images))
        self._params, self._state, sums = self._rule.epoch(
            self._model, self._params, self._state, self._arrays, order, key
        )
        return sums

    def accuracy(self) -> float:
        """Compute the share of test images that are read right."""
        data = self._data
        return accuracy(self._model, self._params, data.test_images, data.test_labels)


def training(session: Session) -> Iterator[dict[str, Any]]:
    """Time an epoch of every contender; then train each anew, to see what it reaches."""
    task, book = task_of(session), BookCase(session)
    learners, first = _learners(session, task), Ours(session, task)
    ours = _contender(_OURS, lambda: first)
    others = [
        offer(name, partial(_contender, name, make))
        for name, make in learners.items()
        if name != _OURS
    ]
    others += book.peers()
    number = len(task.codes)
    dense = work.training_flops(session.model.sizes, number)
    case = session.measure(
        "training",
        f"an epoch, Adam, batch {task.batch}, {number} images",
        [ours, *others],
        unit="epochs",
        work=1.0,
        flops=first.flops,
        flops_of={other.name: dense for other in others},
        bytes_moved=first.bytes_moved,
    )
    session.say("measuring: the accuracy that each reaches")
    for row in case["rows"]:
        _judge(row, learners.get(row["contender"]), session, book)
    yield case
    if session.options.networks > 1:
        yield _together(session)


def task_of(session: Session) -> Task:
    """Make the task that all contenders are given.

    Raises:
        JaxbqError: the peers do not train as the options say.
    """
    rule, data = session.options.training, session.data
    if rule.loss != "bce" or rule.optimiser.name != "adam":
        raise JaxbqError(
            "benchmark: the others train by Adam on the cross-entropy; leave training.loss at "
            "'bce' and training.optimiser.name at 'adam'"
        )
    codes = rule.codes.matrix(data.classes)[data.train_labels].astype(session.options.dtype)
    layers = layers_of(_first_params(session))
    rate = float(rule.optimiser.learning_rate)
    return Task(data, codes, layers, rule.batch_size, rate, session.options.seed)


def _first_params(session: Session) -> Any:
    key = jax.random.key(session.options.seed)
    return session.model.init(key, jnp.dtype(session.options.dtype))


def _learners(session: Session, task: Task) -> dict[str, Callable[[], Learner]]:
    def compiled() -> Learner:
        from ..peers.pytorch_training import Compiled

        return Compiled(task)

    def eager(**how: Any) -> Learner:
        from ..peers.pytorch_training import Eager

        return Eager(task, **how)

    def classifier() -> Learner:
        from ..peers.sklearn_training import Classifier

        return Classifier(task)

    return {
        _OURS: partial(Ours, session, task),
        _INDEX: eager,
        **{name: partial(eager, **how) for name, how in _ALIKE.items()},
        "PyTorch, torch.compile": compiled,
        "scikit-learn": classifier,
    }


def _contender(name: str, make: Callable[[], Learner]) -> Contender:
    learner, peer = make(), name != _OURS
    note = "softmax outputs: it has no others" if name == "scikit-learn" else ""
    return Contender(name, learner.epoch, peer=peer, warm=1 if peer else 2, note=note)


def _judge(
    row: dict[str, Any], make: Callable[[], Learner] | None, session: Session, book: BookCase
) -> None:
    """Say how well a contender's network reads, and when it read as well as the book's."""
    if row["median"] is None:
        return
    if make is None:
        epochs = session.options.book.epochs
        row["quality"] = {_ACCURACY: book.accuracy, _TIME: epochs * row["median"]}
        row["note"] += f"; after {epochs} epochs, accuracy of jaxbq, the same up to rounding"
        return
    if row["contender"] in _ALIKE:
        row["note"] = "the same updates as by index: not trained again"
        return
    learner, needed = make(), None
    for epoch in range(1, session.options.training.epochs + 1):
        learner.epoch()
        reached = learner.accuracy()
        if needed is None and reached >= book.accuracy:
            needed = epoch
    row["quality"] = {
        _ACCURACY: reached,
        _TIME: None if needed is None else needed * row["median"],
    }


def _together(session: Session) -> dict[str, Any]:
    """Time many networks at once, and one after another, against one."""
    number, data, model = session.options.networks, session.data, session.model
    rule = session.options.training
    one = _for_an_epoch(rule)
    keys = [jax.random.key(seed) for seed in range(number)]
    contenders = []
    for name, chosen, together in (
        ("jaxbq, one network", keys[:1], False),
        (f"jaxbq, {number} at once", keys, True),
        (f"jaxbq, {number} one after another", keys, False),
    ):
        call = partial(
            train_many,
            model,
            data,
            one,
            keys=chosen,
            dtype=session.options.dtype,
            together=together,
        )
        note = "" if len(chosen) == 1 else f"{number} times the work"
        contenders.append(Contender(name, call, peer=False, note=note))
    return session.measure(
        "training",
        f"{number} networks for an epoch, from start to end",
        contenders,
        rounds=3,
        unit="calls",
        work=1.0,
    )


def _for_an_epoch(rule: Any) -> Any:
    return dataclasses.replace(rule, epochs=1)
