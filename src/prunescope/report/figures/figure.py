"""What every figure is: a name, words, and rows of numbers that can be drawn, tested and downloaded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import counted
from prunescope.laws import Fit
from prunescope.laws.data import GroupData, Numbers
from prunescope.laws.predict import Prediction, predict_errors
from prunescope.markup import Summarised
from prunescope.report.charts.parts import Panel

# Parameters as the papers write them.
SYMBOLS = {
    "eps_np": "\N{GREEK SMALL LETTER EPSILON}\N{LATIN SUBSCRIPT SMALL LETTER N}\N{LATIN SUBSCRIPT SMALL LETTER P}",
    "eps_up": "\N{GREEK SMALL LETTER EPSILON}\N{UPWARDS ARROW}",
    "gamma": "\N{GREEK SMALL LETTER GAMMA}",
    "p_prime": "p\N{PRIME}",
    "phi": "\N{GREEK SMALL LETTER PHI}",
    "psi": "\N{GREEK SMALL LETTER PSI}",
}

# Names of parameters in running text; what is typed in a command stays as it is.
_NAMES = re.compile(rf"(?<![-\w])({'|'.join(SYMBOLS)})(?![\w=])")


def symbolic(words: str) -> str:
    """Return a text with parameters as the papers write them."""
    return _NAMES.sub(lambda name: SYMBOLS[name[1]], words)


class _Drawn(Summarised):
    """What a figure draws; each figure has a field for its own kind of points, behind its other fields."""

    points: Sequence[Any]


@dataclass(frozen=True, repr=False)
class Figure(_Drawn):
    """A figure as numbers and words.

    Attributes
    ----------
    slug
        Its name in files and links.
    title
        Its heading.
    caption
        What one sees in these data; further lines are remarks on single panels.
    """

    slug: ClassVar[str]
    title: ClassVar[str]
    caption: str

    @property
    def rows(self) -> Sequence[Any]:
        """The numbers, one frozen record each."""
        return self.points

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the fields of a row."""
        return tuple(field.name for field in fields(self.rows[0]))

    def draw(self) -> tuple[Panel, ...]:
        """Draw the figure, a panel each; only this loads Altair."""
        raise NotImplementedError

    def __str__(self) -> str:
        return f"{self.title} ({self.slug}), {counted(len(self.rows), 'row')}\n{self.caption}"

    def _repr_svg_(self) -> str | None:
        """Show the figure in a notebook; nothing where what draws it is not installed."""
        from prunescope.report.writing import can_draw

        if not can_draw():
            return None
        from prunescope.report.charts.picture_files import svg

        return svg(self)


def is_identified(fit: Fit, *names: str) -> bool:
    """Whether all of some parameters are given, or told by the data."""
    return all(name in fit.fixed or fit.intervals.get(name, (0.0, 0.0)) is not None for name in names)


def clearly_better(cells: GroupData) -> NDArray[np.bool_] | None:
    """Tell which pruned points err less than their unpruned networks by more than two standard errors.

    None where chance is not known: without replicates, or without unpruned networks.
    """
    if cells.seed_noise is None or not np.isfinite(cells.unpruned).all():
        return None
    behind = np.where(cells.dense_repeats > 0, 1 / np.maximum(cells.dense_repeats, 1), 0.0)
    clear = np.log(cells.error / cells.unpruned) < -2 * cells.seed_noise * np.sqrt(1 / cells.repeats + behind)
    return np.asarray(clear & (cells.density < 1))


def law_along(fit: Fit, cells: GroupData, row: int, densities: Numbers) -> Prediction:
    """Return what a law says of one network's cell at densities of its own."""
    at = [np.full(len(densities), float(getattr(cells, name)[row])) for name in ("unpruned", "depth", "width")]
    return predict_errors(fit, at[0], densities, at[1], at[2])


def geometric(low: float, high: float, count: int) -> Numbers:
    """Return numbers evenly spaced in their logarithms."""
    return np.geomspace(low, max(high, low * (1 + 1e-9)), count)
