"""What a report may be asked for."""

from __future__ import annotations

from dataclasses import dataclass

from prunescope.choose.limits import bound_faults, confidence_faults
from prunescope.errors import Fault, InputError


@dataclass(frozen=True)
class ReportOptions:
    """What a report is asked for.

    Attributes
    ----------
    max_error
        The bound that the choice is about; None takes one above the lowest unpruned error.
    confidence
        How surely the robust choice keeps it.
    draws
        Draws of each size in the study of how many measurements are enough; 0 leaves that out.
    """

    max_error: float | None = None
    confidence: float = 0.9
    draws: int = 10

    def __post_init__(self) -> None:
        faults = list(bound_faults(self.max_error)) if self.max_error is not None else []
        faults += confidence_faults(self.confidence)
        if self.draws == 1 or self.draws < 0:
            faults.append(Fault("the draws", "must be 0, or 2 or more", str(self.draws)))
        if faults:
            raise InputError("the report", faults)
