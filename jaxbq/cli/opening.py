"""Opening a network file and images that go with it, as the arguments say."""

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import JaxbqError

if TYPE_CHECKING:
    from ..data import Dataset, Reference
    from ..weights import NetworkFile


def add_foreign(command: argparse.ArgumentParser) -> None:
    """Take what a file that jaxbq did not save leaves unsaid."""
    foreign = command.add_argument_group(
        "for a file that jaxbq did not save (NumPy, PyTorch, Keras, scikit-learn, ONNX)"
    )
    foreign.add_argument(
        "--hidden",
        metavar="NAME",
        help="activation of the hidden layers, where the file does not say: sigmoid (default), "
        "tanh, relu, leaky_relu, softplus, identity",
    )
    foreign.add_argument(
        "--output", metavar="NAME", help="activation of the outputs; these, or softmax"
    )
    foreign.add_argument(
        "--orientation",
        choices=("in_out", "out_in"),
        help="whether rows of the weights are inputs or outputs; found from the shapes if they say",
    )
    foreign.add_argument(
        "--pixel-range",
        metavar=("LOW", "HIGH"),
        nargs=2,
        type=float,
        help="that the network was trained on, like -1 1 or 0.01 1 (default: 0 1)",
    )
    foreign.add_argument(
        "--shape", metavar="N", nargs="+", type=int, help="of one image, like 28 28"
    )


def open_with_images(
    chosen: argparse.Namespace,
) -> tuple["NetworkFile", "Dataset | None", "Dataset | Reference"]:
    """Read the network and the data set that was named, if any, each as the other needs it.

    Returns:
        The network, the data in its pixel range or None, and what methods may know.
    """
    from ..data import Reference
    from ..precision import type_of
    from ..weights import is_native, load_network, open_network

    said: dict[str, Any] = {
        "hidden": chosen.hidden,
        "output": chosen.output,
        "orientation": chosen.orientation,
        "pixel_range": chosen.pixel_range,
        "image_shape": chosen.shape,
    }
    own = is_native(Path(chosen.weights))
    data = None
    if chosen.data is not None:
        # A network of jaxbq's own says what its images are; of others the images say it.
        data = load_named(chosen.data, load_network(chosen.weights) if own else None)
    if data is not None and not own:
        said["image_shape"] = chosen.shape or data.space.shape
        said["pixel_range"] = chosen.pixel_range or data.pixel_range
        said["class_names"] = data.class_names
    network = open_network(chosen.weights, type_of(chosen.precision), **said)
    if data is None:
        return network, None, Reference(network.space)
    data = fitted(data, network)
    return network, data, data


def load_named(name: str, network: "NetworkFile | None" = None) -> "Dataset":
    """Load a data set by its name, or from the folder or file that it is in."""
    from ..data import USUAL_RANGES, Arrays, source_of

    if network is None:
        return source_of(name).load()
    source = source_of(name, class_names=network.class_names, space=network.space)
    data = source.load()
    ends = network.space.low, network.space.high
    if isinstance(source, Arrays) and data.pixel_range not in USUAL_RANGES:
        # Its range was read off the least and greatest pixel: the network knows better.
        data = dataclasses.replace(source, pixel_range=ends).load()
    return data


def fitted(data: "Dataset", network: "NetworkFile") -> "Dataset":
    """Bring data into the pixel range of a network, with its names of the classes.

    Raises:
        JaxbqError: the network does not take these images, or answer these classes.
    """
    from ..data import rescaled
    from ..training import check_ends

    check_ends(network.model, data)
    if network.space.shape != data.space.shape:
        raise JaxbqError(
            f"the network's images have shape {network.space.shape}, "
            f"those of the data {data.space.shape}"
        )
    data = rescaled(data, network.space.low, network.space.high)
    return dataclasses.replace(data, class_names=network.class_names)
