"""Stores planted by hand: rows, outcomes of examples and scores that a test can compute with a pencil."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from prunescope.study import Ladder, Study, ensembles
from prunescope.study.sections import Axes, El2n, Recipe, Treatment
from prunescope.table import ArrayEntry, ArrayKind, Store
from tests.builders import PRUNABLE, rung

EXAMPLES = 40
IMP = Treatment(kind="imp", rewind="learning-rate")

Figures = Mapping[str, float | None]


def study(
    *treatments: Treatment,
    noise: tuple[float, ...] = (0.0,),
    replicates: int = 3,
    levels: int = 3,
    el2n: bool = True,
    seed: int = 0,
    widths: tuple[float, ...] = (0.1,),
    **recipe: Any,
) -> Study:
    """Return a study of 40 examples, the learning-rate ladder first."""
    axes = Axes(
        dataset=("digits",), family=("lenet",), depth=(3,), width=widths, examples=(EXAMPLES,), label_noise=noise
    )
    settings = {"epochs": 4, "batch": 8, "learning_rate": 0.1, "levels": levels, "validation": 0.1, **recipe}
    scores = El2n(networks=2, epoch=1) if el2n else None
    return Study("planted", (axes,), Recipe(**settings), treatments or (IMP,), replicates, seed, el2n=scores)


def index(replicate: int) -> np.ndarray:
    """Return where a replicate's examples are in the training set: in another order for each."""
    return (np.arange(EXAMPLES) * 7 + replicate) % 41 + 100 * replicate


def noisy(ladder: Ladder) -> np.ndarray:
    """Return which examples are noisy: the last ones."""
    return np.arange(EXAMPLES) >= round(EXAMPLES * (1 - ladder.cell.label_noise))


def el2n(replicate: int) -> np.ndarray:
    """Return scores that grow from example to example, a little apart in each replicate."""
    return (np.arange(EXAMPLES) + 0.1 * replicate) / EXAMPLES


@dataclass(frozen=True)
class Plant:
    """How a store is planted.

    Attributes
    ----------
    figures
        Outcomes of a rung's row; a rung without any is not there.
    losses
        Training loss of each example; None where outcomes were not kept.
    """

    figures: Callable[[Ladder, int], Figures | None]
    losses: Callable[[Ladder, int], np.ndarray | None] = lambda ladder, number: None
    scored: Callable[[Ladder], bool] = lambda ladder: True
    changed: Callable[[Ladder, int, dict[str, np.ndarray]], dict[str, np.ndarray]] = field(
        default=lambda ladder, number, arrays: arrays
    )

    def into(self, path: Path, *studies: Study) -> Store:
        """Return a new store with what the studies would have measured."""
        store = Store(path, create=True)
        for one in studies:
            store.begin(one)
            there = [(ladder, number) for ladder in one.ladders for number in range(ladder.rungs)]
            measured = [(ladder, number, self.figures(ladder, number)) for ladder, number in there]
            store.write_all_arrays([*self._outcomes(measured), *self._scores(one)])
            store.write([row(ladder, number, **figures) for ladder, number, figures in measured if figures is not None])
        return store

    def _outcomes(self, measured: Sequence[tuple[Ladder, int, Figures | None]]) -> Iterator[ArrayEntry]:
        for ladder, number, figures in measured:
            losses = self.losses(ladder, number)
            if figures is not None and losses is not None:
                arrays = {
                    "index": index(ladder.replicate),
                    "label": np.arange(EXAMPLES) % 10,
                    "noisy": noisy(ladder),
                    "loss": losses.astype(np.float32),
                    "right": losses < 1,
                }
                yield ArrayEntry(ArrayKind.EXAMPLES, ladder.identity, number, self.changed(ladder, number, arrays))

    def _scores(self, study: Study) -> Iterator[ArrayEntry]:
        for ensemble in ensembles(study):
            if self.scored(ensemble.ladder):
                number = ensemble.ladder.replicate
                arrays = {"index": index(number), "el2n": el2n(number).astype(np.float32)}
                yield ArrayEntry(ArrayKind.EXAMPLES, ensemble.identity, 0, arrays)


def row(ladder: Ladder, number: int, **figures: Any) -> dict[str, Any]:
    """Return the row of a rung."""
    cell, treatment = ladder.cell_at(number), ladder.treatment
    dense = treatment.kind not in ("imp", "one-shot")
    surviving = PRUNABLE if dense else round(PRUNABLE * 0.8**number)
    narrowed = 0.64**number if treatment.kind == "narrow" else 1.0
    shape = {"kept": surviving, "density": surviving / PRUNABLE, "parameters": surviving + 100, "prunable": PRUNABLE}
    if treatment.kind == "narrow":
        prunable = round(PRUNABLE * narrowed)
        shape = {"kept": prunable, "density": 1.0, "parameters": prunable + 100, "prunable": prunable}
    return rung(0, number) | {
        "study": "planted",
        "ladder": ladder.identity,
        "replicate": ladder.replicate,
        "depth": cell.depth,
        "width": cell.width,
        "examples": cell.examples,
        "label_noise": cell.label_noise,
        "recipe": ladder.recipe_identity,
        "treatment": treatment.kind,
        "rewind": treatment.rewind,
        "score": treatment.score,
        "scope": treatment.scope,
        "leave": treatment.leave,
        "epochs": 4,
        **shape,
        **figures,
    }  # fmt: skip


def ladder_of(study: Study, kind: str = "imp", replicate: int = 0, noise: float = 0.0) -> Ladder:
    """Return one ladder of a study."""
    return next(
        ladder
        for ladder in study.ladders
        if (ladder.treatment.kind, ladder.replicate, ladder.cell.label_noise) == (kind, replicate, noise)
    )


ERRORS = {
    # Replicates 0, 1 and 2: mean 0.2, 0.15, 0.17, 0.25; the last rung is worse than the dense network.
    0: (0.20, 0.21, 0.19),
    1: (0.15, 0.17, 0.13),
    2: (0.17, 0.18, 0.16),
    3: (0.25, 0.26, 0.24),
}


def plain_figures(ladder: Ladder, number: int) -> Figures:
    """Give a curve whose best rung is 1 and whose sparsest that beats the dense network is 2."""
    error = ERRORS[number][ladder.replicate]
    return {
        "test_error": error,
        "validation_error": error + 0.01,
        "train_loss": 0.5 - 0.1 * number,
        "train_loss_original": 0.5 - 0.1 * number,
        "train_loss_noisy": None,
    }


def plain_losses(ladder: Ladder, number: int) -> np.ndarray:
    """Give dense losses of 1; each rung takes 0.1 off, of the last fifth of the examples 0.4."""
    top = np.arange(EXAMPLES) >= EXAMPLES - EXAMPLES // 5
    return 2.0 - number * np.where(top, 0.4, 0.1) * (1 + 0.1 * ladder.replicate)


PLAIN = Plant(plain_figures, plain_losses)
