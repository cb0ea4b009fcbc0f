"""One curve and its three regions, the law's parameters in their places: the first paper's Fig. 1, centre and right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from prunescope.errors import listed
from prunescope.laws import Fit
from prunescope.laws.data import GroupData
from prunescope.laws.predict import predicted
from prunescope.laws.results import number
from prunescope.report.figures.figure import Figure, extremes, geometric, is_identified
from prunescope.report.groups import ReportGroup
from prunescope.report.slices import cell_words

STEPS = 80
# How far beyond the sparsest measurement the law is carried on, to show where it levels off.
CARRIED_ON = 30.0
# What bends the curve: where it begins to rise follows from all of them.
BENDS = ("eps_up", "gamma", "p_prime", "phi", "psi")


@dataclass(frozen=True)
class RegionPoint:
    """One point of the figure.

    Attributes
    ----------
    what
        ``measured``, ``law``, ``beyond`` (the law where nothing was measured), ``straight`` (three straight pieces);
        the last two only where the data tell all of the law.
    region
        ``plateau``, ``power law`` or ``saturation``; empty where the data do not tell where these end.
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

    What the data do not tell of these is None.
    """

    slug: ClassVar[str] = "three-regions"
    title: ClassVar[str] = "Three regions of one curve"
    member: str
    unpruned: float
    plateau: float | None
    slope: float | None
    begins: float | None
    ends: float | None
    points: tuple[RegionPoint, ...]

    @property
    def rows(self) -> tuple[RegionPoint, ...]:
        """The points."""
        return self.points


def regions(group: ReportGroup) -> Regions | None:
    """Return the figure of the family's curve that shows most of the law; None without a law."""
    if group.fit is None:
        return None
    cells, fit = group.cells, group.fit
    cell = _telling(cells)
    rows = cells.points_of[cell]
    unpruned = float(cells.unpruned[rows[0]])
    depth, width = float(cells.depth[rows[0]]), float(cells.width[rows[0]])
    plateau, slope = fit.parameters["eps_up"], fit.parameters["gamma"]
    shape = depth ** fit.parameters["phi"] * width ** fit.parameters["psi"]
    ends = fit.parameters["p_prime"] / shape
    begins = ends * (max(plateau, unpruned) / unpruned) ** (1 / slope)
    whole = is_identified(fit, *BENDS)

    def region(density: float) -> str:
        return _region(density, begins, ends) if whole else ""

    low, high = extremes(cells)
    points = [
        RegionPoint("measured", region(density), density, error, least, most)
        for density, error, least, most in zip(
            cells.density[rows].tolist(),
            cells.error[rows].tolist(),
            low[rows].tolist(),
            high[rows].tolist(),
            strict=True,
        )
    ]
    sparsest = float(cells.density[rows].min())
    lowest = max(min(sparsest, ends / 3), sparsest / CARRIED_ON) if whole else sparsest
    densities = geometric(lowest, 1.0, STEPS)
    at = [np.full(STEPS, value) for value in (unpruned, depth, width)]
    errors = predicted(fit, at[0], densities, at[1], at[2]).error
    for density, error in zip(densities.tolist(), errors.tolist(), strict=True):
        what = "law" if density >= sparsest * 0.999 else "beyond"
        points.append(RegionPoint(what, region(density), density, error, None, None))
    corners = [(1.0, unpruned), (begins, unpruned), (ends, plateau), (lowest, plateau)]
    if whole and begins <= 1 and ends >= lowest:
        points += (RegionPoint("straight", region(density), density, error, None, None) for density, error in corners)
    member = cell_words(cells, group.known, cell)
    caption = _caption(fit, member, begins, ends, sparsest) if whole else _open_caption(fit, member, ends)
    return Regions(
        caption,
        member,
        unpruned,
        plateau if is_identified(fit, "eps_up") else None,
        slope if is_identified(fit, "gamma") else None,
        begins if whole else None,
        ends if is_identified(fit, "p_prime", "phi", "psi") else None,
        tuple(points),
    )


def _telling(cells: GroupData) -> int:
    """Return the cell whose error rises most from its unpruned error; among equals the one with most densities."""
    rise = np.log(cells.error / cells.unpruned)
    tops = np.array([rise[points].max() for points in cells.points_of])
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


def _open_caption(fit: Fit, member: str, ends: float) -> str:
    """Say what the data tell of the curve where they do not tell all of it."""
    parts = (
        ("how fast the error rises", "gamma", "gamma", fit.parameters["gamma"], is_identified(fit, "gamma")),
        ("how high it ends", "eps_up", "eps_up", fit.parameters["eps_up"], is_identified(fit, "eps_up")),
        ("where it levels off", "p", "p_prime", ends, is_identified(fit, "p_prime", "phi", "psi")),
    )
    known = [
        f"{words} ({name} {number(value)}{_interval(fit, key)})" for words, name, key, value, sure in parts if sure
    ]
    unknown = [f"{words} ({name})" for words, name, _, _, sure in parts if not sure]
    return (
        f"{member}: the line is one of many that would do, drawn as far as anything was measured. The data do not tell "
        f"{listed(unknown)}{f'; they tell {listed(known)}' if known else ''}."
    )


def _interval(fit: Fit, name: str) -> str:
    """Name the interval of a parameter that has one of its own; p of one member follows from p_prime and exponents."""
    interval = None if name == "p_prime" else fit.intervals.get(name)
    return "" if interval is None else f", {fit.level:.0%} interval {number(interval[0])} to {number(interval[1])}"
