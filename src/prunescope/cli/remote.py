"""``prunescope push`` and ``pull``: a store's files in storage elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from prunescope.cli.printing import spelled_bytes
from prunescope.errors import DamageError, counted, listed, printable

if TYPE_CHECKING:
    from prunescope.table.remote import Transfer


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
