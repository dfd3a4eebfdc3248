"""A finished run as an object: every file of its folder is read and checked once, when asked for.

Nothing is computed but means with intervals and differences, and these once too.
"""

import math
import zipfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from ..data import ImageSpace
from ..errors import JaxbqError
from ..evaluation.statistics import Comparison, Interval, compare_pairs, interval
from ..methods import Result
from ..network.files import NetworkFile, describe_network
from ..network.targets import name_target
from ..options import describe
from ..runtime.files import load_npz
from ..training import EpochMetrics
from .certificates import COLUMNS as CERTIFICATE_COLUMNS
from .folder import (
    AUTOENCODERS,
    CERTIFICATES,
    JUDGES,
    NATURALNESS,
    TIMING,
    TRACES,
    TRANSFER,
    RunFolder,
    damaged,
    read_csv,
)
from .frames import Values, arranged, check_columns, compare, read_frame

# What methods are compared by; the other scores are beside them.
HEADLINES = ("fidelity", "readability", "naturalness", "transfer", "specificity")
# As many as fit the width of a page stand together.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "fidelity": ("fidelity", "right", "target_probability"),
    "errors": ("largest_error", "mean_error", "divergence"),
    "readability": ("readability", "accepted", "judge_probability"),
    "evidence": ("evidence", "template_right"),
    "naturalness": (
        "naturalness",
        "mean_percentile",
        "nearest_percentile",
        "mahalanobis_percentile",
    ),
    "naturalness, further": (
        "components_residual_percentile",
        "autoencoder_residual_percentile",
        "ssim_percentile",
        "total_variation_percentile",
        "high_frequency_percentile",
    ),
    "other networks": ("transfer", "transfer_probability", "specificity", "own_rank"),
    "bound": ("below_bound", "share_of_bound"),
    "cost": ("seconds", "operations"),
}
# Of a network as a whole, columns of cost.csv; and of runs with certificates.
COSTS = {"seconds": "run", "operations": "operations"}
BOUNDS = GROUPS["bound"]
SCORES = tuple(name for names in GROUPS.values() for name in names if name not in (*COSTS, *BOUNDS))
_SHARES = frozenset(
    (
        *GROUPS["fidelity"],
        *GROUPS["readability"],
        *GROUPS["evidence"],
        "naturalness",
        "transfer",
        "transfer_probability",
        "share_of_bound",
    )
)
_IMAGE = ("network", "method", "target", "sample")

# By method and score, in the order of GROUPS; of what is unknown the mean is NaN.
Intervals = dict[str, dict[str, Interval]]


def open_run(path: Path | str) -> "Run":
    """Open the folder of a finished run.

    Args:
        path: the folder that ``jaxbq run`` made.

    Raises:
        JaxbqError: it is no run folder, or the run is not finished.
    """
    run = Run(path)
    if not (run.path / "config.json").is_file():
        raise JaxbqError(f"{run.path}: is no run folder; name one that `jaxbq run` made")
    if not run.folder.scores.is_file():
        raise JaxbqError(f"{run.path} is not finished, it has no scores.csv; run its config again")
    return run


def limits(score: str) -> tuple[float, float]:
    """Return the range that a score cannot leave."""
    if score.endswith("percentile"):
        return 0.0, 100.0
    if score == "specificity":
        return -2.0, 1.0  # networks may be surer than those of the panel, by less than that
    return (0.0, 1.0) if score in _SHARES else (0.0, math.inf)


class Nearest(NamedTuple):
    """The nearest training images of the best images.

    Args:
        found: indices of training images, nearest first, by network, number of the method, target.
        images: training images by index.
        labels: their classes by index.
    """

    found: Mapping[tuple[str, int, int], Sequence[int]]
    images: Mapping[int, np.ndarray]
    labels: Mapping[int, int]


class Run:
    """A finished run, read lazily.

    What an optional file would hold is empty where there is none: older versions wrote fewer files.
    Any attribute raises a :class:`JaxbqError` in one line where its file is damaged.

    Args:
        path: the run folder; see :func:`open_run`, which checks that it is one.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        self.folder = RunFolder(self.path)
        self._results: dict[str, list[Result]] = {}
        self._intervals: dict[str | None, Intervals] = {}

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.resolve().name

    @cached_property
    def config(self) -> dict[str, Any]:
        """Every option, resolved."""
        return self._mapping("config.json")

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Versions, device, checksum of the data; and the command, where it was kept."""
        return self._mapping("environment.json")

    @cached_property
    def timing(self) -> dict[str, float]:
        """Seconds that the command which made the run took, by phase; empty where not kept."""
        try:
            return {name: float(seconds) for name, seconds in self._mapping(TIMING).items()}
        except (TypeError, ValueError) as fault:
            raise damaged(self.path / TIMING, fault) from None

    @cached_property
    def scores(self) -> pd.DataFrame:
        """The scores: one row an image, one column a score.

        ``network`` is text, as controls have names; ``method`` and ``reason`` are text; ``target``
        and ``sample`` (0 is the best) are integers; yes or no is bool; a number that is unknown is
        NaN.
        """
        if not self.folder.scores.exists():
            raise JaxbqError(f"{self.path}: no scores.csv there; run its config first")
        return read_frame(self.folder.scores, _IMAGE)

    @cached_property
    def cost(self) -> pd.DataFrame:
        """One row a network and method: seconds, images, steps, floating-point operations."""
        return self._optional("cost.csv", ("network", "method"))

    @cached_property
    def spread(self) -> pd.DataFrame:
        """One row a network and target of the methods that give several images of a target."""
        return self._optional("spread.csv", ("network", "method", "target"))

    @cached_property
    def certificates(self) -> pd.DataFrame:
        """One row a trained network and target: what is found and proven; empty without any.

        ``gap`` is (proven − found) / proven, NaN where nothing above 0 is found.
        """
        return self._optional(CERTIFICATES, CERTIFICATE_COLUMNS)

    @cached_property
    def reached(self) -> pd.DataFrame:
        """What the best images reach of what is proven: one row a network, method and target.

        Empty without certificates of the whole pixel range.
        """
        if self.certificates.empty:
            return pd.DataFrame(columns=["network", "method", "target"])
        own = {name: [each.logits[:, 0] for each in self.results(name)] for name in self.trained}
        logits = {(k, m): own[k][n] for k in self.trained for n, m in enumerate(self.methods)}
        try:
            return compare(self.scores, self.certificates, logits)
        except (IndexError, KeyError, TypeError, ValueError) as fault:
            raise damaged(self.path / CERTIFICATES, fault) from None

    @cached_property
    def methods(self) -> list[str]:
        """Names of the methods, in the order of the config."""
        return list(self.scores["method"].unique())

    @cached_property
    def trained(self) -> list[str]:
        """Names of the trained networks: numbers, in ascending order."""
        names = self.scores["network"].unique()
        found = sorted((name for name in names if name.isdecimal()), key=int)
        if not found:
            raise JaxbqError(f"{self.path}: no trained networks there; run its config first")
        return found

    @cached_property
    def controls(self) -> list[str]:
        """Names of the networks that have learnt nothing."""
        return [name for name in self.scores["network"].unique() if not name.isdecimal()]

    @property
    def networks(self) -> list[str]:
        """Names of all networks, the trained ones first."""
        return [*self.trained, *self.controls]

    @cached_property
    def network(self) -> NetworkFile:
        """The first trained network; of one that Python code makes, what is known without it."""
        return describe_network(self.folder.network(self.trained[0]))

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, one an output."""
        return tuple(self.network.class_names)

    @property
    def space(self) -> ImageSpace:
        """Shape of the images and the pixel range."""
        return self.first[0].space

    @cached_property
    def titles(self) -> list[str]:
        """What every target asks for, in words."""
        return [name_target(target, self.class_names) for target in self.first[0].targets]

    @property
    def first(self) -> list[Result]:
        """What every method returned for the first trained network."""
        return self.results(self.trained[0])

    def results(self, network: str) -> list[Result]:
        """Read what every method returned for a network, in the order of the config.

        Args:
            network: its name, one of ``run.networks``.

        Raises:
            JaxbqError: a file is missing or damaged, or does not belong to scores.csv.
        """
        if network not in self._results:
            own = self.folder.inversions / network
            paths = sorted(own.glob("*.npz"))
            if not paths:
                raise JaxbqError(f"{own}: no inversions there; run its config first")
            self._results[network] = [self.folder.read_result(path) for path in paths]
            self._check_results(own, self._results[network])
        return self._results[network]

    def images(self, method: str) -> Float[np.ndarray, "networks targets samples *picture"]:
        """Collect the images that a method returned for the trained networks.

        Args:
            method: its name, one of ``run.methods``.

        Returns:
            Shape (networks, targets, samples, height, width), with a last axis of three channels in
            colour; in pixels of ``run.space``; the best sample first.

        Raises:
            JaxbqError: there is no such method, or a file is damaged.
        """
        if method not in self.methods:
            raise JaxbqError(
                f"{self.path} has no method {method!r}; it has {', '.join(self.methods)}"
            )
        found = [self.results(name)[self.methods.index(method)].images for name in self.trained]
        stacked = np.stack(found)
        return stacked.reshape(*stacked.shape[:3], *self.space.shape)

    def values(self, control: str | None = None) -> Values:
        """Arrange the scores of best images by method and name.

        Args:
            control: name of a control network; None for the networks that were trained.

        Raises:
            JaxbqError: the run is of an older version, whose scores.csv lacks a column.
        """
        check_columns(self.folder.scores, self.scores.columns, SCORES)
        best = self._of(self.scores, control)
        return arranged(best[best["sample"] == 0], "target", {name: name for name in SCORES})

    def intervals(self, control: str | None = None) -> Intervals:
        """Compute the mean of every score and cost of every method, with its interval.

        The unit is a network, or a class where there is one network alone.

        Args:
            control: name of a control network; None for the networks that were trained.

        Raises:
            JaxbqError: the run is of an older version, whose tables lack a column.
        """
        if control not in self._intervals:
            cost, reached = self._of(self.cost, control), self._of(self.reached, control)
            nothing = dict.fromkeys((*COSTS, *BOUNDS), np.full((1, 1), math.nan))
            found = {method: nothing | own for method, own in self.values(control).items()}
            if len(cost):
                check_columns(self.folder.cost, cost.columns, COSTS.values())
            for table, across, columns in (
                (cost, None, COSTS),
                (reached, "target", {name: name for name in BOUNDS}),
            ):
                for method, own in arranged(table, across, columns).items():
                    found[method] = found[method] | own
            self._intervals[control] = {
                method: {
                    name: interval(own[name], within=limits(name))
                    for names in GROUPS.values()
                    for name in names
                }
                for method, own in found.items()
            }
        return self._intervals[control]

    @cached_property
    def summary(self) -> pd.DataFrame:
        """Means with 95 % intervals over the trained networks, best image of each target.

        One row a method; columns by score and part: ``mean``, ``low``, ``high``, ``number`` of
        units and ``unit``, ``networks`` or ``classes``. So ``run.summary["fidelity"]`` is the table
        of one score and ``run.summary["fidelity", "mean"]`` a column.
        """
        found = {
            method: {
                (name, part): value
                for name, one in own.items()
                for part, value in one._asdict().items()
            }
            for method, own in self.intervals().items()
        }
        return pd.DataFrame.from_dict(found, orient="index").rename_axis("method")

    @cached_property
    def pairs(self) -> dict[str, list[Comparison]]:
        """All pairs of methods by the headline scores that are known.

        By score; p-values with Holm's correction over all pairs of one score.
        """
        values = self.values()
        return {
            name: compare_pairs({m: own[name] for m, own in values.items()}, within=limits(name))
            for name in HEADLINES
            if not all(np.isnan(own[name]).all() for own in values.values())
        }

    @cached_property
    def overview(self) -> pd.DataFrame:
        """What a person asks first: one row a method, plain means over networks and targets.

        Columns: ``right`` of ``targets``, ``right_before`` the pixel policy; ``largest_error`` of
        any; ``seconds`` a network; ``distinct`` images, ``alike``, mean correlation, and
        ``diversity`` of samples; the others are means, ``distance`` of the squared Mahalanobis
        distance a pixel. NaN is unknown.
        """
        table = self._of(self.scores, None)
        by = table[table["sample"] == 0].groupby("method", sort=False)
        means = {
            "outside_before": "outside_before",
            "probability": "target_probability",
            "correlation": "correlation_own",
            "mean_error": "largest_error",
            "distance": "mahalanobis",
        }
        means |= {name: name for name in HEADLINES}
        check_columns(self.folder.scores, table.columns, ("right", "largest_error"))
        found = by[["right"]].sum().assign(targets=by.size())
        found["right_before"] = math.nan
        if "right_before" in table:
            found["right_before"] = (by["right_before"].mean() * found["targets"]).round()
        found["largest_error"] = by["largest_error"].max()
        for name, column in means.items():
            found[name] = by[column].mean() if column in table else math.nan
        for name, source, column in (
            ("seconds", self.cost, "run"),
            ("distinct", self.spread, "distinct"),
            ("alike", self.spread, "mean_correlation"),
            ("diversity", self.spread, "diversity"),
        ):
            own = self._of(source, None)
            found[name] = own.groupby("method")[column].mean() if column in own else math.nan
        return found

    @cached_property
    def histories(self) -> dict[str, list[EpochMetrics]]:
        """What every epoch of training gave, by network; of those that were trained here."""
        found = {
            name: self.folder.read_history(name)
            for name in self.networks
            if self.folder.history(name).exists()
        }
        return {name: history for name, history in found.items() if history}

    @cached_property
    def robustness(self) -> dict[str, dict[str, Any]]:
        """What an attack leaves of the accuracy, by network, where it was measured."""
        files = {name: self.folder.robustness(name) for name in self.networks}
        return {
            name: self._mapping(f"networks/{file.name}")
            for name, file in files.items()
            if file.exists()
        }

    @cached_property
    def judges(self) -> list[dict[str, Any]]:
        """What is known of every judge."""
        return self._records(JUDGES, ("name",))

    @cached_property
    def transfer(self) -> list[dict[str, Any]]:
        """What is known of every network that transfer is measured with."""
        return self._records(TRANSFER, ("name",))

    @cached_property
    def autoencoders(self) -> list[dict[str, Any]]:
        """How well the autoencoders that methods use give test images back."""
        return self._records(AUTOENCODERS, ("autoencoder", "error"))

    @cached_property
    def traces(self) -> list[dict[str, Any]]:
        """Numbers of the way back through the layers, of analytic methods."""
        return self._records(TRACES, ("method_number", "target"))

    @cached_property
    def naturalness(self) -> dict[str, list[float]]:
        """What real test images score, by measure: 5 %, 50 % and 95 % quantile; NaN is unknown."""
        try:
            return {
                name: [math.nan if value is None else float(value) for value in quantiles]
                for name, quantiles in self._mapping(NATURALNESS).items()
            }
        except (TypeError, ValueError) as fault:
            raise damaged(self.path / NATURALNESS, fault) from None

    @cached_property
    def nearest(self) -> Nearest | None:
        """The nearest training images of the best images; None in older runs."""
        path = self.folder.nearest
        if not path.exists():
            return None
        try:
            part = load_npz(path)
            which = (part[name].tolist() for name in ("network", "method_number", "target"))
            keys = [(str(k), int(m), int(t)) for k, m, t in zip(*which, strict=True)]
            unique = part["unique"].tolist()
            return Nearest(
                dict(zip(keys, part["index"].tolist(), strict=True)),
                dict(zip(unique, part["images"], strict=True)),
                dict(zip(unique, part["labels"].tolist(), strict=True)),
            )
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as fault:
            raise damaged(path, fault) from None

    def _of(self, table: pd.DataFrame, control: str | None) -> pd.DataFrame:
        """Take the rows of one control, or of all trained networks."""
        if not len(table):
            return table
        wanted = [control] if control is not None else self.trained
        return table[table["network"].isin(wanted)]

    def _check_results(self, own: Path, results: Sequence[Result]) -> None:
        """Check that arrays fit each other, files each other, and all of them scores.csv."""
        for result in results:
            targets, images = result.targets.shape, result.images.shape
            fits = (
                len(targets) == 2
                and len(images) == 3
                and images[0] == targets[0]
                and images[1] > 0
                and images[2] == result.space.pixels
                and result.outputs.shape == (*images[:2], targets[1])
                and result.reasons.shape == images[:2] == result.iterations.shape
            )
            if not fits:
                raise damaged(own, "arrays of a result do not fit each other")
        known = [*next(iter(self._results.values())), *results]
        if len({(result.targets.shape, result.space) for result in known}) > 1:
            raise damaged(own, "its files do not belong together")
        scored = self.scores[self.scores["network"] == own.name]["method"]
        numbers = {describe(result.method): result.reasons.size for result in results}
        if list(numbers) != self.methods or numbers != scored.value_counts(sort=False).to_dict():
            raise JaxbqError(
                f"{self.path}: its inversions do not match its scores.csv; run its config again"
            )

    def _optional(self, name: str, needed: Sequence[str]) -> pd.DataFrame:
        path = self.path / name
        rows = read_csv(path) if path.exists() else []
        return read_frame(path, needed, rows) if rows else pd.DataFrame(columns=list(needed))

    def _mapping(self, name: str) -> dict[str, Any]:
        """Read a JSON file that holds a table; an empty one where there is no file."""
        content = self.folder.read_json(name)
        if content is not None and not isinstance(content, dict):
            raise damaged(self.path / name, "it holds no table")
        return content or {}

    def _records(self, name: str, needed: Sequence[str]) -> list[dict[str, Any]]:
        """Read a JSON file that holds a list of tables with these keys; empty without a file."""
        content = self.folder.read_json(name)
        if content is None:
            return []
        if not isinstance(content, list) or not all(isinstance(each, dict) for each in content):
            raise damaged(self.path / name, "it holds no list of tables")
        for key in needed:
            if any(key not in each for each in content):
                raise damaged(self.path / name, f"an entry has no {key!r}")
        return content
