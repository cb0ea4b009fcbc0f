"""The families of shipped tables that the first paper's claims are judged on: their laws, each fitted once.

Table 1 of the paper leaves out networks that are disconnected or no better than chance, and configurations from where
growing raises the unpruned error on. Its claims are of what is left, so `counted` is what they are judged on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from prunescope.laws import FILTERS, Fit
from prunescope.laws.comparison import FormComparison, compare
from prunescope.laws.data import GroupData, Numbers
from prunescope.laws.fit import Options, fit_groups
from prunescope.laws.forms import JOINT, SINGLE
from prunescope.laws.grouping import sample
from prunescope.laws.predict import Prediction, predict_errors
from prunescope.table import Table, load_table, published_tables

OURS = ("lenet-mnist", "lenet-mnist-long", "resnet-cifar10", "digits")


@dataclass(frozen=True)
class Family:
    """A shipped table as one family: its group, the joint law, and the forms compared."""

    name: str
    rows: Table
    group: GroupData

    @cached_property
    def counted(self) -> GroupData:
        """The configurations and densities that the paper's filters leave."""
        return sample(self.rows, joint=True, filters=tuple(FILTERS)).groups[0]

    @cached_property
    def law(self) -> Fit:
        """The joint law of what the paper counts, with intervals."""
        return joint_law(self.counted, "auto")

    @cached_property
    def law_of_all(self) -> Fit:
        """The joint law of all networks."""
        return joint_law(self.group)

    def parameters(self, group: GroupData) -> Numbers:
        """Return how many parameters each point of a group has left, with those that are never pruned."""
        rest = self.rows["parameters"] - self.rows["kept"]
        never = dict(zip(zip(self.rows["depth"], self.rows["width"], strict=True), rest, strict=True))
        kept = group.size * group.density
        return np.asarray(kept + [never[member] for member in zip(group.depth, group.width, strict=True)])

    @cached_property
    def forms(self) -> dict[str, FormComparison]:
        """The forms by their names, cross-validated on what the paper counts."""
        return forms_of(self.counted)


@cache
def families() -> tuple[Family, ...]:
    """Return the families whose tables ship."""
    tables = [(name, load_table(name)) for name in OURS if name in published_tables()]
    return tuple(Family(name, rows, sample(rows, joint=True).groups[0]) for name, rows in tables)


def joint_law(group: GroupData, intervals: str = "none") -> Fit:
    """Fit the joint law to a group."""
    (fit,) = fit_groups(JOINT, [group], Options(intervals=intervals))
    if not isinstance(fit, Fit):
        raise TypeError(fit.why)
    return fit


def single_laws(groups: list[GroupData]) -> list[Fit]:
    """Fit the law of one network to each group that can be fitted."""
    return [fit for fit in fit_groups(SINGLE, groups, Options(intervals="none")) if isinstance(fit, Fit)]


def predicted(fit: Fit, group: GroupData) -> Prediction:
    """Return what a joint law predicts of each point."""
    return predict_errors(fit, group.unpruned, group.density, group.depth, group.width)


def forms_of(group: GroupData) -> dict[str, FormComparison]:
    """Cross-validate the forms of joint laws on a group."""
    return {form.form: form for form in compare(group, joint=True)}


def percent(value: float) -> str:
    """Write a fraction in percent."""
    return f"{100 * value:.1f} %"


def deviation(mu: float, sigma: float) -> str:
    """Write how far a law is off."""
    return f"mu {percent(mu)}, sigma {percent(sigma)}"
