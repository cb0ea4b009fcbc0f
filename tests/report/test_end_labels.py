"""Names at the ends of lines: beside their lines, apart from each other, and a legend where that cannot be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from math import log10
from typing import Any
from xml.etree import ElementTree

import pytest
import vl_convert

from prunescope.report import Report
from prunescope.report.charts.end_labels import GAP, MOST_MOVED, STYLE, LineEnd, labelled, line_ends
from prunescope.report.charts.picture_files import AS_IT_IS, PrintSize, specification, whole

HEIGHT = 300.0


def drawing(names: list[str]) -> dict[str, Any]:
    scale = {"type": "log", "domain": [0.01, 1.0]}
    colour = {"field": "member", "scale": {"domain": names}, "legend": {"title": "width"}, "title": "width"}
    axes = {"x": {"field": "density", "scale": scale}, "y": {"field": "error", "scale": scale}}
    return {"layer": [{"mark": {"type": "line"}, "encoding": {**axes, "color": colour}}]}


def named_rows(content: dict[str, Any]) -> list[dict[str, Any]]:
    layers = [layer for layer in content["layer"] if layer["mark"].get("style") == STYLE]
    return [row for layer in layers for row in layer["data"]["values"]]


def height_of(value: float) -> float:
    """Return how far above the foot of the axis a value stands, in pixels."""
    return HEIGHT * (1 + log10(value) / 2)


@pytest.mark.parametrize("errors", [(0.02, 0.1, 0.5), (0.1, 0.105, 0.112), (0.0101, 0.011, 0.9), (0.98, 0.9, 0.02)])
def test_names_keep_apart_in_the_order_of_their_lines_and_near_them(errors: tuple[float, ...]) -> None:
    names = [f"{error:g}" for error in errors]
    content = labelled(drawing(names), [LineEnd(name, 1.0, float(name)) for name in names], HEIGHT)
    rows = named_rows(content)
    assert [row["words"] for row in rows] == names
    heights = {height_of(row["at"]): row for row in rows}
    assert all(above - below >= GAP - 1e-6 for below, above in pairwise(sorted(heights)))
    assert [row["y"] for _, row in sorted(heights.items())] == sorted(errors)
    assert all(abs(height - height_of(row["y"])) <= MOST_MOVED * GAP for height, row in heights.items())
    assert all(
        layer["encoding"]["color"]["legend"] is None for layer in content["layer"] if "color" in layer["encoding"]
    )


def test_the_legend_stays_where_names_would_meet_or_have_no_room() -> None:
    many = [f"{0.1 * 1.03**place:.4f}" for place in range(9)]
    for names, values in (
        (many, [float(name) for name in many]),
        (["a", "b"], [0.1, 0.1]),  # lines that end at one place
        (["a", "leave-out misclassified"], [0.1, 0.5]),
    ):
        plain = drawing(names)
        ends = [LineEnd(name, 1.0, value) for name, value in zip(names, values, strict=True)]
        assert labelled(plain, ends, HEIGHT) == plain
    assert labelled(drawing(["a"]), (), HEIGHT) == drawing(["a"])


def test_a_line_ends_at_its_rightmost_point() -> None:
    points = [("a", 1.0, 5.0), ("a", 3.0, 6.0), ("b", 2.0, 7.0), ("a", 2.0, 8.0)]
    assert line_ends(points, ["b", "a", "c"]) == (LineEnd("b", 2.0, 7.0), LineEnd("a", 3.0, 6.0))


@pytest.mark.parametrize("size", [AS_IT_IS, PrintSize(396.0, 8.0)], ids=["page", "print"])
def test_names_stand_within_the_picture_and_apart(family_report: Report, size: PrintSize) -> None:
    figure = family_report["error-by-density"]
    svg = vl_convert.vegalite_to_svg(whole(figure, size=size))
    (width, height) = (float(re.findall(rf'<svg[^>]*? {name}="([\d.]+)"', svg)[0]) for name in ("width", "height"))
    root = ElementTree.fromstring(svg)
    seen = 0
    for panel in figure.draw():
        names = {row["words"] for row in named_rows(specification(panel))}
        seen += len(names)
        places = [place for words, place in texts(root) if words in names]
        assert {words for words, _ in texts(root)} >= names
        assert all(0 < x < width - 4 and 0 < y < height for x, y in places)
    assert seen >= 3


def texts(element: Any, x: float = 0.0, y: float = 0.0) -> Iterator[tuple[str, tuple[float, float]]]:
    """Yield the words of a picture with where they stand."""
    moved = re.match(r"translate\(([-\d.e]+),([-\d.e]+)\)", element.get("transform", ""))
    x, y = (x + float(moved[1]), y + float(moved[2])) if moved else (x, y)
    if element.tag.endswith("text"):
        yield element.text or "", (x, y)
    for child in element:
        yield from texts(child, x, y)
