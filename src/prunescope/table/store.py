"""A store: one folder with everything that studies have measured so far. Safe to kill, copy and merge.

    store.json       marks the folder as a store
    rungs/           one row per rung, in Parquet shards (`shards`)
    studies/         every version of a study that was begun here, as TOML
    recorded/        ladders recorded from training loops of your own
    examples/        outcomes per training example, by ladder and rung (`arrays`)
    test_examples/   which test examples are classified correctly, by ladder and rung (`arrays`)
    checkpoints/     weights and masks, by ladder and rung (`arrays`)
    failures/        what went wrong with which ladder
    notes/           what a run measured once and uses when it continues
    claims/          who works on what now (`leases`)
    conflicts/       results that contradict what is there (`conflicts`)
    drafts/          files being written

Every file is whole or absent and carries its content's hash (`durable`). There is no server, no index, no pickle.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prunescope.errors import DamageError, Fault, InputError, PrunescopeError, clipped, command, nearest
from prunescope.files import open_to_all
from prunescope.markup import table_html
from prunescope.table import arrays, notes
from prunescope.table.arrays import IDENTITY, ArrayEntry, ArrayKind, StoredOutcomes, check_identity
from prunescope.table.coded import Columns, Texts, plain, sorted_rows, take
from prunescope.table.columns import conform_stored
from prunescope.table.conflicts import are_aside, row_of, same_results, set_aside
from prunescope.table.duckdb_engine import answer, mentioned
from prunescope.table.durable import is_sound, new_draft, publish_bytes
from prunescope.table.findings import Array, Findings
from prunescope.table.leases import EXPIRY, Claim, Leases
from prunescope.table.owners import this_process
from prunescope.table.schema import CONFIGURATION, STORED, STORED_NAMES
from prunescope.table.shards import PACK_AT, Shards
from prunescope.table.status import Failure, Ledger, RecordedNote, status
from prunescope.table.table import Table

if TYPE_CHECKING:
    from prunescope.study import Study
    from prunescope.study.catalogue import DatasetFacts

FORMAT = 1
MARK = "store.json"
_PARTS = ("rungs", "studies", "recorded", *ArrayKind, "failures", "notes", "claims", "conflicts", "drafts", "progress")
_LOOK_EVERY = 32


def _keep(name: ArrayKind | str) -> ArrayKind:
    if name in set(ArrayKind):
        return ArrayKind(name)
    must = f"must be one of {', '.join(ArrayKind)}"
    raise InputError("arrays", [Fault("what is kept", must, clipped(name), nearest(name, ArrayKind))])


@contextmanager
def _claim_of_one(claim: AbstractContextManager[Claim]) -> Iterator[bool]:
    with claim as free:
        yield bool(free)


def is_store(path: Path) -> bool:
    """Whether a folder is a store."""
    return (path / MARK).is_file()


class Store:
    """Everything measured so far, in one folder.

    Parameters
    ----------
    path
        The folder.
    create
        Make the store where there is none.
    expiry
        Seconds without a heartbeat after which other processes may take the ladders that this one holds.
    """

    def __init__(self, path: str | os.PathLike[str], *, create: bool = False, expiry: float = EXPIRY) -> None:
        self.path = Path(path)
        self.leases = Leases(self.path, expiry)
        self._written = 0
        self._refuse_links()
        if create and not is_store(self.path):
            self._create()
        if not is_store(self.path):
            there = (
                "a folder without store.json" if self.path.is_dir() else "a file" if self.path.exists() else "nothing"
            )
            raise InputError(str(path), [Fault("the store", "must be a folder that prunescope made", there)])
        self._check_format()

    def _refuse_links(self) -> None:
        for name in (*_PARTS, MARK):
            if (self.path / name).is_symlink():
                fault = Fault(f"its part {name!r}", "must be the store's own", "a link that leads elsewhere")
                raise InputError(str(self.path), [fault])

    def _create(self) -> None:
        """Make the store; several processes may do so at once."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if any(entry.name not in (*_PARTS, MARK) for entry in self.path.iterdir()):
                fault = Fault("a new store", "must be an empty or a new folder", "a folder with other files")
                raise InputError(str(self.path), [fault])
            for name in _PARTS:
                (self.path / name).mkdir(exist_ok=True)
            draft = new_draft(self.path, f"-{MARK}", f"{json.dumps({'prunescope store': FORMAT})}\n".encode())
            open_to_all(draft)
            draft.replace(self.path / MARK)
        except OSError as trouble:
            raise PrunescopeError(f"{self.path} cannot be made a store: {trouble.strerror}") from None

    def _check_format(self) -> None:
        try:
            version = json.loads((self.path / MARK).read_text())["prunescope store"]
        except OSError as trouble:
            raise PrunescopeError(f"{self.path / MARK} cannot be read: {trouble.strerror}") from None
        except (ValueError, KeyError, TypeError, RecursionError):
            must = f'it must read {{"prunescope store": {FORMAT}}}'
            raise DamageError(f"{self.path / MARK} is damaged; {must}") from None
        if version is True or version != FORMAT:
            words = f"{self.path} is a store of format {clipped(version)}; this version reads format {FORMAT}"
            raise PrunescopeError(words)

    @cached_property
    def shards(self) -> Shards:
        """The rows as files."""
        return Shards(self.path)

    @cached_property
    def _ledger(self) -> Ledger:
        return Ledger(self.shards)

    def write(self, rungs: Iterable[Mapping[str, Any]]) -> int:
        """Add finished rungs and return how many; when this returns they are on the disk.

        A rung that is there with other results keeps them, and these are set aside under ``conflicts/``.

        Parameters
        ----------
        rungs
            One mapping for each rung, with the stored columns of the schema and no other. Those that may be empty may
            be left out.

        Raises
        ------
        InputError
            With every fault of the rows; then nothing was written.
        """
        rows = list(rungs)
        if not rows:
            return 0
        findings = Findings(f"rungs for {self.path}")
        for name in sorted({name for row in rows for name in row} - set(STORED_NAMES)):
            hint = nearest(name, STORED_NAMES)
            findings.add(f"column {name!r}", "must be a stored column of the schema", hint=hint)
        for column in STORED:
            if column.optional or column.name == "test_error":
                continue
            if any(column.name not in row for row in rows):
                findings.add(f"column {column.name!r}", "must be in every row")
        if any(row.get("test_error") is None and row.get("test_loss") is None for row in rows):
            findings.add("column 'test_error'", "must be in every row, or `test_loss` in its place")
        findings.raise_if_any()
        columns = {name: [row.get(name) for row in rows] for name in STORED_NAMES}
        table = conform_stored(columns, findings)
        kept = self._without_contradictions(table.columns)
        count = len(kept["ladder"])
        if not count:
            return 0
        shard = self.shards.write(kept)
        self._ledger.wrote(shard, zip(kept["ladder"].tolist(), kept["rung"].tolist(), strict=True))
        self._written += 1
        if self._written % _LOOK_EVERY == 1 and len(self.shards.listing().small) >= PACK_AT:
            # What was written is safe; what keeps the store from being packed is for its readers to hear.
            with suppress(PrunescopeError, OSError):
                self.pack()
        return count

    def _without_contradictions(self, columns: Mapping[str, Array]) -> Mapping[str, Array]:
        """Set rows aside that contradict what is there, and return the others."""
        try:
            done = self.done()
        except DamageError:  # what is damaged its readers hear of; these rows are sound
            return columns
        rungs = list(zip(columns["ladder"].tolist(), columns["rung"].tolist(), strict=True))
        again = [place for place, (ladder, rung) in enumerate(rungs) if rung in done.get(ladder, frozenset())]
        if not again:
            return columns
        there = self.rows_of({rungs[place] for place in again})
        rows = {place: row_of(columns, place) for place in again}
        unlike = [place for place, row in rows.items() if not same_results(row, there[rungs[place]])]
        set_aside(self.path, [rows[place] for place in unlike], str(this_process(1, 0.0)))
        return {name: np.delete(values, unlike) for name, values in columns.items()} if unlike else columns

    def rows_of(self, rungs: Set[tuple[str, int]]) -> dict[tuple[str, int], dict[str, Any]]:
        """Return the rows of some rungs that are there."""
        columns = {name: plain(values) for name, values in self.shards.load(STORED_NAMES).items()}
        keys = enumerate(zip(columns["ladder"].tolist(), columns["rung"].tolist(), strict=True))
        return {key: row_of(columns, place) for place, key in keys if key in rungs}

    def pack(self) -> int:
        """Put many small shards into one, unless another process is packing; return how many were replaced."""
        with self.leases.claimed(["pack"]) as free:
            return self.shards.pack() if free else 0

    def table(self, where: str = "") -> Table:
        """Return the rungs as a checked table, in one order whatever order they were written in.

        Parameters
        ----------
        where
            Condition in SQL, such as ``"depth = 20 and density < 0.5"``; unpruned errors are taken before it applies.
        """
        columns = self.shards.load(STORED_NAMES)
        if not len(columns["ladder"]):
            hint = "Nothing was finished here yet."
            raise InputError(str(self.path), [Fault("the store", "must hold one rung or more", "none", hint)])
        order = sorted_rows(Columns(columns), (*CONFIGURATION, "treatment", "replicate", "ladder", "rung"))
        for name in columns:  # one by one: memory for a second table is not needed
            columns[name] = take(columns[name], order)
        table = replace(
            conform_stored(columns, Findings(str(self.path))),
            datasets=self._datasets(columns["dataset"]),
            stored_outcomes=StoredOutcomes(self.path),
            notes=self._conflict_notes(),
        )
        return table.where(where) if where.strip() else table

    def _conflict_notes(self) -> tuple[str, ...]:
        """Say to whom reads the rows that some of them are disputed."""
        if not are_aside(self.path) and not self.shards.contradicted:
            return ()
        words = f"some rungs of {self.path} have a second result that does not count"
        return (f"{words}: {command('status', self.path)} lists them, {command('resolve', self.path)} picks",)

    def _datasets(self, names: Array | Texts) -> dict[str, DatasetFacts]:
        """Return the sizes of users' own datasets, which are named with a hash, as the studies have them."""
        words = names.words if isinstance(names, Texts) else names
        if not any("@" in str(name) for name in words.tolist()):
            return {}
        return {own.label: own.facts for study in self.studies() for own in study.datasets}

    def query(self, sql: str) -> Table:
        """Answer a query over the table ``rungs``, reading only the columns that it mentions.

        ``Store("runs/digits").query("select width, min(error) as best from rungs group by width")``
        """
        columns = Columns(self.shards.load(mentioned(STORED_NAMES, sql)))
        return Table(answer(columns, sql, str(self.path), STORED_NAMES), str(self.path))

    def done(self) -> dict[str, frozenset[int]]:
        """Return which rungs of which ladders are finished."""
        return self._ledger.rungs()

    def begin(self, study: Study) -> None:
        """Note that a study, in this version, is trained here."""
        publish_bytes(self.path, self.path / "studies", study.identity, ".toml", study.to_toml().encode())

    def studies(self) -> tuple[Study, ...]:
        """Return every version of every study that was begun here."""
        return notes.read_studies(self.path)

    def write_arrays(self, keep: ArrayKind | str, ladder: str, rung: int, values: Mapping[str, Array]) -> Path:
        """Keep arrays of a rung, such as losses per training example; see `arrays`."""
        entry = ArrayEntry(_keep(keep), ladder, rung, values)
        return arrays.write_arrays(self.path, [entry], lambda *_: True)[0]

    def write_all_arrays(self, entries: Iterable[ArrayEntry]) -> None:
        """Keep arrays of many rungs, in little more time than those of one.

        Arrays of a rung that never got its row, since what wrote them was stopped in between, make room. Where a rung
        has its row, what differs from its arrays is set aside under ``conflicts/``.
        """
        arrays.write_arrays(self.path, entries, lambda ladder, rung: rung in self.done().get(ladder, frozenset()), True)

    def read_arrays(self, keep: ArrayKind | str, ladder: str, rung: int) -> dict[str, Array]:
        """Return arrays that were kept of a rung."""
        return arrays.read_arrays(self.path, _keep(keep), ladder, rung)

    def has_arrays(self, keep: ArrayKind | str, ladder: str, rung: int) -> bool:
        """Whether arrays were kept of a rung."""
        return bool(arrays.found_arrays(self.path, _keep(keep), ladder, rung))

    def array_names(self, keep: ArrayKind | str, ladder: str) -> dict[int, frozenset[str]]:
        """Return the names of the arrays that were kept of a ladder, by the rungs that have a file."""
        return dict(arrays.array_names(self.path, _keep(keep), ladder))

    def rung_with(self, keep: ArrayKind | str, ladder: str, lowest: int, start: str) -> int | None:
        """Return the first rung, from the lowest asked for, whose file has an array with a name that starts so."""
        named = arrays.array_names(self.path, _keep(keep), ladder, lowest)
        return next((rung for rung, names in named if any(name.startswith(start) for name in names)), None)

    def damaged_arrays(self, keep: ArrayKind | str, ladder: str) -> dict[int, list[Path]]:
        """Return which files of a ladder are not what was written, by all rungs that have files, the lowest first."""
        files = arrays.ladder_files(self.path, _keep(keep), ladder)
        return {rung: [path for path in paths if not is_sound(path)] for rung, paths in files.items()}

    def damaged_files(self) -> tuple[Path, ...]:
        """Return the files of checkpoints and of outcomes that are not what was written; reads every one of them."""
        damaged: list[Path] = []
        for keep in ArrayKind:
            folder = self.path / keep
            ladders = (entry.name for entry in folder.iterdir()) if folder.is_dir() else ()
            for ladder in sorted(name for name in ladders if IDENTITY.fullmatch(name)):
                damaged += (path for paths in self.damaged_arrays(keep, ladder).values() for path in paths)
        return tuple(damaged)

    def claim(self, ladder: str) -> AbstractContextManager[bool]:
        """Claim a ladder while a ``with`` block runs; the value says whether it was free."""
        return _claim_of_one(self.claim_all([ladder]))

    def claim_all(self, ladders: Iterable[str]) -> AbstractContextManager[Claim]:
        """Claim ladders while a ``with`` block runs; the value has those that were free.

        ``claim.held()`` says which still are this process's own. Others may take them where it was stopped for long.
        """
        return self.leases.claimed([check_identity(self.path, ladder) for ladder in ladders])

    def running(self, ladders: Iterable[str] | None = None) -> frozenset[str]:
        """Return which ladders living processes work on: some, or all that are listed.

        A process of another machine lives until this one has seen its heartbeat stand still for long enough.
        """
        return frozenset(name for name in self.leases.holders(ladders) if IDENTITY.fullmatch(name))

    def fail(self, ladder: str, rung: int, words: str) -> None:
        """Note that a ladder failed."""
        notes.write_failure(self.path, check_identity(self.path, ladder), rung, words)

    def failures(self) -> tuple[Failure, ...]:
        """Return what went wrong, the latest last, whether or not it was made good since."""
        return notes.read_failures(self.path)

    def write_note(self, name: str, content: Mapping[str, Any]) -> None:
        """Keep plain content under 32 hexadecimal digits."""
        written = json.dumps(content, sort_keys=True).encode()
        folder = self.path / "notes"
        publish_bytes(self.path, folder, check_identity(self.path, name), ".json", written, mend=True)

    def read_notes(self, name: str) -> dict[Path, dict[str, Any] | None]:
        """Return what was noted under a name: one file, or several where processes noted at once.

        The content of a file that is damaged or has no hash in its name is None.
        """
        check_identity(self.path, name)
        return {path: notes.read_note(path) for path in sorted((self.path / "notes").glob(f"{name}.*json"))}

    def write_recorded(self, ladder: str, content: Mapping[str, Any]) -> None:
        """Note what a ladder from a training loop of your own is.

        Notes from before the ladder had any rung are deleted: they may tell of another model.
        """
        written = json.dumps(content, sort_keys=True).encode()
        folder = self.path / "recorded"
        path = publish_bytes(self.path, folder, check_identity(self.path, ladder), ".json", written, mend=True)
        if ladder not in self.done():
            for stale in folder.glob(f"{ladder}.*json"):
                if stale != path:
                    stale.unlink(missing_ok=True)

    def recorded(self, ladder: str | None = None) -> dict[str, RecordedNote]:
        """Return the notes of all ladders from training loops of your own, or of one, by their identities."""
        return notes.read_recorded(self.path, self.done(), ladder)

    def __reduce__(self) -> tuple[Callable[[Path], Store], tuple[Path]]:
        return partial(Store, expiry=self.leases.expiry), (self.path,)

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    def _repr_html_(self) -> str:
        """Show in a notebook how far the studies are."""
        try:
            progress = status(self)
        except PrunescopeError as trouble:
            return table_html(("store",), [(self.path,)], notes=[str(trouble)])
        head = ("study", "rungs done", "of", "ladders done", "running", "failed", "left")
        rows = (
            (state.study.name, state.rungs_done, state.rungs, state.done, state.running, state.failed, state.left)
            for state in progress.studies
        )
        return table_html(head, rows, f"{self.path}: {progress.rungs:,} rungs")
