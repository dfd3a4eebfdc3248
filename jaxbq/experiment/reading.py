"""Reading experiments from TOML: variants, sweeps, and changes by dotted key."""

import copy
import itertools
import json
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import JaxbqError
from ..methods import expand_preset
from ..options import describe, validate
from .config import Experiment, NetworkConfig, expand_network, expand_scores

_MAX_CONFIG_BYTES = 2**20


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
    table = read_table(Path(path), many)
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
    table = read_table(Path(path), changes)
    for key, what in (("sweep", "a sweep"), ("variants", "variants")):
        if key in table:
            raise JaxbqError(
                f"{path}: has {what}, so many experiments; this needs a config with one"
            )
    return _check(path, table, need_methods=need_methods)


def _check(path: Path | str, table: dict[str, Any], *, need_methods: bool) -> Experiment:
    methods = table.get("methods")
    if isinstance(methods, list):
        table = {**table, "methods": [each for m in methods for each in _expand(path, m)]}
    experiment: Experiment = validate(Experiment, table, str(path))
    if need_methods and not experiment.methods:
        raise JaxbqError(f'{path}: no methods; add a [[methods]] table, like kind = "transpose"')
    if not isinstance(experiment.network, NetworkConfig) and experiment.networks.seeds > 1:
        raise JaxbqError(
            f"{path}: networks.seeds is for networks that are trained; "
            f"{experiment.network.source} is one"
        )
    if experiment.controls and experiment.network.control != "none":
        raise JaxbqError(f"{path}: network.control is a control already; drop controls")
    if len(set(experiment.controls)) < len(experiment.controls):
        raise JaxbqError(f"{path}: controls names one of them twice; drop one")
    for number, method in enumerate(experiment.methods):
        before = experiment.methods[:number]
        if method in before or describe(method) in map(describe, before):
            raise JaxbqError(
                f"{path}: methods.{number} is the same as one before, or named like it "
                f"({describe(method)}); drop one, or give it another label"
            )
    return experiment


def read_table(path: Path, changes: Sequence[str]) -> dict[str, Any]:
    """Read a TOML file and change it.

    Raises:
        JaxbqError: it cannot be read, or a change cannot be made.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_CONFIG_BYTES + 1)
        if len(text) > _MAX_CONFIG_BYTES:
            raise JaxbqError(f"{path}: too large for a config")
        table = tomllib.loads(text.decode())
    except FileNotFoundError:
        raise JaxbqError(
            f"{path}: no such file; name a TOML file, or a config that `jaxbq configs` lists"
        ) from None
    except UnicodeDecodeError:
        raise JaxbqError(
            f"{path}: cannot be read as TOML, because it is not text in UTF-8; a network has its "
            f'place in a config, network = "file:{path.name}", or in other commands, like '
            "jaxbq import"
        ) from None
    except OSError as fault:
        raise JaxbqError(
            f"{path}: cannot be read ({fault.strerror}); name a TOML file, or a config that "
            "`jaxbq configs` lists"
        ) from None
    except (tomllib.TOMLDecodeError, RecursionError) as fault:
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


def _written_out(key: str, text: str) -> dict[str, Any]:
    """Write the table that a string is short for."""
    if key == "scores" and text in ("quick", "full"):
        return {**expand_scores(text)}
    if key == "network":
        try:
            return {**expand_network(text)}
        except ValueError:
            return {"file": text}
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
