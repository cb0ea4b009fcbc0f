"""One rung of ladders that stand equally high: begun, checked, trained in lock-step, and told of while it goes on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from prunescope.run.climber import Climber
from prunescope.run.events import CohortProgress, Tell
from prunescope.train import Span, TrainedMembers, TrainingContext, train_rung
from prunescope.train.ladder import RungStart, check_begin

TOLD_EVERY = 0.2  # seconds between two notes of how far a rung is


@dataclass(frozen=True)
class Ready:
    """A climber that may train its next rung: how it begins, and over which epochs it goes."""

    climber: Climber
    beginning: RungStart
    span: Span


def ready(climber: Climber) -> Ready:
    """Return how a climber begins its next rung."""
    beginning = climber.climb.begin(climber.rung, climber.before)
    return Ready(climber, beginning, climber.climb.span(climber.rung))


def shared_span(members: Sequence[Ready]) -> Span:
    """Return the span of all members; where one wants a snapshot, all have it taken."""
    return next((each.span for each in members if each.span.snapshot is not None), members[0].span)


def distinct(members: Sequence[Ready]) -> tuple[list[Ready], list[int]]:
    """Return members with the networks that there are to train, and for each member the place of its own among them.

    Ladders of one cell and replicate begin with the same network; above rung 0 each network is one ladder's.
    """
    places: dict[str, int] = {}
    networks: list[Ready] = []
    found: list[int] = []
    for each in members:
        ladder = each.climber.ladder
        name = ladder.unpruned if each.climber.rung == 0 else ladder.identity
        if name not in places:
            places[name] = len(networks)
            networks.append(each)
        found.append(places[name])
    return networks, found


def train_together(members: Sequence[Ready], context: TrainingContext, span: Span, tick: Ticker) -> TrainedMembers:
    """Train a rung; members packed into shared groups are trained again apart if one of them diverges.

    Zero times infinity is no number: in a shared group one member's infinities would reach the others.
    """
    rung = members[0].climber.rung
    beginnings = [each.beginning for each in members]
    masks = context.masks([each.masks for each in beginnings])
    whole = context.stacked([each.tensors for each in beginnings])
    start = {name: each * masks[name] if name in masks else each for name, each in whole.items()}
    check_begin(beginnings, start, [each.climber.climb.expected(rung) for each in members])
    brought = [each.climber.member for each in members]
    number = members[0].climber.climb.number(rung)
    trained = train_rung(context, brought, start, masks, number, span, tick)
    if context.layout.pack > 1 and not all(each.finite for each in trained.outcomes):
        apart = context.with_layout(replace(context.layout, pack=1))
        trained = train_rung(apart, brought, start, masks, number, span, tick)
    return trained


class Ticker:
    """Tells how far a rung is, now and then.

    Parameters
    ----------
    note
        What is told, but for epoch and steps.
    """

    def __init__(self, note: CohortProgress, span: Span, tell: Tell) -> None:
        self._note = note
        self._span = span
        self._tell = tell
        self._told = time.perf_counter()

    def __call__(self, done: int, total: int) -> None:
        """Tell, where the last time was long ago."""
        now = time.perf_counter()
        if now - self._told < TOLD_EVERY:
            return
        self._told = now
        epoch = self._span.first + (done - 1) * (self._span.last - self._span.first) // total
        self._tell(replace(self._note, epoch=epoch, done=done, total=total))
