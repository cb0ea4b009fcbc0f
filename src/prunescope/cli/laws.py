"""``prunescope fit``, ``predict``, ``compare``, ``sensitivity``: laws from tables, and what comes of them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from prunescope.cli.show import counting, note, print_json
from prunescope.errors import counted, listed, printable

if TYPE_CHECKING:
    from prunescope.laws import Estimator, Fit
    from prunescope.laws.measured import Measured
    from prunescope.table import Table

Command = Callable[..., Any]


def _options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


_JSON = click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON, numbers unrounded.")
_SEED = click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of starts and draws.")
_CHOICE = _options(
    click.option("--where", multiple=True, help="Condition in SQL that rows must fulfil. May be repeated."),
    click.option("--by", help="Columns whose values make groups, such as retraining,epochs. Default: all that tell "
                 "ladders apart."),
    click.option("--vary", help="Of depth and width, those that the joint law explains. Default: all that vary."),
    click.option("--fix", multiple=True, metavar="NAME=VALUE", help="Give a parameter: eps_up=0.9. May be repeated."),
    click.option("--classes", type=click.IntRange(2), help="Number of classes: bounds eps_up by the error of guessing."),
    click.option("--filter", "filters", multiple=True, metavar="NAME",
                 help="connected, better-than-chance or not-overly-large (Table 1). May be repeated."),
    click.option("--replicates", type=click.Choice(["mean", "keep"]), default="mean", show_default=True,
                 help="Fit to the mean over replicates, or to each."),
)  # fmt: skip


@click.command()
@click.argument("source", metavar="TABLE")
@click.option(
    "--law",
    "kind",
    type=click.Choice(["single", "joint", "dense"]),
    required=True,
    help="single: each configuration by itself; joint: a family at once; dense: unpruned networks.",
)
@_CHOICE
@click.option("--level", type=float, default=0.9, show_default=True, help="Probability that an interval holds the truth.")
@click.option(
    "--intervals",
    type=click.Choice(["auto", "resampled", "quick", "none"]),
    default="auto",
    show_default=True,
    help="auto resamples unless that would take long.",
)
@click.option("--starts", type=click.IntRange(1), default=16, show_default=True, help="Starts of each fit.")
@_SEED
@click.option("--save", metavar="FILE", help="Write the fitted law as JSON, for predict.")
@_JSON
def fit(source: str, kind: str, save: str | None, as_json: bool, **settings: Any) -> None:
    """Fit a law to a TABLE: parameters, intervals, how far it is off, and what the data cannot tell.

    Errors and deviations are fractions; mu and sigma are mean and standard deviation of (predicted - error) / error.
    """
    rows = _rows(source, settings.pop("where"))
    law = _estimator(kind, settings)
    with counting("fitting") as step:
        law.fit(rows, progress=step)
    for words in law.notes_:
        note(words)
    for refused in law.refused_:
        if not refused.trivial:
            note(f"not fitted: {_group(refused.group) or 'the table'}: {refused.why}")
    if save is not None:
        law.save(save)
        note(f"wrote {save}")
    if as_json:
        print_json(law.to_dict())
    elif len(law.fits_) == 1:
        _show_one(law.fits_[0])
    else:
        _show_many(law.fits_)


@click.command()
@click.argument("law", metavar="LAW")
@click.argument("source", metavar="[TABLE]", required=False)
@click.option("--at", multiple=True, metavar="NAME=VALUE,...", help="A network to predict: depth=26,width=1,density=0.1,"
              "unpruned_error=0.08. May be repeated.")  # fmt: skip
@click.option("--dense", "dense_law", metavar="LAW", help="A dense law that gives unpruned errors the TABLE lacks.")
@click.option("--level", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.9, show_default=True)
@click.option("--out", metavar="FILE", help="Write the rows with their predictions: .csv, .parquet or .json.")
@_JSON
def predict(
    law: str, source: str | None, at: Sequence[str], dense_law: str | None, level: float, out: str | None, as_json: bool
) -> None:
    """Predict errors with a LAW that fit --save wrote, for the networks of a TABLE or those named by --at.

    low and high enclose what one newly trained network would measure; law_low and law_high the law itself.
    """
    from prunescope.laws import load_law
    from prunescope.table import Table, aligned, json_text, read_table, write_table

    if (source is None) == (not at):
        raise click.UsageError("give a TABLE of networks, or --at, and not both")
    members = read_table(source, needed=("density",)) if source is not None else _members(at)
    fitted = load_law(law)
    dense = load_law(dense_law) if dense_law is not None else None
    found = fitted.predictions(members, level, dense)
    columns = {
        **{name: values for name, values in (members.columns if isinstance(members, Table) else members).items()},
        "predicted": found.error,
        "low": found.low,
        "high": found.high,
        "law_low": found.law_low,
        "law_high": found.law_high,
    }
    answer = Table({name: _array(values) for name, values in columns.items()}, source or "--at")
    if out is not None:
        write_table(answer, out)
        note(f"wrote {counted(len(answer), 'row')} to {out}")
    elif as_json:
        click.echo(json_text(answer))
    else:
        import numpy as np

        click.echo("\n".join(aligned(answer.take(np.arange(min(40, len(answer)))))))
        if len(answer) > 40:
            click.echo(f"... and {len(answer) - 40:,} more; --out FILE writes all")


@click.command()
@click.argument("source", metavar="TABLE")
@click.option("--law", "kind", type=click.Choice(["single", "joint"]), help="Default: joint where depth or width vary.")
@_CHOICE
@click.option("--folds", type=click.IntRange(2), default=10, show_default=True, help="Parts of the cross-validation.")
@_SEED
@_JSON
def compare(source: str, kind: str | None, folds: int, seed: int, as_json: bool, **settings: Any) -> None:
    """Compare forms on a TABLE: fitted, cross-validated over ladders, and extrapolated to the largest members.

    Each figure is mu and sigma of the relative deviation, in percent.
    """
    from prunescope.laws.compare import compare as compared
    from prunescope.laws.seeds import seeds

    if settings.pop("fix"):
        raise click.UsageError("compare fits every parameter: leave out --fix")
    if settings.pop("vary") is not None:
        raise click.UsageError("compare tries every combination of depth and width: leave out --vary")
    joint, groups = _groups(source, kind, settings)
    found = []
    with counting("comparing") as step:
        for number, group in enumerate(groups):
            found.append((group, compared(group, joint, folds=folds, seed=seed)))
            step(number + 1, len(groups))
    if as_json:
        rows = [{**each.to_dict(), "seed_noise": seeds(group).std} for group, many in found for each in many]
        print_json({"compared": rows})
        return
    for group, many in found:
        noise = seeds(group).std
        beside = f"; seeds alone scatter by {100 * noise:.1f} %" if noise is not None else ""
        sizes = f"{counted(len(group), 'point')}, {counted(group.cells, 'configuration')}"
        click.echo(printable(f"{_group(group.key) or 'the table'}: {sizes}{beside}"))
        wide = max(len(each.form) for each in many)
        click.echo(f"  {'form':{wide}}{'free':>6}{'fitted':>16}{'cross-validated':>18}{'extrapolated':>18}")
        for each in many:
            trials = [each.fitted, each.cross_validated, each.extrapolated]
            told = ["-" if one is None else f"{100 * one.mu:.1f}, {100 * one.sigma:.1f} %" for one in trials]
            click.echo(f"  {each.form:{wide}}{each.free:6}{told[0]:>16}{told[1]:>18}{told[2]:>18}")


@click.command()
@click.argument("source", metavar="TABLE")
@click.option("--law", "kind", type=click.Choice(["single", "joint"]), default="joint", show_default=True)
@_CHOICE
@click.option("--repeats", type=click.IntRange(2), default=30, show_default=True, help="Draws of each size.")
@click.option("--networks", help="Sizes of Experiment 1, such as 20,40,80. Default: 12 sizes.")
@click.option("--configurations", help="Sizes of Experiment 2, such as 5,10,15. Default: 12 sizes.")
@click.option("--sigma", type=float, help="Sigma that is good enough, as a fraction. Default: that of all points + 0.01.")
@click.option("--starts", type=click.IntRange(1), default=8, show_default=True, help="Starts of each fit.")
@_SEED
@_JSON
def sensitivity(
    source: str,
    kind: str,
    repeats: int,
    networks: str | None,
    configurations: str | None,
    sigma: float | None,
    starts: int,
    seed: int,
    as_json: bool,
    **settings: Any,
) -> None:
    """Find how many networks, or whole ladders, a stable fit needs (Section 5 of the paper).

    Experiment 1 draws single networks, Experiment 2 configurations with all their densities; every fit is judged on
    all points.
    """
    from prunescope.laws.kinds import LAWS, unvaried
    from prunescope.laws.sensitivity import EXPERIMENTS, sensitivity as experiments

    fixed, vary = _fixed(settings.pop("fix")), _names(settings.pop("vary"))
    _estimator(kind, {"fix": fixed or None, **({"vary": vary} if vary else {})})._check()
    _, groups = _groups(source, kind, settings)
    law = LAWS[kind]
    found = []
    for group in groups:
        given = {**unvaried(law, group, vary), **fixed}
        sizes = _sizes(group, networks, configurations)
        with counting("sizes tried") as step:
            found.append(
                experiments(law, group, given, sizes=sizes, repeats=repeats, count=starts, seed=seed, progress=step)
            )
    if as_json:
        print_json({"sensitivity": [each.to_dict() for each in found]})
        return
    for each in found:
        goal = sigma if sigma is not None else each.sigma + 0.01
        click.echo(printable(f"{_group(each.group) or 'the table'}: {each.points} points, {each.cells} configurations"))
        click.echo(f"  fitted to all: mu {100 * each.mu:.2f} %, sigma {100 * each.sigma:.2f} %")
        for number, rows in each.experiments.items():
            click.echo(f"\n  Experiment {number}: {EXPERIMENTS[number]}; {each.repeats} draws of each size")
            click.echo(f"  {'drawn':>7}{'points':>9}{'mu, %':>9}{'+-':>7}{'sigma, %':>11}{'+-':>7}")
            for row in rows:
                told = (100 * each for each in (row.mean_mu, row.std_mu, row.mean_sigma, row.std_sigma))
                click.echo("  {:7}{:9.0f}{:9.2f}{:7.2f}{:11.2f}{:7.2f}".format(row.drawn, row.points, *told))
            enough = each.enough(number, goal)
            words = f"{enough} are enough" if enough is not None else "no size tried is enough"
            click.echo(f"  for sigma + one standard deviation <= {100 * goal:.1f} %: {words}")


def _sizes(group: Measured, networks: str | None, configurations: str | None) -> dict[int, list[int]] | None:
    """Return the sizes asked for, by experiment."""
    if networks is None and configurations is None:
        return None
    found = {}
    for number, words, most in ((1, networks, len(group)), (2, configurations, group.cells)):
        if words is None:
            continue
        try:
            sizes = sorted({int(each) for each in words.split(",")})
        except ValueError:
            raise click.UsageError(f"sizes must be whole numbers, such as 5,10,20; found {words!r}") from None
        if not sizes or sizes[0] < 1 or sizes[-1] > most:
            raise click.UsageError(f"sizes must be between 1 and {most}, as many as there are; found {words!r}")
        found[number] = sizes
    return found


def _rows(source: str, where: Sequence[str]) -> Table:
    from prunescope.table import read_table

    rows = read_table(source)
    for words in rows.notes:
        note(words)
    for condition in where:
        rows = rows.where(condition)
    return rows


def _estimator(kind: str, settings: dict[str, Any]) -> Estimator:
    """Return the estimator that options ask for; options that it does not have are refused if they were given."""
    from prunescope.laws import DenseLaw, JointLaw, SingleLaw

    chosen = {"single": SingleLaw, "joint": JointLaw, "dense": DenseLaw}[kind]
    settings = dict(settings)
    for name in ("by", "vary"):
        if isinstance(settings.get(name), str):
            settings[name] = _names(settings[name])
    if not isinstance(settings.get("fix"), dict):
        settings["fix"] = _fixed(settings.get("fix") or ()) or None
    known = chosen().get_params()
    for name, value in list(settings.items()):
        if name not in known:
            if value not in (None, (), "mean"):
                raise click.UsageError(f"--{'filter' if name == 'filters' else name} is not for --law {kind}")
            del settings[name]
    return chosen(**settings)


def _groups(source: str, kind: str | None, settings: dict[str, Any]) -> tuple[bool, list[Measured]]:
    """Return whether the law is joint, and the groups that can be fitted."""
    from prunescope.errors import Fault, InputError
    from prunescope.laws.points import sample

    rows = _rows(source, settings["where"])
    by = _names(settings["by"])
    joint = kind == "joint" or (
        kind is None and any(name in rows and len(set(rows[name].tolist())) > 1 for name in ("depth", "width"))
    )
    keep = settings["replicates"] == "keep"
    found = sample(
        rows, joint, by, keep_replicates=keep, classes=settings["classes"], filters=settings["filters"]
    )
    for words in found.notes:
        note(words)
    least = 5 if joint else 3
    able = [group for group in found.groups if len({*group.density[group.density < 1].tolist()}) >= 3]
    able = [group for group in able if int((group.density < 1).sum()) >= least]
    for group in found.groups:
        if (group.density < 1).any() and not any(group is each for each in able):
            note(f"left out: {_group(group.key)}: fewer than {least} pruned points or 3 densities")
    if not able:
        must = f"must hold {least} pruned points and 3 densities below 1, or more"
        raise InputError(rows.source, [Fault("a group", must, "none that does")])
    return joint, able


def _names(words: str | None) -> tuple[str, ...] | None:
    if words is None:
        return None
    return tuple(name.strip() for name in words.split(",") if name.strip())


def _fixed(words: Sequence[str]) -> dict[str, float]:
    """Read ``name=value`` options."""
    found = {}
    for each in words:
        name, equals, value = each.partition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            equals = ""
        if not equals:
            raise click.UsageError(f"--fix must be NAME=VALUE, such as eps_up=0.9; found {each!r}")
    return found


def _members(at: Sequence[str]) -> dict[str, list[Any]]:
    """Read ``--at depth=26,width=1`` options as columns."""
    rows = []
    for words in at:
        pairs = [each.partition("=") for each in words.split(",")]
        if not all(equals and name.strip() for name, equals, _ in pairs):
            raise click.UsageError(f"--at must be NAME=VALUE,..., such as density=0.1,unpruned_error=0.08; found {words!r}")
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

    found = np.asarray(values)
    return found.astype(object) if found.dtype.kind == "U" else found


def _group(group: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in group.items())


def _show_one(found: Fit) -> None:
    from prunescope.laws.forms import PARAMETERS
    from prunescope.laws.results import number, percent

    sizes = f"{counted(found.points, 'point')}, {counted(found.ladders, 'ladder')} of {counted(found.cells, 'configuration')}"
    group = _group(found.group)
    click.echo(printable(f"{found.law} law{f' of {group}' if group else ''}: {sizes}"))
    for name, value in found.parameters.items():
        if name in found.fixed:
            told = "given"
        elif (interval := found.intervals[name]) is not None:
            told = f"[{number(interval[0])}, {number(interval[1])}]"
        else:
            told = "not told by the data"
        click.echo(f"  {name:9}{number(value):>10}  {told:24}{PARAMETERS[name].meaning}")
    seeds = f"; seeds alone {percent(found.seed_noise)} between single networks" if found.seed_noise is not None else ""
    click.echo(f"  deviation: mu {percent(found.mean_deviation)}, sigma {percent(found.std_deviation)}{seeds}")
    for region in found.regions:
        if region.mean is not None and region.std is not None:
            told = f"mu {percent(region.mean)}, sigma {percent(region.std)}"
            click.echo(f"    {region.name:11}{counted(region.points, 'point'):>13}: {told}")
    click.echo(f"  intervals ({found.level:.0%}): {found.intervals_by}")
    click.echo(f"  search: {found.convergence}")
    for words in found.warnings:
        click.echo(_wrapped(words, "  ! ", "    "))


def _show_many(fits: Sequence[Fit]) -> None:
    import numpy as np

    from prunescope.laws.results import number
    from prunescope.table import Table, aligned

    varied = [name for name in fits[0].group if len({fit.group[name] for fit in fits}) > 1]
    shared = {name: value for name, value in fits[0].group.items() if name not in varied}
    if shared:
        click.echo(printable(f"in every group: {_group(shared)}"))

    def told(found: Fit, name: str) -> str:
        interval = found.intervals.get(name)
        around = " given" if name in found.fixed else " ?" if interval is None else f" [{number(interval[0])}, {number(interval[1])}]"
        return number(found.parameters[name]) + around

    kinds = list(dict.fromkeys(words for fit in fits for words in map(_kind, fit.warnings)))
    columns: dict[str, list[Any]] = {name: [fit.group[name] for fit in fits] for name in varied}
    columns |= {name: [told(fit, name) for fit in fits] for name in fits[0].parameters}
    columns |= {
        "points": [fit.points for fit in fits],
        "mu, %": [f"{100 * fit.mean_deviation:.2f}" for fit in fits],
        "sigma, %": [f"{100 * fit.std_deviation:.2f}" for fit in fits],
        "notes": [" ".join(str(kinds.index(each) + 1) for each in map(_kind, fit.warnings)) for fit in fits],
    }
    shown = Table({name: _array(values) for name, values in columns.items()})
    click.echo("\n".join(aligned(shown.take(np.arange(min(200, len(fits)))))))
    if len(fits) > 200:
        click.echo(f"... and {len(fits) - 200:,} more; --json or --save FILE gives all")
    worst = max(fits, key=lambda fit: fit.std_deviation)
    click.echo(
        f"\n{len(fits):,} fits: |mu| at most {100 * max(abs(fit.mean_deviation) for fit in fits):.2f} %, sigma at most "
        f"{100 * worst.std_deviation:.2f} %; ? is a parameter that the data do not tell"
    )
    for place, kind in enumerate(kinds):
        having = [words for fit in fits for words in fit.warnings if _kind(words) == kind]
        click.echo(_wrapped(f"{place + 1}: {counted(len(having), 'fit')}, such as: {having[0]}", "", "   "))


def _wrapped(words: str, first: str, further: str) -> str:
    return textwrap.fill(printable(words), 100, initial_indent=first, subsequent_indent=further)


def _kind(words: str) -> str:
    """Return what a warning is about: its words without numbers."""
    head = words.split(":", maxsplit=1)[0].split("(", maxsplit=1)[0]
    return " ".join(word for word in head.split() if not any(letter.isdigit() for letter in word))
