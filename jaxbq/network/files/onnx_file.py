"""ONNX graphs that are a chain of fully connected layers and activations."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...data.labels import shown
from ...errors import JaxbqError
from .chains import numbers
from .folding import Chain
from .found import MOST_BYTES, Found

_ACTIVATIONS = ("Sigmoid", "Tanh", "Relu", "Softplus", "Softmax", "LogSoftmax")
_PASSED = {"Identity", "Dropout", "ZipMap"}
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
    constants = dict(_constants(onnx, graph, path))
    nodes, start = _in_chain(graph, constants, str(path))
    walk = _Walk(Chain(str(path)), constants, _shape(start))
    for node in nodes:
        walk.take(node)
    return walk.chain.found("ONNX graph", _classes(onnx, graph, walk.chain))


class _Walk:
    """A walk along the chain.

    Args:
        chain: gathers what is met.
        constants: by name.
        shape: of one image, where it is known; None once it is a row.
    """

    def __init__(
        self, chain: Chain, constants: dict[str, np.ndarray], shape: tuple[int, ...] | None
    ) -> None:
        self.chain, self.constants, self.shape = chain, constants, shape
        self.where = chain.where

    def take(self, node: Any) -> None:
        """Go on by one node."""
        options = {each.name: each for each in node.attribute}
        kind = node.op_type
        if kind == "Gemm":
            self._gemm(node, options)
        elif kind == "MatMul":
            self._layer(self._constant(node, 1), None)
        elif kind in ("Add", "Sub", "Mul", "Div"):
            self._arithmetic(node, kind)
        elif kind == "BatchNormalization":
            self._norm(node, options)
        elif kind in _ACTIVATIONS or kind in ("LeakyRelu", "Elu", "Gelu"):
            self._activation(kind, options)
        elif kind == "Cast" and "to" in options and options["to"].i in _FLOATS:
            return
        elif kind in _SHAPING and not self.chain.layers:
            if "axis" in options and options["axis"].i != 1:
                raise JaxbqError(f"{self.where}: a Flatten that mixes images cannot be imported")
            self.shape = None
        elif kind == "Transpose" and self.shape and not self.chain.layers:
            self._transpose(list(options["perm"].ints) if "perm" in options else [])
        elif kind not in _PASSED:
            raise JaxbqError(
                f"{self.where}: node {kind} cannot be imported here; only chains of Gemm or MatMul "
                "and Add, activations, and what folds into these can; a network with it can be "
                "used as it is, see docs/own-models.md"
            )

    def _activation(self, kind: str, options: dict[str, Any]) -> None:
        def number(usual: float) -> str:
            # A float32 in the file, like 0.2, to be written as it was meant.
            return str(np.float32(options["alpha"].f if "alpha" in options else usual))

        axis = options["axis"].i if "axis" in options else -1
        if kind in ("Softmax", "LogSoftmax") and axis not in (-1, 1):
            raise JaxbqError(f"{self.where}: a softmax over images, not over outputs")
        name = kind.lower()
        if kind == "LeakyRelu":
            name = f"leaky_relu({number(0.01)})"
        elif kind == "Elu":
            name = f"elu({number(1.0)})"
        elif kind == "Gelu" and "approximate" in options and options["approximate"].s == b"tanh":
            name = "gelu_tanh"
        self.chain.activation(name)

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
            flat = self._constant(node, 2).reshape(-1)
            units = weight.shape[-1]
            if flat.size not in (1, units):
                raise JaxbqError(f"{self.where}: a bias of {flat.size} values for {units} units")
            bias = np.broadcast_to(flat, (units,)) * scale("beta")
        self._layer(weight * scale("alpha"), bias)

    def _layer(self, weight: np.ndarray, bias: np.ndarray | None) -> None:
        self.chain.layer(weight, bias)
        self.shape = None

    def _arithmetic(self, node: Any, kind: str) -> None:
        """Fold the sum, difference, product or quotient with a constant."""
        found = [n for n, name in enumerate(node.input) if name in self.constants]
        if len(found) != 1 or (kind == "Div" and found == [0]):
            raise JaxbqError(f"{self.where}: a node {kind} without one constant does not fold")
        values = self._row(self._constant(node, found[0]))
        one = np.ones(1)
        is_bias = kind == "Add" and self.chain.open and self.chain.layers[-1].bias is None
        note = None if is_bias else f"{kind} {shown(str(node.name))[:60]}".strip()
        if kind in ("Add", "Sub"):
            turned = kind == "Sub" and found == [0]
            offset = -values if kind == "Sub" and not turned else values
            self.chain.affine(-one if turned else one, offset, note)
        else:
            with np.errstate(all="ignore"):
                self.chain.affine(values if kind == "Mul" else 1 / values, 0.0, note)

    def _norm(self, node: Any, options: dict[str, Any]) -> None:
        if "training_mode" in options and options["training_mode"].i:
            raise JaxbqError(f"{self.where}: a BatchNormalization exported in training; use eval()")
        scale, offset, mean, variance = (self._constant(node, n).reshape(-1) for n in range(1, 5))
        if self.shape and len(self.shape) > 1:  # one a channel, which come first
            if scale.size not in (1, self.shape[0]):
                raise JaxbqError(f"{self.where}: a BatchNormalization does not fit its images")
            pixels = math.prod(self.shape[1:])
            scale, offset, mean, variance = (
                np.repeat(values, pixels) for values in (scale, offset, mean, variance)
            )
        epsilon = options["epsilon"].f if "epsilon" in options else 1e-5
        note = f"BatchNormalization {shown(str(node.name))[:60]}".strip()
        self.chain.normalisation(mean, variance, epsilon, scale, offset, note)

    def _transpose(self, axes: Sequence[int]) -> None:
        assert self.shape is not None
        if (
            len(axes) != len(self.shape) + 1
            or axes[0] != 0
            or sorted(axes) != list(range(len(axes)))
        ):
            raise JaxbqError(f"{self.where}: a Transpose over images cannot be imported")
        pixels = np.arange(math.prod(self.shape)).reshape(self.shape)
        order = pixels.transpose([n - 1 for n in axes[1:]])
        self.shape = order.shape
        self.chain.reorder(order.reshape(-1), "Transpose")

    def _row(self, values: np.ndarray) -> np.ndarray:
        """Lay a constant out as what it is for one image or one row of units."""
        if values.size == 1:
            return values.reshape(-1)
        wanted = (values.shape[-1],) if self.shape is None else self.shape
        try:
            return np.broadcast_to(values, (1, *wanted)).reshape(-1)
        except ValueError:
            pass
        raise JaxbqError(f"{self.where}: a constant of shape {values.shape} differs by image")

    def _constant(self, node: Any, place: int) -> np.ndarray:
        name = node.input[place] if place < len(node.input) else ""
        if name not in self.constants:
            raise JaxbqError(f"{self.where}: {node.op_type} without constant weights")
        return self.constants[name]


def _constants(onnx: Any, graph: Any, path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Read the numbers of initialisers and Constant nodes, also of those in a file beside it."""
    tensors = [(tensor.name, tensor) for tensor in graph.initializer]
    left = MOST_BYTES
    for node in graph.node:
        if node.op_type == "Constant" and len(node.output) == 1:
            tensors += [(node.output[0], each.t) for each in node.attribute if each.name == "value"]
    for name, tensor in tensors:
        # What is no UTF-8 comes as bytes.
        if not isinstance(name, str):
            raise JaxbqError(f"{path}: the name of a tensor is damaged ({name[:40]!r})")
        if any(n < 0 for n in tensor.dims) or len(tensor.dims) > 4:
            raise JaxbqError(f"{path}: tensor {name!r} has no shape that a layer has")
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            left -= 8 * math.prod(tensor.dims)
            _load_external(onnx, tensor, path, left)
        try:
            values = onnx.numpy_helper.to_array(tensor)
        # What the helper raises on a tensor that lies about its shape or type is not documented.
        except Exception as fault:
            reason = str(fault).splitlines()[0][:200] if str(fault) else type(fault).__name__
            raise JaxbqError(f"{path}: tensor {name!r} is damaged ({reason})") from None
        if values.dtype.kind in "fiu":
            yield name, numbers(values, f"{path}: tensor {name!r}")


def _load_external(onnx: Any, tensor: Any, path: Path, left: int) -> None:
    """Fill a tensor from a file beside the graph, and from nowhere else."""
    again = "put it there, or export again with external_data=False"
    given = {entry.key: entry.value for entry in tensor.external_data}
    location = str(given.get("location", ""))
    file = path.parent / location
    if not location or Path(location).name != location or file.is_symlink() or not file.is_file():
        raise JaxbqError(
            f"{path}: keeps its weights in {shown(location)[:100]!r}, not a file beside it; {again}"
        )
    try:
        start, length = int(given.get("offset", 0)), int(given.get("length", 0))
    except ValueError:
        start, length = -1, 0
    if start < 0 or length < 0 or left < 0 or start + length > min(file.stat().st_size, MOST_BYTES):
        raise JaxbqError(
            f"{path}: {location} does not hold what it says, or is larger than jaxbq reads"
        )
    with file.open("rb") as stream:
        stream.seek(start)
        tensor.raw_data = stream.read(length or min(file.stat().st_size - start, MOST_BYTES))
    tensor.data_location = onnx.TensorProto.DEFAULT
    del tensor.external_data[:]


def _in_chain(graph: Any, constants: dict[str, np.ndarray], where: str) -> tuple[list[Any], Any]:
    """List the nodes from the input to the output, back from this; refuse a graph that branches.

    Returns:
        The nodes, and the input.
    """
    initial = {tensor.name for tensor in graph.initializer}
    inputs = {value.name: value for value in graph.input if value.name not in initial}
    outputs = [value for value in graph.output if not _is_label(value)]
    if len(inputs) != 1 or len(outputs) != 1:
        raise JaxbqError(f"{where}: must have one input and one output")
    makers = {name: node for node in graph.node for name in node.output if name}
    current = outputs[0].name
    nodes: list[Any] = []
    while current not in inputs:
        node = makers.get(current)
        if node is None or len(nodes) > _MOST_NODES:
            raise JaxbqError(f"{where}: its nodes do not lead from input to output")
        # What else a Reshape takes is where its images end.
        names = node.input[:1] if node.op_type in _SHAPING else node.input
        before = [name for name in names if name and name not in constants]
        if len(before) != 1:
            raise JaxbqError(f"{where}: its nodes do not form a chain")
        nodes.append(node)
        current = before[0]
    return nodes[::-1], inputs[current]


def _is_label(output: Any) -> bool:
    """Tell whether an output is a class, which some exporters give beside the probabilities."""
    return output.type.HasField("tensor_type") and output.type.tensor_type.elem_type in (6, 7, 8)


def _shape(value: Any) -> tuple[int, ...] | None:
    """Take the shape of one image from what a graph says of its input; None where it does not."""
    sizes = tuple(each.dim_value for each in value.type.tensor_type.shape.dim)[1:]
    known = len(sizes) > 1 and min(sizes) > 0 and math.prod(sizes) <= MOST_BYTES // 8
    return sizes if known else None


def _classes(onnx: Any, graph: Any, chain: Chain) -> tuple[str, ...] | None:
    """Name the classes as the labels' own branch does."""
    names = {n.input[0] for n in graph.node if n.op_type == "ArrayFeatureExtractor" and n.input}
    for tensor in graph.initializer:
        if tensor.name in names and tuple(tensor.dims) == (chain.layers[-1].weight.shape[1],):
            try:
                values = onnx.numpy_helper.to_array(tensor).tolist()
            except Exception:  # as above
                return None
            chain.notes.append("the output of labels passed over")
            return tuple(
                n.decode(errors="replace") if isinstance(n, bytes) else str(n) for n in values
            )
    return None
