"""What a recorder promises of pruned weights: zeros that stay zero, and schedules that go on where they stood."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from prunescope import InputError
from tests.record.loops import (
    WEIGHTS,
    adamw,
    blobs,
    climb,
    first,
    make,
    opened,
    place,
    recorder,
    train_epoch,
)


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
