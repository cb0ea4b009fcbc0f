"""The whole of a report: from a store or a table to words and figures. What cannot be shown is named, never fatal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prunescope.choose.answers import Answer
from prunescope.choose.counts import amount
from prunescope.errors import Fault, InputError, counted, listed
from prunescope.laws.results import number, percent
from prunescope.lens import analyze
from prunescope.report.answers import answers, in_short
from prunescope.report.figures.agreement import agreement
from prunescope.report.figures.contours import contours
from prunescope.report.figures.curves import curves
from prunescope.report.figures.figure import Figure, told
from prunescope.report.figures.forms import forms
from prunescope.report.figures.invariant import invariant
from prunescope.report.figures.regions import regions
from prunescope.report.figures.sizes import sizes
from prunescope.report.figures.stability import stability
from prunescope.report.groups import ReportGroup, decide, decide_all, subjects
from prunescope.report.lens_chapters import examined, looked_at
from prunescope.report.options import ReportOptions
from prunescope.report.provenance import UNNAMED, provenance
from prunescope.report.results import Chapter, FigureSection, Line, Report
from prunescope.report.slider import bounds_for, slider, usual_bound
from prunescope.table import Store, Table, is_store, read_table

# Families that get a chapter; more are listed.
CHAPTERS = 4


def report(
    source: Any,
    *,
    where: str = "",
    lens: Any = None,
    max_error: float | None = None,
    confidence: float = 0.9,
    draws: int = 10,
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
    max_error, confidence, draws
        See `ReportOptions`.

    Raises
    ------
    InputError
        Where the table cannot be read, holds no row, or something impossible is asked for.
    """
    asked = ReportOptions(max_error, confidence, draws)
    name = _named(source)
    rows = read_table(source, where)
    seen = None if lens is None else analyze(lens)  # what is named must be there to be looked at
    if not len(rows):
        raise InputError(rows.source, [Fault("the rows", "must be one or more", "none")])
    found = subjects(rows)
    every = sorted((_decided(subject, asked) for subject in found.all), key=_rank)
    chapters = tuple(_chapter(each, asked, name, where) for each in every[:CHAPTERS])
    lines = tuple(_line(each) for each in every[CHAPTERS:])
    missing = list(found.missing)
    if lines:
        sizes = [len(each.subject.cells) for each in every]
        tied = " (among equals, those with the smallest answer)" if sizes[CHAPTERS - 1] == sizes[CHAPTERS] else ""
        missing.append(
            f"{counted(len(every), 'family', 'families')}: the {CHAPTERS} with most points{tied} have a chapter, the "
            "others a line; --where narrows the table to the ones that matter"
        )
    seen_name = "" if lens is None else _named(lens)
    origin = provenance(rows, name, asked, seen_name, where)
    missing += (
        f"study {each.name} is not finished: {each.done:,} of {each.rungs:,} rungs"
        + (f", {counted(each.failed, 'ladder')} failed" if each.failed else "")
        for each in origin.studies
        if each.done < each.rungs
    )
    # Single examples lie in the store beside its rows; conditions leave the rows alone.
    whole = not where.strip() and (isinstance(source, Store) or _is_store(source))
    seen = seen or looked_at(source if whole else rows, missing)
    chapters += examined(seen, seen_name or name, missing) if seen else ()
    title = ", ".join(dict.fromkeys(each.name for each in origin.studies)) or Path(name).name
    notes = tuple(dict.fromkeys((*rows.notes, *found.notes)))
    return Report(title, _subtitle(rows, found.all), chapters, lines, rows, origin, notes, tuple(missing))


def _named(source: Any) -> str:
    if isinstance(source, Store):
        return str(source.path)
    return source.source if isinstance(source, Table) else str(source) if isinstance(source, str | Path) else UNNAMED


def _is_store(source: Any) -> bool:
    return isinstance(source, str | Path) and is_store(Path(source))


def _subtitle(rows: Table, found: tuple[ReportGroup, ...]) -> str:
    families = counted(len(found), "family", "families") if len(found) != 1 else found[0].name
    return f"{families}: {counted(len(rows), 'network')}"


@dataclass(frozen=True)
class _Decided:
    """A family with its answer at the bound that it is asked for, or why there is none."""

    subject: ReportGroup
    bound: float
    answer: Answer | None
    why: str


def _decided(subject: ReportGroup, asked: ReportOptions) -> _Decided:
    bound = asked.max_error or usual_bound(subject)
    return _Decided(subject, bound, *decide(subject, bound, asked.confidence))


def _rank(found: _Decided) -> tuple[int, bool, bool, float]:
    """Put families with most points first; among equals those that answer, with the smallest network."""
    points = -len(found.subject.cells)
    if found.answer is None:
        return points, True, True, 0.0
    # Parameters that were counted and units of depth and width are not to be compared.
    return points, False, found.answer.choice.counted == "relative", found.answer.choice.parameters


def _chapter(found: _Decided, asked: ReportOptions, source: str, where: str) -> Chapter:
    subject, bound, answer, why = found.subject, found.bound, found.answer, found.why
    steps = decide_all(subject, bounds_for(subject, bound), asked.confidence)
    # A lone refusal is said in words.
    chosen = slider(steps, bound, asked.confidence) if any(step.choice for step in steps) or len(steps) > 1 else None
    missing: list[str] = []
    shown = answer
    if shown is None and (reachable := next((each for each in steps if each.choice is not None), None)):
        shown, _ = decide(subject, reachable.max_error, asked.confidence)
    sections = []
    if subject.family is not None and shown is not None:
        sections.append(FigureSection("Which network", (sizes(subject.family, shown, steps),)))
    sections.append(FigureSection("The law", _present(curves(subject), regions(subject), agreement(subject))))
    sections.append(FigureSection("The invariant", _present(contours(subject), invariant(subject))))
    if subject.fit is not None:
        trials = _present(forms(subject), stability(subject, asked.draws) if asked.draws else None)
        sections.append(FigureSection("Trials of the law", trials))
    _tell_missing(subject, missing)
    said = tuple(answers(subject, answer, why, bound, source, _options(subject, where)))
    kept = tuple(section for section in sections if section.figures)
    return Chapter(subject.name, in_short(subject, answer, why), said, chosen, kept, tuple(missing))


def _options(subject: ReportGroup, where: str) -> tuple[str, ...]:
    """Return the options that a command on this family alone needs."""
    conditions = [condition for condition in (where.strip(), subject.condition) if condition]
    return tuple(word for condition in conditions for word in ("--where", condition))


def _present(*figures: Figure | None) -> tuple[Figure, ...]:
    return tuple(figure for figure in figures if figure is not None)


def _tell_missing(subject: ReportGroup, missing: list[str]) -> None:
    """Say which figures are not there, and what would bring them."""
    cells = subject.cells
    if subject.fit is None:
        missing.append("figures of the law need a law")
        return
    if cells.cells == 1:
        missing.append(
            "one cell alone: networks of other widths and depths would show the invariant m* and what to prune instead"
        )
    elif (cells.width.max() == cells.width.min()) and (cells.depth.max() == cells.depth.min()):
        missing.append(
            "neither width nor depth varies: contours of constant error need members of other widths or depths"
        )
    if 1 < cells.cells < 4:
        missing.append("fewer than 4 cells: too few to try how many measurements are enough")
    if cells.seed_noise is None:
        missing.append("no replicates: nothing is known of how much the seed alone moves an error")


def _line(found: _Decided) -> Line:
    subject, fit = found.subject, found.subject.fit
    name = subject.short or subject.name
    if fit is None:
        return Line(name, len(subject.cells), subject.why, "", "")
    # Exponents of what does not vary are given as 0; of one network m* is its density.
    names = {each: each for each, value in fit.parameters.items() if value != 0 or each not in fit.fixed}
    if subject.cells.cells == 1:
        names["p_prime"] = "p"
    known = [f"{words} {number(fit.parameters[each])}" for each, words in names.items() if told(fit, each)]
    unknown = [words for each, words in names.items() if not told(fit, each)]
    law = "; ".join([*([listed(known)] if known else []), *([f"not told: {listed(unknown)}"] if unknown else [])])
    deviation = f"mu {percent(fit.mean_deviation)}, sigma {percent(fit.std_deviation)}"
    return Line(name, len(subject.cells), law, deviation, _short(found.answer, found.why))


def _short(answer: Answer | None, why: str) -> str:
    if answer is None:
        return why.split(":", maxsplit=1)[0]
    pick = answer.choice
    return f"{number(answer.max_error)}: density {number(pick.density)}, {amount(pick.parameters)}"
