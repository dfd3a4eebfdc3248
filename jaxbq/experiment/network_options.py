"""What a network of an experiment is: one to train, or one in a file."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
from annotated_types import Gt
from pydantic import Discriminator, Tag

from ..data import Dataset, rescaled
from ..network.activations import HiddenName, OutputName
from ..network.files import NetworkFile, Orientation, agreed_names, is_native, open_network
from ..network.mlp import MLP
from ..options import options, shorthand
from ..training import check_ends

Control = Literal["random_weights", "permuted_labels"]
"""A network that has learnt nothing: never trained, or trained with labels in random order."""


@options
class NetworkConfig:
    """A fully connected network between the ends that the data gives.

    Args:
        hidden: units of every hidden layer, first to last; empty for none.
        activation: of the hidden layers.
        output: activation of the output layer.
        bias: whether layers have biases.
        control: a network that has learnt nothing, to compare with: ``random_weights``, never
            trained, or ``permuted_labels``, trained with the training labels in random order.
    """

    hidden: tuple[Annotated[int, Gt(0)], ...] = (200,)
    activation: HiddenName = "sigmoid"
    output: OutputName = "sigmoid"
    bias: bool = True
    control: Literal["none"] | Control = "none"

    def build(self, data: Dataset) -> MLP:
        """Make the specification of a network for this data."""
        sizes = (data.space.pixels, *self.hidden, data.classes)
        return MLP(sizes, self.activation, self.output, self.bias)

    def seen(self, data: Dataset) -> Dataset:
        """Return the data as the network sees them: as they are."""
        return data


@options
class FileNetwork:
    """A trained network in a file, jaxbq's own or another library's; nothing is trained.

    ``network = "file:net.npz"`` is short for it.

    Args:
        file: path, meant from the folder in which the command is given; the formats are those of
            :func:`~jaxbq.import_network`.
        activation: of the hidden layers, where the file does not say; by default sigmoid.
        output: of the outputs, likewise.
        orientation: of plain weights, ``in_out`` or ``out_in``; by default found from the shapes.
        pixel_range: that it was trained on; by default the file's, else the data's own.
    """

    file: str
    activation: HiddenName | None = None
    output: OutputName | None = None
    orientation: Orientation | None = None
    pixel_range: tuple[float, float] | None = None

    @property
    def control(self) -> str:
        """None: what the file holds."""
        return "none"

    def open(self, data: Dataset) -> NetworkFile:
        """Read the network, for each data once: all that is done is done with one version of it.

        Raises:
            JaxbqError: the file cannot be read, or does not fit the data.
        """
        wide = jax.config.read("jax_enable_x64")
        return data.once((self, wide), lambda: self._open(data))

    def _open(self, data: Dataset) -> NetworkFile:
        path = Path(self.file).expanduser()
        said: dict[str, Any] = {
            "hidden": self.activation,
            "output": self.output,
            "orientation": self.orientation,
            "pixel_range": self.pixel_range,
        }
        if not is_native(path):
            said |= {"image_shape": data.space.shape, "class_names": data.class_names}
            said["pixel_range"] = self.pixel_range or data.pixel_range
        network = open_network(path, **said)
        check_ends(network.model, data)
        names = agreed_names(network.class_names, data.class_names, self.file)
        return dataclasses.replace(network, class_names=names)

    def build(self, data: Dataset) -> MLP:
        """Read the specification of the network."""
        return self.open(data).model

    def seen(self, data: Dataset) -> Dataset:
        """Return the data in the pixel range that the network was trained on."""
        space = self.open(data).space
        return rescaled(data, space.low, space.high)


def _network_kind(given: Any) -> str:
    """Tell which a table or an object means: one with ``file`` is a file."""
    if isinstance(given, dict):
        return "file" if "file" in given else "trained"
    return "file" if isinstance(given, FileNetwork) else "trained"


def _expand_file(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    kind, colon, path = given.partition(":")
    if kind != "file" or not colon or not path:
        raise ValueError('a network is a table, or "file:PATH"')
    return {"file": path}


AnyNetwork = Annotated[
    Annotated[NetworkConfig, Tag("trained")] | Annotated[FileNetwork, Tag("file")],
    Discriminator(_network_kind),
    shorthand(_expand_file),
]
