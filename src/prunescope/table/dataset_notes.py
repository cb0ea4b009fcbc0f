"""What a store remembers of a user's own datasets: where each was read, and hashes of its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prunescope.study import OwnDataset
from prunescope.study.catalogue import is_import_path
from prunescope.table.store import Store


def keep_dataset(store: Store, dataset: OwnDataset, place: str, marks: Mapping[str, str]) -> None:
    """Note where a dataset was read from, and hashes of its files or arrays, under the start of its own hash."""
    where = place if is_import_path(dataset.name) else str(Path(place).absolute())
    store.write_note(dataset.hash[:32], {"place": where, "marks": dict(marks)})


def noted_place(store: Store, dataset: OwnDataset) -> Path | None:
    """Return the file or folder that a dataset was last read from, if it is there; never a function to call."""
    if is_import_path(dataset.name):
        return None
    places = [Path(note["place"]) for note in _notes(store, dataset) if isinstance(note.get("place"), str)]
    return next((place for place in places if place.exists()), None)


def noted_marks(store: Store, dataset: OwnDataset) -> list[dict[str, str]]:
    """Return the hashes of a dataset's files, as each note has them."""
    marks = [note.get("marks") for note in _notes(store, dataset)]
    return [{str(name): str(mark) for name, mark in noted.items()} for noted in marks if isinstance(noted, dict)]


def _notes(store: Store, dataset: OwnDataset) -> list[dict[str, Any]]:
    return [note for note in store.read_notes(dataset.hash[:32]).values() if note is not None]
