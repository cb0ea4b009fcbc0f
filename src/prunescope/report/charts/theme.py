"""Colours and type of the figures, light and dark: told apart without hue, readable in print.

Ordered values (widths, depths) go along viridis, by the same hues in both. Kinds (forms, regions) take colours after
Okabe and Ito, darkened or brightened where they stand out too little from the ground. Both have shapes or dashes
beside. Drawings name styles; what a style looks like is said here alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from colorsys import hls_to_rgb, rgb_to_hls
from dataclasses import dataclass
from typing import Any, Literal

Palette = Literal["ordered", "kinds"]

# Ten steps of viridis (van der Walt and Smith, CC0), dark to bright.
VIRIDIS = ("#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725")
SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right", "triangle-left")
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [1, 3])
FONT = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', Arial, sans-serif"


@dataclass(frozen=True)
class Theme:
    """One look.

    Attributes
    ----------
    text, quiet, grid, paper
        Colours of text, of what stands back, of the grid, and of the ground.
    mark, accent
        Of a single series, and of what is chosen.
    kinds
        Colours of kinds.
    span
        The part of viridis that is told from a white ground.
    lightness
        The least lightness of its colours, so that they are told from this ground: hues stay, and so what they mean.
    """

    name: str
    text: str
    quiet: str
    grid: str
    paper: str
    mark: str
    accent: str
    kinds: tuple[str, ...]
    span: tuple[float, float]
    lightness: float = 0.0

    def colours(self, palette: Palette, count: int) -> list[str]:
        """Return as many colours as are asked for."""
        if palette == "kinds":
            return [self.kinds[place % len(self.kinds)] for place in range(max(count, 1))]
        low, high = self.span
        steps = [low + (high - low) * place / max(count - 1, 1) for place in range(max(count, 1))]
        return [_lifted(_viridis(step), self.lightness) for step in steps]

    def config(self, palette: Palette, count: int) -> dict[str, Any]:
        """Return the Vega-Lite configuration of a panel with so many colours."""
        return {
            "background": None,
            "font": FONT,
            "padding": 2,
            "view": {"stroke": None},
            "title": {"color": self.text, "fontSize": 13, "fontWeight": 600, "anchor": "start", "offset": 10,
                      "subtitleColor": self.quiet, "subtitleFontSize": 12, "subtitlePadding": 4},
            "axis": {"labelColor": self.quiet, "titleColor": self.text, "labelFontSize": 11, "titleFontSize": 12,
                     "titleFontWeight": 400, "gridColor": self.grid, "domainColor": self.quiet, "tickColor": self.quiet,
                     "titlePadding": 8, "gridWidth": 0.8, "tickSize": 4, "labelFlush": False},
            "legend": {"labelColor": self.text, "titleColor": self.quiet, "labelFontSize": 11, "titleFontSize": 11,
                       "titleFontWeight": 400, "orient": "bottom", "direction": "horizontal", "columns": 4,
                       "symbolSize": 60, "symbolOpacity": 1, "symbolStrokeWidth": 1.6, "labelLimit": 220, "offset": 8,
                       "columnPadding": 14, "rowPadding": 3},
            "range": {"category": self.colours(palette, count), "symbol": list(SHAPES)},
            "line": {"strokeWidth": 1.6},
            "point": {"size": 34, "filled": True, "opacity": 0.95},
            "style": {
                "small": {"fill": self.text, "fontSize": 11, "fontWeight": 600, "font": FONT},
                "law": {"strokeWidth": 1.6},
                "band": {"opacity": 0.18},
                "spread": {"strokeWidth": 1.1, "opacity": 0.65},
                "reference": {"color": self.quiet, "strokeDash": [4, 3], "strokeWidth": 1.2},
                "pieces": {"color": self.quiet, "strokeDash": [5, 4], "strokeWidth": 1.3},
                "single": {"color": self.mark},
                "plain": {"color": self.text},
                "beyond": {"color": self.mark, "strokeDash": [2, 3], "strokeWidth": 1.6},
                "frontier": {"color": self.text, "strokeWidth": 1.4, "strokeDash": [1.5, 2.5]},
                "chosen-spread": {"color": self.accent, "strokeWidth": 1.6, "opacity": 0.9},
                "chosen": {"color": self.accent, "strokeWidth": 2.4, "size": 110, "opacity": 1},
                "too-large": {"color": self.accent, "strokeWidth": 1.6, "size": 70, "opacity": 1},
                "bound": {"color": self.accent, "strokeWidth": 1.2, "strokeDash": [6, 3]},
                "end": {"color": self.text, "fontSize": 11, "font": FONT},
                "leader": {"strokeWidth": 0.9, "opacity": 0.75},
                "note": {"color": self.quiet, "fontSize": 11, "font": FONT},
                "halo": {"color": self.quiet, "stroke": self.paper, "strokeWidth": 5, "strokeJoin": "round"},
            },
        }  # fmt: skip


LIGHT = Theme("light", "#1d232b", "#5b6672", "#e6e9ed", "#ffffff", "#0072B2", "#C04A00",
              ("#0072B2", "#D55E00", "#009E73", "#B8568C", "#9C6B00", "#2F86B7"), (0.0, 0.68))  # fmt: skip
DARK = Theme("dark", "#e8ebef", "#a3adb8", "#2b323b", "#14181d", "#56B4E9", "#FF9A4D",
             ("#56B4E9", "#FF9A4D", "#2FC08F", "#E7A1C6", "#D9B44A", "#A6D8F5"), (0.0, 0.68), 0.68)  # fmt: skip
THEMES = (LIGHT, DARK)


def _viridis(place: float) -> str:
    """Return the colour at a place between 0 and 1."""
    scaled = min(max(place, 0.0), 1.0) * (len(VIRIDIS) - 1)
    lower = min(int(scaled), len(VIRIDIS) - 2)
    share = scaled - lower
    return _mixed(VIRIDIS[lower], VIRIDIS[lower + 1], share)


def _lifted(colour: str, lightness: float) -> str:
    """Return a colour of the same hue, at least so light."""
    hue, light, saturation = rgb_to_hls(*(int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)))
    if light >= lightness:
        return colour
    # What is this light and fully saturated glares.
    lifted = hls_to_rgb(hue, lightness, min(saturation, 0.6))
    return "#" + "".join(f"{round(255 * part):02x}" for part in lifted)


def _mixed(first: str, second: str, share: float) -> str:
    parts: Sequence[tuple[int, int]] = [(int(first[at : at + 2], 16), int(second[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in parts)
