"""Contours of constant error over density and depth, and over density and width: the first paper's Fig. 3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from prunescope.laws import Fit, size_for_error
from prunescope.laws.data import GroupData, Numbers
from prunescope.laws.results import number, percent
from prunescope.report.charts.end_labels import line_ends
from prunescope.report.charts.parts import (
    Panel,
    coloured,
    layered,
    shaped,
    source,
    span,
    tips,
    x_log,
    y_log,
)
from prunescope.report.figures.figure import Figure, geometric
from prunescope.report.groups import ReportGroup, Slice, slice_grid

LEVELS = 6
# Slices that are drawn at most.
MOST_DRAWN = 12
EXPONENT = {"width": "psi", "depth": "phi"}


@dataclass(frozen=True)
class ContourPoint:
    """Where a member reaches an error.

    Attributes
    ----------
    what
        ``measured``: interpolated between two rungs; ``law``: by its closed inverse; ``slope``: a line of constant m*.
    level
        The error, in words; empty for the line.
    value
        The depth or the width.
    """

    panel: str
    varied: str
    what: str
    level: str
    value: float
    density: float


@dataclass(frozen=True, repr=False)
class Contours(Figure):
    """Contours of constant error."""

    slug: ClassVar[str] = "contours-of-error"
    title: ClassVar[str] = "Contours of constant error"
    panels: tuple[Slice, ...]
    points: tuple[ContourPoint, ...]

    def draw(self) -> tuple[Panel, ...]:
        """Draw contours of constant error."""
        panels = []
        dense = span(min(point.density, 1.0) for point in self.points)
        for panel in self.panels:
            points = [point for point in self.points if point.panel == panel.title]
            along = [point for point in self.points if point.varied == panel.varied]
            levels = sorted({point.level for point in along if point.level}, key=float)
            present = {point.level for point in points}
            ends = span(point.value for point in along), dense
            x, y = (
                x_log("value", panel.varied, ends[0], sorted({point.value for point in points})),
                y_log("density", "density", ends[1]),
            )
            colour = coloured("level", levels, "error", present=present)
            shape = shaped("level", levels, "error", present=present)
            tooltip = tips(("level", "error", None), ("value", panel.varied, ".4g"), ("density", "density", ".4g"))
            layers = [
                source(panel=panel.title, what="slope").mark_line(style="reference", clip=True).encode(x=x, y=y),
                source(panel=panel.title, what="law").mark_line(style="law", clip=True).encode(x=x, y=y, color=colour),
                source(panel=panel.title, what="measured")
                .mark_point(size=44)
                .encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip),
            ]
            lines = ((point.level, point.value, point.density) for point in points if point.what == "law")
            chart, named = layered(*layers, title=panel.title), line_ends(lines, levels)
            # A level that the law has nowhere is known by its marks alone.
            named = named if {end.name for end in named} == present - {""} else ()
            panels.append(Panel(chart, "ordered", len(levels), len(points), ends=named))
        return tuple(panels)


def contours(group: ReportGroup) -> Contours | None:
    """Return the figure of a family; None without a law, or where neither depth nor width varies."""
    if group.fit is None:
        return None
    cells = group.cells
    panels: list[Slice] = []
    points: list[ContourPoint] = []
    for varied in EXPONENT:
        grid = slice_grid(cells, group.known, varied)
        curves = {panel: [cells.points_of[cell] for cell in panel.cells] for panel in grid}
        levels = _levels(cells, [rows for members in curves.values() for rows in members]) if grid else []
        for panel in grid:
            contour = [point for level in levels for point in _contour(cells, group.fit, panel, curves[panel], level)]
            if sum(point.what == "measured" for point in contour) >= 2 and len(panels) < MOST_DRAWN:
                panels.append(panel)
                points += [*contour, *_slope(group.fit, panel, contour)]
    if not panels:
        return None
    parameters = group.fit.parameters
    drawn = dict.fromkeys(panel.varied for panel in panels)
    words = [f"{name}^{parameters[EXPONENT[name]]:.3g} × density" for name in drawn]
    caption = (
        "Networks on one contour have the same error at different shapes and densities. Marks are interpolated between "
        f"measured rungs; lines are the law, off by {percent(group.fit.std_deviation)} (sigma). Well above the "
        f"unpruned errors, contours are parallel to the dashed line, where {' or '.join(words)} is constant."
        + (f" All on {cells.examples.max():,.0f} examples." if "examples" in group.known else "")
    )
    return Contours(caption, tuple(panels), tuple(points))


def _levels(cells: GroupData, curves: list[np.ndarray]) -> list[float]:
    """Return errors that most of the members reach under pruning."""
    low = max(float(cells.unpruned[rows[0]]) for rows in curves) * 1.15
    high = float(np.median([cells.error[rows].max() for rows in curves])) * 0.95
    if not low < high:
        low = float(np.median([cells.unpruned[rows[0]] for rows in curves])) * 1.15
    return _round(geometric(low, high, LEVELS).tolist()) if low < high else []


def _round(levels: list[float]) -> list[float]:
    """Return errors with as few digits as keep them apart, two at least."""
    for digits in (2, 3):
        rounded = [float(f"{level:.{digits}g}") for level in levels]
        if len(set(rounded)) == len(levels):
            return rounded
    return levels


def _contour(cells: GroupData, fit: Fit, panel: Slice, curves: list[np.ndarray], level: float) -> list[ContourPoint]:
    parameters, label = fit.parameters, number(level)
    points = []
    for rows in curves:
        value = float(getattr(cells, panel.varied)[rows[0]])
        crossing = _crossing(cells.density[rows], cells.error[rows], level)
        if crossing is not None:
            points.append(ContourPoint(panel.title, panel.varied, "measured", label, value, crossing))
        size = float(
            size_for_error(
                level, float(cells.unpruned[rows[0]]), parameters["eps_up"], parameters["gamma"], parameters["p_prime"]
            )
        )
        shape = float(cells.depth[rows[0]] ** parameters["phi"] * cells.width[rows[0]] ** parameters["psi"])
        sparsest = float(cells.density[rows].min())
        if np.isfinite(size) and sparsest / 2 <= size / shape <= 1:
            points.append(ContourPoint(panel.title, panel.varied, "law", label, value, size / shape))
    return points


def _crossing(density: Numbers, error: Numbers, level: float) -> float | None:
    """Return the density at which a measured curve, coming from the dense side, last passes an error."""
    order = np.argsort(-density)
    x, y = np.log(density[order]), np.log(error[order]) - np.log(level)
    passes = np.flatnonzero((y[:-1] <= 0) & (y[1:] > 0))
    if not len(passes):
        return None
    place = int(passes[-1])
    share = -y[place] / (y[place + 1] - y[place])
    return float(np.exp(x[place] + share * (x[place + 1] - x[place])))


def _slope(fit: Fit, panel: Slice, contour: list[ContourPoint]) -> list[ContourPoint]:
    """Return a line of constant m* through the middle of the points."""
    exponent = fit.parameters[EXPONENT[panel.varied]]
    values, densities = (np.log([getattr(point, name) for point in contour]) for name in ("value", "density"))
    middle_x, middle_y = (values.min() + values.max()) / 2, float(np.median(densities))
    ends = [float(np.exp(x)) for x in (values.min(), values.max())]
    line = [float(np.exp(middle_y - exponent * (x - middle_x))) for x in (values.min(), values.max())]
    return [ContourPoint(panel.title, panel.varied, "slope", "", *end) for end in zip(ends, line, strict=True)]
