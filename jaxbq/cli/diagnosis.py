"""Commands that say why: trace, explain."""

import argparse
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
    show_short,
)
from .hardware import use_hardware
from .opening import open_with_images

if TYPE_CHECKING:
    from ..diagnosis import Trace


def add_trace(commands: Any) -> None:
    """Add ``jaxbq trace``."""
    trace = commands.add_parser(
        "trace",
        help="show the numbers of a back-query, layer by layer",
        description="Show every layer of a back-query, backward and forward, for one target.",
        epilog="example: jaxbq trace digits.safetensors --target 0 --method pseudo_inverse "
        "--figure trace.png",
    )
    add_network(trace)
    add_method(trace, required=False)
    trace.add_argument("--json", metavar="FILE", help="file to write every number to")
    trace.add_argument("--figure", metavar="FILE", help="picture to write, .png or .pdf")
    trace.set_defaults(command=_trace)


def add_explain(commands: Any) -> None:
    """Add ``jaxbq explain``."""
    explain = commands.add_parser(
        "explain",
        help="say why each way back gives what it gives",
        description="Measure a saved network and say in plain sentences, each with its number, "
        "why each way back gives what it gives.",
        epilog="example: jaxbq explain digits.safetensors --data mnist-10k",
    )
    add_network(explain)
    explain.add_argument("--json", metavar="FILE", help="file to write every number to")
    explain.add_argument(
        "--figure", metavar="FILE", help="picture of the sensitivity to margin, ridge and rcond"
    )
    explain.set_defaults(command=_explain)


def _trace(chosen: argparse.Namespace) -> None:
    import jax

    from ..console import Terminal
    from ..diagnosis import trace
    from ..precision import computing
    from ..report import trace_figure
    from ..report.figures import save_figure

    use_hardware(chosen)
    method = read_method(chosen.method, chosen.set)
    check_outputs(chosen.json, chosen.figure)
    with computing(chosen.precision), Terminal() as terminal:
        network, _, reference = open_with_images(chosen)
        if len(chosen.target) + len(chosen.target_vector) != 1:
            raise JaxbqError("a trace is of one target: give one --target or one --target-vector")
        target = read_targets(chosen, network)[0]
        key = jax.random.key(read_seed(chosen.seed))
        found = trace(method, network.model, network.params, target, reference=reference, key=key)
    columns, rows = _trace_table(found)
    terminal.table(f"{found.method}: {found.reason}", columns, rows)
    if chosen.json:
        _write_plain(Path(chosen.json), found)
        terminal.say(f"saved {chosen.json}")
    if chosen.figure:
        save_figure(trace_figure(found), Path(chosen.figure))
        terminal.say(f"saved {chosen.figure}")


def _trace_table(found: "Trace") -> tuple[list[str], list[list[str]]]:
    """Lay a trace out, the output layer first, as the way back goes."""
    columns = ["layer", "rank", "condition", "blind to", "determined", "found", "outside"]
    columns += ["by", "residual before", "after policy", "asked − given"]
    rows = []
    for layer in reversed(found.layers):
        facts = layer.facts
        span = layer.found_range
        share = layer.outside_share
        rows.append(
            [
                f"{layer.number}: {facts.fan_in} → {facts.fan_out} {layer.activation}",
                str(facts.rank),
                f"{facts.condition:.3g}",
                str(facts.null_dimension),
                facts.determined,
                "" if span is None else f"{span[0]:.3g} to {span[1]:.3g}",
                "" if share is None else f"{share:.0%}",
                show_short(layer.outside_amount),
                show_short(layer.residual_before),
                show_short(layer.residual_after),
                show_short(layer.apart),
            ]
        )
    return columns, rows


def _explain(chosen: argparse.Namespace) -> None:
    import jax

    from ..console import Terminal
    from ..diagnosis import alignments, explain, layer_facts, losses_by_layer, sensitivities
    from ..precision import computing
    from ..report import sensitivity_figure
    from ..report.figures import save_figure

    use_hardware(chosen)
    check_outputs(chosen.json, chosen.figure)
    with computing(chosen.precision), Terminal() as terminal:
        network, data, reference = open_with_images(chosen)
        targets = read_targets(chosen, network)
        key = jax.random.key(read_seed(chosen.seed))
        model, params = network.model, network.params
        findings = explain(model, params, targets, data=data, space=network.space, key=key)
        aligned = alignments(model, params, targets, data, reference, key)
        analytic = all(phi.inverse for phi in model.activations)
        if chosen.figure and not analytic:
            raise JaxbqError(
                "--figure: without an inverse activation there is no sensitivity to draw"
            )
        turned = chosen.json or chosen.figure
        curves = sensitivities(model, params, targets, network.space) if turned and analytic else {}
        lost = losses_by_layer(model, params, targets, network.space) if analytic else {}
    for finding in findings:
        terminal.say(finding.sentence)
    columns, rows = _alignment_table(aligned)
    terminal.table("correlation of the images with directions, mean over targets", columns, rows)
    if lost:
        terminal.table(*_loss_table(lost))
    if chosen.json:
        everything = {
            "findings": findings,
            "layers": layer_facts(params),
            "alignment": aligned,
            "sensitivity": curves,
            "losses": lost,
        }
        _write_plain(Path(chosen.json), everything)
        terminal.say(f"saved {chosen.json}")
    if chosen.figure:
        save_figure(sensitivity_figure(curves), Path(chosen.figure))
        terminal.say(f"saved {chosen.figure}")


def _alignment_table(aligned: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    directions = list(next(iter(aligned.values()), {}))
    rows = [
        [direction, *(show_number(float(found[direction].mean())) for found in aligned.values())]
        for direction in directions
    ]
    return ["direction", *aligned], rows


def _loss_table(lost: dict[str, Any]) -> tuple[str, list[str], list[list[str]]]:
    title = "what is lost where: the policy at one place only, the box solved at all others"
    columns = ["place", "clip: right", "error", "rescale: right", "error", "asked in range"]
    rows = []
    for number, (clip, rescale) in enumerate(zip(lost["clip"], lost["rescale"], strict=True)):
        rows.append(
            [
                f"hidden layer {number}" if number else "pixels",
                f"{clip.right:.0%}",
                f"{clip.mean_largest_error:.3f}",
                f"{rescale.right:.0%}",
                f"{rescale.mean_largest_error:.3f}",
                f"{lost['share_in_range'][:, number].min():.1%}",
            ]
        )
    return title, columns, rows


def _write_plain(path: Path, content: Any) -> None:
    import json

    from ..diagnosis import to_plain
    from ..files import write_text

    write_text(path, json.dumps(to_plain(content)) + "\n")
