"""What an epoch of training gave."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EpochMetrics:
    """What one epoch gave.

    Args:
        epoch: its number, from 1.
        loss: mean training loss of the epoch, each image before its own update.
        train_accuracy: share of training images answered right, each before its own update.
        test_accuracy: share of test images answered right after the epoch.
        seconds: wall time of the updates alone; the first epoch's includes compilation.
    """

    epoch: int
    loss: float
    train_accuracy: float
    test_accuracy: float
    seconds: float
