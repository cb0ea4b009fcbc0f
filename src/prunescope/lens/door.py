"""The door from stores and tables to the lens: the measurements of ladders, outcomes and scores. Behind it no table.

What a study says of a ladder (its seed, its teacher, which networks score its examples) is asked of the studies that
the store was begun with. A file has rows alone; what its columns tell is taken, and no more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prunescope.errors import Fault, InputError, counted, listed
from prunescope.lens.cells import MISSING, Doing, Measurements, Network, Row, Scorer
from prunescope.lens.outcomes import Outcomes, Scored, read_outcomes, read_scores
from prunescope.spec import Ladder, Recipe, ensembles
from prunescope.spec.study import decisive
from prunescope.table import Store, Table, is_store, read_table
from prunescope.table.groups import group_codes
from prunescope.table.schema import BY_NAME, Group

EL2N = "el2n"
_TREATMENT = tuple(name for name, column in BY_NAME.items() if column.group is Group.TREATMENT)
_CONFIGURATION = tuple(name for name, column in BY_NAME.items() if column.group is Group.CONFIGURATION)
_FIGURES = ("parameters", "width", "validation_error", "train_loss", "train_loss_original", "train_loss_noisy")


@dataclass(frozen=True, eq=False)
class Source:
    """Measurements of ladders, and where what belongs to single examples can be read.

    Attributes
    ----------
    recipes
        Those of the store's studies, by their identity.
    asked
        Network, label noise and kind of treatment of all that the studies ask for, finished or not; scores of examples
        under `EL2N`.
    notes
        What was decided while reading.
    """

    name: str
    ladders: tuple[Measurements, ...]
    store: Store | None
    recipes: Mapping[str, Recipe]
    asked: frozenset[tuple[Network, float, str]]
    notes: tuple[str, ...]

    def outcomes(self, ladder: str, rung: int) -> Outcomes | None:
        """Return how a network does on each training example, None where that was not kept."""
        return read_outcomes(self.store, ladder, rung) if self.store and ladder else None

    def scores(self, scorer: Scorer) -> Scored:
        """Return the scores of an ensemble that a ladder names."""
        if self.store is None:
            raise InputError(self.name, [Fault("scores of examples", "must be read from a store", "a table")])
        return read_scores(self.store, scorer.identity)

    def left_out(self, ladder: str) -> int | None:
        """Return how many examples a leave-out ladder did without, None where that was not kept."""
        if self.store is None or not ladder or not self.store.has_arrays("checkpoints", ladder, 0):
            return None
        arrays = self.store.read_arrays("checkpoints", ladder, 0)
        return len(arrays["left_out"]) if "left_out" in arrays else None

    def differing(self, ours: str, theirs: str) -> str:
        """Say what two recipes differ in, as far as the store's studies tell."""
        one, other = (decisive(self.recipes[each]) if each in self.recipes else {} for each in (ours, theirs))
        if not one or not other:
            return f"recipe {theirs} instead of {ours}"
        return listed(f"{key} {other.get(key)} instead of {one.get(key)}" for key in one if one[key] != other.get(key))


def opened(source: Any) -> Source:
    """Read a store, or whatever else is a table, as measurements."""
    store = source if isinstance(source, Store) else None
    if isinstance(source, str | os.PathLike) and is_store(Path(source)):
        store = Store(source)
    table = read_table(source if store is None else store)
    told = _Told(store)
    notes = list(table.notes)
    found = tuple(_measurements(table, told, notes))
    return Source(table.source, found, store, told.recipes, frozenset(told.asked), tuple(notes))


def doing_of(ladder: Ladder) -> Doing:
    """Return what a study does to a ladder."""
    own = ladder.treatment
    return Doing(own.kind, own.rewind, own.score, own.scope, own.leave, own.share)


def network_of(ladder: Ladder) -> Network:
    """Return the network that a study gives a ladder."""
    cell = ladder.cell
    return Network(cell.family, cell.dataset, cell.depth, cell.width, cell.examples, ladder.recipe_identity)


class _Told:
    """What the studies of a store say of its ladders."""

    def __init__(self, store: Store | None) -> None:
        self.ladders: dict[str, Ladder] = {}
        self.recipes: dict[str, Recipe] = {}
        self.scorers: dict[tuple[object, ...], tuple[Scorer, ...]] = {}
        self.asked: set[tuple[Network, float, str]] = set()
        for study in store.studies() if store else ():
            for ladder in study.ladders:
                before = self.ladders.get(ladder.identity)
                if before is None or before.rungs < ladder.rungs:
                    self.ladders[ladder.identity] = ladder
                self.recipes[ladder.recipe_identity] = ladder.recipe
                self.asked.add((network_of(ladder), ladder.cell.label_noise, ladder.treatment.kind))
            for each in ensembles(study):
                self.asked.add((network_of(each.ladder), each.ladder.cell.label_noise, EL2N))
                key = self._key(each.ladder)
                scorer = Scorer(each.identity, each.networks, each.epoch)
                known = self.scorers.get(key, ())
                if store and scorer not in known and store.has_arrays("examples", each.identity, 0):
                    self.scorers[key] = (*known, scorer)
        self.seeds = {ladder.seed for ladder in self.ladders.values()}

    @staticmethod
    def _key(ladder: Ladder) -> tuple[object, ...]:
        return ladder.cell, ladder.recipe_identity, ladder.seed, ladder.replicate

    def scorers_of(self, ladder: Ladder | None) -> tuple[Scorer, ...]:
        return () if ladder is None else self.scorers.get(self._key(ladder), ())

    def lesson(self, ladder: Ladder | None) -> str:
        """Name the treatment that a leave-out ladder learned from; empty where it learned from none."""
        teacher = self.ladders.get(ladder.teacher) if ladder and ladder.learns else None
        return doing_of(teacher).name if teacher else ""

    def replicate(self, number: int, ladder: Ladder | None) -> str:
        """Name a replicate: its number, and its seed where the studies have several."""
        if ladder is None:
            return f"{number} of no study" if self.ladders else str(number)
        return str(number) if len(self.seeds) == 1 else f"{number} of seed {ladder.seed}"


def _measurements(table: Table, told: _Told, notes: list[str]) -> Iterator[Measurements]:
    """Yield the ladders of a table, refusing two that nothing tells apart."""
    seen: dict[tuple[object, ...], Measurements] = {}
    for rows in _ladders(table, notes):
        found = _measured(rows, told)
        key = (found.network, found.label_noise, found.doing, found.replicate)
        seen[key] = _latest(table, found, seen[key], told) if key in seen else found
    yield from seen.values()


def _latest(table: Table, ours: Measurements, theirs: Measurements, told: _Told) -> Measurements:
    """Return which of two ladders counts: a leave-out ladder learns anew when its study is given more levels."""
    one, other = told.ladders.get(ours.ladder), told.ladders.get(theirs.ladder)
    if not one or not other or not one.learns or one.recipe.levels == other.recipe.levels:
        raise _twins(table, ours, theirs)
    return ours if one.recipe.levels > other.recipe.levels else theirs


def _twins(table: Table, ours: Measurements, theirs: Measurements) -> InputError:
    names = " and ".join(each.ladder or "rows without a ladder" for each in (theirs, ours))
    place = f"{ours.doing.name} of {ours.network.name}, label noise {ours.label_noise:g}, replicate {ours.replicate}"
    hint = (
        "Give each a `replicate` of its own, or look at some of the rows: prunescope table ... --where ... --out FILE"
    )
    return InputError(table.source, [Fault(place, "must be one ladder", names, hint)])


def _ladders(table: Table, notes: list[str]) -> Iterator[Table]:
    """Yield the rows of each ladder, its rungs in order."""
    columns = dict(table.columns)
    names = ["ladder"] if "ladder" in columns else [*_CONFIGURATION, *_TREATMENT, "replicate"]
    if "ladder" not in columns and "width" in columns and "treatment" in columns:
        # The rungs of a narrow ladder differ in width, and no other column says that they belong together.
        columns["width"] = np.where(columns["treatment"] == "narrow", 0.0, columns["width"])
    codes = group_codes(columns, [name for name in names if name in columns])
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(codes[order]) != 0])
    for places in np.split(order, starts[1:]):
        rows = table.take(places)
        kind = rows["treatment"][0] if "treatment" in rows else None
        if "rung" in rows:
            rows = rows.take(np.argsort(rows["rung"], kind="stable"))
            if len(set(rows["rung"].tolist())) < len(rows):
                raise _unclear(table, rows)
        elif kind in ("extended", "narrow"):
            words = f"{kind} rows need a column `rung` to be told apart; {counted(len(rows), 'row')} left out"
            notes.append(words)
            continue
        else:
            rows = rows.take(np.argsort(-rows["density"], kind="stable"))
            if len(set(rows["density"].tolist())) < len(rows):
                raise _unclear(table, rows)
        if kind == "narrow" and "rung" in rows and rows["rung"][0] != 0 and "ladder" not in rows:
            notes.append("narrow rows without a rung 0 belong to no cell; they are left out")
            continue
        yield rows


def _unclear(table: Table, rows: Table) -> InputError:
    told = {name: rows[name][0] for name in (*_CONFIGURATION, *_TREATMENT, "replicate") if name in rows}
    place = ", ".join(f"{name} {value}" for name, value in told.items() if value is not None) or "the rows"
    hint = "Look at some of the rows: prunescope table ... --where ... --out FILE"
    return InputError(table.source, [Fault(place, "must have one row for each rung", counted(len(rows), "row"), hint)])


def _measured(rows: Table, told: _Told) -> Measurements:
    identity = str(rows["ladder"][0]) if "ladder" in rows else ""
    ladder = told.ladders.get(identity)
    first: dict[str, Any] = {name: rows[name].tolist()[0] for name in (*_CONFIGURATION, *_TREATMENT) if name in rows}
    width = ladder.cell.width if ladder else first.get("width")
    network = Network(
        first.get("family"),
        first.get("dataset"),
        first.get("depth"),
        None if width is None or width != width else width,
        first.get("examples"),
        first.get("recipe"),
    )
    noise = first.get("label_noise", 0.0)
    kind = first.get("treatment")
    doing = Doing(
        kind,
        first.get("rewind"),
        first.get("score"),
        first.get("scope"),
        first.get("leave"),
        ladder.treatment.share if ladder else None,
        told.lesson(ladder),
    )
    return Measurements(
        network,
        0.0 if noise != noise else noise,
        doing,
        told.replicate(int(rows["replicate"][0]), ladder),
        tuple(_rows(rows, kind)),
        identity,
        ladder.rungs if ladder else 0,
        ladder.teacher if ladder else "",
        told.scorers_of(ladder),
    )


def _rows(rows: Table, kind: str | None) -> Iterator[Row]:
    count = len(rows)
    figures = {name: rows[name].astype(float).tolist() if name in rows else [MISSING] * count for name in _FIGURES}
    density, error = rows["density"].tolist(), rows["test_error"].tolist()
    # Without a column `rung` the densest row is rung 0 only if nothing was removed from it.
    rungs = rows["rung"].tolist() if "rung" in rows else [place + (density[0] != 1) for place in range(count)]
    epochs = rows["epochs"].astype(float).tolist() if "epochs" in rows else [MISSING] * count
    spent = _spent(kind, rungs, epochs)
    for place in range(count):
        own = {name: values[place] for name, values in figures.items()}
        yield Row(rungs[place], density[place], error[place], epochs=spent[place], **own)


def _spent(kind: str | None, rungs: Sequence[int], epochs: Sequence[float]) -> list[float]:
    """Return the epochs trained up to each rung: narrow networks start anew, one-shot ones from rung 0."""
    if kind == "narrow":
        return list(epochs)
    if kind == "one-shot":
        start = epochs[0] if rungs[0] == 0 else MISSING
        return [own + start if rung else own for rung, own in zip(rungs, epochs, strict=True)]
    sums = np.cumsum(epochs).tolist()
    # Only where every rung below is there, too.
    return [each if rung == place else MISSING for place, (rung, each) in enumerate(zip(rungs, sums, strict=True))]
