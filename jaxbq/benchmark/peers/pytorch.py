"""PyTorch: its device, and networks and steps of Adam for it, as a PyTorch user writes them."""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from ...runtime.devices import rounds_products
from ..session import Layers

# Steps in one compiled program: fewer calls, each of which costs about as much as a small step.
UNROLLED = 5


def load() -> Any:
    """Import PyTorch, which is to round products on a GPU where jaxbq may.

    Raises:
        ImportError: it is not installed.
    """
    torch = importlib.import_module("torch")
    torch.backends.cuda.matmul.allow_tf32 = rounds_products()
    return torch


def device(torch: Any) -> str:
    """Choose a GPU where JAX computes on one and PyTorch can."""
    accelerated = jax.default_backend() == "gpu" and torch.cuda.is_available()
    return "cuda" if accelerated else "cpu"


def tensor(torch: Any, values: Any) -> Any:
    """Copy an array to that device."""
    return torch.tensor(np.asarray(values), device=device(torch))


def tensors(torch: Any, layers: Layers) -> list[Any]:
    """Copy weights and biases to that device, in one flat list."""
    return [tensor(torch, part) for layer in layers for part in layer if part is not None]


def logits(torch: Any, weights: Sequence[Any], images: Any) -> Any:
    """Run a network of sigmoid layers with biases."""
    signal = images
    for number in range(0, len(weights), 2):
        signal = torch.addmm(weights[number + 1], signal, weights[number])
        if number + 2 < len(weights):
            signal = torch.sigmoid(signal)
    return signal


def network(torch: Any, layers: Layers) -> Any:
    """Make the same network as a module, with these weights."""
    parts: list[Any] = []
    for weight, bias in layers:
        linear = torch.nn.Linear(*weight.shape)
        linear.weight.data = torch.tensor(weight.T.copy())
        linear.bias.data = torch.tensor(bias)
        parts += [linear, torch.nn.Sigmoid()]
    return torch.nn.Sequential(*parts[:-1]).to(device(torch))


def adam(
    torch: Any,
    values: Any,
    gradient: Any,
    moments: tuple[Any, Any],
    count: Any,
    rate: float,
    betas: tuple[float, float],
) -> tuple[Any, tuple[Any, Any]]:
    """Take a step of Adam; for compiled programs, which fuse it with what is around it."""
    first = betas[0] * moments[0] + (1 - betas[0]) * gradient
    second = betas[1] * moments[1] + (1 - betas[1]) * gradient * gradient
    size = torch.sqrt(second / (1 - betas[1] ** count)) + 1e-8
    return values - rate * (first / (1 - betas[0] ** count)) / size, (first, second)


def compile_step(torch: Any, step: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a step as one program of fixed shapes; nothing of it is left to the interpreter."""
    # Programs of other cases count against a limit on how often one function is compiled.
    torch.compiler.reset()
    return torch.compile(step, fullgraph=True, dynamic=False)
