"""Forms of the law side by side, and how many measurements a stable fit needs: the first paper's Figs. 7 and 6."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from prunescope.errors import counted
from prunescope.laws.comparison import FormComparison, compare
from prunescope.laws.data import GroupData, Points, describe_thinning
from prunescope.laws.doubts import null_model
from prunescope.laws.forms import ADAPTED_JOINT, JOINT, Form
from prunescope.laws.results import percent
from prunescope.laws.search import fix_unvaried, search_groups
from prunescope.laws.sensitivity import Sensitivity, sensitivity
from prunescope.report.charts.end_labels import line_ends
from prunescope.report.charts.parts import (
    DENSITY,
    ERROR,
    Panel,
    coloured,
    dashed,
    layered,
    percent_axis,
    shaped,
    source,
    span,
    tips,
    x_log,
    y_log,
)
from prunescope.report.figures.figure import Figure, geometric
from prunescope.report.groups import ReportGroup, Slice, slices

STEPS = 40
# Curves of a panel: forms are told apart by their course, and few curves show it.
SHOWN = 3
OTHER = "adapted from Rosenfeld et al."
# Sigmas that differ by less than this share are alike.
ALIKE = 0.05
TRIALS = {"fitted": "fitted", "cross_validated": "cross-validated", "extrapolated": "extrapolated"}


@dataclass(frozen=True)
class FormPoint:
    """A point of a curve, or how far a form is off.

    Attributes
    ----------
    panel
        ``curves`` or ``deviation``.
    what
        ``measured`` or the form.
    member, density, error
        Of a curve.
    trial, mu, sigma
        Of a deviation, as fractions.
    """

    panel: str
    what: str
    member: str
    density: float | None
    error: float | None
    trial: str
    mu: float | None
    sigma: float | None


@dataclass(frozen=True, repr=False)
class Forms(Figure):
    """Forms side by side."""

    slug: ClassVar[str] = "forms-compared"
    title: ClassVar[str] = "Forms compared"
    shown: str
    names: tuple[str, str]
    points: tuple[FormPoint, ...]
    null: str = ""

    def draw(self) -> tuple[Panel, ...]:
        """Draw forms' curves, and how far each is off."""
        import altair as alt

        curves = [point for point in self.points if point.panel == "curves"]
        names = list(self.names)
        x = x_log("density", DENSITY, span(point.density for point in curves))
        y = y_log("error", ERROR, span(point.error for point in curves))
        fitted = source(panel="curves").transform_filter(alt.FieldOneOfPredicate(field="what", oneOf=names))
        tooltip = tips(("member", "member", None), ("density", "density", ".4g"), ("error", "error", ".4g"))
        layers = [
            fitted.mark_line(clip=True).encode(
                x=x, y=y, color=coloured("what", names, None), strokeDash=dashed("what", names, None), detail="member:N"
            ),
            source(panel="curves", what="measured")
            .mark_point(style="plain", size=26)
            .encode(x=x, y=y, tooltip=tooltip),
        ]
        panels = [Panel(layered(*layers, title="fitted curves", subtitle=self.shown), "kinds", 2, len(curves))]
        order = list(TRIALS.values())
        forms = list(dict.fromkeys(point.what for point in self.points if point.panel == "deviation"))
        off = source(panel="deviation")
        tooltip = tips(("what", "form", None), ("trial", "trial", None), ("mu", "mu", ".2%"), ("sigma", "sigma", ".2%"))
        dots = off.mark_point(size=64).encode(
            x=alt.X("sigma:Q", title="sigma", axis=percent_axis(5)),
            y=alt.Y("what:N", title=None, sort=forms, axis=alt.Axis(labelLimit=190, labelPadding=6)),
            color=coloured("trial", order, None, columns=1),
            shape=shaped("trial", order, None, columns=1),
            tooltip=tooltip,
        )
        panels.append(Panel(layered(dots, title="how far each form is off"), "kinds", 3, len(forms) * 3))
        return tuple(panels)


def forms(group: ReportGroup) -> Forms | None:
    """Return the figure of a family; None without a law."""
    if group.fit is None:
        return None
    cells = group.cells
    panel = slices(cells, group.known)[0]
    comparisons = compare(cells, cells.cells > 1, count=8)
    names = f"this law ({_short(comparisons[0].form)})", OTHER
    points = _curves(cells, panel, names)
    points += [
        FormPoint("deviation", _short(comparison.form), "", None, None, words, off.mu, off.sigma)
        for comparison in comparisons
        for name, words in TRIALS.items()
        if (off := getattr(comparison, name)) is not None
    ]
    tried = describe_thinning(comparisons[0].fitted.points, len(cells))
    caption = " ".join(filter(None, (_caption(comparisons, cells.cells > 1), tried)))
    null = null_model(cells, cells.cells > 1, comparisons)
    return Forms(caption, panel.title, names, tuple(points), "" if null is None else str(null))


def _curves(cells: GroupData, panel: Slice, names: tuple[str, str]) -> list[FormPoint]:
    places = sorted(
        {round(float(value)) for value in np.linspace(0, len(panel.cells) - 1, min(SHOWN, len(panel.cells)))}
    )
    fits = [
        (words, law, search_groups(law, [cells.thinned()], fix_unvaried(law, cells, None), 8, 0).theta)
        for words, law in zip(names, (JOINT, ADAPTED_JOINT), strict=True)
    ]
    points = []
    for place in places:
        member, rows = panel.labels[place], cells.points_of[panel.cells[place]]
        for density, error in zip(cells.density[rows].tolist(), cells.error[rows].tolist(), strict=True):
            points.append(FormPoint("curves", "measured", member, density, error, "", None, None))
        densities = geometric(float(cells.density[rows].min()), 1.0, STEPS)
        for words, law, theta in fits:
            errors = _errors(law, theta, cells, int(rows[0]), densities)
            points += (
                FormPoint("curves", words, member, density, error, "", None, None)
                for density, error in zip(densities.tolist(), errors.tolist(), strict=True)
            )
    return points


def _errors(law: Form, theta: np.ndarray, cells: GroupData, row: int, densities: np.ndarray) -> np.ndarray:
    same = [
        np.full(len(densities), float(np.log(getattr(cells, name)[row]))) for name in ("unpruned", "depth", "width")
    ]
    points = Points(np.zeros(len(densities)), same[0], np.log(densities), same[1], same[2])
    return np.asarray(np.exp(law.evaluate(theta, points)[0][0]))


def _short(form: str) -> str:
    """Return a form's name as it fits on an axis."""
    return form.split(" 2020", maxsplit=1)[0]


def verdict(mine: float, theirs: float) -> str:
    """Say which of two sigmas is the lower, where that is worth telling."""
    if abs(mine - theirs) <= ALIKE * max(mine, theirs):
        return "both follow these data about as well"
    return f"{'the first' if mine < theirs else 'the second'} follows these data better"


def _caption(comparisons: list[FormComparison], several: bool) -> str:
    ours, rosenfeld = comparisons[0], comparisons[-1]
    judged = "cross_validated" if ours.cross_validated and rosenfeld.cross_validated else "fitted"
    mine, theirs = getattr(ours, judged), getattr(rosenfeld, judged)
    names = {comparison.form: _short(comparison.form) for comparison in comparisons}
    unseen = f"{'members' if several else 'replicates'} that each fit did not see"
    words = (
        f"Judged on {unseen if judged == 'cross_validated' else 'the points fitted to'}, "
        f"{names[ours.form]} is off by sigma {percent(mine.sigma)}, the form {names[rosenfeld.form]} by "
        f"{percent(theirs.sigma)}: {verdict(mine.sigma, theirs.sigma)}."
    )
    beyond = ours.extrapolated
    if beyond is not None:
        subset = "the smaller members" if ours.law.startswith("joint") else "the higher densities"
        words += (
            f" Fitted to {subset} alone, {names[ours.form]} is off by mu {percent(beyond.mu)}, sigma "
            f"{percent(beyond.sigma)} on the last third."
        )
    return words


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
    return Stability(_stability_caption(result), tuple(points))


def _stability_caption(result: Sensitivity) -> str:
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
