"""What labels mean, what classes are called, and how data are split by them."""

import re
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from jaxtyping import Int, Int32

from ..errors import JaxbqError

MOST_CLASSES = 4096  # codes are classes × classes; no data set of digits or letters is near
_LONGEST = 100  # characters; a figure has a line of some ten for a name


def natural(name: str) -> tuple[list[str | int], str]:
    """Order names as people do, "10" after "9"; what is alike then, as plain text."""
    # Text and numbers alternate, text first, so that like is compared with like.
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if n % 2 else part for n, part in enumerate(parts)], name


def shown(path: object) -> str:
    """Write a path or a name in one line: what cannot be printed as an escape."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(path))


def brief(name: object) -> str:
    """Write a name likewise, and cut a long one."""
    text = str(name)
    return shown(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")


def listed(names: Sequence[str]) -> str:
    """List names in one line, the first of them where they are many."""
    return ", ".join(map(brief, names[:12])) + (", …" if len(names) > 12 else "")


def check_names(names: Sequence[str]) -> tuple[str, ...]:
    """Check that names can stand in tables and figures, each for one class.

    Raises:
        JaxbqError: a name is empty, too long, there twice, or holds a character that cannot be
            printed (a line break, say); or there are too many.
    """
    if len(names) > MOST_CLASSES:
        raise JaxbqError(f"{len(names):,} classes are more than jaxbq takes ({MOST_CLASSES:,})")
    for name in names:
        if not name or len(name) > _LONGEST:
            raise JaxbqError(f"class '{brief(name)}': a name has 1 to {_LONGEST} characters")
        if not name.isprintable():
            raise JaxbqError(
                f"class '{brief(name)}': its name holds a character that cannot be printed; "
                "rename it"
            )
    if len(set(names)) < len(names):
        twice = next(name for n, name in enumerate(names) if name in names[:n])
        raise JaxbqError(f"class {twice!r} is named twice")
    return tuple(names)


def as_classes(
    parts: Sequence[np.ndarray], class_names: Sequence[str] = ()
) -> tuple[list[Int32[np.ndarray, " _"]], tuple[str, ...]]:
    """Turn labels of any usual kind into class indices.

    Args:
        parts: labels of one part of the data each: whole numbers, or strings, of shape (n,) or
            (n, 1); or one-hot rows of shape (n, classes).
        class_names: one a class. A label is one of them, or an index into them where not all
            whole numbers are names. By default the labels that occur, in natural order.

    Returns:
        Indices for every part, and the class names.

    Raises:
        JaxbqError: labels are of another kind, or do not fit the class names.
    """
    names = check_names(class_names)
    plain = [_plain(np.asarray(part)) for part in parts]
    # How long one-hot rows are; 0 for other labels.
    lengths = {0 if np.size(p) == len(p) else np.shape(p)[1] for p in parts}
    if len({part.dtype.kind == "U" for part in plain}) > 1 or len(lengths) > 1:
        raise JaxbqError(
            "training and test labels must have the same type; one-hot labels also the same length"
        )
    hot = lengths.pop()
    if hot and not names:
        names = check_names([str(n) for n in range(hot)])
    values, inverse = np.unique(np.concatenate(plain), return_inverse=True)
    if not names:
        # Numbers come sorted; strings are sorted here, after a check that keeps this cheap.
        found = check_names([str(value) for value in values.tolist()])
        names = tuple(sorted(found, key=natural)) if values.dtype.kind == "U" else found
    if len(names) < 2:
        raise JaxbqError(f"all images are of one class, {names[0]!r}; there must be two or more")
    indices = _places(values, names, by_name=not hot)[inverse.reshape(-1)].astype(np.int32)
    ends = np.cumsum([len(part) for part in plain])[:-1]
    return list(np.split(indices, ends)), names


def _plain(labels: np.ndarray) -> np.ndarray:
    """Turn labels into a vector of int64 or of strings."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind in "OT" and all(isinstance(label, str) for label in labels.flat):
        labels = np.array(labels.tolist(), dtype=str)
    if labels.dtype.kind == "S":
        try:
            labels = np.char.decode(labels, "utf-8")
        except UnicodeDecodeError:
            raise JaxbqError("labels are bytes that are not UTF-8; save them as strings") from None
    if labels.ndim == 2 and labels.dtype.kind in "buif":
        hot = labels == 1
        if not ((hot.sum(axis=1) == 1).all() and (labels[~hot] == 0).all()):
            raise JaxbqError("labels of shape (n, classes) must be one-hot: one 1 a row, else 0")
        return hot.argmax(axis=1).astype(np.int64)
    if labels.ndim == 1 and labels.dtype.kind == "f":
        if not (np.isfinite(labels) & (labels == np.round(labels)) & (abs(labels) < 2**53)).all():
            raise JaxbqError("labels must be whole numbers, strings, or one-hot rows")
        return labels.astype(np.int64)
    if labels.ndim != 1 or labels.dtype.kind not in "buiU":
        raise JaxbqError(
            "labels must be whole numbers or strings of shape (n,), or one-hot rows, "
            f"not {labels.dtype} of shape {labels.shape}"
        )
    return labels if labels.dtype.kind == "U" else labels.astype(np.int64)


def _places(values: np.ndarray, names: tuple[str, ...], *, by_name: bool) -> np.ndarray:
    """Find every distinct label among the names, or take it as an index."""
    place = {name: n for n, name in enumerate(names)}
    spelt = [str(value) for value in values.tolist()]
    strange = next((name for name in spelt if name not in place), None)
    if strange is None and by_name:
        return np.array([place[name] for name in spelt])
    if values.dtype.kind == "U" and strange is not None:
        raise JaxbqError(f"a label is '{brief(strange)}', but the classes are {listed(names)}")
    if values[0] < 0 or values[-1] >= len(names):
        wrong = values[0] if values[0] < 0 else values[-1]
        raise JaxbqError(
            f"a label is {wrong}, but there are {len(names)} class names, {listed(names)}"
        )
    return values


Share = Annotated[float, Gt(0), Lt(1)]
Seed = Annotated[int, Ge(0), Le(2**32 - 1)]


def split(
    labels: Int[np.ndarray, " n"], share: float, seed: int
) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"]]:
    """Choose the images to test with: of every class the same share, at random.

    A class of two images or more has at least one in each part; the image of a class with one
    image is trained with.

    Args:
        labels: class of every image.
        share: of a class's images that are tested with, between 0 and 1.
        seed: what chance depends on, beside the labels and their order.

    Returns:
        Indices of the training and of the test images, each in mixed order: training one image
        after another and scores of the first thousand must not meet one class after another.

    Raises:
        JaxbqError: share or seed is out of range, or no class has two images.
    """
    if not 0 < share < 1:
        raise JaxbqError(f"test_share is {share}: it must lie between 0 and 1, like 0.2")
    order = mixed(len(labels), seed)
    tested = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        wanted = int(len(members) * share + 0.5)
        # The last bound wins: a single image is trained with.
        tested[members[: min(max(wanted, 1), len(members) - 1)]] = True
    if not tested.any():
        raise JaxbqError(
            "no class has two images, so none are left to test with; add images, "
            "or name those to test with"
        )
    return order[~tested[order]], order[tested[order]]


def mixed(number: int, seed: int) -> Int[np.ndarray, " number"]:
    """Draw an order of so many images.

    Raises:
        JaxbqError: the seed is out of range.
    """
    if not 0 <= seed < 2**32:
        raise JaxbqError(f"split_seed is {seed}: it must be from 0 to {2**32 - 1}")
    # The raw numbers of a bit generator are the same in every version of NumPy; a permutation
    # drawn by its Generator is not promised to be.
    drawn = np.asarray(np.random.PCG64(seed).random_raw(number), np.uint64)
    return np.argsort(drawn, kind="stable")
