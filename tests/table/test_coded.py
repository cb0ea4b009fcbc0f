"""Text kept once, groups remembered, columns read in parts: the same rows and numbers as the plain ways give."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunescope.errors import DamageError
from prunescope.table import Store, Table, csv_text, json_text, read_table
from prunescope.table.coded import (
    Columns,
    ColumnValues,
    Texts,
    compact,
    group_codes,
    having,
    joined,
    plain,
    sorted_rows,
)
from prunescope.table.duckdb_engine import connection, read_columns
from tests.builders import filled, rung

WORDS = st.lists(st.sampled_from(["imp", "dense", "ä", "", None, "leave-out"]), min_size=1, max_size=40)
NUMBERS = st.lists(st.sampled_from([0.0, -1.5, 3.25, float("nan"), 1e300]), min_size=1, max_size=40)


def objects(values: list[Any]) -> np.ndarray:
    """Return values as an array of objects."""
    column = np.empty(len(values), object)
    column[:] = values
    return column


def shuffled(words: list[Any], seed: int) -> Texts:
    """Return texts whose different words stand in another order than the rows, one of them in no row."""
    different = [*dict.fromkeys(words), "in no row"]
    order = np.random.default_rng(seed).permutation(len(different))
    places = {different[place]: number for number, place in enumerate(order.tolist())}
    return Texts(
        objects([different[place] for place in order.tolist()]), np.array([places[w] for w in words], np.int32)
    )


@given(WORDS, st.integers(0, 5))
def test_texts_are_the_texts_however_their_words_are_numbered(words: list[Any], seed: int) -> None:
    texts = shuffled(words, seed)
    assert texts.array().tolist() == words
    rows = np.random.default_rng(seed).permutation(len(words))[: len(words) // 2 + 1]
    assert texts.take(rows).array().tolist() == objects(words)[rows].tolist()
    assert plain(joined([texts, Texts.of(words)])).tolist() == words + words
    assert ColumnValues(texts).is_constant == (len(set(words)) == 1)


@given(WORDS, NUMBERS, st.integers(0, 5))
def test_groups_are_the_pairs_that_are_equal_in_the_order_of_their_first_rows(
    words: list[Any], numbers: list[float], seed: int
) -> None:
    count = min(len(words), len(numbers))
    words, values = words[:count], np.array(numbers[:count])
    columns = {"word": objects(words), "value": values}
    codes = group_codes(columns, ["word", "value"])
    pairs = [(word, "nan" if number != number else number) for word, number in zip(words, values.tolist(), strict=True)]
    for one in range(count):
        for other in range(count):
            assert (codes[one] == codes[other]) == (pairs[one] == pairs[other])
    assert sorted(set(codes.tolist())) == list(range(len(set(pairs))))
    coded = Columns({"word": shuffled(words, seed), "value": values})
    assert coded.groups(["word", "value"]).tolist() == codes.tolist()
    assert sorted_rows(coded, ["word", "value"]).tolist() == sorted_rows(columns, ["word", "value"]).tolist()
    rows = np.random.default_rng(seed).permutation(count)[: count // 2 + 1]
    taken = {name: column[rows] for name, column in columns.items()}
    assert coded.take(rows).groups(["word", "value"]).tolist() == group_codes(taken, ["word", "value"]).tolist()
    assert having(coded, "word", ("imp", "ä")).tolist() == [word in ("imp", "ä") for word in words]


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=30))
def test_numbers_are_made_dense_in_their_order(values: list[int]) -> None:
    compacted = compact(np.array(values, np.int64))
    assert compacted.tolist() == [sorted(set(values)).index(value) for value in values]
    small = np.array(values, np.int64) % 50
    assert compact(small).tolist() == np.unique(small, return_inverse=True)[1].tolist()


def test_groups_are_made_once_for_the_same_columns_and_anew_for_others() -> None:
    columns = Columns({"word": Texts.of(["a", "b", "a"]), "value": np.array([1, 1, 2])})
    assert columns.groups(["word"]) is columns.pick(["word"]).groups(["word"])
    changed = columns.changed(word=Texts.of(["a", "a", "a"]))
    assert changed.groups(["word"]).tolist() == [0, 0, 0]
    assert columns.groups(["word"]).tolist() == [0, 1, 0]


def test_values_that_are_equal_and_not_the_same_stay_what_they_are_in_a_table_to_show() -> None:
    table = Table({"mixed": objects([1, True, 1.0, "1"])})
    group_codes(table.columns, ["mixed"])
    assert [type(value) for value in table.take(np.arange(4))["mixed"].tolist()] == [int, bool, float, str]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_columns_read_in_parts_are_those_that_are_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    store = filled(tmp_path / "store", ladders=5)
    store.write([rung(9, number, study=None, device="", family="naïve 'quoted'") for number in range(4)])
    for packed in (False, True):
        if packed:
            assert store.pack() > 1
        at_once = Store(store.path).table()
        query = Store(store.path).query("select ladder, device, seconds from rungs order by ladder, rung")
        with monkeypatch.context() as patched:
            patched.setattr("prunescope.table.duckdb_engine._MANY_ROWS", 0)
            patched.setattr("prunescope.table.duckdb_engine._MANY_TEXTS", share)
            in_parts = Store(store.path).table()
            assert Store(store.path).query("select ladder, device, seconds from rungs order by ladder, rung") == query
        assert in_parts == at_once
        assert in_parts["device"].tolist().count(None) == 4
        for condition in ("family = 'lenet' and density < 0.7", "study is null", "device is not null or rung = 1"):
            assert in_parts.where(condition) == at_once.where(condition)
            assert list(in_parts.where(condition).rows()) == [
                row for row, wanted in zip(at_once.rows(), _by_hand(at_once, condition), strict=True) if wanted
            ]


def _by_hand(table: Table, condition: str) -> list[bool]:
    tests: dict[str, Callable[[dict[str, Any]], bool]] = {
        "family = 'lenet' and density < 0.7": lambda row: row["family"] == "lenet" and row["density"] < 0.7,
        "study is null": lambda row: row["study"] is None,
        "device is not null or rung = 1": lambda row: row["device"] is not None or row["rung"] == 1,
    }
    return [tests[condition](row) for row in table.rows()]


def test_large_parquet_files_are_read_as_small_ones_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.parquet"
    table = read_table({
        "density": [1.0, 0.5, 0.25], "error": [0.1, 0.2, 0.3], "text": ["b", None, "a"], "code": ["x", "x", "y"],
    })  # fmt: skip
    table.write(path)
    small = read_table(path)
    monkeypatch.setattr("prunescope.table.duckdb_engine._MANY_ROWS", 0)
    monkeypatch.setattr("prunescope.table.duckdb_engine._MANY_TEXTS", 1.0)
    assert read_table(path) == small == table


def test_a_column_without_any_text_is_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prunescope.table.duckdb_engine._MANY_ROWS", 0)
    monkeypatch.setattr("prunescope.table.duckdb_engine._MANY_TEXTS", 1.0)
    with connection() as opened:
        columns = read_columns(opened, {"a": "a::varchar"}, "(select null::varchar as a from range(3))")
    assert plain(columns["a"]).tolist() == [None, None, None]


def test_packing_keeps_every_row_once_and_bounded_memory_changes_none(tmp_path: Path) -> None:
    store = filled(tmp_path / "store", ladders=4)
    copy = rung(0, 0, started="2025-01-01T00:00:00Z", device="another", seconds=float("nan"))
    store.write([copy])  # the same result, measured elsewhere and earlier
    before = Store(store.path).table()
    assert store.pack() > 1
    after = Store(store.path).table()
    assert after == before
    assert after.where("device = 'another'")["started"].tolist() == ["2025-01-01T00:00:00Z"]
    assert np.isnan(after.where("device = 'another'")["seconds"]).all()
    assert list((store.path / "drafts").iterdir()) == []


def test_packing_refuses_damage_and_leaves_its_sources(tmp_path: Path) -> None:
    other = filled(tmp_path / "other", ladders=1)
    shard = other.path / "rungs" / other.shards.listing().all[0]
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DamageError):
        Store(other.path).pack()
    assert list((other.path / "drafts").iterdir()) == []


def test_text_written_in_parts_is_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table({
        "n": np.array([0.1, -0.0, 0.0, np.nan, np.inf]),
        "t": objects(["a,b", None, 'say "so"', "line\nbreak", "x"]),
        "i": np.arange(5),
        "b": np.array([True, False, True, True, False]),
    })  # fmt: skip
    whole = csv_text(table), json_text(table), list(table.rows())
    monkeypatch.setattr("prunescope.table.table._CHUNK", 2)
    monkeypatch.setattr("prunescope.table.table._AT_ONCE", 2)
    assert (csv_text(table), json_text(table)) == whole[:2]
    rows = list(csv.reader(io.StringIO(whole[0])))
    assert [row[0] for row in rows] == ["n", "0.1", "-0.0", "0.0", "", "inf"]
    assert [row[1] for row in rows] == ["t", "a,b", "", 'say "so"', "line\nbreak", "x"]
    plain_rows = [{**row, "n": None if row["n"] == np.inf else row["n"]} for row in whole[2]]
    assert json.loads(whole[1]) == plain_rows
    assert whole[1] == json.dumps(plain_rows, ensure_ascii=False, indent=1)
    assert json_text(table.take(np.arange(0))) == "[]"


def test_a_table_goes_into_a_page_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    from prunescope.report.page.content import packed

    table = read_table({"density": np.linspace(0.1, 1, 500), "error": np.linspace(0.9, 0.1, 500)})
    whole = packed(table)
    assert whole is not None
    assert gzip.decompress(base64.b64decode(whole)).decode() == csv_text(table)
    assert base64.b64decode(whole) == gzip.compress(csv_text(table).encode(), 9, mtime=0)
    monkeypatch.setattr("prunescope.report.page.content.MOST_TABLE", len(whole))
    assert packed(table) == whole
    monkeypatch.setattr("prunescope.report.page.content.MOST_TABLE", len(whole) - 8)
    assert packed(table) is None


def test_csv_is_the_same_in_parts_of_any_length_and_from_texts_of_either_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["plain", None, 'a "quote"', "a, comma", "two\nlines", "plain", "\r"] * 3
    numbers = [0.0, -0.0, 0.1 + 0.2, np.nan, 1e-300, 5e22, np.inf] * 3
    arrays = Table({"text": objects(texts), "number": np.array(numbers), "flag": np.array([True, False, True] * 7)})
    coded = Table(Columns.of(arrays.columns).changed(text=Texts.of(texts)))
    with io.StringIO(newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["text", "number", "flag"])
        for text, number, flag in zip(texts, numbers, [True, False, True] * 7, strict=True):
            writer.writerow([text, "" if number != number else repr(number), str(flag).lower()])
        expected = stream.getvalue().replace("\n\r,", '\n"\r",')  # Python 3.11 leaves a lone carriage return bare
    for rows, many in ((50_000, 1_000), (4, 1), (1, 1)):
        monkeypatch.setattr("prunescope.table.table._CHUNK", rows)
        monkeypatch.setattr("prunescope.table.table._MANY", many)
        assert csv_text(coded) == expected
        assert csv_text(arrays) == expected


def test_parquet_is_the_same_from_texts_of_either_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["plain", None, "o'clock", "ä", "plain"] * 8
    arrays = Table({"text": objects(texts), "none": objects([None] * 40), "number": np.arange(40.0)})
    coded = Table(Columns.of(arrays.columns).changed(text=Texts.of(texts), none=Texts.of([None] * 40)))
    arrays.write(tmp_path / "arrays.parquet")
    monkeypatch.setattr("prunescope.table.duckdb_engine._MANY_ROWS", 10)
    coded.write(tmp_path / "coded.parquet")
    with connection() as opened:
        ours, theirs = (
            opened.execute(f"select * from '{tmp_path}/{name}.parquet'").fetchall() for name in ("coded", "arrays")
        )
        kinds = [
            opened.execute(f"describe select * from '{tmp_path}/{name}.parquet'").fetchall()
            for name in ("coded", "arrays")
        ]
    assert ours == theirs
    assert [row[0] for row in ours] == texts
    assert kinds[0] == kinds[1]
