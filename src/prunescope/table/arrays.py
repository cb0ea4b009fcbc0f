"""Arrays that belong to a rung: outcomes per training example, checkpoints, masks. Safetensors files, never pickles.

``examples/<ladder>/<rung>.<hash>.safetensors`` and the same under ``checkpoints``. Written once; what they mean is the
business of the rooms that write and read them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

import numpy as np

from prunescope.errors import ConflictError, DamageError, Fault, InputError, clipped
from prunescope.table.durable import publish_bytes, verified
from prunescope.table.table import Array

IDENTITY = re.compile(r"[0-9a-f]{32}")
_NAME = re.compile(r"([0-9]{4,})\.[0-9a-f]{40}\.safetensors")


class Keep(StrEnum):
    """What kind of arrays a file holds, and the folder it is in."""

    EXAMPLES = "examples"
    CHECKPOINTS = "checkpoints"


def write_arrays(store: Path, keep: Keep, ladder: str, rung: int, arrays: Mapping[str, Array]) -> Path:
    """Write the arrays of one rung; when this returns they are on the disk."""
    from safetensors.numpy import save

    folder = _folder(store, keep, ladder, rung)
    content = save({name: np.ascontiguousarray(values) for name, values in arrays.items()})
    present = find_arrays(store, keep, ladder, rung)
    path = publish_bytes(store, folder, f"{rung:04d}", ".safetensors", content)
    if present is not None and present != path:
        path.unlink()
        raise ConflictError(f"{present} stands already and holds other arrays; a finished rung is never overwritten")
    return path


def find_arrays(store: Path, keep: Keep, ladder: str, rung: int) -> Path | None:
    """Return the file with a rung's arrays, None where there is none."""
    folder = _folder(store, keep, ladder, rung)
    found = sorted(path for path in folder.glob(f"{rung:04d}.*.safetensors") if _NAME.fullmatch(path.name))
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


def _folder(store: Path, keep: Keep, ladder: str, rung: int) -> Path:
    """Return where a rung's arrays are; names that could lead elsewhere are refused."""
    if not IDENTITY.fullmatch(ladder):
        must = "must be 32 hexadecimal digits"
        raise InputError(str(store), [Fault("the identity of a ladder", must, clipped(ladder))])
    if rung < 0:
        raise InputError(str(store), [Fault("the number of a rung", "must be 0 or more", str(rung))])
    return store / keep / ladder
