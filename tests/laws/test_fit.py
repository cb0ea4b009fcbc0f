"""Fits: what they recover, what they report, what they refuse and what they warn of."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from prunescope.errors import InputError
from prunescope.laws import DenseLaw, JointLaw, SingleLaw, dense_error, joint_error
from prunescope.laws.fit import Options, fit_groups
from prunescope.laws.forms import SINGLE
from prunescope.laws.grouping import sample
from prunescope.table import read_table
from tests.laws.families import curve, family, family_table


@pytest.mark.parametrize("seed", range(3))
def test_a_family_like_table_1_gives_its_parameters_back(seed: int) -> None:
    columns, planted = family(seed, known=True)
    law = JointLaw().fit(columns)
    for name, value in planted.items():
        assert law.parameters_[name] == pytest.approx(value, rel=0.05), name
    assert abs(law.fit_.mean_deviation) < 0.005
    assert law.fit_.std_deviation == pytest.approx(0.034 / np.sqrt(3), rel=0.1)
    assert law.fit_.seed_noise == pytest.approx(0.034, rel=0.05)
    assert law.fit_.cells == 152
    assert law.fit_.ladders == 456
    assert law.fit_.converged


def test_mu_and_sigma_are_those_of_the_relative_deviation() -> None:
    columns, _ = family(3, members=10, known=True, replicates=1)
    fit = JointLaw().fit(columns).fit_
    predicted = joint_error(
        columns["unpruned_error"], columns["density"], columns["depth"], columns["width"], **fit.parameters
    )
    relative = predicted / columns["error"] - 1
    assert fit.mean_deviation == pytest.approx(relative.mean(), rel=1e-6)
    assert fit.std_deviation == pytest.approx(relative.std(), rel=1e-6)
    assert sum(region.points for region in fit.regions) == fit.points == len(relative)
    weighted = sum(region.points * region.mean for region in fit.regions if region.mean is not None)
    assert weighted / fit.points == pytest.approx(fit.mean_deviation, rel=1e-6)


def test_partial_fits_leave_exponents_out() -> None:
    columns, _ = family(4, members=40)
    narrow = columns["width"] == 1
    without = JointLaw().fit({name: values[narrow] for name, values in columns.items()}).fit_
    assert without.parameters["psi"] == 0
    assert without.fixed == ("psi",)
    assert set(without.intervals) == {"eps_up", "gamma", "p_prime", "phi"}
    partial_fit = JointLaw(vary=["depth"]).fit(columns).fit_
    assert partial_fit.fixed == ("psi",)
    assert partial_fit.std_deviation > JointLaw().fit(columns).fit_.std_deviation
    density_alone = JointLaw(vary=[]).fit(columns).fit_
    assert density_alone.fixed == ("phi", "psi")


def test_given_parameters_are_kept_and_said_to_be_given() -> None:
    fit = SingleLaw(fix={"eps_up": 0.9}).fit(curve(eps_up=0.9, levels=14, noise=0.01)).fit_
    assert fit.parameters["eps_up"] == pytest.approx(0.9, rel=1e-12)
    assert fit.fixed == ("eps_up",)
    assert "eps_up" not in fit.intervals
    assert "eps_up = 0.9 (given)" in str(fit)


def test_the_plateau_is_bounded_by_the_error_of_guessing() -> None:
    short = curve(eps_up=0.9, gamma=1.2, levels=9, noise=0.01, seed=2)
    assert SingleLaw().fit(short).parameters_["eps_up"] <= 1
    assert SingleLaw(classes=10).fit(short).parameters_["eps_up"] <= 0.9
    assert SingleLaw().fit({**short, "dataset": ["cifar10"] * 9}).parameters_["eps_up"] <= 0.9


def test_every_group_is_fitted_or_refused_in_the_order_of_the_table() -> None:
    columns = curve(noise=0.02, levels=20)
    many = {name: np.concatenate([values, values, values[:2]]) for name, values in columns.items()}
    many["depth"] = np.repeat([8, 14, 20], [20, 20, 2])
    law = SingleLaw().fit(many)
    assert [fit.group["depth"] for fit in law.fits_] == [8, 14]
    assert law.fits_[0].parameters == pytest.approx(law.fits_[1].parameters, rel=1e-6)
    assert [refusal.group["depth"] for refusal in law.refused_] == [20]
    assert "1 density below 1 for 3 parameters" in law.refused_[0].why
    with pytest.raises(AttributeError, match="2 fits, one for each of depth"):
        _ = law.parameters_


def test_a_fit_through_all_points_says_so() -> None:
    law = SingleLaw().fit({"density": [1, 0.3, 0.1, 0.03], "error": [0.1, 0.15, 0.3, 0.5]})
    assert set(law.intervals_.values()) == {None}
    assert any("3 points for 3 parameters" in words for words in law.warnings_)


def test_too_few_depths_are_named() -> None:
    columns, _ = family(5, members=152)
    two = np.isin(columns["depth"], (8, 20))
    law = JointLaw().fit({name: values[two] for name, values in columns.items()})
    assert any("phi rests on two depths alone: measure a third depth" in words for words in law.warnings_)


def test_a_dip_below_the_unpruned_error_is_named() -> None:
    columns = curve(levels=24, replicates=3, noise=0.01)
    dipping = columns["error"] * np.where((columns["density"] < 0.9) & (columns["density"] > 0.3), 0.93, 1.0)
    law = SingleLaw().fit({**columns, "error": dipping})
    warnings = " ".join(law.warnings_)
    assert re.search(r"falls [567]\.\d+ % below the unpruned error before it rises", warnings)
    assert not any("falls" in words for words in SingleLaw().fit(columns).warnings_)


def test_accuracies_given_as_unpruned_errors_are_named() -> None:
    columns = curve(levels=24)
    warnings = " ".join(SingleLaw().fit({**columns, "unpruned_error": 1 - columns["unpruned_error"]}).warnings_)
    assert "if the unpruned errors are accuracies" in warnings
    assert "falls" not in " ".join(SingleLaw().fit(columns).warnings_)


def test_networks_without_a_low_plateau_are_named() -> None:
    planted = {"eps_up": 0.85, "gamma": 1.2, "p_prime": 0.15, "phi": 0.4, "psi": 1.4}
    columns, _ = family(6, parameters=planted)
    law = JointLaw().fit(columns)
    assert law.fit_.unpruned_gap is not None
    assert law.fit_.unpruned_gap > 0.02
    assert any("so small that they have no low plateau" in words for words in law.warnings_)
    # What is fitted is what the paper fits, and misses the truth; the interval does not.
    interval = law.intervals_["psi"]
    assert interval is not None
    assert abs(law.parameters_["psi"] - 1.4) > 0.05
    assert interval[0] - 0.02 <= 1.4 <= interval[1] + 0.02


def test_much_data_gets_quick_intervals_unless_asked_otherwise() -> None:
    columns, _ = family(7, members=20)
    group = sample(read_table(columns), joint=False).groups
    auto = fit_groups(SINGLE, group, Options(draws=1_000_000))
    assert {fit.intervals_by for fit in auto} == {"linear, from the curvature at the optimum"}  # type: ignore[union-attr]
    none = fit_groups(SINGLE, group, Options(intervals="none"))
    assert all(set(fit.intervals.values()) == {None} for fit in none)  # type: ignore[union-attr]


def test_the_dense_law_gives_its_parameters_back() -> None:
    examples, depth, width = (
        values.ravel() for values in np.meshgrid([1e3, 4e3, 16e3, 64e3], [8, 20, 50], [0.5, 1, 2, 4])
    )
    size = depth * width**2
    planted: dict[str, Any] = {"eps_0": 0.9, "a": 8.0, "alpha": 0.5, "b": 0.4, "beta": 0.45, "c": 0.02}
    error = dense_error(examples, size, **planted, eta=0.9)
    columns = {"density": np.ones(48), "error": error, "depth": depth, "width": width, "examples": examples}
    law = DenseLaw(classes=10).fit(columns)
    for name, value in planted.items():
        assert law.parameters_[name] == pytest.approx(value, rel=1e-4), name
    assert law.predict({"depth": [98], "width": [1.0], "examples": [32e3], "density": [1.0]}) == pytest.approx(
        [float(dense_error(32e3, 98.0, **planted, eta=0.9))], rel=1e-4
    )


def test_settings_are_checked_all_at_once() -> None:
    wrong = JointLaw(fix={"gama": 1.0, "eps_up": -1}, vary=["examples"], level=1.5, starts=0, replicates="average")
    with pytest.raises(InputError) as raised:
        wrong.fit(family_table(1, members=3)[0])
    words = str(raised.value)
    assert "6 faults" in words
    assert "Did you mean 'gamma'?" in words
    assert "must be a positive number; found -1" in words
    assert "The law always explains density, and examples" in words
