"""CIFAR-10 and CIFAR-100 from every version that their makers publish, in folders and archives."""

from __future__ import annotations

import gzip
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from prunescope.data import load
from prunescope.data.cifar import VERSIONS, Version
from prunescope.data.dataset import DatasetPart
from prunescope.errors import InputError
from tests.builders import within_limits
from tests.data.formats import batches, pickled_by_python_2, pictures, records, same, shrink, tarred

Files = dict[str, bytes]


def python_2(part: DatasetPart, key: str) -> bytes:
    data = part.images.reshape(len(part.labels), -1)
    return pickled_by_python_2({"batch_label": "one", "labels": [0], key: part.labels.tolist(), "data": data})


def python_3(protocol: int) -> Callable[[DatasetPart, str], bytes]:
    def dumped(part: DatasetPart, key: str) -> bytes:
        data = part.images.reshape(len(part.labels), -1)
        return pickle.dumps({"data": data, key: part.labels.tolist(), "filenames": ["a", "b"]}, protocol)

    return dumped


def files_of(
    version: Version, train: DatasetPart, test: DatasetPart, dumped: Callable[[DatasetPart, str], bytes] = python_2
) -> Files:
    contents = [
        records(part, version.labels) if isinstance(version.labels, int) else dumped(part, version.labels)
        for part in batches(train, test, len(version.train))
    ]
    return dict(zip(version.files, contents, strict=True))


def write(folder: Path, files: Files) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def parts_of(monkeypatch: pytest.MonkeyPatch, name: str) -> tuple[DatasetPart, DatasetPart]:
    return pictures(shrink(monkeypatch, name), (3, 32, 32))


CASES = [(name, number) for name in VERSIONS for number in (0, 1)]


@pytest.mark.parametrize(("name", "number"), CASES)
@pytest.mark.parametrize("below", ["", "usual", "name", "both", "archive"])
def test_each_version_is_read_from_folders_and_archives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int, below: str
) -> None:
    parts = parts_of(monkeypatch, name)
    version = VERSIONS[name][number]
    files = files_of(version, *parts)
    if below == "archive":
        inside = {"./readme.html": b"x" * 99, **{f"{version.folder}/{file}": files[file] for file in reversed(files)}}
        tarred(tmp_path / version.archive, inside)
    else:
        where = {"": ".", "usual": version.folder, "name": name, "both": f"{name}/{version.folder}"}[below]
        write(tmp_path / where, files)
    same(load(name, tmp_path, fetch=False), *parts)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("name", list(VERSIONS))
def test_pickles_of_python_3_are_read_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, protocol: int
) -> None:
    parts = parts_of(monkeypatch, name)
    write(tmp_path, files_of(VERSIONS[name][1], *parts, python_3(protocol)))
    same(load(name, tmp_path, fetch=False), *parts)


def test_faults_of_all_batches_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = parts_of(monkeypatch, "cifar10")
    files = files_of(VERSIONS["cifar10"][0], *parts)
    files["data_batch_2.bin"] = files["data_batch_2.bin"][:-1]
    files["test_batch.bin"] += b"x"
    write(tmp_path, files)
    with pytest.raises(InputError) as raised:
        load("cifar10", tmp_path, fetch=False)
    assert [str(fault) for fault in raised.value.faults] == [
        "data_batch_2.bin: must hold 10 pictures of 3,073 bytes, 30,730 bytes in all; found 30,729 bytes",
        "test_batch.bin: must hold at most 61,460 bytes; found 61,461",
    ]


def test_labels_beyond_the_classes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = parts_of(monkeypatch, "cifar10")
    parts[0].labels[7] = 10
    for number in (0, 1):
        write(tmp_path / str(number), files_of(VERSIONS["cifar10"][number], *parts))
        with pytest.raises(InputError, match="the training labels: must be 0 to 9; found 10"):
            load("cifar10", tmp_path / str(number), fetch=False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data": None}, "must hold data as uint8 (50, 3072); found NoneType"),
        ({"data": np.zeros((50, 3072), np.int8)}, "found int8 (50, 3072)"),
        ({"data": np.zeros((49, 3072), np.uint8)}, "found uint8 (49, 3072)"),
        ({"fine_labels": [1] * 49}, "must hold fine_labels as a list of 50 whole numbers; found 49 items"),
        ({"fine_labels": [1.5] * 50}, "whole numbers"),
        ({"fine_labels": [-1] * 50}, "classes; found -1 to -1"),
        ({"fine_labels": [2**80] * 50}, "classes"),
        ({"fine_labels": [10**5_000] * 50}, "classes; found something too large to show to"),
        ({"fine_labels": np.zeros((50, 50), np.int64)}, "found ndarray"),
        ({"fine_labels": "none"}, "found str"),
    ],
)
def test_pickles_of_something_else_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, object], words: str
) -> None:
    parts = parts_of(monkeypatch, "cifar100")
    files = files_of(VERSIONS["cifar100"][1], *parts)
    good: dict[str, object] = {"data": np.zeros((50, 3072), np.uint8), "fine_labels": [1] * 50}
    write(tmp_path, files | {"train": pickle.dumps(good | change)})
    with pytest.raises(InputError) as raised:
        load("cifar100", tmp_path, fetch=False)
    assert words in str(raised.value)
    write(tmp_path, {"train": pickle.dumps({"data": 1, "coarse_labels": []})})
    with pytest.raises(InputError, match="must hold fine_labels; found only 'data', 'coarse_labels'"):
        load("cifar100", tmp_path, fetch=False)


def test_archives_that_are_damaged_or_lead_elsewhere_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = parts_of(monkeypatch, "cifar100")
    version = VERSIONS["cifar100"][0]
    files = {f"{version.folder}/{name}": content for name, content in files_of(version, *parts).items()}
    path = tmp_path / version.archive
    tarred(path, files)
    whole = path.read_bytes()

    def told(content: bytes | None = None, members: Files | None = None) -> str:
        if members is not None:
            tarred(path, members)
        elif content is not None:
            path.write_bytes(content)
        with pytest.raises(InputError) as raised:
            load("cifar100", tmp_path, fetch=False)
        return str(raised.value)

    assert "must be a whole .tar.gz archive" in told(whole[: len(whole) // 2])
    assert "must be a whole .tar.gz archive" in told(whole[:-8] + bytes(8))
    assert "must be a whole .tar.gz archive" in told(b"<html>")
    assert "must hold cifar-100-binary/test.bin" in told(
        members={"cifar-100-binary/train.bin": files[f"{version.folder}/train.bin"]}
    )
    assert "must hold cifar-100-binary/train.bin and test.bin" in told(
        members={f"../{name}": content for name, content in files.items()}
    )
    assert "at most 153,700 bytes; found 153,701" in told(
        members=files | {"cifar-100-binary/train.bin": bytes(153_701)}
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [path.name]


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """Return the header of an entry, whatever its size."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.size = kind, size
    return entry.tobuf(tarfile.GNU_FORMAT)


def zipped_archive(path: Path, *parts: bytes, size: int = 0) -> None:
    """Write a .tar.gz of parts, and of zeros up to a size, which take no room."""
    with gzip.open(path, "wb", compresslevel=1) as archive:
        for part in parts:
            archive.write(part)
        for _ in range(size >> 20):
            archive.write(bytes(1 << 20))


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_headers_about_headers_are_passed_over_and_their_chains_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: bytes
) -> None:
    parts = parts_of(monkeypatch, "cifar100")
    version = VERSIONS["cifar100"][0]
    path = tmp_path / version.archive
    tarred(path, {f"{version.folder}/{name}": content for name, content in files_of(version, *parts).items()})
    sound = gzip.decompress(path.read_bytes())
    link = header("link", 9, kind) + b"8 path=x\n".ljust(512, b"\0")
    zipped_archive(path, link * 900, sound)
    same(load("cifar100", tmp_path, fetch=False), *parts)
    zipped_archive(path, link * 3_000, sound)
    with pytest.raises(InputError, match="must hold at most 1,000 files"):
        load("cifar100", tmp_path, fetch=False)


def test_an_archive_that_goes_on_and_on_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = parts_of(monkeypatch, "cifar100")
    version = VERSIONS["cifar100"][0]
    path = tmp_path / version.archive
    tarred(path, {f"{version.folder}/{name}": content for name, content in files_of(version, *parts).items()})
    sound = gzip.decompress(path.read_bytes())
    for start in (sound, header("big", 40 << 20) + sound, header("name", 40 << 20, tarfile.GNUTYPE_LONGNAME)):
        zipped_archive(path, start, size=40 << 20)
        with pytest.raises(InputError, match="must unpack to at most 17,084,616 bytes; found more"):
            load("cifar100", tmp_path, fetch=False)


LOADED = "from prunescope.data import load; import sys; load('cifar10', sys.argv[1], fetch=False)"


@pytest.mark.parametrize(
    ("size", "content", "words"),
    [
        (2**80, 0, "must be a whole .tar.gz archive; found an entry of 1,208,925,819,614,629,174,706,176 bytes"),
        (-512, 0, "must be a whole .tar.gz archive; found an entry of -512 bytes"),
        (41_000_000, 41_000_000, "found more than 170,000 instructions; nothing of the file was run"),
    ],
)
def test_an_archive_of_a_few_kilobytes_fills_no_memory_and_no_time(
    tmp_path: Path, size: int, content: int, words: str
) -> None:
    version = VERSIONS["cifar10"][1]
    first = header(f"{version.folder}/data_batch_1", size)
    zipped_archive(tmp_path / version.archive, first + b"]" * content + bytes(-content % 512), size=1 << 20)
    answer = within_limits("-c", LOADED, tmp_path, megabytes=2_000, seconds=30)
    assert words in answer.stderr
