"""The settings that train each shape of network fastest, once measured.

In the store, so that a continued run trains as it began; and for this machine, so that a second run of a study
gives the same rows as the first. No torch here: a plan reads it too.
"""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from prunescope.study.study import digest
from prunescope.table import Store

FORMAT = 4


@dataclass(frozen=True)
class CohortSettings:
    """How cohorts of one shape are trained.

    Attributes
    ----------
    members
        Networks that are trained in lock-step at most.
    seconds
        One step of one member took this long when it was measured.
    starts
        Networks that a cohort begins with at most; None where that has not been settled.
    sparse_below
        Networks that keep at most this share of their weights are trained by sparse steps; 0: none is, 1: all are.
    """

    members: int
    threads: int
    together: int
    pack: int
    seconds: float
    planar: bool = False
    starts: int | None = None
    sparse_below: float = 0.0


def _torch_version() -> str | None:
    """Return the version of torch, None where it is not installed: there a plan remembers nothing and says so."""
    try:
        return version("torch")
    except PackageNotFoundError:
        return None


class TuningCache:
    """Choices made before: settled in a store, or found on this machine with as many cores.

    What is settled in a store includes the size that cohorts got there, whatever a later run would choose.
    """

    def __init__(self, store: Store | None, device: str, cores: int) -> None:
        self._store = store
        self._machine = [FORMAT, platform.machine(), platform.node(), device, _torch_version()]
        self._cores = cores

    def of_store(self, key: str) -> CohortSettings | None:
        """Return what a store goes by; where it was settled before there were sparse steps, none is taken."""
        notes = self._notes(key).values()
        return next(filter(None, (_tuning_from(note, sparse_below=0.0) for note in notes)), None)

    def damaged_notes(self, key: str) -> list[Path]:
        """Return the notes that a store should go by and does not, since they are damaged or make no choice."""
        return [] if self.of_store(key) else list(self._notes(key))

    def _notes(self, key: str) -> dict[Path, dict[str, Any] | None]:
        return self._store.read_notes(self._store_name(key)) if self._store else {}

    def keep_in_store(self, key: str, tuning: CohortSettings) -> None:
        """Let a store go by a choice from now on."""
        if self._store:
            self._store.write_note(self._store_name(key), asdict(tuning))

    def of_machine(self, key: str) -> CohortSettings | None:
        """Return what was measured on this machine."""
        with suppress(OSError, ValueError):
            return _tuning_from(json.loads(self._machine_file(key).read_text()))
        return None

    def keep_on_machine(self, key: str, tuning: CohortSettings) -> None:
        """Remember a measurement; a home folder that cannot be written to is no fault."""
        path = self._machine_file(key)
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".{path.name}.{os.getpid()}")
            draft.write_text(json.dumps(asdict(tuning)))
            draft.replace(path)

    def _store_name(self, key: str) -> str:
        return digest([*self._machine, key])

    def _machine_file(self, key: str) -> Path:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "prunescope" / "layouts"
        return home / f"{digest([*self._machine, self._cores, key])}.json"


def _tuning_from(note: object, **missing: Any) -> CohortSettings | None:
    """Return the settings that a note holds, with values for what it may miss."""
    if not isinstance(note, dict):
        return None
    note = missing | note
    try:
        tuning = CohortSettings(**{name: note[name] for name in CohortSettings.__dataclass_fields__})
    except KeyError:
        return None
    return tuning if _is_possible(vars(tuning)) else None


def _is_possible(values: Mapping[str, Any]) -> bool:
    """Whether networks can be trained as a file says, which may say anything."""
    counts = [values[name] for name in ("members", "threads", "together", "pack")]
    starts, seconds = values["starts"], values["seconds"]
    return (
        all(type(count) is int and count >= 1 for count in (*counts, 1 if starts is None else starts))
        and values["pack"] <= values["together"] <= values["members"]
        and type(values["planar"]) is bool
        and type(seconds) in (int, float)
        and 0 <= seconds < math.inf
        and type(values["sparse_below"]) in (int, float)
        and 0 <= values["sparse_below"] <= 1
    )
