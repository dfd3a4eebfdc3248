"""Networks of other libraries as functions: outputs are the library's own."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from problems import random_network, striped_dataset

from jaxbq.data import ImageSpace
from jaxbq.errors import JaxbqError
from jaxbq.methods import Ascent, Preimage, Reason, invert
from jaxbq.network.adapters import as_network
from jaxbq.network.mlp import MLP

SPACE = ImageSpace((6, 5))


class FlaxLeNet(nnx.Module):
    """With what is other in training than afterwards."""

    def __init__(self):
        rngs = nnx.Rngs(0)
        self.conv = nnx.Conv(1, 4, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.dense = nnx.Linear(3 * 2 * 4, 3, rngs=rngs)

    def __call__(self, images):
        halved = nnx.avg_pool(nnx.tanh(self.norm(self.conv(images))), (2, 2), (2, 2))
        return self.dense(self.drop(halved.reshape(len(images), -1)))


class EquinoxLeNet(eqx.Module):
    conv: eqx.nn.Conv2d
    drop: eqx.nn.Dropout
    dense: eqx.nn.Linear

    def __init__(self):
        one, two = jax.random.split(jax.random.key(3))
        self.conv = eqx.nn.Conv2d(1, 4, 3, key=one)
        self.drop = eqx.nn.Dropout(0.5)
        self.dense = eqx.nn.Linear(4 * 4 * 3, 3, key=two)

    def __call__(self, image):
        return jax.nn.softmax(self.dense(self.drop(jnp.tanh(self.conv(image)).reshape(-1))))


def keras_lenet():
    keras = pytest.importorskip("keras")
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((6, 5, 1)),
            layers.Conv2D(4, 3, activation="tanh"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    random = np.random.default_rng(2)
    for weight in model.weights:
        weight.assign(random.uniform(0.1, 0.5, tuple(weight.shape)))
    return model


def torch_lenet():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    nn = torch.nn
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Dropout(), nn.Flatten()
    )
    model.append(nn.Linear(4 * 4 * 3, 3))
    model(torch.rand(50, 1, 6, 5))  # moves BatchNorm's statistics
    return model


def flax_answers(model, images):
    model.eval()
    return jax.nn.softmax(model(images.reshape(-1, 6, 5, 1)))


def equinox_answers(model, images):
    return jax.vmap(eqx.nn.inference_mode(model))(images.reshape(-1, 1, 6, 5))


def keras_answers(model, images):
    return model(images.reshape(-1, 6, 5, 1), training=False)


def torch_answers(model, images):
    import torch

    with torch.no_grad():
        values = model.eval()(torch.from_numpy(images.reshape(-1, 1, 6, 5)))
    return torch.softmax(values, dim=1).numpy()


LENETS = {
    "flax": (FlaxLeNet, flax_answers),
    "equinox": (EquinoxLeNet, equinox_answers),
    "keras": (keras_lenet, keras_answers),
    "torch": (torch_lenet, torch_answers),
}


@pytest.fixture(
    # Those whose import takes seconds are left out of `make test`.
    params=[
        "flax",
        "equinox",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("keras", "torch")),
    ]
)
def lenet(request):
    make, answers = LENETS[request.param]
    # Keras promotes ranks.
    with jax.numpy_rank_promotion("allow"):
        yield make(), answers


def images_of(number, seed=5):
    return np.random.default_rng(seed).uniform(0, 1, (number, 30)).astype(np.float32)


def test_outputs_are_those_of_the_library(lenet):
    given, answers = lenet
    model, params = as_network(given, SPACE)
    images = images_of(20)
    np.testing.assert_allclose(model.apply(params, images), answers(given, images), atol=2e-6)


def test_gradients_are_those_of_finite_differences(lenet):
    model, params = as_network(lenet[0], SPACE)
    x, along = images_of(2)
    slope = jax.grad(lambda rows: model.logits(params, rows)[0, 1])(x[None])[0] @ along
    up, down = (model.logits(params, (x + h * along)[None])[0, 1] for h in (0.01, -0.01))
    assert float(slope) == pytest.approx(float(up - down) / 0.02, rel=0.02, abs=2e-3)


def test_an_ascent_raises_what_it_asks_for(lenet):
    model, params = as_network(lenet[0], SPACE)
    targets = np.full((3, 3), 0.1) + 0.7 * np.eye(3)
    result = invert(Ascent(steps=20), model, params, targets, reference=SPACE)
    grey = np.asarray(model.apply(params, np.full((1, 30), 0.5, np.float32)))
    before = np.abs(grey - targets).max(axis=1)
    assert (np.abs(result.outputs[:, 0] - targets).max(axis=1) < before).all()


def test_the_given_model_is_left_as_it_is():
    given = FlaxLeNet()
    as_network(given, SPACE)
    assert not given.drop.deterministic
    assert not given.norm.use_running_average


def test_a_preimage_of_a_convolutional_network_is_exact(x64):
    model, params = as_network(FlaxLeNet(), SPACE, dtype="float64")
    wanted = np.asarray(model.apply(params, images_of(2).astype(np.float64)))
    result = invert(Preimage(), model, params, wanted, reference=SPACE)
    assert (result.reasons == Reason.REACHED).all()
    np.testing.assert_allclose(result.outputs[:, 0], wanted, atol=1e-7)


@pytest.mark.slow
def test_pytorch_cannot_be_differentiated_twice_and_says_so():
    model, params = as_network(torch_lenet(), SPACE)
    with pytest.raises(JaxbqError, match="differentiate twice"):
        invert(Preimage(), model, params, np.full((1, 3), 1 / 3), reference=SPACE)


def test_random_weights_are_the_same_numbers_in_another_order(lenet):
    model, params = as_network(lenet[0], SPACE)
    mixed = model.init(jax.random.key(1))
    for own, other in zip(jax.tree.leaves(params), jax.tree.leaves(mixed), strict=True):
        np.testing.assert_array_equal(np.sort(np.ravel(own)), np.sort(np.ravel(other)))
    images = images_of(5)
    assert float(jnp.abs(model.apply(mixed, images) - model.apply(params, images)).max()) > 0.01


def rows(images):
    return images.reshape(len(images), -1)


@pytest.mark.parametrize(
    ("values", "meant"),
    [
        (lambda x: 5 * rows(x)[:, :3] - 2, ("softmax", "logits")),
        (lambda x: jax.nn.softmax(rows(x)[:, :3]), ("softmax", "outputs")),
        (lambda x: rows(x)[:, :3], ("sigmoid", "outputs")),
        (lambda x: jax.nn.log_softmax(rows(x)[:, :3]), ("softmax", "logits")),
    ],
)
def test_what_values_mean_is_read_from_them(values, meant):
    model, _ = as_network(values, SPACE)
    assert (model.output, model.returns) == meant
    images = images_of(4)
    if meant[1] == "outputs":
        np.testing.assert_allclose(model.apply((), images), values(images), rtol=1e-5)


def test_what_is_said_of_values_is_believed():
    model, _ = as_network(lambda x: rows(x)[:, :3], SPACE, output="softmax", returns="logits")
    images = images_of(4)
    np.testing.assert_allclose(model.apply((), images), jax.nn.softmax(images[:, :3]), rtol=1e-6)


@pytest.mark.parametrize("logits", [True, False])
def test_a_single_value_is_the_second_of_two_classes(logits):
    from jaxbq.data import Dataset

    data = striped_dataset()
    two = data.train_labels < 2
    two_classes = Dataset(
        data.train_images[two], data.train_labels[two], data.train_images[two],
        data.train_labels[two], data.space, ("no", "yes"),
    )  # fmt: skip

    def value(images):
        z = 6 * rows(images).mean(axis=1) - 2
        return z if logits else jax.nn.sigmoid(z)

    model, params = as_network(value, two_classes)
    images = images_of(4)
    chance = np.asarray(jax.nn.sigmoid(6 * images.mean(axis=1) - 2))
    wanted = np.stack([1 - chance, chance], axis=1)
    np.testing.assert_allclose(model.apply(params, images), wanted, rtol=1e-5)


def test_colours_come_first_where_the_network_wants_them_first():
    space = ImageSpace((4, 4, 3))
    conv = eqx.nn.Conv2d(3, 2, 4, key=jax.random.key(0))

    def answer(image):
        return conv(image)[:, 0, 0]

    model, params = as_network(jax.vmap(answer), space, output="identity")
    images = np.random.default_rng(0).uniform(0, 1, (3, 48)).astype(np.float32)
    first = np.moveaxis(images.reshape(3, 4, 4, 3), 3, 1)
    np.testing.assert_allclose(model.apply(params, images), jax.vmap(answer)(first), rtol=1e-5)
    assert model.input_shape == (3, 4, 4)


def test_a_pair_of_function_and_params_has_these_params():
    weight = np.random.default_rng(0).normal(size=(30, 3))
    model, params = as_network((lambda w, x: x @ w, weight), SPACE)
    np.testing.assert_allclose(params, weight, rtol=1e-6)
    images = images_of(3)
    np.testing.assert_allclose(model.logits(params, images), images @ weight, rtol=1e-4, atol=1e-5)


def test_an_mlp_stays_one(rng):
    own, params = random_network((30, 4, 3), rng)
    model, kept = as_network((own, params), SPACE)
    assert isinstance(model, MLP)
    assert kept is params


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, "int is no network: give"),
        (lambda images: images, r"no row of 3 values .*\(30,\): it answers in the shape \(30,\)"),
        (lambda images: 1 / 0, "no row of 3 values .*division by zero"),
        (lambda images: rows(images)[:, :3] / 0, "not finite"),
        (lambda images: rows(images)[:, :3] * images.ndim, "answers differently"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_is_no_network_is_refused_in_one_line(given, message):
    data = striped_dataset()
    with pytest.raises(JaxbqError, match=message) as fault:
        as_network(given, data)
    assert "\n" not in str(fault.value)


def test_a_shape_of_other_pixels_is_refused():
    with pytest.raises(JaxbqError, match=r"\(3, 3\) does not have the 30 pixels"):
        as_network(lambda x: rows(x)[:, :3], SPACE, input_shape=(3, 3))


def test_a_function_without_parameters_has_no_controls():
    model, _ = as_network(lambda x: rows(x)[:, :3], SPACE)
    with pytest.raises(JaxbqError, match="no parameters, so it has no controls"):
        model.init(jax.random.key(0))


@pytest.mark.slow
def test_keras_on_another_library_is_refused(monkeypatch):
    keras = pytest.importorskip("keras")
    given = keras_lenet()
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(JaxbqError, match="KERAS_BACKEND=jax"):
        as_network(given, SPACE)
