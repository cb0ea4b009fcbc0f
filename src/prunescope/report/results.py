"""What a report is: words, figures and numbers, frozen and typed; `page` shows it, nothing here draws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from prunescope.notebook import table_html
from prunescope.report.figures.figure import Figure
from prunescope.table import Table

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


@dataclass(frozen=True)
class Fact:
    """One line of the choice at a bound, as a person reads it: by its expected error, and as surely as asked."""

    name: str
    expected: str
    sure: str


@dataclass(frozen=True)
class Stop:
    """The choice at one bound; `why` says why there is none, where there is none."""

    bound: float
    label: str
    facts: tuple[Fact, ...]
    why: str


@dataclass(frozen=True)
class Slider:
    """The choice at each of many bounds.

    Attributes
    ----------
    start
        The stop that is shown first.
    confidence
        How surely the second choice keeps the bound.
    """

    stops: tuple[Stop, ...]
    start: int
    confidence: float


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


@dataclass(frozen=True)
class Line:
    """A family that the report only lists."""

    name: str
    points: int
    law: str
    deviation: str
    choice: str


@dataclass(frozen=True)
class StudyState:
    """A study of the store, and how far it is.

    Attributes
    ----------
    text
        Its file.
    """

    name: str
    purpose: str
    done: int
    rungs: int
    failed: int
    text: str


@dataclass(frozen=True)
class Provenance:
    """Where the numbers come from.

    Attributes
    ----------
    facts
        Name and value of each, in words.
    studies
        Those of a store.
    commands
        What makes the numbers and this report again.
    """

    facts: tuple[tuple[str, str], ...]
    studies: tuple[StudyState, ...]
    commands: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """A whole report.

    Attributes
    ----------
    lines
        Families beyond those that have a chapter.
    notes
        What was decided while reading and fitting.
    missing
        What keeps the whole of it from saying more.
    """

    title: str
    subtitle: str
    chapters: tuple[Chapter, ...]
    lines: tuple[Line, ...]
    rows: Table
    provenance: Provenance
    notes: tuple[str, ...]
    missing: tuple[str, ...]

    def _repr_html_(self) -> str:
        """Show the report in short in a notebook."""
        rows = ((chapter.name, chapter.short) for chapter in self.chapters)
        return table_html(("chapter", "in short"), rows, f"{self.title}: {self.subtitle}", self.missing)
