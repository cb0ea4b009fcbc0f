"""What the page's script reads: the figures' numbers and drawings, the slider's stops, the table, as JSON.

On the page, an entry of a legend or a line's name points out a member, and all others stand back. Files are drawn
without that: nobody points at paper.
"""

from __future__ import annotations

import base64
import json
import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunescope.report.chapters import Slider
from prunescope.report.charts.end_labels import STYLE
from prunescope.report.charts.parts import ROWS, Panel
from prunescope.report.charts.picture_files import MANY, specification, whole_frame
from prunescope.report.charts.theme import THEMES
from prunescope.report.figures.examples import PicturedExamples
from prunescope.report.figures.figure import Figure
from prunescope.report.page.tables import Head, row_heads
from prunescope.table import Table, csv_parts

# Significant digits of numbers in the page.
DIGITS = 7
# Tells zlib to write gzip's format.
GZIP = 31
# A table that is larger than this when packed does not come with the page.
MOST_TABLE = 700_000


@dataclass(frozen=True)
class Drawing:
    """A figure as the page has it: heading and words for people, the rest for the script.

    Attributes
    ----------
    panels
        The titles of its drawings.
    entries
        Title and name of each entry of its legends.
    pictures
        Pictures of single examples: words and address.
    content
        For the script: columns, values, panels.
    """

    slug: str
    title: str
    caption: str
    panels: tuple[str, ...]
    entries: tuple[tuple[str, str], ...]
    pictures: tuple[tuple[str, str], ...]
    content: dict[str, Any]


def drawing(figure: Figure, slug: str) -> Drawing:
    """Return a figure for the page."""
    names = figure.columns
    values = [[_shortened(getattr(row, name)) for row in figure.rows] for name in names]
    drawn = figure.draw()
    panels = [_panel(panel) for panel in drawn]
    frame, width = whole_frame(drawn)
    config = frame.pop("config")
    frame["config"] = {name: config[name] for name in ("background", "padding")}
    content = {
        "slug": slug,
        "name": ROWS,
        "columns": list(names),
        "values": values,
        "panels": panels,
        "frame": frame,
        "width": width,
        "colours": config["range"]["category"],
    }
    portraits = figure.portraits if isinstance(figure, PicturedExamples) else ()
    pictures = tuple((portrait.words, _data_address(portrait.image)) for portrait in portraits)
    titles = tuple(_title(panel["spec"]) for panel in panels)
    legends = [panel["legend"] for panel in panels if panel["legend"] is not None]
    entries = dict.fromkeys((legend["title"], name) for legend in legends for name in legend["entries"])
    return Drawing(slug, figure.title, figure.caption, titles, tuple(entries), pictures, content)


def looks() -> dict[str, Any]:
    """Return what all drawings look like in each theme; only their colours differ."""
    return {theme.name: theme.config("kinds", 1) for theme in THEMES}


def _panel(panel: Panel) -> dict[str, Any]:
    plain = specification(panel)
    spec = {
        **highlighted(plain, THEMES[0].config(panel.palette, panel.colours)),
        "width": "container",
        "height": panel.height,
        "autosize": {"type": "fit-x", "contains": "padding"},
    }
    legend = legend_of(plain)
    return {
        "spec": spec,
        "renderer": "canvas" if panel.marks > MANY else "svg",
        "colours": {theme.name: theme.colours(panel.palette, panel.colours) for theme in THEMES},
        "legend": None if legend is None else asdict(legend),
    }


def _title(specification: dict[str, Any]) -> str:
    title = specification.get("title", "")
    words = title.get("text", "") if isinstance(title, dict) else title
    return words if isinstance(words, str) else " ".join(words).strip()


def stops(slider: Slider) -> list[dict[str, Any]]:
    """Return the slider's stops for the page."""
    return [
        {
            "bound": stop.bound,
            "label": stop.label,
            "headline": stop.headline,
            "warnings": list(stop.warnings),
            "why": stop.why,
            "facts": [[fact.expected, fact.sure] for fact in stop.facts],
        }
        for stop in slider.stops
    ]


def packed(rows: Table) -> str | None:
    """Return the whole table as packed CSV, in letters; None where that is too large for a page."""
    press, parts, length = zlib.compressobj(9, zlib.DEFLATED, GZIP), [], 0
    for text in chain(csv_parts(rows), [None]):
        parts.append(press.flush() if text is None else press.compress(text.encode()))
        length += len(parts[-1])
        if 4 * -(-length // 3) > MOST_TABLE:
            return None  # a million rows need not be packed to see that they are too many
    return base64.b64encode(b"".join(parts)).decode()


def _shortened(value: object) -> object:
    """Return a value as JSON has it, numbers with as many digits as a reader can use."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value


def _plain(value: Any) -> object:
    """Return a value of an array as Python has it."""
    return value.item() if hasattr(value, "item") else value


def head(rows: Table, most: int) -> tuple[Sequence[Head], Sequence[Sequence[str]], str]:
    """Return heads and the first rows of the columns that vary, and what is the same in all rows, in words."""
    import numpy as np

    from prunescope.table import shown
    from prunescope.table.coded import Columns

    columns, few = Columns.of(rows.columns), rows.take(np.arange(min(len(rows), 1)))

    def is_same(name: str) -> bool:
        if columns.column(name).is_constant:
            return True
        first = shown(few[name].tolist()[0])
        return all(shown(value) == first for value in map(_plain, rows[name]))

    constant = [name for name in rows.names if len(rows) > 1 and is_same(name)]
    constants = [f"{name} {text}" for name in constant if (text := shown(few[name].tolist()[0])) and text != "nan"]
    names = [name for name in rows.names if name not in constant] or list(rows.names)
    first = rows.select(names).take(np.arange(min(most, len(rows))))
    values = [[shown(value) for value in row.values()] for row in first.rows()]
    return row_heads(rows, names), values, ", ".join(constants)


def png(image: NDArray[np.uint8]) -> bytes:
    """Return a picture ``[channels, height, width]``, grey or of three colours, as PNG."""
    channels, height, width = image.shape
    kind = {1: 0, 3: 2}[channels]
    rows = np.moveaxis(image, 0, -1).reshape(height, width * channels)
    lines = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1)
    head = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, *zip(*parts, strict=True)))


def _data_address(image: NDArray[np.uint8]) -> str:
    """Return a picture as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(png(image)).decode()}"


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


# The selection's name; Vega-Lite makes a signal of it for each field: `pointed_member_legend`.
POINTED = "pointed"
# Share of its opacity that is left of what stands back.
BACK = 0.13


@dataclass(frozen=True)
class Legend:
    """The legend of a panel.

    Attributes
    ----------
    title
        What its entries are values of; empty where they say so themselves.
    signal
        What holds the entry that is pointed at.
    field
        Where lines are named at their ends: the field that holds their names; empty where a legend stands.
    """

    title: str
    entries: tuple[str, ...]
    signal: str
    field: str


def legend_of(specification: dict[str, Any]) -> Legend | None:
    """Return the legend of a panel's colours, or its lines' names; None where nothing is to be told apart."""
    colours = [colour for layer in _layers(specification) if "field" in (colour := _colour(layer))]
    for colour in colours:
        if colour.get("legend"):
            entries = colour["legend"].get("values") or colour["scale"]["domain"]
            return _legend(colour, entries, "")
    for layer in _layers(specification):
        if _are_names(layer):
            field = colours[0]["field"]
            return _legend(colours[0], [row[field] for row in layer["data"]["values"]], field)
    return None


def _legend(colour: dict[str, Any], entries: Sequence[str], field: str) -> Legend | None:
    title, signal = colour.get("title") or "", f"{POINTED}_{colour['field']}_legend"
    return Legend(title, tuple(entries), signal, field) if len(entries) > 1 else None


def _colour(layer: dict[str, Any]) -> dict[str, Any]:
    return dict(layer.get("encoding", {}).get("color", {}))


def _are_names(layer: dict[str, Any]) -> bool:
    """Whether a layer holds the names of lines."""
    return bool(layer["mark"].get("style") == STYLE)


def highlighted(specification: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """Return a panel whose marks stand back while its legend points at an entry that is not theirs."""
    legend = legend_of(specification)
    if legend is None:
        return specification
    content = deepcopy(specification)
    layers = [layer for layer in _layers(content) if "field" in _colour(layer)]
    field = _colour(layers[0])["field"]
    if legend.field:
        content["params"] = [*content.get("params", ()), {"name": legend.signal, "value": None}]
        away: Any = f"isValid({legend.signal}) && datum[{json.dumps(field)}] !== {legend.signal}"
        layers += [layer for layer in _layers(content) if _are_names(layer)]
    else:
        layers[0]["params"] = [
            {"name": POINTED, "select": {"type": "point", "fields": [field]}, "bind": {"legend": "pointerover"}}
        ]
        away = {"not": {"param": POINTED}}
    for layer in layers:
        if _colour(layer).get("field", field) == field:
            usual = _opacity(layer["mark"], config)
            dim = {"test": away, "value": round(BACK * usual, 3)}
            layer["encoding"]["opacity"] = {"condition": dim, "value": usual}
    return content


def _layers(specification: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the single layers of a drawing."""
    if "layer" not in specification:
        yield specification
    for layer in specification.get("layer", ()):
        yield from _layers(layer)


def _opacity(mark: dict[str, Any], config: dict[str, Any]) -> float:
    """Return how opaque a mark is by itself."""
    styles = mark.get("style", [])
    looks = [mark, *(config["style"].get(name, {}) for name in ([styles] if isinstance(styles, str) else styles))]
    looks.append(config.get(mark["type"], {}))
    return float(next((look["opacity"] for look in looks if "opacity" in look), 1.0))
