"""Errors of networks never trained, with two intervals: of the law, and of what one new network would measure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunescope.distributions import normal_quantile
from prunescope.errors import Fault, InputError, counted, listed, named, nearest
from prunescope.laws.data import Numbers, Points
from prunescope.laws.forms import DENSE, FORMS, SPARSE, to_coordinates
from prunescope.laws.grouping import plain_value
from prunescope.laws.results import Fit
from prunescope.laws.rows import EXPLAINED
from prunescope.table import read_table
from prunescope.table.coded import Columns
from prunescope.table.schema import ERROR, Outcome

# Step of a numeric derivative; factor beyond the measurements from which on predictions extrapolate.
STEP, EXTRAPOLATES = 1e-5, 1.05
# Predictions worked on at a time, draws included.
BLOCK = 500_000

# What depth and width are in laws whose points hold something else there.
MEASURED_AS = {
    DENSE.name: {"depth": "size", "width": "number of examples"},
    SPARSE.name: {"depth": "number of nonzero weights", "width": "amount of data"},
}


@dataclass(frozen=True)
class Prediction:
    """Predicted errors, one value per network.

    Attributes
    ----------
    error
        By the law at its least-squares parameters.
    low, high
        Where the error of one newly trained network lies with probability `level`: what the parameters leave open and
        how single networks scatter about the law, in its region.
    law_low, law_high
        Where the law itself lies: what the parameters leave open, and what a measured unpruned error does.
    notes
        How far beyond the measurements the networks are, in sentences.
    """

    error: Numbers
    low: Numbers
    high: Numbers
    law_low: Numbers
    law_high: Numbers
    level: float
    notes: tuple[str, ...] = ()


def predict_errors(
    fit: Fit,
    unpruned: Numbers,
    density: Numbers,
    depth: Numbers,
    width: Numbers,
    level: float = 0.9,
    plateau: Plateau | None = None,
) -> Prediction:
    """Predict errors from a fit; for the dense law ``depth`` is the size and ``width`` the examples."""
    form = FORMS[fit.law]
    count = len(density)
    points = Points(np.zeros(count), np.log(unpruned), np.log(density), np.log(depth), np.log(width))
    best = to_coordinates(form.parameters, np.array([fit.parameters[name] for name in form.parameters]))[None]
    log_error = form.log_error(best, points)[0]
    tail = (1 - level) / 2
    low, high = np.full(count, np.nan), np.full(count, np.nan)
    if len(fit.draws):
        size = max(1, BLOCK // len(fit.draws))
        for first in range(0, count, size):
            block = slice(first, first + size)
            networks = points.pick(block)
            shifted = replace(networks, unpruned=networks.unpruned + fit.shifts[:, None])
            low[block], high[block] = np.quantile(form.log_error(fit.draws, shifted), [tail, 1 - tail], axis=0)
        low, high = np.minimum(low, log_error), np.maximum(high, log_error)
    reach = normal_quantile(level)
    scatter = reach * np.array(fit.spread)[form.regions(best, points)[0]]
    # Errors on other test examples are off, all networks' alike.
    common = reach * fit.shared_examples.noise(np.exp(log_error))
    law = common
    if plateau is not None:
        share = (form.log_error(best, replace(points, unpruned=points.unpruned + STEP))[0] - log_error) / STEP
        # How single networks scatter about the law holds the noise of unpruned errors already.
        common = np.hypot(common, reach * share * plateau.predicted)
        law = np.hypot(common, reach * share * plateau.measured)
    ends = [
        (log_error - np.hypot(np.hypot(log_error - low, common), scatter), log_error - np.hypot(log_error - low, law)),
        (
            log_error + np.hypot(np.hypot(high - log_error, common), scatter),
            log_error + np.hypot(high - log_error, law),
        ),
    ]
    (low_new, low_law), (high_new, high_law) = ([np.minimum(np.exp(end), fit.most) for end in pair] for pair in ends)
    return Prediction(np.minimum(np.exp(log_error), fit.most), low_new, high_new, low_law, high_law, level)


@dataclass(frozen=True)
class Plateau:
    """How certain unpruned errors are: standard deviations of their logarithms, one for each network.

    Attributes
    ----------
    measured
        Where they were measured: what their seeds leave open.
    predicted
        Where a dense law predicted them: what that leaves open.
    """

    measured: Numbers
    predicted: Numbers


@dataclass(frozen=True)
class MemberQuery:
    """Networks whose errors are asked for: columns by name, 1 where depth, width or examples are not known.

    Attributes
    ----------
    behind
        Networks behind each unpruned error; 0 where it was given.
    doubt
        Standard deviation of the logarithms of unpruned errors that a dense law predicted; 0 elsewhere.
    """

    source: str
    columns: Mapping[str, NDArray[Any]]
    known: frozenset[str]
    behind: NDArray[np.int64]
    doubt: Numbers

    def __len__(self) -> int:
        return len(self.columns["density"])

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]


def read_members(
    source: Any,
    needed: Sequence[str],
    fill: Callable[[MemberQuery], tuple[Numbers, Numbers]] | None = None,
    outcome: Outcome = ERROR,
) -> MemberQuery:
    """Return the networks of a table whose errors are asked for, measured or not.

    Parameters
    ----------
    needed
        Columns that the law needs, beside density.
    outcome
        What the law is about.
    fill
        Gives the unpruned errors, and the standard deviations of their logarithms, where the table does not know them;
        None refuses then.
    """
    table = read_table(source, needed=("density",) if "density" in needed else (), outcome=outcome)
    faults = [
        Fault(f"column {name!r}", "must be there to predict", hint=nearest(name, list(table)))
        for name in needed
        if name not in table and name != "unpruned_error"
    ]
    if faults:
        raise InputError(table.source, faults)
    columns, ones = Columns.of(table.columns), np.ones(len(table))
    sizes = {name: np.asarray(columns.get(name, ones), np.float64) for name in (*EXPLAINED, "density")}
    unpruned = np.asarray(columns.get("unpruned_error", np.full(len(table), np.nan)), np.float64)
    columns = columns.changed(**sizes, unpruned_error=unpruned)
    behind = np.zeros(len(table), np.int64) if table.unpruned_rows is None else table.unpruned_rows
    members = MemberQuery(table.source, columns, frozenset(table), behind, np.zeros(len(table)))
    unknown = ~(unpruned > 0)
    if unknown.any() and "unpruned_error" in needed:
        if fill is None:
            rows = f"row{'s' if unknown.sum() > 1 else ''} {listed(np.flatnonzero(unknown) + 1, 4)}"
            hint = "Give the error of each member's unpruned network, or a dense law that predicts it (--dense)."
            fault = Fault("column 'unpruned_error'", "must be known and above 0", f"nothing in {rows}", hint)
            raise InputError(table.source, [fault])
        predicted, doubt = fill(members)
        filled = columns.changed(unpruned_error=np.where(unknown, predicted, unpruned))
        return replace(members, columns=filled, doubt=np.where(unknown, doubt, 0.0))
    return members


def predict_members(
    fits: Sequence[Fit], by: Sequence[str], members: MemberQuery, size: str | None, level: float
) -> Prediction:
    """Predict every network by the fit of its group.

    Parameters
    ----------
    size
        The column that a dense law takes for the size; None is ``depth * width^2``.
    """
    curves = np.full((5, len(members)), np.nan)
    # A column that all fits share need not be repeated; where it is, it must agree.
    by = [name for name in by if name in members.known]
    texts = {name for name in by if any(isinstance(fit.group[name], str) for fit in fits)}
    columns = Columns.of(members.columns).pick([*by, "density"])
    codes = columns.groups(by)
    order = np.argsort(codes, kind="stable")
    alike = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    firsts = columns.take(np.array([rows[0] for rows in alike]))
    values = {name: [plain_value(value) for value in firsts[name].tolist()] for name in by}
    for name in texts:
        values[name] = [value if value is None else str(value) for value in values[name]]
    keys = list(zip(*values.values(), strict=True)) if by else [()] * len(alike)
    rows_of: dict[tuple[Any, ...], list[Any]] = {}
    for rows, key in zip(alike, keys, strict=True):
        rows_of.setdefault(key, []).append(rows)
    fit_of = {tuple(fit.group[name] for name in by): fit for fit in fits}
    unknown = [key for key in rows_of if key not in fit_of]
    if unknown:
        shown = name_group(dict(zip(by, unknown[0], strict=True)))
        hint = f"Fitted: {listed((name_group(fit.group) for fit in fits), 3)}."
        raise InputError(members.source, [Fault("a row's group", "must be one that was fitted", shown, hint)])
    notes: dict[str, None] = {}
    for key, parts in rows_of.items():
        at, fit = np.sort(np.concatenate(parts)), fit_of[key]
        depth, width = members["depth"][at], members["width"][at]
        if fit.law == DENSE.name:
            depth, width = members[size][at] if size else depth * width**2, members["examples"][at]
        unpruned, plateau = members["unpruned_error"][at], None
        if FORMS[fit.law].has_plateaus:
            unpruned = _below_the_high_plateau(fit, members, at)
            plateau = _plateau(fit, members, at)
        density = members["density"][at]
        answer = predict_errors(fit, unpruned, density, depth, width, level, plateau)
        notes |= dict.fromkeys(_beyond_measured(fit, density, depth, width))
        curves[:, at] = answer.error, answer.low, answer.high, answer.law_low, answer.law_high
    return Prediction(curves[0], curves[1], curves[2], curves[3], curves[4], level, tuple(notes))


def _below_the_high_plateau(fit: Fit, members: MemberQuery, at: NDArray[np.int64]) -> Numbers:
    """Return the unpruned errors; refuse those above the high plateau, where no law of pruning speaks."""
    unpruned, highest = members["unpruned_error"][at], fit.parameters["eps_up"]
    end = fit.intervals.get("eps_up")
    above = at[unpruned > (highest if end is None else end[1])]
    if len(above):
        rows = f"row{'s' if len(above) > 1 else ''} {listed(above + 1, 4)}"
        hint = "A network that errs this much unpruned is no better than one with hardly a weight left."
        must = f"must be at most {highest:.4g}, the law's error of networks with hardly a weight left (eps_up)"
        value = f"{float(members['unpruned_error'][above[0]]):.4g}"
        raise InputError(members.source, [Fault(f"column 'unpruned_error', {rows}", must, value, hint)])
    return np.asarray(np.minimum(unpruned, highest))


def _plateau(fit: Fit, members: MemberQuery, at: NDArray[np.int64]) -> Plateau:
    """Return how certain the unpruned errors are; a lone curve's own plateau is in the draws of its fit."""
    behind = members.behind[at]
    if fit.shifts.any() or fit.plateau_noise == 0:
        measured = np.zeros(len(at))
    else:
        alone = fit.seed_noise if fit.seed_noise is not None else fit.spread[0]
        # What is given to a law of measured unpruned errors was measured like those.
        measured = np.where(behind > 0, alone / np.sqrt(np.maximum(behind, 1)), fit.plateau_noise)
    doubt = members.doubt[at]
    return Plateau(np.where(doubt > 0, 0.0, measured), doubt)


def _beyond_measured(fit: Fit, density: Numbers, depth: Numbers, width: Numbers) -> Iterator[str]:
    """Say how far outside the measurements networks are."""
    names = MEASURED_AS.get(fit.law, {})
    of = f" of {name_group(fit.group)}" if fit.group else ""
    for name, values in (("density", density), ("depth", depth), ("width", width)):
        if name not in fit.measured:
            continue
        low, high = fit.measured[name]
        word = names.get(name, name)
        below, above = low / values, np.zeros(1) if name == "density" else values / high
        for factor, side, end in ((below, "below", low), (above, "above", high)):
            count, times = int((factor > EXTRAPOLATES).sum()), float(factor.max())
            if count:
                yield (
                    f"{counted(count, 'network')}{of} up to {times:.3g} times {side} the {word} measured ({end:.4g}): "
                    "the law extrapolates, and its intervals hold only if it does"
                )


def name_group(group: Mapping[str, Any]) -> str:
    """Name a group in words."""
    return named(group) or "the table"
