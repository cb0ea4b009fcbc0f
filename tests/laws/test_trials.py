"""Comparing forms, and how many measurements are enough."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.optimize import least_squares

from prunescope.laws import JointLaw
from prunescope.laws.comparison import WITHOUT_MEMBERS, candidate_forms, compare
from prunescope.laws.data import pad
from prunescope.laws.doubts import doubts_of_fit, null_model
from prunescope.laws.forms import JOINT
from prunescope.laws.grouping import sample
from prunescope.laws.search import draw_starts, make_box, search_groups
from prunescope.laws.sensitivity import default_sizes, sensitivity
from prunescope.laws.solver import deviation
from prunescope.table import read_table
from tests.laws.families import NOISE, alike, curve, family_group


def test_the_form_that_made_the_data_wins_every_trial() -> None:
    group, _ = family_group(1, members=40)
    comparisons = compare(group, joint=True)
    assert [comparison.form for comparison in comparisons] == [
        "Eq. 2",
        "Eq. 2, tilted",
        "Eq. 2 without depth (phi = 0)",
        "Eq. 2 without width (psi = 0)",
        "Eq. 2 without depth and width",
        "adapted from Rosenfeld et al. 2020, over the invariant",
    ]
    best, tilted, *others = comparisons
    assert (best.free, tilted.free) == (5, 6)
    # It holds Eq. 2, and its tilt is drawn to none.
    assert tilted.gain is not None
    assert not tilted.gain.clear
    assert tilted.gain.rms < 1.05 * tilted.gain.reference
    for trial in ("fitted", "cross_validated", "extrapolated"):
        of_best = getattr(best, trial)
        assert of_best.sigma == pytest.approx(NOISE / np.sqrt(3), rel=0.35), trial
        assert all(getattr(other, trial).sigma > of_best.sigma for other in others), trial
    assert best.cross_validated is not None
    assert best.cross_validated.points == best.fitted.points == len(group)


def test_cross_validation_is_done_by_hand_the_same() -> None:
    group, _ = family_group(2, members=5)
    cross_validated = compare(group, joint=True, folds=5)[0].cross_validated
    residuals = []
    for cell in range(5):
        theta = search_groups(JOINT, [group.pick(group.cell != cell)], {}, 16, 0).theta
        residuals.append(deviation(JOINT, group.pick(group.cell == cell).points, theta)[0][0])
    by_hand = np.concatenate(residuals)
    assert cross_validated is not None
    assert (cross_validated.mu, cross_validated.sigma) == pytest.approx(
        (by_hand.mean(), by_hand.std()), rel=1e-4, abs=1e-6
    )


def test_single_curves_are_cross_validated_over_replicates() -> None:
    group = sample(read_table(curve(noise=0.03, replicates=3, seed=1)), joint=False).groups[0]
    ours, tilted, theirs = compare(group, joint=False)
    assert ours.cross_validated is not None
    assert ours.cross_validated.points == 90
    # A replicate's own noise, and that of the mean of two others.
    assert ours.cross_validated.sigma == pytest.approx(0.03 * np.sqrt(1 + 0.1), rel=0.25)
    assert theirs.fitted.sigma > ours.fitted.sigma
    assert tilted.fitted.sigma < 1.05 * ours.fitted.sigma
    alone = sample(read_table(curve(noise=0.03)), joint=False).groups[0]
    assert compare(alone, joint=False)[0].cross_validated is None


def test_only_what_varies_is_left_out_in_turn() -> None:
    group, _ = family_group(3, members=30)
    assert len(list(candidate_forms(group.pick(group.width == 1), True))) == 4


def test_sensitivity_falls_to_what_all_points_give() -> None:
    group, _ = family_group(4, members=40)
    result = sensitivity(JOINT, group, {}, repeats=12)
    for number in (1, 2):
        rows = result.experiments[number]
        assert [row.drawn for row in rows] == sorted(row.drawn for row in rows)
        assert rows[-1].mean_sigma == pytest.approx(result.sigma, rel=0.02)
        assert rows[-1].std_sigma < rows[0].std_sigma
        assert rows[-1].mean_sigma >= result.sigma * 0.999
    assert result.experiments[2][0].points > result.experiments[2][0].drawn * 5
    enough = result.enough(2, result.sigma + 0.01)
    assert enough is not None
    assert enough < 30
    assert result.enough(1, 0.0) is None


def test_each_draw_is_fitted_as_scipy_would() -> None:
    group, _ = family_group(5, members=20)
    row = sensitivity(JOINT, group, {}, sizes={1: [60]}, repeats=6, count=8).experiments[1][0]
    box = make_box(JOINT, pad([group]), {}, np.array([1.0]))
    begin = draw_starts(JOINT, pad([group]), box, 4, 5)[0]
    random = np.random.default_rng([0, 1, 60])
    sigmas = []
    for _ in range(6):
        points = group.points.pick(np.sort(random.permutation(len(group))[:60]))
        fits = [
            least_squares(
                lambda theta, points=points: deviation(JOINT, points, theta[None])[0][0],  # type: ignore[misc]
                np.clip(start, box.low[0] + 1e-6, box.high[0] - 1e-6),
                bounds=(box.low[0], box.high[0]),
            )
            for start in begin
        ]
        best = min(fits, key=lambda result: float(result.cost))
        sigmas.append(deviation(JOINT, group.points, best.x[None])[0][0].std())
    assert row.mean_sigma == pytest.approx(np.mean(sigmas), rel=1e-3)
    assert row.std_sigma == pytest.approx(np.std(sigmas, ddof=1), rel=1e-2)


def test_sizes_grow_evenly_in_their_logarithms() -> None:
    sizes = default_sizes(10, 3000)
    assert len(sizes) == 12
    assert (sizes[0], sizes[-1]) == (10, 3000)
    assert default_sizes(4, 4) == (4,)


def test_very_large_groups_are_tried_on_whole_cells_by_chance_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    group, _ = family_group(3, members=30)
    assert group.thinned(len(group)) is group
    some = group.thinned(200)
    assert 100 < len(some) <= 200
    assert some.error.tolist() == group.thinned(200).error.tolist() != group.thinned(200, seed=1).error.tolist()
    whole = {tuple(group.error[points].tolist()) for points in group.points_of}
    assert {tuple(some.error[points].tolist()) for points in some.points_of} <= whole
    result = sensitivity(JOINT, group, {}, sizes={1: [20]}, repeats=2, count=2)
    assert (result.points, result.measured_points, result.drawn_from) == (len(group), len(group), "")
    monkeypatch.setattr("prunescope.laws.data.GroupData.thinned", lambda self, seed=0: self.pick(self.cell < 10))
    fewer = sensitivity(JOINT, group, {}, sizes={1: [20]}, repeats=2, count=2)
    assert fewer.points < fewer.measured_points == len(group)
    assert f"{fewer.points:,} of {len(group):,} points" in fewer.drawn_from
    assert compare(group, joint=True, count=2)[0].fitted.points == fewer.points


def test_the_points_of_each_cell_are_those_that_name_it() -> None:
    group, _ = family_group(2, members=6)
    assert len(group.points_of) == group.cells
    for cell, points in enumerate(group.points_of):
        assert points.tolist() == np.flatnonzero(group.cell == cell).tolist()
    for points, alone in zip(group.points_of, group.by_cell(), strict=True):
        picked = group.pick(points)
        for item in dataclasses.fields(group):
            assert np.array_equal(getattr(alone, item.name), getattr(picked, item.name)), item.name


def test_what_explains_nothing_out_of_sample_is_named() -> None:
    group = sample(read_table(alike()), joint=True).groups[0]
    comparisons = compare(group, joint=True)
    null = null_model(group, True, comparisons)
    assert null is not None
    assert null.explains_nothing == "width"
    smaller = next(comparison for comparison in comparisons if comparison.form == WITHOUT_MEMBERS)
    for stated, trial in ((null.null, smaller.cross_validated), (null.law, comparisons[0].cross_validated)):
        assert trial is not None
        assert stated == pytest.approx(np.hypot(trial.mu, trial.sigma))
    by_fit = doubts_of_fit(group, True, JointLaw(intervals="none").fit(alike()).fit_.std_deviation).null
    assert by_fit == null
    assert str(null).startswith("width explains nothing here")


def test_what_explains_something_is_not_called_null() -> None:
    group = sample(read_table(alike(psi=1.0)), joint=True).groups[0]
    assert null_model(group, True, compare(group, joint=True)) is None
    assert doubts_of_fit(group, True, JointLaw(intervals="none").fit(alike(psi=1.0)).fit_.std_deviation).null is None
    pruned = sample(read_table(curve(noise=0.03, replicates=3, seed=1)), joint=False).groups[0]
    assert null_model(pruned, False, compare(pruned, joint=False)) is None


def test_density_explains_nothing_of_curves_that_never_rise() -> None:
    random = np.random.default_rng(0)
    flat = {"density": np.tile(0.8 ** np.arange(8), 4), "replicate": np.repeat(np.arange(4), 8)}
    flat["error"] = 0.2 * np.exp(0.03 * random.standard_normal(32))
    group = sample(read_table(flat), joint=False).groups[0]
    null = null_model(group, False, compare(group, joint=False))
    assert null is not None
    assert null.explains_nothing == "density"
    by_hand = group.unpruned[group.row_point] / group.row_error - 1
    assert null.null == pytest.approx(np.sqrt(np.mean(by_hand**2)))
