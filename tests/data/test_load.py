"""From a name to a dataset: where files are looked for, how they are fetched, and what is told when neither works."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from prunescope.data import load
from prunescope.data.dataset import DatasetPart
from prunescope.data.imagenet import PACKED
from prunescope.data.layouts import cache_folder
from prunescope.data.load import LAYOUTS, SOURCES, DatasetSource
from prunescope.errors import InputError, MissingPackageError, PrunescopeError
from prunescope.study.catalogue import DATASETS
from tests.data.formats import pictures, same, shrink, write_mnist


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> tuple[DatasetPart, DatasetPart]:
    return pictures(shrink(monkeypatch, "mnist"), (1, 28, 28))


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """Serve a folder on this machine alone."""
    monkeypatch.setenv("NO_PROXY", "*")
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}/", folder
        serving.shutdown()
        thread.join()


def served(monkeypatch: pytest.MonkeyPatch, folder: Path, *addresses: str) -> None:
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}
    monkeypatch.setitem(SOURCES, "mnist", DatasetSource(addresses, sums, 1))


def test_every_dataset_that_a_study_may_name_is_there() -> None:
    assert {"digits", *LAYOUTS, *PACKED} == set(DATASETS)
    unpacked = {name for name, layouts in LAYOUTS.items() if any(layout.archive for layout in layouts)}
    assert SOURCES.keys() == LAYOUTS.keys() - unpacked
    for name, source in SOURCES.items():
        wanted = [{f"{file}.gz" if layout.gzipped else file for file in layout.files} for layout in LAYOUTS[name]]
        assert set(source.sums) in wanted, "what is fetched must be found"
        assert all(len(digest) == 64 for digest in source.sums.values())
    with pytest.raises(InputError, match="Did you mean 'cifar10'"):
        load("cifar-10")


def test_the_folder_named_goes_before_the_variable_and_the_variable_before_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: tuple[DatasetPart, DatasetPart], cache: Path
) -> None:
    facts = DATASETS["mnist"]
    others = [pictures(facts, (1, 28, 28), seed) for seed in (1, 2)]
    write_mnist(cache / "mnist", *parts)
    same(load("mnist"), *parts)
    write_mnist(tmp_path / "variable", *others[0])
    monkeypatch.setenv("PRUNESCOPE_DATA", str(tmp_path / "variable"))
    same(load("mnist", fetch=False), *others[0])
    write_mnist(tmp_path / "named", *others[1])
    same(load("mnist", str(tmp_path / "named")), *others[1])
    (tmp_path / "empty").mkdir()
    same(load("mnist", tmp_path / "empty"), *parts)
    with pytest.raises(InputError):
        load("mnist", tmp_path / "empty", fetch=False)


def test_the_cache_is_in_the_home_where_nothing_else_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache_folder() == Path("/home/somebody/.cache/prunescope/data")


def test_a_folder_that_is_none_is_told_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="the folder for data: must be a folder; found nothing"):
        load("mnist", tmp_path / "dta")
    (tmp_path / "file").touch()
    monkeypatch.setenv("PRUNESCOPE_DATA", str(tmp_path / "file"))
    with pytest.raises(InputError, match="what PRUNESCOPE_DATA names: must be a folder; found a file"):
        load("mnist")


def test_missing_files_are_named_with_where_they_were_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        load("cifar10", tmp_path, fetch=False)
    message = str(raised.value)
    assert (
        f"must be in {tmp_path}, or in a folder there called cifar10 or cifar-10-batches-bin or cifar-10-bat" in message
    )
    assert "data_batch_1.bin to test_batch.bin; or data_batch_1 to test_batch; or cifar-10-binary.tar.gz; or" in message
    assert "--data DIR or PRUNESCOPE_DATA, or let prunescope fetch them" in message
    with pytest.raises(InputError, match=r"t10k-labels-idx1-ubyte \(or with \.gz\)"):
        load("mnist", tmp_path, fetch=False)


def test_half_a_dataset_is_told_and_not_fetched_around(tmp_path: Path, parts: tuple[DatasetPart, DatasetPart]) -> None:
    write_mnist(tmp_path / "MNIST", *parts)
    (tmp_path / "MNIST" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(InputError) as raised:
        load("mnist", tmp_path)
    assert f"{tmp_path / 'MNIST'}: must also hold t10k-labels-idx1-ubyte" in str(raised.value)


def test_what_is_missing_is_fetched_into_the_cache_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    parts: tuple[DatasetPart, DatasetPart],
    cache: Path,
    server: tuple[str, Path],
) -> None:
    pytest.importorskip("pooch")
    address, folder = server
    write_mnist(folder, *parts, zipped=True)
    served(monkeypatch, folder, f"{address}nothing/", address)
    (tmp_path / "empty").mkdir()
    (cache / "mnist").mkdir(parents=True)
    (cache / "mnist" / "train-labels-idx1-ubyte.gz").write_bytes(b"what an earlier attempt left")
    same(load("mnist", tmp_path / "empty"), *parts)
    assert len(list((cache / "mnist").iterdir())) == 4
    for path in folder.iterdir():
        path.unlink()
    same(load("mnist", tmp_path / "empty"), *parts)


def test_files_that_are_not_what_was_published_are_not_kept(
    monkeypatch: pytest.MonkeyPatch, parts: tuple[DatasetPart, DatasetPart], cache: Path, server: tuple[str, Path]
) -> None:
    pytest.importorskip("pooch")
    address, folder = server
    write_mnist(folder, *parts, zipped=True)
    served(monkeypatch, folder, address)
    for path in folder.iterdir():
        path.write_bytes(b"something else")
    with pytest.raises(PrunescopeError, match="SHA-256 is another"):
        load("mnist")
    assert not list(cache.glob("mnist/*"))


def test_a_server_that_sends_without_end_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, parts: tuple[DatasetPart, DatasetPart], cache: Path, server: tuple[str, Path]
) -> None:
    pytest.importorskip("pooch")
    address, folder = server
    write_mnist(folder, *parts, zipped=True)
    served(monkeypatch, folder, address)
    for file in folder.iterdir():
        file.write_bytes(bytes(3_000_000))
    with pytest.raises(PrunescopeError, match="what came is larger than the 1 MB that were published"):
        load("mnist")
    assert not list(cache.glob("mnist/*"))


def test_no_network_is_told_in_two_lines(
    monkeypatch: pytest.MonkeyPatch, parts: tuple[DatasetPart, DatasetPart], cache: Path, server: tuple[str, Path]
) -> None:
    pytest.importorskip("pooch")
    address, folder = server
    write_mnist(folder, *parts, zipped=True)
    served(monkeypatch, folder, "http://127.0.0.1:9/", f"{address}nothing/")
    with pytest.raises(PrunescopeError, match="the server answered 404"):
        load("mnist")
    served(monkeypatch, folder, "http://127.0.0.1:9/")
    with pytest.raises(PrunescopeError) as raised:
        load("mnist")
    first, second = str(raised.value).splitlines()
    assert first == f"mnist is not in {cache} and could not be fetched from http://127.0.0.1:9/: no connection"
    assert second.startswith("Put t10k-images-idx3-ubyte.gz, ")
    assert second.endswith(
        f"into {cache / 'mnist'}, or name a folder that holds them with --data DIR or PRUNESCOPE_DATA."
    )


def test_a_missing_package_is_told_in_two_lines(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(MissingPackageError) as raised:
        load("svhn")
    first, second = str(raised.value).splitlines()
    assert first == f"svhn is not in {cache}, and fetching it needs pooch: pip install pooch"
    assert second == "Or name a folder that holds train_32x32.mat, test_32x32.mat with --data DIR or PRUNESCOPE_DATA."


def test_loading_needs_numpy_alone() -> None:
    program = "import prunescope.data; prunescope.data.load('digits'); import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    roots = {name.split(".")[0] for name in done.stdout.split()}
    assert not roots & {"torch", "scipy", "duckdb", "pooch", "requests", "pandas"}
