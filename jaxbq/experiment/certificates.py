"""Cells of certificates: one network and target each; and the table of what they prove."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..certification import Certificate, certify, check_network, verify
from ..errors import JaxbqError
from ..network.targets import class_of
from ..runtime.files import make_folder
from .cells import Executor, Job
from .folder import CERTIFICATES, NetworkName, damaged, write_csv

_QUESTION = ("network", "target", "class", "objective", "radius")
COLUMNS = (*_QUESTION, "found", "proven", "gap", "parts", "sentence")


@dataclasses.dataclass(frozen=True)
class CertificateCell:
    """The certificate of one network and class.

    Args:
        network: which.
        target: its number among the targets.
        label: index of its class.
    """

    network: int
    target: int
    label: int

    def inputs(self, job: Job) -> list[Path]:
        """Name the network's file."""
        return [job.folder.network(self.network)]

    def file(self, job: Job) -> Path:
        """Name the certificate."""
        return job.folder.certificate(self.network, self.target)

    def compute(self, job: Job) -> list[Path]:
        """Search, and write what was found and proven."""
        network, asked = job.network(self.network), job.experiment.certificate
        assert asked is not None
        nodes: dict[str, Any] = {} if asked.nodes is None else {"nodes": asked.nodes}
        found = certify(
            network.model,
            network.params,
            self.label,
            space=job.data.space,
            objective=asked.objective,
            around=self._around(job),
            radius=asked.radius,
            norm=asked.norm,
            seconds=math.inf if nodes else asked.seconds,
            gap=asked.gap,
            seed=job.experiment.seed,
            **nodes,
        )
        path = self.file(job)
        make_folder(path.parent)
        found.save(path)
        which = f"network {self.network}: " if job.experiment.networks.seeds > 1 else ""
        what = f"{asked.objective} of {job.data.class_names[self.label]}"
        job.listener.say(f"{which}{what}: {found.sentence}")
        return [path]

    def verified(self, job: Job) -> Certificate:
        """Read the certificate, and compute anew what it proves.

        Raises:
            JaxbqError: it is damaged, or answers another question.
        """
        network, path = job.network(self.network), self.file(job)
        try:
            found = verify(path, network.model, network.params)
        except JaxbqError as fault:
            raise damaged(path, str(fault).removeprefix(f"{path}: ").partition(";")[0]) from None
        asked, space, claim = job.experiment.certificate, job.data.space, found.claim
        assert asked is not None
        around = self._around(job)
        ball = ("", 0.0) if around is None else (asked.norm, asked.radius)
        question = (asked.objective, self.label, space.low, space.high, *ball)
        answered = (claim.objective, claim.target, claim.low, claim.high, claim.norm, claim.radius)
        if question != answered or not np.array_equal(
            () if around is None else around, claim.centre
        ):
            raise damaged(path, "it answers another question")
        return found

    def _around(self, job: Job) -> Float[np.ndarray, " pixels"] | None:
        """Return the image near which is searched, if any."""
        asked = job.experiment.certificate
        if asked is None or asked.around is None:
            return None
        return np.asarray(job.data.test_images[asked.around], np.float64)


def write_certificates(job: Job, networks: Sequence[NetworkName], executor: Executor) -> None:
    """Make the certificates that the folder lacks, verify all of them, and write the table.

    Where the networks are none that can be certified, one line says why.

    Raises:
        JaxbqError: a file is damaged.
    """
    folder, experiment = job.folder, job.experiment
    if experiment.certificate is None:
        return
    # Controls answer nothing that anybody asks.
    trained = [name for name in networks if isinstance(name, int)]
    model = job.network(trained[0]).model
    try:
        check_network(model)
    except JaxbqError as reason:
        job.listener.say(f"no certificates: {reason}")
        return
    targets = experiment.targets.targets(job.data.classes, model.output)
    labels = {n: class_of(target) for n, target in enumerate(targets)}
    cells = [
        CertificateCell(name, n, label)
        for name in trained
        for n, label in labels.items()
        if label is not None
    ]
    if len(labels) * len(trained) > len(cells):
        job.listener.say("targets that are no class have no certificates")
    missing = [cell for cell in cells if not cell.file(job).exists()]
    for name in trained if missing else ():
        make_folder(folder.certificates / str(name))
    executor.run("certificates", missing, job)
    if cells and (missing or not (folder.path / CERTIFICATES).exists()):
        write_csv(folder.path / CERTIFICATES, COLUMNS, _rows(job, cells))


def _rows(job: Job, cells: Sequence[CertificateCell]) -> Iterator[tuple[object, ...]]:
    """One row a certificate, by the verifier's numbers."""
    for cell in cells:
        found = cell.verified(job)
        # Below 0 a share of the bound says nothing.
        gap = found.gap if found.found > 0 else math.nan
        claim, radius = found.claim, found.claim.radius if found.claim.norm else math.nan
        yield (
            *(cell.network, cell.target, cell.label, claim.objective, radius),
            *(found.found, found.proven, gap, found.leaves, found.sentence),
        )
