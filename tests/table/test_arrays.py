"""Arrays of rungs in a store: kept once, flushed, found again; and outcomes on test examples."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from prunescope.errors import ConflictError, DamageError, InputError
from prunescope.table import ArrayEntry, ArrayKind, Store
from prunescope.table.arrays import StoredOutcomes, packed
from prunescope.table.conflicts import arrays_aside
from tests.builders import files, ladder_identity, rung
from tests.table.test_store import LADDER


def test_arrays_come_back_bit_for_bit(store: Store) -> None:
    arrays = {
        "loss": np.arange(5, dtype=np.float32),
        "correct": np.array([True, False]),
        "mask": np.packbits(np.arange(64) % 3 == 0),
        "one": np.zeros((2, 0, 3)),
    }
    store.write_arrays("examples", LADDER, 7, arrays)
    examples = store.read_arrays(ArrayKind.EXAMPLES, LADDER, 7)
    assert examples.keys() == arrays.keys()
    for name, values in arrays.items():
        assert examples[name].dtype == values.dtype
        assert np.array_equal(examples[name], values)
    assert store.has_arrays("examples", LADDER, 7)
    assert not store.has_arrays("checkpoints", LADDER, 7)


def test_arrays_are_never_overwritten(store: Store) -> None:
    store.write_arrays("examples", LADDER, 0, {"loss": np.zeros(3)})
    store.write_arrays("examples", LADDER, 0, {"loss": np.zeros(3)})
    with pytest.raises(ConflictError, match="never overwritten"):
        store.write_arrays("examples", LADDER, 0, {"loss": np.ones(3)})
    assert store.read_arrays("examples", LADDER, 0)["loss"].tolist() == [0, 0, 0]


def test_damaged_arrays_are_noticed(store: Store) -> None:
    path = store.write_arrays("examples", LADDER, 0, {"loss": np.zeros(3)})
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(DamageError, match="is damaged"):
        store.read_arrays("examples", LADDER, 0)


@pytest.mark.parametrize("name", ["../../../tmp/evil", "", "a" * 32 + "/..", "A" * 32, ".."])
def test_no_identity_leads_out_of_the_store(store: Store, name: str) -> None:
    before = files(store.path.parent)
    for act in (
        lambda: store.write_arrays("examples", name, 0, {"loss": np.zeros(3)}),
        lambda: store.read_arrays("examples", name, 0),
        lambda: store.fail(name, 0, "words"),
        lambda: store.claim(name),
    ):
        with pytest.raises(InputError, match="32 hexadecimal digits"):
            act()
    assert files(store.path.parent) == before


def test_arrays_of_many_rungs_are_kept_at_once_and_make_room_where_no_row_holds_them(store: Store) -> None:
    def entries(value: float) -> list[ArrayEntry]:
        return [
            ArrayEntry(ArrayKind.EXAMPLES, ladder_identity(number), 0, {"loss": np.full(3, value)})
            for number in range(20)
        ]

    store.write_all_arrays(entries(0.0))
    store.write_all_arrays(entries(1.0))
    for number in range(20):
        assert store.read_arrays("examples", ladder_identity(number), 0)["loss"].tolist() == [1, 1, 1]
    store.write([rung(4, 0)])
    store.write_all_arrays(entries(2.0))
    assert len(arrays_aside(store.path)) == 1
    assert store.read_arrays("examples", ladder_identity(4), 0)["loss"].tolist() == [1, 1, 1]
    assert store.read_arrays("examples", ladder_identity(5), 0)["loss"].tolist() == [2, 2, 2]
    assert not list((store.path / "drafts").iterdir())


def test_every_file_and_folder_is_flushed_before_arrays_count_as_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    real = os.fsync

    def noted(handle: int) -> None:
        flushed.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        real(handle)

    monkeypatch.setattr(os, "fsync", noted)
    ladders = [ladder_identity(number) for number in range(3)]
    store.write_all_arrays(
        [
            ArrayEntry(ArrayKind.CHECKPOINTS, ladder, 1, {"mask": np.ones(number)})
            for number, ladder in enumerate(ladders)
        ]
    )
    folder = store.path / "checkpoints"
    assert {str(folder), *(str(folder / ladder) for ladder in ladders)} <= set(flushed)
    assert sum("/drafts/" in path for path in flushed) == 3
    assert len(flushed) == 7


def test_outcomes_on_test_examples_come_back_and_what_is_none_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    right = np.random.default_rng(0).random((2, 13)) < 0.5
    for number, row in enumerate(right):
        store.write_arrays(ArrayKind.TEST_EXAMPLES, LADDER, number, packed(row))
    outcomes = StoredOutcomes(store.path)
    read = outcomes.of([(LADDER, 1), (LADDER, 0)])
    assert read is not None
    assert np.unpackbits(read[0], axis=1, count=read[1]).astype(bool).tolist() == right[::-1].tolist()
    assert outcomes.of([]) is None
    assert outcomes.of([(LADDER, 0), (LADDER, 2)]) is None
    store.write_arrays(ArrayKind.TEST_EXAMPLES, LADDER, 2, packed(right[0, :5]))
    assert outcomes.of([(LADDER, 0), (LADDER, 2)]) is None  # of another number of examples
    short = {"right": np.zeros(1, np.uint8), "examples": np.array([13])}
    store.write_arrays(ArrayKind.TEST_EXAMPLES, LADDER, 3, short)
    with pytest.raises(DamageError, match="0003"):
        outcomes.of([(LADDER, 3)])
