"""Student's t by finite sums against SciPy; Holm's correction by hand; counts of replicates against exact power."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from prunescope.distributions import quantile, share_within
from prunescope.lens.verdicts import holm, p_value, replicates_needed, t_interval


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 8, 9, 29, 30, 99])
def test_shares_and_quantiles_are_scipys(freedom: int) -> None:
    for t in (0.0, 0.3, 1.0, 4.3, 50.0):
        assert share_within(t, freedom) == pytest.approx(1 - 2 * stats.t.sf(t, freedom), abs=1e-13)
    assert quantile(0.95, freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-9)


def test_intervals_and_p_values_are_those_of_the_paired_test() -> None:
    differences = np.array([-0.03, -0.01, -0.025, -0.002])
    mean, deviation = differences.mean(), differences.std(ddof=1)
    test = stats.ttest_1samp(differences, 0.0)
    assert p_value(mean, deviation, 4) == pytest.approx(test.pvalue)
    expected = test.confidence_interval(0.95)
    assert t_interval(mean, deviation, 4) == pytest.approx((expected.low, expected.high))
    assert (p_value(0.0, 0.0, 3), p_value(0.1, 0.0, 3)) == (1.0, 0.0)


@pytest.mark.parametrize("effect", [0.2, 0.5, 1.0, 2.0])
def test_the_replicates_that_would_tell_have_four_chances_in_five(effect: float) -> None:
    count = replicates_needed(-effect, 1.0)
    assert count is not None

    def power(pairs: int) -> float:
        edge = stats.t.ppf(0.975, pairs - 1)
        return float(stats.nct.sf(edge, pairs - 1, effect * np.sqrt(pairs)))

    assert power(count + 1) > 0.79
    assert power(count - 2) < 0.8


def test_no_count_of_replicates_tells_what_is_equal() -> None:
    assert replicates_needed(0.0, 1.0) is None
    assert replicates_needed(0.01, 1.0) is None
    assert replicates_needed(0.1, 0.0) == 2


def test_holm_multiplies_the_smallest_by_all_and_never_falls() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
