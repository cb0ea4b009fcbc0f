"""Rank training labels by how likely they are wrong: high EL2N early in training, high loss in the sparse network.

Examples with wrong labels have high EL2N (the paper, section 4), and pruning to the optimal sparsity raises their loss
most (Fig. 4). Neither is proof: hard examples have both, too. The rank that joins the two is our choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import Fault, InputError, whole_percent
from prunescope.lens.example_changes import Floats, Integers, Pair
from prunescope.lens.verdicts import Spread, spread_over

SUSPECTS = (50, 500)
"""Lengths of the list at which its precision is told."""
JOINT, EL2N_ALONE, LOSS_ALONE, SPARSE_LOSS_ALONE = "label suspicion", "EL2N", "dense loss", "sparse loss"


def label_suspicion(sparse_loss: Floats, el2n: Floats | None = None) -> Floats:
    """Return how suspicious the label of each example is: above 0, at most 1, the higher the more.

    The mean of two ranks, each divided by the number of examples: the rank by EL2N and the rank by training loss in the
    sparse network; equal values share their mean rank. Without scores, the rank by loss alone.

    Parameters
    ----------
    sparse_loss
        Training loss of each example in the optimally sparse network.
    el2n
        EL2N of the same examples; None where they were not scored.
    """
    if el2n is None:
        return _rank_shares(sparse_loss)
    if el2n.shape != sparse_loss.shape:
        sizes = f"{len(el2n):,} scores and {len(sparse_loss):,} losses"
        raise InputError("label suspicion", [Fault("EL2N", "must have one score for each loss", sizes)])
    return (_rank_shares(el2n) + _rank_shares(sparse_loss)) / 2


def _rank_shares(values: Floats) -> Floats:
    """Return each value's rank from 1, divided by their number; equal values share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    shares: Floats = ((ends - (counts - 1) / 2) / max(len(values), 1))[inverse]
    return shares


def most_suspicious(suspicion: Floats, index: Integers) -> Integers:
    """Return the places of all examples, the most suspicious first; ties by index."""
    return np.lexsort((index, -suspicion))


def precision_at(count: int, noisy: NDArray[np.bool_], suspicion: Floats, index: Integers) -> float:
    """Return the share of the ``count`` most suspicious labels that are known to be wrong.

    Of fewer examples than ``count``, of all of them.
    """
    if count < 1:
        raise InputError("label suspicion", [Fault("the number of suspects", "must be 1 or more", str(count))])
    return float(noisy[most_suspicious(suspicion, index)[:count]].mean())


@dataclass(frozen=True)
class Suspect:
    """One training label that may be wrong.

    Attributes
    ----------
    index
        Its place in the training set.
    label
        The label trained on, noise included.
    noisy
        Whether the study changed the label.
    """

    index: int
    label: int
    noisy: bool
    suspicion: float
    el2n: float | None
    dense_loss: float
    sparse_loss: float


@dataclass(frozen=True)
class Precision:
    """The share of wrong labels among the most suspicious ones, over replicates.

    Attributes
    ----------
    by
        What ranks: `JOINT`, EL2N alone, dense loss alone or sparse loss alone.
    count
        Length of the list.
    chance
        The share of wrong labels among all examples.
    """

    by: str
    count: int
    share: Spread
    chance: float


@dataclass(frozen=True)
class LabelSuspects:
    """The training labels of one replicate that are most likely wrong, and how good such lists are.

    Attributes
    ----------
    suspects
        Of the first replicate, the most suspicious first.
    precisions
        Over all replicates; empty without planted label noise.
    """

    replicate: str
    ladder: str
    rung: int
    density: float
    suspects: tuple[Suspect, ...]
    precisions: tuple[Precision, ...]
    words: str


def _rankings(pair: Pair) -> Mapping[str, Floats]:
    """Return the values that rank the labels of one replicate, by their names."""
    values = {
        JOINT: label_suspicion(pair.sparse.loss, pair.el2n),
        LOSS_ALONE: pair.dense.loss,
        SPARSE_LOSS_ALONE: pair.sparse.loss,
    }
    return values if pair.el2n is None else {**values, EL2N_ALONE: pair.el2n}


def find_suspects(pairs: Sequence[Pair], rung: int, density: float, count: int = SUSPECTS[0]) -> LabelSuspects | None:
    """Return the labels most likely to be wrong, by the outcomes at one rung; None without outcomes."""
    if not pairs:
        return None
    first = pairs[0]
    suspicion = label_suspicion(first.sparse.loss, first.el2n)
    places = most_suspicious(suspicion, first.dense.index)[:count].tolist()
    suspects = tuple(
        Suspect(
            index=int(first.dense.index[place]),
            label=int(first.dense.label[place]),
            noisy=bool(first.dense.noisy[place]),
            suspicion=float(suspicion[place]),
            el2n=None if first.el2n is None else float(first.el2n[place]),
            dense_loss=float(first.dense.loss[place]),
            sparse_loss=float(first.sparse.loss[place]),
        )
        for place in places
    )
    precisions = tuple(_precisions(pairs))
    words = f"the {len(suspects)} training labels most likely to be wrong, replicate {first.replicate}"
    joint = [f"{whole_percent(item.share.mean)} of {item.count}" for item in precisions if item.by == JOINT]
    if joint:
        words += f": {' and '.join(joint)} are planted noise (chance {whole_percent(precisions[0].chance)})"
    return LabelSuspects(first.replicate, first.ladder, rung, density, suspects, precisions, words)


def _precisions(pairs: Sequence[Pair]) -> Iterator[Precision]:
    if not any(pair.dense.noisy.any() for pair in pairs):
        return
    size = min(len(pair.dense.index) for pair in pairs)
    chance = float(np.mean([pair.dense.noisy.mean() for pair in pairs]))
    names = [pair.replicate for pair in pairs]
    values = [_rankings(pair) for pair in pairs]
    for by in (
        name for name in (JOINT, EL2N_ALONE, LOSS_ALONE, SPARSE_LOSS_ALONE) if all(name in row for row in values)
    ):
        for count in (count for count in SUSPECTS if count <= size):
            shares = [
                precision_at(count, pair.dense.noisy, row[by], pair.dense.index)
                for pair, row in zip(pairs, values, strict=True)
            ]
            yield Precision(by, count, spread_over(names, shares), chance)
