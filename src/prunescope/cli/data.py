"""``prunescope data``: what a dataset is read as, and how a study names it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from prunescope.cli.printing import code_words, note, print_json, tell
from prunescope.errors import counted, listed


@click.command()
@click.argument("name", metavar="NAME")
@click.option("--data", type=click.Path(path_type=Path), help="Folder with datasets [PRUNESCOPE_DATA, or the cache].")
@click.option("--from", "source", type=click.Path(path_type=Path), help="Pack the pictures of this folder first.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the packed NAME.pictures [--data].")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def data(name: str, data: Path | None, source: Path | None, out: Path | None, as_json: bool) -> None:
    """Show what a dataset is read as.

    NAME is a known dataset, FILE.npz, a folder of pictures by class, a folder of Parquet as Hugging Face writes it, or
    package.module:function, whose code runs.

    With --from DIR the unpacked folders of imagenet or tinyimagenet become one file first, from which runs stream
    pictures. Stopped or killed, the same command goes on.
    """
    if out is not None and source is None:
        raise click.UsageError("--out says where to pack to, and needs --from DIR")
    if source is not None:
        data = _packed(name, source, out, data)
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


def _packed(name: str, source: Path, out: Path | None, folder: Path | None) -> Path:
    """Pack a dataset, and return the folder that its file is in."""
    from prunescope.data import pack_dataset

    with _progress(name) as progress:
        packed = pack_dataset(name, source, out or folder, on_progress=progress)
    rest = f", {packed.resumed:,} of them by an earlier try" if packed.resumed else ""
    size = f"{packed.bytes_ / 1e9:.3g} GB" if packed.bytes_ >= 1e9 else f"{packed.bytes_ / 1e6:.3g} MB"
    note(f"{packed.path}: {counted(packed.pictures, 'picture')}{rest}, {size}, hash {packed.hash[:12]}")
    if packed.lenient:
        note(f"{counted(packed.lenient, 'picture')} refused by the strict decoder and read by Pillow")
    return packed.path.parent


@contextmanager
def _progress(name: str) -> Iterator[Callable[[Any], None]]:
    """Give what shows how far packing is: a line that changes on a terminal, one now and then elsewhere."""
    terminal = sys.stderr.isatty()
    begun = shown = time.monotonic()
    first: int | None = None

    def show(progress: Any) -> None:
        nonlocal shown, first
        now, first = time.monotonic(), progress.done if first is None else first
        if now - shown < (0.2 if terminal else 10.0):
            return
        shown = now
        pace = (progress.done - first) / (now - begun)
        words = f"{name}: {progress.done:,} of {progress.total:,} pictures"
        words += f", {progress.damaged:,} damaged" if progress.damaged else ""
        words += f", {pace:,.0f} a second, {(progress.total - progress.done) / pace / 60:,.0f} min left" if pace else ""
        click.echo(f"\r{words}\033[K" if terminal else words, err=True, nl=not terminal)

    try:
        yield show
    finally:
        if terminal:
            click.echo("\r\033[K", err=True, nl=False)


@dataclass(frozen=True)
class _Shown:
    content: dict[str, Any]

    @property
    def line(self) -> str:
        """The line of a study file that names the dataset."""
        return f"dataset = {json.dumps(self.content['name'], ensure_ascii=False)}"


def _read(name: str, folder: Path | None) -> _Shown:
    from prunescope.data import EncodedPictures, load, own_name, read_own
    from prunescope.study.catalogue import DATASETS, is_import_path, is_own_dataset
    from prunescope.study.import_path import search_folders

    spelled = name if name in DATASETS else own_name(name)
    if not is_own_dataset(spelled):
        known = load(spelled, folder)
        names = [str(number) for number in range(known.classes)]
        images = known.train_images
        place = str(images.path) if isinstance(images, EncodedPictures) else "the files of its makers"
        facts = {"label": spelled, "hash": "", "place": place, "class_names": names, "notes": []}
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
