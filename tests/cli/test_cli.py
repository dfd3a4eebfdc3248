import csv
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import problems
import pytest
from PIL import Image
from test_experiment import write_small

from jaxbq import verify
from jaxbq.cli import main
from jaxbq.data import ImageSpace
from jaxbq.network.files import NetworkFile, load_network, save_network

ROOT = Path(__file__).parents[2]
COMMANDS = [
    "run",
    "configs",
    "report",
    "compare",
    "train",
    "import",
    "invert",
    "sweep",
    "trace",
    "explain",
    "certify",
]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A folder with data, a config and files of networks, which every test gets a copy of."""
    folder, rng = tmp_path_factory.mktemp("template"), np.random.default_rng(7)
    write_small(folder)
    for name, hidden in (("net", "sigmoid"), ("relu", "relu")):
        model, params = problems.random_network((30, 8, 3), rng, hidden)
        file = NetworkFile(model, params, ImageSpace((6, 5)), ("row", "column", "<b>"))
        save_network(folder / f"{name}.safetensors", file)
    book = {"wih": rng.normal(size=(8, 30)), "who": rng.normal(size=(3, 8))}
    np.savez(folder / "book.npz", **book)
    np.savez(folder / "square.npz", W0=rng.normal(size=(4, 4)), W1=rng.normal(size=(4, 4)))
    np.savez(folder / "nan.npz", W0=np.full((30, 3), np.nan), b0=np.zeros(3))
    np.savez(folder / "objects.npz", W0=np.array([None]))
    (folder / "text.npz").write_text("hello")
    return folder


@pytest.fixture
def place(template, tmp_path, monkeypatch):
    """The working folder of a test."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def done(place, small):
    """The finished run of the config, in the working folder."""
    shutil.copytree(small.place / "runs", place / "runs")
    (folder,) = (place / "runs").iterdir()
    return folder


def test_run_trains_inverts_scores_and_draws_and_report_draws_again(place, capsys):
    assert main(["run", "small.toml", "--set", "training.epochs=2"]) == 0
    out = capsys.readouterr().out
    assert "epoch 2/2" in out
    assert "transpose" in out
    assert "\x1b" not in out
    (folder,) = (place / "runs").iterdir()
    assert str(folder.relative_to(place)) in out
    assert (folder / "figures" / "images.png").exists()
    assert json.loads((folder / "config.json").read_text())["training"]["epochs"] == 2
    command = json.loads((folder / "environment.json").read_text())["command"]
    assert command == "jaxbq run small.toml --set training.epochs=2"
    assert out.splitlines()[-1] == f"report: {folder.relative_to(place)}/report/index.html"
    # From the folder alone: the data is gone.
    page = (folder / "report" / "index.html").read_bytes()
    (folder / "report" / "index.html").unlink()
    shutil.rmtree(place / "data")
    assert main(["report", str(folder), "--format", "pdf", "--width", "column"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"report: {folder}/report/index.html"
    assert (folder / "report" / "index.html").read_bytes() == page
    assert (folder / "figures" / "images.pdf").read_bytes().startswith(b"%PDF")


def test_variants_are_compared_with_the_first(place, done, capsys):
    with (place / "small.toml").open("a") as file:
        file.write("[variants.plain]\n[variants.other]\nseed = 1\n")
    assert main(["run", "small.toml"]) == 0
    out = capsys.readouterr().out
    (table,) = (place / "runs/comparisons").glob("*/comparison.csv")
    assert f"comparison: {table.relative_to(place)}" in out
    with table.open() as file:
        assert {row["run"] for row in csv.DictReader(file)} == {"plain", "other"}
    runs = sorted(str(path) for path in (place / "runs").glob("small-*"))
    assert len(runs) == 2
    # The first variant is the config as it stands, whose run was there.
    assert str(done) in runs
    assert main(["compare", *runs, "--score", "fidelity", "--out", "both"]) == 0
    assert (place / "both" / "comparison.tex").exists()
    assert "fidelity" in capsys.readouterr().out


def test_train_then_invert(place, capsys):
    assert main(["train", "small.toml", "--save", "new.safetensors"]) == 0
    assert "test accuracy" in capsys.readouterr().out
    arguments = ["invert", "new.safetensors", "--method", "ascent", "--set", "steps=20"]
    arguments += ["--set", "restarts=2", "--target", "2", "--target", "0"]
    arguments += ["--target-vector", "0.5,0.4,0.3", "--data", "data"]
    assert main([*arguments, "--out", "a.npz", "--figure", "a.png"]) == 0
    with np.load(place / "a.npz") as file:
        assert file["images"].shape == (3, 2, 30)
        assert file["outputs"].shape == (3, 2, 3)
        np.testing.assert_allclose(file["targets"][0], [0.01, 0.01, 0.99])
        np.testing.assert_allclose(file["targets"][2], [0.5, 0.4, 0.3])
    assert (place / "a.png").exists()
    out = capsys.readouterr().out
    assert len([line for line in out.splitlines() if "max_iterations" in line]) == 6
    assert "how the 2 images of each target differ" in out


def test_a_certificate_is_made_saved_and_verified(place, capsys):
    rng = np.random.default_rng(0)
    np.save(place / "near.npy", rng.uniform(size=30))
    arguments = ["certify", "net.safetensors", "--target", "column", "--objective", "margin"]
    arguments += ["--around", "near.npy", "--radius", "0.2", "--seconds", "5", "--out", "c.npz"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    (sentence,) = [line for line in out.splitlines() if line.startswith("margin of column: Found")]
    assert "within 0.2 (L∞) of the image exceeds" in sentence
    assert "saved c.npz" in out
    assert main(["certify", "net.safetensors", "--verify", "c.npz"]) == 0
    assert sentence in capsys.readouterr().out
    assert main(["certify", "relu.safetensors", "--verify", "c.npz"]) == 2
    assert "other weights" in capsys.readouterr().err
    # The same weights on pixels of another range are another question.
    network = load_network(place / "net.safetensors")
    wide = NetworkFile(network.model, network.params, ImageSpace((6, 5), -1, 1), ("a", "b", "c"))
    save_network(place / "wide.safetensors", wide)
    assert main(["certify", "wide.safetensors", "--verify", "c.npz"]) == 2
    assert "the network's are in [-1, 1]" in capsys.readouterr().err


def test_certificates_of_other_questions(place, capsys):
    """A unit, a direction, a target out of reach, and the training images' ball, each verified."""
    np.save(place / "ends.npy", np.array([0.99, 0.99, 0.99]))
    questions = [
        ("--objective unit --layer 1 --unit 2", "pre-activation of unit 2 of layer 1: Found"),
        ("--objective direction --vector 1,-0.5,-0.5", "logits along the vector: Found"),
        ("--objective error --vector ends.npy", "error of the vector: Found a picture whose"),
        ("--target 0 --norm mahalanobis --radius 3", "(Mahalanobis, covariance "),
    ]
    net = ["net.safetensors", "--data", "data", "--class-names", "0,1,2"]
    for words, said in questions:
        arguments = ["certify", *net, *words.split(), "--seconds", "1"]
        assert main([*arguments, "--gap", "0.2", "--out", "c.npz", "--figure", "c.png"]) == 0
        out = capsys.readouterr().out
        (line,) = [line for line in out.splitlines() if said in line]
        # Numbers of the table are rounded to the safe side.
        network = load_network("net.safetensors")
        made = verify("c.npz", network.model, network.params)
        (row,) = re.findall(r"\n *(?:unit 2|the vector|0) .*", out)
        least, most = map(float, re.findall(r"-?\d+\.\d{4}", row)[:2])
        sign = -1 if "error" in words else 1
        assert 0 <= made.found - sign * least < 1e-4
        assert 0 <= sign * most - made.proven < 1e-4
        assert main(["certify", *net, "--verify", "c.npz"]) == 0
        assert line in capsys.readouterr().out


def test_invert_keeps_the_way_of_its_images(place, capsys):
    arguments = ["invert", "net.safetensors", "--method", "ascent", "--set", "steps=20"]
    assert main([*arguments, "--path", "way.gif"]) == 0
    assert main([*arguments, "--path", "way.png", "--set", "path=[0, 5, 20]"]) == 0
    with Image.open(place / "way.gif") as film:
        assert film.n_frames > 8
    assert (place / "way.png").exists()


def test_invert_by_a_preset_with_a_change(place, capsys):
    arguments = ["invert", "net.safetensors", "--method", "whitened", "--data", "data"]
    assert main(arguments) == 2
    assert "called row, column, <b>, but the classes of the data 0, 1" in capsys.readouterr().err
    arguments += [
        "--class-names",
        "0,1,2",
        "--set",
        "steps=10",
        "--set",
        "regularisers.0.weight=0.5",
    ]
    assert main(arguments) == 0
    assert "max_iterations" in capsys.readouterr().out


def test_sweep_shows_a_curve(place, capsys):
    arguments = ["sweep", "net.safetensors", "--method", "whitened", "--set", "steps=10"]
    arguments += ["--over", "regularisers.0.weight=0.1:1000:3", "--data", "data"]
    arguments += ["--class-names", "0,1,2"]
    assert main([*arguments, "--out", "curve.csv", "--figure", "curve.png"]) == 0
    out = capsys.readouterr().out
    assert "distance" in out
    rows = (place / "curve.csv").read_text().splitlines()
    assert [row.partition(",")[0] for row in rows[1:]] == ["0.1", "10", "1000"]
    natural = [float(row.split(",")[4]) for row in rows[1:]]
    assert natural[0] >= natural[2]
    assert (place / "curve.png").exists()


def test_invert_defaults_to_every_class_and_names_them(place, capsys):
    assert main(["invert", "net.safetensors", "--method", "transpose"]) == 0
    out = capsys.readouterr().out
    for name in ("row", "column", "<b>"):
        assert name in out
    assert "computed" in out


def test_invert_in_float64(place):
    arguments = ["invert", "net.safetensors", "--method", "transpose", "--precision", "float64"]
    assert main([*arguments, "--out", "images"]) == 0
    assert sorted(p.name for p in place.glob("*images*")) == ["images"]
    assert np.load(place / "images")["images"].dtype == np.float64


TRACE = ["trace", "net.safetensors", "--target", "row"]


def test_trace_shows_layers_and_saves_numbers(place, capsys):
    arguments = [*TRACE, "--method", "pseudo_inverse"]
    # Not the box, which takes a second to compile for every layer.
    arguments += ["--set", "hidden_policy=clip", "--set", "pixel_policy=clip"]
    assert main([*arguments, "--json", "t.json", "--figure", "t.png", "--csv", "t.csv"]) == 0
    out = capsys.readouterr().out
    assert "layer 2: 8 → 3" in out
    assert "layer 1: 30 → 8" in out
    assert "layer 2 (outputs), units 0 to 2" in out
    saved = json.loads((place / "t.json").read_text())
    assert len(saved["layers"][0]["found"]) == 30
    assert (place / "t.png").exists()
    # Every unit of every layer; the outputs' numbers are those of the JSON.
    with (place / "t.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["layer"], row["unit"]) for row in rows] == [
        (str(layer), str(unit)) for layer, units in enumerate((30, 8, 3)) for unit in range(units)
    ]
    assert [float(row["given"]) for row in rows[-3:]] == saved["layers"][1]["answered"]
    assert [float(row["found"]) for row in rows[:30]] == saved["layers"][0]["found"]
    assert rows[-1]["found"] == ""


def test_trace_shows_the_units_and_the_arithmetic_that_are_asked_for(place, capsys):
    assert main([*TRACE, "--layer", "1", "--units", "2:5", "--json", "t.json"]) == 0
    out = capsys.readouterr().out.splitlines()
    saved = json.loads((place / "t.json").read_text())["layers"]
    start = out.index("layer 1 (hidden), units 2 to 4")
    assert out[start + 1].split()[:4] == ["unit", "found", "asked", "asked"]
    for unit, line in enumerate(out[start + 2 : start + 5], 2):
        number, found, asked, asked_z, given_z, given, _ = map(float, line.split())
        assert number == unit
        expected = [saved[1]["found"], *(saved[0][name] for name in ("asked", "asked_z"))]
        expected += [saved[0]["answered_z"], saved[0]["answered"]]
        wanted = [values[unit] for values in expected]
        np.testing.assert_allclose([found, asked, asked_z, given_z, given], wanted, rtol=1e-4)
    assert main([*TRACE, "--unit", "4"]) == 0
    out = capsys.readouterr().out
    forward, backward = out.split("forward: unit 4 of layer 1 (hidden)")[1].split("backward: ")
    assert "the 20 others" in forward
    z = saved[0]["answered_z"][4]
    assert float(re.search(r"sum: given z +(\S+)", forward)[1]) == pytest.approx(z, rel=1e-4)
    raw = saved[1]["found"][4]
    assert float(re.search(r"sum: found +(\S+)", backward)[1]) == pytest.approx(raw, rel=1e-4)
    assert main([*TRACE, "--method", "ascent", "--set", "steps=5", "--units", ":2"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "note: ascent finds the image as a whole and goes back through no layer" in out
    assert "layer 0 (image), units 0 to 1 unit given" in out


def test_trace_runs_an_image_of_the_users_forward(place, capsys):
    network = load_network("net.safetensors")
    pixels = np.random.default_rng(1).integers(0, 120, (6, 5)).astype(np.uint8)
    Image.fromarray(pixels).save("own.png")
    np.save("own.npy", pixels / 255)
    given = np.asarray(network.model.apply(network.params, pixels.reshape(1, -1) / 255.0))[0]
    for file in ("own.png", "own.npy"):
        assert main(["trace", "net.safetensors", "--image", file, "--json", "i.json"]) == 0
        out = capsys.readouterr().out
        assert f"the network reads {network.class_names[given.argmax()]}, at" in out
        saved = json.loads((place / "i.json").read_text())
        np.testing.assert_allclose(saved["layers"][-1]["answered"], given, atol=1e-6)
        assert saved["layers"][0]["asked"] is None
    Image.fromarray(255 - pixels.repeat(2, axis=0)).save("large.png")
    assert main(["trace", "net.safetensors", "--image", "large.png", "--unit", "2"]) == 0
    out = capsys.readouterr().out
    assert "resized from 12 × 5 to 6 × 5 pixels" in out
    assert "mostly bright" in out
    assert "backward: unit" not in out


@pytest.mark.slow
def test_explain_shows_all_numbers_and_saves_them(place, capsys):
    arguments = ["explain", "net.safetensors", "--data", "data", "--class-names", "0,1,2"]
    assert main([*arguments, "--numbers", "--json", "e.json", "--figure", "e.png"]) == 0
    out = capsys.readouterr().out
    assert "Layer 1 (30 → 8)" in out
    assert "matched filter" in out
    assert "class mean" in out
    assert "the transpose image of each target" in out
    saved = json.loads((place / "e.json").read_text())
    assert len(saved["alignment"]["transpose"]["class mean"]) == 3
    assert saved["sensitivity"]["margin"]["box"][0][0] == 1e-6
    assert [answer["topic"] for answer in saved["answers"]][-1] == "exact"
    assert (place / "e.png").exists()


@pytest.mark.slow
def test_every_command_that_explain_prints_works_and_shows_its_numbers(place, capsys):
    arguments = ["explain", "net.safetensors", "--data", "data", "--class-names", "0,1,2"]
    arguments += ["--target", "2", "--target-vector", "0.2,0.3,0.9", "--seed", "3"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    answers = re.findall(r"(?<=\n\n)([^\n]+)\n((?:  .*\n)+)", out.replace(" \\\n    ", " "))
    assert len(answers) == 11
    shown = 0
    for question, text in answers:
        prose, _, command = text.partition("  jaxbq ")
        assert command, question
        assert main(shlex.split(command)) == 0
        said = " ".join(capsys.readouterr().out.split())
        prose = " ".join(prose.split())
        summary = re.search(r"\d of 2 read as intended, largest error [\d.e+-]*\d", prose)
        if command.startswith("invert") and summary:
            shown += 1
            assert summary[0] in said
        if command.startswith("trace"):
            total = re.search(r"add up to (\S+)\.", prose)[1]
            found = re.search(r"sum: found (\S+)", said)[1]
            assert float(found) == pytest.approx(float(total), rel=0.01)
    assert shown >= 6


def test_explain_a_relu_network_which_has_no_sensitivity_to_draw(place, capsys):
    arguments = ["explain", "relu.safetensors", "--target", "row"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "relu has no inverse" in " ".join(out.split())
    assert "What to use for an exact answer?" in out
    # Here, where what it computes before it refuses is compiled.
    assert_refused(
        [*arguments, "--figure", "e.png"], "has an activation without inverse", place, capsys
    )


def test_run_a_sweep(place, done, capsys):
    with (place / "small.toml").open("a") as file:
        file.write("[sweep]\nseed = [0, 1]\n")
    assert main(["run", "small.toml"]) == 0
    out = capsys.readouterr().out
    runs = list((place / "runs").glob("small-*"))
    assert len(runs) == 2
    assert done in runs
    assert "side by side: runs/side-by-side/small-" in out
    assert out.count("seed=1 ") == 2
    assert main(["train", "small.toml", "--save", "x"]) == 2
    assert "has a sweep" in capsys.readouterr().err


def test_import_says_what_it_took_the_file_for(place, capsys):
    assert main(["import", "book.npz", "--shape", "6", "5", "--save", "own.safetensors"]) == 0
    out = capsys.readouterr().out
    assert (
        "book.npz: 30-8-3, hidden sigmoid, output sigmoid, without biases, pixels in [0, 1]" in out
    )
    assert "hidden sigmoid (--hidden), output sigmoid (--output), pixels in [0, 1]" in out
    assert "accuracy: not checked" in out
    same = "as in the book: --method transpose gives the images of its backquery"
    assert same in out
    said = ["--hidden", "tanh", "--output", "softmax", "--pixel-range", "-1", "1"]
    assert main(["import", "book.npz", *said, "--data", "data"]) == 0
    out = capsys.readouterr().out
    assert "hidden tanh, output softmax, without biases, pixels in [-1, 1]" in out
    assert "assumed" not in out
    assert "accuracy: 0." in out
    assert same not in out
    for change in (["--pixel-range", "-1", "1"], ["--ink", "dark"], ["--output", "identity"]):
        assert main(["import", "book.npz", "--shape", "6", "5", *change]) == 0
        assert same not in capsys.readouterr().out


def test_a_network_that_reads_at_chance_is_told_why(place, capsys):
    """Trained, then saved upside down: what it was trained as is among what is tried."""
    assert main(["train", "small.toml", "--save", "good.safetensors"]) == 0
    network = load_network("good.safetensors")
    named = {f"W{n}": np.asarray(layer.weight) for n, layer in enumerate(network.params)}
    named |= {f"b{n}": np.asarray(layer.bias) for n, layer in enumerate(network.params)}
    # As a network that was trained on ink and paper exchanged: w (1 - x) + b.
    named["b0"] = named["b0"] + named["W0"].sum(axis=0)
    named["W0"] = -named["W0"]
    np.savez("exchanged.npz", **named)
    capsys.readouterr()
    assert main(["import", "exchanged.npz", "--data", "data"]) == 0
    out = capsys.readouterr().out
    assert "warning: accuracy 0." in out
    assert "the likeliest first: --" in out
    assert main(["import", "exchanged.npz", "--data", "data", "--fix"]) == 0
    assert "\nfixed: --" in "\n" + capsys.readouterr().out
    said = ["--ink", "dark", "--save", "fixed.safetensors"]
    assert main(["import", "exchanged.npz", "--data", "data", *said]) == 0
    assert "note: folded in: ink dark" in capsys.readouterr().out
    # Folded in: the very weights that were trained.
    again = load_network("fixed.safetensors").params[0]
    np.testing.assert_allclose(again.weight, network.params[0].weight, atol=1e-6)
    np.testing.assert_allclose(again.bias, network.params[0].bias, atol=1e-4)


@pytest.mark.slow
def test_every_command_takes_the_foreign_file(place, capsys):
    shape = ["--shape", "6", "5"]
    assert main(["invert", "book.npz", "--method", "transpose", *shape]) == 0
    assert main(["trace", "book.npz", "--target", "0", *shape, "--hidden", "tanh"]) == 0
    assert main(["explain", "book.npz", "--target", "0", "--data", "data"]) == 0
    over = ["--method", "ascent", "--set", "steps=5", "--over", "noise=0.1,0.2"]
    assert main(["sweep", "book.npz", *over, "--data", "data"]) == 0
    assert main(["run", "small.toml", "--set", "network=file:book.npz"]) == 0
    out = capsys.readouterr().out
    assert "network book.npz: accuracy 0." in out
    assert "assumed, since the file does not say: hidden and output sigmoid" in out
    (folder,) = (place / "runs").glob("small-*")
    assert (folder / "figures" / "images.png").exists()
    assert not (folder / "figures" / "training.png").exists()
    # Other weights under the same name are another network.
    rng = np.random.default_rng(0)
    np.savez("book.npz", wih=rng.normal(size=(8, 30)), who=rng.normal(size=(3, 8)))
    assert main(["run", "small.toml", "--set", "network=file:book.npz"]) == 2
    assert "started with other weights in book.npz" in capsys.readouterr().err


NET = ["invert", "net.safetensors", "--method"]
SWEEP = ["sweep", "net.safetensors", "--method", "ascent", "--class-names", "0,1,2", "--over"]
CERTIFY = ["certify", "net.safetensors", "--target"]
MISTAKES = [
    (["run", "none.toml"], "none.toml: no such file"),
    (["run", "small.toml", "--set", "trainin.epochs=2"], "did you mean 'training'?"),
    (["run", "small.toml", "--set", "data.path=none"], "none: no such folder"),
    (["run", "small.toml", "--set", "data.kind=idxx"], "did you mean 'idx'?"),
    (["run", "small.toml", "--set", "network.activation=relu"], "relu has no inverse"),
    (["run", "small.toml", "--out", "book.npz"], "cannot write"),
    (["run", "small.toml", "--set", "targets.classes=[3]"], "class 3 is out of range"),
    (["run", "small.toml", "--set", "targets.on=1.0"], "1 is outside (0, 1)"),
    (["run", "small.toml", "--set", "training.loss=cross_entropy"], "needs output 'softmax'"),
    (["run", "small.toml", "--set", "training=3"], "training"),
    (["run", "small.toml", "--set", "training.on=5.0"], "5 is outside [0, 1]"),
    (["run", "small.toml", "--set", "training.off=0.995"], "on = 0.99 must be above off"),
    (["run", "small.toml", "--set", "scores=fast"], '"quick", or "full"'),
    (["run", "small.toml", "--set", "scores.network=none"], "none: no such file"),
    (["run", "small.toml", "--set", 'controls=["grey"]'], "controls.0"),
    (["report", "none"], "none: is no run folder"),
    (["report", "data"], "data: is no run folder"),
    (["report", "data", "--width", "0"], "use natural, column, page or 1 to 20 inches"),
    (["report", "data", "--width", "wide"], "use natural, column, page or 1 to 20 inches"),
    (["compare", "data", "data"], "data"),
    (["train", "small.toml", "--save", "none/x"], "the folder none does not exist"),
    (["train", "small.toml", "--save", "data"], "is a folder; give the name of a file"),
    (["invert", "none.safetensors", "--method", "ascent"], "no such file"),
    ([*NET, "transpose", "--path", "a.gif"], "transpose does not work in steps; use an ascent"),
    ([*NET, "ascent", "--path", "a.avi"], "use .png or .pdf"),
    ([*NET, "whitened"], "parameterisation 'whitened' needs training images"),
    ([*NET, "whitend"], "did you mean 'whitened'?"),
    (
        [*NET, "ascent", "--set", "optimiser=lbfgs", "--set", "transforms=['noise']"],
        "'lbfgs' cannot",
    ),
    ([*SWEEP, "noise=0.1:0.5:3"], "name a data set, like --data mnist-10k"),
    ([*SWEEP, "noise", "--data", "data"], "write OPTION=LOW:HIGH:NUMBER"),
    ([*SWEEP, "noise=1:2", "--data", "data"], "write OPTION=LOW:HIGH:NUMBER"),
    ([*SWEEP, "noize=0.1,0.2", "--data", "data"], "did you mean 'noise'?"),
    ([*SWEEP, "noise=0.1,2.0", "--data", "data"], "less than or equal to 1"),
    (["invert", "small.toml", "--method", "ascent"], "not a known format of network files"),
    (["run", "small.toml", "--set", "training.adversary={epsilon=0.0}"], "greater than 0"),
    (["run", "small.toml", "--set", "networks.seeds=0"], "greater than or equal to 1"),
    (
        ["run", "small.toml", "--set", "methods.0.kind=exemplars", "--set", "methods.0.k=999"],
        "k = 9",
    ),
    (
        ["run", "small.toml", "--set", 'methods=[{kind="projected", autoencoder={code=31}}]'],
        "wider than an image",
    ),
    (
        ["run", "small.toml", "--set", 'methods=[{kind="decoder", source="hidden", layer=2}]'],
        "no hidden layer 2",
    ),
    (["run", "small.toml", "--set", "network=file:none.npz"], "none.npz: no such file"),
    (
        ["run", "small.toml", "--set", "network=none.npz"],
        'a network is a table, "file:PATH", or "python:FILE.py:NAME"',
    ),
    (
        ["run", "small.toml", "--set", "network=file:square.npz"],
        "square.npz: takes 4 inputs, but an image has 30 pixels",
    ),
    (["train", "small.toml", "--save", "x", "--set", "network=file:book.npz"], "trained already"),
    (
        ["run", "small.toml", "--set", "network=file:book.npz", "--set", "networks.seeds=2"],
        "networks that are trained; ",
    ),
    (["import", "none.npz"], "none.npz: no such file"),
    (["import", "small.toml"], "not a known format"),
    (["import", "text.npz"], "text.npz: cannot be read"),
    (["import", "square.npz"], "fit both ways round; say which"),
    (["import", "nan.npz"], "not finite"),
    (["import", "objects.npz"], "never loaded"),
    (["import", "book.npz", "--hidden", "gelus"], "no activation 'gelus'"),
    (["import", "book.npz", "--shape", "4", "4"], "takes 30 inputs, but an image has 16 pixels"),
    (["import", "book.npz", "--pixel-range", "1", "0"], "must rise"),
    (["import", "book.npz", "--orientation", "in_out"], "do not form a chain"),
    (
        ["import", "book.npz", "--data", "mnist-10k"],
        "takes 30 inputs, but an image has 784 pixels",
    ),
    (["import", "book.npz", "--save", "none/x"], "the folder none does not exist"),
    (["import", "net.safetensors", "--hidden", "tanh"], "says hidden itself"),
    (["invert", "square.npz", "--method", "ascent"], "say which"),
    ([*NET, "ascend"], "did you mean 'ascent'?"),
    ([*NET, "ascent", "--set", "stepps=3"], "did you mean 'steps'?"),
    ([*NET, "ascent", "--set", "steps=many"], "steps: input should be a valid integer"),
    ([*NET, "ascent", "--target", "9"], "no such class; the network has row, column, <b>"),
    ([*NET, "ascent", "--target-vector", "0.9,0.1"], "2 values, but the network has 3 outputs"),
    ([*NET, "ascent", "--target-vector", "a,b,c"], "write numbers separated by commas"),
    ([*NET, "transpose", "--target-vector", "1,0,0"], "outside (0, 1)"),
    ([*NET, "ascent", "--target-vector", "2,0,0"], "outside [0, 1]"),
    ([*NET, "ascent", "--target-vector", "-0.9,0,0"], "-0.9 is outside [0, 1]"),
    ([*NET, "ascent", "--set", "steps=99999999999"], "steps: input should be less than"),
    ([*NET, "preimage", "--set", "samples=3"], "samples is for random, nearest"),
    (["explain", "net.safetensors", "--target-vector", "1.5,0,0"], "1.5 is outside"),
    (["explain", "net.safetensors", "--target-vector", "1,0,0"], "is outside (0, 1)"),
    ([*NET, "ascent", "--set", "start=mean"], "needs training images; name a data set"),
    ([*NET, "ascent", "--data", "none"], "none: no such folder or file; name mnist-10k"),
    (
        [*NET, "ascent", "--data", "mnist-10k"],
        "images have shape (6, 5), those of the data (28, 28)",
    ),
    ([*NET, "ascent", "--seed", "-1"], "--seed -1"),
    ([*NET, "ascent", "--out", "none/a.npz"], "the folder none does not exist"),
    ([*NET, "ascent", "--figure", "a.txt"], "use .png or .pdf"),
    (["invert", "relu.safetensors", "--method", "transpose"], "relu has no inverse"),
    (["invert", "relu.safetensors", "--method", "pseudo_inverse"], "relu has no inverse"),
    ([*NET, "pseudo_inverse", "--set", "pixel_policy=cut"], "'cut' is none of"),
    ([*NET, "pseudo_inverse", "--set", "hidden_policy=none"], "'none' needs an activation"),
    ([*NET, "preimage", "--set", "start=images"], "needs images to start from"),
    (["trace", "net.safetensors"], "a trace shows one target"),
    ([*TRACE, "--layer", "3"], "use 0 for the image, or 1 to 2, the outputs"),
    ([*TRACE, "--unit", "8"], "layer 1 has units 0 to 7"),
    ([*TRACE, "--units", "5"], "write A:B for the units A to B − 1"),
    ([*TRACE, "--units", "40:50"], "no layer has such units"),
    ([*TRACE, "--image", "x.png"], "leave out --target"),
    (["trace", "net.safetensors", "--image", "none.png"], "none.png: cannot be read"),
    (["trace", "net.safetensors", "--image", "book.npz"], "neither PNG nor JPEG"),
    (["trace", "net.safetensors", "--target", "0"], "no such class"),
    (["trace", "relu.safetensors", "--target", "row"], "relu has no inverse"),
    (["explain", "none.safetensors"], "no such file"),
    (["explain", "net.safetensors", "--json", "none/x"], "the folder none does not exist"),
    ([*CERTIFY, "9"], "no such class"),
    ([*CERTIFY, "row", "--out", "none/a.npz"], "the folder none does not exist"),
    (["certify", "net.safetensors", "--out", "a.npz"], "give one --target"),
    ([*CERTIFY, "row", "--objective", "difference"], "another class"),
    ([*CERTIFY, "row", "--around", "3", "--radius", "1"], "give --data"),
    ([*CERTIFY, "row", "--around", "a.txt", "--radius", "1"], "a.txt: cannot be read"),
    ([*CERTIFY, "row", "--around", "none.npy", "--radius", "1"], "no such file"),
    ([*CERTIFY, "row", "--radius", "1"], "a radius needs an image"),
    ([*CERTIFY, "row", "--norm", "l2"], "say around which image"),
    ([*CERTIFY, "row", "--gap", "1"], "below 1"),
    ([*CERTIFY, "row", "--norm", "mahalanobis", "--radius", "1"], "give --data"),
    ([*CERTIFY, "row", "--objective", "unit"], "is of no class"),
    (["certify", "net.safetensors", "--objective", "unit"], "needs a layer and a unit"),
    ([*CERTIFY, "row", "--around", "²", "--radius", "1"], "²: cannot be read"),
    ([*CERTIFY, "row", "--objective", "error", "--vector", "0,1,0"], "leave the target out"),
    (["certify", "net.safetensors", "--verify", "a.npz", "--out", "b.npz"], "leave out --target"),
    ([*CERTIFY, "row", "--verify", "a.npz"], "leave out --target"),
    ([*CERTIFY, "row", "--objective", "error", "--vector", "a,b"], "numbers with commas"),
    (["certify", "net.safetensors", "--verify", "none.npz"], "no such file"),
    (["certify", "net.safetensors", "--verify", "book.npz"], "is no certificate"),
]


def assert_refused(arguments, message, place, capsys):
    """A mistake is one line, and leaves nothing."""
    before = sorted(str(p) for p in place.rglob("*"))
    assert main(arguments) == 2
    caught = capsys.readouterr().err
    assert any(part in caught for part in message.split("|"))
    assert caught.startswith("jaxbq: error: ")
    assert caught.count("\n") == 1
    assert sorted(str(p) for p in place.rglob("*")) == before


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_every_mistake_is_one_line_and_leaves_nothing(place, capsys, arguments, message):
    assert_refused(arguments, message, place, capsys)


@pytest.mark.parametrize("arguments", [["rnu"], ["run"], ["invert", "x"], ["run", "a", "--colour"]])
def test_mistakes_in_the_command_itself(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "--help" in message


def test_alone_it_prints_its_help(capsys):
    assert main([]) == 0
    assert "example: jaxbq" in capsys.readouterr().out


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_has_an_example(capsys, command):
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])
    assert caught.value.code == 0
    assert "example: jaxbq" in capsys.readouterr().out


def test_interrupt_is_one_line_and_130(place, capsys, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("jaxbq.experiment.trainings.train_many", interrupt)
    assert main(["run", "small.toml"]) == 130
    assert capsys.readouterr().err == "jaxbq: interrupted; finished results are kept\n"


def test_a_real_ctrl_c_between_epochs_keeps_what_was_finished(place):
    arguments = ["-m", "jaxbq", "run", "small.toml", "--set", "training.epochs=100000"]
    with subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process:
        for line in process.stdout:
            if line.startswith("epoch 3/"):
                process.send_signal(signal.SIGINT)
                break
        process.stdout.read()
        message = process.stderr.read()
        assert process.wait(timeout=60) == 130
    assert message == "jaxbq: interrupted; finished results are kept\n"
    (folder,) = (place / "runs").iterdir()
    assert (folder / "config.json").exists()
    assert not [path for path in folder.rglob("*") if path.name.startswith(".")]


def python(*arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def test_help_and_version_load_nothing_heavy():
    code = """
import sys
from jaxbq.cli import main
for option in sys.argv[1:]:
    try: main(option.split())
    except SystemExit: pass
    print(sorted({'jax', 'numpy', 'matplotlib', 'pandas', 'pydantic', 'rich'} & set(sys.modules)))
"""
    answer = python("-c", code, "--help", "configs smoke", "--version")
    lines = answer.stdout.splitlines()
    assert lines.count("[]") == 3, answer.stderr
    assert lines[-1] == "[]"
    assert lines[-2].startswith("jaxbq 0.")


def test_the_package_is_a_command_and_so_is_a_script():
    assert "jaxbq 0." in python("-m", "jaxbq", "--version").stdout
    answer = python("scripts/run.py", "--help")
    assert answer.returncode == 0
    assert "usage: jaxbq run" in answer.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_how_it_is_used(name, capsys):
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert f"usage: jaxbq {name}" in capsys.readouterr().out
