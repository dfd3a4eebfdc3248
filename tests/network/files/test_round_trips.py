"""Random networks of every kind, from their origin's file to jaxbq: no difference without a word.

A case draws a network, how it was given its images (ink, axes, channels, scale, offset) and its
classes. Its origin computes the outputs and writes the file. Imported with what a user would say,
it gives the same to 1e-5, or the import is refused or asks.
"""

import itertools
import json
import os
import warnings
from collections import Counter
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
import random_networks
from scipy import special
from scipy.io import savemat

from jaxbq.errors import JaxbqError
from jaxbq.network.files import AssumptionWarning, import_network
from jaxbq.network.inputs import Inputs

os.environ["KERAS_BACKEND"] = "jax"
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of Keras with JAX
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5:UserWarning"),
    pytest.mark.filterwarnings("ignore:You are using a softmax:UserWarning"),  # of one output
]

HIDDEN = {
    "sigmoid": special.expit,
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu(0.2)": lambda z: np.where(z > 0, z, 0.2 * z),
    "elu(0.5)": lambda z: np.where(z > 0, z, 0.5 * np.expm1(z)),
    "softplus": lambda z: np.logaddexp(0, z),
    "gelu": lambda z: z * special.ndtr(z),
    "silu": lambda z: z * special.expit(z),
    "identity": lambda z: z,
}
OUTPUTS = {name: HIDDEN[name] for name in ("sigmoid", "tanh", "identity")}
OUTPUTS["softmax"] = lambda z: special.softmax(z, axis=1)


class Case(NamedTuple):
    """What to import, what it must give, what is said of it, names of classes that it says."""

    source: Any
    outputs: np.ndarray
    said: dict[str, Any]
    names: tuple[str, ...] | None = None


def pick(rng, choices):
    return list(choices)[rng.integers(len(choices))]


def seen(rng):
    """Images as jaxbq keeps them, as the network was given them, and what tells how."""
    shape = pick(rng, [(3, 4), (4, 3), (2, 2, 3), (2, 3, 2), (1, 12)])
    low, high = pick(rng, [(0, 1), (-1, 1), (0.01, 1), (0, 255)])
    images = rng.uniform(low, high, (8, *shape)).astype("f4")
    own, said = images.astype(float), {}
    if rng.random() < 0.5:
        own, said["ink"] = low + high - own, "dark"
    if rng.random() < 0.5:
        own, said["axes"] = own.swapaxes(1, 2), "columns"
    if len(shape) == 3 and rng.random() < 0.5:
        own, said["channels"] = np.moveaxis(own, 3, 1), "first"
    own = own.reshape(8, 12)
    if high == 255 or rng.random() < 0.5:
        said["scale"] = rng.uniform(0.5, 2, pick(rng, (1, 12))) / high
        own = own * said["scale"]
    if rng.random() < 0.5:
        said["offset"] = rng.normal(size=pick(rng, (1, 12)))
        own = own + said["offset"]
    said |= {key: tuple(said[key].tolist()) for key in ("scale", "offset") if key in said}
    told = {"image_shape": shape, "pixel_range": (low, high), "inputs": Inputs(**said)}
    return images.reshape(8, 12), own.astype("f4"), told


def draw_sizes(rng):
    return 12, *(pick(rng, (3, 4, 5, 12)) for _ in range(rng.integers(3))), pick(rng, (1, 2, 4, 12))


def draw(rng):
    sizes = draw_sizes(rng)
    pairs = list(itertools.pairwise(sizes))
    weights = [rng.normal(0, n**-0.5, (n, m)).astype("f4") for n, m in pairs]
    biases = [rng.normal(size=m).astype("f4") for _, m in pairs]
    return random_networks.Drawn(sizes, weights, biases)


def reading(rng, outputs, output):
    """Logits read as anything; one sigmoid or tanh makes two classes."""
    if output == "identity":
        output = pick(rng, OUTPUTS)
        outputs = OUTPUTS[output](outputs.astype(float))
    if outputs.shape[1] == 1 and output in ("sigmoid", "tanh"):
        second = outputs if output == "sigmoid" else (1 + outputs) / 2
        outputs = np.concatenate([1 - second, second], axis=1)
    return outputs, output


def plain(rng, own, hidden=None, output=None, way=None):
    """A network as arrays: weights as they are kept, biases or None, its outputs, what is said."""
    drawn, biased = draw(rng), pick(rng, (0.0, 0.5, 1.0, 1.0))
    biases = [b if rng.random() < biased else None for b in drawn.biases]
    inner = len(biases) - 1
    mixed = [pick(rng, HIDDEN) for _ in range(inner)]
    hidden = hidden or pick(rng, (mixed, [pick(rng, HIDDEN)] * inner))
    hidden, output = (hidden * inner)[:inner], output or pick(rng, OUTPUTS)
    a = own.astype(float)
    for weight, bias, name in zip(drawn.weights, biases, [*hidden, "identity"], strict=True):
        a = HIDDEN[name](a @ weight + (0 if bias is None else bias))
    outputs, output = reading(rng, OUTPUTS[output](a), output)
    way = way or pick(rng, ("in_out", "out_in"))
    kept = [w.T if way == "out_in" else w for w in drawn.weights]
    said = {"hidden": hidden[0] if len(set(hidden)) == 1 else hidden, "output": output}
    if rng.random() < 0.1:
        del said[pick(rng, said)]
    if rng.random() < 0.5:
        said["orientation"] = way
    square = [n for n, w in enumerate(kept, 1) if w.shape[0] == w.shape[1]]
    if square and rng.random() < 0.4:
        said["turned"] = (pick(rng, square),)
        kept[said["turned"][0] - 1] = kept[said["turned"][0] - 1].T
    return kept, biases, outputs, said


def shaped(rng, biases):
    shape = pick(rng, ((-1,), (-1,), (1, -1), (-1, 1)))
    return [None if bias is None else bias.reshape(shape) for bias in biases]


def named(rng, kept, biases):
    """Arrays by names that tell their order, in any order."""
    weight, bias = pick(
        rng,
        [
            *(("W{}", "b{}"), ("layer{}_W", "layer{}_b"), ("fc{}.weight", "fc{}.bias")),
            *(("weights_{}", "biases_{}"), ("l{}.w", "l{}.b")),
        ],
    )
    names = [(weight.format(n), bias.format(n)) for n in range(9)][rng.integers(2) :]
    if len(kept) == 2 and rng.random() < 0.3:
        names = list(zip(("wih", "who"), pick(rng, (("bh", "bo"), ("bih", "bho"))), strict=True))
    held = [(names[n][0], w) for n, w in enumerate(kept)]
    held += [(names[n][1], b) for n, b in enumerate(shaped(rng, biases)) if b is not None]
    return {held[n][0]: held[n][1] for n in rng.permutation(len(held))}


def npz_named(rng, folder, own):
    kept, biases, outputs, said = plain(rng, own)
    np.savez(folder / "net.npz", **named(rng, kept, biases))
    return Case(folder / "net.npz", outputs, said)


def npz_positional(rng, folder, own):
    kept, biases, outputs, said = plain(rng, own)
    # A place tells whose biases are only where every layer has some, or all are flat.
    biases = biases if any(b is None for b in biases) else shaped(rng, biases)
    line = [a for pair in zip(kept, biases, strict=True) for a in pair]
    line = [a for a in pick(rng, (line, [*kept, *biases])) if a is not None]
    np.savez(folder / "net.npz", *line)
    return Case(pick(rng, (folder / "net.npz", line)), outputs, said)


def json_text(rng, folder, own):
    kind = pick(rng, ("named", "lists", "nielsen"))
    # Nielsen's own are of sigmoids, and multiply W by a column.
    own_way = (["sigmoid"], "sigmoid", "out_in") if kind == "nielsen" else ()
    kept, biases, outputs, said = plain(rng, own, *own_way)
    content = {name: array.tolist() for name, array in named(rng, kept, biases).items()}
    if kind != "named":
        shape = (-1, 1) if kind == "nielsen" else -1
        flat = [None if b is None else b.reshape(shape).tolist() for b in biases]
        content = {"weights": [w.tolist() for w in kept], "biases": flat}
        if rng.random() < 0.3:
            content["biases"] = [b for b in flat if b is not None]
    if kind == "nielsen":
        content |= {"sizes": [12, *(len(w) for w in kept)], "cost": "CrossEntropyCost"}
    (folder / "net.json").write_text(json.dumps(content))
    return Case(folder / "net.json", outputs, said)


def mat(rng, folder, own):
    kept, biases, outputs, said = plain(rng, own)
    content = named(rng, kept, biases).items()
    content = {name.replace(".", "_"): array for name, array in content}
    if rng.random() < 0.5 and "orientation" in said and "turned" not in said:
        turned = said.pop("orientation") == "in_out"
        rows = [w.T if turned else w for w in kept]
        first = [np.zeros(len(w)) if b is None else b for w, b in zip(rows, biases, strict=True)]
        thetas = map(np.column_stack, zip(first, rows, strict=True))
        content = {f"Theta{n}": theta for n, theta in enumerate(thetas, 1)}
    savemat(folder / "net.mat", content, do_compression=bool(rng.random() < 0.5))
    return Case(folder / "net.mat", outputs, said)


def tables(rng, folder, own):
    kept, biases, outputs, said = plain(rng, own)
    suffix, delimiter = pick(rng, (("csv", ","), ("csv", ";"), ("txt", " ")))
    for name, array in named(rng, kept, biases).items():
        np.savetxt(folder / f"{name}.{suffix}", array, delimiter=delimiter)
    return Case(pick(rng, (folder, pick(rng, sorted(folder.iterdir())))), outputs, said)


def pytorch(rng, folder, own):
    torch = pytest.importorskip("torch", reason="PyTorch is not here")
    import test_torch_file
    from safetensors.numpy import save_file

    torch.manual_seed(int(rng.integers(2**31)))
    kind = pick(rng, ("module", "pt", "ckpt", "safetensors"))
    usual = None if kind == "module" else 1e-5  # a state_dict does not hold epsilon
    module, hidden, output = test_torch_file.draw(rng, draw_sizes(rng), epsilon=usual)
    outputs, output = reading(rng, test_torch_file.answers(module, own), output)
    said = {"hidden": hidden, "output": output}
    state = {name: value.clone() for name, value in module.state_dict().items()}
    if kind == "module":
        return Case(module, outputs, {"output": output})
    if rng.random() < 0.3:
        state = called(module, state)
    path = folder / f"net.{kind}"
    if kind == "safetensors":
        save_file({name: value.numpy() for name, value in state.items()}, path)
    elif kind == "ckpt":
        state = {f"model.net.{name}": value for name, value in state.items()}
        lightning = {"epoch": 3, "hyper_parameters": {"lr": 0.1}, "optimizer_states": [{}]}
        torch.save(lightning | {"state_dict": state}, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=bool(rng.random() < 0.5))
    return Case(path, outputs, said)


def called(module, state):
    """Call modules fc1, bn1, fc2, … instead of by their place."""
    names, counts = {}, Counter()
    for place, part in enumerate(module):
        kind = {"Linear": "fc", "BatchNorm1d": "bn"}.get(type(part).__name__, "other")
        counts[kind] += 1
        names[str(place)] = f"{kind}{counts[kind]}"
    return {f"{names[n.split('.')[0]]}.{n.split('.', 1)[1]}": value for n, value in state.items()}


def keras_model(rng, folder, own):
    keras = pytest.importorskip("keras", reason="Keras is not here")
    import test_keras_file

    # Keras itself adds biases to batches by promotion.
    with jax.numpy_rank_promotion("allow"):
        kind = pick(rng, ("keras", "h5", "model", "weights.h5"))
        if kind == "weights.h5":
            sizes, hidden = draw_sizes(rng), pick(rng, ("tanh", "relu", "gelu"))
            output = pick(rng, ("softmax", "sigmoid", "tanh", "linear"))
            parts = [keras.layers.Dense(n, hidden) for n in sizes[1:-1]]
            parts += [keras.layers.Dense(sizes[-1], output, use_bias=bool(rng.random() < 0.7))]
            model = keras.Sequential([keras.layers.Input((12,)), *parts])
            test_keras_file.randomised(model, rng)
            outputs, said = model(own), {"hidden": hidden}
            model.save_weights(folder / "net.weights.h5")
        else:
            model, _ = test_keras_file.draw(keras, rng, draw_sizes(rng))
            outputs, said = model(own.reshape(-1, 3, 4, 1)), {}
            output = model.layers[-1].activation.__name__
            if kind != "model":
                model.save(folder / f"net.{kind}")
    output = "identity" if output == "linear" else output
    outputs, said["output"] = reading(rng, np.asarray(outputs), output)
    return Case(model if kind == "model" else folder / f"net.{kind}", outputs, said)


def onnx_graph(rng, folder, own):
    onnx = pytest.importorskip("onnx", reason="onnx is not here")
    import test_onnx_file

    drawn = draw(rng)
    graph, _ = test_onnx_file.draw(rng, drawn)
    kind = pick(rng, ("Softmax", "LogSoftmax", "Sigmoid", "Tanh", "Identity"))
    graph.add(kind, **({"axis": -1} if "Soft" in kind else {}))
    units, names = drawn.sizes[-1], None
    evaluator = test_onnx_file.ReferenceEvaluator(graph.model(units))
    (outputs,) = evaluator.run(None, {"x": own.reshape(-1, 1, 3, 4)})
    if kind == "LogSoftmax":
        outputs, kind = np.exp(outputs), "Softmax"
    outputs, output = reading(rng, outputs, kind.lower())
    if units > 1 and rng.random() < 0.3:
        numbers = rng.permutation(20)[:units]
        test_onnx_file.add_labels(graph, numbers)
        names = tuple(map(str, numbers))
    beside = {"save_as_external_data": True, "location": "net.onnx.data", "size_threshold": 0}
    onnx.save(graph.model(units), folder / "net.onnx", **(beside if rng.random() < 0.4 else {}))
    return Case(folder / "net.onnx", outputs, {"output": output}, names)


def scikit_learn(rng, folder, own):
    networks = pytest.importorskip("sklearn.neural_network", reason="scikit-learn is not here")
    skops = pytest.importorskip("skops.io", reason="skops is not here")
    import test_sklearn_file
    from sklearn.base import clone
    from sklearn.pipeline import make_pipeline

    images = own[rng.integers(0, 8, 60)] + rng.normal(size=(60, 12))
    words = rng.permutation(["no", "yes", "perhaps", "never"])[: rng.integers(2, 5)]
    labels, classifies = words[rng.integers(0, len(words), 60)], rng.random() < 0.8
    options = {
        "hidden_layer_sizes": draw_sizes(rng)[1:-1],
        "activation": pick(rng, ("relu", "tanh", "logistic", "identity")),
        "max_iter": 3,
        "random_state": int(rng.integers(100)),
    }
    steps = pick(rng, [[], *test_sklearn_file.STEPS.values()])
    network = (networks.MLPClassifier if classifies else networks.MLPRegressor)(**options)
    targets = labels if classifies else rng.normal(size=(60, 3))
    made = test_sklearn_file.fitted(clone(make_pipeline(*steps, network)), images, targets)
    skops.dump(made, folder / "net.skops")
    source = pick(rng, (made, folder / "net.skops"))
    if classifies:
        return Case(source, made.predict_proba(own), {}, tuple(sorted(set(labels.tolist()))))
    outputs, output = reading(rng, made.predict(own), "identity")
    return Case(source, outputs, {"output": output})


KINDS = [
    *(npz_named, npz_positional, json_text, mat, tables),
    *(pytorch, keras_model, onnx_graph, scikit_learn),
]


def outcome(kind, seed, folder):
    """Send one network there; fail where it comes back another and nobody was asked."""
    rng = np.random.default_rng([KINDS.index(kind), seed])
    images, own, told = seen(rng)
    case = kind(rng, folder, own)
    units = case.outputs.shape[1]
    names = case.names or tuple(map(str, range(units)))
    if not case.names and rng.random() < 0.5:
        names = told["class_names"] = tuple(rng.permutation([f"c{n}" for n in range(units)]))
    told |= case.said
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AssumptionWarning)
        try:
            network = import_network(case.source, **told)
        except JaxbqError as refusal:
            return f"refused: {refusal}"
    if any(issubclass(each.category, AssumptionWarning) for each in caught):
        return "asked"
    found = np.asarray(network.model.apply(network.params, images))
    size = max(1.0, np.abs(case.outputs).max())  # logits may be large, and float32 is relative
    np.testing.assert_allclose(found / size, case.outputs / size, atol=1e-5, rtol=0)
    assert network.class_names == names
    return "same"


@pytest.mark.parametrize("count", [4, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_difference_without_a_word(tmp_path, kind, count):
    outcomes = Counter()
    for seed in range(count):
        folder = tmp_path / str(seed)
        folder.mkdir()
        try:
            outcomes[outcome(kind, seed, folder).split(":")[0]] += 1
        except AssertionError as fault:
            raise AssertionError(f"{kind.__name__} {seed}: {fault}") from None
    # Most are taken over; else all this would say little.
    assert outcomes["same"] >= 0.5 * count, outcomes
