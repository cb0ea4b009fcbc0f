"""How many weights members have: from the table, from the family's design, or relative to ``depth width^2``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import named
from prunescope.nets.families import DESIGNS, network
from prunescope.nets.outline import Outline
from prunescope.study.catalogue import DATASETS, FAMILIES, DatasetFacts
from prunescope.study.sections import Prunable
from prunescope.table import Table
from prunescope.table.coded import Columns, group_codes

Numbers = NDArray[np.float64]
RULES = ("all", "all-but-output")
# What the size of a network counts: all parameters that survive, or the prunable weights among them (as the papers do).
COUNTS = ("parameters", "weights")
OFF = 0.005  # densities in tables are rounded, so counts may be off by this share of the prunable weights


@dataclass(frozen=True)
class Count:
    """The weights of one member.

    Attributes
    ----------
    prunable, rest
        Weights that pruning may remove, and the other parameters.
    multiplications
        For one example through the unpruned network; NaN if unknown.
    how
        ``counted``: by the table or the family's design; ``estimated``: from other members' counts; ``relative``: in
        units of ``depth width^2``.
    left_out
        Parameters that pruning may not remove, where weights alone are counted.
    """

    prunable: float
    rest: float
    multiplications: float
    how: str
    left_out: float = 0.0

    def swapped(self) -> Count:
        """Return the other way of counting: weights alone instead of all parameters, or all instead of weights."""
        return replace(self, rest=self.left_out, left_out=self.rest)

    @property
    def work(self) -> float:
        """Work of a training step, up to a factor: multiplications, or weights where those are unknown."""
        return self.prunable if np.isnan(self.multiplications) else self.multiplications


@dataclass(frozen=True)
class Counts:
    """Counts the weights of members.

    Attributes
    ----------
    family, dataset
        As the table names them; empty if it does not.
    measured
        Prunable and other parameters of members by (depth, width), as the table counted them.
    rule
        What a known family's recipe prunes; empty for others.
    facts
        Classes and shape of the dataset, where it is a user's own.
    """

    family: str = ""
    dataset: str = ""
    measured: Mapping[tuple[float, float], tuple[int, int]] = field(default_factory=dict)
    rule: Prunable = ""
    facts: DatasetFacts | None = None

    @staticmethod
    def of(table: Table) -> Counts:
        """Return the counts of one group's rows."""
        family, dataset = (_only(table, name) for name in ("family", "dataset"))
        measured = {}
        depth, width = (_numbers(table, name) for name in ("depth", "width"))
        if "prunable" in table:
            surviving = table.columns.get("kept", np.round(table["density"] * table["prunable"]))
            rest = table.columns.get("parameters", surviving) - surviving
            # Of rows for one member the last one counts.
            pairs = group_codes(table.columns, [name for name in ("depth", "width") if name in table])
            last = np.full(int(pairs.max()) + 1, -1)
            last[pairs] = np.arange(len(pairs))
            once = last[pairs[np.sort(np.unique(pairs, return_index=True)[1])]]
            rows = zip(*(values[once].tolist() for values in (depth, width, table["prunable"], rest)), strict=True)
            measured = {(depth, width): (int(prunable), int(rest)) for depth, width, prunable, rest in rows}
        elif "parameters" in table or "kept" in table:
            left = _numbers(table, "parameters" if "parameters" in table else "kept")
            for member in set(zip(depth.tolist(), width.tolist(), strict=True)):
                here = (depth == member[0]) & (width == member[1])
                parts = _parts(_numbers(table, "density")[here], left[here])
                if parts is not None:
                    measured[member] = parts
        counts = Counts(family, dataset, measured, facts=table.datasets.get(dataset))
        return replace(counts, rule=counts._rule())

    def count(self, depth: float, width: float) -> Count:
        """Count one member."""
        design = self._outline(depth, width)
        multiplications = float(design.multiplications) if design else float("nan")
        if (depth, width) in self.measured:
            prunable, rest = self.measured[depth, width]
            return Count(prunable, rest, multiplications, "counted")
        if design is not None:
            prunable = sum(tensor.size for tensor in design.prunable(self.rule))
            return Count(prunable, design.total - prunable, multiplications, "counted")
        if self.measured:
            prunable, rest = (law(np.array([depth]), np.array([width]))[0] for law in self._laws)
            return Count(float(round(prunable)), float(round(rest)), multiplications, "estimated")
        return Count(depth * width**2, 0.0, multiplications, "relative")

    @cached_property
    def _laws(self) -> tuple[Any, Any]:
        return self.smooth(0), self.smooth(1)

    def smooth(self, column: int) -> Any:
        """Return a function of depth and width that extrapolates the table's counts: a power law in both."""
        known = list(self.measured)
        counted = np.array([max(1, self.measured[member][column]) for member in known], np.float64)
        return fit_power_law(
            np.array([member[0] for member in known]), np.array([member[1] for member in known]), counted
        )

    def _outline(self, depth: float, width: float) -> Outline | None:
        """Return the design of a member, where family and picture shape are known."""
        facts = self.facts or DATASETS.get(self.dataset)
        if self.family not in DESIGNS or facts is None or depth != round(depth):
            return None
        if not FAMILIES[self.family].allows(int(depth)):
            return None
        return network(self.family, int(depth), float(width), facts.classes, facts.shape).outline

    def _rule(self) -> str:
        """Return which weights the family's recipe prunes: the rule that gives the table's counts, or the papers'."""
        for (depth, width), (prunable, _) in self.measured.items():
            design = self._outline(depth, width)
            if design is not None:
                fitting = [rule for rule in RULES if sum(tensor.size for tensor in design.prunable(rule)) == prunable]
                if fitting:
                    return fitting[0]
        return "all" if self.family in ("cifar-resnet", "imagenet-resnet", "densenet") else "all-but-output"


def _parts(density: Numbers, left: Numbers) -> tuple[int, int] | None:
    """Return prunable and other parameters from those left at several densities, which lie on a line.

    None where they lie on no line (such as where each row repeats the unpruned size), or for a single density.
    """
    if not np.isfinite(left).all() or np.ptp(density) < OFF:
        return None
    prunable, rest = np.polyfit(density, left, 1)
    off = np.abs(rest + prunable * density - left).max()
    if prunable < 1 or rest < -OFF * prunable or off > 1 + OFF * prunable:
        return None
    return round(float(prunable)), max(0, round(float(rest)))


def fit_power_law(depth: Numbers, width: Numbers, values: Numbers) -> Any:
    """Return the function ``c depth^a width^b`` nearest to values, regularised towards a = 1, b = 2."""
    rows = np.stack([np.ones(len(depth)), np.log(depth), np.log(width)], axis=1)
    lean, usual = 1e-3, np.array([0.0, 1.0, 2.0])
    weight = np.diag([0.0, lean, lean])
    coefficients = np.linalg.solve(rows.T @ rows + weight, rows.T @ np.log(values) + weight @ usual)

    def law(depths: Numbers, widths: Numbers) -> Numbers:
        return np.asarray(np.exp(coefficients[0] + coefficients[1] * np.log(depths) + coefficients[2] * np.log(widths)))

    return law


def _numbers(table: Table, name: str) -> Numbers:
    return np.asarray(table[name], np.float64) if name in table else np.ones(len(table))


def _only(table: Table, name: str) -> str:
    """Return the one value of a column of text, or nothing."""
    values: set[Any] = set()
    if name in table:
        column = Columns.of(table.columns).column(name)
        values = set(column.texts.words[np.unique(column.texts.codes)].tolist())
    return str(next(iter(values))) if len(values) == 1 and None not in values else ""


def member_words(depth: int | None, width: float | None) -> str:
    """Name a member: ``depth 20, width 0.5``."""
    parts = {"depth": depth, "width": width}
    return named({name: f"{value:g}" for name, value in parts.items() if value is not None}) or "the network"


def rounded(value: float, how: str) -> float:
    """Round up to whole parameters; leave relative units as they are."""
    return value if how == "relative" else float(math.ceil(value - 1e-6))


def amount(value: float) -> str:
    """Write how many parameters there are."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.4g}"


class Member:
    """Anything about one member: its depth and width, where the table has them."""

    depth: int | None
    width: float | None

    @property
    def name(self) -> str:
        """The member in words."""
        return member_words(self.depth, self.width)
