"""The coordinator, a process beside process 0: first the meeting, then the service of JAX.

It is a process of its own because JAX ends every process, with a trace of C++ calls, at the moment
in which that of its service dies. So the service outlives process 0 for long enough that the others
can notice, say so, and go.

It is told what to do in a line of JSON on standard input and answers in one on standard output;
another line is a number of seconds after which to go; without it, it stays for LINGER_S.
"""

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from .heartbeat import SILENCE_S

# For the others to notice that process 0 has gone, and to say so.
LINGER_S = SILENCE_S + 10.0
_MOST_BYTES = 10_000
_HELLO_S = 5.0
_LOOK_S = 1.0
# Above those of this package: JAX's own would come with a trace of C++ calls.
HEARTBEAT_TIMEOUT_S = 120
_SHUTDOWN_TIMEOUT_S = 30


class Meeting:
    """Waits until every process has come, each with the same to say about the run.

    Args:
        processes: how many are to come.
        seconds: to wait for them.
    """

    def __init__(self, processes: int, seconds: float) -> None:
        self._processes, self._until = processes, time.monotonic() + seconds
        self._came: dict[int, tuple[socket.socket, Mapping[str, Any]]] = {}
        self._seconds = seconds

    def wait(self, listening: socket.socket) -> list[dict[str, Any]]:
        """Return what each process says of itself, by number.

        Raises:
            ValueError: they do not all come, or do not fit each other; the text says why.
        """
        with listening:
            while self._drop_gone() < self._processes:
                left = self._until - time.monotonic()
                if left <= 0:
                    raise ValueError(self._missing())
                listening.settimeout(min(left, _LOOK_S))
                with contextlib.suppress(OSError):
                    self._meet(listening.accept()[0])
        self._compare()
        return [dict(self._came[number][1]) for number in range(self._processes)]

    def tell(self, answer: Mapping[str, Any]) -> None:
        """Answer all who came, process 0 last: an error that it hears of ends this process."""
        for number in sorted(self._came, key=lambda number: number == 0):
            connection = self._came[number][0]
            with contextlib.suppress(OSError), connection:
                connection.sendall(json.dumps(answer).encode() + b"\n")

    def _meet(self, connection: socket.socket) -> None:
        """Hear who it is; a stranger, of whom there is no telling, is not heard."""
        connection.settimeout(_HELLO_S)
        try:
            hello = json.loads(connection.makefile("rb").readline(_MOST_BYTES))
            process, processes = int(hello["process"]), int(hello["processes"])
            who = f"{hello['host']}, pid {hello['pid']}"
            hello["about"].items()
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            connection.close()
            return
        self._drop_gone()
        known = self._came.get(process)
        self._came[process if known is None else -1] = connection, hello
        if processes != self._processes:
            raise ValueError(
                f"process {process} ({who}) was started as one of {processes} processes, process 0 "
                f"as one of {self._processes}; give all the same --processes"
            )
        if known is not None:
            raise ValueError(
                f"two processes are number {process}: {known[1]['host']}, pid {known[1]['pid']}, "
                f"and {who}; give each a --process-id of its own"
            )

    def _drop_gone(self) -> int:
        """Forget who has gone while the others were waited for; return how many are there."""
        for process, (connection, _) in list(self._came.items()):
            if _is_gone(connection):
                del self._came[process]
                connection.close()
        return len(self._came)

    def _missing(self) -> str:
        missing = [str(n) for n in range(self._processes) if n not in self._came]
        return (
            f"{len(self._came)} of {self._processes} processes came within {self._seconds:g} s; "
            f"missing: process {', '.join(missing[:20])}; start all of them, with the same "
            "--coordinator, or wait longer with --wait"
        )

    def _compare(self) -> None:
        first = self._came[0][1]["about"]
        for number, (_, hello) in sorted(self._came.items()):
            for name, value in first.items():
                if hello["about"].get(name) != value:
                    raise ValueError(
                        f"process {number} ({hello['host']}, pid {hello['pid']}) has another "
                        f"{name} than process 0: {hello['about'].get(name)}, not {value}; "
                        "give all processes the same"
                    )


def _is_gone(connection: socket.socket) -> bool:
    """Tell whether the other side has closed its end. It has nothing to say before the answer."""
    connection.settimeout(0.0)
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


def main() -> None:
    """Hold the meeting, then serve until process 0 lets go, and a while if it died."""
    told = json.loads(sys.stdin.readline())
    gone, met = threading.Event(), threading.Event()
    threading.Thread(target=_let_go, args=(gone, met), daemon=True).start()
    try:
        listening = _listen(told["host"], told["port"])
    except OSError as fault:
        _answer({"error": fault.strerror or str(fault), "busy": True})
        return
    _answer({"listens": True})
    meeting = Meeting(told["processes"], told["seconds"])
    try:
        peers = meeting.wait(listening)
        met.set()
        # The service takes the place of the meeting at the same address.
        service = _serve(told, told["processes"])
    # Whatever it is, it is said to all of them: nobody reads what comes up here.
    except Exception as fault:
        meeting.tell({"error": str(fault)})
        return
    meeting.tell({"peers": [{name: peer[name] for name in ("host", "pid")} for peer in peers]})
    gone.wait()
    del service
    os._exit(0)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server((host, port), family=family, dualstack_ipv6=both)


def _serve(told: Mapping[str, Any], processes: int) -> Any:
    from jax._src.lib import _jax

    host = f"[{told['host']}]" if ":" in told["host"] else told["host"]
    return _jax.get_distributed_runtime_service(
        f"{host}:{told['port']}",
        processes,
        heartbeat_timeout=HEARTBEAT_TIMEOUT_S,
        shutdown_timeout=_SHUTDOWN_TIMEOUT_S,
    )


def _answer(content: Mapping[str, Any]) -> None:
    print(json.dumps(content), flush=True)


def _let_go(gone: threading.Event, met: threading.Event) -> None:
    """Wait for process 0 to let go, or to die; who has not met it yet need not hear of that."""
    seconds = sys.stdin.readline()
    if met.is_set():
        time.sleep(float(seconds) if seconds.strip() else LINGER_S)
    gone.set()
    time.sleep(1.0)
    os._exit(0)


if __name__ == "__main__":
    main()
