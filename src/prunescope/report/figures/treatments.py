"""Other treatments beside pruning: extended training, narrower networks, ablations: the second paper's Figs. 6, 7."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from prunescope.lens import CellResult, Curve, TreatmentComparison
from prunescope.report.charts.parts import (
    DENSITY,
    ERROR,
    Panel,
    coloured,
    layered,
    panel_names,
    shaped,
    source,
    span,
    tips,
    x_log,
    y_linear,
)
from prunescope.report.figures.figure import Figure
from prunescope.report.figures.noise import ends, noise_words

PRUNING, DENSE = "pruning", "dense"


@dataclass(frozen=True)
class TreatmentPoint:
    """Test error of one rung over replicates, one standard deviation to either side.

    Attributes
    ----------
    treatment
        ``pruning``, ``dense`` (the unpruned networks' error, drawn across) or the treatment beside.
    at
        What rungs are set side by side by: the rung, the parameters, the density.
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
        What `at` is.
    """

    by: ClassVar[str]
    points: tuple[TreatmentPoint, ...]

    @property
    def rows(self) -> tuple[TreatmentPoint, ...]:
        """The points."""
        return self.points

    def draw(self) -> tuple[Panel, ...]:
        """Draw treatments side by side."""
        import altair as alt

        others = dict.fromkeys(point.treatment for point in self.points if point.treatment not in (PRUNING, DENSE))
        kinds = [PRUNING, *others]
        panels = []
        for name in panel_names(self.points):
            points = [point for point in self.points if point.panel == name]
            y, low = y_linear("error", ERROR), y_linear("low", ERROR)
            ends = span(point.at for point in points)
            if self.by == "rung":
                x = alt.X("at:Q", title="rung", axis=alt.Axis(tickCount=6, tickMinStep=1), scale=alt.Scale(nice=False))
            else:
                x = x_log("at", "parameters that are left" if self.by == "parameters" else DENSITY, ends)
            present = {point.treatment for point in points}
            colour, shape = (
                coloured("treatment", kinds, None, present=present),
                shaped("treatment", kinds, None, present=present),
            )
            data = source(panel=name).transform_filter(alt.FieldOneOfPredicate(field="treatment", oneOf=kinds))
            dense = source(panel=name, treatment=DENSE)
            tooltip = tips(("treatment", "treatment", None), ("rung", "rung", ",d"), ("at", self.by, ".4g"),
                           ("error", "error", ".4g"), ("low", "from", ".4g"), ("high", "to", ".4g"))  # fmt: skip
            layers = [
                dense.mark_line(style="reference", clip=True).encode(x=x, y=y),
                data.mark_area(style="band", clip=True).encode(x=x, y=low, y2="high", color=colour),
                data.mark_line(strokeWidth=1.2, clip=True).encode(x=x, y=y, color=colour),
                data.mark_point().encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip),
            ]
            panels.append(Panel(layered(*layers, title=name), "kinds", len(kinds), len(points)))
        return tuple(panels)


@dataclass(frozen=True, repr=False)
class Extended(Treatments):
    """Pruning beside the same training with nothing removed."""

    slug: ClassVar[str] = "pruning-beside-extended-training"
    title: ClassVar[str] = "Pruning beside extended dense training"
    by: ClassVar[str] = "rung"


@dataclass(frozen=True, repr=False)
class Narrow(Treatments):
    """Pruning beside narrower networks."""

    slug: ClassVar[str] = "pruning-beside-narrower-networks"
    title: ClassVar[str] = "Pruning beside narrower networks of as many parameters"
    by: ClassVar[str] = "parameters"


@dataclass(frozen=True, repr=False)
class Ablations(Treatments):
    """Pruning beside other ways of pruning."""

    slug: ClassVar[str] = "other-ways-of-pruning"
    title: ClassVar[str] = "Other ways of pruning"
    by: ClassVar[str] = "density"


def extended(cells: Sequence[CellResult]) -> Extended | None:
    """Return pruning beside extended training; None where none went beyond rung 0."""
    compared = [(cell, (cell.extended,)) for cell in cells if cell.extended is not None]
    points = tuple(_points(compared, "rung"))
    return Extended(_caption(compared), points) if points else None


def narrow(cells: Sequence[CellResult]) -> Narrow | None:
    """Return pruning beside narrower networks; None where there are none, or nobody counted parameters."""
    compared = [(cell, (cell.narrow,)) for cell in cells if cell.narrow is not None]
    points = tuple(_points(compared, "parameters"))
    return Narrow(_caption(compared), points) if any(point.treatment == PRUNING for point in points) else None


def ablations(cells: Sequence[CellResult]) -> Ablations | None:
    """Return pruning beside other ways of pruning; None where there are none."""
    compared = [(cell, cell.ablations) for cell in cells if cell.ablations]
    return Ablations(_caption(compared), tuple(_points(compared, "density"))) if compared else None


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
        if at is not None and (point.rung > 0 or by != "rung"):
            yield TreatmentPoint(
                panel, treatment, float(at), point.rung, point.test_error.mean, *ends(point.test_error)
            )


def _caption(compared: Found) -> str:
    words = "Mean test error, ± one standard deviation over replicates; dashed lines: dense networks. "
    remarks = (
        f"Label noise {noise_words(cell.label_noise)}: {comparison.words}"
        f"{f'; {comparison.words_by_test}' if comparison.words_by_test else ''}."
        for cell, others in compared
        for comparison in others
    )
    return words + " ".join(remarks)
