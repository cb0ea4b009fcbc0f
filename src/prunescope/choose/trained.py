"""The trained network of a store that meets the bound of a choice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prunescope.choose.answers import Answer
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
        What selected it among the networks of its rung: ``validation error`` where there is one, else ``test error``,
        which is then optimistic.
    """

    ladder: str
    rung: int
    density: float
    error: float
    mean: float
    of: int
    parameters: int
    by: str

    @property
    def words(self) -> str:
        """Its test error, and the mean of its rung."""
        if self.of == 1:
            return f"test error {self.error:.4g}"
        return f"test error {self.error:.4g}, the best of {self.of} by {self.by}; their mean {self.mean:.4g}"


def trained_network(rows: Table, answer: Answer) -> TrainedNetwork | None:
    """Return the trained network for an answer: of its member, no sparser than its rung, and meeting the bound.

    The one with the lowest validation error at the sparsest such rung.
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
    alike = here
    here = here & (rows["test_error"] <= answer.max_error)
    if not here.any():
        return None
    alike &= rows["rung"] == rows["rung"][here].max()
    here &= alike
    judged = rows.columns.get("validation_error", np.full(len(rows), np.nan))
    by = "validation error" if np.isfinite(judged[here]).all() else "test error"
    error = judged if by == "validation error" else rows["test_error"]
    best = int(np.flatnonzero(here)[np.argmin(error[here])])
    return TrainedNetwork(
        str(rows["ladder"][best]),
        int(rows["rung"][best]),
        float(rows["density"][best]),
        float(rows["test_error"][best]),
        float(rows["test_error"][alike].mean()),
        int(alike.sum()),
        int(rows["parameters"][best]),
        by,
    )
