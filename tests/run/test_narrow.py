"""Narrow ladders: each rung is what a dense ladder of its width trains, in any company and after any break."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prunescope.data import load
from prunescope.nets import network
from prunescope.run import run_study
from prunescope.run.artifacts import read_masks, read_weights
from prunescope.run.cohorts import Cohort, by_key
from prunescope.run.estimate import _saved_steps, estimate
from prunescope.run.events import Event, RungFinished
from prunescope.run.tuning_cache import CohortSettings, TuningCache
from prunescope.study import Study, effort
from prunescope.table import Store
from tests.run.studies import narrow_study, rows
from tests.train.cohorts import climbed, ladder, pictures, same


@pytest.fixture(autouse=True)
def whole_cohorts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TuningCache, "of_machine", lambda self, key: CohortSettings(64, 1, 64, 1, 1e-4))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("unbroken") / "store", create=True)
    assert not run_study(narrow_study(), store, workers=1).failures
    return store


def test_each_rung_is_a_dense_network_of_its_own_width(unbroken: Store) -> None:
    table = unbroken.table()
    assert len(table) == 2 * 2 * 4
    assert set(table["width"]) == {0.1, 0.08, 0.064, 0.0512}
    assert set(table["density"]) == {1.0}
    assert set(table["epochs"]) == {2}
    for row in table.rows():
        outline = network("lenet", 3, row["width"], 10, (1, 8, 8)).outline
        assert row["width"] == pytest.approx(0.1 * 0.8 ** row["rung"])
        assert row["kept"] == row["prunable"] == sum(parameter.size for parameter in outline.prunable("all"))
        assert row["parameters"] == outline.total
        assert row["connected"]


def test_a_rung_has_the_numbers_of_a_dense_ladder_of_its_width(unbroken: Store, tmp_path: Path) -> None:
    """Small fully connected networks give the same bits in any company."""
    dense_rows = {(row["width"], row["label_noise"], row["replicate"]): row for row in unbroken.table().rows()}
    for width in (0.08, 0.0512):
        study = narrow_study(levels=0, kind="dense", width=width)
        store = Store(tmp_path / f"{width}", create=True)
        run_study(study, store, workers=1)
        for row in store.table().rows():
            dense_row = dense_rows[row["width"], row["label_noise"], row["replicate"]]
            for name in ("test_error", "test_loss", "train_loss", "train_error", "parameters", "kept"):
                assert dense_row[name] == row[name], (width, name)


@pytest.mark.parametrize("rungs", [1, 3])
def test_a_run_that_was_stopped_goes_on_with_the_same_numbers(unbroken: Store, tmp_path: Path, rungs: int) -> None:
    store, seen = Store(tmp_path / "store", create=True), 0

    def on_event(event: Event) -> None:
        nonlocal seen
        seen += isinstance(event, RungFinished)
        if seen == rungs:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(narrow_study(), store, workers=1, on_event=on_event)
    assert len(store.table()) == 4 * rungs
    assert run_study(narrow_study(), store, workers=1).rungs == 16 - 4 * rungs
    assert rows(store) == rows(unbroken)


def test_more_levels_keep_what_is_there(unbroken: Store, tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    run_study(narrow_study(levels=1), store, workers=1)
    run_study(narrow_study(), store, workers=1)
    assert rows(store) == rows(unbroken)


def test_convolutional_ladders_climb_together_as_alone(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"validation": 0.01, "augment": "flip-crop", "momentum": 0.9}
    ladders = [
        ladder(
            "cifar-resnet",
            8,
            0.2,
            replicate=replicate,
            label_noise=0.1 * replicate,
            treatment={"kind": "narrow"},
            **changes,
        )
        for replicate in range(3)
    ]
    together = climbed(ladders, pictures(), tmp_path / "one")
    alone = climbed(ladders, pictures(), tmp_path / "two", alone=True)
    for narrow_ladder in ladders:
        same(together[narrow_ladder.identity], alone[narrow_ladder.identity])
        assert [rung.row["width"] for rung in together[narrow_ladder.identity]] == [0.2, 0.16, 0.128]
    dense = [
        ladder(
            "cifar-resnet",
            8,
            0.16,
            replicate=replicate,
            label_noise=0.1 * replicate,
            treatment={"kind": "dense"},
            **changes,
        )
        for replicate in range(3)
    ]
    wide = climbed(dense, pictures(), tmp_path / "three")
    for narrow, dense_ladder in zip(ladders, dense, strict=True):
        for name, values in wide[dense_ladder.identity][0].state.items():
            np.testing.assert_allclose(together[narrow.identity][1].state[name], values, 1e-7, 1e-9)


def test_weights_and_masks_of_a_rung_are_read_with_its_own_network(tmp_path: Path) -> None:
    study, store, data = narrow_study(levels=2), Store(tmp_path / "store", create=True), load("digits")
    run_study(study, store, workers=1, keep_weights=True)
    ladder = study.ladders[0]
    for rung in range(3):
        net = network("lenet", 3, ladder.cell_at(rung).width, data.classes, data.shape)
        weights = read_weights(store, ladder, rung, net)
        assert {name: values.shape for name, values in weights.items()} == {
            parameter.name: parameter.shape for parameter in net.outline.parameters
        }
        assert read_masks(store, ladder, rung, net).kept == sum(
            parameter.size for parameter in net.outline.prunable("all")
        )


def test_narrow_ladders_begin_with_others_and_go_a_way_of_their_own() -> None:
    narrow, dense = narrow_study(), narrow_study(kind="extended")
    ((key, group),) = by_key([*narrow.ladders, *dense.ladders]).items()
    parts = Cohort(key, tuple(group)).groups()
    assert {parts[ladder.identity] for ladder in narrow.ladders} == {("narrow", 0)}
    assert {parts[ladder.identity] for ladder in dense.ladders} == {("", 0)}


def test_a_plan_counts_narrower_networks_as_cheaper() -> None:
    study = narrow_study(8, width=1.0)
    narrow = estimate(study.ladders, None)
    assert narrow.disk_with_weights is not None
    sizes = [network("lenet", 3, float(f"{0.8**rung:.12g}"), 10, (1, 8, 8)).outline.total for rung in range(9)]
    assert 4 * 4 * sum(sizes) < narrow.disk_with_weights < 1.3 * 4 * 4 * sum(sizes) + 4 * 9 * 1_500

    def share(study: Study) -> float:
        return 1 - _saved_steps(study.ladders, 1e10) / effort(study.ladders).steps

    assert 0.1 < share(study) < 0.5 < share(narrow_study(1, width=1.0)) < 1
    assert share(narrow_study(kind="dense")) == 1
