import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxbq.errors import JaxbqError
from jaxbq.network.mlp import MLP
from jaxbq.training import (
    Adversary,
    BookTraining,
    Checkpoint,
    Training,
    checkpoint,
    train,
    train_many,
    trains_together,
)
from jaxbq.training.optimisers import Optimiser

MODEL = MLP((30, 9, 3))
KEYS = [jax.random.key(n) for n in (3, 4, 5)]
ADAM = Training(epochs=5, batch_size=50)


def with_optimiser(**options):
    return dataclasses.replace(ADAM, optimiser=Optimiser(**options))


# What a state may hold: half precision and a step's number, a random key, and nothing.
RULES = {
    "half precision on a schedule": with_optimiser(
        name="adam", schedule="cosine", options=(("mu_dtype", "bfloat16"),)
    ),
    "random": with_optimiser(name="noisy_sgd"),
    "adversary": dataclasses.replace(ADAM, noise=0.1, adversary=Adversary(epsilon=0.2, steps=2)),
    "book": BookTraining(epochs=5),
}


@pytest.fixture(autouse=True)
def _every_epoch(monkeypatch):
    monkeypatch.setattr(checkpoint, "EVERY_S", 0.0)


class Stop(BaseException):
    pass


def same(one, two):
    """Same bits; same history but for the seconds."""
    for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(two.params), strict=True):
        assert (a.dtype, np.asarray(a).tobytes()) == (b.dtype, np.asarray(b).tobytes())
    timeless = [[dataclasses.replace(e, seconds=0.0) for e in x.history] for x in (one, two)]
    return timeless[0] == timeless[1]


def stopping_at(last, heard):
    def hear(*what):
        heard.append(what[-1])
        if what[-1].epoch == last:
            raise Stop

    return hear


# What optax says of a noisy optimiser without a key.
@pytest.mark.filterwarnings("ignore:Specifying a key")
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_stopped_training_goes_on_to_the_same_bits(tiny, tmp_path, rule):
    model = dataclasses.replace(MODEL, bias=rule.rule != "book")
    whole = train(model, tiny, rule, key=KEYS[0])
    path, heard = tmp_path / "0.checkpoint.npz", []
    for stop in (2, 4):
        with pytest.raises(Stop):
            train(
                model,
                tiny,
                rule,
                key=KEYS[0],
                on_epoch=stopping_at(stop, heard),
                checkpoint=Checkpoint(path),
            )
    again = train(
        model, tiny, rule, key=KEYS[0], on_epoch=heard.append, checkpoint=Checkpoint(path)
    )
    assert same(whole, again)
    assert [metrics.epoch for metrics in heard] == [1, 2, 3, 4, 5]
    # The seconds of the epochs before the stop are those that they took.
    assert again.history == tuple(heard)
    # Once all is done, nothing is left to do.
    assert same(whole, train(model, tiny, rule, key=KEYS[0], checkpoint=Checkpoint(path)))
    Checkpoint(path).remove()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("together", "dtype"), [(True, "float32"), (False, "float64")])
def test_many_go_on_to_the_same_bits(tiny, tmp_path, together, dtype):
    def go(**more):
        with jax.enable_x64(dtype == "float64"):
            return train_many(MODEL, tiny, ADAM, keys=KEYS, dtype=dtype, together=together, **more)

    def kept(number):
        return Checkpoint(tmp_path / f"{number}.npz")

    whole, heard = go(), []
    with pytest.raises(Stop):
        go(on_epoch=stopping_at(3, heard), checkpoint=kept)
    names = [path.name for path in tmp_path.iterdir()]
    assert names == (["None.npz"] if together else ["0.npz"])
    again = go(on_epoch=lambda n, metrics: heard.append((n, metrics.epoch)), checkpoint=kept)
    assert all(map(same, whole, again))
    assert {str(leaf.dtype) for leaf in jax.tree.leaves([one.params for one in again])} == {dtype}
    assert (0, 4) in heard
    assert (0, 3) not in heard


def test_trained_together_the_last_epoch_is_always_kept(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "EVERY_S", 1e9)
    path = tmp_path / "all.npz"
    train_many(
        MODEL, tiny, ADAM, keys=KEYS, together=True, checkpoint=lambda number: Checkpoint(path)
    )
    assert path.exists()
    assert trains_together(True, 2)
    assert not trains_together(True, 1)
    assert trains_together(None, 2) == (jax.default_backend() != "cpu")


def test_checkpoints_are_no_more_frequent_than_said(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "EVERY_S", 1e9)
    train(MODEL, tiny, ADAM, checkpoint=Checkpoint(tmp_path / "x.npz"))
    assert not list(tmp_path.iterdir())


@pytest.fixture
def stopped(tiny, tmp_path):
    """A checkpoint after two epochs."""
    path = tmp_path / "x.npz"
    with pytest.raises(Stop):
        train(MODEL, tiny, ADAM, on_epoch=stopping_at(2, []), checkpoint=Checkpoint(path))
    return path


def other_data(data):
    images = data.train_images.copy()
    images[7, 7] += 0.01
    return dataclasses.replace(data, train_images=images)


@pytest.mark.parametrize(
    "change",
    [
        lambda model, data, rule: (model, data, dataclasses.replace(rule, epochs=6)),
        lambda model, data, rule: (MLP((30, 8, 3)), data, rule),
        lambda model, data, rule: (model, other_data(data), rule),
    ],
    ids=["options", "network", "data"],
)
def test_no_other_training_goes_on_from_it(tiny, stopped, change):
    model, data, rule = change(MODEL, tiny, ADAM)
    with pytest.raises(JaxbqError, match=r"other options or data.; delete it and run again"):
        train(model, data, rule, checkpoint=Checkpoint(stopped))
    for more in ({"key": KEYS[0]}, {"params": MODEL.init(KEYS[1], jnp.float32)}):
        with pytest.raises(JaxbqError, match="other options or data"):
            train(MODEL, tiny, ADAM, checkpoint=Checkpoint(stopped), **more)


def test_a_state_of_another_optimiser_does_not_fit(stopped):
    """As if a new version of optax had changed it."""
    params = MODEL.init(KEYS[0], jnp.float32)
    state = ADAM.start(MODEL, params, 120)
    with np.load(stopped) as file:
        fingerprint = json.loads(str(file["about"]))["fingerprint"]
    for odd, message in (
        ((), "it has 13 arrays, the training 4"),
        (jax.tree.map(lambda a: a[None], state), r"int32\(\) for int32\(1,\)"),
        (jax.tree.map(lambda a: a.astype(jnp.int8), state), r"int32\(\) for int8\(\)"),
    ):
        begin = checkpoint.Progress(params, odd, ((),))
        with pytest.raises(JaxbqError, match=message):
            Checkpoint(stopped).restore(begin, lambda: fingerprint)


def test_damage_is_one_line(tiny, stopped):
    """Cut off, or one byte another, anywhere: it is noticed, or changes nothing."""
    good = stopped.read_bytes()
    whole = train(MODEL, tiny, ADAM)
    noticed = 0
    rng = np.random.default_rng(3)
    places = rng.integers(0, len(good), 75).tolist()
    for n, place in enumerate(places):
        broken = bytearray(good)
        broken[place] ^= int(rng.integers(1, 256))
        stopped.write_bytes(good[:place] if n % 5 == 0 else broken)
        try:
            found = train(MODEL, tiny, ADAM, checkpoint=Checkpoint(stopped))
        except JaxbqError as fault:
            noticed += 1
            line = str(fault)
            assert line.startswith(f"{stopped}: training cannot go on from it (")
            assert line.endswith("; delete it and run again")
            assert "\n" not in line
        else:
            assert same(whole, found)
        stopped.write_bytes(good)
    assert noticed > 60
