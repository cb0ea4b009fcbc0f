"""What results show in a notebook: their numbers, and nothing that a stranger's file could do there."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from prunescope.choose import smallest_network
from prunescope.laws import JointLaw
from prunescope.lens import analyze
from prunescope.report import report
from prunescope.study import read_study
from prunescope.table import Store, read_table
from tests.builders import rung
from tests.choose.test_choice import planted
from tests.lens.planted import PLAIN, study

EVIL = "<script>alert(1)</script>"


def shown(result: Any) -> str:
    """Return what a notebook shows, checked to hold the few elements that tables need and no others."""
    html: str = result._repr_html_()
    allowed = {"table", "caption", "thead", "tbody", "tr", "th", "td", "ul", "li"}
    assert set(re.findall(r"</?([a-zA-Z]+)", html)) <= allowed
    return html


@pytest.fixture(scope="module")
def strange() -> dict[str, Any]:
    """Return a family whose name is a script."""
    columns = planted(noise=0.02, replicates=2, levels=16)
    return {**columns, "family": [EVIL] * len(columns["error"])}


def test_tables_and_laws_show_themselves(strange: dict[str, Any]) -> None:
    table = read_table(strange)
    assert "&lt;script&gt;" in shown(table)
    assert "not fitted yet" in shown(JointLaw())
    law = JointLaw(intervals="quick").fit(table)
    html = shown(law)
    assert "&lt;script&gt;" in html
    assert f"<td>gamma</td><td>{law.parameters_['gamma']:.4g}</td>" in html
    assert shown(law.fit_) in html


def test_many_fits_are_not_all_shown() -> None:
    from prunescope.laws import SingleLaw

    law = SingleLaw(intervals="none").fit(planted(levels=8))
    assert shown(law).count("<caption>single law") == 4
    assert "and 8 fits more" in shown(law)


def test_choices_show_themselves(strange: dict[str, Any]) -> None:
    answers = smallest_network(read_table(strange), 0.2, intervals="quick")
    assert f"<td>{answers.answers[0].choice.name}</td>" in shown(answers)
    declined = smallest_network(read_table(strange), 0.01, intervals="quick")
    assert declined.declined[0].why.split(":")[0] in shown(declined)


def test_a_store_shows_how_far_it_is(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    digits = read_study("digits")
    store.begin(digits)
    store.write([rung(0, 0, ladder=digits.ladders[0].identity)])
    assert "<td>digits</td><td>1</td><td>2088</td><td>0</td><td>0</td><td>0</td><td>72</td>" in shown(store)


def test_looks_and_reports_show_themselves(tmp_path: Path, strange: dict[str, Any]) -> None:
    store = PLAIN.into(tmp_path / "store", study())
    result = analyze(store)
    assert result.cells[0].diagnosis.words[:20] in shown(result)
    html = report(strange, max_error=0.2, draws=0)._repr_html_()
    assert set(re.findall(r"</?([a-zA-Z]+)", html)) == {"iframe"}  # a page of its own, which nothing can leave
    assert EVIL not in unescape(html)
    assert "&lt;script&gt;" in unescape(html)
