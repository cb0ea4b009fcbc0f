"""The sparse networks of one rung compared with their dense networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from prunescope.lens.cells import Measurements
from prunescope.lens.example_changes import (
    Extremes,
    Groups,
    Pair,
    choose_scorer,
    find_extremes,
    group_differences,
    read_pairs,
)
from prunescope.lens.label_suspicion import LabelSuspects, find_suspects
from prunescope.lens.loading import LensSource
from prunescope.lens.rung_curves import Curve, dense_spread
from prunescope.lens.verdicts import TEST_ERROR, TRAINING_LOSS, Spread, TreatmentOutcome, Verdict, compare, subtract


@dataclass(frozen=True)
class Gap:
    """Training loss of the noisy examples minus that of the original ones."""

    dense: Spread
    sparse: Spread
    difference: Verdict
    words: str


@dataclass(frozen=True)
class Sparsity:
    """The sparse networks of one rung compared with their dense networks.

    Attributes
    ----------
    which
        ``optimal``: lowest validation error; ``sparsest``: the highest sparsity that beats the dense network on test;
        ``asked``: as requested.
    train_loss_original, train_loss_noisy, gap
        None without label noise.
    groups, extremes
        None and empty where the store does not hold what they need.
    """

    which: str
    rung: int
    density: float
    parameters: float | None
    test_error: Verdict
    train_loss: Verdict | None
    train_loss_original: Verdict | None
    train_loss_noisy: Verdict | None
    gap: Gap | None
    groups: Groups | None
    extremes: tuple[Extremes, ...]
    words: str


_WHY = {
    "optimal": "optimal sparsity (lowest validation error)",
    "sparsest": "highest sparsity that beats the dense network",
    "asked": "as asked",
}
_VERBS = {
    TreatmentOutcome.WORSE: "widens",
    TreatmentOutcome.BETTER: "narrows",
    TreatmentOutcome.MATCHES: "stays",
    TreatmentOutcome.UNTOLD: "goes",
}


@dataclass(frozen=True, eq=False)
class SparseNetworks:
    """Compares the sparse networks of one cell with its dense ones.

    Attributes
    ----------
    ladders
        Of the main treatment, one for each replicate.
    cell
        All ladders of the cell, the main treatment's first; other dense networks replace missing ones.
    groups, shown
        Number of groups by EL2N, and of examples at either extreme.
    """

    source: LensSource
    ladders: Sequence[Measurements]
    cell: Sequence[Measurements]
    pruning: Curve
    groups: int
    shown: int
    _pairs: dict[int, tuple[Pair, ...]] = field(default_factory=dict)

    def sparsity(self, which: str, rung: int | None) -> Sparsity | None:
        """Compare a rung with the dense networks; None without the rung, or where no replicate has both."""
        if rung is None:
            return None
        point = self.pruning.at(rung)
        error = compare(TEST_ERROR, point.test_error, dense_spread(self.cell, "test_error"))
        if error is None:
            return None
        dense = {name: dense_spread(self.cell, name) for name in _LOSSES}
        whole, original, noisy = (compare(TRAINING_LOSS, getattr(point, name), dense[name]) for name in _LOSSES)
        sparse_gap = subtract(point.train_loss_noisy, point.train_loss_original)
        dense_gap = subtract(dense["train_loss_noisy"], dense["train_loss_original"])
        scorer = choose_scorer(self.ladders)
        pairs = self.pairs(rung)
        words = f"{_WHY[which]}: rung {rung}, density {point.density:.4g}; test error {error.words}"
        return Sparsity(
            which=which,
            rung=rung,
            density=point.density,
            parameters=point.parameters,
            test_error=error,
            train_loss=whole,
            train_loss_original=original if noisy else None,
            train_loss_noisy=noisy,
            gap=_gap(dense_gap, sparse_gap),
            groups=group_differences(pairs, scorer, self.groups),
            extremes=tuple(find_extremes(pair, self.shown) for pair in pairs),
            words=f"{words}; training loss {whole.words}" if whole else words,
        )

    def pairs(self, rung: int) -> tuple[Pair, ...]:
        """Return the outcomes of single examples, dense and at a rung, read once."""
        if rung not in self._pairs:
            scorer = choose_scorer(self.ladders)
            self._pairs[rung] = read_pairs(self.source, self.ladders, rung, scorer, self.cell)
        return self._pairs[rung]

    def suspects(self, count: int) -> LabelSuspects | None:
        """Return the labels most likely to be wrong by the optimally sparse networks; None without their outcomes."""
        rung = self.pruning.optimal
        return None if rung is None else find_suspects(self.pairs(rung), rung, self.pruning.at(rung).density, count)


_LOSSES = ("train_loss", "train_loss_original", "train_loss_noisy")


def _gap(dense: Spread | None, sparse: Spread | None) -> Gap | None:
    difference = compare("gap between noisy and original training loss", sparse, dense)
    if dense is None or sparse is None or difference is None:
        return None
    words = (
        f"the gap between noisy and original training loss {_VERBS[difference.outcome]} from {dense.mean:.3g} to "
        f"{sparse.mean:.3g} nats (n = {len(difference.differences)})"
    )
    return Gap(dense, sparse, difference, words)
