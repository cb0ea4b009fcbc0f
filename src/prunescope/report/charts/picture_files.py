"""Figures as files for a paper: PNG, SVG, PDF at their size in print, LaTeX around them, and Vega-Lite.

Thousands of marks are one picture within a PDF: as shapes they would take 900 bytes each. All else stays shapes.
"""

from __future__ import annotations

import base64
import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prunescope.files import replacing
from prunescope.markup import escaped
from prunescope.report.charts.end_labels import labelled
from prunescope.report.charts.parts import ROWS, Panel
from prunescope.report.charts.theme import LIGHT, Theme
from prunescope.report.figures.figure import Figure

FORMATS = ("svg", "png", "pdf", "tex", "json")
WIDTH, ALONE, SPACING = 300, 460, 34
# Panels beside each other in drawings that no size is asked of, where there are more than a line holds.
BESIDE = 4
# Pixels of a PNG for each of the drawing's.
SCALE = 2.5
# Type of labels in drawings that no size is asked of, and the least width of a panel, in such letters.
LABELS, NARROW = 11.0, 15.0
# The least share of its column that a panel draws in, and its height as a share of the column.
ROOM, TALL = 0.35, 0.75
# Rounds of fitting panels to a width; each comes within the change of the labels' own width.
ROUNDS = 4
# Widths of a letter and a symbol in a legend, and of what stands left of it, in pixels of the page.
LETTER, SYMBOL, AXIS = 6.2, 30.0, 45.0
# Share of the least width below which fitting is given up.
GIVEN_UP = 0.9


@dataclass(frozen=True)
class PrintSize:
    """How large a figure is in print.

    Attributes
    ----------
    width
        Of the whole figure, in points; None: as wide as its panels.
    font_size
        Of the labels at the axes, in points; None: that of the page.
    """

    width: float | None = None
    font_size: float | None = None

    @property
    def scale(self) -> float:
        """How large type and marks are beside those of the page."""
        return 1.0 if self.font_size is None else self.font_size / LABELS


AS_IT_IS = PrintSize()


def specification(panel: Panel, height: float | None = None, scale: float = 1.0) -> dict[str, Any]:
    """Return a panel as Vega-Lite, without data, size and colours; its lines are named where that has room."""
    # Tests hold drawings against the schema; users need not wait for that.
    content: dict[str, Any] = panel.chart.to_dict(validate=False)
    content.pop("config", None)
    return labelled(content, panel.ends, panel.height if height is None else height, scale)


def whole(figure: Figure, theme: Theme = LIGHT, size: PrintSize = AS_IT_IS) -> dict[str, Any]:
    """Return a figure as one Vega-Lite specification, with everything in it."""
    panels = figure.draw()
    if size.width is None:
        frame, width = whole_frame(panels, theme)
        return _composed(figure, panels, frame, size, width)
    # As many panels beside each other as leave room to draw in, and whose legends do not stand out.
    for columns in range(min(len(panels), max(1, int(size.width / (NARROW * LABELS * size.scale)))), 1, -1):
        least = ROOM * size.width / columns
        content, drawn = _fitted(figure, panels, theme, size, columns, least)
        if content["concat"][0]["width"] > least and drawn <= size.width + 1:
            return content
    return _fitted(figure, panels, theme, size, 1, 0.0)[0]


def _fitted(
    figure: Figure, panels: Sequence[Panel], theme: Theme, size: PrintSize, columns: int, least: float
) -> tuple[dict[str, Any], float]:
    """Return a figure that is as wide as asked, and how wide it came out.

    Labels and legends are known once drawn. It is given up where drawings come out narrower than `least`.
    """
    import vl_convert

    width = size.width or WIDTH
    content = _composed(
        figure, panels, _frame(panels, theme, size, columns), size, width / columns - 5 * LABELS * size.scale
    )
    drawn = _svg_width(vl_convert.vegalite_to_svg(content))
    for _ in range(ROUNDS):
        across = content["concat"][0]["width"]
        if abs(drawn - width) <= 1 or across + (width - drawn) / columns < GIVEN_UP * least:
            break
        for panel in content["concat"]:
            panel["width"] = max(1.0, across + (width - drawn) / columns)
        drawn = _svg_width(vl_convert.vegalite_to_svg(content))
    return content, drawn


def whole_frame(panels: Sequence[Panel], theme: Theme = LIGHT) -> tuple[dict[str, Any], float]:
    """Return what is around the panels of a figure that no size is asked of, and how wide each is."""
    columns = len(panels) if len(panels) <= BESIDE else 3 if len(panels) in (5, 6, 9) else BESIDE
    return _frame(panels, theme, AS_IT_IS, columns), WIDTH if len(panels) > 1 else ALONE


def _frame(panels: Sequence[Panel], theme: Theme, size: PrintSize, columns: int) -> dict[str, Any]:
    config = theme.config(panels[0].palette, max(panel.colours for panel in panels))
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "columns": columns,
        "spacing": SPACING * size.scale * (1 if size.width is None else 0.5),
        "resolve": {"scale": {"color": "independent", "shape": "independent", "strokeDash": "independent"}},
        "config": {
            **_sized(config, size.scale),
            "background": theme.paper,
            "padding": 12 if size.width is None else 1,
        },
    }


def _composed(
    figure: Figure, panels: Sequence[Panel], frame: dict[str, Any], size: PrintSize, width: float
) -> dict[str, Any]:
    parts, datasets = [], {ROWS: [asdict(row) for row in figure.rows]}
    params: dict[str, Any] = {}
    for panel in panels:
        height: float = panel.height
        room = (size.width or 0.0) / frame["columns"]
        if size.width is not None:
            height = min(height, TALL * room)
        drawing = specification(panel, height, size.scale)
        drawing.pop("$schema")
        datasets |= drawing.pop("datasets", {})
        params |= {param["name"]: param for param in drawing.pop("params", ())}
        if size.width is not None:
            drawing["title"] = _wrapped(drawing.get("title", ""), room / size.scale)
            _narrow_legends(drawing, room / size.scale)
        parts.append({**drawing, "width": width, "height": height})
    asked = {"params": list(params.values())} if params else {}
    return {**frame, "datasets": datasets, "concat": parts, **asked}


def _narrow_legends(drawing: dict[str, Any], width: float) -> None:
    """Put as many entries of a legend beside each other as a panel has room for."""
    for layer in drawing.get("layer", ()):
        for channel in layer.get("encoding", {}).values():
            legend = channel.get("legend") if isinstance(channel, dict) else None
            if legend and "columns" in legend:
                entries = legend.get("values") or channel["scale"]["domain"]
                entry = LETTER * max(len(str(words)) for words in entries) + SYMBOL
                legend["columns"] = max(1, min(legend["columns"], int((width - AXIS) / entry)))


def _wrapped(title: str | dict[str, Any], width: float) -> dict[str, Any]:
    """Return a title whose lines are no longer than a panel is wide."""
    parts: dict[str, Any] = {"text": title} if isinstance(title, str) else dict(title)
    for name, letter in (("text", 8.0), ("subtitle", 6.6)):
        if name in parts:
            lines = [parts[name]] if isinstance(parts[name], str) else parts[name]
            parts[name] = [part for line in lines for part in textwrap.wrap(line, max(8, int(width / letter)))]
    return parts


def _sized(config: Any, scale: float) -> Any:
    """Return a configuration with its type and marks so many times as large."""
    if not isinstance(config, dict):
        return config
    sized = {}
    for name, value in config.items():
        lower = name.lower()
        if isinstance(value, dict):
            sized[name] = _sized(value, scale)
        elif "fontsize" in lower or lower in ("strokewidth", "titlepadding", "offset", "labellimit", "columnpadding"):
            sized[name] = value * scale
        elif lower in ("size", "symbolsize"):
            sized[name] = value * scale**2
        else:
            sized[name] = value
    return sized


def _svg_width(svg: str) -> float:
    width = re.search(r'<svg[^>]*? width="([\d.]+)"', svg)
    if width is None:
        raise ValueError("a drawing without a width")
    return float(width[1])


def write_figure(figure: Figure, path: Path, form: str, size: PrintSize = AS_IT_IS) -> None:
    """Write a figure in a format, whole or not at all."""
    write_forms(figure, {form: path}, size)


def write_forms(figure: Figure, paths: Mapping[str, Path], size: PrintSize = AS_IT_IS) -> None:
    """Write a figure in formats, each file whole or not at all; it is fitted to its size once."""
    content = whole(figure, size=size) if set(paths) != {"tex"} else {}
    for form, path in paths.items():
        if form == "tex":
            data = latex(figure, path, size).encode()
        else:
            data = _drawn(rastered(content, figure.draw()) if form == "pdf" else content, form)
        with replacing(path) as draft:
            draft.write_bytes(data)


def _drawn(content: dict[str, Any], form: str) -> bytes:
    if form == "json":
        return (json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n").encode()
    import vl_convert

    if form == "svg":
        return str(vl_convert.vegalite_to_svg(content)).encode()
    if form == "pdf":
        return bytes(vl_convert.vegalite_to_pdf(content))
    return bytes(vl_convert.vegalite_to_png(content, scale=SCALE))


def svg(figure: Figure) -> str:
    """Return a figure as SVG."""
    return _drawn(whole(figure), "svg").decode()


def latex(figure: Figure, path: Path, size: PrintSize = AS_IT_IS) -> str:
    """Return a figure environment around the figure's PDF, with its caption."""
    width = r"\linewidth" if size.width is None else f"{size.width:g}bp"
    return "\n".join(
        (
            r"\begin{figure}",
            r"  \centering",
            rf"  \includegraphics[width={width}]{{{path.with_suffix('.pdf').name}}}",
            rf"  \caption{{{escaped(figure.caption)}}}",
            rf"  \label{{fig:{path.stem}}}",
            r"\end{figure}",
            "",
        )
    )


# Marks from which on a panel is drawn as pixels.
MANY = 700
# Pixels of such a picture for each point of print.
RESOLUTION = 300 / 72
MARKS = ("point", "rule", "bar")


def rastered(content: dict[str, Any], panels: Sequence[Panel]) -> dict[str, Any]:
    """Return a whole figure with the marks of crowded panels as pictures; the figure itself where none is crowded."""
    if all(panel.marks <= MANY for panel in panels):
        return content
    content = deepcopy(content)
    for panel, drawing in zip(panels, content["concat"], strict=True):
        if panel.marks > MANY:
            _replace(content, drawing)
    return content


def _replace(content: dict[str, Any], drawing: dict[str, Any]) -> None:
    """Draw the crowded layers of one drawing as a picture, which takes the place of the first of them."""
    layers = drawing.get("layer", [])
    crowded = [place for place, layer in enumerate(layers) if _is_crowded(layer, drawing)]
    if not crowded:
        return
    picture = _picture(content, drawing, [layers[place] for place in crowded])
    for place in crowded:  # what is left of them says what axes and legends show
        layers[place]["transform"] = [{"filter": "false"}, *layers[place].get("transform", ())]
    layers.insert(crowded[0], picture)


def _is_crowded(layer: dict[str, Any], drawing: dict[str, Any]) -> bool:
    """Whether a layer has a mark for each row, and axes whose ends do not depend on what is drawn."""
    axes = [layer.get("encoding", {}).get(axis, {}) for axis in "xy"]
    held = all("domain" in (axis.get("scale") or {}) for axis in axes)
    rows = layer.get("data", drawing.get("data", {})).get("name") == ROWS
    return held and rows and layer.get("mark", {}).get("type") in MARKS


def _picture(content: dict[str, Any], drawing: dict[str, Any], layers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    import vl_convert

    bare = deepcopy(list(layers))
    for layer in bare:
        for name, channel in layer["encoding"].items():
            if name in ("x", "y"):
                channel["axis"] = None
            elif isinstance(channel, dict) and "scale" in channel:
                channel["legend"] = None
    width, height = drawing["width"], drawing["height"]
    alone: dict[str, Any] = {
        **{name: content[name] for name in ("$schema", "datasets", "params") if name in content},
        **({"data": drawing["data"]} if "data" in drawing else {}),
        "layer": bare,
        "width": width,
        "height": height,
        "autosize": "none",
        "padding": 0,
        "config": {**content["config"], "background": None, "padding": 0},
    }
    image = base64.b64encode(vl_convert.vegalite_to_png(alone, scale=RESOLUTION)).decode()
    return {
        "data": {"values": [{}]},
        "mark": {
            "type": "image",
            "width": width,
            "height": height,
            "align": "left",
            "baseline": "top",
        },
        "encoding": {
            "x": {"value": 0},
            "y": {"value": 0},
            "url": {"value": f"data:image/png;base64,{image}"},
        },
    }
