"""A claim of a paper beside what was measured, and the verdicts."""

from __future__ import annotations

from typing import NamedTuple

VERDICTS = HOLDS, LIMITS, NOT_SEEN, NOT_MEASURED = "holds", "holds with limits", "not seen", "not measured"
# What stands between two families in a cell of the page: a new line.
APART = "<br>"


class Claim(NamedTuple):
    """A claim of a paper, and what was measured of it.

    Attributes
    ----------
    where
        Where in the paper it stands.
    short
        What it says, in a few words.
    paper
        The paper's own figures and conditions, where it gives any.
    ours
        What was measured here.
    met
        Of each case that was judged, whether it is as the paper says.
    """

    where: str
    short: str
    paper: str
    ours: str
    met: tuple[bool, ...]

    @property
    def verdict(self) -> str:
        """What measurements say: of all cases that were judged, of some, of none."""
        if not self.met:
            return NOT_MEASURED
        if all(self.met):
            return HOLDS
        return LIMITS if any(self.met) else NOT_SEEN

    @property
    def row(self) -> str:
        """The claim as a row of the page."""
        count = f" ({sum(self.met)} of {len(self.met)})" if self.met else ""
        words = f"{self.short}{' ' if self.paper.startswith('(') else ': '}{self.paper}" if self.paper else self.short
        return f"| {self.where} | {words} | {self.ours or '–'} | **{self.verdict}**{count} |"
