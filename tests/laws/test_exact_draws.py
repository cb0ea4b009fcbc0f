"""Intervals against an exact sampler: draws from the posterior of a planted family, by an ensemble of walkers.

Goodman and Weare 2010: half of the walkers are stretched towards or away from the other half, and each step is taken
with the probability that leaves the posterior as it is. The noise is unknown, with the usual prior 1 / sigma, which is
integrated out: ``log posterior = -n / 2 log sum of squares`` of log deviations, flat in the coordinates within a box.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from prunescope.distributions import normal_quantile
from prunescope.laws import JointLaw, SparseLaw
from prunescope.laws.data import GroupData, Numbers
from prunescope.laws.diagnostics import box_of, coordinates_of
from prunescope.laws.forms import FORMS
from prunescope.laws.results import Fit
from tests.laws.families import family
from tests.laws.test_sparse import networks

# Widest stretch of a step, as the authors have it.
STRETCH = 2.0


def log_posterior(fit: Fit, group: GroupData) -> Callable[[Numbers], Numbers]:
    form, points, box = FORMS[fit.law], group.points, box_of(fit, group)

    def evaluate(theta: Numbers) -> Numbers:
        inside = ((theta >= box.low[0]) & (theta <= box.high[0])).all(axis=1)
        residual = form.log_error(np.clip(theta, box.low[0], box.high[0]), points) - points.error
        return np.where(inside, -points.count / 2 * np.log(np.sum(residual**2, axis=1)), -np.inf)

    return evaluate


def exact_draws(
    target: Callable[[Numbers], Numbers], centre: Numbers, walkers: int = 40, steps: int = 1200, seed: int = 0
) -> Numbers:
    random, count = np.random.default_rng(seed), centre.shape[1]
    ensemble = centre + 0.003 * random.standard_normal((walkers, count))
    heights, half, kept = target(ensemble), walkers // 2, []
    for step in range(steps):
        for moving, others in ((slice(0, half), slice(half, None)), (slice(half, None), slice(0, half))):
            stretch = ((STRETCH - 1) * random.random(half) + 1) ** 2 / STRETCH
            towards = ensemble[others][random.integers(half, size=half)]
            proposed = towards + stretch[:, None] * (ensemble[moving] - towards)
            proposed_heights = target(proposed)
            gain = (count - 1) * np.log(stretch) + proposed_heights - heights[moving]
            taken = np.log(random.random(half)) < gain
            ensemble[moving] = np.where(taken[:, None], proposed, ensemble[moving])
            heights[moving] = np.where(taken, proposed_heights, heights[moving])
        if step >= steps // 3:
            kept.append(ensemble.copy())
    return np.concatenate(kept)


def test_the_sampler_draws_from_a_distribution_that_is_known() -> None:
    scale = np.array([0.02, 0.5, 3.0])
    draws = exact_draws(lambda theta: -0.5 * np.sum((theta / scale) ** 2, axis=1), np.zeros((1, 3)))
    assert draws.std(axis=0) == pytest.approx(scale, rel=0.1)
    assert np.quantile(draws / scale, 0.95, axis=0) == pytest.approx(1.645, abs=0.2)


def test_intervals_of_a_joint_law_agree_with_exact_draws_of_a_planted_family() -> None:
    columns, planted = family(5, members=40, noise=0.04, known=True, replicates=1, levels=25)
    law = JointLaw(draws=200).fit(columns)
    group = law.sample(columns).groups[0]
    draws = exact_draws(log_posterior(law.fit_, group), coordinates_of(law.fit_), steps=600)
    ours = law.fit_.draws
    assert law.fit_.intervals_by.startswith("200 resamples")
    sd = draws.std(axis=0)
    # Of 40 members the spread of resamples is itself known to about 12 %.
    assert ours.std(axis=0) == pytest.approx(sd, rel=0.4)
    assert (np.abs(ours.mean(axis=0) - draws.mean(axis=0)) < 0.7 * sd).all()
    for name, (low, high) in zip(planted, np.quantile(np.exp(draws), [0.001, 0.999], axis=0).T, strict=True):
        known = np.log((low, high)) if name in ("phi", "psi") else (low, high)
        assert known[0] <= planted[name] <= known[1]


def test_intervals_of_the_law_of_sparse_networks_agree_with_exact_draws() -> None:
    columns = networks(0.004, 7)
    law = SparseLaw(draws=200).fit(columns)
    group = law.sample(columns).groups[0]
    draws = exact_draws(log_posterior(law.fit_, group), coordinates_of(law.fit_), steps=900)
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    assert (high - low) == pytest.approx(2 * normal_quantile(0.9) * draws.std(axis=0), rel=0.15)
    for column, name in enumerate(law.parameters_):
        ends = law.intervals_[name]
        assert ends is not None
        ratio = np.log(ends[1] / ends[0]) / (high[column] - low[column])
        assert 0.65 < ratio < 1.6, name
