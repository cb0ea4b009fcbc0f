"""What to train next, so that the smallest network under a bound is known for the least training."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from prunescope.choose.counts import Member
from prunescope.choose.limits import bound_faults
from prunescope.choose.smallest import LOWEST_LOG_DENSITY, MemberSizes
from prunescope.choose.unpruned import Place
from prunescope.design.costs import budget_of, sharing
from prunescope.design.inputs import DesignInputs, at_noise, design_inputs, treatment_of
from prunescope.design.posterior import compute_posterior
from prunescope.design.sequence import ENOUGH, MOST_PROPOSALS, Ladders, PlannedPart, network_to_measure, plan_sequence
from prunescope.design.value_of_information import Decision, Question, new_networks
from prunescope.errors import Fault, InputError, listed
from prunescope.study import Ladder, Study
from prunescope.study.sections import Axes, Recipe
from prunescope.table import Table


@dataclass(frozen=True)
class Proposal(Member):
    """A ladder to train, or to climb on.

    Attributes
    ----------
    replicate, count
        Which repetition, from 0, and how many from there on are trained along with it.
    after, top
        The rung that is finished already (-1: none), and the one to climb to.
    density
        Of the one to climb to.
    cost
        In the unit of the plan.
    off
        How far off the decision is expected to be once this and all before it is trained (0.1: 10 %).
    """

    depth: int | None
    width: float | None
    examples: int | None
    replicate: int
    count: int
    after: int
    top: int
    density: float
    cost: float
    off: float


@dataclass(frozen=True)
class NamedNetwork:
    """A network that a decision may name.

    Attributes
    ----------
    member, density
        Which member of the family, and how sparse.
    probability
        How likely it is believed to be that it keeps the bound, newly trained.
    """

    member: str
    density: float
    probability: float

    def __str__(self) -> str:
        return f"{self.member} at density {self.density:.2g}"


@dataclass(frozen=True)
class DesignPlan:
    """What to train next.

    Attributes
    ----------
    pick
        What a decision by what is believed now would choose; None where no member is expected to keep the bound.
    sure
        The smallest network that is believed to keep the bound as surely as was asked, newly trained; None where no
        member does.
    confidence
        How surely that was.
    seen
        Whether a network like `pick` was trained: of that member, about as sparse or as sparse as may be. Where no
        member is picked: whether the one that is expected to err least was trained, unpruned.
    off
        How far off a decision by what is measured now is expected to be: how many times larger than the smallest
        possible the chosen member comes out, and how wrong its density is, together (0.1: 10 %).
    enough
        Below this the plan ends: more training would hardly change the answer.
    proposals
        In the order of their worth.
    cost, whole
        Of the proposals; of all that may be trained. In seconds if `unit` says so.
    study
        A study that trains the proposals; None where nothing says how networks are trained.
    """

    max_error: float
    pick: NamedNetwork | None
    sure: NamedNetwork | None
    confidence: float
    seen: bool
    off: float
    enough: float
    proposals: tuple[Proposal, ...]
    cost: float
    whole: float
    unit: str
    study: Study | None
    ladders: tuple[Ladder, ...]

    @property
    def decided(self) -> bool:
        """Whether more training would hardly change the answer, and the network that it names was looked at."""
        return self.off <= self.enough and self.seen

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        names = ("max_error", "confidence", "seen", "off", "enough", "decided", "cost", "whole", "unit")
        plain = {name: getattr(self, name) for name in names}
        plain |= {name: asdict(network) if (network := getattr(self, name)) else None for name in ("pick", "sure")}
        plain["proposals"] = [asdict(proposal) for proposal in self.proposals]
        return plain | {"study": self.study.to_mapping() if self.study else None}


# How the name of a study ends that is part of another.
NAME_SUFFIX = " next"


def next_ladders(
    table: Table | None,
    max_error: float,
    *,
    study: Study | None = None,
    budget: str | float | None = None,
    depths: Sequence[int] | None = None,
    widths: Sequence[float] | None = None,
    examples: int | None = None,
    label_noise: float | None = None,
    confidence: float = 0.9,
    enough: float = ENOUGH,
    most: int = MOST_PROPOSALS,
    classes: int | None = None,
    by: Sequence[str] | None = None,
    seed: int = 0,
    on_proposal: Callable[[int, float], None] | None = None,
) -> DesignPlan:
    """Say which ladders to train next.

    Parameters
    ----------
    table
        What is measured; None or an empty one before anything is.
    study
        What may be trained, and how; without it the members that the table has.
    budget
        A time (``"10m"``), a share of all that may be trained (``"20%"``), or a plain cost.
    depths, widths
        Members to consider beside.
    examples
        Training examples of the network that is looked for; None is the most there are.
    label_noise
        The level that its training labels have; needed where study and table have several.
    confidence
        How surely `sure` shall keep the bound.
    enough
        How far off the decision may be expected to be: 0.05 is 5 %.
    most
        Proposals at the most.
    on_proposal
        Called with the number of each proposal and how far off the decision will then be.
    """
    faults = list(bound_faults(max_error))
    if not 0 < confidence < 1:
        faults.append(Fault("the confidence", "must be between 0 and 1", f"{confidence:g}"))
    if not 0 < enough < 1:
        faults.append(Fault("how far off is enough", "must be between 0 and 1", f"{enough:g}"))
    if faults:
        raise InputError("the question", faults)
    study = study and at_noise(study, table, label_noise)
    if table is not None and label_noise is not None and "label_noise" in table:
        table = table.take(table["label_noise"] == label_noise)
    recipe = study.recipe if study else None
    scene = design_inputs(table, study, depths, widths, classes, by)
    members = _members(scene.place, examples)
    ladders = Ladders(
        scene.step, scene.levels, scene.costs.cost, sharing(scene.counts, recipe.batch if recipe else None), scene.tops
    )
    cells = range(len(scene.place.depth))
    whole = sum(
        ladders.price(cell, -1, max(levels), len(levels))
        for cell, levels in zip(cells, scene.levels, strict=True)
        if levels
    )
    guessing = None if scene.classes is None else 1 - 1 / scene.classes
    posterior = compute_posterior(scene.place, scene.rows, guessing)
    question = _question(scene, members, max_error)
    choice = Decision.by(question, posterior)
    loss, planned = plan_sequence(
        posterior,
        question,
        ladders,
        budget_of(budget, scene.costs, whole),
        enough=float(np.log1p(enough)),
        most=most,
        seed=seed,
        on_proposal=on_proposal,
    )
    wanted, next_study = _as_study(study, scene, planned, max_error)
    networks, sought = new_networks(question, posterior, seed), network_to_measure(question, posterior)

    def pick(decision: Decision) -> NamedNetwork | None:
        if decision.member < 0:
            return None
        return NamedNetwork(
            scene.name(int(members[decision.member])), float(np.exp(decision.log_density)), decision.keeps(networks)
        )

    return DesignPlan(
        max_error=max_error,
        pick=pick(choice),
        sure=pick(Decision.sure(question, networks, confidence)),
        confidence=confidence,
        seen=ladders.reach(int(members[sought.member]), sought.log_density),
        off=float(np.expm1(loss)),
        enough=enough,
        proposals=tuple(_proposals(scene, planned)),
        cost=sum(step.candidate.cost for step in planned),
        whole=whole,
        unit=scene.costs.unit,
        study=next_study,
        ladders=wanted,
    )


def _question(scene: DesignInputs, members: np.ndarray, max_error: float) -> Question:
    counts = [scene.counts[member] for member in members.tolist()]
    prunable, rest = (np.array([getattr(count, name) for count in counts]) for name in ("prunable", "rest"))
    sizes = MemberSizes(scene.place.depth[members], scene.place.width[members], prunable, rest)
    relative = any(count.how == "relative" for count in counts)
    lowest = np.full(len(counts), LOWEST_LOG_DENSITY) if relative else -np.log(np.maximum(prunable, 1.0))
    return Question(max_error, sizes, members, lowest)


def _members(place: Place, examples: int | None) -> np.ndarray:
    """Return the cells that are looked for: those on the most examples, or on as many as are named."""
    wanted = place.examples.max() if examples is None else float(examples)
    members = np.flatnonzero(place.examples == wanted)
    if not len(members):
        known = listed(sorted({round(number) for number in place.examples.tolist()}))
        raise InputError(
            "--examples", [Fault("examples", "must be those of some cells", f"{wanted:g}", f"There are {known}.")]
        )
    return members


def _proposals(scene: DesignInputs, planned: Sequence[PlannedPart]) -> list[Proposal]:
    """Put looks at the same ladders that follow each other together."""
    proposals: dict[tuple[int, int, int], Proposal] = {}
    for step in planned:
        candidate = step.candidate
        before = proposals.pop((candidate.cell, candidate.replicate, candidate.count), None)
        proposals[candidate.cell, candidate.replicate, candidate.count] = Proposal(
            depth=round(float(scene.place.depth[candidate.cell])) if scene.has_depth else None,
            width=float(scene.place.width[candidate.cell]) if scene.has_width else None,
            examples=round(float(scene.place.examples[candidate.cell])) if scene.has_examples else None,
            replicate=candidate.replicate,
            count=candidate.count,
            after=before.after if before else candidate.after,
            top=candidate.top,
            density=float(np.exp(scene.step * candidate.top)),
            cost=candidate.cost + (before.cost if before else 0.0),
            off=float(np.expm1(step.loss)),
        )
    return list(proposals.values())


def _as_study(
    study: Study | None, scene: DesignInputs, planned: Sequence[PlannedPart], max_error: float
) -> tuple[tuple[Ladder, ...], Study | None]:
    """Return the ladders that were planned, and a study that trains them; nothing without a study to go by."""
    if study is None or not planned:
        return (), None
    treatment = treatment_of(study)
    model = study.cells[0]
    tops: dict[int, dict[int, int]] = {}
    for step in planned:
        by_replicate = tops.setdefault(step.candidate.cell, {})
        by_replicate |= dict.fromkeys(
            range(step.candidate.replicate, step.candidate.replicate + step.candidate.count), step.candidate.top
        )
    ladders: list[Ladder] = []
    blocks: dict[tuple[int, int, int, int], list[float]] = {}
    for cell, by_replicate in tops.items():
        where = dataclasses.replace(
            model,
            depth=round(float(scene.place.depth[cell])),
            width=float(scene.place.width[cell]),
            examples=round(float(scene.place.examples[cell])),
        )
        for replicate, top in by_replicate.items():
            recipe: Recipe = study.recipe.model_copy(update={"levels": top})
            teaches = study.teaches(treatment)
            ladders.append(Ladder(where, recipe, treatment, replicate, study.seed, teaches=teaches))
            block = blocks.setdefault((where.depth, where.examples, top, replicate + 1), [])
            block.append(where.width)
    axes = tuple(
        Axes(
            dataset=(model.dataset,),
            family=(model.family,),
            depth=(depth,),
            width=tuple(dict.fromkeys(widths)),
            examples=(examples,),
            label_noise=(model.label_noise,),
            levels=top,
            replicates=replicates,
        )
        for (depth, examples, top, replicates), widths in blocks.items()
    )
    next_study = dataclasses.replace(
        study,
        name=f"{study.name[:90]}{NAME_SUFFIX}",
        axes=axes,
        treatments=(treatment,),
        purpose=f"What settles soonest which network is the smallest with an error of at most {max_error:g}.",
        expected="",
        cost="",
    )
    return tuple(ladders), next_study
