"""The forms as the solver sees them: many fits at once, in the coordinates in which they are fitted.

A form here has named coordinates (logarithms of what must be positive, exponents of depth and width as they are) and
gives the logarithm of the error and its exact Jacobian for a whole batch of parameter vectors. The public, readable
definitions are in `forms`; tests hold the two against each other. Nothing here reads tables or decides anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Rows = slice | NDArray[np.int64] | NDArray[np.bool_]


@dataclass(frozen=True)
class Points:
    """Measured networks, by their logarithms; each array is ``[n]``, or ``[fits, n]`` where fits differ in it.

    Attributes
    ----------
    error, unpruned
        The network's error, and the error of its unpruned network.
    density, depth, width
        The network's size. For the dense law ``depth`` holds the number of weights and ``width`` the examples.
    weight
        How often each point counts; 0 for padding. None counts every point once.
    """

    error: Numbers
    unpruned: Numbers
    density: Numbers
    depth: Numbers
    width: Numbers
    weight: Numbers | None = None

    @property
    def count(self) -> int:
        """Points of a fit, padding included."""
        return int(self.error.shape[-1])

    def fits(self, rows: Rows) -> Points:
        """Return the points of some fits; what all fits share stays shared."""
        return replace(self, **{name: values[rows] for name, values in self._arrays() if values.ndim == 2})

    def part(self, columns: Rows) -> Points:
        """Return some of the points of every fit."""
        return replace(self, **{name: values[..., columns] for name, values in self._arrays()})

    def _arrays(self) -> list[tuple[str, Numbers]]:
        each = ((item.name, getattr(self, item.name)) for item in fields(self))
        return [(name, values) for name, values in each if values is not None]


class BatchForm(Protocol):
    """A functional form over a batch of fits."""

    @property
    def coordinates(self) -> tuple[str, ...]:
        """Names of the parameters, in the order of the coordinates."""

    def evaluate(self, theta: Numbers, points: Points) -> tuple[Numbers, Numbers]:
        """Return ``log e`` as ``[fits, n]`` and its Jacobian by the coordinates as ``[coordinates, fits, n]``."""

    def log_error(self, theta: Numbers, points: Points) -> Numbers:
        """Return ``log e`` alone: the same numbers."""


# Parameters that are fitted as they are; all others by their logarithm.
PLAIN = frozenset(("phi", "psi"))


def to_coordinates(names: Sequence[str], values: Numbers) -> Numbers:
    """Return parameters as coordinates; the last axis runs over the names."""
    plain = np.array([name in PLAIN for name in names], bool)
    with np.errstate(divide="ignore"):
        return np.where(plain, values, np.log(np.where(plain, 1.0, values)))


def to_parameters(names: Sequence[str], theta: Numbers) -> Numbers:
    """Return coordinates as parameters."""
    plain = np.array([name in PLAIN for name in names], bool)
    with np.errstate(over="ignore", under="ignore"):
        return np.where(plain, theta, np.exp(np.where(plain, 0.0, theta)))


@dataclass(frozen=True)
class PruningForm:
    """Eq. 1 and Eq. 2: ``eps_up, gamma, p`` and, for a family, ``phi, psi``; see `forms.log_gradient`."""

    coordinates: tuple[str, ...]

    def evaluate(self, theta: Numbers, points: Points) -> tuple[Numbers, Numbers]:
        """Return ``log e`` and its Jacobian, with as few passes over the points as will do."""
        gamma = np.exp(theta[:, [1]])
        ratio, at_low, at_high, rise = self._rise(theta, points, gamma)
        jacobian = np.empty((theta.shape[1], *rise.shape))
        jacobian[0] = at_high
        np.multiply(at_high, ratio, out=jacobian[1])
        np.subtract(rise, jacobian[1], out=jacobian[1])
        np.subtract(at_high, at_low, out=jacobian[2])
        jacobian[2] *= gamma
        _by_shape(jacobian, 2, points)
        return points.unpruned + rise, jacobian

    def log_error(self, theta: Numbers, points: Points) -> Numbers:
        """Return ``log e`` alone."""
        return np.asarray(points.unpruned + self._rise(theta, points, np.exp(theta[:, [1]]))[3])

    @staticmethod
    def _rise(theta: Numbers, points: Points, gamma: Numbers) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        """Return by how much ``log e`` exceeds that of the unpruned network, last, and what it is made of."""
        log_up, _, log_p = (theta[:, [column]] for column in range(3))
        size = _log_size(theta, points)
        ratio = log_up - points.unpruned
        low = 2 * (log_p - size)
        high = low + (2 / gamma) * ratio
        at_low, bend_low = _soft(low)
        at_high, rise = _soft(high)
        rise -= bend_low
        rise *= gamma / 2
        return ratio, at_low, at_high, rise


@dataclass(frozen=True)
class AdaptedForm:
    """Rosenfeld's form adapted to density, held to the unpruned error: ``eps_up, b, beta`` and ``phi, psi``.

    ``t = b m*^-beta + c`` with ``eta = eps_up`` (only ratios to eta matter, so it fixes nothing) and ``c`` such that
    ``e`` falls to ``eps_np`` for large ``m*``: ``c = eps_up eps_np / sqrt(eps_up^2 - eps_np^2)``. So it has as many
    free parameters as Eq. 1 or 2 and knows as much.
    """

    coordinates: tuple[str, ...]

    def evaluate(self, theta: Numbers, points: Points) -> tuple[Numbers, Numbers]:
        """Return ``log e`` and its Jacobian."""
        log_up, log_b, log_beta = (theta[:, [column]] for column in range(3))
        beta = np.exp(log_beta)
        size = _log_size(theta, points)
        inside = 1 - np.exp(np.minimum(2 * (points.unpruned - log_up), -1e-9))
        log_c = points.unpruned - log_up - np.log(inside) / 2
        log_x = np.minimum(log_b - log_up - beta * size, 300.0)
        log_t = np.logaddexp(log_x, log_c)
        share = np.exp(log_x - log_t)
        bent = np.logaddexp(0.0, 2 * log_t)
        slope = np.exp(-bent)
        jacobian = np.empty((theta.shape[1], *log_t.shape))
        jacobian[0] = 1 - slope * (share + (1 - share) / inside)
        jacobian[1] = slope * share
        jacobian[2] = -jacobian[1] * beta * size
        if theta.shape[1] > 3:
            by_size = jacobian[1] * beta
            jacobian[3], jacobian[4] = -by_size * points.depth, -by_size * points.width
        return log_up + log_t - bent / 2, jacobian

    def log_error(self, theta: Numbers, points: Points) -> Numbers:
        """Return ``log e`` alone."""
        return self.evaluate(theta, points)[0]


@dataclass(frozen=True)
class DenseForm:
    """Rosenfeld's law of dense networks, ``eps_0, a, alpha, b, beta, c``, with ``eta = eps_0``.

    Only ratios to eta matter, so it is no parameter of its own; with ``eta = eps_0``, ``t`` is the error itself as
    long as it is small. Points hold the logarithm of the size as ``depth`` and of the examples as ``width``.
    """

    coordinates: tuple[str, ...] = ("eps_0", "a", "alpha", "b", "beta", "c")

    def evaluate(self, theta: Numbers, points: Points) -> tuple[Numbers, Numbers]:
        """Return ``log e`` and its Jacobian."""
        log_0, log_a, log_alpha, log_b, log_beta, log_c = (theta[:, [column]] for column in range(6))
        alpha, beta = np.exp(log_alpha), np.exp(log_beta)
        by_examples, by_size = log_a - alpha * points.width, log_b - beta * points.depth
        log_t = np.logaddexp(np.logaddexp(by_examples, by_size), log_c)
        bent = np.logaddexp(0.0, 2 * (log_t - log_0))
        slope = np.exp(-bent)
        jacobian = np.empty((6, *log_t.shape))
        jacobian[0] = 1 - slope
        jacobian[1] = slope * np.exp(by_examples - log_t)
        jacobian[2] = -jacobian[1] * alpha * points.width
        jacobian[3] = slope * np.exp(by_size - log_t)
        jacobian[4] = -jacobian[3] * beta * points.depth
        jacobian[5] = slope * np.exp(log_c - log_t)
        return log_t - bent / 2, jacobian

    def log_error(self, theta: Numbers, points: Points) -> Numbers:
        """Return ``log e`` alone."""
        return self.evaluate(theta, points)[0]


def _log_size(theta: Numbers, points: Points) -> Numbers:
    """Return the logarithm of the invariant, or of the density where the form has no exponents."""
    if theta.shape[1] == 3:
        return points.density
    return points.density + theta[:, [3]] * points.depth + theta[:, [4]] * points.width


def _by_shape(jacobian: Numbers, by_log_p: int, points: Points) -> None:
    """Fill in the derivatives by phi and psi from that by ``log p``, which is that by ``log m*`` turned round."""
    if len(jacobian) > 3:
        np.multiply(jacobian[by_log_p], -points.depth, out=jacobian[3])
        np.multiply(jacobian[by_log_p], -points.width, out=jacobian[4])


def _soft(x: Numbers) -> tuple[Numbers, Numbers]:
    """Return ``1 / (1 + exp(-x))`` and ``log(1 + exp(x))``."""
    grown = np.minimum(x, 700.0)
    np.exp(grown, out=grown)
    whole = grown + 1
    grown /= whole
    np.log(whole, out=whole)
    return grown, whole
