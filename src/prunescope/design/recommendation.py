"""What to train next, so that the smallest network under a bound is known for the least training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from prunescope.choose.counts import Member
from prunescope.choose.limits import bound_faults
from prunescope.choose.unpruned import Place
from prunescope.design.costs import budget_of, sharing
from prunescope.design.inputs import (
    MOST_CELLS,
    DesignInputs,
    at_noise,
    cells_to_weigh,
    design_inputs,
    question_of,
    treatment_of,
)
from prunescope.design.posterior import compute_posterior
from prunescope.design.sequence import ENOUGH, MOST_PROPOSALS, Ladders, PlannedPart, network_to_measure, plan_sequence
from prunescope.design.value_of_information import Decision, check_forms, new_networks
from prunescope.errors import Fault, InputError, listed
from prunescope.study import Ladder, Study
from prunescope.study.sections import Axes
from prunescope.table import Table, read_table
from prunescope.table.schema import Outcome
from prunescope.table.table import outcome_of


@dataclass(frozen=True)
class Proposal(Member):
    """A ladder to train, or to continue.

    Attributes
    ----------
    replicate, count
        The replicate, from 0, and how many from there on are trained together.
    after, top
        The highest finished rung (-1: none), and the one to train up to.
    density
        Density of `top`.
    cost
        Cost in the unit of the plan.
    off
        The expected regret once this and all before it are trained (0.1: 10 %).
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
    """A network of a decision.

    Attributes
    ----------
    member, density
        Which member of the family, and how sparse.
    probability
        Probability that it meets the bound when newly trained.
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
        The current choice; None where no member is expected to meet the bound.
    sure
        The smallest network that meets the bound with the requested confidence when newly trained; None if none does.
    confidence
        That confidence.
    seen
        Whether a network like `pick` was trained: of that member, about as sparse or as sparse as allowed. Without a
        pick: whether the member with the lowest expected error was trained, unpruned.
    off
        The expected regret of deciding now: how many times larger than the smallest possible the choice is, and how
        wrong its density is, together (0.1: 10 %).
    off_by_form
        The regret of deciding now under the paper's and the tilted form, as they are fitted to what was trained; empty
        where `off` is too large to ask, or too little was trained.
    enough
        The plan ends when the expected regret falls below this.
    proposals
        In the order of their value.
    cost, whole
        Cost of the proposals, and of everything that may be trained, in `unit`.
    study
        A study that trains the proposals; None without a study to start from.
    notes
        What was left out of very many cells.
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
    notes: tuple[str, ...] = ()
    off_by_form: Mapping[str, float] = field(default_factory=dict)

    @property
    def decided(self) -> bool:
        """Whether more training would hardly change the answer, by either form, and a network like it was trained."""
        doubtful = any(off > max(self.enough, IN_DOUBT) for off in self.off_by_form.values())
        return self.off <= self.enough and self.seen and not doubtful

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        names = ("max_error", "confidence", "seen", "off", "enough", "decided", "cost", "whole", "unit")
        plain = {name: getattr(self, name) for name in names}
        plain |= {name: asdict(network) if (network := getattr(self, name)) else None for name in ("pick", "sure")}
        plain["proposals"] = [asdict(proposal) for proposal in self.proposals]
        if self.notes:
            plain["notes"] = list(self.notes)
        if self.off_by_form:
            plain["off_by_form"] = dict(self.off_by_form)
        return plain | {"study": self.study.to_mapping() if self.study else None}


# Regret under another form beyond which a choice is in doubt, and what is said then.
IN_DOUBT = 0.1
FORM_IN_DOUBT = (
    "fitted to what was trained, the paper's or the tilted form of the law makes another choice: not decided, as the "
    "form is in doubt; more ladders of the members near the bound settle it"
)
SOME_WEIGHED = (
    "{weighed:,} of {cells:,} cells are weighed: the members expected to be smallest under the bound, and a sample of "
    "the others; --cells N weighs more"
)
# Suffix of the name of a study that is part of another.
NAME_SUFFIX = " next"


def next_ladders(
    table: Any,
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
    in_proportion: bool = False,
    most: int = MOST_PROPOSALS,
    cells: int = MOST_CELLS,
    classes: int | None = None,
    by: Sequence[str] | None = None,
    seed: int = 0,
    on_proposal: Callable[[int, float], None] | None = None,
) -> DesignPlan:
    """Say which ladders to train next.

    Parameters
    ----------
    table
        The measurements, as `read_table` takes them; None or empty before there are any.
    study
        What may be trained, and how; without it, the members of the table.
    budget
        A time (``"10m"``), a share of everything that may be trained (``"20%"``), or a plain cost.
    depths, widths
        Members to consider in addition.
    examples
        Training examples of the network to choose; None: the most there are.
    label_noise
        Its level of label noise; required where study and table have several.
    confidence
        Probability with which `sure` meets the bound.
    enough
        Stop when the expected regret falls below this: 0.05 is 5 %.
    in_proportion
        Propose nothing that saves a smaller share of the regret than it costs of all the training that is left.
    most
        Most proposals.
    cells
        Most cells to weigh against each other; of more, those nearest to the answer and a sample of the others.
    on_proposal
        Called with the number of each proposal and the expected loss after it.
    """
    table = table if table is None or isinstance(table, Table) else read_table(table)
    _check_settings(max_error, outcome_of(table), confidence, enough)
    study = study and at_noise(study, table, label_noise)
    if table is not None and label_noise is not None and "label_noise" in table:
        table = table.take(table["label_noise"] == label_noise)
    inputs = design_inputs(table, study, depths, widths, classes, by)
    members = _members(inputs.place, examples)
    whole = _whole_cost(_ladders(inputs, study))
    outcome = outcome_of(table)
    if (guessing := outcome.guessing(inputs.classes)) is None and not outcome.is_error and len(inputs.rows.log_error):
        guessing = float(np.exp(inputs.rows.log_error.max()))
    weighed = cells_to_weigh(inputs, question_of(inputs, members, max_error), cells, guessing)
    notes = []
    if len(weighed) < len(inputs.counts):
        notes.append(SOME_WEIGHED.format(weighed=len(weighed), cells=len(inputs.counts)))
        inputs = inputs.pick(weighed)
        members = np.flatnonzero(np.isin(weighed, members))
    ladders = _ladders(inputs, study)
    posterior = compute_posterior(inputs.place, inputs.rows, guessing)
    question = question_of(inputs, members, max_error)
    plan = partial(
        plan_sequence,
        posterior,
        question,
        ladders,
        budget_of(budget, inputs.costs, whole),
        in_proportion=in_proportion,
        most=most,
        seed=seed,
        on_proposal=on_proposal,
    )
    loss, planned = plan(enough=float(np.log1p(enough)))
    networks, target = new_networks(question, posterior, seed), network_to_measure(question, posterior)
    seen = ladders.reach(int(members[target.member]), target.log_density)
    decision = Decision.by(question, posterior)
    settled = np.expm1(loss) <= enough and seen and outcome.is_error
    check = check_forms(question, inputs.place, inputs.rows, inputs.classes) if settled else None
    losses = check.losses(decision) if check else {}
    if losses and max(losses.values()) > np.log1p(max(enough, IN_DOUBT)):
        notes.append(FORM_IN_DOUBT)
        loss, planned = plan(enough=0.0)
    planned_ladders, next_study = _as_study(study, inputs, planned, max_error)
    return DesignPlan(
        max_error=max_error,
        pick=_named(inputs, members, decision, networks),
        sure=_named(inputs, members, Decision.sure(question, networks, confidence), networks),
        confidence=confidence,
        seen=seen,
        off=float(np.expm1(loss)),
        enough=enough,
        proposals=tuple(_proposals(inputs, planned)),
        cost=sum(step.candidate.cost for step in planned),
        whole=whole,
        unit=inputs.costs.unit,
        study=next_study,
        ladders=planned_ladders,
        notes=tuple(notes),
        off_by_form={name: float(np.expm1(form_loss)) for name, form_loss in losses.items()},
    )


def _check_settings(max_error: float, outcome: Outcome, confidence: float, enough: float) -> None:
    faults = list(bound_faults(max_error, outcome))
    if not 0 < confidence < 1:
        faults.append(Fault("the confidence", "must be between 0 and 1", f"{confidence:g}"))
    if not 0 < enough < 1:
        faults.append(Fault("how far off is enough", "must be between 0 and 1", f"{enough:g}"))
    if faults:
        raise InputError("the question", faults)


def _ladders(inputs: DesignInputs, study: Study | None) -> Ladders:
    """Return the ladders that may be trained."""
    further = sharing(inputs.counts, study.recipe.batch if study else None)
    return Ladders(inputs.step, inputs.levels, inputs.costs.cost, further, inputs.tops)


def _whole_cost(ladders: Ladders) -> float:
    """Return the cost of everything that may be trained, finished or not."""
    return sum(ladders.price(cell, -1, max(tops), len(tops)) for cell, tops in enumerate(ladders.levels) if tops)


def _named(inputs: DesignInputs, members: np.ndarray, decision: Decision, networks: np.ndarray) -> NamedNetwork | None:
    """Name the network of a decision; None where it names no member."""
    if decision.member < 0:
        return None
    name = inputs.name(int(members[decision.member]))
    return NamedNetwork(name, float(np.exp(decision.log_density)), decision.keeps(networks))


def _members(place: Place, examples: int | None) -> np.ndarray:
    """Return the cells to choose from: those on the most examples, or on the named number."""
    wanted = place.examples.max() if examples is None else float(examples)
    members = np.flatnonzero(place.examples == wanted)
    if not len(members):
        known = listed(sorted({round(number) for number in place.examples.tolist()}))
        raise InputError(
            "--examples", [Fault("examples", "must be those of some cells", f"{wanted:g}", f"There are {known}.")]
        )
    return members


def _proposals(inputs: DesignInputs, planned: Sequence[PlannedPart]) -> list[Proposal]:
    """Join successive parts of the same ladders."""
    proposals: dict[tuple[int, int, int], Proposal] = {}
    for step in planned:
        candidate = step.candidate
        before = proposals.pop((candidate.cell, candidate.replicate, candidate.count), None)
        proposals[candidate.cell, candidate.replicate, candidate.count] = Proposal(
            depth=round(float(inputs.place.depth[candidate.cell])) if inputs.has_depth else None,
            width=float(inputs.place.width[candidate.cell]) if inputs.has_width else None,
            examples=round(float(inputs.place.examples[candidate.cell])) if inputs.has_examples else None,
            replicate=candidate.replicate,
            count=candidate.count,
            after=before.after if before else candidate.after,
            top=candidate.top,
            density=float(np.exp(inputs.step * candidate.top)),
            cost=candidate.cost + (before.cost if before else 0.0),
            off=float(np.expm1(step.loss)),
        )
    return list(proposals.values())


def _as_study(
    study: Study | None, inputs: DesignInputs, planned: Sequence[PlannedPart], max_error: float
) -> tuple[tuple[Ladder, ...], Study | None]:
    """Return the planned ladders, and a study that trains them; nothing where no study says how."""
    if study is None or not planned:
        return (), None
    ladders = tuple(_planned_ladders(study, inputs, planned))
    next_study = replace(
        study,
        name=f"{study.name[:90]}{NAME_SUFFIX}",
        axes=_axes(ladders),
        treatments=(treatment_of(study),),
        purpose=f"What settles soonest which network is the smallest with an error of at most {max_error:g}.",
        expected="",
        cost="",
    )
    return ladders, next_study


def _planned_ladders(study: Study, inputs: DesignInputs, planned: Sequence[PlannedPart]) -> Iterator[Ladder]:
    """Yield each planned ladder once, up to its highest planned rung."""
    treatment = treatment_of(study)
    teaches = study.teaches(treatment)
    own = next((dataset for dataset in study.datasets if dataset.label == study.cells[0].dataset), None)
    tops: dict[int, dict[int, int]] = {}
    for step in planned:
        first, count = step.candidate.replicate, step.candidate.count
        by_replicate = tops.setdefault(step.candidate.cell, {})
        by_replicate |= dict.fromkeys(range(first, first + count), step.candidate.top)
    for number, by_replicate in tops.items():
        cell = replace(
            study.cells[0],
            depth=round(float(inputs.place.depth[number])),
            width=float(inputs.place.width[number]),
            examples=round(float(inputs.place.examples[number])),
        )
        for replicate, top in by_replicate.items():
            recipe = study.recipe.model_copy(update={"levels": top})
            yield Ladder(cell, recipe, treatment, replicate, study.seed, teaches=teaches, own=own)


def _axes(ladders: Sequence[Ladder]) -> tuple[Axes, ...]:
    """Return the axes of a study of these ladders: one entry for each depth, examples, levels and replicates."""
    widths: dict[tuple[int, int, int, int], list[float]] = {}
    for ladder in ladders:
        key = (ladder.cell.depth, ladder.cell.examples, ladder.recipe.levels, ladder.replicate + 1)
        widths.setdefault(key, []).append(ladder.cell.width)
    cell, own = ladders[0].cell, ladders[0].own
    return tuple(
        Axes(
            dataset=(own.name if own else cell.dataset,),
            family=(cell.family,),
            depth=(depth,),
            width=tuple(dict.fromkeys(values)),
            examples=(examples,),
            label_noise=(cell.label_noise,),
            levels=levels,
            replicates=replicates,
        )
        for (depth, examples, levels, replicates), values in widths.items()
    )
