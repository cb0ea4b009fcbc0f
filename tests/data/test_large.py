"""Datasets that memory should not hold are read from the disk, and are the same datasets, whatever they come as."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from prunescope.data import OwnData, load, read_own
from prunescope.data import raw as limits
from prunescope.data.raw import is_mapped
from prunescope.errors import Fault, InputError
from prunescope.study.catalogue import DATASETS
from tests.data.photographs import FACTS, write_tiny
from tests.data.test_own import as_folder, as_parquet, made, same, saved


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let memory be small and the cache of datasets be here."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(limits, "MOST_BYTES", 100)
    return tmp_path / "cache" / "prunescope" / "data"


def unbounded(monkeypatch: pytest.MonkeyPatch, name: str) -> OwnData:
    """Read a dataset as one that fits into memory."""
    with monkeypatch.context() as patch:
        patch.setattr(limits, "MOST_BYTES", 10**9)
        held = read_own(name)
    assert not is_mapped(held.dataset.train_images)
    return held


@pytest.mark.parametrize("validation", [0, 5])
@pytest.mark.parametrize("kind", ["npz", "fortran", "last", "folder", "parquet"])
def test_a_large_dataset_is_mapped_and_is_the_same_as_one_that_is_held(
    kind: str, validation: int, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = made(validation, 3)
    if kind == "parquet":
        name = f"{as_parquet(tmp_path / 'birds', arrays)}/"
    elif kind == "folder":
        name = f"{as_folder(tmp_path / 'birds', arrays)}/"
    else:
        for key in [key for key in arrays if key.endswith("images")]:
            if kind == "npz":
                arrays[key] = arrays[key].transpose(0, 3, 1, 2).copy()
            elif kind == "fortran":
                arrays[key] = np.asfortranarray(arrays[key])
        name = saved(tmp_path / "birds.npz", arrays)
    mapped, held = read_own(name), unbounded(monkeypatch, name)
    assert same(mapped, held)
    assert is_mapped(mapped.dataset.train_images)
    assert is_mapped(mapped.dataset.test_images)
    assert (mapped.dataset.mean, mapped.dataset.std) == (held.dataset.mean, held.dataset.std)
    assert mapped.section == held.section
    assert not mapped.dataset.train_images.flags.writeable
    assert not cache.exists() or not list(cache.iterdir()), "temporary files have no names"


def test_large_rows_of_floats_are_mapped(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {f"{part}_labels": np.arange(20) % 2 for part in ("train", "test")}
    for part in ("train", "test"):
        arrays[f"{part}_images"] = rng.standard_normal((20, 7)).astype(np.float32)
    name = saved(tmp_path / "rows.npz", arrays)
    assert is_mapped(read_own(name).dataset.train_images)
    assert same(read_own(name), unbounded(monkeypatch, name))


def test_a_function_may_return_what_memory_cannot_hold(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = made(5, 3)
    monkeypatch.syspath_prepend(tmp_path)
    np.savez(tmp_path / "birds.npz", **arrays)  # type: ignore[arg-type]
    text = f"""
import numpy as np
arrays = dict(np.load({str(tmp_path / "birds.npz")!r}))
def birds():
    parts = ("train", "test", "validation")
    return {{part: list(zip(arrays[part + "_images"], arrays[part + "_labels"])) for part in parts}}
"""
    (tmp_path / "large_birds.py").write_text(text)
    mapped = read_own("large_birds:birds")
    assert is_mapped(mapped.dataset.train_images)
    assert same(mapped, unbounded(monkeypatch, str(tmp_path / "birds.npz")))


def refused(name: str) -> Fault:
    with pytest.raises(InputError) as raised:
        read_own(name)
    return raised.value.faults[0]


def test_a_large_compressed_file_is_refused_with_the_way_to_write_it(tmp_path: Path, cache: Path) -> None:
    np.savez_compressed(tmp_path / "birds.npz", **made(0, 3))  # type: ignore[arg-type]
    fault = refused(str(tmp_path / "birds.npz"))
    assert (fault.place, fault.must) == ("birds.npz", "must hold at most 100 bytes once unpacked")
    assert "numpy.savez" in fault.hint


def test_an_array_that_leads_out_of_its_file_is_refused(tmp_path: Path, cache: Path) -> None:
    path = Path(saved(tmp_path / "birds.npz", made(0, 3)))
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        first = archive.getinfo("train_images.npy").header_offset
    content[first + 28 : first + 30] = b"\xff\xff"
    path.write_bytes(bytes(content))
    assert refused(str(path)).place in ("birds.npz", "train_images")


def test_a_folder_that_the_disk_cannot_hold_unpacked_is_refused_before_it_is_decoded(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{as_folder(tmp_path / 'birds', made(0, 3))}/"
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=300))
    fault = refused(name)
    assert (fault.place, fault.found) == (str(tmp_path / "birds"), "300")


def test_a_large_tinyimagenet_is_unpacked_to_the_disk(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DATASETS, "tinyimagenet", FACTS["tinyimagenet"])
    write_tiny(tmp_path / "tiny")
    data = load("tinyimagenet", tmp_path / "tiny")
    assert is_mapped(data.train_images)
    monkeypatch.setattr(limits, "MOST_BYTES", 10**9)
    held = load("tinyimagenet", tmp_path / "tiny")
    assert np.array_equal(held.train_images, data.train_images)
    assert (held.mean, held.std) == (data.mean, data.std)
