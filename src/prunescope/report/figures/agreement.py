"""Estimated against actual error, and how much the seed alone moves it: the first paper's Figs. 2 and 5."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from prunescope.errors import counted
from prunescope.laws import Fit
from prunescope.laws.data import GroupData, Numbers
from prunescope.laws.fit import Options, fit_groups
from prunescope.laws.forms import FORMS, REGIONS, SINGLE, to_coordinates
from prunescope.laws.predict import predict_errors
from prunescope.laws.results import percent
from prunescope.report.charts.parts import (
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
from prunescope.report.figures.figure import Figure
from prunescope.report.groups import ReportGroup, cell_words

# Points that are drawn; of more, as many are drawn by chance.
MOST = 6000
JOINT, SINGLES, SEEDS = "one law for all", "a law for each cell", "seeds alone"
# What the law of a lone cell is called.
ALONE = "the law"


@dataclass(frozen=True)
class AgreementPoint:
    """One measured mean beside an estimate of it.

    Attributes
    ----------
    panel
        Where the estimate is from: the joint law, each cell's own, or (``seeds alone``) a single replicate, of which
        `low` and `high` are the extremes.
    """

    panel: str
    region: str
    actual: float
    estimated: float
    low: float | None
    high: float | None
    member: str
    density: float


@dataclass(frozen=True)
class Summary:
    """Mean and standard deviation of the relative deviation over the points of a panel, drawn or not."""

    panel: str
    mu: float
    sigma: float
    points: int


@dataclass(frozen=True, repr=False)
class Agreement(Figure):
    """Estimated against actual error."""

    slug: ClassVar[str] = "estimated-against-actual"
    title: ClassVar[str] = "Estimated against actual error"
    summaries: tuple[Summary, ...]
    points: tuple[AgreementPoint, ...]

    def draw(self) -> tuple[Panel, ...]:
        """Draw estimated against actual error."""
        import altair as alt

        values = ((point.actual, point.estimated, point.low, point.high) for point in self.points)
        ends = span(value for row in values for value in row)
        regions = [name for name in REGIONS if any(point.region == name for point in self.points)]
        panels = []
        for summary in self.summaries:
            points = [point for point in self.points if point.panel == summary.panel]
            data = source(panel=summary.panel)
            seeds = summary.panel == SEEDS
            x = x_log("actual", "error, mean over replicates" if seeds else "actual error", ends)
            title = "error of single networks" if seeds else "estimated error"
            y = y_log("estimated", title, ends)
            tooltip = tips(("member", "cell", None), ("density", "density", ".4g"), ("actual", "actual", ".4g"),
                           ("estimated", "estimated", ".4g"), ("region", "region", None))  # fmt: skip
            diagonal = alt.Chart(alt.InlineData(values=[{"actual": end, "estimated": end} for end in ends]))
            layers = [diagonal.mark_line(style="reference", clip=True).encode(x=x, y=y)]
            if seeds:
                spread = bars(data, ends).mark_rule(style=["single", "spread"], clip=True)
                layers.append(spread.encode(x=x, y=y_log("low", title, ends), y2="high"))
                subtitle = f"standard deviation {percent(summary.sigma)}"
                layers.append(data.mark_point(style="single", size=14).encode(x=x, y=y, tooltip=tooltip))
            else:
                subtitle = f"mu {percent(summary.mu)}, sigma {percent(summary.sigma)}"
                colour, shape = coloured("region", regions, None), shaped("region", regions, None)
                layers.append(
                    data.mark_point(size=24, opacity=0.75).encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip)
                )
            panels.append(Panel(layered(*layers, title=summary.panel, subtitle=subtitle), "kinds", 3, len(points)))
        return tuple(panels)


def agreement(group: ReportGroup) -> Agreement | None:
    """Return the figure of a family; None without a law."""
    if group.fit is None:
        return None
    cells = group.cells
    place = _region(group.fit, cells)
    joint = _estimates(group.fit, cells)
    drawn = np.arange(len(cells))
    panels = 3
    if len(cells) * panels > MOST:
        drawn = np.sort(np.random.default_rng(0).permutation(len(cells))[: MOST // panels])
    name = JOINT if cells.cells > 1 else ALONE
    summaries = [Summary(name, group.fit.mean_deviation, group.fit.std_deviation, group.fit.points)]
    points = _points(group, name, place, joint, drawn)
    if cells.cells > 1:
        estimates, has_estimate = _by_cell(cells)
        if has_estimate.any():
            off = estimates[has_estimate] / cells.error[has_estimate] - 1
            summaries.insert(0, Summary(SINGLES, float(off.mean()), float(off.std()), int(has_estimate.sum())))
            points = _points(group, SINGLES, place, estimates, drawn[has_estimate[drawn]]) + points
    if cells.seed_noise is not None:
        summaries.append(Summary(SEEDS, 0.0, cells.seed_noise, int((cells.repeats > 1).sum())))
        several = drawn[cells.repeats[drawn] > 1]
        points += _points(group, SEEDS, place, cells.error, several, cells.extremes)
    return Agreement(_caption(group, summaries, drawn), tuple(summaries), tuple(points))


def _estimates(fit: Fit, cells: GroupData) -> Numbers:
    without_intervals = replace(fit, draws=fit.draws[:0])
    return predict_errors(without_intervals, cells.unpruned, cells.density, cells.depth, cells.width).error


def _region(fit: Fit, cells: GroupData) -> list[str]:
    form = FORMS[fit.law]
    theta = to_coordinates(form.parameters, np.array([fit.parameters[name] for name in form.parameters]))[None]
    return [REGIONS[place] for place in form.regions(theta, cells.points)[0].tolist()]


def _by_cell(cells: GroupData) -> tuple[Numbers, np.ndarray]:
    """Return what Eq. 1, fitted to each cell by itself, gives; and of which points it gives anything."""
    estimates, has_estimate = np.full(len(cells), np.nan), np.zeros(len(cells), bool)
    rows_by_cell = cells.points_of
    fits = fit_groups(SINGLE, cells.by_cell(), Options(intervals="none", starts=8))
    for rows, fit in zip(rows_by_cell, fits, strict=True):
        if isinstance(fit, Fit):
            estimates[rows] = predict_errors(
                fit, cells.unpruned[rows], cells.density[rows], cells.depth[rows], cells.width[rows]
            ).error
            has_estimate[rows] = True
    return estimates, has_estimate


def _points(
    group: ReportGroup,
    panel: str,
    region: list[str],
    estimated: Numbers,
    rows: np.ndarray,
    ends: tuple[Numbers, Numbers] | None = None,
) -> list[AgreementPoint]:
    cells = group.cells
    names = {cell: cell_words(cells, group.known, cell) for cell in np.unique(cells.cell[rows]).tolist()}
    return [
        AgreementPoint(
            panel,
            region[row],
            float(cells.error[row]),
            float(estimated[row]),
            None if ends is None else float(ends[0][row]),
            None if ends is None else float(ends[1][row]),
            names[cells.cell[row]],
            float(cells.density[row]),
        )
        for row in rows.tolist()
    ]


def _caption(group: ReportGroup, summaries: list[Summary], drawn: np.ndarray) -> str:
    by_panel = {summary.panel: summary for summary in summaries}
    joint = by_panel[JOINT if group.cells.cells > 1 else ALONE]
    law = "one law for all members" if group.cells.cells > 1 else "the law"
    words = [
        f"Points on the diagonal are estimated exactly. Over {counted(joint.points, 'point')} {law} deviates "
        f"by mu {percent(joint.mu)}, sigma {percent(joint.sigma)}"
    ]
    words[0] += f"; a law for each cell by sigma {percent(by_panel[SINGLES].sigma)}." if SINGLES in by_panel else "."
    if SEEDS in by_panel:
        words.append(
            f"Networks that differ only in their seed scatter by {percent(by_panel[SEEDS].sigma)} about their "
            "mean (bars: minimum to maximum over replicates)."
        )
    if len(drawn) < len(group.cells):
        words.append(f"{len(drawn):,} of {len(group.cells):,} points are drawn, chosen at random.")
    return " ".join(words)
