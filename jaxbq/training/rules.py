"""Update rules: how an epoch, one compiled program, changes the parameters."""

from functools import partial
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pydantic
from annotated_types import Ge, Gt
from jaxtyping import Array, Float, Int

from ..errors import JaxbqError
from ..network.mlp import MLP, Layer, Network, Params
from ..network.targets import Codes, check_targets
from ..options import NONE_SHORTHAND, defaulting_to, options
from ..runtime.compiled import normal
from ..runtime.devices import replicated, shard_rows
from .adversary import Adversary
from .losses import LossName, check_loss, example_losses
from .optimisers import Optimiser
from .rare_pixels import Ordered, RarePixels, join, part, product


class TrainingArrays(NamedTuple):
    """A training set on the device.

    Args:
        images: shape (n, pixels); without the rare pixels where these are held apart.
        codes: of their labels, shape (n, outputs).
        low: lower end of the pixel range.
        high: its upper end.
        rare: the rare pixels, on the host; None where all are in ``images``, and under `jit`.
    """

    images: Float[Array, "n pixels"]
    codes: Float[Array, "n outputs"]
    low: Any = 0.0
    high: Any = 1.0
    rare: RarePixels | None = None


class EpochSums(NamedTuple):
    """Sums over an epoch, each example met before its own update."""

    loss: Float[Array, ""]
    right: Int[Array, ""]


class _Rule:
    """What both rules have."""

    on: float
    off: float | None
    initial_scale: Any = 1.0
    spreads: ClassVar[bool] = False
    """Whether several devices can share the work."""

    @property
    def codes(self) -> Codes:
        """How labels become wanted outputs."""
        return Codes(on=self.on, off=self.off)

    def rare_from(self, model: MLP, examples: int) -> int | None:
        """Say from how many rare pixels on it pays to hold them apart; None where it never does."""
        return None

    def check(self, model: MLP, examples: int) -> None:
        """Refuse codes that the network cannot be trained towards, and what else does not fit."""
        matrix = self.codes.matrix(model.sizes[-1], model.output)
        check_targets(matrix, model.output, model.sizes[-1], closed=True)
        if len(matrix) > 1 and not matrix[0, 0] > matrix[0, 1]:
            raise JaxbqError(f"on = {matrix[0, 0]:g} must be above off = {matrix[0, 1]:g}")


_ADAM = Optimiser(learning_rate=3e-3)
# Multiplications a batch that each of the first layer's two products has to spare, for rare pixels
# to be held apart. Their own loops take as long as 2.5 million for 215 uses a batch (two cores).
_WORTHWHILE = 2_000_000


@options
class Training(_Rule):
    """Gradient descent on minibatches.

    Args:
        rule: ``gradient``.
        loss: ``bce`` (binary cross-entropy on the codes), ``squared_error`` (on the codes) or
            ``cross_entropy`` (softmax cross-entropy on the labels).
        epochs: passes over the training images.
        batch_size: images an update.
        optimiser: any optax optimiser, with its rate and schedule.
        on: wanted output of an image's class.
        off: wanted output of the others; see :class:`~jaxbq.network.targets.Codes`.
        adversary: train on the worst images near the training images instead of on these; in a
            config ``"none"`` means none.
        noise: standard deviation of Gaussian noise on every pixel, drawn anew for every batch.
        jacobian: weight of ‖∂logits/∂image‖² / outputs in the loss, estimated along one random
            direction an image (Hoffman et al., "Robust learning with Jacobian regularization",
            2019).
        initial_scale: weights start from N(0, initial_scale² / fan_in), biases from zero.
    """

    rule: Literal["gradient"] = "gradient"
    loss: LossName = "bce"
    epochs: Annotated[int, Gt(0)] = 30
    batch_size: Annotated[int, Gt(0)] = 128
    optimiser: Annotated[Optimiser, defaulting_to(_ADAM)] = _ADAM
    on: float = 0.99
    off: float | None = None
    adversary: Annotated[Adversary | None, NONE_SHORTHAND] = None
    noise: Annotated[float, Ge(0)] | None = None
    jacobian: Annotated[float, Ge(0)] | None = None
    initial_scale: Annotated[float, Gt(0)] = 1.0

    spreads = True

    def check(self, model: MLP, examples: int) -> None:
        """Refuse a loss or an optimiser that cannot work with this network."""
        check_loss(self.loss, model.output)
        self.optimiser.check()
        super().check(model, examples)

    def rare_from(self, model: MLP, examples: int) -> int | None:
        """Say from how many rare pixels on it pays to hold them apart; None where it never does."""
        plain = self.noise is None and self.adversary is None and self.jacobian is None
        if not (plain and self.optimiser.elementwise):
            return None
        return -(-_WORTHWHILE // (min(self.batch_size, examples) * model.sizes[1]))

    def start(self, model: Network, params: Any, examples: int) -> Any:
        """Make the state that goes from epoch to epoch beside the parameters."""
        return self.built(examples).init(params)

    def built(self, examples: int) -> Any:
        """Make the optax transformation for a training on so many images."""
        return self.optimiser.build(self.epochs * -(-examples // self.batch_size))

    def order(self, key: Array, examples: int) -> Int[Array, " n"]:
        """Draw the order in which an epoch meets the images."""
        # On the host: JAX shuffles by sorting, which takes a twelfth of an epoch on two cores.
        seed = np.asarray(jax.random.key_data(key)).tolist()
        return jnp.asarray(np.random.default_rng(seed).permutation(examples), jnp.int32)

    def epoch(
        self,
        model: Network,
        params: Any,
        state: Any,
        data: TrainingArrays,
        order: Array,
        key: Array | None = None,
    ) -> tuple[Any, Any, EpochSums]:
        """Train for one epoch; see :func:`_gradient_epoch`."""
        key = jax.random.key(0) if key is None else key
        rare = None if data.rare is None else data.rare.in_order(order, self.batch_size)
        shown = data._replace(rare=None)
        return _gradient_epoch(self, model, params, state, shown, rare, order, key)


@options
class BookTraining(_Rule):
    """The book's own rule: one image at a time in file order, no biases.

    The error of a hidden layer is W(t − o), the output error sent back through the weights
    *without* the derivative of the output activation, which a gradient would have; each layer
    then moves by rate · (error · φ′(z)) ⊗ input. Weights start from N(0, 1 / fan_in).

    Source: T. Rashid, *Make Your Own Neural Network*, 2016, ``neuralNetwork.train``.

    Args:
        rule: ``book``.
        epochs: passes over the training images.
        learning_rate: the book's 0.1.
        on: wanted output of an image's class.
        off: wanted output of the others.
    """

    rule: Literal["book"] = "book"
    epochs: Annotated[int, Gt(0)] = 2
    learning_rate: Annotated[float, Gt(0)] = 0.1
    on: float = 0.99
    off: float | None = None

    def check(self, model: MLP, examples: int) -> None:
        """Refuse what the book's rule does not have."""
        if not isinstance(model, MLP):
            raise JaxbqError("the book's rule is for MLPs; use rule = 'gradient'")
        if model.bias:
            raise JaxbqError("the book's rule has no biases; set bias = false for the network")
        if model.output == "softmax":
            raise JaxbqError("the book's rule is for separate outputs; use output = 'sigmoid'")
        super().check(model, examples)

    def start(self, model: MLP, params: Params, examples: int) -> Any:
        """Return nothing: plain descent has no state."""
        return ()

    def order(self, key: Array, examples: int) -> Int[Array, " n"]:
        """File order."""
        return jnp.arange(examples)

    def epoch(
        self,
        model: MLP,
        params: Params,
        state: Any,
        data: TrainingArrays,
        order: Array,
        key: Array | None = None,
    ) -> tuple[Params, Any, EpochSums]:
        """Train for one epoch; see :func:`_book_epoch`."""
        params, sums = _book_epoch(self, model, params, data)
        return params, state, sums


def rule(given: Any) -> str:
    """Tell which rule a table or an object means; a table without ``rule`` means the gradient."""
    named = given.get if isinstance(given, dict) else partial(getattr, given)
    return str(named("rule", "gradient"))


TrainingRule = Annotated[
    Annotated[Training, pydantic.Tag("gradient")] | Annotated[BookTraining, pydantic.Tag("book")],
    pydantic.Discriminator(rule),
]


@partial(jax.jit, static_argnums=1)
def _gradient_epoch(
    training: Training,
    model: Network,
    params: Any,
    state: Any,
    data: TrainingArrays,
    rare: Ordered | None,
    order: Array,
    key: Array,
) -> tuple[Any, Any, EpochSums]:
    """One scan over the full batches, then the rest as a smaller batch of its own."""
    optimiser = training.built(len(order))
    size = training.batch_size
    full = len(order) // size
    if rare is not None:
        params, state = part(optimiser, params, state, rare, data.images.shape[1])

    def logits_of(params: Any, images: Array, span: Any) -> Array:
        if rare is None:
            return model.logits(params, images)
        first = product(params[0].weight, images, rare, span)
        return model.onward(params, first)  # type: ignore[attr-defined]

    def update(
        carry: tuple[Any, Any], batch: tuple[Array, Any]
    ) -> tuple[tuple[Any, Any], EpochSums]:
        params, state = carry
        rows, span = batch
        rows = replicated(rows)
        images = data.images.at[rows].get(mode="promise_in_bounds")
        codes = data.codes.at[rows].get(mode="promise_in_bounds")
        # Several devices take a part of every batch each; what is drawn and summed is the same.
        images, codes = shard_rows((images, codes))
        # Every image is met once an epoch, so its number makes the batch's key.
        own = jax.random.fold_in(key, rows[0])
        seen = _disturbed(training, model, params, images, codes, data, own)

        def batch_loss(params: Any) -> tuple[Array, tuple[Array, Array]]:
            logits = logits_of(params, seen, span)
            losses = example_losses(training.loss, model.output, logits, codes)
            sums = losses.sum(), _count_right(logits, codes)
            loss = losses.mean()
            if training.jacobian is not None:
                loss += training.jacobian * _jacobian_norm(model, params, seen, own)
            return loss, sums

        gradient, sums = jax.grad(batch_loss, has_aux=True)(params)
        change, state = optimiser.update(gradient, state, params)
        params = jax.tree.map(lambda p, c: p + c.astype(p.dtype), params, change)
        return (params, state), EpochSums(*sums)

    spans = None if rare is None else rare.spans
    whole_batches = jax.tree.map(lambda a: a[:full], spans)
    batches = order[: full * size].reshape(full, size), whole_batches
    carry, sums = jax.lax.scan(update, (params, state), batches)
    total = jax.tree.map(lambda s: s.sum(axis=0), sums)
    if len(order) % size:
        last = order[full * size :], jax.tree.map(lambda a: a[-1], spans)
        carry, rest = update(carry, last)
        total = jax.tree.map(jnp.add, total, rest)
    if rare is not None:
        carry = join(optimiser, *carry, rare)
    return *replicated(carry), total


def _disturbed(
    training: Training,
    model: Network,
    params: Any,
    images: Array,
    codes: Array,
    data: TrainingArrays,
    key: Array,
) -> Array:
    """Make what the network sees of a batch: noise first, then the adversary."""
    if training.noise is not None:
        noise = normal(jax.random.fold_in(key, 1), images.shape, images.dtype)
        images = images + training.noise * noise
    if training.adversary is None:
        return images

    def loss(x: Array) -> Array:
        logits = model.logits(params, x)
        return example_losses(training.loss, model.output, logits, codes).sum()

    return training.adversary.perturb(loss, images, data.low, data.high, key)


def _jacobian_norm(model: Network, params: Any, images: Array, key: Array) -> Array:
    """Estimate the mean over a batch of ‖∂logits/∂image‖²_F / outputs without forming it."""
    logits, back = jax.vjp(lambda x: model.logits(params, x), images)
    direction = normal(jax.random.fold_in(key, 2), logits.shape, logits.dtype)
    # E ‖vᵀJ‖² = ‖J‖² for v of independent entries with variance one.
    (along,) = back(direction)
    return jnp.square(along).sum(axis=1).mean() / logits.shape[1]


# Images in one block of the book's rule. Longer blocks share more of the large products but do
# more work in triangular ones; 50 to 200 measured alike on two cores.
_BLOCK = 100


@partial(jax.jit, static_argnums=1)
def _book_epoch(
    training: BookTraining, model: MLP, params: Params, data: TrainingArrays
) -> tuple[Params, EpochSums]:
    n = len(data.images)
    full = n - n % _BLOCK

    def block(params: Params, rows: TrainingArrays) -> tuple[Params, EpochSums]:
        return _book_block(training.learning_rate, model, params, rows)

    images, codes = data.images, data.codes
    blocks = TrainingArrays(
        images[:full].reshape(-1, _BLOCK, images.shape[1]),
        codes[:full].reshape(-1, _BLOCK, codes.shape[1]),
        None,
        None,
    )
    params, sums = jax.lax.scan(block, params, blocks)
    total = jax.tree.map(lambda s: s.sum(axis=0), sums)
    if n % _BLOCK:
        params, rest = block(params, TrainingArrays(images[full:], codes[full:]))
        total = jax.tree.map(jnp.add, total, rest)
    return params, total


def _book_block(
    rate: Any, model: MLP, params: Params, rows: TrainingArrays
) -> tuple[Params, EpochSums]:
    """Train on a block of images, one after another, with the first layer's work in products.

    The first layer is nearly all of the work, and its inputs are known beforehand. With updates
    W ← W + xᵢ ⊗ dᵢ, the pre-activation of image i is xᵢW + Σ_{j<i} (xᵢ·xⱼ) dⱼ: one product of
    the block with W, the block's Gram matrix, and short sums. The same numbers as image by image,
    up to rounding, at half the time.
    """
    first, later = params[0], params[1:]
    start = rows.images @ first.weight
    gram = jnp.tril(rows.images @ rows.images.T, -1)

    def one(
        carry: tuple[Array, Params], row: tuple[Array, Array, Array, Array]
    ) -> tuple[tuple[Array, Params], EpochSums]:
        changes, later = carry
        z, overlaps, code, index = row
        change, later, logits = _book_update(rate, model, z + overlaps @ changes, later, code)
        losses = example_losses("squared_error", model.output, logits[None], code[None])
        sums = EpochSums(losses[0], _count_right(logits[None], code[None]))
        return (changes.at[index].set(change), later), sums

    carry = (jnp.zeros_like(start), later)
    numbers = jnp.arange(len(start))
    (changes, later), sums = jax.lax.scan(one, carry, (start, gram, rows.codes, numbers))
    params = (Layer(first.weight + rows.images.T @ changes), *later)
    return params, jax.tree.map(lambda s: s.sum(axis=0), sums)


def _book_update(
    rate: Any, model: MLP, z: Array, later: Params, code: Array
) -> tuple[Array, Params, Array]:
    """Run one image forward from z¹ and back.

    Returns:
        The first layer's change, the other layers updated, and the logits.
    """
    inputs, slopes = [], []
    for number, phi in enumerate(model.activations):
        a, slope = jax.jvp(phi.apply, (z,), (jnp.ones_like(z),))
        slopes.append(slope)
        inputs.append(a)
        if number < len(later):
            logits = z = a @ later[number].weight
    logits = z
    error = code - inputs[-1]
    updated = []
    for layer, slope, a in zip(later[::-1], slopes[:0:-1], inputs[-2::-1], strict=True):
        change = rate * error * slope
        # As the book does: the error goes back through the weights before they move.
        error = layer.weight @ error
        updated.append(Layer(layer.weight + jnp.outer(a, change)))
    return rate * error * slopes[0], tuple(updated[::-1]), logits


def _count_right(logits: Array, codes: Array) -> Int[Array, ""]:
    return (logits.argmax(axis=-1) == codes.argmax(axis=-1)).sum()
