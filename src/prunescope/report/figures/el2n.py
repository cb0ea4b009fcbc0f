"""What pruning does to training losses by EL2N: the second paper's Figs. 1b, 2 and 5, and its Appendix L."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from prunescope.laws.results import number
from prunescope.lens import CellResult, Sparsity, TreatmentOutcome
from prunescope.lens.example_changes import Groups
from prunescope.report.charts.end_labels import line_ends
from prunescope.report.charts.parts import (
    Panel,
    coloured,
    layered,
    panel_names,
    shaped,
    source,
    tips,
)
from prunescope.report.figures.figure import Figure
from prunescope.report.figures.noise import noise_words

# Verdicts in the words of a legend, always in one order.
VERDICTS = {
    TreatmentOutcome.BETTER: "lower than dense",
    TreatmentOutcome.MATCHES: "matches",
    TreatmentOutcome.WORSE: "higher than dense",
    TreatmentOutcome.UNTOLD: "one replicate: no verdict",
}


@dataclass(frozen=True)
class GroupPoint:
    """Training loss of one group of examples, sparse minus dense, one standard deviation to either side.

    Attributes
    ----------
    percentile_low, percentile_high
        The group's range of EL2N percentiles.
    el2n
        Its mean score.
    """

    panel: str
    percentile_low: float
    percentile_high: float
    el2n: float
    difference: float
    low: float
    high: float
    verdict: str


@dataclass(frozen=True, repr=False)
class El2nGroups(Figure):
    """Loss differences by EL2N."""

    slug: ClassVar[str] = "loss-by-el2n"
    title: ClassVar[str] = "What pruning does to training loss, by EL2N"
    points: tuple[GroupPoint, ...]

    def draw(self) -> tuple[Panel, ...]:
        """Draw loss differences by EL2N."""
        import altair as alt

        kinds = [words for words in VERDICTS.values() if any(point.verdict == words for point in self.points)]
        panels = []
        for name in panel_names(self.points):
            points = [point for point in self.points if point.panel == name]
            title = "sparse minus dense, nats"
            # Panels of one level of label noise are compared with each other: they share their axis.
            level = [point for point in self.points if _level(point.panel) == _level(name)]
            ends = min(0.0, *(point.low for point in level)), max(0.0, *(point.high for point in level))
            shared = alt.Scale(domain=list(ends) if ends[0] < ends[1] else [-1, 1])
            scale = alt.Scale(domain=[0, 100], nice=False)
            x = alt.X("percentile_low:Q", title="percentile of EL2N", scale=scale, axis=alt.Axis(tickCount=5))
            colour = coloured("verdict", kinds, "training loss", present={point.verdict for point in points})
            data = source(panel=name)
            middle = data.transform_calculate(middle="(datum.percentile_low + datum.percentile_high) / 2")
            tooltip = tips(("percentile_low", "percentile", ".3g"), ("percentile_high", "to", ".3g"),
                           ("el2n", "EL2N", ".3g"), ("difference", "difference", ".4g"),
                           ("verdict", "verdict", None))  # fmt: skip
            layers = [
                data.mark_bar(opacity=0.85, stroke=None).encode(
                    x=x,
                    x2="percentile_high",
                    y=alt.Y("difference:Q", title=title, scale=shared),
                    y2=alt.datum(0),
                    color=colour,
                    tooltip=tooltip,
                ),
                middle.mark_rule(style="plain").encode(
                    x=alt.X("middle:Q", scale=scale, title="percentile of EL2N"),
                    y=alt.Y("low:Q", title=title, scale=shared),
                    y2="high",
                ),
            ]
            panels.append(Panel(layered(*layers, title=name), "kinds", len(kinds), len(points), height=260))
        return tuple(panels)


def _level(panel: str) -> str:
    """Return the level of label noise that a panel is of."""
    return panel.split(",", 1)[0]


@dataclass(frozen=True, repr=False)
class TreatmentGroups(El2nGroups):
    """Loss differences of treatments other than the main one, by EL2N."""

    slug: ClassVar[str] = "loss-by-el2n-of-other-treatments"
    title: ClassVar[str] = "What other treatments do to training loss, by EL2N"


def treatment_groups(cells: Sequence[CellResult]) -> TreatmentGroups | None:
    """Return the groups of every other treatment at its optimal rung; None where no outcomes of theirs were kept."""
    points: list[GroupPoint] = []
    remarks = []
    for cell in cells:
        noise = f"noise {noise_words(cell.label_noise)}"
        others = [
            (f"{comparison.curve.treatment}, rung {change.rung}", change.groups)
            for comparison in (cell.extended, cell.narrow, *cell.ablations)
            if comparison is not None
            for change in comparison.changes
            if change.groups is not None and change.which == "optimal"
        ]
        others += [(item.treatment, item.groups) for item in cell.leave_outs if item.groups is not None]
        for name, groups in others:
            points += _group_points(f"{noise}, {name}", groups)
            remarks.append(f"Noise {noise_words(cell.label_noise)}, {name}: {groups.top.words}.")
    if not points:
        return None
    caption = (
        "As for pruning: mean training loss minus that of the dense networks, by EL2N, each treatment at its optimal "
        "rung; leave-out networks on the examples that they were trained on.\n"
    )
    return TreatmentGroups(caption + "\n".join(remarks), tuple(points))


def _group_points(panel: str, groups: Groups) -> Iterator[GroupPoint]:
    for group in groups.groups:
        difference = group.difference
        reach = difference.deviation or 0.0
        yield GroupPoint(
            panel,
            group.low,
            group.high,
            group.el2n.mean,
            difference.mean,
            difference.mean - reach,
            difference.mean + reach,
            VERDICTS[difference.outcome],
        )


def el2n_groups(cells: Sequence[CellResult]) -> El2nGroups | None:
    """Return the figure of one network at its levels of label noise; None without scores or losses of examples."""
    points: list[GroupPoint] = []
    remarks = []
    for cell in cells:
        for sparsity in _interesting(cell):
            groups = sparsity.groups
            if groups is None:
                continue
            panel = f"noise {noise_words(cell.label_noise)}, {sparsity.which}: density {number(sparsity.density)}"
            points += _group_points(panel, groups)
            remarks.append(f"Noise {noise_words(cell.label_noise)}, {sparsity.which}: {groups.top.words}.")
            if groups.corrected_words:
                remarks[-1] += f" {groups.corrected_words[0].upper()}{groups.corrected_words[1:]}."
    if not points:
        return None
    caption = (
        "Training examples grouped by EL2N, easiest to hardest. Bars: mean training loss of the sparse networks minus "
        "that of the dense ones; lines: ± one standard deviation over replicates.\n"
    )
    return El2nGroups(caption + "\n".join(remarks), tuple(points))


def _interesting(cell: CellResult) -> Iterator[Sparsity]:
    """Yield the sparsities that are looked at, each rung once."""
    rungs = set()
    for sparsity in (cell.optimal, cell.sparsest):
        if sparsity is not None and sparsity.rung not in rungs:
            rungs.add(sparsity.rung)
            yield sparsity


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
                for fifth, difference in enumerate(change.fifths):
                    reach = difference.deviation or 0.0
                    points.append(
                        RungChangePoint(
                            panel,
                            f"{fifth * width} to {(fifth + 1) * width}",
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
