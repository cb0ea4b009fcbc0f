"""``prunescope fit``, ``predict`` and ``sparsity``: laws from tables, errors and the best sparsity from laws."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prunescope.cli.options import (
    CHOICE,
    FORM,
    JSON,
    LAW_BY_TABLE,
    SEED,
    SHARE,
    SPARSE,
    WHERE,
    estimator,
    reading,
    rows_of,
    without_share,
)
from prunescope.cli.printing import counting, hung, note, print_json, print_table, wrapped
from prunescope.errors import counted, named, printable, whole_percent

if TYPE_CHECKING:
    from prunescope.laws import Estimator, Fit
    from prunescope.laws.grouping import Sample
    from prunescope.table import Table


@click.command()
@click.argument("source", metavar="TABLE")
@click.option(
    "--law",
    "kind",
    type=click.Choice(["single", "joint", "dense", "sparse"]),
    help="single: one law per configuration; joint: one per family; dense: unpruned networks; sparse: loss by nonzero "
    f"weights, sparsity and data. {LAW_BY_TABLE}.",
)
@FORM
@click.option(
    "--delta", type=click.FloatRange(0, min_open=True), help="Where Huber's loss turns, in log losses (sparse law)."
)
@SPARSE
@CHOICE
@click.option("--level", type=SHARE, default=0.9, show_default=True, help="Level of the confidence intervals.")
@click.option(
    "--intervals",
    type=click.Choice(["auto", "resampled", "quick", "none"]),
    default="auto",
    show_default=True,
    help="How intervals are computed; auto resamples unless that takes long.",
)
@click.option("--starts", type=click.IntRange(1), default=16, show_default=True, help="Random starts of each fit.")
@SEED
@click.option("--save", metavar="FILE", help="Write the fitted law as JSON, for predict.")
@JSON
@reading
def fit(
    source: str, kind: str | None, save: str | None, as_json: bool, reading: dict[str, Any], **settings: Any
) -> None:
    """Fit a scaling law to a TABLE.

    Prints parameters with confidence intervals, the deviation of the fit, and what the data do not identify. Errors are
    fractions; mu and sigma are the mean and standard deviation of (predicted - error) / error.
    """
    _refuse_to_replace("--save", save, source)
    rows = rows_of(source, settings.pop("where"), without_share(kind, reading))
    kind, law, sample = _law_of(kind, rows, settings)
    with counting("fitting") as step:
        law.fit(sample, progress=step)
    for words in law.notes_:
        note(words)
    for refused in law.refused_:
        if not refused.trivial:
            note(f"not fitted: {named(refused.group) or 'the table'}: {refused.why}")
    if save is not None:
        law.save(save)
        note(f"wrote {save}")
    if as_json:
        print_json(law.to_dict())
    elif len(law.fits_) == 1:
        if kind in ("single", "joint") and not settings["fix"] and settings["vary"] is None:
            _compare_with_others(law, sample, kind == "joint", settings)
        _show_one(law.fits_[0])
    else:
        _show_many(law.fits_)


def _law_of(kind: str | None, rows: Table, settings: dict[str, Any]) -> tuple[str, Estimator, Sample]:
    """Return the law that was asked for, and what it is fitted to; where none was, the one that the table speaks of."""
    law = estimator(kind or "joint", settings)
    sample = law.sample(rows)
    if kind is not None:
        return kind, law, sample
    if sample.varies_in_size:
        note("law: joint, since depth or width vary; --law single fits each configuration by itself")
        return "joint", law, sample
    law = estimator("single", settings)
    return "single", law, law.sample(rows)


@click.command()
@click.argument("law", metavar="LAW")
@click.argument("source", metavar="[TABLE]", required=False)
@click.option("--at", multiple=True, metavar="NAME=VALUE,...", help="A network to predict: density=0.1,depth=26,"
              "width=1,unpruned_error=0.08. May be repeated.")  # fmt: skip
@WHERE
@click.option("--dense", "dense_law", metavar="LAW", help="A dense law that predicts missing unpruned errors.")
@click.option("--level", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.9, show_default=True)
@click.option("--out", metavar="FILE", help="Write the rows with their predictions: .csv, .parquet or .json.")
@JSON
@reading
def predict(
    law: str,
    source: str | None,
    at: Sequence[str],
    where: Sequence[str],
    dense_law: str | None,
    level: float,
    out: str | None,
    as_json: bool,
    reading: dict[str, Any],
) -> None:
    """Predict errors of networks with a fitted LAW.

    LAW is a file that fit --save wrote; the networks are those of a TABLE, or named by --at. low and high bound the
    error of one newly trained network; law_low and law_high bound the law itself.
    """
    from prunescope.laws import load_law
    from prunescope.table import Table, json_text, read_table, write_table
    from prunescope.table.coded import Columns

    if (source is None) == (not at):
        raise click.UsageError("give a TABLE of networks, or --at, and not both")
    if where and source is None:
        raise click.UsageError("--where is for the rows of a TABLE")
    _refuse_to_replace("--out", out, law, source, dense_law)
    members = read_table(source, where, needed=("density",), **reading) if source is not None else _members(at)
    fitted = load_law(law)
    dense = load_law(dense_law) if dense_law is not None else None
    result = fitted.predictions(members, level, dense)
    for words in result.notes:
        note(words)
    columns = (
        members.columns if isinstance(members, Table) else {name: _array(values) for name, values in members.items()}
    )
    answers = {
        "predicted": result.error,
        **{name: getattr(result, name) for name in ("low", "high", "law_low", "law_high")},
    }
    # A column of the user's own keeps its name; ours then says what it is.
    new = {f"predicted_{name}" if name in columns else name: values for name, values in answers.items()}
    answer = Table(Columns.of(columns).changed(**new), source or "--at")
    if out is not None:
        write_table(answer, out)
        note(f"wrote {counted(len(answer), 'row')} to {out}")
    elif as_json:
        click.echo(json_text(answer))
    else:
        import numpy as np

        print_table(answer.take(np.arange(min(40, len(answer)))).columns)
        if len(answer) > 40:
            click.echo(f"... and {len(answer) - 40:,} more; --out FILE writes all")


def _refuse_to_replace(option: str, target: str | None, *sources: str | None) -> None:
    """Refuse to overwrite a file that is read."""
    if target is not None and any(
        path is not None and Path(path).resolve() == Path(target).resolve() for path in sources
    ):
        raise click.UsageError(f"{option} names a file that is read; name another")


def _members(at: Sequence[str]) -> dict[str, list[Any]]:
    """Read ``--at depth=26,width=1`` options as columns."""
    rows = []
    for words in at:
        pairs = [item.partition("=") for item in words.split(",")]
        if not all(equals and name.strip() for name, equals, _ in pairs):
            raise click.UsageError(
                f"--at must be NAME=VALUE,..., such as density=0.1,unpruned_error=0.08; found {words!r}"
            )
        rows.append({name.strip(): value.strip() for name, _, value in pairs})
    names = list(rows[0])
    if any(set(row) != set(names) for row in rows):
        raise click.UsageError("every --at must name the same columns")
    return {name: [_value(row[name]) for row in rows] for name in names}


def _value(text: str) -> float | int | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _array(values: Any) -> Any:
    import numpy as np

    column = np.asarray(values)
    return column.astype(object) if column.dtype.kind == "U" else column


# Points up to which a fit is compared with one that leaves depth and width out.
FEW = 5_000


def _compare_with_others(law: Estimator, sample: Sample, joint: bool, settings: dict[str, Any]) -> None:
    """Say first where the law explains no more than a smaller one does, and where a tilted one predicts better."""
    from prunescope.laws.doubts import describe_tilted, doubts_of_fit

    fit = law.fits_[0]
    if fit.points > FEW or settings["form"] != "paper":
        return
    group = next((group for group in sample.groups if group.key == fit.group), None)
    if group is None:
        return
    doubts = doubts_of_fit(group, joint, fit.std_deviation, count=settings["starts"], seed=settings["seed"])
    if doubts.null is not None:
        click.echo(hung(printable(str(doubts.null)), "! "))
    if doubts.tilted is not None:
        click.echo(hung(printable(describe_tilted(doubts.tilted)), "! "))


def _show_one(result: Fit) -> None:
    from prunescope.laws.forms import PARAMETERS
    from prunescope.laws.intervals import NOT_ASKED
    from prunescope.laws.results import number, percent

    ladders = f"{counted(result.ladders, 'ladder')} of {counted(result.cells, 'configuration')}"
    sizes = f"{counted(result.points, 'point')}, {ladders}"
    group = named(result.group)
    click.echo(hung(printable(f"{result.law} law{f' of {group}' if group else ''}: {sizes}"), indent="    "))
    names = ("parameter", "estimate", f"{whole_percent(result.level)} interval", "meaning")
    table: dict[str, list[Any]] = {name: [] for name in names}
    for name, value in result.parameters.items():
        if name in result.fixed:
            reason = "left out, or does not vary" if _is_left_out(name, result) else "given"
        elif (interval := result.intervals[name]) is not None:
            reason = f"[{number(interval[0])}, {number(interval[1])}]"
        else:
            reason = "not identified" if result.intervals_by != NOT_ASKED else ""
        for cells, cell in zip(table.values(), (name, number(value), reason, PARAMETERS[name].meaning), strict=True):
            cells.append(cell)
    print_table(table, 2)
    seeds = ""
    if result.seed_noise is not None:
        explained = result.seed_noise / math.sqrt(result.ladders / result.cells)
        seeds = f"; seeds explain {percent(explained)} ({percent(result.seed_noise)} between single networks)"
    off = f"mu {percent(result.mean_deviation)}, sigma {percent(result.std_deviation)}{seeds}"
    click.echo(hung(off, "  deviation: ", "    "))
    for region in result.regions:
        if region.mean is not None and region.std is not None:
            reason = f"mu {percent(region.mean)}, sigma {percent(region.std)}"
            click.echo(f"    {region.name:11}{counted(region.points, 'point'):>13}: {reason}")
    click.echo(hung(result.intervals_by, "  intervals: ", "    "))
    if (others := result.shared_examples.by) is not None and result.intervals_by != NOT_ASKED:
        click.echo(f"  other test examples: {others}")
    click.echo(f"  search: {result.convergence}")
    for words in result.warnings:
        click.echo(hung(printable(words), "  ! "))


def _is_left_out(name: str, result: Fit) -> bool:
    """Whether a parameter is fixed where its term is nothing."""
    from prunescope.laws.search import SPARSE_TERMS

    terms = SPARSE_TERMS.values() if result.law == "sparse" else ()
    gone = any(name in term and _stands_at(result, term) for term in terms)
    return gone or result.parameters[name] == 0


def _stands_at(result: Fit, term: Mapping[str, float]) -> bool:
    """Whether parameters are fixed at these values."""
    return all(
        name in result.fixed and math.isclose(result.parameters[name], value, rel_tol=1e-9)
        for name, value in term.items()
    )


def _show_many(fits: Sequence[Fit]) -> None:
    from prunescope.laws.results import number

    varied = [name for name in fits[0].group if len({fit.group[name] for fit in fits}) > 1]
    shared = {name: value for name, value in fits[0].group.items() if name not in varied}
    if shared:
        click.echo(hung(printable(named(shared)), "in every group: ", "    "))

    def value_words(result: Fit, name: str) -> str:
        interval = result.intervals.get(name)
        around = (
            " given"
            if name in result.fixed
            else " ?"
            if interval is None
            else f" [{number(interval[0])}, {number(interval[1])}]"
        )
        return number(result.parameters[name]) + around

    kinds: dict[str, list[str]] = {}
    marks: list[list[str]] = []
    for result in fits:
        remarks = [_kind(words) for words in result.warnings]
        for kind, words in zip(remarks, result.warnings, strict=True):
            kinds.setdefault(kind, []).append(words)
        marks.append(remarks)
    numbers = {kind: str(place + 1) for place, kind in enumerate(kinds)}
    columns: dict[str, list[Any]] = {name: [fit.group[name] for fit in fits] for name in varied}
    columns |= {name: [value_words(fit, name) for fit in fits] for name in fits[0].parameters}
    columns |= {
        "points": [fit.points for fit in fits],
        "mu, %": [f"{100 * fit.mean_deviation:.2f}" for fit in fits],
        "sigma, %": [f"{100 * fit.std_deviation:.2f}" for fit in fits],
        "notes": [" ".join(numbers[kind] for kind in row_marks) for row_marks in marks],
    }
    print_table({name: values[:200] for name, values in columns.items()}, keys=max(1, len(varied)))
    if len(fits) > 200:
        click.echo(f"... and {len(fits) - 200:,} more; --json or --save FILE gives all")
    worst = max(fits, key=lambda fit: fit.std_deviation)
    click.echo()
    click.echo(
        hung(
            f"|mu| at most {100 * max(abs(fit.mean_deviation) for fit in fits):.2f} %, sigma at most "
            f"{100 * worst.std_deviation:.2f} % ({printable(named({name: worst.group[name] for name in varied}))}); "
            "? marks a parameter that the data do not identify",
            f"{len(fits):,} fits: ",
            "    ",
        )
    )
    for kind, having in kinds.items():
        such = printable(f"{counted(len(having), 'fit')}, such as: {having[0]}")
        click.echo(hung(such, f"{numbers[kind]}: "))


def _kind(words: str) -> str:
    """Return what a warning is about: its words without numbers."""
    head = words.split(":", maxsplit=1)[0].split("(", maxsplit=1)[0]
    return " ".join(word for word in head.split() if not any(letter.isdigit() for letter in word))


def _shares(context: click.Context, parameter: click.Parameter, words: str) -> tuple[float, ...]:
    del context
    try:
        return tuple(float(word) for word in words.split(","))
    except ValueError:
        raise click.BadParameter(
            f"must be three shares, such as 0.25,0.5,0.25; found {words!r}", param=parameter
        ) from None


@click.command()
@click.argument("law", metavar="LAW")
@click.option("--nonzero", type=float, required=True, metavar="N", help="Weights that remain after pruning.")
@click.option("--data", type=float, required=True, metavar="D", help="Examples or tokens on which a dense network of N "
              "weights would be trained.")  # fmt: skip
@click.option("--most", type=float, metavar="S", help="The highest sparsity to consider [the highest measured].")
@click.option("--schedule", default="0.25,0.5,0.25", show_default=True, callback=_shares, metavar="A,B,C",
              help="Shares of training in which a network is dense, is pruned, and is sparse.")  # fmt: skip
@JSON
def sparsity(law: str, nonzero: float, data: float, as_json: bool, **settings: Any) -> None:
    """Find the sparsity of least loss for a budget.

    LAW is a file that fit --law sparse --save wrote. All networks compared have N nonzero weights and take as much
    training: a sparser one is larger before it is pruned, and sees fewer examples.
    """
    from prunescope.laws import load_law
    from prunescope.laws.results import number
    from prunescope.laws.sparse import best_sparsities

    answers = best_sparsities(load_law(law), nonzero, data, **settings)
    if as_json:
        print_json({"best": [{"group": group, **best.to_dict()} for group, best in answers]})
        return
    for group, best in answers:
        if len(answers) > 1:
            click.echo(f"{', '.join(f'{name} {value}' for name, value in group.items())}:")
        around = ""
        if best.sparsity_interval is not None:
            around = f" [{number(best.sparsity_interval[0])}, {number(best.sparsity_interval[1])}]"
        click.echo(f"sparsity    {number(best.sparsity)}{around}")
        click.echo(f"dense size  {best.dense_size:,.4g} weights, {best.nonzero:,.4g} of which remain")
        click.echo(
            f"data        {best.data:,.4g} ({best.budget:,.4g} for a dense network of {best.nonzero:,.4g} weights)"
        )
        click.echo(f"loss        {number(best.loss)} (dense: {number(best.loss_dense)})")
        for words in best.warnings:
            click.echo(wrapped(f"! {words}"))
