"""A claim of a paper beside what was measured, and the verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

VERDICTS = HOLDS, LIMITS, NOT_SEEN, NOT_MEASURED = "holds", "holds with limits", "not seen", "not measured"
# What stands between two families in a cell of the page: a new line.
APART = "<br>"


class Claim(NamedTuple):
    """A claim: where it stands, what the paper says, what was measured here, and the verdict."""

    where: str
    paper: str
    ours: str
    verdict: str


def verdict(met: Sequence[bool]) -> str:
    """Return what measurements say: of all that were judged, of some, of none."""
    if all(met):
        return HOLDS
    return LIMITS if any(met) else NOT_SEEN
