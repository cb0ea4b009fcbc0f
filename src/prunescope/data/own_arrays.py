"""A user's own dataset as arrays: from a ``.npz`` file, or from a function of theirs.

A file is bounded before anything is unpacked, and no pickle in it is read. Arrays that are too large for memory are
mapped from the file, which must not be compressed then. A function returns arrays by name, or datasets of torch's kind,
which are read once.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from prunescope.data.layouts import refusal
from prunescope.data.raw import MOST_EXAMPLES, PARTS, Faults, RawDataset, RawPart, empty_array, most_bytes
from prunescope.errors import Fault, InputError, PrunescopeError, clipped, listed, nearest, said
from prunescope.study.import_path import import_function

MOST_MEMBERS = 1_000
NAMES = tuple(f"{part}_{kind}" for part in PARTS for kind in ("images", "labels"))
# As MedMNIST and Keras have them.
ALIASES = {
    "val_images": "validation_images",
    "val_labels": "validation_labels",
    **{
        f"{letter}_{short}": f"{part}_{kind}"
        for letter, kind in (("x", "images"), ("y", "labels"))
        for short, part in (("train", "train"), ("test", "test"), ("val", "validation"), ("validation", "validation"))
    },
}


def read_npz(path: Path) -> RawDataset:
    """Read a file of arrays."""
    source = str(path)
    faults = Faults(source)
    arrays: dict[str, NDArray[Any]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len(entries) > MOST_MEMBERS:
                raise refusal(path.name, f"must hold at most {MOST_MEMBERS:,} arrays", f"{len(entries):,}")
            names = [entry.filename.removesuffix(".npy") for entry in entries]
            wanted = _arrays_named(names, faults)
            members = [(entry, name) for entry, name in zip(entries, names, strict=True) if name in wanted]
            size = sum(entry.file_size for entry, _ in members)
            plain = all(entry.compress_type == zipfile.ZIP_STORED for entry, _ in members)
            if size > most_bytes() and not plain:
                must = f"must hold at most {most_bytes():,} bytes once unpacked"
                hint = (
                    "Larger ones are read from the disk if they are not compressed: numpy.savez, not savez_compressed."
                )
                raise refusal(path.name, must, f"{size:,}", hint)
            for entry, name in members:
                with faults.file(), archive.open(entry) as member:
                    arrays[wanted[name]] = _array(member, entry.file_size, name, path if size > most_bytes() else None)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError) as trouble:
        raise refusal(path.name, "must be a whole .npz file", str(trouble)[:200]) from None
    except OSError as trouble:
        raise refusal(path.name, "must be a file that can be read", trouble.strerror or str(trouble)) from None
    faults.tell()
    spelled = {target: name for name, target in wanted.items()}
    unused = [name for name in names if name not in wanted]
    return dataset_of(arrays, spelled, unused)


def _arrays_named(names: Iterable[str], faults: Faults) -> dict[str, str]:
    """Return which names stand for which arrays; add faults for what is missing, repeated or misspelt."""
    present = list(names)
    wanted: dict[str, str] = {}
    for name in present:
        target = ALIASES.get(name, name)
        if target in NAMES:
            if target in wanted.values():
                faults.add(clipped(name), f"must not be there beside another {target}")
            wanted[name] = target
        elif hint := nearest(name, NAMES, cutoff=0.85):
            faults.add(clipped(name), "must be an array of a dataset", hint=hint)
    needed = [name for name in NAMES if not name.startswith("validation") or _is_begun(wanted)]
    absent = [name for name in needed if name not in wanted.values()]
    if absent:
        shown = f"only {listed(map(clipped, present), 8)}" if present else "nothing"
        faults.add("the arrays", f"must have {' and '.join(absent)}", shown)
    faults.tell()
    return wanted


def _is_begun(wanted: dict[str, str]) -> bool:
    return any(target.startswith("validation") for target in wanted.values())


def dataset_of(arrays: dict[str, NDArray[Any]], spelled: dict[str, str], unused: Iterable[str] = ()) -> RawDataset:
    """Return arrays by name as parts."""
    parts, places = {}, {}
    for part in PARTS:
        if f"{part}_images" in arrays:
            images, labels = f"{part}_images", f"{part}_labels"
            parts[part] = RawPart(arrays[images], arrays[labels])
            places[part] = spelled.get(images, images), spelled.get(labels, labels)
    others = [clipped(name) for name in unused]
    notes = (f"not used: {listed(others)}",) if others else ()
    return RawDataset(parts, places, notes=notes)


def _array(member: IO[bytes], size: int, name: str, path: Path | None = None) -> NDArray[Any]:
    """Read one array, or map it from the file ``path``; its header says what it holds, and must agree with its size."""
    try:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(member)
    except (ValueError, SyntaxError, OverflowError, RecursionError, MemoryError) as trouble:
        raise refusal(name, "must be an array of numpy", str(trouble).split("\n")[0][:200]) from None
    if dtype.hasobject:
        hint = "Save labels as whole numbers or as texts, np.array(labels, str)."
        raise refusal(
            name, "must hold numbers or texts; an array of objects is a pickle, which is never run", hint=hint
        )
    if dtype.names or dtype.subdtype:
        raise refusal(name, "must hold plain numbers", f"values of type {dtype}")
    count = 1
    for length in shape:
        count *= length
    wanted = count * dtype.itemsize
    if min(shape, default=0) < 0 or not wanted <= size <= wanted + 65_536:
        raise refusal(name, f"must hold {_words(shape)} values of {dtype}, {wanted:,} bytes", f"{size:,} bytes")
    if path is not None and wanted and dtype.isnative and path.stat().st_size >= wanted:
        first = _place_in_file(path, member, wanted)
        return np.memmap(path, dtype, "r", first, shape, "F" if fortran else "C")
    flat = np.empty(count, dtype)
    view = flat.view(np.uint8).data if wanted else memoryview(b"")
    place = 0
    while place < wanted:
        chunk = member.read(min(1 << 24, wanted - place))
        if not chunk:
            raise refusal(name, f"must hold {wanted:,} bytes", f"{place:,}: the file is cut off")
        view[place : place + len(chunk)] = chunk
        place += len(chunk)
    if member.read(1):
        raise refusal(name, f"must hold {wanted:,} bytes", "more")
    native = flat.astype(flat.dtype.newbyteorder("="), copy=False)
    return native.reshape(shape, order="F" if fortran else "C")


def _place_in_file(path: Path, member: Any, wanted: int) -> int:
    """Return where in the file the values of an array begin whose header has been read: an entry is stored as it is."""
    header: int = member.tell()
    with path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
        entry = archive.getinfo(member.name)
        stream.seek(entry.header_offset)
        local = stream.read(30)
        first = entry.header_offset + 30 + int.from_bytes(local[26:28], "little")
        first += int.from_bytes(local[28:30], "little") + header
    if local[:4] != b"PK\3\4" or first + wanted > path.stat().st_size:
        raise refusal(path.name, "must be a whole .npz file", "an entry that leads out of it")
    return first


def _words(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "no"


_PARTS = {**{part: part for part in PARTS}, "val": "validation"}


def read_function(name: str) -> RawDataset:
    """Call a function by its import path and read what it returns."""
    function = import_function(name)
    try:
        content = function()
    except PrunescopeError:
        raise
    except Exception as trouble:
        raise InputError("the study", [Fault(name, "must return a dataset when it is called", said(trouble))]) from None
    if not isinstance(content, Mapping):
        must = "must return a dict of train_images, train_labels, test_images and test_labels, or of train and test"
        raise InputError("the study", [Fault(name, must, type(content).__name__)])
    faults = Faults(f"dataset {name}")
    if content.keys() & _PARTS.keys():
        content = _unpacked(content, faults)
    wanted = _arrays_named(map(str, content), faults)
    arrays = {}
    for given, target in wanted.items():
        with faults.file():
            arrays[target] = _returned_array(content[given], given)
    faults.tell()
    spelled = {target: given for given, target in wanted.items()}
    return dataset_of(arrays, spelled, [str(key) for key in content if key not in wanted])


def _returned_array(values: Any, place: str) -> NDArray[Any]:
    try:
        array = np.asarray(values)
    except Exception as trouble:  # whatever a user's own type raises
        raise refusal(place, "must be an array", said(trouble)) from None
    if array.dtype.kind == "O" and not (array.ndim == 1 and all(isinstance(item, str) for item in array)):
        raise refusal(place, "must be an array of numbers", f"a {type(values).__name__} of objects")
    return array


def _unpacked(content: Mapping[Any, Any], faults: Faults) -> dict[str, Any]:
    """Read datasets of torch's kind, which have a length and give an example and its label by index."""
    arrays: dict[str, Any] = {str(key): value for key, value in content.items() if key not in _PARTS}
    for key, part in _PARTS.items():
        if key in content:
            with faults.file():
                arrays[f"{part}_images"], arrays[f"{part}_labels"] = _read_all(content[key], key)
    faults.tell()
    return arrays


def _read_all(dataset: Any, place: str) -> tuple[NDArray[Any], NDArray[Any]]:
    must = "must be a Dataset as torch has them, which gives pairs of an example and its label"
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise refusal(place, must, type(dataset).__name__)
    count = len(dataset)
    if not 1 <= count <= MOST_EXAMPLES:
        raise refusal(place, f"must hold 1 to {MOST_EXAMPLES:,} examples", f"{count:,}")
    images: NDArray[Any] | None = None
    labels = []
    for index in range(count):
        where = f"{place}[{index}]"
        try:
            example, label = dataset[index]
            values, label = np.asarray(example), np.asarray(label)
        except Exception as trouble:
            raise refusal(where, must, said(trouble)) from None
        if images is None:
            images = empty_array((count, *values.shape), values.dtype, place)
        if values.shape != images.shape[1:] or values.dtype != images.dtype:
            shape, kind = list(images.shape[1:]), images.dtype
            raise refusal(where, f"must be {kind} {shape}, as {place}[0] is", f"{values.dtype} {list(values.shape)}")
        if label.ndim or label.dtype.kind not in "iubU":
            raise refusal(where, "must have a whole number or a text as its label", clipped(label.tolist()))
        images[index] = values
        labels.append(label.item())
    assert images is not None  # noqa: S101 - there is one example or more
    return images, np.array(labels)
