"""Networks of other libraries, as they are in Python, taken as differentiable functions.

Nothing is translated: the library's own forward pass is called, so that outputs are the library's.
Methods that go back through layers need an :class:`~jaxbq.MLP`; all others take what is made here.
"""

import copy
import dataclasses
import inspect
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..data import Dataset, ImageSpace
from ..errors import JaxbqError
from .activations import OutputName, activation
from .mlp import Network

Returns = Literal["logits", "outputs"]


@dataclasses.dataclass(frozen=True, eq=False)
class Adapted:
    """A network of another library, or a function, as a :class:`~jaxbq.network.mlp.Network`.

    Two are equal only if they are one, so that a compiled program belongs to one network.

    Args:
        what: what it was made of, in a few words.
        function: from (params, images of ``input_shape``) to values of shape (batch, values).
        output: the activation that turns logits into outputs.
        returns: whether the values are ``logits`` or already ``outputs``.
        shape: of an image as jaxbq has it, channels last.
        input_shape: of an image as the function wants it.
        sizes: pixels and outputs.
        initial: the parameters that it came with, a pytree of arrays.
        second_order: whether gradients of it can be differentiated again.
    """

    what: str
    function: Callable[[Any, Array], Array]
    output: str
    returns: Returns
    shape: tuple[int, ...]
    input_shape: tuple[int, ...]
    sizes: tuple[int, int]
    initial: Any
    second_order: bool = True

    def __repr__(self) -> str:
        return (
            f"{self.what}, {'×'.join(map(str, self.input_shape))} to {self.sizes[1]}, "
            f"{self.output} outputs"
        )

    def logits(self, params: Any, x: Float[Array | np.ndarray, "batch pixels"]) -> Array:
        """Compute the logits of flat images; of outputs, those that have them."""
        values = _call(self.function, params, jnp.asarray(x), self.shape, self.input_shape)
        # One output for two classes: sigmoid(z) is the second entry of softmax(0, z).
        single = values.shape[1] < self.sizes[1]
        if self.returns == "outputs":
            values = _logits_of("sigmoid" if single else self.output, values)
        if single:
            values = jnp.concatenate([jnp.zeros_like(values), values], axis=1)
        return values

    def apply(self, params: Any, x: Float[Array | np.ndarray, "batch pixels"]) -> Array:
        """Compute the outputs of flat images."""
        return activation(self.output).apply(self.logits(params, x))

    def freeze(self, params: Any) -> Any:
        """Return the parameters as they are."""
        return params

    def init(self, key: Array, dtype: Any = jnp.float32, scale: float = 1.0) -> Any:
        """Forget what was learnt: the numbers of every parameter, in random order, times ``scale``.

        So they are of the size that the architecture works with, whichever axis is which.

        Raises:
            JaxbqError: there are no parameters.
        """
        leaves, tree = jax.tree.flatten(self.initial)
        if not leaves:
            raise JaxbqError(f"{self.what}: has no parameters, so it has no controls; drop them")
        keys = jax.random.split(key, len(leaves))
        mixed = [
            jax.random.permutation(own, leaf.reshape(-1)).reshape(leaf.shape).astype(dtype) * scale
            for own, leaf in zip(keys, leaves, strict=True)
        ]
        return jax.tree.unflatten(tree, mixed)

    def check(self, params: Any) -> "Adapted":
        """Check that parameters fit; return the network.

        Raises:
            JaxbqError: they are not as many, or of other shapes.
        """
        shapes, given = (
            [leaf.shape for leaf in jax.tree.leaves(p)] for p in (self.initial, params)
        )
        if shapes != given:
            raise JaxbqError(f"parameters of shapes {given} do not fit {self.what}: {shapes}")
        return self


class _Taken(NamedTuple):
    """What a library's network is as a function."""

    what: str
    function: Callable[[Any, Array], Any]
    params: Any
    second_order: bool = True


def as_network(
    given: Any,
    data: Dataset | ImageSpace,
    *,
    output: OutputName | None = None,
    returns: Returns | None = None,
    input_shape: Sequence[int] | None = None,
    dtype: str = "float32",
) -> tuple[Network, Any]:
    """Take a differentiable network as it is in Python.

    Args:
        given: a Flax NNX or Equinox module, a Keras 3 model (on JAX), a PyTorch module (which
            computes on the host), a function from a batch of images to a row of values for each, a
            pair of a function of (params, images) and its params, an ``MLP`` and its params, or
            what :func:`~jaxbq.import_network` returns. A class or a function without arguments is
            called, to get one of these.
        data: whose images it takes, or shape and pixel range of these. Of two classes it may give
            a single value, for the second.
        output: the activation that turns logits into outputs; by default what the values look
            like: softmax of logits, softmax where they are probabilities, sigmoid where they lie in
            [0, 1].
        returns: whether its values are ``logits`` or already ``outputs``; likewise.
        input_shape: of one image as it wants it; by default the one that it takes, of flat rows,
            images, images with channels last, with channels first.
        dtype: of its parameters.

    Returns:
        The network and its parameters, as :func:`~jaxbq.invert` takes them.

    Raises:
        JaxbqError: it is none of these, takes no such images, answers in another shape, or takes
            images of two shapes and answers differently.
    """
    taken = _taken(given)
    if isinstance(taken, tuple) and not isinstance(taken, _Taken):
        return taken
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), taken.params)
    if isinstance(data, ImageSpace):
        space, classes = data, None
        drawn = np.random.default_rng(0).uniform(space.low, space.high, (8, space.pixels))
    else:
        space, classes, drawn = data.space, data.classes, data.test_images[:_LOOKED_AT]
    rows = jnp.asarray(drawn, dtype)
    shape = _input_shape(taken, params, rows, space, classes, input_shape)
    values = np.asarray(_call(taken.function, params, rows, space.shape, shape), np.float64)
    meant, came = _meaning(values, output, returns)
    outputs = classes or values.shape[1]
    if values.shape[1] < outputs:
        meant = "softmax"
    network = Adapted(
        taken.what,
        taken.function,
        meant,
        came,
        space.shape,
        shape,
        (space.pixels, outputs),
        params,
        taken.second_order,
    )
    return network, params


_LOOKED_AT = 100


def _call(
    function: Callable[[Any, Array], Any],
    params: Any,
    rows: Array,
    shape: tuple[int, ...],
    input_shape: tuple[int, ...],
) -> Array:
    """Give a function images in its own shape; colours come first where it wants them first."""
    images = rows
    if input_shape != (rows.shape[1],):
        images = rows.reshape(-1, *shape)
        if len(shape) == 3 and input_shape == (shape[2], *shape[:2]) != shape:
            images = jnp.moveaxis(images, 3, 1)
        images = images.reshape(-1, *input_shape)
    values = jnp.asarray(function(params, images))
    return (values[:, None] if values.ndim == 1 else values).astype(rows.dtype)


def _input_shape(
    taken: _Taken,
    params: Any,
    rows: Array,
    space: ImageSpace,
    classes: int | None,
    given: Sequence[int] | None,
) -> tuple[int, ...]:
    """Find the shape that a function takes an image in."""
    shape = space.shape
    if given is not None:
        tried = [tuple(given)]
        if math.prod(tried[0]) != space.pixels:
            raise JaxbqError(
                f"input_shape {tried[0]} does not have the {space.pixels} pixels of {shape}"
            )
    elif len(shape) == 2:
        tried = [(space.pixels,), shape, (*shape, 1), (1, *shape)]
    else:
        tried = [(space.pixels,), shape, (shape[2], *shape[:2])]
    fit, faults = {}, []
    for one in dict.fromkeys(tried):
        try:
            values = _call(taken.function, params, rows, shape, one)
        # What a library raises on another shape is no closed list.
        except Exception as fault:
            faults.append(f"{one}: {(str(fault).splitlines() or [type(fault).__name__])[0]}")
            continue
        width = values.shape[1] if values.ndim == 2 else 0
        if width and (classes in (None, width) or (width == 1 and classes == 2)):
            fit[one] = np.asarray(values)
        else:
            faults.append(f"{one}: it answers in the shape {values.shape[1:]}")
    if not fit:
        raise JaxbqError(
            f"{taken.what}: gives no row of {classes or 'any'} values for an image of any shape "
            "tried; " + "; ".join(fault[:150] for fault in faults)
        )
    first, *others = fit
    for other in others:
        if not np.allclose(fit[first], fit[other], rtol=1e-4, atol=1e-5, equal_nan=True):
            raise JaxbqError(
                f"{taken.what}: takes images of shape {first} and of {other}, and answers "
                "differently; say input_shape"
            )
    return first


def _meaning(values: np.ndarray, output: str | None, returns: Returns | None) -> tuple[str, Any]:
    """Tell what values are, where it is not said."""
    if not np.isfinite(values).all():
        raise JaxbqError("the network answers with values that are not finite")
    shares = values.min() >= 0 and values.max() <= 1
    sums = np.allclose(values.sum(axis=1), 1, atol=1e-3) and values.shape[1] > 1
    if returns is None:
        # Logits within [0, 1] for every image are those of a network that learnt nothing.
        returns = "outputs" if shares and (sums or output in (None, "sigmoid")) else "logits"
    if output is None:
        output = "sigmoid" if returns == "outputs" and not sums else "softmax"
    return activation(output).name, returns


def _logits_of(output: str, values: Array) -> Array:
    """Invert the output activation, as far as rounded outputs allow."""
    tiny = float(jnp.finfo(values.dtype).tiny)
    if output == "softmax":
        return jnp.log(jnp.maximum(values, tiny))
    if output == "sigmoid":
        nearly = 1 - float(jnp.finfo(values.dtype).epsneg)
        return jax.scipy.special.logit(jnp.clip(values, tiny, nearly))
    return activation(output).invert(values)


def _taken(given: Any, made: bool = False) -> Any:
    """Take a network of any library as a function, without importing one that is not used."""
    if isinstance(getattr(given, "model", None), Network):
        given = given.model, given.params  # as import_network returns it
    if isinstance(given, tuple) and len(given) == 2:
        model, params = given
        if isinstance(model, Network) and not isinstance(model, type):
            return model, params
        if callable(model):
            return _Taken("a function", model, params)
    if isinstance(given, type):
        return _taken(given(), made=True)
    roots = {kind.__module__.partition(".")[0] for kind in type(given).__mro__}
    for library, take in _LIBRARIES.items():
        if library in roots:
            return take(given)
    if callable(given):
        if not made and not _takes_images(given):
            return _taken(given(), made=True)
        return _Taken("a function", lambda _, images: given(images), ())
    raise JaxbqError(
        f"{type(given).__name__} is no network: give a Flax NNX, Equinox, Keras or PyTorch one, a "
        "function of images, or a pair of a function of (params, images) and its params"
    )


def _takes_images(function: Callable[..., Any]) -> bool:
    try:
        needed = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return True  # built in
    return any(p.default is p.empty and p.kind not in (p.VAR_KEYWORD,) for p in needed)


def _take_flax(module: Any) -> _Taken:
    from flax import nnx

    if not isinstance(module, nnx.Module):
        raise JaxbqError(
            "a Flax Linen module; give a pair: function of (params, images), and params"
        )
    module = nnx.clone(module)
    module.eval()
    graph, params, rest = nnx.split(module, nnx.Param, ...)
    return _Taken(
        f"Flax {type(module).__name__}",
        lambda own, images: nnx.merge(graph, own, rest)(images),
        params,
    )


def _take_equinox(module: Any) -> _Taken:
    import equinox as eqx

    params, rest = eqx.partition(eqx.nn.inference_mode(module), eqx.is_inexact_array)

    def function(own: Any, images: Array) -> Array:
        # Equinox's layers take one image.
        return jax.vmap(eqx.combine(own, rest))(images)

    return _Taken(f"Equinox {type(module).__name__}", function, params)


def _take_keras(model: Any) -> _Taken:
    import keras

    if keras.backend.backend() != "jax":
        raise JaxbqError("Keras computes with another library; set KERAS_BACKEND=jax beforehand")
    if not model.built:
        raise JaxbqError("the Keras model has no weights yet; build it, or call it once")
    rest = [variable.value for variable in model.non_trainable_variables]

    def function(own: Any, images: Array) -> Any:
        return model.stateless_call(own, rest, images, training=False)[0]

    params = [variable.value for variable in model.trainable_variables]
    return _Taken(f"Keras {type(model).__name__}", function, params)


def _take_torch(module: Any) -> _Taken:
    """Let PyTorch compute on the host, called by JAX, with gradients of its own autograd.

    torchax, which would run it in JAX, does not import with PyTorch 2.14 (its version 0.0.13).
    """
    import torch

    module = copy.deepcopy(module).cpu().eval()
    params = {name: value.detach().numpy() for name, value in module.named_parameters()}
    rest = dict(module.named_buffers())

    def run(own: Any, images: Any) -> Any:
        kept = {k: v.to(images.dtype) if v.is_floating_point() else v for k, v in rest.items()}
        return torch.func.functional_call(module, {**kept, **own}, (images,))

    def tensors(tree: Any) -> Any:
        # JAX's arrays are read-only, of which PyTorch would warn.
        return jax.tree.map(lambda leaf: torch.from_numpy(np.array(leaf)), tree)

    def answer(own: Any, images: Any) -> np.ndarray:
        with torch.no_grad():
            return run(tensors(own), tensors(images)).numpy()

    def pulled(which: int, own: Any, images: Any, cotangent: Any) -> Any:
        given = [tensors(own), tensors(images)]

        def of(part: Any) -> Any:
            return run(*[part if k == which else one for k, one in enumerate(given)])

        _, pull = torch.func.vjp(of, given[which])
        return jax.tree.map(lambda leaf: leaf.numpy(), pull(tensors(cotangent))[0])

    def call(function: Any, like: Any, *arguments: Any) -> Any:
        shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), like)
        return jax.pure_callback(function, shapes, *arguments, vmap_method="sequential")

    @jax.custom_vjp
    def function(own: Any, images: Array) -> Array:
        one = np.zeros((1, *images.shape[1:]), images.dtype)
        values = answer(jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), own), one)
        like = jax.ShapeDtypeStruct((images.shape[0], *values.shape[1:]), images.dtype)
        return call(answer, like, own, images)

    def forward(own: Any, images: Array) -> Any:
        return function(own, images), (own, images)

    def backward(kept: Any, cotangent: Array) -> Any:
        # Two calls, so that JAX leaves out the one that nobody asks for.
        return tuple(call(partial(pulled, n), kept[n], *kept, cotangent) for n in (0, 1))

    function.defvjp(forward, backward)
    what = f"PyTorch {type(module).__name__}"
    return _Taken(what, function, params, second_order=False)


_LIBRARIES: dict[str, Callable[[Any], _Taken]] = {
    # Keras' classes on JAX are of no other library; PyTorch's are torch.nn's.
    "keras": _take_keras,
    "flax": _take_flax,
    "equinox": _take_equinox,
    "torch": _take_torch,
}
