"""What other runs on one store train, and what of it comes back: ladders whose run died or let them go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set

from prunescope.run.ladder_runner import work_left
from prunescope.study import Ensemble, Ladder
from prunescope.table import Store
from prunescope.table.status import is_scored


class Elsewhere:
    """The ladders and ensembles that a run leaves to others.

    Parameters
    ----------
    ladders, ensembles
        All of the run.
    """

    def __init__(self, ladders: Sequence[Ladder], ensembles: Sequence[Ensemble], store: Store) -> None:
        self._ladders = {ladder.identity: ladder for ladder in ladders}
        self._ensembles = {ensemble.identity: ensemble for ensemble in ensembles}
        self._store = store
        self._identities: set[str] = set()

    @property
    def identities(self) -> frozenset[str]:
        """What is left to others, finished by now or not."""
        return frozenset(self._identities)

    def add(self, identities: Iterable[str]) -> None:
        """Leave ladders or ensembles to others."""
        self._identities.update(identities)

    def unfinished(self, failed: Set[str]) -> dict[str, int]:
        """Return what is neither finished by now nor failed here, with the examples that it will see."""
        done = self._store.done()
        work = {}
        for identity in self._identities - failed:
            if identity in self._ladders:
                work[identity] = work_left(self._ladders[identity], done)
            elif not is_scored(self._store, self._ensembles[identity]):
                work[identity] = self._ensembles[identity].work
        return {identity: left for identity, left in work.items() if left}

    def take_back(self, failed: Set[str], stop: Callable[[], bool]) -> dict[str, int]:
        """Wait until it is known who of the others lives, and take back what none of them is at any more."""
        left = self.unfinished(failed)
        names = {identity: self._names(identity) for identity in left}
        free = self._store.leases.await_free({name for several in names.values() for name in several}, stop)
        freed = {identity: work for identity, work in left.items() if names[identity] <= free}
        self._identities -= freed.keys()
        return freed

    def _names(self, identity: str) -> frozenset[str]:
        """Return what must be free before a ladder can be trained: itself, and what it waits for."""
        ladder = self._ladders.get(identity)
        return frozenset({identity} if ladder is None or not ladder.waits_for else {identity, ladder.waits_for})
