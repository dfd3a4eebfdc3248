"""Ascents in PyTorch: projected Adam, eager and compiled; Lucent's feature visualisation."""

import importlib
import itertools
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .plain import Layers
from .pytorch import adam_step, compile_step, device, load_torch, logits, module, tensor, tensors

RATE, BETAS = 0.1, (0.9, 0.85)  # as jaxbq's ascent has them
_UNROLLED = 5  # steps in one compiled program: a call costs about as much as a small step


@dataclass(frozen=True)
class Approach:
    """How far an ascent came: images, which reached the tolerance, steps, and rows × steps."""

    images: np.ndarray
    reached: np.ndarray
    steps: int
    work: int


@dataclass(frozen=True)
class Tuning:
    """What one tunes of projected Adam.

    Args:
        cost: ``bce``, the cross-entropy of the target, or ``logits``, squared distance of logits.
        betas: decay of the first and of the second moment.
        rate: learning rate.
    """

    cost: str = "logits"
    betas: tuple[float, float] = BETAS
    rate: float = RATE

    def __str__(self) -> str:
        return f"{self.cost}, betas {self.betas[0]:g} and {self.betas[1]:g}, rate {self.rate:g}"


class ProjectedAdam:
    """Adam on all rows at once, pixels clamped to [0, 1] after every step.

    Args:
        layers: the network.
        targets: wanted outputs, one an image.
        starts: images to begin with.
        tuning: cost, betas and rate.
        every: steps between two checks of the tolerance; one program where it is compiled.
        compiled: by ``torch.compile``, or eager.
        drop: whether rows that are done leave the batch; eager alone.
        check: whether errors are looked at.
    """

    def __init__(
        self,
        layers: Layers,
        targets: np.ndarray,
        starts: np.ndarray,
        *,
        tuning: Tuning,
        every: int,
        compiled: bool,
        drop: bool = False,
        check: bool = True,
    ) -> None:
        self._torch = torch = load_torch()
        self._weights, dtype = tensors(torch, layers), layers[0][0].dtype
        self._targets = tensor(torch, targets.astype(dtype))
        self._starts = tensor(torch, starts.astype(dtype))
        self._tuning, self._every, self._drop, self._check = tuning, every, drop, check
        self._steps = compile_step(torch, self._advance) if compiled else None

    def _loss(self, x: Any, targets: Any, weights: Any) -> Any:
        torch, z = self._torch, logits(self._torch, weights, x)
        if self._tuning.cost == "logits":
            return torch.square(z - torch.logit(targets)).sum()
        entropy = torch.nn.functional.binary_cross_entropy_with_logits
        return entropy(z, targets, reduction="sum")

    def _errors(self, x: Any, targets: Any, weights: Any) -> Any:
        """Compute the largest error of an output of every row, if it is looked at."""
        if not self._check:
            return x.new_zeros(())
        outputs = self._torch.sigmoid(logits(self._torch, weights, x))
        return (outputs - targets).abs().amax(1)

    def _advance(self, x: Any, m: Any, v: Any, count: Any, targets: Any, w: Any) -> Any:
        rate, betas = self._tuning.rate, self._tuning.betas
        for _ in range(self._every):
            count = count + 1
            gradient = self._torch.func.grad(self._loss)(x, targets, w)
            x, (m, v) = adam_step(self._torch, x, gradient, (m, v), count, rate, betas)
            x = x.clamp(0, 1)
        return x, m, v, count, self._errors(x, targets, w)

    def _walk_compiled(self) -> Generator[tuple[Any, Any], Any, None]:
        torch, x = self._torch, self._starts
        assert self._steps is not None
        state = [x, torch.zeros_like(x), torch.zeros_like(x), torch.zeros(()).to(x)]
        while True:
            *state, error = self._steps(*state, self._targets, self._weights)
            yield state[0], error

    def _walk_eager(self) -> Generator[tuple[Any, Any], Any, None]:
        """Yield images and errors after some steps; go on with the rows that are sent, if any."""
        torch, targets = self._torch, self._targets
        x = self._starts.clone().requires_grad_()
        rate, betas = self._tuning.rate, self._tuning.betas
        optimiser = torch.optim.Adam([x], rate, betas, fused=True)
        while True:
            for _ in range(self._every):
                optimiser.zero_grad()
                with torch.enable_grad():
                    self._loss(x, targets, self._weights).backward()
                optimiser.step()
                with torch.no_grad():
                    x.clamp_(0, 1)
            found = x.detach()
            rows = yield found, self._errors(found, targets, self._weights)
            if rows is not None:
                state, targets = optimiser.state[x], targets[rows]
                x = found[rows].requires_grad_()
                optimiser = torch.optim.Adam([x], rate, betas, fused=True)
                optimiser.state[x] = {k: v[rows] if v.ndim else v for k, v in state.items()}

    def run(self, most: int, tolerance: float = 0.0) -> Approach:
        """Go on until every row has been within the tolerance, or for so many steps.

        Returns:
            Of every row the first image that reached, or the last.
        """
        torch, number, steps, work, keep = self._torch, len(self._starts), 0, 0, None
        walk = self._walk_compiled() if self._steps else self._walk_eager()
        images, rows = self._starts.clone(), torch.arange(number, device=self._starts.device)
        going = torch.ones_like(rows, dtype=torch.bool)
        with torch.no_grad():
            while steps < most:
                x, error = walk.send(keep)
                steps += self._every
                work += self._every * len(rows)
                if not self._check:
                    images = x
                    continue
                images[rows[going[rows]]] = x[going[rows]]
                going[rows] &= error > tolerance
                if not going.any():
                    break
                if self._drop:
                    keep = going[rows]
                    rows = rows[keep]
        return Approach(images.cpu().numpy(), ~going.cpu().numpy(), steps, work)


def tunings_of(rates: Iterable[float], betas: Iterable[tuple[float, float]]) -> tuple[Tuning, ...]:
    """Combine both costs with all betas and rates."""
    every = itertools.product(("logits", "bce"), betas, rates)
    return tuple(Tuning(cost, pair, rate) for cost, pair, rate in every)


def best_tunings(
    run: Callable[[Tuning, int], Approach], tunings: tuple[Tuning, ...], most: int
) -> tuple[Tuning, Tuning]:
    """Search what takes fewest steps to the last image, and fewest in all where they are dropped.

    What most images reach by goes first.

    Args:
        run: tries so many steps at most, images dropped that have reached.
        tunings: what is tried.
        most: steps of one.
    """
    found: list[tuple[int, int, int, Tuning]] = []
    limit = most
    for tuning in tunings:
        way = run(tuning, limit)
        found.append((int((~way.reached).sum()), way.steps, way.work, tuning))
        if way.reached.all():
            # What takes twice the steps of the best so far is cut off there.
            limit = min(limit, 2 * way.steps)
    by_steps = min(found, key=lambda each: each[:2])
    return by_steps[3], min(found, key=lambda each: (each[0], each[2]))[3]


def ascent(
    layers: Layers, targets: np.ndarray, steps: int, *, compiled: bool
) -> Callable[[], np.ndarray]:
    """Make the ascent of every image from grey, for every step."""
    every = _UNROLLED if steps % _UNROLLED == 0 else 1
    starts = np.full((len(targets), len(layers[0][0])), 0.5)
    given: dict[str, Any] = {
        "tuning": Tuning(),
        "every": every,
        "compiled": compiled,
        "check": False,
    }
    adam = ProjectedAdam(layers, targets, starts, **given)
    return lambda: adam.run(steps).images


def lucent(
    layers: Layers, targets: np.ndarray, steps: int, *, plain: bool
) -> Callable[[], np.ndarray]:
    """Make Lucent's ascent of square images; the network takes the mean of its three colours.

    ``plain`` leaves out its decorrelated Fourier parameterisation and its transforms. The images
    that a call returns have shape (images, pixels), colours averaged.

    Raises:
        ValueError: the images are not square.
    """
    torch = load_torch()
    names = ("render", "objectives", "param")
    render, objectives, param = (importlib.import_module(f"lucent.optvis.{n}") for n in names)
    side = round(len(layers[0][0]) ** 0.5)
    if side**2 != len(layers[0][0]):
        raise ValueError("takes square images alone")
    inner = module(torch, layers)

    class Grey(torch.nn.Module):  # type: ignore[name-defined]
        """The network behind the mean of the colours, its logits under the name ``out``."""

        def __init__(self) -> None:
            super().__init__()
            self.out = inner

        def forward(self, images: Any) -> Any:
            return self.out(images.mean(1).flatten(1))

    grey = Grey().to(device(torch)).eval()
    wanted = tensor(torch, targets.astype(layers[0][0].dtype))

    def loss(layer: Any) -> Any:
        entropy = torch.nn.functional.binary_cross_entropy_with_logits
        return entropy(layer("out"), wanted, reduction="sum")

    image = partial(param.image, side, batch=len(targets), fft=not plain, decorrelate=not plain)

    def ascend() -> np.ndarray:
        found = render.render_vis(
            grey,
            objectives.Objective(loss),
            param_f=image,
            optimizer=lambda variables: torch.optim.Adam(variables, RATE),
            transforms=[] if plain else None,
            thresholds=(steps,),
            preprocess=False,
            progress=False,
            show_image=False,
            fixed_image_size=side,
        )
        return np.asarray(found[-1]).mean(axis=-1).reshape(len(targets), -1)

    return ascend
