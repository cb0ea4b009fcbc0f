"""Tables to files and back: CSV, Parquet, JSON; and Parquet files that are damaged."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunescope.errors import InputError, PrunescopeError
from prunescope.table import BY_NAME, Kind, Table, findings, read_table, write_table
from tests.builders import rung, within_limits

letters = st.characters(exclude_categories=["Cs"])
texts = st.text(letters, min_size=1, max_size=8)
shares = st.floats(min_value=0, max_value=1)


def values_of(name: str) -> st.SearchStrategy[Any]:
    column = BY_NAME[name]
    if column.kind is Kind.TEXT:
        return st.none() | texts if column.optional else texts
    if column.kind is Kind.FLAG:
        return st.booleans()
    if column.kind is Kind.INTEGER:
        return st.integers(int(column.range.low or 0), 2**53)
    bounds = column.range
    numbers = st.floats(
        bounds.low, bounds.high, exclude_min=bounds.low_open, exclude_max=bounds.high_open, allow_nan=False,
        allow_infinity=None if column.unit == "nats" else False,
    )  # fmt: skip
    return st.none() | numbers if column.optional else numbers


LONE = sorted(set(BY_NAME) - {"ladder", "kept", "parameters", "replicate", "density", "test_error"})


@st.composite
def tables(draw: st.DrawFn) -> Table:
    count = draw(st.integers(1, 6))
    columns: dict[str, list[Any]] = {
        "replicate": list(range(count)),
        "density": draw(st.lists(values_of("density"), min_size=count, max_size=count)),
        "error": draw(st.lists(shares, min_size=count, max_size=count)),
    }
    for name in draw(st.lists(st.sampled_from(LONE), max_size=6, unique=True)):
        columns[name] = draw(st.lists(values_of(name), min_size=count, max_size=count))
    if draw(st.booleans()):
        # A text column of one's own; one that holds only numbers could not be told from numbers in CSV.
        columns["my own"] = ["not a number", *draw(st.lists(st.none() | texts, min_size=count - 1, max_size=count - 1))]
    if draw(st.booleans()):
        columns["rate"] = draw(st.lists(st.floats(allow_nan=False), min_size=count, max_size=count))
    return read_table(columns)


@given(tables(), st.sampled_from([".csv", ".parquet"]))
def test_any_table_survives_files(tmp_path_factory: pytest.TempPathFactory, table: Table, suffix: str) -> None:
    path = tmp_path_factory.mktemp("formats") / f"table{suffix}"
    table.write(path)
    assert read_table(path) == table


@given(tables())
def test_any_table_is_json(table: Table) -> None:
    from prunescope.table import json_text

    rows = json.loads(json_text(table))
    assert len(rows) == len(table)
    assert [row["replicate"] for row in rows] == table["replicate"].tolist()


def small() -> Table:
    return read_table({"density": [1.0, 0.5], "error": [0.1, 0.2], "method": ["a", None]})


def test_the_ending_of_a_file_says_its_format(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must end in .csv, .parquet, .json; found '.xls'"):
        write_table(small(), tmp_path / "table.xls")
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(InputError, match="must not be a folder"):
        write_table(small(), tmp_path / "x.csv")
    with pytest.raises(PrunescopeError, match="cannot be written: No such file or directory"):
        write_table(small(), tmp_path / "nowhere" / "x.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]


def test_a_file_is_replaced_only_when_the_new_one_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.csv"
    small().write(path)
    before = path.read_text()

    def fail(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("prunescope.table.table.csv_parts", fail)
    with pytest.raises(PrunescopeError, match="No space left"):
        small().write(path)
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


def test_parquet_of_others_is_read_whatever_its_types(tmp_path: Path) -> None:
    import duckdb

    path = tmp_path / "it's [odd] *.parquet"
    query = (
        "copy (select 1.0::decimal(4, 2) as density, 0.25::float as error, 3::utinyint as depth, 5::hugeint as big, "
        "date '2026-01-01' as day, [1, 2] as list, null::varchar as nothing, '007' as code, true as flag) "
        f"to '{tmp_path}/plain.parquet' (format parquet)"
    )
    with duckdb.connect() as connection:
        connection.execute(query)
    (tmp_path / "plain.parquet").rename(path)
    rows = read_table(path)
    assert rows["depth"].tolist() == [3]
    assert rows["error"].tolist() == [0.25]
    assert rows["code"].tolist() == ["007"]
    assert rows["day"].tolist() == ["2026-01-01"]
    assert rows["list"].tolist() == ["[1, 2]"]
    assert rows["flag"].tolist() == [True]
    assert rows["nothing"].tolist() == [None]


FUZZ = """
import sys
from pathlib import Path
from prunescope.errors import PrunescopeError
from prunescope.table import read_table
folder = Path(sys.argv[1])
for path in sorted(folder.iterdir()):
    try:
        read_table(path)
        print(path.name, "read")
    except PrunescopeError as trouble:
        print(path.name, "refused", str(trouble).count("\\n"))
"""


@pytest.mark.stress
def test_truncated_and_flipped_parquet_is_refused_or_read_and_never_a_traceback(tmp_path: Path) -> None:
    rows = [rung(0, number) for number in range(20)]
    read_table({name: [row[name] for row in rows] for name in rows[0]}).write(tmp_path / "whole.parquet")
    whole, chance = (tmp_path / "whole.parquet").read_bytes(), random.Random(5)
    folder = tmp_path / "broken"
    folder.mkdir()
    for number in range(150):
        broken = bytearray(whole)
        if number % 3 == 0:
            del broken[chance.randrange(len(whole)) :]
        else:
            for _ in range(chance.choice([1, 1, 4, 64])):
                # The last third of a small file is its footer, where flips hurt most.
                low = 0 if number % 3 == 1 else len(whole) * 2 // 3
                broken[chance.randrange(low, len(whole))] ^= 1 << chance.randrange(8)
        (folder / f"{number:03d}.parquet").write_bytes(bytes(broken))
    process = subprocess.run([sys.executable, "-c", FUZZ, str(folder)], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout[-300:] + process.stderr[-3000:]
    lines = process.stdout.splitlines()
    assert len(lines) == 150
    assert sum("refused" in line for line in lines) > 50


def test_conditions_and_queries_are_sql_over_the_columns() -> None:
    table = read_table({"density": [1.0, 0.5, 0.25], "error": [0.1, 0.2, 0.3], "Method of mine": ["a", None, "b"]})
    assert table.where("error > 0.15 and density < 0.5")["error"].tolist() == [0.3]
    assert table.where('"Method of mine" is null')["density"].tolist() == [0.5]
    assert len(table.where("1 = 0")) == 0
    answer = table.query("select count(*) as n, max(error) as worst from rungs where density < 1")
    assert (answer["n"].tolist(), answer["worst"].tolist()) == ([2], [0.3])


@pytest.mark.parametrize(
    ("condition", "words_expected"),
    [
        ("desnity < 1", "Did you mean 'density'"),
        ("density <", 'must be SQL such as "depth = 20'),
        ("", "must not be empty"),
        ("density < 0.1 or true) and (1 = 1", "must be SQL"),
        ("density > 0 order by density", "must be SQL"),
        ("density < 1; drop table rungs", "must be SQL"),
        ("density < (select max(column0) from read_csv('/etc/passwd'))", "disabled by configuration"),
        ("error = 'x'", "must be SQL"),
        ("(select 1 from (copy (select 1) to 'evil.csv'))", "must be SQL"),
    ],
)
def test_a_condition_that_cannot_be_is_told_and_reaches_no_file(condition: str, words_expected: str) -> None:
    with pytest.raises(InputError) as raised:
        small().where(condition)
    assert words_expected in str(raised.value)
    assert not Path("evil.csv").exists()


def test_missing_numbers_are_null_in_conditions() -> None:
    table = read_table({"density": [1.0, 0.5], "error": [0.1, 0.2], "train_loss": [None, 0.5]})
    assert table.where("train_loss is null")["density"].tolist() == [1.0]
    assert table.where("train_loss > 0")["density"].tolist() == [0.5]


def test_a_table_shows_itself_in_a_notebook_with_strangers_text_escaped() -> None:
    page = read_table({"density": [1.0], "error": [0.1], "method": ["<script>alert(1)</script>"]})._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_rows_are_plain_values() -> None:
    row = next(small().rows())
    assert row == {"replicate": 0, "density": 1.0, "test_error": 0.1, "unpruned_error": 0.1, "method": "a"}
    assert np.isnan(read_table({"density": [0.5], "error": [0.1]})["unpruned_error"][0])


@given(tables())
def test_large_csv_files_are_read_as_small_ones_are(tmp_path_factory: pytest.TempPathFactory, table: Table) -> None:
    from prunescope.table import csvfile
    from prunescope.table.columns import conform
    from prunescope.table.findings import Findings

    path = tmp_path_factory.mktemp("bulk") / "table.csv"
    table.write(path)
    bulk = csvfile.read_large_csv(path)
    if bulk is not None:
        assert conform(bulk, Findings("bulk")) == table


@pytest.mark.parametrize(
    "text",
    [
        "density,error\n1,0.1\n\n0.5,0.2\n",
        "density,error,note\r\n1,0.1,a b\r\n0.5,0.2,c\r\n",
        "Density,Test Error,n\n1,0.1,007\n0.5,1e-1,8\n",
        "density,error,train_loss\n1,.1,\n0.5,0.2,1.5\n",
    ],
)
def test_large_csv_files_take_the_short_way_where_they_are_sound(tmp_path: Path, text: str) -> None:
    from prunescope.table import csvfile
    from prunescope.table.columns import conform
    from prunescope.table.findings import Findings

    path = tmp_path / "table.csv"
    path.write_text(text, newline="")
    bulk = csvfile.read_large_csv(path)
    assert bulk is not None
    assert conform(bulk, Findings("bulk")) == read_table(path)


@pytest.mark.parametrize("broken", ["1,x,3", "1,2", "1,2,3,4", '1,"2,3', "1,1_0,3", "1,,3"])
def test_a_fault_in_a_large_csv_file_is_told_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    path = tmp_path / "table.csv"
    path.write_text("density,error,n\n" + "1,0.1,2\n" * 1 + "0.5,0.1,2\n" + broken + "\n")
    messages = []
    for large in (0, 10**9):
        monkeypatch.setattr("prunescope.table.reading.LARGE", large)
        with pytest.raises(InputError) as error:
            read_table(path)
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    assert "line 4" in messages[0] or "quote" in messages[0]


@pytest.mark.parametrize("sql", ["", "drop table rungs", "update rungs set density = 3", "select 1; select 2", "selec"])
def test_a_query_is_one_select(sql: str) -> None:
    with pytest.raises(InputError, match="must be one SELECT"):
        small().query(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "from rungs",
        "describe rungs",
        "select rungs from rungs",
        "select r.* from rungs r",
        "select columns('.*') from rungs",
        "select r from rungs r where density > 0",
        "with x as (from rungs where density > 0) from x",
        "(from rungs where density > 0)",
        "-- words\nfrom rungs where density > 0",
    ],
)
def test_a_query_that_names_no_columns_sees_all_of_them(sql: str) -> None:
    answer = small().query(sql)
    assert "method" in str(answer.columns)


def test_what_a_query_answers_is_a_table_to_write(tmp_path: Path) -> None:
    answer = small().query("select density as d, error as error from rungs order by density")
    assert answer["error"].tolist() == [0.2, 0.1]
    answer.write(tmp_path / "answer.csv")
    assert (tmp_path / "answer.csv").read_text() == "d,error\n0.5,0.2\n1.0,0.1\n"


@pytest.mark.parametrize("text", ["a\rc", "\n", 'say "x"', ",", " x ", "\r", "a\r\nb"])
def test_any_text_survives_csv(tmp_path: Path, text: str) -> None:
    table = read_table({"density": [1.0, 0.5], "error": [0.1, 0.2], "mine": [text, "b"], f"column {text}!": ["c", "d"]})
    table.write(tmp_path / "table.csv")
    assert read_table(tmp_path / "table.csv") == table


def test_a_table_travels_between_processes() -> None:
    import pickle

    assert pickle.loads(pickle.dumps(small())) == small()


def test_a_table_is_a_mapping_of_its_columns_and_says_how_to_get_rows() -> None:
    table = small()
    assert list(table) == list(dict(table)) == list(table.names)
    assert table.where(table["density"] < 1)["density"].tolist() == [0.5]
    assert table.select(["ERROR", "density"]).names == ("test_error", "density")
    with pytest.raises(TypeError, match="take"):
        table[0]  # type: ignore[index]


def test_what_is_left_out_of_a_query_changes_no_answer() -> None:
    table = read_table({"density": [1, 0.5, 0.5], "error": [0.1, 0.2, 0.3]})
    answer = table.query("select count(distinct r) as n from rungs r where density > 0")
    assert answer["n"].tolist() == [3]
    nested = table.query(
        "select max(e) as e from (select avg(error) as e from rungs where density < 1 group by density)"
    )
    assert nested["e"].tolist() == [0.25]


def test_all_columns_of_an_answer_can_be_read_again(tmp_path: Path) -> None:
    answer = small().query("select * from rungs where error < 0.5")
    answer.write(tmp_path / "again.csv")
    assert read_table(tmp_path / "again.csv") == small()


def test_values_of_any_sql_type_are_shown_and_written(tmp_path: Path) -> None:
    answer = small().query("select date '2020-01-01' as day, list(density) as all, true as yes from rungs")
    answer.write(tmp_path / "odd.json")
    (row,) = json.loads((tmp_path / "odd.json").read_text())
    assert row["day"].startswith("2020-01-01")
    assert row["yes"] is True
    assert "2020-01-01" in str(answer)


def wide(path: Path, columns: int) -> Path:
    """Write three rows of so many columns."""
    names = ["density", "error", *(f"measure_{number}" for number in range(columns - 2))]
    rows = [[f"{0.8**row}", "0.1", *(str(row * number % 7) for number in range(columns - 2))] for row in range(3)]
    path.write_text("\n".join(map(",".join, [names, *rows])) + "\n")
    return path


def parquet(path: Path, **columns: Any) -> Path:
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


def test_ten_thousand_columns_are_read_in_a_time_that_grows_with_their_number(tmp_path: Path) -> None:
    answer = within_limits("-m", "prunescope", "table", wide(tmp_path / "wide.csv", 10_000), seconds=20)
    assert answer.returncode == 0, answer.stderr
    assert "measure_9997" in answer.stdout


def test_more_columns_than_anybody_reads_are_refused(tmp_path: Path) -> None:
    columns = {f"measure_{number}": [1.0] for number in range(20_000)}
    for path in (wide(tmp_path / "wide.csv", 20_000), parquet(tmp_path / "wide.parquet", **columns)):
        answer = within_limits("-m", "prunescope", "table", path, seconds=20)
        assert answer.returncode == 2
        assert "the columns: must be at most 10,000; found 20,000" in answer.stderr


def test_rows_and_texts_of_parquet_are_counted_before_they_are_read(tmp_path: Path) -> None:
    rows = 10_000_001
    many = parquet(tmp_path / "many.parquet", density=np.ones(rows, np.float32), error=np.ones(rows, np.float32))
    text = pyarrow.array(["x" * 120_000])
    texts = pyarrow.DictionaryArray.from_arrays(np.zeros(10_000, np.int32), text)
    ones = np.ones(10_000)
    long = parquet(tmp_path / "long.parquet", density=ones, error=ones, note=texts)
    longer = parquet(tmp_path / "longer.parquet", density=[1.0], error=[0.1], note=["x" * 131_073])
    for path, words in (
        (many, "the rows: must be at most 10,000,000; found 10,000,001"),
        (long, "the texts: must be at most 1,000,000,000 bytes in all; found 1,200,000,000"),
        (longer, "column 'note': must hold texts of at most 131,072 bytes; found 131,073"),
    ):
        assert path.stat().st_size < 1_000_000
        with pytest.raises(InputError) as raised:
            read_table(path)
        assert words in str(raised.value)


def test_short_rows_below_a_wide_header_fill_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "MOST_VALUES", 1_000_000)
    path = wide(tmp_path / "wide.csv", 5_000)
    with path.open("a") as file:
        file.write("1\n" * 500)
    with pytest.raises(InputError, match=r"rows times columns: must be at most 1,000,000; found \d,"):
        read_table(path)


@pytest.mark.parametrize("before", ["", "sep=;\n"])
def test_a_text_that_is_too_long_is_told_with_its_line_and_column(tmp_path: Path, before: str) -> None:
    mark = ";" if before else ","
    rows = ["density,note,error", '1,"a\nb, c",0.1', f'0.8,"d,""e""",{"x" * 200_000}']
    (tmp_path / "a.csv").write_text(before + "\n".join(rows).replace(",", mark))
    with pytest.raises(InputError) as raised:
        read_table(tmp_path / "a.csv")
    (fault,) = raised.value.faults
    assert fault.place == f"column 'error', line {4 + bool(before)}"
    (tmp_path / "a.csv").write_text(f"density,error,{'x' * 200_000}\n1,0.1,2\n")
    with pytest.raises(InputError, match="column 3, line 1: must hold texts of at most 131,072 letters"):
        read_table(tmp_path / "a.csv")


def test_a_number_of_thousands_of_digits_is_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"density,error,note\n1,0.1,{'9' * 5_000}\n0.8,0.1,0007\n")
    assert read_table(tmp_path / "a.csv")["note"].tolist() == ["9" * 5_000, "0007"]


def test_columns_are_selected_by_any_spelling(tmp_path: Path) -> None:
    table = read_table(wide(tmp_path / "wide.csv", 5))
    assert table.select(["MEASURE_1", "Error"]).names == ("measure_1", "test_error")
