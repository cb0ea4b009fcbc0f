"""The trained network of a store that meets the bound of a choice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prunescope.choose.answers import Answer
from prunescope.choose.limits import picked_by
from prunescope.study.sections import PRUNING
from prunescope.table import Table

NEEDED = ("ladder", "rung", "treatment", "test_error", "parameters")


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network.

    Attributes
    ----------
    error
        On the test set.
    mean, of
        The mean of that over the trained networks of its rung, and how many those are.
    by
        What selected it: ``validation error``, or ``test error``, which is then optimistic.
    bound
        What that error was to be at most.
    """

    ladder: str
    rung: int
    density: float
    error: float
    mean: float
    of: int
    parameters: int
    by: str
    bound: float

    @property
    def words(self) -> str:
        """Its test error, what picked it, and the mean of its rung."""
        words = f"test error {self.error:.4g}"
        if self.error > self.bound:
            words += f" (above {self.bound:g}, which its validation error meets)"
        if self.of > 1:
            words += f", the best of {self.of} by {self.by}; their mean {self.mean:.4g}"
        if self.by == "test error":
            words += "; picked by that same error, so expect more on new examples"
        return words


def trained_network(rows: Table, answer: Answer, pick_by: str | None = None) -> TrainedNetwork | None:
    """Return the trained network for an answer: of its member, no sparser than its rung, and meeting the bound.

    The one with the lowest error at the sparsest such rung. The errors that pick it are those on validation examples
    where all networks in question have them and some meet the bound, and otherwise on test examples; `pick_by` names
    one of both.
    """
    pick = answer.robust or answer.choice
    if pick.rung is None or not all(name in rows for name in NEEDED):
        return None
    here = np.isin(rows["treatment"].astype(str), PRUNING) & (rows["rung"] <= pick.rung)
    for name, value in (("depth", pick.depth), ("width", pick.width), ("examples", pick.examples)):
        if value is not None:
            here &= rows[name] == value
    for name, value in answer.group.items():
        if name in rows and value is not None:
            here &= rows[name] == value
    if not here.any():
        return None
    column = rows.outcome.validation
    validation = rows.columns.get(column, np.full(len(rows), np.nan))
    by = picked_by(validation[here], pick_by, rows.source, column or "validation_error")
    judged = validation if by == "validation" else rows["test_error"]
    meeting = here & (judged <= answer.max_error)
    if not meeting.any() and pick_by is None and by == "validation":
        by, judged = "test", rows["test_error"]
        meeting = here & (judged <= answer.max_error)
    if not meeting.any():
        return None
    here &= rows["rung"] == rows["rung"][meeting].max()
    best = int(np.flatnonzero(here)[np.argmin(judged[here])])
    return TrainedNetwork(
        str(rows["ladder"][best]),
        int(rows["rung"][best]),
        float(rows["density"][best]),
        float(rows["test_error"][best]),
        float(rows["test_error"][here].mean()),
        int(here.sum()),
        int(rows["parameters"][best]),
        f"{by} error",
        answer.max_error,
    )
