"""From raw columns, as a file or a caller has them, to a valid `Table`: all faults are collected and raised together.

What a single value must be is in `values`; here is what must hold between columns and between rows. This module
knows the schema's rules and nothing of file formats. A valid table may still not mean what its owner thinks:
`remarks` says where.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from prunescope.errors import clipped, listed, nearest
from prunescope.table.arrays import IDENTITY
from prunescope.table.coded import (
    Columns,
    Texts,
    group_codes,
    occurrence,
    plain,
    rows_of,
    unpruned_error,
)
from prunescope.table.column_hints import set_hint
from prunescope.table.findings import Array, Findings
from prunescope.table.own_columns import dividing_columns
from prunescope.table.remarks import merged_cells, remarks_on
from prunescope.table.schema import (
    ALIASES,
    ANY_FIGURE,
    BY_NAME,
    ERROR,
    FIGURES,
    MEASURED,
    NEEDED,
    NOT_NEGATIVE,
    STORED_NAMES,
    ColumnGroup,
    Outcome,
    canonical,
)
from prunescope.table.table import Table, by_schema
from prunescope.table.values import encodable, gaps_filled, plain_column, typed, untyped


def conform(
    raw: Mapping[str, Any],
    findings: Findings,
    needed: Sequence[str] = NEEDED,
    outcome: Outcome = ERROR,
    gaps: bool = False,
) -> Table:
    """Return raw columns as a valid table, or raise with every fault found here and before.

    Parameters
    ----------
    raw
        Sequences of text or arrays by the names that the source gives them.
    findings
        Faults found so far, and how the source counts its rows.
    needed
        Columns that must be there.
    outcome
        What is taken for the test error.
    gaps
        Whether test errors may be missing, as a store's may where losses alone were recorded.
    """
    if not outcome.is_error:
        raw = _with_outcome(raw, outcome, needed, findings)
    named = _named(raw, findings, needed)
    typed_columns: dict[str, Array | Texts] = {}
    unsound: set[str] = set()
    for name in by_schema(list(named)):
        before = len(findings.faults)
        column = BY_NAME.get(name)
        if column and name in MEASURED and not outcome.is_error:
            column = dataclasses.replace(column, range=NOT_NEGATIVE)
        if column and name == "test_error" and gaps:
            column = dataclasses.replace(column, optional=True)
        typed_columns[name] = typed(column, named[name], findings) if column else untyped(name, named[name], findings)
        if len(findings.faults) > before:
            unsound.add(name)
    length = {len(values) for values in typed_columns.values()}
    if len(length) > 1:
        findings.add("the columns", "must have one length", listed(sorted(length)))
    elif length == {0} or not length:
        findings.add("the rows", "must be one or more", "none")
    if len(length) != 1 or length == {0}:
        findings.raise_if_any()
    columns = Columns(typed_columns)
    if not unsound & BY_NAME.keys() and set(needed) <= columns.keys():
        _check_sizes(columns, findings)
        if "test_error" in columns:
            _check_rungs(columns, findings)
    findings.raise_if_any()
    if "test_error" not in columns:  # networks that nobody measured: nothing to fill in, nothing to note
        return Table(columns, findings.source, outcome=outcome)
    mean, behind = unpruned_error(columns, dividing_columns(columns))
    filled = columns.changed(unpruned_error=mean)
    if "replicate" not in columns:
        filled = filled.changed(replicate=occurrence(group_codes(columns, _rung_key(columns))))
    ordered = filled.pick(by_schema(list(filled)))
    remarks = tuple(remarks_on(ordered, columns, outcome, findings.spelled))
    return Table(ordered, findings.source, remarks, behind, outcome=outcome)


def conform_stored(columns: Mapping[str, Any], findings: Findings) -> Table:
    """Return rows of a store as a table: the schema's rules, and identities that are identities."""
    ladders = columns["ladder"]
    if isinstance(ladders, Texts | np.ndarray):
        wrong = np.flatnonzero(rows_of(ladders, lambda ladder: not _is_identity(ladder))).tolist()
        ladders = plain(ladders)
    else:
        wrong = [position for position, ladder in enumerate(ladders) if not _is_identity(ladder)]
    for position in wrong:
        findings.add(
            f"column 'ladder', row {position + 1}", "must be 32 hexadecimal digits", clipped(ladders[position])
        )
    return conform(columns, findings, STORED_NAMES, gaps=True)


def _is_identity(ladder: object) -> bool:
    return isinstance(ladder, str) and IDENTITY.fullmatch(ladder) is not None


def _with_outcome(
    raw: Mapping[str, Any], outcome: Outcome, needed: Sequence[str], findings: Findings
) -> Mapping[str, Any]:
    """Return raw columns with an outcome in place of the test error, and its unpruned values in place of those."""
    spelled = {canonical(str(written)): written for written in raw}
    measured = spelled.get(canonical(outcome.name))
    if measured is None and outcome == ANY_FIGURE:
        measured = next((spelled[name] for name in FIGURES if name in spelled), None)
    if measured is None:
        if "test_error" in needed and outcome == ANY_FIGURE:
            hint = f"Name its column with --outcome. There are {listed(map(repr, spelled), 20)}."
            findings.add("the outcome", "must be in a column 'error' or 'loss', or be named", hint=hint)
        elif "test_error" in needed:
            hint = nearest(outcome.name, [*spelled]) or f"There are {listed(map(repr, spelled), 20)}."
            findings.add(f"the outcome {clipped(outcome.name)}", "must be a column", hint=hint)
            findings.raise_if_any()
        return raw
    unpruned = spelled.get(canonical(f"unpruned_{outcome.name}"))
    replaced = {spelled[name] for name in MEASURED if name in spelled and "test_error" in spelled}
    columns = {written: values for written, values in raw.items() if written not in replaced}
    columns["test_error"] = raw[measured]
    if unpruned is not None:
        columns["unpruned_error"] = raw[unpruned]
    return columns


def _named(raw: Mapping[str, Any], findings: Findings, needed: Sequence[str]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    spelled = findings.spelled
    folded: dict[str, str] = {}
    for written, raw_values in raw.items():
        name, values = canonical(str(written)), plain_column(raw_values)
        if not name:
            findings.add("a column", "must have a name", "none")
            continue
        if name in named:
            hint = "`error` and `test_error` are one column." if name in ALIASES.values() else ""
            findings.add(f"column {clipped(str(written))}", f"must not be there beside {spelled[name]!r}", hint=hint)
            continue
        if name.lower() in folded:
            twin = folded[name.lower()]
            findings.add(f"column {name!r}", f"must differ from column {twin!r} by more than capital letters")
            continue
        if not encodable(name) or name.startswith("__"):
            findings.add(f"column {clipped(name)}", "must have a name in Unicode text that does not begin with __")
            continue
        if isinstance(values, str) or not hasattr(values, "__len__") or getattr(values, "ndim", 1) != 1:
            findings.add(f"column {clipped(str(written))}", "must be a list of values", clipped(values))
            continue
        named[name] = gaps_filled(values) if isinstance(values, np.ma.MaskedArray) else values
        spelled[name], folded[name.lower()] = str(written), name
    for name in needed:
        if name not in named:
            shown = next((alias for alias, target in ALIASES.items() if target == name), name)
            findings.add(f"column {shown!r}", "must be there", hint=_missing_hint(shown, spelled, named))
    return named


def _missing_hint(name: str, spelled_names: Mapping[str, str], named: Mapping[str, Any]) -> str:
    spelled = list(spelled_names.values())
    if ALIASES.get(name, name) == "test_error" and "test_loss" in named:
        return "To go by the loss instead: --outcome test_loss, in Python outcome='test_loss'."
    if hint := set_hint(name, {spelled_names[column]: values for column, values in named.items()}):
        return hint
    others = [column for column in spelled if canonical(column) not in BY_NAME]
    hint = nearest(name, others) or nearest(ALIASES.get(name, name), others)
    return hint or (f"The columns are {listed((clipped(name)[1:-1] for name in spelled), 12)}." if spelled else "")


def _check_sizes(columns: Mapping[str, Array], findings: Findings) -> None:
    """Add faults where counts of one row disagree."""
    if {"kept", "prunable", "density"} <= columns.keys():
        ratio = columns["kept"] / columns["prunable"]
        # Densities are often written with two or three digits.
        rows = np.flatnonzero(np.abs(ratio - columns["density"]) > 0.02 * columns["density"])
        findings.at_rows("density", rows, "must be kept / prunable", columns["density"][rows].tolist())
    if {"kept", "parameters"} <= columns.keys():
        rows = np.flatnonzero(columns["parameters"] < columns["kept"])
        findings.at_rows("parameters", rows, "must be at least `kept`", columns["parameters"][rows].tolist())


# Not part of a rung's key: what training answered and what it cost.
_ANSWERS = (ColumnGroup.OUTCOME, ColumnGroup.DERIVED, ColumnGroup.COST)


def _rung_key(columns: Mapping[str, Array]) -> list[str]:
    """Return the columns that identify a rung: all but outcomes and costs."""
    return [name for name in columns if name not in BY_NAME or BY_NAME[name].group not in _ANSWERS]


def _check_rungs(columns: Mapping[str, Array], findings: Findings) -> None:
    """Add faults for repeated rungs; without a `replicate` column only for rows that are equal in everything."""
    key = [name for name in ("ladder", "rung") if name in columns]
    if len(key) == 2:
        _add_repeated(columns, key, findings, "Number the ladders anew, if they differ.")
    elif "replicate" in columns:
        hint = "If they are repetitions, number `replicate` anew; if they differ in something else, add a column that "
        _add_repeated(columns, _rung_key(columns), findings, f"{hint}says in what.")
    else:
        _add_repeated(columns, list(columns), findings, "If both were measured, add a column `replicate`.")


def _add_repeated(columns: Mapping[str, Array], key: Sequence[str], findings: Findings, hint: str) -> None:
    codes = group_codes(columns, key)
    if int(codes.max()) + 1 == len(codes):
        return
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    earlier = first[inverse.reshape(-1)]
    rows = np.flatnonzero(earlier != np.arange(len(codes)))
    everything = group_codes(columns, list(columns))
    if (everything[rows] == everything[earlier[rows]]).all():
        which = "it" if len(rows) == 1 else "them"
        hint = f"Every value is the same: delete {which}, if one network was written twice. {hint}"
    if words := merged_cells(columns):
        hint = f"Column {words}."
    words = f"the same {listed(key, 6)} as in {findings.lines(np.unique(earlier[rows]))}"
    findings.add(findings.lines(rows), "must not repeat a rung that stands there already", words, hint)
