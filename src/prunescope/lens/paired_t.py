"""How much a comparison of few pairs can tell: Student's t interval, Holm's correction, replicates that would tell.

The paper's rule of one standard deviation stays the rule of `verdicts`; this is told beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

LEVEL = 0.95
"""Confidence of intervals; one minus it is the share of false differences that a test lets through."""
POWER = 0.8
"""The chance to find a difference that is there, by which replicates are counted."""
MOST_REPLICATES = 1000
"""More replicates than anybody trains are not counted."""


def share_within(t: float, freedom: int) -> float:
    """Return the share of Student's t within ``t`` to either side of 0, for a whole number of degrees of freedom.

    The finite sums of Abramowitz and Stegun, 26.7.3 and 26.7.4.
    """
    if math.isinf(t):
        return 1.0
    angle = math.atan(abs(t) / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for step in range(freedom // 2):
        total += term
        term *= cosine**2 * ((2 * step + 2) / (2 * step + 3) if odd else (2 * step + 1) / (2 * step + 2))
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def quantile(level: float, freedom: int) -> float:
    """Return how many standard errors to either side hold a share ``level`` of Student's t."""
    low, high = 0.0, 1.0
    while share_within(high, freedom) < level:
        high *= 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if share_within(middle, freedom) < level else (low, middle)
    return high


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
