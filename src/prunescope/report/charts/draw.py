"""From any figure to its panels."""

from __future__ import annotations

from prunescope.report.charts.laws import draw_agreement, draw_contours, draw_curves, draw_invariant, draw_regions
from prunescope.report.charts.lens import draw_extremes, draw_groups, draw_losses, draw_noise, draw_treatments
from prunescope.report.charts.parts import Panel
from prunescope.report.charts.sizes import draw_sizes
from prunescope.report.charts.trials import draw_forms, draw_stability
from prunescope.report.figures.agreement import Agreement
from prunescope.report.figures.contours import Contours
from prunescope.report.figures.curves import Curves
from prunescope.report.figures.el2n import El2nGroups
from prunescope.report.figures.extremes import ExtremeExamples
from prunescope.report.figures.figure import Figure
from prunescope.report.figures.forms import Forms
from prunescope.report.figures.invariant import Invariant
from prunescope.report.figures.losses import Losses
from prunescope.report.figures.noise import Noise
from prunescope.report.figures.regions import Regions
from prunescope.report.figures.sizes import Sizes
from prunescope.report.figures.stability import Stability
from prunescope.report.figures.treatments import Treatments


def drawn(figure: Figure) -> tuple[Panel, ...]:
    """Draw a figure."""
    match figure:
        case Curves():
            return draw_curves(figure)
        case Regions():
            return draw_regions(figure)
        case Agreement():
            return draw_agreement(figure)
        case Contours():
            return draw_contours(figure)
        case Invariant():
            return draw_invariant(figure)
        case Forms():
            return draw_forms(figure)
        case Stability():
            return draw_stability(figure)
        case Sizes():
            return draw_sizes(figure)
        case Noise():
            return draw_noise(figure)
        case Losses():
            return draw_losses(figure)
        case El2nGroups():
            return draw_groups(figure)
        case Treatments():
            return draw_treatments(figure)
        case ExtremeExamples():
            return draw_extremes(figure)
    raise TypeError(f"nothing draws {type(figure).__name__}")
