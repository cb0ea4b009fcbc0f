"""Dense networks trained without some examples: beside their teacher's, and beside as many left out at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prunescope.lens.cells import MISSING, Measurements
from prunescope.lens.loading import LensSource
from prunescope.lens.results import LeaveOut, Spread
from prunescope.lens.rung_curves import optimal_error
from prunescope.lens.verdicts import TEST_ERROR, compare, spread, spread_over

RANDOM = "random"


@dataclass(frozen=True)
class _Pupil:
    """One leave-out ladder: its network's error, how many examples it did without, and those of its teacher."""

    ladder: Measurements
    error: float
    count: int | None
    dense: float
    sparse: float


def compare_leave_outs(
    source: LensSource, cell: Sequence[Measurements], main: Sequence[Measurements], dense: Spread | None
) -> tuple[LeaveOut, ...]:
    """Return every leave-out treatment of a cell.

    Parameters
    ----------
    cell
        All ladders of the cell.
    main
        Those of the main treatment: the teachers where the table does not tell which ladder taught.
    dense
        Test errors of the replicates' dense networks, for teachers that have none of their own.
    """
    pupils = [
        _pupil(source, ladder, cell, main, dense)
        for ladder in cell
        if ladder.treatment.kind == "leave-out" and ladder.rows
    ]
    by_treatment: dict[object, list[_Pupil]] = {}
    for pupil in pupils:
        by_treatment.setdefault(pupil.ladder.treatment, []).append(pupil)
    chance = [pupil for pupil in pupils if pupil.ladder.treatment.leave == RANDOM]
    return tuple(_left_out(group, chance) for group in by_treatment.values())


def _pupil(
    source: LensSource,
    ladder: Measurements,
    cell: Sequence[Measurements],
    main: Sequence[Measurements],
    dense: Spread | None,
) -> _Pupil:
    teachers = [candidate for candidate in cell if ladder.teacher and candidate.ladder == ladder.teacher]
    teachers += [candidate for candidate in main if candidate.replicate == ladder.replicate]
    teacher = teachers[0] if teachers else None
    stand_in = dict(zip(dense.replicates, dense.values, strict=True)) if dense else {}
    network = teacher.dense if teacher else None
    return _Pupil(
        ladder,
        ladder.rows[0].test_error,
        source.left_out(ladder.ladder),
        network.test_error if network else stand_in.get(ladder.replicate, MISSING),
        optimal_error(teacher) if teacher else MISSING,
    )


def _left_out(pupils: Sequence[_Pupil], chance: Sequence[_Pupil]) -> LeaveOut:
    treatment = pupils[0].ladder.treatment
    names = [pupil.ladder.replicate for pupil in pupils]
    error = spread_over(names, [pupil.error for pupil in pupils])
    counts = [pupil.count for pupil in pupils]
    randomly = spread((pupil.ladder.replicate, _random(pupil, chance)) for pupil in pupils)
    against_dense = compare(TEST_ERROR, error, spread(zip(names, (pupil.dense for pupil in pupils), strict=True)))
    against_sparse = compare(TEST_ERROR, error, spread(zip(names, (pupil.sparse for pupil in pupils), strict=True)))
    against_random = compare(TEST_ERROR, error, randomly) if treatment.leave != RANDOM else None
    comparisons = [
        f"{'beside'} {other}: {verdict.words}"
        for other, verdict in (
            ("the dense network", against_dense),
            ("the optimally sparse one", against_sparse),
            ("as many left out at random", against_random),
        )
        if verdict
    ]
    return LeaveOut(
        treatment=treatment.name,
        leave=treatment.leave or "",
        share=treatment.share,
        count=None if None in counts else spread_over(names, [float(count) for count in counts if count is not None]),
        test_error=error,
        against_dense=against_dense,
        against_sparse=against_sparse,
        against_random=against_random,
        words=f"{treatment.name}, {'; '.join(comparisons)}"
        if comparisons
        else f"{treatment.name}: nothing to compare with",
    )


def _random(pupil: _Pupil, chance: Sequence[_Pupil]) -> float:
    """Return the error of the network of the same replicate that did without as many examples, NaN without one."""
    if pupil.count is None:
        return MISSING
    return next(
        (
            other.error
            for other in chance
            if other.ladder.replicate == pupil.ladder.replicate and other.count == pupil.count
        ),
        MISSING,
    )
