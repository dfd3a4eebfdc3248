"""The networks of the page: the demo's, and two of the same make that learnt nothing."""

import dataclasses

import jax
import numpy as np

from ..data import Dataset, Mnist10k, rescaled
from ..errors import JaxbqError
from ..evaluation.independent import logits_of, trained_once
from ..network.files import NetworkFile
from ..network.mlp import MLP, Params
from ..training import Training, check_ends, train

_MOST_CONTROLLED = 600_000  # weights; three networks of more would make a page of 20 MB


def demo_network() -> tuple[NetworkFile, Dataset]:
    """Train 784-200-10 on the embedded digits, or read it from the cache, where it is kept."""
    data = Mnist10k().load()
    model = MLP((data.space.pixels, 200, data.classes))
    return NetworkFile(model, _trained(model, data), data.space, data.class_names), data


def fitting_digits(network: NetworkFile) -> Dataset | None:
    """Return the embedded digits in the network's pixel range; None where they do not fit it."""
    data = Mnist10k().load()
    fits = network.space.shape == data.space.shape and network.class_names == data.class_names
    return rescaled(data, network.space.low, network.space.high) if fits else None


def controls(network: NetworkFile, data: Dataset | None) -> tuple[dict[str, Params], str]:
    """Make networks that learnt nothing, of the same specification; say why one is missing."""
    model = network.model
    if sum(n * m for n, m in model.shapes) > _MOST_CONTROLLED:
        return {}, f"Networks of over {_MOST_CONTROLLED:,} weights have no controls here."
    random = {"random weights": model.init(jax.random.key(1))}
    if data is None:
        return random, "Without training images there is no control by labels."
    order = np.random.default_rng(1).permutation(len(data.train_labels))
    permuted = dataclasses.replace(data, train_labels=data.train_labels[order])
    try:
        check_ends(model, data)
        return {"permuted labels": _trained(model, permuted)} | random, ""
    except JaxbqError as fault:
        return random, f"There is no control by labels: {fault}."


def _trained(model: MLP, data: Dataset) -> Params:
    losses = {"sigmoid": "bce", "softmax": "cross_entropy"}
    rule = Training(loss=losses.get(model.output, "squared_error"))  # type: ignore[arg-type]

    def read(params: Params) -> np.ndarray:
        return logits_of(model, params, data.test_images)

    def make() -> Params:
        return train(model, data, rule).params

    params: Params = trained_once("play", {"rule": repr(rule)}, data, model, make, read)[0]
    return params
