"""A network that Python code makes, in a config: it runs that code."""

import dataclasses
import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..data import Dataset, rescaled
from ..diagnosis import at_chance, most_frequent
from ..errors import JaxbqError
from ..network.activations import OutputName
from ..network.adapters import Adapted, Returns, as_network
from ..network.files import NetworkFile, load_network, load_parameters
from ..network.mlp import MLP
from ..options import options


@options
class PythonNetwork:
    """A trained network that Python code makes; nothing of it is trained but controls.

    ``network = "python:FILE.py:NAME"`` is short for it. The code is run, so ``jaxbq run`` wants
    ``--run-code``.

    Args:
        python: path of the file, meant from the folder in which the command is given.
        name: what it is called there: a network as :func:`~jaxbq.as_network` takes it.
        output: the activation that turns its logits into outputs; by default what they look like.
        returns: whether its values are ``logits`` or already ``outputs``; likewise.
        input_shape: of one image as it wants it; by default the one that it takes.
        pixel_range: that it was trained on; by default the data's own.
    """

    python: str
    name: str
    output: OutputName | None = None
    returns: Returns | None = None
    input_shape: tuple[int, ...] | None = None
    pixel_range: tuple[float, float] | None = None
    control = "none"

    @property
    def source(self) -> str:
        """Where it comes from."""
        return f"{self.python}:{self.name}"

    def open(self, data: Dataset) -> NetworkFile:
        """Run the code, once for each data, and take the network.

        Raises:
            JaxbqError: the code fails, has no such name, or it is no network for these data.
        """
        seen = self.seen(data)
        wide = jax.config.read("jax_enable_x64")
        return seen.once((self, wide), lambda: self._open(seen))

    def _open(self, data: Dataset) -> NetworkFile:
        path = Path(self.python).expanduser()
        source, made = run_code(path, self.name)
        # What is called to get the network is the user's code too.
        with _users_code(path):
            model, params = as_network(
                made,
                data,
                output=self.output,
                returns=self.returns,
                input_shape=self.input_shape,
                dtype="float64" if jax.config.read("jax_enable_x64") else "float32",
            )
        if isinstance(model, Adapted):
            # Whose a checkpoint is, is told by the text of its network.
            what = f"{model.what} {self.source} ({source[:8]})"
            model = dataclasses.replace(model, what=what)
        return NetworkFile(model, params, data.space, data.class_names)

    def load(self, path: Path, data: Dataset) -> NetworkFile:
        """Read the parameters that a run has kept of this network or a control."""
        network = self.open(data)
        if isinstance(network.model, MLP):
            return load_network(path)
        return dataclasses.replace(network, params=load_parameters(path, network.params))

    def build(self, data: Dataset) -> Any:
        """Take the network, without its parameters."""
        return self.open(data).model

    def seen(self, data: Dataset) -> Dataset:
        """Return the data in the network's pixel range."""
        return rescaled(data, *(self.pixel_range or data.pixel_range))

    def describe(self, data: Dataset) -> str:
        """Say how it was taken and what it reads; warn where another way is likelier."""
        network = self.open(data)
        images, labels = data.test_images[:_READ], data.test_labels[:_READ]
        right = accuracy_of(network, images, labels)
        said = f"accuracy {right:.4f}, taken as {network.model!r}"
        low, high = data.pixel_range
        others = {
            "its images are dark on bright": low + high - images,
            "its images are column after column": _transposed(images, data.space.shape),
        } | {
            f"pixel_range = [{a:g}, {b:g}]": a + (images - low) / (high - low) * (b - a)
            for a, b in _RANGES
        }
        found = {what: accuracy_of(network, seen, labels) for what, seen in others.items()}
        likely, best = max(found.items(), key=lambda item: item[1])
        if best > right + _BETTER:
            said = f"{said}; warning: likelier, for it reads {best:.4f} so: {likely}"
        elif at_chance(right, most_frequent(labels)):
            said = f"{said}; warning: it reads at chance; was it trained on such images?"
        return said


_READ = 1000  # test images
_BETTER = 0.05  # a gain in accuracy that is worth telling
_RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 16.0), (0.0, 255.0))


def accuracy_of(network: NetworkFile, images: Any, labels: Any) -> float:
    """Compute the share of images that a network reads right."""
    dtype = "float64" if jax.config.read("jax_enable_x64") else "float32"
    read = network.model.logits(network.params, np.asarray(images, dtype))
    return float((np.asarray(read).argmax(axis=1) == labels).mean())


def _transposed(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if len(shape) < 2 or shape[0] != shape[1]:
        return images
    return images.reshape(-1, *shape).swapaxes(1, 2).reshape(images.shape)


def run_code(path: Path, name: str) -> tuple[str, Any]:
    """Run a Python file, and return the sha256 of its text and what it calls ``name``.

    Raises:
        JaxbqError: there is no such file, it fails, or there is no such name.
    """
    try:
        source = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as fault:
        raise JaxbqError(f"{path}: cannot be read: {fault.strerror}") from None
    module_name = f"jaxbq_code_{source[:16]}"
    specification = importlib.util.spec_from_file_location(module_name, path)
    if specification is None or specification.loader is None:
        raise JaxbqError(f"{path}: is not a Python file; name one that ends in .py")
    module = importlib.util.module_from_spec(specification)
    # Its classes look their module up.
    sys.modules[module_name] = module
    with _users_code(path):
        specification.loader.exec_module(module)
    if not hasattr(module, name):
        raise JaxbqError(f"{path}: has no {name!r}")
    return source, getattr(module, name)


@contextmanager
def _users_code(path: Path) -> Iterator[None]:
    """Let code import its neighbours, as if it were run itself; make of its faults one line."""
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        yield
    except JaxbqError as fault:
        raise JaxbqError(f"{path}: {fault}") from None
    except (Exception, SystemExit) as fault:
        raise JaxbqError(f"{path}: its code fails: {_in_words(fault, path)}") from fault
    finally:
        sys.path.remove(folder)


def _in_words(fault: BaseException, path: Path) -> str:
    """Say what a fault is, and in which line of the file."""
    line, trace = getattr(fault, "lineno", None), fault.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename).resolve() == path.resolve():
            line = trace.tb_lineno
        trace = trace.tb_next
    what = (str(fault).splitlines() or [""])[0]
    at = f"line {line}: " if line else ""
    return f"{at}{type(fault).__name__}: {what}"
