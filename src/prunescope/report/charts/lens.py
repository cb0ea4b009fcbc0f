"""Drawings of what the lens sees: noise, losses, EL2N, treatments, single examples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import altair as alt

from prunescope.report.charts.laws import DENSITY, ERROR
from prunescope.report.charts.parts import (
    Panel,
    coloured,
    layered,
    shaped,
    source,
    span,
    tips,
    x_log,
    y_log,
)
from prunescope.report.figures.el2n import VERDICTS, El2nGroups
from prunescope.report.figures.extremes import NOISY, ORIGINAL, ExtremeExamples
from prunescope.report.figures.losses import PARTS, Losses
from prunescope.report.figures.noise import DENSE, PRUNED, Noise
from prunescope.report.figures.treatments import DENSE as DENSE_ACROSS
from prunescope.report.figures.treatments import PRUNING, Treatments

# Panels that a figure shows at most.
MOST = 6


def draw_noise(figure: Noise) -> tuple[Panel, ...]:
    """Draw test error by density and label noise."""
    x = x_log("density", DENSITY, span(point.density for point in figure.points))
    y, low = _linear("error", ERROR), _linear("low", ERROR)
    colour, shape = coloured("noise", figure.levels, "label noise"), shaped("noise", figure.levels, "label noise")
    pruned, dense = source(what=PRUNED), source(what=DENSE)
    tooltip = tips(("noise", "label noise", None), ("density", "density", ".4g"), ("error", "error", ".4g"),
                   ("low", "from", ".4g"), ("high", "to", ".4g"), ("verdict", "than dense", None))  # fmt: skip
    best = pruned.transform_filter(alt.FieldEqualPredicate(field="optimal", equal=True))
    layers = [
        dense.mark_area(style="band", clip=True).encode(x=x, y=low, y2="high", color=colour),
        dense.mark_line(strokeDash=[5, 4], clip=True).encode(x=x, y=y, color=colour),
        pruned.mark_line(strokeWidth=1, opacity=0.6, clip=True).encode(x=x, y=y, color=colour),
        pruned.mark_rule(style="spread", clip=True).encode(x=x, y=low, y2="high", color=colour),
        best.mark_point(size=190, filled=False, strokeWidth=1.8, shape="circle").encode(x=x, y=y, color=colour),
        pruned.mark_point().encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip),
    ]
    return (Panel(layered(*layers, title=""), "ordered", len(figure.levels), len(figure.points), height=380),)


def draw_losses(figure: Losses) -> tuple[Panel, ...]:
    """Draw training loss by density."""
    ends = span(value for point in figure.points for value in (point.loss, point.high))
    kinds = [words for words in PARTS.values() if any(point.part == words for point in figure.points)]
    panels = []
    for name in _named(figure.points):
        points = [point for point in figure.points if point.panel == name]
        x, y = (
            x_log("density", DENSITY, span(point.density for point in points)),
            y_log("loss", "training loss, nats", ends),
        )
        there = {point.part for point in points}
        colour, shape = coloured("part", kinds, None, there=there), shaped("part", kinds, None, there=there)
        data = source(panel=name)
        tooltip = tips(("part", "examples", None), ("density", "density", ".4g"), ("loss", "loss", ".4g"))
        layers = [
            data.mark_area(style="band", clip=True).encode(
                x=x, y=y_log("low", "training loss, nats", ends), y2="high", color=colour
            ),
            data.mark_line(strokeWidth=1.2, clip=True).encode(x=x, y=y, color=colour),
            data.mark_point().encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip),
        ]
        panels.append(Panel(layered(*layers, title=name), "kinds", len(kinds), len(points)))
    return tuple(panels)


def draw_groups(figure: El2nGroups) -> tuple[Panel, ...]:
    """Draw loss differences by EL2N."""
    kinds = [words for words in VERDICTS.values() if any(point.verdict == words for point in figure.points)]
    panels = []
    for name in _named(figure.points):
        points = [point for point in figure.points if point.panel == name]
        title = "sparse minus dense, nats"
        scale = alt.Scale(domain=[0, 100], nice=False)
        x = alt.X("percentile_low:Q", title="percentile of EL2N", scale=scale, axis=alt.Axis(tickCount=5))
        colour = coloured("verdict", kinds, "training loss", there={point.verdict for point in points})
        data = source(panel=name)
        middle = data.transform_calculate(middle="(datum.percentile_low + datum.percentile_high) / 2")
        tooltip = tips(("percentile_low", "percentile", ".3g"), ("percentile_high", "to", ".3g"),
                       ("el2n", "EL2N", ".3g"), ("difference", "difference", ".4g"),
                       ("verdict", "verdict", None))  # fmt: skip
        layers = [
            data.mark_bar(opacity=0.85, stroke=None).encode(
                x=x,
                x2="percentile_high",
                y=alt.Y("difference:Q", title=title),
                y2=alt.datum(0),
                color=colour,
                tooltip=tooltip,
            ),
            middle.mark_rule(style="plain").encode(
                x=alt.X("middle:Q", scale=scale, title="percentile of EL2N"), y=alt.Y("low:Q", title=title), y2="high"
            ),
        ]
        panels.append(Panel(layered(*layers, title=name), "kinds", len(kinds), len(points), height=260))
    return tuple(panels)


def draw_treatments(figure: Treatments) -> tuple[Panel, ...]:
    """Draw treatments side by side."""
    others = dict.fromkeys(point.treatment for point in figure.points if point.treatment not in (PRUNING, DENSE_ACROSS))
    kinds = [PRUNING, *others]
    panels = []
    for name in _named(figure.points):
        points = [point for point in figure.points if point.panel == name]
        y, low = _linear("error", ERROR), _linear("low", ERROR)
        ends = span(point.at for point in points)
        if figure.by == "rung":
            x = alt.X("at:Q", title="rung", axis=alt.Axis(tickCount=6, tickMinStep=1), scale=alt.Scale(nice=False))
        else:
            x = x_log("at", "parameters that are left" if figure.by == "parameters" else DENSITY, ends)
        there = {point.treatment for point in points}
        colour, shape = coloured("treatment", kinds, None, there=there), shaped("treatment", kinds, None, there=there)
        data = source(panel=name).transform_filter(alt.FieldOneOfPredicate(field="treatment", oneOf=kinds))
        dense = source(panel=name, treatment=DENSE_ACROSS)
        tooltip = tips(("treatment", "treatment", None), ("rung", "rung", ",d"), ("at", figure.by, ".4g"),
                       ("error", "error", ".4g"), ("low", "from", ".4g"), ("high", "to", ".4g"))  # fmt: skip
        layers = [
            dense.mark_line(style="reference", clip=True).encode(x=x, y=y),
            data.mark_area(style="band", clip=True).encode(x=x, y=low, y2="high", color=colour),
            data.mark_line(strokeWidth=1.2, clip=True).encode(x=x, y=y, color=colour),
            data.mark_point().encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip),
        ]
        panels.append(Panel(layered(*layers, title=name), "kinds", len(kinds), len(points)))
    return tuple(panels)


def draw_extremes(figure: ExtremeExamples) -> tuple[Panel, ...]:
    """Draw single examples."""
    kinds = [kind for kind in (ORIGINAL, NOISY) if any(point.labelled == kind for point in figure.points)]
    panels = []
    for name in _named(figure.points):
        points = [point for point in figure.points if point.panel == name]
        order = list(dict.fromkeys(point.example for point in points))
        y = alt.Y("example:N", sort=order, title="place in the training set")
        there = {point.labelled for point in points}
        colour, shape = coloured("labelled", kinds, None, there=there), shaped("labelled", kinds, None, there=there)
        title = "training loss, dense to sparse (mark)"
        tooltip = tips(("example", "example", None), ("dense_loss", "dense", ".4g"), ("sparse_loss", "sparse", ".4g"),
                       ("labelled", "label", None))  # fmt: skip
        data = source(panel=name)
        layers = [
            data.mark_rule(strokeWidth=1.6).encode(
                x=alt.X("dense_loss:Q", title=title, axis=alt.Axis(tickCount=6)), x2="sparse_loss", y=y, color=colour
            ),
            data.mark_point(size=60).encode(
                x=alt.X("sparse_loss:Q", title=title, axis=alt.Axis(tickCount=6)),
                y=y,
                color=colour,
                shape=shape,
                tooltip=tooltip,
            ),
        ]
        panels.append(
            Panel(layered(*layers, title=name), "kinds", len(kinds), len(points), height=20 * len(order) + 30)
        )
    return tuple(panels)


def _linear(field: str, title: str) -> alt.Y:
    return alt.Y(
        field, type="quantitative", title=title, scale=alt.Scale(zero=False, nice=True), axis=alt.Axis(tickCount=6)
    )


class _Placed(Protocol):
    """Whatever says in which panel it is."""

    @property
    def panel(self) -> str:
        """The panel's name."""


def _named(points: Iterable[_Placed]) -> list[str]:
    """Return the panels' names in their order."""
    return list(dict.fromkeys(point.panel for point in points))[:MOST]
