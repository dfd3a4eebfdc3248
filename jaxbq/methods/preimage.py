"""The exact preimage: an image in the pixel range that the network answers with the target."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt, Le
from jaxtyping import Array, Float, Int

from ..data import Reference
from ..errors import JaxbqError
from ..network.activations import activation
from ..network.mlp import Network, float_type
from ..options import options
from ..runtime.devices import map_rows
from ..solvers import gauss_newton
from ..solvers.shared_jacobian import approach
from .ascent import given_starts, range_of, start_images, start_of
from .base import FEW_IMAGES, Inversion, Method, NeedsMLPError, Reason, Targets, check_asked

PreimageStart = Literal["grey", "mean", "random", "nearest", "images"]

# Of the grey image's shift, for a warm start: in noise the network needs more of it (measured).
_LENGTHS = (0.75, 1.25, 1.75)

# In the order of the solver's codes.
_REASONS = (
    Reason.RUNNING,
    Reason.REACHED,
    Reason.STATIONARY,
    Reason.MAX_ITERATIONS,
    Reason.DIVERGED,
)


class PreimageState(NamedTuple):
    """The network made ready, images to start from, what is needed to choose, the pixel range.

    Args:
        params: the network's, made ready for input gradients.
        images: to start from.
        outputs: the network's for them; None where the target has no say in the start.
        low: lower end of the pixel range.
        high: its upper end.
        first: number of the first sample.
    """

    params: Any
    images: Float[Array, "n pixels"]
    outputs: Float[Array, "n outputs"] | None
    low: Float[Array, ""]
    high: Float[Array, ""]
    first: Int[Array, ""] | int = 0


@options
class Preimage(Method):
    """Exact preimage: solve logits(x) = φ⁻¹(target) for x in the pixel range.

    Few equations, many bounded unknowns: bounded Gauss–Newton in logit space, with steps of least
    norm, so that the image stays near its start. For softmax outputs logits count up to a constant.
    From every start one image; a target out of reach ends as ``stationary`` with its least
    residual, never as ``reached``. The preimages of one target are many: none is *the* image of it.

    Source: C. Kanzow, N. Yamashita and M. Fukushima, "Levenberg–Marquardt methods with strong local
    convergence properties for solving nonlinear equations with convex constraints", 2004.

    Args:
        start: ``grey``; ``mean`` of the training images; ``random``; ``nearest``, the training
            images whose outputs are closest to the target; ``images``, given ones
            (``Reference.starts``; for a data set the first test image of every class).
        samples: how many starts, for ``random`` and ``nearest``.
        warm_start: let random starts set out in the direction in which the preimage of the grey
            image lies, as far as their residual falls, and then take up to five steps with the
            Jacobian there, which all of one target share; none of this counts as an iteration.
            Many times quicker, and images nearer to their starts, but more alike.
        tolerance: largest ‖residual‖ of the logits that counts as reached; by default 1e-8 in
            float64 and 1e-4 in float32.
        max_iterations: of each image.
        damping: least damping of the steps, as a share of the trace of J Jᵀ.
    """

    kind: Literal["preimage"] = "preimage"
    start: PreimageStart = "grey"
    samples: Annotated[int, Gt(0), Le(10**6)] = 1
    warm_start: bool = False
    tolerance: Annotated[float, Gt(0)] | None = None
    max_iterations: Annotated[int, Gt(0), Le(10**7)] = 300
    damping: Annotated[float, Ge(0)] = 0.0

    spreads = True

    @property
    def independent_samples(self) -> int:
        """Starts, where there are as many as one asks for."""
        return self.samples

    def part(self, samples: range) -> "Preimage":
        """Ask for fewer starts."""
        return dataclasses.replace(self, samples=len(samples))

    def skip(self, state: PreimageState, samples: int) -> PreimageState:
        """Count starts from there."""
        return state._replace(first=samples)

    def rank(self, reasons: Any, diagnostics: Mapping[str, Any]) -> Any:
        """Put reached ones first, in the order of the starts; then by residual."""
        return jnp.where(reasons == Reason.REACHED, -1.0, diagnostics["residual"])

    def is_brief(self, targets: int) -> bool:
        """Count the starts too."""
        return targets * self.samples <= FEW_IMAGES

    def check(self, model: Network, reference: Reference, targets: np.ndarray) -> None:
        """Refuse outputs that have no logits, and starts that are not there."""
        activation(model.output).check_invertible()
        check_asked(model, targets)
        if not getattr(model, "second_order", True):
            raise NeedsMLPError("preimage needs a network that JAX can differentiate twice")
        if self.samples > 1 and self.start not in ("random", "nearest"):
            raise JaxbqError(f"start = {self.start!r} is one start; samples is for random, nearest")
        if self.warm_start and self.start != "random":
            raise JaxbqError(f"warm_start is for start = 'random', not for {self.start!r}")
        if self.start == "images":
            given_starts(reference)
        if self.start in ("mean", "nearest"):
            images = reference.need_images(f"start = {self.start!r}")
            if self.start == "nearest" and self.samples > len(images):
                raise JaxbqError(f"samples = {self.samples}, but there are {len(images)} images")

    def prepare(self, model: Network, params: Any, reference: Reference, key: Array) -> Any:
        """Gather the images to start from, and the network's outputs where they decide."""
        dtype = float_type(params)
        outputs = None
        if self.start == "nearest":
            rows = jnp.asarray(reference.need_images("start = 'nearest'"), dtype)
            outputs = _apply(model, params, rows)
        else:
            rows = jnp.asarray(start_images(self.start, reference), dtype)
        return PreimageState(model.freeze(params), rows, outputs, *range_of(reference, dtype))

    def invert(
        self, model: Network, params: Any, state: Any, targets: Targets, key: Array
    ) -> Inversion:
        """Solve for every target from every start."""
        starts = self._starts(state, targets, key)
        shape = starts.shape[:2]
        phi = activation(model.output)
        logits = phi.invert(targets)
        project = _less_mean if phi.normalises else None

        def solve(given: Any, starts: Array, wanted: Array) -> gauss_newton.Preimages:
            method, state = given
            return gauss_newton.solve(
                lambda x: model.logits(state.params, x),
                starts,
                wanted,
                state.low,
                state.high,
                tolerance=method._tolerance(starts.dtype),
                max_iterations=method.max_iterations,
                damping=method.damping,
                project=project,
            )

        def solve_warm(given: Any, logits: Array, starts: Array) -> gauss_newton.Preimages:
            """Solve from starts of shape (targets, samples, pixels)."""
            method, state = given

            def residual(images: Array) -> Array:
                answers = model.logits(state.params, images.reshape(-1, images.shape[-1]))
                left = logits[:, None] - answers.reshape(*images.shape[:2], -1)
                return project(left) if project else left

            grey = jnp.broadcast_to(state.images, (len(logits), state.images.shape[-1]))
            found = solve(given, grey, logits).images
            images = _along(residual, starts, (found - grey)[:, None], state)
            _, jacobian = gauss_newton.linearise(lambda x: residual(x[:, None])[:, 0], found)
            goal = method._tolerance(starts.dtype)
            images = approach(residual, images, jacobian, state.low, state.high, goal=goal)
            wanted = jnp.repeat(logits, starts.shape[1], axis=0)
            rows = solve(given, images.reshape(-1, images.shape[-1]), wanted)
            return jax.tree.map(lambda a: a.reshape(*starts.shape[:2], *a.shape[1:]), rows)

        def solve_samples(given: Any, starts: Array) -> gauss_newton.Preimages:
            """Do so for all targets, from starts of shape (samples, targets, pixels)."""
            rest, logits = given
            return _turned(solve_warm(rest, logits, _turned(starts)))

        given = (self, state)
        if not self.warm_start:
            rows = starts.reshape(-1, starts.shape[-1])
            flat = map_rows(solve, given, rows, jnp.repeat(logits, shape[1], axis=0))
            found = jax.tree.map(lambda a: a.reshape(*shape, *a.shape[1:]), flat)
        elif shape[0] >= shape[1]:
            found = map_rows(solve_warm, given, logits, starts)
        else:
            found = _turned(map_rows(solve_samples, (given, logits), _turned(starts)))
        reasons = jnp.asarray(_REASONS)[found.reason]
        grouped = found.images, reasons, found.iterations, found.residual
        rank = self.rank(reasons, {"residual": found.residual})
        order = jnp.argsort(rank, axis=1, stable=True)
        images, reasons, iterations, residual = jax.tree.map(
            lambda a: jax.vmap(lambda rows, o: rows[o])(a, order), grouped
        )
        diagnostics = {"residual": residual, "start": order + state.first}
        return Inversion(images, reasons, iterations, diagnostics)

    def _starts(
        self, state: PreimageState, targets: Array, key: Array
    ) -> Float[Array, "targets samples pixels"]:
        if self.start == "nearest":
            assert state.outputs is not None
            distance = jnp.linalg.norm(targets[:, None] - state.outputs[None], axis=-1)
            nearest = jnp.argsort(distance, axis=1)
            part = jax.lax.dynamic_slice_in_dim(nearest, state.first, self.samples, axis=1)
            return state.images[part]
        rows = state.images
        if self.start == "random":
            draw = partial(
                start_of, start="random", centres=rows, low=state.low, high=state.high, noise=0.0
            )
            rows = jax.vmap(lambda n: draw(n, key=key))(state.first + jnp.arange(self.samples))
        return jnp.broadcast_to(rows, (len(targets), *rows.shape))

    def _tolerance(self, dtype: Any) -> Any:
        if self.tolerance is not None:
            return self.tolerance
        return 1e-8 if dtype == jnp.float64 else 1e-4


_apply = jax.jit(lambda model, params, images: model.apply(params, images), static_argnums=0)


def _turned(tree: Any) -> Any:
    """Swap the first two axes: targets and samples."""
    return jax.tree.map(lambda a: a.swapaxes(0, 1), tree)


def _along(
    residual: Callable[[Array], Array], starts: Array, shift: Array, state: PreimageState
) -> Float[Array, "targets samples pixels"]:
    """Move every start along its shift, to where its residual is least of a few places."""

    def place(carry: tuple[Array, Array], length: Array) -> tuple[tuple[Array, Array], None]:
        images, least = carry
        here = jnp.clip(starts + length * shift, state.low, state.high)
        now = jnp.linalg.norm(residual(here), axis=-1)
        better = now < least
        images = jnp.where(better[..., None], here, images)
        return (images, jnp.where(better, now, least)), None

    lengths = jnp.asarray(_LENGTHS, starts.dtype)
    begin = starts, jnp.linalg.norm(residual(starts), axis=-1)
    return jax.lax.scan(place, begin, lengths)[0][0]


def _less_mean(residual: Array) -> Array:
    return residual - residual.mean(axis=-1, keepdims=True)
