"""What a family's law, choice and doubts come to, in sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from prunescope.choose.answers import Answer, insight_words
from prunescope.choose.counts import amount
from prunescope.choose.description import Pick
from prunescope.errors import command, counted, whole_percent
from prunescope.laws import PARAMETERS, Fit
from prunescope.laws.data import GroupData
from prunescope.laws.results import is_unjudged, number, percent
from prunescope.report.figures.figure import clearly_better, is_identified, symbolic
from prunescope.report.groups import ReportGroup
from prunescope.report.provenance import ReportOptions, place

Kind = Literal["answer", "warning", "next"]


@dataclass(frozen=True)
class Statement:
    """Something a report says: an answer, a warning, or what to do next.

    Attributes
    ----------
    rests_on
        The figures behind it, a sentence each.
    """

    kind: Kind
    title: str
    words: str
    rests_on: tuple[str, ...] = ()


# The first paper's bars: sigma of one network's law, and of a family's.
BARS = {False: 0.04, True: 0.06}
# The bar of mu; and how many times a bar a law misses that does not describe its data.
MEAN_BAR, FAR = 0.02, 2.0


def answers(
    group: ReportGroup,
    answer: Answer | None,
    why: str,
    bound: float,
    source: str,
    options: Sequence[str] = (),
    null: str = "",
) -> Iterator[Statement]:
    """Yield what there is to say of a family, answers first.

    Parameters
    ----------
    options
        What picks its rows from the source's.
    null
        What the law does not explain better than a smaller one; empty where it does.
    """
    if group.fit is not None:
        words = f"{_sentence(null)} " if null else ""
        yield Statement("answer", "How well the law fits", words + _fit(group.fit, group.cells))
        yield Statement("answer", "What its parameters mean", symbolic(_parameters(group.fit, group.cells)))
    else:
        yield Statement("warning", "No law", _sentence(why or group.why))
    if answer is not None:
        yield Statement("answer", f"Which network for an error of at most {bound:g}", _choice(answer))
        if answer.insight is not None and answer.insight.times > 1.05:
            yield Statement("answer", "Matching is not enough", insight_words(answer))
    elif group.fit is not None:
        yield Statement("warning", f"No choice at an error of at most {bound:g}", _sentence(why))
    gained = _gain(group.cells)
    if gained:
        yield Statement("answer", "Where pruning helps", gained)
    if group.fit is not None:
        for words in group.fit.warnings:
            # Of one network m* is its density.
            sentence = words if group.cells.cells > 1 else re.sub(r"\bp_prime\b", "p", words)
            yield Statement("warning", "About the law", symbolic(_sentence(sentence)))
    for words in answer.notes if answer is not None else ():
        yield Statement("warning", "About the choice", _sentence(words))
    if answer is not None:
        sure = () if answer.confidence == ReportOptions().confidence else ("--confidence", answer.confidence)
        typed = command("next", place(source), *options, "--max-error", bound, *sure)
        yield Statement("next", "What to measure next", _next(answer, typed))


def in_short(group: ReportGroup, answer: Answer | None, why: str, null: str = "") -> str:
    """Say the whole of a family in a sentence or two."""
    if group.fit is None:
        return _sentence(why or group.why)
    words = f"The law deviates by sigma {percent(group.fit.std_deviation)}."
    if is_unjudged(group.fit, group.cells):
        words = "The fit of the law cannot be judged."
    if null:
        words = f"{_sentence(null)} {words}"
    if answer is None:
        return f"{words} {_sentence(why.split(': ', 1)[0])}"
    chosen = _picked(answer, answer.choice)
    return f"{words} The smallest network with an expected error of at most {answer.max_error:g} is {chosen}."


def _sentence(words: str) -> str:
    """Make a sentence of a remark."""
    words = words.strip()
    first = words.split(" ", 1)[0]
    begun = words if first in PARAMETERS else words[:1].upper() + words[1:]
    return begun + ("" if words.endswith((".", "!", "?")) else ".")


def _fit(fit: Fit, cells: GroupData) -> str:
    several = cells.cells > 1
    sizes = f"{counted(fit.points, 'point')} of {counted(fit.ladders, 'ladder')}"
    if is_unjudged(fit, cells):
        pruned = counted(int((cells.density < 1).sum()), "pruned point")
        return (
            f"The law has {counted(len(fit.intervals), 'parameter')} for {pruned}: it fits any such data, so its fit "
            "cannot be judged."
        )
    bar = BARS[several]
    passed = abs(fit.mean_deviation) < MEAN_BAR and fit.std_deviation < bar
    far = abs(fit.mean_deviation) > FAR * MEAN_BAR or fit.std_deviation > FAR * bar
    whom = "all members" if several else "this network"
    law = "One law" if several else "The law"
    what = f"{law} {'does not describe' if far else 'describes' if passed else 'follows'} {whom}"
    words = (
        f"{what}: over {sizes} its estimates deviate by "
        f"{percent(abs(fit.mean_deviation))} on average (mu) and scatter by {percent(fit.std_deviation)} (sigma)."
    )
    if fit.seed_noise is not None:
        explained = fit.seed_noise * float(np.sqrt(np.mean(1 / cells.repeats)))
        share = fit.std_deviation / max(explained, 1e-9)
        verdict = "about the scatter of seeds alone" if share < 1.5 else f"{share:.2g} times the scatter of seeds alone"
        words += f" That is {verdict} ({percent(explained)} for a mean, {percent(fit.seed_noise)} for one network)."
    whose = "a family" if several else "one network"
    words += (
        f" It {'meets' if passed else 'misses'} the first paper's threshold for {whose} (mu below 2 %, sigma below "
        f"{whole_percent(bar)})."
    )
    worst = max(
        (region for region in fit.regions if region.std is not None), key=lambda region: region.std or 0.0, default=None
    )
    if worst is not None and worst.std is not None and worst.std > 1.5 * fit.std_deviation:
        words += f" It is worst in the {worst.name} region (sigma {percent(worst.std)})."
    return words


def _parameters(fit: Fit, cells: GroupData) -> str:
    values = fit.parameters
    gamma = values["gamma"]
    if not is_identified(fit, "gamma"):
        words = [f"The data do not identify how fast the error rises (gamma {number(gamma)} fits as well as others)."]
    else:
        rise = f"halving the density multiplies it by {2**gamma:.2g}"
        words = [f"Where the error rises, {rise} (gamma {_value(fit, 'gamma')})."]
    for name, column in (("psi", "width"), ("phi", "depth")):
        if values[name] != 0:
            words.append(
                f"Twice the {column} gives the same error at {2 ** -values[name]:.2g} times the density ({name} "
                f"{_value(fit, name)})."
            )
    turn = "below m* (p_prime)" if cells.cells > 1 else "below density (p)"
    words.append(f"The error levels off at eps_up {_value(fit, 'eps_up')}, {turn} {_value(fit, 'p_prime')}.")
    return " ".join(words)


def _value(fit: Fit, name: str) -> str:
    value = number(fit.parameters[name])
    if name in fit.fixed or name not in fit.intervals:
        return f"{value}, fixed"
    interval = fit.intervals[name]
    if interval is None:
        return f"{value}, not identified by the data"
    return f"{value}, {whole_percent(fit.level)} interval {number(interval[0])} to {number(interval[1])}"


def _choice(answer: Answer) -> str:
    choice, robust = answer.choice, answer.robust
    words = [
        f"By expected error: {_picked(answer, choice)}; it meets the bound in "
        f"{whole_percent(choice.probability)} of training runs."
    ]
    if robust is None:
        words.append(f"No member meets it with {whole_percent(answer.confidence)} confidence.")
    else:
        words.append(f"To meet it in {whole_percent(robust.probability)}: {_picked(answer, robust)}.")
    if answer.seen is not None:
        words.append(f"Smallest measured network that meets it: {answer.seen}.")
    if answer.unpruned is None:
        words.append("No unpruned network meets it.")
    elif answer.times_smaller is not None and answer.times_smaller > 1.005:
        words.append(
            f"The smallest unpruned network that meets it, {answer.unpruned.name}, is {answer.times_smaller:.3g} times "
            "as large."
        )
    if choice.known != "pruned":
        words.append("This member was never pruned: its error under pruning is predicted by the law.")
    return " ".join(words)


def _picked(answer: Answer, pick: Pick) -> str:
    unit = {"counted": answer.noun, "estimated": f"{answer.noun} (estimated)"}.get(
        pick.counted, f"in units of {answer.unit}"
    )
    return f"{pick.name} pruned to density {number(pick.density)}, {amount(pick.parameters)} {unit}"


def _gain(cells: GroupData) -> str:
    """Say where pruned networks err less than their unpruned ones, by more than chance between seeds."""
    clear = clearly_better(cells)
    if clear is None or not (cells.density < 1).any():
        return ""
    ratio = cells.error / cells.unpruned
    helped = np.unique(cells.cell[clear])
    if not len(helped):
        if cells.cells == 1:
            return "At no density is the error below the unpruned error by more than two standard errors."
        return (
            f"In none of {counted(cells.cells, 'cell')} is a pruned error below the unpruned error by more than two "
            "standard errors."
        )
    best = int(np.where(clear, ratio, np.inf).argmin())
    if cells.cells == 1:
        return (
            f"At {counted(int(clear.sum()), 'density', 'densities')} the error is below the unpruned error by more "
            f"than two standard errors; at best by {percent(1 - float(ratio[best]))}, at density "
            f"{number(float(cells.density[best]))}."
        )
    return (
        f"In {len(helped)} of {counted(cells.cells, 'cell')} some pruned errors are below the unpruned error by more "
        f"than two standard errors; at best by {percent(1 - float(ratio[best]))}, at density "
        f"{number(float(cells.density[best]))}."
    )


def _next(answer: Answer, command: str) -> str:
    choice = answer.choice
    words = (
        f"The data allow densities of {number(choice.density_low)} to {number(choice.density_high)} for {choice.name}. "
    )
    close = [rival for rival in answer.rivals if rival.best_in > 0.05 and rival.name != choice.name]
    if close:
        shown = ", ".join(f"{rival.name} in {whole_percent(rival.best_in)}" for rival in close[:3])
        words += f"Within that range another member may be the smallest: {shown}. "
    return f"{words}To narrow the interval: {command}"
