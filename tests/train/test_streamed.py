"""Streamed pictures: the same bits as pictures that are held, the same order and parts whatever threads there are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from prunescope.data import Dataset, EncodedPictures, draw_subsample, load, pack_dataset
from prunescope.data.coding import Part, Pixels, resized
from prunescope.errors import InputError
from prunescope.study.catalogue import DATASETS
from prunescope.train import CohortMember, ProgressKeeper, RungProgress, Seeding, Span, TrainingContext, train_rung
from prunescope.train.pictures import BatchRequest, Crops, Pictures
from prunescope.train.streamed_pictures import StreamedPictures
from tests.data.photographs import FACTS, write_imagenet
from tests.train.cohorts import pictures, training_context

THREADS = [0, 1, 4]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    """A small ImageNet, packed."""
    folder = tmp_path_factory.mktemp("imagenet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATASETS, "imagenet", FACTS["imagenet"])
        write_imagenet(folder / "in")
        pack_dataset("imagenet", folder / "in", folder)
        yield load("imagenet", folder)


def members(data: Dataset, words: tuple[str, ...] = ("a", "b"), examples: int = 12) -> list[CohortMember]:
    def member(word: str) -> CohortMember:
        drawn = draw_subsample(
            data.train_labels,
            data.classes,
            examples=examples,
            label_noise=0.25,
            held_out=3,
            seed=1,
            replicate=ord(word),
            dataset="digits",
        )
        return CohortMember(drawn, Seeding((7, word)))

    return [member(word) for word in words]


class KilledError(Exception):
    """Ends training in the middle."""


class KilledAt:
    """Keeps a rung after one of its steps and ends training there; then it is gone on with."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.kept: RungProgress | None = None

    def due(self, left: float) -> bool:
        self.step -= 1
        return self.step == 0

    def keep(self, progress: RungProgress) -> None:
        self.kept = progress
        raise KilledError

    def read(self) -> RungProgress | None:
        return self.kept


def numbers(
    context: TrainingContext, cohort: list[CohortMember], keeper: ProgressKeeper | None = None
) -> dict[str, Any]:
    """Train a rung and return all its numbers."""
    start = context.stacked([context.network.start(member.seeding.start()) for member in cohort])
    made = train_rung(context, cohort, start, {}, 1, Span(0, 2, snapshot=1), lambda done, total: None, keeper)
    assert made.snapshot is not None
    arrays = {**made.state, **{f"snapshot {name}": values for name, values in made.snapshot.items()}}
    for place, outcome in enumerate(made.outcomes):
        arrays |= {f"{name} {place}": values for name, values in vars(outcome).items()}
    return arrays


def trained(context: TrainingContext, cohort: list[CohortMember], threads: int) -> dict[str, Any]:
    """Train with streamed pictures."""
    return numbers(replace(context, most_resident=0, readers=threads), cohort)


def held(context: TrainingContext, cohort: list[CohortMember]) -> dict[str, Any]:
    """Train the same with pictures that are held."""
    assert isinstance(context.train_pictures, Pictures)
    return numbers(context, cohort)


def equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    assert one.keys() == other.keys()
    return all(np.array_equal(values, other[name]) for name, values in one.items())


@pytest.mark.parametrize("augment", ["none", "flip-crop", "flip-resized-crop", "resized-crop"])
@pytest.mark.parametrize("words", [("a", "b"), ("a", "a")], ids=["own", "shared"])
def test_arrays_that_are_streamed_train_to_the_same_bits_as_arrays_that_are_held(
    augment: str, words: tuple[str, ...]
) -> None:
    context = training_context("cifar-resnet", 8, 1 / 16, augment=augment, momentum=0.9)
    cohort = members(context.dataset, words, 41)
    expected = held(context, cohort)
    for threads in THREADS:
        assert equal(expected, trained(context, cohort, threads)), threads


def test_rows_that_are_streamed_train_to_the_same_bits() -> None:
    context = training_context("lenet", 3, 0.05)
    cohort = members(context.dataset, examples=41)
    assert equal(held(context, cohort), trained(context, cohort, 4))


def test_arrays_mapped_from_a_file_are_read_as_they_are(tmp_path: Path) -> None:
    data = pictures()
    images = np.asarray(data.train_images)
    mapped = np.memmap(tmp_path / "images", np.uint8, "w+", shape=images.shape)
    mapped[:] = images
    context = training_context("cifar-resnet", 8, 1 / 16, replace(data, train_images=mapped), augment="flip-crop")
    cohort = members(data, examples=41)
    assert equal(held(context, cohort), trained(context, cohort, 1))


@pytest.mark.parametrize("augment", ["none", "flip-crop", "flip-resized-crop"])
def test_encoded_pictures_are_the_same_with_any_number_of_threads(augment: str, photographs: Dataset) -> None:
    context = training_context("imagenet-resnet", 18, 1 / 64, photographs, augment=augment, batch=5)
    cohort = members(photographs)
    expected = trained(context, cohort, 0)
    assert all(equal(expected, trained(context, cohort, threads)) for threads in THREADS[1:])


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_rung_killed_at_any_step_goes_on_with_the_order_and_the_numbers_of_one_that_was_not(
    optimizer: str, photographs: Dataset
) -> None:
    changes: dict[str, Any] = {"augment": "flip-resized-crop", "batch": 5, "optimizer": optimizer}
    if optimizer == "sgd":
        changes |= {"momentum": 0.9, "weight_decay": 1e-3}
    context = replace(training_context("imagenet-resnet", 18, 1 / 64, photographs, **changes), readers=0)
    cohort = members(photographs)
    expected = numbers(context, cohort)
    for threads, step in zip(
        (0, 1, 4), np.random.default_rng(2).permutation(np.arange(1, 6))[:3].tolist(), strict=True
    ):
        keeper, context = KilledAt(step), replace(context, readers=threads)
        with pytest.raises(KilledError):
            numbers(context, cohort, keeper)
        assert keeper.kept is not None
        assert (keeper.kept.epoch, keeper.kept.step) == divmod(step, 3)
        assert equal(expected, numbers(context, cohort, keeper)), (threads, step)


def test_progress_of_another_network_is_not_gone_on_with(photographs: Dataset) -> None:
    context = replace(training_context("imagenet-resnet", 18, 1 / 64, photographs, batch=5), readers=0)
    cohort, keeper = members(photographs, ("a",)), KilledAt(2)
    with pytest.raises(KilledError):
        numbers(context, cohort, keeper)
    assert keeper.kept is not None
    tensors = {name: values[:, :1] if values.ndim > 1 else values for name, values in keeper.kept.tensors.items()}
    keeper.kept = replace(keeper.kept, tensors=tensors)
    assert equal(numbers(context, cohort), numbers(context, cohort, keeper))


def request_of(data: Dataset, cohort: list[CohortMember]) -> tuple[Tensor, Crops]:
    images = data.train_images
    assert isinstance(images, EncodedPictures)
    orders = [member.seeding.order(0, 0, len(member.subsample.train)) for member in cohort]
    places = np.stack([member.subsample.train[order] for member, order in zip(cohort, orders, strict=True)])
    drawn = [m.seeding.crops(0, 0, len(at), *images.sizes(at)) for m, at in zip(cohort, places, strict=True)]
    return torch.from_numpy(places), Crops(*(torch.from_numpy(np.stack(values)) for values in zip(*drawn, strict=True)))


@pytest.mark.parametrize("words", [("a",), ("a", "b"), ("a", "a")])
def test_parts_are_cut_out_of_whole_pictures_scaled_and_mirrored(words: tuple[str, ...], photographs: Dataset) -> None:
    cohort = members(photographs, words)
    places, crops = request_of(photographs, cohort)
    context = replace(training_context("imagenet-resnet", 18, 1 / 64, photographs), readers=2)
    streamed = context.train_pictures
    assert isinstance(streamed, StreamedPictures)
    inputs = streamed.take(places, crops)
    assert inputs.shape == (len(words), 12, 56, 56, 3)
    assert crops.flip.any()
    assert not crops.flip.all()
    images = photographs.train_images
    for at in np.ndindex(*places.shape):
        place = int(places[at])
        sizes = [int(size[0]) for size in images.sizes(np.array([place]))]
        assert crops.top[at] + crops.height[at] <= sizes[0]
        assert crops.left[at] + crops.width[at] <= sizes[1]
        whole = images._decoded(place)
        part = whole[crops.top[at] :, crops.left[at] :][: crops.height[at], : crops.width[at]]
        expected = resized(part, 56, 56)[:, :: -1 if crops.flip[at] else 1].astype(float)
        expected = (expected - photographs.mean) / photographs.std
        np.testing.assert_allclose(inputs[at], expected, rtol=0, atol=1e-12)


def test_evaluation_sees_the_centre(photographs: Dataset) -> None:
    context = replace(training_context("imagenet-resnet", 18, 1 / 64, photographs), readers=1)
    inputs = context.test_pictures.take(torch.arange(4)[None])[0]
    for place in range(4):
        whole = photographs.test_images._decoded(place).astype(float)
        top, left = (whole.shape[0] - 56) // 2, (whole.shape[1] - 56) // 2
        expected = (whole[top : top + 56, left : left + 56] - photographs.mean) / photographs.std
        np.testing.assert_allclose(inputs[place], expected, rtol=0, atol=1e-12)


def test_a_picture_that_several_members_take_is_read_once(
    photographs: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = replace(training_context("imagenet-resnet", 18, 1 / 64, photographs), readers=0)
    read: list[int] = []
    plain = EncodedPictures.pixels

    def noted(self: EncodedPictures, place: int, part: Part | None = None) -> Pixels:
        read.append(place)
        return plain(self, place, part)

    monkeypatch.setattr(EncodedPictures, "pixels", noted)
    context.train_pictures.take(torch.tensor([[3, 1, 2], [2, 3, 5]]))
    assert sorted(read) == [1, 2, 3, 5]


def test_batches_wait_in_line_within_bounds_and_keep_their_order() -> None:
    data = pictures()
    context = replace(training_context("cifar-resnet", 8, 1 / 16, data), most_resident=0, readers=3)
    asked: list[int] = []

    def requests() -> Iterator[BatchRequest]:
        for step in range(40):
            asked.append(step)
            yield BatchRequest(torch.tensor([[step]]), step=step)

    source = context.train_pictures.of(torch.arange(90)[None])
    for place, (request, inputs) in enumerate(source.batches(requests())):
        assert request.step == place
        assert len(asked) <= place + 1 + 9
        assert torch.equal(inputs, context.train_pictures.take(torch.tensor([[place]])))
        if place == 20:
            break
    assert context.waited() > 0


def test_a_picture_that_cannot_be_read_ends_training_with_its_name(
    photographs: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = training_context("imagenet-resnet", 18, 1 / 64, photographs, batch=5)
    file = photographs.train_images._file
    records = file.records.copy()
    records["digest"][2] = b"12345678"
    monkeypatch.setattr(file, "records", records)
    with pytest.raises(InputError) as raised:
        trained(context, members(photographs, ("a",), examples=13), 2)
    assert raised.value.faults[0].place == "imagenet.pictures, picture 2"
