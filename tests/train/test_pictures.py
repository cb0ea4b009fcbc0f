"""Pictures on the device against a plain reference, example by example."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prunescope.data import Dataset
from prunescope.train import Seeding
from prunescope.train.pictures import ChosenExamples, Moves, NarrowRows, Pictures
from tests.train.cohorts import pictures

SHAPES = [(3, 8, 6), (1, 5, 5)]


def context(data: Dataset, as_rows: bool = False) -> Pictures:
    device = torch.device("cpu")
    return Pictures(data.train_images, data, as_rows=as_rows, device=device, dtype=torch.float64)


def normal(data: Dataset, picture: np.ndarray) -> np.ndarray:
    """Return (value - mean) / std, channel by channel."""
    parts = [(picture[c] - data.mean[c]) / data.std[c] for c in range(len(picture))]
    return np.stack(parts)


def test_training_pictures_are_normal_over_the_whole_set() -> None:
    data = pictures((3, 8, 6))
    every = context(data).take(torch.arange(len(data.train_labels))[None])[0]
    torch.testing.assert_close(every.mean((0, 1, 2)), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(every.std((0, 1, 2), correction=0), torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("as_rows", [True, False])
def test_taken_pictures_are_those_at_their_places(shape: tuple[int, int, int], as_rows: bool) -> None:
    data, places = pictures(shape), np.random.default_rng(0).integers(0, 90, (3, 7))
    taken = context(data, as_rows).take(torch.from_numpy(places))
    for member, example in np.ndindex(3, 7):
        plain = normal(data, data.train_images[places[member, example]])
        expected = plain.reshape(-1) if as_rows else plain.transpose(1, 2, 0)
        np.testing.assert_allclose(taken[member, example], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_moved_pictures_are_padded_by_4_cropped_and_mirrored(shape: tuple[int, int, int]) -> None:
    data, rng = pictures(shape), np.random.default_rng(1)
    places, flip = rng.integers(0, 90, (3, 40)), rng.random((3, 40)) < 0.5
    down, right = rng.integers(0, 9, (2, 3, 40))
    moves = Moves(*(torch.from_numpy(item) for item in (flip, down, right)))
    moved = context(data).moved(torch.from_numpy(places), moves)
    _, height, width = shape
    for at in np.ndindex(3, 40):
        padded = np.pad(data.train_images[places[at]], ((0, 0), (4, 4), (4, 4)))
        crop = padded[:, down[at] : down[at] + height, right[at] : right[at] + width]
        expected = normal(data, crop[:, :, ::-1] if flip[at] else crop).transpose(1, 2, 0)
        np.testing.assert_allclose(moved[at], expected, rtol=0, atol=1e-12)
    batch_moves = moves.part(slice(5, 9))
    assert torch.equal(context(data).moved(torch.from_numpy(places[:, 5:9]), batch_moves), moved[:, 5:9])


def test_a_crop_from_the_middle_moves_nothing() -> None:
    data, places = pictures(), torch.arange(12).view(2, 6)
    middle = torch.full((2, 6), 4)
    still = Moves(torch.zeros(2, 6, dtype=torch.bool), middle, middle)
    assert torch.equal(context(data).moved(places, still), context(data).take(places))


def test_moves_are_drawn_over_all_there_is_and_evenly() -> None:
    flip, down, right = Seeding((1, "a")).moves(0, 0, 9_000)
    assert abs(flip.mean() - 0.5) < 6 * 0.5 / np.sqrt(9_000)
    for item in (down, right):
        counts = np.bincount(item, minlength=9)
        assert len(counts) == 9
        assert abs(counts - 1_000).max() < 6 * np.sqrt(1_000)
    again, other = Seeding((1, "a")).moves(0, 0, 9_000), Seeding((1, "a")).moves(0, 1, 9_000)
    for one, same, new in zip((flip, down, right), again, other, strict=True):
        assert np.array_equal(one, same)
        assert not np.array_equal(one, new)
    assert abs(np.corrcoef(down, right)[0, 1]) < 6 / np.sqrt(9_000)


@pytest.mark.parametrize("shape", SHAPES)
def test_members_own_examples_are_read_by_their_own_numbers(shape: tuple[int, int, int]) -> None:
    data, rng = pictures(shape), np.random.default_rng(2)
    places = torch.from_numpy(np.stack([rng.permutation(90)[:30] for _ in range(3)]))
    order = torch.from_numpy(rng.integers(0, 30, (3, 8)))
    whole = context(data, as_rows=True)
    chosen = whole.of(places)
    assert isinstance(chosen, ChosenExamples)
    expected = torch.stack([whole.take(places[m][order[m]][None])[0] for m in range(3)])
    assert torch.equal(chosen.take(order), expected)
    columns = torch.from_numpy(np.stack([rng.permutation(int(np.prod(shape)))[:11] for _ in range(3)]))
    narrow = whole.of(places, columns)
    assert isinstance(narrow, NarrowRows)
    assert torch.equal(narrow.take(order), torch.stack([expected[m][:, columns[m]] for m in range(3)]))
