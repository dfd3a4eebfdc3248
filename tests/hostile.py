"""Every reader of untrusted files, small valid files to begin from, and changes to them."""

import io
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxbq.certification import Certificate, verify
from jaxbq.certification.certificate import read_weights
from jaxbq.certification.verifier import Claim, Tree
from jaxbq.data import Arrays, Images
from jaxbq.data.mnist import read_idx
from jaxbq.errors import JaxbqError
from jaxbq.experiment import load_configs
from jaxbq.network.files import open_network
from jaxbq.network.mlp import MLP, Layer


class Reader(NamedTuple):
    """A reader of files.

    Args:
        suffix: of the files.
        read: reads one; only a JaxbqError may come of it.
        seeds: makes valid files.
    """

    suffix: str
    read: Callable[[Path], object]
    seeds: Callable[[], list[bytes]]


def weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "W0": rng.normal(size=(4, 3)).astype("f4"),
        "b0": np.ones(3, "f4"),
        "W1": rng.normal(size=(3, 2)),
        "b1": np.ones(2),
    }


def saved(save: Callable[..., None], *content: object, **named: object) -> bytes:
    buffer = io.BytesIO()
    save(buffer, *content, **named)
    return buffer.getvalue()


def idx() -> list[bytes]:
    import gzip

    images = struct.pack(">HBB3I", 0, 8, 3, 3, 2, 2) + bytes(range(12))
    reals = struct.pack(">HBBI", 0, 0x0D, 1, 3) + np.ones(3, ">f4").tobytes()
    return [images, reals, gzip.compress(images)]


def npz() -> list[bytes]:
    return [
        saved(np.savez, **weights()),
        saved(np.savez_compressed, wih=np.ones((3, 4)), who=np.ones((2, 3))),
    ]


def arrays() -> list[bytes]:
    images = np.arange(100, 116, dtype="u1").reshape(4, 2, 2)
    labels = np.array([0, 1, 0, 1])
    return [
        saved(np.savez, images=images, labels=labels),
        saved(np.savez, X=images.reshape(4, 4) / 115, y=np.array(list("abab"))),
    ]


def json_text() -> list[bytes]:
    import json

    named = {name: array.tolist() for name, array in weights().items()}
    nielsen = {
        "sizes": [4, 3, 2],
        "weights": [named["W0"], named["W1"]],
        "biases": [[[1.0]] * 3, [[1.0]] * 2],
        "cost": "CrossEntropyCost",
    }
    nielsen["weights"] = [np.transpose(w).tolist() for w in nielsen["weights"]]
    return [json.dumps(content).encode() for content in (nielsen, named)]


def mat() -> list[bytes]:
    from scipy.io import savemat

    thetas = {"Theta1": np.ones((3, 5)), "Theta2": np.ones((2, 4))}
    contents = (thetas, weights() | {"note": "words"})
    return [
        saved(savemat, content, do_compression=packed) for content in contents for packed in (0, 1)
    ]


def csv() -> list[bytes]:
    return [b"1,2,3\n4,5,6\n", b"1;2.5\n3;-4e3\n", b"# words\n1 2\n3 4\n"]


def table() -> list[bytes]:
    return [
        b"0,1,2,3,255\n1,2,3,4,255\n0,3,3,4,255\n1,2,3,4,254\n",
        b"label,a,b,c,d\ncat,1,2,3,255\ndog,2,3,4,255\ncat,3,3,4,255\ndog,2,3,4,254\n",
    ]


def safetensors() -> list[bytes]:
    from safetensors.numpy import save

    named = {"0.weight": np.ones((3, 4), "f4"), "0.bias": np.ones(3, "f4")}
    header = (
        '{"sizes": [4, 3], "hidden": "sigmoid", "output": "sigmoid", "bias": true, '
        '"image_shape": [2, 2], "pixel_range": [0.0, 1.0], "class_names": ["a", "b", "c"]}'
    )
    own = {"layers.0.weight": np.ones((4, 3), "f4"), "layers.0.bias": np.ones(3, "f4")}
    return [save(named), save(own, metadata={"jaxbq": header})]


def h5() -> list[bytes]:
    import h5py

    def fill(buffer: io.BytesIO) -> None:
        with h5py.File(buffer, "w") as file:
            for number, name in enumerate(("dense", "dense_1")):
                file[f"layers/{name}/vars/0"] = np.ones((4 - number, 3 - number), "f4")
                file[f"layers/{name}/vars/1"] = np.ones(3 - number, "f4")

    def whole(buffer: io.BytesIO) -> None:
        import json

        dense = [
            {"class_name": "Dense", "config": {"name": name, "activation": "tanh"}} for name in "ab"
        ]
        config = {"class_name": "Sequential", "config": {"layers": dense}}
        with h5py.File(buffer, "w") as file:
            file.attrs["model_config"] = json.dumps(config)
            for number, name in enumerate("ab"):
                shape = (4 - number, 3 - number)
                file[f"model_weights/{name}/net/{name}/kernel"] = np.ones(shape, "f4")
                file[f"model_weights/{name}/net/{name}/bias"] = np.ones(3 - number, "f4")

    return [saved(fill), saved(whole)]


def keras() -> list[bytes]:
    import json
    import zipfile

    dense = {"class_name": "Dense", "config": {"name": "dense", "activation": "tanh"}}
    config = {"class_name": "Sequential", "config": {"layers": [dense, dense]}}

    def fill(buffer: io.BytesIO) -> None:
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("config.json", json.dumps(config))
            archive.writestr("model.weights.h5", h5()[0])

    return [saved(fill)]


def onnx() -> list[bytes]:
    import onnx as format

    helper, number = format.helper, format.TensorProto.FLOAT
    constants = [
        format.numpy_helper.from_array(np.ones((4, 3), "f4"), "w"),
        format.numpy_helper.from_array(np.ones(3, "f4"), "b"),
    ]
    ends = [helper.make_tensor_value_info(n, number, ["n", s]) for n, s in (("x", 4), ("y", 3))]
    gemm = helper.make_node("Gemm", ["x", "w", "b"], ["z"], alpha=0.5)
    matmul = helper.make_node("MatMul", ["x", "w"], ["p"])
    add = helper.make_node("Add", ["p", "b"], ["z"])
    last = helper.make_node("Sigmoid", ["z"], ["y"])
    graphs = [
        helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
        for nodes in ([gemm, last], [matmul, add, last])
    ]
    return [helper.make_model(graph).SerializeToString() for graph in graphs]


def toml() -> list[bytes]:
    texts = [
        'name = "a"\n[training]\nepochs = 3\n[[methods]]\nkind = "transpose"\n',
        'network = "file:net.npz"\n[[methods]]\npreset = "whitened"\n'
        'sweep = { "regularisers.0.weight" = [0.5, 1.0] }\n',
        '[variants.a.network]\nhidden = [3]\n[sweep]\nseed = [1, 2]\n[[methods]]\nkind = "ascent"\n'
        'objective = { kind = "sum", terms = [{ objective = "margin" }] }\n',
    ]
    return [text.encode() for text in texts]


def pictures() -> list[bytes]:
    from PIL import Image

    found = []
    for mode in ("L", "RGBA", "1", "P"):
        image = Image.fromarray(np.arange(48, dtype="u1").reshape(4, 12)).convert(mode)
        found.append(saved(image.save, format="PNG"))
    found.append(saved(Image.new("RGB", (5, 4), "red").save, format="JPEG"))
    return found


def read_pictures(path: Path) -> object:
    """A folder of two classes, the given image in both."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        for name in ("a", "b"):
            place = Path(folder) / name
            place.mkdir()
            for number in range(2):
                (place / f"{number}.png").write_bytes(path.read_bytes())
        return Images(path=folder).load()


CERTIFIED = (
    MLP((2, 2, 2)),
    (Layer(np.eye(2), np.zeros(2)), Layer(np.eye(2), np.zeros(2))),
)


def certificates() -> list[bytes]:
    """Certificates with the plainest of proofs."""
    weights = read_weights(*CERTIFIED)
    margin = Claim("margin", 0, -1, 0.0, 1.0, "", 0.25, np.zeros(0))
    claims = (
        margin,
        margin._replace(norm="l2", centre=np.full(2, 0.5)),
        margin._replace(objective="unit", layer=1),
        Claim("error", -1, -1, 0.0, 1.0, "mahalanobis", 0.25, np.full(2, 0.5))._replace(
            vector=np.ones(2), factor=np.eye(2)
        ),
    )
    found = []
    for claim in claims:
        units = 4 if claim.norm == "mahalanobis" else 1 if claim.layer else 2
        tree = Tree(
            np.array([0, -1, -1], np.int32),
            np.array([0.5, 0.0, 0.0]),
            np.zeros((2, units)),
            np.ones(2),
            np.ones((2, 1)) if claim.layer else np.eye(2)[[1, 1]],
            ends=np.zeros((4, 5) if units == 4 else (0, 0)),
        )
        made = Certificate(claim, weights.digest, tree, np.full(2, 0.5), 0.0, 1.0)
        with tempfile.TemporaryDirectory() as folder:
            made.save(Path(folder) / "c.npz")
            found.append((Path(folder) / "c.npz").read_bytes())
    return found


READERS = {
    "idx": Reader(".idx", read_idx, idx),
    "npz": Reader(".npz", open_network, npz),
    "arrays": Reader(".npz", lambda path: Arrays(path=str(path)).load(), arrays),
    "safetensors": Reader(".safetensors", open_network, safetensors),
    "h5": Reader(".h5", open_network, h5),
    "keras": Reader(".keras", open_network, keras),
    "onnx": Reader(".onnx", open_network, onnx),
    "json": Reader(".json", open_network, json_text),
    "mat": Reader(".mat", open_network, mat),
    "csv": Reader(".csv", lambda path: open_network(path, orientation="out_in"), csv),
    "table": Reader(".csv", lambda path: Arrays(path=str(path)).load(), table),
    "toml": Reader(".toml", load_configs, toml),
    "images": Reader(".png", read_pictures, pictures),
    "certificate": Reader(".npz", lambda path: verify(path, *CERTIFIED), certificates),
}


def tried(reader: Reader, content: bytes, folder: Path) -> str | None:
    """Read a content as a file; return what was said against it, None where it was read.

    Anything but a :class:`JaxbqError` with a one-line message passes through.
    """
    path = folder / f"input{reader.suffix}"
    path.write_bytes(content)
    try:
        reader.read(path)
    except JaxbqError as refusal:
        said = str(refusal)
    else:
        return None
    if not said.strip():
        raise AssertionError("a refusal without a message")
    return said


def mutated(seed: bytes, edits: list[tuple[int, int, int]]) -> bytes:
    """Change a content: each edit a kind, a place and a value."""
    content = bytearray(seed)
    for kind, place, value in edits:
        at = place % (len(content) + 1)
        if kind == 0 and content:
            content[at % len(content)] = value % 256
        elif kind == 1:
            content[at:at] = bytes([value % 256])
        elif kind == 2:
            del content[at : at + value % 16]
        elif kind == 3:
            content[at : at + 4] = struct.pack("<I", value % 2**32)
        else:
            del content[at:]
    return bytes(content)


def all_seeds() -> Iterator[tuple[str, bytes]]:
    """List (reader, valid content)."""
    for name, reader in READERS.items():
        for seed in reader.seeds():
            yield name, seed
