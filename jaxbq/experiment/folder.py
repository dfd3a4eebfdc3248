"""The run folder: which file holds what. Everything is written atomically and read back checked.

config.json            every option, resolved
environment.json       versions, device, data checksum, commit, command
networks/K.*           of network K, from 0, or a control's name: safetensors; history.csv of its
                       training; while it is trained, checkpoint.npz
autoencoders.json      how well the autoencoders that methods use give test images back
inversions/K/NN-KIND.* of network K by method NN, from 1: npz: images, outputs, reasons,
                       diagnostics; json: options, wall time, operations
certificates/K/TT.npz  of network K and target TT, from 0: what is found and proven, see config
certificates.csv       one row a certificate: the verifier's numbers
traces.json            numbers of the way back through the layers, of analytic methods
judges.json            who read the images, and how well they read real ones and noise
transfer.json          the independently trained networks that were asked too
naturalness.json       what real test images score, to compare with
nearest.npz            the training images nearest to the images of scores.csv
cost.csv               one row a network and method: seconds, steps, operations
timing.json            seconds that the run took, by phase
inversions/K/scored.json what is scored of network K, until all are
spread.csv             one row a network and target of the methods that give several images
scores.csv             one row an image; written last
figures/, tables/      pictures and tables
report/index.html      the page
"""

import csv
import dataclasses
import io
import json
import math
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..data import ImageSpace
from ..errors import JaxbqError
from ..methods import AnyMethod, Method, Result, Seconds
from ..options import validate
from ..runtime.files import load_npz, make_folder, write_npz, write_text
from ..training import EpochMetrics
from .config import Experiment

_ARRAYS = ("targets", "images", "outputs", "logits", "reasons", "iterations")
_DIAGNOSTIC = "diagnostic_"
NATURALNESS = "naturalness.json"
JUDGES = "judges.json"
TRANSFER = "transfer.json"
TRACES = "traces.json"
AUTOENCODERS = "autoencoders.json"
CERTIFICATES = "certificates.csv"
TIMING = "timing.json"
NetworkName = int | str
"""Number of a network of the experiment, from 0, or the name of a control."""


def damaged(path: Path, why: object) -> JaxbqError:
    """Make the error of a file that is not as it was written."""
    return JaxbqError(f"{path}: damaged ({why}); delete it and run again")


class _Place:
    """A file or folder of a run, by its name there."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, run: "RunFolder", kind: type) -> Path:
        return run.path / self._name


@dataclass(frozen=True)
class RunFolder:
    """The files of one run.

    Args:
        path: the folder.
    """

    path: Path

    networks = _Place("networks")
    inversions = _Place("inversions")
    certificates = _Place("certificates")
    figures = _Place("figures")
    tables = _Place("tables")
    report = _Place("report/index.html")
    scores = _Place("scores.csv")
    cost = _Place("cost.csv")
    spread = _Place("spread.csv")
    nearest = _Place("nearest.npz")

    @classmethod
    def of(cls, experiment: Experiment, out: Path) -> "RunFolder":
        """Name the folder of an experiment: its name and the digest of its options."""
        return cls(out / f"{experiment.name}-{experiment.digest}")

    def create(self, networks: Iterable[NetworkName] = (0,)) -> None:
        """Make the folder and its parts, for these networks.

        Raises:
            JaxbqError: it cannot be written.
        """
        each = (self.inversions / str(number) for number in networks)
        for part in (self.path, self.networks, self.inversions, *each, self.figures):
            make_folder(part)

    def network(self, number: NetworkName = 0) -> Path:
        """File of a trained network."""
        return self.networks / f"{number}.safetensors"

    def history(self, number: NetworkName = 0) -> Path:
        """File of its training metrics."""
        return self.networks / f"{number}.history.csv"

    def robustness(self, number: NetworkName = 0) -> Path:
        """File of what an attack leaves of its accuracy."""
        return self.networks / f"{number}.robustness.json"

    def checkpoint(self, number: NetworkName | None = None) -> Path:
        """File of where its training stands, or that of all networks trained together."""
        return self.networks / f"{'all' if number is None else number}.checkpoint.npz"

    def network_files(self, number: NetworkName) -> list[Path]:
        """Files of a network that is there, in the order in which they are written."""
        files = (self.network(number), self.robustness(number), self.history(number))
        return [file for file in files if file.exists()]

    def certificate(self, network: NetworkName, target: int) -> Path:
        """File of what is found and proven of one network and target."""
        return self.certificates / str(network) / f"{target:02d}.npz"

    def certified_image(
        self, network: NetworkName, target: int, pixels: int
    ) -> Float[np.ndarray, " pixels"]:
        """Read the best picture that the search for a certificate found.

        Raises:
            JaxbqError: there is none, or its file is damaged.
        """
        path = self.certificate(network, target)
        try:
            return load_npz(path)["image"].reshape(pixels)
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as fault:
            raise damaged(path, fault) from None

    def scored(self, number: NetworkName) -> Path:
        """File of what is scored of one network, until all are."""
        return self.inversions / str(number) / "scored.json"

    def inversion(self, network: NetworkName, number: int, method: Method) -> Path:
        """File of what one method returned for one network."""
        name = f"{number + 1:02d}-{method.kind}.npz"  # type: ignore[attr-defined]
        return self.inversions / str(network) / name

    def inversion_files(self, network: NetworkName, number: int, method: Method) -> list[Path]:
        """Files of what one method returned, in the order in which they are written."""
        path = self.inversion(network, number, method)
        return [path.with_suffix(".json"), path]

    def write_json(self, name: str | Path, content: Any) -> None:
        """Write plain data under a name in the folder."""
        write_text(self.path / name, json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    def read_json(self, name: str | Path) -> Any:
        """Read plain data; None where there is no such file.

        Raises:
            JaxbqError: it is damaged.
        """
        path = self.path / name
        if not path.exists():
            return None
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as fault:
            raise damaged(path, fault) from None

    def write_history(self, history: Sequence[EpochMetrics], number: NetworkName = 0) -> None:
        """Write the training metrics of a network, one row an epoch."""
        names = [field.name for field in dataclasses.fields(EpochMetrics)]
        write_csv(self.history(number), names, (dataclasses.astuple(epoch) for epoch in history))

    def read_history(self, number: NetworkName = 0) -> list[EpochMetrics]:
        """Read the training metrics of a network.

        Raises:
            JaxbqError: the file is damaged.
        """
        path = self.history(number)
        try:
            return [
                EpochMetrics(int(row["epoch"]), *(float(row[k]) for k in list(row)[1:]))
                for row in read_csv(path)
            ]
        except (ValueError, KeyError, TypeError) as fault:
            raise damaged(path, fault) from None

    def write_result(self, path: Path, result: Result) -> None:
        """Write what a method returned. The npz comes last: where it is, all is."""
        arrays = {name: getattr(result, name) for name in _ARRAYS}
        arrays |= {_DIAGNOSTIC + name: value for name, value in result.diagnostics.items()}
        about = {
            "method": dataclasses.asdict(result.method),  # type: ignore[call-overload]
            "space": dataclasses.asdict(result.space),
            "seconds": dataclasses.asdict(result.seconds),
            "operations": None if math.isnan(result.operations) else result.operations,
        }
        write_text(path.with_suffix(".json"), json.dumps(about, indent=2) + "\n")
        write_npz(path, arrays)

    def read_result(self, path: Path) -> Result:
        """Read what a method returned.

        Raises:
            JaxbqError: a file is damaged.
        """
        try:
            arrays = load_npz(path)
            about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            space = about["space"]
            return Result(
                method=validate(AnyMethod, about["method"], str(path)),
                **{name: arrays[name] for name in _ARRAYS},
                diagnostics={
                    name.removeprefix(_DIAGNOSTIC): value
                    for name, value in arrays.items()
                    if name.startswith(_DIAGNOSTIC)
                },
                space=ImageSpace(tuple(space["shape"]), space["low"], space["high"]),
                seconds=Seconds(**about["seconds"]),
                operations=math.nan if about["operations"] is None else about["operations"],
            )
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as fault:
            raise damaged(path, fault) from None


def write_csv(path: Path, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table, atomically. NaN becomes an empty cell."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow(["" if value != value else value for value in row])  # noqa: PLR0124
    write_text(path, buffer.getvalue())


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read a table, one dictionary a row.

    Raises:
        JaxbqError: it cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as fault:
        raise JaxbqError(f"{path}: cannot be read ({fault}); run its config again") from None
