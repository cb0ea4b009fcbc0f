"""Which rungs of a store have a second result, and how one of the two is picked."""

from __future__ import annotations

from typing import Literal

from prunescope.errors import PrunescopeError
from prunescope.table.columns import conform_stored
from prunescope.table.conflicts import Conflict, aside, same_results, set_aside
from prunescope.table.findings import Findings
from prunescope.table.schema import STORED_NAMES
from prunescope.table.store import Store


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
