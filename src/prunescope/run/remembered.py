"""How shapes of networks were found to train fastest, remembered.

In the store, so that a run that goes on does so as it began; and for this machine, so that a second run of a study
gives the same rows as the first. No torch here: a plan reads it too.
"""

from __future__ import annotations

import json
import os
import platform
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from prunescope.spec.study import digest
from prunescope.table import Store

FORMAT = 2


@dataclass(frozen=True)
class Choice:
    """How cohorts of one shape are trained.

    Attributes
    ----------
    seconds
        One step of one member took this long when it was measured.
    """

    members: int
    threads: int
    together: int
    pack: int
    seconds: float


class Remembered:
    """Choices found before, for this machine, here and in a store."""

    def __init__(self, store: Store | None, device: str, cores: int) -> None:
        self._store = store
        self._machine = [FORMAT, platform.machine(), platform.node(), cores, device, version("torch")]

    def _name(self, key: str) -> str:
        return digest([*self._machine, key])

    def _home(self) -> Path:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "prunescope" / "layouts"

    def get(self, key: str) -> Choice | None:
        """Return what was found for a shape before."""
        kept = self._store.read_note(self._name(key)) if self._store else None
        if kept is None:
            with suppress(OSError, ValueError):
                kept = json.loads((self._home() / f"{self._name(key)}.json").read_text())
        if not isinstance(kept, dict):
            return None
        try:
            return Choice(**{name: kept[name] for name in Choice.__dataclass_fields__})
        except KeyError:
            return None

    def put(self, key: str, choice: Choice) -> None:
        """Remember a choice; a home folder that cannot be written to is no fault."""
        if self._store:
            self._store.write_note(self._name(key), asdict(choice))
        with suppress(OSError):
            self._home().mkdir(parents=True, exist_ok=True)
            draft = self._home() / f".{self._name(key)}.{os.getpid()}"
            draft.write_text(json.dumps(asdict(choice)))
            draft.replace(self._home() / f"{self._name(key)}.json")
