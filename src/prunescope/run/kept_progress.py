"""Networks in the middle of a rung, kept now and then: what hours of training need, and minutes never write.

``progress/<name>.<rung>.safetensors`` of a store, one file for each network, replaced each time and gone when the rung
is on the disk. A file that is damaged, or of another moment than those of its cohort, counts as none: the rung begins
anew, with the same numbers.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from prunescope.errors import PrunescopeError
from prunescope.files import open_to_all
from prunescope.table.durable import new_draft
from prunescope.train import RungProgress, RungStoppedError

FOLDER = "progress"
LOOK_INTERVAL = 0.5  # seconds between two looks at whether it is time
PATIENCE = 300.0  # seconds of training after which a rung still comes to its end when a run is to stop
_SNAPSHOT = "snapshot/"
_DIGEST = "digest"


class StoredProgress:
    """Keeps the networks of a cohort in a store.

    Parameters
    ----------
    names
        Of the networks, in the order of the cohort: what a file is called beside its rung.
    every
        Seconds between two times.
    facts
        What must be the same for a file to be of use: the members' epochs and steps.
    on_kept
        Called when the networks are on the disk.
    stop
        Whether the run is to end: a rung that takes long then ends where it is.
    at_end
        Keep the trained networks, too, since others are still to be trained before anything is written.
    """

    def __init__(
        self,
        store: Path,
        names: Sequence[str],
        rung: int,
        every: float,
        facts: str,
        on_kept: Callable[[], None] = lambda: None,
        stop: Callable[[], bool] = lambda: False,
        at_end: bool = False,
    ) -> None:
        self._on_kept, self._stop, self._at_end = on_kept, stop, at_end
        self._paths = [store / FOLDER / f"{name}.{rung:04d}.safetensors" for name in names]
        self._every, self._facts = every, facts
        self._kept = self._looked = time.perf_counter()
        self._ends = False

    def due(self, left: float) -> bool:
        """Whether it is time to keep the networks: after a while, or because training is to end here."""
        now = time.perf_counter()
        if not left and self._at_end:
            return True
        if now - self._looked < min(LOOK_INTERVAL, self._every):
            return False
        self._looked = now
        self._ends = left > PATIENCE and self._stop()
        return self._ends or now - self._kept >= self._every

    def read(self) -> RungProgress | None:
        """Return the networks where the last process left them, if all files are of one moment; training begins."""
        self._kept = self._looked = time.perf_counter()
        parts = [self._content(path) for path in self._paths]
        whole = [part for part in parts if part is not None]
        if len(whole) < len(parts) or not whole:
            return None
        places = {tuple(part.pop("place").tolist()) for part in whole}
        if len(places) != 1 or any(part.keys() != whole[0].keys() for part in whole):
            return None
        (epoch, step), *_ = places
        stacked = {name: np.stack([part[name] for part in whole]) for name in whole[0]}
        snapshot = {name.removeprefix(_SNAPSHOT): stacked.pop(name) for name in list(stacked) if _SNAPSHOT in name}
        return RungProgress(epoch, step, stacked, snapshot or None)

    def _content(self, path: Path) -> dict[str, np.ndarray] | None:
        """Return what a file holds; None where it is not there, damaged, or of another training."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            arrays = load(path.read_bytes())
        except (OSError, SafetensorError, ValueError, KeyError):
            return None
        digest = arrays.pop(_DIGEST, None)
        sound = digest is not None and digest.tobytes() == self._digest(arrays) and "place" in arrays
        return arrays if sound else None

    def _digest(self, arrays: dict[str, np.ndarray]) -> bytes:
        summed = hashlib.sha256(self._facts.encode())
        for name in sorted(arrays):
            summed.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
            summed.update(np.ascontiguousarray(arrays[name]).data.cast("B"))
        return summed.digest()

    def keep(self, progress: RungProgress) -> None:
        """Write the networks, in place of what was kept before; where the store cannot be written to, go on without."""
        from safetensors.numpy import save

        try:
            for place, path in enumerate(self._paths):
                arrays = {name: values[place] for name, values in progress.tensors.items()}
                for name, values in (progress.snapshot or {}).items():
                    arrays[_SNAPSHOT + name] = values[place]
                arrays["place"] = np.array([progress.epoch, progress.step])
                arrays = {name: np.array(values, order="C") for name, values in arrays.items()}
                arrays[_DIGEST] = np.frombuffer(self._digest(arrays), np.uint8)
                path.parent.mkdir(exist_ok=True)
                draft = new_draft(path.parent.parent, path.suffix, save(arrays))
                with draft.open("rb") as stream:
                    os.fsync(stream.fileno())
                open_to_all(draft)
                draft.replace(path)
            self._on_kept()
        except (OSError, PrunescopeError):
            self._ends = False  # what is not kept is trained to its end
        self._kept = time.perf_counter()
        if self._ends:
            raise RungStoppedError

    def discard(self) -> None:
        """Remove the files: the rung is done."""
        for path in self._paths:
            path.unlink(missing_ok=True)


def progress_names(identity: str, places: Iterable[int]) -> list[str]:
    """Return what the files of an ensemble's networks are called."""
    return [f"{identity}-{place:04d}" for place in places]
