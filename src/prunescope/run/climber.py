"""One ladder on its way: the rung it stands before, what the one below left, what is not on the disk yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from prunescope.data import Dataset, Subsample, draw_subsample
from prunescope.errors import InputError, PrunescopeError
from prunescope.run.artifacts import checkpoint, examples, inherited, left_out_arrays
from prunescope.run.example_selection import left_out
from prunescope.study import Ladder
from prunescope.study.checks import held_out
from prunescope.table import ArrayEntry, Store
from prunescope.train import CohortMember, LadderRungs, NetworkOutcome, RungHandover, TrainingContext, seeding_of


@dataclass(eq=False)
class Climber:
    """One ladder on its way.

    Attributes
    ----------
    rung
        The one that it stands before.
    before
        What the rung below left; None before rung 0.
    have
        Rungs that are finished, as above a gap that damage has left.
    lost
        Rungs whose masks were in files that are damaged, with the rung after which each file is written again.
    rows, arrays, outcomes
        Of rungs that are not on the disk yet.
    """

    climb: LadderRungs
    rung: int
    before: RungHandover | None
    have: frozenset[int] = frozenset()
    lost: Mapping[int, int] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    outcomes: dict[int, NetworkOutcome] = field(default_factory=dict)

    @property
    def ladder(self) -> Ladder:
        """What it climbs."""
        return self.climb.ladder

    @property
    def member(self) -> CohortMember:
        """Its examples and its draws."""
        return self.climb.member

    @property
    def examples(self) -> int:
        """How many examples it is trained on."""
        return len(self.member.subsample.train)

    @property
    def arrived(self) -> bool:
        """Whether it has reached the top."""
        return self.rung >= self.ladder.rungs

    @property
    def mends(self) -> bool:
        """Whether it stands where a damaged file is to be written again."""
        return self.lost.get(self.rung - 1) == self.rung - 1 and bool(self.arrays)

    def stand_at(self, context: TrainingContext) -> None:
        """Take the bench of the rung that it stands before, where another than that of the rung below."""
        if context is not self.climb.context:
            seeding = seeding_of(self.ladder, self.rung)
            self.climb = LadderRungs(self.ladder, context, CohortMember(self.member.subsample, seeding))

    def entries(self) -> Iterator[ArrayEntry]:
        """Yield the files of rungs that are not on the disk yet."""
        for rung, outcome in self.outcomes.items():
            yield examples(self.ladder, rung, self.member.subsample, outcome)
        if self.before is not None:
            yield checkpoint(self.ladder, self.rung - 1, self.arrays, self.before)

    def wrote(self) -> None:
        """Take note that everything is on the disk."""
        self.rows, self.arrays, self.outcomes = [], {}, {}


def subsample_of(ladder: Ladder, dataset: Dataset) -> Subsample:
    """Return what the cell and replicate of a ladder train on."""
    return draw_subsample(
        dataset.train_labels,
        dataset.classes,
        examples=ladder.cell.examples,
        label_noise=ladder.cell.label_noise,
        held_out=held_out(ladder.cell.dataset, ladder.recipe.validation),
        seed=ladder.seed,
        replicate=ladder.replicate,
        dataset=ladder.cell.dataset,
    )


def set_out(
    ladder: Ladder,
    context: TrainingContext,
    store: Store,
    rung: int,
    have: frozenset[int] = frozenset(),
    lost: Mapping[int, int] | None = None,
) -> Climber:
    """Return a ladder before a rung, with what the one below left.

    Parameters
    ----------
    context
        Where this rung is trained.
    """
    seeding = seeding_of(ladder, rung)
    subsample = subsample_of(ladder, context.dataset)
    try:
        goes_on = rung > 0 and ladder.treatment.kind != "narrow"
        before = inherited(store, ladder, rung - 1, context.network) if goes_on else None
    except InputError:
        words = f"rung {rung - 1} is finished, but the file that rung {rung} starts from is not in checkpoints/"
        raise PrunescopeError(f"{words}{ladder.identity}; copy it from the store that trained them") from None
    arrays = {}
    if ladder.treatment.kind == "leave-out":
        left = left_out(store, ladder, subsample)
        arrays, subsample = left_out_arrays(subsample.train[left]), subsample.without(left)
    return Climber(
        LadderRungs(ladder, context, CohortMember(subsample, seeding)), rung, before, have, lost or {}, arrays=arrays
    )


def write(climbers: Sequence[Climber], store: Store) -> int:
    """Write finished rungs: first what goes with them, then their rows, with which they count as finished.

    Returns
    -------
    int
        The number of rows.
    """
    fresh = [each for each in climbers if each.rows or each.mends]
    store.write_all_arrays(entry for climber in fresh for entry in climber.entries())
    written = store.write(row for climber in fresh for row in climber.rows)
    for climber in fresh:
        climber.wrote()
    return written
