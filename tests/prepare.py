"""Train what many tests ask: `python tests/prepare.py FILE` saves the standard network there.

The judges go to the user's cache, where the package finds them.
A process of its own, since tests compile without optimising, and training takes longer then.
"""

import sys
from pathlib import Path

from jaxbq.data import Mnist10k
from jaxbq.evaluation import trained_judges
from jaxbq.mlp import MLP
from jaxbq.training import train
from jaxbq.weights import NetworkFile, save_network


def main(path: Path) -> None:
    data = Mnist10k().load()
    model = MLP((784, 200, 10))
    params = train(model, data).params
    trained_judges(data)
    # Last: where this file is, all is there.
    save_network(path, NetworkFile(model, params, data.space, data.class_names))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
