"""Images and labels: the space that images live in, the data set, what methods see of it."""

import dataclasses
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float, Float32, Int32

from ..errors import JaxbqError
from .labels import MOST_CLASSES, as_classes, split
from .moments import Moments
from .pixels import as_pixels

T = TypeVar("T")
_ASKING = threading.Lock()


@dataclass(frozen=True)
class ImageSpace:
    """Where images live: their shape and the closed interval that every pixel must lie in.

    Args:
        shape: (height, width), or any other shape of one image.
        low: lower end of the pixel range.
        high: upper end of the pixel range.
    """

    shape: tuple[int, ...]
    low: float = 0.0
    high: float = 1.0

    @property
    def pixels(self) -> int:
        """Number of pixels of one image."""
        return int(np.prod(self.shape))


@dataclass(frozen=True, eq=False)
class Reference:
    """What a method may know beside the network: where images live, and training images.

    Args:
        space: shape of one image and the pixel range.
        images: training images, shape (n, pixels), or None.
        labels: their classes, shape (n,), or None.
        starts: images for a method to start from, shape (m, pixels), or None.
    """

    space: ImageSpace
    images: Float32[np.ndarray, "n pixels"] | None = None
    labels: Int32[np.ndarray, " n"] | None = None
    starts: Float[np.ndarray, "m pixels"] | None = None

    def need_images(self, why: str) -> Float32[np.ndarray, "n pixels"]:
        """Return the training images.

        Raises:
            JaxbqError: there are none; ``why`` says what they are needed for.
        """
        if self.images is None:
            raise JaxbqError(f"{why} needs training images; name a data set (--data mnist-10k)")
        return self.images

    @cached_property
    def moments(self) -> Moments:
        """Mean and covariance of the training images, all classes together."""
        return Moments(self.need_images("a prior from the training distribution"))

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """Make something that depends on these images and ``key`` alone, the first time only.

        A thread that asks for what another is making waits for it.
        """
        with _ASKING:
            making, made = self._made.setdefault(key, (threading.RLock(), []))
        with making:
            if not made:
                made.append(make())
            return made[0]

    @cached_property
    def _made(self) -> dict[Hashable, tuple[Any, list[Any]]]:
        return {}


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images, split into training and test.

    Args:
        train_images: float32 in the pixel range, shape (n, pixels).
        train_labels: class indices, shape (n,).
        test_images: as ``train_images``.
        test_labels: as ``train_labels``.
        space: shape of one image and the pixel range.
        class_names: one name a class; a label is an index into it.
    """

    train_images: Float32[np.ndarray, "train pixels"]
    train_labels: Int32[np.ndarray, " train"]
    test_images: Float32[np.ndarray, "test pixels"]
    test_labels: Int32[np.ndarray, " test"]
    space: ImageSpace
    class_names: tuple[str, ...]

    @classmethod
    def from_bytes(
        cls,
        train: tuple[np.ndarray, np.ndarray],
        test: tuple[np.ndarray, np.ndarray],
        *,
        book_scaling: bool = False,
        class_names: Sequence[str] | None = None,
        first_label: int = 0,
    ) -> "Dataset":
        """Build a data set from byte images and integer labels.

        Args:
            train: images and labels, shapes (n, height, width) and (n,).
            test: likewise.
            book_scaling: map pixels to x·0.99 + 0.01, the book's input scaling, and so into
                [0.01, 1] instead of [0, 1].
            class_names: one a class; by default the label numbers.
            first_label: the number that labels begin with.

        Raises:
            JaxbqError: counts, shapes or labels do not fit each other.
        """
        _check_split("training", *train, first_label)
        _check_split("test", *test, first_label)
        if train[0].shape[1:] != test[0].shape[1:]:
            raise JaxbqError(
                f"training images are {train[0].shape[1:]}, test images {test[0].shape[1:]}: "
                "they must have one size"
            )
        # Wide enough for any that was found to be in range.
        labels = [part[1].astype(np.int32) - first_label for part in (train, test)]
        least = min(int(part.min()) for part in labels)
        if least > 0:
            raise JaxbqError(
                f"no image has a label under {least + first_label}, so that class {first_label} "
                f"would be empty; give first_label = {least + first_label}"
            )
        classes = max(int(part.max()) for part in labels) + 1
        numbers = range(first_label, first_label + classes)
        names = tuple(class_names) if class_names else tuple(map(str, numbers))
        if classes > len(names):
            raise JaxbqError(f"a label is {numbers[-1]}, but there are {len(names)} class names")
        low = 0.01 if book_scaling else 0.0
        return cls(
            _scale(train[0], low),
            labels[0],
            _scale(test[0], low),
            labels[1],
            ImageSpace(tuple(train[0].shape[1:]), low, 1.0),
            names,
        )

    @classmethod
    def from_arrays(
        cls,
        images: np.ndarray,
        labels: np.ndarray | Sequence[Any],
        test_images: np.ndarray | None = None,
        test_labels: np.ndarray | Sequence[Any] | None = None,
        *,
        shape: Sequence[int] = (),
        pixel_range: tuple[float, float] | None = None,
        class_names: Sequence[str] = (),
        test_share: float = 0.2,
        split_seed: int = 0,
        book_scaling: bool = False,
    ) -> "Dataset":
        """Build a data set from images and labels of any usual kind.

        Args:
            images: numbers of shape (n, height, width), (n, height, width, 1), (n, height, width,
                3), (n, 1, height, width), (n, 3, height, width) or (n, pixels).
            labels: a class for each: whole numbers or strings, shape (n,), or one-hot rows.
            test_images: images to test with. Without them a share of ``images`` is set apart.
            test_labels: their classes.
            shape: of one image, for flat rows; by default square where that goes, else
                (1, pixels).
            pixel_range: ends of the range that pixels lie in; values are taken as they are. By
                default bytes are divided by 255; other numbers lie in the smallest that fits of
                [0, 1], [−1, 1] and [0, 255] (divided by 255; only where a value is above 127),
                else between the least and the greatest value there is.
            class_names: one a class. A label is one of them or, where not all whole numbers are
                names, an index into them. By default the labels that occur, in natural order.
            test_share: share of every class that is tested with, where no test images are given.
            split_seed: which ones they are depends on it alone.
            book_scaling: bring the pixel range to [0.01, 1], the book's input scaling.

        Raises:
            JaxbqError: images or labels are of another kind, or do not fit each other.
        """
        if (test_images is None) != (test_labels is None):
            raise JaxbqError("test images and test labels go together: give both or none")
        given = [(images, labels)]
        if test_images is not None and test_labels is not None:
            given.append((test_images, test_labels))
        pixels = as_pixels([part for part, _ in given], shape, pixel_range, book_scaling)
        for rows, (_, theirs) in zip(pixels.parts, given, strict=True):
            if np.ndim(theirs) == 0:
                raise JaxbqError("labels are a single value; give one for each image")
            if len(rows) != len(theirs):
                turned = "; give images.T" if rows.shape[1] == len(theirs) else ""
                raise JaxbqError(
                    f"{len(rows)} images but {len(theirs)} labels; give one label for each image"
                    f"{turned}"
                )
        classes, names = as_classes([np.asarray(theirs) for _, theirs in given], class_names)
        rows, indices = pixels.parts[0], classes[0]
        if len(given) == 1:
            train, test = split(indices, test_share, split_seed)
            parts = (rows[train], indices[train], rows[test], indices[test])
        else:
            parts = (rows, indices, pixels.parts[1], classes[1])
        return cls(*parts, ImageSpace(pixels.shape, pixels.low, pixels.high), names)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of one image, (height, width) or (height, width, 3)."""
        return self.space.shape

    @property
    def pixel_range(self) -> tuple[float, float]:
        """The closed interval that every pixel lies in."""
        return (self.space.low, self.space.high)

    @cached_property
    def reference(self) -> Reference:
        """What methods may know: image space, training images, and images to start from.

        The latter are the first test image of every class that has one.
        """
        present, first = np.unique(self.test_labels, return_index=True)
        starts = self.test_images[first[present < self.classes]]
        return Reference(self.space, self.train_images, self.train_labels, starts)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """Make something that depends on this data and ``key`` alone, the first time only."""
        return self.reference.once(key, make)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @cached_property
    def class_means(self) -> Float32[np.ndarray, "classes pixels"]:
        """Mean training image of every class; NaN for a class without training images."""
        means = np.full((self.classes, self.space.pixels), np.nan, np.float32)
        for label in np.unique(self.train_labels):
            # float64 sums: a float32 sum over thousands of rows would lose digits.
            rows = self.train_images[self.train_labels == label]
            means[label] = rows.mean(axis=0, dtype=np.float64)
        return means

    def describe(self) -> str:
        """Say what the data set holds, in one line."""
        size = "×".join(map(str, self.image_shape))
        return (
            f"{len(self.train_labels):,} training and {len(self.test_labels):,} test images, "
            f"{size}, {self.classes} classes, pixels in [{self.space.low:g}, {self.space.high:g}]"
        )


def _check_split(name: str, images: np.ndarray, labels: np.ndarray, first: int) -> None:
    if images.ndim != 3 or images.dtype != np.uint8:
        raise JaxbqError(
            f"{name} images must be bytes of shape (n, height, width), "
            f"not {images.dtype} of shape {images.shape}"
        )
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise JaxbqError(
            f"{name} labels must be whole numbers of shape (n,), "
            f"not {labels.dtype} of shape {labels.shape}"
        )
    if len(images) != len(labels):
        raise JaxbqError(
            f"{len(images)} {name} images but {len(labels)} labels; one of the files is wrong"
        )
    if images.size == 0:
        raise JaxbqError(f"the {name} set is empty")
    if labels.min() < first:
        raise JaxbqError(f"a {name} label is {labels.min()}: labels count from {first}")
    if labels.max() >= MOST_CLASSES:
        raise JaxbqError(f"a {name} label is {labels.max()}: labels are class numbers from 0")


def _scale(images: np.ndarray, low: float) -> np.ndarray:
    flat = images.reshape(len(images), -1)
    # The book computes x / 255 · 0.99 + 0.01; float64 first, so that 255 becomes exactly 1.
    return (flat / 255.0 * (1.0 - low) + low).astype(np.float32)


def rescaled(data: Dataset, low: float, high: float) -> Dataset:
    """Map the pixels of a data set linearly from their range onto another.

    Args:
        data: the data set.
        low: lower end of the new range.
        high: its upper end.

    Returns:
        The data set itself where that is its range, else a new one.
    """
    old = data.space
    if (old.low, old.high) == (low, high):
        return data

    def mapped(images: np.ndarray) -> np.ndarray:
        share = (images.astype(np.float64) - old.low) / (old.high - old.low)
        # Rounding must not leave the range.
        return np.clip(low + (high - low) * share, low, high).astype(np.float32)

    return dataclasses.replace(
        data,
        train_images=mapped(data.train_images),
        test_images=mapped(data.test_images),
        space=dataclasses.replace(old, low=low, high=high),
    )
