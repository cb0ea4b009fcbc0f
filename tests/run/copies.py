"""One of several runs on one store, as a process: ``python -m tests.run.copies STUDY STORE SHIM...``."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prunescope.run import run_study
from prunescope.run.tuning_cache import CohortSettings, TuningCache
from prunescope.study import read_study
from prunescope.table import Store

LAG = 2.0  # seconds
EXPIRY = 1.5


def locks_are_granted_to_all() -> None:
    """As on a network file system without a lock daemon."""
    fcntl.flock = lambda *_: None


def listings_lag(store: Path) -> None:
    """List each folder of a store as it was up to `LAG` seconds ago, as network file systems do."""
    scandir, listdir = os.scandir, os.listdir
    names: dict[str, tuple[float, list[str]]] = {}

    def listed(path: Any) -> list[str]:
        key = os.fspath(path)
        if key not in names or time.monotonic() - names[key][0] > LAG:
            names[key] = time.monotonic(), listdir(path)
        return names[key][1]

    class Lagging:
        """Entries whose files may have gone."""

        def __init__(self, path: Any) -> None:
            wanted = set(listed(path))
            with scandir(path) as entries:
                self._entries = iter([entry for entry in entries if entry.name in wanted])

        def __iter__(self) -> Iterator[Any]:
            return self._entries

        def __next__(self) -> Any:
            return next(self._entries)

        def __enter__(self) -> Lagging:
            return self

        def __exit__(self, *_: object) -> None:
            self.close()

        def close(self) -> None:
            """Nothing is open."""

    def is_lagging(path: Any) -> bool:
        return isinstance(path, str | os.PathLike) and Path(path).is_relative_to(store)

    os.scandir = lambda path=".": Lagging(path) if is_lagging(path) else scandir(path)  # type: ignore[assignment]
    os.listdir = lambda path=".": listed(path) if is_lagging(path) else listdir(path)  # type: ignore[assignment]


def main(study: str, path: str, *shims: str) -> int:
    """Train what is free; return whether something is left."""
    if "locks" in shims:
        locks_are_granted_to_all()
    if "listings" in shims:
        listings_lag(Path(path))
    TuningCache.of_machine = lambda *_: CohortSettings(2, 1, 2, 1, 1e-4)  # type: ignore[method-assign]
    report = run_study(read_study(study), Store(path, create=True, expiry=EXPIRY), workers=1, copies=4)
    return 1 if report.failures else 3 if report.elsewhere else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
