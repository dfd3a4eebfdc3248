"""Arguments that commands share, and what they mean."""

import argparse
import contextlib
import difflib
import gc
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from ..errors import JaxbqError

if TYPE_CHECKING:
    import numpy as np

    from ..data import Dataset, Reference
    from ..diagnosis import Plausibility
    from ..network.files import NetworkFile
    from ..network.mlp import MLP

MISTAKE = 2
MOST_DEVICES = 1024
_GPUS = ("jax_cuda_visible_devices", "jax_rocm_visible_devices")
# Names of --method, written out: to ask the methods themselves would load JAX for --help.
METHODS = (
    *("transpose", "pseudo_inverse", "preimage", "ascent", "decoder", "exemplars", "exemplar_mean"),
    *("class_mean", "linear_discriminant", "logistic", "grey", "noise", "projected"),
)
PRESETS = (
    *("whitened", "erhan2009", "simonyan2014", "yosinski2015", "nguyen2016", "lucid2017"),
    "maco2023",
)
ALIASES = {"backquery": "transpose", "pinv": "pseudo_inverse", "autoencoder": "nguyen2016"}
_METHOD_NAMES = (
    f"methods: {', '.join(METHODS)}; presets of ascent: {', '.join(PRESETS)}; "
    f"aliases: {', '.join(f'{short} ({name})' for short, name in ALIASES.items())}"
)
_MOST_NUMBERS = 2**26  # bytes of a file with one number an input


def complain(message: str) -> None:
    """Write one line to standard error; in a terminal it is broken between words."""
    if sys.stderr.isatty():
        message = "\n".join(break_text(message, shutil.get_terminal_size().columns))
    print(message, file=sys.stderr)


def break_text(text: str, width: int, indent: str = "") -> list[str]:
    """Break text into lines between words; one that is longer than a line stays whole."""
    return textwrap.wrap(
        text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


@contextlib.contextmanager
def announced() -> Iterator[None]:
    """Say in a terminal that JAX is being loaded, and leave no trace of that afterwards.

    JAX takes seconds to load; this needs nothing but Python.
    """
    _write_at_once("loading JAX …\r")
    try:
        yield
    finally:
        erase_announcement()


def erase_announcement() -> None:
    """Take the line away: there is something to show."""
    _write_at_once("\r\x1b[2K")


def _write_at_once(text: str) -> None:
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        sys.stdout.write(text)
        sys.stdout.flush()


class _Help(argparse.HelpFormatter):
    """Help whose lines end between words; argparse's own breaks names at their hyphens."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return break_text(" ".join(text.split()), width)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(indent + line for line in self._split_lines(text, width - len(indent)))


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line."""
        complain(f"{self.prog}: error: {message} (see {self.prog} --help)")
        self.exit(MISTAKE)

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=_Help, **options)
        # A vector such as -0.9,0.1 is a value, no option.
        self._negative_number_matcher = re.compile(r"^-\d|^-\.\d")


def add_network(command: argparse.ArgumentParser) -> None:
    """Take a network, what to ask of it, and images."""
    command.add_argument(
        "weights",
        metavar="WEIGHTS",
        help="network file: saved by jaxbq, or any that `jaxbq import` reads",
    )
    add_foreign(command)
    command.add_argument(
        "--target", metavar="CLASS", action="append", default=[], help="class to ask for, by name"
    )
    command.add_argument(
        "--target-vector",
        metavar="NUMBERS",
        action="append",
        default=[],
        help='outputs to ask for, like "0.99,0.01,…"',
    )
    command.add_argument(
        "--data",
        metavar="SOURCE",
        help="data set for methods and scores that need images: mnist-10k, mnist, digits, an .npz "
        "or .csv file, a folder of IDX files, or a folder with one folder of images for each class",
    )
    command.add_argument(
        "--seed", type=int, default=0, help="seed of all random numbers (default: 0)"
    )
    add_precision(command, "float32")
    add_hardware(command)


def add_method(command: argparse.ArgumentParser, *, required: bool) -> None:
    """Take a method and its options."""
    command.add_argument(
        "--method",
        metavar="KIND",
        required=required,
        default="transpose",
        help=_METHOD_NAMES + ("" if required else " (default: transpose)"),
    )
    command.add_argument(
        "--set",
        metavar="OPTION=VALUE",
        action="append",
        default=[],
        help="option of the method, as in a config: steps=1000, pixel_policy=clip, "
        "regularisers.0.weight=2.0",
    )


def read_method(kind: str, changes: Sequence[str]) -> Any:
    """Read the method that was chosen."""
    from ..experiment.reading import apply_change, expand_table
    from ..methods import AnyMethod
    from ..options import validate

    kind = ALIASES.get(kind, kind)
    if kind not in METHODS + PRESETS:
        near = difflib.get_close_matches(kind, (*METHODS, *PRESETS, *ALIASES), n=1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise JaxbqError(f"--method {kind}: no such method{meant} ({_METHOD_NAMES})")
    # A preset becomes its whole table first, so that a change reaches every depth of it.
    table = expand_table({"kind": kind}, "--method")
    for change in changes:
        apply_change(table, change)
    return validate(AnyMethod, table, "--method")


def read_targets(chosen: argparse.Namespace, network: "NetworkFile") -> "np.ndarray":
    """Read what is asked of the network; by default every class."""
    import numpy as np

    from ..network.targets import Codes

    names, outputs = network.class_names, network.model.sizes[-1]
    classes = [find_class(name, names) for name in chosen.target]
    vectors = [_vector(text, network.model) for text in chosen.target_vector]
    if classes or not vectors:
        codes = Codes(classes=tuple(classes)).targets(outputs, network.model.output)
        vectors = [*codes, *vectors]
    return np.array(vectors)


def find_class(name: str, names: Sequence[str], option: str = "--target") -> int:
    """Return the index of a class."""
    if name not in names:
        shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
        raise JaxbqError(f"{option} {name}: no such class; the network has {shown}")
    return list(names).index(name)


def _vector(text: str, model: "MLP") -> list[float]:
    outputs = model.sizes[-1]
    try:
        vector = [float(part) for part in text.split(",")]
    except ValueError:
        raise JaxbqError(f"--target-vector {text}: write numbers separated by commas") from None
    if len(vector) == 1 and outputs == 2 and model.output == "softmax":
        # Of two classes that exclude each other, one number says both.
        vector = [1 - vector[0], vector[0]]
    if len(vector) != outputs:
        raise JaxbqError(
            f"--target-vector has {len(vector)} values, but the network has {outputs} outputs"
        )
    return vector


def read_seed(value: int) -> int:
    """Check the seed."""
    if not 0 <= value < 2**32:
        raise JaxbqError(f"--seed {value}: use a whole number from 0 to {2**32 - 1}")
    return value


def check_outputs(file: str | None, figure: str | None) -> None:
    """Refuse output files that cannot be written, before any work is done for them."""
    if file:
        check_writable(Path(file))
    if figure:
        from ..report.style import check_format

        check_writable(Path(figure))
        check_format(Path(figure))


def check_writable(path: Path) -> None:
    """Refuse a place that cannot be written before any work is done for it."""
    if path.is_dir():
        raise JaxbqError(f"{path}: is a folder; give the name of a file")
    if os.path.lexists(path) and not path.is_file():
        raise JaxbqError(f"{path}: is a pipe, a device or a broken link; choose another place")
    if not path.parent.is_dir():
        raise JaxbqError(f"{path}: the folder {path.parent} does not exist; create it first")
    if not os.access(path.parent, os.W_OK):
        raise JaxbqError(f"{path}: cannot be written; choose another place")


def show_number(value: Any) -> str:
    """Write a number; nothing for one that is not known."""
    return "" if value is None or value != value else f"{value:.3f}"  # noqa: PLR0124


def show_short(value: float | None) -> str:
    """Write a number of any size in three digits."""
    return "" if value is None else f"{value:.3g}"


@contextlib.contextmanager
def unswept(heavy: str) -> Iterator[None]:
    """Import meanwhile, ``heavy`` among others, without a look for garbage.

    Modules are none; Python would look through all that is imported again and again, which takes a
    seventh of the time. Afterwards it leaves them alone for good.
    """
    if heavy in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def add_foreign(command: argparse.ArgumentParser) -> None:
    """Take what a file that jaxbq did not save leaves unsaid."""
    foreign = command.add_argument_group(
        "how to read a file that jaxbq did not save (NumPy, PyTorch, Keras, scikit-learn, ONNX)"
    )
    foreign.add_argument(
        "--hidden",
        metavar="NAME",
        help="activation of the hidden layers, if the file does not say; one for all, or one for "
        "each, separated by commas: sigmoid (default), tanh, relu, leaky_relu, leaky_relu(0.2), "
        "elu, gelu, gelu_tanh, silu, softplus, identity",
    )
    foreign.add_argument(
        "--output",
        metavar="NAME",
        help="activation of the outputs: one of these, or softmax; a network of logits can be read "
        "as any of them",
    )
    foreign.add_argument(
        "--orientation",
        choices=("in_out", "out_in"),
        help="whether the rows of the weights are inputs or outputs; by default found from the "
        "shapes",
    )
    foreign.add_argument(
        "--turned",
        metavar="LAYER",
        nargs="+",
        type=int,
        help="layers, counted from 1, whose square weights have the opposite orientation to the "
        "others",
    )
    foreign.add_argument(
        "--pixel-range",
        metavar=("LOW", "HIGH"),
        nargs=2,
        type=float,
        help="pixel range in training, like -1 1 or 0.01 1 (default: the range of the data, else 0 "
        "1)",
    )
    foreign.add_argument(
        "--shape", metavar="N", nargs="+", type=int, help="shape of one image, like 28 28"
    )
    for name, usual, other, meaning in (
        ("ink", "bright", "dark", "the network was trained on dark strokes on bright paper"),
        ("axes", "rows", "columns", "its inputs are an image, column after column"),
        ("channels", "last", "first", "its inputs are one colour after another, as PyTorch's are"),
    ):
        foreign.add_argument(
            f"--{name}", choices=(usual, other), help=f"{other}: {meaning} (default: {usual})"
        )
    for name, what in (
        ("scale", "factor of every pixel before the first layer"),
        ("offset", "number added to every pixel after the scale"),
    ):
        foreign.add_argument(
            f"--input-{name}",
            metavar="NUMBER|FILE",
            help=f"{what}: a number, or an .npy file with one number for each input",
        )
    foreign.add_argument(
        "--class-names",
        metavar="NAMES",
        help="names of the outputs, in their order, separated by commas",
    )
    foreign.add_argument(
        "--fix",
        action="store_true",
        help="apply the likeliest options, as found by the check against the images",
    )


_FOREIGN = (
    *("hidden", "output", "orientation", "turned", "pixel_range", "shape", "ink", "axes"),
    *("channels", "input_scale", "input_offset", "class_names"),
)


def said_of_file(chosen: argparse.Namespace) -> list[str]:
    """Repeat what the user said of a file that does not say it itself, as arguments."""
    words: list[str] = []
    for name in _FOREIGN:
        value = getattr(chosen, name)
        if value is not None:
            parts = value if isinstance(value, list) else [value]
            words += [f"--{name.replace('_', '-')}", *map(str, parts)]
    return words


def repeated(
    chosen: argparse.Namespace, class_names: Sequence[str] = (), only: int | None = None
) -> list[str]:
    """Repeat what :func:`add_network` took, as arguments.

    Args:
        chosen: the arguments.
        class_names: of the network, for ``only``.
        only: number of the one target to ask for, of all that were; None for all.
    """
    words = [chosen.weights, *said_of_file(chosen), *(["--fix"] if chosen.fix else [])]
    classes = chosen.target or ([] if chosen.target_vector else [*class_names])
    if only is None:
        targets = [("target", name) for name in chosen.target]
        targets += [("target-vector", text) for text in chosen.target_vector]
    elif only < len(classes):
        targets = [("target", classes[only])]
    else:
        targets = [("target-vector", chosen.target_vector[only - len(classes)])]
    others = ("data", "seed", "precision", "devices", "platform")
    usual = {"seed": 0, "precision": "float32"}
    targets += [
        (name, str(value))
        for name in others
        if (value := getattr(chosen, name)) is not None and value != usual.get(name)
    ]
    for name, value in targets:
        # A name that begins like an option is one only so.
        words += [f"--{name}={value}"] if value.startswith("-") else [f"--{name}", value]
    return words


def read_foreign_options(chosen: argparse.Namespace) -> dict[str, Any]:
    """Read what was said about a network file; None for what was not."""
    from ..network.inputs import Inputs

    hidden = chosen.hidden.split(",") if chosen.hidden else None
    inputs: dict[str, Any] = {name: getattr(chosen, name) for name in ("ink", "axes", "channels")}
    for name in ("scale", "offset"):
        if given := getattr(chosen, f"input_{name}"):
            numbers = read_numbers(f"--input-{name}", given)
            inputs[name] = numbers[0] if len(numbers) == 1 else tuple(numbers)
    inputs = {name: value for name, value in inputs.items() if value is not None}
    return {
        "hidden": hidden[0] if hidden and len(hidden) == 1 else hidden,
        "output": chosen.output,
        "orientation": chosen.orientation,
        "turned": chosen.turned,
        "pixel_range": chosen.pixel_range,
        "image_shape": chosen.shape,
        "class_names": chosen.class_names and [n.strip() for n in chosen.class_names.split(",")],
        "inputs": Inputs(**inputs) if inputs else None,
    }


def read_numbers(option: str, given: str) -> list[float]:
    """Read numbers separated by commas, or those of an ``.npy`` file."""
    if given.endswith(".npy"):
        from ..runtime.archives import read_npy

        values = read_npy(Path(given), _MOST_NUMBERS)
        if values.dtype.kind not in "biuf":
            raise JaxbqError(f"{option} {given}: holds values of type {values.dtype}, no numbers")
        return [float(value) for value in values.reshape(-1)]
    try:
        return [float(part) for part in given.split(",")]
    except ValueError:
        raise JaxbqError(
            f"{option} {given}: write numbers with commas, or name an .npy file"
        ) from None


_MOST_FIXES = 3  # of --fix, one after another


class Opened(NamedTuple):
    """A network, and images for it.

    Args:
        network: with its names of the classes.
        data: in its pixel range and its order of classes: those named, or the default ones.
        reference: what methods may know: images only where they were named.
        found: what the network reads in the data; None without any.
    """

    network: "NetworkFile"
    data: "Dataset | None"
    reference: "Dataset | Reference"
    found: "Plausibility | None"


def open_with_images(
    chosen: argparse.Namespace, say: Callable[[str], None], default: str | None = None
) -> Opened:
    """Read the network and the data set that was named, if any, each as the other needs it.

    What was assumed of a foreign network is said, and checked where there are images.

    Args:
        chosen: the arguments of :func:`add_network`, or of ``jaxbq import``.
        say: is given every line.
        default: data to check the network on where none is named, if they fit it.
    """
    from ..data import Reference, load_named
    from ..diagnosis import ClassesDisagreeError, open_mended
    from ..network.files import is_native, open_network
    from ..runtime.devices import type_of

    said, own = read_foreign_options(chosen), is_native(Path(chosen.weights))
    dtype, name = type_of(chosen.precision), chosen.data or default
    network = found = seen = None
    if chosen.data is None or own:
        network = open_network(chosen.weights, dtype, **said)
    if name is not None:
        try:
            space = network.space if network else None
            data = load_named(name, chosen.shape, chosen.pixel_range, space)
            most = _MOST_FIXES if chosen.fix else 0
            network, seen, found, fixes = open_mended(chosen.weights, data, dtype, said, most)
            for changes in fixes:
                say(f"fixed: {show_flags(changes)}")
        except JaxbqError as fault:
            if chosen.data is not None:
                raise
            if isinstance(fault, ClassesDisagreeError):
                say(f"not checked on {name}: {fault}")
    assert network is not None
    if not own:
        _say_assumed(chosen, network, say)
    if found is not None and found.doubtful:
        say(
            f"warning: {found.advice(show_flags)}"
            + (" (--fix applies the first)" if found.causes else "")
        )
    reference = Reference(network.space) if chosen.data is None or seen is None else seen
    return Opened(network, seen, reference, found)


def show_flags(changes: Mapping[str, Any]) -> str:
    """Write changes to what was said of a network as the options to give."""

    def written(value: Any) -> str:
        if isinstance(value, tuple) and all(isinstance(part, str) for part in value):
            return ",".join(value)
        parts = value if isinstance(value, tuple) else (value,)
        return " ".join(part if isinstance(part, str) else f"{part:g}" for part in parts)

    return " ".join(f"--{name.replace('_', '-')} {written(v)}" for name, v in changes.items())


def _say_assumed(
    chosen: argparse.Namespace, network: "NetworkFile", say: Callable[[str], None]
) -> None:
    low, high = network.space.low, network.space.high
    guessed = [f"{what} sigmoid (--{what})" for what in ("hidden", "output")]
    guessed = [text for text in guessed if text.partition(" ")[0] in network.assumed]
    if chosen.pixel_range is None:
        guessed.append(f"pixels in [{low:g}, {high:g}] (--pixel-range)")
    if guessed:
        say(f"assumed, since the file does not say: {', '.join(guessed)}")
    for note in network.notes:
        say(f"note: {note}")


def add_hardware(command: argparse.ArgumentParser) -> None:
    """Take what the work is done on."""
    group = command.add_argument_group("hardware")
    group.add_argument(
        "--devices",
        metavar="N",
        type=int,
        help="share images and batches among the first N GPUs (default: all); a CPU is one device",
    )
    group.add_argument("--platform", choices=("cpu", "gpu"), help="default: a GPU if JAX finds one")


def add_precision(command: argparse.ArgumentParser, default: str | None) -> None:
    """Take the precision; None as ``default`` leaves it to the config."""
    command.add_argument(
        "--precision",
        choices=("float32", "float64", "tf32"),
        default=default,
        help="precision of the computation; tf32: float32, but a GPU may round the matrix products "
        "of an ascent (on a CPU tf32 is float32)"
        + ("" if default else "; replaces the config's, so the run folder is a new one"),
    )


def use_hardware(chosen: argparse.Namespace) -> None:
    """Set up what was chosen, before anything is computed.

    Raises:
        JaxbqError: there is no such device.
    """
    if chosen.devices is not None and not 1 <= chosen.devices <= MOST_DEVICES:
        raise JaxbqError(f"--devices {chosen.devices}: use a whole number from 1 to {MOST_DEVICES}")
    if chosen.devices is None and chosen.platform is None:
        return
    import jax

    settings: dict[str, Any] = {}
    if chosen.platform is not None:
        # None: JAX looks for a GPU first, and keeps the CPU too, which fetches exemplars.
        settings["jax_platforms"] = "cpu" if chosen.platform == "cpu" else None
    if chosen.devices is not None:
        settings |= dict.fromkeys(_GPUS, ",".join(map(str, range(chosen.devices))))
    for name, value in settings.items():
        try:
            jax.config.update(name, value)
        except RuntimeError:
            continue  # JAX knows its devices already; whether they do, is seen next
    _check_found(chosen)


def _check_found(chosen: argparse.Namespace) -> None:
    import jax

    try:
        found = jax.local_devices()
        kind = jax.default_backend()
    except RuntimeError as fault:
        reason = str(fault).splitlines()[0]
        raise JaxbqError(
            f"JAX cannot start its devices ({reason}); leave --devices out, or use --platform cpu"
        ) from None
    if chosen.platform == "gpu" and kind != "gpu":
        raise JaxbqError(
            "--platform gpu: JAX finds no GPU; install its driver and pip install 'jaxbq[cuda]', "
            "or use --platform cpu"
        )
    if chosen.platform == "cpu" and kind != "cpu":
        raise JaxbqError(
            "--platform cpu: JAX already runs on another platform; set JAX_PLATFORMS=cpu"
        )
    if chosen.devices is not None and len(found) < chosen.devices:
        raise JaxbqError(
            f"--devices {chosen.devices}: JAX finds {len(found)} of "
            f"platform {kind}; use at most that many"
        )
