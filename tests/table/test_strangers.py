"""Tables in the shapes that people publish, read by following what the errors say, and nothing else."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from prunescope.cli.main import cli
from prunescope.errors import InputError
from prunescope.laws import JointLaw
from prunescope.table import Table, read_table
from tests.commands import fails, run


def followed(path: Path) -> tuple[Table, list[str]]:
    """Read a file with the options that the errors name, one error after another; return it and these options."""
    options: list[str] = []
    asked: dict[str, Any] = {"set": {}, "wide": {}}
    for _ in range(4):
        try:
            return read_table(path, **asked), options
        except InputError as trouble:
            hints = [
                fault.hint.rpartition("--")[2].split(" does.")[0] for fault in trouble.faults if "--" in fault.hint
            ]
        for hint in (hint.removesuffix(".") for hint in hints):
            option, words = shlex.split(hint)
            options.append(f"--{option} {words}")
            name, _, expression = words.partition(" = ")
            asked |= {"outcome": words} if option == "outcome" else {option: {**asked[option], name: expression}}
    raise AssertionError(f"not read with {options}")


@pytest.mark.parametrize(
    ("text", "options", "densities", "errors"),
    [
        (  # ShrinkBench
            "strategy,compression,real_compression,pre_acc1,post_acc1,post_acc5\n"
            "a,1,1,0.9,0.92,0.99\na,2,2.5,0.8,0.91,0.98\na,4,4,0.1,0.9,0.97\n",
            ["--set density = 1 / real_compression", "--set error = 1 - post_acc1"],
            [1, 0.4, 0.25],
            [0.08, 0.09, 0.1],
        ),
        (  # Weights & Biases
            "Name,config.sparsity,summary.train/acc1,summary.test/acc1,summary.test/acc5\n"
            "x,0,99,92,99\ny,50,99,91,98\nz,90,98,80,97\n",
            ['--set density = 1 - "config.sparsity" / 100', '--set error = 1 - "summary.test/acc1" / 100'],
            [1, 0.5, 0.1],
            [0.08, 0.09, 0.2],
        ),
        (  # what was asked for beside what was reached, means beside spreads
            "sparsity_target,achieved_sparsity,acc_std,best_acc_mean,final_acc_mean\n"
            "0,0,0.1,0.95,0.9\n0.5,0.51,0.2,0.94,0.8\n",
            ["--set density = 1 - achieved_sparsity", "--set error = 1 - final_acc_mean"],
            [1, 0.49],
            [0.1, 0.2],
        ),
        (
            "Compression Ratio,Top-1 Error\n1x,8\n8×,12.5\n",
            ['--set density = 1 / "Compression Ratio"', '--set error = "Top-1 Error" / 100'],
            [1, 0.125],
            [0.08, 0.125],
        ),
        (
            "Sparsity,Top-1 (%)\n0 %,92.0 ± 0.1\n50%,91 +/- 0.25\n90%,80\n",
            ["--set density = 1 - Sparsity", '--set error = 1 - "Top-1 (%)" / 100'],
            [1, 0.5, 0.1],
            [0.08, 0.09, 0.2],
        ),
        (  # a column for each replicate
            "Percent of Weights Remaining,seed1,seed2\n100,98,97.5\n51.2,97,96.5\n",
            [
                '--set density = "Percent of Weights Remaining" / 100',
                "--wide accuracy = seed{replicate}",
                "--set error = 1 - accuracy / 100",
            ],
            [1, 1, 0.512, 0.512],
            [0.02, 0.025, 0.03, 0.035],
        ),
        (  # a column for each sparsity, by its number alone
            "method,0%,50%,90%\nmagnitude,92,91,80\n",
            [
                "--wide accuracy = {sparsity}%",
                "--set density = 1 - sparsity / 100",
                "--set error = 1 - accuracy / 100",
            ],
            [1, 0.5, 0.1],
            [0.08, 0.09, 0.2],
        ),
        (  # a column for each density, by a name that says so, beside one of spreads for each
            "epoch,fracRemaining=70%,fracRemaining=50%,fracRemaining=10%,std70%,std50%,std10%\n"
            "2,75,74,65,0.1,0.2,0.3\n",
            [
                "--wide accuracy = fracRemaining={density}%",
                "--set error = 1 - accuracy / 100",
                "--set density = density / 100",
            ],
            [0.7, 0.5, 0.1],
            [0.25, 0.26, 0.35],
        ),
        (  # fractions and percent in one column
            "density,accuracy\n1,0.92\n0.5,91\n0.1,0.8\n0.05,70\n",
            ["--set error = 1 - case when accuracy > 1 then accuracy / 100 else accuracy end"],
            [1, 0.5, 0.1, 0.05],
            [0.08, 0.09, 0.2, 0.3],
        ),
        ("Density,test err\n1,0.9\n0.5,1.2\n0.1,40\n", ['--set error = "test err" / 100'], [1, 0.5, 0.1],
         [0.009, 0.012, 0.4]),
        (  # language models
            "Model,Sparsity,Wiki PPL\nm,0,5.1\nm,50%,7.3\n".replace("m,0,", "m,0%,"),
            ["--set density = 1 - Sparsity", "--outcome Wiki PPL"],
            [1, 0.5],
            [5.1, 7.3],
        ),
        (
            "Sparsity,BLEU\n0,27\n0.5,26\n",
            ["--set density = 1 - Sparsity", "--set error = 1 - BLEU / 100"],
            [1, 0.5],
            [0.73, 0.74],
        ),
    ],
)  # fmt: skip
def test_what_the_errors_say_reads_the_file(
    tmp_path: Path, text: str, options: list[str], densities: list[float], errors: list[float]
) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text(text, encoding="utf-8")
    table, followed_options = followed(path)
    assert sorted(followed_options) == sorted(options)
    assert table["density"].tolist() == pytest.approx(densities)
    assert table["error"].tolist() == pytest.approx(errors)


def test_a_hint_asks_in_whole_sentences(tmp_path: Path) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text("density,Top-1 Error\n1,8\n0.5,9\n")
    with pytest.raises(InputError) as refused:
        read_table(path)
    assert refused.value.faults[0].hint.startswith("Did you mean 'Top-1 Error', in percent? Add --set")


def test_means_and_factors_are_noted_and_decimal_commas_go_with_them() -> None:
    source = {"faktor": ["1x", "2,5x", "x10"], "err": ["8,5 % ± 0,2 %", "9%", "20 ± 1 %"]}
    table = read_table(source, decimal=",", set={"density": "1 / faktor", "error": "err"})
    assert table["density"].tolist() == pytest.approx([1, 0.4, 0.1])
    assert table["error"].tolist() == pytest.approx([0.085, 0.09, 0.2])
    assert "means: of 'err' what stands before ± is read; the spread is not used" in table.notes
    assert "factors: the values of 'faktor' are read as numbers, 8x as 8" in table.notes
    names = {"density": [1, 0.5], "error": [0.1, 0.2], "net": ["2x", "wide x"]}
    assert read_table(names, set={"error": "error"})["net"].tolist() == ["2x", "wide x"]


def test_counts_are_numbers_where_an_expression_needs_numbers() -> None:
    source = {"density": [1, 0.5, 0.5], "error": [0.1, 0.2, 0.2], "Params": ["125M", "1.3B", "2k"]}
    table = read_table(source, set={"dense": "Params * 1", "small": "Params = '2k'"})
    assert table["dense"].tolist() == [125e6, 1.3e9, 2000]
    assert table["small"].tolist() == [False, False, True]
    assert table["Params"].tolist() == ["125M", "1.3B", "2k"]
    assert sum(note.startswith("counts: ") for note in table.notes) == 1


def test_text_in_an_expression_that_needs_numbers_is_shown() -> None:
    with pytest.raises(InputError) as refused:
        read_table({"density": [1], "acc": ["about 90"]}, set={"error": "1 - acc"})
    assert "Column 'acc' holds text, such as 'about 90'" in refused.value.faults[0].hint


def test_headings_over_several_columns_are_told_how_to_mend(tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    title, over, names = "ResNet-20,,,,\n", ",Magnitude,,Random,\n", "Sparsity,Top-1,Top-5,Top-1,Top-5\n"
    rows = "0%,92,99,92,99\n50%,91,98,90,97\n"
    for text, words in (
        (title + over + names + rows, "delete the lines above their names"),
        (over.replace(",M", "S,M", 1) + names + rows, "A heading over several columns names the first alone"),
        (names + rows, "Give each a name of its own"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=words):
            read_table(path)


CRASHED = "Name,density,error,replicate\na,1,0.1,0\nb,0.5,0.2,0\nc,0.5,,1\nd,0.1,0.4,0\ne,1,,1\n"


def test_rows_without_an_error_are_left_out_where_a_condition_says_so(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(CRASHED)
    table = read_table(path, "error is not null")
    assert table["Name"].tolist() == ["a", "b", "d"]
    assert table["unpruned_error"].tolist() == pytest.approx([0.1, 0.1, 0.1])
    assert read_table(path, ["density < 1", "error > 0"])["Name"].tolist() == ["b", "d"]
    assert "--where 'error is not null'" in fails(2, "table", path)
    kept = fails(2, "table", path, "--where", "density < 1")
    assert "column 'error': must have a value in every row that conditions keep; found none in 1 row" in kept
    shown = run("table", path, "--where", "error is not null", "--where", "density < 1")
    assert shown.stdout.startswith("2 rows from")


def test_every_command_leaves_such_rows_out(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    densities = [1, 0.5, 0.25, 0.1, 0.05, 0.02]
    errors = [8, 8.2, 8.9, 12, 20, 40]
    path.write_text(
        "density,percent\n"
        + "".join(f"{density},{error}\n" for density, error in zip(densities, errors, strict=True))
        + "0.01,\n"
    )
    options = ["--set", "error = percent / 100", "--where", "error is not null"]
    page = tmp_path / "page.html"
    for arguments in (
        ("fit", path, "--law", "single", "--intervals", "none"),
        ("choose", path, "--max-error", 0.1),
        ("report", path, "-o", page, "--draws", 0),
    ):
        refused = CliRunner().invoke(cli, [*map(str, arguments), *options[:2]])
        assert "column 'error', line 8" in str(refused.exception), arguments
        done = CliRunner().invoke(cli, [*map(str, arguments), *options])
        assert done.exit_code == 0, (arguments, done.exception, done.output)
    assert page.is_file()


def test_times_tell_no_networks_apart(tmp_path: Path) -> None:
    path = tmp_path / "wandb.csv"
    when = ("2024-05-01T12:00:00Z", "2024-05-02 09:30:11.5", "2024-05-03T12:00:00+02:00")
    path.write_text(
        "density,error,replicate,Began,_timestamp,method\n"
        + "".join(
            f"{density},{error + replicate / 1000},{replicate},{when[replicate]},{17145 + replicate},way{way}\n"
            for way in (1, 2)
            for replicate in range(3)
            for density, error in ((1, 0.08), (0.5, 0.081), (0.25, 0.09), (0.1, 0.15), (0.05, 0.3))
        )
    )
    groups = JointLaw().sample(read_table(path)).groups
    assert [dict(group.key) for group in groups] == [{"method": "way1"}, {"method": "way2"}]
    assert all(group.repeats.tolist() == [3] * 5 for group in groups)
    assert not [note for note in read_table(path).notes if "Began" in note or "_timestamp" in note]


def test_a_log_in_long_form_is_read_by_an_expression_and_a_condition(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(
        "level,name,iteration,value\n"
        + "".join(
            f"{level},test_accuracy,{step},{0.9 - 0.1 * level - 0.001 * (10 - step)}\n{level},test_loss,{step},2.3\n"
            for level in range(3)
            for step in (0, 10)
        )
    )
    chosen = "case when name = 'test_accuracy' and iteration = 10 then 1 - value end"
    table = read_table(path, "error is not null", set={"density": "0.8 ** level", "error": chosen})
    assert table["density"].tolist() == pytest.approx([1, 0.8, 0.64])
    assert table["error"].tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert not np.isnan(table["unpruned_error"]).any()
