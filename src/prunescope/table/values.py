"""Single columns: from texts or arrays of any type to the arrays that a table holds, every fault with its rows.

A column that the schema knows becomes what the schema says; one that it does not know becomes integers, numbers or
flags where all its values are, and text otherwise.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import shell_word
from prunescope.table.coded import Texts, mostly_different, plain, rows_of
from prunescope.table.findings import Array, Findings
from prunescope.table.schema import NEEDED, Column, Kind, ValueRange

MISSING = frozenset(("", "na", "n/a", "nan", "null", "none"))
LARGEST_INTEGER = 2**53


def typed(column: Column, values: Any, findings: Findings) -> Array | Texts:
    """Return a column of the schema as its type; faults are added."""
    if column.kind is Kind.TEXT:
        return _texts(column, values, findings)
    if column.kind is Kind.FLAG:
        return _flags(column, values, findings)
    numbers, wrong = _numbers(column.name, values, findings)
    missing = np.isnan(numbers)
    if not column.optional:
        hint = "Leave the column out where nothing is known."
        if column.name in NEEDED:
            hint = "Fill it in, or delete the rows: without it they are of no use."
        if column.name == "test_error":
            hint = "Fill it in, delete the rows, or leave them out: --where 'error is not null'."
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


def _numbers(name: str, values: Any, findings: Findings) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return values as float64, NaN where missing, and the rows that hold no number."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiu":
        return values.astype(np.float64), np.empty(0, np.int64)
    try:
        if not any(isinstance(value, str) and "_" in value for value in values):  # float() would read 1_1 as 11
            return np.array([float(value) for value in values], np.float64), np.empty(0, np.int64)
    except (ValueError, TypeError, OverflowError):
        pass
    numbers = np.full(len(values), np.nan)
    wrong = []
    for row, value in enumerate(values):
        number = parsed(value)
        if number is None:
            wrong.append(row)
        else:
            numbers[row] = number
    shown = [values[row] for row in wrong[:6]]
    rows = np.array(wrong, np.int64)
    findings.at_rows(
        name, rows, "must be a number", shown, _number_hint(name, [str(value) for value in shown], findings)
    )
    return numbers, rows


def _number_hint(name: str, texts: list[str], findings: Findings) -> str:
    """Return how to have texts read as the numbers that they mean."""
    words = shell_word(f"{name} = {_as_sql(findings.spelled.get(name, name))}")
    if any("±" in text for text in texts):
        return f"To read what stands before ±, add --set {words}."
    if any(_THOUSANDS.fullmatch(text.strip()) for text in texts):
        return "Write numbers without commas between thousands."
    if any("," in text for text in texts):
        return "Write decimals with a point, not a comma."
    return f"Write 0.5 for 50 %, or add --set {words}." if any("%" in text for text in texts) else ""


_THOUSANDS = re.compile(r"[1-9][0-9]{0,2}(,[0-9]{3})+")


def _as_sql(name: str) -> str:
    return name if name.isidentifier() else '"' + name.replace('"', '""') + '"'


def parsed(value: object) -> float | None:
    """Return a number as written, NaN where nothing is written, None where it is no number."""
    if value is None or _is_na(value):
        return math.nan
    if isinstance(value, str) and value.strip().lower() in MISSING:
        return math.nan
    if isinstance(value, str) and "_" in value:
        return None
    try:
        return float(value)  # type: ignore[arg-type]
    except (ValueError, TypeError, OverflowError):
        return None


def _is_na(value: object) -> bool:
    """Whether a value is pandas' own missing one, which can be compared with nothing."""
    return type(value).__name__ in ("NAType", "NaTType")


def plain_column(values: Any) -> Any:
    """Return a column of pandas, polars or Arrow as an array or a list, None where they say that a value is missing."""
    if hasattr(values, "dtype") and hasattr(values, "to_numpy") and hasattr(values, "index"):
        of_numpy = isinstance(values.dtype, np.dtype)
        return values.to_numpy() if of_numpy else values.to_numpy(dtype=object, na_value=None)
    for name in ("to_list", "to_pylist"):
        if hasattr(values, name) and not isinstance(values, np.ndarray):
            return getattr(values, name)()
    return values


def _check_range(column: Column, numbers: NDArray[np.float64], findings: Findings) -> None:
    bounds = column.range
    with np.errstate(invalid="ignore"):
        outside = np.zeros(len(numbers), bool)
        if bounds.low is not None:
            outside |= numbers <= bounds.low if bounds.low_open else numbers < bounds.low
        if bounds.high is not None:
            outside |= numbers >= bounds.high if bounds.high_open else numbers > bounds.high
        elif column.unit != "nats" and column.kind is Kind.NUMBER:
            outside |= np.isinf(numbers)  # a diverged network may have infinite loss, and nothing else
    if not outside.any():
        return
    if bounds.low == 0 and bounds.high == 1 and _like_percent(numbers):
        finite = numbers[~np.isnan(numbers)]
        interval = f"{finite.min():g} to {finite.max():g}"
        must = f"must be a fraction {bounds}"
        shown = findings.spelled.get(column.name, column.name)
        words = shell_word(f"{column.name} = {_as_sql(shown)} / 100")
        hint = f"It looks like percent: divide the column by 100, as --set {words} does."
        findings.add(f"column {shown!r}", must, interval, hint)
        return
    rows = np.flatnonzero(outside)
    findings.at_rows(column.name, rows, f"must be {_words(bounds)}", numbers[rows].tolist())


def _words(bounds: ValueRange) -> str:
    return "a finite number" if bounds.low is None and bounds.high is None else str(bounds)


def _like_percent(numbers: NDArray[np.float64]) -> bool:
    finite = numbers[~np.isnan(numbers)]
    return bool(finite.min() >= 0 and 2 < finite.max() <= 100 and np.mean(finite > 1) >= 0.5)


def _texts(column: Column, values: Any, findings: Findings) -> Array | Texts:
    texts = _texts_of(values)
    _refuse_unwritable(column.name, texts, findings)
    if not column.optional:
        empty = np.flatnonzero(rows_of(texts, lambda text: text is None))
        findings.at_rows(column.name, empty, "must have a value in every row", [])
    return texts


def _refuse_unwritable(name: str, texts: Array | Texts, findings: Findings) -> None:
    words = (texts.words if isinstance(texts, Texts) else texts).tolist()
    if encodable("".join(filter(None, words))):
        return
    rows = np.flatnonzero(rows_of(texts, lambda text: text is not None and not encodable(text)))
    findings.at_rows(name, rows, "must be Unicode text", plain(texts)[rows].tolist())


def _texts_of(values: Any) -> Array | Texts:
    """Return values as text, None where there is none: each different one once, unless most of many differ."""
    if isinstance(values, Texts):
        encoded = values
    else:
        items = values.tolist() if isinstance(values, np.ndarray) else list(values)
        items = items if set(map(type, items)) <= {str, type(None)} else [_text(value) for value in items]
        if mostly_different(items) and "" not in items:
            array = np.empty(len(items), object)
            array[:] = items
            return array
        encoded = Texts.of(items)
    words = encoded.words.tolist()
    if "" not in words:
        return encoded
    missing = np.empty(len(words), object)
    missing[:] = [word or None for word in words]
    return Texts(missing, encoded.codes) if None not in words else Texts.of(missing[encoded.codes].tolist())


def _text(value: object) -> str | None:
    if value is None or _is_na(value) or value == "" or value != value:
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


def _flags(column: Column, values: Any, findings: Findings) -> Array:
    if isinstance(values, np.ndarray) and values.dtype.kind == "b":
        return values
    items = values.tolist() if isinstance(values, np.ndarray) else list(values)
    flags = [_FLAGS.get(str(value).strip().lower()) for value in items]
    wrong = np.array([row for row, flag in enumerate(flags) if flag is None], int)
    findings.at_rows(column.name, wrong, "must be true or false", [items[row] for row in wrong[:6]])
    return np.array([bool(flag) for flag in flags], bool)


def untyped(name: str, values: Any, findings: Findings) -> Array | Texts:
    """Return a column that the schema does not know: integers, numbers or flags where all values are, else text."""
    plain_values = _untyped(values)
    if isinstance(plain_values, Texts) or plain_values.dtype.kind == "O":
        _refuse_unwritable(name, plain_values, findings)
    return plain_values


def _untyped(values: Any) -> Array | Texts:
    if isinstance(values, Texts):
        return _texts_of(values)
    if isinstance(values, np.ndarray) and values.dtype.kind in "iufb":
        if values.dtype.kind == "b":
            return values.astype(bool)
        if values.dtype.kind in "iu" and len(values) and np.abs(values.astype(np.float64)).max() <= LARGEST_INTEGER:
            return values.astype(np.int64)
        return values.astype(np.float64) + 0.0
    if isinstance(values, np.ndarray) and all(isinstance(value, str | None) for value in values.tolist()):
        return _texts_of(values)  # typed as text where it comes from: "007" stays
    return _guessed(list(values))


def _guessed(values: list[Any]) -> Array | Texts:
    numbers = [parsed(value) for value in values]
    if any(number is None for number in numbers) or all(number != number for number in numbers):
        lowered = {str(value).strip().lower() for value in values}
        if lowered and lowered <= {"true", "false"}:
            return np.array([str(value).strip().lower() == "true" for value in values], bool)
        return _texts_of(values)
    array = np.array(numbers, np.float64) + 0.0
    texts = [value.strip().lower().lstrip("+-") for value in values if isinstance(value, str)]
    long = any(len(text) > 15 and text.isdigit() and _beyond_integers(text) for text in texts)
    too_large = any(text not in ("inf", "infinity") for text in texts) and bool(
        np.isinf(array).sum() > sum(text in ("inf", "infinity") for text in texts)
    )
    if texts and (long or too_large):
        return _texts_of(values)  # names written in digits: as numbers, different ones would become one
    whole = np.isfinite(array).all() and (np.floor(array) == array).all() and np.abs(array).max() <= LARGEST_INTEGER
    if whole and not any("." in str(value) or "e" in str(value).lower() for value in values):
        return array.astype(np.int64)
    return array


def _beyond_integers(digits: str) -> bool:
    digits = digits.lstrip("0")
    return len(digits) > 16 or int(digits or "0") > LARGEST_INTEGER  # Python reads no number of thousands of digits


def encodable(text: str) -> bool:
    """Whether text can be written to a file; half a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def gaps_filled(values: Any) -> Array:
    """Return a masked array as floats with NaN, or as objects with None."""
    if values.dtype.kind in "fiu":
        return np.where(np.ma.getmaskarray(values), np.nan, np.ma.getdata(values).astype(np.float64))
    objects = np.empty(len(values), object)
    objects[:] = values.tolist()
    return objects


def widened(values: Array) -> Array:
    """Return integers as int64, floats as float64, and what is neither text, number nor flag as text."""
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    if values.dtype.kind in "fb":
        return values.astype(np.float64) if values.dtype.kind == "f" else values
    if values.dtype.kind == "O" and set(map(type, values.tolist())) <= {str, type(None)}:
        return values
    items = values.tolist() if values.dtype.kind == "O" else values.astype(str).tolist()
    texts = np.empty(len(items), object)
    texts[:] = [value if value is None or isinstance(value, str) else str(value) for value in items]
    return texts
