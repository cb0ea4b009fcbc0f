"""The law of sparse networks: loss by nonzero weights N, sparsity S and data D; and the best sparsity for a budget.

``L = (a_s (1 - S)^b_s + c_s) N^-b_n + (a_d / D)^b_d + c`` (Frantar et al. 2023, "Scaling Laws for Sparsely-Connected
Foundation Models", Eq. 3). At one density it is a law of dense networks as Hoffmann et al. 2022 have it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from prunescope.errors import Fault, InputError, clipped, listed
from prunescope.laws.data import Numbers, Points
from prunescope.laws.estimator import Estimator
from prunescope.laws.fit import Options
from prunescope.laws.forms import SPARSE, to_coordinates
from prunescope.laws.grouping import Sample, group_rows, keep_curves, keep_usable, origin
from prunescope.laws.predict import MemberQuery, Prediction, predict_members
from prunescope.laws.results import Fit
from prunescope.laws.rows import EXPLAINED, TREATMENT
from prunescope.laws.search import SPARSE_TERMS
from prunescope.table import Table, read_table
from prunescope.table.cells import counts_of
from prunescope.table.coded import Columns
from prunescope.table.schema import ANY_FIGURE, CONFIGURATION, Outcome, canonical

# Columns that give N, and D, the first that a table has.
SIZES = ("nonzero", "parameters", "kept")
DATA = ("tokens", "samples", "examples")
# Dense sizes that agree to this share are one model.
SAME_MODEL = 0.02
# Shares of training in which a network is dense, is pruned along a cubic curve, and stays sparse, in the paper.
SCHEDULE = (0.25, 0.5, 0.25)
# Sparsities tried, in steps of the logarithm of density, and rounds of the search between them.
TRIED, ROUNDS = 400, 60


def _read_for_sparse(source: Any, outcome: str | None = None) -> Table:
    """Return a table whose outcome may be any figure above 0, as losses are."""
    figure = ANY_FIGURE if outcome is None else Outcome(canonical(outcome), bounded=False)
    return source if isinstance(source, Table) else read_table(source, outcome=figure)


@dataclass(kw_only=True, repr=False, eq=False)
class SparseLaw(Estimator):
    """The law of sparse networks, fitted to losses by nonzero weights, sparsity and data.

    Parameters
    ----------
    vary
        Of ``sparsity``, ``size`` and ``data``, what the law explains; None is all. Without sparsity it is the law of
        Hoffmann et al. 2022, without data a law of networks trained alike.
    size, data
        The columns that hold N, the nonzero weights, and D, the examples or tokens seen. None takes the first that is
        there of ``nonzero``, ``parameters``, ``kept``, and of ``tokens``, ``samples``, ``examples``.
    outcome
        The column that holds the loss, where the source is no `Table` yet; None: ``error``, or else ``loss``.
    loss, delta
        ``"relative"``: squared relative deviations. ``"huber"``: Huber's of log losses, with `delta` where it turns to
        absolute values; the paper has 0.001, None is 1.345 robust standard deviations.
    by, fix, replicates, level, intervals, draws, starts, seed
        As for `SingleLaw`. Resampled are whole models: dense sizes trained on as much data.
    """

    _forms = MappingProxyType({"paper": SPARSE})
    _explains = tuple(SPARSE_TERMS)
    vary: Sequence[str] | None = None
    size: str | None = None
    data: str | None = None
    outcome: str | None = None
    replicates: str = "mean"
    delta: float | None = None

    def sample(self, table: Any, y: Any = None) -> Sample:
        """Return the groups of a table by the settings of this law."""
        self.check_settings()
        if y is not None:
            table = read_table(table, needed=("density",))
            table = {name: values for name, values in table.columns.items() if name != "test_error"} | {"error": y}
        return self._group(_read_for_sparse(table, self.outcome))

    def check_settings(self) -> None:
        """Refuse settings that no table could follow, with every fault."""
        super().check_settings()
        if self.delta is not None and not 0 < self.delta < np.inf:
            raise InputError("SparseLaw", [Fault("delta", "must be above 0", clipped(self.delta))])
        if self.delta is not None and self.loss != "huber":
            hint = "Give loss='huber' (--loss huber) with it."
            raise InputError("SparseLaw", [Fault("delta", "must go with Huber's loss", self.loss, hint)])

    def _group(self, rows: Table) -> Sample:
        return sparse_sample(
            rows, self.by, size=self.size, data=self.data, vary=self.vary, keep_replicates=self.replicates == "keep"
        )

    def _options(self, outcome: Outcome | None = None) -> Options:
        vary = None if self.vary is None else tuple(self.vary)
        return replace(super()._options(), vary=vary, delta=self.delta)

    def _columns(self) -> tuple[str, ...]:
        explained = {name for name in SPARSE.parameters if any(name not in fit.fixed for fit in self.fits_)}
        size, data = self.fitted_on_["size"]
        used = [("b_n", size), ("b_d", data), ("b_s", "density")]
        return (*self._varying(), *(name for parameter, name in used if parameter in explained and name))

    def _predict(self, members: MemberQuery, level: float) -> Prediction:
        ones = np.ones(len(members))
        depth, width = (np.asarray(members.columns.get(name, ones), np.float64) for name in self.fitted_on_["size"])
        columns = Columns.of(members.columns).changed(depth=depth, width=width, unpruned_error=ones)
        return predict_members(self.fits_, self.by_, replace(members, columns=columns), None, level)

    def best_sparsity(
        self, nonzero: float, data: float, *, schedule: Sequence[float] = SCHEDULE, most: float | None = None
    ) -> BestSparsity:
        """Return the sparsity of least loss for a budget: see `best_sparsity`."""
        self._check_fitted()
        return best_sparsity(
            self.fit_, nonzero, data, schedule=schedule, most=most, sparsest=self.fitted_on_.get("sparsest")
        )

    def fit(self, table: Any, y: Any = None, progress: Callable[[int, int], None] | None = None) -> SparseLaw:
        """Fit the law to each group of a table: see `Estimator.fit`."""
        sample = table if isinstance(table, Sample) else self.sample(table, y)
        super().fit(sample, None, progress)
        densities = np.concatenate([group.density for group in sample.groups])
        self.fitted_on_ = {**self.fitted_on_, "sparsest": float(densities.min())}
        return self


def sparse_sample(
    table: Table,
    by: Sequence[str] | None = None,
    *,
    size: str | None = None,
    data: str | None = None,
    vary: Sequence[str] | None = None,
    keep_replicates: bool = False,
) -> Sample:
    """Return the networks of a table for the law of sparse networks: ``depth`` holds N, ``width`` holds D.

    A cell, which is what resampling draws, is one model: one dense size ``N / density`` trained on as much data.
    """
    notes: list[str] = []
    # Every network counts here, dense or not, whether or not its own unpruned network was measured.
    measured = Columns.of(table.columns).changed(unpruned_error=np.array(table["test_error"], np.float64))
    rows = keep_curves(keep_usable(replace(table, columns=measured), notes))
    explained = tuple(SPARSE_TERMS) if vary is None else tuple(vary)
    size_name = _find_column(rows, size, SIZES, "size", "nonzero weights N", explained)
    data_name = _find_column(rows, data, DATA, "data", "examples or tokens D", explained)
    nonzero, seen = (_positive(rows, name) for name in (size_name, data_name))
    notes.append(f"N is column {size_name!r}, D is column {data_name!r}" if data_name else f"N is column {size_name!r}")
    model = np.round(np.log(nonzero / rows["density"]) / SAME_MODEL) if size_name else np.zeros(len(rows))
    marks = {"depth": nonzero, "width": seen, "model of N": model, "seen of D": seen}
    columns = Columns.of(rows.columns).changed(**marks)
    networks = replace(rows, columns=columns, notes=(), unpruned_rows=None)
    ladder = [name for name in rows if name in CONFIGURATION or name in TREATMENT]
    chosen = (
        tuple(name for name in ladder if name not in EXPLAINED)
        if by is None
        else tuple(rows.known(name) for name in by)
    )
    identity = (*dict.fromkeys((*ladder, *chosen)), "model of N", "seen of D")
    identity = tuple(name for name in identity if name not in ("depth", "width"))
    groups = tuple(
        replace(group, size=group.depth, dense_repeats=np.zeros_like(group.dense_repeats))
        for group in group_rows(networks, chosen, identity, keep_replicates, None)
    )
    return Sample("sparse", groups, chosen, tuple(notes), *origin(table)[:2], (size_name, data_name), table.outcome)


def _find_column(
    rows: Table, name: str | None, usual: Sequence[str], setting: str, meaning: str, explained: Sequence[str]
) -> str:
    """Return the column that holds N or D; empty where none does and the law leaves it out."""
    if name is not None:
        return rows.known(name)
    for column in usual:
        if column in rows:
            return column
    if setting not in explained:
        return ""
    hint = (
        f"Name the column with --{setting}; there are {listed([str(column) for column in rows], 20)}. Without one, "
        f"--vary {','.join(term for term in explained if term != setting)} leaves the term out."
    )
    raise InputError(rows.source, [Fault(f"the {meaning}", "must be in a column", "none that is known", hint)])


def _positive(rows: Table, name: str) -> Numbers:
    """Return a column of sizes as numbers; refuse what has no logarithm."""
    if not name:
        return np.ones(len(rows))
    counts = counts_of(rows[name])
    try:
        values = np.asarray(rows[name], np.float64) if counts is None else counts
    except (TypeError, ValueError):
        raise InputError(rows.source, [Fault(f"column {name!r}", "must hold numbers", "text")]) from None
    wrong = np.flatnonzero(~(values > 0) | ~np.isfinite(values))
    if len(wrong):
        place = f"column {name!r}, row{'s' if len(wrong) > 1 else ''} {listed(wrong + 1, 4)}"
        raise InputError(rows.source, [Fault(place, "must be above 0", f"{values[wrong[0]]:g}")])
    return values


@dataclass(frozen=True)
class BestSparsity:
    """The sparsity of least loss among networks of so many nonzero weights that take as much training.

    Attributes
    ----------
    nonzero, budget
        Nonzero weights, and the examples on which a dense network of so many weights takes as much training.
    sparsity, sparsity_interval
        The best, and where it lies by the law's draws; None without draws.
    dense_size, data
        Weights before pruning, and the examples that the budget allows at that sparsity.
    loss, loss_dense
        By the law: there, and of the dense network of that budget.
    warnings
        What the data do not tell.
    """

    nonzero: float
    budget: float
    sparsity: float
    sparsity_interval: tuple[float, float] | None
    dense_size: float
    data: float
    loss: float
    loss_dense: float
    level: float
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        interval = self.sparsity_interval
        return {
            **vars(self),
            "sparsity_interval": None if interval is None else list(interval),
            "warnings": list(self.warnings),
        }


def best_sparsities(
    law: Estimator, nonzero: float, data: float, *, schedule: Sequence[float] = SCHEDULE, most: float | None = None
) -> list[tuple[Mapping[str, Any], BestSparsity]]:
    """Return the best sparsity by each fit of a law, with its group."""
    if not isinstance(law, SparseLaw):
        fault = Fault("the law", "must be one of sparse networks (--law sparse)", type(law).__name__)
        raise InputError("best_sparsity", [fault])
    sparsest = law.fitted_on_.get("sparsest")
    return [
        (fit.group, best_sparsity(fit, nonzero, data, schedule=schedule, most=most, sparsest=sparsest))
        for fit in law.fits_
    ]


def training_cost(density: Numbers | float, schedule: Sequence[float] = SCHEDULE) -> Numbers:
    """Return the training of a sparse network per example, in that of a dense one with as many nonzero weights.

    A network is dense at first, then pruned along a cubic curve, on which a quarter of what goes is there in the mean,
    and then sparse: ``(dense + pruned (1 - 3/4 S) + sparse (1 - S)) / (1 - S)`` (the paper's Section 4).
    """
    dense, pruned, sparse = schedule
    kept = np.asarray(density, np.float64)
    return np.asarray((dense + pruned * (1 - 0.75 * (1 - kept)) + sparse * kept) / kept)


def best_sparsity(
    fit: Fit,
    nonzero: float,
    data: float,
    *,
    schedule: Sequence[float] = SCHEDULE,
    most: float | None = None,
    sparsest: float | None = None,
) -> BestSparsity:
    """Return the sparsity of least loss for a budget of nonzero weights and training.

    A sparser network with as many nonzero weights is larger before it is pruned and costs more per example, so that the
    same training shows it fewer examples: ``data / training_cost(density)``.

    Parameters
    ----------
    nonzero, data
        Nonzero weights N, and the examples D that a dense network of N weights would be trained on.
    schedule
        Shares of training in which a network is dense, is pruned, and is sparse.
    most
        The highest sparsity to consider; None: that of the data, or 0.99.
    sparsest
        The lowest density that was measured.
    """
    _check_budget(fit, nonzero, data, schedule, most)
    lowest = 1 - most if most is not None else (sparsest if sparsest is not None and sparsest < 1 else 0.01)
    names = SPARSE.parameters
    best = to_coordinates(names, np.array([fit.parameters[name] for name in names]))[None]
    density, loss = _least(best, nonzero, data, schedule, lowest)
    interval = None
    if len(fit.draws):
        of_draws = _least(fit.draws, nonzero, data, schedule, lowest)[0]
        tail = (1 - fit.level) / 2
        low, high = np.quantile(1 - np.append(of_draws, density), [tail, 1 - tail])
        interval = float(min(low, 1 - density[0])), float(max(high, 1 - density[0]))
    warnings = []
    if density[0] <= lowest * (1 + 1e-6):
        warnings.append(
            f"the loss still falls at the highest sparsity considered, {1 - lowest:.4g}: train sparser networks, or "
            "allow a higher one (--most)"
        )
    if sparsest is not None and density[0] < sparsest * (1 - 1e-6):
        warnings.append(f"the sparsest network measured has a sparsity of {1 - sparsest:.4g}: beyond is extrapolated")
    dense = float(np.exp(_log_losses(best, nonzero, data, schedule, np.ones((1, 1)))[0, 0]))
    return BestSparsity(
        nonzero=float(nonzero),
        budget=float(data),
        sparsity=float(1 - density[0]),
        sparsity_interval=interval,
        dense_size=float(nonzero / density[0]),
        data=float(data / training_cost(density[0], schedule)),
        loss=float(loss[0]),
        loss_dense=dense,
        level=fit.level,
        warnings=tuple(warnings),
    )


def _check_budget(fit: Fit, nonzero: float, data: float, schedule: Sequence[float], most: float | None) -> None:
    faults = [
        Fault(name, "must be above 0", clipped(value))
        for name, value in (("nonzero", nonzero), ("data", data))
        if not (0 < value < np.inf)
    ]
    if len(schedule) != 3 or min(schedule) < 0 or abs(sum(schedule) - 1) > 1e-6:
        hint = "Give the shares of training that a network is dense, is pruned, and is sparse: 0.25,0.5,0.25."
        faults.append(Fault("schedule", "must be three shares that sum to 1", clipped(tuple(schedule)), hint))
    if most is not None and not 0 < most < 1:
        faults.append(Fault("most", "must be between 0 and 1", clipped(most)))
    if fit.law != SPARSE.name:
        faults.append(Fault("the law", "must be one of sparse networks (--law sparse)", fit.law))
    elif missing := [term for term in ("sparsity", "data") if set(SPARSE_TERMS[term]) <= set(fit.fixed)]:
        hint = "What sparsity gains is weighed against the examples that it costs: fit both terms."
        faults.append(Fault("the law", f"must explain {' and '.join(missing)}", "left out", hint))
    if faults:
        raise InputError("best_sparsity", faults)


def _least(
    theta: Numbers, nonzero: float, data: float, schedule: Sequence[float], lowest: float
) -> tuple[Numbers, Numbers]:
    """Return the density of least loss and that loss, for each of many parameters: a grid, then golden sections."""
    grid = np.linspace(np.log(lowest), 0.0, TRIED)
    losses = _log_losses(theta, nonzero, data, schedule, np.exp(grid)[None])
    place = losses.argmin(axis=1)
    low, high = grid[np.maximum(place - 1, 0)], grid[np.minimum(place + 1, TRIED - 1)]
    golden = (np.sqrt(5) - 1) / 2
    for _ in range(ROUNDS):
        left, right = high - golden * (high - low), low + golden * (high - low)
        tried = _log_losses(theta, nonzero, data, schedule, np.exp(np.stack([left, right], axis=1)))
        falls = tried[:, 0] > tried[:, 1]
        low, high = np.where(falls, left, low), np.where(falls, high, right)
    inner = (low + high) / 2
    # The best may stand at an end of what is considered.
    candidates = np.stack([inner, grid[place]], axis=1)
    values = _log_losses(theta, nonzero, data, schedule, np.exp(candidates))
    better = values.argmin(axis=1)[:, None]
    density, loss = (np.exp(np.take_along_axis(array, better, axis=1)[:, 0]) for array in (candidates, values))
    return density, loss


def _log_losses(theta: Numbers, nonzero: float, data: float, schedule: Sequence[float], density: Numbers) -> Numbers:
    """Return the logarithm of the loss at some densities ``[1 or fits, n]`` for each of many parameters."""
    kept = np.broadcast_to(density, (len(theta), density.shape[1]))
    zeros = np.zeros(kept.shape)
    seen = np.log(data) - np.log(training_cost(kept, schedule))
    return SPARSE.log_error(theta, Points(zeros, zeros, np.log(kept), np.full(kept.shape, np.log(nonzero)), seen))
