"""The paper's tables: every rung with its deviation, Tables 5 and 11 by hand, CSV that reads back, safe LaTeX."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from prunescope.lens import LensResult, analyze, paper_tables, write_tables
from prunescope.lens.paper_tables import PaperTable, to_csv, to_latex
from prunescope.study import Ladder, Treatment
from tests.commands import run
from tests.lens.planted import ERRORS, IMP, PLAIN, Figures, Plant, study


def figures(ladder: Ladder, number: int) -> Figures:
    error = ERRORS[number][ladder.replicate] + (0.02 if ladder.treatment.kind == "extended" and number else 0.0)
    noisy = 1.5 + 0.2 * number if ladder.cell.label_noise else None
    loss = {"train_loss": 0.5, "train_loss_original": 0.4 + 0.1 * ladder.replicate, "train_loss_noisy": noisy}
    return {"test_error": error, "validation_error": error, **loss}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> LensResult:
    planted = study(IMP, Treatment(kind="extended"), noise=(0.0, 0.3), el2n=False)
    return analyze(Plant(figures).into(tmp_path_factory.mktemp("tables") / "store", planted))


def rows(table: PaperTable) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(table))))


def test_every_rung_of_every_treatment_and_noise_has_a_row(result: LensResult) -> None:
    tables = {table.slug: table for table in paper_tables(result)}
    assert list(tables) == ["generalisation", "training-loss", "table-5", "table-11"]
    generalisation = rows(tables["generalisation"])
    assert len(generalisation) == 2 * 2 * 4
    first = generalisation[1]
    assert (first["treatment"], first["rung"], first["replicates"]) == ("imp learning-rate", "1", "3")
    assert float(first["density"]) == pytest.approx(0.8)
    assert float(first["test_error"]) == pytest.approx(15)
    assert float(first["test_error_deviation"]) == pytest.approx(2)
    assert rows(tables["training-loss"])[0]["train_loss_noisy"] == ""


def test_tables_5_and_11_are_of_the_optima(result: LensResult) -> None:
    tables = {table.slug: rows(table) for table in paper_tables(result)}
    extended = tables["table-5"][0]
    wanted = {"dense": 20.0, "sparse": 15.0, "extended": 17.0, "extended_minus_sparse": 2.0}
    assert {name: float(extended[name]) for name in wanted} == pytest.approx(wanted)
    assert extended["outcome"] == "worse"
    (losses,) = tables["table-11"]
    wanted = {"dense_original": 0.5, "dense_noisy": 1.5, "dense_gap": 1.0, "sparse_noisy": 1.7, "sparse_gap": 1.2}
    assert {name: float(losses[name]) for name in wanted} == pytest.approx(wanted)
    assert float(losses["dense_gap_deviation"]) == pytest.approx(0.1)


def test_groups_by_el2n_of_every_treatment_have_rows(tmp_path: Path) -> None:
    kept = analyze(PLAIN.into(tmp_path / "kept", study(IMP, Treatment(kind="extended"))), groups=4)
    tables = {table.slug: rows(table) for table in paper_tables(kept)}
    groups = [row for row in tables["loss-by-el2n"] if row["which"] == "optimal"]
    assert [(row["treatment"], row["group"]) for row in groups] == [
        (treatment, str(number)) for treatment in ("imp learning-rate", "extended") for number in range(4)
    ]
    # Rung 1 takes 0.1, 0.11 and 0.12 off each loss; off the last fifth, 8 of these 10 examples, 4 times as much.
    assert [float(row["difference"]) for row in groups[:4]] == pytest.approx([-0.11] * 3 + [-0.11 * 3.4], rel=1e-5)
    assert float(groups[3]["difference_deviation"]) == pytest.approx(0.01 * 3.4, rel=1e-4)
    assert {(row["examples"], row["replicates"], row["outcome"]) for row in groups} == {("10", "3", "better")}
    assert [float(groups[0][name]) for name in ("dense_loss", "sparse_loss")] == pytest.approx([2, 1.89])
    top = tables["top-fifth"][0]
    wanted = {"times": 4.0, "share": 0.5, "top": -0.44, "rest": -0.11}
    assert {name: float(top[name]) for name in wanted} == pytest.approx(wanted, rel=1e-5)


def test_latex_puts_deviations_beside_means_and_escapes_names(result: LensResult) -> None:
    (table,) = (table for table in paper_tables(result) if table.slug == "table-5")
    latex = to_latex(replace(table, rows=(("a_b & c", *table.rows[0][1:]),)))
    assert r"a\_b \& c & $0$ & $20 \pm 1$ & $15 \pm 2$ & $17 \pm 2$" in latex
    assert r"\begin{tabular}{lrrrrrl}" in latex
    assert "deviation" not in latex.partition("\n")[2]


def test_the_command_writes_csv_and_latex(result: LensResult, tmp_path: Path) -> None:
    run("lens", result.source, "--tables", str(tmp_path / "new" / "tables"))
    names = sorted(path.name for path in (tmp_path / "new" / "tables").iterdir())
    assert names == sorted(f"{table.slug}.{ending}" for table in paper_tables(result) for ending in ("csv", "tex"))
    assert write_tables(result, tmp_path)[0].read_text() == to_csv(paper_tables(result)[0])
