"""A cohort climbs its ladders: trained rung by rung, checked, written, until the top or a failure.

Rung 0 is trained once for all ladders of a cell and replicate: each of them takes its row, its outcomes and the copy
that it rewinds to from that one training, then goes its own way. Where others had their rung 0 in an earlier run, it is
trained again for those that come later: a store keeps too little of a network to go on from it elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch

from prunescope.data import Dataset
from prunescope.errors import DamageError, PrunescopeError, listed
from prunescope.nets import Network, network
from prunescope.nets.cohort import Layout
from prunescope.run.artifacts import damage, rung_arrays
from prunescope.run.climber import Climber, set_out, write
from prunescope.run.cohorts import Cohort
from prunescope.run.events import (
    CohortFinished,
    CohortProgress,
    LadderFailed,
    LaddersElsewhere,
    RungFinished,
    Tell,
    Unsound,
    Written,
)
from prunescope.run.rows import Circumstances, row
from prunescope.run.together import Ready, Ticker, distinct, ready, shared_span, train_together
from prunescope.study import Ladder
from prunescope.study.effort import epochs_of, first_missing
from prunescope.study.sections import Keep, keeps
from prunescope.table import Store
from prunescope.train import Span, TrainedMembers, TrainingContext
from prunescope.train.ladder import check_end

WRITTEN_EVERY = 2.0  # seconds of training after which finished rungs are written, at the latest


@dataclass(frozen=True)
class RunSettings:
    """How and for whom cohorts are trained.

    Attributes
    ----------
    keep
        Rungs whose surviving weights the store keeps.
    keep_examples
        Rungs of which it keeps loss and correctness for every training example.
    """

    study: str
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    keep: Keep = "none"
    keep_examples: Keep = "none"


def network_of(ladder: Ladder, rung: int, dataset: Dataset) -> Network:
    """Return the network that a rung of a ladder trains."""
    cell = ladder.cell_at(rung)
    return network(cell.family, cell.depth, cell.width, dataset.classes, dataset.shape)


def bench_for(ladder: Ladder, dataset: Dataset, layout: Layout, settings: RunSettings) -> TrainingContext:
    """Return what the first networks of a ladder are trained on."""
    net = network_of(ladder, 0, dataset)
    return TrainingContext(net, ladder.recipe, dataset, torch.device(settings.device), settings.dtype, layout)


def work_of(ladder: Ladder, rung: int) -> int:
    """Return the examples that a rung of a ladder sees."""
    return epochs_of(ladder, rung) * ladder.cell.examples


def work_left(ladder: Ladder, done: dict[str, frozenset[int]]) -> int:
    """Return the examples that the missing rungs of a ladder will see."""
    return sum(work_of(ladder, rung) for rung in range(first_missing(ladder, done), ladder.rungs))


def climb(cohort: Cohort, context: TrainingContext, store: Store, settings: RunSettings, tell: Tell) -> None:
    """Train what is missing of a cohort's ladders.

    Ladders that another process is at are left to it. A ladder that fails is noted in the store and the others go on.
    """
    with store.claim_all(ladder.identity for ladder in cohort.ladders) as free:
        claimed = [ladder for ladder in cohort.ladders if ladder.identity in free]
        _Ascent(cohort, context, store, settings, tell).climb(claimed)
    tell(CohortFinished(cohort.number))


def _teacher_at_work(ladder: Ladder, running: frozenset[str], done: dict[str, frozenset[int]]) -> bool:
    """Whether another process is at what a ladder learns from."""
    taught = done.get(ladder.teacher, frozenset())
    return ladder.learns and ladder.teacher in running and not taught.issuperset(range(ladder.recipe.levels + 1))


class _Ascent:
    """The way of one cohort, with what all its steps need."""

    def __init__(
        self, cohort: Cohort, context: TrainingContext, store: Store, settings: RunSettings, tell: Tell
    ) -> None:
        self._cohort = cohort
        self._bench = context
        self._narrower: TrainingContext | None = None
        self._store = store
        self._settings = settings
        self._tell = tell
        self._parts = cohort.parts()
        self._networks = 0  # trained since the last were written

    def climb(self, free: Sequence[Ladder]) -> None:
        """Train the ladders that this process has claimed, always those that stand lowest."""
        everyone = self._set_out(free)
        climbers, written = list(everyone), time.perf_counter()
        try:
            while climbers:
                lowest = min(each.rung for each in climbers)
                together = self._in_lock_step([each for each in climbers if each.rung == lowest])
                if any(lowest in each.have or each.mends for each in together):
                    self._write(everyone)  # what is finished is trained again only to go on from it
                failed = self._next_rung(together)
                climbers = [each for each in climbers if each not in failed and not each.arrived]
                if time.perf_counter() - written > WRITTEN_EVERY:
                    self._write(everyone)
                    written = time.perf_counter()
        finally:  # also where Ctrl-C ended it
            self._write(everyone)

    def _write(self, climbers: Sequence[Climber]) -> None:
        """Write what is finished, and tell of it."""
        rows = write(climbers, self._store)
        if rows or self._networks:
            networks, self._networks = self._networks, 0
            self._tell(Written(self._cohort.number, rows, networks))

    def _in_lock_step(self, level: Sequence[Climber]) -> list[Climber]:
        """Return which of the climbers that stand equally high are trained first, in one step."""
        if level[0].rung == 0:
            return [each for each in level if each.examples == level[0].examples]
        return [each for each in level if self._parts[each.ladder.identity] == self._parts[level[0].ladder.identity]]

    def _bench_at(self, ladder: Ladder, rung: int) -> TrainingContext:
        """Return the bench of a ladder's rung, whose network those that climb with it share."""
        if ladder.cell_at(rung) == ladder.cell:
            return self._bench
        net = network_of(ladder, rung, self._bench.dataset)
        if self._narrower is None or self._narrower.network is not net:
            self._narrower = self._bench.with_network(net)
        return self._narrower

    def _set_out(self, free: Sequence[Ladder]) -> list[Climber]:
        """Return climbers for the claimed ladders that are not finished; tell of those that others are at."""
        running = self._store.running() if any(ladder.learns for ladder in free) else frozenset()
        done = self._store.done()  # read after claiming, so that nothing finished in between is trained again
        free = [ladder for ladder in free if not _teacher_at_work(ladder, running, done)]
        taken = [ladder for ladder in self._cohort.ladders if ladder not in free and work_left(ladder, done)]
        if taken:
            self._tell(LaddersElsewhere(len(taken), sum(work_left(ladder, done) for ladder in taken)))
        climbers = []
        for ladder in free:
            rung = first_missing(ladder, done)
            if rung < ladder.rungs:
                have = done.get(ladder.identity, frozenset())
                try:
                    climbers.append(self._begin(ladder, rung, have))
                except PrunescopeError as trouble:
                    self._fail(ladder, rung, str(trouble))
        return climbers

    def _begin(self, ladder: Ladder, rung: int, have: frozenset[int]) -> Climber:
        """Return a ladder before a rung; before a lower one where what the rung starts from is damaged."""
        try:
            return set_out(ladder, self._bench_at(ladder, rung), self._store, rung, have)
        except DamageError:
            left = damage(self._store, ladder, rung)
            if not left.files:  # no file of its own
                raise
        verb = "is" if len(left.files) == 1 else "are"
        words = f"{listed(left.files, 3)} of ladder {ladder.identity} {verb} damaged"
        instead = f"the ladder is trained again from rung {left.rung}, and its finished rows stay as they are"
        self._tell(Unsound(words, instead))
        return set_out(ladder, self._bench_at(ladder, left.rung), self._store, left.rung, have, left.lost)

    def _next_rung(self, climbers: Sequence[Climber]) -> list[Climber]:
        """Train one rung of climbers that stand equally high; return those that failed."""
        rung = climbers[0].rung
        context = self._bench_at(climbers[0].ladder, rung)
        members, failed = self._ready(climbers, context)
        if not members:
            return failed
        span = shared_span(members)
        started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
        networks, places = distinct(members)
        trained = train_together(networks, context, span, self._ticker(members, span))
        took = time.perf_counter() - clock
        wrong = check_end([each.beginning.masks for each in networks], trained.state, trained.outcomes)
        where = Circumstances(
            self._settings.study, self._settings.device, started, took / len(networks), span.last - span.first
        )
        rows, finished = [], set()
        for each, place in zip(members, places, strict=True):
            try:
                if place in wrong:
                    raise PrunescopeError(wrong[place])
                rows.append(self._finish(each, place, trained, where))
                finished.add(place)
            except PrunescopeError as trouble:
                self._fail(each.climber.ladder, rung, str(trouble))
                failed.append(each.climber)
        if rows:
            density, error = (float(np.mean([each[key] for each in rows])) for key in ("density", "test_error"))
            self._networks += len(finished)
            # What was finished before a ladder's first gap, and is trained again to go on from it, was never left.
            below = sum(member.climber.have.issuperset(range(rung + 1)) for member in members)
            work = max(0, len(rows) - below) * work_of(members[0].climber.ladder, rung)
            told = len(rows), len(finished), rung, work, density, error, took
            self._tell(RungFinished(self._cohort.number, self._cohort.words, *told))
        return failed

    def _ready(self, climbers: Sequence[Climber], context: TrainingContext) -> tuple[list[Ready], list[Climber]]:
        """Return the climbers that can begin their next rung, and those that fail at it."""
        members, failed = [], []
        for climber in climbers:
            climber.stand_at(context)
            try:
                members.append(ready(climber))
            except PrunescopeError as trouble:
                self._fail(climber.ladder, climber.rung, str(trouble))
                failed.append(climber)
        return members, failed

    def _finish(self, member: Ready, place: int, trained: TrainedMembers, where: Circumstances) -> dict[str, Any]:
        """Prune after a rung, keep what is to be kept, and put the climber before the next one; return the row."""
        climber, masks, outcome = member.climber, member.beginning.masks, trained.outcomes[place]
        after = {name: each[place] for name, each in trained.state.items()}
        snapshot = None
        if member.span.snapshot is not None and trained.snapshot is not None:
            snapshot = {name: each[place] for name, each in trained.snapshot.items()}
        rung = climber.rung
        inheritance = climber.climb.leave(rung, masks, climber.before, after, snapshot)
        own = row(
            climber.ladder, rung, climber.climb.context.network, masks, outcome, climber.member.subsample.noisy, where
        )
        if rung not in climber.have or rung in climber.lost:
            climber.arrays |= rung_arrays(rung, masks, after, keeps(self._settings.keep, rung))
        if rung not in climber.have:
            climber.rows.append(own)
            if keeps(self._settings.keep_examples, rung) or climber.ladder.teaches:
                climber.outcomes[rung] = outcome
        climber.rung, climber.before = rung + 1, inheritance
        return own

    def _ticker(self, members: Sequence[Ready], span: Span) -> Ticker:
        """Return what tells how far a rung is."""
        ladder, rung = members[0].climber.ladder, members[0].climber.rung
        words, work, count = self._cohort.words, work_of(ladder, rung), len(members)
        rungs = max(each.climber.ladder.rungs for each in members)
        note = CohortProgress(self._cohort.number, words, count, work, rung, rungs, span.first, span.last, 0, 1)
        return Ticker(note, span, self._tell)

    def _fail(self, ladder: Ladder, rung: int, reason: str) -> None:
        """Note a failure, in the store and to whoever listens."""
        self._store.fail(ladder.identity, rung, reason)
        cell = ladder.cell
        words = f"{cell.family} l={cell.depth} w={cell.width:g} n={cell.examples} replicate {ladder.replicate}"
        work = sum(work_of(ladder, each) for each in range(rung, ladder.rungs))
        self._tell(LadderFailed(self._cohort.number, ladder.identity, words, rung, reason, work))
