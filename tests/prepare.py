"""Train what tests ask, and say so by a file: `python tests/prepare.py WHAT FILE`.

The file is the standard network itself; the judges go to the user's cache, where the package finds
them. A process of its own, since tests compile without optimising, and training takes longer then.
"""

import dataclasses
import sys
from pathlib import Path

from jaxbq.data import Dataset, Mnist10k
from jaxbq.evaluation import abstaining_judges, trained_judges
from jaxbq.network.files import NetworkFile, save_network
from jaxbq.network.mlp import MLP
from jaxbq.training import train


def few_digits(data: Dataset) -> Dataset:
    """Some digits to train on: few, so that it is short."""
    part = slice(0, 1000)
    images, labels = data.train_images[part], data.train_labels[part]
    return dataclasses.replace(data, train_images=images, train_labels=labels)


def main(what: str, path: Path) -> None:
    data = Mnist10k().load()
    if what in ("judges", "judges of few digits"):
        trained_judges(data) if what == "judges" else abstaining_judges(few_digits(data))
        path.touch()
        return
    model = MLP((784, 200, 10))
    params = train(model, data).params
    save_network(path, NetworkFile(model, params, data.space, data.class_names))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
