"""What is asked of a GPU, tried out on the CPU: its parts, its limits and its record."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import problems
import pytest

from benchmarks.options import Benchmark
from benchmarks.record import Case
from benchmarks.session import Session
from jaxbq import Idx, Optimiser, Training
from jaxbq.runtime.devices import computing
from scripts import gpu_check
from scripts.gpu_check import BUDGET, LIMITS, PARTS, SMALL, Check, Sizes, main, run_part, table

SIZES = Sizes(images=6, steps=10, side=32, hidden=12, epochs=1, rounds=1)


@pytest.mark.parametrize("name", PARTS)
def test_every_part_is_judged_by_what_it_measured(name, tmp_path):
    function, precisions = PARTS[name]
    place = problems.write_idx_folder(tmp_path / "striped")
    rule = Training(epochs=40, optimiser=Optimiser(learning_rate=0.02))
    found = []
    for precision in precisions:
        given = {"precision": precision, "inverted": rule, "data": Idx(path=str(place))}
        options = Benchmark(rounds=1, hidden=(12,), **given)
        with computing(precision):
            found += function(SIZES, Session(options, lambda text: None))
    cases = [one for one in found if isinstance(one, Case)]
    checks = [one for one in found if isinstance(one, Check)]
    assert len(cases) == len(checks) == (1 if name == "preimages" else 2)
    for case, check in zip(cases, checks, strict=True):
        assert check.what.startswith(case.title)
        medians = [np.median(row.seconds) for row in case.rows]
        if name == "preimages":
            assert check.met == check.found.startswith("9, ")
        elif name == "seeds":
            assert float(check.found) == pytest.approx(medians[1] / medians[0], abs=0.006)
            assert check.met == (medians[1] < 3 * medians[0])
        else:
            share = float(check.found.rstrip("%")) / 100
            assert share == pytest.approx(medians[1] / medians[0], abs=0.006)
            assert check.met == (medians[1] >= medians[0] / 2)


def test_limits_leave_time_for_the_configs():
    assert set(LIMITS) == {"tests", *PARTS}
    assert sum(LIMITS.values()) <= BUDGET - 120


def test_without_a_gpu_one_line_says_what_to_do(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["gpu_check.py", "--out", str(tmp_path / "none")])
    assert main() == 2
    assert "--small" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_part_that_takes_too_long_is_stopped_with_its_children():
    # The child has the pipe too, which is read to its end.
    child = [sys.executable, "-c", "import time; time.sleep(120)"]
    code = f"import subprocess; print('begun', flush=True); subprocess.run({child!r})"
    begun = time.monotonic()
    fault, _ = gpu_check._done([sys.executable, "-c", code], 2.0)
    assert fault == "stopped after 2 s"
    assert time.monotonic() - begun < 110


def test_an_interrupted_check_leaves_no_process(monkeypatch):
    communicate, started = subprocess.Popen.communicate, []

    def interrupted(process, **_):
        started.append(process)
        monkeypatch.setattr(subprocess.Popen, "communicate", communicate)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        gpu_check._done([sys.executable, "-c", "import time; time.sleep(120)"], 60.0)
    assert started[0].returncode == -signal.SIGKILL


def test_a_part_that_fails_is_a_line_and_the_record_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_check, "__file__", str(tmp_path / "none.py"))
    found = [run_part(name, SMALL, 60.0, tmp_path) for name in ("seeds", "preimages")]
    for part in found:
        assert part["faults"][0]["what"] == f"{part['part']}: exit code 2"
        assert "none.py" in part["faults"][0]["end"][-1]
    about = {"device": {"kind": "any"}, "packages": {}, "date": "today", "commit": None}
    text = table({"environment": about, "parts": found})
    assert text.count("FAIL") == 2


@pytest.mark.slow
def test_the_whole_is_tried_with_small_sizes(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["gpu_check.py", "--small", "--out", str(tmp_path)])
    assert main() == 0
    record = json.loads((tmp_path / "record.json").read_text())
    assert [part["part"] for part in record["parts"]] == [*LIMITS, "configs"]
    assert not any(part["faults"] for part in record["parts"])
    assert [len(part["checks"]) for part in record["parts"]] == [1, 2, 2, 1, 1]
    assert (tmp_path / "table.md").read_text() == table(record)
