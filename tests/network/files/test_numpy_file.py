"""Networks as plain arrays: JSON, MATLAB, tables, lists; and files that are refused on purpose."""

import json

import numpy as np
import pytest
import random_networks
from scipy.io import savemat

from jaxbq.errors import JaxbqError
from jaxbq.network.activations import activation
from jaxbq.network.files import AssumptionWarning, import_network, read_foreign

SIGMOID = {"hidden": "sigmoid", "output": "sigmoid"}


@pytest.fixture
def drawn(rng):
    return random_networks.draw(rng)


@pytest.fixture
def images(rng):
    return rng.random((20, 12)).astype("f4")


@pytest.fixture
def outputs(drawn, images):
    a = images.astype(float)
    for weight, bias in zip(drawn.weights, drawn.biases, strict=True):
        a = 1 / (1 + np.exp(-(a @ weight + bias)))
    return a


def nielsen(drawn):
    return {
        "sizes": list(drawn.sizes),
        "weights": [weight.T for weight in drawn.weights],
        "biases": [bias[:, None] for bias in drawn.biases],
    }


def as_lists(content):
    return {key: [np.asarray(v).tolist() for v in value] for key, value in content.items()}


def test_nielsens_network(tmp_path, drawn, images, outputs):
    path = tmp_path / "net.json"
    content = as_lists(nielsen(drawn))
    path.write_text(json.dumps(content | {"cost": "CrossEntropyCost"}))
    network = random_networks.assert_same(path, images, outputs)
    assert not {"hidden", "output"} & set(network.assumed)
    for source in (nielsen(drawn), content):
        random_networks.assert_same(source, images, outputs, **SIGMOID)


def test_nielsens_square_network_is_not_turned(rng):
    weights = [rng.normal(size=(4, 4)), rng.normal(size=(4, 4))]
    biases = [rng.normal(size=(4, 1)), rng.normal(size=(4, 1))]
    _, found = read_foreign({"sizes": [4, 4, 4], "weights": weights, "biases": biases})
    for weight, bias, layer in zip(weights, biases, found.layers, strict=True):
        np.testing.assert_array_equal(layer.weight, weight.T)
        np.testing.assert_array_equal(layer.bias, bias[:, 0])


def test_biases_in_a_list_are_one_for_each_layer(rng):
    weights = [rng.normal(size=shape) for shape in ((12, 5), (5, 5), (5, 4))]
    bias, said = rng.normal(size=5), {"orientation": "in_out"}
    _, found = read_foreign({"weights": weights, "biases": [None, bias, None]}, **said)
    assert [layer.bias is not None for layer in found.layers] == [False, True, False]
    for biases in ([bias], 3, "ab"):
        with pytest.raises(JaxbqError, match="not one for each of 3 layers"):
            read_foreign({"weights": weights, "biases": biases}, **said)
    for other in ({"thresholds": bias}, {"biases": {"l0": 1}}, {"gamma": [bias, bias]}):
        with pytest.raises(JaxbqError, match="beside lists of these"):
            read_foreign({"weights": weights} | other, **said)
    # A history of costs is not Nielsen's cost, and no biases are no columns.
    _, found = read_foreign(
        {"sizes": [12, 5, 5, 4], "weights": weights, "biases": [], "cost": [3, 2]}
    )
    assert found.hidden is None
    with pytest.raises(JaxbqError, match="fit both ways round"):
        read_foreign({"sizes": [5, 5], "weights": weights[1:2], "biases": []})


def test_rows_and_columns_without_names_that_may_be_weights(rng):
    ones, said = np.ones, {"hidden": "tanh", "output": "sigmoid"}
    with pytest.warns(AssumptionWarning, match="which of arr_1 are biases"):
        import_network([ones((12, 3)), ones((3, 1))], **said)
    rows = [ones((12, 3)), ones((1, 3)), ones((3, 2)), ones((1, 2))]
    assert import_network(rows, **said).model.sizes == (12, 3, 2)
    # Biases are all rows, or all flat.
    mixed = [ones((12, 3)), ones((3, 3)), ones((3, 1)), ones(3)]
    with pytest.raises(JaxbqError, match="do not form a chain"):
        import_network(mixed, **said)


def test_arrays_by_name_in_json_and_lists(tmp_path, drawn, images, outputs):
    named = {f"W{n}": w.tolist() for n, w in enumerate(drawn.weights)}
    named |= {f"b{n}": b.tolist() for n, b in enumerate(drawn.biases)}
    (tmp_path / "net.json").write_text(json.dumps(named | {"epochs": 3, "note": "words"}))
    network = random_networks.assert_same(tmp_path / "net.json", images, outputs, **SIGMOID)
    assert network.notes == ("epochs, note passed over",)
    pairs = list(zip(drawn.weights, drawn.biases, strict=True))
    for source in (named, pairs, [array for pair in pairs for array in pair]):
        random_networks.assert_same(source, images, outputs, **SIGMOID)


@pytest.mark.parametrize(
    "text",
    [
        *("", "[1]", "{", "3", "[" * 10**5, "{}", "\x00"),
        *('{"W0": [[1, 2], [3]]}', '{"weights": [[[1]], 3]}', '{"weights": [], "biases": []}'),
        *('{"W0": [["a"]]}', '{"W0": [[NaN, 1]]}', '{"weights": [[[1]]], "biases": 3}'),
    ],
)
def test_damaged_json(tmp_path, text):
    (tmp_path / "net.json").write_text(text)
    with pytest.raises(JaxbqError) as caught:
        import_network(tmp_path / "net.json", **SIGMOID)
    assert "\n" not in str(caught.value)


def test_lists_of_different_lengths_say_how_to_give_them():
    with pytest.raises(JaxbqError, match="W0=…, b0=…"):
        import_network({"net": [[1.0, 2.0], [3.0]]})
    with pytest.raises(JaxbqError, match="rows differ in length"):
        import_network([[[1.0, 2.0], [3.0]]])


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("turned", [True, False])
def test_thetas_with_a_column_of_biases(tmp_path, drawn, images, outputs, packed, turned):
    thetas = {
        f"Theta{n}": np.concatenate([bias[:, None], weight.T], axis=1)
        for n, (weight, bias) in enumerate(zip(drawn.weights, drawn.biases, strict=True), 1)
    }
    if turned:
        thetas = {name: theta.T for name, theta in thetas.items()}
    savemat(tmp_path / "net.mat", thetas | {"lambda": 1.0}, do_compression=packed)
    np.savez(tmp_path / "net.npz", **thetas)
    for source in ("net.mat", "net.npz"):
        network = random_networks.assert_same(tmp_path / source, images, outputs, **SIGMOID)
        assert network.notes[0].startswith("the first column of Theta1, Theta2")


def test_matlab_arrays_by_name(tmp_path, drawn, images, outputs):
    named = {f"W{n}": w for n, w in enumerate(drawn.weights)}
    named |= {f"b{n}": b for n, b in enumerate(drawn.biases)}
    savemat(tmp_path / "net.mat", named | {"cell": np.array([1, "a"], object), "text": "words"})
    random_networks.assert_same(tmp_path / "net.mat", images, outputs, **SIGMOID)
    (tmp_path / "net.mat").write_bytes(b"MATLAB 7.3 MAT-file" + b" " * 500)
    with pytest.raises(JaxbqError, match=r"net\.mat"):
        import_network(tmp_path / "net.mat")


def test_single_numbers_and_a_single_theta_in_matlab(tmp_path, rng, images):
    weight, bias = rng.normal(size=(12, 1)), rng.normal(size=1)
    logits = images @ weight + bias
    said = {"output": "identity", "image_shape": (3, 4)}
    savemat(tmp_path / "net.mat", {"l1_w": weight, "l1_b": bias, "lambda": 1.0})
    network = random_networks.assert_same(tmp_path / "net.mat", images, logits, **said)
    assert network.notes == ("lambda passed over",)
    savemat(tmp_path / "net.mat", {"W": weight, "sigma": 2.0})
    with pytest.raises(JaxbqError, match=r"'sigma' .*a step of the network's own"):
        import_network(tmp_path / "net.mat", **said)
    # Of 13 rows or columns one is of biases where there are 12 inputs.
    theta = rng.normal(size=(12, 13))
    savemat(tmp_path / "net.mat", {"Theta1": theta})
    logits = images @ theta[:, 1:].T + theta[:, 0]
    random_networks.assert_same(tmp_path / "net.mat", images, logits, **said)


def test_a_table_brings_the_biases_beside_it(tmp_path, rng, images):
    weight, bias = rng.normal(size=(12, 3)), rng.normal(size=3)
    for names in (("fc1.weight", "fc1.bias"), ("l1_w", "l1_b"), ("weights", "biases")):
        folder = tmp_path / names[0]
        folder.mkdir()
        np.savetxt(folder / f"{names[0]}.txt", weight)
        np.savetxt(folder / f"{names[1]}.txt", bias)
        path = folder / f"{names[0]}.txt"
        random_networks.assert_same(path, images, images @ weight + bias, output="identity")


@pytest.mark.parametrize("delimiter", [",", ";", " "])
def test_tables_beside_each_other(tmp_path, rng, images, delimiter):
    wih, who = rng.normal(size=(7, 12)), rng.normal(size=(4, 7))
    hidden = 1 / (1 + np.exp(-(images @ wih.T)))
    outputs = 1 / (1 + np.exp(-(hidden @ who.T)))
    suffix = "txt" if delimiter == " " else "csv"
    for name, array in (("wih", wih), ("who", who)):
        np.savetxt(tmp_path / f"{name}.{suffix}", array, delimiter=delimiter)
    network = random_networks.assert_same(tmp_path / f"wih.{suffix}", images, outputs, **SIGMOID)
    assert network.notes == (f"read with it: who.{suffix}",)
    random_networks.assert_same(tmp_path, images, outputs, **SIGMOID)
    (tmp_path / f"who.{suffix}").unlink()
    with pytest.raises(JaxbqError, match="where other layers are missing"):
        import_network(tmp_path / f"wih.{suffix}")


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "1,2\n3\n", "1,nan\n", "\xff\xfe"])
def test_damaged_tables(tmp_path, text):
    (tmp_path / "net.csv").write_text(text, encoding="latin1")
    with pytest.raises(JaxbqError, match=r"net\.csv") as caught:
        import_network(tmp_path / "net.csv")
    assert "\n" not in str(caught.value)


def test_what_is_refused_on_purpose_says_how_to_convert_it(tmp_path):
    for name, message in (
        ("net.pkl", "any code when it is loaded.*np.savez"),
        ("net.pickle", "any code when it is loaded.*skops.io.dump"),
        ("net.joblib", "skops.io.dump\\(joblib.load"),
        ("net.tflite", 'model.save\\("net.keras"\\)'),
        ("saved/saved_model.pb", 'load_model\\(folder\\).save\\("net.h5"\\)'),
        ("saved", 'load_model\\(folder\\).save\\("net.h5"\\)'),
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            path.write_bytes(b"content")
        with pytest.raises(JaxbqError, match=message):
            import_network(path)
    np.savez(tmp_path / "net.npz", weights=np.array([np.ones(2), np.ones(3)], object))
    with pytest.raises(JaxbqError, match=r"np.savez\(file, W0=…, b0=…\)"):
        import_network(tmp_path / "net.npz")


@pytest.mark.parametrize("wrapped", [True, False])
def test_json_of_one_table_a_layer_says_its_activations(tmp_path, drawn, images, wrapped):
    """Not passed over, and then taken for sigmoids."""
    kinds = ["tanh"] * (len(drawn.weights) - 1) + ["softmax"]
    layers = [
        {"weights": w.tolist(), "biases": b.tolist(), "activation": kind}
        for w, b, kind in zip(drawn.weights, drawn.biases, kinds, strict=True)
    ]
    path = tmp_path / "net.json"
    path.write_text(json.dumps({"layers": layers} if wrapped else layers))
    network = import_network(path)
    assert network.model.output == "softmax"
    assert set(network.model.activations[:-1]) <= {activation("tanh")}
    assert not {"hidden", "output"} & set(network.assumed)
    plain = {f"W{n}": w for n, w in enumerate(drawn.weights)}
    plain |= {f"b{n}": b for n, b in enumerate(drawn.biases)}
    same = import_network(plain, hidden="tanh", output="softmax")
    expected = same.model.logits(same.params, images)
    np.testing.assert_allclose(
        network.model.logits(network.params, images), expected, rtol=1e-5, atol=1e-6
    )


def test_an_activation_beside_arrays_is_the_hidden_layers(tmp_path, rng):
    arrays = {"W0": rng.normal(size=(6, 5)), "W1": rng.normal(size=(5, 4)), "W2": np.ones((4, 3))}
    np.savez(tmp_path / "net.npz", **arrays, activation="relu")
    network = import_network(tmp_path / "net.npz", output="softmax")
    assert network.model.hidden == "relu"
    assert "hidden" not in network.assumed
    with pytest.raises(JaxbqError, match="hidden activation is relu, as the file says, not tanh"):
        import_network(tmp_path / "net.npz", hidden="tanh")
    odd = {**arrays, "activations": np.array(["relu", "tanh", "relu", "softmax"])}
    with pytest.raises(JaxbqError, match=r"names 4 activations .* for 3 layers"):
        import_network(odd)
    with pytest.raises(JaxbqError, match="no activation 'step'"):
        import_network({**arrays, "output_activation": "step"})
