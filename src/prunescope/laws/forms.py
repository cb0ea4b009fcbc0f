"""The functional forms, each a pure function of arrays that broadcast.

Everything is computed in logarithms: as written in the papers, the forms raise huge ratios to large powers and
overflow as soon as a curve has no high plateau. Here no input of positive finite numbers overflows or warns.

With ``s`` for the size (the density of one network, the invariant of a family), ``y = 2 log(p / s)`` and
``r = log(eps_up / eps_np)``, Eq. 1 and Eq. 2 of "On the Predictability of Pruning Across Scales" read

    log(e / eps_np) = gamma / 2 * (softplus(y + 2 r / gamma) - softplus(y)),      softplus(x) = log(1 + exp(x)).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Numbers = NDArray[np.float64]


class Parameter(NamedTuple):
    """A parameter of a form: what it means and where it may lie."""

    name: str
    meaning: str
    low: float
    high: float


PARAMETERS = {
    parameter.name: parameter
    for parameter in (
        Parameter("eps_up", "error of the high plateau, where almost everything is pruned", 0.0, 1.0),
        Parameter("gamma", "slope of the power-law region on log-log axes", 0.05, 50.0),
        Parameter("p", "density at which the high plateau turns into the power law", 1e-9, 1e3),
        Parameter("p_prime", "invariant at which the high plateau turns into the power law", 1e-20, 1e20),
        Parameter("phi", "how depth trades against density: exponent of depth in the invariant", -10.0, 10.0),
        Parameter("psi", "how width trades against density: exponent of width in the invariant", -10.0, 10.0),
        Parameter("eps_0", "error of guessing", 0.0, 1.0),
        Parameter("a", "error that comes of few examples: factor of its power law", 1e-12, 1e12),
        Parameter("alpha", "error that comes of few examples: its exponent", 0.01, 10.0),
        Parameter("b", "error that comes of small size: factor of its power law", 1e-12, 1e12),
        Parameter("beta", "error that comes of small size: its exponent", 0.01, 10.0),
        Parameter("c", "error that neither examples nor size remove", 1e-9, 1.0),
    )
}


def invariant(
    density: ArrayLike, depth: ArrayLike = 1.0, width: ArrayLike = 1.0, phi: float = 0.0, psi: float = 0.0
) -> Numbers:
    """Return ``m* = depth^phi width^psi density``; networks that share it have the same error once they are pruned."""
    log_size = np.log(density) + phi * np.log(depth) + psi * np.log(width)
    return _exp(np.asarray(log_size, np.float64))


def single_error(unpruned: ArrayLike, density: ArrayLike, eps_up: ArrayLike, gamma: ArrayLike, p: ArrayLike) -> Numbers:
    """Eq. 1, one network.

    ``e(d) = eps_np |(d - j p (eps_up / eps_np)^(1/gamma)) / (d - j p)|^gamma``, with ``j^2 = -1``.

    Limits: ``eps_np`` for densities far above ``p (eps_up / eps_np)^(1/gamma)``, ``eps_up`` for densities far below
    ``p``; in between ``e`` falls as ``d^-gamma``.
    """
    return _exp(np.log(unpruned) + _rise(np.log(unpruned), np.log(density), np.log(eps_up), gamma, np.log(p)))


def joint_error(
    unpruned: ArrayLike,
    density: ArrayLike,
    depth: ArrayLike,
    width: ArrayLike,
    eps_up: ArrayLike,
    gamma: ArrayLike,
    p_prime: ArrayLike,
    phi: float = 0.0,
    psi: float = 0.0,
) -> Numbers:
    """Eq. 2, a family: Eq. 1 with ``m* = depth^phi width^psi density`` for the density and ``p_prime`` for ``p``.

    Without ``phi`` or ``psi`` it is the partial form over the other dimensions. Examples enter through ``unpruned``
    alone.
    """
    log_size = np.log(density) + phi * np.log(depth) + psi * np.log(width)
    return _exp(np.log(unpruned) + _rise(np.log(unpruned), log_size, np.log(eps_up), gamma, np.log(p_prime)))


class Gradient(NamedTuple):
    """Derivatives of the logarithm of Eq. 1 or 2 by its arguments, most of them by their logarithms."""

    log_unpruned: Numbers
    log_size: Numbers
    log_eps_up: Numbers
    gamma: Numbers
    log_p: Numbers


def log_gradient(unpruned: ArrayLike, size: ArrayLike, eps_up: ArrayLike, gamma: ArrayLike, p: ArrayLike) -> Gradient:
    """Return the exact derivatives of ``log e``; the chain rule gives the rest.

    ``d/d phi = log(depth) d/d log_size``, ``d/d psi = log(width) d/d log_size``, ``d e / d x = e d log e / d x``.
    """
    log_unpruned, log_size, log_up, log_p = np.log(unpruned), np.log(size), np.log(eps_up), np.log(p)
    slope = np.asarray(gamma, np.float64)
    ratio = log_up - log_unpruned
    low = 2 * (log_p - log_size)
    with np.errstate(over="ignore"):
        high = low + 2 * ratio / slope
    at_high, at_low = _sigmoid(high), _sigmoid(low)
    rise = _rise(log_unpruned, log_size, log_up, slope, log_p)
    by_size = slope * (at_low - at_high)
    return Gradient(1 - at_high, by_size, at_high, (rise - at_high * ratio) / slope, -by_size)


def size_for_error(
    target: ArrayLike, unpruned: ArrayLike, eps_up: ArrayLike, gamma: ArrayLike, p: ArrayLike
) -> Numbers:
    """Return the size (density or invariant) at which Eq. 1 or 2 gives an error, in closed form.

    ``m*^2 = p^2 (R - r) / (r - 1)`` with ``r = (target / eps_np)^(2/gamma)`` and ``R = (eps_up /
    eps_np)^(2/gamma)``. NaN where no size gives it: ``eps_np < target < eps_up`` must hold.
    """
    up, start, wanted = np.log(eps_up), np.log(unpruned), np.log(target)
    above, below = wanted - start, up - wanted
    possible = (above > 0) & (below > 0)
    slope = np.asarray(gamma, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        from_start = np.where(possible, 2 * above / slope, 1.0)
        to_plateau = np.where(possible, 2 * below / slope, 1.0)
        # log(exp(x) - 1) is x + log(1 - exp(-x)); the x of both terms are put together, as they may be huge.
        gap = 2 * below / slope + np.log(-np.expm1(-to_plateau)) - np.log(-np.expm1(-from_start))
        return np.where(possible, _exp(np.log(p) + gap / 2), np.nan)


def adapted_error(
    density: ArrayLike, eps_up: ArrayLike, b: ArrayLike, beta: ArrayLike, c: ArrayLike, eta: ArrayLike
) -> Numbers:
    """Return the error by the form that the first paper compares with (Appendix G).

    ``t(d) = b d^-beta + c``, ``e(d) = eps_up |t / (t - j eta)|``: Rosenfeld et al. (2020), adapted to density.
    """
    log_t = np.logaddexp(np.log(b) - np.asarray(beta) * np.log(density), np.log(c))
    return _exp(np.log(eps_up) + _envelope(log_t, np.log(eta)))


def dense_error(
    examples: ArrayLike,
    size: ArrayLike,
    eps_0: ArrayLike,
    a: ArrayLike,
    alpha: ArrayLike,
    b: ArrayLike,
    beta: ArrayLike,
    c: ArrayLike,
    eta: ArrayLike,
) -> Numbers:
    """Rosenfeld et al. (2020): the error of dense networks of a size on a number of examples.

    ``t = a n^-alpha + b m^-beta + c``, ``e = eps_0 |t / (t - j eta)|``, with ``eps_0`` the error of guessing.
    """
    by_examples = np.log(a) - np.asarray(alpha) * np.log(examples)
    by_size = np.log(b) - np.asarray(beta) * np.log(size)
    log_t = np.logaddexp(np.logaddexp(by_examples, by_size), np.log(c))
    return _exp(np.log(eps_0) + _envelope(log_t, np.log(eta)))


def _rise(
    log_unpruned: ArrayLike, log_size: ArrayLike, log_up: ArrayLike, gamma: ArrayLike, log_p: ArrayLike
) -> Numbers:
    """Return ``log(e / eps_np)`` of Eq. 1 and 2."""
    slope = np.asarray(gamma, np.float64)
    ratio = np.asarray(log_up) - np.asarray(log_unpruned)
    low = 2 * (np.asarray(log_p) - np.asarray(log_size))
    with np.errstate(over="ignore"):
        high = low + 2 * ratio / slope
    # gamma / 2 * softplus(x) is max(gamma x / 2, 0) + gamma / 2 * log1p(exp(-|x|)): 2 r / gamma need not be finite.
    straight = np.maximum(slope * low / 2 + ratio, 0) - np.maximum(slope * low / 2, 0)
    bent = np.log1p(_exp(-np.abs(high))) - np.log1p(_exp(-np.abs(low)))
    return np.asarray(straight + slope / 2 * bent, np.float64)


def _envelope(log_t: Numbers, log_eta: Numbers) -> Numbers:
    """Return ``log |t / (t - j eta)|``."""
    return np.asarray(-np.logaddexp(0.0, 2 * (log_eta - log_t)) / 2, np.float64)


def _sigmoid(x: Numbers) -> Numbers:
    return (1 + np.tanh(x / 2)) / 2


def _exp(x: Numbers) -> Numbers:
    """Return ``exp(x)``, 0 and infinity where that is what it rounds to."""
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(np.exp(x), np.float64)
