"""Which ladders are trained together.

Ladders of a cohort begin with networks of one shape that take the same steps. Those of one cell and replicate begin
with the same network, whatever is done to it afterwards: it is trained once, and every one of them has it for its rung
0. So such ladders are never divided between cohorts. Above rung 0 they part into ways: rungs of a way have one shape
and take the same steps, and climb in lock-step, as many at a time as train fastest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prunescope.study import Ladder
from prunescope.study.study import digest

Key = str


@dataclass(frozen=True)
class Cohort:
    """Ladders that begin together.

    Attributes
    ----------
    key
        What they share.
    ladders
        In the study's order.
    number
        Place among the cohorts of the study, from 1.
    together
        How many are trained in lock-step at most; None: all that can be.
    """

    key: Key
    ladders: tuple[Ladder, ...]
    number: int = 0
    together: int | None = None

    @property
    def words(self) -> str:
        """What it trains, for people."""
        cell = self.ladders[0].cell
        return f"{cell.family} l={cell.depth} w={cell.width:g} on {cell.examples:,} of {cell.dataset}"

    def groups(self) -> dict[str, tuple[str, int]]:
        """Return for each ladder what names those that climb in lock-step with it above rung 0: way, and part of it.

        Parts follow from the cohort alone, so that ladders have the same company after a break.
        """
        ways: Counter[str] = Counter()
        groups = {}
        for ladder in self.ladders:
            way = _way_of(ladder)
            groups[ladder.identity] = way, ways[way] // (self.together or len(self.ladders))
            ways[way] += 1
        return groups

    def halves(self) -> list[Cohort]:
        """Divide what may be too much to be trained together."""
        starts = len(by_start(self.ladders))
        together = None if self.together is None else -(-self.together // 2)
        if starts > 1:
            return split(self.key, self.ladders, -(-starts // 2), together)
        middle = -(-len(self.ladders) // 2)
        halves = (self.ladders[:middle], self.ladders[middle:])
        return [Cohort(self.key, half, together=together) for half in halves if half]


def key_of(ladder: Ladder) -> Key:
    """Return what ladders must share to begin together; seeds, labels and treatments may differ."""
    cell = ladder.cell
    shape = (cell.family, cell.dataset, cell.depth, repr(cell.width), cell.examples)
    recipe = ladder.recipe.model_dump(mode="json", exclude={"levels"})
    # A leave-out ladder has fewer examples, and does not begin before its teacher is done.
    return digest([*shape, recipe, ladder.treatment.kind == "leave-out"], 16)


def _way_of(ladder: Ladder) -> str:
    """Return what ladders that begin together must share to go on together above rung 0."""
    rewind = ladder.treatment.rewind
    if ladder.treatment.kind == "narrow":
        return "narrow"  # another shape at each rung
    return rewind if rewind in ("fine-tuning", "reinitialise") else ""


def by_start(ladders: Iterable[Ladder]) -> dict[str, list[Ladder]]:
    """Sort ladders by the network that they begin with, in their order."""
    by_network: dict[str, list[Ladder]] = {}
    for ladder in ladders:
        by_network.setdefault(ladder.unpruned, []).append(ladder)
    return by_network


def by_key(ladders: Iterable[Ladder]) -> dict[Key, list[Ladder]]:
    """Sort ladders by what they share, in their order."""
    groups: dict[Key, list[Ladder]] = {}
    keys: dict[object, Key] = {}  # ladders of a cell differ in replicate and treatment, mostly
    for ladder in ladders:
        alike = ladder.cell, id(ladder.recipe), ladder.treatment.kind == "leave-out"
        if alike not in keys:
            keys[alike] = key_of(ladder)
        groups.setdefault(keys[alike], []).append(ladder)
    return groups


def split(key: Key, ladders: Sequence[Ladder], size: int, together: int | None = None) -> list[Cohort]:
    """Divide ladders into cohorts that begin with at most ``size`` networks, as even as can be."""
    if not ladders:
        return []
    starts = list(by_start(ladders).values())
    count = -(-len(starts) // size)
    small, larger = divmod(len(starts), count)
    cohorts, first = [], 0
    for number in range(count):
        last = first + small + (number < larger)
        members = tuple(ladder for same in starts[first:last] for ladder in same)
        cohorts.append(Cohort(key, members, together=together))
        first = last
    return cohorts
