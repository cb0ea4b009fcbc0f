"""Residuals, profiles, influence, held-out scores and bands against what was planted and what can be done by hand."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from prunescope.cli.main import cli
from prunescope.errors import InputError
from prunescope.laws import JointLaw, SingleLaw, SparseLaw, joint_error
from prunescope.laws.comparison import compare
from prunescope.laws.data import GroupData, Numbers
from prunescope.laws.diagnostics import (
    coordinates_of,
    find_rungs,
    influence,
    log_score,
    prediction_bands,
    profile_curves,
    residuals,
    summarise_residuals,
)
from prunescope.laws.fit import Options, fit_groups
from prunescope.laws.forms import JOINT, SINGLE, SPARSE, to_coordinates
from prunescope.laws.results import Fit
from prunescope.laws.search import search_groups
from prunescope.laws.solver import deviation
from tests.laws.families import curve, family
from tests.laws.test_sparse import networks

NOISE = 0.03


@cache
def planted() -> tuple[JointLaw, Fit, GroupData]:
    columns, _ = family(4, members=14, noise=NOISE, known=True, replicates=2, levels=25)
    law = JointLaw(draws=60)
    sample = law.sample(columns)
    law.fit(sample)
    return law, law.fit_, sample.groups[0]


def test_residuals_are_those_of_the_fit_and_add_up_by_density_member_and_rung() -> None:
    _, fit, group = planted()
    rows = residuals(fit, group)
    relative = np.array([row.relative for row in rows])
    assert relative.mean() == pytest.approx(fit.mean_deviation, rel=1e-6, abs=1e-12)
    assert relative.std() == pytest.approx(fit.std_deviation, rel=1e-6)
    assert np.std([row.standard for row in rows]) == pytest.approx(1, abs=0.2)
    for by in ("density", "member", "rung"):
        summaries = summarise_residuals(rows, by)
        assert sum(summary.points for summary in summaries) == len(group)
        total = sum(summary.points * summary.mean for summary in summaries)
        assert total / len(group) == pytest.approx(fit.mean_deviation, rel=1e-6, abs=1e-12)
    assert len(summarise_residuals(rows, "member")) == group.cells
    assert [row.rung for row in rows] == find_rungs(group).tolist()
    for points in group.points_of:
        assert sorted(find_rungs(group)[points]) == list(range(len(points)))
    with pytest.raises(InputError) as raised:
        summarise_residuals(rows, "widht")
    assert raised.value.faults[0].place == "by"


def test_a_member_that_is_off_shows_in_its_residuals_and_without_it_the_law_is_as_it_was() -> None:
    _, fit, group = planted()
    # As if it were pruned to a third of the densities that it is said to have.
    sparser = joint_error(group.unpruned, group.density / 3, group.depth, group.width, **fit.parameters)
    errors = np.where(group.cell == 5, sparser, group.error)
    odd = replace(group, error=errors, row_error=errors[group.row_point])
    law = refit(fit, odd)
    members = summarise_residuals(residuals(law, odd), "member")
    assert max(members, key=lambda summary: abs(summary.mean)).value == 5
    *_, last = rows = influence(law, odd)
    # Beside it, only the shallowest member, which holds phi, may move the law as far.
    (odd_one,) = (row for row in rows[:2] if row.member == 5)
    assert odd_one.largest > 2 * last.largest
    assert odd_one.held_out is not None
    assert odd_one.held_out > odd_one.fitted


def refit(fit: Fit, group: GroupData) -> Fit:
    from prunescope.laws.fit import Options, fit_groups

    (other,) = fit_groups(JOINT, [group], Options(draws=40, starts=4))
    assert isinstance(other, Fit)
    assert fit.law == other.law
    return other


def test_influence_is_that_of_a_fit_by_hand_without_the_member() -> None:
    _, fit, group = planted()
    rows = influence(fit, group)
    assert [row.largest for row in rows] == sorted((row.largest for row in rows), reverse=True)
    row = rows[0]
    theta = search_groups(JOINT, [group.pick(group.cell != row.member)], {}, 16, 0).theta
    assert row.parameters is not None
    by_hand = to_coordinates(JOINT.parameters, np.array(list(row.parameters.values())))
    assert by_hand == pytest.approx(theta[0], abs=2e-3)
    shift = (theta - coordinates_of(fit))[0, 3] / fit.draws[:, 3].std()
    assert row.shifts["phi"] == pytest.approx(shift, abs=0.1)
    off = deviation(JOINT, group.pick(group.cell == row.member).points, theta)[0]
    assert row.held_out == pytest.approx(np.sqrt(np.mean(off**2)), rel=0.02)
    with pytest.raises(InputError):
        influence(fit, group.pick(group.cell == 0))


def test_a_profile_is_lowest_at_the_estimate_and_leaves_the_interval_where_it_ends() -> None:
    law = SparseLaw(intervals="quick").fit(networks(0.01, 1))
    group = SparseLaw().sample(networks(0.01, 1)).groups[0]
    points = profile_curves(law.fit_, group)
    assert {point.parameter for point in points} == set(law.parameters_)
    for name, estimate in law.parameters_.items():
        curve_of = [point for point in points if point.parameter == name]
        values, rises = (np.array([getattr(point, key) for point in curve_of]) for key in ("value", "rise"))
        assert values[rises.argmin()] == pytest.approx(estimate, rel=1e-6)
        assert (np.diff(rises[: rises.argmin() + 1]) <= 1e-6).all()
        assert (np.diff(rises[rises.argmin() :]) >= -1e-6).all()
        inside = [point.value for point in curve_of if point.within]
        assert min(inside) < estimate < max(inside)
    joint = profile_curves(planted()[1], planted()[2], points=9)
    assert min(point.rise for point in joint) < 1e-3
    assert max(point.rise for point in joint if point.parameter == "gamma") > 2


def test_laws_fitted_by_hubers_loss_are_looked_at_by_it() -> None:
    columns = networks(0.01, 1)
    columns["loss"] = np.where(np.arange(len(columns["loss"])) % 10 == 3, 1.5 * columns["loss"], columns["loss"])
    law = SparseLaw(intervals="quick", loss="huber", delta=0.002).fit(columns)
    group = SparseLaw().sample(columns).groups[0]
    profile = profile_curves(law.fit_, group, points=7, delta=0.002)
    for name, estimate in law.parameters_.items():
        lowest = min((point for point in profile if point.parameter == name), key=lambda point: point.rise)
        assert lowest.value == pytest.approx(estimate, rel=1e-3)
    with pytest.raises(InputError) as refused:
        profile_curves(*planted()[1:], delta=0.002)
    assert refused.value.faults[0].place == "delta"
    by_huber, plain = influence(law.fit_, group, loss="huber", delta=0.002), influence(law.fit_, group)
    assert max(row.largest for row in by_huber) < 0.5 * max(row.largest for row in plain)
    without = fit_groups(
        SPARSE,
        [group.pick(group.cell != by_huber[0].member)],
        Options(intervals="none", starts=8, loss="huber", delta=0.002),
    )[0]
    assert isinstance(without, Fit)
    assert by_huber[0].parameters == pytest.approx(without.parameters, rel=1e-3)
    assert log_score(law.fit_, group, loss="huber", delta=0.002) != log_score(law.fit_, group)


def test_a_profile_rises_as_scipy_says() -> None:
    from scipy.optimize import least_squares

    columns = networks(0.01, 1)
    law = SparseLaw(intervals="none").fit(columns)
    group = SparseLaw().sample(columns).groups[0]
    theta = coordinates_of(law.fit_)[0]
    point = next(point for point in profile_curves(law.fit_, group, points=5) if point.parameter == "b_n")

    def off(rest: Numbers, held: float) -> Numbers:
        moved = np.insert(rest, 3, held)[None]
        return np.asarray(np.expm1(law._form.log_error(moved, group.points)[0] - group.points.error))

    lowest = 2 * least_squares(off, np.delete(theta, 3), args=(theta[3],), xtol=1e-14, ftol=1e-14).cost
    held = 2 * least_squares(off, np.delete(theta, 3), args=(np.log(point.value),), xtol=1e-14, ftol=1e-14).cost
    assert point.rise == pytest.approx((held - lowest) / (lowest / (len(group) - 7)), rel=1e-3)


def test_the_held_out_score_is_that_of_normal_noise_and_lower_for_a_poorer_law() -> None:
    _, fit, group = planted()
    score = log_score(fit, group)
    noise = NOISE / np.sqrt(2)
    assert score.mean == pytest.approx(-0.5 - np.log(noise * np.sqrt(2 * np.pi)), abs=0.15)
    assert score.covered == pytest.approx(0.9, abs=0.05)
    assert score.points == len(group)
    columns, _ = family(4, members=14, noise=NOISE, known=True, replicates=2, levels=25)
    poorer = JointLaw(vary=["width"], intervals="none").fit(columns)
    worse = log_score(poorer.fit_, group)
    assert worse.mean < score.mean - 5 * score.error
    with pytest.raises(InputError):
        log_score(fit, group.pick(group.cell == 0))


def test_bands_are_predictions_at_densities_from_1_downward() -> None:
    law, fit, _ = planted()
    density, bands = prediction_bands(fit, unpruned=0.1, depth=20, width=0.5, lowest=0.02, points=7)
    assert density[[0, -1]] == pytest.approx([1, 0.02])
    members = {"density": density, "depth": np.full(7, 20), "width": np.full(7, 0.5), "unpruned_error": np.full(7, 0.1)}
    wanted = law.predictions(members)
    for name in ("error", "low", "high", "law_low", "law_high"):
        assert getattr(bands, name) == pytest.approx(getattr(wanted, name), rel=1e-12)


def test_draws_have_the_parameters_of_each_resample_by_name() -> None:
    law, fit, _ = planted()
    assert list(law.draws_) == list(fit.parameters)
    assert law.draws_["phi"] == pytest.approx(fit.draws[:, 3])
    assert law.draws_["gamma"] == pytest.approx(np.exp(fit.draws[:, 1]))


def test_a_curve_is_compared_without_each_density_and_without_the_three_sparsest() -> None:
    columns = curve(levels=15, noise=0.02)
    (group,) = SingleLaw().sample(columns).groups
    assert compare(group, joint=False)[0].cross_validated is None
    first, *others = compare(group, joint=False, leave="densities", count=8)
    pruned = np.flatnonzero(group.density < 1)
    assert first.cross_validated is not None
    assert first.extrapolated is not None
    assert first.cross_validated.points == len(pruned)
    assert first.extrapolated.points == 3
    sparsest = np.argsort(group.density)[:3]
    rest = np.setdiff1d(np.arange(len(group)), sparsest)
    theta = search_groups(SINGLE, [group.pick(rest)], {}, 8, 0).theta
    off = deviation(SINGLE, group.pick(np.sort(sparsest)).points, theta)[0]
    assert first.extrapolated.mu == pytest.approx(off.mean(), rel=1e-3)
    assert all(other.gain is not None for other in others)


def test_compare_leaves_densities_out_where_it_is_asked_to(tmp_path: Any) -> None:
    import pandas

    path = tmp_path / "curve.csv"
    pandas.DataFrame(curve(levels=15, noise=0.02)).to_csv(path, index=False)
    plain, left = (
        CliRunner().invoke(cli, ["compare", str(path), "--law", "single", *more])
        for more in ((), ("--leave", "densities"))
    )
    assert plain.exit_code == left.exit_code == 0
    assert plain.stdout != left.stdout
    refused = CliRunner().invoke(cli, ["compare", str(path), "--law", "joint", "--leave", "densities"])
    assert refused.exit_code != 0
