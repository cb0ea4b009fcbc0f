"""Which ladders are trained together: those whose networks have one shape and whose rungs take the same steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prunescope.spec import Ladder
from prunescope.spec.study import digest

Key = str


@dataclass(frozen=True)
class Cohort:
    """Ladders that climb in lock-step.

    Attributes
    ----------
    key
        What they share.
    ladders
        In the study's order.
    number
        Place among the cohorts of the study, from 1.
    """

    key: Key
    ladders: tuple[Ladder, ...]
    number: int = 0

    @property
    def words(self) -> str:
        """What it trains, for people."""
        cell = self.ladders[0].cell
        return f"{cell.family} l={cell.depth} w={cell.width:g} on {cell.examples:,} of {cell.dataset}"


def key_of(ladder: Ladder) -> Key:
    """Return what ladders must share to be trained together; seeds, labels, masks and most treatments may differ."""
    cell, rewind = ladder.cell, ladder.treatment.rewind
    own_way: str = rewind if rewind in ("fine-tuning", "reinitialise") else ""
    if ladder.treatment.kind in ("narrow", "leave-out"):
        own_way = ladder.treatment.kind  # another shape at each rung; fewer examples, and not before its teacher
    shape = (cell.family, cell.dataset, cell.depth, repr(cell.width), cell.examples)
    recipe = ladder.recipe.model_dump(mode="json", exclude={"levels"})
    return digest([*shape, recipe, own_way, ladder.rungs > 1], 16)


def by_key(ladders: Iterable[Ladder]) -> dict[Key, list[Ladder]]:
    """Sort ladders by what they share, in their order."""
    found: dict[Key, list[Ladder]] = {}
    for ladder in ladders:
        found.setdefault(key_of(ladder), []).append(ladder)
    return found


def split(key: Key, ladders: Sequence[Ladder], size: int) -> list[Cohort]:
    """Divide ladders into cohorts of at most ``size``, as even as can be."""
    if not ladders:
        return []
    parts = -(-len(ladders) // size)
    small, larger = divmod(len(ladders), parts)
    found, first = [], 0
    for part in range(parts):
        last = first + small + (part < larger)
        found.append(Cohort(key, tuple(ladders[first:last])))
        first = last
    return found
