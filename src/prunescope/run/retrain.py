"""A finished rung is trained again from what a store kept, in a store of its own. The user's store is not touched.

It starts from the sparsest rung whose successor can be begun: mostly from the rung itself, whose mask and rewind point
are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from prunescope.errors import InputError
from prunescope.nets import Network
from prunescope.prune import RungHandover, full
from prunescope.prune.checkpoints import inherited, started
from prunescope.run.artifacts import layers_of
from prunescope.study import Ladder, Study
from prunescope.table import Store
from prunescope.table.coded import optimal_rung
from prunescope.table.schema import STORED_NAMES

FROM_MASK = ("weights", "reinitialise")
"""Rewindings of imp after which a rung begins from its mask and what the first rung left."""

Rows = Mapping[int, Mapping[str, Any]]
"""The stored columns of a ladder's finished rungs."""


@dataclass(frozen=True)
class Restart:
    """From where a rung is trained again.

    Attributes
    ----------
    ladder
        With no more levels than to this rung.
    first
        The first rung to train.
    before
        What the rung below left; None where training begins anew.
    rows
        Of the rungs below.
    """

    ladder: Ladder
    first: int
    before: RungHandover | None
    rows: Sequence[Mapping[str, Any]]


def stored_ladders(store: Store) -> dict[str, tuple[Ladder, Study]]:
    """Return the ladders of all studies in a store, each as the study with most rungs for it has it."""
    ladders: dict[str, tuple[Ladder, Study]] = {}
    for study in store.studies():
        for ladder in study.ladders:
            if ladder.identity not in ladders or ladders[ladder.identity][0].rungs < ladder.rungs:
                ladders[ladder.identity] = ladder, study
    return ladders


def restart_of(store: Store, ladder: Ladder, rows: Rows, rung: int, network: Network) -> Restart:
    """Find from where a rung can be trained again.

    Parameters
    ----------
    network
        Of rung 0.
    """
    shorter = ladder
    if ladder.rungs > rung + 1:
        shorter = replace(ladder, recipe=ladder.recipe.model_copy(update={"levels": rung}))
    first, before = rung, None
    while first:
        if all(below in rows for below in range(first)):
            if ladder.treatment.kind == "narrow":  # every rung begins anew
                break
            before = _before(store, ladder, first, network)
            if before is not None:
                break
        first -= 1
    return Restart(shorter, first, before, [rows[below] for below in range(first)])


def prepare(store: Store, target: Store, restart: Restart, network: Network) -> None:
    """Copy what a restart goes on from, or learns from, out of a store into another.

    Parameters
    ----------
    network
        Of rung 0.
    """
    ladder = restart.ladder
    if ladder.learns:
        _copy_teacher(store, target, ladder)
    if ladder.scorer and store.has_arrays("examples", ladder.scorer, 0):
        target.write_arrays("examples", ladder.scorer, 0, store.read_arrays("examples", ladder.scorer, 0))
    if restart.before is not None:
        arrays = {"mask/0": full(layers_of(ladder, network)).packed(), **restart.before.to_arrays()}
        target.write_arrays("checkpoints", ladder.identity, restart.first - 1, arrays)
    if restart.rows:
        target.write(restart.rows)


def _copy_teacher(store: Store, target: Store, ladder: Ladder) -> None:
    """Copy what a leave-out ladder learns from: its teacher's rows, and outcomes at rung 0 and the optimal one."""
    table = store.table(f"ladder = '{ladder.teacher}'")
    rows = [{name: row[name] for name in STORED_NAMES} for row in table.rows()]
    done = target.done().get(ladder.teacher, frozenset())
    target.write(row for row in rows if int(row["rung"]) not in done)
    errors = {int(row["rung"]): row["validation_error"] for row in rows}
    best = optimal_rung({rung: errors[rung] for rung in range(ladder.recipe.levels + 1)})
    for rung in (0, best):
        if store.has_arrays("examples", ladder.teacher, rung):
            target.write_arrays("examples", ladder.teacher, rung, store.read_arrays("examples", ladder.teacher, rung))


def _before(store: Store, ladder: Ladder, rung: int, network: Network) -> RungHandover | None:
    """Return what the rung below left to a rung, None where the store has not enough of it."""
    try:
        return inherited(store, ladder.identity, rung - 1, layers_of(ladder, network))
    except InputError:
        pass
    kind, rewind = ladder.treatment.kind, ladder.treatment.rewind
    if kind != "one-shot" and (kind != "imp" or rewind not in FROM_MASK):
        return None
    try:
        return started(store, ladder.identity, rung, layers_of(ladder, network))
    except InputError:
        return None
