"""Arguments about the machine: devices, platform, precision."""

import argparse
from typing import Any

from ..errors import JaxbqError
from ..threads import make_room

_MOST = 1024  # threads and buffers of every device: beyond, a CPU only suffers
_GPUS = ("jax_cuda_visible_devices", "jax_rocm_visible_devices")


def add_hardware(command: argparse.ArgumentParser) -> None:
    """Take what the work is done on."""
    group = command.add_argument_group("what the work is done on")
    group.add_argument(
        "--devices",
        metavar="N",
        type=int,
        help="share images and batches among so many: the first N GPUs (default: all), or N parts "
        "of a CPU, which have its cores between them and are no faster than one (default: 1)",
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
    set_hardware(chosen)
    check_hardware(chosen)


def set_hardware(chosen: argparse.Namespace) -> None:
    """Tell JAX what was chosen; it finds its devices once, when it first needs them.

    Raises:
        JaxbqError: a number of devices that cannot be.
    """
    if chosen.devices is not None and not 1 <= chosen.devices <= _MOST:
        raise JaxbqError(f"--devices {chosen.devices}: use a whole number from 1 to {_MOST}")
    if chosen.devices is None and chosen.platform is None:
        return
    import jax

    if (chosen.devices or 1) > 1:
        make_room(chosen.devices)
    settings: dict[str, Any] = {}
    if chosen.platform is not None:
        # None: JAX looks for a GPU first, and keeps the CPU too, which fetches exemplars.
        settings["jax_platforms"] = "cpu" if chosen.platform == "cpu" else None
    if chosen.devices is not None:
        # Which platform it will be is not known yet: the number holds for each.
        settings["jax_num_cpu_devices"] = chosen.devices
        settings |= dict.fromkeys(_GPUS, ",".join(map(str, range(chosen.devices))))
    for name, value in settings.items():
        try:
            jax.config.update(name, value)
        except RuntimeError:
            continue  # JAX knows its devices already; `check_hardware` sees whether they do


def check_hardware(chosen: argparse.Namespace) -> None:
    """Check that JAX found what was chosen.

    Raises:
        JaxbqError: it did not.
    """
    if chosen.devices is None and chosen.platform is None:
        return
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
