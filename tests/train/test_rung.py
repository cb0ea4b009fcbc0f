"""One rung against a plain loop: one module of torch, its batches put together example by example."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from prunescope.data import draw_subsample
from prunescope.train import CohortMember, Seeding, Span, train_rung
from tests.nets.modules import plain
from tests.train.cohorts import pictures, training_context

SHAPES: list[tuple[str, int, float]] = [("lenet", 3, 0.05), ("cifar-resnet", 8, 1 / 16)]


@pytest.mark.parametrize("rung", [0, 3])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape[0])
def test_a_rung_sees_the_examples_in_the_order_of_its_draws(shape: tuple[str, int, float], rung: int) -> None:
    family, depth, width = shape
    data, seeding = pictures(), Seeding((7, "a"))
    changes: dict[str, Any] = {"momentum": 0.9, "schedule": "steps", "milestones": (2,), "augment": "flip-crop"}
    context = training_context(family, depth, width, data, epochs=3, **changes)
    subsample = draw_subsample(
        data.train_labels, 4, examples=41, label_noise=0.3, held_out=9, seed=1, replicate=0, dataset="digits"
    )
    tensors = context.network.start(seeding.start())
    trained = train_rung(
        context,
        [CohortMember(subsample, seeding)],
        context.stacked([tensors]),
        {},
        rung,
        Span(1, 3),
        lambda done, total: None,
    )
    module = plain(family, data.shape, depth, width, 4)
    module.load_state_dict({name: torch.from_numpy(values) for name, values in tensors.items()}, strict=False)
    rule = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    mean, std = (np.array(item)[:, None, None] for item in (data.mean, data.std))

    def moved(example: int, flip: bool, down: int, right: int) -> np.ndarray:
        picture = data.train_images[subsample.train[example]]
        if family != "lenet":
            padded = np.pad(picture, ((0, 0), (4, 4), (4, 4)))
            picture = padded[:, down : down + 8, right : right + 8][:, :, :: -1 if flip else 1]
        return np.asarray((picture - mean) / std)

    for epoch in (1, 2):
        order, moves = seeding.order(rung, epoch, 41), seeding.moves(rung, epoch, 41)
        for group in rule.param_groups:
            group["lr"] = 0.1 if epoch < 2 else 0.01
        for first in range(0, 41, 16):
            places = range(first, min(first + 16, 41))
            x = np.stack([moved(order[place], *(item[place] for item in moves)) for place in places])
            labels = torch.from_numpy(subsample.labels[order[first : first + 16]])
            rule.zero_grad()
            F.cross_entropy(module(torch.from_numpy(x)), labels).backward()  # type: ignore[no-untyped-call]
            rule.step()
    for name, values in module.state_dict().items():
        if "num_batches" not in name:
            np.testing.assert_allclose(trained.state[name][0], values.numpy(), rtol=1e-8, atol=1e-10, err_msg=name)
