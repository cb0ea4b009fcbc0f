"""Test error by density at every level of label noise, with the dense networks: the second paper's Figs. 1a and 3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from prunescope.lens import CellResult, Spread, TreatmentOutcome
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


@dataclass(frozen=True)
class Noise(Figure):
    """Test error by density and label noise."""

    slug: ClassVar[str] = "error-under-label-noise"
    title: ClassVar[str] = "Test error by density, beside the dense networks"
    levels: tuple[str, ...]
    points: tuple[NoisePoint, ...]

    @property
    def rows(self) -> tuple[NoisePoint, ...]:
        """The points."""
        return self.points


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
        "Bars reach one standard deviation over replicates to either side; dashed are the dense networks; rings are "
        "the density with the lowest validation error. Pruned networks err less than dense ones, by label noise, "
        f"{'; '.join(remarks)}."
    )
    return Noise(caption, tuple(levels), tuple(points))
