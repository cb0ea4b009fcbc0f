"""The exact amount of training in a study, and the ensembles that score its examples; `run.estimate` has the seconds.

Ensembles are dense networks, trained for a few epochs, whose mean EL2N scores the examples of a cell and replicate.
Which networks the source paper's recipe leaves open is our choice: those of the cell itself, on the replicate's own
examples and labels, noise included.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from prunescope.study.sections import Treatment, completed
from prunescope.study.study import Ladder, Study, scored_by, scores_identity


@dataclass(frozen=True)
class Effort:
    """Amount of training. A rung 0 that several ladders share is trained once.

    Attributes
    ----------
    rungs
        Rows of the table.
    networks
        Trained networks.
    epochs
        Passes over a network's own training examples.
    steps
        Gradient steps.
    examples
        Examples seen, that is one forward and one backward pass each.
    """

    rungs: int
    networks: int
    epochs: int
    steps: int
    examples: int


def epochs_of(ladder: Ladder, rung: int) -> int:
    """Return the epochs that one rung trains: from the start for rung 0, from the rewind point after it."""
    recipe = ladder.recipe
    if rung == 0 or ladder.treatment.kind == "narrow" or ladder.treatment.rewind == "reinitialise":
        return recipe.epochs
    return recipe.epochs - recipe.rewind_epoch


def examples_of(ladder: Ladder) -> int:
    """Return the training examples of a ladder's networks; what one misclassifies is not known before, so it counts."""
    used = ladder.cell.examples
    if ladder.treatment.kind == "leave-out" and ladder.treatment.share:
        used -= round(used * ladder.treatment.share)
    if ladder.group is not None and ladder.treatment.groups:
        used -= used // ladder.treatment.groups + (ladder.group < used % ladder.treatment.groups)
    return used


def first_missing(ladder: Ladder, done: Mapping[str, frozenset[int]]) -> int:
    """Return the lowest rung that is not finished."""
    have = done.get(ladder.identity, frozenset())
    return next(rung for rung in range(len(have) + 1) if rung not in have)


def effort(ladders: Iterable[Ladder], done: Mapping[str, frozenset[int]] | None = None) -> Effort:
    """Add up what the ladders train, or what is left of it where some of their rungs are finished."""
    rungs = networks = epochs = steps = examples = 0
    trained: set[str] = set()
    for ladder in ladders:
        start = first_missing(ladder, done or {})
        if start >= ladder.rungs:
            continue
        shares = start == 0 and ladder.unpruned in trained
        if start == 0:
            trained.add(ladder.unpruned)
        first = 0 if start or shares else epochs_of(ladder, 0)
        further = epochs_of(ladder, 1) * (ladder.rungs - max(start, 1))
        used = examples_of(ladder)
        rungs += ladder.rungs - start
        networks += ladder.rungs - start - shares
        epochs += first + further
        steps += (first + further) * math.ceil(used / ladder.recipe.batch)
        examples += (first + further) * used
    return Effort(rungs, networks, epochs, steps, examples)


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
