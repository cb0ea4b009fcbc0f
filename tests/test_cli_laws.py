"""``fit``, ``predict``, ``compare`` and ``sensitivity`` as a user meets them."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prunescope.demo import sample_path
from prunescope.laws import JointLaw
from tests.commands import fails, run
from tests.laws.families import alike, curve, family

SAMPLE = str(sample_path())


def works(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command that must succeed."""
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    return done


def written(path: Path, columns: dict[str, Any]) -> str:
    """Write columns as CSV, every digit kept."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(zip(*(np.asarray(values).tolist() for values in columns.values()), strict=True))
    return str(path)


def test_the_json_of_fit_is_the_documented_contract() -> None:
    done = works("fit", SAMPLE, "--law", "joint", "--json")
    content = json.loads(done.stdout)
    (fit,) = content["fits"]
    assert set(fit["parameters"]) == set(fit["intervals"]) == {"eps_up", "gamma", "p_prime", "phi", "psi"}
    assert fit["group"] == {"family": "made-up", "dataset": "made-up"}
    assert fit["law"] == "joint"
    assert fit["points"] == 450
    assert fit["converged"] is True
    assert fit["warnings"] == [] or all(isinstance(words, str) for words in fit["warnings"])
    assert abs(fit["mean_deviation"]) < 0.01
    assert 0.01 < fit["std_deviation"] < 0.03
    for name, (low, high) in fit["intervals"].items():
        assert low <= fit["parameters"][name] <= high
    assert fit["parameters"] == dict(JointLaw().fit(SAMPLE).parameters_)


def test_the_table_says_which_law_where_none_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "one.csv", curve(levels=11, noise=0.01))
    quick = ("--intervals", "none", "--json")
    for source, kind in ((SAMPLE, "joint"), (path, "single")):
        named, unnamed = works("fit", source, "--law", kind, *quick), works("fit", source, *quick)
        assert unnamed.stdout == named.stdout
        assert ("law: joint, since depth or width vary" in unnamed.stderr) == (kind == "joint")
        assert "law: joint" not in named.stderr
    drawn = ("sensitivity", path, "--repeats", 2, "--networks", 5)
    assert works(*drawn).stdout == works(*drawn, "--law", "single").stdout


def test_a_single_fit_for_each_group_is_shown_as_a_table(tmp_path: Path) -> None:
    columns = curve(levels=11, noise=0.01)
    many = {name: np.concatenate([values, values]) for name, values in columns.items()}
    path = written(
        tmp_path / "two.csv", {**many, "method": ["imp"] * 11 + ["random"] * 11, "dataset": ["cifar10"] * 22}
    )
    done = works("fit", path, "--law", "single")
    assert "in every group: dataset cifar10" in done.stdout
    assert "2 fits: |mu| at most" in done.stdout
    assert "1: 2 fits, such as:" in done.stdout
    assert "each method is fitted by itself" in done.stderr
    content = json.loads(
        works("fit", path, "--law", "single", "--by", "method", "--fix", "eps_up=0.8", "--json").stdout
    )
    assert [fit["group"] for fit in content["fits"]] == [{"method": "imp"}, {"method": "random"}]
    assert all(fit["parameters"]["eps_up"] == pytest.approx(0.8) for fit in content["fits"])


def test_a_law_saved_predicts(tmp_path: Path) -> None:
    law, dense = str(tmp_path / "law.json"), str(tmp_path / "dense.json")
    works("fit", SAMPLE, "--law", "joint", "--save", law)
    works("fit", SAMPLE, "--law", "dense", "--save", dense)
    member = "density=0.1,depth=26,width=1"
    (row,) = json.loads(works("predict", law, "--at", f"{member},unpruned_error=0.08", "--json").stdout)
    assert row["low"] < row["law_low"] <= row["predicted"] <= row["law_high"] < row["high"]
    predicted = JointLaw.load(law).predict({"density": [0.1], "depth": [26], "width": [1.0], "unpruned_error": [0.08]})
    assert row["predicted"] == predicted[0]
    shown = works("predict", law, "--dense", dense, "--at", f"{member},examples=50000").stdout
    assert "predicted" in shown
    out = tmp_path / "new.csv"
    works("predict", law, SAMPLE, "--out", str(out))
    assert len(out.read_text().splitlines()) == 1351


def test_predict_names_what_is_missing(tmp_path: Path) -> None:
    law = str(tmp_path / "law.json")
    works("fit", SAMPLE, "--law", "joint", "--save", law)
    for arguments, words in (
        ((law,), "give a TABLE of networks, or --at"),
        ((law, "--at", "density=0.1"), "column 'depth': must be there to predict"),
        ((law, "--at", "density=0.1,depth=26,width=1"), "--dense"),
        ((law, "--at", "density"), "--at must be NAME=VALUE"),
        ((law, "--at", "density=1.5,depth=26,width=1,unpruned_error=0.1"), "must be in (0, 1]"),
        ((SAMPLE, "--at", "density=0.1"), "must be a file that --save wrote"),
    ):
        assert words in fails(2, "predict", *arguments), arguments


def test_what_a_law_goes_without_stands_apart_from_what_the_parameter_is() -> None:
    done = run("fit", SAMPLE, "--law", "joint", "--where", "depth = 20")
    assert done.returncode == 0, done.stderr
    assert "left out, or does not vary  how depth trades against density" in done.stdout


def test_filters_are_named_with_commas_or_one_by_one() -> None:
    rows = ("--law", "joint", "--classes", "10", "--intervals", "none", "--json")
    filters = ("better-than-chance", "not-overly-large")
    at_once = works("fit", SAMPLE, *rows, "--filter", ",".join(filters)).stdout
    one_by_one = works("fit", SAMPLE, *rows, *(word for name in filters for word in ("--filter", name))).stdout
    assert at_once == one_by_one
    assert "filter not-overly-large" in at_once


def test_fit_names_what_is_wrong() -> None:
    for arguments, words in (
        (("--law", "joint", "--fix", "gama=1"), "Did you mean 'gamma'?"),
        (("--law", "joint", "--fix", "gamma"), "--fix must be NAME=VALUE"),
        (("--law", "joint", "--vary", "depht"), "Did you mean 'depth'?"),
        (("--law", "single", "--vary", "depth"), "--vary is not for --law single"),
        (("--law", "joint", "--by", "familly"), "Did you mean 'family'?"),
        (("--law", "joint", "--filter", "better-than-chance"), "--classes N"),
        (("--law", "joint", "--filter", "large"), "Did you mean 'not-overly-large'?"),
        (("--law", "joint", "--filter", "connected, conected"), "Did you mean 'connected'?"),
        (("--law", "joint", "--level", "90"), "90 % is 0.9."),
        (("--law", "joint", "--level", "1"), "must be between 0 and 1"),
        (("--law", "joint", "--where", "depth = 8", "--vary", "depth"), "Add networks of another depth"),
        (("--law", "triple"), "'triple' is not one of 'single', 'joint', 'dense', 'sparse'"),
    ):
        assert words in fails(2, "fit", SAMPLE, *arguments), arguments


def test_forms_are_compared_side_by_side() -> None:
    done = works("compare", SAMPLE, "--folds", "6")
    assert "450 points, 18 configurations; seeds alone scatter by 2.9 %" in done.stdout
    rows = json.loads(works("compare", SAMPLE, "--json").stdout)["compared"]
    assert rows[0]["form"] == "Eq. 2"
    assert rows[0]["cross_validated"]["sigma"] < rows[-1]["cross_validated"]["sigma"]
    assert rows[0]["seed_noise"] == pytest.approx(0.0288, abs=1e-3)
    assert "leave out --fix" in fails(2, "compare", SAMPLE, "--fix", "gamma=1")


def test_sensitivity_says_how_many_are_enough(tmp_path: Path) -> None:
    columns, _ = family(1, members=30)
    path = written(tmp_path / "family.csv", columns)
    done = works("sensitivity", path, "--repeats", "5", "--networks", "20,40", "--configurations", "4,12")
    assert "Experiment 1: networks at random; 5 draws of each size" in done.stdout
    assert "are enough" in done.stdout
    (result,) = json.loads(works("sensitivity", path, "--repeats", "3", "--networks", "30", "--json").stdout)[
        "sensitivity"
    ]
    assert [row["drawn"] for row in result["experiments"]["1"]] == [30]
    assert "between 1 and 30" in fails(2, "sensitivity", path, "--configurations", "31")
    assert "whole numbers" in fails(2, "sensitivity", path, "--networks", "many")


def test_a_table_too_small_for_trials_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "small.csv", {"density": [1, 0.5], "error": [0.1, 0.2]})
    for command in ("compare", "sensitivity"):
        assert "must hold" in fails(2, command, path)


def test_what_is_read_is_never_written_over(tmp_path: Path) -> None:
    path, law = written(tmp_path / "mine.csv", curve(levels=12, noise=0.01)), str(tmp_path / "law.json")
    assert "names a file that is read" in fails(2, "fit", path, "--law", "single", "--save", path)
    works("fit", path, "--law", "single", "--save", law)
    for target in (path, law):
        assert "names a file that is read" in fails(2, "predict", law, path, "--out", target)
    assert "no row fulfils --where" in fails(2, "fit", path, "--law", "single", "--where", "density > 1")


def test_predictions_keep_the_users_own_columns(tmp_path: Path) -> None:
    path, law, out = written(tmp_path / "mine.csv", curve(levels=12)), str(tmp_path / "law.json"), tmp_path / "new.csv"
    works("fit", path, "--law", "single", "--save", law)
    rows = written(tmp_path / "rows.csv", {"density": [0.1], "unpruned_error": [0.08], "low": [7]})
    works("predict", law, rows, "--out", str(out))
    assert out.read_text().splitlines()[0] == "density,unpruned_error,low,predicted,predicted_low,high,law_low,law_high"


def test_a_law_that_explains_no_more_than_a_smaller_one_says_so_first(tmp_path: Path) -> None:
    path = written(tmp_path / "alike.csv", alike())
    other = written(tmp_path / "apart.csv", alike(psi=1.0))
    fitted = works("fit", path, "--law", "joint", "--intervals", "none").stdout
    assert fitted.startswith("! width explains nothing here")
    compared = works("compare", path).stdout.splitlines()
    assert compared[1].startswith("  ! width explains nothing here")
    [null] = json.loads(works("compare", path, "--json").stdout)["null"]
    assert null["explains_nothing"] == "width"
    assert "explains nothing" not in works("fit", other, "--law", "joint", "--intervals", "none").stdout
    assert json.loads(works("compare", other, "--json").stdout)["null"] == []
