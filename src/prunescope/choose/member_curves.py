"""Members' curves of error by density: the law, and where a member was measured how far it departs from it.

A law that fits a family to ten percent may be off by that much on a single member, which near a bound gives a wrong
density. So a member's measured departures are added to the law, smoothed over neighbouring densities and weighed
against noise (a Gaussian process about the law). Members without measurements have the law alone, in closed form
(`smallest.needed_density`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from prunescope.choose.cell_noise import between_trainings, noise_by_cell
from prunescope.choose.smallest import (
    LOWEST_LOG_DENSITY,
    MemberSizes,
    Numbers,
    Scatter,
    Truths,
    form_of,
    law_coordinates,
    log_errors,
    needed_density,
)
from prunescope.choose.unpruned import LEAST_NOISE
from prunescope.distributions import normal_cdf
from prunescope.laws import Fit
from prunescope.laws.data import GroupData
from prunescope.laws.shared_examples import UNKNOWN_EXAMPLES, SharedExamples

# Lengthscale of departures in log density: three rungs of a fifth each.
REACH = 0.67
# Densities at which a curve with departures is evaluated, from its sparsest to 1.
GRID = 241
# Densities tried for the first confident one, denser near 1, and halvings between it and the one before.
LOOKS, HALVINGS = 61, 30


@dataclass(frozen=True)
class Departure:
    """One member's measured curve, to be compared with any law.

    Attributes
    ----------
    log_density, log_error, noise
        Its points in the mean over replicates, and the standard error of each.
    amplitude
        The prior standard deviation of departures.
    single
        Standard deviation of a newly trained network about the member's curve.
    persistence
        Correlation of noise between neighbouring points.
    """

    log_density: Numbers
    log_error: Numbers
    noise: Numbers
    amplitude: float
    single: float
    persistence: float = 0.0

    @cached_property
    def _inverse(self) -> Numbers:
        return np.asarray(np.linalg.inv(self._kernel(self.log_density) + np.diag(self.noise**2)), np.float64)

    def _noise_covariance(self) -> Numbers:
        if self.persistence <= 0:
            return np.diag(self.noise**2)
        apart = np.abs(self.log_density[:, None] - self.log_density)
        step = float(np.median(np.abs(np.diff(self.log_density))))
        return np.asarray(self.noise[:, None] * self.noise * self.persistence ** (apart / max(step, 1e-6)))

    def _kernel(self, at: Numbers) -> Numbers:
        apart = at[:, None] - self.log_density[None, :]
        return np.asarray(self.amplitude**2 * np.exp(-(apart**2) / (2 * REACH**2)))

    def gain(self, at: Numbers) -> Numbers:
        """Return what each point's departure adds at some densities, ``[densities, points]``."""
        return np.asarray(self._kernel(at) @ self._inverse)

    def spread(self, at: Numbers) -> Numbers:
        """Return the posterior standard deviation of the member's curve."""
        # Points are weighed as if their noise were independent, and the spread is what that leaves if it persists.
        gain = self.gain(at)
        left = self.amplitude**2 - 2 * (gain * self._kernel(at)).sum(axis=1)
        left += ((gain @ (self._kernel(self.log_density) + self._noise_covariance())) * gain).sum(axis=1)
        return np.asarray(np.sqrt(np.maximum(left, 0.0)))


@dataclass(frozen=True)
class MemberCurves:
    """The members' curves by some truths.

    Attributes
    ----------
    departures
        One for each member; None where it was not measured under pruning.
    chance
        Each truth's deviation from the posterior mean of departures, in standard deviations ``[truths, members]``;
        None: zero.
    test_set
        How other test examples would move the log errors of all networks in each truth, in standard deviations
        ``[truths]``; None: not at all.
    shared_examples
        These examples.
    """

    sizes: MemberSizes
    truths: Truths
    departures: Sequence[Departure | None]
    scatter: Scatter
    chance: Numbers | None = None
    test_set: Numbers | None = None
    shared_examples: SharedExamples = UNKNOWN_EXAMPLES

    def pick(self, members: NDArray[np.int64]) -> MemberCurves:
        """Return the curves of some members, by the same truths."""
        return MemberCurves(
            self.sizes.pick(members),
            self.truths.pick(members),
            [self.departures[member] for member in members.tolist()],
            self.scatter.pick(members),
            None if self.chance is None else self.chance[:, members],
            self.test_set,
            self.shared_examples,
        )

    @cached_property
    def _residuals(self) -> list[Numbers | None]:
        """How far each member's points lie from each truth's law, ``[truths, points]``."""
        residuals: list[Numbers | None] = []
        for member, departure in enumerate(self.departures):
            if departure is None:
                residuals.append(None)
                continue
            law = self._law(member, departure.log_density)
            residuals.append(departure.log_error - law)
        return residuals

    def _law(self, member: int, at: Numbers) -> Numbers:
        """Return the log errors of one member at some densities by each truth's law, ``[truths, densities]``."""
        count = len(at)
        sizes = self.sizes.pick(np.full(count, member))
        truths = replace(self.truths, unpruned=np.repeat(self.truths.unpruned[:, [member]], count, axis=1))
        return log_errors(sizes, truths, at)

    def _curve(self, member: int, at: Numbers) -> Numbers:
        """Return the log errors of one member at some densities, departures included."""
        return self._law(member, at) + self._departing(member, at)

    def _departing(self, member: int, at: Numbers) -> Numbers | float:
        """Return how far one member departs from the law at some densities, ``[truths, densities]``."""
        departure, residual = self.departures[member], self._residuals[member]
        if departure is None or residual is None:
            return 0.0
        offset = residual @ departure.gain(at).T
        return offset if self.chance is None else offset + self.chance[:, [member]] * departure.spread(at)

    def log_errors(self, log_density: Numbers) -> Numbers:
        """Return the logarithm of each member's error at its density ``[members]``: ``[truths, members]``."""
        errors = log_errors(self.sizes, self.truths, log_density)
        for member, departure in enumerate(self.departures):
            if departure is not None:
                errors[:, [member]] += self._departing(member, log_density[[member]])
        return errors

    def needed(self, bound: float) -> Numbers:
        """Return the logarithm of the lowest density at which each member meets a bound, ``[truths, members]``.

        Infinity where no density does, minus infinity where every density does.
        """
        here = self._on_this_test_set(bound)
        needed = needed_density(self.sizes, self.truths, here)
        if len(self.truths.theta) == 1:
            members = list(self._looked)
            if members:
                grid, curve = self._looked_together
                needed[0, members] = _crossing(grid, curve, bound, needed[0, members])
            return needed
        for member, departure in enumerate(self.departures):
            if departure is not None:
                grid, curve = self._looked[member]
                needed[:, member] = _crossing(np.broadcast_to(grid, curve.shape), curve, here, needed[:, member])
        return needed

    def _on_this_test_set(self, bound: float) -> float | Numbers:
        """Return the error on this test set that stands for a bound on all examples, ``[truths, 1]``.

        Curves are those of this test set, which all networks share, so that it moves the bound and nothing else.
        """
        if self.test_set is None:
            return bound
        return np.asarray(bound * np.exp(self.test_set * self.shared_examples.noise(bound)))[:, None]

    @cached_property
    def _looked(self) -> dict[int, tuple[Numbers, Numbers]]:
        """The grid of each member with departures, and its curves there ``[truths, places]``."""
        curves = {}
        for member, departure in enumerate(self.departures):
            if departure is not None:
                grid = np.linspace(float(departure.log_density.min()) - 3 * REACH, 0.0, GRID)
                curves[member] = grid, _rising_beyond(grid, self._curve(member, grid), departure.log_density.min())
        return curves

    @cached_property
    def _looked_together(self) -> tuple[Numbers, Numbers]:
        """The grids and curves of all members with departures by the first truth, ``[members, places]`` both."""
        grids, curves = zip(*self._looked.values(), strict=True)
        return np.stack(grids), np.concatenate([curve[:1] for curve in curves])

    def keeping(self, log_density: Numbers, bound: float) -> Numbers:
        """Return the probability that a newly trained network meets the bound, for each member at its density."""
        over = np.log(self._on_this_test_set(bound)) - self.log_errors(log_density)
        return np.asarray(normal_cdf(over / np.maximum(self.spread(log_density), 1e-9)).mean(axis=0))

    def spread(self, log_density: Numbers) -> Numbers:
        """Return how single networks scatter about each member's curve at its density."""
        spread = self.scatter.at(self.sizes, log_density)
        for member, departure in enumerate(self.departures):
            if departure is not None:
                # Uncertain departures are either in the truths, or add to the scatter of networks.
                open_ = 0.0 if self.chance is not None else departure.spread(log_density[[member]])[0]
                spread[member] = np.hypot(departure.single, open_)
        return spread

    def confident(self, bound: float, confidence: float, lowest: Numbers | float = LOWEST_LOG_DENSITY) -> Numbers:
        """Return the logarithm of the lowest density, not below `lowest`, that meets the bound with a confidence.

        One value for each member; infinity where no density does, the unpruned network's among them. Where pruning
        helps before it hurts, densities below 1 may be more confident than 1 itself.
        """
        count = len(self.sizes)
        lowest = np.broadcast_to(np.asarray(lowest, np.float64), count)
        low, high, reached = lowest.copy(), np.zeros(count), np.zeros(count, bool)
        for place in np.linspace(0.0, 1.0, LOOKS):
            at = lowest * (1 - place) ** 2
            sure = self.keeping(at, bound) >= confidence
            high = np.where(sure & ~reached, at, high)
            reached |= sure
            low = np.where(reached, low, at)
            if reached.all():
                break
        at_once = reached & (high <= lowest)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            sure = self.keeping(middle, bound) >= confidence
            low, high = np.where(sure, low, middle), np.where(sure, middle, high)
        return np.where(~reached, np.inf, np.where(at_once, lowest, high))


def _rising_beyond(grid: Numbers, curve: Numbers, sparsest: float) -> Numbers:
    """Return curves ``[truths, places]`` that do not fall again sparser than anything measured.

    Departures smoothed through a steep curve may swing back beyond its last point.
    """
    beyond = int(np.searchsorted(grid, sparsest, "right"))
    swing = curve[:, :beyond][:, ::-1]
    return np.concatenate([np.maximum.accumulate(swing, axis=1)[:, ::-1], curve[:, beyond:]], axis=1)


def _crossing(grid: Numbers, curve: Numbers, bound: float | Numbers, by_law: Numbers) -> Numbers:
    """Return the lowest density at which each curve ``[curves, places]`` with departures meets a bound."""
    over = curve - np.log(bound)
    keeps = over <= 0
    first = np.argmax(keeps, axis=1)
    rows = np.arange(len(over))
    before = np.maximum(first - 1, 0)
    high, low = over[rows, before], over[rows, first]
    share = np.where(high > low, low / np.where(high > low, low - high, 1.0), 0.0)
    crossing = grid[rows, first] - share * (grid[rows, first] - grid[rows, before])
    # Sparser than anything that departures reach, the law is all there is.
    crossing = np.where(first == 0, np.minimum(by_law, grid[:, 0]), crossing)
    return np.asarray(np.where(keeps.any(axis=1), crossing, np.inf))


# Smaller departures from the law are ignored.
LEAST_DEPARTURE = 0.005


def measured_departures(fit: Fit, cells: GroupData) -> dict[tuple[float, float, float], Departure]:
    """Return how each pruned cell departs from the law beyond noise."""
    names = ("depth", "width", "examples")
    off = cells.points.error - form_of(fit).log_error(law_coordinates(fit), cells.points)[0]
    # Without replicates, half of the variance counts as noise and half as departure.
    alone = float(np.std(off)) / np.sqrt(2)
    single = np.full(len(cells), alone) if fit.seed_noise is None else noise_by_cell(cells, fit.seed_noise)
    noise = np.maximum(single / np.sqrt(cells.repeats), LEAST_NOISE)
    amplitude = _amplitude(off, noise)
    if amplitude < LEAST_DEPARTURE:
        return {}
    together = single.min() == single.max()
    parts = np.zeros(len(cells), np.int64) if together else cells.cell
    trained = between_trainings(single[np.unique(parts, return_index=True)[1]], cells, parts)[parts]
    departures = {}
    order = np.argsort(cells.cell, kind="stable")
    for points in np.split(order, np.flatnonzero(np.diff(cells.cell[order])) + 1):
        if len(points) > 1:
            depth, width, examples = (float(getattr(cells, name)[points[0]]) for name in names)
            measured = cells.points.density[points], cells.points.error[points], noise[points]
            departures[depth, width, examples] = Departure(
                *measured, amplitude, float(trained[points[0]]), fit.persistence
            )
    return departures


def _amplitude(off: Numbers, noise: Numbers) -> float:
    """Return the size of departures beyond noise (DerSimonian and Laird's estimate)."""
    weight = 1 / noise**2
    excess = float(weight @ off**2) - len(off)
    return float(np.sqrt(max(0.0, excess / (weight.sum() - float(weight @ weight) / weight.sum()))))
