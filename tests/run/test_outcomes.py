"""Outcomes made after training are those that the run would have kept, and nothing else in the store changes."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prunescope.errors import InputError
from prunescope.lens import analyze, lacking_outcomes
from prunescope.run import run_study
from prunescope.run.events import Event, RungFinished
from prunescope.run.outcomes import Agreement, MadeOutcome, make_outcomes
from prunescope.run.tuning_cache import CohortSettings, TuningCache
from prunescope.study import Study, Treatment
from prunescope.study.sections import Axes, El2n, Recipe
from prunescope.table import Store
from prunescope.table.schema import STORED_NAMES
from tests.run.studies import rows

TREATMENTS = (
    Treatment(kind="imp", name="rates", rewind="learning-rate"),
    Treatment(kind="imp", name="weights"),
    Treatment(kind="imp", name="anew", rewind="reinitialise"),
    Treatment(kind="one-shot", score="gradient"),
    Treatment(kind="extended"),
    Treatment(kind="narrow"),
    Treatment(kind="leave-out", learns_from="rates", share=0.3),
)


@pytest.fixture(autouse=True)
def whole_cohorts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TuningCache, "of_machine", lambda self, key: CohortSettings(64, 1, 64, 1, 1e-4))


def study_of(*treatments: Treatment, **changes: Any) -> Study:
    axes = Axes(
        dataset=("digits",), family=("lenet",), depth=(3,), width=(0.06,), examples=(200,), label_noise=(0.0, 0.3)
    )
    settings = {"epochs": 3, "batch": 16, "learning_rate": 0.2, "levels": 3, "validation": 0.1, "rewind_epoch": 1}
    el2n = El2n(networks=2, epoch=1)
    return Study("kept", (axes,), Recipe(**settings | changes), treatments or TREATMENTS, replicates=2, el2n=el2n)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("kept") / "store", create=True)
    assert not run_study(study_of(), store, workers=1, keep_examples=True).failures
    return store


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lost") / "store"
    assert not run_study(study_of(), path, workers=1).failures
    return path


@pytest.fixture
def store(lost: Path, tmp_path: Path) -> Store:
    """Return a store that kept outcomes of the teachers alone."""
    return Store(shutil.copytree(lost, tmp_path / "store"))


def networks(store: Store) -> list[tuple[str, int]]:
    return [(ladder, rung) for ladder, rungs in sorted(store.done().items()) for rung in sorted(rungs)]


def contents(store: Store) -> dict[str, str]:
    """Return the hash of every file but locks."""
    files = [path for path in store.path.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return {str(path.relative_to(store.path)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_outcomes_are_those_that_a_run_would_have_kept_and_nothing_else_changes(kept: Store, store: Store) -> None:
    before, all_networks = contents(store), networks(store)
    lacking = [key for key in all_networks if not store.has_arrays("examples", *key)]
    assert len(lacking) == len(all_networks) - 4 * 4, "teachers alone kept theirs"
    made = make_outcomes(store, all_networks, workers=1)
    assert sorted((outcome.ladder, outcome.rung) for outcome in made) == lacking
    assert all(outcome.kept for outcome in made)
    for key in all_networks:
        now, then = store.read_arrays("examples", *key), kept.read_arrays("examples", *key)
        assert now.keys() == then.keys()
        for name in ("index", "label", "noisy", "right"):
            assert np.array_equal(now[name], then[name]), (key, name)
        np.testing.assert_allclose(now["loss"], then["loss"], rtol=1e-4, atol=1e-6)
    after = contents(store)
    assert {name: mark for name, mark in after.items() if name in before} == before
    assert all(name.startswith("examples/") for name in after.keys() - before.keys())
    assert len(after) - len(before) == len(lacking)


def test_outcomes_add_up_to_the_rows(store: Store) -> None:
    make_outcomes(store, networks(store), workers=1)
    for row in store.table().rows():
        arrays = store.read_arrays("examples", row["ladder"], row["rung"])
        assert arrays["loss"].astype(float).mean() == pytest.approx(row["train_loss"], rel=1e-5)
        assert np.mean(~arrays["right"]) == pytest.approx(row["train_error"], abs=1e-12)


def test_what_the_lens_lacks_is_made_and_then_nothing_is_lacking(store: Store) -> None:
    lacking = lacking_outcomes(store)
    cells = analyze(store).cells
    table = store.table()
    sparse_rungs = {(ladder, rung) for ladder, rung in lacking if rung}
    for cell in cells:
        for comparison in (cell.extended, cell.narrow, *cell.ablations):
            assert comparison
            of_cell = (table["label_noise"] == cell.label_noise) & (table["treatment"] == comparison.curve.kind)
            ladders = set(table["ladder"][of_cell].tolist())
            assert {rung for ladder, rung in sparse_rungs if ladder in ladders} >= {comparison.curve.optimal}
        assert not [change for change in cell.ablations[0].changes if change.groups]
    assert not any(store.has_arrays("examples", *network) for network in lacking)
    assert all(outcome.kept for outcome in make_outcomes(store, lacking, workers=1))
    assert lacking_outcomes(store) == ()
    for cell in analyze(store).cells:
        for comparison in (cell.extended, cell.narrow, *cell.ablations):
            assert comparison
            assert [change.rung for change in comparison.changes if change.groups] == [comparison.curve.optimal]
    narrow = lacking_outcomes(store, treatment="narrow", rungs=[1, 2, 3])
    assert {rung for _, rung in narrow} < {1, 2, 3}
    of_narrow = set(table["ladder"][table["treatment"] == "narrow"].tolist())
    assert {ladder for ladder, _ in narrow} <= of_narrow
    assert lacking_outcomes(store, noise=[0.3], rungs=[2]) == (), "the main treatment's were kept"


def rewritten(store: Store, path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Store:
    """Return a copy of a store with other values in some columns of its rows."""
    shutil.copytree(store.path, path, ignore=shutil.ignore_patterns("rungs", "shards", "*.parquet"))
    other = Store(path)
    assert not other.done()
    changed = [{name: row[name] for name in STORED_NAMES} for row in store.table().rows()]
    other.write(row | change(row) for row in changed)
    return other


@pytest.mark.parametrize(
    ("column", "factor", "agreement"),
    [
        ("train_loss", 1.0, Agreement.EQUAL),
        ("train_loss", 1 + 4e-4, Agreement.ROUNDING),
        ("train_loss", 1.01, Agreement.DIFFERENT),
        ("test_loss", 0.99, Agreement.DIFFERENT),
        ("test_error", 0.9, Agreement.DIFFERENT),
        ("train_error", 0.9, Agreement.DIFFERENT),
    ],
)
def test_a_network_that_differs_from_its_row_is_not_kept(
    lost: Path, tmp_path: Path, column: str, factor: float, agreement: Agreement
) -> None:
    store = rewritten(Store(lost), tmp_path / "store", lambda row: {column: row[column] * factor})
    ladder = next(ladder.identity for ladder in study_of().ladders if ladder.treatment.label == "weights")
    (outcome,) = make_outcomes(store, [(ladder, 2)], workers=1)
    assert outcome.agreement is agreement
    assert set(outcome.differences) == ({column} if factor != 1 else set())
    assert store.has_arrays("examples", ladder, 2) is outcome.kept is (agreement is not Agreement.DIFFERENT)


def test_another_number_of_weights_is_no_rounding(lost: Path, tmp_path: Path) -> None:
    store = rewritten(Store(lost), tmp_path / "store", lambda row: {"parameters": row["parameters"] - 1})
    ladder = next(ladder.identity for ladder in study_of().ladders if ladder.treatment.label == "anew")
    (outcome,) = make_outcomes(store, [(ladder, 1)], workers=1)
    assert outcome.agreement is Agreement.DIFFERENT
    assert list(outcome.differences) == ["parameters"]


def test_a_stopped_run_keeps_what_is_finished_and_goes_on(store: Store) -> None:
    seen = 0

    def stopping(event: Event) -> None:
        nonlocal seen
        seen += isinstance(event, RungFinished)
        if seen == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_outcomes(store, networks(store), workers=1, on_event=stopping)
    left = [key for key in networks(store) if not store.has_arrays("examples", *key)]
    before = rows(store)
    made = make_outcomes(store, networks(store), workers=1)
    assert sorted((outcome.ladder, outcome.rung) for outcome in made) == left
    assert all(outcome.kept for outcome in made)
    assert rows(store) == before


def test_a_ladder_that_another_run_works_on_is_left_to_it(store: Store) -> None:
    ladder = next(ladder.identity for ladder in study_of().ladders if ladder.treatment.label == "weights")
    with store.claim(ladder) as free:
        assert free
        made = make_outcomes(store, [(ladder, 1)], workers=1)
    assert made == (MadeOutcome(ladder, 1, Agreement.ELSEWHERE, {}),)
    assert not store.has_arrays("examples", ladder, 1)


def test_unfinished_rungs_and_ladders_of_no_study_are_refused(store: Store) -> None:
    ladder = study_of().ladders[0].identity
    with pytest.raises(InputError) as raised:
        make_outcomes(store, [(ladder, 9), ("0" * 32, 1)])
    assert [fault.place for fault in raised.value.faults] == [f"ladder {ladder}", f"ladder {'0' * 32}"]


def small(depth: int, width: float, classes: int) -> object:
    """Make a network of one's own."""
    from torch import nn

    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, round(20 * width)), nn.ReLU(), nn.Linear(round(20 * width), classes)
    )


def test_code_of_a_store_runs_only_where_it_is_asked_for(tmp_path: Path) -> None:
    axes = Axes(dataset=("digits",), family=(f"{__name__}:small",), depth=(1,), width=(1.0,), examples=(100,))
    study = Study("code", (axes,), Recipe(epochs=1, batch=20, learning_rate=0.1, levels=1), replicates=1)
    store = Store(tmp_path / "store", create=True)
    assert not run_study(study, store, workers=1).failures
    with pytest.raises(InputError) as raised:
        make_outcomes(store, networks(store), workers=1)
    assert [fault.place for fault in raised.value.faults] == [f"ladder {study.ladders[0].identity}"]
    assert [outcome.kept for outcome in make_outcomes(store, networks(store), workers=1, run_code=True)] == [True, True]
