"""Small files of a store, read with care: studies, failures, what a run measured, recorded ladders, datasets.

Of a user's own dataset a store remembers where it was read, and hashes of its files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunescope.errors import DamageError, InputError
from prunescope.table.arrays import check_identity
from prunescope.table.durable import is_own, publish_bytes, verified
from prunescope.table.status import Failure, RecordedNote

if TYPE_CHECKING:
    from prunescope.study import OwnDataset, Study
    from prunescope.table.store import Store

_NOTE_FILE = re.compile(r"[0-9a-f]{32}\.[0-9a-f]{40}\.json")
_STUDY_FILE = re.compile(r"[0-9a-f]{32}\.[0-9a-f]{40}\.toml")


def _stored_files(folder: Path, name: re.Pattern[str]) -> list[Path]:
    """List a store's own files in one of its folders."""
    entries = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in entries if name.fullmatch(path.name) and is_own(path))


def read_studies(store: Path) -> tuple[Study, ...]:
    """Return every version of every study that was begun in a store."""
    from prunescope.study import parse_study

    studies: dict[str, Study] = {}
    for path in _stored_files(store / "studies", _STUDY_FILE):
        try:
            study = parse_study(verified(path).decode(), str(path))
        except UnicodeDecodeError:
            raise DamageError(f"{path} is no study; delete it") from None
        studies[study.identity] = study
    return tuple(sorted(studies.values(), key=lambda study: (study.name, study.identity)))


def write_failure(store: Path, ladder: str, rung: int, words: str) -> None:
    """Note that a ladder failed."""
    when = datetime.now(UTC).isoformat(timespec="microseconds")
    content = json.dumps({"ladder": ladder, "rung": rung, "words": words, "when": when}).encode()
    publish_bytes(store, store / "failures", ladder, ".json", content)


def read_failures(store: Path) -> tuple[Failure, ...]:
    """Return what went wrong in a store, the latest last."""
    failures = []
    for path in _stored_files(store / "failures", _NOTE_FILE):
        try:
            content = json.loads(verified(path))
            words, when = str(content["words"]), str(content["when"])
            failures.append(Failure(check_identity(path, content["ladder"]), int(content["rung"]), words, when))
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            raise DamageError(f"{path} is no note of a failure; delete it") from None
    return tuple(sorted(failures, key=lambda failure: (failure.when, failure.ladder)))


def read_note(path: Path) -> dict[str, Any] | None:
    """Return the content of a note, None where it is not what was written."""
    try:
        content = json.loads(verified(path)) if _NOTE_FILE.fullmatch(path.name) and is_own(path) else None
    except (OSError, ValueError, RecursionError, DamageError):
        return None
    return content if isinstance(content, dict) else None


def read_recorded(store: Path, done: Container[str], ladder: str | None = None) -> dict[str, RecordedNote]:
    """Return the notes of recorded ladders that have a rung, of all or of one, by their identities."""
    by_ladder: dict[str, RecordedNote] = {}
    for path in _stored_files(store / "recorded", _NOTE_FILE):
        identity = path.name[:32]
        if ladder not in (None, identity) or identity not in done:
            continue
        note = _recorded_note(read_note(path))
        # There is one for each number of levels that was asked for.
        if note and (identity not in by_ladder or by_ladder[identity].ladder.levels < note.ladder.levels):
            by_ladder[identity] = note
    return by_ladder


def _recorded_note(content: dict[str, Any] | None) -> RecordedNote | None:
    """Return a note of a recorder; None where it is none."""
    from prunescope.study.recorded import recorded_ladder

    if content is None or not isinstance(content.get("recorded"), dict):
        return None
    try:
        ladder = recorded_ladder(content["recorded"])
    except InputError:
        return None
    return RecordedNote(ladder, content)


def keep_dataset(store: Store, dataset: OwnDataset, place: str, marks: Mapping[str, str]) -> None:
    """Note where a dataset was read from, and hashes of its files or arrays, under the start of its own hash."""
    from prunescope.study.catalogue import is_import_path

    where = place if is_import_path(dataset.name) else str(Path(place).absolute())
    store.write_note(dataset.hash[:32], {"place": where, "marks": dict(marks)})


def noted_place(store: Store, dataset: OwnDataset) -> Path | None:
    """Return the file or folder that a dataset was last read from, if it is there; never a function to call."""
    from prunescope.study.catalogue import is_import_path

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
