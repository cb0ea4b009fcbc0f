"""The store: rows written once and read checked; and what hostile folders get."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from prunescope.errors import DamageError, InputError, PrunescopeError
from prunescope.table import STORED, Store, read_table
from prunescope.table.durable import file_hash
from prunescope.table.shards import PACK_AT, Listing, Shards
from tests.builders import files, filled, ladder_identity, rung, small_study

LADDER = ladder_identity(0)


def test_rows_come_back_as_they_were_written_in_one_order(tmp_path: Path) -> None:
    rows = [rung(ladder, number) for ladder in range(3) for number in range(4)]
    one, other = Store(tmp_path / "one", create=True), Store(tmp_path / "other", create=True)
    one.write(rows)
    for row in reversed(rows):
        other.write([row])
    assert one.table() == other.table()
    by_key = {(row["ladder"], row["rung"]): row for row in rows}
    for written in one.table().rows():
        wanted = by_key[written["ladder"], written["rung"]]
        assert {name: written[name] for name in wanted} == wanted
    assert read_table(tmp_path / "one") == one.table()


def test_a_condition_applies_after_unpruned_errors_were_taken(tmp_path: Path) -> None:
    table = filled(tmp_path / "store").table("density < 0.6")
    assert set(table["rung"].tolist()) == {3}
    assert not np.isnan(table["unpruned_error"]).any()


def test_queries_read_the_columns_that_they_mention(tmp_path: Path) -> None:
    store = filled(tmp_path / "store")
    answer = store.query("select rung, count(*) as n from rungs group by rung order by rung")
    assert (answer["rung"].tolist(), answer["n"].tolist()) == ([0, 1, 2, 3], [3, 3, 3, 3])
    assert len(store.query("select * from rungs").names) == len(STORED)
    with pytest.raises(InputError, match="Did you mean 'density'"):
        store.query("select desnity from rungs")
    with pytest.raises(InputError, match="disabled by configuration"):
        store.query("select count(*) from rungs, read_csv('/etc/passwd')")


def test_bad_rows_are_refused_whole(store: Store) -> None:
    with pytest.raises(InputError) as error:
        store.write([rung(0, 0), rung(0, 1, test_error=1.5, density=0.0), rung(0, 2, ladder="../../etc")])
    assert "must be in (0, 1]" in str(error.value)
    assert "must be in [0, 1]; found 1.5" in str(error.value)
    assert "must be 32 hexadecimal digits; found '../../etc'" in str(error.value)
    with pytest.raises(InputError, match=r"column 'errorr'.*Did you mean 'test_error'"):
        store.write([rung(0, 0) | {"errorr": 1}])
    short = rung(0, 0)
    del short["epochs"], short["seconds"]
    with pytest.raises(InputError, match="column 'epochs': must be in every row"):
        store.write([short])
    with pytest.raises(InputError, match="must hold one rung or more"):
        store.table()
    assert files(store.path) == {"store.json"}


def test_a_rung_written_twice_with_one_result_stands_once(store: Store) -> None:
    store.write([rung(0, 0, seconds=2.0, started="2026-01-01T10:00:00Z")])
    store.write([rung(0, 0, seconds=1.0, started="2026-01-01T09:00:00Z", device="cuda")])
    assert store.table()["seconds"].tolist() == [1.0]
    assert store.query("select count(*) as n from rungs")["n"].tolist() == [1]
    assert store.pack() == 2
    assert store.table()["seconds"].tolist() == [1.0]


def test_names_of_folders_are_no_columns(tmp_path: Path) -> None:
    """DuckDB takes folders called ``key=value`` for columns unless told not to."""
    store = filled(tmp_path / "rung=5" / "depth=7" / "mine=1")
    before = store.table()
    assert set(before["rung"].tolist()) == {0, 1, 2, 3}
    store.pack()
    assert Store(store.path).table() == before
    before.write(tmp_path / "rung=5" / "table.parquet")
    assert read_table(tmp_path / "rung=5" / "table.parquet") == before


def test_columns_that_may_be_empty_may_be_left_out(store: Store) -> None:
    row = {name: value for name, value in rung(0, 0).items() if value is not None and name != "device"}
    store.write([row])
    assert store.table()["device"].tolist() == [None]


def test_writing_onto_a_damaged_copy_is_not_reported_as_done(store: Store) -> None:
    store.write([rung(0, 0)])
    (path,) = (store.path / "rungs").iterdir()
    path.write_bytes(b"junk")
    with pytest.raises(DamageError):
        Store(store.path).write([rung(0, 0)])


def test_what_keeps_a_store_from_being_packed_does_not_fail_a_write(store: Store) -> None:
    for position in range(PACK_AT):
        store.write([rung(position, 0)])
    path = store.path / "rungs" / store.shards.listing().all[0]
    path.write_bytes(b"junk")
    assert Store(store.path).write([rung(999, 0)]) == 1


def test_anybody_may_read_what_a_store_holds(store: Store) -> None:
    store.write([rung(0, 0)])
    store.write_arrays("examples", LADDER, 0, {"loss": np.zeros(3)})
    store.begin(small_study())
    store.fail(LADDER, 0, "words")
    mask = os.umask(0)
    os.umask(mask)
    for path in store.path.rglob("*"):
        if path.is_file():
            assert path.stat().st_mode & 0o777 == 0o666 & ~mask, path


FORKED = """
import os, sys
from prunescope.table import Store
from tests.builders import rung
store = Store(sys.argv[1])
store.write([rung(0, 0)])
child = os.fork()
if child == 0:
    store.write([rung(0, 1)])
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
store.write([rung(0, 2)])
"""


def test_a_forked_writer_writes_on(store: Store) -> None:
    root = Path(__file__).parent.parent.parent
    done = subprocess.run([sys.executable, "-c", FORKED, str(store.path)], cwd=root, timeout=60, check=False)
    assert done.returncode == 0
    assert store.table()["rung"].tolist() == [0, 1, 2]


def test_many_processes_make_one_store(tmp_path: Path) -> None:
    program = (
        "import sys; from prunescope.table import Store; [Store(f'{sys.argv[1]}/{n}', create=True) for n in range(40)]"
    )
    started = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path)]) for _ in range(4)]
    assert [process.wait() for process in started] == [0, 0, 0, 0]


def test_packing_leaves_one_shard_and_the_same_rows(tmp_path: Path) -> None:
    store = filled(tmp_path / "store")
    before = store.table()
    assert store.pack() == 12
    assert len(store.shards.listing().all) == 1
    assert store.pack() == 0
    assert store.table() == before
    store.write([rung(9, 0)])
    store.write([rung(9, 1)])
    assert store.pack() == 2
    assert len(store.table()) == 14


def test_many_small_shards_pack_themselves(store: Store) -> None:
    for position in range(PACK_AT + 8):
        store.write([rung(position, 0)])
    assert len(store.shards.listing().all) < 40
    assert len(store.table()) == PACK_AT + 8


def test_packing_killed_between_its_steps_doubles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path / "store")
    before = store.table()
    unlink, left = Path.unlink, [5]

    def dies(path: Path, missing_ok: bool = False) -> None:
        if path.parent.name == "rungs":
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", dies)
    with pytest.raises(KeyboardInterrupt):
        store.pack()
    monkeypatch.undo()
    assert len(store.shards.listing().all) == 12 - 5 + 1
    assert store.table() == before
    assert store.query("select count(*) as n from rungs")["n"].tolist() == [12]
    store.pack()
    assert store.table() == before


def test_a_listing_that_falls_between_packing_and_deleting_is_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listing saw neither the packed shard, which came too late, nor its sources, which went too early."""
    store = filled(tmp_path / "store")
    before = store.table()
    real, calls = Shards.listing, []

    def raced(self: Shards) -> Listing:
        listing = real(self)
        calls.append(listing)
        return Listing(frozenset(sorted(listing.small)[:3]), frozenset()) if len(calls) == 1 else listing

    store.pack()
    store.write([rung(0, 0)])
    monkeypatch.setattr(Shards, "listing", raced)
    assert store.table() == before
    assert len(calls) > 2


def test_a_shard_that_vanishes_under_a_reader_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(tmp_path / "store")
    before = store.table()
    fresh, real, calls = Store(store.path), Shards.rows, []

    def packed_meanwhile(
        self: Shards, shards: Sequence[str], names: Sequence[str], sources: bool = False
    ) -> dict[str, Any]:
        calls.append(len(shards))
        if len(calls) == 1:
            Store(store.path).pack()
        return real(self, shards, names, sources)

    monkeypatch.setattr(Shards, "rows", packed_meanwhile)
    assert fresh.table() == before
    assert calls[0] == 12
    assert calls[-1] == 1


def test_damage_is_noticed_and_never_packed(tmp_path: Path) -> None:
    store = filled(tmp_path / "store")
    path = store.path / "rungs" / store.shards.listing().all[3]
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(bytes(content))
    for act in (Store(store.path).table, Store(store.path).pack, Store(store.path).done):
        with pytest.raises(DamageError, match=path.name):
            act()
    path.write_bytes(bytes(content[:100]))
    with pytest.raises(DamageError, match="is damaged"):
        Store(store.path).table()


def test_a_strangers_shard_with_the_right_name_and_wrong_content_is_refused(store: Store) -> None:
    from prunescope.table.durable import publish_bytes

    publish_bytes(store.path, store.path / "rungs", "1", ".parquet", b"PAR1 no table at all PAR1")
    with pytest.raises(DamageError, match="no table of rungs"):
        store.table()


def test_memory_that_runs_out_is_not_called_damage(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise duckdb.OutOfMemoryException(
            "Out of Memory Error: failed to allocate data of size 2.0 GiB (1.8 GiB/2.0 GiB)"
        )

    store.write([rung(0, 0)])
    monkeypatch.setattr("prunescope.table.shards.read_columns", failing)
    with pytest.raises(PrunescopeError, match="Memory ran out") as caught:
        Store(store.path).table()
    assert not isinstance(caught.value, DamageError)


def test_a_shard_that_finds_no_room_is_told_with_the_path_of_the_store(store: Store) -> None:
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, -1))\n"
        "from prunescope.errors import UnwritableError\n"
        "from prunescope.table import Store\n"
        "from tests.builders import rung\n"
        "store = Store(sys.argv[1])\n"
        "try: store.write([rung(0, 0)])\n"
        "except UnwritableError as trouble: print(trouble)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))\n"
        "store.write([rung(1, 0)])"
    )
    done = subprocess.run([sys.executable, "-c", program, str(store.path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert str(store.path) in done.stdout
    assert "Make room there" in done.stdout
    assert not list((store.path / "drafts").iterdir())
    assert len(store.table()) == 1


def test_files_that_are_no_shards_are_no_part_of_a_store(tmp_path: Path) -> None:
    store = filled(tmp_path / "store")
    before = store.table()
    (store.path / "rungs" / "notes.txt").write_text("mine")
    (store.path / "rungs" / ".1.x.parquet.swp").write_text("editor")
    (store.path / "rungs" / f"1.{'0' * 40}.parquet").symlink_to("/etc/passwd")
    assert store.table() == before


def test_rows_of_a_newer_format_are_not_guessed_at(tmp_path: Path) -> None:
    store = filled(tmp_path / "store")
    name = store.shards.listing().all[0]
    (store.path / "rungs" / name).rename(store.path / "rungs" / f"2{name[1:]}")
    with pytest.raises(PrunescopeError, match="another version of prunescope"):
        store.table()


def test_a_folder_with_other_files_is_not_made_a_store(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="a folder with other files"):
        Store(tmp_path, create=True)
    with pytest.raises(InputError, match="nothing"):
        Store(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"without store\.json"):
        Store(tmp_path)


def test_a_store_of_another_format_or_a_damaged_mark_is_told(store: Store) -> None:
    (store.path / "store.json").write_text(json.dumps({"prunescope store": 7}))
    with pytest.raises(PrunescopeError, match="format 7"):
        Store(store.path)
    (store.path / "store.json").write_text("{")
    with pytest.raises(DamageError, match=r"store.json is damaged"):
        Store(store.path)


def test_a_store_whose_folders_lead_elsewhere_is_refused(store: Store, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.rmtree(store.path / "rungs")
    (store.path / "rungs").symlink_to(elsewhere)
    with pytest.raises(InputError, match="a link that leads elsewhere"):
        Store(store.path)


def test_a_store_travels_to_another_process_by_its_path(store: Store) -> None:
    assert pickle.loads(pickle.dumps(store)).path == store.path


def test_a_folder_with_odd_letters_holds_a_store(tmp_path: Path) -> None:
    store = filled(tmp_path / "it's a [store] *?{a,b}")
    assert len(store.table()) == 12
    assert store.pack() == 12
    assert len(store.table()) == 12


@pytest.mark.parametrize("later", ["source", "test_examples"])
def test_a_store_from_before_a_column_was_kept_is_read_packed_and_added_to(tmp_path: Path, later: str) -> None:
    store = Store(tmp_path / "store", create=True)
    for number in range(2):
        store.write([rung(number, 0)])
    for shard in sorted((store.path / "rungs").glob("*.parquet")):
        older = tmp_path / "older.parquet"
        duckdb.execute(f"copy (select * exclude ({later}) from '{shard}') to '{older}' (format parquet)")
        shard.unlink()
        older.rename(shard.with_name(f"1.{file_hash(older)}.parquet"))
    store = Store(store.path)
    shard = next((store.path / "rungs").glob("*.parquet"))
    assert later not in [row[0] for row in duckdb.execute(f"describe select * from '{shard}'").fetchall()]
    assert len(store.table()) == 2
    # What is known of a rung by now and was not kept then is no contradiction.
    store.write([rung(0, 0, **{later: "mine.py" if later == "source" else 500}), rung(2, 0)])
    assert len(store.table()) == 3
    assert store.shards.pack() == 3
    assert len(Store(store.path).table()) == 3
