"""When to decline: the bound is out of reach or beyond the measurements, or the law is not identified."""

from __future__ import annotations

import numpy as np

from prunescope.choose.counts import amount, rounded
from prunescope.choose.description import beside_measured, short_unit
from prunescope.choose.family import Family
from prunescope.choose.limits import DeclinedError, Limits, UnreachedError, lowest_measured
from prunescope.choose.smallest import LOWEST_LOG_DENSITY, Numbers
from prunescope.errors import whole_percent

# How far beyond the sparsest measurement an answer may lie: about two rungs.
BEYOND = 1.5
# Decline when the ends of an interval of parameters differ by more than this ratio.
WIDEST_INTERVAL = 10.0
# Share of the laws that the data allow by which a chosen member must reach the bound.
LIKELY = 0.5


def decline_above(family: Family, bound: float) -> None:
    """Decline a bound that every network meets."""
    fit, highest = family.fit, family.cells.ceiling
    if "eps_up" in fit.fixed:
        highest = min(highest, fit.parameters["eps_up"])
    elif (interval := fit.intervals.get("eps_up")) is not None:
        highest = min(highest, interval[1])
    if bound >= highest:
        raise DeclinedError(
            f"every network meets an error of {bound:g}, however far it is pruned: errors level off at {highest:.4g} "
            "or below. Choose a lower error"
        )


def decline_unreached(family: Family, bound: float, needed: Numbers) -> None:
    """Decline a bound that no member meets."""
    if (needed < np.inf).any():
        return
    unpruned = family.unpruned.mean
    least = int(unpruned.argmin())
    error = float(np.exp(unpruned[least]))
    if error <= bound:
        raise UnreachedError(
            f"by the law no pruned network meets an error of {bound:g}; unpruned, {family.name(least)} does "
            f"({error:.4g}). Choose a higher error, or look at the curve itself",
            f"by the law only unpruned networks do, such as {family.name(least)} ({error:.4g})",
            unpruned_meets=True,
        )
    whose = f"{family.name(least)}{', predicted' if family.known[least] == 'predicted' else ''}"
    measured = beside_measured(error, *family.unpruned_measured(least))
    reason = f"the lowest unpruned error is {error:.4g} ({whose}{measured}), and the law predicts no gain from pruning"
    raise UnreachedError(
        f"no member reaches an error of {bound:g}: {reason}. Choose a higher error, add larger members "
        "(--depths, --widths: they need not be trained), or train on more examples",
        reason,
        unpruned_meets=False,
    )


def decline_beyond(family: Family, bound: float, needed: Numbers, best: int, limits: Limits) -> None:
    """Decline a bound that needs pruning the best member far beyond the measurements."""
    if limits.extrapolate:
        return
    sparsest = float(lowest_measured(family)[best])
    times = float(np.exp(np.minimum(sparsest - max(needed[best], LOWEST_LOG_DENSITY), 30.0)))
    if times > BEYOND:
        count = family.counts[best]
        size = amount(rounded(count.rest + count.prunable * float(np.exp(sparsest)), count.how))
        left = "" if count.how == "relative" else f" ({size} parameters)"
        further = f"{times:.3g} times further" if times < 1e4 else "any further"
        raise DeclinedError(
            f"an error of {bound:g} lies beyond what was measured: {family.name(best)} at density "
            f"{np.exp(sparsest):.4g}{left} is about as far as any network was pruned and meets "
            f"it by the law; pruned {further} it still would. Prune further, choose a lower error, or add "
            "--extrapolate to trust the law there"
        )


def decline_unidentified(family: Family, bound: float, drawn: Numbers, best: int) -> None:
    """Decline to choose by a law that the data do not identify."""
    parameters = drawn[:, best]
    reached = float(np.isfinite(parameters).mean())
    ends = np.quantile(np.where(np.isfinite(parameters), parameters, np.inf), [0.05, 0.95], method="nearest")
    if reached >= LIKELY and (not np.isfinite(ends[1]) or ends[1] / ends[0] <= WIDEST_INTERVAL):
        return
    unidentified = [name for name, interval in family.fit.intervals.items() if interval is None]
    why = f"{', '.join(unidentified)} not identified by the data" if unidentified else "too few measurements"
    count = family.counts[best]
    least, most = ((ends - count.rest) / count.prunable).tolist()
    where = (
        f"in {whole_percent(1 - reached)} of the draws it does not reach the bound"
        if reached < LIKELY
        else f"it may need a density of {f'{least:.3g}' if least > 1e-6 else 'next to nothing'} or of {most:.3g}"
    )
    advice = f" {family.fit.warnings[0]}." if family.fit.warnings else ""
    raise DeclinedError(
        f"the law is not known well enough to choose: for {family.name(best)} {where} ({why}).{advice} "
        f"`prunescope next TABLE --max-error {bound:g}` recommends what to train"
    )


def describe_too_large(family: Family, bound: float, parameters: float, limits: Limits, floor: Numbers) -> str:
    """Say that the bound needs more parameters than allowed, and what the allowed ones achieve."""
    cap = limits.max_parameters or 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        density = np.log((cap - family.sizes.rest) / family.sizes.prunable)
    density = np.minimum(density, 0.0)
    fits = density >= floor
    if not fits.any():
        ends = family.sizes.parameters(floor)
        return (
            f"no member can be pruned to {amount(cap)} {short_unit(family)}: the least is {amount(float(ends.min()))} "
            f"({family.name(int(ends.argmin()))})"
        )
    errors = np.where(fits, family.likeliest.log_errors(np.where(fits, density, 0.0))[0], np.inf)
    least = int(errors.argmin())
    return (
        f"an error of {bound:g} takes {amount(parameters)} {short_unit(family)}, more than the {amount(cap)} allowed; "
        f"with those the lowest error to expect is {np.exp(errors[least]):.4g} ({family.name(least)} at density "
        f"{np.exp(density[least]):.4g})"
    )
