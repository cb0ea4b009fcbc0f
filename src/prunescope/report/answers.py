"""What a family's law, choice and doubts come to, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from prunescope.choose.results import Answer, Pick, amount
from prunescope.choose.words import insight_words
from prunescope.errors import counted
from prunescope.laws import PARAMETERS, Fit
from prunescope.laws.measured import Measured
from prunescope.laws.results import number, percent
from prunescope.report.provenance import word
from prunescope.report.results import Said
from prunescope.report.subjects import Subject

# The first paper's bars: sigma of one network's law, and of a family's.
BARS = {False: 0.04, True: 0.06}


def answers(subject: Subject, answer: Answer | None, why: str, bound: float, source: str) -> Iterator[Said]:
    """Yield what there is to say of a family, answers first."""
    if subject.fit is not None:
        yield Said("answer", "How well the law fits", _fit(subject.fit, subject.cells))
        yield Said("answer", "What its parameters mean", _parameters(subject.fit, subject.cells))
    else:
        yield Said("warning", "No law", _sentence(why or subject.why))
    if answer is not None:
        yield Said("answer", f"Which network for an error of at most {bound:g}", _choice(answer))
        if answer.insight is not None and answer.insight.times > 1.05:
            yield Said("answer", "Matching is not enough", insight_words(answer))
    elif subject.fit is not None:
        yield Said("warning", f"No choice at an error of at most {bound:g}", _sentence(why))
    gained = _gain(subject.cells)
    if gained:
        yield Said("answer", "Where pruning helps", gained)
    if subject.fit is not None:
        for words in subject.fit.warnings:
            yield Said("warning", "The data leave open", _sentence(words))
    for words in answer.notes if answer is not None else ():
        yield Said("warning", "About the choice", _sentence(words))
    if answer is not None:
        yield Said("next", "What to measure next", _next(answer, bound, source))


def in_short(subject: Subject, answer: Answer | None, why: str) -> str:
    """Say the whole of a family in a sentence or two."""
    if subject.fit is None:
        return _sentence(why or subject.why)
    words = f"The law is off by sigma {percent(subject.fit.std_deviation)}."
    if answer is None:
        return f"{words} {_sentence(why.split(': ', 1)[0])}"
    chosen = _picked(answer, answer.choice)
    return f"{words} For an error of at most {answer.max_error:g} by its expected error {chosen}."


def _sentence(words: str) -> str:
    """Make a sentence of a remark."""
    words = words.strip()
    first = words.split(" ", 1)[0]
    begun = words if first in PARAMETERS else words[:1].upper() + words[1:]
    return begun + ("" if words.endswith((".", "!", "?")) else ".")


def _fit(fit: Fit, cells: Measured) -> str:
    what = "One law describes all members" if cells.cells > 1 else "The law describes this network"
    words = (
        f"{what}: over {counted(fit.points, 'point')} of {counted(fit.ladders, 'ladder')} its estimates are off by "
        f"{percent(abs(fit.mean_deviation))} in the mean (mu) and scatter by {percent(fit.std_deviation)} (sigma)."
    )
    if fit.seed_noise is not None:
        explained = fit.seed_noise * float(np.sqrt(np.mean(1 / cells.repeats)))
        share = fit.std_deviation / max(explained, 1e-9)
        verdict = "about what seeds alone explain" if share < 1.5 else f"{share:.2g} times what seeds alone explain"
        words += f" That is {verdict} ({percent(explained)} of a mean, {percent(fit.seed_noise)} of a single network)."
    bar = BARS[cells.cells > 1]
    kept = abs(fit.mean_deviation) < 0.02 and fit.std_deviation < bar
    whose = "a family" if cells.cells > 1 else "one network"
    words += (
        f" It {'keeps' if kept else 'does not keep'} the first paper's bar for {whose} (mu below 2 %, sigma below "
        f"{bar:.0%})."
    )
    worst = max(
        (region for region in fit.regions if region.std is not None), key=lambda each: each.std or 0.0, default=None
    )
    if worst is not None and worst.std is not None and worst.std > 1.5 * fit.std_deviation:
        words += f" It is worst in the {worst.name} region (sigma {percent(worst.std)})."
    return words


def _parameters(fit: Fit, cells: Measured) -> str:
    told = fit.parameters
    gamma = told["gamma"]
    if fit.intervals.get("gamma") is None and "gamma" not in fit.fixed:
        words = [f"How fast the error rises is not told by the data (gamma {number(gamma)} is as good as others)."]
    else:
        rise = f"halving the density multiplies it by {2**gamma:.2g}"
        words = [f"Where the error rises, {rise} (gamma {_value(fit, 'gamma')})."]
    for name, column in (("psi", "width"), ("phi", "depth")):
        if told[name] != 0:
            words.append(
                f"Twice the {column} gives the same error at {2 ** -told[name]:.2g} times the density ({name} "
                f"{_value(fit, name)})."
            )
    turn = "below m* (p_prime)" if cells.cells > 1 else "below density (p)"
    words.append(f"The error levels off at eps_up {_value(fit, 'eps_up')}, {turn} {_value(fit, 'p_prime')}.")
    return " ".join(words)


def _value(fit: Fit, name: str) -> str:
    value = number(fit.parameters[name])
    if name in fit.fixed or name not in fit.intervals:
        return f"{value}, given"
    interval = fit.intervals[name]
    if interval is None:
        return f"{value}, not told by the data"
    return f"{value}, {fit.level:.0%} interval {number(interval[0])} to {number(interval[1])}"


def _choice(answer: Answer) -> str:
    choice, robust = answer.choice, answer.robust
    words = [
        f"By its expected error {_picked(answer, choice)}; a network trained so keeps the bound in "
        f"{choice.probability:.0%} of trainings."
    ]
    if robust is None:
        words.append(f"None keeps it with {answer.confidence:.0%} confidence.")
    else:
        words.append(f"To keep it in {robust.probability:.0%}, {_picked(answer, robust)}.")
    if answer.unpruned is None:
        words.append("No unpruned network will do.")
    elif answer.times_smaller is not None and answer.times_smaller > 1.005:
        words.append(
            f"The smallest unpruned network that will do, {answer.unpruned.name}, is {answer.times_smaller:.3g} times "
            "as large."
        )
    if choice.known != "pruned":
        words.append("This member was never pruned: what pruning does to it is the law's word.")
    return " ".join(words)


def _picked(answer: Answer, pick: Pick) -> str:
    unit = {"counted": "parameters", "estimated": "parameters (estimated)"}.get(
        pick.counted, f"in units of {answer.unit}"
    )
    return f"{pick.name} pruned to density {number(pick.density)}, {amount(pick.parameters)} {unit}"


def _gain(cells: Measured) -> str:
    """Say where pruned networks err less than their unpruned ones, by more than chance between seeds."""
    pruned = cells.density < 1
    if not pruned.any():
        return ""
    ratio = cells.error / cells.unpruned
    noise = cells.seed_noise
    if noise is None:
        return ""
    behind = np.where(cells.dense_repeats > 0, 1 / np.maximum(cells.dense_repeats, 1), 0.0)
    clear = np.log(ratio) < -2 * noise * np.sqrt(1 / cells.repeats + behind)
    helped = np.unique(cells.cell[pruned & clear])
    if not len(helped):
        if cells.cells == 1:
            return "At no density does the network err less than unpruned by more than two standard errors."
        return (
            f"In none of {counted(cells.cells, 'cell')} does a pruned network err less than its unpruned one by more "
            "than two standard errors."
        )
    best = int(np.where(pruned & clear, ratio, np.inf).argmin())
    return (
        f"In {len(helped)} of {counted(cells.cells, 'cell')} some pruned networks err less than their unpruned ones by "
        f"more than two standard errors; at best by {percent(1 - float(ratio[best]))}, at density "
        f"{number(float(cells.density[best]))}."
    )


def _next(answer: Answer, bound: float, source: str) -> str:
    choice = answer.choice
    words = (
        f"The data allow densities of {number(choice.density_low)} to {number(choice.density_high)} for {choice.name}. "
    )
    close = [each for each in answer.rivals if each.best_in > 0.05 and each.name != choice.name]
    if close:
        shown = ", ".join(f"{each.name} in {each.best_in:.0%}" for each in close[:3])
        words += f"In some of what they allow another member is the smallest: {shown}. "
    return words + f"What to train to be surer: prunescope next {word(source)} --max-error {bound!r}"
