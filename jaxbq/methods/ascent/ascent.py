"""Activation maximisation: gradient ascent on the image, pixels kept in range."""

import dataclasses
import difflib
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pydantic
from jaxtyping import Array, Bool, Float

from ...certification import relaxed_images
from ...data import Reference, grid_of
from ...errors import JaxbqError
from ...network.mlp import Network, float_type
from ...options import options
from ...runtime.devices import device_count, gather_rows, map_devices
from ...training.optimisers import GaussNewton
from ..base import Inversion, Reason, Targets
from .choices import Choices
from .climbing import Climb, Climber, Scene
from .parameterisations import range_of
from .presets import PRESETS
from .starts import start_images

# Fewer rows than this fill no machine; more than the other are no faster, and take memory.
_FEW_LANES, _MANY_LANES = 160, 640
_JACOBIANS = 16  # rows whose Jacobians stay in a CPU's cache


@options
class Ascent(Choices):
    """Activation maximisation: x ← Π(x + step(∇(J − Σ λᵢ Rᵢ))), Π what keeps x in the pixel range.

    Every restart of every target is a row of one batch; the optimiser sees each row by itself.
    The best iterate of each row by J − Σ λᵢ Rᵢ is returned. Starts are the same for every target.
    What is varied is a choice of its own, each a module here; :func:`~jaxbq.preset`
    makes those of published methods.

    Source: D. Erhan et al., "Visualizing higher-layer features of a deep network", 2009;
    A. Linden and J. Kindermann, "Inversion of multilayer nets", IJCNN 1989; the choices as in
    C. Olah et al., "Feature visualization", Distill 2017.

    Args:
        objective: J: ``target``, ``logit``, ``log_prob``, ``margin``, ``unit``, ``direction`` or
            ``sum``, or a table with its options.
        parameterisation: the variable that is moved: ``pixels``, ``sigmoid``, ``fourier``,
            ``fixed_spectrum``, ``whitened``, ``principal_components``, ``low_resolution`` or
            ``autoencoder``.
        constraint: how the image comes to lie in the range: ``projection``, ``squash`` or
            ``penalty``.
        regularisers: what is subtracted from J, each with its ``weight``.
        transforms: what is done to the image, at random, before the network sees it.
        samples: transformed images a step, whose objectives are averaged.
        operators: what is done to the pixels themselves after every step.
        optimiser: any optax optimiser that needs the gradient alone, applied row by row; or
            ``lbfgs``; or ``gauss_newton``, which takes a tenth of the steps where outputs are few.
        steps: the most that an image takes.
        start: ``grey`` (middle of the range), ``black`` (its lower end), ``mean`` (of the training
            images), ``random``, ``images``, your own (``Reference(starts=…)``), or ``relaxed``, for
            each class the image that solves its envelope bound (:func:`~jaxbq.certify`).
        noise: how far further restarts begin from the first, as a share of the pixel range.
        restarts: images a target.
        stop: when an image is done.
        path: steps at which the image is kept on its way, in rising order, like (0, 10, 100).
        lanes: images that a device works on at a time; by default chosen by number.
        label: how tables name it, in place of its options.
    """

    @property
    def standard(self) -> tuple[str, Any]:
        """The label alone, or with what differs from the preset of that name."""
        if self.label in PRESETS:
            # What is kept on the way and how many go at a time change no image.
            usual = Ascent(label=self.label, **PRESETS[self.label])
            return self.label, dataclasses.replace(usual, path=self.path, lanes=self.lanes)
        if self.label:
            return self.label, self
        return self.kind, Ascent(path=self.path, lanes=self.lanes)

    spreads = True

    @property
    def independent_samples(self) -> int:
        """Restarts, unless they part from each other."""
        return self.restarts if self.diversity is None else 1

    def part(self, samples: range) -> "Ascent":
        """Ask for fewer restarts."""
        return dataclasses.replace(self, restarts=len(samples))

    def skip(self, state: Scene, samples: int) -> Scene:
        """Count restarts from there."""
        return state._replace(first=samples)

    def rank(self, reasons: Any, diagnostics: Mapping[str, Any]) -> Any:
        """Put the largest objective first."""
        return -diagnostics["objective"]

    def confirmed(self, reasons: np.ndarray, outputs: np.ndarray, targets: np.ndarray) -> Any:
        """Take back that a target was reached where the network's own answer is not so near."""
        if not self.may_reach:
            return reasons
        missed = np.abs(outputs - targets[:, None]).max(axis=-1) > self.tolerance
        return np.where(missed & (reasons == Reason.REACHED), Reason.STALLED, reasons)

    def plan(self, targets: int, pixels: int) -> "Ascent":
        """Choose the number of lanes, of every device."""
        if self.lanes is not None:
            return self
        rows = -(-targets * self.restarts // device_count())
        reached = self.may_reach and self.tolerance > 0
        ends_early = reached or self.stop.gradient is not None or self.stop.patience > 0
        if isinstance(self.optimiser, GaussNewton) and jax.default_backend() == "cpu":
            lanes = _JACOBIANS
        elif ends_early:
            # Fewer at a time waste fewer steps on rows that are done; many are faster each.
            lanes = min(_MANY_LANES, max(_FEW_LANES, rows // 4))
        else:
            # As many in the last turn as in each before: a lane without a row costs as much.
            group = self.restarts if self.diversity else 1
            lanes = -(-rows // (-(-rows // _MANY_LANES) * group)) * group
        return dataclasses.replace(self, lanes=min(rows, lanes))

    @property
    def prepared(self) -> Hashable:
        """What :meth:`prepare` depends on."""
        regularisers = tuple(dataclasses.replace(r, weight=0.0) for r in self.regularisers)
        return self.parameterisation, self.start, regularisers, self.operators

    def prepare(self, model: Network, params: Any, reference: Reference, key: Array) -> Any:
        """Store transposed weights, starts, and what parameterisation and regularisers need."""
        dtype = float_type(params)
        if self.start == "relaxed":
            starts = relaxed_images(model, params, reference.space)
        else:
            starts = start_images(self.start, reference)
        return Scene(
            params=model.freeze(params),
            starts=jnp.asarray(starts, dtype),
            span=range_of(reference, dtype),
            parameterisation=self.parameterisation.prepare(reference, dtype),
            regularisers=tuple(r.prepare(reference, dtype) for r in self.regularisers),
            operators=tuple(o.prepare(reference, dtype) for o in self.operators),
            grid=grid_of(reference.space, "transforms") if self.transforms else None,
        )

    def _apart(
        self, do: Callable[..., Any], model: Network, state: Any, targets: Array, *what: Any
    ) -> Any:
        """Let every device do something with its share of the rows.

        ``do`` is given the climber of the share and the device's own part of ``what``: first what
        every device has whole (to begin, the key), then the ascent so far, if it has begun.
        """
        devices = device_count()

        def own(device: Any, given: Any, *mine: Any) -> Any:
            method, state, targets, whole = given
            key = mine[0].key if mine else whole
            return do(Climber(method, model, state, targets, key, device, devices), whole, *mine)

        whole, *mine = what
        return map_devices(own, (self, state, targets, whole), *mine)

    def begin(self, model: Network, params: Any, state: Any, targets: Targets, key: Array) -> Climb:
        """Lay out targets × restarts as rows."""
        return self._apart(lambda climber, _: climber.begin(), model, state, targets, key)

    def advance(
        self, model: Network, params: Any, state: Any, targets: Array, carry: Climb, number: Any
    ) -> Climb:
        """Climb on, every device through its own rows."""

        def advance(climber: Climber, number: Any, own: Climb) -> Climb:
            return climber.advance(own, number)

        return self._apart(advance, model, state, targets, number, carry)

    def progress(
        self, model: Network, state: Any, targets: Array, carry: Climb
    ) -> tuple[Bool[Array, ""], Float[Array, ""]]:
        """Tell whether a row has no reason to stop yet or still waits, and how far all are."""

        def tell(climber: Climber, _: Any, own: Climb) -> tuple[Array, Array]:
            return climber.running(own), climber.share_done(own)

        running, share = self._apart(tell, model, state, targets, None, carry)
        return running.any(), share.mean()

    def finish(
        self, model: Network, params: Any, state: Any, targets: Array, carry: Climb
    ) -> Inversion:
        """Look at the last iterate too, then order the restarts of each target, best first."""
        shares = self._apart(lambda c, _, own: c.finish(own), model, state, targets, None, carry)
        climber = Climber(self, model, state, targets, carry.key)
        rows = gather_rows(shares, climber.group)
        record = jax.tree.map(lambda a: a[: climber.all_rows], rows)
        groups = len(record.reason) // self.restarts
        grouped = jax.tree.map(
            lambda a: a.reshape(groups, self.restarts, *a.shape[1:]), record._asdict()
        )
        rank = self.rank(grouped["reason"], {"objective": grouped["best_value"]})
        order = jnp.argsort(rank, axis=1, stable=True)
        sort = jax.vmap(lambda rows, o: rows[o])
        found = {name: sort(values, order) for name, values in grouped.items()}
        diagnostics = {
            "objective": found["best_value"],
            "curve": found["curve"],
            "restart": order + state.first,
        }
        if self.path:
            diagnostics["path"] = found["path"]
        return Inversion(found["best"], found["reason"], found["taken"], diagnostics)


def preset(name: str, **changes: Any) -> Ascent:
    """Make the ascent of a published method.

    Args:
        name: ``erhan2009``, ``simonyan2014``, ``yosinski2015``, ``nguyen2016``, ``lucid2017``,
            ``maco2023``, or ``whitened``, ours.
        changes: options of :class:`~jaxbq.Ascent` to set otherwise.

    Raises:
        JaxbqError: there is no such preset, or no such option.
    """
    if name not in PRESETS:
        raise JaxbqError(f"unknown preset {name!r}; known: {', '.join(PRESETS)}")
    known = {field.name for field in dataclasses.fields(Ascent)}
    for option in changes:
        if option not in known:
            raise JaxbqError(f"preset {name!r}: an ascent has no option {option!r}")
    return Ascent(**{"label": name, **PRESETS[name], **changes})


def expand_preset(given: Any) -> Any:
    """Read a preset's name, or a table with a preset, as the whole table of an ascent.

    Raises:
        ValueError: there is no such preset.
    """
    if isinstance(given, str):
        given = {"kind": given}
    if not isinstance(given, Mapping):
        return given
    given = dict(given)
    for key in ("kind", "preset"):
        if not isinstance(given.get(key, ""), str):
            raise ValueError(f"{key} must be a name in quotes")
    # A preset's name is a kind too: kind = "whitened" is short for preset = "whitened".
    if given.get("kind") in PRESETS and "preset" not in given:
        given["preset"] = given.pop("kind")
    if "preset" not in given:
        _refuse_slip(given.get("kind"))
        return given
    name = given.pop("preset")
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; known: {', '.join(PRESETS)}")
    if given.get("kind", "ascent") != "ascent":
        raise ValueError(f"presets are ascents, not {given['kind']!r}; leave kind out")
    return _merged(dataclasses.asdict(preset(name)), given)


def _refuse_slip(kind: Any) -> None:
    """Catch a misspelt preset, of which the list of kinds says nothing."""
    near = difflib.get_close_matches(str(kind), PRESETS, n=1)
    if near and kind is not None:
        raise ValueError(f"unknown kind {kind!r}; did you mean {near[0]!r}?")


def _merged(table: Any, changes: Any) -> Any:
    """Change a table at every depth; a table of another kind or name replaces it."""
    if not isinstance(table, Mapping) or not isinstance(changes, Mapping):
        return changes
    for key in ("kind", "name"):
        if key in changes and key in table and changes[key] != table[key]:
            return changes
    return {**table, **{k: _merged(table.get(k), v) for k, v in changes.items()}}


PRESET_SHORTHAND = pydantic.BeforeValidator(expand_preset)
