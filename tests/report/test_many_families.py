"""Many families: one table of all at one common bound, and their curves at a glance."""

from __future__ import annotations

import numpy as np
import pytest

from prunescope.laws.results import percent
from prunescope.report import Report, report
from prunescope.report.charts.picture_files import whole
from prunescope.report.figures.glance import CURVES, MOST, Glance, glance
from prunescope.report.groups import decide, report_groups
from prunescope.table import read_table
from tests.choose.test_choice import planted
from tests.report.conftest import FAMILIES, curve, table


def test_all_families_are_asked_for_one_error_and_answer_as_the_library_does(many: Report) -> None:
    assert many.overview is not None
    lines = many.overview.lines
    assert len(lines) == FAMILIES
    ((dataset, bound),) = many.overview.bounds
    assert dataset == "digits"
    groups = {group.short: group for group in report_groups(many.rows).all}
    for line in lines[::6]:
        answer, why = decide(groups[line.name], bound, 0.9)
        assert line.choice.choice == (answer.choice if answer else None), why
        assert line.choice.robust == (answer.robust if answer else None)
        assert line.pick == (line.choice.robust or line.choice.choice)
    for chapter in many.chapters:
        assert chapter.slider is not None
        assert chapter.slider.stops[chapter.slider.start].bound == bound
    assert [line.chapter for line in lines] == [1, 2, 3, 4] + [None] * (FAMILIES - 4)


def test_the_common_bound_is_the_one_that_most_families_meet(many: Report) -> None:
    assert many.overview is not None
    ((_, bound),) = many.overview.bounds
    groups = report_groups(many.rows).all
    met = sum((answer := decide(group, bound, 0.9)[0]) is not None and answer.robust is not None for group in groups)
    assert met == sum(line.choice.robust is not None for line in many.overview.lines) > FAMILIES / 2


def test_each_dataset_has_a_bound_of_its_own_unless_one_is_asked_for() -> None:
    far = [
        {**columns, "error": np.minimum(0.95, 4 * columns["error"])} for columns in (curve(9, "far"), curve(8, "far"))
    ]
    rows = table([*(curve(number) for number in range(3)), *far])
    two = report(rows, draws=0).overview
    assert two is not None
    bounds = dict(two.bounds)
    assert set(bounds) == {"digits", "far"}
    assert bounds["far"] > 2 * bounds["digits"]
    asked = report(rows, draws=0, max_error=0.3).overview
    assert asked is not None
    assert set(asked.bounds) == {("digits", 0.3), ("far", 0.3)}


def test_few_families_have_chapters_and_no_overview(family_report: Report) -> None:
    assert family_report.overview is None
    assert "families-at-a-glance" not in family_report.figures


def test_families_at_a_glance_go_from_the_best_law_to_the_worst(many: Report) -> None:
    figure = many["families-at-a-glance"]
    assert isinstance(figure, Glance)
    sigmas = [sigma or 0.0 for _, sigma in dict.fromkeys((point.family, point.sigma) for point in figure.rows)]
    everybody = sorted(group.fit.std_deviation for group in report_groups(many.rows).all if group.fit is not None)
    assert len(sigmas) == MOST < len(everybody) == FAMILIES
    assert sigmas == sorted(sigmas)
    assert (sigmas[0], sigmas[-1]) == (everybody[0], everybody[-1])
    assert f"{MOST} of {FAMILIES} families" in figure.caption
    assert f"sigma is {percent(float(np.median(everybody)))} in the median" in figure.caption


def test_small_drawings_share_their_axes_and_keep_to_the_schema(many: Report) -> None:
    figure = many["families-at-a-glance"]
    domains = set()
    for panel in figure.draw():
        drawing = panel.chart.to_dict(validate=True)
        for layer in drawing["layer"]:
            domains.add(tuple(tuple(layer["encoding"][channel]["scale"]["domain"]) for channel in "xy"))
    assert len(figure.draw()) == MOST
    (((left, right), (low, high)),) = domains
    assert all(left < point.density < right for point in figure.rows)
    assert all(low < point.error < high for point in figure.rows)
    assert whole(figure)["columns"] == 4


def test_of_a_family_with_many_networks_the_extremes_and_the_middle_are_drawn() -> None:
    (group,) = report_groups(read_table(planted(noise=0.01), "width <= 0.5")).all
    figure = glance([group])
    assert len({point.member for point in figure.rows}) == CURVES
    unpruned = sorted({float(group.cells.unpruned[rows[0]]) for rows in group.cells.points_of})
    at_full = [point.error for point in figure.rows if point.what == "measured" and point.density == 1.0]
    assert (min(at_full), max(at_full)) == pytest.approx((unpruned[0], unpruned[-1]), rel=0.05)
    assert figure.caption.startswith("1 family in the order")
