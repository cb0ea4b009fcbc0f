"""Eq. 2 with corners that may be sharper or rounder than its own, for planning.

Eq. 2 leaves the low plateau and reaches the high one by softplus of sharpness 2. Curves that bend otherwise there are
off by up to a third between the power law and a plateau, which is where bounds lie. A posterior that takes Eq. 2 for
true puts this down to its parameters and is sure of wrong densities; so here both sharpnesses are parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunescope.laws.data import Numbers, Points
from prunescope.laws.forms import JOINT, LARGEST, PruningForm

# Newton's steps to the density that gives an error, the last of which is shorter than this; the longest, and the least
# slope that is believed.
STEPS, EXACT, LONGEST, SLOWEST = 100, 1e-4, 2.0, 0.05
# How far beyond the high corner, in units of its roundness, the high plateau is reached.
BEYOND = 30.0


@dataclass(frozen=True)
class CorneredForm(PruningForm):
    """Eq. 2 with two more coordinates: the logarithms of the sharpness ``a`` of the low corner and ``b`` of the high.

    With ``x = log(p' / m*)`` and ``r = log(eps_up / eps_np)``,

        log(e / eps_np) = gamma * (softplus(a (x + r / gamma)) / a - softplus(b x) / b)

    which is Eq. 2 where ``a = b = 2``.
    """

    def evaluate(self, theta: Numbers, points: Points) -> tuple[Numbers, Numbers]:
        """Return ``log e`` and its Jacobian."""
        gamma, low, high = (np.exp(theta[:, [column]]) for column in (1, 5, 6))
        ratio = theta[:, [0]] - points.unpruned
        x = theta[:, [2]] - self.log_size(theta, points)
        at_low, bend_low = _bend(low, x + ratio / gamma)
        at_high, bend_high = _bend(high, x)
        rise = gamma * (bend_low - bend_high)
        jacobian = np.empty((theta.shape[1], *rise.shape))
        jacobian[0] = at_low
        jacobian[1] = rise - at_low * ratio
        jacobian[2] = gamma * (at_low - at_high)
        jacobian[3] = -jacobian[2] * points.depth
        jacobian[4] = -jacobian[2] * points.width
        jacobian[5] = gamma * (at_low * (x + ratio / gamma) - bend_low)
        jacobian[6] = -gamma * (at_high * x - bend_high)
        return points.unpruned + rise, jacobian

    def log_error(self, theta: Numbers, points: Points) -> Numbers:
        """Return ``log e`` alone: the same numbers."""
        return self.evaluate(theta, points)[0]

    def log_density(self, theta: Numbers, error: float | Numbers, points: Points) -> Numbers:
        """Return the logarithm of the lowest density at which each law gives an error, seen from the sparse side.

        Minus infinity where the error is not below the high plateau, NaN where no density gives it. A low corner that
        is sharper than the high one makes the error dip below the unpruned one first, which may reach lower errors.
        """
        gamma, low, high = (np.exp(theta[:, [column]]) for column in (1, 5, 6))
        rise, room = np.broadcast_arrays(np.log(error) - points.unpruned, theta[:, [0]] - points.unpruned)
        there = (rise < room) & ((rise > 0) | (low > high))
        slope, low, high, above = (np.repeat(values, there.sum(axis=1)) for values in (gamma, low, high, theta[:, 2]))
        apart, wanted = room[there] / slope, rise[there] / slope
        y, dipping = np.empty(len(wanted)), wanted <= 0
        for part, solve in ((~dipping, _leaving), (dipping, _after_dip)):
            if part.any():
                y[part] = solve(low[part], high[part], wanted[part], apart[part])
        density = np.full(rise.shape, np.nan)
        density[there] = above + apart - y
        shape = self.log_size(theta, points) - points.density
        return np.where(np.log(error) >= theta[:, [0]], -np.inf, density - shape)


def _after_dip(low: Numbers, high: Numbers, wanted: Numbers, apart: Numbers) -> Numbers:
    """Return the last ``y`` with ``softplus(a y) / a - softplus(b (y - apart)) / b = wanted``; NaN where there is none.

    Right of the least value, which is where ``a y = b (y - apart)``: Newton's method within a bracket.
    """
    left, right = -high * apart / (low - high), apart + BEYOND / high
    there = _bend(low, left)[1] - _bend(high, left - apart)[1] < wanted
    y = np.clip(np.where(there, 0.0, right), left, right)
    for _ in range(STEPS):
        at_low, bend_low = _bend(low, y)
        at_high, bend_high = _bend(high, y - apart)
        over = bend_low - bend_high - wanted
        left, right = np.where(over < 0, y, left), np.where(over < 0, right, y)
        with np.errstate(all="ignore"):
            trial = y - over / (at_low - at_high)
        trial = np.where((trial > left) & (trial < right), trial, (left + right) / 2)
        step, y = np.abs(trial - y), trial
        if not np.any(step[there] > EXACT):
            break
    return np.where(there, y, np.nan)


def _leaving(low: Numbers, high: Numbers, wanted: Numbers, apart: Numbers) -> Numbers:
    """Return the first ``y`` with ``softplus(a y) / a - softplus(b (y - apart)) / b = wanted``.

    The first softplus has an inverse, which leaves ``y = inverse(wanted + softplus(b (y - apart)) / b)``: Newton's
    method on that from the left, where the second softplus is not there. Few values need more than two steps.
    """
    y = np.asarray(wanted + np.log(-np.expm1(-low * wanted)) / low)
    left: NDArray[np.int64] = np.arange(len(y))
    for _ in range(STEPS):
        scaled = np.minimum(high * (y[left] - apart), LARGEST)
        power = np.exp(scaled)
        beyond = wanted + np.log1p(power) / high
        share = -np.expm1(-low * beyond)
        step = beyond + np.log(share) / low - y[left]
        step /= np.maximum(1 - power / ((1 + power) * share), SLOWEST)
        y[left] += np.minimum(step, LONGEST)
        going = np.abs(step) > EXACT
        if not going.any():
            break
        left = left[going]
        low, high, wanted, apart = (values[going] for values in (low, high, wanted, apart))
    return y


def _bend(sharpness: Numbers, x: Numbers) -> tuple[Numbers, Numbers]:
    """Return ``sigmoid(s x)`` and ``softplus(s x) / s``, which is ``max(x, 0)`` with a corner of that sharpness."""
    scaled = np.clip(sharpness * x, -LARGEST, LARGEST)
    power = np.exp(-np.abs(scaled))
    sigmoid = np.where(scaled > 0, 1.0, power) / (1 + power)
    return sigmoid, np.maximum(x, 0) + np.log1p(power) / sharpness


CORNERED = CorneredForm("cornered", (*JOINT.parameters, "low_corner", "high_corner"))
