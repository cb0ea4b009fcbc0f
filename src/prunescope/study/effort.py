"""The exact amount of training in a study; `run.estimate` estimates the seconds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prunescope.study.study import Ladder


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
