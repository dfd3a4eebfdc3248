"""Exemplars and baselines against a brute force in NumPy."""

import dataclasses

import numpy as np
import problems
import pytest
from scipy.special import expit, log_softmax, softmax

from jaxbq.data import ImageSpace, Reference
from jaxbq.errors import JaxbqError
from jaxbq.methods import ClassMean, ExemplarMean, Exemplars, Grey, NoiseImage, Reason, invert
from jaxbq.network.targets import Codes


def forward(params, images, hidden=np.tanh):
    a = images.astype(np.float64)
    for layer in params[:-1]:
        a = hidden(a @ np.asarray(layer.weight) + np.asarray(layer.bias))
    return a @ np.asarray(params[-1].weight) + np.asarray(params[-1].bias)


def brute_force(by, output, z, target, k):
    if by == "distance":
        a = expit(z) if output == "sigmoid" else softmax(z, axis=1)
        score, order = np.linalg.norm(a - target, axis=1), 1
    elif by == "logit":
        score, order = z[:, target.argmax()], -1
    else:
        # Ranked by the logarithm, which tells apart what rounds to 1.
        log = -np.log1p(np.exp(-z)) if output == "sigmoid" else log_softmax(z, axis=1)
        score, order = log[:, target.argmax()], -1
    index = np.argsort(order * score, kind="stable")[:k]
    return index, np.exp(score[index]) if by == "probability" else score[index]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("by", ["distance", "logit", "probability"])
@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_exemplars_equal_a_brute_force(rng, tiny, by, output):
    model, params = problems.random_network((30, 7, 3), rng, "tanh", output, scale=3.0)
    targets = Codes().matrix(3, output)
    result = invert(Exemplars(by=by, k=9), model, params, targets, reference=tiny)
    z = forward(params, tiny.train_images)
    for number, target in enumerate(targets):
        index, score = brute_force(by, output, z, target, 9)
        np.testing.assert_array_equal(result.diagnostics["index"][number], index)
        np.testing.assert_allclose(result.diagnostics["score"][number], score, atol=1e-9)
        np.testing.assert_array_equal(result.images[number], tiny.train_images[index])
        np.testing.assert_array_equal(result.diagnostics["label"][number], tiny.train_labels[index])
    assert (result.reasons == Reason.COMPUTED).all()


def test_a_training_image_asked_for_by_its_own_output_ranks_first(rng, mnist_10k):
    model, params = problems.random_network((784, 20, 10), rng)
    chosen = np.array([5, 4321, 9999])  # beyond the first block of images
    outputs = np.asarray(model.apply(params, mnist_10k.train_images[chosen]))
    result = invert(Exemplars(k=2), model, params, outputs, reference=mnist_10k)
    assert result.diagnostics["index"][:, 0].tolist() == chosen.tolist()
    np.testing.assert_array_equal(result.images[:, 0], mnist_10k.train_images[chosen])


def test_ties_are_broken_by_index(rng, tiny):
    model, params = problems.random_network((30, 7, 3), rng)
    twice = dataclasses.replace(
        tiny,
        train_images=np.repeat(tiny.train_images[:5], 3, axis=0),
        train_labels=np.repeat(tiny.train_labels[:5], 3),
    )
    result = invert(Exemplars(k=15), model, params, Codes().matrix(3), reference=twice)
    for index in result.diagnostics["index"]:
        threes = index.reshape(5, 3)
        assert (np.diff(threes, axis=1) == 1).all()
        assert (threes[:, 0] % 3 == 0).all()


def test_other_data_of_the_same_shape_is_other_exemplars(rng, tiny):
    """A compiled program fetches from the data that it was given, not from one before."""
    model, params = problems.random_network((30, 7, 3), rng)
    dark = dataclasses.replace(tiny, train_images=tiny.train_images * np.float32(0.5))
    for data in (tiny, dark, tiny):
        result = invert(Exemplars(), model, params, Codes().matrix(3), reference=data)
        index = result.diagnostics["index"]
        np.testing.assert_array_equal(result.images, data.train_images[index])


def test_the_mean_of_exemplars_is_their_mean(rng, tiny):
    problem = *problems.random_network((30, 7, 3), rng), Codes().matrix(3)
    ranked = invert(Exemplars(k=20), *problem, reference=tiny)
    mean = invert(ExemplarMean(k=20), *problem, reference=tiny)
    np.testing.assert_allclose(mean.images[:, 0], ranked.images.mean(axis=1), atol=1e-6)
    np.testing.assert_array_equal(mean.diagnostics["index"][:, 0], ranked.diagnostics["index"])


def test_baselines_are_what_they_say(rng, tiny):
    model, params = problems.random_network((30, 7, 3), rng)
    targets, space = Codes().matrix(3)[[2, 0]], ImageSpace((6, 5), -1.0, 2.0)
    means = invert(ClassMean(), model, params, targets, reference=tiny).images[:, 0]
    np.testing.assert_allclose(means, tiny.class_means[[2, 0]], atol=1e-6)
    np.testing.assert_array_equal(
        invert(Grey(), model, params, targets, reference=space).images, 0.5
    )
    noise = invert(NoiseImage(samples=50), model, params, targets, reference=space).images
    np.testing.assert_array_equal(noise[0], noise[1])
    assert noise.shape == (2, 50, 30)
    assert noise.min() >= -1
    assert noise.max() <= 2
    assert noise.std() == pytest.approx(3 / 12**0.5, rel=0.05)


@pytest.mark.parametrize("method", [Exemplars(), ExemplarMean(), ClassMean()])
def test_without_training_images_they_refuse(rng, method):
    model, params = problems.random_network((30, 7, 3), rng)
    with pytest.raises(JaxbqError, match="needs training images"):
        invert(method, model, params, Codes().matrix(3), reference=ImageSpace((6, 5)))


def test_more_than_there_are_and_classes_that_are_not_there_are_refused(rng, tiny):
    model, params = problems.random_network((30, 7, 3), rng)
    targets = Codes().matrix(3)
    with pytest.raises(JaxbqError, match="k = 121, but there are 120 training images"):
        invert(Exemplars(k=121), model, params, targets, reference=tiny)
    some = tiny.train_labels != 1
    fewer = Reference(tiny.space, tiny.train_images[some], tiny.train_labels[some])
    with pytest.raises(JaxbqError, match="no training image of class 1"):
        invert(ClassMean(), model, params, targets, reference=fewer)
    with pytest.raises(JaxbqError, match="needs the labels"):
        invert(
            ClassMean(), model, params, targets, reference=Reference(tiny.space, tiny.train_images)
        )
