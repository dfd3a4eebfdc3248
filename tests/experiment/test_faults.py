"""A run that is stopped at any moment is finished by the same command, to the same bits."""

import csv
import errno
import itertools
import json
import os
import random
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import problems
import pytest
from test_experiment import CONFIG as SMALL
from test_experiment import Quiet

from jaxbq.errors import JaxbqError
from jaxbq.experiment import RunFolder, load_config, locked, run, runner, train_network
from jaxbq.experiment.finished import Run
from jaxbq.experiment.folder import read_csv
from jaxbq.report import build
from jaxbq.runtime.files import clear_leftovers, write_text
from jaxbq.training import checkpoint

CONFIG = """
name = "small"
scores = "quick"
controls = ["random_weights"]
[data]
kind = "idx"
path = "{folder}"
[network]
hidden = [8]
[networks]
seeds = {seeds}
together = {together}
[training]
epochs = {epochs}
batch_size = 16
adversary = {{ epsilon = 0.2, steps = 2 }}
[[methods]]
kind = "transpose"
[[methods]]
kind = "ascent"
steps = 4
restarts = 2
path = [0, 1]
sweep = {{ "optimiser.learning_rate" = [0.1, 0.2] }}
[[methods]]
kind = "projected"
autoencoder = {{ code = 4, hidden = [8], epochs = 2, batch_size = 20 }}
"""


class Killed(BaseException):
    """The process is no more: nothing catches it, and nothing is tidied up."""


class Disk:
    """Stands before what a run does to files, and stops it at one of them.

    Args:
        at: which, counted from 0.
        fault: what to raise there. After Killed nothing is done to files any more.
        only: what alone counts.
    """

    def __init__(self, at=-1, fault=None, only=""):
        self.at, self.fault, self.only = at, fault or Killed(), only
        self.points, self.dead = [], False
        self.sync, self.rename, self.unlink = os.fsync, os.replace, os.unlink

    def __enter__(self):
        os.fsync, os.replace, os.unlink = self._fsync, self._replace, self._unlink
        return self

    def __exit__(self, *_):
        os.fsync, os.replace, os.unlink = self.sync, self.rename, self.unlink

    def _point(self, what, path, before=lambda: None):
        if self.dead:
            raise Killed
        if self.only not in what:
            return
        self.points.append((what, Path(path).name if path else ""))
        if len(self.points) - 1 == self.at:
            before()
            self.dead = isinstance(self.fault, Killed)
            raise self.fault

    def _fsync(self, handle):
        if stat.S_ISREG(os.fstat(handle).st_mode):
            size = os.fstat(handle).st_size
            self._point("half a file", None, lambda: os.ftruncate(handle, size // 2))
        self.sync(handle)

    def _replace(self, old, new):
        self._point("before the rename", new)
        self.rename(old, new)
        self._point("after the rename", new)

    def _unlink(self, path, **more):
        if self.dead:
            return
        if os.path.lexists(path) and ".tmp" not in Path(path).name:
            self._point("before the removal", path)
            self.unlink(path, **more)
            self._point("after the removal", path)
        else:
            self.unlink(path, **more)


@pytest.fixture
def config(tmp_path):
    """Make a config of given size."""
    folder = problems.write_idx_folder(tmp_path / "data")

    def write(epochs=3, seeds=1, together="false"):
        path = tmp_path / "small.toml"
        values = {"epochs": epochs, "seeds": seeds, "together": together}
        path.write_text(CONFIG.format(folder=folder, **values))
        return path

    return write


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch):
    """What is kept for all runs is no file of one: it is made anew, where nothing can be kept."""
    monkeypatch.setenv("JAXBQ_CACHE", f"{os.devnull}/none")


@pytest.fixture
def every_epoch(monkeypatch):
    monkeypatch.setattr(checkpoint, "EVERY_S", 0.0)


def contents(folder):
    """All files of a run folder, without wall times and the environment."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        # What is scored is there until all is; test_a_run_leaves_everything sees that it goes.
        if path.is_dir() or path.name in ("environment.json", "scored.json"):
            continue
        if name.endswith(".history.csv"):
            rows = list(csv.DictReader(path.read_text().splitlines()))
            assert all(float(row.pop("seconds")) > 0 for row in rows)
            found[name] = rows
        elif name.startswith(("tables/summary", "tables/controls", "report/")):
            found[name] = path.stat().st_size > 0  # wall times stand in them
        elif name == "timing.json":
            found[name] = all(s >= 0 for s in json.loads(path.read_text()).values())
        elif name == "cost.csv":
            rows = list(csv.DictReader(path.read_text().splitlines()))
            assert all(
                float(row.pop(n)) >= 0 for row in rows for n in ("prepare", "compile", "run")
            )
            found[name] = rows
        elif path.parent.parent.name == "inversions" and path.suffix == ".json":
            about = json.loads(path.read_text())
            assert about.pop("seconds")["run"] >= 0
            found[name] = about
        else:
            found[name] = path.read_bytes()
    return found


def report(folder, keep_time):
    build(Run(folder.path), before_page=keep_time)


def go(experiment, out, data, listener=None, finish=None):
    return run(experiment, out, listener or Quiet(), data, finish).path


@pytest.mark.slow
@pytest.mark.parametrize("where", ["in a write", "after a write", "at a removal"])
def test_killed_at_every_write_and_finished(config, tmp_path, every_epoch, where):
    experiment = load_config(config(epochs=2))
    data = experiment.data.load()
    with Disk() as disk:
        whole = contents(go(experiment, tmp_path / "whole", data))
    assert not [name for name in whole if name.startswith(".") or "checkpoint" in name]
    # Every file is written with half of it, before its rename and after it, one after another.
    # Each is killed at one of the three, which differ from file to file.
    begins = [at for at, (what, _) in enumerate(disk.points) if what == "half a file"]
    written = {disk.points[at + 2] for at in begins}
    names = {Path(n).name for n in whole} | {"environment.json", "0.checkpoint.npz", "scored.json"}
    assert written == {("after the rename", name) for name in names}
    kills = [at + n % 3 for n, at in enumerate(begins)]
    removals = [at for at, (what, _) in enumerate(disk.points) if "removal" in what]
    assert {disk.points[at][1] for at in removals} == {"0.checkpoint.npz", "scored.json", ".lock"}
    points = {
        "in a write": [at for n, at in enumerate(kills) if n % 3 < 2],
        "after a write": kills[2::3],
        "at a removal": removals,
    }[where]
    assert points
    for at in points:
        out = tmp_path / str(at)
        with Disk(at), pytest.raises(Killed):
            go(experiment, out, data)
        assert contents(go(experiment, out, data)) == whole, disk.points[at]


def test_killed_again_and_again(config, tmp_path, every_epoch):
    """Networks trained together are kept together, until the last of them is written."""
    experiment = load_config(config(epochs=2, seeds=2, together="true"))
    data = experiment.data.load()
    whole = contents(go(experiment, tmp_path / "whole", data))
    out, left = tmp_path / "cut", []
    # Each comes a little farther, and the last, which nothing stops, to the end.
    for at in itertools.count(2, 3):
        try:
            with Disk(at):
                go(experiment, out, data)
        except Killed:
            left.append({path.name for path in out.rglob("*") if path.is_file()})
            assert len(left) < 20
            continue
        break
    # It was killed in the training, between two inversions, and in the scoring.
    assert any("all.checkpoint.npz" in names for names in left)
    assert any("01-transpose.npz" in names and "04-projected.npz" not in names for names in left)
    assert any("04-projected.npz" in names and "scores.csv" not in names for names in left)
    assert contents(RunFolder.of(experiment, out).path) == whole


@pytest.mark.slow
def test_killed_while_drawing(config, tmp_path):
    experiment = load_config(config())
    data = experiment.data.load()
    folder = go(experiment, tmp_path, data)
    with Disk() as disk:
        go(experiment, tmp_path, data, finish=report)
    whole = contents(folder)
    assert sum(name.startswith("figures") for name in whole) > 6
    names = [name for _, name in disk.points]
    # Just after the rename of one, and with half of the next written.
    at = names.index("path-02.png") + 1
    for point in (at, at + 1):
        with Disk(point), pytest.raises(Killed):
            go(experiment, tmp_path, data, finish=report)
    assert list(folder.rglob("figures/.*.tmp.gif"))
    go(experiment, tmp_path, data, finish=report)
    assert contents(folder) == whole


def test_a_full_disk_is_one_line_and_loses_nothing(config, tmp_path, every_epoch):
    experiment = load_config(config(epochs=2))
    data = experiment.data.load()
    whole = contents(go(experiment, tmp_path / "whole", data))
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    out = tmp_path / "cut"
    line = rf"cannot write {re.escape(str(out))}\S+: No space left on device; make room .*"
    folder, failed = RunFolder.of(experiment, out).path, []
    # There is room for some files each time; for more where all are written anew, as in scoring.
    room = 2
    while True:
        with Disk(room, full, "half a file") as disk:
            try:
                go(experiment, out, data)
            except JaxbqError as fault:
                failed.append(str(fault))
            else:
                break
        assert len(disk.points) == room + 1
        assert re.fullmatch(line, failed[-1])
        assert not list(out.rglob(".*"))
        kept = contents(folder)
        kept.pop("networks/0.checkpoint.npz", None)
        assert kept == {name: whole[name] for name in kept}
        assert len(failed) < 30
        room += 3 * (failed[-1] in failed[:-1])
    # In the training, between inversions, and in the scoring, whose files are the folder's own.
    full_at = {Path(message.split(": ")[0].split()[-1]).relative_to(folder) for message in failed}
    assert {part.parts[0] for part in full_at} >= {"networks", "inversions"}
    assert any(len(part.parts) == 1 for part in full_at), full_at
    assert contents(folder) == whole


def test_on_a_full_disk_the_old_file_stays(tmp_path):
    path = tmp_path / "a.json"
    write_text(path, "old")
    for number, at in itertools.product((errno.ENOSPC, errno.EDQUOT, errno.EIO), (0, 1)):
        fault = OSError(number, os.strerror(number))
        with Disk(at, fault), pytest.raises(JaxbqError, match=r"cannot write .*a.json: "):
            write_text(path, "new")
        assert path.read_text() == "old"
        assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


def test_leftovers_are_files_of_that_name_alone(tmp_path):
    with Disk(1), pytest.raises(Killed):
        write_text(tmp_path / "a.history.csv", "text")
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".a.history.")
    others = [".a.tmp.csv", ".a.12-0123456.tmp.csv", "a.12-01234567.tmp.csv", ".lock"]
    for name in others:
        (tmp_path / name).write_text("mine")
    (tmp_path / ".b.12-01234567.tmp").write_text("")
    (tmp_path / ".c.12-01234567.tmp.d").mkdir()
    clear_leftovers(tmp_path)
    found = sorted(each.name for each in tmp_path.iterdir())
    assert found == sorted([*others, ".c.12-01234567.tmp.d"])


HOLDER = """
import sys, time
from pathlib import Path
from jaxbq.experiment import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_runs_at_once(config, tmp_path):
    """The second says who works there; after a kill nobody does."""
    experiment = load_config(config(epochs=1))
    folder = RunFolder.of(experiment, tmp_path / "runs")
    folder.create()
    command = [sys.executable, "-c", HOLDER, str(folder.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        line = (
            rf"{re.escape(str(folder.path))}: another run \(pid {holder.pid} on \S+, "
            r"since \d{4}-\d\d-\d\d [\d:]{8}\) uses this folder; wait for it, or run with --out.*"
        )
        with pytest.raises(JaxbqError) as caught:
            go(experiment, tmp_path / "runs", None)
        assert re.fullmatch(line, str(caught.value))
        assert [path.name for path in folder.path.iterdir() if path.is_file()] == [".lock"]
        # A config that was edited is another run.
        go(load_config(config(epochs=2)), tmp_path / "runs", None)
        holder.kill()
    assert (folder.path / ".lock").exists()
    go(experiment, tmp_path / "runs", None)
    assert not (folder.path / ".lock").exists()


def test_the_lock_covers_what_finishes_a_run(config, tmp_path):
    experiment = load_config(config(epochs=1))

    def finish(folder, keep_time):
        with pytest.raises(JaxbqError, match="another run"), locked(folder.path):
            pass

    folder = go(experiment, tmp_path, None, finish=finish)
    with locked(folder) as held:
        assert held
    assert not (folder / ".lock").exists()


def test_the_time_to_draw_is_never_taken_for_that_of_the_run(config, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "choose_forms", lambda: time.sleep(0.1))
    experiment = load_config(config(epochs=1))

    def interrupted(folder, keep_time):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(experiment, tmp_path, None, finish=interrupted)
    folder = go(experiment, tmp_path, None, finish=report)
    assert Run(folder).timing["training"] > 0
    assert Run(folder).timing["products"] >= 0.1
    (folder / "timing.json").unlink()
    go(experiment, tmp_path, None, finish=report)
    assert Run(folder).timing == {}


def test_a_lock_on_a_removed_file_is_none(tmp_path, monkeypatch):
    """Between opening the file and locking it, its holder lets go, and removes it."""
    path = tmp_path / ".lock"
    take = os.open

    def late(name, *more):
        handle = take(name, *more)
        monkeypatch.setattr(os, "open", take)
        path.unlink()
        return handle

    monkeypatch.setattr(os, "open", late)
    with locked(tmp_path):
        assert path.exists()
        assert f"pid {os.getpid()} on " in path.read_text()
        with pytest.raises(JaxbqError, match="another run"), locked(tmp_path):
            pass
        assert path.exists()


def test_damaged_files_are_named(config, tmp_path):
    experiment = load_config(config(epochs=1))
    data = experiment.data.load()
    folder = RunFolder(go(experiment, tmp_path, data))
    for name, content in (
        ("environment.json", b"{"),
        ("environment.json", b"[]"),
        ("config.json", b"\xff"),
        ("inversions/0/01-transpose.json", b"{}"),
        ("inversions/0/01-transpose.npz", b"PK"),
        ("networks/0.safetensors", b""),
        ("networks/random_weights.safetensors", b"x"),
        ("autoencoders.json", b""),
    ):
        path = folder.path / name
        good = path.read_bytes()
        path.write_bytes(content)
        with pytest.raises(JaxbqError) as caught:
            go(experiment, tmp_path, data)
        assert str(folder.path) in str(caught.value)
        assert "\n" not in str(caught.value)
        path.write_bytes(good)
    folder.history().write_text("epoch,loss\nx,1")
    with pytest.raises(JaxbqError, match=r"0.history.csv: damaged.*delete it and run again"):
        folder.read_history()
    folder.scores.write_bytes(b"\xff\xfe")
    with pytest.raises(JaxbqError, match=r"scores.csv: cannot be read"):
        read_csv(folder.scores)


def test_training_alone_goes_on_too(config, tmp_path, every_epoch):
    experiment = load_config(config(epochs=3))
    train_network(experiment, tmp_path / "whole.safetensors", Quiet())
    whole = (tmp_path / "whole.safetensors").read_bytes()
    save = tmp_path / "cut.safetensors"
    # The checkpoint of the second epoch is being written.
    with Disk(at=4), pytest.raises(Killed):
        train_network(experiment, save, Quiet())
    listener = Quiet()
    train_network(experiment, save, listener)
    assert "training: goes on where it was stopped" in listener.lines
    assert listener.epochs == 2
    assert save.read_bytes() == whole
    assert not (tmp_path / "cut.checkpoint.npz").exists()


def test_a_training_that_diverged_leaves_no_checkpoint(config, tmp_path, every_epoch):
    changes = ["network.output=identity", "network.activation=leaky_relu"]
    changes += ["training.loss=squared_error", "training.optimiser.name=sgd"]
    changes += ["training.optimiser.learning_rate=30.0", "training.epochs=50"]
    experiment = load_config(config(), changes)
    with pytest.raises(JaxbqError, match="last-good"):
        go(experiment, tmp_path, None)
    folder = RunFolder.of(experiment, tmp_path)
    assert [file.name for file in folder.networks.iterdir()] == ["0.last-good.safetensors"]


# The command on a slow disk, so that most moments are in the middle of something.
PROGRAM = """
import os, sys, time
from jaxbq.training import checkpoint
sync = os.fsync
os.fsync = lambda handle: (time.sleep(0.02), sync(handle))
checkpoint.EVERY_S = 0.0
from jaxbq.cli import main
sys.exit(main(sys.argv[1:]))
"""


def start(config, out):
    command = [sys.executable, "-c", PROGRAM, "run", str(config), "--out", str(out)]
    command += ["--set", "training.epochs=60", "--set", "methods.1.steps=500"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_really_killed_at_random_moments(tmp_path):
    """The whole command, from the first epoch to the pictures; SIGKILL, and Ctrl-C once."""
    config = tmp_path / "small.toml"
    config.write_text(SMALL.format(folder=problems.write_idx_folder(tmp_path / "data")))
    cut, whole = tmp_path / "cut", start(config, tmp_path / "whole")
    rng, left = random.Random(11), []
    for heard in ("data:", "epoch 5/", "epoch 20/", "epoch 40/", "epoch 60/", "asc"):
        with start(config, cut) as process:
            seen = []
            while not any(heard in line for line in seen):
                seen.append(process.stdout.readline())
                assert seen[-1], (heard, seen, process.stderr.read())
            time.sleep(rng.uniform(0, 0.1))
            process.send_signal(signal.SIGINT if heard == "epoch 20/" else signal.SIGKILL)
            _, errors = process.communicate()
        if heard == "epoch 20/":
            assert process.returncode == 130
            assert errors == "jaxbq: interrupted; finished results are kept\n"
        else:
            assert process.returncode == -signal.SIGKILL
        if heard in ("epoch 20/", "epoch 40/"):
            assert "training: goes on where it was stopped\n" in seen
            assert not any("epoch 5/" in line for line in seen)
        left += [path.name for path in cut.rglob("*") if path.is_file()]
    assert {"0.checkpoint.npz", ".lock", "01-transpose.npz"} <= set(left)
    finished = start(config, cut)
    for process in (whole, finished):
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    one, two = (contents(next((tmp_path / name).iterdir())) for name in ("whole", "cut"))
    assert one == two


def test_without_locks_a_run_goes_on_and_holds_none(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOSYS, "no locks here")

    monkeypatch.setattr("fcntl.flock", none)
    with locked(tmp_path) as held:
        assert not held
