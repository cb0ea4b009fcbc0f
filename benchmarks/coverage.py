"""How often intervals hold the truth, over made-up families like the first paper's Table 1. Takes minutes.

Goal: 90 % intervals hold the true parameter in 85 to 95 % of cases, and prediction intervals likewise; where the data
stop before a plateau they widen instead of lying.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from tests.laws.families import family, family_table, low_plateau

from benchmarks.clock import Figure
from prunescope.laws import JointLaw, joint_error
from prunescope.laws.results import Intervals

FAMILIES, NEW = 200, 40


def holding(intervals: Intervals, planted: Mapping[str, float]) -> dict[str, bool]:
    """Return which intervals hold the truth, of those that say anything."""
    told = {name: interval for name, interval in intervals.items() if interval is not None}
    return {name: interval[0] <= planted[name] <= interval[1] for name, interval in told.items()}


def covered(families: int, **changes: Any) -> tuple[list[float], list[float], float]:
    """Return coverage in percent, parameter by parameter, of the intervals and the quick ones; and the share untold."""
    usual: dict[str, list[bool]] = {}
    quick: dict[str, list[bool]] = {}
    untold = 0
    for seed in range(families):
        columns, planted = family(seed, **changes)
        found = JointLaw().fit(columns).fit_
        untold += sum(interval is None for interval in found.intervals.values())
        for kept, intervals in ((usual, found.intervals), (quick, found.quick_intervals)):
            for name, holds in holding(intervals, planted).items():
                kept.setdefault(name, []).append(holds)
    percent = [[100 * float(np.mean(each)) for each in kept.values()] for kept in (usual, quick)]
    return percent[0], percent[1], 100 * untold / (5 * families)


def predictions(families: int) -> tuple[list[float], list[float]]:
    """Return coverage in percent, family by family, of new networks and of the law, for members left out."""
    new, law = [], []
    for seed in range(families):
        table, planted = family_table(seed)
        member = table["depth"] * 1e6 + table["width"] * 1e3 + 1 / table["examples"]
        left_out = np.isin(member, np.unique(member)[::3])
        found = JointLaw().fit(table.take(~left_out))
        test = table.take(left_out & (table["density"] < 1) & (table["replicate"] == 0))
        told = found.predictions(test)
        new.append(100 * float(np.mean((told.low <= test["test_error"]) & (test["test_error"] <= told.high))))
        plateau = low_plateau(test["depth"], test["width"], test["examples"])
        shape = {name: test[name] for name in ("depth", "width", "density")}
        exact = found.predictions({**shape, "unpruned_error": plateau})
        wanted = joint_error(plateau, test["density"], test["depth"], test["width"], **planted)
        law.append(100 * float(np.mean((exact.law_low <= wanted) & (wanted <= exact.law_high))))
    return new, law


def measure() -> Iterator[Figure]:
    """Measure coverage; the runs of a figure are parameters, or families."""
    for words, families, changes in (
        ("152 configurations, 3 replicates", FAMILIES, {}),
        ("the same, unpruned errors given", FAMILIES // 2, {"known": True}),
        ("the same, 1 replicate", FAMILIES // 2, {"replicates": 1}),
        ("16 configurations", FAMILIES, {"members": 16}),
        ("5 configurations", FAMILIES, {"members": 5}),
        ("60 configurations that stop at density 0.21", FAMILIES // 2, {"members": 60, "levels": 8}),
    ):
        usual, quick, untold = covered(families, **changes)
        yield f"coverage, {words}", "%", usual
        yield "  quick intervals", "%", quick
        yield "  intervals that say nothing", "%", [untold]
    new, law = predictions(NEW)
    yield "coverage of predictions, a newly trained network of a new member", "%", new
    yield "coverage of predictions, the law of a new member", "%", law
