"""What a recorder refuses, in one sentence, where it can still be mended."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from prunescope import InputError, PrunescopeError
from prunescope.cli.main import cli
from prunescope.record import Rung
from tests.record.loops import (
    CLASSES,
    INPUTS,
    WEIGHTS,
    Settings,
    adamw,
    asking,
    climb,
    first,
    make,
    opened,
    place,
    recorder,
    train_epoch,
)


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
