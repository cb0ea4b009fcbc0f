"""One rung of a cohort: R networks trained from where they start, and measured."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from prunescope.data import EncodedPictures, Subsample
from prunescope.train.engine import Engine, ResumableEngine, Tensors
from prunescope.train.pictures import BatchRequest, Crops, ExampleSource, Moves
from prunescope.train.ranks import Ranks, positions
from prunescope.train.schedule import held_rate, rate
from prunescope.train.seeding import Seeding, Size
from prunescope.train.training_context import TrainingContext

# Values that one pass of an evaluation may keep at a time; few enough to stay near the processor. A GPU takes as many
# as an eighth of its memory holds.
EVALUATED_AT_ONCE = 4_000_000
NARROW_BYTES = 2**30

Tick = Callable[[int, int], None]
"""Told the steps done and the steps to do."""


@dataclass(frozen=True)
class Span:
    """Which part of the schedule a rung trains.

    Attributes
    ----------
    first, last
        Epochs from ``first`` to before ``last``.
    rates_at
        Epoch whose learning rate holds throughout; None: each epoch has its own.
    snapshot
        Epoch before which to keep a copy of everything; None: no copy.
    """

    first: int
    last: int
    rates_at: int | None = None
    snapshot: int | None = None


@dataclass(frozen=True)
class CohortMember:
    """What one member brings: its examples and its draws."""

    subsample: Subsample
    seeding: Seeding


@dataclass(frozen=True)
class NetworkOutcome:
    """How one network does after its last epoch, example by example."""

    train_loss: np.ndarray
    train_right: np.ndarray
    test_loss: np.ndarray
    test_right: np.ndarray
    validation_loss: np.ndarray
    validation_right: np.ndarray

    @property
    def finite(self) -> bool:
        """Whether every loss is a number."""
        return all(
            bool(np.isfinite(losses).all()) for losses in (self.train_loss, self.test_loss, self.validation_loss)
        )


@dataclass(frozen=True)
class TrainedMembers:
    """R networks after a rung: their tensors, the copy made on the way, their outcomes; members stacked.

    Attributes
    ----------
    waited
        Share of the time in which training and evaluation waited for streamed pictures.
    """

    state: dict[str, np.ndarray]
    snapshot: dict[str, np.ndarray] | None
    outcomes: tuple[NetworkOutcome, ...]
    waited: float = 0.0


@dataclass(frozen=True)
class RungProgress:
    """R networks in the middle of a rung.

    Attributes
    ----------
    epoch, step
        What comes next.
    tensors
        What the engine goes on from, stacked.
    snapshot
        The copy that was made on the way, if it was.
    """

    epoch: int
    step: int
    tensors: Mapping[str, np.ndarray]
    snapshot: Mapping[str, np.ndarray] | None


class ProgressKeeper(Protocol):
    """Keeps networks in the middle of a rung, so that an interrupted one need not begin anew."""

    def read(self) -> RungProgress | None:
        """Return what was kept of this rung; None where nothing was."""

    def due(self, left: float) -> bool:
        """Whether it is time to keep it, with about ``left`` seconds of training to come; 0 after the last step."""

    def keep(self, progress: RungProgress) -> None:
        """Keep it, in place of what was kept before; raise `RungStoppedError` where training is to end here."""


class RungStoppedError(Exception):
    """A rung was kept in the middle and ends there, to be gone on with by another process."""


def train_rung(
    context: TrainingContext,
    members: Sequence[CohortMember],
    start: Tensors,
    masks: Tensors,
    rung: int,
    span: Span,
    tick: Tick,
    keeper: ProgressKeeper | None = None,
    every_example: bool = False,
) -> TrainedMembers:
    """Train and measure one rung.

    Parameters
    ----------
    start
        Parameters and buffers, stacked; pruned weights zero.
    masks
        One or zero for each prunable weight, stacked; empty where nothing is pruned.
    keeper
        Where to go on from, and what keeps the networks now and then.
    every_example
        Measure on all training examples, however few the recipe asks for.
    """
    sparse = context.sparse_members(masks, len(members))
    if sparse.any() and not sparse.all():
        parts = np.flatnonzero(~sparse), np.flatnonzero(sparse)
        return _in_parts(parts, context, members, start, masks, rung, span, tick, every_example)
    engine, pictures, recipe = context.engine(start, masks), context.train_pictures, context.recipe
    places = torch.from_numpy(np.stack([member.subsample.train for member in members])).to(pictures.device)
    if pictures.resident and engine.copied_columns * places.numel() > NARROW_BYTES:
        engine = context.engine(start, masks, compact=False)
    source = engine.examples(pictures, places)
    labels = torch.from_numpy(np.stack([member.subsample.labels for member in members])).to(context.device)
    examples, waited, clock = places.shape[1], context.waited(), time.perf_counter()
    steps = -(-examples // recipe.batch)
    total, held = steps * (span.last - span.first), span.rates_at
    snapshot, first = None, 0
    resumable = engine if isinstance(engine, ResumableEngine) else None
    earlier = keeper.read() if keeper is not None else None
    if context.ranks is not None:
        earlier = context.ranks.from_first(earlier)
    if earlier is not None and resumable is not None and _fits(earlier, engine):
        first = (earlier.epoch - span.first) * steps + earlier.step
        tensors = {name: torch.from_numpy(values).to(context.device) for name, values in earlier.tensors.items()}
        resumable.restore(tensors, first)
        snapshot = None if earlier.snapshot is None else dict(earlier.snapshot)
    requests = _requests(context, members, rung, span, steps, first, engine.parts)
    for done, (request, x) in enumerate(source.batches(requests), first + 1):
        if request.epoch == span.snapshot and request.step == 0:
            snapshot = _arrays(engine.state())
        if held is None:
            speed = rate(recipe, request.epoch, request.step, steps)
        else:
            speed = held_rate(recipe, held, request.step, steps)
        batch = min(recipe.batch, examples - request.step * recipe.batch)
        engine.step(x, labels.gather(1, request.order.to(context.device)), speed, batch)
        tick(done, total)
        if keeper is None or resumable is None:
            continue
        if keeper.due((time.perf_counter() - clock) / (done - first) * (total - done)):
            epoch, step = divmod(done, steps)
            keeper.keep(RungProgress(span.first + epoch, step, _arrays(resumable.progress()), snapshot))
    measured = examples if every_example else recipe.measured(examples)
    outcomes = _measured(context, engine, members, source, labels[:, :measured])
    waited = (context.waited() - waited) / (time.perf_counter() - clock)
    return TrainedMembers(_arrays(engine.state()), snapshot, outcomes, waited)


def _fits(progress: RungProgress, engine: Engine) -> bool:
    """Whether an engine can go on from progress: a user's own network may have been rewritten since."""
    shapes = {f"tensor/{name}": tuple(tensor.shape) for name, tensor in engine.state().items()}
    kept = {name: values.shape for name, values in progress.tensors.items() if name.startswith("tensor/")}
    return kept == shapes


def _requests(
    context: TrainingContext, members: Sequence[CohortMember], rung: int, span: Span, steps: int, first: int, parts: int
) -> Iterator[BatchRequest]:
    """Yield the batches of a rung in their order, from its step ``first`` on; each epoch is drawn as it begins.

    Of batches that are cut into parts and shared with other processes, those examples that are for this one.
    """
    device, batch = context.train_pictures.device, context.recipe.batch
    skipped, within = divmod(first, steps)
    for epoch in range(span.first + skipped, span.last):
        orders = [member.seeding.order(rung, epoch, len(member.subsample.train)) for member in members]
        shuffled = torch.from_numpy(np.stack(orders)).to(device)
        moves = _moves(context, members, rung, epoch, orders)
        for step in range(within if epoch == span.first + skipped else 0, steps):
            whole = shuffled[:, step * batch : (step + 1) * batch]
            part = positions(whole.shape[1], parts, context.ranks)
            moved = None if moves is None else moves.part(slice(step * batch, (step + 1) * batch)).part(part)
            yield BatchRequest(whole[:, part], moved, epoch, step)


def _in_parts(
    parts: Sequence[np.ndarray],
    context: TrainingContext,
    members: Sequence[CohortMember],
    start: Tensors,
    masks: Tensors,
    rung: int,
    span: Span,
    tick: Tick,
    every_example: bool,
) -> TrainedMembers:
    """Train some members after others, in places, since their steps are of different kinds."""
    trained = []
    for number, places in enumerate(parts):

        def count(done: int, total: int, before: int = number) -> None:
            tick(before * total + done, len(parts) * total)

        chosen = torch.from_numpy(places).to(context.device)
        tensors, flags = ({name: values[chosen] for name, values in group.items()} for group in (start, masks))
        company = [members[place] for place in places]
        trained.append(train_rung(context, company, tensors, flags, rung, span, count, None, every_example))
    back = np.argsort(np.concatenate(parts))

    def whole(arrays: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        return {name: np.concatenate([part[name] for part in arrays])[back] for name in arrays[0]}

    outcomes = [outcome for part in trained for outcome in part.outcomes]
    snapshots = [part.snapshot for part in trained if part.snapshot is not None]
    return TrainedMembers(
        whole([part.state for part in trained]),
        whole(snapshots) if snapshots else None,
        tuple(outcomes[place] for place in back),
    )


def _arrays(tensors: Tensors) -> dict[str, np.ndarray]:
    """Return copies away from the device."""
    return {name: tensor.cpu().numpy().copy() for name, tensor in tensors.items()}


def _moves(
    context: TrainingContext, members: Sequence[CohortMember], rung: int, epoch: int, orders: Sequence[np.ndarray]
) -> Moves | Crops | None:
    """Draw how the pictures of an epoch are changed, in their order; None where the recipe changes none."""
    augment, images, examples = context.recipe.augment, context.dataset.train_images, len(orders[0])
    if augment == "none" or not context.network.pictures:
        return None

    def laid(drawn: Sequence[tuple[np.ndarray, ...]]) -> list[Tensor]:
        device = context.train_pictures.device
        return [torch.from_numpy(np.stack(values)).to(device) for values in zip(*drawn, strict=True)]

    def size(member: CohortMember, order: np.ndarray) -> tuple[Size, Size]:
        if isinstance(images, EncodedPictures):
            return images.sizes(member.subsample.train[order])
        return context.dataset.shape[1], context.dataset.shape[2]

    if augment == "flip-crop":
        return Moves(*laid([member.seeding.moves(rung, epoch, examples) for member in members]))
    pairs = zip(members, orders, strict=True)
    crops = Crops(*laid([member.seeding.crops(rung, epoch, examples, *size(member, order)) for member, order in pairs]))
    return crops if augment == "flip-resized-crop" else replace(crops, flip=torch.zeros_like(crops.flip))


def _measured(
    context: TrainingContext,
    engine: Engine,
    members: Sequence[CohortMember],
    source: ExampleSource,
    labels: Tensor,
) -> tuple[NetworkOutcome, ...]:
    """Measure every member on its labelled training examples, validation and test set, as they are, nothing moved."""
    dataset, device, count = context.dataset, context.device, len(members)

    def same_for_all(values: np.ndarray, where: torch.device = device) -> Tensor:
        return torch.from_numpy(np.array(values)).to(where).expand(count, -1)

    train = _losses(context, engine, source, labels)
    apart = context.test_pictures
    tested = engine.examples(apart, same_for_all(np.arange(len(dataset.test_labels)), apart.device))
    test = _losses(context, engine, tested, same_for_all(dataset.test_labels))
    held = np.stack([member.subsample.validation for member in members])
    if held.shape[1]:
        pictures = context.train_pictures
        examples = engine.examples(pictures, torch.from_numpy(held).to(pictures.device))
        validation = _losses(context, engine, examples, torch.from_numpy(dataset.train_labels[held]).to(device))
    else:
        validation = np.zeros((count, 0)), np.zeros((count, 0), bool)
    parts = zip(*train, *test, *validation, strict=True)
    return tuple(NetworkOutcome(*losses) for losses in parts)


def _losses(
    context: TrainingContext, engine: Engine, source: ExampleSource, labels: Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Return each member's cross-entropy on each example, and whether it is right, ``[R, n]``."""
    losses, right = np.zeros(tuple(labels.shape)), np.zeros(tuple(labels.shape), bool)
    for batch, logits, answers in evaluated(context, engine, source, labels, context.ranks):
        true_logits = logits.gather(-1, answers.unsqueeze(-1)).squeeze(-1)
        loss = torch.logsumexp(logits, -1) - true_logits
        losses[:, batch] = loss.cpu().numpy()
        right[:, batch] = (logits.argmax(-1) == answers).cpu().numpy()
    if context.ranks is not None and labels.shape[1] >= context.ranks.size:
        losses = context.ranks.collected(torch.from_numpy(losses)).numpy()
        right = context.ranks.collected(torch.from_numpy(right.astype(np.uint8))).numpy().astype(bool)
    return losses, right


def evaluated(
    context: TrainingContext, engine: Engine, source: ExampleSource, labels: Tensor, ranks: Ranks | None = None
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yield each member's logits and labels ``[R, n]`` part by part, as in evaluation, with the place of the part.

    Parameters
    ----------
    ranks
        Processes that share the examples; None: this one has all of them.
    """
    members, examples = labels.shape
    mine = slice(0, examples) if ranks is None else ranks.share(slice(0, examples))
    most = EVALUATED_AT_ONCE
    if context.device.type == "cuda":
        most = int(torch.cuda.get_device_properties(context.device).total_memory) // 32
    values = math.prod(context.dataset.shape) + context.network.outline.activations
    at_once = min(max(16, most // (members * values)), engine.evaluated_at_once or examples)
    places = torch.arange(examples, device=source.device).expand(members, -1)
    firsts = range(mine.start, mine.stop, at_once)
    requests = (BatchRequest(places[:, first : min(first + at_once, mine.stop)], step=first) for first in firsts)
    for request, x in source.batches(requests):
        count = request.order.shape[1]
        batch = slice(request.step, request.step + count)
        logits = engine.logits(x)[:, :count]
        yield batch, logits if logits.dtype == torch.float64 else logits.float(), labels[:, batch]
