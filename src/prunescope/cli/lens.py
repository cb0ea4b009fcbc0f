"""``prunescope lens``: why pruning helped or hurt."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prunescope.cli.options import JSON, SHARE, WHERE, reading, rows_of, shaped
from prunescope.cli.printing import note, print_json, table_lines, wrapped
from prunescope.errors import counted, listed, printable

if TYPE_CHECKING:
    from prunescope.lens import CellResult, Curve, LensResult, Sparsity, Spread, TreatmentComparison, Verdict

Columns = dict[str, list[object]]
# Rungs of a curve that are shown beside those of interest; --json has all.
_RUNGS = 9
# Rows that are looked at unless all are asked for.
MOST_ROWS = 20_000
# Labels most likely to be wrong that --json lists.
_SUSPECTS = 50
# Treatments in one table of groups.
_COLUMNS = 3


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
@WHERE
@click.option("--cell", multiple=True, callback=_pairs, metavar="NAME=VALUE,...", help="Cells: depth=3,width=0.5.")
@click.option(
    "--treatment",
    metavar="NAME",
    help="The main treatment, such as 'imp weights', or one to compare with it, such as narrow.",
)
@click.option("--groups", type=click.IntRange(1), default=20, show_default=True, help="Groups by EL2N.")
@click.option("--rung", type=click.IntRange(1), help="A rung to analyse besides the two sparsities of interest.")
@click.option("--density", type=SHARE, help="The same, by the nearest density.")
@click.option(
    "--examples", type=click.IntRange(0), default=5, show_default=True, help="Examples to list at either end."
)
@click.option(
    "--suspects", type=click.IntRange(0), default=0, show_default=True, help="Labels most likely to be wrong to list."
)
@click.option("--tables", type=click.Path(), metavar="DIR", help="Write the paper's tables as CSV and LaTeX.")
@click.option("--power", is_flag=True, help="Show t intervals, corrections, and how many replicates would tell.")
@click.option("--all", "every", is_flag=True, help="Look at every network, however many.")
@JSON
@reading
def lens(
    source: str,
    power: bool,
    every: bool,
    as_json: bool,
    suspects: int,
    tables: str | None,
    where: Sequence[str],
    reading: dict[str, Any],
    **question: Any,
) -> None:
    """Explain why pruning helped or hurt generalisation.

    The lens separates better training from additional regularisation. A CSV or Parquet TABLE is enough for whatever
    needs no single examples. With several cells it prints their diagnoses; with one cell, everything.
    """
    from prunescope.lens import analyze, write_tables
    from prunescope.table import is_store

    rows = rows_of(source, where, reading) if where else None
    whole = rows if rows is not None and not is_store(Path(source)) else shaped(source, reading)
    listed_suspects = max(suspects, _SUSPECTS) if as_json else suspects
    most = None if every else MOST_ROWS
    result = analyze(whole, table=rows, most=most, suspects=listed_suspects, **question)
    hint = "; --cell and --noise look at those you name, --all at every network"
    notes = tuple(f"{words}{hint if 'not looked at' in words else ''}" for words in result.notes)
    result = replace(result, notes=notes)
    for words in result.notes:
        note(words)
    if tables is not None:
        note(f"{listed(path.name for path in write_tables(result, tables))} written to {tables}")
    if as_json:
        print_json(result.to_dict())
        return
    lines = _one(result.cells[0], power) if len(result.cells) == 1 else _several(result, power)
    click.echo("\n".join(wrapped(printable(line)) for line in lines))


def _several(result: LensResult, power: bool) -> Iterator[str]:
    for cells in (list(group) for _, group in itertools.groupby(result.cells, key=lambda cell: cell.name)):
        yield from _heading(cells[0])
        yield ""
        for cell in cells:
            yield from _diagnosis(cell)
        yield ""
        yield from _summary(cells)
        yield ""
        if power:
            for cell in cells:
                yield from _power(cell)
                yield ""
    yield "  errors in %, differences in points; extended and narrow at their best, beside pruning at its own"
    yield from _remarks(result.cells)
    yield "--noise and --cell name one cell: its densities, groups, other treatments and examples"


def _one(cell: CellResult, power: bool) -> Iterator[str]:
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
    yield from _other_groups(cell)
    yield from _examples(cell)
    yield from _suspects(cell)
    yield ""
    if power:
        yield from _power(cell)
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


def _other_groups(cell: CellResult) -> Iterator[str]:
    """Show the training loss by EL2N of other treatments, at their optima, a few columns at a time."""
    others = [
        (f"{comparison.curve.treatment}, rung {change.rung}", change.groups)
        for comparison in (cell.extended, cell.narrow, *cell.ablations)
        if comparison is not None
        for change in comparison.changes
        if change.groups and change.which != "sparsest"
    ]
    others += [(leave_out.treatment, leave_out.groups) for leave_out in cell.leave_outs if leave_out.groups]
    if not others:
        return
    yield ""
    yield "training loss of other treatments, minus dense, by EL2N percentile; each at its optimal rung"
    for start in range(0, len(others), _COLUMNS):
        shown = others[start : start + _COLUMNS]
        columns: Columns = {"percentiles": [f"{group.low:g} to {group.high:g}" for group in shown[0][1].groups]}
        for name, groups in shown:
            columns[name] = [_verdict(group.difference) for group in groups.groups]
        yield from _aligned(columns)


def _suspects(cell: CellResult) -> Iterator[str]:
    """Show the labels that may be wrong, and how good such lists are where noise was planted."""
    suspects = cell.suspects
    if suspects is None or not (suspects.suspects or suspects.precisions):
        return
    yield ""
    if suspects.precisions:
        yield "share of planted wrong labels among the most suspicious, over replicates"
        counts = sorted({item.count for item in suspects.precisions})
        kinds = dict.fromkeys(item.by for item in suspects.precisions)
        shares = {(item.by, item.count): _spread(item.share) for item in suspects.precisions}
        columns: Columns = {"ranked by": list(kinds)}
        columns |= {f"of {count}, %": [shares[kind, count] for kind in kinds] for count in counts}
        yield from _aligned(columns)
        yield f"  chance: {100 * suspects.precisions[0].chance:.3g} %"
    if suspects.suspects:
        yield f"training labels most likely to be wrong, replicate {suspects.replicate}, density {suspects.density:.3g}"
        rows = suspects.suspects
        yield from _aligned(
            {
                "index": [suspect.index for suspect in rows],
                "label": ["" if suspect.label < 0 else suspect.label for suspect in rows],
                "noisy": ["yes" if suspect.noisy else "no" for suspect in rows],
                "suspicion": [f"{suspect.suspicion:.3f}" for suspect in rows],
                "EL2N": ["" if suspect.el2n is None else f"{suspect.el2n:.3g}" for suspect in rows],
                "dense loss": [f"{suspect.dense_loss:.3g}" for suspect in rows],
                "sparse loss": [f"{suspect.sparse_loss:.3g}" for suspect in rows],
            }
        )


def _power(cell: CellResult) -> Iterator[str]:
    """Show what the replicates can tell by Student's t, beside the verdicts of the paper's rule."""
    yield f"label noise {cell.label_noise:g}: paired t intervals beside the paper's rule of one standard deviation"
    for name, verdict in _verdicts(cell):
        power = verdict.power.words if verdict.power else "one replicate: no interval"
        yield f"  {name}: by the paper's rule {verdict.words}; {power}"
    for sparsity in _sparsities(cell):
        if sparsity.groups and sparsity.groups.corrected_words:
            yield f"  {sparsity.which} sparsity, {sparsity.groups.corrected_words}"


def _verdicts(cell: CellResult) -> Iterator[tuple[str, Verdict]]:
    """Yield the verdicts of a cell that conclusions rest on, by name."""
    for sparsity in _sparsities(cell):
        place = f"at density {sparsity.density:.3g} ({sparsity.which})"
        yield f"test error {place}", sparsity.test_error
        losses = ("train_loss", sparsity.train_loss), ("train_loss_noisy", sparsity.train_loss_noisy)
        for column, loss in losses:
            if loss is not None:
                yield f"{column} {place}", loss
    for comparison in (cell.extended, cell.narrow, *cell.ablations):
        if comparison is not None and comparison.best is not None:
            yield f"{comparison.curve.treatment} and pruning, each at its best", comparison.best
    for leave_out in cell.leave_outs:
        others = ("the dense network", leave_out.against_dense), ("as many at random", leave_out.against_random)
        for other, verdict in others:
            if verdict is not None:
                yield f"{leave_out.treatment} and {other}", verdict


def _beside(cell: CellResult) -> Iterator[str]:
    lines = []
    for comparison in (cell.extended, cell.narrow, *cell.ablations):
        if comparison is not None:
            lines += [comparison.words, *([f"  {comparison.words_by_test}"] if comparison.words_by_test else ())]
    lines += [leave_out.words for leave_out in cell.leave_outs]
    lines += [cell.influence.words] if cell.influence else []
    if lines:
        yield ""
        yield "test error of other treatments; best: lowest validation error, which verdicts rest on"
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
    return table_lines(columns, 2)
