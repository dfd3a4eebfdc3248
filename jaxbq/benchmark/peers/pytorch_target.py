"""Projected Adam in PyTorch until every image is answered with its target, eager and compiled."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from ..session import Layers
from .pytorch import adam, compile_step, load, logits, tensor, tensors
from .pytorch_ascent import faster


@dataclass
class Approach:
    """How far projected Adam came.

    Args:
        images: of every row the first that reached, or the last.
        reached: which rows did.
        steps: that were taken.
        seconds: when it was looked how far all are, from the beginning.
        error: the largest over rows of the least error so far, at those times.
    """

    images: np.ndarray
    reached: np.ndarray
    steps: int
    seconds: list[float] = field(default_factory=list)
    error: list[float] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Problem:
    """Images to find.

    Args:
        layers: the network.
        targets: wanted outputs, one an image.
        starts: images to begin with.
        tolerance: largest error of an output that counts as reached.
        every: steps between looks.
        betas: of Adam.
    """

    layers: Layers
    targets: np.ndarray
    starts: np.ndarray
    tolerance: float
    every: int
    betas: tuple[float, float]


class ProjectedAdam:
    """All rows at once; pixels clamped after every step; looks every so many steps.

    Args:
        problem: what is asked.
        cost: ``bce``, the cross-entropy of the target, or ``logits``, squared distance in logits.
        compiled: steps and look as one program, or eager.
        drop: whether rows that are done leave the batch; eager alone.
    """

    def __init__(self, problem: Problem, cost: str, *, compiled: bool, drop: bool = False) -> None:
        self._torch = torch = load()
        self._problem, self._cost, self._drop = problem, cost, drop
        self._weights = tensors(torch, problem.layers)
        dtype = problem.layers[0][0].dtype
        self._targets = tensor(torch, problem.targets.astype(dtype))
        self._starts = tensor(torch, problem.starts.astype(dtype))
        self._steps = compile_step(torch, self._advance) if compiled else self._eager
        self._fused = True
        if not compiled:
            self._fused = faster(partial(self._trial, True), partial(self._trial, False))

    @property
    def rows(self) -> int:
        """Number of images."""
        return len(self._problem.starts)

    def _trial(self, fused: bool) -> None:
        self._fused = fused
        self.run(0.01, self._problem.every)

    def _loss(self, x: Any, targets: Any, weights: Any) -> Any:
        torch, z = self._torch, logits(self._torch, weights, x)
        if self._cost == "logits":
            return torch.square(z - torch.logit(targets)).sum()
        entropy = torch.nn.functional.binary_cross_entropy_with_logits
        return entropy(z, targets, reduction="sum")

    def _advance(
        self, x: Any, first: Any, second: Any, count: Any, rate: Any, targets: Any, weights: Any
    ) -> Any:
        """Take some steps; then find every row's error."""
        torch, betas = self._torch, self._problem.betas
        for _ in range(self._problem.every):
            count = count + 1
            gradient = torch.func.grad(self._loss)(x, targets, weights)
            x, (first, second) = adam(torch, x, gradient, (first, second), count, rate, betas)
            x = x.clamp(0, 1)
        outputs = torch.sigmoid(logits(torch, weights, x))
        return x, first, second, count, (outputs - targets).abs().amax(1)

    def _eager(
        self, x: Any, first: Any, second: Any, count: Any, rate: Any, targets: Any, weights: Any
    ) -> Any:
        """Do the same by autograd and PyTorch's own Adam, which goes on with its moments."""
        torch = self._torch
        x = x.clone().requires_grad_()
        optimiser = torch.optim.Adam([x], float(rate), self._problem.betas, fused=self._fused)
        moments = {"step": count.clone(), "exp_avg": first, "exp_avg_sq": second}
        optimiser.state[x] = moments
        for _ in range(self._problem.every):
            optimiser.zero_grad()
            with torch.enable_grad():
                self._loss(x, targets, weights).backward()
            optimiser.step()
            x.clamp_(0, 1)
        outputs = torch.sigmoid(logits(torch, weights, x))
        return x.detach(), first, second, moments["step"], (outputs - targets).abs().amax(1)

    def run(self, rate: float, most: int) -> Approach:
        """Go on until every row has been within the tolerance, or for so many steps."""
        torch, problem = self._torch, self._problem
        begun = time.perf_counter()
        x, targets, rows = (
            self._starts,
            self._targets,
            torch.arange(len(self._starts)).to(self._starts.device),
        )
        first, second = torch.zeros_like(x), torch.zeros_like(x)
        count, size = torch.zeros(()).to(x), torch.tensor(rate).to(x)
        images, least = x.clone(), torch.full((len(x),), torch.inf).to(x)
        found = Approach(problem.starts, np.zeros(len(x), bool), 0)
        with torch.no_grad():
            while found.steps < most:
                x, first, second, count, error = self._steps(
                    x, first, second, count, size, targets, self._weights
                )
                found.steps += problem.every
                going = least[rows] > problem.tolerance
                images[rows[going]] = x[going]
                least[rows] = torch.where(going, torch.minimum(least[rows], error), least[rows])
                found.error.append(float(least.max()))
                found.seconds.append(time.perf_counter() - begun)
                if found.error[-1] <= problem.tolerance:
                    break
                if self._drop:
                    left = least[rows] > problem.tolerance
                    x, first, second, targets, rows = (
                        part[left] for part in (x, first, second, targets, rows)
                    )
        found.images = images.cpu().numpy()
        found.reached = (least <= problem.tolerance).cpu().numpy()
        return found


# The quicker first: it cuts the other off.
COSTS = ("logits", "bce")


@dataclass(frozen=True)
class Choice:
    """The best of some learning rates and costs: who reaches most, and of these in fewest steps."""

    cost: str
    rate: float
    steps: int
    reached: int


def best_of(rates: tuple[float, ...], most: int, make: Callable[[str], ProjectedAdam]) -> Choice:
    """Search costs and rates; whoever takes more steps than the best so far is cut off there."""
    best: Choice | None = None
    for cost in COSTS:
        adam_of_cost = make(cost)
        for rate in rates:
            limit = most if best is None or best.reached < adam_of_cost.rows else best.steps
            found = adam_of_cost.run(rate, limit)
            here = Choice(cost, rate, found.steps, int(found.reached.sum()))
            if best is None or (-here.reached, here.steps) < (-best.reached, best.steps):
                best = here
    assert best is not None
    return best
