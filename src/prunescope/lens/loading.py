"""Load stores and tables: the measurements of ladders, outcomes and scores. The other modules read no tables.

A ladder's seed, teacher and scoring networks come from the studies of the store. A file has rows only.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import Fault, InputError, counted, listed, named, shell_word
from prunescope.lens.cells import MISSING, CellRow, MeasuredNetwork, Measurements, Scorer, TreatmentSpec
from prunescope.lens.store_contents import Outcomes, ScoredExamples, StudyIndex, read_outcomes, read_scores
from prunescope.study.sections import DEFAULTS, GROUP, PRUNING
from prunescope.table import Store, Table, is_store, read_table
from prunescope.table.coded import Columns, group_codes, having
from prunescope.table.column_hints import set_option
from prunescope.table.duckdb_engine import condition
from prunescope.table.findings import Array
from prunescope.table.own_columns import numbers_repetitions
from prunescope.table.schema import BY_NAME, ColumnGroup

_TREATMENT = tuple(name for name, column in BY_NAME.items() if column.group is ColumnGroup.TREATMENT)
_CONFIGURATION = tuple(name for name, column in BY_NAME.items() if column.group is ColumnGroup.CONFIGURATION)
_APART = tuple(name for name in _CONFIGURATION if name not in ("width", "label_noise"))
_FIGURES = ("parameters", "width", "validation_error", "train_loss", "train_loss_original", "train_loss_noisy")

MOST_COLUMNS = 3  # extra columns that are tried together
KINDS_TRIED = 5  # of their values, for one that the lens could look at
RECENT = 16  # outcomes of dense networks that are held in memory


@dataclass(frozen=True, eq=False)
class LensSource:
    """Measurements of ladders, and access to outcomes of single examples.

    Attributes
    ----------
    studies
        The studies of the store.
    notes
        Decisions made while reading.
    unread
        Rows that were not read because of `most`.
    """

    name: str
    ladders: tuple[Measurements, ...]
    store: Store | None
    studies: StudyIndex
    notes: tuple[str, ...]
    unread: int = 0
    _recent: dict[str, Outcomes | None] = field(default_factory=dict, repr=False)

    @cached_property
    def _by_kind(self) -> dict[tuple[object, ...], list[Measurements]]:
        by_kind: dict[tuple[object, ...], list[Measurements]] = {}
        for ladder in self.ladders:
            by_kind.setdefault(
                (ladder.treatment.kind, ladder.label_noise, replace(ladder.network, recipe=None)), []
            ).append(ladder)
        return by_kind

    def alike(self, kind: str, cell: Measurements) -> list[Measurements]:
        """Return the ladders of a cell under a kind of treatment, of any recipe."""
        return self._by_kind.get((kind, cell.label_noise, replace(cell.network, recipe=None)), [])

    def outcomes(self, ladder: str, rung: int) -> Outcomes | None:
        """Return a network's outcome on each training example; None if not kept."""
        if self.store is None or not ladder:
            return None
        if rung > 0:
            return read_outcomes(self.store, ladder, rung)
        if ladder not in self._recent:  # every rung of a ladder is compared with its dense network
            while len(self._recent) >= RECENT:
                self._recent.pop(next(iter(self._recent)))
            self._recent[ladder] = read_outcomes(self.store, ladder, 0)
        return self._recent[ladder]

    def scores(self, scorer: Scorer) -> ScoredExamples:
        """Return the scores of an ensemble."""
        if self.store is None:
            raise InputError(self.name, [Fault("scores of examples", "must be read from a store", "a table")])
        return read_scores(self.store, scorer.identity)

    def left_out(self, ladder: str) -> NDArray[np.int64] | None:
        """Return the indices of the examples that a leave-out ladder left out; None if not kept."""
        if self.store is None or not ladder or not self.store.has_arrays("checkpoints", ladder, 0):
            return None
        arrays = self.store.read_arrays("checkpoints", ladder, 0)
        return arrays["left_out"].astype(np.int64) if "left_out" in arrays else None


def open_source(
    source: Any,
    most: int | None = None,
    table: Table | None = None,
    asked: Callable[[Table], NDArray[np.bool_]] | None = None,
) -> LensSource:
    """Read a store or table as measurements, from at most about `most` rows.

    Parameters
    ----------
    table
        The rows of the source where they were read already.
    asked
        Returns which rows may belong to the requested cells; called where there are more than `most` rows.
    """
    store = source if isinstance(source, Store) else None
    if isinstance(source, str | os.PathLike) and is_store(Path(source)):
        store = Store(source)
    if table is None:
        table = read_table(source if store is None else store)
    studies = StudyIndex(store)
    notes = list(table.notes)
    rows, unread = table, 0
    if most is not None and len(rows) > most:
        rows = rows if asked is None else rows.take(asked(rows))
        if len(rows) > most:
            unread = len(rows)
            rows = rows.take(_rows_with_most_treatments(rows, most))
            unread -= len(rows)
    ladders = tuple(_measurements(rows, studies, notes))
    return LensSource(table.source, ladders, store, studies, tuple(notes), unread)


def _rows_with_most_treatments(table: Table, most: int) -> NDArray[np.bool_]:
    """Select the rows of networks with most treatments and levels of label noise; ties by order."""
    # The rungs of a narrow ladder differ in width: members of all widths stay together.
    codes = group_codes(table.columns, [name for name in _APART if name in table])
    kinds = group_codes(table.columns, [name for name in (*_APART, *_TREATMENT, "label_noise") if name in table])
    first = np.unique(kinds, return_index=True)[1]
    order = np.argsort(-np.bincount(codes[first]), kind="stable")
    count = int(np.searchsorted(np.cumsum(np.bincount(codes)[order]), most, "right"))
    return np.isin(codes, order[: max(1, count)])


def _measurements(table: Table, studies: StudyIndex, notes: list[str]) -> Iterator[Measurements]:
    """Yield the ladders of a table; refuse two that no column distinguishes."""
    alike: dict[tuple[object, ...], list[Measurements]] = {}
    for rows in _ladders(table, notes):
        measurements = _measured(rows, studies)
        # Ladders that leave out one group by EL2N differ in the group alone, which their own arrays name.
        group = measurements.ladder if measurements.treatment.leave == GROUP else ""
        alike.setdefault(
            (measurements.network, measurements.label_noise, measurements.treatment, measurements.replicate, group), []
        ).append(measurements)
    for same in alike.values():
        levels = [studies.lesson_levels(ladder.ladder) for ladder in same]
        if len(same) == 1 or (None not in levels and len(set(levels)) == len(same)):
            # A leave-out ladder is trained again when its study gets more levels.
            yield max(zip(levels, same, strict=True), key=lambda pair: pair[0] or 0)[1]
        elif same[0].treatment.kind == "leave-out":
            notes.append(f"{counted(len(same), 'leave-out ladder')} that the rows do not tell apart are left out")
        else:
            raise _duplicate_ladders(table, *same[:2])


def _duplicate_ladders(table: Table, ours: Measurements, theirs: Measurements) -> InputError:
    names = " and ".join(ladder.ladder or "rows without a ladder" for ladder in (theirs, ours))
    place = (
        f"{ours.treatment.name} of {ours.network.name}, label noise {ours.label_noise:g}, replicate {ours.replicate}"
    )
    hint = (
        "Give each a `replicate` of its own, or look at some of the rows: prunescope table ... --where ... --out FILE"
    )
    return InputError(table.source, [Fault(place, "must be one ladder", names, hint)])


@dataclass(frozen=True)
class _Rows:
    """The rows of one ladder: a slice of the sorted table."""

    columns: Mapping[str, Array]
    place: slice

    def __len__(self) -> int:
        return int(self.place.stop - self.place.start)

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def __getitem__(self, name: str) -> Array:
        return self.columns[name][self.place]


def _ladders(table: Table, notes: list[str]) -> Iterator[_Rows]:
    """Yield the rows of each ladder, its rungs in order."""
    columns = Columns.of(table.columns)
    names = ["ladder"] if "ladder" in columns else [*_CONFIGURATION, *_TREATMENT, "replicate"]
    if "ladder" not in columns and "width" in columns and "treatment" in columns:
        # The rungs of a narrow ladder differ in width, and no other column joins them.
        narrow = having(columns, "treatment", ("narrow",))
        columns = columns.changed(width=np.where(narrow, 0.0, columns["width"]))
    codes = group_codes(columns, [name for name in names if name in columns])
    order = np.lexsort((table["rung"] if "rung" in table else -table["density"], codes))
    ends = [*(np.flatnonzero(np.diff(codes[order])) + 1).tolist(), len(order)]
    sorted_columns = dict(table.take(order).columns)
    for start, end in zip([0, *ends], ends, strict=False):
        rows = _Rows(sorted_columns, slice(start, end))
        kind = rows["treatment"][0] if "treatment" in rows else None
        if "rung" in rows:
            if len(set(rows["rung"].tolist())) < len(rows):
                if kind == "narrow" and "ladder" not in rows:
                    several = "narrow rows of several networks need a column `ladder` to be told apart"
                    notes.append(f"{several}; {counted(len(rows), 'row')} left out")
                    continue
                raise _duplicate_rungs(table, table.take(order[start:end]))
        elif kind in ("extended", "narrow"):
            words = f"{kind} rows need a column `rung` to be told apart; {counted(len(rows), 'row')} left out"
            notes.append(words)
            continue
        elif len(set(rows["density"].tolist())) < len(rows):
            raise _duplicate_rungs(table, table.take(order[start:end]))
        if kind == "narrow" and "rung" in rows and rows["rung"][0] != 0 and "ladder" not in rows:
            notes.append("narrow rows without a rung 0 belong to no cell; they are left out")
            continue
        yield rows


def _duplicate_rungs(table: Table, rows: Table) -> InputError:
    values = {name: rows[name][0] for name in (*_CONFIGURATION, *_TREATMENT, "replicate") if name in rows}
    place = named({name: plain for name, plain in values.items() if plain == plain and plain is not None}) or "the rows"
    own = [name for name in rows.names if name not in BY_NAME and len(set(rows[name].tolist())) > 1]
    seeds = [name for name in own if numbers_repetitions(name, rows.columns)][:1]
    columns = _distinguishing_columns(rows, seeds)
    hints = [f"{seed!r} numbers repetitions: add {set_option('replicate', seed)}." for seed in seeds]
    if columns:
        kind = _one_of(table, rows, columns, seeds)
        tell = "tells" if len(columns) == 1 else "tell"
        where = shell_word(kind) if kind else "..."
        hints.append(
            f"{listed(map(repr, columns))} {tell} these rows apart, and the lens does not split by columns of one's "
            f"own: look at one kind at a time, such as --where {where}."
        )
    hint = " ".join(hints) or "Look at some of the rows: prunescope table ... --where ... --out FILE"
    return InputError(table.source, [Fault(place, "must have one row for each rung", counted(len(rows), "row"), hint)])


def _distinguishing_columns(rows: Table, seeds: Sequence[str]) -> tuple[str, ...]:
    """Return the fewest extra columns that, beside seeds, distinguish rows of one density; none if there are none."""
    several = [name for name in rows.names if name not in BY_NAME and len(set(rows[name].tolist())) > 1]
    # Columns of mostly distinct values are measurements, or name rows.
    kinds = [name for name in several if name not in seeds and 2 * len(set(rows[name].tolist())) < len(rows)]
    levels = [name for name in ("rung", "density") if name in rows]
    for count in range(min(MOST_COLUMNS, len(kinds)) + 1):
        for columns in itertools.combinations(kinds, count):
            if _is_unique(rows, [*columns, *seeds, *levels]):
                return columns
    return ()


def _one_of(table: Table, rows: Table, columns: Sequence[str], seeds: Sequence[str]) -> str:
    """Return a condition that selects rows with equal extra columns, and their unpruned networks."""
    names = [name for name in ("ladder", *_CONFIGURATION, *_TREATMENT, "replicate", "rung", "density") if name in table]
    kinds = Counter(zip(*(rows[name].tolist() for name in columns), strict=True))
    for values, _ in kinds.most_common(KINDS_TRIED):
        plain = condition(dict(zip(columns, values, strict=True)))
        pruned = table.where(f"({plain}) and density < 1")
        for where in (plain, f"({plain}) or density = 1"):
            chosen = table.where(where)
            if len(pruned) and 1 in chosen["density"] and _is_unique(chosen, [*names, *seeds]):
                return where
    return ""


def _is_unique(rows: Table, names: Sequence[str]) -> bool:
    """Whether no two rows agree in all the named columns."""
    return len(np.unique(group_codes(rows.columns, names))) == len(rows)


def _measured(rows: _Rows, studies: StudyIndex) -> Measurements:
    identity = str(rows["ladder"][0]) if "ladder" in rows else ""
    ladder = studies.ladders.get(identity)
    first: dict[str, Any] = {
        name: rows[name][:1].tolist()[0] for name in (*_CONFIGURATION, *_TREATMENT) if name in rows
    }
    width = ladder.cell.width if ladder else first.get("width")
    network = MeasuredNetwork(
        first.get("family"),
        first.get("dataset"),
        first.get("depth"),
        None if width is None or width != width else width,
        first.get("examples"),
        first.get("recipe"),
    )
    noise = first.get("label_noise", 0.0)
    kind = first.get("treatment")
    treatment = TreatmentSpec(
        kind,
        _decisive(kind, "rewind", first.get("rewind")),
        _decisive(kind, "score", first.get("score")),
        _decisive(kind, "scope", first.get("scope")),
        first.get("leave"),
        ladder.treatment.share if ladder else None,
        studies.lesson(ladder),
    )
    return Measurements(
        network,
        0.0 if noise != noise else noise,
        treatment,
        studies.replicate(int(rows["replicate"][0]), identity),
        tuple(_rows(rows, kind)),
        identity,
        studies.rungs(identity),
        ladder.teacher if ladder else "",
        studies.scorers_of(identity),
    )


def _decisive(kind: str | None, name: str, value: str | None) -> str | None:
    """Return a setting of pruning: its default where a file omits it, None where nothing is pruned."""
    if kind is None or kind in PRUNING:
        usual = None if kind is None or name == "rewind" else DEFAULTS[kind].get(name)
        return usual if value is None else value
    return None


def _rows(rows: _Rows, kind: str | None) -> Iterator[CellRow]:
    count = len(rows)
    figures = {name: rows[name].astype(float).tolist() if name in rows else [MISSING] * count for name in _FIGURES}
    density, error = rows["density"].tolist(), rows["test_error"].tolist()
    # Without a column `rung` the densest row is rung 0 only if nothing was removed from it.
    rungs = rows["rung"].tolist() if "rung" in rows else [place + (density[0] != 1) for place in range(count)]
    epochs = rows["epochs"].astype(float).tolist() if "epochs" in rows else [MISSING] * count
    spent = _spent(kind, rungs, epochs)
    for place in range(count):
        row = {name: values[place] for name, values in figures.items()}
        yield CellRow(rungs[place], density[place], error[place], epochs=spent[place], **row)


def _spent(kind: str | None, rungs: Sequence[int], epochs: Sequence[float]) -> list[float]:
    """Return the epochs trained up to each rung: narrow networks start from scratch, one-shot ones from rung 0."""
    if kind == "narrow":
        return list(epochs)
    if kind == "one-shot":
        start = epochs[0] if rungs[0] == 0 else MISSING
        return [count + start if rung else count for rung, count in zip(rungs, epochs, strict=True)]
    sums = np.cumsum(epochs).tolist()
    # Only where all lower rungs were measured.
    return [total if rung == place else MISSING for place, (rung, total) in enumerate(zip(rungs, sums, strict=True))]
