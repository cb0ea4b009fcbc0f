"""The commands, and what happens to errors.

Results go to standard output, everything else to standard error. Exit code 0: done; 1: failed; 2: wrong usage or bad
input.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from prunescope.cli.choose import choose
from prunescope.cli.cluster import cluster, submit
from prunescope.cli.data import data
from prunescope.cli.export import export
from prunescope.cli.laws import fit, predict, sparsity
from prunescope.cli.lens import lens
from prunescope.cli.next import next_
from prunescope.cli.outcomes import outcomes, scores
from prunescope.cli.plan import plan
from prunescope.cli.report import report
from prunescope.cli.run import need_torch, run
from prunescope.cli.stores import compact, merge, pull, push, resolve, status
from prunescope.cli.table import table
from prunescope.cli.trials import compare, sensitivity
from prunescope.errors import PrunescopeError, is_out_of_memory, nearest, printable, said
from prunescope.version import __version__


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
@click.version_option(__version__, "-V", "--version", message="prunescope %(version)s")
def cli() -> None:
    """Train families of pruned networks, fit laws to them, choose the smallest.

    A STUDY is a TOML file or the name of a preset; a TABLE is a CSV file, a Parquet file, a store, - for standard
    input, or the name of a table that comes with prunescope. Exit code 0: done; 1: failed; 2: wrong usage or bad
    input; 75: a run that ended early in good order; 130: stopped by Ctrl-C.
    """


def main() -> None:
    """Run the command line; print errors that a user can cause as plain sentences."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as shown:
        shown.show()
        _leave(2)
    except click.ClickException as trouble:
        trouble.show()
        _leave(2)
    except (KeyboardInterrupt, click.Abort):
        _stopped()
    except RuntimeError as trouble:
        if is_out_of_memory(trouble):
            click.echo(f"prunescope: {said(trouble)}", err=True)
            _leave(1)
        if "interrupted" not in str(trouble).lower():  # as DuckDB says that it was Ctrl-C
            raise
        _stopped()
    except BrokenPipeError:
        # The reader of our output has enough, as `head` does: no reason to complain, nor at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _leave(0)
    except PrunescopeError as trouble:
        click.echo("\n".join(map(printable, f"prunescope: {trouble}".split("\n"))), err=True)
        _leave(trouble.exit_code)
    except MemoryError as trouble:
        click.echo(f"prunescope: {said(trouble)}", err=True)
        _leave(1)
    except OSError as trouble:
        where = f"{trouble.filename}: " if trouble.filename else ""
        click.echo(f"prunescope: {where}{trouble.strerror or trouble}", err=True)
        _leave(1)


def _stopped() -> None:
    click.echo("stopped", err=True)
    _leave(130)


def _leave(code: int) -> None:
    sys.exit(code)


@click.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("demo"), show_default=True)
def demo(out: Path) -> None:
    """Walk through everything on bundled data.

    Trains two studies, fits laws, chooses a network, explains pruning's effect and writes the page: about two minutes
    on two cores.
    """
    need_torch()
    from prunescope.cli.progress import showing
    from prunescope.demo import walk
    from prunescope.report.writing import need_drawing

    need_drawing()
    walk(out, click.echo, showing)


for command in (
    plan, data, run, submit, cluster, table, status, merge, resolve, compact, push, pull, fit, predict, compare,
    sensitivity, sparsity, choose, next_, lens, scores, outcomes, report, export, demo,
):  # fmt: skip
    cli.add_command(command)
