"""Runs into stores that are damaged, full, read-only or not exclusive: what is said, and which numbers come of it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prunescope.data import load
from prunescope.errors import UnwritableError
from prunescope.nets import network
from prunescope.run import run_study
from prunescope.run.artifacts import read_masks
from prunescope.run.events import Event, NotExclusive, Unsound
from prunescope.run.tuning_cache import CohortSettings, TuningCache
from prunescope.study import Study
from prunescope.table import Store
from prunescope.train.ladder import LadderRungs
from tests.commands import run
from tests.run.studies import dense_study, rows


@pytest.fixture(autouse=True)
def whole_cohorts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process train all ladders of a shape together, whatever is fastest on a machine as busy as it may be."""
    monkeypatch.setattr(TuningCache, "of_machine", lambda self, key: CohortSettings(64, 1, 64, 1, 1e-4))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A study trained into a sound store without a break."""
    store = Store(tmp_path_factory.mktemp("whole") / "store", create=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TuningCache, "of_machine", lambda self, key: CohortSettings(64, 1, 64, 1, 1e-4))
        assert run_study(dense_study(), store, workers=1).rungs == 24
    return store


def masks(store: Store, study: Study) -> dict[tuple[str, int], bytes]:
    """Return the surviving weights of every finished rung, as bits."""
    data = load("digits")
    bits = {}
    for ladder in study.ladders:
        net = network(ladder.cell.family, ladder.cell.depth, ladder.cell.width, data.classes, data.shape)
        for rung in store.done().get(ladder.identity, ()):
            bits[ladder.identity, rung] = read_masks(store, ladder, rung, net).packed().tobytes()
    return bits


def flipped(path: Path) -> None:
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def cut(path: Path) -> None:
    """Leave the first bytes of a file."""
    path.write_bytes(path.read_bytes()[:60])


# Notes.


@pytest.mark.parametrize(
    "changes",
    [
        {"starts": -3},
        {"starts": 0},
        {"members": 0},
        {"members": True},
        {"members": 2.0},
        {"threads": -1},
        {"together": 65},
        {"pack": 65},
        {"seconds": -1.0},
        {"seconds": float("nan")},
        {"seconds": None},
        {"planar": 1},
    ],
    ids=str,
)
def test_a_note_with_values_that_no_run_can_have_noted_is_no_choice(tmp_path: Path, changes: dict[str, Any]) -> None:
    store = Store(tmp_path / "store", create=True)
    remembered, choice = TuningCache(store, "cpu", 1), CohortSettings(64, 1, 64, 1, 1e-4, starts=2)
    store.write_note(remembered._store_name("key"), vars(choice) | changes)
    assert remembered.of_store("key") is None
    assert remembered.damaged_notes("key") == list((store.path / "notes").iterdir())
    remembered.keep_in_store("key", choice)
    assert remembered.of_store("key") == choice
    assert remembered.damaged_notes("key") == []


def spoiled(path: Path) -> None:
    """Put other cohorts into a note."""
    path.write_text(json.dumps(json.loads(path.read_text()) | {"starts": -3}))


def without_hash(path: Path) -> None:
    """Take the hash out of a note's name, as stores had them once."""
    spoiled(path)
    path.rename(path.with_name(f"{path.name.split('.')[0]}.json"))


@pytest.mark.parametrize("spoil", [spoiled, flipped, cut, without_hash], ids=lambda spoil: spoil.__name__)
def test_a_spoiled_note_is_told_of_and_the_run_trains_all_the_same(whole: Store, tmp_path: Path, spoil: Any) -> None:
    store = Store(tmp_path / "store", create=True)
    run_study(dense_study(levels=1), store, workers=1)
    notes = list((store.path / "notes").iterdir())
    assert len(notes) == 2
    for note in notes:
        spoil(note)
    events: list[Event] = []
    report = run_study(dense_study(), store, workers=1, on_event=events.append)
    assert report.rungs == 12
    assert rows(store) == rows(whole)
    named = [event.reason for event in events if isinstance(event, Unsound)]
    assert len(named) == 2
    assert all("/notes/" in reason for reason in named)
    events.clear()
    run_study(dense_study(levels=4), store, workers=1, on_event=events.append)
    assert not [event for event in events if isinstance(event, Unsound)]  # noted anew


# Checkpoints.


@pytest.mark.parametrize("own_files", [True, False], ids=["a file for each rung", "one file for all rungs"])
@pytest.mark.parametrize("damage", [flipped, cut], ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("place", [0, -1], ids=["the first file", "the last file"])
def test_a_ladder_with_a_damaged_checkpoint_is_trained_again_from_what_is_sound(
    whole: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int, damage: Any, own_files: bool
) -> None:
    if own_files:
        monkeypatch.setattr("prunescope.run.ladder_runner.WRITE_INTERVAL", -1.0)
    study, store = dense_study(), Store(tmp_path / "store", create=True)
    run_study(dense_study(levels=2), store, workers=1)
    shards = store.shards.listing().all
    victim = study.ladders[1]
    path = sorted((store.path / "checkpoints" / victim.identity).iterdir())[place]
    damage(path)
    events: list[Event] = []
    report = run_study(study, store, workers=1, on_event=events.append)
    assert not report.failures
    assert report.rungs == 6
    (unsound,) = (event for event in events if isinstance(event, Unsound))
    assert str(path) in unsound.reason
    assert victim.identity in unsound.reason
    assert f"from rung {2 if own_files and place else 0}," in unsound.instead
    assert rows(store) == rows(whole)
    assert set(shards) <= set(store.shards.listing().all)  # finished rows stay
    assert len(masks(whole, study)) == 24
    assert masks(store, study) == masks(whole, study)
    assert not any(
        paths for ladder in study.ladders for paths in store.damaged_arrays("checkpoints", ladder.identity).values()
    )


def test_a_damaged_checkpoint_of_a_finished_ladder_is_named_and_its_rows_stand(whole: Store, tmp_path: Path) -> None:
    store = Store(shutil.copytree(whole.path, tmp_path / "store"))
    assert store.damaged_files() == ()
    path = min((store.path / "checkpoints").glob("*/*.safetensors"))
    flipped(path)
    assert store.damaged_files() == (path,)
    assert run_study(dense_study(), store, workers=1).rungs == 0
    assert rows(store) == rows(whole)
    output = run("status", store.path, "--check")
    assert f"damaged: {path}" in output.stdout
    assert "Finished rungs keep their rows and are not trained again." in output.stdout
    assert json.loads(run("status", store.path, "--check", "--json").stdout)["damaged"] == [str(path)]
    assert "damaged file" not in run("status", store.path).stdout
    assert "0 damaged files" in run("status", whole.path, "--check").stdout


def test_a_run_that_is_to_keep_weights_goes_on_past_a_damaged_checkpoint(tmp_path: Path) -> None:
    study, store = dense_study(levels=1), Store(tmp_path / "store", create=True)
    run_study(study, store, workers=1)
    (path,) = (store.path / "checkpoints" / study.ladders[0].identity).iterdir()
    cut(path)
    events: list[Event] = []
    report = run_study(dense_study(levels=2), store, workers=1, keep_weights=True, on_event=events.append)
    assert not report.failures
    assert report.rungs == 6
    assert all(str(path) in event.reason for event in events if isinstance(event, Unsound))


# Space.


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("free", [40, 64, 88, 112])
def test_a_run_on_a_full_disk_counts_what_is_there_and_goes_on_once_there_is_room(
    whole: Store, small_disk: Path, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    monkeypatch.setattr("prunescope.run.ladder_runner.WRITE_INTERVAL", -1.0)
    store, ballast = Store(small_disk / "store", create=True), small_disk / "ballast"
    ballast.write_bytes(bytes(2**21 - free * 1024))
    report = run_study(dense_study(), store, workers=1)
    assert str(store.path) in report.unwritable
    assert "No space left on device" in report.unwritable
    assert not report.failures
    done = sum(map(len, store.done().values()))
    assert report.rungs == report.networks == done < 24
    assert not list((store.path / "drafts").iterdir())
    ballast.unlink()
    again = run_study(dense_study(), store, workers=1)
    assert not again.unwritable
    assert again.rungs == 24 - done
    assert rows(store) == rows(whole)
    assert masks(store, dense_study()) == masks(whole, dense_study())


def test_workers_that_find_the_disk_full_end_the_run_with_a_word(small_disk: Path) -> None:
    store = Store(small_disk / "store", create=True)
    (small_disk / "ballast").write_bytes(bytes(2**21 - 48 * 1024))
    report = run_study(dense_study(), store, workers=2)
    assert str(store.path) in report.unwritable
    assert not report.failures
    assert report.rungs == sum(map(len, store.done().values()))


def test_a_finished_study_in_a_read_only_store_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "store", create=True)
    run_study(dense_study(levels=1), store, workers=1)

    def read_only(*_: object, **__: object) -> tuple[int, str]:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tempfile, "mkstemp", read_only)
    for study in (dense_study(levels=1), dense_study(levels=0)):  # the latter was never begun here
        report = run_study(study, store, workers=1)
        assert (report.rungs, report.unwritable) == (0, "")
    with pytest.raises(UnwritableError, match=str(store.path)):
        run_study(dense_study(), store, workers=1)


# Exclusive creation.


def test_a_run_where_two_may_create_one_file_says_so_and_trains(
    whole: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", lambda draft, path: Path(path).write_bytes(Path(draft).read_bytes()))
    store, events = Store(tmp_path / "store", create=True), list[Event]()
    report = run_study(dense_study(), store, workers=1, on_event=events.append)
    assert not report.failures
    assert rows(store) == rows(whole)
    assert [event for event in events if isinstance(event, NotExclusive)] == [NotExclusive(str(store.path))]
    assert store.running() == frozenset()
    assert store.pack()


# Memory.


@pytest.mark.parametrize(
    "trouble",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried to ..."
        ),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
    ids=lambda trouble: type(trouble).__name__,
)
def test_a_run_that_is_out_of_memory_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    def failing(*_: object) -> None:
        raise trouble

    monkeypatch.setattr(LadderRungs, "leave", failing)
    report = run_study(dense_study(replicates=1, levels=1), tmp_path / "store", workers=1)
    assert len(report.failures) == 2
    for failure in report.failures:
        assert "Memory ran out" in failure.reason
        assert "--workers" in failure.reason
        assert "damaged" not in failure.reason
