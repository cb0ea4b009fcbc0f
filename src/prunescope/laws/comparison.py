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

from prunescope.laws.data import BY_POINT, GroupData, Numbers
from prunescope.laws.forms import ADAPTED, ADAPTED_JOINT, JOINT, SINGLE, Form
from prunescope.laws.search import fix_unvaried, search_groups
from prunescope.laws.solver import deviation

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
    """How far one form with so many free parameters is off; None where the group does not allow a trial."""

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
            name: None if (trial := getattr(self, name)) is None else vars(trial)
            for name in ("fitted", "cross_validated", "extrapolated")
        }
        return {**vars(self), "group": dict(self.group), **trials}


def candidate_forms(group: GroupData, joint: bool) -> Iterator[tuple[Form, str, dict[str, float]]]:
    """Yield the forms worth comparing on a group: form, words, and the parameters that are fixed."""
    if not joint:
        yield SINGLE, "Eq. 1", {}
        yield ADAPTED, "adapted from Rosenfeld et al. 2020", {}
        return
    fixed = fix_unvaried(JOINT, group, None)
    yield JOINT, "Eq. 2", fixed
    if not fixed:
        yield JOINT, "Eq. 2 without depth (phi = 0)", {"phi": 0.0}
        yield JOINT, "Eq. 2 without width (psi = 0)", {"psi": 0.0}
    if len(fixed) < 2:
        yield JOINT, "Eq. 2 without depth and width", {"phi": 0.0, "psi": 0.0}
    yield ADAPTED_JOINT, "adapted from Rosenfeld et al. 2020, over the invariant", fixed


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
    trials = list(candidate_forms(group, joint))
    comparisons = []
    for done, (form, words, fixed) in enumerate(trials):
        free = sum(name not in fixed for name in form.parameters)

        def residual(
            train: GroupData, test: GroupData, form: Form = form, fixed: Mapping[str, float] = fixed
        ) -> Numbers:
            theta = search_groups(form, [train], fixed, count, seed).theta
            return np.asarray(deviation(form, test.points, theta)[0][0])

        crossed = _cross_validate(group, joint, folds, free, seed, residual)
        beyond = _extrapolate(group, joint, free, residual)
        fitted = _summarise(residual(group, group))
        comparisons.append(FormComparison(group.key, form.name, words, free, fitted, crossed, beyond))
        if progress is not None:
            progress(done + 1, len(trials))
    return comparisons


Residual = Callable[[GroupData, GroupData], Numbers]


def _summarise(residual: Numbers) -> Deviation:
    return Deviation(float(residual.mean()), float(residual.std()), len(residual))


def _cross_validate(
    group: GroupData, joint: bool, folds: int, free: int, seed: int, residual: Residual
) -> Deviation | None:
    if not joint:
        return _cross_validate_replicates(group, free, residual)
    folds = min(folds, group.cells)
    if folds < 2:
        return None
    fold = np.random.default_rng(seed).permutation(group.cells) % folds
    tests = [fold[group.cell] == number for number in range(folds)]
    if any(not _enough(group, ~test, free) for test in tests):
        return None
    return _summarise(np.concatenate([residual(group.pick(~test), group.pick(test)) for test in tests]))


def _cross_validate_replicates(group: GroupData, free: int, residual: Residual) -> Deviation | None:
    """Predict each replicate by the mean of the others."""
    replicates = np.unique(group.row_replicate)
    if len(replicates) < 2:
        return None
    residuals = []
    for replicate in replicates:
        rest = group.row_replicate != replicate
        counts = np.bincount(group.row_point[rest], minlength=len(group))
        rows = np.flatnonzero(~rest)
        if not _enough(group, counts > 0, free):
            return None
        sums = np.bincount(group.row_point[rest], group.row_error[rest], len(group))
        train = replace(group, error=np.divide(sums, counts, out=group.error.copy(), where=counts > 0)).pick(counts > 0)
        columns = {name: getattr(group, name)[group.row_point[rows]] for name in BY_POINT}
        residuals.append(residual(train, replace(group, **columns | {"error": group.row_error[rows]})))
    return _summarise(np.concatenate(residuals))


def _extrapolate(group: GroupData, joint: bool, free: int, residual: Residual) -> Deviation | None:
    if joint:
        first = np.unique(group.cell, return_index=True)[1]
        border = np.quantile(group.size[first], 1 - HELD_OUT)
        test = group.size > border
    else:
        levels = np.unique(group.density)
        test = group.density < levels[int(np.ceil(len(levels) * HELD_OUT))]
    if not test.any() or not _enough(group, ~test, free):
        return None
    return _summarise(residual(group.pick(~test), group.pick(test)))


def _enough(group: GroupData, train: NDArray[np.bool_], free: int) -> bool:
    """Whether a form can be fitted to some of the points, for what they vary."""
    pruned = train & (group.density < 1)
    for column in ("depth", "width"):
        values = getattr(group, column)
        if np.ptp(values) > 0 and (not pruned.any() or np.ptp(values[pruned]) == 0):
            return False
    return int(np.count_nonzero(pruned)) >= free
