"""Other treatments beside pruning: extended training, narrower networks, ablations: the second paper's Figs. 6, 7."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from prunescope.lens import CellResult, Curve, TreatmentComparison
from prunescope.report.charts.end_labels import line_ends
from prunescope.report.charts.parts import (
    DENSITY,
    ERROR,
    Panel,
    bars,
    coloured,
    layered,
    panel_names,
    shaped,
    source,
    span,
    tips,
    x_log,
    y_log,
)
from prunescope.report.figures.figure import Figure
from prunescope.report.figures.noise import ends, noise_words

PRUNING, DENSE = "pruning", "dense"
# What is counted from 0, with the words at its axis.
COUNTED = {"rung": "rung", "epochs": "epochs trained, all rungs together"}


@dataclass(frozen=True)
class TreatmentPoint:
    """Test error of one rung over replicates, one standard deviation to either side.

    Attributes
    ----------
    treatment
        ``pruning``, ``dense`` (the unpruned networks' error, drawn across) or the treatment beside.
    at
        What rungs are set side by side by: epochs trained so far, the rung, the parameters, the density.
    """

    panel: str
    treatment: str
    at: float
    rung: int
    error: float
    low: float
    high: float


@dataclass(frozen=True, repr=False)
class Treatments(Figure):
    """Treatments side by side.

    Attributes
    ----------
    by
        What `at` is: ``epochs``, ``rung``, ``parameters`` or ``density``.
    """

    points: tuple[TreatmentPoint, ...]
    by: str

    def draw(self) -> tuple[Panel, ...]:
        """Draw treatments side by side."""
        import altair as alt

        others = dict.fromkeys(point.treatment for point in self.points if point.treatment not in (PRUNING, DENSE))
        kinds = [PRUNING, *others]
        # Levels of label noise are compared with each other: they share their axes.
        ends_x = span(point.at for point in self.points)
        ends_y = span(value for point in self.points for value in (point.error, point.high))
        y, low = y_log("error", ERROR, ends_y), y_log("low", ERROR, ends_y)
        if self.by in COUNTED:
            most = max(point.at for point in self.points)
            scale = alt.Scale(domain=[0, most], nice=False)
            x = alt.X("at:Q", title=COUNTED[self.by], axis=alt.Axis(tickCount=6, tickMinStep=1), scale=scale)
        else:
            x = x_log("at", "parameters that are left" if self.by == "parameters" else DENSITY, ends_x)
        panels = []
        for name in panel_names(self.points):
            points = [point for point in self.points if point.panel == name]
            present = {point.treatment for point in points}
            colour, shape = (
                coloured("treatment", kinds, None, present=present),
                shaped("treatment", kinds, None, present=present),
            )
            data = source(panel=name).transform_filter(alt.FieldOneOfPredicate(field="treatment", oneOf=kinds))
            bands, dense = bars(data, ends_y), source(panel=name, treatment=DENSE)
            tooltip = tips(("treatment", "treatment", None), ("rung", "rung", ",d"), ("at", self.by, ".4g"),
                           ("error", "error", ".4g"), ("low", "from", ".4g"), ("high", "to", ".4g"))  # fmt: skip
            layers = [
                dense.mark_line(style="reference", clip=True).encode(x=x, y=y),
                bands.mark_area(style="band", clip=True).encode(x=x, y=low, y2="high", color=colour),
                data.mark_line(strokeWidth=1.2, clip=True).encode(x=x, y=y, color=colour),
                data.mark_point().encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip),
            ]
            lines = line_ends(((point.treatment, point.at, point.error) for point in points), kinds)
            panels.append(Panel(layered(*layers, title=name), "kinds", len(kinds), len(points), ends=lines))
        return tuple(panels)


@dataclass(frozen=True, repr=False)
class Extended(Treatments):
    """Pruning beside the same training with nothing removed."""

    slug: ClassVar[str] = "pruning-beside-extended-training"
    title: ClassVar[str] = "Pruning beside extended dense training"


@dataclass(frozen=True, repr=False)
class Narrow(Treatments):
    """Pruning beside narrower networks."""

    slug: ClassVar[str] = "pruning-beside-narrower-networks"
    title: ClassVar[str] = "Pruning beside narrower networks of as many parameters"


@dataclass(frozen=True, repr=False)
class Ablations(Treatments):
    """Pruning beside other ways of pruning."""

    slug: ClassVar[str] = "other-ways-of-pruning"
    title: ClassVar[str] = "Other ways of pruning"


def extended(cells: Sequence[CellResult]) -> Extended | None:
    """Return pruning beside extended training; None where none went beyond rung 0."""
    compared = [(cell, (cell.extended,)) for cell in cells if cell.extended is not None]
    curves = [curve for cell, others in compared for curve in (cell.pruning, *(other.curve for other in others))]
    known = all(point.epochs is not None for curve in curves for point in curve.points)
    by = "epochs" if known else "rung"
    points = tuple(_points(compared, by))
    return Extended(_caption(compared), points, by) if points else None


def narrow(cells: Sequence[CellResult]) -> Narrow | None:
    """Return pruning beside narrower networks; None where there are none, or nobody counted parameters."""
    compared = [(cell, (cell.narrow,)) for cell in cells if cell.narrow is not None]
    points = tuple(_points(compared, "parameters"))
    return (
        Narrow(_caption(compared), points, "parameters")
        if any(point.treatment == PRUNING for point in points)
        else None
    )


def ablations(cells: Sequence[CellResult]) -> Ablations | None:
    """Return pruning beside other ways of pruning; None where there are none."""
    compared = [(cell, cell.ablations) for cell in cells if cell.ablations]
    return Ablations(_caption(compared), tuple(_points(compared, "density")), "density") if compared else None


Found = Sequence[tuple[CellResult, tuple[TreatmentComparison, ...]]]


def _points(compared: Found, by: str) -> Iterator[TreatmentPoint]:
    for cell, others in compared:
        panel = f"label noise {noise_words(cell.label_noise)}"
        pruning = list(_curve(panel, PRUNING, cell.pruning, by))
        yield from pruning
        for comparison in others:
            pruning += (points := list(_curve(panel, comparison.curve.treatment, comparison.curve, by)))
            yield from points
        dense = next((point for point in cell.pruning.points if point.rung == 0), None)
        if dense is not None and pruning:
            low, high = ends(dense.test_error)
            for at in (min(point.at for point in pruning), max(point.at for point in pruning)):
                yield TreatmentPoint(panel, DENSE, at, 0, dense.test_error.mean, low, high)


def _curve(panel: str, treatment: str, curve: Curve, by: str) -> Iterator[TreatmentPoint]:
    for point in curve.points:
        at = getattr(point, by)
        if at is not None and (point.rung > 0 or by not in COUNTED):
            yield TreatmentPoint(
                panel, treatment, float(at), point.rung, point.test_error.mean, *ends(point.test_error)
            )


def _caption(compared: Found) -> str:
    words = "Mean test error, ± one standard deviation over replicates; dashed lines: dense networks.\n"
    remarks = (
        f"Label noise {noise_words(cell.label_noise)}: {comparison.words}"
        f"{f'; {comparison.words_by_test}' if comparison.words_by_test else ''}."
        for cell, others in compared
        for comparison in others
    )
    return words + "\n".join(remarks)
