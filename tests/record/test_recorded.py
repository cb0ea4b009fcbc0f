"""What is made of a recorded ladder: the lens, choices, exports, fits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from torch import nn

from prunescope import InputError, export_network, load_network, read_table
from prunescope.cli.main import cli
from prunescope.lens import analyze
from prunescope.table.arrays import StoredOutcomes
from tests.record.loops import (
    CLASSES,
    INPUTS,
    WEIGHTS,
    adamw,
    blobs,
    climb,
    error_of,
    first,
    make,
    place,
    recorder,
    train_epoch,
)


def test_outcomes_of_examples_are_kept_in_the_order_of_their_indices(tmp_path: Path) -> None:
    rec = recorder(tmp_path, levels=1)
    for rung in rec:
        model = make(rung.seed)
        rule = adamw(model)
        with rung.on(model, rule):
            for epoch in rung.epochs(3):
                train_epoch(model, rule, epoch)
            index = torch.randperm(60)
            rung.record(test_error=error_of(model), examples=(index, index / 100, index % 2 == 0))
    for number in (0, 1):
        arrays = rec.store.read_arrays("examples", rec.identity, number)
        assert arrays["index"].tolist() == list(range(60))
        np.testing.assert_allclose(arrays["loss"], np.arange(60) / 100, rtol=1e-6)
        assert arrays["right"].tolist() == [place % 2 == 0 for place in range(60)]


def test_outcomes_on_test_examples_are_kept_and_tell_the_test_error(tmp_path: Path) -> None:
    rec = recorder(tmp_path, levels=1)
    right = torch.tensor([True, False, True, True, False] * 4)
    for rung in rec:
        model = make(rung.seed)
        rule = adamw(model)
        with rung.on(model, rule):
            for epoch in rung.epochs(3):
                train_epoch(model, rule, epoch)
            rung.record(test_correct=right if rung.number == 0 else ~right)
    table = rec.store.table()
    assert table["test_error"].tolist() == [0.4, 0.6]
    assert table["test_examples"].tolist() == [20, 20]
    outcomes = StoredOutcomes(rec.store.path).of([(rec.identity, 1), (rec.identity, 0)])
    assert outcomes is not None
    flags = np.unpackbits(outcomes[0], axis=1, count=outcomes[1]).astype(bool)
    assert flags.tolist() == [(~right).tolist(), right.tolist()]


def test_the_lens_finds_scores_of_ones_own(tmp_path: Path) -> None:
    for replicate in range(2):
        rec = recorder(tmp_path, family="mlp", dataset="blobs", replicate=replicate)
        index = np.arange(60)
        rec.score_examples(index, np.linspace(0, 1, 60), networks=3, epoch=2)
        for rung in rec:
            model = make(rung.seed)
            rule = adamw(model)
            with rung.on(model, rule):
                for epoch in rung.epochs(3):
                    train_epoch(model, rule, epoch)
                loss = np.linspace(0.1, 1, 60) * (1 + 0.1 * rung.number)
                error = error_of(model)
                rung.record(
                    test_error=error, validation_error=error, train_loss=loss.mean(), examples=(index, loss, loss < 1)
                )
    result = CliRunner().invoke(cli, ["lens", str(tmp_path / "store")])
    assert result.exit_code == 0, result.output
    words = " ".join(result.output.split())
    assert "by EL2N percentile (replicates 0, 1; 3 networks at epoch 2)" in words


def test_the_lens_says_how_a_recorder_gives_what_is_missing(tmp_path: Path) -> None:
    for replicate in range(2):
        climb(recorder(tmp_path, replicate=replicate, examples=None))
    cell = analyze(tmp_path / "store").cells[0]
    hints = {missing.what: missing.how for missing in cell.missing}
    assert "rung.record(validation_error=...)" in hints["the optimal sparsity"]
    assert "rung.record(train_loss=...)" in hints["training loss"]
    assert "recorder.score_examples(" in hints["groups by EL2N"]
    assert 'treatment="extended"' in hints["extended dense training"]
    assert not any("study" in hint or "run again" in hint for hint in hints.values())
    assert "examples" not in cell.name


def test_the_lens_says_how_recorded_trainings_differ(tmp_path: Path) -> None:
    climb(recorder(tmp_path))
    climb(recorder(tmp_path, treatment="extended", rewind_epoch=0))
    (missing,) = (
        missing
        for cell in analyze(tmp_path / "store").cells
        for missing in cell.missing
        if missing.what == "extended dense training"
    )
    assert "(rewind_epoch 0 instead of 1)" in missing.why


def test_the_lens_shows_no_label_where_none_was_recorded(tmp_path: Path) -> None:
    index = np.arange(60)
    for rung in recorder(tmp_path):
        model = make(rung.seed)
        with rung.on(model, adamw(model)):
            assert list(rung.epochs(2))
            loss = np.linspace(0.1, 1, 60) * (1 + 0.1 * rung.number * (-1) ** index)
            rung.record(test_error=0.5, validation_error=0.5, examples=(index, loss, loss < 1))
    output = CliRunner().invoke(cli, ["lens", str(tmp_path / "store")]).output
    shown = [line.split() for line in output.splitlines() if line.startswith(("  worse", "  better"))]
    assert shown
    assert {words[2] for words in shown} == {"no"}  # whether it is noisy comes right after its place


def test_status_names_recorded_ladders_in_order(tmp_path: Path) -> None:
    recorders = [recorder(tmp_path, width=width, replicate=replicate) for width in (0.5, 1.0) for replicate in (0, 1)]
    for rec in reversed(recorders):
        climb(rec)
    output = CliRunner().invoke(cli, ["status", str(tmp_path / "store")]).output
    places = [output.index(f"  {rec.identity[:8]}  ") for rec in recorders]
    assert places == sorted(places)


@pytest.mark.parametrize("keep", ["all", "none"])
def test_choose_says_how_a_recorded_network_is_taken_away(tmp_path: Path, keep: str) -> None:
    rec = recorder(tmp_path, levels=8, pruning_fraction=0.4, keep=keep)
    for rung in rec:
        model = make(rung.seed)
        with rung.on(model, adamw(model)):
            assert list(rung.epochs(2))
            rung.record(test_error=min(0.8, 0.1 + 0.006 / rung.density))
    result = CliRunner().invoke(cli, ["choose", str(rec.store.path), "--max-error", "0.2"])
    assert result.exit_code == 0, result.output
    words = " ".join(result.output.split())
    assert "cannot be exported" not in words
    assert (f"--ladder {rec.identity[:8]} --rung" in words) == (keep == "all")
    assert ("keep='all'" in words) == (keep == "none")


def test_export_says_which_recorded_ladders_there_are(tmp_path: Path) -> None:
    for replicate in range(2):
        climb(recorder(tmp_path, family="mlp", replicate=replicate))
    with pytest.raises(InputError) as refused:
        export_network(tmp_path / "store", tmp_path / "net.safetensors", rung=1, model=make(0))
    (fault,) = refused.value.faults
    assert "mlp l=1 w=1 on own, replicate 1, imp" in fault.hint
    assert "of no study" not in fault.hint


def test_a_recorded_rung_is_exported_and_loaded(tmp_path: Path) -> None:
    rec = recorder(tmp_path, keep="all", family="mlp")
    climb(rec)
    target = tmp_path / "net.safetensors"
    exported = export_network(rec.store, target, rung=2, model=make(7))
    assert (exported.card.kept, exported.card.test_error) == (
        round(WEIGHTS * 0.64),
        next(row["test_error"] for row in read_table(rec.store).rows() if row["rung"] == 2),
    )
    loaded = load_network(target, factory=make)
    wanted = rec.load(2, make(3)).eval()
    x, _ = blobs(20, 9)
    assert torch.equal(loaded(x), wanted(x))
    assert loaded.card.rung == 2
    F.cross_entropy(loaded(x), blobs(20, 9)[1]).backward()  # type: ignore[no-untyped-call]
    with pytest.raises(InputError) as refused:
        load_network(target)
    assert place(refused) == "factory"
    typed = ["export", str(rec.store.path), "--density", "0.8", "-o", str(tmp_path / "cli.safetensors")]
    result = CliRunner().invoke(cli, [*typed, "--factory", "tests.record.loops:make"])
    assert result.exit_code == 0, result.output
    assert "every tensor equal to the last bit" in result.output
    assert CliRunner().invoke(cli, typed).exit_code != 0


def test_a_rung_whose_weights_were_not_kept_is_exported_from_its_trained_model(tmp_path: Path) -> None:
    rec = recorder(tmp_path, levels=1)
    trained: list[nn.Module] = []
    climb(rec, within=lambda rung, model, rule, epoch: trained.append(model))
    target = tmp_path / "net.safetensors"
    export_network(rec.store, target, rung=1, model=trained[-1])
    for name, value in load_network(target, factory=make).state_dict().items():
        assert torch.equal(value, trained[-1].state_dict()[name])
    for other in (make(0), nn.Linear(2, 2)):
        with pytest.raises(InputError) as refused:
            export_network(rec.store, target, rung=1, model=other)
        assert place(refused) == "the model"


def test_a_loop_that_has_losses_alone_is_fitted_by_them(tmp_path: Path) -> None:
    rec = recorder(tmp_path, levels=12, pruning_fraction=0.3)
    for rung in rec:
        model = make(rung.seed)
        with rung.on(model, adamw(model)):
            for _ in rung.epochs(2):
                pass
            rung.record(test_loss=1.2 + 0.1 * rung.number)
    with pytest.raises(InputError) as refused:
        read_table(rec.store)
    assert place(refused) == "column 'test_error'"
    table = read_table(rec.store, outcome="test_loss")
    assert table["test_error"].tolist() == pytest.approx([1.2 + 0.1 * number for number in range(13)])
    listing = CliRunner().invoke(cli, ["table", str(rec.store.path), "--columns", "rung,test_loss,test_error"])
    assert len(listing.output.splitlines()) >= 14
    fit = CliRunner().invoke(cli, ["fit", str(rec.store.path), "--law", "single", "--outcome", "test_loss"])
    assert fit.exit_code == 0, fit.output
    rung = first(recorder(tmp_path, replicate=1))
    model = make(0)
    with pytest.raises(InputError) as refused, rung.on(model, adamw(model)):
        rung.record(train_loss=0.5, epochs=1)
    assert place(refused) == "test_error"


def test_rows_without_errors_are_left_out_beside_others(tmp_path: Path) -> None:
    climb(recorder(tmp_path))
    rec = recorder(tmp_path, replicate=1, levels=0)
    for rung in rec:
        model = make(rung.seed)
        with rung.on(model, adamw(model)):
            for _ in rung.epochs(2):
                pass
            rung.record(test_loss=1.2)
    table = read_table(rec.store)
    assert len(table) == 4
    assert not np.isnan(table["unpruned_error"]).any()
    assert any("1 row without a test error" in words for words in table.notes)


def test_half_precision_is_recorded_and_exported(tmp_path: Path) -> None:
    def half(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(INPUTS, 12), nn.ReLU(), nn.Linear(12, CLASSES)).bfloat16()

    rec = recorder(tmp_path, levels=1, keep="all")
    for rung in rec:
        model = half(rung.seed)
        with rung.on(model, adamw(model)):
            for _ in rung.epochs(2):
                pass
            rung.record(test_error=0.5, examples=(torch.arange(4), torch.ones(4, dtype=torch.bfloat16), [True] * 4))
    target = tmp_path / "net.safetensors"
    export_network(rec.store, target, rung=1, model=half(7))
    loaded = load_network(target, factory=half).state_dict()
    for name, value in rec.load(1, half(3)).state_dict().items():
        assert value.dtype == torch.bfloat16
        assert torch.equal(loaded[name], value)
