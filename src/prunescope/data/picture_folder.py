"""A user's own dataset as pictures: folders by class, or Parquet files as Hugging Face writes them.

Folders are ``train/CLASS/*.png``, ``test/CLASS/*.jpg``, and perhaps ``val`` or ``validation``; Parquet files
``data/train-00000-of-00001.parquet``.
"""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prunescope.data.layouts import refusal
from prunescope.data.raw import MOST_EXAMPLES, Faults, RawDataset, RawPart, empty_array, mark, read_bytes, within
from prunescope.errors import MissingPackageError, clipped, counted, listed

if TYPE_CHECKING:
    import duckdb

FOLDERS = {"train": ("train",), "test": ("test",), "validation": ("val", "validation")}
ENDINGS = (".png", ".jpg", ".jpeg")
MOST_CLASSES = 10_000
MOST_FILE = 64_000_000  # bytes of one picture's file
MOST_SIDE = 4_096  # pixels
_MOST_NAMED = 100  # pictures of one size; faults are given up before
MOST_MARKS = 200_000  # files whose own hashes are kept
_GREY = ("1", "L", "LA")
_COLOUR = ("RGB", "RGBA", "P", "PA", "CMYK", "YCbCr")
_LITTER = ("thumbs.db", "desktop.ini")  # which file managers leave


class PictureFile(NamedTuple):
    """One picture: its place within the folder, and the number of its class."""

    place: str
    label: int


class PictureKind(NamedTuple):
    """What a picture's header says."""

    width: int
    height: int
    colour: bool


def read_picture_folder(root: Path) -> RawDataset:
    """Read all pictures, each class a number by the order of their names."""
    faults = Faults(str(root))
    classes: tuple[str, ...] = ()
    files: dict[str, list[PictureFile]] = {}
    for part, names in FOLDERS.items():
        present = [name for name in names if (root / name).is_dir()]
        if len(present) > 1:
            faults.add(listed(present), "must be one folder: both are validation pictures")
        if not present:
            continue
        if part == "train":
            classes = tuple(sorted(entry.name for entry in folder_entries(root / present[0]) if entry.is_dir()))
            if not 2 <= len(classes) <= MOST_CLASSES:
                faults.add(
                    present[0], f"must hold a folder for each of 2 to {MOST_CLASSES:,} classes", f"{len(classes):,}"
                )
        files[part] = listed_files(root, present[0], classes, faults)
    faults.tell()
    sized = Decoder(root, faults)
    for pictures in files.values():
        for file in pictures:
            with faults.file():
                sized.look(_content(root, file), file.place)
    sized.check_sizes()
    faults.tell()
    total = sum(map(len, files.values()))
    marks: dict[str, str] = {}
    parts = {}
    for part, pictures in files.items():
        images = empty_array((len(pictures), *sized.shape), np.uint8, str(root))
        for index, file in enumerate(pictures):
            with faults.file():
                content = _content(root, file)
                images[index] = sized.decode(content, file.place)
                if total <= MOST_MARKS:
                    marks[file.place] = mark(content)
        parts[part] = RawPart(images, np.array([file.label for file in pictures], np.int64))
    faults.tell()
    places = {part: (f"{_name(root, part)} pictures", f"{_name(root, part)} classes") for part in parts}
    return RawDataset(parts, places, marks, classes)


def _name(root: Path, part: str) -> str:
    return next(name for name in FOLDERS[part] if (root / name).is_dir())


def folder_entries(folder: Path) -> list[Path]:
    """Return what lies in a folder in the order of names, without hidden files and litter."""
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as trouble:
        raise refusal(str(folder), "must be a folder that can be read", trouble.strerror or str(trouble)) from None
    return [entry for entry in entries if not entry.name.startswith(".") and entry.name.lower() not in _LITTER]


def listed_files(root: Path, name: str, classes: tuple[str, ...], faults: Faults) -> list[PictureFile]:
    """Return the pictures of a part, class by class."""
    files: list[PictureFile] = []
    numbers = {label: number for number, label in enumerate(classes)}
    for folder in folder_entries(root / name):
        place = f"{name}/{folder.name}"
        if not within(folder, root):
            faults.add(clipped(place), "must lie in the folder itself", "a link that leads out of it")
        elif not folder.is_dir():
            faults.add(clipped(place), f"must lie in a folder of its class, {name}/CLASS/")
        elif folder.name not in numbers:
            faults.add(clipped(place), "must be a class that train has", hint=f"train has {listed(classes, 12)}.")
        else:
            files += _class_files(root, folder, place, numbers[folder.name], faults)
            if len(files) > MOST_EXAMPLES:
                faults.add(name, f"must hold at most {MOST_EXAMPLES:,} pictures", "more")
                faults.tell()
    if not files and not faults.faults:
        faults.add(name, "must hold pictures in a folder for each class", "none")
    return files


def _class_files(root: Path, folder: Path, place: str, number: int, faults: Faults) -> list[PictureFile]:
    files = []
    for entry in folder_entries(folder):
        where = f"{place}/{entry.name}"
        if not within(entry, root):
            faults.add(clipped(where), "must lie in the folder itself", "a link that leads out of it")
        elif entry.suffix.lower() not in ENDINGS:
            faults.add(clipped(where), f"must be a picture: {', '.join(ENDINGS)}", "a folder" if entry.is_dir() else "")
        else:
            files.append(PictureFile(where, number))
    if not files and place.startswith("train/"):
        faults.add(clipped(place), "must hold pictures", "none")
    return files


def _content(root: Path, file: PictureFile) -> bytes:
    return read_bytes(root / file.place, clipped(file.place), MOST_FILE)


class Decoder:
    """Decodes pictures of one size: looks at all of them first, then makes arrays, of three channels if any has colour.

    Parameters
    ----------
    source
        What messages call the dataset.
    """

    def __init__(self, source: object, faults: Faults) -> None:
        self._source = str(source)
        self._faults = faults
        self._counts: Counter[tuple[int, int]] = Counter()  # by width and height
        self._places: dict[tuple[int, int], list[str]] = {}
        self._colour = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height and width of every picture."""
        if not self._counts:
            raise refusal(self._source, "must hold pictures", "none")
        width, height = next(iter(self._counts))
        return 3 if self._colour else 1, height, width

    def look(self, content: bytes, place: str) -> None:
        """Read a picture's header."""
        kind = _opened(content, place)[1]
        self._colour |= kind.colour
        size = kind.width, kind.height
        self._counts[size] += 1
        places = self._places.setdefault(size, [])
        if len(places) < _MOST_NAMED:
            places.append(clipped(place))

    def check_sizes(self) -> None:
        """Note the pictures that do not have the size of most."""
        if len(self._counts) < 2:
            return
        (usual, count), *others = self._counts.most_common()
        must = f"must be {usual[0]} x {usual[1]} pixels, as {counted(count, 'picture is', 'pictures are')}"
        for size, _ in others:
            for place in self._places[size]:
                self._faults.add(place, must, f"{size[0]} x {size[1]}", "Give all pictures one size.")

    def decode(self, content: bytes, place: str) -> NDArray[np.uint8]:
        """Return a picture's pixels, [channels, height, width]."""
        return decoded(content, place, self._colour)


def decoded(content: bytes, place: str, colour: bool) -> NDArray[np.uint8]:
    """Return a picture's pixels, [channels, height, width], of three channels or of one."""
    picture, _ = _opened(content, place)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            pixels = np.asarray(picture.convert("RGB" if colour else "L"), np.uint8)
    except Exception as trouble:  # decoders raise what they like on damaged files
        raise _unsound(place, trouble) from None
    return np.moveaxis(pixels, -1, 0) if colour else pixels[np.newaxis]


def _opened(content: bytes, place: str) -> tuple[Any, PictureKind]:
    """Open a picture without decoding it."""
    try:
        from PIL import Image
    except ImportError:
        raise MissingPackageError("reading pictures needs Pillow: pip install 'prunescope[pictures]'") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            picture = Image.open(io.BytesIO(content), formats=("PNG", "JPEG"))
    except Exception as trouble:  # the same
        raise _unsound(place, trouble) from None
    width, height = picture.size
    if not (1 <= width <= MOST_SIDE and 1 <= height <= MOST_SIDE):
        raise refusal(clipped(place), f"must be at most {MOST_SIDE:,} pixels wide and high", f"{width:,} x {height:,}")
    if picture.mode not in (*_GREY, *_COLOUR):
        raise refusal(clipped(place), "must have 8 bits for each channel", f"mode {picture.mode}")
    return picture, PictureKind(width, height, picture.mode in _COLOUR)


def _unsound(place: str, trouble: Exception) -> Exception:
    words = str(trouble).split("\n")[0].split("<_io")[0].strip()[:120]
    return refusal(clipped(place), "must be a whole PNG or JPEG file", words or type(trouble).__name__)


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
    import duckdb  # for Parquet alone

    config: dict[str, Any] = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    return duckdb.connect(":memory:", config=config)


def _rows(opened: duckdb.DuckDBPyConnection, path: Path) -> Iterator[tuple[bytes, Any, str]]:
    """Yield bytes, label and place of each row of a file, after a look at how many there are and how large."""
    import duckdb

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
