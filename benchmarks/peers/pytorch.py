"""PyTorch: networks as its users write them, and their training, eager and compiled."""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxbq.runtime.devices import rounds_products

from .plain import Layers, Task

_BETAS = (0.9, 0.999)


def load_torch() -> Any:
    """Import PyTorch; on a GPU it rounds products where jaxbq does.

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
    """Run a network with biases in PyTorch; ``weights`` is that flat list."""
    signal = images
    for number in range(0, len(weights), 2):
        signal = torch.addmm(weights[number + 1], signal, weights[number])
        if number + 2 < len(weights):
            signal = torch.sigmoid(signal)
    return signal


def module(torch: Any, layers: Layers) -> Any:
    """Make the network as a module, with these weights."""
    parts: list[Any] = []
    for weight, bias in layers:
        linear = torch.nn.Linear(*weight.shape)
        linear.weight.data = torch.tensor(weight.T.copy())
        linear.bias.data = torch.tensor(bias)
        parts += [linear, torch.nn.Sigmoid()]
    return torch.nn.Sequential(*parts[:-1]).to(device(torch))


def adam_step(
    torch: Any, values: Any, gradient: Any, moments: Any, count: Any, rate: Any, betas: Any
) -> tuple[Any, tuple[Any, Any]]:
    """Take a step of Adam inside a compiled program, which fuses it with what is around it."""
    first = betas[0] * moments[0] + (1 - betas[0]) * gradient
    second = betas[1] * moments[1] + (1 - betas[1]) * gradient * gradient
    size = torch.sqrt(second / (1 - betas[1] ** count)) + 1e-8
    return values - rate * (first / (1 - betas[0] ** count)) / size, (first, second)


def compile_step(torch: Any, step: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a step as one program of fixed shapes."""
    # Programs of other cases count towards a limit on how often one function is compiled.
    torch.compiler.reset()
    return torch.compile(step, fullgraph=True, dynamic=False)


class _Learner:
    """What both ways to train share.

    Args:
        task: what is trained.
    """

    weights: list[Any]
    """Weights (fan_in, fan_out) and biases of every layer, as they stand."""

    def __init__(self, task: Task) -> None:
        self._torch, self._task, dtype = load_torch(), task, task.layers[0][0].dtype
        self._torch.manual_seed(task.seed)
        self._images = tensor(self._torch, task.data.train_images.astype(dtype))
        self._codes = tensor(self._torch, task.codes)

    def _batches(self) -> Any:
        order = self._torch.randperm(len(self._images), device=self._images.device)
        return order.split(self._task.batch)

    def accuracy(self) -> float:
        """Compute the share of test images that are read right."""
        torch, data = self._torch, self._task.data
        with torch.no_grad():
            images = tensor(torch, data.test_images).to(self._images)
            found = logits(torch, self.weights, images).argmax(1).cpu().numpy()
        return float((found == data.test_labels).mean())


class Eager(_Learner):
    """The loop that PyTorch's tutorials teach, with its fused Adam and batches by index."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        torch = self._torch
        self._loss, self._network = torch.nn.BCEWithLogitsLoss(), module(torch, task.layers)
        self._optimiser = torch.optim.Adam(
            self._network.parameters(), task.rate, _BETAS, fused=True
        )
        parts = [part.detach() for part in self._network.parameters()]
        self.weights = [part.T if part.ndim == 2 else part for part in parts]  # of one memory

    def _update(self, x: Any, t: Any) -> tuple[Any, Any]:
        self._optimiser.zero_grad()
        z = self._network(x)
        loss = self._loss(z, t)
        loss.backward()
        self._optimiser.step()
        return loss.detach(), (z.argmax(1) == t.argmax(1)).sum()

    def epoch(self) -> tuple[float, int]:
        """Train for another epoch; return loss and hits, added up."""
        batches = ((self._images[rows], self._codes[rows]) for rows in self._batches())
        loss, right = zip(*(self._update(x, t) for x, t in batches), strict=True)
        return float(sum(loss)), int(sum(right))


class Compiled(_Learner):
    """The whole update as one compiled program: batch, gradient, Adam, loss and hits."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        torch = self._torch
        self.weights = tensors(torch, task.layers)
        self._moments = [[torch.zeros_like(w) for w in self.weights] for _ in range(2)]
        self._count = torch.zeros(()).to(self._images)
        self._step = compile_step(torch, self._update)

    def _update(
        self, weights: Any, moments: Any, count: Any, sums: Any, images: Any, codes: Any, rows: Any
    ) -> Any:
        torch = self._torch
        x, t = images[rows], codes[rows]

        def cost(weights: Any) -> Any:
            z = logits(torch, weights, x)
            return torch.nn.functional.binary_cross_entropy_with_logits(z, t), z

        gradients, (loss, z) = torch.func.grad_and_value(cost, has_aux=True)(weights)
        count = count + 1
        found = [
            adam_step(torch, w, g, (m, s), count, self._task.rate, _BETAS)
            for w, g, m, s in zip(weights, gradients, *moments, strict=True)
        ]
        new = [[m[which] for _, m in found] for which in range(2)]
        right = (z.argmax(1) == t.argmax(1)).sum()
        return [w for w, _ in found], new, count, (sums[0] + loss, sums[1] + right)

    def epoch(self) -> tuple[float, int]:
        """Train for another epoch; return loss and hits, added up."""
        torch, place = self._torch, self._images.device
        sums = torch.zeros((), device=place), torch.zeros((), dtype=torch.int64, device=place)
        with torch.no_grad():
            for rows in self._batches():
                state = self.weights, self._moments, self._count, sums
                state = self._step(*state, self._images, self._codes, rows)
                self.weights, self._moments, self._count, sums = state
        return float(sums[0]), int(sums[1])
