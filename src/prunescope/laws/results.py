"""What a fit found, frozen and typed, in words where words say more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from prunescope.errors import named, whole_percent
from prunescope.laws.data import GroupData, Numbers
from prunescope.laws.shared_examples import UNKNOWN_EXAMPLES, SharedExamples
from prunescope.markup import table_html

Interval = tuple[float, float]
Intervals = Mapping[str, Interval | None]


@dataclass(frozen=True)
class Region:
    """How far the law is off over one of the `forms.REGIONS`: mean and standard deviation, None without points."""

    name: str
    points: int
    mean: float | None
    std: float | None


@dataclass(frozen=True)
class Convergence:
    """Whether the best end is a minimum, and how many of the starts ended at its sum of squares."""

    converged: bool
    starts: int
    agreed: int

    def __str__(self) -> str:
        if not self.converged:
            return f"not converged; {self.agreed} of {self.starts} starts ended at the best point"
        return f"{self.agreed} of {self.starts} starts reached the same minimum"


@dataclass(frozen=True)
class Fit:
    """A fitted law of one group.

    Attributes
    ----------
    group
        Values of the grouping columns.
    law
        ``single``, ``joint``, ``tilted``, ``tilted-joint``, ``adapted``, ``adapted-joint`` or ``dense``.
    parameters
        The least-squares values, those that were fixed included.
    fixed
        Names of parameters that were given and not fitted.
    intervals
        Of the free parameters; None where the data do not tell the parameter.
    quick_intervals
        The linear ones, from the curvature at the optimum; None where that has no inverse.
    level
        Probability that an interval is meant to hold the truth.
    intervals_by
        How the intervals were found, in words.
    bias
        How far noise, above all in the unpruned errors, probably pulls each parameter; the intervals allow for it.
    mean_deviation, std_deviation
        mu and sigma of the relative deviation ``(e_hat - e) / e`` over the points, as fractions.
    regions
        The same, region by region.
    points, cells, ladders
        What was fitted to.
    seed_noise
        Relative standard deviation between replicates; None without any.
    unpruned_gap
        How far the law lies above the unpruned error at density 1, in the mean over cells, as a fraction.
    warnings
        What the data cannot tell, each with what to do about it.
    draws
        Coordinates that fit about as well as the best, for predictions ``[draws, coordinates]``.
    shifts
        How far the low plateau lies above the unpruned error with each draw, in logarithms.
    spread
        Standard deviation of ``log(e / e_hat)`` of single networks, over plateau, power law and saturation.
    persistence
        Correlation of replicates' deviations between neighbouring rungs; 0 where nothing tells it.
    shared_examples
        The test examples that all networks share, and how their errors would move together on others.
    plateau_noise
        Relative standard deviation of the measured unpruned errors; 0 where they were given.
    most
        The highest that the high plateau may be, by its interval or else by guessing.
    measured
        The lowest and the highest density, depth and width (dense laws: size and examples) fitted to.
    """

    group: Mapping[str, Any]
    law: str
    parameters: Mapping[str, float]
    fixed: tuple[str, ...]
    intervals: Intervals
    quick_intervals: Intervals
    level: float
    intervals_by: str
    bias: Mapping[str, float]
    mean_deviation: float
    std_deviation: float
    regions: tuple[Region, ...]
    points: int
    cells: int
    ladders: int
    seed_noise: float | None
    unpruned_gap: float | None
    convergence: Convergence
    warnings: tuple[str, ...]
    draws: Numbers = field(repr=False, compare=False)
    shifts: Numbers = field(repr=False, compare=False)
    spread: tuple[float, float, float] = field(repr=False)
    persistence: float = 0.0
    shared_examples: SharedExamples = UNKNOWN_EXAMPLES
    plateau_noise: float = 0.0
    most: float = float("inf")
    measured: Mapping[str, tuple[float, float]] = field(default_factory=dict, repr=False)

    @property
    def converged(self) -> bool:
        """Whether the best end is a minimum."""
        return self.convergence.converged

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON: the documented contract first, then everything else."""
        return {
            "group": dict(self.group),
            "law": self.law,
            "parameters": dict(self.parameters),
            "intervals": _plain(self.intervals),
            "mean_deviation": self.mean_deviation,
            "std_deviation": self.std_deviation,
            "points": self.points,
            "converged": self.converged,
            "warnings": list(self.warnings),
            "level": self.level,
            "intervals_by": self.intervals_by,
            "quick_intervals": _plain(self.quick_intervals),
            "bias": dict(self.bias),
            "fixed": list(self.fixed),
            "cells": self.cells,
            "ladders": self.ladders,
            "seed_noise": self.seed_noise,
            "unpruned_gap": self.unpruned_gap,
            "starts": self.convergence.starts,
            "agreed": self.convergence.agreed,
            "regions": [vars(region) for region in self.regions],
            "persistence": self.persistence,
            "test_examples": self.shared_examples.examples,
            "test_examples_by": self.shared_examples.by,
        }

    def saved(self) -> dict[str, Any]:
        """Return everything, unrounded, so that `restored` gives the same fit back."""
        exact = {"draws": self.draws.tolist(), "shifts": self.shifts.tolist(), "spread": list(self.spread)}
        ranges = {name: list(ends) for name, ends in self.measured.items()}
        most = {} if self.most == float("inf") else {"most": self.most}
        shares = {"test_errors": list(self.shared_examples.errors), "test_shares": list(self.shared_examples.shares)}
        return {**self.to_dict(), **exact, **shares, "plateau_noise": self.plateau_noise, **most, "measured": ranges}

    @staticmethod
    def restored(content: Mapping[str, Any]) -> Fit:
        """Return the fit that `saved` wrote."""
        rest = dict(content)
        rest.pop("test_examples_by", None)
        tested = (
            rest.pop("test_examples", None),
            *(tuple(rest.pop(name, ())) for name in ("test_errors", "test_shares")),
        )
        convergence = Convergence(rest.pop("converged"), rest.pop("starts"), rest.pop("agreed"))
        return Fit(
            **rest
            | {
                "fixed": tuple(rest["fixed"]),
                **{
                    kind: {name: ends if ends is None else (ends[0], ends[1]) for name, ends in rest[kind].items()}
                    for kind in ("intervals", "quick_intervals")
                },
                "regions": tuple(Region(**region) for region in rest["regions"]),
                "warnings": tuple(rest["warnings"]),
                "draws": np.array(rest["draws"], np.float64).reshape(-1, len(rest["parameters"])),
                "shifts": np.array(rest["shifts"], np.float64),
                "spread": tuple(rest["spread"]),
                "measured": {name: (ends[0], ends[1]) for name, ends in rest.get("measured", {}).items()},
            },
            convergence=convergence,
            shared_examples=SharedExamples(*tested),
        )

    def __str__(self) -> str:
        lines = [f"{name} = {number(value)}{self._interval(name)}" for name, value in self.parameters.items()]
        return "\n".join([self._head, *(f"  {line}" for line in [*lines, self._summary, *self.warnings])])

    def _repr_html_(self) -> str:
        """Show the parameters in a notebook, and what the data cannot tell."""
        rows = ((name, number(value), self._interval(name).strip()) for name, value in self.parameters.items())
        columns = ("parameter", "value", f"{whole_percent(self.level)} interval")
        return table_html(columns, rows, self._head, (self._summary, *self.warnings))

    @property
    def _head(self) -> str:
        return f"{self.law} law{f' of {named(self.group)}' if self.group else ''}"

    @property
    def _summary(self) -> str:
        sizes = f"{self.points} points, {self.ladders} ladders"
        return f"mu {percent(self.mean_deviation)}, sigma {percent(self.std_deviation)}; {sizes}; {self.convergence}"

    def _interval(self, name: str) -> str:
        if name in self.fixed:
            return " (given)"
        if name not in self.intervals:
            return ""
        interval = self.intervals[name]
        return (
            " (not identified by the data)" if interval is None else f"  [{number(interval[0])}, {number(interval[1])}]"
        )


@dataclass(frozen=True)
class RefusedFit:
    """A group that cannot be fitted, and why, in a sentence that says what to do."""

    group: Mapping[str, Any]
    why: str
    trivial: bool = False


def number(value: float) -> str:
    """Write a number with four digits."""
    return f"{value:.4g}"


def percent(value: float) -> str:
    """Write a fraction in percent."""
    return f"{100 * value:.2f} %" if abs(value) < 0.0995 else f"{100 * value:.1f} %"


def json_text(content: object) -> str:
    """Write plain content as JSON, numbers unrounded."""
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)


def _plain(intervals: Intervals) -> dict[str, list[float] | None]:
    return {name: None if interval is None else list(interval) for name, interval in intervals.items()}


def is_unjudged(fit: Fit, cells: GroupData) -> bool:
    """Whether a law has as many parameters as there are pruned points, and is near them in any case."""
    return int((cells.density < 1).sum()) <= len(fit.intervals)


# What a group's columns are called: of sparse networks, N and D stand in the first two.
MEMBER_WORDS = {"depth": "depth", "width": "width", "examples": "examples"}
SIZE_WORDS = {"depth": "N", "width": "D"}


def name_place(group: GroupData, point: int, words: Mapping[str, str]) -> str:
    """Name the member of a point by what varies."""
    names = [name for name in words if np.ptp(getattr(group, name)) > 0]
    return ", ".join(f"{words[name]} {getattr(group, name)[point]:,g}" for name in names)
