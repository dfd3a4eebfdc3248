"""ONNX graphs with what folds into their layers, labels beside, and weights in another file."""

import numpy as np
import pytest
import random_networks

from jaxbq.errors import JaxbqError
from jaxbq.network.files import import_network

onnx = pytest.importorskip("onnx", reason="onnx is not here")
from onnx.reference import ReferenceEvaluator  # noqa: E402

helper, FLOAT = onnx.helper, onnx.TensorProto.FLOAT


class Graph:
    """A graph in the making."""

    def __init__(self, shape):
        self.nodes, self.constants, self.outputs = [], [], []
        self.inputs = [helper.make_tensor_value_info("x", FLOAT, ["n", *shape])]
        self.last = "x"

    def constant(self, values):
        name = f"c{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(np.asarray(values), name))
        return name

    def add(self, kind, *constants, first=False, **options):
        given = [self.constant(np.asarray(values, "f4")) for values in constants]
        inputs = [*given, self.last] if first else [self.last, *given]
        output = f"y{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **options))
        self.last = output

    def model(self, classes=4):
        ends = [helper.make_tensor_value_info(self.last, FLOAT, ["n", classes]), *self.outputs]
        graph = helper.make_graph(self.nodes, "g", self.inputs, ends, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


ACTIVATIONS = {
    "relu": ("Relu", {}),
    "tanh": ("Tanh", {}),
    "leaky_relu": ("LeakyRelu", {}),
    "leaky_relu(0.2)": ("LeakyRelu", {"alpha": 0.2}),
    "elu": ("Elu", {}),
    "elu(0.7)": ("Elu", {"alpha": 0.7}),
    "gelu": ("Gelu", {}),
    "gelu_tanh": ("Gelu", {"approximate": "tanh"}),
    "softplus": ("Softplus", {}),
}


def norm(rng, units):
    return [rng.normal(size=units), *rng.normal(size=(2, units)), rng.random(units) + 0.1]


def draw(rng, drawn=None):
    drawn, graph, hidden = drawn or random_networks.draw(rng), Graph((1, 3, 4)), []
    if rng.random() < 0.3:
        graph.add("Transpose", perm=[0, 1, 3, 2])
    for kind, first in (("Sub", 0), ("Sub", 1), ("Add", 1), ("Mul", 0), ("Div", 0)):
        if rng.random() < 0.4:
            shapes = [(), (1,), (1, 1, 1), graph_shape(graph)]
            values = rng.random(shapes[rng.integers(4)]) + 0.5
            graph.add(kind, values, first=bool(first))
    if rng.random() < 0.3:
        graph.add("BatchNormalization", *norm(rng, 1))
    graph.add("Flatten", axis=1)
    if rng.random() < 0.3:
        graph.add("BatchNormalization", *norm(rng, 12), epsilon=0.01)
    for number, (weight, bias) in enumerate(zip(drawn.weights, drawn.biases, strict=True), 1):
        if rng.random() < 0.5:
            graph.add("Gemm", weight.T, bias, transB=1, alpha=0.5)
        else:
            graph.add("MatMul", weight)
            if rng.random() < 0.8:
                graph.add("Add", bias, first=rng.random() < 0.5)
        if rng.random() < 0.4:
            graph.add("BatchNormalization", *norm(rng, len(bias)))
        if number < len(drawn.weights):
            hidden.append(str(rng.choice(list(ACTIVATIONS))))
            kind, options = ACTIVATIONS[hidden[-1]]
            graph.add(kind, **options)
            if rng.random() < 0.3:
                graph.add("Mul", rng.normal(size=(1, len(bias))))
    return graph, tuple(hidden)


def graph_shape(graph):
    turned = graph.nodes and graph.nodes[0].op_type == "Transpose"
    return (1, 1, 4, 3) if turned else (1, 1, 3, 4)


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("output", ["softmax", "log", "identity"])
def test_what_is_affine_folds(tmp_path, seed, output):
    rng = np.random.default_rng(seed)
    graph, hidden = draw(rng)
    if output != "identity":
        graph.add("Softmax" if output == "softmax" else "LogSoftmax", axis=-1)
    model = graph.model()
    onnx.save(model, tmp_path / "net.onnx")
    images = rng.random((20, 1, 3, 4)).astype("f4")
    (answers,) = ReferenceEvaluator(model).run(None, {"x": images})
    outputs = np.exp(answers) if output == "log" else answers
    network = random_networks.assert_same(tmp_path / "net.onnx", images.reshape(20, 12), outputs)
    assert network.model.hidden_names == hidden
    assert network.model.output == ("identity" if output == "identity" else "softmax")


def chain():
    graph = Graph((12,))
    rng = np.random.default_rng(0)
    graph.add("Gemm", rng.normal(size=(12, 5)), np.ones(5))
    graph.add("Relu")
    graph.add("Gemm", rng.normal(size=(5, 4)), np.ones(4))
    return graph


def add_labels(graph, classes):
    """Give labels beside the probabilities."""
    kept = graph.last
    held = graph.constant(np.array(classes))
    graph.add("ArgMax", axis=1)
    pick = helper.make_node(
        "ArrayFeatureExtractor", [held, graph.last], ["label"], domain="ai.onnx.ml"
    )
    graph.nodes.append(pick)
    graph.outputs = [helper.make_tensor_value_info("label", onnx.TensorProto.INT64, ["n"])]
    graph.last = kept


def test_labels_beside_the_probabilities(tmp_path):
    graph = chain()
    graph.add("Softmax", axis=1)
    add_labels(graph, [3, 5, 7, 9])
    onnx.save(graph.model(), tmp_path / "net.onnx")
    network = import_network(tmp_path / "net.onnx")
    assert network.class_names == ("3", "5", "7", "9")
    assert network.notes == ("the output of labels passed over",)


def test_images_laid_out_by_a_computed_shape(tmp_path, rng):
    graph = Graph((3, 4))
    graph.nodes += [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", graph.constant(np.array([0]))], ["n"]),
        helper.make_node("Concat", ["n", graph.constant(np.array([12]))], ["to"], axis=0),
        helper.make_node("Reshape", ["x", "to"], ["flat"]),
    ]
    graph.last = "flat"
    graph.add("Gemm", rng.normal(size=(12, 4)))
    model = graph.model()
    onnx.save(model, tmp_path / "net.onnx")
    images = rng.random((5, 3, 4)).astype("f4")
    (outputs,) = ReferenceEvaluator(model).run(None, {"x": images})
    random_networks.assert_same(tmp_path / "net.onnx", images.reshape(5, 12), outputs)


def test_weights_in_a_file_beside_it_and_nowhere_else(tmp_path):
    model, path = chain().model(), tmp_path / "net.onnx"
    onnx.save(model, path)
    expected = import_network(path)
    onnx.save(model, path, save_as_external_data=True, location="net.onnx.data", size_threshold=0)
    found = import_network(path)
    for one, two in zip(found.params, expected.params, strict=True):
        np.testing.assert_array_equal(one.weight, two.weight)
    whole = path.read_bytes()
    data = tmp_path / "net.onnx.data"
    content = data.read_bytes()
    data.write_bytes(content[:40])
    refused(path, "does not hold what it says")
    data.unlink()
    refused(path, "export again with external_data=False")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a").write_bytes(content)
    data.symlink_to(tmp_path / "elsewhere" / "a")
    refused(path, "not a file beside it")
    for location in ("elsewhere/a", "../x", "/etc/passwd", "."):
        changed = onnx.ModelProto.FromString(whole)
        for tensor in changed.graph.initializer:
            tensor.external_data[0].value = location
        path.write_bytes(changed.SerializeToString())
        refused(path, "not a file beside it")
    for key, value in (("length", str(10**12)), ("offset", "-1"), ("length", "x")):
        changed = onnx.ModelProto.FromString(whole)
        data.unlink(missing_ok=True)
        data.write_bytes(content)
        for tensor in changed.graph.initializer:
            for entry in tensor.external_data:
                entry.value = value if entry.key == key else entry.value
        path.write_bytes(changed.SerializeToString())
        refused(path, "does not hold what it says")


def refused(path, message):
    with pytest.raises(JaxbqError, match=message) as caught:
        import_network(path)
    assert "\n" not in str(caught.value)


def test_images_larger_than_any_layer_and_names_of_several_lines(tmp_path):
    graph = Graph((1, 2**15, 2**15))
    graph.add("Transpose", perm=[0, 1, 3, 2])
    graph.add("Gemm", np.ones((12, 4)))
    onnx.save(graph.model(), tmp_path / "net.onnx")
    refused(tmp_path / "net.onnx", "node Transpose cannot")
    graph = chain()
    graph.nodes[1].op_type = "a\nb"
    onnx.save(graph.model(), tmp_path / "net.onnx")
    refused(tmp_path / "net.onnx", r"node a\\nb cannot")


@pytest.mark.parametrize(
    ("kind", "values", "first", "message"),
    [
        ("Div", [2.0], True, "without one constant does not fold"),
        ("Div", [0.0], False, "not finite"),
        ("Mul", np.ones((2, 4)), False, "differs by image"),
        ("Mul", np.ones(3), False, "differs by image|3 values for 4 units"),
        ("Sigmoid", None, False, None),
        ("Selu", None, False, "node Selu cannot be imported"),
    ],
)
def test_what_does_not_fold_is_refused(tmp_path, kind, values, first, message):
    graph = chain()
    if values is None:
        graph.add(kind)
        if message is None:
            graph.add("Mul", 2.0)
            message = "comes after the outputs' activation"
    else:
        graph.add(kind, values, first=first)
    onnx.save(graph.model(), tmp_path / "net.onnx")
    refused(tmp_path / "net.onnx", message)
