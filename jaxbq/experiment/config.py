"""What an experiment is: its options, which are those that the code itself uses."""

import dataclasses
import hashlib
import json
from typing import Annotated, Any

from annotated_types import Ge, Le
from pydantic import StringConstraints

from ..data import Mnist10k, Source
from ..methods import AnyMethod
from ..network.targets import Codes
from ..options import options, shorthand
from ..runtime.devices import Precision, type_of
from ..training import Training, TrainingRule
from .network_options import AnyNetwork, Control, NetworkConfig
from .score_options import Scoring, expand_scores


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
        precision: of the computation: ``float32``, ``float64``, or ``tf32``, which is float32
            whose matrix products in an ascent accelerators may round to TF32; on CPUs the same.
        data: where images come from.
        network: what is trained, or a file.
        networks: how many of them.
        training: how.
        targets: what is asked.
        methods: by which ways.
        controls: networks that have learnt nothing, of the same specification, asked the same by
            the same methods: what a method shows on them is its own prior.
        scores: what images are scored by.
    """

    name: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)
    ] = "run"
    seed: Annotated[int, Ge(0), Le(2**32 - 1)] = 0
    precision: Precision = "float32"
    data: Source = Mnist10k()
    network: AnyNetwork = NetworkConfig()
    networks: NetworksConfig = NetworksConfig()
    training: TrainingRule = Training()
    targets: Codes = Codes()
    methods: tuple[AnyMethod, ...] = ()
    controls: tuple[Control, ...] = ()
    scores: Annotated[Scoring, shorthand(expand_scores)] = Scoring()

    @property
    def dtype(self) -> str:
        """Type of all arrays."""
        return type_of(self.precision)

    def resolved(self) -> dict[str, Any]:
        """Every option with its value, as plain data."""
        return dataclasses.asdict(self)

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that change with every option."""
        text = json.dumps(self.resolved(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]
