"""Training in PyTorch: eager, with batches by index or from a DataLoader, and compiled."""

from collections.abc import Callable, Iterable
from typing import Any

from .learning import Task
from .pytorch import adam, compile_step, load, logits, network, tensor, tensors
from .pytorch_ascent import faster

_BETAS = (0.9, 0.999)
_TRIAL = 20  # updates by each of PyTorch's Adams, to see which is faster


class Eager:
    """The loop that PyTorch's tutorials teach, with loss and hits added up on the device.

    Args:
        task: what is trained.
        loader: batches from a DataLoader, instead of by index.
        fused: which of PyTorch's Adams; by default the faster one.
    """

    def __init__(self, task: Task, *, loader: bool = False, fused: bool | None = None) -> None:
        self._torch = torch = load()
        torch.manual_seed(task.seed)
        self._images = tensor(torch, task.data.train_images.astype(task.layers[0][0].dtype))
        self._codes = tensor(torch, task.codes)
        self._task = task
        self._loss = torch.nn.BCEWithLogitsLoss()
        dataset = torch.utils.data.TensorDataset(self._images, self._codes)
        self._loader: Iterable[Any] | None = (
            torch.utils.data.DataLoader(dataset, batch_size=task.batch, shuffle=True)
            if loader
            else None
        )
        self._begin(faster(self._trial(True), self._trial(False)) if fused is None else fused)

    def _begin(self, fused: bool) -> None:
        self._network = network(self._torch, self._task.layers)
        parameters = self._network.parameters()
        self._optimiser = self._torch.optim.Adam(parameters, self._task.rate, _BETAS, fused=fused)

    def _trial(self, fused: bool) -> Callable[[], None]:
        def run() -> None:
            self._begin(fused)
            rows = slice(self._task.batch)
            for _ in range(_TRIAL):
                self._update(self._images[rows], self._codes[rows])

        return run

    def _update(self, x: Any, t: Any) -> tuple[Any, Any]:
        self._optimiser.zero_grad()
        z = self._network(x)
        loss = self._loss(z, t)
        loss.backward()
        self._optimiser.step()
        return loss.detach(), (z.argmax(1) == t.argmax(1)).sum()

    def _batches(self) -> Iterable[tuple[Any, Any]]:
        if self._loader is not None:
            return self._loader
        order = self._torch.randperm(len(self._images), device=self._images.device)
        return ((self._images[r], self._codes[r]) for r in order.split(self._task.batch))

    def epoch(self) -> tuple[float, int]:
        """Train for another epoch; return loss and hits, added up."""
        loss = self._torch.zeros((), device=self._images.device)
        right = self._torch.zeros((), dtype=self._torch.int64, device=self._images.device)
        for x, t in self._batches():
            part, hits = self._update(x, t)
            loss, right = loss + part, right + hits
        return float(loss), int(right)

    def accuracy(self) -> float:
        """Compute the share of test images that are read right."""
        data = self._task.data
        with self._torch.no_grad():
            images = tensor(self._torch, data.test_images).to(self._images)
            found = self._network(images).argmax(1).cpu().numpy()
        return float((found == data.test_labels).mean())


class Compiled:
    """The whole update as one compiled program: batch, gradient, Adam, loss and hits.

    Args:
        task: what is trained.
    """

    def __init__(self, task: Task) -> None:
        self._torch = torch = load()
        torch.manual_seed(task.seed)
        self._images = tensor(torch, task.data.train_images.astype(task.layers[0][0].dtype))
        self._codes = tensor(torch, task.codes)
        self._task = task
        self._weights = tensors(torch, task.layers)
        self._moments = [[torch.zeros_like(w) for w in self._weights] for _ in range(2)]
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
            adam(torch, w, g, (m, s), count, self._task.rate, _BETAS)
            for w, g, m, s in zip(weights, gradients, *moments, strict=True)
        ]
        new = [[m[which] for _, m in found] for which in range(2)]
        right = (z.argmax(1) == t.argmax(1)).sum()
        return [w for w, _ in found], new, count, (sums[0] + loss, sums[1] + right)

    def epoch(self) -> tuple[float, int]:
        """Train for another epoch; return loss and hits, added up."""
        torch, place = self._torch, self._images.device
        sums = torch.zeros((), device=place), torch.zeros((), dtype=torch.int64, device=place)
        order = torch.randperm(len(self._images), device=place)
        with torch.no_grad():
            for rows in order.split(self._task.batch):
                self._weights, self._moments, self._count, sums = self._step(
                    self._weights,
                    self._moments,
                    self._count,
                    sums,
                    self._images,
                    self._codes,
                    rows,
                )
        return float(sums[0]), int(sums[1])

    def accuracy(self) -> float:
        """Compute the share of test images that are read right."""
        data = self._task.data
        with self._torch.no_grad():
            images = tensor(self._torch, data.test_images).to(self._images)
            found = logits(self._torch, self._weights, images).argmax(1).cpu().numpy()
        return float((found == data.test_labels).mean())

    @property
    def weights(self) -> list[Any]:
        """Weights and biases as they stand, for a test."""
        return [weight.cpu().numpy() for weight in self._weights]
