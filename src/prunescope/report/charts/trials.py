"""Drawings of trials: forms side by side, and how many measurements a stable fit needs."""

from __future__ import annotations

import altair as alt

from prunescope.report.charts.laws import DENSITY, ERROR
from prunescope.report.charts.parts import (
    Panel,
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
from prunescope.report.figures.forms import TRIALS, Forms
from prunescope.report.figures.stability import Stability


def draw_forms(figure: Forms) -> tuple[Panel, ...]:
    """Draw forms' curves, and how far each is off."""
    curves = [point for point in figure.points if point.panel == "curves"]
    names = list(figure.names)
    x = x_log("density", DENSITY, span(point.density for point in curves))
    y = y_log("error", ERROR, span(point.error for point in curves))
    fitted = source(panel="curves").transform_filter(alt.FieldOneOfPredicate(field="what", oneOf=names))
    tooltip = tips(("member", "member", None), ("density", "density", ".4g"), ("error", "error", ".4g"))
    layers = [
        fitted.mark_line(clip=True).encode(
            x=x, y=y, color=coloured("what", names, None), strokeDash=dashed("what", names, None), detail="member:N"
        ),
        source(panel="curves", what="measured").mark_point(style="plain", size=26).encode(x=x, y=y, tooltip=tooltip),
    ]
    panels = [Panel(layered(*layers, title="fitted curves", subtitle=figure.shown), "kinds", 2, len(curves))]
    order = list(TRIALS.values())
    forms = list(dict.fromkeys(point.what for point in figure.points if point.panel == "deviation"))
    off = source(panel="deviation")
    tooltip = tips(("what", "form", None), ("trial", "trial", None), ("mu", "mu", ".2%"), ("sigma", "sigma", ".2%"))
    dots = off.mark_point(size=64).encode(
        x=alt.X("sigma:Q", title="sigma", axis=alt.Axis(format="~%", tickCount=5)),
        y=alt.Y("what:N", title=None, sort=forms, axis=alt.Axis(labelLimit=190, labelPadding=6)),
        color=coloured("trial", order, None, columns=1),
        shape=shaped("trial", order, None, columns=1),
        tooltip=tooltip,
    )
    panels.append(Panel(layered(dots, title="how far each form is off"), "kinds", 3, len(forms) * 3))
    return tuple(panels)


def draw_stability(figure: Stability) -> tuple[Panel, ...]:
    """Draw mu and sigma by how much was drawn."""
    ends_y = min(point.low for point in figure.points), max(point.high for point in figure.points)
    low, high = max(ends_y[0], -0.5), min(ends_y[1], 0.8)
    panels = []
    for name in dict.fromkeys(point.panel for point in figure.points):
        points = [point for point in figure.points if point.panel == name]
        x = x_log("drawn", "how many", span(point.drawn for point in points))
        scale = alt.Scale(domain=[low, high], nice=True, clamp=True)
        axis = alt.Axis(format="~%", tickCount=6)
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
        panels.append(Panel(layered(*layers, title=name), "kinds", 2, len(points), height=260))
    return tuple(panels)
