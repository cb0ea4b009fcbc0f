"""The rules of a ladder: which weights go after a rung, and what the next one starts from.

They stand here once. A cohort of the lab and a training loop of anybody's own both obey them. What a rung leaves to the
next is a `RungHandover`: a few arrays, so that a ladder can be put down after any rung and taken up later, by another
process, with the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from prunescope.errors import DamageError, PrunescopeError
from prunescope.nets.outline import ParameterOutline
from prunescope.prune.masks import Masks, full, unpacked
from prunescope.prune.scores import Probe, Score, nobody_to_ask, prune
from prunescope.study.sections import PRUNING, Treatment

Arrays = Mapping[str, np.ndarray]


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
        Parameters and buffers after the last epoch, where a treatment continues from them.
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
    def from_arrays(cls, arrays: Arrays, layers: Sequence[ParameterOutline]) -> RungHandover:
        """Return what `to_arrays` stands for.

        Parameters
        ----------
        layers
            The prunable ones.
        """
        if "next" not in arrays:
            raise DamageError("a checkpoint must hold the mask of the next rung")

        def group(prefix: str) -> dict[str, np.ndarray]:
            members = {name: values for name, values in arrays.items() if name.startswith(f"{prefix}/")}
            return {name.removeprefix(f"{prefix}/"): values for name, values in members.items()}

        return cls(unpacked(layers, arrays["next"]), group("origin"), group("last"), group("dense"))


@dataclass(frozen=True)
class RungStart:
    """How one rung begins: its tensors, where pruned weights count as zero, and its masks."""

    tensors: Arrays
    masks: Masks


@dataclass(frozen=True)
class LadderRules:
    """The rules of one ladder.

    Attributes
    ----------
    ladder
        Its identity, for messages.
    layers
        The prunable ones.
    keep
        How many weights of ``size`` a rung keeps: ``keep(size, rung)``.
    rewind_epoch
        Where rewinding goes back to.
    score
        How weights are ranked, where the treatment does not name a score.
    """

    ladder: str
    treatment: Treatment
    layers: tuple[ParameterOutline, ...]
    keep: Callable[[int, int], int]
    rewind_epoch: int
    score: Score | None = None

    @property
    def prunes(self) -> bool:
        """Whether rungs above 0 have fewer weights."""
        return self.treatment.kind in PRUNING

    @property
    def starts_anew(self) -> bool:
        """Whether each rung is a dense network's training of its own."""
        return self.treatment.kind == "narrow"

    def number(self, rung: int) -> int:
        """Return the rung that draws go by: every rung of a narrow ladder is trained as a dense ladder's first."""
        return 0 if self.starts_anew else rung

    def expected(self, rung: int) -> int:
        """Return how many prunable weights a rung keeps."""
        size = sum(layer.size for layer in self.layers)
        if not self.prunes or rung == 0:
            return size
        if self.treatment.scope == "layer":
            return sum(self.keep(layer.size, rung) for layer in self.layers)
        return self.keep(size, rung)

    def first_epoch(self, rung: int) -> int:
        """Return the epoch that a rung trains from."""
        from_start = rung == 0 or self.treatment.rewind == "reinitialise" or self.starts_anew
        return 0 if from_start else self.rewind_epoch

    @property
    def rewinds_weights(self) -> bool:
        """Whether rungs start from the weights that rung 0 had at the rewind epoch."""
        return self.prunes and self.treatment.rewind == "weights"

    def begin(self, rung: int, before: RungHandover | None, draw: Callable[[int], Arrays]) -> RungStart:
        """Return how a rung begins, from what the one below left.

        Parameters
        ----------
        draw
            Draws initial tensors, given how often they are drawn anew: 0 gives those of rung 0 again.
        """
        if self.number(rung) == 0:
            return RungStart(draw(0), full(self.layers))
        if before is None:
            raise PrunescopeError(f"rung {rung} of ladder {self.ladder} has no rung below to go on from")
        if before.masks.kept == 0:
            raise PrunescopeError(f"level {rung} keeps none of {before.masks.prunable:,} weights; ask for fewer levels")
        if not self.prunes:
            return RungStart(before.last, full(self.layers))
        match self.treatment.rewind:
            case "weights":
                tensors = before.origin or draw(0)
            case "reinitialise":
                tensors = draw(rung)
            case _:
                tensors = before.dense if self.treatment.kind == "one-shot" else before.last
        return RungStart(tensors, before.masks)

    def leave(
        self,
        rung: int,
        masks: Masks,
        before: RungHandover | None,
        after: Arrays,
        snapshot: Arrays | None,
        draws: Callable[[], np.random.Generator],
        probe: Callable[[Arrays, Masks], Probe] | None = None,
    ) -> RungHandover:
        """Return what a finished rung leaves to the next.

        Parameters
        ----------
        masks
            Of this rung.
        after
            Its tensors after the last epoch.
        snapshot
            Its tensors at the rewind epoch, where they are to be kept.
        draws
            Gives what a score draws from, where it draws.
        probe
            Gives the network with some tensors under masks, for a score that asks it.
        """
        kind, rewind = self.treatment.kind, self.treatment.rewind
        if not self.prunes:
            return RungHandover(masks, last=after if kind == "extended" else {})
        one_shot = kind == "one-shot"
        dense: Arrays = {}
        if one_shot:
            dense = after if before is None else before.dense
        ranked = dense if one_shot else after
        following = prune(
            full(self.layers) if one_shot else masks,
            ranked,
            keep=lambda size: self.keep(size, rung + 1),
            by=self.score or self.treatment.score or "magnitude",
            scope=self.treatment.scope or "global",
            draws=draws,
            probe=nobody_to_ask if probe is None else lambda remaining: probe(ranked, remaining),
        )
        origin = snapshot or (before.origin if before else {})
        goes_on = rewind in ("learning-rate", "fine-tuning") and not one_shot
        return RungHandover(following, origin, after if goes_on else {}, dense)
