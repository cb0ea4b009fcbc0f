"""``prunescope export``: a trained network as files to take away, and what they are worth in bytes and time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prunescope.cli.options import PICK_BY, SHARE, rows_of
from prunescope.cli.printing import print_json, print_table, spelled, spelled_bytes
from prunescope.cli.progress import ProgressDisplay
from prunescope.cli.run import need_torch
from prunescope.errors import PrunescopeError, apart, command, counted, listed, named, printable, shell_word

if TYPE_CHECKING:
    from prunescope.export.outcome import Exported, ExportedForm
    from prunescope.export.retrain import RetrainPlan
    from prunescope.table import Store


@click.command()
@click.argument("store_path", metavar="STORE", type=click.Path(path_type=Path))
@click.option("--ladder", help="Identity of the ladder, or its first digits [the only one in the store].")
@click.option("--rung", type=click.IntRange(0), help="Rung of the network, counted from the dense one.")
@click.option("--density", type=SHARE, help="Instead of --rung: take the network nearest to this density.")
@click.option(
    "--max-error", type=SHARE, metavar="K", help="Instead of both: take what choose finds for this error, if trained."
)
@click.option("--where", multiple=True, help="With --max-error: keep rungs that meet this SQL condition.")
@PICK_BY
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="NAME.safetensors, or NAME.onnx.")
@click.option("--form", help="sparse, dense, onnx or both [both, as NAME.sparse... and NAME.dense...].")
@click.option("--onnx", is_flag=True, help="Write NAME.onnx, too.")
@click.option("--factory", metavar="MODULE:NAME", help="The function that makes a network of your own.")
@click.option("--score", metavar="MODULE:NAME", help="The function of your own score, needed to train again.")
@click.option("--dataset", metavar="NAME", help="FILE.npz, FOLDER or MODULE:NAME of your own dataset.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder with datasets [PRUNESCOPE_DATA, or the cache].")
@click.option("--device", default="auto", show_default=True, help="Where to train again: auto, cpu, cuda.")
@click.option("--batch", type=click.IntRange(1), default=256, show_default=True, help="Pictures in a timed batch.")
@click.option("--quiet", is_flag=True, help="Print the result only.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def export(
    store_path: Path,
    ladder: str | None,
    rung: int | None,
    density: float | None,
    max_error: float | None,
    where: Sequence[str],
    pick_by: str | None,
    out: Path,
    form: str | None,
    onnx: bool,
    factory: str | None,
    score: str | None,
    dataset: str | None,
    data: Path | None,
    device: str,
    batch: int,
    quiet: bool,
    as_json: bool,
) -> None:
    """Export a trained network of a STORE, and verify it.

    The sparse file holds masks and surviving weights. The dense file holds a smaller network without the units that
    pruning cut off. Weights that the run did not keep are trained again first. The code of a network of your own runs
    only if you name it with --factory.
    """
    if sum(option is not None for option in (rung, density, max_error)) != 1:
        raise click.UsageError("export needs one of --rung, --density and --max-error")
    if max_error is not None and ladder is not None:
        raise click.UsageError("--max-error finds the ladder; leave --ladder out")
    if where and max_error is None:
        raise click.UsageError("--where goes with --max-error")
    if pick_by is not None and max_error is None:
        raise click.UsageError("--pick-by goes with --max-error")
    need_torch()
    from prunescope.export import export_network
    from prunescope.run.task_runner import hold_memory
    from prunescope.study.import_path import search_folders
    from prunescope.table import Store

    store = Store(store_path)
    if max_error is not None:
        ladder, rung = _chosen(store, max_error, where, pick_by, quiet)
    search_folders([path for path in (factory, score, dataset) if path is not None and ":" in path], [Path.cwd()])
    hold_memory()
    with ProgressDisplay("training again") as progress:
        exported = export_network(
            store,
            out,
            ladder=ladder,
            rung=rung,
            density=density,
            form=form,
            onnx=onnx,
            factory=factory,
            score=score,
            dataset=dataset,
            data=data,
            device=device,
            batch=batch,
            before=None if quiet else _tell_plan,
            on_event=None if quiet else progress.tell,
        )
    if as_json:
        print_json(_content(exported))
    else:
        _print(exported)


def _chosen(store: Store, max_error: float, where: Sequence[str], pick_by: str | None, quiet: bool) -> tuple[str, int]:
    """Return ladder and rung of the trained network that the choice for an error comes down to."""
    from prunescope.choose import smallest_network
    from prunescope.choose.trained import trained_network
    from prunescope.table.duckdb_engine import condition

    rows = rows_of(str(store.path), where)
    answers = smallest_network(rows, max_error, pick_by=pick_by)
    groups = [*(outcome.group for outcome in answers.answers), *(outcome.group for outcome in answers.declined)]
    if len(groups) > 1:
        shown, where_one = listed(map(named, groups), 4), shell_word(condition(apart(groups[0])))
        raise PrunescopeError(
            f"several families could be meant: {shown}. Name one, as in --where {where_one}, or a network with "
            "--ladder and --rung"
        )
    if not answers.answers:
        raise PrunescopeError(
            "\n".join(refusal.why for refusal in answers.declined) or "the store holds no pruned network"
        )
    answer = answers.answers[0]
    trained = trained_network(rows, answer, pick_by)
    if trained is None:
        raise PrunescopeError(
            f"what choose finds in {store.path} for an error of {max_error:g} is not trained yet; "
            f"{command('next', store.path, '--max-error', max_error)} says what to train"
        )
    if not quiet:
        click.echo(f"rung {trained.rung} of ladder {trained.ladder[:8]}: {trained.words}", err=True)
    return trained.ladder, trained.rung


def _tell_plan(plan: RetrainPlan) -> None:
    rungs = f"rung {plan.rung}" if plan.first == plan.rung else f"rungs {plan.first} to {plan.rung}"
    time = f"about {spelled(plan.seconds)}"
    click.echo(f"the weights of rung {plan.rung} were not kept: training {rungs} again, {time}", err=True)


def _content(exported: Exported) -> dict[str, Any]:
    forms = [asdict(form) | {"path": None if form.path is None else str(form.path)} for form in exported.forms]
    return asdict(exported) | {"forms": forms}


def _print(exported: Exported) -> None:
    from prunescope.export.outcome import TITLES

    first, *sentences = exported.sentences()
    click.echo(click.style(printable(first), bold=True))
    recorded = exported.card.form == "recorded"
    columns = {
        "form": [TITLES[form.name] for form in exported.forms],
        "size": [spelled_bytes(form.bytes) for form in exported.forms],
    }
    if not recorded:
        columns["multiply-adds"] = [f"{form.multiply_adds:,}" if form.multiply_adds else "" for form in exported.forms]
        columns[counted(exported.batch, "picture")] = [_time(form) for form in exported.forms]
    click.echo()
    print_table(columns, 2)
    click.echo()
    for sentence in sentences:
        click.echo(printable(sentence))
    if not recorded:
        click.echo("timed in turns, in processor time of one thread: median, least and most")
    path = next((path for path in reversed(exported.files) if path.suffix == ".safetensors"), None)
    if path is not None:
        click.echo(f"from Python: prunescope.load_network({json.dumps(str(path), ensure_ascii=False)})")


def _time(form: ExportedForm) -> str:
    if form.timing is None:
        return ""
    median, least, most = (
        f"{seconds * 1e3:.3g}" for seconds in (form.timing.median, form.timing.least, form.timing.most)
    )
    return f"{median} ms ({least} to {most})"
