"""What to train next, so that the smallest network under a bound is known for the least training."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from prunescope.choose.belief import Rows, believed
from prunescope.choose.costs import Costs, budget_of, costs, sharing
from prunescope.choose.counts import Count, Counts
from prunescope.choose.describe import rung_step
from prunescope.choose.design import ENOUGH, MOST_LOOKS, Ladders, Planned, designed, looked_for
from prunescope.choose.limits import bound_faults
from prunescope.choose.results import Member, member_words
from prunescope.choose.smallest import NOTHING, Sizes
from prunescope.choose.unpruned import Place
from prunescope.choose.worth import Choice, Question, new_networks
from prunescope.errors import Fault, InputError, apart, listed, named
from prunescope.laws.measured import Measured
from prunescope.laws.points import sample
from prunescope.spec import Ladder, Study
from prunescope.spec.names import DATASETS
from prunescope.spec.parts import PRUNING, Axes, Recipe, Treatment
from prunescope.table import Table
from prunescope.table.engine import condition

# Where no study says otherwise: a fifth goes at each rung, down to less than half a percent.
USUAL_FRACTION, USUAL_LEVELS, USUAL_REPLICATES = 0.2, 25, 3
# How the name of a study ends that is part of another.
PART = " next"


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
class Pick:
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
class Plan:
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
    pick: Pick | None
    sure: Pick | None
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
        kept = ("max_error", "confidence", "seen", "off", "enough", "decided", "cost", "whole", "unit")
        found = {name: getattr(self, name) for name in kept}
        found |= {name: asdict(each) if (each := getattr(self, name)) else None for name in ("pick", "sure")}
        found["proposals"] = [asdict(each) for each in self.proposals]
        return found | {"study": self.study.to_mapping() if self.study else None}


@dataclass(frozen=True)
class _Scene:
    """The cells of a family, what is measured of them, and what each would cost."""

    place: Place
    counts: tuple[Count, ...]
    rows: Rows
    tops: Mapping[int, tuple[int, ...]]
    costs: Costs
    classes: int | None
    step: float
    levels: tuple[tuple[int, ...], ...]
    has_depth: bool = True
    has_width: bool = True
    has_examples: bool = True

    def name(self, cell: int) -> str:
        """Name a cell by depth and width."""
        depth = round(float(self.place.depth[cell])) if self.has_depth else None
        return member_words(depth, float(self.place.width[cell]) if self.has_width else None)


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
    most: int = MOST_LOOKS,
    classes: int | None = None,
    by: Sequence[str] | None = None,
    seed: int = 0,
    told: Callable[[int, float], None] | None = None,
) -> Plan:
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
    told
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
    scene = _scene(table, study, depths, widths, classes, by)
    members = _members(scene.place, examples)
    ladders = Ladders(
        scene.step, scene.levels, scene.costs.cost, sharing(scene.counts, recipe.batch if recipe else None), scene.tops
    )
    cells = range(len(scene.place.depth))
    whole = sum(
        ladders.price(cell, -1, max(own), len(own)) for cell, own in zip(cells, scene.levels, strict=True) if own
    )
    guessing = None if scene.classes is None else 1 - 1 / scene.classes
    belief = believed(scene.place, scene.rows, guessing)
    question = _question(scene, members, max_error)
    choice = Choice.by(question, belief)
    loss, planned = designed(
        belief,
        question,
        ladders,
        budget_of(budget, scene.costs, whole),
        enough=float(np.log1p(enough)),
        most=most,
        seed=seed,
        told=told,
    )
    wanted, made = _as_study(study, scene, planned, max_error)
    networks, sought = new_networks(question, belief, seed), looked_for(question, belief)

    def pick(each: Choice) -> Pick | None:
        if each.member < 0:
            return None
        return Pick(scene.name(int(members[each.member])), float(np.exp(each.log_density)), each.keeps(networks))

    return Plan(
        max_error=max_error,
        pick=pick(choice),
        sure=pick(Choice.sure(question, networks, confidence)),
        confidence=confidence,
        seen=ladders.reach(int(members[sought.member]), sought.log_density),
        off=float(np.expm1(loss)),
        enough=enough,
        proposals=tuple(_proposals(scene, planned)),
        cost=sum(each.look.cost for each in planned),
        whole=whole,
        unit=scene.costs.unit,
        study=made,
        ladders=wanted,
    )


def at_noise(study: Study, table: Table | None = None, label_noise: float | None = None) -> Study:
    """Return the part of a study that has one level of label noise: the one named, or the only one that a table has."""
    levels = sorted({cell.label_noise for cell in study.cells})
    if label_noise is None and table is not None and "label_noise" in table:
        present = sorted(set(levels) & set(table["label_noise"].tolist()))
        label_noise = present[0] if len(present) == 1 else None
    if len(levels) == 1 and label_noise in (None, levels[0]):
        return study
    shown = listed([f"{level:g}" for level in levels])
    if label_noise is None:
        hint = f"Name it: --noise {levels[0]:g}."
        raise InputError(
            f"study {study.name}", [Fault("label noise", "must be one level to choose within", shown, hint)]
        )
    if label_noise not in levels:
        fault = Fault("label noise", "must be a level of the study", f"{label_noise:g}", f"There are {shown}.")
        raise InputError(f"study {study.name}", [fault])
    axes = [each for each in study.axes if label_noise in each.label_noise]
    only = tuple(each.model_copy(update={"label_noise": (label_noise,)}) for each in axes)
    return dataclasses.replace(study, axes=only)


def _question(scene: _Scene, members: np.ndarray, max_error: float) -> Question:
    counts = [scene.counts[member] for member in members.tolist()]
    prunable, rest = (np.array([getattr(each, name) for each in counts]) for name in ("prunable", "rest"))
    sizes = Sizes(scene.place.depth[members], scene.place.width[members], prunable, rest)
    relative = any(each.how == "relative" for each in counts)
    lowest = np.full(len(counts), NOTHING) if relative else -np.log(np.maximum(prunable, 1.0))
    return Question(max_error, sizes, members, lowest)


def _members(place: Place, examples: int | None) -> np.ndarray:
    """Return the cells that are looked for: those on the most examples, or on as many as are named."""
    wanted = place.examples.max() if examples is None else float(examples)
    found = np.flatnonzero(place.examples == wanted)
    if not len(found):
        known = listed(sorted({round(each) for each in place.examples.tolist()}))
        raise InputError(
            "--examples", [Fault("examples", "must be those of some cells", f"{wanted:g}", f"There are {known}.")]
        )
    return found


def _scene(
    table: Table | None,
    study: Study | None,
    depths: Sequence[int] | None,
    widths: Sequence[float] | None,
    classes: int | None,
    by: Sequence[str] | None,
) -> _Scene:
    group, own = _group(table, study, by) if table is not None and len(table) else (None, None)
    if group is None and study is None:
        raise InputError("the table", [Fault("the rows", "must be one or more", "none", "Or name a --study to begin.")])
    cells: dict[tuple[float, float, float], None] = {}
    if study is not None:
        for each in _cells_of(study):
            cells[float(each.depth), each.width, float(each.examples)] = None
    if group is not None:
        for key in zip(group.depth.tolist(), group.width.tolist(), group.examples.tolist(), strict=True):
            cells.setdefault(key)
    if depths or widths:
        most = max(key[2] for key in cells)
        for deep in depths or sorted({round(key[0]) for key in cells}):
            for wide in widths or sorted({key[1] for key in cells}):
                cells.setdefault((float(deep), float(wide), most))
    depth, width, examples = np.array(list(cells), np.float64).T
    place = Place(depth, width, examples)
    counting = _counting(own, study)
    counts = tuple(counting.count(*key[:2]) for key in cells)
    recipe = study.recipe if study else None
    step = _step(recipe, group)
    rows, tops = _measured(group, list(cells), step, exact=study is not None)
    levels = tuple(_levels(study, key, tops.get(place, ())) for place, key in enumerate(cells))
    dataset = counting.dataset
    known = classes or (DATASETS[dataset].classes if dataset in DATASETS else None)
    has = [study is not None or (own is not None and name in own) for name in ("depth", "width", "examples")]
    return _Scene(place, counts, rows, tops, costs(place.examples, counts, recipe, own), known, step, levels, *has)


def _step(recipe: Recipe | None, group: Measured | None) -> float:
    """Return the logarithm of what a rung keeps of the one below: as the recipe says, or as the table shows."""
    if recipe is not None:
        return float(np.log(1 - recipe.pruning_fraction))
    found = rung_step(group) if group is not None and len(group) else None
    return float(np.log(1 - USUAL_FRACTION)) if found is None else found


def _levels(study: Study | None, key: tuple[float, float, float], tops: tuple[int, ...]) -> tuple[int, ...]:
    """Return how high each ladder of a cell may climb, from high to low."""
    if study is None:
        most = max(USUAL_REPLICATES, len(tops))
        return (max(USUAL_LEVELS, *tops, 0),) * most
    for cell, asked in study.extent.items():
        if (float(cell.depth), cell.width, float(cell.examples)) == key:
            return tuple(sorted(asked, reverse=True))
    return (study.recipe.levels,) * study.replicates


def _cells_of(study: Study) -> Any:
    """Return the cells of a study, which must be one family."""
    if not any(each.kind in PRUNING for each in study.treatments):
        must = f"must hold one that prunes: {listed(PRUNING)}"
        raise InputError(f"study {study.name}", [Fault("treatments", must)])
    for name in ("family", "dataset"):
        values = list(dict.fromkeys(getattr(cell, name) for cell in study.cells))
        if len(values) > 1:
            must = f"must have one {name} to choose within"
            raise InputError(f"study {study.name}", [Fault("axes", must, listed(values))])
    return study.cells


def _group(table: Table, study: Study | None, by: Sequence[str] | None) -> tuple[Measured | None, Table]:
    """Return the measurements of the one family that is asked about."""
    rows = table
    if study is not None:
        treatment = _treatment(study)
        known = {ladder.identity for ladder in study.ladders if ladder.treatment == treatment}
        if "ladder" in rows:
            rows = rows.take(np.array([each in known for each in rows["ladder"].tolist()], bool))
    groups = sample(rows, joint=True, by=by, keep_replicates=True).groups if len(rows) else ()
    # Networks beside which nothing was pruned tell nothing, and are no family to choose between.
    groups = tuple(each for each in groups if (each.density < 1).any()) or groups
    if len(groups) > 1:
        shown = f"{len(groups)}: {listed([named(group.key) for group in groups], 3)}"
        one = shlex.quote(condition(apart(groups[0].key)))
        hint = f"Name one, as in --where {one}, or put them together with --by."
        raise InputError(table.source, [Fault("the table", "must hold one family", shown, hint)])
    return (groups[0] if groups else None), rows


def _treatment(study: Study) -> Treatment:
    """Return the treatment that is decided about: the study's first that prunes."""
    return next(each for each in study.treatments if each.kind in PRUNING)


def _measured(
    group: Measured | None, cells: Sequence[tuple[float, float, float]], step: float, exact: bool
) -> tuple[Rows, dict[int, tuple[int, ...]]]:
    """Return measured rows cell by cell, and the highest rung of each ladder.

    The replicates of a study go by their numbers (`exact`); in anybody's file they are names, and only counted.
    """
    if group is None or not len(group):
        return Rows(np.zeros(0, np.int64), np.zeros(0), np.zeros(0)), {}
    number = {key: place for place, key in enumerate(cells)}
    keys = zip(group.depth.tolist(), group.width.tolist(), group.examples.tolist(), strict=True)
    at = np.array([number[key] for key in keys], np.int64)[group.row_point]
    log_density = np.log(group.density)[group.row_point]
    rung = np.round(log_density / step).astype(np.int64)
    tops: dict[int, tuple[int, ...]] = {}
    for cell in np.unique(at).tolist():
        here = at == cell
        replicates = group.row_replicate[here]
        if not exact:
            replicates = np.unique(replicates, return_inverse=True)[1].reshape(-1)
        highest = [-1] * (int(replicates.max()) + 1)
        for replicate, top in zip(replicates.tolist(), rung[here].tolist(), strict=True):
            highest[replicate] = max(highest[replicate], top)
        tops[cell] = tuple(highest) if exact else tuple(sorted(highest, reverse=True))
    return Rows(at, log_density, np.log(group.row_error)), tops


def _counting(rows: Table | None, study: Study | None) -> Counts:
    if rows is not None and len(rows):
        return Counts.of(rows)
    if study is None:
        return Counts()
    cell = study.cells[0]
    return Counts(cell.family, cell.dataset, {}, study.recipe.prunable)


def _proposals(scene: _Scene, planned: Sequence[Planned]) -> list[Proposal]:
    """Put looks at the same ladders that follow each other together."""
    made: dict[tuple[int, int, int], Proposal] = {}
    for each in planned:
        look = each.look
        before = made.pop((look.cell, look.replicate, look.count), None)
        made[look.cell, look.replicate, look.count] = Proposal(
            depth=round(float(scene.place.depth[look.cell])) if scene.has_depth else None,
            width=float(scene.place.width[look.cell]) if scene.has_width else None,
            examples=round(float(scene.place.examples[look.cell])) if scene.has_examples else None,
            replicate=look.replicate,
            count=look.count,
            after=before.after if before else look.after,
            top=look.top,
            density=float(np.exp(scene.step * look.top)),
            cost=look.cost + (before.cost if before else 0.0),
            off=float(np.expm1(each.loss)),
        )
    return list(made.values())


def _as_study(
    study: Study | None, scene: _Scene, planned: Sequence[Planned], max_error: float
) -> tuple[tuple[Ladder, ...], Study | None]:
    """Return the ladders that were planned, and a study that trains them; nothing without a study to go by."""
    if study is None or not planned:
        return (), None
    treatment = _treatment(study)
    model = study.cells[0]
    tops: dict[int, dict[int, int]] = {}
    for each in planned:
        own = tops.setdefault(each.look.cell, {})
        own |= dict.fromkeys(range(each.look.replicate, each.look.replicate + each.look.count), each.look.top)
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
    made = dataclasses.replace(
        study,
        name=f"{study.name[:90]}{PART}",
        axes=axes,
        treatments=(treatment,),
        purpose=f"What settles soonest which network is the smallest with an error of at most {max_error:g}.",
        expected="",
        cost="",
    )
    return tuple(ladders), made
