"""Pixel ascent in PyTorch: Adam on all images at once, pixels clamped; eager and compiled."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..session import Layers
from .pytorch import UNROLLED, adam, compile_step, load, logits, tensor, tensors

RATE, BETAS = 0.1, (0.9, 0.95)
_TRIAL = 20

Ascend = Callable[[], np.ndarray]


def eager(layers: Layers, targets: np.ndarray, steps: int) -> Ascend:
    """Make the ascent with autograd and the faster of PyTorch's two Adams.

    Args:
        layers: the network.
        targets: wanted outputs, one an image.
        steps: of every image.

    Returns:
        What ascends from grey and returns the images.
    """
    torch = load()
    weights, wanted = tensors(torch, layers), tensor(torch, targets.astype(layers[0][0].dtype))
    loss = torch.nn.functional.binary_cross_entropy_with_logits

    def ascend(steps: int, fused: bool) -> Any:
        x = torch.full((len(targets), layers[0][0].shape[0]), 0.5).to(weights[0])
        x.requires_grad_()
        optimiser = torch.optim.Adam([x], RATE, BETAS, fused=fused)
        for _ in range(steps):
            optimiser.zero_grad()
            loss(logits(torch, weights, x), wanted, reduction="sum").backward()
            optimiser.step()
            with torch.no_grad():
                x.clamp_(0, 1)
        return x.detach()

    fused = faster(lambda: ascend(_TRIAL, True), lambda: ascend(_TRIAL, False))
    return lambda: ascend(steps, fused).cpu().numpy()


def faster(one: Callable[[], Any], other: Callable[[], Any], trials: int = 5) -> bool:
    """Tell whether the first of two is faster, by the best of some trials in turn."""
    best = [np.inf, np.inf]
    for trial in range(trials + 1):
        for which, run in enumerate((one, other)):
            begun = time.perf_counter()
            run()
            if trial:
                best[which] = min(best[which], time.perf_counter() - begun)
    return best[0] <= best[1]


def compiled(layers: Layers, targets: np.ndarray, steps: int) -> Ascend:
    """Make the ascent with some whole steps, gradient, Adam and clamp, in a compiled program."""
    torch = load()
    weights, wanted = tensors(torch, layers), tensor(torch, targets.astype(layers[0][0].dtype))
    loss = torch.nn.functional.binary_cross_entropy_with_logits
    unrolled = UNROLLED if steps % UNROLLED == 0 else 1

    def advance(x: Any, first: Any, second: Any, count: Any, wanted: Any, weights: Any) -> Any:
        def cost(x: Any) -> Any:
            return loss(logits(torch, weights, x), wanted, reduction="sum")

        for _ in range(unrolled):
            count = count + 1
            gradient = torch.func.grad(cost)(x)
            x, (first, second) = adam(torch, x, gradient, (first, second), count, RATE, BETAS)
            x = x.clamp(0, 1)
        return x, first, second, count

    run = compile_step(torch, advance)

    def ascend() -> np.ndarray:
        x = torch.full((len(targets), layers[0][0].shape[0]), 0.5).to(weights[0])
        state = x, torch.zeros_like(x), torch.zeros_like(x), torch.zeros(()).to(x)
        with torch.no_grad():
            for _ in range(steps // unrolled):
                state = run(*state, wanted, weights)
        return state[0].cpu().numpy()

    return ascend


def normalised(layers: Layers, targets: np.ndarray, steps: int, rate: float) -> Ascend:
    """Make an ascent of each target's logit from black, by steps of fixed length an image."""
    torch = load()
    weights = tensors(torch, layers)
    which = tensor(torch, targets.argmax(axis=1))[:, None]

    def ascend() -> np.ndarray:
        x = torch.zeros((len(targets), layers[0][0].shape[0])).to(weights[0])
        x.requires_grad_()
        for _ in range(steps):
            value = logits(torch, weights, x).gather(1, which).sum()
            (gradient,) = torch.autograd.grad(value, x)
            with torch.no_grad():
                x += rate * gradient / gradient.norm(dim=1, keepdim=True).clamp_min(1e-12)
                x.clamp_(0, 1)
        return x.detach().cpu().numpy()

    return ascend
