"""A choice in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prunescope.choose.results import Answer, Pick, amount
from prunescope.errors import apart, named, printable

SHOWN = 12
SAVED = 1.05  # times smaller from which on the ideal is told
SPOKEN = ("family", "dataset")
MARKS = {"pruned": "", "dense": " +", "predicted": " *"}
LEGEND = {"dense": "measured unpruned, not under pruning", "predicted": "never trained: unpruned error predicted"}


def answer_lines(answer: Answer) -> Iterator[str]:
    """Write an answer line by line."""
    choice, robust = answer.choice, answer.robust
    if family := family_words(answer):
        yield printable(family)
    yield f"smallest network with an error of at most {answer.max_error:g}:"
    yield f"  expected         {_pick(answer, choice)}"
    if robust is None:
        yield f"  at {answer.confidence:.0%} sure      none"
    else:
        yield f"  at {answer.confidence:.0%} sure      {_pick(answer, robust)}"
    yield ""
    rung = "" if choice.rung is None else f" (rung {choice.rung}, density {choice.rung_density:.4g})"
    yield (
        f"  Expected: density {choice.density:.4g}{rung}, where the data allow {choice.density_low:.4g} to "
        f"{choice.density_high:.4g}."
    )
    yield f"  {_how_known(choice)}"
    if choice.limit:
        yield f"  The density is not the bound's: {choice.limit}."
    if answer.unpruned is None or answer.times_smaller is None:
        yield "  No unpruned network will do: only pruning takes one below the bound."
    elif answer.times_smaller > 1.005:
        same = (answer.unpruned.depth, answer.unpruned.width) == (choice.depth, choice.width)
        best = "the same one" if same else answer.unpruned.name
        yield f"  {answer.times_smaller:.3g} times smaller than the smallest unpruned network that will do ({best})."
    unpruned = f"unpruned error is {choice.unpruned_error:.4g}"
    if choice.counted == "relative":
        yield f"  Its {unpruned}. The table does not say how many parameters it has."
    else:
        size = amount(choice.unpruned_parameters)
        estimated = ", estimated," if choice.counted == "estimated" else ""
        yield f"  It has {size} parameters{estimated} before pruning; its {unpruned}."
    ideal = answer.ideal
    saved = 1.0 if ideal is None or ideal.at_edge else choice.parameters / ideal.parameters
    if ideal is not None and saved > SAVED:
        yield (
            f"  Between the members, the best would be depth {ideal.depth:.3g}, width {ideal.width:.3g}: "
            f"{saved:.3g} times smaller."
        )
    if answer.seen is not None:
        yield f"  Measured to keep it, and the smallest of those: {answer.seen}."
    yield ""
    yield from _rivals(answer)
    if answer.insight is not None and answer.insight.times > 1.05:
        yield ""
        yield f"  {insight_words(answer)}"
    for words in answer.notes:
        yield f"  ! {words}"


def group_words(group: Mapping[str, Any]) -> str:
    """Name a family by what people call it, and by what tells it apart; the rest of its group is in `to_dict`."""
    return named(_spoken(group))


def family_words(answer: Answer) -> str:
    """Name the family of an answer, with its examples."""
    spoken = _spoken(answer.group)
    if answer.choice.examples is not None:
        spoken["examples"] = f"{answer.choice.examples:,}"
    return named(spoken)


def _spoken(group: Mapping[str, Any]) -> dict[str, Any]:
    names = {*SPOKEN, *apart(group), *(["label_noise"] if group.get("label_noise") else [])}
    return {name: value for name, value in group.items() if value is not None and name in names}


def _pick(answer: Answer, pick: Pick) -> str:
    unit = {"counted": "parameters", "estimated": "parameters, estimated"}.get(pick.counted, f"({answer.unit})")
    return (
        f"{pick.name} at density {pick.density:.4g}: {amount(pick.parameters)} {unit}, error {pick.error:.4g} "
        f"({pick.low:.4g} to {pick.high:.4g}), keeps the bound in {pick.probability:.0%}"
    )


def _how_known(pick: Pick) -> str:
    return {
        "pruned": "This member was measured under pruning.",
        "dense": "This member was measured unpruned; what pruning does to it is the law's word.",
        "predicted": "This member was never trained: even its unpruned error is predicted. Train it first.",
    }[pick.known]


def _rivals(answer: Answer) -> Iterator[str]:
    if len(answer.rivals) < 2:
        return
    shown = answer.rivals[:SHOWN]
    names = [rival.name + MARKS[rival.known] for rival in shown]
    wide = max(map(len, names))
    yield f"  {'member':{wide}}  unpruned   density   parameters  times  smallest in"
    for name, rival in zip(names, shown, strict=True):
        if rival.parameters is None or rival.density is None or rival.times is None:
            yield f"  {name:{wide}}  {rival.unpruned_error:8.4g}   does not reach the bound{rival.best_in:14.0%}"
        else:
            figures = f"{rival.density:8.4g} {amount(rival.parameters):>12} {rival.times:6.3g}"
            yield f"  {name:{wide}}  {rival.unpruned_error:8.4g}  {figures} {rival.best_in:12.0%}"
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
    yield "  error      start with                 density   parameters  over its  the largest"
    yield "                                                              unpruned  would have"
    for step in answer.frontier:
        largest = "does not do" if step.largest_times is None else f"{step.largest_times:.3g} times"
        yield (
            f"  {step.error:<9.4g}  {step.name:25} {step.density:8.4g} {amount(step.parameters):>12} "
            f"{step.over_unpruned:8.3g}x  {largest}"
        )
