"""Reports to files: the page, and figures for a paper. What draws is loaded here, when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from prunescope.errors import Fault, InputError, MissingPackageError, nearest
from prunescope.report.chapters import Report

NEEDED = ("altair", "vl_convert", "jinja2")


def can_draw() -> bool:
    """Whether the packages that draw are installed."""
    return all(find_spec(name) is not None for name in NEEDED)


def need_drawing() -> None:
    """Refuse, in words, where the packages that draw are not installed."""
    if not can_draw():
        raise MissingPackageError("a report needs the extra `report`: pip install 'prunescope[report]'")


def write_page(report: Report, path: str | Path) -> None:
    """Write a report as one page that opens without a network, whole or not at all."""
    need_drawing()
    from prunescope.files import replacing
    from prunescope.report.page.rendering import page

    text = page(report)
    with replacing(Path(path)) as draft:
        draft.write_text(text, encoding="utf-8")


def format_faults(names: Sequence[str]) -> list[Fault]:
    """Return what is wrong with names of formats, and that there is none."""
    from prunescope.report.charts.picture_files import FORMATS

    must = f"must be one of {', '.join(FORMATS)}"
    wrong = [name for name in names if name not in FORMATS]
    return [Fault("the format", must, repr(name), nearest(str(name), FORMATS)) for name in wrong or [""] * (not names)]


def write_figures(
    report: Report,
    folder: str | Path,
    form: str | Sequence[str] = "svg",
    *,
    width: float | None = None,
    font_size: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write a report's figures into a folder, made if new, and return their paths.

    Figures of the second chapter are called ``2-...``, and so on.

    Parameters
    ----------
    form
        One or several of ``"svg"``, ``"png"``, ``"pdf"``, ``"tex"`` (LaTeX around the PDF, which is written too) and
        ``"json"`` (Vega-Lite).
    width
        Width of the whole figure in points, 1/72 inch; None: 300 a panel.
    font_size
        Size of the axes' labels in points; None: 11.
    progress
        Told how many figures are written, and of how many.
    """
    need_drawing()
    from prunescope.report.charts.picture_files import PrintSize, write_forms

    forms = [form] if isinstance(form, str) else list(dict.fromkeys(form))
    faults = format_faults(forms)
    for name, value, low, high in (("width", width, 72, 3000), ("font size", font_size, 4, 40)):
        if value is not None and not low <= value <= high:
            faults.append(Fault(f"the {name}", f"must be {low} to {high} points", f"{value:g}"))
    if faults:
        raise InputError("the figures", faults)
    if "tex" in forms and "pdf" not in forms:
        forms.append("pdf")
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for done, (slug, figure) in enumerate(report.figures.items()):
        if progress is not None:
            progress(done, len(report.figures))
        files = {name: target / f"{slug}.{name}" for name in forms}
        write_forms(figure, files, PrintSize(width, font_size))
        paths += files.values()
    return paths
