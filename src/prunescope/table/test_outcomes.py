"""Which test examples networks classify correctly, as a store keeps them: one bit for each example."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import DamageError
from prunescope.table.arrays import ArrayKind, array_names, read_arrays
from prunescope.table.findings import Array

_BITS, _COUNT = "right", "examples"


def packed(right: NDArray[np.bool_]) -> dict[str, Array]:
    """Return what a store keeps of a network's outcomes on the test examples, in the order of the test set."""
    return {_BITS: np.packbits(right), _COUNT: np.array([len(right)], np.int64)}


@dataclass(frozen=True)
class StoredOutcomes:
    """The outcomes on test examples that a store keeps."""

    path: Path

    def of(self, rungs: Iterable[tuple[str, int]]) -> NDArray[np.bool_] | None:
        """Return which examples each rung classifies correctly, ``[rungs, examples]``.

        None where that was not kept of some rung, or they were tested on different numbers of examples.
        """
        kept: dict[str, frozenset[int]] = {}
        rows: list[NDArray[np.bool_]] = []
        for ladder, rung in rungs:
            if ladder not in kept:
                names = array_names(self.path, ArrayKind.TEST_EXAMPLES, ladder)
                kept[ladder] = frozenset(number for number, _ in names)
            if rung not in kept[ladder]:
                return None
            rows.append(self._right(ladder, rung))
            if len(rows[-1]) != len(rows[0]):
                return None
        return np.stack(rows) if rows else None

    def _right(self, ladder: str, rung: int) -> NDArray[np.bool_]:
        arrays = read_arrays(self.path, ArrayKind.TEST_EXAMPLES, ladder, rung)
        try:
            bits, count = arrays[_BITS], int(arrays[_COUNT][0])
            if bits.dtype != np.uint8 or len(bits) != -(-count // 8):
                raise ValueError
        except (KeyError, IndexError, ValueError):
            words = f"the outcomes of ladder {ladder}, rung {rung}, on test examples in {self.path} are none"
            raise DamageError(f"{words}; delete that file") from None
        return np.unpackbits(bits, count=count).astype(bool)
