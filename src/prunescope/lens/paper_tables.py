"""The paper's tables (Appendix M) from a result: by density, noise, treatment and EL2N, and its Tables 5 and 11.

Tables are rows of text and numbers; `to_csv` and `to_latex` write them. The appendix itself was not at hand: Tables 5
and 11 follow what sections 4 and 5.1 say that they hold, so their columns are our reading.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from prunescope.errors import Fault, InputError
from prunescope.files import replacing
from prunescope.lens.analysis import CellResult, LensResult
from prunescope.lens.comparisons import TrainingChange
from prunescope.lens.example_changes import Groups
from prunescope.lens.rung_curves import FIFTHS, Curve, Point
from prunescope.lens.sparsity import Sparsity
from prunescope.lens.verdicts import Spread, Verdict
from prunescope.markup import escaped

Cell = str | int | float | None


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper.

    Attributes
    ----------
    slug
        Its name in files.
    columns
        Names; a column that ends in ``_deviation`` belongs to the one before it.
    rows
        Values; None where one is missing.
    """

    slug: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


_WHERE = ("network", "label_noise")
_SPARSITY = (*_WHERE, "treatment", "which", "rung", "density")
_RUNG = (*_WHERE, "treatment", "rung", "density", "parameters", "epochs", "replicates")


def paper_tables(result: LensResult) -> tuple[PaperTable, ...]:
    """Return the tables of a result; those without rows are left out."""
    tables = (
        PaperTable(
            "generalisation",
            "Test error in percent by density, label noise and treatment: mean and sample standard deviation over "
            "replicates.",
            (*_RUNG, "test_error", "test_error_deviation"),
            tuple(_generalisation(result.cells)),
        ),
        PaperTable(
            "training-loss",
            "Mean training loss in nats by density, label noise and treatment: over all examples, those with original "
            "labels, and those with noisy ones; and its change from the dense networks by fifths of EL2N.",
            (*_RUNG, *_columns(*_LOSSES, *_FIFTHS)),
            tuple(_training_loss(result.cells)),
        ),
        PaperTable(
            "table-5",
            "Test error in percent of the dense, the optimally sparse and the extended dense networks (the paper's "
            "Table 5, as section 5.1 describes it): each at its lowest validation error, and extended minus sparse.",
            (*_WHERE, *_columns("dense", "sparse", "extended", "extended_minus_sparse"), "outcome"),
            tuple(_table_5(result.cells)),
        ),
        PaperTable(
            "table-11",
            "Mean training loss in nats on original and noisy examples, dense and at the optimal sparsity (the paper's "
            "Table 11, as its section 4 describes it), and the gap between noisy and original.",
            (
                *_WHERE,
                "density",
                *_columns(
                    "dense_original", "dense_noisy", "dense_gap", "sparse_original", "sparse_noisy", "sparse_gap"
                ),
            ),
            tuple(_table_11(result.cells)),
        ),
        PaperTable(
            "loss-by-el2n",
            "Mean training loss in nats by groups of EL2N percentiles, dense and sparse, and sparse minus dense: the "
            "numbers of Figs. 1b, 2 and 5, and of Appendix I.",
            (
                *_SPARSITY,
                *("group", "low", "high", "examples", "el2n", "dense_loss", "sparse_loss"),
                *(*_columns("difference"), "replicates", "outcome"),
            ),
            tuple(_loss_by_el2n(result.cells)),
        ),
        PaperTable(
            "leave-outs",
            "Test error in percent of dense networks trained without some examples, and the difference to the dense "
            "network, the optimally sparse one, and as many left out at random (Appendices D, E and K.2).",
            (
                *(*_WHERE, "treatment", "leave", "left_out"),
                *_columns("test_error", "against_dense", "against_sparse", "against_random"),
                "replicates",
            ),
            tuple(_leave_outs(result.cells)),
        ),
        PaperTable(
            "top-fifth",
            "The fifth of the examples with the highest EL2N beside the rest: how many times as much its training loss "
            "changes, its share of all change, and the mean changes of both in nats.",
            (*_SPARSITY, *_columns("times", "share", "top", "rest"), "replicates"),
            tuple(_top_fifth(result.cells)),
        ),
    )
    return tuple(table for table in tables if table.rows)


_LOSSES = ("train_loss", "train_loss_original", "train_loss_noisy")
_FIFTHS = tuple(f"change_el2n_{20 * fifth}_to_{20 * fifth + 20}" for fifth in range(FIFTHS))


def _columns(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}{end}" for name in names for end in ("", "_deviation"))


def _spread(spread: Spread | Verdict | None, times: float = 1) -> tuple[Cell, Cell]:
    if spread is None:
        return None, None
    return times * spread.mean, None if spread.deviation is None else times * spread.deviation


def _curves(cell: CellResult) -> Iterator[Curve]:
    yield cell.pruning
    for comparison in (cell.extended, cell.narrow, *cell.ablations):
        if comparison is not None:
            yield comparison.curve


def _place(cell: CellResult, curve: Curve, point: Point) -> tuple[Cell, ...]:
    replicates = len(point.test_error.values)
    where = (cell.name, cell.label_noise, curve.treatment, point.rung)
    return (*where, point.density, point.parameters, point.epochs, replicates)


def _generalisation(cells: Sequence[CellResult]) -> Iterator[tuple[Cell, ...]]:
    for cell in cells:
        for curve in _curves(cell):
            for point in curve.points:
                yield (*_place(cell, curve, point), *_spread(point.test_error, 100))
        for leave_out in cell.leave_outs:
            where = (cell.name, cell.label_noise, leave_out.treatment, 0, 1.0, None, None)
            yield (*where, len(leave_out.test_error.values), *_spread(leave_out.test_error, 100))


def _training_loss(cells: Sequence[CellResult]) -> Iterator[tuple[Cell, ...]]:
    for cell in cells:
        fifths = {(change.treatment, change.rung): change.fifths for change in cell.changes_by_rung}
        for curve in _curves(cell):
            for point in curve.points:
                losses = [getattr(point, name) for name in _LOSSES]
                changes = fifths.get((curve.treatment, point.rung), (None,) * FIFTHS)
                if any(losses):
                    values = (value for loss in (*losses, *changes) for value in _spread(loss))
                    yield (*_place(cell, curve, point), *values)


def _table_5(cells: Sequence[CellResult]) -> Iterator[tuple[Cell, ...]]:
    for cell in cells:
        extended = cell.extended
        if extended is None or extended.best is None:
            continue
        dense = next((point.test_error for point in cell.pruning.points if point.rung == 0), None)
        best = [curve.at(curve.optimal or 0).test_error for curve in (cell.pruning, extended.curve)]
        errors = [_spread(spread, 100) for spread in (dense, *best, extended.best)]
        yield (cell.name, cell.label_noise, *(value for pair in errors for value in pair), str(extended.best.outcome))


def _table_11(cells: Sequence[CellResult]) -> Iterator[tuple[Cell, ...]]:
    for cell in cells:
        gap, optimal = cell.optimal.gap if cell.optimal else None, cell.pruning.optimal
        dense = next((point for point in cell.pruning.points if point.rung == 0), None)
        if gap is None or optimal is None or dense is None:
            continue
        sparse = cell.pruning.at(optimal)
        losses = (
            *(dense.train_loss_original, dense.train_loss_noisy, gap.dense),
            *(sparse.train_loss_original, sparse.train_loss_noisy, gap.sparse),
        )
        yield (cell.name, cell.label_noise, sparse.density, *(value for loss in losses for value in _spread(loss)))


def _grouped(cells: Sequence[CellResult]) -> Iterator[tuple[tuple[Cell, ...], Groups]]:
    """Yield the groups of every treatment at its sparsities of interest, with the columns that say which."""
    for cell in cells:
        pruned = (sparsity for sparsity in (cell.optimal, cell.sparsest, cell.asked) if sparsity is not None)
        changes: list[tuple[str, Sparsity | TrainingChange]] = [(cell.pruning.treatment, change) for change in pruned]
        for comparison in (cell.extended, cell.narrow, *cell.ablations):
            if comparison is not None:
                changes += [(comparison.curve.treatment, change) for change in comparison.changes]
        for treatment, change in changes:
            if change.groups is not None:
                where = (cell.name, cell.label_noise, treatment, change.which, change.rung, change.density)
                yield where, change.groups


def _loss_by_el2n(cells: Sequence[CellResult]) -> Iterator[tuple[Cell, ...]]:
    for where, groups in _grouped(cells):
        for group in groups.groups:
            losses = (group.el2n.mean, group.dense_loss.mean, group.sparse_loss.mean, *_spread(group.difference))
            end = (len(group.difference.differences), str(group.difference.outcome))
            yield (*where, group.number, group.low, group.high, group.size, *losses, *end)


def _top_fifth(cells: Sequence[CellResult]) -> Iterator[tuple[Cell, ...]]:
    for where, groups in _grouped(cells):
        top = groups.top
        spreads = (_spread(spread) for spread in (top.times, top.share, top.top, top.rest))
        yield (*where, *(value for spread in spreads for value in spread), len(groups.replicates))


def _leave_outs(cells: Sequence[CellResult]) -> Iterator[tuple[Cell, ...]]:
    for cell in cells:
        for item in cell.leave_outs:
            errors = (item.test_error, item.against_dense, item.against_sparse, item.against_random)
            spreads = tuple(value for error in errors for value in _spread(error, 100))
            where = (cell.name, cell.label_noise, item.treatment, item.leave, _spread(item.count)[0])
            yield (*where, *spreads, len(item.test_error.values))


def to_csv(table: PaperTable) -> str:
    """Return a table as CSV, with all digits; empty where a value is missing."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(["" if value is None else value for value in row] for row in table.rows)
    return text.getvalue()


def to_latex(table: PaperTable) -> str:
    """Return a table as LaTeX for the package booktabs: deviations beside means, columns without values left out."""
    kept = [
        place
        for place, name in enumerate(table.columns)
        if not name.endswith("_deviation") and any(row[place] is not None for row in table.rows)
    ]
    lines = [
        f"% {table.caption}",
        rf"\begin{{tabular}}{{{''.join('l' if _is_text(table, place) else 'r' for place in kept)}}}",
        r"\toprule",
        " & ".join(escaped(table.columns[place].replace("_", " ")) for place in kept) + r" \\",
        r"\midrule",
    ]
    for row in table.rows:
        lines.append(" & ".join(_latex_value(table, row, place) for place in kept) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _is_text(table: PaperTable, place: int) -> bool:
    return any(isinstance(row[place], str) for row in table.rows)


def _latex_value(table: PaperTable, row: tuple[Cell, ...], place: int) -> str:
    value = row[place]
    if value is None:
        return ""
    if isinstance(value, str):
        return escaped(value)
    words = f"{value:.4g}" if isinstance(value, float) and not value.is_integer() else f"{value:.0f}"
    following = place + 1
    if following < len(row) and table.columns[following] == f"{table.columns[place]}_deviation":
        deviation = row[following]
        return f"${words}$" if deviation is None else rf"${words} \pm {deviation:.2g}$"
    return f"${words}$"


def write_tables(result: LensResult, folder: str | Path) -> tuple[Path, ...]:
    """Write the tables of a result as CSV and LaTeX and return their files."""
    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as trouble:
        raise InputError(str(place), [Fault("the folder of the tables", "must be one", str(trouble))]) from None
    written = []
    for table in paper_tables(result):
        for ending, text in (("csv", to_csv(table)), ("tex", to_latex(table))):
            path = place / f"{table.slug}.{ending}"
            with replacing(path) as draft:
                draft.write_text(text)
            written.append(path)
    return tuple(written)
