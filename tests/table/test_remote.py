"""Stores pushed to and pulled from storage elsewhere: a folder, memory, and a real S3 server where one is installed.

`make test-s3` sets up an environment with a server (moto's) and s3fs, whose requirements exclude those of the lock.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from prunescope.errors import DamageError, InputError, MissingPackageError, PrunescopeError
from prunescope.table import Store, conflicts
from prunescope.table.remote import Pushing, Remote, pull, push
from tests.builders import filled, ladder_identity, rung, small_study
from tests.commands import fails, run

S3 = find_spec("moto") is not None and find_spec("s3fs") is not None


@pytest.fixture(scope="module")
def s3() -> Iterator[None]:
    """Start an S3 server on loopback, and point the library of AWS to it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        import s3fs

        s3fs.S3FileSystem().mkdir("bucket")
        yield
    server.stop()


S3_URL = pytest.param("s3", marks=pytest.mark.skipif(not S3, reason="no S3 server here: make test-s3"))


@pytest.fixture(params=["folder", "file", "memory", S3_URL])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        request.getfixturevalue("s3")
    name = uuid.uuid4().hex
    return {
        "folder": f"{tmp_path}/{name}",
        "file": f"file://{tmp_path}/{name}",
        "memory": f"memory://{name}",
        "s3": f"s3://bucket/{name}",
    }[request.param]


def whole(path: Path) -> Store:
    """Return a store with some of everything that travels."""
    store = filled(path, 2)
    store.pack()
    store.write_arrays("checkpoints", ladder_identity(0), 1, {"mask": np.arange(3)})
    store.begin(small_study())
    store.fail(ladder_identity(1), 3, "diverged")
    store.write_note(ladder_identity(5), {"seconds": 0.1})
    return store


def test_what_is_pushed_is_pulled_and_only_what_is_missing_travels(tmp_path: Path, url: str) -> None:
    store, other = whole(tmp_path / "one"), Store(tmp_path / "other", create=True)
    first = push(store, Remote(url))
    assert (first.there, first.files) == (0, 5)
    assert push(store, Remote(url)).files == 0
    fetched = pull(other, Remote(url))
    assert (fetched.files, fetched.rungs, fetched.size, fetched.damaged) == (5, 8, first.size, ())
    assert other.table() == store.table()
    assert other.read_arrays("checkpoints", ladder_identity(0), 1)["mask"].tolist() == [0, 1, 2]
    assert list(other.read_notes(ladder_identity(5)).values()) == [{"seconds": 0.1}]
    assert [failure.words for failure in other.failures()] == ["diverged"]
    assert other.studies() == store.studies()
    assert pull(other, Remote(url)).files == 0
    other.write([rung(3, 0)])
    assert push(other, Remote(url)).files == 1
    assert (pull(store, Remote(url)).rungs, push(store, Remote(url)).files) == (1, 0)


@pytest.mark.parametrize("url", ["folder", "file", S3_URL], indirect=True)
def test_of_those_that_create_a_file_at_once_one_does(url: str) -> None:
    start, created = threading.Barrier(4), list[bool]()

    def create() -> None:
        remote = Remote(url)
        assert remote.sizes() == {}
        start.wait()
        created.append(remote.write("store.json", b"{}"))

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(created) == [False, False, False, True]


def test_what_was_cut_short_is_sent_again_and_what_is_damaged_is_left_out(tmp_path: Path, url: str) -> None:
    store, remote = whole(tmp_path / "one"), Remote(url)
    push(store, remote)
    (shard,) = [name for name in remote.sizes() if name.startswith("rungs/")]
    content = remote.read(shard)
    for damaged in (content[:-5], content[:-1] + b"x"):
        remote._files.pipe_file(f"{remote._root}/{shard}", damaged)
        fetched = pull(Store(tmp_path / f"{len(damaged)}", create=True), Remote(url))
        assert (fetched.rungs, fetched.damaged) == (0, (shard,))
        if len(damaged) < len(content):
            assert push(store, Remote(url)).files == 1
            assert Remote(url).read(shard) == content


def test_a_damaged_file_is_not_sent_and_all_others_are(tmp_path: Path, url: str) -> None:
    store = whole(tmp_path / "one")
    (path,) = (store.path / "rungs").iterdir()
    path.write_bytes(b"damaged")
    with pytest.raises(DamageError, match=path.name):
        push(store, Remote(url))
    assert len(Remote(url).sizes()) == 5


def test_a_pull_sets_aside_what_contradicts_and_takes_no_strange_files(tmp_path: Path, url: str) -> None:
    one, other = filled(tmp_path / "one", 1), filled(tmp_path / "other", 1, test_loss=0.6)
    remote = Remote(url)
    push(one, remote)
    remote._files.pipe_file(f"{remote._root}/rungs/run-me.sh", b"rm")
    remote._files.pipe_file(f"{remote._root}/claims.sh", b"rm")
    fetched = pull(other, Remote(url))
    assert (fetched.rungs, fetched.files, fetched.damaged) == (0, 4, ())
    assert {pair.differences["test_loss"] for pair in conflicts(other)} == {(0.6, 0.5)}
    assert set(other.table()["test_loss"].tolist()) == {0.6}
    assert not list(other.path.rglob("*.sh"))


def test_a_place_without_a_store_is_refused_and_so_is_another_format(tmp_path: Path, url: str) -> None:
    store = filled(tmp_path / "one", 1)
    with pytest.raises(InputError) as refused:
        pull(store, Remote(url))
    assert refused.value.faults[0].place == "store.json"
    Remote(url).write("store.json", b'{"prunescope store": 99}')
    with pytest.raises(InputError):
        push(store, Remote(url))
    assert Remote(url).sizes().keys() == {"store.json"}


def test_pushing_goes_on_beside_the_run_and_its_last_failure_is_raised(tmp_path: Path) -> None:
    store = filled(tmp_path / "store", 1)
    with Pushing(store.path, f"{tmp_path}/there") as pushing:
        pushing.begin()
        store.write([rung(4, 0)])
    assert pull(Store(tmp_path / "other", create=True), Remote(f"{tmp_path}/there")).rungs == 5
    (tmp_path / "file").touch()
    with pytest.raises(PrunescopeError, match="cannot be reached"), Pushing(store.path, f"{tmp_path}/file/store"):
        pass


def test_stores_travel_by_command(tmp_path: Path) -> None:
    filled(tmp_path / "one", 1)
    there = f"file://{tmp_path}/there"
    assert run("push", tmp_path / "one", there).stdout.startswith("pushed 4 files, ")
    assert "other gained 4 rungs" in run("pull", tmp_path / "other", there).stdout
    assert "nothing://" in fails(2, "push", tmp_path / "one", "nothing://there")


@pytest.mark.skipif(find_spec("s3fs") is not None, reason="s3fs is installed")
def test_what_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingPackageError, match="s3fs"):
        Remote("s3://bucket/store")
