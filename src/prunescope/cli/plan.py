"""``prunescope plan``: what a study would train, and what differs from a store begun with another version of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prunescope.cli.data_parallel import data_parallel_content, data_parallel_words
from prunescope.cli.plan_store import print_store, store_beside, version_differences
from prunescope.cli.printing import code_words, note, print_json, print_table, spelled, spelled_bytes, tell
from prunescope.errors import PrunescopeError, counted, listed, printable, whole_percent

if TYPE_CHECKING:
    from prunescope.run.estimate import Estimate
    from prunescope.study import Ensemble, OwnDataset, Study
    from prunescope.study.sections import Keep
    from prunescope.table import Store


@click.command()
@click.argument("study", required=False)
@click.option("--store", "store_path", type=click.Path(path_type=Path), help="Store to compare with [runs/NAME].")
@click.option("--data", type=click.Path(path_type=Path), help="Folder with datasets [PRUNESCOPE_DATA, or the cache].")
@click.option("--run-code", is_flag=True, help="Run the study's code: count its networks, size its datasets.")
@click.option(
    "--cluster", type=click.Path(path_type=Path), metavar="FILE.toml", help="Show the job script of this Dask cluster."
)
@click.option(
    "--data-parallel", type=click.IntRange(2), metavar="N", help="Show what `run --data-parallel N` takes here."
)
@click.option("--ladders", is_flag=True, help="List every ladder with its identity.")
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), help="Copy the study file here, to edit it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plan(
    study: str | None,
    store_path: Path | None,
    data: Path | None,
    run_code: bool,
    cluster: Path | None,
    data_parallel: int | None,
    ladders: bool,
    save: Path | None,
    as_json: bool,
) -> None:
    """Show what a STUDY would train; list presets without one."""
    from prunescope.study import preset_text, presets, read_study

    if study is None:
        if store_path or ladders or save or run_code or cluster or data_parallel:
            raise click.UsageError("all options but --data and --json need a STUDY")
        studies = {name: read_study(name) for name in presets()}
        if as_json:
            print_json(
                [{"name": name, "purpose": preset.purpose, "cost": preset.cost} for name, preset in studies.items()]
            )
            return
        click.echo("Presets; `prunescope plan NAME` shows one, `prunescope plan NAME --save FILE` writes it to edit:\n")
        for name, preset in studies.items():
            click.echo(click.style(f"  {name}", bold=True))
            tell("", f"{preset.purpose} {preset.cost}")
        return
    read, changed = read_study(study), list[str]()
    if save is not None:
        if save.exists():
            raise PrunescopeError(f"{save} exists already; name a new file")
        text = preset_text(study) if study in presets() else Path(study).read_text(encoding="utf-8-sig")
        save.write_text(_copied(read, text, save.stem), encoding="utf-8")
        click.echo(f"wrote {save}", err=True)
    store = store_beside(read, store_path)
    if read.unread or read.datasets:
        read, changed = with_datasets(read, store, data, run_code=run_code)
    if run_code:
        from prunescope.cli.run import allow_code

        allow_code(read, study)
    content = _plan_content(read, store, ladders, run_code)
    if data_parallel is not None and not read.unread:
        content["data_parallel"] = data_parallel_content(read, run_code, data_parallel)
    if cluster is not None:
        from prunescope.run.cluster import Cluster

        content["job_script"] = Cluster(cluster).job_script()
    if as_json:
        print_json(content | ({"changed": changed} if read.datasets else {}))
    else:
        _print_plan(read, store, store_path or Path("runs") / read.folder, content)
        for words in changed:
            note(words)
        if cluster is not None:
            click.echo(f"\n{content['job_script']}")


def with_datasets(
    study: Study, store: Store | None, data: Path | None = None, *, run_code: bool = False
) -> tuple[Study, list[str]]:
    """Read the study's own datasets, and say which have changed; functions not run are as a store knows them."""
    from prunescope.data import read_datasets
    from prunescope.run.dataset_changes import changed_datasets
    from prunescope.study.catalogue import is_import_path
    from prunescope.study.import_path import search_folders

    if run_code:
        search_folders(
            [name for name in study.unread if is_import_path(name)], [*([study.home] if study.home else []), Path.cwd()]
        )
    read, datasets = read_datasets(study, data, run_code=run_code, everything=True)
    versions = [version for version in (store.studies() if store else ()) if version.name == study.name]
    stored = {dataset.name: dataset for version in versions for dataset in version.datasets}
    known = tuple(stored[name] for name in read.unread if name in stored)
    read = dataclasses.replace(read, datasets=(*read.datasets, *known)) if known else read
    return read, changed_datasets(store, read, datasets.values()) if store else []


def _copied(study: Study, text: str, name: str) -> str:
    """Return a study file under a name of its own, so that it gets a store of its own, and without its stated cost.

    Comments stay where its line is found; otherwise the study is written anew.
    """
    from prunescope.study import parse_study

    wanted = dataclasses.replace(study, name=name, cost="")
    top, bracket, rest = text.partition("\n[")
    lines = [line for line in top.split("\n") if not line.startswith("cost = ")]
    lines = [f"name = {json.dumps(name)}" if line.startswith("name = ") else line for line in lines]
    copy = "\n".join(lines) + bracket + rest
    try:
        return copy if parse_study(copy) == wanted else wanted.to_toml()
    except PrunescopeError:
        return wanted.to_toml()


def _plan_content(study: Study, store: Store | None, ladders: bool, run_code: bool) -> dict[str, Any]:
    from prunescope.study import effort, ensembles, paper_figures
    from prunescope.study.import_path import import_paths
    from prunescope.table import finished
    from prunescope.table.status import is_scored

    if study.unread:
        facts = {"study": study.to_mapping(), "identity": study.identity, "code": list(import_paths(study))}
        return facts | {"unread": list(study.unread)}
    total = effort(study.ladders)
    content: dict[str, Any] = {
        "study": study.to_mapping(),
        "identity": study.identity,
        "cells": len(study.cells),
        "ladders": len(study.ladders),
        "rungs": total.rungs,
        "networks": total.networks,
        "epochs": total.epochs,
        "steps": total.steps,
        "examples": total.examples,
        "code": list(import_paths(study)),
        "figures": [vars(figure) for figure in paper_figures(study)],
    }
    done = store.done() if store is not None else {}
    if store is not None:
        content["store"] = {
            "path": str(store.path),
            "rungs_done": sum(finished(ladder, done) for ladder in study.ladders),
            "differences": [
                [str(difference) for difference in changes] for changes in version_differences(study, store)
            ],
        }
    from prunescope.run.estimate import described, estimate, members

    def takes(scorers: Sequence[Ensemble], done: Mapping[str, frozenset[int]] | None = None) -> Estimate:
        kept = study.keep, study.keep_examples
        return estimate(study.ladders, store, scorers, *kept, done, run_code, study.keep_test_examples)

    scorers = ensembles(study)
    if scorers:
        networks, examples_seen = sum(scorer.networks for scorer in scorers), sum(scorer.work for scorer in scorers)
        content["el2n"] = {"scored": len(scorers), "networks": networks, "examples": examples_seen}
    content["estimate"] = vars(takes(scorers))
    content["members"] = [vars(member) for member in members(study.ladders, run_code)]
    if content["estimate"]["seconds"] is not None:
        content["networks_made"] = [vars(event) for event in described(study.ladders)]
    if store is not None:
        left = effort(study.ladders, done)
        unscored = [scorer for scorer in scorers if not is_scored(store, scorer)]
        rest = takes(unscored, done)
        content["left"] = vars(left) | {
            "scores": len(unscored),
            "seconds": rest.seconds if left.rungs or unscored else 0.0,
            "memory": rest.memory if left.rungs or unscored else 0,
        }
    if ladders:
        content["ladder_list"] = [
            {
                "ladder": ladder.identity,
                **vars(ladder.cell),
                "recipe": ladder.recipe_identity,
                "treatment": ladder.treatment.label,
                "replicate": ladder.replicate,
                "rungs": ladder.rungs,
                **({} if ladder.group is None else {"group": ladder.group}),
            }
            for ladder in study.ladders
        ]
    return content


def _print_plan(study: Study, store: Store | None, path: Path, content: dict[str, Any]) -> None:
    from prunescope.study.sections import AXIS_KEYS

    recipe = study.recipe
    click.echo(click.style(printable(study.name), bold=True))
    for title, words in (("purpose", study.purpose), ("expected", study.expected), ("cost", study.cost)):
        if words:
            tell(title, words)
    click.echo()
    for position, axes in enumerate(study.axes):
        varied = "; ".join(f"{key} {listed(getattr(axes, key), 12)}" for key in AXIS_KEYS)
        current = {"levels": axes.levels, "replicates": axes.replicates}
        varied += "".join(f"; {value} {key}" for key, value in current.items() if value is not None)
        tell("and" if position else "axes", varied)
    schedule: str = recipe.schedule
    if recipe.milestones:
        schedule = f"x{recipe.factor:g} at epochs {listed(recipe.milestones)}"
    if recipe.end_factor:
        schedule += f" to {recipe.end_factor:.3g} of it"
    more = [f"warm-up {counted(recipe.warmup, 'epoch')}"] if recipe.warmup else []
    more += [f"gradients clipped to {recipe.clip_norm:g}"] if recipe.clip_norm else []
    more += [f"labels smoothed by {recipe.label_smoothing:g}"] if recipe.label_smoothing else []
    more += [f"measured on {recipe.measure_train:,} training examples"] if recipe.measure_train != "all" else []
    more += [recipe.augment] if recipe.augment != "none" else []
    tell(
        "recipe",
        f"{recipe.epochs} epochs, batch {recipe.batch}, {recipe.optimizer} {recipe.learning_rate:g}, "
        f"momentum {recipe.momentum:g}, decay {recipe.weight_decay:g}, {listed([schedule, *more, recipe.precision])}",
    )
    tell(
        "pruning",
        f"{whole_percent(recipe.pruning_fraction)} a rung, {recipe.levels} times, down to a density of "
        f"{(1 - recipe.pruning_fraction) ** recipe.levels:.3g}; back to epoch {recipe.rewind_epoch}; "
        f"prunable: {recipe.prunable if isinstance(recipe.prunable, str) else listed(recipe.prunable)}",
    )
    named = [f"{treatment.label}{_details(treatment.model_dump(exclude_none=True))}" for treatment in study.treatments]
    tell("treatments", "; ".join(named))
    for dataset in study.datasets:
        tell("dataset", _own_words(dataset))
    if study.unread:
        tell("dataset", f"{listed(study.unread)}: known when its code has run, by prunescope run or plan --run-code")
        tell("code", code_words(content["code"]))
        return
    even = all(axes.replicates is None for axes in study.axes)
    times = f" x {counted(study.replicates, 'replicate')}" if even else ", replicates as above"
    tell(
        "size",
        f"{counted(content['cells'], 'cell')} x {_treatments(study)}{times} = "
        f"{counted(content['ladders'], 'ladder')} = {counted(content['rungs'], 'rung')}"
        + (f", {counted(content['networks'], 'training')}" if content["networks"] < content["rungs"] else ""),
    )
    tell(
        "training",
        f"{content['epochs']:,} epochs, {content['steps']:,} steps, {content['examples']:,} examples seen",
    )
    kinds = (
        ("the weights", study.keep),
        ("the outcomes on training examples", study.keep_examples),
        ("the outcomes on test examples", study.keep_test_examples),
    )
    phrases = [f"{what} of {_rungs(keep)}" for what, keep in kinds if keep != "none"]
    if phrases:
        tell("keeps", " and ".join(phrases))
    if "el2n" in content:
        scored = content["el2n"]
        whose = counted(scored["scored"], "replicate of a cell", "replicates of cells")
        tell(
            "EL2N", f"{whose} scored by {counted(scored['networks'], 'network')}, {scored['examples']:,} examples seen"
        )
    _print_figures(content["figures"])
    if content["code"]:
        tell("code", code_words(content["code"]))
    for number, made in enumerate(content.get("networks_made", [])):
        tell("" if number else "networks", f"{made['words']}: {made['facts']}")
    _print_estimate(content["estimate"], content.get("left"), begun=bool(store and content["store"]["rungs_done"]))
    if "data_parallel" in content:
        tell("in parallel", data_parallel_words(content["data_parallel"], study.recipe.batch))
    if store is None:
        tell("store", f"none yet ({path})")
    else:
        print_store(study, store, content)
    if "ladder_list" in content:
        click.echo()
        print_table(_ladder_columns(content["ladder_list"]), 2)


def _ladder_columns(ladders: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return the columns of a list of ladders: those of a cell only where ladders differ in them."""
    columns: dict[str, list[Any]] = {"ladder": [entry["ladder"] for entry in ladders]}
    for name in ("family", "dataset", "depth", "width", "examples", "label_noise"):
        values = [entry[name] for entry in ladders]
        if len(set(map(str, values))) > 1 or len(ladders) == 1:
            columns[name.replace("_", " ")] = values
    columns |= {name: [entry[name] for entry in ladders] for name in ("treatment", "replicate", "rungs")}
    if any("group" in entry for entry in ladders):
        columns["without group"] = [entry.get("group") for entry in ladders]
    return columns


def _treatments(study: Study) -> str:
    """Count treatments; one that leaves out groups counts as many times as it has groups."""
    groups = [treatment.groups for treatment in study.treatments if treatment.groups]
    words = counted(len(study.treatments) - len(groups) + sum(groups), "treatment")
    return f"{words}, {listed(groups)} of them without one group," if groups else words


def _print_figures(figures: Sequence[dict[str, Any]]) -> None:
    """Tell which figures of the papers can be drawn, and which keys the others lack."""
    title = "figures"
    for paper in dict.fromkeys(figure["paper"] for figure in figures):
        of_paper = [figure for figure in figures if figure["paper"] == paper]
        lacking: dict[str, list[str]] = {}
        for figure in of_paper:
            for key in figure["missing"]:
                lacking.setdefault(key, []).append(_short_item(figure["item"]))
        drawn = listed((_short_item(figure["item"]) for figure in of_paper if not figure["missing"]), 40)
        needs = "; ".join(f"{listed(items, 40)}: {key}" for key, items in lacking.items())
        tell(title, f"{paper} paper {drawn or 'none'}{f'. For more, {needs}' if needs else ''}")
        title = ""


def _short_item(item: str) -> str:
    return item.removeprefix("Fig. ").removeprefix("App. ")


def _print_estimate(estimate: dict[str, Any], left: dict[str, Any] | None, begun: bool) -> None:
    """Tell what the study takes; of one that was begun, what is left of that."""
    finished = left is not None and not left["rungs"] and not left["scores"]
    if estimate["seconds"] is None:
        unknown = "not known: networks of your own are counted by making them, with --run-code; those of a library, "
        unknown += "where it is installed"
        tell("takes", "nothing more" if finished else unknown)
        return
    how = "as measured here" if estimate["measured"] > 0.99 else "a rough estimate; a run measures before it trains"
    disk, weights = spelled_bytes(estimate["disk"]), spelled_bytes(estimate["disk_with_weights"])
    whole = f"about {spelled(estimate['seconds'])}"
    if finished:
        whole = f"nothing more; all of it {whole}"
    elif left is not None and begun:
        whole = f"about {spelled(left['seconds'])} for what is missing, of {whole} for all of it,"
    tell(
        "takes",
        f"{whole} on this machine's processor ({how}), {spelled_bytes(estimate['memory'])} of memory, {disk} on disk, "
        f"{weights} with --keep-weights",
    )


def _own_words(dataset: OwnDataset) -> str:
    validation = f", {dataset.validation:,} for validation" if dataset.validation else ""
    shape = " x ".join(map(str, dataset.shape))
    return (
        f"{dataset.name}: {dataset.train:,} to train on, {dataset.test:,} to test{validation}; "
        f"{dataset.classes} classes; {shape}, {dataset.values}; rows call it {dataset.label}"
    )


def _rungs(keep: Keep) -> str:
    return "every rung" if isinstance(keep, str) else f"rungs {listed(keep, 40)}"


def _details(treatment: dict[str, Any]) -> str:
    words = [str(value) for key, value in treatment.items() if key not in ("kind", "name")]
    return f" ({', '.join(words)})" if words else ""
