"""The whole of a look: from a store or a table to what each cell tells, and what it does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from prunescope.errors import Fault, InputError, counted, listed
from prunescope.lens.cell_selection import KEYS, CellQuery, sorted_cells
from prunescope.lens.cells import Measurements
from prunescope.lens.comparisons import compare_treatment
from prunescope.lens.diagnose import diagnose
from prunescope.lens.leftout import compare_leave_outs
from prunescope.lens.loading import LensSource, open_source
from prunescope.lens.missing_inputs import describe_cell, find_missing
from prunescope.lens.results import CellResult, Curve, LensResult, TreatmentComparison
from prunescope.lens.rung_curves import dense_spread, nearest_rung, rung_curve, sparsest_better
from prunescope.lens.sparsity import SparseNetworks


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
    most: int | None = None,
) -> LensResult:
    """Say what pruning did to every cell of a store or table, and why, without training anything.

    Parameters
    ----------
    source
        A store, or whatever `read_table` takes; groups and single examples need a store.
    noise
        Levels of label noise to look at; all where none is named.
    cell
        Which cells: values of family, dataset, depth, width, examples, recipe.
    treatment
        Name of the main treatment; without it the one nearest to the paper's: imp, learning-rate rewinding, magnitude.
    groups
        How many groups of EL2N percentiles.
    rung, density
        A sparsity to look at beside the two of interest; of a density the rung nearest to it.
    examples
        How many of the examples that change most to name, at either end.
    most
        About how many rows to look at, of the networks with most treatments; all of them where it is None.

    Raises
    ------
    InputError
        Where there is nothing to look at, where a setting names what is not there, and where outcomes that would be
        set side by side are not of the same examples and labels.
    """
    question = CellQuery(noise, cell or {}, treatment, groups, rung, density, examples)
    loaded = open_source(source, most)
    every = sorted_cells(loaded.ladders)
    pruned = [ladders for ladders in every if any(ladder.treatment.prunes for ladder in ladders)]
    if not pruned:
        hint = "Rows of treatment imp or one-shot are such, and rows that name no treatment."
        raise InputError(loaded.name, [Fault("the table", "must hold pruned networks", "none", hint)])
    chosen = question.chosen(loaded.name, pruned)
    names = Counter(network.name for network in {ladders[0].network for ladders in chosen})
    others = len(every) - len(pruned)
    unread = (
        [f"{counted(loaded.unread, 'row')} of networks with fewer treatments not looked at"] if loaded.unread else []
    )
    notes = [*unread, *([f"{counted(others, 'cell')} without pruned networks left out"] if others else [])]
    looks = tuple(_look(loaded, ladders, question, names[ladders[0].network.name] > 1) for ladders in chosen)
    if question.rung is not None and all(result.asked is None for result in looks):
        measured = sorted({point.rung for result in looks for point in result.pruning.points if point.rung > 0})
        must = f"must be a sparse one that was measured: {listed(measured, 40) or 'there is none yet'}"
        raise InputError(loaded.name, [Fault("rung", must, str(question.rung))])
    return LensResult(loaded.name, looks, (*loaded.notes, *notes))


def _look(source: LensSource, cell: Sequence[Measurements], question: CellQuery, ambiguous: bool) -> CellResult:
    """Look at one cell; where its network's name alone is ambiguous, the recipe is named too."""
    name = question.main(cell)
    main = [ladder for ladder in cell if ladder.treatment.name == name]
    others = sorted(
        (ladder for ladder in cell if ladder.treatment.name != name),
        key=lambda ladder: ladder.treatment.kind != "dense",
    )
    ordered = [*main, *others]
    dense = dense_spread(ordered, "test_error")
    pruning_curve = rung_curve(main, dense)
    subject = SparseNetworks(source, main, ordered, pruning_curve, question.groups, question.examples)
    optimal = subject.sparsity("optimal", pruning_curve.optimal)
    sparsest = subject.sparsity("sparsest", sparsest_better(pruning_curve))
    requested = subject.sparsity("asked", _asked(pruning_curve, question))

    def treated(kind: str, by: str) -> TreatmentComparison | None:
        ladders = [ladder for ladder in others if ladder.treatment.kind == kind]
        return compare_treatment(ladders, pruning_curve, dense, by) if ladders else None

    extended, narrow = treated("extended", "rung"), treated("narrow", "parameters")
    pruning = dict.fromkeys(ladder.treatment.name for ladder in others if ladder.treatment.prunes)
    ablations = [[ladder for ladder in others if ladder.treatment.name == other] for other in pruning]
    left_out = compare_leave_outs(source, ordered, main, dense)
    network = main[0].network
    sparsities = [sparsity for sparsity in (optimal, sparsest, requested) if sparsity is not None]
    notes = list(describe_cell(main, pruning_curve, sparsest))
    if question.rung is not None and requested is None:
        notes.append(f"rung {question.rung} was not measured here")
    if question.treatment not in (None, name):
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
        extended=extended,
        narrow=narrow,
        ablations=tuple(compare_treatment(ladders, pruning_curve, dense, "density") for ladders in ablations),
        leave_outs=left_out,
        diagnosis=diagnose(optimal, sparsest, extended, narrow, main[0].label_noise),
        missing=tuple(find_missing(source, main, pruning_curve, sparsities, extended, narrow, left_out)),
        notes=tuple(notes),
    )


def _asked(pruning_curve: Curve, question: CellQuery) -> int | None:
    """Return the rung asked for; None where this cell has not got there."""
    sparse = [point.rung for point in pruning_curve.points if point.rung > 0]
    if question.rung is not None and question.rung not in sparse:
        return None
    if question.density is not None and sparse:
        return nearest_rung(pruning_curve, question.density)
    return question.rung
