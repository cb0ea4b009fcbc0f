"""Turns the columns of anybody's file into those that a table needs: wide files, decimal commas, percent, expressions.

All of it is asked for by name, and what was decided on the way is noted. What a table needs is `columns`' business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np

from prunescope.errors import clipped, listed, shell_word
from prunescope.table.coded import Texts, plain
from prunescope.table.duckdb_engine import computed, mentioned, quoted_where_needed
from prunescope.table.findings import Array, Findings
from prunescope.table.schema import canonical
from prunescope.table.values import MISSING, parsed, plain_column, untyped

_COMMA = re.compile(r"[+-]?([0-9]+,?[0-9]*|,[0-9]+)([eE][+-]?[0-9]+)?")
_POINT = re.compile(r"[+-]?[0-9]*\.[0-9.]*(,[0-9]*)?([eE][+-]?[0-9]+)?")
_BRACES = re.compile(r"([^{}]*)\{([^{}]+)\}([^{}]*)")
_NUMBERED = re.compile(r"(.*?)([0-9]+(?:[.,][0-9]+)?)(\D*)")


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
        notes: list[str] = []
        if self.decimal == ",":
            columns = {name: _with_points(name, values, findings) for name, values in columns.items()}
            findings.raise_if_any()
        if self.wide:
            columns = _long(columns, self.wide, findings)
        percent = [name for name, values in columns.items() if _is_percent(values)]
        if percent and (self.set or self.decimal == ","):
            names = listed(map(clipped, percent))
            notes.append(f"percent signs: the values of {names} are read as fractions, 12.5 % as 0.125")
            columns |= {name: _fractions(columns[name]) for name in percent}
        for name, expression in self.set.items():
            columns = _with_column(columns, name, expression, findings)
        return columns, notes


def _texts(values: Any) -> list[Any] | None:
    """Return values as a list where there are texts among them."""
    if isinstance(values, Texts):
        return list(plain(values).tolist())
    if isinstance(values, np.ndarray):
        return list(values.tolist()) if values.dtype.kind in "OU" else None
    items = list(values) if hasattr(values, "__len__") and not isinstance(values, str) else None
    return items if items is not None and any(isinstance(item, str) for item in items) else None


def _with_points(name: str, values: Any, findings: Findings) -> Any:
    """Return numbers with decimal commas as numbers with decimal points; add faults for those with a point."""
    items = _texts(values)
    if items is None:
        return values
    bare = [item.strip().removesuffix("%").rstrip() if isinstance(item, str) else "" for item in items]
    pointed = np.array([row for row, text in enumerate(bare) if "." in text and _POINT.fullmatch(text)], np.int64)
    hint = "Write numbers without points between thousands, or leave --decimal-comma out."
    shown = [items[row] for row in pointed[:6]]
    findings.at_rows(name, pointed, "must have a decimal comma and no point", shown, hint)
    return [item.replace(",", ".") if _COMMA.fullmatch(text) else item for item, text in zip(items, bare, strict=True)]


def _is_percent(values: Any) -> bool:
    """Whether all values that are there are numbers with a percent sign."""
    items = _texts(values)
    present = [item for item in items or () if not _is_missing(item)]
    return bool(present) and all(
        isinstance(item, str) and item.strip().endswith("%") and parsed(item.strip()[:-1]) is not None
        for item in present
    )


def _is_missing(item: object) -> bool:
    return item is None or (isinstance(item, str) and item.strip().lower() in MISSING) or item != item


def _fractions(values: Any) -> Array:
    items = _texts(values) or []
    # In decimal, as 28.999999999999996 % of floats would be.
    shares = (Decimal("nan") if _is_missing(item) else Decimal(item.strip()[:-1].strip()) / 100 for item in items)
    return np.array([float(share) for share in shares], np.float64)


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
    items = {name: _items(columns[name]) for name in used}
    rows = [
        (row, level)
        for row in range(count)
        for level in levels
        if any(level in names and not _is_missing(items[names[level]][row]) for names in picked.values())
    ]
    origin = np.array([row for row, _ in rows], np.int64)
    numbers = findings.numbers
    findings.numbers = lambda places: numbers(origin[places])
    result = {name: [held[row] for row in origin] for name, held in ((name, _items(kept[name])) for name in kept)}
    result[key] = [level for _, level in rows]
    for target, names in picked.items():
        result[target] = [items[names[level]][row] if level in names else None for row, level in rows]
    return result


def _items(values: Any) -> list[Any]:
    if isinstance(values, Texts):
        return list(plain(values).tolist())
    return list(values.tolist()) if isinstance(values, np.ndarray) else list(values)


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


def _with_column(columns: dict[str, Any], name: str, expression: str, findings: Findings) -> dict[str, Any]:
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
    result = computed(known, expression, place, findings.source, count, columns)
    others = {column: values for column, values in columns.items() if canonical(column) != canonical(name)}
    return {**others, name: result}


def set_hint(name: str, raw: Mapping[str, Any]) -> str:
    """Return the very option that would make a needed column of a file's, or nothing."""
    for column, raw_values in raw.items():
        kind = _CONVERSIONS.get(re.sub(r"[\s_.%()-]+", "", column.lower()))
        if kind is None or kind[0] != name:
            continue
        values = plain_column(raw_values)
        scale, highest = _scale(values)
        written = quoted_where_needed(column)
        loss_scale = f"{written} / {10 ** len(str(int(highest)))}"
        expression = {
            "rest": f"1 - {written}{scale}",
            "share": f"{written}{scale}",
            "inverse": f"1 / {written}",
            "loss": written if highest < 1 else loss_scale,
        }[kind[1]]
        what = ", in percent" if scale and kind[1] in ("rest", "share") else ""
        if kind[2] == _WRONG:
            return f"Did you mean {clipped(column)}?{what} Add {_option('set', f'{name} = {expression}')}."
        return f"There is {clipped(column)}{what}: {kind[2]}. Add {_option('set', f'{name} = {expression}')}."
    return _wide_hint(name, raw) if name == "density" else ""


def _option(option: str, words: str) -> str:
    return f"--{option} {shell_word(words)}"


def _scale(values: Any) -> tuple[str, float]:
    """Return what percent is divided by, nothing where values are fractions; and the highest value."""
    if _is_percent(values):
        return "", 1.0
    numbers = [number for number in map(parsed, _items(values)) if number is not None and number == number]
    highest = max(numbers, default=1.0)
    return (" / 100" if 1 < highest <= 100 else ""), highest if np.isfinite(highest) else 1.0


def _wide_hint(name: str, raw: Mapping[str, Any]) -> str:
    """Return how to read a file with one column for each density."""
    patterns: dict[tuple[str, str], int] = {}
    for column in raw:
        parts = _NUMBERED.fullmatch(column.strip())
        if parts:
            patterns[parts[1], parts[3]] = patterns.get((parts[1], parts[3]), 0) + 1
    (before, after), count = max(patterns.items(), key=lambda item: item[1], default=(("", ""), 0))
    if count < 3:
        return ""
    target = re.sub(r"\W+|_+$|^_+", "", before) or "error"
    words = _option("wide", f"{target} = {before}{{{name}}}{after}")
    return f"If there is a column for each {name}, add {words}."


_REST, _ACCURACY = "density is 1 - sparsity, as a fraction", "error is 1 - accuracy, as a fraction"
_WRONG, _LOSS = "error is a fraction", "a loss scaled to lie below 1 is read as an error"
_NAMES: dict[tuple[str, str, str], Sequence[str]] = {
    ("error", "rest", _ACCURACY): (
        *("accuracy", "acc", "testacc", "testaccuracy", "top1", "acc1", "valacc", "valaccuracy", "top1acc"),
        *("top1accuracy", "accuracytop1", "acctop1", "accuracytest", "validationaccuracy", "genauigkeit"),
    ),
    ("density", "rest", _REST): (
        *("sparsity", "pruned", "pruningratio", "sparsityratio", "pruningrate", "weightsparsity", "weightspruned"),
        *("sparsitylevel", "percentpruned"),
    ),
    ("density", "share", "density is the share of weights left"): (
        *("remaining", "weightsremaining", "remainingweights", "percentremaining", "weightsleft", "kepttotal"),
    ),
    ("density", "inverse", "density is 1 / compression"): ("compression", "compressionratio"),
    ("error", "share", _WRONG): ("err", "testerr", "errorrate", "testerrorrate", "top1err", "top1error", "err1"),
    ("error", "loss", _LOSS): ("loss", "valloss", "validationloss", "evalloss", "crossentropy"),
}
_CONVERSIONS = {word: kind for kind, words in _NAMES.items() for word in words}
