"""The promise: a cohort gives each member what training it alone gives, to rounding, from the same seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from prunescope.nets.cohort import Layout
from prunescope.study import Ladder
from prunescope.train import seeding_of
from tests.train.cohorts import climbed, ladder, pictures, same

MIXED: list[dict[str, Any]] = [
    {"replicate": 0},
    {"replicate": 1},
    {"label_noise": 0.3},
    {"treatment": {"rewind": "learning-rate"}},
    {"treatment": {"kind": "one-shot"}, "replicate": 1},
    {"treatment": {"kind": "extended"}},
    {"treatment": {"score": "random"}, "label_noise": 0.15},
    {"treatment": {"scope": "layer"}, "replicate": 2},
    {"treatment": {"score": "tests.prune.test_scores:small_first", "kind": "one-shot", "rewind": "learning-rate"}},
]
CIFAR: dict[str, Any] = {
    "augment": "flip-crop", "momentum": 0.9, "weight_decay": 1e-3, "rewind_epoch": 1, "epochs": 3,
    "schedule": "steps", "milestones": (2,), "validation": 0.01,
}  # fmt: skip


def mixed(members: Sequence[dict[str, Any]], family: str, depth: int, width: float, **changes: Any) -> list[Ladder]:
    return [ladder(family, depth, width, **member, **changes) for member in members]


Way = tuple[Layout, bool | None]


def hold(ladders: Sequence[Ladder], folder: Path, *ways: Way) -> None:
    """Hold cohorts, computed in one way or another, against each of their members alone."""
    data = pictures()
    alone = climbed(ladders, data, folder / "alone", compact=False, alone=True)
    for number, (layout, compact) in enumerate(ways):
        together = climbed(ladders, data, folder / str(number), layout, compact=compact)
        for trained in ladders:
            assert len(alone[trained.identity]) == trained.rungs
            same(together[trained.identity], alone[trained.identity])
    errors = {tuple(rung.row["train_loss"] for rung in rungs) for rungs in alone.values()}
    assert len(errors) == len(ladders)  # or every member would be held against itself


def test_a_cohort_of_lenets_is_its_members_alone(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"levels": 4, "pruning_fraction": 0.6, "momentum": 0.8, "weight_decay": 1e-2}
    ladders = mixed(MIXED, "lenet", 4, 0.06, rewind_epoch=1, nesterov=True, validation=0.01, **changes)
    hold(ladders, tmp_path, (Layout(9), True), (Layout(9), False), (Layout(9), None))


def test_a_cohort_of_lenets_by_adam_is_its_members_alone(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"optimizer": "adam", "learning_rate": 0.01, "prunable": "all-but-output"}
    ladders = mixed(MIXED[1:6], "lenet", 3, 0.06, levels=3, pruning_fraction=0.7, warmup=1, **changes)
    hold(ladders, tmp_path, (Layout(5), True))


def test_a_cohort_of_resnets_is_its_members_alone(tmp_path: Path) -> None:
    ways = [(layout, None) for layout in (Layout(9), Layout(4, 4), Layout(9, 3))]
    hold(mixed(MIXED, "cifar-resnet", 8, 1 / 8, **CIFAR), tmp_path, *ways)


@pytest.mark.parametrize(
    ("family", "depth", "width", "rule"),
    [
        ("lenet", 4, 0.06, {"optimizer": "adamw", "weight_decay": 0.05, "schedule": "one-cycle", "clip_norm": 0.2}),
        ("lenet", 4, 0.06, {"momentum": 0.9, "schedule": "linear", "label_smoothing": 0.1, "end_factor": 0.1}),
        ("cifar-resnet", 8, 1 / 8, {"schedule": "cosine", "warmup": 1, "clip_norm": 0.5, "label_smoothing": 0.1,
                                    "augment": "flip-resized-crop", "learning_rate": 0.2, "momentum": 0.9}),
    ],
    ids=["adamw", "linear", "cosine"],
)  # fmt: skip
def test_every_recipe_trains_a_cohort_as_its_members_alone(
    tmp_path: Path, family: str, depth: int, width: float, rule: dict[str, Any]
) -> None:
    changes = {"rewind_epoch": 1, "epochs": 3, "learning_rate": 0.02, "levels": 3, "pruning_fraction": 0.6} | rule
    ways: list[Way] = [(Layout(9), True), (Layout(4, 2), None)] if family == "lenet" else [(Layout(9, 3), None)]
    hold(mixed(MIXED[:8], family, depth, width, **changes), tmp_path, *ways)


def test_a_cohort_of_vggs_is_its_members_alone(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"learning_rate": 0.02, "levels": 1}
    hold(mixed(MIXED[2:6], "vgg", 16, 1 / 32, **CIFAR | changes), tmp_path, (Layout(4, 2), None))


@pytest.mark.parametrize(
    ("family", "depth", "width", "norms"),
    [
        ("imagenet-resnet", 18, 1 / 32, "zero-last"),
        ("imagenet-resnet", 50, 1 / 16, "ones"),
        ("densenet", 121, 1 / 32, "ones"),
    ],
)
def test_a_cohort_of_networks_for_imagenet_is_its_members_alone(
    tmp_path: Path, family: str, depth: int, width: float, norms: str
) -> None:
    # Few steps, and small ones: a hundred normalisations over few values make rounding grow with each.
    changes: dict[str, Any] = {"learning_rate": 0.002, "levels": 1, "batch": 32, "epochs": 2, "milestones": (1,)}
    changes["norm_start"] = norms
    ways: list[Way] = [(Layout(4, 2), None), (Layout(4, planar=True), None)]
    hold(mixed(MIXED[2:6], family, depth, width, **CIFAR | changes), tmp_path, *ways)


@pytest.mark.parametrize("make", ["own", "with_dropout", "attention", "tied"])
def test_a_cohort_of_a_users_own_modules_is_its_members_alone(tmp_path: Path, make: str) -> None:
    changes: dict[str, Any] = {"learning_rate": 0.02}
    ladders = mixed(MIXED, f"tests.nets.modules:{make}", 2, 1.0, **CIFAR | changes)
    torch.manual_seed(len(make))
    hold(ladders, tmp_path, (Layout(9), None))


@pytest.mark.parametrize("rewind", ["fine-tuning", "reinitialise"])
def test_treatments_with_rates_of_their_own_are_their_members_alone(tmp_path: Path, rewind: str) -> None:
    members = [
        {"replicate": replicate, "treatment": {"rewind": rewind, "kind": kind}}
        for replicate, kind in ((0, "imp"), (1, "imp"), (0, "one-shot"))
    ]
    hold(mixed(members, "cifar-resnet", 8, 1 / 16, **CIFAR), tmp_path, (Layout(3), None))


def test_a_ladder_taken_up_again_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    data = pictures()
    for name, depth, width in (("cifar-resnet", 8, 1 / 16), ("tests.nets.modules:with_dropout", 2, 1.0)):
        whole = mixed(MIXED[2:8], name, depth, width, **CIFAR)
        first_levels = mixed(MIXED[2:8], name, depth, width, **CIFAR | {"levels": 1})
        home = tmp_path / name.partition(":")[0]
        first = climbed(first_levels, data, home / "stopped", Layout(3))
        assert {len(rungs) for rungs in first.values()} == {2}
        again, through = (climbed(whole, data, home / place, Layout(3)) for place in ("stopped", "through"))
        for item in whole:
            same(again[item.identity], through[item.identity], exact=True)


def test_draws_are_those_of_the_ladder_and_no_two_epochs_or_rungs_share_them() -> None:
    one, twin = seeding_of(ladder()), seeding_of(ladder(label_noise=0.2, treatment={"kind": "extended"}))
    assert one == twin  # of one cell and replicate
    others = [ladder(replicate=1), ladder(width=0.1), ladder(depth=4), ladder(examples=61), ladder("vgg", 16)]
    orders = {tuple(seeding_of(item).order(0, 0, 30)) for item in others}
    orders |= {tuple(one.order(rung, epoch, 30)) for rung in range(3) for epoch in range(3)}
    assert len(orders) == len(others) + 9
    assert sorted(one.order(1, 2, 30)) == list(range(30))
    assert tuple(one.order(1, 2, 30)) == tuple(seeding_of(ladder()).order(1, 2, 30))
