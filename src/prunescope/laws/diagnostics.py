"""What a statistician looks at after a fit: residuals, profiles, influence, held-out scores, bands. Rows of numbers.

All of it takes a `Fit` and the group that it was fitted to (``law.sample(table).groups``), of any law.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from prunescope.distributions import normal_quantile
from prunescope.errors import Fault, InputError, nearest
from prunescope.laws.data import GroupData, Integers, Numbers, pad
from prunescope.laws.fit import Options, fit_groups
from prunescope.laws.forms import FORMS, SIGNED, Form, to_coordinates, to_parameters
from prunescope.laws.free_plateaus import free_plateaus, reduced_hessian, solve_free_plateaus
from prunescope.laws.predict import Prediction, predict_errors
from prunescope.laws.results import Fit
from prunescope.laws.robust import solve_threshold
from prunescope.laws.search import Box, make_box
from prunescope.laws.solver import Solved, solve
from prunescope.laws.uncertainty import invert_hessian, t_quantile

# How far a profile goes to either side, in linear standard deviations, and the most and least that one counts for.
REACH, LEAST_SD, MOST_SD = 3.0, 1e-4, 1.0
# Starts of a fit without a member, and folds of a held-out score.
STARTS, FOLDS = 4, 10
BY = ("density", "member", "rung")


@dataclass(frozen=True)
class Residual:
    """How far the law is off at one point.

    Attributes
    ----------
    member, rung
        The configuration, numbered as in the group, and the place on its ladder: 0 is the densest point.
    relative
        ``(predicted - error) / error``.
    standard
        ``log(error / predicted)`` in standard deviations of single networks about the law in its region, times the
        root of the networks behind the point.
    """

    member: int
    rung: int
    depth: float
    width: float
    examples: float
    density: float
    error: float
    predicted: float
    relative: float
    standard: float


@dataclass(frozen=True)
class ResidualSummary:
    """Mean and standard deviation of the relative deviation over the points that share a density, member or rung."""

    by: str
    value: float
    points: int
    mean: float
    std: float


def residuals(fit: Fit, group: GroupData) -> list[Residual]:
    """Return the deviation of the law at every point of a group."""
    form, theta = FORMS[fit.law], coordinates_of(fit)
    log_predicted = form.log_error(theta, group.points)[0]
    spread = np.array(fit.spread)[form.regions(theta, group.points)[0]]
    standard = (np.log(group.error) - log_predicted) / np.maximum(spread, 1e-12) * np.sqrt(group.repeats)
    predicted = np.exp(log_predicted)
    rung = find_rungs(group)
    columns = (
        *(group.cell, rung, group.depth, group.width, group.examples, group.density, group.error, predicted),
        *(predicted / group.error - 1, standard),
    )
    return [Residual(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def find_rungs(group: GroupData) -> Integers:
    """Return the place of each point on the ladder of its configuration: 0 is the densest."""
    rung = np.zeros(len(group), np.int64)
    for points in group.points_of:
        rung[points[np.argsort(-group.density[points], kind="stable")]] = np.arange(len(points))
    return rung


def summarise_residuals(rows: Sequence[Residual], by: str) -> list[ResidualSummary]:
    """Return residuals summed up by ``"density"``, ``"member"`` or ``"rung"``, in ascending order of it."""
    if by not in BY:
        raise InputError("residuals", [Fault("by", f"must be one of {', '.join(BY)}", by, nearest(by, BY))])
    values = np.array([getattr(row, by) for row in rows], np.float64)
    # Densities that were rounded differently are one.
    key = np.round(np.log(values), 2) if by == "density" else values
    relative = np.array([row.relative for row in rows])
    summaries = []
    for level in np.unique(key):
        chosen = key == level
        off = relative[chosen]
        summaries.append(
            ResidualSummary(by, float(values[chosen].mean()), len(off), float(off.mean()), float(off.std()))
        )
    return summaries


@dataclass(frozen=True)
class ProfilePoint:
    """How badly a law fits with one parameter held, the others being fitted again.

    Attributes
    ----------
    rise
        Of the sum of squares above the lowest, in residual variances: about chi-squared with one degree of freedom
        where points are independent.
    within
        Whether that lies within the interval of the fit's level, by Student's t.
    """

    parameter: str
    value: float
    rise: float
    within: bool


def profile_curves(fit: Fit, group: GroupData, points: int = 21, *, delta: float | None = None) -> list[ProfilePoint]:
    """Return the profile of the sum of squares of each free parameter, `points` each.

    For Eq. 1 and 2 the low plateau of each configuration is unknown and fitted along, as for the intervals. Points
    count as independent: where those of one ladder are not, curves are steeper than the intervals are narrow.

    Parameters
    ----------
    delta
        Where Huber's loss turned, of a law of sparse networks fitted by it: the profile is of that loss. None is of
        squares.
    """
    form, box, best = FORMS[fit.law], box_of(fit, group), coordinates_of(fit)
    if delta is not None and form.has_plateaus:
        raise InputError("profile_curves", [Fault("delta", "must go with a law of sparse networks", fit.law)])

    def minimise(start: Numbers, low: Numbers, high: Numbers) -> Solved:
        if delta is None:
            return solve(form, group.points, start, low, high)
        return solve_threshold(form, group.points, start, low, high, delta)

    problem = None
    if form.has_plateaus:
        noise = fit.seed_noise if fit.seed_noise is not None else fit.std_deviation
        problem = free_plateaus(form, [group], [noise], True)
        solved = solve_free_plateaus(problem, best, box.low, box.high)
        hessian = reduced_hessian(problem, solved)[0]
    else:
        solved = minimise(best, box.low, box.high)
        hessian = solved.hessian
    free = np.flatnonzero(box.free[0])
    freedom = max(len(group) - len(free), 1)
    variance = max(2 * float(solved.cost[0]) / freedom, 1e-20)
    if delta is not None:
        variance = _huber_variance(form, solved.theta, group, delta, freedom)
    sd = np.sqrt(np.maximum(np.einsum("fii->fi", invert_hessian(hessian, box.free)[0])[0] * variance, 0))
    step = np.clip(sd, LEAST_SD, MOST_SD)
    along = np.linspace(-REACH, REACH, points)
    held = np.repeat(free, points)
    start = np.repeat(solved.theta, len(held), axis=0)
    rows = np.arange(len(held))
    at = np.clip(solved.theta[0][held] + np.tile(along, len(free)) * step[held], box.low[0][held], box.high[0][held])
    low, high = np.repeat(box.low, len(held), axis=0), np.repeat(box.high, len(held), axis=0)
    for side in (start, low, high):
        side[rows, held] = at
    if problem is not None:
        cost = solve_free_plateaus(problem, start, low, high, np.repeat(solved.nuisance, len(held), axis=0)).cost
    else:
        cost = minimise(start, low, high).cost
    rise = np.maximum(2 * (cost - solved.cost[0]) / variance, 0.0)
    most = float(t_quantile(fit.level, freedom)) ** 2
    names = [form.parameters[column] for column in held]
    plain = np.array([to_parameters((name,), at[[row]])[0] for row, name in enumerate(names)])
    return [
        ProfilePoint(name, value, height, height <= most)
        for name, value, height in zip(names, plain.tolist(), rise.tolist(), strict=True)
    ]


def _huber_variance(form: Form, theta: Numbers, group: GroupData, delta: float, freedom: int) -> float:
    """Return what turns a rise of Huber's loss into a likelihood: the mean square of its slope over its curvature."""
    size = np.abs(form.log_error(theta, group.points)[0] - group.points.error)
    within = max(float(np.mean(size <= delta)), 1 / len(group))
    return max(float(np.sum(np.minimum(size, delta) ** 2)) / freedom / within, 1e-20)


@dataclass(frozen=True)
class Influence:
    """What one member does to a law.

    Attributes
    ----------
    member
        The configuration, numbered as in the group.
    parameters
        The law without it; None where the rest cannot be fitted.
    shifts
        How far each free parameter moves without it, in standard deviations of the law's draws (of the quick intervals
        where there are none); of logarithms, or of exponents.
    largest
        The largest of these, as a size.
    held_out
        Root mean square of the relative deviation of the member by the law without it.
    fitted
        The same by the law with it.
    """

    member: int
    depth: float
    width: float
    examples: float
    points: int
    parameters: Mapping[str, float] | None
    shifts: Mapping[str, float]
    largest: float
    held_out: float | None
    fitted: float


def influence(
    fit: Fit, group: GroupData, *, loss: str = "relative", delta: float | None = None, starts: int = STARTS
) -> list[Influence]:
    """Return what each member of a group does to the law: the most influential first.

    Parameters
    ----------
    loss, delta
        What the law was fitted by: see `Options`.
    """
    if group.cells < 2:
        fault = Fault("the group", "must hold two members or more", "one: nothing is left without it")
        raise InputError("influence", [fault])
    form, theta, scale = FORMS[fit.law], coordinates_of(fit), _scale(fit)
    fixed = {name: fit.parameters[name] for name in fit.fixed}
    options = Options(fixed=fixed, intervals="none", starts=starts, loss=loss, delta=delta)
    without = fit_groups(form, [group.pick(group.cell != cell) for cell in range(group.cells)], options)
    rows = []
    for cell, other in enumerate(without):
        points = group.points_of[cell]
        member = group.pick(points)
        place = int(points[0])
        shifts: dict[str, float] = {}
        parameters, held_out = None, None
        if isinstance(other, Fit):
            parameters = other.parameters
            moved = coordinates_of(other)[0] - theta[0]
            shifts = {
                name: float(moved[column] / scale[name])
                for column, name in enumerate(form.parameters)
                if name not in fit.fixed and scale[name] > 0
            }
            held_out = _root_mean_square(form, coordinates_of(other), member)
        rows.append(
            Influence(
                member=cell,
                depth=float(group.depth[place]),
                width=float(group.width[place]),
                examples=float(group.examples[place]),
                points=len(points),
                parameters=parameters,
                shifts=shifts,
                largest=max((abs(shift) for shift in shifts.values()), default=0.0),
                held_out=held_out,
                fitted=_root_mean_square(form, theta, member),
            )
        )
    return sorted(rows, key=lambda row: -row.largest)


def _root_mean_square(form: Form, theta: Numbers, group: GroupData) -> float:
    off = np.expm1(form.log_error(theta, group.points)[0] - group.points.error)
    return float(np.sqrt(np.mean(off**2)))


def _scale(fit: Fit) -> dict[str, float]:
    """Return the standard deviation of each coordinate; 0 where nothing is known of it."""
    if len(fit.draws):
        return dict(zip(FORMS[fit.law].parameters, fit.draws.std(axis=0).tolist(), strict=True))
    scale = dict.fromkeys(fit.parameters, 0.0)
    for name, ends in fit.quick_intervals.items():
        if ends is not None:
            low, high = (end if name in SIGNED else float(np.log(end)) for end in ends)
            scale[name] = (high - low) / 2 / normal_quantile(fit.level)
    return scale


@dataclass(frozen=True)
class LogScore:
    """How well networks that a fit did not see were predicted, as probabilities.

    Attributes
    ----------
    mean, error
        Mean over points of the logarithm of the density that the law gave to the logarithm of each error (higher is
        better), and its standard error over members.
    covered
        Share of these errors within the law's 90 % range.
    points, members
        What was held out, each point once.
    """

    mean: float
    error: float
    covered: float
    points: int
    members: int


def log_score(
    fit: Fit,
    group: GroupData,
    *,
    folds: int = FOLDS,
    starts: int = STARTS,
    seed: int = 0,
    loss: str = "relative",
    delta: float | None = None,
) -> LogScore:
    """Return the held-out log score of a law: each member is predicted by a fit without it, fold by fold.

    The predicted distribution is normal in the logarithm, about the law of the other members, with the standard
    deviation of their own residuals for as many parameters as were fitted. Of laws of the same points the one with the
    higher score predicts better; a difference of 0.1 is 10 % in the density of each point.

    Parameters
    ----------
    loss, delta
        What the law was fitted by: see `Options`.
    """
    if group.cells < 2:
        fault = Fault("the group", "must hold two members or more", "one: nothing is left to predict it from")
        raise InputError("log_score", [fault])
    form = FORMS[fit.law]
    fixed = {name: fit.parameters[name] for name in fit.fixed}
    fold = np.random.default_rng(seed).permutation(group.cells) % min(folds, group.cells)
    tests = [np.isin(group.cell, np.flatnonzero(fold == number)) for number in range(min(folds, group.cells))]
    options = Options(fixed=fixed, intervals="none", starts=starts, seed=seed, loss=loss, delta=delta)
    fits = fit_groups(form, [group.pick(~test) for test in tests], options)
    scores, off = np.full(len(group), np.nan), np.full(len(group), np.nan)
    for test, other in zip(tests, fits, strict=True):
        if not isinstance(other, Fit):
            raise InputError("log_score", [Fault("the members", "must leave enough to fit", other.why)])
        theta = coordinates_of(other)
        inside = form.log_error(theta, group.points)[0] - group.points.error
        freedom = max(int((~test).sum()) - len(other.intervals), 1)
        variance = max(float((inside[~test] ** 2).sum()) / freedom, 1e-20)
        scores[test] = -0.5 * (inside[test] ** 2 / variance + np.log(2 * np.pi * variance))
        off[test] = np.abs(inside[test]) / np.sqrt(variance)
    by_member = np.bincount(group.cell, scores - scores.mean())
    error = np.sqrt(np.sum(by_member**2) * group.cells / (group.cells - 1)) / len(group)
    covered = float(np.mean(off <= normal_quantile(0.9)))
    return LogScore(float(scores.mean()), float(error), covered, len(group), group.cells)


def prediction_bands(
    fit: Fit,
    *,
    unpruned: float = 1.0,
    depth: float = 1.0,
    width: float = 1.0,
    lowest: float = 0.01,
    points: int = 41,
    level: float = 0.9,
) -> tuple[Numbers, Prediction]:
    """Return densities from 1 to `lowest` and the law there, with its two bands (`Prediction`).

    For the laws of dense and of sparse networks `depth` is the size and `width` the data.
    """
    density = np.geomspace(1.0, lowest, points)
    ones = np.ones(points)
    return density, predict_errors(fit, unpruned * ones, density, depth * ones, width * ones, level)


def coordinates_of(fit: Fit) -> Numbers:
    """Return the coordinates of a fit, ``[1, coordinates]``."""
    names = FORMS[fit.law].parameters
    return to_coordinates(names, np.array([fit.parameters[name] for name in names]))[None]


def box_of(fit: Fit, group: GroupData) -> Box:
    """Return where the parameters of a fit may lie."""
    fixed = {name: fit.parameters[name] for name in fit.fixed}
    return make_box(FORMS[fit.law], pad([group]), fixed, np.array([group.ceiling]))
