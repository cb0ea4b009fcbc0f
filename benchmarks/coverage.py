"""How often intervals hold the truth, over made-up families like the first paper's Table 1. Takes minutes.

Goal: 90 % intervals hold the true parameter in 85 to 95 % of cases, and prediction intervals likewise; where the data
stop before a plateau they widen instead of lying. The same over what real studies have (`conditions`): with ``--quick``
those alone, over fewer families, in about two minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import NormalDist
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from tests.laws.families import NOISE, dipped, disturbed, family, family_table, low_plateau, truth
from tests.laws.planted_outcomes import outcome_store, planted_outcomes

from benchmarks.clock import Figure
from prunescope.choose import smallest_network
from prunescope.errors import PrunescopeError
from prunescope.laws import JointLaw, SingleLaw, joint_error
from prunescope.laws.results import Intervals

FAMILIES, NEW = 200, 40
Member = tuple[float, float, float]
# Members of families under conditions: of one number of examples, or of eight members with three each.
EIGHT: Sequence[Member] = [(depth, width, 50_000) for depth in (14, 20, 26, 50) for width in (0.5, 1.0)]
WIDE: Sequence[Member] = [(depth, width, 50_000) for depth in (14, 26) for width in (0.25, 0.5, 1.0, 2.0)]
SHARED: Sequence[Member] = [(depth, width, n) for depth, width, _ in WIDE for n in (50_000, 25_000, 12_500)]
DISTURBED, CHOICES, QUICK = 60, 120, 20
CONDITIONS: Sequence[tuple[str, dict[str, Any]]] = (
    ("independent noise", {}),
    ("correlated ladders (0.7)", {"persistence": 0.7}),
    ("a test set of 500", {"test_examples": 500}),
    ("a test set of 2,000", {"test_examples": 2_000}),
    ("outcomes on 500 test examples", {"likeness": 0.4}),
    ("of these their number alone", {"likeness": 0.4, "keep": False}),
    ("dips of 3 %", {"dip": 0.03}),
    ("dips of 8 %", {"dip": 0.08}),
    ("heavy tails", {"heavy": True}),
)


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


@contextmanager
def measured(
    seed: int,
    members: Sequence[Member],
    planted: Mapping[str, float],
    *,
    likeness: float | None = None,
    keep: bool = True,
    **condition: Any,
) -> Iterator[Any]:
    """Give the table of members as real studies measure them.

    Parameters
    ----------
    likeness
        Whether networks are tested on 500 examples of which a store has the outcomes, and how far their errors are on
        the same ones (`planted_outcomes`).
    keep
        Whether that store keeps the outcomes, or their number alone.
    """
    columns, _ = disturbed(seed, members, planted, **condition)
    if likeness is None:
        yield columns
        return
    with TemporaryDirectory() as folder:
        right = planted_outcomes(columns["error"], 500, likeness, seed)
        yield outcome_store(Path(folder) / "store", columns, right, keep)


def held_by_curves(seed: int, **condition: Any) -> dict[str, bool]:
    """Return which intervals of one network's ladders hold the truth."""
    planted = truth(seed) | {"phi": 0.0, "psi": 0.0}
    with measured(seed, [(20, 1.0, 50_000)], planted, **condition) as table:
        intervals = SingleLaw().fit(table).intervals_
    return holding(intervals, planted | {"p": planted["p_prime"]})


def held_by_families(seed: int, members: Sequence[Member], **condition: Any) -> dict[str, bool]:
    """Return which intervals of a family hold the truth."""
    planted = truth(seed)
    with measured(seed, members, planted, **condition) as table:
        return holding(JointLaw(draws=120).fit(table).intervals_, planted)


def chosen(seed: int, **condition: Any) -> tuple[bool, float | None] | None:
    """Return whether the choice's density interval holds the density needed, and how likely the sure choice is to do.

    None where nothing is chosen.
    """
    planted, dip = truth(seed), condition.get("dip", 0.0)
    unpruned = {(depth, width): float(low_plateau(depth, width, n)) for depth, width, n in WIDE}
    bound = float(np.random.default_rng([seed, 9]).uniform(1.15, 1.8) * min(unpruned.values()))
    try:
        with measured(seed, WIDE, planted, levels=25, **condition) as table:
            answer = smallest_network(table, bound, draws=80, starts=8).answers[0]
    except (PrunescopeError, IndexError):
        return None
    choice, sure = answer.choice, answer.robust

    def errors(depth: float, width: float, density: Any) -> Any:
        return dipped(joint_error(unpruned[depth, width], density, depth, width, **planted), density, dip)

    densities = np.geomspace(1e-5, 1.0, 20_001)
    meets = errors(float(choice.depth or 1), float(choice.width or 1), densities) <= bound
    needed = float(densities[meets.argmax()]) if meets.any() else 1.0
    held = choice.density_low <= needed <= choice.density_high
    if sure is None:
        return held, None
    error = float(errors(float(sure.depth or 1), float(sure.width or 1), sure.density))
    return held, NormalDist().cdf(float(np.log(bound / error)) / NOISE)


def conditions(families: int) -> Iterator[Figure]:
    """Measure coverage under what real studies have."""
    shift = ("member shifts of 10 %, 8 members", {"member_shift": 0.1})
    for kind, chosen_conditions in (("single", CONDITIONS), ("joint", (*CONDITIONS, shift))):
        for words, condition in chosen_conditions:
            kept: dict[str, list[bool]] = {}
            for seed in range(families):
                members = SHARED if "member_shift" in condition else EIGHT
                held = (
                    held_by_curves(seed, **condition)
                    if kind == "single"
                    else held_by_families(seed, members, **condition)
                )
                for name, holds in held.items():
                    kept.setdefault(name, []).append(holds)
            yield f"{kind}: {words}", "%", [100 * float(np.mean(hits)) for hits in kept.values()]
    for words, condition in CONDITIONS:
        answers = [
            answer
            for seed in range(CHOICES if families == DISTURBED else families)
            if (answer := chosen(seed, **condition)) is not None
        ]
        kept_bounds = [100 * likely for _, likely in answers if likely is not None]
        yield f"choose: density intervals, {words}", "%", [100 * float(np.mean([hit for hit, _ in answers]))]
        yield f"choose: choices at 90 %, {words}", "%", [float(np.mean(kept_bounds))]


def measure() -> Iterator[Figure]:
    """Measure coverage; the runs of a figure are parameters, or families."""
    short = "--quick" in sys.argv
    yield from conditions(QUICK if short else DISTURBED)
    if short:
        return
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
