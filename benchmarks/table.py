"""Reading people's files: a CSV of a million rows, checked value by value, beside pandas, which checks nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.clock import Figure, seconds
from prunescope.table import read_table

ROWS = 1_000_000


def measure() -> Iterator[Figure]:
    """Measure both on the same file."""
    import pandas

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "million.csv"
        lines = (
            f"resnet,{8 + row % 7 * 6},{row // 35},{0.8 ** (row % 5):.6g},{row % 997 / 1000}" for row in range(ROWS)
        )
        path.write_text("family,depth,replicate,density,error\n" + "\n".join(lines))
        yield "CSV of 1,000,000 rows and 5 columns: pandas.read_csv", "s", seconds(lambda: pandas.read_csv(path), 3)
        yield "CSV of 1,000,000 rows and 5 columns: read_table", "s", seconds(lambda: read_table(path), 3)
        read_table(path).write(path.with_suffix(".parquet"))
        parquet = path.with_suffix(".parquet")
        yield "the same rows from Parquet: read_table", "s", seconds(lambda: read_table(parquet), 3)
