"""A learned inverse in PyTorch: a decoder trained to give images back from what they cause."""

import itertools

import numpy as np

from .pytorch import load, tensor


def decode(
    inputs: np.ndarray,
    images: np.ndarray,
    asked: np.ndarray,
    *,
    hidden: tuple[int, ...],
    epochs: int,
    batch: int,
    rate: float,
    noise: float,
) -> np.ndarray:
    """Train a decoder by Adam with a cosine schedule; give what it makes of ``asked``.

    Args:
        inputs: standardised, one a training image.
        images: the training images, pixels in [0, 1].
        asked: what is decoded in the end.
        hidden: units of the hidden layers.
        epochs: passes over the images.
        batch: images an update.
        rate: first learning rate.
        noise: standard deviation of the noise on inputs.

    Returns:
        One image a row of ``asked``.
    """
    torch = load()
    torch.manual_seed(0)
    sizes = (inputs.shape[1], *hidden, images.shape[1])
    parts = []
    for n, m in itertools.pairwise(sizes):
        parts += [torch.nn.Linear(n, m), torch.nn.ReLU()]
    decoder = torch.nn.Sequential(*parts[:-1], torch.nn.Sigmoid())
    given, wanted = tensor(torch, inputs), tensor(torch, images)
    decoder.to(given)
    optimiser = torch.optim.Adam(decoder.parameters(), rate)
    updates = epochs * -(-len(given) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, updates)
    for _ in range(epochs):
        for rows in torch.randperm(len(given), device=given.device).split(batch):
            optimiser.zero_grad()
            x = given[rows]
            found = decoder(x + noise * torch.randn_like(x))
            torch.nn.functional.mse_loss(found, wanted[rows]).backward()
            optimiser.step()
            schedule.step()
    with torch.no_grad():
        return decoder(tensor(torch, asked).to(given)).cpu().numpy()
