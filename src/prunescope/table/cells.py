"""Cells as people write numbers into them: percent, decimal commas, means with their spread, factors such as 8x.

What is read here is asked for by options; `values` says what a number is without them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np

from prunescope.errors import clipped, listed
from prunescope.table.coded import Texts, plain
from prunescope.table.findings import Array, Findings
from prunescope.table.values import MISSING, parsed

_COMMA = re.compile(r"[+-]?([0-9]+,?[0-9]*|,[0-9]+)([eE][+-]?[0-9]+)?")
_POINT = re.compile(r"[+-]?[0-9]*\.[0-9.]*(,[0-9]*)?([eE][+-]?[0-9]+)?")
_NUMBER = r"[+-]?(?:[0-9]+[.,]?[0-9]*|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?"
_SPREAD_SIGN, _FACTOR_SIGN = re.compile(r"±|\+/-|\+-"), re.compile("[xX×]")
_SPREAD = re.compile(rf"({_NUMBER})\s*(%?)\s*(?:{_SPREAD_SIGN.pattern})\s*{_NUMBER}\s*(%?)")
_FACTOR = re.compile(rf"({_NUMBER})\s*[xX×]|[xX×]\s*({_NUMBER})")
_COUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kKMGBT]?)")
_THOUSANDS = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9, "T": 10**12}


def cells_of(values: Any) -> list[Any]:
    """Return a column as a list."""
    if isinstance(values, Texts):
        return list(plain(values).tolist())
    return list(values.tolist()) if isinstance(values, np.ndarray) else list(values)


def texts_of(values: Any) -> list[Any] | None:
    """Return a column as a list where there are texts in it."""
    if isinstance(values, np.ndarray) and values.dtype.kind not in "OU":
        return None
    items = cells_of(values) if hasattr(values, "__len__") and not isinstance(values, str) else []
    return items if isinstance(values, Texts) or any(isinstance(item, str) for item in items) else None


def is_missing(item: object) -> bool:
    """Whether nothing stands in a cell."""
    return item is None or (isinstance(item, str) and item.strip().lower() in MISSING) or item != item


def without_marks(columns: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return columns of means with their spread (91.2 ± 0.3), and of factors (8x), as numbers; and notes on them."""
    spread: list[str] = []
    factors: list[str] = []
    result = dict(columns)
    for name, values in columns.items():
        for sign, pattern, names in ((_SPREAD_SIGN, _SPREAD, spread), (_FACTOR_SIGN, _FACTOR, factors)):
            if (bare := _bare(values, sign, pattern)) is not None:
                result[name] = bare
                names.append(name)
    notes = []
    if spread:
        notes.append(f"means: of {listed(map(clipped, spread))} what stands before ± is read; the spread is not used")
    if factors:
        notes.append(f"factors: the values of {listed(map(clipped, factors))} are read as numbers, 8x as 8")
    return result, notes


def _bare(values: Any, sign: re.Pattern[str], pattern: re.Pattern[str]) -> list[Any] | None:
    """Return cells without their marks where all that is there are numbers, marked or not, and some are marked."""
    items = texts_of(values)
    # One search through a whole column is faster than one through each of its cells.
    if items is None or not sign.search("\n".join([item for item in items if isinstance(item, str)])):
        return None
    bare: list[Any] = []
    marked = False
    for item in items:
        parts = pattern.fullmatch(item.strip()) if isinstance(item, str) else None
        if parts is not None:
            marked = True
            bare.append("".join(part for part in parts.groups() if part).replace("%%", "%"))
        elif is_missing(item) or not isinstance(item, str) or _is_number(item):
            bare.append(item)
        else:
            return None
    return bare if marked else None


def _is_number(text: str) -> bool:
    return re.fullmatch(rf"\s*{_NUMBER}\s*%?\s*", text) is not None


def with_points(name: str, values: Any, findings: Findings) -> Any:
    """Return numbers with decimal commas as numbers with decimal points; add faults for those with a point."""
    items = texts_of(values)
    if items is None:
        return values
    bare = [item.strip().removesuffix("%").rstrip() if isinstance(item, str) else "" for item in items]
    pointed = np.array([row for row, text in enumerate(bare) if "." in text and _POINT.fullmatch(text)], np.int64)
    hint = "Write numbers without points between thousands, or leave --decimal-comma out."
    shown = [items[row] for row in pointed[:6]]
    findings.at_rows(name, pointed, "must have a decimal comma and no point", shown, hint)
    return [item.replace(",", ".") if _COMMA.fullmatch(text) else item for item, text in zip(items, bare, strict=True)]


def is_percent(values: Any) -> bool:
    """Whether all values that are there are numbers with a percent sign."""
    items = texts_of(values)
    present = [item for item in items or () if not is_missing(item)]
    return bool(present) and all(
        isinstance(item, str) and item.strip().endswith("%") and parsed(item.strip()[:-1]) is not None
        for item in present
    )


def fractions_of(values: Any) -> Array:
    """Return values with percent signs as fractions."""
    items = texts_of(values) or []
    # In decimal, as 28.999999999999996 % of floats would be.
    shares = (Decimal("nan") if is_missing(item) else Decimal(item.strip()[:-1].strip()) / 100 for item in items)
    return np.array([float(share) for share in shares], np.float64)


def counts_of(values: Any) -> Array | None:
    """Return counts such as 125M and 1.3B as numbers; None where a column holds something else."""
    items = texts_of(values)
    counts: list[float] = []
    for item in items or ():
        parts = _COUNT.fullmatch(item.strip()) if isinstance(item, str) else None
        if parts is None and not is_missing(item):
            return None
        counts.append(float(Decimal(parts[1]) * _THOUSANDS[parts[2]]) if parts else np.nan)
    return np.array(counts, np.float64) if counts and not np.isnan(counts).all() else None
