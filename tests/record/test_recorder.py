"""What a recorder promises anybody's loop: zeros that stay zero, rewinding that happens, refusals in one sentence."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from torch import nn

from prunescope import InputError, PrunescopeError, Recorder, Store, export_network, load_network, read_table
from prunescope.cli.main import cli
from prunescope.lens import analyze
from prunescope.record import Rung
from prunescope.table.test_outcomes import StoredOutcomes
from tests.record.loops import CLASSES, INPUTS, adamw, blobs, climb, error_of, make, train_epoch

Settings = dict[str, Any]


def recorder(folder: Path, **settings: Any) -> Recorder:
    return Recorder(folder / "store", **{"levels": 3, "rewind_epoch": 1, "examples": 60} | settings)


def first(rec: Recorder) -> Rung:
    return next(iter(rec))


def place(refused: pytest.ExceptionInfo[InputError]) -> str:
    (fault,) = refused.value.faults
    return fault.place


def asking(weights: dict[str, np.ndarray], probe: object) -> dict[str, np.ndarray]:
    """Rank weights by asking the network."""
    del probe
    return weights


def bits(rec: Recorder) -> list[bytes]:
    """Return the masks and rows of a ladder, apart from the clock."""
    rows = sorted(read_table(rec.store).rows(), key=lambda row: row["rung"])
    told = [{name: row[name] for name in ("rung", "kept", "test_error", "epochs", "parameters")} for row in rows]
    masks = [mask.tobytes() for row in rows for mask in rec.masks(row["rung"], make(0)).values()]
    return [json.dumps(told).encode(), *masks]


# Which weights go, and from where training goes on.


def test_rungs_tell_what_they_are(tmp_path: Path) -> None:
    rec = recorder(tmp_path)
    seen = []
    for rung in rec:
        planned, model = rung.density, make(rung.seed)
        with rung.on(model, adamw(model)):
            epochs = rung.epochs(3)
            seen.append((rung.number, rung.seed, len(epochs), list(epochs), rung.starts_from))
            assert rung.density == pytest.approx(planned, abs=0.005)
            rung.record(test_error=0.5)
    seeds = {seed for _, seed, *_ in seen}
    assert len(seeds) == 1
    assert [(number, count, epochs) for number, _, count, epochs, _ in seen] == [
        (0, 3, [0, 1, 2]),
        *((number, 2, [1, 2]) for number in (1, 2, 3)),
    ]
    assert seen[0][-1] == "its initial weights"
    assert seen[2][-1] == "the weights of rung 0 at epoch 1"
    assert list(rec) == []
    assert repr(rec).endswith("4 of 4 rungs>")


def test_counts_are_exact_and_rows_say_whose_they_are(tmp_path: Path) -> None:
    rec = recorder(tmp_path, family="mlp", dataset="blobs", depth=3, width=0.5, replicate=2, label_noise=0.1)
    climb(rec)
    others = 12 + 8 + CLASSES + 2 * 12
    for row in read_table(rec.store).rows():
        assert row["kept"] == round(WEIGHTS * 0.8 ** row["rung"])
        assert (row["prunable"], row["parameters"]) == (WEIGHTS, row["kept"] + others)
        assert (row["family"], row["dataset"], row["depth"], row["width"]) == ("mlp", "blobs", 3, 0.5)
        assert (row["replicate"], row["label_noise"], row["examples"]) == (2, 0.1, 60)
        assert (row["treatment"], row["rewind"], row["score"], row["scope"]) == (
            "imp",
            "weights",
            "magnitude",
            "global",
        )
        assert row["source"] == __name__
        assert row["epochs"] == (3 if row["rung"] == 0 else 2)


def test_densities_of_ones_own(tmp_path: Path) -> None:
    rec = recorder(tmp_path, levels=None, densities=[1, 0.5, 0.2, 0.1])
    climb(rec)
    table = read_table(rec.store)
    size = int(table["prunable"][0])
    assert sorted(table["kept"].tolist(), reverse=True) == [round(size * share) for share in (1, 0.5, 0.2, 0.1)]


def test_a_function_of_ones_own_ranks_weights(tmp_path: Path) -> None:
    def by_sign(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return weights

    rec = recorder(tmp_path, score=by_sign, keep="all")
    climb(rec)
    before = rec.load(0, make(1)).state_dict()
    masks, lowest = rec.masks(1, make(0)), []
    for name, mask in masks.items():
        weights = before[name].numpy()
        lowest.append((weights[~mask], weights[mask]))
    assert max(gone.max() for gone, _ in lowest if gone.size) <= min(kept.min() for _, kept in lowest)
    assert read_table(rec.store)["score"][0] == f"{__name__}:by_sign"


@pytest.mark.parametrize("score", ["gradient", "gradient-flow", "synaptic-flow"])
def test_scores_that_ask_the_network_are_given_batches(tmp_path: Path, score: str) -> None:
    x, labels = blobs(30, 5)
    rec = recorder(tmp_path, score=score, score_batches=[(x[:20], labels[:20]), (x[20:], labels[20:])], keep="all")
    climb(rec)
    assert len(read_table(rec.store)) == 4
    if score == "gradient":
        model = rec.load(0, make(1)).eval()
        F.cross_entropy(model(x), labels).backward()  # type: ignore[no-untyped-call]
        scores = {
            name: (p * p.grad).abs().detach().numpy() for name, p in model.named_parameters() if p.grad is not None
        }
        masks = rec.masks(1, make(0))
        gone = max(scores[name][~mask].max() for name, mask in masks.items() if (~mask).any())
        assert gone <= min(scores[name][mask].min() for name, mask in masks.items())


def test_layers_are_picked_by_name_pattern_or_rule(tmp_path: Path) -> None:
    picks: list[tuple[Any, list[str]]] = [
        ("all", ["0.weight", "3.weight", "5.weight"]),
        ("all-but-output", ["0.weight", "3.weight"]),
        (["3"], ["3.weight"]),
        (["!5.*"], ["0.weight", "3.weight"]),
        (["*", "!0"], ["3.weight", "5.weight"]),
        (lambda name, parameter: parameter.ndim == 2 and not name.startswith("0"), ["3.weight", "5.weight"]),
    ]
    for number, (prunable, names) in enumerate(picks):
        rec = Recorder(tmp_path / str(number), levels=1, prunable=prunable)
        climb(rec)
        assert list(rec.masks(1, make(0))) == names
    with pytest.raises(InputError) as refused:
        climb(Recorder(tmp_path / "none", levels=1, prunable=["sixth"]))
    assert place(refused) == "prunable"


def test_frozen_layers_are_left_alone_and_shared_ones_count_once(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.into = nn.Linear(INPUTS, 8)
            self.frozen = nn.Linear(8, 8)
            self.frozen.requires_grad_(False)
            self.again = nn.Linear(8, 8)
            self.same = nn.Linear(8, 8)
            self.same.weight = self.again.weight
            self.attention = nn.MultiheadAttention(8, 2)
            self.places = nn.Embedding(3, 8)
            self.out = nn.Linear(8, CLASSES)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.same(self.again(self.frozen(self.into(x)))) + self.places.weight[0]
            return self.out(x + self.attention(x[None], x[None], x[None])[0][0])  # type: ignore[no-any-return]

    def made(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return Tied()

    rec = recorder(tmp_path, keep="all")
    frozen = made(first(rec).seed).state_dict()["frozen.weight"]
    climb(rec, made=made)
    masks = rec.masks(3, made(0))
    names = ["into.weight", "again.weight", "attention.in_proj_weight", "attention.out_proj.weight", "out.weight"]
    assert sorted(masks) == sorted(names)
    row = next(read_table(rec.store).rows())
    assert row["prunable"] == INPUTS * 8 + 64 + 192 + 64 + 8 * CLASSES
    after = rec.load(3, made(1))
    assert torch.equal(after.state_dict()["frozen.weight"], frozen)
    assert after.get_parameter("same.weight") is after.get_parameter("again.weight")
    result = CliRunner().invoke(cli, ["status", str(rec.store.path)])
    assert "not pruned: frozen.weight (" in result.output
    assert "places.weight (" in result.output


# Zeros that stay zero.


WEIGHTS = INPUTS * 12 + 12 * 8 + 8 * CLASSES


def closure(model: nn.Module) -> Callable[[], torch.Tensor]:
    """Return what computes a loss and its gradients."""
    x, labels = blobs(60, 0)

    def loss() -> torch.Tensor:
        model.zero_grad()
        value = F.cross_entropy(model(x), labels)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    return loss


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw", "rmsprop", "lbfgs", "own", "wrapped", "two"])
def test_zeros_stay_zero_whatever_the_optimizer(tmp_path: Path, kind: str) -> None:
    class Own:
        def __init__(self, parameters: Any) -> None:
            self.param_groups = [{"params": list(parameters)}]

        def step(self) -> None:
            with torch.no_grad():
                for parameter in self.param_groups[0]["params"]:
                    parameter.add_(torch.ones_like(parameter), alpha=-0.01)

    class Wrapped:
        def __init__(self, optimizer: torch.optim.Optimizer) -> None:
            self.optimizer = optimizer
            self.param_groups = optimizer.param_groups

        def step(self) -> None:
            self.optimizer.step()

    def optimizers(model: nn.Module) -> list[Any]:
        parameters = list(model.parameters())
        match kind:
            case "sgd":
                return [torch.optim.SGD(parameters, 0.1, momentum=0.9, nesterov=True, weight_decay=0.01)]
            case "adam":
                return [torch.optim.Adam(parameters, 0.01, amsgrad=True)]
            case "adamw":
                return [torch.optim.AdamW(parameters, 0.01, foreach=True)]
            case "rmsprop":
                return [torch.optim.RMSprop(parameters, 0.01, momentum=0.9)]
            case "lbfgs":
                return [torch.optim.LBFGS(parameters, 0.1, max_iter=3)]
            case "own":
                return [Own(parameters)]
            case "wrapped":
                return [Wrapped(torch.optim.SGD(parameters, 0.1, momentum=0.9))]
        return [torch.optim.SGD(parameters[:2], 0.1), torch.optim.Adam(parameters[2:], 0.01)]

    rec = recorder(tmp_path, rewind="learning-rate", keep="all")
    for rung in rec:
        model = make(rung.seed)
        rules = optimizers(model)
        with rung.on(model, *rules):
            for _ in rung.epochs(3):
                for rule in rules:
                    loss = closure(model)
                    if kind != "lbfgs":
                        loss()
                    rule.step(*[loss] if kind == "lbfgs" else [])
                    zeros = sum(int((weights == 0).sum()) for weights in model.parameters() if weights.ndim > 1)
                    assert zeros >= WEIGHTS - round(WEIGHTS * 0.8**rung.number)
            rung.record(test_error=0.5)
    for number in range(4):
        state = rec.load(number, make(0)).state_dict()
        for name, mask in rec.masks(number, make(0)).items():
            assert not state[name].numpy()[~mask].any()
    changed = [rec.load(number, make(0)).state_dict()["0.weight"] for number in (2, 3)]
    assert not torch.equal(*changed)


def test_neither_momentum_nor_a_clipped_norm_knows_of_pruned_weights(tmp_path: Path) -> None:
    x, labels = blobs(60, 0)
    for rung in recorder(tmp_path, levels=2):
        model = make(rung.seed)
        rule = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        with rung.on(model, rule):
            for _ in rung.epochs(3):
                rule.zero_grad()
                F.cross_entropy(model(x), labels).backward()  # type: ignore[no-untyped-call]
                for parameter in model.parameters():
                    pruned = (parameter == 0) if parameter.ndim > 1 else torch.zeros_like(parameter, dtype=torch.bool)
                    assert parameter.grad is not None
                    assert not parameter.grad[pruned].any()
                rule.step()
                for weights, state in rule.state.items():
                    if weights.ndim > 1:
                        assert not state["momentum_buffer"][weights == 0].any()
            assert rung.number == 0 or any(bool((p == 0).any()) for p in model.parameters() if p.ndim > 1)
            rung.record(test_error=0.5)


def test_gradients_may_be_scaled_and_accumulated(tmp_path: Path) -> None:
    x, labels = blobs(60, 0)
    rec = recorder(tmp_path, keep="all")
    for rung in rec:
        model = make(rung.seed)
        rule, scaler = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9), torch.amp.GradScaler("cpu")
        with rung.on(model, rule):
            for _ in rung.epochs(3):
                for part in (slice(0, 30), slice(30, 60)):
                    scaler.scale(F.cross_entropy(model(x[part]), labels[part]) / 2).backward()  # type: ignore[no-untyped-call]
                scaler.step(rule)
                scaler.update()
                rule.zero_grad()
            rung.record(test_error=0.5)
    for name, mask in rec.masks(3, make(0)).items():
        assert not rec.load(3, make(0)).state_dict()[name].numpy()[~mask].any()


def test_optimizers_may_step_within_the_backward_pass(tmp_path: Path) -> None:
    x, labels = blobs(60, 0)
    rec = recorder(tmp_path, keep="all")
    for rung in rec:
        model = make(rung.seed)
        rules = {parameter: torch.optim.SGD([parameter], 0.01, momentum=0.9) for parameter in model.parameters()}

        def stepped(parameter: nn.Parameter, rules: dict[Any, torch.optim.SGD] = rules) -> None:
            rules[parameter].step()
            rules[parameter].zero_grad()

        with rung.on(model, *rules.values()):
            for parameter in model.parameters():
                parameter.register_post_accumulate_grad_hook(stepped)  # type: ignore[no-untyped-call]
            for _ in rung.epochs(3):
                F.cross_entropy(model(x), labels).backward()  # type: ignore[no-untyped-call]
            rung.record(test_error=0.5)
    assert rec.done == {0, 1, 2, 3}


def test_an_optimizer_that_counts_from_zero_has_taken_no_steps(tmp_path: Path) -> None:
    rec = recorder(tmp_path, levels=1)
    for rung in rec:
        model = make(rung.seed)
        rule = torch.optim.Adagrad(model.parameters(), 0.1)
        with rung.on(model, rule):
            for epoch in rung.epochs(3):
                train_epoch(model, rule, epoch)
            rung.record(test_error=0.5)
    assert rec.done == {0, 1}
    model = make(0)
    rule = torch.optim.Adagrad(model.parameters(), 0.1)
    train_epoch(model, rule, 0)
    with pytest.raises(InputError, match="anew"):
        opened(tmp_path, model, rule, levels=2)


def test_infinite_buffers_are_no_divergence(tmp_path: Path) -> None:
    def masked(seed: int) -> nn.Module:
        model = make(seed)
        model.register_buffer("causal", torch.full((3, 3), -torch.inf).triu(1))
        return model

    rec = recorder(tmp_path, levels=1)
    climb(rec, made=masked)
    assert rec.done == {0, 1}


def test_hooks_are_gone_after_a_rung(tmp_path: Path) -> None:
    climb(recorder(tmp_path, levels=1))
    model = make(0)
    rule = adamw(model)
    rung = first(recorder(tmp_path, levels=2))
    with rung.on(model, rule):
        for epoch in rung.epochs(3):
            train_epoch(model, rule, epoch)
        rung.record(test_error=0.5)
    held = {name: parameter == 0 for name, parameter in model.named_parameters() if parameter.ndim > 1}
    assert sum(int(zeros.sum()) for zeros in held.values()) == WEIGHTS - round(WEIGHTS * 0.8**2)
    train_epoch(model, rule, 9)
    revived = (parameter[held[name]] for name, parameter in model.named_parameters() if name in held)
    assert any(bool((weights != 0).any()) for weights in revived)


def test_a_scheduler_is_taken_to_where_it_stood(tmp_path: Path) -> None:
    rates: dict[int, list[float]] = {}
    for rung in recorder(tmp_path, rewind_epoch=2):
        model = make(rung.seed)
        rule = torch.optim.SGD(model.parameters(), 0.1)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(rule, 5)
        with rung.on(model, rule, scheduler=scheduler):
            for epoch in rung.epochs(5):
                rates.setdefault(epoch, []).append(rule.param_groups[0]["lr"])
                train_epoch(model, rule, epoch)
                scheduler.step()
            rung.record(test_error=0.5)
    assert [len(rates[epoch]) for epoch in range(5)] == [1, 1, 4, 4, 4]
    for values in rates.values():
        assert np.ptp(values) < 1e-12
    assert len({round(values[0], 9) for values in rates.values()}) == 5


def test_a_chain_of_schedulers_is_taken_to_where_it_stood(tmp_path: Path) -> None:
    rates: dict[int, list[float]] = {}
    kinds = torch.optim.lr_scheduler
    for rung in recorder(tmp_path, rewind_epoch=2, levels=1):
        model = make(rung.seed)
        rule = torch.optim.SGD(model.parameters(), 0.1)
        scheduler = kinds.ChainedScheduler([kinds.ExponentialLR(rule, 0.9), kinds.LinearLR(rule, 0.1, total_iters=4)])
        with rung.on(model, rule, scheduler=scheduler):
            for epoch in rung.epochs(4):
                rates.setdefault(epoch, []).append(rule.param_groups[0]["lr"])
                train_epoch(model, rule, epoch)
                scheduler.step()
            rung.record(test_error=0.5)
    assert [len(rates[epoch]) for epoch in range(4)] == [1, 1, 2, 2]
    assert all(np.ptp(values) < 1e-12 for values in rates.values())


def test_a_scheduler_that_cannot_be_replayed_is_refused_at_rung_0_where_one_must_be(tmp_path: Path) -> None:
    class Uncounted:
        def __init__(self, optimizer: torch.optim.Optimizer) -> None:
            self.optimizer = optimizer

    class Wrapped:
        def __init__(self, scheduler: object) -> None:
            self.scheduler = scheduler

    model = make(0)
    rule = torch.optim.SGD(model.parameters(), 0.1)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(rule)
    for scheduler in (Uncounted(rule), plateau, Wrapped(plateau)):
        with pytest.raises(InputError) as refused, first(recorder(tmp_path)).on(model, rule, scheduler=scheduler):
            raise AssertionError("must be refused before")
        assert place(refused) == "the scheduler"
    rung = first(recorder(tmp_path, rewind_epoch=0))
    with rung.on(model, rule, scheduler=plateau):
        for _ in rung.epochs(1):
            pass
        rung.record(test_error=0.5)


# Refusals.


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.GRU(INPUTS, 8), nn.Linear(8, CLASSES)


def test_layers_that_the_usual_rule_passes_over_are_warned_of(tmp_path: Path) -> None:
    model = Recurrent()
    with pytest.warns(UserWarning, match="24 of 360 weights.*cell.weight_ih_l0, cell.weight_hh_l0.*prunable="):
        first(recorder(tmp_path)).open(model, adamw(model))
    named = first(recorder(tmp_path, prunable=["*"]))
    model = Recurrent()
    named.open(model, adamw(model))
    assert not named.left_alone


@pytest.mark.parametrize("given", [True, False])
def test_a_scheduler_that_was_not_handed_over_is_refused_at_the_rewind_epoch(tmp_path: Path, given: bool) -> None:
    rec = recorder(tmp_path)

    def go() -> None:
        for rung in rec:
            model = make(rung.seed)
            rule = adamw(model)
            scheduler = torch.optim.lr_scheduler.StepLR(rule, 1)
            if given and rung.number:  # taken forward by the loop itself
                rule.step()
                scheduler.step()
                rule.state.clear()
            with rung.on(model, rule):
                for epoch in rung.epochs(2):
                    train_epoch(model, rule, epoch)
                    scheduler.step()
                rung.record(test_error=0.5)

    if given:
        go()
        assert len(rec.done) == 4
        return
    with pytest.raises(InputError) as refused:
        go()
    assert place(refused) == "the scheduler"
    assert rec.done == {0}


def test_a_scheduler_that_has_taken_steps_is_refused(tmp_path: Path) -> None:
    model = make(0)
    rule = adamw(model)
    scheduler = torch.optim.lr_scheduler.StepLR(rule, 1)
    rule.step()
    scheduler.step()
    with pytest.raises(InputError) as refused:
        first(recorder(tmp_path)).open(model, rule, scheduler=scheduler)
    assert place(refused) == "the scheduler"


def test_levels_that_would_keep_no_weight_are_refused_before_training(tmp_path: Path) -> None:
    rec = recorder(tmp_path, levels=60)
    model = make(0)
    with pytest.raises(InputError) as refused:
        first(rec).open(model, adamw(model))
    assert place(refused) == "levels"
    most = int(refused.value.faults[0].must.split("at most ")[1].split(":")[0])
    assert round(WEIGHTS * 0.8**most) >= 1 > round(WEIGHTS * 0.8 ** (most + 1))


def opened(folder: Path, model: nn.Module, *optimizers: Any, **settings: Any) -> None:
    with first(recorder(folder, **settings)).on(model, *optimizers):
        raise AssertionError("must be refused before")


def test_an_optimizer_must_hold_the_models_tensors(tmp_path: Path) -> None:
    model = make(0)
    for rules in ((), (adamw(make(0)),), (torch.optim.SGD(list(model.parameters())[:2], 0.1),), (object(),)):
        with pytest.raises(InputError) as refused:
            opened(tmp_path, model, *rules)
        assert place(refused) == "the optimizer"
    used = adamw(model)
    train_epoch(model, used, 0)
    with pytest.raises(InputError, match="anew") as refused:
        opened(tmp_path, model, used)
    assert place(refused) == "the optimizer"


def test_flattened_and_unmade_parameters_are_refused(tmp_path: Path) -> None:
    class FlatParameter(nn.Parameter):
        pass

    flat, lazy = make(0), nn.Sequential(nn.LazyLinear(3))
    flat.register_parameter("_flat_param", FlatParameter(torch.zeros(5)))
    for model in (flat, lazy, make(0).to("meta")):
        with pytest.raises(InputError) as refused:
            opened(tmp_path, model, torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.1))
        assert place(refused) == "the model's parameters"


def test_a_model_of_other_shapes_than_at_rung_0_is_refused(tmp_path: Path) -> None:
    def made(seed: int) -> nn.Module:
        return make(seed) if not rec.done else nn.Sequential(nn.Linear(INPUTS, 9), nn.Linear(9, CLASSES))

    rec = recorder(tmp_path)
    with pytest.raises(InputError, match=r"changes in .*weight") as refused:
        climb(rec, made=made)
    assert place(refused) == "the model"
    assert rec.done == {0}


def test_a_second_record_is_refused(tmp_path: Path) -> None:
    rec = recorder(tmp_path)
    with pytest.raises(PrunescopeError, match="rung 0 is recorded already"):
        for rung in rec:
            model = make(rung.seed)
            with rung.on(model, adamw(model)):
                for _ in rung.epochs(2):
                    pass
                rung.record(test_error=0.5)
                rung.record(test_error=0.4)
    assert rec.done == {0}


def test_a_rung_left_without_record_is_begun_again(tmp_path: Path) -> None:
    rec = recorder(tmp_path)
    with pytest.raises(PrunescopeError, match=r"rung 0 was left without record\(\)"):
        for rung in rec:
            model = make(rung.seed)
            with rung.on(model, adamw(model)):
                pass
    with pytest.raises(PrunescopeError, match=r"rung 0 was left without record\(\)"):
        for _ in rec:
            pass
    assert not rec.done
    climb(rec)
    assert rec.done == {0, 1, 2, 3}


def test_a_rewind_point_that_was_not_passed_is_refused(tmp_path: Path) -> None:
    rung = first(recorder(tmp_path))
    model = make(rung.seed)
    rule = adamw(model)
    with pytest.raises(InputError) as refused, rung.on(model, rule):
        train_epoch(model, rule, 0)
        rung.record(test_error=0.5, epochs=3)
    assert place(refused) == "rung 0"
    rung = first(recorder(tmp_path))
    model = make(rung.seed)
    with pytest.raises(InputError) as refused, rung.on(model, adamw(model)):
        rung.record(test_error=0.5)
    assert place(refused) == "epochs"


@pytest.mark.parametrize(("total", "later"), [(1, 3), (3, 4)])
def test_epochs_must_pass_the_rewind_epoch_and_stay_the_same(tmp_path: Path, total: int, later: int) -> None:
    rec = recorder(tmp_path)
    with pytest.raises(InputError) as refused:
        for rung in rec:
            model = make(rung.seed)
            with rung.on(model, adamw(model)):
                for _ in rung.epochs(total if rung.number == 0 else later):
                    pass
                rung.record(test_error=0.5)
    assert place(refused) == "epochs"


def test_weights_that_another_optimizer_revives_are_seen(tmp_path: Path) -> None:
    rec = recorder(tmp_path)
    with pytest.raises(InputError, match="is the optimizer that was given"):
        for rung in rec:
            model = make(rung.seed)
            with rung.on(model, adamw(model)):
                other = torch.optim.SGD(model.parameters(), 0.1, weight_decay=0.1)
                for epoch in rung.epochs(3):
                    train_epoch(model, other, epoch)
                    with torch.no_grad():
                        for parameter in model.parameters():
                            parameter.add_(0.01)
                rung.record(test_error=0.5)
    assert rec.done == {0}


@pytest.mark.parametrize(
    ("outcome", "where"),
    [
        ({"test_error": 12.5}, "test_error"),
        ({"test_error": "low"}, "test_error"),
        ({"test_error": float("nan")}, "test_error"),
        ({"test_error": 0.1, "examples": ([0, 1], [0.5], [True])}, "examples"),
        ({"test_error": 0.1, "examples": ([0, 0], [0.5, 0.4], [True, True])}, "examples: index"),
        ({"test_error": 0.1, "examples": ([0, 1], [0.5, 0.4])}, "examples"),
        ({"test_correct": [0.2, 0.9]}, "test_correct"),
        ({"test_correct": [[True], [False]]}, "test_correct"),
        ({"test_correct": []}, "test_correct"),
        ({"test_correct": [True, False], "test_examples": 3}, "test_correct"),
        ({"test_correct": [True, False], "test_error": 0.1}, "test_correct"),
    ],
)
def test_metrics_that_cannot_be_are_refused(tmp_path: Path, outcome: Settings, where: str) -> None:
    rec = recorder(tmp_path)
    rung = first(rec)
    model = make(rung.seed)
    with pytest.raises(InputError) as refused, rung.on(model, adamw(model)):
        for _ in rung.epochs(2):
            pass
        rung.record(**outcome)
    assert place(refused) == where
    assert not rec.done


def test_parameters_that_are_replaced_are_seen(tmp_path: Path) -> None:
    rec = recorder(tmp_path)

    def replace(rung: Rung, model: nn.Module, rule: object, epoch: int) -> None:
        if rung.number == 1 and epoch == 2:
            model.load_state_dict({k: torch.ones_like(v) for k, v in model.state_dict().items()}, assign=True)

    with pytest.raises(InputError, match="must be zero"):
        climb(rec, within=replace)
    assert rec.done == {0}


def test_epochs_are_gone_through_once(tmp_path: Path) -> None:
    for again, words in ((3, "has begun before"), (5, "must be 3 each time")):
        rung = first(recorder(tmp_path))
        model = make(rung.seed)
        with pytest.raises(PrunescopeError, match=words), rung.on(model, adamw(model)):
            for _ in rung.epochs(3):
                pass
            for _ in rung.epochs(again):
                pass


def test_complex_tensors_are_refused_before_training(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, dtype=torch.complex64))
    with pytest.raises(InputError, match="complex"):
        opened(tmp_path, model, adamw(model))


def test_a_function_without_a_name_ranks_no_weights(tmp_path: Path) -> None:
    functions: list[Callable[..., Any]] = [lambda weights: weights, functools.partial(dict)]
    for nameless in functions:
        with pytest.raises(InputError) as refused:
            recorder(tmp_path, score=nameless)
        assert place(refused) == "score"


def test_a_diverged_rung_is_noted_as_failed(tmp_path: Path) -> None:
    rec = recorder(tmp_path)

    def explode(rung: Rung, model: nn.Module, rule: object, epoch: int) -> None:
        if rung.number == 1:
            with torch.no_grad():
                next(model.parameters()).fill_(float("inf"))

    with pytest.raises(PrunescopeError, match="diverged"):
        climb(rec, within=explode)
    assert rec.done == {0}
    (failure,) = rec.store.failures()
    assert (failure.ladder, failure.rung) == (rec.identity, 1)
    assert "failed at rung 1" in CliRunner().invoke(cli, ["status", str(rec.store.path)]).output
    climb(rec)
    assert "failed at" not in CliRunner().invoke(cli, ["status", str(rec.store.path)]).output


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"levels": None}, {"levels"}),
        ({"densities": [1, 0.5, 0.6]}, {"densities", "levels"}),
        ({"densities": [0.9, 0.5], "levels": None}, {"densities"}),
        ({"score": "magnitud"}, {"score"}),
        ({"treatment": "extended", "rewind": "weights"}, {"rewind"}),
        ({"depth": 0, "label_noise": 1.5}, {"depth", "label_noise"}),
        ({"rewind": "back"}, {"rewind"}),
        ({"recipe": {"optimizer": object()}}, {"recipe"}),
        ({"score": "gradient"}, {"score_batches"}),
        ({"prunable": "most"}, {"prunable"}),
        ({"score": asking}, {"score_batches"}),
        ({"score": "tests.record.loops:nothing"}, {"tests"}),
        ({"keep": "al"}, {"keep"}),
        ({"keep": 3}, {"keep"}),
    ],
)
def test_what_cannot_be_recorded_is_refused_with_all_faults(
    tmp_path: Path, settings: Settings, where: set[str]
) -> None:
    with pytest.raises(InputError) as refused:
        recorder(tmp_path, **settings)
    assert {fault.place.split(".")[0] for fault in refused.value.faults} == where


def test_two_loops_do_not_climb_one_ladder(tmp_path: Path) -> None:
    one = iter(recorder(tmp_path))
    next(one)
    with pytest.raises(PrunescopeError, match="another loop climbs this ladder"):
        next(iter(recorder(tmp_path)))
    next(iter(recorder(tmp_path, replicate=1)))
    one.close()  # type: ignore[attr-defined]
    next(iter(recorder(tmp_path)))


def test_numbers_of_numpy_and_torch_are_taken_as_numbers(tmp_path: Path) -> None:
    sized = recorder(tmp_path, depth=np.int64(2), replicate=torch.tensor(1), recipe={"betas": (np.float64(0.5), 0.9)})
    assert sized.identity == recorder(tmp_path, depth=2, replicate=1, recipe={"betas": [0.5, 0.9]}).identity
    assert sized.ladder.recipe == {"betas": [0.5, 0.9]}


# Interrupted and resumed.


def test_more_levels_are_trained_later_without_redoing_any(tmp_path: Path) -> None:
    climb(recorder(tmp_path / "at once"))
    climb(recorder(tmp_path / "later", levels=1))
    again = recorder(tmp_path / "later")
    assert [rung.number for rung in _looked_at(again)] == [2]
    climb(again)
    assert bits(again) == bits(recorder(tmp_path / "at once"))
    status = CliRunner().invoke(cli, ["status", "--json", str(again.store.path)])
    (ladder,) = json.loads(status.output)["recorded"]
    assert (ladder["rungs"], ladder["rungs_done"], ladder["state"]) == (4, 4, "done")


def _looked_at(rec: Recorder) -> list[Rung]:
    return [next(iter(rec))]


def test_two_spellings_of_one_training_are_one_ladder(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    assert recorder(tmp_path, rewind="weights", score="magnitude", scope="global", levels=9).identity == one.identity
    assert recorder(tmp_path, recipe={"lr": 0.1}).identity != one.identity
    others = [recorder(tmp_path, **change) for change in ({"seed": 1}, {"rewind_epoch": 2}, {"pruning_fraction": 0.3})]
    assert len({rec.identity for rec in others} | {one.identity}) == 4


def test_tuples_and_numbers_of_numpy_are_plain_content(tmp_path: Path) -> None:
    one = recorder(tmp_path, depth=2, recipe={"betas": [0.9, 0.5], "lr": 0.25})
    same = recorder(tmp_path, depth=np.int64(2), recipe={"betas": (0.9, 0.5), "lr": np.float32(0.25)})
    assert same.identity == one.identity


@pytest.mark.parametrize("width", [7, 9, 11, 13])  # which file comes first follows from hashes
def test_a_start_that_got_no_row_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    def other(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(INPUTS, width), nn.ReLU(), nn.Linear(width, CLASSES))

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    rec = recorder(tmp_path)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(rec.store, "write", stop)
        climb(rec, epochs=4, made=other)
    climb(rec)
    assert rec.note()["epochs"] == 3
    assert rec.done == {0, 1, 2, 3}


def test_a_store_merged_with_another_goes_on(tmp_path: Path) -> None:
    climb(recorder(tmp_path / "a", levels=1))
    climb(recorder(tmp_path / "b", levels=1, replicate=1))
    stores = [str(tmp_path / name / "store") for name in ("a", "b")]
    assert CliRunner().invoke(cli, ["merge", *stores, "--into", str(tmp_path / "c" / "store")]).exit_code == 0
    both = Store(tmp_path / "c" / "store")
    assert len(both.recorded()) == 2
    climb(recorder(tmp_path / "c", replicate=1))
    assert len(read_table(both)) == 6


# What is made of it.


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
