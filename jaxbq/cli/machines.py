"""Arguments about the machine and about several: devices, platform, precision, processes."""

import argparse
import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import JaxbqError

if TYPE_CHECKING:
    from ..runtime.processes import Member, Place

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


_MOST_PROCESSES = 10_000
_FLAGS = ("--coordinator", "--process-id", "--processes", "--cluster", "--wait")


def add_cluster(command: argparse.ArgumentParser) -> None:
    """Take this process's place among several."""
    group = command.add_argument_group(
        "several machines: give the same command on each, with its own number (docs/scaling.md)"
    )
    group.add_argument(
        "--coordinator", metavar="HOST:PORT", help="machine of process 0, and a free port there"
    )
    group.add_argument("--process-id", metavar="K", type=int, help="this process, from 0")
    group.add_argument("--processes", metavar="N", type=int, help="how many there are")
    group.add_argument(
        "--cluster",
        choices=("auto", "mpi4py", "none"),
        help="auto: let JAX find the three in the environment of Slurm, Open MPI or Kubernetes, as "
        "is done anyway in a job step of srun or mpirun with several tasks; mpi4py: ask it; none: "
        "run alone whatever there is",
    )
    group.add_argument(
        "--wait",
        metavar="SECONDS",
        type=float,
        default=300.0,
        help="how long to wait for all processes to come (default: 300)",
    )


@contextlib.contextmanager
def joined(chosen: argparse.Namespace, about: Mapping[str, str]) -> "Iterator[Member | None]":
    """Be one of several processes, if the arguments or the environment say so.

    An error or Ctrl-C inside ends all of them, this one too.

    Args:
        chosen: the arguments.
        about: what must be the same in all processes, by names that an error can show.

    Yields:
        This process among the others; None where it is alone.

    Raises:
        JaxbqError: the arguments make no sense, or the processes do not meet.
    """
    place = _place(chosen)
    if place is None:
        yield None
        return
    from ..runtime.cache import version_of
    from ..runtime.processes import join

    versions = {f"version of {name}": str(version_of(name)) for name in ("jaxbq", "jax")}
    member = join(place, versions | dict(about), chosen.wait, lambda line: print(line, flush=True))
    member.begin()
    try:
        yield member
        member.finish()
    except BaseException as fault:
        _end(member, fault)


def _end(member: "Member", fault: BaseException) -> NoReturn:
    """End all processes; what the main program would say, said here, since they may not wait."""
    who = member.describe(member.process)
    if isinstance(fault, JaxbqError):
        member.fail(" ".join(str(fault).split()))
    elif isinstance(fault, KeyboardInterrupt):
        line = f"interrupted; {member.stays}"
        member.end(f"jaxbq: {line}", f"jaxbq: {who}: {line}", 130)
    elif isinstance(fault, MemoryError):
        member.fail("out of memory; ask for fewer images at once")
    else:
        import traceback

        import jax

        if isinstance(fault, jax.errors.JaxRuntimeError):
            # What all compute together breaks where one is lost; whose silence it is, ends this.
            member.await_loss()
        traceback.print_exception(fault)
        member.fail(f"{type(fault).__name__}: {fault}", 1)
    raise fault


def _place(chosen: argparse.Namespace) -> "Place | None":
    """Find this process's place in the arguments, or in the environment."""
    given = {
        name: getattr(chosen, name.replace("-", "_"))
        for name in ("coordinator", "process-id", "processes")
    }
    missing = [f"--{name}" for name, value in given.items() if value is None]
    if not 0 < chosen.wait <= 10**6:
        raise JaxbqError(f"--wait {chosen.wait:g}: give a number of seconds")
    if len(missing) < len(given):
        if chosen.cluster:
            raise JaxbqError(f"--cluster {chosen.cluster}: give it without the place itself")
        if missing:
            raise JaxbqError(
                f"{' and '.join(missing)} missing: give --coordinator, --process-id and "
                "--processes together"
            )
        return _given_place(chosen)
    if chosen.cluster == "none" or not (chosen.cluster or _among_tasks(os.environ)):
        return None
    return _found_place(chosen)


def _given_place(chosen: argparse.Namespace) -> "Place | None":
    from ..runtime.processes import Address, Place

    number, many = chosen.process_id, chosen.processes
    if not 1 <= many <= _MOST_PROCESSES:
        raise JaxbqError(f"--processes {many}: give a number from 1 to {_MOST_PROCESSES:,}")
    if not 0 <= number < many:
        raise JaxbqError(f"--process-id {number}: with --processes {many}, give 0 to {many - 1}")
    address = Address.read(chosen.coordinator)
    return Place(address, number, many) if many > 1 else None


def _found_place(chosen: argparse.Namespace) -> "Place | None":
    from ..runtime.processes import found_place

    place = found_place("mpi4py" if chosen.cluster == "mpi4py" else None, chosen.wait)
    if place is None:
        raise JaxbqError(
            "no cluster was found whose settings JAX knows (Slurm, Open MPI, Kubernetes); give "
            "--coordinator, --process-id and --processes, or --cluster none to run alone"
        )
    if _tasks_here(os.environ) == 1 or _one_device(os.environ):
        import dataclasses

        # JAX gives each task one device of its machine, by its number there.
        place = dataclasses.replace(place, devices=None)
    return place if place.processes > 1 else None


def _among_tasks(environment: Mapping[str, str]) -> bool:
    """Tell whether srun or mpirun started this process as one of several.

    In the shell or the batch script of a Slurm job, which has tasks but is none, it did not. An
    indexed job of Kubernetes does not count: its pods may well be runs of their own.
    """
    tasks = environment.get("SLURM_STEP_NUM_TASKS", "")
    ranks = environment.get("OMPI_COMM_WORLD_SIZE", "")
    return any(number.isdecimal() and int(number) > 1 for number in (tasks, ranks))


def _tasks_here(environment: Mapping[str, str]) -> int | None:
    """How many tasks there are on this machine; None where that is not known."""
    ranks = environment.get("OMPI_COMM_WORLD_LOCAL_SIZE", "")
    tasks, nodes = (environment.get(f"SLURM_STEP_NUM_{what}", "") for what in ("TASKS", "NODES"))
    if ranks.isdecimal():
        return int(ranks)
    if tasks.isdecimal() and nodes.isdecimal() and tasks == nodes:
        return 1
    return None


def _one_device(environment: Mapping[str, str]) -> bool:
    """Tell whether the launcher has chosen this task's GPU already."""
    seen = environment.get("CUDA_VISIBLE_DEVICES", "")
    return bool(seen) and "," not in seen


def about_experiments(experiments: "list[tuple[str, Any]]") -> dict[str, str]:
    """Sum up the experiments of a command, which must be the same in all processes."""
    return {"config": "+".join(experiment.digest for _, experiment in experiments)[:200]}


def without_place(given: "Sequence[str]") -> list[str]:
    """Leave out of a command what is about several processes: none of it changes what comes out."""
    kept, skip = [], False
    for word in given:
        name, equals, _ = word.partition("=")
        if not skip and name not in _FLAGS:
            kept.append(word)
        skip = not skip and name in _FLAGS and not equals
    return kept
