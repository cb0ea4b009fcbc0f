"""Training loss of the original and of the noisy examples by density: the second paper's Fig. 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from prunescope.lens import CellResult
from prunescope.report.charts.end_labels import line_ends
from prunescope.report.charts.parts import (
    DENSITY,
    Panel,
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

    @property
    def rows(self) -> tuple[LossPoint, ...]:
        """The points."""
        return self.points

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
