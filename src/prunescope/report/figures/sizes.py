"""Error by parameters, predicted and measured, with the frontier of smallest networks: the first paper's Fig. 8."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from prunescope.choose.answers import Answer, Bounded
from prunescope.choose.counts import amount
from prunescope.choose.description import Pick
from prunescope.choose.family import Family
from prunescope.errors import whole_percent
from prunescope.report.charts.end_labels import line_ends
from prunescope.report.charts.parts import (
    ERROR,
    Panel,
    bars,
    coloured,
    dashed,
    layered,
    shaped,
    source,
    span,
    tips,
    x_log,
    y_log,
)
from prunescope.report.figures.figure import Figure
from prunescope.report.groups import MOST

if TYPE_CHECKING:
    import altair as alt


STEPS = 40
# Densities at which the largest member is tried, and how many times larger than the choice it is too large.
FINE, LARGER = 160, 1.05
PREDICTED, MEASURED = "predicted", "measured"

# The signal that holds the error bound.
BOUND = "bound"


@dataclass(frozen=True)
class SizePoint:
    """One point of the figure.

    Attributes
    ----------
    panel
        ``predicted`` or ``measured``.
    what
        ``member``: one network pruned; ``frontier``: the smallest network at an error; ``expected`` and ``sure``: the
        choices at one bound; ``largest``: the largest member, pruned as far as that bound allows.
    bound
        For choices, the bound; elsewhere None.
    """

    panel: str
    what: str
    member: str
    parameters: float
    error: float
    low: float | None
    high: float | None
    bound: float | None


@dataclass(frozen=True, repr=False)
class Sizes(Figure):
    """Error by parameters.

    Attributes
    ----------
    bound
        The error that is asked for.
    unit
        What parameters are counted in.
    """

    slug: ClassVar[str] = "error-by-parameters"
    title: ClassVar[str] = "Error by parameters, and the smallest network"
    bound: float
    unit: str
    points: tuple[SizePoint, ...]

    def draw(self) -> tuple[Panel, ...]:
        """Draw error by parameters."""
        import altair as alt

        drawn = [point for point in self.points if point.what in ("member", "frontier")]
        ends = span(point.parameters for point in drawn), span(point.error for point in drawn)
        title = self.unit if self.unit.startswith(("depth", "share")) else f"{self.unit.split(',')[0]} that are left"
        panels = []
        for name in dict.fromkeys(point.panel for point in drawn):
            points = [point for point in drawn if point.panel == name]
            members = list(dict.fromkeys(point.member for point in points if point.what == "member"))
            x, y = x_log("parameters", title, ends[0]), y_log("error", ERROR, ends[1])
            data = source(panel=name, what="member")
            tooltip = tips(("member", "member", None), ("parameters", "parameters", ",.4~g"), ("error", "error", ".4g"))
            signal = alt.param(name=BOUND, value=self.bound)
            limit = alt.Chart(alt.InlineData(values=[{}])).transform_calculate(bound=BOUND)
            layers = [
                *_member_lines(name, data, x, y, members, tooltip),
                source(panel=name, what="frontier").mark_line(style="frontier", clip=True).encode(x=x, y=y),
                limit.mark_rule(style="bound", clip=True).encode(y=y_log("bound", ERROR, ends[1])),
                *_choices(name, "expected", x, y, ends[1], tooltip),
                *_choices(name, "sure", x, y, ends[1], tooltip),
                *([_largest(x, y, tooltip)] if name == PREDICTED else []),
            ]
            chart = layered(*layers, title=name).add_params(signal)
            lines = ((point.member, point.parameters, point.error) for point in points if point.what == "member")
            panels.append(Panel(chart, "ordered", len(members), len(points), ends=line_ends(lines, members)))
        return tuple(panels)


def sizes(family: Family, answer: Answer, bounds: Sequence[Bounded]) -> Sizes:
    """Return the figure of a family, with the choice at each of many bounds to pick from."""
    members = _members(family, answer.choice.depth)
    points = [*_predicted(family, members), *_measured(family, members)]
    points += (
        SizePoint(PREDICTED, "frontier", step.name, step.parameters, step.error, None, None, None)
        for step in answer.frontier
    )
    points += _lowest(family)
    for choice in (*bounds, Bounded(answer.max_error, answer.choice, answer.robust, "")):
        for what, pick in (("expected", choice.choice), ("sure", choice.robust)):
            if pick is not None:
                points += (_chosen(panel, what, pick, choice.max_error) for panel in (PREDICTED, MEASURED))
    points += _too_large(family, [*bounds, Bounded(answer.max_error, answer.choice, answer.robust, "")])
    distinct: dict[SizePoint, None] = dict.fromkeys(points)
    return Sizes(_caption(answer), answer.max_error, answer.unit, tuple(distinct))


def _too_large(family: Family, bounds: Sequence[Bounded]) -> Iterator[SizePoint]:
    """Yield what the largest member needs at each bound where another is smaller: the start that was too large."""
    largest = int(np.argmax(family.sizes.prunable + family.sizes.rest))
    densities = np.linspace(0.0, float(np.log(family.cells.density.min())), FINE)
    errors = np.array([family.likeliest.log_errors(np.full(len(family), at))[0][largest] for at in densities])
    needed = np.array([family.sizes.parameters(np.full(len(family), at))[largest] for at in densities])
    name = family.name(largest)
    for bound in bounds:
        meets = errors <= np.log(bound.max_error)
        if bound.choice is None or bound.choice.name == name or not meets.any():
            continue
        place = int(np.where(meets, needed, np.inf).argmin())
        if needed[place] > LARGER * bound.choice.parameters:
            error = float(np.exp(errors[place]))
            yield SizePoint(PREDICTED, "largest", name, float(needed[place]), error, None, None, bound.max_error)


def _chosen(panel: str, what: str, pick: Pick, bound: float) -> SizePoint:
    return SizePoint(panel, what, pick.name, pick.parameters, pick.error, pick.low, pick.high, bound)


def _members(family: Family, chosen: int | None) -> list[tuple[int, str]]:
    """Return the members to draw, by size, with their labels: where there are too many, those of the chosen depth."""
    order = np.argsort(family.sizes.prunable + family.sizes.rest, kind="stable").tolist()
    depths = np.unique(family.depth)
    if len(order) > MOST and len(depths) > 1 and chosen is not None:
        order = [member for member in order if family.depth[member] == chosen]
    places = sorted({round(float(place)) for place in np.linspace(0, len(order) - 1, min(len(order), MOST))})
    return [(order[place], family.name(order[place])) for place in places]


def _predicted(family: Family, members: list[tuple[int, str]]) -> list[SizePoint]:
    points: list[SizePoint] = []
    lowest = float(np.log(family.cells.density.min()))
    for log_density in np.linspace(0.0, lowest, STEPS):
        at = np.full(len(family), log_density)
        errors, parameters = family.likeliest.log_errors(at)[0], family.sizes.parameters(at)
        points += (
            SizePoint(
                PREDICTED, "member", name, float(parameters[member]), float(np.exp(errors[member])), None, None, None
            )
            for member, name in members
        )
    return points


def _own(family: Family, member: int) -> np.ndarray:
    """Return the measured points of a member."""
    cells = family.cells
    of_member = (cells.depth == family.depth[member]) & (cells.width == family.width[member])
    if family.examples is not None:
        of_member &= cells.examples == family.examples
    return np.flatnonzero(of_member)


def _measured(family: Family, members: list[tuple[int, str]]) -> list[SizePoint]:
    return [
        SizePoint(MEASURED, "member", name, *point, None, None, None)
        for member, name in members
        for point in _points(family, member)
    ]


def _points(family: Family, member: int) -> list[tuple[float, float]]:
    rows = _own(family, member)
    count = family.counts[member]
    parameters = count.rest + count.prunable * family.cells.density[rows]
    return list(zip(parameters.tolist(), family.cells.error[rows].tolist(), strict=True))


def _lowest(family: Family) -> list[SizePoint]:
    """Return the measured networks that no smaller one of any member matches."""
    measured = sorted(
        (parameters, error, member) for member in range(len(family)) for parameters, error in _points(family, member)
    )
    points, least = [], np.inf
    for parameters, error, member in measured:
        if error < least:
            points.append(SizePoint(MEASURED, "frontier", family.name(member), parameters, error, None, None, None))
            least = error
    return points


def _caption(answer: Answer) -> str:
    words = [
        "Each line is one member, pruned further to the left; the dotted line is the smallest network at each error. "
        "Left: predicted by the law and the deviations of members from it. Right: means over replicates. Dashed: the "
        "bound; cross: the smallest network by its expected error; diamond: the smallest that meets the bound with "
        f"{whole_percent(answer.confidence)} confidence. Their bars: where a newly trained network errs, in as many "
        "cases."
    ]
    insight = answer.insight
    if insight is not None and insight.times > 1.05:
        words.append(
            f"Pruning a member only as far as it matches its unpruned error is not optimal: {insight.name} then keeps "
            f"{amount(insight.matched_parameters)}, {insight.smallest.name} reaches the same error with "
            f"{amount(insight.smallest.parameters)}."
        )
    largest = [step.largest_times for step in answer.frontier if step.largest_times is not None]
    if largest and max(largest) > 1.1:
        words.append(
            "Square: the largest member at the bound, a start too large; it costs up to "
            f"{max(largest):.3g} times as much."
        )
    return " ".join(words)


def _choices(
    panel: str, what: str, x: alt.X, y: alt.Y, ends: tuple[float, float], tooltip: list[alt.Tooltip]
) -> list[alt.Chart]:
    """Draw the choices of a kind at the bound: at their size and expected error, with its interval."""
    there = source(panel=panel, what=what).transform_filter(f"abs(datum.bound - {BOUND}) < 1e-9")
    shape, filled = ("cross", True) if what == "expected" else ("diamond", False)
    return [
        bars(there, ends)
        .mark_rule(style="chosen-spread", clip=True)
        .encode(x=x, y=y_log("low", ERROR, ends), y2="high"),
        there.mark_point(style="chosen", shape=shape, filled=filled, clip=True).encode(x=x, y=y, tooltip=tooltip),
    ]


def _largest(x: alt.X, y: alt.Y, tooltip: list[alt.Tooltip]) -> alt.Chart:
    """Draw what the largest member needs at the bound."""
    there = source(panel=PREDICTED, what="largest").transform_filter(f"abs(datum.bound - {BOUND}) < 1e-9")
    marks: alt.Chart = there.mark_point(style="too-large", shape="square", filled=False, clip=True).encode(
        x=x, y=y, tooltip=tooltip
    )
    return marks


def _member_lines(
    name: str, data: alt.Chart, x: alt.X, y: alt.Y, members: list[str], tooltip: list[alt.Tooltip]
) -> list[alt.Chart]:
    """Draw members: told apart by dashes where they are lines alone, by shapes where they were measured."""
    colour = coloured("member", members, None)
    if name == PREDICTED:
        return [
            data.mark_line(clip=True).encode(
                x=x, y=y, color=colour, strokeDash=dashed("member", members, None), tooltip=tooltip
            )
        ]
    points = data.mark_point(size=26).encode(
        x=x, y=y, color=colour, shape=shaped("member", members, None), tooltip=tooltip
    )
    return [data.mark_line(strokeWidth=1, opacity=0.6, clip=True).encode(x=x, y=y, color=colour), points]
