"""Pictures on the device against a plain reference, example by example."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from prunescope.data import Dataset
from prunescope.train import Seeding
from prunescope.train.pictures import ChosenExamples, Crops, Moves, NarrowRows, Pictures
from tests.train.cohorts import pictures

SHAPES = [(3, 8, 6), (1, 5, 5)]


def context(data: Dataset, as_rows: bool = False) -> Pictures:
    device = torch.device("cpu")
    return Pictures.of_dataset(data.train_images, data, as_rows=as_rows, device=device, dtype=torch.float64)


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


@pytest.mark.parametrize("shape", SHAPES)
def test_a_part_of_a_picture_is_scaled_to_the_whole_as_torch_interpolates(shape: tuple[int, int, int]) -> None:
    data, rng = pictures(shape), np.random.default_rng(1)
    _, height, width = shape
    places, flip = rng.integers(0, 90, (3, 40)), rng.random((3, 40)) < 0.5
    high, wide = rng.integers(1, height + 1, (3, 40)), rng.integers(1, width + 1, (3, 40))
    top, left = rng.integers(0, height - high + 1), rng.integers(0, width - wide + 1)
    crops = Crops(*(torch.from_numpy(item) for item in (flip, top, left, high, wide)))
    cropped = context(data).cropped(torch.from_numpy(places), crops)
    for at in np.ndindex(3, 40):
        part = data.train_images[places[at]][:, top[at] : top[at] + high[at], left[at] : left[at] + wide[at]]
        whole = F.interpolate(torch.from_numpy(part[None].astype(float)), (height, width), mode="bilinear")[0].numpy()
        expected = normal(data, whole[:, :, ::-1] if flip[at] else whole).transpose(1, 2, 0)
        np.testing.assert_allclose(cropped[at], expected, rtol=0, atol=1e-12)
    batch_crops = crops.part(slice(5, 9))
    assert torch.equal(context(data).cropped(torch.from_numpy(places[:, 5:9]), batch_crops), cropped[:, 5:9])


@pytest.mark.parametrize(("height", "width"), [(32, 32), (8, 8), (4, 40)])
def test_parts_of_pictures_are_drawn_within_them_as_torchvision_draws_them(height: int, width: int) -> None:
    flip, top, left, high, wide = Seeding((1, "a")).crops(0, 0, 20_000, height, width)
    assert abs(flip.mean() - 0.5) < 6 * 0.5 / np.sqrt(20_000)
    assert min(top.min(), left.min()) >= 0
    assert min(high.min(), wide.min()) >= 1
    assert (top + high).max() <= height
    assert (left + wide).max() <= width
    if height != width:  # an area that is large enough never fits: the largest part in the middle is taken
        middle = (high == 4) & (wide == 5) & (top == 0) & (left == 17)
        assert middle.mean() > 0.2
        return
    share = high * wide / (height * width)
    mean = share.mean()
    assert 0.4 < mean < 0.54  # 0.54 less what does not fit
    assert np.abs(np.log(wide / high)).max() < np.log(4 / 3) + 1.5 / np.sqrt(0.08 * height * width)
    if height == 32:
        reference = np.array([of_torchvision(np.random.default_rng(seed), height, width) for seed in range(4_000)])
        ours = np.stack([top, left, high, wide], 1)
        error = 6 * reference.std(0) / np.sqrt(4_000)
        assert (np.abs(ours.mean(0) - reference.mean(0)) < error).all()


def of_torchvision(rng: np.random.Generator, height: int, width: int) -> tuple[int, int, int, int]:
    """Draw top, left, height and width as torchvision writes it, example by example."""
    for _ in range(10):
        target = height * width * rng.uniform(0.08, 1.0)
        ratio = float(np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3))))
        wide, high = round((target * ratio) ** 0.5), round((target / ratio) ** 0.5)
        if 0 < wide <= width and 0 < high <= height:
            return int(rng.integers(0, height - high + 1)), int(rng.integers(0, width - wide + 1)), high, wide
    return 0, 0, height, width


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
