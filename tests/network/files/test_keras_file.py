"""Keras models, as .keras, as .h5 and in memory, with what folds into Dense layers."""

import io
import json
import os
import zipfile

import numpy as np
import pytest
import random_networks

from jaxbq.errors import JaxbqError
from jaxbq.network.files import import_network

os.environ["KERAS_BACKEND"] = "jax"
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of Keras with JAX
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5:UserWarning"),
]


def activations(layers):
    """Names, and the same as an argument of Dense or as a layer of its own."""
    return {
        "relu": ("relu", layers.ReLU()),
        "tanh": ("tanh", layers.Activation("tanh")),
        "leaky_relu(0.2)": ("leaky_relu", layers.LeakyReLU(negative_slope=0.2)),
        "leaky_relu(0.3)": (layers.LeakyReLU(negative_slope=0.3), layers.LeakyReLU()),
        "leaky_relu(0.1)": (layers.ReLU(negative_slope=0.1), layers.ReLU(negative_slope=0.1)),
        "elu": ("elu", layers.ELU()),
        "elu(0.5)": (layers.ELU(alpha=0.5), layers.ELU(alpha=0.5)),
        "gelu": ("gelu", layers.Activation("gelu")),
        "silu": ("swish", layers.Activation("silu")),
        "identity": (None, layers.Identity()),
    }


def randomised(model, rng):
    """Give every array values as after training."""
    for layer in model.layers:
        layer.set_weights(
            [
                np.asarray(rng.random(w.shape) + 0.1 if w.ndim < 2 else rng.normal(0, 0.4, w.shape))
                for w in layer.get_weights()
            ]
        )


def draw(keras, rng, sizes=None):
    layers, sizes = keras.layers, sizes or random_networks.draw(rng).sizes
    parts, hidden = [layers.Input((3, 4, 1)), layers.Rescaling(1 / 7, offset=-0.3)], []
    if rng.random() < 0.4:
        parts.append(layers.Normalization(mean=[0.3], variance=[0.2]))
    parts.append(layers.Flatten())
    if rng.random() < 0.4:
        parts.append(layers.BatchNormalization())
    for units in sizes[1:-1]:
        known = activations(layers)
        hidden.append(str(rng.choice(list(known))))
        argument, own = known[hidden[-1]]
        alone = rng.random() < 0.5
        bias = bool(rng.random() < 0.8)
        parts.append(layers.Dense(units, None if alone else argument, use_bias=bias))
        if alone:
            if rng.random() < 0.5:
                parts.append(layers.BatchNormalization(scale=bool(rng.random() < 0.5)))
            parts.append(own)
        parts.append(layers.Dropout(0.3))
        if rng.random() < 0.3 and hidden[-1] != "identity":
            parts.append(layers.BatchNormalization(center=bool(rng.random() < 0.5)))
    parts.append(layers.Dense(sizes[-1], str(rng.choice(["softmax", "sigmoid", "tanh", "linear"]))))
    model = keras.Sequential(parts)
    if rng.random() < 0.5:
        start = keras.Input((3, 4, 1))
        x = start
        for layer in model.layers:
            x = layer(x)
        model = keras.Model(start, x)
    randomised(model, rng)
    return model, tuple(hidden)


@pytest.mark.parametrize("seed", range(10))
def test_a_model_as_a_file_and_as_an_object(tmp_path, keras, seed):
    rng = np.random.default_rng(seed)
    model, hidden = draw(keras, rng)
    images = rng.random((20, 12)).astype("f4")
    outputs = np.asarray(model(images.reshape(-1, 3, 4, 1)))
    model.save(tmp_path / "net.keras")
    model.save(tmp_path / "net.h5")
    for source in (model, tmp_path / "net.keras", tmp_path / "net.h5"):
        network = random_networks.assert_same(source, images, outputs)
        assert network.model.hidden_names == hidden
        assert network.notes[0] == "Rescaling folded in"


def test_a_normalisation_that_was_adapted_and_channels_that_come_last(tmp_path, keras, rng):
    layers = keras.layers
    images = rng.random((20, 2, 2, 3)).astype("f4") * 9
    normal = layers.Normalization()
    normal.adapt(images)
    model = keras.Sequential(
        [layers.Input((2, 2, 3)), normal, layers.Flatten(), layers.Dense(4, "log_softmax")]
    )
    model.save(tmp_path / "net.keras")
    for source in (model, tmp_path / "net.keras"):
        outputs = np.exp(np.asarray(model(images)))
        network = random_networks.assert_same(
            source, images.reshape(20, -1), outputs, image_shape=(2, 2, 3)
        )
        assert network.notes == (
            "Normalization folded in",
            "log-softmax read as softmax, whose logarithm it is",
        )


def test_a_permutation(tmp_path, keras, rng):
    layers = keras.layers
    model = keras.Sequential(
        [layers.Input((3, 4)), layers.Permute((2, 1)), layers.Flatten(), layers.Dense(4, "tanh")]
    )
    images = rng.random((20, 12)).astype("f4")
    model.save(tmp_path / "net.keras")
    outputs = np.asarray(model(images.reshape(-1, 3, 4)))
    random_networks.assert_same(tmp_path / "net.keras", images, outputs)


def test_what_does_not_fold_is_refused(tmp_path, keras):
    layers, start = keras.layers, keras.layers.Input((4,))

    class Own(keras.Sequential):
        pass

    for model, message in (
        (
            keras.Sequential([start, layers.Dense(3, "softmax"), layers.Rescaling(2)]),
            "after the ou",
        ),
        (keras.Sequential([start, layers.Dense(3), layers.LayerNormalization()]), "own-models.md"),
        (keras.Sequential([start, layers.Dense(3), layers.ReLU(6.0)]), "layer ReLU cannot"),
        (
            keras.Sequential(
                [start, layers.Normalization(invert=True, mean=1.0, variance=1.0), layers.Dense(3)]
            ),
            "cannot be folded",
        ),
        (Own([start, layers.Dense(3)]), "a Own model; only Sequential"),
    ):
        with pytest.raises(JaxbqError, match=message):
            import_network(model)
    normed = keras.Sequential([start, layers.Dense(3), layers.BatchNormalization()])
    normed.save_weights(tmp_path / "net.weights.h5")
    with pytest.raises(JaxbqError, match=r"save the whole model: model.save\(\"net.keras\"\)"):
        import_network(tmp_path / "net.weights.h5")


def test_the_files_of_keras_2(tmp_path, rng):
    h5py = pytest.importorskip("h5py", reason="h5py is not here")
    drawn = random_networks.draw(rng)
    names = ["flat", *(f"dense_{n}" for n in range(len(drawn.weights)))]
    layers = [
        {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 12], "name": "i"}}
    ]
    layers += [
        {
            "class_name": "Dense" if number else "Flatten",
            "config": {"name": name, "activation": "tanh", "use_bias": True},
            "inbound_nodes": [[[names[number - 1] if number else "i", 0, 0, {}]]],
        }
        for number, name in enumerate(names)
    ]
    layers[0]["config"]["name"] = "i"
    with h5py.File(tmp_path / "net.h5", "w") as file:
        config = {"class_name": "Functional", "config": {"layers": layers}}
        file.attrs["model_config"] = json.dumps(config)
        file["optimizer_weights/Adam/m"] = np.zeros(3)
        for name, weight, bias in zip(names[1:], drawn.weights, drawn.biases, strict=True):
            file[f"model_weights/{name}/{name}/kernel:0"] = weight
            file[f"model_weights/{name}/{name}/bias:0"] = bias
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        for name, weight, bias in zip(names[1:], drawn.weights, drawn.biases, strict=True):
            file[f"{name}/{name}/kernel:0"] = weight
            file[f"{name}/{name}/bias:0"] = bias
    images = rng.random((20, 12)).astype("f4")
    a = images.astype(float)
    for weight, bias in zip(drawn.weights, drawn.biases, strict=True):
        a = np.tanh(a @ weight + bias)
    random_networks.assert_same(tmp_path / "net.h5", images, a)
    said = {"hidden": "tanh", "output": "tanh"}
    random_networks.assert_same(tmp_path / "weights.h5", images, a, **said)


@pytest.mark.parametrize(
    "options",
    [
        {"class_name": "Rescaling", "config": {"scale": "x", "offset": 0}},
        {"class_name": "Rescaling", "config": {"scale": [1, 2, 3, 4, 5], "offset": 0}},
        {"class_name": "Rescaling", "config": {"scale": float("inf"), "offset": 0}},
        {"class_name": "Rescaling", "config": {}},
        {"class_name": "Normalization", "config": {"mean": [[1], [1, 2]], "variance": 1}},
        {"class_name": "Normalization", "config": {"mean": 1, "variance": -1, "axis": None}},
        {"class_name": "Permute", "config": {"dims": [1, 1]}},
        {"class_name": "Permute", "config": {"dims": 2}},
        {"class_name": "Permute", "config": {"dims": ["x", None]}},
        {"class_name": "Permute", "config": {"dims": [2, float("inf")]}},
        {"class_name": "a\nb", "config": {}},
        {"class_name": "LeakyReLU", "config": {"negative_slope": "much"}},
        {"class_name": "ELU", "config": {"alpha": -1.0}},
    ],
)
def test_hostile_options(tmp_path, options):
    h5py = pytest.importorskip("h5py", reason="h5py is not here")
    start = {"class_name": "InputLayer", "config": {"batch_shape": [None, 2, 2]}}
    dense = {"class_name": "Dense", "config": {"name": "dense", "activation": "linear"}}
    config = {"class_name": "Sequential", "config": {"layers": [start, options, dense]}}
    if options["class_name"] in ("LeakyReLU", "ELU"):
        config["config"]["layers"] = [start, dense, options]
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        file["layers/dense/vars/0"] = np.ones((4, 3), "f4")
    with zipfile.ZipFile(tmp_path / "net.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", weights.getvalue())
    with pytest.raises(JaxbqError) as caught:
        import_network(tmp_path / "net.keras")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "name",
    ["RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom", "RandomContrast"],
)
def test_what_changes_images_in_training_alone_is_passed(keras, rng, name):
    numbers = {"RandomFlip": (), "RandomTranslation": (0.2, 0.2)}.get(name, (0.2,))
    dense = keras.layers.Dense(3, use_bias=False)
    steps = [getattr(keras.layers, name)(*numbers), keras.layers.Flatten(), dense]
    model = keras.Sequential([keras.Input((4, 4, 1)), *steps])
    images = rng.random((5, 4, 4, 1)).astype("f4")
    network = import_network(model)
    own = network.model.logits(network.params, images.reshape(5, 16))
    np.testing.assert_allclose(own, model(images, training=False), atol=1e-5)
