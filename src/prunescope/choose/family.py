"""Fit the family of a table and find its members. The other modules take arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from operator import eq
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunescope.choose.cell_noise import between_trainings, unpruned_noise
from prunescope.choose.counts import COUNTS, Count, Counts, member_words
from prunescope.choose.member_curves import Departure, MemberCurves, measured_departures
from prunescope.choose.smallest import MemberSizes, Numbers, Scatter, Truths, form_of, law_coordinates
from prunescope.choose.unpruned import Place, Unpruned, UnprunedModel, fit_expectation, nearest_places
from prunescope.errors import Fault, InputError, PrunescopeError, listed
from prunescope.laws import Fit, JointLaw
from prunescope.laws.data import GroupData
from prunescope.laws.grouping import Sample
from prunescope.table import Table, read_table
from prunescope.table.coded import Columns, rows_of

# By which factor a member may lie outside the pruned depths and widths.
FAR = 2.0


@dataclass(frozen=True)
class MeasuredRange:
    """What was measured of a family.

    Attributes
    ----------
    invariant
        Logarithm of the smallest ``m*`` of a pruned network.
    error
        Highest error of a pruned network, in the mean over replicates.
    depth, width
        Smallest and largest that were pruned.
    """

    invariant: float
    error: float
    depth: tuple[float, float]
    width: tuple[float, float]


@dataclass(frozen=True)
class Family:
    """A family whose law was fitted, with its members.

    Attributes
    ----------
    group
        Values of the columns that distinguish it from the table's other families.
    examples
        Training examples of the members; None if the table has no such column.
    counts
        One for each member.
    known
        How each member is known: ``pruned``, ``dense`` (its unpruned error alone), ``predicted``.
    unpruned
        Their unpruned errors: mean and covariance.
    unpruned_model
        The model that predicts the unpruned error of any member.
    measured
        The range of the measurements.
    left_out
        Requested members that lie too far outside the measurements.
    cells
        The measurements.
    departures
        How each measured member departs from the law; None for others, or with `law_alone`.
    count
        What its sizes count: ``parameters`` or ``weights``.
    unweighed
        Cells whose unpruned errors count through the dense law alone, since many others are nearer to the members.
    """

    group: Mapping[str, Any]
    fit: Fit
    depth: Numbers
    width: Numbers
    examples: int | None
    counts: tuple[Count, ...]
    known: tuple[str, ...]
    unpruned: Unpruned
    unpruned_model: UnprunedModel
    measured: MeasuredRange
    left_out: int
    cells: GroupData
    departures: tuple[Departure | None, ...]
    has_depth: bool
    has_width: bool
    count: str = "parameters"
    unweighed: int = 0

    def __len__(self) -> int:
        return len(self.depth)

    def only(self, members: NDArray[np.bool_]) -> Family:
        """Return the family with some of its members."""
        places = np.flatnonzero(members)
        return replace(
            self,
            depth=self.depth[places],
            width=self.width[places],
            counts=tuple(self.counts[place] for place in places.tolist()),
            known=tuple(self.known[place] for place in places.tolist()),
            unpruned=Unpruned(self.unpruned.mean[places], self.unpruned.covariance[np.ix_(places, places)]),
            departures=tuple(self.departures[place] for place in places.tolist()),
        )

    def swapped(self) -> Family:
        """Return the family with its sizes counted the other way."""
        other = COUNTS[1 - COUNTS.index(self.count)]
        return replace(self, counts=tuple(count.swapped() for count in self.counts), count=other)

    @cached_property
    def _measured_unpruned(self) -> dict[tuple[float, float], tuple[float, int]]:
        """The unpruned error of each member as measured, with the networks behind it."""
        cells = self.cells
        first = np.unique(cells.cell, return_index=True)[1]
        first = first[(cells.dense_repeats[first] > 0) & (cells.examples[first] == float(self.examples or 1))]
        errors: dict[tuple[float, float], tuple[float, int]] = {}
        for place in first.tolist():
            key = float(cells.depth[place]), float(cells.width[place])
            mean, repeats = errors.get(key, (0.0, 0))
            more = int(cells.dense_repeats[place])
            errors[key] = (mean * repeats + float(cells.unpruned[place]) * more) / (repeats + more), repeats + more
        return errors

    def unpruned_measured(self, member: int) -> tuple[float | None, int]:
        """Return a member's unpruned error in the mean over its networks, and how many those are; None without any."""
        return self._measured_unpruned.get((float(self.depth[member]), float(self.width[member])), (None, 0))

    def depth_of(self, member: int) -> int | None:
        """Return a member's depth; None where the table has no such column."""
        return round(float(self.depth[member])) if self.has_depth else None

    def width_of(self, member: int) -> float | None:
        """Return a member's width; None where the table has no such column."""
        return float(self.width[member]) if self.has_width else None

    def name(self, member: int) -> str:
        """Name a member in words."""
        return member_words(self.depth_of(member), self.width_of(member))

    @property
    def sizes(self) -> MemberSizes:
        """The members' sizes."""
        prunable, rest = (np.array([getattr(count, name) for count in self.counts]) for name in ("prunable", "rest"))
        return MemberSizes(self.depth, self.width, prunable, rest)

    @property
    def theta(self) -> Numbers:
        """Coordinates of the likeliest law, ``[1, coordinates]``."""
        return law_coordinates(self.fit)

    @cached_property
    def likeliest(self) -> MemberCurves:
        """The curves by the least-squares law and the likeliest unpruned errors."""
        return self._curves(Truths(self.theta, self.unpruned.mean[None], form_of(self.fit)))

    @cached_property
    def possible(self) -> MemberCurves:
        """The curves by draws of law and unpruned errors."""
        # Twice as many as draws of the law, so that they are not paired with the draws of unpruned errors.
        theta = np.repeat(self.fit.draws, 2, axis=0)
        if self.cells.cells == 1:
            # With a single curve, plateau and law are estimated together.
            shifts = np.repeat(self.fit.shifts, 2)[:, None]
            unpruned = self.unpruned.mean + shifts
        else:
            unpruned = self.unpruned.draws(len(theta), seed=0)
        chance = np.random.default_rng(1).standard_normal((len(theta), len(self)))
        known = self.cells.test_examples is not None
        walk = np.random.default_rng(2).standard_normal(len(theta)) if known else None
        return replace(self._curves(Truths(theta, unpruned, form_of(self.fit)), chance), test_set=walk)

    def _curves(self, truths: Truths, chance: Numbers | None = None) -> MemberCurves:
        form = form_of(self.fit)
        regions = form.regions(self.theta, self.cells.points)[0]
        spread = between_trainings(np.array(self.fit.spread), self.cells, regions)
        scatter = Scatter(self.theta, self.unpruned.mean, spread, form)
        shared = self.cells.shared_examples
        return MemberCurves(self.sizes, truths, self.departures, scatter, chance, shared_examples=shared)


@dataclass(frozen=True)
class Grid:
    """The requested members; None: all that were measured."""

    depths: tuple[int, ...] | None = None
    widths: tuple[float, ...] | None = None
    examples: int | None = None
    table: Any = None


def fit_families(
    table: Any,
    grid: Grid,
    settings: Mapping[str, Any],
    extrapolate: bool = False,
    law_alone: bool = False,
    sample: Sample | None = None,
    count: str = "parameters",
) -> tuple[tuple[Family, ...], tuple[tuple[Mapping[str, Any], str], ...], tuple[str, ...]]:
    """Fit the joint law to each family of a table and find its members.

    Parameters
    ----------
    settings
        Those of `laws.JointLaw`.
    extrapolate
        Whether to include members far outside the measurements.
    law_alone
        Whether to ignore how single members depart from the law.
    sample
        The groups of the table by these settings, where they were made already.
    count
        What sizes count: ``parameters`` or ``weights``.

    Returns
    -------
    families, refused, notes
        Fitted groups; groups that cannot be fitted, with the reason; notes.
    """
    rows = table if isinstance(table, Table) else read_table(table)
    law = JointLaw(**settings)
    sample = law.sample(rows) if sample is None else sample
    law.fit(sample)
    by_key = {tuple(group.key.items()): group for group in sample.groups}
    refused = [(refusal.group, refusal.why) for refusal in law.refused_ if not refusal.trivial]
    fitted = []
    for fit in law.fits_:
        try:
            cells = by_key[tuple(fit.group.items())]
            family = _family(rows, fit, cells, grid, law.classes, extrapolate, law_alone)
            fitted.append(family if count == family.count else family.swapped())
        except PrunescopeError as trouble:
            if len(law.fits_) == 1:
                raise
            refused.append((fit.group, str(trouble)))
    return tuple(fitted), tuple(refused), law.notes_


def _family(
    rows: Table, fit: Fit, cells: GroupData, grid: Grid, classes: int | None, extrapolate: bool, law_alone: bool
) -> Family:
    """Return the family of one fitted group."""
    group_rows = _rows_of_group(rows, fit.group)
    examples = _examples(group_rows, cells, grid)
    measured = _measured_range(fit, cells)
    depth, width, errors = _members(group_rows, cells, grid, examples)
    near = np.ones(len(depth), bool) if extrapolate else _near(measured, depth, width)
    members = Place(depth[near], width[near], np.full(int(near.sum()), float(examples or 1)))
    counting = Counts.of(group_rows)
    pairs = zip(members.depth.tolist(), members.width.tolist(), strict=True)
    model, unweighed = _unpruned_model(group_rows, fit, cells, counting, members, classes)
    unpruned = model.of(members.depth, members.width, members.examples)
    departures = {} if law_alone else measured_departures(fit, cells)
    return Family(
        group=fit.group,
        fit=fit,
        depth=members.depth,
        width=members.width,
        examples=examples,
        counts=tuple(counting.count(*pair) for pair in pairs),
        known=_how_known(cells, members, errors[near]),
        unpruned=unpruned.with_given(errors[near]),
        unpruned_model=model,
        measured=measured,
        left_out=int((~near).sum()),
        cells=cells,
        departures=tuple(departures.get(key) for key in members.keys),
        has_depth="depth" in rows,
        has_width="width" in rows,
        unweighed=unweighed,
    )


def _near(measured: MeasuredRange, depth: Numbers, width: Numbers) -> NDArray[np.bool_]:
    """Return which members lie near enough to what was pruned; refuse where none does."""
    far = _far(measured.depth, depth) | _far(measured.width, width)
    if far.all():
        raise InputError("the members", list(_too_far(measured, depth, width)))
    return ~far


def _how_known(cells: GroupData, members: Place, errors: Numbers) -> tuple[str, ...]:
    """Return how each member is known: measured under pruning, by its unpruned error alone, or predicted."""
    pruned = set(cells.cell[cells.density < 1].tolist())
    cell_of = dict(zip(Place(cells.depth, cells.width, cells.examples).keys, cells.cell.tolist(), strict=True))
    return tuple(
        "pruned" if cell_of.get(key) in pruned else "dense" if key in cell_of or np.isfinite(error) else "predicted"
        for key, error in zip(members.keys, errors.tolist(), strict=True)
    )


def _unpruned_model(
    rows: Table, fit: Fit, cells: GroupData, counting: Counts, members: Place, classes: int | None
) -> tuple[UnprunedModel, int]:
    """Fit the unpruned errors of the cells nearest to the members; return how many cells are left out, too."""
    first = np.unique(cells.cell, return_index=True)[1]
    places = Place(cells.depth[first], cells.width[first], cells.examples[first])
    expectation = fit_expectation(rows, counting, places, classes)
    near = nearest_places(places, members)
    log_error, noise = np.log(cells.unpruned[first])[near], unpruned_noise(fit, cells)[first][near]
    return UnprunedModel.by(expectation, places.pick(near), log_error, noise), len(first) - len(near)


def _rows_of_group(rows: Table, group: Mapping[str, Any]) -> Table:
    """Return the rows of a group."""
    columns, picked = Columns.of(rows.columns), np.ones(len(rows), bool)
    for name, value in group.items():
        column = columns.column(name)
        if column.is_text:
            picked &= rows_of(column.texts, partial(eq, value))
        else:
            picked &= np.isnan(column.array) if value is None else column.array == value
    return rows if picked.all() else rows.take(picked)


def _examples(rows: Table, cells: GroupData, grid: Grid) -> int | None:
    """Return the training examples of the members: as requested, or the most that were measured."""
    if grid.examples is not None:
        if "examples" not in rows:
            raise InputError(rows.source, [Fault("column 'examples'", "must be there to choose by it")])
        return grid.examples
    return int(cells.examples.max()) if "examples" in rows else None


def _members(rows: Table, cells: GroupData, grid: Grid, examples: int | None) -> tuple[Numbers, Numbers, Numbers]:
    """Return depth, width and given unpruned error (or NaN) of the requested members."""
    if grid.table is not None:
        members = read_table(grid.table, needed=())
        if not len(members) or not ({"depth", "width"} & set(members)):
            raise InputError(members.source, [Fault("the members", "must have columns depth, width or both")])
        depth, width = (
            np.asarray(members[name] if name in members else np.ones(len(members)), np.float64)
            for name in ("depth", "width")
        )
        unpruned = np.asarray(members.columns.get("unpruned_error", np.full(len(members), np.nan)), np.float64)
        _, once = np.unique(np.stack([depth, width], axis=1), axis=0, return_index=True)
        return depth[np.sort(once)], width[np.sort(once)], unpruned[np.sort(once)]
    here = cells.examples == examples if examples is not None else np.ones(len(cells), bool)
    if grid.depths is None and grid.widths is None:
        if not here.any():
            counts = listed(sorted({int(count) for count in cells.examples}))
            hint = f"Measured: {counts}; or name --depths and --widths."
            raise InputError(rows.source, [Fault("--examples", "must be one that was measured", str(examples), hint)])
        pairs = np.unique(np.stack([cells.depth[here], cells.width[here]], axis=1), axis=0)
    else:
        depths = grid.depths or sorted(set(cells.depth[here].tolist()) or set(cells.depth.tolist()))
        widths = grid.widths or sorted(set(cells.width[here].tolist()) or set(cells.width.tolist()))
        pairs = np.array([(depth, width) for depth in depths for width in widths], np.float64)
        pairs = np.unique(pairs, axis=0)
    return pairs[:, 0], pairs[:, 1], np.full(len(pairs), np.nan)


def _far(span: tuple[float, float], values: Numbers) -> NDArray[np.bool_]:
    """Whether values lie too far outside the pruned range; with one value, whether they differ from it."""
    low, high = span
    far = FAR if high > low else 1.0
    return np.asarray((values < low / far * (1 - 1e-9)) | (values > high * far * (1 + 1e-9)))


def _too_far(ranges: MeasuredRange, depth: Numbers, width: Numbers) -> Iterator[Fault]:
    """Say why no member is near enough to the measurements."""
    for name, (low, high), values in (("depth", ranges.depth, depth), ("width", ranges.width, width)):
        if not _far((low, high), values).any():
            continue
        shown = listed([f"{value:g}" for value in np.unique(values)])
        hint = "Measure nearer ones under pruning, or add --extrapolate."
        if low == high:
            must = f"must be {low:g}, the only one measured under pruning: choosing another needs --extrapolate"
        else:
            must = f"must be within {FAR:g} times what was measured under pruning, {low:g} to {high:g}"
        yield Fault(name, must, shown, hint)


def _measured_range(fit: Fit, cells: GroupData) -> MeasuredRange:
    pruned = cells.density < 1
    phi, psi = fit.parameters["phi"], fit.parameters["psi"]
    invariant = np.log(cells.density) + phi * np.log(cells.depth) + psi * np.log(cells.width)
    depth, width = cells.depth[pruned], cells.width[pruned]
    return MeasuredRange(
        float(invariant[pruned].min()),
        float(cells.error[pruned].max()),
        (float(depth.min()), float(depth.max())),
        (float(width.min()), float(width.max())),
    )
