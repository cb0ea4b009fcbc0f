"""The solver against SciPy's, and against itself: alone, side by side, weighted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.optimize import least_squares

from prunescope.laws.data import GroupData, Numbers, pad
from prunescope.laws.forms import ADAPTED_JOINT, DENSE, JOINT, SINGLE, Form, to_parameters
from prunescope.laws.grouping import dense_sample, sample
from prunescope.laws.search import Box, draw_starts, make_box, search, search_groups
from prunescope.laws.solver import RelativeDeviation, deviation, solve
from prunescope.table import read_table
from tests.laws.families import curve, family_group, family_table


def box_of(law: Form, group: GroupData, **fixed: float) -> Box:
    return make_box(law, pad([group]), fixed, np.array([1.0]))


def best_of_scipy(law: Form, group: GroupData, count: int) -> float:
    """Return the lowest cost that SciPy finds from many starts of its own."""
    box = box_of(law, group)
    low, high = box.low[0], box.high[0]
    random = np.random.default_rng(99)
    usual = draw_starts(law, pad([group]), box, count, 99)[0]
    best = np.inf

    def residual(theta: Numbers) -> Any:
        return deviation(law, group.points, theta[None])[0][0]

    def jacobian(theta: Numbers) -> Any:
        return deviation(law, group.points, theta[None])[1][:, 0].T

    for start in usual:
        moved = np.clip(start + random.normal(0, 0.3, len(start)), low + 1e-6, high - 1e-6)
        result = least_squares(residual, moved, jacobian, bounds=(low, high), xtol=1e-12, ftol=1e-12, gtol=1e-12)
        best = min(best, float(result.cost))
    return best


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_optimum_of_a_family_is_not_beaten_by_scipy_from_100_starts(seed: int) -> None:
    group, _ = family_group(seed, members=20)
    for law in (JOINT, ADAPTED_JOINT):
        ours = float(search_groups(law, [group], {}, 16, 0).cost[0])
        assert ours <= best_of_scipy(law, group, 100) * (1 + 1e-9), law.name


@pytest.mark.parametrize("changes", [{}, {"levels": 11}, {"gamma": 0.4}, {"unpruned": 0.3, "levels": 16}], ids=str)
def test_the_optimum_of_a_curve_is_not_beaten_by_scipy_from_100_starts(changes: dict[str, Any]) -> None:
    group = sample(read_table(curve(noise=0.03, seed=5, **changes)), joint=False).groups[0]
    ours = float(search_groups(SINGLE, [group], {}, 16, 0).cost[0])
    assert ours <= best_of_scipy(SINGLE, group, 100) * (1 + 1e-7)


def test_the_optimum_of_the_dense_law_is_not_beaten_by_scipy_from_100_starts() -> None:
    table, _ = family_table(4)
    group = dense_sample(table).groups[0]
    assert float(search_groups(DENSE, [group], {}, 16, 0).cost[0]) <= best_of_scipy(DENSE, group, 100) * (1 + 1e-7)


def test_parameters_of_exact_data_come_back_to_many_digits() -> None:
    group, planted = family_group(3, noise=0.0, known=True, replicates=1)
    parameters = to_parameters(JOINT.parameters, search_groups(JOINT, [group], {}, 16, 0).theta[0])
    assert parameters == pytest.approx(list(planted.values()), rel=1e-7)


def test_fits_side_by_side_are_fits_alone() -> None:
    groups = [
        sample(read_table(curve(p=p, noise=0.03, levels=levels, seed=levels)), joint=False).groups[0]
        for p, levels in ((0.01, 20), (0.03, 25), (0.1, 31), (0.05, 12))
    ]
    together = search_groups(SINGLE, groups, {}, 16, 0)
    for place, group in enumerate(groups):
        alone = search_groups(SINGLE, [group], {}, 16, 0)
        assert together.cost[place] == pytest.approx(alone.cost[0], rel=1e-9)
        assert together.theta[place] == pytest.approx(alone.theta[0], abs=1e-4)


def test_a_weight_counts_a_point_as_often_as_it_says() -> None:
    group, _ = family_group(5, members=6, replicates=1)
    weight = np.random.default_rng(0).integers(0, 3, len(group)).astype(float)
    repeated = np.repeat(np.arange(len(group)), weight.astype(int))
    theta = search_groups(JOINT, [group], {}, 4, 0).theta
    weighted = RelativeDeviation(JOINT, replace(group.points, weight=weight)).normal_equations(theta)
    plain = RelativeDeviation(JOINT, group.points.pick(repeated)).normal_equations(theta)
    for name in ("cost", "hessian", "gradient"):
        assert getattr(weighted, name) == pytest.approx(getattr(plain, name), rel=1e-10), name


def test_blocks_of_points_add_up() -> None:
    group, _ = family_group(6)
    theta = np.array([[-0.2, 0.3, -3.0, 0.8, 1.1]] * 3)
    residual, jacobian = deviation(JOINT, group.points, theta)
    equations = RelativeDeviation(JOINT, group.points).normal_equations(theta)
    assert equations.cost == pytest.approx((residual**2).sum(axis=1) / 2, rel=1e-12)
    assert equations.gradient == pytest.approx(np.einsum("kfn,fn->fk", jacobian, residual), rel=1e-9)
    assert equations.hessian == pytest.approx(np.einsum("kfn,jfn->fkj", jacobian, jacobian), rel=1e-9)


def test_the_box_holds_and_fixed_coordinates_stay() -> None:
    group, _ = family_group(7, members=12)
    box = box_of(JOINT, group, eps_up=0.95, psi=1.0)
    begin = draw_starts(JOINT, pad([group]), box, 16, 0)
    best = search(JOINT, group.points, begin, box.low, box.high).best
    assert to_parameters(JOINT.parameters, best.theta[0])[[0, 4]] == pytest.approx([0.95, 1.0], rel=1e-12)
    tight = box.high.copy()
    tight[0, 1] = np.log(0.3)
    held = solve(JOINT, group.points, begin[0], box.low, tight).theta
    assert (held <= tight + 1e-15).all()
    assert (held >= box.low - 1e-15).all()
    assert held[0, 1] == tight[0, 1]


def test_the_same_seed_gives_the_same_fit() -> None:
    group, _ = family_group(8, members=30)
    first, second = (search_groups(JOINT, [group], {}, 16, 3).theta for _ in range(2))
    assert np.array_equal(first, second)
