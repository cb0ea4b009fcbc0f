"""What a choice must satisfy beside the error bound, and the smallest measured network that does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from prunescope.choose.counts import Member, rounded
from prunescope.choose.family import Family
from prunescope.choose.smallest import LOWEST_LOG_DENSITY, Numbers
from prunescope.errors import Fault, InputError, PrunescopeError
from prunescope.table.schema import ERROR, Outcome


@dataclass(frozen=True)
class MeasuredBest(Member):
    """The smallest measured network that meets a bound in the mean over replicates.

    Attributes
    ----------
    error
        Its test error in that mean.
    repeats
        Networks behind the mean.
    by
        The errors that it was picked by: ``validation`` or ``test``.
    validation
        Its mean validation error, where it was picked by that.
    """

    depth: int | None
    width: float | None
    density: float
    error: float
    repeats: int
    parameters: float
    by: str = "test"
    validation: float | None = None

    def __str__(self) -> str:
        mean = "" if self.repeats == 1 else f", the mean of {self.repeats}"
        error = f"error {self.error:.4g}{mean}"
        if self.validation is None:
            words = f"{error}; picked by that same error"
        else:
            words = f"test {error}; picked by its validation error, {self.validation:.4g}"
        return f"{self.name} {'unpruned' if self.density == 1 else f'at density {self.density:.4g}'} ({words})"


class DeclinedError(PrunescopeError):
    """The law gives no choice; the text says why and what would help.

    Attributes
    ----------
    seen
        The smallest measured network that meets the bound, if any.
    """

    def __init__(self, why: str, seen: MeasuredBest | None = None) -> None:
        super().__init__(why)
        self.seen = seen


class UnreachedError(DeclinedError):
    """By the law no pruned network meets the bound.

    Attributes
    ----------
    reason
        Why not, in words that can stand beside a network that was measured to meet it.
    unpruned_meets
        Whether some network is expected to meet it unpruned.
    """

    def __init__(self, why: str, reason: str, unpruned_meets: bool) -> None:
        super().__init__(why)
        self.reason, self.unpruned_meets = reason, unpruned_meets


@dataclass(frozen=True)
class Limits:
    """Constraints on a choice beside the error.

    Attributes
    ----------
    min_density
        The lowest allowed density.
    max_parameters
        The most parameters that may survive.
    max_multiplications
        The most for one example through the unpruned member, which masks alone do not lower.
    extrapolate
        Whether to allow choices far beyond the measurements.
    pick_by
        Whether measured networks are picked by ``validation`` or ``test`` errors; None: by validation errors where all
        have one.
    """

    min_density: float = 0.0
    max_parameters: float | None = None
    max_multiplications: float | None = None
    extrapolate: bool = False
    pick_by: str | None = None


PICK_BY = ("validation", "test")


def picked_by(validation: Numbers, limits_by: str | None, source: str, column: str = "validation_error") -> str:
    """Return what measured networks are picked by, given their validation errors (NaN where there is none)."""
    complete = bool(len(validation)) and bool(np.isfinite(validation).all())
    if limits_by == "validation" and not complete:
        hint = "Without it, networks are picked by test errors (--pick-by test)."
        raise InputError(
            source, [Fault(f"column {column!r}", "must be known for all networks to pick by it", hint=hint)]
        )
    return limits_by or ("validation" if complete else "test")


def bound_faults(max_error: float, outcome: Outcome = ERROR) -> Iterator[Fault]:
    """Yield what is wrong with a bound on the error, or on what a table takes for it."""
    if not outcome.is_error:
        if not 0 < max_error < float("inf"):
            yield Fault(f"the bound on {outcome.name}", "must be a positive number", f"{max_error:g}")
    elif not 0 < max_error < 1:
        hint = f"Errors are fractions: {max_error:g} % is {max_error / 100:g}." if 1 <= max_error < 100 else ""
        yield Fault("the bound on the error", "must be between 0 and 1", f"{max_error:g}", hint)


def confidence_faults(confidence: float) -> Iterator[Fault]:
    """Yield what is wrong with a confidence."""
    if not 0.5 <= confidence <= 0.999:
        hint = f"Did you mean {confidence / 100:g}?" if 50 <= confidence < 100 else ""
        yield Fault("the confidence", "must be between 0.5 and 0.999", f"{confidence:g}", hint)


def lowest_allowed(family: Family, limits: Limits) -> Numbers:
    """Return the logarithm of each member's lowest allowed density."""
    lowest = np.log(limits.min_density) if limits.min_density > 0 else LOWEST_LOG_DENSITY
    floor = np.maximum(lowest, -np.log(np.maximum(family.sizes.prunable, 1.0)))
    if any(count.how == "relative" for count in family.counts):
        floor = np.full(len(family), lowest)
    return np.asarray(np.minimum(floor, 0.0))


def drop_forbidden(family: Family, limits: Limits) -> Family:
    """Return the family without members that exceed the multiplications."""
    if limits.max_multiplications is None:
        return family
    known = np.array([count.multiplications for count in family.counts])
    if np.isnan(known).any():
        hint = "They are known for families that prunescope trains: columns `family` and `dataset` name them."
        raise InputError("the cap on multiplications", [Fault("this family's", "must be known", hint=hint)])
    allowed = known <= limits.max_multiplications
    if not allowed.any():
        raise DeclinedError(
            f"no member takes {limits.max_multiplications:,.0f} multiplications or fewer: the least is "
            f"{known.min():,.0f} ({family.name(int(known.argmin()))})"
        )
    return family.only(allowed)


def lowest_measured(family: Family) -> Numbers:
    """Return the logarithm of the density at which each member's invariant is the smallest that was measured."""
    phi, psi = family.fit.parameters["phi"], family.fit.parameters["psi"]
    return np.asarray(family.measured.invariant - phi * np.log(family.depth) - psi * np.log(family.width))


def find_measured_best(family: Family, bound: float, limits: Limits) -> MeasuredBest | None:
    """Return the smallest measured network that meets a bound in the mean over replicates.

    Where validation errors pick it and none meets the bound, test errors do.
    """
    by = picked_by(family.cells.validation, limits.pick_by, "the measured networks")
    if by == "validation":
        best = _smallest_that_meets(family, bound, limits, by)
        if best is not None or limits.pick_by == "validation":
            return best
    return _smallest_that_meets(family, bound, limits, "test")


def _smallest_that_meets(family: Family, bound: float, limits: Limits, by: str) -> MeasuredBest | None:
    cells, best, smallest = family.cells, np.inf, None
    judged = cells.validation if by == "validation" else cells.error
    keeps = (cells.examples == float(family.examples or 1)) & (judged <= bound) & (cells.density >= limits.min_density)
    keeps = np.flatnonzero(keeps)
    depth, width = cells.depth[keeps], cells.width[keeps]
    for member in range(len(family)):
        count = family.counts[member]
        if limits.max_multiplications is not None and not count.multiplications <= limits.max_multiplications:
            continue
        here = keeps[(depth == family.depth[member]) & (width == family.width[member])].tolist()
        measured = [
            (float(cells.density[place]), float(cells.error[place]), int(cells.repeats[place]), float(judged[place]))
            for place in here
        ]
        unpruned, repeats = family.unpruned_measured(member)
        if by == "test" and unpruned is not None and unpruned <= bound:
            measured.append((1.0, unpruned, repeats, unpruned))
        for density, error, behind, judged_error in measured:
            parameters = count.rest + count.prunable * density
            if parameters < min(best, limits.max_parameters or np.inf):
                best = parameters
                smallest = MeasuredBest(
                    depth=family.depth_of(member),
                    width=family.width_of(member),
                    density=density,
                    error=error,
                    repeats=behind,
                    parameters=rounded(parameters, count.how),
                    by=by,
                    validation=judged_error if by == "validation" else None,
                )
    return smallest
