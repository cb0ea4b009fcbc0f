"""Reports to files: the page, and figures for a paper. What draws is loaded here, when it is needed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from prunescope.errors import MissingPackageError
from prunescope.report.chapters import Report

NEEDED = ("altair", "vl_convert", "jinja2")


def need_drawing() -> None:
    """Refuse, in words, where the packages that draw are not installed."""
    if any(find_spec(name) is None for name in NEEDED):
        raise MissingPackageError("a report needs the extra `report`: pip install 'prunescope[report]'")


def write_page(report: Report, path: str | Path) -> None:
    """Write a report as one page that opens without a network, whole or not at all."""
    need_drawing()
    from prunescope.files import replacing
    from prunescope.report.page.rendering import page

    text = page(report)
    with replacing(Path(path)) as draft:
        draft.write_text(text, encoding="utf-8")


def write_figures(report: Report, folder: str | Path, form: str = "svg") -> list[Path]:
    """Write a report's figures into a folder, made if new, as ``"svg"``, ``"png"`` or ``"pdf"``; return their paths.

    Figures of the second chapter are called ``2-...``, and so on.
    """
    need_drawing()
    from prunescope.report.charts.picture_files import write_figure

    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    paths = []
    for place, chapter in enumerate(report.chapters):
        for figure in chapter.figures:
            before = "" if place == 0 else f"{place + 1}-"
            paths.append(target / f"{before}{figure.slug}.{form}")
            write_figure(figure, paths[-1], form)
    return paths
