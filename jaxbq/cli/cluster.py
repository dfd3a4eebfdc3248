"""Arguments about several processes, and what a command does among them."""

import argparse
import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import JaxbqError

if TYPE_CHECKING:
    from ..processes import Member, Place

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
    from ..cache import version_of
    from ..processes import join

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
    from ..processes import Address, Place

    number, many = chosen.process_id, chosen.processes
    if not 1 <= many <= _MOST_PROCESSES:
        raise JaxbqError(f"--processes {many}: give a number from 1 to {_MOST_PROCESSES:,}")
    if not 0 <= number < many:
        raise JaxbqError(f"--process-id {number}: with --processes {many}, give 0 to {many - 1}")
    address = Address.read(chosen.coordinator)
    return Place(address, number, many) if many > 1 else None


def _found_place(chosen: argparse.Namespace) -> "Place | None":
    from ..processes import found_place

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
