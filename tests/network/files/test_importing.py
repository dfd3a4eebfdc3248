"""Every format against the forward pass of its origin, three hidden layers of tanh, real images."""

import io
import itertools
import json
import os
import pickle
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import problems
import pytest
from safetensors.numpy import save_file

from jaxbq.data import ImageSpace
from jaxbq.errors import JaxbqError
from jaxbq.methods import Transpose, invert
from jaxbq.network.files import (
    AssumptionWarning,
    Found,
    NetworkFile,
    import_network,
    load_network,
    open_network,
    save_network,
    to_network,
)
from jaxbq.network.inputs import RawLayer
from jaxbq.network.mlp import MLP
from jaxbq.network.targets import Codes

os.environ["KERAS_BACKEND"] = "jax"
SIZES = (784, 24, 20, 16, 10)
SAID = {"hidden": "tanh", "output": "identity"}


@pytest.fixture
def images(mnist_10k):
    return mnist_10k.test_images[:50]


@pytest.fixture
def layers(rng):
    """Weights (in, out) and biases."""
    return [
        ((rng.normal(size=(n, m)) / n**0.5).astype("f4"), rng.normal(size=m).astype("f4"))
        for n, m in itertools.pairwise(SIZES)
    ]


def forward(layers, images):
    a = images.astype(float)
    for weight, bias in layers[:-1]:
        a = np.tanh(a @ weight + bias)
    return a @ layers[-1][0] + layers[-1][1]


def assert_answers(network: NetworkFile, images, logits=None, outputs=None):
    assert network.model.sizes == SIZES
    assert network.model.hidden == "tanh"
    assert network.space == ImageSpace((28, 28))
    if logits is not None:
        found = network.model.logits(network.params, images)
        np.testing.assert_allclose(found, logits, atol=1e-5)
    if outputs is not None:
        found = network.model.apply(network.params, images)
        np.testing.assert_allclose(found, outputs, atol=1e-5)


@pytest.mark.parametrize("save", ["npz", "folder", "safetensors"])
@pytest.mark.parametrize("transposed", [True, False])
def test_arrays_in_files(tmp_path, layers, images, save, transposed):
    named = {}
    for number, (weight, bias) in enumerate(layers):
        named[f"{number}.weight"] = np.ascontiguousarray(weight.T) if transposed else weight
        named[f"{number}.bias"] = bias
    if save == "npz":
        path = tmp_path / "net.npz"
        np.savez(path, **named)
    elif save == "folder":
        path = tmp_path
        for name, array in named.items():
            np.save(path / f"{name}.npy", array)
    else:
        path = tmp_path / "net.safetensors"
        save_file(named, path)
    way = {} if save != "safetensors" or transposed else {"orientation": "in_out"}
    assert_answers(import_network(path, **SAID, **way), images, forward(layers, images))


@pytest.mark.usefixtures("x64")
def test_the_books_network_goes_through_to_its_own_back_query(tmp_path):
    data = problems.striped_dataset(book_scaling=True)
    rng = np.random.default_rng(0)
    weights = [rng.normal(0, 30**-0.5, (9, 30)), rng.normal(0, 1 / 3, (3, 9))]
    codes = Codes().matrix(3)
    for _ in range(3):
        images = data.train_images.astype(float)
        problems.book_training(weights, images, codes[data.train_labels], 0.1)
    np.savez(tmp_path / "net.npz", wih=weights[0], who=weights[1])
    with pytest.warns(AssumptionWarning, match="hidden='sigmoid' and output='sigmoid'"):
        network = import_network(tmp_path / "net.npz", pixel_range=(0.01, 1), image_shape=(6, 5))
    assert network.assumed == ("hidden", "output", "class_names")
    assert not network.model.bias
    save_network(tmp_path / "net.safetensors", network)
    again = load_network(tmp_path / "net.safetensors")
    assert again.space == ImageSpace((6, 5), 0.01, 1.0)
    result = invert(Transpose(), again.model, again.params, codes, reference=data)
    for target, image in zip(codes, result.images[:, 0], strict=True):
        np.testing.assert_allclose(image, problems.book_backquery(weights, target), atol=1e-10)


# PyTorch 2.14 says so of every sparse tensor that it reads.
@pytest.mark.filterwarnings("ignore:Validating sparse tensor:UserWarning")
def test_pytorch(tmp_path, images):
    torch = pytest.importorskip("torch", reason="PyTorch is not here")
    parts = []
    for n, m in itertools.pairwise(SIZES):
        parts += [torch.nn.Linear(n, m), torch.nn.Tanh()]
    module = torch.nn.Sequential(*parts[:-1])
    logits = module(torch.tensor(images)).detach().numpy()
    torch.save(module.state_dict(), tmp_path / "net.pt")
    torch.save({"model_state_dict": module.state_dict(), "epoch": 3}, tmp_path / "check.pth")
    for source in (tmp_path / "net.pt", tmp_path / "check.pth", module, module.state_dict()):
        assert_answers(import_network(source, **SAID), images, logits)
    torch.save(module, tmp_path / "whole.pt")
    with pytest.raises(JaxbqError, match="more than tensors, which is never loaded"):
        import_network(tmp_path / "whole.pt")
    wide = torch.zeros(1).expand(10**5, 10**5)
    torch.save({"0.weight": wide}, tmp_path / "wide.pt")
    with pytest.raises(JaxbqError, match="larger than jaxbq reads"):
        import_network(tmp_path / "wide.pt")
    torch.save({"0.weight": torch.eye(3).to_sparse()}, tmp_path / "sparse.pt")
    with pytest.raises(JaxbqError, match="no plain tensor"):
        import_network(tmp_path / "sparse.pt")


class Evil:
    """Pickled, it would make a folder when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_nothing_is_ever_unpickled(tmp_path):
    content = pickle.dumps(Evil(tmp_path / "made"))
    array = np.empty(1, object)
    array[0] = Evil(tmp_path / "made")
    np.savez(tmp_path / "net.npz", W0=array)
    np.save(tmp_path / "net.npy", array)
    for name in ("net.pt", "net.skops", "net.keras", "net.h5", "net.onnx", "net.safetensors"):
        (tmp_path / name).write_bytes(content)
    with zipfile.ZipFile(tmp_path / "zip.pt", "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/version", "3")
    for path in sorted(tmp_path.glob("*.*")):
        with pytest.raises(JaxbqError):
            import_network(path)
    assert not (tmp_path / "made").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Keras with JAX
def test_keras_sequential(tmp_path, images, keras):
    dense = [keras.layers.Dense(n, "tanh") for n in SIZES[1:-1]]
    model = keras.Sequential(
        [keras.layers.Input((784,)), *dense, keras.layers.Dense(10, "softmax")]
    )
    outputs = np.asarray(model(images))
    model.save(tmp_path / "net.keras")
    model.save_weights(tmp_path / "net.weights.h5")
    for source in (tmp_path / "net.keras", model):
        network = import_network(source)
        assert_answers(network, images, outputs=outputs)
        assert network.assumed == ("pixel_range", "class_names")
    network = import_network(tmp_path / "net.weights.h5", hidden="tanh", output="softmax")
    assert_answers(network, images, outputs=outputs)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Keras with JAX
def test_keras_functional_with_layers_of_activations(tmp_path, images, keras):
    start = keras.Input((28, 28))
    x = keras.layers.Flatten()(start)
    for number, units in enumerate(SIZES[1:-1]):
        x = keras.layers.Dense(units, name=f"a layer {number}")(x)
        x = keras.layers.Dropout(0.5)(keras.layers.Activation("tanh")(x))
    model = keras.Model(start, keras.layers.Softmax()(keras.layers.Dense(10)(x)))
    model.save(tmp_path / "net.keras")
    outputs = np.asarray(model(images.reshape(-1, 28, 28)))
    assert_answers(import_network(tmp_path / "net.keras"), images, outputs=outputs)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Keras with JAX
def test_keras_models_that_are_no_chain_of_dense_layers(tmp_path, keras):
    layers = keras.layers

    def refused(model, message):
        model.save(tmp_path / "net.keras")
        with pytest.raises(JaxbqError, match=message):
            import_network(tmp_path / "net.keras")

    first = layers.Input((4,))
    refused(keras.Sequential([first, layers.Dense(3, "selu"), layers.Dense(2)]), "no activation 's")
    normed = [first, layers.Dense(3), layers.LayerNormalization(), layers.Dense(2)]
    refused(keras.Sequential(normed), "layer LayerNormalization cannot be imported here")
    inner = keras.Sequential([layers.Input((4,)), layers.Dense(3)])
    outer = keras.Sequential([inner, keras.Sequential([layers.Input((3,)), layers.Dense(2)])])
    outer.save_weights(tmp_path / "net.weights.h5")
    with pytest.raises(JaxbqError, match="models in models"):
        import_network(tmp_path / "net.weights.h5")
    start = keras.Input((4,))
    x = layers.Dense(4)(start)
    refused(keras.Model(start, layers.Add()([x, start])), "not form a chain|cannot be imported")


def test_scikit_learn(tmp_path, images, mnist_10k):
    networks = pytest.importorskip("sklearn.neural_network", reason="scikit-learn is not here")
    skops = pytest.importorskip("skops.io", reason="skops is not here")
    classifier = networks.MLPClassifier(SIZES[1:-1], activation="tanh", max_iter=2)
    few, labels = mnist_10k.train_images[:300], mnist_10k.train_labels[:300]
    pair = networks.MLPClassifier((7,), max_iter=2)
    with pytest.warns(UserWarning, match="converge"):
        classifier.fit(few, labels)
    with pytest.warns(UserWarning, match="converge"):
        pair.fit(few, np.array(["no", "yes"])[labels % 2])
    skops.dump(classifier, tmp_path / "net.skops")
    for source in (classifier, tmp_path / "net.skops"):
        network = import_network(source)
        assert_answers(network, images, outputs=classifier.predict_proba(images))
        assert network.class_names == tuple("0123456789")
    two = import_network(pair)
    assert two.class_names == ("no", "yes")
    outputs = two.model.apply(two.params, images)
    np.testing.assert_allclose(outputs, pair.predict_proba(images), atol=1e-5)
    with pytest.raises(JaxbqError, match="no fitted MLPClassifier"):
        import_network(networks.MLPClassifier())


def onnx_chain(onnx, layers, *, gemm, names=("Tanh", None)):
    """A graph of Gemm with B transposed, or of MatMul and Add."""
    helper, constants, nodes, current = onnx.helper, [], [], "x"
    for number, (weight, bias) in enumerate(layers):
        held = weight.T if gemm else weight
        constants.append(onnx.numpy_helper.from_array(np.ascontiguousarray(held), f"w{number}"))
        constants.append(onnx.numpy_helper.from_array(bias, f"b{number}"))
        if gemm:
            inputs = [current, f"w{number}", f"b{number}"]
            nodes.append(helper.make_node("Gemm", inputs, [f"z{number}"], transB=1))
        else:
            nodes.append(helper.make_node("MatMul", [current, f"w{number}"], [f"p{number}"]))
            nodes.append(helper.make_node("Add", [f"b{number}", f"p{number}"], [f"z{number}"]))
        name = names[0] if number < len(layers) - 1 else names[1]
        current = f"z{number}"
        if name:
            nodes.append(helper.make_node(name, [current], [f"a{number}"]))
            current = f"a{number}"
    kind = onnx.TensorProto.FLOAT
    ends = [
        helper.make_tensor_value_info(name, kind, ["n", size])
        for name, size in (("x", SIZES[0]), (current, SIZES[-1]))
    ]
    return helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], constants))


@pytest.mark.parametrize("gemm", [True, False])
def test_onnx(tmp_path, layers, images, gemm):
    onnx = pytest.importorskip("onnx", reason="onnx is not here")
    path = tmp_path / "net.onnx"
    onnx.save(onnx_chain(onnx, layers, gemm=gemm), path)
    network = import_network(path)
    assert_answers(network, images, forward(layers, images))
    assert network.model.output == "identity"
    onnx.save(onnx_chain(onnx, layers, gemm=gemm, names=("Tanh", "Softmax")), path)
    assert import_network(path).model.output == "softmax"


def test_an_onnx_tensor_whose_name_is_no_text(tmp_path, layers):
    onnx = pytest.importorskip("onnx", reason="onnx is not here")
    path = tmp_path / "net.onnx"
    whole = onnx_chain(onnx, layers, gemm=True).SerializeToString()
    damaged = whole.replace(b"w0", b"\x83\x83")
    assert damaged != whole
    path.write_bytes(damaged)
    with pytest.raises(JaxbqError, match="name of a tensor is damaged"):
        import_network(path)


def test_onnx_graphs_that_are_no_chain(tmp_path, layers):
    onnx = pytest.importorskip("onnx", reason="onnx is not here")
    path = tmp_path / "net.onnx"

    def refused(model, message):
        path.write_bytes(model.SerializeToString())
        with pytest.raises(JaxbqError, match=message):
            import_network(path)

    refused(onnx_chain(onnx, layers, gemm=True, names=("Erf", None)), "node Erf cannot")
    branch = onnx_chain(onnx, layers, gemm=True)
    last = branch.graph.node[-1]
    branch.graph.node.append(onnx.helper.make_node("Add", ["z1", "z1"], ["other"]))
    last.input[0] = "other"
    refused(branch, "not form a chain")
    external = onnx_chain(onnx, layers, gemm=True)
    tensor = external.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    softmax = onnx_chain(onnx, layers, gemm=True, names=("Tanh", "Softmax"))
    softmax.graph.node[-1].attribute.append(onnx.helper.make_attribute("axis", 0))
    refused(softmax, "over images, not over outputs")
    refused(external, "not a file beside it; .* external_data=False")
    lying = onnx_chain(onnx, layers, gemm=True)
    lying.graph.initializer[0].dims[0] = 10**9
    refused(lying, "is damaged")


def test_equinox_and_flax(images):
    equinox, linen, nnx = (
        pytest.importorskip(name) for name in ("equinox", "flax.linen", "flax.nnx")
    )
    key = jax.random.key(0)
    mlp = equinox.nn.MLP(784, 10, 12, 3, activation=jnp.tanh, key=key)
    network = import_network(mlp)
    assert (network.model.hidden, network.model.output) == ("tanh", "identity")
    logits = network.model.logits(network.params, images)
    np.testing.assert_allclose(logits, jax.vmap(mlp)(images), atol=1e-5)

    class Linen(linen.Module):
        @linen.compact
        def __call__(self, x):
            for units in SIZES[1:-1]:
                x = jnp.tanh(linen.Dense(units)(x))
            return linen.Dense(10)(x)

    params = Linen().init(key, images[:1])
    for source in (params, params["params"]):
        assert_answers(import_network(source, **SAID), images, Linen().apply(params, images))

    class Nnx(nnx.Module):
        def __init__(self, rngs):
            pairs = list(itertools.pairwise(SIZES))
            self.one, self.two, self.three, self.four = (
                nnx.Linear(n, m, rngs=rngs) for n, m in pairs
            )

        def __call__(self, x):
            for layer in (self.one, self.two, self.three):
                x = jnp.tanh(layer(x))
            return self.four(x)

    module = Nnx(nnx.Rngs(0))
    assert_answers(import_network(module, **SAID), images, module(images))


def test_lists_in_memory(layers, images):
    assert_answers(import_network(layers, **SAID), images, forward(layers, images))
    weights = [weight.T for weight, _ in layers]
    network = import_network(weights, **SAID)
    assert network.model == MLP(SIZES, "tanh", "identity", bias=False)


def test_a_layer_without_bias_among_others_has_one_of_zeros(tmp_path, layers, images):
    mixed = [(layers[0][0], None), *layers[1:]]
    network = import_network(mixed, **SAID)
    save_network(tmp_path / "net.safetensors", network)
    again = load_network(tmp_path / "net.safetensors")
    zero = [(layers[0][0], 0 * layers[0][1]), *layers[1:]]
    assert_answers(again, images, forward(zero, images))


def test_names_of_classes_stay_with_the_network(tmp_path, layers):
    path = tmp_path / "net.safetensors"
    network = import_network(layers, **SAID, class_names=list("abcdefghij"))
    assert network.class_names == tuple("abcdefghij")
    save_network(path, network)
    assert open_network(path).class_names == network.class_names
    assert open_network(path, class_names=tuple("jihgfedcba")).class_names[0] == "j"
    with pytest.raises(JaxbqError, match="2 class names, but 10 outputs"):
        open_network(path, class_names=("a", "b"))
    # That nobody named them stays known, too.
    save_network(path, import_network(layers, **SAID))
    assert open_network(path).assumed == ("class_names",)


def test_one_output_becomes_two_classes():
    weight, images = np.ones((3, 1)), np.eye(3)
    for output, factor in (("sigmoid", 1.0), ("tanh", 2.0)):
        network = import_network([(weight, np.full(1, -2.0))], output=output)
        assert (network.model.sizes, network.model.output) == ((3, 2), "softmax")
        logits = np.asarray(network.model.logits(network.params, images))
        np.testing.assert_allclose(logits[:, 1] - logits[:, 0], factor * -1.0, atol=1e-6)


def test_logits_are_read_as_the_user_says():
    found = Found("it", [RawLayer(np.ones((3, 2)), None)], (), "identity")
    assert to_network(found, "it").model.output == "identity"
    assert to_network(found, "it", output="softmax").model.output == "softmax"
    with pytest.raises(JaxbqError, match="is softmax, as the file says, not sigmoid"):
        to_network(found._replace(output="softmax"), "it", output="sigmoid")


def test_precision_follows_jax(layers):
    wide = [(weight.astype(float), bias.astype(float)) for weight, bias in layers]
    assert import_network(wide, **SAID).params[0].weight.dtype == jnp.float32
    with jax.enable_x64(True):
        assert import_network(wide, **SAID).params[0].weight.dtype == jnp.float64
        assert import_network(layers, **SAID).params[0].weight.dtype == jnp.float32
        assert import_network(layers, **SAID, dtype="float64").params[0].weight.dtype == jnp.float64


def test_a_network_of_its_own_says_everything_itself(tmp_path, rng):
    model, params = problems.random_network((30, 7, 3), rng)
    path = tmp_path / "net.safetensors"
    save_network(path, NetworkFile(model, params, ImageSpace((6, 5)), ("a", "b", "c")))
    assert open_network(path, hidden=None).class_names == ("a", "b", "c")
    with pytest.raises(JaxbqError, match="says hidden itself"):
        open_network(path, hidden="tanh")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"hidden": "gelus"}, "no activation 'gelus'; known: sigmoid"),
        ({"hidden": "softmax"}, "softmax is for outputs"),
        ({"image_shape": (28, 27)}, "takes 784 inputs, but an image has 756 pixels"),
        ({"image_shape": (-28, -28)}, "but images of shape"),
        ({"pixel_range": (1, 0)}, "must rise"),
        ({"pixel_range": (0, np.inf)}, "must rise"),
        ({"pixel_range": (0, 1, 2)}, "two numbers"),
        ({"class_names": ("a",)}, "1 class names, but 10 outputs"),
        ({"orientation": "in_out"}, "do not form a chain"),
    ],
)
def test_what_is_said_must_fit(tmp_path, layers, said, message):
    path = tmp_path / "net.npz"
    np.savez(path, **{f"W{n}": weight.T for n, (weight, _) in enumerate(layers)})
    with pytest.raises(JaxbqError, match=message):
        import_network(path, **said)


def test_what_a_source_says_is_not_to_be_changed(images):
    equinox = pytest.importorskip("equinox")
    with pytest.raises(JaxbqError, match="no activation 'relu6'"):
        import_network(equinox.nn.MLP(4, 2, 3, 1, activation=jax.nn.relu6, key=jax.random.key(0)))
    mlp = equinox.nn.MLP(784, 10, 12, 3, activation=jnp.tanh, key=jax.random.key(0))
    with pytest.raises(JaxbqError, match="orientation of its weights is known"):
        import_network(mlp, orientation="in_out")
    assert import_network(mlp, hidden="tanh").model.hidden == "tanh"
    with pytest.raises(JaxbqError, match="is tanh, as the file says, not relu"):
        import_network(mlp, hidden="relu")


def test_sources_that_are_none(tmp_path):
    (tmp_path / "net.txt").write_text("hello")
    (tmp_path / "net.doc").write_text("hello")
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe.npz")
    for source, message in (
        (tmp_path / "none.npz", "no such file"),
        (tmp_path / "net.doc", "not a known format"),
        (tmp_path / "net.txt", "not a table of numbers"),
        (tmp_path / "empty", "without .npy, .csv or .txt files"),
        (tmp_path / "pipe.npz", "not a regular file"),
        (3, "no network that jaxbq knows"),
        ([], "no network that jaxbq knows"),
        ({}, "holds no weights"),
    ):
        with pytest.raises(JaxbqError, match=message):
            import_network(source)


def test_hostile_keras_archives(tmp_path):
    h5py = pytest.importorskip("h5py", reason="h5py is not here")
    path = tmp_path / "net.keras"
    layer = {"class_name": "Lambda", "config": {"function": "__import__('os').abort()"}}
    config = {"class_name": "Sequential", "config": {"layers": [layer]}}
    weights = io.BytesIO()
    with h5py.File(weights, "w"):
        pass

    def write(config):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", config)
            archive.writestr("model.weights.h5", weights.getvalue())

    write(json.dumps(config))
    with pytest.raises(JaxbqError, match="layer Lambda cannot be imported"):
        import_network(path)
    for text in ("[]", "{", '{"class_name": 3, "config": {"layers": 4}}', "[" * 10**5):
        write(text)
        with pytest.raises(JaxbqError):
            import_network(path)


def test_hostile_h5_files(tmp_path):
    h5py = pytest.importorskip("h5py", reason="h5py is not here")
    path = tmp_path / "net.weights.h5"

    def refused(message, fill, version=None):
        with h5py.File(path, "w", libver=version) as file:
            fill(file)
        with pytest.raises(JaxbqError, match=message):
            import_network(path)

    def circle(file):
        file.create_group("a")["back"] = h5py.SoftLink("/a")

    def huge(file):
        file.create_dataset("layers/dense/vars/0", (10**6, 10**6), "f4", chunks=(100, 100))

    def elsewhere(file):
        file["layers/dense/vars"] = h5py.ExternalLink("/etc/passwd", "/")

    def words(file):
        file["layers/dense/vars/0"] = np.array([[b"a", b"b"]])

    def convolution(file):
        file["layers/conv2d/vars/0"] = np.zeros((3, 3, 1, 8))

    def compressed(file):
        file.create_dataset("layers/dense/vars/0", data=np.ones((9, 9)), compression="gzip")

    def chunked(file):
        file.create_dataset("layers/dense/vars/0", data=np.ones((9, 9)), chunks=(3, 3))

    def beside(file):
        file.create_dataset("layers/dense/vars/0", (2, 3), "f4", external=[("raw.bin", 0, 24)])

    def virtual(file):
        layout = h5py.VirtualLayout((2, 3), "f4")
        layout[:] = h5py.VirtualSource("other.h5", "x", (2, 3))
        file.create_virtual_dataset("layers/dense/vars/0", layout)

    refused("more groups than jaxbq reads", circle)
    refused("h5repack -f NONE", compressed)
    refused("h5repack -l CONTI", chunked, "latest")
    refused("in another file", beside)
    refused("in another file", virtual)
    refused("larger than jaxbq reads", huge)
    refused("links to another file", elsewhere)
    refused("plain numbers", words)
    refused("only Dense layers can", convolution)
    refused("holds no weights", lambda file: None)
