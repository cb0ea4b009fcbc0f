"""The rows of a store: Parquet shards, written once, read together, packed now and then.

``rungs/1.<hash>.parquet`` is what one writer finished at one time; ``rungs/1.packed.<hash>.parquet`` replaces many
of them. 1 is the format of the rows. There is no index and no lock that correctness needs:

- Packing publishes the packed shard first and deletes its sources after. In between, rows stand twice; readers drop the
  second copy, so no query's answer ever changes.
- A reader lists the shards, reads them, and lists again. Where a shard vanished or a packed one appeared meanwhile,
  what it read may be short of rows, so it reads again.
- Rows of one rung that contradict each other are kept, both, and every reader refuses to choose.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from prunescope.errors import ConflictError, DamageError, PrunescopeError
from prunescope.table.durable import content_hash, new_draft, publish, sweep, verified
from prunescope.table.engine import ParquetWriter, connection, literal, plain_path, quoted
from prunescope.table.schema import RESULTS, STORED, Kind
from prunescope.table.table import Array

FORMAT = 1
PACK_AT = 256
_MOST_PACKED = 8
_TRIES = 50
_NAME = re.compile(r"([0-9]+)\.(packed\.)?[0-9a-f]{40}\.parquet")
_SQL = {Kind.TEXT: "varchar", Kind.INTEGER: "bigint", Kind.NUMBER: "double", Kind.FLAG: "boolean"}
_KEY = ("ladder", "rung")


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

    def write(self, columns: Mapping[str, Array]) -> Path:
        """Write rows as one new shard and return its path; when this returns, the rows are on the disk."""
        draft = new_draft(self.store, ".parquet")
        try:
            self.writer.write({column.name: columns[column.name] for column in STORED}, draft)
            target = self.folder / f"{FORMAT}.{content_hash(draft.read_bytes())}.parquet"
            publish(draft, target)
        finally:
            draft.unlink(missing_ok=True)
        return target

    def load(self, opened: duckdb.DuckDBPyConnection, names: Sequence[str]) -> None:
        """Create the table ``rungs`` with the columns asked for, each rung once."""
        picked = [column for column in STORED if column.name in names or column.name in _KEY]
        for _ in range(_TRIES):
            before = self.listing()
            try:
                self._verify(before.all)
                select = self._select(before.all, [column.name for column in picked])
                opened.execute(f"create or replace temp table rungs as {select}")
                self._drop_copies(opened, before.all)
            except (FileNotFoundError, duckdb.IOException):
                if set(before.all) <= set(self.listing().all):
                    raise
                continue
            except duckdb.Error as trouble:
                words = str(trouble).split("\n")[0]
                raise DamageError(f"{self.folder} holds a shard that is no table of rungs: {words}") from None
            after = self.listing()
            if set(before.all) <= set(after.all) and after.packed <= before.packed:
                return
        raise PrunescopeError(f"{self.store} is being packed all the time; try again")

    def _verify(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in self.checked:
                verified(self.folder / name)
                self.checked.add(name)

    def _select(self, shards: Sequence[str], names: Sequence[str], also: str = "") -> str:
        columns = [column for column in STORED if column.name in names]
        picked = ", ".join(f"{quoted(c.name)}::{_SQL[c.kind]} as {quoted(c.name)}" for c in columns)
        if not shards:
            nothing = ", ".join(f"null::{_SQL[c.kind]} as {quoted(c.name)}" for c in columns)
            return f"select {nothing} where false"
        paths = ", ".join(literal(plain_path(self.folder / name)) for name in shards)
        return f"select {picked} from read_parquet([{paths}]) {also}"

    def _drop_copies(self, opened: duckdb.DuckDBPyConnection, shards: Sequence[str]) -> None:
        total, distinct = opened.execute("select count(*), count(distinct (ladder, rung)) from rungs").fetchone() or (
            0,
            0,
        )
        if total == distinct:
            return
        opened.execute(f"create or replace temp table doubted as {self._select(shards, [*_KEY, *RESULTS, *_ORDER])}")
        found = opened.execute(
            f"select ladder, rung from (select distinct {_columns((*_KEY, *RESULTS))} from doubted) "
            "group by ladder, rung having count(*) > 1 order by ladder, rung"
        ).fetchall()
        opened.execute("drop table doubted")
        if found:
            raise ConflictError(contradiction(str(self.store), found))
        names = [row[0] for row in opened.execute("describe rungs").fetchall()]
        every = self._select(shards, list(dict.fromkeys([*names, *_ORDER, *_KEY])))
        opened.execute(f"create or replace temp table rungs as {_once(every, names, _KEY)}")

    def pack(self) -> int:
        """Put many small shards into one; return how many were replaced. Safe at any moment, beside anybody."""
        now = self.listing()
        sources = sorted(now.small | (now.packed if len(now.packed) >= _MOST_PACKED else frozenset()))
        if len(sources) < 2:
            return 0
        try:
            self._verify(sources)
            draft = new_draft(self.store, ".parquet")
            try:
                target = self._packed(sources, draft)
            finally:
                draft.unlink(missing_ok=True)
        except (FileNotFoundError, duckdb.IOException):
            if set(sources) <= set(self.listing().all):
                raise
            return 0  # another process packed them first
        for name in sources:
            if name != target:
                (self.folder / name).unlink(missing_ok=True)
        sweep(self.store)
        return len(sources)

    def _packed(self, sources: Sequence[str], draft: Path) -> str:
        names = [column.name for column in STORED]
        with connection() as opened:
            # Only rows that agree in every result are copies of each other.
            rows = _once(self._select(sources, names), names, (*_KEY, *RESULTS))
            opened.execute(f"create temp table packed as {rows} order by {_columns((*_KEY, *_ORDER))}")
            opened.execute(f"copy packed to {literal(str(draft))} (format parquet, compression zstd)")
            kept = f"select count(*), count(distinct (ladder, rung)) from read_parquet({literal(plain_path(draft))})"
            wanted = f"select count(distinct (ladder, rung)) from ({self._select(sources, _KEY)})"
            rows_kept, rungs_kept = opened.execute(kept).fetchone() or (0, 0)
            (rungs_wanted,) = opened.execute(wanted).fetchone() or (-1,)
            if rungs_kept != rungs_wanted or rows_kept < rungs_kept:
                raise PrunescopeError(f"packing {self.store} would lose rows; nothing was changed")
        name = f"{FORMAT}.packed.{content_hash(draft.read_bytes())}.parquet"
        publish(draft, self.folder / name)
        return name


# Which of two copies is kept, so that every reader keeps the same.
_ORDER = ("started", "seconds", "device", "version", "study")


def _columns(names: Sequence[str]) -> str:
    return ", ".join(quoted(name) for name in names)


def _once(select: str, names: Sequence[str], key: Sequence[str]) -> str:
    """Return SQL for the rows of a selection, one for each key."""
    return (
        f"select {_columns(names)} from ({select}) "
        f"qualify row_number() over (partition by {_columns(key)} order by {_columns(_ORDER)}) = 1"
    )


def contradiction(source: str, rungs: Sequence[tuple[str, int]]) -> str:
    """Say that rungs have more than one result."""
    lines = [f"{source} holds different results for {len(rungs)} rung{'' if len(rungs) == 1 else 's'}:"]
    lines += [f"  ladder {ladder}, rung {rung}" for ladder, rung in rungs[:10]]
    lines += [f"  ... and {len(rungs) - 10} more"] if len(rungs) > 10 else []
    lines.append("One of them was not trained as its identity says. Keep the store that you trust.")
    return "\n".join(lines)
