"""The rows of a store: Parquet shards, written once, read together, packed now and then.

``rungs/1.<hash>.parquet`` is what one writer finished at one time; ``rungs/1.packed.<hash>.parquet`` replaces many of
them. 1 is the format of the rows. There is no index and no lock that correctness needs:

- Packing publishes the packed shard first and deletes its sources after. In between, rows stand twice; readers drop the
  second copy, so no query's answer ever changes.
- A reader lists the shards, reads them, and lists again. Where a shard vanished or a packed one appeared meanwhile, it
  reads what is new as well: what it read before stays true, and copies are dropped at the end.
- A file system may list a folder as it was a minute ago. Then shards are listed that were packed since; a reader waits
  until the listing is newer. What a process wrote itself it knows, listed or not.
- Of rows of one rung that contradict each other the first counts; packing sets the others aside (`conflicts`).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from prunescope.errors import (
    MEMORY_HINT,
    DamageError,
    PrunescopeError,
    is_out_of_memory,
    unwritable,
)
from prunescope.table.coded import Texts, joined, plain
from prunescope.table.conflicts import row_of, same_results, set_aside
from prunescope.table.duckdb_engine import (
    ParquetWriter,
    connection,
    fetch,
    literal,
    plain_path,
    quoted,
    read_columns,
    register,
    spilling,
)
from prunescope.table.durable import file_hash, new_draft, publish, sweep, verify
from prunescope.table.findings import Array
from prunescope.table.schema import CIRCUMSTANCES, RESULTS, STORED, STORED_NAMES, Kind

FORMAT = 1
PACK_AT = 256
_MOST_PACKED = 8
_TRIES = 50
_LONGEST_WAIT = 3.0  # seconds between two tries; all of them take two minutes
_MOST_ENGINES = 8
_NAME = re.compile(r"([0-9]+)\.(packed\.)?[0-9a-f]{40}\.parquet")
_SQL = {Kind.TEXT: "varchar", Kind.INTEGER: "bigint", Kind.NUMBER: "double", Kind.FLAG: "boolean"}
_NUMPY = {Kind.TEXT: object, Kind.INTEGER: np.int64, Kind.NUMBER: np.float64, Kind.FLAG: np.bool_}
# Columns that stores of earlier versions lack, as missing values.
_LATER = ("source", "test_examples")
_KEY = ("ladder", "rung")
# Of rows for one rung, the one that started first; what tells them apart without that decides for all readers alike.
_ORDER = ", ".join((*CIRCUMSTANCES, *RESULTS))
_FIRST = f"qualify row_number() over (partition by {', '.join(_KEY)} order by {_ORDER}) = 1"


@dataclass(frozen=True)
class Listing:
    """Names of the shards in a store at one moment."""

    small: frozenset[str]
    packed: frozenset[str]

    @property
    def all(self) -> list[str]:
        """All names, in one order."""
        return sorted(self.small | self.packed)


@dataclass
class Shards:
    """The shards of one store.

    Attributes
    ----------
    checked
        Names of shards whose content was found sound in this process.
    contradicted
        Whether rows of one rung contradicted each other when they were read last.
    """

    store: Path
    checked: set[str] = field(default_factory=set)
    writer: ParquetWriter = field(default_factory=ParquetWriter)
    contradicted: bool = False
    _written: set[str] = field(default_factory=set)

    @property
    def folder(self) -> Path:
        """Where the shards are."""
        return self.store / "rungs"

    def listing(self) -> Listing:
        """List the shards; other files are no part of the store."""
        small: set[str] = set()
        packed: set[str] = set()
        try:
            entries = list(os.scandir(self.folder))
        except FileNotFoundError:
            entries = []
        for entry in entries:
            match = _NAME.fullmatch(entry.name)
            if match and entry.is_file(follow_symlinks=False):
                if int(match[1]) != FORMAT:
                    raise PrunescopeError(f"{self.folder / entry.name} was written by another version of prunescope")
                (packed if match[2] else small).add(entry.name)
        self._written = {name for name in self._written - small - packed if (self.folder / name).is_file()}
        for name in self._written:
            (packed if ".packed." in name else small).add(name)
        return Listing(frozenset(small), frozenset(packed))

    def write(self, columns: Mapping[str, Array]) -> str:
        """Write rows as one new shard and return its name; when this returns, the rows are on the disk."""
        draft = new_draft(self.store, ".parquet")
        try:
            # Compressing a shard of a few rows saves nothing and costs every reader a fifth of its time.
            self.writer.write({name: columns[name] for name in STORED_NAMES}, draft, compression="uncompressed")
            return self._placed(draft, "")
        finally:
            draft.unlink(missing_ok=True)

    def _placed(self, draft: Path, kind: str) -> str:
        name = f"{FORMAT}.{kind}{file_hash(draft)}.parquet"
        publish(self.store, draft, self.folder / name)
        self._written.add(name)
        return name

    def load(self, names: Sequence[str]) -> dict[str, Array | Texts]:
        """Return the columns asked for, each rung once, in no particular order."""
        columns = self._gathered(names)
        # Two 64-bit hashes meet by chance once in 10^9 stores of 100,000 rungs; then this only takes the longer way.
        keys = np.sort(plain(columns.pop("__key")))
        self.contradicted = False
        if not (keys[1:] == keys[:-1]).any():
            return columns
        stored = {name: plain(values) for name, values in self.all_rows().items()}
        self.contradicted = bool(contradictions(stored))
        return {name: values for name, values in _once(stored).items() if name in columns}

    def all_rows(self) -> dict[str, Array | Texts]:
        """Return the rows of all shards, copies included, with the path of each row's shard as ``__source``."""
        return self._gathered(STORED_NAMES, sources=True)

    def contradictions(self) -> list[list[dict[str, Any]]]:
        """Return the rows of each rung that stands with different results, each result once, the first one first."""
        keys = np.sort(plain(self._gathered(_KEY)["__key"]))
        if not (keys[1:] == keys[:-1]).any():
            return []
        return contradictions({name: plain(values) for name, values in self._gathered(STORED_NAMES).items()})

    def replace(self, row: Mapping[str, Array]) -> None:
        """Let a row be the only one of its rung. Until its shard is published, the store is as it was."""
        columns = {name: plain(values) for name, values in self.all_rows().items()}
        its = (columns["ladder"] == row["ladder"][0]) & (columns["rung"] == row["rung"][0])
        sources = set(columns["__source"][its].tolist())
        beside = np.isin(columns["__source"], sorted(sources)) & ~its
        shard = self.write({name: np.concatenate([columns[name][beside], row[name]]) for name in STORED_NAMES})
        for source in sources:
            if Path(source).name != shard:
                (self.folder / Path(source).name).unlink(missing_ok=True)

    def _gathered(self, names: Sequence[str], sources: bool = False) -> dict[str, Array | Texts]:
        """Return columns of all shards, copies of rows included, with a hash of each row's rung as ``__key``."""
        parts: list[dict[str, Array | Texts]] = []
        merged: set[str] = set()
        for attempt in range(_TRIES):
            now = self.listing().all
            fresh = [name for name in now if name not in merged]
            try:
                if fresh or not parts:
                    parts.append(self.rows(fresh, names, sources))
            except FileNotFoundError:
                if set(fresh) <= set(self.listing().all):
                    time.sleep(min(_LONGEST_WAIT, 0.01 * 1.5**attempt))
                continue
            merged.update(fresh)
            later = self.listing()
            if later.packed <= merged and set(now) <= set(later.all):
                filled = [columns for columns in parts if len(columns["__key"])] or parts[:1]
                return {name: joined([columns.pop(name) for columns in filled]) for name in list(filled[0])}
        raise PrunescopeError(f"{self.store} is being packed all the time; try again")

    def rows(self, shards: Sequence[str], names: Sequence[str], sources: bool = False) -> dict[str, Array | Texts]:
        """Return columns of some shards, after checking their content, on all cores.

        ``__key`` is a hash of each row's rung; where sources are asked for, ``__source`` is the path of its shard.
        """
        picked = [column for column in STORED if column.name in names]
        selected = {column.name: f"{quoted(column.name)}::{_SQL[column.kind]}" for column in picked}
        selected["__key"] = "hash(ladder, rung)::ubigint"
        if sources:
            selected["__source"] = "filename"
        if not shards:
            nothing: dict[str, Array | Texts] = {column.name: np.empty(0, _NUMPY[column.kind]) for column in picked}
            return nothing | {"__key": np.empty(0, np.int64)} | ({"__source": np.empty(0, object)} if sources else {})
        # One engine reading thousands of small files keeps one core busy; one engine for each core does better.
        workers = min(os.cpu_count() or 1, len(shards), _MOST_ENGINES)
        threads = max(1, (os.cpu_count() or 1) // workers)
        parts = [shards[position::workers] for position in range(workers)]
        with ThreadPoolExecutor(workers) as pool:
            columns = list(pool.map(lambda shard: self._part(shard, selected, threads), parts))
        return {name: joined([piece.pop(name) for piece in columns]) for name in list(columns[0])}

    def _verify(self, shards: Sequence[str]) -> None:
        for name in shards:
            if name not in self.checked:
                verify(self.folder / name)
                self.checked.add(name)

    def _part(self, shards: Sequence[str], selected: Mapping[str, str], threads: int) -> dict[str, Array | Texts]:
        self._verify(shards)
        with self._reading(shards), connection(threads) as opened:
            named = ", filename = true" if "__source" in selected else ""
            read = f"read_parquet(?, hive_partitioning = false{named})"
            paths = self._paths(shards)
            if not any(name in selected for name in _LATER):
                return read_columns(opened, selected, read, [paths])
            try:
                return read_columns(opened, selected, read, [paths])
            except duckdb.Error:  # some of them may have been written before there was such a column
                return read_columns(
                    opened,
                    selected,
                    _filled(f"read_parquet(?, hive_partitioning = false, union_by_name = true{named})"),
                    [paths],
                )

    def _paths(self, shards: Sequence[str]) -> list[str]:
        folder = plain_path(self.folder)
        return [f"{folder}/{name}" for name in shards]

    @contextmanager
    def _reading(self, shards: Sequence[str]) -> Iterator[None]:
        """Say what is wrong where the engine cannot read shards."""
        try:
            yield
        except duckdb.Error as trouble:
            gone = next((name for name in shards if not (self.folder / name).exists()), None)
            if gone is not None:
                raise FileNotFoundError(gone) from None
            words = str(trouble).split("\n")[0]
            if is_out_of_memory(trouble):
                raise PrunescopeError(f"{self.folder} cannot be read: {words}. {MEMORY_HINT}") from None
            raise DamageError(f"{self.folder} holds a shard that is no table of rungs: {words}") from None

    def _packed(self, sources: Sequence[str]) -> str:
        """Write the rows of some shards as one packed shard and return its name; memory does not grow with them."""
        draft = new_draft(self.store, ".parquet")
        columns = [
            f"coalesce({quoted(column.name)}::double, 'nan'::double) as {quoted(column.name)}"
            if column.kind is Kind.NUMBER
            else f"{quoted(column.name)}::{_SQL[column.kind]} as {quoted(column.name)}"
            for column in STORED
        ]
        paths = ", ".join(map(literal, self._paths(sources)))
        options = "hive_partitioning = false, union_by_name = true, filename = true"
        try:
            with self._reading(sources), spilling(draft.parent) as opened:
                opened.execute(
                    f"create view rows as select {', '.join(columns)}, filename as __source "
                    f"from {_filled(f'read_parquet([{paths}], {options})')}"
                )
                count = "select count(*) from"
                rungs = opened.execute(f"{count} (select distinct {_listing_of(_KEY)} from rows)").fetchall()
                copied = opened.execute(f"{count} rows").fetchall() != rungs
                if copied:
                    for rows in _contradictions(opened):
                        set_aside(self.store, rows[1:], "")
                try:
                    opened.execute(
                        f"copy (select {_listing_of(STORED_NAMES)} from rows {_FIRST if copied else ''} "
                        f"order by {_listing_of(_KEY)}) to {literal(str(draft))} "
                        "(format parquet, compression zstd, use_tmp_file false)"
                    )
                except duckdb.IOException as trouble:
                    raise unwritable(self.store, trouble) from None
                written = opened.execute(f"{count} read_parquet({literal(plain_path(draft))})").fetchall()
            if written != rungs:
                raise PrunescopeError(f"packing {self.store} would lose rows; its sources were left")
            return self._placed(draft, "packed.")
        finally:
            draft.unlink(missing_ok=True)

    def pack(self) -> int:
        """Put many small shards into one; return how many were replaced. Safe at any moment, beside anybody."""
        now = self.listing()
        sources = sorted(now.small | (now.packed if len(now.packed) >= _MOST_PACKED else frozenset()))
        try:
            self._verify(now.all)
            if len(sources) < 2:
                return 0
            packed = self._packed(sources)
        except FileNotFoundError:
            return 0  # another process packed them first
        for name in sources:
            if name != packed:
                (self.folder / name).unlink(missing_ok=True)
        sweep(self.store)
        return len(sources)


def _filled(rows: str) -> str:
    """Return rows of shards with the columns that all of them may lack."""
    missing = ", ".join(
        f"null::{_SQL[column.kind]} as {quoted(column.name)}" for column in STORED if column.name in _LATER
    )
    return f"(select * from {rows} union all by name select {missing} where false)"


def _once(rows: Mapping[str, Array]) -> dict[str, Array]:
    """Return rows without copies."""
    with connection() as opened:
        register(opened, "copies", {name: rows[name] for name in STORED_NAMES})
        return fetch(opened, f"select {_listing_of(STORED_NAMES)} from copies {_FIRST} order by {_listing_of(_KEY)}")


def _listing_of(names: Sequence[str]) -> str:
    """Write names as a list of SQL identifiers."""
    return ", ".join(quoted(name) for name in names)


def contradictions(rows: Mapping[str, Array]) -> list[list[dict[str, Any]]]:
    """Return the rows of each rung that has different results, each result once, the first one first."""
    with connection() as opened:
        register(opened, "rows", {name: rows[name] for name in STORED_NAMES})
        return _contradictions(opened)


def _contradictions(opened: duckdb.DuckDBPyConnection) -> list[list[dict[str, Any]]]:
    """Return the same of a view ``rows``."""
    rungs = opened.execute(
        f"select ladder, rung from (select distinct {_listing_of((*_KEY, *RESULTS))} from rows) "
        "group by ladder, rung having count(*) > 1 order by ladder, rung"
    ).fetchall()
    different = []
    for ladder, rung in rungs:
        copies = fetch(
            opened,
            f"select {_listing_of(STORED_NAMES)} from rows where ladder = ? and rung = ? order by {_ORDER}",
            [ladder, rung],
        )
        results: list[dict[str, Any]] = []
        for place in range(len(copies["ladder"])):
            row = row_of(copies, place)
            if not any(same_results(row, other) for other in results):
                results.append(row)
        different.append(results)
    return different
