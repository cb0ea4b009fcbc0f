"""Error by density with the law, and by the invariant m*, as one dimension varies: the first paper's Figs. 1, 2, 4."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from prunescope.errors import counted, listed
from prunescope.laws import Fit
from prunescope.laws.data import GroupData
from prunescope.laws.formulas import invariant as invariant_of
from prunescope.laws.results import number, percent
from prunescope.report.charts.end_labels import line_ends
from prunescope.report.charts.parts import (
    DENSITY,
    ERROR,
    Panel,
    bars,
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
from prunescope.report.figures.figure import SYMBOLS, Figure, clearly_better, geometric, is_identified, law_along
from prunescope.report.groups import ReportGroup, Slice, slices

# Densities at which the law is drawn.
STEPS = 48
# Ratios to the unpruned error that are worth telling: a rise, and how far below it a lone lowest point lies.
LEAST_RISE, WORTH_TELLING = 1.005, 0.02


@dataclass(frozen=True)
class CurvePoint:
    """One point of a curve.

    Attributes
    ----------
    panel
        What varies.
    member
        The curve: the value that varies.
    what
        ``measured``, the mean over replicates with their smallest and largest error; or ``law``, with the interval
        of the law.
    networks
        How many networks are behind a measured point.
    """

    panel: str
    member: str
    what: str
    density: float
    error: float
    low: float | None
    high: float | None
    networks: int | None


@dataclass(frozen=True, repr=False)
class Curves(Figure):
    """Error by density."""

    slug: ClassVar[str] = "error-by-density"
    title: ClassVar[str] = "Error by density"
    panels: tuple[Slice, ...]
    points: tuple[CurvePoint, ...]

    def draw(self) -> tuple[Panel, ...]:
        """Draw error by density."""
        # Bands may reach anywhere; bars are data.
        held = [value for point in self.points if point.what == "measured" for value in (point.low, point.high)]
        ends_y = span([*(point.error for point in self.points), *held])
        panels = []
        for panel in self.panels:
            points = [point for point in self.points if point.panel == panel.title]
            ends_x = span(point.density for point in points)
            title = panel.varied or None
            x, y = x_log("density", DENSITY, ends_x), y_log("error", ERROR, ends_y)
            colour, shape = coloured("member", panel.labels, title), shaped("member", panel.labels, title)
            law = source(panel=panel.title, what="law")
            measured = source(panel=panel.title, what="measured")
            tooltip = tips(("member", panel.varied or "cell", None), ("density", "density", ".4g"),
                           ("error", "error", ".4g"), ("low", "lowest", ".4g"),
                           ("high", "highest", ".4g"), ("networks", "networks", ",d"))  # fmt: skip
            layers = [
                law.mark_area(style="band", clip=True).encode(
                    x=x, y=y_log("low", ERROR, ends_y), y2="high", color=colour
                ),
                law.mark_line(style="law", clip=True).encode(x=x, y=y, color=colour),
                bars(measured, ends_y)
                .mark_rule(style="spread", clip=True)
                .encode(x=x, y=y_log("low", ERROR, ends_y), y2="high", color=colour),
                measured.mark_point().encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip),
            ]
            words = panel.title or "the network"
            drawn = [point for point in points if point.what == "law"] or points
            ends = line_ends(((point.member, point.density, point.error) for point in drawn), panel.labels)
            chart = layered(*layers, title=words)
            panels.append(Panel(chart, "ordered", len(panel.labels), len(points), ends=ends))
        return tuple(panels)


def curves(group: ReportGroup) -> Curves:
    """Return the figure of a family."""
    cells = group.cells
    low, high = cells.extremes
    panels = slices(cells, group.known)
    points: list[CurvePoint] = []
    for panel in panels:
        for cell, member in zip(panel.cells, panel.labels, strict=True):
            rows = cells.points_of[cell]
            points += (
                CurvePoint(panel.title, member, "measured", *numbers)
                for numbers in zip(
                    cells.density[rows].tolist(),
                    cells.error[rows].tolist(),
                    low[rows].tolist(),
                    high[rows].tolist(),
                    cells.repeats[rows].tolist(),
                    strict=True,
                )
            )
            if group.fit is not None:
                points += _law(group, group.fit, panel, member, rows)
    return Curves(_caption(group, panels, points), panels, tuple(points))


def _law(group: ReportGroup, fit: Fit, panel: Slice, member: str, rows: np.ndarray) -> list[CurvePoint]:
    cells = group.cells
    densities = geometric(float(cells.density[rows].min()), 1.0, STEPS)
    estimate = law_along(fit, cells, rows[0], densities)
    bands = [np.where(np.isnan(bound), estimate.error, bound) for bound in (estimate.law_low, estimate.law_high)]
    numbers = zip(densities.tolist(), estimate.error.tolist(), bands[0].tolist(), bands[1].tolist(), strict=True)
    return [CurvePoint(panel.title, member, "law", *values, None) for values in numbers]


def _caption(group: ReportGroup, panels: tuple[Slice, ...], points: list[CurvePoint]) -> str:
    measured = [point for point in points if point.what == "measured"]
    most = max(point.networks or 0 for point in measured)
    words = [
        "Each mark is the mean error over replicates at one density"
        + ("; bars: minimum to maximum over replicates." if most > 1 else ", here a single network.")
    ]
    words += _course(group.cells)
    if group.fit is not None:
        whose = "one law of all members" if group.cells.cells > 1 else "law"
        off = f", off by {percent(group.fit.std_deviation)} (sigma)"
        words.append(f"Lines are the {whose}{off}; bands its interval.")
    drawn = sum(len(panel.cells) for panel in panels)
    if len(panels) == 1 and drawn < group.cells.cells:
        words.append(f"{drawn} of {counted(group.cells.cells, 'cell')} are drawn.")
    return " ".join(words)


def _course(cells: GroupData) -> Iterator[str]:
    """Say how errors of pruned networks compare with unpruned ones; nothing where there are none to compare."""
    pruned = cells.density < 1
    if not pruned.any() or not np.isfinite(cells.unpruned).all():
        return
    rise = np.where(pruned, cells.error / cells.unpruned, np.nan)
    sparse, most = float(cells.density.min()), float(np.nanmax(rise))
    if most >= LEAST_RISE:
        yield f"Down to density {sparse:.3g} the error rises to {most:.3g} times that of the unpruned network."
    else:
        yield f"Down to density {sparse:.3g} the error does not rise above that of the unpruned network."
    clear = clearly_better(cells)
    helped = clear is not None and clear.any()
    place = int(np.nanargmin(np.where(clear, rise, np.inf) if clear is not None and helped else rise))
    gain = 1 - float(rise[place])
    if not helped and gain < WORTH_TELLING:
        return
    where = f"{percent(gain)} below its unpruned error, at density {float(cells.density[place]):.3g}"
    if helped:
        yield f"Pruning helps: the best point beyond chance lies {where}."
    elif clear is None:
        yield f"The lowest point lies {where}; without replicates this may be chance."
    else:
        yield f"The lowest point lies {where}: no more than chance between seeds."


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
