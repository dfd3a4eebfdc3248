import jax
import numpy as np
import pytest

from jaxbq.network.mlp import MLP
from jaxbq.training import Adversary, BookTraining, Training, train, train_many
from jaxbq.training.optimisers import Optimiser

MODEL = MLP((30, 9, 3))
KEYS = [jax.random.key(n) for n in (3, 4, 5)]
RULE = Training(epochs=8, batch_size=16, optimiser=Optimiser(learning_rate=0.02))
RULES = [
    (MODEL, RULE),
    pytest.param(
        MODEL,
        Training(epochs=2, batch_size=16, adversary=Adversary(epsilon=0.2, steps=2)),
        marks=pytest.mark.slow,
    ),
    (MLP((30, 9, 3), bias=False), BookTraining(epochs=2)),
]


@pytest.mark.device
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("model", "rule"), RULES, ids=["gradient", "adversary", "book"])
def test_together_or_one_after_another_are_the_networks_of_their_keys(tiny, model, rule):
    single = [train(model, tiny, rule, key=key, dtype="float64") for key in KEYS]
    for together in (True, False):
        heard, done = [], []
        many = train_many(
            model,
            tiny,
            rule,
            keys=KEYS,
            dtype="float64",
            together=together,
            on_epoch=lambda n, metrics, heard=heard: heard.append((n, metrics.epoch)),
            on_trained=lambda n, _, done=done: done.append(n),
        )
        for one, two in zip(single, many, strict=True):
            for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(two.params), strict=True):
                np.testing.assert_allclose(a, b, atol=1e-6)
            for a, b in zip(one.history, two.history, strict=True):
                assert a.loss == pytest.approx(b.loss, abs=1e-9)
                assert (a.train_accuracy, a.test_accuracy) == (b.train_accuracy, b.test_accuracy)
        assert sorted(heard) == [(n, e) for n in range(3) for e in range(1, rule.epochs + 1)]
        assert done == [0, 1, 2]


@pytest.mark.usefixtures("x64")
def test_labels_of_their_own(tiny):
    labels = np.stack([(tiny.train_labels + by) % 3 for by in range(3)])
    for together in (True, False):
        # Of the same type and number as above, for the same programs.
        found = train_many(
            MODEL,
            tiny,
            RULE,
            keys=[KEYS[0]] * 3,
            labels=labels,
            dtype="float64",
            together=together,
        )
        true, *turned = (network.test_accuracy for network in found)
        assert true > 0.8
        assert max(turned) < 0.2
        for by, network in enumerate(found):
            reads = np.asarray(MODEL.logits(network.params, tiny.test_images)).argmax(axis=1)
            assert (reads == (tiny.test_labels + by) % 3).mean() > 0.8
