"""``prunescope status``, ``merge`` and ``compact``: commands on stores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prunescope.cli.printing import note, print_json, wrapped
from prunescope.cli.resolve import conflict_content, conflict_lines
from prunescope.errors import command, counted, listed, printable

if TYPE_CHECKING:
    from prunescope.table import Status
    from prunescope.table.status import RecordedProgress, Scores


_MOST_RECORDED = 50


@click.command()
@click.argument("store_path", metavar="STORE", type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Also read every checkpoint and outcome, and name damaged ones.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(store_path: Path, check: bool, as_json: bool) -> None:
    """Show what a STORE has done, is running, and has left."""
    from prunescope.table import Store, conflicts
    from prunescope.table import status as derive

    store = Store(store_path)
    progress, disputed = derive(store), conflicts(store)
    damaged = store.damaged_files() if check else ()
    if as_json:
        content = _status_content(store_path, progress) | {"conflicts": [conflict_content(pair) for pair in disputed]}
        print_json(content | {"damaged": [str(path) for path in damaged]} if check else content)
        return
    click.echo(f"{store_path}: {counted(progress.rungs, 'rung')} in {counted(progress.shards, 'shard')}")
    names = [state.study.name for state in progress.studies]
    for state in progress.studies:
        version = f" (version {state.study.identity[:8]})" if names.count(state.study.name) > 1 else ""
        title = click.style(printable(state.study.name) + version, bold=True)
        click.echo(f"\n{title}  {state.rungs_done:,} of {state.rungs:,} rungs")
        click.echo(
            f"  ladders: {state.done:,} done, {state.running:,} running, {state.failed:,} failed, {state.left:,} left"
        )
        if state.scores is not None:
            words = state.scores
            click.echo(
                f"  EL2N scores: {words.done:,} of {words.ensembles:,} ensembles done, {words.running:,} running, "
                f"{words.failed:,} failed, {words.left:,} left"
            )
        for failure in (
            *state.failures[:10],
            *(state.scores.failures[:10] if state.scores else ()),
        ):
            click.echo(f"  failed: {failure.ladder}, rung {failure.rung}: {printable(failure.words)}")
    _show_recorded(progress.recorded)
    if progress.strays:
        click.echo(f"\n{counted(progress.strays, 'rung')} of studies that this store does not hold")
    if disputed:
        title = f"{counted(len(disputed), 'second result')} that {'does' if len(disputed) == 1 else 'do'} not count"
        click.echo(f"\n{click.style(title, bold=True)}  {command('resolve', store_path)} picks")
        for pair in disputed[:10]:
            click.echo("\n".join(conflict_lines(pair)))
        if len(disputed) > 10:
            click.echo(f"  ... and {len(disputed) - 10:,} more")
    if check:
        click.echo(f"\n{counted(len(damaged), 'damaged file')}")
        for path in damaged:
            click.echo(printable(f"  damaged: {path}"))
    if damaged:
        click.echo(
            wrapped(
                "Finished rungs keep their rows and are not trained again. export and leave-out ladders need the files "
                "in checkpoints, lens those in examples: restore these files from a copy. Ladders that are not "
                "finished are trained again from their last sound rung when the study runs."
            )
        )


def _show_recorded(recorded: Sequence[RecordedProgress]) -> None:
    """Print the ladders that were recorded from loops of the user's own."""
    if not recorded:
        return
    rungs, done = sum(progress.note.ladder.rungs for progress in recorded), sum(p.rungs_done for p in recorded)
    click.echo(f"\n{click.style('recorded from loops of your own', bold=True)}  {done:,} of {rungs:,} rungs")
    for progress in recorded[:_MOST_RECORDED]:
        ladder = progress.note.ladder
        counts = f"{progress.rungs_done} of {ladder.rungs} rungs, {progress.state}"
        words = f"{ladder.identity[:8]}  {ladder.words}, {ladder.treatment}: {counts}, by {ladder.source}"
        click.echo(f"  {printable(words)}")
        if progress.note.left_alone:
            reasons = [f"{name} ({why})" for name, why in progress.note.left_alone.items()]
            click.echo(f"    not pruned: {printable(listed(reasons, 6))}")
        if progress.failure is not None:
            click.echo(f"    failed at rung {progress.failure.rung}: {printable(progress.failure.words)}")
    if len(recorded) > _MOST_RECORDED:
        click.echo(f"  ... and {counted(len(recorded) - _MOST_RECORDED, 'ladder')} more")


def _scores_content(scores: Scores | None) -> dict[str, Any] | None:
    if scores is None:
        return None
    return {**vars(scores), "failures": [vars(failure) for failure in scores.failures]}


def _status_content(path: Path, progress: Status) -> dict[str, Any]:
    return {
        "store": str(path),
        "rungs": progress.rungs,
        "strays": progress.strays,
        "shards": progress.shards,
        "recorded": [
            {
                "ladder": recorded.note.ladder.identity,
                **recorded.note.ladder.model_dump(mode="json"),
                "left_alone": recorded.note.left_alone,
                "rungs": recorded.note.ladder.rungs,
                "rungs_done": recorded.rungs_done,
                "state": recorded.state,
                "failure": vars(recorded.failure) if recorded.failure else None,
            }
            for recorded in progress.recorded
        ],
        "studies": [
            {
                "name": state.study.name,
                "identity": state.study.identity,
                "ladders": state.ladders,
                "rungs": state.rungs,
                "rungs_done": state.rungs_done,
                "done": state.done,
                "running": state.running,
                "failed": state.failed,
                "left": state.left,
                "failures": [vars(failure) for failure in state.failures],
                "el2n": _scores_content(state.scores),
            }
            for state in progress.studies
        ],
    }


@click.command()
@click.argument("stores", metavar="STORE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--into", type=click.Path(path_type=Path), help="Store to merge into, created if new [the first STORE].")
def merge(stores: Sequence[Path], into: Path | None) -> None:
    """Merge stores into one.

    Without --into, the others are merged into the first STORE. If two stores hold different results for one rung, the
    first stays and the second is set aside; resolve picks.
    """
    from prunescope.table import Store, check_rows, conflicts
    from prunescope.table import merge as join

    if into is None and len(stores) < 2:
        raise click.UsageError("merge needs two stores, or --into")
    sources = [Store(path) for path in stores]
    check_rows(sources)  # before a new store is made
    target = Store(into, create=True) if into is not None else sources.pop(0)
    gained = join(target, sources)
    click.echo(f"{target.path} gained {counted(gained, 'rung')} from {counted(len(sources), 'store')}")
    if disputed := len(conflicts(target)):
        several = disputed != 1
        words = f"{counted(disputed, 'second result')} {'do' if several else 'does'} not count"
        note(f"{words}: {command('resolve', target.path)} shows {'them' if several else 'it'}, and picks")


@click.command()
@click.argument("store_path", metavar="STORE", type=click.Path(path_type=Path))
def compact(store_path: Path) -> None:
    """Pack the small files of a STORE into a few large ones.

    Runs do this by themselves. It is safe at any time, also during a run.
    """
    from prunescope.table import Store

    packed = Store(store_path).pack()
    click.echo(f"packed {packed:,} shards into one" if packed else "nothing to pack, or another process is packing")
