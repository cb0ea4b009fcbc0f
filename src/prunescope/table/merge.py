"""Stores joined into one: contradictions are found before the first file is copied; a merge cut short is run again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from prunescope.errors import ConflictError, Fault, InputError, PrunescopeError
from prunescope.table.arrays import IDENTITY, ArrayKind, joined_arrays
from prunescope.table.durable import is_own, new_draft, publish, verified
from prunescope.table.schema import RESULTS
from prunescope.table.shards import refuse_contradictions
from prunescope.table.store import Store

_TRIES = 10
_KEPT = re.compile(r"[0-9a-z]+(\.packed)?\.[0-9a-f]{40}\.(parquet|toml|json|safetensors)")


def merge(into: Store, others: Sequence[Store]) -> int:
    """Copy everything of other stores into one; return how many rungs it gained.

    Raises
    ------
    ConflictError
        Where two stores hold different results or arrays for one rung; then nothing was copied.
    """
    same = [other for other in others if other.path.samefile(into.path)]
    if same:
        raise InputError(str(into.path), [Fault("the stores", "must differ from the one they are merged into")])
    before = sum(map(len, into.done().values()))
    refuse_unlike([into, *others])
    for other in others:
        # Where another process packs or writes there meanwhile, a listing may miss rows that a look afterwards shows.
        for _ in range(_TRIES):
            _copy(other, into)
            if _holds(into, other):
                break
        else:
            raise PrunescopeError(f"{other.path} changes all the time; merge it again when it is at rest")
    return sum(map(len, into.done().values())) - before


def _copy(source: Store, into: Store) -> None:
    for relative in _files(source.path):
        if (into.path / relative).exists():
            continue
        try:
            content = verified(source.path / relative)
        except FileNotFoundError:
            continue  # packed away since it was listed
        publish(into.path, new_draft(into.path, relative.suffix, content), into.path / relative)


def _holds(into: Store, source: Store) -> bool:
    ours = into.done()
    return all(rungs <= ours.get(ladder, frozenset()) for ladder, rungs in source.done().items())


def refuse_unlike(stores: Sequence[Store]) -> None:
    """Raise where stores hold different results or arrays for one rung."""
    loaded = []
    for store in stores:
        if store.shards.listing().all:
            table = store.table()  # what no reader would accept is not spread
            columns = {name: table[name] for name in ("ladder", "rung", *RESULTS)}
            loaded.append(columns | {"__source": np.full(len(table), str(store.path), object)})
    if loaded:
        together = {name: np.concatenate([columns[name] for columns in loaded]) for name in loaded[0]}
        refuse_contradictions(together, "The stores hold", "Keep the store that you trust. Nothing was merged.")
    _refuse_other_arrays([store.path for store in stores])


def _files(root: Path) -> list[Path]:
    """List what a store keeps, by strict names: a stranger's store gets no other file copied, and no link followed."""
    conflicts = []
    folders = [root / name for name in ("studies", "recorded", "failures", "rungs")]
    for keep in ArrayKind:
        folder = root / keep
        if folder.is_dir() and not folder.is_symlink():
            ladders = [entry for entry in folder.iterdir() if IDENTITY.fullmatch(entry.name)]
            folders += [entry for entry in ladders if entry.is_dir() and not entry.is_symlink()]
    for folder in folders:
        if not folder.is_dir():
            continue
        for path in sorted(folder.iterdir()):
            if _KEPT.fullmatch(path.name) and is_own(path):
                conflicts.append(path.relative_to(root))
    return conflicts


def _refuse_other_arrays(roots: Sequence[Path]) -> None:
    """Raise where two stores hold different values for one array of a rung; one may have arrays that another lacks."""
    files_by_name: dict[tuple[Path, str], dict[str, Path]] = {}
    for root in roots:
        for relative in _files(root):
            if relative.suffix == ".safetensors":
                of_rung = files_by_name.setdefault((relative.parent, relative.name.split(".")[0]), {})
                of_rung.setdefault(relative.name, root / relative)
    for files in files_by_name.values():
        if len(files) > 1:
            try:
                joined_arrays(list(files.values()))
            except ConflictError as trouble:
                raise ConflictError(f"{trouble} Nothing was merged.") from None
