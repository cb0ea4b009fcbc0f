"""What is known of the errors of unpruned members, measured or not: a mean and a covariance of their logarithms.

Neighbours in depth, width and examples have errors alike, so measurements are smoothed and carried on by a Gaussian
process. About what it reverts to where nothing was measured: a dense law (Rosenfeld et al. 2020) where one can be
fitted, otherwise straight lines in log size and log examples with gentle slopes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

# What straight lines may be, before anything is measured: error falls with size and with examples, neither steeply.
SLOPES, SLOPES_SPREAD = (-0.12, -0.25), (0.1, 0.2)
LEVEL_SPREAD = 2.0
# Departures from the trend that are weighed against each other: their size, and over which distance in log they reach.
HEIGHTS, LENGTHS = (0.01, 0.03, 0.06, 0.12, 0.25), (1.0, 2.0, 4.0)
# Few measurements that happen to lie well do not prove that there are no departures: which height is usual, and within
# which factor (the logarithm of it).
USUAL_HEIGHT, HEIGHT_SPREAD = 0.06, 0.7
# Relative noise of a measured error that is always assumed.
LEAST_NOISE = 1e-3


@dataclass(frozen=True)
class Place:
    """Where networks stand, one value each.

    Attributes
    ----------
    depth, width, examples
        As in the table; 1 where it has no such column.
    expected
        Logarithm of the error that a dense law expects, and the standard deviation that it leaves open; None where
        there is no such law.
    """

    depth: Numbers
    width: Numbers
    examples: Numbers
    expected: tuple[Numbers, Numbers] | None = None

    @property
    def coordinates(self) -> Numbers:
        """Logarithms, ``[networks, 3]``."""
        return np.log(np.stack([self.depth, self.width, self.examples], axis=1))


@dataclass(frozen=True)
class Unpruned:
    """What is known of some members: mean and covariance of the logarithms of their unpruned errors."""

    mean: Numbers
    covariance: Numbers

    @property
    def spread(self) -> Numbers:
        """Standard deviations."""
        return np.asarray(np.sqrt(np.clip(np.diag(self.covariance), 0, None)))

    def draws(self, count: int, seed: int) -> Numbers:
        """Draw ``[count, members]``; as many to one side as to the other, so that means are exact."""
        values, vectors = np.linalg.eigh(self.covariance)
        root = vectors * np.sqrt(np.clip(values, 0, None))
        half = np.random.default_rng(seed).standard_normal(((count + 1) // 2, len(self.mean)))
        return np.asarray(self.mean + (np.concatenate([half, -half])[:count]) @ root.T)


def told_by(cells: Place, log_error: Numbers, noise: Numbers, members: Place) -> Unpruned:
    """Say what measurements tell of members.

    Parameters
    ----------
    cells
        Where errors were measured.
    log_error, noise
        Logarithms of those errors, and their standard deviations.
    members
        Whose errors are asked for; measured ones may be among them.
    """
    noise = np.maximum(noise, LEAST_NOISE)
    here, there = cells.coordinates, members.coordinates
    if cells.expected is not None and members.expected is not None:
        trend = _by_law(cells.expected[0], members.expected, _squares(there, here))
    else:
        trend = _by_lines(here, there, log_error)
    residual = log_error - trend.here
    height, length = _likeliest(here, residual, noise, trend.within)
    prior = trend.between + _alike(there, there, height, length)
    if not len(here):
        return Unpruned(trend.there, prior)
    inner = trend.within + _alike(here, here, height, length) + np.diag(noise**2)
    across = trend.across + _alike(there, here, height, length)
    gain = np.linalg.solve(inner, across.T).T
    return Unpruned(trend.there + gain @ residual, prior - gain @ across.T)


@dataclass(frozen=True)
class _Trend:
    """What departures are departures from: means at the cells and the members, and covariances of these means."""

    here: Numbers
    there: Numbers
    within: Numbers
    across: Numbers
    between: Numbers


def _by_law(here: Numbers, expected: tuple[Numbers, Numbers], apart: Numbers) -> _Trend:
    """Take a dense law as it is; what it leaves open counts where nothing was measured."""
    there, spread = expected
    unmeasured = apart.min(axis=1, initial=np.inf) > 1e-12
    zeros = np.zeros((len(here), len(here))), np.zeros((len(there), len(here)))
    return _Trend(here, there, *zeros, np.diag(np.where(unmeasured, spread**2, 0.0)))


def _by_lines(here: Numbers, there: Numbers, log_error: Numbers) -> _Trend:
    """Take straight lines, of which only how they may lie is known beforehand."""
    level = float(log_error.mean()) if len(log_error) else np.log(0.1)
    centre = here.mean(axis=0) if len(here) else there.mean(axis=0)
    lines, lines_there = _lines(here - centre), _lines(there - centre)
    usual, open_ = np.array([level, *SLOPES]), np.diag(np.square([LEVEL_SPREAD, *SLOPES_SPREAD]))
    return _Trend(
        lines @ usual,
        lines_there @ usual,
        lines @ open_ @ lines.T,
        lines_there @ open_ @ lines.T,
        lines_there @ open_ @ lines_there.T,
    )


def _lines(coordinates: Numbers) -> Numbers:
    """Return level, log size (``depth width^2``) and log examples, ``[networks, 3]``."""
    size = coordinates[:, 0] + 2 * coordinates[:, 1]
    return np.stack([np.ones(len(coordinates)), size, coordinates[:, 2]], axis=1)


def _alike(one: Numbers, other: Numbers, height: float, length: float) -> Numbers:
    """Return the covariance of departures from the trend."""
    return np.asarray(height**2 * np.exp(-_squares(one, other) / (2 * length**2)))


def _squares(one: Numbers, other: Numbers) -> Numbers:
    """Return squared distances, ``[one, other]``."""
    return np.asarray(((one[:, None, :] - other[None, :, :]) ** 2).sum(axis=-1))


def _likeliest(here: Numbers, residual: Numbers, noise: Numbers, k_lines: Numbers) -> tuple[float, float]:
    """Return the likeliest height and length of departures."""
    if len(residual) < 3:
        return HEIGHTS[-2], LENGTHS[1]
    best, found = -np.inf, (HEIGHTS[0], LENGTHS[0])
    for height in HEIGHTS:
        for length in LENGTHS:
            inner = k_lines + _alike(here, here, height, length) + np.diag(noise**2)
            root = np.linalg.cholesky(inner)
            whitened = np.linalg.solve(root, residual)
            usual = float(np.log(height / USUAL_HEIGHT) / HEIGHT_SPREAD)
            likelihood = -float(whitened @ whitened) / 2 - float(np.log(np.diag(root)).sum()) - usual**2 / 2
            if likelihood > best:
                best, found = likelihood, (height, length)
    return found
