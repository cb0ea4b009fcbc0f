"""The inputs of planning: the cells of a table and a study, their measurements and costs, and which are weighed.

A posterior over cells takes memory with the square of their number and time with its cube. Of very many, those are
weighed that may be the answer, and an even sample of the others, which tells the law: a member that is expected to be
far larger than the smallest under the bound cannot be the answer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prunescope.choose.counts import Count, Counts, member_words
from prunescope.choose.description import rung_step
from prunescope.choose.smallest import LOWEST_LOG_DENSITY, MemberSizes, Truths, needed_density
from prunescope.choose.unpruned import GaussianProcess, Place
from prunescope.design.cornered_law import CORNERED
from prunescope.design.costs import Costs, costs
from prunescope.design.posterior import THETA, Integers, Numbers, Rows, compute_posterior
from prunescope.design.value_of_information import Question
from prunescope.errors import Fault, InputError, apart, listed, named, shell_word
from prunescope.laws.data import GroupData
from prunescope.laws.grouping import sample
from prunescope.laws.shared_examples import UNKNOWN_EXAMPLES, SharedExamples
from prunescope.study import Study
from prunescope.study.catalogue import DATASETS
from prunescope.study.sections import PRUNING, Recipe, Treatment
from prunescope.table import Table
from prunescope.table.coded import Columns, rows_of
from prunescope.table.duckdb_engine import condition

# Without a study: each rung removes a fifth, down to less than half a percent.
USUAL_FRACTION, USUAL_LEVELS, USUAL_REPLICATES = 0.2, 25, 3


@dataclass(frozen=True)
class DesignInputs:
    """The cells of a family, their measurements and their costs."""

    place: Place
    counts: tuple[Count, ...]
    rows: Rows
    tops: Mapping[int, tuple[int, ...]]
    costs: Costs
    classes: int | None
    step: float
    levels: tuple[tuple[int, ...], ...]
    shared_examples: SharedExamples = UNKNOWN_EXAMPLES
    has_depth: bool = True
    has_width: bool = True
    has_examples: bool = True

    def pick(self, cells: Integers) -> DesignInputs:
        """Return the inputs of some of the cells, which are numbered anew."""
        chosen = cells.tolist()
        return dataclasses.replace(
            self,
            place=self.place.pick(cells),
            counts=tuple(self.counts[cell] for cell in chosen),
            rows=self.rows.of(cells, len(self.counts)),
            tops={number: self.tops[cell] for number, cell in enumerate(chosen) if cell in self.tops},
            costs=dataclasses.replace(self.costs, cost=self.costs.cost[cells]),
            levels=tuple(self.levels[cell] for cell in chosen),
        )

    def name(self, cell: int) -> str:
        """Name a cell by depth and width."""
        depth = round(float(self.place.depth[cell])) if self.has_depth else None
        return member_words(depth, float(self.place.width[cell]) if self.has_width else None)


def at_noise(study: Study, table: Table | None = None, label_noise: float | None = None) -> Study:
    """Restrict a study to one level of label noise: the named one, or the only one in the table."""
    levels = sorted({cell.label_noise for cell in study.cells})
    if label_noise is None and table is not None and "label_noise" in table:
        present = sorted(set(levels) & set(table["label_noise"].tolist()))
        label_noise = present[0] if len(present) == 1 else None
    if len(levels) == 1 and label_noise in (None, levels[0]):
        return study
    shown = listed([f"{level:g}" for level in levels])
    if label_noise is None:
        hint = f"Name it: --noise {levels[0]:g}."
        raise InputError(
            f"study {study.name}", [Fault("label noise", "must be one level to choose within", shown, hint)]
        )
    if label_noise not in levels:
        fault = Fault("label noise", "must be a level of the study", f"{label_noise:g}", f"There are {shown}.")
        raise InputError(f"study {study.name}", [fault])
    axes = [block for block in study.axes if label_noise in block.label_noise]
    only = tuple(block.model_copy(update={"label_noise": (label_noise,)}) for block in axes)
    return dataclasses.replace(study, axes=only)


def design_inputs(
    table: Table | None,
    study: Study | None,
    depths: Sequence[int] | None,
    widths: Sequence[float] | None,
    classes: int | None,
    by: Sequence[str] | None,
) -> DesignInputs:
    """Return the inputs from a table, a study or both, with the members that depths and widths add."""
    group, group_rows = _group(table, study, by) if table is not None and len(table) else (None, None)
    if group is None and study is None:
        raise InputError("the table", [Fault("the rows", "must be one or more", "none", "Or name a --study to begin.")])
    cells: dict[tuple[float, float, float], None] = {}
    if study is not None:
        for cell in _cells_of(study):
            cells[float(cell.depth), cell.width, float(cell.examples)] = None
    if group is not None:
        for key in zip(group.depth.tolist(), group.width.tolist(), group.examples.tolist(), strict=True):
            cells.setdefault(key)
    if depths or widths:
        most = max(key[2] for key in cells)
        for deep in depths or sorted({round(key[0]) for key in cells}):
            for wide in widths or sorted({key[1] for key in cells}):
                cells.setdefault((float(deep), float(wide), most))
    depth, width, examples = np.array(list(cells), np.float64).T
    place = Place(depth, width, examples)
    counting = _counting(group_rows, study)
    pairs = {key[:2]: counting.count(*key[:2]) for key in cells}
    counts = tuple(pairs[key[:2]] for key in cells)
    recipe = study.recipe if study else None
    step = _step(recipe, group)
    rows, tops = _measured(group, list(cells), step, exact=study is not None)
    extent = _extent(study)
    levels = tuple(_levels(study, extent.get(key), tops.get(place, ())) for place, key in enumerate(cells))
    facts = counting.facts or DATASETS.get(counting.dataset)
    known = classes or (facts.classes if facts else None)
    has = [
        study is not None or (group_rows is not None and name in group_rows) for name in ("depth", "width", "examples")
    ]
    shared = group.shared_examples if group is not None else SharedExamples(facts.test if facts else None)
    spent = costs(place.examples, counts, recipe, group_rows)
    return DesignInputs(place, counts, rows, tops, spent, known, step, levels, shared, *has)


def _step(recipe: Recipe | None, group: GroupData | None) -> float:
    """Return the logarithm of the share of weights that each rung keeps: from the recipe, or from the table."""
    if recipe is not None:
        return float(np.log(1 - recipe.pruning_fraction))
    step = rung_step(group) if group is not None and len(group) else None
    return float(np.log(1 - USUAL_FRACTION)) if step is None else step


def _extent(study: Study | None) -> dict[tuple[float, float, float], list[int]]:
    """Return the levels that a study asks of each replicate of a cell, by depth, width and examples."""
    extent: dict[tuple[float, float, float], list[int]] = {}
    for cell, levels in {} if study is None else study.extent.items():
        extent.setdefault((float(cell.depth), cell.width, float(cell.examples)), levels)
    return extent


def _levels(study: Study | None, asked: Sequence[int] | None, tops: tuple[int, ...]) -> tuple[int, ...]:
    """Return the highest rung of each ladder of a cell, from high to low."""
    if study is None:
        most = max(USUAL_REPLICATES, len(tops))
        return (max(USUAL_LEVELS, *tops, 0),) * most
    return (study.recipe.levels,) * study.replicates if asked is None else tuple(sorted(asked, reverse=True))


def _cells_of(study: Study) -> Any:
    """Return the cells of a study, which must be one family."""
    if not any(treatment.kind in PRUNING for treatment in study.treatments):
        must = f"must hold one that prunes: {listed(PRUNING)}"
        raise InputError(f"study {study.name}", [Fault("treatments", must)])
    for name in ("family", "dataset"):
        values = list(dict.fromkeys(getattr(cell, name) for cell in study.cells))
        if len(values) > 1:
            must = f"must have one {name} to choose within"
            raise InputError(f"study {study.name}", [Fault("axes", must, listed(values))])
    return study.cells


def _group(table: Table, study: Study | None, by: Sequence[str] | None) -> tuple[GroupData | None, Table]:
    """Return the measurements of the family; refuse several."""
    rows = table
    if study is not None:
        treatment = treatment_of(study)
        known = {ladder.identity for ladder in study.ladders if ladder.treatment == treatment}
        if "ladder" in rows:
            here = rows_of(Columns.of(rows.columns).column("ladder").texts, known.__contains__)
            rows = rows if here.all() else rows.take(here)
    groups = sample(rows, joint=True, by=by, keep_replicates=True).groups if len(rows) else ()
    # Groups without pruned networks are no families to choose between.
    groups = tuple(group for group in groups if (group.density < 1).any()) or groups
    if len(groups) > 1:
        shown = f"{len(groups)}: {listed([named(group.key) for group in groups], 3)}"
        one = shell_word(condition(apart(groups[0].key)))
        hint = f"Name one, as in --where {one}, or put them together with --by."
        raise InputError(table.source, [Fault("the table", "must hold one family", shown, hint)])
    return (groups[0] if groups else None), rows


def treatment_of(study: Study) -> Treatment:
    """Return the study's first treatment that prunes."""
    return next(treatment for treatment in study.treatments if treatment.kind in PRUNING)


def _measured(
    group: GroupData | None, cells: Sequence[tuple[float, float, float]], step: float, exact: bool
) -> tuple[Rows, dict[int, tuple[int, ...]]]:
    """Return measured rows cell by cell, and the highest rung of each ladder.

    Replicates of a study keep their numbers (`exact`); those of other files are only counted.
    """
    if group is None or not len(group):
        return Rows(np.zeros(0, np.int64), np.zeros(0), np.zeros(0)), {}
    number = {key: place for place, key in enumerate(cells)}
    keys = zip(group.depth.tolist(), group.width.tolist(), group.examples.tolist(), strict=True)
    at = np.array([number[key] for key in keys], np.int64)[group.row_point]
    log_density = np.log(group.density)[group.row_point]
    rung = np.round(log_density / step).astype(np.int64)
    tops: dict[int, tuple[int, ...]] = {}
    order = np.argsort(at, kind="stable")
    for here in np.split(order, np.flatnonzero(np.diff(at[order])) + 1):
        cell, replicates = int(at[here[0]]), group.row_replicate[here]
        if not exact:
            replicates = np.unique(replicates, return_inverse=True)[1].reshape(-1)
        highest = [-1] * (int(replicates.max()) + 1)
        for replicate, top in zip(replicates.tolist(), rung[here].tolist(), strict=True):
            highest[replicate] = max(highest[replicate], top)
        tops[cell] = tuple(highest) if exact else tuple(sorted(highest, reverse=True))
    return Rows(at, log_density, np.log(group.row_error)), tops


def _counting(rows: Table | None, study: Study | None) -> Counts:
    if rows is not None and len(rows):
        return Counts.of(rows)
    if study is None:
        return Counts()
    cell = study.cells[0]
    facts = next((own.facts for own in study.datasets if own.label == cell.dataset), None)
    return Counts(cell.family, cell.dataset, {}, study.recipe.prunable, facts)


# Cells that are weighed against each other; of more, a plan takes as many.
MOST_CELLS = 200


def question_of(inputs: DesignInputs, members: Integers, max_error: float) -> Question:
    """Return the question of the smallest of some members under an error bound."""
    counts = [inputs.counts[member] for member in members.tolist()]
    prunable, rest = (np.array([getattr(count, name) for count in counts]) for name in ("prunable", "rest"))
    sizes = MemberSizes(inputs.place.depth[members], inputs.place.width[members], prunable, rest)
    relative = any(count.how == "relative" for count in counts)
    lowest = np.full(len(counts), LOWEST_LOG_DENSITY) if relative else -np.log(np.maximum(prunable, 1.0))
    return Question(max_error, sizes, members, lowest, inputs.shared_examples)


def cells_to_weigh(inputs: DesignInputs, question: Question, most: int, guessing: float | None) -> Integers:
    """Return the cells to weigh, in their order: all, unless they are too many.

    Half are an even sample: measured cells first, drawn by a fixed seed. They give a first law and first unpruned
    errors, by which the other half are the members with the fewest expected parameters under the bound.
    """
    count = len(inputs.counts)
    if count <= most:
        return np.arange(count)
    shuffled = np.random.default_rng(0).permutation(count)
    unmeasured = np.ones(count, bool)
    unmeasured[inputs.rows.cell] = False
    sampled = np.sort(shuffled[np.argsort(unmeasured[shuffled], kind="stable")][: most // 2])
    parameters, errors = _expected(inputs, question, sampled, guessing)
    ranked = question.cell[np.lexsort((errors, parameters))]
    nearest = ranked[~np.isin(ranked, sampled)][: most - len(sampled)]
    return np.sort(np.concatenate([sampled, nearest]))


def _expected(
    inputs: DesignInputs, question: Question, sampled: Integers, guessing: float | None
) -> tuple[Numbers, Numbers]:
    """Return the parameters that each member is expected to need under the bound, and its expected unpruned error."""
    sample = inputs.pick(sampled)
    first = compute_posterior(sample.place, sample.rows, guessing)
    shown = np.unique(sample.rows.cell)
    expected = first.mean[THETA : THETA + len(sampled)][shown]
    noise = np.full(len(shown), first.noise)
    smooth = GaussianProcess.through(sample.place.pick(shown), expected, noise)
    unpruned = smooth.mean(inputs.place)
    dense = inputs.rows.log_density > -1e-9
    sums = np.bincount(inputs.rows.cell[dense], inputs.rows.log_error[dense], len(unpruned))
    repeats = np.bincount(inputs.rows.cell[dense], minlength=len(unpruned))
    unpruned = np.where(repeats > 0, sums / np.maximum(repeats, 1), unpruned)[question.cell]
    truths = Truths(first.mean[None, :THETA], unpruned[None], CORNERED)
    needed = np.maximum(needed_density(question.sizes, truths, question.bound)[0], question.lowest)
    return question.sizes.parameters(needed), unpruned
