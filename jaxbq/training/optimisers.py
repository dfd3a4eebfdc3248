"""Optimisers and schedules by name, from optax; projected L-BFGS; projected Gauss-Newton."""

import functools
import inspect
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import optax
from annotated_types import Ge, Gt, Le
from pydantic import Discriminator, Tag

from ..errors import JaxbqError
from ..options import FIXED_PAIRS, PAIRS, options

Option = float | int | bool | str
_OWN_SCHEDULES = ("constant", "linear", "cosine", "warmup_cosine")
# Change every parameter by its own gradients, so that a matrix may be held in parts.
_ELEMENTWISE = {
    "adabelief",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adamaxw",
    "adamw",
    "amsgrad",
    "lion",
    "nadam",
    "nadamw",
    "radam",
    "rmsprop",
    "rprop",
    "sgd",
    "sign_sgd",
    "yogi",
}
# What optax's schedules call the rate they begin with or rise to, and their length.
_RATE_NAMES = ("init_value", "value", "peak_value")
_LENGTH_NAMES = ("transition_steps", "decay_steps")


@options
class Optimiser:
    """Any optax optimiser that needs the gradient alone, with a schedule.

    Args:
        name: of the function in optax: ``adam``, ``sgd``, ``rmsprop``, ``lion`` and so on.
        learning_rate: the largest step size of the schedule.
        schedule: how the rate goes over the run: constant; ``linear`` or ``cosine`` down to
            ``end``; ``warmup_cosine`` up during the first tenth, then down; or any schedule of
            optax by name, like ``exponential_decay``, as a factor of ``learning_rate``: it begins
            or peaks at 1 and lasts as long as the run unless its options say otherwise.
        end: last rate of the first four, as a share of ``learning_rate``.
        schedule_options: arguments of the optax schedule, like ``{decay_rate = 0.1}``.
        normalise: divide the gradient by its norm before all else, so that the step's length does
            not depend on it; in an ascent by the norm of each image's gradient.
        options: further arguments of the optax function, like ``{momentum = 0.9}``.
    """

    name: str = "adam"
    learning_rate: Annotated[float, Gt(0)] = 1e-3
    schedule: str = "constant"
    end: Annotated[float, Ge(0), Le(1)] = 0.0
    schedule_options: Annotated[tuple[tuple[str, Option], ...], FIXED_PAIRS] = ()
    normalise: bool = False
    options: Annotated[tuple[tuple[str, Option], ...], PAIRS] = ()

    @property
    def elementwise(self) -> bool:
        """Whether every parameter's change follows from its own gradients and one common factor."""
        return self.name in _ELEMENTWISE

    def build(self, steps: int) -> Any:
        """Make the optax transformation for a run of so many steps."""
        optimiser = getattr(optax, self.name)(self._rate(steps), **dict(self.options))
        if self.normalise:
            return optax.chain(optax.normalize_by_update_norm(), optimiser)
        return optimiser

    def _rate(self, steps: int) -> Any:
        rate, end = self.learning_rate, self.learning_rate * self.end
        match self.schedule:
            case "constant":
                return rate
            case "linear":
                return optax.linear_schedule(rate, end, steps)
            case "cosine":
                return lambda count: _cosine(count / steps, rate, end)
            case "warmup_cosine":
                warmup = max(steps // 10, 1)
                return lambda count: jnp.where(
                    count < warmup,
                    rate * (count + 1) / warmup,
                    _cosine((count - warmup) / max(steps - warmup, 1), rate, end),
                )
            case _:
                schedule = getattr(optax, self.schedule)
                known = _parameters(schedule)
                given: dict[str, Any] = {n: 1.0 for n in _RATE_NAMES if n in known}
                given |= {n: steps for n in _LENGTH_NAMES if n in known}
                factor = schedule(**{**given, **dict(self.schedule_options)})
                return lambda count: rate * factor(count)

    @functools.lru_cache(maxsize=128)  # noqa: B019 — frozen, small, and asked before every run
    def check(self) -> None:
        """Check that optax has this optimiser and that it takes these options.

        Raises:
            JaxbqError: an unknown name or option, or an optimiser that needs more than gradients.
        """
        function = getattr(optax, self.name, None)
        if function is None or "learning_rate" not in _parameters(function):
            raise JaxbqError(
                f"optax has no optimiser {self.name!r}; use adam, adamw, sgd, rmsprop, lion, …"
            )
        self._check_schedule()
        known = _parameters(function)
        for option, _ in self.options:
            if option not in known:
                raise JaxbqError(f"optax.{self.name} has no option {option!r}; known: {known}")
        try:
            point = jax.ShapeDtypeStruct((2,), jnp.float32)
            # With its numbers unknown, as in a compiled program.
            jax.eval_shape(_first_update, self, point)
        except Exception as fault:
            raise JaxbqError(
                f"optax.{self.name} cannot be used here: it needs more than gradients, "
                f"or an option has a wrong value ({str(fault).splitlines()[0]})"
            ) from fault

    def _check_schedule(self) -> None:
        if self.schedule in _OWN_SCHEDULES:
            if self.schedule_options:
                raise JaxbqError(f"schedule {self.schedule!r} takes `end`, no schedule_options")
            return
        known = _parameters(getattr(optax, self.schedule, None))
        if not set(known) & set(_RATE_NAMES):
            raise JaxbqError(
                f"optax has no schedule {self.schedule!r}; use {', '.join(_OWN_SCHEDULES)}, "
                "or one of optax's, like exponential_decay, polynomial_schedule"
            )
        for option, _ in self.schedule_options:
            if option not in known:
                raise JaxbqError(f"optax.{self.schedule} has no option {option!r}; known: {known}")


@options
class LBFGS:
    """Projected L-BFGS: curvature from the last steps, a line search, bounds held exactly.

    Deterministic; it needs no learning rate. See :mod:`jaxbq.solvers.projected_lbfgs`.

    Args:
        name: what chooses it.
        memory: pairs of steps and gradient changes that are remembered.
    """

    name: Literal["lbfgs"] = "lbfgs"
    memory: Annotated[int, Ge(1), Le(1000)] = 10

    def check(self) -> None:
        """Accept every memory."""


@options
class GaussNewton:
    """Projected Gauss-Newton, for networks with few outputs: bounds are held exactly.

    The curvature is that of what is asked of the outputs, through their Jacobian, and the
    regularisers' own. Deterministic; it needs no learning rate. See
    :mod:`jaxbq.solvers.projected_gauss_newton`.

    Args:
        name: what chooses it.
    """

    name: Literal["gauss_newton"] = "gauss_newton"

    def check(self) -> None:
        """Accept: it has no options."""


def _which(value: Any) -> str:
    name = value.get("name", "adam") if isinstance(value, Mapping) else getattr(value, "name", "")
    return name if name in ("lbfgs", "gauss_newton") else "optax"


AnyOptimiser = Annotated[
    Annotated[Optimiser, Tag("optax")]
    | Annotated[LBFGS, Tag("lbfgs")]
    | Annotated[GaussNewton, Tag("gauss_newton")],
    Discriminator(_which),
]


def _first_update(optimiser: Optimiser, point: Any) -> Any:
    transformation = optimiser.build(1)
    return transformation.update(point, transformation.init(point), point)


def _cosine(progress: Any, rate: Any, end: Any) -> Any:
    return end + (rate - end) * 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip(progress, 0, 1)))


def _parameters(function: Any) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []
