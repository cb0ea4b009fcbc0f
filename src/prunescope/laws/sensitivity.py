"""How many measurements a stable fit needs: Experiments 1 and 2 of the first paper's Section 5.

Experiment 1 draws single networks at random, Experiment 2 whole configurations with all their densities. A law is
fitted to each draw and judged on all points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prunescope.laws.data import GroupData, Numbers, Points, describe_thinning
from prunescope.laws.forms import Form
from prunescope.laws.search import search_groups
from prunescope.laws.solver import deviation

EXPERIMENTS = {1: "networks at random", 2: "configurations at random, each with all its densities"}
HOW_MANY = 12
# Largest share of what there is to draw: more, and all draws are nearly one.
MOST = 0.75


@dataclass(frozen=True)
class SensitivityRow:
    """Fits to draws of one size: mean and standard deviation of mu and sigma over the repeats, as fractions."""

    drawn: int
    points: float
    mean_mu: float
    std_mu: float
    mean_sigma: float
    std_sigma: float


@dataclass(frozen=True)
class Sensitivity:
    """Mu and sigma of the fit to all points, and of the draws of each experiment, growing.

    Of more than `MOST_TRIED` measured points, whole cells are picked by chance beforehand.
    """

    group: Mapping[str, Any]
    law: str
    points: int
    cells: int
    repeats: int
    mu: float
    sigma: float
    experiments: Mapping[int, tuple[SensitivityRow, ...]]
    measured_points: int

    @property
    def drawn_from(self) -> str:
        """What draws and judgement are limited to, in words; empty where they are of all points."""
        return describe_thinning(self.points, self.measured_points)

    def enough(self, experiment: int, sigma: float) -> int | None:
        """Return the smallest draw from which on sigma, with one standard deviation, stays below a bound."""
        enough = None
        for row in reversed(self.experiments[experiment]):
            if row.mean_sigma + row.std_sigma > sigma or abs(row.mean_mu) + row.std_mu > sigma:
                break
            enough = row.drawn
        return enough

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        rows = {str(number): [vars(row) for row in sizes] for number, sizes in self.experiments.items()}
        return {**vars(self), "group": dict(self.group), "experiments": rows}


def default_sizes(least: int, most: int) -> tuple[int, ...]:
    """Return up to twelve sizes, evenly spaced in their logarithms."""
    return tuple(sorted({round(float(size)) for size in np.geomspace(least, most, HOW_MANY)}))


def sensitivity(
    form: Form,
    group: GroupData,
    fixed: Mapping[str, float],
    *,
    sizes: Mapping[int, Sequence[int]] | None = None,
    repeats: int = 30,
    count: int = 8,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Sensitivity:
    """Run both experiments on one group.

    Parameters
    ----------
    fixed
        Parameters that are given, partial fits among them.
    sizes
        How many to draw, by experiment; None takes twelve sizes from the fewest that can be fitted to three quarters.
    repeats, count, seed
        Draws of each size, starts of each fit, and the seed of both.
    """
    measured, group = len(group), group.thinned(seed=seed)
    free = sum(name not in fixed for name in form.parameters)
    planned = sizes or {
        number: default_sizes(least, int(MOST * available))
        for number, least, available in ((1, max(2 * free, 2), len(group)), (2, 2, group.cells))
        if least <= MOST * available
    }
    whole = search_groups(form, [group], fixed, max(count, 16), seed)
    residual = deviation(form, group.points, whole.theta)[0][0]
    members = group.points_of
    experiments: dict[int, tuple[SensitivityRow, ...]] = {}
    done, total = 0, sum(len(drawn_sizes) for drawn_sizes in planned.values())
    for number, drawn_sizes in planned.items():
        rows = []
        for size in drawn_sizes:
            random = np.random.default_rng([seed, number, size])
            draws = [
                random.permutation(len(group))[:size]
                if number == 1
                else np.concatenate([members[cell] for cell in random.permutation(group.cells)[:size]])
                for _ in range(repeats)
            ]
            drawn = [group.pick(np.sort(draw)) for draw in draws]
            mu, sigma = _judge(form, group.points, search_groups(form, drawn, fixed, count, seed).theta)
            points = float(np.mean([len(draw) for draw in draws]))
            spreads = (float(value) for values in (mu, sigma) for value in (values.mean(), values.std(ddof=1)))
            rows.append(SensitivityRow(size, points, *spreads))
            done += 1
            if progress is not None:
                progress(done, total)
        experiments[number] = tuple(rows)
    overall = float(residual.mean()), float(residual.std())
    return Sensitivity(group.key, form.name, len(group), group.cells, repeats, *overall, experiments, measured)


def _judge(form: Form, points: Points, theta: Numbers) -> tuple[Numbers, Numbers]:
    """Return mu and sigma of each fit over all points."""
    residuals = [deviation(form, points, row[None])[0][0] for row in theta]
    return np.array([residual.mean() for residual in residuals]), np.array([residual.std() for residual in residuals])
