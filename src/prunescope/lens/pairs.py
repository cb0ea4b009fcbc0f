"""Outcomes of a dense and a sparse network on the same examples, replicate by replicate, and the examples' scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunescope.lens.cells import Measurements, Scorer
from prunescope.lens.loading import LensSource
from prunescope.lens.outcomes import Outcomes, refuse_other_examples, refuse_other_scores


@dataclass(frozen=True, eq=False)
class Pair:
    """Outcomes of one replicate, dense and sparse.

    Attributes
    ----------
    el2n
        Scores of the examples; None where the store has none for this replicate.
    """

    replicate: str
    ladder: str
    dense: Outcomes
    sparse: Outcomes
    el2n: NDArray[np.float64] | None

    @property
    def differences(self) -> NDArray[np.float64]:
        """Sparse minus dense training loss."""
        return self.sparse.loss - self.dense.loss


def read_pairs(
    source: LensSource, ladders: Sequence[Measurements], rung: int, scorer: Scorer | None
) -> tuple[Pair, ...]:
    """Return the replicates whose outcomes were kept both at rung 0 and at another one."""
    pairs = (_pair(source, ladder, rung, scorer) for ladder in ladders if ladder.dense and ladder.at(rung))
    return tuple(pair for pair in pairs if pair is not None)


def _pair(source: LensSource, ladder: Measurements, rung: int, scorer: Scorer | None) -> Pair | None:
    dense, sparse = source.outcomes(ladder.ladder, 0), source.outcomes(ladder.ladder, rung)
    if dense is None or sparse is None:
        return None
    refuse_other_examples(source.name, sparse, dense)
    candidate = next((candidate for candidate in ladder.scorers if scorer and candidate.alike == scorer.alike), None)
    if candidate is None:
        return Pair(ladder.replicate, ladder.ladder, dense, sparse, None)
    scored = source.scores(candidate)
    refuse_other_scores(source.name, scored, dense)
    return Pair(ladder.replicate, ladder.ladder, dense, sparse, scored.el2n)


def choose_scorer(ladders: Sequence[Measurements]) -> Scorer | None:
    """Return the kind of ensemble that scores the most replicates; of equals the larger, then the longer trained."""
    every = {scorer.alike: scorer for ladder in ladders for scorer in ladder.scorers}
    counts = Counter(scorer.alike for ladder in ladders for scorer in ladder.scorers)
    return every[max(counts, key=lambda alike: (counts[alike], alike))] if counts else None
