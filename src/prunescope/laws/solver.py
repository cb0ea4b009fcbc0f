"""Bounded least squares for many fits at once.

Levenberg and Marquardt's method with exact Jacobians. The coordinates of a fit live in a box; a coordinate at its
bound that would leave it is held there for the step. Nuisance parameters that are tied to nothing but the coordinates
are eliminated from each step (`Coupling`). All fits of a batch step together, so that a fit costs its arithmetic.
SciPy's `least_squares` solves the same problem one fit at a time; tests compare with it.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from prunescope.laws.data import Numbers, Points, Rows
from prunescope.laws.forms import LARGEST, Form

# Numbers worked on at a time: few enough to stay near the cache, enough that a call outlasts its overhead (measured).
BLOCK = 16_384
# Fits from which on threads pay: with fewer they wait for each other between short calls.
MANY_FITS = 64
STEPS = 200
# Memory that steps may keep between them, in bytes; the GNU C library takes up to twice this.
KEPT_BYTES = 2**24
# A fit is done when a step would lower its sum of squares by less than this share of it.
TOLERANCE = 1e-13
# Damping beyond which no step leads downhill.
STUCK = 1e12


@dataclass(frozen=True)
class Coupling:
    """How nuisance parameters enter the normal equations: each with a curvature of its own, ``[fits, nuisance]``.

    `mixed` are the second derivatives by coordinate and nuisance parameter, ``[fits, coordinates, nuisance]``.
    """

    mixed: Numbers
    curvature: Numbers
    gradient: Numbers

    def damp(self, damping: Numbers) -> Coupling:
        """Return the coupling with the curvatures damped."""
        return replace(self, curvature=self.curvature * (1 + damping[:, None]))

    def eliminate(self, hessian: Numbers, gradient: Numbers) -> tuple[Numbers, Numbers]:
        """Return Hessian and gradient by the coordinates, the nuisance parameters following along."""
        scaled = self.mixed / self.curvature[:, None, :]
        reduced = hessian - scaled @ self.mixed.transpose(0, 2, 1)
        return reduced, gradient - (scaled @ self.gradient[:, :, None])[:, :, 0]

    def follow(self, step: Numbers) -> Numbers:
        """Return the step of the nuisance parameters that goes with a step of the coordinates."""
        return np.asarray(
            np.clip(-(self.gradient + np.einsum("fkc,fk->fc", self.mixed, step)) / self.curvature, -1.0, 1.0)
        )

    def expected_gain(self) -> Numbers:
        """Return by how much the cost falls by the nuisance parameters alone."""
        return np.asarray(np.einsum("fc,fc->f", self.gradient**2, 1 / self.curvature) / 2)


@dataclass(frozen=True)
class NormalEquations:
    """Half the sum of squares of each fit, ``J' W J`` and ``J' W r``; and its nuisance parameters, where it has any."""

    cost: Numbers
    hessian: Numbers
    gradient: Numbers
    coupling: Coupling | None = None

    def reduced(self) -> tuple[Numbers, Numbers]:
        """Return the Hessian with the nuisance parameters eliminated, and the curvature of each if it alone is free."""
        if self.coupling is None:
            return self.hessian, np.empty((len(self.cost), 0))
        return self.coupling.eliminate(self.hessian, self.gradient)[0], self.coupling.curvature

    def update(self, rows: NDArray[np.bool_], other: NormalEquations) -> None:
        """Take over some fits of another."""
        for mine, theirs in zip(self._arrays(), other._arrays(), strict=True):
            mine[rows] = theirs[rows]

    def fits(self, rows: NDArray[np.bool_]) -> NormalEquations:
        """Return some of the fits."""
        cost, hessian, gradient, *coupling = (values[rows] for values in self._arrays())
        return NormalEquations(cost, hessian, gradient, Coupling(*coupling) if coupling else None)

    def _arrays(self) -> tuple[Numbers, ...]:
        plain = (self.cost, self.hessian, self.gradient)
        coupling = self.coupling
        return plain if coupling is None else (*plain, coupling.mixed, coupling.curvature, coupling.gradient)


class Problem(Protocol):
    """A batch of sums of squares."""

    def fits(self, rows: Rows) -> Self:
        """Return the problem of some fits."""

    def normal_equations(self, theta: Numbers, nuisance: Numbers) -> NormalEquations:
        """Return the normal equations at some coordinates and nuisance parameters."""


@dataclass(frozen=True)
class RelativeDeviation:
    """The sum of squared relative deviations of a form from points: no nuisance parameters."""

    form: Form
    points: Points

    def fits(self, rows: Rows) -> RelativeDeviation:
        """Return the problem of some fits."""
        return RelativeDeviation(self.form, self.points.fits(rows))

    def normal_equations(self, theta: Numbers, nuisance: Numbers | None = None) -> NormalEquations:
        """Return the normal equations at some coordinates, block by block of points."""
        del nuisance
        equations = self._sum_of_squares(theta)
        return shrink(self.form, theta, self.points.weights_of_fits(len(theta)), equations)

    def _sum_of_squares(self, theta: Numbers) -> NormalEquations:
        count, width = self.points.count, max(32, BLOCK // len(theta))
        if count <= width:
            return NormalEquations(*self._block(self.points, theta))
        blocks = (self.points.pick(slice(first, first + width)) for first in range(0, count, width))
        cost, hessian, gradient = self._block(next(blocks), theta)
        for block in blocks:
            more = self._block(block, theta)
            cost, hessian, gradient = cost + more[0], hessian + more[1], gradient + more[2]
        return NormalEquations(cost, hessian, gradient)

    def _deviation(self, points: Points, theta: Numbers) -> tuple[Numbers, Numbers]:
        return deviation(self.form, points, theta)

    def _block(self, points: Points, theta: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        residual, jacobian = self._deviation(points, theta)
        if points.weight is not None:
            root = np.sqrt(points.weight)
            residual *= root
            jacobian *= root
        by_fit = jacobian.transpose(1, 0, 2)
        hessian = by_fit @ by_fit.transpose(0, 2, 1)
        gradient = (by_fit @ residual[:, :, None])[:, :, 0]
        return np.einsum("fn,fn->f", residual, residual) / 2, hessian, gradient


def shrink(form: Form, theta: Numbers, count: Numbers, equations: NormalEquations) -> NormalEquations:
    """Draw coordinates towards 0 as far as the form asks for.

    A coordinate ``k`` with a normal prior of scale ``s`` and noise of unknown size make ``n log S + (k / s)^2`` the
    thing to minimise, ``S`` being the sum of squares of ``n`` deviations. That is to minimise ``S exp((k / s)^2 / n)``,
    a sum of squares again, so the solver needs no guess of the noise.

    Parameters
    ----------
    count
        How many deviations each fit has, or the sum of their weights.
    """
    for column, scale in form.shrunk.items():
        pull = theta[:, column] / scale**2 / np.maximum(count, 1e-300)
        factor = np.exp(np.minimum(pull * theta[:, column], LARGEST / 2))
        square, slope = 2 * equations.cost, equations.gradient
        gradient, hessian = slope.copy(), equations.hessian.copy()
        gradient[:, column] += pull * square
        hessian[:, column] += pull[:, None] * slope
        hessian[:, :, column] += pull[:, None] * slope
        hessian[:, column, column] += pull**2 * square + square / scale**2 / np.maximum(count, 1e-300)
        coupling = equations.coupling
        if coupling is not None:
            mixed = coupling.mixed.copy()
            mixed[:, column] += pull[:, None] * coupling.gradient
            scaled = factor[:, None]
            coupling = Coupling(mixed * scaled[..., None], coupling.curvature * scaled, coupling.gradient * scaled)
        equations = NormalEquations(
            equations.cost * factor, hessian * factor[:, None, None], gradient * factor[:, None], coupling
        )
    return equations


@dataclass(frozen=True)
class Solved:
    """The ends of a batch of fits.

    Attributes
    ----------
    theta, nuisance
        Coordinates ``[fits, coordinates]`` and nuisance parameters ``[fits, nuisance]``.
    cost, converged
        Half the weighted sum of squared deviations, and whether no step leads further down.
    hessian
        Gauss and Newton's, ``J' W J`` over all coordinates.
    """

    theta: Numbers
    cost: Numbers
    converged: NDArray[np.bool_]
    hessian: Numbers
    nuisance: Numbers

    def fits(self, rows: Rows) -> Solved:
        """Return some of the fits."""
        return Solved(*(getattr(self, item.name)[rows] for item in fields(self)))

    def replace_fits(self, rows: NDArray[np.bool_], other: Solved) -> Solved:
        """Return the fits with some taken from another batch."""
        pairs = ((getattr(self, item.name), getattr(other, item.name)) for item in fields(self))
        return Solved(*(np.where(rows.reshape(-1, *[1] * (mine.ndim - 1)), theirs, mine) for mine, theirs in pairs))


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def solve(
    form: Form,
    points: Points,
    start: Numbers,
    low: Numbers,
    high: Numbers,
    tolerance: float = TOLERANCE,
    steps: int = STEPS,
) -> Solved:
    """Minimise the relative deviation of every fit from its start, on all cores where there is enough to do.

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
    spread = fits >= MANY_FITS and workers > 1 and fits * points.count > 4 * BLOCK
    size = max(1, min(-(-fits // workers), 16 * BLOCK // points.count)) if spread else fits
    nothing = np.empty((fits, 0))
    return solve_problem(RelativeDeviation(form, points), start, nothing, low, high, size, tolerance, steps)


def solve_problem(
    problem: Problem,
    start: Numbers,
    nuisance: Numbers,
    low: Numbers,
    high: Numbers,
    size: int,
    tolerance: float,
    steps: int = STEPS,
) -> Solved:
    """Minimise every fit of a problem from its start, ``size`` fits at a time."""
    _reuse_memory()
    low, high = np.broadcast_to(low, start.shape), np.broadcast_to(high, start.shape)
    chunks = [slice(first, first + size) for first in range(0, len(start), size)]

    def solve_chunk(rows: slice) -> Solved:
        return _descend(problem.fits(rows), start[rows], nuisance[rows], low[rows], high[rows], tolerance, steps)

    if len(chunks) == 1:
        return solve_chunk(chunks[0])
    with ThreadPoolExecutor(cores()) as pool:
        ends = list(pool.map(solve_chunk, chunks))
    return Solved(*(np.concatenate([getattr(end, item.name) for end in ends]) for item in fields(Solved)))


@lru_cache(maxsize=1)
def _reuse_memory() -> None:
    """Have the C library keep the memory of one step for the next, as it does once it has freed a larger piece.

    Otherwise it hands that memory back and asks for it again at every step, which takes as long as the arithmetic.
    """
    np.empty(KEPT_BYTES, np.uint8)


def _descend(
    problem: Problem, start: Numbers, nuisance: Numbers, low: Numbers, high: Numbers, tolerance: float, steps: int
) -> Solved:
    theta, nuisance = np.clip(start, low, high), np.array(nuisance)
    now = problem.normal_equations(theta, nuisance)
    end = Solved(theta.copy(), now.cost.copy(), np.zeros(len(theta), bool), now.hessian.copy(), nuisance.copy())
    damping, growth = np.full(len(theta), 1e-3), np.full(len(theta), 2.0)
    # Fits that are done leave the batch; `live` says where the others stood at first.
    live = np.arange(len(theta))
    for _ in range(steps):
        hessian, gradient = now.hessian, now.gradient
        coupling = None if now.coupling is None else now.coupling.damp(damping)
        if coupling is not None:
            hessian, gradient = coupling.eliminate(hessian, gradient)
        step = _damped_step(theta, gradient, hessian, low, high, damping)
        expected = -np.einsum("fi,fi->f", step, gradient) - np.einsum("fi,fij,fj->f", step, hessian, step) / 2
        trial, trial_nuisance = theta + step, nuisance
        if coupling is not None:
            trial_nuisance = nuisance + coupling.follow(step)
            expected += coupling.expected_gain()
        with np.errstate(all="ignore"):
            new = problem.normal_equations(trial, trial_nuisance)
            gain = (now.cost - new.cost) / np.maximum(expected, 1e-300)
        # Near the end a step's gain drowns in rounding: what counts then is that it was expected to be nothing.
        small = np.abs(expected) <= tolerance * now.cost + 1e-30
        better = new.cost < now.cost
        theta[better], nuisance[better] = trial[better], trial_nuisance[better]
        now.update(better, new)
        eased = damping * np.maximum(1 / 3, 1 - (2 * np.clip(gain, 0, 1) - 1) ** 3)
        damping = np.where(better, np.maximum(eased, 1e-12), damping * growth)
        growth = np.where(better, 2.0, growth * 2)
        end.converged[live[small]] = True
        done = small | (damping > STUCK)
        if done.any():
            rows, rest = live[done], ~done
            end.theta[rows], end.nuisance[rows] = theta[done], nuisance[done]
            end.cost[rows], end.hessian[rows] = now.cost[done], now.hessian[done]
            live = live[rest]
            if not len(live):
                return end
            theta, nuisance, low, high = theta[rest], nuisance[rest], low[rest], high[rest]
            damping, growth, now, problem = damping[rest], growth[rest], now.fits(rest), problem.fits(rest)
    end.theta[live], end.nuisance[live], end.cost[live], end.hessian[live] = theta, nuisance, now.cost, now.hessian
    return end


def _damped_step(
    theta: Numbers, gradient: Numbers, hessian: Numbers, low: Numbers, high: Numbers, damping: Numbers
) -> Numbers:
    """Return a damped Gauss-Newton step that stays in the box; a coordinate held at its bound moves nothing else."""
    held = ((theta <= low) & (gradient > 0)) | ((theta >= high) & (gradient < 0)) | (low == high)
    scale = np.einsum("fii->fi", hessian)
    largest = scale.max(axis=1, keepdims=True) + 1e-300
    scale = damping[:, None] * np.maximum(scale, 1e-12 * largest) + 1e-14 * largest
    system = np.where(held[:, :, None] | held[:, None, :], 0.0, hessian)
    diagonal = np.einsum("fii->fi", system)
    diagonal += np.where(held, largest, scale)
    step = -np.linalg.solve(system, gradient[:, :, None])[:, :, 0]
    return np.clip(theta + step, low, high) - theta


def deviation(form: Form, points: Points, theta: Numbers) -> tuple[Numbers, Numbers]:
    """Return the relative deviation ``(e_hat - e) / e``, ``[fits, n]``, and its Jacobian ``[coordinates, fits, n]``."""
    log_error, jacobian = form.evaluate(theta, points)
    log_error -= points.error
    with np.errstate(over="ignore"):
        ratio = np.exp(log_error, out=log_error)
    jacobian *= ratio
    ratio -= 1
    return ratio, jacobian
