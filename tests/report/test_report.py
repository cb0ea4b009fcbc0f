"""A report of whatever there is: what is missing is named, and the rest is shown."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tools.browser import found_browser

from prunescope.demo import sample_path
from prunescope.errors import InputError, MissingPackageError
from prunescope.laws.grouping import sample
from prunescope.report import Report, report, write_figures, write_page
from prunescope.report.groups import report_groups
from prunescope.report.page.rendering import page
from prunescope.study import read_study
from prunescope.table import Store, Table, read_table
from tests.builders import filled, rung
from tests.choose.test_choice import planted
from tests.commands import run
from tests.report.conftest import BOUND

CURVE = {"density": 0.8 ** np.arange(20), "error": np.minimum(0.9, 0.05 + 0.002 * 1.25 ** np.arange(20))}


def words(family_report: Report) -> str:
    """Return all that a report says."""
    statements = [statement.words for chapter in family_report.chapters for statement in chapter.said]
    missing = [remark for chapter in family_report.chapters for remark in chapter.missing]
    captions = [figure.caption for chapter in family_report.chapters for figure in chapter.figures]
    return " ".join([*statements, *missing, *captions, *family_report.missing, *family_report.notes])


def test_a_report_begins_with_answers(family_report: Report) -> None:
    chapter = family_report.chapters[0]
    titles = [statement.title for statement in chapter.said]
    assert titles[:3] == [
        "How well the law fits",
        "What its parameters mean",
        f"Which network for an error of at most {BOUND:g}",
    ]
    kinds = [statement.kind for statement in chapter.said]
    assert kinds == sorted(kinds, key=["answer", "warning", "next"].index)
    assert "prunescope next" in chapter.said[-1].words


def test_doubling_a_width_is_told_as_the_exponent_has_it() -> None:
    narrow = report(planted(), where="width <= 0.5", max_error=0.2, draws=0)
    assert f"Twice the width gives the same error at {2**-1.1:.2g} times the density" in words(narrow)
    assert f"halving the density multiplies it by {2**1.3:.1f}" in words(narrow)


def test_the_slider_stands_at_the_bound(family_report: Report) -> None:
    slider = family_report.chapters[0].slider
    assert slider is not None
    assert slider.stops[slider.start].bound == BOUND
    assert [stop.bound for stop in slider.stops] == sorted(stop.bound for stop in slider.stops)


@pytest.mark.parametrize(
    ("columns", "expected", "figures"),
    [
        (
            {"density": [1.0, 1.0, 1.0], "error": [0.1, 0.11, 0.09]},
            "Holds unpruned networks only",
            {"error-by-density"},
        ),
        ({"density": [0.5, 0.5, 0.25], "error": [0.1, 0.11, 0.2]}, "no unpruned network", {"error-by-density"}),
        ({"density": [1.0, 0.5], "error": [0.1, 0.2]}, "measure at least 3 densities", {"error-by-density"}),
        ({"density": [1.0], "error": [0.1]}, "Holds unpruned networks only", {"error-by-density"}),
        ({"density": [1.0, 0.5, 0.25], "error": [0.0, 0.0, 0.0]}, "3 rows with error 0 left out", set()),
        ({"density": [1.0, 0.5, 0.25], "error": [0.0, 0.1, 0.2]}, "no unpruned network errs", {"error-by-density"}),
    ],
    ids=["unpruned only", "pruned only", "two densities", "one network", "no errors", "unpruned do not err"],
)
def test_little_is_shown_and_the_rest_is_named(columns: dict[str, Any], expected: str, figures: set[str]) -> None:
    long = report(columns)
    assert expected in words(long)
    assert {figure.slug for chapter in long.chapters for figure in chapter.figures} == figures
    assert page(long).startswith("<!doctype html>")


def test_a_single_network_has_a_law_and_a_choice() -> None:
    lone = report(CURVE, max_error=0.1, draws=0)
    chapter = lone.chapters[0]
    assert {"error-by-density", "three-regions", "estimated-against-actual", "error-by-parameters"} <= {
        figure.slug for figure in chapter.figures
    }
    assert "one cell alone" in words(lone)
    assert "no replicates" in words(lone)


def test_a_report_puts_its_table_into_groups_once(monkeypatch: pytest.MonkeyPatch) -> None:
    grouped: list[Table] = []

    def counted_sample(table: Table, *options: Any, **settings: Any) -> Any:
        grouped.append(table)
        return sample(table, *options, **settings)

    monkeypatch.setattr("prunescope.laws.estimator.sample", counted_sample)
    groups = report_groups(read_table(sample_path()))
    assert len(grouped) == 1
    assert groups.all[0].family is not None
    assert groups.all[0].family.cells is groups.all[0].cells


def test_many_families_are_beside_each_other_and_the_first_have_chapters() -> None:
    parts = [{**CURVE, "family": np.full(20, f"family {number}", object)} for number in range(6)]
    whole = {name: np.concatenate([columns[name] for columns in parts]) for name in parts[0]}
    several = report(whole, max_error=0.3, draws=0)
    assert len(several.chapters) == 4
    assert several.overview is not None
    assert [line.chapter for line in several.overview.lines] == [1, 2, 3, 4, None, None]
    assert "6 families: the 4 with most points (among equals, those with the smallest answer)" in " ".join(
        several.missing
    )
    assert page(several).count('class="chapter"') == 4


def test_a_store_that_is_not_finished_says_how_far_it_is(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    study = read_study("digits")
    store.begin(study)
    ladder = study.ladders[0]
    rows = [
        rung(
            0, number, study=study.name, ladder=ladder.identity, replicate=0, width=0.1, test_error=0.05 + 0.03 * number
        )
        for number in range(6)
    ]
    store.write(rows)
    of_store = report(store, draws=0)
    assert "study digits is not finished: 6 of 2,088 rungs" in of_store.missing
    assert of_store.title == "LeNet on digits: 6 networks"
    assert of_store.subtitle.startswith("study digits: depth 3, width 0.1,")
    facts = dict(of_store.provenance.facts)
    assert facts["networks"] == "6 of 1 cell"
    assert facts["trained on"] == "cpu"
    assert facts["training took"].startswith("9 s")
    assert f"prunescope run digits.toml --store {tmp_path / 'store'}" in of_store.provenance.commands
    assert study.to_toml() == of_store.provenance.studies[0].text


def test_a_store_without_a_study_is_shown(tmp_path: Path) -> None:
    unfinished = report(filled(tmp_path / "store", ladders=2, rungs=8), draws=0)
    assert unfinished.provenance.studies == ()
    assert unfinished.chapters[0].figures


@pytest.mark.parametrize(
    ("options", "fault"),
    [({"max_error": 20.0}, "20 % is 0.2"), ({"confidence": 1.0}, "0.999"), ({"draws": 1}, "must be 0, or 2 or more")],
)
def test_what_cannot_be_asked_is_refused(options: dict[str, Any], fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        report(CURVE, **options)


def test_the_command_writes_a_page_and_figures(tmp_path: Path) -> None:
    where = "depth = 20 and width <= 0.5 and examples = 50000"
    options = [
        "--where",
        where,
        "--max-error",
        "0.2",
        "--draws",
        "0",
        "-o",
        "page.html",
        "--figures",
        "figures",
        "--format",
        "pdf",
    ]
    done = run("report", sample_path(), *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "wrote page.html" in done.stdout
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    assert {path.suffix for path in (tmp_path / "figures").iterdir()} == {".pdf"}


def test_a_table_may_come_by_a_pipe(tmp_path: Path) -> None:
    lines = ["density,error", *(f"{density},{error}" for density, error in zip(*CURVE.values(), strict=True))]
    command = [sys.executable, "-m", "prunescope", "report", "-", "--draws", "0"]
    done = subprocess.run(command, input="\n".join(lines), text=True, capture_output=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report.html").exists()


def test_without_what_draws_a_report_is_refused_in_words(
    family_report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prunescope.report.writing.NEEDED", ("altair", "a_package_that_is_not_there"))
    with pytest.raises(MissingPackageError, match="needs the extra `report`"):
        write_page(family_report, tmp_path / "page.html")
    with pytest.raises(MissingPackageError):
        write_figures(family_report, tmp_path / "figures")
    assert list(tmp_path.iterdir()) == []


def test_a_browser_that_is_named_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNESCOPE_BROWSER", "/my/browser")
    assert found_browser() == "/my/browser"


def test_the_command_names_what_is_wrong(tmp_path: Path) -> None:
    done = run("report", sample_path(), "--max-error", "20", cwd=tmp_path)
    assert done.returncode == 2
    assert "20 % is 0.2" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_pruning_helps_at_every_rung_is_drawn() -> None:
    better = {"density": 0.8 ** np.arange(12), "error": 0.1 - 0.002 * np.arange(12)}
    pruned = {name: values[1:] for name, values in better.items()} | {"unpruned_error": np.full(11, 0.1)}
    assert report(better, draws=0).chapters
    assert report(pruned, draws=0).chapters


def test_treatments_of_which_rung_0_alone_is_there_are_no_fault() -> None:
    rows = {
        "replicate": [0, 1, 0, 1], "rung": [0] * 4, "density": [1.0] * 4, "treatment": ["imp"] * 2 + ["extended"] * 2,
        "label_noise": [0.3] * 4, "test_error": [0.1, 0.11, 0.1, 0.11],
    }  # fmt: skip
    assert page(report(rows, draws=0))


def test_the_page_tells_the_command_that_makes_it_again(tmp_path: Path) -> None:
    path = tmp_path / "my runs" / "x y.csv"
    path.parent.mkdir()
    path.write_bytes(sample_path().read_bytes())
    planned = report(path, max_error=0.2000000001, confidence=0.95, draws=0)
    quoted = f"'{path}'"
    assert planned.provenance.commands[-1] == (
        f"prunescope report {quoted} --max-error 0.2000000001 --confidence 0.95 --draws 0"
    )
    assert f"prunescope next {quoted} --max-error 0.2000000001" in words(planned)
    assert "prunescope next TABLE --max-error 0.1" in words(report(CURVE, max_error=0.1, draws=0))


def test_a_lens_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be a file or a store"):
        report(CURVE, lens=tmp_path / "nothing", draws=0)


def test_a_dense_network_that_ladders_share_was_trained_once() -> None:
    shared = {
        "replicate": 0,
        "rung": 0,
        "density": 1.0,
        "error": 0.1,
        "started": "2026-01-01T00:00:00Z",
        "seconds": 2.0,
    }
    treatments = [shared | {"treatment": kind} for kind in ("imp", "one-shot")]
    treatments += [one | {"rung": 1, "density": 0.8, "seconds": 3.0, "error": 0.12} for one in treatments]
    rows = {name: [row[name] for row in treatments] for name in treatments[0]}
    facts = dict(report(rows, draws=0).provenance.facts)
    assert facts["training took"].startswith("8 s ")


def test_among_families_of_one_size_those_with_the_smallest_answer_have_a_chapter() -> None:
    parts = [
        {
            "family": np.full(20, "net", object),
            "recipe": np.full(20, f"recipe {number}", object),
            "density": CURVE["density"],
            "error": np.minimum(0.9, 0.05 + 0.002 * 1.25 ** (np.arange(20) - number)),
        }
        for number in range(6)
    ]
    many = report(
        {name: np.concatenate([columns[name] for columns in parts]) for name in parts[0]}, max_error=0.1, draws=0
    )
    assert [chapter.name for chapter in many.chapters] == [f"recipe recipe {number}" for number in (5, 4, 3, 2)]
    assert many.overview is not None
    assert [line.name for line in many.overview.lines] == [f"recipe recipe {number}" for number in (5, 4, 3, 2, 1, 0)]


def test_a_line_tells_only_what_the_data_tell() -> None:
    flat = {"density": CURVE["density"][:8], "error": 0.05 + 0.0001 * np.arange(8)}
    parts = [{**CURVE, "family": np.full(20, f"family {number}", object)} for number in range(4)]
    parts.append({**flat, "family": np.full(8, "flat", object)})
    tied = report(
        {name: np.concatenate([columns[name] for columns in parts]) for name in parts[0]}, max_error=0.3, draws=0
    )
    assert tied.overview is not None
    assert tied.overview.lines[-1].name == "flat"
    assert tied.overview.lines[-1].parameters == ()
    assert all(dict(line.parameters)["gamma"] > 0 for line in tied.overview.lines[:4])


def test_a_cell_is_one_configuration_whatever_column_tells_it() -> None:
    parts = [{**CURVE, "method": np.full(20, number)} for number in range(3)]
    equal = report({name: np.concatenate([columns[name] for columns in parts]) for name in parts[0]}, draws=0)
    assert dict(equal.provenance.facts)["networks"] == "60 of 3 cells"
    assert equal.title == "a table: 60 networks of 3 families"


def test_a_store_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path / "store", ladders=2, rungs=8)
    reads: list[Store] = []
    table = Store.table

    def read(store: Store) -> Table:
        reads.append(store)
        return table(store)

    monkeypatch.setattr(Store, "table", read)
    report(tmp_path / "store", draws=0)
    assert len(reads) == 1
