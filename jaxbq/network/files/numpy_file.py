"""Networks as plain arrays: ``.npz``, ``.npy``, ``.csv``, ``.txt``, ``.json``."""

import itertools
import json
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...data.labels import listed, natural, shown
from ...errors import JaxbqError
from ...runtime.archives import read_npy, read_npz
from ..inputs import RawLayer
from .chains import Orientation, arrange, numbers, open_lines, part_name, passed_over
from .found import MOST_BYTES, Found, activation_name

_MOST_TEXT = 2**26  # of numbers as text; in memory they take some ten times as much
_TABLES = (".npy", ".csv", ".txt")


def read_numpy(path: Path, orientation: Orientation | None, inputs: int | None) -> Found:
    """Read weights by name: the book's ``wih`` and ``who``, or ``W0, b0, W1, b1`` and the like.

    Of a folder all tables are read; of one table, those beside it that are layers by their names.

    Raises:
        JaxbqError: the file is damaged, too large, or holds no chain of layers.
    """
    if path.suffix.lower() == ".npz" and not path.is_dir():
        arrays = read_npz(path, MOST_BYTES)
        return from_arrays("NumPy arrays", arrays, str(path), orientation, inputs)
    notes = []
    if path.is_dir():
        found = [sorted(path.glob(f"*{suffix}")) for suffix in _TABLES]
        files = next(filter(None, found), [])
        if not files:
            raise JaxbqError(
                f"{path}: a folder without .npy, .csv or .txt files; name a network file"
            )
    else:
        files = [path]
        if part_name(path.stem):
            files += [
                file
                for file in sorted(path.parent.glob(f"*{path.suffix}"))
                if file != path and file.is_file() and part_name(file.stem)
            ]
        notes = [f"read with it: {listed([file.name for file in files[1:]])}"] * (len(files) > 1)
    tables: dict[str, np.ndarray] = {}
    for file in files:
        left = MOST_BYTES - sum(array.nbytes for array in tables.values())
        tables[file.stem] = _read_table(file, left)
    what = "NumPy arrays" if files[0].suffix == ".npy" else "tables of numbers"
    read = from_arrays(what, tables, str(path), orientation, inputs, ordered=False)
    return read._replace(notes=(*notes, *read.notes))


def _read_table(path: Path, most: int) -> np.ndarray:
    """Read a table of numbers: of NumPy's own kind, or text with commas, semicolons or blanks."""
    if path.suffix.lower() == ".npy":
        return read_npy(path, most)
    if path.stat().st_size > min(_MOST_TEXT, most):
        raise JaxbqError(f"{path}: larger than jaxbq reads as text; save it with np.save")
    try:
        with path.open(encoding="utf-8-sig") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a file without numbers
            first = file.readline()
            file.seek(0)
            delimiter = next((mark for mark in ",;" if mark in first), None)
            return np.loadtxt(file, delimiter=delimiter, ndmin=2)
    except (ValueError, OSError) as fault:
        reason = shown(str(fault).splitlines()[0][:200])
        raise JaxbqError(f"{path}: not a table of numbers ({reason})") from None


def read_json(path: Path, orientation: Orientation | None, inputs: int | None) -> Found:
    """Read JSON: Nielsen's ``{"sizes": …, "weights": …, "biases": …}``, or arrays by name.

    Raises:
        JaxbqError: it is damaged, too large, or holds no chain of layers.
    """
    if path.stat().st_size > _MOST_TEXT:
        raise JaxbqError(f"{path}: larger than jaxbq reads as text; save its arrays with np.savez")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, OSError, RecursionError) as fault:
        raise JaxbqError(f"{path}: JSON that cannot be read ({str(fault)[:200]})") from None
    try:
        named = dict(flat(content if isinstance(content, dict) else {"layer": content}))
    except RecursionError:
        raise JaxbqError(f"{path}: JSON that is nested too deep") from None
    return from_arrays("JSON", named, str(path), orientation, inputs)


def flat(source: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Name what is in mappings, and in lists of these, by the path to it: ``layers.0.weights``."""
    for name, value in source.items() if hasattr(source, "items") else enumerate(source):
        inner = f"{path}{name}"
        of_maps = isinstance(value, list) and {*map(type, value)} == {dict}
        if isinstance(value, Mapping) or hasattr(value, "flat_state") or of_maps:
            yield from flat(value, f"{inner}.")
        else:
            # A Flax variable wraps its array.
            yield inner, value[...] if hasattr(value, "get_metadata") else value


def from_arrays(
    what: str,
    named: Mapping[str, Any],
    where: str,
    orientation: Orientation | None = None,
    inputs: int | None = None,
    *,
    ordered: bool = True,
) -> Found:
    """Take layers from arrays, or lists of numbers, by name; or lists with one entry a layer.

    Args:
        what: the format, for messages.
        named: the arrays.
        where: whose they are, for messages.
        orientation: as in :func:`~jaxbq.network.files.chains.arrange`.
        inputs: likewise.
        ordered: likewise.
    """
    said = {name: named[name] for name in named if _ACTIVATION.search(str(name).lower())}
    said = {name: as_array(value, f"{where}: {name}") for name, value in said.items()}
    if said := {name: value for name, value in said.items() if value.dtype.kind == "U"}:
        named = {name: value for name, value in named.items() if name not in said}
        found = from_arrays(what, named, where, orientation, inputs, ordered=ordered)
        return _with_activations(found, said, where)
    weights = next((named[name] for name in _LISTS if _is_list(named.get(name))), None)
    if weights is not None:
        return _from_lists(what, named, weights, where, orientation, inputs)
    arrays = {str(name): as_array(value, f"{where}: {name}") for name, value in named.items()}
    kept, notes = passed_over(arrays)
    if thetas := _thetas(kept, where, inputs):
        told = (
            f"the first column of {', '.join(kept)} taken for biases",
            "Ng's course has images column after column, and the digit 0 last: for its networks "
            "give --axes columns --class-names 1,2,3,4,5,6,7,8,9,0",
        )
        return Found(what, thetas, notes=(*told, *notes))
    layers = arrange(kept, where, orientation=orientation, inputs=inputs, ordered=ordered)
    if lines := open_lines(kept, orientation, inputs):
        open_ones = f"assumed which of {listed(lines)} are biases (names like W0, b0 would tell)"
        notes = (open_ones, *notes)
    return Found(what, layers, notes=notes)


_ACTIVATION = re.compile(r"activation|(^|[._])act([._]|$)|non_?linearity")


def _with_activations(found: Found, said: Mapping[str, np.ndarray], where: str) -> Found:
    """Add the activations that texts name: of hidden layers and outputs, or one a layer."""

    def names(which: Iterable[str]) -> tuple[str, ...]:
        texts = (text for name in sorted(which, key=natural) for text in said[name].reshape(-1))
        return tuple(activation_name(str(text), where) for text in texts)

    last = {name for name in said if re.search(r"out|final|last", name.lower())}
    hidden, output = names(set(said) - last), names(last)
    layers = len(found.layers)
    if not output and layers > 1 and len(hidden) == layers:
        hidden, output = hidden[:-1], hidden[-1:]
    if len(hidden) == 1:
        hidden *= layers - 1
    if len(output) > 1 or len(hidden) not in (0, layers - 1):
        raise JaxbqError(
            f"{where}: names {len(hidden + output)} activations ({listed(sorted(said))}) for "
            f"{layers} layers; name one for each, or leave them out and say --hidden and --output"
        )
    return found._replace(hidden=hidden or found.hidden, output=(*output, found.output)[0])


_LISTS = ("weights", "W", "coefs")


def _is_list(value: Any) -> bool:
    """Tell whether it has one matrix a layer."""
    if isinstance(value, np.ndarray):
        return value.ndim == 3
    return (
        isinstance(value, Sequence)
        and len(value) > 0
        and isinstance(value[0], Sequence | np.ndarray)
        and len(value[0]) > 0
        and not np.isscalar(value[0][0])
    )


def _from_lists(
    what: str,
    named: Mapping[str, Any],
    weights: Sequence[Any],
    where: str,
    orientation: Orientation | None,
    inputs: int | None,
) -> Found:
    """Take lists of weights and biases, as of M. Nielsen's ``network2.py``."""
    called = next((name for name in ("biases", "b", "bias", "intercepts") if name in named), "")
    biases = () if named.get(called) is None else named[called]
    if not isinstance(biases, Sequence | np.ndarray) or len(biases) not in (0, len(weights)):
        raise JaxbqError(
            f"{where}: its biases are not one for each of {len(weights)} layers; null stands for "
            "none"
        )
    arrays = {f"W{n}": as_array(each, f"{where}: weights") for n, each in enumerate(weights)}
    arrays |= {
        f"b{n}": as_array(each, f"{where}: biases")
        for n, each in enumerate(biases)
        if each is not None
    }
    rest = {
        name: as_array(value, f"{where}: {name}")
        for name, value in named.items()
        if value is not weights and name not in (called, "sizes", "cost")
    }
    kept, notes = passed_over(rest | arrays)
    if odd := [name for name in rest if name in kept]:
        raise JaxbqError(
            f"{where}: {odd[0]!r} is neither weights nor biases, but beside lists of these; if no "
            "step of the network, save them apart from it"
        )
    columns = [b.ndim == 2 and b.shape[1] == 1 for name, b in arrays.items() if name[0] == "b"]
    is_nielsens = "sizes" in named and bool(columns) and all(columns)
    if orientation is None and is_nielsens:
        orientation = "out_in"
    layers = arrange(arrays, where, orientation=orientation, inputs=inputs)
    if not is_nielsens or not str(named.get("cost")).endswith("Cost"):
        return Found(what, layers, notes=notes)
    hidden = ("sigmoid",) * (len(layers) - 1)
    return Found(f"Nielsen's network in {what}", layers, hidden, "sigmoid", notes=notes)


def as_array(value: Any, where: str) -> np.ndarray:
    """Make an array of what may be a list.

    Raises:
        JaxbqError: its rows have different lengths, or it holds other things than numbers.
    """
    try:
        return np.asarray(value)
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise JaxbqError(
            f"{where} is no array: its rows differ in length; give one array for each layer, "
            "W0=…, b0=…, W1=…, b1=…"
        ) from None


def _thetas(
    arrays: Mapping[str, np.ndarray], where: str, inputs: int | None
) -> list[RawLayer] | None:
    """Split off the biases from matrices called Theta, of shape (out, 1 + in), as Ng's."""
    names = sorted(arrays, key=str.lower)
    # Of a single one only the number of inputs tells that there is a column more.
    if len(names) < (2 if inputs is None else 1) or any(
        not re.fullmatch(r"theta_?\d+", name.lower()) or arrays[name].ndim != 2 for name in names
    ):
        return None
    found = [numbers(arrays[name], f"{where}: array {name!r}") for name in names]
    for matrices in (found, [array.T for array in found]):
        if inputs in (None, matrices[0].shape[1] - 1) and all(
            one.shape[0] + 1 == two.shape[1] for one, two in itertools.pairwise(matrices)
        ):
            return [RawLayer(matrix[:, 1:].T, matrix[:, 0]) for matrix in matrices]
    return None
