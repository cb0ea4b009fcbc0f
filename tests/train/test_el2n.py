"""EL2N by hand: a single network written out, and the networks of a cohort apart."""

from __future__ import annotations

import numpy as np
import pytest

from prunescope.nets.cohort import Layout
from prunescope.run.ladder_state import subsample_of
from prunescope.train import label_distances
from tests.train.cohorts import ladder, pictures, training_context


def states(family: str, depth: int, width: float, members: int) -> dict[str, np.ndarray]:
    context = training_context(family, depth, width)
    rng = np.random.default_rng(1)
    starts = [context.network.start(rng) for _ in range(members)]
    tensors = {name: np.stack([item[name] for item in starts]) for name in starts[0]}
    for name, values in tensors.items():
        if name.endswith("running_mean"):
            tensors[name] = values + rng.normal(size=values.shape)
    return tensors


def test_it_is_the_distance_of_the_probabilities_from_the_label_trained_on() -> None:
    data, noisy_ladder = pictures(), ladder("lenet", 3, 0.05, label_noise=0.4)
    subsample, state = subsample_of(noisy_ladder, data), states("lenet", 3, 0.05, 1)
    (distances,) = label_distances(training_context("lenet", 3, 0.05), subsample, state)
    mean, std = np.array(data.mean)[:, None, None], np.array(data.std)[:, None, None]
    assert subsample.noisy.any()
    for place, (index, label) in enumerate(zip(subsample.train, subsample.labels, strict=True)):
        x = ((data.train_images[index] / 1.0 - mean) / std).reshape(-1)
        for layer in ("hidden1", "hidden2", "output"):
            x = state[f"{layer}.weight"][0] @ x + state[f"{layer}.bias"][0]
            x = np.maximum(x, 0) if layer != "output" else x
        likely = np.exp(x - x.max()) / np.exp(x - x.max()).sum()
        likely[label] -= 1
        assert distances[place] == pytest.approx(np.sqrt((likely**2).sum()), rel=1e-10)


def test_networks_of_a_cohort_are_measured_apart_in_evaluation_mode() -> None:
    data, noisy_ladder = pictures(), ladder("cifar-resnet", 8, 1 / 16, augment="flip-crop")
    subsample, state = subsample_of(noisy_ladder, data), states("cifar-resnet", 8, 1 / 16, 3)
    context = training_context("cifar-resnet", 8, 1 / 16, augment="flip-crop").with_layout(Layout(3, 1))
    before = {name: values.copy() for name, values in state.items()}
    together = label_distances(context, subsample, state)
    assert together.shape == (3, 60)
    for place in range(3):
        alone = label_distances(context, subsample, {name: values[place : place + 1] for name, values in state.items()})
        np.testing.assert_allclose(together[place], alone[0], rtol=1e-9)
    few = subsample.without(np.arange(55))  # batches of other sizes: statistics of a batch would show
    np.testing.assert_allclose(label_distances(context, few, state), together[:, 55:], rtol=1e-9)
    assert all(np.array_equal(values, state[name]) for name, values in before.items())
