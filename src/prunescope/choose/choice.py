"""Choose the member of a family to prune, and by how much; or say why there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prunescope.choose.answers import Answer, Answers, Bounded, Declined
from prunescope.choose.counts import COUNTS, amount, rounded
from prunescope.choose.decline import (
    LIKELY,
    decline_above,
    decline_beyond,
    decline_unidentified,
    decline_unreached,
    describe_too_large,
)
from prunescope.choose.description import Pick, PickDescriber, Rival, describe_rivals, find_smallest_unpruned, unit
from prunescope.choose.family import Family, Grid, fit_families
from prunescope.choose.frontier import (
    compare_matching,
    compute_frontier,
    describe_steps,
    find_continuous_optimum,
    frontier_bounds,
)
from prunescope.choose.limits import (
    PICK_BY,
    DeclinedError,
    Limits,
    UnreachedError,
    bound_faults,
    confidence_faults,
    drop_forbidden,
    find_measured_best,
    lowest_allowed,
    lowest_measured,
)
from prunescope.choose.smallest import LOWEST_LOG_DENSITY, Numbers, smallest_member
from prunescope.errors import Fault, InputError, counted, listed, whole_percent
from prunescope.laws.results import is_unjudged, percent
from prunescope.table.schema import Outcome
from prunescope.table.table import outcome_of

# What is said where the number of test examples is not known.
ON_THIS_TEST_SET = (
    "probabilities and intervals are those on this test set: with the column test_examples they allow for another"
)
# Members whose confident densities are computed at once, the smallest first.
TOGETHER = 32


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
    count: str = "parameters",
    pick_by: str | None = None,
    **law: Any,
) -> Answers:
    """Find the pruned network with the fewest parameters whose error is at most `max_error`.

    Parameters
    ----------
    table
        What `read_table` takes: a path, a store, a DataFrame, columns by name.
    confidence
        Probability with which the robust choice meets the bound.
    depths, widths
        Members to choose from: every combination, measured or not. None: the measured ones.
    examples
        Training examples of the members. None: the most that were measured.
    members
        Instead, a table of members: depth, width, and unpruned errors where known.
    min_density, max_parameters, max_multiplications, extrapolate
        See `Limits`.
    law_alone
        Ignore how single members depart from the law, as the first paper does.
    count
        What sizes count: ``parameters``, all that survive, or ``weights``, the prunable ones among them.
    pick_by
        Whether measured networks are picked by ``validation`` or ``test`` errors; None: by validation errors where all
        networks have one.
    **law
        Settings of `laws.JointLaw`.

    Raises
    ------
    InputError
        For invalid settings or an unusable table.
    """
    faults = list(_faults(max_error, outcome_of(table), confidence, min_density, max_parameters, max_multiplications))
    if members is not None and (depths or widths):
        faults.append(Fault("members", "must be named by a table, or by depths and widths, and not by both"))
    for name, value, values in (("count", count, COUNTS), ("pick_by", pick_by, (None, *PICK_BY))):
        if value not in values:
            faults.append(Fault(name, f"must be one of {listed(filter(None, values))}", repr(value)))
    if faults:
        raise InputError("the question", faults)
    grid = Grid(depths, widths, examples, members)
    limits = Limits(min_density, max_parameters, max_multiplications, extrapolate, pick_by)
    fitted, refused, notes = fit_families(table, grid, law, extrapolate, law_alone, count=count)
    answers, declined = [], [Declined(group, why) for group, why in refused]
    for family in fitted:
        try:
            answers.append(answer(family, max_error, confidence, limits))
        except DeclinedError as trouble:
            declined.append(Declined(family.group, str(trouble), trouble.seen))
    return Answers(tuple(answers), tuple(declined), notes)


def _faults(
    max_error: float, outcome: Outcome, confidence: float, min_density: float, *caps: float | None
) -> Iterator[Fault]:
    yield from bound_faults(max_error, outcome)
    yield from confidence_faults(confidence)
    if not 0 <= min_density <= 1:
        yield Fault("the minimum density", "must be between 0 and 1", f"{min_density:g}")
    for name, cap in zip(("parameters", "multiplications"), caps, strict=True):
        if cap is not None and not 0 < cap < float("inf"):
            yield Fault(f"the most {name}", "must be a positive number", f"{cap:g}")


@dataclass(frozen=True)
class _Decision:
    """The decision behind an answer.

    Attributes
    ----------
    family
        The family, with the members that may be chosen.
    floor, needed, density
        Logarithms for each member: the lowest allowed density, the one that the bound needs, the higher of both.
    drawn
        `density` for each draw of law and unpruned errors, ``[truths, members]``.
    best
        The smallest member by its expected error.
    surest, sure
        The smallest member that meets the bound with the requested confidence (-1: none), and each member's density.
    over
        Whether `surest` is larger than allowed.
    """

    family: Family
    floor: Numbers
    needed: Numbers
    density: Numbers
    drawn: Numbers
    best: int
    surest: int
    sure: Numbers
    over: bool

    def choice(self, pick: PickDescriber) -> Pick:
        """Describe the smallest member by its expected error."""
        return pick(self.best, float(self.density[self.best]))

    def robust(self, pick: PickDescriber) -> Pick | None:
        """Describe the smallest member that meets the bound with the requested confidence; None if there is none."""
        return pick(self.surest, float(self.sure[self.surest])) if self.surest >= 0 and not self.over else None


def _decided(family: Family, bound: float, confidence: float, limits: Limits) -> _Decision:
    """Decide, or decline and name the smallest measured network that meets the bound."""
    try:
        return _by_law(family, bound, confidence, limits)
    except DeclinedError as trouble:
        seen = find_measured_best(family, bound, limits)
        if seen is None:
            raise
        if isinstance(trouble, UnreachedError) and not (trouble.unpruned_meets and seen.density == 1):
            words = f"an error of at most {bound:g} was measured: {seen}. The law does not explain it: {trouble.reason}"
            raise DeclinedError(words, seen) from None
        words = f"{trouble}. Smallest measured network that meets {bound:g}: {seen}"
        raise DeclinedError(words, seen) from None


def _by_law(family: Family, bound: float, confidence: float, limits: Limits) -> _Decision:
    decline_above(family, bound)
    family = drop_forbidden(family, limits)
    sizes, curves = family.sizes, family.likeliest
    floor = lowest_allowed(family, limits)
    needed = curves.needed(bound)[0]
    decline_unreached(family, bound, needed)
    density = np.maximum(needed, floor)
    drawn = np.maximum(family.possible.needed(bound), floor)
    parameters = sizes.parameters(density)
    best = int(smallest_member(parameters[None])[0])
    # A member that only just reaches the bound by the likeliest law may not reach it by most others.
    likely = np.isfinite(drawn).mean(axis=0) >= LIKELY
    if (likely & np.isfinite(parameters)).any():
        best = int(smallest_member(np.where(likely, parameters, np.inf)[None])[0])
    decline_beyond(family, bound, density, best, limits)
    if limits.max_parameters is not None and parameters[best] > limits.max_parameters:
        raise DeclinedError(describe_too_large(family, bound, parameters[best], limits, floor))
    decline_unidentified(family, bound, sizes.parameters(drawn), best)
    surest, sure = _sure(family, bound, confidence, density, floor)
    over = surest >= 0 and limits.max_parameters is not None and sizes.parameters(sure)[surest] > limits.max_parameters
    return _Decision(family, floor, needed, density, drawn, best, surest, sure, bool(over))


def choose_at_bounds(family: Family, bounds: Sequence[float], confidence: float, limits: Limits) -> tuple[Bounded, ...]:
    """Return the choice at each of many bounds: the same as `answer` gives, without its other fields."""
    chosen = []
    for bound in bounds:
        try:
            decided = _decided(family, bound, confidence, limits)
        except DeclinedError as trouble:
            chosen.append(Bounded(bound, None, None, str(trouble)))
            continue
        pick = PickDescriber(decided.family, bound, confidence, decided.drawn, decided.floor, limits)
        _, unpruned = find_smallest_unpruned(decided.family, bound, _rivals(decided))
        notes = _all_notes(decided, bound, confidence)
        chosen.append(Bounded(bound, decided.choice(pick), decided.robust(pick), "", unpruned, notes))
    return tuple(chosen)


def answer(family: Family, bound: float, confidence: float, limits: Limits) -> Answer:
    """Answer for one family.

    Raises
    ------
    DeclinedError
        Where there is no network to choose.
    """
    decided = _decided(family, bound, confidence, limits)
    family, floor, best = decided.family, decided.floor, decided.best
    curves = family.likeliest
    pick = PickDescriber(family, bound, confidence, decided.drawn, floor, limits)
    others = _rivals(decided)
    unpruned, whole = find_smallest_unpruned(family, bound, others)
    return Answer(
        group=family.group,
        max_error=bound,
        confidence=confidence,
        choice=decided.choice(pick),
        robust=decided.robust(pick),
        seen=find_measured_best(family, bound, limits),
        unpruned=unpruned,
        unpruned_parameters=whole,
        times_smaller=None if whole is None else whole / float(family.sizes.parameters(decided.density)[best]),
        rivals=others,
        ideal=find_continuous_optimum(family, bound, floor),
        frontier=tuple(
            describe_steps(family, compute_frontier(curves, frontier_bounds(curves, family.measured.error), floor))
        ),
        insight=compare_matching(family, floor, float(family.unpruned.mean[best])),
        unit=unit(family),
        notes=_all_notes(decided, bound, confidence),
        test_examples_by=family.cells.shared_examples.by,
    )


def _rivals(decided: _Decision) -> tuple[Rival, ...]:
    """Describe what pruning each member would come to."""
    family, drawn = decided.family, decided.drawn
    wins = np.bincount(smallest_member(family.sizes.parameters(drawn)) + 1, minlength=len(family) + 1)[1:]
    return describe_rivals(family, decided.density, decided.best, wins / len(drawn))


def _all_notes(decided: _Decision, bound: float, confidence: float) -> tuple[str, ...]:
    """Return everything to heed about a decision."""
    family, best = decided.family, decided.best
    notes = _notes(family, bound, best, float(decided.needed[best]))
    smallest = int(smallest_member(family.sizes.parameters(decided.density)[None])[0])
    if smallest != best:
        share = float(np.isfinite(decided.drawn[:, smallest]).mean())
        notes.append(
            f"{family.name(smallest)} would be smaller by the likeliest law, but reaches the bound in only "
            f"{whole_percent(share)} of the laws that the data allow"
        )
    notes += _counted_otherwise(decided, bound, confidence)
    if decided.surest < 0:
        notes.append("no member meets the bound with the requested confidence, pruned or not")
    if decided.over:
        most = amount(float(family.sizes.parameters(decided.sure)[decided.surest]))
        notes.append(f"meeting the bound with the requested confidence takes {most} {family.count}, more than allowed")
    if family.cells.test_examples is None and family.cells.is_error:
        notes.append(ON_THIS_TEST_SET)
    return tuple(notes)


def _sure(family: Family, bound: float, confidence: float, density: Numbers, floor: Numbers) -> tuple[int, Numbers]:
    """Return the smallest member that meets the bound with a confidence (-1: none), and each member's density for it.

    No member is more confident below its expected density, so members already larger there are skipped.
    """
    expected = family.sizes.parameters(density)
    order = np.argsort(expected)
    sure, best = np.full(len(family), np.inf), -1
    for chosen in np.array_split(order, -(-len(order) // TOGETHER)):
        some = np.zeros(len(family), bool)
        some[chosen] = np.isfinite(expected[chosen])
        if best >= 0:
            some &= expected < family.sizes.parameters(sure)[best]
        if some.any():
            densities = family.possible.pick(np.flatnonzero(some)).confident(
                bound, confidence, np.maximum(floor[some], LOWEST_LOG_DENSITY)
            )
            sure[some] = np.maximum(densities, density[some])
            best = int(smallest_member(family.sizes.parameters(sure)[None])[0])
    return best, sure


def _counted_otherwise(decided: _Decision, bound: float, confidence: float) -> Iterator[str]:
    """Say which members would be chosen if sizes were counted the other way, where those are others."""
    family, other = decided.family, decided.family.swapped()
    if np.array_equal(family.sizes.rest, other.sizes.rest):
        return
    choices = [("the expected choice", decided.best, decided.density)]
    if decided.surest >= 0:
        # Densities for a confidence are known only of members that could be the smallest, as counted here.
        again = len(family) > TOGETHER
        sure = _sure(other, bound, confidence, decided.density, decided.floor)[1] if again else decided.sure.copy()
        sure[decided.surest] = decided.sure[decided.surest]
        choices.append((f"the choice at {whole_percent(confidence)} sure", decided.surest, sure))
    for which, member, density in choices:
        sizes = other.sizes.parameters(density)
        smallest = int(smallest_member(sizes[None])[0])
        if smallest not in (member, -1):
            theirs, ours = (
                amount(rounded(float(sizes[place]), family.counts[place].how)) for place in (smallest, member)
            )
            yield (
                f"counted in {other.count}, {which} would be {family.name(smallest)} at density "
                f"{np.exp(density[smallest]):.4g}: {theirs} against {ours} of {family.name(member)}; --count "
                f"{other.count} chooses it"
            )


def _notes(family: Family, bound: float, best: int, needed: float) -> list[str]:
    """Return the notes of an answer."""
    notes = []
    if family.left_out:
        notes.append(
            f"{counted(family.left_out, 'member')} left out: more than 2 times outside the depths and widths measured "
            "under pruning, or another depth or width where only one was; --extrapolate includes them"
        )
    for name, (low, high), values in (
        ("depth", family.measured.depth, family.depth),
        ("width", family.measured.width, family.width),
    ):
        if low == high and (values != low).any():
            notes.append(
                f"all networks measured under pruning have {name} {low:g}: for another the law assumes "
                f"that {name} does not matter"
            )
    if family.unweighed:
        notes.append(
            f"unpruned errors are smoothed over the {len(family.unpruned_model.smooth.cells.depth):,} cells nearest to "
            f"the members; {family.unweighed:,} others count only through the law of unpruned networks"
        )
    predicted = sum(known == "predicted" for known in family.known)
    if predicted:
        notes.append(
            f"the unpruned errors of {counted(predicted, 'member')} were never measured; expected by "
            f"{family.unpruned_model.expectation.words}"
        )
    beyond = float(np.exp(lowest_measured(family)[best] - needed))
    if beyond > 1 + 1e-6:
        notes.append(f"the choice is pruned {beyond:.3g} times further than any measured network: the law extrapolates")
    if is_unjudged(family.fit, family.cells):
        points = counted(int((family.cells.density < 1).sum()), "pruned point")
        notes.append(
            f"{points} for {counted(len(family.fit.intervals), 'parameter')}: the law fits any measurements, and "
            "the stated probability is too confident; measure more densities"
        )
    if (spread := family.fit.std_deviation) > 0.1:
        notes.append(f"the law is off by {percent(spread)} (sigma): trust the probability more than the point")
    return notes
