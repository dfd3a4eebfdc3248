import dataclasses
import json

import jax
import numpy as np
import problems
import pytest
from safetensors.numpy import load_file, save_file

from jaxbq.data import ImageSpace
from jaxbq.errors import JaxbqError
from jaxbq.network.files import NetworkFile, load_network, save_network
from jaxbq.network.mlp import MLP


@pytest.fixture
def network(rng):
    model, params = problems.random_network((6, 4, 3), rng, "tanh", "softmax")
    return NetworkFile(model, params, ImageSpace((2, 3), 0.01, 1.0), ("zero", "one", "<two>"))


def test_round_trip(tmp_path, network):
    path = tmp_path / "net.safetensors"
    save_network(path, network)
    read = load_network(path)
    assert read.model == network.model
    assert read.space == network.space
    assert read.class_names == network.class_names
    for ours, theirs in zip(read.params, network.params, strict=True):
        np.testing.assert_array_equal(ours.weight, theirs.weight)
        np.testing.assert_array_equal(ours.bias, theirs.bias)


def test_what_could_not_be_read_is_not_written(tmp_path, network):
    for wrong in ({"class_names": ("a", "b")}, {"space": ImageSpace((2, 2))}):
        with pytest.raises(JaxbqError, match=r"net: (2 class names, 3 outputs|images of 4 pixels)"):
            save_network(tmp_path / "net", dataclasses.replace(network, **wrong))
    assert not (tmp_path / "net").exists()


def test_without_biases(tmp_path, rng):
    model, params = problems.random_network((6, 4), rng, bias=False)
    save_network(tmp_path / "n", NetworkFile(model, params, ImageSpace((6,)), tuple("abcd")))
    assert load_network(tmp_path / "n").params[0].bias is None


@pytest.mark.usefixtures("x64")
def test_float64_is_kept_and_can_be_asked_for(tmp_path, network, rng):
    model, params = problems.random_network((6, 4, 3), rng)
    save_network(tmp_path / "n", NetworkFile(model, params, network.space, network.class_names))
    read = load_network(tmp_path / "n")
    np.testing.assert_array_equal(read.params[0].weight, params[0].weight)
    assert load_network(tmp_path / "n", "float32").params[0].weight.dtype == np.float32
    with jax.enable_x64(False):
        assert load_network(tmp_path / "n").params[0].weight.dtype == np.float32


def resave(path, change_tensors=None, change_header=None):
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        header = json.loads(file.metadata()["jaxbq"])
    tensors = load_file(path)
    if change_tensors:
        change_tensors(tensors)
    if change_header:
        change_header(header)
    save_file(tensors, path, metadata={"jaxbq": json.dumps(header)})


@pytest.mark.parametrize(
    ("tensors", "header", "message"),
    [
        (lambda t: t.pop("layers.0.bias"), None, "tensor 'layers.0.bias' is missing"),
        (lambda t: t.update(extra=np.zeros(1)), None, "tensor 'extra' is missing or unexpected"),
        (
            lambda t: t.update({"layers.0.weight": np.zeros((4, 6), np.float32)}),
            None,
            r"layers.0.weight has shape \(4, 6\), the network needs \(6, 4\)",
        ),
        (
            lambda t: t.update({"layers.0.bias": np.zeros(4, np.int32)}),
            None,
            "layers.0.bias is int32, not float32",
        ),
        (
            lambda t: t.update({"layers.0.bias": np.full(4, np.nan, np.float32)}),
            None,
            "layers.0.bias holds values that are not finite",
        ),
        (None, lambda h: h.update(sizes=[6, 5, 3]), "has shape"),
        (None, lambda h: h.update(hidden="gelus"), "no activation 'gelus'"),
        (None, lambda h: h.pop("output"), "output: this key is needed"),
        (None, lambda h: h.update(image_shape=[5, 5]), "does not fit the network"),
        (None, lambda h: h.update(class_names=["a"]), "1 class names, 3 outputs"),
    ],
)
def test_weights_that_do_not_fit(tmp_path, network, tensors, header, message):
    path = tmp_path / "net.safetensors"
    save_network(path, network)
    resave(path, tensors, header)
    with pytest.raises(JaxbqError, match=message):
        load_network(path)


def test_files_that_are_no_networks(tmp_path, network):
    path = tmp_path / "net.safetensors"
    with pytest.raises(JaxbqError, match="no such file"):
        load_network(path)
    path.write_bytes(b"not safetensors at all")
    with pytest.raises(JaxbqError, match="not a network file"):
        load_network(path)
    save_network(path, network)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(JaxbqError, match="not a network file"):
        load_network(path)
    save_file({"a": np.zeros(2)}, path)
    with pytest.raises(JaxbqError, match="not one that jaxbq saved"):
        load_network(path)


def test_saving_checks_too(tmp_path, network):
    other = NetworkFile(MLP((6, 5, 3)), network.params, network.space, network.class_names)
    with pytest.raises(JaxbqError, match="do not fit"):
        save_network(tmp_path / "n", other)
    assert not list(tmp_path.iterdir())
