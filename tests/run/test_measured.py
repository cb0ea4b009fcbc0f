"""Studies whose networks are measured on some of their training examples."""

from __future__ import annotations

import numpy as np
import pytest

from prunescope.run import run_study
from prunescope.study import Ladder, Study
from prunescope.study.read import study_from
from prunescope.table import Store

ELSEWHERE = ("seconds", "started", "ladder", "recipe")  # the clock, and what names the recipe


def study_of(measured: int | str) -> Study:
    return study_from(
        {
            "name": "measured",
            "replicates": 2,
            "axes": {
                "dataset": "digits",
                "family": "lenet",
                "depth": 3,
                "width": 0.05,
                "examples": 200,
                "label_noise": 0.2,
            },
            "recipe": {"epochs": 2, "batch": 50, "learning_rate": 0.1, "levels": 1, "measure_train": measured},
            "treatments": [{"kind": "imp"}],
        }
    )


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[object, Store]:
    """Stores of the same training, measured on all examples, on some, and on more than there are."""
    stores: dict[object, Store] = {}
    for measured in ("all", 30, 999):
        stores[measured] = Store(tmp_path_factory.mktemp("measured"), create=True)
        report = run_study(study_of(measured), stores[measured], workers=1, keep_examples=measured == "all")
        assert not report.failures
    stores["kept"] = Store(tmp_path_factory.mktemp("kept"), create=True)
    assert not run_study(study_of(30), stores["kept"], workers=1, keep_examples=True).failures
    return stores


def row_of(store: Store, ladder: Ladder, rung: int) -> dict[str, object]:
    rows = store.table(f"ladder = '{ladder.identity}' and rung = {rung}").rows()
    return {
        name: value
        for name, value in next(iter(rows)).items()
        if name not in ("seconds", "started", "ladder", "recipe")
    }


@pytest.mark.parametrize("rung", [0, 1])
def test_error_and_loss_are_those_of_the_first_examples_and_nothing_else_changes(
    stores: dict[object, Store], rung: int
) -> None:
    for whole, some, more in zip(*(study_of(measured).ladders for measured in ("all", 30, 999)), strict=True):
        rows = {name: row_of(stores[name], ladder, rung) for name, ladder in (("all", whole), (30, some), (999, more))}
        assert len({whole.identity, some.identity, more.identity}) == 3
        assert rows["all"] == rows[999]
        kept = stores["all"].read_arrays("examples", whole.identity, rung)
        loss, right, noisy = (kept[name][:30] for name in ("loss", "right", "noisy"))
        assert rows[30]["train_error"] == pytest.approx(1 - right.mean())
        assert rows[30]["train_loss"] == pytest.approx(loss.mean())
        assert rows[30]["train_loss_noisy"] == pytest.approx(loss[noisy].mean())
        assert rows[30]["train_loss_original"] == pytest.approx(loss[~noisy].mean())
        for name in ("test_error", "test_loss", "kept"):
            assert rows[30][name] == rows["all"][name]
        assert rows[30]["train_loss"] != rows["all"]["train_loss"]


def test_outcomes_that_are_kept_are_those_on_every_example(stores: dict[object, Store]) -> None:
    for whole, some in zip(study_of("all").ladders, study_of(30).ladders, strict=True):
        for rung in (0, 1):
            one, other = (
                stores[name].read_arrays("examples", ladder.identity, rung)
                for name, ladder in (("all", whole), ("kept", some))
            )
            assert len(one["loss"]) == 200
            assert all(np.array_equal(one[name], other[name]) for name in one)
            kept, few = (row_of(stores[name], some, rung) for name in ("kept", 30))
            for name, value in few.items():
                assert kept[name] == (pytest.approx(value) if isinstance(value, float) else value)
