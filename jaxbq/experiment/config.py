"""The config of an experiment: TOML, validated into the options that the code itself uses."""

import dataclasses
import hashlib
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le
from pydantic import StringConstraints

from ..activations import HiddenName, OutputName
from ..data import Dataset, Mnist10k, Source
from ..errors import JaxbqError
from ..methods import AnyMethod
from ..mlp import MLP
from ..options import options, validate
from ..targets import Codes
from ..training import Training, TrainingRule

_MAX_CONFIG_BYTES = 2**20


@options
class NetworkConfig:
    """A fully connected network between the ends that the data gives.

    Args:
        hidden: units of every hidden layer, first to last; empty for none.
        activation: of the hidden layers.
        output: activation of the output layer.
        bias: whether layers have biases.
    """

    hidden: tuple[Annotated[int, Gt(0)], ...] = (200,)
    activation: HiddenName = "sigmoid"
    output: OutputName = "sigmoid"
    bias: bool = True

    def build(self, data: Dataset) -> MLP:
        """Make the specification of a network for this data."""
        sizes = (data.space.pixels, *self.hidden, data.classes)
        return MLP(sizes, self.activation, self.output, self.bias)


@options
class Experiment:
    """One experiment: a network on a data set, back-queried by some methods.

    Args:
        name: first part of the run folder's name.
        seed: all randomness comes from it.
        precision: of the computation.
        data: where images come from.
        network: what is trained.
        training: how.
        targets: what is asked.
        methods: by which ways.
    """

    name: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)
    ] = "run"
    seed: Annotated[int, Ge(0), Le(2**32 - 1)] = 0
    precision: Literal["float32", "float64"] = "float32"
    data: Source = Mnist10k()
    network: NetworkConfig = NetworkConfig()
    training: TrainingRule = Training()
    targets: Codes = Codes()
    methods: tuple[AnyMethod, ...] = ()

    def resolved(self) -> dict[str, Any]:
        """Every option with its value, as plain data."""
        return dataclasses.asdict(self)

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that change with every option."""
        text = json.dumps(self.resolved(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def load_config(
    path: Path | str, changes: Sequence[str] = (), *, need_methods: bool = True
) -> Experiment:
    """Read a TOML file, apply changes, and validate.

    Args:
        path: the file.
        changes: ``key=value`` each, the key dotted (``training.epochs=5``, ``methods.1.steps=9``),
            the value as in TOML; what is no TOML value is taken as a string.
        need_methods: whether a config without methods is a mistake.

    Raises:
        JaxbqError: the file cannot be read, or something in it is wrong; one line says what.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_CONFIG_BYTES + 1)
        if len(text) > _MAX_CONFIG_BYTES:
            raise JaxbqError(f"{path}: too large for a config")
        table = tomllib.loads(text.decode())
    except FileNotFoundError:
        raise JaxbqError(
            f"{path}: no such file; name a config, like configs/quickstart.toml"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as fault:
        raise JaxbqError(f"{path}: cannot be read as TOML: {fault}") from None
    for change in changes:
        apply_change(table, change)
    experiment: Experiment = validate(Experiment, table, str(path))
    if need_methods and not experiment.methods:
        raise JaxbqError(f'{path}: no methods; add a [[methods]] table, like kind = "transpose"')
    return experiment


def apply_change(table: dict[str, Any], change: str) -> None:
    """Set one dotted key of a nested table in place.

    Raises:
        JaxbqError: no ``=``, or the key leads through something that is no table or list.
    """
    key, equals, value = change.partition("=")
    if not equals or not key.strip():
        raise JaxbqError(f"--set {change}: write it as key=value, like training.epochs=5")
    *parents, last = key.strip().split(".")
    place: Any = table
    for step in parents:
        if isinstance(place, dict):
            # A shorthand such as optimiser = "adam" makes way for the table it stands for.
            if isinstance(place.get(step), str):
                place[step] = {("name" if step == "optimiser" else "kind"): place[step]}
            place = place.setdefault(step, {})
        else:
            place = _item(place, step, change)
    if isinstance(place, dict):
        place[last] = parse_value(value.strip())
    else:
        _item(place, last, change)
        place[int(last)] = parse_value(value.strip())


def _item(place: Any, step: str, change: str) -> Any:
    if not isinstance(place, list):
        raise JaxbqError(f"--set {change}: there is no table at {step!r}")
    if not step.isdecimal() or int(step) >= len(place):
        raise JaxbqError(f"--set {change}: {step!r} is no index from 0 to {len(place) - 1}")
    return place[int(step)]


def parse_value(text: str) -> Any:
    """Read a TOML value; text that is none is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
