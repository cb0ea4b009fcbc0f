"""``prunescope resolve``: pick one of two results that a store has for one rung."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from prunescope.cli.printing import print_json
from prunescope.errors import Fault, InputError, command, counted, printable

if TYPE_CHECKING:
    from prunescope.table import Conflict


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

    The first result counts, whatever is picked later: it was there when the second came. What is not picked goes to
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
        click.echo("\n".join(conflict_lines(pair)))
    if keep and go:
        for pair in pairs:
            settle(store, pair, keep)
        click.echo(f"kept the {keep} result of {counted(len(pairs), 'rung')}", err=as_json)
    elif keep and pairs:
        click.echo(f"would keep the {keep} result of {counted(len(pairs), 'rung')}; --go does it", err=True)
    elif pairs:
        words = command("resolve", store_path, "--keep", "first", "--go")
        click.echo(f"next: {words}; --keep second lets the others count", err=True)


def conflict_lines(conflict: Conflict) -> Iterator[str]:
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
