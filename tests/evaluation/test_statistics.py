import itertools
import math

import numpy as np
import pytest
from scipy import stats

from jaxbq.errors import JaxbqError
from jaxbq.evaluation import statistics
from jaxbq.evaluation.statistics import Interval, compare_groups, compare_pairs, holm, interval

SIMULATIONS = 500
# Four standard errors of a share of 0.95 in that many simulations: one such test in 15,000 fails
# by chance, were they not seeded. Below it, 0.01 more: what Student's and the bootstrap interval
# are short of with few units of a bounded score.
ERROR = 4 * math.sqrt(0.95 * 0.05 / SIMULATIONS)
LOWEST, HIGHEST = 0.95 - ERROR - 0.01, 0.95 + ERROR
FAST = 399  # resamples: an interval by them covers as often, and is only less smooth


def networks(rng, number, classes=10, effect=0.0):
    """Values with an effect of the network, which all its classes share."""
    shared = rng.normal(size=(number, 1))
    return effect + shared + rng.normal(size=(number, classes))


def answers(rng, number, classes=10):
    """Right and wrong answers of networks of which some are better; 0.7 are right in the mean."""
    return (rng.random((number, classes)) < rng.beta(5.6, 2.4, (number, 1))).astype(float)


def coverage(make, truth):
    found = [interval(make(), resamples=FAST) for _ in range(SIMULATIONS)]
    return np.mean([each.low <= truth <= each.high for each in found])


@pytest.mark.parametrize("number", [5, 10])
@pytest.mark.parametrize(("make", "truth"), [(networks, 0.0), (answers, 0.7)])
def test_intervals_cover(rng, make, truth, number):
    assert LOWEST <= coverage(lambda: make(rng, number), truth) <= HIGHEST


def test_images_of_one_network_are_no_independent_tries(rng):
    # What covers when networks are the units must not when their images are: the oracle can fail.
    as_if = coverage(lambda: networks(rng, 10).reshape(1, -1), 0.0)
    assert as_if < 0.8


def test_a_difference_of_groups_is_covered(rng):
    found = [
        compare_groups(networks(rng, 8, effect=1.0), networks(rng, 12), resamples=FAST)
        for _ in range(SIMULATIONS)
    ]
    covered = np.mean([each.difference.low <= 1 <= each.difference.high for each in found])
    assert LOWEST <= covered <= HIGHEST
    assert not any(each.paired for each in found)


def test_an_interval_of_few_is_students(rng):
    values = networks(rng, 5)
    units = values.mean(axis=1)
    expected = stats.t.interval(0.95, 4, units.mean(), stats.sem(units))
    found = interval(values)
    np.testing.assert_allclose(found[:3], [units.mean(), *expected])
    assert found[3:] == (5, "networks")


def test_an_interval_of_many_is_the_percentile_interval_made_wider(rng):
    values = networks(rng, 10)
    units = values.mean(axis=1)
    found, wider = interval(values), interval(values, level=0.99)
    plain = stats.bootstrap(
        (units,), np.mean, n_resamples=4999, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert wider.low < found.low < plain.low < found.mean < plain.high < found.high < wider.high
    # For a normal mean all good intervals are alike.
    student = stats.t.interval(0.95, 9, units.mean(), stats.sem(units))
    np.testing.assert_allclose(found[1:3], student, atol=0.2 * (student[1] - student[0]))
    assert interval(values) == found
    assert interval(values, seed=1) != found


@pytest.mark.parametrize("sizes", [(10,), (8, 12)])
def test_the_bootstrap_is_scipys(rng, sizes):
    groups = [rng.normal(size=size) for size in sizes]
    scipys = stats.bootstrap(
        groups,
        statistics._difference,
        n_resamples=4999,
        vectorized=True,
        confidence_level=0.93,
        method="percentile",
        rng=np.random.default_rng(3),
    ).confidence_interval
    found = statistics._percentiles(groups, 4999, 0.035, 3)
    np.testing.assert_allclose(found, scipys, rtol=1e-12)


@pytest.mark.parametrize("number", [1, 4])
def test_few_networks_have_classes_for_units(rng, number):
    values = rng.random((number, 10))
    found = interval(values)
    assert found == interval(values.mean(axis=0, keepdims=True))
    assert found.unit == "classes"
    assert found.number == 10
    assert interval(rng.random((5, 10))).unit == "networks"
    # Turned round they are ten networks of a single class.
    assert interval(values.mean(axis=0)[:, None]) == found._replace(unit="networks")


def test_what_is_unknown_is_left_out(rng):
    values = rng.random((9, 4))
    holes = np.vstack([values, np.full(4, np.nan)])
    holes[0, 1:] = np.nan
    units = np.array([values[0, 0], *values[1:].mean(axis=1)])
    assert interval(holes) == interval(np.repeat(units[:, None], 1, axis=1))
    assert interval(holes).number == 9


def test_nothing_one_and_no_variation():
    nothing = interval(np.full((3, 4), np.nan))
    assert np.isnan(nothing[:3]).all()
    assert nothing[3:] == (0, "")
    assert interval(np.full((0, 4), 1.0)).number == 0
    one = interval(np.array([[0.25]]))
    assert one.mean == 0.25
    assert np.isnan([one.low, one.high]).all()
    assert one[3:] == (1, "networks")
    # 0.1 + 0.2 is not 0.3, and yet no variation.
    alike = np.array([[0.1 + 0.2], [0.3], [0.3]])
    assert interval(alike)[1:3] == (interval(alike).mean,) * 2
    assert interval(np.ones((10, 10))) == Interval(1, 1, 1, 10, "networks")
    assert interval(np.zeros((10, 10), np.float32)) == Interval(0, 0, 0, 10, "networks")


def test_an_interval_ends_where_the_score_does():
    shares = np.array([[1.0], [1.0], [0.7]])
    assert interval(shares).high > 1
    assert interval(shares, within=(0, 1)).high == 1
    assert interval(shares, within=(0.5, 1)).low == 0.5


def test_holm_by_hand():
    # Sorted 0.005, 0.01, 0.03, 0.04, times 4, 3, 2, 1: 0.02, 0.03, 0.06, 0.04, the last raised.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
    # What is no test does not count.
    found = holm([0.01, math.nan, 0.04])
    assert found[::2] == pytest.approx([0.02, 0.04])
    assert math.isnan(found[1])


def test_tests_are_scipys(rng):
    first, second = networks(rng, 9, effect=0.5), networks(rng, 9)
    paired = compare_groups(first, second, paired=True)
    ours = stats.ttest_rel(first.mean(axis=1), second.mean(axis=1))
    assert paired.p == pytest.approx(ours.pvalue)
    assert (paired.number, paired.unit, paired.paired) == (9, "networks", True)
    apart = compare_groups(first, second[:7])
    welch = stats.ttest_ind(first.mean(axis=1), second[:7].mean(axis=1), equal_var=False)
    assert apart.p == pytest.approx(welch.pvalue)
    assert (apart.number, apart.paired) == (7, False)
    assert apart.difference[1:3] == pytest.approx(welch.confidence_interval())


@pytest.mark.parametrize(("some", "others", "paired"), [(4, 4, True), (4, 6, False), (6, 1, False)])
def test_fewer_than_five_networks_are_compared_by_classes_and_not_tested(rng, some, others, paired):
    first, second = networks(rng, some, effect=3.0), networks(rng, others)
    found = compare_groups(first, second, paired=paired)
    assert np.isnan([found.p, found.p_holm]).all()
    assert (found.number, found.unit, found.paired) == (10, "classes", True)
    assert found.difference == interval((first.mean(axis=0) - second.mean(axis=0))[None])


def test_effects_by_hand():
    # Differences 1, 2, 3: mean 2, deviation 1; Hedges' correction for 2 degrees is 1/√π.
    first, second = np.array([[2.0], [4.0], [6.0]]), np.array([[1.0], [2.0], [3.0]])
    found = compare_groups(first, second, paired=True)
    assert found.effect == pytest.approx(2 / math.sqrt(math.pi))
    # Deviations 2 and 1 pooled: √2.5; the correction for 4 degrees is Γ(2) / √2 Γ(1.5).
    found = compare_groups(first, second)
    correction = math.gamma(2) / (math.sqrt(2) * math.gamma(1.5))
    assert found.effect == pytest.approx(2 / math.sqrt(2.5) * correction)


def test_effects_are_unbiased(rng):
    found = [
        compare_groups(networks(rng, 5, 1, 2.0), networks(rng, 5, 1), resamples=9).effect
        for _ in range(1000)
    ]
    # The deviation of a value is √2, and so is the effect; four standard errors of the mean.
    assert np.mean(found) == pytest.approx(math.sqrt(2), abs=4 * np.std(found) / math.sqrt(1000))


def test_differences_that_do_not_vary():
    ones, zeros = np.ones((6, 3)), np.zeros((6, 3))
    found = compare_groups(ones, zeros, paired=True)
    assert found.difference == Interval(1, 1, 1, 6, "networks")
    assert (found.p, found.effect) == (2**-5, math.inf)
    assert compare_groups(zeros, ones, paired=True).effect == -math.inf
    same = compare_groups(ones, ones, paired=True)
    assert (same.p, same.effect, same.difference.mean) == (1, 0, 0)
    # Six against six: two of 924 ways to deal them out are as far apart.
    assert compare_groups(ones, zeros).p == pytest.approx(2 / 924)
    assert compare_groups(ones, ones).p == 1
    # Rounding is no difference.
    assert compare_groups(np.full((6, 3), 0.1 + 0.2), np.full((6, 3), 0.3), paired=True).p == 1


def test_too_few_to_tell():
    one = compare_groups(np.array([[1.0]]), np.array([[0.0]]))
    assert one.difference.mean == 1
    assert np.isnan([one.p, one.p_holm, one.effect, one.difference.low]).all()
    unknown = compare_groups(np.full((3, 2), np.nan), np.ones((3, 2)), paired=True)
    assert unknown.number == 0
    assert math.isnan(unknown.p)
    # The mean of Hedges' estimate is infinite for two units.
    two = compare_groups(np.array([[1.0], [2.0]]), np.array([[0.0], [0.5]]), paired=True)
    assert math.isnan(two.effect)
    assert math.isnan(two.p)
    with pytest.raises(JaxbqError, match="3 networks cannot be paired with 2"):
        compare_groups(np.ones((3, 2)), np.ones((2, 2)), paired=True)


def test_pairs_are_compared_over_the_cells_that_both_have(rng):
    values = {name: networks(rng, 5) for name in "abc"}
    values["b"][2, 3:] = np.nan
    values["c"][4] = np.nan
    found = compare_pairs(values)
    assert [(each.first, each.second) for each in found] == list(itertools.combinations("abc", 2))
    first, second = (np.where(np.isnan(values["b"]), np.nan, values[name]) for name in "ab")
    units = np.nanmean(first, axis=1) - np.nanmean(second, axis=1)
    assert found[0].p == pytest.approx(stats.ttest_1samp(units, 0).pvalue)
    assert [each.number for each in found] == [5, 4, 4]
    assert [each.p_holm for each in found] == holm([each.p for each in found])


def test_the_family_errs_as_rarely_as_it_says(rng):
    # Four methods that do not differ, six tests: without Holm's correction every fifth family errs.
    families, wrong, naive = 250, 0, 0
    for _ in range(families):
        shared = networks(rng, 6)
        found = compare_pairs({n: shared + networks(rng, 6) for n in "abcd"}, resamples=9)
        wrong += any(each.p_holm < 0.05 for each in found)
        naive += any(each.p < 0.05 for each in found)
    assert wrong / families <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / families)
    assert naive / families > 0.1


def test_true_differences_are_found(rng):
    # All networks share what makes one hard to invert; only pairing them shows the difference.
    shared = 3 * networks(rng, 10)
    values = {n: shared + networks(rng, 10, effect=2.0 * k) for k, n in enumerate("abc")}
    found = compare_pairs(values)
    assert all(each.p_holm < 0.05 for each in found)
    assert all(each.difference.high < 0 for each in found)
    assert all(each.effect < -1 for each in found)
    assert compare_groups(values["a"], values["b"]).p > 0.05
