"""Doubts about a fit: whether a law that leaves something out predicts as well, or one with a tilted plateau better.

Both are told by networks that a fit did not see, and the law itself is cross-validated once for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunescope.laws.comparison import (
    FOLDS,
    PAPER,
    TILT,
    WITHOUT_MEMBERS,
    FormComparison,
    Gain,
    compare,
    tested_deviations,
)
from prunescope.laws.data import GroupData, Numbers
from prunescope.laws.forms import JOINT, TILTED, TILTED_JOINT, Form
from prunescope.laws.search import fix_unvaried, search_groups
from prunescope.laws.solver import deviation

# A fit without depth and width that is off by more than so many times the law is not worth cross-validating, nor is a
# tilted one that is off by more than the law over this.
NEAR = 1.25


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
    tested, cell = tested_deviations(group.thinned(seed=seed), joint, folds, seed)
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


@dataclass(frozen=True)
class Doubts:
    """What a fit leaves to doubt.

    Attributes
    ----------
    null
        What explains nothing of a family; None where all of it does.
    tilted
        By how much a tilted plateau predicts better; None where it does not clearly.
    """

    null: NullModel | None = None
    tilted: Gain | None = None


def doubts_of_fit(group: GroupData, joint: bool, sigma: float, *, count: int = 16, seed: int = 0) -> Doubts:
    """Return what a fit of Eq. 1 or 2 leaves to doubt; forms are cross-validated only if one more fit leaves it open.

    Parameters
    ----------
    sigma
        That of the fitted law.
    """

    def scatter(form: Form, fixed: dict[str, float]) -> float:
        theta = search_groups(form, [group], fixed, count, seed).theta
        return float(np.asarray(deviation(form, group.points, theta)[0][0]).std())

    only = {PAPER[joint]}
    varied = len(fix_unvaried(JOINT, group, None)) < 2
    if joint and varied and scatter(JOINT, dict.fromkeys(("phi", "psi"), 0.0)) <= NEAR * sigma:
        only.add(WITHOUT_MEMBERS)
    flat = joint and float((group.unpruned / group.error - 1).std()) <= NEAR * sigma
    form = TILTED_JOINT if joint else TILTED
    if scatter(form, fix_unvaried(form, group, None)) < sigma / NEAR:
        only.add(TILT[joint])
    if len(only) == 1 and not flat:
        return Doubts()
    comparisons = compare(group, joint, count=count, seed=seed, only=only)
    null = null_model(group, True, comparisons, seed=seed) if flat or WITHOUT_MEMBERS in only else None
    gain = next((comparison.gain for comparison in comparisons if comparison.form == TILT[joint]), None)
    return Doubts(null, gain if gain is not None and gain.clear else None)


def describe_tilted(gain: Gain) -> str:
    """Say that the tilted form predicts better."""
    return (
        "a tilted plateau predicts better here: networks that a fit did not see are off by "
        f"{100 * gain.rms:.2g} % with it and by {100 * gain.reference:.2g} % without it; try --form tilted"
    )


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
