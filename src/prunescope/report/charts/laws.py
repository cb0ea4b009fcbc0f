"""Drawings of what a law says: curves, regions, agreement, contours, the invariant."""

from __future__ import annotations

import altair as alt

from prunescope.laws.assemble import REGIONS
from prunescope.laws.results import number, percent
from prunescope.report.charts.parts import (
    Panel,
    coloured,
    layered,
    line_at,
    note_at,
    shaped,
    source,
    span,
    tips,
    x_log,
    y_log,
)
from prunescope.report.figures.agreement import SEEDS, Agreement
from prunescope.report.figures.contours import Contours
from prunescope.report.figures.curves import Curves
from prunescope.report.figures.invariant import Invariant
from prunescope.report.figures.regions import Regions

ERROR, DENSITY = "test error", "density (share of weights kept)"


def draw_curves(figure: Curves) -> tuple[Panel, ...]:
    """Draw error by density."""
    ends_y = span(point.error for point in figure.points)
    panels = []
    for panel in figure.panels:
        own = [point for point in figure.points if point.panel == panel.title]
        ends_x = span(point.density for point in own)
        title = panel.varied or None
        x, y = x_log("density", DENSITY, ends_x), y_log("error", ERROR, ends_y)
        colour, shape = coloured("member", panel.labels, title), shaped("member", panel.labels, title)
        law = source(panel=panel.title, what="law")
        measured = source(panel=panel.title, what="measured")
        told = tips(("member", panel.varied or "cell", None), ("density", "density", ".4g"), ("error", "error", ".4g"),
                    ("low", "lowest", ".4g"), ("high", "highest", ".4g"), ("networks", "networks", ",d"))  # fmt: skip
        layers = [
            law.mark_area(style="band", clip=True).encode(x=x, y=y_log("low", ERROR, ends_y), y2="high", color=colour),
            law.mark_line(style="law", clip=True).encode(x=x, y=y, color=colour),
            measured.mark_rule(style="spread", clip=True).encode(
                x=x, y=y_log("low", ERROR, ends_y), y2="high", color=colour
            ),
            measured.mark_point().encode(x=x, y=y, color=colour, shape=shape, tooltip=told),
        ]
        words = panel.title or "the network"
        panels.append(Panel(layered(*layers, title=words), "ordered", len(panel.labels), len(own)))
    return tuple(panels)


def draw_regions(figure: Regions) -> tuple[Panel, ...]:
    """Draw one curve and its regions."""
    ends_x = span(point.density for point in figure.points)
    ends_y = span([*(point.error for point in figure.points), figure.plateau * 1.08, figure.unpruned])
    x, y = x_log("density", DENSITY, ends_x), y_log("error", ERROR, ends_y)
    told = tips(("density", "density", ".4g"), ("error", "error", ".4g"), ("region", "region", None))
    measured = source(what="measured")
    layers = [
        line_at(y, figure.plateau),
        line_at(y, figure.unpruned),
        source(what="straight").mark_line(style="pieces", clip=True).encode(x=x, y=y),
        source(what="law").mark_line(style="single", clip=True).encode(x=x, y=y),
        source(what="beyond").mark_line(style="beyond", clip=True).encode(x=x, y=y),
        measured.mark_rule(style=["single", "spread"], clip=True).encode(x=x, y=y_log("low", ERROR, ends_y), y2="high"),
        measured.mark_point(style="single").encode(x=x, y=y, shape=shaped("region", REGIONS, None), tooltip=told),
        note_at(f"eps_up {number(figure.plateau)}", "width", (y, figure.plateau), align="right", dy=-7),
        note_at(f"eps_np {number(figure.unpruned)}", 4, (y, figure.unpruned), dy=-7),
    ]
    begins = note_at(f"begins to rise: {number(figure.begins)}", (x, figure.begins), 44, align="right", dx=-5)
    ends = note_at(f"p {number(figure.ends)}", (x, figure.ends), 260, dx=5)
    for density, words in ((figure.begins, begins), (figure.ends, ends)):
        if ends_x[0] < density < ends_x[1]:
            layers += [line_at(x, density), words]
    middle = (max(figure.begins, ends_x[0]) * max(figure.ends, ends_x[0])) ** 0.5
    if figure.begins > figure.ends and ends_x[0] < middle < 1:
        error = (figure.unpruned * figure.plateau) ** 0.5
        layers.append(note_at(f"gamma {number(figure.slope)}", (x, middle), (y, error), dx=9, dy=-14))
    chart = layered(*layers, title=figure.member, subtitle="marks measured, line the law, dotted beyond")
    return (Panel(chart, "kinds", 1, len(figure.points), height=340),)


def draw_agreement(figure: Agreement) -> tuple[Panel, ...]:
    """Draw estimated against actual error."""
    ends = span(value for point in figure.points for value in (point.actual, point.estimated))
    panels = []
    for summary in figure.summaries:
        own = [point for point in figure.points if point.panel == summary.panel]
        data = source(panel=summary.panel)
        seeds = summary.panel == SEEDS
        x = x_log("actual", "error, mean over replicates" if seeds else "actual error", ends)
        title = "error of single networks" if seeds else "estimated error"
        y = y_log("estimated", title, ends)
        told = tips(("member", "cell", None), ("density", "density", ".4g"), ("actual", "actual", ".4g"),
                    ("estimated", "estimated", ".4g"), ("region", "region", None))  # fmt: skip
        diagonal = alt.Chart(alt.InlineData(values=[{"actual": end, "estimated": end} for end in ends]))
        layers = [diagonal.mark_line(style="reference", clip=True).encode(x=x, y=y)]
        if seeds:
            spread = data.mark_rule(style=["single", "spread"], clip=True)
            layers.append(spread.encode(x=x, y=y_log("low", title, ends), y2="high"))
            subtitle = f"standard deviation {percent(summary.sigma)}"
            layers.append(data.mark_point(style="single", size=14).encode(x=x, y=y, tooltip=told))
        else:
            subtitle = f"mu {percent(summary.mu)}, sigma {percent(summary.sigma)}"
            colour, shape = coloured("region", REGIONS, None), shaped("region", REGIONS, None)
            layers.append(
                data.mark_point(size=24, opacity=0.75).encode(x=x, y=y, color=colour, shape=shape, tooltip=told)
            )
        panels.append(Panel(layered(*layers, title=summary.panel, subtitle=subtitle), "kinds", 3, len(own)))
    return tuple(panels)


def draw_contours(figure: Contours) -> tuple[Panel, ...]:
    """Draw contours of constant error."""
    panels = []
    for panel in figure.panels:
        own = [point for point in figure.points if point.panel == panel.title]
        levels = list(dict.fromkeys(point.level for point in own if point.level))
        levels.sort(key=float)
        ends = span(point.value for point in own), span(min(point.density, 1.0) for point in own)
        x, y = (
            x_log("value", panel.varied, ends[0], sorted({point.value for point in own})),
            y_log("density", "density", ends[1]),
        )
        colour, shape = coloured("level", levels, "error"), shaped("level", levels, "error")
        told = tips(("level", "error", None), ("value", panel.varied, ".4g"), ("density", "density", ".4g"))
        layers = [
            source(panel=panel.title, what="slope").mark_line(style="reference", clip=True).encode(x=x, y=y),
            source(panel=panel.title, what="law").mark_line(style="law", clip=True).encode(x=x, y=y, color=colour),
            source(panel=panel.title, what="measured")
            .mark_point(size=44)
            .encode(x=x, y=y, color=colour, shape=shape, tooltip=told),
        ]
        panels.append(Panel(layered(*layers, title=panel.title), "ordered", len(levels), len(own)))
    return tuple(panels)


def draw_invariant(figure: Invariant) -> tuple[Panel, ...]:
    """Draw error by the invariant."""
    ends = (
        span(point.invariant for point in figure.points),
        span([*(point.error for point in figure.points), figure.plateau * 1.08]),
    )
    panels = []
    for panel in figure.panels:
        own = [point for point in figure.points if point.panel == panel.title]
        title = panel.varied or None
        x, y = x_log("invariant", f"m* = {figure.formula}", ends[0]), y_log("error", ERROR, ends[1])
        colour, shape = coloured("member", panel.labels, title), shaped("member", panel.labels, title)
        data = source(panel=panel.title)
        told = tips(("member", panel.varied or "cell", None), ("invariant", "m*", ".4g"), ("density", "density", ".4g"),
                    ("error", "error", ".4g"))  # fmt: skip
        layers = [
            line_at(y, figure.plateau),
            note_at(f"eps_up {number(figure.plateau)}", "width", (y, figure.plateau), align="right", dy=-7),
            data.mark_line(strokeWidth=0.9, opacity=0.6, clip=True).encode(x=x, y=y, color=colour),
            data.mark_point().encode(x=x, y=y, color=colour, shape=shape, tooltip=told),
        ]
        if ends[0][0] < figure.turn < ends[0][1]:
            layers += [line_at(x, figure.turn), note_at(f"p' {number(figure.turn)}", (x, figure.turn), 44, dx=5)]
        panels.append(Panel(layered(*layers, title=panel.title), "ordered", len(panel.labels), len(own)))
    return tuple(panels)
