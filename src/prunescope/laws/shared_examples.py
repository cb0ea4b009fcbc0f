"""The test examples that all networks of a group share, and how their errors would move together on others.

Of ``n`` examples one network's error ``e`` would deviate on others by a share of variance ``(1 - e) / (e n)``: the
binomial part. Networks that err on nested sets share all of it, those that err on examples by chance nothing, and what
they do not share is part of the noise between replicates already. With outcomes of single examples these are resampled,
the same ones for all networks, and replicates say how much networks share. Without them the scatter of replicates says
it (`replicates`), and without replicates all of it counts as shared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import whole_percent

Numbers = NDArray[np.float64]
Rows = NDArray[np.int64] | NDArray[np.bool_] | slice

RESAMPLES = 200
# Errors at which the share is kept, and how far in log errors networks count as alike.
KNOTS, ALIKE = 16, 0.2
# Outcomes unpacked at a time.
BLOCK = 20_000_000


@dataclass(frozen=True)
class Resampled:
    """What resamples of the test examples make of a group's errors.

    Attributes
    ----------
    points, unpruned
        The logarithm of each point's error, and of its unpruned error, on each resample over the one on all examples:
        ``[points, resamples]``.
    agreement
        The correlation between replicates of being wrong on an example, point by point; NaN without replicates.
    """

    points: Numbers
    unpruned: Numbers
    agreement: Numbers

    def pick(self, points: Rows) -> Resampled:
        """Return some of the points."""
        return Resampled(self.points[points], self.unpruned[points], self.agreement[points])


@dataclass(frozen=True)
class SharedExamples:
    """How much the errors of all networks would deviate together on other test examples.

    Attributes
    ----------
    examples
        How many there are; None where that is not known, and then nothing is said of others.
    errors, shares
        Where examples were resampled: errors in order, and what networks with such errors share of the binomial
        deviation. Without errors a single share, or none: all of it.
    """

    examples: int | None = None
    errors: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()

    @staticmethod
    def of(examples: int | None, resampled: Resampled | None, log_error: Numbers, share: float = 1.0) -> SharedExamples:
        """Return it of a group's points; `share` is what networks share where examples were not resampled."""
        if examples is None or resampled is None:
            return SharedExamples(examples, (), () if examples is None or share >= 1 else (share,))
        known = ~np.isnan(resampled.agreement)
        at = np.unique(np.quantile(log_error, np.linspace(0, 1, KNOTS)))
        if not known.any():
            return SharedExamples(examples, tuple(np.exp(at).tolist()), (1.0,) * len(at))
        apart = (at[:, None] - log_error[known]) ** 2 / (2 * ALIKE**2)
        weight = np.exp(apart.min(axis=1, keepdims=True) - apart)
        shares = np.sqrt(np.clip(weight @ resampled.agreement[known] / weight.sum(axis=1), 0.0, 1.0))
        return SharedExamples(examples, tuple(np.exp(at).tolist()), tuple(shares.tolist()))

    @property
    def by(self) -> str | None:
        """How other test examples were allowed for; None where their number is not known."""
        if self.examples is None:
            return None
        if self.errors:
            return f"{RESAMPLES} resamples of {self.examples:,}"
        part = f", of which networks share {whole_percent(self.shares[0])} by their replicates" if self.shares else ""
        return f"binomial, of {self.examples:,}{part}"

    def noise(self, error: float | Numbers) -> Numbers:
        """Return the relative standard deviation of errors that all networks share."""
        return np.asarray(self._binomial(error) * self._share(error))

    def own_noise(self, error: float | Numbers) -> Numbers:
        """Return that of a single network's errors beyond: chance that replicates show as noise between them.

        It is no difference between trainings, and gone on very many examples. 0 where all of the deviation counts as
        shared.
        """
        return np.asarray(self._binomial(error) * np.sqrt(1 - self._share(error) ** 2))

    def _binomial(self, error: float | Numbers) -> Numbers:
        if self.examples is None:
            return np.zeros(np.shape(error))
        return np.asarray(np.sqrt(np.maximum(1 / np.asarray(error) - 1, 0) / self.examples))

    def _share(self, error: float | Numbers) -> Numbers:
        if not self.errors:
            return np.full(np.shape(error), self.shares[0] if self.shares else 1.0)
        return np.asarray(np.interp(np.log(error), np.log(self.errors), self.shares))


UNKNOWN_EXAMPLES = SharedExamples()


@dataclass(frozen=True)
class PackedOutcomes:
    """Which examples networks get wrong or right, eight to a byte: ``[networks, bytes]``."""

    bits: NDArray[np.uint8]
    examples: int

    def wrong(self, rows: Rows) -> NDArray[np.float32]:
        """Return 1 where a network is wrong, ``[networks, examples]``."""
        return 1 - np.unpackbits(self.bits[rows], axis=1, count=self.examples).astype(np.float32)


def resample(outcomes: PackedOutcomes, draws: int = RESAMPLES, seed: int = 0) -> tuple[Numbers, Numbers]:
    """Return the networks' errors on all examples, and on each of some resamples ``[networks, resamples]``."""
    count = outcomes.examples
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), draws).T
    weight = np.concatenate([np.ones((count, 1)), drawn], axis=1).astype(np.float32)
    size = max(1, BLOCK // count)
    starts = range(0, len(outcomes.bits), size)
    parts = [outcomes.wrong(slice(first, first + size)) @ weight for first in starts]
    errors = np.concatenate(parts).astype(np.float64) / count
    return errors[:, 0], errors[:, 1:]


def agreement(outcomes: PackedOutcomes, replicates: NDArray[np.int64]) -> float:
    """Return the correlation between some networks of being wrong on an example; NaN of fewer than two.

    Near 0 where they err on different examples as if by chance, 1 where they err on the same ones.
    """
    count = len(replicates)
    if count < 2:
        return float("nan")
    wrong = outcomes.wrong(replicates)
    alone = float(wrong.var(axis=1, dtype=np.float64).sum())
    together = float(wrong.sum(axis=0).var(dtype=np.float64))
    if alone <= 0:
        return float("nan")
    return (together / alone - 1) / (count - 1)


def log_change(resampled: Numbers, error: float, examples: int) -> Numbers:
    """Return the logarithm of resampled errors over that on all examples; half an error more keeps it finite."""
    half = 0.5 / examples
    return np.asarray(np.log((resampled + half) / (error + half)))
