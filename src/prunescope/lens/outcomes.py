"""Outcomes and scores of single training examples in a store; refused where the examples differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import Fault, InputError
from prunescope.table import Store

KEPT = ("index", "label", "noisy", "loss")


@dataclass(frozen=True, eq=False)
class Outcomes:
    """The outcome of one network on each of its training examples.

    Attributes
    ----------
    place
        Where the arrays are, for messages.
    index
        Indices in the training set.
    label, noisy
        The training labels, and whether they were changed.
    loss
        Training loss.
    """

    place: str
    index: NDArray[np.int64]
    label: NDArray[np.int64]
    noisy: NDArray[np.bool_]
    loss: NDArray[np.float64]

    def subset(self, kept: NDArray[np.bool_]) -> Outcomes:
        """Return the outcomes on some of the examples."""
        return Outcomes(self.place, self.index[kept], self.label[kept], self.noisy[kept], self.loss[kept])


@dataclass(frozen=True, eq=False)
class ScoredExamples:
    """EL2N of training examples."""

    place: str
    index: NDArray[np.int64]
    el2n: NDArray[np.float64]


def read_outcomes(store: Store, ladder: str, rung: int) -> Outcomes | None:
    """Return a network's outcomes; None if the store did not keep them."""
    if not store.has_arrays("examples", ladder, rung):
        return None
    arrays = store.read_arrays("examples", ladder, rung)
    place = f"examples/{ladder}, rung {rung}"
    _need(store, place, arrays, KEPT)
    return Outcomes(
        place,
        arrays["index"].astype(np.int64),
        arrays["label"].astype(np.int64),
        arrays["noisy"].astype(np.bool_),
        arrays["loss"].astype(np.float64),
    )


def read_scores(store: Store, identity: str) -> ScoredExamples:
    """Return the scores of an ensemble in the store."""
    arrays = store.read_arrays("examples", identity, 0)
    place = f"examples/{identity}, rung 0"
    _need(store, place, arrays, ("index", "el2n"))
    return ScoredExamples(place, arrays["index"].astype(np.int64), arrays["el2n"].astype(np.float64))


def _need(store: Store, place: str, arrays: dict[str, NDArray[np.generic]], names: tuple[str, ...]) -> None:
    faults = [Fault(place, f"must hold an array {name!r}") for name in names if name not in arrays]
    lengths = {arrays[name].shape for name in names if name in arrays}
    if not faults and (len(lengths) > 1 or len(next(iter(lengths))) != 1 or not next(iter(lengths))[0]):
        faults.append(Fault(place, "must hold one value for each example", ", ".join(map(str, sorted(lengths)))))
    if not faults and any(np.isnan(arrays[name]).any() for name in names if arrays[name].dtype.kind == "f"):
        faults.append(Fault(place, "must hold numbers", "values that are none"))
    if faults:
        raise InputError(str(store.path), faults)


def refuse_other_examples(source: str, ours: Outcomes, theirs: Outcomes) -> None:
    """Refuse to compare networks trained on different examples or labels."""
    words = (
        ("index", "the same examples", "another subsample or validation split"),
        ("label", "the same labels", "other labels"),
        ("noisy", "the same label noise", "another draw of label noise"),
    )
    for name, same, other in words:
        if not np.array_equal(getattr(ours, name), getattr(theirs, name)):
            raise InputError(source, [Fault(ours.place, f"must be of {same} as {theirs.place} to be compared", other)])


def refuse_other_scores(source: str, scored: ScoredExamples, outcomes: Outcomes) -> None:
    """Refuse scores of different examples than the outcomes."""
    if not np.array_equal(scored.index, outcomes.index):
        must = f"must score the same examples as {outcomes.place}"
        raise InputError(source, [Fault(scored.place, must, "other examples")])
