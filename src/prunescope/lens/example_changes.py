"""Outcomes of a dense and a sparse network on the same examples, replicate by replicate, and how they differ by EL2N.

Examples are grouped by percentiles of EL2N, and the top fifth is a group of its own. Each replicate groups its examples
by its own scores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunescope.data.subsample import group_numbers, score_ranks
from prunescope.errors import whole_percent
from prunescope.lens.cells import Measurements, Scorer
from prunescope.lens.loading import LensSource
from prunescope.lens.store_contents import Outcomes, refuse_other_examples, refuse_other_scores
from prunescope.lens.verdicts import (
    CONFIDENCE,
    TRAINING_LOSS,
    Spread,
    TreatmentOutcome,
    Verdict,
    holm,
    judge,
    spread,
    spread_over,
)


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
    source: LensSource,
    ladders: Sequence[Measurements],
    rung: int,
    scorer: Scorer | None,
    cell: Sequence[Measurements] = (),
) -> tuple[Pair, ...]:
    """Return the replicates whose outcomes were kept at rung 0 and at another rung.

    Parameters
    ----------
    cell
        All ladders of the cell: those of the same replicate stand in for a ladder whose dense outcomes or scores were
        not kept, and for leave-out ladders, which have no dense network of their own.
    """
    pairs = (_pair(source, ladder, rung, scorer, cell) for ladder in ladders if ladder.at(rung))
    return tuple(pair for pair in pairs if pair is not None)


def _pair(
    source: LensSource, ladder: Measurements, rung: int, scorer: Scorer | None, cell: Sequence[Measurements]
) -> Pair | None:
    sparse = source.outcomes(ladder.ladder, rung)
    if sparse is None:
        return None
    alike = [ladder, *(other for other in cell if other.replicate == ladder.replicate and other is not ladder)]
    outcomes = (source.outcomes(other.ladder, 0) for other in alike if other.dense)
    dense = next((outcome for outcome in outcomes if outcome is not None), None)
    if dense is None:
        return None
    scorers = (candidate for other in alike for candidate in other.scorers)
    candidate = next((candidate for candidate in scorers if scorer and candidate.alike == scorer.alike), None)
    el2n = None
    if candidate is not None:
        scored = source.scores(candidate)
        refuse_other_scores(source.name, scored, dense)
        el2n = scored.el2n
    if ladder.treatment.kind == "leave-out":  # trained on some of the examples: compared on those
        kept = np.isin(dense.index, sparse.index)
        dense = dense.subset(kept)
        el2n = None if el2n is None else el2n[kept]
    refuse_other_examples(source.name, sparse, dense)
    return Pair(ladder.replicate, ladder.ladder, dense, sparse, el2n)


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


@dataclass(frozen=True)
class ExampleGroup:
    """Training examples within a range of EL2N percentiles, lowest scores first.

    Attributes
    ----------
    low, high
        Percentiles.
    size
        Examples, in the first replicate.
    dense_loss, sparse_loss
        Mean training loss.
    difference
        Sparse minus dense, compared.
    adjusted_p
        Its p value of the paired t test, corrected for all groups by Holm's method; None of one replicate.
    """

    number: int
    low: float
    high: float
    size: int
    el2n: Spread
    dense_loss: Spread
    sparse_loss: Spread
    difference: Verdict
    adjusted_p: float | None


@dataclass(frozen=True)
class Top:
    """The fifth of the examples with the highest EL2N, compared with the rest.

    Attributes
    ----------
    fraction
        Of the examples that are the top.
    times
        Mean magnitude of the loss difference over the top examples, divided by that over the rest; None if the rest
        does not change.
    share
        Share of the sum of all magnitudes that falls on the top; None where nothing changes.
    top, rest
        Mean loss difference, sign and all, compared with zero.
    """

    fraction: float
    times: Spread | None
    share: Spread | None
    top: Verdict
    rest: Verdict
    words: str


@dataclass(frozen=True)
class Groups:
    """Loss differences, sparse minus dense, by EL2N.

    Attributes
    ----------
    networks, epoch
        Which networks scored the examples.
    words
        Verdicts of the groups, by the paper's rule.
    corrected_words
        The same by paired t tests, corrected for the number of groups; empty of one replicate.
    """

    networks: int
    epoch: int
    replicates: tuple[str, ...]
    groups: tuple[ExampleGroup, ...]
    top: Top
    words: str
    corrected_words: str


Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
TOP = 0.2
"""The share of the examples that the paper compares with the rest."""


def group_means(values: Floats, numbers: Integers, count: int) -> Floats:
    """Return the mean of each group."""
    averages: Floats = np.bincount(numbers, values, count) / np.bincount(numbers, minlength=count)
    return averages


def top_examples(el2n: Floats, index: Integers) -> NDArray[np.bool_]:
    """Return which examples are the fifth with the highest scores: at least one, and not all."""
    count = min(max(1, round(TOP * len(el2n))), len(el2n) - 1)
    return score_ranks(el2n, index) >= len(el2n) - count


@dataclass(frozen=True)
class Weight:
    """The share of a change that falls on some of the examples.

    Attributes
    ----------
    top, rest
        Mean difference over them, and over the others.
    times
        Mean magnitude over them divided by that over the others; NaN where the others do not change.
    share
        Share of the sum of magnitudes; NaN where nothing changes.
    """

    top: float
    rest: float
    times: float
    share: float


def weigh_change(differences: Floats, top: NDArray[np.bool_]) -> Weight:
    """Compare the change of some examples with that of the others."""
    size = np.abs(differences)
    above, below, whole = size[top].mean(), size[~top].mean(), size.sum()
    times = float(above / below) if below else float("nan")
    share = float(size[top].sum() / whole) if whole else float("nan")
    return Weight(float(differences[top].mean()), float(differences[~top].mean()), times, share)


def group_differences(pairs: Sequence[Pair], scorer: Scorer | None, count: int) -> Groups | None:
    """Return loss differences in ``count`` groups; None without scores."""
    scored = [(pair, pair.el2n) for pair in pairs if pair.el2n is not None]
    if scorer is None or not scored:
        return None
    names = [pair.replicate for pair, _ in scored]
    numbers = [group_numbers(el2n, pair.dense.index, count) for pair, el2n in scored]

    def spreads(values: Sequence[Floats]) -> list[Spread]:
        """Return the mean of each group, over replicates."""
        by_replicate = [group_means(value, number, count) for value, number in zip(values, numbers, strict=True)]
        return [spread_over(names, row) for row in np.stack(by_replicate, axis=1).tolist()]

    el2n = spreads([scores for _, scores in scored])
    dense, sparse = spreads([pair.dense.loss for pair, _ in scored]), spreads([pair.sparse.loss for pair, _ in scored])
    changes = spreads([pair.differences for pair, _ in scored])
    sizes = np.bincount(numbers[0], minlength=count).tolist()
    verdicts = [judge(TRAINING_LOSS, names, change.values) for change in changes]
    powers = [verdict.power for verdict in verdicts if verdict.power is not None]
    adjusted = holm([power.p_value for power in powers]) if powers else [None] * count
    groups = tuple(
        ExampleGroup(
            number=number,
            low=100 * number / count,
            high=100 * (number + 1) / count,
            size=sizes[number],
            el2n=el2n[number],
            dense_loss=dense[number],
            sparse_loss=sparse[number],
            difference=verdicts[number],
            adjusted_p=adjusted[number],
        )
        for number in range(count)
    )
    return Groups(
        scorer.networks,
        scorer.epoch,
        tuple(names),
        groups,
        _top(scored),
        _words(groups),
        _corrected_words(groups),
    )


def _outcome_words(count: int) -> dict[TreatmentOutcome, str]:
    """Return the words of verdicts over some replicates."""
    return {
        TreatmentOutcome.BETTER: "is better",
        TreatmentOutcome.WORSE: "is worse",
        TreatmentOutcome.MATCHES: f"cannot be told apart with n = {count}",
        TreatmentOutcome.UNTOLD: "has no verdict (n = 1)",
    }


def _words(groups: Sequence[ExampleGroup]) -> str:
    words = _outcome_words(len(groups[0].difference.differences))
    if len(groups) == 1:
        return f"over all examples, as one group by EL2N, training loss {words[groups[0].difference.outcome]}"
    counts = Counter(group.difference.outcome for group in groups)
    return f"of {len(groups)} groups by EL2N, training loss {_tallied(counts, words)}"


def _corrected_words(groups: Sequence[ExampleGroup]) -> str:
    """Say how many groups differ by paired t tests after Holm's correction."""
    if any(group.adjusted_p is None for group in groups):
        return ""
    counts = Counter(corrected_outcome(group) for group in groups)
    words = _outcome_words(len(groups[0].difference.differences))
    return f"by paired t tests with Holm's correction for {len(groups)} groups, training loss {_tallied(counts, words)}"


def corrected_outcome(group: ExampleGroup) -> TreatmentOutcome:
    """Return whether a group differs by its corrected p value; `MATCHES` where it cannot be told apart."""
    if group.adjusted_p is None:
        return TreatmentOutcome.UNTOLD
    if group.adjusted_p > 1 - CONFIDENCE or group.difference.mean == 0:
        return TreatmentOutcome.MATCHES
    return TreatmentOutcome.BETTER if group.difference.mean < 0 else TreatmentOutcome.WORSE


def _tallied(counts: Mapping[TreatmentOutcome, int], words: Mapping[TreatmentOutcome, str]) -> str:
    return ", ".join(f"{word} in {counts[outcome]}" for outcome, word in words.items() if counts.get(outcome))


def _top(scored: Sequence[tuple[Pair, Floats]]) -> Top:
    """Compare the fifth with the highest scores with the rest."""
    names = [pair.replicate for pair, _ in scored]
    weights = [weigh_change(pair.differences, top_examples(el2n, pair.dense.index)) for pair, el2n in scored]
    times = spread((name, change.times) for name, change in zip(names, weights, strict=True))
    share = spread((name, change.share) for name, change in zip(names, weights, strict=True))
    top = judge(TRAINING_LOSS, names, [change.top for change in weights])
    rest = judge(TRAINING_LOSS, names, [change.rest for change in weights])
    if share is None:
        words = "no training loss changes"
    elif times is None:
        words = f"of the training losses only those of the top {whole_percent(TOP)} by EL2N change"
    else:
        words = (
            f"the top {whole_percent(TOP)} by EL2N change {times.mean:.3g} times as much as the rest "
            f"({whole_percent(share.mean)} of the change)"
        )
    return Top(TOP, times, share, top, rest, words)
