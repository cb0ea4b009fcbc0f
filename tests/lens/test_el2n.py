"""Groups by EL2N: even in size, in order, the same whatever order the examples come in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunescope.data.subsample import group_numbers
from prunescope.errors import InputError
from prunescope.lens.example_changes import group_means, top_examples, weigh_change

# Few distinct scores, so that ties are many.
SCORES = st.lists(st.integers(0, 6), min_size=2, max_size=60)


@given(SCORES, st.data())
def test_groups_differ_by_one_in_size_and_follow_the_scores(scores: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(scores)))
    el2n, index = np.array(scores, float), np.arange(len(scores))
    numbers = group_numbers(el2n, index, count)
    sizes = np.bincount(numbers, minlength=count)
    assert sizes.max() - sizes.min() <= 1
    assert (np.diff(sizes) <= 0).all()
    for lower, higher in zip(range(count - 1), range(1, count), strict=True):
        assert el2n[numbers == lower].max() <= el2n[numbers == higher].min()


@given(SCORES, st.randoms(use_true_random=False))
def test_an_example_is_in_one_group_whatever_the_order_and_ties_go_by_index(
    scores: list[int], random: st.DataObject
) -> None:
    el2n, index = np.array(scores, float), np.arange(len(scores)) * 3
    order = list(range(len(scores)))
    random.shuffle(order)  # type: ignore[attr-defined]
    count = max(1, len(scores) // 3)
    assert np.array_equal(group_numbers(el2n, index, count)[order], group_numbers(el2n[order], index[order], count))
    assert np.array_equal(top_examples(el2n, index)[order], top_examples(el2n[order], index[order]))


def test_equal_scores_go_by_their_place_in_the_training_set() -> None:
    numbers = group_numbers(np.ones(5), np.array([40, 10, 30, 0, 20]), 2)
    assert numbers.tolist() == [1, 0, 1, 0, 0]


def test_there_are_no_more_groups_than_examples() -> None:
    with pytest.raises(InputError, match=r"must be 1 to the 3 examples; found 4"):
        group_numbers(np.ones(3), np.arange(3), 4)


def test_means_are_of_each_group() -> None:
    assert group_means(np.array([1.0, 2, 3, 9]), np.array([0, 0, 1, 1]), 2).tolist() == [1.5, 6]


@given(st.integers(2, 200))
def test_the_top_is_a_fifth_but_neither_none_nor_all(size: int) -> None:
    top = top_examples(np.arange(size, dtype=float), np.arange(size))
    assert top.sum() == max(1, round(size / 5))
    assert top[-top.sum() :].all()


def test_the_top_is_weighed_by_magnitudes_and_its_mean_has_a_sign() -> None:
    top = np.array([False, False, False, False, True])
    change = weigh_change(np.array([0.1, -0.1, 0.1, -0.1, -2.0]), top)
    assert (change.top, change.rest) == (-2.0, 0.0)
    assert change.times == pytest.approx(20)
    assert change.share == pytest.approx(2 / 2.4)
    still = weigh_change(np.array([0.0, 0, 0, 0, 1]), top)
    assert np.isnan(still.times)
    assert still.share == 1
    assert np.isnan(weigh_change(np.zeros(5), top).share)
