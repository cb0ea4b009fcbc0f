"""What a choice is: frozen and typed, plain values on request."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from prunescope.errors import PrunescopeError, named
from prunescope.notebook import table_html


def member_words(depth: int | None, width: float | None) -> str:
    """Name a member: ``depth 20, width 0.5``."""
    parts = {"depth": depth, "width": width}
    return named({name: f"{value:g}" for name, value in parts.items() if value is not None}) or "the network"


def rounded(value: float, how: str) -> float:
    """Return whole parameters; units of depth and width as they are."""
    return value if how == "relative" else float(math.ceil(value - 1e-6))


def amount(value: float) -> str:
    """Write how many parameters there are."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.4g}"


class Member:
    """What stands for a member of a family: its depth and width, where the table has them."""

    depth: int | None
    width: float | None

    @property
    def name(self) -> str:
        """The member in words."""
        return member_words(self.depth, self.width)


@dataclass(frozen=True)
class Pick(Member):
    """A member pruned to a density.

    Attributes
    ----------
    depth, width, examples
        Which member; None where the table does not have the column.
    known
        ``pruned``: measured under pruning; ``dense``: its unpruned error alone was measured; ``predicted``: neither.
    counted
        ``counted``: parameters are exact; ``estimated`` from other members; ``relative``: units of
        ``depth width^2``.
    density, density_low, density_high
        The lowest density at which the law keeps the bound, and where that lies by what the data leave open.
    rung, rung_density
        The same as steps of a ladder: the sparsest rung that keeps the bound; None where steps are not even.
    error, low, high
        Expected of a newly trained network at `density`, and where it will lie.
    probability
        That a newly trained network at `density` keeps the bound.
    parameters, parameters_low, parameters_high
        All that survive at `density`, and at its interval's ends.
    unpruned_parameters, unpruned_error
        Of the member before pruning.
    multiplications
        Of one example's way through the unpruned network; None where that is not known.
    limit
        What else than the bound decides the density, in words; empty where nothing does.
    """

    depth: int | None
    width: float | None
    examples: int | None
    known: str
    counted: str
    density: float
    density_low: float
    density_high: float
    rung: int | None
    rung_density: float | None
    error: float
    low: float
    high: float
    probability: float
    parameters: float
    parameters_low: float
    parameters_high: float
    unpruned_parameters: float
    unpruned_error: float
    multiplications: float | None
    limit: str = ""


@dataclass(frozen=True)
class MeasuredBest(Member):
    """The smallest network that kept a bound when it was measured, in the mean over replicates.

    Attributes
    ----------
    repeats
        Networks behind the mean.
    """

    depth: int | None
    width: float | None
    density: float
    error: float
    repeats: int
    parameters: float

    def __str__(self) -> str:
        mean = "" if self.repeats == 1 else f", the mean of {self.repeats}"
        return f"{self.name} at density {self.density:.4g} (error {self.error:.4g}{mean})"


class DeclinedError(PrunescopeError):
    """There is no network to choose by the law; its text says why and what would help.

    Attributes
    ----------
    seen
        The smallest network that kept the bound when it was measured, if there is one.
    """

    def __init__(self, why: str, seen: MeasuredBest | None = None) -> None:
        super().__init__(why)
        self.seen = seen


@dataclass(frozen=True)
class Rival(Member):
    """What pruning another member would come to, by the law.

    Attributes
    ----------
    density, parameters
        None where that member does not reach the bound.
    times
        How many times as large as the choice.
    best_in
        Share of the truths that the data allow in which this member is the smallest.
    """

    depth: int | None
    width: float | None
    known: str
    unpruned_error: float
    density: float | None
    parameters: float | None
    times: float | None
    best_in: float


@dataclass(frozen=True)
class ContinuousOptimum:
    """The optimum over real depths and widths within what was measured."""

    depth: float
    width: float
    density: float
    parameters: float
    at_edge: bool


@dataclass(frozen=True)
class FrontierStep(Member):
    """One error of the frontier: which member to start with to be smallest there, and how far to prune it."""

    error: float
    depth: int | None
    width: float | None
    density: float
    parameters: float
    over_unpruned: float
    largest_times: float | None


@dataclass(frozen=True)
class Insight(Member):
    """What matching a member's unpruned error by pruning that member costs, against the smallest way to that error.

    Attributes
    ----------
    error
        The member's unpruned error, and the tolerance within which it is matched.
    matched_parameters
        The member's own, pruned as far as it goes within the tolerance.
    smallest
        The member that gets there smallest, pruned until its error is `over` times its own unpruned error.
    """

    depth: int | None
    width: float | None
    error: float
    matched_parameters: float
    smallest: FrontierStep
    times: float


@dataclass(frozen=True)
class Answer:
    """The smallest network under an error bound, of one family.

    Attributes
    ----------
    group
        The family among those of the table.
    choice
        The smallest by its expected error: about even odds of keeping the bound where the bound decides its density.
    robust
        The smallest that keeps the bound with the confidence asked, and what else is asked; None where nothing does.
    seen
        The smallest network that kept the bound when it was measured; None where none did.
    unpruned
        The smallest unpruned member that keeps the bound by its expected error; None where only pruned ones do.
    unpruned_parameters, times_smaller
        Its parameters, and how many times smaller the choice is.
    """

    group: Mapping[str, Any]
    max_error: float
    confidence: float
    choice: Pick
    robust: Pick | None
    seen: MeasuredBest | None
    unpruned: Rival | None
    unpruned_parameters: float | None
    times_smaller: float | None
    rivals: tuple[Rival, ...]
    ideal: ContinuousOptimum | None
    frontier: tuple[FrontierStep, ...]
    insight: Insight | None
    unit: str
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {**asdict(self), "group": dict(self.group)}

    def __str__(self) -> str:
        from prunescope.choose.sentences import answer_lines

        return "\n".join(answer_lines(self))

    def _repr_html_(self) -> str:
        """Show both choices in a notebook."""
        rows = [
            (
                words,
                pick.name,
                f"{pick.density:.4g}",
                amount(pick.parameters),
                f"{pick.error:.4g}",
                f"{pick.probability:.0%}",
            )
            for words, pick in (("expected", self.choice), (f"at {self.confidence:.0%} sure", self.robust))
            if pick is not None
        ]
        head = ("", "network", "density", self.unit, "error", "keeps the bound in")
        family = f" of {named(self.group)}" if self.group else ""
        return table_html(
            head, rows, f"smallest network{family} with an error of at most {self.max_error:g}", self.notes
        )


@dataclass(frozen=True)
class Bounded:
    """The choice at one of many bounds, as `Answer` has it; `why` says why there is none, where there is none."""

    max_error: float
    choice: Pick | None
    robust: Pick | None
    why: str


@dataclass(frozen=True)
class Declined:
    """A family for which there is no answer: why, and what to do about it; and what was measured to keep the bound."""

    group: Mapping[str, Any]
    why: str
    seen: MeasuredBest | None = None


@dataclass(frozen=True)
class Answers:
    """One answer for each family of a table, or why there is none."""

    answers: tuple[Answer, ...]
    declined: tuple[Declined, ...]
    notes: tuple[str, ...]

    def _repr_html_(self) -> str:
        """Show all answers in a notebook, and why there are no others."""
        shown = "".join(answer._repr_html_() for answer in self.answers)
        why = [(named(refusal.group) or "the table", refusal.why) for refusal in self.declined]
        return shown + (table_html(("no answer for", "why"), why) if why else "")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "answers": [answer.to_dict() for answer in self.answers],
            "declined": [{**asdict(refusal), "group": dict(refusal.group)} for refusal in self.declined],
            "notes": list(self.notes),
        }
