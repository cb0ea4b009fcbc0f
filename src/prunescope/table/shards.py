"""The rows of a store: Parquet shards, written once, read together, packed now and then.

``rungs/1.<hash>.parquet`` is what one writer finished at one time; ``rungs/1.packed.<hash>.parquet`` replaces many of
them. 1 is the format of the rows. There is no index and no lock that correctness needs:

- Packing publishes the packed shard first and deletes its sources after. In between, rows stand twice; readers drop the
  second copy, so no query's answer ever changes.
- A reader lists the shards, reads them, and lists again. Where a shard vanished or a packed one appeared meanwhile, it
  reads what is new as well: what it read before stays true, and copies are dropped at the end.
- Rows of one rung that contradict each other are kept, both, and every reader refuses to choose.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np

from prunescope.errors import ConflictError, DamageError, PrunescopeError
from prunescope.table.durable import content_hash, new_draft, publish, sweep, verified
from prunescope.table.engine import ParquetWriter, connection, fetch, plain_path, quoted, register
from prunescope.table.schema import RESULTS, STORED, Kind
from prunescope.table.table import Array

FORMAT = 1
PACK_AT = 256
_MOST_PACKED = 8
_TRIES = 50
_NAME = re.compile(r"([0-9]+)\.(packed\.)?[0-9a-f]{40}\.parquet")
_SQL = {Kind.TEXT: "varchar", Kind.INTEGER: "bigint", Kind.NUMBER: "double", Kind.FLAG: "boolean"}
_KEY = ("ladder", "rung")
# Which of two copies is kept, so that every reader keeps the same.
_ORDER = ("started", "seconds", "device", "version", "study")
_ALL = tuple(column.name for column in STORED)


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
    """

    store: Path
    checked: set[str] = field(default_factory=set)
    writer: ParquetWriter = field(default_factory=ParquetWriter)

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
        return Listing(frozenset(small), frozenset(packed))

    def write(self, columns: Mapping[str, Array]) -> str:
        """Write rows as one new shard and return its name; when this returns, the rows are on the disk."""
        return self._publish({name: columns[name] for name in _ALL}, "")

    def _publish(self, columns: Mapping[str, Array], kind: str) -> str:
        draft = new_draft(self.store, ".parquet")
        try:
            # Compressing a shard of a few rows saves nothing and costs every reader a fifth of its time.
            self.writer.write(columns, draft, compression="zstd" if kind else "uncompressed")
            name = f"{FORMAT}.{kind}{content_hash(draft.read_bytes())}.parquet"
            publish(draft, self.folder / name)
        finally:
            draft.unlink(missing_ok=True)
        return name

    def load(self, names: Sequence[str]) -> dict[str, Array]:
        """Return the columns asked for, each rung once, in no particular order."""
        columns = self._gathered(names)
        # Two 64-bit hashes meet by chance once in 10^9 stores of 100,000 rungs; then this only takes the longer way.
        keys = columns.pop("__key")
        if len(np.unique(keys)) == len(keys):
            return columns
        every = self._gathered(_ALL)
        return {name: values for name, values in _once(every, str(self.store)).items() if name in columns}

    def _gathered(self, names: Sequence[str]) -> dict[str, Array]:
        """Return columns of all shards, copies of rows included, with a hash of each row's rung as ``__key``."""
        parts: list[dict[str, Array]] = []
        seen: set[str] = set()
        for _ in range(_TRIES):
            now = self.listing().all
            fresh = [name for name in now if name not in seen]
            try:
                if fresh or not parts:
                    parts.append(self._rows(fresh, names, keyed=True))
            except (FileNotFoundError, duckdb.IOException):
                if set(fresh) <= set(self.listing().all):
                    raise
                continue
            seen.update(fresh)
            later = self.listing()
            if later.packed <= seen and set(now) <= set(later.all):
                filled = [part for part in parts if len(part["__key"])] or parts[:1]
                return {name: np.concatenate([part[name] for part in filled]) for name in filled[0]}
        raise PrunescopeError(f"{self.store} is being packed all the time; try again")

    def _rows(self, shards: Sequence[str], names: Sequence[str], keyed: bool) -> dict[str, Array]:
        """Return columns of some shards, after checking their content, on all cores."""
        picked = [column for column in STORED if column.name in names]
        selected = [f"{quoted(column.name)}::{_SQL[column.kind]} as {quoted(column.name)}" for column in picked]
        if keyed:
            selected.append("hash(ladder, rung)::ubigint as __key")
        if not shards:
            nothing: dict[str, Array] = {column.name: np.empty(0, object) for column in picked}
            return nothing | ({"__key": np.empty(0, np.int64)} if keyed else {})
        # One engine reading thousands of small files keeps one core busy; one engine for each core does better.
        workers = min(os.cpu_count() or 1, len(shards))
        threads = max(1, (os.cpu_count() or 1) // workers)
        parts = [shards[position::workers] for position in range(workers)]
        with ThreadPoolExecutor(workers) as pool:
            found = list(pool.map(lambda part: self._part(part, ", ".join(selected), threads), parts))
        return {name: np.concatenate([part[name] for part in found]) for name in found[0]}

    def _part(self, shards: Sequence[str], selected: str, threads: int) -> dict[str, Array]:
        for name in shards:
            if name not in self.checked:
                verified(self.folder / name)
                self.checked.add(name)
        folder = plain_path(self.folder)
        paths = [f"{folder}/{name}" for name in shards]
        try:
            with connection(threads) as opened:
                return fetch(opened, f"select {selected} from read_parquet(?)", [paths])
        except duckdb.IOException:
            raise
        except duckdb.Error as trouble:
            words = str(trouble).split("\n")[0]
            raise DamageError(f"{self.folder} holds a shard that is no table of rungs: {words}") from None

    def pack(self) -> int:
        """Put many small shards into one; return how many were replaced. Safe at any moment, beside anybody."""
        now = self.listing()
        sources = sorted(now.small | (now.packed if len(now.packed) >= _MOST_PACKED else frozenset()))
        if len(sources) < 2:
            return 0
        try:
            rows = self._rows(sources, _ALL, keyed=False)
        except (FileNotFoundError, duckdb.IOException):
            if set(sources) <= set(self.listing().all):
                raise
            return 0  # another process packed them first
        rows = _once(rows)
        packed = self._publish(rows, "packed.")
        if len(self._rows([packed], ("rung",), keyed=False)["rung"]) != len(rows["rung"]):
            raise PrunescopeError(f"packing {self.store} would lose rows; its sources were left")
        for name in sources:
            if name != packed:
                (self.folder / name).unlink(missing_ok=True)
        sweep(self.store)
        return len(sources)


def _once(rows: Mapping[str, Array], refuse_for: str = "") -> dict[str, Array]:
    """Return rows without copies.

    Rows of one rung that agree in every result are copies. Where a store is named, rows of one rung that differ in a
    result are refused on its behalf; else they stay, all of them.
    """
    with connection() as opened:
        register(opened, "copies", rows)
        if refuse_for:
            refuse_contradictions(opened, "copies", refuse_for)
        key = listing_of((*_KEY, *RESULTS))
        return fetch(
            opened,
            f"select {listing_of(_ALL)} from copies "
            f"qualify row_number() over (partition by {key} order by {listing_of(_ORDER)}) = 1 order by ladder, rung",
        )


def listing_of(names: Sequence[str]) -> str:
    """Write names as a list of SQL identifiers."""
    return ", ".join(quoted(name) for name in names)


def refuse_contradictions(opened: duckdb.DuckDBPyConnection, table: str, source: str, ending: str = "") -> None:
    """Raise where a table of DuckDB's holds rows of one rung that differ in a result."""
    found = opened.execute(
        f"select ladder, rung from (select distinct {listing_of((*_KEY, *RESULTS))} from {table}) "
        "group by ladder, rung having count(*) > 1 order by ladder, rung"
    ).fetchall()
    if not found:
        return
    lines = [f"{source} holds different results for {len(found)} rung{'' if len(found) == 1 else 's'}:"]
    lines += [f"  ladder {ladder}, rung {rung}" for ladder, rung in found[:10]]
    lines += [f"  ... and {len(found) - 10} more"] if len(found) > 10 else []
    lines.append(f"One of them was not trained as its identity says. Keep the store that you trust.{ending}")
    raise ConflictError("\n".join(lines))
