"""A chosen member in numbers: interval, probability, rung, and its rivals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from prunescope.choose.counts import Member, rounded
from prunescope.choose.family import Family
from prunescope.choose.limits import Limits
from prunescope.choose.smallest import Numbers
from prunescope.distributions import normal_quantile
from prunescope.laws.data import GroupData


@dataclass(frozen=True)
class Pick(Member):
    """A member pruned to a density.

    Attributes
    ----------
    depth, width, examples
        Which member; None where the table does not have the column.
    known
        ``pruned``: measured under pruning; ``dense``: its unpruned error alone was measured; ``predicted``: neither.
    counted
        ``counted``: parameters are exact; ``estimated`` from other members; ``relative``: units of
        ``depth width^2``.
    density, density_low, density_high
        The lowest density that meets the bound by the law, and its interval.
    rung, rung_density
        The sparsest rung that meets the bound, and its density; None where the steps of ladders are uneven.
    error, low, high
        Expected error of a newly trained network at `density`, and its interval.
    probability
        Probability that a newly trained network at `density` meets the bound.
    parameters, parameters_low, parameters_high
        All that survive at `density`, and at its interval's ends.
    unpruned_parameters, unpruned_error
        Of the member before pruning.
    multiplications
        For one example through the unpruned network; None if unknown.
    limit
        What sets the density instead of the bound, in words; empty if the bound does.
    unpruned_measured, unpruned_repeats
        Its unpruned error as measured, in the mean over so many networks; None without any.
    """

    depth: int | None
    width: float | None
    examples: int | None
    known: str
    counted: str
    density: float
    density_low: float
    density_high: float
    rung: int | None
    rung_density: float | None
    error: float
    low: float
    high: float
    probability: float
    parameters: float
    parameters_low: float
    parameters_high: float
    unpruned_parameters: float
    unpruned_error: float
    multiplications: float | None
    limit: str = ""
    unpruned_measured: float | None = None
    unpruned_repeats: int = 0


@dataclass(frozen=True)
class Rival(Member):
    """The result of pruning another member, by the law.

    Attributes
    ----------
    density, parameters
        None where the member does not reach the bound.
    times
        How many times as large as the choice.
    best_in
        Share of the draws in which this member is the smallest.
    unpruned_measured, unpruned_repeats
        As for `Pick`.
    """

    depth: int | None
    width: float | None
    known: str
    unpruned_error: float
    density: float | None
    parameters: float | None
    times: float | None
    best_in: float
    unpruned_measured: float | None = None
    unpruned_repeats: int = 0


# Steps of a ladder count as even when their ratios agree to this share.
EVEN = 0.05
# Members above which one is described by its own curve; computed together, sums over truths round differently.
MANY = 100


@dataclass(frozen=True)
class PickDescriber:
    """Describes a member at a density."""

    family: Family
    bound: float
    confidence: float
    drawn: Numbers
    floor: Numbers
    limits: Limits

    def __call__(self, member: int, log_density: float) -> Pick:
        """Describe it."""
        family = self.family
        count = family.counts[member]
        likeliest, possible, place = family.likeliest, family.possible, member
        if len(family) > MANY:
            alone = np.array([member])
            likeliest, possible, place = likeliest.pick(alone), possible.pick(alone), 0
        at = np.full(len(likeliest.sizes), log_density)
        error = float(likeliest.log_errors(at)[0, place])
        tail = (1 - self.confidence) / 2
        drawn = np.quantile(possible.log_errors(at)[:, place], [tail, 1 - tail])
        low, high = self._error_interval(error, drawn, float(likeliest.spread(at)[place]))
        densities = np.minimum(self.drawn[:, member], 0.0)
        ends = np.quantile(densities, [tail, 1 - tail])
        # The interval is about the density that the bound needs; it shifts with a more confident one.
        needed = max(float(likeliest.needed(self.bound)[0, place]), self.floor[member])
        ends = np.minimum(ends + (log_density - needed), 0.0)
        ends = np.array([min(ends[0], log_density), max(ends[1], log_density)])
        surviving = [float(count.rest + count.prunable * np.exp(level)) for level in (log_density, *ends)]
        rung = self._rung(log_density)
        measured, repeats = family.unpruned_measured(member)
        return Pick(
            depth=family.depth_of(member),
            width=family.width_of(member),
            examples=family.examples,
            known=family.known[member],
            counted=count.how,
            density=float(np.exp(log_density)),
            density_low=float(np.exp(ends[0])),
            density_high=float(np.exp(ends[1])),
            rung=None if rung is None else rung[0],
            rung_density=None if rung is None else rung[1],
            error=float(np.exp(error)),
            low=low,
            high=high,
            probability=float(possible.keeping(at, self.bound)[place]),
            parameters=rounded(surviving[0], count.how),
            parameters_low=rounded(surviving[1], count.how),
            parameters_high=rounded(surviving[2], count.how),
            unpruned_parameters=rounded(count.rest + count.prunable, count.how),
            unpruned_error=float(np.exp(family.unpruned.mean[member])),
            multiplications=None if np.isnan(count.multiplications) else count.multiplications,
            limit=self._limit(member, log_density),
            unpruned_measured=measured,
            unpruned_repeats=repeats,
        )

    def _error_interval(self, error: float, drawn: Numbers, spread: float) -> tuple[float, float]:
        low, high = drawn
        common = float(self.family.cells.shared_examples.noise(float(np.exp(error))))
        scatter = normal_quantile(self.confidence) * float(np.hypot(spread, common))
        below = np.hypot(error - min(low, error), scatter)
        above = np.hypot(max(high, error) - error, scatter)
        most = 1.0 if self.family.cells.is_error else np.inf
        return float(np.exp(error - below)), float(min(most, np.exp(error + above)))

    @cached_property
    def _step(self) -> float | None:
        return rung_step(self.family.cells)

    def _rung(self, log_density: float) -> tuple[int, float] | None:
        """Return the sparsest rung of an even ladder that is no sparser than a density, and its density."""
        if self._step is None:
            return None
        rung = max(0, int(np.floor(log_density / self._step + 1e-9)))
        return rung, float(np.exp(rung * self._step))

    def _limit(self, member: int, log_density: float) -> str:
        if log_density > self.floor[member] + 1e-9:
            return ""
        if self.limits.min_density > 0 and log_density <= np.log(self.limits.min_density) + 1e-9:
            return "the minimum density asked for"
        return "a single weight is left"


def rung_step(cells: GroupData) -> float | None:
    """Return the logarithm of the density that each rung keeps of the last one, where rungs are even."""
    order = np.lexsort((-cells.density, cells.cell))
    density, cell = np.log(cells.density[order]), cells.cell[order]
    steps = np.diff(density)[np.diff(cell) == 0]
    if len(steps) < 2:
        return None
    middle = float(np.median(steps))
    return middle if middle < 0 and np.mean(np.abs(steps / middle - 1) < EVEN) > 0.7 else None


def describe_rivals(family: Family, density: Numbers, best: int, wins: Numbers) -> tuple[Rival, ...]:
    """Describe the result of pruning each member, the smallest first."""
    parameters = family.sizes.parameters(density)
    order = np.lexsort((family.sizes.prunable, parameters))
    entries = []
    for member in order.tolist():
        reached = bool(np.isfinite(parameters[member]))
        measured, repeats = family.unpruned_measured(member)
        entries.append(
            Rival(
                depth=family.depth_of(member),
                width=family.width_of(member),
                known=family.known[member],
                unpruned_error=float(np.exp(family.unpruned.mean[member])),
                density=float(np.exp(density[member])) if reached else None,
                parameters=rounded(float(parameters[member]), family.counts[member].how) if reached else None,
                times=float(parameters[member] / parameters[best]) if reached else None,
                best_in=float(wins[member]),
                unpruned_measured=measured,
                unpruned_repeats=repeats,
            )
        )
    return tuple(entries)


def find_smallest_unpruned(
    family: Family, bound: float, describe_rivals: tuple[Rival, ...]
) -> tuple[Rival | None, float | None]:
    """Return the smallest member that meets the bound unpruned, and its parameters; None where none does.

    What was measured to meet it does, whatever is expected.
    """
    whole = family.sizes.prunable + family.sizes.rest
    measured = np.array([family.unpruned_measured(member)[0] or np.inf for member in range(len(family))])
    keeps = np.where((family.unpruned.mean <= np.log(bound)) | (measured <= bound), whole, np.inf)
    member = int(keeps.argmin())
    if not np.isfinite(keeps[member]):
        return None, None
    same = (family.depth_of(member), family.width_of(member))
    return next(rival for rival in describe_rivals if (rival.depth, rival.width) == same), float(whole[member])


def unit(family: Family) -> str:
    """Return the unit of the parameters."""
    kinds = {count.how for count in family.counts}
    if "relative" in kinds:
        parts = [factor for factor, there in (("depth", family.has_depth), ("width^2", family.has_width)) if there]
        return " x ".join([*parts, "density"]) if parts else "share of the prunable weights"
    return (
        f"{family.count}, estimated for members that the table does not count" if "estimated" in kinds else family.count
    )


def short_unit(family: Family) -> str:
    """Return the unit for use within a sentence."""
    relative = any(count.how == "relative" for count in family.counts)
    return f"in units of {unit(family)}" if relative else family.count


# Expected and measured errors that differ by less than this share are told once.
SAME_ERROR = 1e-3


def beside_measured(expected: float, measured: float | None, repeats: int) -> str:
    """Return the measured error as it stands behind an expected one; nothing where they agree."""
    if measured is None or abs(expected / measured - 1) < SAME_ERROR:
        return ""
    return f"; measured {measured:.4g}{'' if repeats == 1 else f', the mean of {repeats}'}"
