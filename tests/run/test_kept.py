"""What a study keeps beside its rows: weights, and outcomes on training and test examples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prunescope.data import load
from prunescope.errors import InputError
from prunescope.nets import network
from prunescope.nets.cohort import Layout
from prunescope.run import run_study
from prunescope.run.artifacts import read_masks, read_weights
from prunescope.run.estimate import estimate
from prunescope.run.events import (
    ArtifactsMissing,
    Event,
)
from prunescope.run.ladder_runner import RunSettings, context_for
from prunescope.study.sections import Keep
from prunescope.table import Store, merge
from prunescope.table.arrays import StoredOutcomes
from tests.run.studies import dense_study, mixed_study, rows, trained

pytestmark = pytest.mark.usefixtures("whole_cohorts")


def test_kept_weights_give_the_error_of_the_row(tmp_path: Path) -> None:
    import torch

    study = mixed_study()
    store = Store(tmp_path / "store", create=True)
    run_study(study, store, workers=1, keep_weights=True)
    data = load("digits")
    table = store.table()
    for ladder in study.ladders[:4]:
        net = network(ladder.cell.family, 8, ladder.cell.width, data.classes, data.shape)
        context = context_for(ladder, data, Layout(), RunSettings("mixed"))
        for rung in range(ladder.rungs):
            weights = read_weights(store, ladder, rung, net)
            engine = context.engine(context.stacked([weights]), {})
            places = torch.arange(len(data.test_labels)).unsqueeze(0)
            examples = engine.examples(context.test_pictures, places)
            logits = engine.logits(examples.take(places))[0]
            error = float((logits.argmax(-1).numpy() != data.test_labels).mean())
            chosen = (table["ladder"] == ladder.identity) & (table["rung"] == rung)
            assert table["test_error"][chosen] == pytest.approx(error, abs=0.003)
            survivors = sum(int((weights[layer.name] != 0).sum()) for layer in net.outline.prunable("all"))
            assert survivors <= int(table["kept"][chosen][0])


def test_a_study_keeps_the_rungs_that_it_names(tmp_path: Path) -> None:
    study = replace(dense_study(replicates=1, widths=(0.04,)), keep=(0, 2))
    ladder, data = study.ladders[0], load("digits")
    net = network("lenet", 3, 0.04, data.classes, data.shape)
    chosen, every = Store(tmp_path / "chosen", create=True), Store(tmp_path / "every", create=True)
    run_study(study, chosen, workers=1)
    run_study(study, every, workers=1, keep_weights=True)
    assert rows(chosen) == rows(every)
    for rung in range(4):
        wanted = read_weights(every, ladder, rung, net)
        if rung in (0, 2):
            weights = read_weights(chosen, ladder, rung, net)
            assert all(np.array_equal(weights[name], wanted[name]) for name in wanted)
        else:
            with pytest.raises(InputError, match="under `keep` in the study"):
                read_weights(chosen, ladder, rung, net)
    estimates = [estimate(study.ladders, None, keep=keep) for keep in ("none", (0, 2), "all")]
    assert (estimates[0].disk or 0) < (estimates[1].disk or 0) < (estimates[2].disk or 0)
    assert {event.disk_with_weights for event in estimates} == {estimates[2].disk}


def test_kept_examples_add_up_to_the_row(tmp_path: Path) -> None:
    study = dense_study(replicates=1, levels=1)
    store = Store(tmp_path / "store", create=True)
    run_study(study, store, workers=1, keep_examples=True)
    table = store.table()
    for ladder, rung, loss, error in zip(
        table["ladder"], table["rung"], table["train_loss"], table["train_error"], strict=True
    ):
        arrays = store.read_arrays("examples", ladder, int(rung))
        assert arrays["loss"].mean() == pytest.approx(loss, rel=1e-5)
        assert (~arrays["right"]).mean() == pytest.approx(error)
        assert len(set(arrays["index"].tolist())) == 400


def test_a_study_keeps_the_outcomes_of_the_rungs_that_it_names(tmp_path: Path) -> None:
    study = replace(mixed_study(), keep_examples=(0, 2))
    chosen, plain = Store(tmp_path / "chosen", create=True), trained(mixed_study(), tmp_path / "plain")
    run_study(study, chosen, workers=1)
    assert rows(chosen) == rows(plain)
    for ladder in study.ladders:
        assert set(chosen.array_names("examples", ladder.identity)) == {0, 2}
        assert not plain.array_names("examples", ladder.identity)
    events: list[Event] = []
    run_study(replace(study, keep_examples="all"), chosen, workers=1, on_event=events.append)
    missing = [event for event in events if isinstance(event, ArtifactsMissing)]
    assert missing == [ArtifactsMissing("outcomes on examples", len(study.ladders))]  # all of rung 1, changed too late


def test_a_study_keeps_which_test_examples_are_right_of_the_rungs_that_it_names(tmp_path: Path) -> None:
    study = replace(mixed_study(), keep_test_examples=(0, 2))
    chosen, plain = Store(tmp_path / "chosen", create=True), trained(mixed_study(), tmp_path / "plain")
    run_study(study, chosen, workers=1)
    assert rows(chosen) == rows(plain)
    table = chosen.table()
    places = list(zip(table["ladder"].tolist(), table["rung"].tolist(), strict=True))
    kept = [place for place in places if place[1] in (0, 2)]
    outcomes = StoredOutcomes(chosen.path)
    stored = outcomes.of(kept)
    assert stored is not None
    assert stored[1] == study.ladders[0].facts.test
    right = np.unpackbits(stored[0], axis=1, count=stored[1])
    errors = dict(zip(places, table["test_error"].tolist(), strict=True))
    assert (1 - right.mean(axis=1)).tolist() == pytest.approx([errors[place] for place in kept], abs=1e-12)
    assert outcomes.of(places) is None  # rung 1 was not kept
    assert plain.table().stored_outcomes is not None
    assert StoredOutcomes(plain.path).of(places[:1]) is None
    files = [file.stat().st_size for file in (chosen.path / "test_examples").rglob("*.safetensors")]
    counts = [estimate(study.ladders, None, keep_test_examples=keep).disk or 0 for keep in ("none", (0, 2))]
    assert counts[1] - counts[0] == pytest.approx(sum(files), rel=0.2)
    events: list[Event] = []
    run_study(replace(study, keep_test_examples="all"), chosen, workers=1, on_event=events.append)
    missing = [event for event in events if isinstance(event, ArtifactsMissing)]
    assert missing == [ArtifactsMissing("outcomes on test examples", len(study.ladders))]


def test_a_plan_counts_the_outcomes_that_a_study_keeps(tmp_path: Path) -> None:
    study = mixed_study()

    def kept_on_disk(keep: Keep) -> tuple[int, ...]:
        estimated = estimate(study.ladders, None, keep_examples=keep)
        assert estimated.disk is not None
        assert estimated.disk_with_weights is not None
        return estimated.disk, estimated.disk_with_weights

    none, some, every = kept_on_disk("none"), kept_on_disk((0, 2)), kept_on_disk("all")
    assert [values - before for values, before in zip(some, none, strict=True)] == [
        2 * (values - before) for values, before in zip(every, some, strict=True)
    ]
    store = Store(tmp_path / "store", create=True)
    run_study(study, store, workers=1, keep_examples=True)
    files = (store.path / "examples").rglob("*.safetensors")
    assert every[0] - none[0] == pytest.approx(sum(file.stat().st_size for file in files), rel=0.5)


def test_stores_that_kept_different_things_of_the_same_rungs_are_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has a file for each rung, the other one for all rungs and weights."""
    study = dense_study(replicates=1, levels=2, widths=(0.04,))
    with monkeypatch.context() as patch:
        patch.setattr("prunescope.run.ladder_runner.WRITE_INTERVAL", -1.0)
        plain = trained(study, tmp_path / "plain")
    rich = Store(tmp_path / "rich", create=True)
    run_study(study, rich, workers=1, keep_weights=True)
    before = rows(plain)
    assert merge(plain, [rich]) == 0
    assert rows(plain) == before
    (ladder,) = study.ladders
    data = load("digits")
    net = network("lenet", 3, ladder.cell.width, data.classes, data.shape)
    for rung in range(3):
        wanted, merged = (read_weights(store, ladder, rung, net) for store in (rich, plain))
        assert wanted.keys() == merged.keys()
        assert all(np.array_equal(values, merged[name]) for name, values in wanted.items())
    whole = trained(dense_study(replicates=1, widths=(0.04,)), tmp_path / "whole")
    run_study(dense_study(replicates=1, widths=(0.04,)), plain, workers=1)
    assert rows(plain) == rows(whole)


def test_weights_that_were_not_kept_are_told(unbroken: Store) -> None:
    ladder = dense_study().ladders[0]
    data = load("digits")
    net = network("lenet", 3, ladder.cell.width, data.classes, data.shape)
    with pytest.raises(InputError, match="--keep-weights"):
        read_weights(unbroken, ladder, 1, net)
    table = unbroken.table()
    for rung in range(4):
        chosen = (table["ladder"] == ladder.identity) & (table["rung"] == rung)
        assert read_masks(unbroken, ladder, rung, net).kept == table["kept"][chosen][0]
