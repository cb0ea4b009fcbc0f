"""What is known of unpruned errors: measured ones, neighbours, and members that nobody trained."""

from __future__ import annotations

import numpy as np
import pytest

from prunescope.choose.unpruned import GaussianProcess, Place, Unpruned, nearest_places


def told_by(cells: Place, log_error: np.ndarray, noise: np.ndarray, members: Place) -> Unpruned:
    return GaussianProcess.through(cells, log_error, noise).of(members)


def place(depth: list[float], width: list[float]) -> Place:
    return Place(np.array(depth), np.array(width), np.ones(len(depth)))


def test_exact_measurements_are_kept_and_the_rest_is_less_sure_the_further_away() -> None:
    cells = place([8, 14, 20, 26], [1, 1, 1, 1])
    log_error = np.log([0.12, 0.10, 0.09, 0.085])
    known = told_by(cells, log_error, np.zeros(4), place([8, 14, 20, 26, 50, 200], [1] * 6))
    assert known.mean[:4] == pytest.approx(log_error, abs=2e-3)
    assert (known.spread[:4] < 2e-3).all()
    assert known.spread[3] < known.spread[4] < known.spread[5]
    assert known.mean[5] < known.mean[4] < known.mean[3]


def test_noisy_measurements_are_smoothed_by_their_neighbours() -> None:
    random = np.random.default_rng(0)
    width = np.geomspace(1 / 16, 4.0, 7)
    truth = -2.0 - 0.2 * np.log(width)
    gains = []
    for _ in range(40):
        measured = truth + 0.1 * random.standard_normal(len(width))
        cells = Place(np.full(7, 20.0), width, np.ones(7))
        known = told_by(cells, measured, np.full(7, 0.1), cells)
        gains.append(np.mean((known.mean - truth) ** 2) / np.mean((measured - truth) ** 2))
    assert np.mean(gains) < 0.7


def test_intervals_of_members_left_out_hold_their_errors_as_often_as_promised() -> None:
    random = np.random.default_rng(1)
    held = []
    for _ in range(200):
        width = np.sort(2.0 ** random.uniform(-4, 2, 9))
        depth = random.choice([8, 14, 20, 26, 50], 9).astype(float)
        truth = np.log(0.04 + 0.05 * (depth * width**2) ** -random.uniform(0.1, 0.4))
        measured = truth + 0.03 * random.standard_normal(9)
        out = int(random.integers(9))
        rest = np.arange(9) != out
        cells = Place(depth[rest], width[rest], np.ones(8))
        known = told_by(cells, measured[rest], np.full(8, 0.03), Place(depth[[out]], width[[out]], np.ones(1)))
        held.append(abs(known.mean[0] - truth[out]) <= 1.645 * known.spread[0])
    assert 0.8 <= np.mean(held) <= 0.98


def test_draws_have_the_mean_and_the_covariance_of_what_is_known() -> None:
    cells = place([8, 14, 20], [1, 1, 1])
    known = told_by(cells, np.log([0.12, 0.10, 0.09]), np.full(3, 0.05), place([8, 20, 50], [1, 1, 1]))
    drawn = known.draws(40_000, seed=0)
    assert drawn.mean(axis=0) == pytest.approx(known.mean, abs=1e-12)
    assert np.cov(drawn.T) == pytest.approx(known.covariance, abs=0.05 * known.covariance.max())


def test_a_dense_law_is_what_members_far_from_measurements_revert_to() -> None:
    depth, width = np.full(3, 20.0), np.array([0.25, 0.5, 1.0])
    expected = np.log([0.2, 0.15, 0.12])
    cells = Place(depth, width, np.ones(3), (expected, np.zeros(3)))
    far = Place(np.array([20.0]), np.array([1e9]), np.ones(1), (np.log(np.array([0.07])), np.array([0.02])))
    known = told_by(cells, expected + 0.01, np.full(3, 1e-3), far)
    assert known.mean[0] == pytest.approx(np.log(0.07), abs=1e-3)
    assert known.spread[0] >= 0.02


def test_nothing_measured_is_known_widely() -> None:
    nothing = Place(np.zeros(0), np.zeros(0), np.zeros(0))
    known = told_by(nothing, np.zeros(0), np.zeros(0), place([8, 20], [1, 1]))
    assert np.isfinite(known.mean).all()
    assert (known.spread > 1).all()


def test_of_too_many_cells_the_nearest_to_the_members_are_weighed() -> None:
    cells = place([8.0, 10.0, 20.0, 40.0, 80.0], [1.0] * 5)
    assert nearest_places(cells, place([20.0, 40.0], [1.0, 1.0]), most=5).tolist() == [0, 1, 2, 3, 4]
    assert nearest_places(cells, place([20.0, 40.0], [1.0, 1.0]), most=2).tolist() == [2, 3]
    assert nearest_places(cells, place([20.0], [1.0]), most=3).tolist() == [1, 2, 3]


def test_draws_survive_a_covariance_that_rounding_has_left_without_a_root() -> None:
    covariance = np.full((40, 40), 1.0) - 1e-8 * np.eye(40)
    with pytest.raises(np.linalg.LinAlgError):
        np.linalg.cholesky(covariance + 1e-9 * np.eye(40))
    drawn = Unpruned(np.zeros(40), covariance).draws(400, seed=0)
    assert np.isfinite(drawn).all()
    assert np.cov(drawn.T) == pytest.approx(covariance, abs=0.2)
