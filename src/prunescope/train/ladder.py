"""What happens from rung to rung: which weights go, where training starts again, and which epochs it trains.

One rung after another, for a cohort in lock-step. What the next rung needs of this one is an `RungHandover`: a few
arrays, so that a ladder can be put down after any rung and taken up later, by another process, with the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from prunescope.errors import DamageError, PrunescopeError
from prunescope.nets import Network
from prunescope.prune import Masks, full, kept_count, prune, stacked, unpacked
from prunescope.study import Ladder
from prunescope.study.sections import PRUNING, Prunable
from prunescope.train.rung import CohortMember, NetworkOutcome, Span
from prunescope.train.score_inputs import probe_of
from prunescope.train.training_context import TrainingContext

Arrays = Mapping[str, np.ndarray]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class RungHandover:
    """What a rung leaves to the next.

    Attributes
    ----------
    masks
        Which weights the next rung keeps.
    origin
        Parameters and buffers at the rewind epoch of rung 0, where a treatment goes back to them.
    last
        Parameters and buffers after the last epoch, where a treatment goes on from them.
    dense
        The same after rung 0, where a treatment prunes from them again and again.
    """

    masks: Masks
    origin: Arrays = field(default_factory=dict)
    last: Arrays = field(default_factory=dict)
    dense: Arrays = field(default_factory=dict)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return plain arrays that stand for all of it."""
        groups = {"origin": self.origin, "last": self.last, "dense": self.dense}
        named = {f"{group}/{name}": values for group, arrays in groups.items() for name, values in arrays.items()}
        return {"next": self.masks.packed(), **named}

    @classmethod
    def from_arrays(cls, arrays: Arrays, network: Network, rule: Prunable) -> RungHandover:
        """Return what `to_arrays` stands for."""
        if "next" not in arrays:
            raise DamageError("a checkpoint must hold the mask of the next rung")

        def group(prefix: str) -> dict[str, np.ndarray]:
            members = {name: values for name, values in arrays.items() if name.startswith(f"{prefix}/")}
            return {name.removeprefix(f"{prefix}/"): values for name, values in members.items()}

        layers = network.outline.prunable(rule)
        return cls(unpacked(layers, arrays["next"]), group("origin"), group("last"), group("dense"))


@dataclass(frozen=True)
class RungStart:
    """How one member's rung begins: its tensors, with pruned weights at zero, and its masks."""

    tensors: Arrays
    masks: Masks


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
        self._network = context.network
        self._seeding = member.seeding
        self._treatment = ladder.treatment
        self._recipe = ladder.recipe
        self._layers = context.network.outline.prunable(self._recipe.prunable)

    @property
    def prunes(self) -> bool:
        """Whether rungs above 0 have fewer weights."""
        return self._treatment.kind in PRUNING

    @property
    def _starts_anew(self) -> bool:
        """Whether each rung is a dense network's training of its own."""
        return self._treatment.kind == "narrow"

    def number(self, rung: int) -> int:
        """Return the rung that draws go by: every rung of a narrow ladder is trained as a dense ladder's first."""
        return 0 if self._starts_anew else rung

    def expected(self, rung: int) -> int:
        """Return how many prunable weights a rung keeps."""
        size = sum(layer.size for layer in self._layers)
        if not self.prunes or rung == 0:
            return size
        fraction = self._recipe.pruning_fraction
        if self._treatment.scope == "layer":
            return sum(kept_count(layer.size, fraction, rung) for layer in self._layers)
        return kept_count(size, fraction, rung)

    def span(self, rung: int) -> Span:
        """Return which epochs a rung trains, and at which rates."""
        recipe, rewind = self._recipe, self._treatment.rewind
        from_start = rung == 0 or rewind == "reinitialise" or self._starts_anew
        first = 0 if from_start else recipe.rewind_epoch
        goes_back = self.prunes and rewind == "weights" and recipe.rewind_epoch > 0
        snapshot = recipe.rewind_epoch if rung == 0 and goes_back else None
        rates_at = recipe.epochs - 1 if rung > 0 and rewind == "fine-tuning" else None
        return Span(first, recipe.epochs, rates_at, snapshot)

    def begin(self, rung: int, before: RungHandover | None) -> RungStart:
        """Return how a rung begins, from what the one below left."""
        if self.number(rung) == 0:
            return RungStart(self._network.start(self._seeding.start()), full(self._layers))
        if before is not None and before.masks.kept == 0:
            raise PrunescopeError(f"level {rung} keeps none of {before.masks.prunable:,} weights; ask for fewer levels")
        if before is None:
            raise PrunescopeError(f"rung {rung} of ladder {self.ladder.identity} has no rung below to go on from")
        if not self.prunes:
            return RungStart(before.last, full(self._layers))
        match self._treatment.rewind:
            case "weights":
                tensors = before.origin or self._network.start(self._seeding.start())
            case "reinitialise":
                tensors = self._network.start(self._seeding.start(rung))
            case _:
                tensors = before.dense if self._treatment.kind == "one-shot" else before.last
        return RungStart(tensors, before.masks)

    def leave(
        self, rung: int, masks: Masks, before: RungHandover | None, after: Arrays, snapshot: Arrays | None
    ) -> RungHandover:
        """Return what a finished rung leaves to the next.

        Parameters
        ----------
        masks
            Of this rung.
        after
            Its tensors after the last epoch.
        snapshot
            Its tensors at the rewind epoch, where `span` asked for them.
        """
        rewind, one_shot = self._treatment.rewind, self._treatment.kind == "one-shot"
        if not self.prunes:
            return RungHandover(masks, last=after if self._treatment.kind == "extended" else {})
        dense: Arrays = {}
        if one_shot:
            dense = after if before is None else before.dense
        ranked = dense if one_shot else after
        following = prune(
            full(self._layers) if one_shot else masks,
            ranked,
            level=rung + 1,
            fraction=self._recipe.pruning_fraction,
            by=self._treatment.score or "magnitude",
            scope=self._treatment.scope or "global",
            draws=lambda: self._seeding.scores(rung + 1),
            probe=lambda remaining: probe_of(self.context, self.member, ranked, remaining, rung + 1),
        )
        origin = snapshot or (before.origin if before else {})
        goes_on = rewind in ("learning-rate", "fine-tuning") and not one_shot
        return RungHandover(following, origin, after if goes_on else {}, dense)


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
