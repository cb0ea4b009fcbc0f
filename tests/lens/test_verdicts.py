"""The paper's rule: two results differ if and only if the mean difference is a deviation away from zero."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunescope.lens.verdicts import TreatmentOutcome, compare, judge, spread, spread_over, subtract

NAMES = "abcdefgh"
DIFFERENCES = st.lists(st.integers(-1000, 1000), min_size=2, max_size=8)


@pytest.mark.parametrize(
    ("differences", "outcome"),
    [
        ([-0.03, -0.02, -0.01], TreatmentOutcome.BETTER),
        ([0.03, 0.02, 0.01], TreatmentOutcome.WORSE),
        ([0.02, 0.01, 0.0], TreatmentOutcome.WORSE),  # mean 0.01, deviation 0.01: at least one away
        ([0.02, 0.01, -0.001], TreatmentOutcome.MATCHES),
        ([0.0, 0.0, 0.0], TreatmentOutcome.MATCHES),
        ([0.01, -0.01], TreatmentOutcome.MATCHES),
        ([0.01, 0.01], TreatmentOutcome.WORSE),
        ([-0.5], TreatmentOutcome.UNTOLD),
    ],
)
def test_results_differ_where_the_mean_is_a_deviation_away_from_zero(
    differences: list[float], outcome: TreatmentOutcome
) -> None:
    assert judge("test error", NAMES[: len(differences)], differences).outcome is outcome


@given(DIFFERENCES)
def test_a_verdict_is_the_rule_with_the_sample_deviation(differences: list[int]) -> None:
    judged = judge("training loss", NAMES[: len(differences)], [float(difference) for difference in differences])
    mean, deviation = statistics.mean(differences), statistics.stdev(differences)
    assert judged.mean == pytest.approx(mean)
    assert judged.deviation == pytest.approx(deviation)
    far = mean != 0 and mean**2 >= statistics.variance(differences)
    wanted = (TreatmentOutcome.BETTER if mean < 0 else TreatmentOutcome.WORSE) if far else TreatmentOutcome.MATCHES
    assert judged.outcome is wanted


@given(DIFFERENCES)
def test_turned_round_better_is_worse(differences: list[int]) -> None:
    turned = {
        TreatmentOutcome.BETTER: TreatmentOutcome.WORSE,
        TreatmentOutcome.WORSE: TreatmentOutcome.BETTER,
        TreatmentOutcome.MATCHES: TreatmentOutcome.MATCHES,
    }
    names = NAMES[: len(differences)]
    there = judge("test error", names, [float(difference) for difference in differences])
    back = judge("test error", names, [-float(difference) for difference in differences])
    assert back.outcome is turned[there.outcome]


def test_pairs_are_of_one_replicate_whatever_their_order() -> None:
    compared_pairs = compare(
        "test error", spread_over(["0", "1", "2"], [0.1, 0.2, 0.3]), spread_over(["2", "0"], [0.25, 0.2])
    )
    assert compared_pairs is not None
    assert compared_pairs.replicates == ("0", "2")
    assert compared_pairs.differences == pytest.approx((-0.1, 0.05))
    assert compare("test error", spread_over(["0"], [0.1]), spread_over(["1"], [0.1])) is None
    assert compare("test error", None, spread_over(["1"], [0.1])) is None


def test_words_tell_the_figures_the_unit_and_how_many_pairs() -> None:
    words = judge("test error", "abc", [-0.03, -0.02, -0.01]).words
    assert words == "better, -2 ± 1 points (n = 3)"
    assert judge("training loss", "ab", [0.5, 0.5]).words == "worse, +0.5 ± 0 nats (n = 2)"
    assert judge("test error", "ab", [0.3 - 0.2, -0.1]).words == "matches, 0 ± 14 points (n = 2)"
    assert judge("test error", "a", [0.05]).words == "+5 points, no verdict (n = 1)"


def test_missing_values_are_of_no_replicate() -> None:
    known = spread([("0", 1.0), ("1", float("nan")), ("2", 3.0)])
    assert known is not None
    assert (known.replicates, known.mean) == (("0", "2"), 2.0)
    assert known.deviation == pytest.approx(2**0.5)
    assert spread([("0", float("nan"))]) is None
    lone = subtract(spread_over(["0"], [2.0]), spread_over(["0"], [0.5]))
    assert lone is not None
    assert (lone.mean, lone.deviation) == (1.5, None)
