"""Files and values that nobody means: one line, exit code 2, and nothing is lost."""

import os

import numpy as np
import problems
import pytest

from jaxbq import ImageSpace
from jaxbq.cli import main
from jaxbq.network.files import NetworkFile, save_network

INVERT = ["invert", "net.safetensors", "--method"]
CERTIFY = ["certify", "net.safetensors", "--target", "0", "--radius", "0.1", "--around"]
TRACE = ["trace", "net.safetensors", "--target", "0"]
IMPORT = ["import", "book.npz"]
SWEEP = ["sweep", "net.safetensors", "--data", "book.npz", "--method", "ascent", "--over"]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, params = problems.random_network((30, 8, 3), np.random.default_rng(7))
    file = NetworkFile(model, params, ImageSpace((6, 5)), ("0", "1", "2"))
    save_network(tmp_path / "net.safetensors", file)
    np.savez("book.npz", wih=np.ones((8, 30)), who=np.ones((3, 8)))
    np.save("words.npy", np.array(["a"] * 30))
    (tmp_path / "ok.toml").write_text('[[methods]]\nkind = "grey"\n')
    os.mkfifo("pipe")
    os.mkfifo("pipe.npy")
    os.symlink("circle", "circle")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        # To write a file is to rename a new one into its place: a device would be gone.
        ([*INVERT, "grey", "--out", "pipe"], "pipe: is a pipe, a device or a broken link"),
        (["train", "ok.toml", "--save", "circle"], "circle: is a pipe, a device or a broken link"),
        (["train", "ok.toml", "--save", "ok.toml"], "--save ok.toml: the command reads or writes"),
        ([*INVERT, "grey", "--out", "net.safetensors"], "the command reads or writes this file"),
        ([*INVERT, "ascent", "--figure", "a.png", "--path", "./a.png"], "reads or writes this"),
        ([*IMPORT, "--save", ""], "--save is empty"),
        (["import", ""], "WEIGHTS is empty"),
        ([*INVERT, "grey", "--target", ""], "--target is empty"),
        (["import", "pipe"], "pipe: is not a regular file"),
        ([*IMPORT, "--input-scale", "pipe.npy"], "pipe.npy: is not a regular file"),
        ([*IMPORT, "--input-scale", "words.npy"], "holds values of type <U1, no numbers"),
        ([*IMPORT, "--pixel-range", "-1e308", "1e308"], "use a pixel range within"),
        ([*CERTIFY, "²"], "²: cannot be read"),
        ([*CERTIFY, "9" * 5000], "too long"),
        ([*TRACE, "--units", "9" * 5000 + ":"], "write A:B"),
        ([*INVERT, "grey", "--target-vector", "1e308,0,0"], "not a finite number"),
        ([*SWEEP, "noise=1:1e400:3"], "with LOW and HIGH above 0"),
        (["train", "ok.toml", "--save", "a" * 300], "File name too long"),
        (["run", "a" * 5000], "File name too long"),
        (["report", "a" * 5000], "File name too long"),
        (["play", "--no-open", "--hidden", "relu"], "give that file too"),
    ],
)
def test_it_is_refused_in_one_line(place, capsys, arguments, message):
    before = {path.name: path.lstat() for path in place.iterdir()}
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("jaxbq: error: ")
    assert said.count("\n") == 1
    assert message in said
    after = {path.name: path.lstat() for path in place.iterdir()}
    assert {n: (s.st_ino, s.st_mtime_ns) for n, s in before.items()} == {
        n: (s.st_ino, s.st_mtime_ns) for n, s in after.items()
    }


def test_play_does_not_replace_a_network_by_its_own(place, capsys):
    before = (place / "net.safetensors").read_bytes()
    assert main(["play", "--no-open", "--html", "net.html"]) == 2
    assert "net.safetensors: is another network" in capsys.readouterr().err
    assert (place / "net.safetensors").read_bytes() == before
    assert not (place / "net.html").exists()


def test_what_jax_has_no_memory_for_is_one_line(capsys, monkeypatch):
    def ask_for_too_much(*_, **__):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 3136000000000 bytes.")

    monkeypatch.setattr("jaxbq.network.files.open_network", ask_for_too_much)
    assert main([*INVERT, "grey"]) == 2
    assert capsys.readouterr().err.startswith("jaxbq: error: out of memory; ")


def test_a_sweep_takes_whole_numbers_for_options_that_need_them():
    from jaxbq.cli.queries import _read_values

    option, values = _read_values("steps=10,20.5")
    assert option == "steps"
    assert [type(value) for value in values] == [int, float]
