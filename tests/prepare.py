"""Train what many tests ask, and say so by a file: `python tests/prepare.py standard|judges FILE`.

The file is the standard network itself; the judges go to the user's cache, where the package finds
them. A process of its own, since tests compile without optimising, and training takes longer then.
"""

import sys
from pathlib import Path

from jaxbq.data import Mnist10k
from jaxbq.evaluation import trained_judges
from jaxbq.network.files import NetworkFile, save_network
from jaxbq.network.mlp import MLP
from jaxbq.training import train


def main(what: str, path: Path) -> None:
    data = Mnist10k().load()
    if what == "judges":
        trained_judges(data)
        path.touch()
        return
    model = MLP((784, 200, 10))
    params = train(model, data).params
    save_network(path, NetworkFile(model, params, data.space, data.class_names))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
