"""How the page on both papers judges claims: verdicts, and which networks are the smallest of some error."""

from __future__ import annotations

import numpy as np
import pytest
from tools.claims import HOLDS, LIMITS, NOT_MEASURED, NOT_SEEN, Claim
from tools.lens_cases import around
from tools.smallest import sizes_of

from prunescope.laws import JointLaw
from prunescope.laws.data import GroupData

DENSITY = 0.8 ** np.arange(30)


@pytest.mark.parametrize(
    ("met", "verdict", "count"),
    [
        ((True, True), HOLDS, " (2 of 2)"),
        ((True, False), LIMITS, " (1 of 2)"),
        ((False,), NOT_SEEN, " (0 of 1)"),
        ((), NOT_MEASURED, ""),
    ],
)
def test_a_verdict_counts_its_cases(met: tuple[bool, ...], verdict: str, count: str) -> None:
    claim = Claim("Fig. 1", "it is so", "by 2 %", "ours" if met else "", met)
    assert claim.verdict == verdict
    assert claim.row == f"| Fig. 1 | it is so: by 2 % | {'ours' if met else '–'} | **{verdict}**{count} |"


@pytest.mark.parametrize(
    ("mean", "deviation", "most", "words"),
    [(-15.34, 3.8, 2, "-15.3 ± 3.8"), (0.734, 0.1, 2, "+0.73 ± 0.10"), (-0.0047, 0.00031, 4, "-0.0047 ± 0.0003"),
     (0.0, None, 2, "+0.00")],
)  # fmt: skip
def test_a_difference_has_two_digits(mean: float, deviation: float | None, most: int, words: str) -> None:
    assert around(mean, deviation, most) == words


def two_members(errors: tuple[float, float], knees: tuple[float, float]) -> GroupData:
    """Return widths 1 and 2, flat at their unpruned error down to a density, then rising as 1 / density."""
    curves = [np.minimum(1, error * np.maximum(1, knee / DENSITY)) for error, knee in zip(errors, knees, strict=True)]
    count = len(DENSITY)
    table = {
        "width": np.repeat([1.0, 2.0], count),
        "depth": np.ones(2 * count, int),
        "density": np.tile(DENSITY, 2),
        "error": np.concatenate(curves),
    }
    return JointLaw().sample(table).groups[0]


def test_a_larger_network_pruned_until_its_error_rises_can_be_the_smallest() -> None:
    group = two_members((0.2, 0.1), (0.05, 0.05))
    remaining = group.size * group.density
    (sizes,) = sizes_of(group, remaining)
    # The small one keeps its 0.2 down to 0.05, the large one of four times the weights rises to it at 0.025.
    assert sizes.members == 2
    assert sizes.better_ones == (False, False)
    (sizes,) = sizes_of(two_members((0.2, 0.1), (0.4, 0.05)), remaining)
    assert sizes.better_ones == (True, False)


def test_what_the_largest_needs_is_beside_the_smallest() -> None:
    group = two_members((0.1, 0.1), (0.05, 0.05))
    (sizes,) = sizes_of(group, group.size * group.density)
    assert sizes.largest_needs == pytest.approx(4)


def test_the_smallest_by_a_law_is_compared_with_the_smallest_measured() -> None:
    group = two_members((0.2, 0.1), (0.4, 0.05))
    remaining = group.size * group.density
    (right,) = sizes_of(group, remaining, group.error)
    assert right.estimated == pytest.approx([1.0] * len(right.estimated))
    (high,) = sizes_of(group, remaining, group.error / 0.8)
    # Errors that are expected a quarter too high are met one rung of 20 % earlier, where errors rise.
    assert 1 < np.median(high.estimated) <= 1.5625
