"""ONNX graphs that are a chain of fully connected layers and activations."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import JaxbqError
from ..activations import LEAK
from ..inputs import RawLayer
from .chains import numbers
from .found import MOST_BYTES, Found, of_chain

_ACTIVATIONS = {
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Relu": "relu",
    "LeakyRelu": "leaky_relu",
    "Softplus": "softplus",
    "Softmax": "softmax",
}
_PASSED = {"Identity", "Dropout"}
# What lays images out as rows, before the first layer.
_SHAPING = {"Flatten", "Reshape", "Squeeze", "Unsqueeze"}
_FLOATS = {1, 10, 11, 16}  # of TensorProto: float, float16, double, bfloat16
_MOST_NODES = 1024


def read_onnx(path: Path) -> Found:
    """Read a graph of Gemm, or MatMul and Add, and activations, one after another.

    Raises:
        JaxbqError: onnx is not there, the file is damaged, or the graph is no such chain.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise JaxbqError(
            f"{path}: reading it needs onnx; pip install 'jaxbq[import]' has it"
        ) from None
    try:
        if path.stat().st_size > MOST_BYTES:
            raise JaxbqError(f"{path}: larger than jaxbq reads")
        model = onnx.ModelProto.FromString(path.read_bytes())
    except FileNotFoundError:
        raise JaxbqError(f"{path}: no such file") from None
    except (DecodeError, OSError, ValueError) as fault:
        reason = str(fault).splitlines()[0][:200]
        raise JaxbqError(f"{path}: not an ONNX file that can be read ({reason})") from None
    graph = model.graph
    if len(graph.node) > _MOST_NODES:
        raise JaxbqError(f"{path}: {len(graph.node):,} nodes are more than jaxbq reads")
    walk = _Walk(str(path), dict(_constants(onnx, graph, str(path))))
    for node in _in_chain(graph, str(path)):
        walk.take(node)
    if not walk.layers:
        raise JaxbqError(f"{path}: has no fully connected layer")
    return Found("ONNX graph", walk.layers, *of_chain(walk.between, str(path)))


class _Walk:
    """A walk along the chain, which gathers layers and the activation after each."""

    def __init__(self, where: str, constants: dict[str, np.ndarray]) -> None:
        self.where, self.constants = where, constants
        self.layers: list[RawLayer] = []
        self.between: list[str | None] = []

    def take(self, node: Any) -> None:
        """Go on by one node."""
        options = {each.name: each for each in node.attribute}
        kind = node.op_type
        if kind == "Gemm":
            self._gemm(node, options)
        elif kind == "MatMul":
            self._layer(self._constant(node, 1), None)
        elif kind == "Add" and self.layers and self.between[-1] is None:
            self._add(node)
        elif kind in _ACTIVATIONS and self.layers and self.between[-1] is None:
            self._activation(kind, options)
        elif kind == "Cast" and "to" in options and options["to"].i in _FLOATS:
            return
        elif kind in _SHAPING and not self.layers:
            if "axis" in options and options["axis"].i != 1:
                raise JaxbqError(f"{self.where}: a Flatten that mixes images cannot be imported")
        elif kind not in _PASSED:
            raise JaxbqError(
                f"{self.where}: node {kind} cannot be imported here; only chains of Gemm or MatMul "
                "and Add, and activations, can"
            )

    def _activation(self, kind: str, options: dict[str, Any]) -> None:
        # ONNX's own default slope is the one that jaxbq has.
        slope = options["alpha"].f if "alpha" in options else LEAK
        if kind == "LeakyRelu" and not np.isclose(slope, LEAK):
            raise JaxbqError(f"{self.where}: leaky ReLU of slope {slope:g}; jaxbq's is {LEAK}")
        if kind == "Softmax" and "axis" in options and options["axis"].i not in (-1, 1):
            raise JaxbqError(f"{self.where}: a softmax over images, not over outputs")
        self.between[-1] = _ACTIVATIONS[kind]

    def _gemm(self, node: Any, options: dict[str, Any]) -> None:
        def scale(name: str) -> float:
            return options[name].f if name in options else 1.0

        if "transA" in options and options["transA"].i:
            raise JaxbqError(f"{self.where}: a Gemm with its input transposed is no layer")
        weight = self._constant(node, 1)
        if "transB" in options and options["transB"].i:
            weight = weight.T
        bias = None
        if len(node.input) > 2 and node.input[2]:
            bias = self._row(self._constant(node, 2), weight.shape[-1]) * scale("beta")
        self._layer(weight * scale("alpha"), bias)

    def _layer(self, weight: np.ndarray, bias: np.ndarray | None) -> None:
        if weight.ndim != 2:
            raise JaxbqError(f"{self.where}: weights of shape {weight.shape} are no layer")
        self.layers.append(RawLayer(weight, bias))
        self.between.append(None)

    def _add(self, node: Any) -> None:
        last = self.layers[-1]
        found = [n for n, name in enumerate(node.input) if name in self.constants]
        if last.bias is not None or len(found) != 1:
            raise JaxbqError(f"{self.where}: an Add that is no bias cannot be imported")
        bias = self._row(self._constant(node, found[0]), last.weight.shape[1])
        self.layers[-1] = RawLayer(last.weight, bias)

    def _row(self, values: np.ndarray, units: int) -> np.ndarray:
        flat = values.reshape(-1)
        if flat.size not in (1, units):
            raise JaxbqError(f"{self.where}: a bias of {flat.size} values for {units} units")
        return np.broadcast_to(flat, (units,)).copy()

    def _constant(self, node: Any, place: int) -> np.ndarray:
        name = node.input[place] if place < len(node.input) else ""
        if name not in self.constants:
            raise JaxbqError(f"{self.where}: {node.op_type} without constant weights")
        return self.constants[name]


def _constants(onnx: Any, graph: Any, where: str) -> Iterator[tuple[str, np.ndarray]]:
    """Read the numbers of initialisers and Constant nodes that are in the file itself."""
    tensors = [(tensor.name, tensor) for tensor in graph.initializer]
    for node in graph.node:
        if node.op_type == "Constant" and len(node.output) == 1:
            tensors += [(node.output[0], each.t) for each in node.attribute if each.name == "value"]
    for name, tensor in tensors:
        # What is no UTF-8 comes as bytes.
        if not isinstance(name, str):
            raise JaxbqError(f"{where}: the name of a tensor is damaged ({name[:40]!r})")
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise JaxbqError(f"{where}: keeps its weights in another file, which is not read")
        if any(n < 0 for n in tensor.dims) or len(tensor.dims) > 4:
            raise JaxbqError(f"{where}: tensor {name!r} has no shape that a layer has")
        try:
            values = onnx.numpy_helper.to_array(tensor)
        # What the helper raises on a tensor that lies about its shape or type is not documented.
        except Exception as fault:
            reason = str(fault).splitlines()[0][:200] if str(fault) else type(fault).__name__
            raise JaxbqError(f"{where}: tensor {name!r} is damaged ({reason})") from None
        if values.dtype.kind in "fiu" and values.ndim <= 2:
            yield name, numbers(values, f"{where}: tensor {name!r}")


def _in_chain(graph: Any, where: str) -> Iterator[Any]:
    """List the nodes from the input to the output; refuse a graph that branches."""
    initial = {tensor.name for tensor in graph.initializer}
    inputs = [value.name for value in graph.input if value.name not in initial]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise JaxbqError(f"{where}: must have one input and one output")
    current, nodes = inputs[0], [node for node in graph.node if node.op_type != "Constant"]
    while nodes and current != graph.output[0].name:
        users = [node for node in nodes if current in node.input]
        if len(users) != 1 or not users[0].output:
            raise JaxbqError(f"{where}: its nodes are no chain, one after another")
        yield users[0]
        nodes.remove(users[0])
        current = users[0].output[0]
    if current != graph.output[0].name:
        raise JaxbqError(f"{where}: its nodes do not lead from input to output")
