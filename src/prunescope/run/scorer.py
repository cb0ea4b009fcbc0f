"""An ensemble scores the training examples of a cell and replicate by EL2N: trained, measured, put into the store.

    examples/<identity of the ensemble>/0    index, el2n    training examples by their places in the set, their scores

All of an ensemble or nothing is in a store; what is there is used by every study that asks for the same.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from prunescope.errors import PrunescopeError
from prunescope.run.events import CohortFinished, CohortProgress, EventHandler, ExamplesScored, LaddersElsewhere
from prunescope.run.ladder_runner import ProgressReporter
from prunescope.run.ladder_state import subsample_of
from prunescope.study import Ensemble
from prunescope.table import Store
from prunescope.table.status import is_scored
from prunescope.train import CohortMember, Span, TrainingContext, label_distances, seeding_of_scorer, train_rung


def score_examples(
    ensemble: Ensemble, number: int, at_once: int, context: TrainingContext, store: Store, on_event: EventHandler
) -> None:
    """Put the scores of an ensemble into a store, unless they are there or another process is at them.

    Parameters
    ----------
    number
        Of the task, among a run's cohorts.
    at_once
        How many of its networks are trained together.
    """
    with store.claim(ensemble.identity) as free:
        if not is_scored(store, ensemble):
            if not free:
                on_event(LaddersElsewhere(1, ensemble.work))
            else:
                clock = time.perf_counter()
                subsample = subsample_of(ensemble.ladder, context.dataset)
                scores = np.concatenate(list(_scores(ensemble, number, at_once, context, on_event))).mean(0)
                arrays = {"index": subsample.train, "el2n": scores.astype(np.float32)}
                store.write_arrays("examples", ensemble.identity, 0, arrays)
                took = time.perf_counter() - clock
                on_event(ExamplesScored(number, ensemble.words, ensemble.networks, ensemble.work, took))
    on_event(CohortFinished(number))


def _scores(
    ensemble: Ensemble, number: int, at_once: int, context: TrainingContext, on_event: EventHandler
) -> Iterator[np.ndarray]:
    """Yield the distances ``[R, n]`` of some networks at a time, in their order."""
    subsample = subsample_of(ensemble.ladder, context.dataset)
    span = Span(0, ensemble.epoch)
    for first in range(0, ensemble.networks, at_once):
        places = range(first, min(first + at_once, ensemble.networks))
        members = [CohortMember(subsample, seeding_of_scorer(ensemble, place)) for place in places]
        start = context.stacked([context.network.start(member.seeding.start()) for member in members])
        work = ensemble.work // ensemble.networks
        progress = CohortProgress(number, ensemble.words, len(members), work, 0, 1, span.first, span.last, 0, 1)
        trained = train_rung(context, members, start, {}, 0, span, ProgressReporter(progress, on_event))
        if not all(outcome.finite for outcome in trained.outcomes):
            raise PrunescopeError("diverged: a loss is infinite or no number; a lower learning rate may help")
        yield label_distances(context, subsample, trained.state)
