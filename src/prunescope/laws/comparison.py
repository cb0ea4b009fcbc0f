"""Forms side by side: how well each fits, predicts members it did not see, and extrapolates.

- In sample: mu and sigma over the points that it was fitted to.
- Cross-validated: every configuration (for Eq. 1: every replicate) is predicted by a fit that did not see it.
- Extrapolated: fitted to the smaller members, judged on the largest third (for Eq. 1: on the sparsest third of the
  densities), as in the first paper's Appendix F.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunescope.laws.batch import Numbers
from prunescope.laws.data import GroupData
from prunescope.laws.fit import searched
from prunescope.laws.models import ADAPTED, ADAPTED_JOINT, JOINT, SINGLE, Law, unvaried
from prunescope.laws.solve import deviation

FOLDS = 10
HELD_OUT = 1 / 3


@dataclass(frozen=True)
class Deviation:
    """Mean and standard deviation of the relative deviation over some points, as fractions."""

    mu: float
    sigma: float
    points: int


@dataclass(frozen=True)
class FormComparison:
    """One form on one group.

    Attributes
    ----------
    law
        Name of the form.
    form
        What it is, in words.
    free
        How many parameters were fitted.
    fitted, cross_validated, extrapolated
        How far it is off; None where the group does not allow the trial.
    """

    group: Mapping[str, Any]
    law: str
    form: str
    free: int
    fitted: Deviation
    cross_validated: Deviation | None
    extrapolated: Deviation | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        trials = {
            name: None if (each := getattr(self, name)) is None else vars(each)
            for name in ("fitted", "cross_validated", "extrapolated")
        }
        return {**vars(self), "group": dict(self.group), **trials}


def contenders(group: GroupData, joint: bool) -> Iterator[tuple[Law, str, dict[str, float]]]:
    """Yield the forms worth comparing on a group: law, words, and the parameters that are given."""
    if not joint:
        yield SINGLE, "Eq. 1", {}
        yield ADAPTED, "adapted from Rosenfeld et al. 2020", {}
        return
    without = unvaried(JOINT, group, None)
    yield JOINT, "Eq. 2", without
    if not without:
        yield JOINT, "Eq. 2 without depth (phi = 0)", {"phi": 0.0}
        yield JOINT, "Eq. 2 without width (psi = 0)", {"psi": 0.0}
    if len(without) < 2:
        yield JOINT, "Eq. 2 without depth and width", {"phi": 0.0, "psi": 0.0}
    yield ADAPTED_JOINT, "adapted from Rosenfeld et al. 2020, over the invariant", without


def compare(
    group: GroupData,
    joint: bool,
    *,
    folds: int = FOLDS,
    count: int = 16,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[FormComparison]:
    """Compare the forms on one group; of a very large one on whole cells picked by chance (`GroupData.thinned`)."""
    group = group.thinned(seed=seed)
    trials = list(contenders(group, joint))
    found = []
    for done, (law, words, fixed) in enumerate(trials):
        free = sum(name not in fixed for name in law.parameters)

        def residual(train: GroupData, test: GroupData, law: Law = law, fixed: Mapping[str, float] = fixed) -> Numbers:
            theta = searched(law, [train], fixed, count, seed).theta
            return np.asarray(deviation(law.form, test.points, theta)[0][0])

        crossed = _cross_validated(group, joint, folds, free, seed, residual)
        beyond = _extrapolated(group, joint, free, residual)
        found.append(FormComparison(group.key, law.name, words, free, _of(residual(group, group)), crossed, beyond))
        if progress is not None:
            progress(done + 1, len(trials))
    return found


Residual = Callable[[GroupData, GroupData], Numbers]


def _of(residual: Numbers) -> Deviation:
    return Deviation(float(residual.mean()), float(residual.std()), len(residual))


def _cross_validated(
    group: GroupData, joint: bool, folds: int, free: int, seed: int, residual: Residual
) -> Deviation | None:
    if not joint:
        return _over_replicates(group, free, residual)
    folds = min(folds, group.cells)
    if folds < 2:
        return None
    fold = np.random.default_rng(seed).permutation(group.cells) % folds
    held = [fold[group.cell] == each for each in range(folds)]
    if any(not _enough(group, ~test, free) for test in held):
        return None
    return _of(np.concatenate([residual(group.pick(~test), group.pick(test)) for test in held]))


def _over_replicates(group: GroupData, free: int, residual: Residual) -> Deviation | None:
    """Predict each replicate by the mean of the others."""
    replicates = np.unique(group.row_replicate)
    if len(replicates) < 2:
        return None
    found = []
    for each in replicates:
        rest = group.row_replicate != each
        counts = np.bincount(group.row_point[rest], minlength=len(group))
        own = np.flatnonzero(~rest)
        if not _enough(group, counts > 0, free):
            return None
        sums = np.bincount(group.row_point[rest], group.row_error[rest], len(group))
        train = replace(group, error=np.divide(sums, counts, out=group.error.copy(), where=counts > 0)).pick(counts > 0)
        point = group.row_point[own]
        test = replace(group, **{name: getattr(group, name)[point] for name in _BY_POINT}, error=group.row_error[own])
        found.append(residual(train, test))
    return _of(np.concatenate(found))


_BY_POINT = ("unpruned", "density", "depth", "width", "examples", "size", "cell", "repeats", "dense_repeats")


def _extrapolated(group: GroupData, joint: bool, free: int, residual: Residual) -> Deviation | None:
    if joint:
        first = np.unique(group.cell, return_index=True)[1]
        border = np.quantile(group.size[first], 1 - HELD_OUT)
        test = group.size > border
    else:
        levels = np.unique(group.density)
        test = group.density < levels[int(np.ceil(len(levels) * HELD_OUT))]
    if not test.any() or not _enough(group, ~test, free):
        return None
    return _of(residual(group.pick(~test), group.pick(test)))


def _enough(group: GroupData, train: NDArray[np.bool_], free: int) -> bool:
    """Whether a form can be fitted to some of the points, for what they vary."""
    pruned = train & (group.density < 1)
    for column in ("depth", "width"):
        values = getattr(group, column)
        if np.ptp(values) > 0 and (not pruned.any() or np.ptp(values[pruned]) == 0):
            return False
    return int(np.count_nonzero(pruned)) >= free
