"""People's own tables: what the columns mean, and every fault of a file told at once."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from prunescope.errors import Fault, InputError
from prunescope.table import Table, read_table
from tests.builders import rung


def table(text: str, tmp_path: Path, name: str = "file.csv") -> Table:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_table(path)


def faults(text: str, tmp_path: Path, name: str = "file.csv") -> list[Fault]:
    with pytest.raises(InputError) as error:
        table(text, tmp_path, name)
    return list(error.value.faults)


def words(text: str, tmp_path: Path, name: str = "file.csv") -> str:
    return "\n".join(map(str, faults(text, tmp_path, name)))


def test_two_columns_are_enough(tmp_path: Path) -> None:
    rows = table("density,error\n1,0.1\n0.5,0.2\n", tmp_path)
    assert rows["error"].tolist() == rows["test_error"].tolist() == [0.1, 0.2]
    assert rows["density"].tolist() == [1.0, 0.5]
    assert rows["unpruned_error"].tolist() == [0.1, 0.1]


def test_names_of_columns_may_be_spelled_with_capitals_spaces_and_dashes(tmp_path: Path) -> None:
    rows = table("\ufeff Density ,Test Error,Label-Noise\n1,0.1,0\n", tmp_path)
    assert rows.names[1:4] == ("label_noise", "density", "test_error")


def test_names_of_columns_may_have_spaces_and_underscores_anywhere(tmp_path: Path) -> None:
    rows = table("Data Set,Label noise,DENSITY,TestError,unpruned error\nmnist,0.1,1,0.1,0.2\n", tmp_path)
    assert set(rows.names) == {"replicate", "dataset", "label_noise", "density", "test_error", "unpruned_error"}


@pytest.mark.parametrize("first", ["sep=,", "sep=;", '"sep=;"', "\ufeffsep=\t", "sep=;,,"])
def test_a_first_line_may_name_the_separator(first: str, tmp_path: Path) -> None:
    separator = first.strip('"\ufeff,')[4:] or ","
    lines = [first, "density,error", "1,0.1", "", "0.5,0.2"]
    text = "\r\n".join([first, *(line.replace(",", separator) for line in lines[1:])])
    assert table(text, tmp_path)["error"].tolist() == [0.1, 0.2]
    assert "column 'error', line 5: must be a number" in words(text.replace("0.2", "x"), tmp_path)
    assert "line 5: must have 2 values, as the header has" in words(f"{text}{separator}3", tmp_path)
    assert "an empty file" in words(first, tmp_path)


def test_the_unpruned_error_is_the_mean_at_density_1_of_the_configuration_whatever_the_treatment(
    tmp_path: Path,
) -> None:
    rows = table(
        "depth,retraining,replicate,density,error\n"
        "20,none,0,1,0.10\n20,other,1,1,0.20\n20,none,0,0.5,0.3\n26,none,0,1,0.07\n26,none,0,0.5,0.2\n50,none,0,0.5,0.4\n",
        tmp_path,
    )
    unpruned = rows["unpruned_error"]
    assert unpruned[:5].tolist() == pytest.approx([0.15, 0.15, 0.15, 0.07, 0.07])
    assert np.isnan(unpruned[5])


def test_an_unpruned_error_that_is_given_stays(tmp_path: Path) -> None:
    rows = table("density,error,unpruned_error\n1,0.1,0.11\n0.5,0.2,\n", tmp_path)
    assert rows["unpruned_error"].tolist() == [0.11, 0.1]


def test_training_longer_or_on_fewer_examples_is_no_unpruned_network() -> None:
    rows = [
        rung(0, 0, test_error=0.1),
        rung(1, 0, treatment="extended", test_error=0.2, density=1.0, width=0.1, replicate=1),
        rung(1, 1, treatment="extended", test_error=0.9, density=1.0, kept=10_000, parameters=10_100, width=0.1),
        rung(2, 0, treatment="leave-out", test_error=0.9, width=0.1, replicate=2),
        rung(0, 1, test_error=0.3),
    ]
    rows_read = read_table({name: [row[name] for row in rows] for name in rows[0]})
    assert rows_read["unpruned_error"].tolist() == pytest.approx([0.15] * 5)


def test_repetitions_are_numbered_where_the_file_does_not(tmp_path: Path) -> None:
    rows = table("density,error\n1,0.1\n0.5,0.2\n1,0.12\n0.5,0.22\n1,0.11\n", tmp_path)
    assert rows["replicate"].tolist() == [0, 0, 1, 1, 2]
    assert "3 rows" in rows.notes[0]


def test_other_columns_are_kept_and_typed(tmp_path: Path) -> None:
    rows = table("density,error,method,epochs_more,rate,on\n1,0.1,a,10,0.5,true\n0.5,0.1,,20,,false\n", tmp_path)
    assert rows["method"].tolist() == ["a", None]
    assert rows["epochs_more"].dtype == np.int64
    assert np.isnan(rows["rate"][1])
    assert rows["on"].tolist() == [True, False]


def test_every_fault_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    listed_faults = faults(
        "depth,density,eror,width,examples\n"
        "20,1.0,0.1,1,50000\n"
        "20.5,0.0,0.2,-1,50000\n"
        "20,1.5,0.2,1,\n"
        "twenty,0.5,0.2,1,50000\n"
        "20,0.5,0.2\n",
        tmp_path,
    )
    assert [str(fault) for fault in listed_faults] == [
        "line 6: must have 5 values, as the header has; found 3",
        "column 'error': must be there. Did you mean 'eror'?",
        "column 'depth', line 5: must be a number; found 'twenty'",
        "column 'depth', line 3: must be a whole number; found 20.5",
        "column 'width', line 6: must have a value in every row. Leave the column out where nothing is known.",
        "column 'width', line 3: must be above 0; found -1.0",
        "column 'examples', lines 4, 6: must have a value in every row. Leave the column out where nothing is known.",
        "column 'density', lines 3, 4: must be in (0, 1]; found 0.0, 1.5",
    ]


@pytest.mark.parametrize(
    ("text", "words_expected"),
    [
        ("", "an empty file"),
        ("\n\n", "an empty line"),
        ("density,error\n", "the rows: must be one or more"),
        ("1,0.1\n0.5,0.2\n", "line 1: must name the columns; found '1,0.1'"),
        ("density;error\n1;0.1\n", "must separate columns by commas; found semicolons"),
        ("density\terror\n1\t0.1\n", "must separate columns by commas; found tabs"),
        ("density error\n1 0.1\n", "must separate columns by commas; found white space"),
        ("density;error\n0,8;0,1\n", "Write decimals with a point, not a comma."),
        (
            "density,error\n1,8.7\n0.5,12.1\n",
            "column 'error': must be a fraction in [0, 1]; found 8.7 to 12.1. It looks like percent",
        ),
        ("density,error\n100,0.1\n80,0.1\n0.5,0.9\n", "column 'density': must be a fraction in (0, 1]"),
        ("density,error\n1,8.7%\n", "Write 0.5 for 50 %, or add --set 'test_error = error'."),
        ("density,Test Error\n1,8.7 ± 0.1\n", "what stands before ±, add --set 'test_error = \"Test Error\"'."),
        ('density,error,examples\n1,0.1,"50,000"\n', "without commas between thousands"),
        (
            "density,error\n1,\n",
            "column 'error', line 2: must have a value in every row. Fill it in, delete the rows",
        ),
        ("density,error\n1,1.2\n0.5,0.1\n", "column 'error', line 2: must be in [0, 1]; found 1.2"),
        ("density,error\n1,nan\n", "must have a value in every row"),
        ("density,error\n1,inf\n", "must be in [0, 1]"),
        ("density,accuracy\n1,0.9\n", "There is 'accuracy': error is 1 - accuracy"),
        ("density,error,error\n1,0.1,0.1\n", "column 'error': must be there once; found twice"),
        ("density,error,test_error\n1,0.1,0.1\n", "`error` and `test_error` are one column"),
        ("density,error,\n1,0.1,x\n", ""),
        ("density,error,,b\n1,0.1,x,y\n", "column 3: must have a name in line 1"),
        ("density,error,A,a\n1,0.1,x,y\n", "by more than capital letters"),
        ('density,error\n1,"0.1\n', "Look for a quote that is not closed"),
        ("replicate,density,error\n0,0.5,0.2\n1,0.5,0.3\n0,0.5,0.4\n", "line 4: must not repeat a rung"),
        ("replicate,density,error\n0,0.5,0.2\n0,0.5,0.4\n", "line 2. If they are repetitions, number `replicate` anew"),
        ("replicate,density,error\n0,0.5,0.2\n0,0.5,0.2\n", "Every value is the same: delete it, if one network was"),
        ("density,error\n0.5,0.2\n0.5,0.2\n0.5,0.2\n", "Every value is the same: delete them, if one network was"),
        ("ladder,rung,density,error\na,1,0.5,0.2\na,1,0.5,0.2\n", "Every value is the same: delete it"),
        ("density,error\n0.5,0.2\n0.5,0.2\n", "If both were measured, add a column `replicate`"),
        ("depth,density,error\n99999999999999999999,1,0.1\n", "must be at most 2^53"),
        ("kept,prunable,density,error\n5,10,0.6,0.1\n", "must be kept / prunable"),
        ("kept,parameters,density,error\n5,3,0.6,0.1\n", "must be at least `kept`"),
        ("connected,density,error\nmaybe,0.6,0.1\n", "must be true or false; found 'maybe'"),
    ],
)
def test_a_fault_is_told_in_words_that_mend_it(text: str, words_expected: str, tmp_path: Path) -> None:
    if words_expected:
        assert words_expected in words(text, tmp_path)
    else:
        assert words(text, tmp_path)


def test_files_in_other_encodings_and_formats_are_named(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    for content, fault in [
        ("density,error\n1,0.1\n".encode("utf-16"), "UTF-16"),
        ("density,error,name\n1,0.1,é\n".encode("latin-1"), "must be UTF-8 text; found byte 0xe9"),
        (b"PK\x03\x04rest", "a spreadsheet"),
        (b"PAR1" + b"\0" * 50, "must be whole Parquet"),
    ]:
        path.write_bytes(content)
        with pytest.raises(InputError) as raised:
            read_table(path)
        assert fault in str(raised.value)


def test_tabs_are_right_in_a_tsv_file(tmp_path: Path) -> None:
    assert len(table("density\terror\n1\t0.1\n", tmp_path, "file.tsv")) == 1


def test_lines_are_counted_as_an_editor_counts_them(tmp_path: Path) -> None:
    text = 'density,error,note\r\n1,0.1,"two\r\nlines"\r\n\r\n0.5,x,none\r\n'
    assert words(text, tmp_path).startswith("column 'error', line 5: must be a number; found 'x'")


def test_row_numbers_that_pandas_adds_are_no_column(tmp_path: Path) -> None:
    assert table(",density,error\n0,1,0.1\n1,0.5,0.2\n", tmp_path).names == (
        "replicate", "density", "test_error", "unpruned_error",
    )  # fmt: skip


def test_a_path_that_is_no_table_names_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("density,error\n1,0.1\n")
    with pytest.raises(InputError, match=r"Did you mean 'results.csv'"):
        read_table(tmp_path / "result.csv")
    with pytest.raises(InputError, match="a folder that is no store"):
        read_table(tmp_path)
    with pytest.raises(InputError, match="nothing there"):
        read_table("a\0b")


def test_a_loss_may_be_infinite_and_an_error_may_not() -> None:
    rows = read_table({"density": [1.0], "error": [0.9], "train_loss": [float("inf")], "test_loss": [None]})
    assert rows["train_loss"].tolist() == [float("inf")]
    assert np.isnan(rows["test_loss"][0])


def test_dataframes_are_tables_too() -> None:
    import pandas

    frame = pandas.DataFrame(
        {
            "density": [1.0, 0.5],
            "error": [0.1, 0.2],
            "depth": pandas.array([20, 20], dtype="Int64"),
            "method": pandas.Categorical(["a", None]),
        }
    )
    rows = read_table(frame)
    assert rows["depth"].dtype == np.int64
    assert rows["method"].tolist() == ["a", None]
    again = rows.to_pandas()
    assert read_table(again) == rows
    frame.loc[1, "depth"] = pandas.NA
    with pytest.raises(InputError, match="column 'depth', row 2: must have a value"):
        read_table(frame)


def test_columns_cannot_be_written_to(tmp_path: Path) -> None:
    rows = table("density,error\n1,0.1\n", tmp_path)
    with pytest.raises(ValueError, match="read-only"):
        rows["error"][0] = 0.5
    with pytest.raises(TypeError):
        rows.columns["x"] = rows["error"]  # type: ignore[index]


def test_an_unknown_column_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Did you mean 'density'"):
        table("density,error\n1,0.1\n", tmp_path)["desnity"]


def test_a_million_rows_are_read_right(tmp_path: Path) -> None:
    count = 1_000_000
    lines = "\n".join(f"{1 + row % 90},{row // 4},{0.8 ** (row % 4):.6f},0.{row % 997:03d}" for row in range(count))
    rows = table(f"depth,replicate,density,error\n{lines}\n", tmp_path)
    assert len(rows) == count
    assert rows["replicate"][-1] == (count - 1) // 4
    assert rows["error"].sum() == pytest.approx(sum(row % 997 for row in range(count)) / 1000)


def test_two_hundred_columns_are_read(tmp_path: Path) -> None:
    names = ["density", "error", *(f"column {number}" for number in range(198))]
    rows = table(",".join(names) + "\n" + ",".join(["1"] * 200) + "\n", tmp_path)
    assert set(names) - {"error"} <= set(rows.names)


@pytest.mark.external
def test_published_measurements_are_read_as_they_are() -> None:
    """Renda et al. (2020): ResNet-20 on CIFAR-10 and ResNet-50 on ImageNet, three replicates, several retrainings."""
    root = os.environ.get("PRUNESCOPE_EXTERNAL")
    if root is None:
        pytest.skip("PRUNESCOPE_EXTERNAL names no folder with measurements/renda2020.csv")
    rows = read_table(Path(root) / "measurements" / "renda2020.csv")
    assert len(rows) == 2_526
    assert not np.isnan(rows["unpruned_error"]).any()
    cifar = rows.where("dataset = 'cifar10'")
    dense = cifar["error"][cifar["density"] == 1]
    assert cifar["unpruned_error"] == pytest.approx(np.full(len(cifar), dense.mean()))


def notes(**columns: list[object]) -> str:
    return "\n".join(read_table(columns).notes)


def test_unpruned_errors_of_different_networks_are_not_averaged_in_silence() -> None:
    mixed = notes(kind=["a", "a", "b", "b"], density=[1, 0.5, 1, 0.5], error=[0.08, 0.09, 0.07, 0.075])
    assert "different 'kind' ('a', 'b')" in mixed
    run = notes(run_name=["a", "b", "c", "d"], density=[1, 0.5, 1, 0.5], error=[0.08, 0.09, 0.07, 0.075])
    assert "run_name" not in run
    assert not notes(model=["a", "a"], density=[1, 0.5], error=[0.08, 0.09])
    assert not notes(method=["none", "x", "y"], density=[1, 0.5, 0.5], error=[0.08, 0.09, 0.1])
    columns = {"density": [1, 1], "error": [0.1, 0.2], "model": ["a", "b"], "unpruned_error": [0.1, 0.2]}
    assert not read_table(columns).notes


def test_what_a_table_may_not_mean_is_told() -> None:
    assert "rename it to `replicate`" in notes(seed=[1, 2], density=[1, 1], error=[0.1, 0.2])
    assert "1 rows have no unpruned network" in notes(depth=[8, 14], density=[1, 0.5], error=[0.1, 0.2])
    assert "if they are accuracies" in notes(density=[1, 0.5, 0.1], error=[0.93, 0.9, 0.6])


def test_a_column_nearly_named_as_one_that_is_not_there_is_noted() -> None:
    remarks = notes(depht=[8, 14], density=[1, 0.5], error=[0.1, 0.2])
    assert "column 'depht' is kept as your own column: if it is `depth`, add --set 'depth = depht'" in remarks
    assert not notes(level=[0, 1], State=["done", "done"], density=[1, 0.5], error=[0.1, 0.2])
    assert "depht" not in notes(depht=[8, 8], depth=[8, 8], density=[1, 0.5], error=[0.1, 0.2])
    columns: dict[str, list[object]] = {
        "retraining": ["a", "a"],
        "retrain_epochs": [1, 1],
        "run": [1, 1],
        "model": ["a", "a"],
        "lr": [0.1, 0.1],
    }
    assert "one of your own" not in notes(density=[1, 0.5], error=[0.1, 0.2], **columns)


_DENSITIES = [1, 0.8, 0.64, 0.5, 0.4, 0.3, 0.2, 0.1]


@pytest.mark.parametrize(
    "accuracies",
    [
        [0.92, 0.925, 0.921, 0.918, 0.915, 0.91, 0.90, 0.87],
        [0.911, 0.914, 0.913, 0.914, 0.912, 0.913, 0.907, 0.899],
        [0.63, 0.632, 0.629, 0.625, 0.621, 0.611, 0.6, 0.57],
        [0.98, 0.98, 0.98, 0.97, 0.95, 0.8, 0.2, 0.1],
    ],
)
def test_accuracies_given_as_errors_are_noted_though_they_fall_a_little(accuracies: list[object]) -> None:
    assert "if they are accuracies" in notes(density=[*_DENSITIES], error=accuracies)


def test_networks_worse_than_guessing_are_noted_where_the_dataset_is_known() -> None:
    flat: dict[str, list[object]] = {"density": [1, 0.5], "error": [0.98, 0.98]}
    assert "worse than guessing (0.9)" in notes(dataset=["mnist", "mnist"], **flat)
    assert not notes(**flat)
    assert not notes(dataset=["cifar100", "cifar100"], **flat)


@pytest.mark.parametrize(
    "errors",
    [
        [0.61, 0.608, 0.612, 0.613, 0.62, 0.64, 0.69, 0.8],  # rise
        [0.62, 0.611, 0.604, 0.6, 0.597, 0.596, 0.595, 0.595],  # a dip, whose rise was not measured
        [0.62, 0.61, 0.6, 0.6, 0.605, 0.61, 0.615, 0.619],  # a dip, back where it began
        [0.602, 0.597, 0.604, 0.599, 0.603, 0.598, 0.601, 0.598],  # noise
        [0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9],  # guessing
        [0.45, 0.44, 0.43, 0.42, 0.4, 0.35, 0.3, 0.2],  # below one half
    ],
)
def test_high_errors_are_not_taken_for_accuracies(errors: list[object]) -> None:
    assert not notes(dataset=["cifar10"] * 8, density=[*_DENSITIES], error=errors)


def test_flat_errors_of_many_networks_are_not_taken_for_accuracies() -> None:
    chance = np.random.default_rng(0)
    taken = 0
    for _ in range(200):
        taken += bool(notes(density=[*_DENSITIES], error=(0.6 + 0.003 * chance.standard_normal(8)).tolist()))
    assert taken <= 2


def test_errors_under_label_noise_may_fall_far() -> None:
    errors: list[object] = [0.62, 0.6, 0.55, 0.5, 0.45, 0.4, 0.35, 0.33]
    assert not notes(label_noise=[0.6] * 8, density=[*_DENSITIES], error=errors)
    assert "if they are accuracies" in notes(label_noise=[0] * 8, density=[*_DENSITIES], error=errors)


@pytest.mark.parametrize(
    ("source", "words_expected"),
    [
        (None, "must be a path, a store"),
        (5, "must be a path, a store"),
        ([{"density": 1}], "must be a path, a store"),
        ({"density": 1.0, "error": 0.1}, "column 'density': must be a list of values; found 1.0"),
        ({"density": np.ones((2, 2)), "error": [0.1, 0.2]}, "must be a list of values"),
        ({"density": [10**400, 0.5], "error": [0.1, 0.2]}, "must be a number"),
        ({"density": [1, 0.5], "error": [0.1]}, "must have one length; found 1, 2"),
        ({"density": [1], "error": [0.1], "__row": [1]}, "does not begin with __"),
        ({"density": [1], "error": [0.1], "mine": ["\ud800"]}, "must be Unicode text"),
        ({"density": [1j], "error": [0.1]}, "must be a number"),
    ],
)
def test_a_source_that_is_no_table_is_told_in_words(source: object, words_expected: str) -> None:
    with pytest.raises(InputError) as raised:
        read_table(source)
    assert words_expected in str(raised.value)


def test_a_dataframe_with_its_columns_in_the_index_is_told_what_to_call() -> None:
    import pandas

    frame = pandas.DataFrame({"density": [1.0, 0.5], "error": [0.1, 0.2]}).set_index("density")
    with pytest.raises(InputError, match=r"reset_index\(\)"):
        read_table(frame)


def test_files_of_other_kinds_are_called_by_their_name(tmp_path: Path) -> None:
    for name, content, fault in [
        ("a.csv", b"\x1f\x8b....", "found gzip"),
        ("a.csv", b'[{"density": 1}]', "found JSON"),
        ("a.parquet", b"density,error\n1,0.1\n", "If it is CSV, call it .csv."),
        ("a.csv", b"# my results\ndensity,error\n1,0.1\n", "found a comment"),
        ("a.csv", b"sparsity,error\n0,0.1\n", "density is 1 - sparsity"),
        ("a.csv", b"density,test_err\n1,0.1\n", "Did you mean 'test_err'?"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError) as raised:
            read_table(tmp_path / name)
        assert fault in str(raised.value)


def test_a_row_of_several_lines_is_told_by_its_first(tmp_path: Path) -> None:
    text = 'density,error,note\n1,0.1,a\n0.5,x,"two\nlines"\n'
    assert "line 3: must be a number" in words(text, tmp_path)


def test_densities_written_with_few_digits_fit_their_counts() -> None:
    rows = read_table({"density": [0.107], "error": [0.1], "kept": [1074], "prunable": [10_000]})
    assert rows["density"].tolist() == [0.107]


def test_names_written_in_digits_stay_apart(tmp_path: Path) -> None:
    rows = [("1_1", "12345678901234567890", "1e400"), ("11", "12345678901234567891", "2e500")]
    lines = [f"1,0.{number},{','.join(row)}" for number, row in enumerate(rows, 1)]
    read = table("density,error,variant,run id,commit\n" + "\n".join(lines) + "\n", tmp_path)
    for position, name in enumerate(("variant", "run id", "commit")):
        assert read[name].tolist() == [row[position] for row in rows]


def test_columns_of_pandas_are_taken_whatever_their_index_and_missing_values() -> None:
    import pandas

    missing = pandas.Series(["x", pandas.NA], dtype=object)
    rows = read_table({"density": pandas.Series(["1", "0.5"], index=[5, 6]), "error": [0.1, 0.2], "family": missing})
    assert rows["density"].tolist() == [1.0, 0.5]
    assert rows["family"].tolist() == ["x", None]
    frame = pandas.DataFrame([[1.0, 0.1, 3, 3]], columns=["density", "error", "depth", "depth"])
    with pytest.raises(InputError, match="column 'depth': must be there once; found twice"):
        read_table(frame)


def test_other_measurements_and_seeds_do_not_tell_networks_apart() -> None:
    assert not notes(replicate=[0, 1], density=[1, 1], error=[0.1, 0.2], top5=[0.01, 0.02])
    assert "different" not in notes(seed=[0, 1], density=[1, 1], error=[0.1, 0.2])


@pytest.mark.parametrize(
    "text",
    [
        "#,density,error\n1,1,0.1\n2,0.5,0.2\n",
        ",density,error\n0,1,0.1\n7,0.5,0.2\n",
        "density,error\n1,0.1\n0.5,0.2\n,\n,\n",
    ],
)
def test_what_spreadsheets_and_pandas_leave_in_a_file_is_no_fault(text: str, tmp_path: Path) -> None:
    assert table(text, tmp_path)["error"].tolist() == [0.1, 0.2]
