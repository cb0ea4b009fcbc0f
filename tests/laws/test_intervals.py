"""Intervals that are honest: against lmfit where it knows, against planted truths, and wide where nothing is known."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from prunescope.laws import JointLaw, SingleLaw, joint_error
from prunescope.laws.data import Numbers
from prunescope.laws.solver import deviation
from prunescope.table import read_table
from tests.laws.families import curve, family, family_table, low_plateau

LEVEL = 0.9


def profile_of_lmfit(columns: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Return the intervals of lmfit's profile for Eq. 1, in the same coordinates."""
    import lmfit

    from prunescope.laws.forms import SINGLE
    from prunescope.laws.grouping import sample

    points = sample(read_table(columns), joint=False).groups[0].points
    parameters = lmfit.Parameters()
    for name, value in (("eps_up", 0.8), ("gamma", 1.5), ("p", 0.02)):
        parameters.add(name, np.log(value))

    def residual(at: Any) -> Numbers:
        theta = np.array([[at["eps_up"].value, at["gamma"].value, at["p"].value]])
        return np.asarray(deviation(SINGLE, points, theta)[0][0])

    minimizer = lmfit.Minimizer(residual, parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ends_by_name = lmfit.conf_interval(minimizer, minimizer.minimize(method="leastsq"), sigmas=[LEVEL], maxiter=500)
    return {name: (float(np.exp(ends[0][1])), float(np.exp(ends[-1][1]))) for name, ends in ends_by_name.items()}


@pytest.mark.parametrize("seed", range(5))
def test_intervals_of_a_well_posed_curve_are_those_of_lmfits_profile(seed: int) -> None:
    columns = curve(noise=0.01, seed=seed)
    law = SingleLaw().fit(columns)
    for name, (low, high) in profile_of_lmfit(columns).items():
        for interval in (law.intervals_[name], law.fit_.quick_intervals[name]):
            assert interval is not None
            assert np.log(interval[0] / low) == pytest.approx(0, abs=0.06 * np.log(high / low)), name
            assert np.log(interval[1] / high) == pytest.approx(0, abs=0.06 * np.log(high / low)), name


def coverage(seeds: range, **changes: Any) -> tuple[dict[str, list[bool]], int, list[float]]:
    """Return which intervals hold the truth, by parameter, how many say nothing, and how wide those of eps_up are."""
    held: dict[str, list[bool]] = {}
    untold, widths = 0, []
    for seed in seeds:
        columns, planted = family(seed, **changes)
        law = JointLaw(draws=120).fit(columns)
        for name, interval in law.intervals_.items():
            if interval is None:
                untold += 1
                continue
            held.setdefault(name, []).append(interval[0] <= planted[name] <= interval[1])
            if name == "eps_up":
                widths.append(interval[1] / interval[0])
    return held, untold, widths


@pytest.mark.stress
@pytest.mark.parametrize(
    ("families", "known"),
    [(60, False), (40, True), pytest.param(200, False, marks=pytest.mark.long)],
    ids=["measured unpruned errors", "given unpruned errors", "many families"],
)
def test_over_families_like_table_1_the_intervals_cover_85_to_95_percent(families: int, known: bool) -> None:
    held, untold, _ = coverage(range(families), known=known)
    overall = np.concatenate(list(held.values()))
    assert untold == 0
    assert 0.85 <= overall.mean() <= 0.95, overall.mean()
    for name, hits in held.items():
        assert 0.80 <= np.mean(hits) <= 0.98, (name, np.mean(hits))


def test_over_small_families_the_intervals_cover() -> None:
    held, _, _ = coverage(range(40), members=16)
    assert 0.82 <= np.concatenate(list(held.values())).mean() <= 0.97


def test_over_families_that_stop_before_the_plateau_the_intervals_widen_instead_of_lying() -> None:
    full, untold_in_full, narrow = coverage(range(20), members=30)
    held, untold, wide = coverage(range(20), members=30, levels=8)
    assert np.concatenate(list(full.values())).mean() >= 0.8
    assert np.concatenate(list(held.values())).mean() >= 0.8
    assert untold > untold_in_full
    assert np.median(wide) > 5 * np.median(narrow) - 4  # ratios of ends, less 1


@pytest.mark.stress
def test_prediction_intervals_cover_new_members() -> None:
    new_networks, at_truths = [], []
    for seed in range(30):
        table, planted = family_table(seed, members=90)
        member = table["depth"] * 1e6 + table["width"] * 1e3 + 1 / table["examples"]
        left_out = np.isin(member, np.unique(member)[::3])
        law = JointLaw(draws=120).fit(table.take(~left_out))
        test = table.take(left_out & (table["density"] < 1) & (table["replicate"] == 0))
        prediction = law.predictions(test)
        new_networks.append(np.mean((prediction.low <= test["test_error"]) & (test["test_error"] <= prediction.high)))
        plateau = low_plateau(test["depth"], test["width"], test["examples"])
        wanted = joint_error(plateau, test["density"], test["depth"], test["width"], **planted)
        at_truths.append(np.mean((prediction.law_low <= wanted) & (wanted <= prediction.law_high)))
    assert 0.85 <= np.mean(new_networks) <= 0.95, np.mean(new_networks)
    assert 0.80 <= np.mean(at_truths) <= 0.98, np.mean(at_truths)


def test_the_known_trap_a_curve_that_stops_at_density_01_is_not_told_precisely() -> None:
    """A free fit of such curves sends gamma to 1000 and eps_up to 1e23 with fine residuals."""
    law = SingleLaw().fit(curve(eps_up=0.8, gamma=1.5, p=0.01, noise=0.01, levels=11, replicates=3, known=False))
    assert law.fit_.std_deviation < 0.02
    assert law.parameters_["eps_up"] <= 1
    assert law.parameters_["gamma"] <= 50
    interval = law.intervals_["eps_up"]
    assert interval is None or interval[1] / interval[0] > 2
    assert any("high plateau is never reached" in words for words in law.warnings_)


def test_a_curve_that_does_not_rise_tells_nothing() -> None:
    flat = SingleLaw().fit({"density": [1, 0.8, 0.64, 0.5, 0.4], "error": [0.1, 0.1002, 0.0998, 0.1001, 0.1003]})
    assert set(flat.intervals_.values()) == {None}
    assert any("hardly rises" in words for words in flat.warnings_)


def test_an_interval_holds_the_estimate_and_a_higher_level_a_wider_interval() -> None:
    table, _ = family_table(11, members=20)
    narrow, wide = (JointLaw(level=level).fit(table) for level in (0.5, 0.95))
    for name, value in narrow.parameters_.items():
        small, large = narrow.intervals_[name], wide.intervals_[name]
        assert small is not None
        assert large is not None
        assert small[0] <= value <= small[1]
        assert large[1] - large[0] > small[1] - small[0]


def test_more_seeds_of_resampling_agree() -> None:
    table, _ = family_table(12, members=60)
    first, second = (JointLaw(seed=seed, draws=400).fit(table) for seed in (0, 1))
    for name in first.parameters_:
        ours, theirs = first.intervals_[name], second.intervals_[name]
        assert ours is not None
        assert theirs is not None
        assert np.array(ours) == pytest.approx(np.array(theirs), abs=0.35 * (ours[1] - ours[0]))


def test_quick_intervals_are_about_the_resampled_ones() -> None:
    table, _ = family_table(13, known=True)
    fit = JointLaw().fit(table).fit_
    for name, interval in fit.intervals.items():
        rough = fit.quick_intervals[name]
        assert interval is not None
        assert rough is not None
        assert (rough[1] - rough[0]) / (interval[1] - interval[0]) == pytest.approx(1, abs=0.35), name
