"""Every kind of preset trained end to end, made small: its own family, dataset, treatments and recipe, few examples."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from prunescope.data import load, pack_dataset
from prunescope.data.dataset import DatasetPart
from prunescope.export import export_network, load_network
from prunescope.nets import network
from prunescope.prune import kept_count
from prunescope.run import run_study
from prunescope.run.tuning_cache import CohortSettings, TuningCache
from prunescope.study import Study, read_study
from prunescope.study.catalogue import DATASETS, DatasetFacts
from prunescope.table import Store
from tests.data.formats import batches, pictures, records, shrink
from tests.data.photographs import write_imagenet

TRAIN, TEST, EXAMPLES = 96, 24, 48


@pytest.fixture(autouse=True)
def one_cohort(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train all ladders of a shape together, without a measurement first."""
    monkeypatch.setattr(TuningCache, "of_machine", lambda self, key: CohortSettings(4, 1, 4, 1, 1e-3))


def _cifar10(folder: Path, parts: tuple[DatasetPart, DatasetPart]) -> None:
    names = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    for name, part in zip(names, batches(*parts, 5), strict=True):
        (folder / name).write_bytes(records(part, 1))


def _svhn(folder: Path, parts: tuple[DatasetPart, DatasetPart]) -> None:
    for name, part in zip(("train", "test"), parts, strict=True):
        labels = np.where(part.labels == 0, 10, part.labels).astype(np.uint8)
        savemat(folder / f"{name}_32x32.mat", {"X": part.images.transpose(2, 3, 1, 0), "y": labels[:, None]})


def _tiny_imagenet(folder: Path, parts: tuple[DatasetPart, DatasetPart]) -> None:
    names = [f"n{number:08}" for number in range(16)]
    (folder / "val" / "images").mkdir(parents=True)
    (folder / "wnids.txt").write_text("\n".join(names))

    def write(path: Path, image: np.ndarray) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        Image.fromarray(image.transpose(1, 2, 0)).save(content, "JPEG")
        path.write_bytes(content.getvalue())

    train, test = parts
    for index, image in enumerate(train.images):
        name = names[index % 16]
        write(folder / "train" / name / "images" / f"{name}_{index}.JPEG", image)
    for index, image in enumerate(test.images):
        write(folder / "val" / "images" / f"val_{index}.JPEG", image)
    lines = [f"val_{index}.JPEG\t{names[label]}\t0\t0\t1\t1" for index, label in enumerate(test.labels)]
    (folder / "val" / "val_annotations.txt").write_text("\n".join(lines))


def _imagenet(folder: Path, parts: tuple[DatasetPart, DatasetPart]) -> None:
    del parts  # photographs of many sizes
    write_imagenet(folder / "pictures", 16, TRAIN // 16, 2)
    pack_dataset("imagenet", folder / "pictures", folder)


WRITERS: dict[str, Callable[[Path, tuple[DatasetPart, DatasetPart]], None]] = {
    "cifar10": _cifar10,
    "svhn": _svhn,
    "tinyimagenet": _tiny_imagenet,
    "imagenet": _imagenet,
}
NEW = [
    "densenet121-cifar10",
    "densenet121-svhn",
    "resnet-cifar10-small",
    "resnet18-tinyimagenet",
    "resnet20-cifar10-lens-small",
    "resnet50-imagenet",
    "vgg16-svhn",
]


def small(name: str) -> Study:
    """Return a preset with its narrowest and shallowest networks on a few examples, two epochs and two levels."""
    study = read_study(name)
    first = study.axes[0]
    changes = {"depth": first.depth[:1], "width": first.width[:1], "examples": (EXAMPLES,), "levels": None}
    axes = first.model_copy(update={**changes, "label_noise": first.label_noise[-1:]})
    shorter = {"epochs": 2, "batch": 16, "milestones": (1,), "rewind_epoch": 1, "levels": 2, "learning_rate": 0.02}
    recipe = study.recipe.model_copy(update=shorter | {"warmup": min(1, study.recipe.warmup)})
    el2n = study.el2n and study.el2n.model_copy(update={"networks": 2, "epoch": 1})
    return replace(study, axes=(axes,), recipe=recipe, replicates=1, el2n=el2n)


def written(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a dataset of few pictures as its makers do."""
    if name in ("tinyimagenet", "imagenet"):
        tests, side = (TEST, 64) if name == "tinyimagenet" else (32, 56)
        monkeypatch.setitem(DATASETS, name, DatasetFacts(TRAIN, tests, 16, (3, side, side)))
        facts = DATASETS[name]
    else:
        facts = shrink(monkeypatch, name, 100, TEST)
    WRITERS[name](folder, pictures(facts, facts.shape))


@pytest.mark.parametrize("name", NEW)
def test_a_preset_made_small_trains_and_its_networks_are_those_that_it_names(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = small(name)
    (dataset,) = study.axes[0].dataset
    data = tmp_path / "data"
    data.mkdir()
    written(dataset, data, monkeypatch)
    study = small(name)  # its cells are counted again, from fewer examples
    report = run_study(study, tmp_path / "store", data=data, workers=1)
    assert not report.failures
    store = Store(tmp_path / "store")
    rows = list(store.table().rows())
    assert len(rows) == sum(ladder.rungs for ladder in study.ladders) == report.rungs
    cell, facts = study.cells[0], DATASETS[dataset]
    outline = network(cell.family, cell.depth, cell.width, facts.classes, facts.shape).outline
    weights = sum(parameter.size for parameter in outline.prunable(study.recipe.prunable))
    identities = {ladder.identity for ladder in study.ladders if ladder.treatment.kind == "imp"}
    pruned = [row for row in rows if row["ladder"] in identities]
    assert [row["kept"] for row in pruned] == [kept_count(weights, 0.2, row["rung"]) for row in pruned]
    assert {row["rung"] for row in pruned} == {0, 1, 2}
    assert all(np.isfinite(row["test_loss"]) and 0 <= row["test_error"] <= 1 for row in rows)
    assert report.scored == (1 if study.el2n else 0)


@pytest.mark.parametrize("name", ["densenet121-cifar10", "resnet50-imagenet"])
def test_a_network_of_a_new_family_is_exported_with_the_error_of_its_row(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (dataset,) = small(name).axes[0].dataset
    data = tmp_path / "data"
    data.mkdir()
    written(dataset, data, monkeypatch)
    run_study(small(name), tmp_path / "store", data=data, workers=1, keep_weights=True)
    made = export_network(tmp_path / "store", tmp_path / "net.safetensors", rung=2, data=data, batch=4)
    assert {form.name for form in made.forms} >= {"sparse", "dense"}
    pictures = load(dataset, data)
    for path in made.files:
        with torch.no_grad():
            predicted = load_network(path)(torch.from_numpy(np.array(pictures.test_images[:]))).argmax(1).numpy()
        assert float(np.mean(predicted != pictures.test_labels)) == made.card.test_error
