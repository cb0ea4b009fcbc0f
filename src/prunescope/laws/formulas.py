"""The papers' formulas as functions of plain arrays; they evaluate the forms that are fitted (`forms`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from prunescope.laws.data import Numbers, Points
from prunescope.laws.forms import JOINT, SINGLE, Form, plain_exp, to_coordinates


def invariant(
    density: ArrayLike, depth: ArrayLike = 1.0, width: ArrayLike = 1.0, phi: float = 0.0, psi: float = 0.0
) -> Numbers:
    """Return ``m* = depth^phi width^psi density``; networks that share it have the same error once they are pruned."""
    log_size = np.log(density) + phi * np.log(depth) + psi * np.log(width)
    return plain_exp(np.asarray(log_size, np.float64))


def single_error(unpruned: ArrayLike, density: ArrayLike, eps_up: ArrayLike, gamma: ArrayLike, p: ArrayLike) -> Numbers:
    """Eq. 1, one network.

    ``e(d) = eps_np |(d - j p (eps_up / eps_np)^(1/gamma)) / (d - j p)|^gamma``, with ``j^2 = -1``.

    Limits: ``eps_np`` for densities far above ``p (eps_up / eps_np)^(1/gamma)``, ``eps_up`` for densities far below
    ``p``; in between ``e`` falls as ``d^-gamma``.
    """
    return plain_exp(_evaluate(SINGLE, (unpruned, density, 1, 1), (eps_up, gamma, p))[0])


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
    return plain_exp(_evaluate(JOINT, (unpruned, density, depth, width), (eps_up, gamma, p_prime, phi, psi))[0])


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
    by_up, by_log_gamma, by_p = _evaluate(SINGLE, (unpruned, size, 1, 1), (eps_up, gamma, p))[1]
    return Gradient(1 - by_up, -by_p, by_up, by_log_gamma / np.asarray(gamma, np.float64), by_p)


def adapted_error(
    density: ArrayLike, eps_up: ArrayLike, b: ArrayLike, beta: ArrayLike, c: ArrayLike, eta: ArrayLike
) -> Numbers:
    """Return the error by the form that the first paper compares with (Appendix G).

    ``t(d) = b d^-beta + c``, ``e(d) = eps_up |t / (t - j eta)|``: Rosenfeld et al. (2020), adapted to density.
    """
    log_t = np.logaddexp(np.log(b) - np.asarray(beta) * np.log(density), np.log(c))
    return plain_exp(np.log(eps_up) + _envelope(log_t, np.log(eta)))


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
    return plain_exp(np.log(eps_0) + _envelope(log_t, np.log(eta)))


def _evaluate(form: Form, network: Sequence[ArrayLike], parameters: Sequence[ArrayLike]) -> tuple[Numbers, Numbers]:
    """Return ``log e`` and its Jacobian where networks and parameters broadcast: a batch of fits of one point."""
    arrays = np.broadcast_arrays(*(np.asarray(values, np.float64) for values in (*network, *parameters)))
    unpruned, density, depth, width = (np.log(values).reshape(-1, 1) for values in arrays[:4])
    theta = to_coordinates(form.parameters, np.stack([values.ravel() for values in arrays[4:]], axis=-1))
    with np.errstate(over="ignore", under="ignore"):
        log_error, jacobian = form.evaluate(theta, Points(np.zeros_like(unpruned), unpruned, density, depth, width))
    return log_error.reshape(arrays[0].shape), jacobian.reshape(-1, *arrays[0].shape)


def _envelope(log_t: Numbers, log_eta: Numbers) -> Numbers:
    """Return ``log |t / (t - j eta)|``."""
    return np.asarray(-np.logaddexp(0.0, 2 * (log_eta - log_t)) / 2, np.float64)
