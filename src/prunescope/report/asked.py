"""What a report may be asked for."""

from __future__ import annotations

from dataclasses import dataclass

from prunescope.errors import Fault, InputError


@dataclass(frozen=True)
class Asked:
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
        faults = []
        if self.max_error is not None and not 0 < self.max_error < 1:
            hint = (
                f"Errors are fractions: {self.max_error:g} % is {self.max_error / 100:g}."
                if 1 <= self.max_error < 100
                else ""
            )
            faults.append(Fault("the bound on the error", "must be between 0 and 1", f"{self.max_error:g}", hint))
        if not 0.5 <= self.confidence <= 0.999:
            faults.append(Fault("the confidence", "must be between 0.5 and 0.999", f"{self.confidence:g}"))
        if self.draws == 1 or self.draws < 0:
            faults.append(Fault("the draws", "must be 0, or 2 or more", str(self.draws)))
        if faults:
            raise InputError("the report", faults)
