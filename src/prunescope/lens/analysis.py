"""Analyze a store or a table: the results of each cell, and the inputs that are missing.

Errors are shares, losses are nats; "better" is lower everywhere. Pairs are of one replicate: same examples and labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from prunescope.errors import Fault, InputError, counted
from prunescope.lens.cell_query import KEYS, CellQuery, asked_rung, sorted_cells
from prunescope.lens.cells import Measurements
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
from prunescope.lens.rung_curves import Curve, RungChange, changes_by_rung, dense_spread, rung_curve, sparsest_better
from prunescope.lens.sparsity import SparseNetworks, Sparsity
from prunescope.markup import table_html
from prunescope.table import Table
from prunescope.table.notes import noted_place


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
    changes_by_rung: tuple[RungChange, ...]
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
        changes_by_rung=changes_by_rung(source, ordered, main, [pruning_curve, *_curves(extended)]),
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
