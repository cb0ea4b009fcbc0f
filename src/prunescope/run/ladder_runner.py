"""Trains the ladders of a cohort: a rung is trained, checked, pruned and written, then the next, until all are done.

Rung 0 is trained once for all ladders of a cell and replicate. Each of them takes its row, its outcomes and the
weights that it rewinds to from that training, then continues by itself. A ladder that is added in a later run trains
its rung 0 again: a store keeps too little of a network to start another ladder from it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prunescope.data import Dataset
from prunescope.errors import DamageError, PrunescopeError, listed
from prunescope.nets import Network, network
from prunescope.nets.cohort import Layout
from prunescope.prune.checkpoints import damage, rung_arrays
from prunescope.run.artifacts import TrainingFacts, row
from prunescope.run.cohorts import Cohort
from prunescope.run.data_parallel import DataParallel
from prunescope.run.events import (
    CohortFinished,
    CohortProgress,
    EventHandler,
    LadderFailed,
    LaddersElsewhere,
    Lost,
    ResultsSetAside,
    RungFinished,
    Unsound,
    Written,
)
from prunescope.run.kept_progress import StoredProgress
from prunescope.run.ladder_state import LadderState, resume, write
from prunescope.run.progress_reporter import ProgressReporter
from prunescope.run.rung_training import StartedLadder, distinct_networks, network_name, train_started
from prunescope.study import Ladder
from prunescope.study.effort import epochs_of, first_missing
from prunescope.study.sections import Keep, keeps
from prunescope.table import EXPIRY, Claim, Store
from prunescope.train import RungStoppedError, Span, TrainedMembers, TrainingContext
from prunescope.train.ladder import check_end

TRIES = 2  # of ladders whose process dies: so often in company, then so often alone
WRITE_INTERVAL = 2.0  # seconds of training after which finished rungs are written
CHECKPOINT_EVERY = 900.0  # seconds


@dataclass(frozen=True)
class RunSettings:
    """How cohorts are trained, and for which study.

    Attributes
    ----------
    keep
        Rungs whose surviving weights the store keeps.
    keep_examples
        Rungs of which it keeps loss and correctness for every training example.
    keep_test_examples
        Rungs of which it keeps correctness for every test example.
    home
        The folder that paths of the user's own datasets are relative to; None: the current one.
    expiry
        Seconds without a heartbeat after which other runs may take over what this one trains.
    checkpoint_every
        Seconds after which a rung under way is kept, again and again.
    processes
        How many train each network together.
    """

    study: str
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    keep: Keep = "none"
    keep_examples: Keep = "none"
    keep_test_examples: Keep = "none"
    home: Path | None = None
    expiry: float = EXPIRY
    checkpoint_every: float = CHECKPOINT_EVERY
    processes: int = 1

    @property
    def trained_on(self) -> str:
        """What networks are trained on, as rows have it."""
        device = self.device if self.processes == 1 else self.device.partition(":")[0]
        return device if self.processes == 1 else f"{device} x {self.processes}"


def network_of(ladder: Ladder, rung: int, dataset: Dataset) -> Network:
    """Return the network that a rung of a ladder trains."""
    cell = ladder.cell_at(rung)
    return network(cell.family, cell.depth, cell.width, dataset.classes, dataset.shape)


def context_for(
    ladder: Ladder, dataset: Dataset, layout: Layout, settings: RunSettings, sparse_below: float = 0.0
) -> TrainingContext:
    """Return the training context of a ladder's first network."""
    net, device = network_of(ladder, 0, dataset), torch.device(settings.device)
    return TrainingContext(net, ladder.recipe, dataset, device, settings.dtype, layout, sparse_below=sparse_below)


def _work_of(ladder: Ladder, rung: int) -> int:
    """Return how many examples a rung of a ladder sees."""
    return epochs_of(ladder, rung) * ladder.cell.examples


def work_left(ladder: Ladder, done: dict[str, frozenset[int]]) -> int:
    """Return how many examples the missing rungs of a ladder will see."""
    return sum(_work_of(ladder, rung) for rung in range(first_missing(ladder, done), ladder.rungs))


class LadderRunner:
    """Trains what is missing of a cohort's ladders.

    Ladders that another process trains are left to it. A ladder that fails is noted in the store; the others go on. One
    whose process died again and again before it finished a rung is trained alone, so that only the culprit is given up.

    Parameters
    ----------
    stop
        Whether to begin no other rung.
    elsewhere
        Ladders that were left to other processes, whether or not these are at them now.
    parallel
        The processes that train each network together; None: this one does alone.
    """

    def __init__(
        self,
        cohort: Cohort,
        context: TrainingContext,
        store: Store,
        settings: RunSettings,
        on_event: EventHandler,
        stop: Callable[[], bool] = lambda: False,
        elsewhere: Set[str] = frozenset(),
        parallel: DataParallel | None = None,
    ) -> None:
        self._cohort = cohort
        self._context = context
        self._narrow_context: TrainingContext | None = None
        self._store = store
        self._settings = settings
        self._on_event = on_event
        self._stop = stop
        self._elsewhere = elsewhere
        self._parallel = parallel
        self._groups = cohort.groups()
        self._claim: Claim | None = None
        self._networks = 0  # trained since the last write
        self._progress_kept: list[StoredProgress] = []  # of rungs that were finished since

    def run(self) -> None:
        """Train the ladders: together, and alone those that processes have died of."""
        suspects = [ladder for ladder in self._cohort.ladders if self._store.leases.deaths(ladder.identity) >= TRIES]
        self._train([ladder for ladder in self._cohort.ladders if ladder not in suspects])
        for ladder in suspects:
            self._train([ladder])
        self._on_event(CohortFinished(self._cohort.number))

    def _train(self, ladders: Sequence[Ladder]) -> None:
        """Claim ladders, train them rung by rung, and write what is finished now and then."""
        with self._store.claim_all(ladder.identity for ladder in ladders) as claim:
            self._claim, states = claim, self._resume(ladders, claim)
            written = time.perf_counter()
            try:
                while (active := [state for state in states if state.active]) and not self._stop():
                    group = self._next_group(active)
                    if any(state.rung in state.finished or state.repairs for state in group):
                        self._write(states, claim)  # a finished rung is trained again only to go on from it
                    if group := [state for state in group if state.active]:
                        self._train_rung(group)
                    if time.perf_counter() - written > WRITE_INTERVAL:
                        self._write(states, claim)
                        written = time.perf_counter()
            finally:  # also after Ctrl-C
                self._write(states, claim)

    def _resume(self, ladders: Sequence[Ladder], claim: Claim) -> list[LadderState]:
        """Return the state of each claimed ladder that has rungs left; report those that other processes train."""
        claimed = [ladder for ladder in ladders if ladder.identity in claim]
        running = self._elsewhere | self._store.running({ladder.waits_for for ladder in claimed if ladder.waits_for})
        done = self._store.done()  # read after claiming, so that nothing finished in between is trained again
        ours = [ladder for ladder in claimed if not self._must_wait(ladder, running, done)]
        elsewhere = [ladder for ladder in ladders if ladder not in ours and work_left(ladder, done)]
        if elsewhere:
            work = sum(work_left(ladder, done) for ladder in elsewhere)
            self._on_event(LaddersElsewhere(len(elsewhere), work, tuple(ladder.identity for ladder in elsewhere)))
        states = []
        for ladder in ours:
            rung = first_missing(ladder, done)
            if rung < ladder.rungs:
                alone = [owner for owner in claim.deaths(ladder.identity) if owner.names == 1]
                try:
                    if len(alone) >= TRIES:
                        words = f"its process died {len(alone)} times while it trained this ladder alone"
                        raise PrunescopeError(f"{words}, the last time {alone[-1]}")
                    states.append(self._resume_ladder(ladder, rung, done.get(ladder.identity, frozenset())))
                except PrunescopeError as error:
                    self._fail(ladder, rung, str(error))
        return states

    def _must_wait(self, ladder: Ladder, running: Set[str], done: dict[str, frozenset[int]]) -> bool:
        """Whether another process trains the ladder that this one learns from, or scores its examples."""
        if ladder.waits_for not in running:
            return False
        if ladder.scorer:
            return not self._store.has_arrays("examples", ladder.scorer, 0)
        finished = done.get(ladder.teacher, frozenset())
        return not finished.issuperset(range(ladder.recipe.levels + 1))

    def _resume_ladder(self, ladder: Ladder, rung: int, finished: frozenset[int]) -> LadderState:
        """Return a ladder before a rung; before a lower one where what the rung starts from is damaged."""
        try:
            return resume(ladder, self._context_at(ladder, rung), self._store, rung, finished)
        except DamageError:
            left = damage(self._store, ladder.identity, rung)
            if not left.files:  # no file of its own
                raise
        verb = "is" if len(left.files) == 1 else "are"
        reason = f"{listed(left.files, 3)} of ladder {ladder.identity} {verb} damaged"
        instead = f"the ladder is trained again from rung {left.rung}, and its finished rows stay as they are"
        self._on_event(Unsound(reason, instead))
        return resume(ladder, self._context_at(ladder, left.rung), self._store, left.rung, finished, left.lost)

    def _context_at(self, ladder: Ladder, rung: int) -> TrainingContext:
        """Return the training context of a ladder's rung; ladders of one group share its network."""
        if ladder.cell_at(rung) == ladder.cell:
            return self._context
        net = network_of(ladder, rung, self._context.dataset)
        if self._narrow_context is None or self._narrow_context.network is not net:
            self._narrow_context = self._context.with_network(net)
        return self._narrow_context

    def _next_group(self, active: Sequence[LadderState]) -> list[LadderState]:
        """Return the ladders to train next in lock-step: some of those whose next rung is the lowest."""
        rung = min(state.rung for state in active)
        level = [state for state in active if state.rung == rung]
        if rung == 0:
            size = len(level[0].member.subsample.train)
            return [state for state in level if len(state.member.subsample.train) == size]
        return [s for s in level if self._groups[s.ladder.identity] == self._groups[level[0].ladder.identity]]

    def _train_rung(self, group: Sequence[LadderState]) -> None:
        """Train the next rung of a group, check it, prune, and report it."""
        rung, context = group[0].rung, self._context_at(group[0].ladder, group[0].rung)
        members = self._begin(group, context)
        if not members:
            return
        networks, places = distinct_networks(members)
        # Where one member needs a snapshot at its rewind epoch, it is taken of all.
        span = next((member.span for member in members if member.span.snapshot is not None), members[0].span)
        started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
        every_example = any(self._keeps_examples(member.state) for member in members)
        keeper = self._keeper(members, [network_name(member) for member in networks], span)
        try:
            trained = train_started(
                networks, context, span, self._progress(members, span), keeper, every_example, self._parallel
            )
        except RungStoppedError:  # the run ends with this
            return
        self._progress_kept.append(keeper)
        seconds = time.perf_counter() - clock
        faults = check_end([member.start.masks for member in networks], trained.state, trained.outcomes)
        study, device, epochs = self._settings.study, self._settings.trained_on, span.last - span.first
        facts = TrainingFacts(study, device, started, seconds / len(networks), epochs)
        rows, finished = [], set()
        for member, place in zip(members, places, strict=True):
            try:
                if place in faults:
                    raise PrunescopeError(faults[place])
                rows.append(self._finish(member, place, trained, facts))
                finished.add(place)
            except PrunescopeError as error:
                self._fail_state(member.state, str(error))
        if rows:
            self._networks += len(finished)
            density, error_rate = (float(np.mean([row[key] for row in rows])) for key in ("density", "test_error"))
            # A rung below a ladder's first gap that is trained again to go on from it was never counted as left.
            again = sum(member.state.finished.issuperset(range(rung + 1)) for member in members)
            work = max(0, len(rows) - again) * _work_of(members[0].state.ladder, rung)
            figures = len(rows), len(finished), rung, work, density, error_rate, seconds
            self._on_event(RungFinished(self._cohort.number, self._cohort.words, *figures, trained.waited))

    def _keeper(self, members: Sequence[StartedLadder], names: Sequence[str], span: Span) -> StoredProgress:
        """Return what keeps the networks of ladders in the middle of a rung; deaths before that count no more."""
        ladders = [member.state.ladder.identity for member in members]

        def got_on() -> None:
            if self._claim is not None:
                self._claim.got_on(ladders)

        facts, every = f"{span} {self._settings.dtype}", self._settings.checkpoint_every
        return StoredProgress(self._store.path, names, members[0].state.rung, every, facts, got_on, self._stop)

    def _begin(self, group: Sequence[LadderState], context: TrainingContext) -> list[StartedLadder]:
        """Return the start of each ladder's next rung; note those that fail at it."""
        members = []
        for state in group:
            state.use_context(context)
            try:
                start = state.rungs.begin(state.rung, state.handover)
                members.append(StartedLadder(state, start, state.rungs.span(state.rung)))
            except PrunescopeError as error:
                self._fail_state(state, str(error))
        return members

    def _finish(
        self, member: StartedLadder, place: int, trained: TrainedMembers, facts: TrainingFacts
    ) -> dict[str, Any]:
        """Prune after a rung, collect what is to be kept, move the ladder on, and return the row."""
        state, rung, masks, outcome = member.state, member.state.rung, member.start.masks, trained.outcomes[place]
        after = {name: tensors[place] for name, tensors in trained.state.items()}
        snapshot = None
        if member.span.snapshot is not None and trained.snapshot is not None:
            snapshot = {name: tensors[place] for name, tensors in trained.snapshot.items()}
        handover = state.rungs.leave(rung, masks, state.handover, after, snapshot)
        net, noisy = state.rungs.context.network, state.member.subsample.noisy
        rung_row = row(state.ladder, rung, net, masks, outcome, noisy, facts)
        if rung not in state.finished or rung in state.lost:
            state.arrays |= rung_arrays(rung, masks, after, keeps(self._settings.keep, rung))
        if rung not in state.finished:
            state.rows.append(rung_row)
            if self._keeps_examples(state):
                state.outcomes[rung] = outcome
            if keeps(self._settings.keep_test_examples, rung):
                state.test_right[rung] = outcome.test_right
        state.rung, state.handover = rung + 1, handover
        return rung_row

    def _keeps_examples(self, state: LadderState) -> bool:
        """Whether the outcome on every training example is kept of a ladder's next rung."""
        return keeps(self._settings.keep_examples, state.rung) or state.ladder.teaches

    def _write(self, states: Sequence[LadderState], claim: Claim) -> None:
        """Write what is finished of the ladders that are still this process's own, and report it."""
        pending = [state for state in states if state.rows or state.repairs]
        held = claim.held(state.ladder.identity for state in pending)
        for state in pending:
            if state.ladder.identity not in held:
                self._give_away(state)
        got_on, finished = {state.ladder.identity for state in pending if state.rows}, sum(len(s.rows) for s in pending)
        rows = write(states, self._store)
        claim.got_on(got_on)
        while self._progress_kept:
            self._progress_kept.pop().discard()
        if rows < finished:
            self._on_event(ResultsSetAside(str(self._store.path), finished - rows))
        if rows or self._networks:
            networks, self._networks = self._networks, 0
            self._on_event(Written(self._cohort.number, rows, networks))

    def _give_away(self, state: LadderState) -> None:
        """Leave a ladder to the process that took it over, and take back what was reported of it."""
        ladder = state.ladder
        unwritten = sum(_work_of(ladder, rung) for rung in state.give_away())
        left = sum(_work_of(ladder, rung) for rung in range(state.rung, ladder.rungs))
        self._on_event(Lost(self._cohort.number, 0, unwritten))
        self._on_event(LaddersElsewhere(1, unwritten + left, (ladder.identity,)))

    def _progress(self, members: Sequence[StartedLadder], span: Span) -> ProgressReporter:
        """Return what reports the progress within a rung."""
        ladder, rung = members[0].state.ladder, members[0].state.rung
        rungs = max(member.state.ladder.rungs for member in members)
        size = len(members), _work_of(ladder, rung), rung, rungs, span.first, span.last
        progress = CohortProgress(self._cohort.number, self._cohort.words, *size, 0, 1)
        return ProgressReporter(progress, self._on_event, members[0].state.rungs.context.waited)

    def _fail_state(self, state: LadderState, reason: str) -> None:
        state.failed = True
        self._fail(state.ladder, state.rung, reason)

    def _fail(self, ladder: Ladder, rung: int, reason: str) -> None:
        """Note a failure in the store, and report it."""
        self._store.fail(ladder.identity, rung, reason)
        cell = ladder.cell
        words = f"{cell.family} l={cell.depth} w={cell.width:g} n={cell.examples} replicate {ladder.replicate}"
        work = sum(_work_of(ladder, missing) for missing in range(rung, ladder.rungs))
        self._on_event(LadderFailed(self._cohort.number, ladder.identity, words, rung, reason, work))
