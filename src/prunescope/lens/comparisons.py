"""Other treatments beside pruning: extended training rung by rung, narrow networks by size, ablations by density."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from prunescope.lens.cells import Measurements
from prunescope.lens.results import Curve, Match, Point, Spread, TreatmentComparison, TreatmentOutcome, Verdict
from prunescope.lens.rung_curves import rung_curve
from prunescope.lens.verdicts import TEST_ERROR, compare

# Networks count as of one size where parameters agree to this ratio: a little more than half a rung of 20 %.
_SAME_SIZE = 1.15
# Rungs of two treatments count as of one density to this ratio.
_SAME_DENSITY = 1.02


def compare_treatment(
    ladders: Sequence[Measurements], pruning: Curve, dense: Spread | None, by: str
) -> TreatmentComparison:
    """Set a treatment beside pruning; its ladders are of the same cell.

    Parameters
    ----------
    by
        ``rung``: the same number of retrainings; ``density``; ``parameters``: the nearest size.
    """
    treated = rung_curve(ladders, dense)
    matches = tuple(_matches(treated, pruning, by))
    best = None
    if treated.optimal is not None and pruning.optimal is not None:
        best = compare(TEST_ERROR, treated.at(treated.optimal).test_error, pruning.at(pruning.optimal).test_error)
    return TreatmentComparison(treated, by, best, matches, _words(treated, best, matches))


def _matches(treated: Curve, pruning: Curve, by: str) -> Iterator[Match]:
    for point in treated.points:
        twin = _matching_rung(point, pruning, by)
        difference = twin and compare(TEST_ERROR, point.test_error, twin.test_error)
        if twin and difference:
            yield Match(point.rung, twin.rung, difference)


def _matching_rung(point: Point, pruning: Curve, by: str) -> Point | None:
    """Return the rung of pruning that stands for the same as a rung of another treatment; none for rung 0."""
    sparse = [candidate for candidate in pruning.points if candidate.rung > 0]
    if by == "parameters":
        if point.rung == 0 or not point.parameters:
            return None
        sized = [(candidate.rung, candidate.parameters) for candidate in sparse if candidate.parameters]
        ratios = {rung: abs(math.log(parameters / point.parameters)) for rung, parameters in sized}
        nearest = min(ratios, key=ratios.__getitem__, default=None)
        return pruning.at(nearest) if nearest is not None and ratios[nearest] < math.log(_SAME_SIZE) else None
    twin = next((candidate for candidate in sparse if candidate.rung == point.rung), None)
    unlike = twin and by == "density" and abs(math.log(twin.density / point.density)) > math.log(_SAME_DENSITY)
    return None if unlike else twin


def _words(treated: Curve, best: Verdict | None, matches: Sequence[Match]) -> str:
    counts = Counter(match.difference.outcome for match in matches)
    verbs = {
        TreatmentOutcome.BETTER: "better at",
        TreatmentOutcome.MATCHES: "matches at",
        TreatmentOutcome.WORSE: "worse at",
    }
    tallies = [f"{verb} {counts[outcome]}" for outcome, verb in verbs.items() if counts[outcome]]
    rungs = f"; rung by rung {', '.join(tallies)} of {len(matches)}" if tallies else ""
    if best is None:
        return f"{treated.treatment} beside pruning{rungs or ': nothing to compare at the optimum of each'}"
    return f"{treated.treatment} at its best (rung {treated.optimal}) beside pruning at its own: {best.words}{rungs}"
