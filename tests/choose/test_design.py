"""Designs: what they may and may not propose, what a decision's loss is, and what they save against chance."""

from __future__ import annotations

from statistics import median

import numpy as np
import pytest
from benchmarks.nextladders import LEVELS, STEP, World, adaptive, at_random, decide

from prunescope.choose.belief import believed
from prunescope.choose.design import Ladders, designed
from prunescope.choose.smallest import Sizes
from prunescope.choose.worth import WORST, Judge, Question
from tests.choose.test_belief import CELLS, ladders, nothing


def question(bound: float = 0.14) -> Question:
    sizes = Sizes(CELLS.depth, CELLS.width, 1000 * CELLS.depth * CELLS.width**2, np.zeros(4))
    return Question(bound, sizes, np.arange(4), np.full(4, -30.0))


def board(**tops: tuple[int, ...]) -> Ladders:
    cost = np.stack([CELLS.depth * CELLS.width**2] * 2, axis=1)
    return Ladders(float(np.log(0.8)), 20, 2, cost, {int(name[1:]): each for name, each in tops.items()})


def test_what_may_be_trained_next() -> None:
    there = board(c1=(20,), c2=(0,)).looks()
    found = {(look.cell, look.replicate, look.after, look.top) for look in there}
    assert {each for each in found if each[0] == 0} == {(0, 0, -1, 0), (0, 0, -1, 10), (0, 0, -1, 20)}
    assert {each for each in found if each[0] == 1} == {(1, 1, -1, 0), (1, 1, -1, 10), (1, 1, -1, 20)}
    # A second ladder climbs no higher than the first.
    assert {each for each in found if each[0] == 2} == {(2, 0, 0, 10), (2, 0, 0, 20), (2, 1, -1, 0)}


def test_a_look_costs_its_rungs() -> None:
    ladders_ = Ladders(-0.2, 20, 1, np.array([[10.0, 3.0]]), {})
    assert ladders_.price(0, -1, 0) == 10
    assert ladders_.price(0, -1, 4) == 10 + 4 * 3
    assert ladders_.price(0, 4, 20) == 16 * 3


def test_a_design_keeps_its_budget_and_takes_nothing_twice() -> None:
    belief = believed(CELLS, ladders([0], noise=0.03, levels=8), guessing=0.9)
    now, planned = designed(belief, question(), board(c0=(8,)), 150.0, enough=1e-4, most=30)
    assert planned
    assert sum(each.look.cost for each in planned) <= 150.0
    rungs = [(p.look.cell, p.look.replicate, rung) for p in planned for rung in range(p.look.after + 1, p.look.top + 1)]
    assert len(rungs) == len(set(rungs))
    assert planned[-1].loss < now


def test_nothing_is_proposed_where_the_answer_is_known() -> None:
    belief = believed(CELLS, ladders([0, 1, 2, 3] * 8, noise=0.01, levels=20), guessing=0.9)
    now, planned = designed(belief, question(), board(), np.inf, enough=0.2)
    assert now <= 0.2
    assert planned == ()


def test_losses_are_what_they_are_called() -> None:
    belief = believed(CELLS, ladders([0, 1, 2, 3], noise=0.02), guessing=0.9)
    judge = Judge.of(question(), belief, count=50)
    best = judge.log_size.argmin(axis=1)
    rows = np.arange(50)
    right = judge.losses(best, judge.needed[rows, best])
    assert right == pytest.approx(0.0)
    off = judge.losses(best, judge.needed[rows, best] + 0.3)
    assert off == pytest.approx(0.3)
    other = (best + 1) % 4
    reach = np.isfinite(judge.log_size[rows, other])
    larger = judge.losses(other, judge.needed[rows, other])
    expected = np.minimum(judge.log_size[rows, other] - judge.best, WORST)
    assert larger[reach] == pytest.approx(expected[reach])
    assert (larger[~reach] == WORST).all()
    assert (judge.losses(np.full(50, -1), np.zeros(50)) == WORST).all()


def test_before_anything_is_measured_something_cheap_is_proposed() -> None:
    _, planned = designed(believed(CELLS, nothing(), 0.9), question(), board(), np.inf, most=3)
    assert planned
    assert planned[0].look.cost < board().price(3, -1, 20) / 4


def test_designs_reach_what_random_configurations_reach_for_a_third_of_their_cost() -> None:
    """A few families; `python -m benchmarks next` does a hundred."""
    ratios, better = [], []
    for seed in range(5):
        world = World(seed, depths=(8, 20), widths=(0.25, 0.5, 1.0), examples=(50_000, 12_500))
        chance = [at_random(world, 6, seed) for seed in range(7)]
        usual = median(world.loss(decide(world, tops)) for tops in chance)
        cost = float(np.mean([world.cost(tops) for tops in chance]))
        found = list(adaptive(world, cost / 3, rounds=8))
        losses = [world.loss(decide(world, each.tops)) for each in found]
        reached = next((each.cost for each, loss in zip(found, losses, strict=True) if loss <= usual), np.inf)
        ratios.append(reached / cost)
        better.append(losses[-1] <= usual + 0.1)
    assert median(ratios) <= 1 / 3
    assert np.mean(better) >= 0.6
    assert LEVELS * STEP < -3
