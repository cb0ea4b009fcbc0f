"""``prunescope run --until-decided``: train, refit and decide, until more training would not change the answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prunescope.cli.printing import note, print_json, spelled, wrapped
from prunescope.errors import counted

if TYPE_CHECKING:
    from prunescope.design.recommendation import DesignPlan
    from prunescope.run import RunReport
    from prunescope.study import Ladder, Study


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
    from prunescope.cli.next import off_words, sure_words
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
    choice = f"{plan.pick or 'none'}{f' ({sure_words(plan)})' if plan.decided else ''}"
    ended = _ended(plan, choice, off_words(plan.off))
    click.echo(f"trained {counted(whole.networks, 'network')} in {spelled(whole.seconds)}: {path}")
    click.echo(wrapped(f"{share:.0%} of the study's training is done; {ended}") + "\n")
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
