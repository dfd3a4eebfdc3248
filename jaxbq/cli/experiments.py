"""Commands about a config or its run folder: run, train, report, compare."""

import argparse
import contextlib
import math
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import JaxbqError
from .arguments import (
    add_config,
    changes,
    check_writable,
    show_number,
    unswept,
)
from .bundled import find_config
from .hardware import MOST_DEVICES, add_hardware, add_precision, use_hardware

if TYPE_CHECKING:
    from ..data import Dataset
    from ..experiment import Experiment, RunFolder
    from ..experiment.cells import Executor
    from ..experiment.finished import Run
    from .console import Terminal


def add_run(commands: Any) -> None:
    """Add ``jaxbq run``."""
    run = commands.add_parser(
        "run",
        help="run an experiment: train, back-query, score, draw",
        description="Run the experiment of a config, and write its results to a run folder. "
        "Results that are there from an earlier run are not computed again.",
        epilog="example: jaxbq run quickstart --set training.epochs=10 --out runs",
    )
    add_config(run)
    add_precision(run, None)
    add_hardware(run)
    run.add_argument(
        "--out", metavar="DIR", default="runs", help="folder for run folders (default: runs)"
    )
    run.add_argument(
        "--run-code",
        action="store_true",
        help="run the Python file that the config names as its network (python:FILE.py:NAME); only "
        "for code that you trust",
    )
    add_cluster(run)
    run.set_defaults(command=_run)


def add_train(commands: Any) -> None:
    """Add ``jaxbq train``."""
    train = commands.add_parser(
        "train",
        help="train the network of a config and save it",
        description="Train the network of a config and save it as safetensors.",
        epilog="example: jaxbq train quickstart --save digits.safetensors",
    )
    add_config(train)
    add_precision(train, None)
    add_hardware(train)
    train.add_argument("--save", metavar="FILE", required=True, help="network file to write")
    train.set_defaults(command=_train)


def _run(chosen: argparse.Namespace) -> None:
    with unswept("jaxbq.experiment"):
        from ..experiment import load_configs
        from ..runtime.timing import Timing, timed

    use_hardware(leading(chosen))
    experiments = load_configs(find_config(chosen.config), changes(chosen))
    with executor(chosen) as found, timed(Timing("import", chosen.begun)):
        _do(chosen, experiments, found)


def _do(
    chosen: argparse.Namespace,
    experiments: "list[tuple[str, Experiment]]",
    executor: "Executor | None",
) -> None:
    """Do the experiments, and show what came of them."""
    from .console import Terminal

    with unswept("jaxbq.report"):
        from ..experiment import run
        from ..experiment.finished import Run
        from ..report import build
        from ..runtime.timing import phase

    out, code = Path(chosen.out), chosen.run_code
    rows, folders, source = [], [], None
    data: Any = None
    drawn: dict[RunFolder, Run] = {}
    command = shlex.join(["jaxbq", *without_cluster(chosen.given)])

    def draw(folder: "RunFolder", keep_time: Callable[[], None]) -> None:
        drawn[folder] = Run(folder.path)
        assert data is not None
        _write_play(drawn[folder], data)
        build(drawn[folder], before_page=keep_time)

    with Terminal() as terminal:
        for what, experiment in experiments:
            if what:
                terminal.say(f"{what}:")
            if experiment.data != source:
                with phase("data"):
                    source, data = experiment.data, experiment.data.load()
            folders.append(run(experiment, out, terminal, data, draw, command, executor, code))
            overview = drawn[folders[-1]].overview.reset_index().to_dict("records")
            rows += [_summary_row(what, found) for found in overview]
    if len(experiments) == 1:
        rows = [{key: cell for key, cell in row.items() if key != "experiment"} for row in rows]
    # A column that says nothing of any method is left out.
    columns = [column for column in rows[0] if any(row[column] for row in rows)]
    title = (
        "best image of each target, means over targets and networks "
        "(before: in the image before the policy for the pixels)"
    )
    cells = [[row[column] for column in columns] for row in rows]
    terminal.table(title, columns, cells, grouped=len(experiments) > 1)
    if len(folders) > 1:
        labelled = [(w, drawn[each]) for (w, _), each in zip(experiments, folders, strict=True)]
        _compare_variants(labelled, out, terminal)
    if len(folders) == 1:
        folder = folders[0]
        terminal.say(f"images, scores, config: {folder.path}; pictures: {folder.figures}")
    for folder in folders:
        terminal.say(f"report: {folder.report}")


def _write_play(run: "Run", data: "Dataset") -> None:
    """Write a page to play with the first network beside the report, which links it."""
    from ..data import rescaled
    from ..diagnosis import matched
    from ..network.files import load_network
    from ..play import make_page
    from ..runtime.files import make_folder, write_text

    folder = run.folder
    source = str(folder.network(run.trained[0]).relative_to(folder.path))
    with contextlib.suppress(JaxbqError):  # too large, or no MLP: the report has no link
        others = {
            name.replace("_", " "): load_network(folder.network(name)).params
            for name in run.controls
        }
        space = run.network.space
        network, images = matched(run.network, rescaled(data, space.low, space.high), source)
        page = make_page(network, images, others, title=folder.path.name, source=source)
        write_text(make_folder(folder.report.parent) / "play.html", page.text)


def _compare_variants(labelled: "list[tuple[str, Run]]", out: Path, terminal: "Terminal") -> None:
    """Set the runs of one config side by side, in pictures and tables."""
    from ..report import draw_side_by_side
    from ..report.comparison import compare_runs
    from ..report.comparison_files import comparison_folder, write_comparison

    for picture in draw_side_by_side(labelled, out / "side-by-side"):
        terminal.say(f"side by side: {picture}")
    try:
        comparison = compare_runs(labelled)
    except JaxbqError as reason:
        terminal.say(f"not compared: {reason}")
        return
    where = comparison_folder([run for _, run in labelled], out / "comparisons")
    for path in write_comparison(comparison, where):
        terminal.say(f"comparison: {path}")


def _summary_row(what: str, found: "dict[Any, Any]") -> dict[str, str]:
    def share(column: str) -> str:
        return known(column, lambda count: f"{count:.0f}/{found['targets']}")

    def known(column: str, write: Callable[[float], str] = show_number) -> str:
        return "" if math.isnan(found[column]) else write(found[column])

    return {
        "experiment": what,
        "method": found["method"],
        # From what is asked first to what a narrow terminal leaves out first.
        "right": share("right"),
        "fidelity": known("fidelity"),
        "readability": known("readability"),
        "natural": known("naturalness"),
        "specificity": known("specificity"),
        "transfer": known("transfer"),
        "probability": known("probability"),
        "class mean r": known("correlation"),
        "right before": share("right_before"),
        "outside before": known("outside_before", "{:.0%}".format),
        "optima": known("distinct", "{:.1f}".format),
        "diversity": known("diversity"),
        "seconds": known("seconds", "{:.2f}".format),
    }


def _train(chosen: argparse.Namespace) -> None:
    from ..experiment import load_config, train_network
    from .console import Terminal

    use_hardware(chosen)
    save = Path(chosen.save)
    check_writable(save)
    # A config for training alone needs no methods.
    experiment = load_config(find_config(chosen.config), changes(chosen), need_methods=False)
    with Terminal() as terminal:
        history = train_network(experiment, save, terminal)
    reached = f"test accuracy {history[-1].test_accuracy:.4f}; " if history else ""
    terminal.say(f"{reached}saved {save}")


def add_report(commands: Any) -> None:
    """Add ``jaxbq report``."""
    report = commands.add_parser(
        "report",
        help="rebuild the report of a run: the page, tables, figures",
        description="Rebuild the report of a finished run from the files in its folder: "
        "report/index.html, tables/, figures/. Nothing is computed again.",
        epilog="example: jaxbq report runs/quickstart-1f2e3d4c --width column --format pdf",
    )
    report.add_argument("run", metavar="RUN", help="run folder")
    report.add_argument(
        "--width",
        metavar="WIDTH",
        default="natural",
        help="width of figures: column (3.4 inches), page (7 inches), or a number of inches "
        "(default: as wide as the content needs)",
    )
    report.add_argument(
        "--format",
        metavar="FORMAT",
        action="append",
        choices=("png", "pdf", "svg"),
        default=[],
        help="format of figures: png (default), pdf, svg; may be given more than once",
    )
    report.add_argument(
        "--across",
        choices=("fidelity", "specificity"),
        default="fidelity",
        help="horizontal axis of figures/plane: fidelity (default), or specificity: how much more "
        "an image answers its own network than others trained on the same data",
    )
    report.set_defaults(command=_report)


def _report(chosen: argparse.Namespace) -> None:
    from ..experiment import locked
    from ..experiment.finished import open_run
    from ..report import Style, build
    from .console import Terminal

    style = Style(_width(chosen.width), tuple(dict.fromkeys(chosen.format)) or ("png",))
    run = open_run(chosen.run)
    with Terminal() as terminal, locked(run.path):
        build(run, style, chosen.across)
        terminal.say(f"pictures: {run.folder.figures}; tables: {run.folder.tables}")
        terminal.say(f"report: {run.folder.report}")


def _width(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def add_compare(commands: Any) -> None:
    """Add ``jaxbq compare``."""
    compare = commands.add_parser(
        "compare",
        help="compare finished runs: differences with intervals",
        description="Compare runs with the first of them, method by method: means with intervals, "
        "differences, tests with Holm's correction, effect sizes. Refuses runs with "
        "different data, targets or scores.",
        epilog="example: jaxbq compare runs/small-1f2e3d4c runs/small-5a6b7c8d --score readability",
    )
    compare.add_argument("first", metavar="RUN", help="run folder to compare the others with")
    compare.add_argument(
        "others", metavar="RUN", nargs="+", help="run folders to compare with the first"
    )
    compare.add_argument(
        "--out",
        metavar="DIR",
        help="folder for tables and figures (default: a folder in runs/comparisons)",
    )
    compare.add_argument(
        "--score",
        metavar="NAME",
        action="append",
        default=[],
        help="column of scores.csv; may be given more than once (default: fidelity, readability, "
        "naturalness, transfer, specificity)",
    )
    compare.add_argument(
        "--label",
        metavar="TEXT",
        action="append",
        default=[],
        help="name of a run; once for each run, in their order (default: the options that differ "
        "from the first run)",
    )
    compare.set_defaults(command=_compare)


def _compare(chosen: argparse.Namespace) -> None:
    from ..errors import JaxbqError
    from ..experiment.finished import HEADLINES, open_run
    from ..report.comparison import compare_runs, label_runs
    from ..report.comparison_files import (
        comparison_folder,
        describe_comparison,
        shown_cells,
        write_comparison,
    )
    from .console import Terminal

    runs = [open_run(path) for path in (chosen.first, *chosen.others)]
    labels = chosen.label or label_runs(runs)
    if len(labels) != len(runs):
        raise JaxbqError(
            f"{len(labels)} --label for {len(runs)} runs; give one for each run, or none"
        )
    scores = tuple(dict.fromkeys(chosen.score)) or HEADLINES
    comparison = compare_runs(list(zip(labels, runs, strict=True)), scores)
    where = Path(chosen.out) if chosen.out else comparison_folder(runs, Path("runs/comparisons"))
    paths = write_comparison(comparison, where)
    terminal = Terminal()
    terminal.table(
        describe_comparison(comparison),
        ["method", "score", "run", "value", "difference", "p", "effect"],
        [[one.method, one.score, one.run, *shown_cells(one)] for one in comparison.found],
        grouped=True,
    )
    for path in paths:
        terminal.say(f"comparison: {path}")


# Who computes the cells of a run.

_WITHOUT_RESULT = ("--scheduler", "--workers", "--insecure")


def add_cluster(command: argparse.ArgumentParser) -> None:
    """Take who computes the cells of a run."""
    group = command.add_argument_group(
        "several processes or machines, with Dask (pip install 'jaxbq[cluster]'; docs/scaling.md)"
    )
    one = group.add_mutually_exclusive_group()
    one.add_argument(
        "--workers", metavar="N", type=int, help="share the work among N processes on this machine"
    )
    one.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="share the work among the workers of a Dask scheduler: tcp://HOST:PORT, "
        "tls://HOST:PORT, or a scheduler's file; with --platform gpu, only workers with the "
        "resource GPU",
    )
    group.add_argument(
        "--insecure",
        action="store_true",
        help="allow a scheduler on another machine without TLS; anyone who can reach it can then "
        "run code on this machine",
    )


def leading(chosen: argparse.Namespace) -> argparse.Namespace:
    """Return what this process itself computes on: a CPU where workers compute the cells."""
    if chosen.workers is None and chosen.scheduler is None:
        return chosen
    return argparse.Namespace(devices=None, platform="cpu")


@contextlib.contextmanager
def executor(chosen: argparse.Namespace) -> "Iterator[Executor | None]":
    """Start or find who computes the cells of a run; None for this process.

    Raises:
        JaxbqError: there is nobody, or Dask is not installed.
    """
    if chosen.insecure and chosen.scheduler is None:
        raise JaxbqError("--insecure needs --scheduler; leave it out")
    if chosen.workers is None and chosen.scheduler is None:
        yield None
        return
    flag = "--scheduler" if chosen.workers is None else "--workers"
    if chosen.workers is not None and not 1 <= chosen.workers <= MOST_DEVICES:
        raise JaxbqError(f"--workers {chosen.workers}: use a whole number from 1 to {MOST_DEVICES}")
    if chosen.devices is not None:
        raise JaxbqError(f"--devices applies to a single process; leave it out with {flag}")
    if chosen.scheduler is not None and chosen.platform == "cpu":
        raise JaxbqError("--platform cpu: start the workers of a scheduler with JAX_PLATFORMS=cpu")
    try:
        from ..experiment import cluster
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in ("distributed", "dask", "threadpoolctl"):
            raise
        raise JaxbqError(f"{flag} needs Dask: pip install 'jaxbq[cluster]'") from None
    if chosen.scheduler is not None:
        resources = {"GPU": 1.0} if chosen.platform == "gpu" else None
        with cluster.connected(
            chosen.scheduler, insecure=chosen.insecure, resources=resources
        ) as found:
            yield found
        return
    if chosen.platform == "gpu":
        raise JaxbqError(
            "--workers uses CPUs; for GPUs start one dask worker for each and give its "
            "--scheduler, see docs/scaling.md"
        )
    with cluster.local(chosen.workers, {"JAX_PLATFORMS": "cpu"}) as found:
        yield found


def without_cluster(given: "Sequence[str]") -> list[str]:
    """Leave out of a command who computes: it changes nothing that comes out."""
    kept, skip = [], False
    for word in given:
        name, equals, _ = word.partition("=")
        known = not skip and name in _WITHOUT_RESULT
        if not skip and not known:
            kept.append(word)
        skip = known and not equals and name != "--insecure"
    return kept
