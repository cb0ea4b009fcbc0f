"""``prunescope next`` and ``run --until-decided``: what to train next, and training until the choice is settled."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prunescope.cli.choose import ERROR, numbers
from prunescope.cli.options import JSON, SEED, SHARE, WHERE, names_in, reading, rows_of
from prunescope.cli.printing import counting, note, print_json, print_table, spelled, wrapped
from prunescope.errors import Fault, InputError, PrunescopeError, command, counted, listed, whole_percent

if TYPE_CHECKING:
    from prunescope.design.recommendation import DesignPlan, Proposal
    from prunescope.run import RunReport
    from prunescope.study import Ladder, Study
    from prunescope.table import Table

SHOWN = 30


@click.command("next")
@click.argument("source", metavar="TABLE")
@ERROR
@click.option(
    "--budget", metavar="10m|20%", help="The most that training may cost: a time, or a share of all remaining training."
)
@click.option("--study", metavar="STUDY", help="The study to choose runs from [that of the store].")
@click.option("--depths", callback=numbers(int), metavar="8,14,...", help="More depths to consider.")
@click.option("--widths", callback=numbers(float), metavar="0.5,1,...", help="More widths to consider.")
@click.option("--examples", type=click.IntRange(1), help="Training examples of the network looked for [the most].")
@click.option("--noise", "label_noise", type=SHARE, metavar="SHARE", help="Label noise of the network looked for.")
@click.option("--confidence", type=SHARE, default=0.9, show_default=True, help="Probability of meeting the bound.")
@click.option(
    "--enough", type=SHARE, default=0.05, show_default=True, help="Stop when the expected regret falls below this."
)
@click.option("--most", type=click.IntRange(1), default=50, show_default=True, help="The most ladders to recommend.")
@click.option("--cells", type=click.IntRange(10), default=200, show_default=True, help="The most cells to weigh.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write a study that trains them.")
@WHERE
@click.option("--by", help="Columns whose values make families. Default: all that tell ladders apart.")
@click.option("--classes", type=click.IntRange(2), help="Number of classes: bounds eps_up by guessing.")
@SEED
@JSON
@reading
def next_(
    source: str,
    max_error: float,
    budget: str | None,
    study: str | None,
    out: Path | None,
    where: Sequence[str],
    by: str | None,
    as_json: bool,
    reading: dict[str, Any],
    **settings: Any,
) -> None:
    """Recommend the most informative runs for the choice.

    TABLE holds the measurements so far; with --study it may be a store that does not exist yet. The recommended runs
    identify the smallest network with error <= K most cheaply. If more training would hardly change the choice, next
    says so.
    """
    from prunescope.design.recommendation import next_ladders

    read = _study(source, study)
    rows = _rows(source, where, read, reading)
    if out is not None and out.exists():
        raise PrunescopeError(f"{out} exists already; name a new file")
    with counting("weighing ladders") as step:
        plan = next_ladders(
            rows,
            max_error,
            study=read,
            budget=budget,
            by=names_in(by),
            on_proposal=lambda done, _: step(done, settings["most"]),
            **settings,
        )
    if as_json:
        print_json(plan.to_dict())
    else:
        _show_plan(plan)
    if out is not None:
        if plan.decided or not plan.proposals:
            note(f"{out} was not written: there is nothing to train")
        elif plan.study is None:
            raise PrunescopeError(f"{out} was not written: nothing says how to train: name a --study")
        else:
            out.write_text(plan.study.to_toml(), encoding="utf-8")
            note(f"wrote {out}; train it with: {command('run', out, '--store', '...')}")


def _study(source: str, study: str | None) -> Study | None:
    """Return the study to go by: the one named, or the store's own."""
    from prunescope.cli.plan import with_datasets
    from prunescope.design.recommendation import NAME_SUFFIX
    from prunescope.study import read_study
    from prunescope.table import Store, is_store

    if study is not None:
        store = Store(source) if is_store(Path(source)) else None
        return with_datasets(read_study(study), store)[0]
    if not is_store(Path(source)):
        return None
    # Studies that `next` wrote are parts of the one that they were made from.
    studies = {stored.name: stored for stored in Store(source).studies()}
    whole_studies = {name: stored for name, stored in studies.items() if not name.endswith(NAME_SUFFIX)}
    if len(whole_studies) > 1 or (studies and not whole_studies):
        hint = f"Name the file of one with --study; there are {listed(studies)}."
        names = str(len(whole_studies)) if whole_studies else "only parts of one"
        raise InputError(source, [Fault("the store", "must hold one study to go by", names, hint)])
    return next(iter(whole_studies.values()), None)


def _rows(source: str, where: Sequence[str], study: Study | None, reading: dict[str, Any]) -> Table | None:
    """Return what is measured; nothing where a store is only about to be made."""
    from prunescope.table import Store, is_store

    path = Path(source)
    nothing = not path.exists() if source != "-" else False
    nothing = nothing or (is_store(path) and not Store(path).shards.listing().all)
    if nothing and study is not None:
        return None
    if nothing and path.exists():
        hint = "Name what may be trained with --study."
        raise InputError(source, [Fault("the store", "must hold measurements, or a study", "neither", hint)])
    return rows_of(source, where, reading)


def _show_plan(plan: DesignPlan) -> None:
    """Print a plan for people."""
    from prunescope.design.costs import plain_cost

    def cost(value: float) -> str:
        return str(plain_cost(value, plan.unit, plan.whole))

    for words in plan.notes:
        note(words)
    about = f"the smallest network with an error of at most {plan.max_error:g}"
    if plan.decided and plan.pick is None:
        click.echo(
            wrapped(
                f"settled: no member is expected to keep an error of {plan.max_error:g}; ask for a higher one, or for "
                "larger members (--depths, --widths)"
            )
        )
        return
    if plan.decided:
        click.echo(
            wrapped(
                f"settled: {about} is {plan.pick} ({_sure_words(plan)}), to about {whole_percent(plan.off)} (enough: "
                f"{whole_percent(plan.enough)}); more training would hardly change it. What the measurements say "
                "alone: prunescope choose"
            )
        )
        return
    now = f"a choice made now is {plan.pick or 'none'}, expected to be off by {off_words(plan.off)}"
    unseen = ", but no network like it was trained" if plan.pick is not None and plan.off <= plan.enough else ""
    click.echo(wrapped(f"{about}: {now}{unseen}"))
    if not plan.proposals:
        click.echo(wrapped("nothing within the budget would bring it much nearer: allow more, or other members"))
        return
    rungs = plan.study is not None  # of anybody's table nothing but densities is known
    proposals = plan.proposals[:SHOWN]
    click.echo()
    print_table(
        {
            "ladder": [_ladder(proposal, rungs) for proposal in proposals],
            "rungs" if rungs else "to density": [_until(proposal, rungs) for proposal in proposals],
            "cost": [cost(proposal.cost) for proposal in proposals],
            "off after it": [off_words(proposal.off) for proposal in proposals],
        },
        2,
    )
    if len(plan.proposals) > SHOWN:
        click.echo(f"  ... and {len(plan.proposals) - SHOWN} more; --json has all")
    click.echo()
    click.echo(
        wrapped(
            f"{counted(sum(proposal.count for proposal in plan.proposals), 'ladder')}, {cost(plan.cost)}"
            + (f" of {cost(plan.whole)} for everything" if plan.unit == "seconds" else "")
            + f": the choice is then expected to be off by {off_words(plan.proposals[-1].off)}. "
            "What they show decides what comes after: ask again"
        )
    )


def _until(proposal: Proposal, rungs: bool) -> str:
    """Say how far a ladder is trained."""
    if not rungs:
        return f"{proposal.density:.4g}"
    return f"{proposal.after + 1} to {proposal.top}" if proposal.top > proposal.after + 1 else f"{proposal.top}"


def _sure_words(plan: DesignPlan) -> str:
    """Name the network that keeps the bound surely."""
    return f"{whole_percent(plan.confidence)} sure: {plan.sure or 'none'}"


def _ladder(proposal: Proposal, numbered: bool) -> str:
    examples = "" if proposal.examples is None else f", {proposal.examples:,} examples"
    if not numbered:
        return f"{proposal.name}{examples}, {proposal.count} {'carried on' if proposal.after >= 0 else 'new'}"
    last = proposal.replicate + proposal.count - 1
    which = f"#{proposal.replicate}" + (f" to #{last}" if proposal.count > 1 else "")
    return f"{proposal.name}{examples} {which}"


def off_words(value: float) -> str:
    """Write how far off a choice is."""
    return whole_percent(value) if value < 1 else f"a factor of {1 + value:.2g}"


def decide(
    study: Study, path: Path, max_error: float, enough: float, noise: float | None, as_json: bool, **options: Any
) -> RunReport:
    """Train until the choice is settled, print the answer, and return the report of all the training.

    Parameters
    ----------
    **options
        Of `run_study`.
    """
    from prunescope.choose import smallest_network
    from prunescope.choose.answers import answer_lines
    from prunescope.cli.progress import ProgressDisplay
    from prunescope.design.adaptive import train_until_decided
    from prunescope.design.inputs import at_noise
    from prunescope.run import RunReport, run_study
    from prunescope.table import Store

    clock = time.perf_counter()
    store, whole = Store(path, create=True), RunReport()

    def train(ladders: Sequence[Ladder]) -> bool:
        with ProgressDisplay(study.name) as progress:
            report = run_study(study, store, ladders=ladders, on_event=progress.tell, **options)
        whole.rungs += report.rungs
        whole.networks += report.networks
        whole.ladders += report.ladders
        whole.failures += report.failures
        whole.elsewhere += report.elsewhere
        whole.halted = report.halted
        whole.unwritable = report.unwritable
        return not report.is_incomplete

    def report_plan(plan: DesignPlan) -> None:
        if not plan.decided and plan.ladders:
            rungs = sum(proposal.count * (proposal.top - proposal.after) for proposal in plan.proposals)
            what = f"{counted(rungs, 'network')} on {counted(len(plan.ladders), 'ladder')}"
            choice = f"{plan.pick}, " if plan.pick else ""
            click.echo(f"now: {choice}expected regret {off_words(plan.off)}; training {what}", err=True)

    study_at_noise = at_noise(study, label_noise=noise)
    plan = train_until_decided(study_at_noise, store, max_error, train, enough=enough, on_plan=report_plan)
    whole.seconds = time.perf_counter() - clock
    if whole.is_incomplete:
        return whole
    share = _share(study_at_noise, store)
    rows = store.table()
    if noise is not None:
        rows = rows.take(rows["label_noise"] == noise)
    # Dense networks may be enough to see that no member will do; there is nothing to fit then.
    pruned = bool((rows["density"] < 1).any())
    answers = smallest_network(rows, max_error) if pruned else None
    if as_json:
        planned = plan.to_dict()
        print_json(
            {
                "store": str(path),
                "rungs": whole.rungs,
                "seconds": whole.seconds,
                "share": share,
                "decided": plan.decided,
                **{name: planned[name] for name in ("pick", "sure", "confidence", "off")},
                **(answers.to_dict() if answers else {"answers": [], "declined": [], "notes": []}),
            }
        )
        return whole
    choice = f"{plan.pick or 'none'}{f' ({_sure_words(plan)})' if plan.decided else ''}"
    ended = _ended(plan, choice, off_words(plan.off))
    click.echo(f"trained {counted(whole.networks, 'network')} in {spelled(whole.seconds)}: {path}")
    click.echo(wrapped(f"{whole_percent(share)} of the study's training is done; {ended}") + "\n")
    if answers and plan.pick is not None:
        click.echo("the same choice by prunescope choose:\n")
    for answer in answers.answers if answers else ():
        click.echo("\n".join(wrapped(line) for line in answer_lines(answer)))
    for refusal in answers.declined if answers else ():
        note(refusal.why)
    return whole


def _ended(plan: DesignPlan, choice: str, off: str) -> str:
    if plan.decided and plan.pick is None:
        return "no member is expected to meet that error, and more training would hardly change this"
    if plan.decided:
        return f"{choice}: expected regret {off}, and more training would hardly change it"
    return (
        f"{choice}: expected regret {off}, and no training left in the study would reduce it in proportion to its cost"
    )


def _share(study: Study, store: Any) -> float:
    """Return the share of a study's training that is done, in examples seen times prunable weights."""
    from prunescope.choose.counts import Counts
    from prunescope.study.effort import epochs_of

    done, requested, trained = store.done(), 0.0, 0.0
    begun: set[str] = set()
    for ladder in study.ladders:
        cell = ladder.cell
        counting = Counts(cell.family, cell.dataset, {}, study.recipe.prunable, ladder.facts)
        work = counting.count(float(cell.depth), cell.width).prunable * cell.examples
        have = done.get(ladder.identity, frozenset())
        shares = ladder.unpruned in begun  # a rung 0 that counts already
        begun.add(ladder.unpruned)
        for rung in range(int(shares), ladder.rungs):
            expected = work * epochs_of(ladder, rung)
            requested += expected
            trained += expected if rung in have else 0.0
    return trained / requested if requested else 0.0
