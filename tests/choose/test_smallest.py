"""The closed form and the search over members, held against brute force over made-up laws and families."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from scipy.optimize import brentq

from prunescope.choose.smallest import MemberSizes, Truths, log_errors, needed_density, smallest_member

STEPS = 801
LOWEST = np.log(1e-5)


def drawn_family(seed: int) -> tuple[MemberSizes, Truths, float]:
    """Draw a family, its law and a bound that some members may reach."""
    random = np.random.default_rng(seed)
    members = int(random.integers(2, 30))
    depth = random.integers(4, 100, members).astype(float)
    width = 2.0 ** random.uniform(-4, 2, members)
    prunable = 500 * depth * width**2 * random.uniform(0.9, 1.1, members)
    rest = 30 * depth * width
    up = random.uniform(0.5, 0.9)
    unpruned = np.minimum(0.9 * up, 0.03 + 0.1 * (depth * width**2) ** -random.uniform(0.1, 0.5))
    theta = np.array(
        [
            np.log(up),
            np.log(random.uniform(0.5, 3)),
            np.log(10 ** random.uniform(-3, 0)),
            random.uniform(0, 1.5),
            random.uniform(0, 2),
        ]
    )
    bound = float(np.exp(random.uniform(np.log(unpruned.min() * 1.02), np.log(up * 0.98))))
    return MemberSizes(depth, width, prunable, rest), Truths(theta[None], np.log(unpruned)[None]), bound


def by_brute_force(sizes: MemberSizes, truth: Truths, bound: float) -> tuple[int, float, float]:
    """Try every member at every density of a fine grid."""
    grid = np.linspace(LOWEST, 0.0, STEPS)
    repeated = Truths(np.repeat(truth.theta, STEPS, axis=0), np.repeat(truth.unpruned, STEPS, axis=0))
    errors = log_errors(sizes, repeated, np.repeat(grid[:, None], len(sizes), axis=1))
    keeps = errors <= np.log(bound)
    lowest = np.where(keeps.any(axis=0), grid[np.argmax(keeps, axis=0)], np.inf)
    parameters = sizes.parameters(lowest)
    best = int(np.argmin(parameters))
    return best, float(lowest[best]), float(parameters[best])


def test_brute_force_over_a_fine_grid_finds_the_same_member_and_density_for_1000_families() -> None:
    step = -LOWEST / (STEPS - 1)
    found_some = 0
    for seed in range(1000):
        sizes, truth, bound = drawn_family(seed)
        density = np.maximum(needed_density(sizes, truth, bound)[0], LOWEST)
        parameters = sizes.parameters(density)
        best = int(smallest_member(parameters[None])[0])
        their_best, their_density, their_parameters = by_brute_force(sizes, truth, bound)
        if best < 0:
            assert not np.isfinite(their_parameters)
            continue
        found_some += 1
        # The grid may prefer another member where two are apart by less than its resolution.
        assert parameters[best] <= their_parameters * (1 + 1e-12)
        assert their_parameters <= parameters[best] * np.exp(step) * (1 + 1e-12)
        if their_best == best:
            assert 0 <= their_density - density[best] <= step * (1 + 1e-9)
    assert found_some > 900


def _over(sizes: MemberSizes, truth: Truths, bound: float, member: int, log_density: float) -> float:
    at = np.full(len(sizes), log_density)
    return float(log_errors(sizes, truth, at)[0, member] - np.log(bound))


def test_the_closed_form_agrees_with_root_finding_to_ten_digits() -> None:
    compared = 0
    for seed in range(200):
        sizes, truth, bound = drawn_family(seed)
        density = needed_density(sizes, truth, bound)[0]
        for member in np.flatnonzero(np.isfinite(density) & (density > LOWEST)).tolist()[:3]:
            over = partial(_over, sizes, truth, bound, member)
            # Near the plateaus the curve is so flat that rounding of errors moves the root.
            flat = abs(over(density[member] + 1e-6) - over(density[member] - 1e-6)) < 2e-9
            high = min(0.0, density[member] + 1.0)
            if not flat and over(high) < 0:
                root = brentq(over, density[member] - 1.0, high, xtol=1e-14, rtol=1e-15)
                assert np.exp(root) == pytest.approx(np.exp(density[member]), rel=1e-10)
                compared += 1
    assert compared > 200


def test_bounds_that_nothing_or_everything_keeps() -> None:
    sizes, truth, _ = drawn_family(3)
    lowest, plateau = float(np.exp(truth.unpruned.min())), float(np.exp(truth.theta[0, 0]))
    assert (needed_density(sizes, truth, lowest * 0.99) == np.inf).all()
    assert (needed_density(sizes, truth, plateau * 1.01) == -np.inf).all()
    assert smallest_member(np.full((2, 3), np.inf)).tolist() == [-1, -1]
