"""Ensembles of dense networks, trained for a few epochs, whose mean EL2N scores the examples of a cell and replicate.

Which networks the source paper's recipe leaves open is our choice: those of the cell itself, on the replicate's own
examples and labels, noise included.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from prunescope.study.sections import Treatment, completed
from prunescope.study.study import Ladder, Study, scored_by, scores_identity


@dataclass(frozen=True)
class Ensemble:
    """Networks that score the training examples of one cell and replicate.

    Attributes
    ----------
    ladder
        The dense ladder whose examples and recipe they have; its own network is none of them.
    networks
        How many.
    epoch
        Epochs that each is trained.
    """

    ladder: Ladder
    networks: int
    epoch: int

    @cached_property
    def identity(self) -> str:
        """32 hexadecimal digits that stand for everything that decides the scores."""
        ladder, el2n = self.ladder, (self.networks, self.epoch)
        return scores_identity(ladder.cell, ladder.recipe, ladder.replicate, ladder.seed, el2n)

    @property
    def work(self) -> int:
        """Examples that all its networks see."""
        return self.networks * self.epoch * self.ladder.cell.examples

    @property
    def steps(self) -> int:
        """Gradient steps of all its networks."""
        return self.networks * self.epoch * math.ceil(self.ladder.cell.examples / self.ladder.recipe.batch)

    @property
    def words(self) -> str:
        """What it scores, for people."""
        cell = self.ladder.cell
        words = f"EL2N by {cell.family} l={cell.depth} w={cell.width:g} of {cell.examples:,} of {cell.dataset}"
        return f"{words}, replicate {self.ladder.replicate}"


def ensembles(study: Study) -> tuple[Ensemble, ...]:
    """Return the ensembles that a study asks for: one for each cell and replicate, or none."""
    return tuple(_ensembles(study))


def _ensembles(study: Study) -> Iterator[Ensemble]:
    if study.el2n is None:
        return
    dense = completed(Treatment(kind="dense"))
    for cell, replicate, own in dict.fromkeys((ladder.cell, ladder.replicate, ladder.own) for ladder in study.ladders):
        ladder = Ladder(cell, study.recipe, dense, replicate, study.seed, own=own)
        yield Ensemble(ladder, *scored_by(study.el2n, study.recipe, cell))
