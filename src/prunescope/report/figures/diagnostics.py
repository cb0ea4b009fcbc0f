"""What a statistician looks at after a fit: residuals by density, member and rung, profiles, influence of members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from prunescope.errors import counted
from prunescope.laws.diagnostics import (
    Influence,
    ResidualSummary,
    influence,
    profile_curves,
    residuals,
    summarise_residuals,
)
from prunescope.laws.results import number, percent
from prunescope.laws.uncertainty import t_quantile
from prunescope.report.charts.parts import (
    Panel,
    coloured,
    layered,
    line_at,
    panel_names,
    percent_axis,
    shaped,
    source,
    span,
    tips,
    x_log,
    y_linear,
)
from prunescope.report.figures.figure import SYMBOLS, Figure, symbolic
from prunescope.report.groups import ReportGroup, cell_words

# Points of a family up to which profiles are drawn, and points times members up to which each is left out once.
MOST_PROFILED, MOST_LEFT_OUT = 2_000, 50_000
# Members that the figure of influence names.
NAMED = 10
PANELS = {"density": "by density", "member": "by member", "rung": "by rung"}
OFF = "predicted / actual - 1"
# Standard deviations from which on a member is said to move the law.
MOVES = 2.0


@dataclass(frozen=True)
class ResidualPoint:
    """Mean relative deviation over the points of one density, member or rung, and one standard deviation about it."""

    panel: str
    value: float
    member: str
    points: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True, repr=False)
class ResidualFigure(Figure):
    """Residuals of the law."""

    slug: ClassVar[str] = "residuals-of-the-law"
    title: ClassVar[str] = "Where the law is off"
    points: tuple[ResidualPoint, ...]

    def draw(self) -> tuple[Panel, ...]:
        """Draw mean residuals with their spread."""
        import altair as alt

        panels = []
        axis = percent_axis()
        ends = [min(-0.005, *(point.low for point in self.points)), max(0.005, *(point.high for point in self.points))]
        scale = alt.Scale(domain=ends, nice=True)
        for name in panel_names(self.points):
            points = [point for point in self.points if point.panel == name]
            what = next(by for by, words in PANELS.items() if words == name)
            x = (
                x_log("value", "density", span(point.value for point in points))
                if what == "density"
                else alt.X("value:Q", title=what, axis=alt.Axis(tickCount=8, tickMinStep=1))
            )
            y = alt.Y("mean:Q", title=OFF, scale=scale, axis=axis)
            data = source(panel=name)
            tooltip = tips(("member", "member", None), ("value", what, ".4g"), ("points", "points", ",d"),
                           ("mean", "mean", ".2%"), ("low", "from", ".2%"), ("high", "to", ".2%"))  # fmt: skip
            layers = [
                line_at(y, 0.0),
                data.mark_rule(style=["single", "spread"]).encode(
                    x=x, y=alt.Y("low:Q", title=OFF, scale=scale, axis=axis), y2="high"
                ),
                data.mark_point(style="single").encode(x=x, y=y, tooltip=tooltip),
            ]
            panels.append(Panel(layered(*layers, title=name), "kinds", 1, len(points), height=260))
        return tuple(panels)


def residual_figure(group: ReportGroup) -> ResidualFigure | None:
    """Return the residuals of a family's law; None without a law."""
    if group.fit is None:
        return None
    rows = residuals(group.fit, group.cells)
    points, worst = [], {}
    for by, panel in PANELS.items():
        if by == "member" and group.cells.cells == 1:
            continue
        summaries = summarise_residuals(rows, by)
        worst[by] = max(summaries, key=lambda summary: abs(summary.mean))
        points += [_residual_point(group, panel, summary) for summary in summaries]
    return ResidualFigure(_residual_words(group, worst), tuple(points))


def _residual_point(group: ReportGroup, panel: str, summary: ResidualSummary) -> ResidualPoint:
    words = cell_words(group.cells, group.known, int(summary.value)) if summary.by == "member" else ""
    return ResidualPoint(
        panel,
        summary.value,
        words,
        summary.points,
        summary.mean,
        summary.mean - summary.std,
        summary.mean + summary.std,
    )


def _residual_words(group: ReportGroup, worst: dict[str, ResidualSummary]) -> str:
    words = "Marks are means of the law's relative deviations, bars ± one standard deviation. "
    words += f"By density the law is off most at {number(worst['density'].value)}: {percent(worst['density'].mean)}."
    if "member" in worst:
        name = cell_words(group.cells, group.known, int(worst["member"].value))
        words += f" By member, most for {name}: {percent(worst['member'].mean)}."
    return words


@dataclass(frozen=True)
class ProfileFigurePoint:
    """How much worse the law fits with one parameter held."""

    panel: str
    value: float
    rise: float
    limit: float


@dataclass(frozen=True, repr=False)
class ProfileFigure(Figure):
    """Profiles of the sum of squares."""

    slug: ClassVar[str] = "profiles-of-parameters"
    title: ClassVar[str] = "How well each parameter is determined"
    points: tuple[ProfileFigurePoint, ...]

    def draw(self) -> tuple[Panel, ...]:
        """Draw a profile for each parameter."""
        import altair as alt

        panels = []
        for name in panel_names(self.points):
            points = [point for point in self.points if point.panel == name]
            symbol = SYMBOLS.get(name, name)
            x = alt.X(
                "value:Q",
                title=symbol,
                scale=alt.Scale(zero=False, nice=False),
                axis=alt.Axis(tickCount=5, format="~g"),
            )
            y = y_linear("rise", "rise of the sum of squares")
            data = source(panel=name)
            tooltip = tips(("value", name, ".4g"), ("rise", "rise", ".3g"))
            layers = [
                line_at(y, points[0].limit),
                data.mark_line().encode(x=x, y=y),
                data.mark_point(style="single", size=14).encode(x=x, y=y, tooltip=tooltip),
            ]
            panels.append(Panel(layered(*layers, title=symbol), "kinds", 1, len(points), height=220))
        return tuple(panels)


def profile_figure(group: ReportGroup) -> ProfileFigure | None:
    """Return the profiles of a family's law; None without a law, or where that takes long."""
    if group.fit is None or len(group.cells) > MOST_PROFILED:
        return None
    fit = group.fit
    limit = float(t_quantile(fit.level, max(len(group.cells) - len(fit.intervals), 1))) ** 2
    points = tuple(
        ProfileFigurePoint(point.parameter, point.value, point.rise, limit)
        for point in profile_curves(fit, group.cells)
    )
    flat = [
        name
        for name in dict.fromkeys(point.panel for point in points)
        if max(point.rise for point in points if point.panel == name) < limit
    ]
    words = (
        "Each parameter is held at values about its estimate and all others are fitted again, the unpruned errors "
        "included. The rise is in residual variances; the line is where the interval would end if points were "
        "independent."
    )
    if flat:
        words += f" No end is in sight for {', '.join(flat)}."
    return ProfileFigure(symbolic(words), points)


@dataclass(frozen=True)
class InfluencePoint:
    """How far one parameter moves when a member is left out, in standard deviations of its uncertainty."""

    panel: str
    member: str
    parameter: str
    shift: float
    held_out: float | None


@dataclass(frozen=True, repr=False)
class InfluenceFigure(Figure):
    """The law without each member."""

    slug: ClassVar[str] = "influence-of-members"
    title: ClassVar[str] = "What single members do to the law"
    points: tuple[InfluencePoint, ...]

    def draw(self) -> tuple[Panel, ...]:
        """Draw the shifts of the parameters, the most influential members first."""
        import altair as alt

        order = list(dict.fromkeys(point.member for point in self.points))
        names = list(dict.fromkeys(point.parameter for point in self.points))
        reach = max(0.1, *(abs(point.shift) for point in self.points))
        scale = alt.Scale(domain=[-reach, reach], nice=True)
        what = "shift without the member, in standard deviations"
        x = alt.X("shift:Q", title=what, scale=scale, axis=alt.Axis(tickCount=7))
        y = alt.Y("member:N", sort=order, title=None, axis=alt.Axis(labelLimit=260))
        tooltip = tips(("member", "member", None), ("parameter", "parameter", None), ("shift", "shift", ".2f"),
                       ("held_out", "rms when left out", ".2%"))  # fmt: skip
        layers = [
            line_at(x, 0.0),
            source()
            .mark_point()
            .encode(
                x=x,
                y=y,
                color=coloured("parameter", names, None, words=SYMBOLS),
                shape=shaped("parameter", names, None, words=SYMBOLS),
                tooltip=tooltip,
            ),
        ]
        chart = layered(*layers, title=self.points[0].panel)
        return (Panel(chart, "kinds", len(names), len(self.points), height=20 * len(order) + 40),)


def influence_figure(group: ReportGroup) -> InfluenceFigure | None:
    """Return what members do to a family's law; None without a law or members, or where that takes long."""
    cells = group.cells
    if group.fit is None or cells.cells < 4 or len(cells) * cells.cells > MOST_LEFT_OUT:
        return None
    rows = [row for row in influence(group.fit, cells) if row.shifts]
    if not rows:
        return None
    points = tuple(
        InfluencePoint(
            "the most influential members", cell_words(cells, group.known, row.member), name, shift, row.held_out
        )
        for row in rows[:NAMED]
        for name, shift in row.shifts.items()
    )
    return InfluenceFigure(_influence_words(group, rows), points)


def _influence_words(group: ReportGroup, rows: Sequence[Influence]) -> str:
    moving = [row for row in rows if row.largest > MOVES]
    first = cell_words(group.cells, group.known, rows[0].member)
    words = "The law is fitted without each member in turn; marks are the shifts of its parameters. "
    if not moving:
        return words + f"No member moves a parameter by more than {MOVES:g} standard deviations."
    return words + (
        f"{counted(len(moving), 'member')} of {len(rows)} move a parameter by more than {MOVES:g} standard deviations, "
        f"{first} most of all ({rows[0].largest:.2g})."
    )
