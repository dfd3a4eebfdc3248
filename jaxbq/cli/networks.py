"""Commands that back-query a saved network: invert, sweep."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import JaxbqError
from .arguments import (
    add_method,
    add_network,
    check_outputs,
    read_method,
    read_seed,
    read_targets,
    show_number,
)
from .hardware import use_hardware
from .opening import open_with_images

if TYPE_CHECKING:
    from ..console import Terminal
    from ..evaluation import Scores
    from ..methods import Result
    from ..weights import NetworkFile


_MOST_VALUES = 10_000


def add_invert(commands: Any) -> None:
    """Add ``jaxbq invert``."""
    invert = commands.add_parser(
        "invert",
        help="back-query a saved network by one method",
        description="Back-query a saved network; by default for every class.",
        epilog="example: jaxbq invert digits.safetensors --method whitened --data mnist-10k "
        "--figure digits.png --path digits.gif",
    )
    add_network(invert)
    add_method(invert, required=True)
    invert.add_argument(
        "--out", metavar="FILE", help="npz to write: images, targets, outputs, reasons"
    )
    invert.add_argument("--figure", metavar="FILE", help="picture to write, .png or .pdf")
    invert.add_argument(
        "--path",
        metavar="FILE",
        help="the way of an ascent's images to write: .png or .pdf a strip, .gif or .webp moving",
    )
    invert.set_defaults(command=_invert)


def add_sweep(commands: Any) -> None:
    """Add ``jaxbq sweep``."""
    sweep = commands.add_parser(
        "sweep",
        help="back-query at many values of one option, as a curve",
        description="Back-query a saved network at many values of one option of a method, in one "
        "program where the method goes in steps, and show fidelity against naturalness.",
        epilog="example: jaxbq sweep digits.safetensors --method whitened --data mnist-10k "
        "--over regularisers.0.weight=0.01:1000:20 --figure curve.png",
    )
    add_network(sweep)
    add_method(sweep, required=True)
    sweep.add_argument(
        "--over",
        metavar="OPTION=VALUES",
        required=True,
        help="LOW:HIGH:NUMBER in equal ratios, or values with commas between",
    )
    sweep.add_argument("--out", metavar="FILE", help="csv to write, one row a value")
    sweep.add_argument("--figure", metavar="FILE", help="picture to write, .png or .pdf")
    sweep.set_defaults(command=_sweep)


def _invert(chosen: argparse.Namespace) -> None:
    import jax

    from ..console import Terminal
    from ..evaluation import score
    from ..experiment.folder import write_npz
    from ..methods import invert
    from ..precision import computing
    from ..report import plot

    use_hardware(chosen)
    method = read_method(chosen.method, chosen.set)
    check_outputs(chosen.out, chosen.figure)
    if chosen.path:
        method = _keep_path(method, chosen.path)
    with computing(chosen.precision), Terminal() as terminal:
        network, data, reference = open_with_images(chosen)
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
    if result.images.shape[1] > 1:
        _show_spread(terminal, result, network.class_names)
    if chosen.out:
        names = ("images", "targets", "outputs", "reasons", "iterations")
        write_npz(Path(chosen.out), {name: getattr(result, name) for name in names})
        terminal.say(f"saved {chosen.out}")
    if chosen.figure:
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
        raise JaxbqError(f"--path: {method.kind} goes no way in steps; use an ascent")
    moving = Path(file).suffix.lower() in ANIMATIONS
    check_outputs(file, None) if moving else check_outputs(None, file)
    return method if method.path else replace_option(method, "path", default_path(method.steps))


def _draw_path(result: "Result", file: Path, class_names: Sequence[str]) -> None:
    from ..report import ANIMATIONS, path_strip, save_animation
    from ..report.figures import save_figure

    if file.suffix.lower() in ANIMATIONS:
        save_animation(result, file, class_names)
    else:
        save_figure(path_strip(result, class_names), file)


def _sweep(chosen: argparse.Namespace) -> None:
    import jax

    from ..console import Terminal
    from ..evaluation import NaturalnessScale, score
    from ..experiment.folder import write_csv
    from ..methods import sweep, vary
    from ..precision import computing
    from ..report import CurvePoint, curve_figure
    from ..report.figures import save_figure

    use_hardware(chosen)
    method = read_method(chosen.method, chosen.set)
    option, values = _read_values(chosen.over)
    check_outputs(chosen.out, chosen.figure)
    if chosen.data is None:
        raise JaxbqError("naturalness is measured against images; name them, like --data mnist-10k")
    with computing(chosen.precision), Terminal() as terminal:
        network, data, reference = open_with_images(chosen)
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
        "best image of each target, means over targets (distance: squared Mahalanobis, a pixel)",
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
            f"--over {over}: write OPTION=LOW:HIGH:NUMBER, both above 0, or OPTION=A,B,C; "
            "like regularisers.0.weight=0.01:100:20"
        ) from None


def _show_scores(
    terminal: "Terminal", result: "Result", scores: "Scores", network: "NetworkFile"
) -> None:
    import numpy as np

    from ..methods import reason_name
    from ..targets import name_target

    names = network.class_names
    rows = [
        (
            name_target(result.targets[t], names),
            str(s),
            names[scores.predicted[t, s]],
            "yes" if scores.right[t, s] else "no",
            show_number(scores.target_probability[t, s]),
            f"{scores.largest_error[t, s]:.4f}",
            show_number(scores.correlation_own[t, s]),
            str(result.iterations[t, s]),
            reason_name(result.reasons[t, s]),
        )
        for t, s in np.ndindex(*result.reasons.shape)
    ]
    columns = ["target", "sample", "read", "right", "probability", "largest error"]
    columns += ["class mean r", "iterations", "reason"]
    terminal.table("what the network reads in the returned images", columns, rows)


def _show_spread(terminal: "Terminal", result: "Result", class_names: Sequence[str]) -> None:
    from ..evaluation import spread
    from ..targets import name_target

    found = spread(result.images)
    rows = [
        [name_target(target, class_names), str(distinct), f"{alike:.3f}"]
        for target, distinct, alike in zip(result.targets, *found, strict=True)
    ]
    title = f"how the {result.images.shape[1]} images of each target differ"
    terminal.table(title, ["target", "distinct optima", "mean correlation"], rows)
