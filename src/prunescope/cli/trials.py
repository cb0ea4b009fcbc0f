"""``prunescope compare`` and ``sensitivity``: which form, and how many measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from prunescope.cli.options import (
    CHOICE,
    JSON,
    LAW_BY_TABLE,
    SEED,
    SPARSE,
    estimator,
    fixed_in,
    names_in,
    reading,
    rows_of,
    without_share,
)
from prunescope.cli.printing import counting, hung, note, print_json, print_table, wrapped
from prunescope.errors import counted, named, printable

if TYPE_CHECKING:
    from prunescope.laws.comparison import Deviation, FormComparison
    from prunescope.laws.data import GroupData


@click.command()
@click.argument("source", metavar="TABLE")
@click.option("--law", "kind", type=click.Choice(["single", "joint", "sparse"]), help=f"{LAW_BY_TABLE}.")
@SPARSE
@CHOICE
@click.option(
    "--leave",
    type=click.Choice(["replicates", "densities"]),
    default="replicates",
    show_default=True,
    help="What single laws are predicted without: each replicate, or each density and the three sparsest.",
)
@click.option("--folds", type=click.IntRange(2), default=10, show_default=True, help="Folds of the cross-validation.")
@SEED
@JSON
@reading
def compare(source: str, kind: str | None, leave: str, folds: int, seed: int, as_json: bool, **settings: Any) -> None:
    """Compare functional forms on a TABLE.

    Each form is fitted, cross-validated over ladders, and extrapolated to the largest members. The numbers are mu and
    sigma of the relative deviation, in percent; than the first: how much lower or higher the root mean square of the
    cross-validation is, with its standard error.
    """
    from prunescope.laws.comparison import compare as compared
    from prunescope.laws.data import describe_thinning
    from prunescope.laws.doubts import null_model
    from prunescope.laws.refusals import candidate_sparse_forms

    if settings.pop("fix"):
        raise click.UsageError("compare fits every parameter: leave out --fix")
    if settings.pop("vary") is not None:
        raise click.UsageError("compare tries every combination of depth and width: leave out --vary")
    size, data = settings.pop("size"), settings.pop("data")
    if kind == "sparse":
        joint, groups = True, _sparse_groups(source, size, data, settings)
    elif size or data:
        raise click.UsageError("--size and --data are for --law sparse")
    else:
        joint, groups = _groups(source, kind, settings)
    if leave == "densities" and joint:
        raise click.UsageError("--leave densities is for --law single")
    comparisons = []
    with counting("comparing") as step:
        for number, group in enumerate(groups):
            forms = list(candidate_sparse_forms(group)) if kind == "sparse" else None
            many = compared(group, joint, folds=folds, trials=forms, leave=leave, seed=seed)
            null = null_model(group, joint, many, folds, seed) if forms is None and leave == "replicates" else None
            comparisons.append((group, many, null))
            step(number + 1, len(groups))
    if as_json:
        rows = [
            {**comparison.to_dict(), "seed_noise": group.seed_noise}
            for group, many, _ in comparisons
            for comparison in many
        ]
        nulls = [{"group": dict(group.key), **asdict(null)} for group, _, null in comparisons if null is not None]
        print_json({"compared": rows, "null": nulls})
        return
    for group, many, null in comparisons:
        noise = group.seed_noise
        beside = f"; seeds alone scatter by {100 * noise:.1f} %" if noise is not None else ""
        sizes = f"{counted(len(group), 'point')}, {counted(group.cells, 'configuration')}"
        click.echo(hung(printable(f"{named(group.key) or 'the table'}: {sizes}{beside}"), indent="    "))
        if null is not None:
            click.echo(wrapped(f"  ! {null}"))
        if tried := describe_thinning(many[0].fitted.points, len(group)):
            click.echo(f"  {tried}")
        print_table(_compared_columns(many), 2)


def _compared_columns(many: Sequence[FormComparison]) -> dict[str, list[Any]]:
    """Return the columns of a comparison; figures are mu and sigma."""

    def off(trial: Deviation | None) -> str:
        return "-" if trial is None else f"{100 * trial.mu:.1f}, {100 * trial.sigma:.1f} %"

    return {
        "form": [comparison.form for comparison in many],
        "free": [comparison.free for comparison in many],
        "fitted": [off(comparison.fitted) for comparison in many],
        "cross-validated": [off(comparison.cross_validated) for comparison in many],
        "than the first": ["" if comparison.gain is None else str(comparison.gain) for comparison in many],
        "extrapolated": [off(comparison.extrapolated) for comparison in many],
    }


@click.command()
@click.argument("source", metavar="TABLE")
@click.option("--law", "kind", type=click.Choice(["single", "joint"]), help=f"{LAW_BY_TABLE}.")
@CHOICE
@click.option("--repeats", type=click.IntRange(2), default=30, show_default=True, help="Draws of each size.")
@click.option("--networks", help="Sizes of Experiment 1, such as 20,40,80. Default: 12 sizes.")
@click.option("--configurations", help="Sizes of Experiment 2, such as 5,10,15. Default: 12 sizes.")
@click.option(
    "--sigma", type=float, help="Sigma that is good enough, as a fraction. Default: that of all points + 0.01."
)
@click.option("--starts", type=click.IntRange(1), default=8, show_default=True, help="Random starts of each fit.")
@SEED
@JSON
@reading
def sensitivity(
    source: str,
    kind: str | None,
    repeats: int,
    networks: str | None,
    configurations: str | None,
    sigma: float | None,
    starts: int,
    seed: int,
    as_json: bool,
    **settings: Any,
) -> None:
    """Find how many measurements a stable fit needs.

    As in Section 5 of the paper: Experiment 1 draws single networks, Experiment 2 draws configurations with all their
    densities. Every fit is judged on all points.
    """
    from prunescope.laws.forms import FORMS
    from prunescope.laws.search import fix_unvaried
    from prunescope.laws.sensitivity import EXPERIMENTS
    from prunescope.laws.sensitivity import sensitivity as experiments

    fixed, vary = fixed_in(settings.pop("fix")), names_in(settings.pop("vary"))
    joint, groups = _groups(source, kind, settings)
    kind = "joint" if joint else "single"
    estimator(kind, {"fix": fixed or None, **({"vary": vary} if vary else {})}).check_settings()
    law = FORMS[kind]
    results = []
    for group in groups:
        parameters = {**fix_unvaried(law, group, vary), **fixed}
        sizes = _sizes(group, networks, configurations)
        with counting("sizes tried") as step:
            results.append(
                experiments(
                    law, group, parameters, sizes=sizes, repeats=repeats, count=starts, seed=seed, progress=step
                )
            )
    if as_json:
        print_json({"sensitivity": [result.to_dict() for result in results]})
        return
    for result in results:
        goal = sigma if sigma is not None else result.sigma + 0.01
        much = f"{counted(result.points, 'point')}, {counted(result.cells, 'configuration')}"
        click.echo(hung(printable(f"{named(result.group) or 'the table'}: {much}"), indent="    "))
        if result.drawn_from:
            click.echo(f"  {result.drawn_from}")
        click.echo(f"  fitted to all: mu {100 * result.mu:.2f} %, sigma {100 * result.sigma:.2f} %")
        for number, rows in result.experiments.items():
            click.echo()
            click.echo(wrapped(f"  Experiment {number}: {EXPERIMENTS[number]}; {result.repeats} draws of each size"))
            print_table(
                {
                    "drawn": [row.drawn for row in rows],
                    "points": [f"{row.points:.0f}" for row in rows],
                    "mu, %": [f"{100 * row.mean_mu:.2f} ± {100 * row.std_mu:.2f}" for row in rows],
                    "sigma, %": [f"{100 * row.mean_sigma:.2f} ± {100 * row.std_sigma:.2f}" for row in rows],
                },
                2,
            )
            enough = result.enough(number, goal)
            words = f"{enough} are enough" if enough is not None else "no size tried is enough"
            click.echo(wrapped(f"  for sigma + one standard deviation <= {100 * goal:.1f} %: {words}"))


def _sizes(group: GroupData, networks: str | None, configurations: str | None) -> dict[int, list[int]] | None:
    """Return the sizes asked for, by experiment."""
    if networks is None and configurations is None:
        return None
    sizes_by_kind = {}
    for number, words, most in ((1, networks, len(group)), (2, configurations, group.cells)):
        if words is None:
            continue
        try:
            sizes = sorted({int(size) for size in words.split(",")})
        except ValueError:
            raise click.UsageError(f"sizes must be whole numbers, such as 5,10,20; found {words!r}") from None
        if not sizes or sizes[0] < 1 or sizes[-1] > most:
            raise click.UsageError(f"sizes must be between 1 and {most}, as many as there are; found {words!r}")
        sizes_by_kind[number] = sizes
    return sizes_by_kind


def _sparse_groups(source: str, size: str | None, data: str | None, settings: dict[str, Any]) -> list[GroupData]:
    """Return the groups to which some form of the law of sparse networks can be fitted."""
    from prunescope.errors import Fault, InputError
    from prunescope.laws.refusals import explain_sparse_refusal
    from prunescope.laws.sparse import SparseLaw

    if settings["filters"] or settings["classes"]:
        raise click.UsageError("--filter and --classes are not for --law sparse")
    rows = rows_of(source, settings["where"], without_share("sparse", settings["reading"]))
    law = SparseLaw(by=names_in(settings["by"]), size=size, data=data, replicates=settings["replicates"])
    sample = law.sample(rows)
    for words in sample.notes:
        note(words)
    able = [group for group in sample.groups if not explain_sparse_refusal(group, ("c_s", "b_n", "c"))]
    if not able:
        must = "must hold networks of two sizes or more"
        raise InputError(rows.source, [Fault("a group", must, "none that does")])
    return able


def _groups(source: str, kind: str | None, settings: dict[str, Any]) -> tuple[bool, list[GroupData]]:
    """Return whether the law is joint, and the groups that can be fitted."""
    from prunescope.errors import Fault, InputError
    from prunescope.laws.grouping import Sample, sample

    rows = rows_of(source, settings["where"], settings["reading"])
    by = names_in(settings["by"])
    keep = settings["replicates"] == "keep"

    def grouped(joint: bool) -> Sample:
        return sample(rows, joint, by, keep_replicates=keep, classes=settings["classes"], filters=settings["filters"])

    joint, groups = kind != "single", grouped(kind != "single")
    if kind is None and not groups.varies_in_size:
        joint, groups = False, grouped(False)
    for words in groups.notes:
        note(words)
    least = 5 if joint else 3
    able = [group for group in groups.groups if len({*group.density[group.density < 1].tolist()}) >= 3]
    able = [group for group in able if int((group.density < 1).sum()) >= least]
    for group in groups.groups:
        if (group.density < 1).any() and not any(group is usable for usable in able):
            note(f"left out: {named(group.key)}: fewer than {least} pruned points or 3 densities")
    if not able:
        must = f"must hold {least} pruned points and 3 densities below 1, or more"
        raise InputError(rows.source, [Fault("a group", must, "none that does")])
    return joint, able
