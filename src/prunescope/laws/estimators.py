"""The laws that can be fitted to a table: of one network, of a family, of unpruned networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from prunescope.errors import Fault, InputError
from prunescope.laws.data import GroupData
from prunescope.laws.estimator import Estimator
from prunescope.laws.fit import Options
from prunescope.laws.forms import DENSE, EXPONENTS, JOINT, SINGLE, TILTED, TILTED_JOINT, Form
from prunescope.laws.grouping import Sample, dense_sample
from prunescope.table import Table
from prunescope.table.schema import ERROR, Outcome

# What users call the forms of one network and of a family.
FORMS_OF_ONE: Mapping[str, Form] = MappingProxyType({"paper": SINGLE, "tilted": TILTED})
FORMS_OF_FAMILIES: Mapping[str, Form] = MappingProxyType({"paper": JOINT, "tilted": TILTED_JOINT})


@dataclass(kw_only=True, repr=False, eq=False)
class SingleLaw(Estimator):
    """Eq. 1, fitted to each configuration by itself.

    Parameters
    ----------
    form
        ``"paper"`` for Eq. 1; ``"tilted"`` lets the low plateau rise or fall with density, by ``kappa``.
    by
        Columns whose values make groups; None takes all that tell ladders apart.
    fix
        Parameters that are given: ``{"eps_up": 0.9}``.
    classes
        Number of classes, which bounds ``eps_up`` by the error of guessing; None takes it from the datasets that
        prunescope knows, else 1 is the bound.
    filters
        Filters of Table 1 to apply first: ``connected``, ``better-than-chance``, ``not-overly-large``.
    replicates
        ``"mean"`` fits to the mean over replicates, as the first paper does; ``"keep"`` to each.
    level
        Probability that an interval is meant to hold the truth.
    intervals
        ``"auto"``, ``"resampled"``, ``"quick"`` (linear) or ``"none"``.
    draws, starts, seed
        How many resamples, from how many starts, drawn with which seed.
    loss
        ``"relative"``, as the paper: squared relative deviations. ``"huber"``: log deviations, those beyond 1.345
        robust standard deviations by their absolute value, so that diverged networks pull little.
    """

    _forms = FORMS_OF_ONE
    form: str = "paper"
    filters: Sequence[str] = ()
    replicates: str = "mean"


@dataclass(kw_only=True, repr=False, eq=False)
class JointLaw(Estimator):
    """Eq. 2, fitted to all members of a family at once.

    Parameters
    ----------
    form
        ``"paper"`` for Eq. 2; ``"tilted"`` lets the low plateau rise or fall with density, by ``kappa``.
    vary
        Of ``depth`` and ``width``, those that the law explains by ``phi`` and ``psi``; None is all that vary. What is
        left out has exponent 0 (a partial fit).
    by, fix, classes, filters, replicates, level, intervals, draws, starts, seed, loss
        As for `SingleLaw`; ``by`` leaves out depth, width and examples.
    """

    _forms = FORMS_OF_FAMILIES
    form: str = "paper"
    vary: Sequence[str] | None = None
    filters: Sequence[str] = ()
    replicates: str = "mean"

    def _options(self, outcome: Outcome = ERROR) -> Options:
        return replace(super()._options(outcome), vary=None if self.vary is None else tuple(self.vary))

    def _check_groups(self, groups: Sequence[GroupData]) -> None:
        faults = []
        for column in self.vary or ():
            values = np.unique(np.concatenate([getattr(group, column) for group in groups]))
            if all(np.ptp(getattr(group, column)) == 0 for group in groups):
                hint = f"Add networks of another {column}, or leave {column} out of --vary."
                faults.append(Fault(f"column {column!r}", "must vary to be explained", f"only {values[0]:g}", hint))
        if faults:
            raise InputError("--vary", faults)

    def _columns(self) -> tuple[str, ...]:
        needed = [column for name, column in EXPONENTS.items() if any(fit.parameters[name] != 0 for fit in self.fits_)]
        return (*super()._columns(), *(column for column in needed if column not in self.by_))


@dataclass(kw_only=True, repr=False, eq=False)
class DenseLaw(Estimator):
    """Rosenfeld's law of unpruned networks: their error by size and examples, for members never trained.

    The size is the column `prunable` where there is one, else ``depth * width^2``, which is proportional to it.

    Parameters
    ----------
    by, fix, classes, level, intervals, draws, starts, seed, loss
        As for `JointLaw`; the parameters are ``eps_0, a, alpha, b, beta, c``, and with ``classes`` given ``eps_0`` is
        the error of guessing.
    """

    _forms = MappingProxyType({"paper": DENSE})

    def _group(self, rows: Table) -> Sample:
        return dense_sample(rows, self.by, classes=self.classes)

    def _options(self, outcome: Outcome = ERROR) -> Options:
        options, chance = super()._options(outcome), outcome.guessing(self.classes)
        if chance is not None and "eps_0" not in options.fixed:
            return replace(options, fixed={**options.fixed, "eps_0": chance})
        return options

    def _columns(self) -> tuple[str, ...]:
        explained = [("b", self.fitted_on_["size"]), ("a", ["examples"])]
        used = [names for factor, names in explained if any(factor not in fit.fixed for fit in self.fits_)]
        return (*self._varying(), *(name for names in used for name in names))
