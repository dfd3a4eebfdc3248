"""PyTorch modules and state_dicts: as safetensors, or as ``.pt`` through PyTorch itself."""

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...data.labels import natural
from ...errors import JaxbqError
from ...runtime.archives import open_archive
from ..inputs import RawLayer
from .chains import Orientation, arrange_named, numbers, passed_over
from .folding import Chain
from .found import MOST_BYTES, Found
from .native import read_tensors

_WRAPPERS = (
    *("state_dict", "model_state_dict", "model_state", "model", "net", "network"),
    *("weights", "params"),
)
# What stands for weights that are computed of it, and what makes them plain.
_COMPUTED = {
    r"\.parametrizations\.": "parametrize.remove_parametrizations(module, 'weight')",
    r"weight_g$": "remove_weight_norm(module)",
    r"weight_mask$": "prune.remove(module, 'weight')",
    r"weight_u$": "remove_spectral_norm(module)",
}
_LEGACY = re.compile(rb"\x80[\x02\x03]\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19\.")
_USUAL_EPSILON = 1e-5
_AS_MODULES = (
    "give the modules in their order: "
    "jaxbq.import_network(nn.Sequential(model.fc1, nn.ReLU(), model.bn1, model.fc2))"
)
_NORM = ("running_mean", "running_var", "num_batches_tracked", "weight", "bias")


def read_safetensors(path: Path, orientation: Orientation | None, inputs: int | None) -> Found:
    """Read a state_dict that was saved as safetensors: ``N.weight`` (out, in), ``N.bias``.

    Raises:
        JaxbqError: the file is damaged, or holds no chain of fully connected layers.
    """
    if path.stat().st_size > MOST_BYTES:
        raise JaxbqError(f"{path}: larger than jaxbq reads")
    _, tensors = read_tensors(path)
    # safetensors sorts tensors; the order of the layers is lost.
    return from_state_dict(tensors, str(path), orientation, inputs, ordered=False)


def read_pt(path: Path, orientation: Orientation | None, inputs: int | None) -> Found:
    """Read a state_dict that ``torch.save`` wrote; nothing but tensors is unpickled.

    Raises:
        JaxbqError: PyTorch is not there, the file is damaged or holds more than tensors, or no
            chain of fully connected layers.
    """
    try:
        import torch
    except ImportError:
        raise JaxbqError(
            f"{path}: reading it needs PyTorch (pip install torch); or save the network as "
            'safetensors: safetensors.torch.save_file(model.state_dict(), "net.safetensors")'
        ) from None
    if not path.is_file():
        raise JaxbqError(f"{path}: no such file")
    if path.stat().st_size > MOST_BYTES:
        raise JaxbqError(f"{path}: larger than jaxbq reads")
    content = path.read_bytes()
    if content.startswith(b"PK\x03\x04"):
        # A check of sizes before PyTorch unpacks anything.
        with open_archive(path, MOST_BYTES) as archive:
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                raise JaxbqError(
                    f"{path}: a TorchScript archive, which holds code; save its weights alone: "
                    f'torch.save(torch.jit.load("{path.name}").state_dict(), "net.pt")'
                )
    elif not _LEGACY.match(content):
        raise JaxbqError(f"{path}: not a file of torch.save's; save model.state_dict() again")
    try:
        # From memory: of a file PyTorch would try other formats too.
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    # PyTorch's reader raises whatever its C++ part does.
    except Exception:
        wrapped = '["state_dict"]' if path.suffix == ".ckpt" else ".state_dict()"
        raise JaxbqError(
            f"{path}: holds more than tensors, which is never loaded, or is damaged; where you "
            "trust it, save its weights alone: "
            f'torch.save(torch.load("{path.name}", weights_only=False){wrapped}, "net.pt")'
        ) from None
    return from_state_dict(loaded, str(path), orientation, inputs)


def from_module(
    module: Any, where: str, orientation: Orientation | None, inputs: int | None
) -> Found:
    """Take a module: a Sequential with its activations, any other's weights alone."""
    import torch

    if isinstance(module, torch.nn.Linear) or _is_sequential(module):
        if orientation is not None:
            raise JaxbqError(f"{where}: the orientation of its weights is known; leave it out")
        chain = Chain(where)
        _walk(module, chain)
        return chain.found("PyTorch module")
    epsilons = {name: each.eps for name, each in module.named_modules() if hasattr(each, "eps")}
    return from_state_dict(module.state_dict(), where, orientation, inputs, epsilons=epsilons)


def _is_sequential(module: Any) -> bool:
    import torch

    usual = torch.nn.Sequential
    return isinstance(module, usual) and type(module).forward is usual.forward


def _walk(module: Any, chain: Chain) -> None:
    kind = type(module).__name__
    if _is_sequential(module):
        for inner in module:
            _walk(inner, chain)
    elif kind == "Linear":
        bias = None if module.bias is None else _array(module.bias, f"{chain.where}: bias")
        weight = numbers(_array(module.weight, f"{chain.where}: weight"), chain.where)
        chain.layer(weight.T, None if bias is None else numbers(bias, chain.where))
    elif kind in ("BatchNorm1d", "BatchNorm2d") and module.running_mean is not None:
        own = {
            name: None if value is None else _array(value, f"{chain.where}: {name}")
            for name in ("running_mean", "running_var", "weight", "bias")
            for value in [getattr(module, name)]
        }
        mean, variance = own["running_mean"], own["running_var"]
        assert mean is not None
        assert variance is not None
        if kind == "BatchNorm2d" and mean.size > 1:
            raise JaxbqError(f"{chain.where}: BatchNorm2d of several channels cannot be imported")
        chain.normalisation(mean, variance, module.eps, own["weight"], own["bias"], kind)
    elif kind == "Flatten" and not chain.layers and (module.start_dim, module.end_dim) == (1, -1):
        return
    elif kind not in ("Identity", "Dropout", "Dropout1d", "AlphaDropout"):
        chain.activation(_activation(module, kind, chain.where))


def _activation(module: Any, kind: str, where: str) -> str:
    """Name the activation that a module is."""
    if kind in ("ReLU", "Tanh", "Sigmoid", "SiLU"):
        return kind.lower()
    if kind == "LeakyReLU" or (kind == "PReLU" and module.weight.numel() == 1):
        slope = module.negative_slope if kind == "LeakyReLU" else float(module.weight.detach())
        return f"leaky_relu({slope!r})" if slope else "relu"
    if kind == "ELU":
        return f"elu({module.alpha!r})"
    if kind == "GELU":
        return "gelu_tanh" if module.approximate == "tanh" else "gelu"
    if kind == "Softplus" and module.beta == 1 and module.threshold >= 20:
        return "softplus"
    if kind in ("Softmax", "LogSoftmax") and module.dim in (None, 1, -1):
        return kind.lower()
    raise JaxbqError(
        f"{where}: module {module} cannot be imported here; a network with it can be used as it "
        "is, see docs/own-models.md"
    )


def from_state_dict(
    content: Any,
    where: str,
    orientation: Orientation | None = None,
    inputs: int | None = None,
    *,
    ordered: bool = True,
    epsilons: Mapping[str, float] | None = None,
) -> Found:
    """Take the tensors of a state_dict; weights have shape (out, in) unless said otherwise.

    Args:
        content: the state_dict, also within a checkpoint.
        where: whose it is, for messages.
        orientation: as in :func:`~jaxbq.network.files.chains.arrange`.
        inputs: likewise.
        ordered: likewise.
        epsilons: of BatchNorm modules by name, where known; by default PyTorch's.
    """
    for _ in _WRAPPERS:
        inner = [content[name] for name in _WRAPPERS if name in content] if _maps(content) else []
        content = next(filter(_maps, inner), content)
    if not _maps(content):
        raise JaxbqError(f"{where}: holds {type(content).__name__}, not a state_dict of tensors")
    arrays = {str(name): _array(value, f"{where}: {name}") for name, value in content.items()}
    for pattern, call in _COMPUTED.items():
        if computed := [name for name in arrays if re.search(pattern, name)]:
            raise JaxbqError(
                f"{where}: {computed[0]!r} is a factor of weights, which are not there themselves; "
                f"for every such module call torch.nn.utils.{call}, and save again"
            )
    norms = _norms(arrays)
    rest = {name: array for name, array in arrays.items() if _parent(name) not in norms}
    kept, notes = passed_over(rest, unknown=False)
    named = arrange_named(
        kept, where, orientation=orientation or "out_in", inputs=inputs, ordered=ordered
    )
    layers = [layer for _, layer in named]
    if norms:
        order = dict.fromkeys(map(_parent, arrays)) if ordered else {}
        names = [_parent(name) for name, _ in named]
        layers, folded = _with_norms(names, layers, norms, list(order), epsilons or {}, where)
        notes = (*folded, *notes)
    return Found("PyTorch state_dict", layers, notes=notes)


def _with_norms(
    names: list[str],
    layers: list[RawLayer],
    norms: dict[str, dict[str, np.ndarray]],
    order: list[str],
    epsilons: Mapping[str, float],
    where: str,
) -> tuple[list[RawLayer], list[str]]:
    """Fold BatchNorm modules into the layers beside them."""
    chain = Chain(where)
    places = {name: _place(name, norms[name], names, layers, order, where) for name in norms}
    assumed = [place for place in places.values() if place[1] == "assumed"]
    if len(set(assumed)) < len(assumed):
        raise JaxbqError(f"{where}: two BatchNorms follow one layer; {_AS_MODULES}")
    sorts = ("told", "assumed", "after")
    for number in range(len(layers) + 1):
        if number:
            chain.layer(*layers[number - 1])
        here = [(sorts.index(when), name) for name, (k, when) in places.items() if k == number]
        for sort, name in sorted(here, key=lambda each: (each[0], natural(each[1]))):
            if sorts[sort] == "after":
                chain.close()
            own = norms[name]
            epsilon = epsilons.get(name, _USUAL_EPSILON)
            said = "" if name in epsilons else f" (epsilon {epsilon:g}, PyTorch's default)"
            chain.normalisation(
                own["running_mean"],
                own["running_var"],
                epsilon,
                own.get("weight"),
                own.get("bias"),
                f"BatchNorm {name!r}{said}",
            )
            if sorts[sort] == "assumed":
                chain.notes.append(
                    f"assumed that BatchNorm {name!r} comes before the activation; if not, "
                    f"{_AS_MODULES}"
                )
    return chain.finished(), chain.notes


def _place(
    name: str,
    own: Mapping[str, np.ndarray],
    names: list[str],
    layers: list[RawLayer],
    order: list[str],
    where: str,
) -> tuple[int, str]:
    """Tell after which layer BatchNorm comes, 0 for the inputs, and how that is known.

    ``told`` is right after the layer, ``after`` after its activation; ``assumed`` before it.
    """
    if "running_mean" not in own:
        raise JaxbqError(f"{where}: BatchNorm {name!r} lacks its running mean")
    refusal = JaxbqError(
        f"{where}: does not say where BatchNorm {name!r} comes, before or after which activation; "
        f"{_AS_MODULES}"
    )
    size = own["running_mean"].size
    units = [layers[0].weight.shape[0], *(layer.weight.shape[1] for layer in layers)]
    fitting = [number for number, n in enumerate(units) if n == size]
    # Numbers within one Sequential count the activations too, which have no arrays.
    parent, _, last = name.rpartition(".")
    beside = {
        int(each.rpartition(".")[2]): number
        for number, each in enumerate(names, 1)
        if each.rpartition(".")[0] == parent and each.rpartition(".")[2].isdecimal()
    }
    if last.isdecimal() and beside:
        index = int(last)
        left, right = [n for n in beside if n < index], [n for n in beside if n > index]
        number = beside[max(left)] if left else beside[min(right)] - 1
        if number not in fitting or (number and not left):
            raise refusal
        others = sum(
            max(left, default=-1) < int(n.rpartition(".")[2]) < index
            for n in order
            if n != name and n.rpartition(".")[2].isdecimal() and n.rpartition(".")[0] == parent
        )
        touches = bool(left) and max(left) + 1 + others == index
        if number == 0 or (touches and (not right or min(right) > index + 1)):
            return number, "told"
        if not touches:
            if right and min(right) == index + 1:
                return number, "after"
            raise refusal
    elif len(fitting) == 1:
        number = fitting[0]
    else:
        said = {n for n, each in enumerate(names, 1) if _digits(each) == _digits(name) != []}
        if order:
            said.add(sum(order.index(each) < order.index(name) for each in names))
        if len(said & set(fitting)) != 1:
            raise refusal
        number = (said & set(fitting)).pop()
    mean = own["running_mean"]
    if number and mean.size > 3 and mean.min() >= 0 and mean.max() > 0:
        raise refusal  # as after a ReLU or a sigmoid
    return number, "assumed" if number else "told"


def _digits(name: str) -> list[str]:
    return re.findall(r"\d+", name)


def _maps(content: Any) -> bool:
    return isinstance(content, Mapping)


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _norms(arrays: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Take what belongs to BatchNorm modules, by the names of these."""
    found = {_parent(name) for name in arrays if name.rsplit(".", 1)[-1] == "running_var"}
    return {
        parent: {
            key: arrays[f"{parent}.{key}" if parent else key]
            for key in _NORM
            if (f"{parent}.{key}" if parent else key) in arrays
        }
        for parent in found
    }


def _array(value: Any, where: str) -> np.ndarray:
    if hasattr(value, "detach"):
        plain = str(value.layout) == "torch.strided" and not value.is_meta
        if not plain or value.is_quantized or value.is_complex():
            raise JaxbqError(f"{where} is no plain tensor of real numbers")
        # A tensor can be an expanded view of one number.
        if value.numel() * 8 > MOST_BYTES:
            raise JaxbqError(f"{where} of shape {tuple(value.shape)} is larger than jaxbq reads")
        value = value.detach().cpu()
        if not value.dtype.is_floating_point:
            return np.asarray(value)
        # NumPy has no bfloat16.
        return np.asarray(value.double() if value.dtype.itemsize > 4 else value.float())
    if isinstance(value, np.ndarray):
        return value
    raise JaxbqError(f"{where} is {type(value).__name__}, not a tensor; save model.state_dict()")
