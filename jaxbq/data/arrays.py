"""Images and labels in one ``.npz`` or ``.csv`` file."""

import math
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from annotated_types import Gt

from ..errors import JaxbqError
from ..options import check, options
from ..runtime.archives import read_npz
from .dataset import Dataset
from .labels import Seed, Share, brief, listed, shown
from .pixels import MOST_BYTES


@options
class Digits:
    """scikit-learn's 1,797 digits of 8 × 8 pixels, values 0 to 16 brought to [0, 1].

    Source: E. Alpaydin and C. Kaynak, "Optical recognition of handwritten digits", UCI, 1998.

    Args:
        test_share: share of every class that is tested with.
        split_seed: which ones they are depends on it alone.
        book_scaling: pixels as x·0.99 + 0.01, the book's input scaling.
    """

    kind: Literal["digits"] = "digits"
    test_share: Share = 0.2
    split_seed: Seed = 0
    book_scaling: bool = False

    def load(self) -> Dataset:
        """Take the images from scikit-learn.

        Raises:
            JaxbqError: it is not installed.
        """
        try:
            from sklearn.datasets import load_digits
        except ImportError:
            raise JaxbqError(
                "the digits are scikit-learn's, which is not installed: "
                "pip install 'jaxbq[sklearn]'"
            ) from None
        source, found = check(self), load_digits()
        return Dataset.from_arrays(
            found.images / 16,
            found.target,
            pixel_range=(0.0, 1.0),
            test_share=source.test_share,
            split_seed=source.split_seed,
            book_scaling=source.book_scaling,
        )


# What files that others wrote call them; the first set that is there in full is read.
_KEYS = (
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("x_train", "y_train", "x_test", "y_test"),
    ("X_train", "y_train", "X_test", "y_test"),
    ("images", "labels"),
    ("X", "y"),
    ("data", "target"),
)
_LABELS = ("label", "labels", "class", "target", "y")


@options
class Arrays:
    """A file of ``numpy.savez``, or a table, with images and labels.

    Its arrays are called ``train_images``, ``train_labels``, ``test_images`` and ``test_labels``,
    or ``x_train``, ``y_train``, ``x_test`` and ``y_test``; or, where they are to be split,
    ``images`` and ``labels``, ``X`` and ``y``, or ``data`` and ``target``. Python objects in it
    are never loaded. A ``.csv`` has a row for each image: its pixels, and its label in the column
    of that name or, without names in the first row, in the first. See also
    :meth:`Dataset.from_arrays`.

    Args:
        path: the file.
        shape: (height, width) or (height, width, 3) of one image, for images that are flat rows;
            by default square where that goes, else (1, pixels).
        pixel_range: ends of the range that pixels lie in, which are taken as they are. By default
            bytes are divided by 255; other numbers lie in the smallest that fits of [0, 1],
            [−1, 1] and [0, 255] (divided by 255; only where a value is above 127), else between
            the least and the greatest value there is.
        class_names: one a class. A label is one of them or, where not all whole numbers are
            names, an index into them. By default the labels that occur, in natural order.
        test_share: share of every class that is tested with, where the file has no test images.
        split_seed: which ones they are depends on it alone.
        book_scaling: bring the pixel range to [0.01, 1], the book's input scaling.
    """

    kind: Literal["arrays"] = "arrays"
    path: str
    shape: tuple[Annotated[int, Gt(0)], ...] = ()
    pixel_range: tuple[float, float] | None = None
    class_names: tuple[str, ...] = ()
    test_share: Share = 0.2
    split_seed: Seed = 0
    book_scaling: bool = False

    def load(self) -> Dataset:
        """Read the file."""
        source = check(self)
        path = Path(source.path).expanduser()
        try:
            return Dataset.from_arrays(
                *_read(path),
                shape=source.shape,
                pixel_range=source.pixel_range,
                class_names=source.class_names,
                test_share=source.test_share,
                split_seed=source.split_seed,
                book_scaling=source.book_scaling,
            )
        except JaxbqError as fault:
            text = str(fault)
            # The reader of the file has named it.
            named = text if text.startswith(str(path)) else f"{shown(path)}: {text}"
            raise JaxbqError(named) from None


def _read(path: Path) -> list[np.ndarray]:
    # Not a named pipe: it would keep us waiting for somebody to write into it.
    if not path.is_file():
        raise JaxbqError("no such file; name one that numpy.savez wrote, or a .csv")
    if path.suffix.lower() == ".csv":
        return _read_table(path)
    arrays = read_npz(path, MOST_BYTES)
    for keys in _KEYS:
        if arrays.keys() >= set(keys):
            found = [arrays[key] for key in keys]
            needed = 4 * sum(images.size for images in found[::2])
            if needed > MOST_BYTES:
                raise JaxbqError(
                    f"its images take {needed:,} bytes in float32, more than jaxbq reads "
                    f"({MOST_BYTES:,})"
                )
            return found
    raise JaxbqError(
        f"holds arrays called {listed(list(arrays)) or 'nothing'}; call them images and labels, or "
        "train_images, train_labels, test_images and test_labels"
    )


def _read_table(path: Path) -> list[np.ndarray]:
    """Read images and labels of a table, with or without names of columns."""
    import pandas as pd

    # A number takes two bytes of text at least, and eight in memory.
    if path.stat().st_size > MOST_BYTES // 4:
        raise JaxbqError("is larger than jaxbq reads as text; save it with numpy.savez")
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            line = file.readline()
        mark = max(",;\t", key=line.count)
        first = pd.read_csv(path, header=None, nrows=1, dtype=str, compression=None, sep=mark)
        names = [str(name).strip().lower() for name in first.iloc[0]]
        named = not _is_number(names[-1])
        table = pd.read_csv(
            path,
            header=0 if named else None,
            index_col=False,
            low_memory=False,
            compression=None,
            sep=mark,
        )
    # What pandas raises on damaged files is not a closed list.
    except Exception as fault:
        reason = shown(str(fault).splitlines()[0][:200]) if str(fault) else type(fault).__name__
        raise JaxbqError(f"cannot be read as a table ({reason})") from None
    if named and names[0] in ("nan", "unnamed: 0"):
        # The numbers of the rows, which pandas writes where it is not told otherwise.
        names, table = names[1:], table.iloc[:, 1:]
    places = [n for n, name in enumerate(names) if name in _LABELS] if named else [0]
    pixels = table.shape[1] - 1
    unlabelled = math.isqrt(pixels + 1) ** 2 == pixels + 1 and math.isqrt(pixels) ** 2 != pixels
    if len(places) != 1 or (not named and unlabelled) or pixels < 1:
        raise JaxbqError(
            "has no column of labels; put it first, or name it label in the first row, like "
            "label,pixel0,pixel1,…"
        )
    labels = table.iloc[:, places[0]]
    if not named and labels.nunique() == 1:
        raise JaxbqError(
            f"the first column is {brief(labels.iloc[0])} in every row, so it is no label; put the "
            "labels first, or name their column label in a first row of names"
        )
    rest = table.drop(columns=table.columns[places[0]])
    if any(dtype.kind not in "iufb" for dtype in rest.dtypes):
        raise JaxbqError("has columns other than the label that are not numbers; remove them")
    plain = labels.to_numpy() if labels.dtype.kind in "iuf" else labels.to_numpy(dtype=object)
    return [rest.to_numpy(np.float32), plain]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
