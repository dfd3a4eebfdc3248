"""PyTorch state_dicts: as safetensors, or as ``.pt`` through PyTorch itself."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import JaxbqError
from ...runtime.archives import open_archive
from .chains import Orientation, arrange
from .found import MOST_BYTES, Found
from .native import read_tensors

_WRAPPERS = ("state_dict", "model_state_dict", "model")


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
    if not zipfile.is_zipfile(path):
        raise JaxbqError(f"{path}: not a file of torch.save's; save model.state_dict() again")
    # A check of sizes before PyTorch unpacks anything.
    with open_archive(path, MOST_BYTES):
        pass
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    # PyTorch's reader raises whatever its C++ part does.
    except Exception:
        raise JaxbqError(
            f"{path}: holds more than tensors, which is never loaded, or is damaged; "
            "save model.state_dict() alone"
        ) from None
    return from_state_dict(content, str(path), orientation, inputs)


def from_state_dict(
    content: Any,
    where: str,
    orientation: Orientation | None = None,
    inputs: int | None = None,
    *,
    ordered: bool = True,
) -> Found:
    """Take the tensors of a state_dict; weights have shape (out, in) unless said otherwise."""
    for name in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping):
        raise JaxbqError(f"{where}: holds {type(content).__name__}, not a state_dict of tensors")
    arrays = {str(name): _array(value, f"{where}: {name}") for name, value in content.items()}
    layers = arrange(
        arrays, where, orientation=orientation or "out_in", inputs=inputs, ordered=ordered
    )
    return Found("PyTorch state_dict", layers)


def _array(value: Any, where: str) -> np.ndarray:
    if hasattr(value, "detach"):
        if str(value.layout) != "torch.strided" or value.is_quantized or value.is_complex():
            raise JaxbqError(f"{where} is no plain tensor of real numbers")
        # A tensor can be an expanded view of one number.
        if value.numel() * 8 > MOST_BYTES:
            raise JaxbqError(f"{where} of shape {tuple(value.shape)} is larger than jaxbq reads")
        value = value.detach().cpu()
        if not value.dtype.is_floating_point:
            value = value.double()
        # NumPy has no bfloat16.
        return np.asarray(value.double() if value.dtype.itemsize > 4 else value.float())
    if isinstance(value, np.ndarray):
        return value
    raise JaxbqError(f"{where} is {type(value).__name__}, not a tensor; save model.state_dict()")
