"""Outcomes of a dense and a sparse network on the same examples, replicate by replicate, and the largest changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunescope.lens.cells import Measurements, Scorer
from prunescope.lens.loading import LensSource
from prunescope.lens.outcomes import Outcomes, refuse_other_examples, refuse_other_scores


@dataclass(frozen=True)
class Example:
    """One training example under pruning.

    Attributes
    ----------
    index
        Its place in the training set.
    label
        The label trained on, noise included.
    difference
        `sparse_loss` minus `dense_loss`.
    """

    index: int
    label: int
    noisy: bool
    dense_loss: float
    sparse_loss: float
    difference: float
    el2n: float | None


@dataclass(frozen=True)
class Extremes:
    """Of one replicate, the examples whose training loss pruning changes most, the largest change first."""

    replicate: str
    ladder: str
    worsened: tuple[Example, ...]
    improved: tuple[Example, ...]
    noisy_worsened: int
    words: str


@dataclass(frozen=True, eq=False)
class Pair:
    """Outcomes of one replicate, dense and sparse.

    Attributes
    ----------
    el2n
        Scores of the examples; None if the store has none for this replicate.
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
    """Return the replicates whose outcomes were kept at rung 0 and at another rung."""
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
    """Return the kind of ensemble that scores most replicates; ties by size, then by epochs."""
    every = {scorer.alike: scorer for ladder in ladders for scorer in ladder.scorers}
    counts = Counter(scorer.alike for ladder in ladders for scorer in ladder.scorers)
    return every[max(counts, key=lambda alike: (counts[alike], alike))] if counts else None


def find_extremes(pair: Pair, count: int) -> Extremes:
    """Return the ``count`` examples at either end, the largest change first; ties by index."""
    differences = pair.differences
    order = np.lexsort((pair.dense.index, differences))
    back = np.lexsort((pair.dense.index, -differences))
    worsened = [int(place) for place in back[:count] if differences[place] > 0]
    improved = [int(place) for place in order[:count] if differences[place] < 0]
    noisy = int(np.count_nonzero(pair.dense.noisy[worsened]))
    words = f"replicate {pair.replicate}: of the {len(worsened)} examples that pruning worsens most, {noisy} are noisy"
    return Extremes(
        pair.replicate,
        pair.ladder,
        tuple(_example(pair, place) for place in worsened),
        tuple(_example(pair, place) for place in improved),
        noisy,
        words,
    )


def _example(pair: Pair, place: int) -> Example:
    return Example(
        index=int(pair.dense.index[place]),
        label=int(pair.dense.label[place]),
        noisy=bool(pair.dense.noisy[place]),
        dense_loss=float(pair.dense.loss[place]),
        sparse_loss=float(pair.sparse.loss[place]),
        difference=float(pair.differences[place]),
        el2n=None if pair.el2n is None else float(pair.el2n[place]),
    )
