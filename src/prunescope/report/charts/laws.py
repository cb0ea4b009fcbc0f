"""Drawings of what a law says: curves, regions, agreement, contours, the invariant."""

from __future__ import annotations

import altair as alt

from prunescope.laws.assemble import REGIONS
from prunescope.laws.results import number, percent
from prunescope.report.charts.parts import (
    LINE,
    Panel,
    bars,
    beside,
    coloured,
    layered,
    line_at,
    note_at,
    shaped,
    share,
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

# A plateau this many times the highest error of the curve is not drawn.
FAR = 2.0
# Up to which share of the x axis the slope's name stands to the right of the curve.
SLOPE_TO_THE_RIGHT = 0.6
ERROR, DENSITY = "test error", "density (share of weights kept)"


def draw_curves(figure: Curves) -> tuple[Panel, ...]:
    """Draw error by density."""
    # Bands may reach anywhere; bars are data.
    held = [value for point in figure.points if point.what == "measured" for value in (point.low, point.high)]
    ends_y = span([*(point.error for point in figure.points), *held])
    panels = []
    for panel in figure.panels:
        points = [point for point in figure.points if point.panel == panel.title]
        ends_x = span(point.density for point in points)
        title = panel.varied or None
        x, y = x_log("density", DENSITY, ends_x), y_log("error", ERROR, ends_y)
        colour, shape = coloured("member", panel.labels, title), shaped("member", panel.labels, title)
        law = source(panel=panel.title, what="law")
        measured = source(panel=panel.title, what="measured")
        tooltip = tips(("member", panel.varied or "cell", None), ("density", "density", ".4g"),
                       ("error", "error", ".4g"), ("low", "lowest", ".4g"),
                       ("high", "highest", ".4g"), ("networks", "networks", ",d"))  # fmt: skip
        layers = [
            law.mark_area(style="band", clip=True).encode(x=x, y=y_log("low", ERROR, ends_y), y2="high", color=colour),
            law.mark_line(style="law", clip=True).encode(x=x, y=y, color=colour),
            bars(measured, ends_y)
            .mark_rule(style="spread", clip=True)
            .encode(x=x, y=y_log("low", ERROR, ends_y), y2="high", color=colour),
            measured.mark_point().encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip),
        ]
        words = panel.title or "the network"
        panels.append(Panel(layered(*layers, title=words), "ordered", len(panel.labels), len(points)))
    return tuple(panels)


def draw_regions(figure: Regions) -> tuple[Panel, ...]:
    """Draw one curve and its regions, with what the data tell of them."""
    ends_x = span(point.density for point in figure.points)
    # The lowest line has its name below it, the highest above.
    values = [value for point in figure.points for value in (point.error, point.low, point.high)]
    ends_y = span([*values, figure.unpruned, _shown_plateau(figure)])
    room = (ends_y[1] / ends_y[0]) ** 0.03
    ends_y = ends_y[0] / room, ends_y[1] * room
    x, y = x_log("density", DENSITY, ends_x), y_log("error", ERROR, ends_y)
    regions = [
        name for name in REGIONS if any((point.what, point.region) == ("measured", name) for point in figure.points)
    ]
    tooltip = tips(
        ("density", "density", ".4g"), ("error", "error", ".4g"), *([("region", "region", None)] if regions else [])
    )
    measured = source(what="measured")
    marks = measured.mark_point(style="single").encode(x=x, y=y, tooltip=tooltip)
    reference, notes = _named_lines(figure, ends_x, x, y)
    layers = [
        *reference,
        source(what="straight").mark_line(style="pieces", clip=True).encode(x=x, y=y),
        source(what="law").mark_line(style="single", clip=True).encode(x=x, y=y),
        source(what="beyond").mark_line(style="beyond", clip=True).encode(x=x, y=y),
        bars(measured, ends_y)
        .mark_rule(style=["single", "spread"], clip=True)
        .encode(x=x, y=y_log("low", ERROR, ends_y), y2="high"),
        marks.encode(shape=shaped("region", regions, None)) if regions else marks,
        *notes,
        *_slope_note(figure, ends_x, x, y),
    ]
    beyond = ", dotted beyond" if any(point.what == "beyond" for point in figure.points) else ""
    chart = layered(*layers, title=figure.member, subtitle=f"marks measured, line the law{beyond}")
    return (Panel(chart, "kinds", 1, len(figure.points), height=340),)


def _named_lines(
    figure: Regions, ends_x: tuple[float, float], x: alt.X, y: alt.Y
) -> tuple[list[alt.Chart], list[alt.LayerChart]]:
    """Return lines where the curve bends, and their names."""
    lines = [line_at(y, figure.unpruned)]
    notes = [note_at(f"eps_np {number(figure.unpruned)}", 4, (y, figure.unpruned), dy=9)]
    plateau = _shown_plateau(figure)
    if plateau is not None:
        lines.append(line_at(y, plateau))
        notes.append(note_at(f"eps_up {number(plateau)}", "width", (y, plateau), "right", dy=-8))
    # Densities have their names above the drawing, each on a line of its own: there they meet neither curves nor words.
    height = -7
    for words, value in (("begins to rise:", figure.begins), ("p", figure.ends)):
        if value is not None and ends_x[0] < value < ends_x[1]:
            lines.append(line_at(x, value))
            notes.append(note_at(f"{words} {number(value)}", (x, value), height, beside(value, ends_x)))
            height -= LINE
    return lines, notes


def _shown_plateau(figure: Regions) -> float | None:
    """Return the high plateau, but not one so far above all else that it would leave the curve no room."""
    highest = max(point.error for point in figure.points)
    return figure.plateau if figure.plateau is not None and figure.plateau < FAR * highest else None


def _slope_note(figure: Regions, ends_x: tuple[float, float], x: alt.X, y: alt.Y) -> list[alt.LayerChart]:
    """Name the slope beside the middle of the power law, above the curve or below it."""
    if figure.slope is None or figure.plateau is None or figure.begins is None or figure.ends is None:
        return []
    middle = (max(figure.begins, ends_x[0]) * max(figure.ends, ends_x[0])) ** 0.5
    if figure.begins <= figure.ends or not ends_x[0] < middle < 1:
        return []
    words, at = f"gamma {number(figure.slope)}", (y, (figure.unpruned * figure.plateau) ** 0.5)
    if share(middle, ends_x) > SLOPE_TO_THE_RIGHT:
        return [note_at(words, (x, middle), at, "right", dx=-14, dy=18)]
    return [note_at(words, (x, middle), at, dx=14, dy=-14)]


def draw_agreement(figure: Agreement) -> tuple[Panel, ...]:
    """Draw estimated against actual error."""
    values = ((point.actual, point.estimated, point.low, point.high) for point in figure.points)
    ends = span(value for row in values for value in row)
    regions = [name for name in REGIONS if any(point.region == name for point in figure.points)]
    panels = []
    for summary in figure.summaries:
        points = [point for point in figure.points if point.panel == summary.panel]
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


def draw_contours(figure: Contours) -> tuple[Panel, ...]:
    """Draw contours of constant error."""
    panels = []
    for panel in figure.panels:
        points = [point for point in figure.points if point.panel == panel.title]
        levels = list(dict.fromkeys(point.level for point in points if point.level))
        levels.sort(key=float)
        ends = span(point.value for point in points), span(min(point.density, 1.0) for point in points)
        x, y = (
            x_log("value", panel.varied, ends[0], sorted({point.value for point in points})),
            y_log("density", "density", ends[1]),
        )
        colour, shape = coloured("level", levels, "error"), shaped("level", levels, "error")
        tooltip = tips(("level", "error", None), ("value", panel.varied, ".4g"), ("density", "density", ".4g"))
        layers = [
            source(panel=panel.title, what="slope").mark_line(style="reference", clip=True).encode(x=x, y=y),
            source(panel=panel.title, what="law").mark_line(style="law", clip=True).encode(x=x, y=y, color=colour),
            source(panel=panel.title, what="measured")
            .mark_point(size=44)
            .encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip),
        ]
        panels.append(Panel(layered(*layers, title=panel.title), "ordered", len(levels), len(points)))
    return tuple(panels)


def draw_invariant(figure: Invariant) -> tuple[Panel, ...]:
    """Draw error by the invariant."""
    ends = (
        span(point.invariant for point in figure.points),
        span([*(point.error for point in figure.points), figure.plateau and figure.plateau * 1.08]),
    )
    panels = []
    for panel in figure.panels:
        points = [point for point in figure.points if point.panel == panel.title]
        title = panel.varied or None
        x, y = x_log("invariant", f"m* = {figure.formula}", ends[0]), y_log("error", ERROR, ends[1])
        colour, shape = coloured("member", panel.labels, title), shaped("member", panel.labels, title)
        data = source(panel=panel.title)
        tooltip = tips(("member", panel.varied or "cell", None), ("invariant", "m*", ".4g"),
                       ("density", "density", ".4g"), ("error", "error", ".4g"))  # fmt: skip
        layers = [
            data.mark_line(strokeWidth=0.9, opacity=0.6, clip=True).encode(x=x, y=y, color=colour),
            data.mark_point().encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip),
        ]
        if figure.plateau is not None:
            words = f"eps_up {number(figure.plateau)}"
            layers += [line_at(y, figure.plateau), note_at(words, "width", (y, figure.plateau), "right", dy=-7)]
        if figure.turn is not None and ends[0][0] < figure.turn < ends[0][1]:
            words = f"p' {number(figure.turn)}"
            layers += [line_at(x, figure.turn), note_at(words, (x, figure.turn), -7, beside(figure.turn, ends[0]))]
        panels.append(Panel(layered(*layers, title=panel.title), "ordered", len(panel.labels), len(points)))
    return tuple(panels)
