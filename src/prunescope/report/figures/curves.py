"""Error by density, as one dimension of the family varies, with the law: the first paper's Figs. 1 and 2, left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from prunescope.errors import counted
from prunescope.laws import Fit
from prunescope.laws.data import GroupData
from prunescope.laws.results import percent
from prunescope.report.charts.end_labels import line_ends
from prunescope.report.charts.parts import (
    DENSITY,
    ERROR,
    Panel,
    bars,
    coloured,
    layered,
    shaped,
    source,
    span,
    tips,
    x_log,
    y_log,
)
from prunescope.report.figures.figure import Figure, clearly_better, geometric, law_along
from prunescope.report.groups import ReportGroup
from prunescope.report.slices import Slice, slices

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

    @property
    def rows(self) -> tuple[CurvePoint, ...]:
        """The points."""
        return self.points

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
