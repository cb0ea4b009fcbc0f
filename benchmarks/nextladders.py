"""What `next` saves: designs against the first paper's Experiment 2, random whole configurations, on made-up families.

Each family has a known law, from which single members depart by as much as seeds do; unpruned errors that fall with
size and examples and depart from any smooth law by a few percent; and noise between seeds. A decision (member and
density) is judged by the truth: how many times larger than the smallest possible it would have to be, and how far its
density is off, both as logarithms and added up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from statistics import NormalDist, fmean, median
from typing import Any

import numpy as np

from prunescope.choose.family import Grid, fit_families
from prunescope.choose.smallest import MemberSizes, smallest_member
from prunescope.choose.unpruned import Place
from prunescope.design.posterior import Posterior, Rows, compute_posterior
from prunescope.design.recommendation import IN_DOUBT
from prunescope.design.sequence import ENOUGH, Ladders, network_to_measure, plan_sequence
from prunescope.design.value_of_information import WORST, Decision, Question, TruthSample, check_forms, new_networks
from prunescope.errors import PrunescopeError

Tops = Mapping[int, tuple[int, ...]]
LEVELS, NOISE, DEPARTURE, SHIFT = 25, 0.034, 0.02, 0.05
STEP = float(np.log(0.8))
RANDOM = 15  # configurations from which on the paper's Experiment 2 is stable
FAMILIES, CHANCES = 100, 9
GUESSING = 0.9
SURE = (0.5, 0.75, 0.9, 0.95)
# How sharply curves leave the low plateau and reach the high one, where Eq. 2 is wrong and where it is right; families
# tried of each, large ones with at most the cost of `RANDOM` configurations and small ones with all that there is.
CORNERS, CORNERED, FEW = ((1.0, 4.0), (4.0, 1.0), (2.0, 2.0)), 10, 40
SMALL: Mapping[str, Any] = {"depths": (8, 14, 26), "widths": (0.25, 0.5, 1.0), "examples": (50_000,)}


@dataclass
class World:
    """A family whose truth is known.

    Attributes
    ----------
    seed
        What everything about it is drawn from.
    depths, widths, examples
        Its cells are all combinations; its members are those on the most examples, which come first.
    corners
        How sharply curves leave the low plateau, and reach the high one: 2 and 2 is Eq. 2.
    """

    seed: int
    depths: tuple[int, ...] = (8, 14, 20, 26, 50)
    widths: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0, 2.0)
    examples: tuple[int, ...] = (50_000, 25_000, 12_500)
    corners: tuple[float, float] = (2.0, 2.0)
    law: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        random = np.random.default_rng([self.seed, 7])
        grid = [(d, w, n) for d in self.depths for w in self.widths for n in self.examples]
        depth, width, examples = np.array(grid, float).T
        self.place = Place(depth, width, examples)
        self.law = {
            "eps_up": random.uniform(0.6, 0.9),
            "gamma": random.uniform(0.8, 2.0),
            "p_prime": 10 ** random.uniform(-2.2, -1.0),
            "phi": random.uniform(0.4, 1.3),
            "psi": random.uniform(0.6, 1.5),
        }
        size = depth * width**2 / 8
        by_examples, by_size = random.uniform(2, 6), random.uniform(0.02, 0.07)
        plateau = 0.045 + by_examples * examples**-0.5 + by_size * size ** -random.uniform(0.2, 0.45)
        self.unpruned = np.minimum(0.5, plateau * np.exp(DEPARTURE * random.standard_normal(len(size))))
        self.shift = SHIFT * random.standard_normal(len(size))
        self.work = size * examples / examples.max()
        self.members = np.flatnonzero(examples == self.examples[0])
        here = self.members
        self.sizes = MemberSizes(depth[here], width[here], 8000 * size[here], 40 * depth[here])
        self.bound = float(self.unpruned[here].min() * random.uniform(1.1, 2.0))

    def measured(self, tops: Tops) -> dict[str, Any]:
        """Return the table of some ladders; a ladder has the same numbers whenever it is asked for."""
        parts = []
        for cell, ladders in tops.items():
            for replicate, top in enumerate(ladders):
                random = np.random.default_rng([self.seed, cell, replicate])
                log_density = STEP * np.arange(LEVELS + 1)
                error = self._law(cell, np.exp(log_density)) * (1 + NOISE * random.standard_normal(LEVELS + 1))
                whole = np.stack([np.full(LEVELS + 1, cell), np.full(LEVELS + 1, replicate), log_density, error])
                parts.append(whole[:, : top + 1])
        cell_of, replicate_of, log_density, error = np.concatenate(parts, axis=1)
        at = cell_of.astype(int)
        return {
            "cell": at,
            "depth": self.place.depth[at].astype(int),
            "width": self.place.width[at],
            "examples": self.place.examples[at].astype(int),
            "replicate": replicate_of.astype(int),
            "density": np.exp(log_density),
            "error": np.minimum(error, 1.0),
        }

    def _law(self, cell: Any, density: Any) -> Any:
        own = density * np.exp(-self.shift[cell])
        law = self.law
        size = np.log(own * self.place.depth[cell] ** law["phi"] * self.place.width[cell] ** law["psi"])
        rise = np.log(law["eps_up"] / self.unpruned[cell])
        above = np.log(law["p_prime"]) - size
        low, high = self.corners
        leaving = np.logaddexp(0, low * (above + rise / law["gamma"])) / low
        return self.unpruned[cell] * np.exp(law["gamma"] * (leaving - np.logaddexp(0, high * above) / high))

    def cost(self, tops: Tops) -> float:
        """Return what ladders cost: weights times examples times rungs."""
        return float(sum(self.work[cell] * (top + 1) for cell, ladders in tops.items() for top in ladders))

    @property
    def question(self) -> Question:
        """What is to be decided."""
        return Question(self.bound, self.sizes, self.members, np.full(len(self.sizes), -30.0))

    def keeps(self, choice: Decision) -> float:
        """Return how likely a newly trained network is to keep the bound in truth."""
        if choice.member < 0:
            return float("nan")
        error = self._law(int(self.members[choice.member]), np.exp(choice.log_density))
        return NormalDist().cdf((self.bound / float(error) - 1) / NOISE)

    @cached_property
    def needed(self) -> Any:
        """The lowest log density at which each member meets the bound; infinity where none does."""
        steps = np.linspace(-30.0, 0.0, 3001)[:, None]
        meets = self._law(self.members, np.exp(steps)) <= self.bound
        first = steps[meets.argmax(axis=0), 0]
        low, high = first - (steps[1] - steps[0]), first
        for _ in range(40):
            middle = (low + high) / 2
            met = self._law(self.members, np.exp(middle)) <= self.bound
            low, high = np.where(met, low, middle), np.where(met, middle, high)
        return np.where(meets.any(axis=0), high, np.inf)

    def loss(self, choice: Decision) -> float:
        """Judge a decision by the truth."""
        needed = self.needed
        size = np.log(self.sizes.parameters(needed))
        if choice.member < 0 or not np.isfinite(needed[choice.member]):
            return WORST
        off = abs(choice.log_density - needed[choice.member])
        return float(min(WORST, size[choice.member] - size.min()) + min(WORST, off))


def chosen(world: World, tops: Tops) -> Decision:
    """Decide as `choose` does: by least squares, members' departures from the law, unpruned errors smoothed."""
    columns = world.measured(tops)
    del columns["cell"]
    sizes = world.sizes
    grid = Grid(examples=world.examples[0], table={"depth": sizes.depth, "width": sizes.width})
    try:
        found, _, _ = fit_families(columns, grid, {"intervals": "none", "starts": 8, "classes": 10}, extrapolate=True)
    except PrunescopeError:
        return Decision(-1, 0.0)
    needed = found[0].likeliest.needed(world.bound)
    member = int(smallest_member(sizes.parameters(needed))[0])
    return Decision(member, float(needed[0, member]))


def rows_of(world: World, tops: Tops) -> Rows:
    """Return the networks of some ladders."""
    if not tops:
        return Rows(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
    columns = world.measured(tops)
    return Rows(columns["cell"], np.log(columns["density"]), np.log(columns["error"]))


def belief_of(world: World, tops: Tops) -> Posterior:
    """Return what `next` believes after some ladders."""
    return compute_posterior(world.place, rows_of(world, tops), GUESSING)


def at_random(world: World, configurations: int, seed: int) -> Tops:
    """Return whole ladders of configurations drawn at random (Experiment 2)."""
    chosen = np.random.default_rng([world.seed, seed]).permutation(len(world.work))[:configurations]
    return dict.fromkeys(chosen.tolist(), (LEVELS,))


@dataclass(frozen=True)
class Stage:
    """An adaptive design after some rounds: what is trained, what it cost, what it would decide and how far off.

    And the networks that it says keep the bound as surely as `SURE`.
    """

    tops: Tops
    cost: float
    choice: Decision
    stated: float
    sure: tuple[Decision, ...]


def adaptive(world: World, budget: float, rounds: int = 40, enough: float = 0.03) -> Iterator[Stage]:
    """Train what `next` proposes, look at it, ask again."""
    ladders = all_ladders(world)
    spent, belief = 0.0, belief_of(world, {})
    for _ in range(rounds):
        _, planned = plan_sequence(belief, world.question, ladders, budget - spent, enough=enough, most=6)
        if not planned:
            return
        for each in planned:
            ladders, spent = ladders.climbed(each.candidate), spent + each.candidate.cost
        belief = belief_of(world, ladders.tops)
        choice, networks = Decision.by(world.question, belief), new_networks(world.question, belief)
        sure = tuple(Decision.sure(world.question, networks, probability) for probability in SURE)
        stated = TruthSample.of(world.question, belief).loss(belief)
        yield Stage(dict(ladders.tops), spent, choice, stated, sure)


def all_ladders(world: World) -> Ladders:
    """Return the ladders that may be trained: three of each cell."""
    levels = [(LEVELS,) * 3] * len(world.work)
    return Ladders(STEP, levels, np.stack([world.work, world.work], axis=1), np.ones(len(world.work)), {})


@dataclass(frozen=True)
class Ending:
    """How training until decided ends: whether it was decided, the share of the budget spent, how far off, and says."""

    decided: bool
    spent: float
    off: float
    stated: float


def until_decided(world: World, budget: float, rounds: int = 40) -> Ending:
    """Train as `run --until-decided` does: until it is decided, nothing is worth its cost, or the budget is spent."""
    ladders, spent = all_ladders(world), 0.0
    limit, doubt = float(np.log1p(ENOUGH)), float(np.log1p(IN_DOUBT))
    choice, stated = Decision(-1, 0.0), WORST
    plan = partial(plan_sequence, in_proportion=True, most=6)
    for _ in range(rounds):
        belief = belief_of(world, ladders.tops)
        choice, target = Decision.by(world.question, belief), network_to_measure(world.question, belief)
        stated, planned = plan(belief, world.question, ladders, budget - spent, enough=limit)
        if stated <= limit and ladders.reach(int(world.members[target.member]), target.log_density):
            check = check_forms(world.question, world.place, rows_of(world, ladders.tops), 10)
            losses = {} if check is None else check.losses(choice)
            if max(losses.values(), default=0.0) <= doubt:
                return Ending(True, spent / budget, world.loss(choice), stated)
            stated, planned = plan(belief, world.question, ladders, budget - spent, enough=0.0)
        if not planned:
            break
        for step in planned:
            ladders, spent = ladders.climbed(step.candidate), spent + step.candidate.cost
    return Ending(False, spent / budget, world.loss(choice), stated)


@dataclass(frozen=True)
class Trial:
    """One family: designs by `next` against designs by chance.

    Attributes
    ----------
    usual
        How far off choices by random configurations are, in the middle of some draws.
    spent, reached
        What `next` spent, and had spent when its decision first was as good: shares of what the random ones cost.
    own, chosen
        How far off its decision is in the end, and what `choose` makes of the same networks.
    stated
        How far off it says that it is.
    kept
        How likely the networks that keep the bound as surely as `SURE` by what it says are to keep it in truth, at the
        end; and the same at the first stage that names one.
    """

    usual: float
    spent: float
    reached: float
    own: float
    chosen: float
    stated: float
    kept: tuple[float, ...]
    kept_early: tuple[float, ...]


def trial(seed: int) -> Trial:
    """Try one family."""
    world = World(seed)
    chance = [at_random(world, RANDOM, draw) for draw in range(CHANCES)]
    usual = median(world.loss(chosen(world, tops)) for tops in chance)
    cost = float(np.mean([world.cost(tops) for tops in chance]))
    stages = list(adaptive(world, cost / 3))
    losses = [world.loss(stage.choice) for stage in stages]
    reached = (stage.cost / cost for stage, loss in zip(stages, losses, strict=True) if loss <= usual)
    last = stages[-1]
    own_choose = world.loss(chosen(world, last.tops))
    kept = tuple(world.keeps(each) for each in last.sure)
    naming = next((stage for stage in stages if min(each.member for each in stage.sure) >= 0), last)
    kept_early = tuple(world.keeps(each) for each in naming.sure)
    return Trial(usual, last.cost / cost, next(reached, 1.0), losses[-1], own_choose, last.stated, kept, kept_early)


def with_corners() -> Iterator[tuple[str, str, list[float]]]:
    """Yield how training until decided ends where curves have other corners than Eq. 2, and where they have its own."""
    for corners in CORNERS:
        for size, count, cells in (("75 cells", CORNERED, {}), ("9 cells", FEW, SMALL)):
            endings = [ending_with(corners, seed, **cells) for seed in range(count)]
            words = f"next, corners {corners[0]:g}/{corners[1]:g}, {size}"
            wrong = [ending for ending in endings if ending.decided and ending.off > IN_DOUBT]
            yield f"{words}: decided", f"of {count}", [float(sum(ending.decided for ending in endings))]
            yield f"{words}: decided and off by more than 0.1", f"of {count}", [float(len(wrong))]
            yield f"{words}: how far off it ends", "log", [ending.off for ending in endings]
            yield f"{words}: how far off it says that it is", "log", [ending.stated for ending in endings]
            yield f"{words}: what it spends", "of what it may", [ending.spent for ending in endings]


def ending_with(corners: tuple[float, float], seed: int, **cells: Any) -> Ending:
    """Train one family with some corners until it is decided."""
    world = World(seed, corners=corners, **cells)
    one_each = world.cost(dict.fromkeys(range(len(world.work)), (LEVELS,)))
    return until_decided(world, one_each * (3.0 if cells else RANDOM / len(world.work)))


def measure() -> Iterator[tuple[str, str, list[float]]]:
    """Yield the figures of a hundred families."""
    yield from with_corners()
    trials = [trial(seed) for seed in range(FAMILIES)]
    yield "next: cost to reach what 15 random configurations reach", "of their cost", [t.reached for t in trials]
    yield "next: what it spends at the most (allowed: 1/3)", "of their cost", [t.spent for t in trials]
    yield "next: how far off its decision ends", "log", [t.own for t in trials]
    yield "next: how far off it says that it is", "log", [t.stated for t in trials]
    yield "choose on what next trained: how far off", "log", [t.chosen for t in trials]
    yield "random: how far off choose on 15 configurations is (median of 9 draws)", "log", [t.usual for t in trials]
    for place, probability in enumerate(SURE):
        kept = [fmean(each.kept[place] for each in trials)]
        yield f"next: networks named to keep the bound in {probability:.0%} do so in", "of trainings", kept
    yield "families in which next ends worse", f"of {FAMILIES}", [float(sum(t.own > t.usual for t in trials))]
    yield (
        "families in which choose on it ends worse",
        f"of {FAMILIES}",
        [float(sum(t.chosen > t.usual for t in trials))],
    )
