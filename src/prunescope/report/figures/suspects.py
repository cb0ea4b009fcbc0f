"""The training labels most likely to be wrong, with pictures: by EL2N and the loss in the optimally sparse network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from prunescope.lens import CellResult
from prunescope.report.charts.parts import Panel, coloured, layered, panel_names, shaped, source, tips
from prunescope.report.figures.extremes import NOISY, ORIGINAL, PicturedExamples, Portrait, portraits_of
from prunescope.report.figures.noise import noise_words

# Suspects of a panel whose pictures are shown.
PICTURED = 8


@dataclass(frozen=True)
class SuspectPoint:
    """One training label that may be wrong; the first in its panel is the most suspicious."""

    panel: str
    place: int
    index: int
    label: int
    labelled: str
    suspicion: float
    el2n: float | None
    dense_loss: float
    sparse_loss: float


@dataclass(frozen=True, repr=False)
class SuspectLabels(PicturedExamples):
    """Labels that may be wrong."""

    slug: ClassVar[str] = "labels-most-likely-wrong"
    title: ClassVar[str] = "The training labels most likely to be wrong"
    points: tuple[SuspectPoint, ...]

    @property
    def rows(self) -> tuple[SuspectPoint, ...]:
        """The points."""
        return self.points

    def draw(self) -> tuple[Panel, ...]:
        """Draw the loss of suspects in the sparse network, in the order of suspicion."""
        import altair as alt

        kinds = [kind for kind in (ORIGINAL, NOISY) if any(point.labelled == kind for point in self.points)]
        panels = []
        for name in panel_names(self.points):
            points = [point for point in self.points if point.panel == name]
            present = {point.labelled for point in points}
            tooltip = tips(("index", "place in the training set", ",d"), ("label", "label", None),
                           ("labelled", "the study", None), ("suspicion", "suspicion", ".4f"), ("el2n", "EL2N", ".3g"),
                           ("sparse_loss", "sparse loss", ".3g"))  # fmt: skip
            mark = (
                source(panel=name)
                .mark_point(size=60)
                .encode(
                    x=alt.X("place:Q", title="place in the list", axis=alt.Axis(tickCount=6, tickMinStep=1)),
                    y=alt.Y("sparse_loss:Q", title="training loss in the sparse network, nats"),
                    color=coloured("labelled", kinds, None, present=present),
                    shape=shaped("labelled", kinds, None, present=present),
                    tooltip=tooltip,
                )
            )
            panels.append(Panel(layered(mark, title=name), "kinds", len(kinds), len(points)))
        return tuple(panels)


def suspect_labels(cells: Sequence[CellResult]) -> SuspectLabels | None:
    """Return the figure of one network at its levels of label noise; None where no outcomes of examples were kept."""
    points: list[SuspectPoint] = []
    portraits: list[Portrait] = []
    remarks = []
    for cell in cells:
        suspects = cell.suspects
        if suspects is None or not suspects.suspects:
            continue
        panel = f"noise {noise_words(cell.label_noise)}, replicate {suspects.replicate}"
        there = [
            SuspectPoint(
                panel,
                place,
                suspect.index,
                suspect.label,
                NOISY if suspect.noisy else ORIGINAL,
                suspect.suspicion,
                suspect.el2n,
                suspect.dense_loss,
                suspect.sparse_loss,
            )
            for place, suspect in enumerate(suspects.suspects, start=1)
        ]
        points += there
        pictured = there[:PICTURED]
        words = [f"{panel}: {point.index}, {point.labelled} {point.label}" for point in pictured]
        portraits += portraits_of(cell, [point.index for point in pictured], words)
        shares = ", ".join(f"{item.by} {100 * item.share.mean:.0f} % of {item.count}" for item in suspects.precisions)
        planted = f"; planted wrong labels by {shares}" if shares else ""
        remarks.append(f"Noise {noise_words(cell.label_noise)}: replicate {suspects.replicate}{planted}.")
    if not points:
        return None
    caption = (
        "Ranked by EL2N and the loss in the optimally sparse network together. The list suggests which labels to "
        "check; hard examples with right labels are on it, too. "
    )
    return SuspectLabels(caption + " ".join(remarks), tuple(points), tuple(portraits))
