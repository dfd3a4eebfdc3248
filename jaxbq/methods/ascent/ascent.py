"""Activation maximisation: gradient ascent on the image, pixels kept in range."""

import dataclasses
from collections.abc import Callable, Hashable
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt, Le
from jaxtyping import Array, Bool, Float

from ...data import Reference, grid_of
from ...errors import JaxbqError
from ...network.mlp import MLP, Network, float_type
from ...network.targets import check_targets
from ...options import defaulting_to, options
from ...runtime.devices import apart, collected, count
from ...training.optimisers import LBFGS, AnyOptimiser, Optimiser
from ..base import Inversion, Iterative, Reason, Targets
from .climbing import Climb, Climber, Record, Scene
from .constraints import Constraint, Projection
from .objectives import Objective, Target
from .operators import AnyOperator
from .parameterisations import AnyParameterisation, Pixels, range_of
from .regularisers import AnyRegulariser, Diversity, OutOfRange
from .starts import StartName, start_images
from .stopping import StopRule
from .transforms import AnyTransform

# Measured over networks of one to three layers at 500 steps: b2 = 0.95 leaves a largest output
# error of 0.001 to 0.007, optax's 0.999 one of 0.006 to 0.010, since it remembers the large
# first gradients for longer than the ascent takes.
_ADAM = Optimiser(learning_rate=0.1, options=(("b2", 0.95),))
_REACHED = 1e-3
# Fewer rows than this fill no machine; more than the other are no faster, and take memory.
_FEW_LANES, _MANY_LANES = 160, 640


@options
class Ascent(Iterative):
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
            ``lbfgs``.
        steps: the most that an image takes.
        start: ``grey`` (middle of the range), ``black`` (its lower end), ``mean`` (of the training
            images), ``random``, or ``images``, your own (``Reference(starts=…)``).
        noise: how far further restarts begin from the first, as a share of the pixel range.
        restarts: images a target.
        stop: when an image is done.
        path: steps at which the image is kept on its way, in rising order, like (0, 10, 100).
        lanes: images that a device works on at a time; by default chosen by number.
        label: how tables name it, in place of its options.
    """

    kind: Literal["ascent"] = "ascent"
    objective: Objective = Target()
    parameterisation: AnyParameterisation = Pixels()
    constraint: Constraint = Projection()
    regularisers: tuple[AnyRegulariser, ...] = ()
    transforms: tuple[AnyTransform, ...] = ()
    samples: Annotated[int, Gt(0), Le(10**4)] = 1
    operators: tuple[AnyOperator, ...] = ()
    optimiser: Annotated[AnyOptimiser, defaulting_to(_ADAM)] = _ADAM
    steps: Annotated[int, Gt(0), Le(10**7)] = 500
    start: StartName = "grey"
    noise: Annotated[float, Ge(0), Le(1)] = 0.1
    restarts: Annotated[int, Gt(0), Le(10**6)] = 1
    stop: StopRule = StopRule()
    path: tuple[Annotated[int, Ge(0), Le(10**7)], ...] = ()
    lanes: Annotated[int, Gt(0)] | None = None
    label: str = ""

    @property
    def standard(self) -> tuple[str, Any]:
        """The label alone, or with what differs from the preset of that name."""
        from .presets import PRESETS  # which makes ascents

        if self.label in PRESETS:
            # What is kept on the way and how many go at a time change no image.
            usual = PRESETS[self.label]()
            return self.label, dataclasses.replace(usual, path=self.path, lanes=self.lanes)
        if self.label:
            return self.label, self
        return self.kind, Ascent(path=self.path, lanes=self.lanes)

    @property
    def diversity(self) -> Diversity | None:
        """The regulariser that parts restarts, if there is one."""
        return next((r for r in self.regularisers if isinstance(r, Diversity)), None)

    @property
    def may_reach(self) -> bool:
        """Whether to answer the target within the tolerance ends an ascent."""
        given = self.stop.tolerance is not None
        return self.objective.aims_at_target and (given or not self.regularisers)

    @property
    def tolerance(self) -> Any:
        """The stop rule's tolerance, or its default."""
        return _REACHED if self.stop.tolerance is None else self.stop.tolerance

    @property
    def spreads(self) -> bool:
        """Rows."""
        return True

    def confirmed(self, reasons: np.ndarray, outputs: np.ndarray, targets: np.ndarray) -> Any:
        """Take back that a target was reached where the network's own answer is not so near."""
        if not self.may_reach:
            return reasons
        missed = np.abs(outputs - targets[:, None]).max(axis=-1) > self.tolerance
        return np.where(missed & (reasons == Reason.REACHED), Reason.STALLED, reasons)

    def check(self, model: Network, reference: Reference, targets: np.ndarray) -> None:
        """Refuse what does not go with the network, the images, or each other."""
        self.objective.check(model)
        self.optimiser.check()
        outputs = model.sizes[-1] if isinstance(model, MLP) else None
        check_targets(targets, model.output, outputs, closed=True)
        for part in (self.parameterisation, *self.regularisers, *self.operators):
            part.check(reference)
        if self.transforms:
            grid_of(reference.space, f"transform {self.transforms[0].kind!r}")
        start_images(self.start, reference)
        self._check_parts()

    def _check_parts(self) -> None:
        """Refuse choices that exclude each other."""
        if self.parameterisation.is_squashed and not isinstance(self.constraint, Projection):
            raise JaxbqError(
                f"parameterisation {self.parameterisation.kind!r} is in the range: constraint "
                f"{self.constraint.kind!r} would do it twice; leave it at 'projection'"
            )
        if self.operators and not self.parameterisation.is_pixels:
            raise JaxbqError(
                f"operators work on pixels, not on {self.parameterisation.kind!r}; use regularisers"
            )
        if self.samples > 1 and not self.transforms:
            raise JaxbqError("samples = more than 1 needs transforms: all would be the same image")
        if len([r for r in self.regularisers if isinstance(r, Diversity)]) > 1:
            raise JaxbqError("regularisers: one diversity is enough; add up the weights")
        if self.diversity and self.restarts == 1:
            raise JaxbqError("regulariser 'diversity' parts restarts, and there is one; set more")
        if any(isinstance(r, OutOfRange) for r in self.regularisers) and self._inside_anyway:
            raise JaxbqError(
                "regulariser 'out_of_range' has nothing to do: this parameterisation and "
                "constraint keep the variable in the range"
            )
        if isinstance(self.optimiser, LBFGS):
            for name, has in (
                ("transforms, which change the objective at every step", self.transforms),
                ("operators, which move the image behind its back", self.operators),
                ("diversity, whose value depends on other images", self.diversity),
            ):
                if has:
                    raise JaxbqError(f"optimiser 'lbfgs' cannot have {name}; use 'adam'")
        if list(self.path) != sorted(set(self.path)) or max(self.path, default=0) > self.steps:
            raise JaxbqError(f"path must hold rising steps from 0 to {self.steps}")

    @property
    def _inside_anyway(self) -> bool:
        box = self.parameterisation.is_pixels and isinstance(self.constraint, Projection)
        return box or self.parameterisation.is_squashed

    def plan(self, targets: int, pixels: int) -> "Ascent":
        """Choose the number of lanes, of every device."""
        if self.lanes is not None:
            return self
        rows = -(-targets * self.restarts // count())
        reached = self.may_reach and self.tolerance > 0
        ends_early = reached or self.stop.gradient is not None or self.stop.patience > 0
        if ends_early:
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
        return Scene(
            params=model.freeze(params),
            starts=jnp.asarray(start_images(self.start, reference), dtype),
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

        Args:
            do: is given what makes the climber of the share from a key, and the device's own part
                of ``what``.
            model: the network.
            state: what was prepared.
            targets: one a row.
            what: first what every device has whole, then what each has of its own.
        """
        devices = count()

        def own(device: Any, given: Any, *mine: Any) -> Any:
            *parts, more = given
            method, state, targets = parts

            def climber(key: Array) -> Climber:
                return Climber(method, model, state, targets, key, device, devices)

            return do(climber, more, *mine)

        given, *mine = what
        return apart(own, (self, state, targets, given), *mine)

    def begin(self, model: Network, params: Any, state: Any, targets: Targets, key: Array) -> Climb:
        """Lay out targets × restarts as rows."""
        return self._apart(lambda climber, key: climber(key).begin(), model, state, targets, key)

    def advance(
        self, model: Network, params: Any, state: Any, targets: Array, carry: Climb, number: Any
    ) -> Climb:
        """Climb on, every device through its own rows."""

        def advance(climber: Callable[..., Climber], number: Any, own: Climb) -> Climb:
            return climber(own.key).advance(own, number)

        return self._apart(advance, model, state, targets, number, carry)

    def progress(
        self, model: Network, state: Any, targets: Array, carry: Climb
    ) -> tuple[Bool[Array, ""], Float[Array, ""]]:
        """Tell whether a row has no reason to stop yet or still waits, and how far all are."""

        def tell(climber: Callable[..., Climber], _: Any, own: Climb) -> tuple[Array, Array]:
            climbing = climber(own.key)
            return climbing.running(own), climbing.share_done(own)

        running, share = self._apart(tell, model, state, targets, None, carry)
        return running.any(), share.mean()

    def finish(
        self, model: Network, params: Any, state: Any, targets: Array, carry: Climb
    ) -> Inversion:
        """Look at the last iterate too, then order the restarts of each target, best first."""

        def finish(climber: Callable[..., Climber], _: Any, own: Climb) -> Record:
            return climber(own.key).finish(own)

        shares = self._apart(finish, model, state, targets, None, carry)
        climber = Climber(self, model, state, targets, carry.key)
        rows = collected(shares, climber.group)
        record = jax.tree.map(lambda a: a[: climber.all_rows], rows)
        groups = len(record.reason) // self.restarts
        grouped = jax.tree.map(
            lambda a: a.reshape(groups, self.restarts, *a.shape[1:]), record._asdict()
        )
        order = jnp.argsort(-grouped["best_value"], axis=1, stable=True)
        sort = jax.vmap(lambda rows, o: rows[o])
        found = {name: sort(values, order) for name, values in grouped.items()}
        diagnostics = {
            "objective": found["best_value"],
            "curve": found["curve"],
            "restart": order,
        }
        if self.path:
            diagnostics["path"] = found["path"]
        return Inversion(found["best"], found["reason"], found["taken"], diagnostics)
