"""The numbers of figures against a family whose law is known; drawings against the schema of Vega-Lite."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from prunescope.laws import joint_error
from prunescope.report.chapters import Report
from prunescope.report.charts.parts import round_ticks
from prunescope.report.charts.picture_files import whole, write_figure
from prunescope.report.charts.theme import THEMES
from prunescope.report.figures.agreement import JOINT, SEEDS, SINGLES, Agreement, agreement
from prunescope.report.figures.contours import contours
from prunescope.report.figures.curves import curves, invariant
from prunescope.report.figures.diagnostics import influence_figure, profile_figure, residual_figure
from prunescope.report.figures.forms import forms, stability
from prunescope.report.figures.regions import regions
from prunescope.report.figures.sizes import sizes
from prunescope.report.groups import ReportGroup, decide, decide_all, report_groups, slices
from prunescope.table import Table, read_table
from tests.choose.test_choice import LAW, planted
from tests.laws.families import low_plateau


@pytest.fixture(scope="module")
def exact() -> ReportGroup:
    """Return a family without noise, whose unpruned errors lie a little above the plateaus that it was made with."""
    return report_groups(read_table(planted(), "width <= 0.5")).all[0]


@pytest.fixture(scope="module")
def noisy(family: Table) -> ReportGroup:
    return report_groups(family).all[0]


def test_curves_hold_means_extremes_and_the_law(noisy: ReportGroup, family: Table) -> None:
    figure = curves(noisy)
    assert [panel.varied for panel in figure.panels] == ["width", "depth"]
    panel = figure.panels[0]
    rows = family.where("depth = 50 and width = 0.25")
    for point in figure.points:
        if (point.panel, point.member, point.what) == (panel.title, "0.25", "measured"):
            errors = rows["test_error"][np.isclose(rows["density"], point.density)]
            assert point.error == pytest.approx(errors.mean())
            assert (point.low, point.high, point.networks) == (errors.min(), errors.max(), 3)
    law = [point for point in figure.points if point.what == "law"]
    low, error, high = (np.array([getattr(point, name) for point in law]) for name in ("low", "error", "high"))
    assert (low <= error).all()
    assert (error <= high).all()


def test_without_noise_the_law_is_the_planted_one(exact: ReportGroup) -> None:
    for point in curves(exact).points:
        if point.what == "law" and point.panel.startswith("width"):
            width = float(point.member)
            true = joint_error(low_plateau(50, width, 50_000), point.density, 50, width, **LAW)
            assert point.error == pytest.approx(float(true), rel=5e-3)


def test_regions_begin_and_end_where_the_law_bends(exact: ReportGroup) -> None:
    figure = regions(exact)
    assert figure is not None
    assert figure.begins is not None
    assert figure.ends is not None
    depth, width = (float(word.split(" ")[1]) for word in figure.member.split(", ")[:2])
    shape = depth ** LAW["phi"] * width ** LAW["psi"]
    assert figure.ends == pytest.approx(LAW["p_prime"] / shape, rel=0.01)
    assert figure.begins == pytest.approx(
        figure.ends * (LAW["eps_up"] / figure.unpruned) ** (1 / LAW["gamma"]), rel=0.01
    )
    for point in figure.points:
        expected = (
            "plateau"
            if point.density >= figure.begins
            else "power law"
            if point.density > figure.ends
            else "saturation"
        )
        assert point.region == expected
    corners = [(point.density, point.error) for point in figure.points if point.what == "straight"]
    slope = np.diff(np.log([corner[1] for corner in corners[1:3]])) / np.diff(
        np.log([corner[0] for corner in corners[1:3]])
    )
    assert slope[0] == pytest.approx(-LAW["gamma"], rel=0.01)


def test_agreement_is_the_fits_own_deviation(noisy: ReportGroup) -> None:
    figure = agreement(noisy)
    assert isinstance(figure, Agreement)
    by_panel = {summary.panel: summary for summary in figure.summaries}
    assert set(by_panel) == {JOINT, SINGLES, SEEDS}
    points = [point for point in figure.points if point.panel == JOINT]
    off = np.array([point.estimated / point.actual - 1 for point in points])
    assert by_panel[JOINT].mu == pytest.approx(off.mean(), abs=1e-9)
    assert by_panel[JOINT].sigma == pytest.approx(off.std(), rel=1e-6)
    assert by_panel[SINGLES].sigma < by_panel[JOINT].sigma
    assert by_panel[SEEDS].sigma == pytest.approx(0.03, rel=0.1)


def test_contours_go_through_where_the_law_has_that_error(exact: ReportGroup) -> None:
    figure = contours(exact)
    assert figure is not None
    checked, depths = 0, set()
    for point in figure.points:
        if point.what == "slope" or point.varied != "width":
            continue
        depth = float(re.findall(r"depth (\d+)", point.panel)[0])
        depths.add(depth)
        error = joint_error(low_plateau(depth, point.value, 50_000), point.density, depth, point.value, **LAW)
        assert float(error) == pytest.approx(float(point.level), rel=0.02 if point.what == "measured" else 0.005)
        checked += 1
    assert checked >= 8
    assert depths == set(exact.cells.depth.tolist())  # every slice, not one
    assert all(len(point.level.removeprefix("0.").lstrip("0")) <= 2 for point in figure.points)


def test_members_fall_onto_one_curve_by_the_invariant(exact: ReportGroup) -> None:
    figure = invariant(exact)
    assert figure is not None
    for point in figure.points[:20]:
        depth, width = (50, float(point.member)) if point.panel.startswith("width") else (float(point.member), 0.5)
        assert point.invariant == pytest.approx(point.density * depth ** LAW["phi"] * width ** LAW["psi"], rel=0.01)


def test_forms_are_held_against_each_other(noisy: ReportGroup) -> None:
    figure = forms(noisy)
    assert figure is not None
    off = {(point.what, point.trial): point.sigma or 0.0 for point in figure.points if point.panel == "deviation"}
    assert off["Eq. 2", "cross-validated"] < off["adapted from Rosenfeld et al.", "cross-validated"]
    assert "Eq. 2 is off by" in figure.caption
    assert "the first follows these data better" in figure.caption


def test_stability_narrows_with_more_measurements(noisy: ReportGroup) -> None:
    figure = stability(noisy, 4)
    assert figure is not None
    sigma = [point for point in figure.points if point.figure == "sigma" and point.panel.startswith("networks")]
    assert sigma[0].high - sigma[0].low > sigma[-1].high - sigma[-1].low
    assert [point.drawn for point in sigma] == sorted(point.drawn for point in sigma)


def test_residuals_are_means_by_density_member_and_rung(noisy: ReportGroup) -> None:
    figure = residual_figure(noisy)
    assert figure is not None
    assert noisy.fit is not None
    assert {point.panel for point in figure.rows} == {"by density", "by member", "by rung"}
    members = [point for point in figure.rows if point.panel == "by member"]
    assert len(members) == noisy.cells.cells
    total = sum(point.points * point.mean for point in members) / len(noisy.cells)
    assert total == pytest.approx(noisy.fit.mean_deviation, abs=1e-9)
    assert all(point.low <= point.mean <= point.high for point in figure.rows)


def test_profiles_have_their_minimum_inside_and_members_their_influence(noisy: ReportGroup) -> None:
    profiles, members = profile_figure(noisy), influence_figure(noisy)
    assert profiles is not None
    assert members is not None
    assert noisy.fit is not None
    assert {point.panel for point in profiles.rows} == set(noisy.fit.intervals)
    for name in noisy.fit.intervals:
        rises = [point.rise for point in profiles.rows if point.panel == name]
        assert 0 < int(np.argmin(rises)) < len(rises) - 1
        assert min(rises) < profiles.rows[0].limit < max(rises)
    largest = dict.fromkeys(dict.fromkeys(point.member for point in members.rows), 0.0)
    for point in members.rows:
        largest[point.member] = max(largest[point.member], abs(point.shift))
    assert list(largest.values()) == sorted(largest.values(), reverse=True)
    for figure in (profiles, members, residual_figure(noisy)):
        assert figure is not None
        assert all(panel.chart.to_dict(validate=False) for panel in figure.draw())


def test_the_frontier_is_below_every_member(noisy: ReportGroup) -> None:
    answer, why = decide(noisy, 0.2, 0.9)
    assert answer is not None, why
    assert noisy.family is not None
    steps = decide_all(noisy, (0.15, 0.25), 0.9)
    figure = sizes(noisy.family, answer, steps)
    measured = [point for point in figure.points if point.panel == "measured"]
    frontier = [point for point in measured if point.what == "frontier"]
    errors = [point.error for point in frontier]
    assert errors == sorted(set(errors), reverse=True)
    assert [point.parameters for point in frontier] == sorted(point.parameters for point in frontier)
    for point in measured:
        if point.what == "member":
            assert any(step.parameters <= point.parameters and step.error <= point.error for step in frontier)
    chosen = {point.bound: point for point in figure.points if (point.panel, point.what) == ("predicted", "expected")}
    assert chosen[0.2].parameters == answer.choice.parameters
    assert set(chosen) == {step.max_error for step in steps if step.choice} | {0.2}


def test_slices_keep_all_but_one_dimension(noisy: ReportGroup) -> None:
    for panel in slices(noisy.cells, noisy.known):
        cells = noisy.cells
        at = [np.flatnonzero(cells.cell == cell)[0] for cell in panel.cells]
        other = "depth" if panel.varied == "width" else "width"
        assert len(set(getattr(cells, other)[at].tolist())) == 1
        assert getattr(cells, panel.varied)[at].tolist() == sorted(set(getattr(cells, panel.varied)[at].tolist()))


def test_every_drawing_keeps_to_the_schema(family_report: Report) -> None:
    for figure in family_report.chapters[0].figures:
        assert figure.draw()[0].chart.to_dict(validate=True)  # the others are made alike
        assert whole(figure)["datasets"]["rows"]


@pytest.mark.parametrize(("form", "start"), [("png", b"\x89PNG"), ("svg", b"<svg"), ("pdf", b"%PDF")])
def test_figures_become_files(family_report: Report, tmp_path: Path, form: str, start: bytes) -> None:
    path = tmp_path / f"figure.{form}"
    write_figure(next(iter(family_report.chapters[0].figures)), path, form)
    assert path.read_bytes().startswith(start)


@pytest.mark.parametrize(
    "ends", [(0.07, 0.73), (0.0018, 1.05), (8.0, 20.0), (150.0, 13_000.0), (0.099, 0.101), (1e-9, 1e9)]
)
def test_ticks_are_round_few_and_inside(ends: tuple[float, float]) -> None:
    ticks = round_ticks(*ends, 8)
    assert len(ticks) <= 8
    assert ticks == sorted(ticks)
    assert all(ends[0] <= tick <= ends[1] for tick in ticks)


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_colours_of_lines_are_told_from_the_ground(theme: object) -> None:
    from prunescope.report.charts.theme import Theme

    assert isinstance(theme, Theme)
    for colour in (*theme.kinds, *theme.colours("ordered", 7), theme.mark, theme.accent):
        assert contrast(colour, theme.paper) >= 2.3
    for words in (theme.text, theme.quiet):
        assert contrast(words, theme.paper) >= 4.5


def contrast(one: str, other: str) -> float:
    """Return the ratio of two colours' luminances, as the web's rules have it."""
    lights = []
    for colour in (one, other):
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4 for channel in parts]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)
