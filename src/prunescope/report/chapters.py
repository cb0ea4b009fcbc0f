"""What a report is made of: chapters with statements, figures and a slider. `page` shows it; nothing here draws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prunescope.notebook import table_html
from prunescope.report.answers import Statement
from prunescope.report.figures.figure import Figure
from prunescope.report.provenance import Provenance
from prunescope.report.slider import Slider
from prunescope.table import Table


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
