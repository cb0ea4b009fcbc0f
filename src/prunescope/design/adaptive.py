"""Train, refit, decide, stop: ladders in the order of their worth, until more would not change the choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from prunescope.design.recommendation import DesignPlan, next_ladders
from prunescope.design.sequence import ENOUGH
from prunescope.study import Ladder, Study
from prunescope.table import Store

# Ladders that are trained between two looks at what they show.
ROUND = 6


def train_until_decided(
    study: Study,
    store: Store,
    max_error: float,
    train: Callable[[Sequence[Ladder]], bool],
    *,
    enough: float = ENOUGH,
    on_plan: Callable[[DesignPlan], None] | None = None,
    **settings: Any,
) -> DesignPlan:
    """Train ladders of a study until the smallest network under a bound is known well enough.

    What is finished in the store counts, so a loop that was stopped goes on where it was.

    Parameters
    ----------
    train
        Trains some ladders into the store; whether the loop shall go on.
    enough
        How far off the choice may be expected to be when the loop ends.
    on_plan
        Called with each plan before it is trained.
    **settings
        Of `next_ladders`.

    Returns
    -------
    Plan
        The last one: `decided`, or without anything more to train.
    """
    while True:
        rows = store.table() if store.done() else None
        plan = next_ladders(rows, max_error, study=study, enough=enough, most=ROUND, **settings)
        if on_plan is not None:
            on_plan(plan)
        if plan.decided or not plan.ladders or not train(plan.ladders):
            return plan
