"""Tables of the page, in a real browser: they sort by their heads, filter, copy, and fit a phone."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect

from prunescope.report import Report, report, write_page
from prunescope.report.page.content import head
from prunescope.table import Table, csv_parts, read_table
from tests.report.conftest import FAMILIES, Open, Opened, curve, table
from tests.report.test_page import CONTRAST, NAMELESS

FIRST = 12


def column(holder: Any, name: str) -> list[str]:
    """Return the words of a column, as they stand."""
    names = holder.locator("thead th").all_text_contents()
    words: list[str] = holder.locator(f"tbody tr > :nth-child({names.index(name) + 1})").all_text_contents()
    return words


def sort(holder: Any, name: str) -> None:
    holder.get_by_role("button", name=name, exact=True).click()


def numbers(words: list[str]) -> list[float]:
    return [float(word.replace(",", "").replace("\N{NO-BREAK SPACE}%", "")) for word in words]


def families(page: Opened) -> Any:
    return page.tab.locator("#families .table")


def rows_of(page: Opened) -> Any:
    return page.tab.locator("#table .table")


def test_all_families_stand_high_on_the_page_with_links_to_their_chapters(
    many_page: Path, opened: Open, many: Report
) -> None:
    page = opened(many_page)
    assert many.overview is not None
    holder = families(page)
    assert column(holder, "family") == [line.name for line in many.overview.lines]
    boxes = (
        place.bounding_box() for place in (page.tab.locator(".asked").first, holder, page.tab.locator("#chapter-1"))
    )
    heights = [box["y"] for box in boxes]
    assert heights == sorted(heights)
    links = holder.locator("tbody a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert links == [f"#chapter-{place}" for place in range(1, 5)]
    for link, chapter in zip(links, many.chapters, strict=True):
        assert page.tab.locator(f"{link} > h2").text_content() == chapter.name
    assert page.console == []


def test_heads_sort_numbers_as_numbers_there_and_back(many_page: Path, opened: Open) -> None:
    page = opened(many_page)
    holder = families(page)
    before = column(holder, "family")
    sizes = [word for word in column(holder, "parameters left") if word != "\N{EN DASH}"]
    assert sorted(sizes) != [f"{value:,.0f}" for value in sorted(numbers(sizes))]  # words would sort otherwise
    sort(holder, "parameters left")
    first = column(holder, "parameters left")
    assert numbers(first[: len(sizes)]) == sorted(numbers(sizes))
    head_cell = holder.locator("th[aria-sort]")
    assert (head_cell.text_content(), head_cell.get_attribute("aria-sort")) == ("parameters left", "ascending")
    sort(holder, "parameters left")
    last = column(holder, "parameters left")
    assert numbers(last[: len(sizes)]) == sorted(numbers(sizes), reverse=True)
    assert set(first[len(sizes) :]) == set(last[len(sizes) :]) <= {"\N{EN DASH}"}  # what is missing stands last
    sort(holder, "parameters left")
    assert column(holder, "family") == before
    assert holder.locator("th[aria-sort]").count() == 0
    sort(holder, "family")
    assert column(holder, "family") == [f"kind {place}" for place in range(FAMILIES)]  # 9 before 10


def test_the_keyboard_sorts_and_filters(many_page: Path, opened: Open) -> None:
    page = opened(many_page)
    holder = families(page)
    holder.get_by_role("button", name="sigma", exact=True).focus()
    page.tab.keyboard.press("Enter")
    sigmas = numbers(column(holder, "sigma"))
    assert sigmas == sorted(sigmas)
    assert page.tab.evaluate("document.activeElement.textContent") == "sigma"
    holder.locator("input[type=search]").focus()
    page.tab.keyboard.type("DIGITS kind 1")
    expect(holder.locator("output")).to_have_text(f"12 of {FAMILIES} families")
    assert set(column(holder, "family")) == {"kind 1", "kind 21", *(f"kind 1{place}" for place in range(10))}
    sigmas = numbers(column(holder, "sigma"))
    assert sigmas == sorted(sigmas)
    holder.locator("input[type=search]").fill("nothing like it")
    expect(holder.locator("tbody tr")).to_have_count(0)


def test_the_table_of_rows_is_the_whole_table(page_file: Path, opened: Open, family: Table) -> None:
    page = opened(page_file)
    holder = rows_of(page)
    before = holder.locator("tbody tr").all_inner_texts()
    assert len(before) == FIRST
    holder.get_by_role("button", name="Show more").click()
    expect(holder.locator("tbody tr")).to_have_count(100)
    assert holder.locator("tbody tr").all_inner_texts()[:FIRST] == before
    expect(holder.locator("output")).to_have_text(f"{len(family)} of {len(family)} rows, the first 100 shown")
    sort(holder, "test_error")
    errors = numbers(column(holder, "test_error"))
    assert errors == pytest.approx(np.sort(family["test_error"])[:100].tolist(), rel=1e-5)
    holder.get_by_role("button", name="Show more").click()
    expect(holder.locator("tbody tr")).to_have_count(min(len(family), 500))


def copied(page: Opened) -> list[list[str]]:
    text = page.tab.evaluate("window.copied")
    assert text.endswith("\n")
    return [line.split("\t") for line in text.removesuffix("\n").split("\n")]


GRANTED = "void (navigator.clipboard.writeText = async (text) => { window.copied = text; })"


def test_copy_takes_what_the_filter_leaves_in_its_order_and_with_all_digits(
    page_file: Path, opened: Open, family: Table
) -> None:
    page = opened(page_file)
    page.tab.evaluate(GRANTED)
    holder = rows_of(page)
    heads, _, _ = head(family, FIRST)
    names = [column_head.name for column_head in heads]
    lines = list(csv.DictReader(io.StringIO("".join(csv_parts(family)))))
    holder.get_by_role("button", name="Copy rows").click()
    expect(holder.locator("output")).to_have_text(f"{len(family)} rows copied")
    assert copied(page) == [names, *([line[name] for name in names] for line in lines)]
    sort(holder, "density")
    holder.locator("input[type=search]").fill("0.8")
    expect(holder.locator("output")).to_contain_text(f"of {len(family)} rows")
    holder.get_by_role("button", name="Copy rows").click()
    expect(holder.locator("output")).to_contain_text("rows copied")
    some = copied(page)[1:]
    assert FIRST < len(some) < len(family)
    densities = [float(line[names.index("density")]) for line in some]
    assert densities == sorted(densities)


def test_families_are_copied_as_numbers(many_page: Path, opened: Open, many: Report) -> None:
    page = opened(many_page)
    page.tab.evaluate(GRANTED)
    families(page).get_by_role("button", name="Copy families").click()
    expect(families(page).locator("output")).to_have_text(f"{FAMILIES} families copied")
    names, *lines = copied(page)
    assert many.overview is not None
    for line, family in zip(lines, many.overview.lines, strict=True):
        assert line[0] == family.name
        assert float(line[names.index("sigma")]) == family.sigma
        density = line[names.index("prune to density")]
        assert density == "" if family.pick is None else float(density) == family.pick.density


@pytest.mark.parametrize("old_way", [True, False], ids=["the old way", "by hand"])
def test_where_the_clipboard_is_refused_there_is_another_way(page_file: Path, opened: Open, old_way: bool) -> None:
    page = opened(page_file)
    page.tab.evaluate(
        "void (navigator.clipboard.writeText = async () => { throw new DOMException('no', 'NotAllowedError'); })"
    )
    page.tab.evaluate(f"void (document.execCommand = () => {str(old_way).lower()})")
    holder = rows_of(page)
    holder.locator("input[type=search]").fill("0.25")
    expect(holder.locator("output")).to_contain_text("of")
    holder.get_by_role("button", name="Copy rows").click()
    expect(holder.locator("output")).to_contain_text("rows copied" if old_way else "Press Ctrl+C")
    area = holder.locator("textarea")
    assert area.count() == (0 if old_way else 1)
    if not old_way:
        assert area.evaluate("area => area.selectionEnd - area.selectionStart") == len(area.input_value()) > 100
        assert area.input_value().count("\t") > 10


def test_odd_values_stand_as_they_stood_before(opened: Open, tmp_path: Path) -> None:
    count = 20
    columns: dict[str, Any] = {
        "density": 0.8 ** np.arange(count),
        "error": np.minimum(0.9, 0.05 + 0.002 * 1.25 ** np.arange(count)),
        "note": np.array([f'a "b",\n{place} <i>' for place in range(count)], object),
        "tiny": 1.25e-7 * 1.7 ** np.arange(count),
        "huge": 123456.7 * 2.0 ** np.arange(count),
        "whole": 10_000_000 + np.arange(count),
        "good": np.arange(count) % 2 == 0,
        "word": np.array(["true", "1e5"] * (count // 2), object),
    }
    path = tmp_path / "odd.html"
    write_page(report(read_table(columns), draws=0), path)
    page = opened(path)
    holder = rows_of(page)
    before = holder.locator("tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.children].map(cell => cell.textContent))"
    )
    holder.get_by_role("button", name="Show more").click()
    expect(holder.locator("tbody tr")).to_have_count(count)
    after = holder.locator("tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.children].map(cell => cell.textContent))"
    )
    assert after[:FIRST] == before
    assert page.tab.locator("#table i").count() == 0
    assert page.console == []


def test_a_phone_shows_no_hashes_and_nothing_sticks_out(many_page: Path, opened: Open, tmp_path: Path) -> None:
    page = opened(many_page, width=390)
    page.draw_all()
    assert page.tab.evaluate("document.documentElement.scrollWidth") <= 390
    shown = (
        families(page)
        .locator("thead th")
        .evaluate_all("all => all.filter(one => one.offsetWidth).map(one => one.textContent)")
    )
    assert shown == ["family", "prune to density", "parameters left", "sigma"]
    rows = table([curve(3)])
    hashed = {**rows.columns, "ladder": np.array([f"{place % 7:032x}" for place in range(len(rows))], object)}
    path = tmp_path / "hashes.html"
    write_page(report(read_table(hashed), max_error=0.2, draws=0), path)
    for width, visible in ((390, False), (1280, True)):
        narrow = opened(path, width=width)
        assert rows_of(narrow).get_by_role("button", name="ladder", exact=True).is_visible() is visible
        assert rows_of(narrow).get_by_role("button", name="density", exact=True).is_visible()


def test_a_family_pointed_at_in_the_table_stands_out_among_the_drawings(many_page: Path, opened: Open) -> None:
    page = opened(many_page)
    panels = page.tab.locator("#families-at-a-glance .panel")
    shown = panels.evaluate_all("all => all.map((panel) => panel.dataset.name)")
    name = next(words for words in column(families(page), "family") if words in shown)
    families(page).locator("tbody th", has_text=re.compile(f"^{name}$")).hover()
    assert page.tab.locator("#families-at-a-glance .panel.aside").count() == len(shown) - 1
    assert page.tab.locator(f'#families-at-a-glance .panel[data-name="{name}"].aside').count() == 0
    page.tab.locator("h1").hover()
    assert page.tab.locator("#families-at-a-glance .panel.aside").count() == 0


def test_the_address_keeps_what_tables_are_filtered_and_sorted_by(many_page: Path, opened: Open) -> None:
    page = opened(many_page)
    families(page).locator("input[type=search]").fill("kind 1")
    sort(families(page), "sigma")
    sort(families(page), "sigma")
    rows_of(page).locator("input[type=search]").fill("0.8")
    expect(rows_of(page).locator("output")).to_contain_text(f" of {FAMILIES * 20} rows")
    shown = column(families(page), "family"), rows_of(page).locator("output").text_content()
    again = opened(many_page)
    again.tab.goto(many_page.as_uri() + page.tab.evaluate("location.hash"))
    again.tab.reload()
    expect(rows_of(again).locator("output")).to_have_text(str(shown[1]))
    assert column(families(again), "family") == shown[0]
    assert families(again).locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    families(again).locator("input[type=search]").fill("")
    assert "families=" not in again.tab.evaluate("location.hash")
    assert again.console == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_everybody_can_read_the_tables(many_page: Path, opened: Open, dark: bool) -> None:
    page = opened(many_page, dark=dark)
    page.draw_all()
    families(page).locator("input[type=search]").fill("kind 1")
    sort(families(page), "sigma")
    assert page.tab.evaluate(CONTRAST) == []
    assert page.tab.evaluate(NAMELESS) == []
    assert page.barriers() == []
    assert page.tab.locator("#families-at-a-glance .panel").count() == 24
    assert page.console == []


def test_without_scripts_no_control_stands_there_that_does_nothing(many_page: Path, browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(many_page.as_uri())
    assert tab.locator("#families tbody tr").count() == FAMILIES
    assert tab.locator(".table button, .table input").count() == 0
    context.close()
