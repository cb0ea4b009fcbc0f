"""Drawings hold what they draw: bars within axes, words within drawings, legends of what is there."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from prunescope.report import Report, report
from prunescope.report.charts.parts import Panel, bars, beside, source
from prunescope.report.figures.curves import curves
from prunescope.report.figures.figure import SYMBOLS, Figure
from prunescope.report.figures.forms import Forms
from prunescope.report.figures.regions import regions
from prunescope.report.figures.sizes import Sizes
from prunescope.report.groups import ReportGroup, report_groups
from prunescope.report.page.rendering import page
from prunescope.table import Table
from tests.report.test_report import CURVE


@pytest.fixture(scope="module")
def noisy(family: Table) -> ReportGroup:
    return report_groups(family).all[0]


def content(panel: Panel) -> dict[str, Any]:
    specification: dict[str, Any] = panel.chart.to_dict(validate=False)
    return specification


def layers(drawing: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the single layers of a drawing."""
    for layer in drawing.get("layer", []):
        yield from layers(layer) if "layer" in layer else iter([layer])


def axis(panel: Panel, channel: str, field: str) -> tuple[float, float]:
    for layer in layers(content(panel)):
        encoding = layer["encoding"].get(channel, {})
        if encoding.get("field") == field:
            low, high = encoding["scale"]["domain"]
            return low, high
    raise AssertionError(f"no {channel} axis of {field}")


def notes(panel: Panel) -> dict[str, dict[str, Any]]:
    """Return a drawing's notes by their words."""
    return {layer["mark"]["text"]: layer for layer in layers(content(panel)) if layer["mark"].get("style") == "note"}


def marked(panel: Panel, style: str) -> list[dict[str, Any]]:
    return [layer for layer in layers(content(panel)) if layer["mark"].get("style") == style]


def test_axes_hold_the_bars(noisy: ReportGroup) -> None:
    one_curve = regions(noisy)
    assert one_curve is not None
    both: tuple[Any, ...] = curves(noisy), one_curve
    for figure in both:
        lowest = min(point.error for point in figure.points if point.what == "measured")
        highest = max(point.error for point in figure.points if point.what == "measured")
        long = [
            replace(point, low=0.5 * lowest, high=1.5 * highest) if point.what == "measured" else point
            for point in figure.points
        ]
        for panel in replace(figure, points=tuple(long)).draw():
            low, high = axis(panel, "y", "error")
            assert low < 0.5 * lowest
            assert high > 1.5 * highest


def test_a_bar_that_reaches_0_ends_where_the_axis_does(noisy: ReportGroup) -> None:
    figure = curves(noisy)
    low, _ = axis(figure.draw()[0], "y", "error")
    points = tuple(replace(point, low=0.0) if point.what == "measured" else point for point in figure.points)
    assert 0 < axis(replace(figure, points=points).draw()[0], "y", "error")[0] <= 2 * low
    transform = bars(source(), (0.05, 1.0)).mark_rule().to_dict(validate=False)["transform"]
    assert transform == [{"calculate": "isValid(datum.low) ? max(datum.low, 0.05) : null", "as": "low"}]


def test_names_of_densities_stand_above_the_drawing_on_lines_of_their_own(noisy: ReportGroup) -> None:
    figure = regions(noisy)
    assert figure is not None
    (panel,) = figure.draw()
    named_notes = notes(panel)
    assert len(named_notes) == 7
    heights = [
        note["encoding"]["y"]["value"] for words, note in named_notes.items() if words.startswith(("begins", "p "))
    ]
    assert max(heights) < 0
    assert min(abs(one - other) for one, other in itertools.combinations(heights, 2)) >= 12


@pytest.mark.parametrize(("value", "align"), [(0.01, "left"), (0.05, "left"), (0.2, "right"), (1.0, "right")])
def test_words_at_a_line_stay_on_its_broader_side(value: float, align: str) -> None:
    assert beside(value, (0.01, 1.0)) == align


def test_what_is_not_told_is_not_drawn(noisy: ReportGroup) -> None:
    figure = regions(noisy)
    assert figure is not None
    points = tuple(replace(point, region="") for point in figure.points if point.what in ("measured", "law"))
    dark = replace(figure, plateau=None, slope=None, begins=None, ends=None, points=points)
    (panel,) = dark.draw()
    assert [words.split(" ")[0] for words in notes(panel)] == [SYMBOLS["eps_np"]]
    assert all("shape" not in layer["encoding"] for layer in layers(content(panel)))


def test_a_plateau_far_above_the_curve_leaves_it_room(noisy: ReportGroup) -> None:
    figure = regions(noisy)
    assert figure is not None
    highest = max(point.error for point in figure.points)
    far = replace(figure, plateau=3 * highest)
    (panel,) = far.draw()
    assert not any(words.startswith(SYMBOLS["eps_up"]) for words in notes(panel))
    assert axis(panel, "y", "error")[1] < 1.5 * highest


def test_regions_are_named_on_the_curve_where_they_have_room(noisy: ReportGroup) -> None:
    figure = regions(noisy)
    assert figure is not None
    assert {"plateau", "saturation"} <= set(notes(figure.draw()[0]))
    assert any(words.startswith("power law") for words in notes(figure.draw()[0]))
    narrow = replace(figure, begins=0.9, ends=min(point.density for point in figure.points))
    assert not {"plateau", "saturation"} & set(notes(narrow.draw()[0]))


def test_choices_stand_at_their_size_and_expected_error_with_their_interval(family_report: Report) -> None:
    figure = named(family_report, "error-by-parameters")
    assert isinstance(figure, Sizes)
    for panel in figure.draw():
        assert len(marked(panel, "frontier")) == 1
        marks, spreads = marked(panel, "chosen"), marked(panel, "chosen-spread")
        assert [mark["mark"]["shape"] for mark in marks] == ["cross", "diamond"]
        assert {(mark["encoding"]["x"]["field"], mark["encoding"]["y"]["field"]) for mark in marks} == {
            ("parameters", "error")
        }
        assert {(rule["encoding"]["y"]["field"], rule["encoding"]["y2"]["field"]) for rule in spreads} == {
            ("low", "high")
        }
    for point in figure.points:
        if point.what == "largest" and point.bound is not None:
            assert point.error <= point.bound
            others = [other for other in figure.points if (other.what, other.bound) == ("expected", point.bound)]
            assert all(point.parameters > other.parameters for other in others)
        elif point.bound is not None:
            assert point.low is not None
            assert point.high is not None
            assert point.low <= point.error <= point.high
            assert point.error < point.bound * (1 if point.what == "sure" else 1.001)


def test_a_drawing_of_one_network_is_of_its_equation() -> None:
    figure = named(report(CURVE, draws=0), "forms-compared")
    assert isinstance(figure, Forms)
    assert figure.names[0] == "this law (Eq. 1)"
    colours = [
        layer["encoding"]["color"]["scale"]["domain"]
        for layer in layers(content(figure.draw()[0]))
        if "color" in layer["encoding"]
    ]
    assert colours == [list(figure.names)]


def test_one_stop_is_no_slider() -> None:
    unpruned = report(CURVE, max_error=0.1, draws=0)
    (chapter,) = unpruned.chapters
    assert chapter.slider is not None
    assert '<input type="range"' in page(unpruned)
    start = chapter.slider.stops[chapter.slider.start]
    lone = replace(chapter, slider=replace(chapter.slider, stops=(start,), start=0))
    text = page(replace(unpruned, chapters=(lone,)))
    assert '<input type="range"' not in text
    assert f"An error of at most {start.label}" in text
    assert start.facts[1].expected in text


def test_a_lone_refusal_is_said_in_words_alone() -> None:
    falls = {"density": 0.8 ** np.arange(13), "error": 0.2 * 0.97 ** np.arange(13)}
    (chapter,) = report(falls, draws=0).chapters
    assert chapter.slider is None
    assert any(statement.title.startswith("No choice") for statement in chapter.said)


def named(family_report: Report, slug: str) -> Figure:
    return next(figure for figure in family_report.chapters[0].figures if figure.slug == slug)
