"""Training, ascent and preimages against what one would use instead, side by side in one run.

    python scripts/benchmark.py [--rounds 7] [--only ascent]

Rounds alternate between jaxbq and its peers; the table gives medians, the spread from the fastest
to the slowest round, and the quality that was reached beside it. Data: the full MNIST where
JAXBQ_DATA names its folder, else the embedded part. PyTorch and Lucent are peers where they are
installed (pip install 'jaxbq[bench]'); without them a line says so.
"""

import argparse
import dataclasses
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.special import expit

from jaxbq.data import Dataset, Mnist, Mnist10k
from jaxbq.imaging import StopRule, Whitened
from jaxbq.methods import Ascent, invert
from jaxbq.mlp import MLP
from jaxbq.optimisers import Optimiser
from jaxbq.solvers import gauss_newton
from jaxbq.targets import Codes
from jaxbq.training import BookTraining, Training, train
from jaxbq.training.rules import TrainingArrays

try:
    import torch
    from torch.utils.data import DataLoader, TensorDataset
except ImportError:
    torch = None
try:
    import lucent.optvis.objectives
    import lucent.optvis.param
    import lucent.optvis.render
except ImportError:
    lucent = None

MODEL = MLP((784, 200, 10))
BOOK = MLP((784, 200, 10), bias=False)
BATCH, STEPS = 128, 500
FLOPS = 4 * (784 * 200 + 200 * 10)  # of one image-step: forward and backward to the input


def alternate(contenders: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Time contenders in turn, after one round to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, run in contenders.items():
            begun = time.perf_counter()
            jax.block_until_ready(run())
            if number:
                seconds[name].append(time.perf_counter() - begun)
    return seconds


def show(title: str, seconds: dict[str, list[float]], unit: Callable[[float], str]) -> None:
    print(f"\n{title}")
    ours = np.median(next(iter(seconds.values())))
    for name, times in seconds.items():
        middle, low, high = np.median(times), min(times), max(times)
        print(
            f"  {name:34s} {unit(middle):>24s}   {middle / ours:6.2f} × jaxbq"
            f"   ({low:.3f} to {high:.3f} s)"
        )


def epochs(data: Dataset, rounds: int) -> None:
    training = Training(epochs=10, optimiser=Optimiser(learning_rate=1e-3), batch_size=BATCH)
    codes = training.codes.matrix(10)[data.train_labels]
    arrays = TrainingArrays(jnp.asarray(data.train_images), jnp.asarray(codes, jnp.float32))
    params = MODEL.init(jax.random.key(0))
    state = training.start(MODEL, params, len(codes))
    key = jax.random.key(1)

    def ours() -> Any:
        order = training.order(key, len(codes))
        return training.epoch(MODEL, params, state, arrays, order)

    contenders = {"jaxbq": ours}
    if torch:
        contenders |= torch_epochs(data, codes)
    show("an epoch, Adam, batch 128", alternate(contenders, rounds), lambda s: f"{s:.3f} s")
    reached = train(MODEL, data, training).test_accuracy
    print(f"  jaxbq after 10 epochs: test accuracy {reached:.4f}")


def torch_epochs(data: Dataset, codes: np.ndarray) -> dict[str, Callable[[], Any]]:
    """Make the same loop in PyTorch eager: batches by index, and batches from a DataLoader."""
    net = torch.nn.Sequential(
        torch.nn.Linear(784, 200), torch.nn.Sigmoid(), torch.nn.Linear(200, 10)
    )
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    loss = torch.nn.BCEWithLogitsLoss()
    images, wanted = torch.tensor(data.train_images), torch.tensor(codes, dtype=torch.float32)

    def update(x: Any, t: Any) -> Any:
        optimiser.zero_grad()
        z = net(x)
        value = loss(z, t)
        value.backward()
        optimiser.step()
        return value.item() + (z.argmax(1) == t.argmax(1)).sum().item()

    def by_index() -> None:
        order = torch.randperm(len(images))
        for rows in order.split(BATCH):
            update(images[rows], wanted[rows])

    loader = DataLoader(TensorDataset(images, wanted), batch_size=BATCH, shuffle=True)

    def by_loader() -> None:
        for x, t in loader:
            update(x, t)

    return {"PyTorch eager, batches by index": by_index, "PyTorch eager, DataLoader": by_loader}


def book(data: Dataset, rounds: int) -> None:
    training = BookTraining()
    scaled = dataclasses.replace(
        data,
        train_images=data.train_images * np.float32(0.99) + np.float32(0.01),
        test_images=data.test_images * np.float32(0.99) + np.float32(0.01),
    )
    codes = training.codes.matrix(10)[data.train_labels]
    arrays = TrainingArrays(jnp.asarray(scaled.train_images), jnp.asarray(codes, jnp.float32))
    params = BOOK.init(jax.random.key(0))
    order = training.order(jax.random.key(0), len(codes))

    ours = partial(training.epoch, BOOK, params, (), arrays, order)

    def theirs(share: int = 20) -> None:
        wih, who = (np.array(layer.weight.T, np.float64) for layer in params)
        for x, t in zip(scaled.train_images[::share], codes[::share], strict=True):
            inputs, wanted = np.array(x, ndmin=2).T, np.array(t, ndmin=2).T
            hidden = expit(np.dot(wih, inputs))
            final = expit(np.dot(who, hidden))
            errors = wanted - final
            back = np.dot(who.T, errors)
            who += 0.1 * np.dot(errors * final * (1 - final), hidden.T)
            wih += 0.1 * np.dot(back * hidden * (1 - hidden), inputs.T)

    seconds = alternate({"jaxbq": ours, "the book's NumPy loop": theirs}, rounds)
    # One image in twenty, and so a twentieth of an epoch.
    seconds["the book's NumPy loop"] = [20 * s for s in seconds["the book's NumPy loop"]]
    show("an epoch by the book's rule", seconds, lambda s: f"{s:.3f} s")
    reached = train(BOOK, scaled, training).test_accuracy
    print(f"  jaxbq after 2 epochs: test accuracy {reached:.4f}")


def ascent(data: Dataset, rounds: int) -> None:
    params = train(MODEL, data, Training(epochs=10)).params
    peak = jnp.ones((2048, 2048))
    product = partial(jax.jit(jnp.matmul), peak, peak)
    for number in (10, 640):
        targets = np.tile(Codes().matrix(10), (number // 10, 1))
        # No early stop: every image takes every step.
        never = StopRule(tolerance=0.0)
        methods = {
            "jaxbq": Ascent(steps=STEPS, stop=never),
            "jaxbq, whitened": Ascent(steps=STEPS, stop=never, parameterisation=Whitened()),
        }
        contenders: dict[str, Callable[[], Any]] = {
            name: partial(invert, method, MODEL, params, targets, reference=data)
            for name, method in methods.items()
        }
        contenders["2048² product"] = product
        if torch:
            contenders["PyTorch eager"] = torch_ascent(params, targets)
        if lucent:
            contenders["Lucent, plain pixels"] = lucent_ascent(params, targets, plain=True)
            if number == 10:  # with more it takes minutes a round
                contenders["Lucent, its defaults"] = lucent_ascent(params, targets, plain=False)
        seconds = alternate(contenders, rounds)
        reach = 2 * 2048**3 / np.median(seconds.pop("2048² product")) / 1e9
        done = number * STEPS
        show(
            f"ascent, {number} images × {STEPS} steps",
            seconds,
            lambda s, done=done: f"{done / s:,.0f} image-steps/s",
        )
        for name, extra in (("jaxbq", 0), ("jaxbq, whitened", 4 * 784 * 784)):
            rate = (FLOPS + extra) * done / np.median(seconds[name]) / 1e9
            print(f"  {name}: {rate:.0f} GFLOP/s, {rate / reach:.0%} of the peak of {reach:.0f}")
        error = np.abs(contenders["jaxbq"]().outputs[:, 0] - targets).max()
        print(f"  jaxbq: largest output error {error:.4f}")
    finished(data, params, rounds)


def finished(data: Dataset, params: Any, rounds: int) -> None:
    """Time images of which most are done early, in lanes that go on to the next, and without."""
    targets = Codes().matrix(10)
    for number in (640, 6400):

        def climb(number: int = number, **options: Any) -> Callable[[], Any]:
            method = Ascent(start="random", restarts=number // 10, steps=STEPS, **options)
            return partial(invert, method, MODEL, params, targets, reference=data)

        contenders = {
            "jaxbq": climb(),
            "as many lanes as images": climb(lanes=number),
            "none stops": climb(stop=StopRule(tolerance=0.0)),
        }
        seconds = alternate(contenders, min(rounds, 3))
        title = f"ascent, {number} images that stop at their target, {STEPS} steps"
        show(title, seconds, lambda s: f"{s:.3f} s")
        taken = contenders["jaxbq"]().iterations
        print(f"  steps taken: mean {taken.mean():.0f}, most {taken.max()}")


def torch_ascent(params: Any, targets: np.ndarray) -> Callable[[], Any]:
    """Make the same ascent in PyTorch eager: Adam on all images at once, pixels clamped."""
    (w1, b1), (w2, b2) = (
        (torch.tensor(np.array(layer.weight)), torch.tensor(np.array(layer.bias)))
        for layer in params
    )
    wanted = torch.tensor(targets, dtype=torch.float32)

    def run() -> None:
        x = torch.full((len(targets), 784), 0.5, requires_grad=True)
        optimiser = torch.optim.Adam([x], 0.1, (0.9, 0.95))
        for _ in range(STEPS):
            optimiser.zero_grad()
            z = torch.sigmoid(x @ w1 + b1) @ w2 + b2
            loss = torch.nn.functional.binary_cross_entropy_with_logits(z, wanted, reduction="sum")
            loss.backward()
            optimiser.step()
            with torch.no_grad():
                x.clamp_(0, 1)

    return run


def lucent_ascent(params: Any, targets: np.ndarray, *, plain: bool) -> Callable[[], Any]:
    """Make the same ascent in Lucent; the dense network takes the mean of its colours.

    Plain: sigmoid pixels, nothing else. Else its default parameterisation (decorrelated Fourier)
    and transforms.
    """
    hidden, output = torch.nn.Linear(784, 200), torch.nn.Linear(200, 10)
    for layer, ours in zip((hidden, output), params, strict=True):
        layer.weight.data = torch.tensor(np.array(ours.weight.T))
        layer.bias.data = torch.tensor(np.array(ours.bias))

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.out = hidden, output

        def forward(self, images: Any) -> Any:
            return self.out(torch.sigmoid(self.hidden(images.mean(1).flatten(1))))

    network = Network().eval()
    wanted = torch.tensor(targets, dtype=torch.float32)

    def loss(layer: Any) -> Any:
        return torch.nn.functional.binary_cross_entropy_with_logits(
            layer("out"), wanted, reduction="sum"
        )

    return partial(
        lucent.optvis.render.render_vis,
        network,
        lucent.optvis.objectives.Objective(loss),
        param_f=lambda: lucent.optvis.param.image(
            28, batch=len(targets), fft=not plain, decorrelate=not plain
        ),
        optimizer=lambda variables: torch.optim.Adam(variables, 0.1),
        transforms=[] if plain else None,
        thresholds=(STEPS,),
        preprocess=False,
        progress=False,
        show_image=False,
        fixed_image_size=28,
    )


RATES = (0.01, 0.02, 0.05, 0.1, 0.2)


def preimages(data: Dataset, rounds: int, dtype: str) -> None:
    """Time preimages from ten digits to ten codes against projected Adam to the same residual."""
    params = MODEL.freeze(train(MODEL, data, Training(epochs=10), dtype=dtype).params)
    network = partial(MODEL.logits, params)
    codes = Codes().matrix(10)
    wanted = jnp.tile(jnp.asarray(np.log(codes / (1 - codes)), dtype), (10, 1))
    starts = jnp.repeat(jnp.asarray(data.reference.starts, dtype), 10, axis=0)

    @jax.jit
    def solve(goal: Any) -> Any:
        return gauss_newton.solve(network, starts, wanted, 0.0, 1.0, tolerance=goal)

    adam = jax.jit(partial(projected_adam, network, wanted, starts))
    for goal in (1e-8 if dtype == "float64" else 1e-4, 1e-3):
        contenders: dict[str, Callable[[], Any]] = {"jaxbq": partial(solve, goal)}
        if goal == 1e-3:
            best = min(RATES, key=lambda rate, goal=goal: steps_needed(adam, rate, goal))
            contenders[f"projected Adam, best rate {best}"] = partial(adam, best, goal)
        title = f"100 preimages to ‖residual‖ ≤ {goal:g}, {dtype}"
        show(title, alternate(contenders, rounds), lambda s: f"{s:.3f} s")
        found = solve(goal)
        reached = int((found.reason == gauss_newton.REACHED).sum())
        print(
            f"  jaxbq: {reached} of 100 reached, worst residual {float(found.residual.max()):.1e}, "
            f"iterations: median {np.median(found.iterations):g}, "
            f"most {int(found.iterations.max())}"
        )


def projected_adam(network: Any, wanted: Any, x: Any, rate: Any, goal: Any) -> Any:
    """Run Adam on ‖residual‖² of all images in one loop until each has been within the goal."""
    optimiser = optax.adam(rate)

    def step(carry: Any) -> Any:
        count, x, state, reached = carry

        def cost(x: Any) -> Any:
            r = network(x) - wanted
            return jnp.square(r).sum(), jnp.linalg.norm(r, axis=1)

        gradient, norms = jax.grad(cost, has_aux=True)(x)
        change, state = optimiser.update(gradient, state)
        return count + 1, jnp.clip(x + change, 0, 1), state, reached | (norms <= goal)

    def unfinished(carry: Any) -> Any:
        return (carry[0] < 2000) & ~carry[3].all()

    start = (0, x, optimiser.init(x), jnp.zeros(len(x), bool))
    count, _, _, reached = jax.lax.while_loop(unfinished, step, start)
    return count, reached.sum()


def steps_needed(adam: Any, rate: float, goal: float) -> float:
    """Count the steps that a rate takes: all steps cost the same."""
    count, reached = adam(rate, goal)
    return float(count) if int(reached) == 100 else float("inf")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="timed rounds of each contender")
    parser.add_argument("--only", choices=PARTS, help="one part alone")
    chosen = parser.parse_args()
    data = (Mnist() if os.environ.get("JAXBQ_DATA") else Mnist10k()).load()
    device = jax.devices()[0]
    print(f"{device.device_kind}, jax {jax.__version__}, {os.cpu_count()} cores; {data.describe()}")
    print(f"PyTorch {torch.__version__}" if torch else "PyTorch is not installed: no peer rows")
    print("Lucent is here" if lucent else "Lucent is not installed: no row of it")
    for name, part in PARTS.items():
        if chosen.only in (None, name):
            part(data, chosen.rounds)


def all_preimages(data: Dataset, rounds: int) -> None:
    for dtype in ("float32", "float64"):
        with jax.enable_x64(dtype == "float64"):
            preimages(data, rounds, dtype)


PARTS = {"training": epochs, "book": book, "ascent": ascent, "preimages": all_preimages}


if __name__ == "__main__":
    main()
