"""Stores joined: everything of theirs, and nothing else; what contradicts is set aside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from prunescope.errors import ConflictError, InputError
from prunescope.study import parse_study, preset_text
from prunescope.table import STORED, Store, conflicts, merge
from prunescope.table.conflicts import arrays_aside
from tests.builders import files, filled, ladder_identity, rung

LADDER = ladder_identity(0)


def test_stores_are_joined(tmp_path: Path) -> None:
    one, other = filled(tmp_path / "one", 2), filled(tmp_path / "other", 4)
    one.write_arrays("examples", LADDER, 0, {"loss": np.zeros(3)})
    other.write_arrays("checkpoints", ladder_identity(3), 1, {"mask": np.ones(3)})
    other.begin(parse_study(preset_text("digits")))
    other.fail(ladder_identity(3), 2, "ran out of memory")
    into = Store(tmp_path / "into", create=True)
    assert merge(into, [one, other]) == 16
    assert into.table() == other.table()
    assert into.has_arrays("examples", LADDER, 0)
    assert into.has_arrays("checkpoints", ladder_identity(3), 1)
    assert [study.name for study in into.studies()] == ["digits"]
    assert into.failures()[0].words == "ran out of memory"
    assert merge(into, [one, other]) == 0


def test_of_stores_that_contradict_each_other_the_first_stays_and_the_second_is_set_aside(tmp_path: Path) -> None:
    one, other = filled(tmp_path / "one", 2), filled(tmp_path / "other", 1, test_loss=0.6)
    other.write([rung(3, 0), rung(3, 1)])
    other.pack()  # contradicting rows and others in one shard
    for store, value in ((one, 0.0), (other, 1.0)):
        store.write_arrays("checkpoints", LADDER, 0, {"mask": np.full(3, value)})
    other.write_arrays("examples", LADDER, 1, {"loss": np.ones(3)})  # of a result that does not count
    other.write_arrays("examples", ladder_identity(3), 0, {"loss": np.ones(3)})
    into = Store(tmp_path / "into", create=True)
    for expected in (10, 0):
        assert merge(into, [one, other]) == expected
        pairs = conflicts(into)
        assert [(pair.ladder, pair.rung, pair.differences) for pair in pairs] == [
            (LADDER, number, {"test_loss": (0.5, 0.6)}) for number in range(4)
        ]
        assert {pair.writer for pair in pairs} == {f"merged from {other.path}"}
        assert set(into.table().where(f"ladder = '{LADDER}'")["test_loss"].tolist()) == {0.5}
        assert into.done() == one.done() | {ladder_identity(3): {0, 1}}
        assert into.read_arrays("checkpoints", LADDER, 0)["mask"].tolist() == [0, 0, 0]
        assert not into.has_arrays("examples", LADDER, 1)
        assert into.has_arrays("examples", ladder_identity(3), 0)
        assert len(arrays_aside(into.path)) == 2
    again = Store(tmp_path / "again", create=True)
    merge(again, [into])
    assert len(conflicts(again)) == 4  # what was set aside travels along


def test_of_stores_whose_arrays_differ_the_first_keeps_its_own(tmp_path: Path) -> None:
    one, other = filled(tmp_path / "one", 1), filled(tmp_path / "other", 1)
    one.write_arrays("examples", LADDER, 0, {"loss": np.zeros(3)})
    path = other.write_arrays("examples", LADDER, 0, {"loss": np.ones(3)})
    merge(one, [other])
    assert one.read_arrays("examples", LADDER, 0)["loss"].tolist() == [0, 0, 0]
    (aside,) = arrays_aside(one.path)
    assert aside.read_bytes() == path.read_bytes()
    assert conflicts(one) == ()


def test_arrays_that_only_one_store_has_are_no_contradiction(tmp_path: Path) -> None:
    one, other = filled(tmp_path / "one", 1), filled(tmp_path / "other", 1)
    mask, more = {"mask/0": np.arange(3)}, {"kept/0/a": np.ones(2), "mask/0": np.arange(3)}
    one.write_arrays("checkpoints", LADDER, 0, mask)
    other.write_arrays("checkpoints", LADDER, 0, more)
    merge(one, [other])
    arrays = one.read_arrays("checkpoints", LADDER, 0)
    assert {name: values.tolist() for name, values in arrays.items()} == {"mask/0": [0, 1, 2], "kept/0/a": [1, 1]}
    assert one.array_names("checkpoints", LADDER) == {0: {"mask/0", "kept/0/a"}}
    third = filled(tmp_path / "third", 1)
    third.write_arrays("checkpoints", LADDER, 0, {"kept/0/a": np.zeros(2)})
    merge(one, [third])
    assert one.read_arrays("checkpoints", LADDER, 0)["kept/0/a"].tolist() == [1, 1]
    assert len(arrays_aside(one.path)) == 1


def test_files_for_one_rung_that_contradict_each_other_are_not_read(tmp_path: Path) -> None:
    one, other = filled(tmp_path / "one", 1), filled(tmp_path / "other", 1)
    one.write_arrays("examples", LADDER, 0, {"loss": np.zeros(3)})
    path = other.write_arrays("examples", LADDER, 0, {"loss": np.zeros(3, np.float32)})
    (one.path / "examples" / LADDER / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ConflictError, match="different arrays for one rung"):
        one.read_arrays("examples", LADDER, 0)


def test_a_merge_copies_nothing_but_a_stores_own_files(tmp_path: Path) -> None:
    one, other = filled(tmp_path / "one", 1), filled(tmp_path / "other", 2)
    secret = tmp_path / "secret"
    secret.write_text("not for the store")
    (other.path / "rungs" / "evil.sh").write_text("rm -rf")
    (other.path / "examples" / LADDER).symlink_to(tmp_path)
    (other.path / "studies" / f"{'0' * 32}.{'0' * 40}.toml").symlink_to(secret)
    assert merge(one, [other]) == 4
    assert not any("evil" in name or "secret" in name or "toml" in name for name in files(one.path))


def test_rows_that_no_reader_accepts_are_not_merged(tmp_path: Path) -> None:
    one, other = filled(tmp_path / "one", 1), filled(tmp_path / "other", 1)
    table = other.table().where("rung = 0")
    for name, value in (("rung", np.full(1, -1)), ("ladder", np.full(1, "../../x", object))):
        for path in (other.path / "rungs").iterdir():
            path.unlink()
        other.shards.write({column.name: table[column.name] for column in STORED} | {name: value})
        with pytest.raises(InputError):
            merge(one, [Store(other.path)])
    assert len(one.table()) == 4


def test_a_store_is_not_merged_with_itself(tmp_path: Path) -> None:
    store = filled(tmp_path / "one", 1)
    with pytest.raises(InputError, match="must differ"):
        merge(store, [Store(tmp_path / "one" / ".." / "one")])
