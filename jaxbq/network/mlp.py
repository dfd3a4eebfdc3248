"""The fully connected network: a frozen specification, and pure functions over its parameters."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..errors import JaxbqError
from ..runtime.compiled import Compiled, normal
from .activations import Activation, activation
from .products import fixed_weight_product


class Layer(NamedTuple):
    """One layer z = a W + b.

    Args:
        weight: W, shape (fan_in, fan_out).
        bias: b, shape (fan_out,), or None.
        transpose: Wᵀ stored apart, only in parameters made by :meth:`MLP.freeze`.
    """

    weight: Float[Array, "fan_in fan_out"]
    bias: Float[Array, " fan_out"] | None = None
    transpose: Float[Array, "fan_out fan_in"] | None = None


Params = tuple[Layer, ...]


class Trace(NamedTuple):
    """Every number of a forward pass.

    Args:
        pre_activations: z¹ … zᴸ, each of shape (batch, units).
        activations: a⁰ … aᴸ, each of shape (batch, units); a⁰ is the input.
    """

    pre_activations: tuple[Float[Array, "batch _"], ...]
    activations: tuple[Float[Array, "batch _"], ...]


@runtime_checkable
class Network(Protocol):
    """What a gradient method needs of a network: logits, and the activation that follows."""

    @property
    def output(self) -> str:
        """Name of the activation that turns logits into outputs."""
        ...

    def logits(self, params: Any, x: Array) -> Array:
        """Compute pre-activations of the outputs, shape (batch, outputs), from images as rows."""
        ...

    def apply(self, params: Any, x: Array) -> Array:
        """Compute outputs, shape (batch, outputs)."""
        ...

    def freeze(self, params: Any) -> Any:
        """Return parameters for many gradients with respect to the input, none to the weights."""
        ...


@dataclasses.dataclass(frozen=True)
class MLP:
    """A fully connected network aˡ = φˡ(aˡ⁻¹Wˡ + bˡ), l = 1 … L. Hashable, holds no numbers.

    Args:
        sizes: units from input to output, so (784, 200, 10) has one hidden layer.
        hidden: activation of the hidden layers: one name for all, or one for each.
        output: activation of the last layer.
        bias: whether layers have biases.

    Raises:
        JaxbqError: fewer than two sizes, a size below one, an unknown activation, or another number
            of hidden ones than of hidden layers.
    """

    sizes: tuple[int, ...]
    hidden: str | tuple[str, ...] = "sigmoid"
    output: str = "sigmoid"
    bias: bool = True

    def __post_init__(self) -> None:
        """Refuse what could only fail later, inside a trace."""
        if len(self.sizes) < 2 or any(size < 1 for size in self.sizes):
            raise JaxbqError(
                f"sizes must be at least two whole numbers from 1, like (784, 200, 10), "
                f"not {self.sizes}"
            )
        names = (self.hidden,) if isinstance(self.hidden, str) else self.hidden
        if not isinstance(self.hidden, str) and len(names) != len(self.sizes) - 2:
            raise JaxbqError(
                f"{len(names)} hidden activations for {len(self.sizes) - 2} hidden layers; "
                "give one for each, or one name for all"
            )
        if any(activation(name).normalises for name in names):
            raise JaxbqError("softmax is for outputs; choose another hidden activation")
        # Networks that compute alike are equal.
        canonical = [activation(name).name for name in names]
        alike = len(set(canonical)) == 1
        object.__setattr__(self, "hidden", canonical[0] if alike else tuple(canonical) or "sigmoid")
        object.__setattr__(self, "output", activation(self.output).name)

    @property
    def hidden_names(self) -> tuple[str, ...]:
        """Name of the activation of every hidden layer."""
        return tuple(phi.name for phi in self.activations[:-1])

    @property
    def activations(self) -> tuple[Activation, ...]:
        """φ¹ … φᴸ."""
        inner = len(self.sizes) - 2
        names = (self.hidden,) * inner if isinstance(self.hidden, str) else self.hidden
        return tuple(map(activation, (*names, self.output)))

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(fan_in, fan_out) of every layer."""
        return tuple(zip(self.sizes[:-1], self.sizes[1:], strict=True))

    def init(self, key: Array, dtype: Any = jnp.float32, scale: float = 1.0) -> Params:
        """Draw parameters: weights from N(0, scale² / fan_in) as in the book, biases zero."""
        keys = jax.random.split(key, len(self.shapes))
        return tuple(
            Layer(
                normal(k, (n, m), dtype) * jnp.asarray(scale / n**0.5, dtype),
                jnp.zeros(m, dtype) if self.bias else None,
            )
            for k, (n, m) in zip(keys, self.shapes, strict=True)
        )

    def logits(
        self, params: Params, x: Float[Array | np.ndarray, "batch pixels"]
    ) -> Float[Array, "batch outputs"]:
        """Compute the pre-activation of the last layer."""
        return self.onward(params, _product(params[0], jnp.asarray(x)))

    def onward(
        self, params: Params, product: Float[Array, "batch units"]
    ) -> Float[Array, "batch outputs"]:
        """Compute the pre-activation of the last layer from xW¹, the first layer's product."""
        z = _biased(params[0], product)
        for layer, phi in zip(params[1:], self.activations, strict=False):
            z = _affine(layer, phi.apply(z))
        return z

    def apply(
        self, params: Params, x: Float[Array | np.ndarray, "batch pixels"]
    ) -> Float[Array, "batch outputs"]:
        """Compute the outputs."""
        return activation(self.output).apply(self.logits(params, x))

    def trace(self, params: Params, x: Float[Array | np.ndarray, "batch pixels"]) -> Trace:
        """Run forward and keep every pre-activation and activation."""
        pre: list[Array] = []
        post = [jnp.asarray(x)]
        for layer, phi in zip(params, self.activations, strict=True):
            pre.append(_affine(layer, post[-1]))
            post.append(phi.apply(pre[-1]))
        return Trace(tuple(pre), tuple(post))

    def freeze(self, params: Params) -> Params:
        """Store every Wᵀ beside W, which makes gradients with respect to the input faster.

        The weights of the result have no gradient; see
        :func:`jaxbq.network.products.fixed_weight_product`.
        """
        transposed = _TRANSPOSED([layer.weight for layer in params])
        return tuple(
            layer._replace(transpose=t) for layer, t in zip(params, transposed, strict=True)
        )

    def check(self, params: Params) -> "MLP":
        """Check that parameters fit; return the specification.

        Raises:
            JaxbqError: another number of layers, other shapes, or biases where there are none.
        """
        found = tuple(tuple(layer.weight.shape) for layer in params)
        if found != self.shapes:
            raise JaxbqError(f"weights of shapes {found} do not fit a network {self.shapes}")
        for number, (layer, (_, m)) in enumerate(zip(params, self.shapes, strict=True), 1):
            if (layer.bias is not None) != self.bias or (
                layer.bias is not None and layer.bias.shape != (m,)
            ):
                raise JaxbqError(f"the bias of layer {number} does not fit the network")
        return self


@dataclasses.dataclass(frozen=True)
class Function:
    """Any differentiable network as a :class:`Network`, for the gradient methods.

    Args:
        function: from (params, images) to logits of shape (batch, outputs).
        output: the activation that turns those logits into outputs; ``identity`` when the
            function's values are themselves the outputs.
        input_shape: shape of one image as the function wants it; None for flat rows.
    """

    function: Callable[[Any, Array], Array]
    output: str = "identity"
    input_shape: tuple[int, ...] | None = None

    def logits(self, params: Any, x: Float[Array | np.ndarray, "batch pixels"]) -> Array:
        """Compute the logits of flat images."""
        images = jnp.asarray(x)
        if self.input_shape is not None:
            images = images.reshape(-1, *self.input_shape)
        return self.function(params, images)

    def apply(self, params: Any, x: Float[Array | np.ndarray, "batch pixels"]) -> Array:
        """Compute the outputs of flat images."""
        return activation(self.output).apply(self.logits(params, x))

    def freeze(self, params: Any) -> Any:
        """Return the parameters as they are."""
        return params


def float_type(params: Any) -> Any:
    """Find the type that a network computes in: that of its parameters that are no integers."""
    leaves = [leaf for leaf in jax.tree.leaves(params) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return jnp.result_type(*leaves) if leaves else jnp.result_type(float)


def outputs_of(model: Network, params: Any, pixels: int) -> int:
    """Count the outputs of a network, which an MLP says itself."""
    if isinstance(model, MLP):
        return model.sizes[-1]
    image = jax.ShapeDtypeStruct((1, pixels), float_type(params))
    return jax.eval_shape(model.logits, params, image).shape[1]


_TRANSPOSED = Compiled(lambda weights: [weight.T for weight in weights])


def _affine(layer: Layer, a: Array) -> Array:
    return _biased(layer, _product(layer, a))


def _biased(layer: Layer, product: Array) -> Array:
    return product if layer.bias is None else product + layer.bias[None]


def _product(layer: Layer, a: Array) -> Array:
    if layer.transpose is None:
        return a @ layer.weight
    return fixed_weight_product(a, layer.weight, layer.transpose)
