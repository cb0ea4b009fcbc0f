"""Which ladders to train next: one look after another, each the one that saves most loss for its cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from prunescope.design.posterior import THETA, Numbers, Posterior
from prunescope.design.value_of_information import TRUTHS, Decision, Question, TruthSample, loss_after

# A design ends when a decision is expected to be off by no more than this, as a logarithm: 5 %.
ENOUGH = 0.05
# How far ahead is planned: until this share of the loss to expect is left. What comes after depends on what is found.
LOSS_LEFT = 0.3
# Looks that save less than this share of the loss are not worth it.
LEAST_SAVED = 0.02
MOST_PROPOSALS = 200


@dataclass(frozen=True)
class Ladders:
    """What may be trained, and what was.

    Attributes
    ----------
    step
        Logarithm of what a rung keeps of the one below.
    levels
        The highest rung that each cell's ladders may have, replicate by replicate, from high to low.
    cost
        Of each cell's rung 0, and of each further rung, ``[cells, 2]``.
    further
        What each further ladder of a cell costs that is trained along with one, as a share of that one's cost: members
        of a cohort share the overhead of a step.
    tops
        The highest finished rung of each ladder, by cell, -1 where there is none; a cell that is not there has no
        ladder. A ladder climbs no higher than the one before it, so that a study can say what is asked for.
    """

    step: float
    levels: Sequence[tuple[int, ...]]
    cost: Numbers
    further: Numbers
    tops: Mapping[int, tuple[int, ...]]

    def price(self, cell: int, after: int, top: int, count: int = 1) -> float:
        """Return the cost of climbing from a rung (-1: none) to another, several ladders together."""
        first, further = self.cost[cell]
        alone = (first if after < 0 else 0.0) + further * (top - max(after, 0))
        return float(alone * (1 + self.further[cell] * (count - 1)))

    def climbed(self, candidate: LadderPart) -> Ladders:
        """Return the ladders as they stand after a look."""
        tops = list(self.tops.get(candidate.cell, ()))
        tops += [-1] * (candidate.replicate + candidate.count - len(tops))
        tops[candidate.replicate : candidate.replicate + candidate.count] = [candidate.top] * candidate.count
        return replace(self, tops={**self.tops, candidate.cell: tuple(tops)})

    def reach(self, cell: int, log_density: float) -> bool:
        """Whether a ladder of a cell was climbed to a density, to half a rung, or as far as it may be."""
        top = max(self.tops.get(cell, ()), default=-1)
        return top >= min(log_density / self.step - 0.5, max(self.levels[cell], default=-1))

    def candidates(self) -> Iterator[LadderPart]:
        """Yield every look that may be taken: ladders begun or climbed on, to the top or half the way there.

        Ladders of a cell that stand equally high may climb one by one or together.
        """
        for cell, allowed in enumerate(self.levels):
            tops = list(self.tops.get(cell, ()))
            tops += [-1] * (len(allowed) - len(tops))
            highest, replicate = max(allowed, default=-1), 0
            while replicate < len(allowed):
                after, most = tops[replicate], min(highest, allowed[replicate])
                alike = replicate
                while alike < len(allowed) and (tops[alike], allowed[alike]) == (after, allowed[replicate]):
                    alike += 1
                ends = {most, (max(after, 0) + most + 1) // 2, *([0] if after < 0 else [])}
                for top in sorted(end for end in ends if end > after):
                    for count in sorted({1, alike - replicate}):
                        yield LadderPart(cell, replicate, after, top, self.price(cell, after, top, count), count)
                if after < 0:
                    break
                highest = max(min(highest, after), 0)
                replicate = alike


@dataclass(frozen=True)
class LadderPart:
    """Part of a ladder to train: its rungs above `after` (-1: none are there yet) up to `top`.

    And of the ladders of the replicates after it along with it, `count` in all.
    """

    cell: int
    replicate: int
    after: int
    top: int
    cost: float
    count: int = 1

    def reaches(self, log_density: float, step: float) -> bool:
        """Whether it goes as far down as a density, to half a rung."""
        return self.top >= log_density / step - 0.5

    def densities(self, step: float) -> Numbers:
        """Return the log densities of its rungs, all ladders' after each other."""
        return np.tile(step * np.arange(self.after + 1, self.top + 1, dtype=np.float64), self.count)


@dataclass(frozen=True)
class PlannedPart:
    """A look of a design, and the loss to expect once it and all before it were taken."""

    candidate: LadderPart
    loss: float


def plan_sequence(
    posterior: Posterior,
    question: Question,
    ladders: Ladders,
    budget: float,
    *,
    enough: float = ENOUGH,
    most: int = MOST_PROPOSALS,
    seed: int = 0,
    on_proposal: Callable[[int, float], None] | None = None,
) -> tuple[float, tuple[PlannedPart, ...]]:
    """Return the loss to expect now, and looks in the order of their worth until the decision is sure enough.

    What is believed may be sure of a network that nobody came near. A decision is settled when one like it was trained:
    where none was, that is the look to take.

    Parameters
    ----------
    budget
        What all looks together may cost.
    enough
        Loss at which the decision needs no more; a plan ends sooner, when most of the loss would be gone (`LOSS_LEFT`).
    most
        Looks at the most.
    on_proposal
        Called with each look's number and the loss to expect after it.
    """
    sample = TruthSample.of(question, posterior, seed=seed)
    loss = now = sample.loss(posterior.mean)
    chance = np.random.default_rng([seed, 1]).standard_normal((TRUTHS, 7))
    planned: list[PlannedPart] = []
    spent, low = 0.0, max(enough, LOSS_LEFT * now)
    while loss > (low if planned else enough) and len(planned) < most:
        options = [candidate for candidate in ladders.candidates() if spent + candidate.cost <= budget]
        best = _best(sample, posterior, options, ladders.step, loss, chance)
        if best is None:
            break
        candidate, after = best
        where, root = posterior.information(candidate.cell, candidate.densities(ladders.step))
        posterior = posterior.updated(where, root).with_measured(candidate.cell, candidate.densities(ladders.step))
        ladders, spent, loss = ladders.climbed(candidate), spent + candidate.cost, after
        sample = TruthSample.of(question, posterior, seed=seed + len(planned) + 1)
        loss = min(loss, sample.loss(posterior.mean))
        planned.append(PlannedPart(candidate, loss))
        if on_proposal is not None:
            on_proposal(len(planned), loss)
    if not planned and now <= enough:
        check = _cheapest_check(ladders, question, network_to_measure(question, posterior), budget)
        planned = [] if check is None else [PlannedPart(check, now)]
    return now, tuple(planned)


def network_to_measure(question: Question, posterior: Posterior) -> Decision:
    """Return the network to have seen before a decision stands: the one chosen.

    Where none is, because no member is expected to keep the bound, it is the unpruned one that should err least.
    """
    choice = Decision.by(question, posterior)
    if choice.member >= 0:
        return choice
    return Decision(int(np.argmin(posterior.mean[THETA + question.cell])), 0.0)


def _cheapest_check(ladders: Ladders, question: Question, choice: Decision, budget: float) -> LadderPart | None:
    """Return the cheapest look at a network, or as near to it as may be; None where one like it was seen."""
    cell = int(question.cell[choice.member])
    if ladders.reach(cell, choice.log_density):
        return None
    candidates = [
        candidate
        for candidate in ladders.candidates()
        if candidate.cell == cell and candidate.count == 1 and candidate.cost <= budget
    ]
    far = [candidate for candidate in candidates if candidate.reaches(choice.log_density, ladders.step)]
    return (
        min(far, key=lambda candidate: candidate.cost)
        if far
        else max(candidates, key=lambda candidate: candidate.top, default=None)
    )


def _best(
    sample: TruthSample, posterior: Posterior, options: Sequence[LadderPart], step: float, loss: float, chance: Numbers
) -> tuple[LadderPart, float] | None:
    """Return the look that saves most loss for its cost, and the loss to expect after it."""
    best, choice = 0.0, None
    for candidate in options:
        where, root = posterior.information(candidate.cell, candidate.densities(step))
        after = loss_after(sample, posterior, where, root, chance)
        worth = (loss - after) / candidate.cost
        if worth > best and loss - after > LEAST_SAVED * loss:
            best, choice = worth, (candidate, after)
    return choice
