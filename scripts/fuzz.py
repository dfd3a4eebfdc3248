"""Coverage-guided fuzzing of every reader of untrusted files, by Atheris.

    python scripts/fuzz.py              # every reader, 2,000 inputs each
    python scripts/fuzz.py idx onnx --runs 100000

An input fails when anything but a JaxbqError comes of it, when it takes more than 5 seconds, or
when the process passes 1 GB (with PyTorch 2). It is then kept in the folder that --keep names, and
the exit code is 1. Needs the extra `fuzz`; PyTorch's files are left out where it is not there.
"""

import argparse
import functools
import importlib.util
import io
import itertools
import json
import os
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT_S, MEMORY_MB = 5, 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("readers", nargs="*", help="by default all")
    parser.add_argument("--runs", type=int, default=2000, help="inputs each (default: 2000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", default="fuzz-failures", help="folder for inputs that fail")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        fuzz(chosen.readers[0], chosen.runs, chosen.seed, Path(chosen.keep))
    known = readers()
    names = chosen.readers or list(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"no reader {unknown[0]!r}; known: {', '.join(known)}")

    def start(name: str) -> subprocess.CompletedProcess[str]:
        # A process each: a crash of a C library ends only its own.
        command = [sys.executable, __file__, name, "--one", "--runs", str(chosen.runs)]
        command += ["--seed", str(chosen.seed), "--keep", chosen.keep]
        return subprocess.run(command, check=False, capture_output=True, text=True)

    failed = []
    workers = ThreadPoolExecutor(os.cpu_count())
    for name, done in zip(names, workers.map(start, names), strict=True):
        lines = done.stderr.splitlines()
        told = dict(line.removeprefix("stat::").split(":") for line in lines if "stat::" in line)
        print(
            f"{name}: {'FAILED' if done.returncode else 'passed'}, "
            f"{told.get('number_of_executed_units', '?').strip()} inputs, slowest "
            f"{told.get('slowest_unit_time_sec', '?').strip()} s, most memory "
            f"{told.get('peak_rss_mb', '?').strip()} MB",
            flush=True,
        )
        if done.returncode:
            failed.append(name)
            # What is left without the fuzzer's account of its progress is the fault.
            print(f"exit code {done.returncode}")
            told = [line for line in (done.stdout.splitlines() + lines) if line[:1] not in "#s"]
            print("\n".join(told[-40:]))
    return 1 if failed else 0


def fuzz(name: str, runs: int, seed: int, keep: Path) -> None:
    """Fuzz one reader in this process; does not return."""
    import atheris

    watched = ["jaxbq", "zipfile", "numpy.lib", "PIL", "tomllib", "skops", "pyfive"]
    with atheris.instrument_imports(include=watched):
        reader = readers()[name]
        import hostile

    warnings.simplefilter("ignore")
    keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="jaxbq-fuzz-") as place:
        corpus, work = Path(place) / "corpus", Path(place) / "work"
        corpus.mkdir()
        work.mkdir()
        seeds = reader.seeds()
        for number, content in enumerate(seeds):
            (corpus / str(number)).write_bytes(content)
            # What a reader imports when it is first used is no part of an input's time.
            hostile.tried(reader, content, work)
        arguments = [
            "fuzz",
            str(corpus),
            f"-runs={runs}",
            f"-seed={seed}",
            f"-timeout={TIMEOUT_S}",
            f"-rss_limit_mb={MEMORY_MB * (2 if name.startswith('torch') else 1)}",
            f"-artifact_prefix={keep}/{name}-",
            f"-max_len={max(8192, *map(len, seeds))}",
            "-print_final_stats=1",
        ]
        atheris.Setup(arguments, lambda content: hostile.tried(reader, content, work))
        atheris.Fuzz()


def readers() -> dict[str, Any]:
    """List the tests' readers; those that load too much for tests; and members of archives.

    A byte changed in an archive fails its checksum, so these are changed apart and packed then.
    """
    sys.path.insert(0, str(ROOT / "tests"))
    import hostile
    from hostile import Reader, open_network

    found = hostile.READERS | {
        "npz-member": member(".npz", "arr_0.npy", lambda: hostile.saved(np_places, 2)),
        "npz-places": Reader(".npz", open_network, lambda: [hostile.saved(np_places)]),
        "keras-config": member(".keras", "config.json", keras_model),
        "onnx-external": Reader(".onnx", read_external, external),
        "skops": Reader(".skops", open_network, lambda: [skops_file()]),
        "skops-schema": member(".skops", "schema.json", skops_file),
    }
    if importlib.util.find_spec("torch"):
        found |= {
            "torch": Reader(".pt", open_network, lambda: [torch_file(True)]),
            "torch-legacy": Reader(".ckpt", open_network, lambda: [torch_file(False)]),
            "torch-pickle": member(".pt", "archive/data.pkl", lambda: torch_file(True)),
        }
    return found


def member(suffix: str, name: str, archive: Callable[[], bytes]) -> Any:
    """Read an archive, in which one member is what is given."""
    import hostile

    @functools.cache
    def held() -> dict[str, bytes]:
        with zipfile.ZipFile(io.BytesIO(archive())) as packed:
            return {each: packed.read(each) for each in packed.namelist()}

    def read(path: Path) -> object:
        whole = path.with_name(f"packed{suffix}")
        with zipfile.ZipFile(whole, "w") as packed:
            for each, content in (held() | {name: path.read_bytes()}).items():
                packed.writestr(each, content)
        return hostile.open_network(whole)

    return hostile.Reader(".member", read, lambda: [held()[name]])


def np_places(buffer: Any, layers: int = 3) -> None:
    import numpy as np

    pairs = itertools.pairwise((4, 3, 2, 1)[: layers + 1])
    np.savez(buffer, *(np.ones(shape) for n, m in pairs for shape in ((n, m), (1, m))))


def keras_model() -> bytes:
    """Make a model with all that folds into its layers."""
    import h5py
    import hostile
    import numpy as np

    kinds: list[tuple[str, dict[str, Any]]] = [
        ("InputLayer", {"batch_shape": [None, 2, 2]}),
        ("Rescaling", {"scale": 0.5, "offset": [0.1, 0.2]}),
        ("Permute", {"dims": [2, 1]}),
        ("Normalization", {"axis": [-1], "mean": [1, 2], "variance": 3, "invert": False}),
        ("Flatten", {}),
        ("Dense", {"activation": "linear", "use_bias": True}),
        ("BatchNormalization", {"axis": -1, "epsilon": 0.1, "scale": True, "center": False}),
        ("LeakyReLU", {"negative_slope": 0.2}),
        ("Dense", {"activation": {"class_name": "ELU", "config": {"alpha": 0.5}}}),
    ]
    layers = [
        {
            "class_name": kind,
            "config": {"name": f"l{n}"} | options,
            "inbound_nodes": [[[f"l{n - 1}", 0, 0, {}]]] if n else [],
        }
        for n, (kind, options) in enumerate(kinds)
    ]
    shapes: dict[str, list[tuple[int, ...]]] = {
        "dense": [(4, 3), (3,)],
        "dense_1": [(3, 2)],
        "batch_normalization": [(3,), (3,), (3,)],
    }

    def fill(buffer: Any) -> None:
        with h5py.File(buffer, "w") as file:
            for name, each in shapes.items():
                for number, shape in enumerate(each):
                    file[f"layers/{name}/vars/{number}"] = np.ones(shape, "f4")

    def pack(buffer: Any) -> None:
        config = {"class_name": "Functional", "config": {"layers": layers}}
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("config.json", json.dumps(config))
            archive.writestr("model.weights.h5", hostile.saved(fill))

    return hostile.saved(pack)


def external() -> list[bytes]:
    """Graphs whose weights are in another file."""
    import hostile
    import onnx

    graphs = [onnx.ModelProto.FromString(content) for content in hostile.onnx()]
    for graph in graphs:
        for number, tensor in enumerate(graph.graph.initializer):
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            length = 12 if number else 48
            for key, value in (("location", "data"), ("offset", 48 * number), ("length", length)):
                tensor.external_data.add(key=key, value=str(value))
    return [graph.SerializeToString() for graph in graphs]


def read_external(path: Path) -> object:
    import hostile

    path.with_name("data").write_bytes(bytes(64))
    return hostile.open_network(path)


def skops_file() -> bytes:
    import numpy as np
    from sklearn.decomposition import PCA
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from skops.io import dumps

    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it need not converge
        network = MLPClassifier((3,), max_iter=1, random_state=0)
        pipeline = make_pipeline(StandardScaler(), PCA(3, whiten=True), network)
        return dumps(pipeline.fit(rng.random((20, 4)), np.arange(20) % 3))


def torch_file(packed: bool) -> bytes:
    import hostile
    import torch

    norm = {"running_mean": 3, "running_var": 3, "weight": 3, "bias": 3}
    state = {"0.weight": torch.ones(3, 4), "0.bias": torch.ones(3)}
    state |= {f"1.{name}": torch.ones(size) for name, size in norm.items()}
    state |= {"3.weight": torch.ones(2, 3, dtype=torch.float64), "3.bias": torch.ones(2)}

    def save(buffer: Any) -> None:
        content = {"epoch": 3, "state_dict": state}
        torch.save(content, buffer, _use_new_zipfile_serialization=packed)

    return hostile.saved(save)


if __name__ == "__main__":
    sys.exit(main())
