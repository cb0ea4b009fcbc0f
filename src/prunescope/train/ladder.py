"""What happens from rung to rung in the lab: the rules, with the network, draws, epochs and scores of a ladder.

A score of weights is shown a hundred examples for each class, or all where there are fewer. They are drawn anew at each
rung from those that the network was trained on, whatever their class, with the labels trained on and nothing moved. The
papers leave this open or choose before training: SNIP took one batch, GraSP ten examples a class.

EL2N (Paul et al. 2021) scores an example by ``|| softmax(f(x)) - onehot(y) ||_2`` with the label trained on, in
evaluation mode, with nothing moved: the mean over several networks early in training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prunescope.data import Subsample
from prunescope.errors import PrunescopeError
from prunescope.prune import LadderRules, Masks, Probe, RungHandover, RungStart, kept_count, stacked
from prunescope.study import Ladder
from prunescope.train.rung import CohortMember, NetworkOutcome, Span, evaluated
from prunescope.train.training_context import TrainingContext

Arrays = Mapping[str, np.ndarray]
Flags = NDArray[np.bool_]


class LadderRungs:
    """The rungs of one ladder; of a narrow one, whose networks differ from rung to rung, a single rung.

    Parameters
    ----------
    ladder
        What to climb.
    context
        Where it is trained, and with which network.
    member
        Its examples and its draws.
    """

    def __init__(self, ladder: Ladder, context: TrainingContext, member: CohortMember) -> None:
        self.ladder = ladder
        self.member = member
        self.context = context
        self._seeding = member.seeding
        self._rules = LadderRules(
            ladder.identity,
            ladder.treatment,
            context.network.outline.prunable(ladder.recipe.prunable),
            lambda size, rung: kept_count(size, ladder.recipe.pruning_fraction, rung),
            ladder.recipe.rewind_epoch,
        )

    def number(self, rung: int) -> int:
        """Return the rung that draws go by: every rung of a narrow ladder is trained as a dense ladder's first."""
        return self._rules.number(rung)

    def expected(self, rung: int) -> int:
        """Return how many prunable weights a rung keeps."""
        return self._rules.expected(rung)

    def span(self, rung: int) -> Span:
        """Return which epochs a rung trains, and at which rates."""
        recipe = self.ladder.recipe
        # Weights that come from a seed (a rewind to epoch 0) are drawn again rather than kept.
        snapshot = recipe.rewind_epoch if rung == 0 and self._rules.rewinds_weights and recipe.rewind_epoch else None
        rates_at = recipe.epochs - 1 if rung > 0 and self.ladder.treatment.rewind == "fine-tuning" else None
        return Span(self._rules.first_epoch(rung), recipe.epochs, rates_at, snapshot)

    def begin(self, rung: int, before: RungHandover | None) -> RungStart:
        """Return how a rung begins, from what the one below left."""
        norms = self.ladder.recipe.norm_start
        return self._rules.begin(
            rung, before, lambda again: self.context.network.start(self._seeding.start(again), norms)
        )

    def leave(
        self, rung: int, masks: Masks, before: RungHandover | None, after: Arrays, snapshot: Arrays | None
    ) -> RungHandover:
        """Return what a finished rung leaves to the next; see `prune.LadderRules`."""

        def probe(tensors: Arrays, remaining: Masks) -> Probe:
            return probe_of(self.context, self.member, tensors, remaining, rung + 1)

        def draws() -> np.random.Generator:
            return self._seeding.scores(rung + 1)

        return self._rules.leave(rung, masks, before, after, snapshot, draws, probe)


def check_begin(starts: Sequence[RungStart], tensors: Mapping[str, Tensor], expected: Sequence[int]) -> None:
    """Hold a cohort's rung against its contract before it trains.

    Every member must have the right number of weights, and start from where it should to the last bit.
    """
    for start, count in zip(starts, expected, strict=True):
        if start.masks.kept != count:
            raise PrunescopeError(f"{start.masks.kept:,} weights survive where {count:,} should")
    masks = stacked([start.masks for start in starts])
    for name, tensor in tensors.items():
        wanted = np.stack([start.tensors[name] for start in starts])
        if name in masks:
            wanted = wanted * masks[name]
        got = tensor.cpu().numpy()
        if not np.array_equal(got, wanted.astype(got.dtype)):
            raise PrunescopeError(f"{name} does not start where it should")


def check_end(masks: Sequence[Masks], after: Arrays, outcomes: Sequence[NetworkOutcome]) -> dict[int, str]:
    """Hold a cohort's rung against its contract after it trained; return which members break it, by place, and how.

    What was pruned must be zero, and everything finite.

    Parameters
    ----------
    after
        Parameters and buffers, stacked.
    """
    wrong: dict[int, str] = {}

    def note(places: Flags, words: str) -> None:
        for place in np.flatnonzero(places):
            wrong.setdefault(int(place), words)

    def diverged(what: str) -> str:
        return f"diverged: {what} is infinite or no number; a lower learning rate may help"

    for name, values in after.items():
        note(_in_any(~np.isfinite(values)), diverged(name))
    note(np.array([not outcome.finite for outcome in outcomes]), diverged("a loss"))
    for name, mask in stacked(masks).items():
        note(_in_any((after[name] != 0) & ~mask), f"pruned weights of {name} are not zero any more")
    return wrong


def _in_any(flags: Flags) -> Flags:
    """Return for each member whether any of its flags is set."""
    any_set: Flags = np.any(flags.reshape(len(flags), -1), axis=1)
    return any_set


PER_CLASS = 100


def probe_of(
    context: TrainingContext, member: CohortMember, tensors: Mapping[str, np.ndarray], masks: Masks, rung: int
) -> Probe:
    """Return a member's network as a score for the masks of ``rung`` may ask it.

    Parameters
    ----------
    tensors
        Its parameters and buffers.
    """
    there = len(member.subsample.train)
    count = min(there, PER_CLASS * context.dataset.classes)
    chosen = member.seeding.shown(rung, there)[:count]
    places = torch.from_numpy(member.subsample.train[chosen]).to(context.device)
    labels = torch.from_numpy(member.subsample.labels[chosen]).to(context.device)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for first in range(0, count, context.recipe.batch):
            batch = slice(first, first + context.recipe.batch)
            yield context.train_pictures.take(places[None, batch])[0], labels[batch]

    ones = torch.ones_like(context.train_pictures.take(places[None, :1])[0])
    return Probe(context.network, context.stacked([tensors]), masks, batches, count, ones)


def label_distances(context: TrainingContext, subsample: Subsample, state: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the distance of each of R networks on each training example, ``[R, n]``.

    Parameters
    ----------
    state
        Parameters and buffers, the networks' stacked.
    """
    tensors = {name: torch.from_numpy(values).to(context.device) for name, values in state.items()}
    members = len(next(iter(tensors.values())))
    engine = context.engine(tensors, {})
    places = torch.from_numpy(subsample.train.copy()).to(context.train_pictures.device).expand(members, -1)
    source = engine.examples(context.train_pictures, places)
    labels = torch.from_numpy(subsample.labels.copy()).to(context.device).expand(members, -1)
    distances = np.empty((members, len(subsample.train)))
    for batch, logits, answers in evaluated(context, engine, source, labels):
        difference = torch.softmax(logits, -1) - torch.nn.functional.one_hot(answers, logits.shape[-1])
        distances[:, batch] = difference.norm(dim=-1).cpu().numpy()
    return distances
