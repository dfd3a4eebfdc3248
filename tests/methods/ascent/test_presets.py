"""The presets, and what the prior among them must hold: the network speaks, not the prior."""

import dataclasses
from typing import get_args

import jax
import numpy as np
import pytest

from jaxbq.errors import JaxbqError
from jaxbq.evaluation import correlation
from jaxbq.methods import AnyMethod, Ascent, invert, preset
from jaxbq.methods.ascent import LogProb, StopRule, Sum, Term
from jaxbq.methods.ascent.presets import PRESETS
from jaxbq.network.mlp import MLP
from jaxbq.network.targets import Codes
from jaxbq.options import describe, validate
from jaxbq.training import train

CLASSES = np.arange(10)


def read_right(judge, result):
    return int((judge.read(result.images[:, 0]).argmax(axis=1) == CLASSES).sum())


def test_whitened_shows_every_class_to_network_judge_and_eye(asked, mnist_10k, judge):
    result = asked(preset("whitened"))
    assert (result.outputs[CLASSES, 0, CLASSES] >= 0.99).all()
    assert read_right(judge, result) == 10
    own = np.diag(correlation(result.images[:, 0], mnist_10k.class_means))
    assert (own >= 0.9).all()


@pytest.mark.slow
def test_whitened_shows_nothing_where_nothing_was_learnt(mnist_10k, judge):
    model = MLP((784, 200, 10))
    random = [model.init(jax.random.key(seed)) for seed in range(5)]
    shuffled = []
    for seed in range(2):  # five in docs/ascent.md; each takes seconds to train
        order = np.random.default_rng(seed).permutation(len(mnist_10k.train_labels))
        labels = mnist_10k.train_labels[order]
        data = dataclasses.replace(mnist_10k, train_labels=labels)
        shuffled.append(train(model, data, key=jax.random.key(seed)).params)
    for networks in (random, shuffled):
        results = [
            invert(preset("whitened"), model, params, Codes().matrix(10), reference=mnist_10k)
            for params in networks
        ]
        assert np.mean([read_right(judge, result) for result in results]) <= 2


def test_the_prior_alone_shows_nothing(asked, mnist_10k, judge):
    silent = Sum(terms=(Term(objective=LogProb(), weight=0.0),))
    method = preset("whitened", objective=silent, restarts=3, start="random")
    result = asked(method)
    assert read_right(judge, result) <= 2
    # It goes to the mean image, whatever class is asked for.
    mean = mnist_10k.train_images.mean(axis=0)
    np.testing.assert_allclose(result.images, np.broadcast_to(mean, result.images.shape), atol=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_raises_its_objective(name, asked):
    method = preset(name, steps=40, stop=StopRule())
    result = asked(method)
    begun = result.diagnostics["curve"][..., 0]
    assert (result.diagnostics["objective"] > begun).all()
    assert describe(method).startswith(name)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_named_in_one_word_or_a_table(name):
    assert validate(AnyMethod, name) == preset(name)
    assert validate(AnyMethod, {"kind": name}) == preset(name)
    changed = validate(AnyMethod, {"preset": name, "steps": 7, "optimiser": {"learning_rate": 0.5}})
    expected = preset(name, steps=7)
    optimiser = dataclasses.replace(expected.optimiser, learning_rate=0.5)
    assert changed == dataclasses.replace(expected, optimiser=optimiser)


def test_a_change_of_kind_replaces_the_table():
    changed = validate(AnyMethod, {"preset": "whitened", "parameterisation": {"kind": "fourier"}})
    assert changed.parameterisation.kind == "fourier"
    assert changed.regularisers == preset("whitened").regularisers


def test_labels_say_what_differs_from_the_preset():
    assert describe(preset("whitened")) == "whitened"
    assert describe(preset("lucid2017", steps=9)) == "lucid2017(steps=9)"
    assert describe(preset("whitened", path=(0, 5), lanes=3)) == "whitened"
    assert describe(Ascent(label="mine", steps=9)) == "mine"
    assert describe(Ascent()) == "ascent"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("whitend", r"unknown kind 'whitend'; did you mean 'whitened'\?$"),
        ({"preset": "maco"}, "unknown preset 'maco'; known: erhan2009"),
        ({"preset": "whitened", "kind": "transpose"}, "presets are ascents, not 'transpose'"),
        ({"preset": "whitened", "stepz": 3}, "stepz: unknown key; did you mean 'steps'"),
    ],
)
def test_mistakes_in_tables(table, message):
    with pytest.raises(JaxbqError, match=message):
        validate(AnyMethod, table)


def test_mistakes_in_python():
    with pytest.raises(JaxbqError, match="unknown preset 'lucid'; known"):
        preset("lucid")
    with pytest.raises(JaxbqError, match="an ascent has no option 'stepz'"):
        preset("whitened", stepz=3)


def test_all_presets_are_kinds_that_no_method_has():
    kinds = {cls().kind for cls in get_args(get_args(AnyMethod)[0])}
    assert not kinds & set(PRESETS)


@pytest.mark.parametrize("table", [{"kind": {"a": 1}}, {"preset": ["whitened"]}, {"preset": {}}])
def test_names_that_are_none(table):
    with pytest.raises(JaxbqError, match="must be a name in quotes"):
        validate(AnyMethod, table)
