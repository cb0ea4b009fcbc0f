"""Whether EL2N stands for influence: leave one group of examples out, retrain, and see how far test error moves.

The paper assumes it, after Paul et al. (2021). Here each ladder of a leave-out treatment with ``leave = "group"``
leaves out one group by EL2N; the absolute change of its test error is set beside the mean EL2N of what it left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from prunescope.lens.cells import Measurements
from prunescope.lens.example_changes import choose_scorer
from prunescope.lens.loading import LensSource
from prunescope.lens.verdicts import Spread
from prunescope.study.sections import GROUP


@dataclass(frozen=True)
class LeftOutGroup:
    """One dense network trained without one group of examples.

    Attributes
    ----------
    el2n
        Mean score of the examples left out.
    change
        Test error minus that of the replicate's dense network.
    """

    replicate: str
    ladder: str
    count: int
    el2n: float
    change: float


@dataclass(frozen=True)
class Influence:
    """Influence of groups of examples by their EL2N.

    Attributes
    ----------
    correlation
        Spearman's rank correlation of EL2N and absolute change of test error; None of fewer than three groups, or where
        either never varies.
    """

    groups: tuple[LeftOutGroup, ...]
    correlation: float | None
    words: str


def measure_influence(source: LensSource, cell: Sequence[Measurements], dense: Spread | None) -> Influence | None:
    """Return how test error moves without each group; None where no such networks were trained.

    Parameters
    ----------
    dense
        Test errors of the replicates' dense networks.
    """
    groups = tuple(sorted(_left_out(source, cell, dense), key=lambda group: (group.el2n, group.ladder)))
    if not groups:
        return None
    el2n = np.array([group.el2n for group in groups])
    change = np.abs([group.change for group in groups])
    correlation = None
    if len(groups) > 2 and np.ptp(el2n) and np.ptp(change):
        correlation = float(np.corrcoef(_mean_ranks(el2n), _mean_ranks(change))[0, 1])
    words = f"{len(groups)} dense networks trained without one group by EL2N"
    if correlation is not None:
        words += f": rank correlation of mean EL2N and absolute change of test error {correlation:+.2f}"
    return Influence(groups, correlation, words)


def _left_out(source: LensSource, cell: Sequence[Measurements], dense: Spread | None) -> Iterator[LeftOutGroup]:
    errors = dict(zip(dense.replicates, dense.values, strict=True)) if dense else {}
    scorer = choose_scorer(cell)
    scores = {
        ladder.replicate: kind for ladder in cell for kind in ladder.scorers if scorer and kind.alike == scorer.alike
    }
    for ladder in cell:
        if ladder.treatment.leave != GROUP or not ladder.rows:
            continue
        index = source.left_out(ladder.ladder)
        if index is None or not len(index) or ladder.replicate not in errors or ladder.replicate not in scores:
            continue
        scored = source.scores(scores[ladder.replicate])
        chosen = np.isin(scored.index, index)
        if chosen.any():
            change = ladder.rows[0].test_error - errors[ladder.replicate]
            mean = float(scored.el2n[chosen].mean())
            yield LeftOutGroup(ladder.replicate, ladder.ladder, len(index), mean, change)


def _mean_ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks; equal values share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: np.ndarray = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return ranks
