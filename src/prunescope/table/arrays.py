"""Arrays that belong to a rung: outcomes per example, checkpoints, masks. Safetensors files, never pickles.

``examples/<ladder>/<rung>.<hash>.safetensors`` and the same under ``test_examples`` and ``checkpoints``. Written once;
what they mean is the business of the rooms that write and read them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import ConflictError, DamageError, Fault, InputError, clipped
from prunescope.table.durable import is_own, is_sound, new_draft, publish_all, published_name, verified, writing
from prunescope.table.findings import Array

IDENTITY = re.compile(r"[0-9a-f]{32}")
_NAME = re.compile(r"([0-9]{4,})\.[0-9a-f]{40}\.safetensors")


class ArrayKind(StrEnum):
    """What kind of arrays a file holds, and the folder it is in."""

    EXAMPLES = "examples"
    TEST_EXAMPLES = "test_examples"
    CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class ArrayEntry:
    """Arrays of one rung that are to be kept."""

    keep: ArrayKind
    ladder: str
    rung: int
    values: Mapping[str, Array]


def write_arrays(
    store: Path, entries: Iterable[ArrayEntry], final: Callable[[str, int], bool], aside: bool = False
) -> list[Path]:
    """Write arrays of rungs; when this returns they are all on the disk. Many take little longer than one.

    Parameters
    ----------
    final
        Whether what a rung of a ladder has must stay; where not, other arrays make room for these. Damaged ones always
        do.
    aside
        Where something stays, put these into ``conflicts/`` rather than fail.
    """
    files: list[tuple[Path, Path]] = []
    replaced: list[Path] = []
    try:
        for entry in entries:
            target, content = _file(store, entry)
            others = [path for path in found_arrays(store, entry.keep, entry.ladder, entry.rung) if path != target]
            if others and final(entry.ladder, entry.rung):
                sound = [path for path in others if is_sound(path)]
                if sound and aside:
                    files.append((new_draft(store, target.suffix, content), conflicting(store, target)))
                    continue
                if sound:
                    words = "stands already and holds other arrays; a finished rung is never overwritten"
                    raise ConflictError(f"{sound[0]} {words}")
            replaced += others
            files.append((new_draft(store, target.suffix, content), target))
        publish_all(store, files, mend=True)
        with writing(store):
            for path in replaced:
                path.unlink(missing_ok=True)
    finally:
        for draft, _ in files:
            draft.unlink(missing_ok=True)
    return [target for _, target in files]


def conflicting(store: Path, path: Path) -> Path:
    """Return where a file of arrays is set aside that differs from what is there."""
    return store / "conflicts" / path.relative_to(store)


def _file(store: Path, entry: ArrayEntry) -> tuple[Path, bytes]:
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


def found_arrays(store: Path, keep: ArrayKind, ladder: str, rung: int) -> list[Path]:
    """Return the files with a rung's arrays: one, none, or several where stores were merged."""
    folder = _folder(store, keep, ladder, rung)
    return sorted(
        path for path in folder.glob(f"{rung:04d}.*.safetensors") if _NAME.fullmatch(path.name) and is_own(path)
    )


def read_arrays(store: Path, keep: ArrayKind, ladder: str, rung: int) -> dict[str, Array]:
    """Return the arrays of one rung, after checking that they are what was written.

    Raises
    ------
    ConflictError
        Where two files hold different values under one name.
    """
    files = found_arrays(store, keep, ladder, rung)
    if not files:
        raise InputError(str(store), [Fault(f"{keep} of ladder {ladder}, rung {rung}", "must be there", "nothing")])
    return joined_arrays(files)


def joined_arrays(files: Sequence[Path]) -> dict[str, Array]:
    """Return the arrays of files for one rung; what only one of them has is no contradiction."""
    arrays: dict[str, Array] = {}
    for path in files:
        for name, values in _content(path).items():
            earlier = arrays.setdefault(name, values)
            if earlier.dtype != values.dtype or earlier.shape != values.shape or earlier.tobytes() != values.tobytes():
                names = " and ".join(map(str, files))
                raise ConflictError(
                    f"{names} hold different arrays for one rung ({name}). Keep the one that you trust."
                )
    return arrays


def _content(path: Path) -> dict[str, Array]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return dict(load(verified(path)))
    except (SafetensorError, ValueError, KeyError, TypeError) as trouble:
        raise DamageError(f"{path} holds no arrays: {trouble}") from None


def array_names(store: Path, keep: ArrayKind, ladder: str, lowest: int = 0) -> Iterator[tuple[int, frozenset[str]]]:
    """Yield the rungs of a ladder's files, from one on, with the names of the arrays in them; no array is read."""
    from safetensors import SafetensorError, safe_open

    for rung, paths in ladder_files(store, keep, ladder).items():
        names: set[str] = set()
        for path in paths if rung >= lowest else ():
            try:
                with safe_open(path, framework="numpy") as opened:
                    names.update(opened.keys())
            except SafetensorError as trouble:
                raise DamageError(f"{path} holds no arrays: {trouble}") from None
        if rung >= lowest:
            yield rung, frozenset(names)


def ladder_files(store: Path, keep: ArrayKind, ladder: str) -> dict[int, list[Path]]:
    """Return the files with a ladder's arrays by their rungs, the lowest first."""
    files: dict[int, list[Path]] = {}
    for path in sorted(_folder(store, keep, ladder, 0).glob("*.safetensors")):
        match = _NAME.fullmatch(path.name)
        if match and is_own(path):
            files.setdefault(int(match[1]), []).append(path)
    return dict(sorted(files.items()))


def check_identity(source: Path, ladder: object) -> str:
    """Return a ladder's identity; refuse what is none, and so every name that could lead elsewhere."""
    if isinstance(ladder, str) and IDENTITY.fullmatch(ladder):
        return ladder
    must = "must be 32 hexadecimal digits"
    raise InputError(str(source), [Fault("the identity of a ladder", must, clipped(ladder))])


def _folder(store: Path, keep: ArrayKind, ladder: str, rung: int) -> Path:
    """Return where a rung's arrays are."""
    folder = store / keep / check_identity(store, ladder)
    if rung < 0:
        raise InputError(str(store), [Fault("the number of a rung", "must be 0 or more", str(rung))])
    if folder.is_symlink():
        raise InputError(str(store), [Fault(f"its folder {keep}/{ladder}", "must be a folder", "a link")])
    return folder


_BITS, _COUNT = "right", "examples"


def packed(right: NDArray[np.bool_]) -> dict[str, Array]:
    """Return what a store keeps of a network's outcomes on the test examples, in the order of the test set."""
    return {_BITS: np.packbits(right), _COUNT: np.array([len(right)], np.int64)}


@dataclass(frozen=True)
class StoredOutcomes:
    """The outcomes on test examples that a store keeps."""

    path: Path

    @property
    def kept(self) -> bool:
        """Whether there are any."""
        folder = self.path / ArrayKind.TEST_EXAMPLES
        return folder.is_dir() and any(folder.iterdir())

    def of(self, rungs: Iterable[tuple[str, int]]) -> tuple[NDArray[np.uint8], int] | None:
        """Return which examples each rung classifies correctly as bits, ``[rungs, bytes]``, and how many examples.

        None where that was not kept of some rung, or they were tested on different numbers of examples.
        """
        files: dict[str, dict[int, list[Path]]] = {}
        rows: list[NDArray[np.uint8]] = []
        counts: set[int] = set()
        for ladder, rung in rungs:
            if ladder not in files:
                files[ladder] = ladder_files(self.path, ArrayKind.TEST_EXAMPLES, ladder)
            if rung not in files[ladder]:
                return None
            bits, count = _unwrapped(files[ladder][rung])
            rows.append(bits)
            counts.add(count)
            if len(counts) > 1:
                return None
        return (np.stack(rows), counts.pop()) if rows else None


def _unwrapped(files: Sequence[Path]) -> tuple[NDArray[np.uint8], int]:
    """Return the bits in a rung's files, and how many count."""
    arrays = joined_arrays(files)
    try:
        bits, count = arrays[_BITS], int(arrays[_COUNT][0])
        if bits.dtype != np.uint8 or bits.shape != (-(-count // 8),) or not count:
            raise ValueError
    except (KeyError, IndexError, ValueError):
        raise DamageError(f"{files[0]} holds no outcomes on test examples; delete it") from None
    return bits, count
