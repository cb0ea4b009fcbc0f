"""The claims of the second paper beside what shipped tables say of them.

A table of a lens study ships as rows, and beside it tables of `prunescope lens STORE --tables` that rows alone
cannot give: `NAME-loss-by-el2n.parquet`, `NAME-top-fifth.parquet` and `NAME-leave-outs.parquet`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from typing import Any

import duckdb

from prunescope.lens import CellResult, Verdict, analyze
from prunescope.lens.verdicts import TreatmentOutcome
from prunescope.table import load_table, published_tables
from tools.claims import APART, NOT_MEASURED, Claim, verdict
from tools.publish import FOLDER

LENS_TABLES = ("lenet-mnist-noise", "lenet-mnist-memorised", "resnet20-cifar10-lens", "resnet20-cifar10-memorised")
BETTER, WORSE, MATCHES = TreatmentOutcome.BETTER, TreatmentOutcome.WORSE, TreatmentOutcome.MATCHES
# The least and the most that the paper's top fifth by EL2N changes, as multiples of the rest.
LEAST_TIMES, MOST_TIMES = 3.5, 71.0
# How far the paper's LeNet, pruned, lies ahead of narrower networks, as fractions; its ResNet-20 matches them.
LENET_AHEAD_OF_NARROW = (-0.04, 0.004)

Judged = tuple[str, bool]
"""What one cell shows, in words, and whether it is what the paper says."""


@cache
def _cells(name: str) -> tuple[CellResult, ...]:
    return analyze(load_table(name), examples=0, suspects=0).cells


def _noisy_cells(name: str) -> list[tuple[float, Verdict]]:
    """Return the levels of label noise above 0, each with what pruning to the optimal sparsity does to test error."""
    cells = _cells(name)
    return [(cell.label_noise, cell.optimal.test_error) for cell in cells if cell.label_noise and cell.optimal]


def shipped() -> list[str]:
    """Return the lens tables that come with the package."""
    return [name for name in LENS_TABLES if name in published_tables()]


@cache
def lens_rows(name: str, table: str) -> tuple[dict[str, Any], ...]:
    """Return the rows of a lens table that ships beside a table; none where it does not."""
    files = [file for file in published_tables()[name].lens_tables if file.endswith(f"{table}.parquet")]
    rows: list[dict[str, Any]] = []
    with duckdb.connect() as database:
        for file in files:
            found = database.execute("from read_parquet(?)", [str(FOLDER / file)])
            columns = [column for column, *_ in found.description or ()]
            rows += [dict(zip(columns, row, strict=True)) for row in found.fetchall()]
    return tuple(rows)


def main_rows(name: str, table: str, which: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a lens table that are of the main treatment, at one of its sparsities."""
    main = {(cell.name, cell.label_noise): cell.pruning.treatment for cell in _cells(name)}
    for row in lens_rows(name, table):
        if row["which"] == which and row["treatment"] == main.get((row["network"], row["label_noise"])):
            yield row


def _noise(level: float) -> str:
    return f"{100 * level:g} %"


def _points(difference: Verdict) -> str:
    deviation = "" if difference.deviation is None else f" ± {100 * difference.deviation:.1f}"
    return f"{100 * difference.mean:+.1f}{deviation}"


def _claim(where: str, paper: str, judge: Callable[[CellResult], Judged | None], unit: str = "points") -> Claim:
    """Judge a claim in every cell of every table; a cell that lacks what it needs is left out."""
    words, met = [], []
    for name in shipped():
        judged = [(cell, judge(cell)) for cell in _cells(name)]
        there = [(cell, words_met) for cell, words_met in judged if words_met is not None]
        met += [fits for _, (_, fits) in there]
        if there:
            levels = ", ".join(f"{said} at {_noise(cell.label_noise)}" for cell, (said, _) in there)
            words.append(f"{name}: {levels}{' (' + unit + ')' if unit else ''}")
    return Claim(where, paper, APART.join(words), verdict(met) if met else NOT_MEASURED)


def _gain_without_noise(cell: CellResult) -> Judged | None:
    if cell.label_noise or cell.optimal is None:
        return None
    error, loss = cell.optimal.test_error, cell.optimal.train_loss
    trained = loss is not None and loss.outcome == BETTER
    change = "" if loss is None else f", training loss {loss.mean:+.4f} nats"
    return f"{_points(error)}{change}", error.outcome == BETTER and trained


def _gain_under_noise(cell: CellResult) -> Judged | None:
    if not cell.label_noise or cell.optimal is None:
        return None
    return _points(cell.optimal.test_error), cell.optimal.test_error.outcome == BETTER


def _grows_with_noise() -> Claim:
    """Whether the gain of pruning grows from one level of noise to the next; the paper compares noisy ones."""
    words, met = [], []
    for name in shipped():
        gains = [(noise, -change.mean) for noise, change in _noisy_cells(name)]
        if len(gains) > 1:
            met.append(all(low[1] <= high[1] for low, high in pairwise(gains)))
            words.append(f"{name}: " + ", ".join(f"{100 * gain:.1f} at {_noise(noise)}" for noise, gain in gains))
    return Claim(
        "Section 4, Fig. 3",
        "the gain grows with the share of wrong labels (VGG-16: 5.2, 16.1 and 34.6 points at 15, 30 and 60 %)",
        APART.join(words),
        verdict(met) if met else NOT_MEASURED,
    )


def _noisy_loss(cell: CellResult) -> Judged | None:
    gap = cell.optimal.gap if cell.optimal else None
    if gap is None:
        return None
    return f"{gap.dense.mean:.2f} → {gap.sparse.mean:.2f}", gap.difference.outcome == WORSE


def _extended(cell: CellResult) -> Judged | None:
    if cell.extended is None or cell.extended.best is None:
        return None
    best = cell.extended.best
    return _points(best), best.outcome == WORSE or (best.outcome == MATCHES and not cell.label_noise)


def _narrow(cell: CellResult) -> Judged | None:
    if cell.narrow is None or cell.narrow.best_by_test is None:
        return None
    difference = cell.narrow.best_by_test
    if cell.family == "lenet":
        least, most = LENET_AHEAD_OF_NARROW
        return _points(difference), least <= difference.mean <= most
    return _points(difference), difference.outcome == MATCHES


def _left_out(where: str, paper: str, leave: str, column: str, met: Callable[[float, float], bool]) -> Claim:
    """Judge what networks do without some examples, by a mean difference in points and its deviation."""
    words, judged = [], []
    for name in shipped():
        levels = []
        for row in lens_rows(name, "leave-outs"):
            noise, mean, deviation = row["label_noise"], row[column], row[f"{column}_deviation"] or 0.0
            # Wrong labels are what a sparse network is to find: without any there is nothing to find.
            if row["leave"] != leave or mean is None or (leave == "misclassified" and not noise):
                continue
            levels.append(f"{mean:+.1f} ± {deviation:.1f} at {_noise(noise)}")
            judged.append(met(mean, deviation))
        if levels:
            words.append(f"{name}: {', '.join(levels)} (points)")
    return Claim(where, paper, APART.join(words), verdict(judged) if judged else NOT_MEASURED)


def _top(name: str, which: str) -> Iterator[tuple[float, float]]:
    """Yield label noise and times of the top fifth under the main treatment."""
    for row in main_rows(name, "top-fifth", which):
        if row["times"] is not None:
            yield row["label_noise"], row["times"]


def _high_el2n() -> Claim:
    words, met = [], []
    for name in shipped():
        times = list(_top(name, "optimal"))
        met += [value >= LEAST_TIMES for _, value in times]
        if times:
            words.append(f"{name}: " + ", ".join(f"{value:.1f} times at {_noise(noise)}" for noise, value in times))
    return Claim(
        "Sections 3 and 4, Figs. 1, 2, 5",
        f"the fifth of the examples with the highest EL2N changes {LEAST_TIMES:g} to {MOST_TIMES:g} times as much in "
        "training loss as the rest",
        APART.join(words),
        verdict(met) if met else NOT_MEASURED,
    )


def memorised() -> Iterator[str]:
    """Yield rows on how far dense networks have learnt wrong labels, and what pruning does at its optimum."""
    for name in shipped():
        for cell in _cells(name):
            dense = next((point for point in cell.pruning.points if point.rung == 0), None)
            if dense is None or dense.train_loss_noisy is None or cell.optimal is None:
                continue
            noisy = cell.optimal.train_loss_noisy
            yield (
                f"| {name} | {_noise(cell.label_noise)} | {100 * dense.test_error.mean:.1f} % | "
                f"{dense.train_loss_noisy.mean:.2f} | {'' if noisy is None else f'{noisy.mean:+.2f}'} | "
                f"{_points(cell.optimal.test_error)} | {cell.diagnosis.effect} |"
            )


def second_paper() -> list[Claim]:
    """Return the claims of the second paper."""
    return [
        _claim(
            "Section 3, Fig. 2a",
            "with right labels, pruning to the optimal sparsity lowers the test error, and the training loss with it",
            _gain_without_noise,
        ),
        _claim(
            "Section 4, Fig. 3",
            "with wrong labels, pruning to the optimal sparsity lowers the test error (LeNet at 5 %: no gain)",
            _gain_under_noise,
        ),
        _grows_with_noise(),
        _claim(
            "Section 4, Fig. 4",
            "pruning widens the gap in training loss between wrong and right labels (VGG-16: 0.03 to 0.13 dense, 1.38 "
            "to 2.97 pruned)",
            _noisy_loss,
            "nats",
        ),
        _high_el2n(),
        _claim(
            "Section 5.1, Fig. 6",
            "the same training without pruning does worse: LeNet by 0 to 2.6 points, ResNet-20 by 0.4 to 14.5",
            _extended,
        ),
        _claim(
            "Section 5.2, Fig. 7",
            "beside narrower networks, each at its lowest test error, pruning does better by -4 (worse) to 0.4 points "
            "on LeNet, and equally well on ResNet-20: narrow minus pruned",
            _narrow,
        ),
        _left_out(
            "Appendix D",
            "dense networks without the fifth that pruning improves most do worse than without as many at random",
            "improved",
            "against_random",
            lambda mean, deviation: mean > 0 and mean >= deviation,
        ),
        _left_out(
            "Appendix E",
            "under noise, dense networks without what the optimally sparse one misclassifies do better than with it",
            "misclassified",
            "against_dense",
            lambda mean, deviation: mean < 0 and -mean >= deviation,
        ),
    ]
