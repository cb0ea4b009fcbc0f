"""Designs: what they may and may not propose, what a decision's loss is, and what they save against chance."""

from __future__ import annotations

from statistics import median

import numpy as np
import pytest
from benchmarks.nextladders import LEVELS, SMALL, STEP, World, adaptive, at_random, chosen, ending_with

from prunescope.choose.smallest import MemberSizes
from prunescope.design.cornered_law import CORNERED
from prunescope.design.posterior import THETA, Posterior, compute_posterior
from prunescope.design.sequence import LadderPart, Ladders, plan_sequence
from prunescope.design.value_of_information import WORST, Decision, Question, TruthSample, new_networks
from prunescope.laws.data import Points
from tests.design.test_posterior import CELLS, ladders, nothing


def question(bound: float = 0.14) -> Question:
    sizes = MemberSizes(CELLS.depth, CELLS.width, 1000 * CELLS.depth * CELLS.width**2, np.zeros(4))
    return Question(bound, sizes, np.arange(4), np.full(4, -30.0))


def board(**tops: tuple[int, ...]) -> Ladders:
    cost = np.stack([CELLS.depth * CELLS.width**2] * 2, axis=1)
    measured = {int(name[1:]): rungs for name, rungs in tops.items()}
    return Ladders(float(np.log(0.8)), [(20, 20)] * 4, cost, np.full(4, 0.25), measured)


def test_what_may_be_trained_next() -> None:
    there = board(c1=(20,), c2=(0,), c3=(5, 5)).candidates()
    candidates = {
        (candidate.cell, candidate.replicate, candidate.count, candidate.after, candidate.top) for candidate in there
    }
    begun = {(0, 0, count, -1, top) for count in (1, 2) for top in (0, 10, 20)}
    assert {candidate for candidate in candidates if candidate[0] == 0} == begun
    assert {candidate for candidate in candidates if candidate[0] == 1} == {
        (1, 1, 1, -1, 0),
        (1, 1, 1, -1, 10),
        (1, 1, 1, -1, 20),
    }
    # A second ladder climbs no higher than the first; those that stand equally high may climb together.
    assert {candidate for candidate in candidates if candidate[0] == 2} == {
        (2, 0, 1, 0, 10),
        (2, 0, 1, 0, 20),
        (2, 1, 1, -1, 0),
    }
    assert {candidate for candidate in candidates if candidate[0] == 3} == {
        (3, 0, count, 5, top) for count in (1, 2) for top in (13, 20)
    }


def test_a_look_costs_its_rungs_and_further_ladders_a_share() -> None:
    ladders_ = Ladders(-0.2, [(20, 20, 20)], np.array([[10.0, 3.0]]), np.array([0.25]), {})
    assert ladders_.price(0, -1, 0) == 10
    assert ladders_.price(0, -1, 4) == 10 + 4 * 3
    assert ladders_.price(0, 4, 20) == 16 * 3
    assert ladders_.price(0, 4, 20, 3) == 16 * 3 * 1.5
    together = ladders_.climbed(LadderPart(0, 0, -1, 4, 0.0, 3))
    assert together.tops == {0: (4, 4, 4)}
    assert together.climbed(LadderPart(0, 0, 4, 9, 0.0, 2)).tops == {0: (9, 9, 4)}
    assert LadderPart(0, 0, 0, 2, 0.0, 2).densities(-1.0).tolist() == [-1, -2, -1, -2]


def test_a_design_keeps_its_budget_and_takes_nothing_twice() -> None:
    posterior = compute_posterior(CELLS, ladders([0], noise=0.03, levels=8), guessing=0.9)
    now, planned = plan_sequence(posterior, question(), board(c0=(8,)), 150.0, enough=1e-4, most=30)
    assert planned
    assert sum(step.candidate.cost for step in planned) <= 150.0
    rungs = [
        (candidate.cell, candidate.replicate + more, rung)
        for candidate in (step.candidate for step in planned)
        for more in range(candidate.count)
        for rung in range(candidate.after + 1, candidate.top + 1)
    ]
    assert len(rungs) == len(set(rungs))
    assert planned[-1].loss < now


def test_what_is_left_is_all_that_was_not_trained() -> None:
    there = Ladders(-0.2, [(20, 20, 8), (5,)], np.array([[10.0, 3.0], [1.0, 1.0]]), np.zeros(2), {0: (20, 4)})
    assert there.left == 16 * 3 + (10 + 8 * 3) + (1 + 5)
    assert there.climbed(LadderPart(1, 0, -1, 5, 0.0)).left == there.left - 6


def test_in_proportion_no_part_costs_a_larger_share_of_what_is_left_than_it_saves() -> None:
    def shares(posterior: Posterior, there: Ladders, in_proportion: bool) -> list[tuple[float, float]]:
        """Return what each part costs and what it saves."""
        costs = []
        loss, planned = plan_sequence(
            posterior, question(), there, np.inf, enough=1e-6, in_proportion=in_proportion, most=8
        )
        for part in planned:
            costs.append((part.candidate.cost / there.left, 1 - part.loss / loss))
            there, loss = there.climbed(part.candidate), part.loss
        return costs

    early = compute_posterior(CELLS, ladders([0], noise=0.03, levels=8), guessing=0.9), board(c0=(8,))
    late = (
        compute_posterior(CELLS, ladders([0, 1, 2, 3] * 2, noise=0.15, levels=20), guessing=0.9),
        board(c0=(20,), c1=(20,), c2=(20,), c3=(20,)),
    )
    worth = shares(*early, in_proportion=True)
    assert worth
    assert all(cost <= saved for cost, saved in worth)
    assert shares(*late, in_proportion=True) == []
    assert all(cost > saved > 0 for cost, saved in shares(*late, in_proportion=False))


def test_nothing_is_proposed_where_the_answer_is_known() -> None:
    posterior = compute_posterior(CELLS, ladders([0, 1, 2, 3] * 8, noise=0.01, levels=20), guessing=0.9)
    now, planned = plan_sequence(
        posterior, question(), board(c0=(20,), c1=(20,), c2=(20,), c3=(20,)), np.inf, enough=0.2
    )
    assert now <= 0.2
    assert planned == ()


def test_a_choice_is_settled_once_a_network_like_it_was_trained() -> None:
    posterior = compute_posterior(CELLS, ladders([0, 1, 2, 3] * 8, noise=0.01, levels=20), guessing=0.9)
    choice = Decision.by(question(), posterior)
    cell, rung = choice.member, round(choice.log_density / np.log(0.8))
    assert 0 < rung < 20
    elsewhere = {f"c{replicate}": (20,) for replicate in range(4) if replicate != cell}
    now, (check,) = plan_sequence(
        posterior, question(), board(**elsewhere, **{f"c{cell}": (rung - 1,)}), np.inf, enough=0.2
    )
    assert (check.candidate.cell, check.candidate.replicate, check.candidate.after) == (cell, 0, rung - 1)
    assert check.candidate.top >= rung
    assert check.loss == now
    _, nothing_more = plan_sequence(
        posterior, question(), board(**elsewhere, **{f"c{cell}": (rung,)}), np.inf, enough=0.2
    )
    assert nothing_more == ()


def test_losses_are_what_they_are_called() -> None:
    posterior = compute_posterior(CELLS, ladders([0, 1, 2, 3], noise=0.02), guessing=0.9)
    sample = TruthSample.of(question(), posterior, count=50)
    best = sample.log_size.argmin(axis=1)
    rows = np.arange(50)
    right = sample.losses(best, sample.needed[rows, best])
    assert right == pytest.approx(0.0)
    off = sample.losses(best, sample.needed[rows, best] + 0.3)
    assert off == pytest.approx(0.3)
    other = (best + 1) % 4
    reach = np.isfinite(sample.log_size[rows, other])
    larger = sample.losses(other, sample.needed[rows, other])
    expected = np.minimum(sample.log_size[rows, other] - sample.best, WORST)
    assert larger[reach] == pytest.approx(expected[reach])
    assert (larger[~reach] == WORST).all()
    assert (sample.losses(np.full(50, -1), np.zeros(50)) == WORST).all()


def test_how_surely_a_network_keeps_the_bound_is_what_simulated_networks_do() -> None:
    posterior = compute_posterior(CELLS, ladders([0, 1, 2, 3], noise=0.05, levels=12), guessing=0.9)
    networks = new_networks(question(), posterior)
    sizes = []
    for confidence in (0.5, 0.75, 0.9, 0.99):
        choice = Decision.sure(question(), networks, confidence)
        assert choice.keeps(networks) == pytest.approx(confidence, abs=1e-3)
        random = np.random.default_rng(5)
        z = random.multivariate_normal(posterior.mean, posterior.covariance, 20_000, method="eigh")
        cell = choice.member
        unpruned, shift = z[:, THETA + cell], z[:, THETA + 4 + cell]
        depth, width = np.log([CELLS.depth[cell], CELLS.width[cell]])
        # One column for each draw, of which each law has its own on the diagonal: a few at a time.
        error = np.concatenate(
            [
                np.exp(CORNERED.log_error(z[part, :THETA], Points(
                    np.zeros(len(part)), unpruned[part], choice.log_density - shift[part],
                    np.full(len(part), depth), np.full(len(part), width))).diagonal())
                for part in np.array_split(np.arange(20_000), 100)
            ]
        )  # fmt: skip
        error *= np.exp(np.hypot(posterior.noise, posterior.departure) * random.standard_normal(20_000))
        assert np.mean(error <= question().bound) == pytest.approx(confidence, abs=0.02)
        sizes.append(float(question().sizes.parameters(np.full(4, choice.log_density))[choice.member]))
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_where_no_member_keeps_the_bound_none_is_named() -> None:
    posterior = compute_posterior(CELLS, ladders([0, 1, 2, 3], noise=0.02), guessing=0.9)
    unreachable = question(bound=0.01)
    networks = new_networks(unreachable, posterior)
    choice = Decision.sure(unreachable, networks, 0.9)
    assert choice.member == -1
    assert choice.keeps(networks) == 0.0


def test_before_anything_is_measured_something_cheap_is_proposed() -> None:
    _, planned = plan_sequence(compute_posterior(CELLS, nothing(), 0.9), question(), board(), np.inf, most=3)
    assert planned
    assert planned[0].candidate.cost < board().price(3, -1, 20) / 4


def test_designs_reach_what_random_configurations_reach_for_a_third_of_their_cost() -> None:
    """A few families; `python -m benchmarks next` does a hundred."""
    ratios, better = [], []
    for seed in range(5):
        world = World(seed, depths=(8, 14, 26), widths=(0.125, 0.25, 0.5, 1.0), examples=(50_000, 12_500))
        chance = [at_random(world, 5, draw) for draw in range(5)]
        usual = median(world.loss(chosen(world, tops)) for tops in chance)
        cost = float(np.mean([world.cost(tops) for tops in chance]))
        outcomes = list(adaptive(world, cost / 3, rounds=8))
        losses = [world.loss(outcome.choice) for outcome in outcomes]
        reached = next((outcome.cost for outcome, loss in zip(outcomes, losses, strict=True) if loss <= usual), np.inf)
        ratios.append(reached / cost)
        better.append(losses[-1] <= usual + 0.1)
    assert median(ratios) <= 1 / 3
    assert np.mean(better) >= 0.6
    assert LEVELS * STEP < -3


@pytest.mark.parametrize("corners", [(1.0, 4.0), (4.0, 1.0)])
def test_families_with_other_corners_than_the_law_are_decided_and_rightly(corners: tuple[float, float]) -> None:
    """A few families; `python -m benchmarks next` tries more, and larger ones."""
    endings = [ending_with(corners, seed, **SMALL) for seed in range(3)]
    assert sum(ending.decided for ending in endings) >= 2
    assert all(ending.off <= 0.1 for ending in endings if ending.decided)
