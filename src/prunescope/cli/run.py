"""``prunescope run``: train a study, with progress, and say at the end what failed.

``--until-decided`` stands in `until_decided`. ``--until-turned`` goes on to sparser networks until the validation error
shows where the optimum is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prunescope.cli.options import DURATION, SHARE
from prunescope.cli.printing import code_words, note, print_json, spelled
from prunescope.cli.stopping import TERMINATED, Terminated, stopping
from prunescope.errors import MissingPackageError, PrunescopeError, command, counted, listed, printable, whole_percent

if TYPE_CHECKING:
    from prunescope.run import RunReport
    from prunescope.run.until_turned import CellEnd, TurnedRun
    from prunescope.study import Ladder, Study

MOST_REASONS = 10  # of failure, in a message
_FOR_THE_LENS = ("extended", "narrow", "leave-out")


@click.command()
@click.argument("study")
@click.option("--store", "store_path", type=click.Path(path_type=Path), help="Where rows go [runs/NAME].")
@click.option("--data", type=click.Path(path_type=Path), help="Folder with datasets [PRUNESCOPE_DATA, or the cache].")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1: as torch calls it.")
@click.option("--workers", type=click.IntRange(1), help="Processes [as many as train fastest].")
@click.option(
    "--data-parallel",
    type=click.IntRange(1),
    metavar="N",
    help="Train each network by N processes that share its batches, on the GPUs or the cores of --device.",
)
@click.option("--copies", type=click.IntRange(1), help="How many runs share the store: each trains what is free.")
@click.option(
    "--stop-after", type=DURATION, metavar="TIME", help="Begin no rung after this time, such as 3h30m; exit code 75."
)
@click.option(
    "--takeover-after",
    type=DURATION,
    default="60s",
    show_default=True,
    metavar="TIME",
    help="Let others take over after this time without a sign of life of this run, at most 1h.",
)
@click.option("--cluster", metavar="WHERE", help="Train on a Dask cluster: address, scheduler file or FILE.toml.")
@click.option(
    "--certificates", type=click.Path(path_type=Path), help="Folder of `cluster certificates`, for a tls:// address."
)
@click.option(
    "--upload", multiple=True, type=click.Path(path_type=Path), help="Give each worker of the cluster this module."
)
@click.option("--push", "push_url", metavar="URL", help="After each cohort, copy what is new to a store elsewhere.")
@click.option(
    "--checkpoint-every",
    type=DURATION,
    default="15m",
    show_default=True,
    metavar="TIME",
    help="Save a rung under way this often: a kill costs no more than that.",
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first ladder that fails.")
@click.option("--keep-weights", is_flag=True, help="Keep the surviving weights of every rung.")
@click.option(
    "--keep-examples", is_flag=True, help="Keep loss and correctness on every training example, of every rung."
)
@click.option("--keep-test-examples", is_flag=True, help="Keep correctness on every test example, of every rung.")
@click.option(
    "--until-decided",
    type=SHARE,
    metavar="K",
    help="Train adaptively until the smallest network with error <= K is known.",
)
@click.option(
    "--enough",
    type=SHARE,
    default=0.05,
    show_default=True,
    help="With --until-decided: stop when the expected regret falls below this.",
)
@click.option("--noise", type=SHARE, metavar="SHARE", help="With --until-decided: label noise of that network.")
@click.option(
    "--until-turned",
    type=click.IntRange(1),
    metavar="N",
    help="Prune on until N rungs in a row have no lower validation error than the optimal one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def run(
    study: str,
    store_path: Path | None,
    data: Path | None,
    device: str,
    workers: int | None,
    data_parallel: int | None,
    copies: int | None,
    stop_after: float | None,
    takeover_after: float,
    cluster: str | None,
    certificates: Path | None,
    upload: tuple[Path, ...],
    push_url: str | None,
    checkpoint_every: float,
    fail_fast: bool,
    keep_weights: bool,
    keep_examples: bool,
    keep_test_examples: bool,
    until_decided: float | None,
    enough: float,
    noise: float | None,
    until_turned: int | None,
    as_json: bool,
) -> None:
    """Train what a STUDY still needs.

    Each rung is written to disk when it finishes. After Ctrl-C, a crash or a change of levels, run the same command
    again: it continues where it stopped. Any number of runs, on any machines, may share a store (--copies).

    Exit code 0: the whole study is trained (with --copies: or others train the rest). 1: ladders failed, or without
    --copies another run is training some of them. 75: stopped by
    --stop-after or SIGTERM after the rungs in training; those with more than five minutes to go are kept as they are. A
    second SIGTERM stops at once, as Ctrl-C does.
    """
    from prunescope.study import read_study

    if until_decided is not None and until_turned is not None:
        raise click.UsageError("--until-decided and --until-turned exclude each other")
    if cluster is None and (certificates or upload):
        raise click.UsageError("--certificates and --upload need --cluster")
    if cluster is not None and (workers or copies):
        raise click.UsageError("--cluster brings its own workers: leave --workers and --copies out")
    if data_parallel and (cluster is not None or workers):
        raise click.UsageError("--data-parallel brings its own processes: leave --workers and --cluster out")
    rank = _torchrun_rank()
    if rank is not None and (until_decided is not None or until_turned is not None):
        raise click.UsageError(
            "under torchrun leave --until-decided and --until-turned out; --data-parallel takes them"
        )
    placed = None
    if cluster is not None:
        from prunescope.run.cluster import Cluster

        placed = Cluster(cluster, certificates=certificates, upload=upload)
    read = read_study(study)
    paths = allow_code(read, study)
    if paths:
        note(code_words(paths))
    from prunescope.data import read_datasets

    read, datasets = read_datasets(read, data, everything=True)
    path = store_path or Path("runs") / read.folder
    from prunescope.cli.progress import ProgressDisplay
    from prunescope.run import run_study
    from prunescope.run.stopping import HALTED
    from prunescope.run.task_runner import hold_memory

    hold_memory()
    options: dict[str, Any] = {
        "data": data,
        "device": device,
        "workers": workers,
        "fail_fast": fail_fast,
        "keep_weights": keep_weights,
        "keep_examples": keep_examples,
        "keep_test_examples": keep_test_examples,
        "datasets": datasets,
        "takeover_after": takeover_after,
        "checkpoint_every": checkpoint_every,
        "copies": copies or 1,
        "data_parallel": data_parallel or 1,
    }
    ends: dict[str, Any] = {}
    try:
        with stopping(stop_after) as stop, ExitStack() as open_until_done:
            if placed is not None:
                options["cluster"] = open_until_done.enter_context(placed)
            if push_url is not None and not rank:
                from prunescope.table.remote import Pushing

                options["after_cohort"] = open_until_done.enter_context(Pushing(path, push_url)).begin
            if until_decided is not None:
                from prunescope.cli.next import decide

                report = decide(read, path, until_decided, enough, noise, as_json, stop=stop, **options)
            elif until_turned is not None:
                turned = _turn(read, path, until_turned, stop=stop, **options)
                read, report, ends = turned.study, turned.report, {"cells": [_end_content(end) for end in turned.cells]}
            else:
                with ProgressDisplay(read.name) as progress:
                    report = run_study(read, path, on_event=progress.tell, stop=stop, **options)
    except (KeyboardInterrupt, Terminated) as signalled:
        click.echo("stopped; the same command continues from here", err=True)
        sys.exit(TERMINATED if isinstance(signalled, Terminated) else 130)
    if (until_decided is not None and not report.is_incomplete) or rank:
        return
    if as_json:
        failures = [
            {"ladder": failure.ladder, "rung": failure.rung, "reason": failure.reason} for failure in report.failures
        ]
        print_json(
            {
                "store": str(path),
                "rungs": report.rungs,
                "networks": report.networks,
                "scored": report.scored,
                "failures": failures,
                "elsewhere": report.elsewhere,
                "halted": report.halted,
                "unwritable": report.unwritable,
                "lost": report.lost,
                "seconds": report.seconds,
                "waited": report.waited,
                **ends,
            }
        )
    else:
        _print(report, path, read)
        for end in ends.get("cells", ()):
            click.echo(printable(_end_words(end)))
    elsewhere = [] if copies or report.halted else _elsewhere(report)
    ended = [words for words in (report.unwritable, report.lost) if words]
    if lines := [*_failed(report), *([] if report.lost else elsewhere), *ended]:
        raise PrunescopeError("\n".join(lines))
    if report.halted:
        begun = "" if report.rungs or report.scored else " before a rung was begun"
        click.echo(f"stopped in good order{begun}; the same command continues from here", err=True)
        sys.exit(HALTED)


def _torchrun_rank() -> int | None:
    """Return the number of this process among those that torchrun has started; None where it has not, or it alone."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:  # asked first, since the room loads torch
        return None
    from prunescope.run.torchrun import torchrun_place

    place = torchrun_place()
    return None if place is None else place.rank


def allow_code(study: Study, source: str) -> tuple[str, ...]:
    """Return the import paths that a study names; they are searched beside its file, then in the current folder."""
    from prunescope.study.import_path import import_paths, search_folders

    need_torch()
    paths = import_paths(study)
    search_folders(paths, [*([Path(source).parent] if Path(source).is_file() else []), Path.cwd()])
    return paths


def need_torch() -> None:
    """Say what to install where torch is missing."""
    if find_spec("torch") is None:
        raise MissingPackageError("training needs torch: pip install 'prunescope[train]'")


def _print(report: RunReport, path: Path, study: Study) -> None:
    from prunescope.cli.progress import WAITED

    if report.scored:
        whose = counted(report.scored, "replicate of a cell", "replicates of cells")
        click.echo(f"scored the training examples of {whose}: {path}")
    if not report.rungs:
        if report.scored:
            return
        if report.failures or report.unwritable or report.lost or report.halted:
            return
        words = "everything is done already" if not report.elsewhere else "nothing was left for this run"
        click.echo(f"{words}: {path}")
    else:
        whose = f" for {counted(report.rungs, 'rung')}" if report.networks < report.rungs else ""
        waited = f", {whole_percent(report.waited)} of it waiting for pictures" if report.waited >= WAITED else ""
        click.echo(f"trained {counted(report.networks, 'network')}{whose} in {spelled(report.seconds)}{waited}: {path}")
    if report.rungs and not report.unwritable:
        click.echo(f"next: {'; '.join(next_commands(study, path))}", err=True)


def next_commands(study: Study, path: Path) -> Iterator[str]:
    """Name the commands that are of use for what a study trained."""
    from prunescope.study.sections import PRUNING

    yield command("table", path)
    pruned = {ladder.cell for ladder in study.ladders if ladder.treatment.kind in PRUNING and ladder.rungs > 1}
    families = {(cell.family, cell.dataset, cell.examples, cell.label_noise) for cell in pruned}
    looked = (
        study.el2n is not None
        or study.keep_examples != "none"
        or any(cell.label_noise for cell in study.cells)
        or any(treatment.kind in _FOR_THE_LENS for treatment in study.treatments)
    )
    if len(pruned) > len(families):  # one of them has several sizes
        yield command("fit", path, "--law", "joint")
    elif pruned and not looked:
        yield command("fit", path, "--law", "single")
    if pruned and looked:
        yield command("lens", path)


def _failed(report: RunReport) -> list[str]:
    """Say what failed and why, grouped by reason."""
    if not report.failures:
        return []
    reasons: dict[str, list[str]] = {}
    for failure in report.failures:
        reasons.setdefault(failure.reason, []).append(f"{failure.words}, rung {failure.rung}")
    failed = len(report.failures)
    none_trained = report.unwritable or failed + report.elsewhere >= report.ladders
    others = "" if none_trained else "; all others are trained"
    stopped = ", and the run was stopped" if report.stopped else others
    lines = [f"{failed:,} of {counted(report.ladders, 'ladder')} failed{stopped}:"]
    for reason, which in list(reasons.items())[:MOST_REASONS]:
        more = f" and {len(which) - 1} more" if len(which) > 1 else ""
        lines.append(f"  {printable(which[0])}{more}: {printable(reason)}")
    if len(reasons) > MOST_REASONS:
        lines.append(f"  and {len(reasons) - MOST_REASONS} other reasons: prunescope status lists them")
    lines.append("  The same command tries them again.")
    return lines


def _elsewhere(report: RunReport) -> list[str]:
    """Say what another run is training."""
    if not report.elsewhere:
        return []
    verb = "is" if report.elsewhere == 1 else "are"
    words = f"{counted(report.elsewhere, 'ladder')} {verb} being trained by another run"
    return [f"{words}; when it has ended, the same command trains the rest"]


def _turn(study: Study, path: Path, rungs: int, **options: Any) -> TurnedRun:
    """Train until the validation error of pruning has turned in every cell.

    Parameters
    ----------
    **options
        Of `run_study`.
    """
    from prunescope.cli.progress import ProgressDisplay
    from prunescope.run import run_study
    from prunescope.run.until_turned import train_until_turned

    def train(part: Study, ladders: Sequence[Ladder] | None) -> RunReport:
        with ProgressDisplay(part.name) as progress:
            return run_study(part, path, ladders=ladders, on_event=progress.tell, **options)

    return train_until_turned(study, path, rungs, train)


def _end_content(end: CellEnd) -> dict[str, Any]:
    return {**vars(end.cell), "levels": end.levels, "optimal": dict(end.optimal), "turned": end.turned}


def _end_words(end: dict[str, Any]) -> str:
    """Say where the ladders of a cell end."""
    noise = f" noise={end['label_noise']:g}" if end["label_noise"] else ""
    cell = f"{end['family']} l={end['depth']} w={end['width']:g} n={end['examples']}{noise}"
    best = listed(f"{name} {rung}" for name, rung in end["optimal"].items()) or "not known"
    return f"{cell}: {end['levels']} levels{'' if end['turned'] else ', not turned'}; optimal rung: {best}"
