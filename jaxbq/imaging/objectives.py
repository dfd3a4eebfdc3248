"""Objectives: what an ascent maximises, per image, as a function of logits and target."""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from jax.scipy.special import entr
from jaxtyping import Array, Float

from ..activations import activation
from ..errors import JaxbqError
from ..options import BY_KIND, KIND_SHORTHAND, options

_PROBABILISTIC = ("sigmoid", "softmax")


@options
class Target:
    """Answer the target vector: J = −divergence(target, outputs), 0 when it is reached.

    Args:
        loss: ``cross_entropy`` is the Kullback–Leibler divergence of outputs that are
            probabilities (for sigmoid outputs summed over outputs, each a coin of its own);
            ``squared_error`` is Σ (output − target)², whose gradient vanishes where a sigmoid is
            saturated, so that it can stick far from the target; ``auto`` takes the cross-entropy
            where it is defined.
    """

    kind: Literal["target"] = "target"
    loss: Literal["auto", "cross_entropy", "squared_error"] = "auto"

    @property
    def aims_at_target(self) -> bool:
        """Whether the outputs themselves are to equal the target."""
        return True

    def check(self, output: str) -> None:
        """Refuse the cross-entropy of outputs that are not probabilities."""
        if self.loss == "cross_entropy" and output not in _PROBABILISTIC:
            raise JaxbqError(
                f"cross_entropy needs sigmoid or softmax outputs, not {output}; "
                "use loss = 'squared_error'"
            )

    def value(
        self,
        output: str,
        logits: Float[Array, "batch outputs"],
        targets: Float[Array, "batch outputs"],
    ) -> Float[Array, " batch"]:
        """Compute J of every image."""
        if self.loss == "squared_error" or output not in _PROBABILISTIC:
            return -jnp.square(activation(output).apply(logits) - targets).sum(axis=-1)
        if output == "softmax":
            cross = -(targets * jax.nn.log_softmax(logits)).sum(axis=-1)
            return entr(targets).sum(axis=-1) - cross
        cross = (jax.nn.softplus(logits) - targets * logits).sum(axis=-1)
        return (entr(targets) + entr(1 - targets)).sum(axis=-1) - cross


@options
class Logit:
    """Raise the logit of the target's class, its largest entry: J = zₖ. It has no upper bound."""

    kind: Literal["logit"] = "logit"

    @property
    def aims_at_target(self) -> bool:
        """No: only the class of the target counts."""
        return False

    def check(self, output: str) -> None:
        """Accept every output."""

    def value(
        self,
        output: str,
        logits: Float[Array, "batch outputs"],
        targets: Float[Array, "batch outputs"],
    ) -> Float[Array, " batch"]:
        """Compute J of every image."""
        return _of_class(logits, targets)


@options
class LogProb:
    """Raise the log-probability of the target's class, its largest entry.

    For sigmoid outputs J = log σ(zₖ), each output a probability of its own; for all others
    J = log softmax(z)ₖ.
    """

    kind: Literal["log_prob"] = "log_prob"

    @property
    def aims_at_target(self) -> bool:
        """No: only the class of the target counts."""
        return False

    def check(self, output: str) -> None:
        """Accept every output."""

    def value(
        self,
        output: str,
        logits: Float[Array, "batch outputs"],
        targets: Float[Array, "batch outputs"],
    ) -> Float[Array, " batch"]:
        """Compute J of every image."""
        if output == "sigmoid":
            return jax.nn.log_sigmoid(_of_class(logits, targets))
        return _of_class(jax.nn.log_softmax(logits), targets)


Objective = Annotated[Target | Logit | LogProb, BY_KIND, KIND_SHORTHAND]


def _of_class(values: Array, targets: Array) -> Array:
    classes = targets.argmax(axis=-1, keepdims=True)
    return jnp.take_along_axis(values, classes, axis=-1)[:, 0]
