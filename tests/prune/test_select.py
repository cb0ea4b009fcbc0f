"""Which weights survive: counts, ranks, ties, nesting."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from prunescope.errors import PrunescopeError
from prunescope.prune import keep_highest, kept_count


@given(st.integers(1, 10**8), st.integers(0, 60))
def test_the_count_is_that_of_exact_arithmetic(size: int, level: int) -> None:
    exact = size * Fraction(4, 5) ** level
    got = kept_count(size, 0.2, level)
    # Where exact arithmetic lies on a half, floating point may fall to either side.
    assert abs(got - exact) <= Fraction(1, 2) + Fraction(1, 10**6)


def test_counts_of_lenet_follow_the_papers_levels() -> None:
    assert [kept_count(266_200, 0.2, level) for level in range(6)] == [
        266_200,
        212_960,
        170_368,
        136_294,
        109_036,
        87_228,
    ]


def oracle(scores: np.ndarray, mask: np.ndarray, count: int) -> np.ndarray:
    """Remove one weight after another: always the lowest, of equals the earliest."""
    survivors = mask.copy()
    while survivors.sum() > count:
        lowest = min((scores[place], place) for place in np.flatnonzero(survivors))
        survivors[lowest[1]] = False
    return survivors


sizes = st.integers(1, 40)


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    size = draw(sizes)
    values = st.sampled_from([0.0, 0.5, 1.0, 2.0]) if draw(st.booleans()) else st.floats(0, 1e6, width=32)
    scores = draw(arrays.arrays(np.float32, size, elements=values))
    mask = draw(arrays.arrays(np.bool_, size))
    return scores, mask, draw(st.integers(0, int(mask.sum())))


@given(cases())
def test_the_lowest_go_first_and_of_equals_the_earlier(case: tuple[np.ndarray, np.ndarray, int]) -> None:
    scores, mask, count = case
    survivors = keep_highest(scores, mask, count)
    assert survivors.sum() == count
    assert np.array_equal(survivors, oracle(scores, mask, count))


@given(cases(), st.integers(0, 40))
def test_fewer_survivors_lie_within_more(case: tuple[np.ndarray, np.ndarray, int], fewer: int) -> None:
    scores, mask, count = case
    more = keep_highest(scores, mask, count)
    fewer = min(fewer, count)
    assert not (keep_highest(scores, mask, fewer) & ~more).any()
    assert not (keep_highest(-scores, more, fewer) & ~more).any()


def test_the_mask_keeps_its_shape_and_what_was_pruned_does_not_matter() -> None:
    scores = np.array([[np.nan, 3.0], [1.0, 2.0]])
    survivors = keep_highest(scores, np.array([[False, True], [True, True]]), 2)
    assert survivors.tolist() == [[False, True], [False, True]]


def test_more_than_survive_cannot_be_kept() -> None:
    with pytest.raises(PrunescopeError, match="3 weights cannot be kept of 2"):
        keep_highest(np.arange(4.0), np.array([True, True, False, False]), 3)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_finite_numbers_are_refused(wrong: float) -> None:
    with pytest.raises(PrunescopeError, match="infinite or no numbers"):
        keep_highest(np.array([1.0, wrong, 2.0]), np.ones(3, bool), 2)
