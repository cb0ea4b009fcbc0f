"""What points out a member: on the page, an entry of a legend, or a line's name, lets all others stand back.

Files are drawn without it: nobody points at paper.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from prunescope.report.charts.end_labels import STYLE

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
