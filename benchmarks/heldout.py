"""How far chosen sizes are from true ones on ladders that the law never saw.

python -m benchmarks.heldout runs/digits [...]

For each table: the ladders of every other replicate are held out. The law is fitted to the rest, and for errors
between the best unpruned one and four times that, the smallest network that it predicts is held against the smallest
one among the held-out ladders: their mean curves, read between rungs on log-log axes. And whole members are held out,
one after another: how many parameters the law, fitted to the other members, gives each of them at each error (with its
own unpruned error known, as in the first paper's Figure 8), and whether the interval holds what it turned out to be.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from prunescope.choose.family import Family, Grid, fit_families
from prunescope.table import Table, read_table

BOUNDS, LEVEL = 12, 0.9


def curves(rows: Table, family: Family) -> dict[tuple[float, float], tuple[np.ndarray, np.ndarray]]:
    """Return log density and log mean error of each member, sparsest first, errors made to rise as density falls."""
    found = {}
    examples = rows["examples"] == family.examples
    for depth, width in zip(family.depth.tolist(), family.width.tolist(), strict=True):
        own = examples & (rows["depth"] == depth) & (rows["width"] == width)
        if not own.any():
            continue
        density = np.unique(np.round(np.log(rows["density"][own]), 3))
        rounded = np.round(np.log(rows["density"]), 3)
        means = np.array([rows["test_error"][own & (rounded == each)].mean() for each in density])
        found[depth, width] = density, np.log(np.maximum.accumulate(means[::-1])[::-1])
    return found


def needed(curve: tuple[np.ndarray, np.ndarray], bound: float) -> float:
    """Return the lowest log density at which a measured curve keeps a bound, between rungs on log-log axes."""
    density, error = curve
    keeps = np.flatnonzero(error <= np.log(bound))
    if not len(keeps):
        return float("inf")
    first = int(keeps[0])
    if first == 0:
        return float("nan")
    share = (np.log(bound) - error[first]) / (error[first - 1] - error[first])
    return float(density[first] + share * (density[first - 1] - density[first]))


def bounds_for(family: Family) -> np.ndarray:
    """Return errors from just above the best unpruned one to four times that, below what guessing gives."""
    low = float(np.exp(family.unpruned.mean.min()))
    return np.geomspace(1.1 * low, min(4 * low, 0.8 * family.fit.parameters["eps_up"]), BOUNDS)


def ladders_held_out(rows: Table) -> list[float]:
    """Return how far the smallest sizes are off, as shares, for ladders held out."""
    held = rows["replicate"] % 2 == 1
    family = fit_families(rows.take(~held), Grid(), {})[0][0]
    actual = curves(rows.take(held), family)
    off = []
    for bound in bounds_for(family).tolist():
        density = family.likeliest.needed(bound)[0]
        predicted = family.sizes.parameters(density).min()
        true = [needed(actual[key], bound) for key in zip(family.depth.tolist(), family.width.tolist(), strict=True)]
        sizes = family.sizes.parameters(np.array(true))
        if np.isnan(sizes).any() or not np.isfinite(predicted) or not np.isfinite(sizes).any():
            continue
        off.append(abs(predicted / sizes.min() - 1))
    return off


def members_held_out(rows: Table) -> tuple[list[float], list[bool]]:
    """Return how far each member's sizes are off when the law never saw it, and whether intervals held them."""
    off, held = [], []
    whole = fit_families(rows, Grid(), {"intervals": "quick"})[0][0]
    for place, key in enumerate(zip(whole.depth.tolist(), whole.width.tolist(), strict=True)):
        out = (rows["depth"] == key[0]) & (rows["width"] == key[1])
        unpruned = float(np.exp(whole.unpruned.mean[place]))
        members = {"depth": [round(key[0])], "width": [key[1]], "unpruned_error": [unpruned]}
        try:
            grid = Grid(table=members, examples=whole.examples)
            family = fit_families(rows.take(~out), grid, {}, extrapolate=True)[0][0]
        except Exception as trouble:
            print(f"  {key}: {trouble}")
            continue
        actual = curves(rows, whole)[key]
        for bound in bounds_for(whole).tolist():
            predicted, true = family.likeliest.needed(bound)[0, 0], needed(actual, bound)
            if not np.isfinite(predicted) or not np.isfinite(true):
                continue
            drawn = np.minimum(family.possible.needed(bound)[:, 0], 0.0)
            low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
            # The mean of some networks scatters too: by their noise, divided by the slope of the curve.
            around = np.interp(true + np.array([-0.1, 0.1]), *actual)
            scatter = 1.645 * family.fit.spread[1] / max(0.05, abs(float(around[1] - around[0])) / 0.2)
            sizes = family.sizes.parameters(np.array([[predicted], [true]]))[:, 0]
            off.append(abs(float(sizes[0] / sizes[1]) - 1))
            held.append(low - scatter <= true <= high + scatter)
    return off, held


def main(paths: list[str]) -> None:
    """Print the figures of each table."""
    for path in paths:
        rows: Any = read_table(path)
        off = ladders_held_out(rows)
        apart, held = members_held_out(rows)
        print(f"{path}: {len(rows):,} rows")
        print(f"  ladders held out: smallest size off by {np.mean(off):.1%} on average ({np.min(off):.1%} to "
              f"{np.max(off):.1%}, {len(off)} bounds)")  # fmt: skip
        print(f"  members held out: sizes off by {np.mean(apart):.1%} on average (median {np.median(apart):.1%}, up to "
              f"{np.max(apart):.1%}, {len(apart)} bounds and members); {np.mean(held):.0%} within {LEVEL:.0%} "
              "intervals")  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
