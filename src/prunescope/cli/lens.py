"""``prunescope lens``: why pruning helped or hurt."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from prunescope.cli.options import JSON, SHARE
from prunescope.cli.printing import note, print_json, wrapped
from prunescope.errors import counted, listed, printable

if TYPE_CHECKING:
    from prunescope.lens import CellResult, Curve, LensResult, Sparsity, Spread, TreatmentComparison, Verdict

Columns = dict[str, list[object]]
# Rungs of a curve that are shown beside those of interest; --json has all.
_RUNGS = 9


def _pairs(context: click.Context, parameter: click.Parameter, words: Sequence[str]) -> dict[str, str]:
    """Read ``name=value`` options, several of them with commas between."""
    del context
    found = {}
    for each in ",".join(words).split(",") if words else ():
        name, equals, value = each.partition("=")
        if not equals or not value.strip():
            raise click.BadParameter(f"must be NAME=VALUE, such as width=0.5; found {each!r}", param=parameter)
        found[name.strip()] = value.strip()
    return found


@click.command()
@click.argument("source", metavar="STORE")
@click.option("--noise", type=SHARE, multiple=True, metavar="SHARE", help="A level of label noise. May be repeated.")
@click.option("--cell", multiple=True, callback=_pairs, metavar="NAME=VALUE,...", help="Cells: depth=3,width=0.5.")
@click.option(
    "--treatment", metavar="NAME", help="The main treatment: 'imp weights' [imp learning-rate if it is there]."
)
@click.option("--groups", type=click.IntRange(1), default=20, show_default=True, help="Groups by EL2N.")
@click.option("--rung", type=click.IntRange(1), help="A rung to look at beside the two sparsities of interest.")
@click.option("--density", type=SHARE, help="The same, as the rung nearest to a density.")
@click.option(
    "--examples", type=click.IntRange(0), default=5, show_default=True, help="Examples to name at either end."
)
@JSON
def lens(source: str, as_json: bool, **question: Any) -> None:
    """Say what pruning did to the networks of a STORE, and why: better training, or additional regularisation.

    A CSV or Parquet TABLE will do for all that needs no single examples. Of several cells the diagnoses are printed and
    what they rest on; of one cell everything.
    """
    from prunescope.lens import analyze

    found = analyze(source, **question)
    for words in found.notes:
        note(words)
    if as_json:
        print_json(found.to_dict())
        return
    lines = _one(found.cells[0]) if len(found.cells) == 1 else _several(found)
    click.echo("\n".join(wrapped(printable(line)) for line in lines))


def _several(found: LensResult) -> Iterator[str]:
    for cells in (list(group) for _, group in itertools.groupby(found.cells, key=lambda cell: cell.name)):
        yield from _heading(cells[0])
        yield ""
        for cell in cells:
            yield from _diagnosis(cell)
        yield ""
        yield from _summary(cells)
        yield ""
    yield "  errors in %, differences in points; extended and narrow at their best, beside pruning at its own"
    yield from _remarks(found.cells)
    yield "--noise and --cell name one cell: its densities, groups, other treatments and examples"


def _one(cell: CellResult) -> Iterator[str]:
    yield from _heading(cell)
    yield ""
    yield from _diagnosis(cell)
    for words in cell.diagnosis.rests_on:
        yield f"    - {words}"
    for each in _sparsities(cell):
        yield f"  {each.words}"
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

    def best(other: TreatmentComparison | None) -> str:
        return _verdict(other.best if other else None)

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
    marks = {each.rung: each.which for each in reversed(_sparsities(cell))}
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
    grouped = [(each, each.groups) for each in _sparsities(cell) if each.groups]
    if not grouped:
        return
    first = grouped[0][1]
    yield ""
    yield (
        f"training loss, sparse minus dense, by EL2N percentile (replicates {listed(first.replicates)}; "
        f"{counted(first.networks, 'network')} at epoch {first.epoch})"
    )
    columns: Columns = {"percentiles": [f"{each.low:g} to {each.high:g}" for each in first.groups]}
    for each, groups in grouped:
        columns[f"{each.which}, density {each.density:.3g}"] = [_verdict(own.difference) for own in groups.groups]
    yield from _aligned(columns)
    for each, groups in grouped:
        yield f"  {each.which}: {groups.top.words}"


def _beside(cell: CellResult) -> Iterator[str]:
    lines = [each.words for each in (cell.extended, cell.narrow, *cell.ablations) if each]
    lines += [each.words for each in cell.leave_outs]
    if lines:
        yield ""
        yield "test error of other treatments"
        yield from (f"  {line}" for line in lines)


def _examples(cell: CellResult) -> Iterator[str]:
    """Show single examples of the first replicate, at the optimal sparsity or the first one there is."""
    there = next((each for each in _sparsities(cell) if each.extremes), None)
    if there is None or not (there.extremes[0].worsened or there.extremes[0].improved):
        return
    first = there.extremes[0]
    yield ""
    yield f"examples that change most, replicate {first.replicate}, density {there.density:.3g}"
    named = [*(("worse", each) for each in first.worsened), *(("better", each) for each in first.improved)]
    yield from _aligned(
        {
            "": [how for how, _ in named],
            "index": [each.index for _, each in named],
            "label": [each.label for _, each in named],
            "noisy": ["yes" if each.noisy else "no" for _, each in named],
            "dense loss": [f"{each.dense_loss:.3g}" for _, each in named],
            "sparse loss": [f"{each.sparse_loss:.3g}" for _, each in named],
            "EL2N": ["" if each.el2n is None else f"{each.el2n:.3g}" for _, each in named],
        }
    )


def _remarks(cells: Sequence[CellResult]) -> Iterator[str]:
    """Tell what was decided and what is missing, the same of several cells once."""
    told: dict[str, list[CellResult]] = {}
    for cell in cells:
        for words in (*cell.notes, *(f"missing: {each.words}" for each in cell.missing)):
            told.setdefault(words, []).append(cell)
    one_network = len({cell.name for cell in cells}) == 1
    for words, those in told.items():
        levels = f"label noise {listed(f'{cell.label_noise:g}' for cell in those)}"
        where = levels if one_network else f"{len(those)} of {len(cells)} cells"
        yield f"  ! {words}{'' if len(those) == len(cells) else f' ({where})'}"


def _sparsities(cell: CellResult) -> list[Sparsity]:
    return [each for each in (cell.optimal, cell.sparsest, cell.asked) if each is not None]


def _dense(curve: Curve) -> Spread | None:
    return curve.points[0].test_error if curve.points[0].rung == 0 else None


def _density(found: Sparsity | None) -> str:
    return "none" if found is None else f"{found.density:.4g}"


def _spread(found: Spread | None, times: float = 100) -> str:
    if found is None:
        return ""
    around = "" if found.deviation is None else f" ± {times * found.deviation:.2g}"
    return f"{times * found.mean:.3g}{around}"


def _verdict(found: Verdict | None) -> str:
    if found is None:
        return ""
    from prunescope.lens.verdicts import signed

    times = 100 if found.measure.endswith("error") else 1
    around = "" if found.deviation is None else f" ± {times * found.deviation:.2g}"
    return f"{signed(times * found.mean)}{around} {found.outcome}"


def _aligned(columns: Columns) -> list[str]:
    """Write columns as lines of text, two spaces in."""
    import numpy as np

    from prunescope.table import Table, aligned

    table = Table({name: np.array(values, dtype=object) for name, values in columns.items()})
    return [f"  {line}" for line in aligned(table)]
