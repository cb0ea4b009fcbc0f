"""Change of training loss by EL2N at every rung whose outcomes were kept: the second paper's Appendix L.

Examples are cut into fifths, few enough to follow from rung to rung; `example_changes` has twenty groups of one rung.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prunescope.lens.cells import Measurements
from prunescope.lens.example_changes import choose_scorer, group_differences, read_pairs
from prunescope.lens.loading import LensSource
from prunescope.lens.rung_curves import Curve
from prunescope.lens.verdicts import Verdict

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
