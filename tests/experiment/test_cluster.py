"""Workers of a Dask cluster find what one process does, to the bit, whoever is lost meanwhile."""

import contextlib
import dataclasses
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import problems
import pytest
import trustme
from test_experiment import Quiet
from test_faults import contents

import jaxbq
from jaxbq.cli import main
from jaxbq.cli.experiments import without_cluster
from jaxbq.errors import JaxbqError
from jaxbq.experiment import RunFolder, cluster, load_config, run
from jaxbq.experiment.cells import Found, InProcess, Job, run_cell
from jaxbq.experiment.inversions import InversionCell, cut
from jaxbq.experiment.results import ScoringCell
from jaxbq.experiment.trainings import TrainingCell

CONFIG = """
name = "shared"
scores = "quick"
controls = ["random_weights"]
data = { kind = "idx", path = "data" }
network = { hidden = [8] }
networks = { seeds = 3 }
training = { epochs = 3, batch_size = 16 }
[[methods]]
kind = "transpose"
[[methods]]
kind = "ascent"
sweep = { "optimiser.learning_rate" = [0.1, 0.2] }
restarts = 2
steps = 4
"""

# One network and few methods with many images: 3 classes × 40 rows, which are cut.
LARGE = CONFIG.partition("[[methods]]")[0].replace("seeds = 3", "seeds = 1")
LARGE = LARGE.replace('controls = ["random_weights"]', 'precision = "float64"')
LARGE += """
[[methods]]
kind = "ascent"
start = "random"
restarts = 40
steps = 40
stop = { tolerance = 0.0 }
transforms = [{ kind = "noise", deviation = 0.05 }]
"""

# What a worker loads, twice: its inversions wait for the file `go`, but for the first
# few.
WAITING = """
import os, time
from pathlib import Path
from jaxbq.experiment.inversions import InversionCell
def waiting(compute, most, done):
    def wait(self, *rest):
        while len(done) >= most and not Path("go").exists():
            Path(f"begun-{os.getpid()}").touch()
            time.sleep(0.02)
        done.append(self)
        return compute(self, *rest)
    return wait
if InversionCell.compute.__name__ == "compute":
    InversionCell.compute = waiting(InversionCell.compute, int(os.environ.get("FIRST_FEW", 0)), [])
"""

SLOW = """
import time
from jaxbq.experiment import cluster
def slow(run):
    def slowly(*what):
        time.sleep(0.3)
        return run(*what)
    return slowly
if cluster.run_cell.__name__ == "run_cell":
    cluster.run_cell = slow(cluster.run_cell)
"""

# Where workers find this module and what it imports.
TESTS = [str(Path(__file__).parents[n]) for n in (0, 1)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with config and data, in which all work."""
    monkeypatch.chdir(tmp_path)
    return write_config(tmp_path)


def write_config(place):
    problems.write_idx_folder(place / "data")
    (place / "c.toml").write_text(CONFIG)
    return place


@pytest.fixture
def job(folder):
    """What the cells of the config share, in an empty run folder."""
    experiment = load_config("c.toml")
    made = RunFolder.of(experiment, folder / "runs")
    made.create([*range(experiment.networks.seeds), *experiment.controls])
    return Job(made, experiment, experiment.data.load(), Quiet())


# Cells.


def given(cell, job):
    paths = cell.inputs(job)
    return {p.relative_to(job.folder.path).as_posix(): p.read_bytes() for p in paths if p.exists()}


def test_a_cell_gives_apart_what_it_writes_in_the_run_folder(job):
    training = TrainingCell((1,), (1,))
    inversion = InversionCell(1, (1, 2), (2,))
    cells = [training, InversionCell(1, (0,), (0,)), InversionCell(1, (1, 2), (1,)), inversion]
    found = {}
    for cell in [*cells, ScoringCell(1)]:
        apart = run_cell(cell, job.experiment, job.data, given(cell, job), "there")
        assert apart.fault is None
        apart.check()
        InProcess().run("cells", [cell], job)
        for name, content in apart.files.items():
            written = (job.folder.path / name).read_bytes()
            found[name] = written
            if name.endswith((".npz", ".safetensors")):
                assert content == written
    assert list(found) == [
        "networks/1.safetensors",
        "networks/1.history.csv",
        *(
            f"inversions/1/{n + 1:02d}-{kind}.{end}"
            for n, kind in enumerate(("transpose", "ascent"))
            for end in ("json", "npz")
        ),
        "inversions/1/03-ascent.json",
        "inversions/1/03-ascent.npz",
        "inversions/1/scored.json",
    ]
    assert [line for line in job.listener.lines if "ascent" in line] == []


def test_what_a_cell_cannot_do_names_the_run_folder(job):
    name = "inversions/0/01-transpose.npz"
    cell = ScoringCell(0)
    InProcess().run("networks", [TrainingCell((0,), (0,))], job)
    found = run_cell(cell, job.experiment, job.data, given(cell, job) | {name: b"no npz"}, "there")
    assert found.fault.startswith(f"there/{name}: damaged")
    assert not found.files


def test_files_changed_on_their_way_are_noticed():
    with pytest.raises(JaxbqError, match="a: was damaged in transfer"):
        Found({"a": b"one"}, {"a": "0" * 64}).check()


def test_workers_write_nowhere_else(job):
    for name in ("config.json", "networks/../../x", "/etc/x", "figures/x"):
        with pytest.raises(JaxbqError, match="does not belong to a run"):
            cluster._path(job, name)
    assert cluster._path(job, "networks/0.safetensors") == job.folder.network(0)


# Cutting.


class Few:
    """Computes in this process, as if it had more workers."""

    def __init__(self, workers):
        self.number, self.seen = workers, []

    def workers(self, listener):
        return self.number

    def run(self, what, cells, job):
        self.seen += cells
        InProcess().run(what, cells, job)


@pytest.mark.parametrize("workers", [2, 4])
def test_a_cut_inversion_is_that_of_one_piece(folder, workers):
    (folder / "c.toml").write_text(LARGE)
    experiment = load_config("c.toml")
    executor = Few(workers)
    one = run(experiment, folder / "whole", Quiet())
    parts = run(experiment, folder / "parts", Quiet(), executor=executor)
    pieces = [cell for cell in executor.seen if isinstance(cell, InversionCell)]
    # No more than make 32 images each: 120 are three.
    assert len(pieces) == min(workers, 3)
    name = one.inversion(0, 0, experiment.methods[0]).relative_to(one.path)
    with np.load(one.path / name) as whole, np.load(parts.path / name) as merged:
        assert whole["images"].shape == (3, 40, 30)
        assert whole.files == merged.files
        for key in whole.files:
            np.testing.assert_allclose(whole[key], merged[key], rtol=0, atol=1e-6, err_msg=key)
    assert not list(parts.path.rglob("*.part-*"))
    assert json.loads((parts.path / name).with_suffix(".json").read_text())["operations"] > 0


@pytest.mark.parametrize(
    "method",
    [
        "kind = 'ascent'\nrestarts = 70\nsteps = 5\nnoise = 0.3",
        "kind = 'preimage'\nstart = 'random'\nsamples = 70",
        "kind = 'preimage'\nstart = 'random'\nsamples = 70\nwarm_start = true",
        "kind = 'preimage'\nstart = 'nearest'\nsamples = 70",
        "kind = 'projected'\nautoencoder = { code = 4, hidden = [8], epochs = 2 }\n"
        "method = { kind = 'ascent', restarts = 70, steps = 5, start = 'random' }",
    ],
)
def test_samples_of_one_target_are_cut_too(folder, method):
    """Six workers, three targets: each target's samples in two parts."""
    # Targets that can be reached: of others rounding decides where a preimage ends.
    within = "[targets]\non = 0.4\noff = 0.3\n"
    text = LARGE.partition("[[methods]]")[0] + f"{within}[[methods]]\n{method}"
    (folder / "c.toml").write_text(text)
    experiment = load_config("c.toml")
    executor = Few(6)
    one = run(experiment, folder / "whole", Quiet())
    parts = run(experiment, folder / "parts", Quiet(), executor=executor)
    pieces = [cell.part for cell in executor.seen if isinstance(cell, InversionCell)]
    assert [(p.targets, p.samples) for p in pieces] == [
        ((t, t + 1), s) for t in range(3) for s in ((0, 35), (35, 70))
    ]
    name = one.inversion(0, 0, experiment.methods[0])
    whole = one.read_result(name)
    merged = parts.read_result(parts.path / name.relative_to(one.path))
    reached = whole.method.rank(whole.reasons, whole.diagnostics)
    np.testing.assert_allclose(
        merged.method.rank(merged.reasons, merged.diagnostics), reached, rtol=0, atol=1e-6
    )
    order = "restart" if "restart" in whole.diagnostics else "start"
    # Samples that are as good change places by rounding: compare them by their number.
    place, others = (np.argsort(each.diagnostics[order], axis=1) for each in (whole, merged))
    row = np.arange(3)[:, None]
    for read in (lambda r: r.images, lambda r: r.outputs, lambda r: r.diagnostics[order]):
        np.testing.assert_allclose(
            read(merged)[row, others], read(whole)[row, place], rtol=0, atol=1e-6
        )


def test_what_is_small_or_enough_is_not_cut(folder):
    experiment = load_config("c.toml")
    cells = [InversionCell(k, (1, 2), (1, 2)) for k in range(2)]
    assert not cut(cells, experiment, 3, 8)  # 6 images
    large = dataclasses.replace(experiment.methods[1], restarts=100)
    experiment = dataclasses.replace(experiment, methods=(experiment.methods[0], large, large))
    assert not cut(cells, experiment, 3, 2)
    assert [len(pieces) for pieces in cut(cells, experiment, 3, 4).values()] == [2, 2]
    assert not cut([InversionCell(0, (0,), (0,))], experiment, 3, 4)  # has no rows


# Arguments.


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--workers", "0"], "--workers 0: use a whole number from 1"),
        (["--workers", "2", "--devices", "1"], "--devices applies to a single process"),
        (["--workers", "2", "--insecure"], "--insecure needs --scheduler"),
        (["--scheduler", "tcp://127.0.0.1:1", "--platform", "cpu"], "with JAX_PLATFORMS=cpu"),
        (["--scheduler", "nowhere.json"], "nowhere.json: No such file or directory; give tcp://"),
        (["--scheduler", "c.toml"], "is no file of a Dask scheduler"),
        (["--scheduler", "tcp://127.0.0.1"], "give tcp://HOST:PORT or tls://HOST:PORT"),
        (["--scheduler", "http://127.0.0.1:80"], "give tcp://HOST:PORT or tls://HOST:PORT"),
        (["--scheduler", "tcp://10.1.2.3:8786"], "whoever reaches it can run code here"),
    ],
)
def test_mistakes_in_flags(folder, capsys, flags, message):
    assert main(["run", "c.toml", *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (folder / "runs").exists()


def test_a_scheduler_elsewhere_needs_tls_or_a_word(folder):
    assert cluster.checked_address("tls://10.1.2.3:8786", False) == "tls://10.1.2.3:8786"
    assert cluster.checked_address("tcp://10.1.2.3:8786", True) == "tcp://10.1.2.3:8786"
    for near in ("tcp://127.0.0.1:1", "tcp://localhost:1", "tcp://[::1]:1"):
        assert cluster.checked_address(near, False) == near
    (folder / "s.json").write_text(json.dumps({"address": "tcp://10.1.2.3:8786"}))
    with pytest.raises(JaxbqError, match="--insecure"):
        cluster.checked_address("s.json", False)


def test_without_dask_the_flags_say_how_to_install_it(folder, capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "jaxbq.experiment.cluster")
    monkeypatch.delattr("jaxbq.experiment.cluster")
    monkeypatch.setitem(sys.modules, "distributed", None)
    for flags in (["--workers", "2"], ["--scheduler", "tcp://127.0.0.1:1"]):
        assert main(["run", "c.toml", *flags]) == 2
        assert "needs Dask: pip install 'jaxbq[cluster]'" in capsys.readouterr().err


def test_a_command_is_kept_without_who_computed():
    given = ["run", "c.toml", "--workers", "2", "--out", "x", "--scheduler=tcp://a:1", "--insecure"]
    assert without_cluster(given) == ["run", "c.toml", "--out", "x"]
    assert without_cluster(["run", "c", "--insecure", "--out", "x"]) == ["run", "c", "--out", "x"]


# Real processes.


class Machines:
    """Scheduler, workers and leader, each a process of its own.

    Args:
        folder: where they work.
    """

    def __init__(self, folder):
        self.folder, self.started, self.logs = folder, {}, {}
        root = Path(jaxbq.__file__).parents[1]
        (folder / "waiting.py").write_text(WAITING)
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(root), *TESTS)),
            # So that many losses of one cell are no end.
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "100",
        }

    def start(self, name, *command, cwd=None, waits=False, **environment):
        log = self.folder / f"{name}.log"
        if waits:
            environment["DASK_DISTRIBUTED__WORKER__PRELOAD"] = json.dumps(["waiting.py"])
        with log.open("w") as stream:
            self.started[name] = subprocess.Popen(
                [sys.executable, "-m", *command],
                stdout=stream,
                stderr=subprocess.STDOUT,
                cwd=cwd or self.folder,
                env=self.environment | environment,
            )
        self.logs[name] = log
        return self.started[name]

    def scheduler(self, *flags):
        place = self.folder / "scheduler.json"
        place.unlink(missing_ok=True)
        command = ["distributed.cli.dask_scheduler", "--no-dashboard", "--host", "127.0.0.1"]
        command += ["--port", "0", "--scheduler-file", str(place)]
        self.start("scheduler", *command, *flags)
        self.wait(lambda: place.exists() and place.stat().st_size > 0)

    def worker(self, name, *flags, **options):
        command = ["distributed.cli.dask_worker", "--scheduler-file", "scheduler.json", "--name"]
        command += [name, "--no-nanny", "--nthreads", "1", "--memory-limit", "0", "--no-dashboard"]
        if "cwd" in options:
            command[2] = str(self.folder / "scheduler.json")
        return self.start(name, *command, *flags, **options)

    def lead(self, *flags, out="cut", **options):
        flags = flags or ("--scheduler", "scheduler.json")
        command = ["jaxbq", "run", "c.toml", "--out", out, *flags]
        return self.start("leader", *command, **options)

    def log(self, name="leader"):
        return self.logs[name].read_text()

    def wait(self, condition, seconds=40):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, {name: self.log(name) for name in self.logs}
            time.sleep(0.05)

    def hear(self, pattern):
        self.wait(lambda: re.search(pattern, self.log()))

    def begun(self, name):
        """Wait until a worker is in the middle of an inversion."""
        self.wait((self.folder / f"begun-{self.started[name].pid}").exists)

    def kill(self, name, how=signal.SIGKILL):
        self.started[name].send_signal(how)
        if how == signal.SIGKILL:
            self.started[name].wait()

    def code(self, seconds=60):
        return self.started["leader"].wait(seconds)

    def last(self):
        return self.log().splitlines()[-1]

    def children(self):
        """Process ids of the leader's own workers."""
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.started["leader"].pid)],
            capture_output=True,
            text=True,
            check=False,
        )
        return [int(pid) for pid in listed.stdout.split() if _is_running(int(pid), "dask_worker")]

    def found(self, out="cut"):
        (place,) = (self.folder / out).glob("shared-*")
        return place

    def results(self):
        paths = self.found().glob("inversions/*/[0-9]*.npz")
        return {p.relative_to(self.found()): p.stat().st_mtime_ns for p in paths}

    def close(self):
        for process in self.started.values():
            process.kill()
            process.wait()


def _is_running(pid, what):
    with contextlib.suppress(OSError):
        return what in Path(f"/proc/{pid}/cmdline").read_text()
    return False


@pytest.fixture
def machines(folder):
    made = Machines(folder)
    yield made
    made.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What one process of the command line finds."""
    made = Machines(write_config(tmp_path_factory.mktemp("whole")))
    assert made.lead("--set", "seed=0").wait(120) == 0
    return computed(made.found())


def computed(place):
    """All that a config determines."""
    drawn = ("figures/", "tables/", "report/")
    return {n: content for n, content in contents(place).items() if not n.startswith(drawn)}


def finished(machines, whole, kept=None):
    """Finish a run by a process without workers: what was there stays, and all is as it was."""
    assert machines.lead("--set", "seed=0").wait(120) == 0, machines.log()
    if kept is not None:
        assert kept.items() <= machines.results().items()
    assert computed(machines.found()) == whole


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["2", "3"])
def test_local_workers_find_what_one_process_does(machines, whole, workers):
    machines.lead("--workers", workers)
    machines.hear("worker 2: ")
    children = machines.children()
    assert machines.code(120) == 0, machines.log()
    assert computed(machines.found()) == whole
    assert not any(_is_running(pid, "dask_worker") for pid in children)
    about = json.loads((machines.found() / "environment.json").read_text())
    assert about["command"] == "jaxbq run c.toml --out cut"
    before = machines.results()
    machines.lead("--workers", workers)
    assert machines.code() == 0
    assert machines.results() == before


@pytest.mark.slow
def test_a_killed_worker_costs_only_its_cell(machines, whole):
    machines.scheduler()
    machines.worker("steady", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # as of a nanny's
    machines.worker("lost", waits=True)
    machines.lead()
    machines.begun("lost")
    machines.kill("lost")
    assert machines.code(120) == 0, machines.log()
    assert computed(machines.found()) == whole


@pytest.mark.slow
@pytest.mark.parametrize("who", ["scheduler", "leader", "workers"])
def test_what_was_finished_stays_whoever_is_killed(machines, whole, who):
    machines.scheduler()
    names = ["one", "two"]
    for name in names:
        machines.worker(name, waits=True, FIRST_FEW="1")
    machines.lead()
    for name in names:
        machines.begun(name)
    machines.wait(lambda: len(machines.results()) >= 2)
    time.sleep(0.5)
    kept = machines.results()
    for name in names if who == "workers" else [who]:
        machines.kill(name)
    if who != "leader":
        assert machines.code(60) == 2, machines.log()
        assert "Traceback" not in machines.log()
        lost = {"scheduler": "the scheduler was lost", "workers": "no worker is connected"}
        assert machines.last().startswith(f"jaxbq: error: {lost[who]}")
        assert "finished results are kept; give the same command again" in machines.last()
    finished(machines, whole, kept)


@pytest.mark.slow
def test_the_same_scheduler_finishes_what_a_killed_leader_began(machines, whole):
    machines.scheduler()
    machines.worker("one", waits=True, FIRST_FEW="1")
    machines.lead()
    machines.begun("one")
    machines.kill("leader")
    (machines.folder / "go").touch()
    assert machines.lead().wait(120) == 0, machines.log()
    assert computed(machines.found()) == whole


@pytest.mark.slow
def test_workers_of_a_killed_leader_end(machines, whole):
    machines.lead("--workers", "2", waits=True, FIRST_FEW="0")
    machines.wait(lambda: len(list(machines.folder.glob("begun-*"))) == 2)
    children = machines.children()
    assert len(children) == 2
    machines.kill("leader")
    (machines.folder / "go").touch()
    machines.wait(lambda: not any(_is_running(pid, "dask_worker") for pid in children), 60)
    finished(machines, whole)


@pytest.mark.slow
def test_all_local_workers_killed_ends_the_run(machines):
    machines.lead("--workers", "2", waits=True)
    machines.wait(lambda: len(list(machines.folder.glob("begun-*"))) == 2)
    for pid in machines.children():
        os.kill(pid, signal.SIGKILL)
    assert machines.code(60) == 2
    assert "no worker is connected" in machines.last()


@pytest.mark.slow
@pytest.mark.parametrize("flags", [["--workers", "2"], ["--scheduler", "scheduler.json"]])
def test_ctrl_c_ends_a_run(machines, flags):
    if "--scheduler" in flags:
        machines.scheduler()
        machines.worker("one", waits=True)
        machines.worker("two", waits=True)
    machines.lead(*flags, waits=True)
    machines.wait(lambda: len(list(machines.folder.glob("begun-*"))) == 2)
    children = machines.children()
    machines.kill("leader", signal.SIGINT)
    assert machines.code(30) == 130
    assert machines.last() == "jaxbq: interrupted; finished results are kept"
    assert not any(_is_running(pid, "dask_worker") for pid in children)
    if "--scheduler" in flags:
        begun = {path.name for path in machines.folder.glob("begun-*")}
        (machines.folder / "go").touch()
        with cluster.distributed.Client(scheduler_file="scheduler.json") as client:
            # Nothing is left that waits.
            machines.wait(lambda: not any(client.processing().values()), 30)
        assert begun == {path.name for path in machines.folder.glob("begun-*")}


@pytest.mark.slow
def test_a_training_that_diverges_ends_the_run(machines):
    flags = ["network.output=identity", "network.activation=leaky_relu", "training.epochs=50"]
    flags += ["training.loss=squared_error", "training.optimiser.name=sgd", "controls=[]"]
    flags += ["training.optimiser.learning_rate=30.0"]
    machines.lead("--workers", "2", *(word for flag in flags for word in ("--set", flag)))
    assert machines.code(60) == 2
    assert "diverged" in machines.last()
    (kept,) = {re.search(r" in (\S+\.last-good\.safetensors)", machines.last())[1]}
    assert (machines.folder / kept).exists()


@pytest.mark.slow
def test_a_worker_that_has_something_else_is_named(machines, tmp_path):
    machines.scheduler()
    other = tmp_path / "other"
    problems.write_idx_folder(other / "data")
    images, _ = problems.striped_bytes(40, 5)
    problems.write_idx(other / "data" / "train-images-idx3-ubyte", images)
    machines.worker("odd", cwd=other)
    assert machines.lead().wait(60) == 2
    assert "worker odd: has other data under the same path" in machines.last()
    machines.kill("odd")
    (other / "data" / "train-images-idx3-ubyte").unlink()
    machines.worker("odd", cwd=other)
    assert machines.lead().wait(60) == 2
    assert re.search("error: worker odd: .*train-images", machines.last())
    machines.kill("odd")
    (other / "older.py").write_text(
        "from jaxbq.experiment import environment\n"
        "found = environment.versions() | {'jax': '0.1'}\n"
        "from jaxbq.experiment import cluster\n"
        "cluster.versions = lambda: found\n"
    )
    machines.worker("odd", cwd=other, DASK_DISTRIBUTED__WORKER__PRELOAD='["older.py"]')
    assert machines.lead().wait(60) == 2
    assert "worker odd: has jax 0.1, the others" in machines.last()


@pytest.mark.slow
def test_certificates(machines, whole):
    """A run over TLS is as any other; with a certificate of somebody else's there is none."""
    paths = {}
    for who in ("right", "wrong"):
        authority = trustme.CA()
        made = authority.issue_cert("127.0.0.1", "localhost")
        paths[who] = {name: machines.folder / f"{who}-{name}.pem" for name in ("ca", "cert", "key")}
        authority.cert_pem.write_to_path(paths[who]["ca"])
        made.cert_chain_pems[0].write_to_path(paths[who]["cert"])
        made.private_key_pem.write_to_path(paths[who]["key"])
    right = paths["right"]
    flags = ["--tls-ca-file", right["ca"], "--tls-cert", right["cert"], "--tls-key", right["key"]]
    flags = [str(flag) for flag in flags]
    machines.scheduler("--protocol", "tls", *flags)
    machines.worker("one", "--protocol", "tls", *flags)

    def settings(who):
        found = {"DASK_DISTRIBUTED__COMM__TLS__CA_FILE": str(paths[who]["ca"])}
        for name in ("cert", "key"):
            found[f"DASK_DISTRIBUTED__COMM__TLS__CLIENT__{name.upper()}"] = str(paths[who][name])
        return found

    for wrong in (settings("wrong"), {}):
        assert machines.lead(**wrong).wait(60) == 2
        assert "cannot be reached" in machines.last()
        assert "certificate" in machines.last()
        assert "Traceback" not in machines.log()
    assert machines.lead(**settings("right")).wait(120) == 0, machines.log()
    assert computed(machines.found()) == whole


@pytest.mark.slow
def test_twenty_kills_at_random_moments_change_nothing(machines):
    text = CONFIG.replace("seeds = 3", "seeds = 12")
    (machines.folder / "c.toml").write_text(text)
    assert machines.lead("--set", "seed=0", out="whole").wait(180) == 0
    whole = computed(machines.found("whole"))
    (machines.folder / "slow.py").write_text(SLOW)
    draw, names = random.Random(7), ["one", "two", "three"]
    preload = {"DASK_DISTRIBUTED__WORKER__PRELOAD": '["slow.py"]'}
    machines.scheduler()
    for name in names:
        machines.worker(name, **preload)
    machines.lead()
    ends, kills = 0, 0
    while kills < 20:
        time.sleep(draw.uniform(0.0, 4.0))
        if machines.started["leader"].poll() is not None:
            # Finished already: once more, into another folder.
            assert machines.code() == 0, machines.log()
            assert computed(machines.found()) == whole
            (machines.folder / "cut").rename(machines.folder / f"cut-{ends}")
            ends += 1
            machines.lead()
            continue
        name = draw.choice([*names, "leader"])
        machines.kill(name)
        kills += 1
        if name == "leader":
            machines.lead()
        else:
            machines.worker(name, **preload)
    assert machines.code(180) == 0, machines.log()
    assert computed(machines.found()) == whole


# Large numbers of cells.


@dataclasses.dataclass(frozen=True)
class Nothing:
    """A cell without inputs or files."""

    number: int

    def inputs(self, job):
        return []

    def compute(self, job):
        return []


@pytest.mark.slow
def test_memory_of_the_leader_does_not_grow_with_the_number_of_cells(job, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(TESTS))

    def resident():
        status = Path("/proc/self/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024

    with cluster.local(2) as workers:
        grown = []
        for _ in range(3):
            workers.run("nothing", [Nothing(n) for n in range(1000)], job)
            grown.append(resident())
    # MiB, after what the scheduler keeps of its last transitions.
    assert grown[2] - grown[1] < 10, grown
