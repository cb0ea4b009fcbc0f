"""Fits of a law to groups of measurements: search, uncertainty, evidence. Arrays in, results out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from prunescope.errors import counted
from prunescope.laws.assemble import assembled
from prunescope.laws.data import GroupData, padded, replicated
from prunescope.laws.intervals import IntervalTask, intervals
from prunescope.laws.linear_intervals import quick
from prunescope.laws.models import DENSE, Law, box, starts, unvaried
from prunescope.laws.results import Fit, RefusedFit
from prunescope.laws.search import search
from prunescope.laws.solve import Solved

# Points times draws beyond which intervals are the quick ones, unless others are asked for.
TOO_MANY = 15_000_000
# Points from which on a group is fitted by itself, not side by side with others.
LARGE = 512


@dataclass(frozen=True)
class Options:
    """How to fit.

    Attributes
    ----------
    fixed
        Parameters that are given.
    vary
        Of depth and width, those that the law explains; None is all that vary.
    level
        Probability that an interval is meant to hold the truth.
    intervals
        ``"auto"`` does what the data allow (`intervals`) unless that takes too long, ``"resampled"`` however long,
        ``"quick"`` takes the linear ones, ``"none"`` gives none.
    draws
        How many resamples.
    """

    fixed: Mapping[str, float] = field(default_factory=dict)
    vary: tuple[str, ...] | None = None
    level: float = 0.9
    intervals: str = "auto"
    draws: int = 200
    starts: int = 16
    seed: int = 0


def fit_groups(
    law: Law, groups: Sequence[GroupData], options: Options, progress: Callable[[int, int], None] | None = None
) -> list[Fit | RefusedFit]:
    """Fit a law to each group, or say why not."""
    found: list[Fit | RefusedFit | None] = []
    without: list[dict[str, float]] = []
    for group in groups:
        fixed = {**unvaried(law, group, options.vary), **options.fixed}
        refusal = _refusal(law, group, [name for name in law.parameters if name not in fixed])
        without.append(fixed)
        found.append(refusal)
    accepted = [number for number, refusal in enumerate(found) if refusal is None]
    work = sum(len(groups[number]) for number in accepted) * options.draws
    manner = options.intervals
    if manner == "auto":
        manner = "resampled" if work <= TOO_MANY else "quick"
    done = 0
    for batch in _batches(groups, accepted, without):
        fits = _fit_batch(law, [groups[number] for number in batch], without[batch[0]], options, manner)
        for number, fit in zip(batch, fits, strict=True):
            found[number] = fit
        done += len(batch)
        if progress is not None:
            progress(done, len(accepted))
    return [each for each in found if each is not None]


def _refusal(law: Law, group: GroupData, free: Sequence[str]) -> RefusedFit | None:
    if law is DENSE:
        if len(group) < len(free):
            why = f"{counted(len(group), 'unpruned network')} for {len(free)} parameters: train more sizes or examples"
            return RefusedFit(group.key, why)
        return None
    pruned = group.density < 1
    if not pruned.any():
        return RefusedFit(group.key, "holds unpruned networks only: add pruned ones", trivial=True)
    # The points of a curve are as many densities; over several cells, or with replicates kept, they repeat.
    falling = bool((group.density[1:] < group.density[:-1]).all())
    densities = int(pruned.sum()) if falling else len(np.unique(np.round(np.log(group.density[pruned]), 3)))
    about_density = [name for name in free if name not in ("phi", "psi")]
    if densities < len(about_density) or int(pruned.sum()) < len(free):
        points = int(pruned.sum())
        few = densities < len(about_density)
        here = (
            f"{densities} {'density' if densities == 1 else 'densities'} below 1" if few else f"{points} pruned points"
        )
        need = f"measure at least {len(about_density)} densities" if few else f"measure at least {len(free)} points"
        spare = f", or fix parameters with --fix {about_density[0]}=..." if about_density else ""
        return RefusedFit(group.key, f"{here} for {counted(len(free), 'parameter')}: {need}{spare}")
    return None


def _batches(
    groups: Sequence[GroupData], accepted: Sequence[int], without: Sequence[Mapping[str, float]]
) -> Iterator[list[int]]:
    """Put groups of about one size side by side, large ones by themselves."""
    batch: list[int] = []
    for number in sorted(accepted, key=lambda each: (sorted(without[each].items()), len(groups[each]))):
        size = len(groups[number])
        if batch and (size > LARGE or size > 2 * len(groups[batch[0]]) + 8 or without[number] != without[batch[0]]):
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def _fit_batch(
    law: Law, groups: Sequence[GroupData], fixed: Mapping[str, float], options: Options, manner: str
) -> list[Fit]:
    side_by_side = padded(groups)
    where = box(law, side_by_side, fixed, np.array([group.ceiling for group in groups]))
    begin = starts(law, side_by_side, where, options.starts, options.seed)
    if len(groups) == 1:
        found = search(law.form, groups[0].points, begin, where.low, where.high, options.seed)
    else:
        found = search(law.form, side_by_side.points, begin, where.low, where.high, options.seed)
    seed_noise, ladders = replicated(groups)
    sigma = np.sqrt(2 * found.best.cost / side_by_side.count).tolist()
    noise = [own if between is None else between for own, between in zip(sigma, seed_noise, strict=True)]
    rough = quick(law.form, side_by_side, found.best, where)
    task = IntervalTask(
        law=law,
        groups=groups,
        side_by_side=side_by_side,
        where=where,
        solved=found.best,
        rough=rough,
        noise=noise,
        seed_noise=seed_noise,
        ladders=ladders,
        level=options.level,
        draws=options.draws,
        seed=options.seed,
    )
    return assembled(task, found, intervals(task, manner))


def searched(law: Law, groups: Sequence[GroupData], fixed: Mapping[str, float], count: int, seed: int) -> Solved:
    """Return the best of many starts for each group, without uncertainty."""
    side_by_side = padded(groups)
    where = box(law, side_by_side, fixed, np.array([group.ceiling for group in groups]))
    begin = starts(law, side_by_side, where, count, seed)
    points = groups[0].points if len(groups) == 1 else side_by_side.points
    return search(law.form, points, begin, where.low, where.high, seed).best
