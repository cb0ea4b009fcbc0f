"""Many families beside each other, those on the same data asked for the same error; and the bounds of any report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prunescope.choose.answers import Bounded
from prunescope.choose.description import Pick
from prunescope.report.figures.figure import is_identified
from prunescope.report.figures.glance import Glance, glance
from prunescope.report.groups import ReportGroup, decide_all
from prunescope.report.provenance import ReportOptions

# Bounds that are asked for, besides the one that the report is about.
HOW_MANY = 32
# The report is about this many times the lowest unpruned error, unless a bound is named or errors rise less than that.
USUAL = 1.25
# No bound beyond this share of the high plateau: every network keeps it.
BELOW_PLATEAU = 0.95


def usual_bound(group: ReportGroup) -> float:
    """Return the bound that a report is about where none is named."""
    lowest = group.cells.unpruned if np.isfinite(group.cells.unpruned).all() else group.cells.error
    low, high = float(lowest.min()), float(group.cells.error.max())
    return float(f"{min(USUAL * low, (low * max(low, high)) ** 0.5):.3g}")


def bounds_for(group: ReportGroup, bound: float) -> tuple[float, ...]:
    """Return round bounds from just above the lowest unpruned error to the highest error, `bound` among them."""
    if group.fit is None:
        return ()
    low = float(group.cells.unpruned.min()) * 1.01
    high = min(float(group.cells.error.max()), BELOW_PLATEAU * group.fit.parameters["eps_up"])
    if not low < high:
        return (bound,)
    bounds = {float(f"{value:.3g}") for value in np.geomspace(low, high, HOW_MANY).tolist()}
    return tuple(sorted(bounds | {bound}))


# Where among the bounds that families would be asked for by themselves the common one is sought.
QUANTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class FamilyAnswer:
    """A family with its choice at the bound that all families on its data are asked for."""

    group: ReportGroup
    choice: Bounded

    @property
    def pick(self) -> Pick | None:
        """The network to train: the confident one where there is one."""
        return self.choice.robust or self.choice.choice


@dataclass(frozen=True)
class FamilyLine:
    """One family of many.

    Attributes
    ----------
    name, whole_name
        What tells it from the others; all that is known of it.
    chapter
        The number of its chapter; None where it has none.
    unpruned
        The lowest error of its unpruned networks; None where there are none.
    sigma
        How far its law is off; None without a law.
    parameters
        Those of the law that vary and that the data identify.
    """

    name: str
    whole_name: str
    chapter: int | None
    points: int
    unpruned: float | None
    sigma: float | None
    parameters: tuple[tuple[str, float], ...]
    choice: Bounded
    pick: Pick | None


@dataclass(frozen=True)
class Overview:
    """All families of a table.

    Attributes
    ----------
    bounds
        The error that is asked for on each dataset; one without a name where the table names none.
    confidence, noun
        As a slider has them.
    """

    lines: tuple[FamilyLine, ...]
    bounds: tuple[tuple[str, float], ...]
    confidence: float
    noun: str
    figure: Glance


def rank(group: ReportGroup, pick: Pick | None) -> tuple[int, bool, bool, float]:
    """Put families with most points first; among equals those that answer, with the smallest network."""
    points = -len(group.cells)
    if pick is None:
        return points, True, True, 0.0
    # Parameters that were counted and units of depth and width are not to be compared.
    return points, False, pick.counted == "relative", pick.parameters


def ask_all(groups: Sequence[ReportGroup], options: ReportOptions) -> tuple[FamilyAnswer, ...]:
    """Return the choice of each family, those on the same data at one bound, in the order of the report."""
    answers: list[FamilyAnswer] = []
    for dataset in dict.fromkeys(map(_dataset, groups)):
        beside = [group for group in groups if _dataset(group) == dataset]
        bounds = _bounds(beside, options)
        choices = [_choices(group, bounds, options) for group in beside]
        best = max(range(len(bounds)), key=lambda place: _met([row[place] for row in choices]))
        answers += (FamilyAnswer(group, row[best]) for group, row in zip(beside, choices, strict=True))
    return tuple(sorted(answers, key=lambda answer: rank(answer.group, answer.choice.choice)))


def overview(answers: Sequence[FamilyAnswer], chapters: int, options: ReportOptions) -> Overview:
    """Return the overview of families in the order of the report, of which the first have chapters."""
    lines = tuple(_line(answer, place if place <= chapters else None) for place, answer in enumerate(answers, start=1))
    bounds = dict.fromkeys((_dataset(answer.group), answer.choice.max_error) for answer in answers)
    groups = [answer.group for answer in answers]
    return Overview(lines, tuple(bounds), options.confidence, options.count, glance(groups))


def _dataset(group: ReportGroup) -> str:
    return str(group.group.get("dataset") or "")


def _bounds(groups: Sequence[ReportGroup], options: ReportOptions) -> tuple[float, ...]:
    if options.max_error is not None:
        return (options.max_error,)
    usual = np.quantile([usual_bound(group) for group in groups], QUANTILES).tolist()
    return tuple(sorted({float(f"{bound:.3g}") for bound in usual}))


def _choices(group: ReportGroup, bounds: tuple[float, ...], options: ReportOptions) -> tuple[Bounded, ...]:
    choices = decide_all(group, bounds, options.confidence, options.pick_by)
    return choices or tuple(Bounded(bound, None, None, group.why) for bound in bounds)


def _met(choices: Sequence[Bounded]) -> tuple[int, int, float]:
    """Prefer bounds that most families meet with confidence, then by expected error; among equals the lowest."""
    confident = sum(choice.robust is not None for choice in choices)
    return confident, sum(choice.choice is not None for choice in choices), -choices[0].max_error


def _line(answer: FamilyAnswer, chapter: int | None) -> FamilyLine:
    group, fit = answer.group, answer.group.fit
    unpruned = group.cells.unpruned
    parameters = () if fit is None else tuple(
        (name, value)
        for name, value in fit.parameters.items()
        if name not in fit.fixed and is_identified(fit, name)
    )  # fmt: skip
    return FamilyLine(
        group.short or group.name,
        group.name,
        chapter,
        len(group.cells),
        float(unpruned.min()) if np.isfinite(unpruned).all() else None,
        None if fit is None else fit.std_deviation,
        parameters,
        answer.choice,
        answer.pick,
    )
