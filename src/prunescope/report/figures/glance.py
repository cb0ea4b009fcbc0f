"""Error by density of many families, a small drawing each, on the same axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import ClassVar

import numpy as np

from prunescope.errors import counted
from prunescope.laws.data import GroupData
from prunescope.laws.results import percent
from prunescope.report.charts.parts import Panel, layered, source, span, tips, x_log, y_log
from prunescope.report.figures.figure import Figure, geometric, law_along
from prunescope.report.groups import ReportGroup, cell_words

# Families that are drawn, curves of each, and densities at which its law is drawn.
MOST, CURVES, STEPS = 24, 3, 24
HEIGHT = 150
# Letters of a line of a title, and lines.
LETTERS, LINES = 23, 4


@dataclass(frozen=True)
class GlancePoint:
    """One point of a curve.

    Attributes
    ----------
    member
        Which network of the family.
    what
        ``measured``, the mean over replicates; or ``law``.
    sigma
        How far the family's law is off; None without a law.
    """

    family: str
    member: str
    what: str
    density: float
    error: float
    sigma: float | None


@dataclass(frozen=True, repr=False)
class Glance(Figure):
    """Families at a glance."""

    slug: ClassVar[str] = "families-at-a-glance"
    title: ClassVar[str] = "Families at a glance"
    points: tuple[GlancePoint, ...]

    def draw(self) -> tuple[Panel, ...]:
        """Draw a small panel for each family, all with the same axes."""
        x = x_log("density", "", span(point.density for point in self.points), most=4)
        y = y_log("error", "", span(point.error for point in self.points), most=5)
        tooltip = tips(("member", "network", None), ("density", "density", ".4g"), ("error", "error", ".4g"))
        families = dict.fromkeys((point.family, point.sigma) for point in self.points)
        names = {family: _lines(family) for family, _ in families}
        most = max(map(len, names.values()))
        panels = []
        for family, sigma in families:
            law = source(family=family, what="law").mark_line(style=["law", "single"], clip=True)
            measured = source(family=family, what="measured").mark_point(style="single", size=16)
            layers = [law.encode(x=x, y=y, detail="member:N"), measured.encode(x=x, y=y, tooltip=tooltip)]
            off = "no law" if sigma is None else f"sigma {percent(sigma)}"
            marks = sum(point.family == family for point in self.points)
            # Titles of as many lines leave drawings beside each other the same height.
            lines = [" "] * (most - len(names[family])) + names[family]
            panels.append(Panel(layered(*layers, title=lines, subtitle=off, style="small"), "kinds", 1, marks, HEIGHT))
        return tuple(panels)


def glance(groups: Sequence[ReportGroup]) -> Glance:
    """Return the figure of many families: from the one whose law is least off to the one whose law is most off."""
    order = sorted(groups, key=lambda group: np.inf if group.fit is None else group.fit.std_deviation)
    places = sorted({round(float(place)) for place in np.linspace(0, len(order) - 1, min(MOST, len(order)))})
    points = [point for place in places for point in _points(order[place])]
    return Glance(_caption(groups, len(places)), tuple(points))


def _points(group: ReportGroup) -> list[GlancePoint]:
    cells, fit = group.cells, group.fit
    name, sigma = group.short or group.name, None if fit is None else fit.std_deviation
    points: list[GlancePoint] = []
    for cell in _shown(cells):
        rows, member = cells.points_of[cell], cell_words(cells, group.known, cell)
        measured = zip(cells.density[rows].tolist(), cells.error[rows].tolist(), strict=True)
        points += (GlancePoint(name, member, "measured", *point, sigma) for point in measured)
        if fit is None:
            continue
        densities = geometric(float(cells.density[rows].min()), 1.0, STEPS)
        law = zip(densities.tolist(), law_along(fit, cells, rows[0], densities).error.tolist(), strict=True)
        points += (GlancePoint(name, member, "law", *point, sigma) for point in law)
    return points


def _shown(cells: GroupData) -> list[int]:
    """Return the cells with the lowest, the middle and the highest unpruned error."""
    order = np.argsort([cells.unpruned[rows[0]] for rows in cells.points_of], kind="stable")
    return sorted({int(order[round(float(place))]) for place in np.linspace(0, len(order) - 1, CURVES)})


def _lines(family: str) -> list[str]:
    """Return a family's name in lines that a small panel holds."""
    return wrap(family, LETTERS, max_lines=LINES, placeholder=" …", break_on_hyphens=False)


def _caption(groups: Sequence[ReportGroup], shown: int) -> str:
    families, several = len(groups), any(group.cells.cells > CURVES for group in groups)
    many = (
        f"{shown} of {families} families, evenly taken" if shown < families else counted(families, "family", "families")
    )
    words = [
        f"{many} in the order of how far the law is off: error (vertical) by density on the same axes. Marks are means "
        "over replicates, lines are the law of each family."
    ]
    if several:
        words.append(
            "Of more networks in a family, those with the lowest, the middle and the highest unpruned error are drawn."
        )
    sigmas = [group.fit.std_deviation for group in groups if group.fit is not None]
    if sigmas:
        words.append(
            f"Over {counted(len(sigmas), 'law')} sigma is {percent(float(np.median(sigmas)))} in the median, "
            f"{percent(min(sigmas))} to {percent(max(sigmas))}."
        )
    if len(sigmas) < families:
        words.append(f"{counted(families - len(sigmas), 'family has', 'families have')} no law.")
    return " ".join(words)
