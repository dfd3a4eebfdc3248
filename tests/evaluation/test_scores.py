import dataclasses
from typing import Any, NamedTuple

import numpy as np
import problems
import pytest
from scipy.special import expit, softmax
from scipy.stats import entropy

from jaxbq.data import ImageSpace
from jaxbq.evaluation import (
    Judge,
    NaturalnessScale,
    Panel,
    correlation,
    score,
    score_together,
)
from jaxbq.evaluation.panel import Member
from jaxbq.evaluation.scores import usual_ratio
from jaxbq.evaluation.statistics import interval
from jaxbq.methods import ClassMean, Preimage, PseudoInverse, Result, Seconds, Transpose, invert
from jaxbq.network.targets import Codes


def result_of(images, outputs, logits=None, targets=None, space=None):
    """A result made by hand: one sample a target."""
    images = np.asarray(images, np.float32)[:, None]
    outputs = np.asarray(outputs, np.float32)[:, None]
    targets = np.eye(3) * 0.98 + 0.01 if targets is None else np.asarray(targets)
    zeros = np.zeros(images.shape[:2], int)
    logits = outputs if logits is None else np.asarray(logits)[:, None]
    space = space or ImageSpace((6, 5))
    seconds = Seconds(0.0, 0.0, 0.0)
    return Result(Transpose(), targets, images, outputs, logits, zeros, zeros, {}, space, seconds)


def test_fidelity_by_hand(tiny):
    outputs = [[0.9, 0.2, 0.0], [0.6, 0.5, 0.1], [0.0, 0.0, 1.0]]
    scores = score(result_of(np.zeros((3, 30)), outputs), "sigmoid", tiny)
    assert scores.intended.ravel().tolist() == [0, 1, 2]
    assert scores.predicted.ravel().tolist() == [0, 0, 2]
    assert scores.right.ravel().tolist() == [True, False, True]
    np.testing.assert_allclose(scores.largest_error.ravel(), [0.19, 0.59, 0.01], atol=1e-6)
    np.testing.assert_allclose(scores.target_probability.ravel(), [0.9, 0.5, 1.0], atol=1e-6)


def test_probability_of_outputs_that_are_none(tiny):
    logits = np.array([[2.0, 1.0, 0.0], [0.0, 0.5, 3.0], [0.0, 0.0, 0.0]])
    scores = score(result_of(np.zeros((3, 30)), np.tanh(logits), logits), "tanh", tiny)
    expected = np.diag(softmax(logits, axis=1))
    np.testing.assert_allclose(scores.target_probability.ravel(), expected)


def test_a_class_mean_correlates_with_itself(tiny):
    scores = score(result_of(tiny.class_means, np.eye(3)), "sigmoid", tiny)
    np.testing.assert_allclose(scores.correlation_own, 1, atol=1e-6)
    assert (scores.correlation_other < 0.9).all()
    expected = np.corrcoef(tiny.class_means)
    np.fill_diagonal(expected, -2)
    assert scores.other_class.ravel().tolist() == expected.argmax(axis=1).tolist()
    np.testing.assert_allclose(scores.correlation_other.ravel(), expected.max(axis=1), atol=1e-5)


def test_correlation_is_pearsons_blind_to_brightness_and_contrast(rng):
    a, b = rng.random((4, 30)), rng.random((3, 30))
    expected = np.corrcoef(a, b)[:4, 4:]
    np.testing.assert_allclose(correlation(a, b), expected, atol=1e-12)
    np.testing.assert_allclose(correlation(a * 0.1 + 5, b), expected, atol=1e-12)
    np.testing.assert_allclose(correlation(-a, b), -expected, atol=1e-12)


def test_a_flat_image_correlates_with_nothing(tiny):
    for brightness in (0.0, 0.1, 1 / 3, 1.0):
        flat = result_of(np.full((3, 30), brightness), np.eye(3))
        assert (score(flat, "sigmoid", tiny).correlation_own == 0).all()


def test_pixels_outside_the_range():
    images = np.zeros((3, 30))
    images[0, :2] = -0.5, 1.25
    images[1, 5] = 1.0
    scores = score(result_of(images, np.eye(3)), "sigmoid")
    assert scores.pixels_outside.ravel().tolist() == [2, 0, 0]
    assert scores.amount_outside.ravel().tolist() == [0.5, 0, 0]


def test_the_ends_of_a_range_count_as_inside_in_every_precision():
    space = ImageSpace((6, 5), 0.01, 1.0)
    images = np.full((3, 30), np.float32(0.01))
    scores = score(result_of(images, np.eye(3), space=space), "sigmoid")
    assert (scores.pixels_outside == 0).all()


def test_without_data_correlations_are_unknown():
    scores = score(result_of(np.zeros((3, 30)), np.eye(3)), "sigmoid")
    assert np.isnan(scores.correlation_own).all()
    assert (scores.other_class == -1).all()


@pytest.mark.parametrize("absent", [0, 2])
def test_a_class_without_training_images(tiny, absent):
    keep = tiny.train_labels != absent
    some = dataclasses.replace(
        tiny, train_images=tiny.train_images[keep], train_labels=tiny.train_labels[keep]
    )
    scores = score(result_of(tiny.class_means, np.eye(3)), "sigmoid", some)
    assert np.isnan(scores.correlation_own[absent, 0])
    assert np.isfinite(np.delete(scores.correlation_own, absent)).all()
    assert (scores.other_class != absent).all()


def test_before_the_policy_where_a_method_has_one(asked, mnist_10k):
    method = PseudoInverse(hidden_policy="clip", pixel_policy="clip")
    result = asked(method)
    scores = score(result, "sigmoid", mnist_10k)
    assert scores.right_before.mean() == 1
    assert scores.right.mean() <= 0.4
    free = asked(dataclasses.replace(method, pixel_policy="none"))
    np.testing.assert_allclose(
        scores.largest_error_before, score(free, "sigmoid").largest_error, atol=1e-6
    )
    raw = free.images
    np.testing.assert_allclose(scores.outside_before, ((raw < 0) | (raw > 1)).mean(axis=-1))
    assert np.isnan(score(result_of(np.zeros((3, 30)), np.eye(3)), "sigmoid").right_before).all()


def test_results_that_are_scored_together_have_the_scores_of_each(asked, rng, tiny, mnist_10k):
    judges, panel = drawn_judges_and_panel(rng)
    small = [result_of(rng.random((3, 30)), rng.random((3, 3))) for _ in range(2)]
    scale = NaturalnessScale(tiny, components=5)
    of_some = {"data": tiny, "judges": judges, "panel": panel, "scale": scale}
    methods = [PseudoInverse(), Preimage(start="random", samples=2), ClassMean()]
    for results, more in (
        (small, of_some),
        ([asked(method) for method in methods], {"data": mnist_10k}),
    ):
        for result, found in zip(results, score_together(results, "sigmoid", **more), strict=True):
            for name, values in score(result, "sigmoid", **more)._asdict().items():
                own = getattr(found, name)
                assert own.shape == values.shape == result.reasons.shape, name
                np.testing.assert_allclose(own, values, rtol=1e-6, atol=1e-7, err_msg=name)


def test_targets_with_two_classes_or_none(tiny):
    targets = [[0.5, 0.5, 0.01], [0.01, 0.01, 0.01], [0.01, 0.01, 0.01]]
    outputs = [[0.3, 0.6, 0.1], [0.2, 0.1, 0.3], [0.01, 0.9, 0.01]]
    scores = score(result_of(np.zeros((3, 30)), outputs, targets=targets), "sigmoid", tiny)
    assert scores.intended.ravel().tolist() == [0, -1, -1]
    # Either class of a tie will do; without a class no output may be off by one half.
    assert scores.right.ravel().tolist() == [True, True, False]
    assert np.isnan(scores.target_probability.ravel()).tolist() == [False, True, True]
    assert np.isnan(scores.correlation_own.ravel()).tolist() == [False, True, True]


def test_naturalness_is_there_when_asked_for(tiny):
    images = tiny.class_means[:3]
    plain = score(result_of(images, np.eye(3)), "sigmoid", tiny)
    assert np.isnan(plain.mahalanobis).all()
    assert (plain.nearest_index == -1).all()
    scale = NaturalnessScale(tiny)
    scores = score(result_of(images, np.eye(3)), "sigmoid", tiny, scale=scale)
    measured = scale.measure(np.asarray(images, np.float32))
    np.testing.assert_allclose(scores.mahalanobis[:, 0], measured.mahalanobis)
    assert scores.nearest_index[:, 0].tolist() == measured.nearest_index.tolist()


def drawn_judges_and_panel(rng):
    """Networks that learnt nothing: what is to be tested is whom they are said to agree with."""
    judges = tuple(
        Judge(name, "", 0, 1.0, *problems.random_network(sizes, rng, "tanh", "softmax", scale=4.0))
        for name, sizes in (
            ("dense", (30, 8, 3)),
            ("convolutional", (30, 3)),
            ("blind_dense", (30, 3)),
        )
    )
    outputs = ("softmax", "sigmoid", "softmax")
    networks, params = zip(
        *(problems.random_network((30, 7, 3), rng, "tanh", o, scale=4.0) for o in outputs),
        strict=True,
    )
    members = tuple(Member(output, 1.0) for output in outputs)
    return judges, Panel(members, networks, params, ImageSpace((6, 5)))


class Answering:
    """A panel that answers everything with what it was given, shape (members, classes)."""

    def __init__(self, answers):
        self.answers = np.asarray(answers)

    def read(self, images):
        return np.repeat(self.answers[:, None], len(images), axis=1)


@pytest.mark.parametrize(
    ("output", "low", "span"), [("sigmoid", 0, 1), ("softmax", 0, 1), ("tanh", -1, 2)]
)
def test_specificity_by_hand(rng, output, low, span):
    # As shares of the span: the network is off by 0.2, three others by 0.1, 0.5 and 0.6.
    target, answer = np.array([0.9, 0.1, 0.1]), np.array([0.7, 0.1, 0.2])
    others = [[0.8, 0.1, 0.1], [0.9, 0.6, 0.1], [0.3, 0.1, 0.1]]
    images = rng.random((1, 30)).astype(np.float32)
    result = result_of(images, low + span * answer[None], targets=low + span * target[None])
    found = score(result, output, panel=Answering(others))
    assert found.specificity[0, 0] == pytest.approx((0.1 + 0.5 + 0.6) / 3 - 0.2, abs=1e-6)
    assert found.own_rank[0, 0] == 2
    # Real images have half of the fidelity.
    less = score(result, output, panel=Answering(others), usual=np.array([0.5]))
    expected = (0.9 + 0.5 + 0.4) / 3
    assert less.specificity[0, 0] == pytest.approx(0.8 - 0.5 * expected, abs=1e-6)
    assert less.own_rank[0, 0] == 2


def test_what_real_images_have_is_their_own_classes(rng, tiny):
    panel = Answering([[0.9, 0.1, 0.1], [0.5, 0.1, 0.1]])
    outputs = np.array([[0.6, 0.1, 0.1], [0.1, 0.7, 0.1], [0.1, 0.1, 0.2]])[tiny.test_labels]
    targets = np.array([[0.9, 0.1, 0.1], [0.1, 0.9, 0.1], [0.5, 0.5, 0.5]])
    found = usual_ratio(outputs, "sigmoid", targets, tiny, panel)
    # The panel is off by 0 and 0.4 of class 0, always by 0.8 of class 1; the network by 0.3, 0.2.
    np.testing.assert_allclose(found[:2], [0.7 / 0.8, 0.8 / 0.2])
    # No class is asked for: all images count.
    off = np.abs(outputs - 0.5).max(axis=1).mean()
    assert found[2] == pytest.approx((1 - off) / 0.6, abs=1e-12)
    # A panel that is always wrong says nothing.
    wrong = usual_ratio(outputs, "sigmoid", np.eye(3)[:1], tiny, Answering([[0, 1.0, 0]]))
    assert wrong.tolist() == [1]
    assert np.isnan(usual_ratio(outputs, "identity", targets, tiny, panel)).all()


def test_specificity_is_unknown_where_it_has_no_meaning(rng):
    result = result_of(rng.random((1, 30)), np.eye(3)[:1], targets=[[0.9, 0.1, 0.1]])
    assert np.isnan(score(result, "sigmoid").specificity).all()
    unbounded = score(result, "identity", panel=Answering(np.eye(3)))
    assert np.isnan([unbounded.specificity, unbounded.own_rank]).all()
    assert unbounded.transfer[0, 0] == pytest.approx(1 / 3)


@pytest.mark.slow
def test_preimages_are_the_networks_own_and_class_means_are_not(standard, mnist_10k):
    panel, codes = Panel.trained_on(mnist_10k), Codes().matrix(10)
    model, params = standard

    def scored(method, own=model, weights=params, among=panel):
        result = invert(method, own, weights, codes, reference=mnist_10k)
        outputs = np.asarray(own.apply(weights, mnist_10k.test_images))
        usual = usual_ratio(outputs, own.output, codes, mnist_10k, among)
        return score(result, own.output, mnist_10k, panel=among, usual=usual)

    exact = scored(Preimage())
    assert (exact.own_rank == 1).mean() >= 0.9
    assert interval(exact.specificity[:, 0][None]).low > 0
    means = scored(ClassMean())
    around = interval(means.specificity[:, 0][None])
    assert around.low < 0.05
    assert around.high > -0.05
    assert (means.own_rank == 1).mean() < 0.5
    # The null: images of one network of the panel, taken for another's, among the rest.
    null = []
    for maker, (own, weights) in enumerate(zip(panel.networks, panel.params, strict=True)):
        images = invert(
            Preimage(), own, weights, Codes().matrix(10, own.output), reference=mnist_10k
        )
        for taken in set(range(5)) - {maker}:
            rest = [n for n in range(5) if n not in (maker, taken)]
            others = dataclasses.replace(
                panel,
                networks=tuple(panel.networks[n] for n in rest),
                params=tuple(panel.params[n] for n in rest),
            )
            answers = panel.read(images.images[:, 0])[taken][:, None]
            as_if = dataclasses.replace(images, outputs=answers, logits=answers)
            real = panel.read(mnist_10k.test_images)[taken]
            usual = usual_ratio(real, "sigmoid", codes, mnist_10k, others)
            found = score(as_if, "sigmoid", panel=others, usual=usual)
            null.append(found.specificity.mean())
    around = interval(np.array(null)[:, None])
    assert around.low <= 0 <= around.high


def test_judges_and_panel_read_when_asked_for(rng, tiny):
    images = np.asarray(tiny.class_means[:3], np.float32)
    nobody = score(result_of(images, np.eye(3)), "sigmoid", tiny)
    unknown = nobody.readability, nobody.accepted, nobody.evidence, nobody.judge_probability
    assert np.isnan([*unknown, nobody.transfer]).all()
    assert (nobody.dense_reads == -1).all()
    (*judges, blind), panel = drawn_judges_and_panel(rng)
    targets = [*(np.eye(3)[:2] * 0.98 + 0.01), [0.01, 0.01, 0.01]]
    scores = score(
        result_of(images, np.eye(3), targets=targets),
        "sigmoid",
        judges=(*judges, blind),
        panel=panel,
    )
    reads = [judge.read(images).argmax(axis=1) for judge in judges]
    assert scores.dense_reads[:, 0].tolist() == reads[0].tolist()
    assert scores.convolutional_reads[:, 0].tolist() == reads[1].tolist()
    expected = np.mean([read[:2] == [0, 1] for read in reads], axis=0)
    np.testing.assert_allclose(scores.readability[:2, 0], expected)
    np.testing.assert_array_equal(scores.accepted, 1)
    np.testing.assert_array_equal(
        scores.evidence[:2, 0], blind.read(images).argmax(axis=1)[:2] == [0, 1]
    )
    chances = np.mean([np.diag(judge.read(images)) for judge in judges], axis=0)
    np.testing.assert_allclose(scores.judge_probability[:2, 0], chances[:2])
    found = panel.read(images)
    share = np.mean(found.argmax(axis=-1)[:, :2] == [0, 1], axis=0)
    np.testing.assert_allclose(scores.transfer[:2, 0], share)
    diagonal = np.mean([np.diag(each) for each in found], axis=0)
    np.testing.assert_allclose(scores.transfer_probability[:2, 0], diagonal[:2])
    # Some agree and some do not, or this could not tell one share from another.
    assert {read.argmax() for read in found.reshape(-1, 3)} == {0, 1, 2}
    assert not np.array_equal(*reads)
    # The last target has no class.
    last = scores.readability[2], scores.judge_probability[2], scores.transfer[2]
    assert np.isnan(last).all()


class Abstainer(NamedTuple):
    """A judge that reads class 0 in everything, and accepts what has a bright first pixel."""

    name: str
    must_answer: bool = False

    def judge(self, images):
        return np.tile([0.7, 0.2, 0.1], (len(images), 1)), (images[:, 0] > 0.5) | self.must_answer


def test_a_judge_that_abstains_reads_nothing():
    images = np.zeros((3, 30), np.float32)
    images[:2, 0] = 1
    judges: Any = Abstainer("neighbour"), Abstainer("dense"), Abstainer("given", True)
    targets = np.eye(3)[[0, 1, 0]]
    scores = score(result_of(images, np.eye(3), targets=targets), "sigmoid", judges=judges)
    for reads in (scores.neighbour_reads, scores.dense_reads):
        assert reads[:, 0].tolist() == [0, 0, -1]
    assert scores.given_reads[:, 0].tolist() == [0, 0, 0]
    assert scores.convolutional_reads[:, 0].tolist() == [-1, -1, -1]
    assert scores.readability[:, 0].tolist() == [1, 0, 0]
    assert scores.accepted[:, 0].tolist() == [1, 1, 0]
    assert scores.evidence[:, 0].tolist() == [1, 0, 1]
    np.testing.assert_allclose(scores.judge_probability[:, 0], [0.7, 0.2, 0])


def test_fidelity_is_one_less_the_share_of_the_span_that_is_missed():
    outputs = np.array([[0.99, 0.01, 0.01], [0.01, 0.49, 0.01], [0.01, 0.01, 0.0]])
    scores = score(result_of(np.zeros((3, 30)), outputs), "sigmoid")
    np.testing.assert_allclose(scores.fidelity.ravel(), [1, 0.5, 0.01], atol=1e-6)
    np.testing.assert_allclose(scores.mean_error.ravel(), [0, 0.5 / 3, 0.99 / 3], atol=1e-6)
    wide = score(result_of(np.zeros((3, 30)), outputs), "tanh")
    np.testing.assert_allclose(wide.fidelity.ravel(), [1, 0.75, 0.505], atol=1e-6)
    far = score(result_of(np.zeros((3, 30)), 5 * outputs), "identity")
    assert far.fidelity[0, 0] == 0


def test_divergence_is_scipys(rng):
    logits = rng.normal(0, 3, (3, 3))
    wanted = rng.dirichlet(np.ones(3), 3)
    of_softmax = score(
        result_of(np.zeros((3, 30)), softmax(logits, axis=1), logits, wanted), "softmax"
    )
    expected = entropy(wanted, softmax(logits, axis=1), axis=1)
    np.testing.assert_allclose(of_softmax.divergence.ravel(), expected, rtol=1e-6)
    of_sigmoid = score(result_of(np.zeros((3, 30)), expit(logits), logits, wanted), "sigmoid")
    pairs = [np.stack([p, 1 - p]) for p in (wanted, expit(logits))]
    np.testing.assert_allclose(of_sigmoid.divergence.ravel(), entropy(*pairs).sum(axis=1))
    # Outputs that round to 1 have a divergence all the same.
    sure = score(result_of(np.zeros((3, 30)), np.eye(3), np.eye(3) * 1e4), "sigmoid")
    assert np.isfinite(sure.divergence).all()
    other = score(result_of(np.zeros((3, 30)), np.tanh(logits), logits), "tanh")
    assert np.isnan(other.divergence).all()


def test_the_template_judge_reads_class_means_and_no_other_class(tiny):
    scores = score(result_of(tiny.class_means, np.eye(3)), "sigmoid", tiny)
    assert (scores.template_right == 1).all()
    turned = score(result_of(tiny.class_means[[1, 2, 0]], np.eye(3)), "sigmoid", tiny)
    assert (turned.template_right == 0).all()
    flat = score(result_of(np.zeros((3, 30)), np.eye(3)), "sigmoid", tiny)
    assert (flat.template_right == 0).all()
    assert np.isnan(score(result_of(np.zeros((3, 30)), np.eye(3)), "sigmoid").template_right).all()
