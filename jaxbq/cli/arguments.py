"""Arguments that commands share, and what they mean."""

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import JaxbqError
from .hardware import add_hardware, add_precision
from .opening import add_foreign

if TYPE_CHECKING:
    import numpy as np

    from ..weights import NetworkFile

MISTAKE = 2


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line."""
        self.exit(MISTAKE, f"{self.prog}: error: {message} (see {self.prog} --help)\n")

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # A vector such as -0.9,0.1 is a value, no option.
        self._negative_number_matcher = re.compile(r"^-\d|^-\.\d")


def add_config(command: argparse.ArgumentParser) -> None:
    """Take a config and changes to it."""
    command.add_argument("config", metavar="CONFIG", help="experiment in TOML")
    command.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="change one option, as often as wanted: training.epochs=5, methods.1.steps=200",
    )


def add_network(command: argparse.ArgumentParser) -> None:
    """Take a network, what to ask of it, and images."""
    command.add_argument(
        "weights",
        metavar="WEIGHTS",
        help="network file: jaxbq's own, or any that `jaxbq import` reads",
    )
    add_foreign(command)
    command.add_argument(
        "--target", metavar="CLASS", action="append", default=[], help="class by name"
    )
    command.add_argument(
        "--target-vector",
        metavar="NUMBERS",
        action="append",
        default=[],
        help='wanted outputs, like "0.99,0.01,…"',
    )
    command.add_argument(
        "--data",
        metavar="SOURCE",
        help="data set for methods and scores that need images: mnist-10k, mnist, digits, an .npz "
        "file, a folder of IDX files, or a folder with one folder of images a class",
    )
    command.add_argument("--seed", type=int, default=0, help="all randomness comes from it")
    add_precision(command, "float32")
    add_hardware(command)


def add_method(command: argparse.ArgumentParser, *, required: bool) -> None:
    """Take a method and its options."""
    command.add_argument(
        "--method",
        metavar="KIND",
        required=required,
        default="transpose",
        help="transpose, pseudo_inverse, preimage, ascent, decoder, exemplars, exemplar_mean, "
        "class_mean, grey, noise, projected, as in configs; or a preset of ascent: "
        "whitened, erhan2009, simonyan2014, yosinski2015, nguyen2016, lucid2017, maco2023"
        + ("" if required else " (default: transpose)"),
    )
    command.add_argument(
        "--set",
        metavar="OPTION=VALUE",
        action="append",
        default=[],
        help="option of the method, as in configs: steps=1000, pixel_policy=clip, "
        "regularisers.0.weight=2.0",
    )


def read_method(kind: str, changes: Sequence[str]) -> Any:
    """Read the method that was chosen."""
    from ..experiment.reading import apply_change, expand_table
    from ..methods import AnyMethod
    from ..options import validate

    # A preset becomes its whole table first, so that a change reaches every depth of it.
    table = expand_table({"kind": kind}, "--method")
    for change in changes:
        apply_change(table, change)
    return validate(AnyMethod, table, "--method")


def read_targets(chosen: argparse.Namespace, network: "NetworkFile") -> "np.ndarray":
    """Read what is asked of the network; by default every class."""
    import numpy as np

    from ..targets import Codes

    names, outputs = network.class_names, network.model.sizes[-1]
    classes = [_class(name, names) for name in chosen.target]
    vectors = [_vector(text, outputs) for text in chosen.target_vector]
    if classes or not vectors:
        codes = Codes(classes=tuple(classes)).targets(outputs, network.model.output)
        vectors = [*codes, *vectors]
    return np.array(vectors)


def _class(name: str, names: Sequence[str]) -> int:
    if name not in names:
        shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
        raise JaxbqError(f"--target {name}: no such class; the network knows {shown}")
    return list(names).index(name)


def _vector(text: str, outputs: int) -> list[float]:
    try:
        vector = [float(part) for part in text.split(",")]
    except ValueError:
        raise JaxbqError(f"--target-vector {text}: write numbers with commas between") from None
    if len(vector) != outputs:
        raise JaxbqError(
            f"--target-vector has {len(vector)} values, but the network has {outputs} outputs"
        )
    return vector


def read_seed(value: int) -> int:
    """Check the seed."""
    if not 0 <= value < 2**32:
        raise JaxbqError(f"--seed {value}: use a whole number from 0 to {2**32 - 1}")
    return value


def check_outputs(file: str | None, figure: str | None) -> None:
    """Refuse output files that cannot be written, before any work is done for them."""
    from ..report.figures import check_format

    if file:
        check_writable(Path(file))
    if figure:
        check_writable(Path(figure))
        check_format(Path(figure))


def check_writable(path: Path) -> None:
    """Refuse a place that cannot be written before any work is done for it."""
    if path.is_dir():
        raise JaxbqError(f"{path}: is a folder; name a file")
    if not path.parent.is_dir():
        raise JaxbqError(f"{path}: there is no folder {path.parent}; make it first")
    if not os.access(path.parent, os.W_OK):
        raise JaxbqError(f"{path}: cannot be written; choose another place")


def show_number(value: Any) -> str:
    """Write a number; nothing for one that is not known."""
    return "" if value is None or value != value else f"{value:.3f}"  # noqa: PLR0124


def show_short(value: float | None) -> str:
    """Write a number of any size in three digits."""
    return "" if value is None else f"{value:.3g}"
