"""Which cells, and which treatment of them, a question to the lens is about."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import Fault, InputError, clipped, listed, nearest
from prunescope.lens.cells import MeasuredNetwork, Measurements
from prunescope.lens.label_suspicion import SUSPECTS
from prunescope.lens.rung_curves import Curve, nearest_rung
from prunescope.table import Table
from prunescope.table.coded import Columns, having

KEYS = tuple(column.name for column in fields(MeasuredNetwork))
Cells = list[list[Measurements]]


@dataclass(frozen=True)
class CellQuery:
    """The settings of `analyze`."""

    noise: Sequence[float] = ()
    cell: Mapping[str, Any] = field(default_factory=dict)
    treatment: str | None = None
    groups: int = 20
    rung: int | None = None
    density: float | None = None
    examples: int = 10
    suspects: int = SUSPECTS[0]

    def __post_init__(self) -> None:
        faults = []
        if self.groups < 1:
            faults.append(Fault("groups", "must be 1 or more", str(self.groups)))
        if self.examples < 0:
            faults.append(Fault("examples", "must be 0 or more", str(self.examples)))
        if self.suspects < 0:
            faults.append(Fault("suspects", "must be 0 or more", str(self.suspects)))
        if self.rung is not None and self.rung < 1:
            faults.append(Fault("rung", "must be 1 or more: a sparse one", str(self.rung)))
        if self.density is not None and not 0 < self.density < 1:
            faults.append(Fault("density", "must be above 0 and below 1", f"{self.density:g}"))
        if self.rung is not None and self.density is not None:
            faults.append(Fault("rung and density", "must not both be given"))
        faults += [
            Fault(f"cell {clipped(name)}", f"must be one of {', '.join(KEYS)}", hint=nearest(str(name), KEYS))
            for name in self.cell
            if name not in KEYS
        ]
        if faults:
            raise InputError("the question", faults)

    def select(self, source: str, cells: Cells) -> Cells:
        """Return the requested cells."""
        faults = [*_unknown_values(self.cell, cells), *_unknown_noise(self.noise, cells)]
        names = list(
            dict.fromkeys(
                ladder.treatment.name for ladders in cells for ladder in ladders if ladder.treatment.kind != "dense"
            )
        )
        if self.treatment is not None and self.treatment not in names:
            must = f"must be one that was measured: {listed(map(repr, names))}"
            faults.append(Fault("treatment", must, clipped(self.treatment), nearest(self.treatment, names)))
        if faults:
            raise InputError(source, faults)
        chosen = [ladders for ladders in cells if self._matches(ladders[0])]
        if not chosen:
            raise InputError(
                source, [Fault("the cells asked for", "must be one or more", "none has all of it at once")]
            )
        return chosen

    def _matches(self, first: Measurements) -> bool:
        alike = all(_formatted(getattr(first.network, name)) == _formatted(value) for name, value in self.cell.items())
        return alike and (not self.noise or any(math.isclose(first.label_noise, level) for level in self.noise))

    def rows(self, table: Table) -> NDArray[np.bool_]:
        """Return the rows that may belong to the requested cells, as far as their columns say."""
        columns, picked, faults = Columns.of(table.columns), np.ones(len(table), bool), []
        # Rungs of narrow ladders differ in width; ladders of another recipe are named where they are missing.
        narrow = "treatment" in columns and having(columns, "treatment", ("narrow",)).any()
        apart = ("recipe", "width") if narrow else ("recipe",)
        for name in (name for name in self.cell if name in columns and name not in apart):
            values, place = np.unique(columns.column(name).ranks, return_index=True)
            known = dict(zip(values.tolist(), map(_formatted, table[name][place].tolist()), strict=True))
            equal = [value for value, words in known.items() if words == _formatted(self.cell[name])]
            if not equal:
                faults.append(_unknown_value(name, self.cell[name], list(known.values())))
            picked &= np.isin(columns.column(name).ranks, equal)
        if self.noise and "label_noise" in columns:
            picked &= np.isclose(columns["label_noise"][:, None], list(self.noise), rtol=1e-9, atol=0).any(axis=1)
        if faults:
            raise InputError(table.source, faults)
        return picked if picked.any() else np.ones(len(table), bool)

    def main_treatment(self, cell: Sequence[Measurements]) -> str:
        """Return the name of the main treatment of a cell: the requested one if it prunes, else the most usual."""
        pruned = [ladder.treatment for ladder in cell if ladder.treatment.prunes]
        if any(treatment.name == self.treatment for treatment in pruned):
            return str(self.treatment)
        return min(pruned, key=lambda treatment: (treatment.rank, treatment.name)).name

    def refuse_unmeasured(self, source: str, curves: Sequence[Curve]) -> None:
        """Refuse a requested rung that none of the curves has."""
        if self.rung is None:
            return
        measured = sorted({point.rung for curve in curves for point in curve.points if point.rung > 0})
        must = f"must be a sparse one that was measured: {listed(measured, 40) or 'there is none yet'}"
        raise InputError(source, [Fault("rung", must, str(self.rung))])

    def split(self, cell: Sequence[Measurements]) -> tuple[list[Measurements], list[Measurements]]:
        """Return the ladders of a cell's main treatment, and the others, dense ones first."""
        name = self.main_treatment(cell)
        others = [ladder for ladder in cell if ladder.treatment.name != name]
        return (
            [ladder for ladder in cell if ladder.treatment.name == name],
            sorted(others, key=lambda ladder: ladder.treatment.kind != "dense"),
        )


def sorted_cells(ladders: Sequence[Measurements]) -> Cells:
    """Group ladders by cell, sorted by network and label noise."""
    cells: dict[tuple[MeasuredNetwork, float], list[Measurements]] = {}
    for ladder in ladders:
        cells.setdefault((ladder.network, ladder.label_noise), []).append(ladder)
    return [cells[key] for key in sorted(cells, key=lambda key: (_order(key[0]), key[1]))]


def _order(network: MeasuredNetwork) -> tuple[tuple[bool, Any], ...]:
    """Return the sort key of a network; missing values come last."""
    values = (getattr(network, name) for name in KEYS)
    return tuple((value is None, 0 if value is None else value) for value in values)


def _unknown_values(wanted: Mapping[str, Any], cells: Cells) -> list[Fault]:
    faults = []
    for name, value in wanted.items():
        there = list(dict.fromkeys(_formatted(getattr(ladders[0].network, name)) for ladders in cells))
        if _formatted(value) not in there:
            faults.append(_unknown_value(name, value, there))
    return faults


def _unknown_value(name: str, value: Any, there: Sequence[str]) -> Fault:
    must = f"must be one that has pruned networks: {listed(there)}"
    return Fault(f"cell {name}", must, clipped(_formatted(value)), nearest(_formatted(value), there))


def _unknown_noise(wanted: Sequence[float], cells: Cells) -> list[Fault]:
    levels = sorted({ladders[0].label_noise for ladders in cells})
    must = f"must be a level that has pruned networks: {listed(f'{level:g}' for level in levels)}"
    return [
        Fault("label noise", must, f"{level:g}")
        for level in wanted
        if not any(math.isclose(level, known) for known in levels)
    ]


def _formatted(value: Any) -> str:
    """Format a value; equal numbers give equal text."""
    try:
        return f"{float(value):.12g}"
    except (TypeError, ValueError):
        return str(value)


def asked_rung(pruning_curve: Curve, question: CellQuery) -> int | None:
    """Return the requested rung; None where this cell does not have it."""
    sparse = [point.rung for point in pruning_curve.points if point.rung > 0]
    if question.rung is not None and question.rung not in sparse:
        return None
    if question.density is not None and sparse:
        return nearest_rung(pruning_curve, question.density)
    return question.rung
