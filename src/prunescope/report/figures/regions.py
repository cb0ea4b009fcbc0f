"""One curve and its three regions, the law's parameters in their places: the first paper's Fig. 1, centre and right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from prunescope.errors import listed, whole_percent
from prunescope.laws import Fit
from prunescope.laws.data import GroupData
from prunescope.laws.results import number
from prunescope.report.charts.parts import (
    DENSITY,
    ERROR,
    LINE,
    Panel,
    bars,
    beside,
    layered,
    line_at,
    note_at,
    share,
    source,
    span,
    tips,
    x_log,
    y_log,
)
from prunescope.report.figures.figure import SYMBOLS, Figure, geometric, is_identified, law_along
from prunescope.report.groups import ReportGroup, cell_words

if TYPE_CHECKING:
    import altair as alt


STEPS = 80
# How far beyond the sparsest measurement the law is carried on, to show where it levels off.
CARRIED_ON = 30.0
# What bends the curve: where it begins to rise follows from all of them.
BENDS = ("eps_up", "gamma", "p_prime", "phi", "psi")

# A plateau this many times the highest error of the curve is not drawn.
FAR = 2.0
# Up to which share of the x axis the slope's name stands to the right of the curve.
SLOPE_TO_THE_RIGHT = 0.6
# The share of the x axis that the name of a region needs.
LEAST_ROOM = 0.18


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


@dataclass(frozen=True, repr=False)
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

    def draw(self) -> tuple[Panel, ...]:
        """Draw one curve and its regions, with what the data tell of them."""
        ends_x = span(point.density for point in self.points)
        # The lowest line has its name below it, the highest above.
        values = [value for point in self.points for value in (point.error, point.low, point.high)]
        ends_y = span([*values, self.unpruned, _shown_plateau(self)])
        room = (ends_y[1] / ends_y[0]) ** 0.03
        ends_y = ends_y[0] / room, ends_y[1] * room
        x, y = x_log("density", DENSITY, ends_x), y_log("error", ERROR, ends_y)
        named = any(point.region for point in self.points)
        tooltip = tips(
            ("density", "density", ".4g"), ("error", "error", ".4g"), *([("region", "region", None)] if named else [])
        )
        measured = source(what="measured")
        reference, notes = _named_lines(self, ends_x, x, y)
        layers = [
            *reference,
            source(what="straight").mark_line(style="pieces", clip=True).encode(x=x, y=y),
            source(what="law").mark_line(style="single", clip=True).encode(x=x, y=y),
            source(what="beyond").mark_line(style="beyond", clip=True).encode(x=x, y=y),
            bars(measured, ends_y)
            .mark_rule(style=["single", "spread"], clip=True)
            .encode(x=x, y=y_log("low", ERROR, ends_y), y2="high"),
            measured.mark_point(style="single").encode(x=x, y=y, tooltip=tooltip),
            *notes,
            *_slope_note(self, ends_x, x, y),
            *_region_names(self, ends_x, x, y),
        ]
        beyond = ", dotted beyond" if any(point.what == "beyond" for point in self.points) else ""
        chart = layered(*layers, title=self.member, subtitle=f"marks measured, line the law{beyond}")
        return (Panel(chart, "kinds", 1, len(self.points), height=340),)


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

    low, high = cells.extremes
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
    errors = law_along(fit, cells, rows[0], densities).error
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
        f"rises as density to the power of -{number(fit.parameters['gamma'])} ({SYMBOLS['gamma']})"
    ]
    if ends >= sparsest:
        words.append(
            f"and levels off at {number(fit.parameters['eps_up'])} ({SYMBOLS['eps_up']}) below density {number(ends)}."
        )
    else:
        words.append(
            f"and by the law would level off at {number(fit.parameters['eps_up'])} ({SYMBOLS['eps_up']}) below "
            f"density {number(ends)}: further than anything measured, which ends at {number(sparsest)}."
        )
    return " ".join(words)


def _open_caption(fit: Fit, member: str, ends: float) -> str:
    """Say what the data tell of the curve where they do not tell all of it."""
    parts = (
        ("how fast the error rises", SYMBOLS["gamma"], "gamma", fit.parameters["gamma"], is_identified(fit, "gamma")),
        ("how high it ends", SYMBOLS["eps_up"], "eps_up", fit.parameters["eps_up"], is_identified(fit, "eps_up")),
        ("where it levels off", "p", "p_prime", ends, is_identified(fit, "p_prime", "phi", "psi")),
    )
    identified = [
        f"{words} ({name} {number(value)}{_interval(fit, key)})" for words, name, key, value, sure in parts if sure
    ]
    unknown = [f"{words} ({name})" for words, name, _, _, sure in parts if not sure]
    return (
        f"{member}: the line is one of many that would do, drawn as far as anything was measured. The data do not tell "
        f"{listed(unknown)}{f'; they tell {listed(identified)}' if identified else ''}."
    )


def _interval(fit: Fit, name: str) -> str:
    """Name the interval of a parameter that has one of its own; p of one member follows from p_prime and exponents."""
    interval = None if name == "p_prime" else fit.intervals.get(name)
    return (
        ""
        if interval is None
        else f", {whole_percent(fit.level)} interval {number(interval[0])} to {number(interval[1])}"
    )


def _named_lines(
    figure: Regions, ends_x: tuple[float, float], x: alt.X, y: alt.Y
) -> tuple[list[alt.Chart], list[alt.LayerChart]]:
    """Return lines where the curve bends, and their names."""
    lines = [line_at(y, figure.unpruned)]
    notes = [note_at(f"{SYMBOLS['eps_np']} {number(figure.unpruned)}", 4, (y, figure.unpruned), dy=9)]
    plateau = _shown_plateau(figure)
    if plateau is not None:
        lines.append(line_at(y, plateau))
        notes.append(note_at(f"{SYMBOLS['eps_up']} {number(plateau)}", "width", (y, plateau), "right", dy=-8))
    # Densities have their names above the drawing, each on a line of its own: there they meet neither curves nor words.
    height = -7
    for words, value in (("begins to rise:", figure.begins), ("p", figure.ends)):
        if value is not None and ends_x[0] < value < ends_x[1]:
            lines.append(line_at(x, value))
            notes.append(note_at(f"{words} {number(value)}", (x, value), height, beside(value, ends_x)))
            height -= LINE
    return lines, notes


def _shown_plateau(figure: Regions) -> float | None:
    """Return the high plateau, but not one so far above all else that it would leave the curve no room."""
    highest = max(point.error for point in figure.points)
    return figure.plateau if figure.plateau is not None and figure.plateau < FAR * highest else None


def _region_names(figure: Regions, ends_x: tuple[float, float], x: alt.X, y: alt.Y) -> list[alt.LayerChart]:
    """Name the plateaus beside their lines, if they are wide enough; the power law is named with its slope."""
    if figure.begins is None or figure.ends is None:
        return []
    names = []
    if share(1.0, ends_x) - share(min(figure.begins, 1.0), ends_x) > LEAST_ROOM:
        names.append(note_at("plateau", "width", (y, figure.unpruned), dx=6))
    plateau = _shown_plateau(figure)
    if plateau is not None and share(max(figure.ends, ends_x[0]), ends_x) > LEAST_ROOM:
        names.append(note_at("saturation", 4, (y, plateau), dy=-8))
    return names


def _slope_note(figure: Regions, ends_x: tuple[float, float], x: alt.X, y: alt.Y) -> list[alt.LayerChart]:
    """Name the slope beside the middle of the power law, above the curve or below it."""
    if figure.slope is None or figure.plateau is None or figure.begins is None or figure.ends is None:
        return []
    middle = (max(figure.begins, ends_x[0]) * max(figure.ends, ends_x[0])) ** 0.5
    if figure.begins <= figure.ends or not ends_x[0] < middle < 1:
        return []
    words, at = f"power law, {SYMBOLS['gamma']} {number(figure.slope)}", (y, (figure.unpruned * figure.plateau) ** 0.5)
    if share(middle, ends_x) > SLOPE_TO_THE_RIGHT:
        return [note_at(words, (x, middle), at, "right", dx=-14, dy=18)]
    return [note_at(words, (x, middle), at, dx=14, dy=-14)]
