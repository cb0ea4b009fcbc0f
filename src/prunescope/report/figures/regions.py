"""One curve and its three regions, the law's parameters in their places: the first paper's Fig. 1, centre and right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from prunescope.laws import Fit
from prunescope.laws.measured import Measured
from prunescope.laws.predict import predicted
from prunescope.laws.results import number
from prunescope.report.figures.figure import Figure, extremes, geometric
from prunescope.report.slices import cell_words
from prunescope.report.subjects import Subject

STEPS = 80
# How far beyond the sparsest measurement the law is carried on, to show where it levels off.
CARRIED_ON = 30.0


@dataclass(frozen=True)
class RegionPoint:
    """One point of the figure.

    Attributes
    ----------
    what
        ``measured``, ``law``, ``beyond`` (the law where nothing was measured), ``straight`` (three straight pieces).
    region
        ``plateau``, ``power law`` or ``saturation``.
    """

    what: str
    region: str
    density: float
    error: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Regions(Figure):
    """The anatomy of one curve.

    Attributes
    ----------
    member
        Whose curve it is.
    unpruned, plateau, slope
        Errors of the low and the high plateau, and gamma.
    begins, ends
        Densities at which the power law begins to rise and levels off.
    """

    slug: ClassVar[str] = "three-regions"
    title: ClassVar[str] = "Three regions of one curve"
    member: str
    unpruned: float
    plateau: float
    slope: float
    begins: float
    ends: float
    points: tuple[RegionPoint, ...]

    @property
    def rows(self) -> tuple[RegionPoint, ...]:
        """The points."""
        return self.points


def regions(subject: Subject) -> Regions | None:
    """Return the figure of the family's curve that shows most of the law; None without a law."""
    if subject.fit is None:
        return None
    cells, fit = subject.cells, subject.fit
    cell = _telling(cells)
    own = np.flatnonzero(cells.cell == cell)
    unpruned = float(cells.unpruned[own[0]])
    depth, width = float(cells.depth[own[0]]), float(cells.width[own[0]])
    plateau, slope = fit.parameters["eps_up"], fit.parameters["gamma"]
    shape = depth ** fit.parameters["phi"] * width ** fit.parameters["psi"]
    ends = fit.parameters["p_prime"] / shape
    begins = ends * (max(plateau, unpruned) / unpruned) ** (1 / slope)
    low, high = extremes(cells)
    points = [
        RegionPoint("measured", _region(density, begins, ends), density, error, least, most)
        for density, error, least, most in zip(
            cells.density[own].tolist(), cells.error[own].tolist(), low[own].tolist(), high[own].tolist(), strict=True
        )
    ]
    sparsest = float(cells.density[own].min())
    lowest = max(min(sparsest, ends / 3), sparsest / CARRIED_ON)
    densities = geometric(lowest, 1.0, STEPS)
    at = [np.full(STEPS, value) for value in (unpruned, depth, width)]
    errors = predicted(fit, at[0], densities, at[1], at[2]).error
    for density, error in zip(densities.tolist(), errors.tolist(), strict=True):
        what = "law" if density >= sparsest * 0.999 else "beyond"
        points.append(RegionPoint(what, _region(density, begins, ends), density, error, None, None))
    corners = [(1.0, unpruned), (begins, unpruned), (ends, plateau), (lowest, plateau)]
    if begins <= 1 and ends >= lowest:
        points += (
            RegionPoint("straight", _region(density, begins, ends), density, error, None, None)
            for density, error in corners
        )
    member = cell_words(cells, subject.known, cell)
    caption = _caption(fit, member, begins, ends, sparsest)
    return Regions(caption, member, unpruned, plateau, slope, begins, ends, tuple(points))


def _telling(cells: Measured) -> int:
    """Return the cell whose error rises most from its unpruned error; among equals the one with most densities."""
    rise = np.log(cells.error / cells.unpruned)
    tops = np.array([rise[cells.cell == cell].max() for cell in range(cells.cells)])
    near = np.flatnonzero(tops >= tops.max() - 0.1 * abs(tops.max()))
    counts = np.bincount(cells.cell, minlength=cells.cells)[near]
    return int(near[len(near) // 2]) if np.ptp(counts) == 0 else int(near[counts.argmax()])


def _region(density: float, begins: float, ends: float) -> str:
    return "plateau" if density >= begins else "saturation" if density <= ends else "power law"


def _caption(fit: Fit, member: str, begins: float, ends: float, sparsest: float) -> str:
    words = [
        f"{member}: the error stays near that of the unpruned network down to density {number(min(begins, 1.0))}, then "
        f"rises as density to the power of -{number(fit.parameters['gamma'])} (gamma)"
    ]
    if ends >= sparsest:
        words.append(f"and levels off at {number(fit.parameters['eps_up'])} (eps_up) below density {number(ends)}.")
    else:
        words.append(
            f"and by the law would level off at {number(fit.parameters['eps_up'])} (eps_up) below density "
            f"{number(ends)}: further than anything measured, which ends at {number(sparsest)}."
        )
    return " ".join(words)
