"""Which ladders to train next: greedily, the part that saves most expected loss for its cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from prunescope.design.posterior import THETA, Numbers, Posterior
from prunescope.design.value_of_information import TRUTHS, Decision, Question, TruthSample, loss_after

# A plan ends when the expected loss is below this, as a logarithm: 5 %.
ENOUGH = 0.05
# Plan until this share of the expected loss is left; what follows depends on the results.
LOSS_LEFT = 0.3
# Parts that save less than this share of the loss are skipped.
LEAST_SAVED = 0.02
MOST_PROPOSALS = 200


@dataclass(frozen=True)
class Ladders:
    """The ladders that may be trained, and how far they are.

    Attributes
    ----------
    step
        Logarithm of the share of weights that each rung keeps.
    levels
        The highest allowed rung of each cell's ladders, replicate by replicate, from high to low.
    cost
        Cost of each cell's rung 0, and of each further rung, ``[cells, 2]``.
    further
        Cost of each further ladder of a cohort, as a share of the first one's: members share the overhead of a step.
    tops
        The highest finished rung of each ladder, by cell; -1 where there is none. No ladder goes higher than the one
        before it, so that a study can express the plan.
    """

    step: float
    levels: Sequence[tuple[int, ...]]
    cost: Numbers
    further: Numbers
    tops: Mapping[int, tuple[int, ...]]

    def price(self, cell: int, after: int, top: int, count: int = 1) -> float:
        """Return the cost of training from a rung (-1: none) to another, several ladders together."""
        first, further = self.cost[cell]
        alone = (first if after < 0 else 0.0) + further * (top - max(after, 0))
        return float(alone * (1 + self.further[cell] * (count - 1)))

    @property
    def left(self) -> float:
        """The cost of all that may still be trained, each ladder alone."""
        total = 0.0
        for cell, allowed in enumerate(self.levels):
            tops = [*self.tops.get(cell, ()), *[-1] * len(allowed)]
            total += sum(self.price(cell, after, top) for after, top in zip(tops, allowed, strict=False) if top > after)
        return total

    def climbed(self, candidate: LadderPart) -> Ladders:
        """Return the ladders after a part was trained."""
        tops = list(self.tops.get(candidate.cell, ()))
        tops += [-1] * (candidate.replicate + candidate.count - len(tops))
        tops[candidate.replicate : candidate.replicate + candidate.count] = [candidate.top] * candidate.count
        return replace(self, tops={**self.tops, candidate.cell: tuple(tops)})

    def reach(self, cell: int, log_density: float) -> bool:
        """Whether a ladder of a cell reaches a density, to half a rung, or its highest allowed rung."""
        top = max(self.tops.get(cell, ()), default=-1)
        return top >= min(log_density / self.step - 0.5, max(self.levels[cell], default=-1))

    def candidates(self) -> Iterator[LadderPart]:
        """Yield every part that may be trained next: new or continued ladders, to the top or half way.

        Ladders of a cell at the same rung may be trained one by one or together.
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
    """Part of a ladder to train: its rungs above `after` (-1: all) up to `top`.

    The same rungs of the next replicates are trained with it, `count` ladders in all.
    """

    cell: int
    replicate: int
    after: int
    top: int
    cost: float
    count: int = 1

    def reaches(self, log_density: float, step: float) -> bool:
        """Whether it reaches a density, to half a rung."""
        return self.top >= log_density / step - 0.5

    def densities(self, step: float) -> Numbers:
        """Return the log densities of its rungs, ladder by ladder."""
        return np.tile(step * np.arange(self.after + 1, self.top + 1, dtype=np.float64), self.count)


@dataclass(frozen=True)
class PlannedPart:
    """A planned part, and the expected loss after it and all before it."""

    candidate: LadderPart
    loss: float


def plan_sequence(
    posterior: Posterior,
    question: Question,
    ladders: Ladders,
    budget: float,
    *,
    enough: float = ENOUGH,
    in_proportion: bool = False,
    most: int = MOST_PROPOSALS,
    seed: int = 0,
    on_proposal: Callable[[int, float], None] | None = None,
) -> tuple[float, tuple[PlannedPart, ...]]:
    """Return the expected loss now, and the parts to train, most valuable first, until the decision is good enough.

    A posterior may be confident about an untrained network. So a decision also needs a trained network like
    it: where there is none, that is the part to train.

    Parameters
    ----------
    budget
        Most that all parts together may cost.
    enough
        Loss at which to stop; a plan ends sooner when most of the loss would be gone (`LOSS_LEFT`).
    in_proportion
        Skip parts that save a smaller share of the loss than they cost of all the training that is left.
    most
        Most parts.
    on_proposal
        Called with each part's number and the expected loss after it.
    """
    sample = TruthSample.of(question, posterior, seed=seed)
    loss = now = sample.loss(posterior)
    chance = np.random.default_rng([seed, 1]).standard_normal((TRUTHS, THETA + 2))
    planned: list[PlannedPart] = []
    spent, low = 0.0, max(enough, LOSS_LEFT * now)
    while loss > (low if planned else enough) and len(planned) < most:
        options = [candidate for candidate in ladders.candidates() if spent + candidate.cost <= budget]
        left = ladders.left if in_proportion else np.inf
        best = _best(sample, posterior, options, ladders.step, loss, chance, left)
        if best is None:
            break
        candidate, after = best
        where, root = posterior.information(candidate.cell, candidate.densities(ladders.step))
        posterior = posterior.updated(where, root).with_measured(candidate.cell, candidate.densities(ladders.step))
        ladders, spent, loss = ladders.climbed(candidate), spent + candidate.cost, after
        sample = TruthSample.of(question, posterior, seed=seed + len(planned) + 1)
        loss = min(loss, sample.loss(posterior))
        planned.append(PlannedPart(candidate, loss))
        if on_proposal is not None:
            on_proposal(len(planned), loss)
    if not planned and now <= enough:
        check = _cheapest_check(ladders, question, network_to_measure(question, posterior), budget)
        planned = [] if check is None else [PlannedPart(check, now)]
    return now, tuple(planned)


def network_to_measure(question: Question, posterior: Posterior) -> Decision:
    """Return the network that must be measured before a decision stands: the chosen one.

    Where no member is expected to meet the bound, it is the unpruned one with the lowest expected error.
    """
    choice = Decision.by(question, posterior)
    if choice.member >= 0:
        return choice
    return Decision(int(np.argmin(posterior.mean[THETA + question.cell])), 0.0)


def _cheapest_check(ladders: Ladders, question: Question, choice: Decision, budget: float) -> LadderPart | None:
    """Return the cheapest part that trains a network, or the nearest to it; None where one like it was trained."""
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
    sample: TruthSample,
    posterior: Posterior,
    options: Sequence[LadderPart],
    step: float,
    loss: float,
    chance: Numbers,
    left: float,
) -> tuple[LadderPart, float] | None:
    """Return the part that saves most expected loss for its cost, and the loss after it."""
    best, choice = 0.0, None
    for candidate in sorted(options, key=lambda option: option.cost):
        if loss <= best * candidate.cost:
            break  # even what saves all of the loss is worth less at this cost, and the rest costs more
        where, root = posterior.information(candidate.cell, candidate.densities(step))
        after = loss_after(sample, posterior, where, root, chance)
        worth = (loss - after) / candidate.cost
        if worth > best and loss - after > max(LEAST_SAVED, candidate.cost / left) * loss:
            best, choice = worth, (candidate, after)
    return choice
