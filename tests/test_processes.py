"""Several processes do what one does, to the bit, and lose nothing when one of them is lost."""

import argparse
import contextlib
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import problems
import pytest
from test_experiment import Quiet
from test_faults import contents

import jaxbq
from jaxbq.cli import main
from jaxbq.cli.machines import _among_tasks, _one_device, _tasks_here, add_cluster, without_place
from jaxbq.errors import JaxbqError
from jaxbq.experiment import load_config, run
from jaxbq.runtime.processes import (
    Address,
    Inbox,
    Member,
    Outbox,
    Peer,
    Place,
    found_place,
    join,
    shared,
)
from jaxbq.runtime.processes import store as pieces
from jaxbq.runtime.processes.coordinator import Meeting
from jaxbq.runtime.processes.heartbeat import END, Silence
from jaxbq.runtime.processes.store import JaxStore

CONFIG = """
name = "shared"
scores = "quick"
controls = ["random_weights"]
[data]
kind = "idx"
path = "data"
[network]
hidden = [8]
[networks]
seeds = 3
[training]
epochs = 3
batch_size = 16
[[methods]]
kind = "transpose"
[[methods]]
kind = "ascent"
steps = 4
restarts = 2
sweep = { "optimiser.learning_rate" = [0.1, 0.2] }
"""

# One network and one method, which all compute together: 3 classes × 5 rows do not divide.
JOINT = CONFIG.partition("[[methods]]")[0].replace("seeds = 3", "seeds = 1")
JOINT = JOINT.replace('controls = ["random_weights"]', 'precision = "float64"')
JOINT += """
[[methods]]
kind = "ascent"
start = "random"
restarts = 5
steps = 40
stop = { tolerance = 0.0 }
"""


class Memory:
    """A store in this process's memory."""

    def __init__(self):
        self.values, self.sums, self.dead = {}, {}, False
        self.changed = threading.Condition()

    def set(self, key, value):
        self._alive()
        with self.changed:
            self.values[key] = value
            self.changed.notify_all()

    def claim(self, key, value):
        with self.changed:
            return self.values.setdefault(key, value) is value

    def get(self, key, seconds=0.0):
        self._alive()
        with self.changed:
            self.changed.wait_for(lambda: key in self.values, seconds)
            return self.values.get(key)

    def remove(self, key):
        with self.changed:
            self.values.pop(key, None)

    def add(self, key, number):
        with self.changed:
            self.sums[key] = self.sums.get(key, 0) + number
            return self.sums[key]

    def under(self, prefix):
        self._alive()
        return {k: v for k, v in self.values.items() if k.startswith(prefix)}

    def _alive(self):
        if self.dead:
            raise RuntimeError("UNAVAILABLE")


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_every_piece_of_work_goes_to_one_process(processes):
    groups = [
        [f"{g}{n}" for n in range(size)] for g, size in zip("abcd", (5, 0, 1, 3), strict=True)
    ]
    store, taken = Memory(), {}
    takers = {k: shared(store, "work", groups, k, processes) for k in range(processes)}
    while takers:
        for process, taker in list(takers.items()):
            piece = next(taker, None)
            if piece is None:
                del takers[process]
            else:
                taken.setdefault(process, []).append(piece)
    every = [piece for group in groups for piece in group]
    assert sorted(piece for pieces in taken.values() for piece in pieces) == every
    if processes == 2:
        # One compiles the programs of a and b first, the other those of c and d.
        assert {p[0] for p in taken[0][:4]} == {"a"}
        assert {p[0] for p in taken[1][:4]} == {"c", "d"}
    assert not list(shared(store, "none", [], 0, processes))


@pytest.mark.parametrize("size", [0, 1, 10, 11, 205])
def test_files_go_through_a_store_in_pieces(tmp_path, monkeypatch, size):
    monkeypatch.setattr(pieces, "PIECE_BYTES", 10)
    monkeypatch.setattr(pieces, "WINDOW", 3)
    store, most = Memory(), 0
    (tmp_path / "a").write_bytes(content := os.urandom(size))
    outbox, inbox = Outbox(store, "c"), Inbox(store, "c")
    outbox.send({"line": "one"}, wait=False)
    sender = threading.Thread(target=outbox.send, args=({"file": "a"}, tmp_path / "a"))
    sender.start()
    assert inbox.receive(5.0).about == {"line": "one"}
    inbox.done()
    message = inbox.receive(5.0)
    assert message.about == {"file": "a"}
    time.sleep(0.05)
    most = len(store.under("c/piece/"))
    message.save(tmp_path / "b")
    assert sender.is_alive()  # until the receiver says that it has written it
    inbox.done()
    sender.join(5.0)
    assert not sender.is_alive()
    assert (tmp_path / "b").read_bytes() == content
    assert most <= 3
    assert not store.values  # nothing stays in the coordinator's memory
    assert inbox.receive(0.0) is None


def test_who_is_silent_for_too_long_is_lost():
    silence = Silence([1, 2], 0.0, limit=15.0, step=3.0)
    for second in range(2, 40, 2):
        silence.hear({1: b"%d" % second, 2: b"same"})
        # The first beat of 2 is heard at 0 seconds of listening.
        assert silence.lost(float(second)) == (2 if second > 15 else None)


def test_a_process_that_slept_does_not_call_the_others_lost():
    silence = Silence([1], 0.0, limit=15.0, step=3.0)
    assert silence.lost(1000.0) is None
    silence.hear({1: b"1"})
    assert [silence.lost(1000.0 + 100 * n) for n in range(1, 7)] == [None] * 5 + [1]


class Left(SystemExit):
    """A process that has left."""


def members(store, number, **options):
    """Processes of one machine, each a thread, and how they leave."""
    left = {}
    peers = [Peer("machine", 100 + n) for n in range(number)]

    def leave(process):
        def code(value):
            left[process] = value
            raise Left

        return code

    made = [
        Member(store, n, peers, leave=leave(n), beat_s=0.02, silence_s=0.3) for n in range(number)
    ]
    return made, left


@pytest.fixture
def _threads_may_leave(monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda args: None)


def until(condition):
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen")


@pytest.mark.usefixtures("_threads_may_leave")
def test_a_lost_process_ends_all_others_with_one_line(capsys):
    store = Memory()
    (first, second, third), left = members(store, 3)
    first.stays = second.stays = "what was finished stays in runs/a"
    for each in (first, second, third):
        each.begin()
    time.sleep(0.2)
    assert not left
    third._heartbeat.stop()
    until(lambda: len(left) == 2)
    assert left == {0: 1, 1: 1}
    line = (
        "jaxbq: error: process 2 of 3 (host machine, pid 102) was lost; what was finished stays in "
        "runs/a; give the same command again, with as many processes as you like"
    )
    assert capsys.readouterr().err.splitlines() == [line, line]


@pytest.mark.usefixtures("_threads_may_leave")
def test_an_error_in_one_process_ends_all_with_its_line(capsys):
    store = Memory()
    made, left = members(store, 3)
    for each in made[:2]:
        each.begin()
    with pytest.raises(Left):
        made[2].fail("data: no such file")
    until(lambda: len(left) == 3)
    assert set(left.values()) == {2}
    said = sorted(capsys.readouterr().err.splitlines())
    other = "jaxbq: error: process 2 of 3 (host machine, pid 102): data: no such file"
    assert said == ["jaxbq: error: data: no such file", other, other]


@pytest.mark.usefixtures("_threads_may_leave")
def test_a_store_that_does_not_answer_is_a_lost_process_0(capsys):
    store = Memory()
    made, left = members(store, 2)
    for each in made:
        each.begin()
    store.dead = True
    until(lambda: len(left) == 2)
    said = capsys.readouterr().err
    assert "jaxbq: error: process 0 of 2 (host machine, pid 100) was lost; " in said
    assert "jaxbq: error: the coordinator beside process 0 does not answer; " in said


@pytest.mark.usefixtures("_threads_may_leave")
def test_an_end_waits_for_the_file_that_is_being_written():
    store = Memory()
    (only, _), left = members(store, 2)
    with only.busy():
        thread = threading.Thread(target=only.fail, args=("x",))
        thread.start()
        until(lambda: END in store.values)
        time.sleep(0.05)
        assert not left
    thread.join(5.0)
    assert left == {0: 2}


def test_members_agree_or_say_who_differs():
    store = Memory()
    made, _ = members(store, 2)
    for name, other in (("same", "1"), ("other", "2")):
        faults = []

        def ask(member, name=name, value=None, faults=faults):
            try:
                member.agree(name, {"data": value})
            except JaxbqError as fault:
                faults.append(str(fault))

        threads = [
            threading.Thread(target=ask, args=(member, name, value))
            for member, value in zip(made, ("1", other), strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        line = "process 1 of 2 (host machine, pid 101) has another data than process 0: 2, not 1"
        assert [f.partition(";")[0] for f in faults] == ([] if other == "1" else [line] * 2)


def test_nobody_goes_on_before_all_are_there():
    (first, second), _ = members(Memory(), 2)
    thread = threading.Thread(target=first.gather, args=("place",))
    thread.start()
    thread.join(0.1)
    assert thread.is_alive()
    second.gather("place")
    thread.join(5.0)
    assert not thread.is_alive()


def test_addresses():
    assert Address.read("node1:29500") == Address("node1", 29500)
    assert str(Address.read("[::1]:80")) == "[::1]:80"
    for text in ("node1", "node1:", ":1", "::1:80", "a:99999", "a:0", "a:1x", ""):
        with pytest.raises(JaxbqError, match="--coordinator"):
            Address.read(text)
    # A server listens on no more than it is asked for.
    assert Address("localhost", 1).listening() == Address("127.0.0.1", 1)
    assert Address("10.0.0.3", 1).listening() == Address("10.0.0.3", 1)
    assert Address("node1", 1).listening().host in ("::", "0.0.0.0")


def meet(hellos, processes, seconds=5.0):
    """Hold a meeting on the loopback; return what it found, and what it answers to each."""
    listening = socket.create_server(("127.0.0.1", 0))
    meeting = Meeting(processes, seconds)
    connections = []
    for hello in hellos:
        connections.append(socket.create_connection(listening.getsockname()))
        connections[-1].sendall(
            hello if isinstance(hello, bytes) else json.dumps(hello).encode() + b"\n"
        )
    try:
        return meeting.wait(listening)
    finally:
        meeting.tell({})
        for connection in connections:
            connection.close()


def hello(process, processes=2, **about):
    about = {"config": "x"} | about
    return {"process": process, "processes": processes, "host": "h", "pid": 7, "about": about}


def test_processes_meet():
    strangers = [b"GET / HTTP/1.1\r\n\r\n", b"{}\n", b"[1]\n", b'{"process": {}}\n']
    found = meet([*strangers, hello(1), hello(0)], 2)
    assert [each["process"] for each in found] == [0, 1]


def test_process_0_is_answered_last():
    """It ends the coordinator when it hears of an error, which all others are to hear of too."""
    meeting, answered = Meeting(3, 5.0), []

    class Connection(contextlib.AbstractContextManager):
        def __init__(self, number):
            self.sendall = lambda answer: answered.append(number)

        def __exit__(self, *fault):
            return None

    meeting._came = {number: (Connection(number), {}) for number in (0, 2, -1, 1)}
    meeting.tell({})
    assert answered == [2, -1, 1, 0]


def test_who_goes_before_all_have_come_may_come_again():
    listening = socket.create_server(("127.0.0.1", 0))
    meeting, found = Meeting(2, 5.0), []
    thread = threading.Thread(target=lambda: found.extend(meeting.wait(listening)))
    thread.start()

    def come(process, pid):
        connection = socket.create_connection(listening.getsockname())
        connection.sendall(json.dumps(hello(process) | {"pid": pid}).encode() + b"\n")
        return connection

    come(1, 7).close()
    with come(0, 8) as first:
        thread.join(0.3)
        assert not found
        with come(1, 9):
            thread.join(5.0)
            assert [each["pid"] for each in found] == [8, 9]
            meeting.tell({"peers": []})
            assert first.recv(100) == b'{"peers": []}\n'


@pytest.mark.parametrize(
    ("hellos", "message"),
    [
        ([hello(0)], r"1 of 2 processes came within 0.2 s; missing: process 1; start all"),
        ([hello(0), hello(1, 3)], r"process 1 \(h, pid 7\) was started as one of 3 processes"),
        ([hello(0), hello(0)], "two processes are number 0: h, pid 7, and h, pid 7; give each"),
        ([hello(0), hello(1, config="y")], "has another config than process 0: y, not x; give"),
    ],
)
def test_processes_that_do_not_fit_each_other(hellos, message):
    with pytest.raises(ValueError, match=message):
        meet(hellos, 2, seconds=0.2)


def test_an_address_that_cannot_be_used():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address(*taken.getsockname())
        with pytest.raises(JaxbqError, match=r"cannot listen there .*in use"):
            join(Place(address, 0, 2), {}, 0.1, lambda line: None)

        def answer():
            with contextlib.suppress(OSError):
                while True:
                    with taken.accept()[0] as connection:
                        connection.sendall(b"\0\xff\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(JaxbqError, match="what answers there is no jaxbq"):
            join(Place(address, 1, 2), {}, 0.1, lambda line: None)
        taken.shutdown(socket.SHUT_RDWR)
        thread.join()
    with pytest.raises(JaxbqError, match=r"process 0 cannot be reached there in .*refused"):
        join(Place(address, 1, 2), {}, 0.1, lambda line: None)


def test_a_jax_without_such_a_store_is_one_line():
    with pytest.raises(JaxbqError, match=r"has no blocking_key_value_get_bytes; install a newer"):
        JaxStore(object())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--process-id", "0"], "--coordinator and --processes missing: give"),
        (["--coordinator", "a:1", "--processes", "2"], "--process-id missing: give"),
        (["--coordinator", "a:1", "--processes", "2", "--process-id", "2"], "give 0 to 1"),
        (["--coordinator", "a:1", "--processes", "2", "--process-id", "-1"], "give 0 to 1"),
        (["--coordinator", "a:1", "--processes", "0", "--process-id", "0"], "from 1 to"),
        (["--coordinator", "a", "--processes", "2", "--process-id", "0"], "write HOST:PORT"),
        (["--cluster", "auto"], "no cluster was found"),
        (["--cluster", "auto", "--processes", "2"], "without the place itself"),
        (["--wait", "0"], "give a number of seconds"),
        (["--processes", "x"], "invalid int value"),
    ],
)
def test_mistakes_in_flags(tmp_path, capsys, flags, message):
    (tmp_path / "c.toml").write_text('[[methods]]\nkind = "grey"\n')
    try:
        code = main(["run", str(tmp_path / "c.toml"), "--out", str(tmp_path), *flags])
    except SystemExit as left:
        code = left.code
    said = capsys.readouterr().err
    assert code == 2
    assert message in said
    assert said.count("\n") == 1


def test_when_a_cluster_is_looked_for():
    assert not _among_tasks({})
    # The batch script of a job with tasks is none of them.
    assert not _among_tasks({"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_JOB_ID": "7"})
    assert _among_tasks({"SLURM_STEP_NUM_TASKS": "4"})
    assert not _among_tasks({"SLURM_STEP_NUM_TASKS": "1", "OMPI_COMM_WORLD_SIZE": "1"})
    assert _among_tasks({"OMPI_COMM_WORLD_SIZE": "2"})
    assert _tasks_here({"SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "4"}) == 1
    assert _tasks_here({"SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "2"}) is None
    assert _tasks_here({"OMPI_COMM_WORLD_LOCAL_SIZE": "2"}) == 2
    assert _one_device({"CUDA_VISIBLE_DEVICES": "3"})
    assert not _one_device({"CUDA_VISIBLE_DEVICES": "0,1"})


def test_what_a_cluster_needs_is_said(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(JaxbqError, match=r"mpi4py is needed .*: pip install mpi4py"):
        found_place("mpi4py", 1.0)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    with pytest.raises(JaxbqError, match=r"pip install 'jax\[k8s\]'"):
        found_place(None, 1.0)


def test_slurm_says_where_a_task_is(monkeypatch):
    for name, value in (
        ("JOB_ID", "4097"),
        ("STEP_NODELIST", "node[07-09],other"),
        ("NTASKS", "3"),
        ("PROCID", "2"),
        ("LOCALID", "0"),
    ):
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.delenv("JAX_COORDINATOR_PORT", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert found_place(None, 1.0) == Place(Address("node07", 61441), 2, 3, (0,))


def test_a_command_is_kept_without_its_place():
    given = [
        "run",
        "c.toml",
        "--coordinator",
        "a:1",
        "--process-id=0",
        "--processes",
        "2",
        "--out",
        "x",
        "--wait",
        "5",
    ]
    assert without_place(given) == ["run", "c.toml", "--out", "x"]
    parser = argparse.ArgumentParser()
    add_cluster(parser)
    assert not vars(parser.parse_args([])).get("coordinator")


# A process whose inversions wait where the test says: for a file, or after some for ever.
PROGRAM = """
import sys, time
from pathlib import Path
from jaxbq.experiment import runner, worker
go, most, arguments = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
invert, done = runner.invert_cell, []
def slowly(*what):
    while len(done) >= most and not go.exists():
        time.sleep(0.05)
    done.append(invert(*what))
worker.invert_cell = runner.invert_cell = slowly
from jaxbq.cli import main
sys.exit(main(arguments))
"""


class Cluster:
    """Real processes, of which each has a folder with the config and the data.

    Args:
        folder: where they work.
    """

    def __init__(self, folder):
        self.folder = folder
        self.env = {**os.environ, "PYTHONPATH": str(Path(jaxbq.__file__).parents[1])}
        self.config(folder)

    def config(self, folder, seed=1):
        problems.write_idx_folder(folder / "data")
        images, _ = problems.striped_bytes(40, seed)
        problems.write_idx(folder / "data" / "train-images-idx3-ubyte", images)
        (folder / "c.toml").write_text(CONFIG)
        return folder

    def start(self, processes, waits=None, out="cut", flags=(), cwd=None):
        """Start them. ``waits``: after how many inversions each waits for the file ``go``."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.started = []
        for number in range(processes):
            most = 10**6 if waits is None else waits[number]
            command = [sys.executable, "-c", PROGRAM, str(self.folder / "go"), str(most)]
            command += ["run", "c.toml", "--out", str(self.folder / out), "--wait", "60", *flags]
            if processes > 1:
                command += ["--coordinator", f"127.0.0.1:{port}", "--processes", str(processes)]
                command += ["--process-id", str(number)]
            where = (cwd or {}).get(number, self.folder)
            log = (self.folder / f"log{number}").open("w")
            with log:
                self.started.append(
                    subprocess.Popen(
                        command, stdout=log, stderr=subprocess.STDOUT, cwd=where, env=self.env
                    )
                )
        return self

    def log(self, number=0):
        return (self.folder / f"log{number}").read_text()

    def hear(self, pattern, number=0):
        """Wait until a process has said something."""
        for _ in range(1200):
            if re.search(pattern, self.log(number)):
                return
            assert self.started[number].poll() is None, self.log(number)
            time.sleep(0.1)
        raise AssertionError(self.log(number))

    def codes(self, seconds=120):
        """Wait for all to exit, for a minute after a loss."""
        return [process.wait(seconds) for process in self.started]

    def run(self, processes, **options):
        self.start(processes, **options)
        assert self.codes() == [0] * processes, [self.log(n) for n in range(processes)]

    def kill(self, number, how=signal.SIGKILL):
        self.started[number].send_signal(how)
        self.started[number].wait()

    def found(self, out="cut"):
        (folder,) = (self.folder / out).glob("shared-*")
        return folder

    def results(self):
        """Find what the methods returned: files, and when each was written."""
        found = self.found()
        paths = found.glob("inversions/*/[0-9]*.npz")
        return {path.relative_to(found).as_posix(): path.stat().st_mtime_ns for path in paths}

    def close(self):
        for process in self.started:
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    made = Cluster(tmp_path / "work")
    # Not those of this machine's user or launcher.
    for name in list(os.environ):
        if name.startswith(("SLURM_", "OMPI_")):
            monkeypatch.delenv(name)
    yield made
    made.close()


@pytest.fixture
def whole(cluster, monkeypatch):
    """What one process finds."""
    monkeypatch.chdir(cluster.folder)
    folder = run(load_config("c.toml"), cluster.folder / "whole", Quiet())
    return contents(folder.path)


def alone(cluster):
    """Finish a run by the process of the tests, as any without flags would."""
    run(load_config("c.toml"), cluster.folder / "cut", Quiet())


def computed(found):
    """What is computed by all: without what is drawn by the command in the end."""
    drawn = ("figures/", "tables/", "report/")
    return {name: content for name, content in found.items() if not name.startswith(drawn)}


@pytest.mark.slow
def test_two_processes_find_what_one_does(cluster, whole):
    cluster.run(2)
    assert computed(contents(cluster.found())) == whole
    assert "works with process 0 of 2" in cluster.log(1)
    about = json.loads((cluster.found() / "environment.json").read_text())
    assert "--process" not in about["command"]
    # A second time there is nothing to do.
    before = cluster.results()
    cluster.run(2)
    assert cluster.results() == before
    assert "done already" in cluster.log(0)


@pytest.mark.slow
def test_a_killed_process_loses_no_finished_cell(cluster, whole):
    # The others wait until the third has finished its first cell, and it then waits in its second.
    cluster.start(3, waits=(0, 0, 1))
    cluster.hear("process 2: .*ascent")
    first = cluster.results()
    assert len(first) == 2  # both learning rates, of one network
    time.sleep(2.0)  # for its next cell
    cluster.kill(2)
    (cluster.folder / "go").touch()
    assert cluster.codes(60) == [1, 1, -signal.SIGKILL]
    for number in (0, 1):
        last = cluster.log(number).splitlines()[-1]
        assert last.startswith("jaxbq: error: process 2 of 3 (host ")
        assert f"was lost; what was finished stays in {cluster.found()}" in last
        assert "Check failure" not in cluster.log(number)
    # Of four networks and three methods, all but what the lost process was at.
    kept = cluster.results()
    assert first.items() <= kept.items()
    assert len(kept) == 4 * 3 - 2
    for name in kept:
        assert (cluster.found() / name).read_bytes() == whole[name]
    # One cell is missing, which two compute together: the same up to rounding.
    cluster.run(2)
    finished = cluster.results()
    assert kept.items() <= finished.items()
    assert computed(contents(cluster.found())).keys() == whole.keys()
    for name in finished.keys() - kept.keys():
        (cluster.found() / name).unlink()
    (cluster.found() / next(iter(kept))).unlink()
    alone(cluster)
    assert computed(contents(cluster.found())) == whole


@pytest.mark.slow
def test_a_killed_process_0_ends_the_others(cluster, whole):
    cluster.start(2, waits=(0, 1))
    cluster.hear("process 1: .*ascent")
    kept = cluster.results()
    assert kept
    cluster.kill(0)
    assert cluster.codes(60) == [-signal.SIGKILL, 1]
    assert cluster.log(1).splitlines()[-1].startswith("jaxbq: error: process 0 of 2 (host ")
    assert "Check failure" not in cluster.log(1)
    alone(cluster)
    assert kept.items() <= cluster.results().items()
    assert computed(contents(cluster.found())) == whole


@pytest.mark.slow
def test_an_interrupted_process_0_ends_all(cluster):
    cluster.start(2, waits=(0, 0))
    cluster.hear("helps")
    cluster.kill(0, signal.SIGINT)
    assert cluster.codes(60) == [130, 130]
    assert cluster.log(0).splitlines()[-1].startswith("jaxbq: interrupted; what was finished stays")
    assert "process 0 of 2" in cluster.log(1).splitlines()[-1]


@pytest.mark.slow
def test_processes_that_were_given_different_things(cluster, tmp_path):
    other = cluster.config(tmp_path / "other", seed=5)
    cluster.start(2, cwd={1: other})
    assert cluster.codes(60) == [2, 2]
    for number in (0, 1):
        last = cluster.log(number).splitlines()[-1]
        assert "process 1 of 2" in last
        assert "has another data_sha256 than process 0" in last
    (other / "c.toml").write_text(CONFIG.replace("epochs = 3", "epochs = 4"))
    cluster.start(2, cwd={1: other})
    assert cluster.codes(60) == [2, 2]
    for number in (0, 1):
        assert "has another config than process 0" in cluster.log(number).splitlines()[-1]
    assert not (cluster.folder / "cut").exists()


@pytest.mark.slow
def test_a_training_that_diverges_ends_all(cluster):
    flags = ["network.output=identity", "network.activation=leaky_relu", "training.epochs=50"]
    flags += ["training.loss=squared_error", "training.optimiser.name=sgd", "controls=[]"]
    flags += ["training.optimiser.learning_rate=30.0"]
    cluster.start(2, flags=[word for flag in flags for word in ("--set", flag)])
    assert cluster.codes(60) == [2, 2]
    for number in (0, 1):
        last = cluster.log(number).splitlines()[-1]
        assert "diverged" in last
        assert f"in {cluster.found()}/networks/" in last
    assert list(cluster.found().glob("networks/*.last-good.safetensors"))


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
def test_one_inversion_is_computed_by_all_together(cluster, processes):
    (cluster.folder / "c.toml").write_text(JOINT)
    # Both must be at it: alone, each would wait for ever.
    cluster.run(processes)
    (name,) = cluster.results()
    with contextlib.chdir(cluster.folder):
        folder = run(load_config("c.toml"), cluster.folder / "whole", Quiet())
    with np.load(cluster.found() / name) as one, np.load(folder.path / name) as other:
        assert one["images"].shape == (3, 5, 30)
        for key in ("images", "outputs", "iterations", "reasons"):
            np.testing.assert_allclose(one[key], other[key], rtol=0, atol=1e-6, err_msg=key)
    networks = [path / "networks" for path in (cluster.found(), folder.path)]
    one, other = ([p.read_bytes() for p in n.glob("*.safetensors")] for n in networks)
    assert one == other != []


@pytest.mark.slow
@pytest.mark.parametrize("waits", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_who_is_lost_while_all_compute_together_ends_them(cluster, waits):
    """Before anybody has begun, while one waits for the other, and while all are at it."""
    (cluster.folder / "c.toml").write_text(JOINT.replace("steps = 40", "steps = 2000000"))
    cluster.start(2, waits=waits)
    cluster.hear("helps")
    time.sleep(8.0)
    cluster.kill(1)
    (cluster.folder / "go").touch()
    assert cluster.codes(60) == [1, -signal.SIGKILL]
    said = cluster.log(0)
    assert said.splitlines()[-1].startswith("jaxbq: error: process 1 of 2 (host ")
    assert "Traceback" not in said
    assert "Check failure" not in said
    assert not cluster.results()
