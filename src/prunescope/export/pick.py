"""Which ladder and which rung of a store is meant."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prunescope.errors import Fault, InputError, clipped, listed, nearest
from prunescope.run.retrain import stored_ladders
from prunescope.study import Cell, Ladder, Study
from prunescope.table import Store
from prunescope.table.schema import STORED_NAMES


@dataclass(frozen=True)
class PickedRung:
    """One finished rung.

    Attributes
    ----------
    study
        Name of the study that the ladder belongs to.
    rows
        The rows of the ladder's finished rungs, the stored columns of each.
    """

    ladder: Ladder
    study: str
    rung: int
    rows: Mapping[int, Mapping[str, Any]]
    store: Store

    @property
    def row(self) -> Mapping[str, Any]:
        """The row of the rung."""
        return self.rows[self.rung]

    @property
    def cell(self) -> Cell:
        """The cell of its network: of narrow ladders a narrower one."""
        return self.ladder.cell_at(self.rung)

    @property
    def words(self) -> str:
        """What it is, for people."""
        return f"{_words_of(self.ladder)}, rung {self.rung}: density {self.row['density']:.3g}"


def _words_of(ladder: Ladder) -> str:
    """Return what a ladder trains, for people."""
    cell = ladder.cell
    noise = f" with label noise {cell.label_noise:g}" if cell.label_noise else ""
    return (
        f"{cell.family} l={cell.depth} w={cell.width:g} on {cell.examples:,} of {cell.dataset}{noise}, "
        f"{ladder.treatment.label}, replicate {ladder.replicate}"
    )


def pick(store: Store, ladder: str | None, rung: int | None, density: float | None) -> PickedRung:
    """Return the rung that is meant.

    Parameters
    ----------
    ladder
        Its identity, or as many of its first digits as no other ladder has; None where the store has but one.
    rung, density
        Which rung: its number, or the density that it should be nearest to.
    """
    ladders = stored_ladders(store)
    identity = _identity(store, ladder, sorted(store.done()), ladders)
    if identity not in ladders:
        hint = "A store that it was merged from has it: folder studies/."
        raise InputError(str(store.path), [Fault(f"the study of ladder {identity}", "must be there", "none", hint)])
    table = store.table(f"ladder = '{identity}'")
    rows = {int(row["rung"]): {name: row[name] for name in STORED_NAMES} for row in table.rows()}
    chosen, study = ladders[identity]
    return PickedRung(chosen, study.name, nearest_rung(store, rows, rung, density), rows, store)


def one_ladder(store: Store, ladder: str | None) -> str:
    """Return the identity of the finished ladder that is meant, of any study or none."""
    return _identity(store, ladder, sorted(store.done()), {})


def _identity(
    store: Store, wanted: str | None, finished: Sequence[str], ladders: Mapping[str, tuple[Ladder, Study]]
) -> str:
    start = (wanted or "").lower()
    fitting = [identity for identity in finished if identity.startswith(start)]
    if len(fitting) == 1:
        return fitting[0]

    def describe(identities: Sequence[str]) -> str:
        words = {identity: _words_of(ladder) for identity, (ladder, _) in ladders.items()}
        for identity, note in store.recorded().items():
            words[identity] = f"{note.ladder.words}, {note.ladder.treatment}"
        return listed(f"{identity} ({words.get(identity, 'of no study')})" for identity in identities)

    if fitting:
        matches = f"{len(fitting):,} that begin with {clipped(start)}" if start else f"{len(fitting):,} and none named"
        fault = Fault("the ladder", "must be one", matches, f"There are {describe(fitting)}.")
    elif not finished:
        fault = Fault("the store", "must hold a finished rung", "none")
    elif any(identity.startswith(start) for identity in ladders):
        fault = Fault("the ladder", "must have a finished rung", "none", "prunescope run trains it.")
    else:
        hint = nearest(start, finished) or f"There are {describe(finished)}."
        fault = Fault("the ladder", "must be one of this store", clipped(wanted), hint)
    raise InputError(str(store.path), [fault])


def nearest_rung(store: Store, rows: Mapping[int, Mapping[str, Any]], rung: int | None, density: float | None) -> int:
    """Return the finished rung of a number, or of the density nearest to one."""
    finished_words = f"{listed(sorted(rows), 40)}, of densities {max(row['density'] for row in rows.values()):.3g} to "
    finished_words += f"{min(row['density'] for row in rows.values()):.3g}"
    if (rung is None) == (density is None):
        options = "neither" if rung is None else "both"
        fault = Fault(
            "the rung", "must be named by its number or by a density", options, f"Finished: {finished_words}."
        )
        raise InputError(str(store.path), [fault])
    if density is not None:
        if not 0 < density <= 1:
            raise InputError(str(store.path), [Fault("the density", "must be in (0, 1]", f"{density:g}")])
        return min(rows, key=lambda row: abs(math.log(rows[row]["density"] / density)))
    if rung is None or rung not in rows:
        raise InputError(
            str(store.path), [Fault("the rung", "must be a finished one", str(rung), f"Finished: {finished_words}.")]
        )
    return rung
