"""The smallest pruned network under an error bound, for all members at once and for every truth that data allow.

Arrays in, arrays out: no tables, no words. A *truth* is one possible law with one possible unpruned error for each
member; a fit gives the likeliest and draws of others. In the density the law has an inverse
(`PruningForm.log_density`), so the search that is left is one over members.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from prunescope.laws import Fit
from prunescope.laws.data import Points
from prunescope.laws.forms import FORMS, JOINT, PruningForm, to_coordinates

Numbers = NDArray[np.float64]
Picked = NDArray[np.bool_] | NDArray[np.int64]
# The lowest density considered, as a logarithm.
LOWEST_LOG_DENSITY = -30.0


@dataclass(frozen=True)
class MemberSizes:
    """How large members are, one value each.

    Attributes
    ----------
    depth, width
        Their place in the family.
    prunable
        Weights that pruning may remove.
    rest
        Parameters that it may not.
    """

    depth: Numbers
    width: Numbers
    prunable: Numbers
    rest: Numbers

    def __len__(self) -> int:
        return len(self.depth)

    def parameters(self, log_density: Numbers) -> Numbers:
        """Return the parameters that survive at densities ``[..., members]``; infinity at infinity."""
        return np.asarray(self.rest + self.prunable * np.exp(log_density))

    def pick(self, members: Picked) -> MemberSizes:
        """Return some of the members."""
        return MemberSizes(self.depth[members], self.width[members], self.prunable[members], self.rest[members])


@dataclass(frozen=True)
class Truths:
    """Possible truths, one in each row.

    Attributes
    ----------
    theta
        Coordinates of the joint law, ``[truths, coordinates]``.
    unpruned
        Logarithms of the members' unpruned errors, ``[truths, members]``.
    form
        The law's form.
    """

    theta: Numbers
    unpruned: Numbers
    form: PruningForm = JOINT

    def pick(self, members: Picked) -> Truths:
        """Return the truths about some of the members."""
        return replace(self, unpruned=self.unpruned[:, members])


@dataclass(frozen=True)
class Scatter:
    """How single networks scatter about the law: standard deviations of log errors over its three regions.

    Attributes
    ----------
    theta
        The law that separates the regions, ``[1, coordinates]``.
    unpruned
        The unpruned errors that do, as logarithms, ``[members]``.
    by_region
        On the plateau, along the power law, in saturation.
    form
        The law's form.
    """

    theta: Numbers
    unpruned: Numbers
    by_region: Numbers
    form: PruningForm = JOINT

    def pick(self, members: Picked) -> Scatter:
        """Return the scatter of some of the members."""
        return replace(self, unpruned=self.unpruned[members])

    def at(self, sizes: MemberSizes, log_density: Numbers) -> Numbers:
        """Return the standard deviation for each member at its density."""
        return np.asarray(self.by_region[self.form.regions(self.theta, _points(sizes, self.unpruned, log_density))[0]])


def needed_density(sizes: MemberSizes, truths: Truths, bound: float | Numbers) -> Numbers:
    """Return the logarithm of the lowest density at which each member's law meets a bound, ``[truths, members]``.

    The bound may be one for all, or one for each truth ``[truths, 1]``.
    Infinity where no density does, minus infinity where every density does (a bound above the high plateau).
    """
    points = _points(sizes, truths.unpruned, np.zeros(len(sizes)))
    density = truths.form.log_density(truths.theta, bound, points)
    return np.asarray(np.where(np.isnan(density) | (density > 0), np.inf, density))


def log_errors(sizes: MemberSizes, truths: Truths, log_density: Numbers) -> Numbers:
    """Return the logarithm of each member's error at its density (``[members]`` or ``[truths, members]``)."""
    density = np.broadcast_to(log_density, truths.unpruned.shape)
    return truths.form.log_error(truths.theta, _points(sizes, truths.unpruned, density))


def _points(sizes: MemberSizes, unpruned: Numbers, log_density: Numbers) -> Points:
    return Points(np.zeros(len(sizes)), unpruned, log_density, np.log(sizes.depth), np.log(sizes.width))


def smallest_member(parameters: Numbers) -> NDArray[np.int64]:
    """Return the member with the fewest parameters in each row, -1 where no member meets the bound."""
    best = np.argmin(parameters, axis=-1)
    there = np.isfinite(np.take_along_axis(parameters, best[..., None], axis=-1)[..., 0])
    return np.asarray(np.where(there, best, -1))


def law_coordinates(fit: Fit) -> Numbers:
    """Return the coordinates of a fitted law, ``[1, coordinates]``."""
    names = form_of(fit).parameters
    return to_coordinates(names, np.array([[fit.parameters[name] for name in names]]))


def form_of(fit: Fit) -> PruningForm:
    """Return the form of a fitted law of pruned networks."""
    form = FORMS[fit.law]
    if not isinstance(form, PruningForm):
        raise TypeError(f"a law of pruned networks, not {fit.law}")
    return form
