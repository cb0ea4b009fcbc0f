"""Ladders pruned by scores that ask the network: in company as alone, and what a score is shown."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch

from prunescope.nets.cohort import Layout
from prunescope.run.ladder_state import resume
from prunescope.train.ladder import probe_of
from tests.train.cohorts import climbed, ladder, pictures, same, training_context

SCORED = ("gradient", "gradient-flow", "synaptic-flow")


@pytest.mark.parametrize("score", SCORED)
@pytest.mark.parametrize(
    ("kind", "family", "depth", "width"),
    [
        ("imp", "lenet", 3, 0.05),
        ("one-shot", "lenet", 3, 0.05),
        ("imp", "cifar-resnet", 8, 1 / 16),
        ("imp", "tests.nets.modules:own", 3, 0.1),
    ],
)
def test_masks_are_the_same_in_company_as_alone(
    tmp_path: Path, score: str, kind: str, family: str, depth: int, width: float
) -> None:
    treatment = {"kind": kind, "score": score}
    ladders = [
        ladder(family, depth, width, replicate=item, label_noise=0.2 * item, treatment=treatment) for item in range(2)
    ]
    together = climbed(ladders, pictures(), tmp_path / "one", Layout(2, 1))
    alone = climbed(ladders, pictures(), tmp_path / "two", alone=True)
    for other_ladder in ladders:
        same(together[other_ladder.identity], alone[other_ladder.identity])
        for rung, climbed_rung in enumerate(together[other_ladder.identity]):
            assert climbed_rung.row["kept"] == round(climbed_rung.row["prunable"] * 0.8**rung)
    one, other = (together[ladder.identity][1].left.masks.flat for ladder in ladders)
    assert not np.array_equal(one, other)


def test_a_score_is_shown_what_the_network_was_trained_on() -> None:
    noisy_ladder = ladder("cifar-resnet", 8, 1 / 16, label_noise=0.3, augment="flip-crop")
    context = training_context("cifar-resnet", 8, 1 / 16)
    state = resume(noisy_ladder, context, None, 0)  # type: ignore[arg-type]
    member = state.member
    tensors = context.network.start(np.random.default_rng(0))
    masks = state.rungs.begin(0, None).masks
    with patch("prunescope.train.ladder.PER_CLASS", 9):
        probe = probe_of(context, member, tensors, masks, 2)
        again, other = (probe_of(context, member, tensors, masks, rung) for rung in (2, 3))
    assert probe.examples == 36
    order = member.seeding.shown(2, 60)[:36]
    seen = [torch.cat(batches) for batches in zip(*probe.batches(), strict=True)]
    assert torch.equal(seen[0], context.train_pictures.take(torch.from_numpy(member.subsample.train[order])[None])[0])
    assert torch.equal(seen[1], torch.from_numpy(member.subsample.labels[order]))
    assert [len(labels) for _, labels in probe.batches()] == [16, 16, 4]
    twice, another = (torch.cat([x for x, _ in item.batches()]) for item in (again, other))
    assert torch.equal(seen[0], twice)
    assert not torch.equal(seen[0], another)


def test_a_score_is_shown_all_examples_where_there_are_few() -> None:
    state = resume(ladder(), training_context(), None, 0)  # type: ignore[arg-type]
    begun = state.rungs.begin(0, None)
    probe = probe_of(training_context(), state.member, begun.tensors, begun.masks, 1)
    assert probe.examples == sum(len(labels) for _, labels in probe.batches()) == 60
    assert float(probe.ones.min()) == float(probe.ones.max()) == 1
