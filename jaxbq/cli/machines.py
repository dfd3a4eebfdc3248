"""Arguments about where work is done: devices, platform, precision, workers."""

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import JaxbqError

if TYPE_CHECKING:
    from ..experiment.cells import Executor

_MOST = 1024
_GPUS = ("jax_cuda_visible_devices", "jax_rocm_visible_devices")


def add_hardware(command: argparse.ArgumentParser) -> None:
    """Take what the work is done on."""
    group = command.add_argument_group("what the work is done on")
    group.add_argument(
        "--devices",
        metavar="N",
        type=int,
        help="share images and batches among the first N GPUs (default: all); a CPU is one device",
    )
    group.add_argument(
        "--platform", choices=("cpu", "gpu"), help="default: a GPU where JAX finds one"
    )


def add_precision(command: argparse.ArgumentParser, default: str | None) -> None:
    """Take the precision; None as ``default`` leaves it to the config."""
    command.add_argument(
        "--precision",
        choices=("float32", "float64", "tf32"),
        default=default,
        help="of the computation; tf32 is float32 whose matrix products in an ascent accelerators "
        "may round (on a CPU it is float32)"
        + ("" if default else "; in place of the config's, so that the run folder is another"),
    )


def changes(chosen: argparse.Namespace) -> list[str]:
    """List all changes to a config: those of ``--set``, then the precision."""
    return [*chosen.set, *([f'precision="{chosen.precision}"'] if chosen.precision else [])]


def use_hardware(chosen: argparse.Namespace) -> None:
    """Set up what was chosen, before anything is computed.

    Raises:
        JaxbqError: there is no such device.
    """
    if chosen.devices is not None and not 1 <= chosen.devices <= _MOST:
        raise JaxbqError(f"--devices {chosen.devices}: use a whole number from 1 to {_MOST}")
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
        raise JaxbqError("--platform cpu: JAX has started on another; set JAX_PLATFORMS=cpu")
    if chosen.devices is not None and len(found) < chosen.devices:
        raise JaxbqError(
            f"--devices {chosen.devices}: there {'is' if len(found) == 1 else 'are'} {len(found)} "
            f"of platform {kind}; ask for no more"
        )


_WITHOUT_RESULT = ("--scheduler", "--workers", "--insecure")


def add_cluster(command: argparse.ArgumentParser) -> None:
    """Take who computes the cells of a run."""
    group = command.add_argument_group(
        "several processes or machines, by Dask (pip install 'jaxbq[cluster]'; docs/scaling.md)"
    )
    one = group.add_mutually_exclusive_group()
    one.add_argument(
        "--workers", metavar="N", type=int, help="share the work among N processes of this machine"
    )
    one.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="share it among the workers of a Dask scheduler: tcp://HOST:PORT, tls://HOST:PORT, or "
        "a scheduler's file; with --platform gpu, those with the resource GPU",
    )
    group.add_argument(
        "--insecure",
        action="store_true",
        help="allow a scheduler on another machine without TLS: whoever reaches it can run code "
        "on this one",
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
        raise JaxbqError("--insecure is about a --scheduler; leave it out")
    if chosen.workers is None and chosen.scheduler is None:
        yield None
        return
    flag = "--scheduler" if chosen.workers is None else "--workers"
    if chosen.workers is not None and not 1 <= chosen.workers <= _MOST:
        raise JaxbqError(f"--workers {chosen.workers}: use a whole number from 1 to {_MOST}")
    if chosen.devices is not None:
        raise JaxbqError(f"--devices is about one process; leave it out with {flag}")
    if chosen.scheduler is not None and chosen.platform == "cpu":
        raise JaxbqError("--platform cpu: start the workers of a scheduler with JAX_PLATFORMS=cpu")
    try:
        from ..experiment import cluster
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in ("distributed", "dask"):
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
            "--workers is for CPUs; start one dask worker for each GPU and give its --scheduler, "
            "see docs/scaling.md"
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
