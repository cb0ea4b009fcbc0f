"""What a store holds beside rows: what its studies say about ladders, and outcomes and scores of single examples.

Outcomes are refused where the examples differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import Fault, InputError, listed
from prunescope.lens.cells import MeasuredNetwork, Scorer, TreatmentSpec
from prunescope.study import Ladder, Recipe, ensembles
from prunescope.study.recorded import RecordedLadder
from prunescope.study.study import decisive_keys
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


EL2N = "el2n"


def _treatment_spec(ladder: Ladder) -> TreatmentSpec:
    """Return the treatment of a ladder."""
    treatment = ladder.treatment
    return TreatmentSpec(
        treatment.kind, treatment.rewind, treatment.score, treatment.scope, treatment.leave, treatment.share
    )


def _measured_network(ladder: Ladder) -> MeasuredNetwork:
    """Return the network of a ladder."""
    cell = ladder.cell
    return MeasuredNetwork(cell.family, cell.dataset, cell.depth, cell.width, cell.examples, ladder.recipe_identity)


class StudyIndex:
    """What the studies of a store say about its ladders; empty without a store.

    Attributes
    ----------
    ladders, recipes
        By their identities.
    planned
        Network, label noise and kind of every treatment in the studies, finished or not; scores of examples under
        `EL2N`.
    """

    def __init__(self, store: Store | None) -> None:
        self._store = store
        self.ladders: dict[str, Ladder] = {}
        self.recipes: dict[str, Recipe] = {}
        self.scorers: dict[tuple[object, ...], tuple[Scorer, ...]] = {}
        self.planned: set[tuple[MeasuredNetwork, float, str]] = set()
        for study in store.studies() if store else ():
            for ladder in study.ladders:
                before = self.ladders.get(ladder.identity)
                if before is None or before.rungs < ladder.rungs:
                    self.ladders[ladder.identity] = ladder
                self.recipes[ladder.recipe_identity] = ladder.recipe
                if ladder.group is None:  # a check of EL2N, beside the treatments that are compared
                    self.planned.add((_measured_network(ladder), ladder.cell.label_noise, ladder.treatment.kind))
            for ensemble in ensembles(study):
                self.planned.add((_measured_network(ensemble.ladder), ensemble.ladder.cell.label_noise, EL2N))
                key = self._key(ensemble.ladder)
                scorer = Scorer(ensemble.identity, ensemble.networks, ensemble.epoch)
                known = self.scorers.get(key, ())
                if store and scorer not in known and store.has_arrays("examples", ensemble.identity, 0):
                    self.scorers[key] = (*known, scorer)
        self.recorded: dict[str, RecordedLadder] = {}
        self._recorded_recipes: dict[str, dict[str, object]] = {}
        for identity, note in store.recorded().items() if store else ():
            self.recorded[identity] = note.ladder
            self._recorded_recipes[note.ladder.recipe_identity] = note.ladder.recipe_keys
        self.seeds = {ladder.seed for ladder in self.ladders.values()}

    @staticmethod
    def _key(ladder: Ladder) -> tuple[object, ...]:
        return ladder.cell, ladder.recipe_identity, ladder.seed, ladder.replicate

    def scorers_of(self, identity: str) -> tuple[Scorer, ...]:
        """Return the ensembles in the store that score a ladder's examples."""
        if identity in self.ladders:
            return self.scorers.get(self._key(self.ladders[identity]), ())
        recorded = self.recorded.get(identity)
        if (
            recorded is None
            or self._store is None
            or not self._store.has_arrays("examples", recorded.scores_identity, 0)
        ):
            return ()
        arrays = self._store.read_arrays("examples", recorded.scores_identity, 0)
        networks, epoch = (int(arrays[name][0]) if name in arrays else 0 for name in ("networks", "epoch"))
        return (Scorer(recorded.scores_identity, networks, epoch),)

    def rungs(self, identity: str) -> int:
        """Return how many rungs a ladder is to have; 0 where nobody knows."""
        ladder = self.ladders.get(identity) or self.recorded.get(identity)
        return ladder.rungs if ladder else 0

    def lesson(self, ladder: Ladder | None) -> str:
        """Return the name of the treatment that a leave-out ladder learned from; empty if none."""
        teacher = self.ladders.get(ladder.teacher) if ladder and ladder.learns else None
        return _treatment_spec(teacher).name if teacher else ""

    def lesson_levels(self, identity: str) -> int | None:
        """Return the levels of the study of a leave-out ladder; None if it has no teacher."""
        ladder = self.ladders.get(identity)
        return ladder.recipe.levels if ladder and ladder.learns else None

    def replicate(self, number: int, identity: str) -> str:
        """Return the name of a replicate: its number, and its seed if the studies have several."""
        ladder = self.ladders.get(identity)
        if identity in self.recorded:
            return str(number)
        if ladder is None:
            return f"{number} of no study" if self.ladders else str(number)
        return str(number) if len(self.seeds) == 1 else f"{number} of seed {ladder.seed}"

    def differing(self, ours: str, theirs: str) -> str:
        """Say how two recipes differ, as far as the studies know."""
        one, other = (
            decisive_keys(self.recipes[identity])
            if identity in self.recipes
            else self._recorded_recipes.get(identity, {})
            for identity in (ours, theirs)
        )
        if not one or not other:
            return f"recipe {theirs} instead of {ours}"
        keys = (key for key in {**one, **other} if one.get(key) != other.get(key))
        return listed(f"{key} {other.get(key)} instead of {one.get(key)}" for key in keys)
