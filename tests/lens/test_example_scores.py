"""Scores and losses of training examples as rows to take away."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from prunescope.cli.main import cli
from prunescope.errors import InputError
from prunescope.lens import example_scores, label_suspicion
from prunescope.table import Store
from tests.lens.planted import EXAMPLES, PLAIN, Plant, el2n, index, plain_figures, plain_losses, study


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return PLAIN.into(tmp_path_factory.mktemp("scores") / "store", study(noise=(0.0, 0.25)))


def test_each_example_of_each_replicate_is_a_row_with_what_was_measured(store: Store) -> None:
    rows = example_scores(store)
    assert len(rows) == 2 * 3 * EXAMPLES
    for noise in (0.0, 0.25):
        for replicate in range(3):
            of_it = rows.take((rows["label_noise"] == noise) & (rows["replicate"] == str(replicate)))
            assert of_it["index"].tolist() == index(replicate).tolist()
            assert of_it["noisy"].sum() == round(noise * EXAMPLES)
            # The optimal rung is 1: plain losses are functions of the rung and of whether an example is on top.
            assert set(of_it["rung"].tolist()) == {1}
            top = np.arange(EXAMPLES) >= EXAMPLES - EXAMPLES // 5
            sparse = 2.0 - np.where(top, 0.4, 0.1) * (1 + 0.1 * replicate)
            assert of_it["loss_sparse"] == pytest.approx(sparse, abs=1e-6)
            assert of_it["loss_dense"] == pytest.approx(np.full(EXAMPLES, 2.0))
            assert of_it["el2n"] == pytest.approx(el2n(replicate), abs=1e-6)
            assert of_it["suspicion"] == pytest.approx(label_suspicion(of_it["loss_sparse"], of_it["el2n"]))


def test_another_rung_and_one_level_of_noise_are_taken_where_asked_for(store: Store) -> None:
    rows = example_scores(store, noise=(0.25,), rung=2)
    assert len(rows) == 3 * EXAMPLES
    assert set(rows["label_noise"].tolist()) == {0.25}
    assert set(rows["rung"].tolist()) == {2}
    assert rows["density"][0] == pytest.approx(0.64, abs=0.01)
    by_density = example_scores(store, noise=(0.25,), density=0.6)
    assert by_density["rung"].tolist() == rows["rung"].tolist()
    with pytest.raises(InputError):
        example_scores(store, noise=(0.5,))
    with pytest.raises(InputError) as trouble:
        example_scores(store, rung=99)
    assert [(fault.place, fault.found) for fault in trouble.value.faults] == [("rung", "99")]


def test_without_scores_el2n_is_missing_and_the_sparse_loss_alone_ranks(tmp_path: Path) -> None:
    plant = Plant(plain_figures, plain_losses, scored=lambda ladder: False)
    rows = example_scores(plant.into(tmp_path / "store", study(el2n=False)))
    assert np.isnan(rows["el2n"]).all()
    first = rows.take(rows["replicate"] == "0")
    assert first["suspicion"] == pytest.approx(label_suspicion(first["loss_sparse"]))


def test_a_store_without_outcomes_says_how_to_keep_them(tmp_path: Path) -> None:
    store = Plant(plain_figures).into(tmp_path / "store", study())
    with pytest.raises(InputError) as trouble:
        example_scores(store)
    (fault,) = trouble.value.faults
    assert fault.place == "the store"
    assert "keep_examples" in fault.hint


def test_the_command_writes_shows_and_prints_them(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "el2n.parquet"
    written = CliRunner().invoke(cli, ["scores", str(store.path), "-o", str(file)])
    assert written.exit_code == 0, written.output
    import duckdb

    count = duckdb.execute(f"select count(*), count(distinct index) from '{file}'").fetchall()
    assert count[0][0] == 2 * 3 * EXAMPLES
    shown = CliRunner().invoke(cli, ["scores", str(store.path), "--noise", "0.25"])
    assert shown.exit_code == 0
    assert "suspicion" in shown.output
    printed = CliRunner().invoke(cli, ["scores", str(store.path), "--noise", "0.25", "--json"])
    rows = json.loads(printed.stdout)
    assert len(rows) == 3 * EXAMPLES
    assert {"index", "label", "noisy", "el2n", "loss_dense", "loss_sparse", "suspicion"} <= set(rows[0])
