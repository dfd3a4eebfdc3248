"""A whole run of a network that Python code makes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import problems
import pytest
from safetensors.numpy import load_file, save_file
from test_experiment import Quiet

from jaxbq.cli import main
from jaxbq.errors import JaxbqError
from jaxbq.experiment import load_config, run
from jaxbq.experiment.finished import open_run
from jaxbq.network.files import describe_network, load_network

CODE = """
import jax
import numpy as np
import jax.numpy as jnp
from neighbour import FILTERS

def logits(params, images):  # (batch, 6, 5, 1)
    kernel, dense = params
    seen = jax.lax.conv_general_dilated(
        images, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return jax.nn.relu(seen).reshape(len(images), -1) @ dense

def make():
    # What is bright where it is bright in images of a class.
    patterns = np.zeros((3, 6, 5))
    patterns[0, 2, :] = patterns[1, :, 3] = patterns[2, 3:, :2] = 1
    kernel = np.zeros((3, 3, 1, FILTERS))
    kernel[1, 1] = 1
    inner = patterns[:, 1:5, 1:4] - 0.4
    dense = np.repeat(inner.reshape(3, -1, 1), FILTERS, axis=2).reshape(3, -1)
    return logits, (jnp.asarray(kernel), jnp.asarray(dense.T))

plain = logits
number = 3
"""
CONFIG = """
name = "own"
scores = "quick"
network = "python:net.py:make"
controls = ["random_weights", "permuted_labels"]
[data]
kind = "idx"
path = "data"
[training]
epochs = 2
loss = "cross_entropy"
[[methods]]
kind = "transpose"
[[methods]]
kind = "ascent"
steps = 20
[[methods]]
kind = "preimage"
[[methods]]
kind = "decoder"
source = "hidden"
layer = 1
[[methods]]
kind = "exemplars"
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    problems.write_idx_folder(tmp_path / "data")
    (tmp_path / "net.py").write_text(CODE)
    (tmp_path / "neighbour.py").write_text("FILTERS = 2\n")
    (tmp_path / "own.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*more):
    return main(["run", "own.toml", "--out", "runs", *more])


def the_run(place):
    (folder,) = (place / "runs").glob("own-*")
    return open_run(folder)


def test_code_is_not_run_unless_it_is_allowed(place, capsys):
    (place / "net.py").write_text("open('ran', 'w')")
    assert command() == 2
    line = capsys.readouterr().err
    assert "--run-code" in line
    assert "net.py" in line
    assert not (place / "ran").exists()


def test_a_whole_run_leaves_out_what_needs_layers(place, capsys):
    assert command("--run-code") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "not applicable, since the network is no MLP: transpose, decoder" in said
    done = the_run(place)
    assert done.methods == ["ascent(steps=20)", "preimage", "exemplars"]
    assert done.controls == ["random_weights", "permuted_labels"]
    scores = done.scores.set_index(["network", "method"])

    assert scores.loc[("0", "preimage"), "fidelity"].min() > 0.95
    assert set(scores.loc[("0", "exemplars"), "right"]) == {1}
    page = done.folder.report.read_text()
    assert "Not applicable" in page
    assert "6×5×1 to 3, softmax outputs" in page
    assert "play.html" not in page
    # Again: nothing is left to do, and the report can be made without the code.
    before = done.folder.scores.read_bytes()
    assert command("--run-code") == 0
    assert done.folder.scores.read_bytes() == before
    (place / "net.py").unlink()
    assert main(["report", str(done.path)]) == 0


EVERY = """
[[methods]]
kind = "ascent"
steps = 20
[[methods]]
preset = "whitened"
steps = 20
[[methods]]
kind = "decoder"
epochs = 2
[[methods]]
kind = "decoder"
source = "codes"
epochs = 2
[[methods]]
kind = "projected"
method = "class_mean"
autoencoder = {code = 8, epochs = 2}
[[methods]]
kind = "exemplars"
[[methods]]
kind = "exemplar_mean"
[[methods]]
kind = "class_mean"
[[methods]]
kind = "grey"
[[methods]]
kind = "noise"
[[methods]]
kind = "preimage"
max_iterations = 20
[[methods]]
kind = "pseudo_inverse"
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "left_out"),
    [
        ("FlaxLeNet", ["pseudo_inverse"]),
        ("EquinoxLeNet", ["pseudo_inverse"]),
        ("keras_lenet", ["pseudo_inverse"]),
        ("torch_lenet", ["preimage(max_iterations=20)", "pseudo_inverse"]),
    ],
)
def test_a_lenet_of_each_library_goes_through_all_that_needs_no_layers(
    place, monkeypatch, make, left_out
):
    folder = Path(__file__).parents[1] / "network"
    monkeypatch.syspath_prepend(str(folder))
    (place / "net.py").write_text(f"from test_adapters import {make} as make")
    (place / "own.toml").write_text(CONFIG.partition("[[methods]]")[0] + EVERY)
    # In a process of its own: without the tests' rules for ranks, which Keras breaks.
    words = ["-m", "jaxbq", "run", "own.toml", "--out", "runs", "--run-code"]
    words += ["--set", "scores={}"]
    # Of one library with controls: what they are is the same for all.
    controls = make == "FlaxLeNet"
    words += [] if controls else ["--set", "controls=[]"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, *words], check=True, env=environment)
    done = the_run(place)
    assert done.environment["not_applicable"] == left_out
    assert len(done.methods) == 12 - len(left_out)
    assert len(done.scores["network"].unique()) == (3 if controls else 1)
    assert np.isfinite(done.scores[["fidelity", "naturalness", "readability", "transfer"]]).all(
        axis=None
    )


def test_a_run_of_it_can_be_compared(place, capsys):
    few = "--set", "controls=[]", "--set", "methods=['preimage', 'exemplars']"
    assert command("--run-code", *few) == 0
    assert command("--run-code", *few, "--set", "seed=1") == 0
    runs = sorted(map(str, (place / "runs").glob("own-*")))
    assert main(["compare", *runs, "--score", "fidelity"]) == 0
    assert "preimage" in capsys.readouterr().out


def test_controls_are_the_architecture_with_what_it_learnt_gone(place):
    experiment = load_config(place / "own.toml", ["methods=[{kind='exemplars'}]"])
    folder = run(experiment, place / "runs", Quiet(), code=True)
    files = {n: load_file(folder.network(n)) for n in (0, "random_weights", "permuted_labels")}
    for name, values in files[0].items():
        mixed = files["random_weights"][name]
        np.testing.assert_array_equal(np.sort(mixed.ravel()), np.sort(values.ravel()))
        assert not np.array_equal(files["permuted_labels"][name], mixed)
    assert not np.array_equal(files["random_weights"]["parameters.1"], files[0]["parameters.1"])


def test_parameters_in_a_run_are_no_network_for_other_commands(place):
    experiment = load_config(place / "own.toml", ["controls=[]", "methods=['exemplars']"])
    folder = run(experiment, place / "runs", Quiet(), code=True)
    with pytest.raises(JaxbqError, match=r"holds the parameters of .*net\.py:make"):
        load_network(folder.network())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pixel_range": [1, 0]}, "pixel range does not fit"),
        ({"image_shape": [-6, -5]}, "image shape or pixel range"),
        ({"class_names": ["a"]}, "1 class names, 3 outputs"),
        ({"output": "zig"}, "no activation 'zig'"),
    ],
)
def test_a_damaged_header_is_refused(tmp_path, change, message):
    header = {"python": "net", "output": "softmax", "outputs": 3, "image_shape": [6, 5]}
    header |= {"pixel_range": [0, 1], "class_names": ["a", "b", "c"]}
    path = tmp_path / "net.safetensors"
    arrays = {"parameters.0": np.zeros(3, np.float32)}
    save_file(arrays, path, metadata={"jaxbq": json.dumps(header)})
    assert describe_network(path).model.sizes == (30, 3)
    save_file(arrays, path, metadata={"jaxbq": json.dumps(header | change)})
    with pytest.raises(JaxbqError, match=message):
        describe_network(path)


def test_other_parameters_are_not_gone_on_with(place):
    experiment = load_config(place / "own.toml", ["controls=[]", "methods=['exemplars']"])
    run(experiment, place / "runs", Quiet(), code=True)
    (place / "neighbour.py").write_text("FILTERS = 4\n")

    sys.modules.pop("neighbour")
    with pytest.raises(JaxbqError, match=r"started with other weights in net\.py:make"):
        run(load_config(place / "own.toml", ["controls=[]", "methods=['exemplars']"]),
            place / "runs", Quiet(), code=True)  # fmt: skip


@pytest.mark.parametrize(("ink", "warned"), [("1 - images", "dark on bright"), ("images", None)])
def test_what_it_reads_better_is_said(place, ink, warned):
    code = CODE.replace("    seen = ", f"    images = {ink}\n    seen = ")
    (place / "net.py").write_text(code)
    listener = Quiet()
    experiment = load_config(place / "own.toml", ["controls=[]", "methods=['exemplars']"])
    run(experiment, place / "runs", listener, code=True)
    (line,) = [
        line for line in listener.lines if line.startswith("network python") or "net.py" in line
    ]
    assert "accuracy" in line
    assert ("warning" in line) == bool(warned)
    assert not warned or warned in line


@pytest.mark.parametrize(
    ("code", "name", "message"),
    [
        ("number = 3", "number", "int is no network"),
        ("x = 1\n1 / 0", "make", "line 2: ZeroDivisionError: division by zero"),
        ("def (", "make", "line 1: SyntaxError"),
        ("import nothing_of_this_name", "make", "ModuleNotFoundError"),
        ("raise SystemExit(3)", "make", "SystemExit"),
        ("a = 1", "make", "has no 'make'"),
        ("def make():\n    open('none.npz')", "make", "line 2: FileNotFoundError"),
        (None, "make", "net.py: cannot be read: No such file"),
    ],
)
def test_what_cannot_be_run_is_one_line(place, code, name, message, capsys):
    if code is None:
        (place / "net.py").unlink()
    else:
        (place / "net.py").write_text(code)
    assert command("--run-code", "--set", f"network=python:net.py:{name}") == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["network=python:net.py"], 'or "python:FILE.py:NAME"'),
        (["networks.seeds=3"], "net.py:make is one"),
        (["methods=['transpose']"], "no method is applicable: transpose needs an MLP"),
        (["training.loss=bce"], "loss 'bce' needs output 'sigmoid'"),
        (["training={rule='book'}"], "book's rule is for MLPs"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_computed(place, changes, message, capsys):
    more = [word for change in changes for word in ("--set", change)]
    assert command("--run-code", *more) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not list(place.glob("runs/*/inversions/*/*.npz"))


def test_a_training_of_it_is_refused(place, capsys):
    assert main(["train", "own.toml", "--save", "x.safetensors"]) == 2
    assert "net.py:make is trained already" in capsys.readouterr().err


def test_the_config_is_kept_in_full(place):
    experiment = load_config(place / "own.toml", ["controls=[]", "methods=['exemplars']"])
    folder = run(experiment, place / "runs", Quiet(), code=True)
    kept = json.loads((folder.path / "config.json").read_text())["network"]
    assert (kept["python"], kept["name"]) == ("net.py", "make")
