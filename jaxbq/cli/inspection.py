"""Commands that look into a network: import, trace, explain."""

import argparse
import re
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
    repeated,
    show_number,
    show_short,
    use_hardware,
)

if TYPE_CHECKING:
    import numpy as np

    from ..diagnosis import Answer, Measurements, Terms, Trace
    from ..network.files import NetworkFile
    from .console import Terminal

_SHOWN = 10  # terms of a unit
_FEW = 20  # outputs that are shown unasked


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
        help=".npz, .npy, .csv or a folder of these; .json; .mat; .safetensors; .pt, .pth, .ckpt; "
        ".keras, .h5; .skops; .onnx",
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


def add_trace(commands: Any) -> None:
    """Add ``jaxbq trace``."""
    trace = commands.add_parser(
        "trace",
        help="show the numbers of a back-query, or of an image, layer by layer",
        description="Show every layer of a back-query of one target, backward and forward. With "
        "--image, show your own image forward. Layer 0 is the image, the last layer the outputs. "
        "Units keep their order and count from 0. The default precision is float64.",
        epilog="example: jaxbq trace digits.safetensors --target 0 --method pseudo_inverse "
        "--layer 1 --units 0:20",
    )
    add_network(trace)
    add_method(trace, required=False)
    trace.add_argument(
        "--image",
        metavar="FILE",
        help="run this image forward: .png or .jpg, or .npy with its pixels",
    )
    trace.add_argument("--layer", metavar="N", type=int, help="show the vectors of this layer")
    trace.add_argument(
        "--units",
        metavar="A:B",
        help="show the units A to B - 1, of all layers or of --layer: 0:20",
    )
    trace.add_argument(
        "--unit",
        metavar="N",
        type=int,
        help="show the arithmetic of one unit of --layer (default: layer 1)",
    )
    trace.add_argument(
        "--csv", metavar="FILE", help="csv file to write: the shown layers and units"
    )
    trace.add_argument("--json", metavar="FILE", help="json file to write: every number")
    trace.add_argument("--figure", metavar="FILE", help="figure to write, .png or .pdf")
    trace.set_defaults(command=_trace, precision="float64", method=None)


def add_explain(commands: Any) -> None:
    """Add ``jaxbq explain``."""
    explain = commands.add_parser(
        "explain",
        help="explain in plain words why each method gives its images",
        description="Measure a saved network and answer common questions about a back-query. Each "
        "answer is in plain words, with this network's numbers and the command that shows them.",
        epilog="example: jaxbq explain digits.safetensors --data mnist-10k",
    )
    add_network(explain)
    explain.add_argument("--numbers", action="store_true", help="show all measurements as tables")
    explain.add_argument("--json", metavar="FILE", help="json file to write: every number")
    explain.add_argument(
        "--figure",
        metavar="FILE",
        help="figure to write: how results depend on margin, ridge and rcond",
    )
    explain.set_defaults(command=_explain)


def _trace(chosen: argparse.Namespace) -> None:
    import jax

    from ..data.picture import read_row
    from ..diagnosis import trace, trace_image
    from ..report import save_figure, trace_figure
    from ..runtime.devices import computing
    from .console import Terminal

    use_hardware(chosen)
    if chosen.image and (chosen.target or chosen.target_vector or chosen.method or chosen.set):
        raise JaxbqError("--image runs forward only; leave out --target, --method and --set")
    method = read_method(chosen.method or "transpose", chosen.set)
    check_outputs(chosen.json, chosen.figure)
    if chosen.csv:
        check_writable(Path(chosen.csv))
    with computing(chosen.precision), Terminal() as terminal:
        network, _, reference, _ = open_with_images(chosen, terminal.paragraph)
        model, params = network.model, network.params
        if chosen.image:
            space, say = network.space, terminal.paragraph
            image = read_row(Path(chosen.image), space, chosen.ink, say)
            found = trace_image(model, params, image, network.space)
        else:
            if len(chosen.target) + len(chosen.target_vector) != 1:
                raise JaxbqError(
                    "a trace shows one target; give one --target or one --target-vector"
                )
            target = read_targets(chosen, network)[0]
            key = jax.random.key(read_seed(chosen.seed))
            found = trace(method, model, params, target, reference=reference, key=key)
        everything, shown = _select(found, chosen)
        arithmetic = _arithmetic(found, method, network, chosen)
    _show_trace(terminal, found, network)
    for layer, units in shown:
        terminal.table(*_unit_table(found, layer, units), stacked=True)
    for title, rows in arithmetic:
        terminal.table(title, ["from", "value", "weight", "value × weight"], rows, stacked=True)
    if chosen.csv:
        _write_units(Path(chosen.csv), found, everything)
        terminal.say(f"saved {chosen.csv}")
    if chosen.json:
        _write_plain(Path(chosen.json), found)
        terminal.say(f"saved {chosen.json}")
    if chosen.figure:
        save_figure(trace_figure(found), Path(chosen.figure))
        terminal.say(f"saved {chosen.figure}")


_Selected = list[tuple[int, range]]


def _select(found: "Trace", chosen: argparse.Namespace) -> tuple[_Selected, _Selected]:
    """List the layers and units that were chosen, and those to show; outputs first.

    Where none was chosen all are, and a few outputs are shown.
    """
    from ..diagnosis import check_unit

    last = len(found.layers)
    if chosen.layer is not None:
        check_unit(found, chosen.layer)
    first, stop = _read_units(chosen.units)
    selected = []
    for layer in [chosen.layer] if chosen.layer is not None else range(last, -1, -1):
        number = len(found.units(layer).given)
        if units := range(first, number if stop is None else min(stop, number)):
            selected.append((layer, units))
    if not selected:
        raise JaxbqError(f"--units {chosen.units}: no layer has such units")
    if chosen.unit is not None:
        return selected, []
    if chosen.layer is None and chosen.units is None:
        return selected, [each for each in selected if each[0] == last and len(each[1]) <= _FEW]
    return selected, selected


def _read_units(given: str | None) -> tuple[int, int | None]:
    if given is None:
        return 0, None
    first, colon, stop = given.partition(":")
    whole = all(re.fullmatch(r"[0-9]{0,9}", end) for end in (first, stop))
    if not colon or not whole or (stop and int(stop) <= int(first or 0)):
        raise JaxbqError(f"--units {given}: write A:B for the units A to B − 1, like 0:20")
    return int(first or 0), int(stop) if stop else None


def _show_trace(terminal: "Terminal", found: "Trace", network: "NetworkFile") -> None:
    """Show what each layer is, and what went on in it; the outputs first, as the way back goes."""
    layers = found.layers[::-1]
    terminal.paragraph(f"{found.method}: {found.reason}")
    if found.note:
        terminal.paragraph(f"note: {found.note}")
    if found.target is None:
        outputs = found.layers[-1].answered
        read = network.class_names[int(outputs.argmax())] if len(outputs) > 1 else "the output"
        terminal.say(f"the network reads {read}, at {outputs.max():.4g}")
    facts = [
        [
            f"layer {layer.number}: {layer.facts.fan_in} → {layer.facts.fan_out}",
            layer.activation,
            str(layer.facts.rank),
            f"{layer.facts.condition:.3g}",
            str(layer.facts.null_dimension),
            f"{layer.facts.transpose_agreement:.2f}",
        ]
        for layer in layers
    ]
    columns = ["weights", "activation", "rank", "condition", "blind to", "cosine Wᵀ, W⁺"]
    terminal.table("the layers", columns, facts, stacked=True)
    if found.target is not None:
        title = "the way back, with residuals before and after the policy, and the way forward"
        columns = ["layer", "found", "outside", "by", "before", "after", "asked − given"]
        numbers = range(len(layers), -1, -1)
        terminal.table(
            title, columns, [_way_row(found, number) for number in numbers], stacked=True
        )


def _way_row(found: "Trace", number: int) -> list[str]:
    """Sum up what was found for the units of a layer, and how far off they are going forward."""
    import numpy as np

    units = found.units(number)
    # The image that is asked for is the one that is given.
    asked = units.asked if number else None
    apart = None if asked is None else float(np.abs(asked - units.given).max())
    cells = [""] * 5
    if units.found is not None:
        above = found.layers[number]
        cells = [
            f"{units.found.min():.2g} to {units.found.max():.2g}",
            f"{above.outside_share:.0%}",
            f"{above.outside_amount:.2g}",
            f"{above.residual_before:.2g}",
            f"{above.residual_after:.2g}",
        ]
    return [f"{_kind(found, number)} ({number})", *cells, show_short(apart)]


def _unit_table(found: "Trace", layer: int, units: range) -> tuple[str, list[str], list[list[str]]]:
    """Lay out the vectors of a layer; those that do not exist are left out."""
    vectors = found.units(layer)
    shown = {name: values for name, values in vectors._asdict().items() if values is not None}
    columns = {name.replace("_z", " z"): values for name, values in shown.items()}
    if layer and vectors.asked is not None:
        columns["asked − given"] = vectors.asked - vectors.given
    rows = [[str(n), *(f"{values[n]:.5g}" for values in columns.values())] for n in units]
    return f"{_layer_name(found, layer)}, units {units[0]} to {units[-1]}", ["unit", *columns], rows


def _layer_name(found: "Trace", layer: int) -> str:
    return f"layer {layer} ({_kind(found, layer)})"


def _kind(found: "Trace", layer: int) -> str:
    return {0: "image", len(found.layers): "outputs"}.get(layer, "hidden")


def _write_units(path: Path, found: "Trace", selected: _Selected) -> None:
    from ..experiment.folder import write_csv

    rows = [
        [layer, n, *("" if v is None else float(v[n]) for v in found.units(layer))]
        for layer, units in sorted(selected)
        for n in units
    ]
    write_csv(path, ["layer", "unit", *found.units(0)._fields], rows)


def _arithmetic(
    found: "Trace", method: Any, network: "NetworkFile", chosen: argparse.Namespace
) -> list[tuple[str, list[list[str]]]]:
    """Take one unit apart, forward and backward, as titles and rows."""
    from ..diagnosis import backward_terms, forward_terms

    if chosen.unit is None:
        return []
    layer, unit = 1 if chosen.layer is None else chosen.layer, chosen.unit
    params, tables = network.params, []
    name = f"unit {unit} of {_layer_name(found, layer)}"
    if forward := forward_terms(found, params, layer, unit):
        ends = ("sum: given z", f"{found.layers[layer - 1].activation}: given")
        rows = _term_rows(forward, ends, f"layer {layer - 1}")
        tables.append((f"forward: {name}", rows))
    backward = None
    if found.target is not None:
        backward = backward_terms(found, method, network.model, params, layer, unit)
    if backward:
        ends = ("sum: found", "after the policy: asked")
        rows = _term_rows(backward, ends, f"layer {layer + 1}")
        asked_z = found.units(layer).asked_z
        if asked_z is not None:
            rows.append(["inverse activation: asked z", "", "", f"{asked_z[unit]:.5g}"])
        tables.append((f"backward: {name}; values are the asked z above it", rows))
    return tables


def _term_rows(terms: "Terms", ends: tuple[str, str], source: str) -> list[list[str]]:
    largest = terms.largest(_SHOWN)
    rows = [
        [f"{source}, unit {n}", *(f"{v:.5g}" for v in (terms.values[n], terms.weights[n], term))]
        for n, term in zip(largest, terms.terms[largest], strict=True)
    ]
    if rest := len(terms.values) - len(largest):
        others = terms.terms.sum() - terms.terms[largest].sum()
        rows.append([f"the {rest} others", "", "", f"{others:.5g}"])
    numbers = ("bias", terms.bias), (ends[0], terms.total), (ends[1], terms.result)
    return [*rows, *([name, "", "", f"{value:.5g}"] for name, value in numbers)]


def _explain(chosen: argparse.Namespace) -> None:
    import jax

    from ..diagnosis import Measurements, answers, findings, sensitivities
    from ..report import save_figure, sensitivity_figure
    from ..runtime.devices import computing
    from .console import Terminal

    use_hardware(chosen)
    check_outputs(chosen.json, chosen.figure)
    with computing(chosen.precision), Terminal() as terminal:
        network, data, _, _ = open_with_images(chosen, terminal.paragraph)
        targets = read_targets(chosen, network)
        key = jax.random.key(read_seed(chosen.seed))
        model, params = network.model, network.params
        measured = Measurements(model, params, targets, data, network.space, key)
        analytic = all(phi.inverse for phi in model.activations)
        if chosen.figure and not analytic:
            raise JaxbqError(
                "--figure: this network has an activation without inverse; leave --figure out"
            )
        turned = chosen.json or chosen.figure
        curves = sensitivities(model, params, targets, network.space) if turned and analytic else {}
        everything: dict[str, Any] = {}
        terminal.paragraph(_settings(chosen, network, targets))
        if chosen.json or not chosen.numbers:
            everything["answers"] = answers(measured)
        if chosen.json or chosen.numbers:
            everything |= {"findings": findings(measured), **_numbers(measured, analytic)}
        everything["sensitivity"] = curves
    if chosen.numbers:
        _show_numbers(terminal, everything, measured)
    else:
        for answer in everything["answers"]:
            _show_answer(terminal, answer, chosen, network)
        terminal.say("")
        terminal.say("All measurements:")
        terminal.command(["jaxbq", "explain", *repeated(chosen), "--numbers"], "  ")
    if chosen.json:
        _write_plain(Path(chosen.json), everything)
        terminal.say(f"saved {chosen.json}")
    if chosen.figure:
        save_figure(sensitivity_figure(curves), Path(chosen.figure))
        terminal.say(f"saved {chosen.figure}")


def _settings(chosen: argparse.Namespace, network: "NetworkFile", targets: "np.ndarray") -> str:
    """Say at what settings everything holds that follows."""
    model = network.model
    sizes = "-".join(map(str, model.sizes))
    names = ", ".join(dict.fromkeys([*model.hidden_names, model.output]))
    what = f"{len(targets)} targets" if len(targets) > 1 else "1 target"
    return (
        f"{chosen.weights}: {sizes}, {names}; {what}, from {targets.min():g} to "
        f"{targets.max():g}; {f'data {chosen.data}' if chosen.data else 'no data'}; "
        f"{chosen.precision}; seed {chosen.seed}. Options that a command does not name are the "
        "defaults. Largest error: of the outputs, mean over targets. Class mean r: correlation "
        "with the mean image of the class, mean over targets."
    )


def _show_answer(
    terminal: "Terminal", answer: "Answer", chosen: argparse.Namespace, network: "NetworkFile"
) -> None:
    terminal.say("")
    terminal.say(answer.question)
    terminal.paragraph(answer.picture, "  ")
    terminal.paragraph(answer.measured, "  ")
    if answer.command:
        name, *options = answer.command
        same = repeated(chosen, network.class_names, answer.target)
        terminal.command(["jaxbq", name, *same, *options], "  ")


def _numbers(measured: "Measurements", analytic: bool) -> dict[str, Any]:
    from ..diagnosis import alignments, losses_by_layer

    asked = measured.model, measured.params, measured.targets
    return {
        "layers": measured.facts,
        "alignment": alignments(measured),
        "losses": losses_by_layer(*asked, measured.reference.space) if analytic else {},
    }


def _show_numbers(
    terminal: "Terminal", everything: dict[str, Any], measured: "Measurements"
) -> None:
    for finding in everything["findings"]:
        terminal.paragraph(finding.sentence)
    columns, rows = _alignment_table(everything["alignment"])
    terminal.table(
        "correlation of the images with directions, mean over targets", columns, rows, stacked=True
    )
    if rows := _class_rows(measured):
        columns = ["target", "read as", "class mean r", "difference r", "contrast in still pixels"]
        terminal.table("the transpose image of each target", columns, rows, stacked=True)
    if everything["losses"]:
        terminal.table(*_loss_table(everything["losses"]), stacked=True)


def _class_rows(measured: "Measurements") -> list[list[str]]:
    """Show what is mush: the transpose images, target by target."""
    from ..diagnosis import transposed_by_class
    from ..network.targets import name_target

    data = measured.data
    if data is None:
        return []
    return [
        [
            name_target(target, data.class_names),
            data.class_names[row.read],
            f"{row.mean:.3f}",
            f"{row.difference:.3f}",
            f"{row.quiet:.0%}",
        ]
        for target, row in zip(measured.targets, transposed_by_class(measured), strict=False)
    ]


def _alignment_table(aligned: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    directions = list(next(iter(aligned.values()), {}))
    rows = [
        [direction, *(show_number(float(found[direction].mean())) for found in aligned.values())]
        for direction in directions
    ]
    return ["direction", *aligned], rows


def _loss_table(lost: dict[str, Any]) -> tuple[str, list[str], list[list[str]]]:
    title = "where fidelity is lost: the policy in one place only, box in all others"
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
    from ..runtime.files import write_text

    write_text(path, json.dumps(to_plain(content)) + "\n")
