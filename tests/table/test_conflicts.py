"""Two results for one rung: the first counts for every reader, the second is set aside, and either can be picked."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path
from typing import Any, Literal

import pytest

from prunescope.errors import DamageError, PrunescopeError
from prunescope.table import Conflict, Store, conflicts, resolve
from prunescope.table.conflicts import aside
from prunescope.table.durable import publish_bytes
from tests.builders import filled, ladder_identity, rung

LADDER = ladder_identity(0)


def beside(store: Store, folder: Path, **changes: Any) -> None:
    """Put a row among those of a store as a writer does that saw none of them."""
    other = Store(folder, create=True)
    other.write([rung(0, 0, **changes), rung(5, 0)])
    for shard in other.shards.listing().all:
        shutil.copy(other.shards.folder / shard, store.shards.folder)


def losses(store: Store) -> list[float]:
    return [float(loss) for loss in Store(store.path).table("depth = 3 and rung = 0")["test_loss"]]


def test_a_result_that_comes_second_is_set_aside_and_reading_goes_on(store: Store) -> None:
    assert store.write([rung(0, 0), rung(1, 0)]) == 2
    assert not store.table().notes
    for _ in range(2):  # the same again is no news
        assert Store(store.path).write([rung(0, 0, test_loss=0.51, device="cuda"), rung(2, 0)]) == 1
    assert losses(store) == [0.5, 0.5, 0.5]
    assert store.done() == {ladder_identity(number): {0} for number in range(3)}
    (note,) = store.table().notes
    assert "prunescope status" in note
    (pair,) = conflicts(store)
    assert (pair.ladder, pair.rung) == (LADDER, 0)
    assert pair.differences == {"test_loss": (0.5, 0.51)}
    assert pair.largest == pytest.approx(0.01 / 0.51)
    assert not pair.is_rounding
    assert str(os.getpid()) in pair.writer
    assert (pair.first["device"], pair.second["device"]) == ("cpu", "cuda")


def test_differences_of_rounding_are_told_from_others(store: Store) -> None:
    row = rung(0, 0)
    for changes, largest, rounding in (
        ({"test_loss": 0.500001}, 2e-6, True),
        ({"test_loss": 0.5001}, 2e-4, False),
        ({"kept": 9_999}, math.inf, False),
        ({"validation_loss": 0.5}, math.inf, False),
        ({}, 0.0, True),
    ):
        pair = Conflict(row, row | changes)
        assert pair.largest == pytest.approx(largest, rel=1e-3)
        assert pair.is_rounding is rounding


@pytest.mark.parametrize("started", ["2025-12-31T00:00:00Z", "2026-02-01T00:00:00Z"])
def test_of_results_that_came_at_once_all_readers_take_the_same(store: Store, tmp_path: Path, started: str) -> None:
    store.write([rung(0, 0), rung(1, 0)])
    beside(store, tmp_path / "other", test_loss=0.75, started=started)
    first = 0.5 if started > str(rung(0, 0)["started"]) else 0.75
    before = store.table()
    assert losses(store) == [first, 0.5, 0.5]
    assert store.query(f"select test_loss from rungs where ladder = '{LADDER}'")["test_loss"].tolist() == [first]
    assert store.done()[LADDER] == {0}
    assert before.notes
    (pair,) = conflicts(store)
    assert (pair.first["test_loss"], pair.path) == (first, None)
    assert store.pack() == 2
    (again,) = conflicts(store)
    assert (again.first, again.second) == (pair.first, pair.second)
    assert again.path is not None
    assert Store(store.path).table() == before
    assert Store(store.path).table().notes


@pytest.mark.parametrize("lies", ["aside", "beside"])
@pytest.mark.parametrize("keep", ["first", "second"])
def test_either_result_can_be_picked_and_the_other_is_kept(
    store: Store, tmp_path: Path, keep: Literal["first", "second"], lies: str
) -> None:
    store.write([rung(0, 0), rung(1, 0)])
    if lies == "aside":
        store.write([rung(0, 0, test_loss=0.75)])
    else:
        beside(store, tmp_path / "other", test_loss=0.75, started="2027-01-01T00:00:00Z")
    rungs = store.done()
    (pair,) = conflicts(store)
    resolve(store, pair, keep)
    assert losses(store)[0] == (0.5 if keep == "first" else 0.75)
    assert Store(store.path).done() == store.done() == rungs
    assert conflicts(store) == ()
    assert not store.table().notes
    ((_, row, _),) = aside(store.path, settled=True)
    assert row["test_loss"] == (0.75 if keep == "first" else 0.5)
    store.write([row])  # as from another merge: that is settled
    assert conflicts(store) == ()


def test_picking_that_is_cut_short_leaves_a_store_in_which_it_can_be_done_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write([rung(0, 0), rung(1, 0)])
    store.write([rung(0, 0, test_loss=0.75)])
    before = store.done()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            resolve(store, conflicts(store)[0], "second")
    assert Store(store.path).done() == before
    for pair in conflicts(Store(store.path)):
        resolve(Store(store.path), pair, "second" if pair.second["test_loss"] == 0.75 else "first")
    assert losses(store)[0] == 0.75
    assert conflicts(store) == ()


def test_nothing_is_picked_while_another_packs(store: Store) -> None:
    store.write([rung(0, 0)])
    store.write([rung(0, 0, depth=99)])
    (pair,) = conflicts(store)
    assert math.isinf(pair.largest)
    with store.leases.claimed(["pack"]), pytest.raises(PrunescopeError, match="packing"):
        resolve(Store(store.path), pair, "second")
    assert conflicts(store) == (pair,)


@pytest.mark.parametrize("content", [b"[]", b"{}", b"junk", b'{"row": 1, "writer": ""}', b'{"row": {}, "writer": ""}'])
def test_a_strangers_second_results_are_refused_in_words(store: Store, content: bytes) -> None:
    store.write([rung(0, 0)])
    publish_bytes(store.path, store.path / "conflicts", f"{LADDER}.0000", ".json", content)
    with pytest.raises(DamageError, match="delete it"):
        conflicts(store)
    assert len(store.table()) == 1


def test_a_store_without_conflicts_has_none(tmp_path: Path) -> None:
    store = filled(tmp_path / "store", 2)
    shutil.rmtree(store.path / "conflicts")  # as stores of earlier versions
    assert conflicts(Store(store.path)) == ()
    assert not store.table().notes
