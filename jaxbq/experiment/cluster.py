"""Computing cells on a Dask cluster: it hands them out, sees losses, computes lost ones anew.

Whoever can reach a scheduler can run code on its workers, and in the process that asks it: see
:func:`checked_address`. What comes here from a worker is unpickled by Dask before we see it.
"""

import contextlib
import dataclasses
import functools
import ipaddress
import itertools
import json
import logging
import os
import pickle
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import urlsplit

import dask
import distributed
from threadpoolctl import threadpool_limits

from ..data import Dataset
from ..errors import JaxbqError
from ..runtime import interrupts
from ..runtime.compiled import kept_programs
from ..runtime.devices import computing
from ..runtime.files import write_bytes
from .cells import Cell, Found, Job, Listener, run_cell
from .config import Experiment
from .environment import checksums, versions

T = TypeVar("T")
R = TypeVar("R")

_POLL_S, _LOOK_S = 0.1, 1.0
# Until a worker has come in the beginning, and again after the last was lost.
_ARRIVAL_S, _RETURN_S = 300.0, 20.0
# Workers of one cluster come within.
_SETTLE_S = 3.0
_CONNECT_S = 10.0
_ROOMS = ("networks", "inversions", "certificates")
_AGAIN = "finished results are kept; give the same command again"


class Cluster:
    """Computes cells on the workers of a Dask scheduler; this process writes what they find.

    Args:
        client: connected to the scheduler.
        resources: what a worker must have for a cell, like ``{"GPU": 1}``.
    """

    def __init__(
        self, client: distributed.Client, resources: Mapping[str, float] | None = None
    ) -> None:
        self._client, self._resources = client, dict(resources or {})
        self._threads: dict[str, int] = {}
        self._looked = 0.0
        self._group, self._submitted_keys = f"jaxbq-{uuid.uuid4().hex}", 0
        # When a worker was last seen; before the first has come, when one must have.
        self._deadline = time.monotonic() + _ARRIVAL_S

    def workers(self, listener: Listener) -> int:
        """Count them; if there is none, wait for the first, and for those that come with it."""
        # The leader may have been busy for long.
        self._deadline = max(self._deadline, time.monotonic() + _RETURN_S)
        self._look()
        if not self._threads:
            listener.say("waits for workers to come")
            while not self._threads:
                self._pause()
            since, number = time.monotonic(), len(self._threads)
            while time.monotonic() < since + _SETTLE_S:
                self._pause()
                if len(self._threads) > number:
                    since, number = time.monotonic(), len(self._threads)
        return len(self._threads)

    def present(self) -> list[str]:
        """Addresses of those that are there now."""
        self._look()
        return list(self._threads)

    def _pause(self) -> None:
        interrupts.check()
        time.sleep(_POLL_S)
        self._look()

    def run(self, what: str, cells: Sequence[Cell], job: Job) -> None:
        """Do the cells on the workers; write the files of each as soon as it is done."""
        if not cells:
            return
        self.workers(job.listener)
        self._check_installed()
        sums = checksums(job.experiment, job.data)
        compute = functools.partial(_compute, versions(), sums)
        packed = (_packed(cell, job) for cell in cells)
        for number, found in enumerate(self.map(compute, packed)):
            found.check()
            for name, content in found.files.items():
                write_bytes(_path(job, name), content)
            if found.fault:
                raise JaxbqError(found.fault)
            for line in found.said:
                job.listener.say(line)
            job.listener.progress(what, number + 1, len(cells))

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Apply a function to each item on some worker; give the results as they come.

        Only a few items are under way, and nothing of the others is kept: memory does not grow with
        their number.

        Args:
            function: can be pickled, as its items and results can.
            items: are read as there is room.

        Raises:
            JaxbqError: no worker is left, or the scheduler is lost.
            Exception: what ``function`` raised.
        """
        left, done = iter(items), queue.SimpleQueue[distributed.Future]()
        under_way: dict[Any, distributed.Future] = {}
        try:
            while True:
                for item in itertools.islice(left, max(0, self._room() - len(under_way))):
                    future = self._submitted(function, item)
                    under_way[future.key] = future
                    future.add_done_callback(done.put)
                if not under_way:
                    return
                future = self._next(done)
                result = self._result(future)
                del under_way[future.key]
                future.release()
                yield result
        finally:
            with contextlib.suppress(Exception):  # of a scheduler that is lost
                self._client.cancel(list(under_way.values()), force=True)

    def _room(self) -> int:
        # So that each has the next at hand while it sends what it found.
        return 2 * max(1, sum(self._threads.values()))

    def _submitted(self, function: Callable[[T], R], item: T) -> distributed.Future:
        with self._naming_loss():
            # Keys of one group: the scheduler keeps something of each group.
            self._submitted_keys += 1
            key = (self._group, self._submitted_keys)
            resources = self._resources or None
            return self._client.submit(function, item, key=key, pure=False, resources=resources)

    def _next(self, done: "queue.SimpleQueue[distributed.Future]") -> distributed.Future:
        while True:
            with contextlib.suppress(queue.Empty):
                return done.get(timeout=_POLL_S)
            interrupts.check()
            self._look()

    def _result(self, future: distributed.Future) -> Any:
        try:
            return self._fetched(future)
        except CancelledError:
            raise self._lost() from None
        except ImportError as fault:
            raise JaxbqError(
                f"a worker lacks what is installed here ({_reason(fault)}); install it there"
            ) from None
        except distributed.KilledWorker as fault:
            raise JaxbqError(
                "workers were lost one after another while they computed the same cell, last "
                f"{fault.last_worker.name}; do they have enough memory? {_AGAIN}"
            ) from None

    def _fetched(self, future: distributed.Future) -> Any:
        """Get a result; where its worker is lost meanwhile, another computes it anew."""
        while True:
            try:
                return future.result(timeout=_LOOK_S)
            except TimeoutError:
                if future.status == "error":
                    raise  # the function's own
                interrupts.check()
                self._look()

    def _look(self) -> None:
        """See now and then who is there."""
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return
        with self._naming_loss():
            workers = self._client.scheduler_info(n_workers=-1)["workers"]
        if self._client.status != "running":
            raise self._lost()
        self._looked = now
        fit = {
            address: about["nthreads"]
            for address, about in workers.items()
            if all(about["resources"].get(k, 0) >= v for k, v in self._resources.items())
        }
        if fit:
            self._deadline = now + _RETURN_S
        elif now > self._deadline:
            what = " with a GPU (--resources GPU=1)" if self._resources else ""
            raise JaxbqError(f"no worker{what} is connected; {_AGAIN}")
        self._threads = fit

    @contextlib.contextmanager
    def _naming_loss(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError, CancelledError):
            raise self._lost() from None

    def _lost(self) -> JaxbqError:
        return JaxbqError(f"the scheduler was lost; {_AGAIN}")

    def _check_installed(self) -> None:
        """Say which worker has no jaxbq, which could not even tell."""
        with self._naming_loss():
            found = self._client.run(
                metadata.version, "jaxbq", on_error="return", workers=list(self._threads)
            )
        for worker, version in found.items():
            if isinstance(version, metadata.PackageNotFoundError):
                raise JaxbqError(f"worker {worker}: has no jaxbq; install it there as it is here")


def _packed(cell: Cell, job: Job) -> bytes:
    """Pickle a cell with its inputs: what it is, a worker is to read after it said who it is."""
    given = {
        path.relative_to(job.folder.path).as_posix(): path.read_bytes()
        for path in cell.inputs(job)
        if path.exists()
    }
    return pickle.dumps((cell, job.experiment, given, str(job.folder.path)))


def _path(job: Job, name: str) -> Path:
    """Find a worker's file in the run folder, and nowhere else."""
    parts = PurePosixPath(name).parts
    if len(parts) < 2 or parts[0] not in _ROOMS or ".." in parts:
        raise JaxbqError(f"a worker sent the file {name!r}, which does not belong to a run")
    return job.folder.path.joinpath(*parts)


# On a worker.

# JAX uses all cores for one cell, and the precision is set for the process.
_ONE_AT_A_TIME = threading.Lock()


def _compute(expected: Mapping[str, str], sums: Mapping[str, str], packed: bytes) -> Found:
    """Compute a cell on this worker, if it is one that finds what the others would."""
    who = f"worker {distributed.get_worker().name}"

    def refused(why: object) -> Found:
        return Found({}, {}, fault=f"{who}: {why}")

    for name, version in versions().items():
        if expected[name] != version:
            others = f"the others {expected[name]}; install the same everywhere"
            return refused(f"has {name} {version}, {others}")
    # No file of a user's: Dask itself unpickles all that it sends.
    cell, experiment, given, place = pickle.loads(packed)
    # Dask's nanny gives NumPy one thread, which adds up in another order than all cores do.
    cores = threadpool_limits(os.cpu_count(), user_api="blas")
    with _ONE_AT_A_TIME, cores, kept_programs(), computing(experiment.precision):
        try:
            data, own = _data(experiment)
            if own != sums:
                _KNOWN.clear()  # they may have changed since
                data, own = _data(experiment)
            for name, checksum in sums.items():
                if own[name] != checksum:
                    what = name.removesuffix("_sha256")
                    return refused(f"has other {what} under the same path; copy it")
            found = run_cell(cell, experiment, data, given, place)
        except (JaxbqError, OSError) as fault:
            return refused(fault)
    return dataclasses.replace(found, said=tuple(f"{who}: {line}" for line in found.said))


def _data(experiment: Experiment) -> tuple[Dataset, dict[str, str]]:
    """Load the data of an experiment, and sum them up, once."""
    key = (experiment.data, experiment.network, experiment.precision)
    if key not in _KNOWN:
        data = experiment.network.seen(experiment.data.load())
        _KNOWN.clear()  # of one experiment at a time
        _KNOWN[key] = data, checksums(experiment, data)
    return _KNOWN[key]


_KNOWN: dict[Any, tuple[Dataset, dict[str, str]]] = {}


# How one comes by a cluster.


def checked_address(given: str, insecure: bool) -> str:
    """Read the address of a scheduler, and refuse one that cannot be trusted.

    Args:
        given: ``tcp://HOST:PORT``, ``tls://HOST:PORT``, or a scheduler's file.
        insecure: allow one of another machine without TLS.

    Raises:
        JaxbqError: it is no address, or a risk that was not allowed.
    """
    address = given
    if "://" not in given:
        try:
            address = json.loads(Path(given).read_text(encoding="utf-8"))["address"]
        except OSError as fault:
            raise JaxbqError(
                f"--scheduler {given}: {fault.strerror or fault}; give tcp://HOST:PORT, "
                "tls://HOST:PORT, or the file of dask scheduler --scheduler-file"
            ) from None
        except (ValueError, KeyError, TypeError):
            raise JaxbqError(f"--scheduler {given}: is no file of a Dask scheduler") from None
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except (ValueError, AttributeError, TypeError):
        host = port = None
    if not host or not port or parts.scheme not in ("tcp", "tls"):
        raise JaxbqError(f"--scheduler {address}: give tcp://HOST:PORT or tls://HOST:PORT")
    if parts.scheme == "tcp" and not insecure and not _is_loopback(host):
        raise JaxbqError(
            f"--scheduler {address}: whoever reaches it can run code here and on all workers; use "
            "TLS (docs/scaling.md), or --insecure on a network where you trust everybody"
        )
    return address


def _is_loopback(host: str) -> bool:
    try:
        found = {about[4][0] for about in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return all(ipaddress.ip_address(str(one).split("%")[0]).is_loopback for one in found)


@contextlib.contextmanager
def connected(
    scheduler: str, *, insecure: bool = False, resources: Mapping[str, float] | None = None
) -> Iterator[Cluster]:
    """Use the workers of a scheduler that is running.

    Certificates are those of Dask's own settings.

    Args:
        scheduler: see :func:`checked_address`.
        insecure: likewise.
        resources: what a worker must have for a cell.

    Raises:
        JaxbqError: it cannot be reached, or as :func:`checked_address`.
    """
    address = checked_address(scheduler, insecure)
    _keep_quiet()
    try:
        own = distributed.Security().get_connection_args("client")
        if address.startswith("tls") and own.get("ssl_context") is None:
            raise ValueError("your settings of Dask name no certificate")
        client = distributed.Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, RuntimeError, TypeError, ValueError) as fault:
        raise JaxbqError(
            f"--scheduler {scheduler}: cannot be reached ({_reason(fault)}); is it running, and do "
            "its certificate and yours come from one authority? (docs/scaling.md)"
        ) from None
    try:
        yield Cluster(client, resources)
    finally:
        _close(client)


@contextlib.contextmanager
def local(workers: int, environment: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """Use worker processes of this machine, which end with this one.

    They speak TLS with certificates made for them: all users of a machine share its loopback.

    Args:
        workers: how many.
        environment: variables to set for them.

    Raises:
        JaxbqError: one does not start.
    """
    _keep_quiet()
    security = distributed.Security.temporary()
    with tempfile.TemporaryDirectory(prefix="jaxbq-", ignore_cleanup_errors=True) as scratch:
        cluster = distributed.LocalCluster(
            n_workers=0,
            host="127.0.0.1",
            protocol="tls://",
            security=security,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        )
        client = distributed.Client(cluster, set_as_default=False)
        processes: list[subprocess.Popen[bytes]] = []
        try:
            for number in range(1, workers + 1):
                place = Path(scratch), cluster.scheduler_address
                processes.append(_start(number, *place, security, environment or {}))
            executor = Cluster(client)
            while len(executor.present()) < workers:
                _check_started(processes, Path(scratch))
                time.sleep(_POLL_S)
            yield executor
        finally:
            for process in processes:
                process.kill()
            for process in processes:
                process.wait()
            _close(client)
            cluster.close(timeout=1)


def _start(
    number: int,
    scratch: Path,
    address: str,
    security: distributed.Security,
    environment: Mapping[str, str],
) -> "subprocess.Popen[bytes]":
    """Start a worker; it ends when its scheduler does."""
    flags = []
    for name, content in security.get_tls_config_for_role("worker").items():
        if name in ("ca_file", "cert", "key"):
            file = scratch / f"{name}.pem"
            file.touch(mode=0o600)
            file.write_text(content)
            flags += [f"--tls-{name.replace('_', '-')}", str(file)]
    command = [sys.executable, "-m", "distributed.cli.dask_worker", address, *flags]
    command += ["--name", str(number), "--nthreads", "1", "--no-nanny", "--memory-limit", "0"]
    command += ["--host", "127.0.0.1", "--no-dashboard", "--local-directory", str(scratch)]
    command += ["--death-timeout", "60"]  # also where the leader died before it came
    with (scratch / f"{number}.log").open("wb") as log:
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
                # Ctrl-C is for this process, which ends them.
                start_new_session=True,
            )
        except OSError as fault:
            reason = fault.strerror or fault
            raise JaxbqError(f"worker {number} did not start: {reason}; ask for fewer") from None


def _check_started(processes: "Sequence[subprocess.Popen[bytes]]", scratch: Path) -> None:
    for number, process in enumerate(processes, 1):
        if process.poll() is not None:
            lines = (scratch / f"{number}.log").read_text(errors="replace").split("\n")
            last = next((line for line in reversed(lines) if line.strip()), "it said nothing")
            raise JaxbqError(f"worker {number} did not start: {last.strip()[:200]}")


def _close(client: distributed.Client) -> None:
    with contextlib.suppress(Exception):  # whatever a lost scheduler leads to
        client.close(timeout=1)


def _keep_quiet() -> None:
    """Say nothing but what this module says."""
    # Images to be scored are large.
    dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"})
    for name in ("distributed", "distributed.client", "tornado", "tornado.application", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _reason(fault: BaseException) -> str:
    return next(iter(str(fault).splitlines()), type(fault).__name__)[:200]
