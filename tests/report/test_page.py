"""The page in a real browser: it asks nobody for anything, agrees with the library, and can be used by everybody."""

from __future__ import annotations

import csv
import io
import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from prunescope.choose import smallest_network
from prunescope.choose.counts import amount
from prunescope.laws.results import number
from prunescope.report import Report, report, write_page
from prunescope.report.charts.picture_files import svg
from prunescope.report.charts.theme import LIGHT
from prunescope.report.figures.curves import Curves
from prunescope.report.groups import decide, report_groups
from prunescope.report.page.rendering import page
from prunescope.table import Table, read_table
from tests.choose.test_choice import planted
from tests.report.conftest import BOUND, Open, Opened

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&\"'"


def downloaded(page: Opened, button: str) -> str:
    with page.tab.expect_download(timeout=120_000) as waiting:
        page.tab.get_by_role("button", name=button, exact=True).click()
    return Path(waiting.value.path()).read_text(encoding="utf-8")


def test_the_page_draws_all_of_it_and_asks_nobody_for_anything(
    page_file: Path, opened: Open, family_report: Report
) -> None:
    page = opened(page_file)
    page.draw_all()
    assert page.tab.locator("figure").count() == len(list(family_report.chapters[0].figures)) == 11
    assert page.tab.locator(".panel svg, .panel canvas").count() == page.tab.locator(".panel").count() >= 15
    assert page.console == []
    assert page.requests == []
    assert "http" not in page.tab.evaluate("performance.getEntriesByType('resource').map(each => each.name).join()")


def test_the_page_is_one_file_below_three_megabytes(page_file: Path) -> None:
    text = page_file.read_text(encoding="utf-8")
    assert len(text.encode()) < 3_000_000
    assert not re.search(r"<(?:link|iframe|object|embed|base)\b|\ssrc=|@import|url\(", text.split("<script>")[0])


def test_only_the_two_scripts_of_the_page_may_run(page_file: Path, opened: Open) -> None:
    page = opened(page_file)
    page.tab.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "window.stranger = 1";
        document.body.append(script);
        document.body.insertAdjacentHTML("beforeend", "<img alt='' src=x onerror='window.stranger = 2'>");
    }""")
    assert page.tab.evaluate("window.stranger") is None
    assert page.tab.evaluate("(() => { try { return new Function('return 1')() } catch { return 'refused' } })()")
    policy = page.tab.locator("meta[http-equiv]").get_attribute("content")
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert policy.split("script-src")[1].split(";")[0].count("sha256-") == 2


def test_the_slider_tells_what_the_library_computes(page_file: Path, opened: Open, family: Table) -> None:
    page = opened(page_file)
    page.draw_all()
    stops = json.loads(page.tab.locator("script.stops").text_content())
    slider = page.tab.locator("input[type=range]")
    assert stops[int(slider.input_value())]["bound"] == BOUND
    typed, answered = page.tab.locator("input[type=number]"), 0
    (group,) = report_groups(family).all
    places = sorted({round(float(place)) for place in np.linspace(0, len(stops) - 1, 20)})
    for place in places:
        slider.fill(str(place))
        bound = stops[place]["bound"]
        assert typed.input_value() == number(bound) == slider.get_attribute("aria-valuetext")
        assert page.tab.locator(".headline").text_content() == stops[place]["headline"]
        answer, why = decide(group, bound, 0.9)
        cells = page.tab.locator(".slider tbody td").all_text_contents()
        if answer is None:
            assert page.tab.locator(".why").text_content() == why
            assert not page.tab.locator("table.choice").is_visible()
            continue
        answered += 1
        assert page.tab.locator(".heed li").all_text_contents() == list(answer.notes)
        for column, pick in enumerate((answer.choice, answer.robust)):
            if pick is None:
                assert set(cells[column::2]) == {"none"}
                continue
            name, density, parameters, error, odds = cells[column::2]
            assert name == pick.name
            assert density.startswith(
                f"{number(pick.density)} ({number(pick.density_low)} to {number(pick.density_high)}"
            )
            assert (
                parameters
                == f"{amount(pick.parameters)} ({amount(pick.parameters_low)} to {amount(pick.parameters_high)})"
            )
            assert error == f"{number(pick.error)} ({number(pick.low)} to {number(pick.high)})"
            assert odds == f"{100 * pick.probability:.0f} % of training runs"
    assert len(places) == 20
    assert answered >= 10
    # What the report decides by is what `choose` decides by.
    alone = smallest_network(family, stops[places[10]]["bound"]).answers
    assert alone[0].choice == decide(group, stops[places[10]]["bound"], 0.9)[0].choice  # type: ignore[union-attr]


def test_a_typed_bound_shows_the_next_lower_one_and_the_address_keeps_it(page_file: Path, opened: Open) -> None:
    page = opened(page_file)
    stops = json.loads(page.tab.locator("script.stops").text_content())
    slider, typed = page.tab.locator("input[type=range]"), page.tab.locator("input[type=number]")
    between = (stops[7]["bound"] * stops[8]["bound"]) ** 0.5
    typed.fill(f"{between:.6g}")
    typed.press("Enter")
    assert slider.input_value() == "7"
    assert page.tab.locator(".headline").text_content() == stops[7]["headline"]
    page.tab.locator("#theme").click()
    address = page.tab.evaluate("location.hash")
    assert address == f"#bound={between:.6g}&theme=dark"
    again = opened(page_file)
    again.tab.goto(page_file.as_uri() + address)
    again.tab.reload()
    assert again.tab.locator("input[type=range]").input_value() == "7"
    assert again.tab.locator("input[type=number]").input_value() == f"{between:.6g}"
    assert again.tab.evaluate("document.documentElement.dataset.theme") == "dark"
    assert again.console == []
    again.tab.goto(page_file.as_uri() + "#bound=nonsense&theme=<b>")
    again.tab.reload()
    assert stops[int(again.tab.locator("input[type=range]").input_value())]["bound"] == BOUND


def test_the_first_screen_holds_sentence_slider_and_figure(page_file: Path, opened: Open) -> None:
    page = opened(page_file)
    page.tab.set_viewport_size({"width": 1280, "height": 800})
    page.draw_all()
    for what in (".headline", ".slider [type=range]", ".asked table.choice", ".asked .panel svg >> nth=0"):
        box = page.tab.locator(what).bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 800, what
    assert page.tab.locator("section.missing, .doubts").first.bounding_box()["y"] > 800


def test_contents_lead_to_places_of_the_page(page_file: Path, opened: Open) -> None:
    page = opened(page_file)
    places = page.tab.locator(".contents a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert len(places) >= 6
    assert all(page.tab.locator(place).count() == 1 for place in places)


# A table of as many columns as studies have.
WIDENED = """() => {
    for (const row of document.querySelectorAll("#table tr"))
        for (const cell of [...row.children, ...row.children]) row.append(cell.cloneNode(true));
}"""

CUT = """() => [...document.querySelectorAll(".panel")].flatMap((panel) => {
    const outer = panel.getBoundingClientRect();
    return [...panel.querySelectorAll("svg, canvas")].filter((drawing) => drawing.getClientRects().length)
        .map((drawing) => drawing.getBoundingClientRect())
        .filter((inner) => inner.right > outer.right + 1 || inner.bottom > outer.bottom + 1 || inner.width < 50)
        .map((inner) => `${panel.closest("figure").id}: ${inner.width} x ${inner.height}`);
})"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_on_paper_nothing_is_cut_off_and_all_is_dark_on_white(page_file: Path, opened: Open, dark: bool) -> None:
    page = opened(page_file, dark=dark)
    expect(page.tab.locator(".panel:not([data-drawn])")).to_have_count(0, timeout=120_000)  # without scrolling
    if dark:
        expect(page.tab.locator(".panel:not(:has(.paper))")).to_have_count(0, timeout=120_000)
        expect(page.tab.locator(".paper:not(:has(svg, canvas))")).to_have_count(0, timeout=120_000)
    page.tab.emulate_media(media="print")
    page.tab.set_viewport_size({"width": 690, "height": 980})  # A4 less margins
    assert page.tab.evaluate(CUT) == []
    page.tab.evaluate(WIDENED)
    assert page.tab.evaluate("document.documentElement.scrollWidth") <= 690
    assert page.tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    shown = "[...document.querySelectorAll('.panel > div')].filter(one => one.getClientRects().length)"
    assert page.tab.evaluate(f"{shown}.length") == page.tab.locator(".panel").count()
    title = f"{shown}.map(one => one.querySelector('.role-title-text text')?.getAttribute('fill')).filter(Boolean)"
    assert set(page.tab.evaluate(title)) == {LIGHT.text}


def test_the_figure_follows_the_slider(page_file: Path, opened: Open) -> None:
    page = opened(page_file)
    page.draw_all()
    line = page.tab.locator("figure").first.locator(".panel").first.locator("g.mark-rule.role-mark line").first
    before = str(line.get_attribute("transform"))
    page.tab.locator("input[type=range]").press("ArrowRight")
    expect(line).not_to_have_attribute("transform", before)
    heights = [
        float(transform.split(",")[1].rstrip(")")) for transform in (before, str(line.get_attribute("transform")))
    ]
    assert heights[1] < heights[0]


def test_a_figure_hands_out_its_numbers(page_file: Path, opened: Open, family_report: Report) -> None:
    page = opened(page_file)
    for figure in family_report.chapters[0].figures:
        rows = list(csv.reader(io.StringIO(downloaded(page, f"Numbers of {figure.title} as CSV"))))
        assert tuple(rows[0]) == figure.columns
        assert len(rows) == len(figure.rows) + 1
        for line, row in zip(rows[1:], figure.rows, strict=True):
            for text, name in zip(line, figure.columns, strict=True):
                value = getattr(row, name)
                expected = "" if value is None else value
                assert (
                    (float(text) == pytest.approx(expected, rel=1e-6))
                    if isinstance(value, float)
                    else text == str(expected)
                )


def test_a_figure_hands_out_a_picture(page_file: Path, opened: Open, family_report: Report) -> None:
    page = opened(page_file)
    title = next(iter(family_report.chapters[0].figures)).title
    page.draw_all()
    assert downloaded(page, f"{title} as SVG").startswith("<svg")
    with page.tab.expect_download(timeout=120_000) as waiting:
        page.tab.get_by_role("button", name=f"{title} as PNG", exact=True).click()
    assert Path(waiting.value.path()).read_bytes().startswith(b"\x89PNG")


def test_a_picture_taken_from_the_page_is_the_one_that_figures_are_written_as(
    page_file: Path, opened: Open, family_report: Report
) -> None:
    page = opened(page_file, dark=True)
    figure = family_report["error-by-density"]
    written = svg(figure)
    with page.tab.expect_download(timeout=120_000) as waiting:
        page.tab.get_by_role("button", name=f"{figure.title} as SVG", exact=True).click()
    assert waiting.value.suggested_filename == "error-by-density.svg"
    taken = Path(waiting.value.path()).read_text(encoding="utf-8")
    for what in (r"<text[^>]*>([^<]+)</text>", r'aria-roledescription="(\w+) mark', r'(?:fill|stroke)="(#\w+)"'):
        assert sorted(re.findall(what, taken)) == sorted(re.findall(what, written)), what
    for side in ("width", "height"):  # letters are as wide as in the browser's font
        sizes = [float(re.findall(rf'<svg[^>]*? {side}="([\d.]+)"', picture)[0]) for picture in (taken, written)]
        assert sizes[0] == pytest.approx(sizes[1], rel=0.05)
    assert page.console == []


def test_a_figure_is_made_larger_and_small_again(page_file: Path, opened: Open) -> None:
    page = opened(page_file)
    page.draw_all()
    panel = page.tab.locator("#error-by-density .panel").first
    drawn, button = panel.locator(".screen svg"), page.tab.locator("#error-by-density button.zoom")
    before = drawn.bounding_box()
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    page.tab.wait_for_function(
        f"document.querySelector('#error-by-density svg').clientHeight > {1.3 * before['height']}"
    )
    assert drawn.bounding_box()["width"] > 2 * before["width"]
    assert drawn.bounding_box()["width"] <= panel.bounding_box()["width"] + 1
    button.click()
    page.tab.wait_for_function(f"document.querySelector('#error-by-density svg').clientWidth <= {before['width'] + 1}")
    assert page.console == []


def test_arrow_keys_tell_the_values_of_a_figure(page_file: Path, opened: Open, family_report: Report) -> None:
    page = opened(page_file)
    page.draw_all()
    figure = family_report["error-by-density"]
    assert isinstance(figure, Curves)
    panel = [point for point in figure.points if point.what == "measured" and point.panel == figure.panels[0].title]
    member = min((point for point in panel if point.member == figure.panels[0].labels[0]), key=lambda one: one.density)
    page.tab.locator("#error-by-density .panels").focus()
    page.tab.keyboard.press("ArrowRight")
    tip = page.tab.locator("#tip[data-shown]")
    assert tip.get_attribute("role") == "status"  # a screen reader reads it out
    told = dict(line.split(": ") for line in tip.locator("div").all_text_contents())
    assert float(told["density"]) == pytest.approx(member.density, rel=1e-3)
    assert float(told["error"]) == pytest.approx(member.error, rel=1e-3)
    box, drawn = tip.bounding_box(), page.tab.locator("#error-by-density .panel").first.bounding_box()
    assert drawn["x"] < box["x"] < drawn["x"] + drawn["width"]
    assert drawn["y"] < box["y"] < drawn["y"] + drawn["height"]
    page.tab.keyboard.press("ArrowRight")
    further = dict(line.split(": ") for line in tip.locator("div").all_text_contents())
    assert float(further["density"]) > float(told["density"])
    page.tab.keyboard.press("PageDown")
    assert page.tab.locator("#tip div").first.text_content() != f"{figure.panels[0].varied}: {member.member}"
    page.tab.keyboard.press("Escape")
    expect(tip).to_have_count(0)


def test_the_page_hands_out_the_whole_table(page_file: Path, opened: Open, family: Table, tmp_path: Path) -> None:
    page = opened(page_file)
    path = tmp_path / "rows.csv"
    path.write_text(downloaded(page, f"All {len(family):,} rows as CSV"))
    assert read_table(path) == family
    assert page.tab.locator("#table tbody tr").count() == 12


def test_the_keyboard_reaches_everything(page_file: Path, opened: Open) -> None:
    page = opened(page_file)
    wanted = page.tab.evaluate("""() => {
        const all = [...document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")];
        all.forEach((each, place) => { each.dataset.place = place; });
        return all.length;
    }""")
    reached = set()
    for _ in range(wanted + 2):
        page.tab.keyboard.press("Tab")
        reached.add(page.tab.evaluate("document.activeElement.dataset.place"))
        if len(reached) == wanted:
            break
    assert reached == {str(place) for place in range(wanted)}
    page.tab.locator("#theme").focus()
    page.tab.keyboard.press("Enter")
    assert page.tab.evaluate("document.documentElement.dataset.theme") == "dark"


CONTRAST = """() => {
    const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((each) => each / 255)
        .map((each) => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4)
        .reduce((sum, each, place) => sum + each * [0.2126, 0.7152, 0.0722][place], 0);
    const ground = (element) => {
        for (let each = element; each; each = each.parentElement) {
            const [r, g, b, a = 1] = numbers(getComputedStyle(each).backgroundColor);
            if (a > 0.99) return [r, g, b];
        }
        return [255, 255, 255];
    };
    const poor = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || element.closest("script, style, noscript, [hidden]")) continue;
        if (!element.getClientRects().length) continue;
        const style = getComputedStyle(element);
        const drawn = element.closest("svg");
        const [one, other] = [light(numbers(drawn ? style.fill : style.color)), light(ground(element))].sort();
        const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        if (ratio < 4.5) poor.push(`${walker.currentNode.data.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
    }
    return poor;
}"""

NAMED = "button, input, select, a[href], [role=img], [role=region], [role=group]"
NAMELESS = f"""() => [...document.querySelectorAll("{NAMED}")]
    .filter((each) => !each.closest("svg"))
    .filter((each) => !each.getAttribute("aria-label") && !each.labels?.length)
    .filter((each) => each.tagName === "SELECT" || !each.textContent.trim())
    .map((each) => each.outerHTML.slice(0, 80))"""

HEADINGS = """() => [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")]
    .filter((each) => each.getClientRects().length).map((each) => Number(each.tagName[1]))"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_everybody_can_read_the_page(page_file: Path, opened: Open, dark: bool) -> None:
    page = opened(page_file, dark=dark)
    page.draw_all()
    assert page.tab.evaluate(CONTRAST) == []
    assert page.tab.evaluate(NAMELESS) == []
    assert page.barriers() == []
    assert page.tab.locator(".panel > :not([aria-hidden=true])").count() == 0  # a panel's name says what it shows
    levels = page.tab.evaluate(HEADINGS)
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.tab.evaluate("document.documentElement.lang") == "en"
    assert (
        page.tab.evaluate("new Set([...document.querySelectorAll('[id]')].map(each => each.id)).size")
        == page.tab.locator("[id]").count()
    )


def test_a_toggle_beats_the_systems_theme(page_file: Path, opened: Open) -> None:
    page = opened(page_file, dark=True)
    page.draw_all()
    colour = "getComputedStyle(document.body).backgroundColor"
    dark = page.tab.evaluate(colour)
    title = page.tab.locator(".panel svg .role-title-text text").first
    before = title.get_attribute("fill")
    page.tab.locator("#theme").click()
    assert page.tab.evaluate(colour) != dark
    expect(title).not_to_have_attribute("fill", before)
    assert page.tab.evaluate(CONTRAST) == []


def test_the_page_fits_a_phone(page_file: Path, opened: Open) -> None:
    page = opened(page_file, width=390)
    page.draw_all()
    assert page.tab.evaluate("document.documentElement.scrollWidth") <= 390
    widest = "Math.max(...[...document.querySelectorAll('.panel svg, .panel canvas')].map(each => each.clientWidth))"
    assert page.tab.evaluate(widest) <= 390


def test_words_of_strangers_harm_nobody(opened: Open, tmp_path: Path) -> None:
    columns = planted(noise=0.02, replicates=2, levels=10)
    count = len(columns["error"])
    strange = {**columns, "family": [EVIL] * count, "dataset": [EVIL] * count, EVIL: ["x"] * count}
    odd = report(read_table(strange), max_error=0.2, draws=0)
    path = tmp_path / "strange.html"
    write_page(odd, path)
    page = opened(path)
    page.draw_all()
    assert page.dialogs == []
    assert page.console == []
    assert EVIL in page.tab.locator("h1").text_content()
    assert page.tab.locator("script").count() == path.read_text().count("<script")
    assert page.tab.locator("img").count() == 0


def test_the_same_report_makes_the_same_page(family_report: Report, page_file: Path) -> None:
    assert page(family_report) == page_file.read_text(encoding="utf-8")
