"""Change of training loss by EL2N over all sparsities, for pruning and extended training: Appendix L."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from prunescope.lens import CellResult
from prunescope.report.charts.end_labels import line_ends
from prunescope.report.charts.parts import Panel, coloured, layered, panel_names, shaped, source, tips
from prunescope.report.figures.figure import Figure
from prunescope.report.figures.noise import noise_words

FEWEST = 2  # rungs that make a course


@dataclass(frozen=True)
class RungChangePoint:
    """One fifth of the training examples at one rung, one standard deviation to either side."""

    panel: str
    fifth: str
    rung: int
    density: float
    difference: float
    low: float
    high: float
    verdict: str


@dataclass(frozen=True, repr=False)
class RungChanges(Figure):
    """Loss differences of fifths by EL2N, rung by rung."""

    slug: ClassVar[str] = "loss-by-el2n-over-sparsities"
    title: ClassVar[str] = "What pruning does to training loss, by EL2N and rung"
    points: tuple[RungChangePoint, ...]

    @property
    def rows(self) -> tuple[RungChangePoint, ...]:
        """The points."""
        return self.points

    def draw(self) -> tuple[Panel, ...]:
        """Draw loss differences by rung, a line for each fifth."""
        import altair as alt

        kinds = list(dict.fromkeys(point.fifth for point in self.points))
        panels = []
        for name in panel_names(self.points):
            points = [point for point in self.points if point.panel == name]
            title = "training loss minus dense, nats"
            # Treatments at one level of label noise are compared with each other: they share their axes.
            level = [point for point in self.points if point.panel.split(",")[0] == name.split(",")[0]]
            scale = alt.Scale(domain=[0, max(point.rung for point in level)])
            ends = min(0.0, *(point.low for point in level)), max(0.0, *(point.high for point in level))
            scale_y = alt.Scale(domain=list(ends) if ends[0] < ends[1] else [-1, 1])
            x = alt.X("rung:Q", title="rung", scale=scale, axis=alt.Axis(tickMinStep=1))
            y = alt.Y("difference:Q", title=title, scale=scale_y)
            colour, shape = coloured("fifth", kinds, "percentile of EL2N"), shaped("fifth", kinds, "percentile of EL2N")
            data = source(panel=name)
            tooltip = tips(("fifth", "percentile of EL2N", None), ("rung", "rung", "d"), ("density", "density", ".4g"),
                           ("difference", "difference", ".4g"), ("verdict", "verdict", None))  # fmt: skip
            layers = [
                data.mark_area(style="band").encode(
                    x=x, y=alt.Y("low:Q", title=title, scale=scale_y), y2="high", color=colour
                ),
                data.mark_line(strokeWidth=1.2).encode(x=x, y=y, color=colour),
                data.mark_point().encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip),
            ]
            lines = line_ends(((point.fifth, point.rung, point.difference) for point in points), kinds)
            panels.append(Panel(layered(*layers, title=name), "ordered", len(kinds), len(points), ends=lines))
        return tuple(panels)


def rung_changes(cells: Sequence[CellResult]) -> RungChanges | None:
    """Return the figure of one network at its levels of label noise; None where outcomes of fewer rungs were kept."""
    points: list[RungChangePoint] = []
    for cell in cells:
        for treatment in dict.fromkeys(change.treatment for change in cell.changes_by_rung):
            changes = [change for change in cell.changes_by_rung if change.treatment == treatment]
            if len(changes) < FEWEST:
                continue
            panel = f"noise {noise_words(cell.label_noise)}, {treatment}"
            for change in changes:
                width = 100 // len(change.fifths)
                for number, difference in enumerate(change.fifths):
                    reach = difference.deviation or 0.0
                    points.append(
                        RungChangePoint(
                            panel,
                            f"{number * width} to {(number + 1) * width}",
                            change.rung,
                            change.density,
                            difference.mean,
                            difference.mean - reach,
                            difference.mean + reach,
                            str(difference.outcome),
                        )
                    )
    if not points:
        return None
    caption = (
        "Training examples in fifths by EL2N. Lines: mean training loss of the networks of a rung minus that of the "
        "dense ones; bands: ± one standard deviation over replicates."
    )
    return RungChanges(caption, tuple(points))
