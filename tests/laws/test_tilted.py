"""A law whose low plateau is tilted: Eq. 1 and 2 for networks that gain from the first prunings, or lose from them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from prunescope.choose import smallest_network
from prunescope.laws import JointLaw, SingleLaw, load_law
from prunescope.laws.comparison import TILT, compare
from prunescope.laws.data import GroupData, Points
from prunescope.laws.doubts import describe_tilted, doubts_of_fit
from prunescope.laws.forms import JOINT, KAPPA_SCALE, SINGLE, TILTED, TILTED_JOINT, PruningForm, to_coordinates
from prunescope.laws.grouping import sample
from prunescope.laws.search import search_groups
from prunescope.laws.solver import RelativeDeviation, deviation
from prunescope.table import read_table
from tests.laws.families import family

FORMS = (TILTED, TILTED_JOINT)


def _points(count: int, seed: int = 0) -> Points:
    random = np.random.default_rng(seed)
    columns = ((0.05, 0.9), (0.02, 0.3), (0.003, 1), (1, 8), (0.1, 2))
    return Points(*(np.log(random.uniform(low, high, (1, count))) for low, high in columns))


def _theta(form: PruningForm, kappa: float, seed: int = 1) -> Any:
    random = np.random.default_rng(seed)
    values = {"eps_up": 0.8, "gamma": random.uniform(0.4, 2), "p": 0.01, "p_prime": 0.02, "phi": 0.7, "psi": 1.1}
    values["kappa"] = kappa
    return to_coordinates(form.parameters, np.array([[values[name] for name in form.parameters]]))


@pytest.mark.parametrize(("form", "paper"), [(TILTED, SINGLE), (TILTED_JOINT, JOINT)])
def test_without_tilt_it_is_the_law_of_the_paper(form: PruningForm, paper: PruningForm) -> None:
    points, theta = _points(40), _theta(form, 0.0)
    ours, jacobian = form.evaluate(theta, points)
    theirs, of_paper = paper.evaluate(theta[:, :-1], points)
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(jacobian[:-1], of_paper)
    np.testing.assert_array_equal(form.regions(theta, points), paper.regions(theta[:, :-1], points))
    np.testing.assert_allclose(
        form.log_density(theta, 0.31, points), paper.log_density(theta[:, :-1], 0.31, points), atol=1e-12
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kappa", [-0.6, -0.05, 0.05, 0.3])
def test_the_jacobian_is_that_of_differences(form: PruningForm, kappa: float) -> None:
    points, theta, step = _points(60), _theta(form, kappa), 1e-6
    jacobian = form.evaluate(theta, points)[1]
    for column in range(theta.shape[1]):
        ahead, behind = theta.copy(), theta.copy()
        ahead[:, column] += step
        behind[:, column] -= step
        slope = (form.log_error(ahead, points) - form.log_error(behind, points)) / (2 * step)
        np.testing.assert_allclose(jacobian[column], slope, atol=1e-7)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kappa", [-0.2, 0.0, 0.2])
def test_the_error_starts_at_the_unpruned_one_and_ends_at_the_high_plateau(form: PruningForm, kappa: float) -> None:
    points, theta = _points(5), _theta(form, kappa)
    # A lower turning point, so that density 1 lies on the low plateau.
    theta[:, 2] -= 30
    at_one = replace(points, density=np.zeros_like(points.density))
    np.testing.assert_allclose(form.log_error(theta, at_one), points.unpruned, atol=1e-6)
    nothing_left = replace(points, density=np.full_like(points.density, -400.0))
    np.testing.assert_allclose(form.log_error(theta, nothing_left), np.log(0.8), atol=1e-6)


@settings(deadline=None, max_examples=150)
@given(
    kappa=st.floats(-0.5, 0.5),
    gamma=st.floats(0.1, 20),
    log_p=st.floats(-12, -1),
    unpruned=st.floats(0.01, 0.5),
    bound=st.floats(0.005, 0.95),
)
def test_the_density_is_the_first_from_the_sparse_side_that_keeps_a_bound(
    kappa: float, gamma: float, log_p: float, unpruned: float, bound: float
) -> None:
    theta = np.array([[np.log(0.8), np.log(gamma), log_p, kappa]])
    grid = np.linspace(-40, 6, 4601)
    zero = np.zeros(1)
    point = Points(zero, np.log([unpruned]), zero, zero, zero)
    density = TILTED.log_density(theta, bound, point)[0, 0]
    errors = TILTED.log_error(theta, replace(point, density=grid))[0]
    keeps = errors <= np.log(bound)
    if density == -np.inf:
        assert keeps[0]
    elif np.isnan(density) or density > grid[-1]:
        assert not (errors < np.log(bound) - 1e-9).any()  # a bound equal to the plateau is met by rounding alone
    else:
        at_density = TILTED.log_error(theta, replace(point, density=np.array([density])))[0, 0]
        assert at_density == pytest.approx(np.log(bound), abs=1e-9)
        assert not keeps[grid < density - 1e-9].any()


@pytest.mark.parametrize("form", FORMS)
def test_a_fit_is_the_most_probable_under_its_prior(form: PruningForm) -> None:
    # n log S + (kappa / scale)^2, minimised by SciPy from the same end and from elsewhere.
    group = _dipping_group(0.08)[0] if form is TILTED_JOINT else _curve_group(0.08)
    ours = search_groups(form, [group], {}, 16, 0).theta[0]

    def target(theta: Any) -> float:
        residual = deviation(form, group.points, theta[None])[0][0]
        return float(len(residual) * np.log(residual @ residual) + (theta[-1] / KAPPA_SCALE) ** 2)

    for start in (ours, ours + np.array([-0.1, 0.1, 0.2, *([0.1, -0.1] if form is TILTED_JOINT else []), 0.03])):
        theirs = minimize(target, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-9, "maxiter": 9000})
        assert target(ours) <= theirs.fun + 1e-5
        if theirs.fun < target(ours) + 1e-6:
            np.testing.assert_allclose(theirs.x, ours, atol=2e-3)


def test_the_prior_enters_gradient_and_cost_as_differences_say() -> None:
    points, theta, step = _points(12), _theta(TILTED, 0.1), 1e-6
    problem = RelativeDeviation(TILTED, points)
    gradient = problem.normal_equations(theta).gradient[0]
    for column in range(4):
        ahead, behind = theta.copy(), theta.copy()
        ahead[:, column] += step
        behind[:, column] -= step
        costs = [problem.normal_equations(at).cost[0] for at in (ahead, behind)]
        assert gradient[column] == pytest.approx((costs[0] - costs[1]) / (2 * step), rel=1e-5)


def _curve_group(kappa: float, noise: float = 0.02) -> GroupData:
    random = np.random.default_rng(3)
    density = 0.8 ** np.arange(30)
    theta = to_coordinates(TILTED.parameters, np.array([[0.85, 1.2, 0.01, kappa]]))
    zero = np.zeros(30)
    error = np.exp(TILTED.log_error(theta, Points(zero, np.full(30, np.log(0.08)), np.log(density), zero, zero))[0])
    measured = error[None] * (1 + noise * random.standard_normal((3, 30)))
    columns = {"density": np.tile(density, 3), "error": measured.ravel(), "replicate": np.repeat([1, 2, 3], 30)}
    return sample(read_table(columns), joint=False).groups[0]


def _dipping_group(kappa: float, members: int = 12) -> tuple[GroupData, dict[str, Any]]:
    """Return a family whose low plateaus are tilted by so much, and its columns."""
    columns, planted = family(5, members=members, known=True)
    theta = to_coordinates(TILTED_JOINT.parameters, np.array([[*planted.values(), kappa]]))
    logs = (np.log(columns[name]) for name in ("unpruned_error", "density", "depth", "width"))
    exact = np.exp(TILTED_JOINT.log_error(theta, Points(np.zeros(len(columns["density"])), *logs))[0])
    random = np.random.default_rng(8)
    columns["error"] = exact * (1 + 0.02 * random.standard_normal(len(exact)))
    return sample(read_table(columns), joint=True).groups[0], columns


@pytest.mark.parametrize("kappa", [-0.08, 0.06])
def test_a_planted_tilt_is_found_and_said_to_predict_better(kappa: float) -> None:
    group, columns = _dipping_group(kappa)
    law = JointLaw(form="tilted").fit(columns)
    assert law.parameters_["kappa"] == pytest.approx(kappa, abs=0.01)
    low, high = law.intervals_["kappa"] or (np.nan, np.nan)
    assert low - 0.005 <= kappa <= high + 0.005
    paper = JointLaw(intervals="none").fit(columns)
    assert law.fit_.std_deviation < paper.fit_.std_deviation / 1.5
    gain = doubts_of_fit(group, True, paper.fit_.std_deviation).tilted
    assert gain is not None
    assert gain.clear
    assert gain.rms < gain.reference
    assert "--form tilted" in describe_tilted(gain)


def test_without_a_tilt_in_the_data_nothing_is_said_and_little_is_lost() -> None:
    group, columns = _dipping_group(0.0)
    paper = JointLaw(intervals="none").fit(columns)
    assert doubts_of_fit(group, True, paper.fit_.std_deviation).tilted is None
    first, tilted = (row for row in compare(group, True) if row.form in ("Eq. 2", TILT[True]))
    assert first.gain is None
    assert tilted.gain is not None
    assert not tilted.gain.clear
    assert tilted.gain.rms < 1.05 * tilted.gain.reference


def test_gains_are_paired_by_configuration() -> None:
    group, _ = _dipping_group(0.06, members=8)
    comparisons = compare(group, True, folds=8)
    first, tilted = comparisons[:2]
    assert tilted.gain is not None
    assert tilted.gain.error is not None
    ours, theirs = np.square(tilted.unseen), np.square(first.unseen)
    fold = np.random.default_rng(0).permutation(group.cells) % 8
    order = np.concatenate([np.flatnonzero(fold[group.cell] == number) for number in range(8)])
    sums = np.bincount(group.cell[order], theirs - ours - (theirs - ours).mean())
    by_hand = np.sqrt(np.sum(sums**2) * 8 / 7) / len(ours) / (np.sqrt(ours.mean()) + np.sqrt(theirs.mean()))
    assert tilted.gain.error == pytest.approx(by_hand)
    assert tilted.gain.difference == pytest.approx(np.sqrt(theirs.mean()) - np.sqrt(ours.mean()))


def test_a_tilted_law_predicts_is_saved_and_read_again(tmp_path: Any) -> None:
    _, columns = _dipping_group(0.06)
    law = JointLaw(form="tilted", draws=20).fit(columns)
    law.save(tmp_path / "law.json")
    again = load_law(tmp_path / "law.json")
    np.testing.assert_array_equal(again.predict(columns), law.predict(columns))
    assert np.std(law.predict(columns) / columns["error"] - 1) < 0.03
    assert SingleLaw(form="tilted").get_params()["form"] == "tilted"


def test_the_choice_follows_the_tilted_law() -> None:
    # A bound below every unpruned error: only a law that dips has a network for it.
    _, columns = _dipping_group(0.1)
    bound = 0.93 * float(columns["unpruned_error"].min())
    answers = {
        form: smallest_network(columns, bound, form=form, law_alone=True, intervals="quick").answers
        for form in ("paper", "tilted")
    }
    assert answers["paper"] == ()
    (answer,) = answers["tilted"]
    assert answer.choice is not None
    assert answer.choice.error == pytest.approx(bound, rel=1e-6)
    assert answer.choice.probability == pytest.approx(0.5, abs=0.05)
