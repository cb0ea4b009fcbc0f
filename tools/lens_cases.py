"""The cases of the second paper that ship: one network at one level of label noise each, with all that is known of it.

A table of a lens study ships as rows, and beside it tables of `prunescope lens STORE --tables` that rows alone
cannot give: `NAME-loss-by-el2n.parquet`, `NAME-top-fifth.parquet` and `NAME-leave-outs.parquet`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import duckdb

from prunescope.lens import CellResult, Verdict, analyze
from prunescope.table import load_table, published_tables
from tools.publish import FOLDER

LENS_TABLES = ("lenet-mnist-noise", "lenet-mnist-memorised", "resnet20-cifar10-lens", "resnet20-cifar10-memorised")
# The loss of a network that guesses among the ten classes of our datasets, in nats.
GUESSING = math.log(10)

Row = dict[str, Any]


class Case(NamedTuple):
    """One network at one level of label noise, and the table that it is in."""

    table: str
    cell: CellResult

    @property
    def is_clean(self) -> bool:
        """Whether all labels are right."""
        return not self.cell.label_noise

    @property
    def has_memorised(self) -> bool:
        """Whether the dense networks fit their wrong labels better than guessing does."""
        loss = next((point.train_loss_noisy for point in self.cell.pruning.points if point.rung == 0), None)
        return loss is not None and loss.mean < GUESSING

    @property
    def best(self) -> Verdict | None:
        """Test error at the optimal sparsity minus that of the dense networks."""
        return None if self.cell.optimal is None else self.cell.optimal.test_error

    @property
    def extended(self) -> Verdict | None:
        """Test error of extended dense training minus that of pruning."""
        return None if self.cell.extended is None else self.cell.extended.best

    @property
    def narrow(self) -> Verdict | None:
        """Test error of narrower networks minus that of pruned ones, each at its lowest."""
        return None if self.cell.narrow is None else self.cell.narrow.best_by_test

    def rows(self, table: str, which: str) -> list[Row]:
        """Return its rows of a lens table under the main treatment."""
        return [row for row in main_rows(self.table, table, which) if self._is_of(row)]

    def left_out(self, leave: str) -> Row | None:
        """Return what dense networks without some examples do."""
        rows = lens_rows(self.table, "leave-outs")
        return next((row for row in rows if self._is_of(row) and row["leave"] == leave), None)

    def _is_of(self, row: Row) -> bool:
        return bool((row["network"], row["label_noise"]) == (self.cell.name, self.cell.label_noise))


@cache
def cells_of(name: str) -> tuple[CellResult, ...]:
    """Return what the lens says of the cells of a shipped table."""
    return analyze(load_table(name), examples=0, suspects=0).cells


def cases_of(name: str) -> list[Case]:
    """Return the cases of a shipped table."""
    return [Case(name, cell) for cell in cells_of(name)]


def shipped() -> list[str]:
    """Return the lens tables that come with the package."""
    return [name for name in LENS_TABLES if name in published_tables()]


@cache
def lens_rows(name: str, table: str) -> tuple[Row, ...]:
    """Return the rows of a lens table that ships beside a table; none where it does not."""
    files = [file for file in published_tables()[name].lens_tables if file.endswith(f"{table}.parquet")]
    rows: list[Row] = []
    with duckdb.connect() as database:
        for file in files:
            found = database.execute("from read_parquet(?)", [str(FOLDER / file)])
            columns = [column for column, *_ in found.description or ()]
            rows += [dict(zip(columns, row, strict=True)) for row in found.fetchall()]
    return tuple(rows)


def main_rows(name: str, table: str, which: str) -> Iterator[Row]:
    """Yield the rows of a lens table that are of the main treatment, at one of its sparsities."""
    main = {(cell.name, cell.label_noise): cell.pruning.treatment for cell in cells_of(name)}
    for row in lens_rows(name, table):
        if row["which"] == which and row["treatment"] == main.get((row["network"], row["label_noise"])):
            yield row


def noise_words(level: float) -> str:
    """Write a level of label noise."""
    return f"{100 * level:g} %"


def around(mean: float, deviation: float | None, most: int = 2) -> str:
    """Write a difference and its standard deviation: two digits, or one behind the point; at most so many there."""
    digits = min(most, max(1, 1 - math.floor(math.log10(max(abs(mean), 1e-9)))))
    spread = "" if deviation is None else f" ± {deviation:.{digits}f}"
    return f"{mean:+.{digits}f}{spread}"


def points(difference: Verdict) -> str:
    """Write a difference of errors in percentage points."""
    spread = None if difference.deviation is None else 100 * difference.deviation
    return around(100 * difference.mean, spread)


def nats(difference: Verdict) -> str:
    """Write a difference of losses."""
    return around(difference.mean, difference.deviation, 4)


def memorised() -> Iterator[str]:
    """Yield rows on how far dense networks have learnt wrong labels, and what pruning does at its optimum."""
    for name in shipped():
        for cell in cells_of(name):
            dense = next((point for point in cell.pruning.points if point.rung == 0), None)
            if dense is None or dense.train_loss_noisy is None or cell.optimal is None:
                continue
            noisy = cell.optimal.train_loss_noisy
            yield (
                f"| {name} | {noise_words(cell.label_noise)} | {100 * dense.test_error.mean:.1f} % | "
                f"{dense.train_loss_noisy.mean:.2f} | {'' if noisy is None else f'{noisy.mean:+.2f}'} | "
                f"{points(cell.optimal.test_error)} | {cell.diagnosis.effect} |"
            )


def other_ways() -> Iterator[str]:
    """Yield rows on other ways of pruning, each at its best rung, beside the main one at its own."""
    for name in shipped():
        for cell in cells_of(name):
            for other in cell.ablations:
                if other.best is not None:
                    noise, way = noise_words(cell.label_noise), other.curve.treatment
                    yield f"| {name} | {noise} | {way} | {points(other.best)} | {other.best.outcome} |"
