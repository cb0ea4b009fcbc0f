"""Batches in parts: gradients add up to those of the batch, normalisations see a part."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from prunescope.errors import InputError
from prunescope.nets.cohort import Layout
from prunescope.study import parse_study
from prunescope.train.engine import AutogradEngine
from prunescope.train.ranks import cut
from tests.nets.modules import plain
from tests.run.studies import mixed_study
from tests.train.cohorts import random_masks, starts, training_context
from tests.train.test_engines import batches, hold, trained
from tests.train.test_optimizer import RATES


def test_parts_are_as_even_as_can_be_and_no_part_is_empty() -> None:
    assert cut(7, 3) == [slice(0, 2), slice(2, 4), slice(4, 7)]
    assert cut(2, 4) == [slice(0, 1), slice(1, 2)]


@pytest.mark.parametrize("parts", [2, 3, 7])
def test_without_normalisation_parts_are_the_batch(parts: int) -> None:
    rule: dict[str, Any] = {"momentum": 0.9, "clip_norm": 0.5, "label_smoothing": 0.1}
    results = []
    for accumulate in (1, parts):
        context = training_context("lenet", 4, 0.08, accumulate=accumulate, **rule)
        tensors, masks = starts(context, random_masks(context, 2, 0.5))
        engine = AutogradEngine(context.network, context.recipe, tensors, masks, Layout(2))
        results.append(trained(engine, context, 2))
    hold(*results)


@pytest.mark.parametrize("layout", [Layout(2, 2), Layout(2, planar=True)], ids=str)
def test_with_normalisation_parts_are_what_a_loop_of_torch_accumulates(layout: Layout) -> None:
    context = training_context("cifar-resnet", 8, 1 / 8, accumulate=2, momentum=0.9)
    tensors, masks = starts(context, random_masks(context, 2, 1.0))
    engine = AutogradEngine(context.network, context.recipe, tensors, masks, layout)
    logits, state = trained(engine, context, 2)
    for member in range(2):
        module = plain("cifar-resnet", context.dataset.shape, 8, 1 / 8, context.dataset.classes)
        module.load_state_dict({name: values[member] for name, values in tensors.items()}, strict=False)
        rule = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
        for (x, labels), rate in zip(batches(context, 2), RATES, strict=True):
            rule.param_groups[0]["lr"] = rate
            rule.zero_grad()
            for part in cut(labels.shape[1], 2):
                pictures, wanted = x[member, part].permute(0, 3, 1, 2), labels[member, part]
                loss = F.cross_entropy(module(pictures), wanted, reduction="sum") / labels.shape[1]
                loss.backward()  # type: ignore[no-untyped-call]
            rule.step()
        with torch.no_grad():
            expected = module.eval()(batches(context, 2)[0][0][member].permute(0, 3, 1, 2))
        torch.testing.assert_close(logits[member], expected, rtol=1e-8, atol=1e-9)
        for name, values in module.state_dict().items():
            if name in state:
                torch.testing.assert_close(state[name][member], values, rtol=1e-8, atol=1e-9, msg=name)


def test_parts_belong_to_the_identity_of_a_ladder_only_where_there_are_several() -> None:
    whole, parts = (mixed_study(accumulate=count) for count in (1, 4))
    assert "accumulate" not in whole.to_toml()
    assert whole.ladders[0].identity == mixed_study().ladders[0].identity != parts.ladders[0].identity
    with pytest.raises(InputError) as refused:
        parse_study(parts.to_toml().replace("accumulate = 4", "accumulate = 40"))
    assert [fault.place.partition(" ")[0] for fault in refused.value.faults] == ["recipe.accumulate"]
