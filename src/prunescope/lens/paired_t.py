"""How much a comparison of few pairs can tell: Student's t interval, Holm's correction, replicates that would tell.

The paper's rule of one standard deviation stays the rule of `verdicts`; this is told beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from prunescope.student_t import quantile, share_within

LEVEL = 0.95
"""Confidence of intervals; one minus it is the share of false differences that a test lets through."""
POWER = 0.8
"""The chance to find a difference that is there, by which replicates are counted."""
MOST_REPLICATES = 1000
"""More replicates than anybody trains are not counted."""


def p_value(mean: float, deviation: float, count: int) -> float:
    """Return the chance of a mean of ``count`` pairs at least as far from zero, if there were no difference."""
    if deviation == 0:
        return 0.0 if mean else 1.0
    return max(0.0, 1 - share_within(mean / deviation * math.sqrt(count), count - 1))


def interval(mean: float, deviation: float, count: int, level: float = LEVEL) -> tuple[float, float]:
    """Return Student's t interval of a mean difference."""
    reach = quantile(level, count - 1) * deviation / math.sqrt(count)
    return mean - reach, mean + reach


def replicates_needed(mean: float, deviation: float, level: float = LEVEL, power: float = POWER) -> int | None:
    """Return how many pairs would tell such a difference from zero; None if none is there, or beyond reason.

    Guenther's approximation (1981) for a paired t test: the normal count, and half the squared quantile more.
    """
    if mean == 0:
        return None
    if deviation == 0:
        return 2
    normal = NormalDist()
    two_sided, one_sided = normal.inv_cdf((1 + level) / 2), normal.inv_cdf(power)
    pairs = ((two_sided + one_sided) * deviation / mean) ** 2 + two_sided**2 / 2
    return max(2, math.ceil(pairs)) if pairs <= MOST_REPLICATES else None


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected for their number by Holm's method: step by step, the smallest first."""
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for place, which in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[which]))
        adjusted[which] = highest
    return adjusted
