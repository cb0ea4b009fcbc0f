"""Thousands of marks as one picture within a PDF: as shapes they take 900 bytes each. All else stays shapes."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from prunescope.report.charts.parts import ROWS, Panel

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
