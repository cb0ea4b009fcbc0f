"""What a report is made of: chapters with statements, figures and a slider. `page` shows it; nothing here draws.

The slider has the choice at each of many bounds: `choose` computes them, the page only looks them up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

import numpy as np

from prunescope.choose.answers import Bounded
from prunescope.choose.counts import amount
from prunescope.choose.description import Pick, rung_step
from prunescope.errors import Fault, InputError, clipped, counted, listed, nearest, whole_percent
from prunescope.laws.results import number
from prunescope.markup import Summarised, table_html
from prunescope.report.figures.figure import Figure
from prunescope.report.groups import ReportGroup
from prunescope.report.overview import Overview
from prunescope.report.provenance import Provenance
from prunescope.report.statements import Statement
from prunescope.table import Table
from prunescope.table.schema import ERROR, Outcome


@dataclass(frozen=True)
class Fact:
    """One line of the choice at a bound, as a person reads it: by its expected error, and as surely as asked."""

    name: str
    expected: str
    sure: str


@dataclass(frozen=True)
class Stop:
    """The choice at one bound.

    Attributes
    ----------
    headline
        What to train and how far to prune it, in one sentence; or that there is no such network.
    why
        Why there is none, where there is none.
    warnings
        What to heed about the choice.
    """

    bound: float
    label: str
    headline: str
    facts: tuple[Fact, ...]
    why: str
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Slider:
    """The choice at each of many bounds.

    Attributes
    ----------
    start
        The stop that is shown first.
    confidence
        Share of training runs in which the second choice meets the bound.
    noun
        What sizes count: ``parameters`` or ``weights``.
    """

    stops: tuple[Stop, ...]
    start: int
    confidence: float
    noun: str = "parameters"


# How many times smaller than the smallest unpruned network a choice must be for that to be told.
SMALLER = 1.05
NO_BREAK = "\N{NO-BREAK SPACE}"


def slider(
    choices: tuple[Bounded, ...],
    bound: float,
    confidence: float,
    noun: str = "parameters",
    outcome: Outcome = ERROR,
    rungs: int | None = None,
) -> Slider:
    """Return the slider, set to a bound.

    Parameters
    ----------
    rungs
        Rungs of the longest ladder measured; None where they are uneven.
    """
    stops = tuple(_stop(choice, confidence, noun, outcome, rungs) for choice in choices)
    start = min(range(len(stops)), key=lambda place: abs(stops[place].bound - bound))
    return Slider(stops, start, confidence, noun)


def measured_rungs(group: ReportGroup) -> int | None:
    """Return how many rungs the longest ladder of a family has; None where rungs are uneven."""
    step = rung_step(group.cells)
    return None if step is None else round(float(np.log(group.cells.density.min())) / step)


def _stop(choice: Bounded, confidence: float, noun: str, outcome: Outcome, rungs: int | None) -> Stop:
    label, words = number(choice.max_error), headline(choice, confidence, noun, outcome)
    if choice.choice is None:
        return Stop(choice.max_error, label, words, (), choice.why, ())
    rows = [
        ("network", _name),
        ("density", lambda pick: _density(pick, rungs)),
        (f"{noun} left", _parameters),
        ("expected error", _error),
        ("meets the bound in", lambda pick: f"{whole_percent(pick.probability)} of training runs"),
    ]
    facts = tuple(
        Fact(name, describe(choice.choice), describe(choice.robust) if choice.robust else "none")
        for name, describe in rows
    )
    return Stop(choice.max_error, label, words, facts, "", choice.notes)


def headline(choice: Bounded, confidence: float, noun: str = "parameters", outcome: Outcome = ERROR) -> str:
    """Say in one sentence which network to train and how far to prune it: the confident choice where there is one."""
    bound = f"{100 * choice.max_error:.3g} %" if outcome.is_error else number(choice.max_error)
    asked = f"{'Error' if outcome.is_error else outcome.name.replace('_', ' ').capitalize()} ≤ {bound}"
    pick = choice.robust or choice.choice
    if pick is None:
        return f"{asked}: no network is known to meet it."
    depth = "do not prune it" if pick.density > 0.995 else f"prune to {100 * pick.density:.2g} % of its weights"
    size = amount(pick.parameters)
    left = f"{size} {noun}, "
    if pick.counted == "relative":
        left = f"{size} times depth x width^2, " if pick.depth is not None or pick.width is not None else ""
    if choice.robust is None:
        met = whole_percent(pick.probability)
        odds = f"met in {met} of training runs (no network is {whole_percent(confidence)} sure)"
    else:
        odds = f"{whole_percent(pick.probability)} sure"
    if (times := choice.times_smaller(pick)) is None:
        beside = "no unpruned network meets it"
    elif times > SMALLER:
        beside = f"{times:.2g} times fewer than the smallest unpruned network that meets it"
    else:
        beside = "no smaller than the smallest unpruned network that meets it"
    words = f"{asked}: train {_name(pick)}, {depth}: {left}{odds}, {beside}."
    return words.replace(" %", f"{NO_BREAK}%")


def _name(pick: Pick) -> str:
    origin = {"pruned": "", "dense": " (never pruned)", "predicted": " (never trained)"}[pick.known]
    return pick.name + origin


def _density(pick: Pick, rungs: int | None) -> str:
    rung = "" if pick.rung is None else f", rung {pick.rung}"
    if pick.rung is not None and rungs is not None and pick.rung > rungs:
        rung += f": beyond the {rungs} measured"
    return f"{number(pick.density)} ({number(pick.density_low)} to {number(pick.density_high)}){rung}"


def _parameters(pick: Pick) -> str:
    return f"{amount(pick.parameters)} ({amount(pick.parameters_low)} to {amount(pick.parameters_high)})"


def _error(pick: Pick) -> str:
    return f"{number(pick.error)} ({number(pick.low)} to {number(pick.high)})"


@dataclass(frozen=True)
class FigureSection:
    """Figures under a heading."""

    title: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Chapter:
    """What there is to say of one family.

    Attributes
    ----------
    short
        The whole in a sentence or two.
    missing
        What could not be shown, and what would mend it.
    """

    name: str
    short: str
    said: tuple[Statement, ...]
    slider: Slider | None
    sections: tuple[FigureSection, ...]
    missing: tuple[str, ...]

    @property
    def figures(self) -> Iterator[Figure]:
        """All figures, in their order."""
        for section in self.sections:
            yield from section.figures


@dataclass(frozen=True, repr=False)
class Report(Summarised):
    """A whole report; ``report["error-by-density"]`` is a figure, ``report.figures`` names all.

    Attributes
    ----------
    overview
        All families; None where each has a chapter.
    notes
        What was decided while reading and fitting.
    missing
        What keeps the whole of it from saying more.
    """

    title: str
    subtitle: str
    chapters: tuple[Chapter, ...]
    overview: Overview | None
    rows: Table
    provenance: Provenance
    notes: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def figures(self) -> dict[str, Figure]:
        """All figures by their names: those of the second chapter begin with ``2-``, and so on."""
        figures = {
            f"{place}-{figure.slug}" if place > 1 else figure.slug: figure
            for place, chapter in enumerate(self.chapters, 1)
            for figure in chapter.figures
        }
        return figures if self.overview is None else {**figures, self.overview.figure.slug: self.overview.figure}

    def __getitem__(self, name: str) -> Figure:
        figures = self.figures
        if name not in figures:
            hint = nearest(str(name), figures) or f"There are {listed(figures, 40)}."
            raise InputError("the report", [Fault("the figure", "must be one of its figures", clipped(name), hint)])
        return figures[name]

    def __str__(self) -> str:
        chapters = (
            chapter.slider.stops[chapter.slider.start].headline
            if chapter.slider
            else f"{chapter.name}: {chapter.short}"
            for chapter in self.chapters
        )
        figures = self.figures
        return "\n".join(
            [self.title, self.subtitle, *chapters, f"{counted(len(figures), 'figure')}: {', '.join(figures)}"]
        )

    def _repr_html_(self) -> str:
        """Show the page in a notebook; in short where what draws it is not installed."""
        from prunescope.report.writing import can_draw

        if can_draw():
            from prunescope.report.page.rendering import page

            return f'<iframe srcdoc="{escape(page(self))}" width="100%" height="800" style="border: 0"></iframe>'
        rows = ((chapter.name, chapter.short) for chapter in self.chapters)
        return table_html(("chapter", "in short"), rows, f"{self.title}: {self.subtitle}", self.missing)
