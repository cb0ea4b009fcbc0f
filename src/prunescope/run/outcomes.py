"""Outcomes on training examples of finished rungs that were trained without keeping them.

The rungs are trained again in a store that is gone afterwards. Each must come out equal to its row; then its outcomes
are added to the user's store. No row and no checkpoint is written there.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from prunescope.data import OwnData, read_own_of
from prunescope.errors import Fault, InputError
from prunescope.nets import Network, network
from prunescope.run.events import ArtifactsMissing, Event, EventHandler
from prunescope.run.retrain import Restart, Rows, prepare, restart_of, stored_ladders
from prunescope.run.study_run import run_study
from prunescope.study import Ladder, Study
from prunescope.study.catalogue import is_import_path
from prunescope.table import Store
from prunescope.table.notes import noted_place
from prunescope.table.schema import STORED_NAMES

EXACT = ("kept", "prunable", "parameters", "connected")
ERRORS = ("test_error", "validation_error", "train_error")
LOSSES = ("test_loss", "validation_loss", "train_loss", "train_loss_original", "train_loss_noisy")

# What rounding may come to by the end of a training: another processor, or other networks beside it, sum in another
# order. Networks that really part differ more, mostly in the first digits of their training loss.
LOSS_ROUNDING = 1e-3  # relative
ERROR_ROUNDING = 1e-3  # share of the examples, and one example at least


class Agreement(StrEnum):
    """How a network that was trained again compares with its row."""

    EQUAL = "equal"
    ROUNDING = "equal to rounding"
    DIFFERENT = "different"
    FAILED = "failed"
    ELSEWHERE = "being trained by another run"


@dataclass(frozen=True)
class MadeOutcome:
    """What came of one rung; its outcomes were kept if it is equal to its row.

    Attributes
    ----------
    differences
        Columns that differ: the row's value, and that of the network trained again.
    why
        The reason of a failure.
    """

    ladder: str
    rung: int
    agreement: Agreement
    differences: Mapping[str, tuple[float, float]]
    why: str = ""

    @property
    def kept(self) -> bool:
        """Whether the store has its outcomes now."""
        return self.agreement in (Agreement.EQUAL, Agreement.ROUNDING)

    @property
    def words(self) -> str:
        """What is wrong, for people."""
        apart = ", ".join(f"{name} {ours:.6g}, not {row:.6g}" for name, (row, ours) in self.differences.items())
        return f"rung {self.rung} of ladder {self.ladder[:8]}: {self.why or apart or self.agreement}"


def make_outcomes(
    store: Store,
    networks: Iterable[tuple[str, int]],
    *,
    data: Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    run_code: bool = False,
    on_event: EventHandler | None = None,
) -> tuple[MadeOutcome, ...]:
    """Train finished rungs again, and keep their outcomes on training examples.

    Parameters
    ----------
    networks
        Ladders by their identities, and rungs; those whose outcomes are there are passed over.
    data
        Folder with datasets; without it `PRUNESCOPE_DATA` and the cache are searched.
    workers
        As for `run_study`.
    run_code
        Run code that the studies name: a store that somebody else made may name any function.
    """
    wanted: dict[str, set[int]] = {}
    for identity, rung in networks:
        if not store.has_arrays("examples", identity, rung):
            wanted.setdefault(identity, set()).add(rung)
    ladders = _ladders(store, wanted, run_code)
    rows = _rows(store, wanted)
    made: list[MadeOutcome] = []
    own = _own_datasets(store, [ladder for ladder, _ in ladders.values()], data)
    with store.claim_all(wanted) as claimed:
        for identity in [identity for identity in wanted if identity not in claimed]:
            made += (MadeOutcome(identity, rung, Agreement.ELSEWHERE, {}) for rung in sorted(wanted.pop(identity)))
        while wanted:
            # The sparsest of a ladder's rungs first; rungs that are trained on the way to it come with it.
            restarts = [
                restart_of(store, ladder, rows[identity], max(wanted[identity]), _network(ladder))
                for identity, (ladder, _) in ladders.items()
                if identity in wanted
            ]
            by_study: dict[str, list[Restart]] = {}
            for restart in restarts:
                by_study.setdefault(ladders[restart.ladder.identity][1].identity, []).append(restart)
            for same in by_study.values():
                study = ladders[same[0].ladder.identity][1]
                options = {"data": data, "device": device, "workers": 1 if own else workers, "datasets": own}
                made += _trained_again(store, study, same, wanted, rows, on_event, **options)
            for restart in restarts:
                left = {rung for rung in wanted.pop(restart.ladder.identity) if rung < restart.first}
                if left:
                    wanted[restart.ladder.identity] = left
    return tuple(made)


def _trained_again(
    store: Store,
    study: Study,
    restarts: Sequence[Restart],
    wanted: Mapping[str, set[int]],
    rows: Mapping[str, Rows],
    on_event: EventHandler | None,
    **options: Any,
) -> list[MadeOutcome]:
    """Train some ladders of a study again, and keep the outcomes of wanted rungs that came out equal."""
    made, missing = list[MadeOutcome](), list[tuple[str, int]]()
    with tempfile.TemporaryDirectory(prefix="prunescope-") as folder:
        again = Store(Path(folder) / "store", create=True)
        for restart in restarts:
            prepare(store, again, restart, _network(restart.ladder))
        ladders = [restart.ladder for restart in restarts]

        def tell(event: Event) -> None:
            if on_event is not None and not isinstance(event, ArtifactsMissing):  # of the rows copied from the store
                on_event(event)

        try:
            report = run_study(study, again, ladders=ladders, keep_examples=True, on_event=tell, **options)
        finally:  # also after Ctrl-C
            measured = _rows(again, {ladder.identity for ladder in ladders})
            for restart in restarts:
                identity = restart.ladder.identity
                for rung in sorted(rung for rung in wanted[identity] if rung >= restart.first):
                    if rung not in measured.get(identity, {}):
                        missing.append((identity, rung))
                        continue
                    outcome = _compared(identity, rung, rows[identity][rung], measured[identity][rung])
                    if outcome.kept:
                        arrays = again.read_arrays("examples", identity, rung)
                        store.write_arrays("examples", identity, rung, arrays)
                    made.append(outcome)
    reasons = {failure.ladder: failure.reason for failure in report.failures}
    for identity, rung in missing:
        why = reasons.get(identity, report.unwritable or "it was not trained")
        made.append(MadeOutcome(identity, rung, Agreement.FAILED, {}, why))
    return made


def _compared(ladder: str, rung: int, row: Mapping[str, Any], again: Mapping[str, Any]) -> MadeOutcome:
    """Hold a network that was trained again against its row."""
    differences: dict[str, tuple[float, float]] = {}
    agreement = Agreement.EQUAL
    for name in (*EXACT, *ERRORS, *LOSSES):
        before, now = (math.nan if values[name] is None else float(values[name]) for values in (row, again))
        if before == now or (math.isnan(before) and math.isnan(now)):
            continue
        differences[name] = before, now
        if not _rounded(name, before, now, row):
            agreement = Agreement.DIFFERENT
        elif agreement is Agreement.EQUAL:
            agreement = Agreement.ROUNDING
    return MadeOutcome(ladder, rung, agreement, differences)


def _rounded(name: str, before: float, now: float, row: Mapping[str, Any]) -> bool:
    """Whether two values of a column are equal to rounding."""
    if name in LOSSES:
        return abs(now - before) <= LOSS_ROUNDING * abs(before)
    if name not in ERRORS:
        return False
    # No row says how many examples were held out or left out; a loss that parts shows what these errors may hide.
    examples = row["test_examples"] if name == "test_error" and row["test_examples"] else row["examples"]
    return abs(now - before) <= max(ERROR_ROUNDING, 1.5 / int(examples))


def _network(ladder: Ladder) -> Network:
    """Return the network of a ladder's rung 0."""
    cell, facts = ladder.cell, ladder.facts
    return network(cell.family, cell.depth, cell.width, facts.classes, facts.shape)


def _rows(store: Store, ladders: Iterable[str]) -> dict[str, dict[int, dict[str, Any]]]:
    """Return the stored columns of ladders by their rungs."""
    names, rows = set(ladders), dict[str, dict[int, dict[str, Any]]]()
    if not names or not store.done():
        return rows
    for row in store.table().rows():
        if row["ladder"] in names:
            rows.setdefault(str(row["ladder"]), {})[int(row["rung"])] = {name: row[name] for name in STORED_NAMES}
    return rows


def _ladders(store: Store, wanted: Mapping[str, set[int]], run_code: bool) -> dict[str, tuple[Ladder, Study]]:
    """Return the wanted ladders; refuse those of no study, rungs that are not finished, and code not asked for."""
    known, done = stored_ladders(store), store.done()
    faults = []
    for identity, rungs in wanted.items():
        if identity not in known:
            hint = "Ladders from a training loop of your own are trained by that loop."
            faults.append(Fault(f"ladder {identity}", "must be of a study in the store", hint=hint))
            continue
        unfinished = sorted(rungs - done.get(identity, frozenset()))
        if unfinished:
            faults.append(Fault(f"ladder {identity}", "must have the rungs finished", str(unfinished)))
        ladder = known[identity][0]
        named = (ladder.cell.family, ladder.treatment.score or "", ladder.own.name if ladder.own else "")
        code = [path for path in named if is_import_path(path)]
        if code and not run_code:
            must = f"needs {', '.join(code)}, a function of its author's, to be trained again"
            faults.append(Fault(f"ladder {identity}", must, hint="If you trust it: --run-code, run_code=True."))
    if faults:
        raise InputError(str(store.path), faults[:10])
    return {identity: known[identity] for identity in wanted}


def _own_datasets(store: Store, ladders: Iterable[Ladder], folder: Path | None) -> dict[str, OwnData]:
    """Read the users' own datasets of some ladders, by their labels."""
    first = {ladder.own.label: ladder for ladder in ladders if ladder.own is not None}
    return {
        label: read_own_of(ladder, None, folder, noted_place(store, ladder.own) if ladder.own else None)
        for label, ladder in first.items()
    }
