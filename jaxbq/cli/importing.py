"""The command that takes networks over from other libraries."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import JaxbqError
from .arguments import check_writable
from .opening import add_foreign, fitted, load_named, open_with_images

if TYPE_CHECKING:
    from ..data import Dataset
    from ..weights import NetworkFile


def add_import(commands: Any) -> None:
    """Add ``jaxbq import``."""
    command = commands.add_parser(
        "import",
        help="take over a network from NumPy, PyTorch, Keras, scikit-learn or ONNX",
        description="Read a fully connected network that jaxbq did not train, check what it reads, "
        "and save it as jaxbq's own. Every other command takes such a file directly, too.",
        epilog="example: jaxbq import net.npz --hidden sigmoid --output sigmoid "
        "--pixel-range 0.01 1 --data mnist-10k --save net.safetensors",
    )
    command.add_argument(
        "weights",
        metavar="FILE",
        help=".npz, .npy or a folder of these; .safetensors, .pt; .keras, .weights.h5; .skops; "
        ".onnx",
    )
    add_foreign(command)
    command.add_argument(
        "--data",
        metavar="SOURCE",
        help="images to check it on, as for other commands (default: mnist-10k where it fits)",
    )
    command.add_argument(
        "--precision", choices=("float32", "float64"), default="float64", help="to save it in"
    )
    command.add_argument("--save", metavar="FILE", help="network file to write, .safetensors")
    command.set_defaults(command=_import)


def _import(chosen: argparse.Namespace) -> None:
    import jax

    from ..console import Terminal
    from ..diagnosis import plausibility
    from ..weights import is_native, save_network

    if chosen.save:
        check_writable(Path(chosen.save))
    with jax.enable_x64(chosen.precision == "float64"), Terminal() as terminal:
        network, data, _ = open_with_images(chosen)
        model = network.model
        sizes = "-".join(map(str, model.sizes))
        # A network without hidden layers has no activation of theirs.
        hidden = f"hidden {model.hidden}, " if len(model.sizes) > 2 else ""
        biases = "with" if model.bias else "without"
        low, high = network.space.low, network.space.high
        terminal.say(
            f"{chosen.weights}: {sizes}, {hidden}output {model.output}, {biases} biases, "
            f"pixels in [{low:g}, {high:g}]"
        )
        guessed = [f"{what} sigmoid (--{what})" for what in network.assumed]
        if chosen.pixel_range is None and not is_native(Path(chosen.weights)):
            guessed.append(f"pixels in [{low:g}, {high:g}] (--pixel-range)")
        if guessed:
            terminal.say(f"assumed, since the file does not say: {', '.join(guessed)}")
        data = _default_data(network) if data is None else data
        if data is None:
            terminal.say("accuracy: not checked; name images that it was trained on, with --data")
        else:
            found = plausibility(model, network.params, data)
            terminal.say(f"accuracy: {found.accuracy:.4f} of {chosen.data or 'mnist-10k'}")
            if found.doubtful:
                terminal.say(f"warning: {found.advice}")
        if chosen.save:
            save_network(chosen.save, network)
            terminal.say(f"saved {chosen.save}")


def _default_data(network: "NetworkFile") -> "Dataset | None":
    """Take the embedded digits where they fit."""
    try:
        return fitted(load_named("mnist-10k", network), network)
    except JaxbqError:
        return None
