"""Answers: the smallest network of each family under an error bound, as values and in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from prunescope.choose.counts import amount
from prunescope.choose.description import Pick, Rival, beside_measured
from prunescope.choose.frontier import ContinuousOptimum, FrontierStep, Insight
from prunescope.choose.limits import MeasuredBest
from prunescope.errors import apart, named, printable, whole_percent
from prunescope.markup import Summarised, table_html


@dataclass(frozen=True, repr=False)
class Answer(Summarised):
    """The smallest network under an error bound, of one family.

    Attributes
    ----------
    group
        The family among those of the table.
    choice
        The smallest by its expected error: about even odds of meeting the bound where the bound sets its density.
    robust
        The smallest that meets the bound with the requested confidence, and the limits; None if none does.
    seen
        The smallest measured network that meets the bound; None if none does.
    unpruned
        The smallest member that meets the bound unpruned, by its expected error; None if none does.
    unpruned_parameters, times_smaller
        Its parameters, and how many times smaller the choice is.
    test_examples_by
        How other test examples were allowed for; None where they were not, as nobody knows how many there are.
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
    test_examples_by: str | None = None

    @property
    def noun(self) -> str:
        """What its sizes count, in a word."""
        return "weights" if self.unit.startswith("weights") else "parameters"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {**asdict(self), "group": dict(self.group)}

    def __str__(self) -> str:

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
                whole_percent(pick.probability),
            )
            for words, pick in (("expected", self.choice), (f"at {whole_percent(self.confidence)} sure", self.robust))
            if pick is not None
        ]
        head = ("", "network", "density", self.unit, "error", "meets the bound in")
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
    unpruned_parameters: float | None = None
    notes: tuple[str, ...] = ()

    def times_smaller(self, pick: Pick) -> float | None:
        """Return how many times smaller a choice is than the smallest unpruned network that meets the bound."""
        return None if self.unpruned_parameters is None else self.unpruned_parameters / pick.parameters


@dataclass(frozen=True)
class Declined:
    """A family without an answer: the reason, and the smallest measured network that meets the bound."""

    group: Mapping[str, Any]
    why: str
    seen: MeasuredBest | None = None


@dataclass(frozen=True, repr=False)
class Answers(Summarised):
    """One answer for each family of a table, or the reason why there is none."""

    answers: tuple[Answer, ...]
    declined: tuple[Declined, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        refused = (f"{named(refusal.group) or 'the table'}: no answer: {refusal.why}" for refusal in self.declined)
        return "\n".join([*map(str, self.answers), *refused])

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


SHOWN = 12
SAVED = 1.05  # how many times smaller the continuous optimum must be to be mentioned
SPOKEN = ("family", "dataset")
MARKS = {"pruned": "", "dense": " +", "predicted": " *"}
LEGEND = {"dense": "measured unpruned, not under pruning", "predicted": "never trained: unpruned error predicted"}


def answer_lines(answer: Answer) -> Iterator[str]:
    """Write an answer line by line."""
    choice, robust = answer.choice, answer.robust
    if family := _family_words(answer):
        yield printable(family)
    yield f"smallest network with an error of at most {answer.max_error:g}:"
    yield f"  expected         {_pick(answer, choice)}"
    if robust is None:
        yield f"  at {whole_percent(answer.confidence)} sure     none"
    else:
        yield f"  at {whole_percent(answer.confidence)} sure     {_pick(answer, robust)}"
    yield ""
    rung = "" if choice.rung is None else f" (rung {choice.rung}, density {choice.rung_density:.4g})"
    yield (
        f"  Expected: density {choice.density:.4g}{rung}, where the data allow {choice.density_low:.4g} to "
        f"{choice.density_high:.4g}."
    )
    yield f"  {_how_known(choice)}"
    if answer.test_examples_by is not None:
        yield f"  Other test examples are allowed for: {answer.test_examples_by}."
    if choice.limit:
        yield f"  Something else than the bound sets the density: {choice.limit}."
    if answer.unpruned is None or answer.times_smaller is None:
        yield "  No unpruned network meets the bound."
    elif answer.times_smaller > 1.005:
        same = (answer.unpruned.depth, answer.unpruned.width) == (choice.depth, choice.width)
        best = "the same one" if same else answer.unpruned.name
        yield f"  {answer.times_smaller:.3g} times smaller than the smallest unpruned network that will do ({best})."
    beside = beside_measured(choice.unpruned_error, choice.unpruned_measured, choice.unpruned_repeats)
    expected = "expected unpruned error" if beside else "unpruned error"
    unpruned = f"{expected} is {choice.unpruned_error:.4g}{beside}"
    if choice.counted == "relative":
        yield f"  Its {unpruned}. The table does not say how many parameters it has."
    else:
        size = amount(choice.unpruned_parameters)
        estimated = ", estimated," if choice.counted == "estimated" else ""
        yield f"  It has {size} {answer.noun}{estimated} before pruning; its {unpruned}."
    ideal = answer.ideal
    saved = 1.0 if ideal is None or ideal.at_edge else choice.parameters / ideal.parameters
    if ideal is not None and saved > SAVED:
        yield (
            f"  Between the members, the best would be depth {ideal.depth:.3g}, width {ideal.width:.3g}: "
            f"{saved:.3g} times smaller."
        )
    if answer.seen is not None:
        yield f"  Smallest measured network that meets the bound: {answer.seen}."
    yield ""
    yield from _rivals(answer)
    if answer.insight is not None and answer.insight.times > 1.05:
        yield ""
        yield f"  {insight_words(answer)}"
    for words in answer.notes:
        yield f"  ! {words}"


def group_words(group: Mapping[str, Any]) -> str:
    """Name a family by family, dataset and what distinguishes it; the rest of its group is in `to_dict`."""
    return named(_spoken(group))


def _family_words(answer: Answer) -> str:
    """Name the family of an answer, with its examples."""
    spoken = _spoken(answer.group)
    if answer.choice.examples is not None:
        spoken["examples"] = f"{answer.choice.examples:,}"
    return named(spoken)


def _spoken(group: Mapping[str, Any]) -> dict[str, Any]:
    names = {*SPOKEN, *apart(group), *(["label_noise"] if group.get("label_noise") else [])}
    return {name: value for name, value in group.items() if value is not None and name in names}


def _pick(answer: Answer, pick: Pick) -> str:
    unit = {"counted": answer.noun, "estimated": f"{answer.noun}, estimated"}.get(pick.counted, f"({answer.unit})")
    return (
        f"{pick.name} at density {pick.density:.4g}: {amount(pick.parameters)} {unit}, error {pick.error:.4g} "
        f"({pick.low:.4g} to {pick.high:.4g}), meets the bound in "
        f"{whole_percent(pick.probability)} of training runs"
    )


def _how_known(pick: Pick) -> str:
    return {
        "pruned": "This member was measured under pruning.",
        "dense": "This member was measured unpruned; the law predicts its error under pruning.",
        "predicted": "This member was never trained: even its unpruned error is predicted. Train it first.",
    }[pick.known]


def _rivals(answer: Answer) -> Iterator[str]:
    if len(answer.rivals) < 2:
        return
    shown = answer.rivals[:SHOWN]
    names = [rival.name + MARKS[rival.known] for rival in shown]
    wide = max(map(len, names))
    yield f"  {'member':{wide}}  unpruned   density {answer.noun:>12}  times  smallest in"
    for name, rival in zip(names, shown, strict=True):
        if rival.parameters is None or rival.density is None or rival.times is None:
            figures = f" {'does not reach the bound':27}"
        else:
            figures = f"{rival.density:8.4g} {amount(rival.parameters):>12} {rival.times:6.3g}"
        yield f"  {name:{wide}}  {rival.unpruned_error:8.4g}  {figures} {100 * rival.best_in:10.0f} %"
    if len(answer.rivals) > SHOWN:
        yield f"  ... and {len(answer.rivals) - SHOWN} more; --json has all"
    for known, words in LEGEND.items():
        if any(rival.known == known for rival in shown):
            yield f"  {MARKS[known].strip()} {words}"


def insight_words(answer: Answer) -> str:
    """Say what matching an unpruned error costs."""
    insight = answer.insight
    if insight is None:
        return ""
    step = insight.smallest
    return (
        f"Matching is not the smallest way: pruned until it just matches its unpruned error (within 1 %: "
        f"{insight.error:.4g}), {insight.name} has {amount(insight.matched_parameters)} left. {step.name}, pruned "
        f"until its error is {step.over_unpruned:.3g} times its unpruned one, gets there with "
        f"{amount(step.parameters)}: "
        f"{insight.times:.3g} times smaller."
    )


def frontier_lines(answer: Answer) -> Iterator[str]:
    """Write the frontier: the smallest network for each error."""
    yield f"  error      start with                 density {answer.noun:>12}  over its  the largest"
    yield "                                                              unpruned  would have"
    for step in answer.frontier:
        largest = "does not do" if step.largest_times is None else f"{step.largest_times:.3g} times"
        yield (
            f"  {step.error:<9.4g}  {step.name:25} {step.density:8.4g} {amount(step.parameters):>12} "
            f"{step.over_unpruned:8.3g}x  {largest}"
        )
