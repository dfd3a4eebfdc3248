"""A folder of image files, one subfolder a class."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le
from jaxtyping import UInt8

from ..errors import JaxbqError
from ..options import check, options
from .dataset import Dataset
from .labels import Seed, Share, brief, check_names, listed, mixed, natural, shown
from .picture import Ink, read_picture
from .pixels import MOST_BYTES

SUFFIXES = (".png", ".jpg", ".jpeg")
Side = Annotated[int, Ge(1), Le(8192)]
_PARTS = {"train", "test"}
_BLACK = 16  # what is white in images of 0 to 16


@options
class Images:
    """A folder of PNG and JPEG files, one subfolder a class, or that in ``train`` and ``test``.

    Hidden files are left out, and files beside the class folders that are no images. Links must
    not lead out of the folder. All images must have one size.

    Args:
        path: the folder: ``path/CLASS/*.png``; or ``path/train/CLASS/*.png`` and
            ``path/test/CLASS/*.png``, where there are both.
        class_names: names of subfolders, in the order that the network's outputs shall have; by
            default those there are, in natural order ("10" after "9").
        size: (height, width) that every image is resized to, proportions or not; by default none
            is, and all must have the same.
        grey: turn colour into grey; false keeps it, for images of shape (height, width, 3).
        ink: what is drawn with: ``bright`` on dark as in MNIST, or ``dark`` on bright paper, which
            is turned into its negative.
        test_share: share of every class that is tested with; not used with ``train`` and ``test``.
        split_seed: which ones they are, and the order of all, depend on it and on the names alone.
        book_scaling: pixels as x·0.99 + 0.01, the book's input scaling.
    """

    kind: Literal["images"] = "images"
    path: str
    class_names: tuple[str, ...] = ()
    size: tuple[Side, Side] | None = None
    grey: bool = True
    ink: Ink = "bright"
    test_share: Share = 0.2
    split_seed: Seed = 0
    book_scaling: bool = False

    def load(self) -> Dataset:
        """Read all files."""
        return _load(check(self))


def _load(source: Images) -> Dataset:
    folder = Path(source.path).expanduser()
    if not folder.is_dir():
        raise JaxbqError(
            f"{shown(source.path)}: no such folder; name one with a folder for each class"
        )
    parts = _parts(folder)
    names = _names(folder, parts, source.class_names)
    files = [[(name, file) for name in part for file in part[name]] for part in parts]
    if len(files) > 1:
        # Mixed, as a split is: nobody is to meet one class after another.
        files = [[part[n] for n in mixed(len(part), source.split_seed)] for part in files]
    images = _read([file for part in files for _, file in part], source)
    most = int(images.max())
    if most <= _BLACK:
        other = "dark" if source.ink == "bright" else "bright"
        raise JaxbqError(
            f'{shown(source.path)}: every image is black as ink = "{source.ink}" reads it'
            + (f'; ink = "{other}"?' if not most else f": no pixel is above {most} of 255; ")
            + "save them again with white as 255 (65535 in files of 16 bits)" * (most > 0)
        )
    labels = np.array([name for part in files for name, _ in part])
    end = len(files[0])
    given = [images[:end], labels[:end]]
    if len(files) > 1:
        given += [images[end:], labels[end:]]
    try:
        return Dataset.from_arrays(
            *given,
            class_names=names,
            test_share=source.test_share,
            split_seed=source.split_seed,
            book_scaling=source.book_scaling,
        )
    except JaxbqError as fault:
        raise JaxbqError(f"{shown(source.path)}: {fault}") from None


def _parts(folder: Path) -> list[dict[str, list[Path]]]:
    """Find the files of every class: of training and test, or of one part that is to be split."""
    root = folder.resolve()
    folders = {path.name: path for path in _folders(folder, root)}
    called = {name: re.sub("ing$", "", name.lower()) for name in folders}
    if sorted(part for part in called.values() if part in _PARTS) == sorted(_PARTS):
        # Also Train, training and testing.
        folders = {
            called[name] if called[name] in _PARTS else name: path for name, path in folders.items()
        }
    if not folders:
        raise JaxbqError(f"{shown(folder)}: has no folders; it needs one for each class")
    if not folders.keys() >= _PARTS:
        return [_classes(folders, root)]
    if others := sorted(folders.keys() - _PARTS, key=natural):
        raise JaxbqError(
            f"{shown(folder)}: beside train and test there is {listed(others)}; remove it"
        )
    train, test = (
        _classes({path.name: path for path in _folders(folders[part], root)}, root)
        for part in ("train", "test")
    )
    for part, found in (("train", train), ("test", test)):
        if not found:
            raise JaxbqError(f"{shown(folders[part])}: has no folders; it needs one for each class")
    if strange := sorted(test.keys() - train.keys(), key=natural):
        raise JaxbqError(
            f"{shown(folder)}: class '{brief(strange[0])}' is in test, but not in train"
        )
    return [train, test]


def _names(
    folder: Path, parts: list[dict[str, list[Path]]], wanted: tuple[str, ...]
) -> tuple[str, ...]:
    try:
        found = check_names(list(parts[0]))
        names = check_names(wanted) or found
    except JaxbqError as fault:
        raise JaxbqError(f"{shown(folder)}: {fault}") from None
    strange = [name for name in found if name not in names]
    if strange:
        raise JaxbqError(
            f"{shown(folder)}: folder {strange[0]!r} is none of the classes {listed(names)}; "
            "rename it, or add it to class_names"
        )
    return names


def _classes(folders: dict[str, Path], root: Path) -> dict[str, list[Path]]:
    return {name: _files(folders[name], root) for name in sorted(folders, key=natural)}


def _files(folder: Path, root: Path) -> list[Path]:
    """List the image files of one class, whatever order the file system has them in."""
    files = []
    for path in _visible(folder, root):
        if path.is_dir():
            raise JaxbqError(
                f"{shown(path)}: a folder within a class; put images into the class itself, or "
                "call parts of the data train and test"
            )
        if path.suffix.lower() not in SUFFIXES or not path.is_file():
            raise JaxbqError(f"{shown(path)}: not a PNG or JPEG file; convert it or remove it")
        files.append(path)
    if not files:
        raise JaxbqError(f"{shown(folder)}: has no images; add some, or delete the folder")
    return files


def _folders(folder: Path, root: Path) -> Iterator[Path]:
    """Find the folders in a folder; images beside them belong to no class."""
    for path in _visible(folder, root):
        if path.is_dir():
            yield path
        elif path.suffix.lower() in SUFFIXES:
            raise JaxbqError(f"{shown(path)}: an image beside the class folders; put it into one")


def _visible(folder: Path, root: Path) -> Iterator[Path]:
    """List a folder without what is hidden, in natural order; links may lead to within the root."""
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry.name for entry in entries if entry.name[0] != "."), key=natural)
    except OSError as fault:
        raise JaxbqError(f"{shown(folder)}: cannot be read ({fault.strerror})") from None
    for name in found:
        path = folder / name
        if path.is_symlink() and not _within(path, root):
            raise JaxbqError(
                f"{shown(path)}: a link that leads out of the data set; copy the file instead"
            )
        yield path


def _within(link: Path, root: Path) -> bool:
    try:
        return link.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # a loop
        return False


def _read(files: list[Path], source: Images) -> UInt8[np.ndarray, "n height width *channels"]:
    images: np.ndarray | None = None
    for number, file in enumerate(files):
        image = read_picture(file, grey=source.grey, ink=source.ink, size=source.size)
        if images is None:
            needed = 4 * len(files) * image.size
            if needed > MOST_BYTES:
                raise JaxbqError(
                    f"{shown(source.path)}: {len(files):,} images of shape {image.shape} take "
                    f"{needed:,} bytes, more than jaxbq reads ({MOST_BYTES:,}); "
                    "give a smaller size = [height, width]"
                )
            images = np.empty((len(files), *image.shape), np.uint8)
        if image.shape != images.shape[1:]:
            raise JaxbqError(
                f"{shown(file)}: is of shape {image.shape}, {shown(files[0])} of "
                f"{images.shape[1:]}; size = [height, width] resizes all"
            )
        images[number] = image
    assert images is not None  # a class without images was refused
    return images
