"""What the lens sees, in a report: the numbers of its figures are those of the look, and partial stores are shown."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prunescope.data import load
from prunescope.lens import CellResult, analyze
from prunescope.lens.influence import Influence, LeftOutGroup
from prunescope.report import Chapter, Report, report, write_page
from prunescope.report.figures.el2n import El2nGroups, el2n_groups, treatment_groups
from prunescope.report.figures.examples import NOISY, SHOWN, ExtremeExamples, extreme_examples, suspect_labels
from prunescope.report.figures.leave_outs import RANDOM, influence, leave_outs
from prunescope.report.figures.noise import DENSE, PRUNED, Losses, Noise, losses, noise
from prunescope.report.figures.treatments import (
    DENSE as ACROSS,
)
from prunescope.report.figures.treatments import (
    PRUNING,
    Ablations,
    Extended,
    Narrow,
    ablations,
    extended,
    narrow,
)
from prunescope.report.page.content import png
from prunescope.study import Ladder
from prunescope.study.sections import Treatment
from prunescope.table import Store
from tests.lens.planted import IMP, Figures, Plant, plain_figures, plain_losses, study
from tests.report.conftest import Open

TREATMENTS = (
    IMP,
    Treatment(kind="extended"),
    Treatment(kind="narrow"),
    Treatment(kind="imp", name="random", rewind="learning-rate", score="random"),
    Treatment(kind="leave-out", name="improved", learns_from="imp"),
)
ALL = {
    "error-under-label-noise",
    "training-loss-by-density",
    "loss-by-el2n",
    "loss-by-el2n-over-sparsities",
    "examples-changed-most",
    "pruning-beside-extended-training",
    "pruning-beside-narrower-networks",
    "other-ways-of-pruning",
    "labels-most-likely-wrong",
    "loss-by-el2n-of-other-treatments",
    "trained-without-some-examples",
}


def figures(ladder: Ladder, number: int) -> Figures:
    """Give plain figures, and under label noise a loss of the noisy examples."""
    plain = plain_figures(ladder, number)
    return {**plain, "train_loss_noisy": 1.5 + 0.2 * number} if ladder.cell.label_noise else plain


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return a store of a study with everything that the second paper measures."""
    trained = study(*TREATMENTS, noise=(0.0, 0.3))
    return Plant(figures, plain_losses).into(tmp_path_factory.mktemp("lens") / "store", trained)


@pytest.fixture(scope="module")
def cells(store: Store) -> tuple[CellResult, ...]:
    return analyze(store).cells


def lens_chapter(chapters: tuple[Chapter, ...]) -> Chapter:
    (chapter,) = (chapter for chapter in chapters if chapter.name.startswith("Why pruning"))
    return chapter


@pytest.fixture(scope="module")
def reported(store: Store) -> Report:
    """Return the report of the store."""
    return report(store, draws=0)


def test_every_figure_of_the_second_paper_is_there(reported: Report) -> None:
    chapter = lens_chapter(reported.chapters)
    assert {figure.slug for figure in chapter.figures} == ALL
    titles = [statement.title for statement in chapter.said]
    assert titles[:2] == ["Diagnosis at label noise 0", "Diagnosis at label noise 0.3"]
    assert chapter.said[0].rests_on
    for figure in chapter.figures:
        assert figure.caption.endswith(".")
        for panel in figure.draw():
            assert panel.chart.to_dict(validate=True)


def test_errors_and_dense_baselines_are_the_looks(cells: tuple[CellResult, ...]) -> None:
    figure = noise(cells)
    assert isinstance(figure, Noise)
    for cell, level in zip(cells, figure.levels, strict=True):
        points = [point for point in figure.points if point.noise == level]
        sparse = [point for point in cell.pruning.points if point.rung > 0]
        assert [point.error for point in points if point.what == PRUNED] == [
            point_of_cell.test_error.mean for point_of_cell in sparse
        ]
        dense = cell.pruning.at(0).test_error
        assert {point.error for point in points if point.what == DENSE} == {dense.mean}
        best = [point.density for point in points if point.optimal]
        assert best == [cell.pruning.at(cell.pruning.optimal).density] if cell.pruning.optimal else best == []
        for point, rung in zip(points, sparse, strict=False):
            assert point.high - point.low == pytest.approx(2 * (rung.test_error.deviation or 0.0))


def test_losses_are_told_apart_only_under_noise(cells: tuple[CellResult, ...]) -> None:
    figure = losses(cells)
    assert isinstance(figure, Losses)
    parts = {(point.panel, point.part) for point in figure.points}
    assert parts == {
        ("label noise 0", "all examples"),
        ("label noise 0.3", "original labels"),
        ("label noise 0.3", "noisy labels"),
    }


def test_groups_are_the_looks_differences(cells: tuple[CellResult, ...]) -> None:
    figure = el2n_groups(cells)
    assert isinstance(figure, El2nGroups)
    optimal = cells[1].optimal
    assert optimal is not None
    assert optimal.groups is not None
    points = [point for point in figure.points if point.panel.startswith("noise 0.3, optimal")]
    assert [point.difference for point in points] == [group.difference.mean for group in optimal.groups.groups]
    assert [point.percentile_low for point in points] == sorted(point.percentile_low for point in points)
    reach = [group.difference.deviation or 0.0 for group in optimal.groups.groups]
    assert np.allclose([point.high - point.low for point in points], 2 * np.array(reach))


def test_other_treatments_stand_beside_pruning(cells: tuple[CellResult, ...]) -> None:
    for figure, kind, name in (
        (extended(cells), Extended, "extended"),
        (narrow(cells), Narrow, "narrow"),
        (ablations(cells), Ablations, None),
    ):
        assert isinstance(figure, kind)
        treatments = {point.treatment for point in figure.points}
        assert {PRUNING, ACROSS} <= treatments
        assert name is None or name in treatments
        assert len(treatments) == 3
    beside = extended(cells)
    assert beside is not None
    assert cells[0].extended is not None
    points = [point for point in beside.points if (point.panel, point.treatment) == ("label noise 0", "extended")]
    curve = cells[0].extended.curve
    assert [(point.rung, point.error) for point in points] == [
        (point.rung, point.test_error.mean) for point in curve.points if point.rung > 0
    ]


def test_single_examples_are_the_looks(cells: tuple[CellResult, ...]) -> None:
    figure = extreme_examples(cells)
    assert isinstance(figure, ExtremeExamples)
    optimal = cells[1].optimal
    assert optimal is not None
    examples = {example.index: example for example in (*optimal.extremes[0].worsened, *optimal.extremes[0].improved)}
    points = [point for point in figure.points if point.panel.startswith("noise 0.3")]
    assert points
    for point in points:
        example = examples[point.index]
        assert (point.dense_loss, point.sparse_loss, point.label) == (
            example.dense_loss,
            example.sparse_loss,
            example.label,
        )
        assert (point.labelled == NOISY) == example.noisy


def test_legends_name_what_their_panel_has(cells: tuple[CellResult, ...]) -> None:
    figure = extreme_examples(cells)
    assert figure is not None
    for panel in figure.draw():
        specification = panel.chart.to_dict(validate=False)
        there = {point.labelled for point in figure.points if point.panel == specification["title"]}
        for layer in specification["layer"]:
            assert set(layer["encoding"]["color"]["legend"]["values"]) == there
    assert "are noisy" not in figure.caption.split("Noise 0.3")[0]
    points = [point for point in figure.points if point.panel.startswith("noise 0.3,")]
    worse = [point for point in points if point.difference > 0][:SHOWN]
    assert f"of the {len(worse)} drawn that pruning worsens most" in figure.caption


def test_a_store_without_scores_says_so_and_shows_the_rest(tmp_path: Path) -> None:
    trained = study(IMP, Treatment(kind="extended"), el2n=False)
    store = Plant(plain_figures).into(tmp_path / "store", trained)
    chapter = lens_chapter(report(store, draws=0).chapters)
    slugs = {figure.slug for figure in chapter.figures}
    assert {"error-under-label-noise", "pruning-beside-extended-training"} <= slugs
    assert not slugs & {"loss-by-el2n", "examples-changed-most"}
    assert any("EL2N" in words for words in chapter.missing)


def test_a_store_without_anything_for_the_lens_says_what_it_needs(tmp_path: Path) -> None:
    store = Plant(plain_figures).into(tmp_path / "store", study(IMP, el2n=False))
    plain = report(store, draws=0)
    assert all(not chapter.name.startswith("Why") for chapter in plain.chapters)
    assert any("prunescope lens" in words for words in plain.missing)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_draws_what_the_lens_sees(lens_page: Path, opened: Open, dark: bool) -> None:
    page = opened(lens_page, dark=dark)
    page.draw_all()
    assert page.barriers() == []
    assert page.console == []
    assert page.requests == []
    assert page.tab.locator(".short a").count() == page.tab.locator("section.chapter").count()


@pytest.fixture(scope="module")
def lens_page(reported: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of the store."""
    path = tmp_path_factory.mktemp("page") / "lens.html"
    write_page(reported, path)
    return path


def test_examples_are_pictured_where_their_dataset_is(cells: tuple[CellResult, ...]) -> None:
    figure = extreme_examples(cells)
    assert figure is not None
    shown = {int(portrait.words.split(": ")[1].split(",")[0]): portrait for portrait in figure.portraits}
    digits = load("digits").train_images.astype(int) * 255 // 16  # 16 is white
    assert len(shown) >= 8
    for place, portrait in shown.items():
        assert np.array_equal(portrait.image, digits[place])
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(portrait.image)))), digits[place][0])
    colours = np.random.default_rng(0).integers(0, 256, (3, 5, 7), dtype=np.uint8)
    assert np.array_equal(np.moveaxis(np.asarray(Image.open(io.BytesIO(png(colours)))), -1, 0), colours)


def test_examples_of_unknown_datasets_are_shown_without_pictures(cells: tuple[CellResult, ...]) -> None:
    figure = extreme_examples([replace(cells[0], dataset="mine")])
    assert figure is not None
    assert figure.portraits == ()
    assert figure.points


def test_groups_of_other_treatments_are_the_looks_at_their_optima(cells: tuple[CellResult, ...]) -> None:
    figure = treatment_groups(cells)
    assert figure is not None
    panels = {point.panel for point in figure.points}
    assert {"noise 0, extended, rung 1", "noise 0.3, narrow, rung 1"} <= panels
    assert cells[0].extended is not None
    groups = cells[0].extended.changes[0].groups
    assert groups is not None
    drawn = [point.difference for point in figure.points if point.panel == "noise 0, extended, rung 1"]
    assert drawn == [group.difference.mean for group in groups.groups]


def test_networks_without_some_examples_are_drawn_against_what_they_are_compared_with(
    cells: tuple[CellResult, ...],
) -> None:
    figure = leave_outs(cells)
    assert figure is not None
    (leave_out,) = cells[0].leave_outs
    assert leave_out.against_dense is not None
    first = figure.points[0]
    assert (first.difference, first.panel) == (leave_out.against_dense.mean, "label noise 0")
    assert RANDOM not in {point.against for point in figure.points}
    assert leave_outs([replace(cells[0], leave_outs=())]) is None


def test_influence_is_drawn_by_its_size_and_keeps_its_sign(cells: tuple[CellResult, ...]) -> None:
    assert influence(cells) is None
    groups = (LeftOutGroup("0", "a", 8, 0.1, -0.02), LeftOutGroup("1", "b", 8, 0.9, 0.03))
    figure = influence([replace(cells[0], influence=Influence(groups, None, "two networks"))])
    assert figure is not None
    assert [(point.el2n, point.change, point.signed) for point in figure.points] == [
        (0.1, 0.02, -0.02),
        (0.9, 0.03, 0.03),
    ]
    (panel,) = figure.draw()
    assert panel.chart.to_dict(validate=True)


def test_suspicious_labels_are_drawn_in_order_with_pictures_of_the_first(cells: tuple[CellResult, ...]) -> None:
    figure = suspect_labels(cells)
    assert figure is not None
    assert cells[1].suspects is not None
    drawn = [point for point in figure.points if point.panel == "noise 0.3, replicate 0"]
    assert [point.index for point in drawn] == [suspect.index for suspect in cells[1].suspects.suspects]
    assert [point.place for point in drawn] == list(range(1, len(drawn) + 1))
    assert len(figure.portraits) == 16
    assert np.array_equal(
        figure.portraits[0].image.squeeze() // 17,
        load("digits").train_images[figure.points[0].index].squeeze() * 15 // 16,
    )
