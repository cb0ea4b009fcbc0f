"""The one door to DuckDB: Parquet in and out, conditions and queries in SQL.

Connections are made for one task and closed. They fetch no extensions, and a query written by a user runs only after
the connection was locked away from files and settings.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from prunescope.errors import Fault, InputError, listed, nearest, unwritable
from prunescope.table.coded import Columns, Texts
from prunescope.table.findings import Array
from prunescope.table.values import gaps_filled, widened

_ROW = "__row"


def _opened(threads: int = 0) -> duckdb.DuckDBPyConnection:
    config: dict[str, Any] = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    return duckdb.connect(":memory:", config=config | ({"threads": threads} if threads else {}))


@contextmanager
def connection(threads: int = 0) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an empty database in memory that never asks a network for anything; 0 threads are all cores."""
    opened = _opened(threads)
    try:
        yield opened
    finally:
        opened.close()


# What an engine that sorts a store may hold in memory; the rest goes to files.
_SPILLING = "400MB"


@contextmanager
def spilling(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the same with bounded memory: what does not fit goes to a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-", dir=folder) as spill, connection() as opened:
        opened.execute(f"set memory_limit = {literal(_SPILLING)}")
        opened.execute(f"set temp_directory = {literal(spill)}")
        yield opened


# A forked child must neither use its parent's engine nor end it: the threads that would have to agree are not there.
_inherited: list[duckdb.DuckDBPyConnection] = []


class ParquetWriter:
    """Writes columns to new Parquet files; keeps its connection, which takes longer to open than a shard to write."""

    def __init__(self) -> None:
        self._opened: duckdb.DuckDBPyConnection | None = None
        self._process = 0

    def write(self, columns: Mapping[str, Array], path: Path, compression: str = "zstd") -> None:
        """Write columns to a Parquet file; safe from several threads, and after a fork."""
        if self._opened is not None and self._process != os.getpid():
            _inherited.append(self._opened)
            self._opened = None
        if self._opened is None:
            self._opened, self._process = _opened(), os.getpid()
        cursor = self._opened.cursor()
        try:
            register(cursor, "columns", columns)
            written = f"(format parquet, compression {compression}, use_tmp_file false)"  # the path is a draft itself
            cursor.execute(f"copy (select * from columns) to {literal(str(path))} {written}")
        except duckdb.Error as trouble:
            self._opened = None  # after some errors an engine answers nothing any more
            if isinstance(trouble, duckdb.IOException):
                raise unwritable(path.parent, trouble) from None
            raise
        finally:
            cursor.close()


def quoted(name: str) -> str:
    """Write a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Write text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def condition(values: Mapping[str, Any]) -> str:
    """Write what rows with these values fulfil; a value that is missing is None or not a number."""
    return " and ".join(
        f"{quoted_where_needed(name)} is null"
        if value is None or value != value
        else f"{quoted_where_needed(name)} = {literal(value) if isinstance(value, str) else value}"
        for name, value in values.items()
    )


def quoted_where_needed(name: str) -> str:
    """Write a name as people would, with quotes where SQL needs them alone."""
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) and name.lower() not in _reserved() else quoted(name)


@cache
def _reserved() -> frozenset[str]:
    """Return the words that no column can be named by without quotes."""
    with connection() as opened:
        rows = opened.execute("select keyword_name from duckdb_keywords() where keyword_category = 'reserved'")
        return frozenset(name for (name,) in rows.fetchall())


def plain_path(path: str | Path) -> str:
    """Write a path so that DuckDB takes ``*``, ``?`` and ``[`` in it for themselves."""
    absolute = str(Path(path).absolute())
    try:
        absolute.encode()
    except UnicodeEncodeError:
        fault = Fault("the path", "must be UTF-8 where Parquet is read", repr(os.fsencode(absolute)))
        raise InputError("path", [fault]) from None
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in absolute)


def fetch(opened: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[object] = ()) -> dict[str, Array]:
    """Return a query's columns: float64 with NaN, int64, bool, or objects with None; integers with gaps as float64."""
    result = opened.execute(sql, list(parameters)).fetchnumpy()
    return {name: _unmasked(values) for name, values in result.items()}


def _unmasked(values: Any) -> Array:
    if np.ma.is_masked(values):
        return gaps_filled(values)
    return widened(np.asarray(values))


def only_row(opened: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    """Return the only row of an answer."""
    (row,) = opened.execute(sql).fetchall()
    return tuple(row)


# Rows from which on columns are read some at a time, and each different text once.
_MANY_ROWS = 100_000
# Columns read at once: what the engine holds of an answer stands beside the arrays that are made of it.
_AT_ONCE = 4
# Where more than this share of texts differ, numbering them takes longer than reading them.
_MANY_TEXTS = 0.2


def read_columns(
    opened: duckdb.DuckDBPyConnection, picked: Mapping[str, str], source: str, parameters: Sequence[object] = ()
) -> dict[str, Array | Texts]:
    """Return columns of files.

    Parameters
    ----------
    picked
        Expressions by the names of their columns; those of text end in ``::varchar``.
    """
    listed_all = ", ".join(f"{expression} as {quoted(name)}" for name, expression in picked.items())
    rows = fetch(opened, f"select count(*) as rows from {source}", parameters)["rows"][0]
    if rows < _MANY_ROWS:
        return dict(fetch(opened, f"select {listed_all} from {source}", parameters))
    texts = [name for name, expression in picked.items() if expression.endswith("::varchar")]
    others = [name for name in picked if name not in texts]
    columns: dict[str, Array | Texts] = {}
    for first in range(0, len(others), _AT_ONCE):
        batch = ", ".join(f"{picked[name]} as {quoted(name)}" for name in others[first : first + _AT_ONCE])
        columns |= fetch(opened, f"select {batch} from {source}", parameters)
    for name in texts:
        columns[name] = _read_texts(opened, picked[name], source, parameters, rows)
    return {name: columns[name] for name in picked}


def _read_texts(
    opened: duckdb.DuckDBPyConnection, text: str, source: str, parameters: Sequence[object], rows: int
) -> Array | Texts:
    """Return a column of text, each different one read once unless most differ."""
    many = fetch(opened, f"select approx_count_distinct({text}) as many from {source}", parameters)["many"][0]
    if many > _MANY_TEXTS * rows:
        return fetch(opened, f"select {text} as text from {source}", parameters)["text"]
    # A type cannot be made of a query with parameters.
    different = f"create or replace temp table __texts as select distinct {text} as text from {source}"
    opened.execute(different, list(parameters))
    opened.execute("create or replace type __text as enum (select text from __texts where text is not null)")
    words = fetch(opened, "select unnest(enum_range(null::__text))::varchar as text")["text"]
    coded = f"select coalesce(enum_code(({text})::__text)::integer, {len(words)}) as code from {source}"
    codes = fetch(opened, coded, parameters)["code"]
    return Texts(np.append(words, [None]).astype(object), codes.astype(np.int32))


def matching(columns: Mapping[str, Array], condition: str, source: str) -> Array:
    """Return which rows fulfil a condition, in SQL over the columns; ``error`` is ``test_error``."""
    count = len(next(iter(columns.values())))
    if not condition.strip():
        raise InputError(source, [Fault("the condition", "must not be empty", hint="For example: depth = 20")])
    # Text that is a condition stays one with brackets round it and without.
    query = f"select {_ROW} from rungs where ({condition}\n)"
    for sql in (f"select {_ROW} from rungs where {condition}", query):
        _check_statement(sql, f"condition {condition!r}", source, 'must be SQL such as "depth = 20 and density < 0.5"')
    rows = {name: columns[name] for name in mentioned(columns, query)} | {_ROW: np.arange(count)}
    selected = _answered(rows, query, f"condition {condition!r}", source, list(columns))
    mask = np.zeros(count, bool)
    mask[selected[_ROW].astype(np.int64)] = True
    return mask


def computed(
    columns: Mapping[str, Array], expression: str, place: str, source: str, count: int, columns_known: Iterable[str]
) -> Array:
    """Return what an expression in SQL gives for each of ``count`` rows, as safely as `matching` does.

    It is one expression over the columns: no query, no star, nothing that reads files.
    """
    must = "must be one expression in SQL over the columns, such as 1 - accuracy / 100"
    query = f"select {_ROW}, (\n{expression}\n) as __value from rungs"
    for sql in (f"select {expression}\n from rungs", query):
        _check_statement(sql, place, source, must)
    with connection() as opened:
        (written,) = only_row(opened, f"select json_serialize_sql({literal(query)})")
    tree = json.loads(written)
    value = tree["statements"][0]["node"]["select_list"][1] if not tree["error"] else {}
    if not value or re.search(r'"class": ?"(SUBQUERY|STAR|PARAMETER)"', json.dumps(value)):
        raise InputError(source, [Fault(place, must, "a query or a star within it")])
    if value.get("function_name") == "row":
        raise InputError(source, [Fault(place, must, "several expressions")])
    rows = {name: columns[name] for name in mentioned(columns, query)} | {_ROW: np.arange(count)}
    try:
        result = _answered(rows, query, place, source, list(columns_known))
    except InputError as trouble:
        if "GROUP BY" not in trouble.faults[0].found:
            raise
        hint = "A mean over all rows is avg(...) over ()."
        raise InputError(source, [Fault(place, "must give a value for each row", hint=hint)]) from None
    return np.asarray(result["__value"][np.argsort(result[_ROW], kind="stable")])


def answer(columns: Mapping[str, Array], sql: str, source: str, columns_known: Sequence[str]) -> dict[str, Array]:
    """Return what a query over ``rungs`` answers.

    Parameters
    ----------
    columns
        What the query can need.
    columns_known
        Names of all columns, for messages.
    """
    place = f"query {sql!r}"
    _check_statement(
        sql, place, source, 'must be one SELECT, such as "select depth, avg(error) from rungs group by depth"'
    )
    result = _answered(columns, sql, place, source, columns_known)
    if "*" in sql and {"error", "test_error"} <= result.keys():
        del result["error"]  # one column under two names is for asking, not for answering
    return result


def _answered(
    columns: Mapping[str, Array], sql: str, place: str, source: str, columns_known: Sequence[str]
) -> dict[str, Array]:
    with connection() as opened:
        _load(opened, columns, sql)
        # From here on the connection reaches no file, no network and no setting.
        opened.execute("set enable_external_access = false")
        opened.execute("set lock_configuration = true")
        try:
            return fetch(opened, sql)
        except duckdb.Error as trouble:
            raise InputError(source, [_query_fault(trouble, place, columns_known)]) from None


def _check_statement(sql: str, place: str, source: str, must: str) -> None:
    """Refuse what is not exactly one SELECT."""
    try:
        with connection() as opened:
            kinds = [statement.type for statement in opened.extract_statements(sql)]
    except duckdb.Error as trouble:
        words = _first_line(trouble).removeprefix("Parser Error: ")
        # Words about the bracket that was put round a condition would puzzle its author.
        raise InputError(
            source, [Fault(place, must, "" if '")"' in words or "end of input" in words else words)]
        ) from None
    if kinds != [duckdb.StatementType.SELECT]:
        raise InputError(source, [Fault(place, must)])


def register(opened: duckdb.DuckDBPyConnection, name: str, columns: Mapping[str, Array]) -> None:
    """Show columns to a connection as a view with the types that arrays have; missing numbers stay NaN."""
    kinds = {"f": "double", "i": "bigint", "b": "boolean"}
    typed = Columns.of(columns)
    picked, arrays = [], {}
    for place, column in enumerate(typed):
        texts = typed.column(column).encoded
        if texts is not None and 2 * len(texts.words) < len(texts) > _MANY_ROWS:
            # A million rows of text take more memory than the different texts and the places of the rows among them.
            words = f"__words_{name}_{place}"
            opened.register(words, {"place": np.arange(len(texts.words)), "word": texts.words})
            query = f"select list(word::varchar order by place) from {words}"
            opened.execute(f"set variable {words} = ({query})")
            arrays[column], value = texts.codes, f"getvariable('{words}')[{quoted(column)} + 1]"
        else:
            arrays[column] = typed[column]
            value = f"{quoted(column)}::{kinds.get(arrays[column].dtype.kind, 'varchar')}"
        picked.append(f"{value} as {quoted(column)}")
    opened.register(f"__{name}", arrays)
    opened.execute(f"create or replace temp view {name} as select {', '.join(picked)} from __{name}")


def _load(opened: duckdb.DuckDBPyConnection, columns: Mapping[str, Array], sql: str) -> None:
    """Create the table ``rungs`` that a query asks about: missing numbers are null, ``error`` is ``test_error``."""
    register(opened, "arrays", columns)
    picked = [
        f"nullif({quoted(name)}, 'nan'::double) as {quoted(name)}" if values.dtype.kind == "f" else quoted(name)
        for name, values in columns.items()
    ]
    if "test_error" in columns and re.search(r"(?<!\w)error(?!\w)", sql, re.IGNORECASE):
        picked.append("test_error as error")
    opened.execute(f"create table rungs as select {', '.join(picked)} from arrays")


def _query_fault(trouble: duckdb.Error, place: str, columns_known: Sequence[str]) -> Fault:
    """Say what is wrong with a user's SQL, with the nearest column where one is unknown."""
    words = _first_line(trouble)
    unknown = re.search(r'column "([^"]+)" not found', words)
    if unknown:
        hint = nearest(unknown[1], [*columns_known, "error"]) or f"There are {listed(columns_known, 40)}."
        return Fault(
            place, "must use columns that are there", repr(unknown[1]), f"{hint} Text stands in single quotes."
        )
    return Fault(place, "must be SQL over the columns", words)


def _first_line(trouble: duckdb.Error) -> str:
    return str(trouble).split("\n")[0].strip()


# What may follow the table's name in a query whose text names its columns: no alias, no join condition.
_PLAIN = re.compile(
    r"\b(?:from|join)\s+(?:rungs\s*(?=$|\)|;|(?:where|group|order|having|limit|qualify)\b)|\(\s*select\b)"
)
_OPAQUE = re.compile(r"--|/\*|#|\b(?:pivot|unpivot|summarize|describe|show|natural|with)\b|\bcolumns\s*\(")


def mentioned(names: Iterable[str], sql: str) -> list[str]:
    """Return the columns that a query can need: all, unless it plainly picks some by name."""
    columns = list(names)
    lowered = sql.lower().replace("count(*)", "").strip()
    sources = re.findall(r"\b(?:from|join|rungs)\b", lowered)
    plain = len(_PLAIN.findall(lowered)) == len(re.findall(r"\b(?:from|join)\b", lowered)) and (
        sources.count("rungs") == len(re.findall(r"\b(?:from|join)\s+rungs\b", lowered))
    )
    if not lowered.startswith("select") or "*" in lowered or _OPAQUE.search(lowered) or not plain:
        return columns
    unquoted = lowered.replace('""', '"')
    unquoted_names = [
        name for name in columns if name.lower() in unquoted or (name == "test_error" and "error" in lowered)
    ]
    return unquoted_names or columns
