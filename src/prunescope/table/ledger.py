"""Which rungs of a store are finished, kept up to date by reading only the shards that have come since the last look.

Shards never change, so what was read of one stays true while it stands. A run looks once for each cohort; were all
shards read each time, a study of ten thousand ladders would spend its days looking.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prunescope.table.coded import Texts, plain
from prunescope.table.findings import Array
from prunescope.table.shards import Shards

Rungs = dict[str, frozenset[int]]
KEY = ("ladder", "rung")


class Ledger:
    """The finished rungs of one store.

    Parameters
    ----------
    shards
        Where they are.
    """

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._seen: frozenset[str] = frozenset()
        self._rungs: Rungs = {}

    def rungs(self) -> Rungs:
        """Return which rungs of which ladders are finished now."""
        now = frozenset(self._shards.listing().all)
        if not (self._seen <= now and self._add(now - self._seen)):
            # Shards were packed or deleted, or rungs stand twice: `load` tells copies from contradictions.
            columns = self._shards.load(KEY)
            self._rungs = _merged({}, _pairs(columns))
        self._seen = now
        return dict(self._rungs)

    def wrote(self, shard: str, rungs: Iterable[tuple[str, int]]) -> None:
        """Take note of a shard that this process wrote, so that it need not be read."""
        pairs = list(rungs)
        if self._are_new(pairs):
            self._rungs = _merged(self._rungs, pairs)
            self._seen |= {shard}

    def _add(self, shards: Iterable[str]) -> bool:
        """Read shards and take note of them; return False where that does not do."""
        fresh = sorted(shards)
        if not fresh:
            return True
        try:
            columns = self._shards.rows(fresh, KEY)
        except FileNotFoundError:
            return False  # packed since they were listed
        pairs = list(_pairs(columns))
        if not self._are_new(pairs):
            return False
        self._rungs = _merged(self._rungs, pairs)
        return True

    def _are_new(self, rungs: list[tuple[str, int]]) -> bool:
        none: frozenset[int] = frozenset()
        return len(set(rungs)) == len(rungs) and all(
            rung not in self._rungs.get(ladder, none) for ladder, rung in rungs
        )


def _pairs(columns: Mapping[str, Array | Texts]) -> Iterator[tuple[str, int]]:
    return zip(plain(columns["ladder"]).tolist(), plain(columns["rung"]).tolist(), strict=True)


def _merged(rungs: Rungs, more: Iterable[tuple[str, int]]) -> Rungs:
    """Return finished rungs with some more."""
    added: dict[str, set[int]] = {}
    for ladder, rung in more:
        added.setdefault(ladder, set()).add(rung)
    return rungs | {ladder: rungs.get(ladder, frozenset()) | new for ladder, new in added.items()}
