"""One ladder in training: the rung that comes next, what the rung below left, and what is not on disk yet.

A leave-out ladder trains without some of its examples. ``improved``: those whose training loss is most lower at the
teacher's optimal sparsity than at its rung 0. ``worsened``: those whose training loss is most higher there.
``misclassified``: those that the optimally sparse network gets wrong, by the label trained on. ``random``: any.
``group``: one of several groups by EL2N.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunescope.data import Dataset, Subsample, draw_subsample, keys
from prunescope.data.subsample import group_numbers
from prunescope.errors import InputError, PrunescopeError
from prunescope.prune import RungHandover
from prunescope.prune.checkpoints import checkpoint, inherited
from prunescope.run.artifacts import examples, layers_of, left_out_arrays, outcomes_on_tests
from prunescope.study import Ladder
from prunescope.study.checks import held_out
from prunescope.table import ArrayEntry, Store
from prunescope.table.coded import optimal_rung
from prunescope.train import CohortMember, LadderRungs, NetworkOutcome, TrainingContext, seeding_of


@dataclass(eq=False)
class LadderState:
    """One ladder in training.

    Attributes
    ----------
    rungs
        The ladder's rules, for the network of the next rung.
    rung
        The next rung to train.
    handover
        What the rung below left; None before rung 0.
    finished
        Rungs that the store has already; damage can leave gaps between them.
    lost
        Rungs whose masks were in damaged files, with the rung after which each file is written again.
    failed
        Whether the ladder has failed.
    taken
        Whether another process has taken it over, since this one was stopped for long.
    rows, arrays, outcomes, test_right
        Of rungs that are not on disk yet.
    """

    rungs: LadderRungs
    rung: int
    handover: RungHandover | None
    finished: frozenset[int] = frozenset()
    lost: Mapping[int, int] = field(default_factory=dict)
    failed: bool = False
    taken: bool = False
    rows: list[dict[str, Any]] = field(default_factory=list)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    outcomes: dict[int, NetworkOutcome] = field(default_factory=dict)
    test_right: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def ladder(self) -> Ladder:
        """The ladder itself."""
        return self.rungs.ladder

    @property
    def member(self) -> CohortMember:
        """Its examples and its draws."""
        return self.rungs.member

    @property
    def active(self) -> bool:
        """Whether it has rungs left to train."""
        return not self.failed and not self.taken and self.rung < self.ladder.rungs

    @property
    def repairs(self) -> bool:
        """Whether a damaged file is to be written again now."""
        return self.lost.get(self.rung - 1) == self.rung - 1 and bool(self.arrays)

    def give_away(self) -> list[int]:
        """Leave the ladder to the process that took it over; return the rungs that it had finished and not written."""
        rungs = [int(row["rung"]) for row in self.rows]
        self.rows, self.arrays, self.outcomes, self.taken = [], {}, {}, True
        return rungs

    def use_context(self, context: TrainingContext) -> None:
        """Take the training context of the next rung where it differs from that of the rung below."""
        if context is not self.rungs.context:
            member = CohortMember(self.member.subsample, seeding_of(self.ladder, self.rung))
            self.rungs = LadderRungs(self.ladder, context, member)

    def pending_files(self) -> Iterator[ArrayEntry]:
        """Yield the files of rungs that are not on disk yet."""
        for rung, outcome in self.outcomes.items():
            yield examples(self.ladder, rung, self.member.subsample, outcome)
        for rung, right in self.test_right.items():
            yield outcomes_on_tests(self.ladder, rung, right)
        if self.handover is not None:
            yield checkpoint(self.ladder.identity, self.rung - 1, self.arrays, self.handover)


def subsample_of(ladder: Ladder, dataset: Dataset) -> Subsample:
    """Return what the cell and replicate of a ladder train on."""
    return draw_subsample(
        dataset.train_labels,
        dataset.classes,
        examples=ladder.cell.examples,
        label_noise=ladder.cell.label_noise,
        held_out=held_out(ladder.facts, ladder.recipe.validation),
        seed=ladder.seed,
        replicate=ladder.replicate,
        dataset=ladder.cell.dataset,
        validation=dataset.validation,
    )


def resume(
    ladder: Ladder,
    context: TrainingContext,
    store: Store,
    rung: int,
    finished: frozenset[int] = frozenset(),
    lost: Mapping[int, int] | None = None,
) -> LadderState:
    """Return a ladder before a rung, with what the rung below left.

    Parameters
    ----------
    context
        Of this rung.
    """
    subsample = subsample_of(ladder, context.dataset)
    try:
        continues = rung > 0 and ladder.treatment.kind != "narrow"
        handover = (
            inherited(store, ladder.identity, rung - 1, layers_of(ladder, context.network)) if continues else None
        )
    except InputError:
        words = f"rung {rung - 1} is finished, but the file that rung {rung} starts from is not in checkpoints/"
        raise PrunescopeError(f"{words}{ladder.identity}; copy it from the store that trained them") from None
    arrays = {}
    if ladder.treatment.kind == "leave-out":
        omitted = left_out(store, ladder, subsample)
        arrays, subsample = left_out_arrays(subsample.train[omitted]), subsample.without(omitted)
    rungs = LadderRungs(ladder, context, CohortMember(subsample, seeding_of(ladder, rung)))
    return LadderState(rungs, rung, handover, finished, lost or {}, arrays=arrays)


def write(states: Sequence[LadderState], store: Store) -> int:
    """Write finished rungs and return the number of rows: files first, then the rows that make the rungs count."""
    pending = [state for state in states if state.rows or state.repairs]
    store.write_all_arrays(entry for state in pending for entry in state.pending_files())
    written = store.write(row for state in pending for row in state.rows)
    for state in pending:
        state.rows, state.arrays, state.outcomes, state.test_right = [], {}, {}, {}
    return written


Places = NDArray[np.int64]


def left_out(store: Store, ladder: Ladder, subsample: Subsample) -> Places:
    """Return the places, within a ladder's share, of the examples that it does without, in order."""
    count = round(len(subsample.train) * (ladder.treatment.share or 0))
    if ladder.treatment.leave == "random":
        drawn = keys(len(subsample.train), *seeding_of(ladder).words, "left out")
        return _first(drawn, count)
    if ladder.group is not None:
        return _group(store, ladder, subsample)
    dense, sparse = _outcomes(store, ladder, subsample)
    if ladder.treatment.leave == "misclassified":
        wrong = np.flatnonzero(~sparse["right"])
        if len(wrong) == len(subsample.train):
            raise PrunescopeError(
                "its teacher's best sparse network gets every example wrong: none is left to train on"
            )
        return wrong
    change = sparse["loss"].astype(float) - dense["loss"]
    return _first(-change if ladder.treatment.leave == "worsened" else change, count)


def _first(values: np.ndarray, count: int) -> Places:
    """Return the places of the lowest values, of equals the first ones."""
    return np.sort(np.argsort(values, kind="stable")[:count])


def _group(store: Store, ladder: Ladder, subsample: Subsample) -> Places:
    """Return the examples of the ladder's group by EL2N."""
    if not store.has_arrays("examples", ladder.scorer, 0):
        raise PrunescopeError(f"its examples are not scored: there is no EL2N under {ladder.scorer}")
    scored = store.read_arrays("examples", ladder.scorer, 0)
    if not np.array_equal(scored["index"], subsample.train):
        raise PrunescopeError(f"the scores under {ladder.scorer} are of other examples")
    numbers = group_numbers(scored["el2n"], scored["index"], ladder.treatment.groups or 1)
    return np.flatnonzero(numbers == ladder.group)


def _outcomes(
    store: Store, ladder: Ladder, subsample: Subsample
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the teacher's outcomes on the examples, dense and at its optimal sparsity."""
    measured = store.query(f"select rung, validation_error from rungs where ladder = '{ladder.teacher}'")
    errors = dict(zip(measured["rung"].tolist(), measured["validation_error"].tolist(), strict=True))
    wanted = range(ladder.recipe.levels + 1)
    missing = [rung for rung in wanted if rung not in errors]
    if missing:
        raise PrunescopeError(f"its teacher {ladder.teacher} has no rung {missing[0]} to learn from")
    best = optimal_rung({rung: errors[rung] for rung in wanted})
    outcomes = []
    for rung in (0, best):
        if not store.has_arrays("examples", ladder.teacher, rung):
            words = f"rung {rung} of its teacher {ladder.teacher} was trained before anything learned from it"
            raise PrunescopeError(
                f"{words}, and outcomes on examples were not kept; prunescope outcomes --rung {rung} makes them"
            )
        outcome = store.read_arrays("examples", ladder.teacher, rung)
        if not np.array_equal(outcome["index"], subsample.train):
            raise PrunescopeError(f"rung {rung} of its teacher {ladder.teacher} was trained on other examples")
        outcomes.append(outcome)
    return outcomes[0], outcomes[1]
