"""Training: cohorts in lock-step, rungs, what one rung leaves to the next."""

from prunescope.train.bench import Bench
from prunescope.train.el2n import label_distances
from prunescope.train.ladder import Climb, Inheritance
from prunescope.train.order import Chance, chance_of, chance_of_scorer
from prunescope.train.rung import Member, Outcome, Span, Trained, train_rung

__all__ = [
    "Bench",
    "Chance",
    "Climb",
    "Inheritance",
    "Member",
    "Outcome",
    "Span",
    "Trained",
    "chance_of",
    "chance_of_scorer",
    "label_distances",
    "train_rung",
]
