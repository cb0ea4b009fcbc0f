"""Arrays that belong to a rung: outcomes per training example, checkpoints, masks. Safetensors files, never pickles.

``examples/<ladder>/<rung>.<hash>.safetensors`` and the same under ``checkpoints``. Written once; what they mean is the
business of the rooms that write and read them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from prunescope.errors import ConflictError, DamageError, Fault, InputError, clipped
from prunescope.table.durable import is_own, new_draft, publish_all, published_name, verified
from prunescope.table.findings import Array

IDENTITY = re.compile(r"[0-9a-f]{32}")
_NAME = re.compile(r"([0-9]{4,})\.[0-9a-f]{40}\.safetensors")


class Keep(StrEnum):
    """What kind of arrays a file holds, and the folder it is in."""

    EXAMPLES = "examples"
    CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Entry:
    """Arrays of one rung that are to be kept."""

    keep: Keep
    ladder: str
    rung: int
    values: Mapping[str, Array]


def write_arrays(store: Path, entries: Iterable[Entry], final: Callable[[str, int], bool]) -> list[Path]:
    """Write arrays of rungs; when this returns they are all on the disk. Many take little longer than one.

    Parameters
    ----------
    final
        Whether what a rung of a ladder has must stay; where not, other arrays make room for these.
    """
    files: list[tuple[Path, Path]] = []
    try:
        for entry in entries:
            target, content = _file(store, entry)
            present = find_arrays(store, entry.keep, entry.ladder, entry.rung)
            if present is not None and present != target:
                if final(entry.ladder, entry.rung):
                    words = "stands already and holds other arrays; a finished rung is never overwritten"
                    raise ConflictError(f"{present} {words}")
                present.unlink(missing_ok=True)
            draft = new_draft(store, target.suffix)
            files.append((draft, target))
            draft.write_bytes(content)
        publish_all(files)
    finally:
        for draft, _ in files:
            draft.unlink(missing_ok=True)
    return [target for _, target in files]


def _file(store: Path, entry: Entry) -> tuple[Path, bytes]:
    """Return the path and the content of the file that holds a rung's arrays."""
    from safetensors.numpy import save

    folder = _folder(store, entry.keep, entry.ladder, entry.rung)
    prepared = {name: np.asarray(values, order="C") for name, values in entry.values.items()}
    wrong = [name for name, values in prepared.items() if values.dtype.kind not in "biuf"]
    if wrong:
        fault = Fault(f"array {wrong[0]!r}", "must hold numbers or flags", str(prepared[wrong[0]].dtype))
        raise InputError(str(store), [fault])
    content = save(prepared)
    return folder / published_name(f"{entry.rung:04d}", ".safetensors", content), content


def find_arrays(store: Path, keep: Keep, ladder: str, rung: int) -> Path | None:
    """Return the file with a rung's arrays, None where there is none."""
    folder = _folder(store, keep, ladder, rung)
    found = sorted(
        path for path in folder.glob(f"{rung:04d}.*.safetensors") if _NAME.fullmatch(path.name) and is_own(path)
    )
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise ConflictError(f"{folder} holds different arrays for rung {rung}: {names}. Keep the one that you trust.")
    return found[0] if found else None


def read_arrays(store: Path, keep: Keep, ladder: str, rung: int) -> dict[str, Array]:
    """Return the arrays of one rung, after checking that they are what was written."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = find_arrays(store, keep, ladder, rung)
    if path is None:
        raise InputError(str(store), [Fault(f"{keep} of ladder {ladder}, rung {rung}", "must be there", "nothing")])
    try:
        return dict(load(verified(path)))
    except (SafetensorError, ValueError, KeyError, TypeError) as trouble:
        raise DamageError(f"{path} holds no arrays: {trouble}") from None


def check_identity(source: Path, ladder: object) -> str:
    """Return a ladder's identity; refuse what is none, and so every name that could lead elsewhere."""
    if isinstance(ladder, str) and IDENTITY.fullmatch(ladder):
        return ladder
    must = "must be 32 hexadecimal digits"
    raise InputError(str(source), [Fault("the identity of a ladder", must, clipped(ladder))])


def _folder(store: Path, keep: Keep, ladder: str, rung: int) -> Path:
    """Return where a rung's arrays are."""
    folder = store / keep / check_identity(store, ladder)
    if rung < 0:
        raise InputError(str(store), [Fault("the number of a rung", "must be 0 or more", str(rung))])
    if folder.is_symlink():
        raise InputError(str(store), [Fault(f"its folder {keep}/{ladder}", "must be a folder", "a link")])
    return folder
