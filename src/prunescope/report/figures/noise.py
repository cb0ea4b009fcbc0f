"""Test error by density at every level of label noise, and training loss: the second paper's Figs. 3 and 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from prunescope.lens import CellResult, Spread, TreatmentOutcome
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

PRUNED, DENSE = "pruned", "dense"


@dataclass(frozen=True)
class NoisePoint:
    """Test error over replicates at one density, one standard deviation to either side.

    Attributes
    ----------
    what
        ``pruned``, or ``dense``: the unpruned networks' error, drawn across.
    optimal
        Whether this is the sparsity with the lowest validation error.
    verdict
        Against the dense networks, by the paper's rule.
    """

    noise: str
    what: str
    density: float
    error: float
    low: float
    high: float
    networks: int
    optimal: bool
    verdict: str


@dataclass(frozen=True, repr=False)
class Noise(Figure):
    """Test error by density and label noise."""

    slug: ClassVar[str] = "error-under-label-noise"
    title: ClassVar[str] = "Test error by density, beside the dense networks"
    levels: tuple[str, ...]
    points: tuple[NoisePoint, ...]

    def draw(self) -> tuple[Panel, ...]:
        """Draw test error by density and label noise."""
        import altair as alt

        x = x_log("density", DENSITY, span(point.density for point in self.points))
        ends_y = span(value for point in self.points for value in (point.error, point.low, point.high))
        y, low = y_log("error", ERROR, ends_y), y_log("low", ERROR, ends_y)
        colour, shape = coloured("noise", self.levels, "label noise"), shaped("noise", self.levels, "label noise")
        pruned, dense = bars(source(what=PRUNED), ends_y), bars(source(what=DENSE), ends_y)
        tooltip = tips(("noise", "label noise", None), ("density", "density", ".4g"), ("error", "error", ".4g"),
                       ("low", "from", ".4g"), ("high", "to", ".4g"), ("verdict", "than dense", None))  # fmt: skip
        best = pruned.transform_filter(alt.FieldEqualPredicate(field="optimal", equal=True))
        layers = [
            dense.mark_area(style="band", clip=True).encode(x=x, y=low, y2="high", color=colour),
            dense.mark_line(strokeDash=[5, 4], clip=True).encode(x=x, y=y, color=colour),
            pruned.mark_line(strokeWidth=1, opacity=0.6, clip=True).encode(x=x, y=y, color=colour),
            pruned.mark_rule(style="spread", clip=True).encode(x=x, y=low, y2="high", color=colour),
            best.mark_point(size=190, filled=False, strokeWidth=1.8, shape="circle").encode(x=x, y=y, color=colour),
            pruned.mark_point().encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip),
        ]
        lines = ((point.noise, point.density, point.error) for point in self.points if point.what == PRUNED)
        named = line_ends(lines, self.levels)
        chart = layered(*layers, title="")
        return (Panel(chart, "ordered", len(self.levels), len(self.points), height=380, ends=named),)


def ends(spread: Spread) -> tuple[float, float]:
    """Return one standard deviation to either side of a mean; the mean itself of a single network."""
    deviation = spread.deviation or 0.0
    return spread.mean - deviation, spread.mean + deviation


def noise_words(noise: float) -> str:
    """Write a level of label noise."""
    return f"{noise:.3g}"


def noise(cells: Sequence[CellResult]) -> Noise | None:
    """Return the figure of one network at its levels of label noise; None where nothing was pruned yet."""
    points, levels, remarks = [], [], []
    for cell in cells:
        curve = cell.pruning
        sparse = [point for point in curve.points if point.rung > 0]
        if not sparse:
            continue
        label = noise_words(cell.label_noise)
        levels.append(label)
        for point in sparse:
            verdict = "" if point.against_dense is None else str(point.against_dense.outcome)
            low, high = ends(point.test_error)
            networks = len(point.test_error.values)
            best = point.rung == curve.optimal
            points.append(
                NoisePoint(label, PRUNED, point.density, point.test_error.mean, low, high, networks, best, verdict)
            )
        dense = next((point for point in curve.points if point.rung == 0), None)
        if dense is not None:
            mean, networks = dense.test_error.mean, len(dense.test_error.values)
            low, high = ends(dense.test_error)
            points += (
                NoisePoint(label, DENSE, density, mean, low, high, networks, False, "")
                for density in (1.0, min(point.density for point in sparse))
            )
        better = [
            point for point in sparse if point.against_dense and point.against_dense.outcome is TreatmentOutcome.BETTER
        ]
        span = f"at {len(better)} of {len(sparse)} densities" if better else "at no density"
        remarks.append(f"{label}: {span}")
    if not points:
        return None
    caption = (
        "Bars: ± one standard deviation over replicates; dashed lines: dense networks; rings: the density with the "
        "lowest validation error. Pruned networks have a lower error than dense ones, by label noise: "
        f"{'; '.join(remarks)}."
    )
    return Noise(caption, tuple(levels), tuple(points))


PARTS = {
    "train_loss": "all examples",
    "train_loss_original": "original labels",
    "train_loss_noisy": "noisy labels",
}


@dataclass(frozen=True)
class LossPoint:
    """Mean training loss of part of the examples over replicates, one standard deviation to either side."""

    panel: str
    part: str
    density: float
    loss: float
    low: float
    high: float


@dataclass(frozen=True, repr=False)
class Losses(Figure):
    """Training loss by density."""

    slug: ClassVar[str] = "training-loss-by-density"
    title: ClassVar[str] = "Training loss by density, original and noisy examples"
    points: tuple[LossPoint, ...]

    def draw(self) -> tuple[Panel, ...]:
        """Draw training loss by density."""
        ends = span(value for point in self.points for value in (point.loss, point.high))
        kinds = [words for words in PARTS.values() if any(point.part == words for point in self.points)]
        panels = []
        for name in panel_names(self.points):
            points = [point for point in self.points if point.panel == name]
            x, y = (
                x_log("density", DENSITY, span(point.density for point in points)),
                y_log("loss", "training loss, nats", ends),
            )
            present = {point.part for point in points}
            colour, shape = coloured("part", kinds, None, present=present), shaped("part", kinds, None, present=present)
            data = source(panel=name)
            tooltip = tips(("part", "examples", None), ("density", "density", ".4g"), ("loss", "loss", ".4g"))
            layers = [
                data.mark_area(style="band", clip=True).encode(
                    x=x, y=y_log("low", "training loss, nats", ends), y2="high", color=colour
                ),
                data.mark_line(strokeWidth=1.2, clip=True).encode(x=x, y=y, color=colour),
                data.mark_point().encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip),
            ]
            lines = line_ends(((point.part, point.density, point.loss) for point in points), kinds)
            panels.append(Panel(layered(*layers, title=name), "kinds", len(kinds), len(points), ends=lines))
        return tuple(panels)


def losses(cells: Sequence[CellResult]) -> Losses | None:
    """Return the figure of one network at its levels of label noise; None where no row tells a training loss."""
    points, remarks = [], []
    for cell in cells:
        parts = dict(PARTS) if cell.label_noise > 0 else {"train_loss": PARTS["train_loss"]}
        if cell.label_noise > 0 and any(point.train_loss_original for point in cell.pruning.points):
            del parts["train_loss"]
        for name, words in parts.items():
            for point in cell.pruning.points:
                spread = getattr(point, name)
                if spread is not None and spread.mean > 0:
                    low, high = ends(spread)
                    panel = f"label noise {noise_words(cell.label_noise)}"
                    points.append(LossPoint(panel, words, point.density, spread.mean, max(low, spread.mean / 50), high))
        gap = cell.optimal.gap if cell.optimal is not None else None
        if gap is not None:
            remarks.append(f"Label noise {noise_words(cell.label_noise)}: {gap.words}")
    if not points:
        return None
    caption = (
        "Mean cross-entropy over the training examples, by the labels trained on; bands: ± one standard deviation."
    )
    return Losses("\n".join([caption, *(f"{words}." for words in remarks)]), tuple(points))
