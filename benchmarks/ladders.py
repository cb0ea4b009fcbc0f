"""What the rungs of a ladder cost beside its first, by sparse steps and by dense ones, on one core.

Seconds are of the processor's time, which other processes take none of. Training is told apart from the evaluation on
training and test set; a study evaluates once after all of a rung's epochs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.clock import Figure
from benchmarks.ours import made_up, members
from prunescope.data import Dataset, load
from prunescope.nets.cohort import Layout
from prunescope.prune import RungHandover
from prunescope.run import tune
from prunescope.run.ladder_runner import RunSettings, context_for
from prunescope.study.read import study_from
from prunescope.train import CohortMember, LadderRungs, Span, seeding_of, train_rung

MEMBERS, LEVELS, EPOCHS, ROUNDS = 4, 39, 5, 3


@dataclass(frozen=True)
class Cost:
    """Seconds of the processor for one epoch of a rung, and for its evaluation."""

    epoch: float
    evaluation: float

    @property
    def rung(self) -> float:
        """Seconds of a rung of some epochs."""
        return EPOCHS * self.epoch + self.evaluation


def ladder(data: Dataset, sparse: bool) -> list[Cost]:
    """Climb ladders of LeNet-300-100 in lock-step, an epoch each rung; return what each rung costs."""
    study = study_from(
        {
            "name": "bench",
            "replicates": MEMBERS,
            "axes": {"dataset": "mnist", "family": "lenet", "depth": 3, "width": 1.0},
            "recipe": {"epochs": 1, "batch": 128, "learning_rate": 0.1, "levels": LEVELS, "prunable": "all-but-output"},
            "treatments": [{"kind": "imp"}],
        }
    )
    context = context_for(study.ladders[0], data, Layout(MEMBERS), RunSettings("bench"))
    if sparse:
        context = context.with_sparse_below(tune.choose(context, MEMBERS, 1).sparse_below)
    shares = members(context, MEMBERS, len(data.train_labels) // context.recipe.batch)
    company = [
        CohortMember(member.subsample, seeding_of(item)) for member, item in zip(shares, study.ladders, strict=True)
    ]
    climbs = [LadderRungs(item, context, member) for item, member in zip(study.ladders, company, strict=True)]
    before: list[RungHandover | None] = [None] * MEMBERS
    costs = []
    for rung in range(LEVELS + 1):
        starts = [climb.begin(rung, left) for climb, left in zip(climbs, before, strict=True)]
        begun = time.process_time()
        masks = context.masks([start.masks for start in starts])
        tensors = context.stacked([start.tensors for start in starts])
        tensors = {name: values * masks[name] if name in masks else values for name, values in tensors.items()}
        marks: list[float] = []

        def tick(done: int, total: int, marks: list[float] = marks) -> None:
            if done == total:
                marks.append(time.process_time())

        after = train_rung(context, company, tensors, masks, rung, Span(0, 1), tick).state
        costs.append(Cost(marks[-1] - begun, time.process_time() - marks[-1]))
        before = [
            climb.leave(rung, start.masks, left, {name: values[place] for name, values in after.items()}, None)
            for place, (climb, start, left) in enumerate(zip(climbs, starts, before, strict=True))
        ]
    return costs


def _totals(data: Dataset, words: str) -> Iterator[Figure]:
    turns = [(ladder(data, False), ladder(data, True)) for _ in range(ROUNDS)]
    for way, climbs in (("dense", [turn[0] for turn in turns]), ("sparse", [turn[1] for turn in turns])):
        for rungs in (25, 40):
            for kind in ("epoch", "evaluation", "rung"):
                ratios = [
                    sum(getattr(cost, kind) for cost in costs[:rungs]) / rungs / getattr(costs[0], kind)
                    for costs in climbs
                ]
                name = f"{EPOCHS} epochs and evaluation" if kind == "rung" else "training" if kind == "epoch" else kind
                yield f"{words}, {way} steps, {rungs} rungs / {rungs} x the first: {name}", "times", ratios
        for rung in (24, 39):
            for kind in ("epoch", "evaluation", "rung"):
                ratios = [getattr(costs[rung], kind) / getattr(costs[0], kind) for costs in climbs]
                name = f"{EPOCHS} epochs and evaluation" if kind == "rung" else "training" if kind == "epoch" else kind
                yield f"{words}, {way} steps, rung {rung} / the first: {name}", "times", ratios
    yield (
        f"{words}: evaluation / an epoch of the first rung",
        "times",
        [cost.evaluation / cost.epoch for cost in (turn[0][0] for turn in turns)],
    )


def measure() -> Iterator[Figure]:
    """Measure on one core, with MNIST where it is, and made-up pictures elsewhere."""
    root = os.environ.get("PRUNESCOPE_DATA")
    there = root is not None and (Path(root) / "mnist").is_dir()
    data = load("mnist", Path(root), fetch=False) if root and there else made_up("mnist")
    with tune.threads(1):
        yield from _totals(data, "LeNet-300-100, " + ("MNIST" if there else "made-up pictures"))
