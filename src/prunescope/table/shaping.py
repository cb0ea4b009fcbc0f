"""Turns the columns of anybody's file into those that a table needs: wide files, decimal commas, percent, expressions.

All of it is asked for by name, and what was decided on the way is noted. What a table needs is `columns`' business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from prunescope.errors import InputError, clipped, listed
from prunescope.table.cells import (
    cells_of,
    counts_of,
    fractions_of,
    is_missing,
    is_percent,
    with_points,
    without_marks,
)
from prunescope.table.coded import plain
from prunescope.table.duckdb_engine import computed, mentioned
from prunescope.table.findings import Array, Findings
from prunescope.table.schema import canonical
from prunescope.table.values import parsed, plain_column, untyped

_BRACES = re.compile(r"([^{}]*)\{([^{}]+)\}([^{}]*)")


@dataclass(frozen=True)
class Shaping:
    """How the columns of a file become those of a table.

    Attributes
    ----------
    set
        Columns by name, as expressions in SQL over the columns of the file and those set before them.
    wide
        Columns whose values stand in several columns of the file, by a pattern: ``{"acc": "acc_{density}"}`` makes of
        each row as many rows as there are columns ``acc_1.0``, ``acc_0.5``, ..., with ``density`` from their names.
    decimal
        What stands before decimals in the file's numbers, a point or a comma.
    """

    set: Mapping[str, str] = field(default_factory=dict)
    wide: Mapping[str, str] = field(default_factory=dict)
    decimal: str = "."

    def __bool__(self) -> bool:
        return bool(self.set or self.wide or self.decimal != ".")

    def applied(self, raw: Mapping[str, Any], findings: Findings) -> tuple[dict[str, Any], list[str]]:
        """Return the columns that come of a file's, and notes on what was decided."""
        columns = {str(name): plain_column(values) for name, values in raw.items()}
        columns, notes = without_marks(columns)
        if self.decimal == ",":
            columns = {name: with_points(name, values, findings) for name, values in columns.items()}
            findings.raise_if_any()
        if self.wide:
            columns = _long(columns, self.wide, findings)
        percent = [name for name, values in columns.items() if is_percent(values)]
        if percent and (self.set or self.decimal == ","):
            names = listed(map(clipped, percent))
            notes.append(f"percent signs: the values of {names} are read as fractions, 12.5 % as 0.125")
            columns |= {name: fractions_of(columns[name]) for name in percent}
        for name, expression in self.set.items():
            columns = _with_column(columns, name, expression, findings, notes)
        return columns, notes


def _long(columns: dict[str, Any], wide: Mapping[str, str], findings: Findings) -> dict[str, Any]:
    """Return a row for each value of columns that a pattern matches; rows without any value are left out."""
    picked: dict[str, dict[str, str]] = {}
    keys: dict[str, None] = {}
    for target, pattern in wide.items():
        parts = _BRACES.fullmatch(pattern)
        if parts is None:
            findings.add(f"--wide {target}", "must have one name in braces, such as acc_{density}", clipped(pattern))
            continue
        keys[parts[2].strip()] = None
        picked[target] = _matching(columns, parts[1], parts[3])
        if not picked[target]:
            must = "must match columns of the file"
            findings.add(f"--wide {target}", must, clipped(pattern), f"The columns are {listed(columns, 12)}.")
    if len(keys) > 1:
        findings.add("--wide", "must have one name in the braces of all patterns", listed(keys))
    findings.raise_if_any()
    (key,) = keys
    used = {name for names in picked.values() for name in names.values()}
    levels = list(dict.fromkeys(level for names in picked.values() for level in names))
    kept = {name: values for name, values in columns.items() if name not in used}
    taken = [name for name in (key, *wide) if name in kept]
    if taken:
        findings.add(f"column {clipped(taken[0])}", "must not be there already, since --wide makes it")
        findings.raise_if_any()
    count = max((len(values) for values in columns.values()), default=0)
    findings.refuse_size(count * len(levels), len(kept) + 1 + len(picked))
    items = {name: cells_of(columns[name]) for name in used}
    rows = [
        (row, level)
        for row in range(count)
        for level in levels
        if any(level in names and not is_missing(items[names[level]][row]) for names in picked.values())
    ]
    origin = np.array([row for row, _ in rows], np.int64)
    numbers = findings.numbers
    findings.numbers = lambda places: numbers(origin[places])
    result = {name: [held[row] for row in origin] for name, held in ((name, cells_of(kept[name])) for name in kept)}
    result[key] = [level for _, level in rows]
    for target, names in picked.items():
        result[target] = [items[names[level]][row] if level in names else None for row, level in rows]
    return result


def _matching(columns: Mapping[str, Any], before: str, after: str) -> dict[str, str]:
    """Return the columns that a pattern matches by the number, or the text, that stands in its braces."""
    names = {}
    for name in columns:
        bare = name.strip()
        if len(bare) > len(before) + len(after) and bare.startswith(before) and bare.endswith(after):
            level = bare[len(before) : len(bare) - len(after)].strip()
            point = level.replace(",", ".")
            if parsed(point) is not None:
                names[point] = name
    return names


def _with_column(
    columns: dict[str, Any], name: str, expression: str, findings: Findings, notes: list[str]
) -> dict[str, Any]:
    """Return the columns with one more, or another in its place."""
    known: dict[str, Array] = {}
    folded: set[str] = set()
    for column in mentioned(columns, f"select ({expression}\n) from rungs"):
        values = columns[column]
        if column.lower() not in folded and hasattr(values, "__len__") and not isinstance(values, str):
            folded.add(column.lower())
            known[column] = plain(untyped(column, values, Findings(findings.source)))
    place = f"--set {name}"
    count = max((len(values) for values in columns.values() if hasattr(values, "__len__")), default=0)
    texts = {column: values for column, values in known.items() if values.dtype.kind == "O"}
    try:
        result = computed(known, expression, place, findings.source, count, columns)
    except InputError as trouble:
        if not re.search(r"VARCHAR|Could not convert string", trouble.faults[0].found):
            raise
        counts = {column: numbers for column in texts if (numbers := counts_of(texts[column])) is not None}
        if not counts:
            raise _text_is_no_number(trouble, texts) from None
        result = computed({**known, **counts}, expression, place, findings.source, count, columns)
        words = f"counts: the values of {listed(map(clipped, counts))} are read as numbers, 1.3B as 1,300,000,000"
        notes.extend([words] if words not in notes else [])
    others = {column: values for column, values in columns.items() if canonical(column) != canonical(name)}
    return {**others, name: result}


def _text_is_no_number(trouble: InputError, texts: Mapping[str, Array]) -> InputError:
    """Return what went wrong with an expression, and where text stands instead of numbers."""
    for column, values in texts.items():
        for text in values.tolist():
            if text is not None and parsed(text) is None:
                hint = f"Column {clipped(column)} holds text, such as {clipped(text)}: make a number of it first."
                fault = replace(trouble.faults[0], found="text where numbers are needed", hint=hint)
                return InputError(trouble.source, [fault])
    return trouble
