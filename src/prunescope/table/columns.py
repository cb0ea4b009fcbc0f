"""From raw columns, as a file or a caller has them, to a valid `Table`: every fault found, then told together.

Raw columns are texts (from CSV) or typed arrays (from Parquet, pandas, Python). This module knows the schema's rules
and nothing of file formats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import Fault, InputError, clipped, listed, nearest
from prunescope.table.schema import (
    ALIASES,
    BY_NAME,
    CONFIGURATION,
    NEEDED,
    Column,
    Group,
    Kind,
    Range,
    canonical,
)
from prunescope.table.table import Array, Table, by_schema

MISSING = frozenset(("", "na", "n/a", "nan", "null", "none"))
LARGEST_INTEGER = 2**53
# Shares that people like to write in percent, and the word for what else they may hold.
ACCURACIES = ("accuracy", "acc", "test_acc", "test_accuracy", "top1", "top1_accuracy", "acc1", "val_acc")


@dataclass
class Findings:
    """Faults of one source as they are found, rows named as the source counts them."""

    source: str
    unit: str = "row"
    numbers: Callable[[Array], Iterable[int]] = field(default=lambda rows: (rows + 1).tolist())
    faults: list[Fault] = field(default_factory=list)

    def add(self, place: str, must: str, found: str = "", hint: str = "") -> None:
        """Add one fault."""
        self.faults.append(Fault(place, must, found, hint))

    def at_rows(self, name: str, rows: Array, must: str, values: Sequence[object], hint: str = "") -> None:
        """Add one fault for all the rows that share it."""
        if len(rows):
            place = f"column {name!r}, {self.lines(rows)}"
            found = listed(dict.fromkeys(clipped(value) for value in values[:6]), 3)
            self.add(place, must, found, hint)

    def lines(self, rows: Array) -> str:
        """Write ``line 7`` or ``lines 7, 9 and 30 more``."""
        shown = listed(self.numbers(rows), 4)
        return f"{self.unit}{'' if len(rows) == 1 else 's'} {shown}"

    def raise_if_any(self) -> None:
        """Tell everything at once."""
        if self.faults:
            raise InputError(self.source, self.faults)


def conform(raw: Mapping[str, Any], findings: Findings, needed: Sequence[str] = NEEDED) -> Table:
    """Return raw columns as a valid table, or raise with every fault found here and before.

    Parameters
    ----------
    raw
        Sequences of text or arrays by the names that the source gives them.
    findings
        Faults found so far, and how the source counts its rows.
    needed
        Columns that must be there.
    """
    named = _named(raw, findings, needed)
    columns: dict[str, Array] = {}
    unsound: set[str] = set()
    for name in by_schema(list(named)):
        before = len(findings.faults)
        column = BY_NAME.get(name)
        columns[name] = _typed(column, named[name], findings) if column else _own(named[name])
        if len(findings.faults) > before:
            unsound.add(name)
    length = {len(values) for values in columns.values()}
    if len(length) > 1:
        findings.add("the columns", "must have one length", listed(sorted(length)))
    elif length == {0} or not length:
        findings.add("the rows", "must be one or more", "none")
    if len(length) != 1 or length == {0}:
        findings.raise_if_any()
    notes: list[str] = []
    if not unsound & {name for name in columns if name in BY_NAME}:
        _check_sizes(columns, findings)
        columns = _numbered(columns, findings, notes)
    findings.raise_if_any()
    columns["unpruned_error"] = unpruned_error(columns)
    ordered = {name: columns[name] for name in by_schema(list(columns))}
    return Table(ordered, findings.source, tuple(notes))


def _named(raw: Mapping[str, Any], findings: Findings, needed: Sequence[str]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    spelled: dict[str, str] = {}
    folded: dict[str, str] = {}
    for written, values in raw.items():
        name = canonical(str(written))
        if not name:
            findings.add("a column", "must have a name", "none")
            continue
        if name in named:
            hint = "`error` and `test_error` are one column." if name in ALIASES.values() else ""
            findings.add(f"column {str(written)!r}", f"must not be there beside {spelled[name]!r}", hint=hint)
            continue
        if name.lower() in folded:
            twin = folded[name.lower()]
            findings.add(f"column {name!r}", f"must differ from column {twin!r} by more than capital letters")
            continue
        if not _encodable(name):
            findings.add(f"column {clipped(name)}", "must have a name in Unicode text")
            continue
        named[name] = gaps_filled(values) if isinstance(values, np.ma.MaskedArray) else values
        spelled[name], folded[name.lower()] = str(written), name
    for name in needed:
        if name not in named:
            shown = next((alias for alias, target in ALIASES.items() if target == name), name)
            findings.add(f"column {shown!r}", "must be there", hint=_missing_hint(shown, list(spelled.values())))
    return named


def _missing_hint(name: str, spelled: Sequence[str]) -> str:
    if name == "error":
        for column in spelled:
            if column.strip().lower().replace(" ", "_").replace("-", "_") in ACCURACIES:
                return f"There is {column!r}: error is 1 - accuracy, as a fraction."
    others = [column for column in spelled if canonical(column) not in BY_NAME]
    return nearest(name, others) or (f"The file has {listed(spelled, 12)}." if spelled else "")


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _typed(column: Column, values: Any, findings: Findings) -> Array:  # noqa: ANN401
    """Return a column of the schema as its type, faults told."""
    if column.kind is Kind.TEXT:
        return _texts(column, values, findings)
    if column.kind is Kind.FLAG:
        return _flags(column, values, findings)
    numbers, wrong = _numbers(column.name, values, findings)
    missing = np.isnan(numbers)
    if not column.optional:
        hint = "Leave the column out where nothing is known." if column.name not in NEEDED else ""
        rows = np.setdiff1d(np.flatnonzero(missing), wrong)
        findings.at_rows(column.name, rows, "must have a value in every row", [], hint)
    if column.kind is Kind.INTEGER:
        fractional = np.flatnonzero(~missing & (np.floor(numbers) != numbers))
        findings.at_rows(column.name, fractional, "must be a whole number", numbers[fractional].tolist())
        huge = np.flatnonzero(np.abs(numbers) > LARGEST_INTEGER)
        findings.at_rows(column.name, huge, "must be at most 2^53", numbers[huge].tolist())
    _check_range(column, numbers, findings)
    if column.kind is Kind.INTEGER:
        sound = np.isfinite(numbers) & (np.abs(numbers) <= LARGEST_INTEGER)
        return np.where(sound, numbers, 0).astype(np.int64)
    return numbers + 0.0  # -0.0 and 0.0 are one value


def _numbers(name: str, values: Any, findings: Findings) -> tuple[NDArray[np.float64], NDArray[np.int64]]:  # noqa: ANN401
    """Return values as float64, NaN where missing, and the rows told because they hold no number."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiu":
        return values.astype(np.float64), np.empty(0, np.int64)
    try:
        return np.array([float(value) for value in values], np.float64), np.empty(0, np.int64)
    except (ValueError, TypeError):
        pass
    numbers = np.full(len(values), np.nan)
    wrong = []
    for row, value in enumerate(values):
        number = parsed(value)
        if number is None:
            wrong.append(row)
        else:
            numbers[row] = number
    found = [values[row] for row in wrong[:6]]
    hint = "Write decimals with a point, not a comma." if any("," in str(value) for value in found) else ""
    hint = hint or ("Write 0.5 for 50 %." if any("%" in str(value) for value in found) else "")
    rows = np.array(wrong, np.int64)
    findings.at_rows(name, rows, "must be a number", found, hint)
    return numbers, rows


def parsed(value: object) -> float | None:
    """Return a number as written, NaN where nothing is written, None where it is no number."""
    if value is None:
        return math.nan
    if isinstance(value, str) and value.strip().lower() in MISSING:
        return math.nan
    try:
        return float(value)  # type: ignore[arg-type]
    except (ValueError, TypeError, OverflowError):
        return None


def _check_range(column: Column, numbers: NDArray[np.float64], findings: Findings) -> None:
    bounds = column.range
    with np.errstate(invalid="ignore"):
        outside = np.zeros(len(numbers), bool)
        if bounds.low is not None:
            outside |= numbers <= bounds.low if bounds.low_open else numbers < bounds.low
        if bounds.high is not None:
            outside |= numbers >= bounds.high if bounds.high_open else numbers > bounds.high
        elif column.unit != "nats":
            outside |= np.isinf(numbers)  # a diverged network may have infinite loss, and nothing else
    if not outside.any():
        return
    if bounds.low == 0 and bounds.high == 1 and _like_percent(numbers):
        told = numbers[~np.isnan(numbers)]
        found = f"{told.min():g} to {told.max():g}"
        must = f"must be a fraction {bounds}"
        findings.add(f"column {column.name!r}", must, found, "It looks like percent: divide the column by 100.")
        return
    rows = np.flatnonzero(outside)
    findings.at_rows(column.name, rows, f"must be {_words(bounds)}", numbers[rows].tolist())


def _words(bounds: Range) -> str:
    return "a finite number" if bounds.low is None and bounds.high is None else str(bounds)


def _like_percent(numbers: NDArray[np.float64]) -> bool:
    told = numbers[~np.isnan(numbers)]
    return bool(told.min() >= 0 and 2 < told.max() <= 100 and np.mean(told > 1) >= 0.5)


def _texts(column: Column, values: Any, findings: Findings) -> Array:  # noqa: ANN401
    texts = text_array(values)
    unwritable = {text for text in set(texts.tolist()) if text is not None and not _encodable(text)}
    broken = np.array([row for row, text in enumerate(texts) if text in unwritable] if unwritable else [], int)
    findings.at_rows(column.name, broken, "must be Unicode text", texts[broken].tolist())
    if not column.optional:
        empty = np.flatnonzero([text is None for text in texts.tolist()])
        findings.at_rows(column.name, empty, "must have a value in every row", [])
    return texts


def text_array(values: Any) -> Array:  # noqa: ANN401
    """Return values as an object array of text, None where there is none."""
    plain = values.tolist() if isinstance(values, np.ndarray) else list(values)
    texts = np.empty(len(plain), object)
    if set(map(type, plain)) <= {str, type(None)}:
        same = {text: text or None for text in dict.fromkeys(plain)}
        texts[:] = list(map(same.__getitem__, plain))
    else:
        texts[:] = [_text(value) for value in plain]
    return texts


def _text(value: object) -> str | None:
    if value is None or value == "" or value != value:
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) <= LARGEST_INTEGER:
        return str(int(value))
    return str(value)


_FLAGS = {
    "true": True,
    "yes": True,
    "1": True,
    "1.0": True,
    "false": False,
    "no": False,
    "0": False,
    "0.0": False,
}


def _flags(column: Column, values: Any, findings: Findings) -> Array:  # noqa: ANN401
    plain = values.tolist() if isinstance(values, np.ndarray) else list(values)
    found = [_FLAGS.get(str(value).strip().lower()) for value in plain]
    wrong = np.array([row for row, flag in enumerate(found) if flag is None], int)
    findings.at_rows(column.name, wrong, "must be true or false", [plain[row] for row in wrong[:6]])
    return np.array([bool(flag) for flag in found], bool)


def _own(values: Any) -> Array:  # noqa: ANN401
    """Return a column that the schema does not know: integers, numbers or flags where all values are, else text."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "iufb":
        if values.dtype.kind == "b":
            return values.astype(bool)
        if values.dtype.kind in "iu" and len(values) and np.abs(values.astype(np.float64)).max() <= LARGEST_INTEGER:
            return values.astype(np.int64)
        return values.astype(np.float64) + 0.0
    if isinstance(values, np.ndarray) and all(isinstance(value, str | None) for value in values.tolist()):
        return text_array(values)  # typed as text where it comes from: "007" stays
    return _guessed(list(values))


def _guessed(values: list[Any]) -> Array:
    numbers = [parsed(value) for value in values]
    if any(number is None for number in numbers) or all(number != number for number in numbers):
        lowered = {str(value).strip().lower() for value in values}
        if lowered and lowered <= {"true", "false"}:
            return np.array([str(value).strip().lower() == "true" for value in values], bool)
        return text_array(values)
    array = np.array(numbers, np.float64) + 0.0
    whole = np.isfinite(array).all() and (np.floor(array) == array).all() and np.abs(array).max() <= LARGEST_INTEGER
    if whole and not any("." in str(value) or "e" in str(value).lower() for value in values):
        return array.astype(np.int64)
    return array


def _check_sizes(columns: Mapping[str, Array], findings: Findings) -> None:
    """Tell where counts that stand side by side disagree."""
    if {"kept", "prunable", "density"} <= columns.keys():
        ratio = columns["kept"] / columns["prunable"]
        rows = np.flatnonzero(np.abs(ratio - columns["density"]) > 1e-6)
        findings.at_rows("density", rows, "must be kept / prunable", columns["density"][rows].tolist())
    if {"kept", "parameters"} <= columns.keys():
        rows = np.flatnonzero(columns["parameters"] < columns["kept"])
        findings.at_rows("parameters", rows, "must be at least `kept`", columns["parameters"][rows].tolist())


# Not part of a rung's key: what training answered and what it cost.
_ANSWERS = (Group.OUTCOME, Group.DERIVED, Group.COST)


def _numbered(columns: dict[str, Array], findings: Findings, notes: list[str]) -> dict[str, Array]:
    """Tell rungs that stand twice; where there is no `replicate` column, number the repetitions."""
    if {"ladder", "rung"} <= columns.keys():
        _tell_twice(columns, ("ladder", "rung"), findings)
        return columns
    key = [name for name in columns if name not in BY_NAME or BY_NAME[name].group not in _ANSWERS]
    codes = group_codes(columns, key)
    if "replicate" in columns:
        _tell_twice(columns, key, findings)
        return columns
    _tell_twice(
        columns,
        [*key, *(name for name in columns if name not in key)],
        findings,
        "If both were measured, add a column `replicate`.",
    )
    replicate = occurrence(codes)
    if replicate.any():
        notes.append(
            f"no column `replicate`: {int(np.count_nonzero(replicate)):,} rows that repeat a configuration and density "
            "were taken as further replicates, in the order of the file"
        )
    return {**columns, "replicate": replicate}


def _tell_twice(columns: Mapping[str, Array], key: Sequence[str], findings: Findings, hint: str = "") -> None:
    codes = group_codes(columns, key)
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    rows = np.flatnonzero(first[inverse] != np.arange(len(codes)))
    if len(rows):
        originals = listed(findings.numbers(first[inverse][rows]), 4)
        findings.add(
            f"{findings.unit}{'' if len(rows) == 1 else 's'} {listed(findings.numbers(rows), 4)}",
            "must not repeat a rung that stands there already",
            f"the same {listed(key, 6)} as in {findings.unit}{'' if len(rows) == 1 else 's'} {originals}",
            hint,
        )


def group_codes(columns: Mapping[str, Array], names: Sequence[str]) -> NDArray[np.int64]:
    """Return one integer per row: equal exactly where all the named columns are equal."""
    length = len(next(iter(columns.values())))
    codes = np.zeros(length, np.int64)
    for name in names:
        own = _codes(columns[name])
        codes = _compact(codes * (int(own.max(initial=0)) + 1) + own)
    return codes


def _codes(values: Array) -> NDArray[np.int64]:
    if values.dtype.kind == "O":
        plain = values.tolist()
        numbers = {value: number for number, value in enumerate(dict.fromkeys(plain))}
        return np.fromiter(map(numbers.__getitem__, plain), np.int64, len(plain))
    return _compact(values)


def sorted_rows(columns: Mapping[str, Array], names: Sequence[str]) -> NDArray[np.int64]:
    """Return the order of rows by the named columns, the first one first; missing text comes last."""
    keys = []
    for name in names:
        values = columns[name]
        if values.dtype.kind == "O":
            plain = values.tolist()
            ranks = {text: rank for rank, text in enumerate(sorted(set(plain), key=lambda text: (text is None, text)))}
            values = np.fromiter(map(ranks.__getitem__, plain), np.int64, len(plain))
        keys.append(values)
    return np.lexsort(keys[::-1])


def _compact(values: Array) -> NDArray[np.int64]:
    return np.unique(values, return_inverse=True)[1].reshape(-1).astype(np.int64)


def occurrence(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many earlier rows have the same code: 0 for the first, 1 for the second, ..."""
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    counts = np.diff(np.r_[starts, len(codes)])
    found = np.empty(len(codes), np.int64)
    found[order] = np.arange(len(codes)) - np.repeat(starts, counts)
    return found


def unpruned_error(columns: Mapping[str, Array]) -> NDArray[np.float64]:
    """Return each row's unpruned error: as given, else the mean test error at density 1 of its configuration.

    Whatever the treatment, as long as the network is an ordinary dense one: further rungs of a ladder that removes
    nothing were trained longer, and leave-out ladders on other examples, so neither counts.
    """
    length = len(columns["test_error"])
    given = columns.get("unpruned_error", np.full(length, np.nan))
    dense = columns["density"] == 1
    if "treatment" in columns:
        dense = dense & (columns["treatment"] != "leave-out")
        if "rung" in columns:
            dense = dense & ((columns["treatment"] != "extended") | (columns["rung"] == 0))
    codes = group_codes(columns, [name for name in CONFIGURATION if name in columns])
    size = int(codes.max()) + 1
    counts = np.bincount(codes[dense], minlength=size)
    sums = np.bincount(codes[dense], columns["test_error"][dense], minlength=size)
    means = np.divide(sums, counts, out=np.full(size, np.nan), where=counts > 0)
    return np.where(np.isnan(given), means[codes], given)


def gaps_filled(values: Any) -> Array:  # noqa: ANN401
    """Return a masked array as floats with NaN, or as objects with None."""
    if values.dtype.kind in "fiu":
        return np.where(np.ma.getmaskarray(values), np.nan, np.ma.getdata(values).astype(np.float64))
    objects = np.empty(len(values), object)
    objects[:] = values.tolist()
    return objects


def widened(values: Array) -> Array:
    """Return integers as int64 and floats as float64."""
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    return values.astype(np.float64) if values.dtype.kind == "f" else values
