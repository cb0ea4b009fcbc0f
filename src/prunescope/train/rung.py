"""One rung of a cohort: R networks trained from where they start, and measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from prunescope.data import Subsample
from prunescope.train.engine import Engine, Tensors, held_rate, rate
from prunescope.train.pictures import Crops, ExampleSource, Moves
from prunescope.train.seeding import Seeding
from prunescope.train.training_context import TrainingContext

# Values that one pass of an evaluation may keep at a time; few enough to stay near the processor.
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
    """R networks after a rung: their tensors, the copy made on the way, their outcomes; members stacked."""

    state: dict[str, np.ndarray]
    snapshot: dict[str, np.ndarray] | None
    outcomes: tuple[NetworkOutcome, ...]


def train_rung(
    context: TrainingContext,
    members: Sequence[CohortMember],
    start: Tensors,
    masks: Tensors,
    rung: int,
    span: Span,
    tick: Tick,
    every_example: bool = False,
) -> TrainedMembers:
    """Train and measure one rung.

    Parameters
    ----------
    start
        Parameters and buffers, stacked; pruned weights zero.
    masks
        One or zero for each prunable weight, stacked; empty where nothing is pruned.
    every_example
        Measure on all training examples, however few the recipe asks for.
    """
    sparse = context.sparse_members(masks, len(members))
    if sparse.any() and not sparse.all():
        parts = np.flatnonzero(~sparse), np.flatnonzero(sparse)
        return _in_parts(parts, context, members, start, masks, rung, span, tick, every_example)
    places = torch.from_numpy(np.stack([member.subsample.train for member in members])).to(context.device)
    engine = context.engine(start, masks)
    if engine.copied_columns * places.numel() > NARROW_BYTES:
        engine = context.engine(start, masks, compact=False)
    source = engine.examples(context.train_pictures, places)
    labels = torch.from_numpy(np.stack([member.subsample.labels for member in members])).to(context.device)
    examples, batch = places.shape[1], context.recipe.batch
    steps = -(-examples // batch)
    total, done = steps * (span.last - span.first), 0
    snapshot = None
    for epoch in range(span.first, span.last):
        if epoch == span.snapshot:
            snapshot = _arrays(engine.state())
        order = np.stack([member.seeding.order(rung, epoch, examples) for member in members])
        shuffled = torch.from_numpy(order).to(context.device)
        answers = labels.gather(1, shuffled)
        moves = _moves(context, members, rung, epoch, examples)
        for step in range(steps):
            positions = slice(step * batch, (step + 1) * batch)
            x = source.take(shuffled[:, positions], None if moves is None else moves.part(positions))
            held = span.rates_at
            speed = (
                rate(context.recipe, epoch, step, steps)
                if held is None
                else held_rate(context.recipe, held, step, steps)
            )
            engine.step(x, answers[:, positions], speed)
            done += 1
            tick(done, total)
    measured = examples if every_example else context.recipe.measured(examples)
    outcomes = _measured(context, engine, members, source, labels[:, :measured])
    return TrainedMembers(_arrays(engine.state()), snapshot, outcomes)


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
        trained.append(train_rung(context, company, tensors, flags, rung, span, count, every_example))
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
    context: TrainingContext, members: Sequence[CohortMember], rung: int, epoch: int, examples: int
) -> Moves | Crops | None:
    """Draw how the pictures of an epoch are changed; None where the recipe changes none."""
    augment = context.recipe.augment
    if augment == "none" or not context.network.pictures:
        return None

    def laid(drawn: Sequence[tuple[np.ndarray, ...]]) -> list[Tensor]:
        return [torch.from_numpy(np.stack(values)).to(context.device) for values in zip(*drawn, strict=True)]

    if augment == "flip-crop":
        return Moves(*laid([member.seeding.moves(rung, epoch, examples) for member in members]))
    size = context.dataset.shape[1:]
    crops = Crops(*laid([member.seeding.crops(rung, epoch, examples, *size) for member in members]))
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

    def same_for_all(values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.array(values)).to(device).expand(count, -1)

    train = _losses(context, engine, source, labels)
    tested = engine.examples(context.test_pictures, same_for_all(np.arange(len(dataset.test_labels))))
    test = _losses(context, engine, tested, same_for_all(dataset.test_labels))
    held = np.stack([member.subsample.validation for member in members])
    if held.shape[1]:
        examples = engine.examples(context.train_pictures, torch.from_numpy(held).to(device))
        validation = _losses(context, engine, examples, torch.from_numpy(dataset.train_labels[held]).to(device))
    else:
        validation = np.zeros((count, 0)), np.zeros((count, 0), bool)
    parts = zip(*train, *test, *validation, strict=True)
    return tuple(NetworkOutcome(*losses) for losses in parts)


def _losses(
    context: TrainingContext, engine: Engine, source: ExampleSource, labels: Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Return each member's cross-entropy on each example, and whether it is right, ``[R, n]``."""
    losses = np.empty(tuple(labels.shape))
    right = np.empty(tuple(labels.shape), bool)
    for batch, logits, answers in evaluated(context, engine, source, labels):
        true_logits = logits.gather(-1, answers.unsqueeze(-1)).squeeze(-1)
        loss = torch.logsumexp(logits, -1) - true_logits
        losses[:, batch] = loss.cpu().numpy()
        right[:, batch] = (logits.argmax(-1) == answers).cpu().numpy()
    return losses, right


def evaluated(
    context: TrainingContext, engine: Engine, source: ExampleSource, labels: Tensor
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yield each member's logits and labels ``[R, n]`` part by part, as in evaluation, with the place of the part."""
    members, examples = labels.shape
    values = math.prod(context.dataset.shape) + context.network.outline.activations
    at_once = max(16, EVALUATED_AT_ONCE // (members * values))
    for first in range(0, examples, at_once):
        batch = slice(first, min(first + at_once, examples))
        span = torch.arange(batch.start, batch.stop, device=context.device).expand(members, -1)
        logits = engine.evaluate(source, span)
        yield batch, logits if logits.dtype == torch.float64 else logits.float(), labels.gather(1, span)
