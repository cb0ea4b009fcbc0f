"""EL2N by hand: a single network written out, and the networks of a cohort apart."""

from __future__ import annotations

import numpy as np
import pytest

from prunescope.nets.cohort import Layout
from prunescope.run.climber import share_of
from prunescope.train import label_distances
from tests.train.cohorts import bench, ladder, pictures


def states(family: str, depth: int, width: float, members: int) -> dict[str, np.ndarray]:
    made = bench(family, depth, width)
    chance = np.random.default_rng(1)
    starts = [made.network.start(chance) for _ in range(members)]
    found = {name: np.stack([each[name] for each in starts]) for name in starts[0]}
    for name, each in found.items():
        if name.endswith("running_mean"):
            found[name] = each + chance.normal(size=each.shape)
    return found


def test_it_is_the_distance_of_the_probabilities_from_the_label_trained_on() -> None:
    data, own = pictures(), ladder("lenet", 3, 0.05, label_noise=0.4)
    share, state = share_of(own, data), states("lenet", 3, 0.05, 1)
    (found,) = label_distances(bench("lenet", 3, 0.05), share, state)
    mean, std = np.array(data.mean)[:, None, None], np.array(data.std)[:, None, None]
    assert share.noisy.any()
    for place, (index, label) in enumerate(zip(share.train, share.labels, strict=True)):
        x = ((data.train_images[index] / 1.0 - mean) / std).reshape(-1)
        for layer in ("hidden1", "hidden2", "output"):
            x = state[f"{layer}.weight"][0] @ x + state[f"{layer}.bias"][0]
            x = np.maximum(x, 0) if layer != "output" else x
        likely = np.exp(x - x.max()) / np.exp(x - x.max()).sum()
        likely[label] -= 1
        assert found[place] == pytest.approx(np.sqrt((likely**2).sum()), rel=1e-10)


def test_networks_of_a_cohort_are_measured_apart_in_evaluation_mode() -> None:
    data, own = pictures(), ladder("cifar-resnet", 8, 1 / 16, augment="flip-crop")
    share, state = share_of(own, data), states("cifar-resnet", 8, 1 / 16, 3)
    made = bench("cifar-resnet", 8, 1 / 16, augment="flip-crop").with_layout(Layout(3, 1))
    before = {name: each.copy() for name, each in state.items()}
    together = label_distances(made, share, state)
    assert together.shape == (3, 60)
    for place in range(3):
        alone = label_distances(made, share, {name: each[place : place + 1] for name, each in state.items()})
        np.testing.assert_allclose(together[place], alone[0], rtol=1e-9)
    few = share.without(np.arange(55))  # batches of other sizes: statistics of a batch would show
    np.testing.assert_allclose(label_distances(made, few, state), together[:, 55:], rtol=1e-9)
    assert all(np.array_equal(each, state[name]) for name, each in before.items())
