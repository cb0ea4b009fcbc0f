"""Two results for one rung: the first stays in `rungs/`, the second is set aside, until somebody picks.

    conflicts/<ladder>.<rung>.<hash>.json      a second result: its row, and who wrote it
    conflicts/<kind>/<ladder>/...              arrays that came with it, or differ from those that are there
    conflicts/settled/                         what was not picked

The first is the one that was in the store when the other came. Where both came at once, so that neither writer saw the
other's, it is the one that started first; that is decided by what stands in the rows, so all readers decide alike.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prunescope.errors import DamageError
from prunescope.table.arrays import ArrayKind
from prunescope.table.durable import is_own, publish_bytes, verified
from prunescope.table.findings import Array
from prunescope.table.schema import BY_NAME, RESULTS, STORED_NAMES, Kind

ROUNDING = 1e-4  # sums of float32 in another order, after a training
_FILE = re.compile(r"([0-9a-f]{32})\.([0-9]{4,})\.[0-9a-f]{40}\.json")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Conflict:
    """A rung with two results.

    Attributes
    ----------
    first, second
        The row that counts, and the other one.
    writer
        Who wrote the second; empty where both stand in the store's rows.
    path
        Where the second is set aside; None where both stand in the store's rows.
    """

    first: Row
    second: Row
    writer: str = ""
    path: Path | None = None

    @property
    def ladder(self) -> str:
        """The identity of the ladder."""
        return str(self.first["ladder"])

    @property
    def rung(self) -> int:
        """The number of the rung."""
        return int(self.first["rung"])

    @property
    def differences(self) -> dict[str, tuple[Any, Any]]:
        """The results in which the rows differ, first and second."""
        pairs = {name: (self.first.get(name), self.second.get(name)) for name in RESULTS}
        return {name: (first, second) for name, (first, second) in pairs.items() if first != second}

    @property
    def largest(self) -> float:
        """The largest relative difference of a number; infinite where more than numbers differ."""
        sizes = [_relative(name, *values) for name, values in self.differences.items()]
        return max(sizes, default=0.0)

    @property
    def is_rounding(self) -> bool:
        """Whether they differ no more than one training differs between devices or kernels."""
        return self.largest <= ROUNDING


def _relative(name: str, first: Any, second: Any) -> float:
    if BY_NAME[name].kind is not Kind.NUMBER or first is None or second is None:
        return math.inf
    return float(abs(first - second) / max(abs(first), abs(second)))


def row_of(columns: Mapping[str, Array], place: int) -> dict[str, Any]:
    """Return one row of columns as plain content, None where nothing is known."""
    return {name: _plain(columns[name][place]) for name in STORED_NAMES}


def _plain(value: Any) -> Any:
    plain = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(plain, float) and math.isnan(plain) else plain


def same_results(first: Row, second: Row) -> bool:
    """Whether two rows are copies: they differ at most in when, where and for whom their network was trained."""
    return all(first.get(name) == second.get(name) for name in RESULTS)


def set_aside(store: Path, rows: Iterable[Row], writer: str, settled: bool = False) -> int:
    """Put results that are second into files of their own, unless they lie there; return how many are new."""
    new = 0
    for row in rows:
        known = [other for _, other, _ in [*([] if settled else aside(store)), *aside(store, settled=True)]]
        if any(
            (row["ladder"], row["rung"]) == (other["ladder"], other["rung"]) and same_results(row, other)
            for other in known
        ):
            continue
        content = json.dumps({"row": dict(row), "writer": writer}, sort_keys=True).encode()
        publish_bytes(store, _folder(store, settled), f"{row['ladder']}.{row['rung']:04d}", ".json", content)
        new += 1
    return new


def _folder(store: Path, settled: bool) -> Path:
    return store / "conflicts" / "settled" if settled else store / "conflicts"


def aside(store: Path, settled: bool = False) -> list[tuple[Path, dict[str, Any], str]]:
    """Return the results that were set aside: where, the row, who wrote it."""
    folder, rows = _folder(store, settled), []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        match = _FILE.fullmatch(path.name)
        if match and is_own(path):
            try:
                content = json.loads(verified(path))
                row = {name: content["row"].get(name) for name in STORED_NAMES}
                if (row["ladder"], row["rung"]) != (match[1], int(match[2])):
                    raise ValueError
                rows.append((path, row, str(content["writer"])))
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                raise DamageError(f"{path} is no result that was set aside; delete it") from None
    return rows


def are_aside(store: Path) -> bool:
    """Whether any result is set aside and not settled; no file is read."""
    folder = _folder(store, settled=False)
    return folder.is_dir() and any(_FILE.fullmatch(path.name) for path in folder.iterdir())


def arrays_aside(store: Path) -> list[Path]:
    """Return the files of arrays that were set aside."""
    return sorted(path for kind in ArrayKind for path in (store / "conflicts" / kind).glob("*/*.safetensors"))
