"""Commands about a saved network: import, invert, sweep, certify."""

import argparse
import time
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
    find_class,
    open_with_images,
    read_method,
    read_seed,
    read_targets,
    show_number,
    use_hardware,
)

if TYPE_CHECKING:
    import numpy as np

    from ..certification import Certificate
    from ..evaluation import Scores
    from ..methods import Result
    from ..network.files import NetworkFile
    from .arguments import Opened
    from .console import Terminal

_MOST_VALUES = 10_000
_PICTURES = (".png", ".jpg", ".jpeg")
_MOST_NUMBERS = 2**28  # bytes of an .npy file with one image
_MOST_SECONDS = 10**7


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


def add_certify(commands: Any) -> None:
    """Add ``jaxbq certify``."""
    command = commands.add_parser(
        "certify",
        help="the best picture, and a proof of how far it is from the best possible",
        description="Search the image that a network with one hidden layer answers most to, and "
        "prove how much more any other image could reach. By default for every class; see "
        "docs/certificates.md.",
        epilog="example: jaxbq certify digits.safetensors --target 3 --seconds 30 --out 3.npz",
    )
    command.add_argument(
        "weights", metavar="WEIGHTS", help="network file, as other commands take it"
    )
    command.add_argument(
        "--verify", metavar="FILE", help="compute anew what a certificate proves, and nothing else"
    )
    add_foreign(command)
    _add_question(command)
    command.add_argument("--out", metavar="FILE", help="certificate to write, of one target, .npz")
    command.add_argument("--figure", metavar="FILE", help="pictures to write, .png or .pdf")
    command.set_defaults(command=_certify, precision="float64")


def _add_question(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("what is asked")
    group.add_argument(
        "--target", metavar="CLASS", action="append", default=[], help="class by name"
    )
    group.add_argument(
        "--objective",
        choices=("logit", "margin", "difference"),
        default="logit",
        help="the target's logit, by how much it exceeds the best of the others, or that of "
        "--other (default: logit)",
    )
    group.add_argument("--other", metavar="CLASS", help="the other class of a difference")
    group.add_argument(
        "--around",
        metavar="IMAGE",
        help="only images near this one: .png, .jpg, .npy, or the number of a test image of --data",
    )
    group.add_argument("--radius", type=float, help="how near, in units of the pixels")
    group.add_argument(
        "--norm",
        choices=("linf", "l2"),
        default="linf",
        help="linf: no pixel is further; l2: the Euclidean distance (default: linf)",
    )
    group.add_argument("--data", metavar="SOURCE", help="images, as for other commands")
    group.add_argument(
        "--seconds", type=float, default=60.0, help="for each target, after compiling (default: 60)"
    )
    group.add_argument(
        "--gap", type=float, default=0.05, help="(proven − found) / proven to stop at (0.05)"
    )
    group.add_argument("--seed", type=int, default=0, help="of the random starts")


def _certify(chosen: argparse.Namespace) -> None:
    from ..certification import verify
    from ..runtime.devices import computing
    from .console import Terminal

    check_outputs(chosen.out, chosen.figure)
    with computing(chosen.precision), Terminal() as terminal:
        opened = open_with_images(chosen, terminal.say)
        network = opened.network
        if chosen.verify is None:
            _search(chosen, opened, terminal)
            return
        space = network.space
        found = verify(chosen.verify, network.model, network.params)
        if (found.claim.low, found.claim.high) != (space.low, space.high):
            raise JaxbqError(
                f"{chosen.verify}: is for pixels in [{found.claim.low:g}, {found.claim.high:g}], "
                f"the network's are in [{space.low:g}, {space.high:g}]"
            )
        terminal.say(f"{_asked(found, network.class_names)}: {found.sentence}")
        terminal.say(f"verified: every part of the set bounded anew, {found.leaves} in all")


def _search(chosen: argparse.Namespace, opened: "Opened", terminal: "Terminal") -> None:
    from ..certification import certify

    network = opened.network
    names = network.class_names
    targets = [find_class(name, names) for name in chosen.target or names]
    if chosen.out and len(targets) > 1:
        raise JaxbqError("--out takes the certificate of one class; give one --target")
    if not (0 <= chosen.seconds <= _MOST_SECONDS and 0 <= chosen.gap < 1):
        raise JaxbqError("--seconds must be at least 0, --gap at least 0 and below 1")
    other = None if chosen.other is None else find_class(chosen.other, names, "--other")
    around = None if chosen.around is None else _image(chosen, opened)
    made, rows = [], []
    for target in targets:
        begun = time.monotonic()
        found = certify(
            network.model,
            network.params,
            target,
            space=network.space,
            objective=chosen.objective,
            other=other,
            around=around,
            radius=chosen.radius,
            norm=chosen.norm,
            seconds=chosen.seconds,
            gap=chosen.gap,
            seed=read_seed(chosen.seed),
        )
        made.append(found)
        rows.append(
            [
                names[target],
                f"{found.found:.4f}",
                f"{found.proven:.4f}",
                f"{100 * found.gap:.2f} %" if found.found > 0 else "",
                str(found.leaves),
                f"{time.monotonic() - begun:.1f}",
            ]
        )
        terminal.say(f"{_asked(found, names)}: {found.sentence}")
    columns = ["target", "found", "proven", "gap", "parts", "seconds"]
    terminal.table("largest value over the set: found and proven", columns, rows)
    # Below 0 a share of the bound says nothing.
    if len(made) > 1 and all(found.found > 0 for found in made):
        terminal.say(f"mean gap {100 * sum(found.gap for found in made) / len(made):.2f} %")
    if chosen.out:
        made[0].save(chosen.out)
        terminal.say(f"saved {chosen.out}")
    if chosen.figure:
        _draw(made, network, Path(chosen.figure))
        terminal.say(f"saved {chosen.figure}")


def _draw(made: "list[Certificate]", network: "NetworkFile", file: Path) -> None:
    import numpy as np

    from ..report import image_grid, save_figure
    from ..report.images import ImageRow

    images = np.stack([found.image for found in made])
    outputs = np.asarray(network.model.apply(network.params, images))
    targets = [found.claim.target for found in made]
    titles, right = [network.class_names[k] for k in targets], list(outputs.argmax(1) == targets)
    row = ImageRow(f"largest {made[0].claim.objective} found", images, outputs, titles, right)
    save_figure(image_grid([row], network.space, network.class_names), file)


def _asked(found: "Certificate", names: tuple[str, ...]) -> str:
    claim = found.claim
    name = names[claim.target]
    if claim.objective == "difference":
        return f"logit of {name} − logit of {names[claim.other]}"
    return f"{claim.objective} of {name}"


def _image(chosen: argparse.Namespace, opened: "Opened") -> "np.ndarray":
    """Read the image to stay near."""
    import numpy as np

    from ..data.image_folder import read_picture
    from ..runtime.archives import read_npy

    space, name = opened.network.space, chosen.around
    if name.isdigit():
        if opened.data is None:
            raise JaxbqError(f"--around {name}: is a test image of which data? give --data")
        images = opened.data.test_images
        if int(name) >= len(images):
            raise JaxbqError(f"--around {name}: the data have test images 0 to {len(images) - 1}")
        return np.asarray(images[int(name)], np.float64)
    path = Path(name)
    if path.suffix.lower() == ".npy":
        read = read_npy(path, _MOST_NUMBERS)
        if read.dtype.kind not in "biuf" or read.size != space.pixels:
            raise JaxbqError(f"--around {name}: give an array of {space.pixels} numbers")
        return read.astype(np.float64).reshape(-1)
    if path.suffix.lower() not in _PICTURES:
        raise JaxbqError(f"--around {name}: give a .png, .jpg or .npy file, or a number and --data")
    picture = read_picture(path, grey=len(space.shape) == 2)
    if picture.shape != space.shape:
        sizes = ["×".join(map(str, shape)) for shape in (picture.shape, space.shape)]
        raise JaxbqError(f"--around {name}: is {sizes[0]}, the network takes {sizes[1]}")
    return space.low + picture.reshape(-1) / 255.0 * (space.high - space.low)
