"""Noise between replicates, cell by cell: each cell's scatter, shrunk towards that of the family.

Replicates are few, so the scatter of one cell says little; but cells trained on little data may scatter ten times as
much as others. An inverse chi-square prior of the cells' variances (as in Smyth 2004) is fitted to the scatters. Where
they differ by no more than chance, the pooled noise stands for all.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from prunescope.laws import Fit
from prunescope.laws.data import GroupData

Parts = NDArray[np.int64]
Numbers = NDArray[np.float64]
# Deviations persist along a ladder: so many neighbouring rungs tell as much as an independent one (lag-1 correlation
# of about one half).
PERSISTENCE = 3.0
# Degrees of freedom of the prior that are tried, and its variances as multiples of the pooled one.
PRIOR_FREEDOM = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
PRIOR_SCALES = tuple(np.geomspace(0.02, 2.0, 25).tolist())
# How much likelier, as a logarithm, a prior must be than one noise for all (Akaike: one more parameter).
LIKELIER = 1.0
# Cells that the prior is fitted to; of more, some evenly among them.
MOST_FITTED = 2_000
# The least share of the pooled variance that a cell's scatter counts as.
LEAST_SHARE = 1e-4
# Of a variance, what is at least left without the chance of test examples: both are estimates.
LEAST_LEFT = 0.1


def noise_by_cell(cells: GroupData, pooled: float) -> Numbers:
    """Return the relative standard deviation between replicates for each point; `pooled` where cells do not differ.

    Parameters
    ----------
    pooled
        The same, pooled over all points.
    """
    noise = np.full(len(cells), pooled)
    count = cells.cells
    mean = np.bincount(cells.row_point, cells.row_error, len(cells)) / np.bincount(
        cells.row_point, minlength=len(cells)
    )
    cell_of_row = cells.cell[cells.row_point]
    squares = np.bincount(cell_of_row, (cells.row_error / mean[cells.row_point] - 1) ** 2, count)
    points = np.bincount(cells.cell, minlength=count)
    rows_left = np.bincount(cell_of_row, minlength=count) - points
    several = rows_left > 0
    if several.sum() < 2 or pooled <= 0:
        return noise
    freedom = np.where(several, np.maximum(rows_left / PERSISTENCE, rows_left / points), 0.0)
    share = np.maximum(squares / np.maximum(rows_left, 1) / pooled**2, LEAST_SHARE)
    fitted = np.flatnonzero(several)
    if len(fitted) > MOST_FITTED:
        fitted = fitted[np.linspace(0, len(fitted) - 1, MOST_FITTED).astype(int)]
    prior = _likeliest_prior(share[fitted], freedom[fitted])
    if prior is None:
        return noise
    before, scale = prior
    by_cell = np.sqrt((before * scale + freedom * share) / (before + freedom))
    return np.asarray(pooled * by_cell[cells.cell])


def between_trainings(noise: Numbers, cells: GroupData, parts: Parts) -> Numbers:
    """Return noise of single networks without what chance on the test examples adds to each of them.

    A newly trained network is judged on all examples, so that this chance is no part of how far off it may be.

    Parameters
    ----------
    noise
        The relative standard deviation in each part.
    parts
        The part that each point belongs to; of those without points the noise stands.
    """
    by_cell = cells.shared_examples.own_noise(cells.error) ** 2
    points = np.bincount(parts, minlength=len(noise))
    chance = np.bincount(parts, by_cell, len(noise)) / np.maximum(points, 1)
    return np.asarray(np.sqrt(np.maximum(noise**2 - chance, LEAST_LEFT * noise**2)))


def unpruned_noise(fit: Fit, cells: GroupData) -> Numbers:
    """Return the standard error of each unpruned error; 0 where it was given."""
    noise = np.full(len(cells), fit.spread[0]) if fit.seed_noise is None else noise_by_cell(cells, fit.seed_noise)
    behind = cells.dense_repeats.astype(np.float64)
    return np.where(behind > 0, noise / np.sqrt(np.maximum(behind, 1)), 0.0)


def _likeliest_prior(share: Numbers, freedom: Numbers) -> tuple[float, float] | None:
    """Return degrees of freedom and scale of the likeliest prior; None where one variance explains all cells."""
    alike = float(np.sum(freedom / 2 * np.log(freedom / 2 * share) - freedom * share / 2 - _log_gamma(freedom / 2)))
    best, likeliest = alike + LIKELIER, None
    for before in PRIOR_FREEDOM:
        constant = _log_gamma((freedom + before) / 2) - _log_gamma(freedom / 2) - math.lgamma(before / 2)
        for scale in PRIOR_SCALES:
            ratio = freedom * share / (before * scale)
            terms = freedom / 2 * np.log(ratio) - (freedom + before) / 2 * np.log1p(ratio)
            likelihood = float(np.sum(constant + terms))
            if likelihood > best:
                best, likeliest = likelihood, (before, scale)
    return likeliest


def _log_gamma(values: Numbers) -> Numbers:
    distinct, place = np.unique(values, return_inverse=True)
    return np.array([math.lgamma(value) for value in distinct.tolist()])[place.reshape(-1)]
