"""Which columns of a table tell its cells apart: the schema's, and those of a file's own that split ladders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunescope.table import Table
from prunescope.table.coded import Columns, group_codes
from prunescope.table.own_columns import REPETITIONS
from prunescope.table.schema import BY_NAME, CONFIGURATION, ColumnGroup

# What a joint law explains; everything else that tells configurations apart makes groups.
EXPLAINED = ("depth", "width", "examples")
TREATMENT = tuple(column.name for column in BY_NAME.values() if column.group is ColumnGroup.TREATMENT)


def identity_columns(table: Table) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the columns that tell cells apart, and which of them are a file's own.

    The schema's configuration and treatment columns always do. A column of the file's own does where it splits
    ladders from each other and not ladders into their rungs: where the groups it makes still hold most densities.
    """
    identity = [name for name in table if name in CONFIGURATION or name in TREATMENT]
    candidates = [name for name in table if name not in BY_NAME and name.lower() not in REPETITIONS]
    candidates = [name for name in candidates if not _repeats_a_size(table, name)]
    pruned = table["density"] < 1
    extra: list[str] = []
    if candidates and pruned.any():
        columns = Columns.of(table.columns).pick([*identity, *candidates, "density"]).take(pruned)
        enough = max(3.0, _densities(columns, identity) / 2)
        for name in candidates:
            if _may_identify(columns[name]) and _densities(columns, [*identity, *extra, name]) >= enough:
                extra.append(name)
    return (*identity, *extra), tuple(extra)


def _repeats_a_size(table: Table, name: str) -> bool:
    """Whether a column is depth, width or examples over again, as one is that these were set from."""
    values = table[name]
    sizes = [table[size] for size in EXPLAINED if size in table] if values.dtype.kind in "iuf" else []
    return any(bool(np.all(values == size)) for size in sizes)


def _may_identify(values: NDArray[Any]) -> bool:
    """Whether a column may tell ladders apart at all: it varies, and not as measured numbers do."""
    distinct = len(np.unique(values)) if values.dtype.kind == "f" else len(set(values.tolist()))
    return distinct > 1 and (values.dtype.kind != "f" or distinct <= max(2, len(values) // 8))


def _densities(columns: Mapping[str, NDArray[Any]], names: Sequence[str]) -> float:
    """Return how many densities the group of a row holds, in the median over rows."""
    codes = group_codes(columns, names)
    density = np.unique(columns["density"], return_inverse=True)[1].reshape(-1)
    pairs = np.unique(codes * (int(density.max()) + 1) + density) // (int(density.max()) + 1)
    return float(np.median(np.bincount(pairs)[codes]))
