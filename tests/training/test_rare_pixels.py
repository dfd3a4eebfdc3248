import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxbq.network.mlp import MLP
from jaxbq.training import Training, rare_pixels, rules, train
from jaxbq.training.adversary import Adversary
from jaxbq.training.loop import arrays_of
from jaxbq.training.optimisers import _ELEMENTWISE, Optimiser
from jaxbq.training.rare_pixels import Parted, Uses, part_images, product


def scarce(rng, images, background, pixels=30, common=8):
    """Images that use all of a few pixels, and of the others one in a hundred, or none."""
    share = np.r_[np.full(common, 0.9), np.full(pixels - common, 0.01)]
    share[-3:] = 0
    used = rng.random((images, pixels)) < rng.permutation(share)
    return np.where(used, rng.random((images, pixels)), background).astype(np.float32)


@pytest.fixture
def digits(tiny, rng):
    """A data set of 120 such images."""

    def make(background=0.0):
        images = scarce(rng, len(tiny.train_images), background)
        return dataclasses.replace(tiny, train_images=images)

    return make


@pytest.fixture
def held_apart(monkeypatch):
    """Rare pixels of the smallest network too, three uses at a time."""
    monkeypatch.setattr(rules, "_WORTHWHILE", 1)
    monkeypatch.setattr(rare_pixels, "_CHUNK", 3)


def never(monkeypatch):
    monkeypatch.setattr(Training, "rare_from", lambda self, model, examples: None)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("background", [0.0, 0.01, 1.0])
def test_parted_images_hold_what_whole_ones_do(rng, background):
    images = scarce(rng, 300, background)
    common, rare = part_images(images, 1, "float64")
    restored = np.tile(images[0] * np.nan, (300, 1)).astype(np.float64)
    number = common.shape[1]
    assert number == 8
    restored[:, rare.pixels[:number]] = common
    restored[:, rare.pixels[number:]] = 0 if rare.background is None else rare.background
    for image in range(300):
        for use in range(rare.starts[image], rare.starts[image + 1]):
            restored[image, rare.pixels[number + rare.columns[use]]] += rare.values[use]
    np.testing.assert_allclose(restored, images, atol=1e-15)
    assert len(rare.values) < 300
    assert (rare.background is None) == (background == 0)


def test_images_stay_whole_where_it_would_not_pay(rng):
    images = scarce(rng, 300, 0.0)
    for least in (None, 23):
        whole, rare = part_images(images, least, "float32")
        assert rare is None
        np.testing.assert_array_equal(whole, images)


@pytest.mark.parametrize("size", [7, 40, 300, 400])
def test_uses_come_in_the_order_of_the_batches(rng, size):
    images = scarce(rng, 300, 0.0)
    common, rare = part_images(images, 1, "float32")
    order = rng.permutation(300)
    met = rare.in_order(jnp.asarray(order), size)
    spans = list(zip(*met.spans, strict=True))
    assert len(spans) == -(-300 // size)
    for batch, (first, last) in enumerate(spans):
        rows = order[batch * size : (batch + 1) * size]
        found = np.zeros((len(rows), 22), np.float32)
        found[met.uses.image[first:last], met.uses.column[first:last]] = met.uses.value[first:last]
        np.testing.assert_array_equal(found, images[rows][:, rare.pixels[common.shape[1] :]])


@jax.jit
def parted_product(weight, common, background, uses, span, wanted):
    """The product and its gradient; four of nine pixels are common."""
    rare = rare_pixels.Ordered(np.arange(9), background, uses, None)

    def parted(weight):
        return product(Parted(weight[:4], weight[4:]), common, rare, span)

    found, back = jax.vjp(parted, weight)
    return found, back(wanted)[0]


@pytest.mark.usefixtures("x64", "held_apart")
@pytest.mark.parametrize("background", [0.0, 0.3])
@pytest.mark.parametrize("uses_an_image", [0, 1, 4])
def test_product_and_its_gradient_are_those_of_whole_images(rng, background, uses_an_image):
    weight, wanted = rng.normal(size=(9, 5)), rng.normal(size=(6, 5))
    whole = np.c_[rng.random((6, 4)), np.full((6, 5), background)]
    for row in whole:
        row[4 + rng.permutation(5)[:uses_an_image]] = rng.random(uses_an_image)
    image, column = np.nonzero(whole[:, 4:] != background)
    # Uses of other batches lie before and behind; as many in all, so that one program serves.
    before = np.array([1, 2, 0])
    behind = np.resize(before, 27 - len(image))
    value = whole[:, 4:][image, column] - background
    uses = Uses(*(np.r_[before, a, behind] for a in (image, column, value)))
    level = np.full(5, background) if background else None
    span = 3, 3 + len(image)
    found, gradient = parted_product(weight, whole[:, :4], level, uses, span, wanted)
    np.testing.assert_allclose(found, whole @ weight, atol=1e-14)
    np.testing.assert_allclose(gradient, whole.T @ wanted, atol=1e-14)


# With warm-up, cosine and normalised gradients: what goes beyond one number a parameter.
VARIANTS = [
    Optimiser(name="adam", learning_rate=1e-3),
    pytest.param(
        Optimiser(name="adamw", learning_rate=1e-3, schedule="warmup_cosine", normalise=True),
        marks=pytest.mark.slow,
    ),
    *(
        pytest.param(Optimiser(name=name, learning_rate=1e-3), marks=pytest.mark.slow)
        for name in sorted(_ELEMENTWISE)
    ),
]


@pytest.mark.usefixtures("x64", "held_apart")
@pytest.mark.parametrize("optimiser", VARIANTS, ids=lambda o: f"{o.name}-{o.schedule}")
def test_every_optimiser_finds_the_same_network(monkeypatch, digits, key, optimiser):
    """120 images in batches of 50: the last one is smaller; state goes on to another epoch."""
    model, data = MLP((30, 6, 3)), digits(0.01)
    training = Training(epochs=2, batch_size=50, optimiser=optimiser)
    arrays = arrays_of(model, data, data.train_labels, training, "float64", alone=True)
    assert arrays.rare is not None
    assert arrays.images.shape[1] < 15
    ours = train(model, data, training, key=key, dtype="float64")
    never(monkeypatch)
    theirs = train(model, data, training, key=key, dtype="float64")
    start = model.init(jax.random.split(key)[0], jnp.float64)
    for a, b, c in zip(*map(jax.tree.leaves, (ours.params, theirs.params, start)), strict=True):
        # Rounding of float64, through six updates that divide by gradients.
        np.testing.assert_allclose(a, b, atol=1e-9)
        assert not np.allclose(a, c, atol=1e-9)
    assert ours.history[-1].loss == pytest.approx(theirs.history[-1].loss, abs=1e-10)


@pytest.mark.usefixtures("x64", "held_apart")
@pytest.mark.parametrize(
    "which",
    [
        "all rare",
        *(
            pytest.param(which, marks=pytest.mark.slow)
            for which in ("nothing varies", "deep, no bias", "one batch")
        ),
    ],
)
def test_edges(monkeypatch, digits, key, which):
    data, model = digits(1.0), MLP((30, 6, 3))
    if which == "nothing varies":
        data = dataclasses.replace(data, train_images=np.full((120, 30), 0.5, np.float32))
    elif which == "all rare":
        images = np.zeros((120, 30), np.float32)
        images[3, :5] = 0.7
        data = dataclasses.replace(data, train_images=images)
    elif which == "deep, no bias":
        model = MLP((30, 6, 4, 3), "tanh", bias=False)
    training = Training(epochs=2, batch_size=400 if which == "one batch" else 40)
    assert arrays_of(model, data, data.train_labels, training, "float64", alone=True).rare
    ours = train(model, data, training, key=key, dtype="float64")
    never(monkeypatch)
    theirs = train(model, data, training, key=key, dtype="float64")
    for a, b in zip(*map(jax.tree.leaves, (ours.params, theirs.params)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)


@pytest.mark.parametrize(
    "changed",
    [
        {"noise": 0.1},
        {"jacobian": 0.1},
        {"adversary": Adversary()},
        {"optimiser": Optimiser(name="lamb", learning_rate=1e-3)},
        {"optimiser": Optimiser(name="noisy_sgd", learning_rate=1e-3)},
    ],
)
def test_never_where_more_than_logits_is_asked_or_parameters_meet(changed):
    assert Training().rare_from(MLP((784, 200, 10)), 1000) is not None
    assert Training(**changed).rare_from(MLP((784, 200, 10)), 1000) is None


def test_only_where_products_are_large():
    assert Training(batch_size=128).rare_from(MLP((784, 200, 10)), 1000) < 100
    assert Training(batch_size=8).rare_from(MLP((784, 50, 10)), 1000) > 784
    assert Training(batch_size=8000).rare_from(MLP((784, 50, 10)), 8) > 784


def test_labels_that_come_in_turns_do_not_hide_a_class(rng):
    """Every tenth image is of a class that alone leaves half of the pixels unused."""
    images = rng.random((20_000, 20)).astype(np.float32)
    images[::10, 10:] = 0
    whole, rare = part_images(images, 1, "float32")
    assert rare is None
    assert whole.shape == (20_000, 20)


def test_a_sample_that_is_not_like_the_rest_is_noticed(rng, monkeypatch):
    monkeypatch.setattr(rare_pixels, "_SAMPLE", 1)
    images = rng.random((500, 20)).astype(np.float32)
    images[:, 10:] *= rng.random((500, 10)) < 0.3
    whole, rare = part_images(images, 1, "float32")
    assert rare is None
    np.testing.assert_array_equal(whole, images)
