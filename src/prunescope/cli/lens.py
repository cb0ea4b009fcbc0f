"""``prunescope lens``: why pruning helped or hurt."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from prunescope.cli.options import JSON, SHARE, reading, shaped
from prunescope.cli.printing import note, print_json, wrapped
from prunescope.errors import counted, listed, printable

if TYPE_CHECKING:
    from prunescope.lens import CellResult, Curve, LensResult, Sparsity, Spread, TreatmentComparison, Verdict

Columns = dict[str, list[object]]
# Rungs of a curve that are shown beside those of interest; --json has all.
_RUNGS = 9
# Rows that are looked at unless all are asked for.
MOST_ROWS = 20_000


def _pairs(context: click.Context, parameter: click.Parameter, words: Sequence[str]) -> dict[str, str]:
    """Read ``name=value`` options, several of them with commas between."""
    del context
    settings = {}
    for word in ",".join(words).split(",") if words else ():
        name, equals, value = word.partition("=")
        if not equals or not value.strip():
            raise click.BadParameter(f"must be NAME=VALUE, such as width=0.5; found {word!r}", param=parameter)
        settings[name.strip()] = value.strip()
    return settings


@click.command()
@click.argument("source", metavar="STORE")
@click.option("--noise", type=SHARE, multiple=True, metavar="SHARE", help="A level of label noise. Repeatable.")
@click.option("--cell", multiple=True, callback=_pairs, metavar="NAME=VALUE,...", help="Cells: depth=3,width=0.5.")
@click.option(
    "--treatment", metavar="NAME", help="The main treatment: 'imp weights' [imp learning-rate if it is there]."
)
@click.option("--groups", type=click.IntRange(1), default=20, show_default=True, help="Groups by EL2N.")
@click.option("--rung", type=click.IntRange(1), help="A rung to analyse besides the two sparsities of interest.")
@click.option("--density", type=SHARE, help="The same, by the nearest density.")
@click.option(
    "--examples", type=click.IntRange(0), default=5, show_default=True, help="Examples to list at either end."
)
@click.option("--all", "every", is_flag=True, help="Look at every network, however many.")
@JSON
@reading
def lens(source: str, every: bool, as_json: bool, reading: dict[str, Any], **question: Any) -> None:
    """Explain why pruning helped or hurt generalisation.

    The lens separates better training from additional regularisation. A CSV or Parquet TABLE is enough for whatever
    needs no single examples. With several cells it prints their diagnoses; with one cell, everything.
    """
    from prunescope.lens import analyze

    result = analyze(shaped(source, reading), most=None if every else MOST_ROWS, **question)
    hint = "; --cell and --noise look at those you name, --all at every network"
    notes = tuple(f"{words}{hint if 'not looked at' in words else ''}" for words in result.notes)
    result = replace(result, notes=notes)
    for words in result.notes:
        note(words)
    if as_json:
        print_json(result.to_dict())
        return
    lines = _one(result.cells[0]) if len(result.cells) == 1 else _several(result)
    click.echo("\n".join(wrapped(printable(line)) for line in lines))


def _several(result: LensResult) -> Iterator[str]:
    for cells in (list(group) for _, group in itertools.groupby(result.cells, key=lambda cell: cell.name)):
        yield from _heading(cells[0])
        yield ""
        for cell in cells:
            yield from _diagnosis(cell)
        yield ""
        yield from _summary(cells)
        yield ""
    yield "  errors in %, differences in points; extended and narrow at their best, beside pruning at its own"
    yield from _remarks(result.cells)
    yield "--noise and --cell name one cell: its densities, groups, other treatments and examples"


def _one(cell: CellResult) -> Iterator[str]:
    yield from _heading(cell)
    yield ""
    yield from _diagnosis(cell)
    for words in cell.diagnosis.rests_on:
        yield f"    - {words}"
    for sparsity in _sparsities(cell):
        yield f"  {sparsity.words}"
    yield ""
    yield from _curve(cell)
    yield from _groups(cell)
    yield from _beside(cell)
    yield from _examples(cell)
    yield ""
    yield from _remarks([cell])


def _heading(cell: CellResult) -> Iterator[str]:
    yield f"{cell.name}"
    yield f"{cell.pruning.treatment}, replicates {listed(cell.replicates)}"


def _diagnosis(cell: CellResult) -> Iterator[str]:
    yield f"label noise {cell.label_noise:g}: {cell.diagnosis.words}"
    for words in cell.diagnosis.practice:
        yield f"    {words}"


def _summary(cells: Sequence[CellResult]) -> Iterator[str]:
    """Set the cells of one network side by side."""

    def best(comparison: TreatmentComparison | None) -> str:
        return _verdict(comparison.best if comparison else None)

    yield from _aligned(
        {
            "label noise": [f"{cell.label_noise:g}" for cell in cells],
            "dense error": [_spread(_dense(cell.pruning)) for cell in cells],
            "optimal density": [_density(cell.optimal) for cell in cells],
            "beside dense": [_verdict(cell.optimal.test_error if cell.optimal else None) for cell in cells],
            "sparsest better": [_density(cell.sparsest) for cell in cells],
            "extended": [best(cell.extended) for cell in cells],
            "narrow": [best(cell.narrow) for cell in cells],
        }
    )


def _curve(cell: CellResult) -> Iterator[str]:
    """Show some rungs: those of interest, and others evenly between."""
    points = cell.pruning.points
    marks = {sparsity.rung: sparsity.which for sparsity in reversed(_sparsities(cell))}
    step = max(1, -(-len(points) // _RUNGS))
    shown = [point for place, point in enumerate(points) if point.rung in marks or place % step == 0]
    noisy = any(point.train_loss_noisy for point in points)
    columns: Columns = {
        "rung": [str(point.rung) for point in shown],
        "density": [f"{point.density:.4g}" for point in shown],
        "test error": [_spread(point.test_error) for point in shown],
        "beside dense": [_verdict(point.against_dense) for point in shown],
        "training loss": [_spread(point.train_loss, 1) for point in shown],
    }
    if noisy:
        columns["original"] = [_spread(point.train_loss_original, 1) for point in shown]
        columns["noisy"] = [_spread(point.train_loss_noisy, 1) for point in shown]
    columns[""] = [marks.get(point.rung, "") for point in shown]
    yield from _aligned(columns)
    if len(shown) < len(points):
        yield f"  {counted(len(points) - len(shown), 'rung')} between are left out; --json has all"


def _groups(cell: CellResult) -> Iterator[str]:
    grouped = [(sparsity, sparsity.groups) for sparsity in _sparsities(cell) if sparsity.groups]
    if not grouped:
        return
    first = grouped[0][1]
    yield ""
    yield (
        f"training loss, sparse minus dense, by EL2N percentile (replicates {listed(first.replicates)}; "
        f"{counted(first.networks, 'network')} at epoch {first.epoch})"
    )
    columns: Columns = {"percentiles": [f"{group.low:g} to {group.high:g}" for group in first.groups]}
    for sparsity, groups in grouped:
        columns[f"{sparsity.which}, density {sparsity.density:.3g}"] = [
            _verdict(group.difference) for group in groups.groups
        ]
    yield from _aligned(columns)
    for sparsity, groups in grouped:
        yield f"  {sparsity.which}: {groups.top.words}"


def _beside(cell: CellResult) -> Iterator[str]:
    lines = [comparison.words for comparison in (cell.extended, cell.narrow, *cell.ablations) if comparison]
    lines += [leave_out.words for leave_out in cell.leave_outs]
    if lines:
        yield ""
        yield "test error of other treatments"
        yield from (f"  {line}" for line in lines)


def _examples(cell: CellResult) -> Iterator[str]:
    """Show single examples of the first replicate, at the optimal sparsity or the first one there is."""
    shown = next((sparsity for sparsity in _sparsities(cell) if sparsity.extremes), None)
    if shown is None or not (shown.extremes[0].worsened or shown.extremes[0].improved):
        return
    first = shown.extremes[0]
    yield ""
    yield f"examples that change most, replicate {first.replicate}, density {shown.density:.3g}"
    named = [*(("worse", example) for example in first.worsened), *(("better", example) for example in first.improved)]
    yield from _aligned(
        {
            "": [how for how, _ in named],
            "index": [example.index for _, example in named],
            "label": ["" if example.label < 0 else example.label for _, example in named],  # recorded without
            "noisy": ["yes" if example.noisy else "no" for _, example in named],
            "dense loss": [f"{example.dense_loss:.3g}" for _, example in named],
            "sparse loss": [f"{example.sparse_loss:.3g}" for _, example in named],
            "EL2N": ["" if example.el2n is None else f"{example.el2n:.3g}" for _, example in named],
        }
    )


def _remarks(cells: Sequence[CellResult]) -> Iterator[str]:
    """Tell what was decided and what is missing, the same of several cells once."""
    cells_by_words: dict[str, list[CellResult]] = {}
    for cell in cells:
        for words in (*cell.notes, *(f"missing: {item.words}" for item in cell.missing)):
            cells_by_words.setdefault(words, []).append(cell)
    one_network = len({cell.name for cell in cells}) == 1
    for words, affected in cells_by_words.items():
        levels = f"label noise {listed(f'{cell.label_noise:g}' for cell in affected)}"
        where = levels if one_network else f"{len(affected)} of {len(cells)} cells"
        yield f"  ! {words}{'' if len(affected) == len(cells) else f' ({where})'}"


def _sparsities(cell: CellResult) -> list[Sparsity]:
    return [sparsity for sparsity in (cell.optimal, cell.sparsest, cell.asked) if sparsity is not None]


def _dense(curve: Curve) -> Spread | None:
    return curve.points[0].test_error if curve.points[0].rung == 0 else None


def _density(sparsity: Sparsity | None) -> str:
    return "none" if sparsity is None else f"{sparsity.density:.4g}"


def _spread(spread: Spread | None, times: float = 100) -> str:
    if spread is None:
        return ""
    around = "" if spread.deviation is None else f" ± {times * spread.deviation:.2g}"
    return f"{times * spread.mean:.3g}{around}"


def _verdict(verdict: Verdict | None) -> str:
    if verdict is None:
        return ""
    from prunescope.lens.verdicts import signed

    times = 100 if verdict.measure.endswith("error") else 1
    around = "" if verdict.deviation is None else f" ± {times * verdict.deviation:.2g}"
    return f"{signed(times * verdict.mean)}{around} {verdict.outcome}"


def _aligned(columns: Columns) -> list[str]:
    """Write columns as lines of text, two spaces in."""
    import numpy as np

    from prunescope.table import Table, aligned

    table = Table({name: np.array(values, dtype=object) for name, values in columns.items()})
    return [f"  {line}" for line in aligned(table)]
