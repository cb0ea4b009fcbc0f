"""The events of a run: plain data, so that worker processes can send it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class RunStarted:
    """What the run is about: examples that all networks of the study see, and those of them that are missing."""

    ladders: int
    total: int
    left: int


@dataclass(frozen=True)
class NetworkMade:
    """A network of which pruning may leave more alone than its name says, or whose cohorts train slowly.

    Attributes
    ----------
    words
        Which network.
    facts
        What is pruned, what is left alone, and what makes it slow.
    """

    words: str
    facts: str


@dataclass(frozen=True)
class TuningStarted:
    """How a shape of network trains fastest here is being measured."""

    words: str


@dataclass(frozen=True)
class TuningFailed:
    """How a shape of network trains fastest could not be found out.

    Attributes
    ----------
    instead
        What is done for want of it.
    """

    words: str
    reason: str
    instead: str


@dataclass(frozen=True)
class DatasetChanged:
    """A user's own dataset is not what it was when rows of the store were made."""

    words: str


OUTCOMES = "outcomes on examples"


@dataclass(frozen=True)
class ArtifactsMissing:
    """Rungs that were finished before without what this run is to keep; they are not trained again for it."""

    what: str
    rungs: int


@dataclass(frozen=True)
class CohortProgress:
    """A cohort is somewhere on its way.

    Attributes
    ----------
    cohort
        Its number.
    work
        Examples that the rung shows to each member.
    done, total
        Steps of the rung.
    waited
        Share of the time so far in which it waited for streamed pictures.
    """

    cohort: int
    words: str
    members: int
    work: int
    rung: int
    rungs: int
    epoch: int
    epochs: int
    done: int
    total: int
    waited: float = 0.0


@dataclass(frozen=True)
class NotExclusive:
    """The folder lets two processes create one file, so that two runs there would not know of each other."""

    store: str


@dataclass(frozen=True)
class Unsound:
    """A file of the store is not what was written, and the run continues without it.

    Attributes
    ----------
    reason
        What is wrong with which file, or files.
    instead
        What is done for want of it.
    """

    reason: str
    instead: str


@dataclass(frozen=True)
class RungFinished:
    """Ladders of a cohort have finished a rung; it is on the disk with the next `Written` of the cohort.

    Attributes
    ----------
    members
        Ladders that have.
    networks
        Networks trained for them: a rung 0 that several of them share once.
    work
        Examples that all members have behind them by it, the measure of what is left; shared ones count for each.
    density, error
        Means over the members.
    waited
        Share of the time in which it waited for streamed pictures.
    """

    cohort: int
    words: str
    members: int
    networks: int
    rung: int
    work: int
    density: float
    error: float
    seconds: float
    waited: float = 0.0


@dataclass(frozen=True)
class Written:
    """What a cohort has finished is on the disk.

    Attributes
    ----------
    rungs
        Rows written.
    networks
        Networks trained since the last time.
    """

    cohort: int
    rungs: int
    networks: int


@dataclass(frozen=True)
class ResultsSetAside:
    """Rungs were in the store already with other results: those stay, and these lie under ``conflicts/``."""

    store: str
    rungs: int


@dataclass(frozen=True)
class Lost:
    """What a cohort had finished did not get to the disk, and counts no more.

    Attributes
    ----------
    networks, work
        As in `RungFinished`.
    """

    cohort: int
    networks: int
    work: int


@dataclass(frozen=True)
class ExamplesScored:
    """Training examples have their EL2N scores, and they are on the disk.

    Attributes
    ----------
    work
        Examples seen by all networks that score them.
    """

    cohort: int
    words: str
    networks: int
    work: int
    seconds: float


@dataclass(frozen=True)
class LadderFailed:
    """A ladder failed; the others of its cohort go on."""

    cohort: int
    ladder: str
    words: str
    rung: int
    reason: str
    work: int


@dataclass(frozen=True)
class LaddersElsewhere:
    """Another process is at these ladders, or at those that they learn from."""

    ladders: int
    work: int
    identities: tuple[str, ...]


@dataclass(frozen=True)
class LaddersFreed:
    """Ladders that were left to another process are free, since it died or let them go; they are trained here."""

    ladders: int
    work: int


@dataclass(frozen=True)
class ClusterChanged:
    """Workers of a Dask cluster have come or gone, or its scheduler has."""

    words: str


@dataclass(frozen=True)
class TaskBegunAgain:
    """Another worker of a Dask cluster begins a cohort whose worker was lost; what it had not written is lost."""

    cohort: int


@dataclass(frozen=True)
class CohortFinished:
    """A cohort is done."""

    cohort: int


Event = (
    RunStarted
    | NetworkMade
    | TuningStarted
    | TuningFailed
    | ArtifactsMissing
    | DatasetChanged
    | NotExclusive
    | Unsound
    | CohortProgress
    | RungFinished
    | Written
    | ResultsSetAside
    | Lost
    | ExamplesScored
    | LadderFailed
    | LaddersElsewhere
    | LaddersFreed
    | ClusterChanged
    | TaskBegunAgain
    | CohortFinished
)
EventHandler = Callable[[Event], None]
