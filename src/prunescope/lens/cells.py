"""Measurements of ladders, as plain numbers under their cell and treatment."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from prunescope.study.sections import DEFAULTS, PRUNING, pruning_rank

MISSING = float("nan")


@dataclass(frozen=True)
class MeasuredNetwork:
    """A cell without its label noise; None where the table lacks a value."""

    family: str | None
    dataset: str | None
    depth: int | None
    width: float | None
    examples: int | None
    recipe: str | None

    @property
    def name(self) -> str:
        """The network in words, without its recipe."""
        counted_examples = self.examples not in (None, 1)  # 1 where nobody said how many
        parts = [
            self.family,
            None if self.depth is None else f"depth {self.depth}",
            None if self.width is None else f"width {self.width:g}",
            f"{self.examples:,} examples" if counted_examples else None,
        ]
        words = ", ".join(word for word in parts if word is not None) or "one network"
        return words if self.dataset is None else f"{words} {'of' if counted_examples else 'on'} {self.dataset}"


@dataclass(frozen=True)
class TreatmentSpec:
    """A treatment: the settings that decide its numbers; None where the table lacks a value.

    Attributes
    ----------
    learns
        Name of the treatment that a leave-out ladder learned from; empty if none.
    """

    kind: str | None = None
    rewind: str | None = None
    score: str | None = None
    scope: str | None = None
    leave: str | None = None
    share: float | None = None
    learns: str = ""

    @property
    def prunes(self) -> bool:
        """Whether weights are removed; rows without a treatment count as pruned."""
        return self.kind is None or self.kind in PRUNING

    @property
    def name(self) -> str:
        """The treatment in words: its kind, rewinding or omission, and unusual settings."""
        if self.kind is None:
            return "pruning"
        usual = DEFAULTS.get(self.kind, {})
        parts = [self.kind, self.rewind, self.leave]
        parts += [value for value, key in ((self.score, "score"), (self.scope, "scope")) if value != usual.get(key)]
        if self.share is not None:
            parts.append(f"{self.share:g}")
        if self.learns:
            parts.append(f"by {self.learns}")
        return " ".join(word for word in parts if word is not None)

    @property
    def rank(self) -> tuple[int, ...]:
        """Distance from the paper's pruning; the lowest rank is the main treatment of a cell."""
        return pruning_rank(self.kind, self.rewind, self.score, self.scope)


@dataclass(frozen=True)
class CellRow:
    """The row of one rung; NaN where a value is missing.

    Attributes
    ----------
    epochs
        Epochs trained up to and including this rung.
    """

    rung: int
    density: float
    test_error: float
    parameters: float = MISSING
    width: float = MISSING
    epochs: float = MISSING
    validation_error: float = MISSING
    train_loss: float = MISSING
    train_loss_original: float = MISSING
    train_loss_noisy: float = MISSING


@dataclass(frozen=True)
class Scorer:
    """Networks whose mean EL2N of the examples is in the store."""

    identity: str
    networks: int
    epoch: int

    @property
    def alike(self) -> tuple[int, int]:
        """What the ensembles of several replicates have in common."""
        return self.networks, self.epoch


@dataclass(frozen=True)
class Measurements:
    """The finished rungs of one ladder.

    Attributes
    ----------
    replicate
        Name of its replicate: the number, and the seed where there are several. Ladders of one cell and replicate
        share examples, labels and validation split.
    ladder
        Identity in the store; empty if the rows have none.
    planned
        Number of rungs in the study; 0 without a study.
    teacher
        Identity of the ladder that a leave-out ladder learned from; empty if none or unknown.
    """

    network: MeasuredNetwork
    label_noise: float
    treatment: TreatmentSpec
    replicate: str
    rows: tuple[CellRow, ...]
    ladder: str = ""
    planned: int = 0
    teacher: str = ""
    scorers: tuple[Scorer, ...] = ()

    def at(self, rung: int) -> CellRow | None:
        """Return the row of a rung; None where it was not measured."""
        return self._by_rung.get(rung)

    def value(self, name: str, rung: int) -> float:
        """Return one value of a rung; NaN where it was not measured."""
        row = self.at(rung)
        return MISSING if row is None else float(getattr(row, name))

    @cached_property
    def _by_rung(self) -> dict[int, CellRow]:
        return {row.rung: row for row in self.rows}

    @property
    def rungs(self) -> frozenset[int]:
        """The rungs that were measured."""
        return frozenset(self._by_rung)

    @property
    def dense(self) -> CellRow | None:
        """Its dense network: rung 0 of any ladder but a leave-out one."""
        row = self.at(0)
        return row if row is not None and row.density == 1 and self.treatment.kind != "leave-out" else None


def whole(value: float) -> int | None:
    """Return a number that may be missing as a whole one."""
    return None if math.isnan(value) else round(value)


def known(value: float) -> float | None:
    """Return a number, or None where it is missing."""
    return None if math.isnan(value) else value
