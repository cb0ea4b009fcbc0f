"""CSV files, whoever wrote them: texts by column with the line that each row stands on; and back.

Structural faults (delimiter, header, quotes, rows of another length, encoding) are found here; what the values must
be is `columns`' business.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np

from prunescope.errors import clipped, counted, listed
from prunescope.table.coded import Columns, ColumnValues
from prunescope.table.findings import MOST_LETTERS, Findings
from prunescope.table.schema import BY_NAME, canonical, is_number
from prunescope.table.values import parsed

if TYPE_CHECKING:
    from prunescope.table.table import Table

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_SEPARATOR = re.compile(r'"?sep=([,;\t|])"?,*')  # a first line for Excel alone
_CHUNK = 1_000_000  # values held as rows


def read_csv(path: Path, findings: Findings) -> dict[str, list[str]]:
    """Return a CSV file's columns as texts; what is wrong with its structure goes to ``findings``."""
    findings.unit = "line"
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return _read(stream, path.suffix.lower() == ".tsv", findings)
    except UnicodeDecodeError as trouble:
        hint = "Save it as CSV in UTF-8."
        findings.add("the file", "must be UTF-8 text", f"byte {trouble.object[trouble.start]:#04x}", hint)
    except csv.Error as trouble:
        findings.add("the file", "must be CSV", str(trouble), "Look for a quote that is not closed.")
    return {}


def _read(stream: TextIO, tabs: bool, findings: Findings) -> dict[str, list[str]]:
    first, begin, above = stream.readline(1_000_000), 0, 0
    expected = "\t" if tabs else ","
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
    if delimiter != expected:
        hint = "Save it with tabs, or call it .csv." if tabs else "Save it with commas."
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
        findings.add(f"line{many} {where}", f"must have {counted(len(header), 'value')}, as the header has", shown)
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
            findings.add(f"column {position}", f"must have a name in line {line}", "none")
        elif name in texts:
            findings.add(f"column {clipped(name)}", "must be there once", "twice")
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


def csv_text(table: Table) -> str:
    """Return a table as CSV: numbers in their shortest exact form, nothing where a value is missing."""
    return "".join(csv_parts(table))


def csv_parts(table: Table) -> Iterator[str]:
    """Yield the same in parts, so that a large table need not be in memory as text."""
    yield ",".join(map(_quoted, table.names)) + "\n"
    columns = Columns.of(table.columns)
    for first in range(0, columns.rows, _CHUNK):
        rows = columns.take(np.arange(first, min(first + _CHUNK, columns.rows)))
        written = [_written(rows.column(name)) for name in rows]
        if len(written) == 1:
            written = [[value or '""' for value in written[0]]]  # an empty line would be no row
        yield "\n".join(map(",".join, zip(*written, strict=True))) + "\n"


def _written(column: ColumnValues) -> list[str]:
    """Write values, each different number once: bits, as 0.0 and -0.0 are written differently."""
    values = column.array
    if values.dtype.kind == "f":
        bits, place = np.unique(values.view(np.int64), return_inverse=True)
        texts = np.array(["" if value != value else repr(value) for value in bits.view(np.float64).tolist()], object)
        return list(texts[place.reshape(-1)].tolist())
    if values.dtype.kind == "b":
        return ["true" if value else "false" for value in values.tolist()]
    if values.dtype.kind == "i":
        return list(map(str, values.tolist()))
    return ["" if value is None else _quoted(str(value)) for value in values.tolist()]


def _quoted(text: str) -> str:
    """Quote a text as CSV asks; the csv module of Python 3.11 leaves a lone carriage return bare."""
    return '"' + text.replace('"', '""') + '"' if set(text) & set(',"\r\n') else text
