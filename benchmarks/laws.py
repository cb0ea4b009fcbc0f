"""Fitting laws: one family, the paper's sensitivity experiments, a million rows; beside SciPy on the same problems.

Goals on two cores: the sensitivity experiments at least 8 times as fast as `curve_fit` from as many starts; a million
rows put into groups and fitted within 5 s. Pairs are timed in turns, so that other work on the machine meets both.

SciPy gets the same points, starts and box, the coordinates in which we fit, its own tolerances (looser than ours) and
a model of the relative error that wastes nothing. It works out Jacobians by differences, as it does for most of its
users, or takes ours; both are told. It uses one core, and we all.
"""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.optimize import OptimizeWarning, curve_fit, least_squares

from benchmarks.clock import Figure, seconds
from prunescope.laws.batch import Numbers, Points
from prunescope.laws.fit import Options, fit_groups, searched
from prunescope.laws.forms import joint_error
from prunescope.laws.kinds import JOINT, SINGLE, Box, box, starts
from prunescope.laws.measured import Integers, Measured, padded
from prunescope.laws.points import sample
from prunescope.laws.search import search
from prunescope.laws.sensitivity import MOST, Sensitivity, default_sizes, sensitivity
from prunescope.laws.solve import deviation
from prunescope.table import Table, read_table

# The first paper's Table 1 and the noise between its seeds.
CONFIGURATIONS, POINTS, REPLICATES, NOISE = 152, 4_301, 3, 0.034
TRUTH = {"eps_up": 0.8, "gamma": 1.4, "p_prime": 0.05, "phi": 0.8, "psi": 0.9}
REPEATS, STARTS = 30, 8
PASSES = 3
# As 35 densities each, about a million rows.
CURVES, DENSITIES = 28_571, 35
SAME = 0.01


def low_plateau(depth: Any, width: Any, examples: Any) -> Any:
    """Return the error of unpruned networks: it falls with size and examples."""
    return np.minimum(0.5, 0.04 + 4.5 * examples**-0.5 + 0.02 * (depth * width**2 / 8) ** -0.35)


def family() -> Measured:
    """Return a made-up family of the size of Table 1."""
    random = np.random.default_rng(0)
    axes = (np.array([8, 14, 20, 26, 50, 98]), 2.0 ** np.arange(-4, 3), 50_000 // 2 ** np.arange(7))
    grid = np.array([axis.ravel() for axis in np.meshgrid(*axes)])
    depth, width, examples = random.permutation(grid, axis=1)[:, :CONFIGURATIONS, None]
    density = np.broadcast_to(0.8 ** np.arange(40), (CONFIGURATIONS, 40))
    error = joint_error(low_plateau(depth, width, examples), density, depth, width, **TRUTH)
    kept = (error < 0.985 * TRUTH["eps_up"]) | (density == 1)
    spare = np.flatnonzero(kept & (density < 1))
    assert kept.sum() >= POINTS
    kept.ravel()[random.permutation(spare)[: kept.sum() - POINTS]] = False
    columns = {"depth": depth, "width": width, "examples": examples, "density": density, "error": error}
    once = {name: np.broadcast_to(values, kept.shape)[kept] for name, values in columns.items()}
    rows = {name: np.tile(values, REPLICATES) for name, values in once.items()}
    rows["replicate"] = np.repeat(np.arange(REPLICATES), POINTS)
    rows["error"] = rows["error"] * (1 + NOISE * random.standard_normal(len(rows["error"])))
    (group,) = sample(read_table(rows), True).groups
    assert len(group) == POINTS
    assert group.cells == CONFIGURATIONS
    return group


def million() -> dict[str, Any]:
    """Return the columns of many curves of one family, which differ in their examples."""
    random = np.random.default_rng(0)
    depth, width = random.choice([8, 14, 20, 26, 50, 98], CURVES), random.choice(2.0 ** np.arange(-4, 3), CURVES)
    shapes = {"depth": depth, "width": width, "examples": 1_000 + np.arange(CURVES)}
    rows = {name: np.repeat(values, DENSITIES) for name, values in shapes.items()}
    density = np.tile(0.8 ** np.arange(DENSITIES), CURVES)
    error = joint_error(low_plateau(**rows), density, rows["depth"], rows["width"], **TRUTH)
    return rows | {"density": density, "error": error * (1 + NOISE * random.standard_normal(len(error)))}


def relative(points: Points, theta: Numbers) -> Numbers:
    """Return ``e_hat / e``, without the derivatives that our form gives along."""
    log_up, log_gamma, log_p, phi, psi = theta
    gamma = np.exp(log_gamma)
    low = 2 * (log_p - points.density - phi * points.depth - psi * points.width)
    high = low + 2 / gamma * (log_up - points.unpruned)
    rise = np.log(1 + np.exp(np.minimum(high, 700))) - np.log(1 + np.exp(np.minimum(low, 700)))
    return np.asarray(np.exp(points.unpruned - points.error + gamma / 2 * rise))


def slopes(points: Points, theta: Numbers) -> Numbers:
    """Return the derivatives of ``e_hat / e`` as SciPy wants them."""
    return deviation(JOINT.form, points, theta[None])[1][:, 0].T


def half_squares(points: Points, theta: Numbers) -> float:
    """Return half the sum of squared relative deviations."""
    return float(np.sum((relative(points, theta) - 1) ** 2) / 2)


def by_least_squares(points: Points, begin: Numbers, low: Numbers, high: Numbers) -> float:
    """Return the lowest half sum of squares of all starts."""
    found = [
        least_squares(
            lambda theta: relative(points, theta) - 1, start, lambda theta: slopes(points, theta), bounds=(low, high)
        )
        for start in begin
    ]
    return min(float(each.cost) for each in found)


def by_curve_fit(points: Points, begin: Numbers, low: Numbers, high: Numbers, exact: bool) -> float:
    """Return the lowest half sum of squares of the starts that arrive somewhere."""
    ones, jacobian = np.ones(points.count), None
    if exact:

        def jacobian(_: Any, *theta: float) -> Numbers:
            return slopes(points, np.array(theta))

    best = np.inf
    for start in begin:
        try:
            theta = curve_fit(
                lambda _, *theta: relative(points, np.array(theta)),
                ones,
                ones,
                start,
                bounds=(low, high),
                jac=jacobian,
            )[0]
        except RuntimeError:  # more evaluations than it allows itself
            continue
        best = min(best, half_squares(points, theta))
    return best


class Drawn:
    """The draws of one size of one experiment, as `sensitivity` makes them, and what we find in each."""

    def __init__(self, group: Measured, experiment: int, size: int, result: Sensitivity) -> None:
        random = np.random.default_rng([0, experiment, size])
        draws = [self._draw(group, experiment, size, random) for _ in range(REPEATS)]
        self.parts = [group.pick(np.sort(draw)) for draw in draws]
        side_by_side = padded(self.parts)
        self.where = box(JOINT, side_by_side, {}, np.full(REPEATS, group.ceiling))
        self.begin = starts(JOINT, side_by_side, self.where, STARTS, 0)
        found = search(JOINT.form, side_by_side.points, self.begin, self.where.low, self.where.high).best
        self.cost = found.cost
        # That these are the draws that `sensitivity` makes shows in what it tells of them.
        sigma = np.mean([relative(group.points, theta).std() for theta in found.theta])
        told = next(row.mean_sigma for row in result.experiments[experiment] if row.drawn == size)
        assert abs(sigma / told - 1) < 1e-6

    @staticmethod
    def _draw(group: Measured, experiment: int, size: int, random: np.random.Generator) -> Integers:
        if experiment == 1:
            return random.permutation(len(group))[:size]
        cells = random.permutation(group.cells)[:size]
        return np.concatenate([np.flatnonzero(group.cell == cell) for cell in cells])

    def scipy(self, repeat: int, exact: bool) -> float:
        """Return SciPy's lowest half sum of squares for one draw."""
        where = self.where.of(repeat)
        return by_curve_fit(self.parts[repeat].points, self.begin[repeat], where.low[0], where.high[0], exact)


def measure() -> Iterator[Figure]:
    """Measure all three."""
    group = family()
    yield from one_family(group)
    yield from experiments(group)
    yield from many_rows()


def one_family(group: Measured) -> Iterator[Figure]:
    """Measure one joint fit."""
    side_by_side = padded([group])
    where: Box = box(JOINT, side_by_side, {}, np.array([group.ceiling]))
    begin = starts(JOINT, side_by_side, where, 16, 0)[0]
    costs: list[float] = []
    ours, theirs = [], []
    for _ in range(7):
        ours += seconds(lambda: fit_groups(JOINT, [group], Options(intervals="none")), 1)
        theirs += seconds(lambda: costs.append(by_least_squares(group.points, begin, where.low[0], where.high[0])), 1)
    cost = float(searched(JOINT, [group], {}, 16, 0).cost[0])
    assert abs(cost / costs[0] - 1) < SAME
    name = f"joint fit of {POINTS:,} points, 16 starts"
    yield name, "s", ours
    yield "the same by SciPy's least_squares, Jacobian given", "s", theirs
    yield "so we are", "x as fast", [slow / fast for slow, fast in zip(theirs, ours, strict=True)]
    yield f"{name}, intervals by 200 resamples", "s", seconds(lambda: fit_groups(JOINT, [group], Options()), 3)


def experiments(group: Measured) -> Iterator[Figure]:
    """Measure Experiments 1 and 2, all 720 fits by us and some draws of every size by SciPy."""
    result = sensitivity(JOINT, group, {}, repeats=REPEATS, count=STARTS)
    sizes = {1: default_sizes(2 * 5, int(MOST * len(group))), 2: default_sizes(2, int(MOST * group.cells))}
    drawn = [Drawn(group, experiment, size, result) for experiment, each in sizes.items() for size in each]
    chosen = np.random.default_rng(0).permuted(np.tile(np.arange(REPEATS), (len(drawn), 1)), axis=1)[:, :PASSES]
    ours: list[float] = []
    theirs: dict[bool, list[float]] = {False: [], True: []}
    ratio: dict[bool, list[float]] = {False: [], True: []}
    for place in range(PASSES):
        ours += seconds(lambda: sensitivity(JOINT, group, {}, repeats=REPEATS, count=STARTS), 1)
        for exact in (False, True):
            taken = 0.0
            for each, repeat in zip(drawn, chosen[:, place].tolist(), strict=True):
                costs: list[float] = []
                call: Callable[[], None] = lambda: costs.append(each.scipy(repeat, exact))
                taken += seconds(call, 1)[0]
                ratio[exact].append(each.cost[repeat] / costs[0])
            theirs[exact].append(taken * REPEATS)
    yield f"sensitivity experiments: {len(drawn)} sizes, {REPEATS} draws, {STARTS} starts", "s", ours
    for exact, how in ((False, "by differences"), (True, "given")):
        lower = np.array(ratio[exact])
        yield f"the same by curve_fit, Jacobian {how}, one draw in {REPEATS}, scaled up", "s", theirs[exact]
        yield "so we are", "x as fast", [slow / fast for slow, fast in zip(theirs[exact], ours, strict=True)]
        yield "draws in which both find one sum of squares, within 1 %", "", [float((abs(lower - 1) < SAME).mean())]
        yield "draws in which ours is the higher by more", "", [float((lower > 1 + SAME).mean())]


def many_rows() -> Iterator[Figure]:
    """Measure a million rows, curve by curve and as one family."""
    columns = million()
    rows = f"{CURVES * DENSITIES:,} rows"
    yield f"{rows} in memory: read_table", "s", seconds(lambda: read_table(columns), 3)
    table: Table = read_table(columns)
    for law, what in ((SINGLE, f"{CURVES:,} single fits"), (JOINT, "one joint fit")):
        grouping = seconds(lambda: sample(table, law.family), 3)
        groups = sample(table, law.family).groups
        fitting = seconds(lambda: fit_groups(law, groups, Options()), 3)
        yield f"{rows}: put into groups for {what}", "s", grouping
        yield f"{rows}: {what}", "s", fitting
        yield "both together", "s", [sum(each) for each in zip(grouping, fitting, strict=True)]
