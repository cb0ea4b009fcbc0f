"""What a user may want to know of a valid table: columns that look like others, logs of training, accuracies."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import clipped, shell_word
from prunescope.table.coded import Columns, compact, configuration_codes, group_codes, unpruned
from prunescope.table.column_hints import set_option
from prunescope.table.duckdb_engine import quoted_where_needed
from prunescope.table.findings import Array
from prunescope.table.own_columns import REPETITIONS, distinguishing, mixture_notes, numbers_repetitions
from prunescope.table.schema import ANY_FIGURE, BY_NAME, CONFIGURATION, Outcome, bare

# When errors are taken for accuracies. Of simulated errors that are flat but for noise, one curve in a hundred of four
# densities draws the note, one in some hundreds of eleven; of accuracies that fall by ten times their noise, as the
# cube of the log density, 55 and 99 in a hundred.
HALF = 0.5
FAR = 0.1
LEAST_LEVELS = 4
BEYOND_NOISE = 4.0
STEADILY = 0.4  # of Kendall's tau
BESIDE_CHANCE = 0.02  # one class answered to every example is off chance by as much in small or uneven test sets

_LOGGED = ("epoch", "step", "iteration", "iter", "global_step")
LEAST_EPOCHS = 3  # of a network, for a log
NEARLY = 0.8  # of letters shared: depht
# What others call sizes of networks and of data.
_SIZES = {
    **dict.fromkeys(("nlayers", "numlayers", "nlayer", "numhiddenlayers", "layers"), "depth"),
    **dict.fromkeys(("widthmultiplier", "widthmult", "widthfactor", "hiddensize", "hiddendim", "dmodel"), "width"),
    **dict.fromkeys(("params", "nparams", "numparams", "totalparams", "parametercount", "modelsize"), "prunable"),
    **dict.fromkeys(("nexamples", "numexamples", "ntrain", "trainsize", "trainexamples"), "examples"),
}
_NO_MISSPELLING = ("level", "state", "epoch")  # words of their own that come near `leave` and `started`


def remarks_on(
    columns: Mapping[str, Array], measured: Mapping[str, Array], outcome: Outcome, spelled: Mapping[str, str]
) -> Iterator[str]:
    """Yield what a user may want to know.

    Parameters
    ----------
    columns
        The valid table.
    measured
        What its source had: without the columns that were filled in.
    spelled
        What its columns are called in the source.
    """
    if "replicate" not in measured:
        repeated = int(np.count_nonzero(columns["replicate"]))
        if repeated:
            yield (
                f"no column `replicate`: {repeated:,} rows that repeat a configuration and density were taken as "
                "further replicates, in the order of the file"
            )
        for name in columns:
            if bare(name).lower() in REPETITIONS and columns[name].dtype.kind in "iu":
                yield (
                    f"column {name!r} looks like repetitions: rename it to `replicate` to have them taken as such, "
                    f"or add {set_option('replicate', name)}"
                )
    missing = int(np.count_nonzero(np.isnan(columns["unpruned_error"])))
    if missing and outcome.bounded:
        yield (
            f"{missing:,} rows have no unpruned network to compare with: no row at density 1 shares their configuration"
        )
    yield from _misspelled(columns)
    if words := merged_cells(columns):
        yield words
    yield from _logged(columns, measured, spelled)
    if outcome.bounded:
        yield from mixture_notes(columns, measured)
    if outcome.is_error:
        yield from _accuracies(columns)
    elif outcome != ANY_FIGURE:
        yield f"the outcome is {outcome.name}: where an error is named, {outcome.name} is meant"


def unfinished_runs(columns: Mapping[str, Array], missing: NDArray[np.bool_]) -> Iterator[str]:
    """Note runs without an error, beside others that have one: what these say is not said of all."""
    codes = group_codes(
        columns, [*(name for name in columns if name in CONFIGURATION), *distinguishing(columns), "density"]
    )
    beside = np.bincount(codes[~missing], minlength=int(codes.max()) + 1)[codes]
    unfinished = missing & (beside > 0)
    if unfinished.any():
        runs, of = int(unfinished.sum()), int(np.isin(codes, codes[unfinished]).sum())
        yield (
            f"{runs:,} of {of:,} runs at the same densities have no error and are left out: what is said, and how sure "
            "it is, holds for runs that finish"
        )


def merged_cells(columns: Mapping[str, Array]) -> str:
    """Say which column a spreadsheet has merged cells in: a text, then nothing in the rows that it is for; or nothing.

    Parameters
    ----------
    columns
        In the order of the file.
    """
    for name in columns:
        if name in BY_NAME or columns[name].dtype.kind != "O" or columns[name][0] is None:
            continue
        given = [text for text in columns[name] if text is not None]
        if 2 <= len(given) <= len(columns[name]) / 3 and len(set(given)) == len(given):
            column = quoted_where_needed(name)
            filled = f"{column} = last_value({column} ignore nulls) over (rows unbounded preceding)"
            return (
                f"{clipped(name)} is empty in {len(columns[name]) - len(given):,} of {len(columns[name]):,} rows: if "
                f"its cells are merged, fill them with --set {shell_word(filled)}"
            )
    return ""


def _logged(columns: Mapping[str, Array], measured: Mapping[str, Array], spelled: Mapping[str, str]) -> Iterator[str]:
    """Note where a table logs networks as they train: several epochs of each."""
    counts = [name for name in columns if bare(name).lower() in _LOGGED and columns[name].dtype.kind in "iu"]
    if not counts:
        return
    seeds = [name for name in columns if name not in BY_NAME and numbers_repetitions(name, columns)]
    own = [name for name in distinguishing(columns) if name not in counts and columns[name].dtype.kind != "f"]
    known = [name for name in measured if name in (*CONFIGURATION, "treatment", "density")]
    same = [*known, *own, *(seeds or [name for name in measured if name == "replicate"])]
    rows = np.bincount(codes := group_codes(columns, same))[codes]
    for name in counts:
        if len(np.unique(columns[name])) >= LEAST_EPOCHS and np.mean(rows >= LEAST_EPOCHS) >= HALF:
            epoch = quoted_where_needed(name)
            among = ", ".join(quoted_where_needed(spelled.get(other, other)) for other in same)
            last = f"{epoch} = case when {epoch} = max({epoch}) over (partition by {among}) then 0 end"
            yield (
                f"{clipped(name)} differs within networks, as in a log of their training: for the last row of each "
                f"add --set {shell_word(last)} --where {shell_word(f'{epoch} = 0')}"
            )


def _misspelled(columns: Mapping[str, Array]) -> Iterator[str]:
    """Note columns whose names nearly are those of schema columns that the table lacks."""
    absent = {name.replace("_", ""): name for name in BY_NAME if name not in columns}
    # Of columns that differ in numbers alone, one is looked at.
    seen: set[str] = set()
    for name in columns:
        letters = bare(name).lower().replace("_", "").replace(" ", "")
        alike = re.sub(r"\d+", "0", letters)
        if name in BY_NAME or letters in (*REPETITIONS, *_NO_MISSPELLING) or alike in seen:
            continue
        seen.add(alike)
        close = difflib.get_close_matches(letters, absent, n=1, cutoff=NEARLY)
        meant = absent[close[0]] if close else _SIZES.get(letters)
        if meant is not None and meant not in columns:
            option = set_option(meant, name)
            yield f"column {clipped(name)} is kept as your own column: if it is `{meant}`, add {option}"


def _accuracies(columns: Mapping[str, Array]) -> Iterator[str]:
    """Note errors that look like accuracies: unpruned networks worse than guessing, or curves that fall at their end.

    Rows with label noise are left out: the error of networks that memorised wrong labels does fall when pruned.
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
