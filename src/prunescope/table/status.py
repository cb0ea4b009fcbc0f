"""How far a store is, derived from its files alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prunescope.table.store import Failure, Store

if TYPE_CHECKING:
    from prunescope.spec import Ladder, Study


@dataclass(frozen=True)
class Progress:
    """How far one version of a study is.

    Attributes
    ----------
    done, running, failed, left
        Ladders: finished; being worked on by a living process; failed and not made good; all others.
    failures
        What went wrong with the failed ones.
    """

    study: Study
    ladders: int
    rungs: int
    rungs_done: int
    done: int
    running: int
    failed: int
    left: int
    failures: tuple[Failure, ...]


@dataclass(frozen=True)
class Status:
    """How far a store is.

    Attributes
    ----------
    studies
        One entry for each version of each study that was begun here.
    rungs
        Finished rungs in all.
    strays
        Finished rungs that belong to none of the studies, as after a merge.
    shards
        Files that hold the rows.
    """

    studies: tuple[Progress, ...]
    rungs: int
    strays: int
    shards: int


def status(store: Store) -> Status:
    """Derive the status of a store."""
    done = store.done()
    running, failures = store.running(), {failure.ladder: failure for failure in store.failures()}
    studies = store.studies()
    progress = tuple(_progress(study, done, running, failures) for study in studies)
    planned = {ladder.identity for study in studies for ladder in study.ladders}
    strays = sum(len(rungs) for ladder, rungs in done.items() if ladder not in planned)
    return Status(progress, sum(map(len, done.values())), strays, len(store.shards.listing().all))


def finished(ladder: Ladder, done: Mapping[str, frozenset[int]]) -> int:
    """Return how many rungs of a ladder are done, given what `Store.done` tells; rungs beyond its top do not count."""
    return len(done.get(ladder.identity, frozenset()) & frozenset(range(ladder.rungs)))


def _progress(
    study: Study, done: Mapping[str, frozenset[int]], running: frozenset[str], failures: Mapping[str, Failure]
) -> Progress:
    counts = {"done": 0, "running": 0, "failed": 0, "left": 0}
    rungs_done = 0
    failed = []
    for ladder in study.ladders:
        count = finished(ladder, done)
        rungs_done += count
        if count == ladder.rungs:
            counts["done"] += 1
        elif ladder.identity in running:
            counts["running"] += 1
        elif ladder.identity in failures:
            counts["failed"] += 1
            failed.append(failures[ladder.identity])
        else:
            counts["left"] += 1
    rungs = sum(ladder.rungs for ladder in study.ladders)
    return Progress(study, len(study.ladders), rungs, rungs_done, **counts, failures=tuple(failed))
