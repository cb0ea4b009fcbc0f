"""``prunescope cluster``: what a Dask cluster needs before it is started."""

from __future__ import annotations

from pathlib import Path

import click

from prunescope.errors import shell_word


@click.group()
def cluster() -> None:
    """Prepare a Dask cluster."""


@cluster.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--days", type=click.IntRange(1), default=365, show_default=True, help="How long they are valid.")
def certificates(folder: Path, days: int) -> None:
    """Make a certificate and its key for a cluster.

    Scheduler, workers and runs encrypt what they say, and let in only who has the key. Whoever has it may run any code
    on all of them: keep DIR where only you can read it, on every machine under the same path.
    """
    from prunescope.run.certificates import make_certificates

    certificate, key = make_certificates(folder.absolute(), days)
    files = f"--tls-ca-file {shell_word(certificate)} --tls-cert {shell_word(certificate)} --tls-key {shell_word(key)}"
    click.echo(f"wrote {certificate} and {key}")
    click.echo(f"next: dask scheduler --protocol tls --host ADDRESS {files}", err=True)
    click.echo(f"      dask worker tls://ADDRESS:8786 --nthreads 1 --host ADDRESS {files}", err=True)
    click.echo(f"      prunescope run STUDY --cluster tls://ADDRESS:8786 --certificates {shell_word(folder)}", err=True)
