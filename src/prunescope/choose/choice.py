"""Which member of a family to prune, and by how much: from a table to an answer, or to why there is none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from prunescope.choose.decline import (
    decline_above,
    decline_beyond,
    decline_unidentified,
    decline_unreached,
    too_large,
)
from prunescope.choose.describe import Picker, rivals, smallest_unpruned, unit
from prunescope.choose.family import Family, Grid, families
from prunescope.choose.frontier import bounds_of, frontier, insight, steps
from prunescope.choose.ideal import ideal
from prunescope.choose.limits import Limits, allowed_by, floor_of, reach
from prunescope.choose.results import Answer, Answers, Declined, DeclinedError
from prunescope.choose.smallest import NOTHING, smallest
from prunescope.errors import Fault, InputError, counted
from prunescope.laws.results import percent


def smallest_network(
    table: Any,
    max_error: float,
    *,
    confidence: float = 0.9,
    depths: tuple[int, ...] | None = None,
    widths: tuple[float, ...] | None = None,
    examples: int | None = None,
    members: Any = None,
    min_density: float = 0.0,
    max_parameters: float | None = None,
    max_multiplications: float | None = None,
    extrapolate: bool = False,
    law_alone: bool = False,
    **law: Any,
) -> Answers:
    """Find the pruned network with the fewest parameters whose error is at most `max_error`.

    Parameters
    ----------
    table
        What `read_table` takes: a path, a store, a DataFrame, columns by name.
    confidence
        How surely the robust choice keeps the bound.
    depths, widths
        Members to choose from, every combination, measured or not; None is what was measured.
    examples
        Training examples of the members; None is the most that were measured.
    members
        A table of members instead: depth, width, and unpruned errors where they are known.
    min_density, max_parameters, max_multiplications, extrapolate
        See `Limits`.
    law_alone
        Leave out of account how single members depart from the law, as the first paper does.
    **law
        Settings of `laws.JointLaw`.

    Raises
    ------
    InputError
        Where settings or table cannot be used.
    """
    faults = list(_faults(max_error, confidence, min_density))
    if faults:
        raise InputError("the question", faults)
    grid = Grid(depths, widths, examples, members)
    limits = Limits(min_density, max_parameters, max_multiplications, extrapolate)
    found, refused, notes = families(table, grid, law, extrapolate, law_alone)
    answers, declined = [], [Declined(group, why) for group, why in refused]
    for family in found:
        try:
            answers.append(answer(family, max_error, confidence, limits))
        except DeclinedError as trouble:
            declined.append(Declined(family.group, str(trouble)))
    return Answers(tuple(answers), tuple(declined), notes)


def _faults(max_error: float, confidence: float, min_density: float) -> Iterator[Fault]:
    if not 0 < max_error < 1:
        hint = f"Errors are fractions: {max_error:g} % is {max_error / 100:g}." if 1 <= max_error < 100 else ""
        yield Fault("the bound on the error", "must be between 0 and 1", f"{max_error:g}", hint)
    if not 0.5 <= confidence < 1:
        yield Fault("the confidence", "must be at least 0.5 and below 1", f"{confidence:g}")
    if not 0 <= min_density <= 1:
        yield Fault("the minimum density", "must be between 0 and 1", f"{min_density:g}")


def answer(family: Family, bound: float, confidence: float, limits: Limits) -> Answer:
    """Answer for one family.

    Raises
    ------
    DeclinedError
        Where there is no network to choose.
    """
    sizes, curves, possible = family.sizes, family.likeliest, family.possible
    floor = floor_of(family, limits)
    decline_above(family, bound)
    needed = curves.needed(bound)[0]
    allowed = allowed_by(family, limits)
    decline_unreached(family, bound, needed, allowed)
    decline_beyond(family, bound, np.where(allowed, needed, np.inf), limits)
    density = np.where(allowed, np.maximum(needed, floor), np.inf)
    parameters = sizes.parameters(density)
    best = int(smallest(parameters[None])[0])
    if limits.max_parameters is not None and parameters[best] > limits.max_parameters:
        raise DeclinedError(too_large(family, bound, parameters[best], limits, floor, allowed))
    drawn = np.where(allowed, np.maximum(possible.needed(bound), floor), np.inf)
    decline_unidentified(family, bound, sizes.parameters(drawn), best)
    sure = possible.confident(bound, confidence, np.maximum(floor, NOTHING))
    sure = np.where(allowed, sure, np.inf)
    surest = int(smallest(sizes.parameters(sure)[None])[0])
    wins = np.bincount(smallest(sizes.parameters(drawn)) + 1, minlength=len(family) + 1)[1:] / len(drawn)
    pick = Picker(family, bound, confidence, drawn, floor, limits)
    others = rivals(family, density, best, wins)
    unpruned, whole = smallest_unpruned(family, bound, others)
    curve = frontier(curves, bounds_of(curves, family.measured.error), floor)
    return Answer(
        group=dict(family.group),
        max_error=bound,
        confidence=confidence,
        choice=pick(best, float(density[best])),
        robust=pick(surest, float(sure[surest])) if surest >= 0 else None,
        unpruned=unpruned,
        unpruned_parameters=whole,
        times_smaller=whole / float(parameters[best]),
        rivals=others,
        ideal=ideal(family, bound, floor),
        frontier=tuple(steps(family, curve)),
        insight=insight(family, floor, float(family.unpruned.mean[best])),
        unit=unit(family),
        notes=tuple(_notes(family, bound, best, float(needed[best]), surest)),
    )


def _notes(family: Family, bound: float, best: int, needed: float, surest: int) -> list[str]:
    notes = []
    if family.left_out:
        notes.append(
            f"{counted(family.left_out, 'member')} left out: more than 2 times outside the depths and widths measured "
            "under pruning; --extrapolate takes them in"
        )
    predicted = sum(each == "predicted" for each in family.known)
    if predicted:
        notes.append(
            f"the unpruned errors of {counted(predicted, 'member')} were never measured; expected by "
            f"{family.told.expectation.words}"
        )
    beyond = float(np.exp(reach(family)[best] - needed))
    if beyond > 1 + 1e-6:
        notes.append(
            f"the choice is pruned {beyond:.3g} times further than any network measured: the law is carried on there"
        )
    if surest < 0:
        notes.append("no member keeps the bound with the confidence asked, not even unpruned")
    if (spread := family.fit.std_deviation) > 0.1:
        notes.append(f"the law is off by {percent(spread)} (sigma): mind the probability more than the point")
    return notes
