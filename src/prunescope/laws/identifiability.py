"""What the data cannot tell, in sentences that say what to measure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import counted, listed
from prunescope.laws.data import GroupData, Numbers
from prunescope.laws.filters import not_overly_large
from prunescope.laws.forms import DENSE, EXPONENTS, FORMS, SPARSE, PruningForm
from prunescope.laws.replicates import neighbour_correlation
from prunescope.laws.results import MEMBER_WORDS, SIZE_WORDS, name_place, number, percent
from prunescope.laws.robust import StandingOut, find_standing_out
from prunescope.laws.search import SearchResult
from prunescope.laws.uncertainty import IntervalTask

# Where the law, on the average of a ladder's densest points, misses the error by more than this, it is worth saying.
DIP, GAP = 0.02, 0.02
# A fall this deep is no help of pruning, but two figures that are not of one kind.
NO_DIP = 0.75
# A rise of the error below this ratio tells nothing of the power law and what lies beyond it.
RISES = 1.1
# Neighbouring densities that are averaged, and standard errors below the unpruned error that are no accident there.
WINDOW, NOISE_OF_DIP = 3, 3.0
# Sigma beyond which a law does not describe its data: as such, and as a multiple of what seeds explain.
MISFIT, MISFIT_TIMES = 0.1, 3.0
# The correlation from which on deviations run together, if sigma is also so many times what seeds explain.
RUN, RUN_TIMES = 0.5, 1.5
# Networks that stand out that are named.
NAMED = 2


@dataclass(frozen=True)
class Evidence:
    """What the sentences are made from, of one fit.

    Attributes
    ----------
    bound
        Free parameters at a bound: -1 at the lower, 1 at the upper.
    unknown, flat
        Free parameters whose interval is None; parameters that can make up for each other almost exactly.
    sparsest, rise
        Lowest density, and the largest ratio of error to unpruned error.
    saturated, turning_density
        Points on the high plateau, and the density at which it begins, in the geometric mean over points.
    sigma, misfit
        Standard deviation of the deviation, and what seeds would explain of it, where that is far less.
    dip
        How far the error falls below the unpruned error, in the mean over some neighbouring densities.
    beyond_seeds, run
        Sigma as a multiple of what seeds explain, None without replicates; the correlation of the deviations of
        neighbouring densities.
    standing_out
        Networks far from their replicates, in words.
    worst
        The member that the law misses most in the mean over its densities, in words; empty where there is but one.
    overly_large
        How many configurations lie beyond the first where growing raises the unpruned error, in words; empty for none.
    """

    parameters: Mapping[str, float]
    free: Sequence[str]
    bound: Mapping[str, int]
    unknown: Sequence[str]
    flat: Sequence[str]
    chance: float | None
    points: int
    sparsest: float
    rise: float
    saturated: int
    turning_density: float
    dip: float
    sigma: float
    misfit: float | None
    beyond_seeds: float | None
    run: float
    standing_out: Sequence[str]
    worst: str
    overly_large: str
    above_chance: int
    levels: Mapping[str, int]
    starts: int
    agreed: int
    converged: bool


def error_rises(task: IntervalTask) -> Numbers:
    """Return the largest ratio of an error to its unpruned error, for each fit."""
    points = task.padded.points
    return np.asarray(np.exp(np.where(task.padded.present, points.error - points.unpruned, -np.inf).max(axis=1)))


def gather_evidence(
    task: IntervalTask,
    search: SearchResult,
    parameters: Sequence[Mapping[str, float]],
    unknown: Sequence[Sequence[str]],
    rise: Numbers,
    sigma: Sequence[float],
    saturated: Sequence[int],
) -> Iterator[Evidence]:
    """Yield the evidence of each fit, measured for the whole batch at once; arguments are attributes of `Evidence`."""
    form, padded, theta = task.form, task.padded, task.solved.theta
    points, present = padded.points, padded.present
    pruned = present & (points.density < -1e-12) if form not in (DENSE, SPARSE) else present
    sparsest = np.exp(np.where(present, points.density, np.inf).min(axis=1))
    ceiling = np.array([group.ceiling for group in task.groups])
    above_chance = (present & (points.error > np.log(ceiling)[:, None] + 1e-12)).sum(axis=1)
    turning, dips = np.zeros(len(theta)), np.zeros(len(theta))
    if form.has_plateaus:
        shape = form.log_size(theta, points) - points.density
        turning = np.exp(theta[:, 2] - np.where(present, shape, 0).sum(axis=1) / padded.count)
        dips = _find_dips(task, pruned)
    residual = np.where(present, task.residual, 0.0)
    run = neighbour_correlation(padded, residual)[0]
    columns = (
        *(pruned.sum(axis=1), sparsest, rise, turning, dips),
        *(above_chance, search.agreed, task.solved.converged, run),
    )
    outliers = find_standing_out(task.groups)
    words = SIZE_WORDS if form is SPARSE else MEMBER_WORDS
    lists = (task.box.free, task.linear.bound, task.linear.flat != 0, *columns)
    for row, measured in enumerate(zip(*(values.tolist() for values in lists), strict=True)):
        group = task.groups[row]
        free, bound, flat, count, lowest, rises, turn, dip, above, agreed, converged, together = measured
        yield Evidence(
            parameters=parameters[row],
            free=_chosen(form.parameters, free),
            bound={name: side for name, side in zip(form.parameters, bound, strict=True) if side},
            unknown=unknown[row],
            flat=_chosen(form.parameters, flat),
            chance=group.chance,
            points=count,
            sparsest=lowest,
            rise=rises,
            saturated=saturated[row],
            turning_density=turn,
            dip=dip,
            sigma=sigma[row],
            misfit=_misfit(sigma[row], task.seed_noise[row], group),
            beyond_seeds=_beyond_seeds(sigma[row], task.seed_noise[row], group),
            run=together,
            worst=_name_worst(group, residual[row, : len(group)], words),
            overly_large=_count_overly_large(group) if form.family else "",
            standing_out=[_describe_outlier(outlier, group, words) for outlier in outliers[row]],
            above_chance=above,
            levels={name: len(np.unique(getattr(group, name))) for name in EXPONENTS.values() if form.family},
            starts=search.starts,
            agreed=agreed,
            converged=converged,
        )


def describe_few_members(group: GroupData) -> str:
    """Say that intervals rest on few members, whose cells share how they depart from the law."""
    shared = "they are resampled together" if group.clusters < group.cells else "they count as independent here"
    return (
        f"the {group.cells} configurations are of {counted(group.members, 'member')}: those of a member share "
        f"how they depart from the law, and {shared}; with fewer than 8 members intervals of phi and psi are rough"
    )


def _chosen(names: Sequence[str], flags: Sequence[bool]) -> list[str]:
    return [name for name, flag in zip(names, flags, strict=True) if flag]


def _misfit(sigma: float, seed_noise: float | None, group: GroupData) -> float | None:
    """Return what seeds would explain of sigma, where that is far less; None where they explain it."""
    explained = (
        MISFIT / MISFIT_TIMES if seed_noise is None else seed_noise / math.sqrt(len(group.row_error) / len(group))
    )
    return explained if sigma > max(MISFIT, MISFIT_TIMES * explained) else None


def _beyond_seeds(sigma: float, seed_noise: float | None, group: GroupData) -> float | None:
    """Return sigma as a multiple of what seeds explain; None where there are no replicates."""
    if not seed_noise:
        return None
    return sigma / (seed_noise * math.sqrt(float(np.mean(1 / group.repeats))))


def _count_overly_large(group: GroupData) -> str:
    first = np.array([points[0] for points in group.points_of])
    beyond = ~not_overly_large(group.depth[first], group.width[first], group.examples[first], group.unpruned[first])
    return f"{beyond.sum()} of {group.cells} configurations" if beyond.any() else ""


def _name_worst(group: GroupData, residual: Numbers, words: Mapping[str, str]) -> str:
    """Name the member that the law misses most, in the mean over its densities."""
    if group.cells < 2:
        return ""
    means = np.bincount(group.cell, residual) / np.bincount(group.cell)
    cell = int(np.argmax(np.abs(means)))
    return f"most of all {name_place(group, group.points_of[cell][0], words)} (mu {percent(float(means[cell]))})"


def _describe_outlier(outlier: StandingOut, group: GroupData, words: Mapping[str, str]) -> str:
    point = outlier.point
    parts = (
        name_place(group, point, words),
        f"density {number(group.density[point])}",
        f"replicate {outlier.replicate}",
    )
    place = ", ".join(part for part in parts if part)
    return f"{number(outlier.error)} at {place}, where the others have {number(outlier.usual)}"


def _find_dips(task: IntervalTask, pruned: NDArray[np.bool_]) -> Numbers:
    """Return how far errors fall below the unpruned error, for each fit."""
    padded, points = task.padded, task.padded.points
    ratio = np.where(pruned, np.expm1(points.error - points.unpruned), 0.0)
    dips = np.zeros(len(task.groups))
    low = (ratio < -DIP).any(axis=1)
    lone = low & (padded.cells == 1)
    if lone.any():
        # Points of one cell stand in the order of their densities, so neighbours are windows along the row.
        repeats = np.where(pruned[lone], padded.column(task.groups, "repeats")[lone], 0).astype(np.float64)
        counts, totals = _windows(repeats), _windows(repeats * ratio[lone])
        # Without replicates, residuals tell the noise, which a dip is part of, or neighbours do, if they tell less.
        alone = np.array([noise is None for noise in task.seed_noise])
        noise = np.where(alone, np.minimum(task.noise, _roughness(points.error, pruned)), task.noise)
        dips[lone] = _clear_dip(counts, totals, noise[lone][:, None])
    for row in np.flatnonzero(low & (padded.cells > 1)).tolist():
        dips[row] = _find_dip(task.groups[row], task.noise[row])
    return dips


def _roughness(log_error: Numbers, pruned: NDArray[np.bool_]) -> Numbers:
    """Return the noise of each curve as neighbouring points show it, whatever the law: by second differences."""
    if log_error.shape[1] < 3:
        return np.full(len(log_error), np.inf)
    bend = np.diff(log_error, 2, axis=1)
    whole = pruned[:, :-2] & pruned[:, 1:-1] & pruned[:, 2:]
    counts = whole.sum(axis=1)
    # The median withstands the few places where a curve truly bends; 1.4826 makes it a standard deviation.
    ordered = np.sort(np.where(whole, np.abs(bend), np.inf), axis=1)
    middle = ordered[np.arange(len(ordered)), np.maximum(counts - 1, 0) // 2]
    return np.where(counts > 2, 1.4826 * middle / np.sqrt(6), np.inf)


def _windows(values: Numbers) -> Numbers:
    """Return sums over neighbours along the last axis."""
    size = min(WINDOW, values.shape[-1])
    return np.asarray(np.lib.stride_tricks.sliding_window_view(values, size, axis=-1).sum(axis=-1))


def _clear_dip(counts: Numbers, totals: Numbers, noise: Numbers | float) -> Numbers:
    mean = totals / np.maximum(counts, 1)
    clear = (mean < -DIP) & (mean + NOISE_OF_DIP * noise / np.sqrt(np.maximum(counts, 1)) < 0)
    return np.asarray(-np.where(clear, mean, 0.0).min(axis=-1))


def _find_dip(group: GroupData, noise: float) -> float:
    """Return the same for one group of several cells: level by level over all of them."""
    pruned = group.density < 1
    densities = np.round(np.log(group.density[pruned]), 2)
    level = -np.unique(-densities, return_inverse=True)[1].reshape(-1)
    level = level - level.min()
    repeats = group.repeats[pruned].astype(np.float64)
    counts = np.bincount(level, repeats).astype(np.float64)
    totals = np.bincount(level, repeats * (group.error[pruned] / group.unpruned[pruned] - 1)).astype(np.float64)
    return float(_clear_dip(_windows(counts), _windows(totals), noise))


def write_warnings(law: str, evidence: Evidence) -> Iterator[str]:
    """Yield a sentence for each thing worth knowing, the gravest first."""
    if not evidence.converged:
        yield "the search did not end in a minimum: fix a parameter, or add measurements"
    if evidence.points <= len(evidence.free):
        yield (
            f"{counted(evidence.points, 'point')} for {counted(len(evidence.free), 'parameter')}: nothing is left to "
            "judge the fit by; measure more densities"
        )
    worst = f", {evidence.worst}" if evidence.worst else ""
    if evidence.misfit is not None:
        yield (
            f"sigma {percent(evidence.sigma)} is far beyond what seeds explain ({percent(evidence.misfit)}): the law "
            f"does not describe these data{worst}; look at single groups (--by), at what varies (--vary), at other "
            "forms (prunescope compare), at the regions below"
        )
        if evidence.overly_large:
            yield (
                f"{evidence.overly_large} lie where growing depth or width has begun to raise the unpruned error; the "
                "paper leaves such out: --filter not-overly-large"
            )
    elif evidence.run > RUN and evidence.beyond_seeds is not None and evidence.beyond_seeds > RUN_TIMES:
        yield (
            f"deviations run together along ladders (correlation {evidence.run:.2f} between neighbouring densities), "
            f"and sigma is {evidence.beyond_seeds:.2g} times what seeds explain: the form misses the shape of these "
            f"curves{worst}; compare forms"
        )
    if evidence.standing_out:
        whose = "its" if len(evidence.standing_out) == 1 else "their"
        yield (
            f"{counted(len(evidence.standing_out), 'network')} far from {whose} replicates: "
            f"{listed(evidence.standing_out, NAMED)}; check those trainings, or fit with --loss huber"
        )
    if isinstance(FORMS[law], PruningForm):
        yield from _warn_of_pruned(evidence)
        if evidence.dip > NO_DIP:
            yield (
                f"the error falls {percent(evidence.dip)} below the unpruned error, further than pruning helps: if the "
                "unpruned errors are accuracies, add --set 'unpruned_error = 1 - unpruned_error'"
            )
        elif evidence.dip > DIP and "kappa" not in evidence.parameters:
            yield (
                f"the error falls {percent(evidence.dip)} below the unpruned error before it rises: pruning helps at "
                "first, which the form leaves out (Section 6 of the paper, Appendix H); try --form tilted"
            )
    else:
        yield from _warn_of_others(evidence)
    if evidence.agreed < max(2, evidence.starts // 4) and evidence.starts > 2:
        yield (
            f"only {evidence.agreed} of {evidence.starts} starts reached the best minimum: there are others nearly as "
            "good, so try more starts (--starts) or fix a parameter"
        )
    for name, column in EXPONENTS.items():
        if name not in evidence.free and evidence.parameters.get(name) == 0 and evidence.levels.get(column) == 1:
            yield f"all networks are of one {column}: nothing is known of others"
    for name in evidence.free:
        if name in EXPONENTS and evidence.levels.get(EXPONENTS[name], 0) == 2:
            column = EXPONENTS[name]
            yield f"{name} rests on two {column}s alone: measure a third {column} to see whether a power law holds"
    if evidence.above_chance and evidence.chance is not None:
        yield (
            f"{counted(evidence.above_chance, 'point')} above the error of guessing ({number(evidence.chance)}): "
            "nothing was learned there; leave them out with --filter better-than-chance"
        )


def _warn_of_others(evidence: Evidence) -> Iterator[str]:
    """Say of other laws which parameters are not told."""
    for name, side in evidence.bound.items():
        value = number(evidence.parameters[name])
        end = "upper" if side > 0 else "lower"
        yield f"{name} is at its {end} bound {value}: measure more sizes and examples, or fix it"
    unknown = [name for name in evidence.unknown if name not in evidence.bound]
    if unknown:
        yield f"the data do not tell {listed(unknown)}: measure more sizes and examples, or fix one with --fix"
    if len(evidence.flat) > 1:
        yield f"{listed(evidence.flat)} are not identifiable separately, only together; fix one with --fix"


def _warn_of_pruned(evidence: Evidence) -> Iterator[str]:
    if evidence.rise < RISES:
        yield (
            f"the error hardly rises (at most {percent(evidence.rise - 1)} above the unpruned error): gamma and "
            f"the high plateau cannot be told from this; prune to densities below {number(evidence.sparsest)}"
        )
    elif not evidence.saturated and ("eps_up" in evidence.free):
        ceiling = "" if evidence.chance is not None else ", or bound it by guessing, with --classes N or --guess VALUE"
        yield (
            f"the high plateau is never reached (sparsest density {number(evidence.sparsest)}, it begins near "
            f"{number(evidence.turning_density)}): eps_up is extrapolated; prune further until the error levels "
            f"off, or give it with --fix eps_up=...{ceiling}"
        )
    for name, side in evidence.bound.items():
        if name == "eps_up" and side > 0:
            what = "the error of guessing" if evidence.chance is not None else number(evidence.parameters[name])
            yield f"eps_up is at its upper bound, {what}: the data ask for no lower plateau"
        elif name == "eps_up":
            yield "eps_up is at its lower bound, the lowest unpruned error: the data show no rise to follow"
        else:
            value = number(evidence.parameters[name])
            yield f"{name} is at its {'upper' if side > 0 else 'lower'} bound {value}: {_remedy(name)}"
    unknown = [name for name in evidence.unknown if name not in evidence.bound]
    if unknown:
        yield f"the data do not tell {listed(unknown)}: {_remedy(unknown[0])}"
    if len(evidence.flat) > 1:
        yield f"{listed(evidence.flat)} are not identifiable separately, only together; fix one with --fix"


def _remedy(name: str) -> str:
    if name in EXPONENTS:
        return f"measure networks of more {EXPONENTS[name]}s at densities where the error rises"
    return "measure densities from where the error begins to rise to where it levels off, or fix one with --fix"


def describe_gap(gap: float) -> str:
    """Say that the law does not start at the unpruned errors."""
    return (
        f"at density 1 the law lies {percent(gap)} above the unpruned errors in the mean: some networks are so "
        "small that they have no low plateau; the intervals allow for it, the estimates do not"
    )


def describe_bias(pulled: Mapping[str, float]) -> str:
    """Say which estimates noise has probably pulled."""
    moved = listed(f"{name} by about {number(value)}" for name, value in pulled.items())
    return (
        f"noise in the measurements, the unpruned errors above all, has probably moved {moved}: the interval reaches "
        "to where the truth is likelier; more replicates help"
    )
