"""How far a store is, derived from its files alone: which rungs are finished; what is running, failed and left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from prunescope.table.coded import Texts, plain
from prunescope.table.findings import Array
from prunescope.table.shards import Shards

if TYPE_CHECKING:
    from prunescope.study import Ensemble, Ladder, Study
    from prunescope.study.recorded import RecordedLadder


@dataclass(frozen=True)
class Failure:
    """What went wrong with a ladder, at which rung, and when (UTC, ISO 8601)."""

    ladder: str
    rung: int
    words: str
    when: str


@dataclass(frozen=True)
class RecordedNote:
    """What is noted of a ladder that was recorded from a training loop of your own.

    Attributes
    ----------
    content
        The whole note: what the recorder needs to go on.
    """

    ladder: RecordedLadder
    content: Mapping[str, Any]

    @property
    def left_alone(self) -> dict[str, str]:
        """The matrices of its networks that are not pruned, each with the reason."""
        reasons = self.content.get("left_alone")
        return {str(name): str(why) for name, why in reasons.items()} if isinstance(reasons, dict) else {}


class _Store(Protocol):
    """What a status is derived from: `Store`, which shows its status and so stands above this file."""

    @property
    def shards(self) -> Any: ...

    def done(self) -> dict[str, frozenset[int]]: ...

    def running(self) -> frozenset[str]: ...

    def failures(self) -> tuple[Failure, ...]: ...

    def studies(self) -> tuple[Study, ...]: ...

    def recorded(self) -> dict[str, RecordedNote]: ...

    def has_arrays(self, keep: Any, ladder: str, rung: int) -> bool: ...


@dataclass(frozen=True)
class Scores:
    """How far the EL2N scores of a study's training examples are: one ensemble for each cell and replicate.

    Attributes
    ----------
    done, running, failed, left
        Ensembles: whose scores are in the store; being trained by a living process; failed and not made good; others.
    failures
        What went wrong with the failed ones.
    """

    ensembles: int
    done: int
    running: int
    failed: int
    left: int
    failures: tuple[Failure, ...]


@dataclass(frozen=True)
class StudyProgress:
    """How far one version of a study is.

    Attributes
    ----------
    done, running, failed, left
        Ladders: finished; being worked on by a living process; failed and not made good; all others.
    failures
        What went wrong with the failed ones.
    scores
        None where the study asks for none.
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
    scores: Scores | None


@dataclass(frozen=True)
class RecordedProgress:
    """How far a ladder is that is recorded from a training loop of your own.

    Attributes
    ----------
    failure
        What went wrong last, where that was not made good since.
    """

    note: RecordedNote
    rungs_done: int
    is_running: bool
    failure: Failure | None

    @property
    def state(self) -> str:
        """``done``, ``running``, ``failed`` or ``left``."""
        if self.rungs_done == self.note.ladder.rungs:
            return "done"
        return "running" if self.is_running else "failed" if self.failure else "left"


@dataclass(frozen=True)
class Status:
    """How far a store is.

    Attributes
    ----------
    studies
        One entry for each version of each study that was begun here.
    recorded
        One entry for each ladder that is recorded here from a training loop of your own.
    rungs
        Finished rungs in all.
    strays
        Finished rungs that belong to none of the studies, as after a merge.
    shards
        Files that hold the rows.
    """

    studies: tuple[StudyProgress, ...]
    recorded: tuple[RecordedProgress, ...]
    rungs: int
    strays: int
    shards: int


def status(store: _Store) -> Status:
    """Derive the status of a store."""
    done = store.done()
    running, failures = store.running(), {failure.ladder: failure for failure in store.failures()}
    studies = store.studies()
    progress = tuple(_progress(study, store, done, running, failures) for study in studies)
    planned = {ladder.identity for study in studies for ladder in study.ladders}
    notes = store.recorded()
    in_order = sorted(notes.values(), key=_place_of)
    recorded = tuple(_recorded(note, done, running, failures) for note in in_order)
    strays = sum(len(rungs) for ladder, rungs in done.items() if ladder not in planned and ladder not in notes)
    shards = len(store.shards.listing().all)
    return Status(progress, recorded, sum(map(len, done.values())), strays, shards)


def _place_of(note: RecordedNote) -> tuple[Any, ...]:
    ladder = note.ladder
    return (*vars(ladder.cell).values(), ladder.treatment, ladder.replicate, ladder.identity)


def _recorded(
    note: RecordedNote,
    done: Mapping[str, frozenset[int]],
    running: frozenset[str],
    failures: Mapping[str, Failure],
) -> RecordedProgress:
    ladder = note.ladder
    rungs = done.get(ladder.identity, frozenset())
    failure = failures.get(ladder.identity)
    unmended = failure if failure is not None and failure.rung not in rungs else None
    count = len(rungs.intersection(range(ladder.rungs)))
    return RecordedProgress(note, count, ladder.identity in running, unmended)


def finished(ladder: Ladder, done: Mapping[str, frozenset[int]]) -> int:
    """Return how many rungs of a ladder are done, given `Store.done`; rungs beyond its top do not count."""
    return len(done.get(ladder.identity, frozenset()) & frozenset(range(ladder.rungs)))


def is_scored(store: _Store, ensemble: Ensemble) -> bool:
    """Whether the scores of an ensemble are in a store."""
    return store.has_arrays("examples", ensemble.identity, 0)


def _scores(study: Study, store: _Store, running: frozenset[str], failures: Mapping[str, Failure]) -> Scores | None:
    from prunescope.study import ensembles

    wanted = ensembles(study)
    missing = [ensemble.identity for ensemble in wanted if not is_scored(store, ensemble)]
    at_work = running.intersection(missing)
    failed = tuple(failures[identity] for identity in missing if identity in failures and identity not in at_work)
    counts = len(wanted) - len(missing), len(at_work), len(failed), len(missing) - len(at_work) - len(failed)
    return Scores(len(wanted), *counts, failures=failed) if wanted else None


def _progress(
    study: Study,
    store: _Store,
    done: Mapping[str, frozenset[int]],
    running: frozenset[str],
    failures: Mapping[str, Failure],
) -> StudyProgress:
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
    scores = _scores(study, store, running, failures)
    return StudyProgress(study, len(study.ladders), rungs, rungs_done, **counts, failures=tuple(failed), scores=scores)


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
            # Shards were packed or deleted, or rungs stand twice: `load` separates copies from contradictions.
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
