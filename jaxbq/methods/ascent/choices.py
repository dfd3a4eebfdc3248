"""What is chosen for an activation maximisation, and which choices go together."""

from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt, Le

from ...data import Reference, grid_of
from ...errors import JaxbqError
from ...network.mlp import Network
from ...options import defaulting_to, options
from ...training.optimisers import LBFGS, AnyOptimiser, GaussNewton, Optimiser
from ..base import Iterative, check_asked
from .constraints import Constraint, Projection
from .objectives import Objective, Target
from .parameterisations import AnyParameterisation, Pixels
from .regularisers import AnyRegulariser, Diversity, OutOfRange
from .starts import StartName, StopRule, check_relaxed_start, start_images
from .transforms import AnyOperator, AnyTransform

# optax's b2 = 0.999 remembers the large first gradients for longer than an ascent takes. 160 random
# images (784-200-10, to 1e-3 of the target) take 76 steps on average with 0.85, 95 with 0.95; less
# than 0.85, or twice the rate, leaves some images far behind on deeper networks.
_ADAM = Optimiser(learning_rate=0.1, options=(("b2", 0.85),))
_REACHED = 1e-3
# Gauss-Newton computes a gradient of every output, at every step.
_FEW_OUTPUTS = 128


@options
class Choices(Iterative):
    """The options of :class:`~jaxbq.Ascent`, which says what they are."""

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

    def check(self, model: Network, reference: Reference, targets: np.ndarray) -> None:
        """Refuse what does not go with the network, the images, or each other."""
        self.objective.check(model)
        self.optimiser.check()
        check_asked(model, targets, closed=True)
        if isinstance(self.optimiser, GaussNewton) and targets.shape[1] > _FEW_OUTPUTS:
            raise JaxbqError(
                f"optimiser 'gauss_newton' is for at most {_FEW_OUTPUTS} outputs, "
                f"not {targets.shape[1]}; use 'lbfgs'"
            )
        for part in (self.parameterisation, *self.regularisers, *self.operators):
            part.check(reference)
        if self.transforms:
            grid_of(reference.space, f"transform {self.transforms[0].kind!r}")
        if self.start == "relaxed":
            check_relaxed_start(model, targets)
        else:
            start_images(self.start, reference)
        self._check_parts()

    def _check_parts(self) -> None:
        """Refuse choices that exclude each other."""
        if self.parameterisation.is_squashed and not isinstance(self.constraint, Projection):
            raise JaxbqError(
                f"parameterisation {self.parameterisation.kind!r} keeps pixels in the range: "
                f"constraint {self.constraint.kind!r} would do it twice; leave it at 'projection'"
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
            raise JaxbqError(
                "regulariser 'diversity' separates restarts, but there is only one; "
                "set restarts higher"
            )
        inside = self.is_box or self.parameterisation.is_squashed
        if inside and any(isinstance(r, OutOfRange) for r in self.regularisers):
            raise JaxbqError(
                "regulariser 'out_of_range' has nothing to do: this parameterisation and "
                "constraint keep the variable in the range"
            )
        if isinstance(self.optimiser, LBFGS | GaussNewton):
            for name, has in (
                ("transforms, which change the objective at every step", self.transforms),
                ("operators, which move the image behind its back", self.operators),
                ("diversity, whose value depends on other images", self.diversity),
            ):
                if has:
                    name_of = self.optimiser.name
                    raise JaxbqError(f"optimiser {name_of!r} cannot have {name}; use 'adam'")
        if isinstance(self.optimiser, GaussNewton) and self.objective.looks_inside:
            raise JaxbqError(
                "optimiser 'gauss_newton' climbs what depends on the outputs, not a hidden layer; "
                "use 'lbfgs'"
            )
        if list(self.path) != sorted(set(self.path)) or max(self.path, default=0) > self.steps:
            raise JaxbqError(f"path must hold rising steps from 0 to {self.steps}")

    @property
    def is_box(self) -> bool:
        """Whether the pixel range bounds the variable itself."""
        return self.parameterisation.is_pixels and isinstance(self.constraint, Projection)
