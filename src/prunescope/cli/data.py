"""``prunescope data``: what a dataset is read as, and how a study names it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from prunescope.cli.printing import code_words, note, print_json, tell
from prunescope.errors import counted, listed


@click.command()
@click.argument("name", metavar="NAME")
@click.option("--data", type=click.Path(path_type=Path), help="Folder with datasets [PRUNESCOPE_DATA, or the cache].")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def data(name: str, data: Path | None, as_json: bool) -> None:
    """Show what a dataset is read as.

    NAME is a known dataset, FILE.npz, a folder of pictures by class, a folder of Parquet as Hugging Face writes it, or
    package.module:function, whose code runs.
    """
    shown = _read(name, data)
    if as_json:
        print_json(shown.content)
        return
    content = shown.content
    click.echo(click.style(str(content["name"]), bold=True))
    tell("from", content["place"])
    sizes = [f"{count:,} {part}" for part, count in content["examples"].items()]
    tell("examples", ", ".join(sizes))
    channels, height, width = content["shape"]
    rows = height == channels == 1
    shape = f"rows of {counted(width, 'feature')}" if rows else f"pictures of {channels} x {height} x {width}"
    tell("arrays", f"{shape}, {content['values']}")
    tell("classes", f"{content['classes']:,}: {listed(content['class_names'], 12)}")
    tell("input", _scaling(content["mean"], content["std"]))
    validation = content["examples"].get("validation")
    tell("validation", "its own part" if validation else "held out from the training part as a study says")
    if content["hash"]:
        tell("hash", f"{content['hash'][:12]}; rows call it {content['label']}")
    tell("study", shown.line)
    for words in content["notes"]:
        note(words)


@dataclass(frozen=True)
class _Shown:
    content: dict[str, Any]

    @property
    def line(self) -> str:
        """The line of a study file that names the dataset."""
        return f"dataset = {json.dumps(self.content['name'], ensure_ascii=False)}"


def _read(name: str, folder: Path | None) -> _Shown:
    from prunescope.data import load, own_name, read_own
    from prunescope.study.catalogue import DATASETS, is_import_path, is_own_dataset
    from prunescope.study.import_path import search_folders

    spelled = name if name in DATASETS else own_name(name)
    if not is_own_dataset(spelled):
        known = load(spelled, folder)
        names = [str(number) for number in range(known.classes)]
        facts = {"label": spelled, "hash": "", "place": "the files of its makers", "class_names": names, "notes": []}
        return _Shown(_content(spelled, known, facts))
    if is_import_path(spelled):
        search_folders([spelled], [Path.cwd()])
        note(code_words([spelled]))
    own_data = read_own(spelled, folder=folder)
    facts = {
        "label": own_data.section.label,
        "hash": own_data.section.hash,
        "place": own_data.place,
        "class_names": list(own_data.class_names),
        "notes": list(own_data.notes),
    }
    return _Shown(_content(spelled, own_data.dataset, facts))


def _content(name: str, dataset: Any, facts: dict[str, Any]) -> dict[str, Any]:
    examples = {"train": len(dataset.train_labels) - dataset.validation, "test": len(dataset.test_labels)}
    if dataset.validation:
        examples["validation"] = dataset.validation
    return {
        "name": name,
        "examples": examples,
        "classes": dataset.classes,
        "shape": list(dataset.shape),
        "values": str(dataset.train_images.dtype),
        "mean": list(dataset.mean),
        "std": list(dataset.std),
        **facts,
    }


def _scaling(mean: list[float], std: list[float]) -> str:
    if set(mean) == {0.0} and set(std) == {1.0}:
        return "the values as they are"
    means, spreads = (", ".join(f"{value:.4g}" for value in values) for values in (mean, std))
    return f"(value - mean) / std, with mean {means} and std {spreads} of the training part"
