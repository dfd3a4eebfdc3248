import dataclasses

import jax
import numpy as np
import problems
import pytest
from prepare import few_digits

from jaxbq.data import Dataset, Grid, ImageSpace
from jaxbq.evaluation import abstaining, abstaining_judges, on_noise, score, trained_judges
from jaxbq.evaluation.edges import NearestVotes, Typical, edges, principal
from jaxbq.evaluation.mush import HARD, KINDS, source
from jaxbq.methods import Exemplars, Grey, NoiseImage, PseudoInverse, Transpose


@pytest.fixture(scope="module")
def some(mnist_10k) -> Dataset:
    return few_digits(mnist_10k)


@pytest.fixture(scope="module")
def three(some, few_digits_judged):
    return abstaining_judges(some)


def test_they_read_digits_and_accept_no_mush(three, some, rng):
    assert [judge.name for judge in three] == ["dense", "convolutional", "neighbour"]
    of = source(some.test_images, some.test_labels, some.space, rng)
    for judge in three:
        chances, accepted = judge.judge(some.test_images)
        np.testing.assert_allclose(chances.sum(axis=1), 1)
        right = accepted & (chances.argmax(axis=1) == some.test_labels)
        assert right.mean() == judge.test_accuracy > 0.8
        assert on_noise(judge, some).noise_accepted == 0
        for kind in ("flat", "noise", "spectrum", "phases", "traces", "pictures"):
            assert judge.accepts(of.draw(kind, 200)).mean() <= 0.03
            assert kind in judge.description


def test_they_see_contrast_and_brightness_and_answer_to_anything(three, some):
    digits = some.test_images[:200]
    odd = np.stack([np.full(784, value) for value in (0, 0.5, 1, np.nan, np.inf, -1e30)])
    for judge in three:
        assert not judge.accepts(odd).any()
        assert not judge.accepts(0.5 + 0.1 * digits).any()
        # Clipped to the range.
        np.testing.assert_array_equal(judge.read(digits), judge.read(np.where(digits, digits, -5)))
        assert judge.judge(digits[:0])[0].shape == (0, 10)


SHAPES = [(28, 28), (8, 8), (3, 3), (1, 40), (50, 2), (9, 7, 3), (60,), (3, 4, 5, 2), (1, 1)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_mush_of_any_shape_is_in_the_range(kind, shape, rng):
    pixels = int(np.prod(shape))
    images = rng.random((30, pixels), np.float32)
    of = source(images, rng.integers(0, 3, 30), ImageSpace(shape), rng)
    made = of.draw(kind, 37)
    assert made.shape == (37, pixels)
    assert made.dtype == np.float32
    assert 0 <= made.min() <= made.max() <= 1
    assert np.isfinite(edges(made, of.grid)).all()


def test_mush_is_no_image_that_it_was_made_of(mnist_10k, rng):
    of = source(mnist_10k.train_images, mnist_10k.train_labels, mnist_10k.space, rng)
    for kind in KINDS:
        made = of.draw(kind, 64)
        nearest = (made**2).sum(axis=1)[:, None] + (of.images**2).sum(axis=1)
        assert (nearest - 2 * made @ of.images.T).min() > 1e-2
        assert len(np.unique(made, axis=0)) > 30


def test_edges_are_where_brightness_rises(rng):
    image = np.zeros((28, 28), np.float32)
    image[:, 14:] = 1
    found = edges(image.reshape(1, -1), Grid(28, 28, 1)).reshape(7, 7, 9)
    assert found[3, :, 0].argmax() == 3  # to the right, in the middle
    assert found[3, 3, :8].argmax() == 0
    np.testing.assert_allclose(found[3, :, 8], [0, 0, 0, 0.5, 1, 1, 1], atol=0.45)
    turned = edges(image.T.reshape(1, -1), Grid(28, 28, 1)).reshape(7, 7, 9)
    np.testing.assert_allclose(turned[..., 2], found[..., 0].T, atol=1e-6)
    faint = edges(0.25 * image.reshape(1, -1), Grid(28, 28, 1)).reshape(7, 7, 9)
    np.testing.assert_allclose(faint[..., :8], 0.5 * found[..., :8], atol=1e-3)
    np.testing.assert_allclose(faint[..., 8], 0.25 * found[..., 8], atol=1e-6)


def test_components_are_those_of_the_covariance(rng):
    for size in (40, 9):
        rows = rng.standard_normal((20, size)) * np.arange(1, size + 1)
        mean, vectors, variances = principal(rows, 5)
        values = np.linalg.eigvalsh(np.cov(rows.T, bias=True))[::-1][:5]
        np.testing.assert_allclose(variances, values, rtol=1e-6)
        np.testing.assert_allclose(((rows - mean) @ vectors).var(axis=0), values, rtol=1e-4)


def test_distances_are_those_of_a_gaussian(rng):
    rows = rng.standard_normal((400, 6)) * [5, 4, 1, 1, 1, 1] + 3
    typical = Typical.fitted(rows.astype(np.float32), np.zeros(400, int), 2)
    found = typical.distances(rows.astype(np.float32), np.zeros(400, int))
    assert found.mean() == pytest.approx(6, rel=0.05)  # χ² of six degrees of freedom
    centred = rows - rows.mean(axis=0)
    exact = np.einsum("ni,ij,nj->n", centred, np.linalg.inv(np.cov(rows.T)), centred)
    assert np.corrcoef(found, exact)[0, 1] > 0.95
    assert np.isinf(typical.distances(rows[:3].astype(np.float32), np.ones(3, int))).all()


def test_the_nearest_vote_and_far_away_nobody_does(rng):
    rows = np.concatenate([rng.normal(at, 0.1, (20, 4)) for at in (0, 1, 2)]).astype(np.float32)
    labels = np.repeat([0, 1, 2], 20).astype(np.int32)  # of three: two classes and none
    votes = NearestVotes(3, components=3)
    params = votes.fitted(rows, labels, rows[:40] + 0.05)
    asked = np.array([[0] * 4, [1] * 4, [2] * 4, [9] * 4], np.float32)
    assert np.asarray(jax.jit(votes.logits)(params, asked)).argmax(axis=1).tolist() == [0, 1, 2, 2]


@pytest.mark.parametrize("number", [12, 150])
def test_few_images_and_empty_classes_are_no_obstacle_and_all_is_kept(
    number, tmp_path, monkeypatch
):
    monkeypatch.setenv("JAXBQ_CACHE", str(tmp_path))
    monkeypatch.setattr(abstaining, "_LEAST_ROWS", 1000)
    data = problems.striped_dataset()
    chosen = np.resize(np.arange(len(data.train_labels)), number)
    data = dataclasses.replace(
        data,
        train_images=data.train_images[chosen],
        train_labels=data.train_labels[chosen],
        class_names=("row", "column", "corner", "never"),
    )
    found = trained_judges(data)
    assert len(found) == 5
    for judge in found:
        chances, accepted = judge.judge(data.test_images)
        assert chances.shape == (len(data.test_images), 4)
        assert np.isfinite(chances).all()
        assert accepted.shape == data.test_labels.shape
    monkeypatch.setattr(abstaining, "_make", lambda *_: pytest.fail("the cache was not read"))
    again = abstaining_judges(dataclasses.replace(data))
    for one, same in zip(found, again, strict=False):
        for made, kept in zip(
            one.judge(data.test_images), same.judge(data.test_images), strict=True
        ):
            np.testing.assert_array_equal(made, kept)
        assert one.test_accuracy == same.test_accuracy


@pytest.mark.slow
def test_held_out_kinds_of_mush_are_refused_and_digits_read(mnist_10k):
    space, random = mnist_10k.space, np.random.default_rng(9)
    of = source(mnist_10k.test_images, mnist_10k.test_labels, space, random)
    accepted = {}
    # Some of all, one of them made of whole strokes: a training takes a minute.
    for kinds in (HARD[:1], ("phases",), ("patches",)):
        found = abstaining_judges(mnist_10k, without=kinds)
        assert np.mean([judge.test_accuracy for judge in found]) >= 0.96
        for kind in kinds:
            mush = of.draw(kind, 500)
            accepted[kind] = np.mean([judge.accepts(mush).mean() for judge in found])
    easy = [share for kind, share in accepted.items() if kind not in HARD]
    assert len(easy) == 2
    assert np.mean(easy) <= 0.01, accepted
    assert max(easy) <= 0.05, accepted
    # A limit of these judges, so that it does not grow.
    assert max(accepted[kind] for kind in HARD[:1]) <= 0.8, accepted


@pytest.mark.slow
def test_methods_are_read_as_by_the_eye(mnist_10k, asked):
    three = abstaining_judges(mnist_10k)

    def read(method):
        return score(asked(method), "sigmoid", mnist_10k, judges=three).readability[:, 0].mean()

    assert read(Grey()) == read(NoiseImage()) == 0
    for policy in ("none", "clip"):
        assert read(PseudoInverse(hidden_policy="clip", pixel_policy=policy)) <= 0.05
    assert read(Exemplars()) >= 0.9
    assert read(Transpose()) <= 0.1
