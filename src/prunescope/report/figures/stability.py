"""How many measurements a stable fit needs: the first paper's Fig. 6."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from prunescope.errors import counted
from prunescope.laws.forms import JOINT
from prunescope.laws.results import percent
from prunescope.laws.search import fix_unvaried
from prunescope.laws.sensitivity import Sensitivity, sensitivity
from prunescope.report.charts.end_labels import line_ends
from prunescope.report.charts.parts import (
    Panel,
    coloured,
    layered,
    percent_axis,
    shaped,
    source,
    span,
    tips,
    x_log,
)
from prunescope.report.figures.figure import Figure
from prunescope.report.groups import ReportGroup

STARTS = 4
# Sigma may exceed that of all points by as much and still count as good.
ALLOWED = 0.01
PANELS = {1: "networks drawn at random", 2: "whole cells drawn at random"}


@dataclass(frozen=True)
class StabilityPoint:
    """Fits to draws of one size: mean over the draws of mu or sigma, and one standard deviation about it."""

    panel: str
    figure: str
    drawn: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True, repr=False)
class Stability(Figure):
    """mu and sigma over all points, by how many measurements were fitted to."""

    slug: ClassVar[str] = "how-many-measurements"
    title: ClassVar[str] = "How many measurements a stable fit needs"
    points: tuple[StabilityPoint, ...]

    @property
    def rows(self) -> tuple[StabilityPoint, ...]:
        """The points."""
        return self.points

    def draw(self) -> tuple[Panel, ...]:
        """Draw mu and sigma by how much was drawn."""
        import altair as alt

        ends_y = min(point.low for point in self.points), max(point.high for point in self.points)
        low, high = max(ends_y[0], -0.5), min(ends_y[1], 0.8)
        panels = []
        for name in dict.fromkeys(point.panel for point in self.points):
            points = [point for point in self.points if point.panel == name]
            x = x_log("drawn", "how many", span(point.drawn for point in points))
            scale = alt.Scale(domain=[low, high], nice=False, clamp=True)
            axis = percent_axis()
            y = alt.Y("mean:Q", title="over all points", scale=scale, axis=axis)
            kinds = ["mu", "sigma"]
            colour = coloured("figure", kinds, None)
            data = source(panel=name)
            tooltip = tips(("figure", "figure", None), ("drawn", "drawn", ",d"), ("mean", "mean", ".2%"),
                        ("low", "from", ".2%"), ("high", "to", ".2%"))  # fmt: skip
            layers = [
                data.mark_area(style="band", clip=True).encode(
                    x=x, y=alt.Y("low:Q", scale=scale, axis=axis), y2="high", color=colour
                ),
                data.mark_line(clip=True).encode(x=x, y=y, color=colour),
                data.mark_point().encode(x=x, y=y, color=colour, shape=shaped("figure", kinds, None), tooltip=tooltip),
            ]
            lines = line_ends(((point.figure, point.drawn, point.mean) for point in points), kinds)
            panels.append(Panel(layered(*layers, title=name), "kinds", 2, len(points), height=260, ends=lines))
        return tuple(panels)


def stability(group: ReportGroup, repeats: int) -> Stability | None:
    """Return the figure of a family; None without a law, or where there is too little to draw from."""
    if group.fit is None or group.cells.cells < 4:
        return None
    cells = group.cells
    result = sensitivity(JOINT, cells, fix_unvaried(JOINT, cells, None), repeats=repeats, count=STARTS)
    points = [
        StabilityPoint(PANELS[number], name, row.drawn, mean, mean - spread, mean + spread)
        for number, rows in result.experiments.items()
        for row in rows
        for name, mean, spread in (("mu", row.mean_mu, row.std_mu), ("sigma", row.mean_sigma, row.std_sigma))
    ]
    if not points:
        return None
    return Stability(_caption(result), tuple(points))


def _caption(result: Sensitivity) -> str:
    goal = result.sigma + ALLOWED
    words = [
        f"The law is fitted to some measurements and judged on all; lines are means over {result.repeats} draws, "
        "bands ± one standard deviation.",
        *([result.drawn_from] if result.drawn_from else []),
    ]
    for number, what in ((1, "network"), (2, "cell")):
        if number not in result.experiments:
            continue
        enough = result.enough(number, goal)
        much = f"{counted(enough, what)} would have been" if enough is not None else f"no tried number of {what}s is"
        words.append(f"{much[0].upper()}{much[1:]} enough to come within one point of sigma {percent(result.sigma)}.")
    return " ".join(words)
