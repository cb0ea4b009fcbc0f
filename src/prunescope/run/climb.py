"""A cohort climbs its ladders: trained rung by rung, checked, written, until the top or a failure."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch

from prunescope.data import Dataset, draw_share
from prunescope.errors import InputError, PrunescopeError
from prunescope.nets import network
from prunescope.nets.cohort import Layout
from prunescope.run.cohorts import Cohort
from prunescope.run.events import Elsewhere, Failed, Finished, Rung, Tell, Working
from prunescope.run.keep import inherited, keep_checkpoint, keep_examples, rung_arrays
from prunescope.run.rows import Circumstances, row
from prunescope.spec import Ladder
from prunescope.spec.checks import held_out
from prunescope.spec.effort import epochs_of
from prunescope.spec.parts import Keep, keeps
from prunescope.table import Store
from prunescope.train import Bench, Climb, Inheritance, Member, Outcome, Span, Trained, chance_of, train_rung
from prunescope.train.ladder import Beginning, check_begin, check_end

TOLD_EVERY = 0.2  # seconds between two notes of how far a rung is
WRITTEN_EVERY = 2.0  # seconds of training after which finished rungs are written, at the latest


@dataclass(frozen=True)
class Setting:
    """How and for whom cohorts are trained.

    Attributes
    ----------
    keep
        Rungs whose surviving weights the store keeps.
    keep_examples
        Keep loss and correctness for every training example of every rung.
    """

    study: str
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    keep: Keep = "none"
    keep_examples: bool = False


@dataclass
class _Climber:
    """One ladder on its way: the rung it stands before, what the one below left, what is not written yet."""

    climb: Climb
    member: Member
    rung: int
    before: Inheritance | None
    have: frozenset[int] = frozenset()  # rungs that are finished, as above a gap that damage has left
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    @property
    def ladder(self) -> Ladder:
        return self.climb.ladder


def bench_for(ladder: Ladder, dataset: Dataset, layout: Layout, setting: Setting) -> Bench:
    """Return what the networks of a ladder are trained on."""
    cell = ladder.cell
    net = network(cell.family, cell.depth, cell.width, dataset.classes, dataset.shape)
    return Bench(net, ladder.recipe, dataset, torch.device(setting.device), setting.dtype, layout)


def work_of(ladder: Ladder, rung: int) -> int:
    """Return the examples that a rung of a ladder sees."""
    return epochs_of(ladder, rung) * ladder.cell.examples


def work_left(ladder: Ladder, done: dict[str, frozenset[int]]) -> int:
    """Return the examples that the missing rungs of a ladder will see."""
    return sum(work_of(ladder, rung) for rung in range(first_missing(ladder, done), ladder.rungs))


def first_missing(ladder: Ladder, done: dict[str, frozenset[int]]) -> int:
    """Return the lowest rung that is not finished."""
    have = done.get(ladder.identity, frozenset())
    return next(rung for rung in range(len(have) + 1) if rung not in have)


def climb(cohort: Cohort, bench: Bench, store: Store, setting: Setting, tell: Tell) -> None:
    """Train what is missing of a cohort's ladders.

    Ladders that another process is at are left to it. A ladder that fails is noted in the store and the others go on.
    """
    with ExitStack() as claims:
        free = [ladder for ladder in cohort.ladders if claims.enter_context(store.claim(ladder.identity))]
        done = store.done()  # read after claiming, so that nothing finished in between is trained again
        taken = [ladder for ladder in cohort.ladders if ladder not in free and work_left(ladder, done)]
        if taken:
            tell(Elsewhere(len(taken), sum(work_left(ladder, done) for ladder in taken)))
        climbers = []
        for ladder in free:
            rung = first_missing(ladder, done)
            if rung < ladder.rungs:
                try:
                    climbers.append(_climber(ladder, bench, store, rung, done.get(ladder.identity, frozenset())))
                except PrunescopeError as trouble:
                    _fail(store, cohort.number, ladder, rung, str(trouble), tell)
        everyone, written = list(climbers), time.perf_counter()
        try:
            while climbers:
                lowest = min(each.rung for each in climbers)
                together = [each for each in climbers if each.rung == lowest]
                if any(lowest in each.have for each in together):
                    _write(everyone, store)  # what is finished is trained again only to go on from it
                failed = _next_rung(cohort, together, bench, store, setting, tell)
                climbers = [each for each in climbers if each not in failed and each.rung < each.ladder.rungs]
                if time.perf_counter() - written > WRITTEN_EVERY:
                    _write(everyone, store)
                    written = time.perf_counter()
        finally:  # also where Ctrl-C ended it
            _write(everyone, store)
    tell(Finished(cohort.number))


def _write(climbers: Sequence[_Climber], store: Store) -> None:
    """Write finished rungs: first what goes with them, then their rows, with which they count as finished."""
    fresh = [each for each in climbers if each.rows and each.before is not None]
    for climber in fresh:
        for rung, outcome in climber.outcomes.items():
            keep_examples(store, climber.ladder, rung, climber.member.share, outcome)
        assert climber.before is not None  # noqa: S101 - chosen so
        keep_checkpoint(store, climber.ladder, climber.rung - 1, climber.arrays, climber.before)
    store.write(own for climber in fresh for own in climber.rows)
    for climber in fresh:
        climber.arrays, climber.rows, climber.outcomes = {}, [], {}


def _climber(ladder: Ladder, bench: Bench, store: Store, rung: int, have: frozenset[int] = frozenset()) -> _Climber:
    """Return a ladder before a rung, with what the one below left."""
    chance = chance_of(ladder)
    share = draw_share(
        bench.dataset.train_labels,
        bench.dataset.classes,
        examples=ladder.cell.examples,
        label_noise=ladder.cell.label_noise,
        held_out=held_out(ladder.cell.dataset, ladder.recipe.validation),
        seed=ladder.seed,
        replicate=ladder.replicate,
        dataset=ladder.cell.dataset,
    )
    try:
        before = inherited(store, ladder, rung - 1, bench.network) if rung else None
    except InputError:
        words = f"rung {rung - 1} is finished, but the file that rung {rung} starts from is not in checkpoints/"
        raise PrunescopeError(f"{words}{ladder.identity}; copy it from the store that trained them") from None
    return _Climber(Climb(ladder, bench.network, chance), Member(share, chance), rung, before, have)


def _fail(store: Store, number: int, ladder: Ladder, rung: int, reason: str, tell: Tell) -> None:
    """Note a failure, in the store and to whoever listens."""
    store.fail(ladder.identity, rung, reason)
    cell = ladder.cell
    words = f"{cell.family} l={cell.depth} w={cell.width:g} n={cell.examples} replicate {ladder.replicate}"
    work = sum(work_of(ladder, each) for each in range(rung, ladder.rungs))
    tell(Failed(number, ladder.identity, words, rung, reason, work))


def _next_rung(
    cohort: Cohort, climbers: Sequence[_Climber], bench: Bench, store: Store, setting: Setting, tell: Tell
) -> list[_Climber]:
    """Train one rung of ladders that stand equally high, and write it; return those that failed."""
    ladder, rung = climbers[0].ladder, climbers[0].rung
    spans = [each.climb.span(rung) for each in climbers]
    span = next((each for each in spans if each.snapshot is not None), spans[0])
    ready, failed = [], []
    for climber in climbers:
        try:
            ready.append((climber, climber.climb.begin(rung, climber.before)))
        except PrunescopeError as trouble:
            _fail(store, cohort.number, climber.ladder, rung, str(trouble), tell)
            failed.append(climber)
    if not ready:
        return failed
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    trained = _trained(ready, bench, rung, span, _Ticker(cohort, len(ready), ladder, rung, span, tell))
    took = time.perf_counter() - clock
    where = Circumstances(setting.study, setting.device, started, took / len(ready), span.last - span.first)
    rows = []
    for place, (climber, beginning) in enumerate(ready):
        after = {name: each[place] for name, each in trained.state.items()}
        snapshot = None
        if climber.climb.span(rung).snapshot is not None and trained.snapshot is not None:
            snapshot = {name: each[place] for name, each in trained.snapshot.items()}
        outcome, own, masks = trained.outcomes[place], climber.ladder, beginning.masks
        try:
            check_end(masks, after, outcome)
            inheritance = climber.climb.leave(rung, masks, climber.before, after, snapshot)
        except PrunescopeError as trouble:
            _fail(store, cohort.number, own, rung, str(trouble), tell)
            failed.append(climber)
            continue
        rows.append(row(own, rung, bench.network, masks, outcome, climber.member.share.noisy, where))
        if rung not in climber.have:
            climber.rows.append(rows[-1])
            climber.arrays |= rung_arrays(rung, masks, after, keeps(setting.keep, rung))
            if setting.keep_examples:
                climber.outcomes[rung] = outcome
        climber.rung, climber.before = rung + 1, inheritance
    if rows:
        density, error = (float(np.mean([each[key] for each in rows])) for key in ("density", "test_error"))
        work = len(rows) * work_of(ladder, rung)
        tell(Rung(cohort.number, cohort.words, len(rows), rung, work, density, error, took))
    return failed


def _trained(
    ready: Sequence[tuple[_Climber, Beginning]], bench: Bench, rung: int, span: Span, tick: _Ticker
) -> Trained:
    """Train a rung; members packed into shared groups are trained again apart if one of them diverges.

    Zero times infinity is no number: in a shared group one member's infinities would reach the others.
    """
    members = [climber.member for climber, _ in ready]
    masks = bench.masks([beginning.masks for _, beginning in ready])
    whole = bench.stacked([beginning.tensors for _, beginning in ready])
    start = {name: each * masks[name] if name in masks else each for name, each in whole.items()}
    for place, (climber, beginning) in enumerate(ready):
        check_begin(beginning, start, place, climber.climb.expected(rung))
    trained = train_rung(bench, members, start, masks, rung, span, tick)
    if bench.layout.pack > 1 and not all(each.finite for each in trained.outcomes):
        apart = bench.with_layout(replace(bench.layout, pack=1))
        trained = train_rung(apart, members, start, masks, rung, span, tick)
    return trained


class _Ticker:
    """Tells how far a rung is, now and then."""

    def __init__(self, cohort: Cohort, members: int, ladder: Ladder, rung: int, span: Span, tell: Tell) -> None:
        self._note = Working(
            cohort.number,
            cohort.words,
            members,
            work_of(ladder, rung),
            rung,
            ladder.rungs,
            span.first,
            span.last,
            0,
            1,
        )
        self._span = span
        self._tell = tell
        self._told = time.perf_counter()

    def __call__(self, done: int, total: int) -> None:
        now = time.perf_counter()
        if now - self._told < TOLD_EVERY:
            return
        self._told = now
        epoch = self._span.first + (done - 1) * (self._span.last - self._span.first) // total
        self._tell(replace(self._note, epoch=epoch, done=done, total=total))
