"""Cells that differ in one dimension alone: what a figure can draw side by side, as the papers' figures do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prunescope.laws.data import GroupData

# Curves that one panel can hold and a reader still tell apart.
MOST = 7
DIMENSIONS = ("width", "depth", "examples")


@dataclass(frozen=True)
class Slice:
    """Cells of a family that differ in one dimension.

    Attributes
    ----------
    varied
        ``width``, ``depth`` or ``examples``; empty for one cell alone.
    title
        What varies and what does not, in words.
    cells
        The cells, by the value that varies, growing.
    labels
        That value of each, in words.
    """

    varied: str
    title: str
    cells: tuple[int, ...]
    labels: tuple[str, ...]


def slices(cells: GroupData, dimensions: Sequence[str]) -> tuple[Slice, ...]:
    """Return a slice for each dimension that varies: the one with most cells, with most examples among equals."""
    first = np.unique(cells.cell, return_index=True)[1]
    values = {name: getattr(cells, name)[first] for name in DIMENSIONS}
    found_slices = []
    for varied in DIMENSIONS:
        if np.ptp(values[varied]) == 0:
            continue
        others = [name for name in DIMENSIONS if name != varied]
        keys = list(zip(*(values[name].tolist() for name in others), strict=True))
        best = max(set(keys), key=lambda key: (keys.count(key), key[-1] if varied != "examples" else 0, key))
        picked = np.array([cell for cell, key in enumerate(keys) if key == best])
        picked = picked[np.argsort(values[varied][picked], kind="stable")]
        if len(picked) < 2:
            continue
        picked = picked[_spread(len(picked))]
        fixed = [
            f"{name} {_worded(name, value)}" for name, value in zip(others, best, strict=True) if name in dimensions
        ]
        title = f"{varied} {'vary' if varied == 'examples' else 'varies'}" + (f" ({', '.join(fixed)})" if fixed else "")
        labels = tuple(_worded(varied, float(value)) for value in values[varied][picked])
        found_slices.append(Slice(varied, title, tuple(picked.tolist()), labels))
    if found_slices:
        return tuple(found_slices)
    return (
        Slice(
            "",
            "",
            tuple(range(cells.cells))[:MOST],
            tuple(cell_words(cells, dimensions, cell) for cell in range(cells.cells))[:MOST],
        ),
    )


def slice_grid(cells: GroupData, dimensions: Sequence[str], varied: str) -> tuple[Slice, ...]:
    """Return every slice along one dimension on the most examples, each called by what is fixed in it."""
    first = np.unique(cells.cell, return_index=True)[1]
    values = {name: getattr(cells, name)[first] for name in DIMENSIONS}
    most = values["examples"] == values["examples"].max()
    (across,) = (name for name in ("width", "depth") if name != varied)
    grid = []
    for fixed in np.unique(values[across][most]).tolist():
        places = np.flatnonzero(most & (values[across] == fixed))
        picked = places[np.argsort(values[varied][places], kind="stable")]
        if len(np.unique(values[varied][picked])) >= 2:
            picked = picked[_spread(len(picked))]
            labels = tuple(_worded(varied, float(value)) for value in values[varied][picked])
            title = f"{across} {_worded(across, fixed)}" if across in dimensions else f"{varied} varies"
            grid.append(Slice(varied, title, tuple(picked.tolist()), labels))
    return tuple(grid)


def _worded(name: str, value: float) -> str:
    """Write a depth, a width or a number of examples."""
    return f"{value:g}" if name == "width" else f"{value:,.0f}"


def cell_words(cells: GroupData, dimensions: Sequence[str], cell: int) -> str:
    """Name a cell by what its table knows of it: ``depth 20, width 0.5, examples 50,000``."""
    row = int(cells.points_of[cell][0])
    words = [
        f"{name} {_worded(name, float(getattr(cells, name)[row]))}"
        for name in ("depth", "width", "examples")
        if name in dimensions
    ]
    return ", ".join(words) or "the network"


def _spread(count: int) -> list[int]:
    """Return up to `MOST` places among so many, the first and the last among them."""
    return sorted({round(float(place)) for place in np.linspace(0, count - 1, min(count, MOST))})
