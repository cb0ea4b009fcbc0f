"""Unpruned errors of members, measured or not: mean and covariance of their logarithms.

A Gaussian process over depth, width and examples smooths and extrapolates the measurements. Far from measurements it
reverts to a dense law (Rosenfeld et al. 2020) where one can be fitted, else to gentle straight lines in log size and
log examples.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunescope.choose.counts import Counts
from prunescope.distributions import Numbers, draw_symmetric
from prunescope.errors import InputError
from prunescope.laws import DenseLaw, Fit
from prunescope.laws.predict import predict_errors
from prunescope.study.catalogue import DATASETS
from prunescope.table import Table

# Prior of the straight lines: error falls gently with size and with examples.
SLOPES, SLOPES_SPREAD = (-0.12, -0.25), (0.1, 0.2)
LEVEL_SPREAD = 2.0
OPEN = np.diag(np.square([LEVEL_SPREAD, *SLOPES_SPREAD]))
# Candidate amplitudes and lengthscales (in log) of the kernel.
AMPLITUDES, LENGTHSCALES = (0.01, 0.03, 0.06, 0.12, 0.25), (1.0, 2.0, 4.0)
# Few measurements on a line do not prove that there are no departures: the usual amplitude, and within which factor
# (as a logarithm).
USUAL_AMPLITUDE, AMPLITUDE_SPREAD = 0.06, 0.7
# Most cells in the Gaussian process.
MOST_WEIGHED = 1_000
# How often the jitter grows tenfold before the slower eigenvalue decomposition.
_JITTER_TRIES = 4
# Least relative noise of a measured error.
LEAST_NOISE = 1e-3


@dataclass(frozen=True)
class Place:
    """Where networks stand, one value each.

    Attributes
    ----------
    depth, width, examples
        As in the table; 1 where it has no such column.
    expected
        Logarithm of the error that a dense law expects, and the standard deviation that it leaves open; None where
        there is no such law.
    """

    depth: Numbers
    width: Numbers
    examples: Numbers
    expected: tuple[Numbers, Numbers] | None = None

    def pick(self, networks: NDArray[np.int64]) -> Place:
        """Return some of the networks."""
        expected = None if self.expected is None else (self.expected[0][networks], self.expected[1][networks])
        return Place(self.depth[networks], self.width[networks], self.examples[networks], expected)

    @property
    def coordinates(self) -> Numbers:
        """Logarithms, ``[networks, 3]``."""
        return np.log(np.stack([self.depth, self.width, self.examples], axis=1))

    @property
    def keys(self) -> list[tuple[float, float, float]]:
        """Depth, width and examples of each network."""
        return list(zip(self.depth.tolist(), self.width.tolist(), self.examples.tolist(), strict=True))


def nearest_places(cells: Place, members: Place, most: int = MOST_WEIGHED) -> NDArray[np.int64]:
    """Return the cells nearest to any of some members, in the cells' order; all of them unless they are too many.

    To weigh measurements against each other takes memory with the square of their number, and time with its cube.
    """
    here, there = cells.coordinates, np.unique(members.coordinates, axis=0)
    if len(here) <= most:
        return np.arange(len(here))
    apart = np.full(len(here), np.inf)
    for member in there:
        apart = np.minimum(apart, ((here - member) ** 2).sum(axis=1))
    return np.sort(np.argsort(apart, kind="stable")[:most])


@dataclass(frozen=True)
class Unpruned:
    """Unpruned errors of some members: mean and covariance of their logarithms."""

    mean: Numbers
    covariance: Numbers

    @property
    def spread(self) -> Numbers:
        """Standard deviations."""
        return np.asarray(np.sqrt(np.clip(np.diag(self.covariance), 0, None)))

    def draws(self, count: int, seed: int) -> Numbers:
        """Draw ``[count, members]``; in symmetric pairs, so that means are exact."""
        # The most expensive step with thousands of members: eigenvectors would take thirty times as long.
        least = 1e-9 * max(float(np.diag(self.covariance).max(initial=0.0)), 1e-12)
        return draw_symmetric(self.mean, _root(self.covariance, least), count, seed)

    def with_given(self, errors: Numbers) -> Unpruned:
        """Return these with given errors taken as exact; NaN where none was given."""
        known = np.isfinite(errors)
        if not known.any():
            return self
        covariance = np.where(known[:, None] | known[None, :], 0.0, self.covariance)
        return Unpruned(np.where(known, np.log(np.where(known, errors, 1.0)), self.mean), covariance)


@dataclass(frozen=True)
class GaussianProcess:
    """A Gaussian process through measured errors, which predicts any member.

    Attributes
    ----------
    cells
        Where errors were measured.
    level, centre
        Level and centre of the straight lines; unused with a dense law.
    amplitude, lengthscale
        Of the kernel.
    weights, inverse
        The inverse covariance of the measurements, and its product with their departures from the trend.
    """

    cells: Place
    level: float
    centre: Numbers
    amplitude: float
    lengthscale: float
    weights: Numbers
    inverse: Numbers

    @staticmethod
    def through(cells: Place, log_error: Numbers, noise: Numbers) -> GaussianProcess:
        """Smooth measurements.

        Parameters
        ----------
        log_error, noise
            Logarithms of errors, and their standard deviations.
        """
        here = cells.coordinates
        level = float(log_error.mean()) if len(log_error) else np.log(0.1)
        centre = here.mean(axis=0) if len(here) else np.zeros(3)
        lines = _lines(here - centre)
        trend = lines @ _usual(level) if cells.expected is None else cells.expected[0]
        within = lines @ OPEN @ lines.T if cells.expected is None else np.zeros((len(here), len(here)))
        residual = log_error - trend
        within = within + np.diag(np.maximum(noise, LEAST_NOISE) ** 2)
        amplitude, lengthscale = _likeliest(here, residual, within)
        inverse = np.linalg.inv(within + _kernel(here, here, amplitude, lengthscale))
        return GaussianProcess(cells, level, centre, amplitude, lengthscale, inverse @ residual, inverse)

    def mean(self, members: Place) -> Numbers:
        """Return the logarithm of the error to expect of each member."""
        return self._trend(members) + self._across(members) @ self.weights

    def before(self, members: Place) -> Unpruned:
        """Return the prior of members, before any measurement."""
        there = members.coordinates
        covariance = _kernel(there, there, self.amplitude, self.lengthscale)
        if members.expected is None:
            lines = _lines(there - self.centre)
            covariance += lines @ OPEN @ lines.T
        else:
            # The uncertainty of a dense law counts only where nothing was measured.
            apart = _squares(there, self.cells.coordinates).min(axis=1, initial=np.inf)
            covariance += np.diag(np.where(apart > 1e-12, members.expected[1] ** 2, 0.0))
        return Unpruned(self._trend(members), covariance)

    def of(self, members: Place) -> Unpruned:
        """Return the posterior of members."""
        prior, across = self.before(members), self._across(members)
        return Unpruned(prior.mean + across @ self.weights, prior.covariance - across @ self.inverse @ across.T)

    def _trend(self, members: Place) -> Numbers:
        if members.expected is not None:
            return members.expected[0]
        return np.asarray(_lines(members.coordinates - self.centre) @ _usual(self.level))

    def _across(self, members: Place) -> Numbers:
        here, there = self.cells.coordinates, members.coordinates
        across = _kernel(there, here, self.amplitude, self.lengthscale)
        if members.expected is None:
            across += _lines(there - self.centre) @ OPEN @ _lines(here - self.centre).T
        return across


def _root(covariance: Numbers, least: float) -> Numbers:
    """Return the root of a covariance, with the jitter that rounding makes necessary."""
    for _ in range(_JITTER_TRIES):
        with suppress(np.linalg.LinAlgError):
            return np.asarray(np.linalg.cholesky(covariance + least * np.eye(len(covariance))), np.float64)
        least *= 10
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.clip(values, 0, None)), np.float64)


def _usual(level: float) -> Numbers:
    return np.array([level, *SLOPES])


def _lines(coordinates: Numbers) -> Numbers:
    """Return level, log size (``depth width^2``) and log examples, ``[networks, 3]``."""
    size = coordinates[:, 0] + 2 * coordinates[:, 1]
    return np.stack([np.ones(len(coordinates)), size, coordinates[:, 2]], axis=1)


def _kernel(one: Numbers, other: Numbers, amplitude: float, lengthscale: float) -> Numbers:
    """Return the kernel: the covariance of departures from the trend."""
    return _kernel_of(_squares(one, other), amplitude, lengthscale)


def _kernel_of(squares: Numbers, amplitude: float, lengthscale: float) -> Numbers:
    return np.asarray(amplitude**2 * np.exp(-squares / (2 * lengthscale**2)))


def _squares(one: Numbers, other: Numbers) -> Numbers:
    """Return squared distances, ``[one, other]``."""
    return np.asarray(((one[:, None, :] - other[None, :, :]) ** 2).sum(axis=-1))


def _likeliest(here: Numbers, residual: Numbers, within: Numbers) -> tuple[float, float]:
    """Return the likeliest amplitude and lengthscale of the kernel."""
    if len(residual) < 3:
        return USUAL_AMPLITUDE, LENGTHSCALES[1]
    best, likeliest = -np.inf, (AMPLITUDES[0], LENGTHSCALES[0])
    squares = _squares(here, here)
    for amplitude in AMPLITUDES:
        for lengthscale in LENGTHSCALES:
            root = np.linalg.cholesky(within + _kernel_of(squares, amplitude, lengthscale))
            whitened = np.linalg.solve(root, residual)
            usual = float(np.log(amplitude / USUAL_AMPLITUDE) / AMPLITUDE_SPREAD)
            likelihood = -float(whitened @ whitened) / 2 - float(np.log(np.diag(root)).sum()) - usual**2 / 2
            if likelihood > best:
                best, likeliest = likelihood, (amplitude, lengthscale)
    return likeliest


# Fewest members to fit a dense law to.
ENOUGH_DENSE = 6
ONE_SIGMA = 0.6827


@dataclass(frozen=True)
class Expectation:
    """The prior mean of unpruned errors: a dense law, or straight lines.

    Attributes
    ----------
    counting
        Counts the weights of members.
    dense
        A dense law; None where there are too few members for one.
    by_count
        Whether its size is counted weights, or ``depth width^2``.
    """

    counting: Counts
    dense: Fit | None
    by_count: bool

    @property
    def words(self) -> str:
        """The prior mean in words."""
        if self.dense is None:
            return "straight lines in log size and log examples through the measured members"
        return "the dense law fitted to the measured members"

    def place(self, depth: Numbers, width: Numbers, examples: Numbers) -> Place:
        """Return the places of networks, with what the dense law expects there."""
        if self.dense is None:
            return Place(depth, width, examples)
        size = depth * width**2
        if self.by_count:
            pairs = zip(depth.tolist(), width.tolist(), strict=True)
            size = np.array([self.counting.count(*pair).prunable for pair in pairs])
        ones = np.ones(len(size))
        prediction = predict_errors(self.dense, ones, ones, size, examples, ONE_SIGMA)
        spread = (np.log(prediction.law_high) - np.log(prediction.law_low)) / 2
        return Place(depth, width, examples, (np.log(prediction.error), np.nan_to_num(spread)))


@dataclass(frozen=True)
class UnprunedModel:
    """Unpruned errors: the prior mean, and the Gaussian process through the measured ones."""

    expectation: Expectation
    smooth: GaussianProcess

    @staticmethod
    def by(expectation: Expectation, cells: Place, log_error: Numbers, noise: Numbers) -> UnprunedModel:
        """Smooth errors measured at cells; noise is 0 where an error was given."""
        cells = expectation.place(cells.depth, cells.width, cells.examples)
        return UnprunedModel(expectation, GaussianProcess.through(cells, log_error, noise))

    def of(self, depth: Numbers, width: Numbers, examples: Numbers) -> Unpruned:
        """Return the posterior of networks, measured or not."""
        return self.smooth.of(self.expectation.place(depth, width, examples))

    def mean(self, depth: Numbers, width: Numbers, examples: Numbers) -> Numbers:
        """Return the logarithm of the error to expect of each."""
        return self.smooth.mean(self.expectation.place(depth, width, examples))


def fit_expectation(rows: Table, counting: Counts, cells: Place, classes: int | None) -> Expectation:
    """Fit a dense law as the prior mean, where there are enough members."""
    nothing = Expectation(counting, None, by_count=False)
    if len(set(zip(cells.depth.tolist(), cells.width.tolist(), strict=True))) < ENOUGH_DENSE:
        return nothing
    facts = counting.facts or DATASETS.get(counting.dataset)
    known = classes or (facts.classes if facts else None)
    law = DenseLaw(classes=known, by=[], intervals="quick", starts=8)
    try:
        law.fit(rows)
    except InputError:
        return nothing
    return Expectation(counting, law.fit_, "prunable" in rows) if law.fit_.converged else nothing
