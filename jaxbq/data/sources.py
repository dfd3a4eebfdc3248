"""Where images come from: one options class a source, each with ``load``."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge

from ..errors import JaxbqError
from ..options import BY_KIND, KIND_SHORTHAND, options
from . import mnist
from .arrays import Arrays, Digits
from .dataset import Dataset, ImageSpace
from .image_folder import Images
from .labels import shown
from .mnist import read_idx

FOLDER_VARIABLE = "JAXBQ_DATA"
_BOOK_RANGE = (0.01, 1.0)
_USUAL_RANGES = ((0.0, 1.0), _BOOK_RANGE, (-1.0, 1.0), (0.0, 255.0))

_ROLES = {
    "training images": ("train-images",),
    "training labels": ("train-labels",),
    "test images": ("t10k-images", "test-images"),
    "test labels": ("t10k-labels", "test-labels"),
}


@options
class Mnist10k:
    """The embedded part of MNIST: 10,000 training and 2,000 test images; needs no network.

    Args:
        book_scaling: pixels as x·0.99 + 0.01, the book's input scaling.
    """

    kind: Literal["mnist-10k"] = "mnist-10k"
    book_scaling: bool = False

    def load(self) -> Dataset:
        """Read the images from the package."""
        with resources.as_file(resources.files("jaxbq.data") / "mnist-10k") as folder:
            return load_folder(folder, book_scaling=self.book_scaling)


@options
class Mnist:
    """MNIST in full: 60,000 training and 10,000 test images, checked by their sha256.

    Taken from ``path``, else from the folder that the environment variable JAXBQ_DATA names, else
    from the cache, into which it is downloaded when it is not there.

    Args:
        path: folder with the four IDX files, plain or gzip.
        download: fetch what is missing from the public mirrors.
        mirrors: addresses to try, in order, each ending in a slash.
        book_scaling: pixels as x·0.99 + 0.01, the book's input scaling.
    """

    kind: Literal["mnist"] = "mnist"
    path: str | None = None
    download: bool = True
    mirrors: tuple[str, ...] = mnist.MIRRORS
    book_scaling: bool = False

    def load(self) -> Dataset:
        """Find or download the files, verify them and read them."""
        named = self.path or os.environ.get(FOLDER_VARIABLE)
        if named:
            folder = Path(named).expanduser()
        else:
            folder = mnist.cached_folder(self.mirrors if self.download else ())
        return load_folder(folder, book_scaling=self.book_scaling, verify=mnist.verify)


@options
class Idx:
    """Any folder of IDX files in MNIST's format, of any image size and number of classes.

    Args:
        path: folder holding four files whose names contain ``train-images``, ``train-labels``,
            ``t10k-images`` or ``test-images``, ``t10k-labels`` or ``test-labels``.
        class_names: one a class; by default the label numbers.
        first_label: the number that labels begin with, like 1 in EMNIST's letters.
        axes: ``columns`` where images are stored column after column, as EMNIST's are; they are
            turned upright.
        book_scaling: pixels as x·0.99 + 0.01, the book's input scaling.
    """

    kind: Literal["idx"] = "idx"
    path: str
    class_names: tuple[str, ...] = ()
    first_label: Annotated[int, Ge(0)] = 0
    axes: Literal["rows", "columns"] = "rows"
    book_scaling: bool = False

    def load(self) -> Dataset:
        """Read the four files."""
        folder = Path(self.path).expanduser()
        return load_folder(
            folder,
            book_scaling=self.book_scaling,
            class_names=self.class_names or None,
            first_label=self.first_label,
            axes=self.axes,
        )


AnySource = Mnist10k | Mnist | Digits | Idx | Images | Arrays
Source = Annotated[AnySource, BY_KIND, KIND_SHORTHAND]


def source_of(name: str, *, space: ImageSpace | None = None) -> AnySource:
    """Tell from a name or a path which source is meant.

    Args:
        name: mnist-10k, mnist or digits; else an ``.npz`` or ``.csv`` file, a folder of IDX files,
            or a folder with one folder a class.
        space: images of the network that they are for: of what shape flat rows are, whether colour
            is kept, whether pixels are scaled as the book does.

    Raises:
        JaxbqError: it is none of these.
    """
    space = ImageSpace(()) if space is None else space
    ends = (space.low, space.high)
    book = ends == _BOOK_RANGE
    known = {"mnist-10k": Mnist10k, "mnist": Mnist, "digits": Digits}
    if name in known:
        return known[name](book_scaling=book)
    path = Path(name).expanduser()
    if path.suffix.lower() in (".npz", ".csv"):
        # Other shapes than pictures' are left to what the file says.
        shape = space.shape if len(space.shape) in (2, 3) else ()
        return Arrays(path=name, shape=shape, book_scaling=book)
    inside = sorted(path.iterdir()) if path.is_dir() else []
    parts = [part for role in _ROLES.values() for part in role]
    if any(file.is_file() and part in file.name for file in inside for part in parts):
        return Idx(path=name, book_scaling=book)
    if any(folder.is_dir() and folder.name[0] != "." for folder in inside):
        grey = space.shape[2:] != (3,)
        return Images(path=name, grey=grey, book_scaling=book)
    what = "holds neither IDX files nor folders" if path.is_dir() else "no such folder or file"
    if path.is_file():
        what = "not a kind of file that images are read from"
    raise JaxbqError(
        f"{shown(name)}: {what}; name mnist-10k, mnist, digits, an .npz or .csv file, a folder of "
        "IDX files, or a folder with one folder of images a class"
    )


def load_named(
    name: str,
    shape: Sequence[int] | None = None,
    pixel_range: Sequence[float] | None = None,
    space: ImageSpace | None = None,
) -> Dataset:
    """Load a data set by its name, or from the folder or file that it is in.

    Args:
        name: as for :func:`source_of`.
        shape: of one image, where it was said.
        pixel_range: that a network was trained on, where it was said.
        space: images of a network that says both itself.

    Raises:
        JaxbqError: there is no such source, or it cannot be read.
    """
    if space is not None:
        source = source_of(name, space=space)
        pixel_range = space.low, space.high
    else:
        source = source_of(name, space=ImageSpace(tuple(shape or ())))
    if not isinstance(source, Arrays) or pixel_range is None:
        return source.load()
    ends = float(pixel_range[0]), float(pixel_range[1])
    meant = dataclasses.replace(source, pixel_range=ends)
    try:
        data = source.load()
    except JaxbqError:
        # Bytes that end at 16, say: who named the range knows what they mean.
        with contextlib.suppress(JaxbqError):
            return meant.load()
        raise
    # Where a range was read off the least and greatest pixel, the network knows better.
    return data if data.pixel_range in _USUAL_RANGES else meant.load()


def load_folder(
    folder: Path,
    *,
    book_scaling: bool = False,
    class_names: tuple[str, ...] | None = None,
    first_label: int = 0,
    axes: Literal["rows", "columns"] = "rows",
    verify: Callable[[str, Path], None] | None = None,
) -> Dataset:
    """Read a folder of four IDX files.

    Args:
        folder: the folder.
        book_scaling: pixels as x·0.99 + 0.01.
        class_names: one a class; by default the label numbers.
        first_label: as for :class:`Idx`.
        axes: likewise.
        verify: is given the role of a file (``training images`` and so on) and its path, and
            raises if the file is not the one that was published.

    Raises:
        JaxbqError: a file is missing, doubled, malformed, or does not fit the others.
    """
    paths = dict(_find(folder))
    if verify:
        for role, path in paths.items():
            verify(role, path)
    arrays = {role: read_idx(path) for role, path in paths.items()}
    if axes == "columns":
        for role in ("training images", "test images"):
            if arrays[role].ndim == 3:
                arrays[role] = arrays[role].swapaxes(1, 2)
    try:
        return Dataset.from_bytes(
            (arrays["training images"], arrays["training labels"]),
            (arrays["test images"], arrays["test labels"]),
            book_scaling=book_scaling,
            class_names=class_names,
            first_label=first_label,
        )
    except JaxbqError as fault:
        raise JaxbqError(f"{folder}: {fault}") from None


def _find(folder: Path) -> Iterator[tuple[str, Path]]:
    if not folder.is_dir():
        raise JaxbqError(f"{folder}: no such folder; name one that holds IDX files")
    files = sorted(path for path in folder.iterdir() if path.is_file())
    for role, parts in _ROLES.items():
        found = [path for path in files if any(part in path.name for part in parts)]
        plain = [path for path in found if path.suffix != ".gz"]
        # A folder may hold a file both ways, as `gunzip --keep` leaves it.
        found = plain or found
        if not found:
            wanted = " or ".join(f"*{part}*" for part in parts)
            raise JaxbqError(f"{folder}: no file with the {role} ({wanted}, plain or .gz)")
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            raise JaxbqError(f"{folder}: several files with the {role} ({names}); keep one")
        yield role, found[0]
