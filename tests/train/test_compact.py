"""What pruning has cut off, against a search along every single path."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from prunescope.train.dense import Flags, Units, remaining


def leads_in(masks: list[Flags], level: int, unit: int) -> bool:
    """Whether a path comes from the input to a unit."""
    if level == 0:
        return True
    mask = masks[level - 1][unit]
    return any(mask[below] and leads_in(masks, level - 1, below) for below in range(len(mask)))


def leads_out(masks: list[Flags], level: int, unit: int) -> bool:
    """Whether a path goes from a unit to an output."""
    if level == len(masks):
        return True
    mask = masks[level][:, unit]
    return any(mask[above] and leads_out(masks, level + 1, above) for above in range(len(mask)))


def chosen(units: Units, member: int) -> list[int]:
    assert not units.places[member][~units.real[member]].any()
    return [int(place) for place in units.places[member][units.real[member]]]


sizes = st.lists(st.integers(1, 5), min_size=2, max_size=5)


@given(sizes, st.integers(1, 4), st.floats(0, 0.6), st.integers(0, 2**32))
def test_units_are_on_a_path_or_constant_or_left_out(sizes: list[int], members: int, density: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    masks = [rng.random((members, out, into)) < density for into, out in pairwise(sizes)]
    left = remaining(masks)
    last = len(sizes) - 1
    for level, size in enumerate(sizes):
        most_changing = most_constant = 0
        for member in range(members):
            member_masks = [mask[member] for mask in masks]
            out = [unit for unit in range(size) if leads_out(member_masks, level, unit)]
            changing = [unit for unit in out if level == last or leads_in(member_masks, level, unit)]
            constant = [unit for unit in out if unit not in changing]
            assert chosen(left.changing[level], member) == changing
            assert chosen(left.constant[level], member) == constant
            most_changing, most_constant = max(most_changing, len(changing)), max(most_constant, len(constant))
        assert left.changing[level].count == max(1, most_changing)
        assert left.constant[level].count == most_constant
    counts = [units.count for units in left.changing]
    assert left.multiplications == sum(a * b for a, b in pairwise(counts))


def test_a_whole_network_keeps_every_unit() -> None:
    left = remaining([np.ones((2, 4, 3), bool), np.ones((2, 2, 4), bool)])
    assert [units.count for units in left.changing] == [3, 4, 2]
    assert [units.count for units in left.constant] == [0, 0, 0]
    assert left.multiplications == 3 * 4 + 4 * 2
