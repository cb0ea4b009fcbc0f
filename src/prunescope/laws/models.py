"""The laws that can be fitted: form, parameters, the box they live in, where the search starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunescope.laws.batch import AdaptedForm, BatchForm, DenseForm, Numbers, PruningForm, to_coordinates
from prunescope.laws.data import GroupData, PaddedGroups
from prunescope.laws.forms import PARAMETERS

# Share of an interval's logarithm that counts as standing at a bound.
AT_BOUND = 1e-6
EXPONENTS = {"phi": "depth", "psi": "width"}


@dataclass(frozen=True)
class Law:
    """A law that can be fitted.

    Attributes
    ----------
    name
        What users call it.
    form
        Its form over batches.
    family
        Whether it has exponents of depth and width.
    """

    name: str
    form: BatchForm
    family: bool = False

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters in their order."""
        return self.form.coordinates


SINGLE = Law("single", PruningForm(("eps_up", "gamma", "p")))
JOINT = Law("joint", PruningForm(("eps_up", "gamma", "p_prime", "phi", "psi")), family=True)
ADAPTED = Law("adapted", AdaptedForm(("eps_up", "b", "beta")))
ADAPTED_JOINT = Law("adapted-joint", AdaptedForm(("eps_up", "b", "beta", "phi", "psi")), family=True)
DENSE = Law("dense", DenseForm())
LAWS = {law.name: law for law in (SINGLE, JOINT, ADAPTED, ADAPTED_JOINT, DENSE)}


@dataclass(frozen=True)
class Box:
    """Bounds of the coordinates, for each group ``[groups, coordinates]``; equal bounds fix a coordinate."""

    low: Numbers
    high: Numbers

    def of(self, group: int) -> Box:
        """Return the box of one group."""
        return Box(self.low[[group]], self.high[[group]])


def box(law: Law, side_by_side: PaddedGroups, fixed: Mapping[str, float], ceiling: Numbers) -> Box:
    """Return where the parameters of each group may lie.

    The high plateau lies between the lowest unpruned error and the error of guessing; everything else where its
    definition says.
    """
    names = law.parameters
    groups = len(side_by_side.count)
    low, high = (np.array([getattr(PARAMETERS[name], side) for name in names]) for side in ("low", "high"))
    low, high = (np.tile(to_coordinates(names, bound), (groups, 1)) for bound in (low, high))
    for column, name in enumerate(names):
        if name in ("eps_up", "eps_0"):
            high[:, column] = np.log(ceiling)
            error = side_by_side.points.unpruned if name == "eps_up" else side_by_side.points.error
            lowest = np.where(side_by_side.present, error, np.inf).min(axis=1)
            low[:, column] = np.minimum(lowest, high[:, column] - 1e-3)
        if name in fixed:
            low[:, column] = high[:, column] = to_coordinates((name,), np.array([fixed[name]]))[0]
    return Box(low, high)


def starts(law: Law, side_by_side: PaddedGroups, where: Box, count: int, seed: int) -> Numbers:
    """Return ``[groups, count, coordinates]`` to start from, drawn where the group's data lie."""
    points, present = side_by_side.points, side_by_side.present
    draw = np.random.default_rng(seed).random((count, len(law.parameters)))
    draw[0] = 0.5
    low, high = where.low[:, None, :], where.high[:, None, :]
    found = np.empty((len(present), count, len(law.parameters)))
    largest = np.where(present, points.error, -np.inf).max(axis=1)[:, None]
    for column, name in enumerate(law.parameters):
        at = draw[:, column]
        if name in ("eps_up", "eps_0"):
            start = np.minimum(largest, high[..., column])
            found[..., column] = start + (high[..., column] - start) * at
        elif name in ("gamma", "beta", "alpha"):
            found[..., column] = np.log(0.4) + (np.log(5.0) - np.log(0.4)) * at
        elif name in EXPONENTS:
            found[..., column] = 0.2 + 1.6 * at
    if law is DENSE:
        smallest = np.where(present, points.error, np.inf).min(axis=1)[:, None]
        for column, name in ((1, "width"), (3, "depth")):
            middle = _middle(getattr(points, name), present)
            found[..., column] = smallest - 0.5 + np.exp(found[..., column + 1]) * middle + (draw[:, column] - 0.5)
        found[..., 5] = smallest - 0.1 - 3 * draw[:, 5]
        return np.clip(found, low, high)
    within = np.clip(found, low, high)
    depth, width = (_middle(values, present) for values in (points.depth, points.width))
    shape = within[..., 3] * depth + within[..., 4] * width if law.family else 0.0
    densities = np.where(present, points.density, np.nan)
    sparsest, densest = np.nanmin(densities, axis=1)[:, None], np.nanmax(densities, axis=1)[:, None]
    turning = sparsest - 0.5 + (densest - sparsest) * draw[:, 2] + shape
    if law.parameters[1] == "b":
        # b such that the curve nears its high plateau at the turning point.
        found[..., 1] = within[..., 0] + np.exp(within[..., 2]) * turning
    else:
        found[..., 2] = turning
    return np.clip(found, low, high)


def _middle(values: Numbers, present: NDArray[np.bool_]) -> Numbers:
    return np.asarray((np.where(present, values, 0).sum(axis=1) / present.sum(axis=1))[:, None])


def unvaried(law: Law, group: GroupData, vary: Sequence[str] | None) -> dict[str, float]:
    """Return the parameters that a partial fit goes without: exponents of what does not vary, or was not asked for."""
    without = {}
    if law.family:
        for name, column in EXPONENTS.items():
            values = getattr(group, column)
            if (vary is not None and column not in vary) or values.min() == values.max():
                without[name] = 0.0
    if law is DENSE:
        if group.examples.min() == group.examples.max():
            without |= {"a": PARAMETERS["a"].low, "alpha": 1.0}
        if group.size.min() == group.size.max():
            without |= {"b": PARAMETERS["b"].low, "beta": 1.0}
    return without
