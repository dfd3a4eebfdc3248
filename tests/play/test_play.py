"""The page to play with, as a file: what is in it, how large it is, what may run."""

import base64
import hashlib
import html
import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxbq
from jaxbq.cli import main
from jaxbq.data import ImageSpace
from jaxbq.errors import JaxbqError
from jaxbq.methods.pseudo_inverse import pseudo_inverse
from jaxbq.network.files import NetworkFile, save_network
from jaxbq.network.mlp import MLP, Layer
from jaxbq.play import make_page, page
from jaxbq.play import payload as contents
from jaxbq.play.payload import payload, prior

ROOM = Path(jaxbq.__file__).parent / "play"
HOSTILE = "</script><script>alert(1)</script>"


@pytest.fixture(autouse=True)
def _quick_controls(monkeypatch):
    """Random weights alone: the other control is trained for seconds."""
    random = {"random weights": None}

    def controls(network, data):
        return {name: network.model.init(jax.random.key(1)) for name in random}, ""

    monkeypatch.setattr(page, "controls", controls)


def small_network(names=("a", "b", "c"), output="sigmoid"):
    model = MLP((30, 8, 3), output=output)
    return NetworkFile(model, model.init(jax.random.key(0)), ImageSpace((6, 5)), names)


def data_of(text):
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    return json.loads(found)


def decoded(text, kind):
    return np.frombuffer(base64.b64decode(text), kind)


def square(triangle):
    size = int((2 * len(triangle)) ** 0.5)
    full = np.zeros((size, size))
    full[np.tril_indices(size)] = triangle
    return full + np.tril(full, -1).T


def test_weights_are_there_to_the_bit_and_their_inverses_follow(standard, mnist_10k):
    network = NetworkFile(*standard, mnist_10k.space, mnist_10k.class_names)
    layers = payload(network, {}, None)["networks"][0]["layers"]
    for given, layer in zip(layers, standard[1], strict=True):
        weight = np.asarray(layer.weight)
        assert (decoded(given["W"], "<f4").reshape(weight.shape) == weight).all()
        assert (decoded(given["b"], "<f4") == np.asarray(layer.bias)).all()
        inverse = square(decoded(given["G"], "<f8")) @ weight.T.astype(float)
        expected = pseudo_inverse(weight)
        assert np.abs(inverse - expected).max() < 1e-9 * np.abs(expected).max()


def test_a_wide_layer_and_a_lost_direction_have_their_pseudo_inverse():
    rng = np.random.default_rng(0)
    lost = np.outer(rng.normal(size=6), rng.normal(size=4))
    for weight in (rng.normal(size=(4, 9)), lost):
        model = MLP((weight.shape[0], weight.shape[1]), bias=False)
        params = (Layer(jnp.asarray(weight, jnp.float32)),)
        network = NetworkFile(
            model, params, ImageSpace((1, weight.shape[0])), ("x",) * weight.shape[1]
        )
        held = np.asarray(params[0].weight, float)
        gram = square(decoded(payload(network, {}, None)["networks"][0]["layers"][0]["G"], "<f8"))
        found = gram @ held.T if weight.shape[1] <= weight.shape[0] else held.T @ gram
        np.testing.assert_allclose(found, pseudo_inverse(params[0].weight), atol=1e-6)


def test_the_prior_is_the_root_of_the_covariance(tiny):
    found, said = prior(tiny)
    root = square(decoded(found["root"], "<f4"))
    np.testing.assert_allclose(root, tiny.reference.moments.power(0.05, 0.5), atol=1e-6)
    assert not said
    assert prior(None) == (None, "Without training images there is no whitened ascent.")


def test_a_large_prior_loses_little_and_says_so(tiny, monkeypatch):
    monkeypatch.setattr(contents, "_MOST_DENSE", 10)
    found, said = prior(tiny)
    exact = tiny.reference.moments.power(0.05, 0.5)
    rows = decoded(found["rows"], "<f4").reshape(-1, len(exact))
    scale = np.array(found["scale"])
    rebuilt = found["rest"] * np.eye(len(exact)) + (rows.T * (scale - found["rest"])) @ rows
    assert len(rows) < len(exact)
    assert ((rebuilt - exact) ** 2).sum() < 0.01 * (exact**2).sum()
    assert re.fullmatch(r"The whitened prior is truncated: 0\.\d% of its variance is lost\.", said)


def test_images_come_back_as_bytes(tiny):
    given = payload(small_network(), {}, tiny)["images"]
    images = decoded(given["pixels"], "u1").reshape(-1, 30) / 255
    gaps = np.abs(images[:, None] - tiny.train_images[None]).max(axis=2)
    nearest = gaps.argmin(axis=1)
    assert gaps.min(axis=1).max() <= 0.5 / 255 + 1e-6
    assert (tiny.train_labels[nearest] == given["labels"]).all()


def test_only_its_own_script_and_style_may_run(tiny):
    text = make_page(small_network(), tiny).text
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    rules = dict(rule.strip().split(" ", 1) for rule in html.unescape(policy).split(";"))
    for rule, tag in (("script-src", '<script type="module">'), ("style-src", "<style>")):
        content = text.split(tag)[1].split(f"</{tag[1:].split()[0].rstrip('>')}>")[0]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in policy
    assert not re.search(r"https?://", text)
    assert not re.search(r"<[^>]*\s(on\w+|style)=", text.split('id="data"')[0])


def test_names_are_data_and_nothing_else(tiny):
    network = small_network((HOSTILE, "<b>b</b>", "c"))
    text = make_page(network, None, title=HOSTILE, source=HOSTILE).text
    assert text.count("<script") == 2
    assert "<title>&lt;/script&gt;" in text
    assert data_of(text)["classes"][0] == HOSTILE


def test_the_standard_page_is_small(standard, mnist_10k):
    network = NetworkFile(*standard, mnist_10k.space, mnist_10k.class_names)
    text = make_page(network, mnist_10k).text
    # One more control of the same size is still to come.
    control = len(json.dumps(data_of(text)["networks"][1]))
    assert len(text.encode()) + control < 6e6
    given = data_of(text)
    assert len(given["images"]["labels"]) == 500
    assert sorted(set(given["examples"]["labels"])) == list(range(10))


def test_a_notebook_shows_it(standard):
    shown = jaxbq.play(*standard)._repr_html_()
    assert shown.startswith("<iframe srcdoc=")
    text = html.unescape(re.search(r'srcdoc="([^"]*)"', shown)[1])
    assert data_of(text)["dataName"] == "mnist-10k"


def test_play_refuses_what_it_cannot_show(tiny):
    model = MLP((30, 8, 3))
    params = model.init(jax.random.key(0))
    with pytest.raises(JaxbqError, match="needs an MLP"):
        jaxbq.play(jaxbq.Function(lambda p, x: x), None)
    with pytest.raises(JaxbqError, match="do not fit images of 36 pixels"):
        jaxbq.play(model, params, space=ImageSpace((6, 6)))
    with pytest.raises(JaxbqError, match="not finite"):
        jaxbq.play(model, jax.tree.map(lambda leaf: leaf * jnp.nan, params))
    large = MLP((3000, 2100, 3))
    zeros = tuple(Layer(jnp.zeros(shape), jnp.zeros(shape[1])) for shape in large.shapes)
    with pytest.raises(JaxbqError, match=r"6,306,300 weights, and a page holds 6,000,000 at most"):
        jaxbq.play(large, zeros)


@pytest.mark.parametrize("output", ["softmax", "relu", "identity"])
def test_every_output_has_a_page(tiny, output):
    given = data_of(make_page(small_network(output=output), tiny).text)
    layers = given["networks"][0]["layers"]
    assert [layer["phi"] for layer in layers] == ["sigmoid", output]
    assert all((layer["G"] is None) == (output == "relu") for layer in layers)


def test_the_command_writes_a_page_and_opens_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    save_network("net.safetensors", small_network())
    assert main(["play", "net.safetensors"]) == 0
    assert opened == [(tmp_path / "play.html").as_uri()]
    assert data_of(Path("play.html").read_text())["source"] == "net.safetensors"
    assert main(["play", "net.safetensors", "--html", "b.html", "--no-open"]) == 0
    assert len(opened) == 1
    assert "saved b.html" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "mnist-10k"], "--data needs a network"),
        (["missing.safetensors"], "no such file"),
        (["--html", "nowhere/play.html"], "the folder nowhere does not exist"),
        (["--html", "play.txt"], "use a name that ends in .html"),
    ],
)
def test_mistakes_are_said_in_a_line(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert main(["play", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_it_stays_small_enough_to_be_read():
    python = sum(len(path.read_text().splitlines()) for path in ROOM.glob("*.py"))
    web = sum(len(path.read_text().splitlines()) for path in (ROOM / "web").iterdir())
    assert python <= 300
    assert web <= 1500
