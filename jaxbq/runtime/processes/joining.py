"""Joining processes: where they meet, who is there, and jax.distributed over them."""

import contextlib
import importlib.util
import ipaddress
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ...errors import JaxbqError
from .coordinator import HEARTBEAT_TIMEOUT_S, LINGER_S
from .member import Member, Peer
from .store import JaxStore


@dataclass(frozen=True)
class Address:
    """A host and a port.

    Args:
        host: name or number, without the brackets of an IPv6 number.
        port: of TCP.
    """

    host: str
    port: int

    @classmethod
    def read(cls, text: str) -> "Address":
        """Read ``HOST:PORT``.

        Raises:
            JaxbqError: it is not of that form.
        """
        host, colon, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        # Of an IPv6 number without brackets, the last part would be taken for a port.
        bare = ":" in host and not text.startswith("[")
        if not colon or not host or bare or not port.isascii() or not port.isdecimal():
            raise JaxbqError(f"--coordinator {text}: write HOST:PORT, like 10.0.0.1:29500")
        if not 0 < int(port) < 2**16:
            raise JaxbqError(f"--coordinator {text}: a port is a number from 1 to 65535")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def listening(self) -> "Address":
        """Return what a server at this address is to listen on: as little as serves.

        The loopback alone where that is named, an interface alone where its number is; else, for
        a name, all interfaces, since a machine may know its own name by another number.
        """
        if self.host == "localhost":
            return Address("127.0.0.1", self.port)
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return Address("::", self.port) if socket.has_ipv6 else Address("0.0.0.0", self.port)
        return self


_RETRY_S = 0.25
_MOST_BYTES = 10**6
# All have met when they connect to the service.
_CONNECT_S = 60


@dataclass(frozen=True)
class Place:
    """A process's place among others.

    Args:
        coordinator: where they meet, on the machine of process 0.
        process: which this is, from 0.
        processes: of how many.
        devices: numbers of the devices of its machine that are its own; None for all it sees.
    """

    coordinator: Address
    process: int
    processes: int
    devices: tuple[int, ...] | None = None


def found_place(method: str | None, seconds: float) -> Place | None:
    """Let JAX find this process's place from Slurm, Open MPI, Kubernetes or a TPU's environment.

    Args:
        method: ``mpi4py``, which JAX does not try by itself; None for all others.
        seconds: to wait for the coordinator's name, where it has to be known.

    Returns:
        The place, or None where nothing was found.

    Raises:
        JaxbqError: something was found that cannot be used.
    """
    for found, package, install in (
        (method == "mpi4py", "mpi4py", "mpi4py"),
        ("KUBERNETES_SERVICE_HOST" in os.environ, "kubernetes", "'jax[k8s]'"),
    ):
        if found and importlib.util.find_spec(package) is None:
            raise JaxbqError(f"{package} is needed to find the others: pip install {install}")
    try:
        from jax._src.clusters import ClusterEnv

        address, processes, process, devices = ClusterEnv.auto_detect_unset_distributed_params(
            None, None, None, None, method, int(seconds)
        )
    # A closed list of what clusters' own code raises there is none.
    except Exception as fault:
        reason = " ".join(str(fault).split()) or type(fault).__name__
        raise JaxbqError(
            f"the cluster's settings cannot be used ({reason}); give --coordinator, --process-id "
            "and --processes"
        ) from fault
    if address is None or process is None or processes is None:
        return None
    return Place(Address.read(address), process, processes, tuple(devices) if devices else None)


def join(
    place: Place, about: Mapping[str, str], seconds: float, say: Callable[[str], None]
) -> Member:
    """Meet the other processes and join them by jax.distributed.

    Nothing may have been computed by JAX before.

    Args:
        place: of this process.
        about: what must be the same in all of them, by names that an error can show.
        seconds: to wait for the others.
        say: is given a line about what is waited for.

    Raises:
        JaxbqError: they do not meet, or do not fit each other.
    """
    helper = _coordinator(place, seconds, say) if place.process == 0 else None
    who = "the others" if helper else "process 0"
    say(f"process {place.process} of {place.processes}: waits for {who} at {place.coordinator}")
    try:
        peers = _meet(place, about, seconds)
        store = _connect(place)
    except BaseException:
        if helper:
            _stop(helper)
        raise
    return Member(store, place.process, peers, helper.stdin if helper else None)


def _coordinator(
    place: Place, seconds: float, say: Callable[[str], None]
) -> "subprocess.Popen[bytes]":
    """Start the coordinator beside process 0, and wait until it listens."""
    listening = place.coordinator.listening()
    told = {"host": listening.host, "port": listening.port}
    told |= {"processes": place.processes, "seconds": seconds}
    # That of a run before may linger.
    until = time.monotonic() + min(seconds, LINGER_S + 5.0)
    told_so = False
    while True:
        # Not of this session: Ctrl-C is for this process, which then lets it go.
        helper = subprocess.Popen(
            [sys.executable, "-P", "-m", "jaxbq.runtime.processes.coordinator"],
            env=_same_package(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        _write_line(helper.stdin, told)
        answer = _read_line(helper.stdout)
        if "listens" in answer:
            return helper
        _stop(helper)
        reason = answer.get("error", "it did not start")
        if not answer.get("busy") or time.monotonic() > until:
            raise JaxbqError(
                f"--coordinator {place.coordinator}: cannot listen there ({reason}); "
                "choose a free port of this machine, for all processes"
            )
        if not told_so:
            say(f"waits for {place.coordinator} to be free; a run before may hold it for a while")
            told_so = True
        time.sleep(1.0)


def _meet(place: Place, about: Mapping[str, str], seconds: float) -> list[Peer]:
    """Say who this is at the coordinator's, and hear who else is there."""
    hello = {"process": place.process, "processes": place.processes, "about": dict(about)}
    hello |= {"host": socket.gethostname(), "pid": os.getpid()}
    until = time.monotonic() + seconds
    while True:
        # The coordinator answers once it has waited long enough itself.
        answer = _ask(place.coordinator, hello, until, seconds + 10.0)
        if "peers" in answer:
            return [Peer(str(peer["host"]), int(peer["pid"])) for peer in answer["peers"]]
        # Something else answers: the coordinator of a run before, maybe, which soon goes.
        if "error" in answer or time.monotonic() > until:
            reason = answer.get("error", "what answers there is no jaxbq; choose another port")
            raise JaxbqError(f"at {place.coordinator}: {reason}")
        time.sleep(1.0)


def _ask(address: Address, hello: Any, until: float, seconds: float) -> dict[str, Any]:
    with _reach(address, until) as connection:
        connection.settimeout(seconds)
        try:
            connection.sendall(json.dumps(hello).encode() + b"\n")
            line = connection.makefile("rb").readline(_MOST_BYTES)
            answer = json.loads(line) if line else {"error": "process 0 has gone"}
        except (OSError, ValueError):
            return {}
        return answer if isinstance(answer, dict) else {}


def _reach(address: Address, until: float) -> socket.socket:
    begun = time.monotonic()
    while True:
        try:
            left = max(1.0, until - time.monotonic())
            return socket.create_connection((address.host, address.port), timeout=min(left, 10.0))
        except OSError as fault:
            if time.monotonic() > until:
                raise JaxbqError(
                    f"--coordinator {address}: process 0 cannot be reached there in "
                    f"{time.monotonic() - begun:.0f} s ({fault.strerror or fault}); start process "
                    "0, and look at address, port and firewall"
                ) from None
            time.sleep(_RETRY_S)


def _connect(place: Place) -> JaxStore:
    """Join jax.distributed, whose service the coordinator runs."""
    import jax
    from jax._src import distributed

    # It would keep SIGTERM for itself.
    if hasattr(jax.config, "jax_enable_preemption_service"):
        jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            str(place.coordinator),
            place.processes,
            place.process,
            local_device_ids=place.devices,
            cluster_detection_method="deactivate",
            initialization_timeout=_CONNECT_S,
            heartbeat_timeout_seconds=HEARTBEAT_TIMEOUT_S,
            # Process 0 begins a service in any case; this one, on the loopback, serves nobody.
            coordinator_bind_address="127.0.0.1:0",
        )
    except (RuntimeError, ValueError) as fault:
        reason = " ".join(str(fault).split())
        raise JaxbqError(f"jax.distributed cannot join {place.coordinator} ({reason})") from fault
    return JaxStore(distributed.global_state.client)


def _same_package() -> dict[str, str]:
    """Let the coordinator import this very package, and nothing of the folder it is started in."""
    root = str(Path(__file__).resolve().parents[2])
    paths = (root, os.environ.get("PYTHONPATH"))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _stop(helper: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(OSError):
        helper.kill()
        helper.communicate()


def _write_line(stream: IO[bytes] | None, content: Any) -> None:
    assert stream
    stream.write(json.dumps(content).encode() + b"\n")
    stream.flush()


def _read_line(stream: IO[bytes] | None) -> dict[str, Any]:
    assert stream
    line = stream.readline()
    return json.loads(line) if line else {}
