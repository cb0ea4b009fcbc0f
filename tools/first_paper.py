"""The claims of the first paper beside what shipped tables say of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from prunescope.laws import Fit
from prunescope.laws.comparison import HELD_OUT, WITHOUT_MEMBERS
from prunescope.laws.data import GroupData
from prunescope.laws.fit import Options, fit_groups
from prunescope.laws.forms import JOINT, SINGLE
from prunescope.laws.grouping import sample
from prunescope.laws.predict import predict_errors
from prunescope.laws.search import fix_unvaried
from prunescope.laws.sensitivity import sensitivity
from prunescope.table import load_table
from tools.claims import APART, Claim, verdict
from tools.families import Family, deviation, families, joint_law, percent

# The first paper's bars for one network and for a family, and what seeds alone scatter by there (as fractions).
SINGLE_MU, SINGLE_SIGMA, FAMILY_MU, FAMILY_SIGMA, SEEDS = 0.02, 0.04, 0.02, 0.06, 0.034
BIAS = 0.01
# Densities of a curve from which on it says something of a law.
ENOUGH_DENSITIES = 7


def _each(words: Callable[[Family], str]) -> str:
    return APART.join(f"{family.name}: {words(family)}" for family in families())


def one_network() -> Claim:
    """Eq. 1 for each configuration by itself."""
    shares = {}
    for family in families():
        singles = family.singles
        met = [abs(fit.mean_deviation) < SINGLE_MU and fit.std_deviation < SINGLE_SIGMA for fit in singles]
        shares[family.name] = (sum(met), len(met), float(np.median([fit.std_deviation for fit in singles])))
    published = [
        fit for fit in fit_groups(SINGLE, _published_curves(), Options(intervals="none")) if isinstance(fit, Fit)
    ]
    met = [abs(fit.mean_deviation) < SINGLE_MU and fit.std_deviation < SINGLE_SIGMA for fit in published]
    sigma = float(np.median([fit.std_deviation for fit in published]))
    shares["renda2020 (published)"] = (sum(met), len(met), sigma)
    words = APART.join(
        f"{name}: {number} of {count} curves, median sigma {percent(middle)}"
        for name, (number, count, middle) in shares.items()
    )
    most = [number / count > 0.9 for number, count, _ in shares.values()]
    return Claim("Section 3, Fig. 2", "Eq. 1 describes one network: mu within ± 2 %, sigma < 4 %", words, verdict(most))


def _published_curves() -> list[GroupData]:
    groups = sample(load_table("renda2020"), joint=False).groups
    return [group for group in groups if len(np.unique(group.density[group.density < 1])) >= ENOUGH_DENSITIES]


def one_family() -> Claim:
    """Eq. 2 for all members at once."""
    met = [
        abs(family.fit.mean_deviation) < FAMILY_MU and family.fit.std_deviation < FAMILY_SIGMA for family in families()
    ]
    words = _each(
        lambda family: (
            f"{deviation(family.fit.mean_deviation, family.fit.std_deviation)} over errors from "
            f"{family.group.error.min():.2f} to {family.group.error.max():.2f}, {_as_filtered(family)}"
        )
    )
    return Claim("Section 4, Fig. 4", "one law for a family: mu within ± 2 %, sigma < 6 %", words, verdict(met))


def _as_filtered(family: Family) -> str:
    fit = joint_law(family.as_the_paper_filters)
    return f"{deviation(fit.mean_deviation, fit.std_deviation)} as the paper filters"


def seeds() -> Claim:
    """Return how far seeds alone scatter."""
    noise = [family.group.seed_noise or 0.0 for family in families()]
    words = _each(lambda family: percent(family.group.seed_noise or 0.0))
    met = [value < 1.5 * SEEDS for value in noise]
    return Claim("Section 4", "seeds alone scatter by 3.4 %", words, verdict(met))


def invariant() -> Claim:
    """Depth and width against density."""
    varied = [family for family in families() if WITHOUT_MEMBERS in family.forms]
    lines, met = [], []
    for family in varied:
        gain = family.forms[WITHOUT_MEMBERS].gain
        if gain is not None:
            lines.append(
                f"{family.name}: off by {percent(gain.reference)} with, {percent(gain.rms)} without depth and width "
                f"({gain} points)"
            )
            met.append(gain.difference < -2 * (gain.error or 0.0))
    return Claim(
        "Section 4, Fig. 3",
        "depth and width trade against density by powers: networks of one m* have one error",
        APART.join(lines),
        verdict(met),
    )


def extrapolation() -> Claim:
    """Fitted to small members, judged on the largest."""
    lines, met = [], []
    for family in families():
        trial = family.forms["Eq. 2"].extrapolated
        if trial is not None:
            held = _held_by_intervals(family.group)
            off = deviation(trial.mu, trial.sigma)
            lines.append(f"{family.name}: {off}, its 90 % intervals hold {100 * held:.0f} % of the errors")
            met.append(abs(trial.mu) < FAMILY_MU and trial.sigma < FAMILY_SIGMA)
    return Claim(
        "Appendix F", "a law fitted to small members predicts the largest third", APART.join(lines), verdict(met)
    )


def _held_by_intervals(group: GroupData) -> float:
    """Return the share of the largest members' errors that lie within intervals of a fit to the smaller ones."""
    first = np.unique(group.cell, return_index=True)[1]
    large = group.size > np.quantile(group.size[first], 1 - HELD_OUT)
    (fit,) = fit_groups(JOINT, [group.pick(~large)], Options())
    if not isinstance(fit, Fit):
        raise TypeError(fit.why)
    largest = group.pick(large & (group.density < 1))
    predicted = predict_errors(fit, largest.unpruned, largest.density, largest.depth, largest.width)
    return float(np.mean((predicted.low <= largest.error) & (largest.error <= predicted.high)))


def bias() -> Claim:
    """Return what it costs to take the low plateau for flat."""
    plateau = {family.name: family.fit.regions[0].mean or 0.0 for family in families()}
    met = [abs(value) < 2 * BIAS for value in plateau.values()]
    words = _each(lambda family: f"mu {percent(plateau[family.name])} on the low plateau")
    return Claim("Appendix H", "taking the low plateau for flat costs about 1 %", words, verdict(met))


def few_measurements() -> Claim:
    """How many configurations a stable fit needs."""
    lines, met = [], []
    for family in families():
        fixed = fix_unvaried(JOINT, family.group, None)
        result = sensitivity(JOINT, family.group, fixed, repeats=10, count=8)
        enough = result.enough(2, result.sigma + 0.01)
        lines.append(f"{family.name}: {enough if enough is not None else 'more than all'} of {family.group.cells}")
        met.append(enough is not None and enough < family.group.cells)
    words = "configurations until sigma is within a point of that of all: " + APART.join(lines)
    return Claim("Section 5, Fig. 7", "few configurations suffice for a stable fit", words, verdict(met))


def first_paper() -> list[Claim]:
    """Return the claims of the first paper."""
    claims = (one_network, one_family, seeds, invariant, extrapolation, bias, few_measurements)
    return [claim() for claim in claims]
