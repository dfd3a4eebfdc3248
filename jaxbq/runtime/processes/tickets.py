"""Sharing work by tickets: who is done with a piece takes the next, so uneven ones balance."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from .store import Store

T = TypeVar("T")


def shared(
    store: Store, name: str, groups: Sequence[Sequence[T]], process: int, processes: int
) -> Iterator[T]:
    """Take pieces of work until none is left; every piece goes to exactly one process.

    Pieces of a group are alike (they need the same compiled program, say). So each process begins
    with a group of its own where there are enough, and helps with those of others afterwards.

    Args:
        store: that all processes share.
        name: of this work, which no other has.
        groups: the pieces, the same in every process.
        process: which this is, from 0.
        processes: of how many.
    """
    if not groups:
        return
    first = process * len(groups) // processes
    for turn in range(len(groups)):
        number = (first + turn) % len(groups)
        group = groups[number]
        while (ticket := store.add(f"{name}/{number}", 1)) <= len(group):
            yield group[ticket - 1]
