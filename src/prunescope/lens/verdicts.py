"""The paper's rule: two results differ when the mean of the paired differences is far from zero.

Far means at least one sample standard deviation (n - 1) of the differences. Pairs are of one replicate. A single pair
has no deviation and gives no verdict. Lower is better. Beside the rule stands what so few pairs can tell: `Power`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist

from prunescope.distributions import quantile, share_within


class TreatmentOutcome(StrEnum):
    """How one result compares with another, by the paper's rule."""

    BETTER = "better"
    WORSE = "worse"
    MATCHES = "matches"
    UNTOLD = "untold"


@dataclass(frozen=True)
class Spread:
    """One quantity over replicates.

    Attributes
    ----------
    replicates
        Names of the replicates, in the order of `values`.
    deviation
        Sample standard deviation (n - 1); None for a single replicate.
    """

    replicates: tuple[str, ...]
    values: tuple[float, ...]
    mean: float
    deviation: float | None


@dataclass(frozen=True)
class Power:
    """What the pairs of a comparison can tell, by Student's t, beside the paper's rule.

    Attributes
    ----------
    low, high
        The 95 % interval of the mean difference.
    p_value
        The chance of a mean at least as far from zero without a difference.
    outcome
        ``better`` or ``worse`` where the interval does not hold zero, else ``untold``: the results cannot be told apart
        with this many replicates.
    replicates
        About how many would tell this difference, four times in five; None where it is zero or would take more than
        1,000. As uncertain as mean and deviation are.
    """

    low: float
    high: float
    p_value: float
    outcome: TreatmentOutcome
    replicates: int | None
    words: str


@dataclass(frozen=True)
class Verdict:
    """Two results compared replicate by replicate: the first minus the second.

    Attributes
    ----------
    measure
        What is compared, such as ``test error``.
    outcome
        ``better`` or ``worse`` where the mean difference is at least one standard deviation from zero, else
        ``matches``; ``untold`` for a single pair.
    differences
        By replicate; their mean and sample standard deviation are `mean` and `deviation`.
    power
        What so few pairs can tell; None of a single pair.
    """

    measure: str
    outcome: TreatmentOutcome
    replicates: tuple[str, ...]
    differences: tuple[float, ...]
    mean: float
    deviation: float | None
    words: str
    power: Power | None


TEST_ERROR, TRAINING_LOSS = "test error", "training loss"
# Rounding of decimal fractions; differences on the edge of the rule count as far.
_ROUNDING = 1e-9
# Smaller differences of errors and losses are rounding.
_NOTHING = 1e-9


def spread(pairs: Iterable[tuple[str, float]]) -> Spread | None:
    """Return a quantity over replicates, without missing values (NaN); None if there are none."""
    known = [(name, float(value)) for name, value in pairs if not math.isnan(value)]
    return spread_over([name for name, _ in known], [value for _, value in known]) if known else None


def spread_over(replicates: Sequence[str], values: Sequence[float]) -> Spread:
    """Return a quantity that every replicate has."""
    return Spread(tuple(replicates), tuple(values), mean_of(values), _deviation(values))


def compare(measure: str, ours: Spread | None, theirs: Spread | None) -> Verdict | None:
    """Compare two results replicate by replicate, ours minus theirs; None if no replicate has both."""
    if ours is None or theirs is None:
        return None
    known = dict(zip(theirs.replicates, theirs.values, strict=True))
    named = zip(ours.replicates, ours.values, strict=True)
    pairs = [(name, value - known[name]) for name, value in named if name in known]
    return judge(measure, [name for name, _ in pairs], [value for _, value in pairs]) if pairs else None


def subtract(ours: Spread | None, theirs: Spread | None) -> Spread | None:
    """Return the difference of two results, replicate by replicate."""
    difference = compare("difference", ours, theirs)
    return None if difference is None else spread_over(difference.replicates, difference.differences)


def judge(measure: str, replicates: Sequence[str], differences: Sequence[float]) -> Verdict:
    """Judge paired differences by the paper's rule."""
    mean, deviation = mean_of(differences), _deviation(differences)
    outcome = _outcome_of(mean, deviation)
    words = _verdict_words(measure, outcome, mean, deviation, len(differences))
    power = None if deviation is None else _power(measure, mean, deviation, len(differences))
    return Verdict(measure, outcome, tuple(replicates), tuple(differences), mean, deviation, words, power)


def _power(measure: str, mean: float, deviation: float, count: int) -> Power:
    """Return what ``count`` pairs can tell."""
    rounded = 0.0 if abs(mean) <= _NOTHING else mean
    low, high = t_interval(rounded, deviation, count)
    outcome = TreatmentOutcome.UNTOLD
    if low > 0 or high < 0:
        outcome = TreatmentOutcome.BETTER if high < 0 else TreatmentOutcome.WORSE
    replicates = replicates_needed(rounded, deviation)
    words = f"95 % interval {amount(measure, low).rpartition(' ')[0]} to {amount(measure, high)}"
    if outcome is TreatmentOutcome.UNTOLD:
        words += f": cannot be told apart with n = {count}"
        words += (
            f"; about {replicates} replicates would tell" if replicates else "; no likely number of replicates would"
        )
    else:
        words += f": {outcome}"
    return Power(low, high, p_value(rounded, deviation, count), outcome, replicates, words)


def _outcome_of(mean: float, deviation: float | None) -> TreatmentOutcome:
    """Apply the rule to a mean difference and its deviation."""
    if deviation is None:
        return TreatmentOutcome.UNTOLD
    if mean == 0 or abs(mean) < deviation * (1 - _ROUNDING):
        return TreatmentOutcome.MATCHES
    return TreatmentOutcome.BETTER if mean < 0 else TreatmentOutcome.WORSE


def _verdict_words(measure: str, outcome: TreatmentOutcome, mean: float, deviation: float | None, count: int) -> str:
    """Format a verdict with its numbers: ``better, -2.1 ± 0.3 points (n = 3)``."""
    if deviation is None:
        return f"{amount(measure, mean)}, no verdict (n = 1)"
    return f"{outcome}, {amount(measure, mean, deviation)} (n = {count})"


def amount(measure: str, mean: float, deviation: float | None = None) -> str:
    """Format a difference with its unit; errors in percentage points."""
    times, unit = (100, "points") if measure.endswith("error") else (1, "nats")
    return f"{signed(times * mean)}{'' if deviation is None else f' ± {times * deviation:.2g}'} {unit}"


def signed(value: float) -> str:
    """Format a difference with its sign; rounding errors count as 0."""
    return f"{value:+.3g}" if abs(value) > _NOTHING else "0"


def mean_of(values: Sequence[float]) -> float:
    """Return the mean; of equal values exactly that value, so that their deviation is zero."""
    return values[0] + math.fsum(value - values[0] for value in values) / len(values)


def _deviation(values: Sequence[float]) -> float | None:
    if len(values) < 2:
        return None
    mean = mean_of(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


CONFIDENCE = 0.95
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


def t_interval(mean: float, deviation: float, count: int, level: float = CONFIDENCE) -> tuple[float, float]:
    """Return Student's t interval of a mean difference."""
    reach = quantile(level, count - 1) * deviation / math.sqrt(count)
    return mean - reach, mean + reach


def replicates_needed(mean: float, deviation: float, level: float = CONFIDENCE, power: float = POWER) -> int | None:
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
