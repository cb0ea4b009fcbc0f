"""What is believed and what a measurement would change, against finite differences and the algebra of Gaussians."""

from __future__ import annotations

import numpy as np
import pytest

from prunescope.choose.unpruned import Place
from prunescope.design.posterior import THETA, Posterior, Rows, _evaluate, compute_posterior
from prunescope.laws import joint_error

LAW = {"eps_up": 0.85, "gamma": 1.3, "p_prime": 0.03, "phi": 0.8, "psi": 1.1}
CELLS = Place(np.array([8.0, 8.0, 20.0, 20.0]), np.array([0.5, 1.0, 0.5, 1.0]), np.full(4, 50_000.0))
UNPRUNED = np.array([0.16, 0.13, 0.12, 0.10])


def ladders(cells: list[int], noise: float = 0.0, levels: int = 20, seed: int = 0) -> Rows:
    random = np.random.default_rng(seed)
    density = 0.8 ** np.arange(levels + 1)
    log_errors = [
        np.log(joint_error(UNPRUNED[cell], density, CELLS.depth[cell], CELLS.width[cell], **LAW))
        + noise * random.standard_normal(len(density))
        for cell in cells
    ]
    at = np.repeat(np.array(cells, np.int64), len(density))
    return Rows(at, np.tile(np.log(density), len(cells)), np.concatenate(log_errors))


def nothing() -> Rows:
    return Rows(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))


def test_derivatives_are_those_of_finite_differences() -> None:
    random = np.random.default_rng(0)
    z = np.concatenate(
        [np.log([0.8, 1.4, 0.04]), [0.7, 1.2], np.log([1.2, 3.0]), np.log(UNPRUNED), 0.1 * random.standard_normal(4)]
    )
    rows = ladders([0, 3, 1])
    _, theta, by_cell = _evaluate(z, CELLS, rows)
    numeric = np.empty((len(z), len(rows)))
    for place in range(len(z)):
        ahead, behind = z.copy(), z.copy()
        ahead[place] += 1e-6
        behind[place] -= 1e-6
        numeric[place] = (_evaluate(ahead, CELLS, rows)[0] - _evaluate(behind, CELLS, rows)[0]) / 2e-6
    assert theta == pytest.approx(numeric[:THETA], abs=1e-7)
    for cell in range(4):
        here = rows.cell == cell
        assert by_cell[0][here] == pytest.approx(numeric[THETA + cell][here], abs=1e-7)
        assert by_cell[1][here] == pytest.approx(numeric[THETA + 4 + cell][here], abs=1e-7)


def test_before_anything_is_measured_beliefs_are_wide_and_in_place() -> None:
    posterior = compute_posterior(CELLS, nothing(), guessing=0.9)
    assert np.isfinite(posterior.mean).all()
    assert (np.diag(posterior.covariance)[THETA : THETA + 4] > 0.5).all()
    assert np.exp(posterior.mean[0]) < 0.9


def test_exact_measurements_of_all_members_leave_the_truth() -> None:
    posterior = compute_posterior(CELLS, ladders([0, 1, 2, 3], levels=30), guessing=0.9)
    assert np.exp(posterior.mean[:3]) == pytest.approx([LAW["eps_up"], LAW["gamma"], LAW["p_prime"]], rel=0.15)
    assert posterior.mean[3:5] == pytest.approx([LAW["phi"], LAW["psi"]], abs=0.15)
    assert np.exp(posterior.mean[THETA : THETA + 4]) == pytest.approx(UNPRUNED, rel=0.02)


def test_a_look_adds_its_information_to_the_precision() -> None:
    posterior = compute_posterior(CELLS, ladders([0], noise=0.03), guessing=0.9)
    where, root = posterior.information(2, np.log(0.8) * np.arange(11))
    information = np.zeros_like(posterior.covariance)
    information[np.ix_(where, where)] = root @ root.T
    expected = np.linalg.inv(np.linalg.inv(posterior.covariance) + information)
    assert posterior.updated(where, root).covariance == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_means_move_as_far_as_the_covariance_shrinks() -> None:
    posterior = compute_posterior(CELLS, ladders([0], noise=0.03), guessing=0.9)
    where, root = posterior.information(3, np.log(0.8) * np.arange(16))
    random = np.random.default_rng(1)
    truths = random.multivariate_normal(posterior.mean, posterior.covariance, 40_000)
    means_after = posterior.means_after(truths, where, root, random.standard_normal((40_000, len(where))))
    shrunk = posterior.covariance - posterior.updated(where, root).covariance
    assert means_after.mean(axis=0) == pytest.approx(posterior.mean, abs=0.05)
    assert np.cov(means_after.T) == pytest.approx(shrunk, abs=0.05 * np.abs(shrunk).max())


def test_beliefs_hold_the_truth_as_often_as_they_say() -> None:
    held = []
    for seed in range(60):
        random = np.random.default_rng([3, seed])
        shift = 0.05 * random.standard_normal(4)
        rows = ladders([0, 1, 2], noise=0.034, seed=seed)
        # The truth of a cell departs from the law by its shift: as if its densities were others.
        means_after = np.concatenate(
            [
                np.log(joint_error(UNPRUNED[c], np.exp(rows.log_density[rows.cell == c] - shift[c]), CELLS.depth[c],
                                   CELLS.width[c], **LAW)) for c in (0, 1, 2)
            ]
        )  # fmt: skip
        noise = 0.034 * random.standard_normal(len(means_after))
        posterior = compute_posterior(CELLS, Rows(rows.cell, rows.log_density, means_after + noise), guessing=0.9)
        truth = np.log([LAW["eps_up"], LAW["gamma"], LAW["p_prime"]])
        truth = np.concatenate([truth, [LAW["phi"], LAW["psi"], np.log(2), np.log(2)], np.log(UNPRUNED)])
        spread = np.sqrt(np.diag(posterior.covariance))[: len(truth)]
        held.append(np.abs(posterior.mean[: len(truth)] - truth) <= 1.645 * spread)
    assert 0.8 <= np.mean(held) <= 0.99


def test_beliefs_of_measured_cells_are_narrower_than_of_others() -> None:
    posterior: Posterior = compute_posterior(CELLS, ladders([0, 3], noise=0.03), guessing=0.9)
    spread = np.sqrt(np.diag(posterior.covariance))[THETA : THETA + 4]
    assert max(spread[[0, 3]]) < min(spread[[1, 2]])


@pytest.mark.parametrize(("noise", "low", "high"), [(0.004, 0.002, 0.01), (0.034, 0.034, 0.041)])
def test_without_replicates_points_near_the_law_bound_the_noise(noise: float, low: float, high: float) -> None:
    assert low < compute_posterior(CELLS, ladders([0, 1, 2, 3], noise), guessing=0.9).noise < high
    assert compute_posterior(CELLS, ladders([0], noise, levels=10), guessing=0.9).noise == pytest.approx(0.04)
