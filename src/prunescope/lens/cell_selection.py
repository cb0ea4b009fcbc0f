"""Which cells and which treatment to look at; what is not there is refused with what is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from prunescope.errors import Fault, InputError, clipped, listed, nearest
from prunescope.lens.cells import MeasuredNetwork, Measurements

KEYS = tuple(column.name for column in fields(MeasuredNetwork))
Cells = list[list[Measurements]]


@dataclass(frozen=True)
class CellQuery:
    """What is asked of a store or table; `look` says what each setting means."""

    noise: Sequence[float] = ()
    cell: Mapping[str, Any] = field(default_factory=dict)
    treatment: str | None = None
    groups: int = 20
    rung: int | None = None
    density: float | None = None
    examples: int = 10

    def __post_init__(self) -> None:
        faults = []
        if self.groups < 1:
            faults.append(Fault("groups", "must be 1 or more", str(self.groups)))
        if self.examples < 0:
            faults.append(Fault("examples", "must be 0 or more", str(self.examples)))
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

    def chosen(self, source: str, cells: Cells) -> Cells:
        """Return the cells asked for, each of which has pruned networks."""
        faults = [*_unknown_values(self.cell, cells), *_unknown_noise(self.noise, cells)]
        names = list(
            dict.fromkeys(ladder.treatment.name for ladders in cells for ladder in ladders if ladder.treatment.prunes)
        )
        if self.treatment is not None and self.treatment not in names:
            must = f"must be one that prunes: {listed(map(repr, names))}"
            faults.append(Fault("treatment", must, clipped(self.treatment), nearest(self.treatment, names)))
        if faults:
            raise InputError(source, faults)
        chosen = [ladders for ladders in cells if self._asks(ladders[0])]
        if not chosen:
            raise InputError(
                source, [Fault("the cells asked for", "must be one or more", "none has all of it at once")]
            )
        return chosen

    def _asks(self, first: Measurements) -> bool:
        alike = all(_spelled(getattr(first.network, name)) == _spelled(value) for name, value in self.cell.items())
        return alike and (not self.noise or any(math.isclose(first.label_noise, level) for level in self.noise))

    def main(self, cell: Sequence[Measurements]) -> str:
        """Return the name of the main treatment of a cell: the one asked for if it has that, else the most usual."""
        pruned = [ladder.treatment for ladder in cell if ladder.treatment.prunes]
        if any(treatment.name == self.treatment for treatment in pruned):
            return str(self.treatment)
        return min(pruned, key=lambda treatment: (treatment.rank, treatment.name)).name


def sorted_cells(ladders: Sequence[Measurements]) -> Cells:
    """Return ladders by cell, the cells of one network together, by their label noise."""
    cells: dict[tuple[MeasuredNetwork, float], list[Measurements]] = {}
    for ladder in ladders:
        cells.setdefault((ladder.network, ladder.label_noise), []).append(ladder)
    return [cells[key] for key in sorted(cells, key=lambda key: (_order(key[0]), key[1]))]


def _order(network: MeasuredNetwork) -> tuple[tuple[bool, Any], ...]:
    """Return what networks are sorted by; what is missing comes last."""
    values = (getattr(network, name) for name in KEYS)
    return tuple((value is None, 0 if value is None else value) for value in values)


def _unknown_values(wanted: Mapping[str, Any], cells: Cells) -> list[Fault]:
    faults = []
    for name, value in wanted.items():
        there = list(dict.fromkeys(_spelled(getattr(ladders[0].network, name)) for ladders in cells))
        if _spelled(value) not in there:
            must = f"must be one that has pruned networks: {listed(there)}"
            faults.append(Fault(f"cell {name}", must, clipped(_spelled(value)), nearest(_spelled(value), there)))
    return faults


def _unknown_noise(wanted: Sequence[float], cells: Cells) -> list[Fault]:
    levels = sorted({ladders[0].label_noise for ladders in cells})
    must = f"must be a level that has pruned networks: {listed(f'{level:g}' for level in levels)}"
    return [
        Fault("label noise", must, f"{level:g}")
        for level in wanted
        if not any(math.isclose(level, known) for known in levels)
    ]


def _spelled(value: Any) -> str:
    """Write a value as users do, numbers the same however they are spelled."""
    try:
        return f"{float(value):.12g}"
    except (TypeError, ValueError):
        return str(value)
