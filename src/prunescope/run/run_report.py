"""What a run has trained, what failed, and why it ended early if it did."""

from __future__ import annotations

from dataclasses import dataclass, field

from prunescope.run.events import LadderFailed


@dataclass
class RunReport:
    """The result of a run.

    Attributes
    ----------
    rungs
        Rows written.
    networks
        Networks trained for them: a rung 0 that several ladders share once.
    scored
        Cells and replicates whose examples were scored.
    ladders
        Of the study.
    failures
        Ladders that failed, or scores, and why.
    elsewhere
        Ladders, and scores, that this run left to another one and that are not finished.
    waited
        Share of the training time in which cohorts waited for streamed pictures; 0 where all are held.
    stopped
        Whether the first failure ended it.
    halted
        Whether it was asked to end, and did so before the study was trained.
    unwritable
        Why the store could not be written to, which ended the run; empty where it could.
    lost
        Which process was lost of those that train each network together, which ended the run; empty where none was.
    """

    rungs: int = 0
    networks: int = 0
    scored: int = 0
    ladders: int = 0
    failures: list[LadderFailed] = field(default_factory=list)
    elsewhere: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    stopped: bool = False
    halted: bool = False
    unwritable: str = ""
    lost: str = ""

    @property
    def is_incomplete(self) -> bool:
        """Whether something is left that the run was to train."""
        return bool(self.failures or self.elsewhere or self.unwritable or self.lost or self.halted)
