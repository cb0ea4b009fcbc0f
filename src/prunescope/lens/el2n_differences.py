"""Loss differences by EL2N, over replicates: in each replicate its own examples by its own scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prunescope.lens.cells import Scorer
from prunescope.lens.el2n_groups import TOP, group_means, group_numbers, top_examples, weigh_change
from prunescope.lens.pairs import Pair
from prunescope.lens.results import ExampleGroup, Groups, Spread, Top, TreatmentOutcome
from prunescope.lens.verdicts import TRAINING_LOSS, judge, spread, spread_over

Floats = NDArray[np.float64]


def group_differences(pairs: Sequence[Pair], scorer: Scorer | None, count: int) -> Groups | None:
    """Return loss differences in ``count`` groups; None where no replicate's examples are scored."""
    scored = [(pair, pair.el2n) for pair in pairs if pair.el2n is not None]
    if scorer is None or not scored:
        return None
    names = [pair.replicate for pair, _ in scored]
    numbers = [group_numbers(el2n, pair.dense.index, count) for pair, el2n in scored]

    def spreads(values: Sequence[Floats]) -> list[Spread]:
        """Return the mean of each group, over replicates."""
        by_replicate = [group_means(value, number, count) for value, number in zip(values, numbers, strict=True)]
        return [spread_over(names, row) for row in np.stack(by_replicate, axis=1).tolist()]

    el2n = spreads([scores for _, scores in scored])
    dense, sparse = spreads([pair.dense.loss for pair, _ in scored]), spreads([pair.sparse.loss for pair, _ in scored])
    changes = spreads([pair.differences for pair, _ in scored])
    sizes = np.bincount(numbers[0], minlength=count).tolist()
    groups = tuple(
        ExampleGroup(
            number=number,
            low=100 * number / count,
            high=100 * (number + 1) / count,
            size=sizes[number],
            el2n=el2n[number],
            dense_loss=dense[number],
            sparse_loss=sparse[number],
            difference=judge(TRAINING_LOSS, names, changes[number].values),
        )
        for number in range(count)
    )
    return Groups(scorer.networks, scorer.epoch, tuple(names), groups, _top(scored), _words(groups))


_TOLD = {
    TreatmentOutcome.BETTER: "better",
    TreatmentOutcome.WORSE: "worse",
    TreatmentOutcome.MATCHES: "the same",
    TreatmentOutcome.UNTOLD: "untold",
}


def _words(groups: Sequence[ExampleGroup]) -> str:
    if len(groups) == 1:
        return f"over all examples, as one group by EL2N, training loss is {_TOLD[groups[0].difference.outcome]}"
    counts = Counter(group.difference.outcome for group in groups)
    tallies = ", ".join(f"{word} in {counts[outcome]}" for outcome, word in _TOLD.items() if counts[outcome])
    return f"of {len(groups)} groups by EL2N, training loss is {tallies}"


def _top(scored: Sequence[tuple[Pair, Floats]]) -> Top:
    """Set the fifth with the highest scores against the rest."""
    names = [pair.replicate for pair, _ in scored]
    weights = [weigh_change(pair.differences, top_examples(el2n, pair.dense.index)) for pair, el2n in scored]
    times = spread((name, change.times) for name, change in zip(names, weights, strict=True))
    share = spread((name, change.share) for name, change in zip(names, weights, strict=True))
    top = judge(TRAINING_LOSS, names, [change.top for change in weights])
    rest = judge(TRAINING_LOSS, names, [change.rest for change in weights])
    if share is None:
        words = "no training loss changes"
    elif times is None:
        words = f"of the training losses only those of the top {TOP:.0%} by EL2N change"
    else:
        words = (
            f"the top {TOP:.0%} by EL2N change {times.mean:.3g} times as much as the rest "
            f"({share.mean:.0%} of the change)"
        )
    return Top(TOP, times, share, top, rest, words)
