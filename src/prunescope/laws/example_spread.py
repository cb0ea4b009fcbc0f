"""How far a fit's coordinates would move on other test examples, which move the errors of all networks together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prunescope.laws.data import GroupData, Numbers


def example_spread(
    groups: Sequence[GroupData], inverse: Numbers, by_point: Numbers, by_plateau: Numbers, errors: Sequence[Numbers]
) -> Numbers:
    """Return the standard deviation of each coordinate that is due to the choice of test examples.

    Where outcomes of single examples were kept, the errors on each resample of the examples move the coordinates by a
    step from the best, the same resample for all networks. Otherwise networks are taken to err on nested sets: their
    relative deviations then have a covariance of ``(1 - e) / (e n)``, with ``e`` the larger of two errors, which makes
    them steps of a random walk whose time is that figure; less where replicates show that networks share less. 0 where
    the number of test examples is not known.

    Parameters
    ----------
    inverse
        The inverse Hessian of each fit, ``[fits, coordinates, coordinates]``.
    by_point, by_plateau
        How its gradient answers to the log errors of points ``[coordinates, fits, points]`` and of unpruned networks
        ``[coordinates, fits, cells]``, no cells where these are no part of the fit; 0 for padding.
    errors
        Both log errors of each fit, ``[fits, points]`` and ``[fits, cells]``.
    """
    spread = np.zeros(inverse.shape[:2])
    binomial = [row for row, group in enumerate(groups) if group.test_examples and group.resampled is None]
    for row, group in enumerate(groups):
        if group.test_examples and group.resampled is not None:
            answer = by_point[:, row, : len(group)] @ group.resampled.points
            if by_plateau.shape[2]:
                first = np.unique(group.cell, return_index=True)[1]
                answer += by_plateau[:, row, : len(first)] @ group.resampled.unpruned[first]
            spread[row] = (inverse[row] @ answer).std(axis=1)
    if binomial:
        response = np.concatenate([by_point[:, binomial], by_plateau[:, binomial]], axis=2)
        log_error = np.concatenate([values[binomial] for values in errors], axis=1)
        tested = np.array([groups[row].test_examples for row in binomial], np.float64)
        share = np.array([groups[row].example_share for row in binomial])
        spread[binomial] = share[:, None] * _binomial(inverse[binomial], response, log_error, tested)
    return spread


def _binomial(inverse: Numbers, response: Numbers, log_error: Numbers, tested: Numbers) -> Numbers:
    order = np.argsort(-log_error, axis=1)
    log_error = np.minimum(np.take_along_axis(log_error, order, axis=1), -1e-9)
    # What stands at a time of the walk or later moves with all its steps until then.
    later = np.cumsum(np.take_along_axis(response, order[None], axis=2)[:, :, ::-1], axis=2)[:, :, ::-1]
    steps = np.diff(np.expm1(-log_error), axis=1, prepend=0.0) / tested[:, None]
    moved = np.einsum("fij,jfn->ifn", inverse, later)
    return np.asarray(np.sqrt(np.maximum(np.einsum("ifn,fn->fi", moved**2, steps), 0)))
