"""The config of an experiment: TOML, validated into the options that the code itself uses."""

import copy
import dataclasses
import hashlib
import itertools
import json
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
from annotated_types import Ge, Gt, Le
from pydantic import Discriminator, StringConstraints, Tag

from ..activations import HiddenName, OutputName
from ..data import Dataset, Mnist10k, Source, rescaled
from ..errors import JaxbqError
from ..methods import AnyMethod, expand_preset
from ..mlp import MLP
from ..options import describe, options, shorthand, validate
from ..targets import Codes
from ..training import Training, TrainingRule, check_ends
from ..weights import NetworkFile, Orientation, agreed_names, is_native, open_network

_MAX_CONFIG_BYTES = 2**20


@options
class NetworkConfig:
    """A fully connected network between the ends that the data gives.

    Args:
        hidden: units of every hidden layer, first to last; empty for none.
        activation: of the hidden layers.
        output: activation of the output layer.
        bias: whether layers have biases.
        control: a network that has learnt nothing, to compare with: ``random_weights``, never
            trained, or ``permuted_labels``, trained with the training labels in random order.
    """

    hidden: tuple[Annotated[int, Gt(0)], ...] = (200,)
    activation: HiddenName = "sigmoid"
    output: OutputName = "sigmoid"
    bias: bool = True
    control: Literal["none", "random_weights", "permuted_labels"] = "none"

    def build(self, data: Dataset) -> MLP:
        """Make the specification of a network for this data."""
        sizes = (data.space.pixels, *self.hidden, data.classes)
        return MLP(sizes, self.activation, self.output, self.bias)

    def seen(self, data: Dataset) -> Dataset:
        """Return the data as the network sees them: as they are."""
        return data


@options
class FileNetwork:
    """A trained network in a file, jaxbq's own or another library's; nothing is trained.

    ``network = "file:net.npz"`` is short for it.

    Args:
        file: path, meant from the folder in which the command is given; the formats are those of
            :func:`~jaxbq.import_network`.
        activation: of the hidden layers, where the file does not say; by default sigmoid.
        output: of the outputs, likewise.
        orientation: of plain weights, ``in_out`` or ``out_in``; by default found from the shapes.
        pixel_range: that it was trained on; by default the file's, else the data's own.
    """

    file: str
    activation: HiddenName | None = None
    output: OutputName | None = None
    orientation: Orientation | None = None
    pixel_range: tuple[float, float] | None = None

    @property
    def control(self) -> str:
        """None: what the file holds."""
        return "none"

    def open(self, data: Dataset) -> NetworkFile:
        """Read the network, for each data once: all that is done is done with one version of it.

        Raises:
            JaxbqError: the file cannot be read, or does not fit the data.
        """
        wide = jax.config.read("jax_enable_x64")
        return data.once((self, wide), lambda: self._open(data))

    def _open(self, data: Dataset) -> NetworkFile:
        path = Path(self.file).expanduser()
        said: dict[str, Any] = {
            "hidden": self.activation,
            "output": self.output,
            "orientation": self.orientation,
            "pixel_range": self.pixel_range,
        }
        if not is_native(path):
            said |= {"image_shape": data.space.shape, "class_names": data.class_names}
            said["pixel_range"] = self.pixel_range or data.pixel_range
        network = open_network(path, **said)
        check_ends(network.model, data)
        names = agreed_names(network.class_names, data.class_names, self.file)
        return dataclasses.replace(network, class_names=names)

    def build(self, data: Dataset) -> MLP:
        """Read the specification of the network."""
        return self.open(data).model

    def seen(self, data: Dataset) -> Dataset:
        """Return the data in the pixel range that the network was trained on."""
        space = self.open(data).space
        return rescaled(data, space.low, space.high)


def _network_kind(given: Any) -> str:
    """Tell which a table or an object means: one with ``file`` is a file."""
    if isinstance(given, dict):
        return "file" if "file" in given else "trained"
    return "file" if isinstance(given, FileNetwork) else "trained"


def _expand_file(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    kind, colon, path = given.partition(":")
    if kind != "file" or not colon or not path:
        raise ValueError('a network is a table, or "file:PATH"')
    return {"file": path}


AnyNetwork = Annotated[
    Annotated[NetworkConfig, Tag("trained")] | Annotated[FileNetwork, Tag("file")],
    Discriminator(_network_kind),
    shorthand(_expand_file),
]


@options
class NetworksConfig:
    """How many networks of the one specification.

    Args:
        seeds: networks. The one numbered k is that of the same experiment with ``seed`` + k, and so
            is what methods find for it.
        together: train them in one compiled program; by default on accelerators, not on CPUs,
            which one network fills.
    """

    seeds: Annotated[int, Ge(1), Le(10**4)] = 1
    together: bool | None = None


@options
class Experiment:
    """One experiment: networks of one specification on a data set, back-queried by some methods.

    Args:
        name: first part of the run folder's name.
        seed: all randomness comes from it.
        precision: of the computation.
        data: where images come from.
        network: what is trained, or a file.
        networks: how many of them.
        training: how.
        targets: what is asked.
        methods: by which ways.
        judge: train a judge too, a classifier of its own that is blind to brightness and contrast,
            and let it read every image.
    """

    name: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)
    ] = "run"
    seed: Annotated[int, Ge(0), Le(2**32 - 1)] = 0
    precision: Literal["float32", "float64"] = "float32"
    data: Source = Mnist10k()
    network: AnyNetwork = NetworkConfig()
    networks: NetworksConfig = NetworksConfig()
    training: TrainingRule = Training()
    targets: Codes = Codes()
    methods: tuple[AnyMethod, ...] = ()
    judge: bool = False

    def resolved(self) -> dict[str, Any]:
        """Every option with its value, as plain data."""
        return dataclasses.asdict(self)

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that change with every option."""
        text = json.dumps(self.resolved(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def load_configs(path: Path | str, changes: Sequence[str] = ()) -> list[tuple[str, Experiment]]:
    """Read a TOML file that may hold many experiments.

    ``[variants.NAME]`` holds what an experiment called NAME has otherwise, in tables as elsewhere;
    ``[sweep]`` lists of values by dotted key, of which every combination is an experiment.

    Args:
        path: the file.
        changes: as for :func:`load_config`.

    Returns:
        One experiment for every variant and combination, each with what was set for it, like
        ``robust, activation=tanh``; one experiment and an empty text where there are neither.

    Raises:
        JaxbqError: as :func:`load_config`, or sweep or variants are no tables of lists or tables.
    """
    many = [c for c in changes if c.strip().startswith(("variants.", "sweep"))]
    # What is changed for one run is changed for every variant.
    others = [c for c in changes if c not in many]
    table = _read(Path(path), many)
    variants, sweep = table.pop("variants", {}), table.pop("sweep", {})
    found = []
    for name, varied in _variants(path, table, variants):
        for change in others:
            apply_change(varied, change)
        for words, chosen in _combinations(path, varied, sweep):
            label = ", ".join(filter(None, (name, words)))
            found.append((label, _check(path, chosen, need_methods=True)))
    return found


def _variants(
    path: Path | str, table: dict[str, Any], variants: Any
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Lay every variant's table over what all share."""
    if not isinstance(variants, dict) or not all(isinstance(v, dict) for v in variants.values()):
        raise JaxbqError(f"{path}: variants must hold tables, like [variants.robust.training]")
    if not variants:
        yield "", table
    for name, changes in variants.items():
        yield name, _laid_over(table, changes)


def _laid_over(table: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Change a table by another, at every depth."""
    changed = copy.deepcopy(table)
    for key, value in changes.items():
        old = changed.get(key)
        if isinstance(old, str) and isinstance(value, dict):
            old = _written_out(key, old)
        both = isinstance(old, dict) and isinstance(value, dict)
        changed[key] = _laid_over(old, value) if both else copy.deepcopy(value)  # type: ignore[arg-type]
    return changed


def _combinations(
    path: Path | str, table: dict[str, Any], sweep: Any
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Make a copy of a table for every combination of values, and words for what was set."""
    if not isinstance(sweep, dict) or not all(isinstance(v, list) and v for v in sweep.values()):
        raise JaxbqError(f"{path}: sweep must hold lists of values by dotted key")
    for values in itertools.product(*sweep.values()):
        chosen, words = copy.deepcopy(table), []
        for key, value in zip(sweep, values, strict=True):
            set_key(chosen, key, value)
            words.append(f"{key.rsplit('.', 1)[-1]}={value}")
        yield ", ".join(words), chosen


def _expand(path: Path | str, method: Any) -> list[Any]:
    """Make a method with a ``sweep`` of its own many methods."""
    if not isinstance(method, dict) or "sweep" not in method:
        return [method]
    table = {key: value for key, value in method.items() if key != "sweep"}
    expanded = expand_table(table, f"{path}: methods")
    methods = []
    for words, chosen in _combinations(path, expanded, method["sweep"]):
        if "label" in table:
            chosen["label"] = f"{table['label']}, {words}"
        methods.append(chosen)
    return methods


def expand_table(table: dict[str, Any], where: str) -> dict[str, Any]:
    """Write a preset of a method's table out, in full, so that dotted keys reach into it.

    Raises:
        JaxbqError: there is no such preset.
    """
    try:
        # Lists, which can be changed in place, for tuples.
        expanded: dict[str, Any] = json.loads(json.dumps(expand_preset(table)))
    except (TypeError, ValueError) as fault:
        raise JaxbqError(f"{where}: {fault}") from None
    return expanded


def load_config(
    path: Path | str, changes: Sequence[str] = (), *, need_methods: bool = True
) -> Experiment:
    """Read a TOML file of one experiment, apply changes, and validate.

    Args:
        path: the file.
        changes: ``key=value`` each, the key dotted (``training.epochs=5``, ``methods.1.steps=9``),
            the value as in TOML; what is no TOML value is taken as a string.
        need_methods: whether a config without methods is a mistake.

    Raises:
        JaxbqError: the file cannot be read, or something in it is wrong; one line says what.
    """
    table = _read(Path(path), changes)
    for key, what in (("sweep", "a sweep"), ("variants", "variants")):
        if key in table:
            raise JaxbqError(f"{path}: holds {what}, many experiments; this needs a config of one")
    return _check(path, table, need_methods=need_methods)


def _check(path: Path | str, table: dict[str, Any], *, need_methods: bool) -> Experiment:
    methods = table.get("methods")
    if isinstance(methods, list):
        table = {**table, "methods": [each for m in methods for each in _expand(path, m)]}
    experiment: Experiment = validate(Experiment, table, str(path))
    if need_methods and not experiment.methods:
        raise JaxbqError(f'{path}: no methods; add a [[methods]] table, like kind = "transpose"')
    if isinstance(experiment.network, FileNetwork) and experiment.networks.seeds > 1:
        raise JaxbqError(f"{path}: networks.seeds is for networks that are trained; a file is one")
    for number, method in enumerate(experiment.methods):
        before = experiment.methods[:number]
        if method in before or describe(method) in map(describe, before):
            raise JaxbqError(
                f"{path}: methods.{number} is the same as one before, or named like it "
                f"({describe(method)}); drop one, or give it another label"
            )
    return experiment


def _read(path: Path, changes: Sequence[str]) -> dict[str, Any]:
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
    return table


def apply_change(table: dict[str, Any], change: str) -> None:
    """Set one dotted key of a nested table in place.

    Raises:
        JaxbqError: no ``=``, or the key leads through something that is no table or list.
    """
    key, equals, value = change.partition("=")
    if not equals or not key.strip():
        raise JaxbqError(f"--set {change}: write it as key=value, like training.epochs=5")
    set_key(table, key.strip(), parse_value(value.strip()))


def set_key(table: dict[str, Any], key: str, value: Any) -> None:
    """Set one dotted key of a nested table in place.

    Raises:
        JaxbqError: the key leads through something that is no table or list.
    """
    *parents, last = key.split(".")
    place: Any = table
    for step in parents:
        if isinstance(place, dict):
            # A shorthand such as optimiser = "adam" makes way for the table it stands for.
            if isinstance(place.get(step), str):
                place[step] = _written_out(step, place[step])
            place = place.setdefault(step, {})
        else:
            place = _item(place, step, key)
    if isinstance(place, dict):
        place[last] = value
    else:
        _item(place, last, key)
        place[int(last)] = value


def _written_out(key: str, text: str) -> dict[str, str]:
    """Write the table that a string is short for."""
    if key == "network":
        return {"file": text.removeprefix("file:")}
    return {("name" if key == "optimiser" else "kind"): text}


def _item(place: Any, step: str, key: str) -> Any:
    if not isinstance(place, list):
        raise JaxbqError(f"{key}: there is no table at {step!r}")
    if not step.isdecimal() or int(step) >= len(place):
        raise JaxbqError(f"{key}: {step!r} is no index from 0 to {len(place) - 1}")
    return place[int(step)]


def parse_value(text: str) -> Any:
    """Read a TOML value; text that is none is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
