"""Objectives: what an ascent maximises, as a function of one image's answer and its target."""

import abc
import dataclasses
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from annotated_types import Ge, MinLen
from jax.scipy.special import entr
from jaxtyping import Array, Float

from ...errors import JaxbqError
from ...network.activations import activation
from ...network.mlp import MLP, Network
from ...options import BY_KIND, KIND_SHORTHAND, options
from ..base import NeedsMLPError

_PROBABILISTIC = ("sigmoid", "softmax")
_INSIDE = 1e-6


class Answer(NamedTuple):
    """What a network makes of images.

    Args:
        logits: pre-activations of the outputs, shape (…, outputs).
        pre_activations: of every layer; empty unless an objective looks inside.
        activations: of every layer, the images first; likewise.
    """

    logits: Float[Array, "*batch outputs"]
    pre_activations: tuple[Array, ...] = ()
    activations: tuple[Array, ...] = ()


class OneImage(abc.ABC):
    """An objective: a function J of what a network makes of one image, and of the target."""

    aims_at_target: ClassVar[bool] = False
    """Whether the outputs themselves are to equal the target; else its class counts, or nothing."""

    @property
    def looks_inside(self) -> bool:
        """Whether it needs more than the logits."""
        return False

    def check(self, model: Network) -> None:  # noqa: B027 — most take every network
        """Refuse a network that it is not for; by default none.

        Raises:
            JaxbqError: one line that says what to do.
        """

    @abc.abstractmethod
    def value(self, output: str, answer: Answer, target: Float[Array, " outputs"]) -> Array:
        """Compute J of one image.

        Args:
            output: name of the output activation.
            answer: what the network makes of the image.
            target: what was asked.
        """


@options
class Target(OneImage):
    """Answer the target vector: J = −distance(target, outputs), 0 when it is reached.

    Args:
        loss: ``logits`` is half the squared distance of the logits to the target's own, of softmax
            outputs up to a constant; it never saturates, and takes the fewest steps to the target.
            Of targets at an end of the outputs' range the logits are those a millionth of it
            inside. ``cross_entropy`` is the Kullback–Leibler divergence of outputs that are
            probabilities (for sigmoid outputs summed over outputs, each a coin of its own);
            ``squared_error`` is Σ (output − target)², whose gradient vanishes where a sigmoid is
            saturated, so that it can stick far from the target; ``auto`` takes the logits where
            nothing but the target counts; within a sum or under regularisers the cross-entropy;
            and the squared error where these are not defined.
    """

    kind: Literal["target"] = "target"
    loss: Literal["auto", "logits", "cross_entropy", "squared_error"] = "auto"
    aims_at_target = True

    def check(self, model: Network) -> None:
        """Refuse the cross-entropy of outputs that are not probabilities."""
        if self.loss == "cross_entropy" and model.output not in _PROBABILISTIC:
            raise JaxbqError(
                f"cross_entropy needs sigmoid or softmax outputs, not {model.output}; "
                "use loss = 'squared_error'"
            )
        if self.loss == "logits":
            activation(model.output).check_invertible()

    def by_itself(self, output: str) -> "Target":
        """Choose the loss ``auto`` for an ascent by which nothing else counts."""
        defined = activation(output).inverse is not None
        return dataclasses.replace(self, loss="logits") if defined else self

    def value(self, output: str, answer: Answer, target: Float[Array, " outputs"]) -> Array:
        """Compute J of one image."""
        logits = answer.logits
        if self.loss == "logits":
            return -0.5 * jnp.square(logits - _logits_of(output, target, logits)).sum()
        if self.loss == "squared_error" or output not in _PROBABILISTIC:
            return -jnp.square(activation(output).apply(logits) - target).sum()
        if output == "softmax":
            return entr(target).sum() + (target * jax.nn.log_softmax(logits)).sum()
        cross = (jax.nn.softplus(logits) - target * logits).sum()
        return (entr(target) + entr(1 - target)).sum() - cross


@options
class Logit(OneImage):
    """Raise the logit of the target's class: J = zₖ. It has no upper bound."""

    kind: Literal["logit"] = "logit"

    def value(self, output: str, answer: Answer, target: Float[Array, " outputs"]) -> Array:
        """Compute J of one image."""
        return answer.logits[target.argmax()]


@options
class LogProb(OneImage):
    """Raise the log-probability of the target's class, its largest entry; 0 at most.

    For sigmoid outputs log σ(zₖ), the class by itself; for any other the log-softmax of the
    logits.
    """

    kind: Literal["log_prob"] = "log_prob"

    def value(self, output: str, answer: Answer, target: Float[Array, " outputs"]) -> Array:
        """Compute J of one image."""
        if output == "sigmoid":
            return jax.nn.log_sigmoid(answer.logits[target.argmax()])
        return jax.nn.log_softmax(answer.logits)[target.argmax()]


@options
class Margin(OneImage):
    """Raise the target's class above its runner-up: J = zₖ − max over j ≠ k of zⱼ."""

    kind: Literal["margin"] = "margin"

    def value(self, output: str, answer: Answer, target: Float[Array, " outputs"]) -> Array:
        """Compute J of one image."""
        own = jnp.arange(answer.logits.size) == target.argmax()
        return answer.logits[target.argmax()] - jnp.where(own, -jnp.inf, answer.logits).max()


class _Inside(OneImage):
    """An objective about one layer of an MLP; it asks the same of every target."""

    layer: int
    before: bool
    looks_inside = True

    def units(self, model: Network) -> int:
        """Count the units of the layer.

        Raises:
            JaxbqError: the network has no such layer, or no layers at all.
        """
        if not isinstance(model, MLP):
            raise NeedsMLPError(
                f"objective {self.kind!r} needs an MLP, to see its layers; "  # type: ignore[attr-defined]
                "for your own function let it return the layer, and use 'logit'"
            )
        if self.layer >= len(model.sizes):
            raise JaxbqError(
                f"objective: there is no layer {self.layer}; "
                f"the network has 1 to {len(model.sizes) - 1}"
            )
        return model.sizes[self.layer]

    def values_of(self, answer: Answer) -> Array:
        """Pick the layer's values."""
        if self.before:
            return answer.pre_activations[self.layer - 1]
        return answer.activations[self.layer]


@options
class Unit(_Inside):
    """Raise one unit of any layer; the same for every target.

    Args:
        layer: from 1, the first hidden layer, to the output layer.
        unit: index from 0.
        before: take its pre-activation z, else its activation a, whose gradient vanishes where it
            saturates.
    """

    kind: Literal["unit"] = "unit"
    layer: Annotated[int, Ge(1)] = 1
    unit: Annotated[int, Ge(0)] = 0
    before: bool = True

    def check(self, model: Network) -> None:
        """Refuse a unit that is not there."""
        units = self.units(model)
        if self.unit >= units:
            raise JaxbqError(f"objective: layer {self.layer} has units 0 to {units - 1}")

    def value(self, output: str, answer: Answer, target: Float[Array, " outputs"]) -> Array:
        """Compute J of one image."""
        return self.values_of(answer)[self.unit]


@options
class Direction(_Inside):
    """Move a layer along a direction: J = ⟨values, v⟩ / ‖v‖; the same for every target.

    Args:
        vector: v, one number a unit of the layer.
        layer: from 1, the first hidden layer, to the output layer.
        before: of the pre-activations z, else of the activations a.
    """

    kind: Literal["direction"] = "direction"
    vector: tuple[float, ...] = ()
    layer: Annotated[int, Ge(1)] = 1
    before: bool = True

    def check(self, model: Network) -> None:
        """Refuse a vector of another length than the layer, and one that points nowhere."""
        units = self.units(model)
        if len(self.vector) != units:
            raise JaxbqError(
                f"objective: the direction has {len(self.vector)} numbers, "
                f"layer {self.layer} has {units} units"
            )
        if not any(self.vector):
            raise JaxbqError("objective: the direction is zero; give another vector")

    def value(self, output: str, answer: Answer, target: Float[Array, " outputs"]) -> Array:
        """Compute J of one image."""
        values = self.values_of(answer)
        vector = jnp.stack([jnp.asarray(each, values.dtype) for each in self.vector])
        return values @ vector / jnp.linalg.norm(vector)


def _logits_of(output: str, target: Array, near: Array) -> Array:
    """Find the logits of a target; of a softmax's, which are free by a constant, those near."""
    phi = activation(output)
    size = min(phi.high - phi.low, 1.0)
    wanted = phi.invert(jnp.clip(target, phi.low + _INSIDE * size, phi.high - _INSIDE * size))
    return wanted + (near - wanted).mean() if phi.normalises else wanted


Simple = Annotated[Target | Logit | LogProb | Margin | Unit | Direction, BY_KIND, KIND_SHORTHAND]


@options
class Term:
    """One summand of a :class:`Sum`.

    Args:
        objective: any but a sum.
        weight: its factor; negative to lower it.
    """

    objective: Simple
    weight: float = 1.0


@options
class Sum(OneImage):
    """A weighted sum of objectives.

    Args:
        terms: at least one.
    """

    kind: Literal["sum"] = "sum"
    terms: Annotated[tuple[Term, ...], MinLen(1)] = (Term(objective=Target()),)

    @property
    def looks_inside(self) -> bool:
        """Whether any summand does."""
        return any(term.objective.looks_inside for term in self.terms)

    def check(self, model: Network) -> None:
        """Refuse what a summand refuses."""
        for term in self.terms:
            term.objective.check(model)

    def value(self, output: str, answer: Answer, target: Float[Array, " outputs"]) -> Array:
        """Compute J of one image."""
        values = [t.weight * t.objective.value(output, answer, target) for t in self.terms]
        return jnp.stack(values).sum()


Objective = Annotated[
    Target | Logit | LogProb | Margin | Unit | Direction | Sum, BY_KIND, KIND_SHORTHAND
]


def ask(model: Network, params: Any, images: Float[Array, "batch pixels"], inside: bool) -> Answer:
    """Run images through a network, keeping every layer where an objective looks inside."""
    if not inside:
        return Answer(model.logits(params, images))
    assert isinstance(model, MLP)  # checked before
    trace = model.trace(params, images)
    return Answer(trace.pre_activations[-1], trace.pre_activations, trace.activations)


def values(
    objective: Objective, output: str, answer: Answer, targets: Float[Array, "batch outputs"]
) -> Float[Array, " batch"]:
    """Compute J of every image of a batch."""
    return jax.vmap(partial(objective.value, output))(answer, targets)
