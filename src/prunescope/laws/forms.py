"""The functional forms: each a value with named parameters that evaluates many fits at once.

A form takes its parameters as coordinates (logarithms of what must be positive, exponents of depth and width as they
are) and returns the logarithm of the error and its exact Jacobian, for a whole batch of coordinates. `formulas` has
functions of plain arrays that evaluate the same code. Raised as the papers write them, the forms overflow as soon as a
curve has no high plateau; in logarithms no positive finite input overflows or warns.

With ``s`` for the size (the density of one network, the invariant of a family), ``y = 2 log(p / s)`` and
``r = log(eps_up / eps_np)``, Eq. 1 and Eq. 2 of "On the Predictability of Pruning Across Scales" read

    log(e / eps_np) = gamma / 2 * (softplus(y + 2 r / gamma) - softplus(y)),      softplus(x) = log(1 + exp(x)).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prunescope.laws.data import Numbers, Points

REGIONS = ("plateau", "power law", "saturation")
# What exponents of members are exponents of.
EXPONENTS = {"phi": "depth", "psi": "width"}
# Parameters that are coordinates as they are; all others are by their logarithm.
SIGNED = (*EXPONENTS, "kappa")
# Up to here, exp and what is made of it are finite.
LARGEST = 700.0
# How far kappa is thought to be from 0: its standard deviation before any measurement.
KAPPA_SCALE = 0.05
# Steps of Newton's method to the density that gives an error; few need ten.
NEWTON_STEPS = 60


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
        Parameter("kappa", "tilt of the low plateau: each halving of density divides it by 2^kappa", -1.0, 1.0),
        Parameter("eps_0", "error of guessing", 0.0, 1.0),
        Parameter("a", "error that comes of few examples: factor of its power law", 1e-12, 1e12),
        Parameter("alpha", "error that comes of few examples: its exponent", 0.01, 10.0),
        Parameter("b", "error that comes of small size: factor of its power law", 1e-12, 1e12),
        Parameter("beta", "error that comes of small size: its exponent", 0.01, 10.0),
        Parameter("c", "error that neither examples nor size remove", 1e-9, 1.0),
        Parameter("a_s", "what density adds to the factor of the weights' power law", 1e-12, 1e40),
        Parameter("b_s", "exponent of the density in that factor", 0.01, 50.0),
        Parameter("c_s", "what is left of that factor at density 0", 1e-12, 1e40),
        Parameter("b_n", "exponent of the nonzero weights", 1e-3, 20.0),
        Parameter("a_d", "examples at which the term of the data would be 1", 1e-30, 1e30),
        Parameter("b_d", "exponent of the examples", 1e-3, 20.0),
    )
}


def to_coordinates(names: Sequence[str], values: Numbers) -> Numbers:
    """Return parameters as coordinates; the last axis runs over the names."""
    plain = np.array([name in SIGNED for name in names], bool)
    with np.errstate(divide="ignore"):
        return np.where(plain, values, np.log(np.where(plain, 1.0, values)))


def to_parameters(names: Sequence[str], theta: Numbers) -> Numbers:
    """Return coordinates as parameters."""
    plain = np.array([name in SIGNED for name in names], bool)
    with np.errstate(over="ignore", under="ignore"):
        return np.where(plain, theta, np.exp(np.where(plain, 0.0, theta)))


@dataclass(frozen=True)
class Form(ABC):
    """A functional form over a batch of fits: what users call its law, and its parameters in the coordinates' order."""

    name: str
    parameters: tuple[str, ...]
    # Whether the error bends from a low plateau, the unpruned error, to a high one (`regions`).
    has_plateaus: ClassVar[bool] = False

    @property
    def shrunk(self) -> Mapping[int, float]:
        """The columns of coordinates that fits draw towards 0, with their scales (`solver.shrink`)."""
        return {}

    @property
    def family(self) -> bool:
        """Whether it has exponents of depth and width."""
        return "phi" in self.parameters

    @property
    def bounds(self) -> tuple[Numbers, Numbers]:
        """The box of the coordinates as far as it does not depend on data."""
        ends = np.array([[PARAMETERS[name].low, PARAMETERS[name].high] for name in self.parameters])
        return to_coordinates(self.parameters, ends[:, 0]), to_coordinates(self.parameters, ends[:, 1])

    @abstractmethod
    def evaluate(self, theta: Numbers, points: Points) -> tuple[Numbers, Numbers]:
        """Return ``log e`` as ``[fits, n]`` and its Jacobian by the coordinates as ``[coordinates, fits, n]``."""

    def log_error(self, theta: Numbers, points: Points) -> Numbers:
        """Return ``log e`` alone: the same numbers."""
        return self.evaluate(theta, points)[0]

    def log_size(self, theta: Numbers, points: Points) -> Numbers:
        """Return the logarithm of the invariant, or of the density where the form has no exponents."""
        if not self.family:
            return points.density
        return points.density + theta[:, [3]] * points.depth + theta[:, [4]] * points.width

    def regions(self, theta: Numbers, points: Points) -> NDArray[np.int64]:
        """Return the place in `REGIONS` of each point, ``[fits, n]``: a form without plateaus is a power law."""
        return np.ones((len(theta), points.count), np.int64)


@dataclass(frozen=True)
class PruningForm(Form):
    """Eq. 1 and Eq. 2: ``eps_up, gamma, p`` and, for a family, ``phi, psi``."""

    has_plateaus: ClassVar[bool] = True

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
        if self.family:
            # The derivative by log m* is that by log p turned round.
            np.multiply(jacobian[2], -points.depth, out=jacobian[3])
            np.multiply(jacobian[2], -points.width, out=jacobian[4])
        return points.unpruned + rise, jacobian

    def log_error(self, theta: Numbers, points: Points) -> Numbers:
        """Return ``log e`` alone: the same numbers."""
        return np.asarray(points.unpruned + self._rise(theta, points, np.exp(theta[:, [1]]))[3])

    def _rise(self, theta: Numbers, points: Points, gamma: Numbers) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        """Return by how much ``log e`` exceeds that of the unpruned network, last, and what it is made of."""
        log_up, log_p = theta[:, [0]], theta[:, [2]]
        ratio = log_up - points.unpruned
        low = 2 * (log_p - self.log_size(theta, points))
        high = low + (2 / gamma) * ratio
        if max(low.max(initial=0.0), high.max(initial=0.0)) <= LARGEST:
            at_low, bend_low = _sigmoid_and_softplus(low)
            at_high, rise = _sigmoid_and_softplus(high)
            rise -= bend_low
            rise *= gamma / 2
        else:
            # gamma / 2 softplus(x) is max(gamma x / 2, 0) + gamma / 2 log1p(exp(-|x|)): 2 r / gamma may be infinite.
            at_low, at_high = (1 + np.tanh(low / 2)) / 2, (1 + np.tanh(high / 2)) / 2
            rise = np.maximum(gamma * low / 2 + ratio, 0) - np.maximum(gamma * low / 2, 0)
            rise += gamma / 2 * (np.log1p(np.exp(-np.abs(high))) - np.log1p(np.exp(-np.abs(low))))
        return ratio, at_low, at_high, rise

    def regions(self, theta: Numbers, points: Points) -> NDArray[np.int64]:
        """Return 0 on the low plateau, 1 along the power law, 2 on the high plateau.

        The high plateau reaches from size 0 to ``p``, the low one begins at ``p (eps_up / eps_np)^(1/gamma)``.
        """
        log_up, log_gamma, log_p = (theta[:, [column]] for column in range(3))
        begins = log_p + np.maximum(log_up - points.unpruned, 0) / np.exp(log_gamma)
        log_size = self.log_size(theta, points)
        return np.where(log_size >= begins, 0, np.where(log_size <= log_p, 2, 1))

    def log_density(self, theta: Numbers, error: float | Numbers, points: Points) -> Numbers:
        """Return the logarithm of the density at which each fit gives an error, the inverse of `evaluate`.

        Minus infinity where the error is not below the high plateau, NaN where no density gives it.
        """
        log_up, log_gamma, log_p = (theta[:, [column]] for column in range(3))
        size = size_for_error(error, np.exp(points.unpruned), np.exp(log_up), np.exp(log_gamma), np.exp(log_p))
        with np.errstate(divide="ignore"):
            density = np.log(size)
        if self.family:
            density = density - theta[:, [3]] * points.depth - theta[:, [4]] * points.width
        return np.where(np.log(error) >= log_up, -np.inf, density)


@dataclass(frozen=True)
class TiltedForm(PruningForm):
    """Eq. 1 and Eq. 2 with a low plateau that is tilted: ``kappa`` beside their parameters.

    The low plateau is ``B(d) = min(eps_np d^kappa, eps_up)``. With kappa above 0 each halving of density divides it by
    ``2^kappa``: networks gain from the first prunings. Below 0 the error rises from the first pruning on. With 0 it is
    Eq. 1 or 2, and whatever kappa is, the error is that of the law at density 1 and goes to ``eps_up`` towards 0.
    """

    @property
    def shrunk(self) -> Mapping[int, float]:
        """Kappa is drawn towards 0: else extrapolation suffers."""
        return {self.parameters.index("kappa"): KAPPA_SCALE}

    def evaluate(self, theta: Numbers, points: Points) -> tuple[Numbers, Numbers]:
        """Return ``log e`` and its Jacobian."""
        plateau = self._plateau(theta, points)
        log_error, untilted = super().evaluate(theta[:, :-1], replace(points, unpruned=plateau))
        by_plateau = 1 - untilted[0]
        jacobian = np.concatenate([untilted, (by_plateau * points.density)[None]])
        # Where the tilt has reached the high plateau, the error is that and moves with it alone.
        clipped = plateau >= theta[:, [0]]
        jacobian[0][clipped] = 1
        jacobian[-1][clipped] = 0
        return log_error, jacobian

    def log_error(self, theta: Numbers, points: Points) -> Numbers:
        """Return ``log e`` alone: the same numbers."""
        return super().log_error(theta[:, :-1], replace(points, unpruned=self._plateau(theta, points)))

    def regions(self, theta: Numbers, points: Points) -> NDArray[np.int64]:
        """Return 0 on the tilted plateau, 1 along the power law, 2 on the high plateau."""
        return super().regions(theta[:, :-1], replace(points, unpruned=self._plateau(theta, points)))

    def log_density(self, theta: Numbers, error: float | Numbers, points: Points) -> Numbers:
        """Return the logarithm of the lowest density at which each fit gives an error, seen from the sparse side.

        With ``u(x) = log eps_np + kappa x`` for the plateau, the density ``exp(x)`` solves ``x = c - log(1 - exp(-2
        (log e - u(x)) / gamma)) / 2``, whose right side is convex. Newton's method from the left of the first crossing
        therefore climbs to it and never beyond; where the two sides do not meet, no density gives the error.
        """
        log_up, gamma, log_p = theta[:, [0]], np.exp(theta[:, [1]]), theta[:, [2]]
        kappa, above = theta[:, [-1]], np.log(error) - points.unpruned
        with np.errstate(all="ignore"):
            shape = self.log_size(theta, points) - points.density
            least = log_p - shape + np.log(np.expm1(2 * (log_up - np.log(error)) / gamma)) / 2
            # With kappa below 0, only densities above `edge` have a plateau below the error; the start lies left of
            # the crossing, by W(2 x) >= log(1 + 2 x) / 2.
            edge = above / kappa
            share = gamma / (2 * np.abs(kappa)) * np.exp(-2 * (edge - least))
            x = np.where((kappa < 0) & (least <= edge), edge + np.log1p(2 * share) / 4, least)
            for _ in range(NEWTON_STEPS):
                room = 2 * (above - kappa * x) / gamma
                apart = least - np.log(-np.expm1(-room)) / 2 - x
                slope = kappa / gamma / np.expm1(room) - 1
                step = np.where(slope < 0, -apart / slope, np.where(apart > 0, np.nan, 0.0))
                x = x + step
                if not np.any(np.abs(step) > 1e-14 * (1 + np.abs(x))):
                    break
            x = np.where(2 * (above - kappa * x) > 0, x, np.nan)
        return np.where(np.log(error) >= log_up, -np.inf, x)

    def _plateau(self, theta: Numbers, points: Points) -> Numbers:
        """Return the logarithm of the low plateau at each point's density."""
        return np.asarray(np.minimum(points.unpruned + theta[:, [-1]] * points.density, theta[:, [0]]))


@dataclass(frozen=True)
class AdaptedForm(Form):
    """Rosenfeld's form adapted to density, held to the unpruned error: ``eps_up, b, beta`` and ``phi, psi``.

    ``t = b m*^-beta + c`` with ``eta = eps_up`` (only ratios to eta matter, so it fixes nothing) and ``c`` such that
    ``e`` falls to ``eps_np`` for large ``m*``: ``c = eps_up eps_np / sqrt(eps_up^2 - eps_np^2)``. So it has as many
    free parameters as Eq. 1 or 2 and knows as much.
    """

    def evaluate(self, theta: Numbers, points: Points) -> tuple[Numbers, Numbers]:
        """Return ``log e`` and its Jacobian."""
        log_up, log_b, log_beta = (theta[:, [column]] for column in range(3))
        beta = np.exp(log_beta)
        size = self.log_size(theta, points)
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
        if self.family:
            by_size = jacobian[1] * beta
            jacobian[3], jacobian[4] = -by_size * points.depth, -by_size * points.width
        return log_up + log_t - bent / 2, jacobian


@dataclass(frozen=True)
class DenseForm(Form):
    """Rosenfeld's law of dense networks, ``eps_0, a, alpha, b, beta, c``, with ``eta = eps_0``.

    Only ratios to eta matter, so it is no parameter of its own; with ``eta = eps_0``, ``t`` is the error itself as
    long as it is small. Points hold the logarithm of the size as ``depth`` and of the examples as ``width``.
    """

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


@dataclass(frozen=True)
class SparseForm(Form):
    """The law of sparse networks, ``a_s, b_s, c_s, b_n, a_d, b_d, c`` (Frantar et al. 2023, Eq. 3).

    ``L = (a_s (1 - S)^b_s + c_s) N^-b_n + (a_d / D)^b_d + c``, where ``1 - S`` is the density. Points hold the
    logarithm of the nonzero weights N as ``depth`` and of the examples D as ``width``.
    """

    def evaluate(self, theta: Numbers, points: Points) -> tuple[Numbers, Numbers]:
        """Return ``log L`` and its Jacobian."""
        log_as, log_bs, log_cs, log_bn, log_ad, log_bd, log_c = (theta[:, [column]] for column in range(7))
        by_density, by_weights, by_data = np.exp(log_bs), np.exp(log_bn), np.exp(log_bd)
        shrinking = by_weights * points.depth
        pruned = log_as + by_density * points.density - shrinking
        left = log_cs - shrinking
        data = by_data * (log_ad - points.width)
        log_loss = np.logaddexp(np.logaddexp(pruned, left), np.logaddexp(data, log_c))
        jacobian = np.empty((7, *log_loss.shape))
        jacobian[0] = np.exp(pruned - log_loss)
        jacobian[1] = jacobian[0] * by_density * points.density
        jacobian[2] = np.exp(left - log_loss)
        jacobian[3] = -(jacobian[0] + jacobian[2]) * shrinking
        share = np.exp(data - log_loss)
        jacobian[4] = share * by_data
        jacobian[5] = share * data
        jacobian[6] = np.exp(log_c - log_loss)
        return log_loss, jacobian


SINGLE = PruningForm("single", ("eps_up", "gamma", "p"))
JOINT = PruningForm("joint", ("eps_up", "gamma", "p_prime", "phi", "psi"))
TILTED = TiltedForm("tilted", (*SINGLE.parameters, "kappa"))
TILTED_JOINT = TiltedForm("tilted-joint", (*JOINT.parameters, "kappa"))
ADAPTED = AdaptedForm("adapted", ("eps_up", "b", "beta"))
ADAPTED_JOINT = AdaptedForm("adapted-joint", ("eps_up", "b", "beta", "phi", "psi"))
DENSE = DenseForm("dense", ("eps_0", "a", "alpha", "b", "beta", "c"))
SPARSE = SparseForm("sparse", ("a_s", "b_s", "c_s", "b_n", "a_d", "b_d", "c"))
# Every form that can be fitted, by name.
FORMS: dict[str, Form] = {
    form.name: form for form in (SINGLE, JOINT, TILTED, TILTED_JOINT, ADAPTED, ADAPTED_JOINT, DENSE, SPARSE)
}


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
        return np.where(possible, plain_exp(np.log(p) + gap / 2), np.nan)


def _sigmoid_and_softplus(x: Numbers) -> tuple[Numbers, Numbers]:
    """Return ``1 / (1 + exp(-x))`` and ``log(1 + exp(x))``."""
    sigmoid = np.exp(x)
    softplus = sigmoid + 1
    sigmoid /= softplus
    np.log(softplus, out=softplus)
    return sigmoid, softplus


def plain_exp(x: Numbers) -> Numbers:
    """Return ``exp(x)``, 0 and infinity where that is what it rounds to."""
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(np.exp(x), np.float64)
