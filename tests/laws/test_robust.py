"""Fits of tables in which something went wrong: diverged networks, unequal replicates, a form that misses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.optimize import least_squares

from prunescope.laws import JointLaw, SingleLaw, joint_error, single_error
from prunescope.laws.data import GroupData
from prunescope.laws.fit import Options, fit_groups
from prunescope.laws.forms import JOINT, SINGLE, to_coordinates
from prunescope.laws.grouping import sample
from prunescope.laws.robust import FAR, HUBER, NORMAL_MEDIAN, find_standing_out
from prunescope.table import read_table
from tests.laws.families import family

DENSITY = 0.8 ** np.arange(25)
TRUTH = {"eps_up": 0.9, "gamma": 1.2, "p": 0.02}


def _curve(
    replicates: int = 3, noise: float = 0.03, seed: int = 0, changed: dict[tuple[int, int], float] | None = None
) -> dict[str, Any]:
    """Return the columns of one network's curve; `changed` sets the error of a replicate at a rung."""
    random = np.random.default_rng(seed)
    exact = single_error(0.05, DENSITY, **TRUTH)
    error = np.minimum(exact * (1 + noise * random.standard_normal((replicates, len(DENSITY)))), 1.0)
    for place, value in (changed or {}).items():
        error[place] = value
    replicate = np.repeat(np.arange(replicates), len(DENSITY))
    return {"density": np.tile(DENSITY, replicates), "error": error.ravel(), "replicate": replicate}


def _off(columns: dict[str, Any], exact: dict[str, Any], loss: str) -> float:
    """Return how far a fitted law is from the true one, root mean square."""
    fitted = JointLaw(loss=loss, intervals="none").fit(columns).parameters_
    law = joint_error(exact["unpruned_error"], exact["density"], exact["depth"], exact["width"], **fitted)
    return float(np.sqrt(np.mean((law / exact["error"] - 1) ** 2)))


@pytest.mark.parametrize("wrong", ["diverged", "three times too low"])
def test_huber_withstands_one_wrong_network_in_a_hundred(wrong: str) -> None:
    by_loss: dict[str, list[float]] = {"relative": [], "huber": []}
    for seed in range(4):
        columns, _ = family(seed, members=20, levels=30)
        exact, _ = family(seed, members=20, levels=30, noise=0, replicates=1, known=True)
        is_wrong = np.random.default_rng(seed).random(len(columns["error"])) < 0.01
        bad = np.full(len(is_wrong), 0.9) if wrong == "diverged" else columns["error"] / 3
        columns["error"] = np.where(is_wrong, bad, columns["error"])
        for loss, results in by_loss.items():
            results.append(_off(columns, exact, loss))
    assert np.mean(by_loss["huber"]) < 0.75 * np.mean(by_loss["relative"])
    assert np.mean(by_loss["huber"]) < 0.012


def test_a_huber_fit_is_scipys_at_the_same_scale() -> None:
    columns = _curve(replicates=1, changed={(0, 6): 0.5, (0, 12): 0.02})
    group = sample(read_table(columns), joint=False).groups[0]
    (fit,) = fit_groups(SINGLE, [group], Options(loss="huber", intervals="none"))
    theta = to_coordinates(SINGLE.parameters, np.array([fit.parameters[name] for name in SINGLE.parameters]))  # type: ignore[union-attr]

    def residual(at: Any) -> Any:
        return SINGLE.log_error(at[None], group.points)[0] - group.points.error

    ordered = np.sort(np.abs(residual(theta)))
    scale = ordered[(len(ordered) - 1) // 2] / NORMAL_MEDIAN
    start = to_coordinates(SINGLE.parameters, np.array(list(TRUTH.values())))
    theirs = least_squares(residual, start, loss="huber", f_scale=HUBER * scale, xtol=1e-14, ftol=1e-14, gtol=1e-14)
    np.testing.assert_allclose(theirs.x, theta, atol=1e-4)


def _uneven(seed: int) -> tuple[dict[str, Any], dict[str, float]]:
    """Return a curve whose densities were measured by twelve networks and by one, in turns."""
    random = np.random.default_rng(seed)
    repeats = np.where(np.arange(len(DENSITY)) % 2 == 0, 12, 1)
    density = np.repeat(DENSITY, repeats)
    error = single_error(0.05, density, **TRUTH) * (1 + 0.05 * random.standard_normal(len(density)))
    replicate = np.concatenate([np.arange(count) for count in repeats])
    return {"density": density, "error": error, "replicate": replicate}, TRUTH


def test_means_count_by_their_replicates() -> None:
    ours: list[float] = []
    alike: list[float] = []
    exact = single_error(0.05, DENSITY, **TRUTH)
    for seed in range(12):
        columns, _ = _uneven(seed)
        group = sample(read_table(columns | {"unpruned_error": np.full(len(columns["error"]), 0.05)}), joint=False)
        (fit,) = fit_groups(SINGLE, group.groups, Options(intervals="none"))
        equal = [_with_repeats(item, 5) for item in group.groups]
        (other,) = fit_groups(SINGLE, equal, Options(intervals="none"))
        for results, law in ((ours, fit), (alike, other)):
            error = single_error(0.05, DENSITY, **law.parameters)  # type: ignore[union-attr]
            results.append(float(np.mean((error / exact - 1) ** 2)))
    assert np.sqrt(np.mean(ours)) < 0.85 * np.sqrt(np.mean(alike))


def _with_repeats(group: GroupData, count: int) -> GroupData:
    return replace(group, repeats=np.full(len(group), count))


def test_equal_replicates_change_no_fit() -> None:
    group = sample(read_table(_curve()), joint=False).groups[0]
    (fit,) = fit_groups(SINGLE, [group], Options(intervals="none"))
    (alone,) = fit_groups(SINGLE, [_with_repeats(group, 1)], Options(intervals="none"))
    assert fit.parameters == alone.parameters  # type: ignore[union-attr]


def test_replicates_weigh_less_where_the_law_itself_is_off() -> None:
    # A law that misses by far more than seeds scatter gains nothing from more seeds.
    columns, _ = _uneven(1)
    columns["error"] = columns["error"] * (1 - 0.25 * np.sin(2 * np.log(columns["density"])) ** 2)
    group = sample(read_table(columns), joint=False).groups[0]
    (fit,) = fit_groups(SINGLE, [group], Options(intervals="none"))
    (alike,) = fit_groups(SINGLE, [_with_repeats(group, 3)], Options(intervals="none"))
    ours, theirs = (np.array(list(law.parameters.values())) for law in (fit, alike))  # type: ignore[union-attr]
    np.testing.assert_allclose(np.log(ours), np.log(theirs), atol=0.05)


def test_a_network_far_from_its_replicates_is_named() -> None:
    law = SingleLaw(intervals="none").fit(_curve(changed={(1, 6): 0.9}))
    (words,) = (warning for warning in law.warnings_ if "replicates" in warning)
    assert "0.9 at density 0.2621, replicate 1" in words
    assert "--loss huber" in words
    assert not any("replicates:" in warning for warning in SingleLaw(intervals="none").fit(_curve()).warnings_)


def test_what_stands_out_does_not_inflate_its_own_yardstick() -> None:
    changed = {(1, 6): 0.9, (2, 10): 0.005}
    group = sample(read_table(_curve(changed=changed)), joint=False).groups[0]
    (outliers,) = find_standing_out([group])
    assert {(outlier.replicate, outlier.error) for outlier in outliers} == {(1, 0.9), (2, 0.005)}
    assert all(outlier.times > FAR for outlier in outliers)
    clean, few = sample(read_table(_curve()), joint=False), sample(read_table(_curve(replicates=2)), joint=False)
    assert find_standing_out([*clean.groups, *few.groups, group]) == [[], [], outliers]


@pytest.mark.parametrize(("noise", "times", "named"), [(0.03, 1.7, True), (0.03, 1.3, False), (0.15, 1.9, False)])
def test_a_network_stands_out_by_its_distance_in_noise_and_by_a_factor_that_matters(
    noise: float, times: float, named: bool
) -> None:
    # 1.7 is 18 times a noise of 0.03; 1.3 is 9 times it and changes little; 1.9 is 4 times a noise of 0.15.
    usual = float(single_error(0.05, DENSITY, **TRUTH)[10])
    group = sample(read_table(_curve(noise=noise, changed={(1, 10): times * usual})), joint=False).groups[0]
    (outliers,) = find_standing_out([group])
    assert [outlier.replicate for outlier in outliers] == ([1] if named else [])


def test_deviations_that_run_together_are_said_with_the_member_that_is_worst() -> None:
    columns, planted = family(3, members=6, replicates=6, noise=0.03)
    bent = 1 + 0.12 * np.sin(1.2 * np.log(columns["density"]))
    shifted = np.where(columns["depth"] == columns["depth"][0], 1.15, 1.0)
    law = JointLaw(intervals="none").fit(columns | {"error": columns["error"] * bent * shifted})
    (words,) = (warning for warning in law.warnings_ if "run together" in warning or "far beyond" in warning)
    assert "most of all depth" in words
    assert not any("run together" in warning for warning in JointLaw(intervals="none").fit(columns).warnings_)
    assert set(planted) == set(JOINT.parameters)
