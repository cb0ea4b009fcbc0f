"""A large store: 100,000 rungs in 5,000 shards opened, filtered and grouped. Goal: under 1 s on two cores.

A store packs itself, so 5,000 shards lie about only where many writers were killed; the second figure is the usual
case.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.clock import Figure, seconds
from prunescope.table import STORED, Store
from prunescope.table.columns import conform
from prunescope.table.findings import Findings

SHARDS, RUNGS = 5_000, 20
QUERY = (
    "select depth, width, count(*) as n, avg(test_error) as error from rungs where density < 0.5 group by depth, width"
)


def rows(ladder: int) -> dict[str, list[Any]]:
    """Return a ladder of made-up rungs, by columns."""
    kept = [round(100_000 * 0.8**rung) for rung in range(RUNGS)]
    columns: dict[str, Any] = {column.name: [None] * RUNGS for column in STORED}
    every = {
        "study": "bench", "ladder": f"{ladder:032x}", "replicate": ladder % 3, "family": "cifar-resnet",
        "dataset": "cifar10", "depth": 8 + 6 * (ladder % 7), "width": 0.25 * (1 + ladder % 4), "examples": 50_000,
        "label_noise": 0.0, "recipe": "0" * 12, "treatment": "imp", "rewind": "weights", "score": "magnitude",
        "scope": "global", "prunable": 100_000, "connected": True, "epochs": 160, "seconds": 12.5, "device": "cpu",
        "version": "0.1.0", "started": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    columns |= {name: [value] * RUNGS for name, value in every.items()}
    errors = [0.05 + 0.01 * rung + ladder % 11 / 1000 for rung in range(RUNGS)]
    return columns | {
        "rung": list(range(RUNGS)),
        "density": [count / 100_000 for count in kept],
        "kept": kept,
        "parameters": [count + 500 for count in kept],
        "test_error": errors,
        "test_loss": errors,
        "train_error": errors,
        "train_loss": errors,
    }


def measure() -> Iterator[Figure]:
    """Measure the store whole, and DuckDB alone on the same files as the floor."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        store = Store(path, create=True)
        names = [column.name for column in STORED]

        def write() -> None:
            for ladder in range(SHARDS):
                store.shards.write(conform(rows(ladder), Findings("bench"), names).columns)

        yield f"a shard of {RUNGS} rungs checked and written, mean of {SHARDS:,}", "s", [seconds(write, 1)[0] / SHARDS]
        shards = str(path / "rungs" / "*.parquet")
        plain = QUERY.replace("from rungs", f"from read_parquet('{shards}')")
        yield (
            "5,000 shards filtered and grouped, DuckDB alone, unchecked",
            "s",
            seconds(lambda: duckdb.connect().execute(plain).fetchall(), 5),
        )
        yield "5,000 shards opened, checked, filtered and grouped", "s", seconds(lambda: Store(path).query(QUERY), 5)
        yield "5,000 shards as one checked table", "s", seconds(lambda: Store(path).table(), 3)
        yield "packing them", "s", seconds(store.pack, 1)
        yield (
            "the same 100,000 rungs packed: opened, checked, filtered and grouped",
            "s",
            seconds(lambda: Store(path).query(QUERY), 5),
        )
        yield "the same as one checked table", "s", seconds(lambda: Store(path).table(), 3)
