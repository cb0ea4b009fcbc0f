"""Names at the ends of lines, instead of a legend; where they would meet, the legend stays.

How much room names have is known only once a drawing's height and type are: so they are placed when its specification
is made, not when it is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from math import log
from typing import Any

# The style of the names, by which their layer is known.
STYLE = "end"
# Height of a line of words, and its distance from the drawing, in pixels at the page's size of type.
GAP, LEADER, AWAY = 14.0, 9, 12
# How far words may stand from their line, in such heights, and how near two lines may end to be told apart.
MOST_MOVED, LEAST_APART = 1.55, 0.1
# The most letters that have room beside a drawing.
MOST_LETTERS = 16


@dataclass(frozen=True)
class LineEnd:
    """Where a line ends, as the axes count, and the entry of the legend that it stands for."""

    name: str
    x: float
    y: float


def line_ends(points: Iterable[tuple[str, float, float]], names: Sequence[str]) -> tuple[LineEnd, ...]:
    """Return the rightmost point of each line, in the order of the names."""
    last: dict[str, LineEnd] = {}
    for name, x, y in points:
        if name not in last or x > last[name].x:
            last[name] = LineEnd(name, x, y)
    return tuple(last[name] for name in names if name in last)


def labelled(content: dict[str, Any], ends: Sequence[LineEnd], height: float, scale: float = 1.0) -> dict[str, Any]:
    """Return a specification with names at the ends of its lines; as it was where there is no room for them."""
    lines = _lines(content)
    if lines is None or not ends:
        return content
    encoding, title = lines["encoding"], _title(lines["encoding"]["color"])
    heading, words = _words(title, [end.name for end in ends])
    places = _places(_shares(encoding["y"]["scale"], [end.y for end in ends]), height, GAP * scale)
    if places is None or max(map(len, words)) > MOST_LETTERS:
        return content
    axis = encoding["y"]["scale"]
    rows = [
        {encoding["color"]["field"]: end.name, "words": name, "x": end.x, "y": end.y, "at": _value(axis, place, height)}
        for end, name, place in zip(ends, words, places, strict=True)
    ]
    above = _value(axis, min(places) - GAP * scale, height)
    added = list(_layers(encoding, rows, heading, above, scale))
    content = deepcopy(content)
    for layer in content["layer"]:
        for channel in ("color", "shape", "strokeDash"):
            if layer.get("encoding", {}).get(channel, {}).get("legend"):
                layer["encoding"][channel]["legend"] = None
    content["layer"] += added
    return content


def _lines(content: dict[str, Any]) -> dict[str, Any] | None:
    """Return the layer of the lines: the first with colours and both axes."""
    for layer in content.get("layer", ()):
        encoding = layer.get("encoding", {})
        if all("field" in encoding.get(channel, {}) for channel in ("x", "y", "color")):
            return dict(layer)
    return None


def _title(colour: dict[str, Any]) -> str:
    legend = colour.get("legend") or {}
    return str(legend.get("title") or colour.get("title") or "")


def _words(title: str, names: Sequence[str]) -> tuple[str, list[str]]:
    """Return what stands above the names, and the names; what is the same in all stands once."""
    if title == "depth, width":
        names = [name.replace("depth ", "").replace("width ", "") for name in names]
    return title, list(names)


def _shares(axis: dict[str, Any], values: Sequence[float]) -> list[float]:
    """Return where on an axis values stand, from 0 at its foot to 1; what lies beyond stands at its end."""
    low, high = axis["domain"]
    shares = (
        log(max(value, low) / low) / log(high / low) if axis.get("type") == "log" else (value - low) / (high - low)
        for value in values
    )
    return [min(max(share, 0.0), 1.0) for share in shares]


def _value(axis: dict[str, Any], place: float, height: float) -> float:
    """Return the value that stands so far below the top of an axis."""
    (low, high), share = axis["domain"], 1 - place / height
    return float(low * (high / low) ** share if axis.get("type") == "log" else low + (high - low) * share)


def _places(shares: Sequence[float], height: float, gap: float) -> list[float] | None:
    """Return how far below the top each name stands, in pixels; None where they do not have room."""
    wanted = [(1 - share) * height for share in shares]
    order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    near = (wanted[below] - wanted[above] for above, below in pairwise(order))
    if any(distance < LEAST_APART * gap for distance in near):
        return None
    # Names that would meet stand below each other about the middle of where they belong.
    blocks: list[list[float]] = []  # the middle, and how many names
    for place in order:
        blocks.append([wanted[place], 1])
        while len(blocks) > 1 and blocks[-1][0] - blocks[-2][0] < gap * (blocks[-1][1] + blocks[-2][1]) / 2:
            middle, count = blocks.pop()
            before, others = blocks.pop()
            blocks.append([(middle * count + before * others) / (count + others), count + others])
    placed = [middle + gap * (at - (count - 1) / 2) for middle, count in blocks for at in range(round(count))]
    places = dict(zip(order, placed, strict=True))
    if any(abs(places[place] - wanted[place]) > MOST_MOVED * gap for place in order):
        return None
    return [places[place] for place in range(len(wanted))]


def _layers(
    encoding: dict[str, Any], rows: list[dict[str, Any]], heading: str, above: float, scale: float
) -> Iterator[dict[str, Any]]:
    """Yield lines that lead from the ends to the names, and the names, with what they are values of above them."""
    x, y = ({**encoding[axis], "field": axis} for axis in "xy")
    at = {**encoding["y"], "field": "at"}
    colour = {**encoding["color"], "legend": None}
    data = {"values": rows}
    yield {
        "data": data,
        "mark": {"type": "rule", "style": "leader"},
        "encoding": {"x": x, "x2": {"value": "width"}, "y": y, "color": colour},
    }
    yield {
        "data": data,
        "mark": {"type": "rule", "style": "leader", "x2Offset": LEADER * scale},
        "encoding": {"x": {"value": "width"}, "x2": {"value": "width"}, "y": y, "y2": {"field": "at"}, "color": colour},
    }
    text = {"type": "text", "align": "left", "baseline": "middle", "dx": AWAY * scale}
    across = {"value": "width"}
    yield {
        "data": data,
        "mark": {**text, "style": STYLE},
        "encoding": {"x": across, "y": at, "text": {"field": "words", "type": "nominal"}},
    }
    if heading:
        yield {
            "data": {"values": [{"at": above, "words": heading}]},
            "mark": {**text, "style": "note"},
            "encoding": {"x": across, "y": at, "text": {"field": "words", "type": "nominal"}},
        }
