"""Errors of networks never trained, with two intervals: of the law, and of what one new network would measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import Fault, InputError, listed, named, nearest
from prunescope.laws.data import Numbers, Points
from prunescope.laws.forms import DENSE, FORMS, to_coordinates
from prunescope.laws.grouping import EXPLAINED, plain_value
from prunescope.laws.results import Fit
from prunescope.laws.uncertainty import normal_quantile
from prunescope.table import read_table
from prunescope.table.coded import Columns
from prunescope.table.schema import ERROR, Outcome

# Predictions worked on at a time, draws included.
BLOCK = 500_000


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
        Where the law itself lies: what the parameters leave open, alone.
    """

    error: Numbers
    low: Numbers
    high: Numbers
    law_low: Numbers
    law_high: Numbers
    level: float


def predict_errors(
    fit: Fit, unpruned: Numbers, density: Numbers, depth: Numbers, width: Numbers, level: float = 0.9
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
    scatter = normal_quantile(level) * np.array(fit.spread)[form.regions(best, points)[0]]
    below, above = np.hypot(log_error - low, scatter), np.hypot(high - log_error, scatter)
    return Prediction(
        np.exp(log_error), np.exp(log_error - below), np.exp(log_error + above), np.exp(low), np.exp(high), level
    )


@dataclass(frozen=True)
class MemberQuery:
    """Networks whose errors are asked for: columns by name, 1 where depth, width or examples are not known."""

    source: str
    columns: Mapping[str, NDArray[Any]]
    known: frozenset[str]

    def __len__(self) -> int:
        return len(self.columns["density"])

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]


def read_members(
    source: Any,
    needed: Sequence[str],
    fill: Callable[[MemberQuery], Numbers] | None = None,
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
        Gives the unpruned errors where the table does not know them; None refuses then.
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
    members = MemberQuery(table.source, columns, frozenset(table))
    unknown = ~(unpruned > 0)
    if unknown.any() and "unpruned_error" in needed:
        if fill is None:
            rows = f"row{'s' if unknown.sum() > 1 else ''} {listed(np.flatnonzero(unknown) + 1, 4)}"
            hint = "Give the error of each member's unpruned network, or a dense law that predicts it (--dense)."
            fault = Fault("column 'unpruned_error'", "must be known and above 0", f"nothing in {rows}", hint)
            raise InputError(table.source, [fault])
        return replace(members, columns=columns.changed(unpruned_error=np.where(unknown, fill(members), unpruned)))
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
    for key, parts in rows_of.items():
        at, fit = np.sort(np.concatenate(parts)), fit_of[key]
        depth, width = members["depth"][at], members["width"][at]
        if fit.law == DENSE.name:
            depth, width = members[size][at] if size else depth * width**2, members["examples"][at]
        answer = predict_errors(fit, members["unpruned_error"][at], members["density"][at], depth, width, level)
        curves[:, at] = answer.error, answer.low, answer.high, answer.law_low, answer.law_high
    return Prediction(curves[0], curves[1], curves[2], curves[3], curves[4], level)


def name_group(group: Mapping[str, Any]) -> str:
    """Name a group in words."""
    return named(group) or "the table"
