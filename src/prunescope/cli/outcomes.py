"""``prunescope outcomes`` and ``scores``: what finished networks do with each training example; those as rows."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from prunescope.cli.options import JSON, SHARE
from prunescope.cli.printing import note, print_json, print_table
from prunescope.cli.run import need_torch
from prunescope.errors import PrunescopeError, counted, printable

# Networks that did not come out right, in a message.
_MOST_NAMED = 10


@click.command()
@click.argument("store_path", metavar="STORE", type=click.Path(path_type=Path))
@click.option("--noise", type=SHARE, multiple=True, metavar="SHARE", help="A level of label noise [all]. Repeatable.")
@click.option("--treatment", metavar="NAME", help="One treatment, 'imp weights', and its dense networks [all].")
@click.option(
    "--rung", "rungs", type=click.IntRange(0), multiple=True, help="A rung [those that the lens looks at]. Repeatable."
)
@click.option("--data", type=click.Path(path_type=Path), help="Folder with datasets [PRUNESCOPE_DATA, or the cache].")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1: as torch calls it.")
@click.option("--workers", type=click.IntRange(1), help="Processes [as many as train fastest].")
@click.option("--run-code", is_flag=True, help="Run code that the store's studies name.")
@JSON
def outcomes(
    store_path: Path,
    noise: Sequence[float],
    treatment: str | None,
    rungs: Sequence[int],
    data: Path | None,
    device: str,
    workers: int | None,
    run_code: bool,
    as_json: bool,
) -> None:
    """Train again for outcomes on examples that a STORE lacks.

    Finished networks whose outcomes were not kept are trained again, from the nearest checkpoint below. Each must come
    out equal to its row, or to rounding where another processor or cohort adds up in another order. Its outcomes
    are kept then; rows never change.

    Exit code 0: the store has all of them now. 1: some networks came out different, or failed.
    """
    need_torch()
    from prunescope.cli.progress import ProgressDisplay
    from prunescope.lens import lacking_outcomes
    from prunescope.run.outcomes import Agreement, make_outcomes
    from prunescope.run.task_runner import hold_memory
    from prunescope.study.import_path import import_paths, search_folders
    from prunescope.table import Store

    store = Store(store_path)
    recorded = store.recorded()
    networks = lacking_outcomes(store, noise=noise, treatment=treatment, rungs=rungs)
    lacking = [network for network in networks if network[0] not in recorded]
    if len(lacking) < len(networks):
        whose = counted(len(networks) - len(lacking), "network")
        note(f"{whose} from a training loop of your own left out: that loop makes them")
    if run_code:
        search_folders([path for study in store.studies() for path in import_paths(study)], [Path.cwd()])
    if lacking:
        note(f"training {counted(len(lacking), 'network')} again")
    hold_memory()
    try:
        with ProgressDisplay("training again") as progress:
            made = make_outcomes(
                store,
                lacking,
                data=data,
                device=device,
                workers=workers,
                run_code=run_code,
                on_event=progress.tell,
            )
    except KeyboardInterrupt:
        click.echo("stopped; the same command makes the rest", err=True)
        sys.exit(130)
    numbers = Counter(outcome.agreement for outcome in made)
    if as_json:
        entries = [
            {
                "ladder": outcome.ladder,
                "rung": outcome.rung,
                "agreement": outcome.agreement,
                "kept": outcome.kept,
                "differences": {name: list(values) for name, values in outcome.differences.items()},
                "why": outcome.why,
            }
            for outcome in made
        ]
        print_json({"store": str(store_path), "networks": entries})
    elif not lacking:
        click.echo(f"no outcomes are lacking: {store_path}")
    elif any(outcome.kept for outcome in made):
        kept = numbers[Agreement.EQUAL] + numbers[Agreement.ROUNDING]
        rounded = f", {numbers[Agreement.ROUNDING]:,} of them equal to rounding" if numbers[Agreement.ROUNDING] else ""
        click.echo(f"kept the outcomes of {counted(kept, 'network')}, equal to their rows{rounded}: {store_path}")
    wrong = [outcome for outcome in made if not outcome.kept]
    if wrong:
        lines = [f"{counted(len(wrong), 'network')} without outcomes:"]
        lines += [printable(f"  {outcome.words}") for outcome in wrong[:_MOST_NAMED]]
        if len(wrong) > _MOST_NAMED:
            lines.append(f"  and {len(wrong) - _MOST_NAMED:,} more; --json lists all")
        raise PrunescopeError("\n".join(lines))


# Rows that are shown where no file is named.
SHOWN = 20


@click.command()
@click.argument("source", metavar="STORE")
@click.option("-o", "--out", metavar="FILE", help="Write all rows: .parquet, .csv or .json.")
@click.option("--noise", type=SHARE, multiple=True, metavar="SHARE", help="A level of label noise. Repeatable.")
@click.option("--treatment", metavar="NAME", help="The treatment whose sparse networks are taken, 'imp weights'.")
@click.option("--rung", type=click.IntRange(1), help="The sparse rung [the optimal one].")
@click.option("--density", type=SHARE, help="The same, by the nearest density.")
@JSON
def scores(source: str, out: str | None, as_json: bool, **question: Any) -> None:
    """Write scores and losses of training examples.

    One row for each example and replicate: EL2N, training loss in the dense and the sparse network, and how suspicious
    its label is. Without a file, the most suspicious labels are shown. The study must keep outcomes on examples.
    """
    import numpy as np

    from prunescope.lens import example_scores
    from prunescope.table import json_parts, write_table

    rows = example_scores(source, **question)
    if out is not None:
        write_table(rows, out)
        note(f"wrote {counted(len(rows), 'row')} to {out}")
    elif as_json:
        for text in (*json_parts(rows), "\n"):
            click.echo(text, nl=False)
    else:
        order = np.lexsort((rows["index"], -rows["suspicion"]))[:SHOWN]
        varied = [name for name in rows.names if len(set(rows[name].tolist())) > 1]
        click.echo(printable(f"the most suspicious of {counted(len(rows), 'label')}; -o FILE writes all"))
        print_table(rows.select(varied).take(order).columns)
