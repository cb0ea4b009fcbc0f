"""Errors of networks never trained, with two intervals: of the law, and of what one new network would measure."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from prunescope.laws.assemble import region_of
from prunescope.laws.batch import Numbers, Points, PruningForm, to_coordinates
from prunescope.laws.models import LAWS
from prunescope.laws.results import Fit
from prunescope.laws.t_distribution import normal_reach

# Predictions worked on at a time, draws included.
BLOCK = 500_000


@dataclass(frozen=True)
class Prediction:
    """Predicted errors, one value per network.

    Attributes
    ----------
    error
        By the law at its least-squares parameters.
    low, high
        Where the error of one newly trained network lies with probability `level`: what the parameters leave open and
        how single networks scatter about the law, in its region.
    law_low, law_high
        Where the law itself lies: what the parameters leave open, alone.
    """

    error: Numbers
    low: Numbers
    high: Numbers
    law_low: Numbers
    law_high: Numbers
    level: float


def predicted(
    fit: Fit, unpruned: Numbers, density: Numbers, depth: Numbers, width: Numbers, level: float = 0.9
) -> Prediction:
    """Predict errors from a fit; for the dense law ``depth`` is the size and ``width`` the examples."""
    law = LAWS[fit.law]
    count = len(density)
    points = Points(np.zeros(count), np.log(unpruned), np.log(density), np.log(depth), np.log(width))
    best = to_coordinates(law.parameters, np.array([fit.parameters[name] for name in law.parameters]))[None]
    log_error = law.form.log_error(best, points)[0]
    tail = (1 - level) / 2
    low, high = np.full(count, np.nan), np.full(count, np.nan)
    if len(fit.draws):
        low, high = np.empty(count), np.empty(count)
        size = max(1, BLOCK // len(fit.draws))
        for first in range(0, count, size):
            part = slice(first, first + size)
            own = points.part(part)
            shifted = replace(own, unpruned=own.unpruned + fit.shifts[:, None])
            drawn = law.form.log_error(fit.draws, shifted)
            low[part], high[part] = np.quantile(drawn, [tail, 1 - tail], axis=0)
        low, high = np.minimum(low, log_error), np.maximum(high, log_error)
    scatter = normal_reach(level) * _scatter(fit, best, points)
    below, above = np.hypot(log_error - low, scatter), np.hypot(high - log_error, scatter)
    return Prediction(
        np.exp(log_error), np.exp(log_error - below), np.exp(log_error + above), np.exp(low), np.exp(high), level
    )


def _scatter(fit: Fit, theta: Numbers, points: Points) -> Numbers:
    """Return the standard deviation of single networks about the law, at each point."""
    if not isinstance(LAWS[fit.law].form, PruningForm):
        return np.full(points.count, fit.spread[1])
    size = points.density
    if theta.shape[1] > 3:
        size = size + theta[0, 3] * points.depth + theta[0, 4] * points.width
    return np.asarray(np.array(fit.spread)[region_of(theta, size[None], points.unpruned[None])[0]])
