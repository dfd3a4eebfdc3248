"""What the work is done on: devices, platform, precision."""

import argparse
from typing import Any

from ..errors import JaxbqError

MOST_DEVICES = 1024
_GPUS = ("jax_cuda_visible_devices", "jax_rocm_visible_devices")


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
