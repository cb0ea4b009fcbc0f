"""Eq. 2 with corners of any sharpness: Eq. 2 among them, its inverse, and what a posterior makes of planted corners."""

from __future__ import annotations

import numpy as np
import pytest

from prunescope.choose.smallest import MemberSizes
from prunescope.design.cornered_law import CORNERED
from prunescope.design.posterior import Rows, compute_posterior
from prunescope.design.value_of_information import Question
from prunescope.laws.data import Numbers, Points
from prunescope.laws.forms import JOINT
from tests.design.test_posterior import CELLS, UNPRUNED

EQ_2 = (np.log(2), np.log(2))


def laws(count: int, corners: Numbers) -> Numbers:
    random = np.random.default_rng(0)
    law = [
        np.log(random.uniform(0.6, 0.9, count)),
        np.log(random.uniform(0.3, 3, count)),
        np.log(10 ** random.uniform(-2.2, -1, count)),
        random.uniform(0, 1.3, count),
        random.uniform(0, 1.5, count),
    ]
    return np.concatenate([np.stack(law, axis=1), np.broadcast_to(corners, (count, 2))], axis=1)


def members(log_density: Numbers) -> Points:
    return Points(np.zeros(4), np.log(UNPRUNED), log_density, np.log(CELLS.depth), np.log(CELLS.width))


def test_corners_of_two_are_eq_2() -> None:
    theta = laws(50, np.array(EQ_2))
    for density in (-0.1, -2.0, -9.0, -300.0):
        points = members(np.full(4, density))
        assert CORNERED.log_error(theta, points) == pytest.approx(JOINT.log_error(theta[:, :5], points), abs=1e-12)
    for bound in (0.05, 0.125, 0.5, 0.95):
        ours, eq_2 = (form.log_density(theta[:, :columns], bound, members(np.zeros(4)))
                      for form, columns in ((CORNERED, 7), (JOINT, 5)))  # fmt: skip
        assert ours == pytest.approx(eq_2, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("bound", [0.099, 0.17, 0.4, 0.59])
def test_densities_are_those_at_which_the_law_gives_the_error(bound: float) -> None:
    theta = laws(400, 0.5 * np.random.default_rng(1).standard_normal((400, 2)) + EQ_2)
    density = CORNERED.log_density(theta, bound, members(np.zeros(4)))
    sharper = theta[:, [5]] > theta[:, [6]]
    above = np.log(bound) > members(np.zeros(4)).unpruned
    assert (np.isfinite(density) == above)[~sharper[:, 0]].all()
    # Where the low corner is the sharper one, the error dips below the unpruned one.
    assert np.isfinite(density)[np.broadcast_to(above, density.shape) & sharper].all()
    assert np.isfinite(density)[~above & sharper].any() == (bound == 0.099)
    for row, needed in zip(theta, density, strict=True):
        there = np.isfinite(needed)
        error, sparser = (
            CORNERED.log_error(row[None], members(np.where(there, needed, 0.0) - more))[0] for more in (0, 0.01)
        )
        assert error[there] == pytest.approx(np.log(bound), abs=1e-4)
        assert (sparser > error)[there].all()


@pytest.mark.parametrize("corners", [(1.0, 4.0), (4.0, 1.0)])
def test_a_posterior_finds_the_densities_of_families_with_other_corners(corners: tuple[float, float]) -> None:
    truth = np.concatenate([np.log([0.85, 1.3, 0.03]), [0.8, 1.1], np.log(corners)])[None]
    density = np.log(0.8) * np.arange(26)
    curves = [CORNERED.log_error(truth, members(np.full(4, at)))[0] for at in density]
    cell, log_error = np.repeat([0, 1, 2], 26), np.stack(curves, axis=1)[:3].reshape(-1)
    noise = 0.034 * np.random.default_rng(2).standard_normal((4, 3 * 26))
    rows = Rows(np.tile(cell, 4), np.tile(np.tile(density, 3), 4), (log_error + noise).reshape(-1))
    # The last member is known unpruned alone.
    last = Rows(np.full(4, 3), np.zeros(4), np.full(4, np.log(UNPRUNED[3])))
    rows = Rows(*(np.concatenate(pair) for pair in zip(vars(rows).values(), vars(last).values(), strict=True)))
    posterior = compute_posterior(CELLS, rows, 0.9)
    sizes = MemberSizes(CELLS.depth, CELLS.width, np.ones(4), np.zeros(4))
    needed = Question(0.2, sizes, np.arange(4), np.full(4, -30.0)).densities(posterior.mean[None])[0]
    assert needed == pytest.approx(CORNERED.log_density(truth, 0.2, members(np.zeros(4)))[0], abs=0.12)
    assert posterior.departure < 0.03
