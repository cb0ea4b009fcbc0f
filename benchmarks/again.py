"""A ladder of each study that ships, drawn at random and trained anew, beside its rows in the shipped table.

python -m benchmarks.again                       one ladder of every table whose dataset is here
python -m benchmarks.again resnet-cifar10 --draw 7

PRUNESCOPE_DATA must hold the datasets. Where processor and kernels are those that measured the table, rungs are equal;
elsewhere rounding differs, and the ladder is one more replicate: two replicates are 1 apart in the mean square.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.clock import Figure
from prunescope.errors import InputError
from prunescope.run import run_study
from prunescope.study import Ladder, Study, parse_study
from prunescope.table import Store, Table, load_table, published_tables, published_text
from prunescope.table.published import refuse_unpublished

Errors = dict[int, float]
"""Test error by rung."""


@dataclass(frozen=True)
class Again:
    """A ladder as it ships, and trained anew."""

    table: str
    ladder: Ladder
    shipped: Errors
    trained: Errors
    scatter: float

    @property
    def words(self) -> str:
        """Say which ladder it is."""
        cell, how = self.ladder.cell, self.ladder.treatment.label
        noise = f", noise {cell.label_noise:g}" if cell.label_noise else ""
        return (
            f"{self.table}: l={cell.depth} w={cell.width:g} on {cell.examples:,}{noise}, {how} {self.ladder.replicate}"
        )

    @property
    def equal(self) -> float:
        """The share of rungs whose test error is the shipped one to the last digit."""
        return float(np.mean([self.trained[rung] == error for rung, error in self.shipped.items()]))

    @property
    def apart(self) -> list[float]:
        """How far each rung's error lies from the shipped one, as replicates lie from each other."""
        off = [math.log(self.trained[rung] / error) for rung, error in self.shipped.items()]
        return [abs(value) / (math.sqrt(2) * self.scatter) for value in off]


def train_again(name: str, draw: random.Random) -> Again:
    """Draw a ladder of a shipped study that prunes, and train it in an empty store."""
    rows = load_table(name)
    there = set(rows["ladder"].tolist())
    study, ladder = draw.choice(
        [
            (study, ladder)
            for study in _studies(name)
            for ladder in study.ladders
            if ladder.treatment.kind == "imp" and ladder.identity in there
        ]
    )
    with tempfile.TemporaryDirectory() as folder:
        report = run_study(study, folder, ladders=[ladder], workers=1)
        if report.failures:
            raise RuntimeError(str(report.failures))
        trained = Store(folder).table()
    of_ladder = rows.take(rows["ladder"] == ladder.identity)
    return Again(name, ladder, _errors(of_ladder), _errors(trained), _scatter(rows, study, ladder))


def _studies(name: str) -> Iterator[Study]:
    for file in published_tables()[name].studies:
        yield replace(parse_study(published_text(file), file), el2n=None, keep_examples="none")


def _errors(rows: Table) -> Errors:
    return dict(zip(rows["rung"].tolist(), rows["test_error"].tolist(), strict=True))


def _scatter(rows: Table, study: Study, ladder: Ladder) -> float:
    """Return the standard deviation of log errors between the replicates of a ladder, over its rungs."""
    of_cell = [
        other.identity for other in study.ladders if (other.cell, other.treatment) == (ladder.cell, ladder.treatment)
    ]
    errors = [_errors(rows.take(rows["ladder"] == identity)) for identity in of_cell]
    logs: NDArray[np.float64] = np.log([[found[rung] for rung in sorted(errors[0])] for found in errors if found])
    return float(np.sqrt(logs.var(axis=0, ddof=1).mean()))


def trained_again(names: list[str], seed: int | None) -> Iterator[Again]:
    """Yield a ladder of each of these tables, of all where none is named; those without their dataset are left out."""
    draw, tables = random.Random(seed), published_tables()
    for name in names or tables:
        if name not in tables:
            raise refuse_unpublished(name)
        if tables[name].studies:
            try:
                yield train_again(name, draw)
            except InputError as trouble:
                sys.stderr.write(f"{name} is left out: {trouble}\n")


def measure() -> Iterator[Figure]:
    """Yield how far a ladder of each table lies from its shipped rows."""
    for again in trained_again([], None):
        yield f"{again.words}: equal", "% of rungs", [100 * again.equal]
        yield f"{again.words}: apart", "of two replicates", again.apart


def main() -> None:
    """Print what each ladder shows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", metavar="TABLE")
    parser.add_argument("--draw", type=int, metavar="SEED", help="seed of the draw [another each time]")
    arguments = parser.parse_args()
    try:
        _print_all(arguments.tables, arguments.draw)
    except InputError as trouble:
        parser.error(str(trouble))


def _print_all(tables: list[str], seed: int | None) -> None:
    for again in trained_again(tables, seed):
        apart = math.sqrt(sum(value * value for value in again.apart) / len(again.apart))
        sys.stdout.write(
            f"{again.words}: {100 * again.equal:.0f} % of {len(again.shipped)} rungs equal, {apart:.2f} apart in the "
            f"mean square, {max(again.apart):.2f} at most\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
