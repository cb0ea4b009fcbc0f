"""Commands on stores: ``prunescope status``, ``merge``, ``resolve``, ``compact``, ``push`` and ``pull``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from prunescope.cli.printing import note, print_json, spelled_bytes, wrapped
from prunescope.errors import DamageError, Fault, InputError, command, counted, listed, printable

if TYPE_CHECKING:
    from prunescope.table import Conflict, Status
    from prunescope.table.remote import Transfer
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
            click.echo("\n".join(_conflict_lines(pair)))
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


@click.command()
@click.argument("store_path", metavar="STORE", type=click.Path(path_type=Path))
@click.option("--keep", type=click.Choice(["first", "second"]), help="Which result is to count from now on.")
@click.option("--ladder", metavar="ID", help="Only this ladder: its identity, or how it begins.")
@click.option("--rung", type=click.IntRange(0), help="Only this rung.")
@click.option("--go", is_flag=True, help="Do it; without, say what would be done.")
@click.option("--json", "as_json", is_flag=True, help="Print the second results as JSON.")
def resolve(
    store_path: Path,
    keep: Literal["first", "second"] | None,
    ladder: str | None,
    rung: int | None,
    go: bool,
    as_json: bool,
) -> None:
    """Pick between two results that a STORE has for one rung.

    Until you pick, the first result counts: it was there when the second came. What is not picked goes to
    conflicts/settled/. Checkpoints and outcomes on examples stay as they are; those of a second result lie under
    conflicts/ too.
    """
    from prunescope.table import Store, conflicts
    from prunescope.table import resolve as settle

    store = Store(store_path)
    every = conflicts(store)
    pairs = [pair for pair in every if pair.ladder.startswith(ladder or "") and rung in (None, pair.rung)]
    if every and not pairs:
        fault = Fault("--ladder and --rung", "must name a rung with a second result", hint=f"There are {len(every)}.")
        raise InputError(str(store_path), [fault])
    if go and keep is None:
        raise click.UsageError("--go needs --keep first or --keep second")
    if as_json:
        print_json([conflict_content(pair) for pair in pairs])
    elif not pairs:
        click.echo(f"no rung has a second result: {store_path}")
    for pair in () if as_json else pairs:
        click.echo("\n".join(_conflict_lines(pair)))
    if keep and go:
        for pair in pairs:
            settle(store, pair, keep)
        click.echo(f"kept the {keep} result of {counted(len(pairs), 'rung')}", err=as_json)
    elif keep and pairs:
        click.echo(f"would keep the {keep} result of {counted(len(pairs), 'rung')}; --go does it", err=True)
    elif pairs:
        words = command("resolve", store_path, "--keep", "first", "--go")
        click.echo(f"next: {words}; --keep second lets the others count", err=True)


def _conflict_lines(conflict: Conflict) -> Iterator[str]:
    """Yield what tells two results of a rung apart."""
    size = "in more than numbers" if math.isinf(conflict.largest) else f"by up to {100 * conflict.largest:.2g} %"
    rounding = "; that is rounding, as between devices" if conflict.is_rounding else ""
    yield f"  ladder {conflict.ladder}, rung {conflict.rung}: two results that differ {size}{rounding}"
    for which, row, writer in (("first", conflict.first, ""), ("second", conflict.second, conflict.writer)):
        shown = ", ".join(f"{name} {row[name]}" for name in list(conflict.differences)[:4])
        made = [f"{name} {row[name]}" for name in ("device", "started") if row.get(name) is not None]
        yield printable(f"    {which:6}  {shown}  ({', '.join([*made, *([writer] if writer else [])])})")


def conflict_content(conflict: Conflict) -> dict[str, Any]:
    """Return two results of a rung as plain content."""
    return {
        "ladder": conflict.ladder,
        "rung": conflict.rung,
        "differences": {name: list(values) for name, values in conflict.differences.items()},
        "largest": None if math.isinf(conflict.largest) else conflict.largest,
        "is_rounding": conflict.is_rounding,
        "writer": conflict.writer,
        "path": str(conflict.path) if conflict.path else None,
        "first": dict(conflict.first),
        "second": dict(conflict.second),
    }


@click.command()
@click.argument("store_path", metavar="STORE", type=click.Path(path_type=Path))
@click.argument("url")
def push(store_path: Path, url: str) -> None:
    """Copy what is new in a STORE to a URL.

    The URL is one that fsspec knows, such as s3://bucket/digits, gs://... or a folder. Only files that are missing
    there travel, and nothing there is overwritten. Safe at any time, also during a run, and from several machines.
    """
    from prunescope.table import Store
    from prunescope.table.remote import Remote
    from prunescope.table.remote import push as send

    _tell("pushed", send(Store(store_path), Remote(url)), url)


@click.command()
@click.argument("store_path", metavar="STORE", type=click.Path(path_type=Path))
@click.argument("url")
def pull(store_path: Path, url: str) -> None:
    """Fetch what is new at a URL into a STORE.

    The STORE is created if it is new. Each file is checked against the hash in its name, and merged as prunescope merge
    does.
    """
    from prunescope.table import Store
    from prunescope.table.remote import Remote
    from prunescope.table.remote import pull as fetch

    done = fetch(Store(store_path, create=True), Remote(url))
    _tell("pulled", done, url)
    if done.rungs:
        click.echo(f"{store_path} gained {counted(done.rungs, 'rung')}")
    if done.damaged:
        raise DamageError(
            f"{counted(len(done.damaged), 'file')} at {url} are not what was written: {listed(done.damaged, 5)}"
        )


def _tell(verb: str, done: Transfer, url: str) -> None:
    size = f", {spelled_bytes(done.size)}" if done.files else ""
    click.echo(f"{verb} {counted(done.files, 'file')}{size}; {done.there:,} were there already: {printable(url)}")
