"""The cost of rungs: in seconds where the table has them, else in multiplications."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prunescope.choose.counts import Count
from prunescope.choose.smallest import Numbers
from prunescope.errors import Fault, InputError, clipped
from prunescope.study.sections import Recipe
from prunescope.table import Table

TIME = re.compile(r"([0-9.]+)\s*(s|m|min|h|d)")
# Overhead of a training step in seconds, and multiplications per second on one core, near what `make bench` shows. Only
# their ratio matters, for ladders that are trained together.
STEP, RATE = 250e-6, 8e9
SECONDS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Costs:
    """Cost of each cell's rung 0 and of each further rung, ``[cells, 2]``.

    Attributes
    ----------
    unit
        ``seconds``, or ``work``: multiplications (or weights) of a forward pass, times examples, times epochs.
    """

    cost: Numbers
    unit: str

    @property
    def timed(self) -> bool:
        """Whether costs are seconds."""
        return self.unit == "seconds"


def costs(examples: Numbers, counts: Sequence[Count], recipe: Recipe | None, rows: Table | None) -> Costs:
    """Return the cost of the rungs of cells.

    Parameters
    ----------
    recipe
        Gives the epochs; without it all rungs count as equally long.
    rows
        Measured rungs, with seconds where they have them.
    """
    work = np.array([count.work for count in counts])
    epochs = np.array([1.0, 1.0])
    if recipe is not None:
        epochs = np.array([recipe.epochs, recipe.epochs - recipe.rewind_epoch], np.float64)
    seen = np.outer(examples, epochs)
    rates = None if rows is None or recipe is None else _rates(rows)
    if rates is None:
        return Costs(work[:, None] * seen, "work")
    by_weight, by_example = rates
    weights = np.array([count.prunable for count in counts])
    return Costs((by_weight * weights[:, None] + by_example) * seen, "seconds")


def sharing(counts: Sequence[Count], batch: int | None) -> Numbers:
    """Return the cost of each further member of a cohort, as a share of the cost of one alone.

    Parameters
    ----------
    batch
        Examples in a step; None if unknown: then nothing is shared.
    """
    if batch is None:
        return np.ones(len(counts))
    work = np.array([count.work for count in counts])
    computing = 3 * work * batch / RATE
    return np.asarray(computing / (computing + STEP))


def _rates(rows: Table) -> tuple[float, float] | None:
    """Return the measured seconds per weight and example, and per example; None without measurements."""
    if not all(name in rows for name in ("seconds", "epochs", "prunable", "examples")):
        return None
    seconds, seen = rows["seconds"], rows["epochs"] * rows["examples"].astype(np.float64)
    timed = np.isfinite(seconds) & (seconds > 0) & (seen > 0)
    if not timed.any():
        return None
    # Relative deviations count, so that large networks do not outweigh small ones.
    both = np.stack([rows["prunable"][timed] * seen[timed], seen[timed]], axis=1) / seconds[timed][:, None]
    one = np.ones(int(timed.sum()))
    rates = np.linalg.lstsq(both, one, rcond=None)[0]
    if (rates < 0).any() or len(np.unique(rows["prunable"][timed])) < 2:
        column = int(rates[0] < 0)
        rates = np.zeros(2)
        rates[column] = float(both[:, column] @ one / (both[:, column] @ both[:, column]))
    return float(rates[0]), float(rates[1])


def budget_of(words: str | float | None, costs_known: Costs, whole: float) -> float:
    """Read a budget: a time (``90s``, ``10m``, ``2h``), a share of the whole study (``20%``), or a plain cost.

    Parameters
    ----------
    whole
        The cost of everything that may be trained.
    """
    if words is None:
        return float("inf")
    if isinstance(words, int | float):
        return float(words)
    text = words.strip().lower()
    if text.endswith("%"):
        share = _number(text[:-1])
        if share is not None and share > 0:
            return whole * share / 100
    timed = TIME.fullmatch(text)
    if timed and _number(timed[1]) is not None:
        if not costs_known.timed:
            hint = "Give a share of the whole study instead, such as 20%."
            must = "must be a share while the table holds no seconds to tell times from"
            raise InputError("--budget", [Fault("the budget", must, clipped(words), hint)])
        return float(timed[1]) * SECONDS[timed[2]]
    raise InputError("--budget", [Fault("the budget", "must be a time or a share, such as 10m or 20%", clipped(words))])


def _number(words: str) -> float | None:
    try:
        return float(words)
    except ValueError:
        return None


def plain_cost(value: float, unit: str, whole: float) -> Any:
    """Format a cost: a time, or a share of the whole study."""
    if unit != "seconds":
        return f"{100 * (value / whole):.2f} % of the whole"
    for size, name in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if value >= size:
            return f"{value / size:.3g} {name}"
    return f"{value:.3g} s"
