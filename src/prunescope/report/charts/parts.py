"""What drawings share: a panel, logarithmic axes with round ticks, members by colour and shape."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from prunescope.report.charts.end_labels import LineEnd
from prunescope.report.charts.theme import DASHES, SHAPES, Palette

if TYPE_CHECKING:
    import altair as alt

# Drawings read their rows from this name; whoever shows them puts the figure's rows there.
ROWS = "rows"
ERROR, DENSITY = "test error", "density (share of weights kept)"
HEIGHT = 300
# Panels that a figure shows at most.
MOST_PANELS = 6
PADDING = 0.04
MIN_TICKS = 4
# Height of a line of notes, in pixels.
LINE = 14
# From where on ticks are written as 10k and 1M.
THOUSANDS = 10_000


@dataclass(frozen=True)
class Panel:
    """One drawing of a figure.

    Attributes
    ----------
    chart
        Without data, size and colours.
    palette, colours
        What colours mean, and how many are needed.
    marks
        How many marks it draws, about: many are drawn as pixels and not as shapes.
    ends
        Where its lines end, if they are named there.
    """

    chart: alt.LayerChart | alt.FacetChart
    palette: Palette
    colours: int
    marks: int
    height: int = HEIGHT
    ends: tuple[LineEnd, ...] = ()


def source(**equal: str) -> alt.Chart:
    """Return a chart of the rows whose fields have some values."""
    import altair as alt

    chart = alt.Chart(alt.NamedData(ROWS))
    for name, value in equal.items():
        chart = chart.transform_filter(alt.FieldEqualPredicate(equal=value, field=name))
    return chart


def span(values: Iterable[float | None]) -> tuple[float, float]:
    """Return the ends of a logarithmic axis that shows some values."""
    positive = [value for value in values if value is not None and np.isfinite(value) and value > 0]
    low, high = float(np.log(min(positive))), float(np.log(max(positive)))
    edge = max((high - low) * PADDING, 0.02)
    return float(np.exp(low - edge)), float(np.exp(high + edge))


# What a decade is divided by, coarse to fine.
DIVISIONS = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9))


def round_ticks(low: float, high: float, most: int) -> list[float]:
    """Return round numbers between the ends of a logarithmic axis: as many as are readable, where they can be had."""
    decades = range(int(np.floor(np.log10(low))) - 1, int(np.ceil(np.log10(high))) + 1)
    best: list[float] = []
    for digits in DIVISIONS:
        ticks = (float(f"{digit * 10.0**decade:.3g}") for decade in decades for digit in digits)
        visible = [tick for tick in ticks if low <= tick <= high]
        if len(visible) > most:
            break
        best = visible
        if len(visible) >= MIN_TICKS:
            break
    return best if len(best) > 2 else _even_ticks(low, high, most)


def _even_ticks(low: float, high: float, most: int) -> list[float]:
    """Return round numbers at even distances, for ends that are too near for powers of ten."""
    for step in (
        digit * 10.0**power for power in range(int(np.floor(np.log10(high - low))) - 1, 20) for digit in (1, 2, 5)
    ):
        count = int(high / step) - int(np.ceil(low / step)) + 1
        if count <= most:
            return [float(f"{place * step:.12g}") for place in range(int(np.ceil(low / step)), int(high / step) + 1)]
    return []


def x_log(
    field: str, title: str, ends: tuple[float, float], values: Sequence[float] | None = None, most: int = 6
) -> alt.X:
    """Return a logarithmic x axis, with round ticks, so many at most, or at some values."""
    import altair as alt

    ticks = round_ticks(*ends, most) if values is None else list(values)
    return alt.X(field, type="quantitative", title=title, scale=_log(ends), axis=_axis(ticks))


def y_log(field: str, title: str, ends: tuple[float, float], most: int = 9) -> alt.Y:
    """Return a logarithmic y axis, with so many ticks at most."""
    import altair as alt

    return alt.Y(field, type="quantitative", title=title, scale=_log(ends), axis=_axis(round_ticks(*ends, most)))


def _log(ends: tuple[float, float]) -> alt.Scale:
    import altair as alt

    return alt.Scale(type="log", domain=list(ends), nice=False)


def _axis(ticks: list[float]) -> alt.Axis:
    import altair as alt

    return alt.Axis(
        values=ticks, format="~s" if max(ticks) >= THOUSANDS else "~g", labelOverlap="greedy", labelSeparation=4
    )


def percent_axis(ticks: int = 6, sign: str = "") -> alt.Axis:
    """Return an axis of percents, written ``6 %``."""
    import altair as alt

    words = f"datum.value === 0 ? '0 %' : replace(format(datum.value, '{sign}~%'), '%', ' %')"
    return alt.Axis(labelExpr=words, tickCount=ticks)


def coloured(
    field: str,
    names: Sequence[str],
    title: str | None,
    columns: int | None = None,
    present: Collection[str] | None = None,
    words: Mapping[str, str] | None = None,
) -> alt.Color:
    """Return colours by name, in the order of the names; every layer of a drawing must ask for the same.

    Names that other panels have and this one has not are left out of its legend: `present` are those that it has.
    `words` are what the legend writes instead of names.
    """
    import altair as alt

    legend = _legend(names, title, columns, present, words)
    return alt.Color(field, type="nominal", scale=alt.Scale(domain=list(names)), title=title, legend=legend)


def shaped(
    field: str,
    names: Sequence[str],
    title: str | None,
    columns: int | None = None,
    present: Collection[str] | None = None,
    words: Mapping[str, str] | None = None,
) -> alt.Shape:
    """Return shapes by name, in the same order."""
    import altair as alt

    scale = alt.Scale(domain=list(names), range=[SHAPES[place % len(SHAPES)] for place in range(len(names))])
    return alt.Shape(
        field, type="nominal", scale=scale, title=title, legend=_legend(names, title, columns, present, words)
    )


def dashed(field: str, names: Sequence[str], title: str | None) -> alt.StrokeDash:
    """Return dashes by name, in the same order."""
    import altair as alt

    scale = alt.Scale(domain=list(names), range=[DASHES[place % len(DASHES)] for place in range(len(names))])
    return alt.StrokeDash(field, type="nominal", scale=scale, title=title, legend=_legend(names, title))


def _legend(
    names: Sequence[str],
    title: str | None,
    columns: int | None = None,
    present: Collection[str] | None = None,
    words: Mapping[str, str] | None = None,
) -> alt.Legend:
    import altair as alt

    shown: dict[str, Any] = {} if present is None else {"values": [name for name in names if name in present]}
    if words:
        shown["labelExpr"] = f"{json.dumps(dict(words))}[datum.label] || datum.label"
    if title is None and names and all(name.startswith("depth ") and ", width " in name for name in names):
        # Members: what is the same in all labels stands once, before them.
        title = "depth, width"
        shown["labelExpr"] = "replace(replace(datum.label, 'depth ', ''), 'width ', '')"
        names = [name.replace("depth ", "").replace("width ", "") for name in names]
    return alt.Legend(title=title, columns=columns or _columns(names), **shown)


def _columns(names: Sequence[str]) -> int:
    longest = max(map(len, names), default=1)
    return 1 if longest > 26 else 2 if longest > 13 else 3 if longest > 8 else 4


def tips(*fields: tuple[str, str, str | None]) -> list[alt.Tooltip]:
    """Return what a mark tells when it is pointed at: field, title, and number format."""
    import altair as alt

    tooltips: list[alt.Tooltip] = []
    for field, title, form in fields:
        extra: dict[str, Any] = {} if form is None else {"format": form}
        tooltips.append(alt.Tooltip(field, type="nominal" if form is None else "quantitative", title=title, **extra))
    return tooltips


def line_at(axis: alt.X | alt.Y, value: float) -> alt.Chart:
    """Return a dashed line at a value of an axis."""
    import altair as alt

    rule = alt.Chart(alt.InlineData(values=[{_field(axis): value}])).mark_rule(style="reference", clip=True)
    line: alt.Chart = rule.encode(axis)
    return line


def note_at(
    words: str,
    x: tuple[alt.X, float] | int | Literal["width"],
    y: tuple[alt.Y, float] | int,
    align: Literal["left", "right"] = "left",
    dx: int = 0,
    dy: int = 0,
) -> alt.LayerChart:
    """Return a note at values of the axes, or at pixels of the drawing; lines behind it make way."""
    import altair as alt

    row = {_field(position[0]): position[1] for position in (x, y) if isinstance(position, tuple)}
    data = alt.Chart(alt.InlineData(values=[row]))
    across: Any = x[0] if isinstance(x, tuple) else alt.value(x)
    down: Any = y[0] if isinstance(y, tuple) else alt.value(y)
    halo, text = (
        data.mark_text(style=style, align=align, dx=dx, dy=dy, text=words).encode(x=across, y=down)
        for style in (["note", "halo"], "note")
    )
    note: alt.LayerChart = halo + text
    return note


def share(value: float, ends: tuple[float, float]) -> float:
    """Return where on a logarithmic axis a value stands, from 0 to 1."""
    return float(np.log(value / ends[0]) / np.log(ends[1] / ends[0]))


def beside(value: float, ends: tuple[float, float]) -> Literal["left", "right"]:
    """Return how words beside a value of an x axis are aligned, so that they stay within it."""
    return "left" if share(value, ends) < 0.5 else "right"


def bars(data: alt.Chart, ends: tuple[float, float]) -> alt.Chart:
    """Return data whose ``low`` a logarithmic axis can show: what reaches down to 0 ends where the axis does."""
    return data.transform_calculate(low=f"isValid(datum.low) ? max(datum.low, {ends[0]!r}) : null")


def _lines(words: str | Sequence[str]) -> str | list[str]:
    return words if isinstance(words, str) else list(words)


def _field(axis: alt.X | alt.Y) -> str:
    """Return the field of an axis."""
    return str(axis.shorthand)


def layered(
    *charts: alt.Chart | alt.LayerChart,
    title: str | Sequence[str],
    subtitle: str | Sequence[str] = "",
    style: str = "",
) -> alt.LayerChart | alt.FacetChart:
    """Return drawings above each other under a title."""
    import altair as alt

    look: dict[str, Any] = {"style": style} if style else {}
    words: Any = alt.TitleParams(_lines(title), subtitle=_lines(subtitle), **look) if subtitle else title
    layers = alt.layer(*charts)
    return layers.properties(title=words) if title else layers


def y_linear(field: str, title: str) -> alt.Y:
    """Return a linear y axis that need not begin at 0."""
    import altair as alt

    return alt.Y(
        field, type="quantitative", title=title, scale=alt.Scale(zero=False, nice=True), axis=alt.Axis(tickCount=6)
    )


class _InPanel(Protocol):
    """A row that says in which panel it is drawn."""

    @property
    def panel(self) -> str:
        """The panel's name."""


def panel_names(rows: Iterable[_InPanel]) -> list[str]:
    """Return the names of the first panels, in their order."""
    return list(dict.fromkeys(row.panel for row in rows))[:MOST_PANELS]
