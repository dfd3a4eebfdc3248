"""Lucent: the ascent that its users would run, with its defaults or as plain as it can be made."""

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..session import Layers
from .pytorch import device, load, network, tensor

RATE = 0.1


def ascent(
    layers: Layers, targets: np.ndarray, steps: int, side: int, *, plain: bool
) -> Callable[[], np.ndarray]:
    """Make the ascent of square images; the network takes the mean of Lucent's three colours.

    Args:
        layers: the network.
        targets: wanted outputs, one an image.
        steps: of every image.
        side: of an image, in pixels.
        plain: sigmoid pixels and nothing else; otherwise its default parameterisation
            (decorrelated Fourier) and transforms.

    Returns:
        What ascends and returns the images, colours averaged.
    """
    torch = load()
    render, objectives, param = (
        importlib.import_module(f"lucent.optvis.{name}")
        for name in ("render", "objectives", "param")
    )
    inner = network(torch, layers)

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
