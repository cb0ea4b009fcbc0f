"""What plan says of the papers' figures is what the report of the trained study has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prunescope.report import report
from prunescope.run import run_study
from prunescope.study import Study, paper_figures, presets, read_study
from prunescope.study.paper_figures import FIRST, KEYS, SECOND
from prunescope.study.sections import Axes, El2n, Recipe, Treatment

IMP, RATES = Treatment(kind="imp"), Treatment(kind="imp", name="rates", rewind="learning-rate")
LEAVE = [
    Treatment(kind="leave-out", name=leave, learns_from="imp", leave=leave)
    for leave in ("improved", "misclassified", "worsened")
]
WHOLE = (IMP, RATES, Treatment(kind="extended"), Treatment(kind="narrow"), *LEAVE)
SHAPE: dict[str, Any] = {"dataset": ("digits",), "family": ("lenet",), "depth": (3,), "examples": (300,)}


def study_of(*treatments: Treatment, width: tuple[float, ...] = (0.1,), **changes: Any) -> Study:
    axes = Axes(**SHAPE, width=width, label_noise=(0.3,) if changes.pop("noise", False) else (0.0,))
    settings = {"epochs": 3, "batch": 16, "learning_rate": 0.1, "levels": 6, "pruning_fraction": 0.5}
    keys = {key: changes.pop(key) for key in ("el2n", "keep_examples") if key in changes}
    return Study("figures", (axes,), Recipe(**settings | changes), treatments or (IMP,), replicates=2, **keys)


SCORED = El2n(networks=2, epoch=1)
STUDIES = {
    "one network": study_of(),
    "a family": study_of(width=(0.05, 0.1, 0.2, 0.4)),
    "two sizes": study_of(width=(0.1, 0.2), noise=True),
    "too few levels": study_of(levels=2),
    "compared": study_of(IMP, Treatment(kind="extended"), Treatment(kind="narrow")),
    "scored without outcomes": study_of(el2n=SCORED, validation=0.1),
    "outcomes without scores": study_of(keep_examples="all", validation=0.1),
    "some outcomes": study_of(el2n=SCORED, validation=0.1, keep_examples=(0, 6)),
    "groups": study_of(IMP, Treatment(kind="leave-out", leave="group", groups=4), el2n=SCORED),
    "whole": study_of(*WHOLE, noise=True, el2n=SCORED, validation=0.1, keep_examples="all"),
}


def drawn(study: Study, paper: str) -> set[str]:
    return {figure.figure for figure in paper_figures(study) if figure.paper == paper and not figure.missing}


@pytest.mark.parametrize("name", STUDIES)
def test_the_report_of_a_trained_study_has_the_figures_that_were_said(name: str, tmp_path: Path) -> None:
    study = STUDIES[name]
    assert not run_study(study, tmp_path / "store", workers=1).failures
    figures = {figure.slug for chapter in report(tmp_path / "store", draws=2).chapters for figure in chapter.figures}
    for paper in (FIRST, SECOND):
        known = {figure.figure for figure in paper_figures(study) if figure.paper == paper}
        said = drawn(study, paper)
        # Without label noise the report draws these for its one level; the paper's figures compare several.
        usual = {"error-under-label-noise", "training-loss-by-density"}
        assert said - usual == (figures & known) - usual, paper
        assert said & usual <= figures


def test_every_figure_names_the_keys_that_it_needs() -> None:
    bare = study_of(Treatment(kind="dense"))
    assert all(figure.missing for figure in paper_figures(bare))
    assert {key for figure in paper_figures(bare) for key in figure.missing} == set(KEYS.values())
    whole = {figure.item for figure in paper_figures(STUDIES["whole"]) if figure.paper == SECOND and figure.missing}
    assert whole == {"influence"}


def test_outcomes_that_others_learn_from_are_those_of_the_treatment_that_the_lens_looks_at() -> None:
    taught = Treatment(kind="leave-out", name="improved", learns_from="imp")
    keeps = study_of(IMP, taught, el2n=SCORED, validation=0.1)
    assert "loss-by-el2n" in drawn(keeps, SECOND)
    beside = replace(keeps, treatments=(*keeps.treatments, RATES))
    assert "loss-by-el2n" not in drawn(beside, SECOND), "learning-rate rewinding is looked at, and keeps nothing"


def test_the_presets_of_the_papers_make_their_figures() -> None:
    for name in ("lenet-mnist-noise", "resnet20-cifar10-noise", "resnet32-cifar100", "vgg16-cifar10"):
        assert name in presets()
        figures = paper_figures(read_study(name))
        lacking = {figure.item: figure.missing for figure in figures if figure.paper == SECOND and figure.missing}
        assert lacking.pop("influence")
        assert not lacking, (name, lacking)
