"""Threads for parts of a CPU; without JAX, since it must be told of them before it starts."""

import os
import re
import sys

_VARIABLE = "NPROC"  # of XLA


def threads() -> int:
    """Say how many threads JAX has for all CPUs: as many as there are cores, or as it was told."""
    told = os.environ.get(_VARIABLE, "")
    if told.isdecimal() and int(told):
        return int(told)
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def make_room(parts: int | None = None) -> None:
    """Ask for one thread more for every part of a CPU; :mod:`~jaxbq.runtime.devices` says why.

    Args:
        parts: how many there will be; by default those that the environment asks for, and then
            nothing is done where it asks for threads too, or where JAX has started.
    """
    if parts is None:
        parts = _asked()
        if parts == 1 or _VARIABLE in os.environ or _has_started():
            return
    os.environ[_VARIABLE] = str(threads() + parts)


def _asked() -> int:
    told = os.environ.get("JAX_NUM_CPU_DEVICES", "")
    flag = r"--xla_force_host_platform_device_count=(\d+)"
    found = re.findall(flag, os.environ.get("XLA_FLAGS", ""))
    return max([1, *map(int, found), int(told) if told.isdecimal() else 1])


def _has_started() -> bool:
    bridge = sys.modules.get("jax._src.xla_bridge")
    return bridge is not None and bool(bridge.backends_are_initialized())
