"""Commands that ask a network back: invert, sweep, certify, play."""

import argparse
import math
import re
import shlex
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
    read_numbers,
    read_seed,
    read_targets,
    said_of_file,
    show_number,
    use_hardware,
)

if TYPE_CHECKING:
    import numpy as np

    from ..certification import Certificate
    from ..data import Dataset
    from ..evaluation import Scores
    from ..methods import Result
    from ..network.files import NetworkFile
    from .arguments import Opened
    from .console import Terminal

_MOST_VALUES = 10_000  # of a sweep
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
            ends_fit = all(0 < float(end) < math.inf for end in (low, high))
            if not (ends_fit and 1 <= int(number) <= _MOST_VALUES):
                raise ValueError
            return option, [
                float(f"{v:.6g}") for v in np.geomspace(float(low), float(high), int(number))
            ]
        # A whole number stays one: some options, such as steps, take no other.
        return option, [
            int(value) if value.strip().isdecimal() else float(value) for value in text.split(",")
        ]
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
    if chosen.weights is None and (chosen.data or chosen.fix or said_of_file(chosen)):
        raise JaxbqError(
            "--data needs a network, and so do options about its file; give that file too"
        )
    data: Dataset | None
    with computing(chosen.precision), Terminal() as terminal:
        if chosen.weights is None:
            terminal.say("no network given: using 784-200-10, trained on mnist-10k")
            network, data = demo_network()
            source = str(page.with_suffix(".safetensors"))
            check_writable(Path(source))
            _check_same(Path(source), network)
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


def _check_same(path: Path, network: "NetworkFile") -> None:
    """Refuse to write a network over another one."""
    import jax
    import numpy as np

    from ..network.files import load_network

    if not path.exists():
        return
    there = load_network(path)
    same = there.model == network.model and jax.tree.all(
        jax.tree.map(np.array_equal, there.params, network.params)
    )
    if not same:
        raise JaxbqError(f"{path}: is another network; choose another --html")


def add_certify(commands: Any) -> None:
    """Add ``jaxbq certify``."""
    command = commands.add_parser(
        "certify",
        help="the best picture, and a proof of how far it is from the best possible",
        description="Search the image that a network answers most to, and prove how much more any "
        "other image could reach. By default for every class; see docs/certificates.md.",
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
        choices=("logit", "margin", "difference", "unit", "direction", "error"),
        default="logit",
        help="the target's logit, by how much it exceeds the best of the others, or that of "
        "--other; the pre-activation of a hidden unit; the logits along a direction; or the error: "
        "how near the logits come to those of the target's code (default: logit)",
    )
    group.add_argument("--other", metavar="CLASS", help="the other class of a difference")
    group.add_argument("--layer", type=int, metavar="N", help="hidden layer of a unit, from 1")
    group.add_argument("--unit", type=int, metavar="N", help="number of a unit, from 0")
    group.add_argument(
        "--vector",
        metavar="NUMBERS|FILE",
        help="one number for each output, like 1,-0.5,0, or an .npy file: weights of a direction, "
        "or the outputs whose error is asked for",
    )
    group.add_argument(
        "--around",
        metavar="IMAGE",
        help="only images near this one: .png, .jpg, .npy, or the number of a test image of --data",
    )
    group.add_argument("--radius", type=float, help="how near, in units of the pixels")
    group.add_argument(
        "--norm",
        choices=("linf", "l2", "mahalanobis"),
        default="linf",
        help="linf: no pixel is further; l2: the Euclidean distance; mahalanobis: in standard "
        "deviations of the training images of --data, by default around their mean (default: linf)",
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
    if chosen.verify and (chosen.out or chosen.figure or chosen.target):
        raise JaxbqError(
            "--verify reads what is proven from its file: leave out --target, --out and --figure"
        )
    with computing(chosen.precision), Terminal() as terminal:
        opened = open_with_images(chosen, terminal.say)
        network = opened.network
        if chosen.verify is None:
            _search(chosen, opened, terminal)
            return
        space = network.space
        images = None if opened.data is None else opened.data.train_images
        found = verify(chosen.verify, network.model, network.params, images)
        if (found.claim.low, found.claim.high) != (space.low, space.high):
            raise JaxbqError(
                f"{chosen.verify}: is for pixels in [{found.claim.low:g}, {found.claim.high:g}], "
                f"the network's are in [{space.low:g}, {space.high:g}]"
            )
        terminal.say(f"{_asked(found, network.class_names)}: {found.sentence}")
        terminal.say(f"verified: every part of the set bounded anew, {found.leaves} in all")


def _search(chosen: argparse.Namespace, opened: "Opened", terminal: "Terminal") -> None:
    import numpy as np

    from ..certification import certify

    network = opened.network
    names = network.class_names
    targets = _targets(chosen, names)
    if chosen.out and len(targets) > 1:
        raise JaxbqError("--out takes the certificate of one class; give one --target")
    if not (0 <= chosen.seconds <= _MOST_SECONDS and 0 <= chosen.gap < 1):
        raise JaxbqError(f"--seconds must be 0 to {_MOST_SECONDS}, --gap at least 0 and below 1")
    ellipsoid = chosen.norm == "mahalanobis"
    if ellipsoid and opened.data is None:
        raise JaxbqError("--norm mahalanobis: is of the training images of which data? give --data")
    images = opened.data.train_images if ellipsoid and opened.data is not None else None
    vector = None if chosen.vector is None else np.array(read_numbers("--vector", chosen.vector))
    other = None if chosen.other is None else find_class(chosen.other, names, "--other")
    around = None if chosen.around is None else _image(chosen, opened, terminal)
    sign = -1 if chosen.objective == "error" else 1
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
            layer=chosen.layer,
            unit=chosen.unit,
            vector=vector,
            around=around,
            radius=chosen.radius,
            norm=chosen.norm,
            images=images,
            seconds=chosen.seconds,
            gap=chosen.gap,
            seed=read_seed(chosen.seed),
        )
        made.append(found)
        # Rounded to the safe side.
        proven = sign * math.ceil(1e4 * found.proven) / 1e4
        rows.append(
            [
                _named(found, names),
                f"{sign * math.floor(1e4 * found.found) / 1e4:.4f}",
                f"{max(proven, 0.0) if sign < 0 else proven:.4f}",
                f"{100 * found.gap:.2f} %" if found.found > 0 else "",
                str(found.leaves),
                f"{time.monotonic() - begun:.1f}",
            ]
        )
        terminal.say(f"{_asked(found, names)}: {found.sentence}")
    columns = ["target", "found", "proven", "gap", "parts", "seconds"]
    title = "largest value over the set" if sign > 0 else "smallest error over the set"
    terminal.table(f"{title}: found and proven", columns, rows)
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
    titles = [_named(found, network.class_names) for found in made]
    read = zip(outputs.argmax(1), (found.claim for found in made), strict=True)
    right = [claim.objective == "unit" or claim.target in (-1, top) for top, claim in read]
    row = ImageRow(f"largest {made[0].claim.objective} found", images, outputs, titles, right)
    save_figure(image_grid([row], network.space, network.class_names), file)


def _named(found: "Certificate", names: tuple[str, ...]) -> str:
    claim = found.claim
    if claim.objective == "unit":
        return f"unit {claim.target} of layer {claim.layer}"
    return names[claim.target] if claim.target >= 0 else "the vector"


def _asked(found: "Certificate", names: tuple[str, ...]) -> str:
    claim, name = found.claim, _named(found, names)
    if claim.objective == "difference":
        return f"logit of {name} − logit of {names[claim.other]}"
    shown = {"unit": "pre-activation of", "direction": "logits along"}
    what = shown.get(claim.objective, f"{claim.objective} of")
    return f"{what} {name}"


def _targets(chosen: argparse.Namespace, names: tuple[str, ...]) -> list[int | None]:
    """Read the classes that are asked for; what is of no class is asked once."""
    whole = chosen.objective in ("unit", "direction")
    if whole and chosen.target:
        raise JaxbqError(f"--target: a {chosen.objective} is of no class; leave it out")
    if whole or (chosen.vector is not None and not chosen.target):
        return [None]
    return [find_class(name, names) for name in chosen.target or names]


def _image(chosen: argparse.Namespace, opened: "Opened", terminal: "Terminal") -> "np.ndarray":
    """Read the image to stay near: a file, or a test image by its number."""
    import numpy as np

    from ..data.picture import read_row

    name = chosen.around
    if not re.fullmatch(r"[0-9]{1,9}", name):
        return read_row(Path(name), opened.network.space, chosen.ink, terminal.paragraph)
    if opened.data is None:
        raise JaxbqError(f"--around {name}: is a test image of which data? give --data")
    images = opened.data.test_images
    if int(name) >= len(images):
        raise JaxbqError(f"--around {name}: the data have test images 0 to {len(images) - 1}")
    return np.asarray(images[int(name)], np.float64)
