"""The door from tables: which families there are, the law of each, its members, or what stands in the way.

Also which cells differ in one dimension alone, and so can be drawn side by side, as the papers' figures do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from prunescope.choose.answers import Answer, Bounded
from prunescope.choose.choice import answer, choose_at_bounds
from prunescope.choose.family import Family, Grid, fit_families
from prunescope.choose.limits import DeclinedError, Limits
from prunescope.errors import InputError, PrunescopeError, counted, named
from prunescope.laws import Fit, JointLaw
from prunescope.laws.data import GroupData
from prunescope.laws.rows import EXPLAINED
from prunescope.table import Table
from prunescope.table.duckdb_engine import condition

# Columns whose values name a family to people; the rest of its group is told where it differs between families.
SPOKEN = ("family", "dataset", "label_noise", "treatment")
USUAL = {"label_noise": (0, None), "treatment": ("imp", None)}


@dataclass(frozen=True)
class ReportGroup:
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
    short
        What tells it from the others of the table, in words.
    condition
        The same in SQL, for its rows alone; empty where it is the only one.
    """

    name: str
    group: Mapping[str, Any]
    cells: GroupData
    known: tuple[str, ...]
    fit: Fit | None
    family: Family | None
    why: str
    short: str
    condition: str


@dataclass(frozen=True)
class ReportGroups:
    """The families of a table, the largest first, and what was decided on the way."""

    all: tuple[ReportGroup, ...]
    notes: tuple[str, ...]
    missing: tuple[str, ...]


def report_groups(rows: Table, count: str = "parameters") -> ReportGroups:
    """Return the families of a table; what cannot be used is listed, and the rest is shown."""
    missing: list[str] = []
    usable = _usable(rows, missing)
    compared = not missing or "unpruned" not in missing[-1]
    if not len(usable):
        return ReportGroups((), (), tuple(missing))
    groups = JointLaw().sample(usable)
    notes = list(groups.notes)
    fitted_families: dict[tuple[Any, ...], Family] = {}
    refused: dict[tuple[Any, ...], str] = {}
    if compared:
        try:
            fitted, declined, remarks = fit_families(usable, Grid(), {}, sample=groups, count=count)
            notes = list(remarks)
            fitted_families = {tuple(candidate.group.items()): candidate for candidate in fitted}
            refused = {tuple(group.items()): why for group, why in declined}
        except InputError as trouble:
            refused = dict(_by_place(groups.groups, trouble))
        except PrunescopeError as trouble:
            refused = dict.fromkeys((tuple(group.key.items()) for group in groups.groups), str(trouble))
    dimensions = tuple(name for name in EXPLAINED if name in usable)
    everybody = []
    pruned = [group for group in groups.groups if (group.density < 1).any()]
    shown = pruned or groups.groups
    keys = [group.key for group in shown]
    for group in shown:
        key = tuple(group.key.items())
        family = fitted_families.get(key)
        why = "" if family is not None else refused.get(key) or _no_law(group, compared)
        name = _name(group.key, keys)
        telling = {column: group.key[column] for column in _telling(group.key, keys)}
        cells = group if compared else replace(group, unpruned=np.full(len(group), np.nan))
        fit = None if family is None else family.fit
        everybody.append(
            ReportGroup(name, group.key, cells, dimensions, fit, family, why, _words(telling), condition(telling))
        )
    everybody.sort(key=lambda report_group: -len(report_group.cells))
    return ReportGroups(tuple(everybody), tuple(notes), tuple(missing))


def _no_law(cells: GroupData, compared: bool) -> str:
    if not (cells.density < 1).any():
        return "holds unpruned networks only: add pruned ones"
    if not compared:
        return "holds no unpruned network to compare with: add the rows at density 1, or a column `unpruned_error`"
    return "holds too few densities: prune further"


def _telling(group: Mapping[str, Any], keys: list[Mapping[str, Any]]) -> Iterator[str]:
    """Yield columns that tell a group from all others, as far as needed."""
    left = keys
    for name, value in group.items():
        same = [key for key in left if key.get(name) == value]
        if len(same) < len(left):
            left = same
            yield name


def _by_place(groups: tuple[GroupData, ...], trouble: InputError) -> list[tuple[tuple[Any, ...], str]]:
    """Give each group the fault that names it; where one fault is of all, all have it."""
    faults = {fault.place: fault.must for fault in trouble.faults}
    whole = "; ".join(str(fault) for fault in trouble.faults[:3])
    return [(tuple(group.key.items()), faults.get(named(group.key) or "the table", whole)) for group in groups]


def _usable(rows: Table, missing: list[str]) -> Table:
    """Return the rows that can be shown on logarithmic axes, with something to compare each with."""
    zero = rows["test_error"] == 0
    if zero.any():
        missing.append(
            f"{counted(int(zero.sum()), 'row')} with error 0 left out: laws and figures use the logarithm of the "
            "error; more test examples would distinguish such networks"
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
        # Figures of what was measured need no unpruned error, but a sample does: `report_groups` takes these out again.
        columns = {**rows.columns, "unpruned_error": rows["test_error"]}
        return replace(rows, columns=columns, unpruned_rows=np.zeros(len(rows), np.int64))
    zero_unpruned = unpruned == 0
    if zero_unpruned.any():
        missing.append(f"{counted(int(zero_unpruned.sum()), 'row')} with unpruned error 0 left out")
        rows = rows.take(~zero_unpruned)
    return rows


def _name(group: Mapping[str, Any], all_groups: list[Mapping[str, Any]]) -> str:
    """Name a family by what people call it, and by what tells it from the others."""
    words = {}
    for name, value in group.items():
        differs = len({key.get(name) for key in all_groups}) > 1
        if differs or (name in SPOKEN and value not in USUAL.get(name, ())):
            words[name] = value
    return _words(words) or "all networks"


def _words(values: Mapping[str, Any]) -> str:
    """Write values of grouping columns; what a table does not say is left out."""
    return ", ".join(
        str(value) if name in ("family", "dataset", "treatment") else f"{name.replace('_', ' ')} {_short(value)}"
        for name, value in values.items()
        if value is not None
    )


def _short(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 24 else f"{text[:12]}…"


def decide(
    group: ReportGroup, bound: float, confidence: float, pick_by: str | None = None
) -> tuple[Answer | None, str]:
    """Return the answer at a bound, or why there is none."""
    if group.family is None:
        return None, group.why
    try:
        return answer(group.family, bound, confidence, Limits(pick_by=pick_by)), ""
    except DeclinedError as trouble:
        return None, str(trouble)


def decide_all(
    group: ReportGroup, bounds: tuple[float, ...], confidence: float, pick_by: str | None = None
) -> tuple[Bounded, ...]:
    """Return the choice at each of many bounds."""
    return () if group.family is None else choose_at_bounds(group.family, bounds, confidence, Limits(pick_by=pick_by))


# Curves that one panel can hold and a reader still tell apart.
MOST = 7
DIMENSIONS = ("width", "depth", "examples")


@dataclass(frozen=True)
class Slice:
    """Cells of a family that differ in one dimension.

    Attributes
    ----------
    varied
        ``width``, ``depth`` or ``examples``; empty for one cell alone.
    title
        What varies and what does not, in words.
    cells
        The cells, by the value that varies, growing.
    labels
        That value of each, in words.
    """

    varied: str
    title: str
    cells: tuple[int, ...]
    labels: tuple[str, ...]


def slices(cells: GroupData, dimensions: Sequence[str]) -> tuple[Slice, ...]:
    """Return a slice for each dimension that varies: the one with most cells, with most examples among equals."""
    first = np.unique(cells.cell, return_index=True)[1]
    values = {name: getattr(cells, name)[first] for name in DIMENSIONS}
    found_slices = []
    for varied in DIMENSIONS:
        if np.ptp(values[varied]) == 0:
            continue
        others = [name for name in DIMENSIONS if name != varied]
        keys = list(zip(*(values[name].tolist() for name in others), strict=True))
        best = max(set(keys), key=lambda key: (keys.count(key), key[-1] if varied != "examples" else 0, key))
        picked = np.array([cell for cell, key in enumerate(keys) if key == best])
        picked = picked[np.argsort(values[varied][picked], kind="stable")]
        if len(picked) < 2:
            continue
        picked = picked[_spread(len(picked))]
        fixed = [
            f"{name} {_worded(name, value)}" for name, value in zip(others, best, strict=True) if name in dimensions
        ]
        title = f"{varied} {'vary' if varied == 'examples' else 'varies'}" + (f" ({', '.join(fixed)})" if fixed else "")
        labels = tuple(_worded(varied, float(value)) for value in values[varied][picked])
        found_slices.append(Slice(varied, title, tuple(picked.tolist()), labels))
    if found_slices:
        return tuple(found_slices)
    return (
        Slice(
            "",
            "",
            tuple(range(cells.cells))[:MOST],
            tuple(cell_words(cells, dimensions, cell) for cell in range(cells.cells))[:MOST],
        ),
    )


def slice_grid(cells: GroupData, dimensions: Sequence[str], varied: str) -> tuple[Slice, ...]:
    """Return every slice along one dimension on the most examples, each called by what is fixed in it."""
    first = np.unique(cells.cell, return_index=True)[1]
    values = {name: getattr(cells, name)[first] for name in DIMENSIONS}
    most = values["examples"] == values["examples"].max()
    (across,) = (name for name in ("width", "depth") if name != varied)
    grid = []
    for fixed in np.unique(values[across][most]).tolist():
        places = np.flatnonzero(most & (values[across] == fixed))
        picked = places[np.argsort(values[varied][places], kind="stable")]
        if len(np.unique(values[varied][picked])) >= 2:
            picked = picked[_spread(len(picked))]
            labels = tuple(_worded(varied, float(value)) for value in values[varied][picked])
            title = f"{across} {_worded(across, fixed)}" if across in dimensions else f"{varied} varies"
            grid.append(Slice(varied, title, tuple(picked.tolist()), labels))
    return tuple(grid)


def _worded(name: str, value: float) -> str:
    """Write a depth, a width or a number of examples."""
    return f"{value:g}" if name == "width" else f"{value:,.0f}"


def cell_words(cells: GroupData, dimensions: Sequence[str], cell: int) -> str:
    """Name a cell by what its table knows of it: ``depth 20, width 0.5, examples 50,000``."""
    row = int(cells.points_of[cell][0])
    words = [
        f"{name} {_worded(name, float(getattr(cells, name)[row]))}"
        for name in ("depth", "width", "examples")
        if name in dimensions
    ]
    return ", ".join(words) or "the network"


def _spread(count: int) -> list[int]:
    """Return up to `MOST` places among so many, the first and the last among them."""
    return sorted({round(float(place)) for place in np.linspace(0, count - 1, min(count, MOST))})
