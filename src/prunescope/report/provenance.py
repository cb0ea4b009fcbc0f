"""Where a report's numbers come from: the study, the code, the machine, the time, and how to make them again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prunescope.choose.limits import bound_faults, confidence_faults
from prunescope.errors import Fault, InputError, command, counted, listed
from prunescope.laws.rows import identity_columns
from prunescope.table import Store, Table, is_store, status
from prunescope.table.coded import Columns, group_codes
from prunescope.table.schema import CONFIGURATION, ERROR, Outcome
from prunescope.version import __version__


@dataclass(frozen=True)
class ReportOptions:
    """What a report is asked for.

    Attributes
    ----------
    max_error
        The bound that the choice is about; None takes one above the lowest unpruned error.
    confidence
        Share of training runs in which the robust choice meets it.
    draws
        Draws of each size in the study of how many measurements are enough; 0 leaves that out.
    outcome
        What errors are.
    count, pick_by
        As for `choose.smallest_network`.
    """

    max_error: float | None = None
    confidence: float = 0.9
    draws: int = 10
    outcome: Outcome = ERROR
    count: str = "parameters"
    pick_by: str | None = None

    def __post_init__(self) -> None:
        faults = list(bound_faults(self.max_error, self.outcome)) if self.max_error is not None else []
        faults += confidence_faults(self.confidence)
        if self.draws == 1 or self.draws < 0:
            faults.append(Fault("the draws", "must be 0, or 2 or more", str(self.draws)))
        if faults:
            raise InputError("the report", faults)


@dataclass(frozen=True)
class StudyState:
    """A study of the store, and how far it is.

    Attributes
    ----------
    text
        Its file.
    """

    name: str
    purpose: str
    done: int
    rungs: int
    failed: int
    text: str


@dataclass(frozen=True)
class Provenance:
    """Where the numbers come from.

    Attributes
    ----------
    facts
        Name and value of each, in words.
    studies
        Those of a store.
    commands
        What makes the numbers and this report again.
    """

    facts: tuple[tuple[str, str], ...]
    studies: tuple[StudyState, ...]
    commands: tuple[str, ...]


# What a table that has no file is called.
UNNAMED = "a table"


def provenance(rows: Table, source: str, options: ReportOptions, lens: str = "", where: str = "") -> Provenance:
    """Return where the rows of a source come from, and what makes their report again.

    Parameters
    ----------
    lens
        What the lens looked at, if that was another store.
    """
    studies = tuple(_studies(source))
    lens_studies = tuple(_studies(lens)) if lens else ()
    facts = tuple(_facts(rows, source)) + ((("under the lens", lens),) if lens else ())
    report = command("report", place(source), *_options(options, lens, where))
    return Provenance(
        facts, studies + lens_studies, (*_trained(source, studies), *_trained(lens, lens_studies), report)
    )


def place(source: str) -> Path:
    """Return a source as a command names it; what has no name is a TABLE."""
    return Path("TABLE" if source == UNNAMED else source)


def _options(options: ReportOptions, lens: str, where: str) -> Iterator[object]:
    if lens:
        yield "--lens"
        yield place(lens)
    if where.strip():
        yield "--where"
        yield where
    usual = ReportOptions()
    for name, value, default in (
        ("--max-error", options.max_error, usual.max_error),
        ("--confidence", options.confidence, usual.confidence),
        ("--draws", options.draws, usual.draws),
        ("--count", options.count, usual.count),
        ("--pick-by", options.pick_by, usual.pick_by),
    ):
        if value != default:
            yield name
            yield value


def _studies(source: str) -> Iterator[StudyState]:
    if source == "-" or not is_store(Path(source)):
        return
    for progress in status(Store(source)).studies:
        study = progress.study
        yield StudyState(
            study.name, study.purpose, progress.rungs_done, progress.rungs, progress.failed, study.to_toml()
        )


def _facts(rows: Table, source: str) -> Iterator[tuple[str, str]]:
    yield "read from", source
    # What a table tells of its networks in columns of its own is part of their configuration.
    configuration = [name for name in rows.names if name in CONFIGURATION]
    codes = group_codes(rows.columns, [*configuration, *identity_columns(rows)[1]])
    yield "networks", f"{len(rows):,} of {counted(int(codes.max()) + 1, 'cell')}"
    for name, words in (("version", "trained by prunescope"), ("device", "trained on")):
        if name in rows and (values := _texts(rows, name)):
            yield words, listed(values)
    if "seconds" in rows and np.isfinite(rows["seconds"]).any():
        yield "training took", _spelled(_trained_for(rows)) + " of processor or GPU time"
    if "started" in rows and (values := _texts(rows, "started")):
        first, last = min(values), max(values)
        yield "trained", first[:10] if first[:10] == last[:10] else f"{first[:10]} to {last[:10]}"
    yield "report by", f"prunescope {__version__}"


def _trained_for(rows: Table) -> float:
    """Return the seconds of all trainings; a rung 0 that several ladders share was one."""
    seconds = np.where(np.isfinite(rows["seconds"]), rows["seconds"], 0.0)
    if "rung" not in rows or "started" not in rows or "replicate" not in rows:
        return float(seconds.sum())
    first = rows["rung"] == 0
    names = [name for name in ("replicate", "started", "seconds", "test_error", "width", "label_noise") if name in rows]
    shared = dict(zip(zip(*(rows[name][first].tolist() for name in names), strict=True), seconds[first], strict=True))
    return float(seconds[~first].sum() + sum(shared.values()))


def _texts(rows: Table, name: str) -> list[str]:
    column = Columns.of(rows.columns).column(name)
    values = column.texts.words[np.unique(column.texts.codes)] if column.is_text else column.array
    return sorted({str(value) for value in values.tolist() if value is not None})


def _spelled(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"


def _trained(source: str, studies: tuple[StudyState, ...]) -> Iterator[str]:
    for study in studies:
        yield command("run", Path(f"{study.name}.toml"), "--store", place(source))
