"""Figures for a paper: their size in print, type that can be read, LaTeX around them, Vega-Lite."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import vl_convert

from prunescope.errors import InputError
from prunescope.latex import escaped
from prunescope.report import Report, write_figures
from prunescope.report.charts.picture_files import PrintSize, latex, whole
from tests.commands import fails, run

INCHES, POINTS = 5.5, 396.0


def drawn_size(svg: str) -> float:
    return float(re.search(r'<svg[^>]*? width="([\d.]+)"', svg)[1])  # type: ignore[index]


def letters(svg: str) -> list[float]:
    return [float(size) for size in re.findall(r'font-size="([\d.]+)px"', svg)]


def test_every_figure_is_as_wide_as_asked_and_its_type_can_be_read(family_report: Report) -> None:
    for figure in family_report.chapters[0].figures:
        svg = vl_convert.vegalite_to_svg(whole(figure, size=PrintSize(POINTS, 8)))
        assert drawn_size(svg) == pytest.approx(POINTS, abs=2), figure.slug
        assert min(letters(svg)) >= 7


def test_a_pdf_has_the_size_in_points_and_keeps_all_panels(family_report: Report, tmp_path: Path) -> None:
    paths = write_figures(family_report, tmp_path, ["tex", "json"], width=POINTS, font_size=8)
    by_name = {path.name: path for path in paths}
    assert {path.suffix for path in paths} == {".tex", ".json", ".pdf"}
    box = re.search(rb"MediaBox \[0 0 (\d+) \d+\]", by_name["error-by-density.pdf"].read_bytes())
    assert box is not None
    assert int(box[1]) == pytest.approx(POINTS, abs=2)
    specification = json.loads(by_name["error-by-density.json"].read_text(encoding="utf-8"))
    figure = next(one for one in family_report.chapters[0].figures if one.slug == "error-by-density")
    assert len(specification["concat"]) == len(figure.draw())
    assert "width" in specification["concat"][0]


def test_latex_has_caption_label_and_size(family_report: Report) -> None:
    figure = next(iter(family_report.chapters[0].figures))
    text = latex(figure, Path("2-error-by-parameters.tex"), PrintSize(POINTS))
    assert r"\includegraphics[width=396bp]{2-error-by-parameters.pdf}" in text
    assert r"\label{fig:2-error-by-parameters}" in text
    assert escaped(figure.caption) in text
    assert r"\linewidth" in latex(figure, Path("one.tex"))


def test_captions_survive_latex() -> None:
    words = "5 % of a_b & c: \N{GREEK SMALL LETTER GAMMA} \N{PLUS-MINUS SIGN} {1} \\ p\N{PRIME}~^ <x>"
    assert escaped(words) == (
        r"5 \% of a\_b \& c: $\gamma$ $\pm$ \{1\} \textbackslash{} $p'$\textasciitilde{}\textasciicircum{} "
        r"\textless{}x\textgreater{}"
    )


def test_impossible_sizes_and_formats_are_refused_together(family_report: Report, tmp_path: Path) -> None:
    with pytest.raises(InputError) as trouble:
        write_figures(family_report, tmp_path / "none", ["pfd"], width=5.5, font_size=100)
    faults = trouble.value.faults
    assert [fault.place for fault in faults] == ["the format", "the width", "the font size"]
    assert "pdf" in faults[0].hint
    assert not (tmp_path / "none").exists()


def test_the_command_takes_lengths_and_several_formats(tmp_path: Path) -> None:
    options = ["--draws", "0", "--figures", str(tmp_path / "figures"), "--format", "svg, json", "--width", "14cm"]
    run("report", "renda2020", "-o", str(tmp_path / "page.html"), "--where", "depth = 50", *options)
    files = sorted((tmp_path / "figures").glob("error-by-density.*"))
    assert [file.suffix for file in files] == [".json", ".svg"]
    assert drawn_size(files[1].read_text(encoding="utf-8")) == pytest.approx(14 / 2.54 * 72, abs=2)
    assert "5.5in" in fails(2, "report", "renda2020", "--width", "5.5")
    page = tmp_path / "none.html"
    assert "pdf" in fails(2, "report", "renda2020", "-o", page, "--format", "pfd")  # before anything is computed
    assert not page.exists()
