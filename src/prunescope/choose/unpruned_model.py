"""What is expected of unpruned errors that were never measured: by a dense law where there are enough for one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prunescope.choose.counts import Counts
from prunescope.choose.normal import Numbers
from prunescope.choose.unpruned import GaussianProcess, Place, Unpruned
from prunescope.errors import InputError
from prunescope.laws import DenseLaw, Fit
from prunescope.laws.predict import predicted
from prunescope.study.catalogue import DATASETS
from prunescope.table import Table

# Members from which on a dense law is asked what it expects; below, it has next to no freedom left.
ENOUGH_DENSE = 6
ONE_SIGMA = 0.6827


@dataclass(frozen=True)
class Expectation:
    """What is expected of unpruned errors before they are measured.

    Attributes
    ----------
    counting
        How members are counted.
    dense
        A dense law; None where there are too few members for one.
    by_count
        Whether its size is counted weights, or ``depth width^2``.
    """

    counting: Counts
    dense: Fit | None
    by_count: bool

    @property
    def words(self) -> str:
        """What it rests on."""
        if self.dense is None:
            return "straight lines in log size and log examples through the measured members"
        return "the dense law fitted to the measured members"

    def place(self, depth: Numbers, width: Numbers, examples: Numbers) -> Place:
        """Put networks in their place, measured or not."""
        if self.dense is None:
            return Place(depth, width, examples)
        size = depth * width**2
        if self.by_count:
            pairs = zip(depth.tolist(), width.tolist(), strict=True)
            size = np.array([self.counting.count(*pair).prunable for pair in pairs])
        ones = np.ones(len(size))
        prediction = predicted(self.dense, ones, ones, size, examples, ONE_SIGMA)
        spread = (np.log(prediction.law_high) - np.log(prediction.law_low)) / 2
        return Place(depth, width, examples, (np.log(prediction.error), np.nan_to_num(spread)))


@dataclass(frozen=True)
class UnprunedModel:
    """Measured unpruned errors, smoothed, and what is expected of others."""

    expectation: Expectation
    smooth: GaussianProcess

    @staticmethod
    def by(expectation: Expectation, cells: Place, log_error: Numbers, noise: Numbers) -> UnprunedModel:
        """Smooth errors measured at cells; noise is 0 where an error was given."""
        cells = expectation.place(cells.depth, cells.width, cells.examples)
        return UnprunedModel(expectation, GaussianProcess.through(cells, log_error, noise))

    def of(self, depth: Numbers, width: Numbers, examples: Numbers) -> Unpruned:
        """Say what is known of networks, measured or not."""
        return self.smooth.of(self.expectation.place(depth, width, examples))

    def mean(self, depth: Numbers, width: Numbers, examples: Numbers) -> Numbers:
        """Return the logarithm of the error to expect of each."""
        return self.smooth.mean(self.expectation.place(depth, width, examples))


def fit_expectation(rows: Table, counting: Counts, cells: Place, classes: int | None) -> Expectation:
    """Let a dense law say what unpruned errors to expect, where there are enough members for one."""
    nothing = Expectation(counting, None, by_count=False)
    if len(set(zip(cells.depth.tolist(), cells.width.tolist(), strict=True))) < ENOUGH_DENSE:
        return nothing
    known = classes or (DATASETS[counting.dataset].classes if counting.dataset in DATASETS else None)
    law = DenseLaw(classes=known, by=[], intervals="quick", starts=8)
    try:
        law.fit(rows)
    except InputError:
        return nothing
    return Expectation(counting, law.fit_, "prunable" in rows) if law.fit_.converged else nothing
