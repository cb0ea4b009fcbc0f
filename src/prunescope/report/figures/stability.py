"""How many measurements a stable fit needs: the first paper's Fig. 6."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from prunescope.errors import counted
from prunescope.laws.models import JOINT, unvaried
from prunescope.laws.results import percent
from prunescope.laws.sensitivity import Sensitivity, sensitivity
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


@dataclass(frozen=True)
class Stability(Figure):
    """mu and sigma over all points, by how many measurements were fitted to."""

    slug: ClassVar[str] = "how-many-measurements"
    title: ClassVar[str] = "How many measurements a stable fit needs"
    points: tuple[StabilityPoint, ...]

    @property
    def rows(self) -> tuple[StabilityPoint, ...]:
        """The points."""
        return self.points


def stability(group: ReportGroup, repeats: int) -> Stability | None:
    """Return the figure of a family; None without a law, or where there is too little to draw from."""
    if group.fit is None or group.cells.cells < 4:
        return None
    cells = group.cells
    result = sensitivity(JOINT, cells, unvaried(JOINT, cells, None), repeats=repeats, count=STARTS)
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
        f"The law fitted to part of the measurements, judged on all; lines are means over {result.repeats} draws, "
        "bands one standard deviation.",
        *([result.drawn_from] if result.drawn_from else []),
    ]
    for number, what in ((1, "network"), (2, "cell")):
        if number not in result.experiments:
            continue
        enough = result.enough(number, goal)
        much = f"{counted(enough, what)} would have been" if enough is not None else f"no number of {what}s tried is"
        words.append(f"{much[0].upper()}{much[1:]} enough to stay within one point of sigma {percent(result.sigma)}.")
    return " ".join(words)
