"""Figures for a paper: their size in print, type that can be read, LaTeX around them, Vega-Lite."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import vl_convert
from click.testing import CliRunner
from PIL import Image

from prunescope.cli.main import cli
from prunescope.errors import InputError
from prunescope.markup import escaped
from prunescope.report import Report, write_figures
from prunescope.report.charts.picture_files import PrintSize, latex, rastered, whole
from prunescope.table import csv_parts
from tests.commands import fails
from tests.report.conftest import curve, table

INCHES, POINTS = 5.5, 396.0


def drawn_size(svg: str) -> float:
    return float(re.search(r'<svg[^>]*? width="([\d.]+)"', svg)[1])  # type: ignore[index]


def letters(svg: str) -> list[float]:
    return [float(size) for size in re.findall(r'font-size="([\d.]+)px"', svg)]


@pytest.fixture(scope="module")
def written(family_report: Report, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return all figures of a report as files for a paper, by name."""
    folder = tmp_path_factory.mktemp("figures")
    paths = write_figures(family_report, folder, ["tex", "json"], width=POINTS, font_size=8)
    return {path.name: path for path in paths}


def test_every_figure_is_as_wide_as_asked_and_its_type_can_be_read(
    family_report: Report, written: dict[str, Path]
) -> None:
    assert {path.suffix for path in written.values()} == {".tex", ".json", ".pdf"}
    for slug in family_report.figures:
        box = re.search(rb"MediaBox \[0 0 (\d+) \d+\]", written[f"{slug}.pdf"].read_bytes())
        assert box is not None
        assert int(box[1]) == pytest.approx(POINTS, abs=2), slug
        svg = vl_convert.vegalite_to_svg(written[f"{slug}.json"].read_text(encoding="utf-8"))
        assert drawn_size(svg) == pytest.approx(POINTS, abs=2), slug
        assert min(letters(svg)) >= 7


def test_a_file_keeps_all_panels(family_report: Report, written: dict[str, Path]) -> None:
    for slug, figure in family_report.figures.items():
        specification = json.loads(written[f"{slug}.json"].read_text(encoding="utf-8"))
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
    source = tmp_path / "one.csv"
    source.write_text("".join(csv_parts(table([curve(3)]))), encoding="utf-8")
    options = ["--draws", "0", "--figures", str(tmp_path / "figures"), "--format", "svg, json", "--width", "14cm"]
    done = CliRunner().invoke(cli, ["report", str(source), "-o", str(tmp_path / "page.html"), *options])
    assert done.exit_code == 0, done.output
    files = sorted((tmp_path / "figures").glob("error-by-density.*"))
    assert [file.suffix for file in files] == [".json", ".svg"]
    assert drawn_size(files[1].read_text(encoding="utf-8")) == pytest.approx(14 / 2.54 * 72, abs=2)
    assert "5.5in" in fails(2, "report", "renda2020", "--width", "5.5")
    page = tmp_path / "none.html"
    assert "pdf" in fails(2, "report", "renda2020", "-o", page, "--format", "pfd")  # before anything is computed
    assert not page.exists()


def test_many_marks_are_one_picture_in_a_pdf_that_looks_the_same(
    family_report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = family_report["estimated-against-actual"]
    panels, shapes = figure.draw(), whole(figure, size=PrintSize(POINTS, 8))
    assert rastered(shapes, panels) is shapes
    monkeypatch.setattr("prunescope.report.charts.picture_files.MANY", 10)
    pictures = rastered(shapes, panels)
    pdf = vl_convert.vegalite_to_pdf(pictures)
    assert pdf.count(b"/Subtype /Image") >= len(panels) > vl_convert.vegalite_to_pdf(shapes).count(b"/Subtype /Image")
    one, other = (_pixels(vl_convert.vegalite_to_png(content, scale=2)) for content in (shapes, pictures))
    assert one.shape == other.shape
    marks = np.abs(one - 255).sum(axis=2) > 200
    assert marks.mean() > 0.01
    assert np.abs(one - other)[marks].mean() < 25  # of 255: edges are smoothed anew
    assert np.abs(one - other).mean() < 1.5
    texts = [re.findall(r"<text[^>]*>([^<]+)", vl_convert.vegalite_to_svg(content)) for content in (shapes, pictures)]
    assert sorted(texts[0]) == sorted(texts[1])  # axes and legends say what they said


def _pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=float)
