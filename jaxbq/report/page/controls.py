"""What a result is to be held against: networks that learnt nothing, noise, judges on noise."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from .checked import damaged, number
from .columns import GROUPS
from .methods import Lane
from .numbers import UNKNOWN, accuracy, plain, plural, share
from .reading import Run
from .shots import Shots, network_name

_BASELINES = ("grey", "noise", "class_mean")


class Control(NamedTuple):
    """A method on the trained network, and on those that learnt nothing.

    Args:
        number: of the method, from 1.
        name: of the method.
        lanes: a row of images a network; with it, what judges read on average.
    """

    number: int
    name: str
    lanes: Sequence[tuple[Lane, str]]


class Fact(NamedTuple):
    """A line of a table of facts."""

    cells: Sequence[str]


class Controls(NamedTuple):
    """All controls of a run.

    Args:
        score: what the number beside a row of images is.
        methods: on networks that learnt nothing; empty where the run has none.
        baselines: numbers of the methods that ask no network.
        judges: name, description, parameters, accuracy, and what they do with noise.
        chance: of naming a class asked at random.
        panel: networks of the transfer and their accuracies.
        network_columns: what is known of the networks of the run.
        networks: networks of the run and their accuracies.
        real: what real test images score: quantiles.
        autoencoders: what each does with test images.
    """

    score: str
    methods: Sequence[Control]
    baselines: Sequence[int]
    judges: Sequence[Fact]
    chance: str
    panel: Sequence[Fact]
    network_columns: Sequence[str]
    networks: Sequence[Fact]
    real: Sequence[Fact]
    autoencoders: Sequence[Fact]


def controls(shots: Shots) -> Controls:
    """Gather the controls.

    Raises:
        JaxbqError: a file is damaged.
    """
    run = shots.run
    column = "readability" if "readability" in run.columns else "judged_right"
    kinds = [getattr(result.method, "kind", "") for result in run.first]
    names = [run.trained[0], *run.controls]
    return Controls(
        "readability" if column in run.columns else "",
        [
            Control(n + 1, name, [_lane(shots, which, n, column) for which in names])
            for n, name in enumerate(run.methods)
        ]
        if run.controls
        else [],
        [n for n, kind in enumerate(kinds, 1) if kind in _BASELINES],
        _facts(run, "judges.json", run.judges, lambda each: _judge(each, shots.class_names)),
        share(1 / len(shots.class_names)),
        _facts(run, "transfer.json", run.panel, _member),
        ["Network", "Test accuracy", *(["The same under attack"] if run.robustness else [])],
        _facts(run, "networks", [*run.trained, *run.controls], lambda name: _network(run, name)),
        [Fact(_real(*each)) for each in run.real.items()],
        _facts(run, "autoencoders.json", run.autoencoders, _autoencoder),
    )


def _lane(shots: Shots, network: str, n: int, column: str) -> tuple[Lane, str]:
    run = shots.run
    targets = range(len(shots.titles))
    cells = [
        number(run.scores.get((network, n, target, 0), {}), column, run.folder.scores)
        for target in targets
    ]
    known = [value for value in cells if not math.isnan(value)]
    mean = share(math.fsum(known) / len(known)) if known else UNKNOWN
    label = "trained" if network in run.trained else network.replace("_", " ")
    lane = Lane(label, [shots.shot(network, n, target) for target in targets])
    return lane, mean


def _judge(each: Mapping[str, Any], class_names: Sequence[str]) -> Sequence[str]:
    shares = each.get("noise_shares") or []
    read = [
        f"{class_names[k]}: {accuracy(float(value))}"
        for k, value in enumerate(shares)
        if k < len(class_names) and value >= 0.005
    ]
    known = each.get("parameters")
    return (
        str(each["name"]),
        str(each.get("description", "")),
        UNKNOWN if known is None else plain(float(known)),
        _share(each, "test_accuracy"),
        _share(each, "noise_right"),
        _share(each, "noise_confidence"),
        ", ".join(read),
    )


def _member(each: Mapping[str, Any]) -> Sequence[str]:
    return str(each["name"]), _share(each, "test_accuracy")


def _facts(
    run: Run, name: str, entries: Sequence[Any], make: Callable[[Any], Sequence[str]]
) -> list[Fact]:
    """Make a line of every entry of a file."""
    try:
        return [Fact(make(each)) for each in entries]
    except (TypeError, ValueError, KeyError, AttributeError) as fault:
        raise damaged(run.folder.path / name, fault) from None


def _share(each: Mapping[str, Any], key: str) -> str:
    value = each.get(key)
    return UNKNOWN if value is None else accuracy(float(value))


def _network(run: Run, name: str) -> Sequence[str]:
    known = run.accuracies.get(name)
    cells = [network_name(name), UNKNOWN if known is None else accuracy(known)]
    return [*cells, _share(run.robustness.get(name, {}), "attacked")] if run.robustness else cells


def _real(name: str, quantiles: Sequence[float]) -> Sequence[str]:
    label = GROUPS["Naturalness"].get(name, name.replace("_", " "))
    return label, *(plain(value) for value in quantiles)


def _autoencoder(each: Mapping[str, Any]) -> Sequence[str]:
    return f"code of {plural(each['autoencoder']['code'], 'number')}", *(
        plain(float(each[key])) for key in ("error", "pca", "mean_image")
    )
