"""Notes of a store, read with care: what a run measured once, and what a ladder of somebody's own loop is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from prunescope.errors import DamageError, InputError
from prunescope.table.durable import is_own, verified
from prunescope.table.status import RecordedNote

NOTE_FILE = re.compile(r"[0-9a-f]{32}\.[0-9a-f]{40}\.json")


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
