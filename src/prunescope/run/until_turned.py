"""Trains beyond a study's levels until pruning's validation error has turned: its optimum is not a ladder's end.

All decisions follow from the study and from rows up to the levels reached so far. So a stopped run that is started
again decides the same, and the rungs are those of a study that asks for these levels from the start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from prunescope.errors import Fault, InputError
from prunescope.prune import kept_count
from prunescope.run.run_report import RunReport
from prunescope.study import Cell, Ladder, Study
from prunescope.study.sections import PRUNING, Axes
from prunescope.table import Store
from prunescope.table.coded import optimal_rung

MOST_RUNGS = 40
"""Rungs above the dense one that are trained at most: the first paper's bound (Table 1)."""

Train = Callable[[Study, Sequence[Ladder] | None], RunReport]


@dataclass(frozen=True)
class CellEnd:
    """Where a cell's ladders end.

    Attributes
    ----------
    levels
        Rungs above the dense one.
    optimal
        The optimal rung of each treatment that prunes, by its name in the study.
    turned
        Whether every one of them has turned.
    """

    cell: Cell
    levels: int
    optimal: Mapping[str, int]
    turned: bool


@dataclass(frozen=True)
class TurnedRun:
    """A run until the validation error has turned.

    Attributes
    ----------
    study
        With the levels that were reached, as the store has it.
    report
        Of all the training.
    """

    study: Study
    report: RunReport
    cells: tuple[CellEnd, ...]


def train_until_turned(
    study: Study, store: Path | Store, rungs: int, train: Train, *, most: int = MOST_RUNGS
) -> TurnedRun:
    """Train a study, with more levels where pruning needs them to show its optimum.

    A treatment that prunes has turned when ``rungs`` rungs in a row have no lower validation error than its optimal
    rung, below them: the mean over the replicates that have every rung. All treatments of a cell get the same levels,
    so that they stay comparable rung by rung. Leave-out ladders are trained last, from the full ladder.

    Parameters
    ----------
    store
        Where rows go, and are read from; a folder is made once the study is known to be sound.
    train
        Trains some ladders of a study into the store, or all of it.
    most
        Levels beyond which no cell is taken; the study's own where it asks for more.
    """
    _refuse(study, rungs)
    opened = store if isinstance(store, Store) else Store(store, create=True)
    climbs = {cell: _Climb(cell, levels, most) for cell, levels in study.extent.items()}
    whole, failed = RunReport(), set[str]()
    while rising := [climb for climb in climbs.values() if climb.rising]:
        raised = with_levels(study, {climb.cell: climb.levels for climb in climbs.values()})
        cells = {climb.cell for climb in rising}
        ladders = [ladder for ladder in raised.ladders if ladder.treatment.kind in PRUNING and ladder.cell in cells]
        report = train(_noted(study), [ladder for ladder in ladders if ladder.identity not in failed])
        _add(whole, report)
        failed |= {failure.ladder for failure in report.failures}
        if report.stopped or report.halted or report.unwritable:
            return _result(raised, whole, climbs)
        errors = _validation_errors(opened, ladders)
        for climb in rising:
            climb.decide([ladder for ladder in ladders if ladder.cell == climb.cell], errors, rungs)
        if report.elsewhere:  # what another run is training cannot be judged yet
            return _result(raised, whole, climbs)
    raised = with_levels(study, {climb.cell: climb.levels for climb in climbs.values()})
    whole.failures = []  # ladders that failed are tried again now
    _add(whole, train(raised, None))
    return _result(raised, whole, climbs)


def with_levels(study: Study, levels: Mapping[Cell, int]) -> Study:
    """Return a study in which some cells have more levels: those of their replicates that had most."""
    names = {own.label: own.name for own in study.datasets}
    more = []
    for cell, before in study.extent.items():
        top = max(before)
        if levels.get(cell, 0) > top:
            axes = Axes(
                dataset=(names.get(cell.dataset, cell.dataset),),
                family=(cell.family,),
                depth=(cell.depth,),
                width=(cell.width,),
                examples=(cell.examples,),
                label_noise=(cell.label_noise,),
                levels=levels[cell],
                replicates=before.count(top),
            )
            more.append(axes)
    return replace(study, axes=(*study.axes, *more)) if more else study


@dataclass
class _Climb:
    """How far one cell has come."""

    cell: Cell
    extent: Sequence[int]  # levels of each replicate, as the study has them
    most: int
    levels: int = 0
    rising: bool = True
    turned: bool = False
    optimal: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.levels = max(self.extent)
        self.most = max(self.most, self.levels)

    def decide(self, ladders: Sequence[Ladder], errors: Mapping[str, _Measured], rungs: int) -> None:
        """Raise the levels as far as is needed at least, or end here."""
        top = self.levels
        by_treatment: dict[str, list[_Measured]] = {}
        for ladder in ladders:
            # Replicates of fewer levels are the study's wish; those that failed have no curve to judge.
            if self.extent[ladder.replicate] == max(self.extent) and ladder.identity in errors:
                measured = errors[ladder.identity]
                if all(rung in measured.validation for rung in range(top + 1)):
                    by_treatment.setdefault(ladder.treatment.label, []).append(measured)
        self.optimal = {
            label: optimal_rung({r: float(np.mean([one.validation[r] for one in group])) for r in range(top + 1)})
            for label, group in by_treatment.items()
            if top
        }
        wanted = max((best + rungs for best in self.optimal.values()), default=0 if top else rungs)
        fraction = ladders[0].recipe.pruning_fraction
        prunable = [measured.prunable for group in by_treatment.values() for measured in group]
        last = min((_last_rung(count, fraction) for count in prunable), default=top)
        reached = max(top, min(wanted, self.most, last))
        self.turned = bool(self.optimal) and wanted <= top
        self.rising, self.levels = reached > top, reached


@dataclass(frozen=True)
class _Measured:
    """A ladder's validation error by rung, and its prunable weights."""

    validation: dict[int, float]
    prunable: int


def _validation_errors(store: Store, ladders: Sequence[Ladder]) -> dict[str, _Measured]:
    wanted = {ladder.identity for ladder in ladders}
    rows = store.query("select ladder, rung, validation_error, prunable from rungs")
    columns = (rows[name].tolist() for name in ("ladder", "rung", "validation_error", "prunable"))
    measured: dict[str, _Measured] = {}
    for ladder, rung, error, prunable in zip(*columns, strict=True):
        if ladder in wanted:
            measured.setdefault(ladder, _Measured({}, int(prunable))).validation[int(rung)] = float(error)
    return measured


def _last_rung(prunable: int, fraction: float) -> int:
    """Return the highest rung that keeps a weight."""
    rung = 0
    while kept_count(prunable, fraction, rung + 1) > 0:
        rung += 1
    return rung


def _noted(study: Study) -> Study:
    """Return what the store is told is trained while levels may still rise: nothing that learns from full ladders."""
    lasting = tuple(item for item in study.treatments if item.learns_from is None or item.leave == "random")
    return study if lasting == study.treatments else replace(study, treatments=lasting)


def _refuse(study: Study, rungs: int) -> None:
    """Refuse a study whose validation error cannot turn."""
    faults = []
    if rungs < 1:
        faults.append(Fault("until_turned", "must be 1 or more", str(rungs)))
    if not any(treatment.kind in PRUNING for treatment in study.treatments):
        kinds = ", ".join(treatment.kind for treatment in study.treatments)
        faults.append(Fault("treatments", f"must have one that prunes ({', '.join(PRUNING)})", kinds))
    elif not study.recipe.validation and not all(ladder.facts.validation for ladder in study.ladders):
        must = "must be above 0: the validation error says how far to climb"
        faults.append(Fault("recipe.validation", must, "0", "For example validation = 0.1."))
    if faults:
        raise InputError("the run until validation error has turned", faults)


def _add(whole: RunReport, report: RunReport) -> None:
    """Add the report of one round."""
    for name in ("rungs", "networks", "scored", "seconds"):
        setattr(whole, name, getattr(whole, name) + getattr(report, name))
    whole.failures = [*whole.failures, *report.failures]
    whole.ladders, whole.elsewhere = report.ladders, report.elsewhere
    whole.stopped, whole.halted, whole.unwritable = report.stopped, report.halted, report.unwritable


def _result(study: Study, report: RunReport, climbs: Mapping[Cell, _Climb]) -> TurnedRun:
    ends = (CellEnd(climb.cell, climb.levels, climb.optimal, climb.turned) for climb in climbs.values())
    return TurnedRun(study, report, tuple(ends))
