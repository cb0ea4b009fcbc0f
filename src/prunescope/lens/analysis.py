"""Analyze a store or a table: the results of each cell, and the inputs that are missing.

Errors are shares, losses are nats; "better" is lower everywhere. Pairs are of one replicate: same examples and labels.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import Fault, InputError, clipped, counted, listed, nearest
from prunescope.lens.cells import MeasuredNetwork, Measurements
from prunescope.lens.comparisons import (
    Grouping,
    LeaveOut,
    TreatmentComparison,
    compare_leave_outs,
    compare_treatment,
)
from prunescope.lens.diagnose import Diagnosis, diagnose
from prunescope.lens.influence import Influence, measure_influence
from prunescope.lens.label_suspicion import SUSPECTS, LabelSuspects
from prunescope.lens.loading import LensSource, open_source
from prunescope.lens.missing_inputs import Missing, describe_cell, find_missing
from prunescope.lens.rung_curves import Curve, dense_spread, nearest_rung, rung_curve, sparsest_better
from prunescope.lens.sparsity import SparseNetworks, Sparsity
from prunescope.notebook import table_html
from prunescope.table import Table
from prunescope.table.coded import Columns
from prunescope.table.dataset_notes import noted_place
from prunescope.table.row_groups import having


@dataclass(frozen=True)
class CellResult:
    """The results of one cell: one network at one level of label noise.

    Attributes
    ----------
    family, dataset, depth, width, examples, recipe
        None where the table does not have the column.
    name
        The cell in words, without label noise; cells of one name differ in label noise only.
    pruning
        The main treatment.
    influence
        How test error moves without each group by EL2N; None where no such networks were trained.
    suspects
        The training labels most likely to be wrong; None without outcomes of the optimally sparse networks.
    dataset_place
        The file or folder of a user's own dataset, where the store notes one that is there.
    """

    family: str | None
    dataset: str | None
    depth: int | None
    width: float | None
    examples: int | None
    recipe: str | None
    label_noise: float
    name: str
    replicates: tuple[str, ...]
    pruning: Curve
    optimal: Sparsity | None
    sparsest: Sparsity | None
    asked: Sparsity | None
    extended: TreatmentComparison | None
    narrow: TreatmentComparison | None
    ablations: tuple[TreatmentComparison, ...]
    leave_outs: tuple[LeaveOut, ...]
    influence: Influence | None
    suspects: LabelSuspects | None
    diagnosis: Diagnosis
    missing: tuple[Missing, ...]
    notes: tuple[str, ...]
    dataset_place: str = ""


@dataclass(frozen=True)
class LensResult:
    """The results of all cells of a store or table, sorted by network and label noise."""

    source: str
    cells: tuple[CellResult, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)

    def _repr_html_(self) -> str:
        """Show the diagnoses in a notebook."""
        rows = ((cell.name, f"{cell.label_noise:g}", cell.diagnosis.words) for cell in self.cells)
        return table_html(("cell", "label noise", "diagnosis"), rows, self.source, self.notes)


KEYS = tuple(column.name for column in fields(MeasuredNetwork))
Cells = list[list[Measurements]]


@dataclass(frozen=True)
class CellQuery:
    """The settings of `analyze`."""

    noise: Sequence[float] = ()
    cell: Mapping[str, Any] = field(default_factory=dict)
    treatment: str | None = None
    groups: int = 20
    rung: int | None = None
    density: float | None = None
    examples: int = 10
    suspects: int = SUSPECTS[0]

    def __post_init__(self) -> None:
        faults = []
        if self.groups < 1:
            faults.append(Fault("groups", "must be 1 or more", str(self.groups)))
        if self.examples < 0:
            faults.append(Fault("examples", "must be 0 or more", str(self.examples)))
        if self.suspects < 0:
            faults.append(Fault("suspects", "must be 0 or more", str(self.suspects)))
        if self.rung is not None and self.rung < 1:
            faults.append(Fault("rung", "must be 1 or more: a sparse one", str(self.rung)))
        if self.density is not None and not 0 < self.density < 1:
            faults.append(Fault("density", "must be above 0 and below 1", f"{self.density:g}"))
        if self.rung is not None and self.density is not None:
            faults.append(Fault("rung and density", "must not both be given"))
        faults += [
            Fault(f"cell {clipped(name)}", f"must be one of {', '.join(KEYS)}", hint=nearest(str(name), KEYS))
            for name in self.cell
            if name not in KEYS
        ]
        if faults:
            raise InputError("the question", faults)

    def select(self, source: str, cells: Cells) -> Cells:
        """Return the requested cells."""
        faults = [*_unknown_values(self.cell, cells), *_unknown_noise(self.noise, cells)]
        names = list(
            dict.fromkeys(
                ladder.treatment.name for ladders in cells for ladder in ladders if ladder.treatment.kind != "dense"
            )
        )
        if self.treatment is not None and self.treatment not in names:
            must = f"must be one that was measured: {listed(map(repr, names))}"
            faults.append(Fault("treatment", must, clipped(self.treatment), nearest(self.treatment, names)))
        if faults:
            raise InputError(source, faults)
        chosen = [ladders for ladders in cells if self._matches(ladders[0])]
        if not chosen:
            raise InputError(
                source, [Fault("the cells asked for", "must be one or more", "none has all of it at once")]
            )
        return chosen

    def _matches(self, first: Measurements) -> bool:
        alike = all(_formatted(getattr(first.network, name)) == _formatted(value) for name, value in self.cell.items())
        return alike and (not self.noise or any(math.isclose(first.label_noise, level) for level in self.noise))

    def rows(self, table: Table) -> NDArray[np.bool_]:
        """Return the rows that may belong to the requested cells, as far as their columns say."""
        columns, picked, faults = Columns.of(table.columns), np.ones(len(table), bool), []
        # Rungs of narrow ladders differ in width; ladders of another recipe are named where they are missing.
        narrow = "treatment" in columns and having(columns, "treatment", ("narrow",)).any()
        apart = ("recipe", "width") if narrow else ("recipe",)
        for name in (name for name in self.cell if name in columns and name not in apart):
            values, place = np.unique(columns.column(name).ranks, return_index=True)
            known = dict(zip(values.tolist(), map(_formatted, table[name][place].tolist()), strict=True))
            equal = [value for value, words in known.items() if words == _formatted(self.cell[name])]
            if not equal:
                faults.append(_unknown_value(name, self.cell[name], list(known.values())))
            picked &= np.isin(columns.column(name).ranks, equal)
        if self.noise and "label_noise" in columns:
            picked &= np.isclose(columns["label_noise"][:, None], list(self.noise), rtol=1e-9, atol=0).any(axis=1)
        if faults:
            raise InputError(table.source, faults)
        return picked if picked.any() else np.ones(len(table), bool)

    def main_treatment(self, cell: Sequence[Measurements]) -> str:
        """Return the name of the main treatment of a cell: the requested one if it prunes, else the most usual."""
        pruned = [ladder.treatment for ladder in cell if ladder.treatment.prunes]
        if any(treatment.name == self.treatment for treatment in pruned):
            return str(self.treatment)
        return min(pruned, key=lambda treatment: (treatment.rank, treatment.name)).name

    def refuse_unmeasured(self, source: str, curves: Sequence[Curve]) -> None:
        """Refuse a requested rung that none of the curves has."""
        if self.rung is None:
            return
        measured = sorted({point.rung for curve in curves for point in curve.points if point.rung > 0})
        must = f"must be a sparse one that was measured: {listed(measured, 40) or 'there is none yet'}"
        raise InputError(source, [Fault("rung", must, str(self.rung))])

    def split(self, cell: Sequence[Measurements]) -> tuple[list[Measurements], list[Measurements]]:
        """Return the ladders of a cell's main treatment, and the others, dense ones first."""
        name = self.main_treatment(cell)
        others = [ladder for ladder in cell if ladder.treatment.name != name]
        return (
            [ladder for ladder in cell if ladder.treatment.name == name],
            sorted(others, key=lambda ladder: ladder.treatment.kind != "dense"),
        )


def sorted_cells(ladders: Sequence[Measurements]) -> Cells:
    """Group ladders by cell, sorted by network and label noise."""
    cells: dict[tuple[MeasuredNetwork, float], list[Measurements]] = {}
    for ladder in ladders:
        cells.setdefault((ladder.network, ladder.label_noise), []).append(ladder)
    return [cells[key] for key in sorted(cells, key=lambda key: (_order(key[0]), key[1]))]


def _order(network: MeasuredNetwork) -> tuple[tuple[bool, Any], ...]:
    """Return the sort key of a network; missing values come last."""
    values = (getattr(network, name) for name in KEYS)
    return tuple((value is None, 0 if value is None else value) for value in values)


def _unknown_values(wanted: Mapping[str, Any], cells: Cells) -> list[Fault]:
    faults = []
    for name, value in wanted.items():
        there = list(dict.fromkeys(_formatted(getattr(ladders[0].network, name)) for ladders in cells))
        if _formatted(value) not in there:
            faults.append(_unknown_value(name, value, there))
    return faults


def _unknown_value(name: str, value: Any, there: Sequence[str]) -> Fault:
    must = f"must be one that has pruned networks: {listed(there)}"
    return Fault(f"cell {name}", must, clipped(_formatted(value)), nearest(_formatted(value), there))


def _unknown_noise(wanted: Sequence[float], cells: Cells) -> list[Fault]:
    levels = sorted({ladders[0].label_noise for ladders in cells})
    must = f"must be a level that has pruned networks: {listed(f'{level:g}' for level in levels)}"
    return [
        Fault("label noise", must, f"{level:g}")
        for level in wanted
        if not any(math.isclose(level, known) for known in levels)
    ]


def _formatted(value: Any) -> str:
    """Format a value; equal numbers give equal text."""
    try:
        return f"{float(value):.12g}"
    except (TypeError, ValueError):
        return str(value)


def analyze(
    source: Any,
    *,
    noise: Sequence[float] = (),
    cell: Mapping[str, Any] | None = None,
    treatment: str | None = None,
    groups: int = 20,
    rung: int | None = None,
    density: float | None = None,
    examples: int = 10,
    suspects: int = SUSPECTS[0],
    most: int | None = None,
    table: Table | None = None,
) -> LensResult:
    """Analyze what pruning did to every cell of a store or table, and why. Nothing is trained.

    Parameters
    ----------
    source
        A store, or whatever `read_table` takes; groups and single examples need a store.
    noise
        Levels of label noise to analyze; none: all.
    cell
        Which cells, by values of family, dataset, depth, width, examples, recipe.
    treatment
        Name of the main treatment; None: the one nearest to the paper's (imp, learning-rate rewinding, magnitude). One
        that does not prune (extended, narrow, leave-out) is the only one compared with the main treatment.
    groups
        Number of groups of EL2N percentiles.
    rung, density
        One more sparsity to analyze; a density stands for the nearest rung.
    examples
        How many of the most changed examples to list, at either end.
    suspects
        How many of the labels most likely to be wrong to list.
    most
        About how many rows to read, of the networks with most treatments among the requested ones; None: all.
    table
        The rows of the source where they were read already.

    Raises
    ------
    InputError
        If there is nothing to analyze, if a setting names something absent, or if outcomes to compare are of different
        examples or labels.
    """
    question = CellQuery(noise, cell or {}, treatment, groups, rung, density, examples, suspects)
    loaded = open_source(source, most, table, question.rows)
    cells = sorted_cells(loaded.ladders)
    pruned = [ladders for ladders in cells if any(ladder.treatment.prunes for ladder in ladders)]
    if not pruned:
        hint = "Rows of treatment imp or one-shot are such, and rows that name no treatment."
        raise InputError(loaded.name, [Fault("the table", "must hold pruned networks", "none", hint)])
    chosen = question.select(loaded.name, pruned)
    names = Counter(network.name for network in {ladders[0].network for ladders in chosen})
    others = len(cells) - len(pruned)
    notes = list(loaded.notes)
    if loaded.unread:
        notes.append(f"{counted(loaded.unread, 'row')} of networks with as many treatments or fewer not looked at")
    if others:
        notes.append(f"{counted(others, 'cell')} without pruned networks left out")
    results = tuple(_analyze_cell(loaded, ladders, question, names[ladders[0].network.name] > 1) for ladders in chosen)
    if all(result.asked is None for result in results):
        question.refuse_unmeasured(loaded.name, [result.pruning for result in results])
    return LensResult(loaded.name, results, tuple(notes))


def _analyze_cell(source: LensSource, cell: Sequence[Measurements], question: CellQuery, ambiguous: bool) -> CellResult:
    """Analyze one cell; name its recipe, too, where the network's name is ambiguous."""
    name = question.main_treatment(cell)
    main, others = question.split(cell)
    ordered = [*main, *others]
    dense = dense_spread(ordered, "test_error")
    pruning_curve = rung_curve(main, dense)
    subject = SparseNetworks(source, main, ordered, pruning_curve, question.groups, question.examples)
    optimal = subject.sparsity("optimal", pruning_curve.optimal)
    sparsest = subject.sparsity("sparsest", sparsest_better(pruning_curve))
    asked = asked_rung(pruning_curve, question)
    requested = subject.sparsity("asked", asked)
    grouping = Grouping(source, ordered, main, question.groups, asked)

    def treated(kind: str, by: str) -> TreatmentComparison | None:
        ladders = [ladder for ladder in others if ladder.treatment.kind == kind]
        return compare_treatment(ladders, pruning_curve, dense, by, grouping) if ladders else None

    extended, narrow = treated("extended", "rung"), treated("narrow", "parameters")
    pruning = dict.fromkeys(ladder.treatment.name for ladder in others if ladder.treatment.prunes)
    ablations = [[ladder for ladder in others if ladder.treatment.name == other] for other in pruning]
    left_out = compare_leave_outs(source, ordered, main, dense, grouping)
    beside = _beside(cell, question.treatment)
    network = main[0].network
    sparsities = [sparsity for sparsity in (optimal, sparsest, requested) if sparsity is not None]
    notes = list(describe_cell(main, pruning_curve, sparsest))
    if question.rung is not None and requested is None:
        notes.append(f"rung {question.rung} was not measured here")
    notes += (curve.end_words for curve in (pruning_curve, *_curves(extended, narrow)) if curve.optimal_at_end)
    if question.treatment is not None and all(ladder.treatment.name != question.treatment for ladder in cell):
        notes.append(f"this cell has no {question.treatment}; {name} is looked at instead")
    return CellResult(
        **{key: getattr(network, key) for key in KEYS},
        label_noise=main[0].label_noise,
        name=f"{network.name}, recipe {network.recipe}" if ambiguous else network.name,
        replicates=pruning_curve.replicates,
        pruning=pruning_curve,
        optimal=optimal,
        sparsest=sparsest,
        asked=requested,
        extended=extended if beside in ("", "extended") else None,
        narrow=narrow if beside in ("", "narrow") else None,
        ablations=()
        if beside
        else tuple(compare_treatment(ladders, pruning_curve, dense, "density", grouping) for ladders in ablations),
        leave_outs=tuple(comparison for comparison in left_out if beside in ("", comparison.treatment)),
        influence=measure_influence(source, ordered, dense),
        suspects=subject.suspects(question.suspects),
        diagnosis=diagnose(
            optimal, sparsest, extended, narrow, main[0].label_noise, at_end=pruning_curve.optimal_at_end
        ),
        missing=tuple(find_missing(source, main, pruning_curve, sparsities, extended, narrow, left_out)),
        notes=tuple(notes),
        dataset_place=_dataset_place(source, main[0].ladder),
    )


def _beside(cell: Sequence[Measurements], treatment: str | None) -> str:
    """Return the requested treatment if this cell has it and it does not prune; empty otherwise."""
    names = {ladder.treatment.name for ladder in cell if not ladder.treatment.prunes}
    return treatment if treatment in names else ""


def _curves(*comparisons: TreatmentComparison | None) -> Iterator[Curve]:
    """Yield the curves of the treatments that were measured."""
    yield from (comparison.curve for comparison in comparisons if comparison is not None)


def _dataset_place(source: LensSource, identity: str) -> str:
    """Return where a ladder's dataset was last read from, if it is a file or folder of the user's own."""
    ladder = source.studies.ladders.get(identity)
    if source.store is None or ladder is None or ladder.own is None:
        return ""
    return str(noted_place(source.store, ladder.own) or "")


def asked_rung(pruning_curve: Curve, question: CellQuery) -> int | None:
    """Return the requested rung; None where this cell does not have it."""
    sparse = [point.rung for point in pruning_curve.points if point.rung > 0]
    if question.rung is not None and question.rung not in sparse:
        return None
    if question.density is not None and sparse:
        return nearest_rung(pruning_curve, question.density)
    return question.rung
