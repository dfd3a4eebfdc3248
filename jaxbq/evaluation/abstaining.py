"""Judges that may abstain: trained on mush too, and bound by what real images look like."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..data import Dataset
from ..network.mlp import MLP
from ..training import fit
from ..training.rules import TrainingArrays
from .convolutional import Convolutional
from .edges import NearestVotes, Typical, edges
from .independent import some_of, trained_once
from .judges import Gate, Judge, Recipe, blind_judges, parameters_of, shares
from .mush import HARD, KINDS, Source, source
from .similarity import shifted

_VERSION = 1  # raised whenever a change of code makes other judges of the same options
_SEED = 1_618_034
_HELD = 10  # every tenth training image is held back, to fix thresholds
_REFUSED = 0.02  # share of these that a judge may refuse
_LEAST_IMAGES = 100  # below, none is held back
_LEAST_ROWS = 2500
_FAINTEST = 0.7  # contrast that still counts
_MUSH = 0.7  # for each image of the data
_HARDER = 4  # times as much of the kinds that are hard
_DENSE, _CONVOLUTIONAL = Recipe(12, 3e-3, 128, 1.0), Recipe(10, 4e-3, 128, 0.7)


class _Made(NamedTuple):
    """Specifications of the three, arranged as one for the cache."""

    dense: MLP
    convolutional: Any
    neighbour: NearestVotes

    def init(self, key: Array) -> Any:
        """Arrange the parameters of all, what is typical, thresholds and accuracies."""
        fill = jnp.zeros(1)
        each = {name: network.init(key) for name, network in self._asdict().items()}
        return each | {"typical": Typical(*[fill] * 4), "least": fill, "right": fill}


def trained_judges(data: Dataset) -> tuple[Judge, ...]:
    """Return the judges of a data set: three that may abstain, and two that must answer.

    ``dense``, ``convolutional`` and ``neighbour`` are those of :func:`abstaining_judges`, which say
    whether an image can be read; ``blind_dense`` and ``blind_convolutional`` are those of
    :func:`~jaxbq.evaluation.judges.blind_judges`, which say whether it holds traces of a class.
    All are kept in the cache, and trained in some seconds where they are not there.
    """
    # Apart, so that two threads may make one each.
    abstaining = data.once("abstaining judges", lambda: abstaining_judges(data))
    return *abstaining, *data.once("blind judges", lambda: blind_judges(data))


def abstaining_judges(data: Dataset, without: Sequence[str] = ()) -> tuple[Judge, ...]:
    """Train judges of three makes on images of the data and on mush, or read them from the cache.

    A dense network and the nearest neighbours see an image's edges, a convolutional network its
    pixels, clipped to their range; nothing is standardised, so a faint trace on grey is no image.
    All have one answer more than there are classes. A judge accepts an image where it is as sure
    of a class as it is of real ones, and where the image's edges are as typical of that class: the
    thresholds accept 98 % of the real images that were held back from training. Of fewer than 100
    images none are held back; a judge then accepts what it thinks more likely a class than none.

    Args:
        data: the data set. Its test images are for the accuracies alone.
        without: kinds of mush, of :data:`~jaxbq.evaluation.mush.KINDS`, to train without.
    """
    pixels, outputs = data.space.pixels, data.classes + 1
    of = source(np.zeros((1, pixels), np.float32), np.zeros(1, int), data.space, _random())
    features = edges(of.images, of.grid).shape[1]
    dense = MLP((features, 256, outputs), "relu", "softmax")
    other: Any = Convolutional.of(data.space.shape, outputs)
    what = "convolutions on pixels"
    if other is None:
        other = MLP((pixels, 128, 64, outputs), "tanh", "softmax")
        what = "two hidden layers, 128 and 64 tanh, on pixels"
    networks = _Made(dense, other, NearestVotes(outputs))
    kinds = [kind for kind in KINDS if kind not in without]
    settings = [_VERSION, _SEED, _HELD, _REFUSED, _LEAST_ROWS, _FAINTEST, _MUSH, _HARDER]
    found, _ = trained_once(
        "judges",
        {
            "judge": "abstaining",
            "rules": [repr(each.rule) for each in (_DENSE, _CONVOLUTIONAL)],
            "settings": settings,
            "kinds": kinds,
        },
        data,
        networks,
        lambda: _make(networks, kinds, data),
        lambda _: np.zeros((len(data.test_labels), 1)),
    )
    trained = f"trained on {_parts(data)[0].size:,} images and on mush: {', '.join(kinds)}"
    descriptions = "one hidden layer of 256 ReLU on edges", what, "5 nearest neighbours by edges"
    return tuple(
        dataclasses.replace(judge, description=f"{words}; {trained}", test_accuracy=float(right))
        for judge, words, right in zip(
            _assembled(networks, found, data, of), descriptions, found["right"], strict=True
        )
    )


def _assembled(networks: _Made, found: Any, data: Dataset, of: Source) -> list[Judge]:
    typical = Typical(*found["typical"])
    least = np.broadcast_to(found["least"], (3, 2))
    judges = []
    for (name, network), (sure, near) in zip(networks._asdict().items(), least, strict=True):
        params = found[name]
        gate = Gate(data.space, of.grid, name != "convolutional", typical, float(sure), float(near))
        number = parameters_of(params)
        judges.append(
            Judge(name, "", number, np.nan, network, params, standardised=False, gate=gate)
        )
    return judges


def _random() -> np.random.Generator:
    return np.random.default_rng(_SEED)


def _parts(data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Split the training images into what is trained on and what is held back."""
    chosen = _random().permutation(some_of(data, _SEED))
    held = len(chosen) // _HELD if len(chosen) >= _LEAST_IMAGES else 0
    return np.sort(chosen[held:]), np.sort(chosen[:held])


def _make(networks: _Made, kinds: Sequence[str], data: Dataset) -> Any:
    random = _random()
    train, held = _parts(data)
    images, labels = shares(data.train_images, data.space), data.train_labels
    of = source(images[train], labels[train], data.space, random)
    rows = np.tile(train, -(-_LEAST_ROWS // len(train)))
    parts = {kind: _HARDER if kind in HARD else 1 for kind in kinds}
    part = -(-round(2 * _MUSH * len(rows)) // sum(parts.values()))
    mush = np.concatenate([of.draw(kind, part * number) for kind, number in parts.items()])
    real, mushy = images[rows], edges(mush, of.grid)
    plain = edges(of.images, of.grid)
    seen = [edges(_disturbed(real, data, _DENSE, random), of.grid) for _ in range(3)]
    known = np.concatenate([plain, mushy])
    owners = np.concatenate([of.labels, np.full(len(mushy), data.classes)])
    back = edges(images[held], of.grid) if len(held) else plain
    found = {
        "dense": _train(
            networks.dense, _DENSE, lambda epoch: seen[epoch % 3], mushy, labels[rows], random
        ),
        "convolutional": _train(
            networks.convolutional,
            _CONVOLUTIONAL,
            lambda _: _disturbed(real, data, _CONVOLUTIONAL, random),
            mush,
            labels[rows],
            random,
        ),
        "neighbour": networks.neighbour.fitted(known, owners.astype(np.int32), back),
        "typical": Typical.fitted(plain, of.labels, data.classes),
    }
    open_ = found | {"least": np.array([-np.inf, -np.inf])}
    judges = _assembled(networks, open_, data, of)
    least = np.array([_thresholds(judge, images[held]) for judge in judges])
    right = []
    for judge in _assembled(networks, found | {"least": least}, data, of):
        chances, accepted = judge.judge(data.test_images)
        right.append((accepted & (chances.argmax(axis=1) == data.test_labels)).mean())
    return found | {"least": least, "right": np.array(right)}


def _thresholds(judge: Judge, held: Float[np.ndarray, "n pixels"]) -> tuple[float, float]:
    """Find the level at which both of a judge's tests together refuse few enough of these."""
    if len(held) == 0:
        return float(np.log(0.5)), -np.inf
    assert judge.gate
    low, high = judge.gate.space.low, judge.gate.space.high
    _, sure, near = judge.measured(low + held * (high - low))
    for level in np.linspace(_REFUSED, 0, 21):
        least = np.quantile(sure, level), np.quantile(near, level)
        if ((sure >= least[0]) & (near >= least[1])).mean() >= 1 - _REFUSED:
            break
    return float(least[0]), float(least[1])


def _disturbed(
    images: np.ndarray, data: Dataset, recipe: Recipe, random: np.random.Generator
) -> np.ndarray:
    seen = shifted(images, data.space.shape, recipe.shifted, random)
    return seen * random.uniform(_FAINTEST, 1, (len(seen), 1)).astype(np.float32)


def _train(
    network: Any,
    recipe: Recipe,
    real: Any,
    mush: np.ndarray,
    labels: Int[np.ndarray, " n"],
    random: np.random.Generator,
) -> Any:
    """Train on real images and half of the mush, each epoch on others."""
    none = network.shapes[-1][1] - 1
    codes = np.eye(none + 1, dtype=np.float32)
    total = -(-round(len(labels) * (1 + _MUSH)) // recipe.batch) * recipe.batch

    def epochs() -> Iterator[TrainingArrays]:
        for epoch in range(recipe.epochs):
            rows = mush[random.permutation(len(mush))[: total - len(labels)]]
            shown = np.concatenate([real(epoch), rows])
            answers = np.concatenate([labels, np.full(len(rows), none)])
            rows, wanted = jax.device_put((shown, codes[answers]))
            yield TrainingArrays(rows, wanted, -jnp.inf, jnp.inf)

    key = jax.random.key(_SEED)
    return fit(recipe.rule, network, network.init(key, jnp.float32), epochs(), key)[0]
