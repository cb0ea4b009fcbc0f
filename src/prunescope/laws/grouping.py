"""The door from tables to laws: which rows belong to one fit, and what its points are. Beyond it are arrays alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import Fault, InputError, Key, counted, listed, nearest
from prunescope.laws.data import GroupData, Integers, Numbers
from prunescope.laws.filters import FILTERS, better_than_chance, connected, not_overly_large
from prunescope.laws.rows import EXPLAINED, ExampleOutcomes, count_test_examples, example_shares, identity_columns
from prunescope.study.catalogue import DATASETS
from prunescope.table import Table
from prunescope.table.coded import Columns, configuration_codes, group_codes, having, unpruned
from prunescope.table.schema import CONFIGURATION, ERROR, Outcome

# Treatments whose networks are neither pruned nor ordinarily trained dense ones.
FOREIGN = ("extended", "leave-out")
# Treatments of unpruned networks: they tell unpruned errors, and have no curve of their own.
UNPRUNED = ("dense", "narrow")
# The column that a dense law takes for the size of a network; without it, depth * width^2 is.
COUNTED = "prunable"
# Densities that agree to this share are one rung, however they were rounded.
SAME_DENSITY = 1e-3
# How many times larger the error of one of two replicates is where one of them may have diverged.
APART = 2.0


@dataclass(frozen=True)
class Sample:
    """The groups of a table, and what was decided on the way. Made once, it serves every fit of its kind of law.

    Attributes
    ----------
    kind
        The law that it was made for: ``single``, ``joint`` or ``dense``.
    groups
        The measurements of each group, in the order of their keys.
    by
        The columns that make the groups.
    notes
        Rows left out, columns chosen: what the user may want to know.
    source, rows
        The table that it was made of, and how many rows that has.
    size
        The columns that tell how large a network is.
    outcome
        What its errors are.
    """

    kind: str
    groups: tuple[GroupData, ...]
    by: tuple[str, ...]
    notes: tuple[str, ...]
    source: str
    rows: int
    size: tuple[str, ...]
    outcome: Outcome = ERROR

    @property
    def varies_in_size(self) -> bool:
        """Whether some group holds networks of several depths or widths, which a joint law explains."""
        return any(np.ptp(group.depth) > 0 or np.ptp(group.width) > 0 for group in self.groups)


def sample(
    table: Table,
    joint: bool,
    by: Sequence[str] | None = None,
    *,
    keep_replicates: bool = False,
    classes: int | None = None,
    filters: Sequence[str] = (),
) -> Sample:
    """Return the groups of a table, each ready to be fitted.

    Parameters
    ----------
    joint
        Whether depth, width and examples are explained by the law (Eq. 2) or make groups of their own (Eq. 1).
    by
        Columns whose values make groups; None takes all that tell ladders apart, but what the law explains.
    keep_replicates
        Whether each row is a point; otherwise replicates are averaged, as in the first paper.
    classes
        Number of classes, for the error of guessing; None takes it from the datasets that prunescope knows.
    filters
        Names of `FILTERS` to apply.
    """
    notes: list[str] = []
    rows = _filtered(keep_curves(keep_usable(table, notes)), filters, classes, notes)
    identity, extra = identity_columns(rows)
    if by is None:
        chosen = tuple(name for name in identity if not (joint and name in EXPLAINED))
        without = tuple(name for name in chosen if name not in extra)
        if extra and joint and not _has_families(rows, chosen) and _has_families(rows, without):
            notes.append(f"{listed(extra)} names single networks and makes no groups; --by groups by it all the same")
            chosen = without
        elif extra:
            notes.append(f"each {listed(extra)} is fitted by itself; --by names other columns to group by")
    else:
        chosen = tuple(map(rows.known, by))
    _note_repeats(rows, identity, notes)
    _note_pairs(rows, identity, notes)
    groups = tuple(group_rows(rows, chosen, identity, keep_replicates, classes, table))
    return Sample("joint" if joint else "single", groups, chosen, tuple(notes), *origin(table), table.outcome)


def dense_sample(table: Table, by: Sequence[str] | None = None, *, classes: int | None = None) -> Sample:
    """Return the unpruned networks of a table, for the dense law: ``depth`` holds the size, ``width`` the examples."""
    notes: list[str] = []
    rows = keep_usable(table, notes)
    dense, codes = unpruned(rows.columns), configuration_codes(rows.columns)
    # Configurations without an unpruned network of their own are known by the error that was given for them.
    known = np.zeros(len(rows), bool)
    known[np.unique(codes, return_index=True)[1]] = True
    known &= ~np.isin(codes, codes[dense])
    error = np.where(known, rows["unpruned_error"], rows["test_error"])
    columns = Columns.of(rows.columns).changed(test_error=error, density=np.ones(len(rows)))
    networks = replace(rows, columns=columns, notes=(), unpruned_rows=None).take(dense | known)
    identity = tuple(name for name in networks if name in CONFIGURATION)
    chosen = tuple(name for name in identity if name not in EXPLAINED) if by is None else tuple(map(networks.known, by))
    identity = (*identity, *(name for name in chosen if name not in identity))
    turned = tuple(
        replace(group, depth=group.size, width=group.examples, dense_repeats=np.zeros_like(group.dense_repeats))
        for group in group_rows(networks, chosen, identity, False, classes)
    )
    return Sample("dense", turned, chosen, tuple(notes), *origin(table), table.outcome)


def origin(table: Table) -> tuple[str, int, tuple[str, ...]]:
    """Return the source of a table, its rows, and the columns of it that tell sizes."""
    size = (COUNTED,) if COUNTED in table else tuple(name for name in ("depth", "width") if name in table)
    return table.source, len(table), size


def _has_families(table: Table, by: Sequence[str]) -> bool:
    """Whether some group holds members of different depth, width or examples."""
    explained = [name for name in EXPLAINED if name in table]
    groups = group_codes(table.columns, by)
    members = Columns.of(table.columns).groups(explained, groups)
    return int(members.max(initial=-1)) > int(groups.max(initial=-1))


def keep_usable(table: Table, notes: list[str]) -> Table:
    """Return the rows that a law can speak of; refuse what no relative deviation can be taken of."""
    if not len(table):
        raise InputError(table.source, [Fault("the rows", "must be one or more", "none")])
    if "treatment" in table:
        dense = table["rung"] == 0 if "rung" in table else np.zeros(len(table), bool)
        foreign = having(table.columns, "treatment", FOREIGN)
        foreign &= ~(dense & having(table.columns, "treatment", ("extended",)))
        if foreign.any():
            kinds = listed(sorted({str(kind) for kind in table["treatment"][foreign]}))
            left = counted(int(foreign.sum()), "row")
            notes.append(f"{left} of treatment {kinds} left out: nothing was pruned there")
            table = table.take(~foreign)
    faults = []
    for name, word in (("test_error", "error"), ("unpruned_error", "unpruned_error")):
        if len(table) and (table[name] == 0).any():
            zero = np.flatnonzero(table[name] == 0)
            place = f"column {word!r}, row{'' if len(zero) == 1 else 's'} {listed(zero + 1, 4)}"
            hint = f'A relative deviation needs errors above 0: leave these rows out (--where "{word} > 0").'
            faults.append(Fault(place, "must be above 0 for a fit", "0", hint))
    unknown = np.isnan(table["unpruned_error"]) if len(table) else np.zeros(0, bool)
    if len(table) and unknown.all():
        hint = "Add the rows at density 1, or a column `unpruned_error`: --set 'unpruned_error = 0.08', if it was 8 %."
        faults.append(Fault("column 'unpruned_error'", "must be known for a fit", "no row at density 1", hint))
    if faults or not len(table):
        raise InputError(table.source, faults or [Fault("the rows", "must hold pruned networks", "none")])
    if unknown.any():
        notes.append(f"{counted(int(unknown.sum()), 'row')} without an unpruned network to compare with left out")
        table = table.take(~unknown)
    return table


def _filtered(table: Table, names: Sequence[str] | None, classes: int | None, notes: list[str]) -> Table:
    """Apply filters, and say what each left out."""
    for name in () if names is None else names:
        if name not in FILTERS:
            wanted = f"must be one of {listed(FILTERS)}"
            raise InputError("--filter", [Fault("the filter", wanted, repr(name), nearest(name, FILTERS))])
        if name == "connected":
            if "connected" not in table:
                notes.append("filter connected: the table has no column `connected`, so nothing was left out")
                continue
            mask = connected(table["connected"])
        elif name == "better-than-chance":
            mask = better_than_chance(table["test_error"], _chances(table, classes, needed=True))
        else:
            mask = _not_overly_large(table)
        left = counted(int((~mask).sum()), "row")
        notes.append(f"filter {name}: {left} of {len(table):,} left out")
        if not mask.any():
            raise InputError(table.source, [Fault("the rows", f"must pass the filter {name}", "none that does")])
        table = table.take(mask)
    return table


def _chances(table: Table, classes: int | None, needed: bool = False) -> Numbers:
    """Return the error of guessing for each row, NaN where it is not known."""
    chance = table.outcome.guessing(classes)
    if chance is not None:
        return np.full(len(table), chance)
    if "dataset" in table:
        texts = Columns.of(table.columns).column("dataset").texts
        facts = {**DATASETS, **table.datasets}
        named = (facts.get(name) for name in texts.words.tolist())
        known = [None if dataset is None else table.outcome.guessing(dataset.classes) for dataset in named]
        chances = np.array(known, float)[texts.codes]
    else:
        chances = np.full(len(table), np.nan)
    if needed and np.isnan(chances).any():
        must, hint = "must be known for the error of guessing", "Give it with --classes N."
        raise InputError(table.source, [Fault("the number of classes", must, hint=hint)])
    return chances


def _not_overly_large(table: Table) -> NDArray[np.bool_]:
    columns = table.columns
    rest = [name for name in columns if name in CONFIGURATION and name not in EXPLAINED]
    family, codes = group_codes(columns, rest), configuration_codes(columns)
    first = np.unique(codes, return_index=True)[1]
    small_enough = np.zeros(len(first), bool)
    depth, width, examples = (
        np.asarray(columns[name][first], np.float64) if name in columns else np.ones(len(first)) for name in EXPLAINED
    )
    unpruned = table["unpruned_error"][first]
    for code in np.unique(family[first]):
        cells = family[first] == code
        small_enough[cells] = not_overly_large(depth[cells], width[cells], examples[cells], unpruned[cells])
    return small_enough[codes]


def _note_repeats(table: Table, identity: Sequence[str], notes: list[str]) -> None:
    """Say where rows that count as replicates differ in a column that was not taken to tell ladders apart."""
    codes = group_codes(table.columns, [*identity, "replicate", "density"])
    twice = len(codes) - (int(codes.max(initial=-1)) + 1)
    if twice:
        notes.append(
            f"{counted(twice, 'row repeats', 'rows repeat')} a configuration, density and replicate and "
            f"{'is' if twice == 1 else 'are'} averaged; if they differ in something, say so in a column of text, or "
            "with --by"
        )


def _note_pairs(table: Table, identity: Sequence[str], notes: list[str]) -> None:
    """Say where two replicates, of which none can be called the far one, are far apart."""
    codes = group_codes(table.columns, [*identity, "density"])
    order = np.lexsort((table["test_error"], codes))
    pairs = order[np.flatnonzero(np.bincount(codes)[codes[order]] == 2)].reshape(-1, 2)
    low, high = table["test_error"][pairs].T
    far = pairs[high > APART * low]
    if len(far):
        first = far[np.argmax(table["density"][far[:, 0]])]
        which = f"at density {table['density'][first[0]]:.3g}" + (f" and {len(far) - 1:,} more" if far[1:].size else "")
        notes.append(
            f"{which}, two replicates differ more than twofold ({table['test_error'][first[0]]:.3g} and "
            f"{table['test_error'][first[1]]:.3g}): if one of them diverged, leave it out with --where"
        )


def keep_curves(table: Table) -> Table:
    """Leave out treatments of unpruned networks, whose errors stand in `unpruned_error`, where there are others."""
    if "treatment" not in table:
        return table
    pruned = ~having(table.columns, "treatment", UNPRUNED)
    return table.take(pruned) if pruned.any() and not pruned.all() else table


def group_rows(
    table: Table,
    by: Sequence[str],
    identity: Sequence[str],
    keep_replicates: bool,
    classes: int | None,
    whole: Table | None = None,
) -> Iterator[GroupData]:
    """Yield the groups of a table, in the order of their keys.

    Parameters
    ----------
    whole
        The table before rows were left out of it; None where none were.
    """
    columns = table.columns
    density = table["density"]
    group = group_codes(columns, by)
    cell = Columns.of(columns).groups([name for name in identity if name not in by], group)
    level = _levels(density)
    order = np.lexsort((table["replicate"], -level, cell, group))
    group, cell, level = group[order], cell[order], level[order]
    new_cell = np.r_[True, cell[1:] != cell[:-1]]
    new_rung = new_cell | np.r_[True, level[1:] != level[:-1]]
    fresh = np.ones(len(order), bool) if keep_replicates else new_rung
    point = np.cumsum(fresh) - 1
    first = np.flatnonzero(fresh)
    repeats = np.diff(np.r_[first, len(order)])

    def average(values: NDArray[Any]) -> Numbers:
        return np.asarray(np.add.reduceat(values[order].astype(np.float64), first) / repeats)

    def first_value(name: str) -> Numbers:
        if name not in columns:
            return np.ones(len(first))
        return np.asarray(columns[name][order[first]], np.float64)

    # A member's rows share its unpruned error, unless they were given one for each replicate. Behind it are as many
    # rows as it is a mean of, 0 where it was given.
    behind = np.zeros(len(table), np.int64) if table.unpruned_rows is None else table.unpruned_rows
    unpruned, dense_repeats = average(table["unpruned_error"]), behind[order[first]]
    depth, width = first_value("depth"), first_value("width")
    size = first_value(COUNTED) if COUNTED in columns else depth * width**2
    held_out = table.outcome.validation
    validation = average(columns[held_out]) if held_out in columns else np.full(len(first), np.inf)
    arrays = {
        "error": average(table["test_error"]),
        "unpruned": unpruned,
        "density": average(density),
        "depth": depth,
        "width": width,
        "examples": first_value("examples"),
        "size": size,
        "repeats": repeats,
        "dense_repeats": dense_repeats,
        "validation": np.where(np.isnan(validation), np.inf, validation),
    }
    numbers = np.cumsum(new_cell)[first] - 1
    chances = _chances(table, classes)[order[first]]
    tested = count_test_examples(table)[order]
    shares = example_shares(table, order, np.cumsum(new_rung), cell, tested)
    outcomes, rung = ExampleOutcomes(table if whole is None else whole), np.cumsum(new_rung)
    row_error, row_replicate = table["test_error"][order], table["replicate"][order]
    begins = np.flatnonzero(np.r_[True, group[first][1:] != group[first][:-1]])
    ends = np.r_[begins[1:], len(first)]
    row_ends = np.r_[first, len(order)]
    keys = {name: [plain_value(value) for value in columns[name][order[first[begins]]].tolist()] for name in by}
    # Groups in which something was pruned are told from each other; those of unpruned networks alone from all.
    sparse = np.minimum.reduceat(arrays["density"], begins) < 1
    varying = {alone: _varying(keys, np.ones_like(sparse) if alone else sparse) for alone in (False, True)}
    for number, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
        rows = slice(row_ends[begin], row_ends[end])
        yield GroupData(
            Key({name: values[number] for name, values in keys.items()}, varying[not sparse[number]]),
            cell=numbers[begin:end] - numbers[begin],
            row_error=row_error[rows],
            row_point=point[rows] - begin,
            row_replicate=row_replicate[rows],
            chance=None if np.isnan(chances[begin:end]).any() else float(chances[begin:end].max()),
            is_error=table.outcome.is_error,
            test_examples=_fewest(tested[rows]),
            example_share=float(shares[rows].max()),
            resampled=outcomes.resampled(table, order[rows], point[rows] - begin, rung[rows]),
            **{name: values[begin:end] for name, values in arrays.items()},
        )


def _fewest(tested: Numbers) -> int | None:
    """Return the fewest test examples of some rows; None where they are not known of all."""
    return None if np.isnan(tested).any() else int(tested.min())


def _varying(keys: Mapping[str, Sequence[Any]], among: NDArray[np.bool_]) -> list[str]:
    """Return the columns in which some groups differ."""
    return [
        name for name, values in keys.items() if len({values[group] for group in np.flatnonzero(among).tolist()}) > 1
    ]


def plain_value(value: Any) -> Any:
    """Return a value of a grouping column; a missing number is None, as a missing text is."""
    return None if value != value else value


def _levels(density: Numbers) -> Integers:
    """Return a number for each density; those that agree, however rounded, share one, but none shares that of 1."""
    values, place = np.unique(density, return_inverse=True)
    logs, numbers = np.log(values), np.empty(len(values), np.int64)
    begin = number = 0
    while begin < len(values):
        end = int(np.searchsorted(logs, logs[begin] + SAME_DENSITY, "right"))
        if logs[begin] < 0 <= logs[end - 1]:
            end = int(np.searchsorted(logs, 0.0, "left"))
        numbers[begin:end] = number
        begin, number = end, number + 1
    return numbers[place.reshape(-1)]
