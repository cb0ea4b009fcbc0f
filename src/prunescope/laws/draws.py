"""Coordinates that a group's data are about as happy with as with the best: what predictions are spread over."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from prunescope.laws.batch import Numbers
from prunescope.laws.models import Box

PROPOSED, KEPT, STATIONS = 1200, 100, 4
# Added to the density of proposals, so that none that strayed far outweighs all others.
FLOOR = 2e-3
# Standard deviation (of a logarithm, or an exponent) beyond which no proposal goes.
WIDEST = 1.5


def normal_draws(theta: Numbers, covariance: Numbers, where: Box, count: int, seed: int) -> Numbers:
    """Return ``[fits, count, coordinates]`` from the linear approximation, kept in the box."""
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.clip(values, 0, WIDEST**2))[:, None, :]
    random = np.random.default_rng(seed).standard_normal((count, theta.shape[1]))
    drawn = theta[:, None, :] + np.einsum("fij,dj->fdi", root, random)
    return np.asarray(np.clip(drawn, where.low[:, None, :], where.high[:, None, :]))


def plausible_draws(
    costs_of: Callable[[Numbers], tuple[Numbers, Numbers]],
    theta: Numbers,
    cost: float,
    variance: float,
    covariance: Numbers,
    ends: Numbers,
    where: Box,
    seed: int,
) -> tuple[Numbers, Numbers]:
    """Return draws weighted by how well they fit (sampling, importance, resampling), and what goes along with each.

    Parameters
    ----------
    costs_of
        The cost at each of many coordinates, and how far the plateaus move along.
    variance
        Residual variance that turns a rise of the cost into a likelihood.
    ends
        Ends of the profile: where proposals also begin, so that flat directions are walked along.
    """
    random = np.random.default_rng(seed)
    free = (where.low < where.high)[0]
    # Proposals scatter about the best, about the ends, and about places on the way there.
    along = np.repeat(np.linspace(0, 1, STATIONS), len(ends))[:, None]
    centres = theta + along * (np.tile(ends, (STATIONS, 1)) - theta)
    values, vectors = np.linalg.eigh(covariance + np.diag(np.where(free, 1e-10, 0.0)))
    root = vectors * np.sqrt(np.clip(values, 0, WIDEST**2))
    middle = centres[random.integers(len(centres), size=PROPOSED)]
    proposed = middle + random.standard_normal((PROPOSED, len(theta))) @ root.T
    proposed = np.clip(proposed, where.low[0], where.high[0])
    with np.errstate(all="ignore"):
        costs, along_with = costs_of(proposed)
        weight = np.exp(-(costs - cost) / max(variance, 1e-30)) / _density(proposed, centres, root, free)
    weight = np.nan_to_num(weight, nan=0.0, posinf=0.0)
    if not weight.sum() > 0:
        return np.repeat(theta[None], KEPT, axis=0), np.zeros(KEPT)
    at = (np.arange(KEPT) + 0.5) / KEPT
    picked = np.searchsorted(np.cumsum(weight) / weight.sum(), at)
    picked = np.minimum(picked, PROPOSED - 1)
    # The ends themselves are as far as the data allow, and so belong to what is possible.
    return np.concatenate([proposed[picked], ends]), np.concatenate([along_with[picked], costs_of(ends)[1]])


def _density(proposed: Numbers, centres: Numbers, root: Numbers, free: NDArray[np.bool_]) -> Numbers:
    inverse = np.linalg.pinv(root[free], rcond=1e-8)
    apart = (proposed[:, None, free] - centres[None, :, free]) @ inverse.T
    squared = np.minimum(np.einsum("pci,pci->pc", apart, apart), 1200.0)
    return np.asarray(np.exp(-0.5 * squared).mean(axis=1) + FLOOR)
