"""The command line. Heavy imports are inside the commands: ``jaxbq --help`` must answer at once."""

import argparse
import contextlib
import os
import re
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from .errors import JaxbqError

if TYPE_CHECKING:
    import numpy as np

    from .console import Terminal
    from .data import Dataset, Reference
    from .diagnosis import Trace
    from .evaluation import Scores
    from .methods import Result
    from .report import Summary
    from .weights import NetworkFile

_MISTAKE = 2
_INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line."""
        self.exit(_MISTAKE, f"{self.prog}: error: {message} (see {self.prog} --help)\n")

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # A vector such as -0.9,0.1 is a value, no option.
        self._negative_number_matcher = re.compile(r"^-\d|^-\.\d")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0, or 2 after a mistake of the user's, said in one line, or 130 after Ctrl-C.
    """
    chosen = _parser().parse_args(arguments)
    try:
        chosen.command(chosen)
    except JaxbqError as mistake:
        print(f"jaxbq: error: {' '.join(str(mistake).split())}", file=sys.stderr)
        return _MISTAKE
    except MemoryError:
        print("jaxbq: error: out of memory; ask for fewer images at once", file=sys.stderr)
        return _MISTAKE
    except KeyboardInterrupt:
        print("jaxbq: interrupted; what was finished stays", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe has gone, as `| head` does; Python must not complain at exit too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="jaxbq",
        description="Ask a neural network what a 0 is to it: run it backwards, by every route.",
        epilog="example: jaxbq run configs/quickstart.toml",
    )
    parser.add_argument("--version", action="version", version=f"jaxbq {_version()}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_run(commands)
    _add_train(commands)
    _add_invert(commands)
    _add_trace(commands)
    _add_explain(commands)
    return parser


def _add_run(commands: Any) -> None:
    run = commands.add_parser(
        "run",
        help="do an experiment: train, back-query, score, draw",
        description="Do what a config says, in a run folder; what is there already is not redone.",
        epilog="example: jaxbq run configs/quickstart.toml --set training.epochs=10 --out runs",
    )
    _add_config(run)
    run.add_argument(
        "--out", metavar="DIR", default="runs", help="where run folders are made (default: runs)"
    )
    run.set_defaults(command=_run)


def _add_train(commands: Any) -> None:
    train = commands.add_parser(
        "train",
        help="train the network of a config and save it",
        description="Train the network of a config and save it as safetensors.",
        epilog="example: jaxbq train configs/quickstart.toml --save digits.safetensors",
    )
    _add_config(train)
    train.add_argument("--save", metavar="FILE", required=True, help="network file to write")
    train.set_defaults(command=_train)


def _add_config(command: argparse.ArgumentParser) -> None:
    command.add_argument("config", metavar="CONFIG", help="experiment in TOML")
    command.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="change one option, as often as wanted: training.epochs=5, methods.1.steps=200",
    )


def _add_invert(commands: Any) -> None:
    invert = commands.add_parser(
        "invert",
        help="back-query a saved network by one method",
        description="Back-query a saved network; by default for every class.",
        epilog="example: jaxbq invert digits.safetensors --method ascent --set steps=1000 "
        "--target 0 --figure zero.png",
    )
    _add_network(invert)
    _add_method(invert, required=True)
    invert.add_argument(
        "--out", metavar="FILE", help="npz to write: images, targets, outputs, reasons"
    )
    invert.add_argument("--figure", metavar="FILE", help="picture to write, .png or .pdf")
    invert.set_defaults(command=_invert)


def _add_trace(commands: Any) -> None:
    trace = commands.add_parser(
        "trace",
        help="show the numbers of a back-query, layer by layer",
        description="Show every layer of a back-query, backward and forward, for one target.",
        epilog="example: jaxbq trace digits.safetensors --target 0 --method pseudo_inverse "
        "--figure trace.png",
    )
    _add_network(trace)
    _add_method(trace, required=False)
    trace.add_argument("--json", metavar="FILE", help="file to write every number to")
    trace.add_argument("--figure", metavar="FILE", help="picture to write, .png or .pdf")
    trace.set_defaults(command=_trace)


def _add_explain(commands: Any) -> None:
    explain = commands.add_parser(
        "explain",
        help="say why each way back gives what it gives",
        description="Measure a saved network and say in plain sentences, each with its number, "
        "why each way back gives what it gives.",
        epilog="example: jaxbq explain digits.safetensors --data mnist-10k",
    )
    _add_network(explain)
    explain.add_argument("--json", metavar="FILE", help="file to write every number to")
    explain.add_argument(
        "--figure", metavar="FILE", help="picture of the sensitivity to margin, ridge and rcond"
    )
    explain.set_defaults(command=_explain)


def _add_network(command: argparse.ArgumentParser) -> None:
    command.add_argument("weights", metavar="WEIGHTS", help="network file that jaxbq saved")
    command.add_argument(
        "--target", metavar="CLASS", action="append", default=[], help="class by name"
    )
    command.add_argument(
        "--target-vector",
        metavar="NUMBERS",
        action="append",
        default=[],
        help='wanted outputs, like "0.99,0.01,…"',
    )
    command.add_argument(
        "--data",
        metavar="SOURCE",
        help="data set for methods and scores that need images: mnist-10k, mnist, or an IDX folder",
    )
    command.add_argument("--seed", type=int, default=0, help="all randomness comes from it")
    command.add_argument(
        "--precision", choices=("float32", "float64"), default="float32", help="of the computation"
    )


def _add_method(command: argparse.ArgumentParser, *, required: bool) -> None:
    command.add_argument(
        "--method",
        metavar="KIND",
        required=required,
        default="transpose",
        help="transpose, pseudo_inverse, preimage, ascent: a kind as in configs"
        + ("" if required else " (default: transpose)"),
    )
    command.add_argument(
        "--set",
        metavar="OPTION=VALUE",
        action="append",
        default=[],
        help="option of the method, as in configs: steps=1000, pixel_policy=clip",
    )


def _run(chosen: argparse.Namespace) -> None:
    from .console import Terminal
    from .experiment import load_configs, run
    from .report import build

    experiments = load_configs(chosen.config, chosen.set)
    rows, folders = [], []
    with Terminal() as terminal:
        for what, experiment in experiments:
            if what:
                terminal.say(f"{what}:")
            folders.append(run(experiment, Path(chosen.out), terminal))
            rows += [_summary_row(what, line) for line in build(folders[-1])]
    columns = ["method", "right", "largest error", "right before", "outside before"]
    columns += ["probability", "class mean r", "seconds"]
    if len(experiments) > 1:
        columns.insert(0, "experiment")
    else:
        rows = [row[1:] for row in rows]
    title = (
        "what the network reads in the returned images, best sample of each target "
        "(before: in the image before the policy at its pixels)"
    )
    terminal.table(title, columns, rows)
    for folder in folders:
        terminal.say(f"images, scores, config: {folder.path}; pictures: {folder.figures}")


def _summary_row(what: str, line: "Summary") -> list[str]:
    return [
        what,
        line.method,
        f"{line.right}/{line.targets}",
        f"{line.largest_error:.3f}",
        "" if line.right_before is None else f"{line.right_before}/{line.targets}",
        "" if line.outside_before is None else f"{line.outside_before:.0%}",
        f"{line.probability:.3f}",
        _number(line.correlation),
        f"{line.seconds:.2f}",
    ]


def _train(chosen: argparse.Namespace) -> None:
    from .console import Terminal
    from .experiment import load_config, train_network

    save = Path(chosen.save)
    _check_writable(save)
    # A config for training alone needs no methods.
    experiment = load_config(chosen.config, chosen.set, need_methods=False)
    with Terminal() as terminal:
        history = train_network(experiment, save, terminal)
    terminal.say(f"test accuracy {history[-1].test_accuracy:.4f}; saved {save}")


def _invert(chosen: argparse.Namespace) -> None:
    import jax

    from .console import Terminal
    from .evaluation import score
    from .experiment.folder import write_npz
    from .methods import invert
    from .report import plot
    from .weights import load_network

    method = _read_method(chosen.method, chosen.set)
    _check_outputs(chosen.out, chosen.figure)
    with jax.enable_x64(chosen.precision == "float64"), Terminal() as terminal:
        network = load_network(chosen.weights, chosen.precision)
        targets = _targets(chosen, network)
        data, reference = _images(chosen.data, network)
        result = invert(
            method,
            network.model,
            network.params,
            targets,
            reference=reference,
            key=jax.random.key(_seed(chosen.seed)),
            progress=lambda done, total: terminal.progress(chosen.method, done, total),
        )
        scores = score(result, network.model.output, data)
    _show_scores(terminal, result, scores, network)
    if chosen.out:
        names = ("images", "targets", "outputs", "reasons", "iterations")
        write_npz(Path(chosen.out), {name: getattr(result, name) for name in names})
        terminal.say(f"saved {chosen.out}")
    if chosen.figure:
        plot(result, chosen.figure, class_names=network.class_names)
        terminal.say(f"saved {chosen.figure}")


def _trace(chosen: argparse.Namespace) -> None:
    import jax

    from .console import Terminal
    from .diagnosis import trace
    from .report import trace_figure
    from .report.figures import save_figure
    from .weights import load_network

    method = _read_method(chosen.method, chosen.set)
    _check_outputs(chosen.json, chosen.figure)
    with jax.enable_x64(chosen.precision == "float64"), Terminal() as terminal:
        network = load_network(chosen.weights, chosen.precision)
        if len(chosen.target) + len(chosen.target_vector) != 1:
            raise JaxbqError("a trace is of one target: give one --target or one --target-vector")
        target = _targets(chosen, network)[0]
        _, reference = _images(chosen.data, network)
        key = jax.random.key(_seed(chosen.seed))
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
                _short(layer.outside_amount),
                _short(layer.residual_before),
                _short(layer.residual_after),
                _short(layer.apart),
            ]
        )
    return columns, rows


def _explain(chosen: argparse.Namespace) -> None:
    import jax

    from .console import Terminal
    from .diagnosis import alignments, explain, layer_facts, losses_by_layer, sensitivities
    from .report import sensitivity_figure
    from .report.figures import save_figure
    from .weights import load_network

    _check_outputs(chosen.json, chosen.figure)
    with jax.enable_x64(chosen.precision == "float64"), Terminal() as terminal:
        network = load_network(chosen.weights, chosen.precision)
        targets = _targets(chosen, network)
        data, reference = _images(chosen.data, network)
        key = jax.random.key(_seed(chosen.seed))
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
        [direction, *(_number(float(found[direction].mean())) for found in aligned.values())]
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

    from .diagnosis import to_plain
    from .files import write_text

    write_text(path, json.dumps(to_plain(content)) + "\n")


def _read_method(kind: str, changes: Sequence[str]) -> Any:
    from .experiment.config import apply_change
    from .methods import AnyMethod
    from .options import validate

    table: dict[str, Any] = {"kind": kind}
    for change in changes:
        apply_change(table, change)
    return validate(AnyMethod, table, "--method")


def _targets(chosen: argparse.Namespace, network: "NetworkFile") -> "np.ndarray":
    import numpy as np

    from .targets import Codes

    names, outputs = network.class_names, network.model.sizes[-1]
    classes = [_class(name, names) for name in chosen.target]
    vectors = [_vector(text, outputs) for text in chosen.target_vector]
    if classes or not vectors:
        codes = Codes(classes=tuple(classes)).targets(outputs, network.model.output)
        vectors = [*codes, *vectors]
    return np.array(vectors)


def _class(name: str, names: Sequence[str]) -> int:
    if name not in names:
        shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
        raise JaxbqError(f"--target {name}: no such class; the network knows {shown}")
    return list(names).index(name)


def _vector(text: str, outputs: int) -> list[float]:
    try:
        vector = [float(part) for part in text.split(",")]
    except ValueError:
        raise JaxbqError(f"--target-vector {text}: write numbers with commas between") from None
    if len(vector) != outputs:
        raise JaxbqError(
            f"--target-vector has {len(vector)} values, but the network has {outputs} outputs"
        )
    return vector


def _images(
    source: str | None, network: "NetworkFile"
) -> tuple["Dataset | None", "Reference | Dataset"]:
    from .data import Idx, Mnist, Mnist10k, Reference
    from .training import check_ends

    if source is None:
        return None, Reference(network.space)
    book = network.space.low > 0
    kinds = {"mnist-10k": Mnist10k, "mnist": Mnist}
    if source in kinds:
        data = kinds[source](book_scaling=book).load()
    else:
        data = Idx(path=source, class_names=network.class_names, book_scaling=book).load()
    check_ends(network.model, data)
    return data, data


def _show_scores(
    terminal: "Terminal", result: "Result", scores: "Scores", network: "NetworkFile"
) -> None:
    import numpy as np

    from .methods import reason_name

    names = network.class_names
    rows = [
        (
            names[scores.intended[t, s]],
            str(s),
            names[scores.predicted[t, s]],
            "yes" if scores.right[t, s] else "no",
            f"{scores.target_probability[t, s]:.3f}",
            f"{scores.largest_error[t, s]:.4f}",
            _number(scores.correlation_own[t, s]),
            str(result.iterations[t, s]),
            reason_name(result.reasons[t, s]),
        )
        for t, s in np.ndindex(*result.reasons.shape)
    ]
    columns = ["target", "sample", "read", "right", "probability", "largest error"]
    columns += ["class mean r", "iterations", "reason"]
    terminal.table("what the network reads in the returned images", columns, rows)


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _number(value: Any) -> str:
    return "" if value is None or value != value else f"{value:.3f}"  # noqa: PLR0124


def _seed(value: int) -> int:
    if not 0 <= value < 2**32:
        raise JaxbqError(f"--seed {value}: use a whole number from 0 to {2**32 - 1}")
    return value


def _check_outputs(file: str | None, figure: str | None) -> None:
    """Refuse output files that cannot be written, before any work is done for them."""
    from .report.figures import check_format

    if file:
        _check_writable(Path(file))
    if figure:
        _check_writable(Path(figure))
        check_format(Path(figure))


def _check_writable(path: Path) -> None:
    """Refuse a place that cannot be written before any work is done for it."""
    if path.is_dir():
        raise JaxbqError(f"{path}: is a folder; name a file")
    if not path.parent.is_dir():
        raise JaxbqError(f"{path}: there is no folder {path.parent}; make it first")
    if not os.access(path.parent, os.W_OK):
        raise JaxbqError(f"{path}: cannot be written; choose another place")


def _version() -> str:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version("jaxbq")
    return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
