"""Unknown plateaus: the elimination against SciPy on all unknowns at once."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy.optimize import least_squares

from prunescope.laws.data import GroupData, Numbers, pad
from prunescope.laws.forms import JOINT, SINGLE, to_coordinates
from prunescope.laws.free_plateaus import FreePlateaus, free_plateaus, reduced_hessian, solve_free_plateaus
from prunescope.laws.grouping import sample
from prunescope.laws.search import make_box, search_groups
from prunescope.table import read_table
from tests.laws.families import NOISE, curve, family_group


def residuals(problem: FreePlateaus, cells: int, unknown: Numbers) -> Any:
    """Return all weighted residuals of coordinates and plateaus together, by the definition."""
    theta, plateaus = unknown[:-cells], unknown[-cells:]
    points = replace(problem.points, unpruned=plateaus[problem.cell])
    log_error = JOINT.evaluate(theta[None], points)[0][0]
    assert problem.points.weight is not None
    of_plateaus = np.sqrt(problem.prior) * (plateaus - problem.measured)
    return np.concatenate([np.sqrt(problem.points.weight) * (log_error - problem.points.error), of_plateaus])


@pytest.mark.parametrize("reads_as_law", [True, False])
def test_eliminating_plateaus_finds_what_scipy_finds_over_all_unknowns(reads_as_law: bool) -> None:
    group, planted = family_group(1, members=8)
    box = make_box(JOINT, pad([group]), {}, np.array([1.0]))
    problem = free_plateaus(JOINT, [group], [NOISE], reads_as_law)
    start = to_coordinates(JOINT.parameters, np.array(list(planted.values())))
    ours = solve_free_plateaus(problem, start[None], box.low, box.high)
    unknowns = np.concatenate([start, problem.measured])
    theirs = least_squares(partial(residuals, problem, group.cells), unknowns, xtol=1e-14, ftol=1e-14)
    assert float(ours.cost[0]) == pytest.approx(theirs.cost, rel=1e-6)
    assert ours.theta[0] == pytest.approx(theirs.x[:5], abs=1e-3)
    assert ours.nuisance[0] == pytest.approx(theirs.x[5:], abs=1e-3)
    jacobian = np.asarray(theirs.jac)
    schur = jacobian.T @ jacobian
    mixed = schur[:5, 5:]
    wanted = schur[:5, :5] - mixed @ np.linalg.inv(schur[5:, 5:]) @ mixed.T
    assert reduced_hessian(problem, ours)[0][0] == pytest.approx(wanted, rel=2e-2, abs=1e-2)


def test_given_plateaus_do_not_move() -> None:
    group, planted = family_group(2, members=8, known=True)
    box = make_box(JOINT, pad([group]), {}, np.array([1.0]))
    problem = free_plateaus(JOINT, [group], [NOISE], True)
    start = to_coordinates(JOINT.parameters, np.array(list(planted.values())))
    solved = solve_free_plateaus(problem, start[None], box.low, box.high)
    assert solved.nuisance[0] == pytest.approx(problem.measured, abs=1e-6)


def test_curves_side_by_side_are_curves_alone() -> None:
    groups: list[GroupData] = [
        sample(read_table(curve(p=p, noise=0.03, levels=levels, replicates=3, known=False)), joint=False).groups[0]
        for p, levels in ((0.01, 22), (0.03, 25), (0.1, 31))
    ]
    box = make_box(SINGLE, pad(groups), {}, np.ones(3))
    start = search_groups(SINGLE, groups, {}, 8, 0).theta
    together = solve_free_plateaus(free_plateaus(SINGLE, groups, [0.03] * 3, True), start, box.low, box.high)
    for place, group in enumerate(groups):
        problem = free_plateaus(SINGLE, [group], [0.03], True)
        rows = slice(place, place + 1)
        alone = solve_free_plateaus(problem, start[rows], box.low[rows], box.high[rows])
        assert together.cost[place] == pytest.approx(alone.cost[0], rel=1e-6)
        assert together.theta[place] == pytest.approx(alone.theta[0], abs=1e-3)


def test_a_cell_drawn_twice_counts_as_two() -> None:
    group, planted = family_group(3, members=4)
    names = ("error", "unpruned", "density", "depth", "width", "examples", "size", "repeats", "dense_repeats")
    again = group.cell == 3
    doubled: dict[str, Any] = {
        name: np.concatenate([getattr(group, name), getattr(group, name)[again]]) for name in names
    }
    twice = replace(group, **doubled, cell=np.concatenate([group.cell, np.full(int(again.sum()), 4)]))
    box = make_box(JOINT, pad([group]), {}, np.array([1.0]))
    start = to_coordinates(JOINT.parameters, np.array(list(planted.values())))[None]
    weights = np.array([[1.0, 1.0, 1.0, 2.0]])
    problem = replace(free_plateaus(JOINT, [group], [NOISE], True), cell_weight=weights)
    weighted = solve_free_plateaus(problem, start, box.low, box.high)
    repeated = solve_free_plateaus(free_plateaus(JOINT, [twice], [NOISE], True), start, box.low, box.high)
    assert weighted.cost[0] == pytest.approx(repeated.cost[0], rel=1e-6)
    assert weighted.theta == pytest.approx(repeated.theta, abs=1e-3)
