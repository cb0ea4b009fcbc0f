"""What happens from rung to rung: where each treatment starts again, and the contracts that every rung is held to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from prunescope.errors import DamageError, PrunescopeError
from prunescope.nets import network
from prunescope.nets.cohort import Layout
from prunescope.prune import RungHandover, RungStart, full, keep_highest
from prunescope.run import data_parallel
from prunescope.run.ladder_state import resume
from prunescope.study import Ladder
from prunescope.train import (
    CohortMember,
    LadderRungs,
    Span,
    TrainedMembers,
    TrainingContext,
    seeding_of,
    train_rung,
)
from prunescope.train.dense import DenseEngine
from prunescope.train.engine import Tensors
from prunescope.train.ladder import check_begin, check_end
from prunescope.train.rung import ProgressKeeper
from tests.train.cohorts import Climbed, climbed, ladder, pictures, training_context

EPOCHS: dict[str, Any] = {"epochs": 3, "rewind_epoch": 1, "schedule": "steps", "milestones": (2,), "momentum": 0.9}


@dataclass(frozen=True)
class Seen:
    """A rung as it was trained: where it started, which part of the schedule, and what came of it."""

    start: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]
    span: Span
    trained: TrainedMembers


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Seen]:
    """Return the rungs of a climb, one after another."""
    rungs: list[Seen] = []

    def watched(
        context: TrainingContext,
        members: Sequence[CohortMember],
        start: Tensors,
        masks: Tensors,
        rung: int,
        span: Span,
        tick: Any,
        keeper: ProgressKeeper | None,
        every_example: bool,
    ) -> TrainedMembers:
        trained = train_rung(context, members, start, masks, rung, span, tick, keeper, every_example)
        begun, mask_arrays = (
            {name: values[0].numpy().copy() for name, values in tensors.items()} for tensors in (start, masks)
        )
        rungs.append(Seen(begun, mask_arrays, span, trained))
        return trained

    monkeypatch.setattr(data_parallel, "train_rung", watched)
    return rungs


def up(folder: Path, treatment: dict[str, Any], family: str = "cifar-resnet", **changes: Any) -> list[Climbed]:
    shape = (8, 1 / 16) if family == "cifar-resnet" else (3, 0.05)
    trained = ladder(family, *shape, treatment=treatment, **EPOCHS | changes)
    return climbed([trained], pictures(), folder, dtype=torch.float32)[trained.identity]


def member(arrays: dict[str, np.ndarray] | None) -> dict[str, np.ndarray]:
    assert arrays is not None
    return {name: values[0] for name, values in arrays.items()}


def hold(begun: Seen, origin: dict[str, np.ndarray], expected_masks: dict[str, np.ndarray]) -> None:
    """Hold a rung's start against where it should start from, to the last bit."""
    assert set(begun.start) == set(origin)
    for name, values in origin.items():
        wanted = values.astype(np.float32) * expected_masks[name] if name in expected_masks else values
        assert np.array_equal(begun.start[name], wanted.astype(begun.start[name].dtype)), name
    for name, mask in begun.masks.items():
        assert np.array_equal(mask != 0, expected_masks[name])


def kept_of(rung: Climbed) -> dict[str, np.ndarray]:
    return rung.left.masks.by_name()


@pytest.mark.parametrize("kind", ["imp", "one-shot"])
@pytest.mark.parametrize("family", ["lenet", "cifar-resnet"])
def test_rewound_weights_and_statistics_are_those_of_the_rewind_epoch(
    tmp_path: Path, seen: list[Seen], kind: str, family: str
) -> None:
    rungs = up(tmp_path, {"kind": kind}, family)
    assert [item.span for item in seen] == [Span(0, 3, None, 1), Span(1, 3), Span(1, 3)]
    snapshot = member(seen[0].trained.snapshot)
    for rung in (1, 2):
        hold(seen[rung], snapshot, kept_of(rungs[rung - 1]))
    assert any(not np.array_equal(values, seen[0].start[name]) for name, values in snapshot.items())


def test_the_rewind_epoch_is_the_state_after_so_many_epochs() -> None:
    example = ladder("cifar-resnet", 8, 1 / 16, **EPOCHS)
    context = replace(training_context("cifar-resnet", 8, 1 / 16), recipe=example.recipe)
    subsample = resume(example, context, None, 0).member.subsample  # type: ignore[arg-type]
    one = CohortMember(subsample, seeding_of(example))
    start = context.stacked([context.network.start(one.seeding.start())])
    through = train_rung(context, [one], start, {}, 0, Span(0, 3, None, 1), lambda done, total: None)
    stopped = train_rung(context, [one], start, {}, 0, Span(0, 1), lambda done, total: None)
    assert through.snapshot is not None
    assert all(np.array_equal(values, stopped.state[name]) for name, values in through.snapshot.items())
    assert any(not np.array_equal(values, through.state[name]) for name, values in through.snapshot.items())


def test_without_a_rewind_epoch_weights_go_back_to_where_they_were_drawn(tmp_path: Path, seen: list[Seen]) -> None:
    rungs = up(tmp_path, {}, rewind_epoch=0)
    assert [item.span for item in seen] == [Span(0, 3), Span(0, 3), Span(0, 3)]
    assert not rungs[0].left.origin
    for rung in (1, 2):
        hold(seen[rung], seen[0].start, kept_of(rungs[rung - 1]))


@pytest.mark.parametrize(("rewind", "rates_at"), [("learning-rate", None), ("fine-tuning", 2)])
def test_rates_go_back_alone_or_stay_and_weights_go_on_from_the_last(
    tmp_path: Path, seen: list[Seen], rewind: str, rates_at: int | None
) -> None:
    rungs = up(tmp_path, {"rewind": rewind})
    assert [item.span for item in seen] == [Span(0, 3), Span(1, 3, rates_at), Span(1, 3, rates_at)]
    for rung in (1, 2):
        hold(seen[rung], member(seen[rung - 1].trained.state), kept_of(rungs[rung - 1]))


@pytest.mark.parametrize("rewind", ["learning-rate", "fine-tuning"])
def test_one_shot_goes_on_from_the_dense_network_at_every_level(tmp_path: Path, seen: list[Seen], rewind: str) -> None:
    rungs = up(tmp_path, {"kind": "one-shot", "rewind": rewind}, levels=3)
    dense = member(seen[0].trained.state)
    for rung in (1, 2, 3):
        hold(seen[rung], dense, kept_of(rungs[rung - 1]))


@pytest.mark.parametrize("rewind", ["weights", "reinitialise"])
def test_one_shot_ranks_the_weights_of_the_dense_network(tmp_path: Path, seen: list[Seen], rewind: str) -> None:
    rungs = up(tmp_path, {"kind": "one-shot", "rewind": rewind}, levels=3)
    layers = rungs[0].left.masks.layers
    flat = np.concatenate([np.abs(seen[0].trained.state[layer.name][0]).reshape(-1) for layer in layers])
    for rung in (1, 2, 3):
        wanted = keep_highest(flat, np.ones(flat.size, bool), round(flat.size * 0.8**rung))
        assert np.array_equal(rungs[rung - 1].left.masks.flat, wanted)


def test_imp_ranks_the_weights_of_the_rung_below(tmp_path: Path, seen: list[Seen]) -> None:
    rungs = up(tmp_path, {}, levels=3)
    mask = np.ones(rungs[0].left.masks.prunable, bool)
    for rung in (1, 2, 3):
        state, layers = seen[rung - 1].trained.state, rungs[0].left.masks.layers
        flat = np.concatenate([np.abs(state[layer.name][0]).reshape(-1) for layer in layers])
        mask = keep_highest(flat, mask, round(flat.size * 0.8**rung))
        assert np.array_equal(rungs[rung - 1].left.masks.flat, mask)


def test_reinitialised_weights_are_drawn_anew_for_every_rung(tmp_path: Path, seen: list[Seen]) -> None:
    rungs = up(tmp_path, {"rewind": "reinitialise"})
    assert [item.span for item in seen] == [Span(0, 3)] * 3
    example = ladder("cifar-resnet", 8, 1 / 16, treatment={"rewind": "reinitialise"}, **EPOCHS)
    context = training_context("cifar-resnet", 8, 1 / 16)
    starts = [context.network.start(seeding_of(example).start(rung)) for rung in range(3)]
    hold(seen[0], starts[0], {})
    for rung in (1, 2):
        hold(seen[rung], starts[rung], kept_of(rungs[rung - 1]))
    assert len({start["stem.conv.weight"].tobytes() for start in starts}) == 3


def test_extended_training_goes_on_and_removes_nothing(tmp_path: Path, seen: list[Seen]) -> None:
    rungs = up(tmp_path, {"kind": "extended"})
    assert [item.span for item in seen] == [Span(0, 3), Span(1, 3), Span(1, 3)]
    assert {item.row["density"] for item in rungs} == {1.0}
    assert [item.row["epochs"] for item in rungs] == [3, 2, 2]
    for rung in (1, 2):
        hold(seen[rung], member(seen[rung - 1].trained.state), {})
        assert not seen[rung].masks


def test_a_dense_ladder_has_one_rung(tmp_path: Path, seen: list[Seen]) -> None:
    assert len(up(tmp_path, {"kind": "dense"})) == len(seen) == 1
    assert seen[0].span == Span(0, 3)


def test_fine_tuning_uses_the_final_rate_throughout() -> None:
    context = training_context("lenet", 3, 0.05, **EPOCHS)
    final = training_context(
        "lenet", 3, 0.05, **EPOCHS | {"learning_rate": 0.01, "schedule": "constant", "milestones": ()}
    )
    example = ladder("lenet", 3, 0.05, **EPOCHS)
    one = CohortMember(resume(example, context, None, 0).member.subsample, seeding_of(example))  # type: ignore[arg-type]
    start = context.stacked([context.network.start(one.seeding.start())])
    usual, tuned, wanted = (
        train_rung(values, [one], start, {}, 1, span, lambda done, total: None).state
        for values, span in ((context, Span(1, 3)), (context, Span(1, 3, 2)), (final, Span(1, 3)))
    )
    for name, values in tuned.items():
        np.testing.assert_allclose(values, wanted[name], rtol=1e-12, atol=1e-14)
    assert not np.allclose(usual["hidden1.weight"], wanted["hidden1.weight"])


@pytest.mark.parametrize("kind", [{"rewind": "learning-rate"}, {"kind": "extended"}, {"rewind": "weights"}])
@pytest.mark.parametrize("schedule", ["cosine", "one-cycle"])
def test_what_goes_back_to_an_epoch_repeats_the_rates_from_there_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: dict[str, str], schedule: str
) -> None:
    rates: list[float] = []
    step = DenseEngine.step

    def noted(engine: DenseEngine, x: Tensor, labels: Tensor, rate: float, batch: int) -> None:
        rates.append(rate)
        step(engine, x, labels, rate, batch)

    monkeypatch.setattr(DenseEngine, "step", noted)
    example = ladder(treatment=kind, schedule=schedule, epochs=3, rewind_epoch=1, levels=2)
    climbed([example], pictures(), tmp_path)
    steps = -(-60 // 16)
    assert len(rates) == (3 + 2 + 2) * steps
    assert rates[3 * steps : 5 * steps] == rates[5 * steps :] == rates[steps : 3 * steps]
    assert len(set(rates[: 3 * steps])) > steps


def test_a_rung_is_ticked_step_by_step() -> None:
    example = ladder("lenet", 3, 0.05, examples=50, **EPOCHS)
    context, ticks = training_context("lenet", 3, 0.05, **EPOCHS), list[tuple[int, int]]()
    one = CohortMember(resume(example, context, None, 0).member.subsample, seeding_of(example))  # type: ignore[arg-type]
    start = context.stacked([context.network.start(one.seeding.start())])
    train_rung(context, [one], start, {}, 0, Span(1, 3), lambda done, total: ticks.append((done, total)))
    assert ticks == [(done, 2 * 4) for done in range(1, 9)]


def test_outcomes_are_the_loss_and_the_verdict_on_each_example_as_it_is(tmp_path: Path) -> None:
    example = ladder("cifar-resnet", 8, 1 / 16, label_noise=0.3, validation=0.01, augment="flip-crop")
    data = pictures()
    first_rung = climbed([example], data, tmp_path)[example.identity][0]
    context = replace(training_context("cifar-resnet", 8, 1 / 16), recipe=example.recipe)
    subsample = resume(example, context, None, 0).member.subsample  # type: ignore[arg-type]
    state = {name: torch.from_numpy(values[None].copy()) for name, values in first_rung.state.items()}
    scale = torch.tensor(data.std, dtype=torch.float64)

    def measured(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, float]:
        x = (torch.from_numpy(images.copy()).double().permute(0, 2, 3, 1) - torch.tensor(data.mean)) / scale
        logits = context.network.logits(state, x[None], False, Layout())[0]
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels.copy()), reduction="none")
        return loss.numpy(), float((logits.argmax(1).numpy() != labels).mean())

    train, error = measured(data.train_images[subsample.train], subsample.labels)
    row = first_rung.row
    assert (row["train_error"], row["train_loss"]) == (pytest.approx(error), pytest.approx(train.mean(), rel=1e-6))
    assert row["train_loss_noisy"] == pytest.approx(train[subsample.noisy].mean(), rel=1e-6)
    assert row["train_loss_original"] == pytest.approx(train[~subsample.noisy].mean(), rel=1e-6)
    for kind, (loss, wrong) in {
        "test": measured(data.test_images, data.test_labels),
        "validation": measured(data.train_images[subsample.validation], data.train_labels[subsample.validation]),
    }.items():
        assert row[f"{kind}_error"] == pytest.approx(wrong)
        assert row[f"{kind}_loss"] == pytest.approx(loss.mean(), rel=1e-6)


def begun(members: int = 2) -> tuple[list[RungStart], dict[str, torch.Tensor]]:
    """Return how members of a cohort begin, each with weights and masks of its own, and their tensors stacked."""
    context = training_context("lenet", 3, 0.05)
    whole = full(context.network.outline.prunable("all"))
    masks = [replace(whole, flat=np.arange(whole.prunable) % 3 != member) for member in range(members)]
    tensors = [context.network.start(np.random.default_rng(member)) for member in range(members)]
    start = {}
    for name in tensors[0]:
        masked = [
            values[name] * member_masks.by_name().get(name, 1.0)
            for values, member_masks in zip(tensors, masks, strict=True)
        ]
        start[name] = torch.from_numpy(np.stack(masked))
    return [RungStart(values, member_masks) for values, member_masks in zip(tensors, masks, strict=True)], start


def counts(beginnings: list[RungStart]) -> list[int]:
    return [item.masks.kept for item in beginnings]


def test_a_rung_that_starts_as_it_should_may_begin() -> None:
    beginnings, start = begun()
    check_begin(beginnings, start, counts(beginnings))


def test_a_rung_with_a_weight_too_many_may_not_begin() -> None:
    beginnings, start = begun()
    expected = counts(beginnings)
    expected[1] -= 1
    with pytest.raises(PrunescopeError, match="weights survive where"):
        check_begin(beginnings, start, expected)


@pytest.mark.parametrize(
    ("name", "place"), [("hidden1.weight", (0, 3, 0)), ("hidden1.weight", (1, 0, 1)), ("output.bias", (1, 1))]
)
def test_a_rung_that_starts_elsewhere_may_not_begin(name: str, place: tuple[int, ...]) -> None:
    beginnings, start = begun()
    start[name][place] += 1e-9
    with pytest.raises(PrunescopeError, match=f"{name} does not start where it should"):
        check_begin(beginnings, start, counts(beginnings))


def ended() -> tuple[list[Any], dict[str, np.ndarray], list[Any]]:
    from prunescope.train import NetworkOutcome

    beginnings, start = begun(3)
    some, right = np.zeros(3), np.ones(3, bool)
    after = {name: values.numpy().copy() for name, values in start.items()}
    return [item.masks for item in beginnings], after, [NetworkOutcome(some, right, some, right, some, right)] * 3


def test_a_rung_that_ends_as_it_should_is_kept() -> None:
    assert check_end(*ended()) == {}


def test_a_member_whose_pruned_weights_came_back_is_not_kept() -> None:
    masks, after, outcomes = ended()
    after["hidden2.weight"][1][~masks[1].by_name()["hidden2.weight"]] = 1e-30
    assert check_end(masks, after, outcomes) == {1: "pruned weights of hidden2.weight are not zero any more"}


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["hidden1.bias", "train_loss", "test_loss", "validation_loss"])
def test_a_member_without_numbers_is_not_kept(where: str, wrong: float) -> None:
    masks, after, outcomes = ended()
    if where in after:
        after[where][2, 0] = wrong
    else:
        outcomes[2] = replace(outcomes[2], **{where: np.array([0.0, wrong])})
    what = where if where in after else "a loss"
    fault = f"diverged: {what} is infinite or no number; a lower learning rate may help"
    assert check_end(masks, after, outcomes) == {2: fault}


def rungs_of(ladder_: Ladder) -> LadderRungs:
    return resume(ladder_, training_context("lenet", 3, 0.05), None, 0).rungs  # type: ignore[arg-type]


def test_each_rung_expects_the_count_of_its_level() -> None:
    sizes = [192 * 15, 15 * 5, 5 * 4]
    usual, layers, more = (rungs_of(ladder(treatment=item)) for item in ({}, {"scope": "layer"}, {"kind": "extended"}))
    rungs = rungs_of(ladder(prunable="all-but-output"))
    for rung in range(12):
        assert usual.expected(rung) == round(sum(sizes) * 0.8**rung)
        assert layers.expected(rung) == sum(round(size * 0.8**rung) for size in sizes)
        assert rungs.expected(rung) == round(sum(sizes[:2]) * 0.8**rung)
        assert more.expected(rung) == sum(sizes)


def test_a_rung_above_the_first_needs_the_one_below() -> None:
    with pytest.raises(PrunescopeError, match=r"rung 2 of ladder .* has no rung below"):
        rungs_of(ladder()).begin(2, None)


def test_an_inheritance_comes_back_from_plain_arrays(tmp_path: Path) -> None:
    net = training_context("lenet", 3, 0.05).network
    masks = replace(full(net.outline.prunable("all")), flat=np.arange(2975) % 7 > 2)
    one = RungHandover(masks, {"a": np.ones(2)}, {"b": np.zeros(3)}, {"a": np.arange(4)})
    back = RungHandover.from_arrays(one.to_arrays(), net.outline.prunable("all"))
    assert np.array_equal(back.masks.flat, masks.flat)
    for ours, theirs in ((back.origin, one.origin), (back.last, one.last), (back.dense, one.dense)):
        assert ours.keys() == theirs.keys()
        assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    with pytest.raises(DamageError, match="must hold the mask of the next rung"):
        RungHandover.from_arrays({}, net.outline.prunable("all"))


def test_random_scores_are_drawn_for_each_rung(tmp_path: Path) -> None:
    example = ladder(treatment={"score": "random"}, levels=3)
    rungs = climbed([example], pictures(), tmp_path)[example.identity]
    mask = np.ones(rungs[0].left.masks.prunable, bool)
    for rung in (1, 2, 3):
        rng = seeding_of(example).scores(rung)
        scores = np.concatenate([rng.random(layer.size) for layer in rungs[0].left.masks.layers])
        mask = keep_highest(scores, mask, round(mask.size * 0.8**rung))
        assert np.array_equal(rungs[rung - 1].left.masks.flat, mask)


@pytest.mark.parametrize("prunable", ["all", ("*",)])
def test_a_frozen_layer_is_never_trained_and_pruned_only_where_the_recipe_names_it(
    tmp_path: Path, prunable: str | tuple[str, ...]
) -> None:
    frozen = ladder("tests.nets.modules:tied", 2, 1.0, weight_decay=0.1, momentum=0.5, prunable=prunable)
    rungs = climbed([frozen], pictures(), tmp_path)[frozen.identity]
    start = network("tests.nets.modules:tied", 2, 1.0, 4, (3, 8, 8)).start(seeding_of(frozen).start())
    for rung in rungs:
        assert np.array_equal(rung.state["frozen.bias"], start["frozen.bias"])
        gone = rung.state["frozen.weight"] == 0
        assert np.array_equal(rung.state["frozen.weight"][~gone], start["frozen.weight"][~gone])
        assert bool(gone.any()) == (prunable != "all" and rung is not rungs[0])
        assert not np.array_equal(rung.state["one.weight"], start["one.weight"])
