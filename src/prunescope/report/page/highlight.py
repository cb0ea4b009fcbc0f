"""What points out a member: on the page, an entry of a legend lets all others of its figure stand back.

Files are drawn without it: nobody points at paper.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

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
    """

    title: str
    entries: tuple[str, ...]
    signal: str


def legend_of(specification: dict[str, Any]) -> Legend | None:
    """Return the legend of a panel's colours; None where there is none, or nothing to tell apart."""
    for layer in _layers(specification):
        colour = layer.get("encoding", {}).get("color", {})
        if "field" not in colour or not colour.get("legend"):
            continue
        entries = tuple(colour["legend"].get("values") or colour["scale"]["domain"])
        title = colour.get("title") or ""
        return Legend(title, entries, f"{POINTED}_{colour['field']}_legend") if len(entries) > 1 else None
    return None


def highlighted(specification: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """Return a panel whose marks stand back while its legend points at an entry that is not theirs."""
    if legend_of(specification) is None:
        return specification
    content = deepcopy(specification)
    layers = [layer for layer in _layers(content) if "field" in layer.get("encoding", {}).get("color", {})]
    field = layers[0]["encoding"]["color"]["field"]
    layers[0]["params"] = [
        {"name": POINTED, "select": {"type": "point", "fields": [field]}, "bind": {"legend": "pointerover"}}
    ]
    for layer in layers:
        if layer["encoding"]["color"]["field"] == field:
            usual = _opacity(layer["mark"], config)
            away = {"test": {"not": {"param": POINTED}}, "value": round(BACK * usual, 3)}
            layer["encoding"]["opacity"] = {"condition": away, "value": usual}
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
