"""The families of shipped tables that the first paper's claims are judged on: their laws, each fitted once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

from prunescope.laws import FILTERS, Fit
from prunescope.laws.comparison import FormComparison, compare
from prunescope.laws.data import GroupData
from prunescope.laws.fit import Options, fit_groups
from prunescope.laws.forms import JOINT, SINGLE
from prunescope.laws.grouping import sample
from prunescope.table import Table, load_table, published_tables

OURS = ("lenet-mnist", "lenet-mnist-long", "resnet-cifar10", "digits")


@dataclass(frozen=True)
class Family:
    """A shipped table as one family: its group, the joint law, and the forms compared."""

    name: str
    rows: Table
    group: GroupData

    @cached_property
    def as_the_paper_filters(self) -> GroupData:
        """The configurations and densities that the paper's filters leave."""
        return sample(self.rows, joint=True, filters=tuple(FILTERS)).groups[0]

    @cached_property
    def fit(self) -> Fit:
        """The joint law, without intervals."""
        return joint_law(self.group)

    @cached_property
    def singles(self) -> list[Fit]:
        """The law of each configuration by itself."""
        fits = fit_groups(SINGLE, self.group.by_cell(), Options(intervals="none"))
        return [fit for fit in fits if isinstance(fit, Fit)]

    @cached_property
    def forms(self) -> dict[str, FormComparison]:
        """The forms by their names, cross-validated."""
        return forms_of(self.group)


@cache
def families() -> tuple[Family, ...]:
    """Return the families whose tables ship."""
    tables = [(name, load_table(name)) for name in OURS if name in published_tables()]
    return tuple(Family(name, rows, sample(rows, joint=True).groups[0]) for name, rows in tables)


def joint_law(group: GroupData) -> Fit:
    """Fit the joint law to a group, without intervals."""
    (fit,) = fit_groups(JOINT, [group], Options(intervals="none"))
    if not isinstance(fit, Fit):
        raise TypeError(fit.why)
    return fit


def forms_of(group: GroupData) -> dict[str, FormComparison]:
    """Cross-validate the forms of joint laws on a group."""
    return {form.form: form for form in compare(group, joint=True)}


def percent(value: float) -> str:
    """Write a fraction in percent."""
    return f"{100 * value:.1f} %"


def deviation(mu: float, sigma: float) -> str:
    """Write how far a law is off."""
    return f"mu {percent(mu)}, sigma {percent(sigma)}"
