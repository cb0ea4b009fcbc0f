"""Bounded least squares on the relative deviation, for many fits at once.

Levenberg and Marquardt's method with exact Jacobians. A fit's coordinates live in a box: a coordinate at its bound
that would leave it is held there for the step. All fits of a batch take their steps together, so what a fit costs is
its arithmetic; SciPy's `least_squares` solves the same problem one fit at a time and is what tests hold this against.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from prunescope.laws.batch import BatchForm, Numbers, Points

# Numbers worked on at a time: few enough to stay near the cache, enough that a call outlasts its overhead (measured).
BLOCK = 16_384
# Fits from which on threads pay: with fewer they wait for each other between short calls.
MANY = 64
STEPS = 200
# A fit is done when a step would lower its sum of squares by less than this share of it.
TOLERANCE = 1e-13
# Damping beyond which no step leads downhill.
STUCK = 1e12


@dataclass(frozen=True)
class Solved:
    """What came of a batch of fits.

    Attributes
    ----------
    theta
        Coordinates at the end, ``[fits, coordinates]``.
    cost
        Half the weighted sum of squared relative deviations.
    converged
        Whether no step leads further down.
    hessian
        Gauss and Newton's, ``J' W J`` over all coordinates.
    """

    theta: Numbers
    cost: Numbers
    converged: NDArray[np.bool_]
    hessian: Numbers


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def solve(
    form: BatchForm,
    points: Points,
    start: Numbers,
    low: Numbers,
    high: Numbers,
    tolerance: float = TOLERANCE,
    steps: int = STEPS,
) -> Solved:
    """Minimise every fit of a batch from its start, on all cores where there is enough to do.

    Parameters
    ----------
    start
        ``[fits, coordinates]``; fits may start apart from each other on points that they share.
    low, high
        The box, ``[coordinates]`` or ``[fits, coordinates]``. A coordinate whose bounds are equal is fixed.
    tolerance, steps
        When a fit is done: a step would lower its sum of squares by less than this share, or it has taken so many.
    """
    fits, workers = len(start), cores()
    low, high = np.broadcast_to(low, start.shape), np.broadcast_to(high, start.shape)
    spread = fits >= MANY and workers > 1 and fits * points.count > 4 * BLOCK
    size = max(1, min(-(-fits // workers), 16 * BLOCK // points.count)) if spread else fits
    chunks = [slice(first, first + size) for first in range(0, fits, size)]

    def one(rows: slice) -> Solved:
        return _solve(form, points.fits(rows), start[rows], low[rows], high[rows], tolerance, steps)

    if len(chunks) == 1:
        return one(chunks[0])
    with ThreadPoolExecutor(workers) as pool:
        done = list(pool.map(one, chunks))
    return Solved(*(np.concatenate([getattr(each, item.name) for each in done]) for item in fields(Solved)))


def _solve(
    form: BatchForm, points: Points, start: Numbers, low: Numbers, high: Numbers, tolerance: float, steps: int
) -> Solved:
    theta = np.clip(start, low, high)
    cost, hessian, gradient = normal(form, points, theta)
    damping, growth = np.full(len(theta), 1e-3), np.full(len(theta), 2.0)
    converged = np.zeros(len(theta), bool)
    live, here = np.arange(len(theta)), points
    for _ in range(steps):
        if not len(live):
            break
        at, slope, curve = theta[live], gradient[live], hessian[live]
        step = damped_step(at, slope, curve, low[live], high[live], damping[live])
        expected = -np.einsum("fi,fi->f", step, slope) - np.einsum("fi,fij,fj->f", step, curve, step) / 2
        trial = at + step
        with np.errstate(all="ignore"):
            new_cost, new_hessian, new_gradient = normal(form, here, trial)
            gain = (cost[live] - new_cost) / np.maximum(expected, 1e-300)
        # Near the end a step's gain drowns in rounding: what counts then is that it was expected to be nothing.
        small = np.abs(expected) <= tolerance * cost[live] + 1e-30
        better = new_cost < cost[live]
        rows = live[better]
        theta[rows], cost[rows], hessian[rows] = trial[better], new_cost[better], new_hessian[better]
        gradient[rows] = new_gradient[better]
        eased = damping[live] * np.maximum(1 / 3, 1 - (2 * np.clip(gain, 0, 1) - 1) ** 3)
        damping[live] = np.where(better, np.maximum(eased, 1e-12), damping[live] * growth[live])
        growth[live] = np.where(better, 2.0, growth[live] * 2)
        converged[live[small]] = True
        done = small | (damping[live] > STUCK)
        if done.any():
            live = live[~done]
            here = points.fits(live)
    return Solved(theta, cost, converged, hessian)


def damped_step(at: Numbers, slope: Numbers, curve: Numbers, low: Numbers, high: Numbers, damping: Numbers) -> Numbers:
    """Return a damped step of Gauss and Newton's that stays in the box; what is held there moves nothing else."""
    held = ((at <= low) & (slope > 0)) | ((at >= high) & (slope < 0)) | (low == high)
    scale = np.einsum("fii->fi", curve)
    largest = scale.max(axis=1, keepdims=True) + 1e-300
    scale = damping[:, None] * np.maximum(scale, 1e-12 * largest) + 1e-14 * largest
    system = np.where(held[:, :, None] | held[:, None, :], 0.0, curve)
    diagonal = np.einsum("fii->fi", system)
    diagonal += np.where(held, largest, scale)
    step = -np.linalg.solve(system, slope[:, :, None])[:, :, 0]
    return np.clip(at + step, low, high) - at


def normal(form: BatchForm, points: Points, theta: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Return half the sum of squares, ``J' W J`` and ``J' W r`` of every fit, block by block of points."""
    width = max(32, BLOCK // len(theta))
    if points.count <= width:
        return _normal(form, points, theta)
    blocks = range(0, points.count, width)
    parts = [_normal(form, points.part(slice(first, first + width)), theta) for first in blocks]
    cost, hessian, gradient = parts[0]
    for part in parts[1:]:
        cost, hessian, gradient = cost + part[0], hessian + part[1], gradient + part[2]
    return cost, hessian, gradient


def _normal(form: BatchForm, points: Points, theta: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    residual, jacobian = deviation(form, points, theta)
    if points.weight is not None:
        root = np.sqrt(points.weight)
        residual *= root
        jacobian *= root
    by_fit = jacobian.transpose(1, 0, 2)
    hessian = by_fit @ by_fit.transpose(0, 2, 1)
    gradient = (by_fit @ residual[:, :, None])[:, :, 0]
    return np.einsum("fn,fn->f", residual, residual) / 2, hessian, gradient


def deviation(form: BatchForm, points: Points, theta: Numbers) -> tuple[Numbers, Numbers]:
    """Return the relative deviation ``(e_hat - e) / e``, ``[fits, n]``, and its Jacobian ``[coordinates, fits, n]``."""
    log_error, jacobian = form.evaluate(theta, points)
    log_error -= points.error
    with np.errstate(over="ignore"):
        ratio = np.exp(log_error, out=log_error)
    jacobian *= ratio
    ratio -= 1
    return ratio, jacobian
