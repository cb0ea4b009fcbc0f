"""The sparse networks of one rung beside the dense ones they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prunescope.lens.cells import Measurements
from prunescope.lens.el2n_differences import group_differences
from prunescope.lens.extremes import find_extremes
from prunescope.lens.loading import LensSource
from prunescope.lens.pairs import choose_scorer, read_pairs
from prunescope.lens.results import Curve, Gap, Sparsity, Spread, TreatmentOutcome
from prunescope.lens.rung_curves import dense_spread
from prunescope.lens.verdicts import TEST_ERROR, TRAINING_LOSS, compare, subtract

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
    """What the sparsities of one cell share.

    Attributes
    ----------
    ladders
        Of the main treatment, one for each replicate.
    cell
        All ladders of the cell, the main treatment's first: others' dense networks stand in where its are missing.
    groups, shown
        How many groups by EL2N, and how many examples at either extreme.
    """

    source: LensSource
    ladders: Sequence[Measurements]
    cell: Sequence[Measurements]
    pruning: Curve
    groups: int
    shown: int

    def sparsity(self, which: str, rung: int | None) -> Sparsity | None:
        """Return a rung beside the dense networks; None where there is no such rung, or no replicate has both."""
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
        pairs = read_pairs(self.source, self.ladders, rung, scorer)
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
