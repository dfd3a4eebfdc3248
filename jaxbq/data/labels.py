"""What labels mean: numbers, names or one-hot rows as indices into class names."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32

from ..errors import JaxbqError
from .names import brief, check_names, listed, natural


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
        raise JaxbqError("training and test labels must be of one kind, one-hot ones of one length")
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
            raise JaxbqError("labels are bytes that are no UTF-8; save them as strings") from None
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
