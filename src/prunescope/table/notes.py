"""What is worth telling about a table that is valid: where it may not mean what its owner thinks."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import clipped, listed, shell_word
from prunescope.table.coded import Columns, compact
from prunescope.table.duckdb_engine import quoted_where_needed
from prunescope.table.findings import Array
from prunescope.table.row_groups import configuration_codes, unpruned
from prunescope.table.schema import BY_NAME, CONFIGURATION, ERROR, Outcome

# When errors are taken for accuracies. Of simulated errors that are flat but for noise, one curve in a hundred of four
# densities draws the note, one in some hundreds of eleven; of accuracies that fall by ten times their noise, as the
# cube of the log density, 55 and 99 in a hundred.
HALF = 0.5
FAR = 0.1
LEAST_LEVELS = 4
BEYOND_NOISE = 4.0
STEADILY = 0.4  # of Kendall's tau
BESIDE_CHANCE = 0.02  # one class answered to every example is off chance by as much in small or uneven test sets

NEARLY = 0.8  # of letters shared: depht

REPETITIONS = ("seed", "run", "trial", "repeat", "repetition")


def notes_on(columns: Mapping[str, Array], measured: Mapping[str, Array], outcome: Outcome = ERROR) -> Iterator[str]:
    """Tell what a user may want to know.

    Parameters
    ----------
    columns
        The valid table.
    given
        What its source had: without the columns that were filled in.
    """
    if "replicate" not in measured:
        repeated = int(np.count_nonzero(columns["replicate"]))
        if repeated:
            yield (
                f"no column `replicate`: {repeated:,} rows that repeat a configuration and density were taken as "
                "further replicates, in the order of the file"
            )
        for name in columns:
            if name.lower() in REPETITIONS:
                words = shell_word(f"replicate = {quoted_where_needed(name)}")
                yield (
                    f"column {name!r} looks like repetitions: rename it to `replicate` to have them taken as such, "
                    f"or add --set {words}"
                )
    missing = int(np.count_nonzero(np.isnan(columns["unpruned_error"])))
    if missing:
        yield (
            f"{missing:,} rows have no unpruned network to compare with: no row at density 1 shares their configuration"
        )
    yield from _misspelled(columns)
    yield from _mixtures(columns, measured)
    if outcome.is_error:
        yield from _accuracies(columns)
    else:
        yield f"the outcome is {outcome.name}: where an error is named, {outcome.name} is meant"


def _misspelled(columns: Mapping[str, Array]) -> Iterator[str]:
    """Tell columns of one's own that are nearly named as one that is not there."""
    absent = {name.replace("_", ""): name for name in BY_NAME if name not in columns}
    for name in columns:
        if name not in BY_NAME and name.lower() not in REPETITIONS:
            close = difflib.get_close_matches(name.lower().replace("_", ""), absent, n=1, cutoff=NEARLY)
            if close:
                yield f"column {clipped(name)} is kept as one of your own: if it is `{absent[close[0]]}`, rename it"


def _accuracies(columns: Mapping[str, Array]) -> Iterator[str]:
    """Tell where errors look like accuracies: unpruned networks worse than guessing, or curves that fall at their end.

    Errors of networks that learned wrong labels by heart do fall far when weights are removed; they are not asked.
    """
    rows = (unpruned(columns) | (columns["density"] < 1)) & ~np.isnan(columns["test_error"])
    if "label_noise" in columns:
        rows &= ~(columns["label_noise"] > 0)
    needed = [name for name in columns if name in (*CONFIGURATION, "density", "test_error")]
    needed_columns = Columns.of(columns).pick(needed)
    curves = [] if not rows.any() else list(_curves(needed_columns if rows.all() else needed_columns.take(rows)))
    falling = [curve for curve, _ in curves if curve[0] > HALF and _falls(curve)]
    if len(falling) > sum(len(curve) > 1 for curve, _ in curves) / 2:
        first, last = (np.mean([curve[place] for curve in falling]) for place in (0, -1))
        yield (
            f"errors fall as networks get sparser, from {first:.2g} to {last:.2g}: if they are accuracies, "
            "write 1 - accuracy"
        )
        return
    worse = [(curve[0], chance) for curve, chance in curves if curve[0] > chance + BESIDE_CHANCE]
    if len(worse) > len(curves) / 2:
        tail, chance = np.mean(worse, axis=0)
        yield (
            f"unpruned networks have an error of {tail:.2g}, worse than guessing ({chance:.2g}): if errors are "
            "accuracies, write 1 - accuracy"
        )


def _curves(columns: Columns) -> Iterator[tuple[NDArray[np.float64], float]]:
    """Yield each configuration's mean errors from dense to sparse; of high ones the error of guessing, or NaN."""
    sparsest = int(columns.column("density").codes.max())
    codes = configuration_codes(columns)
    pairs = codes * (sparsest + 1) + (sparsest - columns.column("density").codes)
    at = compact(pairs)
    means = np.bincount(at, columns["test_error"]) / np.bincount(at)
    configuration = np.empty(len(means), np.int64)
    configuration[at] = codes
    first = np.unique(codes, return_index=True)[1].tolist()
    for row, curve in zip(first, np.split(means, np.flatnonzero(np.diff(configuration)) + 1), strict=True):
        high = curve[0] > HALF and "dataset" in columns
        yield curve, _chance(columns["dataset"][row]) if high else np.nan


def _chance(dataset: str | None) -> float:
    from prunescope.study.catalogue import DATASETS  # takes longer to load than most tables to read

    facts = DATASETS.get(dataset or "")
    return 1 - 1 / facts.classes if facts else np.nan


def _falls(curve: NDArray[np.float64]) -> bool:
    """Whether errors fall as accuracies do: far; or steadily, most of it at the sparse end, beyond what is noise.

    Real errors may dip below the unpruned one at moderate densities, but the dip flattens where it is deepest.
    """
    fall = curve[0] - curve[-1]
    if fall > FAR or len(curve) < LEAST_LEVELS:
        return bool(fall > FAR)
    noise = np.sqrt(np.sum(np.diff(curve, 2) ** 2) / (6 * (len(curve) - 3)))
    upper, lower = np.triu_indices(len(curve), 1)
    steadily = np.mean(np.sign(curve[upper] - curve[lower])) > STEADILY
    late = curve[0] - curve[len(curve) // 2] < fall / 2
    return bool(fall > BEYOND_NOISE * noise and steadily and late)


def _mixtures(columns: Mapping[str, Array], measured: Mapping[str, Array]) -> Iterator[str]:
    """Tell where an unpruned error is a mean over networks that a column of one's own tells apart."""
    dense = unpruned(columns) & np.isnan(measured.get("unpruned_error", np.full(len(columns["density"]), np.nan)))
    if not dense.any():
        return
    names = [name for name in columns if name not in BY_NAME and name.lower() not in REPETITIONS]
    if not names:
        return
    rows = Columns.of(columns).take(dense)
    configurations = configuration_codes(rows)
    for name in names:
        values = rows[name]
        if values.dtype.kind == "f" and len(np.unique(values)) == len(values):  # as another error would be
            continue
        both = rows.groups((name,), configurations)
        if both.max() > configurations.max():
            words = listed(map(clipped, dict.fromkeys(values.tolist())), 3)
            yield (
                f"unpruned errors are means over networks with different {name!r} ({words}): if these are different "
                "networks, rename the column to `family` or `dataset`, or give `unpruned_error` yourself"
            )
