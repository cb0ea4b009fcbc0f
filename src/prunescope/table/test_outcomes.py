"""Which test examples networks classify correctly, as a store keeps them: one bit for each example."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import DamageError
from prunescope.table.arrays import ArrayKind, joined_arrays, ladder_files
from prunescope.table.findings import Array

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
