"""What was asked, and on what, in words."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np

from ...network.targets import name_target
from .numbers import UNKNOWN, accuracy, listed, plain, plural
from .reading import Run
from .shots import CONTROL_NAMES

_MOST_CLASSES = 20
_FILES = {
    "config.json": "every option, resolved",
    "environment.json": "versions, device, checksum of the data",
    "scores.csv": "all scores, one row an image",
    "cost.csv": "seconds, steps and operations of every network and method",
    "spread.csv": "how the samples of a target differ",
    "judges.json": "the judges, and what they do with noise",
    "transfer.json": "the networks that transfer is measured with",
    "naturalness.json": "what real test images score",
    "autoencoders.json": "what autoencoders make of test images",
    "nearest.npz": "the training images nearest to every image",
    "traces.json": "the way back through the layers",
    "networks": "weights, and what every epoch of training gave",
    "inversions": "images, outputs and diagnostics of every network and method",
    "figures": "pictures",
    "tables": "tables as CSV, Markdown and LaTeX",
}


class File(NamedTuple):
    """A file or folder of the run: its address from the page, its name, what it holds."""

    link: str
    name: str
    about: str


class Facts(NamedTuple):
    """The head of the page, and what is needed to repeat the run.

    Args:
        title: name of the experiment.
        lead: what was asked of what, in a sentence.
        lines: headings, and what is to be said under each.
        command: that repeats the run; empty where it was not kept.
        config: every option, as JSON.
        environment: as JSON.
        files: of the folder.
    """

    title: str
    lead: str
    lines: Sequence[tuple[str, str]]
    command: str
    config: str
    environment: str
    files: Sequence[File]


def facts(run: Run) -> Facts:
    """Say what was asked, and on what."""
    command = run.environment.get("command")
    return Facts(
        str(run.config.get("name") or run.folder.path.name),
        _lead(run),
        [line for line in _lines(run) if line[1]],
        command if isinstance(command, str) else "",
        _pretty(run.config),
        _pretty({key: value for key, value in run.environment.items() if key != "command"}),
        list(_files(run)),
    )


def _lead(run: Run) -> str:
    networks = plural(len(run.trained), "trained network")
    control = f" (and {plural(len(run.controls), 'control')})" if run.controls else ""
    targets = plural(len(run.first[0].targets), "target")
    return (
        f"{plural(len(run.methods), 'method')} asked {networks}{control}, for each of {targets}: "
        "what image makes you answer this?"
    )


def _lines(run: Run) -> Iterator[tuple[str, str]]:
    yield "Data", _data(run)
    yield "Classes", _classes(run.network.class_names)
    yield "Network", _network(run)
    yield "Training", _training(run.config.get("training"))
    yield "Controls", listed([CONTROL_NAMES.get(name, name) for name in run.controls])
    yield "Targets", _targets(run)
    yield "Environment", _environment(run.environment)


def _data(run: Run) -> str:
    space = run.first[0].space
    about = run.config.get("data")
    table = about if isinstance(about, Mapping) else {}
    said = [str(table.get("kind", ""))]
    # Its defaults say nothing.
    said += [
        f"{key.replace('_', ' ')} {_word(value)}"
        for key, value in table.items()
        if key != "kind" and value not in (None, False, "", [], ())
    ]
    said.append(f"images of {' × '.join(map(str, space.shape))}")
    said.append(f"pixels from {space.low:g} to {space.high:g}")
    return ", ".join(filter(None, said))


def _classes(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_CLASSES])
    more = len(names) - _MOST_CLASSES
    return f"{len(names)}: {shown}" + (f" and {more} more" if more > 0 else "")


def _network(run: Run) -> str:
    model = run.network.model
    layers = "–".join(map(str, model.sizes))
    inner = f"{model.hidden} hidden units, " if len(model.sizes) > 2 else ""
    said = [
        f"{layers}, {inner}{model.output} outputs, {'with' if model.bias else 'without'} biases"
    ]
    table = run.config.get("network")
    if isinstance(table, Mapping) and table.get("file"):
        said.append(f"from {table['file']}")
    if isinstance(table, Mapping) and table.get("control", "none") != "none":
        said.append(CONTROL_NAMES.get(str(table["control"]), str(table["control"])))
    known = [run.accuracies[name] for name in run.trained if name in run.accuracies]
    if known:
        ends = sorted(
            {accuracy(min(known)), accuracy(max(known))}, key=lambda text: float(text[:-2])
        )
        each = f" ({len(run.trained)} networks)" if len(run.trained) > 1 else ""
        said.append(f"test accuracy {' to '.join(ends)}{each}")
    return "; ".join(said)


def _training(table: Any) -> str:
    if not isinstance(table, Mapping):
        return ""
    optimiser = table.get("optimiser")
    said = [f"{table['loss']} loss"] if table.get("loss") else []
    if table.get("rule") not in (None, "gradient"):
        said.append(f"{table['rule']} rule")
    if isinstance(table.get("epochs"), int):
        said.append(plural(table["epochs"], "epoch"))
    if isinstance(optimiser, Mapping):
        said.append(f"{optimiser.get('name')} at {optimiser.get('learning_rate')}")
    elif table.get("learning_rate") is not None:
        said.append(f"learning rate {table['learning_rate']}")
    for key in ("adversary", "noise", "jacobian"):
        if table.get(key) is not None:
            said.append(f"{key}: {_word(table[key])}")
    return ", ".join(said)


def _targets(run: Run) -> str:
    targets, names = run.first[0].targets, run.network.class_names
    on, off = float(targets.max()), float(targets.min())
    codes = all(
        math.isclose(row.max(), on)
        and np.isclose(row, off, rtol=0, atol=1e-9).sum() == len(row) - 1
        for row in targets
    )
    asked = listed([name_target(row, names) for row in targets])
    if codes and len(targets[0]) > 1:
        return f"{asked}: {plain(on)} of the class asked for, {plain(off)} of every other"
    return f"{asked}: outputs between {plain(off)} and {plain(on)}"


def _environment(table: Mapping[str, Any]) -> str:
    packages, device = table.get("packages"), table.get("device")
    said = [f"Python {table['python']}"] if table.get("python") else []
    if isinstance(packages, Mapping):
        said += [f"{name} {packages[name]}" for name in ("jaxbq", "jax") if packages.get(name)]
    if isinstance(device, Mapping):
        said.append(str(device.get("kind", UNKNOWN)))
    said += [str(table["precision"])] if table.get("precision") else []
    commit, _, changed = str(table.get("commit") or "").partition("-")
    said += [f"commit {commit[:12]}" + (" with changes" if changed else "")] if commit else []
    return ", ".join(said)


def _word(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_word(v)}" for key, v in value.items() if v is not None)
    if isinstance(value, list | tuple):
        return ", ".join(map(_word, value))
    return str(value)


def _pretty(table: Mapping[str, Any]) -> str:
    return json.dumps(table, indent=2, ensure_ascii=False) if table else ""


def _files(run: Run) -> Iterator[File]:
    folder = run.folder.path
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == "report":
            continue
        name = f"{path.name}/" if path.is_dir() else path.name
        yield File(f"../{quote(name)}", name, _FILES.get(path.name, ""))
