"""Trains one rung of ladders in lock-step: each network once, however many ladders begin with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from prunescope.prune import RungStart
from prunescope.run.data_parallel import DataParallel, RungWork, train_networks
from prunescope.run.kept_progress import StoredProgress
from prunescope.run.ladder_state import LadderState
from prunescope.run.progress_reporter import ProgressReporter
from prunescope.train import Span, TrainedMembers, TrainingContext
from prunescope.train.ladder import check_begin


@dataclass(frozen=True)
class StartedLadder:
    """A ladder with the start and the epochs of its next rung."""

    state: LadderState
    start: RungStart
    span: Span


def distinct_networks(members: Sequence[StartedLadder]) -> tuple[list[StartedLadder], list[int]]:
    """Return one member for each network to train, and for each member the place of its network.

    Ladders of one cell and replicate share their network at rung 0, and none above it.
    """
    places: dict[str, int] = {}
    networks: list[StartedLadder] = []
    for member in members:
        name = network_name(member)
        if name not in places:
            places[name] = len(networks)
            networks.append(member)
    return networks, [places[network_name(member)] for member in members]


def network_name(member: StartedLadder) -> str:
    """Return what names the network that a ladder trains next."""
    return member.state.ladder.unpruned if member.state.rung == 0 else member.state.ladder.identity


def train_started(
    networks: Sequence[StartedLadder],
    context: TrainingContext,
    span: Span,
    tick: ProgressReporter,
    keeper: StoredProgress,
    every_example: bool,
    parallel: DataParallel | None,
) -> TrainedMembers:
    """Train a rung. If one in shared convolution groups diverges, all are trained again in groups of their own.

    Zero times infinity is not a number: in a shared group one member's infinities reach the others.
    """
    first, starts = networks[0].state, [member.start for member in networks]
    masks = context.masks([start.masks for start in starts])
    tensors = context.stacked([start.tensors for start in starts])
    tensors = {name: values * masks[name] if name in masks else values for name, values in tensors.items()}
    check_begin(starts, tensors, [member.state.rungs.expected(first.rung) for member in networks])
    members, number = [member.state.member for member in networks], first.rungs.number(first.rung)
    work = RungWork(first.ladder, first.rung, number, context.layout, members, span, every_example)
    trained = train_networks(parallel, context, work, (tensors, masks), tick, keeper)
    if context.layout.pack > 1 and not all(outcome.finite for outcome in trained.outcomes):
        context = context.with_layout(replace(context.layout, pack=1))
        work = replace(work, layout=context.layout)
        trained = train_networks(parallel, context, work, (tensors, masks), tick, None)
    return trained
