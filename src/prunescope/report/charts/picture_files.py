"""Figures as files for a paper: PNG, SVG, PDF."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from prunescope.files import replacing
from prunescope.report.charts.parts import ROWS, Panel
from prunescope.report.charts.theme import LIGHT, Theme
from prunescope.report.figures.figure import Figure

FORMATS = ("png", "svg", "pdf")
WIDTH, SPACING = 300, 34
# Pixels of a PNG for each of the drawing's.
SCALE = 2.5


def specification(panel: Panel) -> dict[str, Any]:
    """Return a panel as Vega-Lite, without data, size and colours."""
    # Tests hold drawings against the schema; users need not wait for that.
    content: dict[str, Any] = panel.chart.to_dict(validate=False)
    content.pop("config", None)
    return content


def whole(figure: Figure, theme: Theme = LIGHT) -> dict[str, Any]:
    """Return a figure as one Vega-Lite specification, with everything in it."""
    panels = figure.draw()
    parts, datasets = [], {ROWS: [asdict(row) for row in figure.rows]}
    for panel in panels:
        drawing = specification(panel)
        drawing.pop("$schema")
        datasets |= drawing.pop("datasets", {})
        parts.append({**drawing, "width": WIDTH, "height": panel.height})
    first = panels[0]
    params = next((drawing["params"] for drawing in parts if "params" in drawing), None)
    for drawing in parts:
        drawing.pop("params", None)
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "datasets": datasets,
        "hconcat": parts,
        "spacing": SPACING,
        "resolve": {"scale": {"color": "independent", "shape": "independent", "strokeDash": "independent"}},
        "config": {
            **theme.config(first.palette, max(panel.colours for panel in panels)),
            "background": theme.paper,
            "padding": 12,
        },
        **({"params": params} if params else {}),
    }


def write_figure(figure: Figure, path: Path, form: str) -> None:
    """Write a figure in a format, whole or not at all."""
    import vl_convert

    content = whole(figure)
    if form == "svg":
        data = vl_convert.vegalite_to_svg(content).encode()
    elif form == "pdf":
        data = vl_convert.vegalite_to_pdf(content)
    else:
        data = vl_convert.vegalite_to_png(content, scale=SCALE)
    with replacing(path) as draft:
        draft.write_bytes(data)
