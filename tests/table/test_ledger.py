"""What is finished, known without reading again what was read before; as right as if everything were read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from prunescope.errors import DamageError
from prunescope.table import Store
from prunescope.table.shards import Shards
from tests.builders import filled, ladder_identity, rung

ONE, TWO = ladder_identity(0), ladder_identity(1)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many shards are read, each time that any are."""
    counts: list[int] = []
    real = Shards.rows

    def noted(self: Shards, shards: Sequence[str], names: Sequence[str], sources: bool = False) -> dict[str, Any]:
        counts.append(len(shards))
        return real(self, shards, names, sources)

    monkeypatch.setattr(Shards, "rows", noted)
    return counts


def test_only_shards_of_others_that_are_new_are_read(tmp_path: Path, reads: list[int]) -> None:
    ours = Store(tmp_path / "store", create=True)
    theirs = Store(ours.path)
    ours.write([rung(0, 0), rung(0, 1)])
    assert ours.done() == {ONE: {0, 1}}
    assert reads == []
    theirs.write([rung(0, 2)])
    theirs.write([rung(1, 0)])
    assert reads == [1]  # before it writes, a writer looks at what is there
    assert ours.done() == {ONE: {0, 1, 2}, TWO: {0}}
    assert reads == [1, 2]
    assert ours.done() == {ONE: {0, 1, 2}, TWO: {0}}
    assert reads == [1, 2]


def test_what_was_told_before_stays_as_it_was_and_is_the_readers_own(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    store.write([rung(0, 0)])
    before = store.done()
    store.write([rung(0, 1), rung(1, 0)])
    assert before == {ONE: {0}}
    store.done().clear()
    assert store.done() == {ONE: {0, 1}, TWO: {0}}


def test_packing_by_others_and_deleted_shards_are_noticed(tmp_path: Path) -> None:
    ours = filled(tmp_path / "store", 3)
    whole = ours.done()
    Store(ours.path).pack()
    assert ours.done() == whole
    ours.write([rung(7, 0)])
    shard = next(iter(ours.shards.listing().small))
    assert ours.done() == whole | {ladder_identity(7): {0}}
    (ours.shards.folder / shard).unlink()
    assert ours.done() == whole


def test_a_rung_that_two_wrote_counts_once_whatever_they_wrote(tmp_path: Path) -> None:
    ours = Store(tmp_path / "store", create=True)
    theirs = Store(ours.path)
    ours.write([rung(0, 0)])
    theirs.write([rung(0, 0, seconds=9.0)])
    assert ours.done() == theirs.done() == {ONE: {0}}
    assert theirs.write([rung(0, 0, test_loss=0.9), rung(0, 1)]) == 1
    for store in (ours, theirs, ours):
        assert store.done() == {ONE: {0, 1}}


def test_damage_in_a_shard_that_is_new_is_noticed(tmp_path: Path) -> None:
    ours = Store(tmp_path / "store", create=True)
    ours.write([rung(0, 0)])
    before = ours.shards.listing().small
    Store(ours.path).write([rung(1, 0)])
    (shard,) = ours.shards.listing().small - before
    path = ours.shards.folder / shard
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamageError, match="is damaged"):
        ours.done()
