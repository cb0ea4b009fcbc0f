"""A user's own dataset: read from a file, a folder or a function, checked, and known by a hash over its arrays."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunescope.data.dataset import Dataset, moments
from prunescope.data.own_arrays import read_function, read_npz
from prunescope.data.picture_folder import read_picture_folder
from prunescope.data.raw import (
    PARTS,
    Faults,
    RawDataset,
    chunks,
    empty_array,
    is_mapped,
    numbered_classes,
    plain_labels,
    plain_values,
    refuse_size,
)
from prunescope.errors import Fault, InputError, clipped
from prunescope.study import Ladder, OwnDataset, Study
from prunescope.study.catalogue import is_import_path, is_own_dataset


@dataclass(frozen=True, eq=False)
class OwnData:
    """A dataset of a user's own, read.

    Attributes
    ----------
    section
        Its size and its hash, as a store keeps them.
    class_names
        What the labels 0, 1, ... stand for.
    place
        The file, folder or import path that it was read from.
    marks
        The start of the SHA-256 of each of its files, and of its arrays where they have no files of their own.
    notes
        What a reader may want to know, as sentences.
    """

    dataset: Dataset
    section: OwnDataset
    class_names: tuple[str, ...]
    place: str
    marks: Mapping[str, str]
    notes: tuple[str, ...]


def read_own(name: str, home: Path | None = None, folder: Path | None = None, last: Path | None = None) -> OwnData:
    """Read a user's own dataset by its name in a study.

    Parameters
    ----------
    name
        ``FILE.npz``, ``FOLDER/`` or ``package.module:function``, whose code runs.
    home
        What a relative path is relative to; None: the current folder.
    folder
        Where to look for it if it is not there.
    last
        What file or folder it was before: read if it is in neither.
    """
    if is_import_path(name):
        return _checked(name, read_function(name), name)
    path = _place(name, home, folder, last)
    if path.is_dir():
        from prunescope.data.picture_folder import parquet_files, read_parquet_folder  # which loads DuckDB

        files = parquet_files(path)
        if files:
            return _checked(name, read_parquet_folder(path, files), str(path))
        if (path / "train").is_dir() and (path / "test").is_dir():
            return _checked(name, read_picture_folder(path), str(path))
        must = "must hold train/CLASS/*.png and test/CLASS/*.png, or data/train-00000-of-00001.parquet and test-..."
        present = sorted(entry.name for entry in path.iterdir())[:8]
        raise InputError(str(path), [Fault("the folder", must, ", ".join(present) or "nothing")])
    return _checked(name, read_npz(path), str(path))


def own_name(name: str) -> str:
    """Return what a study calls a file, a folder or a function: folders end with a slash."""
    return f"{name}/" if not is_own_dataset(name) and Path(name).is_dir() else name


def _place(name: str, home: Path | None, folder: Path | None, last: Path | None) -> Path:
    """Return where the file or folder of a dataset is."""
    given = Path(name).expanduser()
    looked = [(home or Path.cwd()) / given]
    looked += [folder / given, folder / given.name] if folder else []
    looked += [last] if last else []
    ending = ".npz" if name.lower().endswith(".npz") else ""
    for path in looked:
        if path.is_file() if ending else path.is_dir():
            return path
    places = " or ".join(dict.fromkeys(str(path.parent) for path in looked))
    what = "a file" if ending else "a folder"
    there = "something else" if looked[0].exists() else "nothing there"
    hint = "A relative path is relative to the study file." if home and not given.is_absolute() else ""
    raise InputError(f"dataset {name}", [Fault(str(given), f"must be {what} in {places}", there, hint)])


def _checked(name: str, raw: RawDataset, place: str) -> OwnData:
    """Return arrays as a dataset; raise all that is wrong with them together."""
    faults = Faults(f"dataset {name}")
    images: dict[str, NDArray[Any]] = {}
    labels: dict[str, NDArray[Any]] = {}
    for part, (pictures, classes) in raw.parts.items():
        at_images, at_labels = raw.places[part]
        with faults.file():
            images[part] = plain_values(pictures, at_images)
        with faults.file():
            labels[part] = plain_labels(classes, at_labels)
        if part in images and part in labels and len(images[part]) != len(labels[part]):
            faults.add(at_labels, f"must be {len(images[part]):,}, one for each example", f"{len(labels[part]):,}")
    faults.tell()
    first = images["train"]
    for part, values in images.items():
        if values.shape[1:] != first.shape[1:]:
            must = f"must have the shape of the training part, {_words(first.shape[1:])}"
            faults.add(raw.places[part][0], must, _words(values.shape[1:]))
        if values.dtype != first.dtype:
            faults.add(raw.places[part][0], f"must be {first.dtype}, as the training part is", str(values.dtype))
    at = {part: names[1] for part, names in raw.places.items()}
    numbered, class_names = numbered_classes(labels, at, faults)
    faults.tell()
    refuse_size(f"dataset {name}", sum(values.nbytes for values in images.values() if not is_mapped(values)))
    return _made(name, raw, place, images, numbered, raw.classes or class_names)


def _made(
    name: str,
    raw: RawDataset,
    place: str,
    images: Mapping[str, NDArray[Any]],
    labels: Mapping[str, NDArray[np.int64]],
    class_names: tuple[str, ...],
) -> OwnData:
    content: dict[str, Any] = {}
    for part in (part for part in PARTS if part in images):
        for kind, values in (("images", images[part]), ("labels", labels[part])):
            digest = hashlib.sha256()
            for chunk in chunks(values):
                digest.update(np.ascontiguousarray(chunk, values.dtype.newbyteorder("<")).data.cast("B"))
            content[f"{part}_{kind}"] = [values.dtype.name, list(values.shape), digest.hexdigest()]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    train, test, validation = images["train"], images["test"], images.get("validation")
    channels = train.shape[1]
    if train.dtype == np.uint8:
        mean, std = moments(train)
        if min(std) == 0:
            must = "must differ in each channel"
            raise InputError(f"dataset {name}", [Fault(raw.places["train"][0], must, "one value only")])
    else:
        mean, std = (0.0,) * channels, (1.0,) * channels
    section = OwnDataset(
        name=name,
        hash=hashlib.sha256(text.encode()).hexdigest(),
        train=len(train),
        test=len(test),
        validation=0 if validation is None else len(validation),
        classes=len(class_names),
        shape=train.shape[1:],
        values="uint8" if train.dtype == np.uint8 else "float32",
    )
    learned = train if validation is None else _joined(train, validation, f"dataset {name}")
    classes = labels["train"] if validation is None else np.concatenate([labels["train"], labels["validation"]])
    dataset = Dataset(
        section.label,
        _frozen(learned),
        _frozen(classes),
        _frozen(test),
        _frozen(labels["test"]),
        len(class_names),
        mean,
        std,
        section.validation,
    )
    marks = raw.marks or {array: facts[-1][:16] for array, facts in content.items()}
    return OwnData(dataset, section, class_names, place, marks, raw.notes)


def _joined(train: NDArray[Any], validation: NDArray[Any], place: str) -> NDArray[Any]:
    """Return both parts as one array, which lies in a file where memory should not hold it."""
    both = empty_array((len(train) + len(validation), *train.shape[1:]), train.dtype, place)
    for part, values in ((both[: len(train)], train), (both[len(train) :], validation)):
        for target, chunk in zip(chunks(part), chunks(values), strict=True):
            target[...] = chunk
    return both


def _frozen(values: NDArray[Any]) -> NDArray[Any]:
    """Return an array that nobody can write to: an own copy in C order, or what lies in a file as it lies there."""
    if is_mapped(values):
        mapped = values.view()
        mapped.flags.writeable = False
        return mapped
    plain = np.ascontiguousarray(values)
    plain = plain.copy() if plain.base is not None or plain.flags.writeable is False else plain
    plain.flags.writeable = False
    return plain


def _words(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def read_datasets(
    study: Study, folder: Path | None = None, *, run_code: bool = True, everything: bool = False
) -> tuple[Study, dict[str, OwnData]]:
    """Read the user's own datasets of a study.

    Parameters
    ----------
    folder
        Where to look for them besides the folder of the study.
    run_code
        Whether functions that the study names are called; without that their datasets stay unread.
    everything
        Read those too that the study says it knows already.

    Returns
    -------
    The study with what was found, and the datasets by the names that cells have for them.
    """
    named = dict.fromkeys(name for axes in study.axes for name in axes.dataset if is_own_dataset(name))
    known = {own_data.name: own_data for own_data in study.datasets}
    read: dict[str, OwnData] = {}
    faults: list[Fault] = []
    for name in named:
        if (name in known and not everything) or (is_import_path(name) and not run_code):
            continue
        try:
            own_data = read_own(name, study.home, folder)
        except InputError as trouble:
            faults += [replace(fault, place=f"{trouble.source}: {fault.place}") for fault in trouble.faults]
            continue
        if name in known and own_data.section.hash != known[name].hash:
            faults.append(_other(name, known[name], own_data.section))
            continue
        read[own_data.section.label] = own_data
        known[name] = own_data.section
    if faults:
        raise InputError("the study", faults)
    sections = tuple(known[name] for name in named if name in known)
    return (study if sections == study.datasets else replace(study, datasets=sections)), read


def _other(name: str, expected: OwnDataset, actual: OwnDataset) -> Fault:
    must = f"must hold what the study says, with a hash of {expected.hash[:12]}"
    hint = "A function must return the same arrays each time." if is_import_path(name) else "The file has changed."
    return Fault(f"dataset {name}", must, actual.hash[:12], hint)


def read_own_of(
    ladder: Ladder, home: Path | None = None, folder: Path | None = None, last: Path | None = None, name: str = ""
) -> OwnData:
    """Read the dataset of a ladder again; it must be the very one.

    Parameters
    ----------
    name
        Its name now, where it is not what the study calls it.
    """
    if ladder.own is None:
        raise ValueError(f"{ladder.cell.dataset} is no dataset of a user's own")
    own_data = read_own(name or ladder.own.name, home, folder, last)
    if own_data.section.hash != ladder.own.hash:
        raise InputError("the dataset", [_other(own_data.section.name, ladder.own, own_data.section)])
    dataset = replace(own_data.dataset, name=ladder.cell.dataset)
    return replace(own_data, dataset=dataset)


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Say which files, or arrays, of a dataset are not what they were."""
    words = [f"{clipped(name)} has changed" for name in before if name in after and before[name] != after[name]]
    words += [f"{clipped(name)} is gone" for name in before if name not in after]
    return words + [f"{clipped(name)} is new" for name in after if name not in before]
