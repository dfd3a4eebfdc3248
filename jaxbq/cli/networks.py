"""Commands about a saved network: import, invert, sweep, play."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import JaxbqError
from .arguments import (
    add_foreign,
    add_method,
    add_network,
    check_outputs,
    check_writable,
    open_with_images,
    read_method,
    read_seed,
    read_targets,
    said_of_file,
    show_number,
    use_hardware,
)

if TYPE_CHECKING:
    from ..data import Dataset
    from ..evaluation import Scores
    from ..methods import Result
    from ..network.files import NetworkFile
    from .console import Terminal

_MOST_VALUES = 10_000


def add_invert(commands: Any) -> None:
    """Add ``jaxbq invert``."""
    invert = commands.add_parser(
        "invert",
        help="back-query a saved network with one method",
        description="Back-query a saved network with one method; by default for every class.",
        epilog="example: jaxbq invert digits.safetensors --method whitened --data mnist-10k "
        "--figure digits.png --path digits.gif",
    )
    add_network(invert)
    add_method(invert, required=True)
    invert.add_argument(
        "--out", metavar="FILE", help="npz file to write: images, targets, outputs, reasons"
    )
    invert.add_argument("--figure", metavar="FILE", help="figure to write, .png or .pdf")
    invert.add_argument(
        "--path",
        metavar="FILE",
        help="images of an ascent at several steps: a strip (.png, .pdf) or an animation (.gif, "
        ".webp)",
    )
    invert.set_defaults(command=_invert)


def add_sweep(commands: Any) -> None:
    """Add ``jaxbq sweep``."""
    sweep = commands.add_parser(
        "sweep",
        help="back-query with many values of one option, as a curve",
        description="Back-query a saved network with many values of one option of a method, and "
        "show fidelity against distance to the data.",
        epilog="example: jaxbq sweep digits.safetensors --method whitened --data mnist-10k "
        "--over regularisers.0.weight=0.01:1000:20 --figure curve.png",
    )
    add_network(sweep)
    add_method(sweep, required=True)
    sweep.add_argument(
        "--over",
        metavar="OPTION=VALUES",
        required=True,
        help="values of one option: LOW:HIGH:NUMBER in equal ratios, or separated by commas",
    )
    sweep.add_argument("--out", metavar="FILE", help="csv file to write, one row for each value")
    sweep.add_argument("--figure", metavar="FILE", help="figure to write, .png or .pdf")
    sweep.set_defaults(command=_sweep)


def _invert(chosen: argparse.Namespace) -> None:
    import jax

    from ..diagnosis import Way
    from ..evaluation import score
    from ..experiment.folder import write_npz
    from ..methods import Reason, invert
    from ..runtime.devices import computing
    from .console import Terminal

    use_hardware(chosen)
    method = read_method(chosen.method, chosen.set)
    check_outputs(chosen.out, chosen.figure)
    if chosen.path:
        method = _keep_path(method, chosen.path)
    with computing(chosen.precision), Terminal() as terminal:
        network, data, reference, _ = open_with_images(chosen, terminal.say)
        targets = read_targets(chosen, network)
        result = invert(
            method,
            network.model,
            network.params,
            targets,
            reference=reference,
            key=jax.random.key(read_seed(chosen.seed)),
            progress=lambda done, total: terminal.progress(chosen.method, done, total),
        )
        scores = score(result, network.model.output, data)
    _show_scores(terminal, result, scores, network)
    terminal.paragraph(f"best image of each target: {Way(result, scores).summary} (means)")
    if (result.reasons == Reason.FLAT).any():
        terminal.say(
            "flat: the gradient of the objective is zero at the start image, so no step raises "
            "it (for example a ReLU unit that is never active); the image is the start"
        )
    if result.images.shape[1] > 1:
        _show_spread(terminal, result, network.class_names)
    if chosen.out:
        names = ("images", "targets", "outputs", "reasons", "iterations")
        write_npz(Path(chosen.out), {name: getattr(result, name) for name in names})
        terminal.say(f"saved {chosen.out}")
    if chosen.figure:
        from ..report import plot

        plot(result, chosen.figure, class_names=network.class_names)
        terminal.say(f"saved {chosen.figure}")
    if chosen.path:
        _draw_path(result, Path(chosen.path), network.class_names)
        terminal.say(f"saved {chosen.path}")


def _keep_path(method: Any, file: str) -> Any:
    """Let an ascent keep its way, and refuse what could only fail after it."""
    from ..methods import Ascent
    from ..options import replace_option
    from ..report import ANIMATIONS, default_path

    if not isinstance(method, Ascent):
        raise JaxbqError(f"--path: {method.kind} does not work in steps; use an ascent")
    moving = Path(file).suffix.lower() in ANIMATIONS
    check_outputs(file, None) if moving else check_outputs(None, file)
    return method if method.path else replace_option(method, "path", default_path(method.steps))


def _draw_path(result: "Result", file: Path, class_names: Sequence[str]) -> None:
    from ..report import ANIMATIONS, path_strip, save_animation, save_figure

    if file.suffix.lower() in ANIMATIONS:
        save_animation(result, file, class_names)
    else:
        save_figure(path_strip(result, class_names), file)


def _sweep(chosen: argparse.Namespace) -> None:
    import jax

    from ..evaluation import NaturalnessScale, score
    from ..experiment.folder import write_csv
    from ..methods import sweep, vary
    from ..report import CurvePoint, curve_figure, save_figure
    from ..runtime.devices import computing
    from .console import Terminal

    use_hardware(chosen)
    method = read_method(chosen.method, chosen.set)
    option, values = _read_values(chosen.over)
    check_outputs(chosen.out, chosen.figure)
    if chosen.data is None:
        raise JaxbqError(
            "a sweep compares images with data; name a data set, like --data mnist-10k"
        )
    with computing(chosen.precision), Terminal() as terminal:
        network, data, reference, _ = open_with_images(chosen, terminal.say)
        assert data is not None
        results = sweep(
            vary(method, {option: values}),
            network.model,
            network.params,
            read_targets(chosen, network),
            reference=reference,
            key=jax.random.key(read_seed(chosen.seed)),
            progress=lambda done, total: terminal.progress(chosen.method, done, total),
        )
        scale = NaturalnessScale(data)
        scores = [score(result, network.model.output, data, scale=scale) for result in results]
    points = [CurvePoint.of(value, each) for value, each in zip(values, scores, strict=True)]
    rows = [
        [
            f"{point.value:.4g}",
            f"{each.right[:, 0].sum()}/{len(each.right)}",
            f"{point.probability:.4f}",
            f"{point.largest_error:.4f}",
            f"{point.distance:.3g}",
            show_number(point.correlation),
        ]
        for point, each in zip(points, scores, strict=True)
    ]
    columns = [option, "right", "probability", "largest error", "distance", "class mean r"]
    terminal.table(
        "best image of each target, means over targets (distance: squared Mahalanobis, per pixel)",
        columns,
        rows,
    )
    if chosen.out:
        write_csv(Path(chosen.out), columns, rows)
        terminal.say(f"saved {chosen.out}")
    if chosen.figure:
        save_figure(curve_figure(option, points, scale.real["mahalanobis"]), Path(chosen.figure))
        terminal.say(f"saved {chosen.figure}")


def _read_values(over: str) -> tuple[str, list[float]]:
    """Read ``option=low:high:number`` or ``option=a,b,c``."""
    import numpy as np

    option, equals, text = over.partition("=")
    try:
        if not equals or not option:
            raise ValueError
        if ":" in text:
            low, high, number = text.split(":")
            if not (float(low) > 0 and float(high) > 0 and 1 <= int(number) <= _MOST_VALUES):
                raise ValueError
            return option, [
                float(f"{v:.6g}") for v in np.geomspace(float(low), float(high), int(number))
            ]
        return option, [float(value) for value in text.split(",")]
    except ValueError:
        raise JaxbqError(
            f"--over {over}: write OPTION=LOW:HIGH:NUMBER, with LOW and HIGH above 0, or "
            "OPTION=A,B,C; like regularisers.0.weight=0.01:100:20"
        ) from None


def _show_scores(
    terminal: "Terminal", result: "Result", scores: "Scores", network: "NetworkFile"
) -> None:
    import numpy as np

    from ..methods import reason_name
    from ..network.targets import name_target

    names = network.class_names
    rows = [
        (
            name_target(result.targets[t], names),
            str(s),
            names[scores.predicted[t, s]],
            "yes" if scores.right[t, s] else "no",
            reason_name(result.reasons[t, s]),
            show_number(scores.target_probability[t, s]),
            f"{scores.largest_error[t, s]:.4f}",
            show_number(scores.correlation_own[t, s]),
            str(result.iterations[t, s]),
        )
        for t, s in np.ndindex(*result.reasons.shape)
    ]
    columns = ["target", "sample", "read", "right", "reason", "probability", "largest error"]
    columns += ["class mean r", "iterations"]
    terminal.table("what the network reads in the returned images", columns, rows)


def _show_spread(terminal: "Terminal", result: "Result", class_names: Sequence[str]) -> None:
    from ..evaluation import spread
    from ..network.targets import name_target

    found = spread(result.images)
    rows = [
        [name_target(target, class_names), str(distinct), f"{alike:.3f}"]
        for target, distinct, alike in zip(result.targets, *found[:2], strict=True)
    ]
    title = f"how the {result.images.shape[1]} images of each target differ"
    terminal.table(title, ["target", "distinct optima", "mean correlation"], rows)


def add_import(commands: Any) -> None:
    """Add ``jaxbq import``."""
    command = commands.add_parser(
        "import",
        help="import a network from NumPy, PyTorch, Keras, scikit-learn or ONNX",
        description="Read a fully connected network that jaxbq did not train, check how well it "
        "classifies, and save it in jaxbq's format. Every other command also takes such a file "
        "directly.",
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
        help="data set to check it on, as for other commands (default: mnist-10k if it fits)",
    )
    command.add_argument(
        "--precision",
        choices=("float32", "float64"),
        default="float64",
        help="precision of the saved file",
    )
    command.add_argument("--save", metavar="FILE", help="network file to write, .safetensors")
    command.set_defaults(command=_import)


def _import(chosen: argparse.Namespace) -> None:
    import jax

    from ..data.labels import listed
    from ..network.files import save_network
    from .console import Terminal

    if chosen.save:
        check_writable(Path(chosen.save))
    with jax.enable_x64(chosen.precision == "float64"), Terminal() as terminal:
        opened = open_with_images(chosen, terminal.say, default="mnist-10k")
        network, model = opened.network, opened.network.model
        sizes = "-".join(map(str, model.sizes))
        # A network without hidden layers has no activation of theirs.
        inner = ", ".join(dict.fromkeys(model.hidden_names))
        hidden = f"hidden {inner}, " if inner else ""
        biases = "with" if model.bias else "without"
        low, high = network.space.low, network.space.high
        terminal.say(
            f"{chosen.weights}: {sizes}, {hidden}output {model.output}, {biases} biases, "
            f"pixels in [{low:g}, {high:g}], classes {listed(network.class_names)}"
        )
        if _as_in_the_book(network):
            terminal.say(
                "sigmoids without biases, as in the book: --method transpose gives the images of "
                "its backquery"
            )
        if opened.found is None:
            terminal.say("accuracy: not checked; name the data that it was trained on, with --data")
        else:
            source = chosen.data or "mnist-10k"
            terminal.say(f"accuracy: {opened.found.accuracy:.4f} of {source}")
        if chosen.save:
            save_network(chosen.save, network)
            terminal.say(f"saved {chosen.save}")


def _as_in_the_book(network: "NetworkFile") -> bool:
    """Tell whether the transpose, with its defaults, does what the book's code does."""
    model, space = network.model, network.space
    sigmoids = {*model.hidden_names, model.output} == {"sigmoid"}
    folded = any("folded in" in note for note in network.notes)
    book_range = 0 <= space.low <= 0.01 and 0.99 <= space.high <= 1
    return sigmoids and not model.bias and not folded and book_range


def add_play(commands: Any) -> None:
    """Add ``jaxbq play``."""
    command = commands.add_parser(
        "play",
        help="make an interactive page: move the target, watch every layer, draw",
        description="Write one HTML file with a network inside, and open it. There you move the "
        "target, draw a start, choose a method, and watch every layer. The page needs no server "
        "and sends no requests. The default network is 784-200-10, trained on the embedded digits.",
        epilog="example: jaxbq play digits.safetensors --data mnist-10k --html play.html",
    )
    command.add_argument(
        "weights", metavar="NETWORK", nargs="?", help="network file, as for other commands"
    )
    add_foreign(command)
    command.add_argument(
        "--data",
        metavar="SOURCE",
        help="data set for training images and examples, as for other commands (default: mnist-10k "
        "if it fits)",
    )
    command.add_argument(
        "--html", metavar="FILE", default="play.html", help="page to write (default: play.html)"
    )
    command.add_argument("--no-open", action="store_true", help="do not open it in a browser")
    command.set_defaults(command=_play, precision="float32")


def _play(chosen: argparse.Namespace) -> None:
    import webbrowser

    from ..network.files import save_network
    from ..play import demo_network, make_page
    from ..runtime.devices import computing
    from ..runtime.files import write_text
    from .console import Terminal

    page = Path(chosen.html)
    check_writable(page)
    if page.suffix.lower() not in (".html", ".htm"):
        raise JaxbqError(f"--html {chosen.html}: use a name that ends in .html")
    if chosen.weights is None and chosen.data is not None:
        raise JaxbqError("--data needs a network; give its file too")
    data: Dataset | None
    with computing(chosen.precision), Terminal() as terminal:
        if chosen.weights is None:
            terminal.say("no network given: using 784-200-10, trained on mnist-10k")
            network, data = demo_network()
            source = str(page.with_suffix(".safetensors"))
            save_network(source, network)
            terminal.say(f"saved {source}, for the commands on the page")
        else:
            network, data, _, _ = open_with_images(chosen, terminal.say, default="mnist-10k")
            source = shlex.join([chosen.weights, *said_of_file(chosen)])
        title = Path(chosen.weights or source).name
        name = (chosen.data or "mnist-10k") if data is not None else ""
        made = make_page(network, data, title=title, source=source, data_name=name)
        write_text(page, made.text)
    terminal.say(f"saved {page}")
    if not (chosen.no_open or webbrowser.open(page.resolve().as_uri())):
        terminal.say("no browser found; open the file in one")
