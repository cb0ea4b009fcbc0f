"""A report of a family with a known law, its page, and a browser to open it in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright
from tools.browser import HOW, found_browser

from prunescope.report import Report, report, write_page
from prunescope.table import Table, read_table
from tests.choose.test_choice import planted

BOUND = 0.2
FAMILIES = 30
LEVELS = 20


def curve(number: int, dataset: str = "digits") -> dict[str, np.ndarray]:
    """Return a network that can be pruned the further, the higher its number, measured with its own noise."""
    chance = np.random.default_rng(number)
    density = 0.8 ** np.arange(LEVELS)
    error = np.minimum(0.9, 0.05 + 0.002 * 1.25 ** (np.arange(LEVELS) - number / 5))
    return {
        "family": np.full(LEVELS, "net", object),
        "dataset": np.full(LEVELS, dataset, object),
        "kind": np.full(LEVELS, number),
        "density": density,
        "error": error * (1 + 0.002 * number * chance.standard_normal(LEVELS)),
    }


def table(parts: list[dict[str, np.ndarray]]) -> Table:
    return read_table({name: np.concatenate([columns[name] for columns in parts]) for name in parts[0]})


@pytest.fixture(scope="session")
def family() -> Table:
    """Return the measurements of a family whose law is known, with replicates."""
    return read_table(planted(noise=0.03, replicates=3), "width <= 0.5")


@pytest.fixture(scope="session")
def family_report(family: Table, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Return its report."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        return report(family, max_error=BOUND, draws=2)


@pytest.fixture(scope="session")
def page_file(family_report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return its page."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        write_page(family_report, path)
    return path


@pytest.fixture(scope="session")
def many() -> Report:
    """Return a report of 30 families on one dataset."""
    return report(table([curve(number) for number in range(FAMILIES)]), draws=0)


@pytest.fixture(scope="session")
def many_page(many: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return its page."""
    path = tmp_path_factory.mktemp("many") / "report.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        write_page(many, path)
    return path


@dataclass
class Opened:
    """A page in a browser, and what it did that it should not.

    Attributes
    ----------
    tab
        The page as playwright has it.
    console, requests, dialogs
        Warnings and errors; what it asked for besides itself; dialogs that it opened.
    """

    tab: Any
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def refuse(self, dialog: Any) -> None:
        """Note a dialog, and close it."""
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def draw_all(self) -> None:
        """Scroll through the page until every figure is drawn."""
        self.tab.evaluate("dispatchEvent(new Event('beforeprint'))")
        expect(self.tab.locator(".panel:not([data-drawn])")).to_have_count(0, timeout=120_000)

    def barriers(self) -> list[str]:
        """Return what axe finds to keep people from using the page, with the first element of each."""
        violations = Axe().run(self.tab).response["violations"]
        return [f"{rule['id']}: {rule['nodes'][0]['html'][:200]}" for rule in violations]


Open = Callable[..., Opened]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Return a browser; where there is none, tests say so: they fail where CI is set and are skipped elsewhere."""
    path = found_browser()
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"no browser: {HOW}")
        pytest.skip(HOW)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Open]:
    """Return what opens a page: ``opened(path, dark=True, width=390)``."""
    contexts = []

    def open_(path: Path, *, dark: bool = False, width: int = 1280) -> Opened:
        scheme = "dark" if dark else "light"
        context = browser.new_context(
            color_scheme=scheme, viewport={"width": width, "height": 900}, accept_downloads=True, offline=True
        )
        contexts.append(context)
        tab = context.new_page()
        page = Opened(tab)
        tab.on("console", lambda message: page.console.append(message.text) if message.type in BAD else None)
        tab.on("pageerror", lambda trouble: page.console.append(str(trouble)))
        tab.on("request", lambda request: page.requests.append(request.url) if foreign(request.url, path) else None)
        tab.on("dialog", page.refuse)
        tab.goto(path.as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()


BAD = ("error", "warning", "assert")


def foreign(url: str, path: Path) -> bool:
    """Whether a request is for anything but the page itself and what it holds."""
    return not url.startswith((path.as_uri(), "data:", "blob:"))
