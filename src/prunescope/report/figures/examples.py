"""Single training examples with pictures: those whose loss pruning changes most, and labels most likely to be wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import PrunescopeError, whole_percent
from prunescope.laws.results import number
from prunescope.lens import CellResult, pictures
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

ORIGINAL, NOISY = "original label", "noisy label"
# Examples of either end that a panel shows.
SHOWN = 8
# Examples of either end whose pictures are shown.
PICTURED = 4


@dataclass(frozen=True)
class ExtremePoint:
    """One training example under pruning.

    Attributes
    ----------
    example
        Its place in the training set and the label trained on, in words.
    """

    panel: str
    example: str
    index: int
    label: int
    labelled: str
    dense_loss: float
    sparse_loss: float
    difference: float
    el2n: float | None


@dataclass(frozen=True, eq=False)
class Portrait:
    """One example's picture, uint8 ``[channels, height, width]``, and what there is to say of it."""

    words: str
    image: NDArray[np.uint8]


@dataclass(frozen=True, repr=False)
class PicturedExamples(Figure):
    """Single examples.

    Attributes
    ----------
    portraits
        Their pictures; empty where their dataset is not on this machine.
    """

    points: tuple[Any, ...]
    portraits: tuple[Portrait, ...]


@dataclass(frozen=True, repr=False)
class ExtremeExamples(PicturedExamples):
    """The examples that pruning changes most."""

    slug: ClassVar[str] = "examples-changed-most"
    title: ClassVar[str] = "Examples that pruning changes most"
    points: tuple[ExtremePoint, ...]

    def draw(self) -> tuple[Panel, ...]:
        """Draw single examples."""
        import altair as alt

        kinds = [kind for kind in (ORIGINAL, NOISY) if any(point.labelled == kind for point in self.points)]
        panels = []
        for name in panel_names(self.points):
            points = [point for point in self.points if point.panel == name]
            order = list(dict.fromkeys(point.example for point in points))
            y = alt.Y("example:N", sort=order, title="place in the training set")
            present = {point.labelled for point in points}
            colour, shape = (
                coloured("labelled", kinds, None, present=present),
                shaped("labelled", kinds, None, present=present),
            )
            title = "training loss, dense to sparse (mark)"
            tooltip = tips(("example", "example", None), ("dense_loss", "dense", ".4g"),
                           ("sparse_loss", "sparse", ".4g"), ("labelled", "label", None))  # fmt: skip
            data = source(panel=name)
            layers = [
                data.mark_rule(strokeWidth=1.6).encode(
                    x=alt.X("dense_loss:Q", title=title, axis=alt.Axis(tickCount=6)),
                    x2="sparse_loss",
                    y=y,
                    color=colour,
                ),
                data.mark_point(size=60).encode(
                    x=alt.X("sparse_loss:Q", title=title, axis=alt.Axis(tickCount=6)),
                    y=y,
                    color=colour,
                    shape=shape,
                    tooltip=tooltip,
                ),
            ]
            panels.append(
                Panel(layered(*layers, title=name), "kinds", len(kinds), len(points), height=20 * len(order) + 30)
            )
        return tuple(panels)


def extreme_examples(cells: Sequence[CellResult]) -> ExtremeExamples | None:
    """Return the figure of one network at its levels of label noise; None where no outcomes of examples were kept."""
    points: list[ExtremePoint] = []
    remarks = []
    for cell in cells:
        sparsity = cell.optimal
        if sparsity is None or not sparsity.extremes:
            continue
        extremes = sparsity.extremes[0]
        panel = f"noise {noise_words(cell.label_noise)}, density {number(sparsity.density)}"
        worsened = extremes.worsened[:SHOWN]
        chosen = [*worsened, *reversed(extremes.improved[:SHOWN])]
        points += (
            ExtremePoint(
                panel,
                f"{example.index} (label {example.label})",
                example.index,
                example.label,
                NOISY if example.noisy else ORIGINAL,
                example.dense_loss,
                example.sparse_loss,
                example.difference,
                example.el2n,
            )
            for example in {example.index: example for example in chosen}.values()
        )
        noisy = sum(example.noisy for example in worsened)
        count = (
            f"; of the {len(worsened)} drawn that pruning worsens most, {noisy} are noisy" if cell.label_noise else ""
        )
        remarks.append(f"Noise {noise_words(cell.label_noise)}: replicate {extremes.replicate}{count}.")
    if not points:
        return None
    caption = "Each line leads from the loss in the dense network to that in the optimally sparse one. "
    return ExtremeExamples(caption + " ".join(remarks), tuple(points), _portraits(cells[0], points))


def _portraits(cell: CellResult, points: Sequence[ExtremePoint]) -> tuple[Portrait, ...]:
    """Return the pictures of the examples that change most in each panel."""
    chosen: list[ExtremePoint] = []
    for panel in dict.fromkeys(point.panel for point in points):
        ordered = sorted((point for point in points if point.panel == panel), key=lambda point: point.difference)
        chosen += {point.index: point for point in (*ordered[-PICTURED:][::-1], *ordered[:PICTURED])}.values()
    words = [
        f"{point.panel}: {point.index}, {point.labelled} {point.label}, {point.difference:+.3g} nats"
        for point in chosen
    ]
    return _portraits_of(cell, [point.index for point in chosen], words)


def _portraits_of(cell: CellResult, index: Sequence[int], words: Sequence[str]) -> tuple[Portrait, ...]:
    """Return pictures of training examples under their words; empty where their dataset is not on this machine."""
    try:
        images = pictures(cell.dataset or "", index, place=cell.dataset_place)
    except PrunescopeError:  # a dataset that prunescope does not know, or another one of its name
        return ()
    if images.bright is None:
        return ()
    return tuple(Portrait(line, image) for line, image in zip(words, images.bright, strict=True))


# Suspects of a panel whose pictures are shown.
PICTURED_SUSPECTS = 8


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
        pictured = there[:PICTURED_SUSPECTS]
        words = [f"{panel}: {point.index}, {point.labelled} {point.label}" for point in pictured]
        portraits += _portraits_of(cell, [point.index for point in pictured], words)
        shares = ", ".join(
            f"{item.by} {whole_percent(item.share.mean)} of {item.count}" for item in suspects.precisions
        )
        planted = f"; planted wrong labels by {shares}" if shares else ""
        remarks.append(f"Noise {noise_words(cell.label_noise)}: replicate {suspects.replicate}{planted}.")
    if not points:
        return None
    caption = (
        "Ranked by EL2N and the loss in the optimally sparse network together. The list suggests which labels to "
        "check; hard examples with right labels are on it, too. "
    )
    return SuspectLabels(caption + " ".join(remarks), tuple(points), tuple(portraits))
