"""What a replicate trains on: sizes, nesting, noise; each property for any numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunescope.data import Subsample, draw_subsample
from prunescope.errors import InputError

TOTAL, CLASSES = 200, 7
LABELS = np.arange(TOTAL, dtype=np.int64) % CLASSES


def subsample(**changes: Any) -> Subsample:
    settings: dict[str, Any] = {
        "examples": 120, "label_noise": 0.25, "held_out": 40, "seed": 1, "replicate": 0, "dataset": "digits",
    }  # fmt: skip
    return draw_subsample(LABELS, CLASSES, **settings | changes)


sizes = st.tuples(st.integers(0, 80), st.integers(1, 120))
noises = st.floats(0, 1)
seeds = st.integers(0, 2**63)


@given(sizes, noises, seeds, st.integers(0, 9))
def test_any_share_has_the_sizes_asked_for_and_nothing_twice(
    size: tuple[int, int], noise: float, seed: int, replicate: int
) -> None:
    held, examples = size
    drawn = subsample(examples=examples, held_out=held, label_noise=noise, seed=seed, replicate=replicate)
    assert len(drawn.train) == len(drawn.labels) == len(drawn.noisy) == examples
    assert len(drawn.validation) == held
    used = np.concatenate([drawn.train, drawn.validation])
    assert len(set(used.tolist())) == examples + held
    assert used.min() >= 0
    assert used.max() < TOTAL
    assert drawn.noisy.sum() == round(noise * examples)
    assert np.array_equal(drawn.labels != LABELS[drawn.train], drawn.noisy)
    assert drawn.labels.min() >= 0
    assert drawn.labels.max() < CLASSES


@given(st.integers(1, 160), st.integers(1, 160), seeds)
def test_a_smaller_subsample_lies_in_a_larger_one(one: int, other: int, seed: int) -> None:
    small, large = sorted((one, other))
    few, many = (subsample(examples=examples, seed=seed) for examples in (small, large))
    assert np.array_equal(few.train, many.train[:small])
    assert np.array_equal(few.validation, many.validation)


@given(noises, noises, seeds)
def test_noise_stays_where_it_is_when_there_is_more_of_it(one: float, other: float, seed: int) -> None:
    less, more = (subsample(label_noise=noise, seed=seed) for noise in sorted((one, other)))
    assert more.noisy[less.noisy].all()
    assert np.array_equal(less.labels[less.noisy], more.labels[less.noisy])
    assert np.array_equal(less.train, more.train)


def test_replicates_seeds_and_datasets_draw_apart_and_the_same_words_alike() -> None:
    first = subsample()
    for other in (subsample(seed=2), subsample(replicate=1), subsample(dataset="mnist")):
        assert not np.array_equal(first.train, other.train)
    again = subsample()
    for name in ("train", "labels", "noisy", "validation"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
        assert not getattr(first, name).flags.writeable
    assert {first.train.dtype, first.labels.dtype, first.validation.dtype} == {np.dtype(np.int64)}
    assert first.noisy.dtype == np.dtype(np.bool_)


def test_the_draw_never_looks_at_the_classes() -> None:
    other = draw_subsample(
        np.zeros(TOTAL, np.int64), CLASSES, examples=120, label_noise=0.25, held_out=40, seed=1, replicate=0,
        dataset="digits",
    )  # fmt: skip
    assert np.array_equal(subsample().train, other.train)
    assert np.array_equal(subsample().noisy, other.noisy)


def test_wrong_labels_and_drawn_examples_are_uniform() -> None:
    total = 60_000
    labels = np.zeros(total, np.int64)
    drawn = draw_subsample(
        labels, 10, examples=total // 2, label_noise=1.0, held_out=0, seed=3, replicate=0, dataset="mnist"
    )
    counts = np.bincount(drawn.labels, minlength=10)
    assert counts[0] == 0
    assert abs(counts[1:] - 30_000 / 9).max() < 5 * np.sqrt(30_000 / 9)
    assert abs(drawn.train.mean() - total / 2) < 5 * total / np.sqrt(12 * 30_000)


def test_a_draw_is_the_same_on_every_machine() -> None:
    drawn = subsample(examples=8, held_out=4, label_noise=0.5)
    assert drawn.validation.tolist() == [146, 193, 129, 189]
    assert drawn.train.tolist() == [169, 197, 178, 47, 91, 139, 85, 199]
    assert drawn.labels.tolist() == [3, 2, 3, 6, 0, 0, 1, 3]


def test_what_cannot_be_drawn_is_told_at_once() -> None:
    with pytest.raises(InputError) as raised:
        subsample(examples=170, label_noise=1.5)
    assert "at most the 200 of the training set; found 170 to train on and 40 held out" in str(raised.value)
    assert "label_noise: must be in [0, 1]; found 1.5" in str(raised.value)
    with pytest.raises(InputError, match="2 faults"):
        subsample(examples=0, held_out=-1)
    with pytest.raises(InputError, match="must be 2 or more"):
        draw_subsample(LABELS * 0, 1, examples=9, label_noise=0.5, held_out=0, seed=0, replicate=0, dataset="one")
