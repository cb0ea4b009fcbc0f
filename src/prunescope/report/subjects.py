"""The door from tables: which families there are, the law of each, its members, or what stands in the way.

A family whose law cannot be fitted is still a subject: its measurements are shown, and why there is no law.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from prunescope.choose.choice import answer, choices
from prunescope.choose.family import Family, Grid, families
from prunescope.choose.limits import Limits
from prunescope.choose.results import Answer, Bounded, DeclinedError
from prunescope.errors import InputError, PrunescopeError, counted, named
from prunescope.laws import Fit
from prunescope.laws.measured import Measured
from prunescope.laws.points import EXPLAINED, sample
from prunescope.table import Table

# Columns whose values name a family to people; the rest of its group is told where it differs between families.
SPOKEN = ("family", "dataset", "label_noise", "treatment")
USUAL = {"label_noise": (0, None), "treatment": ("imp", None)}


@dataclass(frozen=True)
class Subject:
    """One family of a table.

    Attributes
    ----------
    name
        In words.
    group
        Values of the columns that tell it from others.
    cells
        Its measurements.
    known
        Of depth, width and examples, those that the table has.
    fit, family
        Its law and its members; None where there are none.
    why
        Why there is no law, or no choice; empty where there are both.
    """

    name: str
    group: Mapping[str, Any]
    cells: Measured
    known: tuple[str, ...]
    fit: Fit | None
    family: Family | None
    why: str


@dataclass(frozen=True)
class Subjects:
    """The families of a table, the largest first, and what was decided on the way."""

    all: tuple[Subject, ...]
    notes: tuple[str, ...]
    missing: tuple[str, ...]


def subjects(rows: Table) -> Subjects:
    """Return the families of a table; what cannot be used is told, and never keeps the rest from being shown."""
    missing: list[str] = []
    usable = _usable(rows, missing)
    if not len(usable):
        return Subjects((), (), tuple(missing))
    found = sample(usable, joint=True)
    notes = list(found.notes)
    made: dict[tuple[Any, ...], Family] = {}
    refused: dict[tuple[Any, ...], str] = {}
    if not missing or "unpruned" not in missing[-1]:
        try:
            fitted, declined, told = families(usable, Grid(), {})
            notes = list(told)
            made = {tuple(each.group.items()): each for each in fitted}
            refused = {tuple(group.items()): why for group, why in declined}
        except InputError as trouble:
            refused = dict(_by_place(found.groups, trouble))
        except PrunescopeError as trouble:
            refused = dict.fromkeys((tuple(group.key.items()) for group in found.groups), str(trouble))
    known = tuple(name for name in EXPLAINED if name in usable)
    everybody = []
    pruned = [group for group in found.groups if (group.density < 1).any()]
    shown = pruned or found.groups
    for group in shown:
        key = tuple(group.key.items())
        family = made.get(key)
        why = "" if family is not None else refused.get(key, NO_LAW)
        name = _name(group.key, [each.key for each in shown])
        everybody.append(Subject(name, group.key, group, known, None if family is None else family.fit, family, why))
    everybody.sort(key=lambda each: -len(each.cells))
    return Subjects(tuple(everybody), tuple(notes), tuple(missing))


NO_LAW = "holds unpruned networks only, or too few densities: add pruned ones"


def _by_place(groups: tuple[Measured, ...], trouble: InputError) -> list[tuple[tuple[Any, ...], str]]:
    """Give each group the fault that names it; where one fault is of all, all have it."""
    told = {fault.place: fault.must for fault in trouble.faults}
    whole = "; ".join(str(fault) for fault in trouble.faults[:3])
    return [(tuple(group.key.items()), told.get(named(group.key) or "the table", whole)) for group in groups]


def _usable(rows: Table, missing: list[str]) -> Table:
    """Return the rows that can be shown on logarithmic axes, with something to compare each with."""
    zero = rows["test_error"] == 0
    if zero.any():
        missing.append(
            f"{counted(int(zero.sum()), 'row')} with error 0 left out: laws are of relative deviations, figures of "
            "logarithms; more test examples would tell such networks apart"
        )
        rows = rows.take(~zero)
    if not len(rows):
        return rows
    unpruned = rows["unpruned_error"]
    if not (unpruned > 0).any():
        lacking = "no unpruned network errs" if (unpruned == 0).any() else "no unpruned network"
        missing.append(
            f"{lacking}: add the rows at density 1, or a column `unpruned_error` above 0; without them there is no "
            "law and no choice"
        )
        # Figures of what was measured need no unpruned error, but measurements have one: nobody reads these.
        columns = {**rows.columns, "unpruned_error": rows["test_error"]}
        return replace(rows, columns=columns, unpruned_rows=np.zeros(len(rows), np.int64))
    given = unpruned == 0
    if given.any():
        missing.append(f"{counted(int(given.sum()), 'row')} with unpruned error 0 left out")
        rows = rows.take(~given)
    return rows


def _name(group: Mapping[str, Any], all_groups: list[Mapping[str, Any]]) -> str:
    """Name a family by what people call it, and by what tells it from the others."""
    words = []
    for name, value in group.items():
        differs = len({other.get(name) for other in all_groups}) > 1
        if value is None or (not differs and (name not in SPOKEN or value in USUAL.get(name, ()))):
            continue
        words.append(
            str(value) if name in ("family", "dataset", "treatment") else f"{name.replace('_', ' ')} {_short(value)}"
        )
    return ", ".join(words) or "all networks"


def _short(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 24 else f"{text[:12]}…"


def decide(subject: Subject, bound: float, confidence: float) -> tuple[Answer | None, str]:
    """Return the answer at a bound, or why there is none."""
    if subject.family is None:
        return None, subject.why
    try:
        return answer(subject.family, bound, confidence, Limits()), ""
    except DeclinedError as trouble:
        return None, str(trouble)


def decide_all(subject: Subject, bounds: tuple[float, ...], confidence: float) -> tuple[Bounded, ...]:
    """Return the choice at each of many bounds."""
    return () if subject.family is None else choices(subject.family, bounds, confidence, Limits())
