"""Columns of a table's own, in which unpruned networks differ: whose unpruned error is whose.

Unpruned errors are means over a configuration, whatever the treatment, so that one dense network serves several ways of
pruning. A column of the user's own may name such a way, or something that changes the error itself, as another test set
does. Where every value of it has pruned networks, and unpruned ones of its own in every configuration, whose errors
differ by far more than replicates do, each value keeps its own mean. Otherwise a note says that they were averaged.
A column that by its name says which network it is always keeps them apart, if its unpruned networks were pruned too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import clipped, listed
from prunescope.table.coded import Columns, configuration_codes, unpruned
from prunescope.table.findings import Array
from prunescope.table.schema import BY_NAME, bare

# Own columns that number repetitions.
REPETITIONS = ("seed", "run", "trial", "repeat", "repetition")
# Own columns that name the network, as `family` does.
NETWORKS = ("model", "network", "net", "architecture", "arch", "backbone")
# Own columns that say when or for how long, as trackers of experiments write them.
TIMES = (
    *("timestamp", "created", "createdat", "updated", "updatedat", "started", "startedat", "starttime", "endtime"),
    *("finishedat", "heartbeatat", "runtime", "walltime", "wallclock", "elapsed"),
)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*")
# Standard deviations between replicates, or without replicates share of the error, by which unpruned errors differ far.
FAR_APART, FAR_ALONE = 4.0, 0.25


def dividing_columns(columns: Mapping[str, Array]) -> tuple[str, ...]:
    """Return the own columns each value of which has unpruned errors of its own."""
    typed = Columns.of(columns)
    names, dense = _candidates(columns), _averaged(columns)
    if not names or not dense.any():
        return ()

    def has_curves(name: str) -> bool:
        values = typed.groups((name,))
        return bool(np.isin(values[dense], values[columns["density"] < 1]).all())

    networks = _networks(typed, [name for name in names if has_curves(name)])
    configurations = typed.groups(networks, configuration_codes(typed)) if networks else configuration_codes(typed)
    error = np.asarray(columns["test_error"], np.float64)[dense]

    def parts(by: list[str]) -> NDArray[np.int64]:
        return typed.groups(by, configurations) if by else configurations

    # A configuration without unpruned networks has no unpruned error in any case.
    compared = np.isin(configurations, configurations[dense])

    def are_measured(by: list[str]) -> bool:
        codes = parts(by)
        there = np.zeros(int(codes.max()) + 1, bool)
        there[codes[dense]] = True
        return bool(there[codes[compared]].all())

    dividing = [name for name in names if name not in networks and has_curves(name) and are_measured([name])]
    while dividing and not are_measured(dividing):
        dividing.pop()
    for name in tuple(dividing):
        others = [other for other in dividing if other != name]
        if not _far_apart(error, parts(dividing)[dense], parts(others)[dense]):
            dividing = others
    return (*networks, *dividing)


def _networks(columns: Columns, names: Sequence[str]) -> list[str]:
    """Return the columns that say which network a row is of; not those that say it over again."""
    networks: list[str] = []
    codes = configuration_codes(columns)
    for name in names:
        if bare(name).lower() in NETWORKS:
            finer = columns.groups((name,), codes)
            if finer.max() > codes.max():
                networks, codes = [*networks, name], finer
    return networks


def mixture_notes(columns: Mapping[str, Array], measured: Mapping[str, Array]) -> Iterator[str]:
    """Say where unpruned networks differ in an own column: whether each value has its own error, or all a mean."""
    dense = _averaged(measured)
    if not dense.any():
        return
    dividing = dividing_columns(measured)
    rows = Columns.of(columns).take(dense)
    configurations = configuration_codes(rows)
    divided = rows.groups(dividing, configurations) if dividing else configurations
    for name in _candidates(columns):
        within = configurations if name in dividing else divided
        if rows.groups((name,), within).max() == within.max() or (name not in dividing and _tells_rows(columns[name])):
            continue
        shown = (f"{value:g}" if isinstance(value, float) else clipped(value) for value in rows[name].tolist())
        words = listed(dict.fromkeys(shown), 3)
        if name in dividing:
            yield f"unpruned errors differ by {name!r} ({words}), so each has its own"
            continue
        yield (
            f"unpruned errors are means over networks with different {name!r} ({words}): if these are different "
            "networks, rename the column to `family` or `dataset`, or give `unpruned_error` yourself"
        )


def distinguishing(columns: Mapping[str, Array]) -> list[str]:
    """Return the own columns that may tell networks apart: none that numbers repetitions or holds times."""
    names = [name for name in columns if name not in BY_NAME and not numbers_repetitions(name, columns)]
    return [name for name in names if not _is_time(name, columns[name])]


def numbers_repetitions(name: str, columns: Mapping[str, Array]) -> bool:
    """Whether a column numbers repetitions, by its name or as the replicates that were made of it."""
    if bare(name).lower() in REPETITIONS:
        return True
    values = columns[name]
    return bool(values.dtype.kind in "iuf" and "replicate" in columns and np.array_equal(values, columns["replicate"]))


def _is_time(name: str, values: Array) -> bool:
    """Whether a column says when a network was trained, or for how long."""
    if re.sub(r"[\W_]+", "", bare(name).lower()) in TIMES:
        return True
    if values.dtype.kind != "O" or not len(values):
        return False
    return all(text is None or _MOMENT.fullmatch(text) for text in values)


def _candidates(columns: Mapping[str, Array]) -> list[str]:
    """Return the own columns that may tell networks apart, as far as their values go."""
    names = [name for name in distinguishing(columns) if not _is_measurement(columns[name])]
    return [name for name in names if len(columns[name]) and (columns[name] != columns[name][0]).any()]


def _is_measurement(values: Array) -> bool:
    """Whether no two rows have the same number, as of another error."""
    return bool(values.dtype.kind == "f" and len(np.unique(values)) == len(values))


def _tells_rows(values: Array) -> bool:
    """Whether a column tells rows apart and not networks, as names of runs, times and further measurements do."""
    distinct = len(set(values.tolist()))
    return distinct == len(values) or (values.dtype.kind == "f" and distinct > len(values) / 2)


def _averaged(columns: Mapping[str, Array]) -> NDArray[np.bool_]:
    """Return the unpruned rows that unpruned errors are means of."""
    given = columns.get("unpruned_error", np.full(len(columns["density"]), np.nan))
    return np.asarray(unpruned(columns) & np.isnan(given) & ~np.isnan(columns["test_error"]))


def _far_apart(error: NDArray[np.float64], part: NDArray[np.int64], configuration: NDArray[np.int64]) -> bool:
    """Whether the parts of configurations differ by far more than the rows of a part do."""
    number = np.unique(part, return_inverse=True)[1].reshape(-1)
    whole = np.unique(configuration, return_inverse=True)[1].reshape(-1)
    counts = np.bincount(number)
    means = np.bincount(number, error) / counts
    of_whole = (np.bincount(whole, error) / np.bincount(whole))[whole]
    freedom = len(error) - len(counts), len(counts) - (int(whole.max()) + 1)
    if freedom[1] <= 0 or not of_whole.min() > 0:
        return False
    between = float(np.sum(((means[number] - of_whole) / of_whole) ** 2)) / freedom[1]
    within = float(np.sum(((error - means[number]) / of_whole) ** 2)) / freedom[0] if freedom[0] > 0 else 0.0
    return bool(between > (FAR_APART**2 * within if freedom[0] > 0 else FAR_ALONE**2))
