"""Train, refit, decide, stop: train the most useful ladders until more would not change the choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from prunescope.design.recommendation import DesignPlan, next_ladders
from prunescope.design.sequence import ENOUGH
from prunescope.study import Ladder, Study
from prunescope.table import Store

# Ladders trained between two plans.
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
    """Train ladders of a study until the smallest network under a bound is known.

    Finished ladders in the store count, so a stopped loop resumes. What saves a smaller share of the regret than it
    costs of all the training that is left is not trained.

    Parameters
    ----------
    train
        Trains some ladders into the store; returns whether to go on.
    enough
        Stop when the expected regret falls below this.
    on_plan
        Called with each plan before it is trained.
    **settings
        Of `next_ladders`.

    Returns
    -------
    DesignPlan
        The last plan: `decided`, or with nothing more to train.
    """
    while True:
        rows = store.table() if store.done() else None
        plan = next_ladders(rows, max_error, study=study, enough=enough, in_proportion=True, most=ROUND, **settings)
        if on_plan is not None:
            on_plan(plan)
        if plan.decided or not plan.ladders or not train(plan.ladders):
            return plan
