"""Pointing at an entry of a legend, in a real browser: the others stand back, and files know nothing of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import altair as alt
from playwright.sync_api import expect

from prunescope.report import Report
from prunescope.report.charts.picture_files import specification, whole
from prunescope.report.charts.theme import LIGHT
from prunescope.report.page.content import BACK, POINTED, drawing, highlighted, legend_of
from tests.report.conftest import Open, Opened
from tests.report.test_page import downloaded

# Opacity of the points of a panel by their colour, the most opaque and the least.
POINTS = """(panel) => {
    const all = {};
    for (const path of panel.querySelectorAll(".screen g.mark-symbol.role-mark path")) {
        const opacity = Number(path.getAttribute("opacity") ?? 1);
        (all[path.getAttribute("fill")] ||= []).push(opacity);
    }
    const ends = ([fill, some]) => [fill, [Math.min(...some), Math.max(...some)]];
    return Object.fromEntries(Object.entries(all).map(ends));
}"""

# What names a line: an entry of a legend, or words at its end.
NAMES = ".role-legend-label text, .screen g.mark-text.role-mark text"


def opacities(page: Opened, slug: str, place: int) -> list[list[float]]:
    shades: dict[str, list[float]] = page.tab.locator(f"#{slug} .panel").nth(place).evaluate(POINTS)
    return list(shades.values())


def dimmed(page: Opened, slug: str, place: int, count: int) -> None:
    """Expect so many members of a panel to stand back and the others not to."""
    page.tab.wait_for_function(
        f"([panel, count]) => Object.values(({POINTS})(panel)).filter(([, most]) => most < 0.2).length === count",
        arg=[page.tab.locator(f"#{slug} .panel").nth(place).element_handle(), count],
        timeout=20_000,
    )
    assert sum(least > 0.9 for least, _ in opacities(page, slug, place)) == len(opacities(page, slug, place)) - count


def test_a_pointer_at_an_entry_lets_the_others_stand_back(page_file: Path, opened: Open) -> None:
    page = opened(page_file)
    page.draw_all()
    slug = "error-by-density"
    page.tab.locator(f"#{slug}").scroll_into_view_if_needed()
    members = len(opacities(page, slug, 0))
    assert members >= 2
    dimmed(page, slug, 0, 0)
    entry = page.tab.locator(f"#{slug} .panel").nth(0).locator(NAMES).first
    entry.hover(force=True)
    dimmed(page, slug, 0, members - 1)
    dimmed(page, slug, 1, 0)  # what varies there has names of its own
    page.tab.locator(f"#{slug} figcaption").hover()
    dimmed(page, slug, 0, 0)
    assert page.console == []


def test_the_keyboard_points_out_a_member_in_every_panel_that_has_it(page_file: Path, opened: Open) -> None:
    page = opened(page_file)
    page.draw_all()
    slug = "error-by-invariant"
    select = page.tab.locator(f"#{slug} select.point")
    names = select.locator("option").all_text_contents()
    assert names[1].startswith("width ")
    assert names[-1].startswith("depth ")
    select.focus()
    page.tab.keyboard.press("ArrowDown")
    assert select.locator("option:checked").text_content() == names[1]
    members = len(opacities(page, slug, 0))
    dimmed(page, slug, 0, members - 1)
    dimmed(page, slug, 1, 0)
    page.tab.locator("#theme").click()  # drawn anew, it still stands back
    page.tab.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    dimmed(page, slug, 0, members - 1)
    # The pointer shows another for a while, and what was chosen comes back.
    name = page.tab.locator(f"#{slug} .panel").nth(1).locator(NAMES)
    name.get_by_text(names[-1].removeprefix("depth "), exact=True).first.hover(force=True)
    dimmed(page, slug, 1, len(opacities(page, slug, 1)) - 1)
    dimmed(page, slug, 0, 0)
    page.tab.locator(f"#{slug} figcaption").hover()
    dimmed(page, slug, 0, members - 1)
    dimmed(page, slug, 1, 0)
    select.select_option(index=0)
    dimmed(page, slug, 0, 0)
    assert page.console == []


def test_what_is_pointed_out_stands_in_the_address_and_in_every_figure_that_has_it(
    page_file: Path, opened: Open
) -> None:
    page = opened(page_file)
    page.draw_all()
    first, other = "error-by-density", "error-by-invariant"
    option = page.tab.locator(f"#{first} select.point option").nth(1)
    words = str(option.text_content())
    page.tab.locator(f"#{first} select.point").select_option(index=1)
    assert page.tab.locator(f"#{other} select.point option:checked").text_content() == words
    dimmed(page, other, 0, len(opacities(page, other, 0)) - 1)
    address = page.tab.evaluate("location.hash")
    assert address == f"#point={words.replace(' ', '+')}"
    again = opened(page_file)
    again.tab.goto(page_file.as_uri() + address)
    again.tab.reload()
    again.draw_all()
    assert again.tab.locator(f"#{first} select.point option:checked").text_content() == words
    dimmed(again, first, 0, len(opacities(again, first, 0)) - 1)
    again.tab.locator(f"#{other} select.point").select_option(index=0)
    dimmed(again, first, 0, 0)
    assert again.tab.evaluate("location.hash") == ""
    assert again.console == []


def test_a_member_is_pointed_out_in_both_drawings_of_its_figure(page_file: Path, opened: Open) -> None:
    page = opened(page_file)
    page.draw_all()
    slug = "error-by-parameters"
    signal = page.tab.locator(f"#{slug} script.numbers").evaluate(
        "script => JSON.parse(script.textContent).panels.map((panel) => panel.legend.signal)"
    )
    assert signal == ["pointed_member_legend"] * 2
    before = plain(downloaded(page, "Error by parameters, and the smallest network as SVG"))
    page.tab.locator(f"#{slug} select.point").select_option(index=1)
    dimmed(page, slug, 1, len(opacities(page, slug, 1)) - 3)  # the two choices stay
    lines = page.tab.locator(f"#{slug} .panel").nth(0).locator(".screen g.mark-line.role-mark path")
    expect(lines.first).to_be_attached()
    shades = lines.evaluate_all("all => all.map((one) => Number(one.getAttribute('opacity') ?? 1))")
    assert sorted(set(shades)) == [BACK, 1]
    page.tab.locator(f"#{slug} select.point").select_option(index=0)
    assert plain(downloaded(page, "Error by parameters, and the smallest network as SVG")) == before


def plain(svg: str) -> str:
    """Return a picture without the running numbers of its parts."""
    return re.sub(r"(clip|gradient_)\d+", r"\1", svg)


def test_files_know_nothing_of_pointing(family_report: Report) -> None:
    pointed = 0
    for figure in family_report.chapters[0].figures:
        assert POINTED not in json.dumps(whole(figure))
        content = drawing(figure, figure.slug).content
        first, *others = figure.draw()
        for panel, made in zip((first, *others), content["panels"], strict=True):
            plain = specification(panel)
            if legend_of(plain) is None:
                assert made["legend"] is None
                assert POINTED not in json.dumps(made["spec"])
                continue
            pointed += 1
            config = LIGHT.config(panel.palette, panel.colours)
            shown = highlighted(plain, config)
            if panel is first:  # drawings of a figure are made alike, and the schema takes a second each
                alt.Chart.from_dict(shown, validate=True)
            assert without(shown) == plain
    assert pointed >= 8


def without(content: Any) -> Any:
    """Return a specification without what points out, where that says how opaque marks are by themselves."""
    if isinstance(content, dict):
        kept = {
            name: without(value)
            for name, value in content.items()
            if name != "opacity" or not isinstance(value, dict) or POINTED not in json.dumps(value)
        }
        if "params" in kept:
            kept["params"] = [param for param in kept["params"] if not param["name"].startswith(POINTED)]
            if not kept["params"]:
                kept.pop("params")
        return kept
    return [without(value) for value in content] if isinstance(content, list) else content
