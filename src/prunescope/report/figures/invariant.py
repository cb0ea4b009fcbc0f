"""Error by the invariant m*, as one dimension varies: members fall onto one curve. The first paper's Fig. 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from prunescope.laws.forms import invariant as invariant_of
from prunescope.laws.results import number
from prunescope.report.figures.figure import Figure, extremes
from prunescope.report.slices import Slice, slices
from prunescope.report.subjects import Subject


@dataclass(frozen=True)
class InvariantPoint:
    """A measured mean, with the smallest and largest error of its replicates."""

    panel: str
    member: str
    invariant: float
    density: float
    error: float
    low: float
    high: float


@dataclass(frozen=True)
class Invariant(Figure):
    """Error by the invariant.

    Attributes
    ----------
    formula
        The invariant with the fitted exponents.
    plateau, slope, turn
        eps_up, gamma and p_prime.
    """

    slug: ClassVar[str] = "error-by-invariant"
    title: ClassVar[str] = "Error by the invariant m*"
    formula: str
    plateau: float
    slope: float
    turn: float
    panels: tuple[Slice, ...]
    points: tuple[InvariantPoint, ...]

    @property
    def rows(self) -> tuple[InvariantPoint, ...]:
        """The points."""
        return self.points


def invariant(subject: Subject) -> Invariant | None:
    """Return the figure of a family; None without a law or with a single cell."""
    if subject.fit is None or subject.cells.cells < 2:
        return None
    cells, told = subject.cells, subject.fit.parameters
    size = invariant_of(cells.density, cells.depth, cells.width, told["phi"], told["psi"])
    low, high = extremes(cells)
    panels = slices(cells, subject.known)
    points = [
        InvariantPoint(
            panel.title, member, *(float(values[row]) for values in (size, cells.density, cells.error, low, high))
        )
        for panel in panels
        for cell, member in zip(panel.cells, panel.labels, strict=True)
        for row in np.flatnonzero(cells.cell == cell).tolist()
    ]
    parts = [f"{name}^{number(told[each])}" for name, each in (("depth", "phi"), ("width", "psi")) if told[each] != 0]
    formula = " x ".join([*parts, "density"])
    caption = (
        f"With m* = {formula} in place of the density, members that differ in depth or width fall onto one curve where "
        "the error rises. On the right each keeps its own unpruned error, which m* does not explain. Dashed: eps_up "
        f"{number(told['eps_up'])} and p' {number(told['p_prime'])}; the slope between is -gamma, "
        f"{number(told['gamma'])}."
    )
    return Invariant(caption, formula, told["eps_up"], told["gamma"], told["p_prime"], panels, tuple(points))
