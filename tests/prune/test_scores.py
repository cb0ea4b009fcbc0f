"""What weights are ranked by, and what is said of a user's own score that cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from prunescope.errors import InputError, PrunescopeError
from prunescope.nets.outline import ParameterOutline, Start
from prunescope.prune import SCORES, Probe, full, kept_count, prune, score
from prunescope.study import catalogue as names
from tests.prune.probes import probe as some_probe

WEIGHTS = {"a": np.array([[3.0, -1.0], [0.5, -4.0]]), "b": np.array([2.0, -2.5, 0.0])}


def small_first(weights: Mapping[str, np.ndarray]) -> dict[str, list[Any]]:
    """Rank large weights lowest; lists instead of arrays will do."""
    return {name: (-np.abs(values)).tolist() for name, values in weights.items()}


def half(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {"a": weights["a"]}


def nothing(weights: Mapping[str, np.ndarray]) -> None:
    return None


def flat(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: values.reshape(-1) for name, values in weights.items()}


def broken(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.full(values.shape, np.nan) for name, values in weights.items()}


def pruned(by: str, seed: int = 0, fraction: float = 0.5) -> list[bool]:
    layers = [ParameterOutline(name, values.shape, Start.KAIMING, weight=True) for name, values in WEIGHTS.items()]
    masks = prune(
        full(layers),
        WEIGHTS,
        keep=partial(kept_count, fraction=fraction, level=1),
        by=by,
        scope="global",
        draws=lambda: np.random.default_rng(seed),
    )
    return [bool(flag) for flag in masks.flat]


def nobody() -> Probe:
    raise AssertionError("this score needs nobody to ask")


def test_every_score_is_one_that_a_study_may_name() -> None:
    assert set(SCORES) == set(names.SCORES)


def test_magnitude_is_the_absolute_value() -> None:
    assert pruned("magnitude") == [True, False, False, True, True, True, False]
    scores = score("magnitude").rank(WEIGHTS, np.random.default_rng, nobody)
    assert {name: values.tolist() for name, values in scores.items()} == {"a": [[3, 1], [0.5, 4]], "b": [2, 2.5, 0]}


def test_random_scores_come_from_their_chance_and_not_from_the_weights() -> None:
    first, again, other = (
        score("random").rank(WEIGHTS, partial(np.random.default_rng, seed), nobody) for seed in (1, 1, 2)
    )
    more = {name: values + 1 for name, values in WEIGHTS.items()}
    moved = score("random").rank(more, lambda: np.random.default_rng(1), nobody)
    for name, values in WEIGHTS.items():
        assert first[name].shape == values.shape
        assert np.array_equal(first[name], again[name])
        assert np.array_equal(first[name], moved[name])
        assert not np.array_equal(first[name], other[name])
    assert len({tuple(pruned("random", seed)) for seed in range(20)}) > 5


def test_a_score_of_ones_own_ranks_by_what_it_returns() -> None:
    assert pruned("tests.prune.test_scores:small_first", fraction=2 / 7) == [False, True, True, False, True, True, True]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("half", "must return one array for each layer it is given"),
        ("nothing", "must return one array for each layer it is given"),
        ("flat", "must return scores of shape (2, 2) for a; found (4,)"),
        ("halv", "must name a function of tests.prune.test_scores; found 'halv'. Did you mean 'half'?"),
    ],
)
def test_a_score_of_ones_own_that_cannot_be_used_is_told_why(name: str, words: str) -> None:
    with pytest.raises(InputError) as raised:
        pruned(f"tests.prune.test_scores:{name}")
    assert words in str(raised.value)


def test_a_score_of_ones_own_that_is_no_number_is_refused() -> None:
    with pytest.raises(PrunescopeError, match="infinite or no numbers"):
        pruned("tests.prune.test_scores:broken")


def test_an_unknown_score_is_told_with_what_there_is() -> None:
    with pytest.raises(InputError, match=r"must be one of magnitude, random, .*found 'size'"):
        score("size")


def squared(weights: Mapping[str, np.ndarray], probe: Probe) -> dict[str, Any]:
    """Score by the square of SNIP's product, tensors returned as they are."""
    free = probe.weights()
    gradients = torch.autograd.grad(probe.loss(free), list(free.values()))
    assert {name: values.shape for name, values in weights.items()} == {
        name: values.shape for name, values in free.items()
    }
    return {
        name: (values * gradient).square() for (name, values), gradient in zip(free.items(), gradients, strict=True)
    }


def test_a_score_of_ones_own_may_ask_for_gradients() -> None:
    from prunescope.prune.scores import gradient

    net_probe = some_probe()
    weights = {name: values.detach().numpy() for name, values in net_probe.weights().items()}
    ours = score("tests.prune.test_scores:squared").rank(weights, np.random.default_rng, lambda: net_probe)
    for name, values in gradient(net_probe).items():
        np.testing.assert_allclose(ours[name], values.square().numpy(), rtol=1e-12)
