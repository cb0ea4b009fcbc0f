"""Fitting laws: one family, the paper's sensitivity experiments, a million rows; beside SciPy on the same problems.

Goals on two cores: the sensitivity experiments at least 8 times as fast as `curve_fit` from as many starts; a million
rows put into groups and fitted within 5 s. Pairs are timed in turns, so that other work on the machine meets both.

SciPy gets the same points, starts and box, the coordinates in which we fit, its own tolerances (looser than ours) and
a model of the relative error that wastes nothing. It works out Jacobians by differences, as it does for most of its
users, or takes ours; both are told. It uses one core, and we all.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from scipy.optimize import curve_fit, least_squares

from benchmarks.clock import Figure, seconds
from prunescope.laws.data import GroupData, Integers, Numbers, Points, pad
from prunescope.laws.fit import Options, fit_groups
from prunescope.laws.forms import JOINT, SINGLE, Form
from prunescope.laws.formulas import joint_error
from prunescope.laws.grouping import sample
from prunescope.laws.search import draw_starts, make_box, search, search_groups
from prunescope.laws.sensitivity import sensitivity
from prunescope.laws.solver import deviation
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


def family() -> GroupData:
    """Return a made-up family of the size of Table 1."""
    random = np.random.default_rng(0)
    axes = (np.array([8, 14, 20, 26, 50, 98]), 2.0 ** np.arange(-4, 3), 50_000 // 2 ** np.arange(7))
    grid = np.array([axis.ravel() for axis in np.meshgrid(*axes)])
    depth, width, examples = random.permutation(grid, axis=1)[:, :CONFIGURATIONS, None]
    density = np.broadcast_to(0.8 ** np.arange(40), (CONFIGURATIONS, 40))
    error = joint_error(low_plateau(depth, width, examples), density, depth, width, **TRUTH)
    measured = (error < 0.985 * TRUTH["eps_up"]) | (density == 1)
    spare = np.flatnonzero(measured & (density < 1))
    assert measured.sum() >= POINTS
    measured.ravel()[random.permutation(spare)[: measured.sum() - POINTS]] = False
    columns = {"depth": depth, "width": width, "examples": examples, "density": density, "error": error}
    once = {name: np.broadcast_to(values, measured.shape)[measured] for name, values in columns.items()}
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
    return deviation(JOINT, points, theta[None])[1][:, 0].T


def half_squares(points: Points, theta: Numbers) -> float:
    """Return half the sum of squared relative deviations."""
    return float(np.sum((relative(points, theta) - 1) ** 2) / 2)


def by_least_squares(points: Points, begin: Numbers, low: Numbers, high: Numbers) -> float:
    """Return the lowest half sum of squares of all starts."""

    def residual(theta: Numbers) -> Numbers:
        return relative(points, theta) - 1

    jacobian = partial(slopes, points)
    return min(float(least_squares(residual, start, jacobian, bounds=(low, high)).cost) for start in begin)


def by_curve_fit(points: Points, begin: Numbers, low: Numbers, high: Numbers, exact: bool) -> float:
    """Return the lowest half sum of squares of the starts that arrive somewhere."""
    ones = np.ones(points.count)

    def model(_: Numbers, *theta: float) -> Numbers:
        return relative(points, np.array(theta))

    def jacobian(_: Numbers, *theta: float) -> Numbers:
        return slopes(points, np.array(theta))

    best = np.inf
    for start in begin:
        try:
            theta = curve_fit(model, ones, ones, start, bounds=(low, high), jac=jacobian if exact else None)[0]
        except RuntimeError:  # more evaluations than it allows itself
            continue
        best = min(best, half_squares(points, theta))
    return best


class Drawn:
    """The draws of one size of one experiment, as `sensitivity` makes them, and what we find in each."""

    def __init__(self, group: GroupData, experiment: int, size: int, sigma: float) -> None:
        random = np.random.default_rng([0, experiment, size])
        draws = [self._draw(group, experiment, size, random) for _ in range(REPEATS)]
        self.parts = [group.pick(np.sort(draw)) for draw in draws]
        side_by_side = pad(self.parts)
        self.box = make_box(JOINT, side_by_side, {}, np.full(REPEATS, group.ceiling))
        self.begin = draw_starts(JOINT, side_by_side, self.box, STARTS, 0)
        ends = search(JOINT, side_by_side.points, self.begin, self.box.low, self.box.high).best
        self.least = ends.cost
        # That these are the draws that `sensitivity` makes shows in what it tells of them.
        assert abs(np.mean([relative(group.points, theta).std() for theta in ends.theta]) / sigma - 1) < 1e-6

    @staticmethod
    def _draw(group: GroupData, experiment: int, size: int, random: np.random.Generator) -> Integers:
        if experiment == 1:
            return random.permutation(len(group))[:size]
        cells = random.permutation(group.cells)[:size]
        return np.concatenate([np.flatnonzero(group.cell == cell) for cell in cells])

    def by_curve_fit(self, repeat: int, exact: bool) -> float:
        """Return SciPy's lowest half sum of squares for one draw."""
        box = self.box.of(repeat)
        return by_curve_fit(self.parts[repeat].points, self.begin[repeat], box.low[0], box.high[0], exact)


def measure() -> Iterator[Figure]:
    """Measure one family, its sensitivity experiments, and a million rows."""
    group = family()
    yield from one_family(group)
    yield from experiments(group)
    yield from many_rows()


def one_family(group: GroupData) -> Iterator[Figure]:
    """Measure one joint fit."""
    padded = pad([group])
    box = make_box(JOINT, padded, {}, np.array([group.ceiling]))
    begin = draw_starts(JOINT, padded, box, 16, 0)[0]
    least: list[float] = []
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(7):
        ours += seconds(lambda: fit_groups(JOINT, [group], Options(intervals="none")), 1)
        theirs += seconds(lambda: least.append(by_least_squares(group.points, begin, box.low[0], box.high[0])), 1)
    assert abs(search_groups(JOINT, [group], {}, 16, 0).cost[0] / least[0] - 1) < SAME
    yield f"joint fit of {POINTS:,} points, 16 starts, no intervals", "s", ours
    yield "the same by least_squares, with our Jacobian", "s", theirs
    yield "ours is", "x as fast", [slow / fast for slow, fast in zip(theirs, ours, strict=True)]
    yield "the same fit by us, with intervals", "s", seconds(lambda: fit_groups(JOINT, [group], Options()), 3)


def experiments(group: GroupData) -> Iterator[Figure]:
    """Measure Experiments 1 and 2: all fits by us, some draws of every size by SciPy."""
    result = sensitivity(JOINT, group, {}, repeats=REPEATS, count=STARTS)
    drawn = [
        Drawn(group, experiment, row.drawn, row.mean_sigma)
        for experiment, rows in result.experiments.items()
        for row in rows
    ]
    every = np.tile(np.arange(REPEATS), (len(drawn), 1))
    chosen = np.random.default_rng(0).permuted(every, axis=1)[:, :PASSES].T.tolist()
    ours: list[float] = []
    by_differences: list[float] = []
    with_ours: list[float] = []
    shares: list[float] = []
    for repeats in chosen:
        ours += seconds(lambda: sensitivity(JOINT, group, {}, repeats=REPEATS, count=STARTS), 1)
        for taken, exact in ((by_differences, False), (with_ours, True)):
            least: list[float] = []
            taken.extend(seconds(partial(_all_sizes, drawn, repeats, exact, least), 1))
            shares += [draws.least[repeat] / best for draws, repeat, best in zip(drawn, repeats, least, strict=True)]
    yield f"Experiments 1 and 2: {len(drawn)} sizes, {REPEATS} draws, {STARTS} starts", "s", ours
    for what, taken in (("", by_differences), (" with our Jacobian", with_ours)):
        whole = [seconds * REPEATS for seconds in taken]
        yield f"the same by curve_fit{what}, 1 draw in {REPEATS}, scaled up", "s", whole
        yield "ours is", "x as fast", [slow / fast for slow, fast in zip(whole, ours, strict=True)]
    assert np.mean(np.abs(np.array(shares) - 1) < SAME) > 0.9
    yield "our sum of squares beside theirs", "x as large", shares


def _all_sizes(drawn: list[Drawn], repeats: list[int], exact: bool, least: list[float]) -> None:
    for draws, repeat in zip(drawn, repeats, strict=True):
        least.append(draws.by_curve_fit(repeat, exact))


def many_rows() -> Iterator[Figure]:
    """Measure a million rows, curve by curve and as one family."""
    columns, rows = million(), f"{CURVES * DENSITIES:,} rows"
    yield f"{rows} in memory, read", "s", seconds(lambda: read_table(columns), 3)
    table = read_table(columns)
    for law, what in ((SINGLE, f"{CURVES:,} single fits"), (JOINT, "one joint fit")):
        fitting: list[float] = []
        grouping: list[float] = []
        for _ in range(3):
            groups: list[GroupData] = []
            grouping += seconds(partial(_grouped, table, law, groups), 1)
            fitting += seconds(partial(fit_groups, law, groups, Options()), 1)
        yield f"{rows} put into groups for {what}", "s", grouping
        yield f"{rows} fitted by {what}", "s", fitting
        yield "both together", "s", [sum(times) for times in zip(grouping, fitting, strict=True)]


def _grouped(table: Table, law: Form, groups: list[GroupData]) -> None:
    groups.extend(sample(table, law.family).groups)
