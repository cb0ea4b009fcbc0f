"""The slider: the choice at each of many bounds, computed by `choose` and only looked up in the page."""

from __future__ import annotations

import numpy as np

from prunescope.choose.answers import Bounded
from prunescope.choose.counts import amount
from prunescope.choose.description import Pick
from prunescope.laws.results import number
from prunescope.report.groups import ReportGroup
from prunescope.report.results import Fact, Slider, Stop

# Bounds that are asked for, besides the one that the report is about.
HOW_MANY = 24
# The report is about this many times the lowest unpruned error, unless a bound is named or errors rise less than that.
USUAL = 1.25
# No bound beyond this share of the high plateau: every network keeps it.
BELOW_PLATEAU = 0.95


def usual_bound(subject: ReportGroup) -> float:
    """Return the bound that a report is about where none is named."""
    lowest = subject.cells.unpruned if np.isfinite(subject.cells.unpruned).all() else subject.cells.error
    low, high = float(lowest.min()), float(subject.cells.error.max())
    return float(f"{min(USUAL * low, (low * max(low, high)) ** 0.5):.3g}")


def bounds_for(subject: ReportGroup, bound: float) -> tuple[float, ...]:
    """Return round bounds from just above the lowest unpruned error to the highest error, `bound` among them."""
    if subject.fit is None:
        return ()
    low = float(subject.cells.unpruned.min()) * 1.01
    high = min(float(subject.cells.error.max()), BELOW_PLATEAU * subject.fit.parameters["eps_up"])
    if not low < high:
        return (bound,)
    found = {float(f"{each:.3g}") for each in np.geomspace(low, high, HOW_MANY).tolist()}
    return tuple(sorted(found | {bound}))


def slider(found: tuple[Bounded, ...], bound: float, confidence: float) -> Slider:
    """Return the slider, set to a bound."""
    stops = tuple(_stop(each) for each in found)
    start = min(range(len(stops)), key=lambda place: abs(stops[place].bound - bound))
    return Slider(stops, start, confidence)


def _stop(found: Bounded) -> Stop:
    label = number(found.max_error)
    if found.choice is None:
        return Stop(found.max_error, label, (), found.why)
    rows = [
        ("network", _name),
        ("density", _density),
        ("parameters left", _parameters),
        ("error to expect", _error),
        ("keeps the bound in", lambda pick: f"{pick.probability:.0%} of trainings"),
    ]
    facts = tuple(Fact(name, told(found.choice), told(found.robust) if found.robust else "none") for name, told in rows)
    return Stop(found.max_error, label, facts, "")


def _name(pick: Pick) -> str:
    known = {"pruned": "", "dense": " (never pruned)", "predicted": " (never trained)"}[pick.known]
    return pick.name + known


def _density(pick: Pick) -> str:
    rung = "" if pick.rung is None else f", rung {pick.rung}"
    return f"{number(pick.density)} ({number(pick.density_low)} to {number(pick.density_high)}){rung}"


def _parameters(pick: Pick) -> str:
    return f"{amount(pick.parameters)} ({amount(pick.parameters_low)} to {amount(pick.parameters_high)})"


def _error(pick: Pick) -> str:
    return f"{number(pick.error)} ({number(pick.low)} to {number(pick.high)})"
