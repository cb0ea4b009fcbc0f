"""The whole of a report: from a store or a table to words and figures. What cannot be shown is named, never fatal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prunescope.choose.answers import Answer
from prunescope.errors import Fault, InputError, counted
from prunescope.lens import analyze
from prunescope.report.chapters import (
    Chapter,
    FigureSection,
    Report,
    measured_rungs,
    slider,
)
from prunescope.report.figures.agreement import agreement
from prunescope.report.figures.contours import contours
from prunescope.report.figures.curves import curves, invariant
from prunescope.report.figures.diagnostics import influence_figure, profile_figure, residual_figure
from prunescope.report.figures.figure import Figure
from prunescope.report.figures.forms import forms, stability
from prunescope.report.figures.regions import regions
from prunescope.report.figures.sizes import sizes
from prunescope.report.groups import ReportGroup, decide, decide_all, report_groups
from prunescope.report.lens_chapters import examined, looked_at
from prunescope.report.overview import FamilyAnswer, ask_all, bounds_for, overview, rank, usual_bound
from prunescope.report.provenance import UNNAMED, ReportOptions, provenance
from prunescope.report.statements import answers, in_short
from prunescope.table import Store, Table, is_store, read_table
from prunescope.table.table import outcome_of

# Families that get a chapter; where there are more, all are beside each other in one table.
CHAPTERS = 4
# Bounds above the usual one that are tried for a confident choice.
NEAR = 6


def report(
    source: Any,
    *,
    where: str = "",
    lens: Any = None,
    max_error: float | None = None,
    confidence: float = 0.9,
    draws: int = 10,
    count: str = "parameters",
    pick_by: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Make a report of a store or a table.

    Parameters
    ----------
    source
        What `read_table` takes: a path, a store, a DataFrame, columns by name.
    where
        Condition in SQL that rows must fulfil.
    lens
        Another store, or table, for the lens to look at; None is the source.
    max_error, confidence, draws, count, pick_by
        See `ReportOptions`.
    progress
        Told how many steps are done, and of how many: the laws, then each chapter.

    Raises
    ------
    InputError
        Where the table cannot be read, holds no row, or something impossible is asked for.
    """
    options = ReportOptions(max_error, confidence, draws, outcome_of(source), count, pick_by)
    name = _named(source)
    rows = read_table(source, where)
    analysis = None if lens is None else analyze(lens)  # what is named must be there to be looked at
    if not len(rows):
        raise InputError(rows.source, [Fault("the rows", "must be one or more", "none")])
    groups = report_groups(rows, count)
    asked = ask_all(groups.all, options) if len(groups.all) > CHAPTERS else ()
    if asked:
        decisions = [_at_common_bound(answer, options) for answer in asked[:CHAPTERS]]
    else:
        decisions = sorted((_decided(group, options) for group in groups.all), key=_rank)
    chapters: tuple[Chapter, ...] = ()
    tell = progress or (lambda done, steps: None)
    for done, decision in enumerate(decisions, 1):
        tell(done, len(decisions) + 1)
        chapters += (_chapter(decision, options, name, where),)
    tell(len(decisions) + 1, len(decisions) + 1)
    missing = list(groups.missing)
    if asked:
        sizes = [len(answer.group.cells) for answer in asked]
        tied = " (among equals, those with the smallest answer)" if sizes[CHAPTERS - 1] == sizes[CHAPTERS] else ""
        missing.append(
            f"{counted(len(asked), 'family', 'families')}: the {CHAPTERS} with most points{tied} have a chapter, "
            "the others a row of the table of all; --where narrows the table to the ones that matter"
        )
    seen_name = "" if lens is None else _named(lens)
    origin = provenance(rows, name, options, seen_name, where)
    missing += (
        f"study {study.name} is not finished: {study.done:,} of {study.rungs:,} rungs"
        + (f", {counted(study.failed, 'ladder')} failed" if study.failed else "")
        for study in origin.studies
        if study.done < study.rungs
    )
    # Single examples lie in the store beside its rows; conditions leave the rows alone.
    whole = not where.strip() and (isinstance(source, Store) or _is_store(source))
    analysis = analysis or looked_at(source if whole else rows, rows, missing)
    chapters += examined(analysis, seen_name or name, missing) if analysis else ()
    studies = tuple(dict.fromkeys(study.name for study in origin.studies))
    called = ", ".join(studies) or Path(name).name
    heading = title(rows, len(groups.all), called), subtitle(rows, studies, called)
    notes = tuple(dict.fromkeys((*rows.notes, *groups.notes)))
    beside = overview(asked, CHAPTERS, options) if asked else None
    return Report(*heading, chapters, beside, rows, origin, notes, tuple(missing))


def _named(source: Any) -> str:
    if isinstance(source, Store):
        return str(source.path)
    return source.source if isinstance(source, Table) else str(source) if isinstance(source, str | Path) else UNNAMED


def _is_store(source: Any) -> bool:
    return isinstance(source, str | Path) and is_store(Path(source))


@dataclass(frozen=True)
class _Decided:
    """A family with its answer at the bound that it is asked for, or why there is none."""

    group: ReportGroup
    bound: float
    answer: Answer | None
    why: str


def _decided(group: ReportGroup, options: ReportOptions) -> _Decided:
    bound = _near_bound(group, options) if options.max_error is None else options.max_error
    return _Decided(group, bound, *decide(group, bound, options.confidence, options.pick_by))


def _near_bound(group: ReportGroup, options: ReportOptions) -> float:
    """Return the usual bound, or the next one that a network meets with confidence, if one is near."""
    usual = usual_bound(group)
    above = [bound for bound in bounds_for(group, usual) if bound > usual]
    for bound in (usual, *above[:NEAR]):
        if any(choice.robust for choice in decide_all(group, (bound,), options.confidence, options.pick_by)):
            return bound
    return usual


def _at_common_bound(asked: FamilyAnswer, options: ReportOptions) -> _Decided:
    bound = asked.choice.max_error
    return _Decided(asked.group, bound, *decide(asked.group, bound, options.confidence, options.pick_by))


def _rank(decision: _Decided) -> tuple[int, bool, bool, float]:
    return rank(decision.group, None if decision.answer is None else decision.answer.choice)


def _chapter(decision: _Decided, options: ReportOptions, source: str, where: str) -> Chapter:
    group, bound, answer, why = decision.group, decision.bound, decision.answer, decision.why
    steps = decide_all(group, bounds_for(group, bound), options.confidence, options.pick_by)
    # A lone refusal is said in words.
    chosen = (
        slider(steps, bound, options.confidence, options.count, options.outcome, measured_rungs(group))
        if any(step.choice for step in steps) or len(steps) > 1
        else None
    )
    missing: list[str] = []
    shown = answer
    if shown is None and (reachable := next((step for step in steps if step.choice is not None), None)):
        shown, _ = decide(group, reachable.max_error, options.confidence, options.pick_by)
    sections = []
    if group.family is not None and shown is not None:
        sections.append(FigureSection("Which network", (sizes(group.family, shown, steps),)))
    sections.append(FigureSection("The law", _present(curves(group), regions(group), agreement(group))))
    sections.append(FigureSection("The invariant", _present(contours(group), invariant(group))))
    compared = forms(group)
    null = "" if compared is None else compared.null
    if group.fit is not None:
        trials = _present(compared, stability(group, options.draws) if options.draws else None)
        sections.append(FigureSection("Trials of the law", trials))
        # What costs many fits is left out with `draws=0`.
        many = (profile_figure(group), influence_figure(group)) if options.draws else ()
        sections.append(FigureSection("Diagnostics", _present(residual_figure(group), *many)))
    _tell_missing(group, missing)
    statements = tuple(answers(group, answer, why, bound, source, _options(group, where), null))
    present = tuple(section for section in sections if section.figures)
    return Chapter(
        group.short or group.name, in_short(group, answer, why, null), statements, chosen, present, tuple(missing)
    )


def _options(group: ReportGroup, where: str) -> tuple[str, ...]:
    """Return the options that a command on this family alone needs."""
    conditions = [condition for condition in (where.strip(), group.condition) if condition]
    return tuple(word for condition in conditions for word in ("--where", condition))


def _present(*figures: Figure | None) -> tuple[Figure, ...]:
    return tuple(figure for figure in figures if figure is not None)


def _tell_missing(group: ReportGroup, missing: list[str]) -> None:
    """Say which figures are not there, and what would bring them."""
    cells = group.cells
    if group.fit is None:
        missing.append("figures of the law need a fitted law")
        return
    if cells.cells == 1:
        missing.append(
            "one cell alone: networks of other widths or depths would show the invariant m* and other members to prune"
        )
    elif (cells.width.max() == cells.width.min()) and (cells.depth.max() == cells.depth.min()):
        missing.append(
            "neither width nor depth varies: contours of constant error need members of other widths or depths"
        )
    if 1 < cells.cells < 4:
        missing.append("fewer than 4 cells: too few to test how many measurements suffice")
    if cells.seed_noise is None:
        missing.append("no replicates: the effect of the seed alone on the error is unknown")


# As people write them; what is not here is written as the table has it.
FAMILIES = {
    "lenet": "LeNet",
    "cifar-resnet": "ResNet",
    "imagenet-resnet": "ResNet",
    "vgg": "VGG",
    "densenet": "DenseNet",
}
DATASETS = {
    "mnist": "MNIST",
    "fashion-mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "svhn": "SVHN",
    "tinyimagenet": "TinyImageNet",
    "imagenet": "ImageNet",
}


def title(rows: Table, families: int, name: str) -> str:
    """Say what was measured: ``LeNet on digits: 2,088 networks``; by its name where a table mixes networks or data."""
    networks = counted(len(rows), "network")
    family, dataset = _only(rows, "family"), _only(rows, "dataset")
    if family and dataset:
        return f"{FAMILIES.get(family, family)} on {DATASETS.get(dataset, dataset)}: {networks}"
    several = f" of {families:,} families" if families > 1 else ""
    return f"{name}: {networks}{several}"


def subtitle(rows: Table, studies: Sequence[str], name: str) -> str:
    """Say which study or table it is, and what varies in it."""
    source = f"study {', '.join(studies)}" if studies else name
    ranges = ", ".join(_ranges(rows))
    return f"{source}: {ranges}" if ranges else source


def _only(rows: Table, name: str) -> str:
    """Return the value of a column of names that is the same in all rows; empty where there is none."""
    if name not in rows:
        return ""
    values = {str(value) for value in np.unique(rows[name].astype(str)).tolist()}
    return values.pop() if len(values) == 1 and "None" not in values else ""


def _short(value: float) -> str:
    return f"{value:,.0f}" if value.is_integer() else f"{value:.3g}"


def _ranges(rows: Table) -> Iterator[str]:
    for name in ("depth", "width", "examples", "label_noise"):
        if name in rows and rows[name].dtype.kind in "fiu":
            values = rows[name][np.isfinite(rows[name].astype(float))]
            if len(values) and (values.min() < values.max() or name != "label_noise" or values.max() > 0):
                low, high = (_short(float(value)) for value in (values.min(), values.max()))
                yield f"{name.replace('_', ' ')} {low}" + (f" to {high}" if low != high else "")
    density = rows["density"]
    yield f"density {density.max():.3g} to {density.min():.3g}"
