"""Stores joined into one, and rungs that have two results: which they are, and how one of the two is picked.

What is there stays, and what contradicts it is set aside. A merge cut short is run again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from prunescope.errors import ConflictError, Fault, InputError, PrunescopeError
from prunescope.table.arrays import IDENTITY, ArrayKind, conflicting, found_arrays, joined_arrays
from prunescope.table.coded import plain
from prunescope.table.columns import conform_stored
from prunescope.table.conflicts import Conflict, aside, same_results, set_aside
from prunescope.table.durable import is_own, new_draft, publish, verified
from prunescope.table.findings import Findings
from prunescope.table.schema import STORED_NAMES
from prunescope.table.shards import contradictions
from prunescope.table.store import Store
from prunescope.table.table import Table

_TRIES = 10
KEPT_NAME = re.compile(r"[0-9a-z]+(\.packed|\.[0-9]{4,})?\.[0-9a-f]{40}\.(parquet|toml|json|safetensors)")
FOLDERS = ("studies", "recorded", "failures", "rungs", "conflicts")
_Rung = tuple[str, int]


def merge(into: Store, others: Sequence[Store]) -> int:
    """Copy everything of other stores into one; return how many rungs it gained.

    Results and arrays of a rung that differ from what is there are set aside under ``conflicts/``.
    """
    same = [other for other in others if other.path.samefile(into.path)]
    if same:
        raise InputError(str(into.path), [Fault("the stores", "must differ from the one they are merged into")])
    before = sum(map(len, into.done().values()))
    check_rows([into, *others])
    for other in others:
        # Where another process packs or writes there meanwhile, a listing may miss rows that a look afterwards shows.
        for _ in range(_TRIES):
            _copy(other, into, _unlike(into, other))
            if _holds(into, other):
                break
        else:
            raise PrunescopeError(f"{other.path} changes all the time; merge it again when it is at rest")
    return sum(map(len, into.done().values())) - before


def check_rows(stores: Sequence[Store]) -> None:
    """Raise where a store holds rows that no reader accepts: they are not spread."""
    for store in stores:
        _table(store)


def _table(store: Store) -> Table | None:
    return store.table() if store.shards.listing().all else None


def _unlike(into: Store, other: Store) -> dict[_Rung, dict[str, Any]]:
    """Return the rows of another store that contradict the one that is merged into."""
    tables = [table for table in (_table(into), _table(other)) if table is not None]
    if len(tables) < 2:
        return {}
    together = {name: np.concatenate([table[name] for table in tables]) for name in STORED_NAMES}
    differing = {(str(rows[0]["ladder"]), int(rows[0]["rung"])): rows for rows in contradictions(together)}
    ours, unlike = tables[0], dict[_Rung, dict[str, Any]]()
    if not differing:
        return unlike
    for place, rung in enumerate(zip(ours["ladder"].tolist(), ours["rung"].tolist(), strict=True)):
        if rung in differing:
            mine = {name: ours[name][place] for name in STORED_NAMES}
            unlike[rung] = next(row for row in differing[rung] if not same_results(row, _as_stored(mine)))
    return unlike


def _as_stored(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None if value != value else value for name, value in row.items()}


def _copy(source: Store, into: Store, unlike: Mapping[_Rung, Mapping[str, Any]]) -> None:
    """Copy the files of a store; where rows contradict what is there, the rows beside them and not the shard."""
    set_aside(into.path, unlike.values(), f"merged from {source.path}")
    mixed = _copy_beside(source, into, unlike) if unlike else frozenset()
    for relative in kept_files(source.path):
        target = into.path / relative
        if target.exists() or relative.name in mixed:
            continue
        if relative.suffix == ".safetensors" and _contradict(source.path / relative, into.path, relative, unlike):
            target = conflicting(into.path, target)
        try:
            content = verified(source.path / relative)
        except FileNotFoundError:
            continue  # packed away since it was listed
        publish(into.path, new_draft(into.path, relative.suffix, content), target)


def _copy_beside(source: Store, into: Store, unlike: Mapping[_Rung, object]) -> frozenset[str]:
    """Copy the rows that stand in one shard with rows that are not copied; return the names of these shards."""
    columns = {name: plain(values) for name, values in source.shards.all_rows().items()}
    rungs = zip(columns["ladder"].tolist(), columns["rung"].tolist(), strict=True)
    left = np.array([rung in unlike for rung in rungs], bool)
    mixed = np.isin(columns["__source"], sorted(set(columns["__source"][left].tolist())))
    beside = mixed & ~left
    if beside.any():
        into.shards.write({name: columns[name][beside] for name in STORED_NAMES})
    return frozenset(Path(path).name for path in columns["__source"][mixed].tolist())


def _contradict(path: Path, into: Path, relative: Path, unlike: Mapping[_Rung, object]) -> bool:
    """Whether a file of arrays belongs to a row that is set aside, or differs from what the rung has."""
    keep, ladder, rung = ArrayKind(relative.parts[0]), relative.parts[1], int(relative.name.split(".")[0])
    if (ladder, rung) in unlike:
        return True
    try:
        joined_arrays([*found_arrays(into, keep, ladder, rung), path])
    except ConflictError:
        return True
    except FileNotFoundError:
        return False
    return False


def _holds(into: Store, source: Store) -> bool:
    ours = into.done()
    return all(rungs <= ours.get(ladder, frozenset()) for ladder, rungs in source.done().items())


def kept_files(root: Path, folders: Sequence[str] = FOLDERS) -> list[Path]:
    """List what a store keeps, by strict names: a stranger's store gets no other file copied, and no link followed.

    Parameters
    ----------
    folders
        Those looked into beside those of arrays.
    """
    listed = []
    places = [root / name for name in folders]
    for keep in ArrayKind:
        folder = root / keep
        if folder.is_dir() and not folder.is_symlink():
            ladders = [entry for entry in folder.iterdir() if IDENTITY.fullmatch(entry.name)]
            places += [entry for entry in ladders if entry.is_dir() and not entry.is_symlink()]
    for folder in places:
        if not folder.is_dir():
            continue
        for path in sorted(folder.iterdir()):
            if KEPT_NAME.fullmatch(path.name) and is_own(path):
                listed.append(path.relative_to(root))
    return listed


def conflicts(store: Store) -> tuple[Conflict, ...]:
    """Return the rungs that have a second result, set aside or beside the first, in the order of their ladders."""
    lying, beside = aside(store.path), store.shards.contradictions()
    if not lying and not beside:
        return ()
    firsts = store.rows_of({(row["ladder"], row["rung"]) for _, row, _ in lying})
    pairs = [Conflict(rows[0], row) for rows in beside for row in rows[1:]]
    for path, row, writer in lying:
        first = firsts.get((row["ladder"], row["rung"]))
        if first is not None and not same_results(first, row):
            pairs.append(Conflict(first, row, writer, path))
    return tuple(sorted(pairs, key=lambda conflict: (conflict.ladder, conflict.rung)))


def resolve(store: Store, conflict: Conflict, keep: Literal["first", "second"]) -> None:
    """Let one of two results count; the other goes to ``conflicts/settled/``."""
    picked, other = conflict.first, conflict.second
    if keep == "second":
        picked, other = other, picked
    with store.leases.claimed(["pack"]) as free:
        if not free:
            raise PrunescopeError(f"another process is packing {store.path}; try again when it is done")
        set_aside(store.path, [other], conflict.writer if keep == "first" else "", settled=True)
        if keep == "second" or conflict.path is None:
            findings = Findings(str(conflict.path or store.path))
            row = conform_stored({name: [picked.get(name)] for name in STORED_NAMES}, findings)
            store.shards.replace({name: row[name] for name in STORED_NAMES})
        if conflict.path is not None:
            conflict.path.unlink(missing_ok=True)
