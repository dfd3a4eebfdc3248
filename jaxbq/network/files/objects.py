"""Networks that are objects in Python: of scikit-learn, PyTorch, Keras, Flax, Equinox, NumPy."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ...data.labels import natural
from ...errors import JaxbqError
from ..inputs import RawLayer
from .chains import Orientation, arrange, check_chain, numbers, passed_over
from .found import Found, activation_name
from .keras_file import from_keras
from .numpy_file import as_array, flat, from_arrays
from .sklearn_file import from_sklearn
from .torch_file import from_module, from_state_dict


def from_object(source: Any, orientation: Orientation | None, inputs: int | None) -> Found:
    """Take the layers of a network that some library made.

    Args:
        source: a fitted MLPClassifier; a PyTorch module or state_dict; a Keras model; an Equinox
            MLP; a Flax NNX module or Flax parameters; arrays by name; or a list of weights, or of
            (weights, bias).
        orientation: for arrays alone, as in :func:`~jaxbq.network.files.chains.arrange`.
        inputs: how many inputs there are, if known.

    Raises:
        JaxbqError: it is none of these, or its layers make no chain.
    """
    where = type(source).__name__
    if hasattr(source, "get_params") and hasattr(source, "fit"):
        return from_sklearn(source, where)
    if hasattr(source, "state_dict"):
        return from_module(source, where, orientation, inputs)
    if hasattr(source, "layers") and hasattr(source, "get_config"):
        return from_keras(source, where)
    if hasattr(source, "layers") and hasattr(source, "final_activation"):
        return _from_equinox(source, where)
    if any(base.__module__.startswith("flax.nnx") for base in type(source).__mro__[:-1]):
        source = _state_of(source)
    if isinstance(source, Mapping) or hasattr(source, "flat_state"):
        return _from_mapping(source, where, orientation, inputs)
    if isinstance(source, Sequence) and source and not isinstance(source, str):
        return from_arrays("arrays", dict(_named(source)), where, orientation, inputs)
    raise JaxbqError(f"{where} is no network that jaxbq knows; give its arrays by name")


def _state_of(source: Any) -> Any:
    """Take the parameters of a Flax NNX module, or what is a state already."""
    from flax import nnx

    return nnx.state(source) if isinstance(source, nnx.Module) else source


def _from_mapping(
    source: Any, where: str, orientation: Orientation | None, inputs: int | None
) -> Found:
    named = dict(flat(source))
    if any(type(value).__module__.startswith("torch") for value in named.values()):
        return from_state_dict(source, where, orientation, inputs)
    if any(name.rsplit(".", 1)[-1] == "kernel" for name in named):
        # Flax: kernels have shape (in, out); a collection may be wrapped in `params`.
        kernels = {
            name.removeprefix("params.").replace("kernel", "weight"): np.asarray(value)
            for name, value in sorted(named.items(), key=lambda item: natural(item[0]))
        }
        where = "Flax parameters"
        kept, notes = passed_over(kernels, unknown=False)
        layers = arrange(kept, where, orientation="in_out", inputs=inputs, ordered=False)
        return Found(where, layers, notes=notes)
    return from_arrays("arrays", named, where, orientation, inputs)


def _named(source: Sequence[Any]) -> Iterator[tuple[str, np.ndarray]]:
    """Name what a list has: a pair or one matrix a layer, or weights and biases in turn."""
    for number, layer in enumerate(source):
        where = f"entry {number} of the list"
        pair = isinstance(layer, tuple | list) and len(layer) == 2
        weight = as_array(layer[0] if pair else layer, where)
        if pair and weight.ndim == 2:
            yield f"W{number}", weight
            if layer[1] is not None:
                yield f"b{number}", as_array(layer[1], where)
        else:
            yield f"arr_{number}", as_array(layer, where)


def _from_equinox(source: Any, where: str) -> Found:
    """Take an ``equinox.nn.MLP``, whose weights have shape (out, in)."""
    layers = []
    for linear in source.layers:
        bias = getattr(linear, "bias", None)
        weight = numbers(np.asarray(linear.weight).T, where)
        layers.append(RawLayer(weight, None if bias is None else numbers(np.asarray(bias), where)))
    check_chain(layers, where)
    hidden = (_called(source.activation, where),) * (len(layers) - 1)
    return Found("Equinox MLP", layers, hidden, _called(source.final_activation, where))


def _called(function: Any, where: str) -> str:
    """Tell an activation from the function; one for every unit, as Equinox keeps them, is one."""
    import jax
    import jax.numpy as jnp

    function = getattr(function, "activation", function)
    name = str(getattr(function, "__name__", type(function).__name__)).strip("<>_")
    # Far enough to tell a clipped one, near enough for its slope at 0.
    probe = jnp.asarray([-30.0, -6.5, -2.0, -0.5, 0.0, 0.3, 1.0, 2.5, 6.5, 30.0])
    candidates = {
        "sigmoid": jax.nn.sigmoid,
        "tanh": jnp.tanh,
        "relu": jax.nn.relu,
        "leaky_relu": jax.nn.leaky_relu,
        "softplus": jax.nn.softplus,
        "softmax": jax.nn.softmax,
        "identity": lambda z: z,
    }
    try:
        seen = np.asarray(function(probe))
    # Any function of a user's may break on a probe, which only says that it is none of ours.
    except Exception:
        return activation_name(name, where)
    for known, reference in candidates.items():
        if seen.shape == probe.shape and np.allclose(seen, np.asarray(reference(probe)), atol=1e-6):
            return known
    return activation_name(name, where)
