"""What a leave-out ladder learns: which of its training examples it does without.

``improved``: those whose training loss is most lower at the teacher's optimal sparsity than at its rung 0.
``misclassified``: those that the optimally sparse network gets wrong, by the label trained on. ``random``: any.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prunescope.data import Subsample, keys
from prunescope.errors import PrunescopeError
from prunescope.study import Ladder
from prunescope.table import Store
from prunescope.table.optimal import optimal_rung
from prunescope.train import seeding_of

Places = NDArray[np.int64]


def left_out(store: Store, ladder: Ladder, subsample: Subsample) -> Places:
    """Return the places, within a ladder's share, of the examples that it does without, in order."""
    count = round(len(subsample.train) * (ladder.treatment.share or 0))
    if ladder.treatment.leave == "random":
        drawn = keys(len(subsample.train), *seeding_of(ladder).words, "left out")
        return _first(drawn, count)
    dense, sparse = _outcomes(store, ladder, subsample)
    if ladder.treatment.leave == "misclassified":
        wrong = np.flatnonzero(~sparse["right"])
        if len(wrong) == len(subsample.train):
            raise PrunescopeError(
                "its teacher's best sparse network gets every example wrong: none is left to train on"
            )
        return wrong
    return _first(sparse["loss"].astype(float) - dense["loss"], count)


def _first(values: np.ndarray, count: int) -> Places:
    """Return the places of the lowest values, of equals the first ones."""
    return np.sort(np.argsort(values, kind="stable")[:count])


def _outcomes(
    store: Store, ladder: Ladder, subsample: Subsample
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the teacher's outcomes on the examples, dense and at its optimal sparsity."""
    measured = store.query(f"select rung, validation_error from rungs where ladder = '{ladder.teacher}'")
    errors = dict(zip(measured["rung"].tolist(), measured["validation_error"].tolist(), strict=True))
    wanted = range(ladder.recipe.levels + 1)
    missing = [rung for rung in wanted if rung not in errors]
    if missing:
        raise PrunescopeError(f"its teacher {ladder.teacher} has no rung {missing[0]} to learn from")
    best = optimal_rung({rung: errors[rung] for rung in wanted})
    outcomes = []
    for rung in (0, best):
        if not store.has_arrays("examples", ladder.teacher, rung):
            words = f"rung {rung} of its teacher {ladder.teacher} was trained before anything learned from it"
            raise PrunescopeError(f"{words}, and outcomes on examples were not kept; train both into a new store")
        outcome = store.read_arrays("examples", ladder.teacher, rung)
        if not np.array_equal(outcome["index"], subsample.train):
            raise PrunescopeError(f"rung {rung} of its teacher {ladder.teacher} was trained on other examples")
        outcomes.append(outcome)
    return outcomes[0], outcomes[1]
