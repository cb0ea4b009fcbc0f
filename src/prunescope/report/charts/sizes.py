"""The drawing of error by parameters, with the bound and the network chosen for it, which the page's slider moves."""

from __future__ import annotations

import altair as alt

from prunescope.report.charts.laws import ERROR
from prunescope.report.charts.parts import Panel, coloured, dashed, layered, shaped, source, span, tips, x_log, y_log
from prunescope.report.figures.sizes import PREDICTED, Sizes

# The signal that holds the error bound.
BOUND = "bound"
# The frontier lies under the lines of members, and shows on both sides of them.
BROAD = 9


def draw_sizes(figure: Sizes) -> tuple[Panel, ...]:
    """Draw error by parameters."""
    drawn = [point for point in figure.points if point.what in ("member", "frontier")]
    ends = span(point.parameters for point in drawn), span(point.error for point in drawn)
    title = figure.unit if figure.unit.startswith(("depth", "share")) else "parameters that are left"
    panels = []
    for name in dict.fromkeys(point.panel for point in drawn):
        points = [point for point in drawn if point.panel == name]
        members = list(dict.fromkeys(point.member for point in points if point.what == "member"))
        x, y = x_log("parameters", title, ends[0]), y_log("error", ERROR, ends[1])
        data = source(panel=name, what="member")
        tooltip = tips(("member", "member", None), ("parameters", "parameters", ",.4~g"), ("error", "error", ".4g"))
        at_bound = f"abs(datum.bound - {BOUND}) < 1e-9"
        signal = alt.param(name=BOUND, value=figure.bound)
        chosen = source(panel=name, what="expected").transform_filter(at_bound)
        sure = source(panel=name, what="sure").transform_filter(at_bound)
        limit = alt.Chart(alt.InlineData(values=[{}])).transform_calculate(bound=BOUND)
        layers = [
            source(panel=name, what="frontier")
            .mark_line(style="frontier", strokeWidth=BROAD, clip=True)
            .encode(x=x, y=y),
            *_members(name, data, x, y, members, tooltip),
            limit.mark_rule(style="bound", clip=True).encode(y=y_log("bound", ERROR, ends[1])),
            chosen.mark_point(style="chosen", shape="cross", clip=True).encode(
                x=x, y=y_log("bound", ERROR, ends[1]), tooltip=tooltip
            ),
            sure.mark_point(style="chosen", shape="diamond", filled=False, clip=True).encode(
                x=x, y=y_log("bound", ERROR, ends[1]), tooltip=tooltip
            ),
        ]
        subtitle = ("broad and pale: the smallest at each error", "at the bound: cross expected, diamond sure")
        chart = layered(*layers, title=name, subtitle=subtitle).add_params(signal)
        panels.append(Panel(chart, "ordered", len(members), len(points), height=360))
    return tuple(panels)


def _members(
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
