"""Error by the invariant m*, as one dimension varies: members fall onto one curve. The first paper's Fig. 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from prunescope.errors import listed
from prunescope.laws.formulas import invariant as invariant_of
from prunescope.laws.results import number, percent
from prunescope.report.charts.end_labels import line_ends
from prunescope.report.charts.parts import (
    ERROR,
    Panel,
    beside,
    coloured,
    layered,
    line_at,
    note_at,
    shaped,
    source,
    span,
    tips,
    x_log,
    y_log,
)
from prunescope.report.figures.figure import SYMBOLS, Figure, is_identified
from prunescope.report.groups import ReportGroup
from prunescope.report.slices import Slice, slices


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


@dataclass(frozen=True, repr=False)
class Invariant(Figure):
    """Error by the invariant.

    Attributes
    ----------
    formula
        The invariant with the fitted exponents.
    plateau, slope, turn
        eps_up, gamma and p_prime; None where the data do not tell them.
    """

    slug: ClassVar[str] = "error-by-invariant"
    title: ClassVar[str] = "Error by the invariant m*"
    formula: str
    plateau: float | None
    slope: float | None
    turn: float | None
    panels: tuple[Slice, ...]
    points: tuple[InvariantPoint, ...]

    @property
    def rows(self) -> tuple[InvariantPoint, ...]:
        """The points."""
        return self.points

    def draw(self) -> tuple[Panel, ...]:
        """Draw error by the invariant."""
        ends = (
            span(point.invariant for point in self.points),
            span([*(point.error for point in self.points), self.plateau and self.plateau * 1.08]),
        )
        panels = []
        for panel in self.panels:
            points = [point for point in self.points if point.panel == panel.title]
            title = panel.varied or None
            x, y = x_log("invariant", "invariant m*", ends[0]), y_log("error", ERROR, ends[1])
            colour, shape = coloured("member", panel.labels, title), shaped("member", panel.labels, title)
            data = source(panel=panel.title)
            tooltip = tips(("member", panel.varied or "cell", None), ("invariant", "m*", ".4g"),
                           ("density", "density", ".4g"), ("error", "error", ".4g"))  # fmt: skip
            layers = [
                data.mark_line(strokeWidth=0.9, opacity=0.6, clip=True).encode(x=x, y=y, color=colour),
                data.mark_point().encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip),
            ]
            if self.plateau is not None:
                words = f"{SYMBOLS['eps_up']} {number(self.plateau)}"
                layers += [line_at(y, self.plateau), note_at(words, "width", (y, self.plateau), "right", dy=-7)]
            if self.turn is not None and ends[0][0] < self.turn < ends[0][1]:
                words = f"{SYMBOLS['p_prime']} {number(self.turn)}"
                layers += [line_at(x, self.turn), note_at(words, (x, self.turn), -7, beside(self.turn, ends[0]))]
            named = line_ends(((point.member, point.invariant, point.error) for point in points), panel.labels)
            chart = layered(*layers, title=panel.title)
            panels.append(Panel(chart, "ordered", len(panel.labels), len(points), ends=named))
        return tuple(panels)


def invariant(group: ReportGroup) -> Invariant | None:
    """Return the figure of a family; None without a law or with a single cell."""
    if group.fit is None or group.cells.cells < 2:
        return None
    fit, cells, values = group.fit, group.cells, group.fit.parameters
    size = invariant_of(cells.density, cells.depth, cells.width, values["phi"], values["psi"])
    low, high = cells.extremes
    panels = slices(cells, group.known)
    points = [
        InvariantPoint(
            panel.title, member, *(float(column[row]) for column in (size, cells.density, cells.error, low, high))
        )
        for panel in panels
        for cell, member in zip(panel.cells, panel.labels, strict=True)
        for row in cells.points_of[cell].tolist()
    ]
    parts = [
        f"{name}^{values[exponent]:.3g}"
        for name, exponent in (("depth", "phi"), ("width", "psi"))
        if values[exponent] != 0
    ]
    formula = " × ".join([*parts, "density"])
    caption = (
        f"Plotted against m* = {formula}, members of different depth or width fall onto one curve where the error "
        f"rises; the law is off by {percent(fit.std_deviation)} (sigma). On the right each member levels off at its "
        "unpruned error, which m* does not explain."
    )
    identified = {name: values[name] if is_identified(fit, name) else None for name in ("eps_up", "gamma", "p_prime")}
    words = ((SYMBOLS[name], identified[name]) for name in ("eps_up", "p_prime"))
    drawn = [f"{name} {number(value)}" for name, value in words if value is not None]
    caption += f" Dashed: {' and '.join(drawn)}." if drawn else ""
    if (slope := identified["gamma"]) is not None:
        caption += f" The slope where the error rises is -{SYMBOLS['gamma']}, {number(-slope)}."
    unknown = [name for name, value in identified.items() if value is None]
    caption += f" The data do not identify {listed([SYMBOLS[name] for name in unknown])}." if unknown else ""
    return Invariant(
        caption, formula, identified["eps_up"], identified["gamma"], identified["p_prime"], panels, tuple(points)
    )
