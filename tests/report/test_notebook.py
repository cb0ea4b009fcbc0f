"""How reports, figures and answers show themselves in Python and in notebooks."""

from __future__ import annotations

from html import unescape
from importlib.util import find_spec
from typing import Any

import pytest

from prunescope.choose import smallest_network
from prunescope.errors import InputError
from prunescope.markup import MOST_LINES
from prunescope.report import Report
from prunescope.report.figures.figure import Figure
from prunescope.report.page.rendering import page
from prunescope.table import Table


def subclasses(kind: type[Any]) -> list[type[Any]]:
    return [kind, *(deeper for child in kind.__subclasses__() for deeper in subclasses(child))]


def test_figures_are_named_and_taken_by_name(family_report: Report) -> None:
    names = family_report.figures
    assert list(names) == [figure.slug for figure in family_report.chapters[0].figures]
    assert family_report["error-by-density"] is names["error-by-density"]
    with pytest.raises(InputError) as trouble:
        family_report["error-by-densty"]
    (fault,) = trouble.value.faults
    assert (fault.place, "error-by-density" in fault.hint) == ("the figure", True)


def test_a_report_shows_its_page_in_a_notebook_and_a_summary_elsewhere(family_report: Report) -> None:
    shown = family_report._repr_html_()
    assert shown.startswith('<iframe srcdoc="')
    assert unescape(shown.split('srcdoc="')[1].split('" width=')[0]) == page(family_report)
    lines = repr(family_report).splitlines()
    assert lines[0] == family_report.title
    assert len(lines) <= MOST_LINES
    start = family_report.chapters[0].slider
    assert start is not None
    assert start.stops[start.start].headline in lines


def test_without_what_draws_a_report_and_its_figures_show_words(
    family_report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prunescope.report.writing.find_spec", lambda name: None)
    assert find_spec("altair") is not None
    assert family_report._repr_html_().startswith("<table>")
    assert family_report["error-by-density"]._repr_svg_() is None


def test_a_figure_shows_itself(family_report: Report) -> None:
    figure = family_report["error-by-density"]
    assert str(figure._repr_svg_()).startswith("<svg")
    assert len(repr(figure)) < 1000
    assert figure.caption in repr(figure)


def test_no_kind_of_figure_prints_all_its_numbers() -> None:
    assert len(subclasses(Figure)) > 15
    assert [kind.__name__ for kind in subclasses(Figure) if "__repr__" in vars(kind)] == []


def test_answers_are_shown_in_ten_lines(family: Table) -> None:
    answers = smallest_network(family, 0.2, intervals="quick")
    for shown in (answers, answers.answers[0]):
        lines = repr(shown).splitlines()
        assert len(lines) == MOST_LINES
        assert str(shown).splitlines()[: MOST_LINES - 1] == lines[:-1]
        assert lines[-1] == f"... {len(str(shown).splitlines()) - MOST_LINES + 1} lines more with print()"
    none = smallest_network(family, 1e-6, intervals="quick")
    assert none.declined[0].why in repr(none)
