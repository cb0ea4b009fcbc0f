"""Anybody's spreadsheet read with options alone: expressions, wide files, decimal commas, percent signs."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from prunescope.cli.main import cli
from prunescope.errors import InputError
from prunescope.table import Store, Table, read_table
from tests.builders import rung
from tests.commands import fails, run

# Made-up numbers in the shapes of spreadsheets that papers publish.
PERCENT = "Model,Sparsity,Top-1 acc,seed\n" + "".join(
    f"resnet,{sparsity},{accuracy},{seed}\n"
    for seed in (0, 1)
    for sparsity, accuracy in ((0, 76.1), (50, 76), (80, 75.2), (90, 74.1 - seed), (95, 70), (98, 58.1))
)
LOSS = "density,test loss\n1,2.1\n0.5,2.2\n0.2,2.6\n0.1,3.4\n"
WIDE = "network,width,acc_1.0,acc_0.5,acc_0.1\na,1,91.2,91,85.5\nb,2,93.1,93,\n"
EXCEL = "Netz;Sparsity;Accuracy;Zeit\na;0 %;76,1 %;1,5\na;50 %;76,0 %;2\na;87,5 %;75,2%;,5\n"


def written(folder: Path, text: str, name: str = "mine.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


def faults_of(*arguments: Any, **options: Any) -> dict[str, str]:
    with pytest.raises(InputError) as refused:
        read_table(*arguments, **options)
    return {fault.place: str(fault) for fault in refused.value.faults}


def test_percent_of_sparsity_and_accuracy_become_density_and_error(tmp_path: Path) -> None:
    path = written(tmp_path, PERCENT)
    made = {"density": "1 - Sparsity / 100", "error": '1 - "Top-1 acc" / 100', "replicate": "seed"}
    table = read_table(path, set=made)
    assert table["density"].tolist() == pytest.approx([1, 0.5, 0.2, 0.1, 0.05, 0.02] * 2)
    assert table["error"].tolist()[3::6] == pytest.approx([0.259, 0.269])
    assert table["replicate"].tolist() == [0] * 6 + [1] * 6
    assert "Top-1 acc" in table.names
    options = [word for name, expression in made.items() for word in ("--set", f"{name} = {expression}")]
    shown = run("table", path, *options, "--json")
    assert json.loads(shown.stdout)[0]["test_error"] == table["error"][0]


def test_density_and_loss_are_read_as_an_error_on_a_scale(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, LOSS), set={"error": '"test loss" / 10'})
    assert table["error"].tolist() == pytest.approx([0.21, 0.22, 0.26, 0.34])


def test_a_column_for_each_density_becomes_a_row_for_each(tmp_path: Path) -> None:
    path = written(tmp_path, WIDE)
    table = read_table(path, wide={"acc": "acc_{density}"}, set={"error": "1 - acc / 100"})
    rows = list(zip(table["network"], table["width"], table["density"], table["error"].round(3), strict=True))
    assert rows == [
        ("a", 1, 1, 0.088),
        ("a", 1, 0.5, 0.09),
        ("a", 1, 0.1, 0.145),
        ("b", 2, 1, 0.069),
        ("b", 2, 0.5, 0.07),
    ]
    shown = run("table", path, "--wide", "acc = acc_{density}", "--set", "error = 1 - acc/100", "--json")
    assert len(json.loads(shown.stdout)) == 5


def test_several_wide_columns_are_gathered_side_by_side_and_faults_keep_their_lines(tmp_path: Path) -> None:
    text = "family,50 % acc,90 % acc,loss 50 %\na,80,70,1\nb,60,,2\nc,400,10,3\n"
    path = written(tmp_path, text)
    options: dict[str, Any] = {
        "wide": {"acc": "{pruned} % acc", "test_loss": "loss {pruned} %"},
        "set": {"density": "1 - pruned / 100", "error": "1 - acc / 100"},
    }
    assert "line 4" in next(iter(faults_of(path, **options)))  # 400 % of accuracy
    written(tmp_path, text.replace("400", "40"))
    table = read_table(path, **options)
    assert table["density"].tolist() == pytest.approx([0.5, 0.1, 0.5, 0.5, 0.1])
    assert np.array_equal(table["test_loss"], [1, np.nan, 2, 3, np.nan], equal_nan=True)


def test_decimal_commas_semicolons_and_percent_signs_are_read_when_asked(tmp_path: Path) -> None:
    path = written(tmp_path, EXCEL)
    table = read_table(path, decimal=",", set={"density": "1 - Sparsity", "error": "1 - Accuracy"})
    assert table["density"].tolist() == [1, 0.5, 0.125]
    assert table["error"].tolist() == pytest.approx([0.239, 0.24, 0.248])
    assert table["Zeit"].tolist() == [1.5, 2, 0.5]
    assert any("'Sparsity', 'Accuracy' are read as fractions" in note for note in table.notes)
    shown = run("table", path, "--decimal-comma", "--set", "density = 1-Sparsity", "--set", "error=1-Accuracy")
    assert shown.returncode == 0
    assert "read as fractions" in shown.stderr


def test_a_value_in_percent_is_the_number_that_is_written(tmp_path: Path) -> None:
    path = written(tmp_path, "density;error\n29%;7 %\n0,00001 %;1e1%\n100%;\n")
    assert "must have a value in every row" in faults_of(path, decimal=",")["column 'error', line 4"]
    written(tmp_path, "density;error\n29%;7 %\n0,00001 %;1e1%\n100%;NA\n".replace("NA", "+5,5%"))
    table = read_table(path, decimal=",")
    assert table["density"].tolist() == [0.29, 1e-7, 1]
    assert table["error"].tolist() == [0.07, 0.1, 0.055]


def test_points_between_thousands_are_refused_and_not_read_as_decimals(tmp_path: Path) -> None:
    path = written(tmp_path, "density;error;examples\n1;0,1;50.000\n0,5;0,2;1.234,5\n")
    faults = faults_of(path, decimal=",")
    assert "'50.000', '1.234,5'" in faults["column 'examples', lines 2, 3"]


def test_a_header_with_other_delimiters_is_read_with_decimal_commas_too(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, 'density,error\n1,"0,1"\n"0,5","0,2"\n'), decimal=",")
    assert table["density"].tolist() == [1, 0.5]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (PERCENT, ["density = 1 - Sparsity / 100", 'error = 1 - "Top-1 acc" / 100']),
        ("pruned,err\n0.5,0.1\n0,0.2\n", ["density = 1 - pruned", "error = err"]),
        ("compression,Accuracy (%)\n2,90\n1,91\n", ["density = 1 / compression", 'error = 1 - "Accuracy (%)" / 100']),
        ("weights remaining,val_acc\n50%,91%\n1%,90%\n", ['density = "weights remaining"', "error = 1 - val_acc"]),
    ],
)  # fmt: skip
def test_the_hint_is_the_very_option_that_reads_the_file(tmp_path: Path, text: str, options: list[str]) -> None:
    path = written(tmp_path, text)
    hints = [fault.rpartition("Add ")[2].removesuffix(".") for fault in faults_of(path).values()]
    words = [shlex.split(hint) for hint in hints]
    assert words == [["--set", option] for option in options]
    extra = ["--set", "replicate = seed"] if "seed" in text else []
    arguments = [str(path), *(word for pair in words for word in pair), *extra]
    assert CliRunner().invoke(cli, ["table", *arguments]).exit_code == 0


def test_the_hint_for_a_wide_file_is_the_very_option(tmp_path: Path) -> None:
    path = written(tmp_path, WIDE)
    hint = faults_of(path)["column 'density'"].rpartition("add ")[2].removesuffix(".")
    assert shlex.split(hint) == ["--wide", "acc = acc_{density}"]
    assert "--set 'error = 1 - acc / 100'" in fails(2, "table", path, *shlex.split(hint))


def test_a_column_in_percent_is_told_the_expression_that_divides_it(tmp_path: Path) -> None:
    fault = faults_of(written(tmp_path, "density,Test Error\n1,8\n0.5,12\n"))["column 'Test Error'"]
    assert "--set 'test_error = \"Test Error\" / 100'" in fault


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("(select 1)", "a query or a star"),
        ("(from read_text('/etc/passwd'))", "a query or a star"),
        ("exists(from range(3))", "a query or a star"),
        ("(select content from read_text('/etc/passwd'))", "a query or a star"),
        ("*", "a query or a star"),
        ("columns(*)", "a query or a star"),
        ("acc, 1", "several expressions"),
        ("1) from rungs; select (2", "must be one expression"),
        ("1; drop table rungs", "must be one expression"),
        ("1 as a", "syntax error"),
        ("read_text('/etc/passwd')", "table function"),
        ("avg(acc)", "must give a value for each row"),
        ("acx", "Did you mean 'acc'?"),
        ("?", "must be"),
        ("1 -", "must be one expression"),
        ("getenv('HOME')", "must be SQL over the columns"),
    ],
)
def test_an_expression_is_no_query_and_reads_no_file(expression: str, words: str) -> None:
    source = {"density": [1.0, 0.5], "acc": [90.0, 80.0]}
    (fault,) = faults_of(source, set={"error": expression}).values()
    assert fault.startswith("--set error:")
    assert words in fault


def test_expressions_see_columns_set_before_them_missing_values_and_windows() -> None:
    source = {"density": [0.5, 1.0, 0.5], "acc": ["80", "90", ""], "run id": ["b", "a", "b"]}
    table = read_table(
        source,
        set={
            "acc": "coalesce(acc, 70) / 100",
            "error": "1 - acc -- of the best",
            "best": "max(acc) over ()",
            "family": 'upper("run id")',
            "connected": "acc > 0.75",
            "replicate": "row_number() over (order by acc)",
        },
    )
    assert table["error"].tolist() == pytest.approx([0.2, 0.1, 0.3])
    assert table["best"].tolist() == pytest.approx([0.9] * 3)
    assert table["family"].tolist() == ["B", "A", "B"]
    assert table["connected"].tolist() == [True, True, False]
    assert table["replicate"].tolist() == [2, 3, 1]


def test_a_column_is_replaced_under_any_spelling_of_its_name() -> None:
    source = {"Density": [100, 50], "error": [10, 20]}
    table = read_table(source, set={"density": "Density / 100", "test_error": "error / 100"})
    assert table["density"].tolist() == [1, 0.5]
    assert table["error"].tolist() == pytest.approx([0.1, 0.2])
    assert set(table.names) == {"density", "test_error", "unpruned_error", "replicate"}


def test_of_a_table_or_a_store_unpruned_errors_are_filled_in_anew(tmp_path: Path) -> None:
    first = read_table({"density": [1.0, 0.5], "error": [0.1, 0.2]})
    again = read_table(first, set={"error": "error / 2"})
    assert again["unpruned_error"].tolist() == pytest.approx([0.05, 0.05])
    given = read_table({"density": [1.0, 0.5], "error": [0.1, 0.2], "unpruned_error": [0.3, 0.3]})
    assert read_table(given, set={"error": "error / 2"})["unpruned_error"].tolist() == [0.3, 0.3]
    Store(tmp_path / "store", create=True).write([rung(0, 0), rung(0, 1)])
    table = read_table(tmp_path / "store", set={"wide": "width > 1"})
    assert table["wide"].dtype == bool
    assert isinstance(table, Table)


@pytest.mark.parametrize(
    ("wide", "place", "words"),
    [
        ({"acc": "acc_density"}, "--wide acc", "one name in braces"),
        ({"acc": "{a}_{b}"}, "--wide acc", "one name in braces"),
        ({"acc": "top_{density}"}, "--wide acc", "must match columns"),
        ({"acc": "acc_{density}", "b": "acc_{x}"}, "--wide", "one name in the braces"),
        ({"network": "acc_{density}"}, "column 'network'", "must not be there already"),
    ],
)
def test_patterns_that_gather_nothing_are_told(tmp_path: Path, wide: dict[str, str], place: str, words: str) -> None:
    assert words in faults_of(written(tmp_path, WIDE), wide=wide)[place]


def test_every_command_that_takes_a_table_takes_the_options(tmp_path: Path) -> None:
    path = written(tmp_path, PERCENT)
    options = [
        "--set",
        "density = 1 - Sparsity / 100",
        "--set",
        'error = 1 - "Top-1 acc" / 100',
        "--set",
        "replicate=seed",
    ]
    law = ("--law", "single", "--intervals", "none")
    law_file = tmp_path / "law.json"
    assert CliRunner().invoke(cli, ["fit", str(path), *options, *law, "--save", str(law_file)]).exit_code == 0
    for arguments in (
        ("choose", path, "--max-error", 0.27),
        ("compare", path, "--law", "single"),
        ("sensitivity", path, "--law", "single", "--repeats", 2, "--networks", 5),
        ("next", path, "--max-error", 0.27),
        ("lens", path),
        ("predict", tmp_path / "law.json", path),
        ("report", path, "-o", tmp_path / "page.html", "--draws", 0),
    ):
        without = CliRunner().invoke(cli, [*map(str, arguments)])
        assert "column 'density'" in str(without.exception), arguments
        done = CliRunner().invoke(cli, [*map(str, arguments), *options])
        assert done.exit_code == 0, (arguments, done.exception, done.output)


@pytest.mark.parametrize("words", ["density", "= 1", "density =", "density == 1", "a >= 1"])
def test_options_without_a_name_and_an_expression_are_refused(tmp_path: Path, words: str) -> None:
    assert "must be NAME = ..." in fails(2, "table", written(tmp_path, PERCENT), "--set", words)
