"""Where the files of a dataset are, and the errors for files that are missing or wrong.

The modules of each format read what the files hold.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prunescope.data.dataset import DatasetPart
from prunescope.errors import Fault, InputError, listed

VARIABLE = "PRUNESCOPE_DATA"

Read = Callable[[str, Mapping[str, Path]], tuple[DatasetPart, DatasetPart]]


@dataclass(frozen=True)
class FileLayout:
    """One way in which the files of a dataset are kept.

    Attributes
    ----------
    files
        The names of the files that belong together.
    read
        Reads them: takes the dataset's name and the paths by file name, gives training and test part.
    folders
        Folders in which they usually lie, as archives and other libraries leave them.
    gzipped
        Whether each file may also have ``.gz`` at the end of its name.
    archive
        What their makers' archive is called, where only the user can fetch and unpack it.
    """

    files: tuple[str, ...]
    read: Read
    folders: tuple[str, ...] = ()
    gzipped: bool = False
    archive: str = ""

    def present(self, folder: Path) -> dict[str, Path]:
        """Return the files that are in a folder, by their names."""
        paths = {}
        for file in self.files:
            for name in (file, f"{file}.gz") if self.gzipped else (file,):
                if (folder / name).is_file():
                    paths[file] = folder / name
                    break
        return paths

    def places(self, folder: Path, dataset: str) -> Iterator[Path]:
        """Give the places to look in, first those below a folder with the dataset's own name."""
        for base in (folder / dataset, folder):
            yield from (base / usual for usual in self.folders)
            yield base

    def __str__(self) -> str:
        names = f"{self.files[0]} to {self.files[-1]}" if len(self.files) > 4 else listed(self.files)
        return f"{names} (or with .gz)" if self.gzipped else names


@dataclass(frozen=True)
class FoundFiles:
    """A layout whose files are all there."""

    layout: FileLayout
    files: Mapping[str, Path]


def cache_folder() -> Path:
    """Return the folder that fetched files go to."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "prunescope" / "data"


def data_folder(folder: str | Path | None) -> Path:
    """Return the folder to look in: the one named, else that of PRUNESCOPE_DATA, else the cache folder."""
    named = folder if folder is not None else os.environ.get(VARIABLE)
    if not named:
        return cache_folder()
    path = Path(named).expanduser()
    if not path.is_dir():
        place = "the folder for data" if folder is not None else f"what {VARIABLE} names"
        raise InputError(str(path), [Fault(place, "must be a folder", "a file" if path.exists() else "nothing")])
    return path


def find(dataset: str, layouts: Sequence[FileLayout], folders: Sequence[Path]) -> FoundFiles | None:
    """Return the first layout whose files are all in one place, in the order of folders."""
    for folder in folders:
        for layout in layouts:
            for place in layout.places(folder, dataset):
                files = layout.present(place)
                if len(files) == len(layout.files):
                    return FoundFiles(layout, files)
    return None


def halves(dataset: str, layouts: Sequence[FileLayout], folders: Sequence[Path]) -> list[Fault]:
    """Return a fault for each place that holds some files of a layout and not the others."""
    faults = []
    for folder in folders:
        for layout in layouts:
            for place in layout.places(folder, dataset):
                there = layout.present(place)
                if there:
                    absent = [file for file in layout.files if file not in there]
                    faults.append(Fault(str(place), f"must also hold {listed(absent, 4)}"))
    return faults


def missing(dataset: str, layouts: Sequence[FileLayout], folders: Sequence[Path]) -> InputError:
    """Return the error for a dataset that is nowhere: what was looked for, where, and how to get it."""
    usual = dict.fromkeys(name for layout in layouts for name in (dataset, *layout.folders))
    where = f"{' or '.join(map(str, folders))}, or in a folder there called {' or '.join(usual)}"
    must = f"must be in {where}: {'; or '.join(map(str, layouts))}"
    hint = f"Name the folder that has them with --data DIR or {VARIABLE}"
    archives = [layout.archive for layout in layouts if layout.archive]
    hint += f"; unpack {archives[0]} of its makers first." if archives else ", or let prunescope fetch them."
    return InputError(f"dataset {dataset}", [*halves(dataset, layouts, folders), Fault("its files", must, hint=hint)])


class FaultCollector:
    """Collects the faults of the files of one dataset while they are read one after the other."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.faults: list[Fault] = []

    @contextmanager
    def file(self) -> Iterator[None]:
        """Keep what is wrong with one file for later, and go on with the next."""
        try:
            yield
        except InputError as trouble:
            self.faults.extend(trouble.faults)

    def tell(self) -> None:
        """Raise what was gathered, if anything was."""
        if self.faults:
            raise InputError(self.source, self.faults)


def refusal(file: str, must: str, got: str = "", hint: str = "") -> InputError:
    """Return the error for a file that is not what it has to be."""
    return InputError(file, [Fault(file, must, got, hint)])
