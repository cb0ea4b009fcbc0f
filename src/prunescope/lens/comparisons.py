"""Other treatments compared with pruning: extended, narrow and leave-out training, and ablations."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prunescope.errors import listed
from prunescope.lens.cells import MISSING, Measurements
from prunescope.lens.example_changes import Groups, choose_scorer, group_differences, read_pairs
from prunescope.lens.loading import LensSource
from prunescope.lens.rung_curves import Curve, Point, dense_spread, optimal_error, rung_curve, sparsest_better
from prunescope.lens.verdicts import (
    TEST_ERROR,
    TRAINING_LOSS,
    Spread,
    TreatmentOutcome,
    Verdict,
    compare,
    spread,
    spread_over,
)
from prunescope.study.sections import GROUP


@dataclass(frozen=True)
class Match:
    """A rung of another treatment and the matching rung of pruning."""

    rung: int
    pruned_rung: int
    difference: Verdict


@dataclass(frozen=True)
class TrainingChange:
    """Training loss of one rung of a treatment compared with the dense networks (the paper's Appendices I and L).

    Attributes
    ----------
    which
        ``optimal``: lowest validation error; ``sparsest``: the last rung that beats the dense network on test;
        ``asked``: as requested.
    groups
        By EL2N; None where the store does not hold what they need.
    """

    which: str
    rung: int
    density: float
    train_loss: Verdict | None
    groups: Groups | None


@dataclass(frozen=True)
class TreatmentComparison:
    """Another treatment compared with pruning.

    Attributes
    ----------
    by
        What rungs are matched by: ``rung``, ``parameters`` or ``density``.
    best
        Test error of the treatment at its optimal rung minus that of pruning at its optimal rung; None without both.
        Verdicts and the diagnosis rest on it.
    best_by_test
        The paper's comparison in section 5.2: each network at its lowest test error, rung 0 included, replicate by
        replicate. Choosing by test error flatters both.
    matches
        Test error rung by rung.
    changes
        Training loss compared with the dense networks, over all examples and by EL2N.
    words, words_by_test
        `best` and `best_by_test` in words; the latter is empty without it.
    """

    curve: Curve
    by: str
    best: Verdict | None
    best_by_test: Verdict | None
    matches: tuple[Match, ...]
    changes: tuple[TrainingChange, ...]
    words: str
    words_by_test: str


@dataclass(frozen=True)
class LeaveOut:
    """Dense networks trained without some of the examples.

    Attributes
    ----------
    leave
        Which: ``improved``, ``worsened``, ``misclassified`` or ``random``.
    share
        Share to leave out; None where the examples decide or the table has none.
    count
        Examples left out; None if unknown.
    against_dense, against_sparse, against_random
        Test error compared with the teacher's dense network, its optimally sparse network, and leaving out as many
        at random.
    groups
        Training loss by EL2N of the examples that were trained on, compared with the teacher's dense network; None
        where the store does not hold what it needs.
    """

    treatment: str
    leave: str
    share: float | None
    count: Spread | None
    test_error: Spread
    against_dense: Verdict | None
    against_sparse: Verdict | None
    against_random: Verdict | None
    groups: Groups | None
    words: str


@dataclass(frozen=True, eq=False)
class Grouping:
    """Groups the training loss of any treatment of one cell by EL2N.

    Attributes
    ----------
    cell
        All ladders of the cell, the main treatment's first.
    main
        Those of the main treatment: their scores group the examples.
    count
        Number of groups.
    asked
        One more rung to look at, where a treatment has it.
    """

    source: LensSource
    cell: Sequence[Measurements]
    main: Sequence[Measurements]
    count: int
    asked: int | None = None

    def at(self, ladders: Sequence[Measurements], rung: int) -> Groups | None:
        """Return the groups at one rung; None where the store does not hold what they need."""
        scorer = choose_scorer(self.main)
        return group_differences(read_pairs(self.source, ladders, rung, scorer, self.cell), scorer, self.count)

    def changes(self, ladders: Sequence[Measurements], curve: Curve) -> Iterator[TrainingChange]:
        """Yield the changes of a treatment at its rungs of interest, each rung once."""
        rungs: dict[int, str] = {}
        for which, rung in (("optimal", curve.optimal), ("sparsest", sparsest_better(curve)), ("asked", self.asked)):
            if rung is not None and any(ladder.at(rung) for ladder in ladders):
                rungs.setdefault(rung, which)
        for rung, which in rungs.items():
            point = curve.at(rung)
            loss = compare(TRAINING_LOSS, point.train_loss, dense_spread(self.cell, "train_loss"))
            groups = self.at(ladders, rung)
            if loss is not None or groups is not None:
                yield TrainingChange(which, rung, point.density, loss, groups)


# Networks match in size when parameters agree to this ratio: a little more than half a rung of 20 %.
_SAME_SIZE = 1.15
# Rungs of two treatments match in density when they agree to this ratio.
_SAME_DENSITY = 1.02
RANDOM = "random"


def compare_treatment(
    ladders: Sequence[Measurements], pruning: Curve, dense: Spread | None, by: str, grouping: Grouping
) -> TreatmentComparison:
    """Compare a treatment with pruning of the same cell.

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
    by_test = compare(TEST_ERROR, treated.lowest_error, pruning.lowest_error)
    return TreatmentComparison(
        curve=treated,
        by=by,
        best=best,
        best_by_test=by_test,
        matches=matches,
        changes=tuple(grouping.changes(ladders, treated)),
        words=_words(treated, best, matches),
        words_by_test=_words_by_test(treated, pruning, by_test),
    )


def _words_by_test(treated: Curve, pruning: Curve, by_test: Verdict | None) -> str:
    if by_test is None:
        return ""
    ours, theirs = (listed(dict.fromkeys(sorted(curve.lowest))) for curve in (treated, pruning))
    rungs = f"{treated.treatment} at rungs {ours}, pruning at {theirs}"
    return f"the paper's comparison, each replicate at its lowest test error ({rungs}): {by_test.words}"


def _matches(treated: Curve, pruning: Curve, by: str) -> Iterator[Match]:
    for point in treated.points:
        twin = _matching_rung(point, pruning, by)
        difference = twin and compare(TEST_ERROR, point.test_error, twin.test_error)
        if twin and difference:
            yield Match(point.rung, twin.rung, difference)


def _matching_rung(point: Point, pruning: Curve, by: str) -> Point | None:
    """Return the rung of pruning that matches a rung of another treatment; none for rung 0."""
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
        return f"{treated.treatment} compared with pruning{rungs or ': no optimum to compare'}"
    name = f"{treated.treatment} at its best (rung {treated.optimal})"
    end = "; its best rung is the last one trained" if treated.optimal_at_end else ""
    return f"{name} compared with pruning at its best: {best.words}{end}{rungs}"


@dataclass(frozen=True)
class _Pupil:
    """One leave-out ladder: its error, how many examples it left out, and its teacher's errors."""

    ladder: Measurements
    error: float
    count: int | None
    dense: float
    sparse: float


def compare_leave_outs(
    source: LensSource,
    cell: Sequence[Measurements],
    main: Sequence[Measurements],
    dense: Spread | None,
    grouping: Grouping,
) -> tuple[LeaveOut, ...]:
    """Compare every leave-out treatment of a cell.

    Parameters
    ----------
    cell
        All ladders of the cell.
    main
        Those of the main treatment: the teachers where the table does not name them.
    dense
        Test errors of the replicates' dense networks, for teachers without one.
    """
    pupils = [
        _pupil(source, ladder, cell, main, dense)
        for ladder in cell
        if ladder.treatment.kind == "leave-out" and ladder.treatment.leave != GROUP and ladder.rows
    ]
    by_treatment: dict[object, list[_Pupil]] = {}
    for pupil in pupils:
        by_treatment.setdefault(pupil.ladder.treatment, []).append(pupil)
    chance = [pupil for pupil in pupils if pupil.ladder.treatment.leave == RANDOM]
    return tuple(_left_out(group, chance, grouping) for group in by_treatment.values())


def _pupil(
    source: LensSource,
    ladder: Measurements,
    cell: Sequence[Measurements],
    main: Sequence[Measurements],
    dense: Spread | None,
) -> _Pupil:
    teachers = [candidate for candidate in cell if ladder.teacher and candidate.ladder == ladder.teacher]
    teachers += [candidate for candidate in main if candidate.replicate == ladder.replicate]
    teacher = teachers[0] if teachers else None
    stand_in = dict(zip(dense.replicates, dense.values, strict=True)) if dense else {}
    network = teacher.dense if teacher else None
    left_out = source.left_out(ladder.ladder)
    return _Pupil(
        ladder,
        ladder.rows[0].test_error,
        None if left_out is None else len(left_out),
        network.test_error if network else stand_in.get(ladder.replicate, MISSING),
        optimal_error(teacher) if teacher else MISSING,
    )


def _left_out(pupils: Sequence[_Pupil], chance: Sequence[_Pupil], grouping: Grouping) -> LeaveOut:
    treatment = pupils[0].ladder.treatment
    names = [pupil.ladder.replicate for pupil in pupils]
    error = spread_over(names, [pupil.error for pupil in pupils])
    counts = [pupil.count for pupil in pupils]
    randomly = spread((pupil.ladder.replicate, _random(pupil, chance)) for pupil in pupils)
    against_dense = compare(TEST_ERROR, error, spread(zip(names, (pupil.dense for pupil in pupils), strict=True)))
    against_sparse = compare(TEST_ERROR, error, spread(zip(names, (pupil.sparse for pupil in pupils), strict=True)))
    against_random = compare(TEST_ERROR, error, randomly) if treatment.leave != RANDOM else None
    comparisons = [
        f"{'beside'} {other}: {verdict.words}"
        for other, verdict in (
            ("the dense network", against_dense),
            ("the optimally sparse one", against_sparse),
            ("as many left out at random", against_random),
        )
        if verdict
    ]
    return LeaveOut(
        treatment=treatment.name,
        leave=treatment.leave or "",
        share=treatment.share,
        count=None if None in counts else spread_over(names, [float(count) for count in counts if count is not None]),
        test_error=error,
        against_dense=against_dense,
        against_sparse=against_sparse,
        against_random=against_random,
        groups=grouping.at([pupil.ladder for pupil in pupils], pupils[0].ladder.rows[0].rung),
        words=f"{treatment.name}, {'; '.join(comparisons)}"
        if comparisons
        else f"{treatment.name}: nothing to compare with",
    )


def _random(pupil: _Pupil, chance: Sequence[_Pupil]) -> float:
    """Return the error of the same replicate with as many random examples left out; NaN without one."""
    if pupil.count is None:
        return MISSING
    return next(
        (
            other.error
            for other in chance
            if other.ladder.replicate == pupil.ladder.replicate and other.count == pupil.count
        ),
        MISSING,
    )
