"""Forms side by side: how well each fits, predicts members it did not see, and extrapolates.

- In sample: mu and sigma over the points that it was fitted to.
- Cross-validated: every configuration (for Eq. 1: every replicate) is predicted by a fit that did not see it.
- Extrapolated: fitted to the smaller members, judged on the largest third (for Eq. 1: on the sparsest third of the
  densities), as in the first paper's Appendix F.
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
# A fit without depth and width that is off by more than so many times the law is not worth cross-validating, nor is a
# tilted one that is off by more than the law over this.
NEAR = 1.25
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
            cluster = np.sort(_number_densities(group)) if by_density else _tested(group, joint, folds, seed)[1]
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


def tilted_of_fit(group: GroupData, joint: bool, sigma: float, *, count: int = 16, seed: int = 0) -> Gain | None:
    """Return by how much a tilted plateau predicts better; None where it does not clearly.

    Cross-validated only if one more fit leaves it open.

    Parameters
    ----------
    sigma
        That of the fitted law.
    """
    form = TILTED_JOINT if joint else TILTED
    theta = search_groups(form, [group], fix_unvaried(form, group, None), count, seed).theta
    if float(np.asarray(deviation(form, group.points, theta)[0][0]).std()) >= sigma / NEAR:
        return None
    comparisons = compare(group, joint, count=count, seed=seed, only={PAPER[joint], TILT[joint]})
    gain = comparisons[-1].gain
    return gain if gain is not None and gain.clear else None


def describe_tilted(gain: Gain) -> str:
    """Say that the tilted form predicts better."""
    return (
        "a tilted plateau predicts better here: networks that a fit did not see are off by "
        f"{100 * gain.rms:.2g} % with it and by {100 * gain.reference:.2g} % without it; try --form tilted"
    )


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


@dataclass(frozen=True)
class NullModel:
    """A law that leaves something out and does as well out of sample, within one standard error.

    Attributes
    ----------
    explains_nothing
        What is left out, in words.
    null, law
        Root mean square of the relative deviations of members that a fit did not see, without it and with it.
    """

    explains_nothing: str
    null: float
    law: float

    def __str__(self) -> str:
        what = self.explains_nothing
        verb = "explain" if " and " in what else "explains"
        without = "them" if " and " in what else "it"
        return (
            f"{what} {verb} nothing here beyond the unpruned errors: networks that a fit did not see are off by "
            f"{100 * self.null:.2g} % without {without} and by {100 * self.law:.2g} % with {without}, which is within "
            "one standard error"
        )


def null_model(
    group: GroupData, joint: bool, comparisons: Sequence[FormComparison], folds: int = FOLDS, seed: int = 0
) -> NullModel | None:
    """Return what explains nothing: density, or else depth and width; None where all of them do.

    Parameters
    ----------
    comparisons
        Those of `compare`, of the same group by the same seed.
    """
    law = comparisons[0]
    if not law.unseen:
        return None
    tested, cell = _tested(group.thinned(seed=seed), joint, folds, seed)
    if len(tested) != len(law.unseen):
        return None
    without = [("density", tested)]
    names = [name for name in ("depth", "width") if np.ptp(getattr(group, name)) > 0]
    smaller = next((form for form in comparisons if form.form == WITHOUT_MEMBERS), None)
    if joint and names and smaller is not None and smaller.unseen:
        without.append((" and ".join(names), np.array(smaller.unseen)))
    for words, unseen in without:
        if _as_good(unseen, np.array(law.unseen), cell):
            null, ours = (float(np.sqrt(np.mean(np.square(values)))) for values in (unseen, law.unseen))
            return NullModel(words, null, ours)
    return None


def null_of_fit(group: GroupData, sigma: float, *, count: int = 16, seed: int = 0) -> NullModel | None:
    """Return what explains nothing of a family, as `null_model`; cross-validated only if one more fit leaves it open.

    Parameters
    ----------
    sigma
        That of the fitted law.
    """
    fixed = fix_unvaried(JOINT, group, None)
    fewer = dict.fromkeys(("phi", "psi"), 0.0)
    theta = search_groups(JOINT, [group], fewer, count, seed).theta
    near = float(np.asarray(deviation(JOINT, group.points, theta)[0][0]).std()) <= NEAR * sigma and len(fixed) < 2
    flat = float((group.unpruned / group.error - 1).std()) <= NEAR * sigma
    if not near and not flat:
        return None
    tried = {PAPER[True], WITHOUT_MEMBERS}
    return null_model(group, True, compare(group, True, count=count, seed=seed, only=tried), seed=seed)


def _tested(group: GroupData, joint: bool, folds: int, seed: int) -> tuple[Numbers, NDArray[np.int64]]:
    """Return how far unpruned errors are off in the order of the cross-validation, and the cluster of each."""
    if joint:
        order = np.concatenate([np.flatnonzero(test) for test in _folds(group, folds, seed)])
        return (group.unpruned / group.error - 1)[order], group.cell[order]
    rows = np.concatenate([np.flatnonzero(group.row_replicate == value) for value in np.unique(group.row_replicate)])
    return group.unpruned[group.row_point[rows]] / group.row_error[rows] - 1, group.row_replicate[rows]


def _as_good(null: Numbers, law: Numbers, cluster: NDArray[np.int64]) -> bool:
    """Whether a smaller law's mean square is at most one standard error, over clusters, above that of the law."""
    number = np.unique(cluster, return_inverse=True)[1].reshape(-1)
    points = np.bincount(number)
    if len(points) < 2:
        return False
    mean = float(np.mean(law**2))
    apart = np.bincount(number, law**2) - mean * points
    error = float(np.sqrt(np.sum(apart**2) * len(points) / (len(points) - 1))) / len(law)
    return bool(np.mean(null**2) <= mean + error)


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
