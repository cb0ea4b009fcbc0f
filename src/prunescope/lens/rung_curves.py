"""Results of a treatment rung by rung, over replicates: errors, the sparsities of interest, changes of loss by EL2N.

Those changes are the second paper's Appendix L: examples are cut into fifths, few enough to follow from rung to rung;
`example_changes` has twenty groups of one rung.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prunescope.lens.cells import MISSING, Measurements, known, whole
from prunescope.lens.example_changes import choose_scorer, group_differences, read_pairs
from prunescope.lens.loading import LensSource
from prunescope.lens.verdicts import (
    TEST_ERROR,
    Spread,
    TreatmentOutcome,
    Verdict,
    compare,
    mean_of,
    spread,
    spread_over,
)
from prunescope.table.coded import optimal_rung


@dataclass(frozen=True)
class Point:
    """One rung of a treatment, over the replicates that have it.

    Attributes
    ----------
    epochs
        Epochs trained up to and including this rung (narrow: of this network alone); None if unknown.
    against_dense
        Test error compared with the dense network of the replicate; None at rung 0.
    """

    rung: int
    density: float
    parameters: float | None
    width: float | None
    epochs: int | None
    test_error: Spread
    validation_error: Spread | None
    train_loss: Spread | None
    train_loss_original: Spread | None
    train_loss_noisy: Spread | None
    against_dense: Verdict | None


@dataclass(frozen=True)
class Curve:
    """One treatment of a cell, rung by rung.

    Attributes
    ----------
    treatment
        Name of the treatment: its kind and its unusual settings.
    optimal
        The rung above 0 with the lowest mean validation error, ties by most weights; None without validation errors.
    optimal_at_end
        Whether `optimal` is the last rung that was trained: a further one may be better.
    own_optimal
        The same as `optimal` for each single replicate, in the order of `replicates`.
    lowest
        The rung of each replicate with the lowest test error, rung 0 included, as the paper's section 5.2 compares. A
        network chosen by test error looks better than it is.
    lowest_error
        Those test errors.
    complete
        The replicates that have all rungs: `optimal` is by their mean.
    """

    treatment: str
    kind: str
    replicates: tuple[str, ...]
    complete: tuple[str, ...]
    points: tuple[Point, ...]
    optimal: int | None
    optimal_at_end: bool
    own_optimal: tuple[int | None, ...]
    lowest: tuple[int, ...]
    lowest_error: Spread

    def at(self, rung: int) -> Point:
        """Return the point of a rung that is there."""
        return next(point for point in self.points if point.rung == rung)

    @property
    def end_words(self) -> str:
        """Say that the optimum is at the end of the ladder; empty if it is not."""
        if not self.optimal_at_end:
            return ""
        return f"{self.treatment}: the best rung is the last one trained (rung {self.optimal}): train further"


Ladders = Sequence[Measurements]


def _rung_spread(ladders: Ladders, name: str, rung: int) -> Spread | None:
    """Return one value of a rung over the replicates that have it."""
    return spread((ladder.replicate, ladder.value(name, rung)) for ladder in ladders)


def dense_spread(ladders: Ladders, name: str) -> Spread | None:
    """Return one value of each replicate's dense network, from its first ladder that has one."""
    values: dict[str, float] = {}
    for ladder in ladders:
        row = ladder.dense
        if row is not None and ladder.replicate not in values:
            values[ladder.replicate] = getattr(row, name)
    return spread(values.items())


def rung_curve(ladders: Ladders, dense: Spread | None) -> Curve:
    """Return a treatment rung by rung.

    Parameters
    ----------
    ladders
        Of one treatment of one cell, one for each replicate.
    dense
        Test errors of the replicates' dense networks.
    """
    ladders = sorted(ladders, key=lambda ladder: ladder.replicate)
    rungs = sorted(frozenset[int]().union(*(ladder.rungs for ladder in ladders)))
    complete = [ladder for ladder in ladders if len(ladder.rungs) == len(rungs)]
    if not complete:  # every ladder has gaps: those with the most rungs count
        most = max(len(ladder.rungs) for ladder in ladders)
        complete = [ladder for ladder in ladders if len(ladder.rungs) == most]
    complete = [ladder for ladder in complete if _validates(ladder)] or complete
    optimal = _optimal(complete)
    lowest = [min(ladder.rows, key=lambda row: (row.test_error, row.rung)) for ladder in ladders]
    return Curve(
        treatment=ladders[0].treatment.name,
        kind=ladders[0].treatment.kind or "",
        replicates=tuple(ladder.replicate for ladder in ladders),
        complete=tuple(ladder.replicate for ladder in complete),
        points=tuple(_point(ladders, rung, dense) for rung in rungs),
        optimal=optimal,
        optimal_at_end=optimal is not None and optimal == rungs[-1],
        own_optimal=tuple(_optimal([ladder]) for ladder in ladders),
        lowest=tuple(row.rung for row in lowest),
        lowest_error=spread_over([ladder.replicate for ladder in ladders], [row.test_error for row in lowest]),
    )


def _point(ladders: Ladders, rung: int, dense: Spread | None) -> Point:
    there = [(ladder.replicate, row) for ladder in ladders if (row := ladder.at(rung)) is not None]
    rows = [row for _, row in there]
    error = spread_over([name for name, _ in there], [row.test_error for row in rows])
    return Point(
        rung=rung,
        density=mean_of([row.density for row in rows]),
        parameters=known(mean_of([row.parameters for row in rows])),
        width=known(rows[0].width),
        epochs=whole(rows[0].epochs) if len({row.epochs for row in rows}) == 1 else None,
        test_error=error,
        validation_error=_rung_spread(ladders, "validation_error", rung),
        train_loss=_rung_spread(ladders, "train_loss", rung),
        train_loss_original=_rung_spread(ladders, "train_loss_original", rung),
        train_loss_noisy=_rung_spread(ladders, "train_loss_noisy", rung),
        against_dense=None if rung == 0 else compare(TEST_ERROR, error, dense),
    )


def _optimal(ladders: Ladders) -> int | None:
    """Return the rung above 0 with the lowest mean validation error among those that every ladder has."""
    means = {}
    for rung in sorted(frozenset.intersection(*(ladder.rungs for ladder in ladders))):
        mean = mean_of([ladder.value("validation_error", rung) for ladder in ladders])
        if rung > 0 and not math.isnan(mean):
            means[rung] = mean
    return optimal_rung(means) if means else None


def _validates(ladder: Measurements) -> bool:
    """Whether a ladder has any validation error."""
    return any(not math.isnan(ladder.value("validation_error", rung)) for rung in ladder.rungs)


def sparsest_better(pruning: Curve) -> int | None:
    """Return the rung with the fewest weights that beats the dense network on test; None if none does.

    By the paper's rule; with single pairs, which give no verdict, by the errors themselves.
    """
    points = [point for point in pruning.points if point.against_dense is not None]
    judged = any(point.against_dense.outcome is not TreatmentOutcome.UNTOLD for point in points if point.against_dense)
    beating = [
        point
        for point in points
        if point.against_dense
        and (point.against_dense.outcome is TreatmentOutcome.BETTER if judged else point.against_dense.mean < 0)
    ]
    return max(beating, key=lambda point: (-point.density, point.rung)).rung if beating else None


def nearest_rung(pruning: Curve, density: float) -> int:
    """Return the rung above 0 whose density is nearest in its logarithm."""
    sparse = [point for point in pruning.points if point.rung > 0]
    return min(sparse, key=lambda point: abs(math.log(point.density / density))).rung


def optimal_error(ladder: Measurements) -> float:
    """Return the test error of one ladder's optimally sparse network; NaN without validation errors."""
    rung = _optimal([ladder])
    return MISSING if rung is None else ladder.value("test_error", rung)


FIFTHS = 5


@dataclass(frozen=True)
class RungChange:
    """What one rung of a treatment does to training loss, by EL2N.

    Attributes
    ----------
    epochs
        As in `Curve`: all that were trained up to this rung.
    fifths
        Training loss minus that of the dense network, of the examples with the lowest EL2N first.
    """

    treatment: str
    rung: int
    density: float
    epochs: int | None
    fifths: tuple[Verdict, ...]


def changes_by_rung(
    source: LensSource, cell: Sequence[Measurements], main: Sequence[Measurements], curves: Sequence[Curve]
) -> tuple[RungChange, ...]:
    """Return the changes of some treatments of a cell, rung by rung; those of which nothing was kept are left out.

    Parameters
    ----------
    cell
        All its ladders, the main treatment's first.
    main
        Those of the main treatment: their scores group the examples.
    """
    return tuple(change for curve in curves for change in _changes(source, cell, main, curve))


def _changes(
    source: LensSource, cell: Sequence[Measurements], main: Sequence[Measurements], curve: Curve
) -> Iterator[RungChange]:
    scorer = choose_scorer(main)
    if scorer is None or source.store is None:
        return
    ladders = [ladder for ladder in cell if ladder.treatment.name == curve.treatment]
    for point in curve.points:
        if point.rung == 0 or not any(source.store.has_arrays("examples", one.ladder, point.rung) for one in ladders):
            continue
        groups = group_differences(read_pairs(source, ladders, point.rung, scorer, cell), scorer, FIFTHS)
        if groups is not None:
            fifths = tuple(group.difference for group in groups.groups)
            yield RungChange(curve.treatment, point.rung, point.density, point.epochs, fifths)
