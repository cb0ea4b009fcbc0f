"""Forms side by side: how well each fits, predicts members it did not see, and extrapolates.

- In sample: mu and sigma over the points that it was fitted to.
- Cross-validated: every configuration (for Eq. 1: every replicate) is predicted by a fit that did not see it.
- Extrapolated: fitted to the smaller members, judged on the largest third (for Eq. 1: on the sparsest third of the
  densities): the question of the first paper's Appendix F; the third is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunescope.laws.data import BY_POINT, GroupData, Numbers
from prunescope.laws.forms import ADAPTED, ADAPTED_JOINT, JOINT, SINGLE, TILTED, TILTED_JOINT, Form
from prunescope.laws.search import fix_unvaried, search_groups
from prunescope.laws.solver import deviation

FOLDS = 10
WITHOUT_MEMBERS = "Eq. 2 without depth and width"
# What users call the laws, and the laws with a tilted plateau.
PAPER, TILT = {False: "Eq. 1", True: "Eq. 2"}, {False: "Eq. 1, tilted", True: "Eq. 2, tilted"}
# Standard errors, and share of its deviations, by which a form must predict better than another to be said to.
CLEAR, WORTH = 2.0, 0.05
HELD_OUT = 1 / 3
# What is left out of one network's curve: replicates, or densities; then how many of the sparsest.
LEAVE, SPARSEST = ("replicates", "densities"), 3


@dataclass(frozen=True)
class Deviation:
    """Mean and standard deviation of the relative deviation over some points, as fractions."""

    mu: float
    sigma: float
    points: int


@dataclass(frozen=True)
class Gain:
    """By how much a form predicts networks that it did not see better than another, as fractions.

    Attributes
    ----------
    rms, reference
        Root mean squares of the relative deviation: of the form, and of the other.
    difference, error
        ``reference - rms``, and its standard error from paired differences over whole configurations (for Eq. 1: over
        replicates); None where there is one alone.
    """

    rms: float
    reference: float
    difference: float
    error: float | None

    @property
    def clear(self) -> bool:
        """Whether the form is better beyond chance, and by enough to matter."""
        return self.error is not None and self.difference > max(CLEAR * self.error, WORTH * self.reference)

    def __str__(self) -> str:
        spread = "" if self.error is None else f" ± {100 * self.error:.1f}"
        return f"{-100 * self.difference:+.1f}{spread}"


@dataclass(frozen=True)
class FormComparison:
    """How far one form with so many free parameters is off; None where the group does not allow a trial.

    Attributes
    ----------
    gain
        By how much it predicts better than the first form, cross-validated; None for that form itself, and without.
    unseen
        Relative deviations of the cross-validation, in an order that all forms share; empty where there is none.
    """

    group: Mapping[str, Any]
    law: str
    form: str
    free: int
    fitted: Deviation
    cross_validated: Deviation | None
    extrapolated: Deviation | None
    gain: Gain | None = None
    unseen: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        trials = {
            name: None if (trial := getattr(self, name)) is None else vars(trial)
            for name in ("fitted", "cross_validated", "extrapolated", "gain")
        }
        values = {name: value for name, value in vars(self).items() if name != "unseen"}
        return {**values, "group": dict(self.group), **trials}


def candidate_forms(group: GroupData, joint: bool) -> Iterator[tuple[Form, str, dict[str, float]]]:
    """Yield the forms worth comparing on a group: form, words, and the parameters that are fixed."""
    if not joint:
        yield SINGLE, PAPER[joint], {}
        yield TILTED, TILT[joint], {}
        yield ADAPTED, "adapted from Rosenfeld et al. 2020", {}
        return
    fixed = fix_unvaried(JOINT, group, None)
    yield JOINT, PAPER[joint], fixed
    yield TILTED_JOINT, TILT[joint], fixed
    if not fixed:
        yield JOINT, "Eq. 2 without depth (phi = 0)", {"phi": 0.0}
        yield JOINT, "Eq. 2 without width (psi = 0)", {"psi": 0.0}
    if len(fixed) < 2:
        yield JOINT, WITHOUT_MEMBERS, {"phi": 0.0, "psi": 0.0}
    yield ADAPTED_JOINT, "adapted from Rosenfeld et al. 2020, over the invariant", fixed


def compare(
    group: GroupData,
    joint: bool,
    *,
    folds: int = FOLDS,
    only: Collection[str] | None = None,
    trials: Sequence[tuple[Form, str, Mapping[str, float]]] | None = None,
    leave: str = "replicates",
    count: int = 16,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[FormComparison]:
    """Compare the forms on one group; of a very large one on whole cells picked by chance (`GroupData.thinned`).

    Parameters
    ----------
    only
        Names of the forms to compare; None: all.
    leave
        For Eq. 1: ``"replicates"`` predicts each replicate by the others, and the sparsest third of the densities;
        ``"densities"`` each density by the others, and the three sparsest.
    trials
        The forms: form, words, and the parameters that are fixed; None: those of `candidate_forms`.
    """
    group = group.thinned(seed=seed)
    tried = candidate_forms(group, joint) if trials is None else trials
    trials = [trial for trial in tried if only is None or trial[1] in only]
    comparisons: list[FormComparison] = []
    for done, (form, words, fixed) in enumerate(trials):
        free = sum(name not in fixed for name in form.parameters)

        def residual(
            train: GroupData, test: GroupData, form: Form = form, fixed: Mapping[str, float] = fixed
        ) -> Numbers:
            theta = search_groups(form, [train], fixed, count, seed).theta
            return np.asarray(deviation(form, test.points, theta)[0][0])

        by_density = leave == "densities" and not joint
        unseen = (
            _cross_validate_densities(group, free, residual)
            if by_density
            else _cross_validate(group, joint, folds, free, seed, residual)
        )
        crossed = None if unseen is None else _summarise(unseen)
        beyond = _extrapolate(group, joint, free, residual, SPARSEST if by_density else None)
        fitted = _summarise(residual(group, group))
        in_order = () if unseen is None else tuple(unseen.tolist())
        gain = None
        if unseen is not None and comparisons and comparisons[0].unseen:
            cluster = (
                np.sort(_number_densities(group)) if by_density else tested_deviations(group, joint, folds, seed)[1]
            )
            gain = _gain(unseen, np.array(comparisons[0].unseen), cluster)
        comparisons.append(FormComparison(group.key, form.name, words, free, fitted, crossed, beyond, gain, in_order))
        if progress is not None:
            progress(done + 1, len(trials))
    return comparisons


def _gain(unseen: Numbers, reference: Numbers, cluster: NDArray[np.int64]) -> Gain:
    """Return by how much one form's deviations are smaller than another's, paired by cluster."""
    ours, theirs = (float(np.sqrt(np.mean(np.square(values)))) for values in (unseen, reference))
    number = np.unique(cluster, return_inverse=True)[1].reshape(-1)
    points = np.bincount(number)
    apart = reference**2 - unseen**2
    off = np.bincount(number, apart) - apart.mean() * points
    error = None
    if len(points) > 1 and ours + theirs > 0:
        squares = float(np.sqrt(np.sum(off**2) * len(points) / (len(points) - 1))) / len(unseen)
        # The difference of two roots is that of the squares over the sum of the roots.
        error = squares / (ours + theirs)
    return Gain(ours, theirs, theirs - ours, error)


Residual = Callable[[GroupData, GroupData], Numbers]


def _summarise(residual: Numbers) -> Deviation:
    return Deviation(float(residual.mean()), float(residual.std()), len(residual))


def _cross_validate(
    group: GroupData, joint: bool, folds: int, free: int, seed: int, residual: Residual
) -> Numbers | None:
    if not joint:
        return _cross_validate_replicates(group, free, residual)
    folds = min(folds, group.cells)
    if folds < 2:
        return None
    tests = _folds(group, folds, seed)
    if any(not _enough(group, ~test, free) for test in tests):
        return None
    return np.concatenate([residual(group.pick(~test), group.pick(test)) for test in tests])


def _folds(group: GroupData, folds: int, seed: int) -> list[NDArray[np.bool_]]:
    """Return which points each fold tests: whole cells, drawn by chance."""
    folds = min(folds, group.cells)
    fold = np.random.default_rng(seed).permutation(group.cells) % folds
    return [fold[group.cell] == number for number in range(folds)]


def _cross_validate_replicates(group: GroupData, free: int, residual: Residual) -> Numbers | None:
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
    return np.concatenate(residuals)


def _number_densities(group: GroupData) -> NDArray[np.int64]:
    """Return the place of each pruned point's density among those of the group, the sparsest first."""
    densities = group.density[group.density < 1]
    return np.asarray(np.unique(np.round(np.log(densities), 3), return_inverse=True)[1].reshape(-1), np.int64)


def _cross_validate_densities(group: GroupData, free: int, residual: Residual) -> Numbers | None:
    """Predict each density below 1 by the others, the sparsest first."""
    pruned, number = np.flatnonzero(group.density < 1), _number_densities(group)
    residuals = []
    for level in range(int(number.max(initial=-1)) + 1):
        test = np.zeros(len(group), bool)
        test[pruned[number == level]] = True
        if not _enough(group, ~test, free):
            return None
        residuals.append(residual(group.pick(~test), group.pick(test)))
    return np.concatenate(residuals) if residuals else None


def tested_deviations(group: GroupData, joint: bool, folds: int, seed: int) -> tuple[Numbers, NDArray[np.int64]]:
    """Return how far unpruned errors are off in the order of the cross-validation, and the cluster of each."""
    if joint:
        order = np.concatenate([np.flatnonzero(test) for test in _folds(group, folds, seed)])
        return (group.unpruned / group.error - 1)[order], group.cell[order]
    rows = np.concatenate([np.flatnonzero(group.row_replicate == value) for value in np.unique(group.row_replicate)])
    return group.unpruned[group.row_point[rows]] / group.row_error[rows] - 1, group.row_replicate[rows]


def _extrapolate(
    group: GroupData, joint: bool, free: int, residual: Residual, sparsest: int | None = None
) -> Deviation | None:
    if joint:
        first = np.unique(group.cell, return_index=True)[1]
        # Networks of one configuration have one size, but where it counts the weights that are left.
        one_size = bool((group.size == group.size[first][group.cell]).all())
        border = np.quantile(group.size[first] if one_size else group.size, 1 - HELD_OUT)
        test = group.size > border
    elif sparsest is not None:
        test = group.density < 1
        test[test] = _number_densities(group) < sparsest
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
