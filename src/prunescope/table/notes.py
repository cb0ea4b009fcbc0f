"""Small files of a store, read with care: studies, failures, what a run measured, what a recorded ladder is."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunescope.errors import DamageError, InputError
from prunescope.table.arrays import check_identity
from prunescope.table.durable import is_own, publish_bytes, verified
from prunescope.table.status import Failure, RecordedNote

if TYPE_CHECKING:
    from prunescope.study import Study

NOTE_FILE = re.compile(r"[0-9a-f]{32}\.[0-9a-f]{40}\.json")
_STUDY_FILE = re.compile(r"[0-9a-f]{32}\.[0-9a-f]{40}\.toml")


def stored_files(folder: Path, name: re.Pattern[str]) -> list[Path]:
    """List a store's own files in one of its folders."""
    entries = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in entries if name.fullmatch(path.name) and is_own(path))


def read_studies(store: Path) -> tuple[Study, ...]:
    """Return every version of every study that was begun in a store."""
    from prunescope.study import parse_study

    studies: dict[str, Study] = {}
    for path in stored_files(store / "studies", _STUDY_FILE):
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
    for path in stored_files(store / "failures", NOTE_FILE):
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
        content = json.loads(verified(path)) if NOTE_FILE.fullmatch(path.name) and is_own(path) else None
    except (OSError, ValueError, RecursionError, DamageError):
        return None
    return content if isinstance(content, dict) else None


def recorded_note(content: dict[str, Any] | None) -> RecordedNote | None:
    """Return a note of a recorder; None where it is none."""
    from prunescope.study.recorded import recorded_ladder

    if content is None or not isinstance(content.get("recorded"), dict):
        return None
    try:
        ladder = recorded_ladder(content["recorded"])
    except InputError:
        return None
    return RecordedNote(ladder, content)
