"""Dense networks trained without some examples, and the check that EL2N stands for influence: Appendices D, E and K."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from prunescope.lens import CellResult
from prunescope.report.charts.parts import Panel, coloured, layered, panel_names, percent_axis, source, tips, y_linear
from prunescope.report.figures.figure import Figure
from prunescope.report.figures.noise import noise_words

DENSE, SPARSE, RANDOM = "minus the dense network", "minus the optimally sparse one", "minus as many left out at random"


@dataclass(frozen=True)
class LeaveOutPoint:
    """Change of test error without some examples, one standard deviation to either side.

    Attributes
    ----------
    against
        What it is compared with.
    verdict
        By the paper's rule.
    """

    panel: str
    treatment: str
    against: str
    difference: float
    low: float
    high: float
    verdict: str


@dataclass(frozen=True, repr=False)
class LeaveOuts(Figure):
    """Networks trained without some examples."""

    slug: ClassVar[str] = "trained-without-some-examples"
    title: ClassVar[str] = "Test error without some of the training examples"
    points: tuple[LeaveOutPoint, ...]

    def draw(self) -> tuple[Panel, ...]:
        """Draw changes of test error, a line for each comparison."""
        import altair as alt

        kinds = [kind for kind in (DENSE, SPARSE, RANDOM) if any(point.against == kind for point in self.points)]
        panels = []
        for name in panel_names(self.points):
            points = [point for point in self.points if point.panel == name]
            present = {point.against for point in points}
            colour = coloured("against", kinds, "test error", present=present)
            title = "change of test error"
            # Levels of label noise are compared with each other: they share their axis.
            ends = min(0.0, *(point.low for point in self.points)), max(0.0, *(point.high for point in self.points))
            scale = alt.Scale(domain=list(ends), nice=True)
            x = alt.X("difference:Q", title=title, scale=scale, axis=percent_axis(5, "+"))
            y = alt.Y("treatment:N", title=None, axis=alt.Axis(labelLimit=260))
            offset = alt.YOffset("against:N", sort=kinds)
            tooltip = tips(("treatment", "trained", None), ("against", "test error", None),
                           ("difference", "change", "+.4f"), ("verdict", "verdict", None))  # fmt: skip
            data = source(panel=name)
            low = alt.X("low:Q", title=title, scale=scale)
            layers = [
                data.mark_rule(style="plain").encode(x=low, x2="high", y=y, yOffset=offset, color=colour),
                data.mark_point(size=60).encode(x=x, y=y, yOffset=offset, color=colour, tooltip=tooltip),
            ]
            height = 18 * len(points) + 40
            panels.append(Panel(layered(*layers, title=name), "kinds", len(kinds), len(points), height=height))
        return tuple(panels)


def leave_outs(cells: Sequence[CellResult]) -> LeaveOuts | None:
    """Return the figure of one network at its levels of label noise; None without leave-out networks."""
    points, remarks = [], []
    for cell in cells:
        panel = f"label noise {noise_words(cell.label_noise)}"
        for leave_out in cell.leave_outs:
            verdicts = (
                (DENSE, leave_out.against_dense),
                (SPARSE, leave_out.against_sparse),
                (RANDOM, leave_out.against_random),
            )
            for against, verdict in verdicts:
                if verdict is not None:
                    reach = verdict.deviation or 0.0
                    low, high = verdict.mean - reach, verdict.mean + reach
                    outcome = str(verdict.outcome)
                    points.append(LeaveOutPoint(panel, leave_out.treatment, against, verdict.mean, low, high, outcome))
            remarks.append(f"Label noise {noise_words(cell.label_noise)}: {leave_out.words}.")
    if not points:
        return None
    caption = "Change of test error when dense networks are trained anew without some examples; bars: ± one deviation. "
    return LeaveOuts("\n".join([caption.strip(), *remarks]), tuple(points))


@dataclass(frozen=True)
class InfluencePoint:
    """One dense network trained without one group of examples."""

    panel: str
    replicate: str
    el2n: float
    change: float
    signed: float
    count: int


@dataclass(frozen=True, repr=False)
class InfluenceCheck(Figure):
    """Absolute change of test error without a group, by the group's EL2N."""

    slug: ClassVar[str] = "influence-by-el2n"
    title: ClassVar[str] = "Does EL2N stand for influence?"
    points: tuple[InfluencePoint, ...]

    def draw(self) -> tuple[Panel, ...]:
        """Draw influence by EL2N, a colour for each replicate."""
        import altair as alt

        kinds = list(dict.fromkeys(point.replicate for point in self.points))
        panels = []
        for name in panel_names(self.points):
            points = [point for point in self.points if point.panel == name]
            colour = coloured("replicate", kinds, "replicate", present={point.replicate for point in points})
            x = alt.X("el2n:Q", title="mean EL2N of the group left out", scale=alt.Scale(zero=False))
            y = y_linear("change", "absolute change of test error")
            tooltip = tips(("replicate", "replicate", None), ("el2n", "EL2N", ".3g"), ("count", "examples", ",d"),
                           ("signed", "change of test error", "+.4f"))  # fmt: skip
            mark = source(panel=name).mark_point(size=60).encode(x=x, y=y, color=colour, tooltip=tooltip)
            panels.append(Panel(layered(mark, title=name), "kinds", len(kinds), len(points)))
        return tuple(panels)


def influence(cells: Sequence[CellResult]) -> InfluenceCheck | None:
    """Return the check of EL2N against influence; None where no groups were left out."""
    points: list[InfluencePoint] = []
    remarks = []
    for cell in cells:
        if cell.influence is None:
            continue
        panel = f"label noise {noise_words(cell.label_noise)}"
        points += (
            InfluencePoint(panel, group.replicate, group.el2n, abs(group.change), group.change, group.count)
            for group in cell.influence.groups
        )
        remarks.append(f"Label noise {noise_words(cell.label_noise)}: {cell.influence.words}.")
    if not points:
        return None
    caption = "Each point: dense networks trained anew without one group of examples by EL2N. "
    return InfluenceCheck("\n".join([caption.strip(), *remarks]), tuple(points))
