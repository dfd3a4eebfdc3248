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
from ..training.losses import LossName

_MOST_CONTROLLED = 600_000  # weights; three networks of more would make a page of 20 MB
_LOSSES: dict[str, LossName] = {"sigmoid": "bce", "softmax": "cross_entropy"}


def demo_network() -> tuple[NetworkFile, Dataset]:
    """Train 784-200-10 on the embedded digits, or read it from the cache, where it is kept."""
    data = Mnist10k().load()
    model = MLP((data.space.pixels, 200, data.classes))
    params = _trained(model, data, "demo", data)
    return NetworkFile(model, params, data.space, data.class_names), data


def fitting_digits(network: NetworkFile) -> Dataset | None:
    """Return the embedded digits in the network's pixel range; None where they do not fit it."""
    data = Mnist10k().load()
    fits = network.space.shape == data.space.shape and network.class_names == data.class_names
    return rescaled(data, network.space.low, network.space.high) if fits else None


def controls(network: NetworkFile, data: Dataset | None) -> tuple[dict[str, Params], str]:
    """Make networks of the same specification that learnt nothing.

    Returns:
        Their parameters by name; and why one is missing, if one is.
    """
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
        return {"permuted labels": _trained(model, permuted, "permuted", data)} | random, ""
    except JaxbqError as fault:
        return random, f"There is no control by labels: {fault}."


def _trained(model: MLP, data: Dataset, name: str, original: Dataset) -> Params:
    rule = Training(loss=_LOSSES.get(model.output, "squared_error"))
    params: Params = trained_once(
        "play",
        {"name": name, "rule": repr(rule)},
        original,
        model,
        lambda: train(model, data, rule).params,
        lambda params: logits_of(model, params, original.test_images),
    )[0]
    return params
