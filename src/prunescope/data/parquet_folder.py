"""A folder of Parquet files with pictures in them, as Hugging Face writes it: ``data/train-00000-of-00001.parquet``."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from prunescope.data.layouts import refusal
from prunescope.data.picture_folder import MOST_FILE, Decoder
from prunescope.data.raw import MOST_EXAMPLES, Faults, RawDataset, RawPart, empty_array, within
from prunescope.errors import clipped, listed

_FILE = re.compile(r"(train|test|validation|val)-\d{5}-of-\d{5}(-[0-9a-f]+)?\.parquet")
_LABELS = ("label", "labels", "fine_label")
_AT_ONCE = 1_000  # rows


def parquet_files(root: Path) -> dict[str, list[Path]]:
    """Return the files of each part, in ``data`` or in the folder itself; none where it is no such folder."""
    for folder in (root / "data", root):
        files: dict[str, list[Path]] = {}
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            name = _FILE.fullmatch(path.name)
            if name:
                files.setdefault("validation" if name[1] == "val" else name[1], []).append(path)
        if files:
            return files
    return {}


def read_parquet_folder(root: Path, files: dict[str, list[Path]]) -> RawDataset:
    """Read the pictures and labels of all parts."""
    faults = Faults(str(root))
    for path in (path for paths in files.values() for path in paths):
        if not within(path, root) or not path.is_file():
            faults.add(path.name, "must be a file in the folder itself", "a link that leads out of it or no file")
    for part in ("train", "test"):
        if part not in files:
            faults.add(f"{part}-00000-of-00001.parquet", "must be there", f"only {listed(sorted(files))}")
    faults.tell()
    decoder, parts = Decoder(root, faults), sorted(files, key=("train", "test", "validation").index)
    labels: dict[str, np.ndarray[Any, Any]] = {}
    marks: dict[str, str] = {}
    with _connection() as opened:
        for part in parts:
            numbers = []
            for path in files[part]:
                with faults.file():
                    for content, label, place in _rows(opened, path):
                        with faults.file():
                            decoder.look(content, place)
                        numbers.append(label)
                    with path.open("rb") as stream:
                        marks[path.name] = hashlib.file_digest(stream, "sha256").hexdigest()[:16]
            labels[part] = np.array(numbers)
        decoder.check_sizes()
        faults.tell()
        # The files are read a second time, so that no more of them is in memory than some rows.
        images = {}
        for part in parts:
            images[part] = empty_array((len(labels[part]), *decoder.shape), np.uint8, str(root))
            rows = (row for path in files[part] for row in _rows(opened, path))
            for index, (content, _, place) in enumerate(rows):
                with faults.file():
                    images[part][index] = decoder.decode(content, place)
    faults.tell()
    places = {part: (f"{part} pictures", f"{part} labels") for part in parts}
    return RawDataset({part: RawPart(images[part], labels[part]) for part in parts}, places, marks)


def _connection() -> duckdb.DuckDBPyConnection:
    config: dict[str, Any] = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    return duckdb.connect(":memory:", config=config)


def _rows(opened: duckdb.DuckDBPyConnection, path: Path) -> Iterator[tuple[bytes, Any, str]]:
    """Yield bytes, label and place of each row of a file, after a look at how many there are and how large."""
    absolute = "".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(path.absolute()))
    source = f"read_parquet('{absolute.replace(chr(39), chr(39) * 2)}', hive_partitioning = false)"
    try:
        kinds = {name: kind for name, kind, *_ in opened.execute(f"describe select * from {source}").fetchall()}
        image, label = _columns(kinds, path.name)
        count, longest, empty = opened.execute(
            f"select count(*), max(octet_length({image}.bytes)), "
            f"count(*) filter ({image}.bytes is null or {label} is null) from {source}"
        ).fetchall()[0]
        if empty:
            raise refusal(path.name, "must hold a picture's bytes and a label in every row", f"{empty:,} rows without")
        if not count or count > MOST_EXAMPLES:
            raise refusal(path.name, f"must hold 1 to {MOST_EXAMPLES:,} rows", f"{count:,}")
        if longest > MOST_FILE:
            raise refusal(path.name, f"must hold pictures of at most {MOST_FILE:,} bytes", f"{longest:,}")
        answer = opened.execute(f"select {image}.bytes, {label} from {source}")
        rows = chain.from_iterable(iter(lambda: answer.fetchmany(_AT_ONCE), []))
        for row, (content, number) in enumerate(rows, 1):
            yield bytes(content), number, f"{path.name}, row {row}"
    except (duckdb.Error, UnicodeError) as trouble:
        words = str(trouble).split("\n")[0][:200]
        raise refusal(path.name, "must be whole Parquet", words) from None


def _columns(kinds: dict[str, str], name: str) -> tuple[str, str]:
    """Return the columns of pictures and labels, quoted."""
    images = [column for column, kind in kinds.items() if re.match(r"STRUCT\(.*\bbytes\"? BLOB\b", kind)]
    labels = [column for column in _LABELS if column in kinds]
    if len(images) != 1 or not labels:
        must = f"must have a column of pictures (a struct with bytes) and one called {' or '.join(_LABELS)}"
        raise refusal(name, must, listed(map(clipped, kinds), 12))
    image, label = ('"' + column.replace('"', '""') + '"' for column in (images[0], labels[0]))
    return image, label
