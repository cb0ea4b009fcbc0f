"""CSV files, whoever wrote them: texts by column with the line that each row stands on.

Structural faults (delimiter, header, quotes, rows of another length, encoding) are found here; what the values must
be is `columns`' business. `read_large_csv` reads sound files in bulk with DuckDB: where anything is odd (a row of
another length, a number in words, an open quote) it returns None, and `read_csv` finds what is wrong and on which
line. A test holds the two together on sound files.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

import duckdb
import numpy as np

from prunescope.errors import clipped, counted, listed
from prunescope.table.duckdb_engine import connection, fetch, literal, plain_path, quoted
from prunescope.table.findings import MOST_LETTERS, Findings
from prunescope.table.schema import BY_NAME, canonical, is_number
from prunescope.table.values import parsed

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_SEPARATOR = re.compile(r'"?sep=([,;\t|])"?,*')  # a first line for Excel alone
_CHUNK = 1_000_000  # values held as rows


def read_csv(path: Path, findings: Findings, *, semicolons: bool = False) -> dict[str, list[str]]:
    """Return a CSV file's columns as texts; what is wrong with its structure goes to ``findings``.

    With ``semicolons`` the file is one with decimal commas: any delimiter that its header has will do.
    """
    findings.unit = "line"
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return _read(stream, path.suffix.lower() == ".tsv", semicolons, findings)
    except UnicodeDecodeError as trouble:
        hint = "Save it as CSV in UTF-8."
        findings.add("the file", "must be UTF-8 text", f"byte {trouble.object[trouble.start]:#04x}", hint)
    except csv.Error as trouble:
        findings.add("the file", "must be CSV", str(trouble), "Look for a quote that is not closed.")
    return {}


def _read(stream: TextIO, tabs: bool, semicolons: bool, findings: Findings) -> dict[str, list[str]]:
    first, begin, above = stream.readline(1_000_000), 0, 0
    expected = "\t" if tabs else ";" if semicolons else ","
    named = _SEPARATOR.fullmatch(first.rstrip("\r\n"))
    if named:
        expected, above, begin = named[1], 1, stream.tell()
        first = stream.readline(1_000_000)
    if not first.strip("\r\n \ufeff"):
        findings.add(
            "the file",
            "must have a first line that names its columns",
            "an empty line" if first else "an empty file",
        )
        return {}
    if first.startswith("#") and first[1:2] not in (*_DELIMITERS, ""):
        findings.add(f"line {1 + above}", "must name the columns", "a comment", "Delete the lines that begin with #.")
        return {}
    stream.seek(begin)
    delimiter = expected if named else _delimiter(first, expected)
    if semicolons and delimiter in _DELIMITERS:
        expected = delimiter
    if delimiter != expected:
        hint = "Save it with tabs, or call it .csv." if tabs else "Save it with commas."
        if delimiter == ";" and not tabs:
            hint += " If its numbers have decimal commas, read it with --decimal-comma."
        if delimiter == "\t":
            hint = "Save it with commas, or call it .tsv."
        separator = _DELIMITERS.get(delimiter, "white space")
        findings.add("the file", f"must separate columns by {_DELIMITERS[expected]}", separator, hint)
        if delimiter == " ":
            return {}
    records = _records(csv.reader(stream, delimiter=delimiter, strict=True))
    header: list[str] = []
    try:
        header += next(records)[1]
        findings.refuse_size(0, len(header))
        return _columns(header, records, above, delimiter, findings)
    except _LongFieldError as trouble:
        stream.seek(begin)
        column = _long_column(islice(stream, trouble.first - 1, trouble.last), delimiter)
        name = f"column {clipped(header[column])}" if column < len(header) else f"column {column + 1}"
        hint = "Shorten the text, or look for a quote that is not closed."
        place, must = f"{name}, line {trouble.first + above}", f"must hold texts of at most {MOST_LETTERS:,} letters"
        findings.add(place, must, "more", hint)
        return {}


def _columns(
    header: list[str], records: Iterator[tuple[int, list[str]]], above: int, delimiter: str, findings: Findings
) -> dict[str, list[str]]:
    """Return the columns below a header."""
    if all(parsed(name) is not None for name in header):
        shown = clipped(delimiter.join(header))
        findings.add(f"line {1 + above}", "must name the columns", shown, "For example: density,error")
        return {}
    while header and not header[-1].strip():
        header.pop()  # a delimiter at the end of every line
    columns: list[list[str]] = [[] for _ in header]
    lines: list[int] = []
    short: list[tuple[int, int]] = []
    rows = iter(_numbered_rows(records, len(header), lines, short))
    while chunk := list(islice(rows, max(1, _CHUNK // max(1, len(header))))):
        findings.refuse_size(len(lines), len(header))
        for name, column, values in zip(header, columns, zip(*chunk, strict=True), strict=True):
            column.extend(values if is_number(name) else map(sys.intern, values))
    numbers = np.array(lines, np.int64) + above
    findings.numbers = lambda rows: numbers[rows].tolist()
    if short:
        where = listed((line + above for line, _ in short), 4)
        shown = listed(dict.fromkeys(count for _, count in short), 3)
        many = "" if len(short) == 1 else "s"
        longer = len(short) > 1 and all(count > len(header) for _, count in short)
        hint = f"If the columns are named below line {1 + above}, delete the lines above their names." if longer else ""
        findings.add(
            f"line{many} {where}", f"must have {counted(len(header), 'value')}, as the header has", shown, hint
        )
    return _by_name(header, columns, findings, 1 + above)


class _LongFieldError(Exception):
    """A field is longer than any text is."""

    def __init__(self, first: int, last: int) -> None:
        super().__init__()
        self.first, self.last = first, last


def _records(reader: Iterable[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Give each row with the line that it begins on."""
    last = 0
    try:
        for row in reader:
            yield last + 1, row
            last = reader.line_num  # type: ignore[attr-defined]
    except csv.Error as trouble:
        if "field limit" in str(trouble):
            raise _LongFieldError(last + 1, reader.line_num) from None  # type: ignore[attr-defined]
        raise


def _long_column(lines: Iterable[str], delimiter: str) -> int:
    """Return which field of a row is too long, counted from 0."""
    column, length, inside = 0, 0, False
    for letter in chain.from_iterable(lines):
        inside ^= letter == '"'
        length += letter != '"'
        if letter == delimiter and not inside:
            column, length = column + 1, 0
        if length > MOST_LETTERS:
            break
    return column


def _numbered_rows(
    records: Iterable[tuple[int, list[str]]], width: int, lines: list[int], short: list[tuple[int, int]]
) -> Iterable[list[str]]:
    """Give the rows that hold anything, padded or cut to the header's width, and note their lines."""
    for line, row in records:
        if not any(map(str.strip, row)):
            continue
        if len(row) != width:
            if any(row[width:]) or len(row) < width:
                short.append((line, len(row)))
            row = (row + [""] * width)[:width]  # noqa: PLW2901
        lines.append(line)
        yield row


def _by_name(header: list[str], columns: list[list[str]], findings: Findings, line: int) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    for position, (name, values) in enumerate(zip(header, columns, strict=True), 1):
        if not name.strip():
            if position == 1 and _are_row_numbers(values):
                continue  # which pandas and R write unasked
            hint = "A heading over several columns names the first alone: write a name over each." if texts else ""
            findings.add(f"column {position}", f"must have a name in line {line}", "none", hint)
        elif name in texts:
            findings.add(f"column {clipped(name)}", "must be there once", "twice", "Give each a name of its own.")
        else:
            texts[name] = values
    return texts


def _are_row_numbers(values: list[str]) -> bool:
    return len(set(values)) == len(values) and all(value.strip('"').isdigit() for value in values)


def _delimiter(line: str, expected: str) -> str:
    """Return what separates the names of the header, as far as one line can tell."""
    bare = re.sub(r'"[^"]*"', "", line)
    if expected in bare:
        return expected
    counts = {delimiter: bare.count(delimiter) for delimiter in _DELIMITERS}
    most = max(counts, key=lambda delimiter: counts[delimiter])
    if counts[most]:
        return most
    names = {canonical(word) for word in bare.split()}
    return " " if len(names & BY_NAME.keys()) >= 2 else expected


# Below this, starting DuckDB costs more than it saves.
LARGE = 4_000_000
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"


def read_large_csv(path: Path) -> dict[str, Any] | None:
    """Return a sound CSV file's columns: numbers of the schema as float64, all else as texts; None where in doubt."""
    with path.open("rb") as opened:
        first = opened.readline(100_000)
        # Quotes are where readers of CSV part ways.
        if b'"' in first or any(b'"' in chunk for chunk in iter(lambda: opened.read(1 << 24), b"")):
            return None
    try:
        header = [name.strip() for name in first.decode("utf-8-sig").rstrip("\r\n").split(",")]
    except UnicodeDecodeError:
        return None
    plain = all(name and not name.startswith("#") and not set('";\t|\0') & set(name) for name in header)
    if len(header) < 2 or len(set(map(str.lower, header))) < len(header) or not plain:
        return None
    numeric = [name for name in header if is_number(name)]
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in header)
    source = (
        f"read_csv({literal(plain_path(path))}, columns = {{{columns}}}, auto_detect = false, header = true, "
        "delim = ',', quote = '\"', escape = '\"', strict_mode = true, null_padding = false, compression = 'none')"
    )
    picked = [f"try_cast({quoted(name)} as double) as {quoted(name)}" for name in numeric]
    picked += [quoted(name) for name in header if name not in numeric]
    odd = " or ".join(f"not regexp_matches({quoted(name)}, {literal(_NUMBER)})" for name in numeric) or "false"
    try:
        with connection() as opened_engine:
            fetched = fetch(opened_engine, f"select {', '.join(picked)}, coalesce({odd}, false) as __odd from {source}")
    except duckdb.Error:
        return None
    if fetched.pop("__odd").any():
        return None
    # As a list, a column is one whose type is still to be guessed; as an array of text it would be text.
    return {name: fetched[name] if name in numeric else fetched[name].tolist() for name in header}
