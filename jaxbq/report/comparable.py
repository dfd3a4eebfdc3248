"""Which runs can be compared, and what to call them: from their configs and environments."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import JaxbqError
from ..experiment import RunFolder

_MOST_CHANGES = 3  # in a label; more are hinted at


def check_distinct(folders: Sequence[RunFolder], labels: Sequence[str]) -> None:
    """Refuse one run alone, a run that is named twice, and labels that are.

    Raises:
        JaxbqError: which.
    """
    if len(folders) < 2:
        raise JaxbqError("one run alone; name two to compare, or more")
    seen: set[Path] = set()
    for folder in folders:
        if folder.path.resolve() in seen:
            raise JaxbqError(f"{folder.path} is named twice; a run does not differ from itself")
        seen.add(folder.path.resolve())
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise JaxbqError(f"two runs have the label {twice!r}; give each one of its own")


class About(NamedTuple):
    """What a finished run says about itself.

    Args:
        path: its folder.
        config: config.json.
        environment: environment.json.
    """

    path: Path
    config: dict[str, Any]
    environment: dict[str, Any]

    @classmethod
    def read(cls, folder: RunFolder) -> "About":
        """Read the files of a run.

        Raises:
            JaxbqError: it is no run, not finished or damaged.
        """
        path, names = folder.path, ("config.json", "environment.json")
        if not all((path / name).is_file() for name in names):
            raise JaxbqError(f"{path} is no run folder; name one that `jaxbq run` made")
        if not folder.scores.is_file():
            raise JaxbqError(f"{path} is not finished, it has no scores.csv; run its config again")
        for name in names:
            if not isinstance(folder.read_json(name), dict):
                raise JaxbqError(f"{path / name}: damaged; delete it and run again")
        return cls(path, *map(folder.read_json, names))


def check_alike(first: About, other: About) -> None:
    """Refuse two runs whose scores mean different things.

    Raises:
        JaxbqError: data, targets or scoring differ; the message says what.
    """
    both = (first, other)
    data = [run.environment.get("data_sha256") for run in both]
    if None in data:
        raise JaxbqError(f"{both[data.index(None)].path} does not say on what data; run it again")
    if data[0] != data[1]:
        kinds = [_kind(run.config.get("data")) for run in both]
        said = f" ({kinds[1]}, not {kinds[0]})" if kinds[0] != kinds[1] else ""
        raise JaxbqError(
            f"{other.path} is about other data than {first.path}{said}; compare runs on one"
        )
    for section, what in (("targets", "asks for other targets"), ("scores", "is scored otherwise")):
        pair = [run.config.get(section) for run in both]
        if pair[0] != pair[1]:
            raise JaxbqError(
                f"{other.path} {what} than {first.path} ({_first_change(section, *pair)}); "
                "run one again with the other's"
            )


def _kind(data: Any) -> str:
    return str(data.get("kind", "unknown")) if isinstance(data, Mapping) else "unknown"


def _first_change(section: str, old: Any, new: Any) -> str:
    """Say the first setting that differs."""
    before, after = flat(old, section), flat(new, section)
    keys = [key for key in {**after, **before} if before.get(key) != after.get(key)]
    key = keys[0] if keys else section
    return f"{key}={_said(after.get(key))}, not {_said(before.get(key))}"


def label_runs(folders: Sequence[RunFolder]) -> list[str]:
    """Label runs by what their configs set otherwise than the first's, like ``training.epochs=3``.

    The first is labelled by the same settings where all others differ from it in the same ones.
    What has no label of its own by that has the name of its folder.

    Raises:
        JaxbqError: one has no readable config.
    """
    first, *others = [_settings(folder) for folder in folders]
    changes = [[key for key in own if own[key] != first.get(key, ...)] for own in others]
    shared = changes[0] if changes and all(keys == changes[0] for keys in changes) else []
    if any(key not in first for key in shared):
        shared = []
    labels = [_label(first, shared), *map(_label, others, changes)]
    names = [folder.path.resolve().name for folder in folders]
    labels = [n if not t or labels.count(t) > 1 else t for t, n in zip(labels, names, strict=True)]
    paths = [str(folder.path) for folder in folders]
    return [p if labels.count(t) > 1 else t for t, p in zip(labels, paths, strict=True)]


def _settings(folder: RunFolder) -> dict[str, Any]:
    found = flat(About.read(folder).config)
    found.pop("name", None)
    return found


def _label(settings: Mapping[str, Any], keys: Sequence[str]) -> str:
    said = [f"{key}={_said(settings[key])}" for key in keys[:_MOST_CHANGES]]
    return ", ".join([*said, "…"] if len(keys) > _MOST_CHANGES else said)


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Flatten nested tables to dotted keys; lists of tables by number, other lists whole."""
    members: list[tuple[str, Any]]
    if isinstance(value, Mapping):
        members = [(str(key), member) for key, member in value.items()]
    elif isinstance(value, list) and any(isinstance(member, Mapping) for member in value):
        members = [(str(number), member) for number, member in enumerate(value)]
    else:
        return {path: value}
    found: dict[str, Any] = {}
    for key, member in members:
        found |= flat(member, f"{path}.{key}" if path else key)
    return found


def _said(value: Any) -> str:
    """Write a value as a config does."""
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
