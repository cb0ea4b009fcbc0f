"""Chapters of what the lens sees: a diagnosis for each level of label noise, and the second paper's figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from prunescope.errors import InputError, PrunescopeError, command
from prunescope.lens import CellResult, LensResult, analyze
from prunescope.report.chapters import Chapter, FigureSection
from prunescope.report.figures.el2n import el2n_groups, rung_changes, treatment_groups
from prunescope.report.figures.examples import extreme_examples, suspect_labels
from prunescope.report.figures.figure import Figure
from prunescope.report.figures.leave_outs import influence, leave_outs
from prunescope.report.figures.noise import losses, noise, noise_words
from prunescope.report.figures.treatments import ablations, extended, narrow
from prunescope.report.provenance import place
from prunescope.report.statements import Statement
from prunescope.table import Table

# Networks that get a chapter.
CHAPTERS = 3
# Rows that are looked at for them.
MOST = 50_000


def looked_at(source: Any, rows: Table, missing: list[str]) -> LensResult | None:
    """Look at a source whose rows were read; where there is nothing to see, it is said why."""
    try:
        result = analyze(source, most=MOST, table=rows)
        missing += (
            f"the lens: {words}; prunescope lens --all has all" for words in result.notes if "not looked at" in words
        )
        return result
    except InputError as trouble:
        missing.append(f"the lens: {trouble.faults[0]}")
    except PrunescopeError as trouble:
        missing.append(f"the lens: {trouble}")
    return None


def examined(result: LensResult, name: str, missing: list[str]) -> tuple[Chapter, ...]:
    """Return a chapter for each network that there is something to see of; what is not to be seen is named."""
    networks = _networks(result)
    shown = [cells for cells in networks if _tells(cells)]
    if not shown:
        missing.append(
            "the lens: no label noise, no treatments other than pruning, no scores of examples; "
            f"{command('lens', place(name))} says what it needs for them"
        )
    if len(shown) > CHAPTERS:
        missing.append(
            f"{len(shown)} networks for the lens, {CHAPTERS} shown; {command('lens', place(name))} shows all"
        )
    return tuple(_chapter(cells, result, alone=len(shown) == 1) for cells in shown[:CHAPTERS])


def _networks(result: LensResult) -> list[list[CellResult]]:
    """Put cells that differ in label noise alone together, those that tell most first."""
    by_name: dict[str, list[CellResult]] = {}
    for cell in result.cells:
        by_name.setdefault(cell.name, []).append(cell)
    return sorted(by_name.values(), key=lambda cells: -sum(map(_weight, cells)))


def _tells(cells: Sequence[CellResult]) -> bool:
    """Whether the lens sees more of a network than its curve by density."""
    return len(cells) > 1 or any(map(_weight, cells))


def _weight(cell: CellResult) -> int:
    groups = any(sparsity is not None and sparsity.groups is not None for sparsity in (cell.optimal, cell.sparsest))
    examples = cell.optimal is not None and bool(cell.optimal.extremes)
    beside = (cell.extended, cell.narrow, cell.influence, *cell.ablations, *cell.leave_outs)
    return 2 * groups + examples + sum(comparison is not None for comparison in beside) + (cell.label_noise > 0)


def _chapter(cells: Sequence[CellResult], result: LensResult, alone: bool) -> Chapter:
    examples = (el2n_groups, rung_changes, extreme_examples, suspect_labels)
    sections = (
        FigureSection("Generalisation and training", _present(noise, losses, cells=cells)),
        FigureSection("Which examples", _present(*examples, cells=cells)),
        FigureSection("Alternatives to pruning", _present(extended, narrow, ablations, treatment_groups, cells=cells)),
        FigureSection("Training without some examples", _present(leave_outs, influence, cells=cells)),
    )
    missing = tuple(dict.fromkeys(item.words for cell in cells for item in cell.missing))
    statements = tuple(_said(cells, result))
    name = "Why pruning helped or hurt" + ("" if alone else f": {cells[0].name}")
    short = "; ".join(f"noise {noise_words(cell.label_noise)}: {cell.diagnosis.effect}" for cell in cells)
    return Chapter(
        name,
        f"{short[0].upper()}{short[1:]}.",
        statements,
        None,
        tuple(section for section in sections if section.figures),
        missing,
    )


def _present(*make: Callable[[Sequence[CellResult]], Figure | None], cells: Sequence[CellResult]) -> tuple[Figure, ...]:
    return tuple(figure for make_figure in make if (figure := make_figure(cells)) is not None)


def _said(cells: Sequence[CellResult], result: LensResult) -> Iterator[Statement]:
    for cell in cells:
        title = "Diagnosis" if len(cells) == 1 else f"Diagnosis at label noise {noise_words(cell.label_noise)}"
        diagnosis = cell.diagnosis
        words = " ".join(map(_sentence, (diagnosis.words, *diagnosis.practice)))
        yield Statement("answer", title, words, tuple(map(_sentence, diagnosis.rests_on)))
    for cell in cells:
        if cell.leave_outs:
            title = f"Trained without some examples, label noise {noise_words(cell.label_noise)}"
            first, *others = (_sentence(leave_out.words) for leave_out in cell.leave_outs)
            yield Statement("answer", title, first, tuple(others))
    for words in dict.fromkeys((*result.notes, *(note for cell in cells for note in cell.notes))):
        yield Statement("warning", "About the lens", _sentence(words))


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}{'' if words.endswith('.') else '.'}"
