"""The command line: the one place that wires rooms together. Each command loads what it needs, when it runs.

Results go to standard output, everything else to standard error. Exit code 0: done; 1: failed; 2: wrong usage or bad
input.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prunescope import __version__
from prunescope.errors import PrunescopeError, listed, nearest

if TYPE_CHECKING:
    from prunescope.spec import Study
    from prunescope.table import Status, Store, Table


class Commands(click.Group):
    """The commands in the order of the work, and the nearest one for a word that is none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands as they were defined."""
        del ctx
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; name the nearest one where there is none."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            hint = nearest(args[0], self.commands) or f"There are {', '.join(self.commands)}."
            raise click.UsageError(f"no command {args[0]!r}. {hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "--version", message="prunescope %(version)s")
def cli() -> None:
    """Measure how networks survive pruning, and keep every measurement in one table.

    A STUDY is a TOML file or the name of a preset; a TABLE is a CSV file, a Parquet file or a store.
    """


def main() -> None:
    """Run the command line; every error that a user can cause is told in words."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as shown:
        shown.show()
        _leave(2)
    except click.ClickException as trouble:
        trouble.show()
        _leave(2)
    except (KeyboardInterrupt, click.Abort):
        click.echo("stopped", err=True)
        _leave(130)
    except BrokenPipeError:
        # The reader of our output has enough, as `head` does: no reason to complain, nor at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _leave(0)
    except PrunescopeError as trouble:
        click.echo(f"prunescope: {trouble}", err=True)
        _leave(trouble.exit_code)
    except OSError as trouble:
        where = f"{trouble.filename}: " if trouble.filename else ""
        click.echo(f"prunescope: {where}{trouble.strerror or trouble}", err=True)
        _leave(1)


def _leave(code: int) -> None:
    sys.exit(code)


# ------------------------------------------------------------------------------------------------ plan


@cli.command()
@click.argument("study", required=False)
@click.option("--store", "store_path", type=click.Path(path_type=Path), help="Store to compare with [runs/NAME].")
@click.option("--ladders", is_flag=True, help="List every ladder with its identity.")
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), help="Write the study file here, to edit it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plan(study: str | None, store_path: Path | None, ladders: bool, save: Path | None, as_json: bool) -> None:
    """Show what a STUDY would train; without one, list the presets."""
    from prunescope.spec import preset_text, presets, read_study

    if study is None:
        studies = {name: read_study(name) for name in presets()}
        if as_json:
            _json([{"name": name, "purpose": each.purpose, "cost": each.cost} for name, each in studies.items()])
            return
        click.echo("Presets; `prunescope plan NAME` shows one, `prunescope plan NAME --save FILE` writes it to edit:\n")
        for name, each in studies.items():
            click.echo(click.style(f"  {name}", bold=True))
            _tell("", f"{each.purpose} {each.cost}")
        return
    read = read_study(study)
    if save is not None:
        if save.exists():
            raise PrunescopeError(f"{save} exists already; name a new file")
        save.write_text(preset_text(study) if study in presets() else Path(study).read_text(), encoding="utf-8")
        click.echo(f"wrote {save}", err=True)
    store = _store_beside(read, store_path)
    if as_json:
        _json(_plan_content(read, store, ladders))
    else:
        _print_plan(read, store, ladders)


def _store_beside(study: Study, path: Path | None) -> Store | None:
    from prunescope.table import Store, is_store

    if path is not None:
        return Store(path)
    usual = Path("runs") / study.slug
    return Store(usual) if is_store(usual) else None


def _plan_content(study: Study, store: Store | None, ladders: bool) -> dict[str, Any]:
    from prunescope.spec import effort

    total = effort(study.ladders)
    content: dict[str, Any] = {
        "study": study.to_mapping(),
        "identity": study.identity,
        "cells": len(study.cells),
        "ladders": len(study.ladders),
        "rungs": total.networks,
        "epochs": total.epochs,
        "steps": total.steps,
        "examples": total.examples,
    }
    if store is not None:
        done = store.done()
        finished = sum(len(done.get(each.identity, frozenset()) & set(range(each.rungs))) for each in study.ladders)
        content["store"] = {
            "path": str(store.path),
            "rungs_done": finished,
            "differences": [[str(difference) for difference in found] for found in _differences(study, store)],
        }
    if ladders:
        content["ladder_list"] = [
            {
                "ladder": each.identity,
                **vars(each.cell),
                "recipe": each.recipe_identity,
                "treatment": each.treatment.label,
                "replicate": each.replicate,
                "rungs": each.rungs,
            }
            for each in study.ladders
        ]
    return content


def _differences(study: Study, store: Store) -> list[tuple[object, ...]]:
    """Compare with the versions of the study that a store holds, nearest first; none where this one is among them."""
    from prunescope.spec import differences

    others = [other for other in store.studies() if other.name == study.name]
    if any(other.identity == study.identity for other in others):
        return []
    return sorted((differences(other, study) for other in others), key=len)


def _print_plan(study: Study, store: Store | None, ladders: bool) -> None:
    content = _plan_content(study, store, ladders)
    recipe = study.recipe
    click.echo(click.style(_safe(study.name), bold=True))
    for title, words in (("purpose", study.purpose), ("expected", study.expected), ("cost", study.cost)):
        if words:
            _tell(title, _safe(words))
    click.echo()
    for position, axes in enumerate(study.axes):
        varied = "; ".join(f"{key} {listed(value, 12)}" for key, value in axes)
        _tell("and" if position else "axes", varied)
    schedule: str = recipe.schedule
    if recipe.milestones:
        schedule = f"x{recipe.factor:g} at epochs {listed(recipe.milestones)}"
    _tell(
        "recipe",
        f"{recipe.epochs} epochs, batch {recipe.batch}, {recipe.optimizer} {recipe.learning_rate:g}, "
        f"momentum {recipe.momentum:g}, decay {recipe.weight_decay:g}, {schedule}, {recipe.precision}",
    )
    _tell(
        "pruning",
        f"{recipe.pruning_fraction:.0%} a rung, {recipe.levels} times, down to a density of "
        f"{(1 - recipe.pruning_fraction) ** recipe.levels:.3g}; back to epoch {recipe.rewind_epoch}; "
        f"prunable: {recipe.prunable}",
    )
    named = [f"{each.label}{_details(each.model_dump(exclude_none=True))}" for each in study.treatments]
    _tell("treatments", "; ".join(named))
    _tell(
        "size",
        f"{content['cells']:,} cells x {len(study.treatments)} treatments x {study.replicates} replicates "
        f"= {content['ladders']:,} ladders = {content['rungs']:,} rungs",
    )
    _tell(
        "training",
        f"{content['epochs']:,} epochs, {content['steps']:,} steps, {content['examples']:,} examples seen",
    )
    if store is None:
        _tell("store", f"none yet (runs/{study.slug})")
    else:
        _print_store(study, store, content)
    if ladders:
        click.echo()
        for each in content["ladder_list"]:
            cell = f"{each['family']} {each['dataset']} l={each['depth']} w={each['width']:g} n={each['examples']}"
            noise = f" noise {each['label_noise']:g}" if each["label_noise"] else ""
            click.echo(
                f"  {each['ladder']}  {cell}{noise}  {each['treatment']}  #{each['replicate']}  {each['rungs']} rungs"
            )


def _tell(title: str, words: str) -> None:
    """Print a line with a title before it, wrapped to the terminal."""
    width = min(120, shutil.get_terminal_size().columns)
    click.echo(textwrap.fill(words, width, initial_indent=f"  {title:12}", subsequent_indent=" " * 14))


def _details(treatment: dict[str, Any]) -> str:
    words = [str(value) for key, value in treatment.items() if key not in ("kind", "name")]
    return f" ({', '.join(words)})" if words else ""


def _print_store(study: Study, store: Store, content: dict[str, Any]) -> None:
    found = content["store"]
    versions = [other for other in store.studies() if other.name == study.name]
    _tell("store", f"{found['path']}: {found['rungs_done']:,} of {content['rungs']:,} rungs are done")
    if not versions:
        _tell("", "this study was not begun there")
    elif found["differences"]:
        click.echo("\n  The store was begun with another version of this study. What differs, store -> now:")
        for difference in found["differences"][0]:
            click.echo(f"    {difference}")
        kept = {ladder.identity for version in versions for ladder in version.ladders}
        now = {ladder.identity for ladder in study.ladders}
        click.echo(
            f"  {len(now & kept):,} ladders are the same and keep their rungs, {len(now - kept):,} are new, "
            f"{len(kept - now):,} of the store are not asked for any more (they stay)."
        )


# ------------------------------------------------------------------------------------------------ table


@cli.command()
@click.argument("source", metavar="TABLE")
@click.option(
    "--where",
    multiple=True,
    help="Condition in SQL, such as 'depth = 20 and density < 0.5'. May be repeated.",
)
@click.option("--columns", help="Columns to show or write, such as depth,density,error.")
@click.option("--out", type=click.Path(path_type=Path), help="Write all rows to FILE: .csv, .parquet or .json.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Rows to show.")
@click.option("--json", "as_json", is_flag=True, help="Print all rows as JSON.")
def table(source: str, where: Sequence[str], columns: str | None, out: Path | None, limit: int, as_json: bool) -> None:
    """Check a TABLE and show or write its rows."""
    from prunescope.table import json_text, read_table, write_table

    rows = read_table(source)
    for note in rows.notes:
        click.echo(f"note: {note}", err=True)
    for condition in where:
        rows = rows.where(condition)
    if columns:
        rows = rows.select([name.strip() for name in columns.split(",") if name.strip()])
    if out is not None:
        write_table(rows, out)
        click.echo(f"wrote {len(rows):,} rows to {out}", err=True)
    elif as_json:
        click.echo(json_text(rows))
    else:
        _print_table(rows, limit)


def _print_table(rows: Table, limit: int) -> None:
    import numpy as np

    from prunescope.table import shown

    click.echo(f"{len(rows):,} rows from {_safe(rows.source)}")
    if not len(rows):
        return
    constant = [name for name in rows.names if len(rows) > 1 and _constant(rows[name])]
    told = [
        f"{name} {shown(value)}"
        for name in constant
        if (value := rows[name].tolist()[0]) is not None and value == value
    ]
    if told:
        click.echo(f"in every row: {_safe(', '.join(told))}")
    varied = [name for name in rows.names if name not in constant] or list(rows.names)
    first = rows.select(varied).take(np.arange(min(limit, len(rows))))
    lines = [[shown(value) for value in row.values()] for row in first.rows()]
    right = [first[name].dtype.kind in "fi" for name in first.names]
    click.echo()
    _print_columns(first.names, lines, right)
    if len(rows) > limit:
        click.echo(f"... and {len(rows) - limit:,} more; --limit N shows more, --out FILE writes all")


def _constant(values: Any) -> bool:  # noqa: ANN401
    first = values[0]
    return bool(all(value != value for value in values) if first != first else (values == first).all())


def _print_columns(names: Sequence[str], lines: Sequence[Sequence[str]], right: Sequence[bool]) -> None:
    """Print columns of text as wide as they need, 32 letters at most."""
    cut = [[_safe(cell if len(cell) <= 32 else f"{cell[:31]}…") for cell in line] for line in (names, *lines)]
    widths = [max(len(line[position]) for line in cut) for position in range(len(names))]
    for line in cut:
        cells = [
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(line, widths, right, strict=True)
        ]
        click.echo("  ".join(cells).rstrip())


def _safe(text: str) -> str:
    """Keep a file's own text from steering the terminal."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


# ------------------------------------------------------------------------------------------------ stores


@cli.command()
@click.argument("store_path", metavar="STORE", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(store_path: Path, as_json: bool) -> None:
    """Tell how far a STORE is: done, running, failed, left."""
    from prunescope.table import Store
    from prunescope.table import status as derive

    found = derive(Store(store_path))
    if as_json:
        _json(_status_content(store_path, found))
        return
    click.echo(f"{store_path}: {found.rungs:,} rungs in {found.shards:,} shards")
    for each in found.studies:
        click.echo(f"\n{click.style(each.study.name, bold=True)}  {each.rungs_done:,} of {each.rungs:,} rungs")
        click.echo(
            f"  ladders: {each.done:,} done, {each.running:,} running, {each.failed:,} failed, {each.left:,} left"
        )
        for failure in each.failures[:10]:
            click.echo(f"  failed: {failure.ladder}, rung {failure.rung}: {_safe(failure.words)}")
    if found.strays:
        click.echo(f"\n{found.strays:,} rungs belong to no study that was begun in this store")


def _status_content(path: Path, found: Status) -> dict[str, Any]:
    return {
        "store": str(path),
        "rungs": found.rungs,
        "strays": found.strays,
        "shards": found.shards,
        "studies": [
            {
                "name": each.study.name,
                "identity": each.study.identity,
                "ladders": each.ladders,
                "rungs": each.rungs,
                "rungs_done": each.rungs_done,
                "done": each.done,
                "running": each.running,
                "failed": each.failed,
                "left": each.left,
                "failures": [vars(failure) for failure in each.failures],
            }
            for each in found.studies
        ],
    }


@cli.command()
@click.argument("stores", metavar="STORE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--into", type=click.Path(path_type=Path), help="Store to gather in, made if new [the first STORE].")
def merge(stores: Sequence[Path], into: Path | None) -> None:
    """Join stores into one.

    Without --into the first STORE takes up the others. Refused, with nothing changed, where two stores hold different
    results for one rung.
    """
    from prunescope.table import Store
    from prunescope.table import merge as join

    if into is None and len(stores) < 2:
        raise click.UsageError("merge needs two stores, or --into DIR")
    sources = [Store(path) for path in stores]
    target = Store(into, create=True) if into is not None else sources.pop(0)
    gained = join(target, sources)
    click.echo(f"{target.path} gained {gained:,} rungs from {len(sources)} store{'' if len(sources) == 1 else 's'}")


@cli.command()
@click.argument("store_path", metavar="STORE", type=click.Path(path_type=Path))
def compact(store_path: Path) -> None:
    """Pack a STORE's many small files into few.

    Running studies do this by themselves; it is safe at any time, also while they run.
    """
    from prunescope.table import Store

    packed = Store(store_path).pack()
    click.echo(f"packed {packed:,} shards into one" if packed else "nothing to pack")


@cli.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("demo"), show_default=True)
def demo(out: Path) -> None:
    """Walk through what prunescope does, on a small table that ships with it."""
    from prunescope.demo import walk

    walk(out, click.echo)


def _json(content: object) -> None:
    click.echo(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))


if __name__ == "__main__":
    main()
