"""Training: cohorts in lock-step, rungs, what one rung leaves to the next."""

from prunescope.train.ladder import LadderRungs, label_distances
from prunescope.train.rung import (
    CohortMember,
    NetworkOutcome,
    ProgressKeeper,
    RungProgress,
    RungStoppedError,
    Span,
    TrainedMembers,
    train_rung,
)
from prunescope.train.seeding import Seeding, seeding_of, seeding_of_scorer
from prunescope.train.training_context import TrainingContext

__all__ = [
    "CohortMember",
    "LadderRungs",
    "NetworkOutcome",
    "ProgressKeeper",
    "RungProgress",
    "RungStoppedError",
    "Seeding",
    "Span",
    "TrainedMembers",
    "TrainingContext",
    "label_distances",
    "seeding_of",
    "seeding_of_scorer",
    "train_rung",
]
