"""How long a report takes to make, and its page to draw. Goal: 5,000 rungs within 20 s."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tools.browser import found_browser

from benchmarks.clock import Figure, seconds
from prunescope.laws import joint_error
from prunescope.report import report
from prunescope.report.page.rendering import page
from prunescope.table import Table, read_table

DEPTHS, WIDTHS, EXAMPLES = (8, 14, 20, 26), (0.25, 0.5, 1.0, 2.0), (12_500, 25_000, 50_000, 100_000)
LEVELS, REPLICATES = 26, 3
LAW = {"eps_up": 0.9, "gamma": 1.1, "p_prime": 0.06, "phi": 0.9, "psi": 1.2}


def family() -> Table:
    """Return 4,992 rungs of 64 cells, made up from Eq. 2 with 3 % noise."""
    chance = np.random.default_rng(0)
    names = ("depth", "width", "examples", "replicate", "density", "error")
    parts: list[tuple[np.ndarray, ...]] = []
    density = 0.8 ** np.arange(LEVELS)
    for depth in DEPTHS:
        for width in WIDTHS:
            for examples in EXAMPLES:
                plateau = 0.04 + 0.3 * (depth * width**2) ** -0.35 * (examples / 50_000) ** -0.3 / 4
                error = joint_error(plateau, density, depth, width, **LAW)
                for replicate in range(REPLICATES):
                    noisy = error * (1 + 0.03 * chance.standard_normal(LEVELS))
                    same = (np.full(LEVELS, value) for value in (depth, width, examples, replicate))
                    parts.append((*same, density, noisy))
    columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    return read_table(dict(zip(names, columns, strict=True)))


def measure() -> Iterator[Figure]:
    """Measure a report of about 5,000 rungs, its page, and what a browser makes of it."""
    rows = family()
    made = report(rows, max_error=0.2)
    yield (
        f"report of {len(rows):,} rungs: laws, choices, figures' numbers",
        "s",
        seconds(lambda: report(rows, max_error=0.2), 3),
    )
    text = page(made)
    yield f"its page, {len(text.encode()) / 1e6:.2f} MB", "s", seconds(lambda: page(made), 3)
    browser = found_browser()
    if browser is not None:
        opened, drawn = _drawn(text, browser)
        yield "opened in a browser, its first screen painted", "s", opened
        yield "all its figures drawn in a browser", "s", drawn


def _drawn(text: str, browser: str) -> tuple[list[float], list[float]]:
    """Return how long the first screen takes, and all figures, which are drawn as one comes near them."""
    from playwright.sync_api import expect, sync_playwright

    opened: list[float] = []
    taken: list[float] = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "report.html"
        path.write_text(text, encoding="utf-8")
        launched = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for _ in range(3):
            tab = launched.new_page()
            begun = time.perf_counter()
            tab.goto(path.as_uri())
            tab.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            opened.append(time.perf_counter() - begun)
            tab.evaluate("dispatchEvent(new Event('beforeprint'))")
            expect(tab.locator(".panel:not([data-drawn])")).to_have_count(0, timeout=300_000)
            taken.append(time.perf_counter() - begun)
            tab.close()
        launched.close()
    return opened, taken
