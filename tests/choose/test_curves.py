"""Members' curves: the odds of keeping a bound, and what measurements of a member's own add to the law."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from prunescope.choose.member_curves import REACH, Departure, MemberCurves
from prunescope.choose.smallest import MemberSizes, Scatter, Truths, log_errors, needed_density
from tests.choose.test_smallest import drawn_family

STEP = np.log(0.8)


def test_the_confident_density_is_where_the_probability_crosses_the_confidence() -> None:
    for seed in range(30):
        sizes, truth, bound = drawn_family(seed)
        random = np.random.default_rng(seed)
        possible = Truths(
            truth.theta + 0.05 * random.standard_normal((200, 5)) * [1, 1, 1, 0.2, 0.2],
            truth.unpruned + 0.03 * random.standard_normal((200, len(sizes))),
        )
        scatter = Scatter(truth.theta, truth.unpruned[0], np.full(3, 0.04))
        curves = MemberCurves(sizes, possible, [None] * len(sizes), scatter)
        density = curves.confident(bound, 0.9)
        there = np.isfinite(density) & (density > -29)
        odds = curves.keeping(np.where(there, density, 0.0), bound)
        assert odds[there] == pytest.approx(0.9, abs=1e-3)
        whole = curves.keeping(np.zeros(len(sizes)), bound)
        assert (whole[density == np.inf] < 0.9).all()


def test_odds_are_those_of_the_normal_distribution_by_hand() -> None:
    sizes = MemberSizes(np.ones(1), np.ones(1), np.array([100.0]), np.zeros(1))
    theta = np.array([[np.log(0.8), np.log(1.5), np.log(0.02), 0.0, 0.0]])
    truth = Truths(theta, np.log([[0.1]]))
    at = np.log(np.array([0.05]))
    error = float(log_errors(sizes, truth, at)[0, 0])
    scatter = Scatter(theta, truth.unpruned[0], np.full(3, 0.1))
    curves = MemberCurves(sizes, truth, [None], scatter)
    assert curves.keeping(at, float(np.exp(error)))[0] == pytest.approx(0.5, abs=1e-6)
    assert curves.keeping(at, float(np.exp(error + 0.1)))[0] == pytest.approx(0.8413447, abs=1e-6)


def departing(noise: float, height: float = 0.1, seed: int = 0) -> tuple[MemberCurves, np.ndarray, np.ndarray]:
    """Return the curve of a member that departs from its law by a known wave, its densities and true log errors."""
    theta = np.array([[np.log(0.8), np.log(1.2), np.log(0.02), 0.0, 0.0]])
    sizes = MemberSizes(np.ones(1), np.ones(1), np.array([10_000.0]), np.zeros(1))
    truth = Truths(theta, np.log([[0.05]]))
    at = STEP * np.arange(25)
    many = MemberSizes(
        *(np.repeat(values, len(at)) for values in (sizes.depth, sizes.width, sizes.prunable, sizes.rest))
    )
    law = log_errors(many, Truths(theta, np.repeat(truth.unpruned, len(at), axis=1)), at)[0]
    true = law + height * np.sin(at / 1.3)
    measured = true + noise * np.random.default_rng(seed).standard_normal(len(at))
    departure = Departure(at, measured, np.full(len(at), max(noise, 1e-4)), height / np.sqrt(2), max(noise, 1e-4))
    scatter = Scatter(theta, truth.unpruned[0], np.full(3, 0.1))
    return MemberCurves(sizes, truth, [departure], scatter), at, true


def test_a_curve_measured_without_noise_is_the_curve() -> None:
    curves, at, true = departing(noise=0.0)
    for density, error in zip(at.tolist(), true.tolist(), strict=True):
        assert curves.log_errors(np.array([density]))[0, 0] == pytest.approx(error, abs=2e-3)
    for rung in (8, 12, 16):
        assert curves.needed(float(np.exp(true[rung])))[0, 0] == pytest.approx(at[rung], abs=0.02)


def test_departures_bring_densities_nearer_to_the_truth_than_the_law_alone() -> None:
    better = []
    for seed in range(30):
        curves, at, true = departing(noise=0.04, seed=seed)
        for rung in (8, 12, 16):
            bound = float(np.exp(true[rung]))
            mean = abs(curves.needed(bound)[0, 0] - at[rung])
            alone = abs(needed_density(curves.sizes, curves.truths, bound)[0, 0] - at[rung])
            better.append((mean, alone))
    mean, alone = np.mean(better, axis=0)
    assert mean < 0.7 * alone


def test_far_sparser_than_measured_the_law_is_all_there_is() -> None:
    curves, at, _ = departing(noise=0.02)
    far = np.array([at.min() - 6 * REACH])
    law = log_errors(curves.sizes, curves.truths, far)
    assert curves.log_errors(far) == pytest.approx(law, abs=1e-6)


def test_what_departures_leave_open_is_counted_once() -> None:
    curves, at, _ = departing(noise=0.05)
    between = np.array([(at[10] + at[11]) / 2])
    departure = curves.departures[0]
    assert departure is not None
    open_ = float(departure.spread(between)[0])
    assert 0 < open_ < departure.amplitude
    assert curves.spread(between)[0] == pytest.approx(np.hypot(departure.single, open_))
    chance = np.random.default_rng(0).standard_normal((4000, 1))
    many = Truths(np.repeat(curves.truths.theta, 4000, axis=0), np.repeat(curves.truths.unpruned, 4000, axis=0))
    drawn = MemberCurves(curves.sizes, many, curves.departures, curves.scatter, chance)
    assert drawn.spread(between)[0] == pytest.approx(departure.single)
    assert drawn.log_errors(between).std() == pytest.approx(open_, rel=0.05)
    bound = float(np.exp(curves.log_errors(between)[0, 0] + 0.05))
    assert drawn.keeping(between, bound)[0] == pytest.approx(curves.keeping(between, bound)[0], abs=0.02)


def three_members() -> MemberCurves:
    """Return curves of three members: two that depart from the law, over 40 truths, and one without measurements."""
    random = np.random.default_rng(3)
    one, at, true = departing(0.01)
    theta = one.truths.theta + 0.05 * random.standard_normal((40, 5)) * [1, 1, 1, 0, 0]
    sizes = MemberSizes(np.ones(3), np.ones(3), np.array([5_000.0, 10_000.0, 20_000.0]), np.zeros(3))
    unpruned = np.log([0.07, 0.05, 0.04]) + 0.02 * random.standard_normal((40, 3))
    departures = [one.departures[0], None, Departure(at, true + 0.05, np.full(len(at), 0.02), 0.1, 0.02)]
    scatter = Scatter(theta[:1], unpruned[0], np.full(3, 0.1))
    return MemberCurves(sizes, Truths(theta, unpruned), departures, scatter, random.standard_normal((40, 3)))


@pytest.mark.parametrize("member", [0, 1, 2])
def test_a_member_alone_has_the_curve_that_it_has_among_others(member: int) -> None:
    curves, bound = three_members(), 0.12
    alone, at = curves.pick(np.array([member])), np.array([-1.0, -1.5, -2.0])
    assert alone.log_errors(at[[member]])[:, 0] == pytest.approx(curves.log_errors(at)[:, member], rel=1e-12)
    assert alone.needed(bound)[:, 0] == pytest.approx(curves.needed(bound)[:, member], rel=1e-12)
    assert alone.keeping(at[[member]], bound)[0] == pytest.approx(curves.keeping(at, bound)[member], rel=1e-12)


@pytest.mark.parametrize("bound", [0.045, 0.08, 0.12, 0.3, 0.79])
def test_one_truth_needs_the_densities_that_it_needs_among_many(bound: float) -> None:
    curves = three_members()
    first, twice = (
        replace(
            curves,
            truths=replace(
                curves.truths, theta=curves.truths.theta[[0] * count], unpruned=curves.truths.unpruned[[0] * count]
            ),
            chance=None,
        )
        for count in (1, 2)
    )
    assert first.needed(bound)[0] == pytest.approx(twice.needed(bound)[0], rel=1e-12)
