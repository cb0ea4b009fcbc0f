"""The claims of the second paper beside what shipped tables say of them.

What the paper says of label noise it says of dense networks that had fitted their wrong labels. Where ours had not
(their loss is above that of guessing), a case is shown and not judged.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from prunescope.lens import Verdict
from prunescope.lens.verdicts import TreatmentOutcome, compare
from tools.claims import APART, Claim
from tools.lens_cases import Case, around, cases_of, nats, noise_words, points, shipped

BETTER, WORSE, MATCHES = TreatmentOutcome.BETTER, TreatmentOutcome.WORSE, TreatmentOutcome.MATCHES
# The least and the most that the paper's top fifth by EL2N changes, as multiples of the rest.
LEAST_TIMES, MOST_TIMES = 3.5, 71.0
# By how much narrower networks err more than pruned ones under noise at most, in the paper.
NARROW_MOST = 0.021
# Densities above which extended training does as well as pruning, in the paper, without noise.
ABOVE = 0.01

Judged = tuple[str, bool]
"""What one case shows, in words, and whether it is what the paper says."""


def _told(difference: Verdict | None, write: Callable[[Verdict], str], *outcomes: TreatmentOutcome) -> Judged | None:
    return None if difference is None else (write(difference), difference.outcome in outcomes)


def _claim(
    where: str, short: str, paper: str, unit: str, with_noise: bool, judge: Callable[[Case], Judged | None]
) -> Claim:
    """Judge a claim in every case of every table; a case that lacks what it needs is left out.

    Parameters
    ----------
    with_noise
        Whether the claim is of wrong labels that dense networks have memorised, or of right ones. Cases that have
        wrong labels and have not memorised them are shown, and not judged.
    """
    lines, met = [], []
    for name in shipped():
        counted: list[str] = []
        shown: list[str] = []
        for case in cases_of(name):
            judged = None if case.is_clean == with_noise else judge(case)
            if judged is not None:
                is_judged = case.is_clean or case.has_memorised
                (counted if is_judged else shown).append(f"{judged[0]} at {noise_words(case.cell.label_noise)}")
                met += [judged[1]] if is_judged else []
        if counted:
            lines.append(f"{name}: {', '.join(counted)}")
        if shown:
            lines.append(f"{name} (not memorised, not judged): {', '.join(shown)}")
    ours = APART.join(lines) + (f" ({unit})" if unit and lines else "")
    return Claim(where, short, paper, ours, tuple(met))


def _trains_better(case: Case) -> Judged | None:
    return None if case.cell.optimal is None else _told(case.cell.optimal.train_loss, nats, BETTER)


def _all_groups_improve(case: Case) -> Judged | None:
    rows = case.rows("loss-by-el2n", "optimal")
    if not rows:
        return None
    outcomes = [row["outcome"] for row in rows]
    most = max(rows, key=lambda row: abs(row["difference"]))["group"] == max(row["group"] for row in rows)
    better, same = outcomes.count(BETTER), outcomes.count(MATCHES)
    which = "the highest most" if most else "another most"
    words = f"{better} better, {same} match, {len(rows) - better - same} worse, {which}"
    return words, most and better + same == len(rows)


def _top_changes_most(case: Case) -> Judged | None:
    for row in case.rows("top-fifth", "optimal"):
        if row["times"] is not None:
            return f"{row['times']:.1f} times", row["times"] >= LEAST_TIMES
    return None


def _sparsest_trains_better(case: Case) -> Judged | None:
    rows = case.rows("loss-by-el2n", "sparsest")
    if not rows:
        return None
    better, worse = (sum(row["outcome"] == outcome for row in rows) for outcome in (BETTER, WORSE))
    # The paper: loss improves, except on CIFAR-10, where it worsens in most groups.
    met = worse > len(rows) / 2 if case.cell.dataset == "cifar10" else better > len(rows) / 2
    return f"{better} of {len(rows)} groups better, {worse} worse at density {rows[0]['density']:.2g}", met


def _without_improved(case: Case) -> Judged | None:
    row = case.left_out("improved")
    if row is None or row["against_random"] is None:
        return None
    mean, deviation = row["against_random"], row["against_random_deviation"] or 0.0
    return around(mean, deviation), mean > 0 and mean >= deviation


def _extended_by_density(case: Case) -> Judged | None:
    if case.cell.extended is None:
        return None
    densities = {point.rung: point.density for point in case.cell.pruning.points}
    there = [match for match in case.cell.extended.matches if match.rung and densities.get(match.rung, 0.0) > ABOVE]
    outcomes = [match.difference.outcome for match in there]
    same, better = outcomes.count(MATCHES), outcomes.count(BETTER)
    words = f"{same} of {len(there)} rungs match, extended is better in {better}, worse in {len(there) - same - better}"
    return (words, same == len(there)) if there else None


def _extended_trains_better(case: Case) -> Judged | None:
    changes = case.cell.extended.changes if case.cell.extended is not None else ()
    return _told(next((change.train_loss for change in changes if change.which == "optimal"), None), nats, BETTER)


def _noisy_loss_falls_first(case: Case) -> Judged | None:
    losses = {point.rung: point.train_loss_noisy for point in case.cell.pruning.points}
    dense, first = losses.get(0), losses.get(1)
    return None if dense is None or first is None else (f"{dense.mean:.2f} → {first.mean:.2f}", first.mean < dense.mean)


def _gap_widens(case: Case) -> Judged | None:
    gap = None if case.cell.optimal is None else case.cell.optimal.gap
    if gap is None:
        return None
    return f"{gap.dense.mean:.2f} → {gap.sparse.mean:.2f}", gap.difference.outcome == WORSE


def _top_loss_rises(case: Case) -> Judged | None:
    for row in case.rows("top-fifth", "optimal"):
        return around(row["top"], row["top_deviation"]), row["top"] >= (row["top_deviation"] or 0.0)
    return None


def _without_misclassified(case: Case) -> Judged | None:
    row = case.left_out("misclassified")
    if row is None or row["against_dense"] is None:
        return None
    mean, deviation = row["against_dense"], row["against_dense_deviation"] or 0.0
    against_sparse = around(row["against_sparse"], row["against_sparse_deviation"])
    return f"{around(mean, deviation)} (than pruned {against_sparse})", mean < 0 and -mean >= deviation


def _narrow_is_near(case: Case) -> Judged | None:
    return None if case.narrow is None else (points(case.narrow), case.narrow.mean <= NARROW_MOST)


def _narrow_gains(case: Case) -> Judged | None:
    dense = next((point.test_error for point in case.cell.pruning.points if point.rung == 0), None)
    narrow = None if case.cell.narrow is None else case.cell.narrow.curve.lowest_error
    return _told(compare("test error", narrow, dense), points, BETTER)


def _grows_with_noise() -> Claim:
    """Whether the gain of pruning grows from one level of noise to the next; the paper compares noisy ones."""
    lines, met = [], []
    for name in shipped():
        judged = [case for case in cases_of(name) if case.has_memorised]
        gains = [(case.cell.label_noise, -case.best.mean) for case in judged if case.best is not None]
        if len(gains) > 1:
            met += [low[1] <= high[1] for low, high in pairwise(gains)]
            lines.append(f"{name}: " + ", ".join(f"{100 * gain:.1f} at {noise_words(noise)}" for noise, gain in gains))
    return Claim(
        "Section 4, Fig. 3",
        "with wrong labels, the gain grows with their share",
        "VGG-16: 5.2, 16.1 and 34.6 points at 15, 30 and 60 %",
        APART.join(lines) + " (points gained)",
        tuple(met),
    )


def second_paper() -> list[Claim]:
    """Return the claims of the second paper."""
    clean, noisy = False, True
    return [
        _claim(
            "Section 3, Fig. 1",
            "without noise, pruning to the optimal sparsity lowers the test error",
            "",
            "points",
            clean,
            lambda case: _told(case.best, points, BETTER),
        ),
        _claim(
            "Section 3",
            "without noise, it lowers the training loss, too: pruning trains better",
            "",
            "nats",
            clean,
            _trains_better,
        ),
        _claim(
            "Section 3, Fig. 2a",
            "without noise, the loss improves or stays in each twentieth of the examples by EL2N, and changes most in "
            "the highest",
            "",
            "",
            clean,
            _all_groups_improve,
        ),
        _claim(
            "Section 3, Fig. 2a",
            "without noise, the loss of the fifth with the highest EL2N changes most",
            f"{LEAST_TIMES:g} to {MOST_TIMES:g} times as much as the rest (here: {LEAST_TIMES:g} or more)",
            "",
            clean,
            _top_changes_most,
        ),
        _claim(
            "Section 4, Fig. 2b",
            "without noise, at the highest sparsity that beats the dense network, the loss still improves (on "
            "CIFAR-10: worsens in most groups)",
            "",
            "",
            clean,
            _sparsest_trains_better,
        ),
        _claim(
            "Section 3, Appendix D",
            "without noise, dense networks without the fifth that pruning improves most do worse than without as many "
            "at random",
            "",
            "points",
            clean,
            _without_improved,
        ),
        _claim(
            "Section 4, Fig. 3",
            "with wrong labels, pruning to the optimal sparsity lowers the test error",
            "11 of 13, the others match",
            "points",
            noisy,
            lambda case: _told(case.best, points, BETTER),
        ),
        _grows_with_noise(),
        _claim(
            "Section 4, Fig. 4",
            "with wrong labels, their loss falls at first",
            "(here: from the dense network to the first pruned one)",
            "nats",
            noisy,
            _noisy_loss_falls_first,
        ),
        _claim(
            "Section 4, Fig. 4",
            "with wrong labels, at the optimal sparsity the gap between their loss and that of right ones is wider",
            "VGG-16: 0.03 to 0.13 dense, 1.38 to 2.97 pruned",
            "nats",
            noisy,
            _gap_widens,
        ),
        _claim(
            "Section 4, Fig. 5",
            "with wrong labels, at the optimal sparsity the loss of the fifth with the highest EL2N has often risen",
            "",
            "nats",
            noisy,
            _top_loss_rises,
        ),
        _claim(
            "Section 4, Appendix E",
            "with wrong labels, dense networks without what the optimally sparse one misclassifies do better, as "
            "pruned ones do",
            "",
            "points",
            noisy,
            _without_misclassified,
        ),
        _claim(
            "Section 5.1, Fig. 6",
            "without noise, extended training (as much, without pruning) matches or exceeds pruning",
            "",
            "points, extended minus pruned",
            clean,
            lambda case: _told(case.extended, points, BETTER, MATCHES),
        ),
        _claim(
            "Section 1, Fig. 1a, Appendix C",
            f"without noise, extended training matches pruning at every density above {100 * ABOVE:g} %",
            "",
            "",
            clean,
            _extended_by_density,
        ),
        _claim(
            "Section 5.1, Appendix L",
            "without noise, extended training lowers the training loss, too",
            "",
            "nats",
            clean,
            _extended_trains_better,
        ),
        _claim(
            "Section 5.1, Fig. 6",
            "with wrong labels, extended training does worse than pruning",
            "9 of 13; LeNet by 0 to 2.6 points, ResNet-20 by 0.4 to 14.5",
            "points, extended minus pruned",
            noisy,
            lambda case: _told(case.extended, points, WORSE),
        ),
        _claim(
            "Section 5.2, Fig. 7",
            "without noise, narrower networks do worse than pruned ones",
            "4 of 5, each at its lowest test error",
            "points, narrow minus pruned",
            clean,
            lambda case: _told(case.narrow, points, WORSE),
        ),
        _claim(
            "Section 5.2, Fig. 7",
            "with wrong labels, narrower networks are no worse than pruned ones by more than 2.1 points",
            "LeNet: better by up to 4 points; ResNet-20: match",
            "points, narrow minus pruned",
            noisy,
            _narrow_is_near,
        ),
        _claim(
            "Section 5.2, Fig. 7",
            "with wrong labels, narrower networks do better than the dense one",
            "",
            "points",
            noisy,
            _narrow_gains,
        ),
        Claim(
            "All figures",
            "all of this on VGG-16, ResNet-32 and ResNet-50",
            "on CIFAR-10, CIFAR-100 and ImageNet",
            "",
            (),
        ),
    ]
