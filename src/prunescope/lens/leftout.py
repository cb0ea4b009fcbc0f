"""Dense networks trained without some examples: beside their teacher's, and beside as many left out at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prunescope.lens.cells import MISSING, Measurements
from prunescope.lens.loading import LensSource
from prunescope.lens.results import LeaveOut, Spread
from prunescope.lens.rung_curves import own_optimal_error
from prunescope.lens.verdicts import TEST_ERROR, compared, over, spread

RANDOM = "random"


@dataclass(frozen=True)
class _Pupil:
    """One leave-out ladder: its network's error, how many examples it did without, and those of its teacher."""

    ladder: Measurements
    error: float
    count: int | None
    dense: float
    sparse: float


def leave_outs(
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
    pupils = [_pupil(source, each, cell, main, dense) for each in cell if each.doing.kind == "leave-out" and each.rows]
    by_doing: dict[object, list[_Pupil]] = {}
    for each in pupils:
        by_doing.setdefault(each.ladder.doing, []).append(each)
    chance = [each for each in pupils if each.ladder.doing.leave == RANDOM]
    return tuple(_left_out(own, chance) for own in by_doing.values())


def _pupil(
    source: LensSource,
    ladder: Measurements,
    cell: Sequence[Measurements],
    main: Sequence[Measurements],
    dense: Spread | None,
) -> _Pupil:
    teachers = [each for each in cell if ladder.teacher and each.ladder == ladder.teacher]
    teachers += [each for each in main if each.replicate == ladder.replicate]
    teacher = teachers[0] if teachers else None
    stand_in = dict(zip(dense.replicates, dense.values, strict=True)) if dense else {}
    own = teacher.dense if teacher else None
    return _Pupil(
        ladder,
        ladder.rows[0].test_error,
        source.left_out(ladder.ladder),
        own.test_error if own else stand_in.get(ladder.replicate, MISSING),
        own_optimal_error(teacher) if teacher else MISSING,
    )


def _left_out(own: Sequence[_Pupil], chance: Sequence[_Pupil]) -> LeaveOut:
    doing = own[0].ladder.doing
    names = [each.ladder.replicate for each in own]
    error = over(names, [each.error for each in own])
    counts = [each.count for each in own]
    randomly = spread((each.ladder.replicate, _random(each, chance)) for each in own)
    against_dense = compared(TEST_ERROR, error, spread(zip(names, (each.dense for each in own), strict=True)))
    against_sparse = compared(TEST_ERROR, error, spread(zip(names, (each.sparse for each in own), strict=True)))
    against_random = compared(TEST_ERROR, error, randomly) if doing.leave != RANDOM else None
    told = [
        f"{'beside'} {other}: {found.words}"
        for other, found in (
            ("the dense network", against_dense),
            ("the optimally sparse one", against_sparse),
            ("as many left out at random", against_random),
        )
        if found
    ]
    return LeaveOut(
        treatment=doing.name,
        leave=doing.leave or "",
        share=doing.share,
        count=None if None in counts else over(names, [float(count) for count in counts if count is not None]),
        test_error=error,
        against_dense=against_dense,
        against_sparse=against_sparse,
        against_random=against_random,
        words=f"{doing.name}, {'; '.join(told)}" if told else f"{doing.name}: nothing to compare with",
    )


def _random(pupil: _Pupil, chance: Sequence[_Pupil]) -> float:
    """Return the error of the network of the same replicate that did without as many examples, NaN without one."""
    if pupil.count is None:
        return MISSING
    return next(
        (
            each.error
            for each in chance
            if each.ladder.replicate == pupil.ladder.replicate and each.count == pupil.count
        ),
        MISSING,
    )
